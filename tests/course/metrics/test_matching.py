"""Overlaps against torchvision and counting pixels; matching against the loop over every threshold, detection and object."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops import box_iou

from course.metrics.matching import match, overlaps

properties = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 100_000)


def matched_by_loops(overlap, threshold, ignored, crowd):
    """COCO's rules word by word, one threshold, one area range."""
    taken, answer = set(), []
    for row in overlap:
        best = None
        for counts in (True, False):  # objects that count are asked first
            for g, value in enumerate(row):
                if ignored[g] == counts or value < min(threshold, 1 - 1e-10) or (g in taken and not crowd[g]):
                    continue
                if best is None or value >= row[best]:
                    best = g
            if best is not None:
                break
        if best is not None:
            taken.add(best)
        answer.append(-1 if best is None else best)
    return answer


@properties
@given(seeds, st.integers(0, 6), st.integers(0, 5))
def test_matching_equals_the_loop(seed, detections, objects):
    draw = np.random.default_rng(seed)
    overlap = draw.integers(0, 5, (detections, objects)) / 4  # 0, 0.25 … 1: equal ones, and exactly at the threshold
    crowd = draw.random(objects) < 0.3
    ignored = crowd | (draw.random((3, objects)) < 0.3)
    thresholds = np.array([0.25, 0.5, 0.75, 1.0])
    found = match(overlap, thresholds, ignored, crowd)
    for r in range(3):
        for t, threshold in enumerate(thresholds):
            assert found[r, t].tolist() == matched_by_loops(overlap, threshold, ignored[r], crowd), (r, t)


def test_matching_by_hand():
    overlap = np.array([[0.6, 0.9], [0.6, 0.8], [0.3, 0.7]])
    none = np.zeros((1, 2), bool)
    found = match(overlap, np.array([0.5]), none, none[0])
    assert found.tolist() == [[[1, 0, -1]]]  # the second detection would rather have object 1, but it is taken
    assert match(overlap, np.array([0.85]), none, none[0]).tolist() == [[[1, -1, -1]]]
    crowd = np.array([False, True])
    assert match(overlap, np.array([0.5]), crowd[None], crowd).tolist() == [[[0, 1, 1]]]  # a crowd comes last, and again and again
    equal = np.array([[0.6, 0.6]])
    assert match(equal, np.array([0.6]), none, none[0]).tolist() == [[[1]]]  # exactly at the threshold; of equal ones the last
    assert match(equal, np.array([0.6000001]), none, none[0]).tolist() == [[[-1]]]
    almost = np.array([[1 - 1e-12, 0]])  # as much overlap as rounding leaves of a perfect one
    assert match(almost, np.array([1.0]), none, none[0]).tolist() == [[[0]]]


def instances(seed, count, kind):
    draw = np.random.default_rng(seed)
    if kind == "boxes":
        corner = draw.integers(0, 8, (count, 2))
        return np.concatenate([corner, corner + draw.integers(0, 6, (count, 2))], 1).astype(float)
    masks = np.empty(count, dtype=object)
    for n in range(count):
        masks[n] = draw.random((9, 7)) < draw.choice([0, 0.1, 0.5])
    return masks


@properties
@given(seeds, st.integers(0, 4), st.integers(0, 4))
def test_overlap_of_boxes_equals_torchvision(seed, detections, objects):
    a, b = instances(seed, detections, "boxes"), instances(seed + 1, objects, "boxes")
    expected = box_iou(torch.from_numpy(a), torch.from_numpy(b)).nan_to_num(nan=0)  # 0/0 where neither has an area
    torch.testing.assert_close(torch.from_numpy(overlaps(a, b, np.zeros(objects, bool))), expected)


@properties
@given(seeds, st.integers(0, 4), st.integers(0, 4))
def test_overlap_of_masks_is_what_counting_gives(seed, detections, objects):
    a, b = instances(seed, detections, "masks"), instances(seed + 1, objects, "masks")
    got = overlaps(a, b, np.arange(objects) == 0)  # the first object is a crowd
    assert got.shape == (detections, objects)
    for d in range(detections):
        for g in range(objects):
            over = a[d].sum() if g == 0 else (a[d] | b[g]).sum()
            assert got[d, g] == pytest.approx((a[d] & b[g]).sum() / max(over, 1))


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_no_area_is_no_overlap_and_no_warning(kind):
    flat = np.array([[3.0, 3, 3, 3]]) if kind == "boxes" else instances(0, 1, "masks")
    if kind == "masks":
        flat[0][:] = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for crowd in (False, True):
            assert overlaps(flat, flat, np.array([crowd])).tolist() == [[0.0]]
