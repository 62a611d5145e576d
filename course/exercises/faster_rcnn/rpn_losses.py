"""Exercise: the two losses of a region proposal network."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import normal
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.rpn import rpn_losses

PROMPT = r"""
Of all N anchors of a batch some were drawn: P positives and Q negatives, together $M = P + Q$. The others take no part. The network has
said two things of every anchor, and each gets a loss:

$$L = \underbrace{\frac{1}{M} \sum_{i \,\in\, \text{drawn}} \text{BCE}(\sigma(o_i),\; y_i)}_{\text{rpn\_objectness}}
  \;+\; \underbrace{\frac{1}{M} \sum_{i \,\in\, \text{positive}} \; \sum_{k=1}^{4} \text{smooth}_{L1}(d_{ik} - t_{ik})}_{\text{rpn\_box}}$$

- $o_i$ is `objectness`, a logit: one number and a **sigmoid**, no softmax. $y_i$ is 1 for the positives and 0 for the negatives. The loss
  is the mean over the M that were drawn.
- $d$ is `deltas` and $t$ is `targets`. Where there is no object, there is no box to be wrong about: only **positives** count. The sum over
  them is divided by M all the same, so that both losses have one scale.
- $\text{smooth}_{L1}(x) = x^2 / 2\beta$ where $|x| < \beta$, and $|x| - \beta / 2$ elsewhere, with $\beta = 1/9$. It has been an exercise
  of lesson 08; `from course.ops.smooth_l1 import smooth_l1` has it, too.

`positive` and `negative` are row numbers, `[P]` and `[Q]`; `objectness` is `[N]`, `deltas` and `targets` are `[N, 4]`, and the rows of
`targets` that are no positives hold anything. P or Q may be 0. Where nothing was drawn, both losses are 0.

Return both, as a dict: `{"rpn_objectness": …, "rpn_box": …}`.
""".strip()

DOCSTRING = """
Is there an object, and where exactly: the two losses of a region proposal network, over the M anchors that were drawn.

Args:
    objectness: logits [N].
    deltas: what the network says, [N, 4].
    targets: what it should say, [N, 4]; only the rows of positives mean anything.
    positive, negative: the rows that were drawn, int64 [P] and [Q]; M = P + Q.

Returns: {"rpn_objectness": mean over the M of the binary cross-entropy, "rpn_box": sum over the positives of smooth L1, divided by M},
    two scalars.
