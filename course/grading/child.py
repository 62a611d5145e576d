"""A process that runs a student's code, seen from outside: what it takes, and how it ended."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterable

from course.grading import channel
from course.grading.limits import Limits
from course.grading.sandbox import Sandbox
from course.grading.watching import descendants, memory_of, share_of_memory_of, threads_of

SECONDS_TO_END = 10


class Child:
    """A child of the warm process, with all that it has started.

    Args:
        orders: The socket to the warm process, which tells how the child ended.
        pid: of the child; in a sandbox it is the one who waits outside for the one inside.
        sandbox: None where it has none.
        before: Bytes of memory that the warm process took, and each of its children starts with.
    """

    def __init__(self, orders: socket.socket, pid: int, sandbox: Sandbox | None, limits: Limits, before: int):
        self._orders, self._pid, self._sandbox, self._limits, self._before = orders, pid, sandbox, limits, before
        self._code: int | None = None
        self._shares: dict[int, int | None] = {}

    def fileno(self) -> int:
        """For select: there is something to read when the child has ended."""
        return self._orders.fileno()

    def exit_code(self, wait: float) -> int | None:
        """How it ended, 128 + N after signal N; None when it hasn't within `wait` seconds, or nobody knows."""
        with contextlib.suppress(EOFError, OSError):
            if self._code is None and select.select([self._orders], [], [], wait)[0]:
                self._code = channel.receive(self._orders)[0]["exit"]
        return self._code

    def excess(self) -> str:
        """What it takes too much of, `"processes"` or `"memory"`; empty while it doesn't."""
        roots = [self._pid, self._sandbox.pid] if self._sandbox else [self._pid]
        processes = descendants(roots, self._limits.processes) | {self._pid}
        if len(processes) > self._limits.processes or sum(map(threads_of, processes)) > self._limits.threads:
            return "processes"
        return "memory" if self._takes_too_much(processes) else ""

    def _takes_too_much(self, processes: Iterable[int]) -> bool:
        """Forked from the warm process, each seems to take what that one takes, and mostly shares it.

        So where the sum is too much, its own part is asked of one process a look: the kernel counts for milliseconds, and meanwhile a fork
        bomb would grow.
        """
        most = self._before + self._limits.memory
        seen = {pid: memory_of(pid) for pid in processes}
        if sum(seen.values()) <= most:
            return False
        self._shares = {pid: share for pid, share in self._shares.items() if pid in seen}  # the one asked last stands last
        asked = next((pid for pid in seen if pid not in self._shares), next(iter(self._shares), self._pid))
        self._shares.pop(asked, None)
        self._shares[asked] = share_of_memory_of(asked)
        own = {pid: max(0, memory - self._before) for pid, memory in seen.items()}  # until it was asked, and where nobody may ask
        return sum(own[pid] if self._shares.get(pid) is None else self._shares[pid] for pid in seen) > most

    def end(self) -> bool:
        """Kill what still runs of it; whether the warm process has seen it end."""
        if self._sandbox:
            self._sandbox.kill()
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, signal.SIGKILL)
        return self.exit_code(SECONDS_TO_END) is not None
