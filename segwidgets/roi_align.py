"""`segwidgets.roi_align`: a box is read off the map without rounding, point by point, with RoI pooling of the same box beside it.

K. He, G. Gkioxari, P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 3 and figure 3. What rounding alone loses is
told by the paper's own control, RoIWarp: the mean of interpolated points, but over the box rounded to whole cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops import roi as operations
from course.ops.step import Step, listing, number
from segwidgets.box_on_map import Layer, Sheet, box_of, squared
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.inputs import check_keywords
from segwidgets.live import Choice, DragBox, Live, PickCell, Slider
from segwidgets.maps import MOST_NUMBERS
from segwidgets.panels import Arrow, FieldBoxes, Grid, Picture
from segwidgets.roles import ROLES
from segwidgets.students import PANEL, beside, called
from segwidgets.trace import Cell, Trace, TraceStep

MOST_SAMPLES = 2**14  # points in all
MOST_POINTS = 16  # of a bin that are looked up one after another; of more the weights of all are shown at once
MOST_DRAWN = 1024  # points on the map
MOST_SINGLE = 9  # bins that are filled one after another
MOST_RATIO = 4  # where the slider ends
DOT = 0.11  # half the side of a point, in cells
GRID = 6.0  # units: how wide and high the cells around the bin are together
LEAST = 3  # rows and columns of them
SIDES = ("left edge", "upper edge", "right edge", "lower edge")
GIVEN, READ, SNAPPED = range(3)  # the boxes on the photograph, by their numbers
ON_MAP, SNAPPED_ON_MAP = range(2)  # and those on the map, and in the enlarged part of it
HALVES = ("aligned", "not aligned")
LEGEND = [
    (name, ROLES[role].light) for name, role in (("box", "candidate"), ("what is read", "read"), ("what RoI pooling reads", "suppressed"))
]


def roi_align(
    features,
    image,
    box,
    output_size=3,
    spatial_scale: float | None = None,
    sampling_ratio: int = 2,
    aligned: bool = True,
    *,
    channel: int | None = None,
    bin: Cell | None = None,
    fn: Callable | None = None,
    **unknown,
) -> Live:
    """RoIAlign of one box and one channel, beside its RoI pooling: the points of a bin, the four cells around each and their weights, the
    mean, and what rounding changes. The box can be dragged, the bin clicked, the number of points set, and half a cell put off.

    Args:
        features: a network's map of the photograph, `[C, H, W]` or `[1, C, H, W]`.
        image: the photograph `[3, H, W]`, 0…1.
        box: four numbers, x1, y1, x2, y2 in its pixels, x1 < x2 and y1 < y2. It may reach beyond the photograph.
        output_size: bins, (PH, PW) or one integer, at most 14 along a side.
        spatial_scale: cells a pixel, 1 / stride; by default the power of 2 nearest to the map's size over the photograph's.
        sampling_ratio: points along a side of a bin; 0 or less for one a cell.
        aligned: whether the middle of cell i lies at i + ½.
        channel: which is shown; by default the one that stands out most in the box.
        bin: (row, column) of the bin that is explained first; by default the one with the largest value.
        fn: your own function with the arguments of `course.ops.roi.roi_align`; its numbers are shown beside, mistakes marked.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, roi_align)
    sheet, given = Sheet(image), _with_an_area(box_of(box))
    layer = Layer.of(features, sheet, given, output_size, spatial_scale, channel)
    ratio = max(0, arguments.whole(sampling_ratio, "sampling_ratio", -(2**31)))
    if not isinstance(aligned, bool):
        raise TypeError(f"aligned is {aligned!r}; it takes True or False")

    def compute(box: Place, bin: Cell, sampling_ratio: int, aligned: str) -> Trace:
        here = given if box == sheet.shown(given) else _with_an_area(box_of(sheet.box(box)))
        return _Aligning(sheet, layer, here, bin, sampling_ratio, aligned == HALVES[0], fn).trace()

    settings = [
        DragBox("box", panel="photograph", box=GIVEN, value=sheet.shown(given)),
        PickCell("bin", "output", *layer.bins, value=_largest(layer, given, ratio, aligned) if bin is None else bin),
        Slider("sampling_ratio", 0, max(MOST_RATIO, ratio), step=1, value=ratio, label="points along a side, 0: one a cell"),
        Choice("aligned", HALVES, HALVES[not aligned], label="half a cell"),
    ]
    return Live(compute, settings)


