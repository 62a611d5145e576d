"""From matches to a curve: judge each detection, rank those of all images, count, interpolate.

Sources: `course.metrics.detection`.

Shape letters: D detections and G objects of one class, T thresholds, R area ranges.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from course.metrics.instances import Detections, Objects
from course.metrics.matching import match, overlaps

RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Ranking:
    """Detections of one class, of one image or of all, and what became of each.

    Attributes:
        scores: `[D]`.
        places: `[D]`, how many detections of the same image stand before it.
        right: bool `[R, T, D]`, whether it found an object that counts.
        ignored: bool `[R, T, D]`, whether it is neither right nor wrong.
        objects: `[R]`, how many objects there are to find.
    """

    scores: np.ndarray
    places: np.ndarray
    right: np.ndarray
    ignored: np.ndarray
    objects: np.ndarray


def judge(detections: Detections, objects: Objects, thresholds: np.ndarray, areas: np.ndarray) -> Ranking:
    """What became of each detection of one class in one image.

    Crowds, and objects outside an area range, are ignored: who finds one is neither right nor wrong. Nor is a detection outside the
    range that finds nothing.

    Args:
        detections: best first.
        thresholds: `[T]`.
        areas: `[R, 2]`, the least and the largest area of each range.
    """
    count = len(detections.scores)
    ignored_objects = objects.crowd | _outside(objects.areas, areas)  # [R, G]
    overlap = overlaps(detections.shapes, objects.shapes, objects.crowd)  # [D, G]
    found = match(overlap, thresholds, ignored_objects, objects.crowd)  # [R, T, D]
    hit = found >= 0
    ranges = np.arange(len(areas))
    on_ignored = np.column_stack([ignored_objects, ranges < 0])[
        ranges[:, None, None], found
    ]  # [R, T, D]; −1, nothing, reads the last column
    ignored = np.where(hit, on_ignored, _outside(detections.areas, areas)[:, None])
    return Ranking(detections.scores, np.arange(count), hit & ~ignored, ignored, (~ignored_objects).sum(1))


def rank(images: Iterable[Ranking], ranges: int, thresholds: int) -> Ranking:
    """The detections of all images, best first. Of equal scores the earlier image, then the earlier detection, goes first."""
    flags = np.zeros((ranges, thresholds, 0), bool)
    images = [Ranking(np.zeros(0), np.zeros(0, int), flags, flags, np.zeros(ranges, int)), *images]
    scores, places, right, ignored = (
        np.concatenate([getattr(image, name) for image in images], axis=-1) for name in ("scores", "places", "right", "ignored")
    )
    order = np.argsort(-scores, kind="stable")
    objects = np.sum([image.objects for image in images], axis=0)
    return Ranking(scores[order], places[order], right[..., order], ignored[..., order], objects)


def precision_and_recall(right: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the first, the first two, … detections: the share that is right, and the share of the objects that they found.

    Args:
        right: bool `[D]`, best first.
        objects: how many there are to find; with none of them, recall is NaN.

    Returns: precision and recall, float64 `[D]` each.
    """
    hits = right.cumsum()
    return hits / np.arange(1, len(right) + 1), hits / (objects or np.nan)


def interpolate(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """The best precision at a recall of at least 0, 0.01, … 1, as if one could choose where to stop; 0 where no detection gets there.

    Args:
        precision, recall: `[D]` each; recall rises.

    Returns: `[101]`.
    """
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]  # [D]
    return np.append(best_from_here, 0.0)[np.searchsorted(recall, RECALLS)]


def average_precisions(ranking: Ranking) -> np.ndarray:
    """The area under the interpolated curve of each area range and threshold, `[R, T]`; NaN where there is no object to find."""
    ranges, thresholds = ranking.right.shape[:2]
    areas = np.full((ranges, thresholds), np.nan)
    for r in np.flatnonzero(ranking.objects):
        for t in range(thresholds):
            right = ranking.right[r, t][~ranking.ignored[r, t]]
            areas[r, t] = interpolate(*precision_and_recall(right, ranking.objects[r])).mean()
    return areas


def recalls(ranking: Ranking, limits: Iterable[int]) -> np.ndarray:
    """The share of the objects that the first detections of each image found, `[M, R, T]` for M limits; NaN where there is none."""
    objects = np.where(ranking.objects, ranking.objects, np.nan)[:, None]  # [R, 1]
    return np.stack([ranking.right[..., ranking.places < limit].sum(-1) / objects for limit in limits])


def _outside(values: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """bool `[R, N]`; both ends belong to a range."""
    return (values < areas[:, :1]) | (values > areas[:, 1:])
