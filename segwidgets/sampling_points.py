"""Where RoIAlign reads a region off a map: all its points, and of one of them the cells around it and their weights.

K. He, G. Gkioxari, P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 3 and figure 3. A part of the X-ray; for a box
that can be dragged, and bin by bin: `segwidgets.roi_align`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from torch import Tensor

from course.ops.roi import roi_points
from course.ops.step import number
from segwidgets.box_heads import Pooling
from segwidgets.box_on_map import squared
from segwidgets.boxes import Boxes, Place
from segwidgets.panels import Film, Grid, colours
from segwidgets.trace import Cell, TraceStep

BLANK, DARK = 236, 40  # grey levels: of a map that is not read yet, and of the points on it
SHEET = 240  # pixels along a side of the map as drawn, about; a point takes 3 × 3 of them, so that many leave the map to be seen
CHOSEN = 6.0  # half the side of the mark around a point, in those pixels


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

    def panels(self, width: float) -> list[tuple[str, Film | Grid]]:
        """The map around the region, and the weights of a point, each with the name of what leads to it."""
        (top, bottom), (left, right) = self._part
        part = painted(self.plane)[top:bottom, left:right]
        box = np.array(self._on_sheet(self._read))
        note = f"read in {self.pooling.output_size[0]} × {self.pooling.output_size[1]} bins"
        sheet = part.repeat(self._fine, 0).repeat(self._fine, 1)
        frames = [np.full_like(sheet, BLANK), self._dotted(sheet)]
        wide = width * min(1.0, part.shape[1] / part.shape[0])
        on_map = Boxes(box[None], None, measured=True)
        rows, columns = self._sides
        names = {"row_names": [str(row) for row in rows], "column_names": [str(column) for column in columns]}
        return [
            ("RoIAlign", Film("sampling", frames, f"level {self.level}, around it", note, wide, lossless=True, boxes=on_map)),
            ("", Grid("weights", np.zeros((len(rows), len(columns))), "weights", "of a point", empty=True, **names)),
        ]

    def step(self, region: str) -> TraceStep:
        """All points, and one of them in numbers; `region` is what is read."""
        cells, (y, x), (rows, columns) = self._weights, self.point, self._sides
        px, py = self._on_sheet((x + 0.5, y + 0.5))
        marks = {"write": [self._on_sheet(self._middle_bin)]}
        marks |= {"chosen": [(px - CHOSEN, py - CHOSEN, px + CHOSEN, py + CHOSEN)]} if self._on_map(self.point) else {}
        values = {cell: float(self.plane[cell]) for cell in cells}
        terms = " + ".join(f"{number(round(weight, 3))} × {_bracketed(values[cell])}" for cell, weight in cells.items())
        value = sum(weight * values[cell] for cell, weight in cells.items())
        (down, across), (height, width) = self.pooling.output_size, (len(self.ys[0]), len(self.xs[0]))
        return TraceStep(
            f"{region} is read from level {self.level}, {down} × {across} bins of {height} × {width} points. In the "
            f"[middle bin|write] the [point|chosen] at row {number(round(y, 2))}, column {number(round(x, 2))} is the mean of the cells "
            "around it, with weights that sum up to 1.",
            {"sampling": marks},
            {"weights": {(rows.index(row), columns.index(column)): round(weight, 3) for (row, column), weight in cells.items()}},
            arithmetic=f"{terms} = {number(value)}",
            shows={"sampling": 1},
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
        """Rows and columns of the cells around the point; two of both at the map's edge, too, so that no panel changes its size."""
        found = [sorted({cell[axis] for cell in self._weights}) for axis in (0, 1)]
        return tuple(list(range(*span)) for span in squared([(each[0], each[-1] + 1) for each in found], self.plane.shape, least=2))

    @property
    def _read(self) -> Place:
        """What is read, in cells: not aligned, it is half a cell off, and at least one cell wide and high."""
        x1, y1, x2, y2 = (side * self.scale for side in self.box.tolist())
        if self.pooling.aligned:
            return x1, y1, x2, y2
        return x1 + 0.5, y1 + 0.5, max(x2, x1 + 1) + 0.5, max(y2, y1 + 1) + 0.5

    @cached_property
    def _part(self) -> list[tuple[int, int]]:
        """Rows and columns of the map that are shown: the region's, with a cell around it, and as many of both."""
        x1, y1, x2, y2 = self._read
        spans = []
        for low, high, side in zip((y1, x1), (y2, x2), self.plane.shape, strict=True):
            first = min(max(0, math.floor(low) - 1), side - 1)
            spans.append((first, max(min(side, math.ceil(high) + 1), first + 1)))
        return squared(spans, self.plane.shape)

    @property
    def _middle_bin(self) -> Place:
        """The bin that the point is in, in cells."""
        x1, y1, x2, y2 = self._read
        (down, across), (high, wide) = self.pooling.output_size, (y2 - y1, x2 - x1)
        row, column = down // 2, across // 2
        return x1 + column * wide / across, y1 + row * high / down, x1 + (column + 1) * wide / across, y1 + (row + 1) * high / down

    @property
    def _fine(self) -> int:
        """Pixels along a side of a cell as drawn."""
        return max(1, round(SHEET / max(last - first for first, last in self._part)))

    def _on_sheet(self, place: Sequence[float]) -> tuple[float, ...]:
        """x, y or x1, y1, x2, y2 in cells, in pixels of the part that is shown."""
        (top, _), (left, _) = self._part
        return tuple((side - (left, top)[i % 2]) * self._fine for i, side in enumerate(place))

    def _dotted(self, sheet: np.ndarray) -> np.ndarray:
        """The part that is shown, with all points; those beside the map read nothing."""
        dotted = sheet.copy()
        for y, x in itertools.product(itertools.chain(*self.ys), itertools.chain(*self.xs)):
            if self._on_map((y, x)):
                column, row = (int(side) for side in self._on_sheet((x + 0.5, y + 0.5)))
                dotted[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = DARK
        return dotted

    def _on_map(self, point: tuple[float, float]) -> bool:
        return all(-0.5 <= place <= side - 0.5 for place, side in zip(point, self.plane.shape, strict=True))


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
