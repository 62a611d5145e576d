"""`python -m tests`: get what the tests need, then run them all, the built lessons included. Arguments go on to pytest."""

import os
import platform
import shutil
import subprocess
import sys

from course import lessons, programs
from tests.environments import COLAB_PYTHON, ROOT, python_of_colab, version_of


def main(arguments: list[str]) -> int:
    get_chromium()
    if programs.node() is None:
        sys.exit('Node.js is missing, and the tests of the JavaScript need it: pip install -e ".[test]" brings it.')
    say(f"The stand-in for Colab runs Python {version_of(python_of_colab())}; Colab has {COLAB_PYTHON}.")
    return subprocess.run(pytest_command(arguments), cwd=ROOT).returncode


def pytest_command(arguments: list[str]) -> list[str]:
    """pytest over the tests and, cell by cell with nbval, the built lessons, in processes that share them as tests/conftest.py says.
    The starter notebooks are meant to fail: they are left out."""
    built = [str(path.relative_to(ROOT)) for path in lessons.notebooks(ROOT / "lessons")]
    # The current environment, since a kernel called python3 in the user's own folder may belong to another one.
    nbval = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=600"]
    parallel = ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
    return [sys.executable, "-m", "pytest", *nbval, *parallel, "tests", *built, *arguments]


def get_chromium() -> None:
    if programs.chromium() is not None:
        return
    for command in ways_to_get_chromium():
        say(f"Chromium is missing, and the browser tests need it: {' '.join(command)}")
        subprocess.run(command, stdin=subprocess.DEVNULL, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
    if programs.chromium() is None:
        sys.exit("Chromium could not be installed: install Chromium or Chrome, or name one in SEGCOURSE_CHROMIUM.")


def ways_to_get_chromium() -> list[list[str]]:
    """Debian's own package for root on Debian (Ubuntu's is only a pointer to a snap), otherwise the build that Playwright brings."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if root and shutil.which("apt-get") and _system() == "debian":
        packages = ["chromium", "fonts-dejavu-core"]
        return [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]]
    install = [sys.executable, "-m", "playwright", "install"]
    return [[*install, "--with-deps", "chromium"] if root and sys.platform == "linux" else [*install, "chromium"]]


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["ID"]
    except OSError:
        return sys.platform


def say(sentence: str) -> None:
    print(sentence, flush=True)  # before the command's own output, also when this goes to a file


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
