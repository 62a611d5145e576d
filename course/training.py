"""One plain training loop, for every model of the course.

Differs from torchvision's `references`: one file, one loop; no distributed training.
Mixed precision: P. Micikevicius et al., 2017, arXiv:1710.03740, section 3: half precision for the products, single precision for the
weights (3.1), the loss scaled up so that small gradients do not vanish (3.2).
"""

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Dataset, default_collate

from course.checkpoint import Checkpoint, Run, fingerprint
from course.history import History
from course.interrupts import interrupt_afterwards
from course.progress import watched

Losses = Tensor | Mapping[str, Tensor]

__all__ = ["History", "fit", "pick_device", "to_device"]


def fit(
    model: nn.Module,
    data: Dataset | Iterable,
    *,
    loss: Callable[[object, object], Losses] | None = None,
    batch_loss: Callable[[object, object], Losses] | None = None,
    epochs: int,
    batch_size: int = 32,
    collate: Callable[[list], object] | None = None,
    optimiser: torch.optim.Optimizer | None = None,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    progress: bool | None = None,
    mixed_precision: bool | None = None,
    checkpoint: str | os.PathLike | None = None,
    on_epoch: Callable[[nn.Module, History], object] | None = None,
) -> History:
    """Train `model` in place.

    Args:
        model: called with a batch of inputs. It is moved to `device`, left there, and left in evaluation mode.
        data: a Dataset of (input, target), shuffled anew each epoch, or any iterable of ready batches (inputs, targets).
        loss: (model's output, targets) → a scalar, or a dict of scalars whose sum is minimised and which are recorded by name.
        batch_loss: (inputs, targets) → the same, in place of `loss`, for a model that computes its losses itself: a detector looks at
            the targets to choose the regions that it learns from. `fit(detector, data, batch_loss=detector.losses, …)`.
        epochs: how often all the data are seen.
        collate: a list of a Dataset's items → (inputs, targets); by default they are stacked, which needs items of equal shapes. Pictures
            of different sizes, or with different numbers of objects, go as lists: `course.data.shapes.collate`.
        optimiser: of the model's parameters; by default Adam with a learning rate of 0.005. Its learning rate is the peak of one
            cycle: it rises over the first 30 % of the steps and then falls to nothing (L. Smith and N. Topin, 2017,
            arXiv:1708.07120), so that a short training ends settled. Afterwards it is what it was.
        validate: called with the model in evaluation mode, without gradients, after each epoch; gives {name: number} to record.
        device: "auto" (CUDA, then MPS, then CPU), or a torch device.
        seed: of the shuffling and of whatever draws in the model (dropout). The caller's random state stays as it was.
        progress: show a bar or not; by default only if somebody is watching (a terminal, a notebook that a person runs).
        mixed_precision: half precision where it is safe; needs CUDA. By default there and nowhere else.
        checkpoint: a file to keep the run in, written after each epoch and at Ctrl-C. When it is there, the training goes on from it and
            ends with the weights that it would have had without a break (bit for bit on the CPU). A run that is finished is only loaded.
        on_epoch: called with the model, as `validate` is, and the history after each epoch, to show how it comes along. When it
            fails, that is warned of, and the training goes on.

    Returns: the History. Ctrl-C, or the stop button, ends the training after the step under way and returns the history so far; the
        model keeps what it has learnt. A second Ctrl-C does not wait for the step's end.

    Raises: ValueError if there are no data, items cannot be stacked, a loss is no longer a number, mixed precision is asked for without
        CUDA, or the checkpoint is of another run; TypeError for data or losses of another kind; FileNotFoundError if the checkpoint's
        folder does not exist; MemoryError if the GPU's memory is full.
    """
    from tqdm.auto import tqdm

    losses = _losses(model, loss, batch_loss)
    device = pick_device(device)
    mixed = _mixed_precision(mixed_precision, device)
    model.to(device)
    optimiser = optimiser or torch.optim.Adam(model.parameters(), lr=5e-3)
    batches = _batches(data, batch_size, seed, collate)
    file = Checkpoint(checkpoint, _fingerprint(model, optimiser, data, batch_size, epochs=epochs, seed=seed))
    # fork_rng: training draws from `seed`, and afterwards the caller's random numbers go on as if nothing had happened.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), _peaks_kept(optimiser) as peaks:
        torch.manual_seed(seed)
        schedule = OneCycleLR(optimiser, peaks, total_steps=max(1, epochs * len(batches)), cycle_momentum=False)
        run = Run(model, optimiser, schedule, torch.amp.GradScaler("cuda", enabled=mixed), batches, device)
        run.mark()
        if file.resume(run):
            print(_resumed(run, file, epochs))
        bar = tqdm(total=epochs * len(batches), initial=run.done(), unit="step", disable=not (watched() if progress is None else progress))
        try:
            with bar:
                while run.epoch < epochs:
                    bar.set_description(f"epoch {run.epoch + 1}/{epochs}", refresh=False)
                    model.train()
                    for inputs, targets in run.batches_to_come():
                        with interrupt_afterwards():
                            _step(run, to_device(inputs, device), to_device(targets, device), losses)
                        bar.set_postfix(_latest(run.history), refresh=False)
                        bar.update()
                    _end_epoch(run, validate)
                    bar.set_postfix(_latest(run.history))
                    _show(run, on_epoch)
                    file.write(run)
        except KeyboardInterrupt:
            run.history.interrupted = True
            print(_stopped(run, file, epochs))
        except torch.cuda.OutOfMemoryError as error:  # its traceback would keep the step's tensors on the GPU
            raise MemoryError(_out_of_memory(run, file)) from error.with_traceback(None)
    model.eval()
    run.count_seconds()
    return run.history


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


