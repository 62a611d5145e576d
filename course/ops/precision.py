"""In which precision sums are formed, and thresholds compared.

float16 has 11 significant bits and ends at 65504: adding ones in float16 stops at 2048, and 40000 + 40000 is infinite.
So sums and products of half-precision tensors are formed in float32 and rounded once, at the end, as GPU kernels do.
This also makes float16 work on the CPU where torch lacks a kernel.
"""

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """x itself, or its float32 copy where x is float16 or bfloat16. Differentiable; round back with `.to(x.dtype)`."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def floor_to(value: float, dtype: torch.dtype) -> float:
    """The largest number of that dtype that is not above value: `x > floor_to(value, x.dtype)` is true exactly where x is above value.

    `x > value` is not: torch rounds value to x's dtype first. 0.3 becomes 0.30000001 in float32, and what is just that is no longer above.
    """
    rounded = torch.tensor(value, dtype=dtype)
    return (torch.nextafter(rounded, rounded.new_tensor(-torch.inf)) if rounded.item() > value else rounded).item()
