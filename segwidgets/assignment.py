"""`segwidgets.assignment`: which anchor answers for which object. Each is judged by its best IoU; then every object's best is rescued."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops.boxes import box_iou
from course.ops.matching import IGNORED, NEGATIVE, match_boxes, match_boxes_steps
from course.ops.step import Step, number
from segwidgets.anchors import LEGEND, ROOM, object_names
from segwidgets.boxes import Boxes, BoxLook
from segwidgets.inputs import SHOWN_SIDE, as_tensor, check_keywords, pixels, shrunk
from segwidgets.live import Live, Slider
from segwidgets.panels import Grid, Picture
from segwidgets.students import PANEL, called
from segwidgets.trace import Trace, TraceStep

MOST_ANCHORS, MOST_OBJECTS = 16, 8
MARGIN = 0.06  # of an empty sheet, around the boxes


def assignment(
    anchors,
    truth,
    high: float = 0.7,
    low: float = 0.3,
    *,
    image=None,
    allow_low_quality: bool = True,
    names: Sequence[str] | None = None,
    fn: Callable | None = None,
    **unknown,
) -> Live:
    """`course.ops.matching.match_boxes`, played: each anchor's verdict by its best IoU, then each object's best anchor. The thresholds have
    sliders.

    Args:
        anchors: `[N, 4]`, x1, y1, x2, y2 in pixels of the image; 1 to 16. They may reach beyond it.
        truth: `[G, 4]`, the objects' boxes; 0 to 8.
        high, low: an anchor is positive from `high` on, negative below `low`, in between it is ignored.
        image: the photograph `[3, H, W]` (0…1) under them; without one they lie on an empty sheet.
        allow_low_quality: whether each object's best anchors are positive whatever their IoU.
        names: a word for each object.
        fn: your own function with the arguments of `course.ops.matching.match_boxes`; what it says stands in a row of its own, mistakes
            marked.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, assignment)
    anchors, truth = _boxes(anchors, "anchors", 1, MOST_ANCHORS), _boxes(truth, "truth", 0, MOST_OBJECTS)
    names = object_names(names, len(truth))
    sheet = _Sheet(anchors, truth, image)
    iou = box_iou(truth, anchors)  # [G, N]

    def assigned(high: float, low: float) -> Trace:
        theirs = None if fn is None else _theirs(fn, iou, high, low, allow_low_quality)
        return _Story(sheet, iou, names, match_boxes(iou, high, low, allow_low_quality), theirs).trace(high, low, allow_low_quality)

    settings = [
        Slider("high", 0.0, 1.0, step=0.05, value=arguments.share(high, "high"), label="positive from"),
        Slider("low", 0.0, 1.0, step=0.05, value=arguments.share(low, "low"), label="negative below"),
    ]
    return Live(assigned, settings)


class _Sheet:
    """The photograph, or an empty sheet around the boxes, and where on it anchors and then objects lie as shown."""

    def __init__(self, anchors: Tensor, truth: Tensor, image):
        places = torch.cat((anchors, truth)).double().numpy()
        if image is not None:
            picture = pixels(image)
            small, factor = shrunk(picture)
            self.look = {"pixels": small, "title": "photograph", "note": f"[3, {picture.shape[0]}, {picture.shape[1]}]"}
            self.places = places * factor
            return
        low, high = places.reshape(-1, 2).min(0), places.reshape(-1, 2).max(0)
        margin = MARGIN * max(high - low)
        width, height = high - low + 2 * margin
        factor = SHOWN_SIDE / max(width, height)
        self.look = {"pixels": None, "size": (max(1, round(height * factor)), max(1, round(width * factor))), "title": "anchors"}
        self.places = (places - np.tile(low - margin, 2)) * factor