def _mixed_precision(wanted: bool | None, device: torch.device) -> bool:
    if wanted and device.type != "cuda":
        raise ValueError(f"mixed_precision=True needs a CUDA device, and this training runs on {device}; None switches it on where it can.")
    return device.type == "cuda" if wanted is None else bool(wanted)


def _losses(model: nn.Module, loss: Callable | None, batch_loss: Callable | None) -> Callable[[object, object], Losses]:
    """(inputs, targets) → what is minimised."""
    if (loss is None) == (batch_loss is None):
        raise TypeError(
            "fit takes one of loss=, of the model's output and the targets, and batch_loss=, of the inputs and the targets, "
            f"and got {'neither' if loss is None else 'both'}."
        )
    return batch_loss or (lambda inputs, targets: loss(model(inputs), targets))


def _batches(data, batch_size: int, seed: int, collate: Callable | None) -> Iterable:
    if isinstance(data, Dataset):
        order = torch.Generator().manual_seed(seed)
        batches = DataLoader(data, batch_size, shuffle=len(data) > 0, generator=order, collate_fn=collate or _stack)
    elif collate is not None:
        raise TypeError(f"collate= makes batches of a Dataset's items, and a {type(data).__name__} is taken to hold batches already.")
    elif hasattr(data, "__len__"):
        batches = data
    else:
        raise TypeError(f"fit trains on a Dataset or on a list of batches that it can go through again, not on a {type(data).__name__}.")
    if len(batches) == 0:
        raise ValueError("There is nothing to train on: the data are empty.")
    return batches


def _stack(items: list):
    try:
        return default_collate(items)
    except (RuntimeError, TypeError, KeyError) as error:
        raise ValueError(
            f"The items of a batch cannot be stacked ({error}): give collate=, such as course.data.shapes.collate, which makes lists."
        ) from error


def _fingerprint(model: nn.Module, optimiser, data, batch_size: int, **numbers: int) -> dict:
    if isinstance(data, Dataset):
        numbers |= {"batch size": batch_size, "number of data": len(data)}
    else:
        numbers |= {"number of batches": len(data)}
    return fingerprint(model, optimiser, **numbers)


@contextlib.contextmanager
def _peaks_kept(optimiser: torch.optim.Optimizer) -> Iterator[list[float]]:
    """The learning rates, which are as they were afterwards: called again with this optimiser, `fit` has the same peaks."""
    peaks = [group["lr"] for group in optimiser.param_groups]
    try:
        yield peaks
    finally:
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak


def _step(run: Run, inputs, targets, losses_of: Callable) -> None:
    run.whole = False
    with torch.autocast("cuda", torch.float16) if run.scaler.is_enabled() else contextlib.nullcontext():
        losses = losses_of(inputs, targets)
    losses = {"loss": losses} if isinstance(losses, Tensor) else losses
    values = {name: part.item() for name, part in losses.items()}
    for name, value in values.items():
        if not math.isfinite(value):  # before the update, so that the weights are still the last good ones
            raise ValueError(
                f"The {name} became {value} at step {run.history.count() + 1}: try a smaller learning rate, or look for NaN in the data."
            )
    run.optimiser.zero_grad()
    scale = run.scaler.get_scale()  # 1 without mixed precision; `step` is the optimiser's own then
    run.scaler.scale(sum(losses.values())).backward()
    run.scaler.step(run.optimiser)
    run.scaler.update()
    if run.scaler.get_scale() >= scale:  # it falls when the scaled gradients overflowed, and then there was no update
        run.schedule.step()
    for name, value in values.items():
        run.history.steps.setdefault(name, []).append(value)
    run.step += 1
    run.mark()


def _end_epoch(run: Run, validate: Callable | None) -> None:
    means = {name: sum(values[-run.step :]) / run.step for name, values in run.history.steps.items()}
    run.model.eval()
    with torch.no_grad():
        scores = validate(run.model) if validate else {}
    with interrupt_afterwards():
        for name, value in (means | dict(scores)).items():
            run.history.epochs.setdefault(name, []).append(float(value))
        run.epoch, run.step = run.epoch + 1, 0
        run.mark()


def _show(run: Run, on_epoch: Callable | None) -> None:
    """A picture of the training is not worth losing the training for, nor is a broken one worth hiding."""
    if on_epoch is None:
        return
    try:
        with torch.no_grad():
            on_epoch(run.model, run.history)
    except Exception as error:
        warnings.warn(f"on_epoch failed with {type(error).__name__}: {error}; the training goes on.", stacklevel=3)
    run.mark()  # it may have drawn random numbers


def _latest(history: History) -> dict[str, str]:
    return {name: f"{values[-1]:.3f}" for name, values in (history.epochs | history.steps).items()}


def _resumed(run: Run, file: Checkpoint, epochs: int) -> str:
    if run.epoch >= epochs:
        return f"{file.path} holds the finished run of {epochs} epochs: it is loaded, and nothing is left to train."
    return f"The training goes on from {file.path}, after {run.done()} of {epochs * len(run.batches)} steps."


def _stopped(run: Run, file: Checkpoint, epochs: int) -> str:
    said = f"Stopped after {run.done()} of {epochs * len(run.batches)} steps; the model keeps what it has learnt so far."
    if file.write(run):
        return f"{said} The same call goes on from {file.path}."
    return f"{said} {_as_it_was(file)}".strip()


def _out_of_memory(run: Run, file: Checkpoint) -> str:
    said = f"The GPU's memory is full at step {run.done() + 1}: lower batch_size, or make the pictures or the model smaller."
    return f"{said} {_as_it_was(file)}".strip()


def _as_it_was(file: Checkpoint) -> str:
    there = file.path is not None and file.path.exists()
    return f"{file.path} stays as it was last written." if there else ""
