"""A student's own function beside the course's: its numbers in a panel of their own, what differs marked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from course.ops.step import number, place
from segwidgets.inputs import as_tensor
from segwidgets.trace import TraceStep

PANEL = "yours"


def beside(
    fn: Callable, arguments: Mapping[str, object], expected: Tensor, steps: list[TraceStep], panel: str
) -> tuple[Tensor, list[TraceStep], TraceStep]:
    """Runs `fn` and shows its numbers in the panel "yours" as `panel` fills.

    A cell that is written several times shows the student's value when ours is final, since only then can they be compared.

    Args:
        fn: called with tensors `[1, 1, H, W]`, as the exercises' checks call it. It may have fewer arguments than `arguments`.
        arguments: by their names in `course.ops`, in order; planes `[H, W]`.
        expected: the right answer, `[H, W]`.

    Returns: the student's plane, the steps with the second panel, and the last step, which counts the differences.
    Raises: ValueError when `fn` fails or returns something else than a tensor of the expected shape.
    """
    got = _output(fn, arguments, expected)
    wrong = ~torch.isclose(got, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    last = {cell: i for i, step in enumerate(steps) for cell in step.writes.get(panel, {})}
    shown = [
        _with_theirs(step, [cell for cell in step.writes.get(panel, {}) if last[cell] == i], wrong, expected, got)
        for i, step in enumerate(steps)
    ]
    return got, shown, _verdict(wrong, expected, got)


def _with_theirs(step: TraceStep, cells: list, wrong: Tensor, expected: Tensor, got: Tensor) -> TraceStep:
    roles = {"write": [c for c in cells if not wrong[c]], "wrong": [c for c in cells if wrong[c]]}
    caption = step.caption
    if roles["wrong"]:
        cell = roles["wrong"][0]
        caption += f" Yours has [{number(got[cell])}|wrong] at {place(cell)}, where [{number(expected[cell])}|write] belongs."
    writes = {**step.writes, PANEL: {cell: float(got[cell]) for cell in cells}}
    return replace(step, caption=caption, marks={**step.marks, PANEL: roles}, writes=writes)


def _verdict(wrong: Tensor, expected: Tensor, got: Tensor) -> TraceStep:
    cells = [tuple(cell) for cell in wrong.nonzero().tolist()]
    if not cells:
        return TraceStep("Yours is the same in every cell.")
    first = cells[0]
    return TraceStep(
        f"Yours differs in {len(cells)} of {expected.numel()} cells, first at {place(first)}: "
        f"[{number(got[first])}|wrong] instead of [{number(expected[first])}|write].",
        marks={PANEL: {"wrong": cells}},
    )


def _output(fn: Callable, arguments: Mapping[str, object], expected: Tensor) -> Tensor:
    """What `fn` returns (of several things the first), as a plane of the shape of `expected`."""
    name = getattr(fn, "__name__", "your function")
    # Copies: theirs may write into what it gets.
    lifted = {key: arg.clone()[None, None] if isinstance(arg, Tensor) and arg.ndim == 2 else arg for key, arg in arguments.items()}
    got = called(fn, lifted, "planes [1, 1, H, W]")
    got = got[0] if isinstance(got, tuple) and got else got
    shape = [1, 1, *expected.shape]
    if not isinstance(got, Tensor):
        raise ValueError(f"{name} returned {type(got).__name__}, and a tensor of shape {shape} was expected")
    if list(got.shape) not in (shape, list(expected.shape)):
        raise ValueError(f"{name} returned the shape {list(got.shape)}, and {shape} was expected")
    got = as_tensor(got, name=f"what {name} returned").reshape(expected.shape)
    if not torch.isfinite(got).all():
        raise ValueError(f"{name} returned NaN or infinite values; only finite numbers can be shown")
    return got


def called(fn: Callable, arguments: Mapping[str, object], shapes: str):
    """What a student's function returns for as many of the arguments as it takes; `shapes` says in the error what they were.

    Raises: ValueError, one sentence, when it fails.
    """
    name = getattr(fn, "__name__", "your function")
    positional, named = _accepted(fn, dict(arguments))
    try:
        return fn(*positional, **named)
    except Exception as error:
        passed = ", ".join([*list(arguments)[: len(positional)], *named])
        raise ValueError(f"{name}({passed}), called with {shapes}, raised {type(error).__name__}: {error}") from error


def _accepted(fn: Callable, arguments: dict) -> tuple[list, dict]:
    """The arguments that `fn` can take: by name where it knows them all, else as many as it has room for, in order."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):  # a built-in without a signature
        return list(arguments.values()), {}
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return list(arguments.values()), {}
    names = [p.name for p in parameters]
    if all(p.name in arguments for p in parameters if p.default is p.empty):
        return [], {key: value for key, value in arguments.items() if key in names}
    return list(arguments.values())[: len(names)], {}
