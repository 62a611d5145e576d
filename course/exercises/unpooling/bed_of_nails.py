"""Exercise: bed of nails."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.unpooling import bed_of_nails

PROMPT = r"""
Make a plane larger by putting each value in the **upper-left corner** of its own block, with zeros in the rest of the block.
With `scale=2`:

```text
 1  2          1  0  2  0
 3  4    →     0  0  0  0
               3  0  4  0
               0  0  0  0
```

$$\text{output}[y \cdot s_h,\; x \cdot s_w] = \text{input}[y, x], \qquad 0 \text{ elsewhere}$$

The checks use `[N, C, H, W]`; more is welcome. `scale` is one whole number, or a pair (height, width); with a pair the block is not
square. The output has the dtype and the device of `x`, and is a new tensor.
""".strip()


def _bed_of_nails_by_kron(x: Tensor, scale: int | Sequence[int]) -> Tensor:
    height, width = (scale, scale) if isinstance(scale, int) else scale
    nail = torch.zeros(1, 1, height, width, dtype=x.dtype)
    nail[..., 0, 0] = 1
    return torch.kron(x, nail)


def _bed_of_nails_cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)
    yield Case("2×2 numbers, scale 2", {"x": digits(draw, 1, 1, 2, 2), "scale": 2})
    yield Case("not square", {"x": digits(draw, 1, 1, 2, 3), "scale": 2})
    yield Case("scale 3", {"x": digits(draw, 1, 1, 2, 2), "scale": 3})
    yield Case("a block 2 high and 3 wide", {"x": digits(draw, 1, 1, 2, 2), "scale": (2, 3)})
    yield Case("two images of three channels", {"x": normal(draw, 2, 3, whole(draw, 2, 5), 5), "scale": 2})
    yield Case("one value", {"x": normal(draw, 1, 1, 1, 1), "scale": 4})
    yield Case("scale 1", {"x": normal(draw, 1, 2, 3, 2), "scale": 1})
    yield Case("float64", {"x": normal(draw, 1, 2, 3, 4).double(), "scale": (3, 2)})


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _nails_at(x: Tensor, scale: int | Sequence[int], row: int, column: int) -> Tensor:
    height, width = _pair(scale)
    output = x.new_zeros(*x.shape[:2], x.shape[2] * height, x.shape[3] * width)
    output[:, :, min(row, height - 1) :: height, min(column, width - 1) :: width] = x
    return output


def _nails_filled(x, scale):
    height, width = _pair(scale)
    return x.repeat_interleave(height, 2).repeat_interleave(width, 3)


def _nails_lower_right(x, scale):
    height, width = _pair(scale)
    return _nails_at(x, scale, height - 1, width - 1)


def _nails_centred(x, scale):
    height, width = _pair(scale)
    return _nails_at(x, scale, (height - 1) // 2, (width - 1) // 2)


def _nails_in_one_corner(x, scale):
    height, width = _pair(scale)
    return F.pad(x, (0, x.shape[3] * (width - 1), 0, x.shape[2] * (height - 1)))


def _nails_only_between(x, scale):
    height, width = _pair(scale)
    output = _nails_at(x, scale, 0, 0)
    return output[:, :, : output.shape[2] - height + 1, : output.shape[3] - width + 1]


def _nails_scale_swapped(x, scale):
    height, width = _pair(scale)
    return _nails_at(x, (width, height), 0, 0)


def _nails_transposed(x, scale):
    return _nails_at(x.transpose(2, 3), scale, 0, 0)


def _nails_first_plane_only(x, scale):
    output = _nails_at(x, scale, 0, 0)
    return output * F.pad(torch.ones(1, 1, 1, 1), (0, 0, 0, 0, 0, x.shape[1] - 1, 0, x.shape[0] - 1))


def _nails_always_float32(x, scale):
    return _nails_at(x.float(), scale, 0, 0)


BED_OF_NAILS = Exercise(
    prompt=PROMPT,
    solution=bed_of_nails,
    reference=_bed_of_nails_by_kron,
    reference_name="torch.kron with a block that is 1 in its upper-left corner",
    cases=_bed_of_nails_cases,
    tolerance=0.0,
    watch='segwidgets.unpool([[1, 2], [3, 4]], 2, mode="bed_of_nails", fn=bed_of_nails)',
    common_mistakes=(
        Mistake(
            "block filled",
            _nails_filled,
            "This is what happens when the value fills its whole block: that is nearest-neighbour "
            "unpooling. In a bed of nails it stands in one cell.",
        ),
        Mistake(
            "lower-right corner",
            _nails_lower_right,
            "This is what happens when the value stands in the lower-right corner of its block. It belongs in the upper-left one.",
        ),
        Mistake(
            "middle",
            _nails_centred,
            "This is what happens when the value stands in the middle of its block. It belongs in the upper-left corner.",
        ),
        Mistake(
            "one corner for all",
            _nails_in_one_corner,
            "This is what happens when the input is copied whole into the upper-left "
            "corner of the output. Every value has a block of its own.",
        ),
        Mistake(
            "zeros only between",
            _nails_only_between,
            "This is what happens when zeros are put only between the values. The last "
            "row and column have blocks too, so the output is H · scale high and W · scale wide.",
        ),
        Mistake(
            "scale swapped",
            _nails_scale_swapped,
            "This is what happens when the pair is read as (width, height). Height comes first, as in a shape.",
        ),
        Mistake(
            "rows and columns swapped",
            _nails_transposed,
            "This is what happens when rows and columns of the input are swapped. The row comes first: x[n, c, row, column].",
        ),
        Mistake(
            "first plane only",
            _nails_first_plane_only,
            "This is what happens when only the first plane is filled. Every image and every channel gets its values.",
        ),
        Mistake(
            "always float32",
            _nails_always_float32,
            "This is what happens when the output is made with torch.zeros, which gives "
            "float32. x.new_zeros(...) has the dtype and the device of x.",
        ),
    ),
)
