"""`segwidgets.threshold`: the oldest segmentation there is. Pixels brighter than a grey value are one region, the rest the other.

N. Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Transactions on Systems, Man, and Cybernetics 1979: of all
thresholds take the one that sets the two classes' means furthest apart, equation (14).

    between-class variance = weight below · weight above · (mean above − mean below)²
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from course.ops.step import number
from segwidgets.inputs import channels_last, check_keywords, pixels, shrunk
from segwidgets.panels import Arrow, Film, Grid
from segwidgets.player import Player
from segwidgets.roles import ROLES
from segwidgets.trace import Cell, Trace, TraceStep

BINS, TALL = 32, 14  # of the histogram: columns, and cells in its highest column
MOST_VALUES = 64
FILM_SIDE = 240  # pixels: dozens of frames have to fit into a trace
BELOW, ABOVE = ROLES["read"].light, ROLES["chosen"].light  # the ends of the course's signed colours: below and above the threshold


def threshold(image, values: Sequence[float] | None = None, **unknown) -> Player:
    """A threshold moves through the grey values; at the end it stands where Otsu's rule puts it.

    Args:
        image: `[3, H, W]` in 0…1. Its grey values are scikit-image's `rgb2gray`.
        values: the thresholds, rising, in 0…1; by default the 31 edges between the histogram's 32 columns.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, threshold)
    picture = pixels(image)
    grey = _grey(image)
    values = _checked(values)
    if grey.min() == grey.max():
        raise ValueError(f"image has the grey value {number(float(grey.min()))} everywhere, and no threshold divides that")
    from skimage.filters import threshold_otsu

    best = float(threshold_otsu(grey))
    splits = [Split(grey, value) for value in (*values, best)]
    histogram = _Histogram(grey)
    frames = [shrunk(picture, FILM_SIDE)[0], *(shrunk(_tinted(grey, split.value), FILM_SIDE)[0] for split in splits)]
    height, width = grey.shape
    legend = [("at or below the threshold", BELOW), ("above", ABOVE)]
    # The curve's column i belongs to value i; Otsu's own value has no column, it stands between two.
    top = max(split.variance for split in splits)
    panels = [
        Film("photograph", frames, note=f"[3, {height}, {width}]", legend=legend),
        Grid("histogram", histogram.values(2.0), note="grey 0 → 1", paint="signed", empty=True, limits=(-1e-6, 1e-6), width=8.0),
        Grid("variance", np.zeros((TALL, len(values))), "between-class variance", "a column a threshold", "heat", True, 8.0, (0.0, top)),
    ]
    steps = [_first(histogram)]
    steps += [_step(i, split, histogram, top, steps) for i, split in enumerate(splits[:-1])]
    steps.append(_last(len(splits), splits[-1], histogram, values))
    arrows = [Arrow("count"), Arrow("Otsu")]
    return Player(Trace("threshold", panels=panels, arrows=arrows, steps=steps))


class Split:
    """What a threshold divides: the share of the pixels on each side and their mean grey values."""

    def __init__(self, grey: np.ndarray, value: float):
        self.value = value
        below, above = grey[grey <= value], grey[grey > value]
        self.weights = (below.size / grey.size, above.size / grey.size)
        self.means = tuple(float(side.mean()) if side.size else math.nan for side in (below, above))
        empty = not below.size or not above.size
        self.variance = 0.0 if empty else self.weights[0] * self.weights[1] * (self.means[1] - self.means[0]) ** 2

    @property
    def arithmetic(self) -> str:
        if math.isnan(self.means[0]) or math.isnan(self.means[1]):
            return "all pixels are on one side: 0"
        weights, means = [number(weight) for weight in self.weights], [number(mean) for mean in self.means]
        return f"{weights[0]} × {weights[1]} × ({means[1]} − {means[0]})² = {number(self.variance)}"


