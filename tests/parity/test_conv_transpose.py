"""course.ops.conv_transpose against torch.nn.functional: forwards, backwards, and as the adjoint of F.conv2d."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course.ops.conv_transpose import (
    conv_matrix,
    conv_transpose,
    conv_transpose_by_matrix,
    conv_transpose_output_size,
    conv_transpose_steps,
    overlap_count,
)
from course.ops.step import replay

properties = settings(max_examples=60, deadline=None)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Sums of products: half precision rounds inputs to 2**-11 or 2**-8 of their size, and a result near 0 may be a difference of large terms.
TOLERANCE = {
    torch.float16: {"rtol": 2e-3, "atol": 1e-2},
    torch.bfloat16: {"rtol": 2e-2, "atol": 5e-2},
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
}


@st.composite
def stamps(draw):
    """(x's shape, weight's shape, stride, padding, output_padding) that leave at least one output cell."""
    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    plane = draw(st.tuples(*[st.integers(1, 5)] * 2))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 2))
    stride = draw(st.tuples(*[st.integers(1, 4)] * 2))
    extra = tuple(draw(st.integers(0, s - 1)) for s in stride)
    full = [(n - 1) * s + k + a for n, s, k, a in zip(plane, stride, kernel, extra, strict=True)]
    padding = tuple(draw(st.integers(0, min(3, (side - 1) // 2))) for side in full)
    channels = (lead[-1], draw(st.integers(1, 3))) if lead else (1, 1)
    return (*lead, *plane), (*channels, *kernel), stride, padding, extra


def torch_conv_transpose(x, weight, bias, stride=1, padding=0, output_padding=0):
    batch = x.reshape((1,) * (4 - x.dim()) + x.shape)
    output = F.conv_transpose2d(batch, weight, bias, stride, padding, output_padding)
    return output.reshape(output.shape[4 - x.dim() :])


@pytest.mark.parametrize("function", [conv_transpose, conv_transpose_by_matrix])
@properties
@given(case=stamps(), seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES), with_bias=st.booleans())
def test_it_is_torchs(function, case, seed, dtype, with_bias, tensor, device):
    shape, weight_shape, *geometry = case
    x, weight = tensor(shape, seed, dtype), tensor(weight_shape, seed + 1, dtype)
    bias = tensor(weight_shape[1:2], seed + 2, dtype) if with_bias else None
    expected = torch_conv_transpose(x.double(), weight.double(), None if bias is None else bias.double(), *geometry)
    output = function(x.to(device), weight.to(device), None if bias is None else bias.to(device), *geometry)
    assert output.dtype == dtype and output.device.type == device.type
    torch.testing.assert_close(output.cpu(), expected.to(dtype), **TOLERANCE[dtype])
    assert conv_transpose_output_size(shape[-2:], weight_shape[-2:], *geometry) == tuple(output.shape[-2:])


@properties
@given(case=stamps(), seed=st.integers(0, 99), with_bias=st.booleans())
def test_last_state_of_the_steps_is_torchs(case, seed, with_bias, tensor):
    shape, weight_shape, *geometry = case
    x, weight = tensor(shape, seed), tensor(weight_shape, seed + 1)
    bias = tensor(weight_shape[1:2], seed + 2) if with_bias else None
    expected = torch_conv_transpose(x, weight, bias, *geometry)
    state = replay(conv_transpose_steps(x, weight, bias, *geometry), {"output": 0 * expected})
    torch.testing.assert_close(state["output"], expected)


@properties
@given(case=stamps(), seed=st.integers(0, 99))
def test_the_matrix_is_torchs_convolution(case, seed, tensor, device):
    shape, weight_shape, stride, padding, extra = case
    weight = tensor(weight_shape, seed).to(device)
    size = conv_transpose_output_size(shape[-2:], weight_shape[-2:], stride, padding, extra)
    image = tensor((weight_shape[1], *size), seed + 1).to(device)
    product = conv_matrix(weight, size, stride, padding) @ image.flatten()
    torch.testing.assert_close(product.cpu(), F.conv2d(image[None], weight, stride=stride, padding=padding).flatten().cpu())


@properties
@given(case=stamps())
def test_overlap_count_is_a_transposed_convolution_of_ones(case):
    shape, weight_shape, *geometry = case
    expected = F.conv_transpose2d(torch.ones(1, 1, *shape[-2:]), torch.ones(1, 1, *weight_shape[-2:]), None, *geometry)
    torch.testing.assert_close(overlap_count(shape[-2:], weight_shape[-2:], *geometry), expected[0, 0].long())


@pytest.mark.parametrize("function", [conv_transpose, conv_transpose_by_matrix])
@properties
@given(case=stamps(), seed=st.integers(0, 99))
def test_gradients_are_torchs(function, case, seed, tensor, device):
    shape, weight_shape, *geometry = case
    inputs = [tensor(s, seed + i).requires_grad_() for i, s in enumerate((shape, weight_shape, weight_shape[1:2]))]
    expected = torch_conv_transpose(*inputs, *geometry)
    upstream = tensor(expected.shape, seed + 3)
    right = torch.autograd.grad(expected, inputs, upstream)
    moved = [t.detach().to(device).requires_grad_() for t in inputs]
    gradients = torch.autograd.grad(function(*moved, *geometry), moved, upstream.to(device))
    torch.testing.assert_close([g.cpu() for g in gradients], list(right))


@pytest.mark.parametrize("function", [conv_transpose, conv_transpose_by_matrix])
@pytest.mark.parametrize("stride, padding, output_padding", [(1, 0, 0), ((2, 3), (1, 0), (1, 2)), (2, 2, 1)])
def test_gradcheck(function, stride, padding, output_padding, tensor, device):
    inputs = [tensor(s, i).to(device).requires_grad_() for i, s in enumerate(((2, 2, 3, 2), (2, 3, 3, 4), (3,)))]
    assert torch.autograd.gradcheck(lambda x, w, b: function(x, w, b, stride, padding, output_padding), inputs)


def test_it_is_the_backward_pass_of_the_convolution(tensor):
    # Long et al. 2015, section 3.3: upsampling is backwards strided convolution.
    image, weight = tensor((1, 3, 8, 9)).requires_grad_(), tensor((2, 3, 4, 3), 1)
    output = F.conv2d(image, weight, stride=2, padding=1)
    x = tensor(output.shape, 2)
    (gradient,) = torch.autograd.grad(output, image, x)
    torch.testing.assert_close(conv_transpose(x, weight, None, 2, 1, (0, 0)), gradient)


def test_a_batch_is_its_images(tensor, device):
    x, weight, bias = tensor((3, 2, 4, 5)).to(device), tensor((2, 3, 3, 3), 1).to(device), tensor((3,), 2).to(device)
    output = conv_transpose(x, weight, bias, 2, 1, 1)
    for n in range(3):
        torch.testing.assert_close(output[n], conv_transpose(x[n], weight, bias, 2, 1, 1))


def test_a_plane_is_an_image_of_one_channel(tensor, device):
    x, kernel = tensor((4, 5)).to(device), tensor((3, 2), 1).to(device)
    expected = conv_transpose(x[None, None], kernel[None, None], None, 2)[0, 0]
    for weight in (kernel, kernel[None, None]):
        torch.testing.assert_close(conv_transpose(x, weight, None, 2), expected)
        torch.testing.assert_close(conv_transpose_by_matrix(x, weight, None, 2), expected)
        state = replay(conv_transpose_steps(x, weight, None, 2), {"output": 0 * expected.cpu()})
        torch.testing.assert_close(state["output"], expected.cpu())
