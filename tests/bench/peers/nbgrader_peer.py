"""nbgrader: `nbgrader autograde`, which takes all notebooks of a course folder, one after the other.

It has no option to grade several at a time; two at a time are two course folders here, with half of the class in each.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from tests.bench.peers import capped
from tests.bench.peers.hidden_tests import hidden_test
from tests.bench.peers.marks import Marks
from tests.bench.peers.submissions import EXERCISES, Submission, cell_of, starter

NAME = "nbgrader autograde"
ASSIGNMENT = "ps1"
SCHEMA = 3  # of the cells' metadata
TEST, ANSWER = "test-", "answer-"  # how the names of cells begin

# nbgrader's own way to read its gradebook: {student: {cell: points}}. It runs in nbgrader's environment.
READ = f"""
import json
from nbgrader.api import Gradebook
with Gradebook("sqlite:///gradebook.db") as book:
    grades = {{
        submission.student.id: {{grade.cell.name: grade.auto_score or 0 for notebook in submission.notebooks for grade in notebook.grades}}
        for submission in book.assignment_submissions("{ASSIGNMENT}")
    }}
with open("grades.json", "w") as file:
    json.dump(grades, file)
"""


class Nbgrader:
    """A course folder with lesson 03 as its one assignment, and the program that grades it."""

    def __init__(self, python: Path, folder: Path, secret: str):
        self.python, self.program, self.folder = python, python.parent / "nbgrader", folder
        self.write("source", with_tests(starter(), {exercise.name: hidden_test(exercise, secret) for exercise in EXERCISES}))
        made = capped.run([self.program, "generate_assignment", ASSIGNMENT], folder)
        assert made.code == 0, made.said

    def hand_in(self, submissions: Sequence[Submission]) -> None:
        """In a hidden test's place the student's notebook has a stub; nbgrader puts the test in when it grades."""
        stubs = {exercise.name: "# graded here" for exercise in EXERCISES}
        for submission in submissions:
            self.write(f"submitted/{submission.name}", with_tests(submission.notebook, stubs))

    def grade(self, students: str = "*", seconds: float | None = None) -> capped.Ended:
        """Grade those who have handed in, have no grade yet, and match the glob."""
        return capped.run([self.program, "autograde", ASSIGNMENT, f"--student={students}"], self.folder, seconds)

    def grade_one_by_one(self, submissions: Sequence[Submission], seconds: float) -> dict[str, Marks]:
        """In a call of its own each, which may take so many seconds."""
        self.hand_in(submissions)
        ended = {submission.name: self.grade(submission.name, seconds) for submission in submissions}
        grades = self.grades()
        return {name: Marks(grades.get(name, {}), killed=end.code is None) for name, end in ended.items()}

    def grades(self) -> dict[str, dict[str, float]]:
        """{student: {exercise: points}}, of those who have been graded to the end."""
        read = capped.run([self.python, "-c", READ], self.folder)
        assert read.code == 0, read.said
        grades = json.loads((self.folder / "grades.json").read_text(encoding="utf-8"))
        done = {student: cells for student, cells in grades.items() if (self.folder / "autograded" / student / ASSIGNMENT).is_dir()}
        return {student: {cell.removeprefix(TEST): points for cell, points in cells.items()} for student, cells in done.items()}

    def write(self, place: str, notebook: NotebookNode) -> None:
        folder = self.folder / place / ASSIGNMENT
        folder.mkdir(parents=True)
        nbformat.write(notebook, folder / "exercises.ipynb")


def with_tests(notebook: NotebookNode, code: dict[str, str]) -> NotebookNode:
    """A copy with a test below each exercise's cell, and with the metadata by which nbgrader knows them."""
    notebook = nbformat.from_dict(notebook)
    for name, test in code.items():
        place = cell_of(notebook, name)
        notebook.cells[place].metadata["nbgrader"] = metadata(f"{ANSWER}{name}", solution=True)
        cell = new_code_cell(test, id=f"{TEST}{name}"[:64], metadata={"nbgrader": metadata(f"{TEST}{name}", grade=True)})
        notebook.cells.insert(place + 1, cell)
    return notebook


def metadata(name: str, *, grade: bool = False, solution: bool = False) -> dict:
    return {
        "grade": grade,
        "grade_id": name,
        "locked": grade,
        "schema_version": SCHEMA,
        "solution": solution,
        "task": False,
        **({"points": 1} if grade else {}),
    }
