"""Which questions a submission is graded on: those of its lesson, all of them, whether it answers them or not."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from course import lessons
from course.errors import CourseError
from course.exercises.exercise import Exercise, TrainingExercise
from course.exercises.lessons import exercises_of, trainings_of

POINTS = 10.0  # for a function; a network to train says itself how many there are
NAMED = re.compile(r"\b(?:def\s+|check\(\s*)(\w+)")


def lesson_names() -> list[str]:
    """The lessons that have exercises, such as `"03_unpooling"`, in the course's order."""
    root = lessons.checkout()
    folder = root / "lessons" if root else lessons.PACKAGE / "_lessons"
    return [path.stem for path in lessons.notebooks(folder) if path.with_stem(path.stem + lessons.EXERCISES).exists()]


def find_lesson(wanted: str) -> str:
    """The lesson that `"3"`, `"03"`, `"unpooling"` or `"03_unpooling"` names.

    Raises:
        CourseError: When there is none.
    """
    names = lesson_names()
    number = wanted.zfill(2) if wanted.isdigit() else wanted
    for name in names:
        if number in (name, name[:2], name[3:]):
            return name
    close = difflib.get_close_matches(wanted, [part for name in names for part in (name, name[3:])], n=1)
    suggestion = f" (did you mean {close[0]}?)" if close else ""
    raise CourseError(f"No lesson with exercises is called {wanted!r}{suggestion}; there are {', '.join(names)}.")


def questions_of(lesson: str) -> tuple[Exercise | TrainingExercise, ...]:
    """The exercises of a lesson that a process can grade, in their order; a question answered in words is for a reader."""
    return (*exercises_of(lesson), *trainings_of(lesson))


def full_points(exercise: Exercise | TrainingExercise) -> float:
    return float(exercise.full) if isinstance(exercise, TrainingExercise) else POINTS


def lesson_of(file: str, cells: Sequence[str]) -> str | None:
    """The lesson whose exercises the notebook names most often, its file name deciding between equals; None when it names none.

    Students rename files and lose metadata; what they have to keep is the functions' names.
    """
    named = {name for cell in cells for name in NAMED.findall(cell)}
    stem = PurePosixPath(file).stem
    counts = {lesson: len(named & {exercise.name for exercise in questions_of(lesson)}) for lesson in lesson_names()}
    best = max(counts, key=lambda lesson: (counts[lesson], lesson in stem), default=None)
    if best is not None and counts[best]:
        return best
    return next((lesson for lesson in counts if lesson in stem), None)
