"""`segwidgets.masks`: from the 28 × 28 probabilities of a mask head to pixels: one mask per class, pasted into the box, cut at a threshold.

K. He, G. Gkioxari, P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 3: a sigmoid for each class, so that classes do
not compete; the box's class says which mask counts. Section 3.1: it is resized to the box and made binary at 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops.labels import label_colour
from course.ops.masks import paste_masks, pasted_boxes
from course.ops.step import number
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.cells import class_names, counted, listed
from segwidgets.inputs import as_tensor, check_keywords, pixels, shrunk
from segwidgets.live import Choice, Live, Setting, Slider
from segwidgets.panels import Arrow, FieldBoxes, Film, Grid, Picture, colours
from segwidgets.trace import Cell, Trace, TraceStep

MOST_DETECTIONS = 12
MOST_CHANNELS = 9  # classes whose masks are shown: of more the likeliest
MOST_CELLS = 64  # along a side of a mask
MOST_TERMS = 5  # of a sum of classes
ITS_CLASS = "its class"
ROUNDING = 1e-4  # a share may be so far beyond 0 or 1 where it was computed in a coarse precision
TINT = 0.7  # opacity of a mask on the photograph
GAP, HEAD = 2, 9  # cells between the masks of two classes, side by side and one under the other
AROUND = 0.12  # how much of the photograph around the box is shown with it, in parts of its longer side
PLAIN, INSTANCES = range(2)  # frames of the photograph
PICTURE, PROBABILITY, MASK, JUDGED = range(4)  # frames of what lies under the box
BOTH, EXTRA, MISSED = (0, 158, 115), (213, 94, 0), (160, 225, 205)  # truth's green; wrong's vermilion; and truth's, pale
JUDGEMENT = [("in both", BOTH), ("only in the mask", EXTRA), ("only in the truth", MISSED)]


def masks(
    image,
    boxes,
    probabilities,
    labels,
    classes: Sequence[str],
    threshold: float = 0.5,
    *,
    scores=None,
    truth=None,
    detection: int = 0,
    **unknown,
) -> Live:
    """What a mask head says of a detection, and how pixels come of it: the masks of all classes, that of its class stretched to the box,
    cut at a threshold and held against the truth; at last all detections, a colour each.

    The detection, the class whose mask is looked at, and the threshold can be chosen. A pixel belongs to a mask if its probability is above
    the threshold.

    Args:
        image: `[3, H, W]`, 0…1.
        boxes: `[D, 4]`, or `[4]` for one, x1, y1, x2, y2 in pixels of the image; at most 12. They may reach beyond it.
        probabilities: `[D, K, M, M]`, or `[K, M, M]` for one, from 0 to 1: after the sigmoid, for each class; or with the background first.
        labels: `[D]`, or one integer: the boxes' classes, from 1 on.
        classes: the K names, without the background.
        threshold: where the slider stands first.
        scores: `[D]`, shown with the boxes.
        truth: the true masks `[T, H, W]`, or `[H, W]`, bool; or `{"masks": …}`. Each mask is held against the one that it overlaps most.
        detection: the one that is shown first.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, masks)
    found = _Found.of(image, boxes, probabilities, labels, class_names(classes), scores, truth)
    if isinstance(detection, bool) or not isinstance(detection, int) or not 0 <= detection < len(found.boxes):
        raise ValueError(f"detection is {detection!r}, and there are the detections 0 to {len(found.boxes) - 1}")
    names = [found.name(d) for d in range(len(found.boxes))]
    channels = {found.classes[k]: k for k in found.shown}

    def compute(threshold: float, detection: str = names[detection], channel: str = ITS_CLASS) -> Trace:
        d = names.index(detection)
        return _Story(found, d, found.labels[d] - 1 if channel == ITS_CLASS else channels[channel], threshold).trace()

    settings: list[Setting] = [Slider("threshold", 0.0, 1.0, step=0.05, value=threshold)]
    if len(channels) > 1:
        settings.insert(0, Choice("channel", [ITS_CLASS, *channels], ITS_CLASS, label="mask of"))
    if len(names) > 1:
        settings.insert(0, Choice("detection", names, names[detection]))
    return Live(compute, settings)


