"""`segwidgets.anchors`: the boxes that a region proposal network starts from. Click a place of the map: its anchors, what they overlap,
and which of them are to say "object"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops.anchors import anchor_grid, base_anchors
from course.ops.boxes import box_iou
from course.ops.matching import IGNORED, NEGATIVE, match_boxes
from course.ops.step import listing, number
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.inputs import SHOWN_SIDE, as_tensor, check_keywords, pixels
from segwidgets.live import Live, PickCell, Slider
from segwidgets.panels import Arrow, Grid, Picture
from segwidgets.roles import ROLES
from segwidgets.trace import Cell, Trace, TraceStep

MOST_OBJECTS, MOST_SHAPES = 12, 16
MOST_PLACES = 64 * 64
LEAST_CELL = 5  # pixels of the picture as shown: a smaller cell cannot be clicked
MOST_LISTED, MOST_TOLD = 6, 2  # anchors that a sentence names, and that have a sentence of their own
MOST_LETTERS = 10  # of a name: it stands beside a row
FAINT = 0.3  # opacity of the grid
DOT = 1.5  # half the side of the square at a place where an anchor is positive, in pixels of the picture as shown
ROOM = Arrow("", line=False)  # the rows' names stand where an arrow would
LOOKS = {"positive": "truth", "ignored": "ignored", "negative": "suppressed"}
LEGEND = [
    ("object, positive anchor", ROLES["truth"].light),
    ("anchor, not judged yet", ROLES["candidate"].light),
    ("ignored (hatched), negative (dashed)", ROLES["ignored"].light),
]


def anchors(
    image,
    truth,
    *,
    stride: int,
    sizes: Sequence[float],
    aspect_ratios: Sequence[float] = (0.5, 1, 2),
    names: Sequence[str] | None = None,
    high: float = 0.7,
    low: float = 0.3,
    cell: Cell | None = None,
    **unknown,
) -> Live:
    """The anchors of the place that is clicked, what each overlaps, and whether it is positive, ignored or negative.

    A place of the map is the upper-left corner of a cell of `stride` × `stride` pixels: there its anchors have their centre. Which are
    positive is decided among all anchors of the map, as `course.ops.matching.match_boxes` does with `allow_low_quality`. The thresholds
    have sliders. A picture whose sides are no multiples of the stride counts as padded, as detectors pad it.

    Args:
        image: `[3, H, W]` (0…1).
        truth: `[G, 4]`, the objects' boxes, x1, y1, x2, y2 in pixels of the image; 1 to 12.
        stride: pixels of the image from one place to the next.
        sizes, aspect_ratios: of the anchors, in pixels and as height / width; together at most 16 shapes.
        names: a word for each object.
        high, low: an anchor is positive from `high` on, negative below `low`, in between it is ignored.
        cell: (row, column) of the place that is shown first; by default the one in the middle of the first object.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, anchors)
    scene = _Scene(image, truth, names, arguments.whole(stride, "stride", 1), sizes, aspect_ratios)

    def assigned(cell: Cell, high: float, low: float) -> Trace:
        return _Story(scene, cell, high, low).trace()

    side = scene.stride * scene.factor
    settings = [
        PickCell("cell", "photo", *scene.map_size, value=scene.middle if cell is None else cell, size=(side, side), label="place"),
        Slider("high", 0.0, 1.0, step=0.05, value=arguments.share(high, "high"), label="positive from"),
        Slider("low", 0.0, 1.0, step=0.05, value=arguments.share(low, "low"), label="negative below"),
    ]
    return Live(assigned, settings)


