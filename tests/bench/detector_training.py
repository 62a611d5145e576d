"""The Faster R-CNN recipe, ours and torchvision's class on the same trunk, pictures and schedule: what they score, and how long.

The whole run takes about half an hour on two cores, so it is cut short with `--quick`, where the scores mean little.
"""

import copy
import time

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from course.data.shapes import CLASSES, Shapes
from course.evaluation import detections_on
from course.metrics import mean_average_precision
from course.recipes import faster_rcnn as recipe
from tests.bench.table import Row

SIZE = recipe.SIZE["shapes"]


class Theirs(nn.Module):
    """torchvision's FasterRCNN on our pyramid, with the numbers of our recipe."""

    def __init__(self, ours: nn.Module):
        super().__init__()
        sizes, pool = recipe.ANCHORS["shapes"], ours.head.pool
        self.model = FasterRCNN(
            NamedLevels(copy.deepcopy(ours.backbone)),
            num_classes=None,
            min_size=SIZE,
            max_size=SIZE,
            image_mean=[0.0] * 3,
            image_std=[1.0] * 3,
            rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
            rpn_pre_nms_top_n_train=ours.rpn.pre_nms[0],
            rpn_pre_nms_top_n_test=ours.rpn.pre_nms[1],
            rpn_post_nms_top_n_train=ours.rpn.post_nms[0],
            rpn_post_nms_top_n_test=ours.rpn.post_nms[1],
            rpn_batch_size_per_image=ours.rpn.drawn,
            box_roi_pool=MultiScaleRoIAlign(["8", "16"], 7, 2, canonical_scale=pool.canonical_size, canonical_level=pool.canonical_level),
            box_head=copy.deepcopy(ours.head.layers),
            box_predictor=Predictor(96, len(CLASSES)),
            box_batch_size_per_image=ours.head.drawn,
        )

    def losses(self, images, targets):
        return self.model(list(images), targets)

    def forward(self, images):
        return self.model(list(images))


class NamedLevels(nn.Module):
    """A pyramid whose levels have the names that torchvision wants."""

    def __init__(self, pyramid: nn.Module):
        super().__init__()
        self.pyramid, self.out_channels = pyramid, recipe.WIDTH

    def forward(self, images):
        return {str(name): level for name, level in self.pyramid(images).items()}


class Predictor(nn.Module):
    def __init__(self, features: int, classes: int):
        super().__init__()
        self.classes, self.deltas = nn.Linear(features, classes), nn.Linear(features, 4 * classes)

    def forward(self, x):
        return self.classes(x), self.deltas(x)


def measure(quick: bool) -> list[Row]:
    count, epochs, judged = (160, 1, 50) if quick else (3000, recipe.DATA["shapes"].epochs, 500)
    unseen = Shapes("test", count=judged, size=SIZE, target="instances")
    torch.manual_seed(0)
    ours = recipe.build("shapes")
    found = {name: trained(model, count, epochs, unseen) for name, model in (("ours", ours), ("torchvision", Theirs(ours)))}
    title = f"faster_rcnn recipe, {count} pictures, {epochs} epochs: "
    return [
        Row(title + name, found["ours"][i], {"torchvision": found["torchvision"][i]})
        for i, name in enumerate(("processor seconds", "mAP@0.5 on unseen pictures", "mAP on unseen pictures"))
    ]


def trained(model: nn.Module, count: int, epochs: int, unseen: Shapes) -> tuple[float, float, float]:
    """Processor seconds of the training, and mAP@0.5 and mAP after it."""
    start = time.process_time()
    recipe.train(model, "shapes", epochs=epochs, count=count)
    seconds = time.process_time() - start
    scores = mean_average_precision(*detections_on(model, unseen))
    return seconds, scores.AP50, scores.mAP
