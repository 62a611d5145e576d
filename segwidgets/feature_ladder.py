"""`segwidgets.feature_ladder`: coarse scores climb to full resolution, and at each rung a finer layer adds what it knows.

J. Long, E. Shelhamer and T. Darrell, "Fully Convolutional Networks for Semantic Segmentation", 2015, arXiv:1411.4038, section 4.2:
FCN-32s, 16s and 8s.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from course.ops.interpolation import interpolate_bilinear
from course.ops.labels import colour_labels, label_colour
from course.ops.step import number
from segwidgets.inputs import MOST_CELLS, as_tensor, check_keywords, pixels, shrunk
from segwidgets.panels import Arrow, Film, Grid
from segwidgets.player import Player
from segwidgets.roles import ROLES
from segwidgets.trace import Trace, TraceStep

WIDTH = 8.0  # units of each panel
VOID = 255


def feature_ladder(scores: Mapping[int, Tensor], image=None, *, index: int | None = None, classes=None, truth=None, **unknown) -> Player:
    """FCN's refinement, a rung at a time: the scores so far are enlarged, a finer layer's are added, and the label map is drawn.

    Args:
        scores: stride → that layer's own scores `[K, h, w]` (or `[1, K, h, w]`), from coarse to fine; of each layer h and w are those of
            the next coarser one times the strides' ratio.
        image: the photograph `[3, H, W]` in 0…1, on which labels are drawn; its size is the finest layer's times its stride.
        index: the class whose scores are drawn; by default the one, background aside, that most pixels get in the end.
        classes: K names, for the legend.
        truth: the true labels `[H, W]`, 255 for void: their outline is drawn, and the share of right pixels told.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, feature_ladder)
    layers = _layers(scores)
    strides = list(layers)
    count = len(layers[strides[0]])
    size = tuple(side * strides[-1] for side in layers[strides[-1]].shape[1:])
    rungs = _climb(layers)
    labels = [interpolate_bilinear(rung, size).argmax(0) for rung in rungs.values()]  # [H, W] each
    index = _index(index, labels[-1], count)
    names = _names(classes, count)
    canvas = _Canvas(size, image, truth)

    planes = {stride: rung[index] for stride, rung in rungs.items()}
    top = max(float(plane.abs().max()) for plane in planes.values()) or 1.0
    look = {"paint": "signed", "width": WIDTH, "limits": (-top, top)}
    panels = [
        Grid(f"stride {stride}", plane.numpy(), note=f"[{count}, {plane.shape[0]}, {plane.shape[1]}]", empty=i > 0, **look)
        for i, (stride, plane) in enumerate(planes.items())
    ]
    seen = sorted({label for each in labels for label in each.unique().tolist()})
    legend = [(names[label], label_colour(label)) for label in seen]
    frames = [canvas.start, *(canvas.frame(each) for each in labels)]
    panels.append(Film("labels", frames, note=f"[{size[0]}, {size[1]}]", width=WIDTH, lossless=image is None, legend=legend))
    arrows = [Arrow(f"enlarge, add stride {stride}") for stride in strides[1:]] + [Arrow(f"enlarge {strides[-1]} times, argmax")]
    steps = _start(strides[0], planes[strides[0]], labels[0], names[index], canvas)
    for i, pair in enumerate(zip(strides, strides[1:], strict=False)):
        coarse, plane, own = planes[pair[0]], planes[pair[1]], layers[pair[1]][index]
        steps += _rung(pair, coarse, own, plane, (labels[i], labels[i + 1]), canvas, frame=i + 2)
    return Player(Trace("feature ladder", panels=panels, arrows=arrows, steps=steps))


def _climb(layers: dict[int, Tensor]) -> dict[int, Tensor]:
    """The scores after each rung, `[K, h, w]`: the coarsest layer's own, then enlarged and added to, layer by layer."""
    rungs: dict[int, Tensor] = {}
    for stride, layer in layers.items():
        coarser = list(rungs.values())[-1:]
        rungs[stride] = layer + interpolate_bilinear(coarser[0], tuple(layer.shape[1:])) if coarser else layer  # [K, h, w]
    return rungs


def _start(stride: int, plane: Tensor, labels: Tensor, name: str, canvas: _Canvas) -> list[TraceStep]:
    """The deepest layer's scores, and the label map that they give alone."""
    (rows, columns), (height, width) = plane.shape, canvas.size
    return [
        TraceStep(
            f"The deepest layer has seen most and knows least where: [{rows} × {columns}|read] scores for {name}, and "
            f"{height} × {width} pixels want a label.",
            marks={f"stride {stride}": {"read": _cells(plane)}},
        ),
        TraceStep(
            f"FCN-{stride}s: enlarged {stride} times in one go, each pixel gets the class with its largest score{canvas.told(labels)}.",
            shows={"labels": 1},
        ),
    ]


