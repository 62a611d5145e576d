"""A training that can be cut off: all that it needs to go on stands in one file, and going on gives what not stopping would have given.

A checkpoint is written by `torch.save` and read with `weights_only=True`, so that reading one runs no code of whoever made it.
"""

import io
import os
import random
import time
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from course.atomic import write_atomically
from course.history import History

FORMAT = "segcourse training 1"
ZIP = b"PK"  # how every file begins that torch.save writes


@dataclass
class Run:
    """A training under way: all that changes from one step to the next.

    `epoch`, `step`: how many epochs are done, and how many steps of the one that follows. `draws`: the states of the random generators
    after the last step; `epoch_draws`: those before this epoch's first, from which the order of its data is drawn. `whole`: False in the
    middle of a step, when weights and counts don't belong together. `clock`: until when `history.seconds` has counted.
    """

    model: nn.Module
    optimiser: Optimizer
    schedule: LRScheduler
    scaler: GradScaler
    batches: Iterable
    device: torch.device
    history: History = field(default_factory=History)
    epoch: int = 0
    step: int = 0
    draws: dict = field(default_factory=dict)
    epoch_draws: dict = field(default_factory=dict)
    whole: bool = True
    clock: float = field(default_factory=time.perf_counter)

    def mark(self) -> None:
        """This is a moment to go on from."""
        self.draws = random_states(self.device, self.order)
        if self.step == 0:
            self.epoch_draws = self.draws
        self.whole = True
        self.count_seconds()

    def count_seconds(self) -> None:
        now = time.perf_counter()
        self.history.seconds += now - self.clock
        self.clock = now

    def done(self) -> int:
        """Steps done, of all epochs."""
        return self.epoch * len(self.batches) + self.step

    @property
    def order(self) -> torch.Generator | None:
        """The generator that shuffles the data, when they have one of their own, as those of a DataLoader may."""
        return getattr(self.batches, "generator", None)

    def batches_to_come(self) -> Iterator:
        """The batches of this epoch that were not seen yet, in the order drawn at the epoch's start."""
        remaining = iter(self.batches)
        for _ in range(self.step):  # only after a break within the epoch
            next(remaining)
        if self.step:
            set_random_states(self.draws, self.device, self.order)
        yield from remaining

    def state_dict(self) -> dict:
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": {"steps": self.history.steps, "epochs": self.history.epochs, "seconds": self.history.seconds},
            "epoch": self.epoch,
            "step": self.step,
            "draws": self.draws,
            "epoch_draws": self.epoch_draws,
        }

    def load_state_dict(self, state: dict) -> None:
        """Be the run that `state` is of, with the random generators as they were before its epoch."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.scaler.is_enabled() and state["scaler"]:  # it is empty where the run had no mixed precision so far
            self.scaler.load_state_dict(state["scaler"])
        self.history = History(**state["history"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.draws, self.epoch_draws = state["draws"], state["epoch_draws"]
        set_random_states(self.epoch_draws, self.device, self.order)


class Checkpoint:
    """The file of a run.

    Args:
        path: where it is; None for a run that is not kept.
        fingerprint: {what tells this run from others: its value}. Numbers and words, or {parameter: shape}.

    Raises: ValueError if the path is a folder, FileNotFoundError if it is in none: that is better known before the first epoch than after.
    """

    def __init__(self, path: str | os.PathLike | None, fingerprint: dict):
        self.path = None if path is None else Path(path)
        self.fingerprint = fingerprint
        if self.path is not None and self.path.is_dir():
            raise ValueError(f"A checkpoint is a file, and {self.path} is a folder: give checkpoint= the name of a file in it.")
        if self.path is not None and not self.path.parent.is_dir():
            raise FileNotFoundError(f"The checkpoint {self.path} cannot be written: there is no folder {self.path.parent}.")

    def resume(self, run: Run) -> bool:
        """Make `run` the one in the file, if there is one; whether there was.

        A file that was cut off or damaged is renamed, and said so: the training starts anew and overwrites nothing.

        Raises: ValueError when the file holds another run, or is no checkpoint at all. Run and file stay as they are.
        """
        if self.path is None or not self.path.exists():
            return False
        content = self.path.read_bytes()
        if not _is_intact(content):
            if content and not content.startswith(ZIP):
                raise ValueError(f"{self.path} is not a checkpoint of fit: give checkpoint= another name.")
            print(f"{self.path} is damaged and cannot be read: it is kept as {self._set_aside().name}, and the training starts anew.")
            return False
        saved = _read(content)
        if saved is None:
            raise ValueError(f"{self.path} is not a checkpoint of fit: give checkpoint= another name.")
        differences = list(_differences(saved["fingerprint"], self.fingerprint))
        if differences:
            raise ValueError(
                f"{self.path} is the checkpoint of another run ({'; '.join(differences)}): "
                "give checkpoint= another name for this run, or call fit as then to go on with that one."
            )
        run.load_state_dict(saved["run"])
        return True

    def write(self, run: Run) -> bool:
        """Write the file, whole or not at all; whether it was written. A full disc is warned of, and stops no training."""
        if self.path is None or not run.whole:
            return False
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "fingerprint": self.fingerprint, "run": run.state_dict()}, buffer)
        try:
            if _read(buffer.getvalue()) is None:  # an optimiser of one's own may keep objects that weights_only refuses to read
                raise OSError("the optimiser's state holds more than tensors, numbers and words")
            write_atomically(self.path, buffer.getvalue())
        except OSError as error:
            reason = error.strerror or error
            warnings.warn(f"The checkpoint {self.path} could not be written ({reason}); the training goes on without it.", stacklevel=3)
            return False
        return True

    def _set_aside(self) -> Path:
        name, count = f"{self.path.name}.damaged", 1
        while (aside := self.path.with_name(name)).exists():
            count += 1
            name = f"{self.path.name}.damaged-{count}"
        return self.path.rename(aside)


def fingerprint(model: nn.Module, optimiser: Optimizer, **numbers: int | None) -> dict:
    """What tells one run from another: the numbers given, the optimiser with its learning rates, and the shapes of all parameters."""
    rates = ", ".join(f"{float(group['lr']):g}" for group in optimiser.param_groups)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    return numbers | {"optimiser": f"{type(optimiser).__name__} with learning rate {rates}", "parameters": shapes}


def random_states(device: torch.device, order: torch.Generator | None) -> dict:
    """The states of all generators that a training may draw from, in types that weights_only reads."""
    kind, keys, *rest = np.random.get_state()
    states = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(keys.astype(np.int64)), *rest),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if order is not None:
        states["order"] = order.get_state()
    return states


def set_random_states(states: dict, device: torch.device, order: torch.Generator | None) -> None:
    """Undo every draw since `random_states`. A state that was not kept, of a GPU that was not there, is left as it is."""
    kind, keys, *rest = states["numpy"]
    torch.set_rng_state(states["torch"])
    random.setstate(states["python"])
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
    if order is not None and "order" in states:
        order.set_state(states["order"])


def _is_intact(content: bytes) -> bool:
    """Whether it is a whole zip file, as torch.save writes them, and every part's checksum is right."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            return file.testzip() is None
    except zipfile.BadZipFile:
        return False


def _read(content: bytes) -> dict | None:
    """What `write` wrote; None if this is something else."""
    try:
        saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception:  # torch has an error of its own for each way in which a file is not one of its files
        return None
    return saved if isinstance(saved, dict) and saved.get("format") == FORMAT else None


def _differences(there: dict, here: dict):
    for what in here | there:
        mine, other = here.get(what, "missing"), there.get(what, "missing")
        if what == "parameters":
            yield from _other_shapes(other, mine)
        elif mine != other:
            yield f"{what} {other} there, {mine} here"


def _other_shapes(there: dict, here: dict):
    names = [name for name in here | there if here.get(name) != there.get(name)]
    if names:
        first, more = names[0], f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{first}{more}: {there.get(first, 'missing')} there, {here.get(first, 'missing')} here"
