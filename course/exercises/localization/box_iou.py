"""Exercise: the overlap of boxes, intersection over union."""

from collections.abc import Iterator

import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.boxes import box_iou

PROMPT = r"""
How well does a box fit? Divide the area that the two boxes share by the area that they cover together. A box is `x1, y1, x2, y2`, in
pixels, x to the right and y down; its width is `x2 − x1`.

```text
   0  1  2  3  4  5  6
 0 ┌───────────┐            box a   0, 0, 4, 4     area 16
 1 │     ┌─────┼─────┐      box b   2, 1, 6, 4     area 12
 2 │     │     │     │      shared  2, 1, 4, 4     area 6
 3 │     │     │     │
 4 └─────┴─────┴─────┘      IoU = 6 / (16 + 12 − 6) = 0.27
```

`a` holds N boxes, `[N, 4]`, and `b` holds M. The answer is `[N, M]`: every box of `a` with every box of `b`, without a loop.
`a[:, None]` is `[N, 1, 4]`, and meets `b`, `[M, 4]`, in all pairs.

- Boxes that do not meet have an IoU of 0, also when they are apart in both directions.
- N or M may be 0.
- A box may have no width or no height. It shares nothing with any box, not even with itself: its IoU is 0.
""".strip()


def _by_torchvision(a: Tensor, b: Tensor) -> Tensor:
    from torchvision.ops import box_iou

    return box_iou(a, b).nan_to_num(0.0)  # 0 / 0, of two boxes without area


def _boxes(draw: torch.Generator, count: int, within: int = 12) -> Tensor:
    """Boxes of whole pixels, no side below 3, so that two of them meet often enough."""
    corners = [[whole(draw, 0, within - 4), whole(draw, 0, within - 4)] for _ in range(count)]
    rows = [[x, y, x + whole(draw, 3, 8), y + whole(draw, 3, 8)] for x, y in corners]
    return torch.tensor(rows, dtype=torch.float32).reshape(count, 4)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def overlapping() -> tuple[Tensor, Tensor]:
        x, y, w, h = whole(draw, 0, 5), whole(draw, 0, 5), whole(draw, 3, 9), whole(draw, 4, 8)
        dx, dy = whole(draw, 1, w), whole(draw, 1, h)
        return torch.tensor([[x, y, x + w, y + h]]).float(), torch.tensor([[x + dx, y + dy, x + w + dx + 1, y + h + dy]]).float()

    def case(name: str, a: Tensor, b: Tensor) -> Case:
        return Case(name, {"a": a, "b": b})

    yield case("two boxes that overlap", *overlapping())
    a, b = overlapping()
    x1, y1, x2, y2 = a[0].tolist()
    apart = torch.tensor([[x2 + 2, y2 + 3, x2 + 5, y2 + 8], [x2 + 2, y1, x2 + 5, y2], [x2, y1, x2 + 4, y2]])
    yield case("apart in both directions, apart in one, touching", a, torch.cat([apart, b]))
    inner = torch.tensor([[x1 + 1, y1 + 1, x2 - 1, y2 - 1]])
    yield case("one inside the other, and the box itself", a, torch.cat([inner, a]))
    yield case("three boxes with four", _boxes(draw, 3), _boxes(draw, 4))
    yield case("as many as there are on the other side", _boxes(draw, 3), _boxes(draw, 3))
    flat = _boxes(draw, 1)
    flat[:, 2] = flat[:, 0]
    some = _boxes(draw, 2)
    yield case("a box without width, among others", torch.cat([flat, some]), torch.cat([flat, some + 1]))
    yield case("fractions of pixels", 8 * _fractions(draw, 4), 8 * _fractions(draw, 5))
    yield case("no box on one side", torch.zeros(0, 4), _boxes(draw, 3))
    yield case("very small boxes", 0.01 * _fractions(draw, 3), 0.01 * _fractions(draw, 3))
    yield case("float64", _fractions(draw, 3).double(), _fractions(draw, 2).double())


