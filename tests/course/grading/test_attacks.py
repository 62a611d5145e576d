"""Every attack scores 0, reaches nothing, leaves nothing behind, and leaves the batch whole."""

import contextlib
import csv
import ctypes
import hashlib
import io
import json
import os
import platform
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import course
from course.exercises.checking import expected_arrays
from course.exercises.lessons import all_exercises, all_trainings, exercises_of
from course.grading.arrays import pack_inputs, to_npz
from course.grading.file_names import file_name
from course.grading.hidden import hidden_cases, seed_of
from course.lessons import sources
from tests.course.grading import attacks
from tests.course.grading.a_class import notebook, solution

SECRET = attacks.BAIT + secrets.token_hex(16)  # what the attacks look for wherever it may be
COMM = f"seg{secrets.token_hex(5)}"  # what their processes are called
LIMITS = ("--seconds", "3", "--memory", "512")
ATTACKS = attacks.all_attacks()
ROOT = Path(course.__file__).parents[1]
# As the command `segcourse` starts: the current folder is not on Python's path.
COMMAND = f"import sys; sys.path[0] = {str(ROOT)!r}; from course.cli import main; sys.exit(main())"
SENTINELS = [Path(course.__file__).parent / name for name in ("__init__.py", "exercises/running.py", "grading/judging.py")]
SENTINELS += [Path(torch.__file__), Path(np.__file__), Path(np.__file__).parent / "testing" / "__init__.py"]

RIGHT = notebook("import torch", solution("bed_of_nails"))
UNREADABLE = {}


def unreadable(ending: str):
    """A file that is no submission: the function writes it to the path that it is given."""

    def keep(write):
        UNREADABLE[write.__name__] = (f"{write.__name__}{ending}", write)
        return write

    return keep


@unreadable(".ipynb")
def notebook_of_200_mb(path):
    with path.open("wb") as file:
        file.write(b'{"cells": [')
        file.truncate(200 << 20)


@unreadable(".ipynb")
def invalid_json(path):
    path.write_text(RIGHT[:-5])


@unreadable(".ipynb")
def nested_too_deep(path):
    path.write_text('{"cells": ' + "[" * 1_000_000)


@unreadable(".ipynb")
def no_text(path):
    path.write_bytes(os.urandom(10_000))


@unreadable("\x1b[31m\x1b]0;owned\x07.ipynb")
def name_that_commands_a_terminal(path):
    path.write_text("")


@unreadable(".ipynb")
def empty(path):
    path.write_bytes(b"")


@unreadable(".ipynb")
def link_to_the_right_one(path):
    path.symlink_to(path.with_name("a_right_one.ipynb"))


@unreadable(".ipynb")
def link_to_the_secret(path):
    path.symlink_to(path.parent.parent / "elsewhere" / "secret.txt")


@unreadable(".ipynb")
def pipe(path):
    os.mkfifo(path)


@unreadable(".zip")
def broken_deflate(path):
    path.write_bytes(_broken(zipfile.ZIP_DEFLATED))


@unreadable(".zip")
def broken_lzma(path):
    path.write_bytes(_broken(zipfile.ZIP_LZMA))


def _broken(method: int) -> bytes:
    content = bytearray(packed({"a.ipynb": RIGHT}, method))
    content[50:60] = bytes(byte ^ 0xFF for byte in content[50:60])
    return bytes(content)


@unreadable(".zip")
def zip_bomb(path):
    path.write_bytes(packed({"a.ipynb": bytes(200 << 20)}))


@unreadable(".zip")
def a_million_entries(path):
    count = 1_000_000
    entries = (struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, *(0,) * 7, 1, *(0,) * 6) + b"a") * count
    path.write_bytes(entries + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(entries), 0, 0))


@unreadable(".zip")
def zip_with_a_link(path):
    """A link in an archive is a file that holds a path."""
    link = zipfile.ZipInfo("work.ipynb")
    link.external_attr = 0o120777 << 16
    path.write_bytes(packed({link: str(path.parent.parent / "elsewhere" / "secret.txt")}))


@unreadable("")
def folders_in_folders(path):
    """So many that going through them one within the other ends the program."""
    handle = os.open(path.parent, os.O_RDONLY)
    for name in [path.name, *["d"] * 1200]:
        os.mkdir(name, dir_fd=handle)
        inside = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inside
    os.close(os.open("x.ipynb", os.O_CREAT, dir_fd=handle))
    os.close(handle)


