"""SSD: no proposals. One pass gives a class and a box for each of thousands of default boxes, and large objects are seen on small maps.

Paper: W. Liu, D. Anguelov, D. Erhan, C. Szegedy, S. Reed, C.-Y. Fu and A. C. Berg, "SSD: Single Shot MultiBox Detector", 2015,
arXiv:1512.02325: figure 2 and section 2.1 (maps of six sizes, two 3×3 convolutions on each), 2.2 (matching; equations 1–3, the loss;
equation 4, the boxes' scales; hard negative mining), 3 and 3.1 (fc6 and fc7 of VGG16 as convolutions, conv4_3 normalised; detection).

    pictures → VGG16 → conv4_3 38×38 → conv7 19×19 → conv8_2 10×10 → conv9_2 5×5 → conv10_2 3×3 → conv11_2 1×1
                          ↓               ↓              ↓               ↓              ↓              ↓
                       for each of the A default boxes of a cell: K scores (softmax), and 4 deltas that move it

    positive:  the default box with the highest IoU of each object, and every other from IoU 0.5 on
    loss    =  (1 / P) (Σ cross-entropy over positives and hard negatives  +  Σ over positives smooth_L1(deltas − targets))

The loss is divided by the P positives of the whole batch, the negatives are mined in each image by itself: `course.ops.mining`. Default
boxes: `course.ops.anchors.default_boxes`.

Differs from the paper: deltas are multiplied by (10, 10, 5, 5), its code's "variances". Two objects with the same best default box: the
later one gets it, as in torchvision. No data augmentation here.
Differs from torchvision: nothing in the numbers, which `from_torchvision` proves, but where negatives run out: see `course.ops.mining`.

Shape letters: B images, C channels, H × W cells of a level, A default boxes of a cell, N = Σ H·W·A, K classes with background, D
detections, G objects.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.models.detector_input import Batch, DetectorInput
from course.models.extra_levels import ExtraLevels, Level, initialise, vgg300
from course.models.fast_rcnn import WEIGHTS, Targets, check_targets, in_their_pixels
from course.models.rpn import in_order
from course.models.stages import Normalise
from course.ops import arguments
from course.ops.anchors import Numbers, default_boxes
from course.ops.arguments import Pair
from course.ops.boxes import box_iou, clip_boxes, decode_boxes, encode_boxes
from course.ops.matching import match_boxes
from course.ops.mining import hard_negatives
from course.ops.nms import batched_nms
from course.ops.smooth_l1 import smooth_l1


class Heads(nn.Module):
    """Two 3×3 convolutions on each level: K scores and 4 deltas for each default box of a cell.

    Args:
        channels: of each level.
        aspect_ratios: for each level those of its default boxes besides 1: A = 2 + 2 for each.
        classes: K, background included.
    """

    def __init__(self, *, channels: Sequence[int], aspect_ratios: Sequence[Numbers], classes: int):
        super().__init__()
        self.aspect_ratios, self.classes = tuple(aspect_ratios), classes
        shapes = [(c, 2 + 2 * len(ratios)) for c, ratios in zip(channels, aspect_ratios, strict=True)]  # (C, A) of each level
        self.logits = nn.ModuleList(nn.Conv2d(c, classes * a, 3, padding=1) for c, a in shapes)
        self.deltas = nn.ModuleList(nn.Conv2d(c, 4 * a, 3, padding=1) for c, a in shapes)
        initialise(self)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps `[B, C, H, W]` → logits `[B, N, K]` and deltas `[B, N, 4]`, in the order of the default boxes."""
        logits = [in_order(layer(level), self.classes) for layer, level in zip(self.logits, levels, strict=True)]
        deltas = [in_order(layer(level), 4) for layer, level in zip(self.deltas, levels, strict=True)]
        return torch.cat(logits, 1), torch.cat(deltas, 1)


class Predictions(NamedTuple):
    """What the network says of every default box, levels one after another."""

    boxes: Tensor
    """The default boxes, x1, y1, x2, y2 in pixels of the batch; the same for every image. [N, 4]"""
    levels: Tensor
    """The number of the level of each, int64. [N]"""
    logits: Tensor
    """[B, N, K]"""
    deltas: Tensor
    """[B, N, 4]"""


