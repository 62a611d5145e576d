"""A file is written where nobody else's is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from course.atomic import write_atomically
from course.errors import CourseError


def write_under_free_name(path: Path, content: bytes, is_ours: Callable[[Path], bool]) -> Path:
    """Write it as `path`, or where something else has that name as the same with -2, -3 …; the path that it has got.

    Args:
        path: Its folder is made if it isn't there.
        is_ours: Whether what has the name may be written over.

    Raises:
        CourseError: When the folder cannot be written.
    """
    free, count = path, 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while (free.exists() or free.is_symlink()) and not is_ours(free):
            count += 1
            free = path.with_name(f"{path.stem}-{count}{path.suffix}")
        write_atomically(free, content)
    except OSError as error:
        raise CourseError(f"{free} could not be written ({error.strerror or error}): name another folder.") from None
    return free
