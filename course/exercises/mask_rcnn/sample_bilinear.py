"""Exercise: what a map says between its cells."""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.interpolation import sample_bilinear

PROMPT = r"""
A map has a value for each cell, and RoIAlign asks for values at points that are no cells. `features` is `[C, H, W]`, and `points` is
`[P, 2]`: x and y of each, in cells. The map's upper left corner is (0, 0), so **the middle of the first cell is (0.5, 0.5)**. Of the four
cells around a point each counts the more, the nearer its middle is:

$$\text{value} = (1 - v)(1 - u)\,a + (1 - v)\,u\,b + v\,(1 - u)\,c + v\,u\,d$$

where $a, b$ are the two above, $c, d$ the two below; $u$ is how far the point is on its way from the middle of $a$ to that of $b$, and $v$
from $a$ to $c$; both are from 0 to 1.

```text
 4   8         point (0.75, 1.25)      u = 0.75 − 0.5 = 0.25      v = 1.25 − 0.5 = 0.75
 2  −6
               0.25 · 0.75 · 4  +  0.25 · 0.25 · 8  +  0.75 · 0.75 · 2  +  0.75 · 0.25 · (−6)  =  1.25
```

Beyond the outermost middles there is nothing to blend with: a point that lies further left than the first column's middle counts as lying
on it, and so at the other three borders, however far outside it is. A map may be one cell wide or high.

The answer is `[C, P]`; P may be 0.
""".strip()

DOCSTRING = """
The map's values at points: the four cells around each, blended by nearness. [C, P]

Args:
    features: [C, H, W].
    points: x and y in cells, [P, 2]; the middle of the first cell is (0.5, 0.5). P may be 0.
""".strip()


def _by_grid_sample(features: Tensor, points: Tensor) -> Tensor:
    height, width = features.shape[1:]
    grid = 2 * points.double() / points.new_tensor([width, height]).double() - 1  # −1 … 1, edge to edge
    return F.grid_sample(features[None].double(), grid[None, None], padding_mode="border", align_corners=False)[0, :, 0].to(features)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def quarters(count: int, x: tuple[int, int], y: tuple[int, int]) -> Tensor:
        """Points at quarters of a cell, none of them in a middle or on an edge."""
        sides = [4 * torch.randint(low, high, (count,), generator=draw) + 1 + 2 * whole(draw, 0, 2) for low, high in (x, y)]
        return torch.stack(sides, 1) / 4

    def case(name: str, features: Tensor, points: Tensor | list) -> Case:
        return Case(name, {"features": features, "points": torch.as_tensor(points, dtype=features.dtype).reshape(-1, 2)})

    yield case("middles of cells", digits(draw, 1, 3, 4), [[0.5, 0.5], [whole(draw, 1, 4) + 0.5, 1.5], [1.5, 2.5]])
    yield case("one point between four cells", digits(draw, 1, 2, 2), [[0.5 + whole(draw, 1, 4) / 4, 1.25]])
    yield case("between two cells of a row", digits(draw, 1, 3, 4), [[whole(draw, 1, 3) + 0.25, 1.5], [2.75, 0.5]])
    yield case("between two cells of a column", digits(draw, 1, 4, 3), [[1.5, whole(draw, 1, 3) + 0.25], [0.5, 2.75]])
    yield case("wider than high, two channels", digits(draw, 2, 3, 6), quarters(4, (1, 5), (1, 2)))
    yield case("up to half a cell outside the middles", digits(draw, 1, 3, 3), [[0.25, 1.25], [2.75, 1.75], [1.25, 0.25], [1.75, 3.0]])
    far = whole(draw, 2, 9) + 0.25
    yield case("far outside", digits(draw, 1, 3, 4), [[-far, 1.25], [4 + far, 1.75], [1.25, -far], [2.75, 3 + far], [-far, 3 + far]])
    yield case("one cell", digits(draw, 2, 1, 1), [[0.5, 0.5], [0.25, 0.75], [3.0, -1.0]])
    yield case("one row", digits(draw, 1, 1, 5), [[whole(draw, 1, 4) + 0.75, 0.25], [2.25, 0.5]])
    yield case("no points", normal(draw, whole(draw, 1, 6), 3, 4), [])
    points = torch.rand(20, 2, generator=draw) * torch.tensor([9.0, 6.0]) - 1
    yield case("twenty points", normal(draw, 3, 5, 8), points)
    yield case("float64", normal(draw, 2, 7, 5).double(), torch.rand(9, 2, generator=draw) * torch.tensor([5.0, 7.0]))


# ---- wrong versions --------------------------------------------------------------------------------------------------

Weights = dict[int, float]


def _at_border(at: float, size: int) -> float:
    return min(max(at, 0.0), size - 1.0)


def _two(at: float, size: int) -> Weights:
    """The cell before and the one after, with their weights."""
    low = math.floor(at)
    weights = {low: 1 - (at - low)}
    if low + 1 < size:
        weights[low + 1] = at - low
    return weights