class SSD(nn.Module):
    """Score every default box and move it, in one pass; then suppress.

    Args:
        prepare: pictures → `Batch`, all of one size.
        backbone: `[B, 3, H, W]` → {name: map}, finest first, such as `ExtraLevels`.
        heads: `Heads`.
        scales, steps: of the default boxes, as `course.ops.anchors.default_boxes` takes them.
        threshold: from this IoU on a default box is positive.
        ratio: hard negatives for each positive of an image.
        score_threshold: what scores no more is not reported. Paper, section 3: 0.01.
        candidates: how many of each class go into the suppression, the best ones.
        nms_threshold: IoU above which the worse of two boxes of a class goes. Paper, section 3: 0.45.
        limit: detections a picture, the best ones. Paper, section 3: 200.
    """

    def __init__(
        self,
        *,
        prepare: DetectorInput,
        backbone: nn.Module,
        heads: Heads,
        scales: Numbers | None = None,
        steps: Numbers | None = None,
        threshold: float = 0.5,
        ratio: float = 3.0,
        score_threshold: float = 0.01,
        candidates: int = 400,
        nms_threshold: float = 0.45,
        limit: int = 200,
    ):
        super().__init__()
        self.prepare, self.backbone, self.heads, self.scales, self.steps = prepare, backbone, heads, scales, steps
        self.threshold, self.ratio, self.score_threshold, self.nms_threshold = threshold, ratio, score_threshold, nms_threshold
        self.candidates, self.limit = arguments.whole(candidates, "candidates", 1), arguments.whole(limit, "limit", 1)

    def forward(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """A list of pictures `[3, h, w]` → for each {boxes `[D, 4]` in its pixels, labels int64 `[D]`, scores `[D]`}, the best first."""
        batch = self.prepare(images)
        return self.detect(self.predict(self.backbone(batch.images), batch.size), batch)

    def predict(self, levels: Mapping[Level, Tensor], size: Pair) -> Predictions:
        """Maps `[B, C, H, W]` of a batch of that (height, width) → what the network says of every default box."""
        maps = list(levels.values())
        logits, deltas = self.heads(maps)
        shapes, ratios = [tuple(level.shape[-2:]) for level in maps], self.heads.aspect_ratios
        dtype = torch.promote_types(maps[0].dtype, torch.float32)
        boxes = default_boxes(size, shapes, ratios, self.scales, self.steps, dtype=dtype, device=logits.device)  # [N, 4]
        counts = [height * width * (2 + 2 * len(of_level)) for (height, width), of_level in zip(shapes, ratios, strict=True)]
        numbers = torch.arange(len(maps)).repeat_interleave(torch.tensor(counts)).to(logits.device)  # [N]
        return Predictions(boxes, numbers, logits, deltas)

    def losses(self, images: Sequence[Tensor], targets: Targets) -> dict[str, Tensor]:
        """{"classification", "box"}, scalars, for `course.training.fit(..., batch_loss=model.losses)`.

        Args:
            targets: for each picture boxes `[G, 4]`, each with width and height, and labels int64 `[G]`, from 1; G may be 0.
        """
        check_targets(images, targets, self.heads.classes)
        batch = self.prepare(images)
        predictions = self.predict(self.backbone(batch.images), batch.size)
        boxes, objects = batch.inwards([target["boxes"] for target in targets]), [target["labels"] for target in targets]
        wanted = [default_targets(predictions.boxes, *of_image, self.threshold) for of_image in zip(boxes, objects, strict=True)]
        labels, deltas = (torch.stack(parts) for parts in zip(*wanted, strict=True))  # [B, N], [B, N, 4]
        return ssd_losses(predictions.logits, predictions.deltas, labels, deltas, self.ratio)

    @torch.no_grad()
    def trace(self, image: Tensor) -> dict[str, object]:
        """One picture `[3, h, w]`, and everything on the way, in pixels of the batch, to be looked at.

        Returns: levels {name: `[C, H, W]`}; default_boxes `[N, 4]`; default_levels int64 `[N]`; logits `[N, K]`; deltas `[N, 4]`;
            detections, a dict as `forward` gives it; size, (height, width) of the picture as the network saw it.
        """
        batch = self.prepare([image])
        levels = self.backbone(batch.images)
        predictions = self.predict(levels, batch.size)
        return {
            "size": batch.size,
            "levels": {name: level[0] for name, level in levels.items()},
            "default_boxes": predictions.boxes,
            "default_levels": predictions.levels,
            "logits": predictions.logits[0],
            "deltas": predictions.deltas[0],
            "detections": self.detect(predictions, batch)[0],
        }

    @torch.no_grad()
    def detect(self, predictions: Predictions, batch: Batch) -> list[dict[str, Tensor]]:
        """The likely boxes of each picture, moved and suppressed, as `forward` gives them."""
        each = zip(predictions.logits, predictions.deltas, batch.sizes, strict=True)
        return in_their_pixels([self._detected(logits, deltas, predictions.boxes, size) for logits, deltas, size in each], batch)

    def _detected(self, logits: Tensor, deltas: Tensor, default: Tensor, size: Pair) -> dict[str, Tensor]:
        """Of one image, with logits [N, K], deltas [N, 4], default boxes [N, 4]."""
        of_class = logits.softmax(1)[:, 1:].T  # [K − 1, N]
        scores, rows = of_class.topk(min(self.candidates, len(default)))  # [K − 1, candidates] each
        likely = scores > self.score_threshold
        labels = 1 + likely.nonzero()[:, 0]  # [candidates of all classes]
        scores, rows = scores[likely], rows[likely]
        boxes = clip_boxes(decode_boxes(deltas[rows], default[rows], WEIGHTS), size)  # [candidates of all classes, 4]
        kept = batched_nms(boxes, scores, labels, self.nms_threshold)[: self.limit]
        return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}


