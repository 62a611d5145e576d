"""In which precision sums are formed.

float16 has 11 significant bits: adding 2049 ones in float16 stops at 2048. So sums and products of half-precision
tensors are formed in float32 and rounded once, at the end, as GPU kernels do. This also makes float16 work on the
CPU, where torch lacks some of its kernels.
"""

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """x itself, or its float32 copy where x is float16 or bfloat16. Differentiable; round back with `.to(x.dtype)`."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
