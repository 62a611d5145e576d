"""The commands as a person types them: exit codes, sentences, help."""

import subprocess
import sys

import pytest

from course import lessons
from course.cli import main

LESSON = "# %% [markdown]\n# # Adding\n\n# %%\nprint(2 + 2)\n"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one tiny lesson, which the commands take for theirs."""
    (tmp_path / "lessons").mkdir()
    (tmp_path / "lessons" / "07_adding.py").write_text(LESSON)
    (tmp_path / "pyproject.toml").write_text('[tool.segcourse]\nrepository = "somebody/somewhere"\n')
    monkeypatch.setattr(lessons, "PACKAGE", tmp_path / "course")
    return tmp_path


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """An installed course, outside of any checkout."""
    monkeypatch.setattr(lessons, "PACKAGE", tmp_path / "site-packages" / "course")


def refused(capsys, *arguments, code=2):
    """The one sentence on stderr of a command that exits with 2, or with 1 where the answer is no."""
    assert main(list(arguments)) == code
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1 and "Traceback" not in error
    return error


def test_the_program_is_installed():
    answer = subprocess.run([sys.executable, "-m", "course.cli", "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout == f"segcourse {lessons.__version__}\n"


@pytest.mark.parametrize("command", ["open", "build", "check", "submit", "grade", "release", "train", "doctor", "bench"])
def test_each_command_explains_itself_with_examples(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"examples:\n  segcourse {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["open", "--port", "0"],
        ["open", "--port", "x"],
        ["build", "--timeout", "soon"],
        ["check"],
        ["train"],
        ["train", "fcn", "--seed", "-1"],
        ["doctor", "--colour"],
    ],
)
def test_a_wrong_command_line_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_help_is_quick_since_it_loads_no_torch():
    ask = "import sys, course.cli; print('torch' in sys.modules, 'nbclient' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout == "False False\n"


@pytest.mark.parametrize("command", ["build", "bench"])
def test_an_authors_command_needs_a_checkout(wheel, capsys, command):
    assert "works in a checkout of the course" in refused(capsys, command)


def test_what_is_missing_is_named_with_the_command_that_installs_it(checkout, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jupytext" else name)
    assert 'jupytext missing here: pip install "segcourse[author]"' in refused(capsys, "build")


def test_an_unknown_lesson_is_named(checkout, capsys):
    assert "No lesson is called '99'; the lessons are 07_adding" in refused(capsys, "build", "99")


def test_no_execute_goes_with_check(checkout, capsys):
    assert "--no-execute goes with --check" in refused(capsys, "build", "--no-execute")


def test_a_lesson_that_is_not_built(checkout, capsys):
    assert "07_adding.ipynb is not built yet" in refused(capsys, "build", "--check", "--no-execute", code=1)


def test_a_checkout_without_benchmark_says_so(checkout, capsys):
    assert "This checkout has no benchmark" in refused(capsys, "bench")


def test_bench_runs_the_checkouts_benchmark(checkout, capsys):
    (checkout / "tests" / "bench").mkdir(parents=True)
    (checkout / "tests" / "__init__.py").write_text("")
    (checkout / "tests" / "bench" / "__main__.py").write_text("import sys; sys.exit(len(sys.argv))")
    assert main(["bench"]) == 1
    assert main(["bench", "--", "--quick", "again"]) == 3


def test_build_then_check(checkout, capsys):
    assert main(["build", "07"]) == 0
    assert "07_adding.ipynb is written" in capsys.readouterr().out
    assert main(["build", "--check"]) == 0
    (checkout / "lessons" / "07_adding.py").write_text(LESSON.replace("2 + 2", "2 + 3"))
    assert main(["build", "--check", "--no-execute"]) == 1
    assert "+print(2 + 3)" in capsys.readouterr().err


def test_ctrl_c_is_one_line(checkout, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("course.build.build", interrupted)
    assert main(["build"]) == 130
    assert capsys.readouterr().err == "\nsegcourse build: stopped.\n"


def test_doctor_prints_its_report_and_answers(capsys, monkeypatch):
    monkeypatch.setattr("course.doctor.report", lambda: (["all well"], True))
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out == "all well\n"
    monkeypatch.setattr("course.doctor.report", lambda: (["not well"], False))
    assert main(["doctor"]) == 1
