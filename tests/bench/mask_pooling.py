"""The Mask R-CNN recipe with RoI pooling, with RoIAlign as detectors usually have it, and with the half cell taken off: what each scores.

Same weights at the start, same pictures, same order. Not a race: each row stands for itself. The whole run takes three quarters of an hour
of one core, so it is cut short with `--quick`, where the scores mean little.
"""

import torch

from course.data.shapes import Shapes
from course.evaluation import detections_on
from course.metrics import mean_average_precision
from course.models.feature_pyramid import PyramidPooling
from course.recipes import mask_rcnn as recipe
from tests.bench.table import Row


def half_a_cell_off(size: int) -> PyramidPooling:
    pooling = recipe.aligned(size)
    pooling.aligned = False
    return pooling


POOLINGS = {"RoI pooling": recipe.rounded, "RoIAlign, half a cell off": half_a_cell_off, "RoIAlign, aligned": recipe.aligned}


def measure(quick: bool) -> list[Row]:
    count, epochs, judged = (160, 1, 50) if quick else (3000, 4, 200)
    unseen = Shapes("test", count=judged, size=128, target="instances")
    rows = []
    for name, pooled in POOLINGS.items():
        torch.manual_seed(0)
        model = recipe.build(pooled=pooled)
        recipe.train(model, epochs=epochs, count=count)
        found, there = detections_on(model, unseen)
        boxes, masks = mean_average_precision(found, there), mean_average_precision(recipe.with_cut_masks(found), there, kind="masks")
        values = {"box mAP": boxes.mAP, "mask mAP@0.5": masks.AP50, "mask mAP@0.75": masks.AP75, "mask mAP": masks.mAP}
        rows += [Row(f"{name}, {count} pictures, {epochs} epochs: {what}", value, {}) for what, value in values.items()]
    return rows