""".strip()

BETA = 1 / 9


def _by_torch(objectness: Tensor, deltas: Tensor, targets: Tensor, positive: Tensor, negative: Tensor) -> dict[str, Tensor]:
    count = max(1, len(positive) + len(negative))
    parts = [
        F.binary_cross_entropy_with_logits(objectness[rows], torch.full_like(objectness[rows], truth), reduction="sum")
        for rows, truth in ((positive, 1.0), (negative, 0.0))
    ]
    box = F.smooth_l1_loss(deltas[positive], targets[positive], beta=BETA, reduction="sum")
    return {"rpn_objectness": sum(parts) / count, "rpn_box": box / count}


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, anchors: int, positive: int, negative: int, scale: float = 1.0, spread: float = 0.3, dtype=torch.float32) -> Case:
        """So many rows, of which some are drawn; deltas are off by about `spread`."""
        rows = torch.randperm(anchors, generator=draw)
        targets = normal(draw, anchors, 4)
        scores = scale * normal(draw, anchors)
        if scale > 1:  # with any seed one positive and one negative are far on the wrong side
            scores[rows[0]], scores[rows[positive]] = -scores[rows[0]].abs() - scale / 2, scores[rows[positive]].abs() + scale / 2
        inputs = {
            "objectness": scores.to(dtype),
            "deltas": (targets + spread * normal(draw, anchors, 4)).to(dtype),
            "targets": targets.to(dtype),
            "positive": rows[:positive].sort().values,
            "negative": rows[positive : positive + negative].sort().values,
        }
        return Case(name, inputs)

    yield case("two anchors: a positive and a negative", 2, 1, 1)
    yield case("a positive alone", 3, 1, 0)
    yield case("three positives, one negative, two left out", 6, 3, 1)
    yield case("no positives", 5, 0, 3)
    yield case("nearly right: inside of beta", 6, 3, 2, spread=0.02)
    yield case("far off: outside of beta", 6, 3, 2, spread=4.0)
    yield case("large scores", 8, 4, 3, scale=300.0)
    yield case("many anchors, few drawn", 60, 5, 11)
    yield case("all drawn", 24, 8, 16)
    yield case("float64", 12, 3, 6, dtype=torch.float64)
    yield case("nothing drawn", 4, 0, 0)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _like(objectness: Callable | None = None, box: Callable | None = None) -> Callable:
    """A version that is right but for one of its losses.

    objectness: (logits [M], truth [M], P) → scalar. box: (deltas [P, 4], targets [P, 4], M) → scalar.
    """

    def wrong(objectness_, deltas, targets, positive, negative):
        losses = _by_torch(objectness_, deltas, targets, positive, negative)
        count = len(positive) + len(negative)
        if objectness is not None:
            truth = (torch.arange(count, device=deltas.device) < len(positive)).to(deltas)
            losses["rpn_objectness"] = objectness(objectness_[torch.cat((positive, negative))], truth, len(positive))
        if box is not None:
            losses["rpn_box"] = box(deltas[positive], targets[positive], max(1, count))
        return losses

    def named(objectness, deltas, targets, positive, negative):
        return wrong(objectness, deltas, targets, positive, negative)

    return named


def _smooth(deltas: Tensor, targets: Tensor, beta: float = BETA) -> Tensor:
    return F.smooth_l1_loss(deltas, targets, beta=beta, reduction="sum")


def _mean(losses: Tensor, count: int) -> Tensor:
    return losses.sum() / max(1, count)


def _by_hand(logits: Tensor, truth: Tensor, positives: int) -> Tensor:
    p = logits.sigmoid()
    return _mean(-(truth * p.log() + (1 - truth) * (1 - p).log()), len(logits))


def _others_negative(objectness, deltas, targets, positive, negative):
    truth = torch.zeros_like(objectness)
    truth[positive] = 1
    losses = _by_torch(objectness, deltas, targets, positive, negative)
    return losses | {"rpn_objectness": F.binary_cross_entropy_with_logits(objectness, truth)}


def _boxes_of_negatives(objectness, deltas, targets, positive, negative):
    drawn = torch.cat((positive, negative))
    losses = _by_torch(objectness, deltas, targets, positive, negative)
    return losses | {"rpn_box": _smooth(deltas[drawn], targets[drawn]) / max(1, len(drawn))}


def _boxes_of_all(objectness, deltas, targets, positive, negative):
    losses = _by_torch(objectness, deltas, targets, positive, negative)
    return losses | {"rpn_box": _smooth(deltas, targets) / max(1, len(positive) + len(negative))}


def _first_targets(objectness, deltas, targets, positive, negative):
    losses = _by_torch(objectness, deltas, targets, positive, negative)
    return losses | {"rpn_box": _smooth(deltas[positive], targets[: len(positive)]) / max(1, len(positive) + len(negative))}


def _over_all_anchors(objectness, deltas, targets, positive, negative):
    losses = _by_torch(objectness, deltas, targets, positive, negative)
    return {name: loss * max(1, len(positive) + len(negative)) / len(objectness) for name, loss in losses.items()}


def _mean_of_nothing(objectness, deltas, targets, positive, negative):
    losses = _by_torch(objectness, deltas, targets, positive, negative)
    return losses if len(positive) + len(negative) else {name: loss / 0 for name, loss in losses.items()}


RPN_LOSSES = Exercise(
    prompt=PROMPT,
    solution=rpn_losses,
    docstring=DOCSTRING,
    reference=_by_torch,
    reference_name="torch.nn.functional: binary_cross_entropy_with_logits and smooth_l1_loss",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "others are negative",
            _others_negative,
            "This is what happens when every anchor that is no positive counts as a negative. Only those that were drawn take part: "
            "ignored ones would be told that they are wrong.",
        ),
        Mistake(
            "positives only",
            _like(objectness=lambda logits, truth, p: _mean(F.softplus(-logits[:p]), p)),
            "This is what happens when only positives have a say in the objectness. Whoever is never told what is background calls all an "
            "object.",
        ),
        Mistake(
            "truth turned round",
            _like(objectness=lambda logits, truth, p: _mean(F.softplus(torch.where(truth > 0, logits, -logits)), len(logits))),
            "This is what happens when the negatives are 1 and the positives 0. Objectness is high where an object is.",
        ),
        Mistake(
            "a softmax over the anchors",
            _like(objectness=lambda logits, truth, p: _mean(-logits.log_softmax(0)[:p], p)),
            "This is what happens when a softmax makes the anchors share one probability. Several are right at once: a sigmoid each.",
        ),
        Mistake(
            "sigmoid twice",
            _like(
                objectness=lambda logits, truth, p: _mean(
                    F.binary_cross_entropy_with_logits(logits.sigmoid(), truth, reduction="none"), len(logits)
                )
            ),
            "This is what happens when binary_cross_entropy_with_logits gets probabilities. It takes the logits and applies the sigmoid "
            "itself.",
        ),
        Mistake(
            "the logarithm of 0",
            _like(objectness=_by_hand),
            "This is what happens when the sigmoid is computed first and its logarithm after that: of a large score it is 1 exactly, and "
            "log(1 − 1) is minus infinity. binary_cross_entropy_with_logits does both in one.",
        ),
        Mistake(
            "never above 100",
            _like(
                objectness=lambda logits, truth, p: _mean(F.binary_cross_entropy(logits.sigmoid(), truth, reduction="none"), len(logits))
            ),
            "This is what happens when binary_cross_entropy gets probabilities: it cuts logarithms at −100, and beyond that there is no "
            "gradient. binary_cross_entropy_with_logits takes the logits.",
        ),
        Mistake(
            "a sum",
            _like(objectness=lambda logits, truth, p: F.binary_cross_entropy_with_logits(logits, truth, reduction="sum")),
            "This is what happens when the objectness loss is a sum. It is the mean over the anchors that were drawn.",
        ),
        Mistake(
            "boxes of negatives",
            _boxes_of_negatives,
            "This is what happens when negatives have a box loss, too. Where there is no object there is no box to be wrong about.",
        ),
        Mistake(
            "boxes of all",
            _boxes_of_all,
            "This is what happens when all anchors have a box loss. Only the positives do: deltas[positive] and targets[positive].",
        ),
        Mistake(
            "the first targets",
            _first_targets,
            "This is what happens when the first P rows of targets are taken. Targets have a row for each anchor: targets[positive].",
        ),
        Mistake(
            "beta 1",
            _like(box=lambda deltas, targets, count: _smooth(deltas, targets, 1.0) / count),
            "This is what happens when beta is 1, as in Fast R-CNN's paper and in torch if nothing is said. Here it is 1/9.",
        ),
        Mistake(
            "Huber",
            _like(box=lambda deltas, targets, count: F.huber_loss(deltas, targets, delta=BETA, reduction="sum") / count),
            "This is what happens when Huber's loss is taken. It is beta times smooth L1: its slope outside is beta, here it is 1.",
        ),
        Mistake(
            "squares",
            _like(box=lambda deltas, targets, count: 0.5 * F.mse_loss(deltas, targets, reduction="sum") / count),
            "This is what happens when the box loss is half the square everywhere. Far out it is the distance, so that one bad box does "
            "not rule the rest.",
        ),
        Mistake(
            "distances",
            _like(box=lambda deltas, targets, count: F.l1_loss(deltas, targets, reduction="sum") / count),
            "This is what happens when the box loss is the distance everywhere. Within beta it is a square, x² / 2β, and outside β / 2 "
            "less.",
        ),
        Mistake(
            "the mean over four numbers",
            _like(box=lambda deltas, targets, count: _smooth(deltas, targets) / (4 * count)),
            "This is what happens when the four numbers of a box are averaged. They are added up: divide by M alone.",
        ),
        Mistake(
            "divided by the positives",
            _like(box=lambda deltas, targets, count: _mean(_smooth(deltas, targets), len(deltas))),
            "This is what happens when the box loss is divided by the number of positives. Divide by all that were drawn, M: then one "
            "balance fits every picture.",
        ),
        Mistake(
            "torch's mean",
            _like(box=lambda deltas, targets, count: _mean(_smooth(deltas, targets), 4 * len(deltas))),
            "This is what happens when smooth_l1_loss takes its mean, over the positives and their four numbers. Sum, and divide by M.",
        ),
        Mistake(
            "not divided",
            _like(box=lambda deltas, targets, count: _smooth(deltas, targets)),
            "This is what happens when the sum over the positives is not divided. Divide it by M, the number of anchors that were drawn.",
        ),
        Mistake(
            "divided by all anchors",
            _over_all_anchors,
            "This is what happens when both losses are divided by N, all anchors. Divide by those that were drawn.",
        ),
        Mistake(
            "the mean of nothing",
            _mean_of_nothing,
            "This is what happens when the mean of nothing is taken: 0 / 0. Where nothing was drawn, both losses are 0.",
        ),
    ),
)
