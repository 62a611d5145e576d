"""Notebooks that students hand in for lesson 03: a class of the usual ones, and odd answers to one exercise.

They have no `check` cells. Our grader skips those, and its peers should not have to run them.
"""

from dataclasses import dataclass, replace

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from course.exercises import exercises_of, solution_notebook, starter_notebook
from course.exercises.starter import solution_code

LESSON = "03_unpooling"
EXERCISES = exercises_of(LESSON)
ODD = EXERCISES[0]  # bed_of_nails(x, scale): the one that the odd answers are given to


@dataclass(frozen=True)
class Submission:
    """One student's notebook. The name is a file name without its ending, and what the notebook is, in words for a table."""

    name: str
    what: str
    notebook: NotebookNode


def the_class(students: int) -> list[Submission]:
    """In turns: everything right, nothing written, one function wrong, a cell that raises between right ones."""
    kinds = {"right": right, "starter": starter, "wrong": one_wrong, "raises": one_cell_raises}
    names = list(kinds)
    turns = [names[student % len(names)] for student in range(students)]
    return [Submission(f"student-{student:02}-{kind}", kind, kinds[kind]()) for student, kind in enumerate(turns)]


def odd_answers() -> list[Submission]:
    """All exercises right, but for the answer to `ODD`."""
    answers = {
        "a right answer": RIGHT,
        "a right answer that warns": WARNS,
        "an object that is equal to everything": ALWAYS_EQUAL,
        "a tensor class whose comparisons say yes": SUBCLASS,
        "an infinite loop": LOOP,
        "os._exit(0)": EXIT,
    }
    code = solution_code(ODD)
    return [
        Submission(f"answer-{place}", what, with_code(right(), ODD.name, answer.format(solution=code).strip()))
        for place, (what, answer) in enumerate(answers.items())
    ]


def right() -> NotebookNode:
    return without_checks(solution_notebook(LESSON))


def starter() -> NotebookNode:
    return without_checks(starter_notebook(LESSON))


def one_wrong() -> NotebookNode:
    """`ODD` with its second common mistake: one corner for another."""
    mistake = ODD.common_mistakes[1].function
    code = solution_code(replace(ODD, solution=mistake))
    return with_code(right(), ODD.name, code.replace(f"def {mistake.__name__}(", f"def {ODD.name}("))


def one_cell_raises() -> NotebookNode:
    notebook = right()
    place = cell_of(notebook, EXERCISES[1].name)
    notebook.cells.insert(place, new_code_cell("print(1 / 0)", id="left-over"))
    return notebook


def without_checks(notebook: NotebookNode) -> NotebookNode:
    notebook.cells = [cell for cell in notebook.cells if not cell.id.endswith("-check")]
    return notebook


def cell_of(notebook: NotebookNode, exercise: str) -> int:
    """Where the cell stands that defines an exercise's function."""
    return next(place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code" and f"def {exercise}(" in cell.source)


def with_code(notebook: NotebookNode, exercise: str, code: str) -> NotebookNode:
    notebook.cells[cell_of(notebook, exercise)].source = code
    return notebook


RIGHT = "{solution}"

WARNS = """
import warnings

{solution}


right_one = bed_of_nails


def bed_of_nails(x, scale):
    warnings.warn("this could be faster", stacklevel=1)
    return right_one(x, scale)
"""

ALWAYS_EQUAL = """
class Equal:
    def __eq__(self, other):
        return True

    def __getattr__(self, name):
        return self

    def __call__(self, *arguments, **more):
        return self

    def __bool__(self):
        return True


def bed_of_nails(x, scale):
    return Equal()
"""

SUBCLASS = """
import torch


class Agrees(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, arguments=(), more=None):
        name = getattr(function, "__name__", "")
        if name in ("eq", "__eq__", "isclose"):
            return torch.tensor(True)
        if name in ("equal", "allclose"):
            return True
        with torch._C.DisableTorchFunctionSubclass():
            return function(*arguments, **(more or {{}}))


def bed_of_nails(x, scale):
    rows, columns = (scale, scale) if isinstance(scale, int) else scale
    shape = (*x.shape[:2], x.shape[2] * rows, x.shape[3] * columns)
    return torch.full(shape, 7, dtype=x.dtype).as_subclass(Agrees)
"""

LOOP = """
def bed_of_nails(x, scale):
    while True:
        pass
"""

EXIT = """
import os


def bed_of_nails(x, scale):
    os._exit(0)
"""
