"""SPP-net: one pass of the convolutions over the whole picture, and every proposal takes its features from the map.

Paper: K. He, X. Zhang, S. Ren and J. Sun, "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition", 2014,
arXiv:1406.4729: section 2.2 and figure 3 (the pyramid), section 4 (detection), appendix A (from a box to cells, and its bins).

    map = convolutions(picture)                              once, not 2000 times
    cells of a box:  ⌊x1 / S⌋ + 1 … ⌈x2 / S⌉ − 1             those whose middle lies inside the box
    bin i of n over w cells:  ⌊i · w / n⌋ … ⌈(i + 1) · w / n⌉    each gives its maximum; levels 1, 2, 3, 6 make 50 numbers a channel

What follows is R-CNN's: SVMs or a softmax, and box regression, from `course.models.rcnn`, whose `RCNN` takes `PyramidFeatures` as it
takes `WarpedFeatures`.

Differs from the paper: the middle of cell 0 may lie at any pixel (`centre`), as the network's padding has it; there at 0. A box between the
middles of two cells takes the nearest cell, and one outside the map the nearest at its edge, so that every box has features. One scale
of the picture, and no fully connected layers behind the pyramid.
Differs from torchvision: it has no such model. Its `roi_pool` rounds otherwise.

Shape letters: C channels, h × w cells of the map, H × W picture, N boxes, S the stride in pixels, n bins along a side, F = C · Σn².
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.ops import arguments

LEVELS = (1, 2, 3, 6)


def project_boxes(boxes: Tensor, map_size: Sequence[int], *, stride: int, centre: float = 0.0) -> Tensor:
    """The cells of a feature map that belong to each box: int64 [N, 4], x1, y1, x2, y2, the last column and row not included.

    Cell i sees what lies around the pixel S·i + centre. To a box belong the cells whose middle lies inside, not on its edge; at least one.
    Source: paper, appendix A.

    Args:
        boxes: [N, 4], xyxy in pixels of the picture; they may reach beyond it.
        map_size: (h, w) of the map, in cells.
        stride: S, pixels from a cell to the next.
        centre: x and y of the middle of cell 0, in pixels: `receptive_field(stride).centre` of `course.models.backbones`.

    Raises:
        TypeError, ValueError: no such boxes or sizes.
    """
    arguments.check_boxes(boxes, finite=True)
    arguments.check_sizes(boxes, "boxes")
    height, width = arguments.pair(map_size, "map_size", 1)
    cells = (boxes - centre) / arguments.whole(stride, "stride", 1)  # [N, 4]: in cells, whose middles are whole numbers
    first, last = cells[:, :2].floor() + 1, cells[:, 2:].ceil() - 1  # [N, 2] each, last included
    nearest = ((cells[:, :2] + cells[:, 2:]) / 2).round()  # [N, 2]
    between = last < first  # [N, 2]: the box is too small to hold the middle of any cell
    first, last = torch.where(between, nearest, first), torch.where(between, nearest, last)
    end = boxes.new_tensor([width - 1, height - 1])
    first, last = torch.minimum(first.clamp(min=0), end), torch.minimum(last.clamp(min=0), end)
    return torch.cat((first, last + 1), 1).long()  # [N, 4]


def pyramid_pool(features: Tensor, levels: Sequence[int] = LEVELS) -> Tensor:
    """Whatever the size of a map, [C, h, w] → as many numbers: the maximum of each bin, [C·Σn²], level by level, each C × n × n in order.

    A map with fewer cells than bins fills several bins with one cell. Source: paper, section 2.2 and appendix A.

    Args:
        features: [C, h, w], floating-point.
        levels: n for each level, at least 1.

    Raises:
        TypeError, ValueError: no such map, or no levels.
    """
    arguments.check_planes(features, "features", fractions=True)
    if features.dim() != 3:
        raise ValueError(f"features must have shape [C, h, w], those of one box; got {list(features.shape)}.")
    return torch.cat([_pooled(features, n).flatten() for n in _checked(levels)])  # [C·Σn²]


class PyramidFeatures(nn.Module):
    """Features of boxes as SPP-net has them: (image [3, H, W], boxes [N, 4]) → [N, C·Σn²].

    Args:
        backbone: `features(images)` gives {stride: map [1, C, h, w]}, as `course.models.backbones.efficientnet_lite0()` does.
        stride: which map, and S.
        centre: of its cell 0, in pixels.
        levels: of the pyramid.
        shorter_side: the picture is enlarged or reduced until its shorter side has so many pixels; by default it stays as it is. The paper
            takes 688 for its single scale: small objects need cells.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        stride: int = 16,
        centre: float = 0.0,
        levels: Sequence[int] = LEVELS,
        shorter_side: int | None = None,
    ):
        super().__init__()
        self.backbone, self.stride, self.centre, self.levels = backbone, stride, centre, _checked(levels)
        self.shorter_side = None if shorter_side is None else arguments.whole(shorter_side, "shorter_side", 1)

    @torch.no_grad()
    def forward(self, image: Tensor, boxes: Tensor) -> Tensor:
        arguments.check_boxes(boxes, finite=True)
        image, boxes = self.resized(image, boxes)
        cells = self.backbone.features(image[None])[self.stride][0]  # [C, h, w]
        places = project_boxes(boxes, cells.shape[1:], stride=self.stride, centre=self.centre)  # [N, 4]
        pooled = [pyramid_pool(cells[:, y1:y2, x1:x2], self.levels) for x1, y1, x2, y2 in places.tolist()]
        return torch.stack(pooled) if pooled else cells.new_zeros(0, len(cells) * sum(n * n for n in self.levels))  # [N, C·Σn²]

    def resized(self, image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Picture and boxes at the size in which the network sees them."""
        if self.shorter_side is None:
            return image, boxes
        size = [round(side * self.shorter_side / min(image.shape[1:])) for side in image.shape[1:]]
        height, width = (new / old for new, old in zip(size, image.shape[1:], strict=True))
        resized = F.interpolate(image[None], size=size, mode="bilinear", antialias=True)[0]  # [3, H', W']
        return resized, boxes * boxes.new_tensor([width, height, width, height])

    def extra_repr(self) -> str:
        return f"stride={self.stride}, centre={self.centre}, levels={self.levels}, shorter_side={self.shorter_side}"


def _pooled(features: Tensor, n: int) -> Tensor:
    """[C, h, w] → [C, n, n]. The maximum over rows and then over columns is that over both."""
    rows = torch.stack([features[:, start:end].amax(1) for start, end in _bins(features.shape[1], n)], 1)  # [C, n, w]
    return torch.stack([rows[..., start:end].amax(2) for start, end in _bins(features.shape[2], n)], 2)  # [C, n, n]


def _bins(length: int, n: int) -> list[tuple[int, int]]:
    """First cell and the one after the last, of each of n bins: ⌊i · length / n⌋ and ⌈(i + 1) · length / n⌉."""
    return [(i * length // n, -(-(i + 1) * length // n)) for i in range(n)]


def _checked(levels: Sequence[int]) -> tuple[int, ...]:
    levels = tuple(arguments.whole(n, "each of levels", 1) for n in levels)
    if not levels:
        raise ValueError("levels must hold at least one number of bins; got none.")
    return levels
