"""What an exercise is: a function that the course itself has, and everything needed to ask for it and to judge it.

The parts are kept apart so that a grader can use them in two processes. The cases and the reference stay with the one who judges;
only a case's inputs go to the student's function. So inputs are plain: tensors, numbers, strings, tuples of numbers, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from course.exercises.task import Task

Number = bool | int | float
Value = torch.Tensor | Number | str | tuple[Number, ...] | None


def _is_plain(value: object) -> bool:
    if type(value) is tuple:
        return all(type(entry) in (bool, int, float) for entry in value)
    return value is None or type(value) in (torch.Tensor, bool, int, float, str)


@dataclass(frozen=True)
class Case:
    """One call of the function: a name that says what is special about it, and the arguments by name.

    Raises:
        TypeError: When an input is not a tensor, number, string, tuple of numbers or None. Nothing else can cross into another
            process safely.
    """

    name: str
    inputs: Mapping[str, Value]

    def __post_init__(self) -> None:
        for name, value in self.inputs.items():
            if not _is_plain(value):
                kind = type(value).__name__
                raise TypeError(
                    f"case {self.name!r}: the input {name!r} is a {kind}; "
                    "accepted are tensors, numbers, strings, tuples of numbers and None"
                )


@dataclass(frozen=True)
class Mistake:
    """A wrong version that students write, and the sentence that tells them what happened ("This is what happens when …").

    Attributes:
        error: What the error says, as a regular expression, when the wrong version raises one on some cases. Without it, only answers
            are compared: two functions that raise the same error need not have made the same mistake.
    """

    name: str
    function: Callable
    message: str
    error: str = ""


@dataclass(frozen=True)
class Exercise:
    """A function to write.

    Attributes:
        prompt: What is asked, in Markdown.
        solution: The course's own function. Its name is the exercise's name, and the starter is made from its signature and docstring.
        reference: An independent peer, called with the same arguments; its answer is the expected one.
        reference_name: What students are told the expected answer comes from, such as `"torch.nn.functional.max_unpool2d"`.
        cases: `cases(seed)` yields the cases, first the small ones that can be checked by hand. The seed decides every number in
            them, so that an answer learnt by heart is right for one seed only.
        common_mistakes: Wrong versions, the more particular first: the first that gives the student's own answers is the one named.
        tolerance: A float is right when `|got − expected| ≤ tolerance · max(1, |expected|)`; whole numbers must be equal.
        docstring: What the starter says in place of the solution's docstring, where that would give the answer away.
        watch: The call of `segwidgets` that plays the student's function step by step, shown below the check; empty when there is none.
        in_words: For an input whose numbers are codes, a function from the input to lines of words; they are shown in place of the numbers.
    """

    prompt: str
    solution: Callable
    reference: Callable
    reference_name: str
    cases: Callable[[int], Iterator[Case]]
    common_mistakes: tuple[Mistake, ...] = field(repr=False)
    tolerance: float = 1e-5
    docstring: str = ""
    watch: str = ""
    in_words: Mapping[str, Callable[[Value], Sequence[str]]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return self.solution.__name__


# How the cell of a notebook begins that trains: it may take an hour, so whoever checks or grades a notebook leaves it out, and takes
# the file that it wrote.
TRAINING_CELL = "# TRAINING"


@dataclass(frozen=True)
class TrainingExercise:
    """A network to build and to train. It is judged by what it does on pictures that nobody has seen.

    Attributes:
        prompt: What is asked, in Markdown, without the table of points, which is made from `points`.
        solution: The course's own builder, without arguments: → a module, images `[N, 3, H, W]` → what `task` says. Its name is the
            exercise's name.
        training: The source of the cell that builds, trains and saves; it begins with `TRAINING_CELL`.
        checkpoint: The safetensors file that this cell writes.
        pictures: `pictures(seed)` → images `[N, 3, H, W]` and targets, one a picture, as `task` has them. They stay with the one who
            judges, but for the images.
        task: What the network has to do: how its answers look, and what they are worth.
        points: (score from which on, points) pairs, both rising.
        seconds: of processor time that the network may take for all pictures.
        docstring: What the starter says in place of the solution's docstring.
    """

    prompt: str
    solution: Callable[[], torch.nn.Module]
    training: str
    checkpoint: str
    pictures: Callable[[int], tuple[torch.Tensor, Sequence]] = field(repr=False)
    task: Task
    points: tuple[tuple[float, int], ...]
    seconds: float = 60.0
    docstring: str = ""

    @property
    def name(self) -> str:
        return self.solution.__name__

    @property
    def full(self) -> int:
        """The most points that there are."""
        return self.points[-1][1]

    def points_for(self, score: float) -> int:
        return max((points for least, points in self.points if score >= least), default=0)


@dataclass(frozen=True)
class Question:
    """A question answered in words: nothing runs it, so the solution tells what a good answer contains (Markdown)."""

    name: str
    prompt: str
    good_answer: str
