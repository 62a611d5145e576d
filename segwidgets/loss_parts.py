"""`segwidgets.loss_parts`: the losses that a training minimises together, by name: how each falls, and how much of the sum it is.

Faster R-CNN has four: S. Ren, K. He, R. Girshick and J. Sun 2015, arXiv:1506.01497, equation 1, for the RPN, and R. Girshick 2015,
arXiv:1504.08083, equation 1, for the detection head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from course.ops.step import number
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.inputs import check_keywords
from segwidgets.live import Live, Slider
from segwidgets.panels import Curves, Picture
from segwidgets.trace import Trace, TraceStep

MOST_LOSSES = 6
MOST_POINTS = 300  # of a curve; of more steps each so-many-th
MOST_FRAMES = 30
MOST_SMOOTHED = 100  # steps that are averaged at most
ROW = 78  # height of a bar with its name, in pixels of the sheet on which the shares are drawn: as high as the curve beside it
SHEET = 260  # and that sheet's width
LONGEST_NAME = 30
USUAL = 50  # points that a curve is smoothed to by default: so many differ from each other


def loss_parts(history, *, names: Sequence[str] | None = None, smoothing: int | None = None, unit: str = "step", **unknown) -> Live:
    """The losses of a training, played epoch by epoch: a curve each, and beside them the share that each has in their sum just then.

    A slider sets over how many steps a point of a curve is averaged.

    Args:
        history: a `course.training.History`, or {name of the loss: one number a step}. Of a History the steps are shown; if it has none,
            its epochs.
        names: the losses to show, in this order; by default all.
        smoothing: how many steps a point is the mean of, itself and those before it; by default a fiftieth of all.
        unit: what one number of a dict stands for, "step" or "epoch".

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, loss_parts)
    course = _Course.of(history, names, unit)
    most = max(2, min(MOST_SMOOTHED, course.count))
    smoothing = min(most, max(1, round(course.count / USUAL))) if smoothing is None else smoothing
    label = f"{course.unit}s averaged"
    return Live(lambda smoothing: _Parts(course, smoothing).trace(), [Slider("smoothing", 1, most, step=1, value=smoothing, label=label)])


@dataclass(frozen=True)
class _Course:
    """What was recorded: `values [S, P]`, a row a loss; and after how many of the P numbers each frame is taken, with its name."""

    names: list[str]
    values: np.ndarray
    unit: str
    ends: list[int]
    epochs: int

    @classmethod
    def of(cls, history, names, unit: str) -> _Course:
        given, unit, epochs = _given(history, unit)
        names = _names(names, given)
        values = _values(given, names, unit)
        count = values.shape[1]
        frames = epochs or count
        stride = math.ceil(frames / MOST_FRAMES)
        shown = [*range(stride, frames, stride), frames]  # epochs, or steps if no epochs are known
        return cls(names, values, unit, [max(1, round(count * frame / frames)) for frame in shown], epochs)

    @property
    def count(self) -> int:
        return self.values.shape[1]

    def when(self, end: int) -> str:
        """What is said of the time after `end` numbers."""
        if not self.epochs:
            return f"{self.unit} {end}"
        return f"epoch {round(end * self.epochs / self.count)}, step {end}"


