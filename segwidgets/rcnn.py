"""`segwidgets.rcnn`: one picture through R-CNN, a stage at a time: propose, crop and warp, describe, classify, move, suppress.

R. Girshick, J. Donahue, T. Darrell and J. Malik, "Rich feature hierarchies for accurate object detection and semantic segmentation", 2014,
arXiv:1311.2524: figure 1, section 2.2 and appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops.boxes import box_iou, encode_boxes
from course.ops.nms import nms
from course.ops.step import listing, number
from segwidgets.boxes import Boxes, BoxLook
from segwidgets.inputs import as_tensor, check_keywords, pixels, shrunk
from segwidgets.panels import Arrow, Film, Grid, Picture
from segwidgets.player import Player
from segwidgets.trace import Trace, TraceStep

MOST_PROPOSALS = 1000
MOST_DETECTIONS = 300
MOST_FOLLOWED = 6
MOST_FEATURES = 48 * 48  # numbers of a patch that are drawn
MOST_CLASSES = 12
MOST_LABELLED = 20  # of more detections only those that stay have their scores beside them
MOST_KEPT = 10  # boxes that are kept in a step each; the rest of a class together
SHEET = (220, 200)  # height and width of the sheet with the scores, in its own pixels
PATCH_SIDE = 160
BLANK = 236  # grey of a patch that is not there yet


def rcnn(
    image,
    proposals,
    *,
    patches,
    features,
    scores,
    classes: Sequence[str],
    moved=None,
    padding: int = 16,
    score_threshold: float = 0.0,
    nms_threshold: float = 0.3,
    follow: Sequence[int] | None = None,
    **unknown,
) -> Player:
    """R-CNN's stages on a picture, with what the stages computed. A few proposals are followed one by one, then all are settled.

    Args:
        image: `[3, H, W]` in 0…1.
        proposals: `[N, 4]`, x1, y1, x2, y2, the most object-like first; at most 1000.
        patches: `[N, 3, S, S]` in 0…1, each proposal warped, with its context.
        features: `[N, F]`, what the network makes of each patch.
        scores: `[N, K]`, of each class: an SVM's, or probabilities.
        classes: K names, without background.
        moved: `[N, 4K]` or `[N, K, 4]`, each proposal as each class's regression moves it; None where there is none.
        padding: pixels of context on each side of a patch.
        score_threshold: what scores no more than this is background.
        nms_threshold: IoU above which the worse of two boxes of a class goes.
        follow: up to 6 proposals to be followed; by default the best, one that will be removed, and one of background.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, rcnn)
    run = _Run(image, proposals, patches, features, scores, classes, moved, padding, score_threshold, nms_threshold)
    followed = run.examples() if follow is None else _followed(follow, run.count)
    patch_film = Film("patch", [run.blank, *(run.patch(i) for i in followed)], "warped", f"[3, {run.side}, {run.side}]", width=6.0)
    panels = [
        Picture("photograph", run.small, note=run.note, boxes=run.boxes, width=11.0),
        patch_film,
        run.feature_panel(followed),
        run.score_panel(),
    ]
    arrows = [Arrow("crop and warp"), Arrow("network"), Arrow("score")]
    steps = [*run.proposed(), *(step for frame, i in enumerate(followed, 1) for step in run.followed(i, frame)), *run.settled()]
    return Player(Trace("R-CNN, stage by stage", panels=panels, arrows=arrows, steps=steps))


