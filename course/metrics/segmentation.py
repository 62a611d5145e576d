"""How good a segmentation is: over all pixels, and near the boundaries.

Intersection over union: M. Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010, section 4.4.
Error in a band around the boundary (the "trimap" experiment): P. Kohli, L. Ladický and P. Torr, "Robust Higher Order
Potentials for Enforcing Label Consistency", IJCV 2009, section 6; used by P. Krähenbühl and V. Koltun, 2011,
arXiv:1210.5644, figure 3, and by DeepLab, L.-C. Chen et al., 2014, arXiv:1412.7062, figure 5.
Boundary F-score: G. Csurka, D. Larlus and F. Perronnin, "What is a good evaluation measure for semantic segmentation?", BMVC 2013,
doi 10.5244/C.27.32 (the BF measure); F. Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation"
(DAVIS), CVPR 2016 (contour accuracy F).

Predictions and targets are labels, not scores (`logits.argmax(1)`), whole numbers from 0 to K − 1. Pixels whose target is
`void` count nowhere.

Shape letters: N images, H height, W width, K classes.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course.ops.labels import VOID


def confusion_matrix(prediction: Tensor, target: Tensor, classes: int, *, void: int | None = VOID) -> Tensor:
    """How often each class was taken for each.

    Args:
        prediction, target: labels of one shape, any shape.
        classes: K.
        void: the target label to leave out, or None.

    Returns: int64 `[K, K]`; row = target, column = prediction. Matrices of several batches may be added.

    Raises: TypeError or ValueError for labels that are not whole numbers, differ in shape, or lie outside 0…K − 1.
    """
    check_labels(prediction, target)
    if void is not None:
        prediction, target = prediction[target != void], target[target != void]
    for name, labels in (("prediction", prediction), ("target", target)):
        if labels.numel() and not 0 <= labels.min() <= labels.max() < classes:
            wrong = labels[(labels < 0) | (labels >= classes)][0].item()
            raise ValueError(f"The {name} holds the label {wrong}; with {classes} classes, labels run from 0 to {classes - 1}.")
    pairs = target.flatten().long() * classes + prediction.flatten().long()
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)  # [K, K]


def pixel_accuracy(prediction: Tensor, target: Tensor, *, void: int | None = VOID) -> float:
    """The share of right pixels, 0…1; NaN if there is no pixel to judge.

    A large background alone gives a high share: with 95% of it, so does a prediction that finds nothing. `mean_iou` is not fooled.

    Args:
        prediction, target: labels of one shape, any shape.
        void: the target label to leave out, or None.

    Raises: TypeError or ValueError for labels that are not whole numbers or differ in shape.
    """
    check_labels(prediction, target)
    right = prediction == target
    return (right if void is None else right[target != void]).double().mean().item()


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
    check_labels(target, target)
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ValueError(f"The band's width is a whole number of pixels, 1 or more, not {width!r}.")
    _check_maps(target)
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
    check_labels(prediction, target)
    band = boundary_band(target, width, void=void)
    return (prediction != target)[band].double().mean().item()


def boundary_f_score(prediction: Tensor, target: Tensor, tolerance: float, *, void: int | None = VOID) -> float:
    """How well the predicted boundaries lie on the true ones: the harmonic mean of their precision and recall, 0…1.

    For each class, its boundary is those of its pixels that have a pixel of another class above, below, left or right. Precision is the
    share of the predicted boundary that lies within `tolerance` of the true one, recall the share of the true one within `tolerance` of
    the predicted one, F = 2 · precision · recall / (precision + recall). F is averaged over the classes of an image that have a
    boundary in prediction or target (0 where one of them has none), then over the images that have such a class.

    Void is no class: its edge is no boundary, void pixels lie on none, and the prediction counts as void wherever the target is. Where
    every object is ringed by void, as in Pascal VOC, hardly any boundary is left: then look at `boundary_error`.

    Args:
        prediction, target: labels `[H, W]` or `[N, H, W]`.
        tolerance: the largest distance between centres of pixels, in pixels (Euclidean), 0 or more. Csurka et al. take 0.75% of the
            image's diagonal, DAVIS 0.8%.

    Returns: NaN if there is no boundary at all.

    Differs from both papers: what void is, above. Differs from DAVIS: it judges one object at a time, here every class of a map is one.

    Raises: TypeError or ValueError for labels that are not whole numbers, differ in shape or are no maps, or a tolerance below 0.
    """
    check_labels(prediction, target)
    _check_maps(target)
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise ValueError(f"The tolerance is a distance in pixels, 0 or more, not {tolerance!r}.")
    if target.numel() == 0:
        return math.nan
    if void is not None:
        prediction = torch.where(target == void, target, prediction)
    height, width = target.shape[-2:]
    images = zip(prediction.reshape(-1, height, width), target.reshape(-1, height, width), strict=True)  # [H, W] each
    scores = [_boundary_f(p, t, tolerance, void) for p, t in images]
    return torch.tensor(scores, dtype=torch.float64).nanmean().item()


def _boundary_f(prediction: Tensor, target: Tensor, tolerance: float, void: int | None) -> float:
    """The score of one image, `[H, W]`; NaN if it has no boundary."""
    classes = torch.cat([prediction.unique(), target.unique()]).unique()
    classes = classes if void is None else classes[classes != void]
    predicted, true = (_class_boundaries(labels, classes, void) for labels in (prediction, target))  # [K, H, W]
    precision, recall = _share_near(predicted, true, tolerance), _share_near(true, predicted, tolerance)  # [K]
    f_score = torch.where(precision + recall > 0, 2 * precision * recall / (precision + recall), 0.0)
    either = predicted.any(-1).any(-1) | true.any(-1).any(-1)
    return f_score[either].mean().item()


def _class_boundaries(labels: Tensor, classes: Tensor, void: int | None) -> Tensor:
    """Each class's pixels beside a pixel of another class: labels `[H, W]`, classes `[K]` → bool `[K, H, W]`."""
    inside = labels == classes[:, None, None]  # [K, H, W]
    others = ~inside if void is None else ~inside & (labels != void)
    return inside & _dilate(others, 1)


