"""course.ops.boxes against torchvision."""

import itertools

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder

from course.ops import boxes as ops
from course.ops.step import replay

properties = settings(max_examples=60, deadline=None)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SETS = ("apart", "integers", "outside", "huge", "identical")


def drawn(count, seed, kind="apart"):
    """Proper boxes [count, 4] in float64; "integers" touch, contain and repeat each other."""
    generator = torch.Generator().manual_seed(seed)
    corner, side = (torch.rand(count, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    corner, side = corner * 80, 1 + side * 60
    if kind == "integers":
        corner, side = (corner / 16).floor(), (side / 12).ceil()
    boxes = torch.cat([corner, corner + side], dim=1)
    if kind == "identical":
        boxes = boxes[:1].expand(count, 4).clone()
    return {"outside": boxes - 70, "huge": boxes * 1e6}.get(kind, boxes)


@properties
@given(n=st.integers(0, 9), m=st.integers(0, 9), seed=st.integers(0, 999), kind=st.sampled_from(SETS), dtype=st.sampled_from(DTYPES))
def test_iou_and_area_are_torchvisions(n, m, seed, kind, dtype, device):
    a, b = drawn(n, seed, kind).to(dtype), drawn(m, seed + 1, kind).to(dtype)
    finite = bool(a.isfinite().all() and b.isfinite().all())  # huge ones are no float16
    iou = ops.box_iou(a.to(device), b.to(device))
    expected = torchvision.ops.box_iou(a.double(), b.double())
    assert iou.device.type == device.type and iou.dtype == torchvision.ops.box_iou(a, b).dtype
    if finite:
        torch.testing.assert_close(iou.cpu().double(), expected, rtol=1e-5, atol=1e-6)
        area = ops.box_area(a.to(device)).cpu()
        torch.testing.assert_close(area.double(), torchvision.ops.box_area(a.double()), rtol=1e-5, atol=1e-6)
        assert area.dtype == torchvision.ops.box_area(a).dtype


@properties
@given(n=st.integers(0, 12), seed=st.integers(0, 999))
def test_iou_of_inverted_and_degenerate_boxes_is_torchvisions_where_that_is_a_number(n, seed, device):
    corners = torch.randint(0, 4, (n, 4), generator=torch.Generator().manual_seed(seed)).double()
    iou = ops.box_iou(corners.to(device), corners.to(device)).cpu()
    expected = torchvision.ops.box_iou(corners, corners)
    torch.testing.assert_close(iou, expected.nan_to_num(0.0))


@properties
@given(n=st.integers(0, 9), seed=st.integers(0, 99), kind=st.sampled_from(SETS), height=st.integers(1, 99), width=st.integers(1, 99))
def test_clipping_is_torchvisions(n, seed, kind, height, width, device):
    boxes = drawn(n, seed, kind)
    clipped = ops.clip_boxes(boxes.to(device), (height, width))
    torch.testing.assert_close(clipped.cpu(), torchvision.ops.clip_boxes_to_image(boxes, (height, width)), rtol=0, atol=0)


@properties
@given(n=st.integers(0, 9), seed=st.integers(0, 99), kind=st.sampled_from(SETS), dtype=st.sampled_from((torch.float32, torch.float64)))
def test_conversions_are_torchvisions(n, seed, kind, dtype, device):
    boxes = drawn(n, seed, kind).to(dtype)
    for form in ("cxcywh", "xywh"):
        for there, back in (("xyxy", form), (form, "xyxy")):
            converted = getattr(ops, f"{there}_to_{back}")(boxes.to(device)).cpu()
            torch.testing.assert_close(converted, torchvision.ops.box_convert(boxes, there, back))


WEIGHTS = ((1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0), (0.5, 2.0, 3.0, 7.0))


@properties
@given(n=st.integers(0, 9), seed=st.integers(0, 999), kind=st.sampled_from(SETS), weights=st.sampled_from(WEIGHTS))
def test_encoding_is_torchvisions_and_decoding_undoes_it(n, seed, kind, weights, device):
    gt, proposals = drawn(n, seed, kind), drawn(n, seed + 1, kind)
    expected = BoxCoder(weights).encode_single(gt, proposals)
    targets = ops.encode_boxes(gt.to(device), proposals.to(device), weights)
    torch.testing.assert_close(targets.cpu(), expected)
    torch.testing.assert_close(ops.decode_boxes(targets, proposals.to(device), weights).cpu(), gt)


@properties
@given(
    n=st.integers(0, 9),
    classes=st.integers(1, 4),
    seed=st.integers(0, 999),
    weights=st.sampled_from(WEIGHTS),
    scale=st.sampled_from([0.1, 1, 10]),  # of 10, some are cut
)
def test_decoding_is_torchvisions(n, classes, seed, weights, scale, tensor, device):
    deltas, proposals = tensor((n, 4 * classes), seed) * scale, drawn(n, seed)
    expected = BoxCoder(weights).decode_single(deltas, proposals)
    torch.testing.assert_close(ops.decode_boxes(deltas.to(device), proposals.to(device), weights).cpu(), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_precision_is_encoded_and_decoded(dtype, tensor, device):
    gt, proposals = drawn(20, 0).to(dtype), drawn(20, 1).to(dtype)
    targets = ops.encode_boxes(gt.to(device), proposals.to(device))
    expected = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(gt.double(), proposals.double())
    torch.testing.assert_close(targets.cpu(), expected.to(dtype))
    deltas = (tensor((20, 4)) / 2).to(dtype)
    decoded = ops.decode_boxes(deltas.to(device), proposals.to(device))
    expected = BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(deltas.double(), proposals.double())
    torch.testing.assert_close(decoded.cpu(), expected.to(dtype))


@properties
@given(n=st.integers(1, 3), m=st.integers(1, 3), seed=st.integers(0, 999), kind=st.sampled_from(SETS))
def test_last_state_of_the_iou_steps_is_torchvisions(n, m, seed, kind):
    a, b = drawn(n, seed, kind), drawn(m, seed + 1, kind)
    blank = torch.full((n, m), torch.nan, dtype=torch.float64)
    state = replay(
        ops.box_iou_steps(a, b), {"shared_box": blank[..., None].expand(n, m, 4), "shared": blank, "union": blank, "output": blank}
    )
    torch.testing.assert_close(state["output"], torchvision.ops.box_iou(a, b))
    for i, j in itertools.product(range(n), range(m)):
        corners = torch.cat([torch.maximum(a[i, :2], b[j, :2]), torch.minimum(a[i, 2:], b[j, 2:])])
        torch.testing.assert_close(state["shared_box"][i, j], corners)
    torch.testing.assert_close(state["shared"] / state["union"], state["output"])


@properties
@given(
    n=st.integers(1, 3),
    classes=st.integers(1, 3),
    seed=st.integers(0, 999),
    weights=st.sampled_from(WEIGHTS),
    scale=st.sampled_from([1, 9]),
)
def test_last_state_of_the_coders_steps_is_torchvisions(n, classes, seed, weights, scale, tensor):
    gt, proposals, deltas = drawn(n, seed), drawn(n, seed + 1), tensor((n, 4 * classes), seed) * scale
    coder, blank = BoxCoder(weights), torch.full((n, 4 * classes), torch.nan, dtype=torch.float64)
    state = replay(ops.encode_boxes_steps(gt, proposals, weights), {"output": blank[:, :4]})
    torch.testing.assert_close(state["output"], coder.encode_single(gt, proposals))
    state = replay(ops.decode_boxes_steps(deltas, proposals, weights), {"output": blank})
    torch.testing.assert_close(state["output"], coder.decode_single(deltas, proposals))


def test_gradcheck(tensor, device):
    # Corners at distinct places, all overlapping: where two corners meet, and where boxes touch, the IoU has a kink.
    a = torch.tensor([[0.0, 1, 50, 60], [11, 7, 70, 45]], dtype=torch.float64, device=device, requires_grad=True)
    b = torch.tensor([[5.0, 3, 41, 66], [13, 2, 80, 38], [200, 200, 210, 230]], dtype=torch.float64, device=device, requires_grad=True)
    deltas = (tensor((2, 8)).to(device) / 3).requires_grad_()
    assert torch.autograd.gradcheck(ops.box_iou, (a, b))
    assert torch.autograd.gradcheck(ops.encode_boxes, (b[:2], a))
    assert torch.autograd.gradcheck(lambda d, p: ops.decode_boxes(d, p, (10, 10, 5, 5)), (deltas, a))
    assert torch.autograd.gradcheck(lambda x: ops.clip_boxes(x - 3, (40, 55)), a)  # at 0 and 40 it has kinks, too


def test_gradients_are_torchvisions(device):
    boxes = [drawn(6, seed, "integers") for seed in (0, 1)]
    gradients = []
    for function, where in ((ops.box_iou, device), (torchvision.ops.box_iou, torch.device("cpu"))):
        a, b = (each.to(where).requires_grad_() for each in boxes)
        function(a, b).sin().sum().backward()
        gradients.append([a.grad.cpu(), b.grad.cpu()])
    torch.testing.assert_close(*gradients)
