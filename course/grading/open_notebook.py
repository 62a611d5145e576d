"""The notebook that is open here: where it is, what is in it, and whether it is saved."""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from course.errors import CourseError

UNKNOWN = 'The notebook that is open here could not be found: name its file, as in submit("03_unpooling_exercises.ipynb").'
NO_ANSWER = (
    "Colab did not hand over the notebook: run this cell once more, or choose File → Download → Download .ipynb and upload that file "
    "where your instructor wants it."
)
SECONDS_FOR_COLAB = 60  # its outputs come along


@dataclass(frozen=True)
class Notebook:
    """A notebook's file, whether there is one on the disk or not.

    Attributes:
        name: Its name, without folders.
        content: Its bytes.
        folder: The folder in which it works: what it has written is there.
        state: How new it is, in words.
    """

    name: str
    content: bytes
    folder: Path
    state: str


def read_notebook(path: Path) -> Notebook:
    """The notebook in a file.

    Raises:
        CourseError: When it is none, or cannot be read.
    """
    if path.suffix != ".ipynb":
        raise CourseError(f"{path} is not a notebook: its name must end in .ipynb.")
    try:
        content, saved = path.read_bytes(), path.stat().st_mtime
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror or error}).") from None
    return Notebook(path.name, content, path.parent, time.strftime("as saved on %d %b at %H:%M:%S", time.localtime(saved)))


def find_open_notebook() -> Notebook:
    """The notebook in which this is called: Colab's, VS Code's or JupyterLab's.

    Raises:
        CourseError: When nobody says which it is, or it cannot be read.
    """
    if "google.colab" in sys.modules:
        return _from_colab()
    # VS Code names the notebook in its namespace; jupyter-server (JupyterLab, Notebook 7) in the kernel's environment.
    names = (namespace().get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME"))
    for name in names:
        if isinstance(name, str) and name.endswith(".ipynb") and Path(name).is_file():
            return read_notebook(Path(name))
    raise CourseError(UNKNOWN)


def _from_colab() -> Notebook:
    """Colab keeps the notebook in the browser, and hands it over when asked (`google/colab/_message.py` in googlecolab/colabtools)."""
    from google.colab import _message

    try:
        answer = _message.blocking_request("get_ipynb", request="", timeout_sec=SECONDS_FOR_COLAB)
    except Exception:  # a class of Colab's own, for whatever the browser could not do
        answer = None
    notebook = answer.get("ipynb") if isinstance(answer, Mapping) else None
    if not isinstance(notebook, Mapping):
        raise CourseError(NO_ANSWER)
    name = notebook.get("metadata", {}).get("colab", {}).get("name") or "notebook"
    name = re.sub(r"[/\\]", "-", name).removesuffix(".ipynb") + ".ipynb"  # in Drive a name may hold any sign
    return Notebook(name, json.dumps(notebook, indent=1).encode(), Path.cwd(), "as it is now")


def namespace() -> Mapping[str, object]:
    """What the notebook's cells have defined; empty outside of one."""
    shell = _shell()
    return shell.user_ns if shell else {}


def is_run_by_a_reader() -> bool:
    """Whether somebody runs this, who could be asked for input: a notebook that is being checked, built or tested says no."""
    kernel = getattr(_shell(), "kernel", None)
    return kernel is None or bool(getattr(kernel, "_allow_stdin", False))


def _shell():
    ipython: ModuleType | None = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def unsaved(functions: Iterable[str], defined: Mapping[str, object], cells: Sequence[str]) -> list[str]:
    """Those of the functions that stand in none of the cells as they were last run here.

    Args:
        functions: Names.
        defined: The notebook's namespace.
        cells: The saved code cells.
    """
    saved = [_plain(cell) for cell in cells]
    found = []
    for name in functions:
        if getattr(defined.get(name), "__module__", None) != "__main__":
            continue
        try:
            source = _plain(inspect.getsource(defined[name]))
        except (OSError, TypeError):  # `%%time` leaves none
            continue
        if "get_ipython()" not in source and not any(source in cell for cell in saved):  # a magic, as IPython has rewritten it
            found.append(name)
    return found


def _plain(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())
