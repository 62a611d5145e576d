"""Exercise: how wrong YOLO's boxes lie, and how wrong their sizes are."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.yolo import coordinate_losses

PROMPT = r"""
The first two of the five terms of YOLO's loss are about the box. Of each cell that has an object, one box is responsible; it is
$(x, y, w, h)$, and it should be $(\hat x, \hat y, \hat w, \hat h)$:

$$\text{centre} = \lambda \left[(x - \hat x)^2 + (y - \hat y)^2\right] \qquad
  \text{size} = \lambda \left[\left(\sqrt w - \sqrt{\hat w}\right)^2 + \left(\sqrt h - \sqrt{\hat h}\right)^2\right]$$

Return both for **every cell**, as a dict `{"centre": …, "size": …}` of two tensors; cells without an object have 0 in both. Nothing is
summed over the cells yet, so that one can see where a picture's loss comes from.

- $\lambda$ is `coordinates`, in both terms.
- Why roots: a side that is 0.1 too long ruins a small box and hardly matters to a large one. $\sqrt{0.2} - \sqrt{0.1} = 0.13$, but
  $\sqrt{0.9} - \sqrt{0.8} = 0.05$. Without `square_roots`, $w - \hat w$ and $h - \hat h$ are squared as they are.
- A network may say a w or h below 0, which has no root. With `square_roots`, it counts as 0; without, it stays what it is.

```text
predicted 0.5, 0.2, 0.04, 0.25      truth 0.3, 0.3, 0.36, 0.25      coordinates 5
centre    5 · (0.2² + 0.1²) = 0.25
size      5 · ((0.2 − 0.6)² + 0²) = 0.8            without square_roots   5 · ((0.04 − 0.36)² + 0²) = 0.512
```

`predicted` and `truth` are `[..., 4]`, `there` is `[...]`, True for cells with an object. Where there is none, `truth` is 0 and `predicted`
may be anything.
""".strip()

DOCSTRING = """
The two terms of YOLO's loss that are about the box, for each cell, 0 where it has no object: {"centre": [...], "size": [...]}.

Args:
    predicted: [..., 4], x, y in the cell, w, h in shares of the picture, of the responsible boxes.
    truth: [..., 4], the same of the objects.
    there: bool [...], whether the cell has an object.
    coordinates: what both terms are multiplied by.
    square_roots: whether sizes are compared by their roots, a size below 0 as 0.
""".strip()

Pair = tuple[float, float]
Losses = dict[str, Tensor]


def _root(x: float) -> float:
    return math.sqrt(max(x, 0.0))


def _squares(said: Pair, true: Pair) -> float:
    return sum((a - b) ** 2 for a, b in zip(said, true, strict=True))


def _sizes(said: Pair, true: Pair, root: bool) -> float:
    return _squares(tuple(map(_root, said)), tuple(map(_root, true))) if root else _squares(said, true)


def _written(
    centre: Callable[[Pair, Pair], float] = _squares,
    size: Callable[[Pair, Pair, bool], float] = _sizes,
    weights: Callable[[float], Pair] = lambda coordinates: (coordinates, coordinates),
    counts: Callable[[bool], bool] = lambda there: there,
) -> Callable:
    """coordinate_losses cell by cell, in Python's doubles; a wrong version has one part written otherwise."""

    def by_loops(predicted: Tensor, truth: Tensor, there: Tensor, *, coordinates: float = 5.0, square_roots: bool = True) -> Losses:
        terms = []
        for said, true, is_there in zip(
            predicted.reshape(-1, 4).tolist(), truth.reshape(-1, 4).tolist(), there.flatten().tolist(), strict=True
        ):
            both = centre(said[:2], true[:2]), size(said[2:], true[2:], square_roots)
            terms.append([weight * term if counts(is_there) else 0.0 for weight, term in zip(weights(coordinates), both, strict=True)])
        columns = predicted.new_tensor(terms).reshape(*there.shape, 2)
        return {"centre": columns[..., 0], "size": columns[..., 1]}

    return by_loops


