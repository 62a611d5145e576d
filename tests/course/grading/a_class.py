"""A class of students, written to a folder."""

import json
from pathlib import Path

from course.exercises.lessons import exercises_of
from course.exercises.starter import solution_code

LESSON = "03_unpooling"
SECRET = "a secret of the tests"
NAMES = [exercise.name for exercise in exercises_of(LESSON)]


def notebook(*cells: str) -> str:
    """A notebook of code cells, without a bit more than it needs."""
    return json.dumps({"cells": [{"cell_type": "code", "source": cell} for cell in cells], "nbformat": 4, "nbformat_minor": 5})


def solution(name: str) -> str:
    return solution_code(next(exercise for exercise in exercises_of(LESSON) if exercise.name == name))


def solved() -> list[str]:
    """The cells of a student who has everything right."""
    return ["import torch", *map(solution, NAMES)]


def write_class(folder: Path, **students: str) -> Path:
    """`folder` with `NAME.ipynb` for each of the students."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in students.items():
        (folder / f"{name}.ipynb").write_text(content, encoding="utf-8")
    return folder
