"""Pascal VOC 2012: 20 classes of things in photographs, as boxes, as classes of pixels, and as single objects.

M. Everingham, L. Van Gool, C. Williams, J. Winn and A. Zisserman, "The Pascal Visual Object Classes (VOC) Challenge", IJCV 2010.
Segmentations: 1464 pictures for training and 1449 for validation; boxes: 5717 and 5823.

Differs from torchvision: items are tensors, labels numbers, and boxes have their edges counted from 0 (see `voc_xml`).

Shape letters: N objects, H height, W width.
"""

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from course.data.folder import Archive, Source, locate
from course.data.items import BrokenItem, Items, choose, read_image, read_labels, read_list
from course.data.masks import mask_target, split_objects
from course.data.resizing import Size, resize_image, resize_labels, resize_target, sides
from course.data.voc_xml import box_target, read_boxes
from course.ops.labels import VOID

CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
SPLITS = ("train", "val", "trainval")

SOURCE = Source(
    "Pascal VOC 2012",
    folders=("VOCdevkit/VOC2012", "VOC2012"),
    archives=(
        Archive(
            "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            size=1_999_639_040,
            checksum="sha256:e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
            holds="VOCdevkit/VOC2012",
            goes="VOCdevkit/VOC2012",
        ),
    ),
)

# Which list names the pictures, and which folders hold their labels.
_NEEDS = {
    "semantic": ("ImageSets/Segmentation/{}.txt", "SegmentationClass"),
    "instances": ("ImageSets/Segmentation/{}.txt", "SegmentationClass", "SegmentationObject"),
    "boxes": ("ImageSets/Main/{}.txt", "Annotations"),
}
_OBJECTS = {number: number for number in range(255)} | {255: VOID}


class VOC(Items):
    """Pictures of VOC 2012, or of any set in its folders and files.

    Args:
        split: "train", "val" or "trainval".
        target: "semantic", "instances" or "boxes".
        root: a folder that holds `VOCdevkit/VOC2012` or is it; by default the folder SEGCOURSE_DATA, else the user's cache.
        classes: names in the order of their labels, the background first, of a set that is not VOC itself.
        size: make everything this large: one number for a square, or (height, width).
        download: fetch it where it is missing (2.0 GB).
        skip_broken: read everything now, leave out what cannot be read, and list it in `broken`.

    Item: image float32 `[3, H, W]`, RGB, 0…1, and
        "semantic": labels int64 `[H, W]`, 255 (`VOID`) on the borders and on what nobody could tell.
        "instances": a dict of boxes float32 `[N, 4]` (tight around the masks), labels int64 `[N]`, masks bool `[N, H, W]`, semantic
            `[H, W]`, area `[N]`, iscrowd `[N]` and image_id, the item's number.
        "boxes": the same without masks and semantic, the boxes from the XML, and difficult bool `[N]`, objects that VOC leaves uncounted.

    Raises: MissingData if it is not there; DownloadError; BrokenItem, here or when an item is read, naming the file; ValueError.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        target: str = "semantic",
        root: str | os.PathLike | None = None,
        classes: Sequence[str] = CLASSES,
        size: Size | None = None,
        download: bool = False,
        skip_broken: bool = False,
    ):
        choose("split", split, SPLITS)
        self.target = choose("target", target, _NEEDS)
        self.classes, self.size = tuple(classes), sides(size)
        needs = [need.format(split) for need in _NEEDS[target]]
        self.folder = locate(SOURCE, (*needs, "JPEGImages"), root=root, fetch=download)
        self.keep(read_list(self.folder / needs[0]), skip_broken=skip_broken)

    def read(self, index: int) -> tuple[Tensor, Tensor | dict]:
        name = self.names[index]
        image = read_image(self.folder / "JPEGImages" / f"{name}.jpg")
        before = tuple(image.shape[-2:])
        if self.target == "boxes":
            target = self._boxes(name, image)
        else:
            palette = {label: label for label in range(len(self.classes))} | {255: VOID}
            target = read_labels(self.folder / "SegmentationClass" / f"{name}.png", image, palette)  # [H, W]
        if self.target == "instances":
            target = self._instances(name, image, target)
        if isinstance(target, dict):
            target["image_id"] = index
        if self.size:
            image = resize_image(image, self.size)
            target = resize_target(target, before, self.size) if isinstance(target, dict) else resize_labels(target, self.size)
        return image, target

    def _boxes(self, name: str, image: Tensor) -> dict:
        boxes, labels, difficult = read_boxes(self.folder / "Annotations" / f"{name}.xml", image, self.classes)
        return box_target(boxes, labels) | {"difficult": difficult}

    def _instances(self, name: str, image: Tensor, semantic: Tensor) -> dict:
        path = self.folder / "SegmentationObject" / f"{name}.png"
        masks = split_objects(read_labels(path, image, _OBJECTS), void=VOID)  # [N, H, W]
        labels = []
        for number, mask in enumerate(masks, start=1):
            known = semantic[mask & (semantic != 0) & (semantic != VOID)]
            if not len(known):
                raise BrokenItem(f"{path}: object {number} has no class in SegmentationClass.")
            labels.append(known.mode().values)  # one class, but for a stray pixel
        return mask_target(masks, torch.tensor(labels, dtype=torch.long)) | {"semantic": semantic}
