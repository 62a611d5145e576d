"""Exercise: the intersection of two histograms."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.exercises.proposals.regions import histograms
from course.models.region_similarity import colour_similarity

PROMPT = r"""
How alike are two regions in colour? Each has a histogram, whose bins say which share of the region has which colour. Two histograms are
alike as far as they **lie on top of each other**:

```text
 a      0.5   0.25  0.25  0
 b      0.25  0.25  0     0.5
 both   0.25  0.25  0     0       colour similarity: 0.5
```

$$s(a, b) = \sum_k \min(a_k, b_k)$$

Each histogram sums to 1, so equal ones give 1, and those without a common bin give 0. Textures are compared in the same way.

`a` and `b` are `[..., F]`, and F is the number of bins: one pair, or many pairs at once. Return one number a pair, `[...]`. One histogram
`[F]` may also meet many, `[N, F]`: the course does that after each merge, when the new region is compared with all its neighbours.
""".strip()

DOCSTRING = """How far the two histograms lie on top of each other, from 0 to 1: one number a pair, [...].

Args:
    a, b: histograms [..., F], each summing to 1."""


def _by_differences(a: Tensor, b: Tensor) -> np.ndarray:
    """Of two that sum to 1, what one has more the other has less: their absolute differences sum to 2 less twice what is common."""
    difference = np.abs(a.numpy().astype(np.float64) - b.numpy().astype(np.float64)).sum(-1)
    return (1 - difference / 2).astype(a.numpy().dtype)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)
    one = histograms(draw, bins=4)
    yield Case("four bins", {"a": histograms(draw, bins=4), "b": histograms(draw, bins=4)})
    yield Case("five pairs", {"a": histograms(draw, 5, bins=4), "b": histograms(draw, 5, bins=4)})
    yield Case("one against three", {"a": one, "b": histograms(draw, 3, bins=4)})
    yield Case("three against one", {"a": histograms(draw, 3, bins=4), "b": one})
    apart = histograms(draw, 2, bins=6)
    lower = torch.arange(6) < whole(draw, 2, 5)
    apart = torch.stack([apart[0] * lower, apart[1] * ~lower])
    apart = apart / apart.sum(-1, keepdim=True)
    yield Case("nothing in common, and then itself", {"a": apart[[0, 0]], "b": apart[[1, 0]]})
    yield Case("75 bins, as of three channels", {"a": histograms(draw, 2, 3, bins=75), "b": histograms(draw, 2, 3, bins=75)})
    yield Case("float64", {"a": histograms(draw, 3, bins=5).double(), "b": histograms(draw, 3, bins=5).double()})
    yield Case("one bin, and no pair at all", {"a": torch.ones(0, 1), "b": torch.ones(0, 1)})


def _union(a, b):
    return torch.maximum(a, b).sum(-1)


def _over_union(a, b):
    return torch.minimum(a, b).sum(-1) / torch.maximum(a, b).sum(-1)


def _product(a, b):
    return (a * b).sum(-1)


def _bhattacharyya(a, b):
    return (a * b).sqrt().sum(-1)


def _cosine(a, b):
    return torch.nn.functional.cosine_similarity(a, b, dim=-1)


def _distance(a, b):
    return (a - b).abs().sum(-1)


def _one_less_distance(a, b):
    return 1 - (a - b).abs().sum(-1)


def _mean(a, b):
    return torch.minimum(a, b).mean(-1)


def _one_number_for_all(a, b):
    return torch.minimum(a, b).sum()


def _over_pairs(a, b):
    return torch.minimum(a, b).sum(0)


def _least_of_all(a, b):
    return torch.minimum(a, b).amin(-1)


COLOUR_SIMILARITY = Exercise(
    prompt=PROMPT,
    solution=colour_similarity,
    reference=_by_differences,
    reference_name="1 less half of the summed differences, in NumPy",
    cases=_cases,
    docstring=DOCSTRING,
    common_mistakes=(
        Mistake(
            "maximum",
            _union,
            "This is what happens when the larger of two shares counts: that is the union of the histograms. Common to both is the smaller "
            "one.",
        ),
        Mistake(
            "intersection over union",
            _over_union,
            "This is what happens when the intersection is divided by the union. That is IoU, and right for boxes; here each "
            "histogram sums to 1 already, and the intersection is all.",
        ),
        Mistake(
            "product",
            _product,
            "This is what happens when the shares are multiplied: then even a histogram and itself do not give 1. Take the smaller of the "
            "two.",
        ),
        Mistake(
            "root of the product",
            _bhattacharyya,
            "This is what happens when the root of the product is summed: that is the Bhattacharyya coefficient, a cousin. Take the "
            "smaller of the two.",
        ),
        Mistake(
            "cosine",
            _cosine,
            "This is what happens when the histograms are compared by their angle. Sum up the smaller share of each bin.",
        ),
        Mistake(
            "a distance",
            _distance,
            "This is what happens when differences are summed up: that is 0 for equal histograms. A similarity is 1 for them.",
        ),
        Mistake(
            "1 less the distance",
            _one_less_distance,
            "This is what happens when all differences are taken off 1. What one has more the other has less, so each "
            "difference counts twice: halve them, or sum up the smaller shares.",
        ),
        Mistake(
            "mean",
            _mean,
            "This is what happens when the smaller shares are averaged over the bins. Their sum is asked for.",
        ),
        Mistake(
            "summed over all pairs",
            _one_number_for_all,
            "This is what happens when sum() runs over all pairs as well. There is one number a pair: sum over the last dimension.",
        ),
        Mistake(
            "summed over the pairs",
            _over_pairs,
            "This is what happens when the sum runs over the first dimension. The bins are the last one.",
        ),
        Mistake(
            "least of all bins",
            _least_of_all,
            "This is what happens when the least of all bins is taken. Take the smaller of the two in each bin, and sum over the bins.",
        ),
    ),
)
