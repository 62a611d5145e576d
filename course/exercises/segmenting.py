"""The task of outlining every object: masks with a class and a score, judged by the mean average precision of the masks.

Networks answer as torchvision's do: of each picture a dict with boxes, labels, scores and masks. What travels to the judge is of a fixed
size: so many detections of each picture, and of their masks a bit a pixel, eight in a byte. At 128 × 128 pixels these are 2 kB a mask.
Boxes travel, too, but only to say what is wrong: an object that has a box and no mask tells where to look.

    score = mean over classes of the average precision at mask IoU 0.5, `course.metrics.mean_average_precision(…, kind="masks")`

K. He, G. Gkioxari, P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 4 (masks are judged by mask IoU); the measure:
T.-Y. Lin et al., "Microsoft COCO", 2014, arXiv:1405.0312.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from course.exercises.task import Score, Wrong, described, is_answer
from course.metrics import mean_average_precision
from course.ops.boxes import box_iou

MOST = 1e6  # of a coordinate or a score: whatever a network says or a process sends, areas stay numbers
FOUND = 0.5  # IoU from which on an object is found
INSIDE = 0.5  # probability above which a pixel belongs to a mask
PARTS = ("boxes", "labels", "scores", "masks")


@dataclass(frozen=True)
class Segmenting:
    """Networks return a list with a dict for each picture: "boxes" `[D, 4]`, xyxy in pixels, "labels" `[D]`, whole numbers from 1, "scores"
    `[D]`, and "masks", `[D, 1, H, W]` or `[D, H, W]`, probabilities or bool. D is up to them, and may be 0; the `most` with the best scores
    count.

    Answers are "boxes", float32 `[N, most, 4]`, "labels", uint8 `[N, most]`, "scores", float32 `[N, most]`, and "masks", uint8
    `[N, most, H, ⌈W / 8⌉]`, a bit a pixel, the first in the highest bit; the best first. Where there are fewer, the last rows are zeros,
    and label 0 says that there is no detection. Targets are torchvision's dicts, one a picture: boxes `[G, 4]`, labels `[G]`, masks bool
    `[G, H, W]`; G may be 0.

    Attributes:
        classes: their names, background first.
        most: how many detections of a picture count.
    """

    classes: tuple[str, ...]
    most: int
    measure: ClassVar[str] = "mask mAP at IoU 0.5"

    def numbers(self, outputs: object, images: Tensor) -> dict[str, Tensor]:
        if not isinstance(outputs, (list, tuple)):
            raise Wrong("unusable", f"The network returned {_kind(outputs)}; expected is a list with a dict for each picture.")
        if len(outputs) != len(images):
            raise Wrong("unusable", f"The network returned {len(outputs)} answers for {len(images)} pictures; expected is a dict for each.")
        rows = [self._rows(of_image, tuple(images.shape[-2:])) for of_image in outputs]
        return {name: torch.stack([each[name] for each in rows]) for name in PARTS}

    def _rows(self, said: object, size: tuple[int, int]) -> dict[str, Tensor]:
        """The best detections of a picture, checked and filled up: boxes [most, 4], labels, scores [most], masks [most, H, W]; float32."""
        if not isinstance(said, dict) or any(not isinstance(said.get(name), Tensor) for name in PARTS):
            complete = isinstance(said, dict) and said.keys() >= set(PARTS)
            got = "a dict with something else than tensors in it" if complete else _kind(said)
            expected = ", ".join(f'"{name}"' for name in PARTS[:-1])
            raise Wrong("unusable", f'Of a picture the network returned {got}; expected is a dict of tensors, {expected} and "masks".')
        said = {name: said[name] for name in PARTS}
        if said["masks"].dim() == 4 and said["masks"].shape[1] == 1:
            said["masks"] = said["masks"][:, 0]  # as torchvision has them
        self._check(said, size)
        best = said["scores"].float().argsort(descending=True, stable=True)[: self.most]
        return {name: _filled(part[best.to(part.device)].float().clamp(-MOST, MOST), self.most) for name, part in said.items()}

    def _check(self, said: Mapping[str, Tensor], size: tuple[int, int]) -> None:
        count = len(said["scores"]) if said["scores"].dim() == 1 else "D"
        shapes = {"scores": [count], "boxes": [count, 4], "labels": [count], "masks": [count, *size]}
        for name, shape in shapes.items():
            part = said[name]
            if list(part.shape) != shape:
                expected = f"[{', '.join(map(str, shape))}]"
                raise Wrong("unusable", f'"{name}" is {described(part)}; expected is {expected}{_hint(name, part, size)}.')
            if not part.isfinite().all():
                raise Wrong("unusable", f'"{name}" holds NaN or infinite numbers: was the loss still a number at the end of the training?')
        if said["labels"].is_floating_point() or ((said["labels"] < 1) | (said["labels"] >= len(self.classes))).any():
            raise Wrong("unusable", f'"labels" are whole numbers from 1 to {len(self.classes) - 1}: the background is no detection.')
        if ((said["masks"] < 0) | (said["masks"] > 1)).any():
            raise Wrong("unusable", '"masks" are probabilities from 0 to 1: was the sigmoid forgotten?')

    def answers(self, numbers: Mapping[str, Tensor], images: Tensor) -> dict[str, Tensor]:
        boxes, labels, scores, masks = (numbers[name].cpu() for name in PARTS)
        return {
            "boxes": torch.cat((boxes[..., :2], boxes[..., 2:].maximum(boxes[..., :2])), -1),
            "labels": labels.to(torch.uint8),
            "scores": scores,
            "masks": _packed(masks > INSIDE),
        }

    def score(self, arrays: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]]) -> Score:
        count = sum(len(target["labels"]) for target in targets)
        if not count:
            raise ValueError("The pictures of an exercise show at least one object; in these there is none.")
        height, width = targets[0]["masks"].shape[1:]
        boxes, labels, scores, masks = self._checked(arrays, len(targets), (height, width))
        predictions = []
        for place, kinds in enumerate(labels):
            said = kinds > 0  # [most]
            of_image = {"boxes": boxes[place, said], "labels": kinds[said].long(), "scores": scores[place, said]}
            predictions.append(of_image | {"masks": _unpacked(masks[place, said], width)})
        precision = mean_average_precision(predictions, targets, FOUND, kind="masks")
        boxed, masked, named = (found / count for found in _found(predictions, targets))
        of_classes = ", ".join(f"{self.classes[label]} {value:.2f}" for label, value in precision.per_class.items())
        said = (
            f"Of {count} objects {boxed:.0%} have a box with an IoU of at least {FOUND} among the {self.most} detections of their picture, "
            f"{masked:.0%} a mask with one, and {named:.0%} such a mask under their own name. Average precision by class: {of_classes}."
        )
        return Score(precision.mAP, (said,))

    def _checked(self, arrays: Mapping[str, Tensor], count: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Boxes `[N, most, 4]`, labels and scores `[N, most]`, masks `[N, most, H, ⌈W / 8⌉]`, which are what they should be."""
        boxes, labels, scores, masks = (arrays.get(name) for name in PARTS)
        rows = [count, self.most]
        if not is_answer(boxes, torch.float32, [*rows, 4]) or (boxes.abs() > MOST).any() or (boxes[..., 2:] < boxes[..., :2]).any():
            raise Wrong("unusable", f"The boxes that came back are none: each picture has {self.most}, x1 ≤ x2 and y1 ≤ y2.")
        if not is_answer(labels, torch.uint8, rows) or (labels >= len(self.classes)).any():
            raise Wrong("unusable", f"The labels that came back are none: each picture has {self.most}, of the classes or 0.")
        if not is_answer(scores, torch.float32, rows):
            raise Wrong("unusable", f"The scores that came back are none: each picture has {self.most}, all of them numbers.")
        if not is_answer(masks, torch.uint8, [*rows, size[0], -(-size[1] // 8)]):
            raise Wrong("unusable", f"The masks that came back are none: each picture has {self.most}, with a bit for each pixel.")
        return boxes, labels, scores, masks


def _packed(masks: Tensor) -> Tensor:
    """Bool [..., W], on the CPU → uint8 [..., ⌈W / 8⌉]."""
    return torch.from_numpy(np.packbits(masks.numpy(), axis=-1))


def _unpacked(masks: Tensor, width: int) -> Tensor:
    """The reverse; what the last byte has beyond the width is not read."""
    return torch.from_numpy(np.unpackbits(masks.numpy(), axis=-1, count=width).astype(bool))


def _filled(rows: Tensor, most: int) -> Tensor:
    """Zeros behind the rows, up to `most` of them."""
    filled = rows.new_zeros(most, *rows.shape[1:])
    filled[: len(rows)] = rows
    return filled


def _found(predictions: Sequence[Mapping[str, Tensor]], targets: Sequence[Mapping[str, Tensor]]) -> tuple[int, int, int]:
    """How many objects some box fits, how many some mask does, whatever it is called, and how many one of their class."""
    boxed = masked = named = 0
    for said, target in zip(predictions, targets, strict=True):
        boxed += int((box_iou(target["boxes"].double(), said["boxes"].double()) >= FOUND).any(1).sum())
        fits = _mask_iou(target["masks"], said["masks"]) >= FOUND  # [G, D]
        masked += int(fits.any(1).sum())
        named += int((fits & (target["labels"][:, None] == said["labels"])).any(1).sum())
    return boxed, masked, named


def _mask_iou(some: Tensor, others: Tensor) -> Tensor:
    """Of masks bool [G, H, W] and [D, H, W], one by one. [G, D]"""
    some, others = some.flatten(1).float(), others.flatten(1).float()
    shared = some @ others.T  # [G, D]
    union = some.sum(1)[:, None] + others.sum(1) - shared
    return shared / union.clamp(min=1)


def _kind(outputs: object) -> str:
    if isinstance(outputs, dict):
        return f"a dict with {', '.join(map(repr, outputs)) or 'nothing in it'}"
    if isinstance(outputs, Tensor):
        return f"one tensor, {described(outputs)}"
    return f"an object of type {type(outputs).__name__}"


def _hint(name: str, part: Tensor, size: tuple[int, int]) -> str:
    if name != "masks":
        return ""
    if part.dim() == 4 and list(part.shape[2:]) == list(size):
        return ": of the masks of all classes that of the label"
    if part.dim() in (3, 4) and list(part.shape[-2:]) != list(size):
        return ": paste each into the picture first"
    return ""
