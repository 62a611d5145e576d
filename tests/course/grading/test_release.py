"""What students get: lessons, starters and a page, and nothing that answers for them."""

import ast
import inspect
import json
import re
import textwrap

import pytest

from course import lessons
from course.cli import main
from course.errors import CourseError
from course.exercises.lessons import all_exercises, all_trainings
from course.exercises.lessons import questions_of as written_questions_of
from course.grading import submissions
from course.grading.grader import Order, Task, close_worker, grade_submission
from course.grading.questions import full_points, lesson_names, questions_of
from course.grading.release import release
from tests.environments import ROOT

SHORT = 25  # a statement such as `return output` says nothing


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released") / "for students"
    said = []
    release(folder, [], said.append)
    return folder, said


def text_of(path):
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"])


def test_all_lessons_and_a_page_are_written_as_they_are(released):
    folder, said = released
    names = {path.name for path in (ROOT / "lessons").glob("*.ipynb")}
    assert {path.name for path in folder.iterdir()} == names | {"README.md", lessons.RECORD}
    assert all((folder / name).read_bytes() == (ROOT / "lessons" / name).read_bytes() for name in names)
    assert len(said) == 1 and all(name in said[0] for name in (*names, "README.md"))


def test_chosen_lessons_alone(tmp_path, capsys):
    assert main(["release", str(tmp_path), "3", "segmentation"]) == 0
    chosen = [f"{stem}{end}.ipynb" for stem in ("00_segmentation", "03_unpooling") for end in ("", lessons.EXERCISES)]
    assert sorted(path.name for path in tmp_path.iterdir()) == [lessons.RECORD, *chosen, "README.md"]
    page = (tmp_path / "README.md").read_text()
    assert "bed_of_nails" in page and "window_positions" not in page
    assert capsys.readouterr().out == f"{tmp_path} holds {', '.join(chosen)} and README.md.\n"


def test_an_unknown_lesson_writes_nothing(tmp_path):
    with pytest.raises(CourseError, match="No lesson is called 'cooking'"):
        release(tmp_path / "new", ["03", "cooking"], print)
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "README.md").write_text("about my class")
    (tmp_path / "03_unpooling_exercises.ipynb").write_text("my own work")
    for _ in range(2):
        said = []
        release(tmp_path, ["03"], said.append)
        assert said[-1] == "README.md there is another, and stays as it is; the new one is README-2.md."
    assert (tmp_path / "README.md").read_text() == "about my class"
    assert (tmp_path / "03_unpooling_exercises.ipynb").read_text() == "my own work"
    assert not (tmp_path / "README-3.md").exists()
    beside = list(tmp_path.glob("03_unpooling_exercises-*.ipynb"))
    assert [path.read_bytes() for path in beside] == [(ROOT / "lessons" / "03_unpooling_exercises.ipynb").read_bytes()]


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="could not be copied"):
        release(tmp_path / "file", ["03"], print)


def statements(function) -> list[str]:
    """The statements of a function, docstrings aside, each in one way of writing it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.stmt) and not isinstance(node, ast.FunctionDef)]
    return [one for one in found if len(one) >= SHORT and not one.startswith(("'", '"'))]


def code_in(path) -> set[str]:
    """Every statement of every code cell, and of every code in a fence, in the same way of writing it."""
    text = path.read_text(encoding="utf-8")
    cells = json.loads(text)["cells"] if path.suffix == ".ipynb" else [{"cell_type": "markdown", "source": text}]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    sources += [fence for cell in cells for fence in re.findall(r"```python\n(.*?)```", "".join(cell["source"]), re.DOTALL)]
    return {ast.unparse(node) for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)}


def tells(function, code: set[str], text: str) -> list[str]:
    return [one for one in statements(function) if one in code or one in text]


def test_the_search_finds_what_it_looks_for():
    exercise = all_exercises()["max_unpool"]
    source = textwrap.dedent(inspect.getsource(exercise.solution))
    code = {ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)}
    assert statements(exercise.solution) and tells(exercise.solution, code, "") == statements(exercise.solution)


def test_no_solution_and_no_reference_is_in_it(released):
    functions = [part for exercise in all_exercises().values() for part in (exercise.solution, exercise.reference)]
    ours = [function for function in functions if function.__module__.startswith("course.")]
    networks = [training.solution for training in all_trainings().values()]
    assert len(ours) > len(all_exercises()) and all(statements(function) for function in ours + networks)
    for path in released[0].iterdir():
        code, text = code_in(path), text_of(path)
        told = {function.__name__: tells(function, code, text) for function in ours + networks}
        if path.stem in lesson_names():  # it may go a step of the way: the exercises ask for the rest
            assert [name for function in ours if told[name := function.__name__] == statements(function)] == []
        else:
            assert {name: found for name, found in told.items() if found} == {}
        asked = [question for lesson in lesson_names() for question in written_questions_of(lesson)]
        assert [question.name for question in asked if question.good_answer.splitlines()[0] in text] == []


def test_the_starters_score_nothing(released):
    folder, _ = released
    try:
        for lesson in lesson_names():
            submission = submissions.read(folder, f"{lesson}{lessons.EXERCISES}.ipynb")
            graded = grade_submission(Task(submission, lesson), Order("a secret", sandboxed=False))
            assert {grade.status for grade in graded.grades} == {"no answer"}, graded
            assert graded.points == 0 and graded.full == sum(map(full_points, questions_of(lesson)))
    finally:
        close_worker()


def test_the_page_has_every_exercise_with_its_points(released):
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text_of(released[0] / "README.md").splitlines() if "|" in line
    ]
    points = {row[1].split("`")[1]: float(row[2]) for row in rows if "`" in row[1]}
    exercises = [exercise for lesson in lesson_names() for exercise in questions_of(lesson)]
    assert points == {exercise.name: full_points(exercise) for exercise in exercises}
    assert sum("in words" in row[1] for row in rows) == sum(len(written_questions_of(lesson)) for lesson in lesson_names())


def test_the_page_names_what_is_there(released):
    folder, _ = released
    page = text_of(folder / "README.md")
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) == len(lesson_names()) and all((folder / link).is_file() for link in links)
    for command in re.findall(r"^segcourse (\w+) (\S+)$", page, re.MULTILINE):
        assert (folder / command[1]).is_file()
    install = re.search(r'pip install "segcourse\[lab\] @ (git\+https://github\.com/\S+)"', page)
    assert install and install[1] in text_of(folder / "03_unpooling.ipynb")
