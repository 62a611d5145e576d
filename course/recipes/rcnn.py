"""R-CNN on generated shapes: SVMs and least squares on what an ImageNet network says of warped proposals.

The network itself learns nothing, so what is trained, and kept, is two matrices for each class (course.models.rcnn): a classifier and a
regressor, on features of the course's trunk at stride 16.

Differs from the paper (R. Girshick, J. Donahue, T. Darrell and J. Malik, 2014, arXiv:1311.2524): no fine-tuning; 100 proposals; patches of
64 pixels, enough for objects of 20 to 80.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from course.data.shapes import CLASSES, Shapes
from course.evaluation import mean_average_precision_on
from course.models.rcnn import RCNN, CellFeatures, Linear, WarpedFeatures, regions_of, train_box_regression, train_svms
from course.models.selective_search import selective_search
from course.models.stages import lite0_trunk
from course.progress import watched
from course.recipes import Plan
from course.training import History, pick_device

OBJECTS = len(CLASSES) - 1
PROPOSALS = 100
UNSEEN = 100  # pictures that it is scored on: R-CNN is slow
METRIC = f"mAP@0.5 on {UNSEEN} unseen Shapes pictures of 128 px"
DATA = {"shapes": Plan(epochs=1, metric=METRIC, trained_on="500 generated pictures of course.data.shapes", licence="Apache-2.0")}


def propose(image: Tensor) -> Tensor:
    """The first boxes of selective search for a picture `[3, H, W]`: `[N, 4]`, N at most `PROPOSALS`."""
    return selective_search(image, "fast")[:PROPOSALS]


def build(data: str = "shapes", features: int = 112 * 4 * 4) -> nn.ModuleDict:
    """What is to be learnt, all zeros: "classifier", `[features, K]`, and "regressor", `[features, 4K]`."""
    zeros = {"classifier": OBJECTS, "regressor": 4 * OBJECTS}
    return nn.ModuleDict({name: Linear(torch.zeros(features, width), torch.zeros(width)) for name, width in zeros.items()})


def warped() -> WarpedFeatures:
    """Features of boxes `[N, 4]` as R-CNN has them: each is warped to 64 × 64 pixels, 6 of them context, and the trunk runs on it."""
    return WarpedFeatures(network=CellFeatures(backbone=lite0_trunk().eval(), stride=16, grid=4), size=64, padding=6)


def detector(learnt: nn.ModuleDict, features: nn.Module | None = None) -> RCNN:
    """The detector with what was learnt: `detector(learnt)(pictures)`."""
    parts = {"features": warped() if features is None else features, **learnt}
    return RCNN(proposals=propose, score_threshold=-1.0, **parts).eval()  # −1 is a sure no


def train(
    model: nn.ModuleDict,
    data: str = "shapes",
    *,
    epochs: int,
    seed: int = 0,
    device="auto",
    checkpoint=None,
    progress=None,
    count: int = 500,
    features: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> History:
    """Train in place. The pictures pass once, and nothing is drawn, so there is no second epoch, no checkpoint, and no use for `seed`.

    Args:
        count: how many Shapes pictures there are to learn from.
        features: (picture, boxes) → `[N, F]`; by default `warped()`.

    Raises: ValueError for more epochs, or a checkpoint.
    """
    from tqdm.auto import tqdm

    if epochs != 1 or checkpoint is not None:
        raise ValueError("R-CNN's pictures pass once and nothing goes on from there: train it with 1 epoch and without a checkpoint.")
    device = pick_device(device)
    features = (warped() if features is None else features).to(device)
    pictures, seen = Shapes("train", count=count, size=128, target="instances"), []
    show = watched() if progress is None else progress
    try:
        for number in tqdm(range(count), unit="picture", disable=not show):
            image, target = pictures[number]
            target = {name: target[name].to(device) for name in ("boxes", "labels")}
            seen.append(regions_of(image.to(device), target, proposals=propose(image), features=features))
        model["classifier"] = train_svms(seen, classes=OBJECTS)
        model["regressor"] = train_box_regression(seen, classes=OBJECTS)
    except KeyboardInterrupt:
        return History(interrupted=True)
    return History()


def score(model: nn.ModuleDict, data: str = "shapes", *, device="auto", count: int = UNSEEN) -> float:
    """mAP@0.5 on `count` pictures of Shapes's test split."""
    return mean_average_precision_on(detector(model), Shapes("test", count=count, size=128, target="instances"), device=device)
