"""Fast R-CNN: one pass of the convolutions for all proposals, and one network that classifies and moves them, trained as a whole.

Paper: R. Girshick, "Fast R-CNN", 2015, arXiv:1504.08083: section 2.1 (RoI pooling), 2.3 and equation 1 (the multi-task loss, and how a
mini-batch is drawn: few images, many regions of each, a quarter of them positive), section 2.3, equation 3 (smooth L1), section 3
(detection).

    map = convolutions(picture);  for each proposal:  RoI pooling → fully connected layers → K + 1 classes (softmax)
                                                                                         → 4 deltas for each class
    loss = cross-entropy(class, u)  +  [u ≥ 1] · smooth_L1(deltas of class u − targets)          the mean over the regions drawn

Differs from the paper: negatives are all proposals below IoU 0.5, not only those from 0.1 on. Targets are multiplied by (10, 10, 5, 5),
which is about what normalising them to unit variance does. Smooth L1 has β = 1/9 where the paper has 1, as in torchvision; λ is 1.
Differs from torchvision: it has no Fast R-CNN by itself. Its RoIHeads are `RegionHead` here, with the same numbers, which
`course.models.faster_rcnn.from_torchvision` proves.

Shape letters: B images, C channels, R regions, P × P bins, D features of a region, K classes with background, G objects.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.models.detector_input import Batch, DetectorInput, check_images
from course.ops import arguments
from course.ops.arguments import IntOrPair, Pair
from course.ops.boxes import box_iou, clip_boxes, decode_boxes, encode_boxes
from course.ops.matching import match_boxes, sample_matches
from course.ops.nms import batched_nms
from course.ops.roi import roi_pool
from course.ops.smooth_l1 import smooth_l1

BETA = 1 / 9
WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the four deltas

Targets = Sequence[Mapping[str, Tensor]]


class RoIPooling(nn.Module):
    """RoI pooling from one map: {name: `[B, C, H, W]`} and boxes `[L, 4]` of each image → `[R, C, P, P]`.

    Args:
        level: which map.
        stride: pixels a cell.
        output_size: P, or (height, width).
    """

    def __init__(self, *, level: int | str, stride: int, output_size: IntOrPair = 7):
        super().__init__()
        self.level, self.stride, self.output_size = level, stride, output_size

    def forward(self, levels: Mapping[int | str, Tensor], boxes: Sequence[Tensor]) -> Tensor:
        return roi_pool(levels[self.level], list(boxes), self.output_size, 1 / self.stride)  # [R, C, P, P]


class Regions(NamedTuple):
    """The regions of a mini-batch, image by image, and what the head should say of them."""

    boxes: list[Tensor]
    """For each image [L, 4]."""
    labels: Tensor
    """0 is background, int64. [R]"""
    targets: Tensor
    """Encoded boxes; zeros for background. [R, 4]"""
    objects: list[Tensor]
    """For each image the object that each region answers for, −1 for background, int64. [L]"""


class RegionHead(nn.Module):
    """Pool each region, then say what it is and how its box has to move.

    Args:
        pool: (levels, boxes of each image) → `[R, C, P, P]`: `RoIPooling`, or `course.models.feature_pyramid.PyramidRoIAlign`.
        layers: `[R, C, P, P]` → `[R, D]`, such as `fully_connected`.
        features: D.
        classes: K, background included.
        drawn, positive_share: how many regions of an image are in the loss, and at most what share of them shows an object.
        threshold: from this IoU on a region shows the object that it overlaps most; below it shows background.
        score_threshold: what scores no more is not reported.
        nms_threshold: IoU above which the worse of two boxes of a class goes.
        limit: detections a picture, the best ones.
        sample: draws the regions: (matches `[L]`, drawn, positive_share) → `course.ops.matching.Sample`.
    """

    def __init__(
        self,
        *,
        pool: nn.Module,
        layers: nn.Module,
        features: int,
        classes: int,
        drawn: int = 512,
        positive_share: float = 0.25,
        threshold: float = 0.5,
        score_threshold: float = 0.05,
        nms_threshold: float = 0.5,
        limit: int = 100,
        sample: Callable = sample_matches,
    ):
        super().__init__()
        self.pool, self.layers = pool, layers
        self.classes, self.deltas = nn.Linear(features, classes), nn.Linear(features, 4 * classes)
        self.drawn, self.positive_share, self.threshold, self.sample = drawn, positive_share, threshold, sample
        self.score_threshold, self.nms_threshold, self.limit = score_threshold, nms_threshold, arguments.whole(limit, "limit", 1)

    def forward(self, levels: Mapping[int | str, Tensor], boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps and, for each image, its boxes `[L, 4]` in pixels of the batch → logits `[R, K]` and deltas `[R, 4K]`."""
        features = self.layers(self.pool(levels, boxes))  # [R, D]
        return self.classes(features), self.deltas(features)  # [R, K], [R, 4K]

    @torch.no_grad()
    def draw(self, proposals: Sequence[Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]) -> Regions:
        """A mini-batch: of each image some proposals that show an object and more that show none. Paper, section 2.3.

        Args:
            proposals: for each image `[L, 4]`; the true boxes are added to them, so that there is something to learn from the first step
                on.
            boxes, labels: of the objects, for each image `[G, 4]` and int64 `[G]`.
        """
        regions = Regions([], [], [], [])
        for candidates, true, kinds in zip(proposals, boxes, labels, strict=True):
            candidates = torch.cat((candidates, true.to(candidates)))  # [L + G, 4]
            matches = match_boxes(box_iou(true.to(candidates), candidates), self.threshold, self.threshold)  # [L + G]
            rows = torch.cat(self.sample(matches, self.drawn, self.positive_share)).sort().values  # [L]
            candidates, matches = candidates[rows], matches[rows]
            there, targets = matches >= 0, torch.zeros_like(candidates)  # [L], [L, 4]
            targets[there] = encode_boxes(true[matches[there]].to(candidates), candidates[there], WEIGHTS)
            classes = torch.zeros_like(matches)
            classes[there] = kinds[matches[there]]
            for part, values in zip(regions, (candidates, classes, targets, matches), strict=True):
                part.append(values)
        return Regions(regions.boxes, torch.cat(regions.labels), torch.cat(regions.targets), regions.objects)

    def losses(self, levels: Mapping[int | str, Tensor], regions: Regions) -> dict[str, Tensor]:
        """{"classification", "box"}, scalars."""
        return fast_rcnn_losses(*self(levels, regions.boxes), regions.labels, regions.targets)

    @torch.no_grad()
    def detect(self, levels: Mapping[int | str, Tensor], proposals: Sequence[Tensor], sizes: Sequence[Pair]) -> list[dict[str, Tensor]]:
        """For each image {boxes `[D, 4]`, labels int64 `[D]`, scores `[D]`}, the best first, D from 0; boxes in pixels of the batch.

        Args:
            proposals: for each image `[L, 4]`.
            sizes: (height, width) of each image.
        """
        logits, deltas = self(levels, proposals)
        parts = zip(*(rows.split([len(p) for p in proposals]) for rows in (logits, deltas)), proposals, sizes, strict=True)
        return [self._detected(*part) for part in parts]

    def _detected(self, logits: Tensor, deltas: Tensor, proposals: Tensor, size: Pair) -> dict[str, Tensor]:
        scores = logits.softmax(1)  # [L, K]
        rows, labels = (scores[:, 1:] > self.score_threshold).nonzero().unbind(1)  # [D] each
        labels, scores = labels + 1, scores[rows, labels + 1]  # [D] each
        boxes = clip_boxes(decode_boxes(deltas.unflatten(1, (-1, 4))[rows, labels], proposals[rows], WEIGHTS), size)  # [D, 4]
        large = (boxes[:, 2:] - boxes[:, :2] >= 0.01).all(-1)  # [D]
        boxes, scores, labels = boxes[large], scores[large], labels[large]
        kept = batched_nms(boxes, scores, labels, self.nms_threshold)[: self.limit]
        return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def fast_rcnn_losses(logits: Tensor, deltas: Tensor, labels: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The multi-task loss: what each region is, and, where it shows an object, how its box has to move.

    Args:
        logits: [R, K].
        deltas: [R, 4K]: four numbers for each class, of which those of the true class count.
        labels: int64 [R], 0 to K − 1; 0 is background.
        targets: [R, 4], as `encode_boxes` gives them; those of background are not read.

    Returns: {"classification": the mean over the R of the cross-entropy, "box": the sum of smooth L1 with β = 1/9, divided by R}, scalars;
        both 0 where there is no region.

    Source: Girshick 2015, equation 1.
    """
    there = labels > 0  # [R]
    of_class = deltas.unflatten(1, (-1, 4))[there, labels[there]]  # [objects, 4]
    several = max(1, len(labels))
    return {
        "classification": F.cross_entropy(logits, labels, reduction="sum") / several,
        "box": smooth_l1(of_class, targets[there].to(of_class), BETA).sum() / several,
    }


def fully_connected(channels: int, size: int, *widths: int) -> nn.Sequential:
    """Linear layers with ReLU on a flattened grid, as the two of 4096 in the paper: `[R, channels, size, size]` → `[R, widths[-1]]`."""
    layers, last = [nn.Flatten()], channels * size * size
    for width in widths:
        layers += [nn.Linear(last, width), nn.ReLU()]
        last = width
    return nn.Sequential(*layers)


class FastRCNN(nn.Module):
    """Proposals from elsewhere, features from one pass.

    Args:
        backbone: pictures `[B, 3, H, W]` → {name: map}.
        head: a `RegionHead`.
        proposals: picture `[3, h, w]` → boxes `[L, 4]`, such as `course.models.selective_search.selective_search`; without it they have to
            be given.
        prepare: pictures → `Batch`.
    """

    def __init__(
        self, *, backbone: nn.Module, head: RegionHead, proposals: Callable[[Tensor], Tensor] | None = None, prepare: DetectorInput
    ):
        super().__init__()
        self.backbone, self.head, self.proposals, self.prepare = backbone, head, proposals, prepare

    def forward(self, images: Sequence[Tensor], proposals: Sequence[Tensor] | None = None) -> list[dict[str, Tensor]]:
        """A list of pictures `[3, h, w]` → for each {boxes `[D, 4]` in its pixels, labels int64 `[D]`, scores `[D]`}, the best first."""
        batch = self.prepare(images)
        proposals = batch.inwards(self._given(images, proposals))
        found = self.head.detect(self.backbone(batch.images), proposals, batch.sizes)
        return in_their_pixels(found, batch)

    def losses(self, images: Sequence[Tensor], targets: Targets) -> dict[str, Tensor]:
        """{"classification", "box"}, scalars, for `course.training.fit(..., batch_loss=model.losses)`.

        Args:
            targets: for each picture boxes `[G, 4]`, labels `[G]`, G from 0, and, unless the model has its own way to them, proposals `[L,
                4]`.
        """
        check_targets(images, targets, self.head.classes.out_features)
        batch = self.prepare(images)
        given = [target["proposals"] for target in targets] if all("proposals" in target for target in targets) else None
        proposals, boxes = batch.inwards(self._given(images, given)), batch.inwards([target["boxes"] for target in targets])
        regions = self.head.draw(proposals, boxes, [target["labels"] for target in targets])
        return self.head.losses(self.backbone(batch.images), regions)

    def _given(self, images: Sequence[Tensor], proposals: Sequence[Tensor] | None) -> list[Tensor]:
        if proposals is None and self.proposals is None:
            raise ValueError("Fast R-CNN makes no proposals itself: give them with the pictures, or FastRCNN(proposals=selective_search).")
        proposals = [self.proposals(image) for image in images] if proposals is None else list(proposals)
        if len(proposals) != len(images):
            raise ValueError(f"There must be proposals for each of the {len(images)} pictures; got {len(proposals)}.")
        return [of_image.to(image) for of_image, image in zip(proposals, images, strict=True)]


def in_their_pixels(found: list[dict[str, Tensor]], batch: Batch) -> list[dict[str, Tensor]]:
    """Detections with their boxes in the pixels of the pictures as they were given."""
    boxes = batch.outwards([each["boxes"] for each in found])
    return [each | {"boxes": of_image} for each, of_image in zip(found, boxes, strict=True)]


def check_targets(images: Sequence[Tensor], targets: Targets, classes: int) -> None:
    """Raises TypeError or ValueError, with one sentence, unless each picture has a target, and every box in it width, height, a place in
    the picture and a label from 1 to classes − 1."""
    check_images(images)
    if len(images) != len(targets):
        raise ValueError(f"There must be a target for each of the {len(images)} pictures; got {len(targets)}.")
    for number, target in enumerate(targets):
        missing = [name for name in ("boxes", "labels") if name not in target]
        if missing:
            raise ValueError(f"The target of picture {number} has no {' and no '.join(missing)}; it has {', '.join(target) or 'nothing'}.")
        boxes, labels = target["boxes"], target["labels"]
        arguments.check_boxes(boxes, f"the boxes of picture {number}", finite=True)
        arguments.check_sizes(boxes, f"the boxes of picture {number}")
        arguments.check_inside(boxes, tuple(images[number].shape[-2:]), f"the boxes of picture {number}")
        if len(labels) != len(boxes):
            raise ValueError(f"Picture {number} has {len(boxes)} boxes and {len(labels)} labels; each box needs one.")
        if labels.dtype != torch.int64:
            raise TypeError(f"The labels of picture {number} must be int64, from 1 to {classes - 1}; got {labels.dtype}.")
        wrong = labels[(labels < 1) | (labels >= classes)]
        if len(wrong):
            raise ValueError(f"The labels of picture {number} must be from 1 to {classes - 1}, 0 is the background; got {int(wrong[0])}.")
