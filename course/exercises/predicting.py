"""Build a student's network, load the checkpoint, and let it label pictures, or say in a sentence what stands in the way.

Nothing here knows the right labels, so that it can be done in a process of its own: a builder, a file and images go in, an array of
labels comes out.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from course.exercises.running import Outcome, raised
from course.weights import tensors_from_bytes

BATCH = 10
AS_IN_TRAINING = "though eval() was called: something in forward still behaves as in training, such as"
NOT_TWICE = f"Asked twice about the same pictures it answers differently, {AS_IN_TRAINING} F.dropout(x) without training=self.training."
NOT_ALONE = f"A picture alone gets another answer than in a batch, {AS_IN_TRAINING} batch normalisation with the batch's own mean."


class _Wrong(Exception):
    """What stands in the way, as an outcome."""

    def __init__(self, kind: str, sentence: str):
        super().__init__(sentence)
        self.outcome = Outcome(kind, sentence=sentence)


def predict(
    build: Callable, checkpoint: str | Path, images: Tensor, classes: int, *, seconds: float = 60.0, device: str = "cpu"
) -> Outcome:
    """The labels that the network gives to the pictures.

    Args:
        build: Without arguments → a module, images `[N, 3, H, W]` → logits `[N, K, H, W]` (or a dict with these as "out").
        checkpoint: A safetensors file of the module's `state_dict()`.
        images: `[N, 3, H, W]`, float, 0…1.
        classes: K.
        seconds: Of processor time that all pictures together may take.

    Returns: An outcome of kind `"returned"` with the array "labels", uint8 `[N, H, W]`, and in `sentence` advice, if there is any; or one
        without arrays, whose sentence says what is wrong.
    """
    call = build
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            network = _built(build)
            _load(network, Path(checkpoint))
            if type(network).__module__ == build.__module__:  # an error's line is looked for in the student's cell, and not in torch
                call = type(network).forward
            network = network.to(device).eval()
            with torch.no_grad():
                labels = _labels(network, images, classes, seconds, device)
                return Outcome("returned", {"labels": labels}, _advice(network, images[:BATCH].to(device)))
    except _Wrong as wrong:
        return wrong.outcome
    except NotImplementedError as error:
        return raised(call, error, kind="not written" if call is build else "raised")
    except (Exception, SystemExit) as error:
        return raised(call, error, kind="raised")


def _built(build: Callable) -> nn.Module:
    try:
        inspect.signature(build).bind()
    except TypeError as error:
        raise _Wrong("not callable", f"It cannot be called without arguments: {error}. Keep the starter's first line.") from None
    network = build()
    if network is None:
        raise _Wrong("none", "It returned None: is there a return?")
    if not isinstance(network, nn.Module):
        raise _Wrong("unusable", f"It returned an object of type {type(network).__name__}; return a torch.nn.Module.")
    return network


def _load(network: nn.Module, path: Path) -> None:
    """The checkpoint's tensors into the network, all of them, and no other."""
    if not path.is_file():
        raise _Wrong("no file", f"There is no file {path} here: run the training cell, which writes it.")
    try:
        tensors = tensors_from_bytes(path.read_bytes())
    except ValueError:
        write = f'save_file(network.state_dict(), "{path.name}")'
        raise _Wrong("no file", f"{path} is not a whole safetensors file: write it with {write}.") from None
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = _misfit(network, tensors) or str(error).splitlines()[0]
        raise _Wrong("other network", f"{path} is of another network: {reason}. Train the one that you build now.") from None


def _misfit(network: nn.Module, tensors: dict[str, Tensor]) -> str:
    """The first way in which a file and a network do not fit, and how many more of its kind there are."""
    own = network.state_dict()
    missing = [name for name in own if name not in tensors]
    extra = [name for name in sorted(tensors) if name not in own]
    other = [name for name in own if name in tensors and own[name].shape != tensors[name].shape]
    if missing:
        return f"{_first(missing)} not in it"
    if extra:
        return f"{_first(extra)} in it, and not in the network"
    if other:
        return f"{other[0]} has the shape {list(tensors[other[0]].shape)} in it, and {list(own[other[0]].shape)} in the network"
    return ""


def _first(names: list[str]) -> str:
    return f"{names[0]} is" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more are"


def _labels(network: nn.Module, images: Tensor, classes: int, seconds: float, device: str) -> Tensor:
    labels, start = [], time.process_time()
    for batch in images.split(BATCH):
        logits = _logits(network, batch.to(device, copy=True), classes)  # [B, K, H, W]
        labels.append(logits.argmax(1).to("cpu", torch.uint8))  # [B, H, W]
        done, spent = sum(map(len, labels)), time.process_time() - start
        if spent > seconds and done < len(images):
            took = f"{done} of {len(images)} pictures took {spent:.0f} s of processor time, and all may take {seconds:.0f} s"
            raise _Wrong("too slow", f"It is too slow: {took}. Most of the work is where the maps are large.")
    return torch.cat(labels)  # [N, H, W]


def _logits(network: nn.Module, batch: Tensor, classes: int) -> Tensor:
    """The network's answer, which is what it should be: `[B, K, H, W]`, float, finite."""
    logits = network(batch)
    if isinstance(logits, dict) and "out" in logits:  # as torchvision's segmentation networks answer
        logits = logits["out"]
    if not isinstance(logits, Tensor):
        raise _Wrong("unusable", f"The network returned an object of type {type(logits).__name__}; expected are logits, a tensor.")
    count, _, height, width = batch.shape
    expected, got = [count, classes, height, width], list(logits.shape)
    if got in ([count, height, width], [count, 1, height, width]) or not logits.is_floating_point():
        said = f"The network returned labels, {got} {str(logits.dtype).removeprefix('torch.')}; expected are logits, {expected}"
        raise _Wrong("unusable", f"{said}: one number for each class, so leave out the argmax.")
    if got != expected:
        raise _Wrong("unusable", f"The network returned {got} for {list(batch.shape)}; expected is {expected}{_hint(got, expected)}.")
    if not logits.isfinite().all():
        raise _Wrong("unusable", "The logits hold NaN or infinite numbers: was the loss still a number at the end of the training?")
    return logits


def _hint(got: list[int], expected: list[int]) -> str:
    if len(got) == 4 and got[:2] == expected[:2]:
        return ": enlarge the scores to the size of the pictures, with F.interpolate for example"
    if len(got) == 4 and got[2:] == expected[2:]:
        return f": there are {expected[1]} classes, background among them"
    return ""


def _advice(network: nn.Module, batch: Tensor) -> str:
    """What still behaves as in training, as a sentence. It costs no points but those that its errors cost."""
    first, again = _tensor(network(batch.clone())), _tensor(network(batch.clone()))  # [B, K, H, W]
    close = 1e-2 * float(first.abs().max())
    if not torch.allclose(first, again, rtol=0, atol=close):
        return NOT_TWICE
    try:
        alone = _tensor(network(batch[:1].clone()))  # [1, K, H, W]
    except ValueError:  # batch normalisation refuses to take the mean of a single value
        return NOT_ALONE
    return "" if torch.allclose(first[:1], alone, rtol=0, atol=close) else NOT_ALONE


def _tensor(outputs: Tensor | dict[str, Tensor]) -> Tensor:
    return outputs["out"] if isinstance(outputs, dict) else outputs