class _Run:
    """What the stages computed, checked, and the steps that tell of it. On the photograph boxes 0 … N − 1 are the proposals, and the D
    after them the detections: pairs of a proposal and a class that scores above the threshold."""

    def __init__(self, image, proposals, patches, features, scores, classes, moved, padding, score_threshold, nms_threshold):
        picture = pixels(image)
        self.small, self.factor = shrunk(picture)
        self.note = f"[3, {picture.shape[0]}, {picture.shape[1]}]"
        self.proposals = _checked(proposals, "proposals")
        self.count = len(self.proposals)
        self.patches = _rows(patches, "patches", self.count, "[N, 3, S, S]", 4)
        self.features = _rows(features, "features", self.count, "[N, F]", 2)
        self.scores = _rows(scores, "scores", self.count, "[N, K]", 2)
        self.classes = _named(classes, self.scores.shape[1])
        self.side, self.padding = self.patches.shape[-1], arguments.whole(padding, "padding", 0)
        if 2 * self.padding >= self.side:
            raise ValueError(f"padding is {padding}, and the patches are {self.side} pixels wide; it takes less than half of that")
        self.moved = None if moved is None else _moved(moved, self.count, len(self.classes))
        self.score_threshold, self.nms_threshold = float(score_threshold), float(nms_threshold)
        found = (self.scores > self.score_threshold).nonzero()  # [D, 2]
        if len(found) > MOST_DETECTIONS:
            raise ValueError(f"{len(found)} boxes score above {score_threshold}; {MOST_DETECTIONS} can be shown: raise score_threshold")
        self.found = [tuple(pair) for pair in found.tolist()]
        proposal, label = found.unbind(1)  # [D] each
        self.places = self.proposals[proposal] if self.moved is None else self.moved[proposal, label]  # [D, 4], where they lie in the end

    # ---- panels ---------------------------------------------------------------------------------------------------------

    @property
    def boxes(self) -> Boxes:
        places = torch.cat([self.proposals, self.proposals[[i for i, _ in self.found]]])
        return Boxes((places * self.factor).numpy(), role=None)

    @property
    def blank(self) -> np.ndarray:
        return np.full((PATCH_SIDE, PATCH_SIDE, 3), BLANK, np.uint8)

    def patch(self, i: int) -> np.ndarray:
        """[PATCH_SIDE, PATCH_SIDE, 3], enlarged or reduced, as it is too small or too large to be seen."""
        from PIL import Image

        patch = Image.fromarray(pixels(self.patches[i].clamp(0, 1), name="patches"))
        return np.asarray(patch.resize((PATCH_SIDE, PATCH_SIDE), Image.Resampling.BILINEAR))

    def feature_panel(self, followed: Sequence[int]) -> Grid:
        total, shown = self.features.shape[1], self.shown_features
        columns = math.ceil(math.sqrt(shown))
        top = max(float(self.features[list(followed), :shown].abs().max()), 1e-9)
        signed = bool((self.features < 0).any())
        note = f"[{total}]" if shown == total else f"the first {shown} of [{total}]"
        values, limits = np.zeros((math.ceil(shown / columns), columns)), (-top if signed else 0.0, top)
        return Grid("features", values, note=note, paint="signed" if signed else "heat", empty=True, width=6.0, limits=limits)

    @property
    def shown_features(self) -> int:
        return min(self.features.shape[1], MOST_FEATURES)

    def score_panel(self) -> Picture:
        """Bars that go both ways from a line at 0. They are boxes on a sheet, so that they glide and can have a role each."""
        height, _ = SHEET
        zero = self._across(0.0)
        bars = [self._bar(k, 0.0) for k in range(len(self.classes))]
        places = [*bars, (zero, 0.0, zero + 0.5, float(height))]
        return Picture(
            "scores", None, note=f"[{len(self.classes)}]", size=SHEET, width=6.0, boxes=Boxes(places, [None] * len(bars) + ["suppressed"])
        )

    def _across(self, score: float) -> float:
        """Where a score lies on the sheet, left to right."""
        low, high = min(0.0, float(self.scores.min())), max(0.0, float(self.scores.max()))
        return (0.04 + 0.92 * (score - low) / max(high - low, 1e-9)) * SHEET[1]

    def _bar(self, k: int, score: float) -> tuple[float, float, float, float]:
        row = SHEET[0] / len(self.classes)
        zero, end = self._across(0.0), self._across(score)
        return (min(zero, end), (k + 0.62) * row, max(zero, end), (k + 0.94) * row)

    def _bars(self, i: int) -> dict[int, BoxLook]:
        looks = {}
        for k, name in enumerate(self.classes):
            score = float(self.scores[i, k])
            role = "chosen" if score > self.score_threshold and k == int(self.scores[i].argmax()) else "write"
            looks[k] = BoxLook(role, f"{name} {_short(score)}", self._bar(k, score))
        return looks

    # ---- what is followed ---------------------------------------------------------------------------------------------------

    def examples(self) -> list[int]:
        """The best proposal, the best that it will remove, and the first that is background."""
        best = self.scores.amax(1)  # [N]
        first = int(best.argmax())
        label = int(self.scores[first].argmax())
        overlap = box_iou(self.proposals[first : first + 1], self.proposals)[0]  # [N]
        rivals = [(float(self.scores[i, label]), i) for i in range(self.count) if i != first and overlap[i] > self.nms_threshold]
        background = (best <= self.score_threshold).nonzero()[:, 0].tolist()
        chosen = [first, *([max(rivals)[1]] if rivals else []), *background[:1]]
        return list(dict.fromkeys(chosen))

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def proposed(self) -> list[TraceStep]:
        few = min(10, self.count)
        first, rest = dict.fromkeys(range(few), "candidate"), dict.fromkeys(range(few, self.count), "candidate")
        steps = [
            TraceStep("R-CNN proposes boxes, looks at each by itself, says what is in it, and keeps the best."),
            TraceStep(f"Propose: [{few}|read] boxes that may hold an object.", boxes={"photograph": first}),
        ]
        if rest:
            steps.append(TraceStep(f"In all [{self.count}|read]. Most of them hold nothing.", boxes={"photograph": rest}))
        return steps

    def followed(self, i: int, frame: int) -> list[TraceStep]:
        """One proposal, from its crop to its score and, if it has a class, its new place."""
        steps = [self._cropped(i, frame), self._described(i), self._scored(i)]
        label = int(self.scores[i].argmax())
        if self.moved is not None and self.scores[i, label] > self.score_threshold:
            steps.append(self._corrected(i, label))
        return steps

    def _cropped(self, i: int, frame: int) -> TraceStep:
        x1, y1, x2, y2 = self.proposals[i].tolist()
        width, height, inner = x2 - x1, y2 - y1, self.side - 2 * self.padding
        right, down = width * self.padding / inner, height * self.padding / inner
        stretched = [f"{inner} / {number(side)} = {number(inner / side)}" for side in (width, height)]
        context = self._shown(torch.tensor([x1 - right, y1 - down, x2 + right, y2 + down]))
        alone = {j: BoxLook("read", f"proposal {i}") if j == i else None for j in range(self.count)}
        return TraceStep(
            f"Crop [proposal {i}|read], {number(width)} × {number(height)} pixels, with some of what is around it, and warp it to "
            f"[{self.side} × {self.side}|write].",
            marks={"photograph": {"write": [context]}},
            shows={"patch": frame},
            boxes={"photograph": alone, "scores": dict.fromkeys(range(len(self.classes)))},
            arithmetic=f"across {stretched[0]},  down {stretched[1]}",
        )

    def _described(self, i: int) -> TraceStep:
        columns = math.ceil(math.sqrt(self.shown_features))
        cells = {divmod(f, columns): value for f, value in enumerate(self.features[i, : self.shown_features].tolist())}
        return TraceStep(f"The network turns the patch into [{self.features.shape[1]}|write] features.", writes={"features": cells})

    def _scored(self, i: int) -> TraceStep:
        scores, limit = [round(score, 3) for score in self.scores[i].tolist()], number(self.score_threshold)
        label = int(self.scores[i].argmax())
        best = number(scores[label])
        if self.scores[i, label] > self.score_threshold:
            verdict = f"The highest is [{self.classes[label]} {best}|chosen], above {limit}."
        else:
            verdict = f"None is above {limit}: [background|write]."
        arithmetic = f"max({listing(scores)}) = {best}"
        return TraceStep(f"Each class scores the features. {verdict}", boxes={"scores": self._bars(i)}, arithmetic=arithmetic)

    def _corrected(self, i: int, label: int) -> TraceStep:
        before, after = self.proposals[i : i + 1], self.moved[i : i + 1, label]
        proper = bool((after[:, 2:] > after[:, :2]).all())
        return TraceStep(
            f"The box regression of [{self.classes[label]}|chosen] moves it by four numbers to a [new place|write].",
            marks={"photograph": {"read": [self._shown(before[0])]}},
            boxes={"photograph": {i: BoxLook("write", f"proposal {i}", self._shown(after[0]))}},
            arithmetic=f"d = ({listing(encode_boxes(after, before)[0].tolist())})" if proper else "",
        )

    def settled(self) -> list[TraceStep]:
        """All proposals at once: what scores, moves, stays and goes."""
        hidden, everyone = dict.fromkeys(range(self.count)), f"So it goes for all {self.count} proposals"
        above = f"above {number(self.score_threshold)}"
        if not self.found:
            return [TraceStep(f"{everyone}: none scores {above}. Nothing is found.", boxes={"photograph": hidden})]
        waiting = {self.count + d: BoxLook("candidate", self._waiting_label(d)) for d in range(len(self.found))}
        score = "score" if len(self.found) > 1 else "scores"
        steps = [TraceStep(f"{everyone}: [{len(self.found)}|read] {score} {above}.", boxes={"photograph": hidden | waiting})]
        if self.moved is not None:
            places = {box: replace(look, place=self._shown(self.places[box - self.count])) for box, look in waiting.items()}
            steps.append(TraceStep("The regression of its class moves each of them.", boxes={"photograph": places}))
        kept = [self._suppression(label) for label in range(len(self.classes))]  # {box that stays: those it removes} a class
        steps += [step for label, rounds in enumerate(kept) for step in self._rounds(label, rounds)]
        gone = {self.count + d: None for rounds in kept for removed in rounds.values() for d in removed}
        told = ", ".join(f"{name} [{len(rounds)}|chosen]" for name, rounds in zip(self.classes, kept, strict=True) if rounds)
        return [*steps, TraceStep(f"What R-CNN reports, of {self.count} proposals: {told}.", boxes={"photograph": gone})]

    def _rounds(self, label: int, rounds: Mapping[int, Sequence[int]]) -> list[TraceStep]:
        """A step for each of the best boxes that stay, and one for the others."""
        name, limit, steps = self.classes[label], number(self.nms_threshold), []
        for best, removed in list(rounds.items())[:MOST_KEPT]:
            verb = "overlaps" if len(removed) == 1 else "overlap"
            then = f"it removes [{len(removed)}|read] that {verb} it by" if removed else "nothing overlaps it by"
            caption = f"Keep the best [{name}|chosen] left, {_short(self._score(best))}: {then} more than {limit}."
            looks = {"photograph": self._looks([best], removed)}
            steps.append(TraceStep(caption, {"photograph": {"chosen": [self.count + best]}}, boxes=looks))
        rest = list(rounds)[MOST_KEPT:]
        if rest:
            looks = {"photograph": self._looks(rest, [d for best in rest for d in rounds[best]])}
            steps.append(TraceStep(f"And so on: [{len(rest)}|chosen] more of {name}.", boxes=looks))
        return steps

    # ---- detections -----------------------------------------------------------------------------------------------------

    def _suppression(self, label: int) -> dict[int, list[int]]:
        """Non-maximum suppression within a class: each detection that stays, the best first, with those that it removes."""
        mine = [d for d, (_, k) in enumerate(self.found) if k == label]
        scores = torch.tensor([self._score(d) for d in mine])
        kept = [mine[j] for j in nms(self.places[mine], scores, self.nms_threshold).tolist()]
        waiting, rounds = [d for d in mine if d not in kept], {}
        for best in kept:
            overlap = box_iou(self.places[[best]], self.places[waiting])[0].tolist()
            rounds[best] = [d for d, iou in zip(waiting, overlap, strict=True) if iou > self.nms_threshold]
            waiting = [d for d in waiting if d not in rounds[best]]
        return rounds

    def _score(self, d: int) -> float:
        return float(self.scores[self.found[d]])

    def _shown(self, box: Tensor) -> tuple[float, ...]:
        return tuple((box * self.factor).tolist())

    def _label(self, d: int) -> str:
        return f"{self.classes[self.found[d][1]]} {_short(self._score(d))}"

    def _waiting_label(self, d: int) -> str:
        return self._label(d) if len(self.found) <= MOST_LABELLED else ""

    def _looks(self, kept: Sequence[int], gone: Sequence[int]) -> dict[int, BoxLook]:
        stay = {self.count + d: BoxLook("chosen", self._label(d)) for d in kept}
        return stay | {self.count + d: BoxLook("suppressed") for d in gone}


