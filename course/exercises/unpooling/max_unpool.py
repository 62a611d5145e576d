"""Exercise: max unpooling."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.unpooling import max_unpool

PROMPT = r"""
Max pooling kept the largest value of each window, and wrote down where it stood: the **switch**. Max unpooling puts values back there,
and zeros everywhere else. Pool 2 × 2, let a network turn the pooled values into features, and unpool those:

```text
 input            pooled    switches    features    output
 1  2  6  3
 3  5  2  1       5  6       5   2       1  2       0  0  2  0
 1  2  2  1       7  8      12  15       3  4       0  1  0  0
 7  3  4  8                                         0  0  0  0
                                                    3  0  0  4
```

A switch is one number for a place in the large plane, counted along the rows, **in each plane from 0**:
$\text{switch} = \text{row} \cdot W_\text{out} + \text{column}$. Without `output_size`, the output has

$$H_\text{out} = (H - 1) \cdot \text{stride} - 2 \cdot \text{padding} + \text{kernel}$$

rows, and columns likewise. With `output_size = (height, width)` it has that size: a 7 × 7 and a 6 × 6 plane are both pooled to 3 × 3, and
only `output_size` can say which of the two it was.

The checks use `[N, C, H, W]` for `x` and `indices`, and whole numbers for `kernel_size`, `stride` and `padding`; more is welcome. No
`stride` means `kernel_size`. Where windows overlap, one cell can be the switch of two. Then both bring the same value here, and it is
written, not added.
""".strip()


def _max_unpool_by_torch(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    return F.max_unpool2d(x, indices, kernel_size, stride, padding, output_size)


def _pooled(image: Tensor, kernel_size: int, stride: int, padding: int = 0) -> tuple[Tensor, Tensor]:
    return F.max_pool2d(image, kernel_size, stride, padding, return_indices=True)


def _max_unpool_cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, image: Tensor, kernel: int, stride: int | None = None, padding: int = 0, size: bool = False) -> Case:
        values, indices = _pooled(image, kernel, stride or kernel, padding)
        # Overlapping windows share switches: their features must be the pooled values, or two different ones would claim one cell.
        features = values if (stride or kernel) < kernel else digits(draw, *values.shape)
        given = {"stride": stride, "padding": padding or None, "output_size": tuple(image.shape[2:]) if size else None}
        return Case(name, {"x": features, "indices": indices, "kernel_size": kernel, **{k: v for k, v in given.items() if v is not None}})

    yield case("a 4×4 plane, 2×2 windows", digits(draw, 1, 1, 4, 4), 2)
    yield case("not square", digits(draw, 1, 1, 4, 6), 2)
    yield case("two images of three channels", normal(draw, 2, 3, 4, 2 * whole(draw, 3, 6)), 2)
    yield case("overlapping windows: kernel 3, stride 2", _overlapping(draw), 3, 2)
    yield case("odd size, output_size given", normal(draw, 1, 2, 5, 7), 2, size=True)
    yield case("padding 1", normal(draw, 1, 1, 6, 4), 2, padding=1)
    yield case("gaps between windows: kernel 2, stride 3", normal(draw, 1, 2, 5, 8), 2, 3)
    yield case("one value", normal(draw, 1, 1, 3, 3), 3)
    yield case("equal values in a window", torch.randint(0, 2, (2, 1, 6, 4), generator=draw).float(), 2)
    yield case("float64", normal(draw, 1, 2, 6, 9).double(), 3)


def _overlapping(generator: torch.Generator) -> Tensor:
    """A 5 × 5 plane with its largest value where two 3 × 3 windows at stride 2 meet: it is the switch of both."""
    image = digits(generator, 1, 1, 5, 5)
    image[..., 1, 2] = 10 + whole(generator, 0, 9)
    return image


def _unpooled(x, indices, size, place=None, add=False):
    """Right, but for what the mistakes below change: the output's size, where a switch points to, adding."""
    height, width = size
    places = indices.flatten(2) if place is None else place(indices, height, width).flatten(2)
    output = x.new_zeros(*x.shape[:2], height * width)
    inside = places < height * width  # a size that is too small: the mistake shows in the shape already
    values, places = x.flatten(2) * inside, places * inside
    output = output.scatter_add(2, places, values) if add else output.scatter(2, places, values)
    return output.unflatten(2, (height, width))


def _unpooled_size(x, kernel_size, stride, padding, output_size):
    stride = stride or kernel_size
    return output_size or tuple((side - 1) * stride - 2 * padding + kernel_size for side in x.shape[2:])


