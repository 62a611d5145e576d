"""What the parity tests share: where they run, and reproducible tensors.

The peers compute on the CPU in float64, so that they say what is right also where torch has no kernel for a dtype.
"""

import pytest
import torch


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    return torch.device(request.param)


@pytest.fixture(scope="session")
def tensor():
    def make(shape, seed=0, dtype=torch.float64, ties=False):
        """Seeded numbers; with `ties` small integers, of which many are equal."""
        generator = torch.Generator().manual_seed(seed)
        if ties:
            return torch.randint(-2, 3, tuple(shape), generator=generator).to(dtype)
        return torch.randn(tuple(shape), generator=generator, dtype=torch.float64).to(dtype)

    return make
