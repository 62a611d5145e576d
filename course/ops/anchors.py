"""Boxes to start from: the same few shapes at every place of a grid, which a network then scores and moves.

Anchors: S. Ren, K. He, R. Girshick and J. Sun, "Faster R-CNN", 2015, arXiv:1506.01497, section 3.1.1: 3 sizes × 3 aspect ratios at each
place of one map. One size a level of a pyramid: T.-Y. Lin et al., "Feature Pyramid Networks", 2016, arXiv:1612.03144, section 4.1. Default
boxes: W. Liu et al., "SSD: Single Shot MultiBox Detector", 2015, arXiv:1512.02325, section 2.2 and equation 4.

    anchor of size s and ratio a = height / width:    w = s / √a,  h = s · √a,  corners ± w / 2, ± h / 2, rounded to whole pixels
    its copies:                                       + (column · stride, row · stride),  stride = ⌊image / map⌋, down and across

    default boxes of level k of m:   s_k = s_min + (s_max − s_min)(k − 1) / (m − 1), a share of the image, so its sides may differ
                                     s_k × s_k,  √(s_k s_k+1) squared,  and for each ratio a:  s_k √a × s_k / √a, and upright
    their centres:                   ((column + ½) / map width, (row + ½) / map height)

An anchor's centre is the upper left corner of its cell, a default box's the middle of it. Of both, all shapes of one place stand together,
places in reading order, levels one after another.

Differs from the papers: of Faster R-CNN's anchors none is left out that crosses the border, they are clipped as proposals. After the last
scale SSD's comes 1, so that the last level has a second square, too.
Differs from torchvision: nothing, for float32. Other precisions are rounded once, at the end. Its generators give a tensor
for each image, all equal.

Shape letters: L levels, H × W places of one, A shapes at each, N = Σ H·W·A boxes.
"""

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair, Pair
from course.ops.step import Step, listing, number

Numbers = Sequence[float]


def base_anchors(sizes: Numbers, aspect_ratios: Numbers) -> Tensor:
    """The anchors around (0, 0): for each ratio each size, rounded to whole pixels, halves to even. float32 [A, 4]

    Args:
        sizes: side of the square of the same area, in pixels.
        aspect_ratios: height / width.

    Raises:
        TypeError, ValueError: no such numbers, or none.
    """
    sides = torch.tensor(arguments.positives(sizes, "sizes"), dtype=torch.float32)
    tall = torch.tensor(arguments.positives(aspect_ratios, "aspect_ratios"), dtype=torch.float32).sqrt()  # of a square of side 1
    width, height = ((1 / tall)[:, None] * sides).flatten(), (tall[:, None] * sides).flatten()  # [A] each
    return (torch.stack((-width, -height, width, height), 1) / 2).round()  # [A, 4]


def place_anchors(base: Tensor, map_size: IntOrPair, stride: IntOrPair) -> Tensor:
    """Copy the anchors to every place of one map: places in reading order, all shapes of a place together. [H*W*A, 4]

    Args:
        base: [A, 4], floating-point, around (0, 0), as base_anchors gives them.
        map_size: (H, W), or one integer for both.
        stride: pixels from one place to the next, (down, across), or one integer for both.

    Raises:
        TypeError, ValueError: no such tensor, or no positive integers.
    """
    arguments.check_boxes(base, "base")
    (height, width), (down, across) = arguments.pair(map_size, "map_size", 1), arguments.pair(stride, "stride", 1)
    y, x = (torch.arange(count, device=base.device) * step for count, step in ((height, down), (width, across)))  # [H], [W]
    corner = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), -1)  # [H, W, 2]
    return (corner.repeat(1, 1, 2)[:, :, None] + base).flatten(0, 2)  # [H*W*A, 4]


