"""Grade many submissions at a time on this machine: each worker is a process, and one that dies is replaced."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

from course.errors import CourseError
from course.grading import confinement
from course.grading.grader import Order, Task, close_worker, grade_submission, without_answers
from course.grading.grades import Graded

ATTEMPTS = 3
DIED = "The processes that graded it died on it, one after the other: tell the instructor."


@dataclass
class _Seat:
    """A worker process, and the task that it has."""

    process: multiprocessing.Process
    connection: Connection
    task: Task | None = None


class Pool:
    """`jobs` workers, until it is closed.

    Args:
        jobs: at least 1.
    """

    def __init__(self, jobs: int, order: Order):
        self._order = order
        self._context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks, and not the threads
        self._seats = [self._new_seat() for _ in range(jobs)]

    def grade(self, tasks: Iterable[Task]) -> Iterator[Graded]:
        """What each comes to, as it is done. Only as many tasks are drawn from `tasks` as can be worked on.

        Raises:
            CourseError: When none can be graded here.
        """
        coming, again = iter(tasks), deque()
        attempts: dict[str, int] = {}
        while True:
            for seat in self._seats:
                if seat.task is None and (task := again.popleft() if again else next(coming, None)):
                    attempts[task.submission.file] = attempts.get(task.submission.file, 0) + 1
                    self._hand_out(seat, task)
            busy = {handle: seat for seat in self._seats if seat.task for handle in (seat.connection, seat.process.sentinel)}
            if not busy:
                return
            for seat in {id(busy[handle]): busy[handle] for handle in wait(list(busy))}.values():
                task, seat.task = seat.task, None
                graded = self._result(seat)
                if graded is not None:
                    yield graded
                elif attempts[task.submission.file] < ATTEMPTS:
                    again.append(task)
                else:
                    yield without_answers(task, self._order, DIED, status="error")

    def _hand_out(self, seat: _Seat, task: Task) -> None:
        seat.task = task
        with contextlib.suppress(OSError):  # it has just died: its sentinel tells
            seat.connection.send(task)

    def _result(self, seat: _Seat) -> Graded | None:
        """None from a worker that has died; another sits there then."""
        try:
            result = seat.connection.recv()
        except (EOFError, OSError):
            self._seats[self._seats.index(seat)] = self._new_seat()
            _end(seat)
            return None
        if isinstance(result, CourseError):
            raise result
        return result

    def _new_seat(self) -> _Seat:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._order), daemon=True)
        with _without_this_folder():
            process.start()
        theirs.close()
        return _Seat(process, mine)

    def close(self) -> None:
        """End all workers at once, and whatever they are running."""
        for seat in self._seats:
            _end(seat)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_) -> None:
        self.close()


@contextlib.contextmanager
def _without_this_folder() -> Iterator[None]:
    """Otherwise a new Python looks for its modules in the current folder first, which may be that of the submissions: `signal.py`, say."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        del os.environ["PYTHONSAFEPATH"]
        if before is not None:
            os.environ["PYTHONSAFEPATH"] = before


def _end(seat: _Seat) -> None:
    seat.connection.close()
    seat.process.kill()  # what it has started dies with it
    seat.process.join()


def _work(connection: Connection, order: Order) -> None:
    """A worker's life: one task after the other, until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who hands out tasks
    confinement.die_with_parent()
    with contextlib.suppress(EOFError, OSError):
        while True:
            task = connection.recv()
            try:
                result = grade_submission(task, order)
            except CourseError as error:
                result = error
            connection.send(result)
    close_worker()
