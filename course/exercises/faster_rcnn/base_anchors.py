"""Exercise: the shapes of the anchors, from sizes and aspect ratios."""

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.anchors import base_anchors

PROMPT = r"""
An anchor has a size $s$ and a ratio $a$ = height / width. Its **area is $s^2$**, whatever the ratio: all anchors of one size cover as much.

$$w = \frac{s}{\sqrt a} \qquad h = s \cdot \sqrt a$$

Write down the anchors around the point (0, 0), as corners `x1, y1, x2, y2`: half of each side to the left and to the right, half above and
below. Then round the corners to whole pixels.

```text
size 32, ratio 0.5      w = 32 / √0.5 = 45.25     h = 32 · √0.5 = 22.63
corners                 −22.63, −11.31, 22.63, 11.31
rounded                 −23, −11, 23, 11
```

`sizes` and `aspect_ratios` are tuples of numbers. The answer has a row for **every size with every ratio**: first all sizes with the first
ratio, then all sizes with the second. It is a float32 tensor, `[A, 4]`. A half is rounded to the even neighbour, as `torch.round` does it.
""".strip()

DOCSTRING = """
The anchors around (0, 0): for each ratio each size, corners x1, y1, x2, y2, rounded to whole pixels. float32 [A, 4]

Args:
    sizes: side of the square of the same area, in pixels.
    aspect_ratios: height / width.
""".strip()

RATIOS = (0.3, 0.4, 0.5, 0.6, 0.7, 1.5, 1.8, 2.0, 2.5, 3.0)


def _by_torchvision(sizes: tuple[float, ...], aspect_ratios: tuple[float, ...]) -> Tensor:
    return AnchorGenerator().generate_anchors(list(sizes), list(aspect_ratios))