def anchor_grid(
    image_size: IntOrPair,
    map_sizes: Sequence[IntOrPair],
    sizes: Sequence[Numbers],
    aspect_ratios: Numbers | Sequence[Numbers] = (0.5, 1.0, 2.0),
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Faster R-CNN's anchors at every place of every level, x1, y1, x2, y2 in pixels. They reach beyond the image. [N, 4]

    Args:
        image_size: (height, width) of the picture, or of the batch into which pictures of several sizes were padded; or one integer.
        map_sizes: (H, W) of each level, finest first.
        sizes: for each level its anchors' sizes, in pixels: ((32,), (64,), (128,), (256,), (512,)), or ((128, 256, 512),) for one.
        aspect_ratios: height / width, the same on all levels, or for each level its own.

    Raises:
        TypeError, ValueError: no such numbers, not as many of each as levels, or a map larger than the image.
    """
    levels = [place_anchors(base, size, stride) for size, stride, base in _levels(image_size, map_sizes, sizes, aspect_ratios)]
    return torch.cat(levels).to(device, dtype)  # [N, 4]


def default_scales(levels: int, min_ratio: float = 0.15, max_ratio: float = 0.9) -> list[float]:
    """SSD's scales, one a level and 1 behind the last, evenly spaced from min_ratio to max_ratio; of a single level these two.

    Source: paper, equation 4. Raises TypeError, ValueError: no such numbers.
    """
    levels, least, most = (
        arguments.whole(levels, "levels", 1),
        arguments.share(min_ratio, "min_ratio"),
        arguments.share(max_ratio, "max_ratio"),
    )
    if levels == 1:
        return [least, most]
    return [*(least + (most - least) * k / (levels - 1) for k in range(levels)), 1.0]


def default_boxes(
    image_size: IntOrPair,
    map_sizes: Sequence[IntOrPair],
    aspect_ratios: Sequence[Numbers],
    scales: Numbers | None = None,
    steps: Numbers | None = None,
    clip: bool = True,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """SSD's default boxes at every place of every level, x1, y1, x2, y2 in pixels. [N, 4]

    Args:
        image_size: (height, width), or one integer.
        map_sizes: (H, W) of each level, finest first.
        aspect_ratios: for each level the ratios besides 1, each of which gives a wide and an upright box; may be none.
        scales: of each level, shares of the image, and one more; by default `default_scales`.
        steps: pixels from one place to the next, for each level; by default the places are spread evenly over the image.
        clip: whether a width or height larger than the image is cut to it. Boxes at the border reach beyond it even so.

    Raises:
        TypeError, ValueError: no such numbers, or not as many of each as levels.
    """
    image = arguments.pair(image_size, "image_size", 1)
    maps = [arguments.pair(size, "each of map_sizes", 1) for size in arguments.several(map_sizes, "map_sizes")]
    ratios = arguments.several(aspect_ratios, "aspect_ratios", len(maps))
    scales = arguments.positives(default_scales(len(maps)) if scales is None else scales, "scales", len(maps) + 1)
    steps = [None] * len(maps) if steps is None else arguments.positives(steps, "steps", len(maps))
    levels = [
        default_boxes_of_level(image, size, scale, next_scale, of_level, step, clip)
        for size, scale, next_scale, of_level, step in zip(maps, scales, scales[1:], ratios, steps, strict=False)
    ]
    return torch.cat(levels).to(device, dtype)  # [N, 4]


def default_boxes_of_level(
    image_size: IntOrPair,
    map_size: IntOrPair,
    scale: float,
    next_scale: float,
    aspect_ratios: Numbers,
    step: float | None = None,
    clip: bool = True,
) -> Tensor:
    """SSD's default boxes of one level: places in reading order, all shapes of a place together. float32 [H*W*A, 4]

    Args:
        image_size: (height, width), or one integer.
        map_size: (H, W) of the level, or one integer.
        scale, next_scale: of this level and of the one behind it, shares of the image.
        aspect_ratios: besides 1, each of which gives a wide and an upright box; may be none.
        step: pixels from one place to the next; None spreads the places evenly over the image.
        clip: whether a width or height larger than the image is cut to it. Boxes at the border reach beyond it even so.

    Raises:
        TypeError, ValueError: no such numbers.
    """
    image, (height, width) = arguments.pair(image_size, "image_size", 1), arguments.pair(map_size, "map_size", 1)
    scale, next_scale = arguments.positive(scale, "scale"), arguments.positive(next_scale, "next_scale")
    step = None if step is None else arguments.positive(step, "step")
    sides = _default_sides(scale, next_scale, aspect_ratios)  # [A, 2]
    sides = sides.clamp(max=1) if clip else sides
    places = (height, width) if step is None else (image[0] / step, image[1] / step)  # in the whole image, maybe a fraction
    y, x = ((torch.arange(count) + 0.5) / of_all for count, of_all in zip((height, width), places, strict=True))  # [H], [W]
    centre = torch.stack((x.expand(height, width), y[:, None].expand(height, width)), -1)[:, :, None]  # [H, W, 1, 2]
    corners = torch.cat((centre - 0.5 * sides, centre + 0.5 * sides), -1)  # [H, W, A, 4], shares of the image
    return (corners * torch.tensor([image[1], image[0]] * 2)).flatten(0, 2)  # [H*W*A, 4]


def _default_sides(scale: float, next_scale: float, aspect_ratios: Numbers) -> Tensor:
    """Width and height of the shapes at one place, shares of the image. [A, 2]"""
    between = math.sqrt(scale * next_scale)
    pairs = [(scale, scale), (between, between)]
    for ratio in arguments.positives(aspect_ratios, "each of aspect_ratios", least=0):
        long, short = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
        pairs += [(long, short), (short, long)]
    return torch.tensor(pairs, dtype=torch.float32)


def anchor_grid_steps(
    image_size: IntOrPair,
    map_sizes: Sequence[IntOrPair],
    sizes: Sequence[Numbers],
    aspect_ratios: Numbers | Sequence[Numbers] = (0.5, 1.0, 2.0),
) -> Iterator[Step]:
    """anchor_grid, level by level: a step for each shape, then one for each place, where all of them are copied to.

    Reads "base" at the places; writes "base" [ΣA, 4], level after level, and "output" [N, 4].
    """
    first, shapes = 0, 0
    levels = list(_levels(image_size, map_sizes, sizes, aspect_ratios))
    for level, ((height, width), (down, across), base) in enumerate(levels):
        where = f"On level {level}, a" if len(levels) > 1 else "A"
        of_level = sizes[level], _of_level(aspect_ratios, level)
        for a, (ratio, size) in enumerate(itertools.product(*reversed(of_level))):
            yield _shape(f"{where}n anchor", shapes + a, float(size), float(ratio), base[a].tolist())
        cells = [(shapes + a, side) for a in range(len(base)) for side in range(4)]
        for row, column in itertools.product(range(height), range(width)):
            x, y = column * across, row * down
            corners = (base + torch.tensor([x, y, x, y])).flatten().tolist()
            written = [(first + i // 4, i % 4) for i in range(len(corners))]
            yield Step(
                f"{where}t row {row}, column {column} the anchors stand around x [{x}|write], y [{y}|write].",
                reads={"base": tuple(cells)},
                writes={"output": dict(zip(written, corners, strict=True))},
                arithmetic=f"{column} × {across} = {x},  {row} × {down} = {y}",
            )
            first += len(base)
        shapes += len(base)


def _shape(anchor: str, a: int, size: float, ratio: float, corners: list[float]) -> Step:
    tall = math.sqrt(ratio)
    return Step(
        f"{anchor} of size {number(size)} that is {number(ratio)} times as high as wide, rounded to whole pixels, is "
        f"[{listing(corners)}|write].",
        reads={},
        writes={"base": {(a, side): corner for side, corner in enumerate(corners)}},
        arithmetic=f"{number(size)} / √{number(ratio)} = {number(size / tall)},  {number(size)} × √{number(ratio)} = {number(size * tall)}",
    )


def _levels(
    image_size: IntOrPair, map_sizes: Sequence[IntOrPair], sizes: Sequence[Numbers], aspect_ratios: Numbers | Sequence[Numbers]
) -> Iterator[tuple[Pair, Pair, Tensor]]:
    """(H, W), (stride down, stride across) and the base anchors [A, 4] of each level."""
    image = arguments.pair(image_size, "image_size", 1)
    maps = [arguments.pair(size, "each of map_sizes", 1) for size in arguments.several(map_sizes, "map_sizes")]
    sizes = arguments.several(sizes, "sizes", len(maps))
    if _is_per_level(aspect_ratios):
        arguments.several(aspect_ratios, "aspect_ratios", len(maps))
    for level, size in enumerate(maps):
        arguments.check_fits(size, image)
        base = base_anchors(sizes[level], _of_level(aspect_ratios, level))
        yield size, (image[0] // size[0], image[1] // size[1]), base


def _is_per_level(aspect_ratios: Numbers | Sequence[Numbers]) -> bool:
    return isinstance(aspect_ratios, (tuple, list)) and len(aspect_ratios) > 0 and isinstance(aspect_ratios[0], (tuple, list))


def _of_level(aspect_ratios: Numbers | Sequence[Numbers], level: int) -> Numbers:
    return aspect_ratios[level] if _is_per_level(aspect_ratios) else aspect_ratios
