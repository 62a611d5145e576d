"""`segwidgets.localizer_loss`: what a localizer's loss says about a box, at every place of its centre, and where it pulls the box.

The box's loss, the mean square of four differences, is a bowl around the truth. What one would like to be good, the IoU, is flat wherever
the boxes do not meet, and a slope of 0 teaches nothing. Beside them stands the loss of the class, and what counts is the sum, in which a
balance λ says how much the box weighs. The numbers are those of `course.models.localizer.multi_task_losses`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops.boxes import box_iou, cxcywh_to_xyxy, xyxy_to_cxcywh
from course.ops.step import number
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.inputs import as_tensor, check_keywords, pixels, shrunk
from segwidgets.live import DragBox, Live, Slider
from segwidgets.panels import Arrow, Bars, FieldBoxes, Grid, Picture
from segwidgets.roles import ROLES
from segwidgets.trace import Cell, Trace, TraceStep

MOST_CELLS = 25  # of the maps, along the longer side
DESCENT = 6  # steps downhill; a step's length is the slope, times 1
DIGITS = 4  # of a loss after the point: what is less is nothing, here
TRUTH, PREDICTION = range(2)  # the boxes on the picture, by their numbers
LEGEND = [("truth", ROLES["truth"].light), ("prediction", ROLES["write"].light)]
LARGEST_BALANCE = 4.5  # from 4 on every step ends further away than it began, on the other side


def localizer_loss(image, truth, predicted, *, balance: float = 1.0, probability: float = 0.4, **unknown) -> Live:
    """The two losses of one picture, played: the box's over all places of its centre, 1 − IoU beside it, the sum, and six steps downhill.

    The predicted box can be dragged; point at a cell of a map to see the box with its centre there.

    Args:
        image: `[3, H, W]`, 0…1.
        truth, predicted: four numbers each, x1, y1, x2, y2 in its pixels; widths and heights above 0.
        balance: λ, 0 to 4.5, by which the box's loss is multiplied.
        probability: of the true class, as the network has it before the first step, 0.05 to 0.95.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, localizer_loss)
    sheet = _Sheet(image)
    truth, start = _box(truth, "truth"), _box(predicted, "predicted")

    def compute(predicted: Place, balance: float, probability: float) -> Trace:
        box = start if predicted == sheet.shown(start) else _box(sheet.box(predicted), "predicted")
        return _Losses(sheet, truth, box, balance, probability).trace()

    settings = [
        DragBox("predicted", panel="photograph", box=PREDICTION, value=sheet.shown(start), label="prediction"),
        Slider("balance", 0.0, LARGEST_BALANCE, step=0.1, value=balance, label="balance λ"),
        Slider("probability", 0.05, 0.95, step=0.05, value=probability, label="p(true class)"),
    ]
    return Live(compute, settings)


class _Sheet:
    """The photograph, and how boxes in its pixels become codes, in its sides, and places on it as shown."""

    def __init__(self, image):
        picture = pixels(image)
        self.height, self.width = picture.shape[:2]
        self.pixels, self.factor = shrunk(picture)
        longer = max(self.height, self.width)
        self.rows, self.columns = (max(3, round(MOST_CELLS * side / longer)) for side in (self.height, self.width))

    def shown(self, box: Tensor) -> Place:
        return tuple((box * self.factor).tolist())

    def box(self, place: Place) -> Tensor:
        """In whole pixels of the picture, or in parts of them where it is shown enlarged."""
        fine = max(1, round(self.factor))
        return (torch.tensor(place, dtype=torch.float64) / self.factor * fine).round() / fine

    def code(self, box: Tensor) -> Tensor:
        """(x, y, width, height) in sides of the picture, as `course.models.localizer.encode_in_image`. [..., 4]"""
        return xyxy_to_cxcywh(box) / box.new_tensor((self.width, self.height) * 2)

    def from_code(self, code: Tensor) -> Tensor:
        x, y, width, height = (code * code.new_tensor((self.width, self.height) * 2)).tolist()
        return cxcywh_to_xyxy(code.new_tensor((x, y, max(width, 0.0), max(height, 0.0))))

    def cell(self, code: Tensor) -> Cell:
        """Of a map, the one in which the centre lies, or the nearest one."""
        column, row = (code[:2] * code.new_tensor((self.columns, self.rows))).floor().int().tolist()
        return min(max(row, 0), self.rows - 1), min(max(column, 0), self.columns - 1)

    def everywhere(self, box: Tensor) -> Tensor:
        """The box with its centre in the middle of each cell. [rows, columns, 4]"""
        x = (torch.arange(self.columns, dtype=torch.float64) + 0.5) * self.width / self.columns
        y = (torch.arange(self.rows, dtype=torch.float64) + 0.5) * self.height / self.rows
        centres = torch.stack((x.expand(self.rows, -1), y[:, None].expand(-1, self.columns)), -1)  # [rows, columns, 2]
        half = (box[2:] - box[:2]) / 2  # [2]
        return torch.cat((centres - half, centres + half), -1)


