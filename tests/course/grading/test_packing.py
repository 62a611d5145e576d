"""Handing in: what is packed, what is said to be missing, and where nothing may happen."""

import getpass
import hashlib
import json
import linecache
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbformat.v4 import new_code_cell, new_notebook

import course
from course import student_notebook
from course.cli import main
from course.errors import CourseError
from course.exercises import exercises_of, solution_notebook, starter_notebook
from course.exercises.lessons import questions_of as written_questions_of
from course.grading import open_notebook, packing, submissions
from course.grading.open_notebook import find_open_notebook, unsaved
from course.grading.packing import SHELL_CELL, SHELL_LINE, pack_notebook
from course.grading.written import is_answered, markdown_cells

LESSON = "03_unpooling"
NAME, PACKED = f"{LESSON}_exercises.ipynb", f"{LESSON}_submission.zip"
NAMES = [exercise.name for exercise in exercises_of(LESSON)]
RIGHT = """def bed_of_nails(x, scale):
    high, wide = scale if isinstance(scale, tuple) else (scale, scale)
    out = x.new_zeros(*x.shape[:2], x.shape[2] * high, x.shape[3] * wide)
    out[..., ::high, ::wide] = x
    return out"""


@pytest.fixture
def checked(monkeypatch):
    """The public checks cost a kernel: here they find what the test says, for the copy that they are given."""
    copies = []

    def say(passed, failed_cells=()):
        exercises = [
            {"name": name, "passed": right, "text": f"{'✓' if right else '✗'} {name}: said.\nMore."} for name, right in passed.items()
        ]

        def check_notebook(path):
            copies.append({file.name: file.read_bytes() for file in path.parent.iterdir()})
            return {"exercises": exercises, "failed_cells": list(failed_cells)}

        monkeypatch.setattr(student_notebook, "check_notebook", check_notebook)
        return copies

    return say


def written(folder: Path, notebook=None, name: str = NAME) -> Path:
    path = folder / name
    nbformat.write(notebook or solution_notebook(LESSON), path)
    return path


def pack(path, to=None):
    said = []
    return pack_notebook(path, to, said.append), said


def test_all_right(tmp_path, checked):
    path = written(tmp_path)
    copies = checked(dict.fromkeys(NAMES, True))
    complete, said = pack(path)
    assert complete and said[: len(NAMES)] == [f"✓ {name}: said." for name in NAMES]
    assert said[len(NAMES)] == f"✓ Question {len(NAMES) + 1} is answered; people read it."
    assert said[-1] == "Public checks passed; hidden checks remain."
    assert [sorted(copy) for copy in copies] == [[NAME]], "a copy, in a folder of its own"
    assert sorted(file.name for file in tmp_path.iterdir()) == [NAME, PACKED]
    with zipfile.ZipFile(tmp_path / PACKED) as packed:
        assert packed.namelist() == [NAME, "submission.json"]
        assert packed.read(NAME) == path.read_bytes()


def test_the_grader_reads_what_is_packed(tmp_path, checked):
    path = written(tmp_path)
    checked(dict.fromkeys(NAMES, True))
    pack(path, tmp_path / "new" / "folder")
    read = submissions.read(tmp_path / "new" / "folder", PACKED)
    assert not read.problem and read.cells == submissions.read(tmp_path, NAME).cells


def test_the_facts_say_nothing_of_the_one_who_packed(tmp_path, checked):
    path = written(tmp_path)
    checked(dict.fromkeys(NAMES, True) | {NAMES[1]: False})
    pack(path)
    with zipfile.ZipFile(tmp_path / PACKED) as packed:
        text = packed.read("submission.json").decode()
    facts = json.loads(text)
    assert (facts["lesson"], facts["notebook"], facts["checkpoints"]) == (LESSON, NAME, {})
    assert facts["public checks"] == dict.fromkeys(NAMES, True) | {NAMES[1]: False}
    assert set(facts["environment"]) == {"course", "python", "torch", "torchvision", "platform", "device", "colab"}
    assert facts["environment"]["course"] == course.__version__ and facts["environment"]["colab"] is False
    values = json.dumps(list(facts["environment"].values()))
    host = os.uname().nodename if hasattr(os, "uname") else os.environ["COMPUTERNAME"]
    assert not [private for private in (getpass.getuser(), host, str(tmp_path), str(Path.home()), os.sep) if private in values]


