"""What the detection metrics read: torchvision's dicts, checked once, then NumPy arrays on the CPU.

Matching goes from detection to detection, which no GPU speeds up; so everything, masks too, comes over once, wherever it was.

Shape letters: N instances of one image, H height, W width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

KINDS = ("boxes", "masks")


@dataclass(frozen=True)
class Detections:
    """What was found in one image: labels `[N]`, scores `[N]`, areas `[N]`, shapes (boxes `[N, 4]`, or N masks `[H, W]`)."""

    labels: np.ndarray
    shapes: np.ndarray
    areas: np.ndarray
    scores: np.ndarray

    def best(self, label: int, count: int) -> "Detections":
        """The `count` best of a class, best first; of equal scores the earlier one first."""
        rows = np.flatnonzero(self.labels == label)
        rows = rows[np.argsort(-self.scores[rows], kind="stable")[:count]]
        return Detections(self.labels[rows], self.shapes[rows], self.areas[rows], self.scores[rows])


@dataclass(frozen=True)
class Objects:
    """What is in one image: labels `[N]`, areas `[N]`, crowd `[N]` bool, shapes (boxes `[N, 4]`, or N masks `[H, W]`)."""

    labels: np.ndarray
    shapes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray

    def of(self, label: int) -> "Objects":
        rows = np.flatnonzero(self.labels == label)
        return Objects(self.labels[rows], self.shapes[rows], self.areas[rows], self.crowd[rows])


def read(predictions: Sequence[Mapping], targets: Sequence[Mapping], kind: str) -> Iterator[tuple[Detections, Objects]]:
    """A pair an image, one after another, so that the masks of one image at a time are copied from a GPU.

    Raises: TypeError or ValueError, with the image's number, for anything that cannot be judged.
    """
    if kind not in KINDS:
        raise ValueError(f"What is judged is {' or '.join(map(repr, KINDS))}, not {kind!r}.")
    for name, images in (("predictions", predictions), ("targets", targets)):
        if isinstance(images, Mapping | Tensor) or not isinstance(images, Sequence):
            raise TypeError(f"The {name} are a list with one dict an image, not {type(images).__name__}.")
    if len(predictions) != len(targets):
        raise ValueError(f"There is one prediction and one target an image; these are {len(predictions)} and {len(targets)}.")
    for image, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        detections = _detections(prediction, kind, f"The prediction of image {image}")
        objects = _objects(target, kind, f"The target of image {image}")
        if kind == "masks":
            _check_sizes(detections.shapes, objects.shapes, image)
        yield detections, objects


def _check_sizes(found: np.ndarray, true: np.ndarray, image: int) -> None:
    if len(found) and len(true) and found[0].shape != true[0].shape:
        sizes = [" × ".join(map(str, masks[0].shape)) for masks in (found, true)]
        raise ValueError(
            f"The masks of image {image} are {sizes[0]} in the prediction and {sizes[1]} in the target; they must have the image's size."
        )


def _detections(prediction: Mapping, kind: str, whose: str) -> Detections:
    shapes = _shapes(_entry(prediction, kind, whose, needs=(kind, "labels", "scores")), kind, whose)
    labels = _labels(prediction, kind, whose, len(shapes))
    scores = _numbers(_entry(prediction, "scores", whose), "scores", kind, whose, len(shapes))
    return Detections(labels, shapes, _areas(shapes, kind), scores)


def _objects(target: Mapping, kind: str, whose: str) -> Objects:
    shapes = _shapes(_entry(target, kind, whose, needs=(kind, "labels")), kind, whose)
    labels = _labels(target, kind, whose, len(shapes))
    given = {key: _numbers(_entry(target, key, whose), key, kind, whose, len(shapes)) for key in ("area", "iscrowd") if key in target}
    areas = given["area"] if "area" in given else _areas(shapes, kind)
    return Objects(labels, shapes, areas, given.get("iscrowd", np.zeros(len(shapes))).astype(bool))


def _entry(image: Mapping, key: str, whose: str, needs: Sequence[str] = ()) -> Tensor:
    if not isinstance(image, Mapping):
        raise TypeError(f"{whose} is a dict of tensors, not {type(image).__name__}.")
    missing = [name for name in needs or (key,) if name not in image]
    if missing:
        raise ValueError(f"{whose} has no {' and no '.join(map(repr, missing))}; it has {', '.join(map(repr, image)) or 'nothing'}.")
    if not isinstance(image[key], Tensor):
        raise TypeError(f"{whose} has {key} that are {type(image[key]).__name__}, not a tensor.")
    return image[key].detach()


def _shapes(shapes: Tensor, kind: str, whose: str) -> np.ndarray:
    return _boxes(shapes, whose) if kind == "boxes" else _masks(shapes, whose)


def _boxes(boxes: Tensor, whose: str) -> np.ndarray:
    """float64 `[N, 4]`. A box whose corners are swapped is refused: most often it was given as x, y, width, height."""
    if boxes.numel() == 0:
        return np.zeros((0, 4))
    if boxes.dim() != 2 or boxes.shape[1] != 4 or boxes.is_complex():
        raise ValueError(f"{whose} has boxes of shape {list(boxes.shape)}; they are [N, 4], each x1, y1, x2, y2.")
    boxes = boxes.cpu().double().numpy()
    wrong = ~np.isfinite(boxes).all(1) | (boxes[:, :2] > boxes[:, 2:]).any(1)
    if wrong.any():
        box = ", ".join(f"{side:.6g}" for side in boxes[wrong][0])
        raise ValueError(f"{whose} has the box ({box}); a box is x1, y1, x2, y2 in finite numbers, with x1 ≤ x2 and y1 ≤ y2.")
    return boxes


def _masks(masks: Tensor, whose: str) -> np.ndarray:
    """N masks, bool `[H, W]`: an array of arrays, so that picking some of them copies none."""
    shapes = np.empty(len(masks) if masks.numel() else 0, dtype=object)
    if masks.numel() == 0:
        return shapes
    if masks.dtype != torch.bool:
        raise TypeError(f"{whose} has masks of {masks.dtype}; they are bool: probabilities become masks by `> 0.5`.")
    if masks.dim() != 3:
        raise ValueError(f"{whose} has masks of shape {list(masks.shape)}; they are [N, H, W].")
    for row, mask in enumerate(masks.cpu().contiguous().numpy()):
        shapes[row] = mask
    return shapes


def _areas(shapes: np.ndarray, kind: str) -> np.ndarray:
    """In square pixels, `[N]`."""
    if kind == "masks":
        return np.array([np.count_nonzero(mask) for mask in shapes], dtype=float)
    return (shapes[:, 2] - shapes[:, 0]) * (shapes[:, 3] - shapes[:, 1])


def _labels(image: Mapping, kind: str, whose: str, count: int) -> np.ndarray:
    labels = _entry(image, "labels", whose)
    if labels.numel() and (labels.is_floating_point() or labels.is_complex()):
        raise TypeError(f"{whose} has labels of {labels.dtype}; they are whole numbers.")
    return _numbers(labels, "labels", kind, whose, count).astype(np.int64)


def _numbers(values: Tensor, key: str, kind: str, whose: str, count: int) -> np.ndarray:
    """float64 `[N]`, one number an instance, none of them NaN."""
    if values.numel() != count or values.dim() != 1:
        raise ValueError(f"{whose} has {count} {kind} and {key} of shape {list(values.shape)}; there is one number for each.")
    values = values.cpu().double().numpy()
    if np.isnan(values).any():
        raise ValueError(f"{whose} has {key} that are not a number (NaN), the first at {int(np.isnan(values).argmax())}.")
    return values
