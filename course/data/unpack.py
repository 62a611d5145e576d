"""A folder out of a zip or tar archive: all of it in its place, or nothing.

Everything is unpacked beside the place where it is to be, under a name that nobody looks for, and moved there at the very end. So a
folder that has its name is complete, whatever interrupted the others.

An archive is a stranger's list of files to write. Names that lead out of the folder, links and devices are refused.
"""

import errno
import os
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from course.data.download import DownloadError


def unpack(archive: Path, member: str, target: Path, *, progress: bool = True) -> Path:
    """Put the folder (or file) `member` of an archive at `target`.

    Args:
        archive: a `.zip`, or a tar, plain or with gzip.
        member: its path inside the archive, such as "VOCdevkit/VOC2012".
        target: where it shall be; nothing may be there yet.
        progress: show a bar, one step a file.

    Returns: `target`. Raises: DownloadError, with one sentence; then there is nothing at `target`.
    """
    if target.exists():
        raise DownloadError(f"{archive} is not unpacked, because {target} is there already: delete or rename it first.")
    staging = target.with_name(f".{target.name}.unpacking")
    try:
        shutil.rmtree(staging, ignore_errors=True)  # of an earlier try that was killed
        staging.mkdir(parents=True)
        if archive.suffix == ".zip":
            _unzip(archive, staging, progress)
        else:
            _untar(archive, staging, progress)
        if not (staging / member).exists():
            raise DownloadError(f"{archive} holds no {member}: it is another archive than the one expected.")
        os.replace(staging / member, target)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, NotImplementedError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":.")  # tarfile tells of every format that it tried
        raise DownloadError(f"{archive} is damaged or cut off ({reason}): delete it and fetch it anew.") from error
    except OSError as error:
        if isinstance(error, DownloadError):
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or error
        raise DownloadError(f"{archive} cannot be unpacked into {target.parent}: {reason}.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _unzip(archive: Path, folder: Path, progress: bool) -> None:
    with zipfile.ZipFile(archive) as file:
        infos = file.infolist()
        needed, free = sum(info.file_size for info in infos), shutil.disk_usage(folder).free
        if needed > free:
            raise DownloadError(f"{archive} unpacks to {needed:,} bytes, and {folder.parent} has {free:,} left: the disk is too full.")
        for info in _watched(infos, archive, progress):
            _check_name(info.filename, archive)
            if info.flag_bits & 1:
                raise DownloadError(f"{archive} is locked with a password ({info.filename}).")
            file.extract(info, folder)  # raises BadZipFile where the bytes do not fit their own checksum


def _untar(archive: Path, folder: Path, progress: bool) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise DownloadError("This Python unpacks archives without checking where their files go: update to 3.11.4 or newer.")
    with tarfile.open(archive) as file:
        file.extraction_filter = tarfile.data_filter  # no owners, no set-user-id, nothing outside the folder (PEP 706)
        for info in _watched(file, archive, progress):
            _check_name(info.name, archive)
            if not (info.isfile() or info.isdir()):
                raise DownloadError(f"{archive} holds {info.name!r}, which is neither a file nor a folder: it is not unpacked.")
            file.extract(info, folder)


def _check_name(name: str, archive: Path) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise DownloadError(f"{archive} holds {name!r}, a name that leads out of its folder: it is not unpacked.")


def _watched(members, archive: Path, progress: bool):
    from tqdm.auto import tqdm

    return tqdm(members, desc=f"unpacking {archive.name}", unit=" files", disable=not progress)
