"""Exercise: which of a cell's boxes answers for the object in it."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.ops import box_iou

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.yolo import responsible_boxes

PROMPT = r"""
A cell says B boxes, and only one of them is to learn from the object: the one that is nearest already. So the boxes of a cell become
specialists, for large and small things, or for high and wide ones.

- It is the box with the **highest IoU** with the object; of equal ones the first.
- Where **all** B of them miss the object, all IoUs are 0 and say nothing. Then it is the box that differs **least** from the object: with
  the smallest sum of squares of the differences in x, y, w and h.

All of this in shares of the picture. `predicted`, `[..., B, 4]`, and `truth`, `[..., 4]`, hold x, y, w, h: the centre's place **in the
cell**, 0…1, and the sides in shares of the **picture**. A cell's side is $1 / S$ of the picture's, S = `grid`; so $x / S$ and $y / S$ are
shares of the picture, too, counted from the cell's corner, which both have in common.

```text
grid 4            x      y      w      h      in shares of the picture     x1       y1       x2      y2
truth            0.4    0.8    0.5    0.2     0.1,  0.2,  0.5,  0.2      −0.15     0.1     0.35    0.3
box 0            0.4    0.8    0.1    0.2     0.1,  0.2,  0.1,  0.2       0.05     0.1     0.15    0.3      IoU 0.2
box 1            0.8    0.8    0.5    0.2     0.2,  0.2,  0.5,  0.2      −0.05     0.1     0.45    0.3      IoU 0.67: responsible
```

The answer has the shape `[...]`, int64: the number of the box, 0 … B − 1. How many axes come first is open: `[S, S, B, 4]` for a picture,
`[N, S, S, B, 4]` for a batch, `[B, 4]` for one cell. All sides are above 0.
""".strip()

DOCSTRING = """
Which of its B boxes answers for the object in a cell: the one with the highest IoU, the first of equals; where none of them touches the
object, the one that differs least from it in x, y, w and h, all in shares of the picture. int64 [...]

Args:
    predicted: [..., B, 4], x, y in the cell, w, h in shares of the picture.
    truth: [..., 4], the same of the object.
    grid: S, by which a cell's side becomes a share of the picture, too.
