"""Packing a notebook to hand it in: its public cases are checked once more, and one file holds all that belongs to it.

03_unpooling_exercises.ipynb   the notebook as it is
fcn.safetensors                the checkpoints that the lesson asks for
submission.json                what is in the file, and the versions that it was made with
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from course import __version__
from course.errors import CourseError
from course.exercises.exercise import TrainingExercise
from course.exercises.lessons import questions_of as written_questions_of
from course.exercises.lessons import trainings_of
from course.grading import submissions
from course.grading.free_names import write_under_free_name
from course.grading.open_notebook import Notebook, find_open_notebook, is_run_by_a_reader, namespace, read_notebook, unsaved
from course.grading.questions import NAMED, lesson_of, questions_of
from course.grading.written import is_answered, markdown_cells

FORMAT, FACTS = "segcourse submission 1", "submission.json"
SIGNS = ("✓", "✗", "○")
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # for every file in it: the same content makes the same bytes
# What a check must not do again: commands of the system, and what installs packages. While grading they do nothing either.
SHELL_CELL = re.compile(r"\s*%%(?:!|(?:bash|sh|script|system|sx|cmd)\b).*", re.DOTALL)
SHELL_LINE = re.compile(r"^([ \t]*)(?:!(?!=)|%(?:pip|conda|mamba|micromamba|uv|sx|system)\b)(?:.*\\\n)*.*$", re.MULTILINE)


@dataclass(frozen=True)
class _Item:
    """One thing that is asked for: what to call it, a line about how it stands, and whether it is as it should be."""

    name: str
    line: str
    done: bool


def submit(notebook: str | Path | None = None, *, to: str | Path | None = None) -> None:
    """Pack this notebook, and what belongs to it, into one file to hand in, and say what is still missing.

    On Colab the file is downloaded too. In a notebook that is being checked, built or graded it does nothing.

    Args:
        notebook: Its file, where it is not the one that is open here.
        to: The folder for the packed file; the notebook's own without it.
    """
    if not is_run_by_a_reader():
        return
    try:
        found = find_open_notebook() if notebook is None else read_notebook(Path(notebook))
        if _is_behind(found) and notebook is None:
            return
        packed, _ = _pack(found, None if to is None else Path(to), print)
    except CourseError as error:
        print(error)
        return
    if "google.colab" in sys.modules:
        from google.colab import files

        files.download(str(packed))


def pack_notebook(notebook: Path, to: Path | None, say: Callable[[str], None]) -> bool:
    """Pack the notebook and what belongs to it into one file, such as `03_unpooling_submission.zip`, whatever is missing.

    Args:
        to: The folder for the packed file; it is made where there is none. The notebook's without it.
        say: What to do with a line for the student.

    Returns: Whether nothing is missing: all public checks passed, the checkpoint is there, the questions are answered.

    Raises:
        CourseError: When it can't be read as a notebook of a lesson's exercises, or nothing can be written there.
    """
    return _pack(read_notebook(notebook), to, say)[1]


def _is_behind(notebook: Notebook) -> bool:
    """Whether the saved notebook is not what runs here; if so, it is said."""
    cells = _read(notebook).cells
    lesson = lesson_of(notebook.name, cells)
    names = unsaved([exercise.name for exercise in questions_of(lesson)], namespace(), cells) if lesson else []
    if names:
        print(f"{', '.join(names)}: what runs here is not what stands in {notebook.name}, {notebook.state}.")
        print("Save the notebook (Ctrl+S, on a Mac ⌘S), and run this cell again.")
        print(f'To pack the file as it is: submit("{notebook.name}")')
    return bool(names)


def _pack(notebook: Notebook, to: Path | None, say: Callable[[str], None]) -> tuple[Path, bool]:
    submission = _read(notebook)
    lesson = lesson_of(notebook.name, submission.cells)
    named = {name for cell in submission.cells for name in NAMED.findall(cell)}
    if lesson is None or not named & {exercise.name for exercise in questions_of(lesson)}:
        raise CourseError(
            f"{notebook.name} has none of a lesson's exercises: the notebook to hand in is one like 03_unpooling_exercises.ipynb."
        )
    checkpoints = _checkpoints(lesson, notebook.folder)
    report = _check(notebook.name, submission.cells, checkpoints, say)
    items = [*_functions(lesson, report["exercises"], notebook.folder, checkpoints), *_answers(lesson, notebook.content)]
    for line in [*report["failed_cells"], *(item.line for item in items)]:
        say(line)
    facts = _facts(lesson, notebook, checkpoints, {exercise["name"]: exercise["passed"] for exercise in report["exercises"]})
    path = (to or notebook.folder) / f"{lesson}_submission.zip"
    packed = write_under_free_name(path, _zip(notebook, checkpoints, facts), lambda path: _is_packed(path, notebook.name))
    missing = [item.name for item in items if not item.done]
    say(f"\n{packed.name} is the file to hand in.")
    say(f"It holds {' and '.join([*checkpoints, f'{notebook.name}, {notebook.state}'])}.")
    if missing:
        say(f"What remains: {', '.join(missing)}.")
        say("You can hand it in as it is, or go on and pack it again.")
    else:
        say("Public checks passed; hidden checks remain.")
    return packed, not missing


def _read(notebook: Notebook) -> submissions.Submission:
    """The notebook as the grader will read it.

    Raises:
        CourseError: When the grader could not.
    """
    with tempfile.TemporaryDirectory(prefix="segcourse-submit-") as folder:
        Path(folder, "notebook.ipynb").write_bytes(notebook.content)
        submission = submissions.read(Path(folder), "notebook.ipynb")
    if submission.problem:
        raise CourseError(f"{notebook.name} can't be handed in. {submission.problem}")
    return submission


def _checkpoints(lesson: str, folder: Path) -> dict[str, bytes]:
    """Those of the lesson's checkpoints that are there and not too large to be graded, by name."""
    paths = [folder / training.checkpoint for training in trainings_of(lesson)]
    try:
        fit = (path for path in paths if path.is_file() and path.stat().st_size <= submissions.MOST_CHECKPOINT)
        return {path.name: path.read_bytes() for path in sorted(fit)}
    except OSError as error:
        raise CourseError(f"{error.filename} cannot be read ({error.strerror}).") from None


