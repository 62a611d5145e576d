"""Grade one submission: each question in a process of its own, whatever the others did."""

from __future__ import annotations

import atexit
import hashlib
import json
import threading
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import course
from course.errors import CourseError
from course.exercises.exercise import Exercise, TrainingExercise
from course.grading.conversation import Answers, Question
from course.grading.grades import Grade, Graded
from course.grading.hidden import hidden_cases, hidden_pictures, seed_of
from course.grading.judging import judge_function, judge_training, not_graded
from course.grading.limits import Limits
from course.grading.questions import questions_of
from course.grading.submissions import Submission
from course.grading.worker import Worker

SLOW_CELLS = 3.0  # seconds: from there on, only what a function needs is run again for the questions that follow
NO_LESSON = "It defines no function that is an exercise of the course: name its lesson with --lesson."
MOST_LOST = 5  # statements of a notebook that may take a process with them, before the others are given up


@dataclass(frozen=True)
class Order:
    """How a batch is graded.

    Attributes:
        secret: The instructor's, from which the hidden cases are drawn.
        questions: The only ones to grade; empty for all.
        hidden: Folders and files that students' code may not see.
    """

    secret: str
    questions: tuple[str, ...] = ()
    device: str = "cpu"
    sandboxed: bool = True
    limits: Limits = Limits()
    hidden: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Order(device={self.device!r})"  # it ends up in error messages: not the secret

    def fingerprint(self, task: Task) -> str:
        """Of a submission graded so: the same one means the same grades."""
        seed = seed_of(self.secret, "fingerprint")
        decides = [task.submission.digest, task.lesson, seed, self.device, asdict(self.limits), course.__version__]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


@dataclass(frozen=True)
class Task:
    """One submission, and the lesson that it is graded as, such as `"03_unpooling"`; None when nobody knows."""

    submission: Submission
    lesson: str | None


def grade_submission(task: Task, order: Order) -> Graded:
    """Grade it. Whatever is wrong with the submission, or even with the grader, becomes a grade with a sentence.

    Raises:
        CourseError: When no submission at all can be graded here, for want of a sandbox.
    """
    start = time.monotonic()
    submission, lesson = task.submission, task.lesson
    if lesson is None or submission.problem:
        return without_answers(task, order, submission.problem or NO_LESSON)
    graded = without_answers(task, order, "")
    exercises = asked(lesson, order)
    notebook = _Notebook(submission, order, _worker(order))
    grades = []
    for exercise in exercises:
        try:
            grades.append(notebook.grade(lesson, exercise))
        except CourseError:
            raise
        except Exception as error:  # of the grader's own code: it must not cost the batch
            told = f"The grader itself failed on it ({type(error).__name__}): tell the instructor."
            grades += [replace(grade, details=traceback.format_exc()) for grade in not_graded(lesson, [exercise], "error", told)]
    seconds = round(time.monotonic() - start, 3)
    return replace(graded, grades=tuple(grades), remarks=tuple(notebook.remarks), seconds=seconds)


def asked(lesson: str, order: Order) -> list[Exercise | TrainingExercise]:
    """The lesson's questions that are to be graded."""
    return [exercise for exercise in questions_of(lesson) if not order.questions or exercise.name in order.questions]


def without_answers(task: Task, order: Order, problem: str, status: str = "no answer") -> Graded:
    """What a submission comes to that can't be run: each question has its row, with 0 points and the reason."""
    grades = not_graded(task.lesson, asked(task.lesson, order), status, problem) if task.lesson else ()
    return Graded(task.submission.name, task.submission.file, order.fingerprint(task), grades, problem)


class _Notebook:
    """A submission while it is graded: what one question's process has shown about the cells serves the next."""

    def __init__(self, submission: Submission, order: Order, worker: Worker):
        self._submission, self._order, self._worker = submission, order, worker
        self._lost: set[int] = set()
        self._slim = False
        self.remarks: list[str] = []

    def grade(self, lesson: str, exercise: Exercise | TrainingExercise) -> Grade:
        secret, device = self._order.secret, self._order.device
        if isinstance(exercise, TrainingExercise):
            pictures = hidden_pictures(exercise, secret)
            given = {"kind": "training", "checkpoint": exercise.checkpoint, "seconds": exercise.seconds}
            wall = 3 * exercise.seconds + self._order.limits.seconds
            answers = self._ask(Question(exercise.name, (), {}, given | {"device": device}, pictures.images, 1, wall))
            return judge_training(lesson, exercise, answers, pictures)
        hidden = hidden_cases(exercise, secret)
        given = {"kind": "function", "sizes": [len(packed) for packed in hidden.inputs], "device": device}
        question = Question(exercise.name, (), {}, given, b"".join(hidden.inputs), len(hidden.cases), self._order.limits.seconds)
        return judge_function(lesson, exercise, self._ask(question), hidden, device)

    def _ask(self, question: Question) -> Answers:
        """The answers; statements of the notebook that took their process with them are left out in a new one."""
        question = replace(question, cells=self._submission.cells, files=self._submission.files)
        while True:
            answers = self._worker.ask(replace(question, leave_out=frozenset(self._lost), slim=self._slim))
            self._note(answers)
            lost = answers.statement
            self._slim = self._slim or lost is not None or answers.cell_seconds > SLOW_CELLS
            if lost is None or lost in self._lost or len(self._lost) >= MOST_LOST:
                return answers
            self._lost.add(lost)

    def _note(self, answers: Answers) -> None:
        said = [*answers.broken, *(f"The line {sentence}" for sentence in answers.failed.values())]
        if answers.statement is not None:
            said.append(f"Statement {answers.statement + 1} of the notebook's cells ended its process ({answers.end}), and was left out.")
        self.remarks += [sentence for sentence in said if sentence not in self.remarks]


_here = threading.local()


def _worker(order: Order) -> Worker:
    """This thread's warm worker, kept from one submission to the next."""
    settings = (order.limits, order.device, order.sandboxed, order.hidden)
    if getattr(_here, "settings", None) != settings:
        close_worker()
        _here.worker = Worker(order.limits, order.device, order.sandboxed, [Path(folder) for folder in order.hidden])
        _here.settings = settings
    return _here.worker


def close_worker() -> None:
    """End this thread's warm worker, if it has one."""
    worker, _here.worker, _here.settings = getattr(_here, "worker", None), None, None
    if worker is not None:
        worker.close()


atexit.register(close_worker)
