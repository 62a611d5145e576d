"""course.ops.nms against torchvision."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.ops.boxes import _batched_nms_vanilla

from course.ops.nms import batched_nms, nms, nms_in_blocks, nms_steps
from course.ops.step import replay

properties = settings(max_examples=150, deadline=None)
THRESHOLDS = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 1.0])
FUNCTIONS = (nms, nms_in_blocks, lambda *given: nms_in_blocks(*given, block=3))


def crowd(count, seed, integers=True, dtype=torch.float32):
    """Boxes that overlap a lot, some equal, and scores of which many are; with integers the IoU is often a threshold exactly."""
    generator = torch.Generator().manual_seed(seed)
    corner, side = (torch.rand(count, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    corner, side = (corner * 6, 1 + side * 5)
    if integers:
        corner, side = corner.floor(), side.round()
    scores = torch.randint(0, 8, (count,), generator=generator) / 8
    return torch.cat([corner, corner + side], dim=1).to(dtype), scores.to(dtype)


@properties
@given(n=st.integers(0, 40), seed=st.integers(0, 9999), threshold=THRESHOLDS, integers=st.booleans(), double=st.booleans())
def test_it_is_torchvisions(n, seed, threshold, integers, double, device):
    boxes, scores = crowd(n, seed, integers, torch.float64 if double else torch.float32)
    expected = torchvision.ops.nms(boxes, scores, threshold)
    for function in FUNCTIONS:
        kept = function(boxes.to(device), scores.to(device), threshold)
        assert kept.device.type == device.type
        torch.testing.assert_close(kept.cpu(), expected)


@properties
@given(n=st.integers(0, 20), seed=st.integers(0, 9999), threshold=THRESHOLDS, integers=st.booleans())
def test_last_state_of_the_steps_is_torchvisions(n, seed, threshold, integers):
    boxes, scores = crowd(n, seed, integers)
    expected = torchvision.ops.nms(boxes, scores, threshold)
    removed_by, iou = torch.full((n,), -1), torch.full((n, n), torch.nan)
    state = replay(nms_steps(boxes, scores, threshold), {"output": torch.full_like(expected, -1), "removed_by": removed_by, "iou": iou})
    torch.testing.assert_close(state["output"], expected)
    gone = (state["removed_by"] >= 0).nonzero()[:, 0]
    assert sorted([*gone.tolist(), *expected.tolist()]) == list(range(n))
    known = ~state["iou"].isnan()
    torch.testing.assert_close(state["iou"][known], torchvision.ops.box_iou(boxes, boxes)[known])
    assert (state["iou"][state["removed_by"][gone], gone].double() > threshold).all()


@properties
@given(n=st.integers(0, 40), seed=st.integers(0, 9999), threshold=THRESHOLDS, labels=st.integers(1, 5))
def test_with_labels_it_is_torchvisions(n, seed, threshold, labels, device):
    boxes, scores = crowd(n, seed)
    classes = torch.randint(0, labels, (n,), generator=torch.Generator().manual_seed(seed + 1))
    kept = batched_nms(boxes.to(device), scores.to(device), classes.to(device), threshold).cpu()
    expected = _batched_nms_vanilla(boxes, scores, classes, threshold)  # sorts, but not stably
    assert sorted(kept.tolist()) == sorted(expected.tolist())
    assert kept.tolist() == sorted(kept.tolist(), key=lambda i: (-scores[i].item(), i))
    if threshold in (0.0, 0.25, 0.5, 1.0):  # the shift that torchvision chooses here is exact for such small integers
        torch.testing.assert_close(kept, torchvision.ops.batched_nms(boxes, scores, classes, threshold))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype, device):
    for seed in range(20):
        boxes, scores = crowd(30, seed, integers=False, dtype=dtype)
        expected = torchvision.ops.nms(boxes.float(), scores.float(), 0.4)
        for function in FUNCTIONS:
            torch.testing.assert_close(function(boxes.to(device), scores.to(device), 0.4).cpu(), expected)


@pytest.mark.parametrize("spread", [1000, 200, 60])
def test_two_thousand_boxes(spread, device):
    generator = torch.Generator().manual_seed(spread)
    corner, side, scores = (torch.rand(2000, k, generator=generator) for k in (2, 2, 1))
    boxes = torch.cat([corner * spread, corner * spread + 20 + 80 * side], dim=1)
    expected = torchvision.ops.nms(boxes, scores[:, 0], 0.5)
    for function in (nms, nms_in_blocks):  # the slow one is the fast one's oracle, and torchvision is that of both
        torch.testing.assert_close(function(boxes.to(device), scores[:, 0].to(device), 0.5).cpu(), expected)


@pytest.mark.parametrize("shift", [-1e4, 1e5, 3e6])
def test_coordinates_far_from_zero(shift, device):
    for seed in range(10):
        boxes, scores = crowd(40, seed)
        boxes = boxes + shift  # still whole numbers, which float32 holds exactly up to 16.7 million
        for function in FUNCTIONS:
            torch.testing.assert_close(function(boxes.to(device), scores.to(device), 0.3).cpu(), torchvision.ops.nms(boxes, scores, 0.3))
