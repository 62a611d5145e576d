"""`segcourse check`: a student's file is run as a copy, its exercises are judged, and the file stays as it was."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course.cli import main
from course.errors import CourseError
from course.exercises import exercises_of, solution_notebook, starter_notebook
from course.student_notebook import check_notebook

LESSON = "03_unpooling"
WRONG = "def bed_of_nails(x, scale):\n    return x\n"


def test_the_solutions_pass_and_the_file_is_not_touched(tmp_path, capsys):
    path = tmp_path / f"{LESSON}_exercises.ipynb"
    nbformat.write(solution_notebook(LESSON), path)
    before = path.read_bytes()
    assert main(["check", str(path)]) == 0
    count = len(exercises_of(LESSON))
    assert capsys.readouterr().out.endswith(f"{count} of {count} exercises pass.\n")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_starter_passes_nothing(tmp_path):
    path = tmp_path / f"{LESSON}_exercises.ipynb"
    nbformat.write(starter_notebook(LESSON), path)
    report = check_notebook(path)
    assert [exercise["name"] for exercise in report["exercises"]] == [exercise.name for exercise in exercises_of(LESSON)]
    assert not any(exercise["passed"] for exercise in report["exercises"])


def test_a_failing_cell_stops_nothing_and_a_wrong_answer_is_told(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(f"# %%\nimport torch\n# %%\n1 / 0\n# %%\n{WRONG}")
    assert main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "cell 2 failed: ZeroDivisionError: division by zero" in out
    assert "bed_of_nails: not yet" in out and "expected [1, 1, 4, 4]" in out and "0 of 1 exercises pass." in out


def test_the_courses_own_function_is_no_answer(tmp_path):
    path = tmp_path / f"{LESSON}_exercises.py"
    path.write_text("from course.ops.unpooling import bed_of_nails\n")
    answers = {exercise["name"]: exercise for exercise in check_notebook(path)["exercises"]}
    assert answers["bed_of_nails"] == {"name": "bed_of_nails", "passed": False, "text": "The notebook doesn't define bed_of_nails."}


def test_it_works_in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(WRONG + "open('litter', 'w').write('')")]), path)
    check_notebook(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("missing.ipynb", None, "missing.ipynb cannot be read"),
        ("notes.txt", "x", "notes.txt is neither a notebook"),
        ("broken.ipynb", "{", "broken.ipynb is not a notebook"),
        ("binary.py", b"\xff\xfe", "binary.py cannot be read"),
        ("empty.py", "x = 1", "empty.py defines no function that is an exercise"),
        ("leaves.py", "import os\nos._exit(1)", "leaves.py, cell .*: the kernel died"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CourseError, match=sentence):
        check_notebook(tmp_path / name)
