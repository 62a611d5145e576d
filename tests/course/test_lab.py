"""`segcourse open` with a real JupyterLab: the page is there, a saved notebook keeps its stills, Ctrl-C leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from course import lab, lessons
from course.errors import CourseError
from course.notebooks import STILL, WIDGET_VIEW

SECONDS_TO_START = 60


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def student(tmp_path):
    folder = tmp_path / "lessons of mine"
    folder.mkdir()
    (folder / "07_adding.ipynb").write_text('{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}')
    return folder


@pytest.fixture
def server(student, port, tmp_path):
    """A running JupyterLab as `segcourse open` starts it, with settings of its own."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    private = {name: str(tmp_path / name.lower()) for name in names}
    program = (
        "import sys, pathlib; from course import cli, lab;"
        f"lab.lesson_folder = lambda to: (pathlib.Path({str(student)!r}), []);"
        f"sys.exit(cli.main(['open', '--no-browser', '--port', '{port}']))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], env=os.environ | private, stdin=subprocess.DEVNULL, start_new_session=True)
    yield process, tmp_path / "jupyter_runtime_dir"
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def ask(address, token=None, content=None):
    headers = {"Authorization": f"token {token}"} if token else {}
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, data=body, headers=headers, method="GET" if body is None else "PUT")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


def wait_until_up(address, process):
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end:
        assert process.poll() is None, f"JupyterLab ended with {process.returncode}"
        try:
            return ask(f"{address}/api")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise TimeoutError(f"JupyterLab was not up after {SECONDS_TO_START} s")


def test_a_saved_notebook_keeps_its_stills_and_ctrl_c_leaves_nothing_behind(server, student, port):
    process, runtime = server
    address = f"http://127.0.0.1:{port}"
    wait_until_up(address, process)
    token = json.loads(next(runtime.glob("jpserver-*.json")).read_text())["token"]
    assert b"jupyter-config-data" in ask(f"{address}/lab/tree/07_adding.ipynb", token)

    output = {"output_type": "display_data", "data": {WIDGET_VIEW: {"model_id": "1"}, STILL: "aGk="}, "metadata": {}}
    cell = {"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {}, "source": "1", "outputs": [output]}
    content = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    ask(f"{address}/api/contents/07_adding.ipynb", token, {"type": "notebook", "content": content})
    saved = json.loads((student / "07_adding.ipynb").read_text())
    assert list(saved["cells"][0]["outputs"][0]["data"]) == [STILL]

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(20) == 130
    assert not lab._is_taken(port)
    assert not list(runtime.glob("jpserver-*.json"))


def test_a_taken_port_is_one_sentence(port, student):
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(CourseError, match=f"Port {port} is taken; --port takes another"):
            lab.open_lab(student, student / "07_adding.ipynb", browser=False, port=port)


def test_without_jupyterlab_it_says_how_to_get_it(monkeypatch, student):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CourseError, match=r'JupyterLab is not installed here: pip install "segcourse\[lab\]" installs it'):
        lab.open_lab(student, student / "07_adding.ipynb")


def test_in_a_checkout_the_lessons_are_opened_in_place(tmp_path, monkeypatch):
    (tmp_path / "lessons").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.setattr(lessons, "PACKAGE", tmp_path / "course")
    assert lab.lesson_folder(None) == (tmp_path / "lessons", [])


def test_from_a_wheel_they_are_copied_home(tmp_path, monkeypatch):
    (tmp_path / "site" / "course" / "_lessons").mkdir(parents=True)
    (tmp_path / "site" / "course" / "_lessons" / "07_adding.ipynb").write_text("shipped")
    monkeypatch.setattr(lessons, "PACKAGE", tmp_path / "site" / "course")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder, said = lab.lesson_folder(None)
    assert folder == tmp_path / "segcourse-lessons" and said == [f"The lessons are in {folder}."]
    assert (folder / "07_adding.ipynb").read_text() == "shipped"
    other, _ = lab.lesson_folder(tmp_path / "elsewhere")
    assert (other / "07_adding.ipynb").read_text() == "shipped"


def test_the_command_line_names_the_lesson_and_the_hook(student):
    parts = lab.command(student, student / "07_adding.ipynb", browser=False, port=8890)
    assert f"--ServerApp.root_dir={student}" in parts
    assert "--LabApp.default_url=/lab/tree/07_adding.ipynb" in parts
    assert "--ContentsManager.pre_save_hook=course.notebooks.keep_stills" in parts
    assert {"--no-browser", "--port=8890"} <= set(parts)
    assert "--no-browser" not in lab.command(student, student / "07_adding.ipynb", browser=True, port=None)
