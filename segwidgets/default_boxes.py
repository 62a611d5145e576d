"""`segwidgets.default_boxes`: the boxes that SSD starts from, level by level, and which of them a true box matches. Drag it and see.

W. Liu, D. Anguelov, D. Erhan, C. Szegedy, S. Reed, C.-Y. Fu and A. C. Berg, "SSD: Single Shot MultiBox Detector", 2015, arXiv:1512.02325,
section 2.2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from course.ops import anchors, arguments
from course.ops.arguments import IntOrPair
from course.ops.boxes import box_iou
from course.ops.matching import match_boxes
from course.ops.step import number
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.cells import counted
from segwidgets.inputs import SHOWN_SIDE, as_tensor, check_keywords, pixels
from segwidgets.live import Choice, DragBox, Live, Slider
from segwidgets.panels import Arrow, FieldBoxes, Grid, Picture
from segwidgets.roles import ROLES
from segwidgets.trace import Trace, TraceStep

MOST_LEVELS, MOST_SIDE = 7, 40
MOST_DRAWN = 30  # matches on the photograph: of more, one is not told from the other
MOST_DOTS = 260  # places of a level that are marked
DOT = 1.2  # half the side of a place's mark, in pixels of the photograph as shown
ROOM = 20.0  # units for all maps, side by side
TRUTH = 0  # the true box among those on the photograph; the default boxes follow, in their order
ALL = "all"
NAMES = Arrow("", line=False)  # the rows' names stand where an arrow would
LEGEND = [(name, ROLES[role].light) for name, role in (("object, match", "truth"), ("best match", "chosen"), ("default box", "candidate"))]


def default_boxes(
    image,
    image_size: IntOrPair | None,
    map_sizes: Sequence[IntOrPair],
    aspect_ratios: Sequence[Sequence[float]],
    scales: Sequence[float] | None = None,
    *,
    truth=None,
    steps: Sequence[float] | None = None,
    iou_threshold: float = 0.5,
    level: int | None = None,
    **unknown,
) -> Live:
    """SSD's default boxes on a picture, played level by level: what each level's boxes overlap of one object, and which of them match it.

    The object's box can be dragged and the threshold has a slider. A button chooses the level whose matches are drawn in the end. While the
    pointer is on a cell of a level, the best default box of that place is marked on the photograph.

    Args:
        image: `[3, H, W]`, 0…1.
        image_size: (height, width) to which the network scales the picture, or one integer; None leaves it as it is.
        map_sizes, aspect_ratios, scales, steps: as `course.ops.anchors.default_boxes`; at most 7 levels of at most 40 × 40 places.
        truth: one box, x1, y1, x2, y2 in pixels of `image`; by default one in its middle.
        iou_threshold: from this IoU on a default box matches, where the slider stands first; the best one matches in any case.
        level: whose matches are drawn in the end; by default all levels'.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, default_boxes)
    scene = _Scene(image, image_size, map_sizes, aspect_ratios, scales, steps)
    start = scene.start(truth)

    def matched(truth: Place, iou_threshold: float, level: str) -> Trace:
        box = start if truth == scene.shown(start) else scene.dragged(truth)
        return _Story(scene, box, iou_threshold, None if level == ALL else int(level)).trace()

    settings = [
        DragBox("truth", panel="photograph", box=TRUTH, value=scene.shown(start), label="object"),
        Slider("iou_threshold", 0.0, 1.0, step=0.05, value=arguments.share(iou_threshold, "iou_threshold"), label="match from IoU"),
        Choice("level", [ALL, *map(str, range(len(scene.levels)))], ALL if level is None else str(level), label="matches of level"),
    ]
    return Live(matched, settings)


@dataclass(frozen=True)
class _Level:
    """A map of H × W places with A default boxes each: `boxes [H, W, A, 4]`, in pixels of the network's picture."""

    number: int
    scale: float
    boxes: Tensor
    first: int  # of its boxes among all

    @property
    def id(self) -> str:
        return f"level {self.number}"

    @property
    def places(self) -> tuple[int, int]:
        return tuple(self.boxes.shape[:2])

    @cached_property
    def shapes(self) -> str:
        """ "60 × 60, 85 × 42": widths and heights."""
        sides = self.boxes[0, 0, :, 2:] - self.boxes[0, 0, :, :2]  # [A, 2]
        return ", ".join(f"{number(round(width, 1))} × {number(round(height, 1))}" for width, height in sides.double().tolist())


