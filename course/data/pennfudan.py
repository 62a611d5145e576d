"""Penn-Fudan: pedestrians in 170 street pictures, 345 of them, each with its mask. A small set on which a detector can be tuned in minutes.

L. Wang, J. Shi, G. Song and I. Shen, "Object Detection Combining Recognition and Segmentation", ACCV 2007.

Differs from the paper: it has no split; here every fifth picture is for validation.

Shape letters: N pedestrians, H height, W width.
"""

import os

import torch
from torch import Tensor

from course.data.folder import Archive, Source, locate
from course.data.items import BrokenItem, Items, choose, read_image, read_labels
from course.data.masks import mask_target, split_objects
from course.data.resizing import Size, resize_image, resize_target, sides

CLASSES = ("background", "pedestrian")
SPLITS = ("train", "val", "all")
TARGETS = ("instances", "semantic")

SOURCE = Source(
    "Penn-Fudan",
    folders=("PennFudanPed",),
    archives=(
        Archive(
            "https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip",
            size=53_723_336,
            checksum=None,  # its makers publish none; its size is held against this one, and each file against the sum inside the zip
            holds="PennFudanPed",
            goes="PennFudanPed",
        ),
    ),
)

_PALETTE = {number: number for number in range(256)}  # 0, then the pedestrians 1, 2, …


class PennFudan(Items):
    """Pedestrians and their masks.

    Args:
        split: "train", "val" (every fifth picture) or "all".
        target: "instances" or "semantic".
        root: a folder that holds `PennFudanPed` or is it; by default the folder SEGCOURSE_DATA, else the user's cache.
        size: make everything this large: one number for a square, or (height, width).
        download: fetch it where it is missing (54 MB).
        skip_broken: read everything now, leave out what cannot be read, and list it in `broken`.

    Item: image float32 `[3, H, W]`, RGB, 0…1, and
        "instances": a dict of boxes float32 `[N, 4]` (tight around the masks), labels int64 `[N]` (all 1), masks bool `[N, H, W]`,
            semantic `[H, W]`, area `[N]`, iscrowd `[N]` and image_id, the item's number.
        "semantic": labels int64 `[H, W]`, 1 where a pedestrian is.

    Raises: MissingData if it is not there; DownloadError; BrokenItem, here or when an item is read, naming the file; ValueError.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        target: str = "instances",
        root: str | os.PathLike | None = None,
        size: Size | None = None,
        download: bool = False,
        skip_broken: bool = False,
    ):
        choose("split", split, SPLITS)
        self.target, self.size = choose("target", target, TARGETS), sides(size)
        self.folder = locate(SOURCE, ("PNGImages", "PedMasks"), root=root, fetch=download)
        names = {path.stem for path in (self.folder / "PNGImages").glob("*.png")}
        masked = {path.stem.removesuffix("_mask") for path in (self.folder / "PedMasks").glob("*_mask.png")}
        # The split follows from the list of all names, so that a broken picture does not move the others from one side to the other.
        chosen = [name for i, name in enumerate(sorted(names | masked)) if split == "all" or (i % 5 == 4) == (split == "val")]
        broken = {name: f"The picture {self._picture(name)} is missing, and its masks are there." for name in chosen if name not in names}
        if broken and not skip_broken:
            raise BrokenItem(next(iter(broken.values())))
        self.keep(chosen, skip_broken=skip_broken, broken=broken)

    def read(self, index: int) -> tuple[Tensor, Tensor | dict]:
        image = read_image(self._picture(self.names[index]))
        objects = read_labels(self.folder / "PedMasks" / f"{self.names[index]}_mask.png", image, _PALETTE)  # [H, W]
        semantic = (objects > 0).long()
        masks = split_objects(objects)  # [N, H, W]
        target = mask_target(masks, torch.ones(len(masks), dtype=torch.long)) | {"semantic": semantic, "image_id": index}
        if self.size:
            target = resize_target(target, tuple(image.shape[-2:]), self.size)
            image = resize_image(image, self.size)
        return image, target if self.target == "instances" else target["semantic"]

    def _picture(self, name: str):
        return self.folder / "PNGImages" / f"{name}.png"
