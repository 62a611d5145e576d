"""Build a student's network, load the checkpoint, and let it answer about pictures, or say in a sentence what stands in the way.

Nothing here knows the right answers, so that it can be done in a process of its own: a builder, a file and images go in, arrays come out.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from course.exercises.running import Outcome, raised
from course.exercises.task import Task, Wrong
from course.weights import tensors_from_bytes

BATCH = 10
AS_IN_TRAINING = "though eval() was called: something in forward still behaves as in training, such as"
NOT_TWICE = f"Asked twice about the same pictures it answers differently, {AS_IN_TRAINING} F.dropout(x) without training=self.training."
NOT_ALONE = f"A picture alone gets another answer than in a batch, {AS_IN_TRAINING} batch normalisation with the batch's own mean."


def predict(build: Callable, checkpoint: str | Path, images: Tensor, task: Task, *, seconds: float = 60.0, device: str = "cpu") -> Outcome:
    """What the network answers about the pictures.

    Args:
        build: Without arguments → a module, images `[N, 3, H, W]` → what the task says.
        checkpoint: A safetensors file of the module's `state_dict()`.
        images: `[N, 3, H, W]`, float, 0…1.
        task: What it has to do.
        seconds: Of processor time that all pictures together may take.

    Returns: An outcome of kind `"returned"` with the task's arrays, a row a picture, and in `sentence` advice, if there is any; or one
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
                arrays = _answers(network, images, task, seconds, device)
                return Outcome("returned", arrays, _advice(network, images[:BATCH].to(device), task))
    except Wrong as wrong:
        return Outcome(wrong.kind, sentence=wrong.sentence)
    except NotImplementedError as error:
        return raised(call, error, kind="not written" if call is build else "raised")
    except (Exception, SystemExit) as error:
        return raised(call, error, kind="raised")


def _built(build: Callable) -> nn.Module:
    try:
        inspect.signature(build).bind()
    except TypeError as error:
        raise Wrong("not callable", f"It cannot be called without arguments: {error}. Keep the starter's first line.") from None
    network = build()
    if network is None:
        raise Wrong("none", "It returned None: is there a return?")
    if not isinstance(network, nn.Module):
        raise Wrong("unusable", f"It returned an object of type {type(network).__name__}; return a torch.nn.Module.")
    return network


def _load(network: nn.Module, path: Path) -> None:
    """The checkpoint's tensors into the network, all of them, and no other."""
    if not path.is_file():
        raise Wrong("no file", f"There is no file {path} here: run the training cell, which writes it.")
    try:
        tensors = tensors_from_bytes(path.read_bytes())
    except ValueError:
        write = f'save_file(network.state_dict(), "{path.name}")'
        raise Wrong("no file", f"{path} is not a whole safetensors file: write it with {write}.") from None
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = _misfit(network, tensors) or str(error).splitlines()[0]
        raise Wrong("other network", f"{path} is of another network: {reason}. Train the one that you build now.") from None


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


def _answers(network: nn.Module, images: Tensor, task: Task, seconds: float, device: str) -> dict[str, Tensor]:
    parts, done, start = [], 0, time.process_time()
    for batch in images.split(BATCH):
        shown = batch.to(device, copy=True)  # a network may write into it
        answers = task.answers(task.numbers(network(shown), batch), batch)
        parts.append({name: array.cpu() for name, array in answers.items()})  # [B, …]
        done, spent = done + len(batch), time.process_time() - start
        if spent > seconds and done < len(images):
            took = f"{done} of {len(images)} pictures took {spent:.0f} s of processor time, and all may take {seconds:.0f} s"
            raise Wrong("too slow", f"It is too slow: {took}. Most of the work is where the maps are large.")
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}  # [N, …]


def _advice(network: nn.Module, batch: Tensor, task: Task) -> str:
    """What still behaves as in training, as a sentence. It costs no points but those that its errors cost."""
    first, again = (task.numbers(network(batch.clone()), batch) for _ in range(2))  # [B, …]
    if not _close(first, again, first):
        return NOT_TWICE
    try:
        outputs = network(batch[:1].clone())
    except ValueError:  # batch normalisation refuses to take the mean of a single value
        return NOT_ALONE
    return "" if _close({name: part[:1] for name, part in first.items()}, task.numbers(outputs, batch[:1]), first) else NOT_ALONE


def _close(some: Mapping[str, Tensor], others: Mapping[str, Tensor], scale: Mapping[str, Tensor]) -> bool:
    """Whether two answers are the same to a hundredth of the largest number."""
    return all(torch.allclose(part, others[name], rtol=0, atol=1e-2 * float(scale[name].abs().max())) for name, part in some.items())
