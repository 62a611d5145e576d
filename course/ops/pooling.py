"""Pooling: each window of a plane becomes one number.

Max pooling keeps the largest value and remembers where it stood: the *switches* that unpooling follows back up.
Zeiler, Taylor & Fergus 2011, "Adaptive Deconvolutional Networks for Mid and High Level Feature Learning" (ICCV),
section 2; Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks" (arXiv 1311.2901), section
2.1. Output sizes: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning" (arXiv 1603.07285),
section 3.

    values[y, x]  = max over the window at (y, x)        indices[y, x] = where that max stood, row * W + column
    average[y, x] = sum over the window at (y, x) / number of its cells

Differs from the paper: the 2011 switches pool in 3-D, over neighbouring feature maps too; here, as in the 2014 paper,
over the plane.
Differs from torch: no dilation and no ceil_mode. A plane [H, W] is accepted. Integers can be max pooled. Of several
NaN in one window the first is the switch, in torch the last; the value is NaN in both.

Shape letters: N images, C channels, H × W the input plane, OH × OW the output plane, KH × KW the window, K = KH * KW.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.precision import widen
from course.ops.step import Index, Step, in_plane, listing, number, place, planes


class MaxPool(NamedTuple):
    """What max_pool returns: `values, indices = max_pool(x, 2)`."""

    values: Tensor
    """The largest value of each window. [N, C, OH, OW]"""
    indices: Tensor
    """Where it stood, the switch: row * W + column in the unpadded plane, int64. [N, C, OH, OW]"""


def pool_output_size(
    size: IntOrPair, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0
) -> int | tuple[int, int]:
    """How many windows fit: floor((size + 2 * padding - kernel_size) / stride) + 1 (Dumoulin & Visin 2016, relationship 6).

    Returns one number if every argument is one, otherwise (height, width).
    Raises ValueError if no window fits, or if padding is more than half of kernel_size.
    """
    kernel, step, pad = arguments.window(kernel_size, stride, padding)
    out = tuple((s + 2 * p - k) // d + 1 for s, k, d, p in zip(arguments.pair(size, "size", 1), kernel, step, pad, strict=True))
    arguments.check_output(out, f"kernel_size {kernel} is larger than the padded input")
    return arguments.one_or_pair(out, size, kernel_size, stride, padding)


def window_cells(size: Sequence[int], kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0) -> Tensor:
    """Which cells each window looks at: their indices row * W + column in a plane of that size. [OH, OW, K], int64

    A window cell in the padding is replaced by the nearest cell of the plane, which lies in the same window. It can
    therefore tie with a real cell but never beat one: padding cannot win, not even where every real value is -inf.
    """
    kernel, step, pad = arguments.window(kernel_size, stride, padding)
    height, width = size
    out_height, out_width = pool_output_size(tuple(size), kernel, step, pad)
    rows = torch.arange(out_height)[:, None] * step[0] - pad[0] + torch.arange(kernel[0])  # [OH, KH]
    columns = torch.arange(out_width)[:, None] * step[1] - pad[1] + torch.arange(kernel[1])  # [OW, KW]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    cells = rows[:, None, :, None] * width + columns[None, :, None, :]  # [OH, OW, KH, KW]
    return cells.flatten(-2)  # [OH, OW, K]


def max_pool(x: Tensor, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0) -> MaxPool:
    """The largest value of each window, and where it stood.

    Of equal values the first in reading order is chosen, as in torch. NaN counts as the largest. The gradient of each
    output flows to the chosen cell alone, because `values` is read at `indices`.

    Args:
        x: [N, C, H, W], [C, H, W] or [H, W], any real dtype.
        kernel_size, stride, padding: cells, one integer or (height, width). stride None means kernel_size.

    Raises:
        TypeError, ValueError: x is no such tensor, or no window fits, or padding is more than half of kernel_size.
    """
    arguments.check_planes(x)
    cells = window_cells(x.shape[-2:], kernel_size, stride, padding).to(x.device)  # [OH, OW, K]
    plane = x.flatten(-2)  # [N, C, H*W]
    windows = plane.detach()[..., cells]  # [N, C, OH, OW, K]
    winner = windows.argmax(-1, keepdim=True)  # [N, C, OH, OW, 1]
    indices = cells.expand_as(windows).gather(-1, winner).squeeze(-1)  # [N, C, OH, OW]
    values = plane.gather(-1, indices.flatten(-2)).view_as(indices)  # [N, C, OH, OW]
    return MaxPool(values, indices)


def avg_pool(
    x: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window. [N, C, OH, OW]

    Padding is zeros. They are counted as cells of the window, as in torch, unless count_include_pad is False.

    Args:
        x: [N, C, H, W], [C, H, W] or [H, W], floating-point.
        kernel_size, stride, padding: cells, one integer or (height, width). stride None means kernel_size.

    Raises:
        TypeError, ValueError: as max_pool; also TypeError if x holds integers, which have no mean.
    """
    arguments.check_planes(x, fractions=True)
    (kh, kw), (sh, sw), (ph, pw) = arguments.window(kernel_size, stride, padding)
    pool_output_size(x.shape[-2:], (kh, kw), (sh, sw), (ph, pw))

    def window_sums(planes: Tensor) -> Tensor:
        padded = F.pad(planes, (pw, pw, ph, ph))  # [N, C, H + 2*PH, W + 2*PW]
        windows = padded.unfold(-2, kh, sh).unfold(-2, kw, sw)  # [N, C, OH, OW, KH, KW]
        return windows.sum((-2, -1))  # [N, C, OH, OW]

    wide = widen(x)
    count = kh * kw if count_include_pad else window_sums(torch.ones_like(wide))
    return (window_sums(wide) / count).to(x.dtype)


