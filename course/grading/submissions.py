"""The submissions in a folder: found without following a link, read without trusting a byte, and never unpacked to disk."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from course.errors import CourseError
from course.exercises.lessons import all_trainings

ENDINGS = (".ipynb", ".py", ".zip")
MOST_NOTEBOOK = 50 << 20  # bytes; a notebook full of pictures and widgets has 10 MB
MOST_CHECKPOINT = 100 << 20
MOST_CODE = 2 << 20  # characters of all code cells together
MOST_MEMBERS = 1000
DEEPEST = 20  # folders within one another
CELL_MARK = re.compile(r"^# %%.*$", re.MULTILINE)


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    Attributes:
        name: Its path in the folder, a notebook's without the ending where nobody else's path can be the same.
        file: Its path in the folder, with `/`.
        cells: The code cells' sources.
        files: Checkpoints, by the name that the exercise gives them.
        digest: sha256 of all that was read.
        problem: Why it could not be read, as a sentence; there are no cells then.
    """

    name: str
    file: str
    cells: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    digest: str = ""
    problem: str = ""


class _Unreadable(Exception):
    """A sentence about why a submission can't be graded."""


def find(folder: Path) -> list[str]:
    """The paths in `folder` of all notebooks, scripts and packed submissions, sorted. Hidden files and folders are passed over.

    A link is listed, as a submission that can't be read: what it points to may be anybody's. So is a folder that can't be looked into, or
    lies deeper than anybody packs one.

    Raises:
        CourseError: When the folder can't be read, or there is none in it.
    """
    if not folder.is_dir():
        raise CourseError(f"{folder} is not a folder: name the one with the submissions.")
    found = sorted(_walk(folder, PurePosixPath()))
    if not found:
        raise CourseError(f"There is no submission in {folder}: looked for are files that end in {', '.join(ENDINGS)}, in its folders too.")
    return found


def _walk(folder: Path, inside: PurePosixPath) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder / inside))
    except OSError as error:
        if inside.parts:  # one student's, who alone is told
            yield str(inside)
            return
        raise CourseError(f"{folder} can't be read ({error.strerror}).") from None
    for entry in entries:
        if entry.name.startswith((".", "__")):
            continue
        path = inside / entry.name
        if entry.is_dir(follow_symlinks=False) and len(path.parts) <= DEEPEST:
            yield from _walk(folder, path)
        elif entry.name.endswith(ENDINGS) or entry.is_dir():
            yield str(path)


def read(folder: Path, file: str) -> Submission:
    """Read one of the submissions that `find` has found. It never raises: what is wrong with it stands in `problem`."""
    name = name_of(file)
    try:
        content = _read_file(folder / file, MOST_NOTEBOOK + MOST_CHECKPOINT if file.endswith(".zip") else MOST_NOTEBOOK)
        if file.endswith(".zip"):
            notebook, files = _from_zip(content)
        else:
            notebook, files = content, _checkpoints_beside(folder, file)
        cells = _cells(notebook, script=file.endswith(".py"))
    except _Unreadable as error:
        return Submission(name, file, digest=hashlib.sha256(str(error).encode()).hexdigest(), problem=str(error))
    digest = hashlib.sha256(content)
    for checkpoint in sorted(files):
        digest.update(hashlib.sha256(files[checkpoint]).digest())
    return Submission(name, file, tuple(cells), files, digest.hexdigest())


def name_of(file: str) -> str:
    """`bob.zip.ipynb` keeps its ending: without it, it would take the place of what Bob handed in as `bob.zip`."""
    name = file.removesuffix(".ipynb")
    return file if name.endswith(ENDINGS) else name


def _read_file(path: Path, most: int) -> bytes:
    flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe would be waited for
    if os.path.islink(path):
        raise _Unreadable("It is a symbolic link, and links are not followed: copy the file itself into the folder.")
    if os.path.isdir(path):
        raise _Unreadable("It is a folder that is not looked into: it is closed, or lies too deep.")
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _Unreadable("It is not a file.")
            content = file.read(most + 1)
    except OSError as error:
        raise _Unreadable(f"It can't be read ({error.strerror}).") from None
    if len(content) > most:
        raise _Unreadable(f"It is too large: {max(status.st_size, len(content)) / 1e6:.0f} MB, and {most / 1e6:.0f} MB are read at most.")
    return content


