"""Masks that travel as bits: what is accepted of a network, what is believed of a process, and what it is worth."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.exercises.running import Outcome
from course.exercises.scoring import examine_training, score
from course.exercises.segmenting import MOST, Segmenting
from course.exercises.task import Wrong
from course.grading.limits import Limits

CLASSES = ("background", "cat", "dog")
TASK = Segmenting(classes=CLASSES, most=3)
SIZE = (10, 12)  # 12 pixels are a byte and a half


def mask(x1, y1, x2, y2, size=SIZE):
    filled = torch.zeros(size, dtype=torch.bool)
    filled[y1:y2, x1:x2] = True
    return filled


def target(*objects):
    """Rows of x1, y1, x2, y2, label; the masks fill their boxes."""
    rows = torch.tensor(objects, dtype=torch.int64).reshape(-1, 5)
    masks = torch.stack([mask(*row[:4]) for row in objects]) if objects else torch.zeros(0, *SIZE, dtype=torch.bool)
    return {"boxes": rows[:, :4].float(), "labels": rows[:, 4], "masks": masks}


TARGETS = [target((0, 0, 6, 8, 1), (6, 2, 12, 10, 2)), target(), target((2, 2, 12, 8, 1))]


def said(*found):
    """What a network says of a picture: rows of x1, y1, x2, y2, label, score; masks fill their boxes."""
    of_objects = target(*(row[:5] for row in found))
    return of_objects | {"scores": torch.tensor([row[5] for row in found]), "masks": of_objects["masks"][:, None].float()}


def answers(*pictures):
    images = torch.zeros(len(pictures), 3, *SIZE)
    return TASK.answers(TASK.numbers([said(*found) for found in pictures], images), images)


def test_what_masks_are_worth_by_hand():
    perfect = TASK.score(answers([(6, 2, 12, 10, 2, 0.3), (0, 0, 6, 8, 1, 0.9)], [], [(2, 2, 12, 8, 1, 0.1)]), TARGETS)
    assert perfect.value == 1.0
    assert perfect.details == (
        "Of 3 objects 100% have a box with an IoU of at least 0.5 among the 3 detections of their picture, 100% a mask with one, and 100% "
        "such a mask under their own name. Average precision by class: cat 1.00, dog 1.00.",
    )
    # Cats, best first: right, wrong (nothing is there), right. The precision is 1 up to half the recall, and 2/3 from there on.
    # Dogs: the one mask on the dog is called a cat.
    partly = [(0, 0, 6, 8, 1, 0.9), (6, 2, 12, 10, 1, 0.2)], [(0, 0, 9, 9, 1, 0.8)], [(2, 2, 12, 8, 1, 0.7)]
    result = TASK.score(answers(*partly), TARGETS)
    assert result.value == pytest.approx((51 * 1 + 50 * 2 / 3) / 101 / 2)
    assert "100% a mask with one, and 67% such a mask" in result.details[0] and "cat 0.83, dog 0.00" in result.details[0]
    assert TASK.score(answers([], [], []), TARGETS).value == 0.0


def test_a_box_without_its_mask_is_wrong_and_a_mask_without_its_box_is_right():
    right = answers([(0, 0, 6, 8, 1, 0.9), (6, 2, 12, 10, 2, 0.8)], [], [(2, 2, 12, 8, 1, 0.9)])
    nothing = TASK.score(right | {"masks": torch.zeros_like(right["masks"])}, TARGETS)
    assert nothing.value == 0.0 and "Of 3 objects 100% have a box" in nothing.details[0] and ", 0% a mask with one" in nothing.details[0]
    unboxed = TASK.score(right | {"boxes": torch.zeros_like(right["boxes"])}, TARGETS)
    assert unboxed.value == 1.0 and "Of 3 objects 0% have a box" in unboxed.details[0]


def test_a_mask_serves_its_own_picture_and_one_object_only():
    swapped = TASK.score(answers([(2, 2, 12, 8, 1, 0.9)], [], [(0, 0, 6, 8, 1, 0.9)]), TARGETS)
    assert swapped.value == 0.0
    again = answers([(0, 0, 6, 8, 1, 0.9)] * 3, [], [])  # one is right, two are wrong, and the other cat is never found
    assert TASK.score(again, TARGETS).value == pytest.approx(51 / 101 / 2)
    with pytest.raises(ValueError, match="show at least one object"):
        TASK.score(answers([]), TARGETS[1:2])


def test_bits_are_numpys_and_those_beyond_the_edge_mean_nothing():
    given = answers([(1, 0, 9, 2, 1, 0.9)], [], [])
    assert given["masks"].shape == (3, 3, 10, 2) and given["masks"].dtype is torch.uint8
    assert given["masks"][0, 0, 0].tolist() == [0b01111111, 0b10000000] and not given["masks"][0, 0, 2:].any()
    row = np.unpackbits(given["masks"][0, 0, 1].numpy())
    assert row.tolist() == [0, *[1] * 8, *[0] * 7]
    right = answers([(0, 0, 6, 8, 1, 0.9), (6, 2, 12, 10, 2, 0.5)], [], [(2, 2, 12, 8, 1, 0.1)])
    beyond = right["masks"].clone()
    beyond[..., 1] |= 0b1111  # columns 12 to 15, which no picture has
    assert TASK.score(right | {"masks": beyond}, TARGETS) == TASK.score(right, TARGETS)


ROWS = answers(*[[(0, 0, 6, 8, 1, 0.9), (6, 2, 12, 10, 2, 0.5)]] * 3)


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
        ({"boxes": ROWS["boxes"]}, "labels"),
        ({name: ROWS[name] for name in ("boxes", "labels")}, "scores"),
        ({name: ROWS[name] for name in ("boxes", "labels", "scores")}, "masks"),
        (but("boxes", lambda x: x.double()), "boxes"),
        (but("boxes", lambda x: x[:2]), "boxes"),
        ({name: array.repeat_interleave(9, 1) for name, array in ROWS.items()}, "boxes"),  # more of them would find more
        (with_row(0, 0, torch.nan, 1), "boxes"),
        (with_row(-torch.inf, 0, 1, 1), "boxes"),
        (with_row(0, 0, 3e38, 3e38), "boxes"),
        (with_row(5, 0, 1, 1), "boxes"),  # inverted
        (but("labels", lambda x: x.long()), "labels"),
        (but("labels", lambda x: x + 2), "labels"),  # there is no class 3
        (but("labels", lambda x: x[:, :2]), "labels"),
        (but("scores", lambda x: x.double()), "scores"),
        (but("scores", lambda x: x * torch.nan), "scores"),
        (but("scores", lambda x: x / 0), "scores"),
        (but("masks", lambda x: x.bool()), "masks"),
        (but("masks", lambda x: x.float()), "masks"),
        (but("masks", lambda x: x[..., :1]), "masks"),
        (but("masks", lambda x: x[:, :, :9]), "masks"),
        (but("masks", lambda x: x.repeat(1, 1, 1, 2)), "masks"),
        (but("masks", lambda x: x[:, :2]), "masks"),
        (but("masks", lambda x: x[:2]), "masks"),
        (but("masks", lambda x: torch.zeros(3, 3, *SIZE, dtype=torch.uint8)), "masks"),  # a byte a pixel
        (but("masks", lambda x: x.numpy()), "masks"),
    ],
)
def test_arrays_that_are_no_answers_are_worth_nothing(arrays, which):
    with pytest.raises(Wrong, match=f"The {which} that came back are none"):
        TASK.score(arrays, TARGETS)
    result = score(EASY, Outcome("returned", arrays, "10 of 10 points"), TARGETS)
    assert result.points == 0 and result.score is None and "10 of 10" not in repr(result)


def test_rows_of_label_0_are_no_detections_whatever_else_they_say():
    right = answers([(0, 0, 6, 8, 1, 0.9)], [], [(2, 2, 12, 8, 1, 0.9)])
    noise = {name: array.clone() for name, array in right.items()}
    noise["scores"][:, 1:], noise["masks"][:, 1:], noise["boxes"][:, 1:] = 7.0, 255, torch.tensor([0.0, 0, 12, 10])
    assert TASK.score(right, TARGETS) == TASK.score(noise, TARGETS) and TASK.score(right, TARGETS).value == 0.5


IMAGES = torch.zeros(2, 3, *SIZE)
NOTHING = said()
GOOD = said((0, 0, 6, 8, 1, 0.9), (6, 2, 12, 10, 2, 0.5))


def changed(**parts):
    return [GOOD | parts, GOOD]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (None, "The network returned an object of type NoneType; expected is a list with a dict for each picture."),
        (torch.zeros(2, 3), "returned one tensor, [2, 3] float32; expected is a list"),
        (GOOD, "returned a dict with 'boxes', 'labels', 'masks', 'scores'; expected is a list"),
        ([GOOD], "returned 1 answers for 2 pictures"),
        ([GOOD, None], "Of a picture the network returned an object of type NoneType; expected is a dict of tensors, "),
        ([GOOD, {"boxes": GOOD["boxes"]}], "Of a picture the network returned a dict with 'boxes'; expected is"),
        (changed(masks=[1, 2]), "something else than tensors in it"),
        (changed(boxes=GOOD["boxes"][:1]), '"boxes" is [1, 4] float32; expected is [2, 4].'),
        (changed(labels=GOOD["labels"][:, None]), '"labels" is [2, 1] int64; expected is [2].'),
        (changed(scores=GOOD["scores"][:, None]), '"scores" is [2, 1] float32; expected is [D].'),
        (changed(masks=torch.zeros(2, 28, 28)), '"masks" is [2, 28, 28] float32; expected is [2, 10, 12]: paste each into the picture'),
        (changed(masks=torch.zeros(2, 1, 28, 28)), "expected is [2, 10, 12]: paste each into the picture first."),
        (changed(masks=torch.zeros(2, 3, *SIZE)), "expected is [2, 10, 12]: of the masks of all classes that of the label."),
        (changed(masks=GOOD["masks"] * 9 - 2), '"masks" are probabilities from 0 to 1: was the sigmoid forgotten?'),
        (changed(masks=GOOD["masks"] * torch.nan), '"masks" holds NaN or infinite numbers'),
        (changed(scores=GOOD["scores"] / 0), '"scores" holds NaN or infinite numbers: was the loss still a number'),
        (changed(labels=GOOD["labels"] - 1), '"labels" are whole numbers from 1 to 2: the background is no detection.'),
        (changed(labels=GOOD["labels"] + 1), '"labels" are whole numbers from 1 to 2'),
        (changed(labels=GOOD["labels"].float()), '"labels" are whole numbers from 1 to 2'),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(outputs, message):
    with pytest.raises(Wrong) as caught:
        TASK.numbers(outputs, IMAGES)
    assert caught.value.kind == "unusable" and message in caught.value.sentence, caught.value.sentence


@pytest.mark.parametrize(
    "masks", [GOOD["masks"][:, 0], GOOD["masks"] > 0.5, GOOD["masks"].half(), GOOD["masks"].double(), 0.51 * GOOD["masks"]]
)
def test_other_masks_that_mean_the_same_are_accepted(masks):
    given, usual = (TASK.answers(TASK.numbers(said, IMAGES), IMAGES) for said in (changed(masks=masks), [GOOD, GOOD]))
    assert all(torch.equal(given[name], usual[name]) for name in usual)


def test_the_best_count_whatever_their_order_and_however_many_there_are():
    torch.manual_seed(0)
    count = 7
    found = {
        "boxes": torch.rand(count, 4).sort(1).values,
        "labels": torch.randint(1, 3, (count,)),
        "scores": torch.rand(count),
        "masks": torch.rand(count, *SIZE),
    }
    given = TASK.answers(TASK.numbers([found], IMAGES[:1]), IMAGES[:1])
    order = sorted(range(count), key=lambda row: -found["scores"][row].item())[:3]
    assert given["scores"][0].tolist() == found["scores"][order].tolist() and given["labels"][0].tolist() == found["labels"][order].tolist()
    assert torch.equal(given["boxes"][0], found["boxes"][order])
    bits = np.unpackbits(given["masks"][0].numpy(), axis=-1)[..., : SIZE[1]].astype(bool)
    assert np.array_equal(bits, found["masks"][order].numpy() > 0.5)
    assert not any(array.any() for array in TASK.answers(TASK.numbers([NOTHING], IMAGES[:1]), IMAGES[:1]).values())


def test_whatever_was_said_is_an_answer():
    for value in (3e38, -3e38, 0.0):
        outputs = changed(boxes=torch.tensor([[value, -value, -value, value]] * 2), scores=torch.full((2,), value))
        arrays = TASK.answers(TASK.numbers(outputs, IMAGES), IMAGES)
        assert 0 <= TASK.score(arrays, TARGETS[:2]).value <= 1
    assert torch.tensor(MOST).square().isfinite()


def test_the_answers_of_two_hundred_pictures_fit_into_what_may_come_back():
    of_one = Segmenting(classes=CLASSES, most=20)
    images = torch.zeros(1, 3, 128, 128)
    arrays = of_one.answers(of_one.numbers([NOTHING | {"masks": torch.zeros(0, 128, 128)}], images), images)
    assert 200 * sum(array.nbytes for array in arrays.values()) < Limits().answer / 4


# A network that learns it: one block, bright or grey, on black; a pixel belongs to it if it is not black.


def blocks(seed, count=24):
    draw = torch.Generator().manual_seed(seed)
    images, targets = torch.zeros(count, 3, 16, 16), []
    for image, place, label in zip(images, *(torch.randint(high, (count,), generator=draw) for high in (16, 2)), strict=True):
        y, x = (4 * int(side) for side in divmod(int(place), 4))
        outline = mask(x, y, x + 4, y + 4, (16, 16))
        image[:, outline] = 1 - 0.6 * label.float()
        targets.append({"boxes": torch.tensor([[x, y, x + 4.0, y + 4.0]]), "labels": label[None] + 1, "masks": outline[None]})
    return images, targets


class Net(nn.Module):
    """One detection a picture: its class from the brightest pixel, its mask from each pixel."""

    def __init__(self):
        super().__init__()
        self.named, self.inside = nn.Linear(1, 2), nn.Conv2d(3, 1, 1)

    def forward(self, images):
        logits, masks = self.named(images.amax((1, 2, 3))[:, None]), self.inside(images).sigmoid()  # [N, 2], [N, 1, H, W]
        scores, labels = logits.softmax(1).max(1)
        return [
            {"boxes": torch.tensor([[0.0, 0, 16, 16]]), "labels": label[None] + 1, "scores": score[None], "masks": outline[None]}
            for label, score, outline in zip(labels, scores, masks, strict=True)
        ]


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
    torch.manual_seed(0)
    network = Net()
    nn.init.zeros_(network.inside.weight)
    nn.init.constant_(network.inside.bias, -1.0)
    save_file(network.state_dict(), "easy.safetensors")
    before = examine_training(EASY, lambda: Net())
    assert before.points == 0 and "what it lacks is training. The first point comes at a mask mAP at IoU 0.5 of 0.50." in repr(before)

    images, targets = blocks(99, 200)
    labels, masks = torch.cat([target["labels"] for target in targets]) - 1, torch.stack([target["masks"] for target in targets]).float()
    optimiser = torch.optim.Adam(network.parameters(), 0.1)
    for _ in range(150):
        logits = network.named(images.amax((1, 2, 3))[:, None])
        loss = nn.functional.cross_entropy(logits, labels) + nn.functional.binary_cross_entropy_with_logits(network.inside(images), masks)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    save_file(network.state_dict(), "easy.safetensors")
    result = examine_training(EASY, lambda: Net())
    assert result.points == 2 and result.passed
    lines = repr(result).splitlines()
    assert lines[0] == f"✓ Net: 2 of 2 points, for a mask mAP at IoU 0.5 of {result.value:.3f} on 24 pictures that it never saw."
    assert lines[1].startswith("Of 24 objects 0% have a box ") and len(lines) == 2
