"""Exercise: least squares with a penalty, by the normal equations."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from course.exercises.drawing import normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.rcnn import ridge

PROMPT = r"""
R-CNN's box regression is no network that one trains for hours: it is **one linear system**. From the features $\varphi_i$ of M proposals
and the numbers $t_i$ that each should say, find the weight $W$ `[F, T]` and the bias $b$ `[T]` with the least

$$\sum_i \lVert t_i - W^\top \varphi_i - b \rVert^2 + \lambda \lVert W \rVert^2$$

Here it is by hand, for one feature, one target and λ = 2:

```text
φ    −1   0   1        means      φ: 0            t: 3
t     1   3   5        centred    −1  0  1       −2  0  2

(Σ φ² + λ) w = Σ φ t     (2 + 2) w = 4     w = 1
b = mean of t − mean of φ · w = 3
```

The slope is 2, and the penalty has halved it. **The bias is not penalised.** So take the means off both sides first; then the gradient is
0 where

$$(X^\top X + \lambda I)\, W = X^\top t$$

and $b$ makes up for the means. All T targets are solved at once, each column of $W$ on its own. With fewer proposals than features
$X^\top X$ alone has no inverse; with λ on its diagonal it has one.

`features` is `[M, F]`, `targets` `[M, T]`, M at least 1. Return the pair `(weight, bias)`. There is no 1 / M in front of the sum.
""".strip()

DOCSTRING = """The weight [F, T] and bias [T] that make Σ ‖t − W·φ − b‖² + λ‖W‖² least.

