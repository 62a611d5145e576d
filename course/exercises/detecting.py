"""The task of detection without proposals: a grid of cells that says everything at once, judged by the mean average precision.

Networks give the vectors of YOLO's cells, and whoever asks makes detections of them, the same way for everybody: decoding and suppression
are exercises of their own. No threshold is lost by then. Average precision is about the order of the detections, so the doubtful ones at
its end cost nothing, and nobody has to guess where to cut.

    score = mean over classes of the average precision at IoU 0.5, `course.metrics.mean_average_precision`

J. Redmon, S. Divvala, R. Girshick and A. Farhadi, "You Only Look Once", 2015, arXiv:1506.02640, sections 2 and 2.3; the measure: M.
Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010, section 4.2, with COCO's 101 recalls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from course.exercises.task import Score, Wrong, described, is_answer
from course.metrics import mean_average_precision
from course.models.yolo import decode_predictions, detect
from course.ops.boxes import box_iou, clip_boxes

MOST = 1e6  # of a coordinate or a score: whatever a network says or a process sends, areas and products stay numbers
CANDIDATES = 300  # boxes of a picture that go into the suppression, which takes time with the square of them
FOUND = 0.5  # IoU from which on an object is found


@dataclass(frozen=True)
class Detecting:
    """Networks return one tensor `[B, S, S, 5A + C]`: for each cell, row first, A times (x, y, w, h, confidence), and then C classes.

    x and y are the centre's place in the cell, w and h shares of the picture. S and A are up to them. A side or a confidence below 0
    counts as 0, so that two numbers below 0 make no score above it.

    Answers are "boxes", float32 `[N, most, 4]`, xyxy in pixels within the picture, "labels", uint8 `[N, most]`, and "scores", float32
    `[N, most]`, the best first; where there are fewer, the last rows are zeros, and label 0 says that there is no detection. Targets are
    torchvision's dicts, one a picture: boxes `[G, 4]`, labels `[G]`; G may be 0.

    Attributes:
        classes: C + 1 names, background first.
        most: how many detections of a picture count.
    """

    classes: tuple[str, ...]
    most: int
    measure: ClassVar[str] = "mAP at IoU 0.5"

    def numbers(self, outputs: object, images: Tensor) -> dict[str, Tensor]:
        count = len(self.classes) - 1
        expected = f"[{len(images)}, S, S, 5B + {count}]"
        if not isinstance(outputs, Tensor):
            kind = (
                f"a dict with {', '.join(map(repr, outputs))}"
                if isinstance(outputs, dict)
                else f"an object of type {type(outputs).__name__}"
            )
            raise Wrong("unusable", f"The network returned {kind}; expected is one tensor, {expected}, what the cells say.")
        shape = list(outputs.shape)
        grid = len(shape) == 4 and shape[0] == len(images) and shape[1] == shape[2] > 0
        if not grid or shape[3] <= count or (shape[3] - count) % 5 or not outputs.is_floating_point():
            said = f"The network returned {described(outputs)} for {list(images.shape)}; expected is {expected}"
            raise Wrong("unusable", f"{said}{_hint(outputs, len(images), count)}.")
        if not outputs.isfinite().all():
            raise Wrong("unusable", "The cells hold NaN or infinite numbers: was the loss still a number at the end of the training?")
        return {"cells": outputs}

    def answers(self, numbers: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
        size = tuple(images.shape[-2:])
        cells = numbers["cells"].float().cpu().clamp(-MOST, MOST)  # [B, S, S, 5A + C]
        each = (cells.shape[-1] - len(self.classes) + 1) // 5  # A
        cells = torch.cat((_positive(cells[..., : 5 * each], each), cells[..., 5 * each :]), -1)
        boxes, scores = decode_predictions(cells, size, boxes=each)  # [B, K, 4], [B, K, C]
        rows = scores.amax(-1).topk(min(CANDIDATES, scores.shape[1])).indices[..., None]  # [B, candidates, 1]
        boxes, scores = clip_boxes(boxes.take_along_dim(rows, 1), size), scores.take_along_dim(rows, 1)
        found = detect(boxes, scores, score_threshold=0.0, nms_threshold=0.5, limit=self.most)
        return {
            "boxes": torch.stack([_filled(of_image["boxes"], self.most) for of_image in found]),
            "labels": torch.stack([_filled(of_image["labels"].to(torch.uint8), self.most) for of_image in found]),
            "scores": torch.stack([_filled(of_image["scores"], self.most) for of_image in found]),
        }

    def score(self, arrays: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]]) -> Score:
        boxes, labels, scores = self._checked(arrays, len(targets))
        predictions = []
        for of_image, kinds, ranks in zip(boxes, labels, scores, strict=True):
            said = kinds > 0  # [most]
            predictions.append({"boxes": of_image[said], "labels": kinds[said].long(), "scores": ranks[said]})
        count = sum(len(target["labels"]) for target in targets)
        if not count:
            raise ValueError("The pictures of an exercise show at least one object; in these there is none.")
        precision = mean_average_precision(predictions, targets, FOUND)
        found, named = _found(predictions, targets)
        of_classes = ", ".join(f"{self.classes[label]} {value:.2f}" for label, value in precision.per_class.items())
        said = (
            f"Of {count} objects {found / count:.0%} have a box with an IoU of at least {FOUND} among the {self.most} detections of their "
            f"picture, and {named / count:.0%} one under their own name. Average precision by class: {of_classes}."
        )
        return Score(precision.mAP, (said,))

    def _checked(self, arrays: Mapping[str, Tensor], count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes `[N, most, 4]`, labels and scores `[N, most]`, which are what they should be."""
        boxes, labels, scores = (arrays.get(name) for name in ("boxes", "labels", "scores"))
        rows = [count, self.most]
        if not is_answer(boxes, torch.float32, [*rows, 4]) or (boxes.abs() > MOST).any() or (boxes[..., 2:] < boxes[..., :2]).any():
            raise Wrong("unusable", f"The boxes that came back are none: each picture has {self.most}, x1 ≤ x2 and y1 ≤ y2.")
        if not is_answer(labels, torch.uint8, rows) or (labels >= len(self.classes)).any():
            raise Wrong("unusable", f"The labels that came back are none: each picture has {self.most}, of the classes or 0.")
        if not is_answer(scores, torch.float32, rows):
            raise Wrong("unusable", f"The scores that came back are none: each picture has {self.most}, all of them numbers.")
        return boxes, labels, scores


