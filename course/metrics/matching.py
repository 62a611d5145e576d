"""Which detection found which object: overlaps, and the greedy matching of COCO.

T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", 2014, arXiv:1405.0312; the rules for crowds and ignored objects are those of
its evaluation code, pycocotools.

Shape letters: D detections and G objects of one class in one image, T thresholds, R area ranges.
"""

import numpy as np


def overlaps(detections: np.ndarray, objects: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Intersection over union of every detection with every object; over the detection's own area where the object is a crowd.

    A crowd is many objects in one outline. A detection inside it has found one of them, so it is not blamed for the rest.

    Args:
        detections, objects: boxes `[D, 4]` and `[G, 4]`, x1, y1, x2, y2; or arrays of D and G masks, each bool `[H, W]`.
        crowd: bool `[G]`.

    Returns: float64 `[D, G]`.
    """
    shared, found, true = (_shared_pixels if detections.dtype == object else _shared_area)(detections, objects)
    union = np.where(crowd, found[:, None], found[:, None] + true - shared)  # [D, G]
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def _shared_area(detections: np.ndarray, objects: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The areas `[D, G]` that boxes share, and their own, `[D]` and `[G]`."""
    upper_left = np.maximum(detections[:, None, :2], objects[:, :2])  # [D, G, 2]
    lower_right = np.minimum(detections[:, None, 2:], objects[:, 2:])  # [D, G, 2]
    shared = (lower_right - upper_left).clip(min=0).prod(-1)  # [D, G]
    return shared, (detections[:, 2:] - detections[:, :2]).prod(-1), (objects[:, 2:] - objects[:, :2]).prod(-1)


def _shared_pixels(detections: np.ndarray, objects: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers of pixels `[D, G]` that masks share, and their own, `[D]` and `[G]`."""
    found, true = (np.array([np.count_nonzero(mask) for mask in masks], dtype=float) for masks in (detections, objects))
    shared = np.zeros((len(detections), len(objects)))
    for g, mask in enumerate(objects):
        rows = np.flatnonzero(mask.any(1))
        if not len(rows):
            continue
        covered = slice(rows[0], rows[-1] + 1)  # outside the object's own rows nothing can be shared
        for d, detection in enumerate(detections):
            shared[d, g] = np.count_nonzero(detection[covered] & mask[covered])
    return shared, found, true


def match(overlap: np.ndarray, thresholds: np.ndarray, ignored: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Which object each detection found: greedily, one detection after another, the best first.

    A detection takes the object that it overlaps most, if the overlap reaches the threshold and nobody took the object before; a crowd
    can be taken again and again. An object that counts goes before one that is ignored, however large the overlaps. Of objects with
    equal overlaps it takes the last.

    Args:
        overlap: `[D, G]`, detections in the order of their scores.
        thresholds: `[T]`.
        ignored: bool `[R, G]`, objects that do not count in an area range.
        crowd: bool `[G]`.

    Returns: int `[R, T, D]`, the object's number, or −1 for none.
    """
    found = np.full((len(ignored), len(thresholds), len(overlap)), -1)  # [R, T, D]
    reached = overlap[:, None] >= np.minimum(thresholds, 1 - 1e-10)[:, None]  # [D, T, G]
    objects = overlap.shape[1]
    rank = overlap.argsort(1, kind="stable").argsort(1)  # [D, G]; 0 is the smallest overlap, and no two are equal
    preference = rank[:, None] + objects * ~ignored  # [D, R, G]
    free = np.ones((*found.shape[:2], objects), bool)  # [R, T, G]
    for d in np.flatnonzero(reached.any((1, 2))):
        possible = reached[d] & free  # [R, T, G]
        choice = np.where(possible, preference[d][:, None], -1).argmax(-1)  # [R, T]
        hit = possible.any(-1)  # [R, T]
        found[..., d] = np.where(hit, choice, -1)
        free &= crowd | ~hit[..., None] | (np.arange(objects) != choice[..., None])
    return found
