"""`segwidgets.roi_pool`: from a box on the photograph to a grid of one size, and the way back of the gradient. The box can be dragged.

RoI pooling rounds twice, the box to cells and its bins to cells. What was there before is drawn dashed, and how far off it is, told.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from course.ops import roi as operations
from course.ops.step import Index, Step, listing, number, place
from segwidgets.box_on_map import Layer, Sheet, box_of
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.inputs import as_tensor, check_keywords
from segwidgets.live import DragBox, Live
from segwidgets.maps import MOST_NUMBERS
from segwidgets.panels import Arrow, FieldBoxes, Grid, Picture
from segwidgets.roles import ROLES
from segwidgets.students import PANEL, beside, called
from segwidgets.trace import Cell, Trace, TraceStep

MOST_SINGLE = 9  # gradients that flow back one after another; of more only the sum is shown
GRID, CELL = 8.0, 2.2  # units: how wide and high the cells of the box are together, and at most one: what is dragged must not jump about
SIDES = ("left edge", "upper edge", "right edge", "lower edge")
GIVEN, READ = range(2)  # the boxes on the photograph and on the map, by their numbers
LEGEND = [(name, ROLES[role].light) for name, role in (("box", "candidate"), ("before rounding", "suppressed"), ("what is read", "read"))]


def roi_pool(
    features,
    image,
    box,
    output_size=3,
    spatial_scale: float | None = None,
    *,
    channel: int | None = None,
    gradient=None,
    fn: Callable | None = None,
    **unknown,
) -> Live:
    """RoI pooling of one box and one channel, played bin by bin, and its backward. The box can be dragged on the photograph.

    Args:
        features: a network's map of the photograph, `[C, H, W]` or `[1, C, H, W]`.
        image: the photograph `[3, H, W]`, 0…1.
        box: four numbers, x1, y1, x2, y2 in its pixels. It may reach beyond the photograph, and have no width or height.
        output_size: bins, (PH, PW) or one integer, at most 14 along a side.
        spatial_scale: cells a pixel, 1 / stride; by default the power of 2 nearest to the map's size over the photograph's.
        channel: which is shown; by default the one that stands out most in the box.
        gradient: of the loss with respect to the output `[PH, PW]`; by default 1 in each bin.
        fn: your own function with the arguments of `course.ops.roi.roi_pool`; its numbers are shown beside, mistakes marked.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, roi_pool)
    sheet, given = Sheet(image), box_of(box)
    layer = Layer.of(features, sheet, given, output_size, spatial_scale, channel)
    gradient = None if gradient is None else _gradient(gradient, layer.bins)

    def compute(box: Place) -> Trace:
        here = given if box == sheet.shown(given) else box_of(sheet.box(box))
        return _Pooling(sheet, layer, here, gradient, fn).trace()

    return Live(compute, [DragBox("box", panel="photograph", box=GIVEN, value=sheet.shown(given))])


