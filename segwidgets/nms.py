"""`segwidgets.nms`: non-maximum suppression, a box at a time: who stays, who removes whom, and at which IoU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from course.ops.nms import nms as kept_boxes
from course.ops.nms import nms_steps
from course.ops.step import Step, number
from segwidgets.boxes import Boxes, BoxLook
from segwidgets.inputs import SHOWN_SIDE, as_tensor, check_keywords, pixels, shrunk
from segwidgets.live import Live, Slider
from segwidgets.panels import Arrow, Grid, Picture
from segwidgets.roles import ROLES
from segwidgets.students import PANEL, called
from segwidgets.trace import Trace, TraceStep

MOST_BOXES = 200
MOST_IN_TABLE = 16  # boxes whose IoUs are also shown as a table, unless a student's function stands there
MOST_LABELLED = 16  # of more boxes only those that stay have their numbers and scores beside them
MOST_LISTED = 8  # boxes that a sentence names
MOST_COMPARED = 120  # comparisons that are shown one by one; of more, each kept box shows all that it removes at once
LEGEND = [("waiting", ROLES["candidate"].light), ("kept", ROLES["chosen"].light), ("removed", ROLES["suppressed"].light)]
MARGIN = 0.06  # of an empty sheet, around the boxes


def nms(boxes, scores, iou_threshold: float = 0.5, *, image=None, names: Sequence[str] | None = None, fn=None, **unknown) -> Live:
    """Non-maximum suppression, played: the best box stays, and what overlaps it too much goes; then the best of the rest.

    The threshold has a slider. While the pointer is on a removed box, the arithmetic of its IoU stands below and the box that removed it
    is marked.

    Args:
        boxes: `[N, 4]`, x1, y1, x2, y2 in pixels of the image; tensor, array or nested list; at most 200.
        scores: `[N]`.
        iou_threshold: 0…1, where the slider stands first; a box goes if its IoU with a better one that stays is above it.
        image: the photograph `[3, H, W]` (0…1) under them; without one they lie on an empty sheet.
        names: a word for each box, before its score.
        fn: your own function with the arguments of `course.ops.nms.nms`; what it keeps is shown beside, mistakes marked.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, nms)
    boxes, scores = (x.clone() for x in (_numbers(boxes, "boxes"), _numbers(scores, "scores")))  # as they are now, whatever becomes of them
    kept_boxes(boxes, scores, iou_threshold)  # its checks
    if not 1 <= len(boxes) <= MOST_BOXES:
        raise ValueError(f"boxes holds {len(boxes)} boxes; from 1 to {MOST_BOXES} can be shown: pass those with the best scores")
    sheet, labels = _Sheet(boxes, image), _labels(scores, names)

    def suppressed(iou_threshold: float) -> Trace:
        return _trace(boxes, scores, iou_threshold, sheet, labels, fn)

    return Live(suppressed, [Slider("iou_threshold", 0.0, 1.0, step=0.05, value=float(iou_threshold), label="IoU threshold")])


def _trace(boxes: Tensor, scores: Tensor, threshold: float, sheet: _Sheet, labels: list[str], fn: Callable | None) -> Trace:
    kept = kept_boxes(boxes, scores, threshold).tolist()
    theirs = None if fn is None else _theirs(fn, boxes, scores, threshold)
    panels = [Picture("boxes", boxes=sheet.boxes(labels), legend=LEGEND, **sheet.look)]
    arrows: list = []
    if len(boxes) <= MOST_IN_TABLE and theirs is None:
        many = len(boxes) > 8
        table = {"paint": "heat", "limits": (0.0, 1.0), "width": 8.0} if many else {}
        panels.append(Grid("iou", np.zeros((len(boxes),) * 2), "IoU", "row: the box kept", empty=True, **table))
        arrows.append(Arrow("compare"))
    if theirs is not None:
        panels.append(Picture(PANEL, boxes=sheet.boxes(labels), **(sheet.look | {"title": ""})))
        arrows.append(None)
    story = _Story(sheet, labels, theirs, table=any(panel.id == "iou" for panel in panels))
    steps = [_first(len(boxes), threshold), *story.told(list(nms_steps(boxes, scores, threshold)))]
    steps.append(_last(len(boxes), kept) if theirs is None else _verdict(kept, theirs))
    return Trace(f"non-maximum suppression, IoU above {number(threshold)}", panels=panels, arrows=arrows, steps=steps)


