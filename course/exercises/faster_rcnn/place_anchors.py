"""Exercise: the same anchors at every place of a map."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.anchors import place_anchors

PROMPT = r"""
The A anchors around (0, 0) are copied to every place of a feature map. The place in row $i$ and column $j$ is the point
$x = j \cdot \text{stride across}$, $y = i \cdot \text{stride down}$ of the picture: the upper left corner of its cell.

```text
map_size (2, 3), stride 16, one anchor −8, −4, 8, 4

row 0     −8, −4, 8, 4       8, −4, 24, 4       24, −4, 40, 4
row 1     −8, 12, 8, 20      8, 12, 24, 20      24, 12, 40, 20
```

`base` is `[A, 4]`, the corners x1, y1, x2, y2. `map_size` is (rows, columns) and `stride` (down, across); the checks give pairs, and one
whole number for both is welcome. The answer is `[H·W·A, 4]`: places in reading order, row by row, and of each place **all A anchors
together**. A network's scores will be read in this order, so it has to be this one.

Anchors may reach beyond the picture. Try it without a loop: `torch.arange` and a `None` in the right place.
""".strip()

DOCSTRING = """
Copy the anchors to every place of one map: places in reading order, all shapes of a place together. [H*W*A, 4]

Args:
    base: [A, 4], around (0, 0).
    map_size: (H, W).
    stride: pixels from one place to the next, (down, across).
""".strip()


def _by_torchvision(base: Tensor, map_size: tuple[int, int], stride: tuple[int, int]) -> Tensor:
    generator = AnchorGenerator(((1,),), ((1.0,),))
    generator.cell_anchors = [base]
    return generator.grid_anchors([list(map_size)], [[torch.tensor(step, device=base.device) for step in stride]])[0]


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def shapes(count: int) -> Tensor:
        """Corners that differ in all four numbers, so that whatever is swapped shows."""
        sides = [[whole(draw, 3, 9), whole(draw, 9, 16), whole(draw, 17, 30), whole(draw, 31, 50)] for _ in range(count)]
        return torch.tensor(sides, dtype=torch.float32) * torch.tensor([-1.0, -1, 1, 1])

    def case(name: str, base: Tensor, map_size: tuple[int, int], stride: tuple[int, int]) -> Case:
        return Case(name, {"base": base, "map_size": map_size, "stride": stride})

    step = whole(draw, 5, 20)
    yield case("one anchor on two rows and three columns", shapes(1), (2, 3), (step, step))
    yield case("two anchors on two rows and two columns", shapes(2), (2, 2), (16, 16))
    yield case("three anchors, other strides down and across", shapes(3), (3, 2), (whole(draw, 8, 12), whole(draw, 20, 32)))
    yield case("one row", shapes(2), (1, whole(draw, 3, 6)), (8, 8))
    yield case("one column", shapes(2), (whole(draw, 3, 6), 1), (32, 32))
    yield case("one place", shapes(3), (1, 1), (64, 64))
    yield case("nine anchors", shapes(9), (whole(draw, 3, 6), whole(draw, 6, 9)), (16, 16))
    yield case("float64", shapes(2).double() + 0.25, (2, 4), (whole(draw, 4, 9), whole(draw, 10, 15)))


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _moved(shift: Callable[[Tensor, Tensor, int, int], tuple[Tensor, ...]]) -> Callable:
    """place_anchors with other shifts of x1, y1, x2, y2, from rows and columns `[H, W]` and the strides down and across."""

    def wrong(base, map_size, stride):
        (h, w), (down, across) = map_size, stride
        row, column = torch.meshgrid(torch.arange(h, device=base.device), torch.arange(w, device=base.device), indexing="ij")
        shifts = torch.stack(shift(row.to(base), column.to(base), down, across), -1)  # [H, W, 4]
        return (shifts[:, :, None] + base).reshape(-1, 4)

    return wrong


def _shapes_outside(base, map_size, stride):
    (h, w), a = map_size, len(base)
    return place_anchors(base, map_size, stride).reshape(h * w, a, 4).transpose(0, 1).reshape(-1, 4)


def _columns_outside(base, map_size, stride):
    (h, w), a = map_size, len(base)
    return place_anchors(base, map_size, stride).reshape(h, w, a, 4).transpose(0, 1).reshape(-1, 4)


def _three_dimensions(base, map_size, stride):
    return place_anchors(base, map_size, stride).reshape(-1, len(base), 4)


def _clipped(base, map_size, stride):
    return place_anchors(base, map_size, stride).clamp(min=0)


PLACE_ANCHORS = Exercise(
    prompt=PROMPT,
    solution=place_anchors,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="grid_anchors of torchvision's AnchorGenerator",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "rows along x",
            _moved(lambda row, column, down, across: (row * down, column * across) * 2),
            "This is what happens when the row moves x and the column y. A column further on is further right: x = column · stride across.",
        ),
        Mistake(
            "strides swapped",
            _moved(lambda row, column, down, across: (column * down, row * across) * 2),
            "This is what happens when the two strides are swapped. stride is (down, across): the first moves y, the second x.",
        ),
        Mistake(
            "one corner only",
            _moved(lambda row, column, down, across: (column * across, row * down, 0 * column, 0 * row)),
            "This is what happens when only the upper left corner moves. The whole box does: x1 and x2, y1 and y2.",
        ),
        Mistake(
            "in cells",
            _moved(lambda row, column, down, across: (column, row) * 2),
            "This is what happens when the anchors move by one pixel from cell to cell. Anchors are in pixels of the picture: times "
            "stride.",
        ),
        Mistake(
            "in the middle of the cell",
            _moved(lambda row, column, down, across: ((column + 0.5) * across, (row + 0.5) * down) * 2),
            "This is what happens when half a stride is added, to the middle of the cell. These anchors stand at its upper left corner.",
        ),
        Mistake(
            "counted from 1",
            _moved(lambda row, column, down, across: ((column + 1) * across, (row + 1) * down) * 2),
            "This is what happens when rows and columns are counted from 1. The first place is at x = 0, y = 0.",
        ),
        Mistake(
            "shape by shape",
            _shapes_outside,
            "This is what happens when the first shape is copied to all places, then the second. All shapes of one place stand together: "
            "give the places an axis before that of the shapes.",
        ),
        Mistake(
            "column by column",
            _columns_outside,
            "This is what happens when places are gone through column by column. They stand in reading order: the row is the outer loop.",
        ),
        Mistake(
            "an axis too many",
            _three_dimensions,
            "This is what happens when places and shapes keep an axis each, [H·W, A, 4]. One row an anchor: reshape(-1, 4).",
        ),
        Mistake(
            "cut at the border",
            _clipped,
            "This is what happens when what reaches beyond the picture is cut off. Anchors may; proposals are clipped, later.",
        ),
    ),
)
