"""What the grader and a student's process say to one another, and when the grader has had enough of it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from course.exercises.running import Outcome
from course.grading import channel
from course.grading.arrays import BadArrays, from_npz
from course.grading.child import Child
from course.grading.limits import Limits

SECONDS_BETWEEN_LOOKS = 0.02
PIECE = 1 << 18
KINDS = ("returned", "not written", "not callable", "raised", "none", "unusable", "modified", "no file", "other network", "too slow")
MOST_PARTS = 32  # arrays in one answer
MOST_SENTENCES = 50
MOST_STATEMENTS = 1 << 20


@dataclass(frozen=True)
class Question:
    """What one process is asked.

    Attributes:
        name: The exercise's, which is the function's.
        cells: The notebook's code cells.
        files: Files to find beside the notebook: name → content.
        given: What the process is told when its cells have run (`course.grading.runner`).
        inputs: The blob that goes with it.
        cases: How many answers are expected.
        seconds: of wall-clock time for the answers.
        leave_out: Statements that are known to take the process with them.
        slim: Whether only the statements run that the function needs.
    """

    name: str
    cells: Sequence[str]
    files: Mapping[str, bytes]
    given: Mapping
    inputs: bytes
    cases: int
    seconds: float
    leave_out: frozenset[int] = frozenset()
    slim: bool = False


@dataclass
class Answers:
    """What came back. All of it was in the student's hands, but for `end` and the times.

    Attributes:
        end: `"done"`, or why it ended before: `"timeout"`, `"memory"`, `"processes"`, `"flood"` or `"died"`.
        heard: Whether anything came at all.
        code: The exit code of a process that died, 128 + N after signal N; None of one that was ended.
        found, imported: Whether the function is there, and whether it is the course's own.
        outcomes: Of the cases, by their place.
        statement: The statement that was running when it ended, None when the cells had run.
        calling: The case that was being answered when it ended.
        broken, failed: Sentences about cells that do not parse, and statements that raised.
        crashed: The traceback of what went wrong around the student's functions.
        cell_seconds, seconds: of wall-clock time, for the cells and in all.
    """

    end: str = ""
    heard: bool = False
    code: int | None = None
    found: bool | None = None
    imported: bool = False
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    statement: int | None = None
    calling: int | None = None
    broken: list[str] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    crashed: str = ""
    cell_seconds: float = 0.0
    seconds: float = 0.0


class Conversation:
    """One question to one process, from the first word to the last.

    Args:
        process: The socket to it.
        child: The process.
    """

    def __init__(self, question: Question, limits: Limits, process: socket.socket, child: Child):
        self._question, self._limits, self._process, self._child = question, limits, process, child
        self._inbox = channel.Inbox(limits.answer)
        self._outgoing = memoryview(b"")
        self._start = time.monotonic()
        self._deadline = self._start + limits.notebook_seconds
        self._statement_since = self._last_look = self._start
        self._in_cells = True
        self.answers = Answers()

    def hold(self) -> Answers:
        """Ask, and listen until the answers are complete, or the process ends, or it has taken more than it may."""
        header = {"cells": list(self._question.cells), "question": self._question.name, "slim": self._question.slim}
        files = {name: len(content) for name, content in self._question.files.items()}
        header |= {"leave_out": sorted(self._question.leave_out), "files": files}
        self._say(header, b"".join(self._question.files.values()))
        self._process.setblocking(False)
        while not self.answers.end:
            self._step()
        self.answers.seconds = time.monotonic() - self._start
        if self._in_cells:
            self.answers.cell_seconds = self.answers.seconds
        return self.answers

    def _step(self) -> None:
        writing = [self._process] if self._outgoing else []
        readable, writable, _ = select.select([self._process, self._child], writing, [], SECONDS_BETWEEN_LOOKS)
        try:
            if writable:
                self._outgoing = self._outgoing[self._process.send(self._outgoing[:PIECE]) :]
            if self._process in readable:
                self._listen()
            elif self._child in readable:  # nothing more to read from it, and it has ended
                self._end("died", self._child.exit_code(0))
        except channel.BadMessage:
            self._end("flood")
        except OSError:
            self._end("died", self._child.exit_code(1))
        self._look()

    def _listen(self) -> None:
        piece = self._process.recv(PIECE)
        if not piece:
            self._end("died", self._child.exit_code(1))  # it may have closed its socket and live on
        for header, blob in self._inbox.feed(piece):
            self._take(header, blob)

    def _take(self, header: dict, blob: bytes) -> None:
        """One message. Those that make no sense are passed over, and after the inputs are out nothing about the cells is believed."""
        self.answers.heard = True
        if type(header.get("crashed")) is str:
            self.answers.crashed = _sentence(header["crashed"][-2000:])
        elif self._in_cells:
            self._take_of_cells(header)
        elif type(header.get("calling")) is int:
            self.answers.calling = header["calling"]
        elif type(header.get("case")) is int:
            self._take_outcome(header, blob)
        elif header.get("done") is True:
            self.answers.calling = None
            self._end("done")

    def _take_of_cells(self, header: dict) -> None:
        answers = self.answers
        if type(header.get("broken")) is list:
            answers.broken = [_sentence(one) for one in header["broken"][:MOST_SENTENCES]]
        elif type(header.get("statement")) is int and 0 <= header["statement"] < MOST_STATEMENTS:
            answers.statement, self._statement_since = header["statement"], time.monotonic()
        elif type(header.get("failed")) is int and len(answers.failed) < MOST_SENTENCES:
            answers.failed[header["failed"]] = _sentence(header.get("sentence"))
        elif type(header.get("found")) is bool:
            answers.found, answers.imported, answers.statement = header["found"], header.get("imported") is True, None
            answers.cell_seconds = time.monotonic() - self._start
            self._in_cells = False
            if answers.found:
                self._say(dict(self._question.given), self._question.inputs)
                self._deadline = time.monotonic() + self._question.seconds
            else:
                self._end("done")

    def _take_outcome(self, header: dict, blob: bytes) -> None:
        place, kind, sentence = header["case"], header.get("kind"), _sentence(header.get("sentence"))
        if not 0 <= place < self._question.cases or place in self.answers.outcomes or kind not in KINDS:
            return
        try:
            arrays = from_npz(blob, max_bytes=self._limits.answer, max_arrays=MOST_PARTS)
            outcome = Outcome(kind, arrays, sentence)
        except BadArrays as error:
            outcome = Outcome("unusable", sentence=f"The answer could not be read: {error}.")
        self.answers.outcomes[place] = outcome

    def _say(self, header: dict, blob: bytes) -> None:
        self._outgoing = memoryview(bytes(self._outgoing) + channel.message(header, blob))

    def _look(self) -> None:
        now = time.monotonic()
        if now > self._deadline or (self._in_cells and now > self._statement_since + self._limits.cell_seconds):
            self._end("timeout")
        elif now > self._last_look + SECONDS_BETWEEN_LOOKS:
            self._last_look = now
            self._end(self._child.excess())

    def _end(self, why: str, code: int | None = None) -> None:
        if not self.answers.end:
            self.answers.end, self.answers.code = why, code


def _sentence(said: object) -> str:
    return said[:2000] if type(said) is str else ""
