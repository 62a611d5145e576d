"""What a student's code may use."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Of one process, which runs the notebook's cells and then one exercise.

    Attributes:
        seconds: of wall-clock time for all cases of a function.
        cell_seconds: of wall-clock time for one statement of a cell.
        notebook_seconds: of wall-clock time for all cells.
        memory: bytes, beyond what torch itself takes; all processes together.
        files: bytes, of a file and of all files in its temporary folder together.
        processes: that may run at a time.
        threads: of all processes together; each library starts as many as there are cores.
        answer: bytes that may come back.
    """

    seconds: float = 30.0
    cell_seconds: float = 20.0
    notebook_seconds: float = 60.0
    memory: int = 2048 * MB
    files: int = 128 * MB
    processes: int = 32
    threads: int = 256
    answer: int = 64 * MB
