"""Exercise: from the numbers of a grid to boxes in pixels and their scores."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.yolo import decode_predictions

PROMPT = r"""
The last layer of YOLO gives every cell a vector of $5B + C$ numbers: B times **x, y, w, h, confidence**, one box after another, and then
the probabilities of C classes, which all boxes of the cell share. Make boxes of them, and scores.

- The centre of a box in row $i$ and column $j$: $\left(\frac{j + x}{S} \cdot \text{width},\; \frac{i + y}{S} \cdot \text{height}\right)$.
- Its sides: $w \cdot \text{width}$ and $h \cdot \text{height}$, for w and h are shares of the picture.
- Its score for a class: **confidence × probability**. "Is anything there, and how well does the box fit?", times "if so, which class?".

```text
picture 60 high, 120 wide, grid 3, B = 1, C = 2: a cell is 20 high and 40 wide
row 2, column 1 says 0.5, 0.25, 0.5, 0.1, 0.8, then 0.9, 0.1
centre (60, 45), sides 60 and 6      box 30, 42, 90, 48      scores 0.72, 0.08
```

`predictions` is `[N, S, S, 5B + C]`, row before column, and `image_size` is (height, width); the checks give a pair. Return the boxes,
`[N, K, 4]`, x1, y1, x2, y2 in pixels, and the scores, `[N, K, C]`, with $K = S \cdot S \cdot B$: cells in reading order, the B boxes of a
cell side by side. Leave nothing out, and cut nothing off at the border: that comes later.
""".strip()

DOCSTRING = """
Every box of every cell and its score for each class: boxes [N, K, 4], xyxy in pixels, and scores [N, K, C], with K = S * S * B.

Cells in reading order, the B boxes of a cell side by side. Nothing is left out, nor cut off at the picture's edge.

Args:
    predictions: [N, S, S, 5B + C].
    image_size: (height, width) in pixels.
    boxes: B.
