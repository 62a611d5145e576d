"""Exercise: the loss of a segmentation network."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.cross_entropy import pixel_cross_entropy

PROMPT = r"""
At each pixel the network gives a score $s_k$ for each of $K$ classes. With the true class $t$, the loss of the pixel is

$$\ell = -\log \frac{e^{s_t}}{\sum_k e^{s_k}}$$

and the loss of the batch is the **mean over the pixels that count**: those whose label is not `ignore_index`. The others, void, are
left out of the sum *and* out of the count.

One pixel, two classes, both with score 0: the probability of either is 1/2, so the loss is $\log 2 \approx 0.693$.

Scores can be large. $e^{1000}$ is infinity in floating point, and infinity divided by infinity is not a number, so go by way of
$\log \sum_k e^{s_k}$ (`torch.logsumexp`), or take the largest score of a pixel away from all of its scores first: that changes no
probability.

The checks use logits `[N, K, H, W]` and targets `[N, H, W]`, whole numbers. Use no loss of `torch.nn`: that would be the answer.
""".strip()

DOCSTRING = """
The mean of -log(probability of the true class) over the pixels that are not ignored.

Args:
    logits: scores of the classes, [N, K, H, W], floating-point, of any size and sign.
    target: the true classes, [N, H, W], whole numbers 0 to K - 1, or `ignore_index`.
    ignore_index: the label of pixels that do not count.

Returns: one number, a tensor without dimensions. At least one pixel counts.
""".strip()


def _by_torch(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    return F.cross_entropy(logits, target, ignore_index=ignore_index)


def _labels(draw: torch.Generator, classes: int, *shape: int) -> Tensor:
    return torch.randint(0, classes, shape, generator=draw)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, logits: Tensor, target: Tensor, ignore_index: int = 255) -> Case:
        return Case(name, {"logits": logits, "target": target, "ignore_index": ignore_index})

    yield case("one pixel, two classes", digits(draw, 1, 2, 1, 1), _labels(draw, 2, 1, 1, 1))
    yield case("2×2 pixels, three classes", digits(draw, 1, 3, 2, 2), _labels(draw, 3, 1, 2, 2))
    void = _labels(draw, 3, 1, 2, 3)
    void[0, whole(draw, 0, 2), :2] = 255
    yield case("not square, two pixels void", normal(draw, 1, 3, 2, 3), void)
    yield case("two images", normal(draw, 2, 4, 3, 2), _labels(draw, 4, 2, 3, 2))
    uneven = _labels(draw, 3, 2, 2, 2)
    uneven[1].view(-1)[1:] = 255
    yield case("two images, one nearly all void", 3 * normal(draw, 2, 3, 2, 2), uneven)
    yield case("scores of hundreds", 400 * normal(draw, 1, 3, 2, 2), _labels(draw, 3, 1, 2, 2))
    ignored = _labels(draw, 4, 1, 4, 4)
    ignored[0, 0, 0] = 0
    ignored[0, 1, 1] = 2
    yield case("class 0 is ignored", normal(draw, 1, 4, 4, 4), ignored, 0)
    yield case("a map of 9 × 7, 21 classes", 2 * normal(draw, 2, 21, 9, 7), _labels(draw, 21, 2, 9, 7))
    yield case("float64", normal(draw, 1, 3, 3, 3).double(), _labels(draw, 3, 1, 3, 3))


def _losses(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor]:
    """The loss of each pixel, 0 where it is ignored, and which count, both [N, H, W]."""
    counts = target != ignore_index
    picked = logits.gather(1, target.where(counts, 0)[:, None])[:, 0]
    return (logits.logsumexp(1) - picked) * counts, counts


def _sum(logits, target, ignore_index):
    return _losses(logits, target, ignore_index)[0].sum()


def _void_in_the_count(logits, target, ignore_index):
    return _losses(logits, target, ignore_index)[0].mean()


def _mean_of_means(logits, target, ignore_index):
    losses, counts = _losses(logits, target, ignore_index)
    return (losses.sum((1, 2)) / counts.sum((1, 2))).mean()


def _void_as_class_0(logits, target, ignore_index):
    target = target.where(target != ignore_index, 0)
    return (logits.logsumexp(1) - logits.gather(1, target[:, None])[:, 0]).mean()


def _over_the_rows(logits, target, ignore_index):
    counts = target != ignore_index
    picked = logits.log_softmax(2).gather(1, target.where(counts, 0)[:, None])[:, 0]
    return -picked[counts].mean()


def _overflows(logits, target, ignore_index):
    counts = target != ignore_index
    probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
    return -probabilities.gather(1, target.where(counts, 0)[:, None])[:, 0].log()[counts].mean()


def _probability_not_log(logits, target, ignore_index):
    counts = target != ignore_index
    return 1 - logits.softmax(1).gather(1, target.where(counts, 0)[:, None])[:, 0][counts].mean()


def _softmax_twice(logits, target, ignore_index):
    return _by_torch(logits.softmax(1), target, ignore_index)


def _sign_forgotten(logits, target, ignore_index):
    return -_by_torch(logits, target, ignore_index)


def _base_2(logits, target, ignore_index):
    return _by_torch(logits, target, ignore_index) / torch.tensor(2.0, dtype=logits.dtype).log()


PIXEL_CROSS_ENTROPY = Exercise(
    prompt=PROMPT,
    solution=pixel_cross_entropy,
    docstring=DOCSTRING,
    reference=_by_torch,
    reference_name="torch.nn.functional.cross_entropy",
    cases=_cases,
    watch="segwidgets.pixel_loss([[[2, 0]], [[0, 1]]], [[0, 1]], fn=pixel_cross_entropy)",
    common_mistakes=(
        Mistake("sum", _sum, "This is what happens when the losses are added up and not divided by the number of pixels that count."),
        Mistake(
            "void in the count",
            _void_in_the_count,
            "This is what happens when void pixels are left out of the sum and still counted. Divide by the number of pixels that count.",
        ),
        Mistake(
            "mean of means",
            _mean_of_means,
            "This is what happens when each image gets its mean and the means are averaged. All pixels of the batch count alike, "
            "in whichever image they are.",
        ),
        Mistake(
            "void is class 0",
            _void_as_class_0,
            "This is what happens when void pixels are judged as class 0. They do not count at all.",
        ),
        Mistake(
            "another dimension",
            _over_the_rows,
            "This is what happens when the softmax goes over the rows of the picture. The classes are dimension 1.",
        ),
        Mistake(
            "overflow",
            _overflows,
            "This is what happens when the exponentials overflow: e to the power of 1000 is infinity. torch.logsumexp(logits, 1) is safe.",
        ),
        Mistake(
            "no logarithm",
            _probability_not_log,
            "This is what happens when 1 − probability is taken. The loss is −log of it, and grows on as answers get worse.",
        ),
        Mistake(
            "softmax twice",
            _softmax_twice,
            "This is what happens when the probabilities are taken for scores and go through the softmax again.",
        ),
        Mistake("sign", _sign_forgotten, "This is what happens when the minus is forgotten: a loss is 0 or more."),
        Mistake("base 2", _base_2, "This is what happens when the logarithm to base 2 is taken. The loss uses the natural one, torch.log."),
    ),
)
