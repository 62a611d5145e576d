"""Turns the steps of an operation (`course.ops.*_steps`) into the steps of a Trace.

The operation says what it read, chose and wrote; here that becomes marks on panels, so that an animation adds only its
panels, its first and its last sentence.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from course.ops.step import Step, number, place
from segwidgets.inputs import as_tensor
from segwidgets.trace import TraceStep


def trace_steps(steps: Iterable[Step], panels: Mapping[str, str], *, keep: Mapping[str, str] | None = None) -> list[TraceStep]:
    """The steps of one plane as steps of a trace.

    Args:
        steps: from `course.ops`; of their indices only (row, column) is used.
        panels: tensor name → panel id. Tensors without a panel are left out.
        keep: tensor name → panel id, for tensors whose chosen cells stay lit.
    """
    return [_trace_step(step, panels, keep or {}) for step in steps]


def merged(*steps: TraceStep, caption: str, arithmetic: str = "") -> TraceStep:
    """Several steps shown at once, with one caption."""
    marks: dict = {}
    for step in steps:
        for panel, roles in step.marks.items():
            marks.setdefault(panel, {}).update(roles)
    return TraceStep(
        caption,
        marks=marks,
        writes={panel: cells for step in steps for panel, cells in step.writes.items()},
        keep={panel: cells for step in steps for panel, cells in step.keep.items()},
        arithmetic=arithmetic,
        terms={panel: cells for step in steps for panel, cells in step.terms.items()},
    )


def with_zeros(steps: list[TraceStep], panel: str, shape, sentence: str) -> list[TraceStep]:
    """The same steps, and where they leave cells of `panel` unwritten one more, `sentence`, that shows the 0 they started from."""
    written = {cell for step in steps for cell in step.writes.get(panel, {})}
    left = [cell for cell in itertools.product(*map(range, shape)) if cell not in written]
    if not left:
        return steps
    return [*steps, TraceStep(sentence, marks={panel: {"write": left}}, writes={panel: dict.fromkeys(left, 0.0)})]


def with_students(steps: list[TraceStep], panel: str, students: str, expected: Tensor, got: Tensor) -> list[TraceStep]:
    """The same steps with the student's numbers beside ours: panel `students` fills as `panel` does, wrong cells are marked.

    A cell that is written several times shows the student's value when ours is final, since only then can they be compared.
    """
    wrong = ~torch.isclose(got, expected, rtol=1e-4, atol=1e-5, equal_nan=True)
    last = {cell: i for i, step in enumerate(steps) for cell in step.writes.get(panel, {})}
    shown = []
    for i, step in enumerate(steps):
        cells = [cell for cell in step.writes.get(panel, {}) if last[cell] == i]
        roles = {"write": [c for c in cells if not wrong[c]], "wrong": [c for c in cells if wrong[c]]}
        caption = step.caption
        if roles["wrong"]:
            cell = roles["wrong"][0]
            caption += f" Yours has [{number(got[cell])}|wrong] at {place(cell)}, where [{number(expected[cell])}|write] belongs."
        shown.append(
            TraceStep(
                caption,
                marks={**step.marks, students: roles},
                writes={**step.writes, students: {cell: float(got[cell]) for cell in cells}},
                keep=step.keep,
                arithmetic=step.arithmetic,
                terms=step.terms,
            )
        )
    return shown


def verdict(expected: Tensor, got: Tensor) -> str:
    """The last sentence of a comparison."""
    wrong = (~torch.isclose(got, expected, rtol=1e-4, atol=1e-5, equal_nan=True)).nonzero().tolist()
    if not wrong:
        return "Yours is the same in every cell."
    cell = tuple(wrong[0])
    return (
        f"Yours differs in {len(wrong)} of {expected.numel()} cells, first at {place(cell)}: "
        f"[{number(got[cell])}|wrong] instead of [{number(expected[cell])}|write]."
    )


def without_idle_switches(steps: list[TraceStep], panel: str) -> list[TraceStep]:
    """The same steps, in which a switch whose value in `panel` is 0 does not stay lit: in a map after a ReLU there are
    hundreds, all ties, and carrying 0 they change nothing."""
    return [replace(step, keep={}) if not any(step.writes.get(panel, {}).values()) else step for step in steps]


def students_output(fn, expected: Tensor, *args, **kwargs) -> Tensor:
    """What the student's `fn` returns for these arguments: the first tensor, as a plane of the shape of `expected`.

    Raises:
        ValueError: `fn` fails, returns no tensor, the wrong shape, or values that aren't finite.
    """
    name = getattr(fn, "__name__", "your function")
    args = [arg.clone() if isinstance(arg, Tensor) else arg for arg in args]  # theirs may write into what it gets
    try:
        got = fn(*args, **kwargs)
    except Exception as error:
        raise ValueError(f"{name} raised {type(error).__name__}: {error}") from error
    got = got[0] if isinstance(got, tuple) and got else got
    if not isinstance(got, Tensor):
        raise ValueError(f"{name} returned {type(got).__name__}, and a tensor of shape {list(expected.shape)} was expected")
    if got.shape != expected.shape:
        raise ValueError(f"{name} returned the shape {list(got.shape)}, and {list(expected.shape)} was expected")
    got = as_tensor(got, name=f"what {name} returned")
    if not torch.isfinite(got).all():
        raise ValueError(f"{name} returned NaN or infinite values; only finite numbers can be shown")
    return got


def _trace_step(step: Step, panels: Mapping[str, str], keep: Mapping[str, str]) -> TraceStep:
    marks: dict[str, dict[str, list]] = {}
    for role, cells in (("read", step.reads), ("write", step.writes), ("chosen", step.chosen)):
        for tensor, indices in cells.items():
            if tensor in panels:
                marks.setdefault(panels[tensor], {})[role] = [index[-2:] for index in indices]
    writes = {
        panels[tensor]: {index[-2:]: float(value) for index, value in cells.items()}
        for tensor, cells in step.writes.items()
        if tensor in panels
    }
    return TraceStep(
        step.sentence,
        marks=marks,
        writes=writes,
        keep={panel: [index[-2:] for index in step.chosen.get(tensor, ())] for tensor, panel in keep.items()},
        arithmetic=step.arithmetic,
        terms={panels["output"]: {index[-2:]: term for index, term in step.terms.items()}} if step.terms else {},
    )
