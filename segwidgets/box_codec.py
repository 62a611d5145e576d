"""`segwidgets.box_codec`: from a proposal and a true box to the four numbers that a regressor has to say, and back. Both can be dragged."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops.boxes import LARGEST_GROWTH, decode_boxes_steps, encode_boxes, encode_boxes_steps, xyxy_to_cxcywh
from course.ops.step import Step, listing, number
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.inputs import SHOWN_SIDE, as_tensor, check_keywords, pixels, shrunk
from segwidgets.live import DragBox, Live
from segwidgets.panels import Arrow, Grid, Picture
from segwidgets.roles import ROLES
from segwidgets.students import PANEL, called
from segwidgets.trace import Trace, TraceStep

SIDES, TARGETS = ("x", "y", "w", "h"), ("tx", "ty", "tw", "th")
TRUTH, PROPOSAL, MOVED = range(3)  # the boxes on the picture, by their numbers
LEGEND = [(name, ROLES[role].light) for name, role in (("proposal P", "candidate"), ("true box G", "truth"), ("P moved", "write"))]
ROOM = 0.35  # of an empty sheet, around the boxes, in their larger extent: there they can be dragged to
CELL = 1.6  # a cell's side, in units: enough for "−0.693" to be read


def box_codec(proposal, truth, *, image=None, weights: Sequence[float] = (1, 1, 1, 1), fn: Callable | None = None, **unknown) -> Live:
    """Encoding and decoding of a box, played number by number; the proposal and the true box can be dragged, and the numbers follow.

    Args:
        proposal, truth: four numbers each, x1, y1, x2, y2 in pixels of the image; widths and heights above 0.
        image: the photograph `[3, H, W]` (0…1) under them; without one they lie on an empty sheet.
        weights: by which tx, ty, tw and th are multiplied; Fast R-CNN's are (10, 10, 5, 5).
        fn: your own function with the arguments of `course.ops.boxes.encode_boxes`; its numbers are shown beside, mistakes marked, and it
            is by them that the proposal is moved.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, box_codec)
    given = {"proposal": _box(proposal, "proposal"), "truth": _box(truth, "truth")}
    sheet = _Sheet(given, image)

    def compute(proposal: Place, truth: Place) -> Trace:
        return _Codec(sheet, sheet.box("proposal", proposal), sheet.box("truth", truth), weights, fn).trace()

    labels = {"proposal": (PROPOSAL, "proposal P"), "truth": (TRUTH, "true box G")}
    settings = [DragBox(name, panel="boxes", box=box, value=sheet.shown(given[name]), label=label) for name, (box, label) in labels.items()]
    return Live(compute, settings)


class _Sheet:
    """The photograph, or an empty sheet, and how places on it as shown become boxes in pixels of the image."""

    def __init__(self, given: dict[str, Tensor], image):
        self.given = given
        if image is not None:
            picture = pixels(image)
            small, self.factor = shrunk(picture)
            self.origin = np.zeros(2)
            self.look = {"title": "photograph", "pixels": small, "note": f"[3, {picture.shape[0]}, {picture.shape[1]}]"}
            return
        places = np.stack([box.numpy() for box in given.values()]).reshape(-1, 2)
        low, high = places.min(0), places.max(0)
        room = ROOM * max(high - low)
        self.factor = SHOWN_SIDE / max(high - low + 2 * room)
        self.origin = low - room
        self.look = {
            "title": "boxes",
            "pixels": None,
            "size": tuple(np.ceil((high - low + 2 * room) * self.factor).astype(int)[::-1].tolist()),
        }

    def shown(self, box: Tensor) -> Place:
        return tuple(((box.numpy().reshape(2, 2) - self.origin) * self.factor).ravel().tolist())

    def box(self, name: str, place: Place) -> Tensor:
        """The box that lies there: the one given, or where it was dragged, rounded so far that one sees no difference and can calculate."""
        if place == self.shown(self.given[name]):
            return self.given[name]
        fine = 10 ** max(0, math.ceil(math.log10(self.factor)))
        # Not round(), which takes 11.5 and 12.5 to one number: a box that is a pixel wide would have no width.
        return torch.from_numpy(np.floor((np.array(place).reshape(2, 2) / self.factor + self.origin) * fine + 0.5).ravel() / fine)


