"""Exercise: RoIAlign."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torchvision
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.roi import roi_align

PROMPT = r"""
RoI pooling rounds the box to whole cells, and its bins once more. RoIAlign rounds **nothing**. One box, and one bin of it:

1. **Cells.** x1, y1, x2, y2, times `spatial_scale`. With `aligned`, take 0.5 off all four: then the middle of cell $i$ is at $i$, as it
   should be. Without `aligned` nothing is taken off, as in the first implementations, and a box that is less than 1 cell wide or high
   counts as 1 cell wide or high, from its x1 or y1 on. With `aligned` it stays as small as it is.
2. **Bins.** The box is w cells wide, a fraction: each of n bins a row is $w / n$ wide. Likewise its height.
3. **Points.** In each bin stand S × S of them. Point $s$ of bin $i$ is at $x_1 + i\,\frac{w}{n} + \left(s + \frac12\right)\frac{w}{n\,S}$,
   for $s = 0 \dots S - 1$; likewise down. S is `sampling_ratio`; where that is 0 or less, there are $\lceil w / n \rceil$ across and
   $\lceil h / n \rceil$ down, about one a cell.
4. **Values.** At each point the map is interpolated, as in the exercise before, but with the middle of cell $i$ at $i$. A point further
   left than −1 or further right than W, or above −1 or below H, gives 0. Any other point outside counts as the nearest one between the
   outermost middles.
5. The bin gives the **mean** of its points.

```text
a box from x = 1.5 to 3.5, from y = 1 to 2, in cells, already shifted; one bin, sampling_ratio 2

0  1  2  3  4         points at x = 1.5 + 0.5 = 2 and 1.5 + 1.5 = 3      y = 1 + 0.25 = 1.25 and 1 + 0.75 = 1.75
0  2  4  6  8
0  4  8  8  8         (2, 1.25)  0.75 · 4 + 0.25 · 8 = 5         (3, 1.25)  0.75 · 6 + 0.25 · 8 = 6.5
                      (2, 1.75)  0.25 · 4 + 0.75 · 8 = 7         (3, 1.75)  0.25 · 6 + 0.75 · 8 = 7.5       mean 6.5
```

`features` is `[N, C, H, W]`. A row of `boxes`, `[R, 5]`, is the index of the image, then x1, y1, x2, y2. `output_size` is a number or
(rows, columns). The answer is `[R, C, rows, columns]`; R may be 0. Boxes may reach beyond the map, and none is empty. Loops are welcome.
""".strip()

DOCSTRING = """
The mean of the map, interpolated at S × S points, in each bin of each box. [R, C, PH, PW]

Args:
    features: [N, C, H, W].
    boxes: [R, 5], in each row the index of the image, then x1, y1, x2, y2.
    output_size: (PH, PW) or one integer.
    spatial_scale: cells a pixel, 1 / stride, if the boxes are in pixels.
    sampling_ratio: S; 0 or less for one point a cell.
    aligned: whether 0.5 is taken off first, since the middle of cell i lies i + 0.5 cells from the edge.
