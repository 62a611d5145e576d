"""Points for what a trained network does: its answers are compared with the right ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from course.exercises.exercise import TrainingExercise
from course.exercises.predicting import predict
from course.exercises.running import Outcome
from course.exercises.task import Score, Wrong


@dataclass(frozen=True)
class TrainingResult:
    """What `check` found of a trained network. It shows itself in a notebook; printed, it says the same in text.

    `score` is None when there is nothing to measure; then the outcome says why. `pictures` is how many there were.
    """

    exercise: TrainingExercise
    outcome: Outcome
    pictures: int
    score: Score | None = None

    @property
    def value(self) -> float:
        """What the exercise's task measures, 0…1."""
        return self.score.value if self.score else 0.0

    @property
    def points(self) -> int:
        return self.exercise.points_for(self.value) if self.score else 0

    @property
    def passed(self) -> bool:
        """Whether it has at least half of the points."""
        return 2 * self.points >= self.exercise.full

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        from course.exercises.showing import lines_as_html

        return lines_as_html(self.lines(), right=self.passed, written=self.outcome.kind != "not written")

    def lines(self) -> list[str]:
        """The result in sentences: the verdict first."""
        name, full = self.exercise.name, self.exercise.full
        if self.outcome.kind == "not written":
            return [f"○ {name}: not written yet.", self.outcome.sentence]
        if self.score is None:
            return [f"✗ {name}: 0 of {full} points so far.", self.outcome.sentence]
        sign = "✓" if self.passed else "✗"
        said = f"{sign} {name}: {self.points} of {full} points, for a {self.measured}."
        return [said, *self.score.details, *self._what_next(), *([self.outcome.sentence] if self.outcome.sentence else [])]

    @property
    def measured(self) -> str:
        """The score in words, without its article."""
        return f"{self.exercise.task.measure} of {self.value:.3f} on {self.pictures} pictures that it never saw"

    def _what_next(self) -> list[str]:
        following = next(((least, points) for least, points in self.exercise.points if points > self.points), None)
        if following is None:
            return []
        if self.points == 0:
            first = "The first point comes" if following[1] == 1 else f"The first {following[1]} points come"
            least = f"{first} at a {self.exercise.task.measure} of {following[0]:.2f}"
            return [f"The network and its file fit together, and it answers as it should; what it lacks is training. {least}."]
        return [f"{following[1]} points come at {following[0]:.2f}."]


def examine_training(
    exercise: TrainingExercise, build: Callable, checkpoint: str | Path | None = None, *, device: str = "cpu", seed: int = 0
) -> TrainingResult:
    """`check` of a trained network without its display, all in one process."""
    images, targets = exercise.pictures(seed)
    file = exercise.checkpoint if checkpoint is None else checkpoint
    outcome = predict(build, file, images, exercise.task, seconds=exercise.seconds, device=device)
    return score(exercise, outcome, targets)


def score(exercise: TrainingExercise, outcome: Outcome, targets: Sequence) -> TrainingResult:
    """Points for the answers in an outcome. They may come from a process that nobody trusts: what is no answer is worth nothing.

    Args:
        outcome: Of `predict`.
        targets: The right answers, one a picture.
    """
    if outcome.kind != "returned":
        return TrainingResult(exercise, outcome, len(targets))
    try:
        return TrainingResult(exercise, outcome, len(targets), exercise.task.score(outcome.arrays, targets))
    except Wrong as wrong:
        return TrainingResult(exercise, Outcome(wrong.kind, sentence=wrong.sentence), len(targets))
