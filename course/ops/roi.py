"""Regions of interest: whatever the size of a box, the features below it become a grid of one size.

RoI pooling: R. Girshick, "Fast R-CNN", 2015, arXiv:1504.08083, section 2.1, backward section 2.3, equation 4. RoIAlign: K. He, G. Gkioxari,
P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 3 and figure 3.

    RoI pooling rounds twice. First the box: x1, y1, x2 and y2, times the scale, each to the nearest cell, halves away from 0; the last cell
    belongs to the box, so it is x2 − x1 + 1 wide and never empty. Then the bins: bin i of P over w cells is

        ⌊i · w / P⌋ … ⌈(i + 1) · w / P⌉        first cell, and the one after the last; neighbouring bins may share cells

    and gives its maximum. The gradient of each output flows to the cell where that stood (equation 4), and cells that stood out in several
    bins, or boxes, sum up. A bin outside the map gives 0, and no gradient flows.

    RoIAlign rounds nothing. A bin is w / P cells wide, a fraction; at S × S points, evenly spread in it, the map is interpolated
    from the four cells around, and the bin gives their mean. So it is linear in the features: each bin a weighted sum of cells.

        value(y, x) = (1 − v)(1 − u) a + (1 − v) u b + v (1 − u) c + v u d       u, v how far from a to b, and from a to c

Points of RoIAlign that lie more than a cell outside the map count 0, those up to a cell outside as the nearest point inside. With
`sampling_ratio` ≤ 0 there are ⌈w / P⌉ points along a side, about one a cell. `aligned` says where the middle of cell i lies: at i + ½, as
everywhere in this course, or, as the first implementations had it, at i, half a cell off, where every box is
made at least one cell wide.

Differs from the papers: nothing. The Fast R-CNN paper leaves the rounding to its code; it is that of the code.
Differs from torchvision: bins are computed as there, in the dtype of the features, so they are the same to the last cell. Half precision is
computed in float32 and rounded once, and pooled on the CPU, too. Of a bin with NaN the maximum is NaN. Boxes may have a dtype of their own;
that the image which they name exists is checked.

Shape letters: N images, C channels, H × W cells, R boxes, PH × PW bins, S points along a side of a bin.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.grid_sums import Reads, collected, grid_sums
from course.ops.precision import widen
from course.ops.rectangles import largest_in_rectangles
from course.ops.step import Index, Step, in_plane, listing, number, place

MOST_POINTS = 2**14  # of RoIAlign, along a side of a bin
LARGEST_PART = 2**22  # how many numbers are pooled at a time: channels do not meet, and memory that is used again is fast

Boxes = Tensor | Sequence[Tensor]
"""[R, 5], the index of the image before x1, y1, x2, y2; or for each image its boxes [L, 4]."""


class Points(NamedTuple):
    """Where RoIAlign looks, in cells whose middles are whole numbers. NaN fills up where a box has fewer points than another."""

    y: Tensor
    """[R, PH, SH]"""
    x: Tensor
    """[R, PW, SW]"""


class Bins(NamedTuple):
    """Which cells each bin of RoI pooling looks at."""

    cells: Tensor
    """x1, y1, x2, y2 of each box, rounded to cells, the last one included; int64. [R, 4]"""
    rows: Tensor
    """The first row of each bin and the one after the last, int64, cut off at the map's edge. [R, PH, 2]"""
    columns: Tensor
    """Likewise the columns. [R, PW, 2]"""


def roi_bins(boxes: Tensor, size: IntOrPair, output_size: IntOrPair, spatial_scale: float = 1.0) -> Bins:
    """The two roundings of RoI pooling: boxes to cells, and the cells to bins.

    Args:
        boxes: [R, 4], floating-point, x1, y1, x2, y2; the arithmetic is in their dtype.
        size: of the map, in cells, (H, W) or one integer.
        output_size: (PH, PW) or one integer.
        spatial_scale: cells a pixel, 1 / stride.

    Raises:
        TypeError, ValueError: no such boxes or numbers.
    """
    arguments.check_boxes(boxes, finite=True)
    size, bins = arguments.pair(size, "size", 1), arguments.pair(output_size, "output_size", 1)
    scaled = widen(boxes) * arguments.positive(spatial_scale, "spatial_scale")
    cells = scaled.trunc() + (2 * (scaled - scaled.trunc())).trunc()  # [R, 4]: to the nearest, halves away from 0
    columns, rows = (_bins(cells[:, k], cells[:, k + 2], bins[1 - k], size[1 - k]) for k in (0, 1))
    return Bins(cells.long(), rows, columns)


