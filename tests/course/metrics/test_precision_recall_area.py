from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course.metrics import precision_recall_area, precision_recall_curve

verdicts = st.lists(st.booleans(), max_size=30)


def area_of(right, objects, scores=None):
    scores = torch.linspace(1, 0.1, len(right)) if scores is None else torch.tensor(scores)
    return precision_recall_area(scores, torch.tensor(right, dtype=torch.bool), objects)


def test_by_hand():
    assert area_of([True, False, False, True, True], 4) == pytest.approx((1 + 0.6 + 0.6) / 4)
    assert area_of([False, True, True], 2, [0.9, 0.1, 0.5]) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert area_of([True, False, True], 2, [0.1, 0.9, 0.5]) == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert area_of([False, True], 1, [0.5, 0.5]) == pytest.approx(1 / 2)
    assert area_of([True, False], 1, [0.5, 0.5]) == 1
    assert area_of([True, True, True], 3) == 1
    assert area_of([], 3) == 0
    assert area_of([False], 3) == 0


@given(verdicts, st.integers(0, 5))
def test_it_is_the_integral_of_the_best_precision_at_a_recall_or_a_higher_one(right, missed):
    """Between k / objects and (k + 1) / objects the curve is flat: its height is read in the middle, in whole numbers."""
    objects = max(1, sum(right) + missed)
    hits = [sum(right[: n + 1]) for n in range(len(right))]
    heights = [
        max((Fraction(h, n + 1) for n, h in enumerate(hits) if Fraction(h, objects) >= Fraction(2 * k + 1, 2 * objects)), default=0)
        for k in range(objects)
    ]
    assert area_of(right, objects) == pytest.approx(float(sum(heights, Fraction(0)) / objects))


@given(verdicts, st.integers(0, 5))
def test_cocos_mean_over_101_recalls_is_never_far(right, missed):
    """An object and a detection far apart from each other for each verdict: those that are right lie on their object."""
    objects = max(1, sum(right) + missed)
    boxes = 10.0 * torch.arange(len(right) + objects)[:, None] + torch.tensor([0.0, 0, 5, 5])
    hit = torch.tensor(right, dtype=torch.bool)
    there = torch.cat((boxes[: len(right)][hit], boxes[len(right) :][: objects - sum(right)]))
    scores = torch.linspace(1, 0.1, len(right))
    found = {"boxes": boxes[: len(right)], "labels": torch.ones(len(right), dtype=torch.int64), "scores": scores}
    target = {"boxes": there, "labels": torch.ones(objects, dtype=torch.int64)}
    curve = precision_recall_curve([found], [target], label=1)
    assert curve.right.tolist() == right and curve.objects == objects
    assert abs(precision_recall_area(curve.scores, curve.right, curve.objects) - curve.average_precision) <= 0.01 + 1e-9


@pytest.mark.parametrize("objects", [-1, 0, 1])
def test_there_are_as_many_objects_as_are_found(objects):
    with pytest.raises(ValueError, match="at least one object, and as many as are found, 2; got objects="):
        area_of([True, True], objects)


@pytest.mark.parametrize(("scores", "right"), [((3,), (2,)), ((2, 2), (2, 2)), ((), ())])
def test_two_rows_of_one_length_are_needed(scores, right):
    with pytest.raises(ValueError, match="A score and a verdict for each detection are needed"):
        precision_recall_area(torch.zeros(scores), torch.zeros(right, dtype=torch.bool), 1)