def test_the_same_notebook_makes_the_same_file_and_takes_the_place_of_the_earlier_one(tmp_path, checked):
    path = written(tmp_path)
    checked(dict.fromkeys(NAMES, True))
    pack(path)
    first = (tmp_path / PACKED).read_bytes()
    os.utime(path, (0, 0))
    pack(path)
    assert (tmp_path / PACKED).read_bytes() == first
    assert {member.date_time for member in zipfile.ZipFile(tmp_path / PACKED).infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert sorted(file.name for file in tmp_path.iterdir()) == [NAME, PACKED]


def a_zip(path, **files):
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name.replace("__", "."), content)


@pytest.mark.parametrize("other", ["text", "zip", "another notebook's", "folder", "link", "link to nowhere"])
def test_nothing_else_is_overwritten(tmp_path, checked, other):
    path, taken = written(tmp_path), tmp_path / PACKED
    checked(dict.fromkeys(NAMES, True))
    if other == "text":
        taken.write_text("mine")
    elif other == "zip":
        a_zip(taken, submission__json='{"format": "another"}')
    elif other == "another notebook's":
        a_zip(taken, submission__json=json.dumps({"format": packing.FORMAT, "notebook": "hers.ipynb"}))
    elif other == "folder":
        taken.mkdir()
    else:
        a_zip(tmp_path / "far.zip", submission__json=json.dumps({"format": packing.FORMAT, "notebook": NAME}))
        taken.symlink_to(tmp_path / ("far.zip" if other == "link" else "nowhere.zip"))
    before = taken.read_bytes() if taken.is_file() else None
    for _ in range(2):
        assert f"\n{LESSON}_submission-2.zip is the file to hand in." in pack(path)[1]
    assert (taken.read_bytes() if taken.is_file() else None) == before and (other != "link to nowhere" or taken.is_symlink())
    assert not submissions.read(tmp_path, f"{LESSON}_submission-2.zip").problem
    assert not (tmp_path / f"{LESSON}_submission-3.zip").exists()


def test_what_is_missing_is_said_and_all_is_packed_all_the_same(tmp_path, checked):
    notebook = starter_notebook(LESSON)
    path = written(tmp_path, notebook)
    checked({name: name != NAMES[1] for name in NAMES[:-1]}, ["The cell '1 / 0' failed: ZeroDivisionError"])
    complete, said = pack(path)
    assert not complete
    assert said[:3] == ["The cell '1 / 0' failed: ZeroDivisionError", f"✓ {NAMES[0]}: said.", f"✗ {NAMES[1]}: said."]
    assert f"○ {NAMES[-1]}: not in the notebook." in said
    assert f"○ Question {len(NAMES) + 1}: no answer yet." in said
    assert said[-2] == f"What remains: {NAMES[1]}, {NAMES[-1]}, question {len(NAMES) + 1}."
    assert (tmp_path / PACKED).exists() and "hidden checks remain" not in "".join(said)


def test_where_the_checks_cannot_be_run_it_is_packed_and_not_called_done(tmp_path, monkeypatch):
    def dies(path):
        raise CourseError("the kernel died.")

    monkeypatch.setattr(student_notebook, "check_notebook", dies)
    complete, said = pack(written(tmp_path))
    assert not complete and said[0] == "The public cases could not be checked: the kernel died."
    assert f"○ {NAMES[0]}: not checked." in said and (tmp_path / PACKED).exists()


def test_without_what_runs_notebooks_it_is_packed_too(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "course.student_notebook", None)
    complete, said = pack(written(tmp_path))
    assert not complete and said[0].endswith('pip install "segcourse[lab]" brings it.') and (tmp_path / PACKED).exists()


def test_checkpoints_go_along_under_their_own_name(tmp_path, checked):
    path = written(tmp_path, solution_notebook("02_fully_convolutional"), "anything.ipynb")
    (tmp_path / "fcn.safetensors").write_bytes(b"weights")
    (tmp_path / "other.safetensors").write_bytes(b"other weights")
    copies = checked({"pixel_cross_entropy": True, "fuse": True, "build_fcn": True})
    complete, said = pack(path)
    assert complete and copies[0]["fcn.safetensors"] == b"weights" and len(copies[0]) == 2
    read = submissions.read(tmp_path, "02_fully_convolutional_submission.zip")
    assert dict(read.files) == {"fcn.safetensors": b"weights"}
    with zipfile.ZipFile(tmp_path / "02_fully_convolutional_submission.zip") as packed:
        facts = json.loads(packed.read("submission.json"))
    assert facts["checkpoints"] == {"fcn.safetensors": hashlib.sha256(b"weights").hexdigest()}


