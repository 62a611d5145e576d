"""Grade many submissions at a time on a Dask cluster: the same tasks, sent to its workers (https://distributed.dask.org).

The cluster's machines need the course and bubblewrap. Submissions travel to them; grades come back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from course.errors import CourseError
from course.grading.grader import Order, Task, grade_submission, without_answers
from course.grading.grades import Graded

TASKS_A_THREAD = 2  # handed out at a time: enough that no worker waits for the next, and few notebooks are in memory
SECONDS_TO_CONNECT = 20
DIED = "The workers that graded it died on it, again and again: tell the instructor."


class Cluster:
    """A client of the scheduler at `address`, until it is closed.

    Raises:
        CourseError: When the package is missing, nobody answers there, or there is no worker.
    """

    def __init__(self, address: str, order: Order):
        try:
            from distributed import Client
        except ImportError:
            raise CourseError('--scheduler needs Dask: pip install "segcourse[cluster]" installs it.') from None
        try:
            self._client = Client(address, timeout=SECONDS_TO_CONNECT)
        except (OSError, TimeoutError, ValueError) as error:
            raise CourseError(f"No Dask scheduler answers at {address} ({error}).") from None
        self._order = order

    def grade(self, tasks: Iterable[Task]) -> Iterator[Graded]:
        """What each comes to, as it is done, once each, whatever happens to the workers.

        Raises:
            CourseError: When none can be graded on a worker.
        """
        from distributed import as_completed

        threads = sum(self._client.nthreads().values())
        if threads == 0:
            raise CourseError("The Dask scheduler has no workers: start some with `dask worker ADDRESS`.")
        coming = iter(tasks)
        waiting = {self._submit(task): task for task in islice(coming, TASKS_A_THREAD * threads)}
        done = as_completed(list(waiting))
        for future in done:
            task = waiting.pop(future)
            yield self._result(future, task)
            for following in islice(coming, 1):
                waiting[(new := self._submit(following))] = following
                done.add(new)

    def _submit(self, task: Task):
        return self._client.submit(grade_submission, task, self._order, pure=False)

    def _result(self, future, task: Task) -> Graded:
        error = future.exception()
        if isinstance(error, CourseError):
            raise error
        if error is not None:
            return without_answers(task, self._order, DIED, status="error")
        return future.result()

    def close(self) -> None:
        """Take back what is not done, and leave the cluster as it was."""
        self._client.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_) -> None:
        self.close()