class _Pooling:
    """The animation of one box."""

    def __init__(self, sheet: Sheet, layer: Layer, box: Tensor, gradient: Tensor | None, fn: Callable | None):
        self.sheet, self.layer, self.box, self.gradient, self.fn = sheet, layer, box, gradient, fn
        plane = layer.plane
        self.boxes = torch.cat((box.new_zeros(1), box))[None].to(plane.dtype)  # [1, 5]
        self.above = torch.ones(layer.bins) if gradient is None else gradient  # [PH, PW]
        with torch.enable_grad():
            leaf = plane.clone().requires_grad_()
            pooled = operations.roi_pool(leaf, self.boxes, layer.bins, layer.scale)  # [1, 1, PH, PW]
            (back,) = torch.autograd.grad(pooled, leaf, self.above.to(plane.dtype)[None, None])
        self.pooled = pooled.detach()[0, 0].float()  # [PH, PW]
        _, *self.of_bins = operations.roi_pool_steps(plane, self.boxes, layer.bins, layer.scale)
        found = operations.roi_bins(self.boxes[:, 1:], tuple(plane.shape[2:]), layer.bins, layer.scale)
        self.rows, self.columns = found.rows[0].tolist(), found.columns[0].tolist()
        x1, y1, x2, y2 = found.cells[0].tolist()
        self.read = (x1, y1, x2 + 1, y2 + 1)  # in cells: the last one belongs to the box
        self.exact = tuple((box * layer.scale).tolist())
        self.down, self.across = (_span(ends, size) for ends, size in zip((self.rows, self.columns), plane.shape[2:], strict=True))
        region = slice(self.down.start, self.down.stop), slice(self.across.start, self.across.stop)
        self.cells, self.back = plane[0, 0][region].float(), back[0, 0][region].float()  # [h, w] each

    def trace(self) -> Trace:
        forward = [self._first(), self._rounding(), self._binning(), *self._pooling()]
        last = []
        panels = {"network": self._map(), "its cells": self._grid("cells", "cells of the box", self.cells), "max of a bin": self._pooled()}
        if self.fn is not None:
            theirs, forward, *last = beside(self._theirs(), {}, self.pooled, forward, "pooled")
            panels[""] = Grid(PANEL, theirs.numpy(), note="[{}, {}]".format(*self.layer.bins), empty=True)
        if self.gradient is not None:
            panels["loss"] = Grid("above", self.above.numpy(), "gradient of the output", "[{}, {}]".format(*self.layer.bins))
        panels["back"] = self._grid("gradient", "gradient of the cells", self.back)
        arrows = [Arrow(text) if text else None for text in panels]
        title = "RoI pooling to {}×{}, {}".format(*self.layer.bins, self.layer.title)
        steps = [*forward, *self._backward(), *last]
        return Trace(title, panels=[self._photograph(), *panels.values()], arrows=arrows, steps=steps)

    def _photograph(self) -> Picture:
        places = [self.sheet.shown(self.box), tuple(side / self.layer.scale * self.sheet.factor for side in self.read)]
        boxes = Boxes(places, role=["candidate", None])
        note = f"[3, {self.sheet.height}, {self.sheet.width}]"
        return Picture("photograph", self.sheet.pixels, note=note, width=11.0, boxes=boxes, legend=LEGEND)

    def _map(self) -> Picture:
        """A pixel a cell, so that boxes may lie between the cells."""
        boxes = Boxes([self.exact, self.read], role=None)
        return Picture("map", self.layer.painted(), self.layer.title, self.layer.shape, width=12.5, lossless=True, boxes=boxes)

    def _grid(self, id: str, title: str, values: Tensor) -> Grid:
        """The cells that are read, as numbers if they can be read from the back row."""
        scale, sides = self.sheet.factor / self.layer.scale, values.shape
        places = np.array([(x, y, x + 1, y + 1) for y, x in itertools.product(self.down, self.across)]) * scale
        look = {"note": str(list(sides)), "empty": id == "gradient", "width": sides[1] * min(CELL, GRID / max(sides))}
        look["field"] = FieldBoxes("photograph", places, self.sheet.factor)
        if max(sides) <= MOST_NUMBERS:
            names = {"row_names": [str(row) for row in self.down], "column_names": [str(column) for column in self.across]}
            return Grid(id, values.numpy(), title, **names, **look)
        top = float(values.abs().max())
        limits = self.layer.limits if id == "cells" else (-top if values.min() < 0 else 0.0, top)
        return Grid(id, values.numpy(), title, paint="signed" if limits[0] < 0 else "heat", limits=limits, **look)

    def _pooled(self) -> Grid:
        return Grid("pooled", self.pooled.numpy(), note="[{}, {}]".format(*self.layer.bins), empty=True)

    def _first(self) -> TraceStep:
        x1, y1, x2, y2 = self.box.tolist()
        rows, columns = self.layer.bins
        return TraceStep(
            f"The [box|candidate] is {number(x2 - x1)} × {number(y2 - y1)} pixels; whatever its size, {rows} × {columns} numbers are to "
            f"come out. A cell of the map is {number(1 / self.layer.scale)} pixels wide."
        )

    def _rounding(self) -> TraceStep:
        """The first rounding, and by how much the edge that moved most is off."""
        (x1, y1, x2, y2), (left, top, right, bottom) = self.read, self.exact
        moved = [abs(after - before) for after, before in zip(self.read, self.exact, strict=True)]
        off = max(moved)
        caption = (
            f"First rounding: of [{number(right - left)} × {number(bottom - top)}|suppressed] cells it makes "
            f"[{x2 - x1} × {y2 - y1}|read], {_named('column', x1, x2)}, {_named('row', y1, y2)}. "
            f"The {SIDES[moved.index(off)]} is off by {number(off)} cells, {number(off / self.layer.scale)} pixels."
        )
        if self._outside:
            caption = f"{caption} {'None of these cells is' if self._beside else 'Not all of these cells are'} on the map."
        sides = zip(self.box.tolist(), self.exact, (x1, y1, x2 - 1, y2 - 1), strict=True)
        arithmetic = ",  ".join(
            f"{number(side)} × {number(self.layer.scale)} = {number(exact)} → {number(cell)}" for side, exact, cell in sides
        )
        width, height = (number(cells / self.layer.scale) for cells in (x2 - x1, y2 - y1))
        boxes = {"photograph": {READ: BoxLook("read", f"{width} × {height} pixels")}}
        boxes["map"] = {GIVEN: "suppressed", READ: BoxLook("read", f"{x2 - x1} × {y2 - y1} cells")}
        return TraceStep(caption, arithmetic=arithmetic, boxes=boxes)

    def _binning(self) -> TraceStep:
        """The second rounding: on the map the borders of the bins before it."""
        (rows, columns), (x1, y1, x2, y2) = self.layer.bins, self.read
        before = f"{number((x2 - x1) / columns)} across, {number((y2 - y1) / rows)} down"
        caption = (
            f"Second rounding: {x2 - x1} / {columns} and {y2 - y1} / {rows} cells make a bin, [{before}|suppressed]. "
            f"Rounded outwards it reads [{_sizes(self.columns)} across, {_sizes(self.rows)} down|read]. {self._shared}"
        )
        if self._beside:
            caption = f"Second rounding: {rows} × {columns} bins, and none of them has a cell on the map."
        marks = {"map": {"suppressed": [each for i, j in np.ndindex(rows, columns) for each in self._exact_bin(i, j)]}}
        return TraceStep(caption, marks, arithmetic=f"columns {_ranges(self.columns)};  rows {_ranges(self.rows)}")

    def _pooling(self) -> Iterator[TraceStep]:
        """A step a bin: before rounding and after on the map, its cells, its maximum."""
        for (i, j), step in zip(np.ndindex(*self.layer.bins), self.of_bins, strict=True):
            (left, right), (top, bottom) = self.columns[j], self.rows[i]
            reads, chosen = (self._here(cells.get("features", ())) for cells in (step.reads, step.chosen))
            on_map = {"suppressed": self._exact_bin(i, j), "read": [(left, top, right, bottom)] if reads else []}
            on_map["chosen"] = [(column, row, column + 1, row + 1) for *_, row, column in step.chosen.get("features", ())]
            yield TraceStep(
                f"Bin {i}, {j}{step.sentence.removeprefix('The bin')}",
                {"map": on_map, "cells": {"read": reads, "chosen": chosen}, "pooled": {"write": [(i, j)]}},
                {"pooled": {(i, j): next(iter(step.writes["output"].values()))}},
                keep={"cells": chosen},
                arithmetic=step.arithmetic,
            )

    def _backward(self) -> Iterator[TraceStep]:
        """0 everywhere, then each gradient to the cell of its maximum, one by one or at once."""
        flows = [(bin_, self._chosen(step)) for bin_, step in zip(np.ndindex(*self.layer.bins), self.of_bins, strict=True)]
        yield self._zeros()
        arrived: dict[Cell, list[float]] = {}
        for bin_, cell in flows:
            if cell:
                arrived.setdefault(cell, []).append(float(self.above[bin_]))
            if len(flows) <= MOST_SINGLE:
                yield self._flow(bin_, cell, arrived)
        yield self._sums(arrived)

    def _zeros(self) -> TraceStep:
        given = "The gradient of the loss is given" if self.gradient is not None else "Let the gradient of the loss be [1|read]"
        zeros = dict.fromkeys(np.ndindex(*self.back.shape), 0.0)
        marks = self._marked(list(np.ndindex(*self.layer.bins)))
        return TraceStep(
            f"Backward. {given} for each number of the output. All cells of the map start from [0|write].", marks, {"gradient": zeros}
        )

    def _flow(self, bin_: Cell, cell: Cell | None, arrived: dict[Cell, list[float]]) -> TraceStep:
        who = f"Bin {bin_[0]}, {bin_[1]}:"
        if cell is None:
            return TraceStep(f"{who} it had no cell, so its gradient flows nowhere.", self._marked([bin_]))
        terms, where = arrived[cell], place(self._on_map(cell))
        total = f"[{number(sum(terms))}|write]"
        caption = f"{who} its gradient, {total}, flows to where the maximum stood, {where}."
        if len(terms) > 1:
            caption = f"{who} its maximum, too, stood at {where}; there the gradients sum up to {total}."
        arithmetic = f"{listing(terms, ' + ')} = {number(sum(terms))}"
        marks = self._marked([bin_]) | {"cells": {"chosen": [cell]}, "gradient": {"write": [cell]}}
        terms_shown = {"gradient": {cell: number(terms[-1])}}
        return TraceStep(
            caption, marks, {"gradient": {cell: sum(terms)}}, arithmetic=arithmetic if len(terms) > 1 else "", terms=terms_shown
        )

    def _sums(self, arrived: dict[Cell, list[float]]) -> TraceStep:
        """The gradient as autograd has it: where one arrived, and where most did."""
        if not arrived:
            return TraceStep("The box has no cell on the map, so no gradient flows.")
        most, terms = max(arrived.items(), key=lambda flow: len(flow[1]))
        cells = _count(self.back.numel(), "cell")
        caption = f"Only where a maximum stood a gradient arrives, in {len(arrived)} of {cells}; all of the map beyond the box keeps 0."
        if len(terms) > 1:
            caption += f" From {len(terms)} bins at {place(self._on_map(most))}: {listing(terms, ' + ')} = [{number(sum(terms))}|chosen]."
        marks = self._marked(list(np.ndindex(*self.layer.bins))) | {"gradient": {"chosen": list(arrived)}}
        writes = {"gradient": {cell: float(self.back[cell]) for cell in arrived}}
        each = {"gradient": {cell: listing(flowed, " + ") for cell, flowed in arrived.items()}}
        return TraceStep(caption, marks, writes, terms=each)

    def _marked(self, bins: list[Cell]) -> dict:
        """Bins whose gradients are read."""
        return {"pooled" if self.gradient is None else "above": {"read": bins}}

    def _theirs(self) -> Callable[[], Tensor]:
        """What a student's function returned, as a function that returns it."""
        passed = {"features": self.layer.plane.clone(), "boxes": self.boxes.clone()}
        passed |= {"output_size": self.layer.bins, "spatial_scale": self.layer.scale}
        got = called(self.fn, passed, f"features {list(self.layer.plane.shape)} and boxes [1, 5]")

        def theirs():
            return got

        theirs.__name__ = getattr(self.fn, "__name__", "your function")
        return theirs

    @property
    def _outside(self) -> bool:
        """Whether the box, rounded, reaches beyond the map."""
        x1, y1, x2, y2 = self.read
        return x1 < 0 or y1 < 0 or y2 > self.layer.plane.shape[2] or x2 > self.layer.plane.shape[3]

    @property
    def _beside(self) -> bool:
        return not any(step.reads.get("features") for step in self.of_bins)

    @property
    def _shared(self) -> str:
        """Whether bins overlap."""
        overlap = any(one[1] > next_[0] for ends in (self.rows, self.columns) for one, next_ in itertools.pairwise(ends))
        return "Neighbours share cells." if overlap else "No two bins share a cell."

    def _exact_bin(self, i: int, j: int) -> list[Place]:
        """Where a bin lies on the map before it is rounded: one place, or none if it is beside the map."""
        (rows, columns), (x1, y1, x2, y2) = self.layer.bins, self.read
        width, height = (x2 - x1) / columns, (y2 - y1) / rows
        down, across = self.layer.plane.shape[2:]
        left, right = (min(max(x1 + k * width, 0), across) for k in (j, j + 1))
        top, bottom = (min(max(y1 + k * height, 0), down) for k in (i, i + 1))
        return [(left, top, right, bottom)] if left < right and top < bottom else []

    def _here(self, cells: Sequence[Index]) -> list[Cell]:
        """Cells of the map in the panel that shows those of the box."""
        return [(row - self.down.start, column - self.across.start) for *_, row, column in cells]

    def _on_map(self, cell: Cell) -> Cell:
        return cell[0] + self.down.start, cell[1] + self.across.start

    def _chosen(self, step: Step) -> Cell | None:
        return next(iter(self._here(step.chosen.get("features", ()))), None)


