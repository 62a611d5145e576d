"""A data set is found where it is, or the error says where it was looked for, how large it is and how to get it."""

import hashlib
import io
import os
import shutil
import sys
import zipfile
from pathlib import Path

import pytest

from course.data import folder as module
from course.data.download import DownloadError
from course.data.folder import Archive, MissingData, Source, cache_folder, data_root, locate, readable
from course.errors import CourseError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEGCOURSE_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path / "home"


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, f"content of {name}")
    return file.getvalue()


@pytest.fixture
def source(server) -> Source:
    """A set in two archives, as Pets is, on our own server."""
    archives = []
    for part, holds in (("images.zip", "images"), ("labels.zip", "annotations")):
        data = server.files[part] = zipped(f"{holds}/1.txt", f"{holds}/2.txt")
        archives.append(Archive(server.url(part), len(data), f"sha256:{hashlib.sha256(data).hexdigest()}", holds, f"tiny-set/{holds}"))
    return Source("Tiny Set", folders=("tiny-set", "TinySet"), archives=tuple(archives))


NEEDS = ("images", "annotations")


def refused(match: str, *arguments, error=MissingData, **options) -> str:
    with pytest.raises(error, match=match) as caught:
        locate(*arguments, **options)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and isinstance(caught.value, CourseError)
    return sentence


@pytest.mark.parametrize(
    "platform, variables, place",
    [
        ("linux", {}, "home/.cache/segcourse"),
        ("linux", {"XDG_CACHE_HOME": "/var/cache/me"}, "/var/cache/me/segcourse"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "home/.cache/segcourse"),
        ("darwin", {"XDG_CACHE_HOME": "/var/cache/me"}, "home/Library/Caches/segcourse"),
        ("win32", {"LOCALAPPDATA": "/users/me/local"}, "/users/me/local/segcourse"),
        ("win32", {"LOCALAPPDATA": ""}, "home/AppData/Local/segcourse"),
    ],
)
def test_the_cache_is_where_the_platform_wants_it(tmp_path, monkeypatch, platform, variables, place):
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == tmp_path / place
    assert data_root() == tmp_path / place / "data"


def test_segcourse_data_comes_first(monkeypatch, home):
    monkeypatch.setenv("SEGCOURSE_DATA", "~/sets")
    assert data_root() == home / "sets"


@pytest.mark.parametrize("below", ["tiny-set", "TinySet", "."])
def test_root_holds_the_set_or_is_it(tmp_path, source, below):
    for need in NEEDS:
        (tmp_path / below / need).mkdir(parents=True)
    assert locate(source, NEEDS, root=tmp_path) == tmp_path / below


def test_what_is_missing_and_where_it_was_looked_for(tmp_path, monkeypatch, source, home):
    sentence = refused("^Tiny Set is missing: there is no images and annotations in ", source, NEEDS)
    cache = home / ".cache" / "segcourse" / "data"
    assert f"in {cache}/tiny-set or {cache}/TinySet (the default, as SEGCOURSE_DATA is not set)" in sentence
    size = sum(archive.size for archive in source.archives)
    assert f"download=True fetches it ({readable(size)}) into {cache}, or root= names a folder that has it" in sentence
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    assert f"{tmp_path}/tiny-set or {tmp_path}/TinySet (SEGCOURSE_DATA)" in refused("missing", source, NEEDS)
    assert f"{tmp_path}/x/tiny-set, {tmp_path}/x/TinySet or {tmp_path}/x (root)" in refused("missing", source, NEEDS, root=tmp_path / "x")


def test_nothing_is_fetched_unless_asked_for(tmp_path, source, server):
    refused("missing", source, NEEDS, root=tmp_path)
    assert server.asked == [] and os.listdir(tmp_path) == []


def test_it_is_fetched_once_unpacked_and_the_archives_go(tmp_path, source, server):
    assert locate(source, NEEDS, root=tmp_path, fetch=True) == tmp_path / "tiny-set"
    assert (tmp_path / "tiny-set" / "annotations" / "2.txt").read_text() == "content of annotations/2.txt"
    assert sorted(os.listdir(tmp_path / "tiny-set")) == ["annotations", "images"]
    locate(source, NEEDS, root=tmp_path, fetch=True)
    assert len(server.asked) == 2


