"""Exercise: RoI pooling."""

import math
from collections.abc import Callable, Iterator

import torch
import torchvision
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.exercises.fast_rcnn.regions import Bins, bins_of, cells_of, half_up, in_pixels, region
from course.ops.roi import roi_pool

PROMPT = r"""
A box of any size, and a grid of one size: divide the box's cells into bins and keep the **maximum** of each. The box
(16, 16, 51, 53) on a map of stride 16, so `spatial_scale = 1/16`, in 2 × 2 bins:

```text
16/16 = 1     51/16 = 3.19 → 3      columns 1 … 3     bins 1–2 and 2–3
16/16 = 1     53/16 = 3.31 → 3      rows    1 … 3     bins 1–2 and 2–3

 1  2  3  4  5
 6  7  0  9  0          7  9       7 = max(7, 0, 2, 5)      9 = max(0, 9, 5, 4)
 1  2  5  4  8          6  8       6 = max(2, 5, 6, 3)      8 = max(5, 4, 3, 8)
 0  6  3  8  7
```

It is rounded twice. **The box**: each of x1, y1, x2, y2, times the scale, goes to the nearest whole number, halves away from 0. The last
cell belongs to the box: it is w = x2 − x1 + 1 cells wide, and at least 1. **The bins**: bin $i$ of $n$ takes the cells from

$$x_1 + \Bigl\lfloor \frac{i\,w}{n} \Bigr\rfloor \quad\text{up to, and without,}\quad x_1 + \Bigl\lceil \frac{(i+1)\,w}{n} \Bigr\rceil$$

so neighbours may share cells, and one cell may fill several bins. A box may reach beyond the map: its bins lie where they lie, only the
cells inside count, and a bin without any gives **0**. Features may be negative.

`features` is `[N, C, H, W]`. A row of `boxes`, `[R, 5]`, is the index of the image, then x1, y1, x2, y2. `output_size` is a number or
(rows, columns). The answer is `[R, C, rows, columns]`; R may be 0.
""".strip()

DOCSTRING = """
The largest value in each bin of each box. [R, C, PH, PW]

Args:
    features: [N, C, H, W].
    boxes: [R, 5], in each row the index of the image, then x1, y1, x2, y2.
    output_size: (PH, PW) or one integer.
    spatial_scale: cells a pixel, 1 / stride, if the boxes are in pixels.
""".strip()


