"""Exercise: what every cell of YOLO's grid should say about a picture."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.yolo import encode_targets

PROMPT = r"""
YOLO lays a grid of $S \times S$ cells over the picture. Each cell is told one thing: the object whose **centre** lies in it.

- `boxes`, `[S, S, 4]`: the object as x, y, w, h. **x and y** are the centre's place **in its cell**: 0 at the cell's left (upper) side,
  towards 1 at its right (lower) one. **w and h** are shares of the **whole picture**, and no roots.
- `labels`, `[S, S]`, int64: its class, from 1, and 0 where there is no object.
- `objects`, `[S, S]`, int64: which row of the given boxes it is, and −1 where there is none.

Row first: `boxes[2, 0]` is the third row from above, the leftmost column. Where there is no object, the four numbers are 0. A centre on
the border of two cells belongs to the right one, or the lower one. Of several centres in one cell **the first object stays**; the others
are lost. There may be no object.

```text
picture 80 high, 160 wide, grid 4: a cell is 20 high and 40 wide
box 90, 10, 130, 70     centre (110, 40)      column 110 / 40 = 2.75 → 2      row 40 / 20 = 2, on the border → 2
boxes[2, 2] = 0.75, 0, 0.25, 0.75
```

`boxes` is `[G, 4]`, x1, y1, x2, y2 in pixels, within the picture; `image_size` is (height, width), and the checks give a pair. Return the
three tensors, in this order. On borders: `centre * grid / width` meets a whole number exactly, `centre / width * grid` not always.
""".strip()

DOCSTRING = """
Put every object into the cell that its centre lies in.

Args:
    boxes: [G, 4], xyxy in pixels, within the picture; G may be 0.
    labels: int64 [G], from 1.
    image_size: (height, width) in pixels.
    grid: S.

Returns: boxes [S, S, 4] as x, y in the cell and w, h in shares of the picture, zeros where there is no object; labels int64
    [S, S], 0 where there is none; objects int64 [S, S], the row of the object in the boxes given, −1 where there is none.
