"""The numbers of cases, drawn from a seeded generator of their own."""

import torch
from torch import Tensor


def digits(generator: torch.Generator, *shape: int) -> Tensor:
    """Whole numbers from −9 to 9 without 0, as float32: small enough to check by hand, and the first 18 of them all different."""
    pool = torch.tensor([value for value in range(-9, 10) if value], dtype=torch.float32)
    count = torch.Size(shape).numel()
    draws = [pool[torch.randperm(len(pool), generator=generator)] for _ in range(-(-count // len(pool)))]
    return torch.cat(draws)[:count].reshape(shape)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Normally distributed numbers, float32."""
    return torch.randn(shape, generator=generator)


def whole(generator: torch.Generator, low: int, high: int) -> int:
    """One whole number, low ≤ number < high."""
    return int(torch.randint(low, high, (), generator=generator))