def _checkpoints_beside(folder: Path, file: str) -> dict[str, bytes]:
    """The checkpoints that belong to a notebook: by their own name where it is alone in its folder, else with the notebook's in front."""
    place, stem = (folder / file).parent, Path(file).stem
    alone = sum(name.endswith(ENDINGS) for name in os.listdir(place)) == 1
    files = {}
    for training in all_trainings().values():
        names = [f"{stem}_{training.checkpoint}", f"{stem}.{training.checkpoint}", *([training.checkpoint] if alone else [])]
        found = next((place / name for name in names if os.path.lexists(place / name)), None)  # False for a name that is too long
        if found is not None:
            files[training.checkpoint] = _read_file(found, MOST_CHECKPOINT)
    return files


def _from_zip(content: bytes) -> tuple[bytes, dict[str, bytes]]:
    """The notebook and the checkpoints in a packed submission, read by name: a member's path leads nowhere."""
    try:
        count = content.count(b"PK\1\2")  # the mark of an entry: zipfile would make an object of each of millions
        if count > MOST_MEMBERS:
            raise _Unreadable(f"It holds {count} files, and {MOST_MEMBERS} are looked at.")
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            members = packed.infolist()
            notebooks = [member for member in members if member.filename.endswith(".ipynb") and "__MACOSX" not in member.filename]
            if len(notebooks) != 1:
                raise _Unreadable(f"It holds {len(notebooks) or 'no'} notebook{'s' * (len(notebooks) > 1)}, and one is expected.")
            wanted = {training.checkpoint for training in all_trainings().values()}
            checkpoints = {PurePosixPath(member.filename).name: member for member in members}
            files = {name: _member(packed, checkpoints[name], MOST_CHECKPOINT) for name in wanted & checkpoints.keys()}
            return _member(packed, notebooks[0], MOST_NOTEBOOK), files
    except _Unreadable:
        raise
    except Exception as error:  # zipfile raises a dozen kinds, and so does each way of packing, depending on where it is broken
        raise _Unreadable(f"It is not a whole zip file ({error}).") from None


def _member(packed: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    """One file of the archive. What it says about its size is not believed."""
    with packed.open(member) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise _Unreadable(f"{PurePosixPath(member.filename).name} in it is too large: more than {most / 1e6:.0f} MB.")
    return content


def _cells(content: bytes, script: bool) -> list[str]:
    """The code cells, from as little of the notebook format as they need: metadata, versions and ids may be lost or wrong."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _Unreadable("It is not UTF-8 text.") from None
    cells = CELL_MARK.split(text) if script else list(_code_cells(_json(text)))
    if sum(map(len, cells)) > MOST_CODE:
        raise _Unreadable(f"Its code cells hold more than {MOST_CODE >> 20} million characters.")
    return [cell for cell in cells if cell.strip()]


def _json(text: str) -> dict:
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise _Unreadable(f"It is not a notebook: its JSON breaks off or is wrong ({where}).") from None
    if type(notebook) is not dict:
        raise _Unreadable("It is not a notebook: its JSON is not an object.")
    return notebook


def _code_cells(notebook: dict) -> Iterator[str]:
    sheets = notebook.get("worksheets") if "cells" not in notebook else None  # nbformat 3
    cells = sheets[0].get("cells") if type(sheets) is list and sheets and type(sheets[0]) is dict else notebook.get("cells")
    if type(cells) is not list:
        raise _Unreadable("It is not a notebook: there are no cells in it.")
    for cell in cells:
        if type(cell) is dict and cell.get("cell_type", "code") == "code":
            source = cell.get("source", cell.get("input", ""))
            source = "".join(line for line in source if type(line) is str) if type(source) is list else source
            if type(source) is str:
                yield source
