"""Keypoints on heat maps against torchvision's functions, and by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints, keypointrcnn_loss, keypoints_to_heatmap

from course.ops.keypoints import decode_keypoints, keypoint_loss, keypoint_targets
from tests.refusing import refuses

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
HALVES = (torch.float16, torch.bfloat16)


def drawn(seed: int, regions: int, keypoints: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Regions, and points of which some lie outside, some on an edge, some unseen."""
    draw = torch.Generator().manual_seed(seed)
    boxes = (torch.rand(regions, 2, 2, generator=draw).sort(1).values * 60 + torch.tensor([[0.0], [0.5]])).flatten(1)
    share = torch.randint(-1, 10, (regions, keypoints, 2), generator=draw) / 8
    points = boxes[:, None, :2] + share * (boxes[:, None, 2:] - boxes[:, None, :2])
    points = points.where(share != 1, boxes[:, None, 2:])  # just on the edge
    return torch.cat((points, torch.randint(3, (regions, keypoints, 1), generator=draw)), -1), boxes


# -- keypoint_targets


@pytest.mark.parametrize("device", DEVICES)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), regions=st.sampled_from([0, 1, 7]), size=st.sampled_from([1, 7, 56]))
def test_cells_as_by_torchvision(device, seed, regions, size):
    keypoints, boxes = (part.to(device) for part in drawn(seed, regions))
    found = keypoint_targets(keypoints, boxes, size)
    cells, valid = keypoints_to_heatmap(keypoints, boxes, size)
    assert found.dtype == torch.int64
    assert torch.equal(found, cells.where(valid.bool(), -1))


def test_cells_by_hand():
    """A box of 8 × 4 pixels on a map of 4 × 4: cells are two pixels wide and one high."""
    points = [[10.0, 20, 2], [11.9, 20, 1], [12, 21, 2], [17.9, 23.9, 2], [18, 24, 2], [18.1, 22, 2], [9.9, 22, 2], [14, 22, 0]]
    found = keypoint_targets(torch.tensor([points]), torch.tensor([[10.0, 20, 18, 24]]), 4)
    assert found.tolist() == [[0, 0, 4 + 1, 15, 15, -1, -1, -1]]


def test_a_region_without_width_has_no_cells_but_its_edge():
    found = keypoint_targets(torch.tensor([[[5.0, 5, 2], [6, 5, 2]]]), torch.tensor([[5.0, 5, 5, 5]]), 56)
    assert found.tolist() == [[56 * 56 - 1, -1]]


def test_points_that_are_no_numbers_are_not_learnt():
    assert keypoint_targets(torch.tensor([[[math.nan, 5, 2], [math.inf, 5, 2]]]), torch.tensor([[0.0, 0, 9, 9]]), 56).tolist() == [[-1, -1]]


# -- keypoint_loss


@pytest.mark.parametrize("device", DEVICES)
def test_loss_and_gradient_as_by_torchvision(device):
    keypoints, boxes = (part.to(device) for part in drawn(5, 6))
    logits = torch.randn(6, 4, 14, 14, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    found = keypoint_loss(logits, keypoint_targets(keypoints, boxes, 14))
    expected = keypointrcnn_loss(logits, [boxes[:2], boxes[2:]], [keypoints[:2], keypoints[2:]], [torch.arange(2), torch.arange(4)])
    assert found > 1
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (found, expected)))


def test_the_loss_by_hand():
    """Four equal logits: log 4. One of log 5 against three of 0: log 8 − log 5. The third does not count."""
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 1, 1, 0] = math.log(5)
    logits[0, 2] = 9
    assert keypoint_loss(logits, torch.tensor([[3, 2, -1]])).item() == pytest.approx((math.log(4) + math.log(8) - math.log(5)) / 2)


@pytest.mark.parametrize("regions", [0, 2])
def test_nothing_to_see_no_loss(regions):
    logits = torch.randn(regions, 3, 5, 5, requires_grad=True)
    loss = keypoint_loss(logits, torch.full((regions, 3), -1))
    assert loss.item() == 0
    loss.backward()
    assert not logits.grad.any()


# -- decode_keypoints


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [0, 1, 12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_decoded_as_by_torchvision(device, count, dtype):
    _, boxes = drawn(1, count)
    boxes = boxes.to(device, dtype)
    boxes[:3, 2:] = boxes[:3, :2] + torch.tensor([[0.2, 0.4], [1, 1], [30.5, 0.9]], device=device, dtype=dtype)[:count]
    maps = torch.randn(count, 5, 56, 56, generator=torch.Generator().manual_seed(2), dtype=dtype).to(device)
    points, scores = decode_keypoints(maps, boxes)
    expected, expected_scores = heatmaps_to_keypoints(maps, boxes)
    assert points.dtype == scores.dtype == dtype
    torch.testing.assert_close(points, expected.to(dtype), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scores, expected_scores.to(dtype), rtol=1e-5, atol=1e-5)


def test_decoded_by_hand():
    """A map as large as its box is not enlarged: the peak in row 1, column 3 is in the middle of that pixel."""
    maps = torch.zeros(1, 2, 4, 4)
    maps[0, 0, 1, 3], maps[0, 1, 0, 0] = 7, 2
    points, scores = decode_keypoints(maps, torch.tensor([[10.0, 20, 14, 24]]))
    assert points.tolist() == [[[13.5, 21.5, 1], [10.5, 20.5, 1]]] and scores.tolist() == [[7, 2]]
    # A box of 3.5 pixels is enlarged to 4, so each of them is 3.5 / 4 wide.
    points, _ = decode_keypoints(maps, torch.tensor([[10.0, 20, 13.5, 24]]))
    assert points[0, 0].tolist() == [10 + 3.5 * 3.5 / 4, 21.5, 1]


def test_of_equal_places_the_first():
    points, _ = decode_keypoints(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 4, 4]]))
    assert points.tolist() == [[[0.5, 0.5, 1]]]