class _Scene:
    """What no drag changes: the photograph, and all default boxes."""

    def __init__(self, image, image_size, map_sizes, aspect_ratios, scales, steps):
        from PIL import Image

        picture = pixels(image)
        self.picture = picture.shape[:2]
        self.size = self.picture if image_size is None else arguments.pair(image_size, "image_size", 1)
        maps = _maps(map_sizes)
        scales = anchors.default_scales(len(maps)) if scales is None else scales
        self.boxes = anchors.default_boxes(self.size, maps, aspect_ratios, scales, steps)  # [N, 4]
        shown = [max(1, round(side * SHOWN_SIDE / max(self.picture))) for side in self.picture]
        self.pixels = np.array(Image.fromarray(picture).resize(shown[::-1], Image.Resampling.BICUBIC))
        self.factor = torch.tensor([shown[1] / self.size[1], shown[0] / self.size[0]] * 2, dtype=torch.float64)
        counts = [height * width * (2 + 2 * len(ratios)) for (height, width), ratios in zip(maps, aspect_ratios, strict=True)]
        firsts = np.cumsum([0, *counts[:-1]]).tolist()
        each = zip(self.boxes.split(counts), maps, scales, firsts, strict=False)  # there is a scale behind the last
        self.levels = [_Level(k, scale, boxes.reshape(*places, -1, 4), first) for k, (boxes, places, scale, first) in enumerate(each)]

    def shown(self, box: Tensor) -> Place:
        return tuple((box.double() * self.factor).tolist())

    def start(self, truth) -> Tensor:
        """The true box in pixels of the network's picture, [4]."""
        if truth is None:
            height, width = self.picture
            truth = [round(0.3 * width), round(0.25 * height), max(1, round(0.7 * width)), max(1, round(0.75 * height))]
        box = as_tensor(truth, name="truth").double()
        box = box[0] if box.shape == (1, 4) else box
        if box.shape != (4,):
            raise ValueError(f"truth has the shape {list(box.shape)}; it is the one box that can be dragged, x1, y1, x2, y2")
        arguments.check_boxes(box[None], "truth", finite=True)
        arguments.check_sizes(box[None], "truth")
        arguments.check_inside(box[None], self.picture, "truth")
        return box * self._stretch

    def dragged(self, place: Place) -> Tensor:
        """Where it was dragged, rounded so far that one sees no difference and can calculate; not less than a pixel as shown."""
        box = torch.tensor(place, dtype=torch.float64) / self.factor / self._stretch
        fine = 10 ** max(0, math.ceil(math.log10(SHOWN_SIDE / max(self.picture))))
        return torch.floor(box * fine + 0.5) / fine * self._stretch

    @property
    def _stretch(self) -> Tensor:
        """From the picture's pixels to those of the network's. [4]"""
        return torch.tensor([self.size[1] / self.picture[1], self.size[0] / self.picture[0]] * 2, dtype=torch.float64)


