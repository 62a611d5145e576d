"""Hard negative mining: of the many boxes that show background, a loss looks only at those that are taken for an object most.

SSD: W. Liu et al., "SSD: Single Shot MultiBox Detector", 2015, arXiv:1512.02325, section 2.2, "Hard negative mining": of an image's
thousands of default boxes a handful is positive, so the negatives are sorted by their loss and at most three for each positive are kept.

    count = ratio · number of positives, rounded up          chosen = the `count` negatives with the largest losses

Differs from the paper: nothing. Differs from torchvision, which has this inside its SSD: where there are fewer negatives than asked for,
all of them are chosen and no more; there positives fill the places and count twice.

Shape letters: N boxes of an image.
"""

import math
from numbers import Real

import torch
from torch import Tensor


def hard_negatives(losses: Tensor, positive: Tensor, ratio: float = 3.0) -> Tensor:
    """Which negatives of an image are in the loss: the hardest ones, `ratio` for each positive. bool [N]

    Without a positive there are none. Of equal losses the first is chosen first. NaN is harder than any number, so that it is not
    overlooked.

    Args:
        losses: how wrong each box's class is, floating-point [N]; N may be 0.
        positive: whether it answers for an object, bool [N].
        ratio: negatives for each positive, from 0.

    Raises:
        TypeError, ValueError: no such tensors or number.
    """
    _check(losses, positive, ratio)
    count = math.ceil(ratio * int(positive.sum()))
    hardest_first = losses.detach().masked_fill(positive, -math.inf).argsort(descending=True, stable=True)  # [N]
    chosen = torch.zeros_like(positive)
    chosen[hardest_first[:count]] = True
    return chosen & ~positive  # [N]


def _check(losses: Tensor, positive: Tensor, ratio: float) -> None:
    if not isinstance(losses, Tensor) or not losses.is_floating_point():
        kind = losses.dtype if isinstance(losses, Tensor) else type(losses).__name__
        raise TypeError(f"losses must be a floating-point tensor [N]; got {kind}.")
    if not isinstance(positive, Tensor) or positive.dtype != torch.bool:
        kind = positive.dtype if isinstance(positive, Tensor) else type(positive).__name__
        raise TypeError(f"positive must be a bool tensor [N]; got {kind}.")
    if losses.dim() != 1 or positive.shape != losses.shape:
        raise ValueError(f"losses and positive must be [N] each, those of one image; got {list(losses.shape)} and {list(positive.shape)}.")
    if not isinstance(ratio, Real) or isinstance(ratio, bool):
        raise TypeError(f"ratio must be a number from 0; got {ratio!r}.")
    if not 0 <= ratio < math.inf:
        raise ValueError(f"ratio must be a finite number from 0; got {ratio}.")
