"""The panels of a Trace: a grid of numbers or a heat map, bars, curves, a formula; pictures and films come
from `pictures.py`, boxes on them from `boxes.py`, regions that grow from `segmentation.py`.

A panel says what is drawn, never how: `static/panel.js` draws it in the browser and `still.py` for the still.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segwidgets.boxes import Boxes, BoxLook
from segwidgets.pictures import HEAT_UNITS, Film, Frame, Picture
from segwidgets.roles import ROLES
from segwidgets.segmentation import Segmentation

__all__ = [
    "HEAT_UNITS",
    "Arrow",
    "Bars",
    "BoxLook",
    "Boxes",
    "Curves",
    "Field",
    "FieldBoxes",
    "Film",
    "Formula",
    "Frame",
    "Grid",
    "Panel",
    "Picture",
    "Segmentation",
    "colours",
]


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
class FieldBoxes:
    """Where each cell of a grid looks in a picture or film: `boxes [rows, columns, 4]`, (x1, y1, x2, y2) in its pixels as shown.
    For cells whose fields follow no simple rule; `scale` shown pixels are one of the picture as given.

    Under the pointer a cell says what `word` tells and how large its box is, "sees 9 × 6 pixels"; or what `texts` has for it, a text for
    each cell, row by row.
    """

    picture: str
    boxes: np.ndarray
    scale: float = 1.0
    word: str = "sees"
    texts: Sequence[str] = ()


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
        film: a film of the same trace, which shows another frame while the pointer is on a cell: 1 + row · columns + column, or
            what `film_frames` says.
        film_frames: cell (row, column) → frame; over the other cells the film stays as it is.
        row_names, column_names: what stands at the edges of a grid of numbers; by default rows and columns are counted from 0.
    """

    id: str
    values: np.ndarray
    title: str = ""
    note: str = ""
    paint: str = "numbers"
    empty: bool = False
    width: float | None = None
    limits: tuple[float, float] | None = None
    field: Field | FieldBoxes | None = None
    film: str | None = None
    film_frames: Mapping[tuple[int, int], int] | None = None
    row_names: Sequence[str] = ()
    column_names: Sequence[str] = ()

    def __post_init__(self):
        values = np.array(self.values, dtype="<f4", order="C")  # a copy: what was shown stays, whatever happens to the tensor
        if values.ndim != 2 or values.size == 0:
            raise ValueError(f"the panel {self.id!r} needs a matrix with at least one cell, got the shape {list(values.shape)}")
        if not np.isfinite(values).all():
            raise ValueError(f"the panel {self.id!r} has NaN or infinite values; only finite numbers can be shown")
        if self.paint not in ("numbers", "heat", "signed"):
            raise ValueError(f"paint is 'numbers', 'heat' or 'signed', got {self.paint!r}")
        if isinstance(self.field, FieldBoxes) and len(self.field.texts) not in (0, values.size):
            raise ValueError(f"the field of {self.id!r} has {len(self.field.texts)} texts; it takes one for each of {values.size} cells")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "title", self.title or self.id)
        if self.width is None:
            object.__setattr__(self, "width", float(values.shape[1]) if self.paint == "numbers" else HEAT_UNITS)
        if self.limits is None:
            high = float(np.abs(values).max())
            low_high = (-high, high) if self.paint == "signed" else (float(values.min()), float(values.max()))
            object.__setattr__(self, "limits", low_high)
        if self.film_frames is not None:
            if self.film is None:
                raise ValueError(f"the panel {self.id!r} has film_frames but no film: pass film= too")
            object.__setattr__(self, "film_frames", {tuple(cell): int(frame) for cell, frame in self.film_frames.items()})
        for what, names, count in (("row", self.row_names, self.rows), ("column", self.column_names, self.columns)):
            if names and (isinstance(names, str) or len(names) != count or self.paint != "numbers"):
                raise ValueError(f"{what}_names of {self.id!r} are {names!r}; a grid of numbers takes one for each of its {count} {what}s")

    @property
    def rows(self) -> int:
        return self.values.shape[0]

    @property
    def columns(self) -> int:
        return self.values.shape[1]

    @property
    def frame_of_cell(self) -> dict[tuple[int, int], int]:
        """The frame that its film shows while the pointer is on a cell."""
        if self.film_frames is not None:
            return dict(self.film_frames)
        return {(i // self.columns, i % self.columns): 1 + i for i in range(self.values.size)}

    @property
    def exact(self) -> bool:
        """True for numbers made by hand, with at most three decimals: the same on every machine."""
        thousands = self.values.astype(np.float64) * 1000
        return bool((np.abs(thousands - np.round(thousands)) < 1e-3 * np.maximum(1, np.abs(self.values))).all())

    def content(self) -> list:
        """What the digest of a trace takes from this panel."""
        shown = "measured" if not self.exact else np.round(self.values.astype(np.float64), 3).tolist()
        values = "empty" if self.empty else shown  # its numbers are in the steps that write them
        film = [self.film, sorted(self.frame_of_cell.items())] if self.film else []
        names = [list(self.row_names), list(self.column_names)] if self.row_names or self.column_names else []
        return ["grid", self.id, self.title, self.note, self.paint, self.empty, list(self.values.shape), values, *film, *names]

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
        if self.row_names or self.column_names:
            encoded |= {"rowNames": list(self.row_names), "columnNames": list(self.column_names)}
        if self.paint != "numbers":
            encoded["limits"] = list(self.limits)
            buffers.append(colours(self.paint).tobytes())
            encoded["colours"] = len(buffers) - 1
        if isinstance(self.field, FieldBoxes):
            boxes = np.asarray(self.field.boxes, dtype="<f4").reshape(self.rows, self.columns, 4)
            buffers.append(boxes.tobytes())
            encoded["field"] = {
                "picture": self.field.picture,
                "boxes": len(buffers) - 1,
                "scale": self.field.scale,
                "word": self.field.word,
            }
            if self.field.texts:
                encoded["field"]["texts"] = list(self.field.texts)
        elif self.field:
            encoded["field"] = vars(self.field)
        if self.film:
            frames = {row * self.columns + column: frame for (row, column), frame in self.frame_of_cell.items()}
            encoded["film"] = {"panel": self.film, "frames": [frames.get(i, -1) for i in range(self.values.size)]}
        return encoded


@dataclass(frozen=True)
class Bars:
    """A bar for each of `labels`, from `values [N]`; a write to cell (i, 0) sets bar i. `role` gives the bars their colour."""

    id: str
    values: np.ndarray
    labels: Sequence[str]
    title: str = ""
    note: str = ""
    empty: bool = False
    width: float = 6.0
    role: str = "write"

    def __post_init__(self):
        if self.role not in ROLES:
            raise ValueError(f"the bars of {self.id!r} have the role {self.role!r}; there are {sorted(ROLES)}")
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
        encoded |= {"rows": self.rows, "columns": 1, "labels": list(self.labels), "empty": self.empty, "role": self.role}
        return encoded | {"values": len(buffers) - 1}


@dataclass(frozen=True)
class Curves:
    """Numbers that change over time, `values [S, P]`: S curves, one under the other, of P points each, drawn up to the last that is
    known. A write to cell (s, p) sets point p of curve s. They are measured: the digest takes their names and P.

    Args:
        labels: a name for each curve; its latest value stands beside it.
        limits: (lowest, highest) of each curve's axis; by default 0 or less, and what occurs.
    """

    id: str
    values: np.ndarray
    labels: Sequence[str]
    title: str = ""
    note: str = ""
    empty: bool = False
    width: float = HEAT_UNITS
    limits: Sequence[tuple[float, float]] | None = None

    def __post_init__(self):
        values = np.array(self.values, dtype="<f4", order="C")
        if values.ndim != 2 or values.size == 0 or len(values) != len(self.labels) or not np.isfinite(values).all():
            raise ValueError(f"the panel {self.id!r} needs finite values [S, P], a row for each of its {len(self.labels)} labels")
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "title", self.title or self.id)
        if self.limits is None:
            object.__setattr__(self, "limits", [(min(0.0, float(row.min())), float(row.max())) for row in values])

    rows = property(lambda self: self.values.shape[0])
    columns = property(lambda self: self.values.shape[1])

    def content(self) -> list:
        return ["curves", self.id, self.title, self.note, self.empty, list(self.labels), self.columns]

    def encode(self, buffers: list[bytes]) -> dict:
        buffers.append(self.values.tobytes())
        encoded = {"kind": "curves", "id": self.id, "title": self.title, "note": self.note, "width": self.width}
        encoded |= {"rows": self.rows, "columns": self.columns, "labels": list(self.labels), "empty": self.empty}
        return encoded | {"values": len(buffers) - 1, "limits": [list(pair) for pair in self.limits]}


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


Panel = Grid | Picture | Film | Bars | Curves | Formula | Segmentation


def colours(paint: str) -> np.ndarray:
    """256 colours `[256, 3]` uint8: viridis for "heat"; blue, white, vermilion for "signed"."""
    if paint == "heat":
        from matplotlib import colormaps

        return (colormaps["viridis"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    t = np.linspace(-1, 1, 256)[:, None]
    white, blue, vermilion = np.array([255, 255, 255]), np.array([0, 114, 178]), np.array([213, 94, 0])
    return np.where(t < 0, white + (blue - white) * -t, white + (vermilion - white) * t).round().astype(np.uint8)
