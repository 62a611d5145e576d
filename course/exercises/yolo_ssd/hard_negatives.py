"""Exercise: which of the many background boxes a loss should listen to."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.mining import hard_negatives

PROMPT = r"""
Of SSD's 8,732 default boxes in a picture a dozen are positive, they have an object; all others are negative. Were every one of them in the
loss, the network would learn to say "background" and little else. So SSD keeps all positives, and for each of them `ratio` negatives: those
that it **gets most wrong**, with the largest losses.

```text
ratio 3          box 0   box 1   box 2   box 3   box 4   box 5
losses            2.1     0.4     0.1     1.7     0.9     0.2
positive           no      no     yes      no      no      no

hard negatives    yes      no      no     yes     yes      no         one positive, so three negatives
```

`losses` is `[N]`, the class loss of each box of **one picture**, and `positive`, `[N]`, says True of those that have an object. Return
True for the negatives that are kept, `[N]`, bool. Positives are never among them, however large their losses. Where there are fewer
negatives than that, all are kept. Without a positive none is: there is nothing that they would have to be balanced with. N may be 0.

The ratio may be a fraction; with P positives, `ratio · P` is a whole number here. No two losses are equal.
""".strip()

DOCSTRING = """
The negatives that a picture's loss listens to: those with the largest losses, ratio times as many as there are positives. bool [N]

Args:
    losses: [N], the class loss of each box of one picture; N may be 0.
    positive: bool [N], whether the box has an object.
    ratio: negatives for each positive.
""".strip()


def _by_ranks(losses: Tensor, positive: Tensor, ratio: float = 3.0) -> Tensor:
    """As torchvision's SSD does it, with the positives left out where there are too few negatives."""
    ranked = losses.masked_fill(positive, -torch.inf)
    ranks = ranked.argsort(descending=True).argsort()
    return (ranks < ratio * positive.sum()) & ~positive


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, positives: int, negatives: int, ratio: float | None = None, loud: str = "mixed", dtype=torch.float32) -> Case:
        """Losses that are all different, in an order of their own; the positives' are the largest (`loud`), the smallest, or mixed."""
        count = positives + negatives
        losses = ((torch.randperm(20 * count + 20, generator=draw)[:count] + 1) / 10).sort().values
        if loud == "mixed":
            losses = losses[torch.randperm(count, generator=draw)]
        elif loud == "positives":
            losses = losses.flip(0)
        positive = torch.arange(count) < positives
        order = torch.randperm(count, generator=draw)
        inputs = {"losses": losses[order].to(dtype), "positive": positive[order]}
        return Case(name, inputs | ({} if ratio is None else {"ratio": ratio}))

    yield case("one positive, six negatives", 1, 6)
    yield case("two positives with the largest losses", 2, 9, loud="positives")
    yield case("two positives with the smallest losses", 2, 9, loud="negatives")
    yield case("one for each", 3, 8, ratio=1.0)
    yield case("a ratio that is a fraction", 2, 9, ratio=whole(draw, 1, 4) + 0.5)
    yield case("no positive", 0, whole(draw, 5, 9))
    yield case("too few negatives", 4, 5, loud="positives")
    yield case("no negative", whole(draw, 3, 6), 0)
    yield case("many boxes, few positives", 5, 95)
    yield case("float64", 3, 40, ratio=2.0, dtype=torch.float64)
    yield case("no box", 0, 0)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _kept(rows: Tensor, like: Tensor) -> Tensor:
    kept = torch.zeros_like(like, dtype=torch.bool)
    kept[rows] = True
    return kept


def _hardest(losses: Tensor, allowed: Tensor, count: float) -> Tensor:
    """The `count` rows with the largest losses, of those allowed; fewer where there are not so many."""
    rows = allowed.nonzero()[:, 0]
    return _kept(rows[losses[rows].argsort(descending=True)[: max(0, int(count))]], allowed)


def _chosen(count: Callable[[int, int, float], float], sign: float = 1.0) -> Callable:
    """hard_negatives that keeps another number of them: (positives, negatives, ratio) → how many."""

    def wrong(losses, positive, ratio=3.0):
        positives = int(positive.sum())
        return _hardest(sign * losses, ~positive, count(positives, len(positive) - positives, ratio))

    return wrong


def _positives_compete(losses, positive, ratio=3.0):
    return _hardest(losses, torch.ones_like(positive), ratio * int(positive.sum()))


def _positives_take_places(losses, positive, ratio=3.0):
    return _positives_compete(losses, positive, ratio) & ~positive


def _positives_too(losses, positive, ratio=3.0):
    return hard_negatives(losses, positive, ratio) | positive


def _positives_fill_up(losses, positive, ratio=3.0):
    return _hardest(losses.masked_fill(positive, -torch.inf), torch.ones_like(positive), ratio * int(positive.sum()))


def _hard_positives(losses, positive, ratio=3.0):
    return _hardest(losses, positive, ratio * int((~positive).sum()))


