"""The task of semantic segmentation: a label for each pixel, judged by mean IoU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from course.exercises.task import Score, Wrong, described, is_answer
from course.metrics import class_iou, confusion_matrix


@dataclass(frozen=True)
class Labelling:
    """Networks return logits `[B, K, H, W]`, or a dict with these as "out". Answers are "labels", uint8 `[N, H, W]`, and targets int64.

    Attributes:
        classes: K names, background first.
    """

    classes: tuple[str, ...]
    measure: ClassVar[str] = "mean IoU"

    def numbers(self, outputs: object, images: Tensor) -> dict[str, Tensor]:
        if isinstance(outputs, dict) and "out" in outputs:  # as torchvision's segmentation networks answer
            outputs = outputs["out"]
        if not isinstance(outputs, Tensor):
            raise Wrong("unusable", f"The network returned an object of type {type(outputs).__name__}; expected are logits, a tensor.")
        count, _, height, width = images.shape
        expected, got = [count, len(self.classes), height, width], list(outputs.shape)
        if got in ([count, height, width], [count, 1, height, width]) or not outputs.is_floating_point():
            said = f"The network returned labels, {described(outputs)}; expected are logits, {expected}"
            raise Wrong("unusable", f"{said}: one number for each class, so leave out the argmax.")
        if got != expected:
            raise Wrong("unusable", f"The network returned {got} for {list(images.shape)}; expected is {expected}{_hint(got, expected)}.")
        if not outputs.isfinite().all():
            raise Wrong("unusable", "The logits hold NaN or infinite numbers: was the loss still a number at the end of the training?")
        return {"logits": outputs}

    def answers(self, numbers: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
        return {"labels": numbers["logits"].argmax(1).to(torch.uint8)}  # [B, H, W]

    def score(self, arrays: Mapping[str, Tensor], targets: Tensor) -> Score:
        labels, classes = arrays.get("labels"), len(self.classes)
        if not is_answer(labels, torch.uint8, targets.shape) or (labels.numel() and labels.max() >= classes):
            raise Wrong("unusable", "The labels that came back are none: each pixel has one of the classes.")
        iou = class_iou(confusion_matrix(labels, targets, classes, void=None)).nan_to_num(1.0)  # in neither: nothing to get wrong
        each = ", ".join(f"{name} {value:.2f}" for name, value in zip(self.classes, iou.tolist(), strict=True))
        return Score(iou.mean().item(), (f"IoU of each class: {each}.",))


def _hint(got: list[int], expected: list[int]) -> str:
    if len(got) == 4 and got[:2] == expected[:2]:
        return ": enlarge the scores to the size of the pictures, with F.interpolate for example"
    if len(got) == 4 and got[2:] == expected[2:]:
        return f": there are {expected[1]} classes, background among them"
    return ""
