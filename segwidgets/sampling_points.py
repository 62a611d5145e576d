"""Where RoIAlign reads a region off a map: all its points, and of one of them the cells around it and their weights.

K. He, G. Gkioxari, P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 3 and figure 3. A part of the X-ray; for a box
that can be dragged, and bin by bin: `segwidgets.roi_align`.
"""

from __future__ import annotations

import itertools
import math
from functools import cached_property

import numpy as np
from torch import Tensor

from course.ops.roi import roi_points
from course.ops.step import number
from segwidgets.box_heads import Pooling
from segwidgets.boxes import Boxes, Place
from segwidgets.panels import Grid, Picture, colours
from segwidgets.trace import Cell, TraceStep

MOST_DOTS = 1024
DOT = 0.1  # half the side of a point, in cells


class SamplingPoints:
    """Of region number `row`, `box [4]`, on the map `plane [H, W]`. On a map the middle of cell i is drawn at i + ½.

    Args:
        box: x1, y1, x2, y2 in pixels of the picture as the network saw it.
        pooling: how it reads its regions.
    """

    def __init__(self, plane: Tensor, box: Tensor, row: int, pooling: Pooling):
        self.plane, self.box, self.pooling = plane, box, pooling
        self.level, self.scale = pooling.level[row], pooling.scale[row]
        points = roi_points(box[None].float(), pooling.output_size, self.scale, pooling.sampling_ratio, pooling.aligned)
        self.ys, self.xs = points.y[0].tolist(), points.x[0].tolist()  # [PH][SH], [PW][SW]
        self.point = tuple(axis[len(axis) // 2][0] for axis in (self.ys, self.xs))  # the first of the bin in the middle

    def panels(self, width: float) -> list[tuple[str, Picture | Grid]]:
        """The map around the region, and the weights of a point, each with the name of what leads to it."""
        (top, bottom), (left, right) = self._part
        part = painted(self.plane)[top:bottom, left:right]
        box = np.array(self._read) - (left, top, left, top)
        note = str(list(self.pooling.output_size))
        wide = width * min(1.0, part.shape[1] / part.shape[0])
        on_map = Boxes(box[None], None, measured=True)
        rows, columns = self._sides
        names = {"row_names": [str(row) for row in rows], "column_names": [str(column) for column in columns]}
        return [
            ("RoIAlign", Picture("sampling", part, f"RoIAlign, level {self.level}", note, width=wide, lossless=True, boxes=on_map)),
            ("", Grid("weights", np.zeros((len(rows), len(columns))), "weights", "of a point", empty=True, **names)),
        ]

    def step(self, region: str) -> TraceStep:
        """All points, and one of them in numbers; `region` is what is read."""
        cells, (y, x), (rows, columns) = self._weights, self.point, self._sides
        dots = [self._dot(point) for point in itertools.product(itertools.chain(*self.ys), itertools.chain(*self.xs))]
        marks = {"write": [dot for dot in dots if dot][:MOST_DOTS], "chosen": [dot for dot in (self._dot(self.point),) if dot]}
        values = {cell: float(self.plane[cell]) for cell in cells}
        terms = " + ".join(f"{number(round(weight, 3))} × {_bracketed(values[cell])}" for cell, weight in cells.items())
        value = sum(weight * values[cell] for cell, weight in cells.items())
        (down, across), (height, width) = self.pooling.output_size, (len(self.ys[0]), len(self.xs[0]))
        return TraceStep(
            f"{region} is read from level {self.level}, {down} × {across} bins of {height} × {width} points. The [point|chosen] at row "
            f"{number(round(y, 2))}, column {number(round(x, 2))} is the mean of the cells around it, with weights that sum up to 1.",
            {"sampling": marks},
            {"weights": {(rows.index(row), columns.index(column)): round(weight, 3) for (row, column), weight in cells.items()}},
            arithmetic=f"{terms} = {number(value)}",
            boxes={"sampling": {0: "read"}},
        )

    @cached_property
    def _weights(self) -> dict[Cell, float]:
        """Of the cells around the point; at the edge of the map those of a side are one."""
        sides = self.plane.shape
        inside = [min(max(place, 0.0), side - 1.0) for place, side in zip(self.point, sides, strict=True)]
        cells: dict[Cell, float] = {}
        for corner in np.ndindex(2, 2):
            cell = tuple(min(math.floor(place) + step, side - 1) for place, step, side in zip(inside, corner, sides, strict=True))
            weight = math.prod(abs(1 - step - (place - math.floor(place))) for place, step in zip(inside, corner, strict=True))
            cells[cell] = cells.get(cell, 0.0) + weight
        return cells

    @property
    def _sides(self) -> tuple[list[int], list[int]]:
        """Rows and columns of the cells around the point."""
        return tuple(sorted({cell[axis] for cell in self._weights}) for axis in (0, 1))

    @property
    def _read(self) -> Place:
        """What is read, in cells: not aligned, it is half a cell off, and at least one cell wide and high."""
        x1, y1, x2, y2 = (side * self.scale for side in self.box.tolist())
        if self.pooling.aligned:
            return x1, y1, x2, y2
        return x1 + 0.5, y1 + 0.5, max(x2, x1 + 1) + 0.5, max(y2, y1 + 1) + 0.5

    @cached_property
    def _part(self) -> list[tuple[int, int]]:
        """Rows and columns of the map that are shown: the region's, with a cell around it."""
        x1, y1, x2, y2 = self._read
        spans = []
        for low, high, side in zip((y1, x1), (y2, x2), self.plane.shape, strict=True):
            first = min(max(0, math.floor(low) - 1), side - 1)
            spans.append((first, max(min(side, math.ceil(high) + 1), first + 1)))
        return spans

    def _dot(self, point: tuple[float, float]) -> Place | None:
        """A point (row, column) as a small square on the part that is shown; None beside the map."""
        (y, x), (height, width), ((top, _), (left, _)) = point, self.plane.shape, self._part
        if not (-0.5 <= y <= height - 0.5 and -0.5 <= x <= width - 0.5):
            return None
        return x + 0.5 - DOT - left, y + 0.5 - DOT - top, x + 0.5 + DOT - left, y + 0.5 + DOT - top


def look(plane: Tensor) -> tuple[str, tuple[float, float]]:
    """Of a map `[H, W]`: its colours and their limits."""
    top = float(plane.abs().max()) or 1.0
    return ("signed", (-top, top)) if plane.min() < 0 else ("heat", (0.0, top))


def painted(plane: Tensor) -> np.ndarray:
    """A pixel a cell, `[H, W, 3]` uint8."""
    paint, (low, high) = look(plane)
    return colours(paint)[((plane - low) / (high - low) * 255).round().int().numpy()]


def _bracketed(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)
