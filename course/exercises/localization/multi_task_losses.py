"""Exercise: two losses for one network, and their balance."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.localizer import multi_task_losses

PROMPT = r"""
A localizer is wrong in two ways, about the class and about the box. Each gets a loss, and what is minimised is their sum:

$$L = \underbrace{\frac{1}{R} \sum_{i=1}^{R} -\log p_i(\text{true class})}_{\text{classification}}
  \;+\; \underbrace{\lambda \cdot \frac{1}{4\,R^+} \sum_{i \,:\, \text{label} > 0}
  \lVert \text{code}_i - \text{true code}_i \rVert^2}_{\text{box}}$$

$p_i$ is the softmax of row $i$ of `logits`. A code is the four numbers of a box. The box loss is the mean over **the four numbers of
every box that there is**: where the label is 0, background, there is no box to be wrong about, and $R^+$ counts the rows that have one.
Without any box the second loss is 0.

Return both, as a dict: `{"classification": …, "box": …}`. `balance` is $\lambda$, and stands in the second already.
""".strip()

DOCSTRING = """
Softmax cross-entropy of the class, and squared error of the box, whose sum is to be minimised.

Args:
    logits: [R, K].
    codes, target_codes: [R, 4], boxes as four numbers.
    labels: int64 [R], 0 to K − 1; 0 is background, which has no box.
    balance: λ, by which the box's loss is multiplied.

