"""Turns the steps of an operation (`course.ops.*_steps`) into the steps of a Trace.

The operation says what it read, chose and wrote; here that becomes marks on panels, so that an animation adds only its
panels, its first and its last sentence.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import replace

from course.ops.step import Step
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
    boxes: dict = {}
    for step in steps:
        for panel, roles in step.marks.items():
            marks.setdefault(panel, {}).update(roles)
        for panel, changes in step.boxes.items():
            boxes.setdefault(panel, {}).update(changes)
    return TraceStep(
        caption,
        marks=marks,
        writes={panel: cells for step in steps for panel, cells in step.writes.items()},
        keep={panel: cells for step in steps for panel, cells in step.keep.items()},
        arithmetic=arithmetic,
        terms={panel: cells for step in steps for panel, cells in step.terms.items()},
        shows={film: frame for step in steps for film, frame in step.shows.items()},
        boxes=boxes,
    )


def with_zeros(steps: list[TraceStep], panel: str, shape, sentence: str) -> list[TraceStep]:
    """The same steps, and where they leave cells of `panel` unwritten one more, `sentence`, that shows the 0 they started from."""
    written = {cell for step in steps for cell in step.writes.get(panel, {})}
    left = [cell for cell in itertools.product(*map(range, shape)) if cell not in written]
    if not left:
        return steps
    return [*steps, TraceStep(sentence, marks={panel: {"write": left}}, writes={panel: dict.fromkeys(left, 0.0)})]


def without_idle_switches(steps: list[TraceStep], panel: str) -> list[TraceStep]:
    """The same steps, in which a switch whose value in `panel` is 0 does not stay lit: in a map after a ReLU there are
    hundreds, all ties, and carrying 0 they change nothing."""
    return [replace(step, keep={}) if not any(step.writes.get(panel, {}).values()) else step for step in steps]


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