class _Story:
    """The animation for one true box, one threshold and one level, None for all of them."""

    def __init__(self, scene: _Scene, truth: Tensor, threshold: float, level: int | None):
        self.scene, self.truth, self.threshold, self.level = scene, truth, threshold, level
        arguments.check_sizes(truth[None], "truth")
        self.iou = box_iou(truth[None].float(), scene.boxes)  # [1, N]
        self.matches = match_boxes(self.iou, threshold, threshold) >= 0  # [N]
        self.best = int(self.iou[0].argmax())  # the first of several
        self.rescued = not bool(self.matches[self.best])
        self.matches[self.best] = True
        best_first = self.iou[0].argsort(descending=True, stable=True)
        self.matching = best_first[self.matches[best_first]].tolist()  # the best first
        self.drawn = sorted({box for each in scene.levels for box in self._at_best_place(each)} | set(self._to_draw()))

    def trace(self) -> Trace:
        scene = self.scene
        places = [scene.shown(self.truth), *(scene.shown(scene.boxes[box]) for box in self.drawn)]
        boxes = Boxes(places, ["truth", *[None] * len(self.drawn)], ["object", *[""] * len(self.drawn)], measured=True)
        height, width = scene.size
        width_of_map = min(7.0, ROOM / len(scene.levels))
        names = [level.id.replace(" ", "\u00a0") for level in scene.levels]  # in one line each
        counts = np.zeros((len(names), 1))
        matches = Grid("matches", counts, note="default boxes", empty=True, width=1.1, row_names=names, column_names=(" ",))
        panels = [
            Picture("photograph", scene.pixels, note=f"[3, {height}, {width}]", width=11.0, boxes=boxes, legend=LEGEND),
            *(self._map(level, width_of_map) for level in scene.levels),
            matches,
        ]
        arrows = [Arrow("IoU"), *[None] * (len(scene.levels) - 1), NAMES]
        steps = [self._first(), *(self._of_level(level) for level in scene.levels), self._last()]
        return Trace("default boxes", panels=panels, arrows=arrows, steps=steps)

    def _map(self, level: _Level, width: float) -> Grid:
        """The best IoU at each place, and the box that has it."""
        best = self._overlap(level).argmax(-1)  # [H, W]
        boxes = level.boxes.take_along_dim(best[..., None, None], 2)[:, :, 0]  # [H, W, 4]
        field = FieldBoxes("photograph", (boxes.double() * self.scene.factor).numpy(), float(self.scene.factor[0]), word="best box")
        look = {"paint": "heat", "empty": True, "width": width, "limits": (0.0, 1.0), "field": field}
        rows, columns = level.places
        return Grid(level.id, np.zeros((rows, columns)), note=f"{rows} × {columns}", **look)

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _first(self) -> TraceStep:
        x1, y1, x2, y2 = self.truth.tolist()
        maps = counted(len(self.scene.levels), "map")
        return TraceStep(
            f"[{len(self.scene.boxes)}|read] default boxes on {maps}, the small ones on the finest. Which are to find the [object|truth], "
            f"{_side(x2 - x1)} × {_side(y2 - y1)} pixels? Those with an IoU of at least {number(self.threshold)}, and the best in any "
            "case. Drag it.",
        )

    def _of_level(self, level: _Level) -> TraceStep:
        """The shapes of a level where it fits best, and the overlap everywhere."""
        overlap, (rows, columns) = self._overlap(level).amax(-1), level.places
        here = self._at_best_place(level)
        best = max(here, key=lambda box: float(self.iou[0, box]))
        before = self._at_best_place(self.scene.levels[level.number - 1]) if level.number else []
        looks = dict.fromkeys(self._numbers(before)) | {i: BoxLook("candidate") for i in self._numbers(here)}
        count, iou = len(self._matching(level)), number(round(float(self.iou[0, best]), 3))
        looks[self._numbers([best])[0]] = BoxLook("chosen")
        of = f"of {overlap.numel() * len(here)} {'matches' if count == 1 else 'match'}"
        return TraceStep(
            f"Level {level.number}, {rows} × {columns} places, scale {number(round(level.scale, 3))}: {len(here)} boxes at each, drawn "
            f"where they fit best, with IoU [{iou}|chosen]. [{count}|truth] {of}.",
            {"photograph": {"candidate": self._dots(level)}, level.id: {"chosen": [self._place(level, best)]}},
            {
                level.id: {cell: round(float(overlap[cell]), 3) for cell in np.ndindex(rows, columns)},
                "matches": {(level.number, 0): float(count)},
            },
            boxes={"photograph": looks},
            arithmetic=f"at each place: {level.shapes} pixels",
        )

    def _last(self) -> TraceStep:
        """All that match, or those of the chosen level."""
        here = self._at_best_place(self.scene.levels[-1])
        drawn = self._to_draw()
        looks = dict.fromkeys(self._numbers(here)) | {i: BoxLook("truth") for i in self._numbers(drawn)}
        best, overlap = self.best, number(round(float(self.iou[0, self.best]), 3))
        if best in drawn:
            looks[self._numbers([best])[0]] = BoxLook("chosen")
        return TraceStep(
            f"{self._told(overlap)}{self._of_chosen(len(drawn))}",
            boxes={"photograph": looks},
            arithmetic=" + ".join(str(len(self._matching(level))) for level in self.scene.levels) + f" = {len(self.matching)}",
        )

    def _told(self, overlap: str) -> str:
        level = next(each for each in reversed(self.scene.levels) if self.best >= each.first)
        if self.rescued:
            return (
                f"No default box reaches an IoU of {number(self.threshold)}: the best, of level {level.number} with [{overlap}|chosen], "
                "matches all the same."
            )
        count = len(self.matching)
        levels = [each.number for each in self.scene.levels if self._matching(each)]
        one = f"[1|truth] default box matches, of level {level.number}, with IoU [{overlap}|chosen]."
        where = f"level {levels[0]}" if len(levels) == 1 else f"levels {', '.join(map(str, levels[:-1]))} and {levels[-1]}"
        many = f"[{count}|truth] default boxes match, of {where}, the best of level {level.number} with IoU [{overlap}|chosen]."
        return one if count == 1 else many

    def _of_chosen(self, drawn: int) -> str:
        if self.level is None:
            return f" Drawn: the best {drawn}." if drawn < len(self.matching) else ""
        count = len(self._matching(self.scene.levels[self.level]))
        return f" Drawn: {'the best ' if drawn < count else ''}{drawn} of level {self.level}."

    # ---- what they share ------------------------------------------------------------------------------------------------

    def _overlap(self, level: _Level) -> Tensor:
        """[H, W, A]"""
        return self.iou[0, level.first : level.first + level.boxes[..., 0].numel()].reshape(level.boxes.shape[:3])

    def _matching(self, level: _Level) -> list[int]:
        after = level.first + level.boxes[..., 0].numel()
        return [box for box in self.matching if level.first <= box < after]

    def _to_draw(self) -> list[int]:
        return (self.matching if self.level is None else self._matching(self.scene.levels[self.level]))[:MOST_DRAWN]

    def _at_best_place(self, level: _Level) -> list[int]:
        """The boxes at the place where one of them overlaps the object most."""
        count = level.boxes.shape[2]
        first = level.first + int(self._overlap(level).argmax()) // count * count
        return list(range(first, first + count))

    def _place(self, level: _Level, box: int) -> tuple[int, int]:
        return divmod((box - level.first) // level.boxes.shape[2], level.places[1])

    def _numbers(self, boxes: Sequence[int]) -> list[int]:
        """Of default boxes, their numbers on the photograph."""
        return [TRUTH + 1 + self.drawn.index(box) for box in boxes]

    def _dots(self, level: _Level) -> list[Place]:
        """A small square at each place, unless they are too many to be seen."""
        boxes = level.boxes[:, :, 0].reshape(-1, 4).double() * self.scene.factor
        if len(boxes) > MOST_DOTS:
            return []
        x, y = ((boxes[:, axis] + boxes[:, axis + 2]) / 2 for axis in (0, 1))
        return torch.stack((x - DOT, y - DOT, x + DOT, y + DOT), 1).tolist()


def _side(length: float) -> str:
    return number(round(length, 1))


def _maps(map_sizes) -> list[tuple[int, int]]:
    maps = [arguments.pair(size, "each of map_sizes", 1) for size in arguments.several(map_sizes, "map_sizes")]
    if len(maps) > MOST_LEVELS:
        raise ValueError(f"map_sizes has {len(maps)} levels; at most {MOST_LEVELS} can be shown side by side")
    for height, width in maps:
        if max(height, width) > MOST_SIDE:
            raise ValueError(f"map_sizes has a level of {height} × {width} places; at most {MOST_SIDE} × {MOST_SIDE} can be told apart")
    return maps
