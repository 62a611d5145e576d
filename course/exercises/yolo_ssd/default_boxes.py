"""Exercise: the default boxes of one level of SSD."""

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.anchors import default_boxes_of_level

PROMPT = r"""
SSD looks for objects of one size on each of its maps. At every place of a map stand the same few shapes. The level has a scale $s$, a
share of the image, the one behind it has $s'$, and there are ratios $a_1, a_2, \dots$ besides 1. Widths and heights, **as shares of the
image**, in this order:

$$s \times s \qquad \sqrt{s s'} \times \sqrt{s s'} \qquad s \sqrt{a_1} \times \frac{s}{\sqrt{a_1}} \qquad
  \frac{s}{\sqrt{a_1}} \times s \sqrt{a_1} \qquad s \sqrt{a_2} \times \frac{s}{\sqrt{a_2}} \qquad \dots$$

So each ratio gives **two** shapes, first the wide one, then the upright one. With `clip`, a width or a height above 1 becomes 1.

The place in row $i$ and column $j$ of a map of $H$ rows and $W$ columns is the **middle** of its cell. A cell is (image width / $W$) wide
and (image height / $H$) high; but if `step` is given, it is `step` pixels wide and high.

```text
image (60, 120), map (2, 3), s = 0.2, s' = 0.45, no ratios     shapes   0.2 × 0.2,  0.3 × 0.3
cells of 40 × 30 pixels, the first with its middle at (20, 15)
row 0, column 0     8, 9, 32, 21      2, 6, 38, 24
row 0, column 1     48, 9, 72, 21     42, 6, 78, 24
```

The answer is x1, y1, x2, y2 **in pixels**, `[H·W·A, 4]`, float32: places in reading order, all A shapes of a place together. Boxes at the
border reach beyond the image; leave them so. `image_size` is (height, width), `map_size` (rows, columns); the checks give pairs.
""".strip()

DOCSTRING = """
SSD's default boxes of one level: places in reading order, all shapes of a place together. float32 [H*W*A, 4]

Args:
    image_size: (height, width), in pixels.
    map_size: (H, W) of the level.
    scale, next_scale: of this level and of the one behind it, shares of the image.
    aspect_ratios: besides 1, each of which gives a wide and an upright box; may be none.
    step: pixels from one place to the next; None spreads the places evenly over the image.
    clip: whether a width or height larger than the image is cut to it.
""".strip()

RATIOS = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)


def _by_torchvision(
    image_size: tuple[int, int],
    map_size: tuple[int, int],
    scale: float,
    next_scale: float,
    aspect_ratios: tuple[float, ...],
    step: float | None = None,
    clip: bool = True,
) -> Tensor:
    generator = DefaultBoxGenerator([list(aspect_ratios)], scales=[scale, next_scale], steps=None if step is None else [step], clip=clip)
    (boxes,) = generator(ImageList(torch.zeros(1, 3, *image_size), [image_size]), [torch.zeros(1, 1, *map_size)])
    return boxes


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, map_size: tuple[int, int], ratios: int, scale: tuple[int, int] = (10, 30), **more: object) -> Case:
        """In an image whose sides differ; no ratio is the square of another."""
        share = whole(draw, *scale) / 100
        places = torch.randperm(len(RATIOS), generator=draw)[:ratios].tolist()
        inputs = {
            "image_size": (whole(draw, 8, 14) * 12, whole(draw, 16, 24) * 12),
            "map_size": map_size,
            "scale": share,
            "next_scale": share + whole(draw, 10, 30) / 100,
            "aspect_ratios": tuple(RATIOS[place] for place in places),
        }
        return Case(name, inputs | more)

    yield case("one place, two squares", (1, 1), 0)
    yield case("one place, one ratio", (1, 1), 1)
    yield case("two rows and three columns", (2, 3), 0)
    yield case("two ratios on three rows and two columns", (3, 2), 2)
    yield case("a step of its own", (2, 3), 1, step=whole(draw, 20, 40))
    yield case("wider than the image", (2, 2), 2, scale=(70, 90))
    yield case("wider than the image, not clipped", (2, 2), 2, scale=(70, 90), clip=False)
    odd = 5 * whole(draw, 18, 26) + 2, 7 * whole(draw, 28, 38) + 3
    yield case("three ratios on a map that does not divide the image", (5, 7), 3, image_size=odd)
    yield case("a step, not clipped", (3, 4), 2, scale=(60, 80), step=whole(draw, 10, 20), clip=False)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _shapes(s: float, t: float, ratios: tuple[float, ...]) -> list[tuple[float, float]]:
    """Width and height of each shape, shares of the image."""
    middle = math.sqrt(s * t)
    of_ratios = [((s * math.sqrt(a), s / math.sqrt(a)), (s / math.sqrt(a), s * math.sqrt(a))) for a in ratios]
    return [(s, s), (middle, middle), *itertools.chain(*of_ratios)]


