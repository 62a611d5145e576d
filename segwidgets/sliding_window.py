"""`segwidgets.sliding_window`: a classifier moves over a photograph, and its cost is counted; then the same map in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from course.ops.step import number, place
from course.ops.windows import window_positions, window_view
from segwidgets.inputs import as_tensor, check_keywords, pixels, shrunk
from segwidgets.panels import HEAT_UNITS, Arrow, Bars, Field, Film, Grid, Panel
from segwidgets.player import Player
from segwidgets.trace import Box, Trace, TraceStep

MOST_WINDOWS = 1024
SAME = 1e-4  # maps of probabilities that differ by less differ by the rounding of float32 alone


def sliding_window(
    image,
    classifier: Callable[[Tensor], Tensor],
    *,
    size: int,
    stride: int,
    index,
    name: str = "",
    convolutional: Callable[[Tensor], Tensor] | None = None,
    operations=None,
    **unknown,
) -> Player:
    """A window moves over the photograph, each patch is classified by itself, and the map of answers grows cell by cell.

    Args:
        image: `[3, H, W]` in 0…1.
        classifier: takes patches `[N, 3, size, size]`, gives scores `[N, K]`. It runs as it is, without gradients, on the device of its
            parameters, or, if it is a plain function, of `image`.
        size, stride: of the window, in pixels.
        index: the class whose probability is drawn, or several, whose probabilities add up (all the cats of ImageNet).
        name: what that class is called.
        convolutional: the same classifier made fully convolutional: takes the photograph `[1, 3, H, W]`, gives scores `[K, rows, columns]`
            (or with a leading 1). At the end its map appears at once, with its cost and the difference.
        operations: the multiply–adds of a window as a number; or a function `operations(fn, input)` that counts them, such as
            `course.cost.operations`. By default torch's own counter, which counts matrix products and convolutions.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, sliding_window)
    _check_sizes(size, stride)
    picture = pixels(image)  # [H, W, 3]
    photo = as_tensor(image, name="image").reshape(1, 3, *picture.shape[:2])
    rows, columns = window_positions(picture.shape[:2], size, stride)
    if rows * columns > MOST_WINDOWS:
        raise ValueError(f"{rows}×{columns} windows are too many to watch; {MOST_WINDOWS} can be shown: take a larger stride than {stride}")
    moved = photo.to(_device_of(classifier, image))
    slow = _Map(_classified(classifier, moved, size, stride), index, "classifier")
    quick = None if convolutional is None else _Map(_convolved(convolutional, moved, rows, columns), index, "convolutional")
    window = _count(operations, classifier, moved[..., :size, :size])
    whole = 0 if quick is None else _count(operations if callable(operations) else None, convolutional, moved)

    panels, arrows = _panels(picture, size, stride, slow, quick, _Cost(window, rows * columns, whole))
    factor = panels[0].columns / picture.shape[1]
    cells = [(r, c) for r in range(rows) for c in range(columns)]
    boxes = {(r, c): tuple(factor * side for side in (c * stride, r * stride, c * stride + size, r * stride + size)) for r, c in cells}
    steps = _slide(slow.plane, boxes, window, panels[-1], name, size, stride)
    if quick is not None:
        steps += _one_pass(slow.plane, quick.plane, boxes, window * len(cells), whole, panels[-1])
    title = f"sliding window {size}×{size}, stride {stride}"
    return Player(Trace(title, panels=panels, arrows=arrows, steps=steps))


class _Map:
    """The probability of the chosen class (or the sum over several) at each place, `plane [rows, columns]`."""

    def __init__(self, scores: Tensor, index, who: str):
        self.classes = scores.shape[0]
        indices = [index] if isinstance(index, int) else list(index)
        if self.classes < 2:
            raise ValueError(f"{who} gives scores for {self.classes} class, and probabilities need at least two")
        if not indices or not all(isinstance(i, int) and 0 <= i < self.classes for i in indices):
            raise ValueError(f"index is {index!r}, and {who} has the classes 0 to {self.classes - 1}")
        self.plane = scores.float().softmax(0)[indices].sum(0).cpu()  # [rows, columns]


