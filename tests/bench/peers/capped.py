"""A program run with a limit from outside: when its time is over, it and everything that it started are killed."""

import contextlib
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

JUPYTER_PLACES = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, or None when it was killed; what it said; seconds of wall-clock time."""

    code: int | None
    said: str
    seconds: float


def run(command: Sequence[str | Path], folder: Path, seconds: float | None = None) -> Ended:
    """Run it in the folder, which also keeps what Jupyter writes elsewhere, and with its own environment's programs first on the PATH."""
    places = {name: str(folder / "jupyter" / name.lower()) for name in JUPYTER_PLACES}
    for place in places.values():
        os.makedirs(place, exist_ok=True)
    environment = os.environ | places | {"NO_COLOR": "1"}
    environment["PATH"] = os.pathsep.join([str(Path(command[0]).parent), environment.get("PATH", os.defpath)])
    start = time.perf_counter()
    with open(folder / "said.txt", "a+b") as said:  # not a pipe: a kernel that lives on would keep it open
        before = said.tell()
        process = subprocess.Popen(list(map(str, command)), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            kill(process.pid)
            process.wait()
        took = time.perf_counter() - start
        said.seek(before)
        return Ended(code, said.read().decode(errors="replace"), took)


def kill(pid: int) -> None:
    """The process and its descendants. Kernels have sessions of their own, so a process group is not enough."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [*parent.children(recursive=True), parent]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
