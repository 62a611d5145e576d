"""The task of classification and localization: one class and one box for each picture, judged by both together.

Mean IoU of the boxes alone would reward a box around the right thing under the wrong name, accuracy alone a name without a place. So a
picture is worth the IoU of its box where the class is right, and 0 where it is not; the score is the mean over pictures. Both parts are
told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from course.exercises.task import Score, Wrong, described, is_answer
from course.models.localizer import decode_in_image
from course.ops.boxes import box_iou, clip_boxes

MOST = 1e6  # of a coordinate: whatever a network says or a process sends, areas stay numbers


@dataclass(frozen=True)
class Localizing:
    """Networks return a dict: "logits" `[B, K]` and "codes" `[B, 4]`, the box as `course.models.localizer.encode_in_image` has it.

    Answers are "labels", uint8 `[N]`, and "boxes", float32 `[N, 4]`, xyxy in pixels, within the picture. Targets are torchvision's dicts,
    one a picture: boxes `[1, 4]`, labels `[1]`.

    Attributes:
        classes: K names, background first.
    """

    classes: tuple[str, ...]
    measure: ClassVar[str] = "mean IoU"

    def numbers(self, outputs: object, images: Tensor) -> dict[str, Tensor]:
        if not isinstance(outputs, dict) or not {"logits", "codes"} <= outputs.keys():
            raise Wrong("unusable", f'The network returned {_kind(outputs)}; expected is a dict with "logits" and "codes".')
        for name, width in (("logits", len(self.classes)), ("codes", 4)):
            part, expected = outputs[name], [len(images), width]
            if not isinstance(part, Tensor):
                raise Wrong("unusable", f'"{name}" is an object of type {type(part).__name__}; expected is a tensor, {expected}.')
            if list(part.shape) != expected or not part.is_floating_point():
                said = f'"{name}" is {described(part)} for {list(images.shape)}; expected is {expected}'
                raise Wrong("unusable", f"{said}{_hint(name, part, expected)}.")
            if not part.isfinite().all():
                raise Wrong("unusable", f'"{name}" holds NaN or infinite numbers: was the loss still a number at the end of the training?')
        return {name: outputs[name] for name in ("logits", "codes")}

    def answers(self, numbers: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
        size = tuple(images.shape[-2:])
        codes = numbers["codes"].float().clamp(-MOST, MOST)  # [B, 4]
        boxes = clip_boxes(decode_in_image(codes, size), size)  # [B, 4]
        return {"labels": numbers["logits"].argmax(1).to(torch.uint8), "boxes": boxes}  # [B], [B, 4]

    def score(self, arrays: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]]) -> Score:
        labels, boxes = self._checked(arrays, len(targets))
        true_labels = torch.cat([target["labels"] for target in targets])  # [N]
        true_boxes = torch.cat([target["boxes"] for target in targets])  # [N, 4]
        iou = box_iou(boxes.double(), true_boxes.double()).diagonal()  # [N]
        right = labels == true_labels  # [N]
        value = (iou * right).mean().item()
        said = (
            f"The class is right in {right.double().mean().item():.0%} of the pictures, and the boxes have a mean IoU of "
            f"{iou.mean().item():.2f} whatever the class. A box counts where the class is right."
        )
        return Score(value, (said,))

    def _checked(self, arrays: Mapping[str, Tensor], count: int) -> tuple[Tensor, Tensor]:
        """Labels `[N]` and boxes `[N, 4]`, which are what they should be."""
        labels, boxes = arrays.get("labels"), arrays.get("boxes")
        if not is_answer(labels, torch.uint8, [count]) or (count and labels.max() >= len(self.classes)):
            raise Wrong("unusable", "The labels that came back are none: each picture has one of the classes.")
        if not is_answer(boxes, torch.float32, [count, 4]) or (boxes.abs() > MOST).any() or (boxes[:, 2:] < boxes[:, :2]).any():
            raise Wrong("unusable", "The boxes that came back are none: each picture has one, x1 ≤ x2 and y1 ≤ y2.")
        return labels, boxes


def _kind(outputs: object) -> str:
    if isinstance(outputs, dict):
        return f"a dict with {', '.join(map(repr, outputs)) or 'nothing in it'}"
    return f"an object of type {type(outputs).__name__}"


def _hint(name: str, part: Tensor, expected: list[int]) -> str:
    if name == "logits" and (part.dim() == 1 or not part.is_floating_point()):
        return ": one number for each class, so leave out the argmax"
    if name == "logits" and part.dim() == 2 and len(part) == expected[0]:
        return f": there are {expected[1]} classes, background among them"
    return ""
