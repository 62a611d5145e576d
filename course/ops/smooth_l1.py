"""Smooth L1: squared near 0, where a square is smooth, and absolute further out, where a square would let one bad box rule the training.

R. Girshick, "Fast R-CNN", 2015, arXiv:1504.08083, section 2.3, equation 3; there β is 1. With a β: S. Ren et al., "Faster R-CNN", 2015,
arXiv:1506.01497, whose code has 1/9 for the region proposal network.

    smooth_L1(x) = x² / 2β          if |x| < β
                   |x| − β / 2      otherwise              x = prediction − target

Both halves meet at β with the same value and slope, and the slope is never above 1.

Differs from the papers: nothing. Differs from torchvision: torch.nn.functional.smooth_l1_loss is the same, and sums or averages if asked.
"""

from torch import Tensor

from course.ops import arguments


def smooth_l1(prediction: Tensor, target: Tensor, beta: float = 1.0) -> Tensor:
    """The loss of each number by itself, without sum or mean. [...]

    Args:
        prediction, target: floating-point, of one shape and on one device.
        beta: where the square ends, above 0.

    Raises:
        TypeError, ValueError: no such tensors or number.
    """
    arguments.check_alike(prediction, "prediction", target, "target")
    beta = arguments.positive(beta, "beta")
    distance = (prediction - target).abs()  # [...]
    return (distance.square() / (2 * beta)).where(distance < beta, distance - beta / 2)
