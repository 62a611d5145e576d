"""`segcourse check NOTEBOOK`: run a copy of a student's notebook or script, and check each exercise that it asks for."""

import ast
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from course import execution
from course.errors import CourseError
from course.exercises.exercise import TRAINING_CELL
from course.exercises.lessons import all_trainings
from course.grading.cells import first_line

CELL_MARK = re.compile(r"^# %%.*$", re.MULTILINE)
COMMENT = re.compile(r"#.*")
DEFINED_OR_CHECKED = re.compile(r"\b(def\s+|check\(\s*)(\w+)")
INPUT_LINE = re.compile(r"\(\S+, line (\d+)\)$")  # IPython numbers its inputs as files, which says nothing to a student
SYNTAX_ERRORS = ("SyntaxError", "IndentationError", "TabError")


def check_notebook(path: Path, timeout: int = 600) -> dict:
    """Run a copy of the notebook in a kernel of its own, in an empty folder, and check its exercises there. The file is only read.

    A cell that fails doesn't stop the ones after it, as in JupyterLab when a student runs them one by one. An exercise is asked for
    where its function is defined or handed to `check`, whether that cell runs or not: a broken cell never makes the total smaller.
    Cells that train are left out, and the files that they wrote are taken from beside the notebook.

    Returns:
        `exercises`: a list of `{name, passed, text}` in the notebook's order, `text` being what `check` says or why it could not be
        called; `failed_cells`: one sentence each.

    Raises:
        CourseError: When the file cannot be read, is no notebook or script, or asks for no exercise.
    """
    notebook = _read(path)
    notebook.cells = [cell for cell in notebook.cells if not cell.source.lstrip().startswith(TRAINING_CELL)]
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    found = [(name, cell if defines else None) for cell in cells for name, defines in _exercise_names(cell.source)]
    with tempfile.TemporaryDirectory(prefix="segcourse-check-") as folder:
        answer = Path(folder, "answer.json")
        names = [name for name, _ in found]
        _copy_checkpoints(path.parent, Path(folder), names)
        ask = f"from course.student_notebook import write_answer as _w; _w(globals(), {names!r}, {str(answer)!r})"
        notebook.cells.append(new_code_cell(ask))
        execution.execute(notebook, Path(folder), path.name, timeout, go_on=True)
        if not answer.exists():
            raise CourseError(f"{path.name} could not be checked: {_error(notebook.cells[-1]) or 'the kernel stopped'}.")
        exercises = json.loads(answer.read_text(encoding="utf-8"))
    if not exercises:
        raise CourseError(f"{path.name} defines no function that is an exercise of the course, and checks none.")
    last = {name: cell for name, cell in found if cell is not None}
    judged = [_judged(exercise, last.get(exercise["name"])) for exercise in exercises]
    failed = [f"The cell {first_line(cell.source)!r} failed: {_error(cell)}" for cell in cells if _error(cell)]
    return {"exercises": judged, "failed_cells": failed}


def write_answer(namespace: Mapping[str, object], names: Sequence[str], path: str) -> None:
    """Runs in the student's kernel, after the last cell: check the exercises among `names`, and write it down for the parent.

    Of an exercise that is not defined there, `text` is None.
    """
    from course.exercises.checking import examine
    from course.exercises.lessons import all_exercises
    from course.exercises.scoring import examine_training

    judges = dict.fromkeys(all_exercises(), examine) | dict.fromkeys(all_trainings(), examine_training)
    known = all_exercises() | all_trainings()
    asked = [name for name in names if name in known]
    own = [name for name in known if getattr(namespace.get(name), "__module__", None) == "__main__"]
    answer = []
    for name in dict.fromkeys(asked + own):
        if name in own:
            result = judges[name](known[name], namespace[name])
            answer.append({"name": name, "passed": result.passed, "text": repr(result)})
        else:
            answer.append({"name": name, "passed": False, "text": None})
    Path(path).write_text(json.dumps(answer), encoding="utf-8")


def _copy_checkpoints(source: Path, folder: Path, names: Sequence[str]) -> None:
    for name, training in all_trainings().items():
        if name in names and (source / training.checkpoint).is_file():
            shutil.copyfile(source / training.checkpoint, folder / training.checkpoint)


def _judged(exercise: dict, cell: nbformat.NotebookNode | None) -> dict:
    """The exercise with the reason why it could not be checked, if so. `cell` is the last that defines it.

    A syntax error means that nothing of the cell ran: what the kernel knows by that name is then an older version.
    """
    reason = _error(cell) if cell is not None else None
    if reason is not None and (exercise["text"] is None or reason.startswith(SYNTAX_ERRORS)):
        text = f"{exercise['name']} could not be checked, since its cell {first_line(cell.source)!r} doesn't run: {reason}"
        return {"name": exercise["name"], "passed": False, "text": text}
    return exercise | {"text": exercise["text"] or f"The notebook doesn't define {exercise['name']}."}


def _exercise_names(source: str) -> list[tuple[str, bool]]:
    """The names of functions that a cell defines (True) or hands to `check` (False), in the order of its text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the student's escapes, which the kernel tells already
            return list(_names_in(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError):  # a slip, or a magic command
        found = DEFINED_OR_CHECKED.findall(COMMENT.sub("", source))
        return [(name, how.startswith("def")) for how, name in found]


def _names_in(tree: ast.AST, nested: bool = False) -> Iterator[tuple[str, bool]]:
    for node in ast.iter_child_nodes(tree):
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if is_function and not nested:  # a method or an inner function of that name is no answer
            yield node.name, True
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", None)) == "check":
            yield from ((argument.id, False) for argument in node.args[:1] if isinstance(argument, ast.Name))
        yield from _names_in(node, nested or is_function or isinstance(node, ast.ClassDef))


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
    error = next(errors, None)
    if error is None:
        return None
    told = INPUT_LINE.sub(r"(line \1)", error.evalue) if error.ename in SYNTAX_ERRORS else error.evalue
    return execution.ANSI.sub("", f"{error.ename}: {told}")