@unreadable("")
def folders_with_long_names(path):
    """So long that the whole is no path any more."""
    handle = os.open(path.parent, os.O_RDONLY)
    for name in [path.name, *["d" * 250] * 19]:
        os.mkdir(name, dir_fd=handle)
        inside = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inside
    os.close(handle)


def packed(members: dict, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


@dataclass
class Graded:
    """A batch that was graded by the command line, and what was seen around it."""

    folder: Path
    out: Path
    run: subprocess.CompletedProcess

    def record(self, name: str) -> dict:
        return json.loads((self.out / "submissions" / f"{file_name(name)}.json").read_text())

    def page(self, name: str) -> str:
        return (self.out / "reports" / f"{file_name(name)}.html").read_text()

    def rows(self) -> list[dict]:
        return list(csv.DictReader(io.StringIO((self.out / "grades.csv").read_text("utf-8-sig"))))


def grade(folder: Path, *options: str, **more) -> subprocess.CompletedProcess:
    """The command line, started in the folder of the submissions."""
    environment = os.environ | {"GRADERS_SECRET": SECRET, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-c", COMMAND, "grade", ".", "--seed", SECRET, "--out", str(folder.parent / "out"), "--jobs", "1", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=600, **more)


def leave_a_key() -> None:
    """The secret also lies in the keyring of the grader's session, as a password may."""
    if platform.machine() in ("x86_64", "aarch64"):
        add, control = (248, 250) if platform.machine() == "x86_64" else (217, 219)
        libc = ctypes.CDLL(None)
        libc.syscall(control, 1, b"segcourse")
        libc.syscall(add, b"user", b"segcourse", SECRET.encode(), len(SECRET), ctypes.c_int(-3))


class Listener:
    """A port and an abstract socket of this machine, and whether anybody came."""

    def __init__(self, address: str):
        self.inet, self.unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
        self.unix.bind(address)
        self.unix.listen()
        self.came = 0
        for server in (self.inet, self.unix):
            threading.Thread(target=self._listen, args=[server], daemon=True).start()

    def _listen(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                server.accept()[0].close()
                self.came += 1


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """All attacks on one question, between two who have it right."""
    root = tmp_path_factory.mktemp("attacks")
    folder, elsewhere, mark = root / "class", root / "elsewhere", root / "elsewhere" / "mark"
    for path in (folder, elsewhere):
        path.mkdir()
        (path / "secret.txt").write_text(SECRET)
    address = f"\0segcourse-{os.getpid()}"
    listener = Listener(address)
    places = [str(path) for path in (folder, elsewhere, root / "out", root, ROOT)]
    facts = attacks.known(places, secret_bytes(), listener.inet.getsockname()[1], address, str(mark), COMM)
    for name, attack in ATTACKS.items():
        (folder / f"{name}.ipynb").write_text(notebook(facts, *attack()))
    for name in ("a_right_one", "zz_right_one"):
        (folder / f"{name}.ipynb").write_text(notebook(f"# {SECRET}", "import torch", solution("bed_of_nails")))
    for name, write in UNREADABLE.values():
        write(folder / name)
    write_hostile_names(folder, mark)
    before = snapshot(root)
    graded = Graded(folder, root / "out", grade(folder, "--lesson", "03", "--only", "bed_of_nails", *LIMITS, preexec_fn=leave_a_key))
    graded.changed = sorted({path for path, _ in before ^ snapshot(root) if not path.startswith(str(root / "out"))})
    graded.came, graded.root = listener.came, root
    listener.inet.close()
    listener.unix.close()
    yield graded
    subprocess.run(["rm", "-rf", *folder.glob("folders_*")], check=True)  # which pytest can't


HOSTILE_NAMES = {
    "=cmd|' C calc'!A0": 10,
    "@SUM(1+1)": 10,
    "<script>alert(3)<": 10,
    "x" * 240: 10,
    os.fsdecode(b"caf\xe9\x1b[31m"): 10,
    "line\nend": 10,
    "work.zip": 10,
    "work.zip.ipynb": 0,
    "multiprocessing.py": 0,
    "signal.py": 0,
    "course.py": 0,
    "traversal.zip": 10,
}


def write_hostile_names(folder: Path, mark: Path) -> None:
    for name in HOSTILE_NAMES:
        if not name.endswith((".zip", ".py", ".ipynb")):
            (folder / f"{name}.ipynb").write_text(RIGHT)
    (folder / "work.zip").write_bytes(packed({"work.ipynb": RIGHT}))
    (folder / "work.zip.ipynb").write_text(notebook("def bed_of_nails(x, scale):\n    return x"))  # would take the other's place
    (folder / "traversal.zip").write_bytes(packed({f"..{mark}.ipynb": RIGHT, f"{mark}": "x", "../../mark": "x"}))
    for name in ("multiprocessing", "signal", "course"):  # a module that the grader's own Python imports
        (folder / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')\ndef bed_of_nails(x, scale):\n    return x\n")


def secret_bytes() -> list[str]:
    """Inputs of another question and expected answers of this one, masked: see `attacks.known`."""
    other = hidden_cases(all_exercises()["max_unpool"], SECRET).cases[2].inputs["x"]
    expected = hidden_cases(all_exercises()["bed_of_nails"], SECRET).expected[4]["result"]
    drawn = expected[expected != 0]
    answer = expected.flatten()[: 4 * len(drawn)]
    return [bytes(byte ^ 0x55 for byte in tensor.numpy().tobytes()[:80]).hex() for tensor in (other, answer)]


def snapshot(root: Path) -> set[tuple[str, object]]:
    """Every file and folder under `root` but the folder of results, and the sentinels, with what would show a change."""
    found = {(str(path), (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest())) for path in SENTINELS}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if Path(folder, name) != root / "out" and not name.startswith("folders_")]
        for name in (*folders, *names):
            status = os.lstat(os.path.join(folder, name))
            found.add((os.path.join(folder, name), (status.st_mode, status.st_size, status.st_mtime_ns if name in names else 0)))
    return found


def processes_called(name: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (path / "comm").read_text().strip() == name or (path / "cmdline").read_bytes().startswith(name.encode()):
                found.append(int(path.name))
    return found


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_scores_nothing(batch, name):
    record = batch.record(name)
    assert [(grade["question"], grade["points"]) for grade in record["grades"]] == [("bed_of_nails", 0.0)], record
    assert record["grades"][0]["status"] != "ok", record
    assert "The grader itself failed" not in record["grades"][0]["message"], record["grades"][0]["details"]


@pytest.mark.parametrize("name, written", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_submission_has_its_row_and_a_reason(batch, name, written):
    found = [record for record in map(json.loads, read_all(batch.out / "submissions")) if record["file"].split("/")[0] == name]
    assert len(found) == 1 and [grade["points"] for grade in found[0]["grades"]] == [0.0]
    assert found[0]["problem"] and found[0]["problem"] == found[0]["grades"][0]["message"]


@pytest.mark.parametrize("name, points", HOSTILE_NAMES.items(), ids=ascii)
def test_a_name_costs_and_earns_nothing(batch, name, points):
    assert [grade["points"] for grade in batch.record(name)["grades"]] == [points]


def read_all(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.iterdir()]


def test_the_batch_is_whole(batch):
    assert batch.run.returncode == 1 and b"Traceback" not in batch.run.stderr, batch.run.stderr.decode()[-3000:]
    for name in ("a_right_one", "zz_right_one"):
        assert [(grade["status"], grade["points"]) for grade in batch.record(name)["grades"]] == [("ok", 10.0)]
    count = len(ATTACKS) + len(UNREADABLE) + len(HOSTILE_NAMES) + 2
    assert len(batch.rows()) == count and {row["question"] for row in batch.rows()} == {"bed_of_nails"}
    assert len(list((batch.out / "submissions").iterdir())) == len(list((batch.out / "reports").iterdir())) - 1 == count


def test_nothing_outside_has_changed(batch):
    assert batch.changed == []
    assert not (batch.root / "elsewhere" / "mark").exists()
    folders = [*SENTINELS, Path(sys.prefix, "x"), *(Path(place, "x") for place in ("/", "/usr", "/etc", "/tmp", "/dev/shm", "/var"))]
    assert not [path for path in folders if (path.parent / COMM).exists()]


def test_nobody_has_come_out(batch):
    assert batch.came == 0


def test_no_process_lives_on(batch):
    assert processes_called(COMM) == []


def test_a_student_is_told_nothing_of_a_hidden_input(batch):
    """Neither a number with three digits, which can't be there by chance, nor where an answer differs, and from what."""
    drawn = [value for case in hidden_cases(all_exercises()["bed_of_nails"], SECRET).cases for value in as_written(case.inputs["x"])]
    assert len(drawn) > 60
    for name in ATTACKS:
        said = re.sub(r"<style>.*?</style>", "", batch.page(name), flags=re.DOTALL)
        assert "LEAK" not in said and SECRET not in said, name
        assert not [value for value in drawn if value in said or value.replace(".", "p") in said], name
        assert not re.search(r"(expected|got|first at|index) \[?-?\d", said), name


def as_written(tensor: torch.Tensor) -> set[str]:
    """The numbers that are not whole, cut off and rounded."""
    values = [abs(value) for value in tensor.flatten().tolist() if value != int(value)]
    return {word for value in values for word in (f"{value:.6f}"[:5], f"{value:.3g}") if len(re.sub(r"^0\.0*|\.", "", word)) >= 3}


def test_no_page_runs_what_a_student_wrote_and_no_table_computes_it(batch):
    for path in (batch.out / "reports").iterdir():
        assert not re.search(r"<script>alert|<img src=x", path.read_text()), path.name
    for row in csv.reader(io.StringIO((batch.out / "grades.csv").read_text("utf-8-sig"))):
        assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))], row


def test_the_instructors_terminal_shows_names_and_obeys_none(batch):
    assert b"\x1b" not in batch.run.stdout and b"notebook_of_200_mb" in batch.run.stdout


# A network to train: the checkpoint is an attack too.

TRAINING = all_trainings()["build_fcn"]
BUILDER = "import torch\ndef build_fcn():\n    return torch.nn.Conv2d(3, 7, 1)"
LABELS = """
def build_fcn():
    return 0

from course.grading import runner
def label(grader, function, task, given, inputs):
    global count
    images = runner.from_npz(inputs, max_bytes=1 << 30, max_arrays=1)["images"]
    shape, kind = (len(images), *images.shape[2:]), {kind!r}
    arrays = {{"negative": torch.full(shape, -1), "void": torch.full(shape, 255, dtype=torch.uint8), "float": torch.zeros(shape),
              "nan": torch.full(shape, torch.nan), "short": torch.zeros(1, dtype=torch.uint8), "bool": torch.zeros(shape).bool(),
              "long": torch.zeros(shape).long(), "eighth": torch.full(shape, 7, dtype=torch.uint8)}}
    named = {{}} if kind == "none" else {{"labels": arrays[kind]}} if kind in arrays else {{"targets": arrays["void"]}}
    channel.send(grader, {{"case": 0, "kind": "returned", "sentence": "10 of 10 points"}}, to_npz(named))
from course.grading import channel
from course.grading.arrays import to_npz
import torch
runner._answer_about_pictures = label
"""
LABELLED = ("negative", "void", "float", "nan", "short", "long", "bool", "eighth", "none", "other name")


class _Pickled:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}; kill -9 $PPID",))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    folder, mark = root / "class", root / "mark"
    checkpoints = {
        "pickle": _torch_saved(_Pickled(mark)),
        "pickle in a zip": packed({"archive/data.pkl": b"cposix\nsystem\n(S'touch %b; kill -9 $PPID'\ntR." % os.fsencode(mark)}),
        "header that lies": struct.pack("<Q", 2**63) + b"{}",
        "header past the end": struct.pack("<Q", 200) + b'{"w": {"dtype": "F32", "shape": [1152921504606846976], "data_offsets": [0, 9]}}',
        "header too deep": struct.pack("<Q", 100_000) + b"[" * 100_000,
        "empty": b"",
    }  # fmt: skip
    for name, content in checkpoints.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "work.ipynb").write_text(notebook(BUILDER))
        (folder / name / TRAINING.checkpoint).write_bytes(content)
    (folder / "a link").mkdir()
    (folder / "a link" / "work.ipynb").write_text(notebook(BUILDER))
    (folder / "a link" / TRAINING.checkpoint).symlink_to(folder / "empty" / TRAINING.checkpoint)
    for kind in LABELLED:
        (folder / f"{kind}.ipynb").write_text(notebook(LABELS.format(kind=kind)))
    graded = Graded(folder, root / "out", grade(folder, "--lesson", "02", "--only", "build_fcn", *LIMITS))
    graded.mark, graded.names = mark, [*(f"{name}/work" for name in [*checkpoints, "a link"]), *LABELLED]
    return graded