""".strip()

Found = tuple[Tensor, Tensor]


def _written(
    cell: Callable[[int, int], tuple[int, int]] = lambda i, j: (j, i),
    centre: Callable[..., float] = lambda at, place, grid, side: (at + place) / grid * side,
    side: Callable[..., float] = lambda share, grid, whole: share * whole,
    corners: Callable[..., tuple] = lambda x, y, w, h: (x - w / 2, y - h / 2, x + w / 2, y + h / 2),
    score: Callable[[float, float], float] = lambda confidence, probability: confidence * probability,
    read: Callable[[list, int, int], tuple] = lambda vector, b, count: (vector[5 * b : 5 * b + 5], vector[5 * count :]),
    order: Callable[[list, int, int], list] = lambda found, grid, count: found,
    swapped: bool = False,
) -> Callable:
    """decode_predictions box by box, in Python's doubles; a wrong version has one part written otherwise.

        `cell` gives what is added to x and y; `centre` and `side` are for one direction; `read` gives the five numbers of a box and the
    classes; `order` may put the boxes of a picture, in reading order, into another one."""

    def by_loops(predictions: Tensor, image_size: tuple[int, int], *, boxes: int = 2) -> Found:
        height, width = image_size[::-1] if swapped else image_size
        grid, places, ranks = predictions.shape[1], [], []
        for picture in predictions.tolist():
            found = []
            for i, row in enumerate(picture):
                for j, vector in enumerate(row):
                    for b in range(boxes):
                        (x, y, w, h, confidence), classes = read(vector, b, boxes)
                        right, down = cell(i, j)
                        middle = centre(right, x, grid, width), centre(down, y, grid, height)
                        sides = side(w, grid, width), side(h, grid, height)
                        found.append((corners(*middle, *sides), [score(confidence, probability) for probability in classes]))
            found = order(found, grid, boxes)
            places.append([box for box, _ in found])
            ranks.append([scores for _, scores in found])
        return predictions.new_tensor(places), predictions.new_tensor(ranks)

    return by_loops


def _by_loops(predictions: Tensor, image_size: tuple[int, int], *, boxes: int = 2) -> Found:
    return _written()(predictions, image_size, boxes=boxes)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(
        name: str, images: int, grid: int, boxes: int | None, classes: int, cells: tuple[int, int] | None = None, dtype=torch.float32
    ) -> Case:
        """Hundredths in a picture of so many pixels a cell, (down, across); without `cells`, one that the grid does not divide."""
        numbers = torch.randint(1, 100, (images, grid, grid, 5 * (boxes or 2) + classes), generator=draw).to(dtype) / 100
        size = (whole(draw, 60, 90) * 2 + 1, whole(draw, 100, 140) * 2 + 1) if cells is None else (grid * cells[0], grid * cells[1])
        return Case(name, {"predictions": numbers, "image_size": size} | ({} if boxes is None else {"boxes": boxes}))

    yield case("one cell, one box", 1, 1, 1, 2, cells=(100, 200))
    yield case("two by two cells, one box", 1, 2, 1, 2, cells=(whole(draw, 20, 40), whole(draw, 50, 90)))
    yield case("three by three cells, two boxes", 1, 3, None, 3, cells=(20, 40))
    yield case("two pictures", 2, 2, 2, 1, cells=(30, 20))
    yield case("three boxes, five classes", 1, 4, 3, 5, cells=(24, 16))
    yield case("a grid that does not divide the picture", 1, 7, 2, 6)
    yield case("three pictures of five by five cells", 3, 5, 2, 4, cells=(12, 18))
    yield case("float64", 2, 3, 2, 2, dtype=torch.float64)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _box_by_box(found: list, grid: int, count: int) -> list:
    return [found[k] for b in range(count) for k in range(b, len(found), count)]


def _column_by_column(found: list, grid: int, count: int) -> list:
    return [found[(i * grid + j) * count + b] for j in range(grid) for i in range(grid) for b in range(count)]


def _confidence_first(vector: list, b: int, count: int) -> tuple[list, list]:
    confidence, *place = vector[5 * b : 5 * b + 5]
    return [*place, confidence], vector[5 * count :]


def _confidences_behind_all_boxes(vector: list, b: int, count: int) -> tuple[list, list]:
    return [*vector[4 * b : 4 * b + 4], vector[4 * count + b]], vector[5 * count :]


def _classes_first(vector: list, b: int, count: int) -> tuple[list, list]:
    classes = len(vector) - 5 * count
    return vector[classes + 5 * b : classes + 5 * b + 5], vector[:classes]


def _first_confidence(vector: list, b: int, count: int) -> tuple[list, list]:
    return [*vector[5 * b : 5 * b + 4], vector[4]], vector[5 * count :]


def _clipped(predictions, image_size, *, boxes=2):
    found, scores = decode_predictions(predictions, image_size, boxes=boxes)
    height, width = image_size
    return found.clamp(min=0).minimum(found.new_tensor([width, height, width, height])), scores


def _axes_kept(predictions, image_size, *, boxes=2):
    found, scores = decode_predictions(predictions, image_size, boxes=boxes)
    axes = *predictions.shape[:3], boxes
    return found.reshape(*axes, 4), scores.reshape(*axes, -1)


def _best_class(predictions, image_size, *, boxes=2):
    found, scores = decode_predictions(predictions, image_size, boxes=boxes)
    return found, scores.amax(-1)


def _all_pictures_together(predictions, image_size, *, boxes=2):
    found, scores = decode_predictions(predictions, image_size, boxes=boxes)
    return found.flatten(0, 1), scores.flatten(0, 1)


def _always_two(predictions, image_size, *, boxes=2):
    return decode_predictions(predictions, image_size)


DECODE_PREDICTIONS = Exercise(
    prompt=PROMPT,
    solution=decode_predictions,
    docstring=DOCSTRING,
    reference=_by_loops,
    reference_name="a loop over pictures, rows, columns and boxes",
    cases=_cases,
    tolerance=1e-4,  # pixels: the corner that happens to be near 0 has lost digits
    common_mistakes=(
        Mistake(
            "row along x",
            _written(cell=lambda i, j: (i, j)),
            "This is what happens when the row is added to x and the column to y. A column further on is further right: column + x.",
        ),
        Mistake(
            "cell forgotten",
            _written(cell=lambda i, j: (0, 0)),
            "This is what happens when x and y are not counted from the box's own cell. Add the column and the row.",
        ),
        Mistake(
            "in cells",
            _written(centre=lambda at, place, grid, side: at + place),
            "This is what happens when the centre stays in cells. A cell is width / S pixels wide and height / S high.",
        ),
        Mistake(
            "cells as large as the picture",
            _written(centre=lambda at, place, grid, side: (at + place) * side),
            "This is what happens when the centre is not divided by S. The whole picture is S cells wide.",
        ),
        Mistake(
            "x of the picture",
            _written(centre=lambda at, place, grid, side: at / grid * side + place * side),
            "This is what happens when x and y are taken for shares of the picture. They are shares of the cell: add the column first, "
            "then divide by S.",
        ),
        Mistake(
            "from the middle of the cell",
            _written(centre=lambda at, place, grid, side: (at + place + 0.5) / grid * side),
            "This is what happens when half a cell is added. x and y are counted from the cell's left and upper side.",
        ),
        Mistake(
            "sides in cells",
            _written(side=lambda share, grid, whole: share * whole / grid),
            "This is what happens when w and h are taken for shares of the cell. They are shares of the picture: no division by S.",
        ),
        Mistake(
            "sides in shares",
            _written(side=lambda share, grid, whole: share),
            "This is what happens when w and h stay shares. In pixels they are w · width and h · height.",
        ),
        Mistake(
            "sides squared",
            _written(side=lambda share, grid, whole: share**2 * whole),
            "This is what happens when w and h are squared. In the paper's loss they have roots; these numbers are w and h themselves.",
        ),
        Mistake(
            "height and width swapped",
            _written(swapped=True),
            "This is what happens when image_size is read as (width, height). It is (height, width).",
        ),
        Mistake(
            "from the corner",
            _written(corners=lambda x, y, w, h: (x, y, x + w, y + h)),
            "This is what happens when x and y are taken for the upper left corner. They are the centre: half a side to each side.",
        ),
        Mistake(
            "whole sides to each side",
            _written(corners=lambda x, y, w, h: (x - w, y - h, x + w, y + h)),
            "This is what happens when a whole side goes to the left and another to the right. Half of it goes to each.",
        ),
        Mistake(
            "centre and sides",
            _written(corners=lambda *box: box),
            "This is what happens when boxes are left as centre, width and height. They are x1, y1, x2, y2.",
        ),
        Mistake(
            "probability alone",
            _written(score=lambda confidence, probability: probability),
            "This is what happens when the score is the class's probability. It only means something if anything is there: times "
            "confidence.",
        ),
        Mistake(
            "confidence alone",
            _written(score=lambda confidence, probability: confidence),
            "This is what happens when the score is the confidence, for every class. It says that something is there, not what: times the "
            "probability.",
        ),
        Mistake(
            "first confidence for all",
            _written(read=_first_confidence),
            "This is what happens when all boxes of a cell have the first one's confidence. Each has its own, behind its h.",
        ),
        Mistake(
            "confidence first",
            _written(read=_confidence_first),
            "This is what happens when the confidence is read before x. The order is x, y, w, h, confidence.",
        ),
        Mistake(
            "confidences behind all boxes",
            _written(read=_confidences_behind_all_boxes),
            "This is what happens when all boxes are read first and all confidences behind them. Each box's confidence stands behind its "
            "h.",
        ),
        Mistake(
            "classes first",
            _written(read=_classes_first),
            "This is what happens when the classes are read before the boxes. They come last.",
        ),
        Mistake(
            "first boxes of all cells first",
            _written(order=_box_by_box),
            "This is what happens when the first boxes of all cells come before the second ones. The B boxes of a cell stand side by side.",
        ),
        Mistake(
            "column by column",
            _written(order=_column_by_column),
            "This is what happens when cells are gone through column by column. They stand in reading order: the row is the outer loop.",
        ),
        Mistake(
            "always two",
            _always_two,
            "This is what happens when a cell always has two boxes. How many there are, boxes says.",
            error="5|class",
        ),
        Mistake(
            "cut off",
            _clipped,
            "This is what happens when boxes are cut at the border of the picture. Leave them as they are.",
        ),
        Mistake(
            "the best class",
            _best_class,
            "This is what happens when only the best class's score is kept. Each class has one: [N, K, C].",
        ),
        Mistake(
            "axes kept",
            _axes_kept,
            "This is what happens when rows, columns and boxes keep an axis each. Put them into one: flatten(1, 3).",
        ),
        Mistake(
            "all pictures together",
            _all_pictures_together,
            "This is what happens when the boxes of all pictures stand in one list. The first axis is the picture: flatten(1, 3).",
        ),
    ),
)