@pytest.mark.parametrize(
    "size, sentence",
    [
        (None, "○ fcn.safetensors is missing: it belongs beside the notebook, and the cell that trains writes it."),
        (1_000_001, "✗ fcn.safetensors has 1 MB and is left out: 1 MB are graded at most."),
    ],
)
def test_a_checkpoint_that_is_missing_or_too_large_is_told(tmp_path, checked, monkeypatch, size, sentence):
    monkeypatch.setattr(submissions, "MOST_CHECKPOINT", 1_000_000)
    path = written(tmp_path, solution_notebook("02_fully_convolutional"))
    if size:
        (tmp_path / "fcn.safetensors").write_bytes(bytes(size))
    checked({"pixel_cross_entropy": True, "fuse": True, "build_fcn": False})
    complete, said = pack(path)
    assert not complete and sentence in said and said[-2] == "What remains: build_fcn, fcn.safetensors."
    assert not submissions.read(tmp_path, "02_fully_convolutional_submission.zip").files


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("missing.ipynb", None, "missing.ipynb cannot be read"),
        ("mine.py", RIGHT, "mine.py is not a notebook: its name must end in .ipynb"),
        ("broken.ipynb", "{", "broken.ipynb can't be handed in. It is not a notebook"),
        (f"{LESSON}.ipynb", nbformat.writes(new_notebook(cells=[new_code_cell("1 + 1")])), "has none of a lesson's exercises"),
    ],
)
def test_what_cannot_be_handed_in_is_one_sentence(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CourseError, match=sentence):
        pack_notebook(tmp_path / name, None, print)
    assert not list(tmp_path.glob("*.zip"))


def test_a_folder_that_cannot_be_written_is_told(tmp_path, checked):
    checked(dict.fromkeys(NAMES, True))
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="could not be written .*: name another folder"):
        pack_notebook(written(tmp_path), tmp_path / "file", print)


