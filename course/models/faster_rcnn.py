"""Faster R-CNN: Fast R-CNN whose proposals come from a network that shares its features. Two heads, four losses, trained together.

Paper: S. Ren, K. He, R. Girshick and J. Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks", 2015,
arXiv:1506.01497, figure 2 and section 3.2 ("approximate joint training": no gradient through the coordinates of the proposals). With a
pyramid: T.-Y. Lin et al., "Feature Pyramid Networks", 2016, arXiv:1612.03144, section 4.

    pictures → backbone → levels → RPN (course.models.rpn): objectness, deltas → proposals
                               ↘                                                    ↓
                                 RegionHead (course.models.fast_rcnn): pooled regions → class, box

    losses: rpn_objectness + rpn_box + classification + box

Differs from the paper: trained jointly, not in four alternating steps; a pyramid, and RoIAlign in place of RoI pooling.
Differs from torchvision: nothing in the numbers: `from_torchvision` copies every tensor of its three Faster R-CNNs, and boxes, scores and
the four losses, given the same draw, are the same.

Shape letters: B images, K classes with background, D detections, N anchors, G objects.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from course.models.detector_input import Batch, DetectorInput
from course.models.fast_rcnn import WEIGHTS, RegionHead, Regions, Targets, check_targets, fully_connected, in_their_pixels
from course.models.feature_pyramid import FeaturePyramid, Level, PyramidRoIAlign, lateral_and_output
from course.models.rpn import RPN, Predictions, RPNHead
from course.models.stages import IMAGENET_DEVIATION, IMAGENET_MEAN, Stages, resnet_stages

KINDS = "Faster R-CNNs"


class FasterRCNN(nn.Module):
    """Propose, pool, classify, move, suppress, in one network.

    Args:
        prepare: pictures → `course.models.detector_input.Batch`.
        backbone: `[B, 3, H, W]` → {name: map}, finest first, such as a `FeaturePyramid`.
        rpn: the proposals.
        head: what becomes of them.
    """

    def __init__(self, *, prepare: DetectorInput, backbone: nn.Module, rpn: RPN, head: RegionHead):
        super().__init__()
        self.prepare, self.backbone, self.rpn, self.head = prepare, backbone, rpn, head

    def forward(self, images: Sequence[Tensor]) -> list[dict[str, Tensor]]:
        """A list of pictures `[3, h, w]` → for each {boxes `[D, 4]` in its pixels, labels int64 `[D]`, scores `[D]`}, the best first."""
        batch = self.prepare(images)
        levels = self.backbone(batch.images)
        proposals = [boxes for boxes, _ in self.rpn.propose(self.rpn(levels, batch.size), batch.sizes)]
        return self.detect(levels, proposals, batch)

    def detect(self, levels: Mapping[Level, Tensor], proposals: Sequence[Tensor], batch: Batch) -> list[dict[str, Tensor]]:
        """The second stage: what becomes of each picture's proposals, `[L, 4]` in pixels of the batch, as `forward` gives it."""
        return in_their_pixels(self.head.detect(levels, proposals, batch.sizes), batch)

    def losses(self, images: Sequence[Tensor], targets: Targets) -> dict[str, Tensor]:
        """{"rpn_objectness", "rpn_box", "classification", "box"}, scalars, for `course.training.fit(..., batch_loss=model.losses)`.

        Args:
            targets: for each picture boxes `[G, 4]`, each with width and height, and labels int64 `[G]`, from 1; G may be 0.
        """
        check_targets(images, targets, self.head.classes.out_features)
        batch = self.prepare(images)
        boxes, labels = batch.inwards([target["boxes"] for target in targets]), [target["labels"] for target in targets]
        levels = self.backbone(batch.images)
        predictions = self.rpn(levels, batch.size)
        losses = self.rpn.losses(predictions, boxes)
        if not (predictions.objectness.isfinite().all() and predictions.deltas.isfinite().all()):
            return _not_finite(losses, predictions)
        proposals = [found for found, _ in self.rpn.propose(predictions, batch.sizes)]
        return losses | self.region_losses(levels, self.head.draw(proposals, boxes, labels), batch, targets)

    def region_losses(self, levels: Mapping[Level, Tensor], regions: Regions, batch: Batch, targets: Targets) -> dict[str, Tensor]:
        """Those of the second stage, for the regions drawn; `targets` in pixels of the pictures, as `losses` gets them."""
        return self.head.losses(levels, regions)

    @torch.no_grad()
    def trace(self, image: Tensor) -> dict[str, object]:
        """One picture `[3, h, w]`, and everything on the way, in pixels of the batch, to be looked at.

        Returns: levels {name: `[C, H, W]`}; anchors `[N, 4]`; anchor_levels int64 `[N]`; objectness, logits, a list of `[A, H, W]` and
            deltas, a list of `[4A, H, W]`, one a level; proposals `[P, 4]` and their proposal_scores `[P]`; detections, a dict as
            `forward` gives it; size, (height, width) of the picture as the network saw it.
        """
        batch = self.prepare([image])
        levels = self.backbone(batch.images)
        predictions = self.rpn(levels, batch.size)
        objectness, deltas = self.rpn.head(list(levels.values()))
        ((proposals, scores),) = self.rpn.propose(predictions, batch.sizes)
        return {
            "size": batch.sizes[0],
            "levels": {name: level[0] for name, level in levels.items()},
            "anchors": predictions.anchors,
            "anchor_levels": predictions.levels,
            "objectness": [level[0] for level in objectness],
            "deltas": [level[0] for level in deltas],
            "proposals": proposals,
            "proposal_scores": scores,
            "detections": self.detect(levels, [proposals], batch)[0],
        }