Returns: {"classification": mean over the R, "box": λ · mean over the four numbers of every box}, two scalars; without a box, box is 0.
""".strip()


def _by_torch(logits: Tensor, codes: Tensor, labels: Tensor, target_codes: Tensor, *, balance: float = 1.0) -> dict[str, Tensor]:
    there = labels != 0
    box = F.mse_loss(codes[there], target_codes[there]) if there.any() else codes.new_zeros(())
    return {"classification": F.nll_loss(logits.log_softmax(1), labels), "box": balance * box}


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, labels: list[int], classes: int = 4, balance: float | None = None, scale: float = 1.0, dtype=torch.float32) -> Case:
        rows = len(labels)
        inputs = {
            "logits": (scale * normal(draw, rows, classes)).to(dtype),
            "codes": (normal(draw, rows, 4) / 4 + 0.5).to(dtype),
            "labels": torch.tensor(labels),
            "target_codes": torch.rand(rows, 4, generator=draw).to(dtype),
        }
        return Case(name, inputs if balance is None else inputs | {"balance": balance})

    def some(count: int, low: int = 1) -> list[int]:
        return [whole(draw, low, 4) for _ in range(count)]

    yield case("one object, balance 1", some(1))
    yield case("two objects, with a balance", some(2), balance=float(whole(draw, 2, 9)))
    yield case("an object, and background", [*some(1), 0], balance=2.0)
    yield case("half of them background", [0, *some(2), 0, 0, *some(1)], balance=10.0)
    yield case("nothing but background", [0, 0, 0], balance=5.0)
    yield case("balance 0", some(3), balance=0.0)
    yield case("large scores", some(4, low=0) + some(1), scale=300.0, balance=0.5)
    yield case("twenty rows, seven classes", some(20, low=0), classes=7, balance=1.5)
    yield case("float64", [0, *some(5)], balance=3.0, dtype=torch.float64)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _like(change_class=None, change_box=None):
    """A version that is right but for one of its losses."""

    def multi_task_losses(logits, codes, labels, target_codes, *, balance=1.0):
        losses = _by_torch(logits, codes, labels, target_codes, balance=balance)
        if change_class is not None:
            losses["classification"] = change_class(logits, labels, balance)
        if change_box is not None:
            losses["box"] = change_box(codes, target_codes, labels > 0, balance)
        return losses

    return multi_task_losses


def _squares(codes, target_codes, there):
    return (codes[there] - target_codes[there]).square()


def _boxes(there):
    return max(1, int(there.sum()))


def _only_objects(logits, labels, balance):
    there = labels > 0
    return F.cross_entropy(logits[there], labels[there]) if there.any() else logits.sum() * 0


def _overflows(logits, labels, balance):
    exponentials = logits.exp()
    return -(exponentials.gather(1, labels[:, None]) / exponentials.sum(1, keepdim=True)).log().mean()


def _both_scaled(logits, codes, labels, target_codes, *, balance=1.0):
    losses = _by_torch(logits, codes, labels, target_codes, balance=balance)
    return {"classification": balance * losses["classification"], "box": losses["box"]}


def _other_way_round(logits, codes, labels, target_codes, *, balance=1.0):
    losses = _by_torch(logits, codes, labels, target_codes)
    return {"classification": balance * losses["classification"], "box": losses["box"]}


MULTI_TASK_LOSSES = Exercise(
    prompt=PROMPT,
    solution=multi_task_losses,
    docstring=DOCSTRING,
    reference=_by_torch,
    reference_name="torch.nn.functional: nll_loss of log_softmax, and mse_loss of the rows that have a box",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "boxes of background",
            _like(change_box=lambda codes, targets, there, balance: balance * F.mse_loss(codes, targets)),
            "This is what happens when rows of background are judged by a box, too. Where the label is 0 there is none: leave them out.",
        ),
        Mistake(
            "divided by all rows",
            _like(change_box=lambda codes, targets, there, balance: balance * _squares(codes, targets, there).sum() / (4 * len(there))),
            "This is what happens when the box loss leaves background out of the sum and counts it all the same. Divide by the boxes that "
            "there are.",
        ),
        Mistake(
            "sum of the four",
            _like(change_box=lambda codes, targets, there, balance: balance * _squares(codes, targets, there).sum() / _boxes(there)),
            "This is what happens when the four numbers of a box are added up. The loss is the mean over all numbers of all boxes.",
        ),
        Mistake(
            "sum of all",
            _like(change_box=lambda codes, targets, there, balance: balance * _squares(codes, targets, there).sum()),
            "This is what happens when the squares are added up and not divided: the loss then grows with the number of boxes.",
        ),
        Mistake(
            "no balance",
            _like(change_box=lambda codes, targets, there, balance: _squares(codes, targets, there).sum() / (4 * _boxes(there))),
            "This is what happens when the balance is forgotten. The box loss is multiplied by it.",
        ),
        Mistake(
            "balance on both",
            _both_scaled,
            "This is what happens when both losses are multiplied by the balance: that changes nothing between them. Only the box's is.",
        ),
        Mistake(
            "balance on the class",
            _other_way_round,
            "This is what happens when the balance multiplies the loss of the class. It belongs to the box.",
        ),
        Mistake(
            "absolute error",
            _like(
                change_box=lambda codes, targets, there, balance: (
                    balance * (codes[there] - targets[there]).abs().sum() / (4 * _boxes(there))
                )
            ),
            "This is what happens when absolute differences are taken. L2 squares them.",
        ),
        Mistake(
            "square root",
            _like(
                change_box=lambda codes, targets, there, balance: (
                    balance * (_squares(codes, targets, there).sum() / (4 * _boxes(there))).sqrt()
                )
            ),
            "This is what happens when the root of the mean square is taken. The loss is the mean square itself.",
        ),
        Mistake(
            "half",
            _like(change_box=lambda codes, targets, there, balance: balance * _squares(codes, targets, there).sum() / (8 * _boxes(there))),
            "This is what happens when the square is halved, as textbooks do for a tidy derivative. Here it is not.",
        ),
        Mistake(
            "no box, no number",
            _like(change_box=lambda codes, targets, there, balance: balance * _squares(codes, targets, there).mean()),
            "This is what happens when the mean is taken of no numbers at all: it is NaN, and one such batch ruins the training. Without a "
            "box the loss is 0.",
        ),
        Mistake(
            "class of objects only",
            _like(change_class=_only_objects),
            "This is what happens when background is left out of the class's loss, too. Background is a class: every row counts there.",
        ),
        Mistake(
            "softmax twice",
            _like(change_class=lambda logits, labels, balance: F.cross_entropy(logits.softmax(1), labels)),
            "This is what happens when the scores go through the softmax before F.cross_entropy, which has one of its own.",
        ),
        Mistake(
            "overflow",
            _like(change_class=_overflows),
            "This is what happens when the exponentials overflow. F.cross_entropy takes the scores as they are and is safe.",
        ),
    ),
)
