"""Oxford-IIIT Pets: 37 breeds of cats and dogs, every pixel labelled pet or background, with a box around the head.

O. Parkhi, A. Vedaldi, A. Zisserman and C. V. Jawahar, "Cats and Dogs", CVPR 2012, section 2. 3680 pictures for training and validation,
3669 for the test. Licence: CC BY-SA 4.0.

Differs from torchvision: the trimaps 1, 2, 3 (pet, background, border) become 1, 0 and void; boxes are read as well.

Shape letters: N boxes, H height, W width.
"""

import os

import torch
from torch import Tensor

from course.data.folder import Archive, Source, locate
from course.data.items import BrokenItem, Items, choose, read_image, read_labels, read_list
from course.data.resizing import Size, resize_image, resize_labels, resize_target, sides
from course.data.voc_xml import box_target, read_boxes
from course.ops.labels import VOID

CLASSES = ("background", "pet")
SPECIES = ("background", "cat", "dog")  # as the boxes are named
SPLITS = ("trainval", "test")
BREEDS = 37
TARGETS = ("semantic", "breed", "boxes")

SOURCE = Source(
    "Oxford-IIIT Pets",
    folders=("oxford-iiit-pet",),
    archives=(
        Archive(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
            size=791_918_971,
            checksum="sha256:67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            holds="images",
            goes="oxford-iiit-pet/images",
        ),
        Archive(
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
            size=19_173_078,
            checksum="sha256:52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            holds="annotations",
            goes="oxford-iiit-pet/annotations",
        ),
    ),
)

_TRIMAP = {1: 1, 2: 0, 3: VOID}


class Pets(Items):
    """Cats and dogs.

    Args:
        split: "trainval" or "test". Boxes are published for trainval only.
        target: "semantic", "breed" or "boxes".
        root: a folder that holds `oxford-iiit-pet` or is it; by default the folder SEGCOURSE_DATA, else the user's cache.
        size: make everything this large: one number for a square, or (height, width).
        download: fetch it where it is missing (811 MB).
        skip_broken: read everything now, leave out what cannot be read, and list it in `broken`.

    Item: image float32 `[3, H, W]`, RGB, 0…1, and
        "semantic": labels int64 `[H, W]`, 1 pet, 0 background, 255 (`VOID`) the border between them.
        "breed": the breed's number 1 … 37, int; its name is `breeds[number]`.
        "boxes": a dict of boxes float32 `[N, 4]`, around the *head*, labels int64 `[N]`, the breed, area `[N]`, iscrowd `[N]` and image_id,
            the item's number. The few pictures without an annotation file are left out.

    `breeds`: names, "background" first. Raises: MissingData if it is not there; DownloadError; BrokenItem, here or when an item is read,
    naming the file; ValueError.
    """

    def __init__(
        self,
        split: str = "trainval",
        *,
        target: str = "semantic",
        root: str | os.PathLike | None = None,
        size: Size | None = None,
        download: bool = False,
        skip_broken: bool = False,
    ):
        choose("split", split, SPLITS)
        self.target, self.size = choose("target", target, TARGETS), sides(size)
        if target == "boxes" and split == "test":
            raise ValueError("Oxford-IIIT Pets has no boxes for its test split; target='boxes' goes with split='trainval'.")
        self.folder = locate(SOURCE, ("images", "annotations/trimaps", f"annotations/{split}.txt"), root=root, fetch=download)
        self.labels, self.breeds = self._breeds(f"{split}.txt")
        names = [name for name in self.labels if target != "boxes" or self._annotation(name).exists()]
        self.keep(names, skip_broken=skip_broken)

    def read(self, index: int) -> tuple[Tensor, Tensor | int | dict]:
        name = self.names[index]
        image = read_image(self.folder / "images" / f"{name}.jpg")
        before = tuple(image.shape[-2:])
        resized = resize_image(image, self.size) if self.size else image
        if self.target == "breed":
            return resized, self.labels[name]
        if self.target == "semantic":
            labels = read_labels(self.folder / "annotations" / "trimaps" / f"{name}.png", image, _TRIMAP)  # [H, W]
            return resized, resize_labels(labels, self.size) if self.size else labels
        boxes, _, _ = read_boxes(self._annotation(name), image, SPECIES)
        labels = torch.full((len(boxes),), self.labels[name])
        target = box_target(boxes, labels) | {"image_id": index}
        return resized, resize_target(target, before, self.size) if self.size else target

    def _annotation(self, name: str):
        return self.folder / "annotations" / "xmls" / f"{name}.xml"

    def _breeds(self, file: str) -> tuple[dict[str, int], tuple[str, ...]]:
        """From lines "Abyssinian_100 1 1 1": {picture: breed}, and the breeds' names, which the pictures carry."""
        path = self.folder / "annotations" / file
        labels, names = {}, {0: "background"}
        for line in read_list(path):
            name, breed, *_ = [*line.split(), ""]
            if not breed.isdigit() or not 1 <= int(breed) <= BREEDS:
                raise BrokenItem(f"The list {path} has a line {line!r}; expected are a picture's name and its breed, 1 to {BREEDS}.")
            labels[name] = int(breed)
            names.setdefault(int(breed), name.rpartition("_")[0].replace("_", " "))
        return labels, tuple(names.get(number, "") for number in range(max(names) + 1))
