"""course.ops.unpooling against torch.nn.functional."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course.ops.step import replay
from course.ops.unpooling import bed_of_nails, bed_of_nails_steps, max_unpool, max_unpool_steps, nearest, nearest_steps

properties = settings(max_examples=60, deadline=None)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SHAPES = st.lists(st.integers(1, 3), max_size=2).flatmap(
    lambda lead: st.tuples(*[st.just(n) for n in lead], st.integers(1, 5), st.integers(1, 5))
)
SCALES = st.integers(1, 4) | st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def pooled(draw, side_by_side):
    """(pooled shape's lead, plane that was pooled, kernel, stride, padding) of windows that do not, or do, overlap."""
    kernel = draw(st.tuples(*[st.integers(1 if side_by_side else 2, 4)] * 2))
    stride = tuple(draw(st.integers(k, 5) if side_by_side else st.integers(1, k - 1)) for k in kernel)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    plane = tuple(draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, padding, strict=True))
    return tuple(draw(st.lists(st.integers(1, 3), max_size=2))), plane, kernel, stride, padding


def four(x):
    return x.reshape((1,) * (4 - x.dim()) + x.shape)


def like(output, x):
    return output.reshape(*x.shape[:-2], *output.shape[-2:])


def torch_switches(x, kernel, stride, padding):
    """torch's own max pooling of x: values and indices."""
    values, indices = F.max_pool2d(four(x), kernel, stride, padding, return_indices=True)
    return like(values, x), like(indices, x)


def torch_max_unpool(x, indices, kernel, stride, padding, plane):
    # With several threads torch leaves open which of two values for one cell stays; a single thread writes in reading order.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return like(F.max_unpool2d(four(x), four(indices), kernel, stride, padding, plane), x)
    finally:
        torch.set_num_threads(threads)


def torch_bed_of_nails(x, scale):
    """A transposed convolution with the kernel that is 1 in its upper-left corner, one channel at a time."""
    scale = scale if isinstance(scale, tuple) else (scale, scale)
    planes = x.reshape(-1, 1, *x.shape[-2:])
    nail = torch.zeros(1, 1, *scale, dtype=x.dtype)
    nail[..., 0, 0] = 1
    return like(F.conv_transpose2d(planes, nail, stride=scale), x)


def torch_nearest(x, scale):
    scale = scale if isinstance(scale, tuple) else (scale, scale)
    return like(F.interpolate(four(x), size=(x.shape[-2] * scale[0], x.shape[-1] * scale[1]), mode="nearest-exact"), x)


def holds_all_switches(size, plane, kernel, stride, padding):
    """torch's rule lets the size of what was pooled be given as long as it is less than a stride from the usual one."""
    usual = [(s - 1) * d - 2 * p + k for s, k, d, p in zip(size, kernel, stride, padding, strict=True)]
    return all(abs(a - b) < d for a, b, d in zip(plane, usual, stride, strict=True))


