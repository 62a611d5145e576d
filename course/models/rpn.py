"""Region proposal network: the network proposes its own boxes, from the features that it has computed anyway.

Paper: S. Ren, K. He, R. Girshick and J. Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015,
arXiv:1506.01497, section 3.1 and figure 3 (a small network slides over the map), 3.1.2 and equation 1 (assignment and loss), 3.1.3
(256 anchors of an image, at most half of them positive), 3.3 (proposals). On a pyramid: T.-Y. Lin et al., "Feature Pyramid Networks", 2016,
arXiv:1612.03144, section 4.1: one head for all levels, anchors of one size on each.

    map → 3×3 convolution, ReLU → 1×1: objectness, A a place;  1×1: four deltas for each of the A anchors there

    loss = (1 / M) Σ cross-entropy(objectness, is it positive?)  +  (1 / M) Σ over positives smooth_L1(deltas − targets)      M anchors
    drawn

Differs from the paper: objectness is one number and a sigmoid, not two and a softmax. Both sums are divided by the M anchors drawn, as the
paper's footnote to equation 1 allows, so that no λ is needed. Anchors that cross the border take part.
Differs from torchvision: nothing in the numbers, which `course.models.faster_rcnn.from_torchvision` proves.

Shape letters: B images, C channels, H × W cells of a level, A anchors at a place, N = Σ H·W·A anchors of an image, P proposals of one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.ops.anchors import Numbers, anchor_grid
from course.ops.arguments import IntOrPair, Pair
from course.ops.boxes import box_iou, clip_boxes, decode_boxes, encode_boxes
from course.ops.matching import match_boxes, sample_matches
from course.ops.proposals import filter_proposals
from course.ops.smooth_l1 import smooth_l1

BETA = 1 / 9  # of smooth L1, as in the authors' code


class RPNHead(nn.Module):
    """The small network that slides over every level: `[B, C, H, W]` → objectness `[B, A, H, W]` and deltas `[B, 4A, H, W]`.

    Args:
        channels: C.
        anchors: A.
        convolutions: 3×3 convolutions before the two outputs; the paper has one.
    """

    def __init__(self, *, channels: int, anchors: int, convolutions: int = 1):
        super().__init__()
        layers = [nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()) for _ in range(convolutions)]
        self.convolutions = nn.Sequential(*layers)
        self.objectness, self.deltas = nn.Conv2d(channels, anchors, 1), nn.Conv2d(channels, 4 * anchors, 1)
        for layer in (*(layer[0] for layer in layers), self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)  # paper, section 3.1.3
            nn.init.zeros_(layer.bias)

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps `[B, C, H, W]` of each level → for each objectness `[B, A, H, W]` and deltas `[B, 4A, H, W]`."""
        hidden = [self.convolutions(level) for level in levels]
        return [self.objectness(x) for x in hidden], [self.deltas(x) for x in hidden]


class Predictions(NamedTuple):
    """What the network says of every anchor, levels one after another, as `course.ops.anchors.anchor_grid` has them."""

    anchors: Tensor
    """[N, 4], x1, y1, x2, y2; the same for every image."""
    levels: Tensor
    """The number of the level of each anchor, int64. [N]"""
    objectness: Tensor
    """Logits. [B, N]"""
    deltas: Tensor
    """[B, N, 4]"""


