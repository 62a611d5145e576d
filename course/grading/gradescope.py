"""A graded submission in the format that Gradescope reads from an autograder.

Source: "Autograder Specifications", https://gradescope-autograders.readthedocs.io/en/latest/specs/ (Output format, Controlling test
case visibility, Test case status).
"""

from __future__ import annotations

from course.grading.grades import Grade, Graded
from course.grading.plain_text import one_line, plain_text

VISIBILITIES = ("hidden", "after_due_date", "after_published", "visible")

_MOST_CASES = 200


def gradescope_results(graded: Graded, visibility: str = "after_published") -> dict:
    """What `results.json` holds: a test a question, with what a student may know and nothing of `details`.

    Args:
        visibility: When students see it, one of `VISIBILITIES`. By default that is when the instructor, who has looked at it, publishes it.

    Raises:
        ValueError: When there is no such visibility.
    """
    if visibility not in VISIBILITIES:
        raise ValueError(f"visibility {visibility!r} is not known; accepted are {', '.join(VISIBILITIES)}")
    several = len({grade.lesson for grade in graded.grades}) > 1
    return {
        "score": graded.points,
        "execution_time": round(graded.seconds, 2),
        "output": "\n".join(plain_text(sentence) for sentence in (graded.problem, *graded.remarks[:_MOST_CASES]) if sentence),
        "output_format": "text",
        "visibility": visibility,
        "stdout_visibility": "hidden",
        "tests": [_test(grade, visibility, several) for grade in graded.grades],
    }


def _test(grade: Grade, visibility: str, several: bool) -> dict:
    name = f"{grade.lesson}: {grade.question}" if several else grade.question
    return {
        "name": one_line(name),
        "name_format": "text",
        "score": round(grade.points, 2),
        "max_score": round(grade.full, 2),
        "status": "passed" if grade.status == "ok" and grade.points == grade.full else "failed",
        "output": "\n".join(_lines(grade)),
        "output_format": "text",
        "visibility": visibility,
    }


def _lines(grade: Grade) -> list[str]:
    cases = [
        f"{'✓' if case.right else '✗'} {one_line(case.name)}" + (f": {one_line(case.message)}" if case.message else "")
        for case in grade.cases[:_MOST_CASES]
    ]
    return [line for line in (plain_text(grade.message), *cases) if line]