@pytest.mark.slow
def test_the_command_checks_a_copy_in_which_nothing_is_installed_and_nothing_packed(tmp_path, monkeypatch, capsys):
    (tmp_path / "open").mkdir()
    opened = written(tmp_path / "open")  # what `submit()` would pack, if it did
    monkeypatch.setenv("JPY_SESSION_NAME", str(opened))
    sources = [
        f"import torch\n!touch {tmp_path}/shell\n%pip --log {tmp_path}/pip --version\nif True:\n    !touch {tmp_path}/shell",
        f"%%bash\ntouch {tmp_path}/shell",
        f"{RIGHT}\nopen('litter', 'w').write('')",
        "def max_unpool(x, indices, kernel_size, stride, output_size=None):\n    return x",
        "import course\ncourse.submit()\ncourse.submit(to='away')",
        "1 / 0",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    for cell in notebook.cells:
        del cell["id"]
    notebook.nbformat_minor = 0
    path = written(tmp_path, notebook, "lost.ipynb")
    assert main(["submit", str(path)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "The cell '1 / 0' failed: ZeroDivisionError: division by zero"
    assert said[1] == "✓ bed_of_nails: all 8 cases are right." and said[2].startswith("✗ max_unpool: ")
    assert said[3:6] == [f"○ {name}: not in the notebook." for name in NAMES[2:]] and said[6] == "○ Question 6 is not there."
    assert sorted(file.name for file in tmp_path.iterdir()) == [PACKED, "lost.ipynb", "open"]
    assert list((tmp_path / "open").iterdir()) == [opened]


@pytest.mark.parametrize(
    "cell, left",
    [
        ("!pip install x", "pass"),
        ("import torch\n    !pip install x\ny = 1", "import torch\n    pass\ny = 1"),
        ("%pip install x\n%conda install y\n%matplotlib inline", "pass\npass\n%matplotlib inline"),
        ("!pip install x \\\n  y\nz = 1", "pass\nz = 1"),
        ("t = (a\n  != b)", "t = (a\n  != b)"),
        ("files = !ls", "files = !ls"),
        ("%%capture\n!pip install x", "%%capture\npass"),
        ("%%bash\nrm -r work", None),
        ("%%!\nrm -r work", None),
        ("%%shared\nf()", "%%shared\nf()"),
        ("%%time\nf()", "%%time\nf()"),
    ],
)
def test_commands_of_the_system_are_taken_out_of_the_copy(cell, left):
    assert (None if SHELL_CELL.fullmatch(cell) else SHELL_LINE.sub(r"\1pass", cell)) == left


def test_nbval_packs_nothing(tmp_path):
    notebook = new_notebook(cells=[new_code_cell(RIGHT), new_code_cell("from course import submit\n\nsubmit()", execution_count=1)])
    path = written(tmp_path, notebook)
    arguments = ["--nbval", "--nbval-current-env", "-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={tmp_path}", path]
    environment = os.environ | {"JPY_SESSION_NAME": str(path)}
    answer = subprocess.run([sys.executable, "-m", "pytest", *arguments], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert "2 passed" in answer.stdout, answer.stdout
    assert list(tmp_path.glob("*.zip")) == []


COLAB = """
import json, sys, types
google, colab = types.ModuleType("google"), types.ModuleType("google.colab")
colab._message, colab.files = types.ModuleType("google.colab._message"), types.ModuleType("google.colab.files")
sys.modules |= {"google.colab": colab, "google.colab._message": colab._message, "google.colab.files": colab.files}
google.colab = colab
sys.modules["google"] = google
def blocking_request(kind, request="", timeout_sec=5, parent=None):
    assert kind == "get_ipynb"
    return {"ipynb": json.load(open("in_the_browser.json"))}
colab._message.blocking_request = blocking_request
colab.files.download = lambda name: print("downloaded", name)
"""


@pytest.mark.slow
def test_a_student_on_colab_runs_it_in_the_notebook(tmp_path):
    """A real kernel whose reader can be asked, and from it the kernel of the check; of Colab there is a stand-in."""
    notebook = new_notebook(cells=[new_code_cell(RIGHT), new_code_cell("from course import check\ncheck(bed_of_nails)")])
    notebook.metadata["colab"] = {"name": "Copy of mine.ipynb"}
    (tmp_path / "in_the_browser.json").write_text(nbformat.writes(notebook))
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(tmp_path))
    said = []

    def output(message):
        assert message["msg_type"] != "error", message["content"]
        if message["msg_type"] == "stream":
            said.append(message["content"]["text"])

    try:
        for code in (COLAB, "from course import submit\nsubmit()"):
            client.execute_interactive(code, allow_stdin=True, output_hook=output, timeout=120)
        assert "✓ bed_of_nails: all 8 cases are right.\n" in "".join(said)
        assert f"downloaded {tmp_path / PACKED}" in "".join(said)
        os.remove(tmp_path / PACKED)
        client.execute_interactive("submit()", allow_stdin=False, output_hook=output, timeout=120)
        assert not (tmp_path / PACKED).exists(), "nobody is there to hand it in"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def colab(monkeypatch):
    """Colab, as far as it is asked for a notebook: what the browser answers is the test's to say."""

    def answering(answer):
        for name in ("google", "google.colab", "google.colab._message"):
            monkeypatch.setitem(sys.modules, name, type(sys)(name))
        message = sys.modules["google.colab"]._message = sys.modules["google.colab._message"]
        message.blocking_request = lambda kind, request="", timeout_sec=5, parent=None: answer() if callable(answer) else answer

    return answering


@pytest.mark.parametrize(
    "given, name",
    [("Copy of a/b.ipynb", "Copy of a-b.ipynb"), ("mine", "mine.ipynb"), ("..\\x.ipynb", "..-x.ipynb"), (None, "notebook.ipynb")],
)
def test_colab_hands_over_the_notebook_as_it_is_now(colab, tmp_path, monkeypatch, given, name):
    monkeypatch.chdir(tmp_path)
    there = {"cells": [], "metadata": {"colab": {"name": given}} if given else {}, "nbformat": 4}
    colab({"ipynb": there})
    found = find_open_notebook()
    assert (found.name, json.loads(found.content), found.folder) == (name, there, tmp_path)


def fails():
    raise RuntimeError("the frontend is gone")


@pytest.mark.parametrize("answer", [None, {}, {"ipynb": None}, fails])
def test_colab_without_an_answer_is_one_sentence(colab, answer):
    colab(answer)
    with pytest.raises(CourseError, match="Colab did not hand over the notebook: run this cell once more"):
        find_open_notebook()


def test_the_open_notebook_is_named_by_the_program_that_opened_it(tmp_path, monkeypatch):
    lab, code = written(tmp_path, name="lab.ipynb"), written(tmp_path, name="code.ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", str(lab))
    assert find_open_notebook().name == "lab.ipynb"
    monkeypatch.setattr(open_notebook, "namespace", lambda: {"__vsc_ipynb_file__": str(code)})
    assert find_open_notebook().name == "code.ipynb"
    lab.rename(tmp_path / "renamed.ipynb")
    code.unlink()
    with pytest.raises(CourseError, match=r"could not be found: name its file, as in submit\("):
        find_open_notebook()


def test_outside_of_a_notebook_it_asks_for_the_file(monkeypatch, capsys):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    course.submit()
    assert capsys.readouterr().out == f"{open_notebook.UNKNOWN}\n"


def defined(source: str, module: str = "__main__"):
    """A function as a cell defines it: its source is known, its file is none."""
    file = f"<cell {hashlib.sha256(source.encode()).hexdigest()[:8]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    namespace = {"__name__": module}
    exec(compile(source, file, "exec"), namespace)
    return namespace["f"]


F = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "cells, found",
    [
        ([f"import torch\n\n{F}\nf(1)"], []),
        ([F.replace("\n", "  \r\n")], []),
        ([F.replace("1", "2")], ["f"]),
        ([F.replace("    return", "  return")], ["f"]),
        ([], ["f"]),
    ],
)
def test_a_function_that_is_not_saved_is_found(cells, found):
    assert unsaved(["f", "g"], {"f": defined(F)}, cells) == found


def test_what_has_no_source_of_its_own_is_not_called_unsaved():
    timed = {}
    exec(F, timed | {"__name__": "__main__"}, timed)
    magic = defined("def f():\n    get_ipython().system('ls')\n")
    for function in (defined(F, module="course.ops"), timed["f"], magic, 3):
        assert unsaved(["f"], {"f": function}, []) == []


def test_a_notebook_that_is_not_saved_is_not_packed_in_silence(tmp_path, monkeypatch, capsys, checked):
    path = written(tmp_path, new_notebook(cells=[new_code_cell(RIGHT)]))
    checked({"bed_of_nails": True})
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    monkeypatch.setattr(packing, "namespace", lambda: {"bed_of_nails": defined(RIGHT.replace("bed_of_nails", "f").replace("out", "o"))})
    course.submit()
    out = capsys.readouterr().out
    assert out.startswith(f"bed_of_nails: what runs here is not what stands in {NAME}, as saved on ") and "Ctrl+S" in out
    assert not (tmp_path / PACKED).exists()
    course.submit(path)
    assert (tmp_path / PACKED).exists(), "asked for by name, the file is packed as it is"


QUESTION = written_questions_of(LESSON)[0]
PROMPT = f"## 6. A question\n\n{QUESTION.prompt}"


@pytest.mark.parametrize(
    "texts, answered",
    [
        ([PROMPT, "*Your answer:*", "## Done?\n\nRestart."], False),
        ([PROMPT, "*Your answer:* Depth maps."], True),
        ([PROMPT, "Depth maps."], True),
        ([PROMPT, "*Your answer:*", "In a cell below.", "## Done?"], True),
        ([PROMPT + "\n\nIn the question's own cell.", "*Your answer:*"], True),
        ([PROMPT, "", "## Done?"], False),
        ([PROMPT, "*Your answer:* …"], False),
        (["*Your answer:* Depth maps."], None),
        ([], None),
    ],
)
def test_an_answer_is_whatever_stands_below_its_question(texts, answered):
    assert is_answered(QUESTION, texts) is answered


@pytest.mark.parametrize("lesson", ["00_segmentation", "01_sliding_window", "02_fully_convolutional", LESSON])
def test_the_starter_answers_no_question_and_the_solutions_answer_all(lesson):
    for make, answered in ((starter_notebook, False), (solution_notebook, True)):
        texts = markdown_cells(nbformat.writes(make(lesson)).encode())
        assert {is_answered(question, texts) for question in written_questions_of(lesson)} == {answered}


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"cells": 3}', b'{"cells": [1]}'])
def test_a_notebook_without_readable_texts_has_none(content):
    assert markdown_cells(content) == []


def test_the_starter_ends_with_the_cell_that_hands_in():
    for make in (starter_notebook, solution_notebook):
        text, code = make(LESSON).cells[-2:]
        assert (text.id, code.id) == ("hand-in", "submit") and code.source == "from course import submit\n\nsubmit()"
        assert re.search(r"Save the notebook \(Ctrl\+S", text.source)
