"""Cross-entropy of every pixel: how surprised a network is by the true labels.

Long, Shelhamer & Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation" (arXiv 1411.4038), section 3: with a loss
that is a sum over the pixels of the last layer, ℓ(x; θ) = Σ ℓ'(x_ij; θ), one whole image is a batch of all its pixels. ℓ' is, as in
the paper's section 4, the multinomial logistic loss of one pixel.

    probability[k, y, x] = exp(logit[k, y, x]) / sum over all classes j of exp(logit[j, y, x])
    loss[y, x]           = -log(probability[true class at (y, x), y, x])
    result               = mean of loss over the pixels that count

The largest logit of a pixel is taken away from all of its logits first. That changes no probability, and no exponential is
larger than 1 (the *log-sum-exp trick*): logits of 1000 are as safe as logits of 1.

Differs from the paper: the mean, not the sum, so that the loss does not grow with the picture.
Differs from torch: `ignore_index` is 255, the void of Pascal VOC. Labels may be any integers (a uint8 label map needs no
conversion). A label that is no class is a sentence, not an IndexError or, on a GPU, a device that has to be restarted. No weights, no label
smoothing, no reduction but the mean.
As in torch: if every pixel is ignored, there is no mean and the result is NaN (0 / 0), with a gradient of 0. A loss of 0 would
pass for a perfect answer.

Shape letters: N images, K classes, H × W the plane.
"""

from collections.abc import Iterator
from math import exp, log, nan

import torch
from torch import Tensor

from course.ops.arguments import FLOATS, INTEGERS, check_same_device
from course.ops.precision import widen
from course.ops.step import Index, Step, listing, number, place


