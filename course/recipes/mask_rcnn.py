"""Mask R-CNN on generated shapes: the recipe of Faster R-CNN, and two heads more, for masks and for the joints of people.

All of it is trained jointly, from ImageNet features, with six losses (course.models.mask_rcnn).

Differs from the paper (K. He, G. Gkioxari, P. Dollár and R. Girshick, 2017, arXiv:1703.06870): two convolutions for the masks, not four,
and three for the joints, not eight, of 64 channels; one network has both; small pictures and AdamW, as course.recipes.faster_rcnn says.
"""

from collections.abc import Callable

import torch
from torch import nn

from course.data.shapes import CLASSES, KEYPOINTS, Shapes
from course.detector_training import SIZE, train_on_shapes
from course.evaluation import detections_on
from course.metrics import mean_average_precision
from course.models.feature_pyramid import PyramidPooling, PyramidRoIAlign, PyramidRoIPool
from course.models.mask_rcnn import KeypointHead, MaskHead, MaskRCNN, convolutions
from course.recipes import Plan, faster_rcnn
from course.training import History

DATA = {
    "shapes": Plan(
        epochs=4,
        metric="mask mAP@0.5 on 200 unseen Shapes pictures of 128 px",
        trained_on="3000 generated pictures of course.data.shapes, from ImageNet features",
        licence="Apache-2.0",
    )
}
WIDTH = 64
STRIDES = {8: 8, 16: 16}


def build(data: str = "shapes", pooled: Callable[[int], PyramidPooling] | None = None) -> MaskRCNN:
    """The untrained Mask R-CNN on its ImageNet features. pooled: makes the pooling of so many bins a side; `aligned` by default."""
    pooled = pooled or aligned
    detector = faster_rcnn.build(data)
    detector.head.pool = pooled(7)
    convolved = (faster_rcnn.WIDTH, WIDTH, WIDTH)
    model = MaskRCNN(
        prepare=detector.prepare,
        backbone=detector.backbone,
        rpn=detector.rpn,
        head=detector.head,
        mask=MaskHead(pool=pooled(14), layers=convolutions(*convolved), features=WIDTH, classes=len(CLASSES), width=WIDTH),
        keypoint=KeypointHead(pool=pooled(14), layers=convolutions(*convolved, WIDTH), features=WIDTH, keypoints=len(KEYPOINTS)),
    )
    return model.to(memory_format=torch.channels_last)


def aligned(size: int) -> PyramidRoIAlign:
    """size × size bins of the level that fits, as the recipe of Faster R-CNN has them, but half a cell is taken off: masks notice."""
    return PyramidRoIAlign(strides=STRIDES, output_size=size, canonical_size=48, aligned=True)


def rounded(size: int) -> PyramidRoIPool:
    """The same by RoI pooling, to be compared with."""
    return PyramidRoIPool(strides=STRIDES, output_size=size, canonical_size=48)


def train(model: nn.Module, data: str = "shapes", **options) -> History:
    """Train in place; options as `course.detector_training.train_on_shapes`, to which they go."""
    return train_on_shapes(model, keep=("boxes", "labels", "masks", "keypoints"), judged=False, **options)


def score(model: nn.Module, data: str = "shapes", *, device="auto", count: int = 200) -> float:
    """mAP@0.5 of the masks, cut at probability 0.5, on `count` pictures of Shapes's test split."""
    found, there = detections_on(model, Shapes("test", count=count, size=SIZE, target="instances"), device=device)
    return mean_average_precision(with_cut_masks(found), there, 0.5, kind="masks").mAP


def with_cut_masks(found: list[dict]) -> list[dict]:
    """Detections with masks bool `[D, H, W]`: the pixels that more likely belong to the object than not."""
    return [each | {"masks": each["masks"][:, 0] > 0.5} for each in found]
