"""Points for what a trained network does: its labels are compared with the right ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from course.exercises.exercise import TrainingExercise
from course.exercises.predicting import predict
from course.exercises.running import Outcome
from course.metrics import class_iou, confusion_matrix


@dataclass(frozen=True)
class TrainingResult:
    """What `check` found of a trained network. It shows itself in a notebook; printed, it says the same in text.

    `iou` has a number for each class, None when there is nothing to measure; then the outcome says why. `pictures` is how many there were.
    """

    exercise: TrainingExercise
    outcome: Outcome
    pictures: int
    iou: tuple[float, ...] | None = None

    @property
    def mean_iou(self) -> float:
        return sum(self.iou) / len(self.iou) if self.iou else 0.0

    @property
    def points(self) -> int:
        return self.exercise.points_for(self.mean_iou) if self.iou else 0

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
        if self.iou is None:
            return [f"✗ {name}: 0 of {full} points so far.", self.outcome.sentence]
        sign = "✓" if self.passed else "✗"
        measured = f"a mean IoU of {self.mean_iou:.3f} on {self.pictures} pictures that it never saw"
        said = f"{sign} {name}: {self.points} of {full} points, for {measured}."
        classes = ", ".join(f"{label} {value:.2f}" for label, value in zip(self.exercise.classes, self.iou, strict=True))
        return [said, f"IoU of each class: {classes}.", *self._what_next(), *([self.outcome.sentence] if self.outcome.sentence else [])]

    def _what_next(self) -> list[str]:
        following = next(((least, points) for least, points in self.exercise.points if points > self.points), None)
        if following is None:
            return []
        if self.points == 0:
            least = f"The first {'point comes' if following[1] == 1 else f'{following[1]} points come'} at a mean IoU of {following[0]:.2f}"
            return [f"The network and its file fit together, and it answers as it should; what it lacks is training. {least}."]
        return [f"{following[1]} points come at {following[0]:.2f}."]


def examine_training(
    exercise: TrainingExercise, build: Callable, checkpoint: str | Path | None = None, *, device: str = "cpu", seed: int = 0
) -> TrainingResult:
    """`check` of a trained network without its display, all in one process."""
    images, targets = exercise.pictures(seed)
    file = exercise.checkpoint if checkpoint is None else checkpoint
    outcome = predict(build, file, images, len(exercise.classes), seconds=exercise.seconds, device=device)
    return score(exercise, outcome, targets)


def score(exercise: TrainingExercise, outcome: Outcome, targets: Tensor) -> TrainingResult:
    """Points for the labels in an outcome. They may come from a process that nobody trusts: what is no label is worth nothing.

    Args:
        outcome: Of `predict`.
        targets: The right labels, `[N, H, W]`.
    """
    if outcome.kind != "returned":
        return TrainingResult(exercise, outcome, len(targets))
    labels = outcome.arrays.get("labels")
    classes = len(exercise.classes)
    if labels is None or labels.dtype is not torch.uint8 or labels.shape != targets.shape or (labels.numel() and labels.max() >= classes):
        wrong = Outcome("unusable", sentence="The labels that came back are none: each pixel has one of the classes.")
        return TrainingResult(exercise, wrong, len(targets))
    iou = class_iou(confusion_matrix(labels, targets, classes, void=None)).nan_to_num(1.0)  # in neither: nothing to get wrong
    return TrainingResult(exercise, outcome, len(targets), tuple(iou.tolist()))
