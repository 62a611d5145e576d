"""Exercise: the histogram of two regions together."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.exercises.proposals.regions import counts
from course.models.region_similarity import merged_histogram

PROMPT = r"""
Two regions have become one. Its histogram follows from theirs, **without looking at a pixel again**:

```text
 a: 100 pixels    0.5    0.5    0
 b: 300 pixels    0      0.2    0.8
 together: 400    0.125  0.275  0.6       (100 · 0.5 + 300 · 0.2) / 400 = 0.275
```

$$c_k = \frac{n_a\, a_k + n_b\, b_k}{n_a + n_b}$$

That is the mean, weighted by size. It is why the grouping is so cheap: after the start no picture is needed. `a` and `b` are `[F]` and sum
to 1, and so does what you return, `[F]`. `size_a` and `size_b` are numbers.
""".strip()

DOCSTRING = """The histogram [F] of both regions together, from theirs.

Args:
    a, b: histograms [F], each summing to 1.
    size_a, size_b: numbers of pixels."""


def _by_counting(a: Tensor, b: Tensor, size_a: float, size_b: float) -> np.ndarray:
    """Every pixel written out with the bin that it is in, and counted again."""
    bins = np.arange(len(a))
    pixels = [np.repeat(bins, np.rint(each.numpy().astype(np.float64) * size).astype(int)) for each, size in ((a, size_a), (b, size_b))]
    together = np.concatenate(pixels)
    return (np.bincount(together, minlength=len(a)) / len(together)).astype(a.numpy().dtype)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, bins: int, size_a: int, size_b: int, dtype: torch.dtype = torch.float32) -> Case:
        a, b = (counts(draw, size, bins).to(dtype) / size for size in (size_a, size_b))
        return Case(name, {"a": a, "b": b, "size_a": size_a, "size_b": size_b})

    yield case("three bins, one region three times as large", 3, 20, 60)
    yield case("four bins", 4, whole(draw, 10, 40), whole(draw, 50, 90))
    yield case("the first is larger", 4, whole(draw, 100, 200), whole(draw, 5, 20))
    size = whole(draw, 20, 60)
    yield case("equally large", 5, size, size)
    yield case("a single pixel joins", 6, 1, whole(draw, 30, 60))
    yield case("75 bins, as of three channels", 75, whole(draw, 300, 400), whole(draw, 700, 900))
    yield case("float64", 5, whole(draw, 10, 50), whole(draw, 60, 90), torch.float64)


def _plain_mean(a, b, size_a, size_b):
    return (a + b) / 2


def _crossed(a, b, size_a, size_b):
    return (size_b * a + size_a * b) / (size_a + size_b)


def _added(a, b, size_a, size_b):
    return a + b


def _not_divided(a, b, size_a, size_b):
    return size_a * a + size_b * b


def _weighted_and_halved(a, b, size_a, size_b):
    return (size_a * a + size_b * b) / 2


def _brackets(a, b, size_a, size_b):
    return size_a * a + size_b * b / (size_a + size_b)


def _common(a, b, size_a, size_b):
    return torch.minimum(a, b)


def _largest(a, b, size_a, size_b):
    return torch.maximum(a, b)


def _product(a, b, size_a, size_b):
    return (size_a * a) * (size_b * b) / (size_a + size_b)


MERGED_HISTOGRAM = Exercise(
    prompt=PROMPT,
    solution=merged_histogram,
    reference=_by_counting,
    reference_name="all pixels of both regions, written out and counted again",
    cases=_cases,
    docstring=DOCSTRING,
    common_mistakes=(
        Mistake(
            "plain mean",
            _plain_mean,
            "This is what happens when both histograms count the same: then one pixel would weigh as much as the thousand that it joins. "
            "Weigh by size.",
        ),
        Mistake(
            "weights crossed",
            _crossed,
            "This is what happens when each histogram is weighted by the other region's size. The larger region's own histogram counts "
            "more.",
        ),
        Mistake(
            "added",
            _added,
            "This is what happens when the histograms are added: they then sum to 2. They are shares of regions, not numbers of pixels.",
        ),
        Mistake(
            "not divided",
            _not_divided,
            "This is what happens when the pixels of each bin are counted and not divided by all: the shares must sum to 1.",
        ),
        Mistake(
            "halved",
            _weighted_and_halved,
            "This is what happens when the weighted sum is divided by 2. Divide by the sum of the weights, size_a + size_b.",
        ),
        Mistake(
            "brackets",
            _brackets,
            "This is what happens when only the second part is divided. The sum of both is divided: it needs brackets.",
        ),
        Mistake(
            "what is common",
            _common,
            "This is what happens when the smaller share of each bin is kept: that is how alike they are, not what they are together.",
        ),
        Mistake(
            "maximum",
            _largest,
            "This is what happens when the larger share of each bin is kept. Together a bin has the pixels of both.",
        ),
        Mistake(
            "product",
            _product,
            "This is what happens when the parts are multiplied. The pixels of a bin add up.",
        ),
    ),
)
