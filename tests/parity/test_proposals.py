"""course.ops.proposals against torchvision's RegionProposalNetwork.filter_proposals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.rpn import RegionProposalNetwork

from course.ops.boxes import clip_boxes
from course.ops.proposals import filter_proposals


def theirs(boxes, logits, levels, size, *, pre_nms, post_nms, nms_threshold, min_size):
    """Boxes and probabilities that torchvision's network proposes; it takes one picture in a batch, and levels one after another."""
    counts = [pre_nms, pre_nms]
    network = RegionProposalNetwork(
        None,
        None,
        0.7,
        0.3,
        256,
        0.5,
        dict(zip(("training", "testing"), counts, strict=True)),
        {"training": 0, "testing": post_nms},
        nms_threshold,
    ).eval()
    network.min_size = min_size
    of_level = levels.bincount().tolist()
    (found,), (scores,) = network.filter_proposals(boxes[None], logits[:, None], [size], of_level)
    return found, scores


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 9999),
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    pre_nms=st.sampled_from([1, 5, 20, 1000]),
    post_nms=st.sampled_from([1, 7, 30, 1000]),
    threshold=st.sampled_from([0.3, 0.5, 0.7]),
    min_size=st.sampled_from([1e-3, 6.0, 20.0]),
    double=st.booleans(),
)
def test_it_is_torchvisions(seed, counts, pre_nms, post_nms, threshold, min_size, double, device):
    draw, count, size = torch.Generator().manual_seed(seed), sum(counts), (90, 120)
    dtype = torch.float64 if double else torch.float32
    corner, side = (torch.rand(count, 2, generator=draw, dtype=dtype) for _ in range(2))
    boxes = torch.cat((130 * corner - 20, 130 * corner - 20 + 4 + 40 * side), 1)  # some beyond the border, some outside
    logits = (torch.randperm(count, generator=draw) / count * 6 - 3).to(dtype)  # no two are equal
    levels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    numbers = {"pre_nms": pre_nms, "post_nms": post_nms, "nms_threshold": threshold, "min_size": min_size}
    expected, probabilities = theirs(boxes, logits, levels, size, **numbers)
    kept = filter_proposals(boxes.to(device), logits.to(device), levels.to(device), size, **numbers).cpu()
    torch.testing.assert_close(clip_boxes(boxes[kept], size), expected)
    torch.testing.assert_close(logits[kept].sigmoid(), probabilities)
    mixed = torch.randperm(count, generator=draw)  # the order in which boxes come means nothing
    again = filter_proposals(boxes[mixed].to(device), logits[mixed].to(device), levels[mixed].to(device), size, **numbers).cpu()
    assert mixed[again].tolist() == kept.tolist()
    if len(counts) == 1:
        assert filter_proposals(boxes, logits, None, size, **numbers).tolist() == kept.tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_float32(dtype, device):
    draw = torch.Generator().manual_seed(1)
    corner = (60 * torch.rand(80, 2, generator=draw)).round()
    boxes = torch.cat((corner, corner + 20), 1)  # whole numbers, which half precision holds
    scores = torch.randperm(80, generator=draw).float()
    kept = filter_proposals(boxes.to(device, dtype), scores.to(device, dtype), None, 100)
    assert kept.cpu().tolist() == filter_proposals(boxes, scores, None, 100).tolist()