def _cut(share: float) -> float:
    return min(share, 1.0)


def _written(
    shapes: Callable = _shapes,
    cut: Callable[[float], float] = _cut,
    always: bool = False,
    middle: float = 0.5,
    unit: Callable[[int, int], tuple[float, float]] = lambda height, width: (width, height),
    half: float = 0.5,
    cell: Callable[..., tuple[float, float]] | None = None,
    rows_first: bool = True,
) -> Callable:
    """default_boxes_of_level with one part of it written otherwise; `cell` gives its width and height, `unit` those of a whole image."""

    def wrong(image_size, map_size, scale, next_scale, aspect_ratios, step=None, clip=True):
        (height, width), (rows, columns) = image_size, map_size
        usual = (width / columns, height / rows) if step is None else (step, step)
        across, down = usual if cell is None else cell(height, width, rows, columns, step)
        places = itertools.product(range(rows), range(columns))
        if not rows_first:
            places = ((i, j) for j, i in itertools.product(range(columns), range(rows)))
        boxes = []
        for i, j in places:
            x, y = (j + middle) * across, (i + middle) * down
            for w, h in shapes(scale, next_scale, aspect_ratios):
                w, h = (cut(side) if clip or always else side for side in (w, h))
                w, h = (half * side * whole for side, whole in zip((w, h), unit(height, width), strict=True))
                boxes.append((x - w, y - h, x + w, y + h))
        return torch.tensor(boxes)

    return wrong


def _one_of_a_ratio(s, t, ratios):
    return [(s, s), (math.sqrt(s * t),) * 2, *((s * math.sqrt(a), s / math.sqrt(a)) for a in ratios)]


def _upright_first(s, t, ratios):
    squares, others = _shapes(s, t, ratios)[:2], _shapes(s, t, ratios)[2:]
    return squares + [(h, w) for w, h in others]


def _wide_ones_first(s, t, ratios):
    shapes = _shapes(s, t, ratios)
    return shapes[:2] + shapes[2::2] + shapes[3::2]


def _small_square(s, t, ratios):
    return [_shapes(s, t, ratios)[0], *_shapes(s, t, ratios)[2:]]


def _squares_last(s, t, ratios):
    shapes = _shapes(s, t, ratios)
    return [shapes[0], *shapes[2:], shapes[1]]


def _with_middle(middle: Callable[[float, float], float]) -> Callable:
    def shapes(s, t, ratios):
        return [(s, s), (middle(s, t),) * 2, *_shapes(s, t, ratios)[2:]]

    return shapes


def _without_root(s, t, ratios):
    return _shapes(s, t, ratios)[:2] + [shape for a in ratios for shape in ((s * a, s / a), (s / a, s * a))]


def _swapped(height, width, rows, columns, step):
    return (height / columns, width / rows) if step is None else (step, step)


def _no_step(height, width, rows, columns, step):
    return width / columns, height / rows


def _whole_step(height, width, rows, columns, step):
    return (width // columns, height // rows) if step is None else (step, step)


def _clipped_to_the_image(image_size, map_size, scale, next_scale, aspect_ratios, step=None, clip=True):
    boxes = default_boxes_of_level(image_size, map_size, scale, next_scale, aspect_ratios, step, clip)
    height, width = image_size
    return boxes.clamp(min=0).minimum(torch.tensor([width, height] * 2, dtype=boxes.dtype))


def _an_axis_too_many(image_size, map_size, scale, next_scale, aspect_ratios, step=None, clip=True):
    boxes = default_boxes_of_level(image_size, map_size, scale, next_scale, aspect_ratios, step, clip)
    return boxes.reshape(*map_size, -1, 4)


def _shares(image_size, map_size, scale, next_scale, aspect_ratios, step=None, clip=True):
    boxes = default_boxes_of_level(image_size, map_size, scale, next_scale, aspect_ratios, step, clip)
    return boxes / torch.tensor([image_size[1], image_size[0]] * 2)


def _centre_and_sides(image_size, map_size, scale, next_scale, aspect_ratios, step=None, clip=True):
    x1, y1, x2, y2 = default_boxes_of_level(image_size, map_size, scale, next_scale, aspect_ratios, step, clip).unbind(1)
    return torch.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), 1)


