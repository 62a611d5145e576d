"""Exercise: how well two regions fit together."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from course.exercises.exercise import Case, Exercise, Mistake
from course.exercises.proposals.regions import boxes
from course.models.region_similarity import fill_similarity

PROMPT = r"""
A wheel in its arch, a pupil in its iris: they **fit**, whatever they look like. Put a box around *both* regions. What the two leave empty
in it, as a share of the picture, is taken off 1.

```text
 a a . .            a: box (0, 0, 2, 2), 4 pixels      the box around both: (0, 0, 4, 3), 12 pixels
 a a b b            b: box (2, 1, 4, 3), 3 pixels      empty in it: 12 − 4 − 3 = 5
 . . b .            the picture: 100 pixels            fill similarity: 1 − 5/100 = 0.95
```

$$s(a, b) = 1 - \frac{n_{ab} - n_a - n_b}{n}$$

$n_{ab}$ is the size of the box around both. `box_a` and `box_b` are `[..., 4]`: x1, y1, x2, y2 of the boxes around the regions, so that the
width is x2 − x1. `size_a` and `size_b` are `[...]`, the pixels of the regions, which need not fill their boxes. Return `[...]`.

One region may also meet many: `box_a` `[4]` and `box_b` `[N, 4]`.
""".strip()

DOCSTRING = """1 less the share of the picture that the box around both regions has besides them, [...].

Args:
    box_a, box_b: [..., 4], x1, y1, x2, y2: the boxes around the regions.
    size_a, size_b: [...], their numbers of pixels.
    image_size: number of pixels of the picture."""

SIDE = 12  # of the picture in the cases


def _by_painting(box_a: Tensor, box_b: Tensor, size_a: Tensor, size_b: Tensor, image_size: float) -> np.ndarray:
    """Pixels of a picture are painted that lie neither left of, right of, above nor below all pixels of both boxes; and counted."""
    first, second = np.broadcast_arrays(box_a.numpy(), box_b.numpy())
    y, x = np.indices((SIDE, SIDE)) + 0.5
    painted = np.empty(first.shape[:-1])
    for pair in np.ndindex(painted.shape):
        inside = [(x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3]) for box in (first[pair], second[pair])]
        either = inside[0] | inside[1]
        rows, columns = np.flatnonzero(either.any(1)), np.flatnonzero(either.any(0))
        painted[pair] = len(range(rows[0], rows[-1] + 1)) * len(range(columns[0], columns[-1] + 1))
    return (1 - (painted - np.asarray(size_a) - np.asarray(size_b)) / image_size).astype(box_a.numpy().dtype)


def _sizes(draw: torch.Generator, box: Tensor) -> Tensor:
    """Some of a box's pixels: at least half."""
    area = (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
    return (area * (0.5 + 0.5 * torch.rand(area.shape, generator=draw))).ceil()


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, box_a: Tensor, box_b: Tensor) -> Case:
        sizes = {"size_a": _sizes(draw, box_a), "size_b": _sizes(draw, box_b)}
        return Case(name, {"box_a": box_a, "box_b": box_b, **sizes, "image_size": SIDE * SIDE})

    def drawn(*shape: int) -> Tensor:
        return boxes(draw, *shape, within=SIDE)

    yield case("one pair", drawn(1), drawn(1))
    yield case("five pairs", drawn(5), drawn(5))
    outer = torch.tensor([[1.0, 2, 11, 9], [0, 1, 6, 10]])
    inner = outer + torch.randint(1, 3, (2, 1), generator=draw) * torch.tensor([1.0, 1, -1, -1])
    yield case("one inside the other", outer, inner)
    cut = torch.randint(3, SIDE - 3, (2, 1), generator=draw).float()
    low, high, top, bottom = torch.zeros(2, 1), torch.full((2, 1), SIDE), torch.full((2, 1), 2.0), torch.full((2, 1), 7.0)
    left, right = torch.cat([low, top, cut, bottom], 1), torch.cat([cut, top, high, bottom], 1)
    yield case("side by side", left, right)
    yield case("one above the other", left[:, [1, 0, 3, 2]], right[:, [1, 0, 3, 2]])
    far = drawn(3) / SIDE
    yield case("far apart", (far * 4).floor() + torch.tensor([0.0, 0, 1, 1]), (far * 4).floor() + torch.tensor([7.0, 6, 8, 7]))
    yield case("one against four", drawn(), drawn(4))
    yield case("pairs in rows and columns, float64", drawn(2, 3).double(), drawn(2, 3).double())