@dataclass(frozen=True)
class _Found:
    """What was detected: `boxes [D, 4]`, `probabilities [D, K, M, M]` without the background's, `labels` from 1 on, `truth [T, H, W]`."""

    pixels: np.ndarray  # [H, W, 3]
    boxes: Tensor
    probabilities: Tensor
    labels: list[int]
    classes: list[str]
    scores: list[float] | None
    truth: Tensor | None

    @classmethod
    def of(cls, image, boxes, probabilities, labels, classes: list[str], scores, truth) -> _Found:
        picture, boxes = pixels(image), _boxes(boxes)
        probabilities = _probabilities(probabilities, len(boxes), len(classes))
        scores = None if scores is None else _scores(scores, len(boxes))
        truth = None if truth is None else _truth(truth, picture.shape[:2])
        return cls(picture, boxes, probabilities, _labels(labels, len(boxes), len(classes)), classes, scores, truth)

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[:2]

    @property
    def cells(self) -> int:
        return self.probabilities.shape[-1]

    @property
    def shown(self) -> list[int]:
        """The classes, from 0 on, whose masks are shown: all; or those of the detections, and of the others the likeliest."""
        highest = self.probabilities.amax((0, 2, 3)) + torch.tensor([1.0 + k in self.labels for k in range(len(self.classes))])  # [K]
        return sorted(highest.argsort(descending=True, stable=True)[:MOST_CHANNELS].tolist())

    def class_of(self, d: int) -> str:
        return self.classes[self.labels[d] - 1]

    def name(self, d: int) -> str:
        return f"{d} {self.class_of(d)}"

    def label(self, d: int) -> str:
        return self.name(d) if self.scores is None else f"{self.name(d)} {number(round(self.scores[d], 3))}"

    def pasted(self, d: int, k: int) -> Tensor:
        """The probability of each pixel of the picture, `[H, W]`."""
        return paste_masks(self.probabilities[d, [k]], self.boxes[[d]], self.size)[0]


