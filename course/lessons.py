"""Where the lessons are: in the checkout that the course runs from, or inside the installed wheel, copied out for the student."""

import hashlib
import json
import os
import re
from pathlib import Path

from course import __version__
from course.atomic import write_atomically
from course.errors import CourseError

PACKAGE = Path(__file__).resolve().parent
LESSON = re.compile(r"\d\d_[a-z0-9_]+")
EXERCISES = "_exercises"
# What the copy in the student's folder was made from, so that a student's edits are told apart from a new version of a lesson.
RECORD = ".segcourse.json"


def checkout() -> Path | None:
    """The root of the checkout that `course` was imported from, or None when it was installed from a wheel."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "lessons").is_dir() else None


def require_checkout(command: str) -> Path:
    """The checkout's root.

    Raises:
        CourseError: When the course was installed from a wheel.
    """
    root = checkout()
    if root is None:
        raise CourseError(
            f"`segcourse {command}` works in a checkout of the course, and this one was installed from a wheel: "
            'clone the repository and run pip install -e "." in it.'
        )
    return root


def sources(folder: Path) -> list[Path]:
    """The lesson sources `NN_slug.py` of a folder, in the course's order."""
    return sorted(path for path in folder.glob("*.py") if LESSON.fullmatch(path.stem))


def notebooks(folder: Path) -> list[Path]:
    """The built lessons `NN_slug.ipynb` of a folder, in the course's order, without their exercises."""
    found = (path for path in folder.glob("*.ipynb") if LESSON.fullmatch(path.stem))
    return sorted(path for path in found if not path.stem.endswith(EXERCISES))


def choose(paths: list[Path], wanted: str | None) -> Path:
    """The path that `wanted` names: a number (`3`, `03`), a slug (`03_unpooling`), its end (`unpooling`) or a file name.

    Without `wanted`, the first.

    Raises:
        CourseError: When there is none, or when the name fits none or several.
    """
    if not paths:
        raise CourseError("There is no lesson here yet: `segcourse build` makes the notebooks from lessons/NN_slug.py.")
    if wanted is None:
        return paths[0]
    name = Path(wanted).name.removesuffix(".ipynb").removesuffix(".py")
    if name.isdigit():
        name = name.zfill(2)
    fitting = [p for p in paths if name in (p.stem, p.stem[:2], p.stem[3:])]
    if len(fitting) != 1:
        known = ", ".join(path.stem for path in paths)
        raise CourseError(f"No lesson is called {wanted!r}; the lessons are {known}, named in full, by number or by topic.")
    return fitting[0]


def copy_lessons(shipped: Path, folder: Path) -> list[str]:
    """Copy the notebooks that came with the wheel into the student's folder, and never overwrite a file there.

    A lesson that has changed since it was copied is placed beside the old one, under a name that ends in its version.

    Returns:
        One sentence for each lesson placed beside an older one.

    Raises:
        CourseError: When the folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        copied = _read_record(folder)
        said = []
        for source in sorted(shipped.glob("*.ipynb")):
            said += _copy_one(source, folder, copied)
        write_atomically(folder / RECORD, json.dumps(copied, indent=1, sort_keys=True).encode())
    except OSError as error:
        raise CourseError(f"The lessons could not be copied to {folder} ({error}); --to names another folder.") from None
    return said


def _copy_one(source: Path, folder: Path, copied: dict[str, str]) -> list[str]:
    content = source.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    target, said = folder / source.name, []
    if os.path.lexists(target) and not _same(target, content):
        if copied.get(source.name) == digest:  # handed out before: what differs is the student's own work
            return []
        target = _beside(source, folder, content)
        said = [f"{source.name} has a new version: it is beside yours as {target.name}."]
    if not os.path.lexists(target):
        write_atomically(target, content)
    copied[source.name] = digest
    return said


def _beside(source: Path, folder: Path, content: bytes) -> Path:
    """The new version's name: the first that is free or already holds these very bytes."""
    target, count = folder / f"{source.stem}-{__version__}{source.suffix}", 1
    while os.path.lexists(target) and not _same(target, content):
        count += 1
        target = folder / f"{source.stem}-{__version__}-{count}{source.suffix}"
    return target


def _same(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _read_record(folder: Path) -> dict[str, str]:
    try:
        record = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
