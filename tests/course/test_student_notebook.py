"""`segcourse check`: a student's file is run as a copy, its exercises are judged, and the file stays as it was."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course.cli import main
from course.errors import CourseError
from course.exercises import exercises_of, solution_notebook, starter_notebook
from course.student_notebook import _exercise_names, check_notebook

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
    assert "The cell '1 / 0' failed: ZeroDivisionError: division by zero" in out
    assert "bed_of_nails: not yet" in out and "expected [1, 1, 4, 4]" in out and "0 of 1 exercises pass." in out


def test_the_courses_own_function_is_no_answer(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("from course import check\nfrom course.ops.unpooling import bed_of_nails\ncheck(bed_of_nails)")
    answer = {"name": "bed_of_nails", "passed": False, "text": "The notebook doesn't define bed_of_nails."}
    assert check_notebook(path)["exercises"] == [answer]


def test_cells_that_do_not_run_make_no_total_smaller_whatever_the_files_name(tmp_path, capsys):
    notebook = starter_notebook(LESSON)
    for cell in notebook.cells:
        if cell.source.startswith(("def max_unpool(", "def conv_transpose(")):
            cell.source = "# mine\n" + cell.source.replace(":\n", "\n", 1)  # no colon after `def …(…)`, or after a parameter list
    path = tmp_path / "half.ipynb"
    nbformat.write(notebook, path)
    assert main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    count = len(exercises_of(LESSON))
    assert out.endswith(f"0 of {count} exercises pass.\n")
    places = [out.index(f"\n{exercise.name}: not yet") for exercise in exercises_of(LESSON)]
    assert places == sorted(places)
    assert "max_unpool could not be checked, since its cell 'def max_unpool(' doesn't run: SyntaxError: " in out
    assert "The cell 'def conv_transpose(' failed: SyntaxError: " in out and ".py, line" not in out


def test_an_older_version_is_not_judged_in_place_of_one_that_does_not_run(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"# %%\n{WRONG}# %%\n{WRONG.replace('x, scale)', 'x, scale')}")
    [answer] = check_notebook(path)["exercises"]
    assert answer["text"].startswith("bed_of_nails could not be checked, since its cell 'def bed_of_nails(x, scale:' doesn't run: Syntax")


def test_a_cell_that_fails_before_its_definition_is_the_reason(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(f"# %%\nimport nowhere_to_be_found\n{WRONG}# %%\n{WRONG.replace('bed_of_nails', 'max_unpool')}1 / 0")
    first, second = check_notebook(path)["exercises"]
    reason = "'import nowhere_to_be_found' doesn't run: ModuleNotFoundError: No module named 'nowhere_to_be_found'"
    assert first["text"] == f"bed_of_nails could not be checked, since its cell {reason}"
    assert second["name"] == "max_unpool" and "could not be checked" not in second["text"], "it was defined before its cell failed"


@pytest.mark.parametrize(
    "source, found",
    [
        ("check(b)\ndef a(): pass", [("b", False), ("a", True)]),
        ("for seed in range(3):\n    result = course.check(a, seed=seed)", [("a", False)]),
        ("if True:\n    def a():\n        def b(): pass\nclass C:\n    def c(self): pass", [("a", True)]),
        ("# check(a)\n'def b(): pass; check(c)'", []),
        ("recheck(a); check(); check('a')", []),
        ("%time check(a)\n# check(b)", [("a", False)]),
        ("def a(x:\n    check( b", [("a", True), ("b", False)]),
        ("x = 1\n  def a(x): pass\nundef b", [("a", True)]),
        (" + ".join(["1"] * 3000) + "\ncheck(a)", [("a", False)]),
    ],
)
def test_what_a_cell_asks_for_is_read_from_its_text(source, found):
    assert _exercise_names(source) == found


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