Args:
    features: [M, F], M at least 1.
    targets: [M, T].
    penalty: λ, above 0."""


def _by_lstsq(features: Tensor, targets: Tensor, *, penalty: float = 1000.0) -> tuple[np.ndarray, np.ndarray]:
    """Plain least squares with F examples more, which want √λ · w = 0 and know nothing of the bias; then no normal equations are needed."""
    x, t = features.numpy().astype(np.float64), targets.numpy().astype(np.float64)
    more = np.hstack([np.sqrt(penalty) * np.eye(x.shape[1]), np.zeros((x.shape[1], 1))])
    rows = np.vstack([np.hstack([x, np.ones((len(x), 1))]), more])  # [M + F, F + 1]
    solved, *_ = np.linalg.lstsq(rows, np.vstack([t, np.zeros((x.shape[1], t.shape[1]))]), rcond=None)
    return solved[:-1].astype(features.numpy().dtype), solved[-1].astype(features.numpy().dtype)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, examples: int, features: int, targets: int, **more: float) -> Case:
        x = normal(draw, examples, features) + torch.linspace(1, 3, features)  # means that are not 0
        slope = normal(draw, features, targets)
        return Case(name, {"features": x, "targets": x @ slope + normal(draw, examples, targets) + 2, **more})

    middle, slope, level = whole(draw, 1, 9), 4 * whole(draw, 1, 9), whole(draw, 1, 9)
    row = torch.tensor([[-1.0], [0], [1]])
    yield Case("three examples, one feature", {"features": row + middle, "targets": slope * row + level, "penalty": 2.0})
    yield case("two features, one target", 6, 2, 1, penalty=1.0)
    yield case("four targets", 12, 3, 4, penalty=1.0)
    yield case("fewer examples than features", 5, 12, 4, penalty=1.0)
    constant = case("a feature that is always the same", 8, 3, 2, penalty=0.5)
    constant.inputs["features"][:, 1] = whole(draw, 2, 9)
    yield constant
    yield case("a single example", 1, 4, 4, penalty=1.0)
    yield case("a small penalty", 20, 4, 2, penalty=0.01)
    yield case("a large penalty", 20, 4, 2, penalty=1e4)
    long = case("features as long as a network's, penalty not given", 40, 16, 4)
    yield Case(long.name, {"features": 5 * long.inputs["features"], "targets": long.inputs["targets"]})
    precise = case("float64", 10, 5, 3, penalty=3.0)
    yield Case(precise.name, {name: value.double() if isinstance(value, Tensor) else value for name, value in precise.inputs.items()})


def _solved(
    means: bool = True,
    raised: Callable[[Tensor, float, int], Tensor] = lambda square, penalty, examples: square + penalty * torch.eye(len(square)),
    bias: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda middle, mean, weight: middle - mean @ weight,
) -> Callable:
    """Right, but for the part that is given: whether the means are taken off, what is solved, and the bias."""

    def ridge(features, targets, *, penalty=1000.0):
        x, t = features.double(), targets.double()
        mean, middle = (x.mean(0), t.mean(0)) if means else (x.new_zeros(x.shape[1]), t.new_zeros(t.shape[1]))
        x, t = x - mean, t - middle
        weight = torch.linalg.pinv(raised(x.T @ x, penalty, len(x)).double()) @ x.T @ t  # where there is an inverse, it
        return weight.to(features), bias(middle, mean, weight).to(features)

    return ridge


def _bias_penalised(features, targets, *, penalty=1000.0):
    rows = torch.cat((features, features.new_ones(len(features), 1)), 1).double()
    solved = torch.linalg.solve(rows.T @ rows + penalty * torch.eye(rows.shape[1]), rows.T @ targets.double()).to(features)
    return solved[:-1], solved[-1]


def _a_row_a_target(features, targets, *, penalty=1000.0):
    weight, bias = ridge(features, targets, penalty=penalty)
    return weight.T, bias


def _weight_alone(features, targets, *, penalty=1000.0):
    return ridge(features, targets, penalty=penalty)[0]


def _bias_first(features, targets, *, penalty=1000.0):
    return ridge(features, targets, penalty=penalty)[::-1]


def _bias_kept_as_a_row(features, targets, *, penalty=1000.0):
    weight, bias = ridge(features, targets, penalty=penalty)
    return weight, bias[None]


RIDGE = Exercise(
    prompt=PROMPT,
    solution=ridge,
    docstring=DOCSTRING,
    reference=_by_lstsq,
    reference_name="numpy.linalg.lstsq, with F more examples that want √λ · w = 0",
    cases=_cases,
    tolerance=1e-3,  # so that normal equations in float32 are right, too
    common_mistakes=(
        Mistake(
            "penalty forgotten",
            _solved(raised=lambda square, penalty, examples: square),
            "This is what happens when the penalty is left out: plain least squares. Add λ to the diagonal of XᵀX.",
        ),
        Mistake(
            "bias penalised",
            _bias_penalised,
            "This is what happens when a column of ones joins the features and λ stands on its diagonal too: it pulls the bias to 0. Only "
            "the weight is penalised.",
        ),
        Mistake(
            "no bias",
            _solved(means=False),
            "This is what happens when the means stay in, and the bias is 0. Take the mean off features and targets, and let the bias make "
            "up for both.",
        ),
        Mistake(
            "means taken off, and never put back",
            _solved(bias=lambda middle, mean, weight: torch.zeros_like(middle)),
            "This is what happens when the means are taken off and the bias is left 0. It is mean of t − mean of φ · W.",
        ),
        Mistake(
            "bias is the targets' mean",
            _solved(bias=lambda middle, mean, weight: middle),
            "This is what happens when the bias is the mean of the targets alone. The features' mean has been taken off too: subtract what "
            "the weight makes of it.",
        ),
        Mistake(
            "mean instead of sum",
            _solved(raised=lambda square, penalty, examples: square + examples * penalty * torch.eye(len(square))),
            "This is what happens when the squares are averaged, not summed: λ then counts M-fold. There is no 1 / M in front of the sum.",
        ),
        Mistake(
            "penalty everywhere",
            _solved(raised=lambda square, penalty, examples: square + penalty * (1 + 1e-12 * torch.eye(len(square)))),
            "This is what happens when λ is added to every entry of XᵀX. It belongs on the diagonal: λI.",
        ),
        Mistake(
            "penalty squared",
            _solved(raised=lambda square, penalty, examples: square + penalty**2 * torch.eye(len(square))),
            "This is what happens when λ² stands on the diagonal. The penalty is λ‖W‖², and its gradient has λ once.",
        ),
        Mistake(
            "half the penalty",
            _solved(raised=lambda square, penalty, examples: square + penalty / 2 * torch.eye(len(square))),
            "This is what happens when only one side's gradient has its 2: the squares give 2XᵀX, and the penalty gives 2λ. Both halve, "
            "and λ stays.",
        ),
        Mistake(
            "a row a target",
            _a_row_a_target,
            "This is what happens when the weight is [T, F], as in torch.nn.Linear. Here it is [F, T], and features @ weight are the "
            "targets.",
        ),
        Mistake(
            "weight alone",
            _weight_alone,
            "This is what happens when only the weight is returned. Return both: (weight, bias).",
        ),
        Mistake(
            "bias first",
            _bias_first,
            "This is what happens when the bias comes first. The pair is (weight, bias).",
        ),
        Mistake(
            "bias as a row",
            _bias_kept_as_a_row,
            "This is what happens when the bias is [1, T], as a mean with keepdim gives it. It is [T].",
        ),
    ),
)