def test_what_is_learnt_is_found_again():
    """Within half a cell, and half a pixel, of where it was, on maps that fall off around the cell.

    A single cell of 1 among zeros may be lost: a small box has fewer pixels than the map has cells, and bicubic looks at four a side.
    """
    keypoints, boxes = drawn(3, 20)
    inside = ((keypoints[..., :2] >= boxes[:, None, :2]) & (keypoints[..., :2] <= boxes[:, None, 2:])).all(-1)
    keypoints[..., 2] = 2
    cells = keypoint_targets(keypoints, boxes, 56)
    assert torch.equal(cells >= 0, inside) and inside.sum() > 30
    row, column = cells // 56, cells % 56
    at = torch.arange(56.0)
    maps = -(at[:, None] - row[..., None, None]).square() - (at - column[..., None, None]).square()  # [R, K, 56, 56]
    found, _ = decode_keypoints(maps, boxes)
    away = (found - keypoints)[..., :2].abs() - (boxes[:, 2:] - boxes[:, :2])[:, None] / 112
    assert away[inside].max() <= 0.5 + 1e-3


@pytest.mark.parametrize("dtype", HALVES)
def test_half_precision_is_rounded_once(dtype):
    maps, boxes = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype), drawn(1, 2)[1]
    found, expected = decode_keypoints(maps, boxes), decode_keypoints(maps.float(), boxes)
    assert all(part.dtype == dtype and torch.equal(part, wide.to(dtype)) for part, wide in zip(found, expected, strict=True))
    assert keypoint_loss(maps, torch.zeros(2, 3, dtype=torch.int64)).dtype == torch.float32


def test_what_is_refused():
    keypoints, boxes = drawn(0, 2)
    maps, cells = torch.zeros(2, 4, 5, 5), torch.zeros(2, 4, dtype=torch.int64)
    refuses(lambda: keypoint_targets(keypoints[..., :2], boxes, 5), ValueError, "keypoints must have shape [N, K, 3]", "got [2, 4, 2]")
    refuses(lambda: keypoint_targets(keypoints.long(), boxes, 5), TypeError, "floating-point tensor [N, K, 3]; got torch.int64")
    refuses(lambda: keypoint_targets(keypoints[:1], boxes, 5), ValueError, "as many; got 1 and 2")
    refuses(lambda: keypoint_targets(keypoints, boxes, 0), ValueError, "size must be at least 1")
    refuses(lambda: keypoint_loss(maps, cells.int()), TypeError, "targets must be an int64 tensor [R, K]; got torch.int32")
    refuses(lambda: keypoint_loss(maps, cells[:, :3]), ValueError, "shape [2, 4], a cell for each map; got [2, 3]")
    refuses(lambda: keypoint_loss(maps, cells + 25), ValueError, "cells from 0 to 24, or -1 for none; got 25")
    refuses(lambda: keypoint_loss(maps, cells - 2), ValueError, "got -2")
    refuses(lambda: decode_keypoints(maps[:, :, :3], boxes), ValueError, "logits must have shape [D, K, S, S]", "got [2, 4, 3, 5]")
    refuses(lambda: decode_keypoints(maps.tolist(), boxes), TypeError, "got list")
    refuses(lambda: decode_keypoints(maps, boxes[:1]), ValueError, "as many; got 2 and 1")
    refuses(lambda: decode_keypoints(maps, boxes * math.nan), ValueError, "boxes must be finite")


# -- GPU


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_processor():
    keypoints, boxes = (part.double() for part in drawn(3, 12))
    targets = keypoint_targets(keypoints, boxes, 14)
    targets_there = keypoint_targets(keypoints.cuda(), boxes.cuda(), 14)
    assert targets_there.is_cuda and torch.equal(targets_there.cpu(), targets) and (targets >= 0).any() and (targets < 0).any()
    here = torch.randn(12, 4, 14, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    there = here.clone().cuda().requires_grad_()
    loss, loss_there = keypoint_loss(here.requires_grad_(), targets), keypoint_loss(there, targets_there)
    torch.testing.assert_close(loss_there.cpu(), loss)
    loss.backward()
    loss_there.backward()
    torch.testing.assert_close(there.grad.cpu(), here.grad)
    for found, expected in zip(decode_keypoints(there.detach(), boxes.cuda()), decode_keypoints(here.detach(), boxes), strict=True):
        assert found.is_cuda
        torch.testing.assert_close(found.cpu(), expected)
