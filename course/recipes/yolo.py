"""YOLO with a grid of 7 × 7 cells, on generated shapes.

EfficientNet-Lite0 up to stride 16, whose lowest layers stay as they are, and two convolutions that say what is in each cell
(course.models.yolo), trained with the five losses of the paper.

Differs from the paper (J. Redmon, S. Divvala, R. Girshick and A. Farhadi, 2015, arXiv:1506.02640): pictures of 128 pixels, not 448, and
convolutions in place of fully connected layers, which would have to learn every cell by itself; AdamW, for minutes in place of a week;
mirrored pictures are the only augmentation.
"""

import torch
from torch import nn

from course.data.shapes import CLASSES
from course.detector_training import SIZE, score_on_shapes, train_on_shapes
from course.models.detector_input import DetectorInput
from course.models.stages import LITE0_TRUNK, lite0_trunk
from course.models.yolo import YOLO, GridHead
from course.recipes import Plan
from course.training import History

DATA = {
    "shapes": Plan(
        epochs=4,
        metric="mAP@0.5 on 500 unseen Shapes pictures of 128 px",
        trained_on="3000 generated pictures of course.data.shapes and their mirror images, from ImageNet features",
        licence="Apache-2.0",
    ),
}
GRID, BOXES = 7, 2  # the paper's
OBJECTS = CLASSES[1:]  # YOLO has no class for the background
WIDTH = 112  # channels of the two convolutions


def build(data: str = "shapes") -> YOLO:
    """The untrained YOLO on its ImageNet features. data: "shapes"."""
    model = YOLO(
        prepare=DetectorInput(normalise=False, size=SIZE),
        backbone=lite0_trunk(),
        head=GridHead(channels=LITE0_TRUNK[16], width=WIDTH, grid=GRID, numbers=5 * BOXES + len(OBJECTS)),
        grid=GRID,
        boxes=BOXES,
        classes=len(OBJECTS),
    )
    # Channels last in memory: the CPU's convolutions take about a third less time. The numbers are the same.
    return model.to(memory_format=torch.channels_last)


def train(model: nn.Module, data: str = "shapes", **options) -> History:
    """Train in place; options as `course.detector_training.train_on_shapes`, to which they go."""
    return train_on_shapes(model, mirrors=((-1,),), **options)


def score(model: nn.Module, data: str = "shapes", *, device="auto", count: int = 500) -> float:
    """mAP@0.5 on pictures that were never trained on: `count` of Shapes's test split."""
    return score_on_shapes(model, device=device, count=count)