def _rung(strides: tuple[int, int], coarse: Tensor, own: Tensor, plane: Tensor, labels: tuple[Tensor, Tensor], canvas: _Canvas, frame: int):
    """One rung: the scores so far, enlarged; then the finer layer's `own`, added, which gives `plane` and the label map after it."""
    before, stride = strides
    panel = f"stride {stride}"
    enlarged = interpolate_bilinear(coarse, tuple(plane.shape))
    moved = (labels[0] != labels[1]).double().mean().item()
    return [
        TraceStep(
            f"The scores of stride {before}, enlarged {before // stride} times: [{plane.shape[0]} × {plane.shape[1]}|write] cells, and "
            "nothing new in them.",
            marks={f"stride {before}": {"read": _cells(coarse)}, panel: {"write": _cells(plane)}},
            writes={panel: _writes(enlarged)},
            terms={panel: {cell: number(value) for cell, value in _writes(enlarged).items()}},
        ),
        TraceStep(
            f"FCN-{stride}s: the layer of stride {stride} adds its own scores, which know better where, and [{moved:.1%}|chosen] of the "
            f"pixels change their label{canvas.told(labels[1])}.",
            marks={panel: {"write": _cells(plane)}},
            writes={panel: _writes(plane)},
            terms={panel: {cell: _in_brackets(value) for cell, value in _writes(own).items()}},
            shows={"labels": frame},
        ),
    ]


def _cells(plane: Tensor) -> list:
    return [(row, column) for row in range(plane.shape[0]) for column in range(plane.shape[1])]


def _writes(plane: Tensor) -> dict:
    return {cell: float(plane[cell]) for cell in _cells(plane)}


def _in_brackets(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)


class _Canvas:
    """What label maps are drawn on: the photograph, or an empty sheet; with the true outline, if it is known."""

    def __init__(self, size: tuple[int, int], image, truth):
        self.size = size
        self.photo = None if image is None else pixels(image)
        if self.photo is not None and self.photo.shape[:2] != size:
            raise ValueError(
                f"image has {self.photo.shape[0]}×{self.photo.shape[1]} pixels, and the finest scores stand for {size[0]}×{size[1]}: "
                "they must be equal"
            )
        self.truth = None if truth is None else torch.as_tensor(truth).cpu()
        if self.truth is not None and tuple(self.truth.shape) != size:
            raise ValueError(f"truth has the shape {list(self.truth.shape)}; it takes a label for each of {size[0]}×{size[1]} pixels")

    @property
    def start(self) -> np.ndarray:
        blank = np.full((*self.size, 3), 236, np.uint8)
        return self._finished(blank if self.photo is None else self.photo)

    def frame(self, labels: Tensor) -> np.ndarray:
        """Labels as colours, over the grey photograph so that one sees where they miss."""
        colours = colour_labels(labels).movedim(0, -1).numpy()  # [H, W, 3]
        if self.photo is not None:
            grey = self.photo.mean(axis=-1, keepdims=True)
            colours = np.round(0.62 * colours + 0.38 * grey).astype(np.uint8)
        return self._finished(colours)

    def _finished(self, picture: np.ndarray) -> np.ndarray:
        if self.truth is not None:
            from skimage.segmentation import find_boundaries

            picture = picture.copy()
            edge = find_boundaries(self.truth.numpy(), mode="inner")
            picture[edge] = [int(ROLES["truth"].light[i : i + 2], 16) for i in (1, 3, 5)]
        return shrunk(picture)[0]

    def told(self, labels: Tensor) -> str:
        """What is said of a label map when the truth is known."""
        if self.truth is None:
            return ""
        counts = self.truth != VOID
        right = (labels == self.truth)[counts].double().mean().item()
        return f"; [{right:.1%}|truth] are right"


def _layers(scores) -> dict[int, Tensor]:
    """Stride → `[K, h, w]` float32 on the CPU, coarse to fine."""
    if not isinstance(scores, Mapping) or len(scores) < 2 or not all(isinstance(s, int) and s > 0 for s in scores):
        raise ValueError("scores takes at least two layers, {stride: [K, h, w]}, such as {32: deep, 16: middle, 8: early}")
    layers: dict[int, Tensor] = {}
    for stride in sorted(scores, reverse=True):
        layer = as_tensor(scores[stride], name=f"scores[{stride}]")
        layer = layer[0] if layer.ndim == 4 and len(layer) == 1 else layer
        if layer.ndim != 3 or not layer.numel() or len(layer) < 2:
            raise ValueError(f"scores[{stride}] has the shape {list(layer.shape)}; it takes [K, h, w] with two classes or more")
        if not torch.isfinite(layer).all():
            raise ValueError(f"scores[{stride}] has NaN or infinite values; a widget shows finite numbers only")
        for coarser, above in list(layers.items())[-1:]:
            wanted = [len(above), *(side * coarser // stride for side in above.shape[1:])]
            if list(layer.shape) != wanted or coarser % stride:
                raise ValueError(f"scores[{stride}] has the shape {list(layer.shape)}, and after scores[{coarser}] {wanted} is expected")
        layers[stride] = layer
    finest = next(reversed(layers.values()))
    if finest.shape[1] * finest.shape[2] > MOST_CELLS:
        raise ValueError(f"the finest scores have {finest.shape[1]}×{finest.shape[2]} cells; a widget shows 64×64 = {MOST_CELLS} at most")
    return layers


def _index(index, labels: Tensor, count: int) -> int:
    if index is None:
        seen = torch.bincount(labels.flatten(), minlength=count)
        return 1 + int(seen[1:].argmax())
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        raise ValueError(f"index is {index!r}, and scores has the classes 0 to {count - 1}")
    return index


def _names(classes, count: int) -> list[str]:
    if classes is None:
        return [f"class {label}" for label in range(count)]
    if isinstance(classes, str) or len(classes) != count:
        raise ValueError(f"classes is {classes!r}; it takes {count} names, one for each class of scores")
    return [str(name) for name in classes]
