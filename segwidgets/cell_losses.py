"""`segwidgets.cell_losses`: the terms of YOLO's loss, each where it arises: a map of cells a term, and at the end the sums side by side.

J. Redmon, S. Divvala, R. Girshick and A. Farhadi, "You Only Look Once", 2015, arXiv:1506.02640, section 2.2 and equation 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops.step import listing, number
from segwidgets.boxes import Boxes
from segwidgets.cells import CellSheet, Objects, check_grid, class_names, counted, first_of_each, listed, place_of
from segwidgets.inputs import as_tensor, check_keywords
from segwidgets.panels import Arrow, Bars, FieldBoxes, Grid, Picture
from segwidgets.player import Player
from segwidgets.roles import ROLES
from segwidgets.trace import Cell, Trace, TraceStep

MOST_TERMS = 6
LONGEST_NAME = 20
WIDTH = 7.0  # of a map, in units
DIGITS = 4  # of a loss after the point; in a map, where it has little room, 3
LEGEND = [("object, and the cell that answers for it", ROLES["truth"].light), ("largest", ROLES["chosen"].light)]
MEANING = {
    "centre": "how far the centre of the box that answers is off",
    "size": "how far its width and height are off, by their square roots",
    "object": "how far its confidence is from its IoU",
    "no_object": "the confidence of all boxes that answer for nothing",
    "class": "how far the class probabilities are off, where there is an object",
}


def cell_losses(
    image, terms: Mapping[str, Tensor], *, truth=None, classes: Sequence[str] | None = None, grid: int | None = None, **unknown
) -> Player:
    """The terms of a loss over the cells of a grid, played a term at a time, and their sums.

    While the pointer is on a cell of a map, the cell is marked on the photograph.

    Args:
        image: `[3, H, W]`, 0…1.
        terms: {name: `[S, S]`}, row first, 0 or more, with whatever weights they have in the sum, as
            `course.models.yolo.yolo_loss_cells` gives them for one picture; at most 6. Of "centre", "size", "object", "no_object" and
            "class" it is said what they measure.
        truth: `{"boxes": [T, 4], "labels": [T]}`, or boxes alone; x1, y1, x2, y2 in pixels of the image, at most 12.
        classes: the names of labels 1, 2, ….
        grid: S, if it is to be checked.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, cell_losses)
    maps = _maps(terms, grid)
    sheet = CellSheet(image, len(next(iter(maps.values()))))
    objects = None if truth is None else Objects.of(truth, sheet, None if classes is None else class_names(classes))
    return Player(_Losses(sheet, maps, objects).trace())


