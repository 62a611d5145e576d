"""A box on a photograph and on the feature map of it: what the animations of RoI pooling and of RoIAlign share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops import roi as operations
from course.ops.step import listing, number
from segwidgets.boxes import Place
from segwidgets.inputs import as_tensor, pixels, shrunk
from segwidgets.panels import colours

MOST_CELLS = 112 * 112  # of the map: a box over all of them takes most of a megabyte
MOST_BINS = 14  # along a side of the output
FARTHEST = 1e5  # pixels


class Sheet:
    """The photograph, and how boxes in its pixels become places on it as shown."""

    def __init__(self, image):
        picture = pixels(image)
        self.height, self.width = picture.shape[:2]
        self.pixels, self.factor = shrunk(picture)

    def shown(self, box: Tensor) -> Place:
        return tuple((box * self.factor).tolist())

    def box(self, place: Place) -> Tensor:
        """In whole pixels of the picture: one sees no difference, and can calculate."""
        return (torch.tensor(place, dtype=torch.float64) / self.factor + 0.5).floor()


def squared(spans: Sequence[tuple[int, int]], sizes: Sequence[int], least: int = 1) -> list[tuple[int, int]]:
    """Rows and columns of a map, (first, after the last) each, widened to as many of both, at least `least`; where the map has fewer, all
    of it. A part that is shown so keeps its shape while the box is dragged, and nothing jumps under the pointer."""
    side = max(least, *(last - first for first, last in spans))
    starts = [max(0, min((first + last - side) // 2, size - side)) for (first, last), size in zip(spans, sizes, strict=True)]
    return [(start, min(start + side, size)) for start, size in zip(starts, sizes, strict=True)]


@dataclass(frozen=True)
class Layer:
    """What is pooled: `plane [1, 1, H, W]`, with `scale` cells a pixel, to `bins` (PH, PW); `title` and `shape` are in words."""

    plane: Tensor
    scale: float
    bins: tuple[int, int]
    title: str
    shape: str

    @classmethod
    def of(cls, features, sheet: Sheet, box: Tensor, output_size, spatial_scale: float | None, channel: int | None) -> Layer:
        """From what was passed to the animation; without a scale or a channel, those that its docstring names."""
        features, shape = features_of(features)
        bins = arguments.pair(output_size, "output_size", 1)
        if max(bins) > MOST_BINS:
            raise ValueError(f"output_size is {bins[0]}×{bins[1]}; the widget shows {MOST_BINS}×{MOST_BINS} bins at most")
        if spatial_scale is None:
            spatial_scale = 2.0 ** round(math.log2(features.shape[3] / sheet.width))
        scale = arguments.positive(spatial_scale, "spatial_scale")
        if channel is None:
            channel = loudest(features, box, bins, scale)
        if isinstance(channel, bool) or not isinstance(channel, int) or not 0 <= channel < features.shape[1]:
            raise ValueError(f"channel is {channel!r}, and features has the channels 0 to {features.shape[1] - 1}")
        return cls(features[:, [channel]].clone(), scale, bins, f"features, channel {channel}", shape)

    @property
    def paint(self) -> str:
        return "signed" if self.plane.min() < 0 else "heat"

    @property
    def limits(self) -> tuple[float, float]:
        top = float(self.plane.abs().max())
        return (-top if self.paint == "signed" else 0.0), top

    def painted(self) -> np.ndarray:
        """A pixel a cell, `[H, W, 3]` uint8."""
        low, high = self.limits
        level = (self.plane[0, 0] - low) / ((high - low) or 1) * 255
        return colours(self.paint)[level.round().int().numpy()]


def features_of(features) -> tuple[Tensor, str]:
    """Features `[1, C, H, W]`, floats of the precision given (at least single), and their shape in words."""
    rounded = as_tensor(features, name="features")
    shape = list(rounded.shape)
    if len(shape) not in (3, 4) or 0 in shape or len(shape) == 4 and shape[0] != 1:
        raise ValueError(f"features has the shape {shape}; a map of one photograph is [C, H, W] or [1, C, H, W]")
    if not torch.isfinite(rounded).all():
        raise ValueError("features has NaN or infinite values; a widget shows finite numbers only")
    if shape[-1] * shape[-2] > MOST_CELLS:
        raise ValueError(f"features has {shape[-2]}×{shape[-1]} cells; the widget shows 112×112 = {MOST_CELLS} at most: use a coarser map")
    exact = isinstance(features, Tensor) and features.dtype == torch.float64
    return (features.detach().cpu() if exact else rounded).reshape(-1, *shape[-3:]), str(shape)


def box_of(box) -> Tensor:
    """Four numbers in double precision."""
    if not isinstance(box, Tensor):
        try:
            box = torch.tensor(box, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            box = as_tensor(box, name="box")  # says what it is
    if box.shape != (4,):
        raise ValueError(f"box has the shape {list(box.shape)}; one box is four numbers, x1, y1, x2, y2")
    box = box.detach().cpu().double()
    arguments.check_boxes(box[None], "box", finite=True)
    if (box[2:] < box[:2]).any() or (box.abs() > FARTHEST).any():
        raise ValueError(f"box is {listing(box.tolist())}; it takes x1 ≤ x2 and y1 ≤ y2, within {number(FARTHEST)} pixels of the corner")
    return box


def loudest(features: Tensor, box: Tensor, bins: tuple[int, int], scale: float) -> int:
    """The channel whose maxima in the box lie highest above the rest of the map, in its standard deviations."""
    boxes = torch.cat((box.new_zeros(1), box))[None].to(features.dtype)  # [1, 5]
    maxima = operations.roi_pool(features, boxes, bins, scale)[0].mean((1, 2))  # [C]
    spread = features[0].flatten(1).std(1, correction=0)  # [C]
    return int(((maxima - features[0].mean((1, 2))) / spread.clamp(min=1e-6)).argmax())
