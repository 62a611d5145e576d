"""Faster R-CNN with a pyramid, on generated shapes or on blood cells under the microscope.

An ImageNet network whose lowest layers stay as they are, a pyramid of three levels, a region proposal network and a head of two layers
(course.models.faster_rcnn), all trained jointly with four losses. On shapes the network is EfficientNet-Lite0 up to stride 16, from a
package; on blood cells MobileNetV2, from the folder that SEGCOURSE_DATA names.

Differs from the paper (S. Ren, K. He, R. Girshick and J. Sun, 2015, arXiv:1506.01497): small numbers for small pictures, namely anchors
from 18 pixels on, 64 channels, 150 boxes of a level into the suppression; AdamW, for minutes in place of hours.
"""

import torch
from torch import nn

from course.data import bccd, shapes
from course.data.bccd import BCCD
from course.data.in_memory import InMemory
from course.data.shapes import Shapes, collate
from course.evaluation import mean_average_precision_on
from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import RegionHead, fully_connected
from course.models.faster_rcnn import FasterRCNN
from course.models.feature_pyramid import FeaturePyramid, PyramidRoIAlign, lateral_and_output
from course.models.mobilenet import imagenet_mobilenet_v2
from course.models.rpn import RPN, RPNHead
from course.models.stages import LITE0_TRUNK, lite0_trunk, mobilenet_v2_stages, trunk
from course.recipes import Plan
from course.training import History, fit

DATA = {
    "shapes": Plan(
        epochs=4,
        metric="mAP@0.5 on 500 unseen Shapes pictures of 128 px",
        trained_on="3000 generated pictures of course.data.shapes, from ImageNet features",
        licence="Apache-2.0",
    ),
    "bccd": Plan(
        epochs=4,
        metric="mAP@0.5 on the BCCD val pictures at 240 × 320 pixels",
        trained_on="the BCCD train pictures at 240 × 320 pixels, from ImageNet features",
        licence="MIT",
        tolerance=0.04,
    ),
}
SIZE = {"shapes": 128, "bccd": (240, 320)}
CLASSES = {"shapes": shapes.CLASSES, "bccd": bccd.CLASSES}
ANCHORS = {"shapes": ((24,), (40,), (64,)), "bccd": ((18,), (48,), (90,))}  # one size a level
WIDTH = 64  # channels of every level


def build(data: str = "shapes") -> FasterRCNN:
    """The untrained Faster R-CNN on its ImageNet features. data: "shapes" or "bccd"."""
    if data == "shapes":
        stages, channels = lite0_trunk(), LITE0_TRUNK
    else:
        stages, channels = trunk(mobilenet_v2_stages(imagenet_mobilenet_v2())), {8: 32, 16: 96}
    lateral, output = lateral_and_output(channels, WIDTH)
    model = FasterRCNN(
        prepare=DetectorInput(normalise=False, shorter_side=None, multiple=32),
        backbone=FeaturePyramid(backbone=stages, lateral=lateral, output=output, pooled=32),
        rpn=RPN(
            head=RPNHead(channels=WIDTH, anchors=3),
            sizes=ANCHORS[data],
            pre_nms=(150, 150),
            post_nms=(100, 100),
            drawn=128,
        ),
        head=RegionHead(
            pool=PyramidRoIAlign(strides={8: 8, 16: 16}, output_size=7, canonical_size=48, canonical_level=4),
            layers=fully_connected(WIDTH, 7, 96),
            features=96,
            classes=len(CLASSES[data]),
            drawn=64,
        ),
    )
    # Channels last in memory: the CPU's convolutions take about a third less time. The numbers are the same.
    return model.to(memory_format=torch.channels_last)


def train(
    model: nn.Module,
    data: str = "shapes",
    *,
    epochs: int,
    seed: int = 0,
    device="auto",
    checkpoint=None,
    progress=None,
    count: int = 3000,
    **options,
) -> History:
    """Train in place. `count`: how many Shapes pictures there are to learn from; `options` go to `course.training.fit`."""
    if data == "shapes":
        pictures = InMemory(Shapes("train", count=count, size=SIZE[data], target="instances"))
        unseen, batch_size = InMemory(Shapes("val", count=100, size=SIZE[data], target="instances")), 16
    else:
        pictures = InMemory(BCCD("train", size=SIZE[data]), mirrors=((-1,), (-2,), (-1, -2)))
        unseen, batch_size = InMemory(BCCD("val", size=SIZE[data])), 8
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return fit(
        model,
        pictures,
        batch_loss=model.losses,
        collate=collate,
        epochs=epochs,
        batch_size=batch_size,
        optimiser=torch.optim.AdamW(learning, lr=2e-3, weight_decay=0.01),
        validate=lambda model: {"mAP@0.5": mean_average_precision_on(model, unseen, device=device)},
        device=device,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
        **options,
    )


def score(model: nn.Module, data: str = "shapes", *, device="auto", count: int = 500) -> float:
    """mAP@0.5 on pictures that were never trained on: `count` of Shapes's test split, or BCCD's val pictures."""
    unseen = Shapes("test", count=count, size=SIZE[data], target="instances") if data == "shapes" else BCCD("val", size=SIZE[data])
    return mean_average_precision_on(model, unseen, device=device)