class _Scene:
    """What no click changes: the photograph with its grid, the objects, all anchors and their IoUs."""

    def __init__(self, image, truth, names: Sequence[str] | None, stride: int, sizes: Sequence[float], aspect_ratios: Sequence[float]):
        picture = pixels(image)
        height, width = picture.shape[:2]
        self.size, self.stride = (height, width), stride
        self.sizes, self.ratios = arguments.positives(sizes, "sizes"), arguments.positives(aspect_ratios, "aspect_ratios")
        self.factor = SHOWN_SIDE / max(height, width)
        self.map_size = (-(-height // stride), -(-width // stride))  # as of the padded picture
        self._check_map()
        self.base = base_anchors(sizes, aspect_ratios)  # [A, 4]
        if len(self.base) > MOST_SHAPES:
            raise ValueError(f"there are {len(self.base)} anchors at each place; {MOST_SHAPES} can be told apart")
        padded = tuple(places * stride for places in self.map_size)
        self.anchors = anchor_grid(padded, [self.map_size], [sizes], aspect_ratios)  # [N, 4]
        self.truth = _objects(truth, self.size)  # [G, 4]
        self.names = object_names(names, len(self.truth))
        self.iou = box_iou(self.truth, self.anchors)  # [G, N]
        self.pixels = _with_grid(picture, self.factor, stride)

    def _check_map(self) -> None:
        rows, columns = self.map_size
        if rows * columns > MOST_PLACES or self.stride * self.factor < LEAST_CELL:
            raise ValueError(
                f"with stride {self.stride} there are {rows} × {columns} places on {self.size[0]} × {self.size[1]} pixels, too small "
                "to click: pass a larger stride"
            )

    @cached_property
    def middle(self) -> Cell:
        """The place nearest to the middle of the first object."""
        x1, y1, x2, y2 = self.truth[0].tolist()
        nearest = (round((y1 + y2) / 2 / self.stride), round((x1 + x2) / 2 / self.stride))
        return tuple(min(max(index, 0), count - 1) for index, count in zip(nearest, self.map_size, strict=True))

    def shown(self, boxes: Tensor) -> list[Place]:
        return (boxes.double() * self.factor).numpy().reshape(-1, 4).tolist()

    def name(self, g: int) -> str:
        return f"object {g}" + (f" ({self.names[g]})" if self.names[g] else "")


class _Story:
    """The animation of one place. Its anchors are the boxes 0 to A − 1 on the picture, and the objects those behind."""

    def __init__(self, scene: _Scene, cell: Cell, high: float, low: float):
        self.scene, self.cell, self.high, self.low = scene, cell, high, low
        self.all = match_boxes(scene.iou, high, low, allow_low_quality=True)  # [N]
        self.count, self.objects = len(scene.base), len(scene.truth)
        first = (cell[0] * scene.map_size[1] + cell[1]) * self.count
        self.here = slice(first, first + self.count)
        self.iou = scene.iou[:, self.here]  # [G, A]
        self.best, self.favourite = self.iou.max(0)  # [A] each
        by_threshold = match_boxes(scene.iou, high, low)[self.here].tolist()
        self.matches = self.all[self.here].tolist()
        self.rescued = [a for a in range(self.count) if by_threshold[a] < 0 <= self.matches[a]]
        self.by_threshold = by_threshold

    def trace(self) -> Trace:
        scene = self.scene
        rows, columns = scene.map_size
        height, width = scene.size
        places = [*scene.shown(scene.base), *scene.shown(scene.truth)]
        names = [name or f"object {g}" for g, name in enumerate(scene.names)]
        boxes = Boxes(places, [None] * self.count + ["truth"] * self.objects, [*map(str, range(self.count)), *names])
        rows_named = [f"{g} {name}".strip().replace(" ", "\u00a0") for g, name in enumerate(scene.names)]  # in one line each
        panels = [
            Picture("photo", scene.pixels, "photograph", f"[3, {height}, {width}]", boxes=boxes, legend=LEGEND, width=12.0),
            Grid(
                "iou",
                np.zeros((self.objects + 1, self.count)),
                "IoU with the objects",
                "match: object, −1 negative, −2 ignored",
                empty=True,
                width=1.05 * self.count,
                row_names=[*rows_named, "match"],
            ),
        ]
        after = [self._moved(), *map(self._overlap, range(self.objects)), self._thresholds(), self._rescue(), self._last()]
        steps = [self._first(), self._base(), *map(self._with_centre, after)]
        title = f"anchors, stride {scene.stride}, {rows} × {columns} places"
        return Trace(title, panels=panels, arrows=[ROOM], steps=steps)

    def _first(self) -> TraceStep:
        rows, columns = self.scene.map_size
        stand = f"stands [1|read] anchor, {rows * columns}" if self.count == 1 else f"stand [{self.count}|read] anchors, {len(self.all)}"
        return TraceStep(
            f"The map has {rows} × {columns} places, {self.scene.stride} pixels apart: the corners of the grid, the upper-left one of each "
            f"cell. At each {stand} in all. Click a cell."
        )

    def _base(self) -> TraceStep:
        scene = self.scene
        size, ratio = scene.sizes[-1], scene.ratios[0]
        width, height = size / ratio**0.5, size * ratio**0.5
        return TraceStep(
            f"Base anchors: {_several(len(scene.sizes), 'size')} ({listing(scene.sizes)}) × {_several(len(scene.ratios), 'shape')} "
            f"(height / width {listing(scene.ratios)}), all around x 0, y 0: three quarters of each lie outside the picture.",
            boxes={"photo": {a: BoxLook("candidate", "", place) for a, place in enumerate(scene.shown(scene.base))}},
            arithmetic=f"size {number(size)}, ratio {number(ratio)}: {number(size)} / √{number(ratio)} = {number(width)} wide, "
            f"{number(size)} × √{number(ratio)} = {number(height)} high",
        )

    def _moved(self) -> TraceStep:
        row, column = self.cell
        stride = self.scene.stride
        return TraceStep(
            f"Row {row}, column {column}: the same shapes around x [{column * stride}|write], y [{row * stride}|write]. Their centre is "
            "the upper-left corner of the cell, not its middle.",
            boxes={"photo": {a: BoxLook("candidate", str(a), place) for a, place in enumerate(self._places())}},
            arithmetic=f"{column} × {stride} = {column * stride},  {row} × {stride} = {row * stride}",
        )

    def _with_centre(self, step: TraceStep) -> TraceStep:
        """The same step, with a dot where the anchors have their centre."""
        marks = {**step.marks.get("photo", {}), "write": [self._dot(self.cell)]}
        return replace(step, marks={**step.marks, "photo": marks})

    def _overlap(self, g: int) -> TraceStep:
        """A row of the table: one object with each anchor."""
        row = self.iou[g].tolist()
        best = max(range(self.count), key=row.__getitem__)
        overlap = f"anchor {best} overlaps it most, with IoU [{number(row[best])}|chosen]" if row[best] else "none of them touches it"
        marks = {"photo": {"read": [self.count + g]}, "iou": {"write": [(g, a) for a in range(self.count)]}}
        if row[best]:
            marks["photo"]["chosen"], marks["iou"]["chosen"] = [self._within(best)], [(g, best)]
        return TraceStep(
            f"O{self.scene.name(g)[1:]} and each anchor: {overlap}.",
            marks,
            {"iou": {(g, a): round(row[a], 3) for a in range(self.count)}},
            arithmetic=_arithmetic(self.scene.truth[g], self.scene.anchors[self.here][best], row[best]) if row[best] else "",
        )

    def _thresholds(self) -> TraceStep:
        """Each anchor's best IoU, the largest of its column, and what the thresholds make of it."""
        matches = self.by_threshold
        positive = _listed([a for a, match in enumerate(matches) if match >= 0])
        ignored = _listed([a for a, match in enumerate(matches) if match == IGNORED])
        negative = _listed([a for a, match in enumerate(matches) if match == NEGATIVE])
        cells = [(self.objects, a) for a in range(self.count)]
        return TraceStep(
            f"The best IoU of each anchor decides: from {number(self.high)} on it is [positive|truth] ({positive}), below "
            f"{number(self.low)} negative ({negative}), in between ignored ({ignored}).",
            {"iou": {"read": [(int(g), a) for a, g in enumerate(self.favourite)], "write": cells}},
            {"iou": {(row, a): float(matches[a]) for row, a in cells}},
            keep={"iou": [cell for cell in cells if matches[cell[1]] >= 0]},
            boxes={"photo": {a: self._look(a, match) for a, match in enumerate(matches)}},
        )

    def _rescue(self) -> TraceStep:
        """The anchors of this place that are positive only because no other is better for an object."""
        if not self.rescued:
            return TraceStep("An object's best anchor of the whole map is positive whatever its IoU. None of these became so.")
        cells = [(self.objects, a) for a in self.rescued]
        more = f" So are {len(self.rescued) - MOST_TOLD} more." if len(self.rescued) > MOST_TOLD else ""
        return TraceStep(
            " ".join(self._reason(a) for a in self.rescued[:MOST_TOLD]) + more,
            {"photo": {"read": [self.count + g for g in sorted({self._best_of(a) for a in self.rescued})]}, "iou": {"chosen": cells}},
            {"iou": {(row, a): float(self.matches[a]) for row, a in cells}},
            keep={"iou": cells},
            boxes={"photo": {a: self._look(a, self.matches[a]) for a in self.rescued}},
        )

    def _best_of(self, a: int) -> int:
        """The object that no anchor of the map overlaps more."""
        return int((self.iou[:, a] == self.scene.iou.amax(1)).nonzero()[0, 0])

    def _reason(self, a: int) -> str:
        """Of which object an anchor is the best, though it does not reach the threshold."""
        g = self._best_of(a)
        if not self.iou[g, a]:
            return (
                f"No anchor of the map touches {self.scene.name(g)}, so with IoU [0|chosen] anchor {a} is as good as any: [positive|truth]."
            )
        answers = "" if self.matches[a] == g else f" It answers for object {self.matches[a]}, which it overlaps more."
        return (
            f"No anchor of the map overlaps {self.scene.name(g)} more than anchor {a}: with IoU [{number(self.iou[g, a])}|chosen], below "
            f"{number(self.high)}, it is [positive|truth] all the same.{answers}"
        )

    def _last(self) -> TraceStep:
        """The whole map: how many there are of each, and where the positives stand."""
        positive, ignored = int((self.all >= 0).sum()), int((self.all == IGNORED).sum())
        per_place = (self.all >= 0).reshape(*self.scene.map_size, self.count).any(-1)  # [rows, columns]
        return TraceStep(
            f"Of all {len(self.all)} anchors of the map [{positive}|truth] {'is' if positive == 1 else 'are'} positive, {ignored} ignored "
            f"and {len(self.all) - positive - ignored} negative. The green dots are the places of the positive ones.",
            {"photo": {"truth": [self._dot(tuple(cell)) for cell in per_place.nonzero().tolist()]}},
        )

    def _look(self, a: int, match: int) -> BoxLook:
        """Negatives keep their number only: the table has the rest, and labels would hide the picture."""
        if match == NEGATIVE:
            return BoxLook(LOOKS["negative"], str(a))
        return BoxLook(LOOKS["positive" if match >= 0 else "ignored"], f"{a} · {number(float(self.best[a]))}")

    def _places(self) -> list[Place]:
        return self.scene.shown(self.scene.anchors[self.here])

    def _within(self, a: int) -> Place:
        """The part of an anchor that lies in the picture: a mark is not cut off, as boxes are."""
        rows, columns = self.scene.pixels.shape[:2]
        x1, y1, x2, y2 = self._places()[a]
        return (max(0.0, x1), max(0.0, y1), min(float(columns), x2), min(float(rows), y2))

    def _dot(self, cell: Cell) -> Place:
        """A small square around a place."""
        y, x = (index * self.scene.stride * self.scene.factor for index in cell)
        return (x - DOT, y - DOT, x + DOT, y + DOT)


def _arithmetic(truth: Tensor, anchor: Tensor, iou: float) -> str:
    """ "1200 / (4000 + 2500 − 1200) = 0.226": shared area over the area of both together."""
    width, height = (torch.minimum(truth[2:], anchor[2:]) - torch.maximum(truth[:2], anchor[:2])).tolist()
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (truth, anchor)]
    shared = number(width * height)
    return f"{shared} / ({number(areas[0])} + {number(areas[1])} − {shared}) = {number(iou)}"


def _with_grid(picture: np.ndarray, factor: float, stride: int) -> np.ndarray:
    """The photograph as shown, with faint lines through the places."""
    from PIL import Image

    height, width = picture.shape[:2]
    shown = np.array(Image.fromarray(picture).resize((round(width * factor), round(height * factor)), Image.Resampling.BICUBIC), np.float32)
    across, down = (
        np.unique(np.arange(0, side, stride * factor).round().astype(int).clip(max=side - 1)) for side in (shown.shape[1], shown.shape[0])
    )
    lines = np.zeros(shown.shape[:2], bool)
    lines[down], lines[:, across] = True, True
    shown[lines] += FAINT * (255 - shown[lines])
    return shown.round().astype(np.uint8)


def _objects(truth, size: tuple[int, int]) -> Tensor:
    boxes = as_tensor(truth, name="truth")
    arguments.check_boxes(boxes, "truth", finite=True)
    arguments.check_sizes(boxes, "truth")
    if not 1 <= len(boxes) <= MOST_OBJECTS:
        raise ValueError(f"truth holds {len(boxes)} boxes; from 1 to {MOST_OBJECTS} objects can be shown")
    height, width = size
    outside = (boxes[:, 0] >= width) | (boxes[:, 1] >= height) | (boxes[:, 2] <= 0) | (boxes[:, 3] <= 0)
    if outside.any():
        raise ValueError(
            f"truth has the box {listing(boxes[outside][0].tolist())}, which lies outside the picture of {width} × {height} pixels"
        )
    return boxes


def object_names(names: Sequence[str] | None, count: int) -> list[str]:
    """A word for each object, short enough to stand beside a row, or "" for each."""
    names = [""] * count if names is None else names
    if isinstance(names, str) or len(names) != count or not all(isinstance(name, str) for name in names):
        raise ValueError(f"names is {names!r}; it takes a word for each of the {count} objects")
    return [name[:MOST_LETTERS] for name in names]


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _listed(members: list[int]) -> str:
    """ "0, 3 and 4", of many how many."""
    if len(members) > MOST_LISTED:
        return f"{len(members)} anchors"
    if not members:
        return "none"
    return f"{', '.join(map(str, members[:-1]))} and {members[-1]}" if len(members) > 1 else str(members[0])
