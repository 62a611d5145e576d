"""Submissions are found without following a link, and read without trusting a byte."""

import io
import json
import os
import zipfile

import pytest

from course.errors import CourseError
from course.grading import submissions
from course.grading.submissions import find, read
from tests.course.grading.a_class import notebook, write_class

CELLS = ("x = 1", "y = 2")


def pack(**members) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return file.getvalue()


def test_all_kinds_are_found_in_folders_too_and_hidden_ones_are_not(tmp_path):
    for name in (
        "b.ipynb",
        "a/x.ipynb",
        "a/deep/y.py",
        "c.zip",
        "notes.txt",
        ".ipynb_checkpoints/b-checkpoint.ipynb",
        "__MACOSX/._b.ipynb",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(notebook(*CELLS))
    assert find(tmp_path) == ["a/deep/y.py", "a/x.ipynb", "b.ipynb", "c.zip"]


def test_names_are_told_apart(tmp_path):
    (tmp_path / "a.zip").write_bytes(pack(**{"n.ipynb": notebook(*CELLS)}))
    write_class(tmp_path, a=notebook(*CELLS))
    assert [read(tmp_path, file).name for file in find(tmp_path)] == ["a", "a.zip"]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("")])
def test_no_folder_and_no_submission_are_told(tmp_path, make):
    make(tmp_path / "there")
    with pytest.raises(CourseError, match="is not a folder|There is no submission"):
        find(tmp_path / "there")


@pytest.mark.parametrize(
    "content",
    [
        notebook(*CELLS),
        json.dumps({"cells": [{"cell_type": "markdown", "source": "def f"}, *({"source": [cell, "\n"]} for cell in CELLS)]}),
        json.dumps({"cells": [7, None, *({"cell_type": "code", "source": cell, "metadata": 3} for cell in CELLS), {"cell_type": "code"}]}),
        json.dumps({"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "input": list(cell)} for cell in CELLS]}]}),
        "\ufeff" + notebook(*CELLS),
    ],
    ids=["plain", "lines, types lost", "junk between", "nbformat 3", "byte order mark"],
)
def test_cells_are_found_whatever_is_lost_around_them(tmp_path, content):
    write_class(tmp_path, a=content)
    submission = read(tmp_path, "a.ipynb")
    assert (submission.problem, [cell.strip() for cell in submission.cells]) == ("", list(CELLS))


def test_a_script_is_cut_at_its_marks(tmp_path):
    (tmp_path / "a.py").write_text("# %%\nx = 1\n# %% two\ny = 2\n")
    assert [cell.strip() for cell in read(tmp_path, "a.py").cells] == list(CELLS)


@pytest.mark.parametrize(
    "content, told",
    [
        (b"", "its JSON breaks off or is wrong"),
        (b'{"cells": [', "its JSON breaks off or is wrong"),
        (b"[" * 200_000, "its JSON breaks off or is wrong"),
        (b"[1]", "its JSON is not an object"),
        (b"{}", "there are no cells in it"),
        (b'{"cells": {"a": 1}}', "there are no cells in it"),
        (b'{"worksheets": [4]}', "there are no cells in it"),
        (b"\xff\xfe\x00", "It is not UTF-8 text"),
        (b'{"cells": [], "n": ' + b"9" * 10_000 + b"}", "its JSON breaks off or is wrong"),
    ],
)
def test_what_is_no_notebook_is_told_in_a_sentence(tmp_path, content, told):
    (tmp_path / "a.ipynb").write_bytes(content)
    submission = read(tmp_path, "a.ipynb")
    assert told in submission.problem and submission.cells == ()


def test_too_large_ones_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MOST_NOTEBOOK", 1000)
    monkeypatch.setattr(submissions, "MOST_CODE", 500)
    for size, told in ((2000, "It is too large"), (700, "code cells hold more")):
        write_class(tmp_path, a=notebook("x" * size))
        assert told in read(tmp_path, "a.ipynb").problem


def test_links_and_pipes_are_not_opened(tmp_path):
    (tmp_path / "secret").write_text(notebook("stolen = 1"))
    folder = tmp_path / "class"
    (folder / "real").mkdir(parents=True)
    (folder / "a.ipynb").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "gone.ipynb").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.ipynb")
    found = {file: read(folder, file) for file in find(folder)}
    assert list(found) == ["a.ipynb", "folder", "gone.ipynb", "pipe.ipynb"]
    assert all(submission.cells == () for submission in found.values())
    assert "symbolic link" in found["a.ipynb"].problem and "symbolic link" in found["folder"].problem
    assert "not a file" in found["pipe.ipynb"].problem


def test_a_checkpoint_belongs_to_the_notebook_that_is_alone_with_it_or_names_it(tmp_path):
    write_class(tmp_path / "alice", work=notebook(*CELLS))
    write_class(tmp_path, bob=notebook(*CELLS), carl=notebook(*CELLS))
    (tmp_path / "alice" / "fcn.safetensors").write_bytes(b"alice's")
    (tmp_path / "fcn.safetensors").write_bytes(b"nobody's")
    (tmp_path / "bob_fcn.safetensors").write_bytes(b"bob's")
    files = {file: dict(read(tmp_path, file).files) for file in find(tmp_path)}
    assert files == {"alice/work.ipynb": {"fcn.safetensors": b"alice's"}, "bob.ipynb": {"fcn.safetensors": b"bob's"}, "carl.ipynb": {}}


def test_a_link_for_a_checkpoint_is_refused(tmp_path):
    write_class(tmp_path / "a", work=notebook(*CELLS))
    (tmp_path / "secret").write_bytes(b"another's work")
    (tmp_path / "a" / "fcn.safetensors").symlink_to(tmp_path / "secret")
    assert "symbolic link" in read(tmp_path, "a/work.ipynb").problem


def test_a_packed_submission_is_read_in_memory_and_its_paths_lead_nowhere(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    members = {"../../evil.ipynb": notebook(*CELLS), "/etc/fcn.safetensors": b"weights", "__MACOSX/._n.ipynb": b"x"}
    (folder / "a.zip").write_bytes(pack(**members))
    submission = read(folder, "a.zip")
    assert submission.cells == CELLS and dict(submission.files) == {"fcn.safetensors": b"weights"}
    assert list(tmp_path.iterdir()) == [folder] and list(folder.iterdir()) == [folder / "a.zip"]


def test_packed_ones_that_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MOST_NOTEBOOK", 100_000)
    whole = pack(**{"n.ipynb": notebook(*CELLS)})
    bad = {
        "no zip": (b"PK nothing", "not a whole zip file"),
        "cut off": (whole[: len(whole) // 2], "not a whole zip file"),
        "two": (pack(**{"a.ipynb": "{}", "b.ipynb": "{}"}), "holds 2 notebooks"),
        "none": (pack(**{"a.txt": "{}"}), "holds no notebook"),
        "bomb": (pack(**{"n.ipynb": b" " * 10_000_000}), "too large"),
        "many": (pack(**{f"{i}.txt": "" for i in range(1001)}), "holds 1001 files"),
    }
    for name, (content, told) in bad.items():
        (tmp_path / "a.zip").write_bytes(content)
        assert told in read(tmp_path, "a.zip").problem, name


def test_the_digest_follows_the_notebook_and_the_checkpoint(tmp_path):
    digests = set()
    for cells, weights in ((CELLS, b"1"), (CELLS, b"2"), (CELLS[:1], b"2")):
        write_class(tmp_path, a=notebook(*cells))
        (tmp_path / "fcn.safetensors").write_bytes(weights)
        digests.add(read(tmp_path, "a.ipynb").digest)
    assert len(digests) == 3