def _around(box_a: Tensor, box_b: Tensor) -> Tensor:
    upper_left, lower_right = torch.minimum(box_a, box_b), torch.maximum(box_a, box_b)
    return (lower_right[..., 2] - upper_left[..., 0]) * (lower_right[..., 3] - upper_left[..., 1])


def _area(box: Tensor) -> Tensor:
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])


def _emptiness(box_a, box_b, size_a, size_b, image_size):
    return (_around(box_a, box_b) - size_a - size_b) / image_size


def _share_of_the_box(box_a, box_b, size_a, size_b, image_size):
    around = _around(box_a, box_b)
    return 1 - (around - size_a - size_b) / around


def _box_alone(box_a, box_b, size_a, size_b, image_size):
    return 1 - _around(box_a, box_b) / image_size + 0 * size_a


def _intersection(box_a, box_b, size_a, size_b, image_size):
    sides = (torch.minimum(box_a, box_b)[..., 2:] - torch.maximum(box_a, box_b)[..., :2]).clamp(min=0)
    return 1 - (sides[..., 0] * sides[..., 1] - size_a - size_b) / image_size


def _boxes_for_regions(box_a, box_b, size_a, size_b, image_size):
    return 1 - (_around(box_a, box_b) - _area(box_a) - _area(box_b)) / image_size + 0 * size_a


def _plus_one(box_a, box_b, size_a, size_b, image_size):
    upper_left, lower_right = torch.minimum(box_a, box_b), torch.maximum(box_a, box_b)
    around = (lower_right[..., 2] - upper_left[..., 0] + 1) * (lower_right[..., 3] - upper_left[..., 1] + 1)
    return 1 - (around - size_a - size_b) / image_size


def _width_and_height(box_a, box_b, size_a, size_b, image_size):
    upper_left = torch.minimum(box_a, box_b)[..., :2]
    lower_right = torch.maximum(box_a[..., :2] + box_a[..., 2:], box_b[..., :2] + box_b[..., 2:])
    return 1 - ((lower_right - upper_left).prod(-1) - size_a - size_b) / image_size


def _sum_of_boxes(box_a, box_b, size_a, size_b, image_size):
    return 1 - (_area(box_a) + _area(box_b) - size_a - size_b) / image_size


def _one_region_taken_off(box_a, box_b, size_a, size_b, image_size):
    return 1 - (_around(box_a, box_b) - size_a) / image_size + 0 * size_b


def _signs(box_a, box_b, size_a, size_b, image_size):
    return 1 - (_around(box_a, box_b) - size_a + size_b) / image_size


FILL_SIMILARITY = Exercise(
    prompt=PROMPT,
    solution=fill_similarity,
    reference=_by_painting,
    reference_name="the box around both, painted and counted pixel by pixel",
    cases=_cases,
    docstring=DOCSTRING,
    common_mistakes=(
        Mistake(
            "emptiness",
            _emptiness,
            "This is what happens when the empty share is not taken off 1. What fits should have the larger number.",
        ),
        Mistake(
            "share of the box",
            _share_of_the_box,
            "This is what happens when the empty part is divided by the box around both. It is a share of the picture, so "
            "that a small gap between small regions costs little.",
        ),
        Mistake(
            "regions not taken off",
            _box_alone,
            "This is what happens when the whole box counts as empty. Take the pixels of both regions off it.",
        ),
        Mistake(
            "what the boxes share",
            _intersection,
            "This is what happens when the box is the part that both boxes share. Around both goes from the least corner to "
            "the greatest: the minimum of x1 and y1, the maximum of x2 and y2.",
        ),
        Mistake(
            "boxes for regions",
            _boxes_for_regions,
            "This is what happens when the areas of the two boxes are taken off in place of the regions' pixels. A region need not fill "
            "its box.",
        ),
        Mistake(
            "widths one too large",
            _plus_one,
            "This is what happens when a width is x2 − x1 + 1. The edges lie between pixels, so it is x2 − x1.",
        ),
        Mistake(
            "x2 and y2 as width and height",
            _width_and_height,
            "This is what happens when the last two numbers of a box are read as width and height. They are x2 and y2.",
        ),
        Mistake(
            "sum of the boxes",
            _sum_of_boxes,
            "This is what happens when the areas of the two boxes are added up. One box around both is meant, with the gap between them.",
        ),
        Mistake(
            "only one region taken off",
            _one_region_taken_off,
            "This is what happens when only the first region is taken off the box. Both fill it.",
        ),
        Mistake(
            "a sign",
            _signs,
            "This is what happens when the second region is added and not taken off: the empty part is the box less both.",
        ),
    ),
)