@properties
@given(shape=SHAPES, scale=SCALES, seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
def test_nearest_and_bed_of_nails_are_torchs(shape, scale, seed, dtype, tensor, device):
    x = tensor(shape, seed, dtype)
    for ours, theirs in ((nearest, torch_nearest), (bed_of_nails, torch_bed_of_nails)):
        output = ours(x.to(device), scale)
        torch.testing.assert_close(output.cpu(), theirs(x.double(), scale).to(dtype), rtol=0, atol=0)
        assert output.device.type == device.type


@properties
@given(shape=SHAPES, scale=SCALES, seed=st.integers(0, 99))
def test_last_states_of_nearest_and_bed_of_nails_steps_are_torchs(shape, scale, seed, tensor):
    x = tensor(shape, seed)
    for steps, theirs in ((nearest_steps, torch_nearest), (bed_of_nails_steps, torch_bed_of_nails)):
        expected = theirs(x, scale)
        # Filled with a number that no step writes: every cell must be written, zeros too.
        state = replay(steps(x, scale), {"output": torch.full_like(expected, 7777)})
        torch.testing.assert_close(state["output"], expected, rtol=0, atol=0)


@properties
@given(case=pooled(side_by_side=True), seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
def test_max_unpool_is_torchs(case, seed, dtype, tensor, device):
    lead, plane, kernel, stride, padding = case
    _, indices = torch_switches(tensor(lead + plane, seed), kernel, stride, padding)
    features = tensor(indices.shape, seed + 1, dtype)  # What comes back from a network, not the pooled values.
    expected = torch_max_unpool(features.double(), indices, kernel, stride, padding, plane).to(dtype)
    output = max_unpool(features.to(device), indices.to(device), kernel, stride, padding, plane)
    torch.testing.assert_close(output.cpu(), expected, rtol=0, atol=0)
    assert output.device.type == device.type
    steps = max_unpool_steps(features.double(), indices, kernel, stride, padding, plane)
    torch.testing.assert_close(replay(steps, {"output": torch.zeros(lead + plane, dtype=dtype)})["output"], expected, rtol=0, atol=0)


@properties
@given(case=pooled(side_by_side=False), seed=st.integers(0, 99), ties=st.booleans())
def test_max_unpool_with_overlapping_windows_is_torchs(case, seed, ties, tensor, device):
    lead, plane, kernel, stride, padding = case
    _, indices = torch_switches(tensor(lead + plane, seed, ties=ties), kernel, stride, padding)
    if not holds_all_switches(indices.shape[-2:], plane, kernel, stride, padding):
        return
    features = tensor(indices.shape, seed + 1)
    expected = torch_max_unpool(features, indices, kernel, stride, padding, plane)
    output = max_unpool(features.to(device), indices.to(device), kernel, stride, padding, plane)
    torch.testing.assert_close(output.cpu(), expected, rtol=0, atol=0)
    steps = max_unpool_steps(features, indices, kernel, stride, padding, plane)
    torch.testing.assert_close(replay(steps, {"output": 0 * expected})["output"], expected, rtol=0, atol=0)


@pytest.mark.parametrize("kernel, stride, padding", [(2, None, 0), ((2, 3), (2, 3), 0), (3, 4, 1)])
def test_without_output_size_the_output_is_torchs(kernel, stride, padding, tensor, device):
    x = tensor((2, 3, 4, 6))
    expected = F.max_unpool2d(x, torch.arange(24).expand(2, 3, 24).view_as(x), kernel, stride, padding)
    output = max_unpool(x.to(device), torch.arange(24, device=device).expand(2, 3, 24).view_as(x), kernel, stride, padding)
    torch.testing.assert_close(output.cpu(), expected, rtol=0, atol=0)


def test_output_sizes_are_refused_where_torch_refuses_them(tensor):
    x = tensor((1, 1, 3, 3))
    indices = torch.arange(9).view_as(x)
    for kernel, stride, side in ((k, s, side) for k in (1, 2, 3) for s in (1, 2, 3) for side in range(1, 14)):
        refusals = []
        for function in (F.max_unpool2d, max_unpool):
            try:
                refusals.append(function(x, indices, kernel, stride, 0, (side, side)).shape)
            except (ValueError, RuntimeError):
                refusals.append(None)
        assert refusals[0] == refusals[1], (kernel, stride, side)


def test_gradients_are_torchs(tensor, device):
    for kernel, stride, padding, plane in ((2, None, 0, (7, 8)), ((2, 3), (3, 3), (1, 1), (6, 7))):
        _, indices = torch_switches(tensor((2, 3, *plane)), kernel, stride, padding)
        x = tensor(indices.shape).requires_grad_()
        weight = tensor((2, 3, *plane), 1)
        (expected,) = torch.autograd.grad(torch_max_unpool(x, indices, kernel, stride, padding, plane), x, weight)
        moved = x.detach().to(device).requires_grad_()
        output = max_unpool(moved, indices.to(device), kernel, stride, padding, plane)
        (gradient,) = torch.autograd.grad(output, moved, weight.to(device))
        torch.testing.assert_close(gradient.cpu(), expected)


def test_gradcheck(tensor, device):
    x = tensor((2, 2, 3, 2)).to(device).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: nearest(x, (2, 3)), x)
    assert torch.autograd.gradcheck(lambda x: bed_of_nails(x, (2, 3)), x)
    side_by_side = torch_switches(tensor((2, 2, 6, 4)), 2, 2, 0)[1].to(device)
    assert torch.autograd.gradcheck(lambda x: max_unpool(x, side_by_side, 2), x)


def test_gradcheck_where_windows_share_a_switch(tensor, device):
    # One peak in the middle is the maximum of all nine windows. The gradient must go to the value that is kept; torch's goes to all nine.
    peak = torch.zeros(1, 1, 5, 5)
    peak[..., 2, 2] = 1
    indices = torch_switches(peak, 3, 1, 0)[1].to(device)
    assert (indices == 12).all()
    x = tensor((1, 1, 3, 3)).to(device).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: max_unpool(x, indices, 3, 1), x)
    (gradient,) = torch.autograd.grad(max_unpool(x, indices, 3, 1).sum(), x)
    torch.testing.assert_close(gradient.cpu().flatten(), torch.eye(9, dtype=torch.float64)[8])


def test_a_batch_is_its_images(tensor, device):
    _, indices = torch_switches(tensor((3, 2, 7, 6)), 3, 2, 1)
    x, indices = tensor(indices.shape).to(device), indices.to(device)
    for n in range(3):
        for c in range(2):
            one = max_unpool(x[n, c], indices[n, c], 3, 2, 1, (7, 6))
            torch.testing.assert_close(max_unpool(x, indices, 3, 2, 1, (3, 2, 7, 6))[n, c], one, rtol=0, atol=0)
            torch.testing.assert_close(nearest(x, 2)[n, c], nearest(x[n, c], 2), rtol=0, atol=0)
            torch.testing.assert_close(bed_of_nails(x, 2)[n, c], bed_of_nails(x[n, c], 2), rtol=0, atol=0)
