"""Exercise: average precision, from detections that are judged already."""

from collections.abc import Callable, Iterator
from fractions import Fraction

import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.metrics.precision_recall_area import precision_recall_area

PROMPT = r"""
A detector has gone over a data set, and somebody has judged its boxes of one class: each has a score, and is **right** (it found an object
that no better box had found) or not. There were `objects` of them to find. Make one number of it, the average precision.

1. **Sort** by score, the best first. Of equal scores the one that stands first in the list goes first.
2. Go down the list. At each place, **precision** is the share of the boxes so far that are right; **recall** is the share of all objects
   found so far.
3. Where precision dips and rises again, the **best precision from here on** counts: whoever may choose where to stop would not stop in the
   dip.
4. The **area** under that curve, over recall from 0 to 1. Recall only moves at a right box, by 1 / objects, so the area is a sum of so many
   thin bars.

```text
score                    0.9    0.8    0.7    0.6    0.5          4 objects
right                    yes    no     no     yes    yes
precision                1/1    1/2    1/3    2/4    3/5
recall                   1/4    1/4    1/4    2/4    3/4          one is never found: no area there
best from here on        1      0.6    0.6    0.6    0.6
area                     (1 + 0.6 + 0.6) / 4 = 0.55
```

`scores` and `right` are `[D]`, in any order, and D may be 0; then the answer is 0. `objects` is at least 1. Return a float. (This is the
whole area, as VOC takes it. COCO takes the same curve at 101 recalls and averages; the two differ by at most 0.01.)
""".strip()

DOCSTRING = """
The average precision of one class: the area under the best precision from here on, over recall from 0 to 1.

Args:
    scores: [D], in any order; D may be 0.
    right: bool [D], whether the detection found an object that no better one had found.
    objects: how many there are to find, at least 1.
""".strip()


def _sorted(scores: Tensor, right: Tensor) -> list[bool]:
    """The verdicts, best first."""
    pairs = zip(scores.tolist(), right.tolist(), strict=True)
    return [verdict for _, verdict in sorted(pairs, key=lambda pair: -pair[0])]


def _precisions(verdicts: list[bool]) -> list[Fraction]:
    return [Fraction(sum(verdicts[:place]), place) for place in range(1, len(verdicts) + 1)]


def _best_from_here(precisions: list[Fraction]) -> list[Fraction]:
    return [max(precisions[place:]) for place in range(len(precisions))]


def _area(verdicts: list[bool], best: list[Fraction], objects: int) -> Fraction:
    return sum((height for height, verdict in zip(best, verdicts, strict=True) if verdict), Fraction(0)) / objects


def _written(
    order: Callable[[Tensor, Tensor], list[bool]] = _sorted,
    precision: Callable[[list[bool]], list[Fraction]] = _precisions,
    best: Callable[[list[Fraction]], list[Fraction]] = _best_from_here,
    area: Callable[[list[bool], list[Fraction], int], Fraction] = _area,
) -> Callable:
    """precision_recall_area in Python's fractions, a detection at a time; a wrong version has one part written otherwise."""

    def by_fractions(scores: Tensor, right: Tensor, objects: int) -> float:
        verdicts = order(scores, right)
        return float(area(verdicts, best(precision(verdicts)), objects))

    return by_fractions