class _Parts:
    """The animation for one smoothing."""

    def __init__(self, course: _Course, smoothing: int):
        self.course, self.smoothing = course, smoothing
        sums = np.cumsum(np.pad(course.values, ((0, 0), (1, 0))), axis=1)  # [S, P + 1]
        ends = np.arange(1, course.count + 1)
        starts = np.maximum(ends - smoothing, 0)
        self.smooth = (sums[:, ends] - sums[:, starts]) / (ends - starts)  # [S, P]
        self.start = self.smooth[:, min(smoothing, course.count) - 1]  # [S], the first mean of as many as all later ones
        self.stride = math.ceil(course.count / MOST_POINTS)

    def trace(self) -> Trace:
        course, names = self.course, self.course.names
        points = [*range(self.stride - 1, course.count - 1, self.stride), course.count - 1]  # always the last
        shares = np.stack([self._shares(end) for end in course.ends], axis=1)  # [S, frames]
        look = {"note": self._note(), "empty": True, "width": 16.0, "limits": self._limits(points)}
        curves = Curves("losses", self.smooth[:, points], names, **look)
        steps, before = [self._first()], 0
        for end, share in zip(course.ends, shares.T, strict=True):
            known = [p for p, place in enumerate(points) if before <= place < end]
            written = {(s, p): float(self.smooth[s, points[p]]) for s in range(len(names)) for p in known}
            caption, arithmetic = self._told(end, share)
            bars = {"shares": self._bars(share, float(shares.max()))}
            steps.append(TraceStep(caption, {}, {"losses": written}, arithmetic=arithmetic, boxes=bars))
            before = end
        return Trace("losses of a training, by name", panels=[curves, self._sheet()], steps=steps)

    def _sheet(self) -> Picture:
        """Where the shares are drawn: a bar each. They are boxes, so that they glide, and the largest can stand out."""
        count = len(self.course.names)
        bars = Boxes([_bar(s, 0.0) for s in range(count)], role=None, measured=True)
        return Picture("shares", None, "share of the sum", "as it is now", size=(ROW * count, SHEET), width=10.0, boxes=bars)

    def _bars(self, shares: np.ndarray, longest: float) -> dict[int, BoxLook]:
        """Each name with its share of the sum; as long as it is beside the largest share that there ever is."""
        top, looks = int(shares.argmax()), {}
        for s, (name, share) in enumerate(zip(self.course.names, shares.tolist(), strict=True)):
            role = "chosen" if s == top and share else "write"
            looks[s] = BoxLook(role, f"{name[:LONGEST_NAME]} {share:.0%}", _bar(s, share / (longest or 1)))
        return looks

    def _limits(self, points: list[int]) -> list[tuple[float, float]]:
        return [(0.0, float(row[points].max()) or 1.0) for row in self.smooth]

    def _note(self) -> str:
        unit, smoothing = self.course.unit, self.smoothing
        smoothed = "as recorded" if smoothing == 1 else f"each point the mean of the last {smoothing} {unit}s"
        return f"{unit}s 1 to {self.course.count}, {smoothed}{f', every {_ordinal(self.stride)} drawn' if self.stride > 1 else ''}"

    def _first(self) -> TraceStep:
        names, unit = self.course.names, self.course.unit
        smoothed = f" Each is averaged over {self.smoothing} {unit}s." if self.smoothing > 1 else ""
        return TraceStep(f"One training minimises the sum of {len(names)} losses: {_listed(names)}. Each has its own scale.{smoothed}")

    def _shares(self, end: int) -> np.ndarray:
        now = self.smooth[:, end - 1]
        return now / now.sum() if now.sum() else np.zeros_like(now)

    def _told(self, end: int, shares: np.ndarray) -> tuple[str, str]:
        names, now = self.course.names, self.smooth[:, end - 1]
        first = min(self.smoothing, self.course.count)
        since = f"the first {self.course.unit}" if first == 1 else f"the first {first} {self.course.unit}s"
        total = " + ".join(number(round(float(value), 4)) for value in now)
        arithmetic = f"{total} = {number(round(float(now.sum()), 4))}"
        if not now.sum():
            return f"After {self.course.when(end)} all losses are [0|write].", arithmetic
        largest = int(now.argmax())
        head = f"After {self.course.when(end)}: [{names[largest]}|chosen] is the largest, [{shares[largest]:.0%}|chosen] of the sum."
        if end <= first:
            return head, arithmetic
        changes = [f"{name} {_change(old, new)}" for name, old, new in zip(names, self.start, now, strict=True)]
        return f"{head} Since {since}: {', '.join(changes)}.", arithmetic


