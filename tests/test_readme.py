"""The README tells the truth: its lesson table, its two commands, its badges, its pictures."""

import importlib
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import segwidgets
from course import lessons
from course.build import repository_of
from course.exercises import exercises_of
from course.exercises.lessons import trainings_of
from tests.environments import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = ["Lesson", "Module", "Widget", "Exercises"]


def table() -> list[dict[str, str]]:
    """The rows of the lesson table, each a cell by its column's name."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in README.splitlines() if line.startswith("|")]
    assert rows[0] == COLUMNS
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def notebook_of(row: dict[str, str]) -> Path:
    link = re.fullmatch(r"\[(\d\d) [^\]]+\]\((lessons/(\d\d)_\w+\.ipynb)\)", row["Lesson"])
    assert link and link[1] == link[3], f"{row['Lesson']} is not [NN Title](lessons/NN_slug.ipynb)"
    return ROOT / link[2]


def missing_rows(rows: list[dict[str, str]], notebooks: list[Path]) -> list[str]:
    """One sentence for each built lesson without a row, with the row to add."""
    there = [notebook_of(row) for row in rows]
    links = [path.relative_to(ROOT).as_posix() for path in notebooks if path not in there]
    return [
        f"{link} has no row in README.md's lesson table: "
        f"add | [{Path(link).name[:2]} Title]({link}) | `course.…` | `segwidgets.…` | `exercise` |"
        for link in links
    ]


def is_there(dotted: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    try:
        importlib.import_module(dotted)
        return True
    except ModuleNotFoundError:
        module, _, attribute = dotted.rpartition(".")
        return bool(module) and is_there(module) and hasattr(importlib.import_module(module), attribute)


def test_is_there_can_say_no():
    assert is_there("course.ops") and is_there("course.ops.unpooling.max_unpool")
    assert not is_there("course.ops.painting") and not is_there("course.ops.unpooling.paint") and not is_there("painting")


def test_every_built_lesson_has_its_row_and_every_row_its_lesson():
    built = lessons.notebooks(ROOT / "lessons")
    missing = missing_rows(table(), built)
    assert not missing, "\n".join(missing)
    assert [notebook_of(row) for row in table()] == built


def test_a_missing_row_is_told_with_what_to_add(monkeypatch):
    built = lessons.notebooks(ROOT / "lessons")
    monkeypatch.setattr(lessons, "notebooks", lambda folder: [*built, ROOT / "lessons" / "90_try.ipynb"])
    with pytest.raises(AssertionError) as failure:
        test_every_built_lesson_has_its_row_and_every_row_its_lesson()
    told = "lessons/90_try.ipynb has no row in README.md's lesson table: "
    row = "| [90 Title](lessons/90_try.ipynb) | `course.…` | `segwidgets.…` | `exercise` |"
    assert str(failure.value).splitlines()[0] == f"{told}add {row}"


@pytest.mark.parametrize("row", table(), ids=lambda row: row["Lesson"][1:3])
def test_a_row_names_what_is_there(row):
    assert [name for name in names(row["Module"]) if not (name.startswith("course.") and is_there(name))] == []
    assert [name for name in names(row["Widget"]) if not (name.startswith("segwidgets.") and is_there(name))] == []
    lesson = notebook_of(row).stem
    asked = [exercise.name for exercise in (*exercises_of(lesson), *trainings_of(lesson))]
    assert sorted(names(row["Exercises"])) == sorted(asked)
    assert names(row["Module"]) and names(row["Widget"])


@pytest.mark.parametrize("row", table(), ids=lambda row: row["Lesson"][1:3])
def test_a_lesson_uses_the_modules_and_widgets_of_its_row(row):
    source = notebook_of(row).with_suffix(".py").read_text(encoding="utf-8")
    for name in names(row["Module"]) + names(row["Widget"]):
        last = name.rpartition(".")[2]
        assert name in source or re.search(rf"from {re.escape(name.rpartition('.')[0])} import .*\b{last}\b", source), name


def test_the_second_command_is_the_one_that_ci_runs():
    commands = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    assert commands == ['pip install -e ".[lab]" && segcourse open', 'pip install -e ".[test]" && python -m tests']
    assert commands[1] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_badges_are_those_of_the_repository():
    repository = repository_of(ROOT)
    assert set(re.findall(r"colab\.research\.google\.com/github/([\w-]+/[\w-]+)/", README)) == {repository}
    assert set(re.findall(r"mybinder\.org/v2/gh/([\w-]+/[\w-]+)/", README)) == {repository}


def test_its_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if not link.startswith("https://")]
    assert links and [link for link in links if not (ROOT / link).exists()] == []


def test_the_repository_is_named_in_one_place():
    """pyproject.toml holds it; only the README, which GitHub shows as it is, and the built notebooks may repeat it."""
    repository = repository_of(ROOT)
    files = [path for folder in ("course", "segwidgets", "binder", ".ci") for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += (ROOT / "lessons").glob("*.py")
    assert [path.name for path in files if path.suffix != ".pyc" and repository.encode() in path.read_bytes()] == []


def test_the_moving_picture_is_what_the_widget_draws_today():
    numbers = torch.tensor([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]]).float().reshape(1, 1, 4, 4)
    features = torch.tensor([[1, 2], [3, 4]]).float().reshape(1, 1, 2, 2)
    player = segwidgets.unpool(features, 2, mode="max", switches_from=numbers)
    with Image.open(ROOT / "lessons" / "pictures" / "03_unpooling.png") as picture:
        again = "segwidgets.unpool(features, 2, mode='max', switches_from=numbers).save('lessons/pictures/03_unpooling.png')"
        assert picture.text["trace"] == player.trace.digest, f"the README's picture is out of date; make it again: {again}"
        assert picture.n_frames > 5