def _written(
    half: float = 0.5,
    read: Callable[[list], list] = lambda point: point,
    border: Callable[[float, int], float] = _at_border,
    weights: Callable[[float, int], Weights] = _two,
) -> Callable:
    """sample_bilinear point by point; a wrong version has one part written otherwise."""

    def sample(features, points):
        height, width = features.shape[1:]
        output = features.new_zeros(len(features), len(points))
        for p, point in enumerate(points.tolist()):
            x, y = read(point)
            down, across = weights(border(y - half, height), height), weights(border(x - half, width), width)
            for row, v in down.items():
                for column, u in across.items():
                    output[:, p] += v * u * features[:, row, column]
        return output

    return sample


def _turned(at: float, size: int) -> Weights:
    low, high = math.floor(at), min(math.floor(at) + 1, size - 1)
    return {low: 1.0} if high == low else {low: at - low, high: 1 - (at - low)}


def _floor_and_ceil(at: float, size: int) -> Weights:
    low, high = math.floor(at), math.ceil(at)
    return {low: high - at, high: at - low}


def _without_end(at: float, size: int) -> Weights:
    low = math.floor(at)
    return {low: 1 - (at - low), low + 1: at - low}


def _halves(at: float, size: int) -> Weights:
    low, high = math.floor(at), min(math.floor(at) + 1, size - 1)
    return {low: 1.0} if low == high else {low: 0.5, high: 0.5}


def _zero_outside(at: float, size: int) -> Weights:
    low = math.floor(at)
    return {cell: weight for cell, weight in ((low, 1 - (at - low)), (low + 1, at - low)) if 0 <= cell < size}


def _corners_aligned(features, points):
    height, width = features.shape[1:]
    grid = 2 * points / points.new_tensor([width, height]) - 1
    return F.grid_sample(features[None], grid[None, None], padding_mode="border", align_corners=True)[0, :, 0]


def _points_first(features, points):
    return sample_bilinear(features, points).T


def _first_channel(features, points):
    return sample_bilinear(features[:1], points).expand(len(features), -1).clone()


SAMPLE_BILINEAR = Exercise(
    prompt=PROMPT,
    solution=sample_bilinear,
    docstring=DOCSTRING,
    reference=_by_grid_sample,
    reference_name='torch.nn.functional.grid_sample with padding_mode="border"',
    cases=_cases,
    tolerance=1e-4,
    common_mistakes=(
        Mistake(
            "x and y swapped",
            _written(read=lambda point: point[::-1]),
            "This is what happens when x and y are swapped. x counts columns, y counts rows, and of features the rows come first.",
        ),
        Mistake(
            "half a cell off",
            _written(half=0.0),
            "This is what happens when cell i is taken to lie at i. Its middle lies at i + 0.5: subtract 0.5 from x and y first.",
        ),
        Mistake(
            "half a cell off the other way",
            _written(half=-0.5),
            "This is what happens when 0.5 is added. From a point to the number of a cell one has to subtract it: x − 0.5.",
        ),
        Mistake(
            "corners aligned",
            _corners_aligned,
            "This is what happens when align_corners is True: the middles of the outermost cells are stretched to the edges of the map.",
        ),
        Mistake(
            "nearest",
            _written(weights=lambda at, size: {min(math.floor(at + 0.5), size - 1): 1.0}),
            "This is what happens when the nearest cell is copied. Blend the four around the point.",
        ),
        Mistake(
            "rounded down",
            _written(weights=lambda at, size: {math.floor(at): 1.0}),
            "This is what happens when the upper left of the four cells is copied. Blend all four.",
        ),
        Mistake(
            "weights turned",
            _written(weights=_turned),
            "This is what happens when the weights are exchanged: the further cell counts more. A point just right of a middle has a small "
            "u, and the cell on the left counts 1 − u.",
        ),
        Mistake(
            "all four alike",
            _written(weights=_halves),
            "This is what happens when the four cells count alike. The nearer one counts more.",
        ),
        Mistake(
            "nothing in a middle",
            _written(weights=_floor_and_ceil),
            "This is what happens when the cells are floor and ceil: where a point lies in a middle they are the same, and both weights "
            "are 0. The second is floor + 1.",
        ),
        Mistake(
            "0 outside",
            _written(border=lambda at, size: at, weights=_zero_outside),
            "This is what happens when cells outside the map count as 0, as grid_sample has it unless it is told otherwise. A point beyond "
            "the last middle counts as lying on it.",
        ),
        Mistake(
            "counted from the end",
            _written(border=lambda at, size: min(at, size - 1.0)),
            "This is what happens when a row or column of −1 is read: Python counts it from the end. Clamp x − 0.5 and y − 0.5 at 0.",
            error="out of bounds",
        ),
        Mistake(
            "one cell too many",
            _written(weights=_without_end),
            "This is what happens when the cell after the last is read. On the last middle there is none: clamp its number at W − 1 and H "
            "− 1.",
            error="out of bounds",
        ),
        Mistake(
            "points first",
            _points_first,
            "This is what happens when the answer has a row a point. It has a row a channel: [C, P].",
        ),
        Mistake(
            "first channel",
            _first_channel,
            "This is what happens when every channel gets the values of the first. Each is sampled for itself.",
        ),
    ),
)
