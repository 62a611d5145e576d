"""One plain training loop, for every model of the course.

Differs from torchvision's `references`: one file, one loop; no distributed training.
"""

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset

Losses = Tensor | Mapping[str, Tensor]


@dataclass
class History:
    """What happened during `fit`.

    `steps`: {name of the loss: one value a step}. `epochs`: {name: one value an epoch}, the mean of each loss and what `validate`
    gave. `seconds`: of training, validation included. `interrupted`: whether it was stopped before its end.
    """

    steps: dict[str, list[float]] = field(default_factory=dict)
    epochs: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    interrupted: bool = False

    def count(self) -> int:
        """Steps done so far."""
        return max(map(len, self.steps.values()), default=0)

    def __repr__(self) -> str:  # without times and values, which differ from one machine to the next
        epochs = max(map(len, self.epochs.values()), default=0)
        return f"History({epochs} epochs, {self.count()} steps{', interrupted' if self.interrupted else ''})"


def fit(
    model: nn.Module,
    data: Dataset | Iterable,
    *,
    loss: Callable[[object, object], Losses],
    epochs: int,
    batch_size: int = 32,
    optimiser: torch.optim.Optimizer | None = None,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool | None = None,
) -> History:
    """Train `model` in place.

    Args:
        model: called with a batch of inputs. It is moved to `device`, left there, and left in evaluation mode.
        data: a Dataset of (input, target), shuffled anew each epoch, or any iterable of ready batches (inputs, targets).
        loss: (model's output, targets) → a scalar, or a dict of scalars whose sum is minimised and which are recorded by name.
        epochs: how often all the data are seen.
        optimiser: of the model's parameters; by default Adam with a learning rate of 0.005. Its learning rate is the peak of one
            cycle: it rises over the first 30 % of the steps and then falls to nothing (L. Smith and N. Topin, 2017,
            arXiv:1708.07120), so that a short training ends settled.
        validate: called with the model in evaluation mode, without gradients, after each epoch; gives {name: number} to record.
        device: "auto" (CUDA, then MPS, then CPU), or a torch device.
        seed: of the shuffling and of whatever draws in the model (dropout). The caller's random state stays as it was.
        progress: show a bar or not; by default only if somebody is watching (a terminal, a notebook that a person runs).

    Returns: the History. Ctrl-C, or the stop button, ends the training and returns the history so far; the model keeps what it has learnt.

    Raises: ValueError if there are no data or the loss is no longer a number.
    """
    from tqdm.auto import tqdm

    device = pick_device(device)
    model.to(device)
    optimiser = optimiser or torch.optim.Adam(model.parameters(), lr=5e-3)
    batches = _batches(data, batch_size, seed)
    peaks = [group["lr"] for group in optimiser.param_groups]
    schedule = OneCycleLR(optimiser, peaks, total_steps=max(1, epochs * len(batches)), cycle_momentum=False)
    history, start = History(), time.perf_counter()
    bar = tqdm(total=epochs * len(batches), unit="step", disable=not (_watched() if progress is None else progress))
    # fork_rng: training draws from `seed`, and afterwards the caller's random numbers go on as if nothing had happened.
    with bar, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            for _ in range(epochs):
                model.train()
                for inputs, targets in batches:
                    _step(model, to_device(inputs, device), to_device(targets, device), loss, optimiser, history)
                    schedule.step()
                    bar.set_postfix(_latest(history), refresh=False)
                    bar.update()
                _end_epoch(model, validate, history, len(batches))
                bar.set_postfix(_latest(history))
        except KeyboardInterrupt:
            history.interrupted = True
    if history.interrupted:
        print(f"Stopped after {history.count()} of {epochs * len(batches)} steps; the model keeps what it has learnt so far.")
    model.eval()
    history.seconds = time.perf_counter() - start
    return history


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """CUDA if there is one, else MPS (Apple), else the CPU; anything but "auto" is taken as torch takes it."""
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def to_device(batch, device: torch.device):
    """A tensor, or a list, tuple or dict of them (detection targets), moved to `device`."""
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {name: to_device(value, device) for name, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def _batches(data, batch_size: int, seed: int) -> Iterable:
    if isinstance(data, Dataset):
        batches = DataLoader(data, batch_size, shuffle=len(data) > 0, generator=torch.Generator().manual_seed(seed))
    elif hasattr(data, "__len__"):
        batches = data
    else:
        raise TypeError(f"fit trains on a Dataset or on a list of batches that it can go through again, not on a {type(data).__name__}.")
    if len(batches) == 0:
        raise ValueError("There is nothing to train on: the data are empty.")
    return batches


def _step(model: nn.Module, inputs, targets, loss: Callable, optimiser: torch.optim.Optimizer, history: History) -> None:
    losses = loss(model(inputs), targets)
    losses = {"loss": losses} if isinstance(losses, Tensor) else losses
    values = {name: part.item() for name, part in losses.items()}
    for name, value in values.items():
        if not math.isfinite(value):  # before the update, so that the weights are still the last good ones
            raise ValueError(
                f"The {name} became {value} at step {history.count() + 1}: try a smaller learning rate, or look for NaN in the data."
            )
    optimiser.zero_grad()
    sum(losses.values()).backward()
    optimiser.step()
    for name, value in values.items():
        history.steps.setdefault(name, []).append(value)


def _end_epoch(model: nn.Module, validate: Callable | None, history: History, steps: int) -> None:
    means = {name: sum(values[-steps:]) / steps for name, values in history.steps.items()}
    model.eval()
    with torch.no_grad():
        scores = validate(model) if validate else {}
    for name, value in (means | dict(scores)).items():
        history.epochs.setdefault(name, []).append(float(value))


def _latest(history: History) -> dict[str, str]:
    return {name: f"{values[-1]:.3f}" for name, values in (history.epochs | history.steps).items()}


def _watched() -> bool:
    """Whether somebody sees a progress bar: at a terminal, or in a notebook that can ask its reader for input.

    A notebook that is being built or tested cannot; there a bar would end up in the stored output and differ each time.
    """
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stderr.isatty()