def _by_loops(predicted: Tensor, truth: Tensor, there: Tensor, *, coordinates: float = 5.0, square_roots: bool = True) -> Losses:
    return _written()(predicted, truth, there, coordinates=coordinates, square_roots=square_roots)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def hundredths(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=draw) / 100

    def case(name: str, shape: tuple[int, ...], objects: int, below: bool = False, dtype=torch.float32, **more: object) -> Case:
        """So many cells with an object; centres and sides differ from what they should be."""
        cells = torch.Size(shape).numel()
        there = torch.randperm(cells, generator=draw) < objects
        truth = torch.cat((hundredths(0, 100, cells, 2), hundredths(25, 60, cells, 2)), 1)
        signs = torch.randint(0, 2, (cells, 4), generator=draw) * 2 - 1
        predicted = truth + signs * hundredths(5, 20, cells, 4)
        if below:
            predicted[:, 2 + whole(draw, 0, 2)] *= -1
        truth = truth * there[:, None]
        inputs = {
            "predicted": predicted.to(dtype).reshape(*shape, 4),
            "truth": truth.to(dtype).reshape(*shape, 4),
            "there": there.reshape(shape),
        }
        return Case(name, inputs | more)

    yield case("one cell", (1,), 1, coordinates=1.0)
    yield case("one cell, without roots", (1,), 1, coordinates=1.0, square_roots=False)
    yield case("three cells with objects", (3,), 3)
    yield case("three by three cells, two with objects", (3, 3), 2)
    yield case("another weight", (2, 3), 4, coordinates=whole(draw, 11, 40) / 10)
    yield case("without roots", (2, 2), 3, square_roots=False)
    yield case("sides below 0", (4,), 4, below=True)
    yield case("sides below 0, without roots", (4,), 4, below=True, square_roots=False)
    yield case("no object", (2, 2), 0)
    yield case("a batch", (2, 5, 5), 9)
    yield case("float64", (2, 3, 3), 7, dtype=torch.float64, coordinates=2.0)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _by_torch(
    predicted: Tensor, truth: Tensor, there: Tensor, coordinates: float, square_roots: bool, root: Callable[[Tensor], Tensor] = torch.sqrt
) -> Losses:
    own, true = predicted[..., 2:], truth[..., 2:]
    sizes = root(own) - root(true) if square_roots else own - true
    both = {"centre": (predicted - truth)[..., :2], "size": sizes}
    return {name: coordinates * part.square().sum(-1).where(there, 0) for name, part in both.items()}


def _no_root_below_zero(predicted, truth, there, *, coordinates=5.0, square_roots=True):
    return _by_torch(predicted, truth, there, coordinates, square_roots)


def _root_of_the_amount(predicted, truth, there, *, coordinates=5.0, square_roots=True):
    return _by_torch(predicted, truth, there, coordinates, square_roots, root=lambda x: x.abs().sqrt())


def _changed(change: Callable[[Tensor, Tensor], Tensor]) -> Callable:
    """What comes out right, and is then changed, from the losses of a term [...] and whether there is an object."""

    def wrong(predicted, truth, there, *, coordinates=5.0, square_roots=True):
        losses = _by_loops(predicted, truth, there, coordinates=coordinates, square_roots=square_roots)
        return {name: change(part, there) for name, part in losses.items()}

    return wrong


def _clamped_always(said: Pair, true: Pair, root: bool) -> float:
    return _sizes(tuple(max(side, 0.0) for side in said), true, root)


def _swapped_names(predicted, truth, there, *, coordinates=5.0, square_roots=True):
    losses = _by_loops(predicted, truth, there, coordinates=coordinates, square_roots=square_roots)
    return {"centre": losses["size"], "size": losses["centre"]}


