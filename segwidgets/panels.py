"""The panels of a Trace: a grid of numbers or a heat map, a picture with boxes, bars, a formula.

A panel says what is drawn, never how: `static/panel.js` draws it in the browser and `still.py` for the still.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

HEAT_UNITS = 9.0  # width of a heat map or picture, counted in cells of a grid of numbers


@dataclass(frozen=True)
class Arrow:
    """The operation between two panels, "max pool 2×2"; without a line it is a sign, as in "input × kernel"."""

    text: str
    line: bool = True


@dataclass(frozen=True)
class Field:
    """Where a cell of a grid looks in a picture: cell (row, column) is centred on `offset + stride · index` and sees `size`
    around it, all in pixels of the picture as shown. `pixels` is the size in pixels of the picture as given."""

    picture: str
    size: float
    stride: float
    offset: float
    pixels: float


@dataclass(frozen=True)
class Grid:
    """A matrix `values [H, W]`, drawn as numbers or, with paint="heat" or "signed", as colours.

    Args:
        id: the name by which steps call it, and its title unless `title` is given.
        note: stands beside the title: its shape, `[1, 1, 4, 4]`.
        empty: starts blank and is filled by the steps' writes.
        width: in cells of a number grid; heat maps of one trace should have widths in proportion to their columns.
        limits: (low, high) of the colours; by default those of the values.
        field: where its cells look in a picture of the same trace.
    """

    id: str
    values: np.ndarray
    title: str = ""
    note: str = ""
    paint: str = "numbers"
    empty: bool = False
    width: float | None = None
    limits: tuple[float, float] | None = None
    field: Field | None = None

    def __post_init__(self):
        values = np.array(self.values, dtype="<f4", order="C")  # a copy: what was shown stays, whatever happens to the tensor
        if values.ndim != 2 or values.size == 0:
            raise ValueError(f"the panel {self.id!r} needs a matrix with at least one cell, got the shape {list(values.shape)}")
        if not np.isfinite(values).all():
            raise ValueError(f"the panel {self.id!r} has NaN or infinite values; only finite numbers can be shown")
        if self.paint not in ("numbers", "heat", "signed"):
            raise ValueError(f"paint is 'numbers', 'heat' or 'signed', got {self.paint!r}")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "title", self.title or self.id)
        if self.width is None:
            object.__setattr__(self, "width", float(values.shape[1]) if self.paint == "numbers" else HEAT_UNITS)
        if self.limits is None:
            high = float(np.abs(values).max())
            low_high = (-high, high) if self.paint == "signed" else (float(values.min()), float(values.max()))
            object.__setattr__(self, "limits", low_high)

    @property
    def rows(self) -> int:
        return self.values.shape[0]

    @property
    def columns(self) -> int:
        return self.values.shape[1]

    @property
    def exact(self) -> bool:
        """True for numbers made by hand, with at most three decimals: the same on every machine."""
        thousands = self.values.astype(np.float64) * 1000
        return bool((np.abs(thousands - np.round(thousands)) < 1e-3 * np.maximum(1, np.abs(self.values))).all())

    def content(self) -> list:
        """What the digest of a trace takes from this panel."""
        shown = "measured" if not self.exact else np.round(self.values.astype(np.float64), 3).tolist()
        values = "empty" if self.empty else shown  # its numbers are in the steps that write them
        return ["grid", self.id, self.title, self.note, self.paint, self.empty, list(self.values.shape), values]

    def encode(self, buffers: list[bytes]) -> dict:
        buffers.append(self.values.tobytes())
        encoded = {
            "kind": "grid",
            "id": self.id,
            "title": self.title,
            "note": self.note,
            "paint": self.paint,
            "empty": self.empty,
            "rows": self.rows,
            "columns": self.columns,
            "width": self.width,
            "values": len(buffers) - 1,
        }
        if self.paint != "numbers":
            encoded["limits"] = list(self.limits)
            buffers.append(colours(self.paint).tobytes())
            encoded["colours"] = len(buffers) - 1
        if self.field:
            encoded["field"] = vars(self.field)
        return encoded


@dataclass(frozen=True)
class Picture:
    """A picture `pixels [H, W, 3]` uint8, or with None an empty sheet of `size` (height, width), on which steps mark boxes."""

    id: str
    pixels: np.ndarray | None
    title: str = ""
    note: str = ""
    size: tuple[int, int] | None = None
    width: float = HEAT_UNITS

    def __post_init__(self):
        object.__setattr__(self, "title", self.title or self.id)
        if self.pixels is not None:
            object.__setattr__(self, "size", self.pixels.shape[:2])
        if self.size is None:
            raise ValueError(f"the panel {self.id!r} needs pixels or a size")

    @property
    def rows(self) -> int:
        return self.size[0]

    @property
    def columns(self) -> int:
        return self.size[1]

    def content(self) -> list:
        # Decoders differ by a level or two between versions; the shape is what the animation depends on.
        return ["picture", self.id, self.title, self.note, list(self.size)]

    def encode(self, buffers: list[bytes]) -> dict:
        encoded = {"kind": "picture", "id": self.id, "title": self.title, "note": self.note, "width": self.width}
        encoded |= {"rows": self.rows, "columns": self.columns}
        if self.pixels is not None:
            buffers.append(_jpeg(self.pixels))
            encoded["image"] = len(buffers) - 1
        return encoded


@dataclass(frozen=True)
class Bars:
    """A bar for each of `labels`, from `values [N]`; a write to cell (i, 0) sets bar i."""

    id: str
    values: np.ndarray
    labels: Sequence[str]
    title: str = ""
    note: str = ""
    empty: bool = False
    width: float = 6.0

    def __post_init__(self):
        values = np.asarray(self.values, dtype="<f4").reshape(-1, 1)
        if len(values) != len(self.labels) or not len(values) or not np.isfinite(values).all():
            raise ValueError(f"the panel {self.id!r} needs a finite value for each of its {len(self.labels)} labels")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "title", self.title or self.id)

    rows = property(lambda self: len(self.values))
    columns = 1

    def content(self) -> list:
        return ["bars", self.id, self.title, self.note, self.empty, list(self.labels)]

    def encode(self, buffers: list[bytes]) -> dict:
        buffers.append(self.values.tobytes())
        encoded = {"kind": "bars", "id": self.id, "title": self.title, "note": self.note, "width": self.width}
        encoded |= {"rows": self.rows, "columns": 1, "labels": list(self.labels), "empty": self.empty}
        return encoded | {"values": len(buffers) - 1}


@dataclass(frozen=True)
class Formula:
    """Lines of plain text that stay on the screen, one under the other."""

    id: str
    lines: Sequence[str]
    title: str = ""
    note: str = ""
    width: float = 6.0

    rows = columns = 0

    def __post_init__(self):
        object.__setattr__(self, "title", self.title or self.id)

    def content(self) -> list:
        return ["formula", self.id, self.title, self.note, list(self.lines)]

    def encode(self, buffers: list[bytes]) -> dict:
        encoded = {"kind": "formula", "id": self.id, "title": self.title, "note": self.note, "width": self.width}
        return encoded | {"lines": list(self.lines), "rows": 0, "columns": 0}


Panel = Grid | Picture | Bars | Formula


def colours(paint: str) -> np.ndarray:
    """256 colours `[256, 3]` uint8: viridis for "heat"; blue, white, vermilion for "signed"."""
    if paint == "heat":
        from matplotlib import colormaps

        return (colormaps["viridis"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    t = np.linspace(-1, 1, 256)[:, None]
    white, blue, vermilion = np.array([255, 255, 255]), np.array([0, 114, 178]), np.array([213, 94, 0])
    return np.where(t < 0, white + (blue - white) * -t, white + (vermilion - white) * t).round().astype(np.uint8)


def _jpeg(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=88)
    return file.getvalue()