def _by_torchvision(features: Tensor, boxes: Tensor, output_size: int | tuple[int, int], spatial_scale: float = 1.0) -> Tensor:
    return torchvision.ops.roi_pool(features, boxes, output_size, spatial_scale)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, features: Tensor, boxes: Tensor | list, size, scale: float | None = None) -> Case:
        boxes = torch.as_tensor(boxes, dtype=features.dtype).reshape(-1, 5)
        inputs = {"features": features, "boxes": boxes, "output_size": size}
        return Case(name, inputs if scale is None else inputs | {"spatial_scale": scale})

    yield case("the whole map, in quarters", digits(draw, 1, 1, 4, 4), [0, 0, 0, 3, 3], 2)
    yield case("four by two cells somewhere", digits(draw, 1, 1, 5, 6), region(draw, (5, 6), width=(4, 5), height=(2, 3)), 2)
    yield case("three by five cells: bins share some", digits(draw, 1, 1, 6, 6), region(draw, (6, 6), width=(3, 4), height=(5, 6)), 2)
    rows = [region(draw, (9, 12), width=(2, 5), height=(5, 8)) for _ in range(3)]
    yield case("boxes in pixels, stride 16", normal(draw, 1, 2, 9, 12), in_pixels(draw, rows, 16), 2, 1 / 16)
    x, y = 2 * whole(draw, 0, 2), 2 * whole(draw, 0, 2)
    between = [0, 16 * x + 8, 16 * y + 8, 16 * x + 72, 16 * y + 56]
    yield case("exactly between two cells", normal(draw, 1, 1, 8, 9), between, 2, 1 / 16)
    yield case("three rows of two bins", normal(draw, 1, 2, 8, 9), region(draw, (8, 9), width=(4, 6), height=(5, 8)), (3, 2))
    yield case("all negative", -normal(draw, 1, 2, 6, 7).abs() - 0.1, region(draw, (6, 7)), 2)
    yield case("smaller than the grid", normal(draw, 1, 1, 6, 6), region(draw, (6, 6), width=(1, 2), height=(2, 3)), 4)
    left, top = whole(draw, 2, 4), whole(draw, 0, 2)
    yield case("a bin outside on the left", digits(draw, 1, 1, 4, 4), [0, -left - 1, top, left, top + 2], (1, 2))
    across = [[0, 4, 3, 4 + whole(draw, 4, 7), 3 + whole(draw, 4, 7)], [0, -1, -2, 3, 4], [0, 9, 8, 12, 10]]
    yield case("beyond the edge, and wholly outside", -normal(draw, 1, 2, 6, 7).abs() - 0.1, across, 3)
    rows = [region(draw, (8, 10), image=image) for image in (1, 0, 2, 1)]
    yield case("three images", normal(draw, 3, 2, 8, 10), rows, 2)
    none = torch.zeros(0, 5)
    yield case("no boxes", normal(draw, 2, whole(draw, 1, 4), 5, 5), none, (2, 3))
    rows = [region(draw, (14, 20), width=(2, 15), height=(2, 11), image=image) for image in (0, 1) * 3]
    yield case("seven bins a side, float64", normal(draw, 2, 3, 14, 20).double(), in_pixels(draw, rows, 8), 7, 1 / 8)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _largest(cells: Tensor) -> Tensor:
    """Right: [C, h, w] → [C], 0 where there is no cell."""
    return cells.amax((1, 2)) if cells.numel() else cells.new_zeros(len(cells))


def _written(
    read: Callable = lambda box: box,
    to_cell: Callable[[float], int] = half_up,
    bins: Bins = bins_of,
    pick: Callable[[Tensor], Tensor] = _largest,
    of_image: Callable[[int], int] = int,
    scaled: Callable[[float], float] = float,
    cut: bool = False,
) -> Callable:
    """Right, but for the part that is given."""

    def pool(features, boxes, output_size, spatial_scale=1.0):
        grid = (output_size, output_size) if isinstance(output_size, int) else output_size
        (_, channels, *size), scale = features.shape, scaled(spatial_scale)
        output = features.new_zeros(len(boxes), channels, *grid)
        for r, (image, *box) in enumerate(boxes.tolist()):
            box = _cut(read(box), size, scale) if cut else read(box)
            rows, columns = cells_of(box, size, grid, scale, to_cell, bins)
            for i, (top, bottom) in enumerate(rows):
                for j, (left, right) in enumerate(columns):
                    output[r, :, i, j] = pick(features[of_image(image), :, top:bottom, left:right])
        return output

    return pool


def _cut(box, size, scale):
    """x1, y1, x2, y2 in cells, no further than the map; in pixels again."""
    ends = (size[1] - 1, size[0] - 1) * 2
    return [min(max(half_up(side * scale), 0), end) / scale for side, end in zip(box, ends, strict=True)]


def _without_last(first: int, last: int, n: int) -> list[tuple[int, int]]:
    return bins_of(first, max(last - 1, first), n)


