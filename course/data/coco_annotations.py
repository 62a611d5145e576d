"""The JSON file of a data set in COCO's format: read, checked entry by entry, and sorted by picture.

T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", 2014, arXiv:1405.0312; the format: https://cocodataset.org/#format-data.
Every annotation names its picture and its category by ids, which need not be in order nor without gaps (COCO's 80 categories have the
ids 1 … 90).
"""

import json
import math
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path, PurePosixPath

from course.data.items import BrokenItem

SLACK = 1.0  # pixels by which a box may lie outside: COCO's own are rounded. It is cut off there.


@dataclass
class Picture:
    """One entry of "images", with its annotations as they stand in the file."""

    id: int
    file_name: str
    width: int
    height: int
    annotations: list[dict] = field(default_factory=list)


@dataclass
class Annotations:
    """What a file holds.

    `pictures`: by file name, in the file's order. `categories`: {id: name}, in the order of the ids. `broken`: {file name: what is wrong}
    of pictures that an entry spoils; an annotation that belongs to no picture stands under "annotation …". `empty`: ids of annotations
    whose box has no area, which are left out (COCO's training set has two).
    """

    pictures: dict[str, Picture]
    categories: dict[int, str]
    broken: dict[str, str]
    empty: list[int]


def read_annotations(path: Path) -> Annotations:
    """Read and check a file.

    Raises: BrokenItem, which names the file, when it is not JSON or has not the three lists "images", "annotations" and "categories". What
    is wrong with single entries is told in `broken`.
    """
    lists = _lists(path)
    found = Annotations({}, _categories(lists["categories"], path), {}, [])
    by_id = _pictures(lists["images"], path, found)
    seen = set()
    for number, annotation in enumerate(lists["annotations"], start=1):
        if not isinstance(annotation, dict) or not _whole(annotation.get("id")):
            found.broken[f"annotation number {number}"] = f"{path}: annotation number {number} has no whole number for its id."
            continue
        name = f"annotation {annotation['id']}"
        picture = by_id.get(annotation.get("image_id")) if _whole(annotation.get("image_id")) else None
        if picture is None:
            missing = f"belongs to picture {annotation.get('image_id')!r}, which is not in the list"
            found.broken[name] = f"{path}: {name} {missing}."
        elif annotation["id"] in seen:
            found.broken.setdefault(picture.file_name, f"{path}: two annotations have the id {annotation['id']}.")
        elif problem := _problem(annotation, picture, found.categories):
            found.broken.setdefault(picture.file_name, f"{path}: {name} of {picture.file_name} {problem}.")
        elif min(annotation["bbox"][2:]) == 0:
            found.empty.append(annotation["id"])
        else:
            picture.annotations.append(annotation)
        seen.add(annotation["id"])
    return found


def _lists(path: Path) -> dict[str, list]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BrokenItem(f"The annotations {path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise BrokenItem(f"{path} is no well-formed JSON ({error}).") from error
    names = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in names):
        raise BrokenItem(f"{path} is not in COCO's format: it has no lists {', '.join(map(repr, names))}.")
    return {name: content[name] for name in names}


def _categories(entries: list, path: Path) -> dict[int, str]:
    categories = {}
    for entry in entries:
        if not isinstance(entry, dict) or not _whole(entry.get("id")) or not isinstance(entry.get("name"), str):
            raise BrokenItem(f"{path} has a category without id and name: {str(entry)[:80]!r}.")
        if entry["id"] in categories:
            raise BrokenItem(f"{path} gives the id {entry['id']} to two categories, {categories[entry['id']]!r} and {entry['name']!r}.")
        categories[entry["id"]] = entry["name"]
    return dict(sorted(categories.items()))


def _pictures(entries: list, path: Path, found: Annotations) -> dict[int, Picture]:
    by_id = {}
    for number, entry in enumerate(entries, start=1):
        entry = entry if isinstance(entry, dict) else {}
        name = entry.get("file_name")
        if not isinstance(name, str) or not all(_whole(entry.get(key)) for key in ("id", "width", "height")):
            found.broken[f"picture number {number}"] = f"{path}: picture number {number} lacks file_name, id, width or height."
        elif PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            found.broken[name] = f"{path}: picture {entry['id']} is called {name!r}, which leads out of the folder of pictures."
        elif name in found.pictures:
            found.broken[name] = f"{path} lists the picture {name} twice."
        elif entry["id"] in by_id:  # which of the two an annotation means cannot be known
            first = by_id[entry["id"]].file_name
            sentence = f"{path} gives the id {entry['id']} to two pictures, {first} and {name}."
            found.broken |= {first: sentence, name: sentence}
        else:
            by_id[entry["id"]] = found.pictures[name] = Picture(entry["id"], name, entry["width"], entry["height"])
    return by_id


def _problem(annotation: dict, picture: Picture, categories: dict[int, str]) -> str:
    """What is wrong with an annotation, as the end of a sentence, or nothing."""
    category, box = annotation.get("category_id"), annotation.get("bbox")
    if not _whole(category) or category not in categories:
        return f"has the category {category!r}, which is not in the list"
    if annotation.get("iscrowd", 0) not in (0, 1):
        return f"has iscrowd {annotation['iscrowd']!r}, which is 0 or 1"
    if not isinstance(box, list) or len(box) != 4 or not all(_number(value) for value in box):
        return f"has the box {box!r}, where four numbers x, y, width, height are expected"
    if not _number(annotation.get("area", 0)) or annotation.get("area", 0) < 0:
        return f"has the area {annotation['area']!r}"
    x, y, width, height = box
    if width < 0 or height < 0:
        return f"has an inverted box, {width:g} wide and {height:g} high"
    beyond = min(x, y) < -SLACK or x + width > picture.width + SLACK or y + height > picture.height + SLACK
    if beyond or x >= picture.width or y >= picture.height or min(x + width, y + height) < 0:  # nothing of it may be inside at all
        return f"has a box from ({x:g}, {y:g}) to ({x + width:g}, {y + height:g}), outside its {picture.width} × {picture.height} pixels"
    return ""


def _whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
