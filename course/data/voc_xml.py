"""Boxes from an annotation file in Pascal VOC's XML, which Oxford Pets, BCCD and many other sets use too.

M. Everingham and J. Winn, "The PASCAL Visual Object Classes Challenge 2012 Development Kit", 2012, section 8. There a box is the first
and the last pixel that belong to it, counted from 1. Here it is the edges around them, counted from 0: x1 = xmin − 1, x2 = xmax, so that
width = x2 − x1.

Shape letters: N objects.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import torch
from torch import Tensor

from course.data.items import BrokenItem

SLACK = 1.0  # pixels by which a box may lie outside: some tools count from 0, some round up. It is cut off there.


def read_boxes(path: Path, image: Tensor, classes: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
    """All objects of one annotation file.

    Args:
        image: the picture `[3, H, W]`, in which the boxes must lie.
        classes: names, the background first; an object's label is the place of its name.

    Returns: boxes float32 `[N, 4]`, xyxy; labels int64 `[N]`; difficult bool `[N]`, objects that VOC does not count. N may be 0.

    Raises: BrokenItem, which names the file, for XML that is damaged, a name that is not among the classes, a box that is inverted or
    outside the picture, or a size that is not the picture's.
    """
    if not path.is_file():
        raise BrokenItem(f"The annotation {path} is missing.")
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, ValueError) as error:
        raise BrokenItem(f"The annotation {path} is no well-formed XML ({error}).") from error
    height, width = image.shape[-2:]
    stated = [_number(root, f"size/{side}", path, default=0.0) for side in ("width", "height")]
    if all(stated) and stated != [width, height]:  # some tools write 0
        raise BrokenItem(f"{path} is about a picture of {stated[0]:g} × {stated[1]:g} pixels; this one has {width} × {height}.")
    boxes, labels, difficult = [], [], []
    for number, entry in enumerate(root.iter("object"), start=1):
        name = (entry.findtext("name") or "").strip()
        if name not in classes[1:]:
            raise BrokenItem(f"{path}: object {number} is called {name!r}; accepted are {', '.join(classes[1:])}.")
        boxes.append(_box(entry, number, path, height, width))
        labels.append(classes.index(name))
        difficult.append(_number(entry, "difficult", path, default=0.0) != 0)
    tensor = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)  # [N, 4]
    return tensor, torch.tensor(labels, dtype=torch.long), torch.tensor(difficult, dtype=torch.bool)


def box_target(boxes: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Boxes `[N, 4]` and labels `[N]` → a detection target: boxes, labels, area, iscrowd."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return {"boxes": boxes, "labels": labels, "area": area, "iscrowd": torch.zeros_like(labels)}


def _box(entry: ElementTree.Element, number: int, path: Path, height: int, width: int) -> list[float]:
    x1, y1, x2, y2 = (_number(entry, f"bndbox/{corner}", path) for corner in ("xmin", "ymin", "xmax", "ymax"))
    written = f"{path}: the box of object {number}, x {x1:g} to {x2:g} and y {y1:g} to {y2:g},"
    x1, y1 = x1 - 1, y1 - 1
    if x2 <= x1 or y2 <= y1:
        raise BrokenItem(f"{written} is inverted or empty.")
    if min(x1, y1) < -SLACK or x2 > width + SLACK or y2 > height + SLACK:
        raise BrokenItem(f"{written} lies outside the picture of {width} × {height} pixels.")
    box = [max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))]
    if box[2] <= box[0] or box[3] <= box[1]:
        raise BrokenItem(f"{written} lies outside the picture of {width} × {height} pixels.")
    return box


def _number(entry: ElementTree.Element, tag: str, path: Path, *, default: float | None = None) -> float:
    text = entry.findtext(tag)
    if text is None and default is not None:
        return default
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise BrokenItem(f"{path}: <{tag}> holds {text!r}, where a number is expected.")
    return value
