"""How the tests are run: `python -m tests`, `.ci/run`, what is deselected, and that nothing is skipped in CI."""

import os
import re
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


IN_PROCESSES = [[], ["-n", "2", "--dist", "loadfile"]]


def run_pytest(folder, source, *options, **environment):
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests" / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs CUDA\n")
    (folder / "tests" / "test_it.py").write_text(source)
    ours = {name: value for name, value in os.environ.items() if name not in ("CI", "OMP_NUM_THREADS") and "PYTEST" not in name}
    command = [sys.executable, "-m", "pytest", "-q", *options, "tests"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=ours | environment)


@pytest.mark.parametrize("options", IN_PROCESSES, ids=["alone", "shared"])
def test_a_gpu_test_is_deselected_and_not_skipped_without_a_gpu(tmp_path, options):
    import torch

    answer = run_pytest(tmp_path, TESTS, *options, CI="true")
    assert answer.returncode == 0
    deselected = "" if options else ", 1 deselected"  # xdist's processes don't tell
    assert ("2 passed" if torch.cuda.is_available() else f"1 passed{deselected} in") in answer.stdout


@pytest.mark.parametrize("options", IN_PROCESSES, ids=["alone", "shared"])
def test_a_skip_fails_in_ci_only(tmp_path, options):
    source = "import pytest\n\ndef test_it():\n    pytest.skip('no reason')\n\ndef test_other():\n    pass\n"
    assert run_pytest(tmp_path, source, *options).returncode == 0
    answer = run_pytest(tmp_path, source, *options, CI="true")
    assert answer.returncode == 1 and "1 skipped, and in CI nothing may be" in answer.stdout


def test_processes_share_files_but_the_browsers_stay_together_and_colabs_lessons_do_not(tmp_path):
    (tmp_path / "tests" / "browser").mkdir(parents=True)
    for name in ("test_colab.py", "test_one.py", "browser/test_two.py", "browser/test_three.py"):
        (tmp_path / "tests" / name).write_text("import pytest\n\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n): pass\n")
    answer = run_pytest(tmp_path, "", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "-vv")
    ran = re.findall(r"^\[(gw\d)\] \[.*\] PASSED tests/([\w/]+)\.py::", answer.stdout, re.MULTILINE)
    assert len(ran) == 16
    by = {name: {worker for worker, file in ran if file == name} for _, name in ran}
    assert len(by["test_colab"]) == 2 and len(by["test_one"]) == 1
    assert len(by["browser/test_two"] | by["browser/test_three"]) == 1


def test_torch_has_no_more_threads_than_there_are_cores(tmp_path):
    source = "import os\n\ndef test_it():\n    assert 2 * int(os.environ['OMP_NUM_THREADS']) <= max(2, len(os.sched_getaffinity(0)))\n"
    assert run_pytest(tmp_path, source, "-n", "2").returncode == 0


def test_everything_is_run_but_the_starter_notebooks():
    command = tests_main.pytest_command(["-k", "unpool"])
    assert command[:3] == [sys.executable, "-m", "pytest"] and {"tests", "--nbval"} <= set(command)
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
