"""Fast R-CNN on generated shapes: proposals from selective search, one pass of the trunk, and all of it learns.

Differs from the paper (R. Girshick, 2015, arXiv:1504.08083): 100 proposals; the picture is enlarged to 256 pixels, so that the map of
stride 16 has 16 × 16 cells, of which 4 × 4 are pooled; AdamW, for minutes in place of hours.
"""

import torch
from torch import nn
from torch.utils.data import StackDataset

from course.data.in_memory import InMemory
from course.data.shapes import CLASSES, Shapes, collate
from course.evaluation import mean_average_precision_on
from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import FastRCNN, RegionHead, RoIPooling, fully_connected
from course.models.stages import LITE0_TRUNK, lite0_trunk
from course.progress import watched
from course.recipes import Plan
from course.recipes.rcnn import METRIC, UNSEEN, propose
from course.training import History, fit

DATA = {
    "shapes": Plan(
        epochs=4, metric=METRIC, trained_on="1000 generated pictures of course.data.shapes, from ImageNet features", licence="Apache-2.0"
    )
}
POOLED, WIDTH = 4, 256


def build(data: str = "shapes") -> FastRCNN:
    """The untrained Fast R-CNN on its ImageNet features."""
    head = RegionHead(
        pool=RoIPooling(level=16, stride=16, output_size=POOLED),
        layers=fully_connected(LITE0_TRUNK[16], POOLED, WIDTH),
        features=WIDTH,
        classes=len(CLASSES),
        drawn=64,
    )
    model = FastRCNN(
        prepare=DetectorInput(normalise=False, shorter_side=256, multiple=32), backbone=lite0_trunk(), proposals=propose, head=head
    )
    return model.to(memory_format=torch.channels_last)  # the CPU's convolutions take a third less time so


def train(
    model: nn.Module,
    data: str = "shapes",
    *,
    epochs: int,
    seed: int = 0,
    device="auto",
    checkpoint=None,
    progress=None,
    count: int = 1000,
    **options,
) -> History:
    """Train in place. `count`: how many Shapes pictures there are to learn from; `options` go to `course.training.fit`."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return fit(
        model,
        with_proposals(InMemory(Shapes("train", count=count, size=128, target="instances")), progress),
        batch_loss=model.losses,
        collate=collate,
        epochs=epochs,
        batch_size=8,
        optimiser=torch.optim.AdamW(learning, lr=1e-3, weight_decay=0.01),
        device=device,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
        **options,
    )


def with_proposals(pictures: InMemory, progress: bool | None = None) -> StackDataset:
    """The same items, the targets with their proposals `[N, 4]`, which are searched once."""
    from tqdm.auto import tqdm

    items = [pictures[number] for number in range(len(pictures))]
    bar = tqdm(items, desc="proposals", unit="picture", disable=not (watched() if progress is None else progress))
    return StackDataset([image for image, _ in items], [target | {"proposals": propose(image)} for image, target in bar])


def score(model: nn.Module, data: str = "shapes", *, device="auto", count: int = UNSEEN) -> float:
    """mAP@0.5 on `count` pictures of Shapes's test split."""
    return mean_average_precision_on(model, Shapes("test", count=count, size=128, target="instances"), device=device)