def _not_finite(losses: dict[str, Tensor], predictions: Predictions) -> dict[str, Tensor]:
    """Without numbers there are no proposals, so the training has to stop: the loss says so even if it looked at other anchors."""
    parts = {"rpn_objectness": predictions.objectness, "rpn_box": predictions.deltas}
    return {name: losses[name] + (part - part).sum() for name, part in parts.items()}  # 0 of numbers, else NaN


def from_torchvision(tv_model: nn.Module) -> FasterRCNN:
    """torchvision's `fasterrcnn_resnet50_fpn`, its `_v2`, or `fasterrcnn_mobilenet_v3_large_fpn` or `_320_fpn`, as this file's Faster
    R-CNN.

    Every tensor is copied; boxes, labels, scores and losses are the same. It takes pictures as torchvision's does, RGB, 0…1, of any size.

    Raises: TypeError or ValueError for another model.
    """
    from torchvision.models.detection import FasterRCNN as Theirs  # here, because importing it changes the environment

    if type(tv_model) is not Theirs:
        raise TypeError(f"from_torchvision takes one of torchvision's {KINDS}, not a {type(tv_model).__name__}.")
    check_what_is_fixed(tv_model, KINDS)
    return with_tensors_of(tv_model, FasterRCNN(**parts(tv_model)), torchvision_name, KINDS)


def parts(tv_model: nn.Module) -> dict[str, nn.Module]:
    """What `FasterRCNN(…)` is put together from: the numbers of torchvision's model, or of one that extends it, and not yet its tensors."""
    backbone, strides = _backbone(tv_model.backbone)
    return {
        "prepare": _prepare(tv_model.transform),
        "backbone": backbone,
        "rpn": _rpn(tv_model.rpn),
        "head": _region_head(tv_model.roi_heads, strides),
    }


def with_tensors_of(tv_model: nn.Module, model: FasterRCNN, their_name: Callable[[str, Sequence[str]], str], kinds: str) -> FasterRCNN:
    """`model` with the tensors, the device, the dtype and the mode of torchvision's.

    Args:
        their_name: (our name of a tensor, names of the pyramid's levels) → torchvision's name of it.
        kinds: what torchvision's models are called in the error.

    Raises: ValueError if the two have not the same tensors, each of the same shape.
    """
    tensors = tv_model.state_dict()
    names = {name: their_name(name, model.backbone.names) for name in model.state_dict()}
    if {names[name]: tensor.shape for name, tensor in model.state_dict().items()} != {name: t.shape for name, t in tensors.items()}:
        raise ValueError(f"from_torchvision knows the layers of torchvision's own {kinds}; some of this model's differ.")
    model.to(tensors["rpn.head.cls_logits.weight"])  # its device and dtype
    model.load_state_dict({name: tensors[theirs] for name, theirs in names.items()})
    return model.train(tv_model.training)


def check_what_is_fixed(tv_model: nn.Module, kinds: str, several_sizes: bool = False) -> None:
    """Numbers that theirs may have otherwise and that ours has not as arguments. A tensor of another shape is found later.

    Args:
        kinds: what torchvision's models are called in the error.
        several_sizes: whether it may draw the size of a picture in training.

    Raises: ValueError, with the first that differs.
    """
    from torchvision.models.detection.backbone_utils import BackboneWithFPN
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

    backbone, transform, heads = tv_model.backbone, tv_model.transform, tv_model.roi_heads
    pools = [pool for pool in (heads.box_roi_pool, heads.mask_roi_pool, heads.keypoint_roi_pool) if pool is not None]
    pyramid = isinstance(backbone, BackboneWithFPN) and type(backbone.fpn.extra_blocks) is LastLevelMaxPool
    known = {
        "a feature pyramid that ends in LastLevelMaxPool": pyramid,
        "a backbone without dilation": {layer.dilation for layer in backbone.modules() if isinstance(layer, nn.Conv2d)} == {(1, 1)},
        "ImageNet's mean and deviation": (*transform.image_mean, *transform.image_std) == (*IMAGENET_MEAN, *IMAGENET_DEVIATION),
        "one size of picture": (several_sizes or len(transform.min_size) == 1) and transform.fixed_size is None,
        "the same aspect ratios on all levels": len(set(tv_model.rpn.anchor_generator.aspect_ratios)) == 1,
        f"deltas multiplied by {WEIGHTS}": tuple(heads.box_coder.weights) == WEIGHTS,
        "one threshold between object and background": heads.proposal_matcher.high_threshold == heads.proposal_matcher.low_threshold,
        "regions pooled from all levels but the last": pyramid
        and all({*backbone.body.return_layers.values()} <= {*pool.featmap_names} <= {*"0123"} for pool in pools),
        "regions of 224 pixels pooled from level 4": {(pool.canonical_scale, pool.canonical_level) for pool in pools} == {(224, 4)},
    }
    for what, holds in known.items():
        if not holds:
            raise ValueError(f"from_torchvision knows {kinds} with {what}; this one differs.")