DEFAULT_BOXES = Exercise(
    prompt=PROMPT,
    solution=default_boxes_of_level,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="torchvision's DefaultBoxGenerator",
    cases=_cases,
    tolerance=1e-4,  # pixels: the corner that happens to be near 0 has lost digits
    common_mistakes=(
        Mistake(
            "one shape a ratio",
            _written(_one_of_a_ratio),
            "This is what happens when each ratio gives the wide shape alone. It gives two: the upright one comes right behind it.",
        ),
        Mistake(
            "upright first",
            _written(_upright_first),
            "This is what happens when the upright shape comes before the wide one. The first has the width s · √a.",
        ),
        Mistake(
            "all wide ones first",
            _written(_wide_ones_first),
            "This is what happens when the wide shapes of all ratios come first. Each ratio's upright shape stands right behind its wide "
            "one.",
        ),
        Mistake(
            "one square",
            _written(_small_square),
            "This is what happens when there is one square only. There are two: s, and √(s · s'), half-way to the next level.",
        ),
        Mistake(
            "second square last",
            _written(_squares_last),
            "This is what happens when the second square stands behind the ratios, as in the paper. Here both squares come first.",
        ),
        Mistake(
            "arithmetic mean",
            _written(_with_middle(lambda s, t: (s + t) / 2)),
            "This is what happens when the second square is (s + s') / 2. It is the geometric mean, √(s · s').",
        ),
        Mistake(
            "the next scale itself",
            _written(_with_middle(lambda s, t: t)),
            "This is what happens when the second square has the next level's scale. It lies between the two: √(s · s').",
        ),
        Mistake(
            "without the root",
            _written(_without_root),
            "This is what happens when the sides are s · a and s / a. Then the ratio counts twice: use its root.",
        ),
        Mistake(
            "at the corner of the cell",
            _written(middle=0.0),
            "This is what happens when the boxes stand at the upper left corner of the cell. SSD's stand in its middle: add ½.",
        ),
        Mistake(
            "whole sides to each side",
            _written(half=1.0),
            "This is what happens when a whole side goes to the left and another to the right. Half of it goes to each.",
        ),
        Mistake(
            "height and width of the image swapped",
            _written(unit=lambda height, width: (height, width)),
            "This is what happens when widths are multiplied by the image's height and heights by its width. image_size is (height, "
            "width).",
        ),
        Mistake(
            "squares of the shorter side",
            _written(unit=lambda height, width: (min(height, width),) * 2),
            "This is what happens when both sides are shares of the shorter side of the image. A width is a share of the width, a height "
            "of the height.",
        ),
        Mistake(
            "cells swapped",
            _written(cell=_swapped),
            "This is what happens when a cell is as wide as the image's height / W. It is the image's width / W, and the height / H.",
        ),
        Mistake(
            "step not used",
            _written(cell=_no_step),
            "This is what happens when step is not used. When it is given, places are step pixels apart, whatever the image's size.",
        ),
        Mistake(
            "whole pixels",
            _written(cell=_whole_step),
            "This is what happens when a cell's side is rounded down to whole pixels, as Faster R-CNN's stride. Divide with /.",
        ),
        Mistake(
            "column by column",
            _written(rows_first=False),
            "This is what happens when places are gone through column by column. They stand in reading order: the row is the outer loop.",
        ),
        Mistake(
            "clip not used",
            _written(cut=lambda share: share),
            "This is what happens when clip is not used. With it, a side larger than the image is cut to 1.",
        ),
        Mistake(
            "always clipped",
            _written(always=True),
            "This is what happens when sides are cut to 1 in any case. They are only with clip.",
        ),
        Mistake(
            "cut at the border",
            _clipped_to_the_image,
            "This is what happens when boxes are cut at the border of the image. clip is about sides; a box may reach beyond the border.",
        ),
        Mistake(
            "in shares",
            _shares,
            "This is what happens when the corners stay shares of the image. They are in pixels: x times the width, y times the height.",
        ),
        Mistake(
            "centre and sides",
            _centre_and_sides,
            "This is what happens when a row is the centre, the width and the height. It is x1, y1, x2, y2.",
        ),
        Mistake(
            "an axis too many",
            _an_axis_too_many,
            "This is what happens when rows, columns and shapes keep an axis each. One row a box: reshape(-1, 4).",
        ),
    ),
)