class _Cost(NamedTuple):
    """Multiply–adds of one window, how many windows there are, and of one convolutional pass (0: none is shown)."""

    window: int
    windows: int
    whole: int

    def bars(self) -> Bars:
        total = max(self.window * self.windows, self.whole)
        size, word = next(((size, word) for size, word in SIZES if total >= size), (1, ""))
        values = [self.window * self.windows / size, self.whole / size][: 2 if self.whole else 1]
        labels = ["windows", "one pass"][: len(values)]
        note = f"{word}s".lstrip("s")
        return Bars("cost", torch.tensor(values).numpy(), labels, "multiply–adds", note, empty=True, width=9.0)


SIZES = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e3, "thousand"))


def _amount(count: float) -> str:
    """A large count in words: "2.6 billion"."""
    for size, word in SIZES:
        if count >= size:
            return f"{number(count / size)} {word}"
    return number(count)


def _panels(picture, size: int, stride: int, slow: _Map, quick: _Map | None, cost: _Cost) -> tuple[list[Panel], list]:
    small, factor = shrunk(picture)
    height, width = picture.shape[:2]
    rows, columns = slow.plane.shape
    field = Field("photograph", size * factor, stride * factor, size * factor / 2, size)
    top = max(float(each.plane.max()) for each in (slow, quick) if each is not None) or 1.0
    across = HEAT_UNITS if quick is None else 0.7 * HEAT_UNITS  # three maps in the place of one
    look = {"width": across, "empty": True, "field": field}
    note = f"[{rows}, {columns}]"
    # A film of one frame: what is said beside a film counts as measured, and a network's answers are.
    panels: list[Panel] = [Film("photograph", [small], note=f"[3, {height}, {width}]", width=across)]
    panels.append(Grid("windows", slow.plane.numpy(), "by windows", note, "heat", limits=(0.0, top), **look))
    arrows: list = [Arrow("classify each window")]
    if quick is not None:
        difference = quick.plane - slow.plane
        panels.append(Grid("pass", quick.plane.numpy(), "in one pass", note, "heat", limits=(0.0, top), **look))
        panels.append(Grid("difference", difference.numpy(), "", note, "signed", limits=(-top, top), **look))
        arrows += [None, None]
    return [*panels, cost.bars()], [*arrows, None]


# ---- running the networks -----------------------------------------------------------------------------------------------


def _device_of(classifier, image) -> torch.device:
    """Where the classifier's parameters are; a plain function hides them, and then it is run where the photograph is."""
    parameters = getattr(classifier, "parameters", None)
    first = next(iter(parameters()), image) if callable(parameters) else image
    return first.device if isinstance(first, Tensor) else torch.device("cpu")


@torch.no_grad()
def _classified(classifier: Callable, photo: Tensor, size: int, stride: int) -> Tensor:
    """Scores `[K, rows, columns]`, from a row of windows at a time: all at once would need hundreds of megabytes."""
    rows = []
    for patches in window_view(photo[0], size, stride):  # [columns, 3, size, size]
        scores = classifier(patches.contiguous())  # [columns, K]
        if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(patches):
            got = f"the shape {list(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(f"classifier gave {got} for {len(patches)} patches; it should give scores [{len(patches)}, K]")
        rows.append(scores.T)  # [K, columns]
    return _finite(torch.stack(rows, dim=1), "classifier")  # [K, rows, columns]


@torch.no_grad()
def _convolved(convolutional: Callable, photo: Tensor, rows: int, columns: int) -> Tensor:
    scores = convolutional(photo)
    scores = scores[0] if isinstance(scores, Tensor) and scores.ndim == 4 and len(scores) == 1 else scores
    if not isinstance(scores, Tensor) or scores.ndim != 3 or scores.shape[1:] != (rows, columns):
        got = f"the shape {list(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"convolutional gave {got}; it should give scores [K, {rows}, {columns}], one place for each window")
    return _finite(scores, "convolutional")


def _finite(scores: Tensor, who: str) -> Tensor:
    if not torch.isfinite(scores).all():
        raise ValueError(f"{who} gave NaN or infinite scores; only finite ones can be shown")
    return scores


