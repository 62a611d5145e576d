"""Exercise: the weight of a linear layer as that of a convolution."""

from collections.abc import Iterator

import torch
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.fcn import convolutional_weight

PROMPT = r"""
The last layer of a classifier is linear. It reads a map of features, `[C, h, w]`, that has been *flattened* to $C \cdot h \cdot w$
numbers, and answers with $K$ logits. A convolution whose kernel is as large as the whole map reads the same numbers and does the same
sum. So the weight of the one is the weight of the other, in another shape: from `[K, C·h·w]` to `[K, C, h, w]`.

Which number goes where? `flatten` goes through a map channel by channel, in each channel row by row, in each row from left to right. One
class, two channels, a map of 2 × 2:

```text
                                                  channel 0    channel 1
 linear:   1  2  3  4  5  6  7  8     →            1  2         5  6
                                                   3  4         7  8
```

It is right when these two agree, for any map `x` of that size:

```text
F.linear(x.flatten(), weight)          F.conv2d(x[None], convolutional_weight(weight, C, (h, w))).flatten()
```

The checks use a pair `(h, w)` for `size`; more is welcome. The answer has the dtype and the device of `weight`.
""".strip()


def _weight_by_unit_maps(weight: Tensor, channels: int, size: tuple[int, int]) -> Tensor:
    """The linear layer's answer to each map that is 1 in one place and 0 elsewhere is the number that belongs to this place."""
    answer = weight.new_empty(len(weight), channels, *size)
    for place in torch.cartesian_prod(torch.arange(channels), torch.arange(size[0]), torch.arange(size[1])).tolist():
        unit = weight.new_zeros(channels, *size)
        unit[tuple(place)] = 1
        answer[(slice(None), *place)] = torch.nn.functional.linear(unit.flatten(), weight)
    return answer


def _weight_cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, classes: int, channels: int, size: tuple[int, int], numbers=normal) -> Case:
        return Case(name, {"weight": numbers(draw, classes, channels * size[0] * size[1]), "channels": channels, "size": size})

    yield case("one class, one channel", 1, 1, (2, 2), digits)
    yield case("one class, two channels", 1, 2, (2, 2), digits)
    yield case("two classes", 2, 1, (2, 2), digits)
    yield case("2 high and 3 wide", 1, 2, (2, 3), digits)
    yield case("3 high and 2 wide, three classes", 3, 2, (3, 2), digits)
    yield case("a map of one cell", whole(draw, 3, 6), 4, (1, 1))
    yield case("a map of one row", 2, 3, (1, whole(draw, 4, 7)))
    yield case("a classifier of ten", 10, whole(draw, 5, 9), (5, 4))
    yield Case("float64", {"weight": normal(draw, 3, 2 * 3 * 4).double(), "channels": 2, "size": (3, 4)})


def _weight_channels_last(weight, channels, size):
    return weight.reshape(len(weight), *size, channels).permute(0, 3, 1, 2)


def _weight_columns_first(weight, channels, size):
    return weight.reshape(len(weight), channels, size[1], size[0]).transpose(2, 3)


def _weight_size_swapped(weight, channels, size):
    return weight.reshape(len(weight), channels, size[1], size[0])


def _weight_flipped(weight, channels, size):
    return weight.reshape(len(weight), channels, *size).flip(2, 3)


def _weight_channels_swapped(weight, channels, size):
    return weight.reshape(len(weight), channels, *size).transpose(0, 1)


def _weight_one_by_one(weight, channels, size):
    return weight[:, :, None, None]


def _weight_transposed_first(weight, channels, size):
    return weight.T.reshape(len(weight), channels, *size)


def _weight_averaged(weight, channels, size):
    return weight.reshape(len(weight), channels, *size) / (size[0] * size[1])


def _weight_without_classes(weight, channels, size):
    return weight.reshape(-1, *size)


CONVOLUTIONAL_WEIGHT = Exercise(
    prompt=PROMPT,
    solution=convolutional_weight,
    reference=_weight_by_unit_maps,
    reference_name="torch.nn.functional.linear, asked about maps that are 1 in one place and 0 elsewhere",
    cases=_weight_cases,
    tolerance=0.0,
    common_mistakes=(
        Mistake(
            "channels last",
            _weight_channels_last,
            "This is what happens when the channels are taken to change fastest. flatten goes through one whole channel, then the next.",
        ),
        Mistake(
            "column by column",
            _weight_columns_first,
            "This is what happens when each channel is filled column by column. flatten goes row by row.",
        ),
        Mistake(
            "height and width swapped",
            _weight_size_swapped,
            "This is what happens when the pair is read as (width, height). Height comes first, as in a shape.",
        ),
        Mistake(
            "flipped",
            _weight_flipped,
            "This is what happens when the kernel is turned round, as in the mathematicians' convolution. PyTorch's does not turn it: "
            "weight[k, c, y, x] meets the pixel at row y, column x of the window.",
        ),
        Mistake(
            "classes and channels swapped",
            _weight_channels_swapped,
            "This is what happens when the input channels come first. A convolution's weight is [out, in, height, width]; only a "
            "transposed convolution's has the input first.",
        ),
        Mistake(
            "a kernel of one cell",
            _weight_one_by_one,
            "This is what happens when the weight becomes a 1 × 1 kernel with a channel for each number. That would fit a map of one cell "
            "and C · h · w channels; here the kernel is as large as the map.",
        ),
        Mistake(
            "transposed first",
            _weight_transposed_first,
            "This is what happens when weight.T is reshaped: then a row holds numbers of all classes. Each row of weight belongs "
            "to one class.",
        ),
        Mistake(
            "averaged",
            _weight_averaged,
            "This is what happens when the weight is divided by the size of the map. A linear layer adds up; only average pooling divides.",
        ),
        Mistake(
            "one dimension missing",
            _weight_without_classes,
            "This is what happens when classes and channels share a dimension. The weight of a convolution has four: [K, C, h, w].",
        ),
    ),
)