def _check(name: str, cells: Sequence[str], checkpoints: Mapping[str, bytes], say: Callable[[str], None]) -> dict:
    """What `check_notebook` finds in a copy. Where it can't be run, that is said, and nothing counts as checked."""
    with tempfile.TemporaryDirectory(prefix="segcourse-submit-") as folder:
        for checkpoint, content in checkpoints.items():
            Path(folder, checkpoint).write_bytes(content)
        copy = Path(folder, name)
        copy.write_text(json.dumps(_for_the_check(cells)), encoding="utf-8")
        try:
            from course.student_notebook import check_notebook

            return check_notebook(copy)
        except ImportError as error:
            say(f'The public cases could not be checked, for want of {error.name}: pip install "segcourse[lab]" brings it.')
        except CourseError as error:
            say(f"The public cases could not be checked: {error}")
    return {"exercises": [], "failed_cells": []}


def _for_the_check(cells: Sequence[str]) -> dict:
    """A notebook of these code cells and nothing else, in which no command of the system is run."""
    kept = [SHELL_LINE.sub(r"\1pass", cell) for cell in cells if not SHELL_CELL.fullmatch(cell)]
    code = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    return {
        "cells": [code | {"id": f"cell-{place}", "source": source} for place, source in enumerate(kept)],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _functions(lesson: str, checked: Sequence[dict], folder: Path, checkpoints: Mapping[str, bytes]) -> list[_Item]:
    found = {exercise["name"]: exercise for exercise in checked}
    items = []
    for exercise in questions_of(lesson):
        name = exercise.name
        if name not in found:
            why = "not checked" if not checked else "not in the notebook"
            items.append(_Item(name, f"○ {name}: {why}.", False))
        else:
            line = found[name]["text"].splitlines()[0]
            line = line if line.startswith(SIGNS) else f"✗ {line}"
            items.append(_Item(name, line, found[name]["passed"]))
        if isinstance(exercise, TrainingExercise) and exercise.checkpoint not in checkpoints:
            items.append(_missing_checkpoint(folder / exercise.checkpoint))
    return items


def _missing_checkpoint(path: Path) -> _Item:
    if path.is_file():
        size, most = path.stat().st_size / 1e6, submissions.MOST_CHECKPOINT / 1e6
        return _Item(path.name, f"✗ {path.name} has {size:.0f} MB and is left out: {most:.0f} MB are graded at most.", False)
    return _Item(path.name, f"○ {path.name} is missing: it belongs beside the notebook, and the cell that trains writes it.", False)


def _answers(lesson: str, content: bytes) -> list[_Item]:
    """The questions that are answered in words, by the number that they have in the notebook."""
    said = {True: "✓ Question {} is answered; people read it.", False: "○ Question {}: no answer yet.", None: "○ Question {} is not there."}
    texts = markdown_cells(content)
    items = []
    for number, question in enumerate(written_questions_of(lesson), start=len(questions_of(lesson)) + 1):
        answered = is_answered(question, texts)
        items.append(_Item(f"question {number}", said[answered].format(number), bool(answered)))
    return items


def _facts(lesson: str, notebook: Notebook, checkpoints: Mapping[str, bytes], passed: Mapping[str, bool]) -> bytes:
    """What a reader of the packed file may want to know; nothing about who made it, or where."""
    import torch
    import torchvision

    device = "mps" if torch.backends.mps.is_available() else "cpu"
    facts = {
        "format": FORMAT,
        "lesson": lesson,
        "notebook": notebook.name,
        "checkpoints": {name: hashlib.sha256(content).hexdigest() for name, content in checkpoints.items()},
        "public checks": dict(passed),
        "environment": {
            "course": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "platform": f"{platform.system()} {platform.machine()}",
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else device,
            "colab": "google.colab" in sys.modules,
        },
    }
    return json.dumps(facts, indent=1).encode()


def _zip(notebook: Notebook, checkpoints: Mapping[str, bytes], facts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in {notebook.name: notebook.content, **checkpoints, FACTS: facts}.items():
            member = zipfile.ZipInfo(name, LONG_AGO)
            member.external_attr = 0o644 << 16
            packed.writestr(member, content, zipfile.ZIP_STORED if name in checkpoints else zipfile.ZIP_DEFLATED)  # weights don't shrink
    return file.getvalue()


def _is_packed(path: Path, notebook: str) -> bool:
    """Whether the file is one that was packed here from a notebook of that name."""
    if path.is_symlink() or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as packed:
            facts = json.loads(packed.read(FACTS))
        return (facts["format"], facts["notebook"]) == (FORMAT, notebook)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, RuntimeError, EOFError, NotImplementedError):
        return False
