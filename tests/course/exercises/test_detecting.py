"""Cells that become detections: what is accepted of a network, what is believed of a process, and what it is worth."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.ops import batched_nms, box_convert

from course.exercises.detecting import CANDIDATES, MOST, Detecting
from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.exercises.running import Outcome
from course.exercises.scoring import examine_training, score
from course.exercises.task import Wrong
from course.training import fit

CLASSES = ("background", "cat", "dog")
TASK = Detecting(classes=CLASSES, most=3)
SIZE = 16
TARGETS = [
    {"boxes": torch.tensor([[0.0, 0, 8, 8], [8, 8, 16, 16]]), "labels": torch.tensor([1, 2])},
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    {"boxes": torch.tensor([[2.0, 2, 12, 12]]), "labels": torch.tensor([1])},
]
EMPTY = (0.0, 0.0, 0.0, 0.0, 0, 0.0)


def answers(*pictures):
    """Rows of x1, y1, x2, y2, label, score of each picture, filled up with zeros."""
    rows = torch.tensor([[*found, *[EMPTY] * (3 - len(found))] for found in pictures])
    return {"boxes": rows[..., :4], "labels": rows[..., 4].to(torch.uint8), "scores": rows[..., 5]}


def test_what_detections_are_worth_by_hand():
    perfect = TASK.score(answers([(8, 8, 16, 16, 2, 0.3), (0, 0, 8, 8, 1, 0.9)], [], [(2, 2, 12, 12, 1, 0.1)]), TARGETS)
    assert perfect.value == 1.0
    assert perfect.details == (
        "Of 3 objects 100% have a box with an IoU of at least 0.5 among the 3 detections of their picture, and 100% one under their own "
        "name. Average precision by class: cat 1.00, dog 1.00.",
    )
    # Cats, best first: right, wrong (nothing is there), right. The precision is 1 up to half the recall, and 2/3 from there on.
    # Dogs: the one box on the dog is called a cat.
    partly = [(0, 0, 8, 8, 1, 0.9), (8, 8, 16, 16, 1, 0.2)], [(0, 0, 9, 9, 1, 0.8)], [(2, 2, 12, 12, 1, 0.7)]
    result = TASK.score(answers(*partly), TARGETS)
    assert result.value == pytest.approx((51 * 1 + 50 * 2 / 3) / 101 / 2)
    assert "Of 3 objects 100% have a box" in result.details[0] and "and 67% one under" in result.details[0]
    assert "cat 0.83, dog 0.00" in result.details[0]
    assert TASK.score(answers([], [], []), TARGETS).value == 0.0


def test_a_detection_serves_its_own_picture_and_one_object_only():
    swapped = TASK.score(answers([(2, 2, 12, 12, 1, 0.9)], [], [(0, 0, 8, 8, 1, 0.9)]), TARGETS)
    assert swapped.value == 0.0
    again = answers([(0, 0, 8, 8, 1, 0.9)] * 3, [], [])  # one is right, two are wrong, and the other cat is never found
    assert TASK.score(again, TARGETS).value == pytest.approx(51 / 101 / 2)
    with pytest.raises(ValueError, match="show at least one object"):
        TASK.score(answers([]), TARGETS[1:2])


ROWS = answers(*[[(0, 0, 8, 8, 1, 0.9), (8, 8, 16, 16, 2, 0.5)]] * 3)


def but(name, change):
    return ROWS | {name: change(ROWS[name].clone())}


def with_row(*row):
    def change(boxes):
        boxes[2, 1] = torch.tensor(row)
        return boxes

    return but("boxes", change)


@pytest.mark.parametrize(
    ("arrays", "which"),
    [
        ({}, "boxes"),
        ({"proposals": ROWS["boxes"]}, "boxes"),
        ({"boxes": ROWS["boxes"]}, "labels"),
        ({"boxes": ROWS["boxes"], "labels": ROWS["labels"]}, "scores"),
        (but("boxes", lambda x: x.double()), "boxes"),
        (but("boxes", lambda x: x.long()), "boxes"),
        (but("boxes", lambda x: x[:2]), "boxes"),
        (but("boxes", lambda x: x.repeat(1, 9, 1)), "boxes"),
        ({name: array.repeat_interleave(9, 1) for name, array in ROWS.items()}, "boxes"),  # more of them would find more
        (but("boxes", lambda x: x[..., :3]), "boxes"),
        (but("boxes", lambda x: x.tolist()), "boxes"),
        (with_row(0, 0, torch.nan, 1), "boxes"),
        (with_row(-torch.inf, 0, 1, 1), "boxes"),
        (with_row(0, 0, 3e38, 3e38), "boxes"),
        (with_row(5, 0, 1, 1), "boxes"),  # inverted
        (with_row(0, 5, 1, 1), "boxes"),
        (but("labels", lambda x: x.long()), "labels"),
        (but("labels", lambda x: x + 2), "labels"),  # there is no class 3
        (but("labels", lambda x: x[:, :2]), "labels"),
        (but("labels", lambda x: x[..., None]), "labels"),
        (but("scores", lambda x: x.double()), "scores"),
        (but("scores", lambda x: x * torch.nan), "scores"),
        (but("scores", lambda x: x / 0), "scores"),
        (but("scores", lambda x: x[0]), "scores"),
    ],
)
def test_arrays_that_are_no_answers_are_worth_nothing(arrays, which):
    with pytest.raises(Wrong, match=f"The {which} that came back are none"):
        TASK.score(arrays, TARGETS)
    result = score(EASY, Outcome("returned", arrays, "10 of 10 points"), TARGETS)
    assert result.points == 0 and result.score is None and "10 of 10" not in repr(result)


def test_rows_of_label_0_are_no_detections_whatever_else_they_say():
    right = answers([(0, 0, 8, 8, 1, 0.9)], [], [(2, 2, 12, 12, 1, 0.9)])
    noise = answers([(0, 0, 8, 8, 1, 0.9), (8, 8, 16, 16, 0, 5.0)], [(1, 1, 9, 9, 0, 7.0)], [(2, 2, 12, 12, 1, 0.9)])
    assert TASK.score(right, TARGETS) == TASK.score(noise, TARGETS) and TASK.score(right, TARGETS).value == 0.5


IMAGES = torch.zeros(2, 3, SIZE, SIZE)


def cells(grid=3, each=2, count=2):
    return torch.rand(count, grid, grid, 5 * each + 2)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (None, "an object of type NoneType; expected is one tensor, [2, S, S, 5B + 2], what the cells say."),
        ({"boxes": 1, "scores": 2}, "a dict with 'boxes', 'scores'; expected is one tensor"),
        ([cells()], "an object of type list; expected"),
        (cells()[0], "returned [3, 3, 12] float32 for [2, 3, 16, 16]; expected is [2, S, S, 5B + 2]."),
        (cells(count=1), "returned [1, 3, 3, 12] float32"),
        (
            cells().permute(0, 3, 1, 2),
            "[2, 12, 3, 3] float32 for [2, 3, 16, 16]; expected is [2, S, S, 5B + 2]: the numbers of a cell come last",
        ),
        (
            cells().flatten(1),
            "[2, 108] float32 for [2, 3, 16, 16]; expected is [2, S, S, 5B + 2]: a row and a column are axes of their own",
        ),
        (torch.rand(2, 3, 3, 13), "expected is [2, S, S, 5B + 2]: there are 2 classes, and the background is none of them."),
        (torch.rand(2, 3, 4, 12), "returned [2, 3, 4, 12] float32"),
        (torch.rand(2, 3, 3, 2), "returned [2, 3, 3, 2] float32"),
        (torch.rand(2, 3, 3, 11), "returned [2, 3, 3, 11] float32 for [2, 3, 16, 16]; expected is [2, S, S, 5B + 2]."),
        (torch.rand(2, 0, 0, 12), "returned [2, 0, 0, 12] float32"),
        (torch.ones(2, 3, 3, 12, dtype=torch.int64), "returned [2, 3, 3, 12] int64"),
        (cells() * torch.nan, "The cells hold NaN or infinite numbers: was the loss still a number"),
        (cells() / 0, "The cells hold NaN or infinite numbers"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(outputs, said):
    with pytest.raises(Wrong) as caught:
        TASK.numbers(outputs, IMAGES)
    assert caught.value.kind == "unusable" and said in caught.value.sentence, caught.value.sentence


def by_torchvision(of_image, each, most):
    """The detections of one picture [S, S, 5A + C], by loops and torchvision's suppression."""
    grid, boxes, scores, labels = len(of_image), [], [], []
    for i in range(grid):
        for j in range(grid):
            vector = of_image[i, j]
            for a in range(each):
                x, y, w, h, confidence = vector[5 * a : 5 * a + 5].tolist()
                box = (j + x) / grid * SIZE, (i + y) / grid * SIZE, w * SIZE, h * SIZE
                for label, probability in enumerate(vector[5 * each :].tolist(), start=1):
                    boxes.append(box)
                    scores.append(confidence * probability)
                    labels.append(label)
    boxes = box_convert(torch.tensor(boxes), "cxcywh", "xyxy").clamp(0, SIZE)
    scores, labels = torch.tensor(scores), torch.tensor(labels)
    kept = batched_nms(boxes, scores, labels, 0.5)[:most]
    return boxes[kept], labels[kept], scores[kept]


