"""Boxes for the cases, and how RoI pooling divides them, right but for the part that is given: what the mistakes are made of."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from course.exercises.drawing import whole

Range = tuple[int, int]
Bins = Callable[[int, int, int], list[tuple[int, int]]]


def region(draw: torch.Generator, size: tuple[int, int], width: Range = (3, 6), height: Range = (3, 6), image: int = 0) -> list[float]:
    """A row of `boxes`: so many whole cells wide and high (low ≤ side < high), somewhere in a map of that size (H, W)."""
    w, h = whole(draw, *width), whole(draw, *height)
    x, y = whole(draw, 0, size[1] - w + 1), whole(draw, 0, size[0] - h + 1)
    return [image, x, y, x + w - 1, y + h - 1]


def in_pixels(draw: torch.Generator, rows: Sequence[Sequence[float]], stride: int) -> Tensor:
    """Rows in cells as boxes in pixels [R, 5]: each side anywhere among the pixels that are rounded to its cell, halves left out."""
    boxes = torch.tensor(rows, dtype=torch.float32)
    sides = stride * boxes[:, 1:] + torch.randint(1 - stride // 2, stride // 2, (len(boxes), 4), generator=draw)
    return torch.cat((boxes[:, :1], sides), 1)


def half_up(value: float) -> int:
    """Right: to the nearest whole number, halves away from 0."""
    return int(abs(value) + 0.5) * (1 if value >= 0 else -1)


def bins_of(first: int, last: int, n: int) -> list[tuple[int, int]]:
    """Right: the first cell of each of n bins, and the one after its last."""
    width = max(last - first + 1, 1)
    return [(first + i * width // n, first - (-(i + 1) * width // n)) for i in range(n)]


def cells_of(
    box: Sequence[float],
    size: Sequence[int],
    grid: Sequence[int],
    scale: float,
    to_cell: Callable[[float], int] = half_up,
    bins: Bins = bins_of,
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The rows and columns of the bins of x1, y1, x2, y2, cut off at the map's edge."""
    x1, y1, x2, y2 = (to_cell(side * scale) for side in box)
    return tuple(
        [tuple(min(max(end, 0), side) for end in ends) for ends in bins(first, last, n)]
        for first, last, n, side in ((y1, y2, grid[0], size[0]), (x1, x2, grid[1], size[1]))
    )
