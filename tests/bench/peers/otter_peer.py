"""otter-grader: `otter run`, which takes one notebook at a time.

`otter grade`, which takes many, runs each in a Docker container; here is only the part that grades.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import indent

import nbformat

from tests.bench.peers import capped
from tests.bench.peers.hidden_tests import hidden_test
from tests.bench.peers.marks import Marks
from tests.bench.peers.submissions import EXERCISES, Submission

NAME = "otter run"
TEST = """
from otter.test_files import test_case

OK_FORMAT = False
name = "{name}"
points = 1


@test_case(points=1)
def all_cases({name}):
{code}
"""


class Otter:
    """An autograder for lesson 03, and the program that runs it."""

    def __init__(self, python: Path, folder: Path, secret: str):
        self.program, self.folder = python.parent / "otter", folder
        tests = folder / "tests"
        tests.mkdir(parents=True)
        for exercise in EXERCISES:
            code = indent(hidden_test(exercise, secret), "    ")
            (tests / f"{exercise.name}.py").write_text(TEST.format(name=exercise.name, code=code).lstrip(), encoding="utf-8")
        nothing_else = ["--no-config", "--no-requirements", "--no-environment"]
        made = capped.run([self.program, "generate", "-t", tests, "-o", folder / "autograder.zip", *nothing_else], folder)
        assert made.code == 0, made.said

    def grade(self, submissions: Sequence[Submission], jobs: int, seconds: float | None = None) -> dict[str, Marks]:
        """So many at a time, each in a call of its own, which may take so many seconds."""
        with ThreadPoolExecutor(jobs) as threads:
            marks = threads.map(lambda submission: self.grade_one(submission, seconds), submissions)
            return {submission.name: given for submission, given in zip(submissions, marks, strict=True)}

    def grade_one(self, submission: Submission, seconds: float | None = None) -> Marks:
        folder = self.folder / submission.name
        folder.mkdir(exist_ok=True)
        notebook, results, autograder = folder / f"{submission.name}.ipynb", folder / "results.json", self.folder / "autograder.zip"
        nbformat.write(submission.notebook, notebook)
        results.unlink(missing_ok=True)
        ended = capped.run([self.program, "run", "--no-logo", "-a", autograder, "-o", folder, notebook], folder, seconds)
        if not results.exists():
            return Marks({}, killed=ended.code is None)
        tests = json.loads(results.read_text(encoding="utf-8"))["tests"]
        return Marks({test["name"]: test["score"] for test in tests if "score" in test}, killed=ended.code is None)
