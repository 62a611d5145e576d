"""`course.data.shapes` with a known number of objects a picture: `SingleObjects` for a localizer, `CountedObjects` for N outputs.

Scenes, photographs and targets are those of `Shapes`. A scene is drawn anew until it has as many objects as are asked for; what it has
more of is taken out before anything is painted, so nothing else is in the picture than the target says.

Shape letters: S side of the picture, K keypoints of a person.
"""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

import numpy as np
from torch import Tensor

from course.data.rendering import render
from course.data.scenes import MOST_OBJECTS, Object, random_scene
from course.data.shapes import CLASSES, Shapes


class CountedObjects(Shapes):
    """Pictures with exactly `objects` objects. Because each has as many, the targets of a batch stack without a `collate`.

    Args:
        split, count, size, seed: as of `Shapes`.
        objects: how many, 0 to 4.
        kinds: which classes of `CLASSES` may occur. Many objects of few kinds are rare, and take long to find.
        smallest: the longer side of every box, in sides of the picture, is at least this, 0 to 0.5.

    Item i depends on all the arguments but `count`. It is (image, target) as `Shapes(target="instances")` gives it, with N = `objects`.

    Raises: TypeError or ValueError for arguments that cannot be; IndexError beyond the end.
    """

    def __init__(
        self,
        split: str = "train",
        *,
        objects: int,
        count: int = 1000,
        size: int = 64,
        seed: int = 0,
        kinds: Sequence[str] = CLASSES[1:],
        smallest: float = 0.0,
    ):
        super().__init__(split, count=count, size=size, seed=seed, target="instances")
        name = type(self).__name__
        if isinstance(objects, bool) or not isinstance(objects, int) or not 0 <= objects <= MOST_OBJECTS:
            raise ValueError(f"{name} takes 0 to {MOST_OBJECTS} objects a picture, not {objects!r}.")
        if isinstance(kinds, str) or not kinds or not set(kinds) <= set(CLASSES[1:]):
            raise ValueError(f"{name} takes kinds from {', '.join(map(repr, CLASSES[1:]))}, not {kinds!r}.")
        if isinstance(smallest, bool) or not isinstance(smallest, Real) or not 0 <= smallest <= 0.5:
            raise ValueError(f"{name} takes smallest from 0 to 0.5, in sides of the picture, not {smallest!r}.")
        self.objects, self.smallest = objects, float(smallest)
        self.labels = frozenset(CLASSES.index(kind) for kind in kinds)

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[Object, np.ndarray]]]:
        while True:
            scene = random_scene(rng, self.split)
            chosen = [thing for thing in scene.objects if thing.label in self.labels][: self.objects]
            if len(chosen) < self.objects:
                continue
            picture, seen = render(replace(scene, objects=tuple(chosen)), self.size, rng)
            if len(seen) == self.objects and all(_longer_side(mask) >= self.smallest * self.size for _, mask in seen):
                return picture, seen


class SingleObjects(CountedObjects):
    """Pictures with exactly one object: what a localizer learns from, and with kinds=("person",) a pose regressor.

    Arguments and errors: `CountedObjects`, without `objects`. Objects are a quarter of the picture long at least, unless `smallest` says
    otherwise. Item i is (image float32 `[3, S, S]`, target), and the target is a dict without the dimension of the objects, so that in a
    batch of N pictures boxes are `[N, 4]`:

        boxes      float32 `[4]`, xyxy: the edges of the visible pixels
        labels     int64 `[]`, 1 to 6
        keypoints  float32 `[K, 3]`, (x, y, visibility), all 0 unless it is a person
    """

    def __init__(
        self,
        split: str = "train",
        *,
        count: int = 1000,
        size: int = 64,
        seed: int = 0,
        kinds: Sequence[str] = CLASSES[1:],
        smallest: float = 0.25,
    ):
        super().__init__(split, objects=1, count=count, size=size, seed=seed, kinds=kinds, smallest=smallest)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        image, target = super().__getitem__(index)
        return image, {name: target[name][0] for name in ("boxes", "labels", "keypoints")}


def _longer_side(mask: np.ndarray) -> int:
    """Of the box around the true pixels of `[S, S]`, in pixels."""
    return max(int(np.ptp(np.flatnonzero(mask.any(axis)))) + 1 for axis in (0, 1))