""".strip()

Told = tuple[Tensor, Tensor, Tensor]


def _written(
    column: Callable[[float, int], int] = lambda across, grid: min(math.floor(across), grid - 1),
    stays: Callable[[list, tuple, tuple], bool] = lambda box, other, before: False,
    numbers: Callable[..., tuple[float, ...]] | None = None,
    centre: Callable[[list], tuple[float, float]] = lambda box: ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2),
    swapped: bool = False,
    column_first: bool = False,
    empty: tuple[int, int] = (0, -1),
    first: tuple[int, int] = (0, 0),
) -> Callable:
    """encode_targets object by object, in Python's doubles; a wrong version has one part written otherwise.

    `stays` says whether a later box takes the cell from the one before; `numbers` gives (x, y, w, h) from the centre in cells, the cell,
    the box and the sizes; `empty` are the label and the object of an empty cell; `first` is added to labels and to objects.
    """

    def by_loops(boxes: Tensor, labels: Tensor, image_size: tuple[int, int], grid: int = 7) -> Told:
        height, width = image_size[::-1] if swapped else image_size
        told = boxes.new_zeros(grid, grid, 4)
        kinds, objects = labels.new_full((grid, grid), empty[0]), labels.new_full((grid, grid), empty[1])
        owner = {}
        for g, (box, label) in enumerate(zip(boxes.tolist(), labels.tolist(), strict=True)):
            (x, y), (x1, y1, x2, y2) = centre(box), box
            across, down = x * grid / width, y * grid / height
            j, i = column(across, grid), column(down, grid)
            place = (j, i) if column_first else (i, j)
            if place in owner and not stays(box, owner[place], (x, y)):
                continue
            usual = across - j, down - i, (x2 - x1) / width, (y2 - y1) / height
            said = usual if numbers is None else numbers(usual, (across, down), box, (height, width), grid)
            told[place], kinds[place], objects[place] = boxes.new_tensor(said), label + first[0], g + first[1]
            owner[place] = box
        return told, kinds, objects

    return by_loops


def _by_loops(boxes: Tensor, labels: Tensor, image_size: tuple[int, int], grid: int = 7) -> Told:
    return _written()(boxes, labels, image_size, grid)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, rows: list, size: tuple[int, int], dtype: torch.dtype = torch.float32, **more: int) -> Case:
        boxes = torch.tensor(rows, dtype=dtype).reshape(-1, 4)
        labels = torch.randperm(max(20, len(rows)), generator=draw)[: len(rows)] + 1
        return Case(name, {"boxes": boxes, "labels": labels, "image_size": size} | more)

    def around(x: float, y: float, size: tuple[int, int]) -> list[float]:
        """A box with that centre, within the picture, wide and high as it happens; a quarter of a pixel is the finest step."""
        height, width = size
        w, h = (whole(draw, 2, int(4 * min(at, side - at)) + 1) / 4 for at, side in ((x, width), (y, height)))
        return [x - w, y - h, x + w, y + h]

    def inside(cells: list[tuple[int, int]], size: tuple[int, int], grid: int) -> list[list[float]]:
        """A box for each (row, column), its centre in the cell, and not within a twentieth of its sides."""
        rows = []
        for row, column in cells:
            x, y = (round(4 * (at + whole(draw, 15, 85) / 100) * side / grid) / 4 for at, side in ((column, size[1]), (row, size[0])))
            rows.append(around(x, y, size))
        return rows

    def places(count: int, grid: int) -> list[tuple[int, int]]:
        """Different cells, none of them on the diagonal, of which the transposed one is free."""
        pairs = [(i, j) if whole(draw, 0, 2) else (j, i) for i in range(grid) for j in range(i)]
        return [pairs[n] for n in torch.randperm(len(pairs), generator=draw)[:count].tolist()]

    small, size = (80, 160), (140, 210)
    yield case("one object, four by four cells", inside(places(1, 4), small, 4), small, grid=4)
    yield case("three objects", inside(places(3, 7), size, 7), size)
    i, j = whole(draw, 1, 4), whole(draw, 1, 4)
    yield case("on the border of two columns", [around(j * 32.0, i * 16 - 5.0, (64, 128))], (64, 128), grid=4)
    yield case("on the corner of four cells", [around(j * 32.0, i * 16.0, (64, 128))], (64, 128), grid=4)
    cell = places(1, 7)
    yield case("two centres in one cell", inside(cell * 2, size, 7), size)
    crowd = places(3, 5)
    yield case(
        "the third and the fifth come too late", inside([*crowd[:2], crowd[0], crowd[2], crowd[1]], (150, 200), 5), (150, 200), grid=5
    )
    w, h = whole(draw, 8, 40), whole(draw, 6, 16)
    corner = [[210.0 - w, 140.0 - h, 210.0, 140.0], [0.0, 140.0 - h, w, 140.0], [0.0, 0.0, w, h]]
    yield case("against the edges of the picture", corner, size)
    yield case("as large as the picture", [[0.0, 0.0, 130.0, 90.0]] + inside([(0, 2)], (90, 130), 3), (90, 130), grid=3)
    yield case("one cell", inside([(0, 0)] * 2, (60, 100), 1), (60, 100), grid=1)
    yield case("a grid that does not divide the picture", inside(places(4, 7), (100, 128), 7), (100, 128))
    yield case("no object", [], (100, 200), grid=whole(draw, 2, 8))
    yield case("float64", inside(places(5, 6), (120, 300), 6), (120, 300), torch.float64, grid=6)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _area(box: list) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _beyond(boxes, labels, image_size, grid=7):
    """Cells whose number is the next whole number: the last one lies beyond the grid."""
    return _written(column=lambda across, grid: math.floor(across) + 1)(boxes, labels, image_size, grid)


def _always_float32(boxes, labels, image_size, grid=7):
    told, kinds, objects = encode_targets(boxes, labels, image_size, grid)
    return told.float(), kinds, objects


def _no_objects_told(boxes, labels, image_size, grid=7):
    return tuple(encode_targets(boxes, labels, image_size, grid))[:2]


def _grid_7(boxes, labels, image_size, grid=7):
    return _by_loops(boxes, labels, image_size)


ENCODE_TARGETS = Exercise(
    prompt=PROMPT,
    solution=encode_targets,
    docstring=DOCSTRING,
    reference=_by_loops,
    reference_name="a loop over the objects",
    cases=_cases,
    tolerance=1e-4,  # of a cell: in float32 a centre times 7 has lost digits
    common_mistakes=(
        Mistake(
            "column first",
            _written(column_first=True),
            "This is what happens when the column comes before the row. x gives the column, y the row: boxes[row, column].",
        ),
        Mistake(
            "height and width swapped",
            _written(swapped=True),
            "This is what happens when image_size is read as (width, height). It is (height, width).",
            error="index|bounds|range",
        ),
        Mistake(
            "upper left corner",
            _written(centre=lambda box: (box[0], box[1])),
            "This is what happens when the upper left corner decides on the cell. The centre does: (x1 + x2) / 2, (y1 + y2) / 2.",
        ),
        Mistake(
            "the last object stays",
            _written(stays=lambda box, other, at: True),
            "This is what happens when a later object overwrites an earlier one in the same cell. The first stays.",
        ),
        Mistake(
            "the largest object stays",
            _written(stays=lambda box, other, at: _area(box) > _area(other)),
            "This is what happens when the largest object of a cell stays. The first does, whatever its size.",
        ),
        Mistake(
            "in the picture",
            _written(numbers=lambda usual, at, box, size, grid: (at[0] / grid, at[1] / grid, *usual[2:])),
            "This is what happens when x and y are the centre's place in the picture. They are its place in the cell: what is left over "
            "behind the row and the column.",
        ),
        Mistake(
            "in cells from the corner",
            _written(numbers=lambda usual, at, box, size, grid: (*at, *usual[2:])),
            "This is what happens when x and y are counted in cells from the picture's corner. Subtract the column and the row.",
        ),
        Mistake(
            "in pixels of the cell",
            _written(numbers=lambda usual, at, box, size, grid: (usual[0] * size[1] / grid, usual[1] * size[0] / grid, *usual[2:])),
            "This is what happens when x and y are pixels from the cell's corner. They are shares of the cell, 0…1.",
        ),
        Mistake(
            "from the middle of the cell",
            _written(numbers=lambda usual, at, box, size, grid: (usual[0] - 0.5, usual[1] - 0.5, *usual[2:])),
            "This is what happens when x and y are counted from the middle of the cell. They are from its left and upper side.",
        ),
        Mistake(
            "x and y swapped",
            _written(numbers=lambda usual, at, box, size, grid: (usual[1], usual[0], *usual[2:])),
            "This is what happens when y stands before x. The order is x, y, w, h.",
        ),
        Mistake(
            "w and h swapped",
            _written(numbers=lambda usual, at, box, size, grid: (*usual[:2], usual[3], usual[2])),
            "This is what happens when h stands before w. The order is x, y, w, h.",
        ),
        Mistake(
            "sides in cells",
            _written(numbers=lambda usual, at, box, size, grid: (*usual[:2], usual[2] * grid, usual[3] * grid)),
            "This is what happens when w and h are counted in cells. An object may be larger than its cell: they are shares of the "
            "picture.",
        ),
        Mistake(
            "sides in pixels",
            _written(numbers=lambda usual, at, box, size, grid: (*usual[:2], box[2] - box[0], box[3] - box[1])),
            "This is what happens when w and h stay pixels. They are shares of the picture: divide by its width and its height.",
        ),
        Mistake(
            "roots of the sides",
            _written(numbers=lambda usual, at, box, size, grid: (*usual[:2], math.sqrt(usual[2]), math.sqrt(usual[3]))),
            "This is what happens when w and h are roots already. The loss takes the roots; here they are shares.",
        ),
        Mistake(
            "half sides",
            _written(numbers=lambda usual, at, box, size, grid: (*usual[:2], usual[2] / 2, usual[3] / 2)),
            "This is what happens when w and h reach from the centre to the side. They are whole sides: x2 − x1, y2 − y1.",
        ),
        Mistake(
            "rounded",
            _written(column=lambda across, grid: min(round(across), grid - 1)),
            "This is what happens when column and row are rounded. A centre at 2.75 is in column 2: cut the digits off.",
        ),
        Mistake(
            "borders to the left",
            _written(column=lambda across, grid: max(math.ceil(across) - 1, 0)),
            "This is what happens when a centre on a border goes to the left, or upper, cell. It belongs to the right, or lower, one.",
        ),
        Mistake(
            "counted from 1",
            _beyond,
            "This is what happens when rows and columns are counted from 1. The first is 0, and there is none with the number S.",
            error="index|bounds|range",
        ),
        Mistake(
            "always 7",
            _grid_7,
            "This is what happens when the grid is always 7 × 7. Use grid.",
        ),
        Mistake(
            "labels from 0",
            _written(first=(-1, 0)),
            "This is what happens when 1 is taken off the labels. They stay as they are, from 1, for 0 says that there is no object.",
        ),
        Mistake(
            "empty cells −1",
            _written(empty=(-1, -1)),
            "This is what happens when the label of an empty cell is −1. It is 0; only objects has −1 there.",
        ),
        Mistake(
            "objects 0 where there is none",
            _written(empty=(0, 0)),
            "This is what happens when objects is 0 in empty cells. 0 is the first object; where there is none, write −1.",
        ),
        Mistake(
            "objects from 1",
            _written(first=(0, 1)),
            "This is what happens when objects are counted from 1. The first is 0.",
        ),
        Mistake(
            "two of three",
            _no_objects_told,
            "This is what happens when objects is left out. Return three tensors: boxes, labels, objects.",
        ),
        Mistake(
            "always float32",
            _always_float32,
            "This is what happens when the boxes are written into torch.zeros, which gives float32. boxes.new_zeros(…) has the dtype and "
            "the device of boxes.",
        ),
    ),
)
