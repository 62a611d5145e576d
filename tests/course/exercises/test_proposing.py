"""Boxes around whatever is in a picture: what is accepted of a network, what is believed of a process, and what it is worth."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.ops import batched_nms, box_iou

from course.exercises.exercise import TRAINING_CELL, TrainingExercise
from course.exercises.proposing import Proposing
from course.exercises.running import Outcome
from course.exercises.scoring import examine_training, score
from course.exercises.task import Wrong
from course.training import fit

TASK = Proposing(most=3)
SIZE = 16
TARGETS = [
    {"boxes": torch.tensor([[0.0, 0, 8, 8], [8, 8, 16, 16]])},
    {"boxes": torch.zeros(0, 4)},
    {"boxes": torch.tensor([[2.0, 2, 12, 12]])},
]


def answers(*pictures):
    """Proposals of each picture, filled up with zeros."""
    proposals = torch.zeros(len(pictures), 3, 4)
    for rows, boxes in zip(proposals, pictures, strict=True):
        rows[: len(boxes)] = torch.tensor(boxes).reshape(-1, 4)
    return {"proposals": proposals}


def test_what_an_object_is_worth_by_hand():
    perfect = TASK.score(answers([[8.0, 8, 16, 16], [0, 0, 8, 8]], [], [[2.0, 2, 12, 12]]), TARGETS)
    assert perfect.value == 1.0
    assert perfect.details == (
        "Of 3 objects the first 3 proposals find 100% with an IoU of at least 0.5, and 100% with one of at least 0.7. An object counts by "
        "how far its best IoU goes beyond 0.5.",
    )
    # Best IoUs: 6/8, of the first, which two proposals share; 0 of the second; 1/2 of the third, from which on it would begin to count
    partly = TASK.score(answers([[0.0, 0, 8, 4], [0, 0, 8, 6]], [[0.0, 0, 9, 9]], [[2.0, 2, 12, 7]]), TARGETS)
    assert partly.value == pytest.approx((2 * (0.75 - 0.5) + 0 + 0) / 3)
    assert "find 67% with" in partly.details[0] and "and 33% with" in partly.details[0]
    assert TASK.score(answers([], [], []), TARGETS).value == 0.0


def test_the_mean_recall_is_recall_averaged_over_thresholds():
    """Hosang et al. 2015: the area under recall over IoU from 0.5 to 1, twice; a sum over many thresholds is the peer."""
    draw = torch.Generator().manual_seed(0)
    corner, side = (torch.rand(40, 3, 2, generator=draw) for _ in range(2))
    proposals = torch.cat((4 * corner, 4 * corner + 8 + 4 * side), -1)
    targets = [{"boxes": torch.cat((4 * c, 4 * c + 8 + 4 * s))[None]} for c, s in torch.rand(40, 2, 2, generator=draw)]
    best = torch.stack([box_iou(t["boxes"], p).max() for t, p in zip(targets, proposals, strict=True)])
    thresholds = torch.linspace(0.5, 1, 20001)
    recall = (best[:, None] >= thresholds).float().mean()
    value = TASK.score({"proposals": proposals}, targets).value
    assert value > 0.1 and value == pytest.approx(recall.item(), abs=1e-4)


def test_a_proposal_serves_its_own_picture_only():
    swapped = TASK.score(answers([[2.0, 2, 12, 12]], [], [[0.0, 0, 8, 8], [8, 8, 16, 16]]), TARGETS)
    assert swapped.value == 0.0
    with pytest.raises(ValueError, match="show at least one object"):
        TASK.score(answers([]), [{"boxes": torch.zeros(0, 4)}])


ROWS = torch.tensor([0.0, 0, 8, 8]).repeat(3, 3, 1)


def with_row(*row):
    rows = ROWS.clone()
    rows[2, 1] = torch.tensor(row)
    return rows


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"boxes": ROWS},
        {"proposals": ROWS.double()},
        {"proposals": ROWS.half()},
        {"proposals": ROWS.long()},
        {"proposals": ROWS[:2]},
        {"proposals": ROWS[:1]},
        {"proposals": ROWS.repeat(2, 1, 1)},
        {"proposals": ROWS[:, :2]},
        {"proposals": ROWS.repeat(1, 20, 1)},  # more of them would find more
        {"proposals": ROWS[..., :3]},
        {"proposals": ROWS[0]},
        {"proposals": ROWS[None]},
        {"proposals": ROWS.flatten(1)},
        {"proposals": with_row(0, 0, torch.nan, 1)},
        {"proposals": with_row(0, 0, torch.inf, 1)},
        {"proposals": with_row(-torch.inf, 0, 1, 1)},
        {"proposals": with_row(0, 0, 3e38, 3e38)},
        {"proposals": with_row(5, 0, 1, 1)},  # inverted
        {"proposals": with_row(0, 5, 1, 1)},
        {"proposals": ROWS.tolist()},
        {"proposals": [ROWS, ROWS, ROWS]},
        {"score": torch.ones(())},
    ],
)
def test_arrays_that_are_no_answers_are_worth_nothing(arrays):
    with pytest.raises(Wrong, match="that came back are none"):
        TASK.score(arrays, TARGETS)
    result = score(EASY, Outcome("returned", arrays, "10 of 10 points"), TARGETS)
    assert result.points == 0 and result.score is None and "10 of 10" not in repr(result)


def outputs(count=2, rows=5):
    corner = 8 * torch.rand(count, rows, 2)
    return {"boxes": torch.cat((corner, corner + 6), -1), "scores": torch.randn(count, rows)}


IMAGES = torch.zeros(2, 3, SIZE, SIZE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda out: None, 'an object of type NoneType; expected is a dict with "boxes" and "scores".'),
        (lambda out: (out["boxes"], out["scores"]), "an object of type tuple; expected is a dict"),
        (lambda out: {"boxes": out["boxes"]}, "a dict with 'boxes'; expected is a dict"),
        (lambda out: {}, "a dict with nothing in it; expected"),
        (
            lambda out: out | {"boxes": list(out["boxes"])},
            '"boxes" is an object of type list; expected is a tensor, of all pictures together.',
        ),
        (lambda out: out | {"scores": None}, '"scores" is an object of type NoneType; expected is a tensor'),
        (lambda out: out | {"boxes": out["boxes"][0]}, '"boxes" is [5, 4] float32 for [2, 3, 16, 16]; expected is [2, R, 4].'),
        (lambda out: out | {"boxes": out["boxes"][:, :, None]}, "expected is [2, R, 4]: all places in one row, as the anchors stand."),
        (lambda out: out | {"boxes": out["boxes"][..., :3]}, '"boxes" is [2, 5, 3] float32 for [2, 3, 16, 16]; expected is [2, 5, 4].'),
        (lambda out: out | {"boxes": out["boxes"].long()}, '"boxes" is [2, 5, 4] int64'),
        (lambda out: out | {"scores": out["scores"][:, :4]}, '"scores" is [2, 4] float32 for [2, 3, 16, 16]; expected is [2, 5].'),
        (
            lambda out: out | {"scores": out["scores"][..., None]},
            "expected is [2, 5]: one number for each box, without an axis of its own.",
        ),
        (lambda out: out | {"scores": out["scores"] > 0}, '"scores" is [2, 5] bool'),
        (lambda out: out | {"boxes": out["boxes"] * torch.nan}, '"boxes" holds NaN or infinite numbers: was the loss still a number'),
        (lambda out: out | {"scores": out["scores"] / 0}, '"scores" holds NaN or infinite numbers'),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(change, said):
    with pytest.raises(Wrong) as caught:
        TASK.numbers(change(outputs()), IMAGES)
    assert caught.value.kind == "unusable" and said in caught.value.sentence, caught.value.sentence


def test_boxes_become_proposals_as_torchvision_makes_them():
    torch.manual_seed(0)
    task = Proposing(most=10)
    for dtype in (torch.float32, torch.float64):
        out = outputs(rows=40)
        out = {"boxes": (out["boxes"] * 2 - 6).to(dtype), "scores": out["scores"].to(dtype)}  # some reach beyond the picture
        said = task.numbers(out | {"more": 3}, IMAGES)
        assert set(said) == {"boxes", "scores"}
        given = task.answers(said, IMAGES)["proposals"]
        assert given.dtype is torch.float32 and given.shape == (2, 10, 4)
        for rows, boxes, scores in zip(given, out["boxes"].float(), out["scores"], strict=True):
            boxes = boxes.clamp(0, SIZE)
            boxes, scores = (x[((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)] for x in (boxes, scores))
            kept = batched_nms(boxes, scores.float(), torch.zeros(len(boxes)), 0.7)[:10]
            torch.testing.assert_close(rows[: len(kept)], boxes[kept])
            assert not rows[len(kept) :].any()


def test_few_boxes_are_filled_up_and_whatever_was_said_is_an_answer():
    one = TASK.answers({"boxes": torch.tensor([[[1.0, 2, 9, 9]]] * 2), "scores": torch.zeros(2, 1)}, IMAGES)["proposals"]
    assert one.tolist() == [[[1, 2, 9, 9], [0] * 4, [0] * 4]] * 2
    assert not TASK.answers({"boxes": torch.zeros(2, 0, 4), "scores": torch.zeros(2, 0)}, IMAGES)["proposals"].any()
    for value in (1e38, -1e38, 0.0, 1.0):
        for dtype in (torch.float32, torch.float64):
            wild = torch.tensor([value, -value, value, 3 * value], dtype=dtype).clamp(-1e38, 1e38).expand(2, 5, 4)
            arrays = TASK.answers({"boxes": wild, "scores": torch.zeros(2, 5, dtype=dtype)}, IMAGES)
            assert 0 <= TASK.score(arrays, TARGETS[:2]).value < 1
            assert arrays["proposals"].min() >= 0 and arrays["proposals"].max() <= SIZE


# A network that learns it: one bright block on black, and 16 boxes that never move. It has to say which of them fits.

GRID = torch.tensor([[x, y, x + 4.0, y + 4] for y in (0, 4, 8, 12) for x in (0, 4, 8, 12)])


def blocks(seed, count=24):
    draw = torch.Generator().manual_seed(seed)
    places = torch.randint(16, (count,), generator=draw)
    images = torch.zeros(count, 3, SIZE, SIZE)
    for image, (x1, y1, x2, y2) in zip(images, GRID[places].int().tolist(), strict=True):
        image[:, y1:y2, x1:x2] = 1
    return images, [{"boxes": GRID[place][None]} for place in places]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 16))

    def forward(self, x):
        return {"boxes": GRID.to(x).expand(len(x), 16, 4), "scores": self.body(x)}


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
    save_file(network.state_dict(), "easy.safetensors")
    before = examine_training(EASY, lambda: Net())
    assert before.points == 0 and "what it lacks is training. The first point comes at a mean recall of 0.50." in repr(before)

    images, targets = blocks(99, 200)
    truth = torch.stack([(target["boxes"] == GRID).all(1).float() for target in targets])

    def loss(out, target):
        return nn.functional.binary_cross_entropy_with_logits(out["scores"], target)

    fit(network, [(images, truth)], loss=loss, epochs=60, optimiser=torch.optim.Adam(network.parameters(), 0.01), device="cpu")
    save_file(network.state_dict(), "easy.safetensors")
    result = examine_training(EASY, lambda: Net())
    assert result.points == 2 and result.passed
    lines = repr(result).splitlines()
    assert lines[0] == f"✓ Net: 2 of 2 points, for a mean recall of {result.value:.3f} on 24 pictures that it never saw."
    assert lines[1].startswith("Of 24 objects the first 3 proposals find ") and len(lines) == 2


def test_scores_that_differ_by_a_rounding_error_are_no_reason_to_complain(here):
    """In a batch sums are rounded otherwise than alone, and of two boxes with nearly equal scores another may come first."""

    class Nearly(Net):
        def forward(self, x):
            out = super().forward(x)
            return out | {"scores": out["scores"] * 0 + 1 + 1e-7 * torch.randn(len(x), 16)}

    class Noisy(Net):
        def forward(self, x):
            out = super().forward(x)
            return out | {"scores": nn.functional.dropout(out["scores"], 0.5)}

    save_file(Net().state_dict(), "easy.safetensors")
    assert examine_training(EASY, lambda: Nearly()).outcome.sentence == ""
    assert examine_training(EASY, lambda: Noisy()).outcome.sentence.startswith("Asked twice about the same pictures it answers differently")
