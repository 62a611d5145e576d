"""`segwidgets.conv_transpose`: transposed convolution, a stamp at a time, with the checkerboard that uneven overlap leaves."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from course.ops.conv_transpose import conv_transpose as operation
from course.ops.conv_transpose import conv_transpose_steps, overlap_count
from segwidgets.from_steps import trace_steps, with_zeros
from segwidgets.inputs import as_tensor, check_keywords, plane
from segwidgets.maps import Maps
from segwidgets.panels import Arrow, Grid
from segwidgets.player import Player
from segwidgets.students import beside
from segwidgets.trace import Trace, TraceStep


def conv_transpose(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, *, channel=0, batch=0, image=None, field=None, fn=None, **unknown
) -> Player:
    """Transposed convolution of one plane with one kernel, played a stamp at a time.

    A layer with several channels adds up such planes, one for each input channel; the widget shows one of them. When the
    kernel isn't a multiple of the stride, a further panel counts how many stamps cover each cell.

    Args:
        x: `[H, W]`, `[C, H, W]` or `[N, C, H, W]`; one plane of it is shown.
        weight: the kernel `[KH, KW]`, or a layer's weight `[C, O, KH, KW]`, of which channel `channel` and output 0 are shown.
        bias: one number, or None.
        stride, padding, output_padding: as `course.ops.conv_transpose.conv_transpose`.
        channel, batch, image, field: as `segwidgets.pool`.
        fn: your own function with the arguments of `course.ops.conv_transpose.conv_transpose`.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, conv_transpose)
    values, shape = plane(x, channel=channel, batch=batch)
    kernel = _kernel(weight, channel)
    shift = None if bias is None else as_tensor(bias, name="bias").reshape(-1)[:1]
    arguments = (values, kernel, shift, stride, padding, output_padding)
    result = operation(*arguments)

    maps = Maps(values, result, image=image, field=field)
    panels = [
        maps.grid("input", values, shape),
        Grid("kernel", kernel.numpy(), note=f"[{kernel.shape[0]}, {kernel.shape[1]}]", width=min(4.0, float(kernel.shape[1]))),
        maps.grid("output", result, str(list(result.shape)), empty=True),
    ]
    arrows = [Arrow("×", line=False), Arrow(f"stamp, stride {_text(stride)}")]
    steps = trace_steps(conv_transpose_steps(*arguments), {"input": "input", "weight": "kernel", "output": "output"})
    steps = with_zeros(steps, "output", result.shape, "No stamp reaches the other cells: they stay [0|write].")
    last = TraceStep("All stamps are on the sheet; where they overlap, they added up.")
    if fn is not None:
        names = ("x", "weight", "bias", "stride", "padding", "output_padding")
        theirs, steps, last = beside(fn, dict(zip(names, arguments, strict=True)), result, steps, "output")
        panels.append(maps.grid("yours", theirs, str(list(result.shape)), empty=True))
        arrows.append(None)
    counts = overlap_count(tuple(values.shape), tuple(kernel.shape), stride, padding, output_padding)
    if not _divides(kernel.shape, stride):
        panels.append(_overlap_panel(counts))
        arrows.append(None)
        steps = _counting(steps)
        last = replace(last, caption=f"{last.caption} {_checkerboard(counts, kernel.shape, stride)}")
    if maps.picture:
        panels.insert(0, maps.picture)
        arrows.insert(0, Arrow("network"))
    first = "Each input value multiplies the whole kernel. The product is a stamp, added to the output."
    title = f"transposed convolution, kernel {kernel.shape[0]}×{kernel.shape[1]}, stride {_text(stride)}, padding {_text(padding)}"
    return Player(Trace(title, panels=panels, arrows=arrows, steps=[TraceStep(first), *steps, last]))


def _kernel(weight, channel: int) -> Tensor:
    kernel = as_tensor(weight, name="weight")
    if kernel.ndim == 4 and kernel.numel():
        if channel >= kernel.shape[0]:
            raise ValueError(f"channel is {channel}, and weight is for the {kernel.shape[0]} channels 0 to {kernel.shape[0] - 1}")
        kernel = kernel[channel, 0]
    if kernel.ndim != 2 or not kernel.numel():
        raise ValueError(f"weight has the shape {list(kernel.shape)}; a kernel is [KH, KW], a layer's weight [C, O, KH, KW]")
    if not torch.isfinite(kernel).all():
        raise ValueError("weight has NaN or infinite values; a widget shows finite numbers only")
    return kernel


def _divides(kernel, stride) -> bool:
    strides = stride if isinstance(stride, (tuple, list)) else (stride, stride)
    return all(size % step == 0 for size, step in zip(kernel, strides, strict=True))


def _overlap_panel(counts: Tensor) -> Grid:
    width = min(float(counts.shape[1]), 7.0)
    note, limits = str(list(counts.shape)), (0.0, float(counts.max()))
    return Grid("stamps", torch.zeros_like(counts).numpy(), "stamps per cell", note, "heat", width=width, limits=limits)


def _counting(steps: list[TraceStep]) -> list[TraceStep]:
    """The same steps, each adding 1 to the count of the cells under its stamp."""
    count: dict = {}
    counting = []
    for step in steps:
        stamped = list(step.writes["output"]) if "input" in step.marks else []  # the bias is no stamp
        count |= {cell: count.get(cell, 0) + 1 for cell in stamped}
        writes = {**step.writes, "stamps": {cell: count[cell] for cell in stamped}}
        marks = {**step.marks, "stamps": {"write": stamped}}
        counting.append(TraceStep(step.caption, marks, writes, step.keep, step.arithmetic, step.terms))
    return counting


def _checkerboard(counts: Tensor, kernel, stride) -> str:
    inside = sorted(set(counts.flatten().tolist()))
    covered = f"{', '.join(map(str, inside[:-1]))} or {inside[-1]}" if len(inside) > 1 else str(inside[0])
    size = kernel[0] if kernel[0] == kernel[1] else f"{kernel[0]}×{kernel[1]}"
    return (
        f"Kernel {size} is no multiple of stride {_text(stride)}: cells lie under {covered} stamps. "
        "Unless the weights balance that, a checkerboard shows."
    )


def _text(value) -> str:
    return "×".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)
