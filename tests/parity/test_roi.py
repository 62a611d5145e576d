"""course.ops.roi against torchvision."""

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from course.ops.roi import (
    roi_align,
    roi_align_loop,
    roi_align_steps,
    roi_bins,
    roi_pool,
    roi_pool_backward,
    roi_pool_loop,
    roi_pool_steps,
)
from course.ops.step import replay

properties = settings(max_examples=60, deadline=None)
DTYPES = (torch.float32, torch.float64)
KINDS = ("inside", "across", "outside", "degenerate", "halves", "same")


@st.composite
def cases(draw, largest=12, most=8):
    """(features' shape, how many boxes, their kind, output_size, scale, seed)."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, largest)), draw(st.integers(1, largest)))
    output_size = draw(st.integers(1, 5) | st.tuples(st.integers(1, 5), st.integers(1, 5)))
    scale = draw(st.sampled_from([1.0, 0.5, 1 / 16, 0.3]))
    return shape, draw(st.integers(0, most)), draw(st.sampled_from(KINDS)), output_size, scale, draw(st.integers(0, 9999))


def regions(shape, count, kind, scale, seed, dtype):
    """Boxes [R, 5] of that kind, in pixels."""
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(count, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    if kind == "outside":
        first, second = first * 4 - 2, second * 4 - 2
    elif kind == "across":
        first, second = first * 1.5 - 0.25, second * 1.5 - 0.25
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    size = torch.tensor([shape[3], shape[2]], dtype=torch.float64)
    boxes = torch.cat((low * size, high * size), 1)  # in cells
    if kind == "degenerate":  # without width, without height, or inverted in one direction
        boxes[::3, 2], boxes[1::3, 3] = boxes[::3, 0], boxes[1::3, 1]
        boxes[2::3] = boxes[2::3][:, [2, 1, 0, 3]]
    elif kind == "halves":  # where rounding has to choose, on both sides of 0
        boxes = (boxes * 2 - 3).round() / 2
    elif kind == "same":
        boxes = boxes[:1].expand_as(boxes)
    image = torch.randint(0, shape[0], (count, 1), generator=generator).double()
    return torch.cat((image, boxes / scale), 1).to(dtype)


def with_gradients(function, features, seed):
    """Values, and the features' gradients for some gradient of the output. No box may mean no graph: then they are zeros."""
    features = features.clone().requires_grad_()
    output = function(features)
    upstream = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(output)
    if output.requires_grad:
        output.backward(upstream)
    return output.detach(), torch.zeros_like(features) if features.grad is None else features.grad


def on(device, pair):
    return tuple(part.to(device) for part in pair)


@properties
@given(case=cases(), dtype=st.sampled_from(DTYPES), ties=st.booleans())
def test_pooling_is_torchvisions(case, dtype, ties, tensor, device):
    shape, count, kind, output_size, scale, seed = case
    features, boxes = tensor(shape, seed, dtype, ties), regions(shape, count, kind, scale, seed, dtype)
    expected = with_gradients(lambda x: torchvision.ops.roi_pool(x, boxes, output_size, scale), features, seed)
    for function in (roi_pool, roi_pool_loop):
        found = with_gradients(lambda x, f=function: f(x, boxes.to(device), output_size, scale), features.to(device), seed)
        assert found[0].device.type == device.type and found[0].dtype == dtype
        torch.testing.assert_close(found[0].cpu(), expected[0], rtol=0, atol=0)
        torch.testing.assert_close(found[1].cpu(), expected[1])
    with torch.no_grad():  # another way through the code: no switches are needed
        torch.testing.assert_close(roi_pool(features.to(device), boxes.to(device), output_size, scale).cpu(), expected[0], rtol=0, atol=0)


@properties
@given(case=cases(), dtype=st.sampled_from(DTYPES), ties=st.booleans())
def test_the_way_back_is_torchvisions(case, dtype, ties, tensor, device):
    shape, count, kind, output_size, scale, seed = case
    features, boxes = tensor(shape, seed, dtype, ties).requires_grad_(), regions(shape, count, kind, scale, seed, dtype)
    output = torchvision.ops.roi_pool(features, boxes, output_size, scale)
    grad = tensor(output.shape, seed + 1, dtype)
    (expected,) = torch.autograd.grad(output, features, grad)
    found = roi_pool_backward(grad.to(device), features.detach().to(device), boxes.to(device), scale)
    torch.testing.assert_close(found.cpu(), expected)


RATIOS = st.sampled_from([-1, 0, 1, 2, 3])


@properties
@given(case=cases(), dtype=st.sampled_from(DTYPES), ratio=RATIOS, aligned=st.booleans())
def test_aligning_is_torchvisions(case, dtype, ratio, aligned, tensor, device):
    shape, count, kind, output_size, scale, seed = case
    if kind == "degenerate" and aligned and ratio < 1:  # torchvision wants a negative number of points, and that is an error
        ratio = 2
    features, boxes = tensor(shape, seed, dtype), regions(shape, count, kind, scale, seed, dtype)
    given_ = (output_size, scale, ratio, aligned)
    expected = with_gradients(lambda x: torchvision.ops.roi_align(x, boxes, *given_), features, seed)
    for function in (roi_align, roi_align_loop):
        found = with_gradients(lambda x, f=function: f(x, boxes.to(device), *given_), features.to(device), seed)
        assert found[0].device.type == device.type and found[0].dtype == dtype
        torch.testing.assert_close(on("cpu", found), expected)


