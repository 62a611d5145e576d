"""course.ops.matching against torchvision's Matcher and BalancedPositiveNegativeSampler."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler, Matcher

from course.ops.boxes import box_iou
from course.ops.matching import IGNORED, NEGATIVE, match_boxes, match_boxes_steps, sample_matches
from course.ops.step import replay

properties = settings(max_examples=150, deadline=None)
SHARES = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0])
DTYPES = (torch.float16, torch.float32, torch.float64)


def overlaps(objects, boxes, seed, tenths, dtype=torch.float32):
    """iou [objects, boxes]; in tenths there are ties, and thresholds are met exactly."""
    generator = torch.Generator().manual_seed(seed)
    if tenths:
        return (torch.randint(0, 11, (objects, boxes), generator=generator) / 10).to(dtype)
    return torch.rand(objects, boxes, generator=generator).to(dtype)


@properties
@given(
    objects=st.integers(1, 6),
    boxes=st.integers(1, 20),
    seed=st.integers(0, 9999),
    tenths=st.booleans(),
    thresholds=st.tuples(SHARES, SHARES),
    low_quality=st.booleans(),
    dtype=st.sampled_from(DTYPES),
)
def test_it_is_torchvisions_and_so_are_the_steps(objects, boxes, seed, tenths, thresholds, low_quality, dtype, device):
    iou, (low, high) = overlaps(objects, boxes, seed, tenths, dtype), sorted(thresholds)
    expected = Matcher(high, low, low_quality)(iou)
    matches = match_boxes(iou.to(device), high, low, low_quality)
    assert matches.device.type == device.type
    torch.testing.assert_close(matches.cpu(), expected)
    state = replay(match_boxes_steps(iou, high, low, low_quality), {"output": torch.full((boxes,), 99)})
    torch.testing.assert_close(state["output"], expected)


@properties
@given(seed=st.integers(0, 999), low_quality=st.booleans())
def test_on_boxes_it_is_torchvisions(seed, low_quality, device):
    generator = torch.Generator().manual_seed(seed)
    corner, side = (torch.randint(1, 12, (24, 2), generator=generator).float() for _ in range(2))
    boxes = torch.cat([corner, corner + side], dim=1)
    iou = box_iou(boxes[:4], boxes[4:])
    torch.testing.assert_close(match_boxes(iou.to(device), 0.5, 0.3, low_quality).cpu(), Matcher(0.5, 0.3, low_quality)(iou))


def test_the_names_of_its_answers_are_torchvisions():
    assert (NEGATIVE, IGNORED) == (Matcher.BELOW_LOW_THRESHOLD, Matcher.BETWEEN_THRESHOLDS)


@properties
@given(n=st.integers(0, 60), size=st.integers(0, 40), fraction=SHARES, seed=st.integers(0, 999))
def test_samples_have_the_counts_of_torchvisions(n, size, fraction, seed, device):
    matches = torch.randint(-2, 3, (n,), generator=torch.Generator().manual_seed(seed))
    labels = torch.where(matches >= 0, 1, torch.where(matches == NEGATIVE, 0, -1))  # as torchvision's sampler wants them
    (positive,), (negative,) = BalancedPositiveNegativeSampler(size, fraction)([labels])
    generator = torch.Generator().manual_seed(seed)
    sample = sample_matches(matches.to(device), size, fraction, generator)
    assert [len(part) for part in sample] == [int(positive.sum()), int(negative.sum())]
    assert (matches[sample.positive.cpu()] >= 0).all() and (matches[sample.negative.cpu()] == NEGATIVE).all()
    again = sample_matches(matches, size, fraction, torch.Generator().manual_seed(seed))
    assert [part.tolist() for part in again] == [part.tolist() for part in sample]  # the same on every device


@pytest.mark.gpu
def test_a_sample_may_be_drawn_on_the_gpu():
    matches = torch.randint(-2, 3, (100,)).cuda()
    sample = sample_matches(matches, 20, 0.5, torch.Generator("cuda").manual_seed(0))
    assert [len(part) for part in sample] == [10, 10] and sample.positive.is_cuda