""".strip()


def _by_torchvision(
    features: Tensor,
    boxes: Tensor,
    output_size: int | tuple[int, int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    return torchvision.ops.roi_align(features, boxes, output_size, spatial_scale, sampling_ratio, aligned)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, features: Tensor, boxes: list | Tensor, size: int | tuple[int, int], **more: object) -> Case:
        boxes = torch.as_tensor(boxes, dtype=features.dtype).reshape(-1, 5)
        return Case(name, {"features": features, "boxes": boxes, "output_size": size} | more)

    def box(x: float, y: float, width: float, height: float, image: int = 0, stride: int = 1) -> list[float]:
        return [image, *(stride * side for side in (x, y, x + width, y + height))]

    def place(cells: int) -> float:
        """Between two quarters of a cell, from 0.125 on."""
        return whole(draw, 0, 4 * cells) / 4 + 0.125

    yield case("one bin, one point", digits(draw, 1, 1, 4, 4), box(place(1), place(1), 2, 1.5), 1, sampling_ratio=1)
    yield case("one bin, two by two points", digits(draw, 1, 1, 4, 5), box(place(2), place(1), 2.5, 1.75), 1, sampling_ratio=2)
    yield case("two by two bins", digits(draw, 1, 1, 5, 5), box(place(1), place(1), 3.5, 2.75), 2, sampling_ratio=2)
    rows = [box(place(3), place(2), 3.25, 4.5, stride=16) for _ in range(2)]
    pixels = {"spatial_scale": 1 / 16, "sampling_ratio": 2}
    yield case("boxes in pixels, stride 16", normal(draw, 1, 2, 8, 9), rows, 2, **pixels)
    yield case("aligned", normal(draw, 1, 2, 8, 9), rows, 2, **pixels, aligned=True)
    yield case("one point a cell", normal(draw, 1, 1, 8, 10), box(place(2), place(2), 6.75, 2.5), 2)
    yield case("one point a cell, aligned", normal(draw, 1, 1, 10, 8), box(place(2), place(2), 2.5, 6.75), 2, aligned=True)
    small = box(1 + place(1), 1 + place(1), 0.5, 0.375)
    yield case("smaller than a cell", digits(draw, 1, 1, 4, 4), small, 2, sampling_ratio=1)
    yield case("smaller than a cell, aligned", digits(draw, 1, 1, 4, 4), small, 2, sampling_ratio=1, aligned=True)
    yield case("three rows of two bins", normal(draw, 1, 2, 8, 9), box(place(3), place(2), 4.5, 5.25), (3, 2), sampling_ratio=2)
    # points across at −1.875, −0.625, 0.625 and 1.875, down at 3.125, 4.375, 5.625 and 6.875, and the other way round
    beyond = [box(-2.5, 2.5, 5, 5), box(3.5, -2.5, 5, 5)]
    yield case("up to a cell outside, and further", digits(draw, 1, 1, 5, 6), beyond, 2, sampling_ratio=2)
    rows = [box(place(3), place(2), 3.5, 2.25, image) for image in (2, 0, 1, 2)]
    yield case("three images", normal(draw, 3, 2, 6, 8), rows, 2, sampling_ratio=2)
    yield case("no boxes", normal(draw, 2, whole(draw, 1, 4), 5, 5), torch.zeros(0, 5), (2, 3))
    rows = [box(place(4), place(3), 5 + place(3), 4 + place(3), image, stride=8) for image in (0, 1)]
    yield case(
        "seven bins a side, float64",
        normal(draw, 2, 2, 12, 15).double(),
        rows,
        7,
        spatial_scale=1 / 8,
        sampling_ratio=1,
        aligned=True,
    )


# ---- wrong versions --------------------------------------------------------------------------------------------------

Spread = Callable[[float, float, int], list[float]]


def _inside(start: float, width: float, count: int) -> list[float]:
    """The points of a bin along one side."""
    return [start + (s + 0.5) * width / count for s in range(count)]


def _value(plane: Tensor, y: float, x: float) -> Tensor | None:
    """[C, H, W] at a point; None further outside than a cell."""
    height, width = plane.shape[1:]
    return _between(plane, y, x) if -1 <= y <= height and -1 <= x <= width else None


def _between(plane: Tensor, y: float, x: float) -> Tensor:
    """The four cells around a point, which is brought inside."""
    height, width = plane.shape[1:]
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    low, right, v, u = min(top + 1, height - 1), min(left + 1, width - 1), y - top, x - left
    above = (1 - u) * plane[:, top, left] + u * plane[:, top, right]
    below = (1 - u) * plane[:, low, left] + u * plane[:, low, right]
    return (1 - v) * above + v * below


def _mean(values: list[Tensor | None], plane: Tensor) -> Tensor:
    found = [value for value in values if value is not None]
    return sum(found, plane.new_zeros(len(plane))) / len(values)


def _usual(ratio: int, width: float) -> int:
    return ratio if ratio > 0 else math.ceil(width)


def _written(
    read: Callable[[Sequence], Sequence] = lambda box: box,
    scaled: Callable[[float], float] = float,
    shift: Callable[[bool], float] = lambda aligned: 0.5 if aligned else 0.0,
    least: Callable[[bool], float] = lambda aligned: 0.0 if aligned else 1.0,
    side: Callable[[float, float], tuple[float, float]] = lambda start, end: (start, end),
    count: Callable[[int, float], int] = _usual,
    spread: Spread = _inside,
    value: Callable[[Tensor, float, float], Tensor | None] = _value,
    pick: Callable[[list, Tensor], Tensor] = _mean,
    of_image: Callable[[int], int] = int,
) -> Callable:
    """roi_align point by point, in Python's doubles; a wrong version has one part written otherwise."""

    def align(features, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
        grid = (output_size, output_size) if isinstance(output_size, int) else output_size
        output = features.new_zeros(len(boxes), features.shape[1], *grid)

        def points(start, end, bins):
            """Those of each bin along one side."""
            start, end = side(start * scaled(spatial_scale) - shift(aligned), end * scaled(spatial_scale) - shift(aligned))
            width = max(end - start, least(aligned)) / bins
            return [spread(start + i * width, width, count(sampling_ratio, width)) for i in range(bins)]

        for r, (image, *box) in enumerate(boxes.tolist()):
            x1, y1, x2, y2 = read(box)
            plane = features[of_image(image)]
            for i, ys in enumerate(points(y1, y2, grid[0])):
                for j, xs in enumerate(points(x1, x2, grid[1])):
                    output[r, :, i, j] = pick([value(plane, y, x) for y in ys for x in xs], plane)
        return output

    return align


def _nearest(plane: Tensor, y: float, x: float) -> Tensor | None:
    if _value(plane, y, x) is None:
        return None
    height, width = plane.shape[1:]
    return plane[:, min(max(math.floor(y + 0.5), 0), height - 1), min(max(math.floor(x + 0.5), 0), width - 1)]


def _zero_at_once(plane: Tensor, y: float, x: float) -> Tensor | None:
    height, width = plane.shape[1:]
    return _between(plane, y, x) if 0 <= y <= height - 1 and 0 <= x <= width - 1 else None


def _of_those_inside(values: list[Tensor | None], plane: Tensor) -> Tensor:
    found = [value for value in values if value is not None]
    return _mean(found, plane) if found else plane.new_zeros(len(plane))


def _largest(values: list[Tensor | None], plane: Tensor) -> Tensor:
    return torch.stack([plane.new_zeros(len(plane)) if value is None else value for value in values]).amax(0)


def _size_turned(features, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    grid = output_size if isinstance(output_size, int) else tuple(output_size)[::-1]
    return roi_align(features, boxes, grid, spatial_scale, sampling_ratio, aligned)


def _columns_first(features, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    grid = output_size if isinstance(output_size, int) else tuple(output_size)[::-1]
    return roi_align(features.transpose(2, 3), boxes[:, [0, 2, 1, 4, 3]], grid, spatial_scale, sampling_ratio, aligned)


ROI_ALIGN = Exercise(
    prompt=PROMPT,
    solution=roi_align,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="torchvision.ops.roi_align",
    cases=_cases,
    tolerance=1e-4,
    common_mistakes=(
        Mistake(
            "x and y swapped",
            _written(read=lambda box: (box[1], box[0], box[3], box[2])),
            "This is what happens when x and y are swapped. x counts columns, y counts rows, and of features the rows come first.",
        ),
        Mistake(
            "box rounded",
            _written(side=lambda start, end: (math.floor(start + 0.5), math.floor(end + 0.5))),
            "This is what happens when the box is rounded to whole cells, as RoI pooling does it. RoIAlign rounds nothing.",
        ),
        Mistake(
            "box rounded outwards",
            _written(side=lambda start, end: (math.floor(start), math.ceil(end))),
            "This is what happens when the box is widened to whole cells. RoIAlign rounds nothing.",
        ),
        Mistake(
            "nearest cell",
            _written(value=_nearest),
            "This is what happens when a point takes the nearest cell's value. Blend the four cells around it.",
        ),
        Mistake(
            "never aligned",
            _written(shift=lambda aligned: 0.0, least=lambda aligned: 1.0),
            "This is what happens when aligned is not looked at. With aligned, 0.5 is taken off x1, y1, x2 and y2, and small boxes stay "
            "small.",
        ),
        Mistake(
            "half a cell forgotten",
            _written(shift=lambda aligned: 0.0),
            "This is what happens when the half cell is forgotten. With aligned, 0.5 is taken off x1, y1, x2 and y2.",
        ),
        Mistake(
            "always half a cell",
            _written(shift=lambda aligned: 0.5),
            "This is what happens when half a cell is taken off in any case. It is only with aligned.",
        ),
        Mistake(
            "half a cell added",
            _written(shift=lambda aligned: -0.5 if aligned else 0.0),
            "This is what happens when the half cell is added. Take it off: x · scale − 0.5.",
        ),
        Mistake(
            "half a pixel",
            _written(read=lambda box: [side - 0.5 for side in box], shift=lambda aligned: 0.0),
            "This is what happens when half a pixel is taken off, in any case. It is half a cell, with aligned: multiply by spatial_scale "
            "first.",
        ),
        Mistake(
            "small boxes stay small",
            _written(least=lambda aligned: 0.0),
            "This is what happens when a box of less than a cell stays as it is without aligned. There it counts as 1 cell wide and high.",
        ),
        Mistake(
            "small boxes grow",
            _written(least=lambda aligned: 1.0),
            "This is what happens when a box of less than a cell counts as 1 cell with aligned, too. There it stays as it is.",
        ),
        Mistake(
            "maximum",
            _written(pick=_largest),
            "This is what happens when a bin gives its largest point, as in RoI pooling. It gives the mean.",
        ),
        Mistake(
            "sum",
            _written(pick=lambda values, plane: _mean(values, plane) * len(values)),
            "This is what happens when the points of a bin are added up. It gives their mean.",
        ),
        Mistake(
            "one point",
            _written(count=lambda ratio, width: 1),
            "This is what happens when a bin is read at its middle alone. There are sampling_ratio points a side.",
        ),
        Mistake(
            "points at the edge",
            _written(spread=lambda start, width, count: [start + s * width / count for s in range(count)]),
            "This is what happens when the points begin at the edge of the bin. Each stands in the middle of its part: s + 0.5.",
        ),
        Mistake(
            "points from edge to edge",
            _written(
                spread=lambda start, width, count: (
                    [start + s * width / (count - 1) for s in range(count)] if count > 1 else [start + width / 2]
                )
            ),
            "This is what happens when the points reach from one edge of the bin to the other, as linspace has them. Each stands in the "
            "middle of its part: (s + 0.5) / S.",
        ),
        Mistake(
            "two points in any case",
            _written(count=lambda ratio, width: ratio if ratio > 0 else 2),
            "This is what happens when a sampling_ratio of 0 or less means 2 points. It means one a cell: the bin's width, rounded up.",
        ),
        Mistake(
            "points rounded down",
            _written(count=lambda ratio, width: ratio if ratio > 0 else max(1, math.floor(width))),
            "This is what happens when the number of points is rounded down. It is rounded up: a bin of 1.5 cells has 2.",
        ),
        Mistake(
            "0 at once",
            _written(value=_zero_at_once),
            "This is what happens when a point outside gives 0 in any case. Up to a cell outside it counts as the nearest point inside.",
        ),
        Mistake(
            "never 0",
            _written(value=_between),
            "This is what happens when a point far outside counts as the nearest one inside. More than a cell outside it gives 0.",
        ),
        Mistake(
            "mean of those inside",
            _written(pick=_of_those_inside),
            "This is what happens when points far outside are left out of the mean. They give 0, and count.",
        ),
        Mistake(
            "scale forgotten",
            _written(scaled=lambda scale: 1.0),
            "This is what happens when the boxes are taken to be in cells. They are in pixels: multiply by spatial_scale.",
        ),
        Mistake(
            "first image only",
            _written(of_image=lambda image: 0),
            "This is what happens when all boxes are read from the first image. The first number of a box says which it is.",
        ),
        Mistake(
            "columns by rows",
            _size_turned,
            "This is what happens when output_size is read as columns and rows. Rows come first.",
        ),
        Mistake(
            "grid turned over",
            _columns_first,
            "This is what happens when the grid is filled down its columns. The answer is [R, C, rows, columns].",
        ),
    ),
)
