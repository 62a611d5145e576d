"""A download is whole or not there; what has come is kept; whatever goes wrong is one sentence. All against a server on this machine."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course.data import download as module
from course.data.download import DownloadError, download
from course.errors import CourseError

DATA = bytes(range(256)) * 4000 + b"the end"


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def url(server):
    server.files["set.zip"] = DATA
    return server.url("set.zip")


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "cache" / "set.zip"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def begin(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    part_of(path).write_bytes(data)


def refused(match: str, url: str, path: Path, **options) -> str:
    """The download fails with one sentence or two, and nothing has the file's name."""
    with pytest.raises(DownloadError, match=match) as caught:
        download(url, path, progress=False, **options)
    assert isinstance(caught.value, CourseError) and isinstance(caught.value, OSError)
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    assert not path.exists()
    return sentence


@pytest.mark.parametrize("checksum", [None, sha256(DATA), "md5:" + hashlib.md5(DATA).hexdigest()])
def test_a_whole_file(url, path, checksum):
    assert download(url, path, checksum=checksum, size=len(DATA), progress=False) == path
    assert path.read_bytes() == DATA
    assert os.listdir(path.parent) == ["set.zip"]


def test_a_file_that_is_there_is_not_fetched_again(url, path, server):
    download(url, path, checksum=sha256(DATA), progress=False)
    assert len(server.asked) == 1
    download(url, path, checksum=sha256(DATA), progress=False)
    assert len(server.asked) == 1


