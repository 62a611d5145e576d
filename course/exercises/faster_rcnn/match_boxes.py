"""Exercise: which anchor answers for which object, and which for none."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.matching import IGNORED, NEGATIVE, match_boxes

PROMPT = r"""
A network that is to score anchors has to be told what is right. `iou` is `[G, N]`: the overlap of each of G objects with each of N anchors.
Say for every anchor which object it answers for.

- An anchor's best object is the one that it overlaps most; of objects that it overlaps equally, the first.
- From `high` on, it is **positive**: write the number of its best object, 0 … G − 1.
- Below `low`, it is **negative**, background: write −1.
- Between the two, nobody can say. It is **ignored** by the loss: write −2.
- With `allow_low_quality`, every object keeps its best anchor, however badly that one fits; where several fit equally well, all of them.
  These anchors are positive, too, and each answers for *its own* best object, as above.

```text
high 0.7, low 0.3           anchor 0   anchor 1   anchor 2   anchor 3
object 0                      0.8        0.4        0.1        0.2
object 1                      0.3        0.6        0.2        0.5

                               0         −2         −1         −2
with allow_low_quality         0          1         −1         −2       anchor 1 is the best that object 1 has
```

The answer is `[N]`, whole numbers (int64). N may be 0. In a picture without objects, G = 0, all anchors are negative.
""".strip()

DOCSTRING = """
The object that each anchor answers for, or −1 (negative), or −2 (ignored). [N], int64

Args:
    iou: [G, N], of each object with each anchor; G or N may be 0.
    high: from this IoU on an anchor is positive.
    low: below it an anchor is negative; at most high.
    allow_low_quality: whether every object's best anchors are positive, too.