def test_only_the_missing_archive_is_fetched(tmp_path, source, server):
    (tmp_path / "tiny-set" / "images").mkdir(parents=True)
    locate(source, NEEDS, root=tmp_path, fetch=True)
    assert len(server.asked) == 1 and (tmp_path / "tiny-set" / "annotations").is_dir()


def test_a_half_finished_download_is_told_and_taken_up(tmp_path, source, server):
    part = tmp_path / "tiny-set" / "images.zip.part"
    part.parent.mkdir()
    part.write_bytes(server.files["images.zip"][:100])
    assert f"going on from the half-finished {part} (100 bytes)" in refused("missing", source, NEEDS, root=tmp_path)
    locate(source, NEEDS, root=tmp_path, fetch=True)
    assert server.asked == ["bytes=100-", None]


def test_an_archive_put_there_by_hand_needs_no_internet_and_stays(tmp_path, source, server):
    (tmp_path / "tiny-set").mkdir()
    for name, data in server.files.items():
        (tmp_path / "tiny-set" / name).write_bytes(data)
    locate(source, NEEDS, root=tmp_path, fetch=True)
    assert server.asked == [] and sorted(os.listdir(tmp_path / "tiny-set")) == ["annotations", "images", "images.zip", "labels.zip"]


def test_the_first_archive_stays_when_the_second_fails(tmp_path, source, server):
    labels = server.files.pop("labels.zip")
    refused("404 Not Found", source, NEEDS, root=tmp_path, fetch=True, error=DownloadError)
    assert os.listdir(tmp_path / "tiny-set") == ["images"]
    server.files["labels.zip"] = labels
    locate(source, NEEDS, root=tmp_path, fetch=True)
    assert len(server.asked) == 3


def test_a_set_that_is_there_but_incomplete_is_not_touched(tmp_path, source):
    for need in NEEDS:
        (tmp_path / "tiny-set" / need).mkdir(parents=True)
    needs = (*NEEDS, "images/3.txt")
    refused("tiny-set is incomplete, so delete or rename it and download again", source, needs, root=tmp_path, fetch=True)


def test_a_set_without_archives_says_where_it_comes_from(tmp_path):
    source = Source("By Hand", folders=("by-hand",), origin="ask its makers")
    refused("^By Hand is missing: .*; ask its makers", source, ("images",), root=tmp_path)
    refused("^By Hand cannot be downloaded from here: ask its makers", source, ("images",), root=tmp_path, fetch=True)


def test_two_programs_do_not_write_one_download(tmp_path, source, server):
    pytest.importorskip("fcntl", reason="Windows has no such lock")
    with module._alone(tmp_path / "tiny-set" / "images.zip"):
        refused("is being downloaded by another program just now", source, NEEDS, root=tmp_path, fetch=True, error=DownloadError)
    assert server.asked == []
    locate(source, NEEDS, root=tmp_path, fetch=True)


def test_the_disk_is_asked_before_the_download(tmp_path, source, server, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 0, 100))
    sentence = refused("to be fetched and unpacked", source, NEEDS, root=tmp_path, fetch=True, error=DownloadError)
    assert f"images.zip needs {2 * source.archives[0].size} bytes" in sentence and "has 100 bytes left" in sentence
    assert server.asked == []


def test_a_folder_that_cannot_be_written(tmp_path, source):
    (tmp_path / "file").write_text("no folder")
    refused("cannot be written .*root= names another folder", source, NEEDS, root=tmp_path / "file", fetch=True, error=DownloadError)


@pytest.mark.parametrize("size, text", [(0, "0 bytes"), (999, "999 bytes"), (53_723_336, "53.7 MB"), (1_999_639_040, "2.0 GB")])
def test_sizes_as_people_say_them(size, text):
    assert readable(size) == text
