"""What a detector said of a picture, stage by stage, and where a detection comes from: its proposal, its anchor, its level.

Models do not keep where a detection came from. It is derived again: of all proposals, each moved by its deltas for the detection's class,
it is the one whose box and score are those of the detection; and of all anchors, each moved by its deltas, the one whose box is the
proposal's.

Letters: N anchors, A of them at a place, P proposals, D detections, K classes with background, M × M cells of a mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from course.ops.boxes import box_iou, clip_boxes, decode_boxes
from segwidgets.box_heads import BoxHeads, Pooling

WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the deltas of a box head, and of SSD: the usual ones
SAME = 0.02  # a box or score that differs by less is the same, computed in another order


@dataclass(frozen=True)
class Origin:
    """Row of the proposal, None where there are none, of the anchor or default box, and the number of its level. `same` says whether box
    and score are those of the detection; otherwise it is the proposal that overlaps it most."""

    proposal: int | None
    anchor: int
    level: int
    same: bool


@dataclass(frozen=True)
class DetectorStages:
    """The stages that `segwidgets.forward_pass.watch` gives. Boxes are in pixels of `size` (height, width), as the network saw the picture,
    those of the detections in pixels of `original`.

    `held [N]` is the probability that an anchor holds an object, `moved [N, 4]` where its deltas take it. `scores [R, K]` and `class_deltas
    [R, K or 1, 4]` are of the regions: the proposals, or without proposals the default boxes themselves. The deltas were multiplied by
    `weights [4]`. Where each class stands `alone`, it has a sigmoid of its own, and none is the background.
    """

    original: tuple[int, int]
    size: tuple[int, int]
    levels: dict[str, Tensor]
    anchors: Tensor
    anchor_levels: Tensor
    held: Tensor
    moved: Tensor
    proposals: Tensor | None
    scores: Tensor | None
    class_deltas: Tensor | None
    weights: tuple[float, float, float, float]
    alone: bool
    boxes: Tensor
    labels: list[int]
    found: list[float]
    keypoints: Tensor | None
    mask_logits: Tensor | None
    joint_maps: Tensor | None
    heads: BoxHeads | None
    pooling: Pooling | None
    seconds: dict[str, float]
    memory: dict[str, int]

    @classmethod
    def of(cls, stages: Mapping, original: tuple[int, int]) -> DetectorStages:
        """Raises: TypeError: the stages are neither those of proposals nor those of default boxes."""
        parts = _of_proposals(stages) if "proposals" in stages else _of_default_boxes(stages)
        detections = stages["detections"]
        return cls(
            original=original,
            size=tuple(int(side) for side in stages["size"]),
            levels=stages["levels"],
            boxes=detections["boxes"],
            labels=detections["labels"].tolist(),
            found=detections["scores"].tolist(),
            keypoints=detections.get("keypoints"),
            mask_logits=stages.get("mask_logits"),
            joint_maps=stages.get("joint_maps"),
            heads=stages.get("heads"),
            pooling=stages.get("pooling"),
            weights=stages.get("delta_weights", WEIGHTS),
            alone=stages.get("alone", False),
            seconds=stages["seconds"],
            memory=stages["memory"],
            **parts,
        )

    @cached_property
    def counts(self) -> list[int]:
        """Anchors of each level."""
        return torch.bincount(self.anchor_levels).tolist()

    def held_at(self, level: int) -> Tensor:
        """The probabilities of a level, `[A, H, W]`."""
        height, width = list(self.levels.values())[level].shape[1:]
        first = self.first_anchor(level)
        return self.held[first : first + self.counts[level]].view(height, width, -1).permute(2, 0, 1)

    def first_anchor(self, level: int) -> int:
        return sum(self.counts[:level])

    @property
    def regions(self) -> Tensor:
        return self.anchors if self.proposals is None else self.proposals

    @property
    def word(self) -> str:
        """What the boxes are called that everything begins with."""
        return "default box" if self.proposals is None and not self.alone else "anchor"

    @property
    def kind_of_region(self) -> str:
        return self.word if self.proposals is None else "proposal"

    def inwards(self, boxes: Tensor) -> Tensor:
        """Boxes [N, 4] or [4] of the picture as given, in pixels of it as the network saw it."""
        down, across = (new / old for new, old in zip(self.size, self.original, strict=True))
        return boxes * boxes.new_tensor((across, down, across, down))

    def outwards(self, boxes: Tensor) -> Tensor:
        """Boxes [N, 4] or [4] in pixels of the picture as the network saw it, in those of the picture as given."""
        return boxes / self.inwards(torch.ones(4, dtype=boxes.dtype))

    def origin(self, d: int) -> Origin:
        """Where detection `d` comes from."""
        row, same = self._region(d)
        if self.proposals is None:
            return Origin(None, row, int(self.anchor_levels[row]), same)
        anchor = int((self.moved - self.proposals[row]).abs().amax(1).argmin())
        return Origin(row, anchor, int(self.anchor_levels[anchor]), same)

    def _region(self, d: int) -> tuple[int, bool]:
        box, label = self.inwards(self.boxes[d]), self.labels[d]
        if self.scores is None or self.class_deltas is None:
            return int(box_iou(box[None], self.regions.to(box))[0].argmax()), False
        deltas = self.class_deltas[:, label if self.class_deltas.shape[1] > 1 else 0]  # [R, 4]
        moved = clip_boxes(decode_boxes(deltas, self.regions.to(deltas), self.weights), self.size)  # [R, 4]
        apart = (moved - box).abs().amax(1) / max(self.size) + (self.scores[:, label] - self.found[d]).abs()  # [R]
        row = int(apart.argmin())
        return row, float(apart[row]) < SAME


def _of_proposals(stages: Mapping) -> dict:
    _check(stages, ("anchors", "anchor_levels", "objectness", "deltas"))
    logits = torch.cat([level.permute(1, 2, 0).flatten() for level in stages["objectness"]])  # [N]
    deltas = torch.cat([level.unflatten(0, (-1, 4)).permute(2, 3, 0, 1).reshape(-1, 4) for level in stages["deltas"]])  # [N, 4]
    known = "class_logits" in stages
    return {
        "anchors": stages["anchors"],
        "anchor_levels": stages["anchor_levels"],
        "held": logits.sigmoid(),
        "moved": clip_boxes(decode_boxes(deltas, stages["anchors"].to(deltas)), stages["size"]),
        "proposals": stages["proposals"],
        "scores": stages["class_logits"].softmax(1) if known else None,
        "class_deltas": stages["class_deltas"].unflatten(1, (-1, 4)) if known else None,
    }


def _of_default_boxes(stages: Mapping) -> dict:
    _check(stages, ("default_boxes", "default_levels", "logits", "deltas"))
    default, alone, weights = stages["default_boxes"], stages.get("alone", False), stages.get("delta_weights", WEIGHTS)
    scores = stages["logits"].sigmoid() if alone else stages["logits"].softmax(1)  # [N, K]
    return {
        "anchors": default,
        "anchor_levels": stages["default_levels"],
        "held": scores.amax(1) if alone else 1 - scores[:, 0],
        "moved": clip_boxes(decode_boxes(stages["deltas"], default.to(stages["deltas"]), weights), stages["size"]),
        "proposals": None,
        "scores": scores,
        "class_deltas": stages["deltas"][:, None],
    }


def _check(stages: Mapping, needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in stages]
    if missing:
        raise TypeError(f"the model's trace has no {', '.join(missing)}; it has {', '.join(stages)}")
