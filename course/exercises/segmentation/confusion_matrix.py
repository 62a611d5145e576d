"""Exercise: the confusion matrix of a label map."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.metrics import confusion_matrix

PROMPT = r"""
Count **how often each class was taken for each**: row = what is there, column = what was said.

```text
target        prediction           said 0  1
 0  0  1       0  1  1        is 0      2  1
 0  1  v       0  1  0        is 1      0  2      (v: void, counted nowhere)
```

Whoever drew the target left some pixels open: at the border of an object, or where it was too small to tell. They hold the label `void`
(255 unless told otherwise) and count nowhere, whatever was predicted there. With `void=None` every pixel counts.

`prediction` and `target` have one shape, whatever it is. `classes` is K; labels run from 0 to K − 1, and a class that occurs nowhere has a
row and a column of zeros. The matrix is int64 `[K, K]`.

All other numbers in this lesson follow from this matrix. Matrices of several batches may simply be added, which is how a whole data set
is judged.
""".strip()


def _by_histogram(prediction: Tensor, target: Tensor, classes: int, void: int | None = 255) -> np.ndarray:
    kept = np.ones(target.shape, bool) if void is None else target.numpy() != void
    edges = np.arange(classes + 1) - 0.5
    counts, _, _ = np.histogram2d(target.numpy()[kept], prediction.numpy()[kept], bins=[edges, edges])
    return counts.astype(np.int64)


def _maps(draw: torch.Generator, shape: tuple[int, ...], classes: int, void: int = 0) -> dict[str, Tensor | int]:
    """Labels that are right more often than not, with a number of void pixels in the target; each class is taken for a larger one more
    often than for a smaller one, so that no matrix is its own transpose."""
    target = torch.randint(0, classes, shape, generator=draw)
    wrong = (target + torch.randint(0, 2, shape, generator=draw)).clamp(max=classes - 1)
    prediction = torch.where(torch.rand(shape, generator=draw) < 0.8, wrong, torch.randint(0, classes, shape, generator=draw))
    target.view(-1)[torch.randperm(target.numel(), generator=draw)[:void]] = 255
    return {"prediction": prediction, "target": target, "classes": classes}


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)
    places = torch.randperm(6, generator=draw)
    small = {"prediction": torch.tensor([0, 0, 0, 1, 1, 1]), "target": torch.tensor([0, 0, 0, 0, 0, 1])}
    yield Case("six pixels, two classes", {name: labels[places].reshape(2, 3) for name, labels in small.items()} | {"classes": 2})
    yield Case("a class that occurs nowhere", _maps(draw, (3, 5), 3) | {"classes": 5})
    yield Case("void pixels", _maps(draw, (3, 5), 2, void=4))
    yield Case("four classes and void", _maps(draw, (8, 9), 4, void=10))
    yield Case("two images", _maps(draw, (2, 5, 6), 3, void=3))
    yield Case("background left out: void=0", _maps(draw, (4, 6), 3) | {"void": 0})
    yield Case("nothing left out: void=None", _maps(draw, (5, 4), 3) | {"void": None})
    many = _maps(draw, (12, 20), 21, void=5)
    yield Case("labels as files hold them: uint8", many | {name: many[name].to(torch.uint8) for name in ("prediction", "target")})
    yield Case("twenty-one classes", _maps(draw, (whole(draw, 20, 30), 40), 21, void=7))
    yield Case("nothing but void", _maps(draw, (2, 3), 2, void=6))


def _counted(prediction: Tensor, target: Tensor, classes: int, void: int | None) -> Tensor:
    kept = torch.ones_like(target, dtype=torch.bool) if void is None else target != void
    pairs = target[kept].long() * classes + prediction[kept].long()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _transposed(prediction, target, classes, void=255):
    return _counted(prediction, target, classes, void).T


def _void_not_left_out(prediction, target, classes, void=255):
    return torch.bincount(target.flatten().long() * classes + prediction.flatten().long(), minlength=classes**2).reshape(classes, classes)


def _void_is_background(prediction, target, classes, void=255):
    return _counted(prediction, target if void is None else torch.where(target == void, 0, target), classes, None)


def _always_255(prediction, target, classes, void=255):
    return _counted(prediction, target, classes, 255)


def _pairs_once(prediction, target, classes, void=255):
    return _counted(prediction, target, classes, void).clamp(max=1)


def _only_right(prediction, target, classes, void=255):
    return _counted(prediction, target, classes, void).diagonal().diag()


def _shares(prediction, target, classes, void=255):
    counts = _counted(prediction, target, classes, void).float()
    return counts / counts.sum(1, keepdim=True).clamp(min=1)


def _shares_of_all(prediction, target, classes, void=255):
    counts = _counted(prediction, target, classes, void)
    return counts / counts.sum()


def _as_many_as_occur(prediction, target, classes, void=255):
    kept = torch.ones_like(target, dtype=torch.bool) if void is None else target != void
    largest = torch.cat([prediction[kept], target[kept]]).max().item() + 1 if kept.any() else 0
    return _counted(prediction, target, largest, void)


def _first_image(prediction, target, classes, void=255):
    return _counted(prediction[:1], target[:1], classes, void) if target.dim() > 2 else _counted(prediction, target, classes, void)


def _overflow(prediction, target, classes, void=255):
    kept = torch.ones_like(target, dtype=torch.bool) if void is None else target != void
    pairs = target[kept] * classes + prediction[kept]  # of uint8 labels, uint8 again
    return torch.bincount(pairs.long(), minlength=classes**2).reshape(classes, classes)


CONFUSION_MATRIX = Exercise(
    prompt=PROMPT,
    solution=confusion_matrix,
    reference=_by_histogram,
    reference_name="numpy.histogram2d of the pixels that are not void",
    cases=_cases,
    tolerance=0.0,
    docstring="""How often each class was taken for each, int64 [K, K]: row = target, column = prediction.

