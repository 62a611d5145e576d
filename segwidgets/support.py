"""On which pixels a cell of a network's output can depend at all, whatever the weights and the picture: the theoretical receptive field.

No layer is read, so that any model will do. The model runs once as it is written, with what could hide a dependence taken out:

- every weight is positive and every bias 0 (`torch.func.functional_call` lends them to the model, which stays as it is);
- what bends or blocks a gradient is replaced, as it is called, by something that depends on the same inputs: an activation by
  the identity, a maximum by a mean, a difference by a sum, a normalisation by a sum with the mean that it would have used;
- on the way back each gradient is replaced by 1 where it isn't 0.

Positive numbers do not cancel, ones neither vanish nor grow. So the gradient that arrives at the picture is 1 exactly at the pixels
that can matter. Attention, global pooling and squeeze-and-excitation reach the whole picture, as they must.

The definition is the usual one (A. Araujo, W. Norris and J. Sim, "Computing receptive fields of convolutional neural networks",
Distill 2019); their formulas need the layers' kernels and strides, which this does not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

IDENTITIES = frozenset(
    (
        *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "hardsigmoid"),
        *("hardtanh", "hardshrink", "softshrink", "tanhshrink", "sigmoid", "logsigmoid", "tanh", "softplus", "softsign", "threshold"),
        *("clamp", "clip", "clamp_min", "clamp_max", "abs", "neg", "sqrt", "rsqrt", "exp", "log", "square", "pow", "reciprocal"),
        *("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"),
    )
)


class OpenPaths(TorchFunctionMode):
    """Inside it every call to torch lets the gradient through wherever the result depends on an input at all."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "").strip("_")  # relu, relu_, __isub__
        replaced = REPLACED.get(name)
        kwargs = kwargs or {}
        result = func(*args, **kwargs) if replaced is None else replaced(func, *args, **kwargs)
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, Tensor) and each.requires_grad and each.grad_fn is not None:
                each.register_hook(_ones)
        return result


def positive_weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters for `torch.func.functional_call`: each output the mean of its inputs, so that no number grows from layer to layer."""
    lent = {}
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point():
            spread = parameter.shape[0] / max(1, parameter.numel()) if parameter.ndim > 1 else 1.0
            lent[name] = torch.full_like(parameter, 0.0 if name.endswith("bias") else spread, requires_grad=False)
    return lent


def _ones(gradient: Tensor) -> Tensor:
    return (gradient != 0).to(gradient.dtype)


# ---- what is called instead: the same inputs, and nothing that bends ------------------------------------------------------


def _identity(func, x, *args, **kwargs):
    return x * 1


def _sum(func, a, b, *args, **kwargs):
    return a + b


def _with_mean(x: Tensor, dims) -> Tensor:
    return x + x.mean(dims, keepdim=True)


def _batch_norm(func, x, running_mean=None, running_var=None, weight=None, bias=None, training=False, *args, **kwargs):
    return _with_mean(x, [0, *range(2, x.ndim)]) if training or running_mean is None else x * 1


def _instance_norm(func, x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, *args, **kwargs):
    return _with_mean(x, list(range(2, x.ndim))) if use_input_stats else x * 1


def _group_norm(func, x, num_groups, *args, **kwargs):
    groups = x.reshape(x.shape[0], num_groups, -1)  # [N, G, C / G · H · W]
    return _with_mean(groups, [2]).reshape(x.shape)


def _layer_norm(func, x, normalized_shape, *args, **kwargs):
    return _with_mean(x, list(range(-len(tuple(normalized_shape)), 0)))


def _normalize(func, x, p=2.0, dim=1, *args, **kwargs):
    return _with_mean(x, dim)


def _softmax(func, x, dim=None, *args, **kwargs):
    return _with_mean(x, 1 if dim is None else dim)


def _extreme(func, x, dim=None, keepdim=False, **kwargs):
    """max, min, amax, amin: along a dimension, over everything, or of two tensors."""
    if isinstance(dim, Tensor):
        return x + dim
    if dim is None:
        return x.mean()
    mean = x.mean(dim, keepdim=keepdim)
    if func.__name__ in ("amax", "amin"):
        return mean
    with torch.no_grad():
        found = func(x, dim, keepdim)
    return type(found)((mean, found.indices))


def _max_pool(func, x, kernel_size, stride=None, padding=0, dilation=1, *args, **kwargs):
    """A depthwise convolution with equal weights: unlike average pooling it knows dilation."""
    with torch.no_grad():
        found = func(x, kernel_size, stride, padding, dilation, *args, **kwargs)
    pooled = found[0] if isinstance(found, tuple) else found
    spatial = int(func.__name__.split("max_pool")[1][0])
    kernel, stride, padding, dilation = (
        (value,) * spatial if isinstance(value, int) else tuple(value)
        for value in (kernel_size, stride if stride else kernel_size, padding, dilation)
    )
    batch = x if x.ndim == spatial + 2 else x[None]
    weight = batch.new_full((batch.shape[1], 1, *kernel), 1.0)
    around = [side for before, more in zip(padding[::-1], stride[::-1], strict=True) for side in (before, before + more)]  # ceil_mode
    convolution = (F.conv1d, F.conv2d, F.conv3d)[spatial - 1]
    sums = convolution(F.pad(batch, around), weight, stride=stride, dilation=dilation, groups=batch.shape[1])
    sums = sums[(..., *(slice(size) for size in pooled.shape[-spatial:]))].reshape(pooled.shape)
    return (sums, found[1]) if isinstance(found, tuple) else sums


def _adaptive_max_pool(func, x, output_size, *args, **kwargs):
    with torch.no_grad():
        found = func(x, output_size, *args, **kwargs)
    mean = getattr(F, func.__name__.replace("max", "avg").removesuffix("_with_indices"))(x, output_size)
    return (mean, found[1]) if isinstance(found, tuple) else mean


def _max_unpool(func, x, *args, **kwargs):
    """A value may land in any cell of its window."""
    with torch.no_grad():
        found = func(x, *args, **kwargs)
    batch = x if x.ndim == int(func.__name__[-2]) + 2 else x[None]
    return F.interpolate(batch, found.shape[2 - (x.ndim != batch.ndim) :]).reshape(found.shape)


REPLACED: dict[str, Callable] = {
    **dict.fromkeys(IDENTITIES, _identity),
    **dict.fromkeys(("sub", "isub", "rsub", "subtract", "maximum", "minimum", "fmax", "fmin"), _sum),
    **dict.fromkeys(("max", "min", "amax", "amin"), _extreme),
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), _softmax),
    **dict.fromkeys((f"max_pool{n}d{end}" for n in (1, 2, 3) for end in ("", "_with_indices")), _max_pool),
    **dict.fromkeys((f"adaptive_max_pool{n}d{end}" for n in (1, 2, 3) for end in ("", "_with_indices")), _adaptive_max_pool),
    **dict.fromkeys((f"max_unpool{n}d" for n in (1, 2, 3)), _max_unpool),
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "group_norm": _group_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "normalize": _normalize,
}
