"""`segwidgets.sliding_window_count`: what it costs to show a classifier every window of every size, counted size by size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from course.ops.step import number
from course.ops.window_boxes import count_windows, possible_boxes, window_boxes, window_sizes
from course.ops.windows import window_positions
from segwidgets.inputs import check_keywords, pixels, shrunk
from segwidgets.live import Live, Slider
from segwidgets.panels import Arrow, Bars, Film, Picture
from segwidgets.trace import Trace, TraceStep

MOST_SIZES = 48
MOST_DRAWN = 100  # windows of one size; of more, every second, third, … row and column
LARGEST_STRIDE = 64
UNITS = ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def sliding_window_count(
    image,
    *,
    scales: Sequence[float] = (64, 96, 136, 192, 272),
    ratios: Sequence[float] = (1, 0.5, 2),
    stride: int = 16,
    seconds: float | None = None,
    **unknown,
) -> Live:
    """The windows of one scale and aspect ratio after the other on the photograph, and a counter of the crops that they make.

    Sliders set the stride and how many of the scales and ratios are taken, the first ones first.

    Args:
        image: `[3, H, W]` in 0…1.
        scales: the side of a square of the window's area, in pixels; as `course.ops.window_boxes.window_sizes` takes them.
        ratios: height / width.
        stride: pixels from one window to the next, 1 or more.
        seconds: what one crop costs, as `course.cost.seconds` measures it; then the time grows, too.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, sliding_window_count)
    picture = pixels(image)
    if len(window_sizes(scales, ratios)) > MOST_SIZES:
        raise ValueError(
            f"{len(scales)} scales in {len(ratios)} ratios are too many to watch; {MOST_SIZES} windows can be shown: pass fewer"
        )
    if isinstance(stride, bool) or not isinstance(stride, int) or stride < 1:
        raise ValueError(f"stride is {stride!r}; it takes a whole number of pixels, 1 or more")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf):
        raise ValueError(f"seconds is {seconds!r}; it takes the time of one crop, above 0")

    def counted(stride: int, how_many_scales: int = 1, how_many_ratios: int = 1) -> Trace:
        return _trace(picture, scales[:how_many_scales], ratios[:how_many_ratios], stride, seconds)

    sliders = [Slider("stride", 1, max(LARGEST_STRIDE, stride), step=1, value=stride)]
    for name, values, label in (("how_many_scales", scales, "scales"), ("how_many_ratios", ratios, "aspect ratios")):
        if len(values) > 1:
            sliders.append(Slider(name, 1, len(values), step=1, value=len(values), label=label))
    return Live(counted, sliders)


def _trace(picture: np.ndarray, scales: Sequence[float], ratios: Sequence[float], stride: int, seconds: float | None) -> Trace:
    size = picture.shape[:2]
    counts = np.array(count_windows(size, window_sizes(scales, ratios), stride)).reshape(len(scales), len(ratios))
    total = int(counts.sum())
    small, factor = shrunk(picture)
    note = f"[3, {size[0]}, {size[1]}]"
    # A film of one frame: what is said beside a film counts as measured, and a time is.
    photograph = Picture("photograph", small, note=note) if seconds is None else Film("photograph", [small], note=note)
    labels = [*(f"{number(scale)} px" for scale in scales), "all"]
    bars = Bars("crops", np.array([*counts.sum(1), total]), labels, note="a bar for each scale", empty=True, width=9.0)
    panels, arrows = [photograph, bars], [Arrow("count")]
    if seconds is not None:
        length, unit = _unit(total * seconds)
        panels.append(Bars("time", np.array([total * seconds / length]), ["so far"], note=unit, empty=True, width=8.0))
        arrows.append(Arrow("× time of one"))
    steps = [_first(size, scales, ratios, stride, factor)]
    for i, scale in enumerate(scales):
        for j, ratio in enumerate(ratios):
            so_far = int(counts[:i].sum() + counts[i, : j + 1].sum())
            step = _one_size(size, scale, ratio, stride, factor, so_far)
            writes = {"crops": {(i, 0): counts[i, : j + 1].sum(), (len(scales), 0): so_far}}
            if seconds is not None:
                writes["time"] = {(0, 0): so_far * seconds / length}
            steps.append(TraceStep(step.caption, step.marks, writes, arithmetic=step.arithmetic))
    steps.append(_last(size, total, seconds))
    shapes = f"{len(scales)} scale{'s' * (len(scales) > 1)} × {len(ratios)} ratio{'s' * (len(ratios) > 1)}"
    return Trace(f"sliding windows, {shapes}, stride {stride}", panels=panels, arrows=arrows, steps=steps)


