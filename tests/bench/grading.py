"""`segcourse grade` beside `otter run` and `nbgrader autograde`: the same notebooks, the same hidden cases, in the same run.

The peers live in an environment of their own, with compiled bytecode and our version of torch. Making it, the autograder and the course
folder costs them nothing here; starting the graders counts for all three. Then each is asked what it gives for odd answers.
"""

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import torch

from course.grading.sandbox import why_unavailable
from tests.bench.peers import nbgrader_peer, otter_peer
from tests.bench.peers.marks import Marks
from tests.bench.peers.nbgrader_peer import Nbgrader
from tests.bench.peers.otter_peer import Otter
from tests.bench.peers.submissions import EXERCISES, ODD, Submission, odd_answers, the_class
from tests.bench.table import Row
from tests.environments import ROOT, new_environment, uv

SECRET = "what the class does not know"
SECONDS = 60  # that a peer may take for an odd answer; nbgrader's own limit, 30 for a cell, is to show first


def measure(quick: bool) -> list[Row]:
    """Submissions a minute, one and two at a time, and how often each gave full points. It prints the points for odd answers."""
    if reason := why_unavailable():
        print(f"grading is left out: there is no sandbox, {reason}", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory(prefix="segcourse-bench-", ignore_cleanup_errors=True) as folder:
        place = Path(folder)
        python = environment_of_peers(place)
        rows = rates(place, python, students=4 if quick else 12)
        rows.append(large_class(place, students=24 if quick else 120))
        print(f"\n{sheet(points_for_odd_answers(place, python))}", flush=True)
    return rows


def environment_of_peers(folder: Path) -> Path | None:
    """The Python of an environment with both peers and this course; None where the registry can't be asked."""
    print("grading: an environment for otter-grader and nbgrader …", file=sys.stderr, flush=True)
    python = new_environment(folder / "environment", Path(sys.executable))
    wanted = [ROOT, f"torch=={torch.__version__.partition('+')[0]}", "otter-grader", "nbgrader"]
    made = uv("pip", "install", "--quiet", "--compile-bytecode", "--refresh-package", "segcourse", "-p", python, *wanted, check=False)
    if made.returncode:
        print(f"grading: the peers are left out: {made.stderr.strip()}", file=sys.stderr)
    return None if made.returncode else python


def rates(folder: Path, python: Path | None, students: int) -> list[Row]:
    submissions = the_class(students)
    rows, full = [], {}
    for jobs, words in ((1, "one at a time"), (2, "two at a time")):
        print(f"grading: {students} submissions, {words} …", file=sys.stderr, flush=True)
        ways = {"ours": by_ours(folder / f"ours-{jobs}", submissions, jobs)}
        if python:
            ways |= {
                otter_peer.NAME: by_otter(folder / f"otter-{jobs}", python, submissions, jobs),
                nbgrader_peer.NAME: by_nbgrader(folder / f"nbgrader-{jobs}", python, submissions, jobs),
            }
        speeds = {}
        for name, way in ways.items():
            start = time.perf_counter()
            full[name] = way()
            speeds[name] = 60 * students / (time.perf_counter() - start)
        rows.append(row(f"{students} submissions, {words}, starting included: submissions a minute", speeds))
    functions = students * len(EXERCISES)
    return [*rows, row(f"{students} submissions: functions with full points, of {functions}", {name: way() for name, way in full.items()})]


def large_class(folder: Path, students: int) -> Row:
    """Ours alone, where starting hardly counts any more; the peers' speed hardly depends on the size of the class."""
    way = by_ours(folder / "ours-large", the_class(students), 2)
    start = time.perf_counter()
    way()
    speed = 60 * students / (time.perf_counter() - start)
    return Row(f"{students} submissions, two at a time, starting included: submissions a minute", speed, {})


def row(measure: str, values: Mapping[str, float]) -> Row:
    return Row(measure, values["ours"], {name: value for name, value in values.items() if name != "ours"})


# Each way prepares what an instructor prepares once, and returns what is timed: it grades, and returns how to count full points.
Way = Callable[[], Callable[[], int]]


def by_ours(folder: Path, submissions: Sequence[Submission], jobs: int) -> Way:
    hand_in(folder, submissions)

    def way() -> Callable[[], int]:
        grade(folder, jobs)
        return lambda: full_points(ours(folder).values())

    return way


def by_otter(folder: Path, python: Path, submissions: Sequence[Submission], jobs: int) -> Way:
    otter = Otter(python, folder, SECRET)

    def way() -> Callable[[], int]:
        marks = otter.grade(submissions, jobs)
        return lambda: full_points(given.points for given in marks.values())

    return way


def by_nbgrader(folder: Path, python: Path, submissions: Sequence[Submission], jobs: int) -> Way:
    courses = [Nbgrader(python, folder / f"course-{job}", SECRET) for job in range(jobs)]
    for job, course in enumerate(courses):
        course.hand_in(submissions[job * len(submissions) // jobs : (job + 1) * len(submissions) // jobs])

    def way() -> Callable[[], int]:
        with ThreadPoolExecutor(jobs) as threads:
            list(threads.map(Nbgrader.grade, courses))
        return lambda: sum(full_points(course.grades().values()) for course in courses)

    return way


def full_points(of_students) -> int:
    return sum(points == 1 for exercises in of_students for points in exercises.values())


def hand_in(folder: Path, submissions: Sequence[Submission]) -> None:
    (folder / "submissions").mkdir(parents=True)
    for submission in submissions:
        nbformat.write(submission.notebook, folder / "submissions" / f"{submission.name}.ipynb")


def grade(folder: Path, jobs: int) -> None:
    command = [sys.executable, "-m", "course.cli", "grade", folder / "submissions", "--seed", SECRET, "--out", folder / "grades"]
    ended = subprocess.run([*command, "--jobs", str(jobs)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def ours(folder: Path) -> dict[str, dict[str, float]]:
    """{submission: {exercise: the part of its points}}."""
    points: dict[str, dict[str, float]] = {}
    with open(folder / "grades" / "grades.csv", encoding="utf-8-sig", newline="") as file:
        for line in csv.DictReader(file):
            points.setdefault(line["submission"], {})[line["question"]] = float(line["points"]) / float(line["full"])
    return points


def points_for_odd_answers(folder: Path, python: Path | None) -> list[list[str]]:
    """A line an answer, a column a grader, both with their names."""
    print("grading: odd answers …", file=sys.stderr, flush=True)
    submissions = odd_answers()
    hand_in(folder / "odd", submissions)
    grade(folder / "odd", jobs=2)
    given = {"ours": {name: Marks(points) for name, points in ours(folder / "odd").items()}}
    if python:
        otter, nbgrader = Otter(python, folder / "odd-otter", SECRET), Nbgrader(python, folder / "odd-nbgrader", SECRET)
        with ThreadPoolExecutor() as threads:  # beside each other: nothing is timed here
            from_otter = threads.submit(otter.grade, submissions, 1, SECONDS)
            from_nbgrader = threads.submit(nbgrader.grade_one_by_one, submissions, SECONDS)
        given |= {otter_peer.NAME: from_otter.result(), nbgrader_peer.NAME: from_nbgrader.result()}
    lines = [[submission.what, *(shown(marks[submission.name]) for marks in given.values())] for submission in submissions]
    return [[f"points for {ODD.name}, of 1 + for the {len(EXERCISES) - 1} right functions beside it", *given], *lines]


def shown(marks: Marks) -> str:
    if marks.killed:
        return f"none: no limit of its own in {SECONDS} s, killed"
    if not marks.points:
        return "none: no result"
    others = sum(points for name, points in marks.points.items() if name != ODD.name)
    return f"{marks.points[ODD.name]:.2g} + {others:.2g}"


def sheet(lines: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
