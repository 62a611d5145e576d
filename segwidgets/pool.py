"""`segwidgets.pool`: max and average pooling, a window at a time."""

from __future__ import annotations

from course.ops.pooling import avg_pool, avg_pool_steps, max_pool, max_pool_steps
from segwidgets.from_steps import trace_steps, without_idle_switches
from segwidgets.inputs import check_keywords, plane
from segwidgets.maps import Maps, map_title, shape_like, size_text
from segwidgets.panels import Arrow
from segwidgets.player import Player
from segwidgets.students import beside
from segwidgets.trace import Trace, TraceStep

OPERATIONS = {"max": (max_pool, max_pool_steps), "average": (avg_pool, avg_pool_steps)}


def pool(x, kernel_size=2, stride=None, padding=0, *, mode="max", channel=0, batch=0, image=None, field=None, fn=None, **unknown) -> Player:
    """Pooling, played a window at a time.

    Args:
        x: `[H, W]`, `[C, H, W]` or `[N, C, H, W]`, finite; tensor, array or nested list. One plane of it is shown.
        kernel_size, stride, padding: as `course.ops.pooling.max_pool`; cells, a number or (rows, columns).
        mode: "max" or "average".
        channel, batch: which plane of `x`.
        image: the photograph `[3, H, W]` (0…1) behind a feature map; hovering a cell shows what it sees there.
        field: (size, stride, offset) in the photograph's pixels, as `course.models.backbones.receptive_field` gives it.
        fn: your own function with the arguments of `max_pool` or `avg_pool`; its numbers are shown beside, mistakes marked.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, pool)
    if mode not in OPERATIONS:
        raise ValueError(f"mode is {mode!r}, and pooling is 'max' or 'average'")
    values, shape = plane(x, channel=channel, batch=batch)
    operation, operation_steps = OPERATIONS[mode]
    result = operation(values, kernel_size, stride, padding)
    pooled = result.values if mode == "max" else result

    maps = Maps(values, pooled, image=image, field=field)
    small = shape_like(pooled, shape)
    panels = [maps.grid("input", values, shape, title=map_title(shape, channel)), maps.grid("pooled", pooled, small, empty=True)]
    arrows = [Arrow(f"{mode} pool {size_text(kernel_size)}")]

    keep = {"input": "input"} if mode == "max" else {}
    steps = trace_steps(operation_steps(values, kernel_size, stride, padding), {"input": "input", "output": "pooled"}, keep=keep)
    steps = without_idle_switches(steps, "pooled") if maps.paint != "numbers" else steps
    last = TraceStep(_last_sentence(mode, values.numel(), pooled.numel(), maps.paint))
    if fn is not None:
        passed = {"x": values, "kernel_size": kernel_size, "stride": stride, "padding": padding}
        theirs, steps, last = beside(fn, passed, pooled, steps, "pooled")
        panels.append(maps.grid("yours", theirs, small, empty=True))
        arrows.append(None)
    if maps.picture:
        panels.insert(0, maps.picture)
        arrows.insert(0, Arrow("network"))
    first = _first_sentence(mode, kernel_size)
    title = f"{mode} pooling, window {size_text(kernel_size)}, stride {size_text(kernel_size if stride is None else stride)}"
    return Player(Trace(title, panels=panels, arrows=arrows, steps=[TraceStep(first), *steps, last]))


def _first_sentence(mode: str, kernel_size) -> str:
    what = "its largest value" if mode == "max" else "the mean of its values"
    return f"A window of {size_text(kernel_size)} cells moves over the map. Of each window only {what} goes on."


def _last_sentence(mode: str, before: int, after: int, paint: str) -> str:
    if mode == "max" and paint == "numbers":
        return f"{before} numbers became {after}. The lit cells are the switches: where each maximum came from."
    if mode == "max":
        return f"{before} numbers became {after}. A dot is a switch: where a maximum came from. Windows that are all 0 show none."
    return f"{before} numbers became {after}. Where in its window a value stood is gone."
