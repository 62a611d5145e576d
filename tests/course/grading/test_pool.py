"""Many submissions at a time, here and on a cluster: whatever happens to the workers, each is graded once."""

import os
import signal

import pytest

from course.errors import CourseError
from course.grading import pool
from course.grading.cluster import Cluster
from course.grading.grader import Order, Task
from course.grading.limits import Limits
from course.grading.pool import Pool
from course.grading.submissions import Submission
from tests.course.grading.a_class import LESSON, SECRET, solved

ORDER = Order(SECRET, questions=("bed_of_nails",), limits=Limits(seconds=5))


def tasks(count: int, cells=None):
    for number in range(count):
        name = f"student{number}"
        yield Task(Submission(name, f"{name}.ipynb", tuple(cells or solved()), digest=name), LESSON)


def names(count: int) -> list[str]:
    return sorted(f"student{number}" for number in range(count))


def check(graded, count):
    assert sorted(one.submission for one in graded) == names(count)
    assert [grade for one in graded for grade in one.grades if grade.status != "ok"] == []


def test_a_pool_grades_each_once_and_draws_no_more_than_it_works_on():
    drawn = []

    def watched():
        for task in tasks(6):
            drawn.append(task.submission.name)
            yield task

    with Pool(2, ORDER) as workers:
        results = workers.grade(watched())
        first = next(results)
        assert len(drawn) <= 3
        check([first, *results], 6)


def test_a_worker_killed_in_the_middle_loses_nothing():
    with Pool(2, ORDER) as workers:
        graded, killed = [], set()
        for one in workers.grade(tasks(8)):
            graded.append(one)
            busy = next((seat for seat in workers._seats if seat.task and seat.task.submission.name not in killed), None)
            if busy and len(killed) < 2:
                killed.add(busy.task.submission.name)
                os.kill(busy.process.pid, signal.SIGKILL)
        check(graded, 8)
        assert killed


def test_a_submission_that_always_kills_its_worker_gets_a_row_and_the_others_their_grades(monkeypatch):
    """The kill is made from here, since no submission is known that can do it."""
    with Pool(1, ORDER) as workers:
        hand_out = workers._hand_out

        def kill_when_it_is_1(seat, task):
            hand_out(seat, task)
            if task.submission.name == "student1":
                os.kill(seat.process.pid, signal.SIGKILL)

        monkeypatch.setattr(workers, "_hand_out", kill_when_it_is_1)
        graded = {one.submission: one for one in workers.grade(tasks(3))}
    assert sorted(graded) == names(3)
    assert [graded[name].points for name in names(3)] == [10.0, 0, 10.0]
    assert graded["student1"].problem == pool.DIED and graded["student1"].grades[0].status == "error"


def test_no_sandbox_at_all_is_told_once(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")  # the workers inherit it: neither bwrap nor cat is found
    with Pool(1, ORDER) as workers, pytest.raises(CourseError, match="The sandbox could not be made"):
        list(workers.grade(tasks(1)))


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    before = dict(os.environ)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, worker_dashboard_address=None) as made:
        yield made
    os.environ.clear()  # Dask leaves its workers' settings in it, OMP_NUM_THREADS=1 among them, for all processes of later tests
    os.environ.update(before)


def test_a_dask_cluster_grades_the_same_and_a_killed_worker_loses_nothing(cluster):
    with Cluster(cluster.scheduler_address, ORDER) as workers:
        graded, killed = [], []
        for one in workers.grade(tasks(10)):
            graded.append(one)
            if len(graded) == 2:
                killed.append(next(iter(cluster.workers.values())).process.process.pid)
                os.kill(killed[0], signal.SIGKILL)
    check(graded, 10)
    assert killed


def test_no_scheduler_and_no_workers_are_told(cluster):
    from distributed import LocalCluster

    with pytest.raises(CourseError, match="No Dask scheduler answers at"):
        Cluster("tcp://127.0.0.1:9", ORDER)
    with (
        LocalCluster(n_workers=0, dashboard_address=None) as empty,
        Cluster(empty.scheduler_address, ORDER) as workers,
        pytest.raises(CourseError, match="has no workers"),
    ):
        list(workers.grade(tasks(1)))
