"""The grader's side of the students' processes: a warm one, and for each question a child of it in a sandbox."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from course.errors import CourseError
from course.grading import channel, warm
from course.grading.child import Child
from course.grading.conversation import Answers, Conversation, Question
from course.grading.limits import Limits
from course.grading.sandbox import HOME, Sandbox
from course.grading.watching import memory_of

SECONDS_TO_START = 120
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")


class Worker:
    """A warm process and its children, one at a time. Close it after use.

    Args:
        limits: for each child.
        device: `"cpu"` or `"cuda"`, `"cuda:1"`, …
        sandboxed: False runs the students' code with this user's rights.
        hidden: Folders of which the students' code may see nothing.

    Raises:
        CourseError: When it cannot be started.
    """

    def __init__(self, limits: Limits, device: str = "cpu", sandboxed: bool = True, hidden: Sequence[Path] = ()):
        self._limits, self._device, self._sandboxed, self._hidden = limits, device, sandboxed, tuple(hidden)
        self._start()

    def _start(self) -> None:
        self._orders, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ} | {"MPLBACKEND": "agg"}
        with theirs:
            self._process = subprocess.Popen(
                warm.command(theirs.fileno()), pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, start_new_session=True
            )
        self._orders.settimeout(SECONDS_TO_START)
        try:
            channel.receive(self._orders)
        except (EOFError, OSError):
            self.close()
            raise CourseError("The process that runs the students' code could not be started.") from None
        self._memory = memory_of(self._process.pid)

    def ask(self, question: Question) -> Answers:
        """Run the question in a sandbox of its own.

        Raises:
            CourseError: When no process or no sandbox can be made.
        """
        if self._process.poll() is not None:
            self.close()
            self._start()
        with contextlib.ExitStack() as stack:
            sandbox = stack.enter_context(self._sandbox()) if self._sandboxed else None
            home = HOME if sandbox else stack.enter_context(_temporary_home())
            process, theirs = socket.socketpair()
            with process:
                with theirs:
                    child = self._fork(theirs, sandbox, home, question.seconds)
                try:
                    answers = Conversation(question, self._limits, process, child).hold()
                    if answers.code == warm.CRASHED_BEFORE and not answers.heard:
                        raise CourseError("The sandbox could not be entered: `segcourse doctor` may know more.")
                    return answers
                finally:
                    if not child.end():
                        self.close()  # another is started for the next question

    def _sandbox(self) -> Sandbox:
        try:
            return Sandbox(self._limits, self._device, self._hidden)
        except OSError as error:
            raise CourseError(f"The sandbox could not be made ({error}).") from None

    def _fork(self, handle: socket.socket, sandbox: Sandbox | None, home: str, seconds: float) -> Child:
        order = {"sandbox": sandbox.pid if sandbox else 0, "home": home, "device": self._device, "limits": asdict(self._limits)}
        order["processor_seconds"] = self._limits.notebook_seconds + seconds
        socket.send_fds(self._orders, [b"!"], [handle.fileno()])
        channel.send(self._orders, order)
        pid = channel.receive(self._orders)[0]["pid"]
        return Child(self._orders, pid, sandbox, self._limits, self._memory)

    def close(self) -> None:
        """End the warm process, and with it everything that it has started."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._orders.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_) -> None:
        self.close()


@contextlib.contextmanager
def _temporary_home():
    with tempfile.TemporaryDirectory(prefix="segcourse-grade-", ignore_cleanup_errors=True) as folder:
        yield folder
