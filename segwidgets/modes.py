"""Looking at a model without leaving a trace in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards each of its modules is in the mode that it had, and so are the random generators."""
    modes = {module: module.training for module in model.modules()}
    devices = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
    try:
        model.eval()
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        for module, training in modes.items():
            module.training = training


@dataclass
class Work:
    """What a pass through a model took: multiply–adds, and numbers written."""

    multiplications: int = 0
    numbers: int = 0


@contextmanager
def counting(model: nn.Module) -> Iterator[Work]:
    """Counts the work of the layers that run. (torch's FlopCounterMode is exact, and takes seconds to be imported.)"""
    work = Work()

    def count(module, inputs, output):
        if not isinstance(output, torch.Tensor):
            return
        work.numbers += output.numel()
        weight = getattr(module, "weight", None)
        if weight is not None and weight.ndim > 1:
            turned = isinstance(module, nn.modules.conv._ConvTransposeNd)
            work.multiplications += (inputs[0] if turned else output).numel() * weight[0].numel()

    hooks = [module.register_forward_hook(count) for module in model.modules() if not any(module.children())]
    try:
        yield work
    finally:
        for hook in hooks:
            hook.remove()
