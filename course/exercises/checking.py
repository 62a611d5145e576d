"""`check(my_function)`: is it right, and if not, where does it differ first?"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from course.exercises.comparing import Difference, compare
from course.exercises.exercise import Case, Exercise, Mistake, TrainingExercise, Value
from course.exercises.lessons import find_exercise
from course.exercises.running import Outcome, on_device, one_thread, plain_arrays, run
from course.exercises.scoring import TrainingResult, examine_training


@dataclass(frozen=True)
class Failure:
    """The first case that is not right. `difference` is None when there was nothing to compare; then the outcome says why."""

    case: Case
    place: int
    device: str
    expected: Mapping[str, torch.Tensor]
    outcome: Outcome
    difference: Difference | None
    mistake: Mistake | None

    @property
    def sentence(self) -> str:
        return self.outcome.sentence or self.difference.sentence


@dataclass(frozen=True)
class CheckResult:
    """What `check` found. It shows itself in a notebook; printed, it says the same in text.

    `inputs` are the arguments of the case that failed (`{}` when none did), to try the function on:
    `max_unpool(**result.inputs)`.
    """

    exercise: Exercise
    cases: int
    devices: tuple[str, ...]
    failure: Failure | None = None

    @property
    def passed(self) -> bool:
        return self.failure is None

    @property
    def inputs(self) -> dict[str, Value]:
        if self.failure is None:
            return {}
        return {name: on_device(value, self.failure.device) for name, value in self.failure.case.inputs.items()}

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        from course.exercises.showing import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from course.exercises.showing import as_html

        return as_html(self)


def check(function: Callable, *, device: str = "cpu", seed: int = 0, checkpoint: str | Path | None = None) -> CheckResult | TrainingResult:
    """Run the exercise's cases on your function and show the first that is not right; or measure the network that you have trained.

    Args:
        function: Your function. The exercise is found by its name.
        device: `"cpu"`; `"cuda"` or `"mps"` to run the cases there too; `"auto"` for whichever of these is here.
        seed: Another seed gives other numbers in the cases, and other pictures.
        checkpoint: Of a network to train, the safetensors file, where it has another name than the exercise says.

    Raises:
        TypeError: When `function` is not a function with a name, or has a checkpoint without being a network to train.
        ValueError: When no exercise has that name, or the device is not here.
    """
    exercise, devices = find_exercise(function), _devices(device)
    if isinstance(exercise, TrainingExercise):
        result = examine_training(exercise, function, checkpoint, device=devices[-1], seed=seed)
    elif checkpoint is None:
        result = examine(exercise, function, devices, seed)
    else:
        raise TypeError(
            f"checkpoint= is for networks that you train; {exercise.name} is a function, and check({exercise.name}) is all it needs"
        )
    if not _shows_last_value():
        print(result)
    return result


def examine(exercise: Exercise, function: Callable, devices: Sequence[str] = ("cpu",), seed: int = 0) -> CheckResult:
    """`check` without its display, for an exercise that is already known."""
    cases = list(exercise.cases(seed))
    answers = [expected_arrays(exercise, case) for case in cases]  # all before the student's code can change any setting of torch
    for device in devices:
        outcomes: list[Outcome] = []
        for place, (case, expected) in enumerate(zip(cases, answers, strict=True)):
            expected = {part: on_device(array, device).cpu() for part, array in expected.items()}  # as exactly as the device can
            outcome = run(function, case, device)
            outcomes.append(outcome)
            has_result = outcome.kind in ("returned", "modified")
            difference = compare(expected, outcome.arrays, tolerance_on(device, exercise.tolerance)) if has_result else None
            if difference is not None or outcome.kind != "returned":
                mistake = named_mistake(exercise, cases, outcomes, _quietly(function, cases[place + 1 :], device))
                failure = Failure(case, place, device, expected, outcome, difference, mistake)
                return CheckResult(exercise, len(cases), tuple(devices), failure)
    return CheckResult(exercise, len(cases), tuple(devices))


def expected_arrays(exercise: Exercise, case: Case) -> dict[str, torch.Tensor]:
    """The expected answer: what the exercise's reference, not its solution, returns for the case."""
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plain_arrays(exercise.reference(**{name: on_device(value, "cpu") for name, value in case.inputs.items()}))


def named_mistake(exercise: Exercise, cases: Sequence[Case], outcomes: Sequence[Outcome], later: Iterable[Outcome] = ()) -> Mistake | None:
    """The common mistake that comes to the same outcomes; None when none does.

    An error counts only where the mistake tells what the error says: two functions that raise the same one need not have made the same
    mistake.

    Args:
        cases: The exercise's cases.
        outcomes: What the first of them came to, up to the first that is wrong.
        later: What the others came to. It is asked for only when several mistakes do the same so far: the likest of them is named.
    """
    if outcomes[-1].kind not in ("returned", "modified", "raised"):
        return None

    def likeness(mistake: Mistake, outcomes: Iterable[Outcome], start: int = 0) -> int:
        pairs = zip(cases[start:], outcomes, strict=False)
        return sum(_same(mistake, run(mistake.function, case), one, exercise.tolerance) for case, one in pairs)

    count = len(outcomes)
    possible = [mistake for mistake in exercise.common_mistakes if likeness(mistake, outcomes) == count]
    if len(possible) > 1:
        others = list(later)
        possible.sort(key=lambda mistake: -likeness(mistake, others, start=count))
    return possible[0] if possible else None


def _quietly(function: Callable, cases: Sequence[Case], device: str) -> Iterator[Outcome]:
    """The outcomes of cases that are not shown, so their prints are not shown either."""
    for case in cases:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            outcome = run(function, case, device)
        yield outcome


def _same(mistake: Mistake, one: Outcome, other: Outcome, tolerance: float) -> bool:
    if one.kind == other.kind == "raised":
        return bool(mistake.error) and all(re.search(mistake.error, outcome.sentence) for outcome in (one, other))
    return one.kind == other.kind and bool(one.arrays) and compare(one.arrays, other.arrays, tolerance) is None


def tolerance_on(device: str, tolerance: float) -> float:
    """The tolerance of answers that were computed there."""
    return tolerance if device == "cpu" else max(tolerance, 1e-3)  # TF32 keeps 10 bits of each factor


def _devices(device: str) -> tuple[str, ...]:
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return tuple(name for name in here if here[name])
    kind = str(device).partition(":")[0]
    if kind not in here:
        raise ValueError(f"device={device!r} is not known; accepted are 'cpu', 'cuda', 'mps' and 'auto'")
    if not here[kind]:
        raise ValueError(f"device={device!r} was asked for, and torch finds none on this machine; check(...) alone runs on the CPU")
    return ("cpu",) if kind == "cpu" else ("cpu", str(device))


def _shows_last_value() -> bool:
    """Whether whoever called will show the value of a last expression by itself: a notebook or an interactive prompt."""
    if hasattr(sys, "ps1"):
        return True
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None
