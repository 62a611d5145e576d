"""course.ops.pooling against torch.nn.functional."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course.ops.pooling import avg_pool, avg_pool_steps, max_pool, max_pool_steps, pool_output_size
from course.ops.step import replay

properties = settings(max_examples=60, deadline=None)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@st.composite
def windows(draw, largest=9):
    """(shape, kernel, stride, padding) that give at least one window; 2 to 4 dimensions, not square, overlapping or with gaps."""
    kernel = draw(st.tuples(*[st.integers(1, 4)] * 2))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    plane = [draw(st.integers(max(1, k - 2 * p), largest)) for k, p in zip(kernel, padding, strict=True)]
    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    stride = draw(st.none() | st.tuples(*[st.integers(1, 5)] * 2))
    return (*lead, *plane), kernel, stride, padding


def torch_max_pool(x, kernel, stride=None, padding=0):
    batch = x.reshape((1,) * (4 - x.dim()) + x.shape)
    values, indices = F.max_pool2d(batch, kernel, stride, padding, return_indices=True)
    return values.reshape(*x.shape[:-2], *values.shape[-2:]), indices.reshape(*x.shape[:-2], *indices.shape[-2:])


def torch_avg_pool(x, kernel, stride=None, padding=0, count_include_pad=True):
    batch = x.reshape((1,) * (4 - x.dim()) + x.shape)
    output = F.avg_pool2d(batch, kernel, stride, padding, count_include_pad=count_include_pad)
    return output.reshape(*x.shape[:-2], *output.shape[-2:])


@properties
@given(case=windows(), seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES), ties=st.booleans())
def test_max_pool_is_torchs(case, seed, dtype, ties, tensor, device):
    shape, kernel, stride, padding = case
    x = tensor(shape, seed, dtype, ties)
    values, indices = max_pool(x.to(device), kernel, stride, padding)
    expected_values, expected_indices = torch_max_pool(x.double(), kernel, stride, padding)
    torch.testing.assert_close(values.cpu(), expected_values.to(dtype), rtol=0, atol=0)
    torch.testing.assert_close(indices.cpu(), expected_indices, rtol=0, atol=0)
    assert values.device.type == device.type
    assert pool_output_size(shape[-2:], kernel, stride, padding) == tuple(values.shape[-2:])


@properties
@given(case=windows(), seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES), include=st.booleans())
def test_avg_pool_is_torchs(case, seed, dtype, include, tensor, device):
    shape, kernel, stride, padding = case
    x = tensor(shape, seed, dtype)
    expected = torch_avg_pool(x.double(), kernel, stride, padding, include).to(dtype)
    output = avg_pool(x.to(device), kernel, stride, padding, include)
    torch.testing.assert_close(output.cpu(), expected)
    assert output.device.type == device.type


@properties
@given(case=windows(largest=6), seed=st.integers(0, 99), ties=st.booleans())
def test_last_state_of_max_pool_steps_is_torchs(case, seed, ties, tensor):
    shape, kernel, stride, padding = case
    x = tensor(shape, seed, ties=ties)
    values, indices = torch_max_pool(x, kernel, stride, padding)
    state = replay(max_pool_steps(x, kernel, stride, padding), {"output": 0 * values, "indices": 0 * indices})
    torch.testing.assert_close(state["output"], values, rtol=0, atol=0)
    torch.testing.assert_close(state["indices"], indices, rtol=0, atol=0)


@properties
@given(case=windows(largest=6), seed=st.integers(0, 99), include=st.booleans())
def test_last_state_of_avg_pool_steps_is_torchs(case, seed, include, tensor):
    shape, kernel, stride, padding = case
    x = tensor(shape, seed)
    expected = torch_avg_pool(x, kernel, stride, padding, include)
    state = replay(avg_pool_steps(x, kernel, stride, padding, include), {"output": 0 * expected})
    torch.testing.assert_close(state["output"], expected)


@properties
@given(case=windows(largest=6), seed=st.integers(0, 99))
def test_gradients_are_torchs(case, seed, tensor, device):
    shape, kernel, stride, padding = case
    x = tensor(shape, seed).requires_grad_()
    for ours, theirs in (
        (lambda x: max_pool(x, kernel, stride, padding).values, lambda x: torch_max_pool(x, kernel, stride, padding)[0]),
        (lambda x: avg_pool(x, kernel, stride, padding), lambda x: torch_avg_pool(x, kernel, stride, padding)),
    ):
        expected = theirs(x)
        weight = tensor(expected.shape, seed + 1)
        (right,) = torch.autograd.grad(expected, x, weight)
        moved = x.detach().to(device).requires_grad_()
        (gradient,) = torch.autograd.grad(ours(moved), moved, weight.to(device))
        torch.testing.assert_close(gradient.cpu(), right)


@pytest.mark.parametrize("kernel, stride, padding", [(2, None, 0), ((3, 2), (2, 1), (1, 0)), (2, 3, 1)])
def test_gradcheck(kernel, stride, padding, tensor, device):
    # Distinct values half a unit apart: at a tie the maximum has no derivative.
    x = (torch.randperm(60, generator=torch.Generator().manual_seed(0)).double() / 2).view(2, 1, 6, 5).to(device).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: max_pool(x, kernel, stride, padding).values, x)
    assert torch.autograd.gradcheck(lambda x: avg_pool(x, kernel, stride, padding), x)
    assert torch.autograd.gradcheck(lambda x: avg_pool(x, kernel, stride, padding, count_include_pad=False), x)


def test_a_batch_is_its_images(tensor, device):
    x = tensor((3, 2, 7, 5)).to(device)
    values, indices = max_pool(x, 3, 2, 1)
    means = avg_pool(x, 3, 2, 1)
    for n, c in torch.cartesian_prod(torch.arange(3), torch.arange(2)).tolist():
        one = max_pool(x[n, c], 3, 2, 1)
        torch.testing.assert_close(values[n, c], one.values, rtol=0, atol=0)
        torch.testing.assert_close(indices[n, c], one.indices, rtol=0, atol=0)
        torch.testing.assert_close(means[n, c], avg_pool(x[n, c], 3, 2, 1))
    torch.testing.assert_close(values[1], max_pool(x[1], 3, 2, 1).values, rtol=0, atol=0)


@pytest.mark.parametrize("special", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_pass_as_in_torch(special, tensor, device):
    x = tensor((2, 6, 6))
    x[:, 2, 3] = special
    x[0, :3, :3] = -float("inf")  # A window of -inf alone, beside padding that must not win.
    values, indices = max_pool(x.to(device), 3, 2, 1)
    expected = torch_max_pool(x, 3, 2, 1)
    torch.testing.assert_close(values.cpu(), expected[0], equal_nan=True)
    torch.testing.assert_close(indices.cpu(), expected[1])
    torch.testing.assert_close(avg_pool(x.to(device), 3, 2, 1).cpu(), torch_avg_pool(x, 3, 2, 1), equal_nan=True)
    state = replay(max_pool_steps(x, 3, 2, 1), {"output": 0 * expected[0], "indices": 0 * expected[1]})
    torch.testing.assert_close(state["output"], expected[0], equal_nan=True)
    torch.testing.assert_close(state["indices"], expected[1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_integers_pool_as_their_floats_do(dtype, tensor, device):
    x = tensor((2, 2, 5, 6), ties=True).abs().to(dtype)
    values, indices = max_pool(x.to(device), 3, 2, 1)
    expected = torch_max_pool(x.double(), 3, 2, 1)
    torch.testing.assert_close(values.cpu(), expected[0].to(dtype))
    torch.testing.assert_close(indices.cpu(), expected[1])


def test_half_precision_does_not_round_or_overflow_on_its_way(device):
    # The largest float16 is 65504 and 2048 + 1 is 2048 again: neither sum is a float16, both means are.
    large = torch.full((2, 2), 60000, dtype=torch.float16, device=device)
    assert avg_pool(large, 2).item() == 60000
    assert avg_pool(large, 2, 2, 1, count_include_pad=False).tolist() == large.tolist()
    assert avg_pool(torch.ones(64, 64, dtype=torch.float16, device=device), 64).item() == 1
