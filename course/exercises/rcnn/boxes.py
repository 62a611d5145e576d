"""Boxes for the cases: as drawn by hand, and at random."""

import torch
from torch import Tensor

from course.exercises.drawing import whole

Range = tuple[float, float]


def pairs(draw: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
    """True boxes and proposals [N, 4], whole numbers. One side is twice what it was, so that its logarithm is known; no box is square."""
    rows = []
    for _ in range(count):
        x, y, width, height = whole(draw, 0, 40), whole(draw, 0, 40), 4 * whole(draw, 3, 7), 4 * whole(draw, 8, 12)
        grown = (2 * width, height) if whole(draw, 0, 2) else (width // 2, 2 * height)
        x2, y2 = x + whole(draw, 1, 12), y + whole(draw, 1, 12)
        rows.append(((x2, y2, x2 + grown[0], y2 + grown[1]), (x, y, x + width, y + height)))
    truth, proposals = torch.tensor(rows, dtype=torch.float32).unbind(1)
    return truth, proposals


def random_boxes(
    draw: torch.Generator, count: int, *, left: Range = (0, 60), top: Range = (0, 40), width: Range = (10, 60), height: Range = (70, 120)
) -> Tensor:
    """[N, 4], float32."""
    low, high = torch.tensor([left, top, width, height], dtype=torch.float32).T
    x, y, w, h = (low + (high - low) * torch.rand(count, 4, generator=draw)).T
    return torch.stack((x, y, x + w, y + h), 1)