def _bins(first: Tensor, last: Tensor, count: int, size: int) -> Tensor:
    """Along one side: from the first and last cell of each box [R] to its bins [R, count, 2]."""
    width = (last - first + 1).clamp(min=1) / count  # [R], a fraction
    start = torch.arange(count + 1, dtype=first.dtype, device=first.device) * width[:, None]  # [R, count + 1]
    bins = torch.stack((start[:, :-1].floor(), start[:, 1:].ceil()), -1)  # [R, count, 2]
    return (bins + first[:, None, None]).clamp(0, size).long()


def roi_pool(features: Tensor, boxes: Boxes, output_size: IntOrPair, spatial_scale: float = 1.0) -> Tensor:
    """The largest value in each bin of each box. [R, C, PH, PW]

    Of equal values the first in reading order is the one through which the gradient flows. No gradient flows to the boxes.

    Args:
        features: [N, C, H, W], floating-point.
        boxes: [R, 5], in each row the index of the image, then x1, y1, x2, y2; or a list of N tensors [L, 4]. They may reach beyond the
            map, and boxes without width or height cover the cell that they are rounded to.
        output_size: (PH, PW) or one integer.
        spatial_scale: cells a pixel, 1 / stride, if the boxes are in pixels.

    Raises:
        TypeError, ValueError: no such tensors or numbers, or an image that is not there.
    """
    image, boxes = arguments.regions(features, boxes)
    _, rows, columns = roi_bins(boxes, features.shape[2:], output_size, spatial_scale)
    channels = max(1, LARGEST_PART // features[:, 0].numel())
    parts = [_RoIPool.apply(part, image, rows, columns) for part in features.split(channels, 1)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class _RoIPool(torch.autograd.Function):
    """(features, image [R], rows [R, PH, 2], columns [R, PW, 2]) → [R, C, PH, PW], with Fast R-CNN's backward."""

    @staticmethod
    def forward(ctx, features: Tensor, image: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        n, channels, height, width = features.shape
        bins = len(image), rows.shape[1], columns.shape[1]  # R, PH, PW
        image = image[:, None, None].expand(bins).flatten()  # [B], with B = R*PH*PW
        rows, columns = rows[:, :, None].expand(*bins, 2).reshape(-1, 2), columns[:, None].expand(*bins, 2).reshape(-1, 2)  # [B, 2] each
        empty = (rows[:, 1] <= rows[:, 0]) | (columns[:, 1] <= columns[:, 0])  # [B]
        rows, columns = (torch.where(empty[:, None], ends.new_tensor([0, 1]), ends) for ends in (rows, columns))  # for now some cell
        cells = features.permute(0, 2, 3, 1).contiguous()  # [N, H, W, C]
        if ctx.needs_input_grad[0]:
            switches = _switches(largest_in_rectangles(_ranked(cells), image, rows, columns))  # [B, C]
            ctx.save_for_backward(switches, empty)
            ctx.shape, ctx.bins = features.shape, bins
            largest = cells.view(-1, channels).gather(0, switches)  # [B, C]
        else:
            largest = largest_in_rectangles(cells, image, rows, columns)  # [B, C]
        largest[empty] = 0
        return largest.view(*bins, channels).permute(0, 3, 1, 2).contiguous()  # [R, C, PH, PW]

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None, None]:
        switches, empty = ctx.saved_tensors
        n, channels, height, width = ctx.shape
        grad_of_bins = widen(grad).permute(0, 2, 3, 1).reshape(-1, channels)  # [B, C]
        grad_of_bins = grad_of_bins.masked_fill(empty[:, None], 0)  # through no cell
        cells = grad_of_bins.new_zeros(n * height * width, channels)  # [N*H*W, C]
        cells = cells.scatter_add(0, switches, grad_of_bins)  # each to the cell where the maximum stood
        return cells.view(n, height, width, channels).permute(0, 3, 1, 2).to(grad.dtype), None, None, None


def _ranked(cells: Tensor) -> Tensor:
    """Integers that are ordered as the cells [N, H, W, C] are, of equal ones the first in reading order above the others. int64

    The upper half of each is the rank of the value, the lower half, subtracted, the cell's index: `_switches` reads it off.
    """
    index = torch.arange(cells[..., 0].numel(), device=cells.device).view(*cells.shape[:3], 1)  # [N, H, W, 1]
    if cells.dtype == torch.float64:  # its 64 bits leave no room for an index
        rank = cells.unique(return_inverse=True)[1]
    else:
        plain = (widen(cells) + 0.0).masked_fill(cells.isnan(), torch.nan)  # one zero, and one NaN, above infinity
        bits = plain.view(torch.int32)
        rank = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()  # negative floats are ordered the other way round
    return (rank << 32) - index


def _switches(ranked: Tensor) -> Tensor:
    """The index of the cell, (image * H + row) * W + column, that each number from `_ranked` belongs to, in its place."""
    return ranked.neg_().bitwise_and_(0xFFFFFFFF)


def roi_pool_loop(features: Tensor, boxes: Boxes, output_size: IntOrPair, spatial_scale: float = 1.0) -> Tensor:
    """roi_pool, a bin at a time: the same numbers and gradients, to be read. Arguments and errors as roi_pool."""
    image, boxes = arguments.regions(features, boxes)
    _, rows, columns = roi_bins(boxes, features.shape[2:], output_size, spatial_scale)
    output = features.new_zeros(len(boxes), features.shape[1], rows.shape[1], columns.shape[1])  # [R, C, PH, PW]
    for r, n in enumerate(image.tolist()):
        for i, (top, bottom) in enumerate(rows[r].tolist()):
            for j, (left, right) in enumerate(columns[r].tolist()):
                cells = features[n, :, top:bottom, left:right].flatten(1)  # [C, h*w]
                if cells.shape[1]:
                    switch = cells.argmax(1, keepdim=True)  # [C, 1], the first of equals
                    output[r, :, i, j] = cells.gather(1, switch)[:, 0]
    return output


def roi_pool_backward(grad: Tensor, features: Tensor, boxes: Boxes, spatial_scale: float = 1.0) -> Tensor:
    """The way back through roi_pool, a bin at a time: each gradient goes to the cell where the maximum stood. [N, C, H, W]

    The same as autograd gives for roi_pool, to be read. Source: paper, equation 4.

    Args:
        grad: [R, C, PH, PW], the gradient of the loss for what roi_pool gave.
        features: [N, C, H, W], floating-point.
        boxes: [R, 5], in each row the index of the image, then x1, y1, x2, y2; or a list of N tensors [L, 4].
        spatial_scale: cells a pixel, 1 / stride, if the boxes are in pixels.

    Raises:
        TypeError, ValueError: no such tensors or number, or an image that is not there.
    """
    image, boxes = arguments.regions(features, boxes)
    if not isinstance(grad, Tensor):
        raise TypeError(f"grad must be a torch.Tensor of shape [R, C, PH, PW]; got {type(grad).__name__}.")
    if grad.dim() != 4 or grad.shape[:2] != (len(boxes), features.shape[1]):
        raise ValueError(f"grad must have shape [{len(boxes)}, {features.shape[1]}, PH, PW]; got {list(grad.shape)}.")
    _, rows, columns = roi_bins(boxes, features.shape[2:], grad.shape[2:], spatial_scale)
    output = torch.zeros_like(features)  # [N, C, H, W]
    channels = torch.arange(features.shape[1], device=features.device)  # [C]
    for r, n in enumerate(image.tolist()):
        for i, (top, bottom) in enumerate(rows[r].tolist()):
            for j, (left, right) in enumerate(columns[r].tolist()):
                cells = features[n, :, top:bottom, left:right]  # [C, h, w]
                if cells.numel():
                    switch = cells.flatten(1).argmax(1)  # [C], the first of equals
                    row, column = top + switch // cells.shape[2], left + switch % cells.shape[2]  # [C] each
                    output[n, channels, row, column] += grad[r, :, i, j]
    return output


def roi_points(
    boxes: Tensor, output_size: IntOrPair, spatial_scale: float = 1.0, sampling_ratio: int = -1, aligned: bool = False
) -> Points:
    """The points at which RoIAlign interpolates: the rows and columns of a grid in each bin.

    Args:
        boxes: [R, 4], floating-point, x1, y1, x2, y2; the arithmetic is in their dtype.
        output_size, spatial_scale, sampling_ratio, aligned: as roi_align.

    Raises:
        TypeError, ValueError: no such boxes or numbers, or a box so large that a bin needs more than 16384 points along a side.
    """
    arguments.check_boxes(boxes, finite=True)
    bins, ratio = arguments.pair(output_size, "output_size", 1), arguments.whole(sampling_ratio, "sampling_ratio", -(2**31))
    scaled = widen(boxes) * arguments.positive(spatial_scale, "spatial_scale") - (0.5 if aligned else 0.0)
    x, y = (_points(scaled[:, k], scaled[:, k + 2], bins[1 - k], ratio, aligned) for k in (0, 1))
    return Points(y, x)


def _points(start: Tensor, end: Tensor, bins: int, sampling_ratio: int, aligned: bool) -> Tensor:
    """Along one side: [R], [R] → [R, bins, S]."""
    length = end - start if aligned else (end - start).clamp(min=1)  # [R]
    width = (length / bins)[:, None, None]  # [R, 1, 1], of a bin
    count = torch.full_like(width, sampling_ratio) if sampling_ratio > 0 else width.ceil().clamp(min=0)  # [R, 1, 1]
    most = int(count.max().clamp(max=2.0**31)) if len(count) else 0
    if most > MOST_POINTS:
        raise ValueError(
            f"boxes must be small enough for {MOST_POINTS} points along a side of a bin; got one of {number(length.max())} cells "
            f"in {bins} bins: clip the boxes to the image, or give sampling_ratio."
        )
    i, s = (torch.arange(n, dtype=start.dtype, device=start.device) for n in (bins, most))
    points = start[:, None, None] + i[:, None] * width + (s + 0.5) * width / count  # [R, bins, S]
    return points.where(s < count, torch.nan)


def roi_align(
    features: Tensor,
    boxes: Boxes,
    output_size: IntOrPair,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """The mean of the map, interpolated at S × S points, in each bin of each box. [R, C, PH, PW]

    Args:
        features, boxes, output_size, spatial_scale: as roi_pool. No gradient flows to the boxes.
        sampling_ratio: S; 0 or less for one point a cell, ⌈height / PH⌉ × ⌈width / PW⌉.
        aligned: whether the middle of cell i lies at i + ½, and not, as in the first implementations, at i.

    Raises:
        TypeError, ValueError: no such tensors or numbers, or an image that is not there.
    """
    image, boxes = arguments.regions(features, boxes)
    points = roi_points(boxes, output_size, spatial_scale, sampling_ratio, aligned)
    down, across = (_interpolated(along, size) for along, size in zip(points, features.shape[2:], strict=True))
    cells = widen(features).permute(0, 2, 3, 1)  # [N, H, W, C]
    output = grid_sums(cells, image, down, across)  # [R, PH, PW, C]
    return output.permute(0, 3, 1, 2).contiguous().to(features.dtype)  # [R, C, PH, PW]


def _interpolated(points: Tensor, size: int) -> Reads:
    """Along one side: which cells the mean of the points of each bin [R, P, S] reads, and with which weight."""
    counted = (points >= -1) & (points <= size)  # [R, P, S]: neither too far outside nor NaN
    inside = points.clamp(0, size - 1).where(counted, 0)
    low = inside.floor()  # [R, P, S], the cell before each point
    part = inside - low  # [R, P, S], how far the point is from there to the next
    share = counted / (~points.isnan()).sum(-1, keepdim=True).clamp(min=1)  # [R, P, S]
    cell = torch.cat((low, (low + 1).clamp(max=size - 1)), -1).long()  # [R, P, 2S]
    return collected(cell, torch.cat(((1 - part) * share, part * share), -1), size)


def roi_align_loop(
    features: Tensor,
    boxes: Boxes,
    output_size: IntOrPair,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """roi_align, a point at a time: the same numbers and gradients, to be read. Arguments and errors as roi_align."""
    image, boxes = arguments.regions(features, boxes)
    wide, bins = widen(features), arguments.pair(output_size, "output_size", 1)
    output = wide.new_zeros(len(boxes), features.shape[1], *bins)  # [R, C, PH, PW]
    for r, n in enumerate(image.tolist()):
        points = roi_points(boxes[[r]], bins, spatial_scale, sampling_ratio, aligned)
        for i, ys in enumerate(points.y[0].tolist()):
            for j, xs in enumerate(points.x[0].tolist()):
                for y, x in itertools.product(ys, xs):
                    for (row, column), weight in _corners(y, x, features.shape[2:]).items():
                        output[r, :, i, j] += wide[n, :, row, column] * weight / (len(ys) * len(xs))
    return output.to(features.dtype)


def _corners(y: float, x: float, size: Sequence[int]) -> dict[Index, float]:
    """The cells around a point, and their weights: {(row, column): weight}. None for a point more than a cell outside."""
    if any(not -1 <= at <= side for at, side in zip((y, x), size, strict=True)):
        return {}
    sides = []
    for at, side in zip((y, x), size, strict=True):
        at = min(max(at, 0.0), side - 1.0)
        low, part = int(at), at - int(at)
        sides.append({low: 1 - part, low + 1: part} if part else {low: 1.0})
    return {(row, column): v * u for (row, v), (column, u) in itertools.product(sides[0].items(), sides[1].items())}


def roi_pool_steps(features: Tensor, boxes: Boxes, output_size: IntOrPair, spatial_scale: float = 1.0) -> Iterator[Step]:
    """roi_pool, in plain Python: for each box a step that rounds it to cells, then, channel by channel, a step a bin.

    Reads "boxes" [R, 4], one after another, and "features"; the maximum is `chosen` in "features". Writes "cells" [R, 4], "output", and
    "indices", of its shape, row * W + column of the maximum in its plane, −1 for an empty bin.
    """
    image, boxes = arguments.regions(features, boxes)
    bins = roi_bins(boxes, features.shape[2:], output_size, spatial_scale)
    for r, n in enumerate(image.tolist()):
        yield _rounded(r, boxes[r].tolist(), spatial_scale, bins.cells[r].tolist())
        rows, columns = bins.rows[r].tolist(), bins.columns[r].tolist()
        for c, values in enumerate(features[n].tolist()):
            for (i, down), (j, across) in itertools.product(enumerate(rows), enumerate(columns)):
                cells = list(itertools.product(range(*down), range(*across)))
                step = _pooled((n, c), cells, [values[y][x] for y, x in cells], (r, c, i, j), features.shape)
                yield step if len(boxes) == 1 else _of_box(step, r)


def _rounded(r: int, box: list[float], scale: float, cells: list[int]) -> Step:
    places = [(r, side) for side in range(4)]
    times = "" if scale == 1 else f" × {number(scale)}"
    x1, y1, x2, y2 = cells
    return Step(
        f"Box {r}{f', times {number(scale)},' if times else ''} is rounded to whole cells: columns [{number(x1)}|write] to "
        f"[{number(x2)}|write], rows [{number(y1)}|write] to [{number(y2)}|write].",
        reads={"boxes": tuple(places)},
        writes={"cells": dict(zip(places, cells, strict=True))},
        arithmetic=",  ".join(f"{number(side)}{times} → {number(cell)}" for side, cell in zip(box, cells, strict=True)),
    )


def _pooled(plane: Index, cells: list[Index], values: list[float], out: Index, shape: torch.Size) -> Step:
    if not cells:
        sentence = "The bin has no cell inside the map: write [0|write], and no gradient will flow through it."
        return Step(in_plane(plane, shape, sentence), {}, {"output": {out: 0.0}, "indices": {out: -1}})
    # Only a larger value replaces the best, so the first of equals stays. NaN is larger than all, and stays.
    best = 0
    for i, value in enumerate(values):
        if value > values[best] or (value != value and values[best] == values[best]):
            best = i
    largest, (row, column) = values[best], cells[best]
    where = f"first at {place((row, column))}" if values.count(largest) > 1 else f"at {place((row, column))}"
    sentence = f"The bin's largest value is [{number(largest)}|chosen], {where}: write [{number(largest)}|write]."
    return Step(
        in_plane(plane, shape, sentence),
        reads={"features": tuple(plane + cell for cell in cells)},
        writes={"output": {out: largest}, "indices": {out: row * shape[3] + column}},
        chosen={"features": (plane + (row, column),)},
        arithmetic=f"max({listing(values)}) = {number(largest)}",
    )


def roi_align_steps(
    features: Tensor,
    boxes: Boxes,
    output_size: IntOrPair,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Iterator[Step]:
    """roi_align, in plain Python, box by box and channel by channel: for each bin a step a point, and one for their mean.

    Reads "features" and "points"; writes "points" [R, C, PH, PW, S, S], the interpolated values, and "output".
    """
    image, boxes = arguments.regions(features, boxes)
    for r, n in enumerate(image.tolist()):
        ys, xs = (axis[0].tolist() for axis in roi_points(boxes[[r]], output_size, spatial_scale, sampling_ratio, aligned))
        for c, values in enumerate(features[n].tolist()):
            for (i, down), (j, across) in itertools.product(enumerate(ys), enumerate(xs)):
                points, found = list(itertools.product(range(len(down)), range(len(across)))), []
                for s, t in points:
                    corners = _corners(down[s], across[t], features.shape[2:])
                    found.append(sum(weight * values[y][x] for (y, x), weight in corners.items()))
                    numbers = [values[y][x] for y, x in corners]
                    step = _looked_up((n, c), (down[s], across[t]), corners, numbers, found[-1], (r, c, i, j, s, t), features.shape)
                    yield step if len(boxes) == 1 else _of_box(step, r)
                step = _averaged((n, c), points, found, (r, c, i, j), features.shape)
                yield step if len(boxes) == 1 else _of_box(step, r)


def _looked_up(
    plane: Index, at: Index, corners: dict[Index, float], values: list[float], value: float, out: Index, shape: torch.Size
) -> Step:
    where = f"row {number(at[0])}, column {number(at[1])}"
    if corners:
        cells = "the cell there" if len(corners) == 1 else f"{len(corners)} cells around it, the nearer the more"
        sentence = f"The point at {where} takes from {cells}: write [{number(value)}|write]."
    else:
        sentence = f"The point at {where} lies more than a cell outside the map: it counts as [0|write]."
    terms = [f"{number(weight)} × {_in_brackets(cell)}" for weight, cell in zip(corners.values(), values, strict=True)]
    return Step(
        in_plane(plane, shape, sentence),
        reads={"features": tuple(plane + cell for cell in corners)},
        writes={"points": {out: value}},
        arithmetic=f"{' + '.join(terms)} = {number(value)}" if corners else "",
    )


def _averaged(plane: Index, points: list[Index], values: list[float], out: Index, shape: torch.Size) -> Step:
    mean = sum(values) / max(len(values), 1)
    sentence = f"The mean of the bin's {len(values)} points is its value: write [{number(mean)}|write]."
    if len(values) < 2:
        sentence = f"The bin's one point is its value: write [{number(mean)}|write]."
    if not values:
        sentence = "A box that ends before it begins has no points: write [0|write]."
    return Step(
        in_plane(plane, shape, sentence),
        reads={"points": tuple(out + point for point in points)},
        writes={"output": {out: mean}},
        arithmetic=f"({listing(values, ' + ')}) / {len(values)} = {number(mean)}" if len(values) > 1 else "",
    )


def _of_box(step: Step, r: int) -> Step:
    """The same step, which says of which box it speaks."""
    return replace(step, sentence=f"Box {r}: {step.sentence[0].lower()}{step.sentence[1:]}")


def _in_brackets(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)
