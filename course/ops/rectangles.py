"""The largest value in each of many rectangles of a plane, from four look-ups whatever the rectangle's size.

The sparse table: M. Bender and M. Farach-Colton, "The LCA Problem Revisited", LATIN 2000, section 3, for rows of numbers; here in two
dimensions. The maximum of a range is that of two shorter ranges that cover it, and they may overlap. So it is enough to know the
maximum of every window whose sides are powers of two, and each of those comes from two windows of half the size.

    five cells = four + four, overlapping:    max(x[3 … 7]) = max(max(x[3 … 6]), max(x[4 … 7]))

Shape letters: N images, H × W cells, C channels, B rectangles.
"""

import torch
from torch import Tensor

BLOCK = 2**17  # how many numbers are looked up at a time: few enough to stay in a processor's cache


def largest_in_rectangles(cells: Tensor, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The largest value of each rectangle in each channel; NaN counts as the largest. [B, C]

    Takes one pass over the cells for each pair of powers of two that the rectangles need, and four look-ups a rectangle.

    Args:
        cells: [N, H, W, C], channels last, any real dtype.
        image: [B], int64, in which image each rectangle lies.
        rows, columns: [B, 2], int64, the first and the one after the last; inside the image, at least one of each.
    """
    down, across = _power_of_two(rows), _power_of_two(columns)  # [B] each: a rectangle needs windows 2^down × 2^across
    largest = cells.new_empty(len(image), cells.shape[3])  # [B, C]
    needed = [divmod(pair, 64) for pair in (64 * across + down).unique().tolist()]
    wide = cells  # the largest of every window 1 × 2^i
    for i in range(1 + max((i for i, _ in needed), default=-1)):
        wide = _joined(wide, 2, 2 ** (i - 1)) if i else wide
        tall = wide  # the largest of every window 2^j × 2^i
        for j in range(1 + max((j for of, j in needed if of == i), default=-1)):
            tall = _joined(tall, 1, 2 ** (j - 1)) if j else tall
            chosen = ((across == i) & (down == j)).nonzero()[:, 0]
            for some in chosen.split(1 + BLOCK // cells.shape[3]):
                top, bottom = rows[some, 0], rows[some, 1] - 2**j
                left, right = columns[some, 0], columns[some, 1] - 2**i
                best = _windows(tall, image[some], top, left)  # [B', C]
                for row, column in ((top, right), (bottom, left), (bottom, right)):
                    torch.maximum(best, _windows(tall, image[some], row, column), out=best)
                largest.index_copy_(0, some, best)
    return largest


def _power_of_two(ranges: Tensor) -> Tensor:
    """The i of the largest power 2^i that is not longer than each range [B, 2]. [B]"""
    return torch.frexp((ranges[:, 1] - ranges[:, 0]).double()).exponent - 1


def _joined(windows: Tensor, dim: int, step: int) -> Tensor:
    """Windows of double the size: each joined with the one that begins where it ends, `step` cells further on."""
    length = windows.shape[dim] - step
    return torch.maximum(windows.narrow(dim, 0, length), windows.narrow(dim, step, length))


def _windows(table: Tensor, image: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """The windows of a table [N, H', W', C] that begin at these cells. [B, C]"""
    _, height, width, channels = table.shape
    return table.view(-1, channels).index_select(0, (image * height + row) * width + column)