def _share_near(boundary: Tensor, other: Tensor, tolerance: float) -> Tensor:
    """The share of each boundary within `tolerance` of the other: bool `[K, H, W]` twice → float64 `[K]`; 0 where there is none."""
    near = (boundary & _dilate(other, tolerance)).flatten(1).sum(1).double()  # [K]
    return near / boundary.flatten(1).sum(1).clamp(min=1)


def _dilate(masks: Tensor, radius: float) -> Tensor:
    """All pixels within `radius` of one that is set, bool `[K, H, W]`. Radius 1 reaches the four neighbours."""
    if masks.numel() == 0:
        return masks
    reach = min(int(radius), max(masks.shape[1:]))
    offset = torch.arange(-reach, reach + 1, device=masks.device).double()
    disk = ((offset[:, None] ** 2 + offset**2).sqrt() <= radius).float()  # [2 reach + 1, 2 reach + 1]
    counts = F.conv2d(masks[:, None].float(), disk[None, None], padding=reach)[:, 0]  # [K, H, W]
    return counts > 0.5  # they are whole numbers, but for what the GPU's algorithm rounds


def check_labels(prediction: Tensor, target: Tensor) -> None:
    """Raise TypeError or ValueError unless both are tensors of whole numbers, of one shape."""
    for name, labels in (("prediction", prediction), ("target", target)):
        if not isinstance(labels, Tensor):
            raise TypeError(f"The {name} is a tensor of labels, not {type(labels).__name__}.")
        if labels.is_floating_point() or labels.is_complex():
            raise TypeError(f"The {name} holds labels, whole numbers, not {labels.dtype}; scores become labels by argmax over the classes.")
    if prediction.shape != target.shape:
        raise ValueError(f"Prediction and target have one shape; these have {list(prediction.shape)} and {list(target.shape)}.")


def _check_maps(target: Tensor) -> None:
    if target.dim() not in (2, 3):
        raise ValueError(f"Labels have shape [H, W] or [N, H, W]; these have {list(target.shape)}.")