def _fractions(draw: torch.Generator, count: int) -> Tensor:
    corners = torch.rand(count, 2, generator=draw)
    return torch.cat([corners, corners + 0.2 + torch.rand(count, 2, generator=draw)], 1)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _parts(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sides of what is shared, below 0 where nothing is, `[N, M, 2]`; the areas, `[N, 1]` and `[M]`."""
    sides = torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])
    return sides, (a[:, 2:] - a[:, :2]).prod(1)[:, None], (b[:, 2:] - b[:, :2]).prod(1)


def _divided(shared: Tensor, whole: Tensor) -> Tensor:
    return shared / torch.where(shared == 0, 1, whole)


def _no_clamp(a, b):
    sides, area_a, area_b = _parts(a, b)
    return _divided(sides.prod(-1), area_a + area_b - sides.prod(-1))


def _clamped_product(a, b):
    sides, area_a, area_b = _parts(a, b)
    shared = sides.prod(-1).clamp(min=0)
    return _divided(shared, area_a + area_b - shared)


def _one_pixel_more(a, b):
    sides, *_ = _parts(a, b)
    area_a, area_b = (a[:, 2:] - a[:, :2] + 1).prod(1)[:, None], (b[:, 2:] - b[:, :2] + 1).prod(1)
    shared = (sides + 1).clamp(min=0).prod(-1)
    return _divided(shared, area_a + area_b - shared)


def _counted_twice(a, b):
    sides, area_a, area_b = _parts(a, b)
    return _divided(sides.clamp(min=0).prod(-1), area_a + area_b)


def _over_smaller(a, b):
    sides, area_a, area_b = _parts(a, b)
    return _divided(sides.clamp(min=0).prod(-1), torch.minimum(area_a, area_b))


def _over_hull(a, b):
    sides, *_ = _parts(a, b)
    hull = torch.maximum(a[:, None, 2:], b[:, 2:]) - torch.minimum(a[:, None, :2], b[:, :2])
    return _divided(sides.clamp(min=0).prod(-1), hull.prod(-1))


def _not_divided(a, b):
    return _parts(a, b)[0].clamp(min=0).prod(-1)


def _corner_and_size(a, b):
    return box_iou(*(torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1) for boxes in (a, b)))


def _transposed(a, b):
    return box_iou(b, a)


def _pairs_only(a, b):
    return box_iou(a, b).diagonal() if len(a) == len(b) else (a - b)[:, 0]  # two numbers of boxes raise, as a student's own line would


def _zero_by_zero(a, b):
    sides, area_a, area_b = _parts(a, b)
    shared = sides.clamp(min=0).prod(-1)
    return shared / (area_a + area_b - shared)


def _padded(a, b):
    sides, area_a, area_b = _parts(a, b)
    shared = sides.clamp(min=0).prod(-1)
    return shared / (area_a + area_b - shared + 1e-3)


BOX_IOU = Exercise(
    prompt=PROMPT,
    solution=box_iou,
    reference=_by_torchvision,
    reference_name="torchvision.ops.box_iou, with 0 where it has 0 / 0",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "no clamp",
            _no_clamp,
            "This is what happens when sides below 0 are kept. Boxes that do not meet share nothing: clamp width and height at 0 first.",
        ),
        Mistake(
            "product clamped",
            _clamped_product,
            "This is what happens when the product is clamped and not the sides. Of boxes that are apart in both directions both sides are "
            "below 0, and minus times minus is an area out of nothing.",
        ),
        Mistake(
            "one pixel more",
            _one_pixel_more,
            "This is what happens when 1 is added to every side, as old code does that counts pixels. Here a side is x2 − x1.",
        ),
        Mistake(
            "counted twice",
            _counted_twice,
            "This is what happens when the union is the sum of both areas. What they share is in both: subtract it once.",
        ),
        Mistake(
            "over the smaller",
            _over_smaller,
            "This is what happens when the shared area is divided by the smaller box. A tiny box inside a large one would fit perfectly.",
        ),
        Mistake(
            "over the hull",
            _over_hull,
            "This is what happens when the union is taken to be the box around both. Divide by what the two cover: a + b − shared.",
        ),
        Mistake("not divided", _not_divided, "This is what happens when the shared area is returned as it is. Divide it by the union."),
        Mistake(
            "x, y, width, height",
            _corner_and_size,
            "This is what happens when the last two numbers are taken for width and height. They are the other corner, x2 and y2.",
        ),
        Mistake(
            "transposed",
            _transposed,
            "This is what happens when rows and columns are swapped. Row i belongs to box i of a, column j to box j of b.",
        ),
        Mistake(
            "pairs only",
            _pairs_only,
            "This is what happens when box i meets only box i. Every box of a meets every box of b: a[:, None] makes room for that.",
            error="must match the size|must be broadcastable|shape mismatch|expanded size|non-singleton",
        ),
        Mistake(
            "0 by 0",
            _zero_by_zero,
            "This is what happens when 0 is divided by 0, for two boxes without area. The IoU is 0: divide by 1 where nothing is shared.",
        ),
        Mistake(
            "a little more below",
            _padded,
            "This is what happens when a small number is added to the union against division by 0. Small boxes feel it: give 0 where "
            "nothing is shared, and divide by the union alone elsewhere.",
        ),
    ),
)
