"""Average precision from detections that are judged already: the whole area under the curve, as VOC counts it since 2010.

M. Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective", IJCV 2015, section 4.3.

Differs from `course.metrics.average_precision`, which is COCO's: that takes the mean of the same curve at 101 recalls. The two never
differ by more than 0.01.

Shape letters: D detections.
"""

import torch
from torch import Tensor


def precision_recall_area(scores: Tensor, right: Tensor, objects: int) -> float:
    """The area under precision over recall of one class, with the best precision at this recall or a higher one.

    Each right detection is a step of 1 / objects to the right. Of detections with equal scores the one that stands first goes first.

    Args:
        scores: `[D]`, in any order.
        right: bool `[D]`, whether the detection found an object that no better one had found.
        objects: how many there are to find, at least 1 and at least as many as are found.

    Returns: from 0, also without detections, to 1. Raises: ValueError for rows of different length, or too few objects.
    """
    if scores.dim() != 1 or scores.shape != right.shape:
        raise ValueError(
            f"A score and a verdict for each detection are needed, [D] both; got {list(scores.shape)} and {list(right.shape)}."
        )
    if objects < max(1, int(right.sum())):
        raise ValueError(f"There must be at least one object, and as many as are found, {int(right.sum())}; got objects={objects}.")
    right = right[scores.argsort(descending=True, stable=True)]  # [D], best first
    precision = right.cumsum(0).double() / torch.arange(1, len(right) + 1, device=right.device)  # [D]
    best_from_here = precision.flip(0).cummax(0).values.flip(0)  # [D]
    return (best_from_here * right).sum().item() / objects
