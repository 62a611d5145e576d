"""An archive's folder appears whole or not at all, and nothing is written anywhere else."""

import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from course.data import unpack as module
from course.data.download import DownloadError
from course.data.unpack import unpack

FILES = {"kit/set/a.txt": b"first", "kit/set/deep/b.bin": bytes(5000), "readme.txt": b"beside it"}


def archive(path: Path, files: dict[str, bytes] = FILES, mode: str = "w:gz") -> Path:
    """A zip or a tar, as the name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in files.items():
                file.writestr(name, data)
        return path
    with tarfile.open(path, mode) as file:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def refused(match: str, path: Path, member: str = "kit/set") -> str:
    """One sentence, nothing at the target, and nothing left beside it."""
    before = sorted(os.listdir(path.parent))
    with pytest.raises(DownloadError, match=match) as caught:
        unpack(path, member, path.parent / "set", progress=False)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and str(path) in sentence
    assert sorted(os.listdir(path.parent)) == before
    return sentence


@pytest.mark.parametrize("name, mode", [("s.zip", ""), ("s.tar", "w:"), ("s.tar.gz", "w:gz")])
def test_one_folder_of_an_archive(tmp_path, name, mode):
    path = archive(tmp_path / name, mode=mode)
    target = unpack(path, "kit/set", tmp_path / "data" / "set", progress=False)
    assert {file.relative_to(target).as_posix(): file.read_bytes() for file in target.rglob("*") if file.is_file()} == {
        "a.txt": b"first",
        "deep/b.bin": bytes(5000),
    }
    assert os.listdir(target.parent) == ["set"]


def test_a_bar_counts_the_files(tmp_path, capsys):
    unpack(archive(tmp_path / "s.zip"), "kit/set", tmp_path / "set")
    assert "unpacking s.zip" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["s.zip", "s.tar.gz"])
@pytest.mark.parametrize("bad", ["../outside.txt", "kit/../../outside.txt", "/outside.txt", "..\\outside.txt", "C:/outside.txt"])
def test_names_that_lead_out_are_refused(tmp_path, name, bad):
    folder = tmp_path / "inner" / "cache"
    folder.mkdir(parents=True)
    path = archive(folder / name, FILES | {bad: b"evil"})
    refused("a name that leads out of its folder", path)
    assert not list(tmp_path.rglob("*outside*")) and not Path("/outside.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as file:
        info = tarfile.TarInfo("kit/set/link")
        info.type, info.linkname = kind, "/etc/passwd"
        file.addfile(info)
    refused("'kit/set/link', which is neither a file nor a folder", path)


@pytest.mark.parametrize("name, mode", [("s.zip", ""), ("s.tar", "w:"), ("s.tar.gz", "w:gz")])
def test_a_damaged_archive(tmp_path, name, mode):
    path = archive(tmp_path / name, {"kit/set/a.bin": os.urandom(60_000)}, mode)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused("damaged or cut off", path)


def test_a_flipped_bit_in_a_zip_is_found(tmp_path):
    path = archive(tmp_path / "s.zip", {"kit/set/a.bin": os.urandom(60_000)})
    data = bytearray(path.read_bytes())
    data[30_000] ^= 1
    path.write_bytes(data)
    refused("damaged or cut off", path)


@pytest.mark.parametrize("name", ["s.zip", "s.tar.gz"])
def test_no_archive_at_all(tmp_path, name):
    path = tmp_path / name
    path.write_text("<html>Please log in</html>")
    refused("damaged or cut off", path)


def test_another_archive(tmp_path):
    refused("holds no kit/other: it is another archive", archive(tmp_path / "s.zip"), "kit/other")


def test_a_zip_with_a_password(tmp_path):
    path = archive(tmp_path / "s.zip", {"kit/set/a": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the directory's flag: encrypted
    path.write_bytes(data)
    refused("locked with a password", path)


def test_what_is_there_is_never_overwritten(tmp_path):
    path = archive(tmp_path / "s.zip")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("keep")
    refused("is there already: delete or rename it first", path)
    assert (tmp_path / "set" / "mine").read_text() == "keep"


def test_an_interruption_leaves_nothing_that_looks_finished(tmp_path, monkeypatch):
    path = archive(tmp_path / "s.zip")
    extract = zipfile.ZipFile.extract

    def stop_at_the_second(self, info, folder):
        if info.filename.endswith("b.bin"):
            raise KeyboardInterrupt
        return extract(self, info, folder)

    monkeypatch.setattr(zipfile.ZipFile, "extract", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        unpack(path, "kit/set", tmp_path / "set", progress=False)
    assert os.listdir(tmp_path) == ["s.zip"]


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    path = archive(tmp_path / "s.zip")
    (tmp_path / ".set.unpacking" / "kit" / "set").mkdir(parents=True)
    (tmp_path / ".set.unpacking" / "kit" / "set" / "stale").write_text("half")
    unpack(path, "kit/set", tmp_path / "set", progress=False)
    assert sorted(os.listdir(tmp_path / "set")) == ["a.txt", "deep"] and sorted(os.listdir(tmp_path)) == ["s.zip", "set"]


def test_a_disk_too_small_for_what_is_inside(tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 0, 100))
    refused("unpacks to 5,014 bytes, and .* has 100 left", archive(tmp_path / "s.zip"))


def test_a_disk_that_fills_up(tmp_path, monkeypatch):
    def full(self, info, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extract", full)
    refused("cannot be unpacked into .*: the disk is full", archive(tmp_path / "s.tar"))


def test_a_python_without_the_check(tmp_path, monkeypatch):
    monkeypatch.delattr(tarfile, "data_filter")
    path = archive(tmp_path / "s.tar")
    with pytest.raises(DownloadError, match="update to 3.11.4 or newer"):
        unpack(path, "kit/set", tmp_path / "set", progress=False)
    assert os.listdir(tmp_path) == ["s.tar"]