def _by_fractions(scores: Tensor, right: Tensor, objects: int) -> float:
    return _written()(scores, right, objects)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, verdicts: list[int], missed: int, shuffled: bool = True, dtype=torch.float32, equal: bool = False) -> Case:
        """These verdicts, best first; scores are all different unless `equal`, and the list is shuffled."""
        count = len(verdicts)
        places = torch.randperm(19 * count + 1, generator=draw)[:count].sort(descending=True).values + 1
        scores = places.to(dtype) / (20 * count + 20)
        if equal:
            scores = scores[torch.arange(count) // 3 * 3]  # three share a score
        order = torch.randperm(count, generator=draw) if shuffled else torch.arange(count)
        right = torch.tensor(verdicts, dtype=torch.bool)
        return Case(name, {"scores": scores[order], "right": right[order], "objects": sum(verdicts) + missed})

    def drawn(count: int, hits: int) -> list[int]:
        """So many detections, so many of them right, with a right one behind a wrong one."""
        verdicts = torch.zeros(count, dtype=torch.int64)
        verdicts[torch.randperm(count - 1, generator=draw)[: hits - 1]] = 1
        verdicts[-1] = 1
        return verdicts.tolist()

    # two wrong ones before the last two right ones: a dip, whatever the rest
    dip = [1] + [0] * whole(draw, 2, 5) + [1, 1]
    yield case("best first, with a dip", dip, missed=whole(draw, 1, 6), shuffled=False)
    yield case("in another order", [1, 0, 1, 0, 0, 1], missed=whole(draw, 1, 9))
    yield case("all found", drawn(whole(draw, 7, 14), 4), missed=0)
    yield case("most never found", drawn(8, 3), missed=whole(draw, 10, 30))
    yield case("the wrong ones first", [0] * whole(draw, 2, 9) + [1, 1, 1], missed=whole(draw, 0, 3))
    yield case("right ones only", [1] * whole(draw, 2, 8), missed=whole(draw, 2, 9))
    yield case("some scores are equal", [1, 0, 0, 1, 1, 0, 0, 1, 1], missed=whole(draw, 1, 12), shuffled=False, equal=True)
    yield case("many", drawn(whole(draw, 50, 70), 25), missed=whole(draw, 3, 20))
    yield case("float64", drawn(whole(draw, 15, 25), 9), missed=2, dtype=torch.float64)
    yield case("no right one", [0] * whole(draw, 3, 6), missed=whole(draw, 2, 5))
    yield case("no detection", [], missed=whole(draw, 1, 5))


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _as_they_stand(scores: Tensor, right: Tensor) -> list[bool]:
    return right.tolist()


def _worst_first(scores: Tensor, right: Tensor) -> list[bool]:
    return _sorted(-scores, right)


def _last_of_equals_first(scores: Tensor, right: Tensor) -> list[bool]:
    return right[scores.argsort(stable=True)].flip(0).tolist()


def _best_so_far(precisions: list[Fraction]) -> list[Fraction]:
    return [max(precisions[: place + 1]) for place in range(len(precisions))]


def _of_all(verdicts: list[bool]) -> list[Fraction]:
    return [Fraction(sum(verdicts[:place]), len(verdicts)) for place in range(1, len(verdicts) + 1)]


def _from_zero(scores, right, objects):
    hits = torch.tensor(_sorted(scores, right)).cumsum(0)
    precision = hits / torch.arange(len(hits))
    best = precision.nan_to_num(posinf=torch.inf).flip(0).cummax(0).values.flip(0)
    return (best[torch.tensor(_sorted(scores, right), dtype=torch.bool)].sum() / objects).item()


def _trapezoids(verdicts: list[bool], best: list[Fraction], objects: int) -> Fraction:
    steps = [(before + after) / 2 for before, after, verdict in zip(best, best[1:], verdicts[1:], strict=False) if verdict]
    return sum(steps, Fraction(0)) / objects


def _at_recalls(count: int) -> Callable:
    """The mean of the curve at so many recalls, evenly spaced from 0 to 1."""

    def area(verdicts: list[bool], best: list[Fraction], objects: int) -> Fraction:
        found = [sum(verdicts[:place]) for place in range(1, len(verdicts) + 1)]
        heights = []
        for k in range(count):
            reached = [height for height, hits in zip(best, found, strict=True) if hits * (count - 1) >= k * objects]
            heights.append(max(reached, default=Fraction(0)))
        return sum(heights, Fraction(0)) / count

    return area


def _over_found(verdicts: list[bool], best: list[Fraction], objects: int) -> Fraction:
    heights = [height for height, verdict in zip(best, verdicts, strict=True) if verdict]
    return sum(heights, Fraction(0)) / max(1, len(heights))


def _crashes_without_detections(scores, right, objects):
    verdicts = torch.tensor(_sorted(scores, right), dtype=torch.bool)
    precision = verdicts.cumsum(0) / torch.arange(1, len(verdicts) + 1)
    if precision.max() == 0:
        return 0.0
    return _by_fractions(scores, right, objects)


def _nan_without_detections(scores, right, objects):
    return _by_fractions(scores, right, objects) if len(scores) else float("nan")


PRECISION_RECALL_AREA = Exercise(
    prompt=PROMPT,
    solution=precision_recall_area,
    docstring=DOCSTRING,
    reference=_by_fractions,
    reference_name="Python's fractions, a detection at a time",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "as they stand",
            _written(order=_as_they_stand),
            "This is what happens when the list is taken as it stands. Sort it by score first, the best first.",
        ),
        Mistake(
            "worst first",
            _written(order=_worst_first),
            "This is what happens when the worst score goes first. The best does: descending=True.",
        ),
        Mistake(
            "the last of equals first",
            _written(order=_last_of_equals_first),
            "This is what happens when of equal scores the last goes first, as it does where a rising order is turned round. The first "
            "goes first: argsort(descending=True, stable=True).",
        ),
        Mistake(
            "the dip counts",
            _written(best=lambda precisions: precisions),
            "This is what happens when the precision counts as it is, dips included. The best from here on counts.",
        ),
        Mistake(
            "best so far",
            _written(best=_best_so_far),
            "This is what happens when the best precision so far counts. The best from here on does: go through the list from its end.",
        ),
        Mistake(
            "best of all",
            _written(best=lambda precisions: [max(precisions, default=Fraction(0))] * len(precisions)),
            "This is what happens when the best precision of the whole list counts everywhere. Only what comes at this place or later "
            "does.",
        ),
        Mistake(
            "precision over all",
            _written(precision=_of_all),
            "This is what happens when the right ones so far are divided by all detections. Divide by those so far.",
        ),
        Mistake(
            "counted from 0",
            _from_zero,
            "This is what happens when the places are counted from 0. The first detection is one detection: torch.arange(1, D + 1).",
            error="zero",
        ),
        Mistake(
            "recall of those found",
            _written(area=_over_found),
            "This is what happens when the heights are averaged over the objects found. Those never found count, too, with 0: divide by "
            "objects.",
        ),
        Mistake(
            "the mean over detections",
            _written(area=lambda verdicts, best, objects: sum(best, Fraction(0)) / max(1, len(best))),
            "This is what happens when the heights of all detections are averaged. Recall moves at right ones only: add these up, and "
            "divide by objects.",
        ),
        Mistake(
            "wrong ones, too",
            _written(area=lambda verdicts, best, objects: sum(best, Fraction(0)) / objects),
            "This is what happens when the heights of wrong detections are added, too. Recall does not move there: such a bar has no "
            "width.",
        ),
        Mistake(
            "trapezoids",
            _written(area=_trapezoids),
            "This is what happens when neighbours are joined by slanted lines and the area starts at the first detection. The curve is "
            "made of steps, and the first bar begins at recall 0.",
        ),
        Mistake(
            "101 recalls",
            _written(area=_at_recalls(101)),
            "This is what happens when the curve is taken at 101 recalls, as COCO does. Here the whole area is asked for.",
        ),
        Mistake(
            "11 recalls",
            _written(area=_at_recalls(11)),
            "This is what happens when the curve is taken at 11 recalls, as VOC did until 2009. Here the whole area is asked for.",
        ),
        Mistake(
            "the last precision",
            _written(area=lambda verdicts, best, objects: best[-1] if best else Fraction(0)),
            "This is what happens when the precision of the whole list is returned. Every recall counts, not only the last.",
        ),
        Mistake(
            "recall",
            _written(area=lambda verdicts, best, objects: Fraction(sum(verdicts), objects)),
            "This is what happens when the recall of the whole list is returned. A bar is as high as its precision.",
        ),
        Mistake(
            "per cent",
            _written(area=lambda verdicts, best, objects: 100 * _area(verdicts, best, objects)),
            "This is what happens when the answer is in per cent. It runs from 0 to 1.",
        ),
        Mistake(
            "nothing there",
            _crashes_without_detections,
            "This is what happens when there is no detection, and the maximum of nothing is asked for. A class that was never detected "
            "has 0.",
            error="max|numel|empty",
        ),
        Mistake(
            "NaN without detections",
            _nan_without_detections,
            "This is what happens when there is no detection, and nothing is divided by nothing. A class that was never detected has 0.",
        ),
    ),
)
