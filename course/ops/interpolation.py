"""From one size to another by fixed rules: averaging down, copying or blending up.

    P_k = Σ I_i / s²                   averaging: s × s cells become their mean
    output[i] = x[⌊i * H / OH⌋]        nearest neighbour, in both directions
    output[i] = (1 - t) x[a] + t x[a + 1],   a + t = (i + 0.5) * H / OH - 0.5          bilinear, in both directions

What bilinear interpolation reads at the centres of output cells, `sample_bilinear` reads at any points.

Long, Shelhamer & Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation" (arXiv 1411.4038), section
3.3: bilinear interpolation is a transposed convolution with a fixed kernel. Odena, Dumoulin & Olah 2016,
"Deconvolution and Checkerboard Artifacts" (Distill, doi 10.23915/distill.00003): to resize first and convolve then
leaves no checkerboard.

Differs from the paper: FCN learns its kernel from the bilinear start; here nothing is learned.
Differs from torch: `interpolate_nearest` computes ⌊i * H / OH⌋ in integers. torch multiplies by a float32 H / OH,
which for few pairs of sizes (the first is 26 → 22) rounds a whole number down to the cell before. No antialiasing and
no scale_factor. Planes [H, W] are accepted.

Shape letters: N images, C channels, H × W input plane, OH × OW output plane, SH × SW averaging factor, P points.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.precision import widen
from course.ops.step import Index, Step, in_plane, listing, number, place, planes


def downsample_average(x: Tensor, factor: IntOrPair) -> Tensor:
    """Replace every SH × SW cells by their mean, P_k = Σ I_i / s². [N, C, H/SH, W/SW]

    Args:
        x: [N, C, H, W], [C, H, W] or [H, W], floating-point.
        factor: s in cells, one integer or (height, width); it must divide the plane's height and width.

    Raises:
        TypeError, ValueError: x is no such tensor, or factor does not divide its size.
    """
    sh, sw = _factor(x, factor)
    height, width = x.shape[-2:]
    blocks = widen(x).reshape(*x.shape[:-2], height // sh, sh, width // sw, sw)  # [N, C, H/SH, SH, W/SW, SW]
    return blocks.mean((-3, -1)).to(x.dtype)  # [N, C, H/SH, W/SW]


def interpolate_nearest(x: Tensor, size: IntOrPair) -> Tensor:
    """Give each output cell the value of the input cell that its upper-left corner falls into. [N, C, OH, OW]

    Args:
        x: [N, C, H, W], [C, H, W] or [H, W], any real dtype.
        size: (OH, OW), or one integer for both.

    Raises:
        TypeError, ValueError: x is no such tensor, or size is not positive.
    """
    arguments.check_planes(x)
    out_height, out_width = arguments.pair(size, "size", 1)
    height, width = x.shape[-2:]
    rows = torch.arange(out_height, device=x.device) * height // out_height  # [OH]
    columns = torch.arange(out_width, device=x.device) * width // out_width  # [OW]
    return x[..., rows[:, None], columns]  # [N, C, OH, OW]


def interpolate_bilinear(x: Tensor, size: IntOrPair, align_corners: bool = False) -> Tensor:
    """Blend the four input cells around each output cell's centre, by nearness. [N, C, OH, OW]

    Cells are squares of side 1 with their centre at +0.5. At the border the outermost centre counts for all that lies beyond it. With
    align_corners the centres of the corner cells coincide instead of the image's corners.

    Args:
        x: [N, C, H, W], [C, H, W] or [H, W], floating-point.
        size: (OH, OW), or one integer for both.

    Raises:
        TypeError, ValueError: x is no such tensor, or size is not positive.
    """
    arguments.check_planes(x, fractions=True)
    out_height, out_width = arguments.pair(size, "size", 1)
    wide = widen(x)
    upper, lower, down = _neighbours(wide, -2, out_height, align_corners)  # [OH] each
    left, right, across = _neighbours(wide, -1, out_width, align_corners)  # [OW] each
    down = down[:, None]  # [OH, 1]
    rows = (1 - down) * wide[..., upper, :] + down * wide[..., lower, :]  # [N, C, OH, W]
    output = (1 - across) * rows[..., left] + across * rows[..., right]  # [N, C, OH, OW]
    return output.to(x.dtype)


def sample_bilinear(features: Tensor, points: Tensor) -> Tensor:
    """The map's values at points: the four cells around each, blended by nearness. [C, P]

    Cells are squares of side 1 with their centre at +0.5. At the border the outermost centre counts for all that lies beyond it.

    Args:
        features: [C, H, W], floating-point.
        points: x and y in cells, floating-point [P, 2]; P may be 0.

    Raises:
        TypeError, ValueError: no such tensors, or a point that is not finite.
    """
    _check_points(features, points)
    wide = widen(features)
    x, y = points.to(wide).unbind(1)  # [P] each
    left, right, across = _around(x - 0.5, wide.shape[2])  # [P] each
    upper, lower, down = _around(y - 0.5, wide.shape[1])  # [P] each
    above = (1 - across) * wide[:, upper, left] + across * wide[:, upper, right]  # [C, P]
    below = (1 - across) * wide[:, lower, left] + across * wide[:, lower, right]  # [C, P]
    return ((1 - down) * above + down * below).to(features.dtype)  # [C, P]


def _neighbours(x: Tensor, axis: int, out: int, align_corners: bool) -> tuple[Tensor, Tensor, Tensor]:
    """For each of `out` output cells along an axis: the input cell before its centre, the one after, the weight of the one after. [out]"""
    size = x.shape[axis]
    half = 0 if align_corners else 0.5  # Cells are measured from the first centre, or from the image's edge.
    scale = (size - 1) / max(out - 1, 1) if align_corners else size / out
    return _around((torch.arange(out, dtype=x.dtype, device=x.device) + half) * scale - half, size)


def _around(places: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of places, 0 being the centre of the first of `size` cells: the cell before each, the one after, the weight of the one after."""
    places = places.clamp(0, size - 1)
    before = places.long()
    after = (before + 1).clamp(max=size - 1)
    return before, after, places - before


