"""The folder of results: whole at every moment, one grader at a time, one batch, and nothing of it lost or graded twice."""

import contextlib
import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import course.grading.results as module
from course.errors import CourseError
from course.grading.file_names import file_name
from course.grading.grades import CaseGrade, Grade, Graded
from course.grading.gradescope import gradescope_results
from course.grading.results import Results
from tests.environments import ROOT

FACTS = {"lesson": "03_unpooling", "seed digest": "9f86d0"}


def graded(submission="alice/03", fingerprint="f1", points=2.0, **rest):
    case = CaseGrade("one row", points > 0, "" if points else "Other values.")
    grades = (Grade("03_unpooling", "nearest", "ok" if points == 2 else "wrong", points, 2, "Zoë\ud800", "details", (case,), 0.5),)
    return Graded(submission, f"{submission}.ipynb", fingerprint, grades, **rest)


def table(folder):
    with (folder / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        return [(row["submission"], row["question"], float(row["points"])) for row in csv.DictReader(file)]


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_batch_leaves_the_files_that_it_says(tmp_path):
    one, two = graded("bo"), graded("alice/03", points=0)
    with Results(tmp_path / "a" / "out", FACTS) as results:
        results.write(one)
        results.write(two)
    names = [file_name("alice/03"), "bo"]
    assert set(files(tmp_path / "a" / "out")) == {
        ".lock", "batch.json", "grades.csv", "reports/index.html",
        *(f"reports/{name}.html" for name in names), *(f"submissions/{name}.json" for name in names),
    }  # fmt: skip
    assert table(tmp_path / "a" / "out") == [("alice/03", "nearest", 0), ("bo", "nearest", 2)]
    assert json.loads((tmp_path / "a/out/submissions/bo.json").read_text()) == json.loads(json.dumps(one.as_dict()))
    assert (tmp_path / "a/out").stat().st_mode & 0o077 == 0  # nobody else on the machine reads grades


def test_gradescope_is_written_on_request_also_for_what_was_graded_without(tmp_path):
    with Results(tmp_path / "out", FACTS) as results:
        results.write(graded("bo"))
    assert not (tmp_path / "out" / "gradescope").exists()
    with Results(tmp_path / "out", FACTS, gradescope=True) as results:
        results.write(graded("cy"))
    for name in ("bo", "cy"):
        assert json.loads((tmp_path / f"out/gradescope/{name}/results.json").read_text()) == gradescope_results(graded(name))


def test_a_second_run_reuses_what_has_the_same_fingerprint_and_nothing_else(tmp_path):
    with Results(tmp_path, FACTS) as results:
        for name in ("alice", "bo", "cy"):
            results.write(graded(name))
    with Results(tmp_path, FACTS) as results:
        done = results.finished({"alice": "f1", "bo": "changed", "new": "f1"})
        assert done == {"alice": graded("alice")}
    assert [row[0] for row in table(tmp_path)] == ["alice", "cy"]  # cy was not asked about; bo's grade is not of what was handed in
    with Results(tmp_path, FACTS) as results:
        assert results.finished({"bo": "changed"}) == {}
        results.write(graded("bo", "changed", 0.0))
        assert results.read() == [graded("alice"), graded("bo", "changed", 0.0), graded("cy")]
    assert table(tmp_path) == [("alice", "nearest", 2), ("bo", "nearest", 0), ("cy", "nearest", 2)]


TEXT = st.text(st.characters(codec=None), max_size=8)


@given(st.builds(Graded, TEXT, TEXT, TEXT, st.just(graded().grades), TEXT, st.lists(TEXT).map(tuple), st.floats(0, 9)))
def test_a_record_comes_back_as_it_was(tmp_path_factory, one):
    folder = tmp_path_factory.mktemp("out")
    with Results(folder, FACTS) as results:
        results.write(one)
    with Results(folder, FACTS) as results:
        assert results.read() == [one]


WHOLE = json.dumps(graded("bo").as_dict())
DAMAGED = {
    "empty": "",
    "cut off": WHOLE[: len(WHOLE) // 2],
    "no JSON": "not JSON",
    "no Unicode": b"\xff\xfe\x00",
    "a list": "[1, 2]",
    "a number": "7",
    "null": "null",
    "deep": "[" * 100_000,
    "another shape": '{"submission": "bo", "grades": 3}',
    "grades that are words": json.dumps(graded("bo").as_dict() | {"grades": ["ab"]}),
    "grades that are null": json.dumps(graded("bo").as_dict() | {"grades": [None]}),
    "a field too many": json.dumps(graded("bo").as_dict() | {"more": 1}),
    "a number for words": json.dumps(graded("bo").as_dict() | {"fingerprint": 7}),
    "a word for seconds": json.dumps(graded("bo").as_dict() | {"seconds": "7"}),
    "words for remarks": json.dumps(graded("bo").as_dict() | {"remarks": [1]}),
    "infinite seconds": json.dumps(graded("bo").as_dict() | {"seconds": float("inf")}),
    "a word for a message": WHOLE.replace('"details"', "[]", 1),
    "points above the full ones": WHOLE.replace('"points": 2.0', '"points": 3.0'),
    "a case that is not right or wrong": WHOLE.replace('"right": true', '"right": "yes"'),
    "another submission's": json.dumps(graded("cy").as_dict()),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_is_kept_aside_and_said(tmp_path, content):
    with Results(tmp_path, FACTS) as results:
        results.write(graded("bo"))
        results.write(graded("alice"))
    record, said = tmp_path / "submissions" / "bo.json", []
    content = content if isinstance(content, bytes) else content.encode()
    for aside in ("bo.json.damaged", "bo.json.damaged-2"):
        record.write_bytes(content)
        with Results(tmp_path, FACTS, say=said.append) as results:
            assert set(results.finished({"bo": "f1", "alice": "f1"})) == {"alice"}
        assert (tmp_path / "submissions" / aside).read_bytes() == content and not record.exists()
        assert said.pop() == f"{record} is damaged and cannot be read: it is kept as {aside}, and that submission is graded again."
    assert not said


def test_other_facts_are_not_mixed_in(tmp_path):
    with Results(tmp_path, FACTS | {"settings": (1, 2)}) as results:
        results.write(graded())
    before = files(tmp_path)
    with pytest.raises(CourseError, match=r"holds the results of another batch \(seed digest: 9f86d0 there, 60303a here\).*--out"):
        Results(tmp_path, FACTS | {"settings": (1, 2), "seed digest": "60303a"}).__enter__()
    with pytest.raises(CourseError, match=r"\(settings: \[1, 2\] there, none here; version: none there, 2 here\)"):
        Results(tmp_path, FACTS | {"version": 2}).__enter__()
    assert files(tmp_path) == before
    with Results(tmp_path, FACTS | {"settings": (1, 2)}) as results:
        assert results.read() == [graded()]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": "segcourse grading 1", "facts": 3}', b'{"format": "else", "facts": {}}']
)
def test_a_batch_that_cannot_be_told_is_left_alone(tmp_path, content):
    (tmp_path / "batch.json").write_bytes(content)
    with pytest.raises(CourseError, match=r"batch\.json is not what a grading writes.*--out"):
        Results(tmp_path, {}).__enter__()
    assert (tmp_path / "batch.json").read_bytes() == content


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(CourseError, match=r"holds other files, such as 'thesis\.tex'.*--out"):
        Results(tmp_path, FACTS).__enter__()
    assert files(tmp_path) == {"thesis.tex": b"precious"}


def test_an_empty_folder_and_one_of_a_start_that_was_cut_off_are_taken(tmp_path):
    (tmp_path / ".lock").touch()
    (tmp_path / ".batch.json.x1.part").write_text("{")
    with Results(tmp_path, FACTS):
        pass
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*.part"))


def test_a_folder_that_is_a_file_or_cannot_be_is_said(tmp_path):
    (tmp_path / "file").write_text("precious")
    for folder in (tmp_path / "file", tmp_path / "file" / "out", "/proc/no/such"):
        with pytest.raises(CourseError, match=r"The folder of results could not be written to .* \(.+\): .*\."):
            Results(folder, FACTS).__enter__()
    assert (tmp_path / "file").read_text() == "precious"


def fill_the_disk(monkeypatch, name):
    """From now on no file of this name can be written."""
    real = module.write_atomically

    def full(path, content):
        if path.match(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content)

    monkeypatch.setattr(module, "write_atomically", full)


@pytest.mark.parametrize("name", ["bo.json", "bo.html", "grades.csv", "index.html", "*"])
def test_a_full_disk_ends_the_batch_with_a_sentence_and_loses_nothing(tmp_path, monkeypatch, name):
    said, results = [], Results(tmp_path, FACTS, say=lambda sentence: said.append(sentence))
    with (
        pytest.raises(CourseError, match=r"could not be written to .* \(No space left on device\): what was written before stands"),
        results,
    ):
        results.write(graded("alice"))
        before = files(tmp_path)
        fill_the_disk(monkeypatch, name)
        results.write(graded("bo"))
    assert files(tmp_path).items() >= {name: before[name] for name in before if "alice" in name or name == "batch.json"}.items()
    monkeypatch.undo()
    with Results(tmp_path, FACTS, say=said.append) as results:
        assert "alice" in results.finished({"alice": "f1", "bo": "f1"})
        assert "bo" in results.finished({"bo": "f1"}) or name in ("bo.json", "bo.html", "*")
        results.write(graded("bo"))
    assert [row[0] for row in table(tmp_path)] == ["alice", "bo"]
    assert not any("damaged" in sentence for sentence in said)


def test_a_file_that_really_cannot_grow_loses_nothing(tmp_path):
    """Not a stand-in for the disk: the system itself refuses."""
    script = f"""
import resource, signal
from tests.course.grading.test_results import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Results({str(tmp_path)!r}, FACTS) as results:
    results.write(graded("alice"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    results.write(graded("bo", problem="x" * 100_000))
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert "CourseError: What bo came to could not be written" in run.stderr, run.stderr
    with Results(tmp_path, FACTS) as results:
        assert results.read() == [graded("alice")]


def test_an_error_in_a_batch_still_leaves_the_tables_and_is_not_hidden(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(module, "_EVERY", 1e9)
    with pytest.raises(KeyboardInterrupt), Results(tmp_path, FACTS) as results:
        for name in ("alice", "bo"):
            results.write(graded(name))
        raise KeyboardInterrupt
    assert [row[0] for row in table(tmp_path)] == ["alice", "bo"]
    with pytest.raises(KeyboardInterrupt), Results(tmp_path, FACTS, say=said.append):
        fill_the_disk(monkeypatch, "grades.csv")
        raise KeyboardInterrupt
    assert len(said) == 1 and "The table of grades could not be written" in said[0]


def test_the_tables_are_not_written_for_every_submission(tmp_path, monkeypatch):
    """200 submissions in 10 seconds of a clock that stands still while a file is written."""
    clock, written, real = [100.0], [], module.write_atomically
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(module, "write_atomically", lambda path, content: (written.append(path.name), real(path, content)))
    with Results(tmp_path, FACTS) as results:
        for number in range(200):
            clock[0] += 0.05
            results.write(graded(f"s{number}"))
        assert 9 <= written.count("grades.csv") == written.count("index.html") <= 11
    assert written.count("grades.csv") <= 12 and len(table(tmp_path)) == 200


def test_a_second_grader_is_refused(tmp_path):
    with Results(tmp_path, FACTS) as results:
        results.write(graded("alice"))
        with pytest.raises(CourseError, match=r"Another `segcourse grade` is writing to .*--out"):
            Results(tmp_path, FACTS).__enter__()
        script = f"from tests.course.grading.test_results import *\nResults({str(tmp_path)!r}, FACTS).__enter__()"
        run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
        assert "CourseError: Another `segcourse grade` is writing to" in run.stderr
        results.write(graded("bo"))
    with Results(tmp_path, FACTS) as results:
        assert results.read() == [graded("alice"), graded("bo")]


def test_a_refused_start_lets_go(tmp_path):
    with Results(tmp_path, FACTS):
        pass
    refused = [Results(tmp_path, {}), Results(tmp_path, {})]  # they live on, and hold nothing
    for results in refused:
        with pytest.raises(CourseError, match="another batch"):
            results.__enter__()
    with Results(tmp_path, FACTS):
        pass


@contextlib.contextmanager
def grader(folder, script):
    """A grader in a process of its own, past its first line of output, killed without a warning at the end."""
    script = f"import sys\nfrom tests.course.grading.test_results import *\nwith Results({str(folder)!r}, FACTS) as results:\n{script}"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_killed_grader_lets_go_though_its_workers_live_on(tmp_path):
    script = """
    child = os.fork()
    if child == 0:
        sys.stdout.close()
        os.close(1)
        time.sleep(600)
        os._exit(0)
    other = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
    print(child, other.pid, flush=True)
    time.sleep(600)
"""
    with grader(tmp_path, script) as (process, line):
        workers = [int(pid) for pid in line.split()]
        try:
            with pytest.raises(CourseError, match="Another"):
                Results(tmp_path, FACTS).__enter__()
            process.kill()
            process.wait()
            for pid in workers:
                os.kill(pid, 0)  # it lives
            with Results(tmp_path, FACTS) as results:
                assert results.read() == []
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("count, file", list(enumerate(["reports/bo.html", "submissions/bo.json", "grades.csv", "reports/index.html"])))
def test_a_grader_that_is_killed_with_a_file_half_done_keeps_the_old_one(tmp_path, count, file):
    with Results(tmp_path, FACTS) as results:
        results.write(graded("alice"))
        results.write(graded("bo", "f1", 0.0))
    before = files(tmp_path)
    script = f"""
    real, names = os.replace, []
    def replace(source, target):
        names.append(target)
        if len(names) > {count}:
            print(target, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)
    os.replace = replace
    results.write(graded("bo", "f2"))
"""
    with grader(tmp_path, script) as (process, line):
        assert line == str(tmp_path / file) and process.wait(60) == -signal.SIGKILL
    assert (tmp_path / file).read_bytes() == before[file]
    with Results(tmp_path, FACTS) as results:
        assert ("bo" in results.finished({"bo": "f2"})) == (count > 1) and "alice" in results.finished({"alice": "f1"})
        results.write(graded("bo", "f2"))
    assert table(tmp_path) == [("alice", "nearest", 2), ("bo", "nearest", 2)] and not list(tmp_path.rglob(".*.part"))


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.11])
def test_a_grader_that_is_killed_while_it_writes_leaves_whole_files(tmp_path, moment):
    """Submissions are written as fast as can be, large enough that most moments are in the middle of one."""
    script = """
    module._EVERY = 0
    print("begun", flush=True)
    for number in range(10**6):
        results.write(graded(f"s{number % 20}", problem=f"{number} " + "x" * 300_000))
"""
    with grader(tmp_path, script) as (process, line):
        assert line == "begun"
        while not (tmp_path / "submissions" / "s1.json").exists():
            assert process.poll() is None
            time.sleep(0.001)
        time.sleep(moment)
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text())
    for path in tmp_path.rglob("*.html"):
        assert path.read_text().endswith("</html>\n")
    assert all(len(row) == 3 for row in table(tmp_path))
    said = []
    with Results(tmp_path, FACTS, say=said.append) as results:
        found = results.read()
    assert said == [] and len(found) == len(list((tmp_path / "submissions").glob("*.json"))) >= 2
    assert all(len(one.problem.split()[1]) == 300_000 and one == replace(graded(one.submission), problem=one.problem) for one in found)
    assert not list(tmp_path.rglob(".*.part"))
    assert [row[0] for row in table(tmp_path)] == [one.submission for one in found]