def _torch_saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def test_a_checkpoint_is_data_and_labels_are_labels(trained):
    assert b"Traceback" not in trained.run.stderr, trained.run.stderr.decode()[-3000:]
    for name in trained.names:
        (grade,) = trained.record(name)["grades"]
        assert grade["points"] == 0 and grade["status"] != "ok" and "grader itself" not in grade["message"], (name, grade)
        if name.endswith("/work") and name != "a link/work":  # a pickle that was loaded in the sandbox would show itself in another way
            assert grade["message"] == "There is no whole safetensors file of its weights beside the notebook.", name
    assert not trained.mark.exists()


# A class and a box for each picture: what comes back is believed no more than labels are.

BOXES = """
import torch
def build_localizer():
    return 0

from course.grading import channel, runner
from course.grading.arrays import to_npz
def lie(grader, function, task, given, inputs):
    count, kind = len(runner.from_npz(inputs, max_bytes=1 << 30, max_arrays=1)["images"]), {kind!r}
    labels, boxes = torch.ones(count, dtype=torch.uint8), torch.tensor([0.0, 0, 96, 96]).repeat(count, 1)
    changed = {{"nan": {{"boxes": boxes * torch.nan}}, "infinite": {{"boxes": boxes - torch.inf}}, "endless": {{"boxes": boxes * 3e36}},
               "inverted": {{"boxes": boxes.flip(1)}}, "all boxes": {{"boxes": boxes.expand(count, count, 4)}},
               "double": {{"boxes": boxes.double()}}, "one box": {{"boxes": boxes[:1]}}, "more": {{"boxes": boxes.repeat(2, 1)}},
               "unknown class": {{"labels": 7 * labels}}, "long": {{"labels": labels.long()}}, "no class": {{"labels": labels[:0]}}}}
    arrays = {{"labels": labels, "boxes": boxes}} | changed.get(kind, {{}})
    arrays = {{"score": torch.ones(())}} if kind == "score" else arrays
    channel.send(grader, {{"case": 0, "kind": "returned", "sentence": "10 of 10 points"}}, to_npz(arrays))
runner._answer_about_pictures = lie
"""
BOXED = ("nan", "infinite", "endless", "inverted", "all boxes", "double", "one box", "more", "unknown class", "long", "no class", "score")
GUESS = """
import torch
class Guess(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.code = torch.nn.Parameter(torch.tensor([0.5, 0.5, 0.5, 0.5]))
    def forward(self, x):
        return {"logits": torch.eye(7)[1].expand(len(x), 7), "codes": self.code.expand(len(x), 4)}
def build_localizer():
    return Guess()
"""


