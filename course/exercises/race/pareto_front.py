"""Exercise: which of several detectors is beaten by nobody."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.metrics.pareto_front import pareto_front

PROMPT = r"""
Of two detectors the faster one may be the worse one, and then neither is better: it depends on what you need. But a detector that is slower
*and* worse than another is of use to nobody. Those that are left, the ones that **no other beats**, are the Pareto front.

One detector **beats** another if it costs no more and scores no less, and is better in at least one of the two. So of two that cost the
same the better one beats the other, and of two that score the same the cheaper one does. Two that are equal in both do not beat one
another: both stay, unless a third one beats them.

```text
            A      B      C      D      E
costs       9     10     17     80    290       milliseconds
scores     0.93   0.95   0.96   0.90   0.95

on front    yes    yes    yes    no     no       D is beaten by A, E by B
```

`costs` and `scores` are `[N]`; less is better of the first, more of the second. Return True for those on the front, `[N]`, bool. N may
be 0.
""".strip()

DOCSTRING = """
Of each rival whether no other beats it: one that costs no more and scores no less, and is better in at least one of the two. bool [N]

Args:
    costs: [N], less is better; N may be 0.
    scores: [N], more is better.
""".strip()

Rival = tuple[float, float]


def _beats(a: Rival, b: Rival) -> bool:
    return a[0] <= b[0] and a[1] >= b[1] and a != b


def _written(beats: Callable[[Rival, Rival], bool] = _beats, answer: Callable[[bool], bool] = lambda beaten: not beaten) -> Callable:
    """pareto_front rival by rival; a wrong version has one part written otherwise."""

    def by_loops(costs: Tensor, scores: Tensor) -> Tensor:
        rivals = list(zip(costs.tolist(), scores.tolist(), strict=True))
        return torch.tensor([answer(any(beats(a, b) for a in rivals)) for b in rivals], dtype=torch.bool)

    return by_loops


def _by_loops(costs: Tensor, scores: Tensor) -> Tensor:
    return _written()(costs, scores)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, rivals: list[Rival], dtype=torch.float32) -> Case:
        order = torch.randperm(len(rivals), generator=draw)
        rows = torch.tensor(rivals, dtype=dtype).reshape(-1, 2)[order]
        return Case(name, {"costs": rows[:, 0], "scores": rows[:, 1] / 100})

    def different(count: int, low: int, high: int) -> list[int]:
        return (torch.randperm(high - low, generator=draw)[:count] + low).tolist()

    def front(count: int) -> list[Rival]:
        """Rivals of which none beats another."""
        return list(zip(sorted(different(count, 5, 60)), sorted(different(count, 50, 90)), strict=True))

    def beaten(rivals: list[Rival], count: int) -> list[Rival]:
        """Rivals that are slower and worse than one of these."""
        chosen = [rivals[whole(draw, 0, len(rivals))] for _ in range(count)]
        return [(cost + whole(draw, 1, 40), score - whole(draw, 1, 40)) for cost, score in chosen]

    some = front(3)
    yield case("three on the front, three beaten", some + beaten(some, 3))
    some = front(5)
    yield case("dearer and better all the way", some + beaten(some[-1:], 3))  # beaten at the dear end
    (cost, score), *rest = front(4)
    yield case("the same cost", [(cost, score), *rest, (cost, score - whole(draw, 5, 40)), (cost, score - whole(draw, 41, 49))])
    some = front(4)
    yield case("the same score", some + [(cost + whole(draw, 61, 99), score) for cost, score in some[:2]])
    some = front(4)
    yield case("twins", some + [some[whole(draw, 0, 4)]] + beaten(some, 2))
    some = front(3)
    yield case("twins that are beaten", some + 2 * beaten(some, 1) + beaten(some, 2))
    some = front(2)
    yield case("one beats nearly all", some + beaten(some[:1], whole(draw, 5, 9)))
    yield case("many", list(zip(different(40, 1, 200), different(40, 1, 99), strict=True)))
    yield case("many ties", [(whole(draw, 1, 6), whole(draw, 1, 6)) for _ in range(30)])
    some = front(6)
    yield case("float64", some + beaten(some, 6), torch.float64)
    yield case("one alone", front(1))
    yield case("nobody", [])


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _good_and_cheap(costs, scores):
    return (costs <= costs.median()) & (scores >= scores.median()) if len(costs) else torch.zeros(0, dtype=torch.bool)


def _the_best_ratio(costs, scores):
    ratio = scores / costs
    return ratio == ratio.max() if len(ratio) else torch.zeros(0, dtype=torch.bool)


def _best_of_each(costs, scores):
    return (costs == costs.min()) | (scores == scores.max()) if len(costs) else torch.zeros(0, dtype=torch.bool)


def _neighbours(costs, scores):
    order = costs.argsort(stable=True)
    kept = torch.ones(len(costs), dtype=torch.bool)
    kept[order[1:]] = scores[order][1:] > scores[order][:-1]
    return kept


def _swept(equals: bool) -> Callable:
    """From the cheapest on, whoever scores more than all before it; ties in cost by chance or the better one first."""

    def sweep(costs, scores):
        rows = sorted(range(len(costs)), key=lambda i: (costs[i].item(), -scores[i].item() if equals else 0.0))
        kept, best = torch.zeros(len(costs), dtype=torch.bool), float("-inf")
        for i in rows:
            kept[i] = scores[i].item() > best
            best = max(best, scores[i].item())
        return kept

    return sweep


def _indices(costs, scores):
    return _by_loops(costs, scores).nonzero()[:, 0]


def _crashes_on_nobody(costs, scores):
    if costs.min() < 0:
        return costs < 0
    return _by_loops(costs, scores)


PARETO_FRONT = Exercise(
    prompt=PROMPT,
    solution=pareto_front,
    docstring=DOCSTRING,
    reference=_by_loops,
    reference_name="two loops over the rivals",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "better in both",
            _written(beats=lambda a, b: a[0] < b[0] and a[1] > b[1]),
            "This is what happens when one has to be cheaper and better to beat another. Equal in one and better in the other is enough.",
        ),
        Mistake(
            "beaten by itself",
            _written(beats=lambda a, b: a[0] <= b[0] and a[1] >= b[1]),
            "This is what happens when 'no worse in both' is enough to beat: then everyone is beaten by itself. It must be better in at "
            "least one of the two.",
        ),
        Mistake(
            "cheaper and no worse",
            _written(beats=lambda a, b: a[0] < b[0] and a[1] >= b[1]),
            "This is what happens when only a cheaper one can beat. One that costs the same and scores more does, too.",
        ),
        Mistake(
            "better and no dearer",
            _written(beats=lambda a, b: a[0] <= b[0] and a[1] > b[1]),
            "This is what happens when only a better one can beat. One that scores the same and costs less does, too.",
        ),
        Mistake(
            "better in one",
            _written(beats=lambda a, b: a[0] < b[0] or a[1] > b[1]),
            "This is what happens when it is enough to be cheaper or better. To beat, one must be no worse in the other.",
        ),
        Mistake(
            "costs the other way round",
            _written(beats=lambda a, b: _beats((-a[0], a[1]), (-b[0], b[1]))),
            "This is what happens when more cost is taken for better. Less is.",
        ),
        Mistake(
            "scores the other way round",
            _written(beats=lambda a, b: _beats((a[0], -a[1]), (b[0], -b[1]))),
            "This is what happens when a lower score is taken for better. A higher one is.",
        ),
        Mistake(
            "who beats nobody",
            _written(beats=lambda a, b: _beats(b, a)),
            "This is what happens when those are returned who beat nobody. Asked is who is beaten by nobody: look along the other axis.",
        ),
        Mistake(
            "the beaten",
            _written(answer=lambda beaten: beaten),
            "This is what happens when True is said of those that are beaten. Turn it round: ~.",
        ),
        Mistake(
            "only the cheapest and the best",
            _best_of_each,
            "This is what happens when only the cheapest and the best are kept. Whoever stands between them and is beaten by nobody is "
            "on the front, too.",
        ),
        Mistake(
            "only the next one",
            _neighbours,
            "This is what happens when each is compared with the next cheaper one alone. Compare it with all: the best so far may stand "
            "further back.",
        ),
        Mistake(
            "twins lost",
            _swept(equals=True),
            "This is what happens when only one of two equals stays. Those that are equal in both do not beat one another.",
        ),
        Mistake(
            "equal costs in any order",
            _swept(equals=False),
            "This is what happens when rivals of the same cost are gone through in any order. The better one beats the other, wherever "
            "it stands.",
        ),
        Mistake(
            "the best ratio",
            _the_best_ratio,
            "This is what happens when score and cost are divided: one number, and one winner. The front asks who is beaten.",
        ),
        Mistake(
            "half of each",
            _good_and_cheap,
            "This is what happens when the cheaper half and the better half are taken. The cheapest is on the front however low it scores.",
        ),
        Mistake(
            "indices",
            _indices,
            "This is what happens when the numbers of the rivals are returned. Return True or False for every one.",
        ),
        Mistake(
            "nobody there",
            _crashes_on_nobody,
            "This is what happens when there is nobody, and the least of nothing is asked for. Then the answer is empty, too.",
            error="min|numel|empty|reduction",
        ),
    ),
)