def _far_from_half(size: float, ratio: float) -> bool:
    """Whether no corner is so near to half a pixel that the last digit of a square root would decide."""
    return all(abs(corner % 1 - 0.5) > 1e-3 for corner in (size / math.sqrt(ratio) / 2, size * math.sqrt(ratio) / 2))


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, sizes: tuple[float, ...], ratios: tuple[float, ...]) -> Case:
        return Case(name, {"sizes": sizes, "aspect_ratios": ratios})

    def some(sizes: int, ratios: int, low: int = 10, high: int = 200) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Sizes and ratios in an order of their own; no ratio is 1, and none is the inverse of another."""
        while True:
            picked = tuple(sorted({whole(draw, low, high) for _ in range(sizes)}))
            places = torch.randperm(len(RATIOS), generator=draw)[:ratios].tolist()
            chosen = tuple(RATIOS[place] for place in places)
            if len(picked) == sizes and all(itertools.starmap(_far_from_half, itertools.product(picked, chosen))):
                return tuple(float(size) for size in picked), chosen

    side = 4 * (2 * whole(draw, 1, 12) + 1)  # w / 2 is odd: a pixel less would round to its even neighbour
    yield case("one size, four times as high as wide", (float(side),), (4.0,))
    yield case("one size, one ratio", *some(1, 1))
    yield case("one size, three ratios", *some(1, 3))
    yield case("three sizes, one ratio", *some(3, 1))
    yield case("three sizes, two ratios", *some(3, 2))
    yield case("three sizes, three ratios", *some(3, 3))
    odd = 2.0 * whole(draw, 2, 30) + 1
    yield case("halves: squares of odd sides", (odd, odd + 2), (1.0,))
    yield case("small ones", *some(2, 2, low=5, high=12))
    yield case("large ones, five ratios", *some(2, 5, low=300, high=900))


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _shaped(sides: Callable[[float, float], tuple[float, float]], corners: Callable[[float, float], tuple[float, ...]] | None = None):
    """base_anchors with another formula for (width, height), or for the corners."""

    def wrong(sizes, aspect_ratios):
        rows = []
        for ratio, size in itertools.product(aspect_ratios, sizes):
            w, h = sides(float(size), float(ratio))
            rows.append(corners(w, h) if corners else (-w / 2, -h / 2, w / 2, h / 2))
        return torch.tensor(rows).round()

    return wrong


def _right(s: float, a: float) -> tuple[float, float]:
    return s / math.sqrt(a), s * math.sqrt(a)


def _not_rounded(sizes, aspect_ratios):
    rows = [(-w / 2, -h / 2, w / 2, h / 2) for a in aspect_ratios for w, h in [_right(s, a) for s in sizes]]
    return torch.tensor(rows)


def _sizes_first(sizes, aspect_ratios):
    anchors = base_anchors(sizes, aspect_ratios)
    return anchors.reshape(len(aspect_ratios), len(sizes), 4).transpose(0, 1).reshape(-1, 4)


def _pairs_only(sizes, aspect_ratios):
    return torch.cat([base_anchors((s,), (a,)) for s, a in zip(sizes, aspect_ratios, strict=False)])


def _halves_up(sizes, aspect_ratios):
    return (_not_rounded(sizes, aspect_ratios) + 0.5).floor()


def _cut(sizes, aspect_ratios):
    return _not_rounded(sizes, aspect_ratios).trunc()


def _sides_rounded(sizes, aspect_ratios):
    return _shaped(lambda s, a: tuple(float(round(side)) for side in _right(s, a)))(sizes, aspect_ratios)


BASE_ANCHORS = Exercise(
    prompt=PROMPT,
    solution=base_anchors,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="generate_anchors of torchvision's AnchorGenerator",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "ratio upside down",
            _shaped(lambda s, a: (s * math.sqrt(a), s / math.sqrt(a))),
            "This is what happens when the ratio is width / height. It is height / width: at 2 an anchor stands upright.",
        ),
        Mistake(
            "without the root",
            _shaped(lambda s, a: (s / a, s * a)),
            "This is what happens when width and height are divided and multiplied by the ratio itself. Then it counts twice: use its "
            "root.",
        ),
        Mistake(
            "width kept",
            _shaped(lambda s, a: (s, s * a)),
            "This is what happens when the width stays s and the height becomes s · a. The area has to stay s².",
        ),
        Mistake(
            "height kept",
            _shaped(lambda s, a: (s / a, s)),
            "This is what happens when the height stays s and the width becomes s / a. The area has to stay s².",
        ),
        Mistake(
            "whole sides to each side",
            _shaped(_right, lambda w, h: (-w, -h, w, h)),
            "This is what happens when a whole side is taken to the left and another to the right. Half of it goes to each.",
        ),
        Mistake(
            "from the corner",
            _shaped(_right, lambda w, h: (0.0, 0.0, w, h)),
            "This is what happens when the upper left corner is at (0, 0). The middle of the anchor is there.",
        ),
        Mistake(
            "centre and sides",
            _shaped(_right, lambda w, h: (0.0, 0.0, w / 2, h / 2)),
            "This is what happens when only x2 and y2 are moved by half a side. x1 and y1 are as far from the middle on the other side.",
        ),
        Mistake(
            "not rounded",
            _not_rounded,
            "This is what happens when the corners are left as they are. Round them to whole pixels.",
        ),
        Mistake(
            "digits cut off",
            _cut,
            "This is what happens when the digits behind the point are cut off. Round to the nearest whole number.",
        ),
        Mistake(
            "halves always up",
            _halves_up,
            "This is what happens when halves are rounded upwards, so that −1.5 becomes −1 and 1.5 becomes 2: the anchor moves. "
            "torch.round takes the even neighbour.",
        ),
        Mistake(
            "sides rounded first",
            _sides_rounded,
            "This is what happens when width and height are rounded before they are halved. Round the corners, last of all.",
        ),
        Mistake(
            "one pixel less",
            _shaped(_right, lambda w, h: (-(w - 1) / 2, -(h - 1) / 2, (w - 1) / 2, (h - 1) / 2)),
            "This is what happens when a side counts pixels, so that 1 is taken off. Here a side is x2 − x1.",
        ),
        Mistake(
            "sizes first",
            _sizes_first,
            "This is what happens when all ratios of the first size come first. All sizes of the first ratio do: the ratio is the outer "
            "loop.",
        ),
        Mistake(
            "pairs only",
            _pairs_only,
            "This is what happens when the first size meets only the first ratio, the second the second. Every size comes with every "
            "ratio.",
        ),
    ),
)