def match_default_boxes(default: Tensor, boxes: Tensor, threshold: float = 0.5) -> Tensor:
    """The object that each default box answers for, or NEGATIVE: int64 `[N]`. Paper, section 2.2, "Matching strategy".

    Every object gets the default box that overlaps it most, the first of several, though that one may overlap another object more; of
    two objects that want the same one, the later gets it. So each has one at least, unless another took it.

    Args:
        default: `[N, 4]`.
        boxes: the true boxes `[G, 4]`; without one all are negative.
        threshold: from this IoU on a default box answers for the object that it overlaps most.
    """
    iou = box_iou(boxes.to(default), default)  # [G, N]
    matches = match_boxes(iou, threshold, threshold)  # [N]
    if not len(boxes):
        return matches
    objects = torch.arange(len(boxes), device=matches.device)
    return matches.scatter_reduce(0, iou.argmax(1), objects, "amax", include_self=False)  # [N]


def default_targets(default: Tensor, boxes: Tensor, labels: Tensor, threshold: float = 0.5) -> tuple[Tensor, Tensor]:
    """What the network should say of each default box of an image: its label int64 `[N]`, 0 for background, and its deltas `[N, 4]`.

    Args:
        default: `[N, 4]`.
        boxes, labels: of the objects, `[G, 4]` and int64 `[G]`, from 1.
        threshold: as `match_default_boxes`.
    """
    matches = match_default_boxes(default, boxes, threshold)  # [N]
    there, deltas, classes = matches >= 0, torch.zeros_like(default), torch.zeros_like(matches)  # [N], [N, 4], [N]
    deltas[there] = encode_boxes(boxes[matches[there]].to(default), default[there], WEIGHTS)
    classes[there] = labels[matches[there]]
    return classes, deltas


def ssd_losses(logits: Tensor, deltas: Tensor, labels: Tensor, targets: Tensor, ratio: float = 3.0) -> dict[str, Tensor]:
    """What is it, over the positives and the hard negatives; where exactly, over the positives. Both divided by the P positives.

    Args:
        logits, deltas: what the network says, [B, N, K] and [B, N, 4].
        labels, targets: what it should say, int64 [B, N], 0 is background, and [B, N, 4]; only the rows of positives are read.
        ratio: hard negatives for each positive, in each image by itself.

    Returns: {"classification": the sum of the cross-entropies / P, "box": the sum of smooth L1 with β = 1 / P}, scalars; both 0 where
        there is no positive.

    Source: Liu et al. 2015, equations 1–3, with α = 1.
    """
    wrong = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)  # [B, N]
    positive = labels > 0  # [B, N]
    negative = torch.stack([hard_negatives(*of_image, ratio) for of_image in zip(wrong, positive, strict=True)])  # [B, N]
    several = max(1, int(positive.sum()))
    return {
        "classification": wrong[positive | negative].sum() / several,
        "box": smooth_l1(deltas[positive], targets[positive].to(deltas)).sum() / several,
    }


