"""Metrics beside pycocotools and scikit-learn, from the same starting point: dense tensors in memory.

pycocotools needs masks as run lengths and boxes as lists of numbers: making them is part of its time, reading tensors part of ours.
"""

import sys
from functools import partial

import torch
from sklearn.metrics import confusion_matrix as sklearn_confusion

from course.metrics import confusion_matrix, mean_average_precision
from tests.bench.table import Row, row_of_times
from tests.parity.pycocotools_peer import KINDS, coco_mini, evaluate, perturbed, targets_of

DETECTIONS = ((100, 10, 1.5), (30, 100, 13.5))  # pictures, about how many detections in each, how many for each object


def measure(quick: bool) -> list[Row]:
    """Times in ms: average precision over the pictures of coco_mini, and a confusion matrix."""
    rows = confusion_rows(quick)
    if coco_mini() is None:
        print("average precision is left out: SEGCOURSE_DATA names no folder with coco_mini", file=sys.stderr)
        return rows
    return precision_rows(quick) + rows


def precision_rows(quick: bool) -> list[Row]:
    all_targets = targets_of(coco_mini(), step=2 if quick else 1)
    rows = []
    for pictures, many, per_object in DETECTIONS:
        targets = all_targets[: 15 if quick else pictures]
        predictions = perturbed(targets, seed=0, per_object=per_object)
        for kind in KINDS:
            ways = {
                "ours": partial(mean_average_precision, predictions, targets, kind=kind),
                "pycocotools": partial(evaluate, predictions, targets, kind),
            }
            rows.append(row_of_times(f"COCO AP, {kind}, {len(targets)} pictures, about {many} detections each, ms", ways, runs=3))
    return rows


def confusion_rows(quick: bool) -> list[Row]:
    draw = torch.Generator().manual_seed(0)
    images, side, classes = 2 if quick else 8, 512, 21
    target, prediction = (torch.randint(0, classes, (images, side, side), generator=draw) for _ in range(2))

    def by_scikit_learn():
        return sklearn_confusion(target.numpy().ravel(), prediction.numpy().ravel(), labels=range(classes))

    ways = {"ours": lambda: confusion_matrix(prediction, target, classes), "scikit-learn": by_scikit_learn}
    return [row_of_times(f"confusion matrix, {images} label maps of {side} × {side}, {classes} classes, ms", ways, runs=3)]