def _prepare(transform: nn.Module) -> DetectorInput:
    return DetectorInput(shorter_side=transform.min_size[-1], longer_side=transform.max_size, multiple=transform.size_divisible)


def _backbone(backbone: nn.Module) -> tuple[FeaturePyramid, dict[str, int]]:
    """The pyramid and the strides of the levels that regions are pooled from."""
    body = copy.deepcopy(backbone.body)
    if "layer4" in body:
        stages, channels = resnet_stages(body), {"layer1": 256, "layer2": 512, "layer3": 1024, "layer4": 2048}
        strides = {"layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}
    else:  # MobileNetV3: both of its levels have stride 32
        first = int(next(iter(body.return_layers)))
        layers = nn.Sequential(OrderedDict(body.items()))  # a part of it keeps the layers' numbers as names
        stages, channels, strides = Stages({"0": layers[: first + 1], "1": layers[first + 1 :]}), {"0": 160, "1": 960}, {"0": 32, "1": 32}
    has_norm = len(backbone.fpn.inner_blocks[0]) > 1
    lateral, output = lateral_and_output(channels, backbone.out_channels, nn.BatchNorm2d if has_norm else None)
    return FeaturePyramid(backbone=stages, lateral=lateral, output=output, pooled="pool"), strides


def _rpn(rpn: nn.Module) -> RPN:
    anchors, sampler = rpn.anchor_generator, rpn.fg_bg_sampler
    channels, count = rpn.head.cls_logits.in_channels, rpn.head.cls_logits.out_channels
    return RPN(
        head=RPNHead(channels=channels, anchors=count, convolutions=len(rpn.head.conv)),
        sizes=anchors.sizes,
        aspect_ratios=anchors.aspect_ratios[0],
        pre_nms=(rpn._pre_nms_top_n["training"], rpn._pre_nms_top_n["testing"]),
        post_nms=(rpn._post_nms_top_n["training"], rpn._post_nms_top_n["testing"]),
        nms_threshold=rpn.nms_thresh,
        min_size=rpn.min_size,
        score_threshold=rpn.score_thresh,
        high=rpn.proposal_matcher.high_threshold,
        low=rpn.proposal_matcher.low_threshold,
        drawn=sampler.batch_size_per_image,
        positive_share=sampler.positive_fraction,
    )


def _region_head(heads: nn.Module, strides: dict[str, int]) -> RegionHead:
    pool, sampler, predictor = heads.box_roi_pool, heads.fg_bg_sampler, heads.box_predictor
    channels = predictor.cls_score.in_features
    layers = (
        fully_connected(256, pool.output_size[0], channels, channels) if hasattr(heads.box_head, "fc6") else copy.deepcopy(heads.box_head)
    )
    return RegionHead(
        pool=PyramidRoIAlign(strides=strides, output_size=pool.output_size, sampling_ratio=pool.sampling_ratio),
        layers=layers,
        features=channels,
        classes=predictor.cls_score.out_features,
        drawn=sampler.batch_size_per_image,
        positive_share=sampler.positive_fraction,
        threshold=heads.proposal_matcher.high_threshold,
        score_threshold=heads.score_thresh,
        nms_threshold=heads.nms_thresh,
        limit=heads.detections_per_img,
    )


def torchvision_name(name: str, levels: Sequence[str]) -> str:
    """What torchvision calls a tensor of `FasterRCNN`, whose pyramid has these levels."""
    match name.split("."):
        case ["backbone", "backbone", "stem" | "0" | "1", *rest]:
            theirs = ["backbone.body"]
        case ["backbone", "backbone", *rest]:
            theirs = ["backbone.body"]
        case ["backbone", "lateral", level, *rest]:
            theirs = ["backbone.fpn.inner_blocks", str(levels.index(level))]
        case ["backbone", "output", level, *rest]:
            theirs = ["backbone.fpn.layer_blocks", str(levels.index(level))]
        case ["rpn", "head", part, *rest]:
            theirs = ["rpn.head", {"convolutions": "conv", "objectness": "cls_logits", "deltas": "bbox_pred"}[part]]
        case ["head", "layers", "1" | "3" as layer, "weight" | "bias" as kind]:  # of a head of linear layers only
            theirs, rest = ["roi_heads.box_head", {"1": "fc6", "3": "fc7"}[layer]], [kind]
        case ["head", "layers", *rest]:
            theirs = ["roi_heads.box_head"]
        case ["head", part, *rest]:
            theirs = ["roi_heads.box_predictor", {"classes": "cls_score", "deltas": "bbox_pred"}[part]]
    return ".".join([*theirs, *rest])
