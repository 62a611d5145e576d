"""How good a segmentation is: over all pixels, and near the boundaries.

Intersection over union: M. Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010, section 4.4.
Error in a band around the boundary (the "trimap" experiment): P. Kohli, L. Ladický and P. Torr, "Robust Higher Order
Potentials for Enforcing Label Consistency", IJCV 2009, section 6; used by P. Krähenbühl and V. Koltun, 2011,
arXiv:1210.5644, figure 3, and by DeepLab, L.-C. Chen et al., 2014, arXiv:1412.7062, figure 5.

Predictions and targets are labels, not scores (`logits.argmax(1)`), whole numbers from 0 to K − 1. Pixels whose target is
`void` count nowhere.

Shape letters: N images, H height, W width, K classes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

VOID = 255  # as in Pascal VOC


def confusion_matrix(prediction: Tensor, target: Tensor, classes: int, *, void: int | None = VOID) -> Tensor:
    """How often each class was taken for each.

    Args:
        prediction, target: labels of one shape, any shape.
        classes: K.
        void: the target label to leave out, or None.

    Returns: int64 `[K, K]`; row = target, column = prediction. Matrices of several batches may be added.

    Raises: TypeError or ValueError for labels that are not whole numbers, differ in shape, or lie outside 0…K − 1.
    """
    _check_labels(prediction, target)
    if void is not None:
        prediction, target = prediction[target != void], target[target != void]
    for name, labels in (("prediction", prediction), ("target", target)):
        if labels.numel() and not 0 <= labels.min() <= labels.max() < classes:
            wrong = labels[(labels < 0) | (labels >= classes)][0].item()
            raise ValueError(f"The {name} holds the label {wrong}; with {classes} classes, labels run from 0 to {classes - 1}.")
    pairs = target.flatten().long() * classes + prediction.flatten().long()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)  # [K, K]


def class_iou(confusion: Tensor) -> Tensor:
    """Intersection over union of each class, |target ∧ prediction| / |target ∨ prediction|.

    Args:
        confusion: `[K, K]` from `confusion_matrix`.

    Returns: float64 `[K]`; NaN for a class that is in neither.
    """
    both = confusion.diagonal().double()  # [K]
    either = confusion.sum(0) + confusion.sum(1) - both  # [K]
    return both / either


def mean_iou(prediction: Tensor, target: Tensor, classes: int, *, void: int | None = VOID) -> float:
    """Mean of `class_iou` over the classes that occur in prediction or target; NaN if there is no pixel to judge.

    Counted over all pixels given, as Pascal VOC does, not image by image. Arguments and errors: `confusion_matrix`.
    """
    return class_iou(confusion_matrix(prediction, target, classes, void=void)).nanmean().item()


def boundary_band(target: Tensor, width: int, *, void: int | None = VOID) -> Tensor:
    """The pixels within `width` pixels of a true boundary: those with another class in the square of side 2·width + 1 around them.

    So width 1 is one pixel on either side of the boundary (corners included): the distance is max(|Δx|, |Δy|). Void is no class:
    its edge is no boundary, and void pixels are in no band.

    Args:
        target: labels `[H, W]` or `[N, H, W]`.
        width: 1 or more, in pixels.

    Returns: bool, the shape of `target`.
    """
    _check_labels(target, target)
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ValueError(f"The band's width is a whole number of pixels, 1 or more, not {width!r}.")
    if target.dim() not in (2, 3):
        raise ValueError(f"Labels have shape [H, W] or [N, H, W]; these have {list(target.shape)}.")
    if target.numel() == 0:
        return torch.zeros_like(target, dtype=torch.bool)
    kept = torch.ones_like(target, dtype=torch.bool) if void is None else target != void
    labels = target.reshape(-1, 1, *target.shape[-2:]).double()  # [N, 1, H, W]
    missing = ~kept.reshape(labels.shape)
    # A window holds two classes exactly when its largest label is not its smallest. Void must be neither.
    largest = F.max_pool2d(labels.masked_fill(missing, -torch.inf), 2 * width + 1, stride=1, padding=width)
    smallest = -F.max_pool2d((-labels).masked_fill(missing, -torch.inf), 2 * width + 1, stride=1, padding=width)
    return (largest != smallest).reshape(target.shape) & kept


def boundary_error(prediction: Tensor, target: Tensor, width: int, *, void: int | None = VOID) -> float:
    """The share of wrong pixels among those within `width` pixels of a true boundary (see `boundary_band`), 0…1.

    Drawn over the width, it tells a model that is wrong at the edges (high for narrow bands, then falling) from one that is wrong
    everywhere (flat). Over a batch all bands are counted together. NaN if the target has no boundary.

    Args:
        prediction, target: labels `[H, W]` or `[N, H, W]`.
        width: 1 or more, in pixels.

    Raises: TypeError or ValueError for labels that are not whole numbers or differ in shape, or a width below 1.
    """
    _check_labels(prediction, target)
    band = boundary_band(target, width, void=void)
    return (prediction != target)[band].double().mean().item()


def _check_labels(prediction: Tensor, target: Tensor) -> None:
    for name, labels in (("prediction", prediction), ("target", target)):
        if not isinstance(labels, Tensor):
            raise TypeError(f"The {name} is a tensor of labels, not {type(labels).__name__}.")
        if labels.is_floating_point() or labels.is_complex():
            raise TypeError(f"The {name} holds labels, whole numbers, not {labels.dtype}; scores become labels by argmax over the classes.")
    if prediction.shape != target.shape:
        raise ValueError(f"Prediction and target have one shape; these have {list(prediction.shape)} and {list(target.shape)}.")