def test_a_wrong_file_that_is_there_is_told_and_left_alone(url, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    with pytest.raises(DownloadError, match="is there already but is not the file from .* delete it to fetch it anew"):
        download(url, path, checksum=sha256(DATA), progress=False)
    assert path.read_bytes() == b"mine"


def test_it_goes_on_from_what_has_come(url, path, server):
    begin(path, DATA[:1000])
    download(url, path, checksum=sha256(DATA), progress=False)
    assert server.asked == ["bytes=1000-"] and path.read_bytes() == DATA


def test_a_connection_that_breaks_is_taken_up_again(url, path, server):
    server.drops = [300_000, 5, 0, 0, 700_000]
    download(url, path, checksum=sha256(DATA), progress=False)
    assert server.asked == [None, "bytes=300000-", "bytes=300005-", "bytes=300005-", "bytes=300005-", "bytes=1000005-"]
    assert path.read_bytes() == DATA


def test_a_connection_that_stays_broken_keeps_what_has_come(url, path, server):
    server.drops = [400_000, *[0] * 5]
    sentence = refused("cannot be reached", url, path, checksum=sha256(DATA))
    assert "broke off after 400,000 of 1,024,007 bytes" in sentence and f"kept in {part_of(path)}" in sentence
    assert part_of(path).read_bytes() == DATA[:400_000]
    download(url, path, checksum=sha256(DATA), progress=False)
    assert server.asked[-1] == "bytes=400000-" and path.read_bytes() == DATA


@pytest.mark.parametrize("lengths", [True, False])
def test_a_server_that_ignores_range(url, path, server, lengths):
    server.ranges, server.lengths = False, lengths
    begin(path, b"x" * 2000)
    server.drops = [300_000]
    download(url, path, checksum=sha256(DATA), size=len(DATA), progress=False)
    assert len(server.asked) == 2 and path.read_bytes() == DATA


def test_a_server_that_begins_anew_each_time_and_never_ends(url, path, server):
    server.ranges, server.drops = False, [700, 400, 700, 300, 700, 400, 10**6]
    refused("broke off after 700 of", url, path, attempts=4)
    assert len(server.asked) == 5


def test_a_wrong_checksum_leaves_nothing_to_build_on(url, path, server):
    sentence = refused("is not the right file: its sha256 is", url, path, checksum=sha256(b"other"))
    assert hashlib.sha256(DATA).hexdigest() in sentence and "it was deleted" in sentence
    assert os.listdir(path.parent) == []


def test_the_beginning_of_a_checksum_is_compared(url, path):
    begun = sha256(DATA)[: len("sha256:") + 8]
    refused("is not the right file", url, path, checksum=begun[:-1] + ("0" if begun[-1] != "0" else "1"))
    assert download(url, path, checksum=begun, progress=False).read_bytes() == DATA


def test_a_damaged_beginning_is_found_by_the_checksum(url, path):
    begin(path, b"?" * 1000)
    refused("is not the right file", url, path, checksum=sha256(DATA))
    download(url, path, checksum=sha256(DATA), progress=False)
    assert path.read_bytes() == DATA


def test_another_size_is_refused_before_it_is_fetched(url, path):
    begin(path, DATA[:1000])
    refused("has 1,024,007 bytes, and 55 are expected", url, path, size=55)
    assert part_of(path).read_bytes() == DATA[:1000]


@pytest.mark.parametrize("known", [True, False])
def test_a_part_that_is_complete_only_has_to_be_named(url, path, server, known):
    begin(path, DATA)
    download(url, path, checksum=sha256(DATA), size=len(DATA) if known else None, progress=False)
    assert server.asked == ([] if known else [f"bytes={len(DATA)}-"]) and path.read_bytes() == DATA


def test_a_part_longer_than_the_file_is_none_of_it(url, path, server):
    begin(path, DATA + DATA)
    download(url, path, checksum=sha256(DATA), progress=False)
    assert server.asked == [f"bytes={2 * len(DATA)}-", None] and path.read_bytes() == DATA


def test_an_empty_file(server, path):
    server.files["empty"] = b""
    assert download(server.url("empty"), path, size=0, checksum=sha256(b""), progress=False).read_bytes() == b""


def test_not_found(server, path):
    refused("/nowhere.zip cannot be fetched: the server answers 404 Not Found", server.url("nowhere.zip"), path)
    assert len(server.asked) == 1 and os.listdir(path.parent) == []


def test_a_busy_server_is_asked_again_but_not_forever(url, path, server):
    server.statuses = [503, 429]
    download(url, path, checksum=sha256(DATA), progress=False)
    assert len(server.asked) == 3
    server.statuses = [503] * 9
    refused(r"cannot be reached \(the server answers 503", url, path.with_name("again.zip"), attempts=4)
    assert len(server.asked) == 7


def test_no_server_no_internet(path, server):
    address = server.url("set.zip")
    server.close()
    begin(path, DATA[:10])
    sentence = refused("Connection refused; is there a connection to the internet", address, path)
    assert f"The 10 bytes that have come are kept in {part_of(path)}" in sentence
    refused("nowhere.invalid/a cannot be reached .*internet", "http://nowhere.invalid/a", path)
    assert part_of(path).read_bytes() == DATA[:10]


def test_a_server_that_falls_silent(url, path, server):
    server.pause.clear()
    server.ranges = False  # so that no try brings more than the last
    sentence = refused("cannot be reached", url, path, timeout=0.3, attempts=2)
    assert "timed out" in sentence and part_of(path).read_bytes() == DATA[: len(part_of(path).read_bytes())] != b""


def test_an_answer_that_begins_elsewhere_is_not_appended(url, path, monkeypatch):
    begin(path, DATA[:1000])
    opened = module._open
    monkeypatch.setattr(module, "_open", lambda url, start, timeout: opened(url, start + 1, timeout))
    refused("was asked for the bytes from 1,000 on and answered 'bytes 1001-", url, path)
    assert part_of(path).read_bytes() == DATA[:1000]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, a disk that is always full")
def test_a_full_disk(url, path):
    path.parent.mkdir()
    part_of(path).symlink_to("/dev/full")
    refused("The disk is full: .*set.zip.part", url, path)


def test_a_folder_that_cannot_be_written(url, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DownloadError, match="file/set.zip.part cannot be written .*: choose another folder"):
        download(url, tmp_path / "file" / "set.zip", progress=False)


@pytest.mark.parametrize(
    "options, match",
    [
        ({"url": "file:///etc/passwd"}, "http and https"),
        ({"checksum": "crc:1"}, "'sha256:…' or 'md5:…', not 'crc:1'"),
        ({"checksum": "sha256:1234567"}, "at least 8 digits"),
    ],
)
def test_arguments_that_cannot_be(url, path, options, match):
    with pytest.raises(ValueError, match=match):
        download(**{"url": url, "path": path, "progress": False} | options)


def test_the_bar_counts_bytes_and_begins_where_the_part_ends(url, path, capsys):
    begin(path, DATA[:512_000])
    download(url, path, checksum=sha256(DATA))
    shown = capsys.readouterr().err
    assert re.search(r"set\.zip: +50%.*512k/1\.02M", shown) and "1.02M/1.02M" in shown


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_keeps_what_has_come_for_the_next_time(url, path, server):
    server.pause.clear()
    # A shell that runs the tests in the background leaves SIGINT ignored, and children inherit that.
    listen = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listen}; from course.data.download import download; download({url!r}, {str(path)!r}, progress=False)"
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    waited = time.monotonic() + 30
    while not (part_of(path).exists() and part_of(path).stat().st_size == len(DATA) // 2):
        assert process.poll() is None and time.monotonic() < waited, process.stderr.read()
        server.pause.wait(0.02)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=120)[1]
    server.pause.set()
    assert not path.exists() and part_of(path).read_bytes() == DATA[: len(DATA) // 2]
    download(url, path, checksum=sha256(DATA), progress=False)
    assert server.asked == [None, f"bytes={len(DATA) // 2}-"] and path.read_bytes() == DATA