@torch.no_grad()
def _count(operations, network: Callable, given: Tensor) -> int:
    """Multiply–adds of `network(given)`."""
    if callable(operations):
        return int(operations(network, given))
    if operations is not None:
        if isinstance(operations, bool) or not isinstance(operations, (int, float)) or not 0 < operations < float("inf"):
            raise ValueError(
                f"operations is {operations!r}; it takes the multiply–adds of a window, above 0, or a function that counts them"
            )
        return int(operations)
    with FlopCounterMode(display=False) as counter:
        network(given)
    return counter.get_total_flops() // 2  # a multiply–add is two operations there


def _check_sizes(size, stride) -> None:
    for value, name in ((size, "size"), (stride, "stride")):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} is {value!r}; it takes a whole number of pixels, 1 or more")


# ---- the steps ----------------------------------------------------------------------------------------------------------


def _slide(plane: Tensor, boxes: dict, window: int, cost: Bars, name: str, size: int, stride: int) -> list[TraceStep]:
    rows, columns = plane.shape
    what = f"how sure it is of {_with_article(name)}" if name else "how sure it is of the class"
    steps = [
        TraceStep(
            f"A window of [{size} × {size}|read] pixels will stop at {rows} × {columns} places, {stride} pixels apart; at each the "
            f"classifier says {what}.",
            marks={"photograph": {"read": [boxes[0, 0]]}},
        )
    ]
    scale = float(cost.values[0, 0]) / max(1, window * len(boxes))  # multiply–adds → the bars' unit
    for count, (cell, box) in enumerate(boxes.items(), 1):
        value = float(plane[cell])
        steps.append(
            TraceStep(
                f"Window [{count}|read] of {len(boxes)}: [{_percent(value)}|write] {name or 'sure'}; so far "
                f"[{_amount(window * count)}|chosen] multiply–adds.",
                marks={"photograph": {"read": [box]}, "windows": {"write": [cell]}},
                writes={"windows": {cell: value}, "cost": {(0, 0): window * count * scale}},
                arithmetic=f"{count} × {_amount(window)} = {_amount(window * count)}",
            )
        )
    best = divmod(int(plane.argmax()), columns)
    steps.append(
        TraceStep(
            f"{len(boxes)} windows took {_amount(window * len(boxes))} multiply–adds; the surest, [{_percent(float(plane[best]))}|chosen], "
            f"is at {place(best)}.",
            marks={"photograph": {"chosen": [boxes[best]]}, "windows": {"chosen": [best]}},
        )
    )
    return steps


def _one_pass(slow: Tensor, quick: Tensor, boxes: dict, total: int, whole: int, cost: Bars) -> list[TraceStep]:
    cells = list(boxes)
    ratio = f", {number(total / whole)} times fewer" if 0 < whole < total else ""
    steps = [
        TraceStep(
            f"The same weights, run as convolutions over the whole photograph, give all {len(cells)} answers at once, for "
            f"[{_amount(whole)}|chosen] multiply–adds{ratio}.",
            marks={"photograph": {"read": [_around(boxes.values())]}, "pass": {"write": cells}},
            writes={"pass": {cell: float(quick[cell]) for cell in cells}, "cost": {(1, 0): float(cost.values[-1, 0])} if whole else {}},
        )
    ]
    difference = quick - slow
    worst = divmod(int(difference.abs().argmax()), slow.shape[1])
    size = float(difference[worst].abs())
    same = size < SAME
    verdict = (
        f"The two maps agree: no cell differs by more than [{number(size)}|write], which is rounding."
        if same
        else f"The two maps do not agree: at {place(worst)} they differ by [{number(size)}|wrong]."
    )
    marks: dict = {} if same else {"difference": {"wrong": [worst]}, "photograph": {"wrong": [boxes[worst]]}}
    writes = {"difference": {cell: float(difference[cell]) for cell in cells}}
    arithmetic = f"{number(float(quick[worst]))} − {number(float(slow[worst]))} = {number(float(difference[worst]))}"
    return [*steps, TraceStep(verdict, marks, writes, arithmetic="" if same else arithmetic)]


def _around(boxes: Sequence[Box]) -> Box:
    x1, y1, x2, y2 = zip(*boxes, strict=True)
    return (min(x1), min(y1), max(x2), max(y2))


def _percent(part: float) -> str:
    return f"{part:.0%}"


def _with_article(name: str) -> str:
    return f"a{'n' if name[0].lower() in 'aeiou' else ''} {name}"