def pixel_cross_entropy(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    """The mean of -log(probability of the true class) over the pixels that are not ignored. []

    Args:
        logits: scores of the classes, [N, K, H, W] or [K, H, W], floating-point, of any size and sign.
        target: the true classes, [N, H, W] or [H, W], integers 0 to K - 1, or `ignore_index`.
        ignore_index: the label of pixels that do not count (void), in the loss and in its gradient.

    Returns: one number, 0 or more, in the dtype of logits; NaN if no pixel counts.

    Raises:
        TypeError, ValueError: logits or target are no such tensors, their sizes do not agree, or a label is no class.
    """
    _check(logits, target, ignore_index)
    scores = widen(logits).movedim(-3, -1)  # [N, H, W, K]
    counts = target != ignore_index  # [N, H, W]
    scores, labels = scores[counts], target[counts].long()  # [M, K] and [M], the M pixels that count
    shifted = scores - scores.detach().amax(-1, keepdim=True)  # [M, K], at most 0
    log_sum = shifted.exp().sum(-1).log()  # [M]
    true = shifted.gather(-1, labels[:, None])[:, 0]  # [M]
    return (log_sum - true).mean().to(logits.dtype)


def pixel_cross_entropy_steps(logits: Tensor, target: Tensor, ignore_index: int = 255) -> Iterator[Step]:
    """pixel_cross_entropy, pixel by pixel: exponentials, probabilities, -log of the true one; at the end the mean.

    Reads "logits", "target"; writes "exponentials" and "probabilities" (of the shape of logits), "loss" (of the shape of target) and
    "mean" ([]). Ignored pixels are named and write nothing.
    """
    _check(logits, target, ignore_index)
    losses: dict[Index, float] = {}
    for pixel in _pixels(target):
        *image, row, column = pixel
        cells = [(*image, k, row, column) for k in range(logits.shape[-3])]
        label = int(target[pixel])
        where = f"{f'image {image[0]}, ' if len(target) > 1 and image else ''}{place(pixel)}"
        if label == ignore_index:
            yield Step(f"The pixel at {where} is void, [{label}|read]: it does not count.", {"target": (pixel,)}, {})
            continue
        scores = [float(logits[cell]) for cell in cells]
        exponentials, step = _exponentials(scores, cells, where)
        yield step
        probabilities, step = _probabilities(exponentials, cells)
        yield step
        # As the function computes it: log of a probability that was rounded to 0 would be infinite.
        losses[pixel] = log(sum(exponentials)) - (scores[label] - max(scores))
        probability = number(probabilities[label]) if probabilities[label] else f"e^{number(-losses[pixel])}"
        yield Step(
            f"The true class is {label}, with the probability [{probability}|read]: write −log of it, [{number(losses[pixel])}|write].",
            reads={"target": (pixel,), "probabilities": (cells[label],)},
            writes={"loss": {pixel: losses[pixel]}},
            arithmetic=f"−log({probability}) = {number(losses[pixel])}",
        )
    yield _mean(losses)


def _exponentials(scores: list[float], cells: list[Index], where: str) -> tuple[list[float], Step]:
    largest = max(scores)
    exponentials = [exp(score - largest) for score in scores]
    powers = [f"e^({number(score)} − {_in_brackets(largest)})" for score in scores]
    return exponentials, Step(
        f"At {where} the largest score is [{number(largest)}|read]: take it away from all {len(scores)} and raise e to the rest, "
        f"which gives [{listing(exponentials)}|write].",
        reads={"logits": tuple(cells)},
        writes={"exponentials": dict(zip(cells, exponentials, strict=True))},
        arithmetic=",  ".join(f"{power} = {number(value)}" for power, value in zip(powers[:4], exponentials, strict=False)),
        terms=dict(zip(cells, powers, strict=True)),
    )


def _probabilities(exponentials: list[float], cells: list[Index]) -> tuple[list[float], Step]:
    total = sum(exponentials)
    probabilities = [value / total for value in exponentials]
    return probabilities, Step(
        f"Together they are [{number(total)}|read]: divide each by it, and the {len(cells)} probabilities "
        f"[{listing(probabilities)}|write] add up to 1.",
        reads={"exponentials": tuple(cells)},
        writes={"probabilities": dict(zip(cells, probabilities, strict=True))},
        arithmetic=f"{listing(exponentials, ' + ')} = {number(total)}",
        terms={cell: f"{number(value)} / {number(total)}" for cell, value in zip(cells, exponentials, strict=True)},
    )


def _mean(losses: dict[Index, float]) -> Step:
    values = list(losses.values())
    if not values:
        return Step("Every pixel is void: there is nothing to average, and the loss is [NaN|write].", {}, {"mean": {(): nan}})
    mean = sum(values) / len(values)
    return Step(
        f"The {len(values)} losses add up to [{number(sum(values))}|read]: their mean, [{number(mean)}|write], is the loss."
        if len(values) > 1
        else f"Only one pixel counts: its loss, [{number(mean)}|write], is the mean.",
        reads={"loss": tuple(losses)},
        writes={"mean": {(): mean}},
        arithmetic=f"({listing(values, ' + ')}) / {len(values)} = {number(mean)}",
    )


def _in_brackets(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)


def _pixels(target: Tensor) -> Iterator[Index]:
    """The index of every pixel, in reading order, image by image."""
    for flat in range(target.numel()):
        yield tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), target.shape))


def _check(logits: Tensor, target: Tensor, ignore_index: int) -> None:
    if not isinstance(logits, Tensor) or not isinstance(target, Tensor):
        wrong = ("logits", logits) if not isinstance(logits, Tensor) else ("target", target)
        raise TypeError(f"{wrong[0]} must be a torch.Tensor; got {type(wrong[1]).__name__}.")
    if logits.dtype not in FLOATS:
        raise TypeError(f"logits must be floating-point scores; got {logits.dtype}.")
    if target.dtype not in INTEGERS:
        raise TypeError(f"target must hold whole numbers, the labels of the classes; got {target.dtype}.")
    if logits.dim() not in (3, 4) or logits.numel() == 0:
        raise ValueError(f"logits must have shape [N, K, H, W] or [K, H, W], none of them 0; got {list(logits.shape)}.")
    if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
        raise TypeError(f"ignore_index must be an integer, the label of void; got {ignore_index!r}.")
    pixels = logits.shape[:-3] + logits.shape[-2:]
    if target.shape != pixels:
        shapes = f"the shape {list(pixels)} for logits of shape {list(logits.shape)}"
        raise ValueError(f"target must have one label a pixel, {shapes}; got {list(target.shape)}.")
    check_same_device(target, "target", logits)
    classes = logits.shape[-3]
    wrong = (target != ignore_index) & ((target < 0) | (target >= classes))
    if wrong.any():
        raise ValueError(
            f"target must hold the classes 0 to {classes - 1}, or {ignore_index} for void; got {target[wrong][0].item()} at "
            f"{place(tuple(wrong.nonzero()[0].tolist()))}."
        )
