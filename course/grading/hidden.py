"""The hidden cases of an exercise: drawn from the instructor's secret, with their expected answers, once for a whole class."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from course.exercises.checking import expected_arrays
from course.exercises.exercise import Case, Exercise, TrainingExercise
from course.exercises.lessons import all_exercises, all_trainings
from course.grading.arrays import pack_inputs, to_npz

# Seeds with which students may have looked at the cases: `check(f)` takes 0, and nobody tries many.
PUBLIC_SEEDS = range(10)


@dataclass(frozen=True)
class Hidden:
    """The cases of a function, and what is expected.

    Attributes:
        inputs: The cases' inputs, packed one by one.
        guessable: How many of them a function can get right that computes nothing: one that has learnt the public cases' answers by heart
            and returns one and the same value for all others.
    """

    cases: tuple[Case, ...]
    expected: tuple[Mapping[str, Tensor], ...]
    inputs: tuple[bytes, ...]
    guessable: int


@dataclass(frozen=True)
class HiddenPictures:
    """The pictures of a network to train, packed, and their labels `[N, H, W]`."""

    images: bytes
    targets: Tensor


def seed_of(secret: str, question: str) -> int:
    """The seed of a question's cases, 0 ≤ seed < 2⁶³. Nobody gets from it, or from another question's, back to the secret."""
    digest = hashlib.pbkdf2_hmac("sha256", secret.encode(), f"segcourse cases of {question}".encode(), 10_000)
    return int.from_bytes(digest[:8], "big") >> 1


def hidden_cases(exercise: Exercise, secret: str) -> Hidden:
    """The cases of one of the course's exercises that the secret draws."""
    return _cases_of(exercise.name, secret)


@lru_cache(maxsize=64)
def _cases_of(name: str, secret: str) -> Hidden:
    exercise = all_exercises()[name]
    cases = tuple(exercise.cases(seed_of(secret, exercise.name)))
    expected = tuple(expected_arrays(exercise, case) for case in cases)
    packed = tuple(pack_inputs(case.inputs) for case in cases)
    return Hidden(cases, expected, packed, _guessable(exercise, packed, expected))


def hidden_pictures(exercise: TrainingExercise, secret: str) -> HiddenPictures:
    """The pictures of one of the course's networks to train that the secret draws."""
    return _pictures_of(exercise.name, secret)


@lru_cache(maxsize=4)
def _pictures_of(name: str, secret: str) -> HiddenPictures:
    exercise = all_trainings()[name]
    images, targets = exercise.pictures(seed_of(secret, exercise.name))
    return HiddenPictures(to_npz({"images": images}), targets)


def _guessable(exercise: Exercise, inputs: tuple[bytes, ...], expected: tuple[Mapping[str, Tensor], ...]) -> int:
    """The most cases that are right for whoever knows the public ones by heart and has one answer for the rest."""
    public = [case for seed in PUBLIC_SEEDS for case in exercise.cases(seed)]
    seen = {pack_inputs(case.inputs) for case in public}
    unseen = [_key(answer) for packed, answer in zip(inputs, expected, strict=True) if packed not in seen]
    answers = Counter(unseen)
    return len(inputs) - len(unseen) + max(answers.values(), default=0)


def _key(arrays: Mapping[str, Tensor]) -> bytes:
    return to_npz(arrays)
