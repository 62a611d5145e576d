"""The files that Binder builds from agree with the project. The image itself is built by Binder, not here."""

import json
import os
import re
import subprocess
import tomllib

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from traitlets.config import Config

from course import lab
from course.notebooks import keep_stills
from tests.environments import ROOT

BINDER = ROOT / "binder"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def lines(name: str) -> list[str]:
    return [line for line in (BINDER / name).read_text().splitlines() if line and not line.startswith("#")]


def test_there_is_nothing_that_repo2docker_would_not_read():
    assert {path.name for path in BINDER.iterdir()} == {"runtime.txt", "requirements.txt", "postBuild", "jupyter_server_config.json"}


def test_its_python_is_one_that_the_course_supports():
    (runtime,) = lines("runtime.txt")
    version = tuple(map(int, re.fullmatch(r"python-(\d+)\.(\d+)", runtime).groups()))
    lowest = tuple(map(int, PROJECT["requires-python"].removeprefix(">=").split(".")))
    assert lowest <= version <= (3, 13)


def test_torch_comes_without_cuda_and_before_the_course():
    index, *packages = lines("requirements.txt")
    assert index == "--index-url https://download.pytorch.org/whl/cpu"
    needed = {re.match(r"[\w-]+", line).group() for line in PROJECT["dependencies"]}
    assert set(packages) == {"torch", "torchvision"} <= needed


def test_the_course_is_installed_with_its_lab():
    post_build = (BINDER / "postBuild").read_text()
    assert 'pip install --no-cache-dir -e ".[lab]"' in post_build
    assert "lab" in PROJECT["optional-dependencies"]
    assert os.access(BINDER / "postBuild", os.X_OK)
    subprocess.run(["bash", "-n", BINDER / "postBuild"], check=True)


def test_its_server_keeps_stills_as_segcourse_open_does():
    settings = json.loads((BINDER / "jupyter_server_config.json").read_text())
    assert settings == {"ContentsManager": {"pre_save_hook": lab.PRE_SAVE_HOOK}}
    assert AsyncLargeFileManager(config=Config(settings)).pre_save_hook is keep_stills