def _first(size, scales, ratios, stride: int, factor: float) -> TraceStep:
    """One window of each size, in the middle of the photograph."""
    boxes = []
    for height, width in window_sizes(scales, ratios):
        if height <= size[0] and width <= size[1]:
            left, top = (size[1] - width) / 2, (size[0] - height) / 2
            boxes.append(tuple(factor * side for side in (left, top, left + width, top + height)))
    several = len(scales) * len(ratios)
    what = "A window of one size" if several == 1 else f"Windows of {several} sizes"
    pixels = "pixel" if stride == 1 else f"{stride} pixels"
    caption = f"{what} will stop at every {pixels} down and to the right, and each stop is a crop for the classifier."
    return TraceStep(caption, {"photograph": {"candidate": boxes}} if boxes else {})


def _one_size(size, scale: float, ratio: float, stride: int, factor: float, so_far: int) -> TraceStep:
    ((height, width),) = window_sizes([scale], [ratio])
    what = f"Scale {number(scale)}, height / width {number(ratio)}: [{height} × {width}|read] pixels"
    if not count_windows(size, [(height, width)], stride)[0]:
        return TraceStep(f"{what} don't fit into the photograph and make no crop.")
    rows, columns = window_positions(size, (height, width), stride)
    every = next(k for k in range(1, rows * columns + 1) if math.ceil(rows / k) * math.ceil(columns / k) <= MOST_DRAWN)
    boxes = window_boxes(size, [(height, width)], stride).unflatten(0, (rows, columns))[::every, ::every].flatten(0, 1)  # [drawn, 4]
    drawn = f" (one row and column in {every} is drawn)" if every > 1 else ""
    caption = f"{what} at {rows} × {columns} places make [{rows * columns:,}|write] crops, so far [{so_far:,}|chosen]{drawn}."
    sums = [f"⌊({side} − {window}) / {stride}⌋ + 1" for side, window in zip(size, (height, width), strict=True)]
    places = [tuple(box) for box in (factor * boxes).tolist()]
    marks = {"photograph": {"candidate": places[1:], "read": places[:1]}}
    return TraceStep(caption, marks, arithmetic=f"({sums[0]}) × ({sums[1]}) = {rows} × {columns} = {rows * columns:,}")


def _last(size, total: int, seconds: float | None) -> TraceStep:
    if not total:
        return TraceStep("No window fits into the photograph, so there is nothing to classify.")
    crops = f"[{total:,}|chosen] crop{'s' * (total > 1)} of one photograph"
    cost = "are" if seconds is None else f"take [{_duration(total * seconds)}|chosen] at {_duration(seconds)} each, and are"
    possible = possible_boxes(size)
    return TraceStep(f"{crops} {cost} one in {_large(possible / total)} of the {_large(possible)} boxes in it.")


def _large(count: float) -> str:
    """ "4.6 billion", "164 million", "9,591"."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if count >= size:
            return f"{number(count / size)} {word}"
    return f"{count:,.0f}"


def _unit(seconds: float) -> tuple[float, str]:
    """The largest unit of which there is at least one and a half; below, seconds."""
    return next(((length, unit) for length, unit in UNITS if seconds >= 1.5 * length), UNITS[-1])


def _duration(seconds: float) -> str:
    """A time in words: "37 ms", "46 s", "5.2 hours"."""
    if seconds < 1:
        return f"{number(float(f'{1000 * seconds:.2g}'))} ms"
    length, unit = _unit(seconds)
    return f"{number(float(f'{seconds / length:.2g}'))} {'s' if unit == 'seconds' else unit}"
