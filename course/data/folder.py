"""Where data sets are on this machine, and how one gets there.

A set is looked for in `root`, in the folder that the environment variable SEGCOURSE_DATA names, or else in the user's cache: by default
`~/.cache/segcourse` on Linux (XDG_CACHE_HOME), `~/Library/Caches/segcourse` on macOS, `%LOCALAPPDATA%\\segcourse` on Windows. Nothing is
fetched unless `download=True` asks for it.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from course.data.download import DownloadError, download
from course.data.unpack import unpack
from course.errors import CourseError


class MissingData(CourseError, FileNotFoundError):
    """A data set is not where it was looked for."""


@dataclass(frozen=True)
class Archive:
    """A file to fetch. `holds`: the folder inside it; `goes`: where that folder goes, below the root. `size` in bytes.

    `checksum` is None where its makers publish none: then the size has to do, and the checksums inside a zip.
    """

    url: str
    size: int
    checksum: str | None
    holds: str
    goes: str


@dataclass(frozen=True)
class Source:
    """A data set: its name, the folder below the root in which it is, and where it comes from.

    `folders`: the places below the root where people have it, the one that a download makes first. `origin`: for a set without archives,
    how to get it, as the end of a sentence.
    """

    title: str
    folders: tuple[str, ...]
    archives: tuple[Archive, ...] = ()
    origin: str = ""


def data_root() -> Path:
    """The folder in which data sets are looked for when no `root` is named."""
    named = os.environ.get("SEGCOURSE_DATA")
    return Path(named).expanduser() if named else cache_folder() / "data"


def cache_folder() -> Path:
    """The folder for what can be fetched again, by the platform's convention."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "segcourse"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "segcourse"
    named = Path(os.environ.get("XDG_CACHE_HOME") or "")
    return (named if named.is_absolute() else Path.home() / ".cache") / "segcourse"  # the standard ignores a relative one


def locate(source: Source, needs: Sequence[str], *, root: str | os.PathLike | None = None, fetch: bool = False) -> Path:
    """The folder of a data set.

    Args:
        needs: the files and folders without which the set is of no use, below its folder.
        root: a folder that holds the set's folder, or is it; by default `data_root()`.
        fetch: download what is missing.

    Returns: the folder in which everything in `needs` is. Raises: MissingData, which says where it looked, how large the set is and how to
    get it; DownloadError.
    """
    base = data_root() if root is None else Path(root).expanduser()
    folders = source.folders if root is None else (*source.folders, ".")
    places = list(dict.fromkeys(base / folder for folder in folders))
    found = next((place for place in places if _has(place, needs)), None)
    if found is None and fetch:
        _fetch(source, base)
        found = next((place for place in places if _has(place, needs)), None)
    if found is None:
        raise MissingData(_missing(source, needs, base, places, root is not None, fetch))
    return found


def _has(place: Path, needs: Sequence[str]) -> bool:
    return all((place / need).exists() for need in needs)


def _missing(source: Source, needs: Sequence[str], base: Path, places: Sequence[Path], named: bool, fetched: bool) -> str:
    by = "root" if named else "SEGCOURSE_DATA" if os.environ.get("SEGCOURSE_DATA") else "the default, as SEGCOURSE_DATA is not set"
    looked = f"{source.title} is missing: there is no {_listed(needs, 'and')} in {_listed(places, 'or')} ({by})"
    if fetched and source.archives:
        return f"{looked}, though it was downloaded: {places[0]} is incomplete, so delete or rename it and download again."
    if not source.archives:
        return f"{looked}; {source.origin}."
    size = readable(sum(archive.size for archive in source.archives))
    half = [_file(archive, base).with_name(_file(archive, base).name + ".part") for archive in source.archives]
    begun = [f"{part} ({readable(part.stat().st_size)})" for part in half if part.exists()]
    rest = f", going on from the half-finished {_listed(begun, 'and')}" if begun else ""
    return f"{looked}; download=True fetches it ({size}) into {base}{rest}, or root= names a folder that has it."


def _fetch(source: Source, base: Path) -> None:
    for archive in source.archives:
        target, file = base / archive.goes, _file(archive, base)
        if target.exists():
            continue
        with _alone(file):
            given = file.exists()  # put there by hand, where there is no internet
            if not given:
                _require_room(file, 2 * archive.size)
            download(archive.url, file, checksum=archive.checksum, size=archive.size)
            unpack(file, archive.holds, target)
            if not given:
                file.unlink()
    if not source.archives:
        raise MissingData(f"{source.title} cannot be downloaded from here: {source.origin}.")


def _file(archive: Archive, base: Path) -> Path:
    return (base / archive.goes).parent / archive.url.rpartition("/")[2]


def _require_room(file: Path, needed: int) -> None:
    """Before two gigabytes come, not after: the archive and what is in it have to fit side by side for a moment."""
    part = file.with_name(file.name + ".part")
    needed -= part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(file.parent).free
    if needed > free:
        raise DownloadError(
            f"{file.name} needs {readable(needed)} to be fetched and unpacked, and {file.parent} has {readable(free)} left."
        )


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Keep two programs from writing the same download. The lock goes with the process, so a crash leaves none behind."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(file.name + ".lock").open("w")
    except OSError as error:
        raise DownloadError(f"{file.parent} cannot be written ({error.strerror}): root= names another folder.") from error
    with lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: there the second one stumbles over the open file
            pass
        except BlockingIOError as error:
            raise DownloadError(f"{file} is being downloaded by another program just now: wait until it is done.") from error
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(lock.name)


def readable(size: int) -> str:
    """Bytes as people say them: 1.9 GB, 53.7 MB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"


def _listed(things: Sequence, last: str) -> str:
    texts = [str(thing) for thing in things]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"