COORDINATE_LOSSES = Exercise(
    prompt=PROMPT,
    solution=coordinate_losses,
    docstring=DOCSTRING,
    reference=_by_loops,
    reference_name="a loop over the cells",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "roots forgotten",
            _written(size=lambda said, true, root: _squares(said, true)),
            "This is what happens when the roots are forgotten. With square_roots, √w − √ŵ is squared.",
        ),
        Mistake(
            "roots always",
            _written(size=lambda said, true, root: _sizes(said, true, True)),
            "This is what happens when sizes have roots in any case. They do only with square_roots.",
        ),
        Mistake(
            "roots of the centre, too",
            _written(centre=lambda said, true: _squares(tuple(map(_root, said)), tuple(map(_root, true)))),
            "This is what happens when x and y have roots, too. Only sizes do: where a centre lies does not say how large the object is.",
        ),
        Mistake(
            "root of the difference",
            _written(
                size=lambda said, true, root: sum(abs(a - b) for a, b in zip(said, true, strict=True)) if root else _squares(said, true)
            ),
            "This is what happens when the root is taken of the difference. Take the root of each side, and then the difference.",
        ),
        Mistake(
            "no root below 0",
            _no_root_below_zero,
            "This is what happens when the root of a negative number is taken: it is NaN, and so are all weights one step later. Below "
            "0 counts as 0: clamp(min=0).",
        ),
        Mistake(
            "root of the amount",
            _root_of_the_amount,
            "This is what happens when the root of |w| is taken. Then −0.5 is as good as 0.5: below 0 counts as 0.",
        ),
        Mistake(
            "0 without roots, too",
            _written(size=_clamped_always),
            "This is what happens when sides below 0 count as 0 in any case. Without square_roots they stay what they are.",
        ),
        Mistake(
            "weight forgotten",
            _written(weights=lambda coordinates: (1.0, 1.0)),
            "This is what happens when λ is forgotten. Both terms are multiplied by coordinates.",
        ),
        Mistake(
            "always 5",
            _written(weights=lambda coordinates: (5.0, 5.0)),
            "This is what happens when λ is always 5. Multiply by coordinates.",
        ),
        Mistake(
            "weight of the centre only",
            _written(weights=lambda coordinates: (coordinates, 1.0)),
            "This is what happens when only the centre is multiplied by λ. The size is, too.",
        ),
        Mistake(
            "weight of the size only",
            _written(weights=lambda coordinates: (1.0, coordinates)),
            "This is what happens when only the size is multiplied by λ. The centre is, too.",
        ),
        Mistake(
            "weight squared",
            _written(weights=lambda coordinates: (coordinates**2,) * 2),
            "This is what happens when the difference is multiplied by λ and then squared. Square first.",
        ),
        Mistake(
            "every cell",
            _written(counts=lambda there: True),
            "This is what happens when cells without an object count. Where there is no object there is no box to be wrong about: 0.",
        ),
        Mistake(
            "the other cells",
            _written(counts=lambda there: not there),
            "This is what happens when the cells without an object count, and those with one do not. there is True where one is.",
        ),
        Mistake(
            "amounts",
            _written(
                centre=lambda said, true: sum(abs(a - b) for a, b in zip(said, true, strict=True)),
                size=lambda said, true, root: sum(
                    abs(_root(a) - _root(b)) if root else abs(a - b) for a, b in zip(said, true, strict=True)
                ),
            ),
            "This is what happens when the amounts of the differences are added. They are squared.",
        ),
        Mistake(
            "distance",
            _written(centre=lambda said, true: math.sqrt(_squares(said, true)), size=lambda *given: math.sqrt(_sizes(*given))),
            "This is what happens when the root of the sum is taken, the distance. The sum of the squares itself is the loss.",
        ),
        Mistake(
            "half",
            _changed(lambda part, there: part / 2),
            "This is what happens when the two squares are averaged, or halved. They are added up.",
        ),
        Mistake(
            "one number",
            _changed(lambda part, there: part.sum()),
            "This is what happens when the cells are added up. Every cell keeps its own: sum over the last axis only, sum(-1).",
        ),
        Mistake(
            "the mean of cells",
            _changed(lambda part, there: part.sum() / max(1, int(there.sum()))),
            "This is what happens when the mean over cells is taken. Every cell keeps its own: sum over the last axis only, sum(-1).",
        ),
        Mistake(
            "only cells with objects",
            _changed(lambda part, there: part[there]),
            "This is what happens when cells without an object are left out. They are in the answer, with 0: .where(there, 0).",
        ),
        Mistake(
            "names swapped",
            _swapped_names,
            'This is what happens when the two terms change their names. "centre" is about x and y, "size" about w and h.',
        ),
    ),
)
