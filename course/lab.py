"""`segcourse open`: JupyterLab on the lessons, stopped cleanly with Ctrl-C."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

from course import lessons
from course.errors import CourseError

SECONDS_TO_STOP = 10
# The settings of every JupyterLab that the course starts; Binder's copy stands in binder/jupyter_server_config.json.
PRE_SAVE_HOOK = "course.notebooks.keep_stills"
# Defaults for JupyterLab's own settings: it would ask over the first lesson whether to fetch news. A student's settings win.
SETTINGS = lessons.PACKAGE / "jupyter"


def lesson_folder(to: Path | None) -> tuple[Path, list[str]]:
    """Where the student works: the checkout's lessons in place, or a copy of those in the wheel; and what is to be said about it."""
    root = lessons.checkout()
    if root is not None and to is None:
        return root / "lessons", []
    shipped = root / "lessons" if root is not None else lessons.PACKAGE / "_lessons"
    folder = (to or Path.home() / "segcourse-lessons").expanduser().absolute()
    return folder, [f"The lessons are in {folder}.", *lessons.copy_lessons(shipped, folder)]


def command(folder: Path, notebook: Path, browser: bool, port: int | None) -> list[str]:
    """The command line that starts JupyterLab in `folder` with `notebook` open."""
    parts = [
        sys.executable, "-m", "jupyterlab",
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{quote(notebook.name)}",
        f"--ContentsManager.pre_save_hook={PRE_SAVE_HOOK}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    if not browser:
        parts.append("--no-browser")
    if port is not None:
        parts += [f"--port={port}", "--ServerApp.port_retries=0"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        parts.append("--allow-root")  # in a container everyone is root, and the server would refuse to start
    return parts


def environment() -> dict[str, str]:
    """The environment of that command: the course's settings folder before whatever else Jupyter reads."""
    known = os.environ.get("JUPYTER_CONFIG_PATH")
    return os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join([str(SETTINGS), *([known] if known else [])])}


def open_lab(folder: Path, notebook: Path, browser: bool = True, port: int | None = None) -> int:
    """Run JupyterLab until it stops, and return its exit code. Ctrl-C stops it with its kernels.

    Raises:
        CourseError: When JupyterLab is not installed, or the port is taken.
        KeyboardInterrupt: After Ctrl-C, when JupyterLab is gone.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise CourseError('JupyterLab is not installed here: pip install "segcourse[lab]" installs it.')
    if port is not None and _is_taken(port):
        raise CourseError(f"Port {port} is taken; --port takes another, and without --port a free one is found.")
    # In a session of its own: otherwise the terminal's Ctrl-C reaches the server too, which then asks whether it is meant.
    server = subprocess.Popen(command(folder, notebook, browser, port), env=environment(), stdin=subprocess.DEVNULL, start_new_session=True)
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return server.wait()
    finally:
        _stop(server)
        signal.signal(signal.SIGTERM, previous)


def _stop(server: subprocess.Popen) -> None:
    if server.poll() is not None:
        return
    server.terminate()
    try:
        server.wait(SECONDS_TO_STOP)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        server.kill()
        server.wait()


def _interrupt(*_):
    raise KeyboardInterrupt


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