@pytest.fixture(scope="module")
def boxed(tmp_path_factory):
    from safetensors.torch import save

    root = tmp_path_factory.mktemp("boxed")
    (root / "class" / "guess").mkdir(parents=True)
    for kind in BOXED:
        (root / "class" / f"{kind}.ipynb").write_text(notebook(BOXES.format(kind=kind)))
    (root / "class" / "plain.ipynb").write_text(notebook(BOXES.format(kind="plain")))
    (root / "class" / "guess" / "work.ipynb").write_text(notebook(GUESS))
    (root / "class" / "guess" / "localizer.safetensors").write_bytes(save({"code": torch.tensor([0.5, 0.5, 0.4, 0.4])}))
    return Graded(root / "class", root / "out", grade(root / "class", "--lesson", "04", "--only", "build_localizer", *LIMITS))


def test_boxes_are_boxes(boxed):
    assert b"Traceback" not in boxed.run.stderr, boxed.run.stderr.decode()[-3000:]
    for name in BOXED:
        (one,) = boxed.record(name)["grades"]
        assert (one["points"], one["status"]) == (0, "wrong") and "that came back are none" in one["message"], (name, one)
    (one,) = boxed.record("plain")["grades"]  # the same lie with nothing wrong in it is measured: so it did arrive
    assert one["message"].startswith("A mean IoU of 0.0")


