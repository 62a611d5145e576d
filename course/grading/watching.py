"""How many processes and threads a student's code has, and how much memory they take, read from Linux's /proc."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

_MEMORY = re.compile(rb"^(?:RssAnon|RssShmem):\s+(\d+) kB", re.MULTILINE)
_SHARE = re.compile(rb"^(?:Pss_Anon|Pss_Shmem):\s+(\d+) kB", re.MULTILINE)
_THREADS = re.compile(rb"^Threads:\s+(\d+)", re.MULTILINE)


def memory_of(pid: int) -> int:
    """Bytes of memory of its own that a process takes: without the files it maps, as a program's code is. 0 when it is gone."""
    with contextlib.suppress(OSError):
        return 1024 * sum(map(int, _MEMORY.findall(Path(f"/proc/{pid}/status").read_bytes())))
    return 0


def share_of_memory_of(pid: int) -> int | None:
    """As `memory_of`, but what several processes share counts in parts. None where the kernel doesn't tell. It takes milliseconds."""
    with contextlib.suppress(OSError):
        return 1024 * sum(map(int, _SHARE.findall(Path(f"/proc/{pid}/smaps_rollup").read_bytes())))
    return None


def threads_of(pid: int) -> int:
    """How many threads a process has; 0 when it is gone."""
    with contextlib.suppress(OSError):
        return sum(map(int, _THREADS.findall(Path(f"/proc/{pid}/status").read_bytes())))
    return 0


def descendants(roots: Iterable[int], most: int) -> set[int]:
    """The processes that `roots` have started, and those that these have started, without the roots; `most` of them at the most."""
    found: set[int] = set()
    waiting = list(roots)
    while waiting and len(found) <= most:
        for child in _children(waiting.pop()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        threads = Path(f"/proc/{pid}/task").iterdir()
        return [int(child) for thread in threads for child in _words(thread / "children")]
    return []


def _words(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text().split()
    return []