class _Story:
    """The animation of detection `d`, where the mask of class `k` (from 0 on) is looked at."""

    def __init__(self, found: _Found, d: int, k: int, threshold: float):
        self.found, self.d, self.k, self.threshold = found, d, k, threshold
        self.mask = found.probabilities[d, k]  # [M, M]
        self.pasted = found.pasted(d, k)  # [H, W]
        self.inside = self.pasted > threshold  # [H, W]
        self.photograph, self.factor = shrunk(found.pixels)
        height, width = found.size
        x1, y1, x2, y2 = pasted_boxes(found.boxes[[d]], found.cells)[0].tolist()
        self.place = (x1, y1, x2, y2)  # with its ring, in whole pixels
        self.filled = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
        side = math.ceil((1 + 2 * AROUND) * max(x2 - x1, y2 - y1))
        left, top = (x1 + x2 - side) // 2, (y1 + y2 - side) // 2  # a square, so that the panel keeps its size from box to box
        self.region = (max(left, 0), max(top, 0), min(left + side, width), min(top + side, height))
        if not self._in_picture:
            self.region = (0, 0, width, height)

    def trace(self) -> Trace:
        found = self.found
        boxes = Boxes(self._shown(found.boxes), ["candidate"] * len(found.boxes), measured=True)
        legend = [(found.name(d), label_colour(1 + d)) for d in range(len(found.boxes))]
        note = f"[3, {found.size[0]}, {found.size[1]}]"
        panels = [
            Film("photograph", [self.photograph, self._instances()], note=note, width=10.0, legend=legend, boxes=boxes),
            self._channels(),
            self._mask(),
            self._under_the_box(),
        ]
        steps = [self._first(), self._classes(), self._cells(), self._pasting(), self._cut(), *self._judged(), self._all()]
        arrows = [Arrow("mask head"), Arrow("choose"), Arrow("paste")]
        return Trace(f"masks of {counted(len(found.boxes), 'detection')}", panels=panels, arrows=arrows, steps=steps)

    # ---- panels ---------------------------------------------------------------------------------------------------------

    def _channels(self) -> Picture:
        """The masks of the classes side by side, each under its name."""
        found, cells = self.found, self.found.cells
        across = math.ceil(math.sqrt(len(found.shown)))
        down = math.ceil(len(found.shown) / across)
        head = max(1, round(HEAD * cells / 28))
        sheet = np.full((down * (cells + head), across * (cells + GAP) - GAP, 3), 128, np.uint8)
        places = []
        for i, k in enumerate(found.shown):
            top, left = i // across * (cells + head) + head, i % across * (cells + GAP)
            sheet[top : top + cells, left : left + cells] = _heat(found.probabilities[self.d, k])
            places.append((left, top, left + cells, top + cells))
        roles = ["read" if k == self.k else "candidate" for k in found.shown]
        named = Boxes(places, roles, [found.classes[k] for k in found.shown], measured=True)
        shape = f"[{len(found.classes)}, {cells}, {cells}]"
        few = "" if len(found.shown) == len(found.classes) else f", {len(found.shown)} shown"
        return Picture("channels", sheet, "one mask per class", shape + few, width=7.0, lossless=True, boxes=named)

    def _mask(self) -> Grid:
        """The mask that is looked at; each cell knows its place under the box."""
        x1, y1, x2, y2 = (self.found.boxes[self.d].double() * self.factor).tolist()
        xs, ys = (np.linspace(start, end, self.found.cells + 1) for start, end in ((x1, x2), (y1, y2)))
        across, down = np.meshgrid(xs[:-1], ys[:-1])
        places = np.stack((across, down, across + xs[1] - xs[0], down + ys[1] - ys[0]), -1)  # [M, M, 4]
        field = FieldBoxes("photograph", places, self.factor, word="covers")
        note = str(list(self.mask.shape))
        return Grid("mask", self.mask.numpy(), f"mask of the {self._class}", note, "heat", width=7.0, limits=(0.0, 1.0), field=field)

    def _under_the_box(self) -> Film:
        """The part of the photograph with the box: as it is, under the probabilities, under the mask, and against the truth."""
        x1, y1, x2, y2 = self.region
        part = self.found.pixels[y1:y2, x1:x2]
        inside = self.inside[y1:y2, x1:x2].numpy()
        left, top, right, bottom = self.filled
        grey, heat = _grey(part), part.copy()
        if self._in_picture:
            heat[top - y1 : bottom - y1, left - x1 : right - x1] = _heat(self.pasted[top:bottom, left:right])
        frames = [part, heat, _tinted(grey, inside, label_colour(1 + self.d))]
        legend = []
        if self.found.truth is not None:
            legend = JUDGEMENT
            frames.append(self._against_truth(grey, inside))
        small = [shrunk(frame)[0] for frame in frames]
        boxes = Boxes([self._zoomed(tuple(self.found.boxes[self.d].tolist()))], "read", measured=True)  # orange is what is too much
        title, note = "pasted", f"[{y2 - y1}, {x2 - x1}]"
        wide = 8.0 * min(1.0, part.shape[1] / part.shape[0])  # nor higher than that
        return Film("pasted", small, title, note, width=wide, lossless=True, legend=legend, boxes=boxes)

    def _against_truth(self, grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
        x1, y1, x2, y2 = self.region
        true = self._true[0][y1:y2, x1:x2].numpy()
        judged = _tinted(grey, inside & true, BOTH)
        judged = _tinted(judged, inside & ~true, EXTRA)
        return _tinted(judged, true & ~inside, MISSED)

    def _instances(self) -> np.ndarray:
        """All masks, each of its own class, on the photograph; in reading order, so that later ones lie on top."""
        sheet = _grey(self.found.pixels)
        for d, inside in enumerate(self._every):
            sheet = _tinted(sheet, inside.numpy(), label_colour(1 + d))
        return shrunk(sheet)[0]

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _first(self) -> TraceStep:
        found, cells = self.found, self.found.cells
        several = f", a mask for each of {len(found.classes)} classes" if len(found.classes) > 1 else ""
        choose = f" Here is [{found.name(self.d)}|chosen]." if len(found.boxes) > 1 else ""
        return TraceStep(
            f"{counted(len(found.boxes), 'detection')}. Whatever the size of a box, the mask head says [{cells} × {cells}|read] "
            f"probabilities{several}.{choose}",
            arithmetic=f"{len(found.classes)} × {cells} × {cells} = {len(found.classes) * cells**2}",
            boxes={"photograph": {self.d: BoxLook("chosen", found.label(self.d))}},
        )

    def _classes(self) -> TraceStep:
        """Which mask counts; and that the classes do not share what there is."""
        found, own = self.found, self.found.labels[self.d] - 1
        if len(found.classes) == 1:
            return TraceStep(f"There is one class, the [{found.class_of(self.d)}|chosen], and so one mask. Each cell passed a sigmoid.")
        every = found.probabilities[self.d]  # [K, M, M]
        row, column = divmod(int(every.sum(0).argmax()), found.cells)
        here = every[:, row, column]  # [K]
        order = here.argsort(descending=True, stable=True).tolist()
        terms = [f"{found.classes[k]} {_short(here[k])}" for k in order[:MOST_TERMS]]
        rest = [f"{len(order) - MOST_TERMS} more {_short(here[order[MOST_TERMS:]].sum())}"] if len(order) > MOST_TERMS else []
        caption = (
            f"The box is of class [{found.class_of(self.d)}|chosen], so of {len(found.classes)} masks only that one counts. Each has a "
            f"sigmoid of its own: the classes don't compete, and at row {row}, column {column} they sum to {_short(here.sum())}."
        )
        if self.k != own:
            caption += f" You look at the mask of the [{self._class}|read], which would not be used."
        marks = {"channels": {"chosen": [found.shown.index(own)]}, "mask": {"read": [(row, column)]}}
        return TraceStep(caption, marks, arithmetic=f"{' + '.join([*terms, *rest])} = {_short(here.sum())}")

    def _cells(self) -> TraceStep:
        above, cells = int((self.mask > self.threshold).sum()), self.mask.numel()
        highest = divmod(int(self.mask.argmax()), self.found.cells)
        return TraceStep(
            f"The mask of the {self._class}: [{above}|write] of {cells} cells lie above {number(self.threshold)}. It is surest at row "
            f"{highest[0]}, column {highest[1]}: [{_short(self.mask[highest])}|chosen]. Point at a cell to see where it lies.",
            {"mask": {"chosen": [highest]}},
        )

    def _pasting(self) -> TraceStep:
        """The mask stretched to the box, and a pixel of it by hand."""
        x1, y1, x2, y2 = self.found.boxes[self.d].tolist()
        wide, high = (number(side / self.found.cells) for side in (x2 - x1, y2 - y1))
        caption = (
            f"Pasted: the box is {number(x2 - x1)} × {number(y2 - y1)} pixels, so a cell becomes [{wide} × {high}|read] pixels, with "
            "bilinear interpolation between the middles of cells. "
        )
        if not self._in_picture:
            return TraceStep(f"{caption}But the box lies outside the picture: none of its pixels is there.", shows={"pasted": PICTURE})
        (y, x), at, corners = self._example()
        value = self.pasted[y, x]
        terms = [f"{number(weight)} × {number(self.mask[cell])}" for cell, weight in corners.items()]
        caption += f"Pixel row {y}, column {x} lies at row {number(at[0])}, column {number(at[1])}: [{_short(value)}|chosen]."
        marks = {"mask": {"read": list(corners)}, "pasted": {"chosen": [self._zoomed((x, y, x + 1, y + 1))]}}
        sum_ = f"{' + '.join(terms)} = {number(value)}" if terms else "beyond the outermost cells it is 0"
        return TraceStep(caption, marks, arithmetic=sum_, shows={"pasted": PROBABILITY})

    def _cut(self) -> TraceStep:
        left, top, right, bottom = self.filled
        inside, count = int(self.inside.sum()), max(0, right - left) * max(0, bottom - top)
        if not count:
            return TraceStep("The threshold makes pixels of probabilities, and here there are none.", shows={"pasted": MASK})
        what = "They are its mask." if self.k == self.found.labels[self.d] - 1 else f"They would be the mask of the {self._class}."
        return TraceStep(
            f"The threshold makes pixels of probabilities: [{inside}|write] of {count} under the mask lie above "
            f"[{number(self.threshold)}|chosen]. {what if inside else 'It is too high for this mask.'}",
            shows={"pasted": MASK},
        )

    def _judged(self) -> list[TraceStep]:
        """The mask and the true one that it overlaps most."""
        if self.found.truth is None:
            return []
        true, t, iou = self._true
        if t is None:
            return [TraceStep("No true mask overlaps it: IoU [0|chosen].", shows={"pasted": JUDGED})]
        both, extra, missed = (int(each.sum()) for each in (self.inside & true, self.inside & ~true, true & ~self.inside))
        which = f" {t}" if len(self.found.truth) > 1 else ""
        return [
            TraceStep(
                f"Against the true mask{which}: [{both}|truth] pixels are in both, [{extra}|wrong] only in the mask, [{missed}|truth] only "
                f"in the truth. IoU [{number(round(iou, 3))}|chosen].",
                arithmetic=f"{both} / ({both} + {extra} + {missed}) = {number(round(iou, 3))}",
                shows={"pasted": JUDGED},
            )
        ]

    def _all(self) -> TraceStep:
        """Every detection in a colour of its own."""
        found, every = self.found, self._every
        sizes = [int(inside.sum()) for inside in every]
        shared = int((torch.stack(every).sum(0) > 1).sum())
        each = listed([f"{found.name(d)} {size}" for d, size in enumerate(sizes)], most=6)
        caption = f"All masks, a colour an object, in pixels: {each}."
        if len(every) == 1:
            caption = f"On the photograph: the {found.class_of(0)} has {counted(sizes[0], 'pixel')}."
        overlap = (
            f" {counted(shared, 'pixel')} {'belongs' if shared == 1 else 'belong'} to more than one: nothing forbids it." if shared else ""
        )
        looks = {d: BoxLook("chosen" if d == self.d else "candidate", found.label(d)) for d in range(len(every))}
        return TraceStep(caption + overlap, shows={"photograph": INSTANCES}, boxes={"photograph": looks})

    # ---- what they share ------------------------------------------------------------------------------------------------

    @property
    def _class(self) -> str:
        return self.found.classes[self.k]

    @property
    def _in_picture(self) -> bool:
        left, top, right, bottom = self.filled
        return left < right and top < bottom

    @property
    def _every(self) -> list[Tensor]:
        """The mask of each detection, of its own class, `[H, W]` bool."""
        return [self.found.pasted(d, label - 1) > self.threshold for d, label in enumerate(self.found.labels)]

    @property
    def _true(self) -> tuple[Tensor, int | None, float]:
        """The true mask with the highest IoU, its number and the IoU; without an overlap an empty mask and None."""
        truth = self.found.truth
        both, either = ((truth & self.inside).sum((1, 2)), (truth | self.inside).sum((1, 2)))  # [T] each
        iou = both / either.clamp(min=1)  # [T]
        if not len(truth) or not both.any():
            return torch.zeros_like(self.inside), None, 0.0
        best = int(iou.argmax())
        return truth[best], best, float(iou[best])

    def _example(self) -> tuple[Cell, tuple[float, float], dict[Cell, float]]:
        """A pixel, where it lies in the mask, in cells whose middles are whole numbers, and the weights of the cells around it: the pixel
        whose probability is nearest to the threshold, for there it matters."""
        left, top, right, bottom = self.filled
        near = (self.pasted[top:bottom, left:right] - self.threshold).abs()
        y, x = divmod(int(near.argmin()), right - left)
        pixel, cells = (y + top, x + left), self.found.cells
        sides = zip(pixel, self.place[1::-1], self.place[:1:-1], strict=True)  # row and column: first pixel, and the one after the last
        at = tuple((place + 0.5 - first) * (cells + 2) / (end - first) - 1.5 for place, first, end in sides)  # a ring of 0 is around it
        corners = {}
        for row, column in np.ndindex(2, 2):
            cell = math.floor(at[0]) + row, math.floor(at[1]) + column
            weight = math.prod(1 - abs(place - index) for place, index in zip(at, cell, strict=True))
            if all(0 <= index < cells for index in cell) and weight > 0:
                corners[cell] = weight
        return pixel, at, corners

    def _shown(self, boxes: Tensor) -> list[Place]:
        return [tuple(box) for box in (boxes.double() * self.factor).tolist()]

    def _zoomed(self, place: Place) -> Place:
        """A place in pixels of the picture on the part that is shown with the box."""
        x1, y1, x2, y2 = self.region
        factor = shrunk(self.found.pixels[y1:y2, x1:x2])[1]
        return tuple((side - start) * factor for side, start in zip(place, (x1, y1) * 2, strict=True))


def _heat(probabilities: Tensor) -> np.ndarray:
    return colours("heat")[(probabilities.clamp(0, 1) * 255).round().int().numpy()]


def _grey(picture: np.ndarray) -> np.ndarray:
    """The picture without its colours, and neither black nor white, so that those of masks are told apart on it. `[H, W, 3]` uint8"""
    grey = 60 + 0.5 * (picture @ np.array([0.299, 0.587, 0.114]))  # [H, W]
    return np.repeat(grey[..., None], 3, axis=2).round().astype(np.uint8)


def _tinted(picture: np.ndarray, inside: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The picture `[H, W, 3]` with a colour over the pixels `inside [H, W]`."""
    mixed = (1 - TINT) * picture + TINT * np.array(colour, float)
    return np.where(inside[..., None], mixed, picture).round().astype(np.uint8)


def _short(value: float | Tensor) -> str:
    """0.00007 is 0 to whoever compares probabilities."""
    return number(round(float(value), 3))


def _boxes(boxes) -> Tensor:
    boxes = as_tensor(boxes, name="boxes")
    boxes = boxes[None] if boxes.shape == (4,) else boxes
    if not boxes.numel():
        raise ValueError("boxes is empty: nothing was detected, so there is no mask to show; pass at least one detection")
    arguments.check_boxes(boxes, finite=True)
    arguments.check_sizes(boxes, "boxes")
    if len(boxes) > MOST_DETECTIONS:
        raise ValueError(f"boxes holds {len(boxes)} detections; at most {MOST_DETECTIONS} can be told apart: pass the best, boxes[:12]")
    return boxes


def _probabilities(given, detections: int, classes: int) -> Tensor:
    """`[D, K, M, M]`, without the background's."""
    given = as_tensor(given, name="probabilities")
    shape = list(given.shape)
    given = given[None] if given.ndim == 3 else given
    if given.ndim != 4 or given.shape[2] != given.shape[3] or len(given) != detections or given.shape[1] not in (classes, classes + 1):
        raise ValueError(
            f"probabilities has the shape {shape}; for {counted(detections, 'box')} and {counted(classes, 'class')} it is [{detections}, "
            f"{classes}, M, M], a square mask for each class, or [{detections}, {classes + 1}, M, M] with the background first"
        )
    if not 1 <= given.shape[-1] <= MOST_CELLS:
        raise ValueError(f"probabilities has masks of {given.shape[-1]}×{given.shape[-1]} cells; the widget shows 1×1 to 64×64")
    if not torch.isfinite(given).all():
        raise ValueError("probabilities has NaN or infinite values; a widget shows finite numbers only")
    if given.min() < -ROUNDING or given.max() > 1 + ROUNDING:
        worst = given.max() if given.max() > 1 + ROUNDING else given.min()
        raise ValueError(f"probabilities holds {number(worst)}; all are from 0 to 1: pass them after the sigmoid")
    return given[:, -classes:].clamp(0, 1)


def _labels(labels, detections: int, classes: int) -> list[int]:
    try:
        labels = labels.detach().cpu() if isinstance(labels, Tensor) else torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"labels are {labels!r}; they are whole numbers [{detections}], one for each box") from None
    labels = labels[None] if labels.ndim == 0 else labels
    if labels.shape != (detections,) or labels.is_floating_point() or labels.dtype == torch.bool:
        what = f"{str(labels.dtype).removeprefix('torch.')} {list(labels.shape)}"
        raise ValueError(f"labels are {what}; they are whole numbers [{detections}], one for each box")
    wrong = [label for label in labels.tolist() if not 1 <= label <= classes]
    if wrong:
        raise ValueError(f"labels holds {wrong[0]}; labels go from 1, the first of classes, to {classes}")
    return labels.tolist()


def _scores(scores, detections: int) -> list[float]:
    scores = as_tensor(scores, name="scores").reshape(-1)
    if len(scores) != detections or not torch.isfinite(scores).all():
        raise ValueError(f"scores are {len(scores)} numbers; they are {detections} finite ones, one for each box")
    return scores.tolist()


def _truth(truth, size: tuple[int, int]) -> Tensor:
    """True masks `[T, H, W]`, bool."""
    if isinstance(truth, Mapping):
        if "masks" not in truth:
            raise ValueError(f"truth has {', '.join(map(repr, truth)) or 'nothing'}; it takes 'masks', or masks [T, H, W]")
        truth = truth["masks"]
    truth = truth.detach().cpu() if isinstance(truth, Tensor) else torch.as_tensor(np.asarray(truth))
    truth = truth[None] if truth.ndim == 2 else truth
    if truth.ndim != 3 or tuple(truth.shape[1:]) != tuple(size):
        raise ValueError(f"truth has the shape {list(truth.shape)}; true masks are [T, {size[0]}, {size[1]}], as large as the image")
    if truth.dtype != torch.bool and not ((truth == 0) | (truth == 1)).all():
        raise ValueError("truth holds other numbers than 0 and 1; true masks are bool, or 0 and 1")
    return truth.bool()
