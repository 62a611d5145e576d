"""SSD with four maps, on generated shapes.

EfficientNet-Lite0 up to stride 16, whose lowest layers stay as they are, two blocks behind it, and on each of the four maps two
convolutions that score and move the default boxes (course.models.ssd), trained with two losses. The trunk's maps have values many times
larger than the others, so both are brought to one length, as the paper does with conv4_3.

Differs from the paper (W. Liu et al., 2015, arXiv:1512.02325): small numbers for small pictures, namely maps of 16², 8², 4² and 2² cells
for 128 pixels; AdamW, for minutes in place of hours; mirrored pictures are the only augmentation.
"""

import torch
from torch import nn

from course.data.shapes import CLASSES
from course.detector_training import SIZE, score_on_shapes, train_on_shapes
from course.models.detector_input import DetectorInput
from course.models.extra_levels import ExtraLevels, UnitLength, extra_block
from course.models.ssd import SSD, Heads
from course.models.stages import LITE0_TRUNK, lite0_trunk
from course.recipes import Plan
from course.training import History

DATA = {
    "shapes": Plan(
        epochs=3,
        metric="mAP@0.5 on 500 unseen Shapes pictures of 128 px",
        trained_on="3000 generated pictures of course.data.shapes and their mirror images, from ImageNet features",
        licence="Apache-2.0",
    ),
}
WIDTH = 128  # channels of the maps behind the trunk
SCALES = (0.18, 0.32, 0.46, 0.6, 0.75)  # of 128 pixels: 23, 41, 59 and 77
ASPECT_RATIOS = ((2,),) * 4  # with 1, twice, and ½: four default boxes a cell, 1360 in all


def build(data: str = "shapes") -> SSD:
    """The untrained SSD on its ImageNet features. data: "shapes"."""
    channels = [*LITE0_TRUNK.values(), WIDTH, WIDTH]
    backbone = ExtraLevels(
        trunk=lite0_trunk(),
        names=tuple(LITE0_TRUNK),
        extra={32: extra_block(LITE0_TRUNK[16], WIDTH // 2, WIDTH), 64: extra_block(WIDTH, WIDTH // 2, WIDTH)},
        rescale={stride: UnitLength(channels, scale=10.0) for stride, channels in LITE0_TRUNK.items()},
    )
    model = SSD(
        prepare=DetectorInput(normalise=False, size=SIZE),
        backbone=backbone,
        heads=Heads(channels=channels, aspect_ratios=ASPECT_RATIOS, classes=len(CLASSES)),
        scales=SCALES,
        limit=100,
    )
    # Channels last in memory: the CPU's convolutions take about a third less time. The numbers are the same.
    return model.to(memory_format=torch.channels_last)


def train(model: nn.Module, data: str = "shapes", **options) -> History:
    """Train in place; options as `course.detector_training.train_on_shapes`, to which they go."""
    return train_on_shapes(model, mirrors=((-1,),), **options)


def score(model: nn.Module, data: str = "shapes", *, device="auto", count: int = 500) -> float:
    """mAP@0.5 on pictures that were never trained on: `count` of Shapes's test split."""
    return score_on_shapes(model, device=device, count=count)