class _Codec:
    """The animation of one pair of boxes."""

    def __init__(self, sheet: _Sheet, proposal: Tensor, truth: Tensor, weights: Sequence[float], fn: Callable | None):
        self.sheet, self.weights = sheet, weights
        pair = truth[None], proposal[None]
        self.targets = encode_boxes(*pair, weights)[0]  # [4]
        self.theirs = None if fn is None else _theirs(fn, *pair, weights)
        said = self.targets if fn is None else self.theirs
        self.encoding = list(encode_boxes_steps(*pair, weights))
        self.decoding = list(decode_boxes_steps(said[None], proposal[None], weights))
        self.cut = bool((said[2:] / said.new_tensor(weights)[2:] > LARGEST_GROWTH).any())
        self.places = {TRUTH: sheet.shown(truth), PROPOSAL: sheet.shown(proposal)}
        self.sides = torch.stack((xyxy_to_cxcywh(proposal), xyxy_to_cxcywh(truth)), 1)  # [4, 2]: x, y, w, h of P and of G
        self.proposal = proposal

    def trace(self) -> Trace:
        places = [self.places[TRUTH], self.places[PROPOSAL], self.places[PROPOSAL]]
        boxes = Boxes(places, role=["truth", "candidate", None], labels=["G", "P", ""])
        one, two = {"empty": True, "width": CELL}, {"width": 2 * CELL, "row_names": SIDES, "column_names": ("P", "G")}
        empty, words = np.zeros((4, 1)), (" ",)
        panels = [
            Picture("boxes", boxes=boxes, legend=LEGEND, width=11.0, **self.sheet.look),
            Grid("sides", self.sides.numpy(), "centre, size", "pixels", **two),
            Grid("deltas", empty, "deltas", "no unit", row_names=TARGETS, column_names=words, **one),
        ]
        arrows = [None, Arrow("encode")]
        if self.theirs is not None:
            panels.append(Grid(PANEL, empty, "yours", "no unit", row_names=TARGETS, column_names=words, **one))
            arrows.append(None)
        panels.append(Grid("moved", empty, "P moved", "pixels", row_names=SIDES, column_names=words, **one))
        arrows.append(Arrow("decode"))
        steps = [self._first(), *map(self._encode, range(4), self.encoding), self._start(), *self._decode()]
        return Trace(f"box encoding, weights {listing(self.weights)}", panels=panels, arrows=arrows, steps=steps)

    def _first(self) -> TraceStep:
        weighted = f" Each is multiplied by its weight: {listing(self.weights)}." if self._weighted else ""
        return TraceStep(
            f"[P|candidate] has to move onto [G|truth]. Four numbers are to say how, whatever the size of the boxes.{weighted}"
        )

    def _encode(self, k: int, step: Step) -> TraceStep:
        """tx, ty, tw or th: what is compared lies on the picture, and its numbers in the table."""
        axis, target = k % 2, float(self.targets[k])
        px, py, gx, gy = self.sides[0, 0], self.sides[1, 0], self.sides[0, 1], self.sides[1, 1]
        if k < 2:
            end = (gx, py) if axis == 0 else (px, gy)
            lines = {"read": [self._edge(PROPOSAL, axis)], "write": [self._line((px, py), end)]}
            cells = [(axis, 0), (axis, 1), (axis + 2, 0)]
        else:
            lines = {"read": [self._edge(PROPOSAL, axis)], "truth": [self._edge(TRUTH, axis)]}
            cells = [(k, 0), (k, 1)]
        marks = {"boxes": lines, "sides": {"read": cells}, "deltas": {"write": [(k, 0)]}}
        made = TraceStep(step.sentence, marks, {"deltas": {(k, 0): target}}, arithmetic=f"{TARGETS[k]} = {step.arithmetic}")
        return made if self.theirs is None else self._beside(made, k)

    def _beside(self, step: TraceStep, k: int) -> TraceStep:
        """The same step with the student's number."""
        right, theirs = float(self.targets[k]), float(self.theirs[k])
        wrong = not math.isclose(right, theirs, rel_tol=1e-4, abs_tol=1e-5)
        caption = step.caption + (f" Yours is [{number(theirs)}|wrong]." if wrong else "")
        marks = {**step.marks, PANEL: {"wrong" if wrong else "write": [(k, 0)]}}
        return replace(step, caption=caption, marks=marks, writes={**step.writes, PANEL: {(k, 0): theirs}})

    def _start(self) -> TraceStep:
        who = "Whoever has P and these four numbers" if self.theirs is None else "Whoever has P and your four numbers"
        divided = ", each divided by its weight," if self._weighted else ""
        return TraceStep(
            f"{who}{divided} can move it, without having seen [G|truth].",
            {"sides": {"read": [(row, 0) for row in range(4)]}, self._said: {"read": [(row, 0) for row in range(4)]}},
            boxes={"boxes": {MOVED: BoxLook("write", "", self.places[PROPOSAL])}},
        )

    def _decode(self) -> list[TraceStep]:
        """The centre moves, the sides grow, and corners come of both."""
        shift, growth, corners = self.decoding
        x, y = shift.writes["moved"].values()
        _, _, width, height = self.sides[:, 0].tolist()
        around = _corners(x, y, width, height)
        there = torch.tensor(list(corners.writes["output"].values()), dtype=torch.float64)
        steps = []
        for step, rows, box in ((shift, (0, 1), around), (growth, (2, 3), there)):
            values = dict(zip([(row, 0) for row in rows], step.writes["moved"].values(), strict=True))
            marks = {self._said: {"read": [(row, 0) for row in rows]}, "moved": {"write": list(values)}}
            look = {"boxes": {MOVED: BoxLook("write", "", self.sheet.shown(box))}}
            steps.append(TraceStep(step.sentence, marks, {"moved": values}, arithmetic=step.arithmetic, boxes=look))
        return [*steps, self._last(corners)]

    def _last(self, step: Step) -> TraceStep:
        if self.cut:
            end = f"That is as far as it goes: no side grows more than {number(math.exp(LARGEST_GROWTH))}-fold."
        elif self.theirs is not None and not torch.isclose(self.theirs, self.targets, rtol=1e-4, atol=1e-5).all():
            end = "With your numbers it [misses G|wrong]."
        else:
            end = "It lies on [G|truth]."
        return TraceStep(f"{step.sentence} {end}", arithmetic=step.arithmetic)

    @property
    def _weighted(self) -> bool:
        return any(weight != 1 for weight in self.weights)

    @property
    def _said(self) -> str:
        return "deltas" if self.theirs is None else PANEL

    def _edge(self, box: int, axis: int) -> Place:
        """The lower edge of a box, which is as long as its width, or its right one."""
        x1, y1, x2, y2 = self.places[box]
        return (x1, y2, x2, y2) if axis == 0 else (x2, y1, x2, y2)

    def _line(self, start: tuple, end: tuple) -> Place:
        x1, y1, x2, y2 = self.sheet.shown(torch.stack((*start, *end)))
        return (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))