class _Losses:
    """The animation for one predicted box, one balance, one probability."""

    def __init__(self, sheet: _Sheet, truth: Tensor, predicted: Tensor, balance: float, probability: float):
        self.sheet, self.truth, self.predicted, self.balance, self.probability = sheet, truth, predicted, balance, probability
        self.target, self.code = sheet.code(truth), sheet.code(predicted)
        self.moved = sheet.everywhere(predicted)  # [rows, columns, 4]
        self.bowl = balance * (sheet.code(self.moved) - self.target).square().mean(-1).numpy()  # [rows, columns]
        self.overlap = box_iou(self.moved.flatten(0, 1), truth[None]).reshape(self.moved.shape[:2]).numpy()

    def trace(self) -> Trace:
        sheet = self.sheet
        places = [sheet.shown(self.truth), sheet.shown(self.predicted)]
        boxes = Boxes(places, role=["truth", "write"], labels=["truth", "prediction"])
        maps = {
            "paint": "heat",
            "empty": True,
            "field": FieldBoxes("photograph", (self.moved * sheet.factor).numpy(), sheet.factor, word="the box there,"),
        }
        steps = [self._first(), self._of_box(), self._of_overlap(), self._sum(), *self._downhill()]
        sums = np.array([max(step.writes["losses"][place, 0] for step in steps if "losses" in step.writes) for place in range(3)])
        panels = [
            Picture("photograph", sheet.pixels, note=f"[3, {sheet.height}, {sheet.width}]", width=10.0, boxes=boxes, legend=LEGEND),
            Grid("box", self.bowl, "λ · loss of the box", "by its centre", limits=(0.0, float(self.bowl.max()) or 1.0), **maps),
            Grid("overlap", 1 - self.overlap, "1 − IoU", "by its centre", limits=(0.0, 1.0), **maps),
            Bars("losses", sums, ("class", "λ · box", "sum"), title="losses", empty=True, width=8.0),
        ]
        arrows = [Arrow("L2"), None, None]
        return Trace("losses of a localizer", panels=panels, arrows=arrows, steps=steps)

    def _first(self) -> TraceStep:
        return TraceStep(
            "The [prediction|write] is to become the [truth|truth]. How wrong is it here, and how wrong would it be with its centre at any "
            "other place?"
        )

    def _of_box(self) -> TraceStep:
        differences = [abs(value) for value in (self.code - self.target).tolist()]
        squares = " + ".join(f"{number(value)}²" for value in differences)
        loss = self._box_loss(self.code)
        return TraceStep(
            f"x, y, width and height are off by {_listed(differences)} of the picture's sides: λ times the mean square is "
            f"[{number(loss)}|write]. Over all places it is a bowl, lowest at the [true centre|truth].",
            {"box": {"write": [self.sheet.cell(self.code)], "truth": [self.sheet.cell(self.target)]}},
            {"box": _cells(self.bowl)},
            arithmetic=f"{number(self.balance)} × ({squares}) / 4 = {number(loss)}",
        )

    def _of_overlap(self) -> TraceStep:
        iou = box_iou(self.predicted[None], self.truth[None]).item()
        flat = float((self.overlap == 0).mean())
        return TraceStep(
            f"The IoU is [{number(iou)}|write]. In {flat:.0%} of the places the boxes do not meet, and 1 − IoU is 1, flat: "
            "no slope says where to go. That is why the box is learned by L2, and judged by IoU.",
            {"overlap": {"write": [self.sheet.cell(self.code)], "truth": [self.sheet.cell(self.target)]}},
            {"overlap": _cells(1 - self.overlap)},
        )

    def _sum(self) -> TraceStep:
        name, box = round(-math.log(self.probability), DIGITS), self._box_loss(self.code)
        share = box / (name + box)
        return TraceStep(
            f"The class has a probability of {number(self.probability)}, a loss of [{number(name)}|read]. With the box it is "
            f"[{number(name + box)}|chosen], of which the box is {share:.0%}.",
            {"losses": {"read": [(0, 0)], "write": [(1, 0)], "chosen": [(2, 0)]}},
            {"losses": {(0, 0): name, (1, 0): box, (2, 0): name + box}},
            arithmetic=f"−log {number(self.probability)} + {number(box)} = {number(name + box)}",
        )

    def _downhill(self) -> Iterator[TraceStep]:
        """Each of the five numbers goes against the slope of the sum, by as much as the slope is."""
        code, score = self.code, math.log(self.probability / (1 - self.probability))  # of the true class against all others
        path = [self.sheet.cell(code)]
        for step in range(1, DESCENT + 1):
            code = code - self.balance * (code - self.target) / 2  # [4], the slope of λ · mean square
            score += 1 - 1 / (1 + math.exp(-score))
            name, box = round(math.log1p(math.exp(-score)), DIGITS), self._box_loss(code)
            here = self.sheet.from_code(code)
            iou = box_iou(here[None], self.truth[None]).item()
            path.append(self.sheet.cell(code))
            marks = {"losses": {"read": [(0, 0)], "write": [(1, 0)], "chosen": [(2, 0)]}}
            marks |= {
                panel: {"write": [path[-1]], "read": path[-2:-1], "truth": [self.sheet.cell(self.target)]} for panel in ("box", "overlap")
            }
            said = f"Step {step} downhill: the sum is [{number(name + box)}|chosen], the IoU [{number(iou)}|write]."
            yield TraceStep(
                f"{said} {self._says(step)}".strip(),
                marks,
                {"losses": {(0, 0): name, (1, 0): box, (2, 0): name + box}},
                keep={panel: path[-2:-1] for panel in ("box", "overlap")},
                arithmetic=f"{number(name)} + {number(box)} = {number(name + box)}",
                boxes={"photograph": {PREDICTION: BoxLook("write", "prediction", self.sheet.shown(here))}},
            )

    def _says(self, step: int) -> str:
        """What a step shows of the balance, told at the first and the last."""
        rest = abs(1 - self.balance / 2)  # of the way to the truth, after a step
        if step == 1 and self.balance > 2:
            return f"λ = {number(self.balance)} jumps over the truth: {number(rest)} times the distance is left, on the other side."
        if step == 1:
            return f"With λ = {number(self.balance)}, {number(rest)} of the distance is left."
        if step < DESCENT:
            return ""
        if self.balance >= 4:
            return "The box is lost, though the class is learned: the balance is too large for this step."
        if rest**DESCENT > 0.2:
            return "The class is learned, and the box has hardly come along: the balance is too small." if self.balance < 1 else ""
        return "Class and box are learned together."

    def _box_loss(self, code: Tensor) -> float:
        return round(self.balance * (code - self.target).square().mean().item(), DIGITS)


def _cells(values: np.ndarray) -> dict[Cell, float]:
    return {tuple(cell): float(values[cell]) for cell in np.ndindex(values.shape)}


def _listed(values: list[float]) -> str:
    words = [number(value) for value in values]
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _box(box, name: str) -> Tensor:
    """Four numbers in double precision."""
    box = as_tensor(box, name=name).double() if not isinstance(box, Tensor) else box.detach().cpu().double()
    if box.shape != (4,):
        raise ValueError(f"{name} has the shape {list(box.shape)}; one box is four numbers, x1, y1, x2, y2")
    arguments.check_boxes(box[None], name, finite=True)
    arguments.check_sizes(box[None], name)
    return box