class _Aligning:
    """The animation of one box. On the map the middle of cell i is drawn at i + ½, so a point at p stands at p + ½."""

    def __init__(self, sheet: Sheet, layer: Layer, box: Tensor, bin: Cell, ratio: int, aligned: bool, fn: Callable | None):
        self.sheet, self.layer, self.box, self.bin, self.ratio, self.aligned, self.fn = sheet, layer, box, bin, ratio, aligned, fn
        plane, bins, scale = layer.plane, layer.bins, layer.scale
        self.boxes = torch.cat((box.new_zeros(1), box))[None].to(plane.dtype)  # [1, 5]
        self.exact = tuple((box * scale).tolist())  # in cells
        given = bins, scale, ratio, aligned
        self.ys, self.xs = (axis[0].tolist() for axis in self._points(given))  # [PH][SH], [PW][SW]
        self.output = operations.roi_align(plane, self.boxes, *given)[0, 0].float()  # [PH, PW]
        self.shifted = operations.roi_align(plane, self.boxes, bins, scale, ratio, not aligned)[0, 0].float()  # [PH, PW]
        self.looked_up, self.averaged = self._steps(given)
        self.pooled = operations.roi_pool(plane, self.boxes, bins, scale)[0, 0].float()  # [PH, PW]
        found = operations.roi_bins(self.boxes[:, 1:], tuple(plane.shape[2:]), bins, scale)
        x1, y1, x2, y2 = found.cells[0].tolist()
        self.snapped = (x1, y1, x2 + 1, y2 + 1)  # in cells: the last one belongs to the box
        self.pooled_cells = found.rows[0][bin[0]].tolist(), found.columns[0][bin[1]].tolist()  # (first, after the last) each
        snapped = torch.tensor([[0, *self.snapped]], dtype=plane.dtype)
        # As many points as here: with one a cell, rounding would change how many there are, too.
        self.warped = operations.roi_align(plane, snapped, bins, 1.0, len(self.ys[0]), True)[0, 0].float()  # [PH, PW]
        spans = squared([self._region(axis) for axis in (0, 1)], plane.shape[2:], least=LEAST)
        self.down, self.across = (range(*span) for span in spans)

    def trace(self) -> Trace:
        forward = [self._first(), self._projected(), self._half(), self._sampled(), *self._interpolated(), self._mean(), *self._others()]
        note, last = "[{}, {}]".format(*self.layer.bins), []
        panels = {
            "network": self._map(),
            "enlarge": self._enlarged(),
            "": self._cells("cells", "its cells", self._values()),
            "×": self._cells("weights", "weights", np.zeros((len(self.down), len(self.across)))),
            "sum": self._of_points(),
            "mean": Grid("output", self.output.numpy(), "RoIAlign", note, empty=True),
        }
        if self.fn is not None:
            theirs, forward, *last = beside(self._theirs(), {}, self.output, forward, "output")
            panels["yours"] = Grid(PANEL, theirs.numpy(), note=note, empty=True)
        panels["pooled"] = Grid("pooled", self.pooled.numpy(), "RoI pooling", note, empty=True)
        panels["rounding"] = Grid("rounding", (self.warped - self.output).numpy(), note=note, empty=True)
        lines = {"network", "enlarge", "sum", "mean"}
        arrows = [Arrow(text, line=text in lines) if text in {*lines, "×"} else None for text in panels]
        title = "RoIAlign to {}×{}, {}".format(*self.layer.bins, self.layer.title)
        steps = [*forward, self._snapped(), self._pooled_bin(), self._compared(), self._by_rounding(), *last]
        return Trace(title, panels=[self._photograph(), *panels.values()], arrows=arrows, steps=steps)

    # ---- panels ---------------------------------------------------------------------------------------------------------

    def _photograph(self) -> Picture:
        given = self.sheet.shown(self.box)
        boxes = Boxes([given, self._on_photograph(self._read), self._on_photograph(self.snapped)], role=["candidate", None, None])
        note = f"[3, {self.sheet.height}, {self.sheet.width}]"
        return Picture("photograph", self.sheet.pixels, note=note, width=9.0, boxes=boxes, legend=LEGEND)

    def _map(self) -> Picture:
        """A pixel a cell, so that boxes may lie between the cells."""
        boxes = Boxes([self.exact, self.snapped], role=["read", None])
        return Picture("map", self.layer.painted(), self.layer.title, self.layer.shape, width=9.0, lossless=True, boxes=boxes)

    def _enlarged(self) -> Picture:
        """The part of the map that the bin reads, and that RoI pooling would."""
        part = self.layer.painted()[self.down.start : self.down.stop, self.across.start : self.across.stop]
        boxes = Boxes([self._zoomed(self._bin_edges(self.bin)), self._zoomed(self._pooled_edges)], role=["read", None])
        title = "around bin {}, {}".format(*self.bin)
        wide = GRID * min(1.0, part.shape[1] / part.shape[0])  # nor higher than that
        return Picture("bin", part, title, str(list(part.shape[:2])), width=wide, lossless=True, boxes=boxes)

    def _cells(self, id: str, title: str, values: np.ndarray) -> Grid:
        """Something of each cell around the bin, as numbers if they can be read from the back row."""
        scale, sides = self.sheet.factor / self.layer.scale, values.shape
        places = np.array([(x, y, x + 1, y + 1) for y, x in itertools.product(self.down, self.across)]) * scale
        look = {"note": str(list(sides)), "width": GRID * min(1.0, sides[1] / sides[0]), "empty": id == "weights"}
        look["field"] = FieldBoxes("photograph", places, self.sheet.factor)
        if max(sides) <= MOST_NUMBERS:
            names = {"row_names": [str(row) for row in self.down], "column_names": [str(column) for column in self.across]}
            return Grid(id, values, title, **names, **look)
        limits = self.layer.limits if id == "cells" else (0.0, max(self._shares().values(), default=1.0))
        return Grid(id, values, title, paint="signed" if limits[0] < 0 else "heat", limits=limits, **look)

    def _of_points(self) -> Grid:
        """The interpolated values of the bin."""
        values = np.array([next(iter(step.writes["points"].values())) for step in self.looked_up])
        values = values.reshape(len(self.ys[0]), len(self.xs[0]))
        if max(values.shape) <= MOST_NUMBERS:
            return Grid("points", values, "its points", str(list(values.shape)), empty=True)
        low, high = self.layer.limits
        return Grid("points", values, "its points", str(list(values.shape)), "signed" if low < 0 else "heat", True, GRID, (low, high))

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _first(self) -> TraceStep:
        x1, y1, x2, y2 = self.box.tolist()
        rows, columns = self.layer.bins
        return TraceStep(
            f"The [box|candidate] is {number(x2 - x1)} × {number(y2 - y1)} pixels, on the map [{self._size(self.exact)}|read], each "
            f"{_many(1 / self.layer.scale, 'pixel')} wide. {rows} × {columns} numbers are to come out. Drag the box, or click a number.",
        )

    def _projected(self) -> TraceStep:
        left, top, right, bottom = map(number, self.exact)
        pairs = zip(self.box.tolist(), self.exact, strict=True)
        return TraceStep(
            f"RoIAlign takes the edges as they are: columns [{left}|read] to [{right}|read], rows [{top}|read] to [{bottom}|read]. "
            "Nothing is rounded.",
            arithmetic=",  ".join(f"{number(side)} × {number(self.layer.scale)} = {number(cells)}" for side, cells in pairs),
            boxes={"map": {ON_MAP: BoxLook("read", self._size(self.exact))}},
        )

    def _half(self) -> TraceStep:
        """Where half a pixel goes, and what it does to the numbers."""
        off = _many(0.5 / self.layer.scale, "pixel")
        differ = f"the numbers {{}} by up to [{number((self.output - self.shifted).abs().max())}|chosen]"
        caption = (
            "The middle of cell i lies at i + ½. Aligned, this half is taken off, so all is read where it lies. Left in, it would be read "
            f"half a cell, [{off}|wrong], too far to the right and down: {differ.format('would differ')}."
        )
        arithmetic = ",  ".join(f"{number(side)} − 0.5 = {number(side - 0.5)}" for side in self.exact)
        looks = {"map": {ON_MAP: BoxLook("read", self._size(self.exact))}}
        if not self.aligned:
            wide = "" if self._read[2:] == tuple(side + 0.5 for side in self.exact[2:]) else " It is also made at least one cell wide."
            caption = (
                "Not aligned: the middle of cell i is taken to lie at i, not at i + ½. So all is read half a cell, "
                f"[{off}|wrong], too far to the right and down, and {differ.format('differ')}.{wide}"
            )
            arithmetic = f"half a cell: 0.5 / {number(self.layer.scale)} = {off}"
            looks = {"photograph": {READ: BoxLook("read", f"off by {off}")}}
            looks["map"] = {ON_MAP: BoxLook("read", "off by half a cell", self._read)}
        return TraceStep(caption, arithmetic=arithmetic, boxes=looks)

    def _sampled(self) -> TraceStep:
        rows, columns = self.layer.bins
        (x1, y1, x2, y2), down, across = self._bin_edges((0, 0)), len(self.ys[0]), len(self.xs[0])
        every = _dots(itertools.product(itertools.chain(*self.ys), itertools.chain(*self.xs)), self.layer.plane.shape[2:])
        count = down * across * rows * columns
        several = f"lie {down} × {across} points, evenly spread" if down * across > 1 else "lies one point, in its middle"
        caption = f"A bin is [{number(x2 - x1)} × {number(y2 - y1)}|read] cells, a fraction. In each {several}: [{count}|write] in all."
        if not any(step.reads["features"] for step in self.looked_up):
            caption += " Those of this bin lie beside the map."
        bins = [self._bin_edges(each) for each in np.ndindex(rows, columns)]
        marks = {"map": {"candidate": self._clipped(bins), "write": every[:MOST_DRAWN], "read": self._clipped([self._bin_edges(self.bin)])}}
        return TraceStep(
            caption,
            marks | {"bin": {"write": self._zoomed_points()}},
            arithmetic=",  ".join(f"{number(side * n)} / {n} = {number(side)}" for side, n in ((x2 - x1, columns), (y2 - y1, rows))),
        )

    def _interpolated(self) -> Iterator[TraceStep]:
        """A step a point: the cells around it, and their weights."""
        before: list[Cell] = []
        size = len(self.ys[0]), len(self.xs[0])
        for (s, t), step in zip(np.ndindex(*size), self.looked_up if len(self.looked_up) <= MOST_POINTS else (), strict=False):
            weights = self._weights(step)
            (value,) = step.writes["points"].values()
            blank = dict.fromkeys(self._every() if not s and not t else before, 0.0)
            read = list(weights)
            marks = {"cells": {"read": read}, "weights": {"read": read}, "points": {"write": [(s, t)]}, "map": self._marked(step)}
            marks["bin"] = {
                "candidate": [self._zoomed(self._square(cell)) for cell in read],
                "write": self._zoomed_points(but=(s, t)),
                "chosen": self._zoomed_points(only=(s, t)),
            }
            writes = {"weights": blank | {cell: round(weight, 2) for cell, weight in weights.items()}, "points": {(s, t): value}}
            yield TraceStep(step.sentence, marks, writes, arithmetic=step.arithmetic)
            before = read

    def _mean(self) -> TraceStep:
        """Of the points of the bin; and how much each cell counts in it."""
        shares = self._shares()
        points = list(np.ndindex(len(self.ys[0]), len(self.xs[0])))
        writes = {"weights": dict.fromkeys(self._every(), 0.0) | {cell: round(share, 3) for cell, share in shares.items()}}
        writes["output"] = {self.bin: float(self.output[self.bin])}
        if len(self.looked_up) > MOST_POINTS:
            writes["points"] = {cell: float(*step.writes["points"].values()) for cell, step in zip(points, self.looked_up, strict=True)}
        counted = f" {_many(len(shares), 'cell')} {'counts' if len(shares) == 1 else 'count'} in it, with the weights shown."
        marks = {"cells": {"read": list(shares)}, "points": {"read": points}, "output": {"write": [self.bin]}}
        marks["bin"] = {"write": self._zoomed_points()}
        marks["map"] = {"read": self._clipped([self._bin_edges(self.bin)])}
        return TraceStep(self.averaged.sentence + (counted if shares else ""), marks, writes, arithmetic=self.averaged.arithmetic)

    def _others(self) -> list[TraceStep]:
        """The other bins, one after another, or all at once."""
        bins = [cell for cell in np.ndindex(*self.layer.bins) if cell != self.bin]
        if len(bins) >= MOST_SINGLE:
            writes = {"output": {cell: float(self.output[cell]) for cell in bins}}
            marks = {"output": {"write": bins}, "map": {"candidate": self._clipped([self._bin_edges(cell) for cell in bins])}}
            return [TraceStep(f"So does each of the other {len(bins)} bins.", marks, writes)]
        points = len(self.looked_up)
        mean = f"the mean of its {points} points" if points > 1 else "its one point"
        return [
            TraceStep(
                f"Bin {cell[0]}, {cell[1]}: {mean} is [{number(self.output[cell])}|write].",
                {"output": {"write": [cell]}, "map": {"read": self._clipped([self._bin_edges(cell)]), "write": self._dots_of(cell)}},
                {"output": {cell: float(self.output[cell])}},
            )
            for cell in bins
        ]

    def _snapped(self) -> TraceStep:
        """What RoI pooling makes of the box, and by how much the edge that moves most is off."""
        (x1, y1, x2, y2), (left, top, right, bottom) = self.snapped, self.exact
        moved = [abs(after - before) for after, before in zip(self.snapped, self.exact, strict=True)]
        off = max(moved)
        caption = (
            f"RoI pooling of the same box: of [{number(right - left)} × {number(bottom - top)}|read] cells it makes "
            f"[{x2 - x1} × {y2 - y1}|suppressed]. "
        )
        pixels = _many(off / self.layer.scale, "pixel")
        caption += f"The {SIDES[moved.index(off)]} is off by {_many(off, 'cell')}, [{pixels}|wrong] of the picture."
        sides = zip(self.exact, (x1, y1, x2 - 1, y2 - 1), strict=True)
        width, height = (number(cells / self.layer.scale) for cells in (x2 - x1, y2 - y1))
        looks = {"photograph": {SNAPPED: BoxLook("suppressed", f"{width} × {height} pixels")}}
        looks["map"] = {ON_MAP: BoxLook("read", place=self._read), SNAPPED_ON_MAP: BoxLook("suppressed", self._size(self.snapped))}
        arithmetic = ",  ".join(f"{number(side)} → {number(cell)}" for side, cell in sides) + ";  the last cell belongs to the box"
        return TraceStep(caption, arithmetic=arithmetic, boxes=looks)

    def _pooled_bin(self) -> TraceStep:
        """The same bin, rounded a second time, and its maximum."""
        (top, bottom), (left, right) = self.pooled_cells
        name = "Bin {}, {} by RoI pooling".format(*self.bin)
        pooled = {"pooled": {self.bin: float(self.pooled[self.bin])}}
        if top >= bottom or left >= right:
            return TraceStep(f"{name} has no cell on the map: [0|write].", {"pooled": {"write": [self.bin]}}, pooled)
        cells = [self._here(cell) for cell in itertools.product(range(top, bottom), range(left, right))]
        values = self.layer.plane[0, 0, top:bottom, left:right].flatten()  # [h·w]
        best = int(values.argmax())
        x1, y1, x2, y2 = self._bin_edges(self.bin)
        row, column = cells[best][0] + self.down.start, cells[best][1] + self.across.start
        caption = (
            f"{name}: [{right - left} × {bottom - top}|suppressed] cells for [{number(x2 - x1)} × {number(y2 - y1)}|read], and of them the "
            f"largest, [{number(values[best])}|chosen], at row {row}, column {column}."
        )
        square = self._square(cells[best])
        marks = {
            "cells": {"read": cells, "chosen": [cells[best]]},
            "pooled": {"write": [self.bin]},
            "bin": {"chosen": [self._zoomed(square)]},
        }
        marks["map"] = {"suppressed": [self._pooled_edges], "read": self._clipped([(x1, y1, x2, y2)])}
        arithmetic = f"max({listing(values.tolist())}) = {number(values[best])}"
        return TraceStep(caption, marks, pooled, arithmetic=arithmetic, boxes={"bin": {SNAPPED_ON_MAP: "suppressed"}})

    def _compared(self) -> TraceStep:
        bins = list(np.ndindex(*self.layer.bins))
        more, count = int((self.pooled > self.output).sum()), len(bins)
        which = f" in [{more}|write] of {count}" if count > 1 else ""
        return TraceStep(
            f"All bins: RoI pooling gives the maximum, RoIAlign the mean. RoI pooling's "
            f"is {'larger' if more or count > 1 else 'not larger'}{which}, on average by "
            f"{number((self.pooled - self.output).mean())}. Part of that is the maximum, part the rounding.",
            {"pooled": {"write": bins}, "output": {"read": bins}},
            {"pooled": {cell: float(self.pooled[cell]) for cell in bins}},
        )

    def _by_rounding(self) -> TraceStep:
        """RoIWarp against RoIAlign: both are means of as many points."""
        change = self.warped - self.output  # [PH, PW]
        worst = divmod(int(change.abs().argmax()), self.layer.bins[1])
        bins = list(np.ndindex(*self.layer.bins))
        caption = (
            "The rounding of the box alone: the same mean, but over the whole cells that RoI pooling takes. It differs by up to "
            f"[{number(change[worst].abs())}|chosen], in bin {worst[0]}, {worst[1]}. "
        )
        caption += f"RoIAlign's numbers go from {number(self.output.min())} to {number(self.output.max())}."
        return TraceStep(
            caption,
            {"rounding": {"chosen": [worst]}, "output": {"read": [worst]}},
            {"rounding": {cell: float(change[cell]) for cell in bins}},
            arithmetic=f"{number(self.warped[worst])} − {_in_brackets(self.output[worst])} = {number(change[worst])}",
        )

    # ---- what they share ------------------------------------------------------------------------------------------------

    def _points(self, given: tuple) -> operations.Points:
        points = operations.roi_points(self.boxes[:, 1:], *given)
        (down, across), count = (points.y.shape[2], points.x.shape[2]), points.y.numel() * points.x.numel()
        if count > MOST_SAMPLES:
            raise ValueError(
                f"the box takes {down} × {across} points a bin, {count} in all, and {MOST_SAMPLES} can be shown: make it smaller, or give "
                "a smaller sampling_ratio from 1 on"
            )
        return points

    def _steps(self, given: tuple) -> tuple[list[Step], Step]:
        """Those of the chosen bin: one for each of its points, and that of their mean."""
        each = len(self.ys[0]) * len(self.xs[0]) + 1
        first = (self.bin[0] * self.layer.bins[1] + self.bin[1]) * each
        steps = operations.roi_align_steps(self.layer.plane, self.boxes, *given)
        *looked_up, averaged = itertools.islice(steps, first, first + each)
        return looked_up, averaged

    @property
    def _read(self) -> Place:
        """The box as it is read, in cells: not aligned it lies half a cell off and is at least one cell wide and high."""
        x1, y1, x2, y2 = self.exact
        if self.aligned:
            return self.exact
        return x1 + 0.5, y1 + 0.5, max(x2, x1 + 1) + 0.5, max(y2, y1 + 1) + 0.5

    def _bin_edges(self, bin: Cell) -> Place:
        (rows, columns), (x1, y1, x2, y2), (i, j) = self.layer.bins, self._read, bin
        width, height = (x2 - x1) / columns, (y2 - y1) / rows
        return x1 + j * width, y1 + i * height, x1 + (j + 1) * width, y1 + (i + 1) * height

    @property
    def _pooled_edges(self) -> Place:
        (top, bottom), (left, right) = self.pooled_cells
        return left, top, max(left, right), max(top, bottom)

    def _region(self, axis: int) -> tuple[int, int]:
        """The rows or columns, (first, after the last), that the bin touches, its points read, or RoI pooling reads; at least one."""
        size = self.layer.plane.shape[2 + axis]
        edges = self._bin_edges(self.bin)[1 - axis :: 2]
        read = [cell[2 + axis] for step in self.looked_up for cell in step.reads["features"]]
        first, last = self.pooled_cells[axis]
        first = min([math.floor(edges[0]), *read, *([first] if first < last else [])])
        last = max([math.ceil(edges[1]), *(1 + cell for cell in read), *([last] if first < last else [])])
        first, last = min(max(first, 0), size - 1), min(max(last, 1), size)
        return first, max(last, first + 1)

    def _values(self) -> np.ndarray:
        return self.layer.plane[0, 0, self.down.start : self.down.stop, self.across.start : self.across.stop].float().numpy()

    def _weights(self, step: Step) -> dict[Cell, float]:
        """Cell of the enlarged part → its weight in one point, from the point's place."""
        ((*_, i, j, s, t),) = step.writes["points"]
        at, size = (self.ys[i][s], self.xs[j][t]), self.layer.plane.shape[2:]
        inside = [min(max(place, 0.0), side - 1.0) for place, side in zip(at, size, strict=True)]
        return {
            self._here(cell): math.prod(1 - abs(place - index) for place, index in zip(inside, cell[-2:], strict=True))
            for cell in step.reads["features"]
        }

    def _shares(self) -> dict[Cell, float]:
        """Cell → its weight in the bin; all of them sum to 1 if no point lies outside."""
        shares: dict[Cell, float] = {}
        for step in self.looked_up:
            for cell, weight in self._weights(step).items():
                shares[cell] = shares.get(cell, 0.0) + weight / len(self.looked_up)
        return shares

    def _here(self, cell) -> Cell:
        """A cell of the map in the enlarged part."""
        return cell[-2] - self.down.start, cell[-1] - self.across.start

    def _every(self) -> list[Cell]:
        return list(np.ndindex(len(self.down), len(self.across)))

    def _square(self, cell: Cell) -> Place:
        """A cell of the enlarged part, where it lies on the map."""
        row, column = cell[0] + self.down.start, cell[1] + self.across.start
        return column, row, column + 1, row + 1

    def _zoomed(self, place: Place) -> Place:
        x1, y1, x2, y2 = place
        left, top = self.across.start, self.down.start
        return x1 - left, y1 - top, x2 - left, y2 - top

    def _zoomed_points(self, only: Cell | None = None, but: Cell | None = None) -> list[Place]:
        """Points of the bin in the enlarged part: all, one, or all but one."""
        (i, j), places = self.bin, []
        for s, t in np.ndindex(len(self.ys[0]), len(self.xs[0])):
            if (only is None or (s, t) == only) and (s, t) != but:
                places += _dots([(self.ys[i][s], self.xs[j][t])], self.layer.plane.shape[2:])
        return [self._zoomed(place) for place in places]

    def _dots_of(self, bin: Cell) -> list[Place]:
        return _dots(itertools.product(self.ys[bin[0]], self.xs[bin[1]]), self.layer.plane.shape[2:])[:MOST_DRAWN]

    def _marked(self, step: Step) -> dict[str, list[Place]]:
        """On the map: the bin and one of its points."""
        ((*_, i, j, s, t),) = step.writes["points"]
        point = _dots([(self.ys[i][s], self.xs[j][t])], self.layer.plane.shape[2:])
        return {"read": self._clipped([self._bin_edges(self.bin)]), "chosen": point}

    def _clipped(self, places: list[Place]) -> list[Place]:
        """What of them lies on the map."""
        height, width = self.layer.plane.shape[2:]
        cut = [(max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)) for x1, y1, x2, y2 in places]
        return [place for place in cut if place[0] < place[2] and place[1] < place[3]]

    def _on_photograph(self, place: Place) -> Place:
        return tuple(side / self.layer.scale * self.sheet.factor for side in place)

    @staticmethod
    def _size(place: Place) -> str:
        return f"{number(place[2] - place[0])} × {number(place[3] - place[1])} cells"

    def _theirs(self) -> Callable[[], Tensor]:
        """What a student's function returned, as a function that returns it."""
        passed = {"features": self.layer.plane.clone(), "boxes": self.boxes.clone(), "output_size": self.layer.bins}
        passed |= {"spatial_scale": self.layer.scale, "sampling_ratio": self.ratio, "aligned": self.aligned}
        got = called(self.fn, passed, f"features {list(self.layer.plane.shape)} and boxes [1, 5]")

        def theirs():
            return got

        theirs.__name__ = getattr(self.fn, "__name__", "your function")
        return theirs