class RPN(nn.Module):
    """Anchors, objectness, deltas; proposals for the detector, and the two losses.

    Args:
        head: an `RPNHead`, or what answers like it.
        sizes: of the anchors, for each level, in pixels of the batch.
        aspect_ratios: height / width.
        pre_nms, post_nms: how many boxes of a level go into the suppression, and how many proposals come out; (in training, otherwise).
        nms_threshold, min_size: as `course.ops.proposals.filter_proposals`.
        score_threshold: proposals with a lower probability are left out.
        high, low: an anchor is positive from IoU `high` on, or if it is an object's best; negative below `low`. Paper, section 3.1.2.
        drawn, positive_share: how many anchors of an image are in the loss, and at most what share of them is positive.
        sample: draws them: (matches `[N]`, drawn, positive_share) → `course.ops.matching.Sample`.
    """

    def __init__(
        self,
        *,
        head: nn.Module,
        sizes: Sequence[Numbers],
        aspect_ratios: Numbers = (0.5, 1.0, 2.0),
        pre_nms: tuple[int, int] = (2000, 1000),
        post_nms: tuple[int, int] = (2000, 1000),
        nms_threshold: float = 0.7,
        min_size: float = 1e-3,
        score_threshold: float = 0.0,
        high: float = 0.7,
        low: float = 0.3,
        drawn: int = 256,
        positive_share: float = 0.5,
        sample: Callable = sample_matches,
    ):
        super().__init__()
        self.head, self.sizes, self.aspect_ratios = head, sizes, aspect_ratios
        self.pre_nms, self.post_nms, self.nms_threshold, self.min_size = pre_nms, post_nms, nms_threshold, min_size
        self.score_threshold = score_threshold
        self.high, self.low, self.drawn, self.positive_share, self.sample = high, low, drawn, positive_share, sample

    def forward(self, levels: Mapping | Sequence[Tensor], size: IntOrPair) -> Predictions:
        """What the network says of every anchor.

        Args:
            levels: maps `[B, C, H, W]`, finest first, or a dict of them.
            size: (height, width) of the batch in pixels.
        """
        maps = list(levels.values()) if isinstance(levels, Mapping) else list(levels)
        objectness, deltas = self.head(maps)
        shapes = [tuple(level.shape[-2:]) for level in maps]
        dtype = torch.promote_types(maps[0].dtype, torch.float32)  # half precision has no number for every pixel beyond 2048
        anchors = anchor_grid(size, shapes, self.sizes, self.aspect_ratios, dtype=dtype, device=maps[0].device)  # [N, 4]
        counts = torch.tensor([level[0].numel() for level in objectness], device=anchors.device)  # [levels]
        return Predictions(
            anchors,
            torch.arange(len(counts), device=anchors.device).repeat_interleave(counts),  # [N]
            torch.cat([in_order(level, 1) for level in objectness], 1)[..., 0],  # [B, N]
            torch.cat([in_order(level, 4) for level in deltas], 1),  # [B, N, 4]
        )

    @torch.no_grad()
    def propose(self, predictions: Predictions, sizes: Sequence[Pair]) -> list[tuple[Tensor, Tensor]]:
        """For each image (proposals `[P, 4]`, xyxy, inside it, their probabilities `[P]`), the best first. No gradient flows through them.

        Args:
            sizes: (height, width) of each image in the batch.
        """
        pre_nms, post_nms = (numbers[0 if self.training else 1] for numbers in (self.pre_nms, self.post_nms))
        found = []
        for objectness, deltas, size in zip(predictions.objectness, predictions.deltas, sizes, strict=True):
            boxes = decode_boxes(deltas, predictions.anchors)  # [N, 4]
            kept = filter_proposals(
                boxes,
                objectness,
                predictions.levels,
                size,
                pre_nms=pre_nms,
                post_nms=post_nms,
                nms_threshold=self.nms_threshold,
                min_size=self.min_size,
            )
            scores = objectness[kept].sigmoid()
            likely = scores >= self.score_threshold  # after the suppression: a box never loses to one with a lower score
            found.append((clip_boxes(boxes[kept][likely], size), scores[likely]))  # [P, 4], [P]
        return found

    def losses(self, predictions: Predictions, boxes: Sequence[Tensor]) -> dict[str, Tensor]:
        """{"rpn_objectness", "rpn_box"}, scalars, over the anchors drawn from all images.

        Args:
            boxes: the true boxes of each image `[G, 4]`, in pixels of the batch, each with width and height; G may be 0.
        """
        anchors, count = predictions.anchors, len(predictions.anchors)
        targets, positives, negatives = [], [], []
        for number, true in enumerate(boxes):
            matches = assign_anchors(anchors, true, self.high, self.low)  # [N]
            positive, negative = self.sample(matches, self.drawn, self.positive_share)
            targets.append(torch.zeros_like(anchors))
            targets[-1][positive] = encode_boxes(true[matches[positive]].to(anchors), anchors[positive])
            positives.append(positive + number * count)
            negatives.append(negative + number * count)
        drawn = torch.cat(positives), torch.cat(negatives)
        return rpn_losses(predictions.objectness.flatten(), predictions.deltas.flatten(0, 1), torch.cat(targets), *drawn)


def in_order(level: Tensor, numbers: int) -> Tensor:
    """A level's output `[B, A·numbers, H, W]` in the order of the anchors, place by place, reading order: `[B, H·W·A, numbers]`."""
    return level.unflatten(1, (-1, numbers)).permute(0, 3, 4, 1, 2).flatten(1, 3)  # [B, H*W*A, numbers]


def assign_anchors(anchors: Tensor, boxes: Tensor, high: float = 0.7, low: float = 0.3) -> Tensor:
    """The object that each anchor answers for, or NEGATIVE, or IGNORED: int64 `[N]`. Paper, section 3.1.2.

    Args:
        anchors: `[N, 4]`.
        boxes: the true boxes `[G, 4]`; without one all anchors are negative.
    """
    return match_boxes(box_iou(boxes.to(anchors), anchors), high, low, allow_low_quality=True)


def rpn_losses(objectness: Tensor, deltas: Tensor, targets: Tensor, positive: Tensor, negative: Tensor) -> dict[str, Tensor]:
    """Is there an object, and where exactly: the two losses of a region proposal network, over the M anchors that were drawn.

    Args:
        objectness: logits [N], floating-point.
        deltas: what the network says, [N, 4].
        targets: what it should say, [N, 4], as `encode_boxes` gives it; only the rows of positives are read.
        positive, negative: the rows that were drawn, int64 [P] and [Q], M = P + Q. All others take no part.

    Returns: {"rpn_objectness": the mean over the M of the binary cross-entropy, "rpn_box": the sum over the P, and over their four
        numbers, of smooth L1 with β = 1/9, divided by M}, scalars; both 0 where nothing was drawn.

    Source: Ren et al. 2015, equation 1. Raises: ValueError for rows that are not there.
    """
    if deltas.shape != (*objectness.shape, 4) or targets.shape != deltas.shape:
        raise ValueError(
            f"rpn_losses takes objectness [N], deltas [N, 4] and targets [N, 4]; got {list(objectness.shape)}, {list(deltas.shape)} and "
            f"{list(targets.shape)}."
        )
    drawn = torch.cat((positive, negative))  # [M]
    if len(drawn) and not 0 <= int(drawn.min()) <= int(drawn.max()) < len(objectness):
        raise ValueError(f"positive and negative are rows from 0 to {len(objectness) - 1}; got {int(drawn.min())} to {int(drawn.max())}.")
    truth = torch.cat((torch.ones_like(objectness[positive]), torch.zeros_like(objectness[negative])))  # [M]
    several = max(1, len(drawn))
    return {
        "rpn_objectness": F.binary_cross_entropy_with_logits(objectness[drawn], truth, reduction="sum") / several,
        "rpn_box": smooth_l1(deltas[positive], targets[positive], BETA).sum() / several,
    }
