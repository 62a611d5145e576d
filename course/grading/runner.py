"""What runs beside a student's code, in the process that belongs to it: execute the notebook's cells, call one function, send its answers.

Nothing here decides anything, and the student's code may change all of it: a lie in a message is worth what a wrong answer is worth.
"""

from __future__ import annotations

import socket
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from course.exercises.exercise import Case
from course.exercises.lessons import all_trainings
from course.exercises.predicting import predict
from course.exercises.running import Outcome, run
from course.exercises.task import Task
from course.grading import cells, channel
from course.grading.arrays import from_npz, to_npz, unpack_inputs

SAID = 2000  # characters of a sentence that are sent


def answer(grader: socket.socket) -> None:
    """Serve one order from the grader: the cells, then, when they have run, the cases of one exercise.

    The inputs are asked for as late as that, so that code in a cell can't have seen them.
    """
    order, files = channel.receive(grader)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    namespace = _new_main()
    _write_files(order["files"], files)
    _silence_checks()
    _run_cells(grader, order, namespace)
    function = namespace.get(order["question"])
    imported = callable(function) and str(getattr(function, "__module__", "")).startswith("course.")
    found = callable(function) and not imported
    channel.send(grader, {"found": found, "imported": imported})
    if not found:
        return
    given, inputs = channel.receive(grader)
    if given["kind"] == "training":
        _answer_about_pictures(grader, function, all_trainings()[order["question"]].task, given, inputs)
    else:
        _answer_cases(grader, function, given, inputs)
    channel.send(grader, {"done": True})


def _new_main() -> dict:
    """The namespace of a fresh `__main__`: dataclasses, pickles and the like look their module up by its name."""
    main = types.ModuleType("__main__")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as in a notebook: modules that a cell has written are beside it
    main.__dict__.update(cells.notebook_builtins())
    sys.modules["__main__"] = main
    return main.__dict__


def _write_files(sizes: dict[str, int], content: bytes) -> None:
    """The checkpoints, where the notebook expects them."""
    start = 0
    for name, size in sizes.items():
        Path(name).write_bytes(content[start : start + size])
        start += size


class _Unchecked:
    """What `check` and `submit` give here: they have nothing to say, and cells that use what they say go on."""

    passed, inputs = True, {}

    def __repr__(self) -> str:
        return "not checked while grading"


def _silence_checks() -> None:
    """A notebook's own calls of `check` cost nothing here."""
    import course
    import course.exercises

    for module, names in ((course, ("check", "submit")), (course.exercises, ("check",))):
        for name in names:
            setattr(module, name, lambda *_, **__: _Unchecked())


def _run_cells(grader: socket.socket, order: dict, namespace: dict) -> None:
    parsed, broken = cells.statements(order["cells"])
    leave_out = set(order["leave_out"])
    if order["slim"]:
        leave_out |= set(range(len(parsed))) - cells.needed(parsed, order["question"])
    channel.send(grader, {"broken": [sentence[:SAID] for sentence in broken[:100]]})

    def started(index: int) -> None:
        channel.send(grader, {"statement": index})

    def ended(index: int, seconds: float, error: BaseException | None) -> None:
        if error is not None:
            first = parsed[index].source.strip().splitlines()[0][:60]
            said = f"{first!r} in cell {parsed[index].cell + 1}: {type(error).__name__}: {_words_of(error)}"[:SAID]
            channel.send(grader, {"failed": index, "sentence": said})

    cells.run(parsed, namespace, leave_out=leave_out, started=started, ended=ended)
    channel.send(grader, {"executed": True})


def _words_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # an exception of the student's own, whose words fail
        return ""


def _answer_cases(grader: socket.socket, function: Callable, given: dict, content: bytes) -> None:
    start = 0
    for place, size in enumerate(given["sizes"]):
        inputs = unpack_inputs(content[start : start + size])
        start += size
        channel.send(grader, {"calling": place})
        _send_outcome(grader, place, run(function, Case("", inputs), given["device"]))


def _answer_about_pictures(grader: socket.socket, build: Callable, task: Task, given: dict, content: bytes) -> None:
    images = from_npz(content, max_bytes=len(content) + 1, max_arrays=1)["images"]  # [N, 3, H, W]
    channel.send(grader, {"calling": 0})
    outcome = predict(build, given["checkpoint"], images, task, seconds=given["seconds"], device=given["device"])
    _send_outcome(grader, 0, outcome)


def _send_outcome(grader: socket.socket, place: int, outcome: Outcome) -> None:
    try:
        arrays = to_npz(outcome.arrays)
    except (TypeError, ValueError) as error:  # a key of a dict that can be no name, or a dtype that only torch knows
        outcome, arrays = Outcome("unusable", sentence=f"It returned something that can't be taken along: {error}."), to_npz({})
    channel.send(grader, {"case": place, "kind": outcome.kind, "sentence": outcome.sentence[:SAID]}, arrays)
