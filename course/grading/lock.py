"""A file that one process at a time holds."""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such lock: there, two graders on one folder are not told apart
    fcntl = None


class Lock:
    """The system lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path):
        self.path = path
        self._file = None

    def acquire(self) -> None:
        """
        Raises:
            BlockingIOError: When another process holds it.
            OSError: When the file cannot be written.
        """
        self._file = self.path.open("a")
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise
        except OSError:  # some network file systems have no locks
            return
        _let_go_in_children(self)

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _let_go_in_children(lock: Lock) -> None:
    """A forked child shares the lock, and a worker that outlives its killed grader would hold it for good."""
    reference = weakref.ref(lock)

    def let_go() -> None:
        held = reference()
        if held is not None:
            with contextlib.suppress(OSError):
                held.release()

    os.register_at_fork(after_in_child=let_go)
