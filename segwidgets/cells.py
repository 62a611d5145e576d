"""A photograph cut into S × S cells, as YOLO looks at it, and the true objects on it: each belongs to the cell that holds its centre.

J. Redmon, S. Divvala, R. Girshick and A. Farhadi, "You Only Look Once", 2015, arXiv:1506.02640, section 2. What the animations of its grid
share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops.boxes import clip_boxes
from segwidgets.boxes import Place
from segwidgets.inputs import SHOWN_SIDE, as_tensor, pixels
from segwidgets.trace import Cell

MOST_GRID = 20  # cells in a row: smaller ones cannot be told apart, or clicked
MOST_OBJECTS = 12
MOST_LETTERS = 14  # of the name of a class
FAINT = 0.3  # opacity of the lines


class CellSheet:
    """The photograph as shown, `plain` and with lines between its cells, `pixels`; both `[h, w, 3]` uint8, the longer side 360 pixels."""

    def __init__(self, image, grid: int):
        from PIL import Image

        picture = pixels(image)
        self.size, self.grid = picture.shape[:2], grid
        self.factor = SHOWN_SIDE / max(self.size)
        self.rows, self.columns = (max(1, round(side * self.factor)) for side in self.size)
        self.plain = np.array(Image.fromarray(picture).resize((self.columns, self.rows), Image.Resampling.BICUBIC))
        lines = np.zeros((self.rows, self.columns), bool)
        lines[self._between(self.rows)] = True
        lines[:, self._between(self.columns)] = True
        self.pixels = np.where(lines[..., None], self.plain + FAINT * (255 - self.plain.astype(float)), self.plain).round().astype(np.uint8)

    @property
    def note(self) -> str:
        return f"[3, {self.size[0]}, {self.size[1]}]"

    def shown(self, boxes: Tensor) -> list[Place]:
        """Boxes in pixels of the image, [N, 4], where they lie on the photograph as shown."""
        return [tuple(box) for box in (boxes.double() * self.factor).tolist()]

    def cell(self, cell: Cell) -> Place:
        """The rectangle of a cell on the photograph as shown."""
        (row, column), down, across = cell, self.rows / self.grid, self.columns / self.grid
        return (column * across, row * down, (column + 1) * across, (row + 1) * down)

    def every_cell(self) -> np.ndarray:
        """The rectangles of all of them, for `FieldBoxes`. [S, S, 4]"""
        return np.array([[self.cell((row, column)) for column in range(self.grid)] for row in range(self.grid)])

    def cells_of(self, boxes: Tensor) -> list[Cell]:
        """The cell that holds the centre of each box's part in the picture. On a border it is the one to the right or below, on the
        picture's edge the last one."""
        height, width = self.size
        boxes = clip_boxes(boxes, self.size)
        centres = (boxes[:, :2] + boxes[:, 2:]).double() / 2 * self.grid / boxes.new_tensor((width, height)).double()  # [N, 2]
        columns, rows = centres.floor().long().clamp(0, self.grid - 1).T.tolist() if len(boxes) else ([], [])
        return list(zip(rows, columns, strict=True))

    def _between(self, side: int) -> np.ndarray:
        return (np.arange(1, self.grid) * side / self.grid).round().astype(int).clip(max=side - 1)


@dataclass(frozen=True)
class Objects:
    """The true boxes `boxes [T, 4]`, in pixels of the image, and a word for each."""

    boxes: Tensor
    labels: list[int] | None
    names: list[str]

    @classmethod
    def of(cls, truth, sheet: CellSheet, classes: Sequence[str] | None) -> Objects:
        """From `{"boxes": [T, 4], "labels": [T]}`, labels from 1 on, or from boxes alone.

        Raises: TypeError, ValueError: one sentence saying what is wrong with them.
        """
        given = truth if isinstance(truth, Mapping) else {"boxes": truth}
        if "boxes" not in given:
            raise ValueError(f"truth has {', '.join(map(repr, given)) or 'nothing'}; it takes 'boxes', and maybe 'labels', or boxes [T, 4]")
        boxes = as_tensor(given["boxes"], name="truth").clone()
        boxes = boxes if boxes.numel() else boxes.new_zeros(0, 4)
        arguments.check_boxes(boxes, "truth", finite=True)
        arguments.check_sizes(boxes, "truth")
        arguments.check_inside(boxes, sheet.size, "truth")
        if len(boxes) > MOST_OBJECTS:
            raise ValueError(f"truth holds {len(boxes)} boxes; at most {MOST_OBJECTS} can be told apart: pass truth[:{MOST_OBJECTS}]")
        labels = _labels(given.get("labels"), len(boxes), classes)
        named = labels is not None and classes is not None
        return cls(boxes, labels, [classes[label - 1] if named else f"object {t}" for t, label in enumerate(labels or [0] * len(boxes))])

    def __len__(self) -> int:
        return len(self.boxes)

    def name(self, t: int) -> str:
        """ "the star", or "object 2" where no classes are known."""
        return self.names[t] if self.names[t].startswith("object ") else f"the {self.names[t]}"


def first_of_each(cells: Sequence[Cell]) -> dict[Cell, int]:
    """The object that each cell answers for: of several in one cell the first."""
    answering: dict[Cell, int] = {}
    for t, cell in enumerate(cells):
        answering.setdefault(cell, t)
    return answering


def class_names(classes) -> list[str]:
    """The names of the objects' classes, without the background."""
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"classes is {classes!r}; it takes the names of the objects' classes, without the background")
    return [name[:MOST_LETTERS] for name in classes]


def check_grid(grid: int, name: str) -> None:
    if grid > MOST_GRID:
        raise ValueError(f"{name} has {grid} × {grid} cells; a grid of at most {MOST_GRID} × {MOST_GRID} can be told apart")


def place_of(cell: Cell) -> str:
    return f"row {cell[0]}, column {cell[1]}"


def listed(words: Sequence[str], most: int = 4) -> str:
    """ "a, b and c"; of many the first and how many more."""
    words = [*words[:most], f"{len(words) - most} more"] if len(words) > most else list(words)
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def counted(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith(("x", "s")) else f"{what}s"
    return f"{count} {what if count == 1 else plural}"


def _labels(labels, count: int, classes: Sequence[str] | None) -> list[int] | None:
    if labels is None:
        return None
    labels = torch.as_tensor(labels).detach().cpu()
    if labels.shape != (count,) or labels.is_floating_point() or labels.dtype == torch.bool:
        what = f"{str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}"
        raise ValueError(f"truth's labels are {what}; they are whole numbers [{count}], one for each box")
    most = None if classes is None else len(classes)
    wrong = [label for label in labels.tolist() if label < 1 or most is not None and label > most]
    if wrong:
        raise ValueError(f"truth has the label {wrong[0]}; labels go from 1, the first of classes, to {most or 'the last'}")
    return labels.tolist()