def _corners(x: float, y: float, width: float, height: float) -> Tensor:
    return torch.tensor([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dtype=torch.float64)


def _box(box, name: str) -> Tensor:
    """Four numbers in double precision, so that those written with a point are what they look like."""
    if not isinstance(box, Tensor):
        try:
            box = torch.tensor(box, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            box = as_tensor(box, name=name)  # says what it is
    if box.shape != (4,):
        raise ValueError(f"{name} has the shape {list(box.shape)}; one box is four numbers, x1, y1, x2, y2")
    box = box.detach().cpu().double()
    arguments.check_boxes(box[None], name, finite=True)
    arguments.check_sizes(box[None], name)
    return box


def _theirs(fn: Callable, gt: Tensor, proposals: Tensor, weights: Sequence[float]) -> Tensor:
    """What a student's function says, [4]."""
    name = getattr(fn, "__name__", "your function")
    arguments = {"gt": gt.float(), "proposals": proposals.float(), "weights": tuple(map(float, weights))}
    got = called(fn, arguments, "gt [1, 4] and proposals [1, 4]")
    if not isinstance(got, Tensor) or got.shape != (1, 4):
        what = list(got.shape) if isinstance(got, Tensor) else type(got).__name__
        raise ValueError(f"{name} returned {what}; a tensor of shape [1, 4] was expected, tx, ty, tw and th of one pair")
    got = as_tensor(got, name=f"what {name} returned").double()[0]
    if not torch.isfinite(got).all():
        raise ValueError(f"{name} returned NaN or infinite values; only finite numbers can be shown")
    return got
