"""The task of proposing regions: boxes around whatever there is in a picture, judged by how well the first few of them fit the objects.

What an object is called does not matter here, and a box around nothing costs only the place that it takes. So the score is a recall.
Counted at IoU 0.5 alone, ten boxes that are the same in every picture would have half of it. So it is the mean recall over all IoUs from
0.5 to 1: of each object's best proposal, how far its IoU goes beyond 0.5 on the way to 1. J. Hosang, R. Benenson, P. Dollár and B. Schiele,
"What makes for effective detection proposals?", 2015, arXiv:1502.05082, who call it average recall and found that it goes with the quality
of the detector built on top.

    score = mean over objects of  2 · max(0, best IoU − 0.5)

Networks give a box and a score for each of their anchors, and whoever asks makes proposals of them, the same way for everybody: this is a
task for the network, and suppression is an exercise of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from course.exercises.task import Score, Wrong, described, is_answer
from course.ops.boxes import box_iou, clip_boxes
from course.ops.proposals import filter_proposals

MOST = 1e6  # of a coordinate: whatever a network says or a process sends, areas stay numbers
FOUND, CLOSE = 0.5, 0.7  # IoU from which on one says that an object is found, and found well


@dataclass(frozen=True)
class Proposing:
    """Networks return a dict: "boxes" `[B, R, 4]`, xyxy in pixels, and "scores" `[B, R]`, whose order alone counts. R is up to them.

    Answers are "proposals", float32 `[N, most, 4]`, the best first, within the picture; where there are fewer, the last rows are zeros,
    boxes without area, which find nothing. Targets are torchvision's dicts, one a picture, with boxes `[G, 4]`; G may be 0.

    Attributes:
        most: how many proposals of a picture count.
    """

    most: int
    measure: ClassVar[str] = "mean recall"

    def numbers(self, outputs: object, images: Tensor) -> dict[str, Tensor]:
        if not isinstance(outputs, dict) or not {"boxes", "scores"} <= outputs.keys():
            raise Wrong("unusable", f'The network returned {_kind(outputs)}; expected is a dict with "boxes" and "scores".')
        for name in ("boxes", "scores"):
            if not isinstance(outputs[name], Tensor):
                kind = type(outputs[name]).__name__
                raise Wrong("unusable", f'"{name}" is an object of type {kind}; expected is a tensor, of all pictures together.')
        boxes, scores = outputs["boxes"], outputs["scores"]
        rows = boxes.shape[1] if boxes.dim() == 3 else "R"
        for name, part, expected in (("boxes", boxes, [len(images), rows, 4]), ("scores", scores, [len(images), rows])):
            if list(part.shape) != expected or not part.is_floating_point():
                said = f'"{name}" is {described(part)} for {list(images.shape)}; expected is {_shape(expected)}'
                raise Wrong("unusable", f"{said}{_hint(name, part, expected)}.")
            if not part.isfinite().all():
                raise Wrong("unusable", f'"{name}" holds NaN or infinite numbers: was the loss still a number at the end of the training?')
        return {"boxes": boxes, "scores": scores}

    def answers(self, numbers: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
        size = tuple(images.shape[-2:])
        proposals = torch.zeros(len(images), self.most, 4)  # [B, most, 4]
        for rows, boxes, scores in zip(proposals, numbers["boxes"], numbers["scores"], strict=True):
            boxes = boxes.float().clamp(-MOST, MOST)  # [R, 4]
            kept = filter_proposals(boxes, scores.float(), None, size, pre_nms=1000, post_nms=self.most, nms_threshold=0.7, min_size=1.0)
            rows[: len(kept)] = clip_boxes(boxes[kept], size)
        return {"proposals": proposals}

    def score(self, arrays: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]]) -> Score:
        proposals = self._checked(arrays, len(targets))
        best = [
            box_iou(target["boxes"].double(), of_picture.double()).amax(1) for target, of_picture in zip(targets, proposals, strict=True)
        ]
        best = torch.cat(best)  # of each object of all pictures
        if not len(best):
            raise ValueError("The pictures of an exercise show at least one object; in these there is none.")
        value = (2 * (best - FOUND)).clamp(min=0).mean().item()
        found, close = ((best >= least).double().mean().item() for least in (FOUND, CLOSE))
        said = (
            f"Of {len(best)} objects the first {self.most} proposals find {found:.0%} with an IoU of at least {FOUND}, and {close:.0%} "
            f"with one of at least {CLOSE}. An object counts by how far its best IoU goes beyond {FOUND}."
        )
        return Score(value, (said,))

    def _checked(self, arrays: Mapping[str, Tensor], count: int) -> Tensor:
        """Proposals `[N, most, 4]`, which are what they should be."""
        proposals = arrays.get("proposals")
        right = is_answer(proposals, torch.float32, [count, self.most, 4])
        if not right or (proposals.abs() > MOST).any() or (proposals[..., 2:] < proposals[..., :2]).any():
            raise Wrong("unusable", f"The proposals that came back are none: each picture has {self.most}, x1 ≤ x2 and y1 ≤ y2.")
        return proposals


def _kind(outputs: object) -> str:
    if isinstance(outputs, dict):
        return f"a dict with {', '.join(map(repr, outputs)) or 'nothing in it'}"
    return f"an object of type {type(outputs).__name__}"


def _shape(sides: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, sides))}]"


def _hint(name: str, part: Tensor, expected: Sequence[int | str]) -> str:
    if name == "boxes" and part.dim() == 4:
        return ": all places in one row, as the anchors stand"
    if name == "scores" and part.dim() == 3 and list(part.shape[:2]) == expected:
        return ": one number for each box, without an axis of its own"
    return ""
