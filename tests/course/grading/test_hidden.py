"""Hidden cases: drawn from the secret, the same for a whole class, and not to be had by heart."""

import pytest
import torch

from course.exercises.checking import expected_arrays
from course.exercises.comparing import compare
from course.exercises.lessons import all_exercises
from course.grading.arrays import unpack_inputs
from course.grading.hidden import hidden_cases, seed_of

SECRET = "a secret of the tests"
EXERCISES = all_exercises()


def test_seeds_differ_by_secret_and_question_and_fit_a_generator():
    seeds = {seed_of(secret, name) for secret in ("a", "b", "", "ä" * 1000) for name in EXERCISES}
    assert len(seeds) == 4 * len(EXERCISES)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of("a", "max_unpool") == seed_of("a", "max_unpool")


@pytest.mark.parametrize("name", EXERCISES)
def test_the_packed_inputs_are_the_cases(name):
    hidden = hidden_cases(EXERCISES[name], SECRET)
    drawn = list(EXERCISES[name].cases(seed_of(SECRET, name)))
    assert [case.name for case in hidden.cases] == [case.name for case in drawn]
    for case, packed, expected in zip(drawn, hidden.inputs, hidden.expected, strict=True):
        inputs = unpack_inputs(packed)
        assert list(inputs) == list(case.inputs)
        for key, value in case.inputs.items():
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(inputs[key], value, rtol=0, atol=0, equal_nan=True)
            else:
                assert inputs[key] == value and type(inputs[key]) is type(value)
        assert compare(expected_arrays(EXERCISES[name], case), expected, 0.0) is None


@pytest.mark.parametrize("name", EXERCISES)
def test_what_can_be_guessed_is_less_than_half_of_it(name):
    """An exercise whose cases hardly depend on the seed would be graded on memory."""
    hidden = hidden_cases(EXERCISES[name], SECRET)
    assert hidden.guessable < len(hidden.cases) / 2


@pytest.mark.parametrize("name", EXERCISES)
def test_the_guessable_ones_are_counted_as_a_guesser_would_get_them(name):
    """An independent count: really learn the public answers by heart, and try every hidden answer as the constant."""
    exercise = EXERCISES[name]
    by_heart = {}
    for seed in range(10):
        for case in exercise.cases(seed):
            by_heart[repr(sorted(case.inputs.items(), key=str))] = expected_arrays(exercise, case)
    hidden = hidden_cases(exercise, SECRET)
    known = [by_heart.get(repr(sorted(case.inputs.items(), key=str))) for case in hidden.cases]

    def right(constant):
        guesses = [constant if answer is None else answer for answer in known]
        return sum(compare(want, guess, exercise.tolerance) is None for want, guess in zip(hidden.expected, guesses, strict=True))

    assert max(right(constant) for constant in hidden.expected) <= hidden.guessable
