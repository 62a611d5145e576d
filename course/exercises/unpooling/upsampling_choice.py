"""Which upsampling layer fits a decoder: the right size, no checkerboard, no dead strip, and then the fewest multiplications.

Odena, Dumoulin & Olah 2016, "Deconvolution and Checkerboard Artifacts" (Distill, doi 10.23915/distill.00003): stamps overlap evenly only
if the stride divides the kernel, and resizing before an ordinary convolution avoids the question.
Output sizes: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning" (arXiv 1603.07285), relationships 5 and 14.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

TRANSPOSED, RESIZE = 0, 1


def choose_upsampling(size: Sequence[int], output_size: Sequence[int], candidates: Tensor) -> Tensor:
    """Which of the candidate layers are fit to go from size to output_size, best first: their row numbers. [M], int64

    Args:
        size: (height, width) of the features.
        output_size: (height, width) that is needed.
        candidates: one layer a row, [K, 5], int64: kind, kernel_size, stride, padding, output_padding. Kind 0 is a transposed convolution.
            Kind 1 repeats every value over stride × stride cells (nearest) and then convolves with stride 1 and that padding.
    """
    fit = []
    for row, (kind, kernel, stride, padding, output_padding) in enumerate(candidates.tolist()):
        if kind == TRANSPOSED:
            if output_padding >= stride or kernel % stride != 0 or output_padding > padding:
                continue
            sides = [(side - 1) * stride - 2 * padding + kernel + output_padding for side in size]
            cells = size[0] * size[1]
        else:
            if padding >= kernel:
                continue
            sides = [side * stride + 2 * padding - kernel + 1 for side in size]
            cells = output_size[0] * output_size[1]
        if sides == list(output_size):
            fit.append((cells * kernel**2, row))
    return torch.tensor([row for _, row in sorted(fit)], dtype=torch.int64)
