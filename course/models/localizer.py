"""Classification and localization: what is in the picture, and where, by one trunk and two fully connected heads.

Papers: P. Sermanet et al., "OverFeat: Integrated Recognition, Localization and Detection using Convolutional Networks", ICLR 2014,
arXiv:1312.6229, section 4 (a regressor beside the classifier, on the same features, with an L2 loss). Pose: A. Toshev and C. Szegedy,
"DeepPose: Human Pose Estimation via Deep Neural Networks", CVPR 2014, arXiv:1312.4659, section 3 (joints relative to a box, L2 over those
that are labelled). A fixed number of boxes: D. Erhan, C. Szegedy, A. Toshev and D. Anguelov, "Scalable Object Detection using Deep
Neural Networks" (MultiBox), CVPR 2014, arXiv:1312.2249, section 3. Two losses and their balance: R. Girshick, "Fast R-CNN", 2015,
arXiv:1504.08083, equation 1.

Differs from the papers: both heads are trained at once, and the trunk with them, where OverFeat trains its regressor on features that stay
as they are; the network looks at the whole picture once, not at many windows; one box serves all classes; a box is (x, y, width,
height) of centre and sides, in sides of the picture, where OverFeat has edges. DeepPose's box is the whole picture here, and there is no
cascade of further stages. MultiBox gives each box to the output that fits best; here the outputs stand in a fixed order, left to right.
Differs from torchvision: it has no such models. What they find comes in its dicts.

Shape letters: N images, H × W picture, D features of a picture, K classes (with background) or, for a pose, K joints, S slots, R boxes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.ops import arguments
from course.ops.arguments import IntOrPair, Pair
from course.ops.boxes import clip_boxes, cxcywh_to_xyxy, xyxy_to_cxcywh

Targets = Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]]


def encode_in_image(boxes: Tensor, size: IntOrPair) -> Tensor:
    """What the regressor has to say: centre and sides, in sides of the picture, so that 0.5 is its middle. [..., 4]

    Args:
        boxes: xyxy `[..., 4]`, floating-point, in pixels.
        size: (H, W), or one integer for both.

    Raises: TypeError or ValueError if boxes is no such tensor, or size no positive integers.
    """
    return xyxy_to_cxcywh(boxes) / _sides(boxes, size).repeat(2)  # [..., 4]


def decode_in_image(codes: Tensor, size: IntOrPair) -> Tensor:
    """The inverse of `encode_in_image`. A width or height below 0, which a regressor is free to say, becomes 0. [..., 4]"""
    x, y, width, height = (codes * _sides(codes, size).repeat(2)).unbind(-1)  # each [...]
    return cxcywh_to_xyxy(torch.stack((x, y, width.clamp(min=0), height.clamp(min=0)), -1))  # [..., 4]


def multi_task_losses(logits: Tensor, codes: Tensor, labels: Tensor, target_codes: Tensor, *, balance: float = 1.0) -> dict[str, Tensor]:
    """Softmax cross-entropy of the class, and squared error of the box, whose sum is to be minimised.

    The two are of different kinds, so how much one counts against the other has to be chosen: with 0 only the class is learned. Where the
    label is 0, background, there is no box to be wrong about.

    Args:
        logits: `[R, K]`.
        codes, target_codes: `[R, 4]`, as `encode_in_image` gives them.
        labels: int64 `[R]`, 0 to K − 1.
        balance: λ, by which the box's loss is multiplied, 0 or more.

    Returns: {"classification": mean over the R, "box": λ · mean over the four numbers of every box}, scalars; without a box, box is 0.

    Source: Girshick 2015, equation 1; L2 as in OverFeat, section 4. Raises: ValueError for another balance.
    """
    if not 0 <= balance < math.inf:
        raise ValueError(f"balance multiplies the loss of the box and is a finite number, 0 or more; got {balance!r}.")
    there = labels > 0  # [R]
    squared = (codes[there] - target_codes[there]).square().sum()  # 0 if nothing is there, where a mean would be NaN
    return {"classification": F.cross_entropy(logits, labels), "box": balance * squared / max(1, 4 * int(there.sum()))}


class Localizer(nn.Module):
    """One object a picture: its class by softmax, its box by regression.

    Args:
        trunk: images `[N, 3, H, W]` → features, `[N, D]` or a map, which is flattened: an average over it would forget where things are.
        classifier: features `[N, D]` → logits `[N, K]`, background first.
        regressor: features `[N, D]` → `[N, 4]`, the box as `encode_in_image` has it.
        size: (H, W) of the pictures, or one integer for both. Fully connected layers work at one size only.
    """

    def __init__(self, *, trunk: nn.Module, classifier: nn.Module, regressor: nn.Module, size: IntOrPair):
        super().__init__()
        self.trunk, self.classifier, self.regressor = trunk, classifier, regressor
        self.size = arguments.pair(size, "size", 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """`[N, 3, H, W]` or `[3, H, W]` → {"logits": `[N, K]`, "codes": `[N, 4]`}. Raises: TypeError or ValueError for other pictures."""
        features = self.trunk(_batch(images, self.size)).flatten(1)  # [N, D]
        return {"logits": self.classifier(features), "codes": self.regressor(features)}  # [N, K], [N, 4]

    def losses(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], *, balance: float = 1.0) -> dict[str, Tensor]:
        """`multi_task_losses` of what `forward` gave, for `course.training.fit`.

        Args:
            targets: labels int64 `[N]`, boxes xyxy `[N, 4]` in pixels, as a batch of `SingleObjects` has them.
        """
        codes = encode_in_image(targets["boxes"], self.size)  # [N, 4]
        return multi_task_losses(outputs["logits"], outputs["codes"], targets["labels"], codes, balance=balance)

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[dict[str, Tensor]]:
        """What is in each picture, as torchvision's detectors say it.

        Returns: for each picture boxes `[1, 4]`, xyxy, inside the picture, labels `[1]`, scores `[1]`; nothing, `[0, …]`, where background
            is the likeliest class. The model is used in the mode it is in: call `eval()` first.
        """
        outputs = self(images)
        return [_found(logits[None], codes[None], self.size) for logits, codes in zip(outputs["logits"], outputs["codes"], strict=True)]


class FixedCountDetector(nn.Module):
    """Detection as regression: S slots, each a class and a box. The slots are filled from left to right, and there are never more.

    Why it is not how detection is done: a picture with more objects than slots cannot be answered, whatever is learned; one with fewer
    leaves slots whose only right answer is "background"; and when an object comes in on the left, every other one moves to the next
    slot, although it has not moved at all. A network that saw only pictures with S objects finds S in any picture.

    Args:
        trunk: as of `Localizer`.
        classifier: features `[N, D]` → `[N, S·K]`, the logits of slot 0, then of slot 1, and so on.
        regressor: features `[N, D]` → `[N, S·4]`, likewise.
        slots: S.
        size: (H, W), or one integer for both.
    """

    def __init__(self, *, trunk: nn.Module, classifier: nn.Module, regressor: nn.Module, slots: int, size: IntOrPair):
        super().__init__()
        self.trunk, self.classifier, self.regressor = trunk, classifier, regressor
        self.slots, self.size = arguments.whole(slots, "slots", 1), arguments.pair(size, "size", 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """`[N, 3, H, W]` or `[3, H, W]` → {"logits": `[N, S, K]`, "codes": `[N, S, 4]`}. Raises: as `Localizer`."""
        features = self.trunk(_batch(images, self.size)).flatten(1)  # [N, D]
        logits = self.classifier(features).unflatten(1, (self.slots, -1))  # [N, S, K]
        return {"logits": logits, "codes": self.regressor(features).unflatten(1, (self.slots, 4))}  # [N, S, 4]

    def losses(self, outputs: Mapping[str, Tensor], targets: Targets, *, balance: float = 1.0) -> dict[str, Tensor]:
        """`multi_task_losses` over all slots of all pictures; an empty slot is to say background, and its box does not matter.

        Args:
            targets: labels `[N, n]` and boxes `[N, n, 4]`, as a batch of `CountedObjects` has them; or a list of N dicts, whose n differ.
        """
        boxes, labels = (torch.stack(parts) for parts in zip(*(fill_slots(*t, self.slots) for t in _pictures(targets)), strict=True))
        codes = encode_in_image(boxes, self.size)  # [N, S, 4]
        flat = (x.flatten(0, 1) for x in (outputs["logits"], outputs["codes"], labels, codes))  # [N*S, …]
        return multi_task_losses(*flat, balance=balance)

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[dict[str, Tensor]]:
        """As `Localizer.detect`, with up to S objects a picture, in the order of the slots."""
        outputs = self(images)
        return [_found(logits, codes, self.size) for logits, codes in zip(outputs["logits"], outputs["codes"], strict=True)]


def fill_slots(boxes: Tensor, labels: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """Objects into slots, by their centres from left to right; of two above one another, the upper one first.

    Args:
        boxes: xyxy `[n, 4]`.
        labels: int64 `[n]`, from 1.
        slots: S.

    Returns: boxes `[S, 4]` and labels `[S]`. Slots that are left over have label 0 and a box of zeros. Objects that are left over, the
        rightmost ones, have no slot: this network has no way to say that they are there.
    """
    middles = xyxy_to_cxcywh(boxes)[:, :2].tolist()  # [n, 2]
    order = sorted(range(len(middles)), key=middles.__getitem__)[:slots]
    filled_boxes, filled_labels = boxes.new_zeros(slots, 4), labels.new_zeros(slots)  # [S, 4], [S]
    filled_boxes[: len(order)], filled_labels[: len(order)] = boxes[order], labels[order]
    return filled_boxes, filled_labels


class PoseRegressor(nn.Module):
    """One person a picture: where each of K joints is.

    Args:
        trunk: as of `Localizer`.
        regressor: features `[N, D]` → `[N, K·2]`: (x, y) of joint 0, then of joint 1, and so on, in sides of the picture, from its middle.
        size: (H, W), or one integer for both.
    """

    def __init__(self, *, trunk: nn.Module, regressor: nn.Module, size: IntOrPair):
        super().__init__()
        self.trunk, self.regressor = trunk, regressor
        self.size = arguments.pair(size, "size", 1)

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` or `[3, H, W]` → joints `[N, K, 2]`, encoded. Raises: as `Localizer`."""
        features = self.trunk(_batch(images, self.size)).flatten(1)  # [N, D]
        return self.regressor(features).unflatten(1, (-1, 2))  # [N, K, 2]

    def losses(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"joints": scalar}: squared error, the mean over both coordinates of every joint whose place is known.

        Args:
            targets: keypoints `[N, K, 3]`, (x, y, visibility). Visibility 0 is a joint of which nothing is known: it has no say. One that
                is hidden, 1, has a place all the same, and counts.

        Source: Toshev and Szegedy 2014, section 3, where joints without a label are left out, too.
        """
        keypoints = targets["keypoints"]
        known = keypoints[..., 2] > 0  # [N, K]
        codes = encode_joints(keypoints[..., :2], self.size)  # [N, K, 2]
        squared = (outputs[known] - codes[known]).square().sum()
        return {"joints": squared / max(1, 2 * int(known.sum()))}

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[dict[str, Tensor]]:
        """For each picture keypoints `[1, K, 3]`, (x, y, 1) in pixels, as torchvision has them. No scores: a regressor has none."""
        joints = decode_joints(self(images), self.size)  # [N, K, 2]
        return [{"keypoints": F.pad(person, (0, 1), value=1)[None]} for person in joints]  # [1, K, 3]


def encode_joints(joints: Tensor, size: IntOrPair) -> Tensor:
    """Pixels (x, y) → sides of the picture, from its middle: −0.5 … 0.5. [..., 2] Source: Toshev and Szegedy 2014, equation 1."""
    return joints / _sides(joints, size) - 0.5


def decode_joints(codes: Tensor, size: IntOrPair) -> Tensor:
    """The inverse of `encode_joints`. [..., 2]"""
    return (codes + 0.5) * _sides(codes, size)


def small_trunk(*channels: int) -> nn.Sequential:
    """3×3 convolutions of stride 2, each with batch normalisation and ReLU: a trunk that trains from scratch in a minute.

    `[N, 3, H, W]` → `[N, C, H / 2^L, W / 2^L]` with L levels, the last of C channels.
    """
    levels = zip((3, *channels), channels, strict=False)
    layers = [(nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()) for c_in, c_out in levels]
    return nn.Sequential(*(layer for level in layers for layer in level))


def fully_connected(features: int, hidden: int, outputs: int) -> nn.Sequential:
    """A head: linear, ReLU, linear. `[N, D]` → `[N, outputs]`"""
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def _found(logits: Tensor, codes: Tensor, size: Pair) -> dict[str, Tensor]:
    """Logits `[S, K]` and codes `[S, 4]` of one picture → torchvision's dict of those that are no background."""
    scores, labels = logits.softmax(-1).max(-1)  # [S], [S]
    boxes = clip_boxes(decode_in_image(codes, size), size)  # [S, 4]
    there = labels > 0  # [S]
    return {"boxes": boxes[there], "labels": labels[there], "scores": scores[there]}


def _pictures(targets: Targets) -> Iterator[tuple[Tensor, Tensor]]:
    """Boxes and labels of each picture, from targets that are stacked or listed."""
    if isinstance(targets, Mapping):
        return zip(targets["boxes"], targets["labels"], strict=True)
    return ((target["boxes"], target["labels"]) for target in targets)


def _sides(like: Tensor, size: IntOrPair) -> Tensor:
    """(W, H) as x and y are counted, `[2]`."""
    height, width = arguments.pair(size, "size", 1)
    return like.new_tensor((width, height))


def _batch(images: Tensor, size: Pair) -> Tensor:
    """Check the pictures and give them a batch dimension: → `[N, 3, H, W]`."""
    arguments.check_planes(images, "images", fractions=True)
    if images.dim() == 2 or tuple(images.shape[-3:]) != (3, *size):
        raise ValueError(f"images must have shape [N, 3, {size[0]}, {size[1]}] or [3, {size[0]}, {size[1]}]; got {list(images.shape)}.")
    return images if images.dim() == 4 else images[None]
