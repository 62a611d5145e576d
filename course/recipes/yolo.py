"""YOLO with a grid of 7 × 7 cells, on generated shapes.

EfficientNet-Lite0 up to stride 16, whose lowest layers stay as they are, and two convolutions that say what is in each cell
(course.models.yolo), trained with the five losses of the paper.

Differs from the paper (J. Redmon, S. Divvala, R. Girshick and A. Farhadi, 2015, arXiv:1506.02640): pictures of 128 pixels, not 448, and
convolutions in place of fully connected layers, which would have to learn every cell by itself; AdamW, for minutes in place of a week;
mirrored pictures are the only augmentation.
"""

import torch
from torch import nn

from course.data.in_memory import InMemory
from course.data.shapes import CLASSES, Shapes, collate
from course.evaluation import mean_average_precision_on
from course.models.detector_input import DetectorInput
from course.models.stages import LITE0_TRUNK, lite0_trunk
from course.models.yolo import YOLO, GridHead
from course.recipes import Plan
from course.training import History, fit

DATA = {
    "shapes": Plan(
        epochs=4,
        metric="mAP@0.5 on 500 unseen Shapes pictures of 128 px",
        trained_on="3000 generated pictures of course.data.shapes and their mirror images, from ImageNet features",
        licence="Apache-2.0",
    ),
}
SIZE = 128
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
    """Train in place. `count`: how many pictures there are to learn from; `options` go to `course.training.fit`."""
    pictures = InMemory(Shapes("train", count=count, size=SIZE, target="instances"), mirrors=((-1,),))
    unseen = InMemory(Shapes("val", count=100, size=SIZE, target="instances"))
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return fit(
        model,
        pictures,
        batch_loss=model.losses,
        collate=collate,
        epochs=epochs,
        batch_size=16,
        optimiser=torch.optim.AdamW(learning, lr=2e-3, weight_decay=0.01),
        validate=lambda model: {"mAP@0.5": mean_average_precision_on(model, unseen, device=device)},
        device=device,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
        **options,
    )


def score(model: nn.Module, data: str = "shapes", *, device="auto", count: int = 500) -> float:
    """mAP@0.5 on pictures that were never trained on: `count` of Shapes's test split."""
    return mean_average_precision_on(model, Shapes("test", count=count, size=SIZE, target="instances"), device=device)
