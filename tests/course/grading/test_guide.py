"""The guide for instructors: its commands are commands, its numbers are the grader's."""

import re
import shlex

import pytest

from course.cli import _parser
from course.grading import sandbox
from course.grading.grades import STATUSES
from course.grading.limits import MB, Limits
from course.grading.questions import POINTS
from course.lessons import PACKAGE
from tests.environments import ROOT

GUIDE = (PACKAGE / "grading" / "INSTRUCTORS.md").read_text(encoding="utf-8")
FENCES = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = [line for fence in FENCES for line in fence.splitlines() if line.startswith("segcourse ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_parses(command):
    options = _parser().parse_args(shlex.split(command)[1:])
    assert callable(options.run)
    if options.command == "grade":
        assert (options.seed is None) != (options.seed_file is None), "a secret is named in one way"


def test_there_are_commands_and_a_wrong_one_would_be_seen():
    assert {command.split()[1] for command in COMMANDS} == {"release", "grade"} and len(COMMANDS) >= 8
    with pytest.raises(SystemExit):
        _parser().parse_args(["grade", "handed-in", "--seed-flie", "secret.txt", "--out", "grades"])


def test_options_and_files_that_it_names_are_there():
    named = set(re.findall(r"`(--[a-z-]+)", GUIDE))
    known = {option for action in _parser()._subparsers._group_actions[0].choices["grade"]._actions for option in action.option_strings}
    assert named and named <= known
    assert (ROOT / "binder" / "postBuild").is_file() and "`binder/postBuild`" in GUIDE
    assert "[for instructors](course/grading/INSTRUCTORS.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_each_status_is_explained():
    assert tuple(re.findall(r"^\| ([a-z ]+) \|", GUIDE, re.MULTILINE)) == STATUSES


def test_the_limits_are_those_of_the_sandbox():
    limits = Limits()
    told = re.search(r"A function has (\d+) seconds .* statement of a cell (\d+), all cells (\d+)\. A process has (\d+) MB of memory\n"
                     r".*, (\d+) MB of files, and (\d+) processes", GUIDE)  # fmt: skip
    here = (limits.seconds, limits.cell_seconds, limits.notebook_seconds, limits.memory / MB, limits.files / MB, limits.processes)
    assert tuple(map(float, told.groups())) == here
    assert f"{POINTS:.0f} for a function" in GUIDE and f"{POINTS:.0f} · r / n points" in GUIDE


def test_bubblewrap_is_what_stands_around_the_code():
    assert "bubblewrap" in (sandbox.__doc__ or "") and "bubblewrap" in GUIDE
