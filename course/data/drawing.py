"""Drawing in whole numbers: the same pixels on every machine.

Corners of polygons are counted in 1/64 pixel, photographs are resampled with weights of 1/16 pixel, and both only ever meet whole
numbers from there on. A pixel belongs to a polygon if its centre lies inside; there is no anti-aliasing, so picture and mask never
disagree by a fraction of a pixel. Photographs come from lossless files, because a JPEG may decode differently from one library
version to the next.

Shape letters: H, W size of a picture, P corners of a contour, E edges, C channels.
"""

import math
from functools import cache

import numpy as np
import torch

from course.data.photos import photo

GRID = 64  # steps per pixel in which corners are counted
WEIGHTS = 16  # steps per pixel in which photographs are sampled: 255 · 16 · 16 still fits into 16 bits

Contours = list[np.ndarray]  # closed polygons [P, 2] of (x, y)


def winding(contours: Contours, height: int, width: int) -> np.ndarray:
    """How many times the contours go round each pixel's centre, less the times they go round it backwards: int64 `[H, W]`.

    Odd is inside by the even–odd rule (overlaps become holes); anything but 0 is inside by the non-zero rule (overlaps join, and a
    contour that runs the other way round cuts a hole). Exact, for corners rounded to 1/64 pixel.

    A ray from a pixel centre to the right meets each edge at most once, and an edge that goes down turns the other way round than
    one that goes up. So each edge adds its direction, in each row that it crosses, to all pixels to the left of the crossing.
    """
    corners = [np.rint(contour * GRID).astype(np.int64) for contour in contours]
    starts = np.concatenate(corners)  # [E, 2]
    ends = np.concatenate([part for c in corners for part in (c[1:], c[:1])])  # [E, 2]
    downward = starts[:, 1] < ends[:, 1]  # [E]
    (x0, y0), (x1, y1) = np.where(downward[:, None], starts, ends).T, np.where(downward[:, None], ends, starts).T  # [E]
    y = np.arange(height) * GRID + GRID // 2  # [H], the rows' centres
    edge, row = np.nonzero((y0[:, None] <= y) & (y < y1[:, None]))
    direction = np.where(downward, 1, -1)[edge]
    x0, y0, x1, y1, y = x0[edge], y0[edge], x1[edge], y1[edge], y[row]
    # Number of pixels whose centre is left of the crossing, ceil((crossing − 1/2 pixel) / pixel), in one exact division.
    left = -((-((x0 - GRID // 2) * (y1 - y0) + (y - y0) * (x1 - x0))) // (GRID * (y1 - y0)))
    # bincount adds in floating point, which is exact for numbers of this size.
    turns = np.bincount(row * (width + 1) + left.clip(0, width), weights=direction, minlength=height * (width + 1))
    turns = turns.astype(np.int64).reshape(height, width + 1)
    return turns[:, ::-1].cumsum(axis=1)[:, -2::-1]  # [H, W]: column c sums the crossings with left > c


@cache
def pixels(name: str) -> np.ndarray:
    """A photograph as uint8 `[H, W, 3]`, kept: cutting a piece is a hundred times faster than decoding."""
    return (photo(name) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def resample(piece: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, uint8 `[C, h, w]` → uint8 `[C, H, W]`; pixel centres at +0.5, corners aligned with corners."""
    for axis, size in ((1, height), (2, width)):
        old = piece.shape[axis]
        at = ((2 * np.arange(size) + 1) * old * WEIGHTS // (2 * size) - WEIGHTS // 2).clip(0, (old - 1) * WEIGHTS)
        low, part = at // WEIGHTS, (at % WEIGHTS).astype(np.uint16)
        high = (low + 1).clip(max=old - 1)
        part = part[:, None] if axis == 1 else part
        piece = piece.take(low, axis) * (WEIGHTS - part) + piece.take(high, axis) * part
    return (piece >> 8).astype(np.uint8)


def halved(picture: np.ndarray) -> np.ndarray:
    """Means of 2 × 2 pixels, rounded down: uint8 `[C, H, W]` → `[C, H // 2, W // 2]`."""
    height, width = (length // 2 * 2 for length in picture.shape[1:])
    whole = picture[:, :height, :width].astype(np.uint16)
    return ((whole[:, ::2, ::2] + whole[:, 1::2, ::2] + whole[:, ::2, 1::2] + whole[:, 1::2, 1::2]) >> 2).astype(np.uint8)


def around(radius: np.ndarray) -> np.ndarray:
    """Corners at equal angles around the origin, at these distances: [P, 2]."""
    angle = np.arange(len(radius)) * (2 * math.pi / len(radius))
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
