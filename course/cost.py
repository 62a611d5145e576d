"""What a computation costs: multiply–adds, counted, and seconds, measured.

A multiply–add is one multiplication and the addition of its product to a sum. The papers of the course count these, also where they write
"FLOPs"; torch counts two floating-point operations for each.

Counted are convolutions (transposed ones too), matrix products and attention, which is where nearly all the work of a network is.
Normalisation, activations, pooling and interpolation are not.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode


def operations(fn: Callable, *args) -> int:
    """Multiply–adds of `fn(*args)`, which is run once. The same number on every machine.

    On the device "meta", where tensors have a shape and no values, counting costs nothing: `operations(network.to("meta"), x.to("meta"))`.

    Args:
        fn: a function or a module. It must not switch on `torch.inference_mode` itself, where torch before 2.6 counts nothing;
            `torch.no_grad` is welcome, and so is being called in either.
        args: what it is called with.

    Raises: TypeError if fn cannot be called.
    """
    _check_callable("operations", fn)
    gradients = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.set_grad_enabled(gradients), FlopCounterMode(display=False) as counter:
        fn(*args)
    return counter.get_total_flops() // 2


def seconds(fn: Callable, *args, repeats: int = 5) -> float:
    """How long `fn(*args)` takes by the clock, in seconds: the median of `repeats` runs, after one that does not count.

    The first run is slower than the others: memory is asked for, kernels are chosen. A GPU works on after a call has returned, so each run
    ends when the GPU has finished.

    Args:
        fn: a function or a module.
        args: what it is called with.
        repeats: how many runs, at least 1.

    Raises: TypeError if fn cannot be called; ValueError for no runs.
    """
    _check_callable("seconds", fn)
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise ValueError(f"seconds needs at least one run to measure; got repeats={repeats!r}.")
    fn(*args)
    _wait_for_device()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        fn(*args)
        _wait_for_device()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _check_callable(name: str, fn: Callable) -> None:
    if not callable(fn):
        raise TypeError(f"{name} takes a function or a module, and then its arguments; got {type(fn).__name__}.")


def _wait_for_device() -> None:
    """Until everything that was handed to a GPU is done. A CUDA that nobody has used yet is left asleep."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    if torch.backends.mps.is_available():
        torch.mps.synchronize()
