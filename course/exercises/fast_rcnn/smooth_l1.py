"""Exercise: smooth L1."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.smooth_l1 import smooth_l1

PROMPT = r"""
How wrong is a box? Squares are gentle with small errors and merciless with large ones: one hopeless box, off by 30, weighs as much as 900
boxes that are off by 1. **Smooth L1** is a square near 0 and a straight line further out. With $x = \text{prediction} - \text{target}$:

$$\text{smooth}_{L1}(x) = \begin{cases} x^2 / (2\beta) & \text{if } |x| < \beta \\ |x| - \beta/2 & \text{otherwise} \end{cases}$$

```text
 x            −3     −1    −0.5     0     0.5     1      3
 β = 1        2.5    0.5   0.125    0    0.125   0.5    2.5
 β = 2        2      0.25  0.0625   0    0.0625  0.25   2
```

At $|x| = \beta$ the two meet: the same value, $\beta/2$, and the same slope, 1. Nowhere is the slope above 1.

Give the loss of **each number by itself**: the answer has the shape of `prediction`. Adding up and dividing is for whoever calls it.
""".strip()


def _by_torch(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    return F.smooth_l1_loss(prediction, target, reduction="none", beta=beta)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, x: Tensor, beta: float | None = None) -> Case:
        target = digits(draw, *x.shape).to(x) if len(x) else x
        return Case(name, {"prediction": target + x, "target": target} | ({} if beta is None else {"beta": beta}))

    yield case("halves and whole numbers, beta not given", digits(draw, 1, 4) / 2)
    yield case("small errors of both signs", torch.tensor([[whole(draw, 1, 8), -whole(draw, 1, 8), 0, 4]]) / 8)
    yield case("large errors of both signs", torch.tensor([[whole(draw, 2, 9), -whole(draw, 2, 9), 40.0, -50.0]]))
    yield case("beta 2", digits(draw, 2, 4) / 2, 2.0)
    yield case("beta a quarter", digits(draw, 2, 4) / 16, 0.25)
    yield case("exactly beta", torch.tensor([[3.0, -3, whole(draw, 4, 9), -whole(draw, 1, 3)]]), 3.0)
    yield case("many numbers, the beta of the next lesson", 0.3 * normal(draw, 9, 4), 1 / 9)
    yield case("a row of numbers", 2 * normal(draw, 7), whole(draw, 2, 9) / 2)
    yield case("three dimensions", normal(draw, 2, 3, 4), whole(draw, 1, 4) / 4)
    yield case("float64", normal(draw, 3, 4).double(), 0.5)
    yield case("no rows", torch.zeros(0, 4))


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _written(near: Callable, far: Callable, inside: Callable = lambda d, beta: d < beta) -> Callable:
    """near(distance, beta) where `inside`, else far(distance, beta)."""

    def loss(prediction, target, beta=1.0):
        distance = (prediction - target).abs()
        return torch.where(inside(distance, beta), near(distance, beta), far(distance, beta))

    return loss


def _square(distance, beta):
    return distance**2 / (2 * beta)


def _line(distance, beta):
    return distance - beta / 2


def _signed(prediction, target, beta=1.0):
    """Without the absolute value: what is far below is taken for near."""
    x = prediction - target
    return torch.where(x < beta, _square(x, beta), _line(x, beta))


def _mean(prediction, target, beta=1.0):
    return F.smooth_l1_loss(prediction, target, beta=beta)


def _sum(prediction, target, beta=1.0):
    return F.smooth_l1_loss(prediction, target, beta=beta, reduction="sum")


def _a_row(prediction, target, beta=1.0):
    return smooth_l1(prediction, target, beta).sum(-1)


SMOOTH_L1 = Exercise(
    prompt=PROMPT,
    solution=smooth_l1,
    reference=_by_torch,
    reference_name='torch.nn.functional.smooth_l1_loss with reduction="none"',
    cases=_cases,
    common_mistakes=(
        Mistake(
            "absolute value forgotten",
            _signed,
            "This is what happens when the sign stays: then −30 is below β and is squared. Compare |x| with β, and take |x| for the line.",
        ),
        Mistake(
            "line not lowered",
            _written(_square, lambda distance, beta: distance),
            "This is what happens when the line is |x| itself: the loss jumps where the square ends. Subtract β / 2.",
        ),
        Mistake(
            "lowered by a half",
            _written(_square, lambda distance, beta: distance - 0.5),
            "This is what happens when the line is lowered by 0.5 whatever β is. It is lowered by β / 2, so that the two meet.",
        ),
        Mistake(
            "square of another β",
            _written(lambda distance, beta: distance**2 / 2, _line),
            "This is what happens when the square is halved but not divided by β. It is x² / (2β), so that the two meet.",
        ),
        Mistake(
            "square not halved",
            _written(lambda distance, beta: distance**2 / beta, _line),
            "This is what happens when the square is not halved: at β it is twice as high as the line. It is x² / (2β).",
        ),
        Mistake(
            "times β",
            _written(lambda distance, beta: beta * distance**2 / 2, _line),
            "This is what happens when the square is multiplied by β. It is divided: the smaller β, the narrower the valley.",
        ),
        Mistake(
            "β forgotten",
            lambda prediction, target, beta=1.0: smooth_l1(prediction, target),
            "This is what happens when β is taken for 1. It stands in three places: x² / (2β), |x| < β, |x| − β / 2.",
        ),
        Mistake(
            "Huber",
            lambda prediction, target, beta=1.0: F.huber_loss(prediction, target, reduction="none", delta=beta),
            "This is what happens when it is Huber's loss, x² / 2 and β (|x| − β / 2): β times as much. Here the slope of the line is 1.",
        ),
        Mistake(
            "near and far exchanged",
            _written(_line, _square),
            "This is what happens when the two are exchanged. The square is for small errors, the line for large ones.",
        ),
        Mistake(
            "square",
            _written(_square, _square),
            "This is what happens when all errors are squared. From β on it is a straight line.",
        ),
        Mistake(
            "absolute",
            _written(lambda distance, beta: distance, lambda distance, beta: distance),
            "This is what happens when the loss is |x| everywhere. Near 0 it is a square, so that the slope goes to 0 with the error.",
        ),
        Mistake("mean", _mean, "This is what happens when the mean is taken. Give the loss of each number."),
        Mistake("sum", _sum, "This is what happens when the losses are added up. Give the loss of each number."),
        Mistake(
            "a number a box",
            _a_row,
            "This is what happens when the four numbers of a box are added up. Give the loss of each number.",
        ),
    ),
)