def test_cells_become_detections_as_torchvision_makes_them():
    torch.manual_seed(0)
    for grid, each, most, dtype in ((3, 2, 10, torch.float32), (4, 1, 20, torch.float64), (1, 3, 2, torch.float32)):
        task, said = Detecting(classes=CLASSES, most=most), cells(grid, each).to(dtype)
        given = task.answers(task.numbers(said, IMAGES), IMAGES)
        assert {name: (array.dtype, list(array.shape)) for name, array in given.items()} == {
            "boxes": (torch.float32, [2, most, 4]),
            "labels": (torch.uint8, [2, most]),
            "scores": (torch.float32, [2, most]),
        }
        for n, of_image in enumerate(said.float()):
            boxes, labels, scores = by_torchvision(of_image, each, most)
            count = len(boxes)
            torch.testing.assert_close(given["boxes"][n, :count], boxes)
            torch.testing.assert_close(given["scores"][n, :count], scores)
            assert given["labels"][n, :count].tolist() == labels.tolist()
            assert not any(array[n, count:].any() for array in given.values())


def test_what_the_cells_should_say_is_worth_everything():
    """The course's own targets as predictions, which encode and decode must agree on."""
    from course.models.yolo import encode_targets, perfect_predictions, stack_targets

    told = stack_targets([encode_targets(target["boxes"], target["labels"], SIZE, 4) for target in TARGETS])
    said = perfect_predictions(told, classes=2)
    assert TASK.score(TASK.answers(TASK.numbers(said, IMAGES.new_zeros(3, 3, SIZE, SIZE)), IMAGES), TARGETS).value == 1.0


