"""The grades as a table, a row a question, for a spreadsheet or pandas.

It is CSV as RFC 4180 has it, in UTF-8 with a byte order mark. Excel takes a CSV file without the mark for one in the computer's old
encoding, and garbles every name with an accent; pandas skips the mark, and `csv` does with `encoding="utf-8-sig"`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

from course.grading.grades import Graded
from course.grading.plain_text import one_line

COLUMNS = ("submission", "lesson", "question", "status", "points", "full", "seconds", "message")

# How a formula begins, in a cell or after the semicolon that parts cells where the comma is the decimal sign. The wide forms count too.
_FORMULA = re.compile("(^|;)(?=[\\s\"']*[=+\\-@\uff1d\uff0b\uff0d\uff20])")


def as_csv(submissions: Iterable[Graded]) -> bytes:
    """The table, in the order given. A submission without any grade has a row too, with no question."""
    file = io.StringIO(newline="")
    rows = csv.writer(file)
    rows.writerow(COLUMNS)
    for graded in submissions:
        rows.writerows(_rows(graded))
    return file.getvalue().encode("utf-8-sig")


def _rows(graded: Graded) -> Iterator[tuple]:
    submission, problem = _words(graded.submission), _words(graded.problem)
    for grade in graded.grades:
        words = submission, _words(grade.lesson), _words(grade.question), grade.status
        yield *words, round(grade.points, 2), round(grade.full, 2), round(grade.seconds, 3), _words(grade.message) or problem
    if not graded.grades:
        yield submission, "", "", "not found", 0.0, 0.0, round(graded.seconds, 3), problem


def _words(text: str) -> str:
    """One line that no spreadsheet takes for a formula: an apostrophe says that what follows is text."""
    return _FORMULA.sub(r"\1'", one_line(text))
