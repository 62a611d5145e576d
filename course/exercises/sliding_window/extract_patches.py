"""Exercise: the patches that a sliding window cuts out."""

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.windows import extract_patches, window_positions, window_view

PROMPT = r"""
Cut out what the window sees at each of its stops. The window starts in the upper-left corner, goes to the right, and then down: **reading
order**. With `size=2`, `stride=1`, one channel:

```text
 1  2  3         1  2     2  3     4  5     5  6
 4  5  6    →    4  5     5  6     7  8     8  9
 7  8  9
```

Patch $l$ stands in row $r$ and column $q$ of the windows, with $l = r \cdot \text{columns} + q$:

$$\text{patches}[l, c, y, x] = \text{image}[c,\; r \cdot \text{stride} + y,\; q \cdot \text{stride} + x]$$

All channels of a patch stay together. The checks use `[C, H, W]` for `image`, so the answer is `[L, C, size, size]`, and whole numbers for
`size` and `stride`; more is welcome. A window must lie wholly in the picture. The answer has the dtype and the device of `image`.
Loops are welcome; the shortest solutions use `image.unfold` and mind the order of the dimensions.
""".strip()


def _patches_by_torch(image, size, stride):
    columns = F.unfold(image.double()[None], size, stride=stride)  # [1, C*h*w, L]; in float64 whole numbers stay exact
    return columns[0].T.reshape(-1, len(image), size, size).to(image.dtype)


def _patches_cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, shape: tuple[int, int, int], size: int, stride: int, numbers=normal) -> Case:
        return Case(name, {"image": numbers(draw, *shape), "size": size, "stride": stride})

    yield case("3×3 numbers, windows of 2", (1, 3, 3), 2, 1, digits)
    yield case("not square", (1, 3, 5), 2, 1, digits)
    yield case("stride 2, pixels left over", (1, 5, 6), 2, 2, digits)
    yield case("windows of 3, stride 2", (1, 5, 7), 3, 2, digits)
    yield case("two channels", (2, 3, 4), 2, 1, digits)
    yield case("three channels, not square", (3, whole(draw, 6, 9), whole(draw, 10, 14)), 4, 2)
    yield case("gaps between windows", (2, 8, whole(draw, 9, 13)), 2, 3)
    yield case("one pixel in each", (2, 2, 3), 1, 1)
    yield case("one window", (3, 4, 4), 4, whole(draw, 1, 4))
    yield Case("uint8", {"image": torch.randint(256, (3, 6, 7), generator=draw, dtype=torch.uint8), "size": 3, "stride": 2})
    yield Case("float64", {"image": normal(draw, 3, 5, 8).double(), "size": 3, "stride": 1})


def _cut(image: Tensor, size: int, corners) -> Tensor:
    """The windows whose upper-left corners (top, left) are given; pixels beyond the picture are 0."""
    height, width = image.shape[1:]
    image = F.pad(image, (0, size, 0, size))
    patches = [image[:, top : top + size, left : left + size] for top, left in corners if top < height and left < width]
    return torch.stack(patches) if patches else image.new_zeros(0, len(image), size, size)


def _corners(image: Tensor, size: int, stride: int, least: int = 0) -> itertools.product:
    """The right corners; with `least`, only those that leave so many pixels more behind the window."""
    rows, columns = (range(0, side - size + 1 - least, stride) for side in image.shape[1:])
    return itertools.product(rows, columns)


def _patches_not_permuted(image, size, stride):
    windows = image.unfold(1, size, stride).unfold(2, size, stride)
    return windows.reshape(-1, len(image), size, size)


def _patches_down_the_columns(image, size, stride):
    return window_view(image, size, stride).transpose(0, 1).flatten(0, 1)


def _patches_channels_first(image, size, stride):
    return extract_patches(image, size, stride).transpose(0, 1)


def _patches_rows_swapped(image, size, stride):
    return extract_patches(image, size, stride).transpose(2, 3)


def _patches_in_a_grid(image, size, stride):
    return window_view(image, size, stride).clone()


def _patches_flat(image, size, stride):
    return extract_patches(image, size, stride).flatten(1)


def _patches_without_the_last(image, size, stride):
    return _cut(image, size, _corners(image, size, stride, least=1))


def _patches_beyond_the_border(image, size, stride):
    return _cut(image, size, itertools.product(*(range(0, side, stride) for side in image.shape[1:])))


def _patches_side_by_side(image, size, stride):
    return extract_patches(image, size, size)


def _patches_everywhere(image, size, stride):
    return extract_patches(image, size, 1)


def _patches_one_pixel_apart(image, size, stride):
    rows, columns = window_positions(tuple(image.shape[1:]), size, stride)
    return _cut(image, size, itertools.product(range(rows), range(columns)))


def _patches_always_float32(image, size, stride):
    return extract_patches(image, size, stride).float()


EXTRACT_PATCHES = Exercise(
    prompt=PROMPT,
    solution=extract_patches,
    reference=_patches_by_torch,
    reference_name="torch.nn.functional.unfold, its columns given their shape again",
    cases=_patches_cases,
    tolerance=0.0,
    common_mistakes=(
        Mistake(
            "dimensions not moved",
            _patches_not_permuted,
            "This is what happens when image.unfold(…).unfold(…) is reshaped at once. It is [C, rows, columns, size, size], and reshape "
            "reads it channel by channel, so patches get mixed up. Move the channels behind the columns first, with permute or movedim.",
        ),
        Mistake(
            "down the columns",
            _patches_down_the_columns,
            "This is what happens when the window goes down before it goes to the right. Reading order is a whole row of windows, "
            "then the next.",
        ),
        Mistake(
            "channels first",
            _patches_channels_first,
            "This is what happens when the channels come before the windows. A batch of patches is [L, C, size, size].",
        ),
        Mistake(
            "rows and columns swapped in each patch",
            _patches_rows_swapped,
            "This is what happens when rows and columns are swapped inside each patch. The row comes first: patches[l, c, row, column].",
        ),
        Mistake(
            "rows and columns of windows kept",
            _patches_in_a_grid,
            "This is what happens when the windows stay in rows and columns. The answer counts them through in one dimension, L.",
        ),
        Mistake(
            "flat patches",
            _patches_flat,
            "This is what happens when each patch is one long row of numbers, as torch.nn.functional.unfold gives them. Here a patch stays "
            "[C, size, size].",
        ),
        Mistake(
            "last window forgotten",
            _patches_without_the_last,
            "This is what happens when a loop ends at height − size. The window that starts there still fits: "
            "range(0, height − size + 1, stride).",
        ),
        Mistake(
            "beyond the border",
            _patches_beyond_the_border,
            "This is what happens when windows reach beyond the picture and are filled with zeros. A window must lie wholly in it.",
        ),
        Mistake(
            "side by side",
            _patches_side_by_side,
            "This is what happens when windows stand side by side, whatever the stride. The next one starts stride pixels further on.",
        ),
        Mistake(
            "one window for every pixel",
            _patches_everywhere,
            "This is what happens when the stride is ignored, and the window stops at every pixel.",
        ),
        Mistake(
            "one pixel apart",
            _patches_one_pixel_apart,
            "This is what happens when row r of the windows starts at pixel row r. It starts at r · stride.",
        ),
        Mistake(
            "always float32",
            _patches_always_float32,
            "This is what happens when the patches are written into torch.zeros, which gives float32. image.new_zeros(...) has the dtype "
            "and the device of image.",
        ),
    ),
)