def max_pool_steps(x: Tensor, kernel_size: IntOrPair, stride: IntOrPair | None = None, padding: IntOrPair = 0) -> Iterator[Step]:
    """max_pool, one window a step, in plain Python.

    Reads "input"; writes "output" and "indices"; the switch is `chosen` in "input".
    """
    arguments.check_planes(x)
    width = x.shape[-1]
    for plane, rows, out, cells, _ in _windows(x, kernel_size, stride, padding):
        values = [rows[row][column] for row, column in cells]
        # Only a larger value replaces the best, so the first of equals stays. NaN is larger than all, and stays.
        best = 0
        for i, value in enumerate(values):
            if value > values[best] or (value != value and values[best] == values[best]):
                best = i
        largest, switch = values[best], plane + cells[best]
        where = f"first at {place(switch)}" if values.count(largest) > 1 else f"at {place(switch)}"
        sentence = f"The window's largest value is [{number(largest)}|chosen], {where}: write [{number(largest)}|write]."
        yield Step(
            sentence=in_plane(plane, x.shape, sentence),
            reads={"input": tuple(plane + cell for cell in cells)},
            writes={"output": {plane + out: largest}, "indices": {plane + out: switch[-2] * width + switch[-1]}},
            chosen={"input": (switch,)},
            arithmetic=f"max({listing(values)}) = {number(largest)}",
        )


def avg_pool_steps(
    x: Tensor,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
    count_include_pad: bool = True,
) -> Iterator[Step]:
    """avg_pool, one window a step, in plain Python. Reads "input"; writes "output"."""
    arguments.check_planes(x, fractions=True)
    for plane, rows, out, cells, padded in _windows(x, kernel_size, stride, padding):
        values = [rows[row][column] for row, column in cells]
        total, count = sum(values), len(values) + (padded if count_include_pad else 0)
        zeros = f" and {padded} zeros of padding" if padded and count_include_pad else ""
        sentence = (
            f"The window's {len(values)} values{zeros} sum to [{number(total)}|read]: "
            f"divide by {count} and write [{number(total / count)}|write]."
        )
        yield Step(
            sentence=in_plane(plane, x.shape, sentence),
            reads={"input": tuple(plane + cell for cell in cells)},
            writes={"output": {plane + out: total / count}},
            arithmetic=f"({listing(values, ' + ')}) / {count} = {number(total / count)}",
        )


def _windows(
    x: Tensor, kernel_size: IntOrPair, stride: IntOrPair | None, padding: IntOrPair
) -> Iterator[tuple[Index, list[list[float]], Index, list[Index], int]]:
    """Each window in reading order, plane by plane.

    Yields the plane's index, the plane's rows, the output cell, the window's real cells (row, column), and how many of
    its cells are padding.
    """
    (kh, kw), (sh, sw), (ph, pw) = arguments.window(kernel_size, stride, padding)
    height, width = x.shape[-2:]
    out_height, out_width = pool_output_size((height, width), (kh, kw), (sh, sw), (ph, pw))
    for plane, rows in planes(x):
        for row, column in itertools.product(range(out_height), range(out_width)):
            top, left = row * sh - ph, column * sw - pw
            ys = range(max(top, 0), min(top + kh, height))
            xs = range(max(left, 0), min(left + kw, width))
            yield plane, rows, (row, column), list(itertools.product(ys, xs)), kh * kw - len(ys) * len(xs)
