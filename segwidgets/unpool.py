"""`segwidgets.unpool`: the ways back up without learned weights, and max unpooling beside the pooling that it undoes."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from course.ops import arguments
from course.ops.interpolation import interpolate_bilinear, interpolate_bilinear_steps
from course.ops.pooling import max_pool, max_pool_steps
from course.ops.step import number
from course.ops.unpooling import bed_of_nails, bed_of_nails_steps, max_unpool, max_unpool_steps, nearest, nearest_steps
from segwidgets.from_steps import merged, trace_steps, with_zeros, without_idle_switches
from segwidgets.inputs import check_keywords, plane
from segwidgets.maps import Maps, map_title, shape_like, size_text
from segwidgets.panels import Arrow
from segwidgets.player import Player
from segwidgets.students import beside
from segwidgets.trace import Cell, Trace, TraceStep

MODES = ("nearest", "bed_of_nails", "bilinear", "max")
MOST_STEPS_TWICE = 16  # up to here the pooling is played too; a feature map's hundreds of windows start from the pooled map

FIRST = {
    "nearest": "Each value is copied into every cell of its block.",
    "bed_of_nails": "Each value goes into the upper-left cell of its block. The rest stays 0.",
    "bilinear": "Each new cell blends the four nearest values by their distance.",
}
LAST = {
    "nearest": "Every cell has a value, and the picture has the blocks of the small one.",
    "bed_of_nails": "Three of four cells hold 0, and every value stands in the same corner, wherever it came from.",
    "bilinear": "Every cell has a value, and no edge is sharper than in the small map.",
}


def unpool(
    x=None,
    kernel_size=2,
    stride=None,
    padding=0,
    *,
    mode=None,
    switches_from=None,
    channel=0,
    batch=0,
    image=None,
    field=None,
    fn=None,
    **unknown,
) -> Player:
    """Unpooling, played a value at a time.

    With `switches_from` it shows a corresponding pair of layers: that tensor is max pooled, and the values of `x` go back to
    the places where its maxima were. The switches stay lit on both sides.

    Args:
        x: the small map, `[H, W]`, `[C, H, W]` or `[N, C, H, W]`. With `switches_from` it may be left out: then the pooled
            values themselves go back up.
        kernel_size, stride, padding: of the pooling, as `course.ops.unpooling.max_unpool`; for the other modes `kernel_size`
            is the scale.
        mode: "nearest", "bed_of_nails", "bilinear" or "max"; by default "max" with `switches_from`, else "nearest".
        switches_from: the larger map whose maxima give the switches.
        channel, batch, image, field: as `segwidgets.pool`.
        fn: your own function with the arguments of `course.ops.unpooling`'s; its numbers are shown beside, mistakes marked.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, unpool)
    mode = mode or ("max" if switches_from is not None else "nearest")
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}, and the ways up are {', '.join(map(repr, MODES))}")
    if mode == "max":
        if switches_from is None:
            raise ValueError("max unpooling needs switches: pass switches_from=, the map whose maxima say where values go")
        return _max_unpool(x, switches_from, (kernel_size, stride, padding), channel, batch, image, field, fn)
    if x is None:
        raise ValueError("unpool needs x, the small map; or, for max unpooling, switches_from, the map that is pooled")
    if switches_from is not None:
        raise ValueError(f"switches_from belongs to max unpooling; mode={mode!r} has no switches")
    if stride is not None or padding != 0:
        raise ValueError(f"stride and padding belong to max unpooling; mode={mode!r} has only a scale, kernel_size")
    return _scale_up(mode, plane(x, channel=channel, batch=batch), kernel_size, image, field, fn)


def _scale_up(mode: str, small: tuple[Tensor, str], scale, image, field, fn) -> Player:
    """The three modes that know only a scale."""
    values, shape = small
    if mode == "bilinear":
        rows, columns = arguments.pair(scale, "scale", 1)
        size = (values.shape[0] * rows, values.shape[1] * columns)
        result, steps = interpolate_bilinear(values, size), interpolate_bilinear_steps(values, size)
        passed = {"x": values, "size": size}
    else:
        operation, operation_steps = {"nearest": (nearest, nearest_steps), "bed_of_nails": (bed_of_nails, bed_of_nails_steps)}[mode]
        result, steps = operation(values, scale), operation_steps(values, scale)
        passed = {"x": values, "scale": scale}
    shown = trace_steps(steps, {"input": "input", "output": "output"})
    words = mode.replace("_", " ")
    maps = Maps(values, result, image=image, field=field)
    panels = [maps.grid("input", values, shape), maps.grid("output", result, shape_like(result, shape), empty=True)]
    return _played(
        f"{words}, {number(scale) if isinstance(scale, int) else scale} times",
        panels,
        [Arrow(words)],
        [TraceStep(FIRST[mode]), *(_nail_only(step) if mode == "bed_of_nails" else step for step in shown)],
        LAST[mode],
        maps,
        (fn, result, passed),
    )


