"""The hidden cases of an exercise as Python source, for graders whose tests are code: the same inputs and answers that ours compares.

The answers are those of the exercise's reference, written out. `torch.testing.assert_close` compares, with the exercise's tolerance.
"""

import torch

from course.exercises.exercise import Exercise, Value
from course.grading.hidden import seed_of


def hidden_test(exercise: Exercise, secret: str) -> str:
    """Statements that raise when an answer is not right. They need the student's function, and nothing else."""
    lines = ["import torch", ""]
    for case in exercise.cases(seed_of(secret, exercise.name)):
        inputs = ", ".join(f"{name}={literal(value)}" for name, value in case.inputs.items())
        expected = literal(exercise.reference(**case.inputs))
        near = f"rtol={exercise.tolerance!r}, atol={exercise.tolerance!r}"
        lines.append(f"torch.testing.assert_close({exercise.name}({inputs}), {expected}, {near})")
    return "\n".join(lines)


def literal(value: Value) -> str:
    """A value as source text that gives it back bit for bit; NaN and infinity have none."""
    if not isinstance(value, torch.Tensor):
        return repr(value)
    assert value.isfinite().all(), "an input or an answer that is not finite cannot be written out"
    return f"torch.tensor({value.flatten().tolist()}, dtype={value.dtype}).reshape({tuple(value.shape)})"