class _Losses:
    """The animation."""

    def __init__(self, sheet: CellSheet, maps: dict[str, Tensor], objects: Objects | None):
        self.sheet, self.maps, self.objects = sheet, maps, objects
        self.sums = {name: round(float(values.sum()), DIGITS) for name, values in maps.items()}
        self.answering = {} if objects is None else first_of_each(sheet.cells_of(objects.boxes))

    def trace(self) -> Trace:
        sheet, names = self.sheet, list(self.maps)
        boxes = None if self.objects is None else Boxes(sheet.shown(self.objects.boxes), "truth", self.objects.names, measured=True)
        panels = [
            Picture("photograph", sheet.pixels, note=sheet.note, width=11.0, boxes=boxes, legend=LEGEND[0 if self.objects else 1 :]),
            *(self._map(name) for name in names),
            Bars("sums", np.array([*self.sums.values()]), names, note="over all cells", empty=True, width=7.0),
        ]
        arrows = [Arrow("loss"), *[None] * len(names)]
        return Trace("losses of the cells", panels=panels, arrows=arrows, steps=[self._first(), *map(self._term, names), self._last()])

    def _map(self, name: str) -> Grid:
        """In colours of its own: what matters is where a term arises."""
        values = self.maps[name].numpy()
        field = FieldBoxes("photograph", self.sheet.every_cell(), self.sheet.factor, word="covers")
        look = {"paint": "heat", "empty": True, "width": WIDTH, "limits": (0.0, float(values.max()) or 1.0), "field": field}
        return Grid(self._id(name), np.zeros_like(values), name, str(list(values.shape)), **look)

    @staticmethod
    def _id(name: str) -> str:
        return f"loss {name}"

    def _first(self) -> TraceStep:
        grid = self.sheet.grid
        marks = {"photograph": {"truth": [self.sheet.cell(cell) for cell in self.answering]}} if self.answering else {}
        terms = (
            f"{counted(len(self.maps), 'term')}, {listed(list(self.maps), MOST_TERMS)}" if len(self.maps) > 1 else f"1 term, {self._only}"
        )
        count = f" {counted(len(self.answering), 'cell')} {'answers' if len(self.answering) == 1 else 'answer'} for an [object|truth]."
        return TraceStep(
            f"The loss has {terms}. Which of the {grid} × {grid} cells does each come from?{count if self.objects is not None else ''}",
            marks,
        )

    @property
    def _only(self) -> str:
        return next(iter(self.maps))

    def _term(self, name: str) -> TraceStep:
        values, total, where = self.maps[name], self.sums[name], self._id(name)
        cells = list(np.ndindex(*values.shape))
        writes = {where: {cell: round(float(values[cell]), 3) for cell in cells}, "sums": {(list(self.maps).index(name), 0): total}}
        meaning = f", {MEANING[name]}," if name in MEANING else ""
        if not values.any():
            return TraceStep(f"The term {name}{meaning} is [0|write] in every cell.", {}, writes)
        top = _largest(values)
        count = int((values > 0).sum())
        marks = {where: {"chosen": [top]}, "photograph": {"chosen": [self.sheet.cell(top)]}}
        largest = number(round(float(values[top]), DIGITS))
        return TraceStep(
            f"The term {name}{meaning} is [{number(total)}|write], from {counted(count, 'cell')}: most at {place_of(top)}, "
            f"[{largest}|chosen]{self._whose(top)}.",
            marks,
            writes,
            arithmetic=self._addition(values),
        )

    def _whose(self, cell: Cell) -> str:
        return f", which answers for [{self.objects.name(self.answering[cell])}|truth]" if cell in self.answering else ""

    def _addition(self, values: Tensor) -> str:
        """The largest cells and the rest, so that a sum of 49 numbers is still one line."""
        known = sorted((round(float(value), DIGITS) for value in values.flatten() if value > 0), reverse=True)
        first, rest = known[:3], round(sum(known[3:]), DIGITS)
        total = round(float(values.sum()), DIGITS)
        more = f" + {number(rest)} of {counted(len(known) - 3, 'other cell')}" if len(known) > 3 else ""
        return f"{listing(first, ' + ')}{more} = {number(total)}"

    def _last(self) -> TraceStep:
        total = round(sum(self.sums.values()), DIGITS)
        arithmetic = f"{listing(list(self.sums.values()), ' + ')} = {number(total)}"
        if not total:
            return TraceStep("All terms are [0|write]: there is nothing to learn from this picture.", arithmetic=arithmetic)
        largest = max(self.sums, key=self.sums.__getitem__)
        row = list(self.sums).index(largest)
        away = f" [{self._share_of_empty():.0%}|read] of it comes from cells without an object." if self.answering else ""
        return TraceStep(
            f"All together [{number(total)}|write]: {largest} is the largest, [{self.sums[largest] / total:.0%}|chosen] of the sum.{away}",
            {"sums": {"chosen": [(row, 0)]}},
            arithmetic=arithmetic,
        )

    def _share_of_empty(self) -> float:
        every = torch.stack([*self.maps.values()]).double().sum(0)  # [S, S]
        return 1 - sum(float(every[cell]) for cell in self.answering) / float(every.sum())


def _largest(values: Tensor) -> Cell:
    return divmod(int(values.argmax()), values.shape[1])


def _maps(terms, grid: int | None) -> dict[str, Tensor]:
    """{name: [S, S]}, as they are now; finite and not negative."""
    if not isinstance(terms, Mapping):
        raise TypeError(f"terms is {type(terms).__name__}; it takes {{name: [S, S]}}, a number a cell for each term of the loss")
    if not 1 <= len(terms) <= MOST_TERMS:
        raise ValueError(f"terms holds {len(terms)}; from 1 to {MOST_TERMS} terms can be shown")
    maps: dict[str, Tensor] = {}
    for name, values in terms.items():
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"a term is named {name!r}; it takes a name of 1 to {LONGEST_NAME} letters")
        values = as_tensor(values, name=name).clone()
        values = values[0] if values.ndim == 3 and len(values) == 1 else values
        if values.ndim != 2 or values.shape[0] != values.shape[1] or not values.numel():
            raise ValueError(
                f"{name} has the shape {list(values.shape)}; it is [S, S], a number for every cell of one picture, not yet summed"
            )
        maps[name] = values
    sizes = {name: len(values) for name, values in maps.items()}
    first = next(iter(sizes))
    wanted = sizes[first] if grid is None else arguments.whole(grid, "grid", 1)
    for name, size in sizes.items():
        if size != wanted:
            against = f"grid is {wanted}" if grid is not None else f"{first} has {wanted} × {wanted}"
            raise ValueError(f"{name} has {size} × {size} cells, and {against}; all terms are of one grid")
    check_grid(wanted, "terms")
    for name, values in maps.items():
        wrong = (~torch.isfinite(values) | (values < 0)).nonzero().tolist()
        if wrong:
            cell = tuple(wrong[0])
            raise ValueError(f"{name} is {number(values[cell])} at {place_of(cell)}; a part of a sum of losses is finite, and 0 or more")
    return maps
