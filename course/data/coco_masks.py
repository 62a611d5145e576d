"""Masks as COCO writes them: polygons and run lengths, turned into pixels.

T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", 2014, arXiv:1405.0312. The rules below are those of the reference
implementation, the COCO API's `maskApi.c` (P. Dollár and T.-Y. Lin, 2015), and the masks are the same to the pixel: average precision
is compared to six decimals, and a different idea of which pixels a polygon covers would show.

A polygon's outline is drawn on a grid five times as fine, and read where it crosses the middle of a pixel's column. Each such point
(column, row) says "from here down, inside and outside change places". Pixels are counted down the columns, first column first, and
so are run lengths: 3 outside, 2 inside, 4 outside, …

Shape letters: H height, W width, P corners, D points of an outline.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

FINER = 5  # points of the outline a pixel
MIDDLE = FINER // 2  # of a pixel, on the fine grid


def segmentation_mask(segmentation: Sequence | Mapping, height: int, width: int) -> Tensor:
    """The `segmentation` of a COCO annotation, whichever way it is written.

    Args:
        segmentation: a list of polygons `[x1, y1, x2, y2, …]`, of which the union is taken; or run lengths,
            `{"size": [H, W], "counts": …}`, as crowds have them.
        height, width: of the picture, in pixels.

    Returns: bool `[H, W]`. Raises: ValueError for anything that is neither, or does not fit the picture.
    """
    if isinstance(segmentation, Mapping):
        return run_length_mask(segmentation, height, width)
    if isinstance(segmentation, str) or not isinstance(segmentation, Sequence) or len(segmentation) == 0:
        raise ValueError(f"A segmentation is a list of polygons or run lengths, not {_short(segmentation)}.")
    mask = torch.zeros(height, width, dtype=torch.bool)
    for polygon in segmentation:
        mask |= polygon_mask(polygon, height, width)
    return mask


def polygon_mask(polygon: Sequence[float], height: int, width: int) -> Tensor:
    """The pixels inside a closed polygon; where it overlaps itself, even–odd.

    Args:
        polygon: `[x1, y1, x2, y2, …]` in pixels, at least three corners. It may reach beyond the picture and is cut off there.

    Returns: bool `[H, W]`. Raises: ValueError for something that is no polygon.
    """
    corners = _corners(polygon, height, width)  # [P, 2]
    column, row = _crossings(*_outline(corners), height, width)
    changes = np.sort(column * height + row)  # pixels at which inside and outside change places
    return _pixels(np.diff(changes, prepend=0, append=height * width), height, width)


def run_length_mask(run_lengths: Mapping, height: int, width: int) -> Tensor:
    """The pixels of alternating runs outside, inside, outside, …

    Args:
        run_lengths: `{"size": [H, W], "counts": c}`, where c is a list of lengths, or the COCO API's packed string.

    Returns: bool `[H, W]`. Raises: ValueError for lengths that are malformed or do not fill the picture.
    """
    counts = run_lengths.get("counts")
    if list(run_lengths.get("size") or ()) != [height, width]:
        raise ValueError(f"Run lengths for size {_short(run_lengths.get('size'))} do not fit a picture of size [{height}, {width}].")
    if isinstance(counts, (str, bytes)):
        counts = unpack_counts(counts)
    if not isinstance(counts, Sequence) or not all(isinstance(count, int) and count >= 0 for count in counts):
        raise ValueError(f"Run lengths are whole numbers from 0, or their packed string, not {_short(counts)}.")
    if sum(counts) != height * width:
        raise ValueError(f"The run lengths cover {sum(counts):,} pixels and the picture has {height * width:,}.")
    return _pixels(counts, height, width)


def unpack_counts(packed: str | bytes) -> list[int]:
    """Run lengths from the string in which the COCO API packs them.

    A number is cut into groups of five bits, lowest first; a sixth bit says that another group follows, and 48 is added so that each is
    a printable character. From the fourth number on, the difference to the last but one is written, because runs resemble those of the
    column before.

    Raises: ValueError for a string that was not made so.
    """
    text = packed.decode("latin-1") if isinstance(packed, bytes) else packed
    counts, number, shift = [], 0, 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 60:
            raise ValueError(f"Packed run lengths hold the characters 0 to o, and this is none of them: {_short(text)}.")
        number |= (group & 0b11111) << shift
        shift += 5
        if group & 0b100000:
            continue
        if group & 0b10000:  # the sign, as in two's complement
            number -= 1 << shift
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number, shift = 0, 0
    if shift or not counts or min(counts) < 0:
        raise ValueError(f"The packed run lengths are cut off or damaged: {_short(text)}.")
    return counts


def _corners(polygon: Sequence[float], height: int, width: int) -> np.ndarray:
    """The corners on the fine grid: whole numbers `[P, 2]`, xy."""
    try:
        corners = np.asarray(polygon, np.float64)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.ndim != 1 or corners.size < 6 or corners.size % 2 or not np.isfinite(corners).all():
        raise ValueError(f"A polygon is a list of at least three corners, x1, y1, x2, y2, …, not {_short(polygon)}.")
    far = max(height, width)
    if corners.min() < -far or corners.max() > 2 * far:  # nobody draws this, and its outline would fill the memory
        raise ValueError(f"A polygon from {corners.min():g} to {corners.max():g} lies far outside a picture of size [{height}, {width}].")
    return (FINER * corners.reshape(-1, 2) + 0.5).astype(np.int64)  # rounds towards 0, as C does


def _outline(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points at every step of the fine grid along the edges, in order: x and y, each `[D]`.

    An edge is walked along its longer side, always in the direction in which that coordinate grows, so that the points do not depend on
    the polygon's sense of rotation; then they are put into the polygon's order.
    """
    start, end = corners, np.roll(corners, -1, axis=0)  # [P, 2]
    level = np.abs(end - start)[:, 0] >= np.abs(end - start)[:, 1]  # [P]: longer in x than in y
    backward = np.where(level, start[:, 0] > end[:, 0], start[:, 1] > end[:, 1])[:, None]
    start, end = np.where(backward, end, start), np.where(backward, start, end)
    long_start, short_start = np.where(level[:, None], start, start[:, ::-1]).T  # [P]: along the longer side, and across it
    long_end, short_end = np.where(level[:, None], end, end[:, ::-1]).T
    steps = long_end - long_start  # [P]
    slope = (short_end - short_start) / np.maximum(steps, 1)
    edge = np.repeat(np.arange(len(steps)), steps + 1)  # [D]: which edge a point is on
    step = np.arange(len(edge)) - (np.cumsum(steps + 1) - (steps + 1))[edge]
    step = np.where(backward[edge, 0], steps[edge] - step, step)
    along = long_start[edge] + step
    across = (short_start[edge] + slope[edge] * step + 0.5).astype(np.int64)
    return np.where(level[edge], along, across), np.where(level[edge], across, along)


def _crossings(x: np.ndarray, y: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the outline crosses the middle of a column of pixels: the columns, and the first row below, 0…H."""
    moved = np.flatnonzero(x[1:] != x[:-1])
    x = np.minimum(x[1:], x[:-1])[moved]
    y = np.minimum(y[1:], y[:-1])[moved]
    column = (x - MIDDLE) // FINER
    seen = ((x - MIDDLE) % FINER == 0) & (column >= 0) & (column < width)
    row = -((MIDDLE - y[seen]) // FINER)  # the next pixel's middle, rounded up
    return column[seen], row.clip(0, height)


def _pixels(counts: Sequence[int], height: int, width: int) -> Tensor:
    """Lengths of runs down the columns, outside, inside, outside, … → bool `[H, W]`."""
    inside = np.repeat(np.arange(len(counts)) % 2 == 1, counts)  # [W·H]
    return torch.from_numpy(inside.reshape(width, height)).T.contiguous()  # [H, W]


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
