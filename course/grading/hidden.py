"""The hidden cases of an exercise: drawn from the instructor's secret, with their expected answers, once for a whole class."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
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
        guessable: How many of them a function can get right that computes nothing: one that has learnt the public cases' answers by heart,
            by all of a case's inputs or by one of them or by its place, and returns one and the same value for all others.
    """

    cases: tuple[Case, ...]
    expected: tuple[Mapping[str, Tensor], ...]
    inputs: tuple[bytes, ...]
    guessable: int


@dataclass(frozen=True)
class HiddenPictures:
    """The pictures of a network to train, packed, and the right answers, one a picture."""

    images: bytes
    targets: Sequence


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
    return Hidden(cases, expected, packed, _guessable(exercise, cases, expected))


def hidden_pictures(exercise: TrainingExercise, secret: str) -> HiddenPictures:
    """The pictures of one of the course's networks to train that the secret draws."""
    return _pictures_of(exercise.name, secret)


@lru_cache(maxsize=4)
def _pictures_of(name: str, secret: str) -> HiddenPictures:
    exercise = all_trainings()[name]
    images, targets = exercise.pictures(seed_of(secret, exercise.name))
    return HiddenPictures(to_npz({"images": images}), targets)


def _guessable(exercise: Exercise, cases: tuple[Case, ...], expected: tuple[Mapping[str, Tensor], ...]) -> int:
    """The most cases that are right for whoever knows the public ones by heart, by all inputs or else by one sign, and has one answer for
    the rest."""
    learnt: dict[bytes, Counter] = defaultdict(Counter)
    for seed in PUBLIC_SEEDS:
        for place, case in enumerate(exercise.cases(seed)):
            answer = to_npz(expected_arrays(exercise, case))
            for sign in _signs(place, case).values():
                learnt[sign][answer] += 1
    by_heart = {sign: answers.most_common(1)[0][0] for sign, answers in learnt.items()}
    asked = [(_signs(place, case), to_npz(answer)) for place, (case, answer) in enumerate(zip(cases, expected, strict=True))]

    def right(kind: str) -> int:
        said = [by_heart.get(signs["all inputs"], by_heart.get(signs.get(kind))) for signs, _ in asked]
        unknown = Counter(answer for (_, answer), known in zip(asked, said, strict=True) if known is None)
        return sum(answer == known for (_, answer), known in zip(asked, said, strict=True)) + max(unknown.values(), default=0)

    return max(right(kind) for kind in {kind for signs, _ in asked for kind in signs})


def _signs(place: int, case: Case) -> dict[str, bytes]:
    """By what one may know a case again."""
    signs = {f"the input {name}": pack_inputs({name: value}) for name, value in case.inputs.items()}
    return signs | {"place": pack_inputs({"place": place}), "all inputs": pack_inputs({"inputs": 0} | case.inputs)}
