"""course.ops.interpolation against torch.nn.functional."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course.ops.interpolation import (
    downsample_average,
    downsample_average_steps,
    interpolate_bilinear,
    interpolate_bilinear_steps,
    interpolate_nearest,
    interpolate_nearest_steps,
)
from course.ops.step import replay

properties = settings(max_examples=60, deadline=None)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LEADS = st.lists(st.integers(1, 3), max_size=2).map(tuple)
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
PAIRS = st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 4))


def torch_interpolate(x, size, mode, align_corners=None):
    batch = x.reshape((1,) * (4 - x.dim()) + x.shape)
    return F.interpolate(batch, size, mode=mode, align_corners=align_corners).reshape(*x.shape[:-2], *size)


def torch_average(x, factor):
    batch = x.reshape((1,) * (4 - x.dim()) + x.shape)
    output = F.avg_pool2d(batch, factor)
    return output.reshape(*x.shape[:-2], *output.shape[-2:])


@properties
@given(lead=LEADS, blocks=SIZES, factor=PAIRS, seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
def test_downsample_average_is_torchs_average_pooling(lead, blocks, factor, seed, dtype, tensor, device):
    sh, sw = factor if isinstance(factor, tuple) else (factor, factor)
    x = tensor((*lead, blocks[0] * sh, blocks[1] * sw), seed, dtype)
    expected = torch_average(x.double(), factor)
    output = downsample_average(x.to(device), factor)
    assert output.dtype == dtype and output.device.type == device.type
    torch.testing.assert_close(output.cpu(), expected.to(dtype))
    if blocks[0] * blocks[1] <= 16:
        state = replay(downsample_average_steps(x.double(), factor), {"output": 0 * expected})
        torch.testing.assert_close(state["output"], expected)


@properties
@given(lead=LEADS, plane=SIZES, size=SIZES, seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
def test_interpolate_nearest_is_torchs(lead, plane, size, seed, dtype, tensor, device):
    x = tensor(lead + plane, seed, dtype)
    expected = torch_interpolate(x.double(), size, "nearest").to(dtype)
    output = interpolate_nearest(x.to(device), size)
    assert output.device.type == device.type
    torch.testing.assert_close(output.cpu(), expected, rtol=0, atol=0)
    state = replay(interpolate_nearest_steps(x, size), {"output": 0 * expected})
    torch.testing.assert_close(state["output"], expected, rtol=0, atol=0)


@properties
@given(lead=LEADS, plane=SIZES, size=SIZES, seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES), align=st.booleans())
def test_interpolate_bilinear_is_torchs(lead, plane, size, seed, dtype, align, tensor, device):
    x = tensor(lead + plane, seed, dtype)
    expected = torch_interpolate(x.double(), size, "bilinear", align)
    output = interpolate_bilinear(x.to(device), size, align)
    assert output.dtype == dtype and output.device.type == device.type
    # In float32 the four weights are good to 1e-6 of the values that they blend, whose blend may be close to 0.
    tolerance = {} if dtype in (torch.float16, torch.bfloat16) else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(output.cpu(), expected.to(dtype), **tolerance)
    state = replay(interpolate_bilinear_steps(x.double(), size, align), {"output": 0 * expected})
    torch.testing.assert_close(state["output"], expected)


def test_where_nearest_differs_from_torch_torch_has_rounded_a_whole_number_down():
    # torch multiplies by a float32 scale. Where i * H / OH is whole, the product can fall just below it.
    differing = 0
    for height in range(1, 41):
        for out in range(1, 61):
            x = torch.arange(height, dtype=torch.float64)[:, None]
            ours, theirs = interpolate_nearest(x, (out, 1))[:, 0], torch_interpolate(x, (out, 1), "nearest")[:, 0]
            cells = (ours != theirs).nonzero().flatten()
            differing += len(cells) > 0
            assert (cells * height % out == 0).all()
            torch.testing.assert_close(ours[cells], (cells * height // out).double())
            torch.testing.assert_close(theirs[cells], ours[cells] - 1)
    assert differing < 0.01 * 40 * 60


@pytest.mark.parametrize("plane, size", [((3, 4), (7, 5)), ((5, 4), (2, 3)), ((1, 3), (4, 1))])
def test_gradients(plane, size, tensor, device):
    functions = [
        (lambda x: interpolate_nearest(x, size), lambda x: torch_interpolate(x, size, "nearest")),
        (lambda x: interpolate_bilinear(x, size), lambda x: torch_interpolate(x, size, "bilinear", False)),
        (lambda x: interpolate_bilinear(x, size, True), lambda x: torch_interpolate(x, size, "bilinear", True)),
        (lambda x: downsample_average(x, plane), lambda x: torch_average(x, plane)),
    ]
    x = tensor((2, 2, *plane)).requires_grad_()
    moved = x.detach().to(device).requires_grad_()
    for ours, theirs in functions:
        expected = theirs(x)
        upstream = tensor(expected.shape, 1)
        (right,) = torch.autograd.grad(expected, x, upstream)
        (gradient,) = torch.autograd.grad(ours(moved), moved, upstream.to(device))
        torch.testing.assert_close(gradient.cpu(), right)
        assert torch.autograd.gradcheck(ours, moved)


def test_a_batch_is_its_images(tensor, device):
    x = tensor((3, 2, 4, 6)).to(device)
    for function in (
        lambda x: downsample_average(x, 2),
        lambda x: interpolate_nearest(x, (7, 5)),
        lambda x: interpolate_bilinear(x, (7, 5)),
    ):
        for n in range(3):
            torch.testing.assert_close(function(x)[n], function(x[n]))
            torch.testing.assert_close(function(x)[n, 1], function(x[n, 1]))
