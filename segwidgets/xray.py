"""`segwidgets.xray`: one forward pass of a running detector, opened: maps, objectness, proposals, classes, detections, each with its shape
and its time; and of a chosen detection where it comes from: its proposal, its anchor, its level.

S. Ren, K. He, R. Girshick and J. Sun, "Faster R-CNN", 2015, arXiv:1506.01497, figure 2; K. He, G. Gkioxari, P. Dollár and R. Girshick,
"Mask R-CNN", 2017, arXiv:1703.06870; W. Liu et al., "SSD", 2015, arXiv:1512.02325. How a model is watched: `segwidgets.forward_pass`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from course.ops import arguments
from course.ops.boxes import clip_boxes
from course.ops.masks import paste_masks
from course.ops.step import number
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.cells import class_names, counted
from segwidgets.detector_stages import DetectorStages, Origin
from segwidgets.forward_pass import watch
from segwidgets.inputs import as_tensor, check_keywords, pixels, shrunk
from segwidgets.live import Choice, Live, Setting, Slider
from segwidgets.panels import Arrow, Bars, FieldBoxes, Grid, Panel, Picture
from segwidgets.roles import ROLES
from segwidgets.sampling_points import SamplingPoints, look
from segwidgets.trace import Cell, Trace, TraceStep

MOST_SIDE = 48  # cells of a map that are drawn; of a larger one each shows several
MOST_LEVELS = 7
MOST_CHOICES = 12  # detections that can be chosen, the best ones
MOST_DRAWN = 25  # proposals on the photograph
MOST_DETECTIONS = 100  # drawn
MOST_LABELLED = 6
MOST_CLASSES = 8  # bars
ITS_LEVEL = "its level"
PICTURE, MAP = 8.0, 6.0  # units: how wide a photograph and a map are
TINT = np.array([213, 94, 0])  # of a mask: the colour of what is chosen
LEGEND = [
    (name, ROLES[role].light) for name, role in (("proposal", "candidate"), ("its anchor", "suppressed"), ("its proposal", "write"))
] + [("the detection", ROLES["chosen"].light)]


def xray(
    model,
    image,
    *,
    classes: Sequence[str] | None = None,
    detection: int = 0,
    level: str | int | None = None,
    channel: int | None = None,
    score_threshold: float = 0.5,
    **unknown,
) -> Live:
    """A detector at work on a picture, stage by stage, and a detection followed back to where it comes from.

    The model runs once, on the device on which it is. What is chosen afterwards, a detection, a level, a channel, a threshold, is looked up
    in what it said.

    Args:
        model: the course's FasterRCNN, MaskRCNN or SSD, torchvision's FasterRCNN, MaskRCNN, KeypointRCNN or SSD, or any module whose
            `trace(image)` gives the stages that `segwidgets.forward_pass` names.
        image: `[3, H, W]`, 0…1.
        classes: the names of its classes, with or without the background's.
        detection: the one that is followed first, 0 the best; the best 12 can be chosen.
        level: the name of the map that is shown first; by default that of the detection.
        channel: of the map; by default the one that varies most.
        score_threshold: detections from this score on are drawn, where the slider stands first.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
        RuntimeError: the forward pass failed. The model is as it was before.
    """
    check_keywords(unknown, xray)
    opened = _Opened(model, image, classes)
    names = [opened.name(d) for d in range(min(len(opened.stages.found), MOST_CHOICES))]
    if isinstance(detection, bool) or not isinstance(detection, int) or not 0 <= detection < max(1, len(names)):
        raise ValueError(f"detection is {detection!r}, and the detections 0 to {max(0, len(names) - 1)} can be chosen")
    levels = list(opened.stages.levels)
    level = ITS_LEVEL if level is None else str(level)
    if level not in (ITS_LEVEL, *levels):
        raise ValueError(f"level is {level!r}, and there are the levels {', '.join(levels)}")
    most = max(len(each) for each in opened.stages.levels.values())

    def compute(score_threshold: float, detection: str = "", level: str = level, channel: int = 0) -> Trace:
        return _Story(opened, names.index(detection) if names else None, level, channel, score_threshold).trace()

    settings: list[Setting] = [Slider("score_threshold", 0.0, 1.0, step=0.05, value=score_threshold, label="drawn from score")]
    if most > 1:
        loudest = opened.loudest if channel is None else arguments.whole(channel, "channel", 0)
        settings.insert(0, Slider("channel", 0, most - 1, step=1, value=loudest))
    if len(levels) > 1:
        settings.insert(0, Choice("level", [ITS_LEVEL, *levels], level))
    if names:
        settings.insert(0, Choice("detection", names, names[detection]))
    return Live(compute, settings)


class _Opened:
    """The picture and what the model said of it."""

    def __init__(self, model, image, classes):
        picture = pixels(image)
        self.title = f"X-ray: {type(model).__name__}"
        self.size = picture.shape[:2]
        self.pixels, self.factor = shrunk(picture)
        stages = watch(model, as_tensor(image, name="image").reshape(3, *self.size))
        self.stages = DetectorStages.of(stages, self.size)
        if len(self.stages.levels) > MOST_LEVELS:
            raise ValueError(f"the model has {len(self.stages.levels)} levels; {MOST_LEVELS} can be shown")
        self.device = str(next((each.device for each in model.parameters()), "cpu"))
        self.classes = self._names(classes)

    def _names(self, classes) -> list[str]:
        """Of all classes, the background first."""
        stages = self.stages
        known = stages.scores.shape[1] if stages.scores is not None else 1 + max(stages.labels, default=1)
        if classes is None:
            return ["background", *(f"class {k}" for k in range(1, known))]
        names = class_names(classes)
        if len(names) == known and classes[0].strip("_") == "background":
            names = names[1:]
        if len(names) != known - 1:
            raise ValueError(f"classes holds {len(names)} names; the model has {known - 1} classes, and background")
        return ["background", *names]

    def name(self, d: int) -> str:
        return f"{d} {self.class_of(d)} {_short(self.stages.found[d])}"

    def class_of(self, d: int) -> str:
        return self.classes[self.stages.labels[d]]

    @cached_property
    def loudest(self) -> int:
        """The channel of the finest map that varies most, for its size."""
        first = next(iter(self.stages.levels.values())).float().flatten(1)  # [C, H·W]
        return int((first.std(1, correction=0) / first.abs().mean(1).clamp(min=1e-6)).argmax())

    def shown(self, boxes: Tensor) -> np.ndarray:
        """Boxes [N, 4] in the network's pixels, where they lie on the photograph as shown."""
        return self.on_photograph(boxes / self.stages.inwards(torch.ones(4, dtype=boxes.dtype)))

    def on_photograph(self, boxes: Tensor) -> np.ndarray:
        """Boxes [N, 4] in pixels of the picture as given."""
        return (clip_boxes(boxes, self.size) * self.factor).reshape(-1, 4).numpy()

    @cached_property
    def cells(self) -> list[tuple[Tensor, Tensor]]:
        """For each level that is scored what is drawn: the best probability in each cell, and the anchor that has it; `[rows, columns]`."""
        return [self._best(level) for level in range(len(self.stages.counts))]

    def _best(self, level: int) -> tuple[Tensor, Tensor]:
        held = self.stages.held_at(level)  # [A, H, W]
        best, shape = held.max(0)
        value, place = max_pool2d(best[None], _fit(best), ceil_mode=True, return_indices=True)
        return value[0], (self.stages.first_anchor(level) + place * len(held) + shape.flatten()[place])[0]

    def cell_of(self, anchor: int, level: int) -> Cell:
        """The cell of the level's map as drawn that holds this anchor."""
        shapes, height, width = self.stages.held_at(level).shape
        row, column = divmod((anchor - self.stages.first_anchor(level)) // shapes, width)
        fit = math.ceil(max(height, width) / MOST_SIDE)
        return row // fit, column // fit

    def time(self, *stages: str) -> str:
        """ "31 ms", and on CUDA "31 ms, 120 MB"."""
        seconds = sum(self.stages.seconds.get(stage, 0.0) for stage in stages)
        memory = max((self.stages.memory.get(stage, 0) for stage in stages), default=0)
        return _ms(seconds) + (f", up to {memory / 1e6:.0f} MB" if memory else "")


class _Story:
    """The animation of one detection, or of none. On the photograph boxes 0 … D − 1 are the drawn proposals; anchor, proposal and detection
    follow."""

    def __init__(self, opened: _Opened, d: int | None, level: str, channel: int, threshold: float):
        self.opened, self.stages, self.d, self.threshold = opened, opened.stages, d, threshold
        self.origin: Origin | None = None if d is None else self.stages.origin(d)
        names = list(self.stages.levels)
        self.level = names[self.origin.level if self.origin else 0] if level == ITS_LEVEL else level
        self.channel = min(channel, len(self.stages.levels[self.level]) - 1)
        self.plane = self.stages.levels[self.level][self.channel].float()  # [H, W]
        self.row = self._region()

    def trace(self) -> Trace:
        between = "RPN" if self.stages.proposals is not None else "heads"
        panels: list[tuple[str, Panel]] = [("", self._photograph()), ("backbone", self._features())]
        scored = [self._held(level) for level in range(len(self.stages.counts))]
        panels += [(between, scored[0]), *(("", each) for each in scored[1:])]
        panels += [] if self._sampling is None else self._sampling.panels(MAP)
        panels += [("classify", self._classes())] if self._has_classes else []
        panels += [("suppress", self._detections())]
        panels += [] if self._mask is None else [("mask head", self._mask_grid()), ("paste", self._pasted())]
        panels += [("", self._seconds())]
        arrows = [Arrow(text) if text else None for text, _ in panels[1:]]
        return Trace(self.opened.title, panels=[panel for _, panel in panels], arrows=arrows, steps=self._steps())

    def _steps(self) -> list[TraceStep]:
        steps = [self._first(), self._mapped(), *(self._scored(level) for level in range(len(self.stages.counts)))]
        if self.stages.proposals is not None:
            steps.append(self._proposed())
        if self._sampling is not None:
            steps.append(self._sampling.step(self._name_of_region))
        if self._has_classes:
            steps.append(self._classified())
        steps.append(self._detected())
        if self._mask is not None:
            steps += [self._masked(), self._pasting()]
        return [*steps, self._traced_back()] if self.origin else steps

    # ---- panels ---------------------------------------------------------------------------------------------------------

    def _photograph(self) -> Picture:
        opened, drawn = self.opened, self._drawn
        places = opened.shown(drawn)
        if self.origin:
            region = self.stages.regions[[self.row]]
            followed = (opened.shown(self.stages.anchors[[self.origin.anchor]]), opened.shown(region))
            places = np.concatenate((places, *followed, opened.on_photograph(self.stages.boxes[[self.d]])))
        note = f"[3, {opened.size[0]}, {opened.size[1]}]"
        legend = LEGEND if self.stages.proposals is not None else [("its default box", LEGEND[1][1]), LEGEND[3]]
        return Picture("photograph", opened.pixels, note=note, width=PICTURE, legend=legend, boxes=Boxes(places, None, measured=True))

    def _features(self) -> Grid:
        shape = str(list(self.stages.levels[self.level].shape))
        values = self._shrunk_plane
        rows, columns = values.shape
        paint, limits = look(self.plane)
        wide, title = MAP * min(1.0, columns / rows), f"level {self.level}, channel {self.channel}"
        field = self._field(self.plane)
        return Grid("features", np.zeros((rows, columns)), title, shape, paint, True, wide, limits, field)

    def _held(self, level: int) -> Grid:
        """The probability of each place that its best anchor holds an object."""
        value, best = self.opened.cells[level]
        stages, name = self.stages, list(self.stages.levels)[level]
        field = FieldBoxes("photograph", self.opened.shown(stages.anchors[best.flatten()]), self.opened.factor)
        wide = min(3.5, 12.0 / len(stages.counts))
        look = {"paint": "heat", "empty": True, "width": wide, "limits": (0.0, 1.0), "field": field}
        return Grid(f"objectness {name}", np.zeros(value.shape), f"level {name}", str(list(stages.held_at(level).shape)), **look)

    def _classes(self) -> Bars:
        scores, shown = self.stages.scores[self.row], self._likeliest
        note = f"[{len(scores)}]" if len(shown) == len(scores) else f"[{len(scores)}], {len(shown)} shown"
        return Bars("classes", np.zeros(len(shown)), [self.opened.classes[k] for k in shown], "its classes", note, True, 6.0)

    def _detections(self) -> Picture:
        boxes = Boxes(self.opened.on_photograph(self.stages.boxes[:MOST_DETECTIONS]), None, measured=True)
        return Picture("detections", self.opened.pixels, note=f"[{len(self.stages.boxes)}, 4]", width=PICTURE, boxes=boxes)

    def _mask_grid(self) -> Grid:
        side = self._mask.shape[-1]
        note = str(list(self.stages.mask_logits.shape[1:]))
        return Grid("mask", np.zeros((side, side)), "its class's mask", note, "heat", empty=True, width=MAP, limits=(0.0, 1.0))

    def _pasted(self) -> Picture:
        """The mask where it belongs: pixels above 0.5."""
        small, size = self.opened.pixels, self.opened.pixels.shape[:2]
        box = torch.from_numpy(self.opened.on_photograph(self.stages.boxes[[self.d]]))
        inside = paste_masks(self._mask[None], box, size)[0].numpy() > 0.5  # [h, w]
        grey = np.repeat(small.mean(2, keepdims=True), 3, 2)
        sheet = np.where(inside[..., None], 0.35 * grey + 0.65 * TINT, grey).round().astype(np.uint8)
        return Picture(
            "pasted",
            sheet,
            note=f"[{self.opened.size[0]}, {self.opened.size[1]}]",
            width=PICTURE,
            boxes=Boxes(box.numpy(), None, measured=True),
        )

    def _seconds(self) -> Bars:
        seconds = self.stages.seconds
        return Bars("time", [1000 * each for each in seconds.values()], list(seconds), "time", "ms", width=6.0)

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _first(self) -> TraceStep:
        stages = self.stages
        each = ", ".join(f"{stage} {_ms(seconds)}" for stage, seconds in stages.seconds.items())
        resized = "" if stages.size == stages.original else f", seen at {stages.size[0]} × {stages.size[1]},"
        return TraceStep(
            f"One forward pass over [3, {self.opened.size[0]}, {self.opened.size[1]}]{resized} on {self.opened.device} took "
            f"[{_ms(sum(stages.seconds.values()))}|chosen]. Whatever you choose below, the model does not run again.",
            arithmetic=each,
        )

    def _mapped(self) -> TraceStep:
        levels = self.stages.levels
        shapes = ",  ".join(f"level {name} {list(level.shape)}" for name, level in levels.items())
        fit = _fit(self.plane)
        shown = f" Each cell is the mean of {fit} × {fit} places." if fit > 1 else ""
        values = self._shrunk_plane
        return TraceStep(
            f"The backbone, [{self.opened.time('backbone')}|read], gives {counted(len(levels), 'map')}. Shown: channel {self.channel} of "
            f"{len(levels[self.level])} on level {self.level}, from {number(self.plane.min())} to {number(self.plane.max())}.{shown}",
            writes={"features": {cell: float(values[cell]) for cell in np.ndindex(*values.shape)}},
            arithmetic=shapes,
        )

    def _scored(self, level: int) -> TraceStep:
        stages, name = self.stages, list(self.stages.levels)[level]
        held, (value, best) = stages.held_at(level), self.opened.cells[level]
        shapes, rows, columns = held.shape
        first = divmod(int(value.argmax()), value.shape[1])
        score, what, part = ("RPN scores", "anchor", "RPN") if stages.proposals is not None else ("heads score", "default box", "heads")
        time = f", all levels in [{self.opened.time(part)}|read]" if level == 0 else ""
        fit = _fit(held[0])
        drawn = f" Each cell is the best of {fit} × {fit} places." if fit > 1 else ""
        return TraceStep(
            f"Level {name}: the {score} {counted(shapes, what)} at each of {rows} × {columns} places{time}. "
            f"[{int((held >= 0.5).sum())}|write] of {held.numel()} hold an object with a probability of at least 0.5, the best with "
            f"[{_short(float(held.max()))}|chosen].{drawn}",
            {
                f"objectness {name}": {"chosen": [first]},
                "photograph": {"chosen": [tuple(self.opened.shown(stages.anchors[[int(best[first])]])[0])]},
            },
            {f"objectness {name}": {cell: round(float(value[cell]), 3) for cell in np.ndindex(*value.shape)}},
        )

    def _proposed(self) -> TraceStep:
        count, drawn = len(self.stages.proposals), len(self._drawn)
        few = f" Drawn: the best {drawn}." if drawn < count else ""
        return TraceStep(
            f"The anchors, moved by their deltas, and what suppression leaves of them, [{self.opened.time('proposals')}|read]: "
            f"[{counted(count, 'proposal')}|write], of {len(self.stages.anchors)} anchors.{few}",
            boxes={"photograph": dict.fromkeys(range(drawn), "candidate")},
        )

    def _classified(self) -> TraceStep:
        stages, shown = self.stages, self._likeliest
        scores = stages.scores[self.row]
        object_ = 1 + int(scores[1:].argmax()) if self.d is None else stages.labels[self.d]
        time = f", [{self.opened.time('box head')}|read] for all," if stages.proposals is not None else ""
        again = "" if self.d is not None else " No class of any proposal reaches the model's threshold; this is the likeliest."
        return TraceStep(
            f"{self._name_of_region}{time} is [{self.opened.classes[object_]}|chosen] with [{_short(float(scores[object_]))}|chosen], and "
            f"background with {_short(float(scores[0]))}.{again}",
            {"classes": {"chosen": [(shown.index(object_), 0)]}},
            {"classes": {(i, 0): round(float(scores[k]), 3) for i, k in enumerate(shown)}},
        )

    def _detected(self) -> TraceStep:
        stages = self.stages
        if not stages.found:
            return TraceStep(f"Suppression, [{self.opened.time('NMS')}|read], has nothing to do: [0 detections|chosen].")
        drawn = [d for d, score in enumerate(stages.found[:MOST_DETECTIONS]) if score >= self.threshold]
        looks = {d: BoxLook("write", self._label(d) if len(drawn) <= MOST_LABELLED else "") for d in drawn}
        looks[self.d] = BoxLook("chosen", self._label(self.d))
        reached = sum(score >= self.threshold for score in stages.found)
        few = f" Drawn: the best {len(drawn)}." if len(drawn) < reached else ""
        return TraceStep(
            f"Within each class worse boxes that overlap a better one go, [{self.opened.time('NMS')}|read]: "
            f"{counted(len(stages.found), 'detection')}, of which [{reached}|write] score at least {number(self.threshold)}.{few} "
            f"Followed: [{self._label(self.d)}|chosen].",
            {"detections": {"read": self._joints}},
            boxes={"detections": looks},
        )

    def _masked(self) -> TraceStep:
        side, classes = self._mask.shape[-1], self.stages.mask_logits.shape[1]
        return TraceStep(
            f"The mask head, [{self.opened.time('mask head')}|read] for all, says {side} × {side} probabilities for each of {classes} "
            f"classes, the background's among them. Of the [{self.opened.class_of(self.d)}|chosen]'s "
            f"[{int((self._mask > 0.5).sum())}|write] are above 0.5.",
            writes={"mask": {cell: float(self._mask[cell]) for cell in np.ndindex(side, side)}},
        )

    def _pasting(self) -> TraceStep:
        x1, y1, x2, y2 = self.stages.boxes[self.d].tolist()
        return TraceStep(
            f"Stretched over its box, [{number(round(x2 - x1))} × {number(round(y2 - y1))}|write] pixels, and cut at 0.5. Pasting took "
            f"[{self.opened.time('pasting')}|read] for all.",
            boxes={"pasted": {0: "chosen"}},
        )

    def _traced_back(self) -> TraceStep:
        origin, drawn = self.origin, len(self._drawn)
        level = list(self.stages.levels)[origin.level]
        cell = self.opened.cell_of(origin.anchor, origin.level)
        looks: dict[int, BoxLook | None] = dict.fromkeys(range(drawn))
        looks |= {drawn: BoxLook("suppressed", "anchor" if origin.proposal is not None else "default box")}
        looks |= {drawn + 1: BoxLook("write") if origin.proposal is not None else None, drawn + 2: BoxLook("chosen", self._label(self.d))}
        held = _short(float(self.stages.held[origin.anchor]))
        found = "found by its score and box" if origin.same else "found by its overlap"
        if origin.proposal is None:
            comes = f"default box {origin.anchor}"
            last = f", which holds an object with [{held}|read]"
        else:
            comes = f"[proposal {origin.proposal}|write], and that from anchor {origin.anchor}"
            last = f" with an objectness of [{held}|read]"
        return TraceStep(
            f"Back from [{self._label(self.d)}|chosen]: it comes from {comes} on level {level}{last} ({found}).",
            {f"objectness {level}": {"chosen": [cell]}},
            boxes={"photograph": looks},
            arithmetic=self._ways(),
        )

    def _ways(self) -> str:
        """How far the box moved at each stage, in the network's pixels."""
        anchor, box = self.stages.anchors[self.origin.anchor], self.stages.inwards(self.stages.boxes[self.d])
        places = [("default box" if self.origin.proposal is None else "anchor", anchor)]
        places += [] if self.origin.proposal is None else [("proposal", self.stages.proposals[self.origin.proposal])]
        return " → ".join(
            f"{name} ({', '.join(number(round(side, 1)) for side in place.tolist())})" for name, place in [*places, ("detection", box)]
        )

    # ---- what they share ------------------------------------------------------------------------------------------------

    def _region(self) -> int | None:
        """The row of the region that is looked at: the detection's, or without a detection the one that is likeliest an object."""
        stages = self.stages
        if self.origin:
            return self.origin.anchor if self.origin.proposal is None else self.origin.proposal
        if stages.scores is None or not len(stages.scores):
            return None
        return int(stages.scores[:, 1:].amax(1).argmax())

    @property
    def _has_classes(self) -> bool:
        return self.row is not None and self.stages.scores is not None

    @cached_property
    def _drawn(self) -> Tensor:
        """Proposals on the photograph, [D, 4]."""
        none = self.stages.anchors.new_zeros(0, 4)
        return none if self.stages.proposals is None else self.stages.proposals[:MOST_DRAWN]

    @cached_property
    def _shrunk_plane(self) -> np.ndarray:
        return avg_pool2d(self.plane[None], _fit(self.plane), ceil_mode=True)[0].numpy()

    def _field(self, plane: Tensor) -> FieldBoxes:
        """Each cell's share of the photograph."""
        height, width = self.opened.pixels.shape[:2]
        fit, (rows, columns) = _fit(plane), plane.shape
        down = (np.arange(math.ceil(rows / fit) + 1) * fit).clip(max=rows) * height / rows
        across = (np.arange(math.ceil(columns / fit) + 1) * fit).clip(max=columns) * width / columns
        x1, y1 = np.meshgrid(across[:-1], down[:-1])
        x2, y2 = np.meshgrid(across[1:], down[1:])
        return FieldBoxes("photograph", np.stack((x1, y1, x2, y2), -1), self.opened.factor)

    @cached_property
    def _likeliest(self) -> list[int]:
        """Classes whose bars are shown, in their order: the background, the detection's and the likeliest."""
        scores = self.stages.scores[self.row].clone()
        scores[[0, *([] if self.d is None else [self.stages.labels[self.d]])]] += 1.0
        return sorted(scores.argsort(descending=True, stable=True)[:MOST_CLASSES].tolist())

    @property
    def _joints(self) -> list[Place]:
        """Of the detection, as small squares on the photograph."""
        if self.stages.keypoints is None:
            return []
        points = self.stages.keypoints[self.d, :, :2].float()  # [J, 2]
        side = max(self.opened.size) / 90
        return [tuple(place) for place in self.opened.on_photograph(torch.cat((points - side, points + side), 1)).tolist()]

    @cached_property
    def _mask(self) -> Tensor | None:
        """Of the detection's class, `[M, M]`."""
        if self.d is None or self.stages.mask_logits is None:
            return None
        return self.stages.mask_logits[self.d, self.stages.labels[self.d]].float().sigmoid()

    @cached_property
    def _sampling(self) -> SamplingPoints | None:
        """Of the region that is looked at, in the chosen channel of the map that it is read from."""
        stages = self.stages
        if stages.pooling is None or self.row is None:
            return None
        level = stages.levels[stages.pooling.level[self.row]]
        plane = level[min(self.channel, len(level) - 1)].float()
        return SamplingPoints(plane, stages.regions[self.row], self.row, stages.pooling)

    @property
    def _name_of_region(self) -> str:
        return f"Proposal {self.row}" if self.stages.proposals is not None else f"Default box {self.row}"

    def _label(self, d: int) -> str:
        return f"{self.opened.class_of(d)} {_short(self.stages.found[d])}"


def _fit(plane: Tensor) -> int:
    """How many places along a side of a map share a cell as drawn."""
    return math.ceil(max(plane.shape) / MOST_SIDE)


def _short(probability: float) -> str:
    return number(round(probability, 3))


def _ms(seconds: float) -> str:
    return f"{number(round(1000 * seconds, 1))} ms"
