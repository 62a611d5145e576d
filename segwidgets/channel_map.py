"""A channel of a map, drawn on so many cells as can be told apart, each over its share of the photograph."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from course.ops.step import number
from segwidgets.panels import FieldBoxes, Grid
from segwidgets.sampling_points import look
from segwidgets.trace import Cell

MOST_SIDE = 48  # cells of a map that are drawn; of a larger one each shows several


class ChannelMap:
    """`plane [H, W]` over a photograph, shown with `shown` (height, width) pixels, of which `factor` are one of the picture as given."""

    def __init__(self, plane: Tensor, shown: tuple[int, int], factor: float):
        self.plane, self.shown, self.factor = plane, shown, factor
        self.values = avg_pool2d(plane[None], fit(plane), ceil_mode=True)[0].numpy()  # [rows, columns]

    def grid(self, id: str, title: str, note: str, width: float, limits: tuple[float, float] | None = None) -> Grid:
        """The panel, still empty; a wide map has the width, a high one less. The colours go up to the largest value, or have `limits`."""
        rows, columns = self.values.shape
        paint, limits = ("heat", limits) if limits else look(self.plane)
        return Grid(id, np.zeros((rows, columns)), title, note, paint, True, width * min(1.0, columns / rows), limits, self.field)

    @property
    def field(self) -> FieldBoxes:
        (height, width), (rows, columns), step = self.shown, self.plane.shape, fit(self.plane)
        down = (np.arange(math.ceil(rows / step) + 1) * step).clip(max=rows) * height / rows
        across = (np.arange(math.ceil(columns / step) + 1) * step).clip(max=columns) * width / columns
        x1, y1 = np.meshgrid(across[:-1], down[:-1])
        x2, y2 = np.meshgrid(across[1:], down[1:])
        return FieldBoxes("photograph", np.stack((x1, y1, x2, y2), -1), self.factor)

    @property
    def writes(self) -> dict[Cell, float]:
        return {cell: float(self.values[cell]) for cell in np.ndindex(*self.values.shape)}

    @property
    def told(self) -> str:
        """Between which numbers it lies, and what a cell is."""
        step = fit(self.plane)
        cells = f" Each cell is the mean of {step} × {step} places." if step > 1 else ""
        return f"from {number(self.plane.min())} to {number(self.plane.max())}.{cells}"


def fit(plane: Tensor) -> int:
    """How many places along a side of a map share a cell as drawn."""
    return math.ceil(max(plane.shape) / MOST_SIDE)


def loudest(maps: Tensor) -> int:
    """The channel of maps `[C, H, W]` that varies most, for its size; of maps of one place the largest. Of large maps some places count,
    evenly spread."""
    step = fit(maps[0])
    flat = maps[:, ::step, ::step].float().flatten(1)  # [C, places]
    varies = flat.std(1, correction=0) / flat.abs().mean(1).clamp(min=1e-6) if flat.shape[1] > 1 else flat.abs()[:, 0]
    return int(torch.argmax(varies))
