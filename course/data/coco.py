"""Data sets in COCO's format: photographs, and for every object its box, its mask and its category.

T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", 2014, arXiv:1405.0312.

Differs from COCO: categories become labels 1 … K without gaps; boxes are xyxy instead of x, y, width, height.
Differs from torchvision: `CocoDetection` gives the JSON as it is; here are tensors, and nothing but the course decodes the masks.

Shape letters: N objects, K categories, H height, W width.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from course.data.coco_annotations import Picture, read_annotations
from course.data.coco_masks import segmentation_mask
from course.data.folder import Archive, Source, locate
from course.data.items import BrokenItem, Items, choose, read_image
from course.data.resizing import Size, resize_image, resize_target, sides
from course.ops.labels import semantic_map

TARGETS = ("instances", "boxes", "semantic")

_SITE = "http://images.cocodataset.org"
_ANNOTATIONS = Archive(
    f"{_SITE}/annotations/annotations_trainval2017.zip",
    size=252_907_541,
    checksum="sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
    holds="annotations",
    goes="coco/annotations",
)
_PICTURES = {
    "train": Archive(
        f"{_SITE}/zips/train2017.zip",
        size=19_336_861_798,
        checksum="md5:cced6f7f71b7629ddf16f17bbcfab6b2",
        holds="train2017",
        goes="coco/train2017",
    ),
    "val": Archive(
        f"{_SITE}/zips/val2017.zip",
        size=815_585_330,
        checksum="sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
        holds="val2017",
        goes="coco/val2017",
    ),
}


class Coco(Items):
    """A folder with pictures and a JSON file in COCO's format.

    Args:
        root: the folder; a relative one is also looked for in the folder SEGCOURSE_DATA, or in the user's cache.
        annotations: the JSON file, below `root`.
        images: the folder of the pictures, below `root`.
        classes: names of the categories to keep, in the order of their labels 1 … K; by default all, in the order of their ids.
        target: "instances", "boxes" (which leaves the masks undecoded) or "semantic".
        size: make everything this large: one number for a square, or (height, width).
        drop_empty: leave out pictures without an object of these classes.
        skip_broken: read everything now, leave out what cannot be read, and list it in `broken`. A picture with a broken annotation is
            left out as a whole: with an object missing, it would teach that there is none.

    Item: image float32 `[3, H, W]`, RGB, 0…1, and
        "instances": a dict of boxes float32 `[N, 4]`, xyxy; labels int64 `[N]`; masks bool `[N, H, W]`, the same pixels as pycocotools';
            area float32 `[N]`, of the mask as the file says it; iscrowd int64 `[N]`, 1 for a region of many; image_id int, the file's own.
        "boxes": the same without masks.
        "semantic": labels int64 `[H, W]`, 0 where nothing is; small objects lie over large ones.

    `classes`: names, "background" first. `category_ids[label]`: the file's id of a label, 0 for the background. `image_ids`: the file's
    ids of the items. `empty`: ids of annotations that are left out because their box has no area.

    Raises: MissingData if it is not there; BrokenItem, here or when an item is read, naming the file; ValueError.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        annotations: str = "instances.json",
        images: str = "images",
        classes: Sequence[str] | None = None,
        target: str = "instances",
        size: Size | None = None,
        drop_empty: bool = False,
        skip_broken: bool = False,
    ):
        self.target, self.size = choose("target", target, TARGETS), sides(size)
        folder = _find(Path(root).expanduser(), (annotations, images))
        self.images = folder / images
        found = read_annotations(folder / annotations)
        if found.broken and not skip_broken:
            others = f"; {len(found.broken) - 1} more are broken" if len(found.broken) > 1 else ""
            first = next(iter(found.broken.values())).removesuffix(".")
            raise BrokenItem(f"{first}{others} (skip_broken=True leaves such pictures out).")
        self.classes, self.category_ids = _labels(found.categories, classes, folder / annotations)
        self._label = {category: label for label, category in enumerate(self.category_ids)}
        self._pictures, kept = found.pictures, set(self.category_ids[1:])
        for picture in found.pictures.values():
            picture.annotations = [entry for entry in picture.annotations if entry["category_id"] in kept]
        names = [name for name, picture in found.pictures.items() if picture.annotations or not drop_empty]
        self.empty = tuple(found.empty)
        self.keep(names, skip_broken=skip_broken, broken=found.broken)

    @property
    def image_ids(self) -> tuple[int, ...]:
        return tuple(self._pictures[name].id for name in self.names)

    def read(self, index: int) -> tuple[Tensor, Tensor | dict]:
        picture = self._pictures[self.names[index]]
        path = self.images / picture.file_name
        image = read_image(path)
        height, width = before = tuple(image.shape[-2:])
        if (height, width) != (picture.height, picture.width):
            raise BrokenItem(f"{path} has {width} × {height} pixels, and its annotations are for {picture.width} × {picture.height}.")
        target = self._boxes(picture)
        if self.target != "boxes":
            target["masks"] = self._masks(picture, path)  # [N, H, W]
        if self.size:
            image, target = resize_image(image, self.size), resize_target(target, before, self.size)
        if self.target != "semantic":
            return image, target
        order = target["area"].argsort(descending=True, stable=True)
        return image, semantic_map(target["masks"][order], target["labels"][order])

    def _boxes(self, picture: Picture) -> dict:
        entries = picture.annotations
        boxes = torch.tensor([entry["bbox"] for entry in entries], dtype=torch.float64).reshape(-1, 4)  # [N, 4], x, y, width, height
        boxes[:, 2:] += boxes[:, :2]
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, picture.width)
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, picture.height)
        area = [entry.get("area", entry["bbox"][2] * entry["bbox"][3]) for entry in entries]
        return {
            "boxes": boxes.float(),
            "labels": torch.tensor([self._label[entry["category_id"]] for entry in entries], dtype=torch.long),
            "area": torch.tensor(area, dtype=torch.float32),
            "iscrowd": torch.tensor([entry.get("iscrowd", 0) for entry in entries], dtype=torch.long),
            "image_id": picture.id,
        }

    def _masks(self, picture: Picture, path: Path) -> Tensor:
        masks = torch.zeros(len(picture.annotations), picture.height, picture.width, dtype=torch.bool)
        for mask, entry in zip(masks, picture.annotations, strict=True):
            try:
                mask |= segmentation_mask(entry.get("segmentation"), picture.height, picture.width)
            except ValueError as error:
                sentence = str(error)
                raise BrokenItem(f"Annotation {entry['id']} of {path}: {sentence[0].lower()}{sentence[1:]}") from error
        return masks