class _Sheet:
    """The photograph, or an empty sheet around the boxes, and where on it the boxes lie as shown."""

    def __init__(self, boxes: Tensor, image):
        places = boxes.double().numpy()
        if image is not None:
            picture = pixels(image)
            small, factor = shrunk(picture)
            self.look = {"pixels": small, "title": "photograph", "note": f"[3, {picture.shape[0]}, {picture.shape[1]}]", "width": 12.0}
            self.places = places * factor
            return
        low, high = places.reshape(-1, 2).min(0), places.reshape(-1, 2).max(0)
        margin = MARGIN * max(*(high - low), 1e-6)
        width, height = high - low + 2 * margin
        factor = SHOWN_SIDE / max(width, height)
        size = (max(1, round(float(height * factor))), max(1, round(float(width * factor))))
        self.look = {"pixels": None, "title": "", "size": size, "note": f"[{len(boxes)}, 4]", "width": 12.0}
        self.places = (places - np.tile(low - margin, 2)) * factor

    def boxes(self, labels: Sequence[str]) -> Boxes:
        return Boxes(self.places, labels=labels if len(labels) <= MOST_LABELLED else ())

    def inside(self, one: int, other: int) -> bool:
        """Whether the first box lies wholly in the second: then what they share is the first, and needs no mark of its own."""
        return self.shared(one, other) == tuple(self.places[one])

    def shared(self, one: int, other: int) -> tuple:
        """The part that two boxes share."""
        a, b = self.places[one], self.places[other]
        return (*np.maximum(a[:2], b[:2]), *np.minimum(a[2:], b[2:]))


class _Story:
    """Turns the steps of the operation into those of the trace. `theirs` are the boxes that a student's function keeps, or None."""

    def __init__(self, sheet: _Sheet, labels: list[str], theirs: list[int] | None, table: bool):
        self.sheet, self.labels, self.theirs, self.table = sheet, labels, theirs, table

    def told(self, steps: list[Step]) -> list[TraceStep]:
        """A step for each box kept, followed by those that it overlaps; what shares nothing with it is named and passed over."""
        rounds: list[list[Step]] = []
        for step in steps:
            if "output" in step.writes:
                rounds.append([])
            rounds[-1].append(step)
        compared = [[step for step in rest if _overlap(step)[2] > 0] for _, *rest in rounds]
        one_by_one = sum(map(len, compared)) <= MOST_COMPARED
        made = []
        for (first, *rest), touched in zip(rounds, compared, strict=True):
            apart = [_overlap(step) for step in rest if not _overlap(step)[2]]
            if one_by_one:
                made += [self._keep(first, apart), *map(self._compare, touched)]
            else:
                made.append(self._keep_and_remove(first, touched))
        return made

    def _keep(self, step: Step, apart: list[tuple]) -> TraceStep:
        best = int(next(iter(step.writes["output"].values())))
        caption = step.sentence + (f" It shares nothing with {_listed([other for _, other, _ in apart])}." if apart else "")
        writes = {"iou": {(best, other): 0.0 for _, other, _ in apart}} if self.table and apart else {}
        marks = {"boxes": {"chosen": [best]}}
        return self._beside(TraceStep(caption, marks, writes, arithmetic=step.arithmetic, boxes=self._looks(best, True)), best, True)

    def _compare(self, step: Step) -> TraceStep:
        best, other, overlap = _overlap(step)
        goes = "removed_by" in step.writes
        marks: dict = {"boxes": {"read": [other], "chosen": [best]}}
        writes = {}
        if not self.sheet.inside(other, best):
            marks["boxes"]["write"] = [self.sheet.shared(best, other)]
        if self.table:
            marks["iou"], writes["iou"] = {"write": [(best, other)]}, {(best, other): overlap}
        looks = self._looks(other, False) if goes else {}
        made = TraceStep(step.sentence, marks, writes, arithmetic=step.arithmetic, boxes=looks)
        return self._beside(made, other, False) if goes else made

    def _keep_and_remove(self, step: Step, touched: list[Step]) -> TraceStep:
        best = int(next(iter(step.writes["output"].values())))
        gone = [_overlap(each) for each in touched if "removed_by" in each.writes]
        listed = _listed([other for _, other, _ in gone])
        caption = step.sentence + (f" It removes [{listed}|read]." if gone else " It removes nothing.")
        # Without arithmetic: over a box that goes stands this sentence, and the scores' maximum would be no reason to go.
        made = self._beside(TraceStep(caption, {"boxes": {"chosen": [best]}}, boxes=self._looks(best, True)), best, True)
        for _, other, _ in gone:
            looks = {**made.boxes["boxes"], **self._looks(other, False)["boxes"]}
            made = self._beside(replace(made, boxes={**made.boxes, "boxes": looks}), other, False)
        return made

    def _looks(self, box: int, stays: bool) -> dict:
        """What a box becomes; of one that goes only the number stays to be read."""
        number_alone = str(box) if len(self.labels) <= MOST_LABELLED else ""
        return {"boxes": {box: BoxLook("chosen", self.labels[box]) if stays else BoxLook("suppressed", number_alone)}}

    def _beside(self, step: TraceStep, box: int, stays: bool) -> TraceStep:
        """The same step, with what a student's function did with the box."""
        if self.theirs is None:
            return step
        kept = box in self.theirs
        look = self._looks(box, stays)["boxes"][box]
        caption = step.caption
        if kept != stays:
            look = BoxLook("wrong", f"{box} {'kept' if kept else 'missing'}")
            caption += f" [Yours {'keeps' if kept else 'removes'} box {box}|wrong]."
        return replace(step, caption=caption, boxes={**step.boxes, PANEL: {**step.boxes.get(PANEL, {}), box: look}})