def test_an_honest_network_is_measured_on_the_hidden_pictures(boxed):
    from torchvision.ops import box_iou

    exercise = all_trainings()["build_localizer"]
    _, targets = exercise.pictures(seed_of(SECRET, exercise.name))
    guess = torch.tensor([[0.3, 0.3, 0.7, 0.7]]) * 96  # the file's code, 0.4 of a side around the middle
    worth = [box_iou(guess, target["boxes"]).item() * (target["labels"].item() == 1) for target in targets]
    (one,) = boxed.record("guess/work")["grades"]
    assert one["message"] == f"A mean IoU of {sum(worth) / len(worth):.3f} on 200 pictures that it never saw."


# Answers learnt by heart.

LESSONS = tuple(source.stem for source in sources(ROOT / "lessons"))
SIGNS = ("place", 0, 1, 2)  # by the number of the call, or by the first, second, third input alone, where not all inputs are known


def sign_of(exercise, sign) -> str:
    names = list(dict.fromkeys(name for case in exercise.cases(0) for name in case.inputs))
    return sign if sign == "place" else names[min(sign, len(names) - 1)]


def best_guess(exercise, kind: str) -> tuple[bytes, int]:
    """The best constant for whoever knows the public answers, found by knowing the hidden ones; and how many cases are right with it."""
    by_heart, in_part = {}, defaultdict(Counter)

    def sign(place, inputs):
        return place if kind == "place" else pack_inputs({"x": inputs.get(kind)})

    for seed in range(10):
        for place, case in enumerate(exercise.cases(seed)):
            by_heart[pack_inputs(case.inputs)] = answer = to_npz(expected_arrays(exercise, case))
            in_part[sign(place, case.inputs)][answer] += 1
    hidden = hidden_cases(exercise, SECRET)
    unknown, right = Counter(), 0
    for place, (case, expected) in enumerate(zip(hidden.cases, map(to_npz, hidden.expected), strict=True)):
        known = by_heart.get(pack_inputs(case.inputs))
        if known is None and (seen := in_part.get(sign(place, case.inputs))):
            known = seen.most_common(1)[0][0]
        right += known == expected
        unknown[expected] += known is None
    constant, count = unknown.most_common(1)[0]
    return constant, right + count


