"""From what a student's process sent to a grade. This is where answers meet the expected ones, and no student's code is near."""

from __future__ import annotations

import builtins
import re
import signal
from collections.abc import Mapping, Sequence

from torch import Tensor

from course.exercises.checking import named_mistake, tolerance_on
from course.exercises.comparing import Difference, compare
from course.exercises.exercise import Exercise, TrainingExercise
from course.exercises.predicting import NOT_ALONE, NOT_TWICE
from course.exercises.running import Outcome
from course.exercises.scoring import score
from course.grading.conversation import Answers
from course.grading.grades import CaseGrade, Grade
from course.grading.hidden import Hidden, HiddenPictures
from course.grading.questions import full_points

_ERROR = re.compile(r"It raised (\w+)")
_NO_MEMORY = re.compile(r"MemoryError|OutOfMemoryError|can't allocate memory|not enough memory|out of memory|Cannot allocate memory")
_ERROR_NAMES = {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}

# What a student is told of an outcome other than an answer. Nothing that the student's process said is passed on: it may be the inputs.
_TOLD = {
    "not written": ("no answer", "It is not written yet."),
    "none": ("no answer", "It returned None: is there a return?"),
    "not callable": ("error", "It can't be called with the exercise's arguments: keep the starter's first line."),
    "unusable": ("wrong", "What it returned is not a tensor, a number, or a tuple of these."),
    "modified": ("wrong", "It changed one of its inputs: leave them as they are, and write into a new tensor."),
    "no file": ("no answer", "There is no whole safetensors file of its weights beside the notebook."),
    "other network": ("wrong", "The checkpoint is of another network than the one that is built."),
    "too slow": ("timeout", "It took longer than it may."),
}
_ENDS = {
    "timeout": ("timeout", "It took longer than it may."),
    "memory": ("memory", "It took more memory than it may."),
    "processes": ("error", "It started more processes than it may."),
    "flood": ("error", "It sent more than an answer can be."),
}


def judge_function(lesson: str, exercise: Exercise, answers: Answers, hidden: Hidden, device: str = "cpu") -> Grade:
    """The grade of a function. Points follow the cases that are right, once there are more of them than guessing gets."""
    if answers.found is not True:
        return _unanswered(lesson, exercise, answers)
    tolerance = tolerance_on(device, exercise.tolerance)
    judged = [_judge_case(answers, place, hidden.expected[place], tolerance) for place in range(len(hidden.cases))]
    right = sum(status == "ok" for status, *_ in judged)
    cases = tuple(CaseGrade(case.name, one[0] == "ok", one[1]) for case, one in zip(hidden.cases, judged, strict=True))
    full = full_points(exercise)
    if right == len(cases):
        said = "All hidden cases are right."
        return Grade(lesson, exercise.name, "ok", full, full, said, cases=cases, seconds=answers.seconds)
    first = next(place for place, one in enumerate(judged) if one[0] != "ok")
    status, told, details = judged[first]
    points = round(full * right / len(cases), 2) if right > hidden.guessable else 0.0
    sentences = [told]
    if status != "no answer" or right:
        sentences = [f"{right} of {len(cases)} hidden cases are right. The first that is not is “{cases[first].name}”: {told}"]
    if mistake := _mistake(exercise, hidden, answers, first):
        sentences.append(mistake)
    if right and not points:
        sentences.append("That is no more than guessing gets, and earns nothing.")
    return Grade(lesson, exercise.name, status, points, full, " ".join(sentences), details, cases, answers.seconds)


def _judge_case(answers: Answers, place: int, expected: Mapping[str, Tensor], tolerance: float) -> tuple[str, str, str]:
    """(status, sentence for the student, details for the instructor)."""
    outcome = answers.outcomes.get(place)
    if outcome is None:
        return _end_of(answers) if place == answers.calling else ("no answer", "It was not reached.", "")
    if outcome.kind != "returned":
        return _not_returned(outcome)
    difference = compare(expected, outcome.arrays, tolerance)
    return ("ok", "", "") if difference is None else ("wrong", _difference(difference, expected, outcome.arrays), difference.sentence)