def _short(score: float) -> str:
    """A probability of 0.00007 is 0 to whoever compares scores."""
    return number(round(score, 3))


def _checked(proposals, name: str) -> Tensor:
    boxes = as_tensor(proposals, name=name)
    arguments.check_boxes(boxes, name, finite=True)
    arguments.check_sizes(boxes, name)
    if not 1 <= len(boxes) <= MOST_PROPOSALS:
        raise ValueError(f"{name} holds {len(boxes)} boxes; from 1 to {MOST_PROPOSALS} can be shown: pass the first of them")
    return boxes


def _rows(x, name: str, count: int, shape: str, dimensions: int) -> Tensor:
    """A finite tensor with a row for each proposal."""
    x = as_tensor(x, name=name)
    wrong = x.dim() != dimensions or len(x) != count or 0 in x.shape or dimensions == 4 and (x.shape[1] != 3 or x.shape[2] != x.shape[3])
    if wrong:
        raise ValueError(f"{name} has the shape {list(x.shape)}; it takes {shape}, with N = {count} as there are proposals")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} has NaN or infinite values; a widget shows finite numbers only")
    return x


def _moved(moved, count: int, classes: int) -> Tensor:
    """[N, K, 4]"""
    moved = as_tensor(moved, name="moved")
    if list(moved.shape) not in ([count, 4 * classes], [count, classes, 4]):
        raise ValueError(f"moved has the shape {list(moved.shape)}; it takes [N, 4K] or [N, K, 4], here [{count}, {classes}, 4]")
    if not torch.isfinite(moved).all():
        raise ValueError("moved has NaN or infinite values; a widget shows finite numbers only")
    return moved.reshape(count, classes, 4)


def _named(classes, count: int) -> tuple[str, ...]:
    if isinstance(classes, str) or len(classes) != count or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"classes is {classes!r}; it takes a name for each of the {count} columns of scores, background left out")
    if count > MOST_CLASSES:
        raise ValueError(f"there are {count} classes, and {MOST_CLASSES} can be shown: pass the columns of those that matter")
    return tuple(name[:20] for name in classes)


def _followed(follow, count: int) -> list[int]:
    chosen = list(follow)
    proper = all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i < count for i in chosen)
    if not 1 <= len(chosen) <= MOST_FOLLOWED or not proper:
        raise ValueError(f"follow is {follow!r}; it takes 1 to {MOST_FOLLOWED} numbers of proposals, 0 to {count - 1}")
    return chosen
