"""BCCD: blood under the microscope, with a box around each red cell, white cell and platelet.

The Blood Cell Count and Detection data set, github.com/Shenggan/BCCD_Dataset, 2017, after pictures and annotations by cosmicad and
akshaylamba. 640 × 480 pixels; 205 pictures for training, 87 for validation and 72 for the test. Licence: MIT.

Its boxes are not complete: in most pictures some red cells have none, and in a few no red cell has one, so a detector that finds them is
counted wrong there. A handful of red cells have two boxes.

Differs from the files: the boxes of a single pixel, where the mouse was clicked and not drawn, are left out: there is no cell.

Shape letters: N cells, H height, W width.
"""

import os

from torch import Tensor

from course.data.folder import Source, locate
from course.data.items import Items, choose, read_image, read_list
from course.data.resizing import Size, resize_image, resize_target, sides
from course.data.voc_xml import box_target, read_boxes

CLASSES = ("background", "RBC", "WBC", "Platelets")
SPLITS = ("train", "val", "trainval", "test")

SOURCE = Source(
    "BCCD",
    folders=("bccd/BCCD", "BCCD_Dataset/BCCD", "BCCD"),
    origin=(
        "it has no archive with a checksum, so get it yourself, about 9 MB: the folder BCCD of "
        "https://github.com/Shenggan/BCCD_Dataset, named by root= or put into the folder that SEGCOURSE_DATA names"
    ),
)


class BCCD(Items):
    """Blood cells and their boxes.

    Args:
        split: "train", "val", "trainval" (both) or "test".
        root: a folder that holds `bccd/BCCD` or is the folder BCCD; by default the folder SEGCOURSE_DATA, else the user's cache.
        size: make everything this large: one number for a square, or (height, width).
        download: BCCD cannot be fetched from here; True raises an error that says where it is.
        skip_broken: read everything now, leave out what cannot be read, and list it in `broken`.

    Item: image float32 `[3, H, W]`, RGB, 0…1, and a dict of boxes float32 `[N, 4]`, xyxy, edges counted from 0; labels int64 `[N]`,
        1 … 3 as in `CLASSES`; area float32 `[N]`; iscrowd int64 `[N]`, all 0; and image_id, the item's number.

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
        names = f"ImageSets/Main/{split}.txt"
        self.folder = locate(SOURCE, (names, "Annotations", "JPEGImages"), root=root, fetch=download)
        self.keep(read_list(self.folder / names), skip_broken=skip_broken)

    def read(self, index: int) -> tuple[Tensor, dict]:
        name = self.names[index]
        image = read_image(self.folder / "JPEGImages" / f"{name}.jpg")
        boxes, labels, _ = read_boxes(self.folder / "Annotations" / f"{name}.xml", image, CLASSES)
        drawn = ((boxes[:, 2:] - boxes[:, :2]) > 1).all(1)  # [N]; the others are one pixel wide or high
        target = box_target(boxes[drawn], labels[drawn]) | {"image_id": index}
        if self.size:
            target = resize_target(target, tuple(image.shape[-2:]), self.size)
            image = resize_image(image, self.size)
        return image, target
