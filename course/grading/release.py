"""What students get: lessons, their exercises, and a page that says how to work with them. It holds no solutions and no hidden cases."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from course import lessons
from course.errors import CourseError
from course.exercises.exercise import TrainingExercise
from course.exercises.lessons import questions_of as written_questions_of
from course.grading.free_names import write_under_free_name
from course.grading.limits import Limits
from course.grading.plain_text import points_text
from course.grading.questions import full_points, lesson_names, questions_of

REPOSITORY = re.compile(r"git\+https://github\.com/([\w-]+/[\w.-]+)")  # the cell that installs the course on Colab names it

PAGE = """
# {title}

{table}

A function earns points for each hidden case that it gets right, as soon as it gets more of them right than guessing would.

## Install

Python 3.11 or newer:

```sh
{install}
```

On Colab there is nothing to do: each notebook's first code cell installs the course.

## Open

In the folder with this file:

```sh
jupyter lab
```

Read the lesson first, then open its exercises, the notebook whose name ends in `_exercises`.

## Check

Each exercise is one function. Write its body, run its cell, then the cell with `check(...)` below it: it shows the first case that is not
right, with its inputs. Check as often as you like. For a whole notebook at once:

```sh
segcourse check {exercises}
```

## Hand in

Save the notebook and run its last cell, `submit()`. It checks everything once more, says what is missing, and packs one file,
`{packed}`; on Colab the file is downloaded. Hand in that file. Without the notebook open:

```sh
segcourse submit {exercises}
```

## Grading

- Your functions are run on cases that you have not seen, without internet; all cases of one may take {seconds:.0f} seconds. Numbers and
  sizes differ from the public cases, and what is asked does not.
- A cell that fails costs only what depends on it. If one thing doesn't work late at night, leave it as it is, and hand in the rest.
- Cells may be in any order, and helper functions in any cell. Printing and warnings cost nothing. Commands such as `!pip` and `%pip` are
  not run.
- Keep each function's name and its arguments. A function that is imported from the course, and not written, earns nothing.
- A cell that begins with `# TRAINING` is not run either: what counts is the file that it wrote, and `submit()` packs it.
- Questions in words are read by people. Write below *Your answer:*.
""".lstrip()


def release(folder: Path, wanted: Sequence[str], say: Callable[[str], None]) -> None:
    """Write lessons, their exercises and a README.md into a folder. Nothing there is overwritten.

    Args:
        wanted: Lessons, by number, topic or name; all of them when it is empty.
        say: What to do with a sentence for the instructor.

    Raises:
        CourseError: When there is no such lesson, or the folder cannot be written.
    """
    shipped = _shipped()
    known = lessons.notebooks(shipped)
    chosen = sorted({lessons.choose(known, lesson) for lesson in wanted} if wanted else known)
    if not chosen:
        raise CourseError("There is no lesson here yet: `segcourse build` makes the notebooks from lessons/NN_slug.py.")
    exercises = [path.with_stem(path.stem + lessons.EXERCISES) for path in chosen]
    notebooks = [path for pair in zip(chosen, exercises, strict=True) for path in pair if path.is_file()]
    with tempfile.TemporaryDirectory(prefix="segcourse-release-") as staged:
        for path in notebooks:
            shutil.copyfile(path, Path(staged, path.name))
        said = lessons.copy_lessons(Path(staged), folder)
    content = _page(chosen).encode()
    page = write_under_free_name(folder / "README.md", content, lambda path: path.is_file() and path.read_bytes() == content)
    say(f"{folder} holds {', '.join(path.name for path in notebooks)} and {page.name}.")
    for sentence in said:
        say(sentence)
    if page.name != "README.md":
        say(f"README.md there is another, and stays as it is; the new one is {page.name}.")


def _shipped() -> Path:
    root = lessons.checkout()
    return root / "lessons" if root else lessons.PACKAGE / "_lessons"


def _page(chosen: Sequence[Path]) -> str:
    asking = [path.stem for path in chosen if path.stem in lesson_names()]
    if not asking:
        raise CourseError(f"{', '.join(path.stem for path in chosen)}: there are no exercises, so there is nothing to hand in.")
    titles = {path.stem: _title(path) for path in chosen}
    return PAGE.format(
        title=titles[chosen[0].stem] if len(chosen) == 1 else "Image segmentation and object detection",
        table=_table({lesson: titles[lesson] for lesson in asking}),
        install=f'pip install "segcourse[lab]{_source(chosen[0])}"',
        exercises=f"{asking[0]}{lessons.EXERCISES}.ipynb",
        packed=f"{asking[0]}_submission.zip",
        seconds=Limits().seconds,
    )


def _table(titles: dict[str, str]) -> str:
    rows = ["| Lesson | Exercise | Points |", "|---|---|---|"]
    for lesson, title in titles.items():
        link = f"[{title}]({lesson}{lessons.EXERCISES}.ipynb)"
        for exercise in questions_of(lesson):
            trained = ", for the network that you have trained" if isinstance(exercise, TrainingExercise) else ""
            rows.append(f"| {link} | `{exercise.name}`{trained} | {points_text(full_points(exercise))} |")
            link = ""  # once a lesson
        rows += [f"| {link} | a question in words | your instructor says |" for _ in written_questions_of(lesson)]
    return "\n".join(rows)


def _title(path: Path) -> str:
    """A lesson's title: the first line of its first cell."""
    source = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
    return "".join(source).splitlines()[0].removeprefix("# ")


def _source(path: Path) -> str:
    """Where pip finds the course, in a requirement."""
    found = REPOSITORY.search(path.read_text(encoding="utf-8"))
    return f" @ git+https://github.com/{found[1]}" if found else ""