def _span(ends: list[list[int]], size: int) -> range:
    """The cells along a side that bins read; if there are none the nearest of the map."""
    first, last = min(start for start, _ in ends), max(end for _, end in ends)
    return range(first, last) if last > first else range(min(first, size - 1), min(first, size - 1) + 1)


def _named(what: str, start: int, end: int) -> str:
    """Cells in words, "columns 3 to 5"."""
    return f"{what} {number(start)}" if end == start + 1 else f"{what}s {number(start)} to {number(end - 1)}"


def _ranges(ends: list[list[int]]) -> str:
    """Of each bin the first and the last cell, "3–4, 5–6"."""
    words = ["none" if end <= start else str(start) if end == start + 1 else f"{start}–{end - 1}" for start, end in ends]
    return ", ".join(words)


def _sizes(ends: list[list[int]]) -> str:
    """How many cells bins read along a side, "2", "2 or 3", "0 to 3"."""
    low, high = min(sizes := [end - start for start, end in ends]), max(sizes)
    return str(low) if low == high else f"{low} or {high}" if high == low + 1 else f"{low} to {high}"


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _gradient(gradient, bins: tuple[int, int]) -> Tensor:
    gradient = as_tensor(gradient, name="gradient")
    if gradient.shape[-2:] != bins or gradient.numel() != bins[0] * bins[1]:
        raise ValueError(f"gradient has the shape {list(gradient.shape)}; it takes a number for each bin, {list(bins)}")
    if not torch.isfinite(gradient).all():
        raise ValueError("gradient has NaN or infinite values; a widget shows finite numbers only")
    return gradient.reshape(bins)
