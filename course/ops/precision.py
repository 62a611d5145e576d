"""In which precision sums are formed.

float16 has 11 significant bits and ends at 65504: adding ones in float16 stops at 2048, and 40000 + 40000 is infinite.
So sums and products of half-precision tensors are formed in float32 and rounded once, at the end, as GPU kernels do.
This also makes float16 work on the CPU where torch lacks a kernel.
"""

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """x itself, or its float32 copy where x is float16 or bfloat16. Differentiable; round back with `.to(x.dtype)`."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
