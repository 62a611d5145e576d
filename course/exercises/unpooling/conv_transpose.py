"""Exercise: transposed convolution as a stamp."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.conv_transpose import conv_transpose

PROMPT = r"""
A transposed convolution is a stamp. Every input value multiplies the whole kernel, the product is stamped onto the output, and where
stamps overlap they **add up**. One row, a kernel of 3, stride 2:

```text
 input     1         2                     kernel   a  b  c

 stamp 1   1a   1b   1c
 stamp 2             2a    2b   2c
 output    1a   1b  1c+2a  2b   2c
```

For input channel $c$, output channel $o$, in both directions:

$$\text{output}[o,\; y \cdot s + i,\; x \cdot s + j] \mathrel{+}= \text{input}[c, y, x] \cdot \text{weight}[c, o, i, j]$$

Then `padding` rows and columns are cut off on each of the four sides, except that `output_padding` more are kept below and to the
right; where no stamp reaches, they are 0. At last `bias[o]` is added once to every cell of its channel.

The checks use `[N, C, H, W]` for `x`, `[C, O, KH, KW]` for `weight` (input channels first, unlike an ordinary convolution's), `[O]` or
`None` for `bias`, and whole numbers for `stride`, `padding` and `output_padding`; more is welcome. The output has the dtype and the device
of `x`. Loops are welcome: one over the rows and one over the columns of `x` (or of the kernel) are fast enough. Writing it with
`torch.nn.functional` would pass, and teach you nothing.
""".strip()


def _conv_transpose_by_torch(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding)


def _conv_transpose_cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, x: tuple, weight: tuple, bias: bool = False, numbers=normal, **geometry: int) -> Case:
        inputs = {"x": numbers(draw, *x), "weight": numbers(draw, *weight)}
        return Case(name, inputs | ({"bias": numbers(draw, weight[1])} if bias else {}) | geometry)

    yield case("one value: the stamp itself", (1, 1, 1, 1), (1, 1, 2, 3), numbers=digits)
    yield case("stamps side by side: kernel 2, stride 2", (1, 1, 2, 2), (1, 1, 2, 2), numbers=digits, stride=2)
    yield case("stamps overlap: kernel 3, stride 2", (1, 1, 2, 2), (1, 1, 3, 3), numbers=digits, stride=2)
    yield case("stride 1", (1, 1, 2, 3), (1, 1, 2, 2), numbers=digits)
    yield case("padding 1", (1, 1, 2, 3), (1, 1, 3, 3), numbers=digits, stride=2, padding=1)
    yield case("output_padding 1", (1, 1, 2, 3), (1, 1, 3, 3), numbers=digits, stride=2, padding=1, output_padding=1)
    yield case("output_padding beyond the last stamp", (1, 1, 2, 2), (1, 1, 2, 2), numbers=digits, stride=2, output_padding=1)
    yield case("a bias", (1, 1, 2, 2), (1, 1, 3, 3), bias=True, numbers=digits, stride=2)
    yield case("two channels in, two out", (1, 2, 3, 2), (2, 2, 2, 2), stride=2)
    yield case("two images, two channels in, three out", (2, 2, 3, whole(draw, 3, 6)), (2, 3, 4, 4), bias=True, stride=2, padding=1)
    yield case("a kernel 2 high and 3 wide, gaps", (1, 1, 3, 2), (1, 2, 2, 3), stride=4, output_padding=3)
    double = case("float64", (1, 2, 4, 3), (2, 1, 3, 5), stride=3, padding=1)
    yield Case(double.name, {name: value.double() if isinstance(value, Tensor) else value for name, value in double.inputs.items()})


def _stamped(x, weight, bias=None, stride=1, padding=0, output_padding=0, combine="add"):
    """Right, but for what the mistakes below change."""
    (rows, columns), (high, wide) = x.shape[2:], weight.shape[2:]
    extra = output_padding
    output = x.new_zeros(x.shape[0], weight.shape[1], (rows - 1) * stride + high + extra, (columns - 1) * stride + wide + extra)
    for y in range(rows):
        for column in range(columns):
            stamp = torch.einsum("nc,coij->noij", x[:, :, y, column], weight)
            window = output[:, :, y * stride : y * stride + high, column * stride : column * stride + wide]
            window.copy_({"add": window + stamp, "write": stamp, "larger": torch.maximum(window, stamp)}[combine])
    output = output[:, :, padding : output.shape[2] - padding, padding : output.shape[3] - padding]
    return output if bias is None else output + bias[:, None, None]


def _stamp_flipped(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight.flip(2, 3), bias, stride, padding, output_padding)


def _stamp_kernel_transposed(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight.transpose(2, 3), bias, stride, padding, output_padding)


def _stamp_input_transposed(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x.transpose(2, 3), weight, bias, stride, padding, output_padding)


def _stamp_written(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight, bias, stride, padding, output_padding, combine="write")


def _stamp_averaged(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    total = _stamped(x, weight, None, stride, padding, output_padding)
    count = _stamped(torch.ones_like(x[:1, :1]), torch.ones_like(weight[:1, :1]), None, stride, padding, output_padding)
    return total / count.clamp(min=1) + (0 if bias is None else bias[:, None, None])


def _stamp_side_by_side(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight, bias, weight.shape[2], padding, output_padding)


def _stamp_without_stride(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight, bias, 1, padding, output_padding)


def _stamp_padding_added(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return F.pad(_stamped(x, weight, bias, stride, 0, output_padding), (padding,) * 4)


def _stamp_padding_forgotten(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight, bias, stride, 0, output_padding)


def _stamp_padding_on_one_side(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight, bias, stride, 0, output_padding)[:, :, padding:, padding:]


def _stamp_without_output_padding(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight, bias, stride, padding)


def _stamp_output_padding_above(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    output = F.pad(_stamped(x, weight, None, stride), (output_padding, 0, output_padding, 0))
    output = output[:, :, padding : output.shape[2] - padding, padding : output.shape[3] - padding]
    return output if bias is None else output + bias[:, None, None]


def _stamp_output_padding_of_zeros(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return F.pad(_stamped(x, weight, bias, stride, padding), (0, output_padding, 0, output_padding))


def _stamp_without_bias(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight, None, stride, padding, output_padding)


def _stamp_bias_in_each(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    count = _stamped(torch.ones_like(x[:1, :1]), torch.ones_like(weight[:1, :1]), None, stride, padding, output_padding)
    return _stamped(x, weight, None, stride, padding, output_padding) + (0 if bias is None else bias[:, None, None] * count)


def _stamp_channels_swapped(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight.transpose(0, 1), bias, stride, padding, output_padding)


def _stamp_first_image(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x[:1], weight, bias, stride, padding, output_padding).expand(x.shape[0], -1, -1, -1)


def _stamp_always_float32(x, weight, bias=None, stride=1, padding=0, output_padding=0):
    return _stamped(x, weight, bias, stride, padding, output_padding).float()


CONV_TRANSPOSE = Exercise(
    prompt=PROMPT,
    solution=conv_transpose,
    reference=_conv_transpose_by_torch,
    reference_name="torch.nn.functional.conv_transpose2d",
    cases=_conv_transpose_cases,
    tolerance=1e-4,
    watch="segwidgets.conv_transpose([[1, 2], [3, 4]], [[1, 2, 1], [2, 4, 2], [1, 2, 1]], stride=2, fn=conv_transpose)",
    common_mistakes=(
        Mistake(
            "kernel flipped",
            _stamp_flipped,
            "This is what happens when the kernel is flipped, as mathematicians do in a convolution. "
            "The stamp is the kernel as it stands: one input value of 1 leaves the kernel itself.",
        ),
        Mistake(
            "kernel transposed",
            _stamp_kernel_transposed,
            "This is what happens when the kernel's rows and columns are swapped. weight[c, o, i, j]: i counts rows, j columns.",
        ),
        Mistake(
            "side by side",
            _stamp_side_by_side,
            "This is what happens when stamps are put side by side, a whole kernel apart. They start stride cells apart, and may overlap.",
        ),
        Mistake(
            "stride ignored",
            _stamp_without_stride,
            "This is what happens when the stride is ignored: the stamps start one cell apart. They start stride cells apart.",
        ),
        Mistake(
            "input transposed",
            _stamp_input_transposed,
            "This is what happens when rows and columns of the input are swapped. The row comes first: x[n, c, row, column].",
        ),
        Mistake(
            "written",
            _stamp_written,
            "This is what happens when a stamp overwrites the one before it. Where stamps overlap they add up: += in place of =.",
        ),
        Mistake(
            "averaged",
            _stamp_averaged,
            "This is what happens when overlapping stamps are averaged. They add up; that some cells get "
            "more than others is the checkerboard.",
        ),
        Mistake(
            "padding added",
            _stamp_padding_added,
            "This is what happens when padding is put around the output. In a transposed "
            "convolution that many rows and columns are cut off on each side.",
        ),
        Mistake(
            "padding forgotten",
            _stamp_padding_forgotten,
            "This is what happens when padding is forgotten. That many rows and columns are cut off on each side.",
        ),
        Mistake(
            "padding on one side",
            _stamp_padding_on_one_side,
            "This is what happens when padding is cut off above and to the left only. It is cut off on all four sides.",
        ),
        Mistake(
            "output_padding forgotten",
            _stamp_without_output_padding,
            "This is what happens when output_padding is forgotten. That many more rows and columns are kept below and to the right.",
        ),
        Mistake(
            "output_padding above",
            _stamp_output_padding_above,
            "This is what happens when output_padding goes above and to the left. It lies below and to the right.",
        ),
        Mistake(
            "output_padding of zeros",
            _stamp_output_padding_of_zeros,
            "This is what happens when output_padding is filled with zeros. "
            "Those cells are kept from what padding would cut off, so stamps may reach them.",
        ),
        Mistake(
            "bias forgotten",
            _stamp_without_bias,
            "This is what happens when the bias is forgotten. bias[o] is added once to every cell of channel o.",
        ),
        Mistake(
            "bias in each stamp",
            _stamp_bias_in_each,
            "This is what happens when the bias is added with every stamp. It is added once to every cell, after all stamps.",
        ),
        Mistake(
            "channels swapped",
            _stamp_channels_swapped,
            "This is what happens when the weight is read as [O, C, KH, KW], as in an "
            "ordinary convolution. Here the input's channels come first: [C, O, KH, KW].",
        ),
        Mistake(
            "first image only",
            _stamp_first_image,
            "This is what happens when only the first image is used. Every image of the batch has its own output.",
        ),
        Mistake(
            "always float32",
            _stamp_always_float32,
            "This is what happens when the output is made with torch.zeros, which gives "
            "float32. x.new_zeros(...) has the dtype and the device of x.",
        ),
    ),
)
