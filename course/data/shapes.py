"""Generated pictures with exact answers: six kinds of object on photographs, with boxes, masks, keypoints and semantic maps.

Every picture follows from (seed, split, index) alone, through numpy's PCG64 generator, and is drawn in whole numbers
(`course.data.drawing`), so it is the same on every machine. An object is told by its shape: any kind may wear any colour, any pattern,
or a piece of photograph. How hard the pictures are stands in the constants of `course.data.scenes`.

The backgrounds are cut from photographs in scikit-image's wheel. Of each photograph, training sees the left half, validation the upper
right quarter, testing the lower right one: no background pixel is in two splits. People in these photographs are background.

Shape letters: S side of the picture, N objects that can be seen, K keypoints of a person.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from course.data.objects import KEYPOINTS, KINDS, SKELETON
from course.data.rendering import joints, render
from course.data.scenes import SPLITS, Object, random_scene

__all__ = ["CLASSES", "KEYPOINTS", "SKELETON", "SPLITS", "TARGETS", "Shapes", "collate"]

CLASSES = ("background", *(kind.__name__ for kind in KINDS))
TARGETS = ("semantic", "instances")
MIN_SIZE, MAX_SIZE = 32, 512
LARGEST_SEED = 2**63


class Shapes(Dataset):
    """Pictures of up to four people, cars, houses, fish, stars and rings, and all there is to know about them.

    Args:
        split: "train", "val" or "test": other scenes, on other parts of the photographs.
        count: how many pictures.
        size: S, 32 to 512 pixels. Another size shows the same scenes.
        seed: another seed gives other scenes.
        target: "semantic" or "instances".

    Item i depends on seed, split, size and i only, neither on `count` nor on which items were asked for before. It is (image, target):
    image float32 `[3, S, S]`, RGB, 0…1. With target="semantic", the target is the label of every pixel, int64 `[S, S]`, in the order
    of `CLASSES`. With target="instances" it is a dict, as torchvision's detectors and its reference training take it:

        boxes      float32 `[N, 4]`, xyxy: the edges of the visible pixels, so x2 is the last column + 1
        labels     int64 `[N]`, 1 to 6
        masks      bool `[N, S, S]`: the visible pixels. They do not overlap.
        keypoints  float32 `[N, K, 3]`, (x, y, visibility) in the order of `KEYPOINTS`: 2 seen; 1 hidden behind another object; 0 outside
                   the picture, or not a person, and then x = y = 0. A joint in front of or behind its own body counts as seen.
        semantic   int64 `[S, S]`
        area       float32 `[N]`, visible pixels
        iscrowd    int64 `[N]`, all 0
        image_id   int: i

    Objects stand from back to front. One that can hardly be seen (less than 15 % of it, or fewer than 12 pixels; the rest is covered or
    outside) is neither in the picture nor in the target. About one picture in thirty has no object at all, and then N = 0.

    Raises: TypeError or ValueError for arguments that cannot be; IndexError beyond the end.
    """

    def __init__(self, split: str = "train", *, count: int = 1000, size: int = 128, seed: int = 0, target: str = "semantic"):
        for name, value, accepted in (("split", split, SPLITS), ("target", target, TARGETS)):
            if value not in accepted:
                raise ValueError(f"Shapes has the {name}s {', '.join(map(repr, accepted))}, not {value!r}.")
        for name, value, low, high in (("count", count, 0, 2**31), ("size", size, MIN_SIZE, MAX_SIZE), ("seed", seed, 0, LARGEST_SEED)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"Shapes needs a whole number for {name}, not {value!r}.")
            if not low <= value <= high:
                raise ValueError(f"Shapes takes a {name} from {low} to {high}, not {value}.")
        self.split, self.target = split, target
        self.count, self.size, self.seed = int(count), int(size), int(seed)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor | dict]:
        if not -self.count <= index < self.count:
            raise IndexError(f"There are {self.count} pictures; there is no number {index}.")
        index = int(index) % self.count
        rng = np.random.default_rng((self.seed, SPLITS.index(self.split), index))
        picture, seen = self.draw(rng)
        image = torch.from_numpy(picture).float() / 255  # [3, S, S]
        semantic = np.zeros((self.size, self.size), np.int64)
        for thing, mask in seen:
            semantic[mask] = thing.label
        semantic = torch.from_numpy(semantic)
        if self.target == "semantic":
            return image, semantic
        return image, _instances(seen, self.size) | {"semantic": semantic, "image_id": index}

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[Object, np.ndarray]]]:
        """A scene and its picture, as `course.data.rendering.render` gives it. A subclass may draw other scenes."""
        return render(random_scene(rng, self.split), self.size, rng)


def collate(batch: Sequence[tuple[Tensor, dict]]) -> tuple[list[Tensor], list[dict]]:
    """Items with target="instances" → (images, targets), two lists as torchvision's detectors take them.

    For `DataLoader(..., collate_fn=collate)`: pictures hold different numbers of objects, so their targets cannot be stacked.
    """
    images, targets = zip(*batch, strict=True)
    return list(images), list(targets)


def _instances(seen: list[tuple[Object, np.ndarray]], size: int) -> dict[str, Tensor]:
    """The part of a target that has N rows."""
    masks = np.array([mask for _, mask in seen], bool).reshape(-1, size, size)  # [N, S, S]
    boxes = np.array([_box(mask) for mask in masks], np.float32).reshape(-1, 4)  # [N, 4]
    keypoints = np.array([_keypoints(thing, mask) for thing, mask in seen], np.float32).reshape(-1, len(KEYPOINTS), 3)  # [N, K, 3]
    return {
        "boxes": torch.from_numpy(boxes),
        "labels": torch.tensor([thing.label for thing, _ in seen], dtype=torch.int64),  # [N]
        "masks": torch.from_numpy(masks),
        "keypoints": torch.from_numpy(keypoints),
        "area": torch.from_numpy(masks.sum((1, 2)).astype(np.float32)),  # [N]
        "iscrowd": torch.zeros(len(seen), dtype=torch.int64),  # [N]
    }


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The pixel edges around the true pixels of `[S, S]`: x1, y1, x2, y2."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _keypoints(thing: Object, mask: np.ndarray) -> np.ndarray:
    """(x, y, visibility) of each joint: float32 `[K, 3]`."""
    found = np.zeros((len(KEYPOINTS), 3), np.float32)
    if thing.outline.joints is not None:
        size = len(mask)
        for row, (x, y) in zip(found, joints(thing, size), strict=True):
            if 0 <= x < size and 0 <= y < size:
                row[:] = x, y, 2 if mask[int(y), int(x)] else 1
    return found