def _largest(layer: Layer, box: Tensor, ratio: int, aligned: bool) -> Cell:
    """The bin with the largest value."""
    boxes = torch.cat((box.new_zeros(1), box))[None].to(layer.plane.dtype)  # [1, 5]
    output = operations.roi_align(layer.plane, boxes, layer.bins, layer.scale, ratio, aligned)[0, 0]  # [PH, PW]
    return divmod(int(output.argmax()), layer.bins[1])


def _dots(points, size) -> list[Place]:
    """Points (row, column) as small squares on the map, those beside it left out."""
    height, width = size
    inside = [(y + 0.5, x + 0.5) for y, x in points if -0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5]
    return [(max(x - DOT, 0), max(y - DOT, 0), min(x + DOT, width), min(y + DOT, height)) for y, x in inside]


def _with_an_area(box: Tensor) -> Tensor:
    if (box[2:] <= box[:2]).any():
        raise ValueError(
            f"box is {listing(box.tolist())}, without width or height; it takes x1 < x2 and y1 < y2, or there is nothing to divide"
        )
    return box


def _many(value: float, what: str) -> str:
    """ "1 cell", "1.5 cells"."""
    return f"{number(value)} {what}" if number(value) == "1" else f"{number(value)} {what}s"


def _in_brackets(value: float | Tensor) -> str:
    return f"({number(value)})" if value < 0 else number(value)