Args:
    prediction, target: labels of one shape, any shape.
    classes: K.
    void: the target label to leave out, or None.""",
    common_mistakes=(
        Mistake(
            "rows and columns swapped",
            _transposed,
            "This is what happens when the row is the prediction. The row is what is there, the target; the column is what was said.",
        ),
        Mistake(
            "void not left out",
            _void_not_left_out,
            "This is what happens when void pixels are counted: their label is 255, and there is no such row. Leave those pixels out of "
            "both maps first: kept = target != void.",
            error=r"out of (bounds|range)|invalid for input of size",
        ),
        Mistake(
            "void taken for background",
            _void_is_background,
            "This is what happens when void pixels count as class 0. They count nowhere, whatever was predicted there.",
        ),
        Mistake(
            "always 255",
            _always_255,
            "This is what happens when 255 is left out whatever void says. Compare with void; None leaves nothing out.",
        ),
        Mistake(
            "each pair once",
            _pairs_once,
            "This is what happens when matrix[target, prediction] += 1 is written for all pixels at once: a cell that is named several "
            "times is still raised by 1 only once. Use torch.bincount, or index_put_ with accumulate=True.",
        ),
        Mistake(
            "only the right ones",
            _only_right,
            "This is what happens when only right pixels are counted. The cells beside the diagonal say what was taken for what.",
        ),
        Mistake(
            "shares of a row",
            _shares,
            "This is what happens when each row is divided by its sum. Return counts: they can be added up over batches, shares cannot.",
        ),
        Mistake(
            "shares of all pixels",
            _shares_of_all,
            "This is what happens when counts are divided by their number. Return counts: they can be added up over batches, shares "
            "cannot.",
        ),
        Mistake(
            "as many classes as occur",
            _as_many_as_occur,
            "This is what happens when the matrix is as large as the labels that occur. It is always [classes, classes], so that matrices "
            "of several batches can be added: minlength of torch.bincount.",
        ),
        Mistake(
            "only the first image",
            _first_image,
            "This is what happens when only the first image of a batch is counted. All pixels count, whatever the shape.",
        ),
        Mistake(
            "overflow",
            _overflow,
            "This is what happens when target * classes + prediction is computed in uint8, in which 13 * 21 is 17. Files hold uint8 "
            "labels: make them .long() first.",
        ),
    ),
)
