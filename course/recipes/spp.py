"""SPP-net on generated shapes: R-CNN's SVMs and least squares, on regions pooled from one map of the whole picture.

Differs from the recipe of R-CNN, course.recipes.rcnn, in the features only. Differs from the paper (K. He, X. Zhang, S. Ren and J. Sun,
2014, arXiv:1406.4729): no layers behind the pyramid; the picture is enlarged to 256 pixels, so that the map has 16 × 16 cells.
"""

from torch import nn

from course.data.shapes import Shapes
from course.evaluation import mean_average_precision_on
from course.models.backbones import efficientnet_lite0
from course.models.rcnn import RCNN
from course.models.spp import PyramidFeatures
from course.models.stages import lite0_trunk
from course.recipes import Plan, rcnn
from course.training import History

LEVELS = (4, 2, 1)
DATA = {"shapes": Plan(epochs=1, metric=rcnn.METRIC, trained_on=rcnn.DATA["shapes"].trained_on, licence="Apache-2.0")}


def build(data: str = "shapes") -> nn.ModuleDict:
    """What is to be learnt, as `course.recipes.rcnn.build` makes it."""
    return rcnn.build(data, features=112 * sum(n * n for n in LEVELS))


def pooled() -> PyramidFeatures:
    """Features of boxes `[N, 4]` as SPP-net has them: the trunk runs once, and each box's cells are pooled."""
    centre = efficientnet_lite0().receptive_field(16).centre
    return PyramidFeatures(backbone=lite0_trunk().eval(), stride=16, centre=centre, levels=LEVELS, shorter_side=256)


def detector(learnt: nn.ModuleDict) -> RCNN:
    """The detector with what was learnt: `detector(learnt)(pictures)`."""
    return rcnn.detector(learnt, pooled())


def train(model: nn.ModuleDict, data: str = "shapes", **options) -> History:
    """As `course.recipes.rcnn.train`."""
    return rcnn.train(model, data, features=pooled(), **options)


def score(model: nn.ModuleDict, data: str = "shapes", *, device="auto", count: int = rcnn.UNSEEN) -> float:
    """mAP@0.5 on `count` pictures of Shapes's test split."""
    return mean_average_precision_on(detector(model), Shapes("test", count=count, size=128, target="instances"), device=device)
