"""The animation of a detector at work, and of what is followed through its heads: `segwidgets.xray` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from course.ops.masks import paste_masks
from course.ops.step import number
from segwidgets.boxes import Boxes, BoxLook, Place
from segwidgets.cells import counted
from segwidgets.channel_map import ChannelMap, fit
from segwidgets.followed import Followed
from segwidgets.opened_detector import OpenedDetector, milliseconds, short
from segwidgets.panels import Arrow, Bars, FieldBoxes, Film, Grid, Panel, Picture, colours
from segwidgets.roles import ROLES
from segwidgets.sampling_points import BLANK, SamplingPoints
from segwidgets.trace import Trace, TraceStep

ITS_LEVEL = "its level"
MOST_DRAWN = 25  # proposals on the photograph
SAME_PLACE = 0.01  # pixels
MOST_DETECTIONS = 100  # drawn
MOST_LABELLED = 6
MOST_CLASSES = 8  # bars
PICTURE, MAP, BARS = 8.0, 6.0, 8.0  # units: how wide a photograph, a map and bars with their names are
TINT = np.array([213, 94, 0])  # of a mask: the colour of what is chosen
PROPOSAL, DETECTION = ("proposal", ROLES["candidate"].light), ("the detection", ROLES["chosen"].light)
OWN_BOX = 0  # on the photograph: the viewer's own box, then the proposals that are drawn, then anchor, proposal and detection


class DetectorStory:
    """The animation of what is followed.

    Args:
        opened: the picture, and what the model said of it.
        followed: a detection, a region or the viewer's own box.
        place: where that box lies on the photograph as shown, if there can be one.
        level: the name of the map that is shown, or `ITS_LEVEL`.
        channel: of that map; a map with fewer shows its last.
        threshold: detections from this score on are drawn.
        joint: the number of the joint whose heat map is shown.
    """

    def __init__(
        self, opened: OpenedDetector, followed: Followed, place: Place | None, level: str, channel: int, threshold: float, joint: int = 0
    ):
        self.opened, self.stages, self.followed, self.place, self.threshold = opened, opened.stages, followed, place, threshold
        self.level = self._its_level if level == ITS_LEVEL else level
        self.channel = min(channel, len(self.stages.levels[self.level]) - 1)
        self.map = ChannelMap(self.stages.levels[self.level][self.channel].float(), opened.pixels.shape[:2], opened.factor)
        self.joint = joint

    def trace(self) -> Trace:
        between = "RPN" if self.stages.proposals is not None else "heads"
        panels: list[tuple[str, Panel]] = [("", self._photograph()), ("backbone", self._features())]
        scored = [self._held(level) for level in range(len(self.stages.counts))]
        panels += [(between, scored[0]), *(("", each) for each in scored[1:])]
        panels += [] if self._sampling is None else self._sampling.panels(MAP)
        panels += [] if self.followed.scores is None else [("classify", self._classes())]
        panels += [("move" if self.followed.own else "suppress", self._detections())]
        panels += [] if self.followed.mask is None else [("mask head", self._mask_grid()), ("paste", self._pasted())]
        panels += [] if self.followed.joint_maps is None else [("keypoint head", self._joint_map())]
        panels += [("", self._seconds())]
        arrows = [Arrow(text) if text else None for text, _ in panels[1:]]
        return Trace(self.opened.title, panels=[panel for _, panel in panels], arrows=arrows, steps=self._steps(), rows=2)

    def _steps(self) -> list[TraceStep]:
        followed = self.followed
        steps = [self._first(), self._mapped(), *(self._scored(level) for level in range(len(self.stages.counts)))]
        if self.stages.proposals is not None:
            steps += [self._replaced()] if followed.own else [self._before_suppression(), self._proposed()]
        if self._sampling is not None:
            steps.append(self._sampling.step(followed.name))
        if followed.scores is not None:
            steps.append(self._classified())
        steps.append(self._moved() if followed.own else self._detected())
        if followed.mask is not None:
            steps += [self._masked(), self._pasting()]
        if followed.joint_maps is not None:
            steps.append(self._peaked())
        if followed.own:
            steps.append(self._summed_up())
        return [*steps, self._traced_back()] if followed.origin else steps

    # ---- panels ---------------------------------------------------------------------------------------------------------

    def _photograph(self) -> Picture:
        opened, followed = self.opened, self.followed
        nowhere = np.zeros((1, 4), np.float32)
        places = [nowhere if self.place is None else np.array([self.place]), opened.shown(self._drawn)]
        places.append(opened.shown(self.stages.anchors[[followed.origin.anchor]]) if followed.origin else nowhere)
        places.append(opened.shown(followed.region[None]) if followed.origin else nowhere)
        places.append(nowhere if followed.box is None else opened.on_photograph(followed.box[None]))
        roles: list[str | None] = [None] * sum(map(len, places))
        if followed.own:
            roles[OWN_BOX] = "write"
        note = f"[3, {opened.size[0]}, {opened.size[1]}]"
        boxes = Boxes(np.concatenate(places), roles, measured=True)
        return Picture("photograph", opened.pixels, note=note, width=PICTURE, legend=self._legend, boxes=boxes)

    @property
    def _legend(self) -> list[tuple[str, str]]:
        if self.followed.own:
            return [("your box", ROLES["write"].light), ("what becomes of it", DETECTION[1])]
        anchor = (f"its {self.stages.word}", ROLES["suppressed"].light)
        if self.stages.proposals is None:
            return [anchor, DETECTION]
        return [PROPOSAL, anchor, ("its proposal", ROLES["write"].light), DETECTION]

    def _features(self) -> Grid:
        shape = str(list(self.stages.levels[self.level].shape))
        return self.map.grid("features", f"level {self.level}, channel {self.channel}", shape, MAP)

    def _held(self, level: int) -> Grid:
        """The probability of each place that its best anchor holds an object."""
        value, best = self.opened.cells[level]
        stages, name = self.stages, list(self.stages.levels)[level]
        field = FieldBoxes("photograph", self.opened.shown(stages.anchors[best.flatten()]), self.opened.factor)
        wide = min(3.5, 12.0 / len(stages.counts))
        look = {"paint": "heat", "empty": True, "width": wide, "limits": (0.0, 1.0), "field": field}
        held = "objects" if stages.proposals is None else "objectness"
        return Grid(f"objectness {name}", np.zeros(value.shape), f"{held} {name}", str(list(stages.held_at(level).shape)), **look)

    def _classes(self) -> Bars:
        count, shown = len(self.followed.scores), self._likeliest
        note = f"[{count}]" if count == len(shown) else f"[{count}], {len(shown)} shown"
        return Bars("classes", np.zeros(len(shown)), [self.opened.classes[k] for k in shown], "its classes", note, True, BARS)

    def _detections(self) -> Picture:
        places = self.opened.on_photograph(self.stages.boxes[:MOST_DETECTIONS])
        if self.followed.own:
            places = np.concatenate((places, self.opened.on_photograph(self.followed.box[None])))
        boxes = Boxes(places, None, measured=True)
        return Picture("detections", self.opened.pixels, note=f"[{len(self.stages.boxes)}, 4]", width=PICTURE, boxes=boxes)

    def _mask_grid(self) -> Grid:
        side = self.followed.mask.shape[-1]
        note = str(list(self.followed.mask_logits.shape))
        return Grid("mask", np.zeros((side, side)), "its class's mask", note, "heat", empty=True, width=MAP, limits=(0.0, 1.0))

    def _pasted(self) -> Film:
        """The photograph without its colours, and with the mask where it belongs: pixels above 0.5."""
        small, size = self.opened.pixels, self.opened.pixels.shape[:2]
        box = torch.from_numpy(self.opened.on_photograph(self.followed.box[None]))
        inside = paste_masks(self.followed.mask[None], box, size)[0].numpy() > 0.5  # [h, w]
        grey = np.repeat(small.mean(2, keepdims=True), 3, 2)
        frames = [each.round().astype(np.uint8) for each in (grey, np.where(inside[..., None], 0.35 * grey + 0.65 * TINT, grey))]
        note = f"[{self.opened.size[0]}, {self.opened.size[1]}]"
        return Film("pasted", frames, note=note, width=PICTURE, boxes=Boxes(box.numpy(), None, measured=True))

    def _joint_map(self) -> Film:
        maps = self.followed.joint_maps
        plane = maps[self.joint].float()
        low, high = float(plane.min()), float(plane.max())
        sheet = colours("heat")[((plane - low) / max(high - low, 1e-12) * 255).round().int().numpy()]
        name = self.opened.joint_name(self.joint)
        return Film("joint", [np.full_like(sheet, BLANK), sheet], name, str(list(maps.shape)), MAP, lossless=True)

    def _seconds(self) -> Bars:
        seconds = self.stages.seconds
        return Bars("time", [1000 * each for each in seconds.values()], list(seconds), "time", "ms", width=BARS)

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _first(self) -> TraceStep:
        stages = self.stages
        each = ", ".join(f"{stage} {milliseconds(seconds)}" for stage, seconds in stages.seconds.items())
        resized = "" if stages.size == stages.original else f", seen at {stages.size[0]} × {stages.size[1]},"
        again = "Of your box the heads run again, and nothing else." if self.followed.own else "What you choose below is looked up in it."
        return TraceStep(
            f"One forward pass over [3, {self.opened.size[0]}, {self.opened.size[1]}]{resized} on {self.opened.device} took "
            f"[{milliseconds(sum(stages.seconds.values()))}|chosen]. {again}",
            arithmetic=each,
        )

    def _mapped(self) -> TraceStep:
        levels = self.stages.levels
        shapes = ",  ".join(f"level {name} {list(level.shape)}" for name, level in levels.items())
        return TraceStep(
            f"The backbone, [{self.opened.time('backbone')}|read], gives {counted(len(levels), 'map')}. Shown: channel {self.channel} of "
            f"{len(levels[self.level])} on level {self.level}, {self.map.told}",
            writes={"features": self.map.writes},
            arithmetic=shapes,
        )

    def _scored(self, level: int) -> TraceStep:
        stages, name = self.stages, list(self.stages.levels)[level]
        held, (value, best) = stages.held_at(level), self.opened.cells[level]
        shapes, rows, columns = held.shape
        first = divmod(int(value.argmax()), value.shape[1])
        score, part = ("RPN scores", "RPN") if stages.proposals is not None else ("heads score", "heads")
        time = f", all levels in [{self.opened.time(part)}|read]" if level == 0 else ""
        step, likely = fit(held[0]), int((held >= 0.5).sum())
        hold = "holds" if likely == 1 else "hold"
        drawn = f" Each cell is the best of {step} × {step} places." if step > 1 else ""
        return TraceStep(
            f"Level {name}: the {score} {counted(shapes, stages.word)} at each of {rows} × {columns} places{time}. "
            f"[{likely}|write] of {held.numel()} {hold} an object with a probability of at least 0.5, the best with "
            f"[{short(float(held.max()))}|chosen].{drawn}",
            {
                f"objectness {name}": {"chosen": [first]},
                "photograph": {"chosen": [tuple(self.opened.shown(stages.anchors[[int(best[first])]])[0])]},
            },
            {f"objectness {name}": {cell: round(float(value[cell]), 3) for cell in np.ndindex(*value.shape)}},
        )

    def _before_suppression(self) -> TraceStep:
        best, _ = self._foremost
        return TraceStep(
            f"All {len(self.stages.anchors)} anchors, moved by their deltas. Drawn: the [{len(best)}|read] that are likeliest to hold an "
            "object, before suppression.",
            {"photograph": {"read": list(map(tuple, self.opened.shown(best)))}},
        )

    def _proposed(self) -> TraceStep:
        count, drawn = len(self.stages.proposals), len(self._drawn)
        (best, kept), few = self._foremost, f" Drawn: the best {drawn}." if drawn < count else ""
        return TraceStep(
            f"Of boxes that overlap, suppression leaves the best, [{self.opened.time('proposals')}|read]: {int(kept.sum())} of those "
            f"{len(best)}. Of all anchors that makes [{counted(count, 'proposal')}|write].{few}",
            {"photograph": {"suppressed": list(map(tuple, self.opened.shown(best[~kept])))}},
            boxes={"photograph": dict.fromkeys(range(1, 1 + drawn), "candidate")},
        )

    def _replaced(self) -> TraceStep:
        sides = ", ".join(number(round(side, 1)) for side in self.followed.region.tolist())
        return TraceStep(
            f"In place of the RPN's {counted(len(self.stages.proposals), 'proposal')}: [your box|write]. Drag it on the photograph.",
            arithmetic=f"in the network's pixels ({sides})",
        )

    def _classified(self) -> TraceStep:
        followed, classes = self.followed, self.opened.classes
        time = (
            f", [{self.opened.time('box head')}|read] for all proposals," if self.stages.proposals is not None and not followed.own else ""
        )
        kind = self.stages.kind_of_region
        again = "" if followed.box is not None else f" No class of any {kind} reaches the model's threshold; this is the likeliest."
        name, score, marks = classes[followed.label], short(followed.score), [(self._likeliest.index(self._first_class), 0)]
        if self._wins:
            others = "each class has a sigmoid of its own" if self.stages.alone else f"background with {short(float(followed.scores[0]))}"
            said = f"[{name}|chosen] with [{score}|chosen], and {others}"
        else:
            foremost = followed.label == 1 + int(followed.scores[1:].argmax())
            among = "the likeliest object is" if foremost else "what is followed is"
            said = f"[{self._said_first('|chosen] with [')}|chosen]; {among} {name}, with [{score}|write]"
            again = again if followed.d is None else f"{again} That is enough for the model's threshold."
        return TraceStep(
            f"{followed.name}{time} is {said}.{again}",
            {"classes": {"chosen": marks}},
            {"classes": {(i, 0): round(float(followed.scores[k]), 3) for i, k in enumerate(self._likeliest)}},
        )

    def _detected(self) -> TraceStep:
        stages = self.stages
        if not stages.found:
            return TraceStep(f"Suppression, [{self.opened.time('NMS')}|read], has nothing to do: [0 detections|chosen].")
        looks = self._reached
        looks[self.followed.d] = BoxLook("chosen", self._its_label)
        reached = sum(score >= self.threshold for score in stages.found)
        drawn = sum(score >= self.threshold for score in stages.found[:MOST_DETECTIONS])
        few = f" Drawn: the best {drawn}." if drawn < reached else ""
        scores = "scores" if reached == 1 else "score"
        return TraceStep(
            f"Within each class worse boxes that overlap a better one go, [{self.opened.time('NMS')}|read]: "
            f"{counted(len(stages.found), 'detection')}, of which [{reached}|write] {scores} at least {number(self.threshold)}.{few} "
            f"Followed: [{self._its_label}|chosen].",
            boxes={"detections": looks},
        )

    def _moved(self) -> TraceStep:
        last, among = len(self._drawn) + 3, min(len(self.stages.found), MOST_DETECTIONS)
        chosen, counts = BoxLook("chosen", self._its_label), self.followed.score >= self.threshold
        likeliest = "" if self._wins else ", the likeliest object"
        words = "the box would be drawn" if counts else f"its score stays below {number(self.threshold)}, where the slider stands"
        return TraceStep(
            f"Moved by its deltas for [{self.opened.classes[self.followed.label]}|chosen]{likeliest}. Alone, with nothing to suppress it: "
            f"{words}. The model's own {counted(len(self.stages.found), 'detection')} beside it.",
            boxes={"photograph": {last: chosen}, "detections": self._reached | {among: chosen}},
            arithmetic=self._ways,
        )

    def _masked(self) -> TraceStep:
        mask, classes = self.followed.mask, len(self.followed.mask_logits)
        side = mask.shape[-1]
        time = "" if self.followed.own else f", [{self.opened.time('mask head')}|read] for all,"
        return TraceStep(
            f"The mask head{time} says {side} × {side} probabilities for each of {classes} classes, the background's among them. Of the "
            f"[{self.opened.classes[self.followed.label]}|chosen]'s [{int((mask > 0.5).sum())}|write] are above 0.5.",
            writes={"mask": {cell: float(mask[cell]) for cell in np.ndindex(side, side)}},
        )

    def _pasting(self) -> TraceStep:
        x1, y1, x2, y2 = self.followed.box.tolist()
        time = "" if self.followed.own else f" Pasting took [{self.opened.time('pasting')}|read] for all."
        return TraceStep(
            f"Stretched over its box, [{number(round(x2 - x1))} × {number(round(y2 - y1))}|write] pixels, and cut at 0.5.{time}",
            shows={"pasted": 1},
            boxes={"pasted": {0: "chosen"}},
        )

    def _peaked(self) -> TraceStep:
        """The chosen joint: where its heat map is highest, and where that is in the picture."""
        plane = self.followed.joint_maps[self.joint].float()
        row, column = divmod(int(plane.argmax()), plane.shape[1])
        x, y = self.followed.keypoints[self.joint, :2].tolist()
        time = "" if self.followed.own else f", [{self.opened.time('keypoint head', 'joints')}|read] for all,"
        joints, name = self._joints, self.opened.joint_name(self.joint)
        return TraceStep(
            f"The keypoint head{time} says a heat map for each of {counted(len(joints), 'joint')}, whatever the box holds, even an object "
            f"that has none. That of {name} peaks at row {row}, column {column}, with [{number(plane.max())}|chosen]; in the picture it is "
            f"at x {number(round(x, 1))}, y {number(round(y, 1))}.",
            {
                "joint": {"chosen": [(column - 0.5, row - 0.5, column + 1.5, row + 1.5)]},
                "detections": {"read": joints, "chosen": [joints[self.joint]]},
            },
            shows={"joint": 1},
        )

    def _summed_up(self) -> TraceStep:
        """What the heads made of the viewer's own box: where it is dragged, this is the step that stands there."""
        followed = self.followed
        moved = float((followed.box - self.stages.outwards(followed.region)).abs().max())
        seen = "" if self._wins else f"; the likeliest object is {self.opened.classes[followed.label]}, with {short(followed.score)}"
        mask = followed.mask
        cells = "" if mask is None else f", and [{int((mask > 0.5).sum())}|write] of the {mask.numel()} cells of its mask are above 0.5"
        return TraceStep(
            f"In all, [your box|write] is [{self._its_label}|chosen]{seen}. Its sides moved by up to [{number(round(moved, 1))}|chosen] "
            f"pixels{cells}.",
            {"classes": {"chosen": [(self._likeliest.index(self._first_class), 0)]}},
            arithmetic=self._ways,
        )

    def _traced_back(self) -> TraceStep:
        origin, after = self.followed.origin, 1 + len(self._drawn)
        level = list(self.stages.levels)[origin.level]
        cell = self.opened.cell_of(origin.anchor, origin.level)
        looks: dict[int, BoxLook | None] = dict.fromkeys(range(1, after))
        looks |= {after: BoxLook("suppressed", self.stages.word)}
        looks |= {after + 1: BoxLook("write") if origin.proposal is not None else None, after + 2: BoxLook("chosen", self._its_label)}
        held = short(float(self.stages.held[origin.anchor]))
        found = "found by its score and box" if origin.same else "found by its overlap"
        if origin.proposal is None:
            comes = f"{self.stages.word} {origin.anchor}"
            last = f", which holds an object with [{held}|read]"
        else:
            comes = f"[proposal {origin.proposal}|write], and that from anchor {origin.anchor}"
            last = f" with an objectness of [{held}|read]"
        return TraceStep(
            f"Back from [{self._its_label}|chosen]: it comes from {comes} on level {level}{last} ({found}).",
            {f"objectness {level}": {"chosen": [cell]}},
            boxes={"photograph": looks},
            arithmetic=self._ways,
        )

    # ---- what they share ------------------------------------------------------------------------------------------------

    @property
    def _ways(self) -> str:
        """How far the box moved at each stage, in the network's pixels."""
        followed, stages = self.followed, self.stages
        places = [(stages.word, stages.anchors[followed.origin.anchor])] if followed.origin else []
        places += [] if stages.proposals is None else [("your box" if followed.own else "proposal", followed.region)]
        places.append(("moved" if followed.own else "detection", stages.inwards(followed.box)))
        return " → ".join(f"{name} ({', '.join(number(round(side, 1)) for side in place.tolist())})" for name, place in places)

    @property
    def _its_level(self) -> str:
        """The map that what is followed is read from; of a detection the one that its anchor is on."""
        if self.followed.origin:
            return list(self.stages.levels)[self.followed.origin.level]
        return self.followed.pooling.level[0] if self.followed.pooling else next(iter(self.stages.levels))

    @property
    def _drawn(self) -> Tensor:
        """Proposals on the photograph, [D, 4]."""
        none = self.stages.anchors.new_zeros(0, 4)
        return none if self.stages.proposals is None else self.stages.proposals[:MOST_DRAWN]

    @cached_property
    def _foremost(self) -> tuple[Tensor, Tensor]:
        """The moved anchors with the best objectness, [B, 4], and which of them are proposals, bool [B]."""
        best = self.stages.moved[self.stages.held.topk(min(MOST_DRAWN, len(self.stages.held))).indices]
        apart = (best[:, None] - self.stages.proposals).abs().amax(2)  # [B, P]
        return best, (apart < SAME_PLACE).any(1)

    @cached_property
    def _likeliest(self) -> Sequence[int]:
        """Classes whose bars are shown, in their order: the background, the one that counts and the likeliest."""
        scores = self.followed.scores.clone()
        scores[[self.followed.label] if self.stages.alone else [0, self.followed.label]] += 1.0
        return sorted(scores.argsort(descending=True, stable=True)[:MOST_CLASSES].tolist())

    @property
    def _reached(self) -> dict[int, BoxLook]:
        """The detections that score enough."""
        drawn = [d for d, score in enumerate(self.stages.found[:MOST_DETECTIONS]) if score >= self.threshold]
        label = self.opened.label if len(drawn) <= MOST_LABELLED else lambda d: ""
        return {d: BoxLook("write", label(d)) for d in drawn}

    @property
    def _joints(self) -> list[Place]:
        """Of what is followed, as small squares on the photograph."""
        if self.followed.keypoints is None:
            return []
        points = self.followed.keypoints[:, :2].float()  # [J, 2]
        side = max(self.opened.size) / 90
        return [tuple(place) for place in self.opened.on_photograph(torch.cat((points - side, points + side), 1)).tolist()]

    @cached_property
    def _sampling(self) -> SamplingPoints | None:
        """Of the region that is followed, in the chosen channel of the map that it is read from."""
        pooling = self.followed.pooling
        if pooling is None:
            return None
        level = self.stages.levels[pooling.level[0]]
        plane = level[min(self.channel, len(level) - 1)].float()
        return SamplingPoints(plane, self.followed.region, 0, pooling)

    @cached_property
    def _first_class(self) -> int:
        """What the heads say it is: the class that is followed, if neither the background nor another one scores higher."""
        scores, label = self.followed.scores, self.followed.label
        return label if scores is None or self.stages.alone else int(scores.argmax())

    def _said_first(self, between: str) -> str:
        return f"{self.opened.classes[self._first_class]}{between}{short(float(self.followed.scores[self._first_class]))}"

    @property
    def _wins(self) -> bool:
        return self._first_class == self.followed.label

    @property
    def _its_label(self) -> str:
        """Of the viewer's own box what it is said to be, also background; a detection goes by its class."""
        if self.followed.own and not self._wins:
            return self._said_first(" ")
        return f"{self.opened.classes[self.followed.label]} {short(self.followed.score)}"
