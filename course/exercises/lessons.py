"""Which lesson has which exercises: lesson `NN_topic` has those of the module `course.exercises.topic`, when there is one.

A lesson's module holds `EXERCISES` (a tuple), `TRAININGS` if there is a network to train, `QUESTIONS` if it asks anything in words, and
`BUILT`, what its readers have built by then ("the way up of a segmentation network"). That is all the registration there is.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from types import ModuleType

import course.exercises
from course.exercises.exercise import Exercise, Question, TrainingExercise


def _topics() -> Iterator[tuple[str, ModuleType]]:
    for found in pkgutil.iter_modules(course.exercises.__path__):
        module = importlib.import_module(f"{course.exercises.__name__}.{found.name}")
        if hasattr(module, "EXERCISES"):
            yield found.name, module


def _module_of(lesson: str) -> ModuleType:
    topics = dict(_topics())
    topic = lesson.partition("_")[2] if lesson[:2].isdigit() else lesson
    if topic not in topics:
        raise ValueError(f"there are no exercises for the lesson {lesson!r}; there are for {', '.join(topics)}")
    return topics[topic]


def exercises_of(lesson: str) -> tuple[Exercise, ...]:
    """The exercises of a lesson such as `"03_unpooling"`, in the order in which they are asked.

    Raises:
        ValueError: When the lesson has no exercises.
    """
    return _module_of(lesson).EXERCISES


def trainings_of(lesson: str) -> tuple[TrainingExercise, ...]:
    """The networks that a lesson asks its readers to train.

    Raises:
        ValueError: When the lesson has no exercises.
    """
    return getattr(_module_of(lesson), "TRAININGS", ())


def questions_of(lesson: str) -> tuple[Question, ...]:
    """The questions of a lesson that are answered in words.

    Raises:
        ValueError: When the lesson has no exercises.
    """
    return getattr(_module_of(lesson), "QUESTIONS", ())


def built_in(lesson: str) -> str:
    """What readers have built when they are through with a lesson's exercises.

    Raises:
        ValueError: When the lesson has no exercises.
    """
    return getattr(_module_of(lesson), "BUILT", "all of it")


def all_exercises() -> dict[str, Exercise]:
    """Every function to write, of all lessons, by its name."""
    return {exercise.name: exercise for _, module in _topics() for exercise in module.EXERCISES}


def all_trainings() -> dict[str, TrainingExercise]:
    """Every network to train, of all lessons, by its builder's name."""
    return {exercise.name: exercise for _, module in _topics() for exercise in getattr(module, "TRAININGS", ())}


def find_exercise(function: Callable) -> Exercise | TrainingExercise:
    """The exercise that a student's function answers: the one of the same name.

    Raises:
        TypeError: When it is not a function, or a lambda, which has no name.
        ValueError: When no exercise has this name.
    """
    name = getattr(function, "__name__", None)
    if not callable(function) or not isinstance(name, str):
        kind = type(function).__name__
        raise TypeError(
            f"check takes the function itself, without brackets behind it, as in check(max_unpool); got an object of type {kind}"
        )
    if name == "<lambda>":
        raise TypeError("check finds the exercise by the function's name, and a lambda has none: write it with def")
    exercises = all_exercises() | all_trainings()
    if name not in exercises:
        close = difflib.get_close_matches(name, exercises, n=1)
        suggestion = f" (did you mean {close[0]}?)" if close else ""
        raise ValueError(f"no exercise is called {name!r}{suggestion}; the exercises are {', '.join(exercises)}")
    return exercises[name]