def _positive(boxes: Tensor, each: int) -> Tensor:
    """The numbers of boxes `[B, S, S, 5A]`, sides and confidences below 0 as 0; a centre may lie outside its cell."""
    boxes = boxes.unflatten(-1, (each, 5))  # [B, S, S, A, 5]
    return torch.cat((boxes[..., :2], boxes[..., 2:].clamp(min=0)), -1).flatten(-2)


def _filled(rows: Tensor, most: int) -> Tensor:
    """Zeros behind the rows, up to `most` of them."""
    filled = rows.new_zeros(most, *rows.shape[1:])
    filled[: len(rows)] = rows
    return filled


def _found(predictions: Sequence[Mapping[str, Tensor]], targets: Sequence[Mapping[str, Tensor]]) -> tuple[int, int]:
    """How many objects some box fits, whatever it is called, and how many one of their class does."""
    found = named = 0
    for said, target in zip(predictions, targets, strict=True):
        fits = box_iou(target["boxes"].double(), said["boxes"].double()) >= FOUND  # [G, D]
        found += int(fits.any(1).sum())
        named += int((fits & (target["labels"][:, None] == said["labels"])).any(1).sum())
    return found, named


def _hint(outputs: Tensor, images: int, count: int) -> str:
    shape = list(outputs.shape)
    if not outputs.is_floating_point():
        return ""
    if len(shape) == 4 and shape[0] == images and shape[2] == shape[3] != shape[1]:
        return ": the numbers of a cell come last, so permute(0, 2, 3, 1)"
    if len(shape) == 2:
        return ": a row and a column are axes of their own, so reshape it"
    if len(shape) == 4 and shape[1] == shape[2] and (shape[3] - count - 1) % 5 == 0:
        return f": there are {count} classes, and the background is none of them"
    return ""
