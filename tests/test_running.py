"""How the tests are run: `python -m tests`, `.ci/run`, what is deselected, and that nothing is skipped in CI."""

import os
import subprocess
import sys

import pytest

from course import lessons, programs
from tests import __main__ as tests_main
from tests.environments import ROOT

TESTS = """
import pytest

def test_plain():
    pass

@pytest.mark.gpu
def test_on_the_gpu():
    import torch
    assert torch.cuda.is_available()
"""


def run_pytest(folder, source, **environment):
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs CUDA\n")
    (folder / "test_it.py").write_text(source)
    settings = {name: value for name, value in os.environ.items() if name != "CI"} | environment
    return subprocess.run([sys.executable, "-m", "pytest", "-q", folder], capture_output=True, text=True, cwd=folder, env=settings)


def test_a_gpu_test_is_deselected_and_not_skipped_without_a_gpu(tmp_path):
    import torch

    answer = run_pytest(tmp_path, TESTS, CI="true")
    assert answer.returncode == 0
    assert ("2 passed" if torch.cuda.is_available() else "1 passed, 1 deselected") in answer.stdout


def test_a_skip_fails_in_ci_only(tmp_path):
    source = "import pytest\n\ndef test_it():\n    pytest.skip('no reason')\n\ndef test_other():\n    pass\n"
    assert run_pytest(tmp_path, source).returncode == 0
    answer = run_pytest(tmp_path, source, CI="true")
    assert answer.returncode == 1 and "1 skipped, and in CI nothing may be" in answer.stdout


def test_everything_is_run_but_the_starter_notebooks():
    command = tests_main.pytest_command(["-k", "unpool"])
    assert command[:4] == [sys.executable, "-m", "pytest", "tests"] and "--nbval" in command
    built = [f"lessons/{path.name}" for path in lessons.notebooks(ROOT / "lessons")]
    assert built and set(built) <= set(command)
    assert not [part for part in command if "_exercises" in part]
    assert command[-2:] == ["-k", "unpool"]


@pytest.mark.parametrize(
    "user, system, program",
    [(0, "debian", "apt-get"), (0, "ubuntu", "playwright"), (1000, "debian", "playwright"), (1000, "darwin", "playwright")],
)
def test_chromium_comes_from_debian_for_root_and_else_from_playwright(monkeypatch, user, system, program):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(tests_main, "_system", lambda: system)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert all(program in command for command in tests_main.ways_to_get_chromium())
    assert any("chromium" in command for command in tests_main.ways_to_get_chromium())


def test_it_installs_nothing_when_chromium_is_here(monkeypatch):
    assert programs.chromium() is not None
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it ran a command"))
    tests_main.get_chromium()


def test_without_a_browser_it_says_what_it_did_and_what_is_missing(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(programs, "chromium", lambda: None)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: ran.append(command))
    with pytest.raises(SystemExit, match="Chromium could not be installed"):
        tests_main.get_chromium()
    assert ran == tests_main.ways_to_get_chromium()
    assert capsys.readouterr().out.count("Chromium is missing, and the browser tests need it: ") == len(ran)


def test_ci_runs_in_a_fresh_environment_and_names_no_host():
    script = ROOT / ".ci" / "run"
    text = script.read_text()
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    assert "set -euo pipefail" in text and "-m venv" in text and "http" not in text