def _no_shared(first: int, last: int, n: int) -> list[tuple[int, int]]:
    """The end rounded down, but never before the first cell."""
    width = max(last - first + 1, 1)
    return [(first + i * width // n, first + max((i + 1) * width // n, i * width // n + 1)) for i in range(n)]


def _rest_dropped(first: int, last: int, n: int) -> list[tuple[int, int]]:
    step = max((last - first + 1) // n, 1)
    return [(first + i * step, first + (i + 1) * step) for i in range(n)]


def _rounded_bins(first: int, last: int, n: int) -> list[tuple[int, int]]:
    """Both ends to the nearest cell, and at least one cell."""
    width = max(last - first + 1, 1)
    ends = [first + half_up(i * width / n) for i in range(n + 1)]
    return [(a, max(b, a + 1)) for a, b in zip(ends, ends[1:], strict=False)]


def _size_turned(features, boxes, output_size, spatial_scale=1.0):
    grid = output_size if isinstance(output_size, int) else tuple(output_size)[::-1]
    return roi_pool(features, boxes, grid, spatial_scale)


def _columns_first(features, boxes, output_size, spatial_scale=1.0):
    grid = output_size if isinstance(output_size, int) else tuple(output_size)[::-1]
    return roi_pool(features.transpose(2, 3), boxes[:, [0, 2, 1, 4, 3]], grid, spatial_scale)


ROI_POOL = Exercise(
    prompt=PROMPT,
    solution=roi_pool,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="torchvision.ops.roi_pool",
    cases=_cases,
    tolerance=0.0,
    common_mistakes=(
        Mistake(
            "x and y swapped",
            _written(read=lambda box: (box[1], box[0], box[3], box[2])),
            "This is what happens when x and y are swapped. x counts columns, y counts rows, and of features the rows come first.",
        ),
        Mistake(
            "last cell left out",
            _written(bins=_without_last),
            "This is what happens when the box ends before its last cell. That belongs to it: it is x2 − x1 + 1 cells wide.",
        ),
        Mistake(
            "rounded down",
            _written(to_cell=math.floor),
            "This is what happens when the box's sides are rounded down. Each goes to the nearest cell.",
        ),
        Mistake(
            "halves to even",
            _written(to_cell=round),
            "This is what happens when round or torch.round rounds the box: of halves they take the even neighbour. Here halves go up "
            "(below 0, down): floor(x + 0.5) does it for what is not negative.",
        ),
        Mistake(
            "rounded up",
            _written(to_cell=math.ceil),
            "This is what happens when the box's sides are rounded up. Each goes to the nearest cell.",
        ),
        Mistake(
            "no shared cells",
            _written(bins=_no_shared),
            "This is what happens when a bin's end is rounded down. It is rounded up, so that where the bins don't divide the box evenly "
            "neighbours share cells.",
        ),
        Mistake(
            "the rest dropped",
            _written(bins=_rest_dropped),
            "This is what happens when every bin is w // n cells wide: the last cells of the box are in no bin.",
        ),
        Mistake(
            "bins to the nearest cell",
            _written(bins=_rounded_bins),
            "This is what happens when the ends of the bins go to the nearest cell. A bin begins at the floor and ends at the ceiling.",
        ),
        Mistake(
            "mean",
            _written(pick=lambda cells: cells.mean((1, 2)) if cells.numel() else cells.new_zeros(len(cells))),
            "This is what happens when a bin gives its mean. It gives its maximum.",
        ),
        Mistake(
            "starts from 0",
            _written(pick=lambda cells: _largest(cells).clamp(min=0)),
            "This is what happens when the maximum starts from 0. Where all features of a bin are negative, the largest of them is the "
            "maximum.",
        ),
        Mistake(
            "minus infinity",
            _written(pick=lambda cells: _largest(cells) if cells.numel() else cells.new_full((len(cells),), -torch.inf)),
            "This is what happens when the maximum of no cells is −∞. A bin without cells gives 0.",
        ),
        Mistake(
            "nothing to take the maximum of",
            _written(pick=lambda cells: cells.amax((1, 2))),
            "This is what happens when the maximum is taken of a bin without cells. Such a bin lies outside the map, and gives 0.",
            error="Expected reduction dim|non-zero size|empty",
        ),
        Mistake(
            "cut at the map",
            _written(cut=True),
            "This is what happens when the box is cut at the edge of the map before it is divided, as adaptive_max_pool2d of a slice "
            "has it. Divide the whole box, then take of each bin what lies inside.",
        ),
        Mistake(
            "scale forgotten",
            _written(scaled=lambda scale: 1.0),
            "This is what happens when the boxes are taken to be in cells. They are in pixels: multiply by spatial_scale.",
        ),
        Mistake(
            "first image only",
            _written(of_image=lambda image: 0),
            "This is what happens when all boxes are pooled from the first image. The first number of a box says which it is.",
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