def downsample_average_steps(x: Tensor, factor: IntOrPair) -> Iterator[Step]:
    """downsample_average, one output cell a step. Reads "input"; writes "output"."""
    sh, sw = _factor(x, factor)
    for plane, rows in planes(x):
        for row, column in itertools.product(range(x.shape[-2] // sh), range(x.shape[-1] // sw)):
            cells = list(itertools.product(range(row * sh, (row + 1) * sh), range(column * sw, (column + 1) * sw)))
            values = [rows[y][x] for y, x in cells]
            total, mean = sum(values), sum(values) / (sh * sw)
            sentence = (
                f"The values of this {sh} × {sw} block sum to [{number(total)}|read]: divide by {sh * sw} and write [{number(mean)}|write]."
            )
            yield Step(
                sentence=in_plane(plane, x.shape, sentence),
                reads={"input": tuple(plane + cell for cell in cells)},
                writes={"output": {plane + (row, column): mean}},
                arithmetic=f"({listing(values, ' + ')}) / ({sh} × {sw}) = {number(mean)}",
            )


def interpolate_nearest_steps(x: Tensor, size: IntOrPair) -> Iterator[Step]:
    """interpolate_nearest, one output cell a step. Reads "input"; writes "output"."""
    arguments.check_planes(x)
    out_height, out_width = arguments.pair(size, "size", 1)
    height, width = x.shape[-2:]
    for plane, rows in planes(x):
        for row, column in itertools.product(range(out_height), range(out_width)):
            source = (row * height // out_height, column * width // out_width)
            value = rows[source[0]][source[1]]
            sentence = (
                f"The cell at {place((row, column))} falls on the input's {place(source)}: "
                f"copy [{number(value)}|read] and write [{number(value)}|write]."
            )
            yield Step(
                sentence=in_plane(plane, x.shape, sentence),
                reads={"input": (plane + source,)},
                writes={"output": {plane + (row, column): value}},
                arithmetic=f"⌊{row} × {height} / {out_height}⌋ = {source[0]}, ⌊{column} × {width} / {out_width}⌋ = {source[1]}",
            )


def interpolate_bilinear_steps(x: Tensor, size: IntOrPair, align_corners: bool = False) -> Iterator[Step]:
    """interpolate_bilinear, one output cell a step, in plain Python. Reads "input"; writes "output"."""
    arguments.check_planes(x, fractions=True)
    out_height, out_width = arguments.pair(size, "size", 1)
    for plane, rows in planes(x):
        for row, column in itertools.product(range(out_height), range(out_width)):
            at_row = _centre(row, x.shape[-2], out_height, align_corners)
            at_column = _centre(column, x.shape[-1], out_width, align_corners)
            weights = _nearness(at_row, at_column, x.shape[-2:])
            terms = [(weight, rows[y][x]) for (y, x), weight in weights.items()]
            value = sum(weight * term for weight, term in terms)
            sentence = (
                f"The output's {place((row, column))} lies at row {number(at_row)}, column {number(at_column)} of the input: "
                f"blend its nearest cells, and write [{number(value)}|write]."
            )
            yield Step(
                sentence=in_plane(plane, x.shape, sentence),
                reads={"input": tuple(plane + cell for cell in weights)},
                writes={"output": {plane + (row, column): value}},
                arithmetic=f"{' + '.join(listing(term, ' × ') for term in terms)} = {number(value)}",
            )


def _centre(cell: int, size: int, out: int, align_corners: bool) -> float:
    """Where the centre of an output cell falls on the input, in cells, 0 being the centre of the first."""
    if align_corners:
        return cell * (size - 1) / max(out - 1, 1)
    return min(max((cell + 0.5) * size / out - 0.5, 0.0), size - 1.0)


def _nearness(row: float, column: float, size: Sequence[int]) -> dict[Index, float]:
    """The cells around a point and their weights, the areas that add up to 1. Up to four: at the border neighbours coincide."""
    top, left = int(row), int(column)
    weights: dict[Index, float] = {}
    for y, by_row in ((top, 1 - (row - top)), (top + 1, row - top)):
        for x, by_column in ((left, 1 - (column - left)), (left + 1, column - left)):
            cell = (min(y, size[0] - 1), min(x, size[1] - 1))
            weights[cell] = weights.get(cell, 0) + by_row * by_column
    return weights


def _check_points(features: Tensor, points: Tensor) -> None:
    arguments.check_planes(features, "features", fractions=True)
    if features.dim() != 3:
        raise ValueError(f"features must have shape [C, H, W]; got {list(features.shape)}.")
    if not isinstance(points, Tensor) or not points.is_floating_point():
        got = points.dtype if isinstance(points, Tensor) else type(points).__name__
        raise TypeError(f"points must be a floating-point tensor [P, 2]; got {got}.")
    if points.dim() != 2 or points.shape[1] != 2:
        raise ValueError(f"points must have shape [P, 2], x and y of each; got {list(points.shape)}.")
    if not points.isfinite().all():
        raise ValueError("points must be finite; got NaN or infinity.")
    arguments.check_same_device(points, "points", features, "features")


def _factor(x: Tensor, factor: IntOrPair) -> tuple[int, int]:
    """downsample_average's arguments, checked: the factor (height, width)."""
    arguments.check_planes(x, fractions=True)
    sides = arguments.pair(factor, "factor", 1)
    arguments.check_divides(sides, "factor", tuple(x.shape[-2:]))
    return sides
