"""Regions for the cases of lesson 06: histograms of pixels that were drawn, and boxes with whole-pixel edges."""

import torch
from torch import Tensor


def counts(draw: torch.Generator, size: int, bins: int) -> Tensor:
    """How many of `size` pixels are in each bin, `[bins]`, whole numbers; the bins differ much, and most have some."""
    weights = torch.rand(bins, generator=draw) ** 2 + 0.02
    return torch.multinomial(weights, size, replacement=True, generator=draw).bincount(minlength=bins)


def histograms(draw: torch.Generator, *shape: int, bins: int) -> Tensor:
    """Histograms `[*shape, bins]`, float32, each summing to 1, of 16 pixels a bin."""
    many = torch.Size(shape).numel()
    drawn = torch.stack([counts(draw, 16 * bins, bins) for _ in range(many)]).reshape(*shape, bins)
    return drawn.float() / drawn.sum(-1, keepdim=True)


def boxes(draw: torch.Generator, *shape: int, within: int) -> Tensor:
    """Boxes `[*shape, 4]`, float32, x1, y1, x2, y2, at least 2 × 2, in a picture of `within` × `within`; wide ones and high ones."""
    start = torch.randint(0, within - 2, (*shape, 2), generator=draw)
    room = within - start - 2
    side = 2 + (torch.rand(*shape, 2, generator=draw) * (room + 1)).long().clamp(max=room)
    return torch.cat([start, start + side], -1).float()
