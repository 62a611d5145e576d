"""What grading comes to: a grade for each question of a submission, as plain data that is written, read again and reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

# In the order of how far the answer got.
STATUSES = ("ok", "wrong", "error", "timeout", "memory", "no answer", "not found")


@dataclass(frozen=True)
class CaseGrade:
    """One hidden case: its name, whether the answer was right, and if not, a sentence that reveals nothing of the case's inputs."""

    name: str
    right: bool
    message: str = ""


@dataclass(frozen=True)
class Grade:
    """One question of one submission.

    Attributes:
        lesson: such as `"03_unpooling"`.
        question: The exercise's name.
        status: One of `STATUSES`: that of the first case that is not right.
        points: 0 ≤ points ≤ full, with at most two decimals.
        message: For the student: what is wrong and a common mistake's name, nothing of a hidden input.
        details: For the instructor alone: what the student's own process said, which may hold anything a student chose to put there.
        cases: Empty where nothing was run.
        seconds: of wall-clock time.
    """

    lesson: str
    question: str
    status: str
    points: float
    full: float
    message: str = ""
    details: str = ""
    cases: tuple[CaseGrade, ...] = ()
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is not known; accepted are {', '.join(STATUSES)}")
        if not 0 <= self.points <= self.full:
            raise ValueError(f"{self.question}: {self.points} points are not between 0 and {self.full}")


@dataclass(frozen=True)
class Graded:
    """One submission, graded.

    Attributes:
        submission: Its name: the path in the folder without the ending, such as `"alice/03_unpooling_exercises"`.
        file: Its path in the folder.
        fingerprint: Of everything that decides the grades (the submission's bytes, the seed, the settings): equal ones need no second run.
        grades: A grade a question, in the lesson's order. Every question has one, whatever happened.
        problem: Why the submission could not be read; empty when it could.
        remarks: Sentences about the notebook as a whole, such as cells that failed.
        seconds: of wall-clock time.
    """

    submission: str
    file: str
    fingerprint: str
    grades: tuple[Grade, ...]
    problem: str = ""
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def points(self) -> float:
        return round(sum(grade.points for grade in self.grades), 2)

    @property
    def full(self) -> float:
        return sum(grade.full for grade in self.grades)

    def as_dict(self) -> dict:
        """Plain lists, dicts, numbers and words, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping) -> Graded:
        """The reverse of `as_dict`.

        Raises:
            ValueError: When it is not what `as_dict` gives.
        """
        try:
            grades = tuple(Grade(**(grade | {"cases": tuple(CaseGrade(**case) for case in grade["cases"])})) for grade in data["grades"])
            return cls(**(dict(data) | {"grades": grades, "remarks": tuple(data["remarks"])}))
        except (TypeError, KeyError) as error:
            raise ValueError(f"this is not a graded submission ({error})") from None
