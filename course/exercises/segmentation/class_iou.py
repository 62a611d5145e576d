"""Exercise: intersection over union of each class."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.metrics import class_iou

PROMPT = r"""
From the confusion matrix to one number a class: **intersection over union**, the pixels where both say the class, out of those where
either does.

```text
      said 0  1  2       IoU of class 0: 5 / (5 + 1 + 0 + 2) = 5/8
is 0       5  1  0       both say 0: 5;  0 taken for something else: 1 + 0;  something else taken for 0: 2
is 1       2  3  0       IoU of class 1: 3 / (3 + 2 + 1) = 1/2
is 2       0  0  0       IoU of class 2: neither map has it: NaN
```

$$\text{IoU}_c = \frac{|\text{target}_c \cap \text{prediction}_c|}{|\text{target}_c \cup \text{prediction}_c|}$$

A class that is in neither map has no IoU: NaN, which `0 / 0` gives by itself in floating-point numbers. A class that is in one map only
has 0. Their mean over the classes that occur, `iou.nanmean()`, is the **mean IoU** that papers report.
""".strip()


def _by_sets(confusion: Tensor) -> np.ndarray:
    """The matrix written out pixel by pixel again, and each class's pixels compared as sets."""
    counts, classes = confusion.long().numpy().ravel(), len(confusion)
    target, prediction = (np.repeat(labels.ravel(), counts) for labels in np.indices((classes, classes)))
    iou = np.full(classes, np.nan, np.float32)
    for label in range(classes):
        in_target, in_prediction = set(np.flatnonzero(target == label)), set(np.flatnonzero(prediction == label))
        if in_target | in_prediction:
            iou[label] = len(in_target & in_prediction) / len(in_target | in_prediction)
    return iou


def _matrix(draw: torch.Generator, classes: int, most: int = 10) -> Tensor:
    """Counts without 0, the diagonal larger; row and column sums differ."""
    counts = torch.randint(1, most, (classes, classes), generator=draw) + torch.arange(classes)
    return counts + torch.diag(torch.randint(most, 3 * most, (classes,), generator=draw))


def _without(confusion: Tensor, rows: int | None = None, columns: int | None = None) -> Tensor:
    confusion = confusion.clone()
    if rows is not None:
        confusion[rows] = 0
    if columns is not None:
        confusion[:, columns] = 0
    return confusion


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)
    label = whole(draw, 0, 4)
    yield Case("two classes", {"confusion": _matrix(draw, 2)})
    yield Case("three classes", {"confusion": _matrix(draw, 3)})
    yield Case("a class in neither map", {"confusion": _without(_matrix(draw, 4), label, label)})
    yield Case("a class that was never predicted", {"confusion": _without(_matrix(draw, 4), columns=label)})
    yield Case("a class that is not there", {"confusion": _without(_matrix(draw, 4), rows=label)})
    yield Case("twenty-one classes", {"confusion": _matrix(draw, 21, most=40)})
    yield Case("int32", {"confusion": _matrix(draw, 3, most=200).int()})
    yield Case("all wrong", {"confusion": _matrix(draw, 3) * (1 - torch.eye(3, dtype=torch.int64))})
    yield Case("one class", {"confusion": _matrix(draw, 1)})


def _parts(confusion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each class: both, in the target, in the prediction."""
    return confusion.diagonal().float(), confusion.sum(1).float(), confusion.sum(0).float()


def _recall(confusion):
    both, true, _ = _parts(confusion)
    return both / true


def _precision(confusion):
    both, _, said = _parts(confusion)
    return both / said


def _counted_twice(confusion):
    both, true, said = _parts(confusion)
    return both / (true + said)


def _dice(confusion):
    both, true, said = _parts(confusion)
    return 2 * both / (true + said)


def _taken_off_twice(confusion):
    both, true, said = _parts(confusion)
    return both / (true + said - 2 * both)


def _with_negatives(confusion):
    both, true, said = _parts(confusion)
    return (confusion.sum() - (true + said - 2 * both)) / confusion.sum()


def _out_of_all(confusion):
    return _parts(confusion)[0] / confusion.sum()


def _absent_is(value):
    def class_iou_with_a_number_for_nan(confusion):
        both, true, said = _parts(confusion)
        return (both / (true + said - both)).nan_to_num(nan=value)

    return class_iou_with_a_number_for_nan


def _mean_at_once(confusion):
    both, true, said = _parts(confusion)
    return (both / (true + said - both)).nanmean()


def _without_background(confusion):
    both, true, said = _parts(confusion)
    return (both / (true + said - both))[1:]


def _whole_division(confusion):
    both, true, said = _parts(confusion)
    return both.long() // (true + said - both).long()


CLASS_IOU = Exercise(
    prompt=PROMPT,
    solution=class_iou,
    reference=_by_sets,
    reference_name="the matrix written out pixel by pixel, and Python's sets",
    cases=_cases,
    docstring="""Intersection over union of each class, floats [K]; NaN for a class that is in neither map.

Args:
    confusion: whole numbers [K, K], row = target, column = prediction.""",
    common_mistakes=(
        Mistake(
            "recall",
            _recall,
            "This is what happens when the intersection is divided by the target's pixels alone: that is recall. It forgives a model that "
            "says the class everywhere.",
        ),
        Mistake(
            "precision",
            _precision,
            "This is what happens when the intersection is divided by the predicted pixels alone: that is precision. It forgives a model "
            "that misses most of the class.",
        ),
        Mistake(
            "intersection counted twice",
            _counted_twice,
            "This is what happens when the union is row sum + column sum: both hold the intersection, so it is in there twice. Take it "
            "off once.",
        ),
        Mistake(
            "Dice",
            _dice,
            "This is what happens when twice the intersection is divided by row sum + column sum: that is the Dice score, or F1. It is "
            "larger than the IoU wherever something is wrong.",
        ),
        Mistake(
            "intersection taken off twice",
            _taken_off_twice,
            "This is what happens when the intersection is taken off the union altogether. It is in the row sum and in the column sum; "
            "take it off once, and it stays in once.",
        ),
        Mistake(
            "right pixels of other classes",
            _with_negatives,
            "This is what happens when pixels that both say are something else count as right: that is an accuracy. For a small class, it "
            "is close to 1 whatever the model does.",
        ),
        Mistake(
            "out of all pixels",
            _out_of_all,
            "This is what happens when the intersection is divided by all pixels. Divide by those that either map gives to the class.",
        ),
        Mistake(
            "absent is 0",
            _absent_is(0.0),
            "This is what happens when a class that is in neither map gets 0, and pulls the mean down for an object that was not there. "
            "Let it be NaN.",
        ),
        Mistake(
            "absent is 1",
            _absent_is(1.0),
            "This is what happens when a class that is in neither map gets 1, and lifts the mean for free. Let it be NaN.",
        ),
        Mistake(
            "the mean",
            _mean_at_once,
            "This is what happens when the mean over the classes is returned. Return one number a class: which class is bad is what one "
            "wants to know.",
        ),
        Mistake(
            "without the background",
            _without_background,
            "This is what happens when class 0 is left out. The background is a class here, and is judged like the others.",
        ),
        Mistake(
            "whole division",
            _whole_division,
            "This is what happens when // divides: it drops everything behind the point. Use /.",
            error="ZeroDivisionError",
        ),
    ),
)