def test_whatever_was_said_is_an_answer():
    for value in (3e38, -3e38, 0.0, 1.0, -1.0):
        for dtype in (torch.float32, torch.float64):
            said = torch.full((3, 2, 2, 12), value, dtype=dtype)
            said[..., ::2] = -value
            images = torch.zeros(3, 3, SIZE, SIZE)
            arrays = TASK.answers(TASK.numbers(said, images), images)
            assert 0 <= TASK.score(arrays, TARGETS).value < 1
            assert arrays["boxes"].min() >= 0 and arrays["boxes"].max() <= SIZE and arrays["scores"].isfinite().all()


def test_two_numbers_below_0_make_no_score_above_it():
    said = cells(grid=2, each=1)
    said[..., 4:] *= -1
    assert not TASK.answers({"cells": said}, IMAGES)["labels"].any()


def test_only_the_best_go_into_the_suppression():
    task = Detecting(classes=CLASSES, most=CANDIDATES + 50)
    said = torch.zeros(2, 20, 20, 7)
    said[..., :5] = torch.tensor([0.5, 0.5, 0.01, 0.01, 0.5])
    said[..., 5], said[:, :10, :, 4] = 1.0, 0.9  # 200 good ones, 200 doubtful ones, and none overlaps another
    given = task.answers({"cells": said}, IMAGES)
    assert (given["labels"] > 0).sum(1).tolist() == [CANDIDATES] * 2 and (given["scores"] > 0.8).sum(1).tolist() == [200] * 2
    assert torch.tensor(MOST).square().isfinite()  # a confidence times a class


# A network that learns it: one block on black, bright or grey, and a cell for each of its 16 places.


def blocks(seed, count=24):
    draw = torch.Generator().manual_seed(seed)
    images, targets = torch.zeros(count, 3, SIZE, SIZE), []
    for image, place, label in zip(images, *(torch.randint(high, (count,), generator=draw) for high in (16, 2)), strict=True):
        i, j = divmod(int(place), 4)
        image[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4] = 1 - 0.6 * int(label)
        box = torch.tensor([[4.0 * j, 4.0 * i, 4.0 * j + 4, 4.0 * i + 4]])
        targets.append({"boxes": box, "labels": label[None] + 1})
    return images, targets


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 4, stride=4), nn.ReLU(), nn.Conv2d(16, 3, 1))

    def forward(self, x):
        said = self.body(x).permute(0, 2, 3, 1)  # [N, 4, 4, 3]
        place = said.new_tensor([0.5, 0.5, 0.25, 0.25]).expand(*said.shape[:3], 4)
        return torch.cat((place, said[..., :1].sigmoid(), said[..., 1:].softmax(-1)), -1)


EASY = TrainingExercise(
    prompt="Find the block.",
    solution=Net,
    training=f"{TRAINING_CELL}\nnetwork = Net()",
    checkpoint="easy.safetensors",
    pictures=blocks,
    task=TASK,
    points=((0.5, 1), (0.9, 2)),
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_points_come_with_training(here):
    from course.models.yolo import encode_targets, stack_targets, yolo_losses

    torch.manual_seed(0)
    network = Net()
    save_file(network.state_dict(), "easy.safetensors")
    before = examine_training(EASY, lambda: Net())
    assert before.points == 0 and "what it lacks is training. The first point comes at a mAP at IoU 0.5 of 0.50." in repr(before)

    images, targets = blocks(99, 200)
    told = stack_targets([encode_targets(target["boxes"], target["labels"], SIZE, 4) for target in targets])

    def loss(out, target):
        return yolo_losses(out, told, boxes=1)

    optimiser = torch.optim.Adam(network.parameters(), 0.03)
    fit(network, [(images, torch.zeros(200))], loss=loss, epochs=120, optimiser=optimiser, device="cpu")
    save_file(network.state_dict(), "easy.safetensors")
    result = examine_training(EASY, lambda: Net())
    assert result.points == 2 and result.passed
    lines = repr(result).splitlines()
    assert lines[0] == f"✓ Net: 2 of 2 points, for a mAP at IoU 0.5 of {result.value:.3f} on 24 pictures that it never saw."
    assert lines[1].startswith("Of 24 objects ") and len(lines) == 2
