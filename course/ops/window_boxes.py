"""Windows of many sizes and shapes over one picture, as boxes: what a detector by sliding window has to look at, and how much that is.

P. Viola and M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001 (one window, every place, many
scales); P. Felzenszwalb, R. Girshick, D. McAllester and D. Ramanan, TPAMI 2010, section 3 (a pyramid of scales, and parts of several
aspect ratios). The shapes are those that Faster R-CNN later gives its anchors: S. Ren et al. 2015, arXiv:1506.01497, section 3.1.1.

    height = scale · √ratio      width = scale / √ratio      so that height · width = scale² and height / width = ratio
    windows of one size = (⌊(H − h) / SH⌋ + 1) · (⌊(W − w) / SW⌋ + 1), or 0 where it does not fit
    boxes with whole-pixel edges = W(W + 1)/2 · H(H + 1)/2

Differs from the papers: the windows change size and the picture does not, where a pyramid does it the other way round.
Differs from torchvision: `AnchorGenerator` rounds half a side, and lets its boxes reach beyond the picture.

Shape letters: H × W the picture, h × w a window, SH × SW the stride, N windows.
"""

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair, Pair
from course.ops.windows import window_positions


def window_sizes(scales: Sequence[float], ratios: Sequence[float]) -> list[Pair]:
    """(height, width) in whole pixels of every scale in every ratio, scale by scale.

    Args:
        scales: the side of a square of the same area, in pixels, above 0.
        ratios: height / width, above 0: 2 stands upright, 0.5 lies.

    Raises:
        TypeError, ValueError: no such numbers, or none.
    """
    scales, ratios = _above_zero(scales, "scales"), _above_zero(ratios, "ratios")
    return [_size(scale, math.sqrt(ratio)) for scale in scales for ratio in ratios]


def count_windows(size: IntOrPair, windows: Sequence[IntOrPair], stride: IntOrPair) -> list[int]:
    """How many places each window has in the picture; 0 where it is larger than the picture.

    Args:
        size: the picture's height and width in pixels, one integer or (height, width).
        windows: of each window likewise.
        stride: pixels from one window to the next, one integer or (down, to the right).

    Raises:
        TypeError, ValueError: no positive integers.
    """
    return [math.prod(window_positions(size, window, stride)) if _fits(window, size) else 0 for window in windows]


def window_boxes(size: IntOrPair, windows: Sequence[IntOrPair], stride: IntOrPair) -> Tensor:
    """Every place of every window, as x1, y1, x2, y2 in pixels. [N, 4], float32

    Window by window, and each in reading order, as `extract_patches` cuts it out. A window that is larger than the picture has no place.

    Args, Raises: as `count_windows`.
    """
    boxes = [_places(size, window, arguments.pair(stride, "stride", 1)) for window in windows if _fits(window, size)]
    return torch.cat(boxes) if boxes else torch.zeros(0, 4)  # [N, 4]


def possible_boxes(size: IntOrPair) -> int:
    """How many boxes with edges between whole pixels a picture has, all sizes and shapes at stride 1.

    Two of W + 1 vertical lines and two of H + 1 horizontal ones make a box.

    Args, Raises: as `count_windows`.
    """
    height, width = arguments.pair(size, "size", 1)
    return math.comb(height + 1, 2) * math.comb(width + 1, 2)


def _places(size: IntOrPair, window: IntOrPair, stride: Pair) -> Tensor:
    """[rows · columns, 4]"""
    rows, columns = window_positions(size, window, stride)
    height, width = arguments.pair(window, "window", 1)
    corners = torch.cartesian_prod(torch.arange(rows) * stride[0], torch.arange(columns) * stride[1]).flip(1)  # [L, 2]: x, y
    return torch.cat((corners, corners + torch.tensor([width, height])), 1).float()  # [L, 4]


def _fits(window: IntOrPair, size: IntOrPair) -> bool:
    picture = arguments.pair(size, "size", 1)
    return all(side <= most for side, most in zip(arguments.pair(window, "window", 1), picture, strict=True))


def _size(scale: float, root: float) -> Pair:
    return max(1, round(scale * root)), max(1, round(scale / root))


def _above_zero(values: Sequence[float], name: str) -> list[float]:
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name} must be a list of numbers above 0; got {type(values).__name__}.")
    good = [value for value in values if isinstance(value, Real) and not isinstance(value, bool) and 0 < value < math.inf]
    if not values or len(good) < len(values):
        raise ValueError(f"{name} must be numbers above 0, at least one; got {values!r}.")
    return [float(value) for value in values]