def coco2017(split: str = "val", *, root: str | os.PathLike | None = None, download: bool = False, **options) -> Coco:
    """COCO 2017 itself, 80 categories: `Coco` with its files' names, fetched where they are missing.

    Args:
        split: "val" (5000 pictures, 1.1 GB with the annotations) or "train" (118287 pictures, 19.6 GB).
        root: a folder that holds `coco` or is it; by default the folder SEGCOURSE_DATA, else the user's cache.
        download: fetch what is missing.
        options: those of `Coco`.

    Raises: as `Coco`; DownloadError.
    """
    choose("split", split, _PICTURES)
    source = Source("COCO 2017", folders=("coco",), archives=(_PICTURES[split], _ANNOTATIONS))
    annotations, images = f"annotations/instances_{split}2017.json", f"{split}2017"
    folder = locate(source, (annotations, images), root=root, fetch=download)
    return Coco(folder, annotations=annotations, images=images, **options)


def _find(root: Path, needs: tuple[str, ...]) -> Path:
    """`root` from here, or from where data sets are."""
    folders = (str(root.absolute()), str(root))
    return locate(Source(f"The data set {root.name}", folders, origin="root= names the folder that holds both"), needs)


def _labels(categories: dict[int, str], wanted: Sequence[str] | None, path: Path) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The names and the ids of the labels 0 … K."""
    if wanted is None:
        return ("background", *categories.values()), (0, *categories)
    ids = {name: category for category, name in categories.items()}
    if isinstance(wanted, str) or len(set(wanted)) < len(wanted):
        raise ValueError(f"classes is a list of different names, not {wanted!r}.")
    unknown = [name for name in wanted if name not in ids]
    if unknown:
        raise ValueError(f"{path} has no category {unknown[0]!r}; accepted are {', '.join(ids)}.")
    return ("background", *wanted), (0, *(ids[name] for name in wanted))