""".strip()


def _by_torchvision(iou: Tensor, high: float, low: float, allow_low_quality: bool = False) -> Tensor:
    if not iou.numel():  # its Matcher refuses a picture without objects, and one without anchors
        return torch.full(iou.shape[1:], Matcher.BELOW_LOW_THRESHOLD, device=iou.device)
    return Matcher(high, low, allow_low_quality)(iou)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, rows: list[list[float]] | Tensor, high: float, low: float, rescue: bool | None = None) -> Case:
        """Anchors in an order of their own."""
        iou = torch.as_tensor(rows, dtype=torch.float32)
        iou = iou[:, torch.randperm(iou.shape[1], generator=draw)]
        return Case(name, {"iou": iou, "high": high, "low": low} | ({} if rescue is None else {"allow_low_quality": rescue}))

    def hundredths(low: int, high: int, count: int) -> list[float]:
        """Different ones, low ≤ hundredth < high."""
        return ((low + torch.randperm(high - low, generator=draw)[:count]) / 100).tolist()

    yield case("one object", [hundredths(71, 99, 2) + hundredths(31, 69, 2) + hundredths(1, 29, 2)], 0.7, 0.3)
    yield case("three objects", torch.rand(3, 6, generator=draw) * 0.5 + torch.tensor([0.0, 0, 0.2, 0.2, 0.5, 0.5]), 0.7, 0.3)
    # 0.75 and 0.25 are exact in binary: they meet the thresholds whatever the precision
    exact = hundredths(80, 99, 1) + [0.75, 0.25] + hundredths(1, 20, 2) + hundredths(30, 70, 2)
    yield case("exactly the thresholds", [exact, [0.0] * 7], 0.75, 0.25)
    yield case("one threshold: none is ignored", [hundredths(20, 90, 8), hundredths(20, 90, 8)], 0.5, 0.5)
    equal = hundredths(71, 99, 3)
    yield case("two objects overlapped equally", [[*equal, 0.1, 0.1, 0.2], [0.0] * 3 + [0.8, 0.0, 0.1], [*equal, 0.2, 0.3, 0.1]], 0.7, 0.3)
    yield case("every object keeps its best", _rescues(draw, [(75, 99), (40, 69), (10, 29)]), 0.7, 0.3, True)
    yield case("the same, but nobody is kept", _rescues(draw, [(75, 99), (40, 69), (10, 29)]), 0.7, 0.3, False)
    best = hundredths(40, 60, 1)[0]
    yield case("two anchors fit equally well", [[best, best, *hundredths(1, 30, 3)], [0.1, 0.2, 0.3, 0.35, 0.8]], 0.7, 0.3, True)
    # the first anchor is the best of objects 0 and 1, and overlaps 0 more; the last that of 2 and 3, and overlaps 3 more
    first, last = ([high := whole(draw, 70, 99) / 100, high - 0.3] for _ in range(2))
    middle = torch.rand(4, 4, generator=draw) * 0.28
    ends = torch.tensor([[first[0], 0.0], [first[1], 0.05], [0.05, last[1]], [0.0, last[0]]])
    yield case("two anchors, each the best of two objects", torch.cat((ends, middle), 1), 0.7, 0.3, True)
    yield case("thirty anchors", torch.rand(5, 30, generator=draw) ** 2, 0.6, 0.2, True)
    yield case("no object", torch.zeros(0, whole(draw, 3, 20)), 0.7, 0.3, True)
    yield case("no anchor", torch.zeros(2, 0), 0.7, 0.3, True)
    yield Case("float64", {"iou": torch.rand(3, 9, generator=draw).double(), "high": 0.65, "low": 0.35, "allow_low_quality": True})


def _rescues(draw: torch.Generator, best: list[tuple[int, int]]) -> Tensor:
    """Objects whose best IoU lies between so many hundredths, each with an anchor of its own, and four anchors that fit none."""
    rows = torch.rand(len(best), len(best) + 4, generator=draw) * 0.09
    for row, (low, high) in enumerate(best):
        rows[row, row] = whole(draw, low, high) / 100
        rows[row, len(best) + row] = rows[row, row] * 0.9
    return rows


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _written(
    positive: Callable[[Tensor, float], Tensor] = lambda best, high: best >= high,
    negative: Callable[[Tensor, float], Tensor] = lambda best, low: best < low,
    codes: tuple[int, int] = (NEGATIVE, IGNORED),
    rescued: Callable[[Tensor, Tensor, float], Tensor] | None = None,
    always: bool = False,
    none: Callable[[Tensor], Tensor] | None = None,
) -> Callable:
    """match_boxes with one part of it written otherwise; `rescued` says which anchors `[N]` the objects keep."""

    def wrong(iou, high, low, allow_low_quality=False):
        if not iou.numel():
            return (none or (lambda iou: match_boxes(iou, high, low)))(iou)
        best, matches = iou.max(0)
        is_positive = positive(best, high)
        if allow_low_quality or always:
            keep = (iou == iou.amax(1, keepdim=True)).any(0)
            is_positive = is_positive | (keep if rescued is None else rescued(iou, best, low))
        return torch.where(is_positive, matches, torch.where(negative(best, low), *codes))

    return wrong


def _first_of_equals(iou, best, low):
    keep = torch.zeros_like(best, dtype=torch.bool)
    keep[iou.argmax(1)] = True
    return keep


def _last_of_equal_objects(iou, high, low, allow_low_quality=False):
    matches = match_boxes(iou, high, low, allow_low_quality)
    return torch.where(matches >= 0, len(iou) - 1 - iou.flip(0).argmax(0), matches) if iou.numel() else matches


def _for_whom_it_was_kept(iou, high, low, allow_low_quality=False):
    matches = match_boxes(iou, high, low)
    if allow_low_quality and iou.numel():
        for g, row in enumerate(iou):
            matches[row == row.max()] = g
    return matches


def _objects_choose(iou, high, low, allow_low_quality=False):
    matches = torch.full_like(iou[:1].flatten() if len(iou) else iou.new_zeros(iou.shape[1]), NEGATIVE, dtype=torch.int64)
    for g, row in enumerate(iou):
        if len(row):
            matches[row.argmax()] = g
    return matches


def _by_object(iou, high, low, allow_low_quality=False):
    return match_boxes(iou.T, high, low, allow_low_quality)


def _as_labels(iou, high, low, allow_low_quality=False):
    matches = match_boxes(iou, high, low, allow_low_quality)
    return torch.where(matches >= 0, 1, torch.where(matches == NEGATIVE, 0, -1))


def _from_one(iou, high, low, allow_low_quality=False):
    matches = match_boxes(iou, high, low, allow_low_quality)
    return torch.where(matches >= 0, matches + 1, matches)


MATCH_BOXES = Exercise(
    prompt=PROMPT,
    solution=match_boxes,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="torchvision's Matcher, with all negative where there is no object",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "nobody is kept",
            lambda iou, high, low, allow_low_quality=False: match_boxes(iou, high, low),
            "This is what happens when allow_low_quality is not used. With it every object's best anchors are positive, whatever their "
            "IoU: else a small object would have none at all.",
        ),
        Mistake(
            "always kept",
            _written(always=True),
            "This is what happens when objects keep their best anchors in any case. They do only with allow_low_quality.",
        ),
        Mistake(
            "above high",
            _written(positive=lambda best, high: best > high),
            "This is what happens when an anchor has to be above high. From high on it is positive: >=.",
        ),
        Mistake(
            "up to low",
            _written(negative=lambda best, low: best <= low),
            "This is what happens when an anchor at low itself is negative. It has to be below: <.",
        ),
        Mistake(
            "none ignored",
            _written(codes=(NEGATIVE, NEGATIVE)),
            "This is what happens when everything below high is negative. Between low and high nobody can say: −2.",
        ),
        Mistake(
            "codes swapped",
            _written(codes=(IGNORED, NEGATIVE)),
            "This is what happens when −1 and −2 are swapped. −1 is negative, −2 is ignored.",
        ),
        Mistake(
            "ignored ones positive",
            _written(positive=lambda best, high: best > 0, rescued=lambda iou, best, low: best < 0),
            "This is what happens when an anchor is positive as soon as it touches an object. From high on it is.",
        ),
        Mistake(
            "the last of equals",
            _last_of_equal_objects,
            "This is what happens when the last of several objects is taken that an anchor overlaps equally. Take the first, as max does.",
        ),
        Mistake(
            "one of equal anchors",
            _written(rescued=_first_of_equals),
            "This is what happens when an object keeps only the first of its best anchors. Where several fit equally well, it keeps all.",
        ),
        Mistake(
            "kept only above low",
            _written(rescued=lambda iou, best, low: (iou == iou.amax(1, keepdim=True)).any(0) & (best >= low)),
            "This is what happens when an object keeps its best anchor only if that is not negative. It keeps it however badly it fits.",
        ),
        Mistake(
            "for whom it was kept",
            _for_whom_it_was_kept,
            "This is what happens when a kept anchor answers for the object that kept it. It answers for the object that it overlaps most.",
        ),
        Mistake(
            "objects choose",
            _objects_choose,
            "This is what happens when only each object's best anchor is positive and all others are negative. Every anchor has a best "
            "object: look along the columns.",
        ),
        Mistake(
            "a number for each object",
            _by_object,
            "This is what happens when the largest is looked for in each row. A row is an object: look along the columns, iou.max(0).",
        ),
        Mistake(
            "labels",
            _as_labels,
            "This is what happens when the answer says 1 for positive, 0 for negative and −1 for ignored. Write the number of the object, "
            "−1 and −2.",
        ),
        Mistake(
            "objects counted from 1",
            _from_one,
            "This is what happens when objects are counted from 1. The first is 0.",
        ),
        Mistake(
            "no object to look at",
            _written(none=lambda iou: iou.max(0).indices),
            "This is what happens when the largest of nothing is asked for. Without objects all anchors are negative: look at len(iou) "
            "first.",
            error="max|reduction|non-zero|zero-size|empty",
        ),
    ),
)
