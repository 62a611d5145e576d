"""A class and a box for each picture: what is accepted of a network, what is believed of a process, and what it is worth."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.exercises.localizing import Localizing
from course.exercises.running import Outcome
from course.exercises.scoring import examine_training, score
from course.exercises.task import Wrong
from course.models.localizer import encode_in_image
from course.training import fit

TASK = Localizing(classes=("background", "red", "blue"))
SIZE = 16
TARGETS = [
    {"boxes": torch.tensor([[0.0, 0, 8, 8]]), "labels": torch.tensor([1])},
    {"boxes": torch.tensor([[4.0, 4, 8, 8]]), "labels": torch.tensor([2])},
    {"boxes": torch.tensor([[0.0, 0, 16, 4]]), "labels": torch.tensor([1])},
]


def answers(labels=(1, 2, 1), boxes=None):
    boxes = torch.cat([target["boxes"] for target in TARGETS]) if boxes is None else torch.tensor(boxes)
    return {"labels": torch.tensor(labels, dtype=torch.uint8), "boxes": boxes.float()}


def test_what_a_picture_is_worth_by_hand():
    perfect = TASK.score(answers(), TARGETS)
    assert perfect.value == 1.0
    assert perfect.details == (
        "The class is right in 100% of the pictures, and the boxes have a mean IoU of 1.00 whatever the class. "
        "A box counts where the class is right.",
    )
    # IoUs: the lower half of the first, 32 / 64; the second to a quarter, 4 / 16; the third exactly, but under the wrong name.
    boxes = [[0, 4, 8, 8], [6, 6, 8, 8], [0, 0, 16, 4]]
    partly = TASK.score(answers((1, 2, 2), boxes), TARGETS)
    assert partly.value == pytest.approx((0.5 + 0.25 + 0) / 3)
    assert "right in 67% of" in partly.details[0] and "a mean IoU of 0.58 whatever" in partly.details[0]  # (0.5 + 0.25 + 1) / 3
    assert TASK.score(answers((2, 1, 0)), TARGETS).value == 0.0
    assert TASK.score(answers(boxes=[[0, 0, 0, 0]] * 3), TARGETS).value == 0.0


def test_a_box_is_compared_with_that_of_its_own_picture():
    swapped = [[4, 4, 8, 8], [0, 0, 8, 8], [0, 0, 16, 4]]
    assert TASK.score(answers(boxes=swapped), TARGETS).value == pytest.approx((0.25 + 0.25 + 1) / 3)


BOXES = torch.zeros(3, 4)
LABELS = torch.ones(3, dtype=torch.uint8)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"labels": LABELS},
        {"boxes": BOXES},
        {"labels": LABELS.long(), "boxes": BOXES},
        {"labels": LABELS.bool(), "boxes": BOXES},
        {"labels": LABELS.float(), "boxes": BOXES},
        {"labels": LABELS[:2], "boxes": BOXES},
        {"labels": LABELS[:, None], "boxes": BOXES},
        {"labels": 3 * LABELS, "boxes": BOXES},
        {"labels": 255 * LABELS, "boxes": BOXES},
        {"labels": LABELS, "boxes": BOXES.double()},
        {"labels": LABELS, "boxes": BOXES.long()},
        {"labels": LABELS, "boxes": BOXES[:2]},
        {"labels": LABELS, "boxes": BOXES[:1]},
        {"labels": LABELS, "boxes": BOXES[:, :3]},
        {"labels": LABELS, "boxes": BOXES[0]},
        {"labels": LABELS, "boxes": BOXES[None]},
        {"labels": LABELS, "boxes": BOXES * torch.nan},
        {"labels": LABELS, "boxes": torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, torch.inf]])},
        {"labels": LABELS, "boxes": torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [-torch.inf, 0, 1, 1]])},
        {"labels": LABELS, "boxes": torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [5, 0, 1, 1]])},  # inverted
        {"labels": LABELS, "boxes": torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 5, 1, 1]])},
        {"labels": LABELS, "boxes": torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 3e38, 3e38]])},
        {"labels": LABELS, "boxes": [[0.0] * 4] * 3},
    ],
)
def test_arrays_that_are_no_answers_are_worth_nothing(arrays):
    with pytest.raises(Wrong, match="that came back are none"):
        TASK.score(arrays, TARGETS)
    result = score(EASY, Outcome("returned", arrays, "10 of 10 points"), TARGETS)
    assert result.points == 0 and result.score is None and "10 of 10" not in repr(result)


def outputs(count=2):
    return {"logits": torch.randn(count, 3), "codes": torch.rand(count, 4)}


IMAGES = torch.zeros(2, 3, SIZE, SIZE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda out: None, 'an object of type NoneType; expected is a dict with "logits" and "codes".'),
        (lambda out: (out["logits"], out["codes"]), "an object of type tuple; expected is a dict"),
        (lambda out: {"logits": out["logits"]}, "a dict with 'logits'; expected is a dict"),
        (lambda out: {}, "a dict with nothing in it; expected"),
        (lambda out: out | {"codes": [0.5] * 4}, '"codes" is an object of type list; expected is a tensor, [2, 4].'),
        (lambda out: out | {"logits": out["logits"].argmax(1)}, '"logits" is [2] int64 for [2, 3, 16, 16]; expected is [2, 3]: one number'),
        (lambda out: out | {"logits": out["logits"][:, :2]}, "[2, 2] float32 for [2, 3, 16, 16]; expected is [2, 3]: there are 3 classes"),
        (lambda out: out | {"logits": out["logits"][:, :, None, None]}, "expected is [2, 3]."),
        (lambda out: out | {"codes": out["codes"].T}, '"codes" is [4, 2] float32 for [2, 3, 16, 16]; expected is [2, 4].'),
        (lambda out: out | {"codes": out["codes"].long()}, '"codes" is [2, 4] int64'),
        (lambda out: out | {"codes": out["codes"] * torch.nan}, '"codes" holds NaN or infinite numbers: was the loss still a number'),
        (lambda out: out | {"logits": out["logits"] / 0}, '"logits" holds NaN or infinite numbers'),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(change, said):
    with pytest.raises(Wrong) as caught:
        TASK.numbers(change(outputs()), IMAGES)
    assert caught.value.kind == "unusable" and said in caught.value.sentence, caught.value.sentence


def test_codes_become_boxes_within_the_picture_and_whatever_was_said_is_an_answer():
    boxes = torch.tensor([[2.0, 4, 10, 12], [0, 0, 16, 16]])
    said = TASK.numbers(outputs() | {"codes": encode_in_image(boxes, SIZE), "more": 3}, IMAGES)
    assert set(said) == {"logits", "codes"}
    given = TASK.answers(said, IMAGES)
    torch.testing.assert_close(given["boxes"], boxes)
    assert given["labels"].dtype is torch.uint8 and given["labels"].tolist() == said["logits"].argmax(1).tolist()
    for value in (1e38, -1e38, 0.0, 1.0, -1.0):
        for dtype in (torch.float32, torch.float64):
            wild = torch.full((2, 4), value, dtype=dtype)
            arrays = TASK.answers({"logits": torch.zeros(2, 3), "codes": wild}, IMAGES)
            assert 0 <= TASK.score(arrays, TARGETS[:2]).value < 1
            assert arrays["boxes"].min() >= 0 and arrays["boxes"].max() <= SIZE


# A network that learns it: one red or blue block on black.


def blocks(seed, count=24):
    draw = torch.Generator().manual_seed(seed)
    images, targets = torch.zeros(count, 3, SIZE, SIZE), []
    for image in images:
        x, y = torch.randint(0, 9, (2,), generator=draw).tolist()
        width, height = torch.randint(4, 8, (2,), generator=draw).tolist()
        label = int(torch.randint(1, 3, (), generator=draw))
        image[2 * (label - 1), y : y + height, x : x + width] = 1
        targets.append({"boxes": torch.tensor([[x, y, x + width, y + height]]).float(), "labels": torch.tensor([label])})
    return images, targets


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 64), nn.ReLU(), nn.Linear(64, 7))

    def forward(self, x):
        y = self.body(x)
        return {"logits": y[:, :3], "codes": y[:, 3:]}


EASY = TrainingExercise(
    prompt="Find the block.",
    solution=Net,
    training=f"{TRAINING_CELL}\nnetwork = Net()",
    checkpoint="easy.safetensors",
    pictures=blocks,
    task=TASK,
    points=((0.3, 1), (0.5, 2), (0.99, 4)),
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_points_come_with_training(here):
    from course.models.localizer import multi_task_losses

    torch.manual_seed(0)
    network = Net()
    save_file(network.state_dict(), "easy.safetensors")
    before = examine_training(EASY, lambda: Net())
    assert before.points == 0 and "what it lacks is training. The first point comes at a mean IoU of 0.30." in repr(before)

    images, targets = blocks(99, 400)
    batch = {name: torch.cat([target[name] for target in targets]) for name in ("boxes", "labels")}

    def loss(out, target):
        return multi_task_losses(out["logits"], out["codes"], target["labels"], encode_in_image(target["boxes"], SIZE), balance=10)

    fit(network, [(images, batch)], loss=loss, epochs=500, optimiser=torch.optim.Adam(network.parameters(), 0.01), device="cpu")
    save_file(network.state_dict(), "easy.safetensors")
    result = examine_training(EASY, lambda: Net())
    assert result.points == 2 and result.passed
    lines = repr(result).splitlines()
    assert lines[0] == f"✓ Net: 2 of 4 points, for a mean IoU of {result.value:.3f} on 24 pictures that it never saw."
    assert lines[1].startswith("The class is right in ") and lines[2] == "4 points come at 0.99."


def test_a_network_that_is_still_in_training_is_told(here):
    class Noisy(Net):
        def forward(self, x):
            out = super().forward(x)
            return out | {"codes": nn.functional.dropout(out["codes"], 0.5)}

    save_file(Net().state_dict(), "easy.safetensors")
    result = examine_training(EASY, lambda: Noisy())
    assert result.outcome.sentence.startswith("Asked twice about the same pictures it answers differently")

    class Batched(Net):
        def forward(self, x):
            out = super().forward(x)
            return out | {"codes": out["codes"] - out["codes"].mean(0)}

    assert examine_training(EASY, lambda: Batched()).outcome.sentence.startswith("A picture alone gets another answer than in a batch")
