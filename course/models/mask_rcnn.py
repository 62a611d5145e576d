"""Mask R-CNN: Faster R-CNN with one head more, which says what part of a region is the object; or where its joints are.

Paper: K. He, G. Gkioxari, P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 3 (a mask for each class, by a sigmoid
of its own; RoIAlign), section 3.1 and figure 4, right (the head; in training it sees the regions that show an object, at inference the
detections), section 5 (keypoints: a mask of 56 × 56 of which one place is on).

    pictures → Faster R-CNN (course.models.faster_rcnn): levels, regions → class, box
                                                           ↓
                RoIAlign 14 × 14 → four convolutions → upsampled to 28 × 28 → K masks, of which that of the class counts → pasted
                RoIAlign 14 × 14 → eight convolutions → upsampled to 56 × 56 → a heat map for each joint → its highest place

    losses: those of Faster R-CNN + mask: sigmoid cross-entropy, true class only (course.ops.masks)
                                  + keypoint: softmax cross-entropy over the places (course.ops.keypoints)

Differs from the paper: trained as `course.models.faster_rcnn` says. Masks are pasted as probabilities, without its threshold of 0.5.
Differs from torchvision: nothing in the numbers: `from_torchvision` copies every tensor of its two Mask R-CNNs and its Keypoint R-CNN, and
answers and losses, given the same draw, are the same. In training its Keypoint R-CNN shows each picture at one of six sizes, drawn; here
it is the largest of them. One network may have both heads.

Shape letters: B images, C channels, R regions, D detections, K classes with background, G objects, J keypoints, M × M cells of a mask,
S × S of a heat map.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.models.detector_input import Batch, DetectorInput
from course.models.fast_rcnn import RegionHead, Regions, Targets, check_targets, in_their_pixels
from course.models.faster_rcnn import FasterRCNN, check_what_is_fixed, parts, torchvision_name, with_tensors_of
from course.models.feature_pyramid import Level, PyramidRoIAlign
from course.models.rpn import RPN
from course.ops.keypoints import check_keypoints, decode_keypoints, keypoint_loss, keypoint_targets
from course.ops.masks import check_masks, mask_loss, mask_targets, paste_masks

KINDS = "Mask or Keypoint R-CNNs"


class MaskHead(nn.Module):
    """A small fully convolutional network on each region. Figure 4, right.

    Args:
        pool: (levels, boxes of each image) → `[R, C, P, P]`, such as `PyramidRoIAlign(output_size=14, …)`.
        layers: → `[R, F, P, P]`, such as `convolutions`.
        features: F.
        classes: K, background included.
        width: channels between the upsampling and the masks.
    """

    def __init__(self, *, pool: nn.Module, layers: nn.Module, features: int, classes: int, width: int = 256):
        super().__init__()
        self.pool, self.layers = pool, layers
        self.upsample, self.logits = nn.ConvTranspose2d(features, width, 2, stride=2), nn.Conv2d(width, classes, 1)
        for layer in (self.upsample, self.logits):
            initialised(layer)

    def forward(self, levels: Mapping[Level, Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Maps and, for each image, its boxes `[L, 4]` in pixels of the batch → a logit for each class and place, `[R, K, 2P, 2P]`."""
        features = self.layers(channels_last(self.pool(levels, boxes)))  # [R, F, P, P]
        return self.logits(self.upsample(features).relu())  # [R, K, 2P, 2P]

    @torch.no_grad()
    def detect(self, levels: Mapping[Level, Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> list[Tensor]:
        """For each image the probability that each place belongs to the object, `[D, M, M]`: the mask of the class that was found."""
        of_class = torch.cat(list(labels))  # [R]
        masks = self(levels, boxes)[torch.arange(len(of_class), device=of_class.device), of_class].sigmoid()  # [R, M, M]
        return list(masks.split([len(of_image) for of_image in boxes]))

    def loss(self, levels: Mapping[Level, Tensor], regions: Regions, masks: Sequence[Tensor]) -> Tensor:
        """Of regions that show an object, given the masks of all objects, for each image `[G, H, W]` in pixels of the batch. []"""
        logits = self(levels, regions.boxes)  # [R, K, M, M]
        of_images = zip(masks, regions.boxes, regions.objects, strict=True)
        targets = [mask_targets(*of_image, size=logits.shape[-1]) for of_image in of_images]
        return mask_loss(logits, regions.labels, torch.cat(targets))


class KeypointHead(nn.Module):
    """A heat map for each joint of a region, whatever its class. Section 5.

    Args:
        pool, layers, features: as for `MaskHead`.
        keypoints: J.
    """

    def __init__(self, *, pool: nn.Module, layers: nn.Module, features: int, keypoints: int):
        super().__init__()
        self.pool, self.layers = pool, layers
        self.upsample = nn.ConvTranspose2d(features, keypoints, 4, stride=2, padding=1)
        initialised(self.upsample)

    def forward(self, levels: Mapping[Level, Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Maps and, for each image, its boxes `[L, 4]` in pixels of the batch → a logit for each joint and place, `[R, J, 4P, 4P]`."""
        features = self.layers(channels_last(self.pool(levels, boxes)))  # [R, F, P, P]
        return F.interpolate(self.upsample(features), scale_factor=2, mode="bilinear").contiguous()  # [R, J, 4P, 4P]

    @torch.no_grad()
    def detect(self, levels: Mapping[Level, Tensor], boxes: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """For each image the keypoints, `[D, J, 3]` in pixels of the batch, and their scores, the logits there, `[D, J]`."""
        maps = self(levels, boxes).split([len(of_image) for of_image in boxes])
        return [decode_keypoints(*of_image) for of_image in zip(maps, boxes, strict=True)]

    def loss(self, levels: Mapping[Level, Tensor], regions: Regions, keypoints: Sequence[Tensor]) -> Tensor:
        """Of regions that show an object, given the keypoints of all objects, for each image `[G, J, 3]` in pixels of the batch. []"""
        logits = self(levels, regions.boxes)  # [R, J, S, S]
        of_images = zip(keypoints, regions.boxes, regions.objects, strict=True)
        targets = [keypoint_targets(points[objects], boxes, logits.shape[-1]) for points, boxes, objects in of_images]
        return keypoint_loss(logits, torch.cat(targets))


class MaskRCNN(FasterRCNN):
    """Faster R-CNN, and for each detection its mask, its keypoints or both.

    Args:
        prepare, backbone, rpn, head: as for `FasterRCNN`.
        mask, keypoint: the heads; at least one of them.
    """

    def __init__(
        self,
        *,
        prepare: DetectorInput,
        backbone: nn.Module,
        rpn: RPN,
        head: RegionHead,
        mask: MaskHead | None = None,
        keypoint: KeypointHead | None = None,
    ):
        super().__init__(prepare=prepare, backbone=backbone, rpn=rpn, head=head)
        if mask is None and keypoint is None:
            raise ValueError("Mask R-CNN needs a mask head, a keypoint head or both; without, it is a FasterRCNN.")
        self.mask, self.keypoint = mask, keypoint

    def detect(self, levels: Mapping[Level, Tensor], proposals: Sequence[Tensor], batch: Batch) -> list[dict[str, Tensor]]:
        """What Faster R-CNN finds, with masks `[D, 1, h, w]`, probabilities; keypoints `[D, J, 3]`, x, y, 1; keypoints_scores `[D, J]`.

        The heads look at the boxes that were found, not at the proposals: they are fewer, and fit better. Section 3.1.
        """
        inside = self.head.detect(levels, proposals, batch.sizes)
        boxes, labels = [each["boxes"] for each in inside], [each["labels"] for each in inside]
        found = in_their_pixels(inside, batch)
        if self.mask is not None:
            for each, masks, size in zip(found, self.mask.detect(levels, boxes, labels), batch.original, strict=True):
                each["masks"] = paste_masks(masks, each["boxes"], size)[:, None]  # [D, 1, h, w]
        if self.keypoint is not None:
            points, scores = zip(*self.keypoint.detect(levels, boxes), strict=True)
            for each, of_image, of_points in zip(found, _scaled(points, batch.outwards), scores, strict=True):
                each |= {"keypoints": of_image, "keypoints_scores": of_points}
        return found

    def losses(self, images: Sequence[Tensor], targets: Targets) -> dict[str, Tensor]:
        """Faster R-CNN's four and {"mask", "keypoint"}, those that there is a head for.

        Args:
            targets: for each picture boxes `[G, 4]`, labels int64 `[G]`, from 1, and masks `[G, h, w]`, bool or 0 and 1, or keypoints
                `[G, J, 3]`: x, y in its pixels, visibility.
        """
        check_targets(images, targets, self.head.classes.out_features)
        for number, (image, target) in enumerate(zip(images, targets, strict=True)):
            self._check(number, target, tuple(image.shape[-2:]))
        return super().losses(images, targets)

    def region_losses(self, levels: Mapping[Level, Tensor], regions: Regions, batch: Batch, targets: Targets) -> dict[str, Tensor]:
        losses, shown = super().region_losses(levels, regions, batch, targets), with_objects(regions)
        if self.mask is not None:
            masks = [_resized(target["masks"], size, batch.images) for target, size in zip(targets, batch.sizes, strict=True)]
            losses["mask"] = self.mask.loss(levels, shown, masks)
        if self.keypoint is not None:
            points = _scaled([target["keypoints"] for target in targets], batch.inwards)
            losses["keypoint"] = self.keypoint.loss(levels, shown, points)
        return losses

    def _check(self, number: int, target: Mapping[str, Tensor], size: tuple[int, int]) -> None:
        for name, head in (("masks", self.mask), ("keypoints", self.keypoint)):
            if head is not None and name not in target:
                raise ValueError(f"The target of picture {number} has no {name}; it has {', '.join(target)}.")
        objects = len(target["boxes"])
        if self.mask is not None:
            check_masks(target["masks"], f"the masks of picture {number}", "[G, h, w]")
            if target["masks"].shape != (objects, *size):
                expected, got = [objects, *size], list(target["masks"].shape)
                raise ValueError(f"The masks of picture {number} must have shape {expected}, one for each box, of its size; got {got}.")
        if self.keypoint is not None:
            check_keypoints(target["keypoints"], f"the keypoints of picture {number}")
            joints = self.keypoint.upsample.out_channels
            if target["keypoints"].shape[:2] != (objects, joints):
                expected, got = [objects, joints, 3], list(target["keypoints"].shape)
                raise ValueError(f"The keypoints of picture {number} must have shape {expected}, a row for each box; got {got}.")


def with_objects(regions: Regions) -> Regions:
    """The regions that show an object: only there is a mask to learn. Section 3.1."""
    there = [objects >= 0 for objects in regions.objects]  # [L] each
    rows = torch.cat(there)  # [R]
    return Regions(
        [boxes[rows_of] for boxes, rows_of in zip(regions.boxes, there, strict=True)],
        regions.labels[rows],
        regions.targets[rows],
        [objects[rows_of] for objects, rows_of in zip(regions.objects, there, strict=True)],
    )


def convolutions(*channels: int) -> nn.Sequential:
    """3×3 convolutions with ReLU that keep the size, from channels[0] to channels[1] and so on: `[R, channels[0], P, P]` → `[…, P, P]`."""
    layers = []
    for c_in, c_out in pairwise(channels):
        layers += [initialised(nn.Conv2d(c_in, c_out, 3, padding=1)), nn.ReLU()]
    return nn.Sequential(*layers)


def initialised(layer: nn.Module) -> nn.Module:
    """The layer, with random weights that neither shrink nor grow what passes a ReLU, and a bias of 0."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def channels_last(x: Tensor) -> Tensor:
    """The same numbers, ordered so that convolutions on a processor take two thirds of the time."""
    return x.contiguous(memory_format=torch.channels_last)


def _resized(masks: Tensor, size: tuple[int, int], like: Tensor) -> Tensor:
    """Masks [G, h, w] at the size that their picture has in the batch, by the nearest pixel, so that they stay 0 and 1. [G, H, W]"""
    return F.interpolate(masks[:, None].to(like), size=size, mode="nearest")[:, 0] if len(masks) else masks.new_zeros(0, *size)


def _scaled(keypoints: Sequence[Tensor], scale: Callable) -> list[Tensor]:
    """Keypoints [N, J, 3] of each image by `Batch.inwards` or `outwards`: a point moves as the corner of a box does."""
    corners = scale([points[..., [0, 1, 0, 1]].flatten(0, 1) for points in keypoints])  # [N * J, 4] each
    moved = zip(keypoints, corners, strict=True)
    return [torch.cat((xy[:, :2].view_as(points[..., :2]), points[..., 2:]), -1) for points, xy in moved]


def from_torchvision(tv_model: nn.Module) -> MaskRCNN:
    """torchvision's `maskrcnn_resnet50_fpn`, its `_v2`, or `keypointrcnn_resnet50_fpn`, as this file's Mask R-CNN.

    Every tensor is copied; answers and losses are the same. It takes pictures as torchvision's does, RGB, 0…1, of any size.

    Raises: TypeError or ValueError for another model.
    """
    from torchvision.models.detection import keypoint_rcnn, mask_rcnn  # here, because importing it changes the environment

    known = {
        mask_rcnn.MaskRCNN: ("mask", _mask_head, mask_rcnn.MaskRCNNPredictor),
        keypoint_rcnn.KeypointRCNN: ("keypoint", _keypoint_head, keypoint_rcnn.KeypointRCNNPredictor),
    }
    if type(tv_model) not in known:
        raise TypeError(f"from_torchvision takes one of torchvision's {KINDS}, not a {type(tv_model).__name__}.")
    name, head, usual = known[type(tv_model)]
    check_what_is_fixed(tv_model, KINDS, several_sizes=name == "keypoint")
    predictor = getattr(tv_model.roi_heads, f"{name}_predictor")
    if type(predictor) is not usual:
        raise ValueError(f"from_torchvision knows {KINDS} with a {usual.__name__}; this one has a {type(predictor).__name__}.")
    faster = parts(tv_model)
    model = MaskRCNN(**faster, **{name: head(tv_model.roi_heads, faster["head"].pool.strides)})
    return with_tensors_of(tv_model, model, _torchvision_name, KINDS)


def _mask_head(heads: nn.Module, strides: Mapping[Level, int]) -> MaskHead:
    predictor = heads.mask_predictor
    return MaskHead(
        pool=_pool(heads.mask_roi_pool, strides),
        layers=copy.deepcopy(heads.mask_head),
        features=predictor.conv5_mask.in_channels,
        classes=predictor.mask_fcn_logits.out_channels,
        width=predictor.conv5_mask.out_channels,
    )


def _keypoint_head(heads: nn.Module, strides: Mapping[Level, int]) -> KeypointHead:
    last = heads.keypoint_predictor.kps_score_lowres
    return KeypointHead(
        pool=_pool(heads.keypoint_roi_pool, strides),
        layers=copy.deepcopy(heads.keypoint_head),
        features=last.in_channels,
        keypoints=last.out_channels,
    )


def _pool(pool: nn.Module, strides: Mapping[Level, int]) -> PyramidRoIAlign:
    return PyramidRoIAlign(strides=strides, output_size=pool.output_size, sampling_ratio=pool.sampling_ratio)


def _torchvision_name(name: str, levels: Sequence[str]) -> str:
    match name.split("."):
        case ["mask" | "keypoint" as kind, "layers", *rest]:
            theirs = [f"roi_heads.{kind}_head"]
        case ["mask", part, *rest]:
            theirs = ["roi_heads.mask_predictor", {"upsample": "conv5_mask", "logits": "mask_fcn_logits"}[part]]
        case ["keypoint", "upsample", *rest]:
            theirs = ["roi_heads.keypoint_predictor.kps_score_lowres"]
        case _:
            return torchvision_name(name, levels)
    return ".".join([*theirs, *rest])
