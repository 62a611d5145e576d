"""Panels for matrices and the photograph that they came from: small ones as numbers, feature maps as colours.

What several animations of feature maps share.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from segwidgets.inputs import pixels, shrunk
from segwidgets.panels import HEAT_UNITS, Field, Grid, Picture

MOST_NUMBERS = 12  # rows or columns that can still be read as numbers from the back row


class Maps:
    """Makes the grids of one trace look alike: one choice of numbers or colours, one size of cell, one range of colours.

    Args:
        planes: all the matrices `[H, W]` that the trace will show.
        image: the photograph `[3, H, W]` that they were computed from, or None.
        field: (size, stride, offset) in pixels: how much of the photograph a cell of the first plane sees, how far apart cells
            look, and where the first one is centred. By default each cell stands for its share of the photograph.
    """

    def __init__(self, *planes: Tensor, image=None, field=None):
        self.rows, self.columns = planes[0].shape
        self.largest = max(plane.shape[1] for plane in planes)
        numbers = all(max(plane.shape) <= MOST_NUMBERS for plane in planes)
        values = torch.cat([plane.flatten() for plane in planes])
        self.paint = "numbers" if numbers else "signed" if values.min() < 0 else "heat"
        top = float(values.abs().max())
        self.limits = (-top if self.paint == "signed" else min(0.0, float(values.min())), top)
        if image is None and field is not None:
            raise ValueError("field says where cells look in a photograph: pass image= too")
        self.picture, self.field = (None, None) if image is None else self._photograph(image, field)

    def grid(self, id: str, plane: Tensor, note: str, *, title: str = "", empty: bool = False) -> Grid:
        """`plane [H, W]` as a panel; its cells look at the photograph, if there is one and the plane is the first's size."""
        width = None if self.paint == "numbers" else HEAT_UNITS * plane.shape[1] / self.largest
        limits = None if self.paint == "numbers" else self.limits
        field = self._field_of(plane) if self.field else None
        return Grid(id, plane.numpy(), title, note, self.paint, empty, width, limits, field)

    def _field_of(self, plane: Tensor) -> Field | None:
        """Where the cells of a smaller or larger plane of the same picture look."""
        ratio = self.columns / plane.shape[1]
        stride = self.field.stride * ratio
        offset = self.field.offset + (stride - self.field.stride) / 2
        size = self.field.size + stride - self.field.stride
        return Field(self.field.picture, size, stride, offset, size * self.field.pixels / self.field.size)

    def _photograph(self, image, field) -> tuple[Picture, Field]:
        picture = pixels(image)
        height, width = picture.shape[:2]
        small, factor = shrunk(picture)
        if field is None:
            stride = width / self.columns
            size, offset = stride, stride / 2
        else:
            size, stride, offset = _three_numbers(field)
        panel = Picture("photograph", small, note=f"[3, {height}, {width}]")
        return panel, Field("photograph", size * factor, stride * factor, offset * factor, size)


def _three_numbers(field) -> tuple[float, float, float]:
    try:
        size, stride, offset = (float(part) for part in field)
    except (TypeError, ValueError):
        size = stride = offset = math.nan
    if not (math.isfinite(offset) and 0 < size < math.inf and 0 < stride < math.inf):
        raise ValueError(f"field is {field!r}; it takes (size, stride, offset) in pixels, the first two above 0")
    return size, stride, offset


def map_title(shape: str, channel: int, name: str = "input") -> str:
    """What a panel is called: "input", or of several channels "features, channel 18"."""
    sizes = shape.strip("[]").split(", ")
    return f"features, channel {channel}" if len(sizes) > 2 and sizes[-3] != "1" else name


def shape_like(result: Tensor, shape: str) -> str:
    """The shape of a plane's result, with the leading sizes of the tensor it came from: "[1, 1, 2, 2]"."""
    leading = shape.strip("[]").split(", ")[:-2]
    return f"[{', '.join([*leading, *map(str, result.shape)])}]"


def size_text(value) -> str:
    """A size in words, "2×2", of a number or (rows, columns)."""
    rows, columns = value if isinstance(value, (tuple, list)) else (value, value)
    return f"{rows}×{columns}"
