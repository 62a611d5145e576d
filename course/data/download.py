"""A file from the internet, whole or not at all.

What has come so far lies in `NAME.part`; a connection that breaks, Ctrl-C or a full disk leaves it there, and the next call goes on from
its end (HTTP Range, RFC 9110, section 14). Only when the size and the checksum are right does it get its name, in one move. So a file
that has its name is complete.
"""

import errno
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from course import __version__
from course.errors import CourseError

CHUNK = 1 << 20  # bytes asked for at a time
SHORTEST = 8  # digits of a checksum: as many as PyTorch puts into the names of its files
BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers after which another try may succeed


class DownloadError(CourseError, OSError):
    """A file could not be fetched or unpacked. What has come is kept, unless its checksum was wrong."""


class _Broken(Exception):
    """The connection broke off or was refused for now; another try may succeed."""


class _Unreachable(_Broken):
    """There was no connection at all."""


def download(
    url: str,
    path: str | os.PathLike,
    *,
    checksum: str | None = None,
    size: int | None = None,
    progress: bool = True,
    attempts: int = 5,
    timeout: float = 30.0,
) -> Path:
    """Fetch `url` into the file `path`. A file that is there already is checked and left as it is.

    Args:
        url: http or https.
        checksum: "sha256:…" or "md5:…", of the whole file; or its beginning, at least 8 digits, where no more is known.
        size: of the whole file, in bytes.
        progress: show a bar.
        attempts: how often in a row a broken connection is taken up again without a single byte more.
        timeout: seconds without a byte after which a connection counts as broken.

    Returns: `path`. Raises: DownloadError, with one sentence, when the file cannot be had or is not the right one; ValueError for
    arguments that cannot be.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"download fetches http and https addresses, not {url!r}.")
    if checksum is not None and checksum.partition(":")[0] not in ("sha256", "md5"):
        raise ValueError(f"A checksum is written 'sha256:…' or 'md5:…', not {checksum!r}.")
    if checksum is not None and len(checksum.partition(":")[2]) < SHORTEST:
        raise ValueError(f"A checksum has at least {SHORTEST} digits; {checksum!r} has fewer.")
    path = Path(path)
    if path.exists():
        wrong = _difference(path, checksum, size)
        if wrong:
            raise DownloadError(f"{path} is there already but is not the file from {url}: {wrong}; delete it to fetch it anew.")
        return path
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive(url, part, size, progress, attempts, timeout)
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        raise DownloadError(_about_disk(error, part)) from error
    wrong = _difference(part, checksum, size)
    if wrong:
        part.unlink()
        raise DownloadError(f"What came from {url} is not the right file: {wrong}; it was deleted, so that the next try begins anew.")
    os.replace(part, path)
    return path


def _receive(url: str, part: Path, size: int | None, progress: bool, attempts: int, timeout: float) -> None:
    """Try until the file is complete, or until `attempts` tries in a row brought nothing more, or there is no internet to begin with."""
    from tqdm.auto import tqdm

    if part.exists() and _length(part) == size:  # stopped between the last byte and the check
        return
    failures, begun = 0, _length(part)
    most = begun  # that ever came: a server without Range begins anew each time, and could go on so forever
    with tqdm(total=size, unit="B", unit_scale=True, desc=part.stem, disable=not progress) as bar:
        while True:
            try:
                return _transfer(url, part, size, bar, timeout)
            except _Broken as error:
                come = _length(part)
                failures = 0 if come > most else failures + 1
                most = max(most, come)
                if failures >= attempts or (isinstance(error, _Unreachable) and most == begun):
                    kept = f" The {come:,} bytes that have come are kept in {part}, and the same call goes on from there." if come else ""
                    raise DownloadError(f"{url} cannot be reached ({error}).{kept}") from error
            time.sleep(min(2.0**failures / 2, 8.0))


def _transfer(url: str, part: Path, size: int | None, bar, timeout: float) -> None:
    """One connection: append to `part` what is still missing."""
    start = _length(part)
    response = _open(url, start, timeout)
    if response is None:
        return
    with response:
        start, total = _place(response, start, url)
        if size is not None and total is not None and total != size:
            raise DownloadError(f"{url} has {total:,} bytes, and {size:,} are expected: what answers is another file, or another page.")
        total = size if total is None else total
        bar.total = total
        bar.n = bar.initial = start
        bar.refresh()
        file = os.open(part, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if start else os.O_TRUNC) | getattr(os, "O_BINARY", 0), 0o666)
        try:
            while chunk := _read(response):
                _write(file, chunk)
                bar.update(len(chunk))
        finally:
            os.close(file)
    if total is not None and _length(part) < total:
        raise _Broken(f"it broke off after {_length(part):,} of {total:,} bytes")


def _open(url: str, start: int, timeout: float) -> http.client.HTTPResponse | None:
    """Ask for the bytes from `start` on. None when the server says that the file ends there."""
    headers = {"User-Agent": f"segcourse/{__version__}"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                whole = error.headers.get("Content-Range") == f"bytes */{start}"
                return None if whole else _open(url, 0, timeout)  # what is here is longer than the file: not a piece of it
            if error.code in BUSY:
                raise _Broken(f"the server answers {error.code} {error.reason}") from error
            raise DownloadError(f"{url} cannot be fetched: the server answers {error.code} {error.reason}.") from error
    except urllib.error.URLError as error:
        raise _Unreachable(f"{_reason(error.reason)}; is there a connection to the internet?") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from error


def _place(response: http.client.HTTPResponse, start: int, url: str) -> tuple[int, int | None]:
    """At which byte the answer begins, and how many the whole file has, if the server says so."""
    if response.status != 206:  # the server does not know Range and sends everything: begin anew
        length = response.headers.get("Content-Length")
        return 0, int(length) if length and length.isdigit() else None
    first, _, rest = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")
    total = rest.partition("/")[2]
    if first != str(start):
        raise DownloadError(f"{url} was asked for the bytes from {start:,} on and answered {response.headers.get('Content-Range')!r}.")
    return start, int(total) if total.isdigit() else None


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from error


def _reason(error: object) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _write(file: int, chunk: bytes) -> None:
    while chunk:  # without a buffer of its own, so that what was counted is on the disk when Ctrl-C comes
        chunk = chunk[os.write(file, chunk) :]


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _difference(path: Path, checksum: str | None, size: int | None) -> str:
    """What is wrong with a file, or nothing."""
    if size is not None and _length(path) != size:
        return f"it has {_length(path):,} bytes instead of {size:,}"
    if checksum is None:
        return ""
    name, _, right = checksum.partition(":")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()
    return "" if digest.startswith(right.lower()) else f"its {name} is {digest} instead of {right}"


def _about_disk(error: OSError, part: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full: {part} holds the {_length(part):,} bytes that have come; make room, and the same call goes on from there."
        )
    return f"{part} cannot be written ({error.strerror or error}): choose another folder."
