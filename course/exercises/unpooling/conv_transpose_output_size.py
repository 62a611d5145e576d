"""Exercise: the size of a transposed convolution's output."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.conv_transpose import conv_transpose_output_size

PROMPT = r"""
How long is one side of a transposed convolution's output? Draw it: one stamp of `kernel_size` cells for each of the `size` inputs, each
`stride` cells after the one before; `padding` cells cut off **on both sides**; `output_padding` cells kept beyond the last stamp.
Three inputs, a kernel of 3, stride 2, nothing cut:

```text
stamp 1    ■ ■ ■
stamp 2        ■ ■ ■
stamp 3            ■ ■ ■
output     ■ ■ ■ ■ ■ ■ ■        7 cells
```

The checks use whole numbers, and the answer is one too; more is welcome. (The stamps in the picture overlap. Which cells get more of them
than others? You will need that in the last exercise.)
""".strip()

DOCSTRING = """
The length of one side of a transposed convolution's output, in cells.

Args:
    size: the input's length.
    kernel_size: the stamp's length.
    stride: cells from one stamp's start to the next one's.
    padding: cells cut off on each side.
    output_padding: cells kept beyond the last stamp, on one side.
""".strip()


def _output_size_by_torch(size, kernel_size, stride=1, padding=0, output_padding=0):
    return F.conv_transpose1d(torch.ones(1, 1, size), torch.ones(1, 1, kernel_size), None, stride, padding, output_padding).shape[-1]


def _output_size_cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def size() -> int:
        return whole(draw, 4, 40)

    yield Case("stride 1", {"size": size(), "kernel_size": whole(draw, 3, 6)})
    yield Case("stride 2, kernel 3", {"size": size(), "kernel_size": 3, "stride": 2})
    yield Case("padding 1", {"size": size(), "kernel_size": 3, "stride": 2, "padding": 1})
    yield Case("output_padding 1", {"size": size(), "kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1})
    yield Case("stride equal to the kernel", {"size": size(), "kernel_size": 4, "stride": 4})
    yield Case("gaps between stamps", {"size": size(), "kernel_size": 2, "stride": 5})
    yield Case("one input", {"size": 1, "kernel_size": whole(draw, 3, 9), "stride": 3})
    yield Case("padding 2, output_padding 2", {"size": size(), "kernel_size": 7, "stride": 3, "padding": 2, "output_padding": 2})
    for place in range(4):
        stride = whole(draw, 2, 6)
        kernel = stride + whole(draw, 0, 4)
        padding, extra = whole(draw, 0, kernel // 2 + 1), whole(draw, 0, stride)
        inputs = {"size": size(), "kernel_size": kernel, "stride": stride, "padding": padding, "output_padding": extra}
        yield Case(f"drawn at random, {place + 1}", inputs)


def _wrong(formula: Callable[..., float]) -> Callable:
    """A function of the exercise's arguments, in the formula's letters: size n, kernel k, stride s, padding p, output_padding a."""

    def output_size(size, kernel_size, stride=1, padding=0, output_padding=0):
        return formula(size, kernel_size, stride, padding, output_padding)

    return output_size


OUTPUT_SIZE = Exercise(
    prompt=PROMPT,
    solution=conv_transpose_output_size,
    docstring=DOCSTRING,
    reference=_output_size_by_torch,
    reference_name="the shape that torch.nn.functional.conv_transpose1d returns",
    cases=_output_size_cases,
    common_mistakes=(
        Mistake(
            "convolution's formula",
            _wrong(lambda n, k, s, p, a: (n + 2 * p - k) // s + 1 + a),
            "This is what happens when the size of an ordinary convolution is returned. The transposed one goes the other way: it "
            "multiplies by the stride.",
        ),
        Mistake(
            "kernel forgotten",
            _wrong(lambda n, k, s, p, a: n * s - 2 * p + a),
            "This is what happens when the output is taken to be stride times the input. The last stamp is a whole kernel long, not a "
            "stride.",
        ),
        Mistake(
            "one stamp too many",
            _wrong(lambda n, k, s, p, a: n * s - 2 * p + k + a),
            "This is what happens when the steps are counted as size. From the first to the last of size stamps there are size − 1 steps.",
        ),
        Mistake(
            "last cell forgotten",
            _wrong(lambda n, k, s, p, a: (n - 1) * s - 2 * p + k - 1 + a),
            "This is what happens when the last cell's number is returned. Cells count from 0, so there is one more of them.",
        ),
        Mistake(
            "fraction",
            _wrong(lambda n, k, s, p, a: float((n - 1) * s - 2 * p + k + a)),
            "This is what happens when / is used, or a float comes in: 7.0 in place of 7. A size is a whole number.",
        ),
        Mistake(
            "padding added",
            _wrong(lambda n, k, s, p, a: (n - 1) * s + 2 * p + k + a),
            "This is what happens when padding is added. A transposed convolution cuts off what the convolution had added.",
        ),
        Mistake(
            "padding once",
            _wrong(lambda n, k, s, p, a: (n - 1) * s - p + k + a),
            "This is what happens when padding is cut off on one side only. It is cut off on both.",
        ),
        Mistake(
            "padding forgotten",
            _wrong(lambda n, k, s, p, a: (n - 1) * s + k + a),
            "This is what happens when padding is forgotten. That many cells are cut off on each side.",
        ),
        Mistake(
            "output_padding forgotten",
            _wrong(lambda n, k, s, p, a: (n - 1) * s - 2 * p + k),
            "This is what happens when output_padding is forgotten. That many cells are kept beyond the last stamp.",
        ),
        Mistake(
            "output_padding on both sides",
            _wrong(lambda n, k, s, p, a: (n - 1) * s - 2 * p + k + 2 * a),
            "This is what happens when output_padding is counted on both sides. It lies beyond the last stamp only.",
        ),
    ),
)
