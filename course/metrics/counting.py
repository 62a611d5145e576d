"""How many objects of each class are counted, and how many there are.

What a detector is for where the number is the answer, such as a blood count. It says nothing of where the objects are: a cell that is
missed and a cell that is made up cancel out within a picture, and of the totals even in different pictures. Read it beside
`mean_average_precision`.

Shape letters: N instances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from course.metrics.instances import read


@dataclass(frozen=True)
class Count:
    """One class, over all images.

    Attributes:
        counted: how many detections there are.
        annotated: how many objects there are.
        mean_absolute_error: the mean over the images of |counted − annotated|, in objects an image; NaN without images.
    """

    counted: int
    annotated: int
    mean_absolute_error: float


def count_objects(
    predictions: Sequence[Mapping], targets: Sequence[Mapping], classes: Sequence[str], *, score_threshold: float = 0.5
) -> dict[str, Count]:
    """Count the detections and the objects of each class.

    Args:
        predictions, targets: torchvision's lists of dicts, one an image: `boxes` `[N, 4]`, `labels` `[N]`, for predictions `scores` `[N]`.
            An object with `iscrowd` is a group of which nobody knows how many they are: it is not counted.
        classes: names, the background first; a label is the place of its name.
        score_threshold: a detection counts if its score is at least this. What is chosen on the pictures that are counted flatters.

    Returns: {name: Count} of all classes but the background, in their order.

    Raises: TypeError or ValueError as `mean_average_precision`, or for a label that is no object's class, or a threshold of NaN.
    """
    if not score_threshold == score_threshold:
        raise ValueError("score_threshold is a number, not NaN.")
    images = list(read(predictions, targets, "boxes"))
    counted = np.zeros((len(images), len(classes)), np.int64)
    annotated = np.zeros_like(counted)
    for image, (found, there) in enumerate(images):
        kept = found.scores.astype(np.float32) >= np.float32(score_threshold)  # as detectors score: their 0.7 is no double's 0.7
        counted[image] = _by_class(found.labels[kept], classes, f"The prediction of image {image}")
        annotated[image] = _by_class(there.labels[~there.crowd], classes, f"The target of image {image}")
    errors = np.abs(counted - annotated).mean(0) if images else np.full(len(classes), np.nan)
    rows = zip(classes, counted.sum(0).tolist(), annotated.sum(0).tolist(), errors.tolist(), strict=True)
    return {name: Count(*numbers) for name, *numbers in list(rows)[1:]}


def _by_class(labels: np.ndarray, classes: Sequence[str], whose: str) -> np.ndarray:
    """How many there are of each label: `[K]`."""
    wrong = labels[(labels < 1) | (labels >= len(classes))]
    if len(wrong):
        raise ValueError(f"{whose} has the label {wrong[0]}; accepted are 1 to {len(classes) - 1}, which are {', '.join(classes[1:])}.")
    return np.bincount(labels, minlength=len(classes))
