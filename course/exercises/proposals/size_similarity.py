"""Exercise: small regions first."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course.exercises.exercise import Case, Exercise, Mistake
from course.models.region_similarity import size_similarity

PROMPT = r"""
Small regions should merge before large ones. So two regions count as similar in **size** when they are small *together*: 1, less the share
of the picture that the two take.

```text
 a takes 10 pixels, b takes 30, the picture has 200      size similarity: 1 − 40/200 = 0.8
```

$$s(a, b) = 1 - \frac{n_a + n_b}{n}$$

Two regions that are the whole picture have 0. `size_a` and `size_b` are tensors of the same shape, or one of them holds a single
number; `image_size` is a number. Return a tensor, one number a pair.
""".strip()

DOCSTRING = """1 less the share of the picture that the two regions take together.

Args:
    size_a, size_b: numbers of pixels, any shape.
    image_size: number of pixels of the picture."""


def _by_counting(size_a: Tensor, size_b: Tensor, image_size: float) -> np.ndarray:
    """The picture as a row of pixels: the first ones are of one region, the last ones of the other, and what is left is counted."""
    a, b = np.broadcast_arrays(np.asarray(size_a), np.asarray(size_b))
    pixels = np.arange(image_size)
    taken = (pixels < a[..., None]) | (pixels >= image_size - b[..., None])  # [..., n]
    return (1 - taken.mean(-1)).astype(np.result_type(np.asarray(size_a), np.asarray(size_b)))


def _sizes(draw: torch.Generator, *shape: int, most: int) -> Tensor:
    return torch.randint(1, most, shape, generator=draw).float()


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)
    yield Case("two regions", {"size_a": _sizes(draw, 1, most=40), "size_b": _sizes(draw, 1, most=40), "image_size": 100})
    yield Case("five pairs", {"size_a": _sizes(draw, 5, most=60), "size_b": _sizes(draw, 5, most=60), "image_size": 120})
    yield Case("one against four", {"size_a": _sizes(draw, 1, most=50), "size_b": _sizes(draw, 4, most=50), "image_size": 100})
    part = _sizes(draw, 3, most=200)
    yield Case(
        "together the whole picture",
        {"size_a": torch.cat([part, part / 2]), "size_b": torch.cat([200 - part, part / 2]), "image_size": 200},
    )
    small = _sizes(draw, 2, 3, most=30)
    yield Case("equal sizes", {"size_a": small, "size_b": small.clone(), "image_size": 1000})
    yield Case("one large, one small", {"size_a": _sizes(draw, 4, most=5) + 600, "size_b": _sizes(draw, 4, most=9), "image_size": 700})
    numbers = {"size_a": _sizes(draw, 3, most=400).double(), "size_b": _sizes(draw, 3, most=400).double(), "image_size": 999}
    yield Case("float64", numbers)


def _share(size_a, size_b, image_size):
    return (size_a + size_b) / image_size


def _whole_shares(size_a, size_b, image_size):
    return 1 - (size_a + size_b) // image_size


def _only_one(size_a, size_b, image_size):
    return 1 - torch.as_tensor(size_a) / image_size + 0 * size_b


def _mean(size_a, size_b, image_size):
    return 1 - (size_a + size_b) / 2 / image_size


def _difference(size_a, size_b, image_size):
    return 1 - abs(size_a - size_b) / image_size


def _ratio(size_a, size_b, image_size):
    a, b = torch.as_tensor(size_a), torch.as_tensor(size_b)
    return torch.minimum(a, b) / torch.maximum(a, b)


def _product(size_a, size_b, image_size):
    return 1 - size_a * size_b / image_size**2


def _not_divided(size_a, size_b, image_size):
    return image_size - (size_a + size_b)


def _brackets(size_a, size_b, image_size):
    return 1 - size_a + size_b / image_size


SIZE_SIMILARITY = Exercise(
    prompt=PROMPT,
    solution=size_similarity,
    reference=_by_counting,
    reference_name="the share of pixels that neither region takes, counted one by one",
    cases=_cases,
    docstring=DOCSTRING,
    common_mistakes=(
        Mistake(
            "the share itself",
            _share,
            "This is what happens when the share of the picture is not taken off 1: then the largest regions would merge first.",
        ),
        Mistake(
            "brackets",
            _brackets,
            "This is what happens when only the second size is divided: without brackets, 1 − a + b / n is 1 − a, and then b / n more.",
        ),
        Mistake(
            "difference",
            _difference,
            "This is what happens when the sizes are compared with each other. Two regions as large as each other are not "
            "meant, but two that are small together: the sum counts.",
        ),
        Mistake(
            "ratio",
            _ratio,
            "This is what happens when the smaller size is divided by the larger one. Two large regions would then be alike; the sum "
            "should be small.",
        ),
        Mistake(
            "mean",
            _mean,
            "This is what happens when the mean of the sizes is taken. The two take the sum of them.",
        ),
        Mistake(
            "only one",
            _only_one,
            "This is what happens when only the first region counts. Both take a share of the picture.",
        ),
        Mistake(
            "product",
            _product,
            "This is what happens when the two shares are multiplied. Together the regions take the sum of them.",
        ),
        Mistake(
            "not divided",
            _not_divided,
            "This is what happens when pixels are not divided by those of the picture. It is a share that is taken off 1, whatever the "
            "picture's size.",
        ),
        Mistake(
            "whole division",
            _whole_shares,
            "This is what happens when // divides: it drops what is behind the point. A share needs /.",
        ),
    ),
)
