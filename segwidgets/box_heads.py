"""The heads of a detector over the maps of a forward pass: what they say of any box, also of one that the RPN never proposed.

Of the course's FasterRCNN and MaskRCNN, and of torchvision's FasterRCNN, MaskRCNN and KeypointRCNN. Boxes are in pixels of the picture as
the network saw it.

Letters: P boxes, K classes with background, M × M cells of a mask, J joints, S × S of a heat map.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from segwidgets.modes import evaluating


class Pooling(NamedTuple):
    """How regions are read off the maps, as `course.ops.roi.roi_align` takes it."""

    level: list[str]
    """The name of the map that each of the P regions is read from."""
    scale: list[float]
    """Cells a pixel on that map, for each."""
    output_size: tuple[int, int]
    sampling_ratio: int
    aligned: bool


class BoxHeads:
    """The heads of one model over the maps of one picture; they run on its device, and leave its mode as it is.

    Args:
        model: one of the above.
        levels: {name: `[1, C, H, W]`}, as its backbone gives them.
        size: (height, width) of the picture as the network saw it.
        dtype: of its proposals.
    """

    def __init__(self, model: nn.Module, levels: Mapping, size: tuple[int, int], dtype: torch.dtype):
        self.model, self.levels, self.size, self.dtype = model, levels, size, dtype
        self.theirs = getattr(model, "roi_heads", None)

    def classify(self, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes [P, 4] → logits `[P, K]` and deltas `[P, 4K]`."""
        boxes = self._there(boxes)
        with evaluating(self.model), torch.no_grad():
            if self.theirs is None:
                return self.model.head(self.levels, boxes)
            return self.theirs.box_predictor(self.theirs.box_head(self._pooled("box", boxes)))

    def masks(self, boxes: Tensor) -> Tensor | None:
        """Boxes [P, 4] → logits of their masks `[P, K, M, M]`; None without a mask head."""
        return self._of_head("mask", boxes)

    def joints(self, boxes: Tensor) -> Tensor | None:
        """Boxes [P, 4] → heat maps of their joints `[P, J, S, S]`; None without a keypoint head."""
        return self._of_head("keypoint", boxes)

    def pooling(self, boxes: Tensor) -> Pooling | None:
        """How the box head reads these boxes; None if it is not by RoIAlign."""
        boxes = self._there(boxes)[0]
        if self.theirs is None:
            pool = getattr(self.model.head, "pool", None)
            if not all(hasattr(pool, part) for part in ("strides", "level_of", "sampling_ratio")):
                return None
            names = list(pool.strides)
            places = pool.level_of(boxes).tolist()
            scale = [1 / pool.strides[names[place]] for place in places]
            return Pooling([str(names[place]) for place in places], scale, pool.output_size, pool.sampling_ratio, pool.aligned)
        pool = self.theirs.box_roi_pool
        places = [0] * len(boxes) if len(pool.scales) == 1 else pool.map_levels([boxes]).tolist()
        level, scale = [str(pool.featmap_names[place]) for place in places], [pool.scales[place] for place in places]
        return Pooling(level, scale, tuple(pool.output_size), pool.sampling_ratio, False)

    def _of_head(self, name: str, boxes: Tensor) -> Tensor | None:
        boxes = self._there(boxes)
        head = getattr(self.model, name, None) if self.theirs is None else getattr(self.theirs, f"{name}_head", None)
        if head is None:
            return None
        with evaluating(self.model), torch.no_grad():
            if self.theirs is None:
                return head(self.levels, boxes)
            return getattr(self.theirs, f"{name}_predictor")(head(self._pooled(name, boxes)))

    def _pooled(self, name: str, boxes: list[Tensor]) -> Tensor:
        return getattr(self.theirs, f"{name}_roi_pool")(self.levels, boxes, [self.size])

    def _there(self, boxes: Tensor) -> list[Tensor]:
        return [boxes.to(next(iter(self.levels.values())).device, self.dtype)]