def _nail_only(step: TraceStep) -> TraceStep:
    """The same step with only the nail outlined, not the zeros around it."""
    nail = next(iter(step.writes["output"]))
    return replace(step, marks={**step.marks, "output": {"write": [nail]}})


def _max_unpool(x, switches_from, window, channel, batch, image, field, fn) -> Player:
    """Pooling and unpooling side by side, linked by the switches."""
    before, before_shape = plane(switches_from, name="switches_from", channel=channel, batch=batch)
    pooled, indices = max_pool(before, *window)
    values, shape = (pooled, shape_like(pooled, before_shape)) if x is None else plane(x, channel=channel, batch=batch)
    if values.shape != pooled.shape:
        raise ValueError(
            f"x is {values.shape[0]}×{values.shape[1]}, and switches_from pools to {pooled.shape[0]}×{pooled.shape[1]}: "
            "they must be equal, one value for each switch"
        )
    output_size = tuple(before.shape)
    result = max_unpool(values, indices, *window, output_size)
    maps = Maps(before, values, image=image, field=field)

    whole = before.shape[0] * before.shape[1] > MOST_STEPS_TWICE * 4
    panels = [
        maps.grid("input", before, before_shape, title=map_title(before_shape, channel)),
        maps.grid("pooled", pooled, shape_like(pooled, before_shape), empty=not whole),
    ]
    arrows = [Arrow(f"max pool {size_text(window[0])}")]
    source = "pooled"
    if x is not None:
        panels.append(maps.grid("features", values, shape))
        arrows.append(Arrow("network"))
        source = "features"
    panels.append(maps.grid("output", result, shape_like(result, before_shape), empty=True))
    arrows.append(Arrow("max unpool"))

    down = trace_steps(max_pool_steps(before, *window), {"input": "input", "output": "pooled"}, keep={"input": "input"})
    up = trace_steps(max_unpool_steps(values, indices, *window, output_size), {"input": source, "output": "output"})
    landed = [divmod(switch, before.shape[1]) for switch in indices.flatten().tolist()]
    steps = _linked(down, up, landed, whole, x is not None)
    steps = without_idle_switches(steps, "output") if whole else steps
    names = ("kernel_size", "stride", "padding")
    steps = with_zeros(steps, "output", output_size, "No window reaches the other cells: they stay [0|write].")
    return _played(
        f"max pooling and max unpooling, window {size_text(window[0])}",
        panels,
        arrows,
        steps,
        "Values stand where the maxima were, the rest is 0. Compare the lit cells on both sides.",
        maps,
        (fn, result, {"x": values, "indices": indices, **dict(zip(names, window, strict=True)), "output_size": output_size}),
    )


def _linked(down: list[TraceStep], up: list[TraceStep], landed: list[Cell], whole: bool, network: bool) -> list[TraceStep]:
    """The way down, then the way up; while a value goes up, the window that gave its switch is marked too, and both ends of
    the switch stay lit."""
    pairs = []
    for d, u, cell in zip(down, up, landed, strict=True):
        window = TraceStep(d.caption, marks={"input": d.marks["input"], "pooled": {"read": d.marks["pooled"]["write"]}}, keep=d.keep)
        value = TraceStep(u.caption, marks={"output": {"write": [cell]}}, keep={"output": [cell]})
        pairs.append(merged(u, window, value, caption=u.caption, arithmetic=u.arithmetic))
    if whole:  # the pooled map is there from the start
        return [TraceStep("Max pooling kept one value in each window and noted its place. Unpooling follows the notes back."), *pairs]
    start = TraceStep("On the way down, each window keeps its largest value and notes where it was: the switch.")
    turn = (
        "The network has changed the values; the switches are still those of the pooling."
        if network
        else ("Now the way up. The switches know where each value came from.")
    )
    return [start, *down, TraceStep(turn), *pairs]


def _played(title, panels, arrows, steps, last, maps, student) -> Player:
    """Adds what every way up may have: the photograph on the left, the student's own output on the right."""
    fn, result, passed = student
    last = TraceStep(last)
    if fn is not None:
        theirs, steps, last = beside(fn, passed, result, steps, "output")
        panels.append(maps.grid("yours", theirs, panels[-1].note, empty=True))
        arrows.append(None)
    if maps.picture:
        panels.insert(0, maps.picture)
        arrows.insert(0, Arrow("network"))
    return Player(Trace(title, panels=panels, arrows=arrows, steps=[*steps, last]))