def _too_many_asked(losses, positive, ratio=3.0):
    negatives = (~positive).nonzero()[:, 0]
    best = losses[negatives].topk(int(ratio * int(positive.sum()))).indices
    return _kept(negatives[best], positive)


def _places_among_negatives(losses, positive, ratio=3.0):
    best = losses[~positive].argsort(descending=True)[: int(ratio * int(positive.sum()))]
    return _kept(best, positive)


def _order_for_ranks(losses, positive, ratio=3.0):
    order = losses.masked_fill(positive, -torch.inf).argsort(descending=True)
    return (order < ratio * positive.sum()) & ~positive


def _indices(losses, positive, ratio=3.0):
    return hard_negatives(losses, positive, ratio).nonzero()[:, 0]


def _losses_themselves(losses, positive, ratio=3.0):
    return losses * hard_negatives(losses, positive, ratio)


HARD_NEGATIVES = Exercise(
    prompt=PROMPT,
    solution=hard_negatives,
    docstring=DOCSTRING,
    reference=_by_ranks,
    reference_name="two sorts, as in torchvision's SSD, which give every box its rank",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "all negatives",
            _chosen(lambda positives, negatives, ratio: negatives),
            "This is what happens when every negative is kept. Keep ratio times as many as there are positives.",
        ),
        Mistake(
            "positives compete",
            _positives_compete,
            "This is what happens when the largest losses of all boxes are taken. Positives are in the loss already: look among the "
            "negatives.",
        ),
        Mistake(
            "positives take places",
            _positives_take_places,
            "This is what happens when the largest losses of all boxes are taken and positives are removed afterwards: their places are "
            "lost. Leave them out before.",
        ),
        Mistake(
            "positives too",
            _positives_too,
            "This is what happens when the positives are in the answer. It says True of negatives only.",
        ),
        Mistake(
            "positives fill up",
            _positives_fill_up,
            "This is what happens when positives are pushed to the end, and are taken all the same where there are too few negatives. "
            "Remove them once more: & ~positive.",
        ),
        Mistake(
            "hard positives",
            _hard_positives,
            "This is what happens when positives and negatives are swapped. There are few positives and many negatives.",
        ),
        Mistake(
            "the easiest",
            _chosen(lambda positives, negatives, ratio: ratio * positives, sign=-1.0),
            "This is what happens when the smallest losses are taken: what the network knows already. Take the largest: descending=True.",
        ),
        Mistake(
            "ratio alone",
            _chosen(lambda positives, negatives, ratio: ratio),
            "This is what happens when ratio negatives are kept, however many positives there are. It is so many for each.",
        ),
        Mistake(
            "always 3",
            _chosen(lambda positives, negatives, ratio: 3 * positives),
            "This is what happens when there are three for each positive. How many there are, ratio says.",
        ),
        Mistake(
            "whole ratio",
            _chosen(lambda positives, negatives, ratio: int(ratio) * positives),
            "This is what happens when the ratio is cut to a whole number first. Multiply, and then make it whole.",
        ),
        Mistake(
            "a share of all",
            _chosen(lambda positives, negatives, ratio: negatives / ratio),
            "This is what happens when the negatives are divided by ratio. Their number follows the positives: ratio times as many.",
        ),
        Mistake(
            "positives are some of them",
            _chosen(lambda positives, negatives, ratio: (ratio - 1) * positives),
            "This is what happens when ratio counts positives and negatives together. To each positive come ratio negatives.",
        ),
        Mistake(
            "some without a positive",
            _chosen(lambda positives, negatives, ratio: ratio * max(1, positives)),
            "This is what happens when a picture without positives keeps some negatives. Without a positive there is none.",
        ),
        Mistake(
            "all without a positive",
            _chosen(lambda positives, negatives, ratio: ratio * positives if positives else negatives),
            "This is what happens when a picture without positives keeps all negatives. Without a positive there is none.",
        ),
        Mistake(
            "more than there are",
            _too_many_asked,
            "This is what happens when topk is asked for more than there are. Take at most all: min(…, number of negatives).",
            error="out of range|selected index k",
        ),
        Mistake(
            "counted among the negatives",
            _places_among_negatives,
            "This is what happens when a place among the negatives is taken for a place among all boxes. losses[~positive] counts anew; "
            "give positives −∞ instead.",
        ),
        Mistake(
            "order for ranks",
            _order_for_ranks,
            "This is what happens when argsort is taken for the ranks. It says which box stands at each place; sort it once more and you "
            "know the place of each box.",
        ),
        Mistake(
            "indices",
            _indices,
            "This is what happens when the numbers of the boxes are returned. Return True or False for every box.",
        ),
        Mistake(
            "losses",
            _losses_themselves,
            "This is what happens when the losses are returned, 0 where a box is not kept. Return True or False for every box.",
        ),
    ),
)