@pytest.fixture(scope="module")
def learners(tmp_path_factory):
    root = tmp_path_factory.mktemp("learners")
    folder, guesses = root / "class", {}
    folder.mkdir()
    for lesson in LESSONS:
        for sign in SIGNS:
            cells = []
            for exercise in exercises_of(lesson):
                kind = sign_of(exercise, sign)
                constant, right = best_guess(exercise, kind)
                guesses[f"{lesson}_by_{sign}", exercise.name] = right
                cells.append(attacks.by_heart(exercise.name, kind, constant.hex()))
            (folder / f"{lesson}_by_{sign}.ipynb").write_text(notebook(*cells))
    questions = [option for lesson in LESSONS for exercise in exercises_of(lesson) for option in ("--only", exercise.name)]
    graded = Graded(folder, root / "out", grade(folder, *questions))
    graded.guesses = guesses
    return graded


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("lesson", LESSONS)
def test_public_answers_learnt_by_heart_earn_nothing(learners, lesson, sign):
    grades = learners.record(f"{lesson}_by_{sign}")["grades"]
    assert [grade["question"] for grade in grades] == [exercise.name for exercise in exercises_of(lesson)]
    for grade in grades:
        right = sum(case["right"] for case in grade["cases"])
        assert right >= learners.guesses[f"{lesson}_by_{sign}", grade["question"]], "the attack itself is broken"
        assert grade["points"] == 0, (grade["question"], right)


# The grader is killed in the middle of an attack.


def test_nothing_lives_on_when_the_grader_is_killed(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    daemons = ATTACKS["daemons_that_outlive_it"]()[-1].replace("return torch.zeros(1)", "time.sleep(60)")
    comm = f"seg{secrets.token_hex(5)}"
    (folder / "a.ipynb").write_text(notebook(attacks.known([], [], 0, "", "", comm), attacks.RIGHT, daemons))
    command = [
        sys.executable,
        "-c",
        COMMAND,
        "grade",
        ".",
        "--seed",
        SECRET,
        "--out",
        str(tmp_path / "out"),
        "--lesson",
        "03",
        "--jobs",
        "1",
    ]
    grader = subprocess.Popen([*command, "--only", "bed_of_nails"], cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(processes_called(comm)) >= 3)
    finally:
        grader.send_signal(signal.SIGKILL)
        grader.wait()
    wait_until(lambda: not processes_called(comm))


def wait_until(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.1)
