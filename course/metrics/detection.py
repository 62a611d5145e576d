"""Average precision of detected boxes and masks, as COCO counts it.

Average precision: M. Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010, section 4.2.
Its mean over IoU thresholds 0.50:0.95, crowds, area ranges, average recall: T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context",
2014, arXiv:1405.0312, and its evaluation code, pycocotools, to which every number here is equal.

Three steps: *match* each detection with an object (`course.metrics.matching`), *rank* the detections of all images by their scores and
count, *interpolate* the precision at 101 recalls (both `course.metrics.ranking`).

Predictions and targets are torchvision's lists of dicts, one an image: `boxes` `[N, 4]` (x1, y1, x2, y2) or `masks` bool `[N, H, W]`,
`labels` `[N]`, for predictions `scores` `[N]`, for targets also `iscrowd` `[N]` and `area` `[N]` (square pixels) where there are any.

Shape letters: N instances, D detections, T thresholds, R area ranges, M limits of detections, K classes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

from course.metrics.instances import read
from course.metrics.ranking import average_precisions, interpolate, judge, precision_and_recall, rank, recalls

COCO_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # 0.50, 0.55, … 0.95, to the last bit those of pycocotools
AREAS = {"all": (0, 1e5**2), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e5**2)}  # square pixels
LIMITS = (1, 10, 100)  # how many detections of a class are looked at in an image


@dataclass(frozen=True)
class PrecisionRecall:
    """How precision falls while recall rises, one class at one threshold: what is right among the first, the first two, … detections.

    Attributes:
        scores: float64 `[D]`, falling.
        right: bool `[D]`, whether the detection found an object that none before it had found.
        precision: float64 `[D]`, the share of the detections so far that are right.
        recall: float64 `[D]`, the share of the objects found so far.
        interpolated: float64 `[101]`, the best precision at a recall of at least 0, 0.01, … 1; 0 where that recall is never reached.
        objects: how many there are to find.
    """

    scores: Tensor
    right: Tensor
    precision: Tensor
    recall: Tensor
    interpolated: Tensor
    objects: int

    @property
    def average_precision(self) -> float:
        """The mean of `interpolated`: the area under the curve. NaN if there is no object to find."""
        return self.interpolated.mean().item()


@dataclass(frozen=True)
class DetectionScores:
    """COCO's twelve numbers, each 0…1 and a mean over classes, or NaN where there is no object to judge by (pycocotools says −1 there).

    Attributes:
        mAP: mean average precision over all thresholds.
        AP50, AP75: at those thresholds alone; NaN when they are not among the thresholds.
        AP_small, AP_medium, AP_large: mAP of objects of up to 32², 32² to 96², and from 96² square pixels on; one of just 32² is both.
        AR1, AR10, AR100: the recall that 1, 10 or 100 detections of a class in an image reach, averaged over the thresholds.
        AR_small, AR_medium, AR_large: AR100 of such objects.
        per_class: mAP of each label that has an object to find.
    """

    mAP: float
    AP50: float
    AP75: float
    AP_small: float
    AP_medium: float
    AP_large: float
    AR1: float
    AR10: float
    AR100: float
    AR_small: float
    AR_medium: float
    AR_large: float
    per_class: Mapping[int, float]

    def __str__(self) -> str:
        numbers = {name: value for name, value in vars(self).items() if name != "per_class"}
        return "\n".join(f"{name:9} {value:.3f}" for name, value in numbers.items())


def average_precision(
    predictions: Sequence[Mapping], targets: Sequence[Mapping], *, label: int, iou_threshold: float = 0.5, kind: str = "boxes"
) -> float:
    """Average precision of one class at one threshold: the area under its curve of precision over recall.

    Arguments, errors: `precision_recall_curve`. NaN if there is no object of the class.
    """
    return precision_recall_curve(predictions, targets, label=label, iou_threshold=iou_threshold, kind=kind).average_precision


def precision_recall_curve(
    predictions: Sequence[Mapping], targets: Sequence[Mapping], *, label: int, iou_threshold: float = 0.5, kind: str = "boxes"
) -> PrecisionRecall:
    """Precision and recall of one class, with a detection more at a time, best first, over all images.

    At most 100 detections an image are looked at. Those that found a crowd are neither right nor wrong and are left out.

    Args:
        predictions, targets: a list of dicts each, one an image (see the module).
        label: the class.
        iou_threshold: the overlap from which on a detection has found the object, above 0, at most 1.
        kind: `"boxes"` or `"masks"`.

    Raises: TypeError or ValueError for lists of different length, dicts without what is needed, tensors that do not fit one another, scores
        or areas that are NaN, or a threshold out of range.
    """
    if isinstance(label, bool) or not isinstance(label, Integral):
        raise TypeError(f"The label is a whole number, the class, not {label!r}.")
    thresholds, areas = _thresholds([iou_threshold]), np.array([AREAS["all"]])
    images = read(predictions, targets, kind)
    ranking = rank((judge(found.best(label, LIMITS[-1]), there.of(label), thresholds, areas) for found, there in images), 1, 1)
    counted = ~ranking.ignored[0, 0]
    scores, right, objects = ranking.scores[counted], ranking.right[0, 0][counted], int(ranking.objects[0])
    precision, recall = precision_and_recall(right, objects)
    interpolated = interpolate(precision, recall) if objects else np.full(101, np.nan)
    columns = (torch.from_numpy(column) for column in (scores, right, precision, recall, interpolated))
    return PrecisionRecall(*columns, objects=objects)


def mean_average_precision(
    predictions: Sequence[Mapping],
    targets: Sequence[Mapping],
    iou_thresholds: float | Sequence[float] = COCO_THRESHOLDS,
    *,
    kind: str = "boxes",
) -> DetectionScores:
    """COCO's twelve numbers: average precision and recall over classes, thresholds and area ranges.

    An object that lies outside an area range is ignored there: who finds it is neither right nor wrong, and so is a detection outside
    the range that finds nothing. An object's area is its `area` where the target has one (COCO: that of the outline, for boxes too),
    else that of its box or mask. Of detections with equal scores the one in the earlier image, then in the earlier row, goes first.

    Args:
        predictions, targets: a list of dicts each, one an image (see the module).
        iou_thresholds: above 0, at most 1.
        kind: `"boxes"` or `"masks"`.

    Raises: TypeError or ValueError, as `precision_recall_curve`.
    """
    thresholds, areas = _thresholds(iou_thresholds), np.array(list(AREAS.values()))
    judged = defaultdict(list)
    for detections, objects in read(predictions, targets, kind):
        for label in {*detections.labels.tolist(), *objects.labels.tolist()}:
            judged[label].append(judge(detections.best(label, LIMITS[-1]), objects.of(label), thresholds, areas))
    rankings = {label: rank(judged[label], len(areas), len(thresholds)) for label in sorted(judged)}
    shape = len(areas), len(thresholds)
    precision = np.array([average_precisions(ranking) for ranking in rankings.values()]).reshape(-1, *shape)  # [K, R, T]
    recall = np.array([recalls(ranking, LIMITS) for ranking in rankings.values()]).reshape(-1, len(LIMITS), *shape)  # [K, M, R, T]
    return _scores(precision, recall, thresholds, list(rankings))


def _scores(precision: np.ndarray, recall: np.ndarray, thresholds: np.ndarray, labels: Sequence[int]) -> DetectionScores:
    """The means over classes of `[K, R, T]` and `[K, M, R, T]`; a class without objects is NaN and counts nowhere."""
    sizes = list(enumerate(AREAS))[1:]  # 0 is "all"
    of_class = precision[:, 0].mean(-1)  # [K]
    return DetectionScores(
        mAP=_mean(precision[:, 0]),
        AP50=_mean(precision[:, 0, np.isclose(thresholds, 0.5)]),
        AP75=_mean(precision[:, 0, np.isclose(thresholds, 0.75)]),
        **{f"AP_{name}": _mean(precision[:, r]) for r, name in sizes},
        **{f"AR{limit}": _mean(recall[:, m, 0]) for m, limit in enumerate(LIMITS)},
        **{f"AR_{name}": _mean(recall[:, -1, r]) for r, name in sizes},
        per_class={label: value for label, value in zip(labels, of_class.tolist(), strict=True) if value == value},
    )


def _mean(values: np.ndarray) -> float:
    """The mean of all that are not NaN; NaN, without a warning, when none is left."""
    return torch.from_numpy(values).nanmean().item()


def _thresholds(given: float | Sequence[float]) -> np.ndarray:
    """float64 `[T]`."""
    given = given.tolist() if isinstance(given, Tensor | np.ndarray) else given
    values = [given] if isinstance(given, Real) else list(given)
    wrong = [value for value in values if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value <= 1]
    if wrong or not values:
        raise ValueError(f"IoU thresholds are numbers above 0, at most 1; got {repr(wrong[0]) if wrong else 'none'}.")
    return np.array(values, dtype=float)