class _Histogram:
    """How many pixels have which grey value, as columns of cells."""

    def __init__(self, grey: np.ndarray):
        counts, _ = np.histogram(grey, bins=BINS, range=(0, 1))
        self.percent = 100 * counts / grey.size
        self.heights = np.ceil(TALL * counts / counts.max()).astype(int)
        self.fullest = int(counts.argmax())

    def cells(self, column: int) -> list[Cell]:
        return _column(column, self.heights[column])

    def values(self, value: float) -> np.ndarray:
        """`[TALL, BINS]`: the share of the pixels in each column, negative up to the threshold."""
        signs = np.where((np.arange(BINS) + 0.5) / BINS > value, 1, -1)
        return np.tile(signs * self.percent, (TALL, 1))

    def writes(self, value: float, before: float | None = None) -> dict[Cell, float]:
        """The cells of columns that change their side between two thresholds; without `before`, of all."""
        now = self.values(value)
        then = None if before is None else self.values(before)
        changed = [c for c in range(BINS) if then is None or now[0, c] != then[0, c]]
        return {cell: float(now[cell]) for column in changed for cell in self.cells(column)}

    def at(self, value: float) -> list[Cell]:
        """The whole column that a threshold falls into."""
        return _column(min(BINS - 1, int(value * BINS)), TALL)


def _column(column: int, height: int) -> list[Cell]:
    """The lowest `height` cells of a column."""
    return [(row, column) for row in range(TALL - height, TALL)]


def _first(histogram: _Histogram) -> TraceStep:
    middle = (histogram.fullest + 0.5) / BINS
    return TraceStep(
        f"The histogram counts the pixels of each grey value, most of them near [{number(middle)}|read]; which value divides them "
        "into two regions?",
        writes={"histogram": histogram.writes(-1.0)},
    )


def _step(i: int, split: Split, histogram: _Histogram, top: float, before: list[TraceStep]) -> TraceStep:
    height = math.ceil(TALL * split.variance / top) if top else 0
    cells = _column(i, height)
    everything = histogram.writes(split.value)
    state = {cell: value for step in before for cell, value in step.writes.get("histogram", {}).items()}
    return TraceStep(
        f"Threshold [{number(split.value)}|chosen]: {split.weights[1]:.0%} of the pixels are brighter; between-class variance "
        f"[{number(split.variance)}|write].",
        marks={"histogram": {"chosen": histogram.at(split.value)}, "variance": {"write": cells} if cells else {}},
        writes={
            "histogram": {cell: value for cell, value in everything.items() if state[cell] != value},
            "variance": dict.fromkeys(cells, split.variance),
        },
        arithmetic=split.arithmetic,
        shows={"photograph": 1 + i},
    )


def _last(frame: int, split: Split, histogram: _Histogram, values: Sequence[float]) -> TraceStep:
    nearest = int(np.abs(np.asarray(values) - split.value).argmin())
    return TraceStep(
        f"Otsu's threshold, [{number(split.value)}|chosen], has the largest between-class variance, [{number(split.variance)}|write]: "
        f"{split.weights[1]:.0%} of the pixels are brighter.",
        marks={"histogram": {"chosen": histogram.at(split.value)}, "variance": {"chosen": _column(nearest, TALL)}},
        writes={"histogram": histogram.writes(split.value)},
        arithmetic=split.arithmetic,
        shows={"photograph": frame},
    )


def _grey(image) -> np.ndarray:
    """Grey values `[H, W]`, 0…1, rounded: machines differ in the last bit, and the histogram must not."""
    from skimage.color import rgb2gray

    return rgb2gray(channels_last(image)).round(6)


def _tinted(grey: np.ndarray, value: float) -> np.ndarray:
    """The grey photograph under two colours, one for each side of the threshold. `[H, W, 3]` uint8"""
    low, high = (np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) for colour in (BELOW, ABOVE))
    colours = np.where((grey > value)[..., None], high, low)  # [H, W, 3]
    return np.round(0.68 * colours + 0.32 * 255 * grey[..., None]).astype(np.uint8)


def _checked(values) -> list[float]:
    if values is None:
        return [i / BINS for i in range(1, BINS)]
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or any(not 0 <= value <= 1 for value in numbers) or numbers != sorted(set(numbers)):
        raise ValueError(f"values is {values!r}; it takes rising thresholds in 0…1, such as [0.2, 0.4, 0.6]")
    if len(numbers) > MOST_VALUES:
        raise ValueError(f"values has {len(numbers)} thresholds; {MOST_VALUES} can be shown")
    return numbers