def _overlap(step: Step) -> tuple[int, int, float]:
    """(the box kept, the other, their IoU) of a comparison."""
    ((best, other), overlap) = next(iter(step.writes["iou"].items()))
    return best, other, overlap


def _first(count: int, threshold: float) -> TraceStep:
    what = "One box may" if count == 1 else f"{count} boxes with their scores may"
    return TraceStep(f"{what} show the same object: the best stays, and a box whose IoU with it is above {number(float(threshold))} goes.")


def _last(count: int, kept: list[int]) -> TraceStep:
    stay = f"[{len(kept)}|chosen] {'stays' if len(kept) == 1 else 'stay'}"
    which = "" if len(kept) > MOST_LISTED else f"{', the best first' if len(kept) > 1 else ''}: {_listed(kept)}"
    return TraceStep(f"Of {count} box{'es' if count > 1 else ''} {stay}{which}.")


def _verdict(kept: list[int], theirs: list[int]) -> TraceStep:
    if theirs == kept:
        return TraceStep("Yours keeps the same boxes in the same order.")
    extra, missing = sorted(set(theirs) - set(kept)), sorted(set(kept) - set(theirs))
    if not extra and not missing:
        twice = len(set(theirs)) < len(theirs)
        how = "names some of them twice" if twice else "puts them in another order"
        return TraceStep(f"Yours keeps the same boxes but {how}: [{_listed(theirs)}|wrong] instead of [{_listed(kept)}|chosen].")
    parts = [f"keeps [{_listed(extra)}|wrong], which should go"] if extra else []
    parts += [f"removes [{_listed(missing)}|wrong], which should stay"] if missing else []
    return TraceStep(f"Yours {', and '.join(parts)}.", {PANEL: {"wrong": [*extra, *missing]}})


def _listed(boxes: list[int]) -> str:
    """ "box 3", "boxes 3, 0 and 2", of many how many."""
    if len(boxes) == 1:
        return f"box {boxes[0]}"
    if len(boxes) > MOST_LISTED:
        return f"{len(boxes)} boxes"
    return f"boxes {', '.join(map(str, boxes[:-1]))} and {boxes[-1]}" if boxes else "no box"


def _numbers(x, name: str) -> Tensor:
    """A floating-point tensor as it is, so that its IoUs are rounded as they would be elsewhere; what else holds numbers in float32."""
    if isinstance(x, Tensor) and x.is_floating_point():
        return x.detach().cpu()
    return as_tensor(x, name=name)


def _labels(scores: Tensor, names: Sequence[str] | None) -> list[str]:
    """What stands at each box: its number, which the sentences name, and its score."""
    names = [""] * len(scores) if names is None else names
    if isinstance(names, str) or len(names) != len(scores) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"names is {names!r}; it takes a word for each of the {len(scores)} boxes")
    words = [f"{name[:20]} {number(score)}".strip() for name, score in zip(names, scores, strict=True)]
    return [f"{i} · {each}" for i, each in enumerate(words)]


def _theirs(fn: Callable, boxes: Tensor, scores: Tensor, threshold: float) -> list[int]:
    """The boxes that a student's function keeps."""
    name = getattr(fn, "__name__", "your function")
    arguments = {"boxes": boxes.clone(), "scores": scores.clone(), "iou_threshold": threshold}
    got = called(fn, arguments, "boxes [N, 4] and scores [N]")
    try:
        indices = torch.as_tensor(got).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} returned {type(got).__name__}; the indices of the boxes that stay were expected, [K]") from None
    if indices.ndim != 1 or indices.is_floating_point() and len(indices) or indices.dtype == torch.bool:
        raise ValueError(
            f"{name} returned {str(indices.dtype).removeprefix('torch.')} {list(indices.shape)}; the indices of the boxes that stay were "
            "expected, whole numbers [K]"
        )
    wrong = [int(i) for i in indices if not 0 <= i < len(boxes)]
    if wrong:
        raise ValueError(f"{name} returned the index {wrong[0]}, and the boxes are 0 to {len(boxes) - 1}")
    return [int(i) for i in indices]
