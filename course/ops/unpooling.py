"""Unpooling without weights: three ways to make a plane larger.

    nearest        every value fills its block
    bed of nails   every value stands in its block's upper-left corner, zeros around it
    max unpooling  every value returns to where max pooling found it (the *switch*), zeros around it

Switches: Zeiler, Taylor & Fergus 2011, "Adaptive Deconvolutional Networks for Mid and High Level Feature Learning"
(ICCV); Zeiler & Fergus 2014 (arXiv 1311.2901), section 2.1, figure 1. In segmentation networks: Noh, Hong & Han 2015,
"Learning Deconvolution Network for Semantic Segmentation" (arXiv 1505.04366), section 3.2.1; Badrinarayanan, Kendall
& Cipolla 2015, "SegNet" (arXiv 1511.00561), section 3. The name "bed of nails" is from Stanford's CS231n, lecture 11.

    output[indices[y, x]] = x[y, x],   0 elsewhere                      (max unpooling)

Differs from the paper: both segmentation networks pool 2 × 2 with stride 2, so that each switch belongs to one
window. Here, as in torch, windows may overlap. Then two windows can share a switch, and the value that comes last in
reading order is kept.
Differs from torch: that rule always holds (torch's threads race, so which value stays can change from run to run, on
the CPU too), and the gradient flows to the kept value alone (torch's backward gives it to all that share the switch).
Where windows do not overlap, a repeated index is an error. A plane [H, W] is accepted.

Shape letters: N images, C channels, H × W the small plane, OH × OW the large one, SH × SW the scale.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.step import Index, Step, in_plane, number, place, planes


def nearest(x: Tensor, scale: IntOrPair) -> Tensor:
    """Repeat each value over a block of SH × SW cells. [N, C, H*SH, W*SW]

    Args:
        x: [N, C, H, W], [C, H, W] or [H, W], any real dtype.
        scale: block size in cells, one integer or (height, width).

    Raises:
        TypeError, ValueError: x is no such tensor, or scale is not a positive integer. `interpolate_nearest` takes any
            output size.
    """
    arguments.check_planes(x)
    sh, sw = arguments.pair(scale, "scale", 1)
    height, width = x.shape[-2:]
    blocks = x[..., :, None, :, None].expand(*x.shape[:-2], height, sh, width, sw)  # [N, C, H, SH, W, SW]
    return blocks.reshape(*x.shape[:-2], height * sh, width * sw)  # [N, C, H*SH, W*SW]


def bed_of_nails(x: Tensor, scale: IntOrPair) -> Tensor:
    """Put each value in the upper-left corner of a block of SH × SW zeros. [N, C, H*SH, W*SW]

    Args:
        x: [N, C, H, W], [C, H, W] or [H, W], any real dtype.
        scale: block size in cells, one integer or (height, width).

    Raises:
        TypeError, ValueError: x is no such tensor, or scale is not a positive integer.
    """
    arguments.check_planes(x)
    sh, sw = arguments.pair(scale, "scale", 1)
    height, width = x.shape[-2:]
    output = x.new_zeros(*x.shape[:-2], height * sh, width * sw)  # [N, C, H*SH, W*SW]
    output[..., ::sh, ::sw] = x
    return output


def max_unpool(
    x: Tensor,
    indices: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Put each value back where max_pool found its maximum; all other cells are 0. [N, C, OH, OW]

    Overlapping windows can share a switch: then the value that comes last in reading order is kept, with its gradient.

    Args:
        x: [N, C, H, W], [C, H, W] or [H, W], any real dtype.
        indices: the switches from max_pool, row * OW + column, int64, of the shape of x.
        kernel_size, stride, padding: those of the pooling, in cells, one integer or (height, width).
        output_size: (height, width) or whole shape of what was pooled. Several sizes pool to the same one; without it
            the output is (H - 1) * stride - 2 * padding + kernel_size.

    Raises:
        TypeError, ValueError: x or indices are no such tensors; an index lies outside the output, or repeats in a
            plane although the windows do not overlap; output_size is a stride or more away from the usual size.
    """
    arguments.check_planes(x)
    size, overlap = _unpooled(x.shape, kernel_size, stride, padding, output_size)
    arguments.check_switches(indices, x, size, overlap)
    switches, values = indices.flatten(-2), x.flatten(-2)  # [N, C, H*W]
    if overlap:  # Only then can switches be shared.
        values = values.masked_fill(~last_writers(switches, size), 0)
    output = x.new_zeros(*x.shape[:-2], size[0] * size[1])  # [N, C, OH*OW]
    return output.scatter_add(-1, switches, values).unflatten(-1, size)  # [N, C, OH, OW]


def last_writers(switches: Tensor, size: tuple[int, int]) -> Tensor:
    """Which of the switches [N, C, H*W] is the last in reading order to name its cell. bool, [N, C, H*W]

    Threads that write to one cell leave either value there. To name the last writer first makes the answer one.
    """
    order = torch.arange(switches.shape[-1], device=switches.device).expand_as(switches)  # [N, C, H*W]
    last = switches.new_full((*switches.shape[:-1], size[0] * size[1]), -1)  # [N, C, OH*OW]
    last = last.scatter_reduce(-1, switches, order, "amax")
    return last.gather(-1, switches) == order  # [N, C, H*W]


