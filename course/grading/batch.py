"""Grade a folder of submissions: go on where it was stopped, keep each result at once, and let no submission stop the others."""

from __future__ import annotations

import fnmatch
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from course import __version__
from course.errors import CourseError
from course.grading import sandbox, submissions
from course.grading.grader import Order, Task
from course.grading.grades import Graded
from course.grading.hidden import seed_of
from course.grading.plain_text import one_line
from course.grading.questions import lesson_names, lesson_of, questions_of
from course.grading.results import Results


@dataclass(frozen=True)
class Batch:
    """What the instructor asks for.

    Attributes:
        folder: of the submissions.
        out: the folder for the results.
        lesson: of all submissions; None where each one's functions show it.
        only: Names of questions, or patterns of submissions; they are graded again even when they are done. Empty for all.
        jobs: worker processes on this machine.
        scheduler: The address of a Dask scheduler; empty without one.
    """

    folder: Path
    out: Path
    order: Order
    lesson: str | None = None
    only: tuple[str, ...] = ()
    jobs: int = 1
    scheduler: str = ""
    gradescope: bool = False


@dataclass
class Summary:
    """What a run came to: how many submissions it graded, and how many were done before."""

    graded: int = 0
    before: int = 0
    statuses: Counter = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def lines(self, out: Path) -> list[str]:
        """What to tell the instructor."""
        counts = ", ".join(f"{count} {status}" for status, count in self.statuses.most_common())
        before = f" ({self.before} were done before)" if self.before else ""
        said = [f"{self.graded} submissions graded{before}{': ' + counts if counts else ''}."]
        return [*said, *map(one_line, self.problems), f"The results are in {out}: grades.csv, and reports/index.html to read."]


def grade_folder(batch: Batch, say: Callable[[str], None] = print) -> Summary:
    """Grade it.

    Raises:
        CourseError: When there is nothing to grade, nowhere to write, or no sandbox. What was graded before stands.
    """
    if batch.order.sandboxed and not batch.scheduler and (reason := sandbox.why_unavailable()):
        raise CourseError(
            f"There is no sandbox for the students' code: {reason}. --no-sandbox runs it with your own rights: "
            "it can then read and change all that you can."
        )
    names, patterns = _sort_out(batch.only)
    batch = replace(batch, order=replace(batch.order, questions=names, hidden=(*batch.order.hidden, str(batch.folder), str(batch.out))))
    files = submissions.find(batch.folder)
    summary = Summary()
    with Results(batch.out, _facts(batch), gradescope=batch.gradescope, say=say) as results:
        lessons = _lessons(batch, files)
        earlier = results.finished({task.submission.name: batch.order.fingerprint(task) for task in _tasks(batch, lessons)})
        wanted = [file for file in lessons if _is_wanted(file, patterns)]
        todo = [file for file in wanted if batch.only or submissions.name_of(file) not in earlier]
        summary.before = len(wanted) - len(todo)
        if todo:
            _grade(batch, {file: lessons[file] for file in todo}, results, earlier, summary)
    return summary


def _grade(batch: Batch, lessons: dict[str, str | None], results: Results, earlier: dict[str, Graded], summary: Summary) -> None:
    from course.grading.cluster import Cluster
    from course.grading.pool import Pool

    workers = Cluster(batch.scheduler, batch.order) if batch.scheduler else Pool(min(batch.jobs, len(lessons)), batch.order)
    with workers, tqdm(total=len(lessons), desc="grading", unit="submission", disable=None) as bar:
        for graded in workers.grade(_tasks(batch, lessons)):
            summary.graded += 1
            summary.statuses.update(grade.status for grade in graded.grades)
            if graded.problem:
                summary.problems.append(f"{graded.file}: {graded.problem}")
            results.write(_joined(graded, earlier.get(graded.submission), batch.order.questions))
            bar.update()


def _tasks(batch: Batch, lessons: dict[str, str | None]) -> Iterator[Task]:
    """Read one when it is wanted: a class's notebooks need not be in memory together."""
    for file, lesson in lessons.items():
        yield Task(submissions.read(batch.folder, file), lesson)


def _lessons(batch: Batch, files: Sequence[str]) -> dict[str, str | None]:
    """{file: its lesson}. What can't be read counts as of the others' lesson, when they are all of one."""
    if batch.lesson:
        return dict.fromkeys(files, batch.lesson)
    found: dict[str, str | None] = {}
    for file in tqdm(files, desc="reading", unit="submission", disable=None, leave=False):
        submission = submissions.read(batch.folder, file)
        found[file] = None if submission.problem else lesson_of(file, submission.cells)
    known = set(found.values()) - {None}
    return {file: lesson or (next(iter(known)) if len(known) == 1 else None) for file, lesson in found.items()}


def _sort_out(only: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of questions, and patterns of submissions."""
    known = {exercise.name for lesson in lesson_names() for exercise in questions_of(lesson)}
    return tuple(one for one in only if one in known), tuple(one for one in only if one not in known)


def _is_wanted(file: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatch(part, pattern) for pattern in patterns for part in (file, submissions.name_of(file)))


def _joined(new: Graded, old: Graded | None, questions: Sequence[str]) -> Graded:
    """The new grades, and the earlier ones of the questions that were not asked this time."""
    if not questions or old is None:
        return new
    fresh = {grade.question: grade for grade in new.grades}
    return replace(old, grades=tuple(fresh.pop(grade.question, grade) for grade in old.grades) + tuple(fresh.values()))


def _facts(batch: Batch) -> dict:
    """What all results in one folder must have in common. The secret can't be found from its digest, if it is a long one."""
    seed = seed_of(batch.order.secret, "facts")
    return {
        "seed digest": hashlib.sha256(str(seed).encode()).hexdigest()[:16],
        "course": __version__,
        "lesson": batch.lesson or "each submission's own",
        "device": batch.order.device,
    }
