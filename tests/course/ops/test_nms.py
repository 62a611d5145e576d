import pytest
import torch

from course.ops.nms import batched_nms, nms, nms_in_blocks, nms_steps
from course.ops.step import replay

# Boxes 10 wide on one line: 0 and 1 overlap by 8 of 12 pixels, 1 and 2 likewise, 0 and 2 by 6 of 14; 3 stands apart.
BOXES = torch.tensor([[0.0, 0, 10, 1], [2, 0, 12, 1], [4, 0, 14, 1], [50, 0, 60, 1]])
SCORES = torch.tensor([0.9, 0.8, 0.7, 0.95])

FUNCTIONS = [nms, nms_in_blocks, lambda *given: nms_in_blocks(*given, block=1), lambda *given: nms_in_blocks(*given, block=2)]
every = pytest.mark.parametrize("function", FUNCTIONS, ids=["nms", "in blocks", "blocks of 1", "blocks of 2"])


@every
def test_by_hand(function):
    assert function(BOXES, SCORES, 0.5).tolist() == [3, 0, 2]  # 1 goes, and what is gone removes nobody: 2 stays
    assert function(BOXES, SCORES, 0.4).tolist() == [3, 0]
    assert function(BOXES, SCORES, 0.7).tolist() == [3, 0, 1, 2]
    assert function(BOXES, torch.tensor([0.7, 0.9, 0.8, 0.1]), 0.5).tolist() == [1, 3]


@every
def test_exactly_at_the_threshold_a_box_stays(function):
    halves = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]])  # IoU 1 / 2
    assert function(halves, SCORES[:2], 0.5).tolist() == [0, 1]
    assert function(halves, SCORES[:2], 0.499).tolist() == [0]
    same = BOXES[[0, 0]]
    assert function(same, SCORES[:2], 1.0).tolist() == [0, 1]
    assert function(BOXES[[0, 3]], SCORES[:2], 0.0).tolist() == [0, 1]


@every
def test_the_threshold_is_not_rounded(function):
    """IoU 3/10 in float32 is 0.30000001, which is above 0.3: rounded to float32, the threshold would be the same number."""
    boxes = torch.tensor([[0.0, 0, 13, 1], [7, 0, 20, 1]])
    assert function(boxes, SCORES[:2], 0.3).tolist() == [0]
    assert function(boxes.double(), SCORES[:2], 0.3).tolist() == [0, 1]


@every
def test_of_equal_scores_the_first_wins(function):
    scores = torch.tensor([0.5, 0.5, 0.5, 0.5])
    assert function(BOXES, scores, 0.5).tolist() == [0, 2, 3]
    assert function(BOXES.flip(0), scores, 0.5).tolist() == [0, 1, 3]


@every
def test_none_one_and_all_the_same(function):
    none = function(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert none.shape == (0,) and none.dtype == torch.int64
    assert function(BOXES[:1], SCORES[:1], 0.5).tolist() == [0]
    assert function(BOXES[:1].expand(50, 4), torch.arange(50.0), 0.5).tolist() == [49]


@every
def test_boxes_without_area_stay_and_remove_nothing(function):
    boxes = torch.tensor([[1.0, 0, 1, 5], [1, 0, 1, 5], [5, 5, 0, 0], [0, 0, 10, 10]])
    assert function(boxes, SCORES, 0.5).tolist() == [3, 0, 1, 2]


@every
def test_scores_may_be_infinite(function):
    assert function(BOXES, torch.tensor([-torch.inf, 0.8, torch.inf, 0.1]), 0.5).tolist() == [2, 3, 0]


def test_a_long_chain_in_which_each_would_remove_the_next():
    left = torch.arange(300.0)[:, None] * 2
    boxes = torch.cat([left, 0 * left, left + 10, 0 * left + 1], dim=1)
    kept = nms(boxes, -torch.arange(300.0), 0.5)
    assert kept.tolist() == list(range(0, 300, 2))
    assert nms_in_blocks(boxes, -torch.arange(300.0), 0.5).tolist() == kept.tolist()


def test_labels_do_not_compete():
    same = BOXES[:1].expand(4, 4)
    assert batched_nms(same, SCORES, torch.tensor([1, 2, 1, 2]), 0.5).tolist() == [3, 0]
    assert batched_nms(same, SCORES, torch.tensor([1, 2, 3, 4]), 0.5).tolist() == [3, 0, 1, 2]
    assert batched_nms(same, SCORES, torch.zeros(4), 0.5).tolist() == [3]
    assert batched_nms(same, torch.ones(4), torch.tensor([2, 1, 2, 1]), 0.5).tolist() == [0, 1]
    assert batched_nms(same[:0], SCORES[:0], torch.zeros(0), 0.5).tolist() == []
    negative = torch.tensor([[-20.0, 0, -10, 1], [-9, 0, 1, 1]])  # outside the picture: shifting labels apart would join these two
    assert batched_nms(negative, SCORES[:2], torch.tensor([0, 1]), 0.0).tolist() == [0, 1]


def test_the_steps():
    steps = list(nms_steps(BOXES, SCORES, 0.5))
    assert [step.text for step in steps] == [
        "Box 3 has the highest score left, 0.95: keep it.",
        "Box 0 shares nothing with box 3: it stays.",
        "Box 1 shares nothing with box 3: it stays.",
        "Box 2 shares nothing with box 3: it stays.",
        "Box 0 has the highest score left, 0.9: keep it.",
        "Box 1 overlaps box 0 with IoU 0.667, above 0.5: remove it.",
        "Box 2 overlaps box 0 with IoU 0.429, not above 0.5: it stays.",
        "Only box 2, score 0.7, is left: keep it.",
    ]
    assert steps[4].arithmetic == "max(0.9, 0.8, 0.7) = 0.9"
    assert steps[5].arithmetic == "8 / (10 + 10 − 8) = 0.667"
    assert steps[5].reads["boxes"] == ((1, 0), (1, 1), (1, 2), (1, 3)) and steps[5].chosen["boxes"][0] == (0, 0)
    assert steps[5].writes == {"iou": {(0, 1): pytest.approx(2 / 3)}, "removed_by": {(1,): 0}}
    state = replay(steps, {"output": torch.full((3,), -1), "removed_by": torch.full((4,), -1)})
    assert state["output"].tolist() == [3, 0, 2] and state["removed_by"].tolist() == [-1, 0, -1, -1]


def test_a_tie_is_said():
    assert next(nms_steps(BOXES, torch.ones(4), 0.5)).text == "Box 0 is the first with the highest score left, 1: keep it."
