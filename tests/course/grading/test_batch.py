"""A folder of submissions, from the command line: nothing stops the batch, and a stopped one goes on."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course.cli import main
from course.grading import batch as batches
from course.grading import sandbox
from tests.course.grading.a_class import LESSON, NAMES, SECRET, notebook, solved, write_class

WRONG = "def bed_of_nails(x, scale):\n    return x\n"


def grade(folder, out, *more, seed=SECRET) -> int:
    return main(["grade", str(folder), "--seed", seed, "--out", str(out), "--jobs", "1", *more])


def rows(out) -> list[dict]:
    with (out / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def a_class(tmp_path_factory):
    """Ann has all, Bob one wrong, Cid's file is broken, Dan answers nothing, Eve's lesson is unknown."""
    folder = tmp_path_factory.mktemp("class") / "handed-in"
    students = {
        "ann": notebook(*solved()),
        "bob": notebook(*solved(), WRONG),
        "cid": "{",
        "dan": notebook("# max_unpool"),
        "eve": notebook(),
    }
    return write_class(folder, **students)


@pytest.fixture(scope="module")
def graded(a_class, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "grades"
    assert grade(a_class, out, "--lesson", "03", "--gradescope") == 1, "Cid's can't be read"
    return out


def test_every_question_of_every_submission_has_a_row(graded):
    found = rows(graded)
    assert [(row["submission"], row["question"]) for row in found] == [
        (name, q) for name in ("ann", "bob", "cid", "dan", "eve") for q in NAMES
    ]
    by_status = {name: {row["status"] for row in found if row["submission"] == name} for name in ("ann", "cid", "dan", "eve")}
    assert by_status == {"ann": {"ok"}, "cid": {"no answer"}, "dan": {"not found"}, "eve": {"not found"}}
    bob = {row["question"]: row for row in found if row["submission"] == "bob"}
    assert bob["bed_of_nails"]["status"] == "wrong" and {bob[name]["status"] for name in NAMES[1:]} == {"ok"}
    assert sum(float(row["points"]) for row in found if row["submission"] == "ann") == 10 * len(NAMES)


def test_the_secret_is_nowhere_in_the_results(graded):
    for path in graded.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_every_submission_has_its_pages(graded):
    for name in ("ann", "bob", "cid", "dan", "eve"):
        assert (graded / "reports" / f"{name}.html").is_file() and (graded / "gradescope" / name / "results.json").is_file()
        assert json.loads((graded / "submissions" / f"{name}.json").read_text())["file"] == f"{name}.ipynb"


def test_nothing_is_graded_twice_and_what_changed_is(a_class, graded, tmp_path, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in (graded / "submissions").iterdir()}
    assert grade(a_class, graded, "--lesson", "03", "--gradescope") == 0
    assert "0 submissions graded (5 were done before)" in capsys.readouterr().out
    (a_class / "dan.ipynb").write_text(notebook(*solved()))
    assert grade(a_class, graded, "--lesson", "03", "--gradescope") == 0
    after = {path.name: path.stat().st_mtime_ns for path in (graded / "submissions").iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"dan.json"}
    assert {row["status"] for row in rows(graded) if row["submission"] == "dan"} == {"ok"}


def test_another_secret_does_not_mix_with_the_results(a_class, graded, capsys):
    assert grade(a_class, graded, "--lesson", "03", seed="another secret") == 2
    assert "seed digest" in capsys.readouterr().err


def test_only_some_are_graded_again_and_the_others_keep_their_grades(a_class, graded, capsys):
    assert grade(a_class, graded, "--lesson", "03", "--only", "a*", "--only", "bed_of_nails") == 0
    assert capsys.readouterr().out.startswith("1 submissions graded: 1 ok.")
    assert [row["question"] for row in rows(graded) if row["submission"] == "ann"] == NAMES
    assert len(rows(graded)) == 5 * len(NAMES)


def test_a_lesson_shows_by_itself_and_a_broken_file_counts_as_of_the_others(tmp_path):
    folder = write_class(tmp_path / "in", ann=notebook("import torch", WRONG), cid="{")
    assert grade(folder, tmp_path / "out", "--only", "bed_of_nails") == 1
    assert [(row["submission"], row["lesson"], row["status"]) for row in rows(tmp_path / "out")] == [
        ("ann", LESSON, "wrong"),
        ("cid", LESSON, "no answer"),
    ]


def test_without_a_sandbox_it_says_so_and_runs_only_when_told_to(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(batches.sandbox, "why_unavailable", lambda: "bubblewrap is not installed")
    folder = write_class(tmp_path / "in", ann=notebook(*solved()))
    assert grade(folder, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "bubblewrap is not installed" in said and "--no-sandbox" in said and not (tmp_path / "out").exists()
    monkeypatch.setattr(sandbox, "find_bwrap", lambda: None)
    assert grade(folder, tmp_path / "out", "--no-sandbox") == 0
    assert {row["status"] for row in rows(tmp_path / "out")} == {"ok"}


@pytest.mark.parametrize(
    "more, told",
    [
        ([], "name it with --seed, or a file"),
        (["--seed", "a", "--seed-file", "b"], "name it with --seed, or a file"),
        (["--seed", ""], "The secret is empty"),
        (["--seed-file", "nowhere.txt"], "nowhere.txt can't be read"),
        (["--seed", "a", "--lesson", "99"], "No lesson with exercises is called '99'"),
    ],
)
def test_orders_that_make_no_sense_are_told(tmp_path, capsys, more, told):
    write_class(tmp_path / "in", ann=notebook())
    assert main(["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *more]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_secret_can_come_from_a_file(tmp_path, a_class, graded, capsys):
    (tmp_path / "secret.txt").write_text(f"{SECRET}\n")
    assert main(["grade", str(a_class), "--seed-file", str(tmp_path / "secret.txt"), "--out", str(graded), "--lesson", "3"]) == 0
    assert "0 submissions graded (5 were done before)" in capsys.readouterr().out


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_stopped_batch_leaves_no_process_and_goes_on_from_there(tmp_path, number, code):
    slow = "import time\ndef bed_of_nails(x, scale):\n    time.sleep(30)\n"
    folder = write_class(tmp_path / "in", a=notebook(*solved()), b=notebook(*solved(), slow))
    command = [sys.executable, "-m", "course.cli", "grade", folder, "--seed", SECRET, "--out", tmp_path / "out", "--jobs", "1"]
    running = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = tmp_path / "out" / "submissions" / "a.json"
    deadline = time.monotonic() + 120
    while not first.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    family = [process for process in descendants(running.pid) if process != running.pid]
    assert len(family) >= 4, "a worker, its warm process, bubblewrap, the student's process"
    os.kill(running.pid, number)
    said = running.communicate(timeout=30)[1]
    assert running.returncode == code and ("stopped" in said) is (code == 130)
    deadline = time.monotonic() + 10
    while (left := [process for process in family if is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    (folder / "b.ipynb").write_text(notebook(*solved()))
    before = first.stat().st_mtime_ns
    assert grade(folder, tmp_path / "out") == 0
    assert first.stat().st_mtime_ns == before and {row["status"] for row in rows(tmp_path / "out")} == {"ok"}


def descendants(pid: int) -> list[int]:
    """By who says to be whose child, which is not the grader's own way of finding them."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
