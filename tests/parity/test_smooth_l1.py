"""course.ops.smooth_l1 against torch: values, gradients, precisions."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course.ops.smooth_l1 import smooth_l1


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 9999),
    shape=st.lists(st.integers(0, 5), max_size=3),
    beta=st.sampled_from([1 / 9, 0.25, 1.0, 3.7]),
    spread=st.sampled_from([1e-3, 0.3, 1.0, 50.0]),
    double=st.booleans(),
)
def test_it_is_torchs_and_so_is_its_gradient(seed, shape, beta, spread, double, device):
    draw = torch.Generator().manual_seed(seed)
    dtype = torch.float64 if double else torch.float32
    target = torch.randn(shape, generator=draw, dtype=dtype)
    prediction = (target + spread * torch.randn(shape, generator=draw, dtype=dtype)).to(device).requires_grad_()
    target, weights = target.to(device), torch.rand(shape, generator=draw, dtype=dtype).to(device)
    found, expected = smooth_l1(prediction, target, beta), F.smooth_l1_loss(prediction, target, beta=beta, reduction="none")
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad((loss * weights).sum(), prediction)[0] for loss in (found, expected)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("beta", [1 / 9, 1.0])
def test_gradcheck(beta, device):
    draw = torch.Generator().manual_seed(0)
    prediction, target = (torch.randn(6, 4, generator=draw, dtype=torch.float64).to(device).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: smooth_l1(a, b, beta), (prediction, target))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_type(dtype, device):
    prediction = torch.linspace(-3, 3, 25, dtype=dtype, device=device)
    found = smooth_l1(prediction, torch.zeros_like(prediction))
    assert found.dtype == dtype
    torch.testing.assert_close(found, F.smooth_l1_loss(prediction, torch.zeros_like(prediction), reduction="none"))