def _bar(s: int, part: float) -> Place:
    return (0.04 * SHEET, (s + 0.5) * ROW, (0.04 + 0.92 * part) * SHEET, (s + 0.8) * ROW)


def _change(old: float, new: float) -> str:
    """ "fell by 62%", "rose by 5%", "is as it was"."""
    if old == new:
        return "is as it was"
    if old == 0:
        return f"rose from 0 to [{number(float(new))}|write]"
    if new > 2 * old:
        return f"rose [{number(float(new / old))}-fold|wrong]"
    part = f"{abs(new / old - 1):.0%}"
    return f"fell by [{part}|write]" if new < old else f"rose by [{part}|wrong]"


def _ordinal(count: int) -> str:
    ending = "th" if 10 < count % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _given(history, unit: str) -> tuple[Mapping, str, int]:
    """{name: numbers}, what a number stands for, and how many epochs the steps fill, 0 if that isn't known."""
    if unit not in ("step", "epoch"):
        raise ValueError(f"unit is {unit!r}; it is 'step' or 'epoch', what one number stands for")
    if isinstance(history, Mapping):
        return history, unit, 0
    steps, epochs = getattr(history, "steps", None), getattr(history, "epochs", None)
    if not isinstance(steps, Mapping) and not isinstance(epochs, Mapping):
        raise TypeError(f"history is {type(history).__name__}; loss_parts reads a course.training.History or {{name: one number a step}}")
    if not steps:
        return epochs, "epoch", 0
    whole = max((len(epochs[name]) for name in steps if name in epochs), default=0) if epochs and not _interrupted(history) else 0
    return steps, "step", whole


def _interrupted(history) -> bool:
    """A training that ended within an epoch: its steps do not fill its epochs."""
    return bool(getattr(history, "interrupted", False))


def _names(names, given: Mapping) -> list[str]:
    """The losses to show, all of them known."""
    if not given:
        raise ValueError("history is empty: nothing has been trained yet")
    names = list(given) if names is None else [names] if isinstance(names, str) else list(names)
    missing = [name for name in names if name not in given]
    if missing:
        raise ValueError(f"there is no loss {missing[0]!r}; history has {', '.join(map(str, given))}")
    if len(names) == 1:
        raise ValueError(f"there is one loss, {names[0]!r}; loss_parts compares several: let the loss function return them by name")
    if not names or len(names) > MOST_LOSSES or len(set(names)) < len(names):
        raise ValueError(f"names has {len(names)} entries; it takes 2 to {MOST_LOSSES} different losses of {', '.join(map(str, given))}")
    return [str(name) for name in names]


def _values(given: Mapping, names: list[str], unit: str) -> np.ndarray:
    """`[S, P]`, finite and not negative."""
    rows = []
    for name in names:
        try:
            rows.append([float(value) for value in given[name]])
        except (TypeError, ValueError):
            raise TypeError(f"{name} is {type(given[name]).__name__}; a loss is a list of numbers, one {_article(unit)}") from None
    counts = [len(row) for row in rows]
    if len(set(counts)) > 1:
        raise ValueError(f"the losses have {_listed([str(count) for count in counts])} numbers; each needs one {_article(unit)}")
    if counts[0] < 2:
        held = f"one {unit}" if counts[0] else f"no {unit}s"
        raise ValueError(f"history holds {held}; loss_parts shows how losses change, and that takes at least two")
    values = np.array(rows, dtype=np.float64)
    for name, row in zip(names, values, strict=True):
        wrong = np.flatnonzero(~np.isfinite(row) | (row < 0))
        if len(wrong):
            value, where = row[wrong[0]], f"{unit} {wrong[0] + 1}"
            what = "a part of a sum of losses is 0 or more" if np.isfinite(value) else f"pass what was recorded before {where}"
            raise ValueError(f"{name} is {number(float(value))} at {where}: {what}")
    return values


def _article(unit: str) -> str:
    return f"{'an' if unit == 'epoch' else 'a'} {unit}"