def from_torchvision(tv_model: nn.Module) -> SSD:
    """torchvision's `ssd300_vgg16` as this file's SSD.

    Every tensor is copied; boxes, labels, scores and losses are the same. It takes pictures as torchvision's does, RGB, 0…1, of any size.

    Raises: TypeError or ValueError for another model.
    """
    from torchvision.models.detection import ssd as theirs  # here, because importing it changes the environment

    if type(tv_model) is not theirs.SSD or type(tv_model.backbone) is not theirs.SSDFeatureExtractorVGG:
        raise TypeError(f"from_torchvision takes torchvision's ssd300_vgg16, not a {_described(tv_model)}.")
    backbone, tensors = vgg300(), tv_model.state_dict()
    _check_what_is_fixed(tv_model, backbone)
    model = _with_their_numbers(tv_model, backbone)
    names = {name: _torchvision_name(name) for name in model.state_dict()}
    if {names[name]: tensor.shape for name, tensor in model.state_dict().items()} != {name: t.shape for name, t in tensors.items()}:
        raise ValueError("from_torchvision knows the layers of torchvision's own ssd300_vgg16; some of this model's differ.")
    model.to(tensors["backbone.scale_weight"])  # its device and dtype
    model.load_state_dict({name: tensors[names[name]] for name in names})
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(tv_model.get_parameter(names[name]).requires_grad)
    return model.train(tv_model.training)


def _described(model: nn.Module) -> str:
    has = f" with a {type(model.backbone).__name__}" if hasattr(model, "backbone") else ""
    return type(model).__name__ + has


def _check_what_is_fixed(tv_model: nn.Module, ours: ExtraLevels) -> None:
    """Numbers that theirs may have otherwise and that ours has not as arguments. A tensor of another shape is found later."""
    transform, matcher = tv_model.transform, tv_model.proposal_matcher
    known = {
        "VGG16's strides, paddings and dilations": _shapes(tv_model.backbone) == _shapes(ours),
        f"deltas multiplied by {WEIGHTS}": tuple(tv_model.box_coder.weights) == WEIGHTS,
        "default boxes no larger than the picture": tv_model.anchor_generator.clip,
        "one threshold between object and background": matcher.high_threshold == matcher.low_threshold,
        "pictures of one size, without a border": transform.fixed_size is not None and transform.size_divisible == 1,
    }
    for what, holds in known.items():
        if not holds:
            raise ValueError(f"from_torchvision knows SSDs with {what}; this one differs.")


def _shapes(layers: nn.Module) -> list[str]:
    """Of convolutions and poolings, in order: everything that is no tensor."""
    return [repr(layer) for layer in layers.modules() if isinstance(layer, (nn.Conv2d, nn.MaxPool2d))]


def _with_their_numbers(tv_model: nn.Module, backbone: ExtraLevels) -> SSD:
    transform, generator, layers = tv_model.transform, tv_model.anchor_generator, tv_model.head.classification_head
    width, height = transform.fixed_size
    return SSD(
        prepare=DetectorInput(normalise=Normalise(transform.image_mean, transform.image_std), size=(height, width)),
        backbone=backbone,
        heads=Heads(
            channels=[layer.in_channels for layer in layers.module_list],
            aspect_ratios=[tuple(ratios) for ratios in generator.aspect_ratios],
            classes=layers.num_columns,
        ),
        scales=tuple(generator.scales),
        steps=None if generator.steps is None else tuple(generator.steps),
        threshold=tv_model.proposal_matcher.high_threshold,
        ratio=tv_model.neg_to_pos_ratio,
        score_threshold=tv_model.score_thresh,
        candidates=tv_model.topk_candidates,
        nms_threshold=tv_model.nms_thresh,
        limit=tv_model.detections_per_img,
    )


def _torchvision_name(name: str) -> str:
    blocks = ("conv7", "conv8_2", "conv9_2", "conv10_2", "conv11_2")
    match name.split("."):
        case ["backbone", "rescale", *_]:
            return "backbone.scale_weight"
        case ["backbone", "trunk", "conv4_3", *rest]:
            theirs = ["backbone.features"]
        case ["backbone", _, block, *rest]:
            theirs = ["backbone.extra", str(blocks.index(block))]
        case ["heads", part, *rest]:
            theirs = ["head", {"logits": "classification_head", "deltas": "regression_head"}[part], "module_list"]
    return ".".join([*theirs, *rest])
