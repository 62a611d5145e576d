"""`segcourse train NAME`: follow a recipe, measure what came of it, and write the weights."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from course.atomic import write_atomically
from course.errors import CourseError
from course.recipes import Plan, find_recipe
from course.training import pick_device
from course.weights import save_weights, tensors_as_bytes

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Order:
    """What was asked for. `data` and `epochs` are None where the recipe decides; `ship` is the folder of the course's own weights."""

    name: str
    data: str | None = None
    seed: int = 0
    epochs: int | None = None
    device: str = "auto"
    out: Path | None = None
    checkpoint: Path | None = None
    ship: Path | None = None


def follow(order: Order, say: Callable[[str], None]) -> bool:
    """Train, score and save; False when Ctrl-C ended the training, and then nothing is written but the checkpoint.

    Raises:
        CourseError: When the order cannot be carried out. What can be known before the training is said before it.
    """
    recipe, data = _find(order)
    plan, device = recipe.DATA[data], _device(order.device)
    epochs = plan.epochs if order.epochs is None else order.epochs
    name = order.name if data == next(iter(recipe.DATA)) else f"{order.name}_{data}"  # the first set is what a recipe is for
    path = None if order.ship else _writable(order.out or Path(f"{name}{SUFFIX}"))
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(order.seed)
            model = recipe.build(data)
        history = recipe.train(model, data, epochs=epochs, seed=order.seed, device=device, checkpoint=order.checkpoint, progress=None)
        if history.interrupted:
            say("No weights were written.")
            return False
        score = float(recipe.score(model, data, device=device))
        say(f"{plan.metric}: {score:.3f}")
        if path is None:
            command = ["segcourse", "train", order.name, "--data", data, "--epochs", str(epochs), "--seed", str(order.seed)]
            path = save_weights(
                name, model.state_dict(), order.ship, _facts(plan, score) | {"command": " ".join(command), "seed": order.seed}
            )
        else:
            write_atomically(path, tensors_as_bytes(model.state_dict()))
    except (ValueError, OSError, MemoryError) as error:
        raise CourseError(str(error)) from error
    say(f"The weights are in {path} ({path.stat().st_size / 1e6:.1f} MB).")
    return True


def _facts(plan: Plan, score: float) -> dict[str, str | float]:
    known = {"metric": plan.metric, "tolerance": plan.tolerance, "trained_on": plan.trained_on, "licence": plan.licence}
    return known | {"score": round(score, 4)}


def _find(order: Order) -> tuple[ModuleType, str]:
    try:
        recipe = find_recipe(order.name)
    except ValueError as error:
        raise CourseError(f"{error}.") from None
    data = next(iter(recipe.DATA)) if order.data is None else order.data
    if data not in recipe.DATA:
        raise CourseError(f"The recipe {order.name!r} has no data called {data!r}; it has {', '.join(recipe.DATA)}.")
    return recipe, data


def _device(name: str) -> torch.device:
    try:
        device = pick_device(name)
    except RuntimeError:
        raise CourseError(f"--device {name} is no device; accepted are auto, cpu, cuda, cuda:N and mps.") from None
    here = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    if device.type in here and not here[device.type]():
        raise CourseError(f"--device {name} was asked for, and torch finds none on this machine; auto takes what is there.")
    return device


def _writable(out: Path) -> Path:
    if out.suffix != SUFFIX:
        raise CourseError(f"--out {out} would hold safetensors: give it a name that ends in {SUFFIX}.")
    if not out.parent.is_dir() or out.is_dir():
        raise CourseError(f"--out {out} cannot be written: {'it is a folder' if out.is_dir() else f'there is no folder {out.parent}'}.")
    return out
