"""Recipes: how the course's own weights are trained, one module each. `segcourse train NAME` follows course/recipes/NAME.py.

There is nothing to register. A recipe is a module with a docstring, whose first line the command's help shows, and

    DATA: dict[str, Plan]                     the data sets it can be trained on, the usual one first
    build(data) -> nn.Module                  the untrained model; draws from torch's global generator
    train(model, data, *, epochs, seed, device, checkpoint, progress) -> History      calls course.training.fit
    score(model, data, *, device) -> float    how good it is, on fixed data that it was never trained on
    detector(model) -> nn.Module              only where `build` gives no more than what is learnt: the whole that answers
"""

import ast
import importlib
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Plan:
    """What a recipe does with one data set.

    Attributes:
        epochs: how many, unless the command is told otherwise.
        metric: what `score` measures, as a noun phrase: "mean IoU on 500 unseen pictures".
        trained_on: the data, in words.
        licence: of the weights, which follows from the data's.
        tolerance: how far the score of the same command may be off on another machine.
    """

    epochs: int
    metric: str
    trained_on: str
    licence: str
    tolerance: float = 0.02


def recipes() -> dict[str, str]:
    """Every recipe's name and the first line of its docstring. They are read, not imported: help needs no torch."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        source = Path(module.module_finder.path, f"{module.name}.py").read_text(encoding="utf-8")
        found[module.name] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    return found


def find_recipe(name: str) -> ModuleType:
    """The recipe of that name.

    Raises:
        ValueError: When there is none.
    """
    known = recipes()
    if name not in known:
        raise ValueError(f"no recipe is called {name!r}; the recipes are {', '.join(known) or 'none yet'}")
    return importlib.import_module(f"{__name__}.{name}")


def trained(name: str) -> "nn.Module":
    """The model with the weights that come with the course, in evaluation mode, on the CPU: `trained("yolo")([picture])`.

    Args:
        name: of the weights: a recipe's, or with the data that it was trained on, "faster_rcnn_bccd".

    Raises:
        ValueError: When there are no such weights.
    """
    from course.weights import load_weights  # here, because help needs no torch

    weights = load_weights(name)
    recipe_name = max((known for known in recipes() if name == known or name.startswith(f"{known}_")), key=len)
    recipe = find_recipe(recipe_name)
    model = recipe.build(name[len(recipe_name) + 1 :] or next(iter(recipe.DATA)))
    model.load_state_dict(weights)
    return (recipe.detector(model) if hasattr(recipe, "detector") else model).eval()