def _unpooled(
    shape: Sequence[int],
    kernel_size: IntOrPair,
    stride: IntOrPair | None,
    padding: IntOrPair,
    output_size: Sequence[int] | None,
) -> tuple[tuple[int, int], bool]:
    """max_unpool's output (height, width), and whether the windows overlap."""
    kernel, step, pad = arguments.window(kernel_size, stride, padding)
    usual = tuple((s - 1) * d - 2 * p + k for s, k, d, p in zip(shape[-2:], kernel, step, pad, strict=True))
    overlap = any(k > d for k, d in zip(kernel, step, strict=True))
    if output_size is not None:
        return arguments.unpooled_size(output_size, shape, usual, step), overlap
    arguments.check_output(usual, f"give output_size, or less padding than {pad}")
    return usual, overlap


def nearest_steps(x: Tensor, scale: IntOrPair) -> Iterator[Step]:
    """nearest, one input value a step. Reads "input"; writes "output"."""
    for cell, value, block in _blocks(x, scale):
        sentence = (
            f"Copy [{number(value)}|read] into its whole block, from {place(block[0])} to {place(block[-1])}: "
            f"write [{number(value)}|write] in {f'each of its {len(block)} cells' if len(block) > 1 else 'its one cell'}."
        )
        yield Step(
            sentence=in_plane(cell[:-2], x.shape, sentence),
            reads={"input": (cell,)},
            writes={"output": dict.fromkeys(block, value)},
            arithmetic=f"output[{_span(block, -2)}, {_span(block, -1)}] = {number(value)}",
        )


def bed_of_nails_steps(x: Tensor, scale: IntOrPair) -> Iterator[Step]:
    """bed_of_nails, one input value a step, which also writes the zeros of its block. Reads "input"; writes "output"."""
    for cell, value, block in _blocks(x, scale):
        rest = f", and 0 in the other {len(block) - 1} cells" if len(block) > 1 else ""
        sentence = (
            f"Put [{number(value)}|read] in the upper-left corner of its block: write [{number(value)}|write] at {place(block[0])}{rest}."
        )
        yield Step(
            sentence=in_plane(cell[:-2], x.shape, sentence),
            reads={"input": (cell,)},
            writes={"output": {**dict.fromkeys(block, 0), block[0]: value}},
            arithmetic=f"output[{block[0][-2]}, {block[0][-1]}] = {number(value)}",
        )


def max_unpool_steps(
    x: Tensor,
    indices: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    output_size: Sequence[int] | None = None,
) -> Iterator[Step]:
    """max_unpool, one pooled value a step. Reads "input" and "indices"; writes "output"; `chosen` is in "indices".

    A step also writes the zeros of its window, so that the output fills window by window, but no zero over an earlier
    value.
    """
    arguments.check_planes(x)
    size, overlap = _unpooled(x.shape, kernel_size, stride, padding, output_size)
    arguments.check_switches(indices, x, size, overlap)
    kernel, step, pad = arguments.window(kernel_size, stride, padding)
    for (plane, rows), (_, switches) in zip(planes(x), planes(indices), strict=True):
        written: dict[Index, float] = {}
        for row, column in itertools.product(range(x.shape[-2]), range(x.shape[-1])):
            value, flat = rows[row][column], switches[row][column]
            switch = plane + divmod(flat, size[1])
            top, left = row * step[0] - pad[0], column * step[1] - pad[1]
            ys = range(max(top, 0), min(top + kernel[0], size[0]))
            xs = range(max(left, 0), min(left + kernel[1], size[1]))
            window = [plane + cell for cell in itertools.product(ys, xs)]
            zeros = {cell: 0 for cell in window if cell not in written}
            sentence = f"The switch for [{number(value)}|read] says {place(switch)}: write [{number(value)}|write] there"
            if switch in written:
                sentence += f", over the {number(written[switch])} of an earlier window."
            elif len(zeros) == len(window):
                sentence += "; the rest of its window stays 0."
            else:
                sentence += "; its window overlaps earlier ones, whose values stay."
            written[switch] = value
            yield Step(
                sentence=in_plane(plane, x.shape, sentence),
                reads={"input": (plane + (row, column),), "indices": (plane + (row, column),)},
                writes={"output": {**zeros, switch: value}},
                chosen={"indices": (plane + (row, column),)},
                arithmetic=f"{flat} = {switch[-2]} × {size[1]} + {switch[-1]}: output[{switch[-2]}, {switch[-1]}] = {number(value)}",
            )


def _blocks(x: Tensor, scale: IntOrPair) -> Iterator[tuple[Index, float, list[Index]]]:
    """Each input cell in reading order, plane by plane, with its value and the output cells of its block."""
    arguments.check_planes(x)
    sh, sw = arguments.pair(scale, "scale", 1)
    for plane, rows in planes(x):
        for row, column in itertools.product(range(x.shape[-2]), range(x.shape[-1])):
            block = itertools.product(range(row * sh, (row + 1) * sh), range(column * sw, (column + 1) * sw))
            yield plane + (row, column), rows[row][column], [plane + cell for cell in block]


def _span(block: list[Index], axis: int) -> str:
    """The block's first and last row (axis -2) or column (axis -1): "2…3", or "2" where they are one."""
    first, last = block[0][axis], block[-1][axis]
    return f"{first}…{last}" if first < last else f"{first}"
