"""`segcourse check NOTEBOOK`: run a copy of a student's notebook or script, and check each exercise that it defines."""

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from course import execution
from course.errors import CourseError
from course.lessons import EXERCISES

CELL_MARK = re.compile(r"^# %%.*$", re.MULTILINE)


def check_notebook(path: Path, timeout: int = 600) -> dict:
    """Run a copy of the notebook in a kernel of its own, in an empty folder, and check its exercises there. The file is only read.

    A cell that fails doesn't stop the ones after it, as in JupyterLab when a student runs them one by one.

    Returns:
        `exercises`: a list of `{name, passed, text}`, `text` being what `check` says; `failed_cells`: one sentence each.

    Raises:
        CourseError: When the file cannot be read, is no notebook or script, or defines no exercise.
    """
    notebook = _read(path)
    own_cells = len(notebook.cells)
    with tempfile.TemporaryDirectory(prefix="segcourse-check-") as folder:
        answer = Path(folder, "answer.json")
        lesson = path.stem.removesuffix(EXERCISES)
        ask = f"from course.student_notebook import write_answer as _w; _w(globals(), {lesson!r}, {str(answer)!r})"
        notebook.cells.append(new_code_cell(ask))
        execution.execute(notebook, Path(folder), path.name, timeout, go_on=True)
        if not answer.exists():
            raise CourseError(f"{path.name} could not be checked: {_error(notebook.cells[-1]) or 'the kernel stopped'}.")
        exercises = json.loads(answer.read_text(encoding="utf-8"))
    if not exercises:
        raise CourseError(f"{path.name} defines no function that is an exercise of the course.")
    cells = enumerate(notebook.cells[:own_cells], start=1)
    failed = [f"cell {number} failed: {_error(cell)}" for number, cell in cells if _error(cell)]
    return {"exercises": exercises, "failed_cells": failed}


def write_answer(namespace: Mapping[str, object], lesson: str, path: str) -> None:
    """Runs in the student's kernel, after the last cell: check what is defined there and write it down for the parent."""
    from course.exercises.checking import examine
    from course.exercises.lessons import all_exercises, exercises_of

    known = all_exercises()
    try:
        asked = [exercise.name for exercise in exercises_of(lesson)]
    except ValueError:  # a file under another name: whatever it defines
        asked = []
    own = [name for name in known if getattr(namespace.get(name), "__module__", None) == "__main__"]
    answer = []
    for name in dict.fromkeys(asked + own):
        if name in own:
            result = examine(known[name], namespace[name])
            answer.append({"name": name, "passed": result.passed, "text": repr(result)})
        else:
            answer.append({"name": name, "passed": False, "text": f"The notebook doesn't define {name}."})
    Path(path).write_text(json.dumps(answer), encoding="utf-8")


def _read(path: Path) -> nbformat.NotebookNode:
    if path.suffix not in (".ipynb", ".py"):
        raise CourseError(f"{path} is neither a notebook (.ipynb) nor a script (.py).")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CourseError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from None
    if path.suffix == ".py":
        return new_notebook(cells=[new_code_cell(part) for part in CELL_MARK.split(text) if part.strip()])
    try:
        notebook = nbformat.reads(text, as_version=4)
    except Exception as error:  # nbformat raises its own errors, JSON's and the schema's
        raise CourseError(f"{path} is not a notebook ({str(error).splitlines()[0]}).") from None
    notebook.metadata = {}  # a student's kernel name, Colab's say, need not exist here
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    return notebook


def _error(cell: nbformat.NotebookNode) -> str | None:
    errors = (output for output in cell.get("outputs", []) if output.output_type == "error")
    return next((execution.ANSI.sub("", f"{error.ename}: {error.evalue}") for error in errors), None)