""".strip()


def _corners(x: float, y: float, w: float, h: float) -> list[float]:
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def _in_shares(box: list[float], grid: int) -> list[float]:
    return [box[0] / grid, box[1] / grid, *box[2:]]


def _overlaps(boxes: list[list[float]], truth: list[float]) -> list[float]:
    """IoU of boxes x1, y1, x2, y2 with another one."""
    one, others = torch.tensor([truth], dtype=torch.float64), torch.tensor(boxes, dtype=torch.float64)
    return box_iou(others, one)[:, 0].tolist()


def _distances(boxes: list[list[float]], truth: list[float]) -> list[float]:
    return [sum((a - b) ** 2 for a, b in zip(box, truth, strict=True)) for box in boxes]


def _first_best(boxes: list[list[float]], truth: list[float], grid: int) -> int:
    boxes, truth = [_in_shares(box, grid) for box in boxes], _in_shares(truth, grid)
    overlaps = _overlaps([_corners(*box) for box in boxes], _corners(*truth))
    if max(overlaps) > 0:
        return overlaps.index(max(overlaps))
    distances = _distances(boxes, truth)
    return distances.index(min(distances))


def _cell_by_cell(choose: Callable[[list, list, int], int]) -> Callable:
    """A version that looks at one cell after another, in doubles: (boxes [B][4], truth [4], grid) → which."""

    def by_loops(predicted, truth, grid=7):
        cells = zip(predicted.reshape(-1, *predicted.shape[-2:]).tolist(), truth.reshape(-1, 4).tolist(), strict=True)
        chosen = torch.tensor([choose(boxes, one, grid) for boxes, one in cells], dtype=torch.int64, device=predicted.device)
        return chosen.reshape(truth.shape[:-1])

    return by_loops


def _by_torchvision(predicted: Tensor, truth: Tensor, grid: int = 7) -> Tensor:
    return _cell_by_cell(_first_best)(predicted, truth, grid)


def _is_clear(boxes: list[list[float]], truth: list[float], grid: int) -> bool:
    """Whether it is not the last digit that decides, neither of the IoU nor of the distance, and no two boxes just touch."""
    shares, one = [_in_shares(box, grid) for box in boxes], _in_shares(truth, grid)
    overlaps = sorted(_overlaps([_corners(*box) for box in shares], _corners(*one)), reverse=True)
    distances = sorted(_distances(shares, one))
    if overlaps[0] > 0:
        return overlaps[0] > 0.01 and (len(boxes) == 1 or overlaps[0] - overlaps[1] > 0.005)
    return len(boxes) == 1 or distances[1] - distances[0] > 0.005 * distances[1]


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def near(grid: int, count: int) -> tuple[list, list]:
        """Boxes of which most overlap the object."""
        boxes = [
            [whole(draw, 0, 101) / 100, whole(draw, 0, 101) / 100, whole(draw, 8, 90) / 100, whole(draw, 8, 90) / 100] for _ in range(count)
        ]
        return boxes, [whole(draw, 0, 101) / 100, whole(draw, 0, 101) / 100, whole(draw, 8, 90) / 100, whole(draw, 8, 90) / 100]

    def far(grid: int, count: int) -> tuple[list, list]:
        """Small boxes on the right of the cell, or below in it, and a small object on the other side: none touches it."""
        left, truth = whole(draw, 0, 2), [whole(draw, 0, 25) / 100, whole(draw, 0, 25) / 100]
        boxes = []
        for _ in range(count):
            along, across = whole(draw, 60, 101) / 100, whole(draw, 0, 101) / 100
            sides = [whole(draw, 1, 30) / (100 * grid), whole(draw, 1, 200) / (100 * grid)]
            boxes.append([along, across, *sides] if left else [across, along, *sides[::-1]])
        sides = [whole(draw, 1, 30) / (100 * grid), whole(draw, 1, 200) / (100 * grid)]
        return boxes, truth + (sides if left else sides[::-1])

    def clear(kind: Callable, grid: int, count: int) -> tuple[list, list]:
        while True:
            boxes, truth = kind(grid, count)
            if _is_clear(boxes, truth, grid):
                return boxes, truth

    def case(
        name: str, shape: tuple[int, ...], count: int, kinds: tuple[Callable, ...], grid: int | None = None, dtype=torch.float32
    ) -> Case:
        cells = [clear(kinds[n % len(kinds)], grid or 7, count) for n in range(torch.Size(shape).numel())]
        boxes, truth = (torch.tensor(part, dtype=dtype) for part in zip(*cells, strict=True))
        inputs = {"predicted": boxes.reshape(*shape, count, 4), "truth": truth.reshape(*shape, 4)}
        return Case(name, inputs | ({} if grid is None else {"grid": grid}))

    yield case("one cell, two boxes", (), 2, (near,), 4)
    yield case("four cells in a row", (4,), 2, (near,))
    yield case("none touches the object", (6,), 3, (far,), 3)
    twice = case("the first of two that are the same", (3,), 2, (near,), 5)
    better, worse = near(5, 2)[0]
    same = torch.tensor([[worse, better, better, worse]] * 3) + torch.tensor([[[0.0]], [[0.01]], [[0.02]]])
    yield Case(twice.name, {"predicted": same, "truth": same[:, 1], "grid": 5})
    yield case("three by three cells, three boxes", (3, 3), 3, (near, far), 3)
    yield case("a batch, two boxes", (2, 5, 5), 2, (near, near, far), 5)
    yield case("seven by seven cells", (7, 7), 4, (near, far))
    yield case("one box a cell", (2, 2), 1, (near, far), 2)
    yield case("float64", (4, 4), 5, (near,), 4, torch.float64)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _chosen(
    shares: Callable[[list, int], list] = _in_shares,
    corners: Callable = _corners,
    overlaps: Callable[[list, list], list] = _overlaps,
    fallback: Callable[[list, list, int], int] = lambda boxes, truth, grid: min(
        range(len(boxes)), key=_distances(boxes, truth).__getitem__
    ),
    best: Callable[[list], int] = lambda values: values.index(max(values)),
) -> Callable:
    """responsible_boxes with one part of it written otherwise."""

    def choose(boxes, truth, grid):
        boxes, truth = [shares(box, grid) for box in boxes], shares(truth, grid)
        values = overlaps([corners(*box) for box in boxes], corners(*truth))
        return best(values) if max(values) > 0 else fallback(boxes, truth, grid)

    return _cell_by_cell(choose)


def _sides(box: list, truth: list) -> tuple[float, float]:
    """Width and height of what two boxes share, negative where they lie apart."""
    return min(box[2], truth[2]) - max(box[0], truth[0]), min(box[3], truth[3]) - max(box[1], truth[1])


def _area(box: list) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(boxes: list, truth: list) -> list[float]:
    return [max(0.0, w) * max(0.0, h) for w, h in (_sides(box, truth) for box in boxes)]


def _not_clamped(boxes: list, truth: list) -> list[float]:
    products = [(w * h, box) for box in boxes for w, h in [_sides(box, truth)]]
    return [shared / (_area(box) + _area(truth) - shared) for shared, box in products]


def _nearest(boxes: list, truth: list, grid: int, start: int = 0, end: int = 4) -> int:
    return min(range(len(boxes)), key=_distances([box[start:end] for box in boxes], truth[start:end]).__getitem__)


def _last_of(values: list) -> int:
    return len(values) - 1 - values[::-1].index(max(values))


def _values(predicted, truth, grid=7):
    chosen = _by_torchvision(predicted, truth, grid)
    cells = zip(predicted.reshape(-1, *predicted.shape[-2:]).tolist(), truth.reshape(-1, 4).tolist(), strict=True)
    both = [([_corners(*_in_shares(box, grid)) for box in boxes], _corners(*_in_shares(one, grid))) for boxes, one in cells]
    return torch.tensor([max(_overlaps(boxes, one)) for boxes, one in both]).reshape(chosen.shape)


def _as_mask(predicted, truth, grid=7):
    return _by_torchvision(predicted, truth, grid)[..., None] == torch.arange(predicted.shape[-2], device=predicted.device)


def _grid_7(predicted, truth, grid=7):
    return _by_torchvision(predicted, truth)


RESPONSIBLE_BOXES = Exercise(
    prompt=PROMPT,
    solution=responsible_boxes,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="torchvision.ops.box_iou and plain Python, cell by cell",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "cells and pictures mixed",
            _chosen(shares=lambda box, grid: box),
            "This is what happens when x and y in cells are taken together with w and h in pictures. Divide x and y by grid.",
        ),
        Mistake(
            "the other way round",
            _chosen(shares=lambda box, grid: [box[0] * grid, box[1] * grid, *box[2:]]),
            "This is what happens when x and y are multiplied by grid. A cell is a part of the picture: divide.",
        ),
        Mistake(
            "always 7",
            _grid_7,
            "This is what happens when the grid is always 7 × 7. Use grid.",
        ),
        Mistake(
            "corners",
            _chosen(corners=lambda *box: list(box)),
            "This is what happens when x, y, w, h are taken for x1, y1, x2, y2. Make corners first: x − w / 2, y − h / 2, x + w / 2, y + "
            "h / 2.",
        ),
        Mistake(
            "from the corner",
            _chosen(corners=lambda x, y, w, h: [x, y, x + w, y + h]),
            "This is what happens when x and y are taken for the upper left corner. They are the centre: half a side to each side.",
        ),
        Mistake(
            "whole sides to each side",
            _chosen(corners=lambda x, y, w, h: [x - w, y - h, x + w, y + h]),
            "This is what happens when a whole side goes to the left and another to the right. Half of it goes to each.",
        ),
        Mistake(
            "the shared area",
            _chosen(overlaps=_shared),
            "This is what happens when the shared area decides. Then the largest box wins: divide by the union.",
        ),
        Mistake(
            "not clamped",
            _chosen(overlaps=_not_clamped),
            "This is what happens when boxes that lie apart in x and in y have a negative width times a negative height in common. Clamp "
            "both at 0.",
        ),
        Mistake(
            "no second rule",
            _chosen(fallback=lambda boxes, truth, grid: 0),
            "This is what happens when all IoUs are 0 and the first box is taken. Then the one that differs least is responsible.",
        ),
        Mistake(
            "distance alone",
            _cell_by_cell(lambda boxes, truth, grid: _nearest([_in_shares(box, grid) for box in boxes], _in_shares(truth, grid), grid)),
            "This is what happens when the smallest difference decides in any case. It does only where all IoUs are 0.",
        ),
        Mistake(
            "distance of the centres",
            _chosen(fallback=lambda boxes, truth, grid: _nearest(boxes, truth, grid, end=2)),
            "This is what happens when only the centres count where no box touches the object. x, y, w and h do, all four.",
        ),
        Mistake(
            "difference of the sides",
            _chosen(fallback=lambda boxes, truth, grid: _nearest(boxes, truth, grid, start=2)),
            "This is what happens when only the sides count where no box touches the object. x, y, w and h do, all four.",
        ),
        Mistake(
            "distance in cells",
            _chosen(
                fallback=lambda boxes, truth, grid: _nearest(
                    [_in_shares(box, 1 / grid) for box in boxes], _in_shares(truth, 1 / grid), grid
                )
            ),
            "This is what happens when the difference of x and y is counted in cells, and that of w and h in pictures. Divide x and y by "
            "grid first.",
        ),
        Mistake(
            "distance of corners",
            _chosen(fallback=lambda boxes, truth, grid: _nearest([_corners(*box) for box in boxes], _corners(*truth), grid)),
            "This is what happens when the corners are compared where no box touches the object. x, y, w and h are.",
        ),
        Mistake(
            "the furthest",
            _chosen(fallback=lambda boxes, truth, grid: max(range(len(boxes)), key=_distances(boxes, truth).__getitem__)),
            "This is what happens when the largest difference wins where no box touches the object. The smallest does.",
        ),
        Mistake(
            "the lowest IoU",
            _chosen(best=lambda values: values.index(min(values))),
            "This is what happens when the box with the lowest IoU is taken. The highest is responsible.",
        ),
        Mistake(
            "the last of equals",
            _chosen(best=_last_of),
            "This is what happens when the last of several equal boxes is taken. Take the first, as argmax does.",
        ),
        Mistake(
            "how much",
            _values,
            "This is what happens when the IoU itself is returned. Return which box has it: argmax.",
        ),
        Mistake(
            "True and False",
            _as_mask,
            "This is what happens when every box gets True or False. Return the number of the box, one for each cell.",
        ),
    ),
)