def _unpool_transposed(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    size = _unpooled_size(x, kernel_size, stride, padding, output_size)
    return _unpooled(x, indices, size, lambda switch, height, width: (switch % width) % height * width + (switch // width) % width)


def _unpool_ignoring_switches(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    height, width = _unpooled_size(x, kernel_size, stride, padding, output_size)
    output = x.new_zeros(*x.shape[:2], height, width)
    step = stride or kernel_size
    corners = output[:, :, ::step, ::step][:, :, : x.shape[2], : x.shape[3]]
    corners.copy_(x[:, :, : corners.shape[2], : corners.shape[3]])
    return output


def _unpool_filled(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    return F.interpolate(x, size=_unpooled_size(x, kernel_size, stride, padding, output_size), mode="nearest")


def _unpool_one_count_for_all(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    height, width = _unpooled_size(x, kernel_size, stride, padding, output_size)
    output = x.new_zeros(*x.shape[:2], height, width)
    output.view(-1)[indices.flatten()] = x.flatten()
    return output


def _unpool_first_planes_switches(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    return max_unpool(x, indices[:1, :1].expand_as(x), kernel_size, stride, padding, output_size)


def _unpool_adding(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _unpooled(x, indices, _unpooled_size(x, kernel_size, stride, padding, output_size), add=True)


def _unpool_without_stride(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _unpooled(x, indices, _unpooled_size(x, kernel_size, kernel_size, padding, output_size))


def _unpool_without_padding(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _unpooled(x, indices, _unpooled_size(x, kernel_size, stride, 0, output_size))


def _unpool_without_output_size(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    return _unpooled(x, indices, _unpooled_size(x, kernel_size, stride, padding, None))


def _unpool_twice(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    """No mask here as in `_unpooled`: what it raises is how students meet this mistake."""
    height, width = output_size or (2 * x.shape[2], 2 * x.shape[3])
    return x.new_zeros(*x.shape[:2], height * width).scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, (height, width))


def _unpool_row_width_of_formula(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    height, width = _unpooled_size(x, kernel_size, stride, padding, output_size)
    row_width = _unpooled_size(x, kernel_size, stride, padding, None)[1]
    return _unpooled(x, indices, (height, width), lambda switch, *_: switch // row_width * width + switch % row_width)


def _unpool_only_positive(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    return max_unpool(x, indices, kernel_size, stride, padding, output_size).clamp(min=0)


def _unpool_in_place(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    height, width = _unpooled_size(x, kernel_size, stride, padding, output_size)
    output = x.new_zeros(x.shape[0] * x.shape[1] * height * width)
    indices += torch.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], 1, 1) * height * width
    output[indices.flatten()] = x.flatten()
    return output.reshape(*x.shape[:2], height, width)


MAX_UNPOOL = Exercise(
    prompt=PROMPT,
    solution=max_unpool,
    reference=_max_unpool_by_torch,
    reference_name="torch.nn.functional.max_unpool2d",
    cases=_max_unpool_cases,
    tolerance=0.0,
    watch="""
segwidgets.unpool(
    [[1, 2], [3, 4]], 2, switches_from=[[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]], fn=max_unpool
)
""".strip(),
    common_mistakes=(
        Mistake(
            "rows and columns swapped",
            _unpool_transposed,
            "This is what happens when row and column are swapped. The row is switch // width, the column switch % width.",
        ),
        Mistake(
            "switches ignored",
            _unpool_ignoring_switches,
            "This is what happens when every value goes to the upper-left corner of "
            "its window: that is a bed of nails. The switch says where it goes.",
        ),
        Mistake(
            "block filled",
            _unpool_filled,
            "This is what happens when a value fills its whole window: that is nearest-neighbour "
            "unpooling. Here it goes to one cell, the switch.",
        ),
        Mistake(
            "only positive values",
            _unpool_only_positive,
            "This is what happens when negative values are lost, for instance because "
            "the larger of value and zero is kept. Features may be negative; write them as they are.",
        ),
        Mistake(
            "one count for all planes",
            _unpool_one_count_for_all,
            "This is what happens when switches are counted through the whole "
            "tensor, so that everything lands in the first plane. They start from 0 in each plane.",
        ),
        Mistake(
            "the first plane's switches for all",
            _unpool_first_planes_switches,
            "This is what happens when all planes use the switches of the first. Every image and every channel has its own.",
        ),
        Mistake(
            "indices changed",
            _unpool_in_place,
            "This is what happens when an offset is added with indices += …, which changes the "
            "caller's tensor. indices = indices + … makes a new one.",
        ),
        Mistake(
            "added",
            _unpool_adding,
            "This is what happens when values are added where windows share a switch. They are written: a "
            "maximum that two windows found is still one cell with one value.",
        ),
        Mistake(
            "stride ignored",
            _unpool_without_stride,
            "This is what happens when the stride is taken to be the kernel size. "
            "The windows start stride cells apart, so the output is (H − 1) · stride − 2 · padding + kernel high.",
        ),
        Mistake(
            "output_size ignored",
            _unpool_without_output_size,
            "This is what happens when output_size is not used. Where it is "
            "given, it is the output's height and width, and switches count along its rows.",
        ),
        Mistake(
            "row width of the formula",
            _unpool_row_width_of_formula,
            "This is what happens when output_size is the output's size, but the row width still comes from the formula. Switches count "
            "along the output's own rows: row = switch // width with the width of output_size.",
        ),
        Mistake(
            "twice the input",
            _unpool_twice,
            "This is what happens when the output is made twice the input, or stride times. Its size comes from the formula, "
            "(H − 1) · stride − 2 · padding + kernel, or from output_size; in a plane that is too small, a switch is out of bounds.",
            error=r"out of (bounds|range)",
        ),
        Mistake(
            "padding forgotten",
            _unpool_without_padding,
            "This is what happens when the padding stays in the output. Pooling added "
            "it on both sides, so the output is 2 · padding smaller.",
        ),
    ),
)