@properties
@given(case=cases(largest=6, most=3), dtype=st.sampled_from(DTYPES), ties=st.booleans())
def test_last_state_of_the_pooling_steps_is_torchvisions(case, dtype, ties, tensor):
    shape, count, kind, output_size, scale, seed = case
    features, boxes = tensor(shape, seed, dtype, ties), regions(shape, count, kind, scale, seed, dtype)
    bins = (output_size,) * 2 if isinstance(output_size, int) else output_size
    expected, indices = torch.ops.torchvision.roi_pool(features, boxes, scale, *bins)
    blank = {"output": expected + 99, "indices": indices - 99, "cells": torch.full((count, 4), 99)}
    state = replay(roi_pool_steps(features, boxes, output_size, scale), blank)
    torch.testing.assert_close(state["output"], expected, rtol=0, atol=0)
    torch.testing.assert_close(state["indices"], indices, rtol=0, atol=0)
    assert state["cells"].tolist() == roi_bins(boxes[:, 1:], shape[2:], output_size, scale).cells.tolist()


@properties
@given(case=cases(largest=6, most=2), dtype=st.sampled_from(DTYPES), ratio=RATIOS, aligned=st.booleans())
def test_last_state_of_the_aligning_steps_is_torchvisions(case, dtype, ratio, aligned, tensor):
    shape, count, kind, output_size, scale, seed = case
    ratio = 2 if kind == "degenerate" and aligned and ratio < 1 else ratio
    features, boxes = tensor(shape, seed, dtype), regions(shape, count, kind, scale, seed, dtype)
    expected = torchvision.ops.roi_align(features, boxes, output_size, scale, ratio, aligned)
    state = replay(roi_align_steps(features, boxes, output_size, scale, ratio, aligned), {"output": expected + 99})
    torch.testing.assert_close(state["output"], expected)


def test_boxes_may_be_a_list(tensor, device):
    features = tensor((3, 2, 9, 11), dtype=torch.float32)
    boxes = [torch.tensor([[1.0, 2, 8, 7], [0, 0, 3, 3]]), torch.zeros(0, 4), torch.tensor([[4.0, 1, 10, 8]])]
    there = [of_image.to(device) for of_image in boxes]
    found = roi_pool(features.to(device), there, 3).cpu(), roi_align(features.to(device), there, 3).cpu()
    torch.testing.assert_close(found, (torchvision.ops.roi_pool(features, boxes, 3), torchvision.ops.roi_align(features, boxes, 3)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_rounded_once(dtype, tensor, device):
    features, boxes = tensor((2, 3, 12, 15), 1, dtype), regions((2, 3, 12, 15), 20, "across", 0.25, 1, torch.float32)
    for ours, theirs in ((roi_pool, torchvision.ops.roi_pool), (roi_align, torchvision.ops.roi_align)):
        found = with_gradients(lambda x, f=ours: f(x, boxes.to(device), 3, 0.25), features.to(device), 1)
        expected, gradients = with_gradients(lambda x, f=theirs: f(x, boxes, 3, 0.25), features.float(), 1)
        torch.testing.assert_close(found[0].cpu(), expected.to(dtype))
        torch.testing.assert_close(found[1].cpu().float(), gradients, rtol=2e-2, atol=2e-2)  # the upstream gradient was rounded, too


@pytest.mark.parametrize("dtype", DTYPES)
def test_hundreds_of_boxes_on_a_large_map(dtype, tensor, device):
    """Many sizes of bins, and several blocks of look-ups."""
    features = tensor((2, 16, 60, 80), 3, dtype).relu()  # with its many zeros
    boxes = regions(features.shape, 600, "across", 1 / 16, 3, dtype)
    for ours, theirs, more in (
        (roi_pool, torchvision.ops.roi_pool, ()),
        (roi_align, torchvision.ops.roi_align, (2, True)),
        (roi_align, torchvision.ops.roi_align, (0, False)),
    ):
        expected = with_gradients(lambda x, f=theirs, m=more: f(x, boxes, 7, 1 / 16, *m), features, 4)
        found = with_gradients(lambda x, f=ours, m=more: f(x, boxes.to(device), 7, 1 / 16, *m), features.to(device), 4)
        torch.testing.assert_close(on("cpu", found), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("function", [roi_pool, roi_pool_loop, roi_align, roi_align_loop])
def test_gradients_are_those_of_finite_differences(function, device):
    order = torch.randperm(2 * 2 * 5 * 6, generator=torch.Generator().manual_seed(0))  # no two alike: a maximum has one place
    features = order.double().view(2, 2, 5, 6).to(device).requires_grad_()
    boxes = torch.tensor([[0, 0.6, 0.2, 4.3, 3.9], [1, 2.2, 1.1, 7.5, 4.4], [1, 2, 1, 3, 3], [0, 20, 20, 25, 25]]).double().to(device)
    assert torch.autograd.gradcheck(lambda x: function(x, boxes, (2, 3)), features)


def test_the_gradient_of_the_gradient(device):
    order = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    features = order.double().view(1, 1, 5, 6).to(device).requires_grad_()
    boxes = torch.tensor([[0, 0.6, 0.2, 4.3, 3.9], [0, 20, 20, 25, 25]]).double().to(device)
    assert torch.autograd.gradgradcheck(lambda x: roi_pool(x, boxes, 2), features)
