"""The wheel holds what is needed, and the course installed from it hands out lessons without overwriting anything."""

import ast
import hashlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course import __version__, lessons
from course.weights import FOLDER, MANIFEST, read_manifest
from tests.environments import ROOT, build_wheel, new_environment, uv

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


def tracked(folder: str, *suffixes: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]


def test_the_wheel_has_every_file_of_the_packages(names):
    ours = tracked("course", ".py", ".png", ".mplstyle", ".toml", ".md", ".safetensors") + tracked("segwidgets", ".py", ".js", ".css")
    assert ours and set(ours) <= names


def test_the_wheel_has_the_lessons(names):
    built = lessons.notebooks(ROOT / "lessons")
    assert built, "no lesson is built"
    assert {f"course/_lessons/{path.name}" for path in built} <= names
    with_exercises = [path.stem + lessons.EXERCISES for path in built if path.with_stem(path.stem + lessons.EXERCISES).exists()]
    assert {f"course/_lessons/{stem}.ipynb" for stem in with_exercises} <= names


def test_the_weights_in_the_wheel_are_those_of_the_manifest(wheel):
    packed = zipfile.ZipFile(wheel)
    entries = read_manifest(FOLDER)
    assert {name for name in packed.namelist() if name.endswith(".safetensors")} == {f"course/weights/{e.file}" for e in entries.values()}
    for entry in entries.values():
        assert hashlib.sha256(packed.read(f"course/weights/{entry.file}")).hexdigest() == entry.sha256
    assert not entries or packed.read(f"course/weights/{MANIFEST}") == (FOLDER / MANIFEST).read_bytes()


def test_the_wheel_has_nothing_else(names):
    assert {name.split("/")[0] for name in names} == {"course", "segwidgets", f"segcourse-{__version__}.dist-info"}
    assert not [name for name in names if re.search(r"__pycache__|\.ipynb_checkpoints|/\.|\.pyc$", name)]
    assert f"segcourse-{__version__}.dist-info/licenses/LICENSE" in names


def test_the_extras_are_those_promised():
    extras = PROJECT["optional-dependencies"]
    assert set(extras) == {"lab", "test", "author", "grade", "cluster"}
    assert "segcourse[lab,author,cluster]" in extras["test"], "the tests open JupyterLab, build notebooks, and grade on a cluster"
    assert "segcourse[grade]" in extras["cluster"]
    assert PROJECT["requires-python"] == ">=3.11"


def test_nothing_is_pinned_and_nothing_has_an_upper_bound():
    everything = PROJECT["dependencies"] + [line for extra in PROJECT["optional-dependencies"].values() for line in extra]
    assert [line for line in everything if re.search(r"==|<|~=", line.partition(";")[0])] == []


OPEN = """
import sys
from course import lab, lessons
lab.open_lab = lambda folder, notebook, **_: print(f"opened {notebook}") or 0
from course.cli import main
assert lessons.checkout() is None, "it runs from the wheel"
sys.exit(main(["open", "--to", sys.argv[1]]))
"""


@pytest.fixture(scope="module")
def wheel_python(wheel, tmp_path_factory):
    """A Python with the wheel and nothing else: `open` needs none of the dependencies."""
    python = new_environment(tmp_path_factory.mktemp("environment") / "venv", Path(sys.executable))
    uv("pip", "install", "--quiet", "--no-deps", "-p", python, wheel)
    return python


def run(python, *arguments, cwd):
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([python, *arguments], capture_output=True, text=True, cwd=cwd, env=clean, check=True).stdout


def test_an_installed_course_copies_its_lessons_and_overwrites_nothing(wheel_python, tmp_path):
    folder = tmp_path / "mine"
    first = sorted(path.name for path in lessons.notebooks(ROOT / "lessons"))[0]
    out = run(wheel_python, "-c", OPEN, folder, cwd=tmp_path)
    assert out == f"The lessons are in {folder}.\nopened {folder / first}\n"
    assert (folder / first).read_bytes() == (ROOT / "lessons" / first).read_bytes()
    (folder / first).write_text("my own work")
    before = sorted(path.name for path in folder.iterdir())
    run(wheel_python, "-c", OPEN, folder, cwd=tmp_path)
    assert (folder / first).read_text() == "my own work"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_an_installed_course_has_its_command(wheel_python, tmp_path):
    program = wheel_python.with_name("segcourse.exe" if os.name == "nt" else "segcourse")
    assert subprocess.run([program, "--version"], capture_output=True, text=True, cwd=tmp_path).stdout == f"segcourse {__version__}\n"
    answer = subprocess.run([program, "build"], capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 2 and "installed from a wheel" in answer.stderr


def distributions(*requirements: str) -> set[str]:
    """The names of all distributions that these requirements bring, as far as they are installed here."""
    found, seen, waiting = set(), set(), [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        extras = wanted.extras or {""}
        if (wanted.name, *extras) in seen:
            continue
        seen.add((wanted.name, *extras))
        found.add(canonicalize_name(wanted.name))
        try:
            lines = importlib.metadata.requires(wanted.name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        nested = map(Requirement, lines)
        waiting += [line for line in nested if not line.marker or any(line.marker.evaluate({"extra": extra}) for extra in extras)]
    return found


def third_party(*folders: str) -> set[str]:
    """The top-level modules that a folder's Python files import anywhere, without ours and the standard library's."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for folder in folders for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"course", "segwidgets", "tests", "google"}


EXTRAS = PROJECT["optional-dependencies"]
CLUSTER = EXTRAS["grade"] + EXTRAS["cluster"][1:]  # without the course itself


@pytest.mark.parametrize(
    "folders, requirements",
    [
        (["segwidgets", "lessons", "course/ops", "course/data", "course/models"], PROJECT["dependencies"]),
        (["course"], PROJECT["dependencies"] + EXTRAS["author"] + EXTRAS["lab"] + CLUSTER),
        (["tests"], PROJECT["dependencies"] + EXTRAS["author"] + EXTRAS["lab"] + CLUSTER + EXTRAS["test"][1:]),
    ],
    ids=["what lessons need", "course", "tests"],
)
def test_whatever_is_imported_is_installed_with_it(folders, requirements):
    brought = distributions(*requirements)
    providers = importlib.metadata.packages_distributions()
    missing = [name for name in third_party(*folders) if not brought & {canonicalize_name(given) for given in providers.get(name, [name])}]
    assert missing == []
