"""The exercises notebook of a lesson, made from its exercises: the starter for students, and one with solutions for teachers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from course.exercises.exercise import Exercise, Question, TrainingExercise
from course.exercises.lessons import built_in, exercises_of, questions_of, trainings_of
from course.exercises.starter import solution_code, starter

if TYPE_CHECKING:
    from nbformat import NotebookNode

_INTRODUCTION = """
# Exercises: {topic}

Each exercise is one function. Its first line and its description are given; you write the rest, in place of
`raise NotImplementedError`. Then run the cell below it:

- `check` runs your function on a number of cases and compares the answers with those of an independent implementation.
- If a case is not right, you see that case: the inputs, what was expected, what your function gave, and where they differ first.
  The early cases are small enough to work out by hand.
- To try the case yourself, keep the result: `result = check({first})`, then `{first}(**result.inputs)`.
- Keep the function's name and its arguments. Print whatever helps you; printing and warnings never count.
- With a GPU, `check({first}, device="cuda")` runs the cases there too. `check({first}, seed=1)` draws other numbers.

Helper functions are welcome, in the same cell or in one above it. You need not check for bad input.
""".strip()

_SOLUTION_NOTE = """
**This is the notebook with solutions.** They are the course's own functions as they are, checks of their input included.
""".strip()

_CLOSING = """
## Done?

Restart the kernel and run all cells from the top: what worked only because of a cell that you have since deleted shows now. When every
check is right, you have built {built} yourself. If one is not, leave it: a cell that fails costs only itself.
""".strip()

_HAND_IN = """
## Hand in

Save the notebook (Ctrl+S, on a Mac ⌘S), then run the cell below. It checks the public cases once more, says what is missing, and packs
everything into one file to hand in. You can do so as often as you like.
""".strip()

_WATCH = """
Watch it go wrong (or right), step by step:

```python
import segwidgets

{call}
```
""".strip()

_POINTS = """
| {measure} from | {least} |
|---|{rules}
| points | {points} |

Half of the points are a pass.
""".strip()

EMPTY_ANSWER = "*Your answer:*"


def starter_notebook(lesson: str) -> NotebookNode:
    """The notebook that students get, as an nbformat 4 node. The same lesson gives the same bytes, cell ids included.

    Args:
        lesson: such as `"03_unpooling"`.

    Raises:
        ValueError: When the lesson has no exercises.
    """
    return _notebook(lesson, solved=False)


def solution_notebook(lesson: str) -> NotebookNode:
    """The same notebook with every exercise solved and every question answered, folded away.

    Args:
        lesson: such as `"03_unpooling"`.

    Raises:
        ValueError: When the lesson has no exercises.
    """
    return _notebook(lesson, solved=True)


def _notebook(lesson: str, solved: bool) -> NotebookNode:
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    exercises = exercises_of(lesson)
    introduction = _INTRODUCTION.format(topic=_topic(lesson), first=exercises[0].name)
    cells = [new_markdown_cell(introduction, id="introduction")]
    if solved:
        cells.append(new_markdown_cell(_SOLUTION_NOTE, id="solutions"))
    cells.append(new_code_cell("import torch\n\nfrom course import check", id="imports"))
    for place, exercise in enumerate(exercises, start=1):
        cells += _exercise_cells(place, exercise, solved)
    trainings = trainings_of(lesson)
    for place, training in enumerate(trainings, start=len(exercises) + 1):
        cells += _training_cells(place, training, solved)
    for place, question in enumerate(questions_of(lesson), start=len(exercises) + len(trainings) + 1):
        cells += _question_cells(place, question, solved)
    cells.append(new_markdown_cell(_CLOSING.format(built=built_in(lesson)), id="closing"))
    cells.append(new_markdown_cell(_HAND_IN, id="hand-in"))
    cells.append(new_code_cell("from course import submit\n\nsubmit()", id="submit"))
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return new_notebook(cells=cells, metadata=metadata)


def _topic(lesson: str) -> str:
    return lesson.lstrip("0123456789_").replace("_", " ")


def _exercise_cells(place: int, exercise: Exercise, solved: bool) -> list[NotebookNode]:
    from nbformat.v4 import new_code_cell, new_markdown_cell

    code = solution_code(exercise) if solved else starter(exercise)
    expected = f"\n\nThe expected answers come from {exercise.reference_name}."
    cells = [
        new_markdown_cell(f"## {place}. `{exercise.name}`\n\n{exercise.prompt}{expected}", id=_cell_id(exercise.name, "prompt")),
        new_code_cell(code, id=_cell_id(exercise.name, "code")),
        new_code_cell(f"check({exercise.name})", id=_cell_id(exercise.name, "check")),
    ]
    if exercise.watch:  # as text: a cell would fail for as long as the function is not written
        cells.append(new_markdown_cell(_WATCH.format(call=exercise.watch), id=_cell_id(exercise.name, "watch")))
    return cells


def _training_cells(place: int, training: TrainingExercise, solved: bool) -> list[NotebookNode]:
    from nbformat.v4 import new_code_cell, new_markdown_cell

    least, points = zip(*training.points, strict=True)
    columns = {"least": " | ".join(f"{value:.2f}" for value in least), "points": " | ".join(map(str, points)), "rules": "---|" * len(least)}
    table = _POINTS.format(measure=training.task.measure, **columns)
    code = solution_code(training) if solved else starter(training)
    check = f'check({training.name}, checkpoint="{training.checkpoint}")'
    return [
        new_markdown_cell(f"## {place}. `{training.name}`\n\n{training.prompt}\n\n{table}", id=_cell_id(training.name, "prompt")),
        new_code_cell(code, id=_cell_id(training.name, "code")),
        new_code_cell(training.training, id=_cell_id(training.name, "training")),
        new_code_cell(check, id=_cell_id(training.name, "check")),
    ]


def _question_cells(place: int, question: Question, solved: bool) -> list[NotebookNode]:
    from nbformat.v4 import new_markdown_cell

    folded = f"<details>\n<summary>What a good answer contains</summary>\n\n{question.good_answer}\n\n</details>"
    return [
        new_markdown_cell(f"## {place}. A question\n\n{question.prompt}", id=_cell_id(question.name, "prompt")),
        new_markdown_cell(folded if solved else EMPTY_ANSWER, id=_cell_id(question.name, "answer")),
    ]


def _cell_id(name: str, part: str) -> str:
    return f"{name[: 63 - len(part)]}-{part}"