def _not_returned(outcome: Outcome) -> tuple[str, str, str]:
    if outcome.kind != "raised":
        return (*_TOLD[outcome.kind], outcome.sentence)
    if _NO_MEMORY.search(outcome.sentence):
        return (*_ENDS["memory"], outcome.sentence)
    found = _ERROR.match(outcome.sentence)
    kind = found[1] if found and found[1] in _ERROR_NAMES else "an error"  # a class of the student's own may be named after the inputs
    return "error", f"It raised {kind}.", outcome.sentence


def _difference(difference: Difference, expected: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> str:
    """What differs, without any of the numbers: what the function gave may be its inputs."""
    if list(expected) != list(got):
        return "It did not return as many values as are expected."
    if difference.index is not None:
        return "Values differ."
    if expected[difference.part].shape != got[difference.part].shape:
        return "The shape is not the expected one."
    return "The dtype is not the expected one."


def _mistake(exercise: Exercise, hidden: Hidden, answers: Answers, first: int) -> str:
    outcomes = [answers.outcomes[place] for place in range(first + 1) if place in answers.outcomes]
    if len(outcomes) != first + 1:
        return ""
    later = (answers.outcomes[place] for place in range(first + 1, len(hidden.cases)) if place in answers.outcomes)
    mistake = named_mistake(exercise, hidden.cases, outcomes, later)
    return mistake.message if mistake else ""


def judge_training(lesson: str, exercise: TrainingExercise, answers: Answers, hidden: HiddenPictures) -> Grade:
    """The grade of a trained network: the points that its score on the hidden pictures earns."""
    if answers.found is not True:
        return _unanswered(lesson, exercise, answers)
    full, seconds, outcome = full_points(exercise), answers.seconds, answers.outcomes.get(0)
    if outcome is None:
        status, told, details = _end_of(answers)
        return Grade(lesson, exercise.name, status, 0.0, full, told, details, seconds=seconds)
    result = score(exercise, outcome, hidden.targets)
    if result.score is None:
        status, told, details = _not_returned(result.outcome)
        if outcome.kind == "returned":  # the sentence is the judge's own then
            told = result.outcome.sentence
        return Grade(lesson, exercise.name, status, 0.0, full, told, details, seconds=seconds)
    advice = outcome.sentence if outcome.sentence in (NOT_TWICE, NOT_ALONE) else ""
    told = f"A {result.measured}. {advice}".rstrip()
    return Grade(lesson, exercise.name, "ok" if result.passed else "wrong", float(result.points), full, told, seconds=seconds)


def _unanswered(lesson: str, exercise: Exercise | TrainingExercise, answers: Answers) -> Grade:
    """There was no function to call, or no process to call it in."""
    full = full_points(exercise)
    if answers.found is None:
        status, told, details = _end_of(answers)
        where = "" if answers.statement is None else "The notebook's cells could not be run to the end. "
        return Grade(lesson, exercise.name, status, 0.0, full, where + told, details, seconds=answers.seconds)
    told = f"The notebook doesn't define {exercise.name}."
    if answers.imported:
        told = f"{exercise.name} is imported from the course there, and not written."
    return Grade(lesson, exercise.name, "not found", 0.0, full, told, _about_cells(answers), seconds=answers.seconds)


def _about_cells(answers: Answers) -> str:
    return " ".join([*answers.broken, *answers.failed.values()])[:2000]


def _end_of(answers: Answers) -> tuple[str, str, str]:
    """Why a process ended that had more to say."""
    if answers.end in _ENDS:
        return (*_ENDS[answers.end], "")
    code = answers.code
    if code == 128 + signal.SIGXCPU:
        return (*_ENDS["timeout"], "the limit on processor time")
    if code == 128 + signal.SIGKILL:  # nobody here has killed it: so the kernel did, or the student's code itself
        return "memory", "It was killed, as the system does when memory runs out.", ""
    if code is not None and code > 128:
        return "error", "Its process crashed.", f"signal {code - 128}"
    return "no answer", "Its process ended before it had answered.", answers.crashed or f"exit code {code}"


def not_graded(lesson: str, exercises: Sequence[Exercise | TrainingExercise], status: str, told: str) -> tuple[Grade, ...]:
    """A grade of 0 for each question of a submission that could not be run."""
    return tuple(Grade(lesson, exercise.name, status, 0.0, full_points(exercise), told) for exercise in exercises)
