"""Exercise: from instances to a semantic map."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.labels import semantic_map

PROMPT = r"""
Two cats and a dog are three **instances**: a mask and a label for each. Make one **semantic map** of them, a class for every pixel.

```text
mask of a cat (1)    mask of a dog (2)         map
 T  T  .              .  .  .                1  1  0
 T  T  .       +      .  T  T         →      1  2  2
 .  .  .              .  T  T                0  2  2
```

A pixel that no mask covers is background, class 0. Where masks overlap, the **last** one counts: it is painted over those before it.

`masks` is bool `[N, H, W]`, `labels` holds whole numbers `[N]`; N may be 0. The map is int64 `[H, W]`, on the device of `masks`.
""".strip()


def _map_by_select(masks: Tensor, labels: Tensor) -> np.ndarray:
    """np.select takes the first mask that covers a pixel, so it gets them the other way round."""
    if len(masks) == 0:
        return np.zeros(masks.shape[1:], np.int64)
    values = [np.int64(label) for label in labels.tolist()]
    return np.select(list(masks.numpy())[::-1], values[::-1], default=np.int64(0))


def _rectangles_in_words(masks: Tensor) -> list[str]:
    """One line a mask; every mask of the cases is a rectangle, so that this says all of it."""
    lines = []
    for number, mask in enumerate(masks):
        rows, columns = (mask.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
        lines.append(f"{number}: rows {rows[0]} to {rows[-1]}, columns {columns[0]} to {columns[-1]}")
    return lines


def _blocks(draw: torch.Generator, count: int, height: int, width: int) -> Tensor:
    """Rectangles of at least 2 × 2 pixels, anywhere in the picture. bool [N, H, W]"""
    masks = torch.zeros(count, height, width, dtype=torch.bool)
    for mask in masks:
        top, left = whole(draw, 0, height - 1), whole(draw, 0, width - 1)
        mask[top : whole(draw, top + 2, height + 1), left : whole(draw, left + 2, width + 1)] = True
    return masks


def _labels(draw: torch.Generator, count: int) -> Tensor:
    """Whole numbers from 2 to 20, all different: never 1, so that a class is not taken for an instance's number."""
    return torch.randperm(19, generator=draw)[:count] + 2


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, masks: Tensor, labels: Tensor | None = None) -> Case:
        return Case(name, {"masks": masks, "labels": _labels(draw, len(masks)) if labels is None else labels})

    apart = torch.zeros(2, 3, 5, dtype=torch.bool)
    apart[0, :2, :2], apart[1, 1:, 3:] = True, True
    yield case("two instances apart", apart)
    overlap = torch.zeros(2, 3, 3, dtype=torch.bool)
    overlap[0, :2, :2], overlap[1, 1:, 1:] = True, True
    for name, sign in (("an overlap, the larger class last", 1), ("an overlap, the smaller class last", -1)):
        yield case(name, overlap, sign * (sign * _labels(draw, 2)).sort().values)
    touching = apart.clone()
    touching[0, :2, 2] = True
    yield case("two instances of one class that touch", touching, _labels(draw, 1).repeat(2))
    yield case("five instances", _blocks(draw, 5, 6, 8))
    yield case("one instance", _blocks(draw, 1, 4, 7))
    yield case("labels of another dtype", _blocks(draw, 3, 5, 5), _labels(draw, 3).to(torch.uint8))
    yield case("an instance that is hidden altogether", _blocks(draw, 1, 5, 4).repeat(2, 1, 1))
    yield case("no instance", torch.zeros(0, whole(draw, 3, 6), whole(draw, 6, 12), dtype=torch.bool), torch.zeros(0, dtype=torch.int64))


def _painted(masks: Tensor, values: Tensor | list, background: int = 0) -> Tensor:
    painted = torch.full(masks.shape[1:], background, dtype=torch.int64)
    for mask, value in zip(masks, values, strict=True):
        painted[mask] = int(value)
    return painted


def _first_counts(masks, labels):
    return _painted(masks.flip(0), labels.flip(0))


def _larger_class_counts(masks, labels):
    order = labels.long().argsort()
    return _painted(masks[order], labels[order])


def _added(masks, labels):
    return (masks * labels.long()[:, None, None]).sum(0)


def _numbered(masks, labels):
    return _painted(masks, range(1, len(masks) + 1))


def _foreground(masks, labels):
    return masks.any(0).long()


def _by_argmax(masks, labels):
    """The background goes to the first instance, since argmax of nothing but zeros is 0."""
    if len(masks) == 0:
        return torch.zeros(masks.shape[1:], dtype=torch.int64)
    return labels.long()[masks.int().argmax(0)]


def _void_background(masks, labels):
    return _painted(masks, labels, background=255)


def _fractions(masks, labels):
    return _painted(masks, labels).float()


def _transposed(masks, labels):
    return _painted(masks, labels).T


def _only_last(masks, labels):
    return _painted(masks[-1:], labels[-1:])


SEMANTIC_MAP = Exercise(
    prompt=PROMPT,
    solution=semantic_map,
    reference=_map_by_select,
    reference_name="numpy.select with the masks in reverse order",
    cases=_cases,
    tolerance=0.0,
    in_words={"masks": _rectangles_in_words},
    docstring="""The class of every pixel, int64 [H, W]: that of the last instance that covers it, 0 where none does.

Args:
    masks: bool [N, H, W], one an instance; N may be 0.
    labels: whole numbers [N], the instances' classes.""",
    common_mistakes=(
        Mistake(
            "the first counts",
            _first_counts,
            "This is what happens when the first mask that covers a pixel counts. The last one does: paint one after another.",
        ),
        Mistake(
            "the larger class counts",
            _larger_class_counts,
            "This is what happens when the larger label wins where masks overlap, as with max or amax. Which class has the larger number "
            "means nothing; the last mask counts.",
        ),
        Mistake(
            "labels added",
            _added,
            "This is what happens when mask · label is summed over the instances: where two overlap, a cat (1) and a dog (2) become class "
            "3. The last mask counts.",
        ),
        Mistake(
            "numbers of instances",
            _numbered,
            "This is what happens when a pixel gets the instance's number instead of its class. That is an instance map: it tells two "
            "cats apart, and does not say that they are cats.",
        ),
        Mistake(
            "foreground and background",
            _foreground,
            "This is what happens when every covered pixel becomes 1. Its class is in labels.",
        ),
        Mistake(
            "background by argmax",
            _by_argmax,
            "This is what happens when argmax over the instances picks the label: where no mask covers a pixel it answers 0, the first "
            "instance, and where several do, the first of them.",
        ),
        Mistake(
            "background of 255",
            _void_background,
            "This is what happens when uncovered pixels become 255. That is void, which means that nobody knows; here it is known that "
            "nothing is there: class 0.",
        ),
        Mistake(
            "fractions",
            _fractions,
            "This is what happens when the map is made with torch.zeros(H, W), which holds float32. Classes are whole numbers: "
            "dtype=torch.int64.",
        ),
        Mistake(
            "rows and columns swapped",
            _transposed,
            "This is what happens when rows and columns are swapped. The map has the masks' height and width: masks.shape[1:].",
        ),
        Mistake(
            "only the last",
            _only_last,
            "This is what happens when the map is made anew for each instance, so that only the last one is left. Make it once, before "
            "the loop.",
        ),
    ),
)
