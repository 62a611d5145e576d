"""Environments that tests make for themselves with uv, from the registry that this machine is set up for."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tests" / "colab-pins.txt"
COLAB_PYTHON = "3.13"


def uv(*arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess:
    """Run uv, that of the `test` extra or the one on the PATH. Its words come back in `stderr`, and in the error when it fails."""
    if importlib.util.find_spec("uv"):
        from uv import find_uv_bin

        program = find_uv_bin()
    else:
        program = shutil.which("uv")
    assert program, 'uv is missing: pip install -e ".[test]" brings it'
    # Pythons are found, never downloaded: only package registries may be asked for anything.
    settings = os.environ | {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}
    settings.pop("VIRTUAL_ENV", None)
    command = [program, *map(str, arguments)]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL)
    assert answer.returncode == 0 or not check, f"{' '.join(command)}\n{answer.stderr}"
    return answer


def python_of_colab() -> Path:
    """A Python of Colab's version on this machine; the running one where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [shutil.which(f"python{COLAB_PYTHON}"), *sorted(pyenv.glob(f"versions/{COLAB_PYTHON}.*/bin/python{COLAB_PYTHON}"))]
    candidates += [found.stdout.strip() for found in [uv("python", "find", COLAB_PYTHON, check=False)] if found.returncode == 0]
    return next((Path(path) for path in candidates if path and _runs(path)), Path(sys.executable))


def _runs(python: str | Path) -> bool:
    """Whether it is more than a shim for a version that is not chosen."""
    ask = f"import sys; sys.exit('{COLAB_PYTHON}' != '%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", ask], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def version_of(python: Path) -> str:
    """Its version, such as 3.13.0."""
    return subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


def new_environment(folder: Path, python: Path) -> Path:
    """Make an empty virtual environment and return its Python."""
    uv("venv", "--quiet", "--no-project", "-p", python, folder)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def installed(python: Path) -> dict[str, str]:
    """The versions of what is installed in an environment, by normalised name."""
    listed = json.loads(uv("pip", "list", "--format", "json", "-p", python).stdout)
    return {package["name"].lower().replace("_", "-"): package["version"] for package in listed}


def pins() -> dict[str, str]:
    """The versions that Colab has, by normalised name."""
    lines = (line.split("#")[0].strip() for line in PINS.read_text().splitlines())
    return {name.lower().replace("_", "-"): version for name, _, version in (line.partition("==") for line in lines if line)}


def build_wheel(folder: Path) -> Path:
    """Build the course's wheel from the working tree."""
    uv("build", "--quiet", "--wheel", "-o", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel
