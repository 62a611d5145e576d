"""What holds for every exercise of the course, whichever lesson it is in."""

import ast
import inspect

import pytest
import torch

from course.exercises.checking import examine, expected_arrays
from course.exercises.comparing import compare
from course.exercises.exercise import Case
from course.exercises.lessons import all_exercises
from course.exercises.running import run
from course.exercises.starter import solution_code, starter

EXERCISES = list(all_exercises().values())
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.common_mistakes]
SEEDS = 50
every_exercise = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
every_mistake = pytest.mark.parametrize(("exercise", "mistake"), MISTAKES, ids=[f"{e.name}-{m.name}" for e, m in MISTAKES])


def function_from(code, name):
    """The function as a notebook would have it: nothing is imported but torch."""
    namespace = {"torch": torch}
    exec(compile(code, "<cell>", "exec"), namespace)
    return namespace[name]


@every_exercise
def test_solution_and_reference_agree_on_every_case_of_many_seeds(exercise):
    for seed in range(SEEDS):
        for case in exercise.cases(seed):
            outcome = run(exercise.solution, case)
            assert outcome.kind == "returned", (seed, case, outcome.sentence)
            assert compare(expected_arrays(exercise, case), outcome.arrays, exercise.tolerance) is None, (seed, case)


@every_exercise
def test_solution_passes(exercise):
    result = examine(exercise, exercise.solution)
    assert result.passed
    assert repr(result) == f"✓ {exercise.name}: all {result.cases} cases are right."


@pytest.mark.gpu
@every_exercise
def test_solution_passes_on_a_gpu(exercise):
    assert examine(exercise, exercise.solution, ("cpu", "cuda")).passed


@every_exercise
def test_starter_runs_with_torch_alone_and_says_kindly_that_it_is_not_written(exercise):
    result = examine(exercise, function_from(starter(exercise), exercise.name))
    assert not result.passed
    assert repr(result).startswith(f"○ {exercise.name}: not written yet.")
    assert "Traceback" not in repr(result)


@every_exercise
def test_starter_is_the_signature_the_docstring_and_nothing_of_the_solution(exercise):
    (function,) = ast.parse(starter(exercise)).body
    docstring, statement = function.body
    assert isinstance(statement, ast.Raise)
    assert "Raises" not in ast.get_docstring(function)
    assert ast.get_docstring(function).splitlines()[0] == (exercise.docstring or inspect.getdoc(exercise.solution)).splitlines()[0]
    ours, theirs = inspect.signature(exercise.solution), inspect.signature(function_from(starter(exercise), exercise.name))
    assert list(ours.parameters) == list(theirs.parameters)
    for name, parameter in ours.parameters.items():
        assert theirs.parameters[name].default == parameter.default
        assert theirs.parameters[name].kind == parameter.kind
        assert theirs.parameters[name].annotation is not inspect.Parameter.empty


@every_exercise
def test_solution_code_runs_on_its_own(exercise):
    assert examine(exercise, function_from(solution_code(exercise), exercise.name)).passed


@every_mistake
def test_mistake_is_caught_and_named_whatever_the_seed(exercise, mistake):
    for seed in range(8):
        result = examine(exercise, mistake.function, seed=seed)
        assert not result.passed, seed
        assert mistake.message in repr(result), (seed, result)


@every_mistake
def test_mistake_speaks_in_one_voice(exercise, mistake):
    assert mistake.message.startswith("This is what happens when ")
    assert mistake.message.endswith(".")


@every_exercise
def test_names_of_cases_and_mistakes_are_different_and_there_are_enough_of_them(exercise):
    cases = [case.name for case in exercise.cases(0)]
    assert len(set(cases)) == len(cases) >= 5
    names = [mistake.name for mistake in exercise.common_mistakes]
    assert len(set(names)) == len(names) >= 4


@every_exercise
def test_the_same_seed_gives_the_same_cases_and_another_seed_other_ones(exercise):
    def inputs(seed):
        return [
            {name: getattr(value, "tolist", lambda v=value: v)() for name, value in case.inputs.items()} for case in exercise.cases(seed)
        ]

    assert inputs(3) == inputs(3)
    assert inputs(3) != inputs(4)


@every_exercise
def test_answers_learnt_by_heart_are_wrong_for_another_seed(exercise):
    answers, others = ([expected_arrays(exercise, case) for case in exercise.cases(seed)] for seed in (0, 1))
    equal = [compare(a, b, 0.0) is None for a, b in zip(answers, others, strict=True)]
    assert sum(equal) <= len(equal) / 3, equal


@every_exercise
def test_drawing_cases_leaves_the_global_generator_alone(exercise):
    before = torch.random.get_rng_state()
    list(exercise.cases(0))
    assert torch.equal(before, torch.random.get_rng_state())


def test_names_of_exercises_are_different():
    from course.exercises.lessons import _topics

    names = [exercise.name for _, module in _topics() for exercise in module.EXERCISES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, print, (1, "a"), torch.nn.Parameter(torch.ones(1))])
def test_an_input_that_cannot_cross_into_another_process_is_refused(value):
    with pytest.raises(TypeError, match="the input 'x' is a"):
        Case("odd", {"x": value})
