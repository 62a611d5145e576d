"""hard_negatives against a slow loop, and on its edges."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course.ops.mining import hard_negatives
from tests.refusing import refuses

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def by_loop(losses: list[float], positive: list[bool], ratio: float) -> list[bool]:
    """One negative at a time, the largest loss that is left, the first of equal ones."""
    chosen = [False] * len(losses)
    while sum(chosen) < ratio * sum(positive):
        left = [i for i in range(len(losses)) if not positive[i] and not chosen[i]]
        if not left:
            break
        chosen[max(left, key=lambda i: (losses[i], -i))] = True
    return chosen


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=200, deadline=None)
@given(
    boxes=st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.5, 7.0, math.inf]), st.integers(0, 3).map(lambda n: n == 0)), max_size=25),
    ratio=st.sampled_from([0, 0.5, 1, 1.5, 3.0, 100]),
    dtype=st.sampled_from(FLOATS),
)
def test_as_by_a_slow_loop(device, boxes, ratio, dtype):
    """Most losses are equal to some others."""
    losses, positive = [loss for loss, _ in boxes], [there for _, there in boxes]
    found = hard_negatives(torch.tensor(losses, dtype=dtype, device=device), torch.tensor(positive, dtype=torch.bool, device=device), ratio)
    assert found.dtype == torch.bool and found.device.type == device
    assert found.tolist() == by_loop(losses, positive, ratio)


def test_by_hand():
    losses, positive = torch.tensor([2.1, 0.4, 0.1, 1.7, 0.9, 0.2]), torch.tensor([False, False, True, False, False, False])
    assert hard_negatives(losses, positive).tolist() == [True, False, False, True, True, False]
    assert hard_negatives(losses, positive, 1).tolist() == [True, False, False, False, False, False]
    assert hard_negatives(losses, positive, 1.5).tolist() == [True, False, False, True, False, False]  # rounded up


def test_a_positive_with_the_largest_loss_takes_no_place():
    losses, positive = torch.tensor([9.0, 1, 8, 2, 3, 0]), torch.tensor([True, False, True, False, False, False])
    assert hard_negatives(losses, positive, 1).tolist() == [False, False, False, True, True, False]


def test_of_equal_losses_the_first():
    losses, positive = torch.ones(1000), torch.arange(1000) == 500
    assert hard_negatives(losses, positive).nonzero().flatten().tolist() == [0, 1, 2]


def test_without_positives_there_are_none():
    assert not hard_negatives(torch.rand(5), torch.zeros(5, dtype=torch.bool)).any()
    assert hard_negatives(torch.rand(0), torch.zeros(0, dtype=torch.bool)).shape == (0,)


def test_more_are_asked_for_than_there_are():
    positive = torch.tensor([True, False, True, True, False])
    assert torch.equal(hard_negatives(torch.rand(5), positive), ~positive)
    assert not hard_negatives(torch.rand(5), torch.ones(5, dtype=torch.bool)).any()


def test_a_loss_that_is_no_number_is_not_overlooked():
    losses, positive = torch.tensor([1.0, 5, math.nan, 4, 2, 3]), torch.tensor([True, False, False, False, False, False])
    assert hard_negatives(losses, positive, 2).tolist() == [False, True, True, False, False, False]


def test_inputs_stay_and_no_gradient_flows():
    losses, positive = torch.rand(6, requires_grad=True), torch.tensor([True, False, False, False, False, False])
    before = losses.detach().clone(), positive.clone()
    assert not hard_negatives(losses, positive).requires_grad
    assert torch.equal(losses, before[0]) and torch.equal(positive, before[1])


def test_what_is_refused():
    losses, positive = torch.rand(4), torch.zeros(4, dtype=torch.bool)
    refuses(lambda: hard_negatives(losses.tolist(), positive), TypeError, "losses must be a floating-point tensor [N]; got list")
    refuses(lambda: hard_negatives(losses.long(), positive), TypeError, "losses", "got torch.int64")
    refuses(lambda: hard_negatives(losses, positive.long()), TypeError, "positive must be a bool tensor [N]; got torch.int64")
    refuses(lambda: hard_negatives(losses, [True] * 4), TypeError, "positive", "got list")
    refuses(lambda: hard_negatives(losses[:3], positive), ValueError, "got [3] and [4]")
    refuses(lambda: hard_negatives(losses[None], positive[None]), ValueError, "those of one image; got [1, 4] and [1, 4]")
    for ratio in (-1, math.nan, math.inf):
        refuses(lambda ratio=ratio: hard_negatives(losses, positive, ratio), ValueError, "ratio must be a finite number from 0", str(ratio))
    for ratio in ("3", True, None):
        refuses(lambda ratio=ratio: hard_negatives(losses, positive, ratio), TypeError, "ratio must be a number from 0", repr(ratio))