class _Story:
    """Turns the steps of the operation into those of the trace. The anchors are the boxes 0 to N − 1, and the objects those behind.

    Rows of the table: the objects, "match", and with `theirs` [N], what a student's function says, "yours".
    """

    def __init__(self, sheet: _Sheet, iou: Tensor, names: list[str], matches: Tensor, theirs: Tensor | None):
        self.sheet, self.iou, self.names = sheet, iou, names
        self.objects, self.count = iou.shape
        self.matches, self.theirs = matches.tolist(), None if theirs is None else theirs.tolist()

    def trace(self, high: float, low: float, allow_low_quality: bool) -> Trace:
        labels = [*map(str, range(self.count)), *(name or f"object {g}" for g, name in enumerate(self.names))]
        boxes = Boxes(self.sheet.places, ["candidate"] * self.count + ["truth"] * self.objects, labels)
        named = [f"{g} {name}".strip().replace(" ", "\u00a0") for g, name in enumerate(self.names)]  # in one line each
        rows = [*named, "match", *([] if self.theirs is None else [PANEL])]
        table = np.zeros((len(rows), self.count))
        panels = [
            Picture("boxes", boxes=boxes, legend=LEGEND, width=10.0, **self.sheet.look),
            Grid("iou", table, "IoU", "match: object, −1 negative, −2 ignored", empty=True, width=max(3.0, self.count), row_names=rows),
        ]
        operation = list(match_boxes_steps(self.iou, high, low, allow_low_quality))
        last = {n: i for i, step in enumerate(operation) for (n,) in step.writes["output"]}  # where an anchor's match is final
        steps = [self._first(high, low), *(self._step(i, step, last) for i, step in enumerate(operation)), self._last()]
        return Trace(f"anchor assignment, {number(low)} to {number(high)}", panels=panels, arrows=[ROOM], steps=steps)

    def _first(self, high: float, low: float) -> TraceStep:
        cells = {(g, n): round(float(self.iou[g, n]), 3) for g in range(self.objects) for n in range(self.count)}
        what = {0: "no object", 1: "1 object"}.get(self.objects, f"{self.objects} objects")
        which = "One anchor, box 0," if self.count == 1 else f"{self.count} anchors, boxes 0 to {self.count - 1},"
        return TraceStep(
            f"{which} and {what}: which box is to find which object? [Positive|truth] from IoU "
            f"{number(high)} on, negative below {number(low)}, in between ignored.",
            writes={"iou": cells} if cells else {},
        )

    def _step(self, i: int, step: Step, last: dict[int, int]) -> TraceStep:
        """One anchor judged, or one object's best anchors rescued: cells in the table, colours on the picture."""
        row = self.objects
        written = {n: int(match) for (n,), match in step.writes["output"].items()}
        marks: dict = {
            "read": list(step.reads.get("iou", ())),
            "chosen": list(step.chosen.get("iou", ())),
            "write": [(row, n) for n in written],
        }
        made = TraceStep(
            step.sentence,
            {"iou": marks, "boxes": self._looked_at(step, written)},
            {"iou": {(row, n): float(match) for n, match in written.items()}},
            arithmetic=step.arithmetic,
            boxes={"boxes": {n: self._look(n, match) for n, match in written.items()}},
        )
        return made if self.theirs is None else self._beside(made, [n for n in written if last[n] == i])

    def _looked_at(self, step: Step, written: dict[int, int]) -> dict:
        """On the picture: the object that counts, and where an anchor is judged, the anchor."""
        objects = sorted({self.count + g for g, _ in step.chosen.get("iou", ())})
        judged = len({n for _, n in step.reads.get("iou", ())}) == 1
        return {"read": objects, "write": list(written) if judged else []}

    def _look(self, n: int, match: int) -> BoxLook:
        if match in (NEGATIVE, IGNORED):
            return BoxLook("suppressed" if match == NEGATIVE else "ignored", str(n))
        return BoxLook("truth", f"{n} → {self.names[match] or match}")

    def _beside(self, step: TraceStep, final: list[int]) -> TraceStep:
        """The same step, with what a student's function says of the anchors whose match is final."""
        row = self.objects + 1
        wrong = [n for n in final if self.theirs[n] != self.matches[n]]
        caption = step.caption + "".join(f" Yours says [{_word(self.theirs[n])}|wrong] of box {n}." for n in wrong[:2])
        marks = {**step.marks["iou"], "wrong": [(row, n) for n in wrong]}
        writes = {**step.writes["iou"], **{(row, n): float(self.theirs[n]) for n in final}}
        return replace(step, caption=caption, marks={**step.marks, "iou": marks}, writes={"iou": writes})

    def _last(self) -> TraceStep:
        if self.theirs is not None:
            return self._verdict()
        counts = [sum(match >= 0 for match in self.matches), self.matches.count(IGNORED), self.matches.count(NEGATIVE)]
        words = [f"[{counts[0]}|truth] {'is' if counts[0] == 1 else 'are'} positive", f"{counts[1]} ignored", f"{counts[2]} negative"]
        return TraceStep(f"Of {self.count} anchor{'s' if self.count > 1 else ''} {words[0]}, {words[1]} and {words[2]}.")

    def _verdict(self) -> TraceStep:
        wrong = [n for n in range(self.count) if self.theirs[n] != self.matches[n]]
        if not wrong:
            return TraceStep("Yours says the same of every box.")
        n = wrong[0]
        return TraceStep(
            f"Yours differs at {len(wrong)} of {self.count} boxes, first at box {n}: [{_word(self.theirs[n])}|wrong] instead of "
            f"[{_word(self.matches[n])}|write].",
            {"iou": {"wrong": [(self.objects + 1, n) for n in wrong]}, "boxes": {"wrong": wrong}},
        )


def _word(match: int) -> str:
    return {NEGATIVE: "negative", IGNORED: "ignored"}.get(match, f"object {match}")


def _boxes(boxes, name: str, least: int, most: int) -> Tensor:
    boxes = boxes.detach().cpu() if isinstance(boxes, Tensor) and boxes.is_floating_point() else as_tensor(boxes, name=name)
    boxes = boxes.reshape(0, 4) if not boxes.numel() else boxes
    arguments.check_boxes(boxes, name, finite=True)
    arguments.check_sizes(boxes, name)
    if not least <= len(boxes) <= most:
        raise ValueError(f"{name} holds {len(boxes)} boxes; from {least} to {most} can be shown")
    return boxes


def _theirs(fn: Callable, iou: Tensor, high: float, low: float, allow_low_quality: bool) -> Tensor:
    """What a student's function says of each anchor, [N]."""
    name = getattr(fn, "__name__", "your function")
    objects, count = iou.shape
    given = {"iou": iou.clone(), "high": high, "low": low, "allow_low_quality": allow_low_quality}
    got = called(fn, given, f"iou [{objects}, {count}]")
    try:
        matches = torch.as_tensor(got).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} returned {type(got).__name__}; a match for each anchor was expected, whole numbers [{count}]") from None
    if matches.shape != (count,) or matches.is_floating_point() or matches.dtype == torch.bool:
        what = f"{str(matches.dtype).removeprefix('torch.')} {list(matches.shape)}"
        raise ValueError(f"{name} returned {what}; a match for each anchor was expected, whole numbers [{count}]")
    wrong = [int(match) for match in matches if not IGNORED <= match < objects]
    if wrong:
        raise ValueError(f"{name} returned the match {wrong[0]}; it is an object, from 0 to {objects - 1}, or {NEGATIVE} or {IGNORED}")
    return matches
