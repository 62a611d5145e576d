"""Live: a trace that is computed anew from what the viewer sets. The browser's half is in tests/browser/test_settings.py."""

import asyncio
import io
import signal
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from segwidgets import Trace, TraceStep
from segwidgets.live import MOST_BYTES, Choice, DragBox, Live, PickCell, Press, Slider, Upload
from segwidgets.panels import Bars, Boxes, Film, Grid, Picture

LEVEL = Slider("level", 0, 10, step=1, value=3)


def counted(level):
    """`level` steps after the first."""
    steps = [TraceStep(f"Level {level}."), *(TraceStep(f"Step {i}.", writes={"cells": {(0, i): i}}) for i in range(level))]
    return Trace("counted", panels=[Grid("cells", np.zeros((1, 10)), empty=True)], steps=steps)


def boxed(box=(10.0, 20.0, 30.0, 40.0), at=None):
    return Trace("boxed", panels=[Picture("photo", np.zeros((50, 60, 3), np.uint8), boxes=Boxes([at or box]))], steps=[TraceStep("A box.")])


def placed(cell):
    """A film and a grid, each with 5 × 6 cells; the grid says which is picked."""
    panels = [Film("film", [np.zeros((50, 60, 3), np.uint8)]), Grid("cells", np.zeros((5, 6)), empty=True), Bars("bars", [1], ["a"])]
    return Trace("placed", panels=panels, steps=[TraceStep("A cell.", writes={"cells": {cell: 1.0}})])


def summed(level, picture):
    """How high and wide a picture is, and its mean, times `level`."""
    numbers = [0, 0, 0] if picture is None else [*picture.shape[1:], float(picture.mean())]
    step = TraceStep("A picture.", writes={"cells": {(0, i): level * each for i, each in enumerate(numbers)}})
    return Trace("summed", panels=[Grid("cells", np.zeros((1, 3)), empty=True)], steps=[step])


def file_of(pixels, **how):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, how.pop("format", "PNG"), **how)
    return file.getvalue()


class View:
    """Stands for a view in a browser: asks, and keeps what is answered."""

    def __init__(self, widget, monkeypatch):
        self.widget, self.answers = widget, []
        monkeypatch.setattr(widget, "send", self.answers.append)

    def ask(self, *buffers, **values):
        self.widget._handle_custom_msg({"kind": "set", "values": values, "id": "view:7"}, [memoryview(buffer) for buffer in buffers])
        return self.answers[-1]


def test_it_shows_what_its_function_makes_of_the_first_values():
    widget = Live(counted, [LEVEL])
    assert widget.trace.digest == counted(3).digest and widget.values == {"level": 3}
    assert repr(widget) == repr(counted(3))
    assert widget._settings == [{"kind": "slider", "name": "level", "label": "level", "low": 0, "high": 10, "step": 1}]


def test_a_view_is_answered_and_the_trace_is_the_new_one(monkeypatch):
    widget = Live(counted, [LEVEL])
    assert View(widget, monkeypatch).ask(level=5) == {"kind": "answer", "id": "view:7", "error": ""}
    assert widget.trace.digest == counted(5).digest and widget.values == {"level": 5}


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (ValueError("there is no such level"), "there is no such level"),
        (TypeError("a level is a number"), "a level is a number"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (KeyboardInterrupt(), "Interrupted; nothing has changed."),
    ],
)
def test_what_goes_wrong_is_said_and_what_was_there_stays(monkeypatch, raised, said):
    def sometimes(level):
        if level == 4:
            raise raised
        return counted(level)

    widget = Live(sometimes, [LEVEL])
    view = View(widget, monkeypatch)
    assert view.ask(level=4)["error"] == said
    assert widget.trace.digest == counted(3).digest and widget.values == {"level": 3}
    assert view.ask(level=2)["error"] == ""
    assert widget.trace.digest == counted(2).digest


def test_a_function_that_gives_no_trace_is_told_so(monkeypatch):
    widget = Live(lambda level: counted(level) if level < 5 else None, [LEVEL])
    assert View(widget, monkeypatch).ask(level=5)["error"] == "Player plays a Trace, got NoneType"
    assert widget.values == {"level": 3}


@pytest.mark.parametrize("value", [11, -1, "3", None, float("nan"), True])
def test_a_slider_takes_only_what_it_can_show(monkeypatch, value):
    widget = Live(counted, [LEVEL])
    assert "it goes from 0 to 10" in View(widget, monkeypatch).ask(level=value)["error"]
    with pytest.raises(ValueError, match="level is .*; it goes from 0 to 10"):
        Slider("level", 0, 10, step=1, value=value)


def test_a_whole_slider_gives_whole_numbers_and_another_gives_others():
    assert type(LEVEL.checked(4.0)) is int
    assert type(Slider("part", 0.0, 1.0, step=0.5, value=1).value) is float
    for low, high, step in [(1, 1, 1), (2, 1, 1), (0, 1, 0), (0, float("inf"), 1)]:
        with pytest.raises(ValueError, match="low < high and step > 0 are needed"):
            Slider("level", low, high, step=step, value=1)


def test_a_choice_takes_one_of_its_words(monkeypatch):
    widget = Live(lambda how: counted(len(how)), [Choice("how", ("one", "three"), value="one")])
    view = View(widget, monkeypatch)
    assert view.ask(how="three")["error"] == "" and len(widget.trace.steps) == 6
    assert view.ask(how="two")["error"] == "how is 'two'; it is one of 'one', 'three'"
    with pytest.raises(ValueError, match="how is 'two'"):
        Choice("how", ("one", "three"), value="two")


def test_a_box_is_dragged(monkeypatch):
    widget = Live(boxed, [DragBox("box", panel="photo", box=0, value=(10.0, 20.0, 30.0, 40.0))])
    view = View(widget, monkeypatch)
    assert view.ask(box=[1, 2, 3.5, 4])["error"] == "" and widget.values == {"box": (1.0, 2.0, 3.5, 4.0)}
    np.testing.assert_allclose(widget.trace.panels[0].boxes.places, [[1, 2, 3.5, 4]])
    for value in [[3, 2, 1, 4], [1, 2, 3], [1, 2, 3, float("nan")], "a box", None, [1, 4, 3, 2]]:
        assert "a box is x1, y1, x2, y2" in view.ask(box=value)["error"]


def test_a_box_that_is_not_there_is_an_author_s_mistake():
    place = (10.0, 20.0, 30.0, 40.0)
    for panel, box in [("photos", 0), ("photo", 1), ("photo", -1)]:
        with pytest.raises(ValueError, match="there is no such box"):
            Live(boxed, [DragBox("box", panel=panel, box=box, value=place)])
    with pytest.raises(ValueError, match=r"but the function puts box 0 at \(1.0, 2.0, 3.0, 4.0\)"):
        Live(lambda box: boxed(at=(1, 2, 3, 4)), [DragBox("box", panel="photo", box=0, value=place)])


@pytest.mark.parametrize("panel", ["film", "cells"])
def test_a_cell_is_picked(monkeypatch, panel):
    widget = Live(placed, [PickCell("cell", panel=panel, rows=5, columns=6, value=(1, 2))])
    place = {"kind": "cell", "name": "cell", "label": "cell", "panel": panel, "rows": 5, "columns": 6, "size": None}
    assert widget._settings == [place] and widget.values == {"cell": (1, 2)}
    view = View(widget, monkeypatch)
    assert view.ask(cell=[4, 5])["error"] == "" and widget.values == {"cell": (4, 5)}
    assert np.argwhere(widget.trace.values_at("cells", -1) == 1).tolist() == [[4, 5]]
    for value in [[5, 0], [0, 6], [-1, 0], [0, -1], [0], [0, 1, 2], [0.0, 1.0], "01", None, 3, [None, 1]]:
        assert "a cell is a row from 0 to 4 and a column from 0 to 5" in view.ask(cell=value)["error"]
    assert widget.values == {"cell": (4, 5)}


def test_a_cell_may_have_a_size_of_its_own_and_indices_from_numpy():
    setting = PickCell("cell", panel="film", rows=4, columns=4, value=np.array([3, 0]), size=np.array([16, 15]))
    assert setting.value == (3, 0) and type(setting.value[0]) is int and setting.wire()["size"] == [16.0, 15.0]
    with pytest.raises(ValueError, match=r"cell is \(4, 0\); a cell is a row from 0 to 3"):
        PickCell("cell", panel="film", rows=4, columns=4, value=(4, 0))


def test_a_panel_that_has_no_such_cells_is_an_author_s_mistake():
    for panel in ("film's", "bars"):
        with pytest.raises(ValueError, match="there is no such grid, picture or film"):
            Live(placed, [PickCell("cell", panel=panel, rows=5, columns=6, value=(0, 0))])
    with pytest.raises(ValueError, match="cell picks one of 4 × 6 cells of 'cells', which has 5 × 6"):
        Live(placed, [PickCell("cell", panel="cells", rows=4, columns=6, value=(0, 0))])


def says(widget):
    return widget.trace.values_at("cells", -1)[0].tolist()


def test_a_picture_is_uploaded_once_and_then_called_by_its_key(monkeypatch):
    widget = Live(summed, [LEVEL, Upload("picture", label="your picture")])
    assert widget._settings[1] == {"kind": "upload", "name": "picture", "label": "your picture", "bytes": MOST_BYTES}
    assert widget.values == {"level": 3, "picture": None} and widget._values == {"level": 3, "picture": None}
    view, key = View(widget, monkeypatch), {"key": "view:0", "name": "cat.png"}
    white = file_of(np.full((4, 6, 3), 255, np.uint8))
    assert view.ask(b"another buffer", white, level=2, picture={**key, "buffer": 1})["error"] == ""
    assert says(widget) == [8, 12, 2] and widget._values == {"level": 2, "picture": key}
    torch.testing.assert_close(widget.values["picture"], torch.ones(3, 4, 6))
    assert view.ask(level=3, picture=key)["error"] == "" and says(widget) == [12, 18, 3]
    assert "the picture 'dog.png' is no longer here; choose it again" in view.ask(picture={"key": "view:9", "name": "dog.png"})["error"]
    assert says(widget) == [12, 18, 3]
    assert view.ask(level=3, picture=None)["error"] == "" and says(widget) == [0, 0, 0] and widget.values["picture"] is None


def test_a_picture_stands_upright_and_is_rgb(monkeypatch):
    widget = Live(summed, [LEVEL, Upload("picture")])
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright: rows are columns
    pixels = np.zeros((20, 30), np.uint8)
    View(widget, monkeypatch).ask(file_of(pixels, format="JPEG", exif=turned), picture={"key": "a", "name": "", "buffer": 0})
    assert list(widget.values["picture"].shape) == [3, 30, 20]


def test_what_is_no_picture_or_too_large_is_said_and_the_picture_stays(monkeypatch):
    widget = Live(summed, [LEVEL, Upload("picture")])
    view = View(widget, monkeypatch)
    view.ask(file_of(np.zeros((4, 6, 3), np.uint8)), picture={"key": "a", "name": "", "buffer": 0})
    large = io.BytesIO()
    Image.new("1", (5000, 4001)).save(large, "PNG")
    for wrong, sentence in [
        (b"<svg>", "not a picture that can be read; accepted are PNG, JPEG"),
        (b"", "file is empty"),
        (file_of(np.zeros((64, 64, 3), np.uint8))[:60], "damaged or cut off"),
        (bytes(MOST_BYTES + 1), "larger than the 8,000,000 bytes"),
        (large.getvalue(), "has 20,005,000 pixels"),
    ]:
        assert sentence in view.ask(wrong, picture={"key": "b", "name": "b", "buffer": 0})["error"]
        assert says(widget) == [12, 18, 0] and widget._values["picture"]["key"] == "a"
    assert view.ask(picture="/etc/hostname")["error"]  # a path is the kernel's, not the page's
    assert says(widget) == [12, 18, 0]


def test_python_gives_a_picture_too():
    widget = Live(summed, [LEVEL, Upload("picture")])
    for given in (torch.ones(3, 4, 6), np.full((4, 6, 3), 255, np.uint8), file_of(np.full((4, 6, 3), 255, np.uint8))):
        widget.set(picture=given)
        assert says(widget) == [12, 18, 3]
    key = widget._values["picture"]["key"]
    widget.set(level=1)
    assert says(widget) == [4, 6, 1] and widget._values["picture"]["key"] == key
    with pytest.raises(ValueError, match="1 to 4 channels"):
        widget.set(picture=torch.ones(5, 4, 6))


def test_settings_may_depend_on_the_picture(monkeypatch):
    """The words are the numbers of the picture's columns; the level stays."""

    def settings(picture=None):
        words = [str(i) for i in range(3 if picture is None else picture.shape[2])]
        return [LEVEL, Choice("column", words, words[-1]), Upload("picture")]

    def compute(level, column, picture):
        if picture is not None and picture.shape[1] > 50:
            raise ValueError("too high")
        return summed(level, picture)

    widget = Live(compute, settings)
    view, key = View(widget, monkeypatch), {"key": "a", "name": "", "buffer": 0}
    assert widget.values == {"level": 3, "column": "2", "picture": None}
    assert view.ask(level=2, column="0", picture=None)["error"] == ""
    assert view.ask(file_of(np.zeros((4, 6, 3), np.uint8)), level=2, column="2", picture=key)["error"] == ""
    assert widget._values == {"level": 2, "column": "2", "picture": {"key": "a", "name": ""}}  # both pictures have a column 2
    assert widget._settings[1]["options"] == list("012345") and says(widget) == [8, 12, 0]
    assert view.ask(level=2, column="5", picture={"key": "a", "name": ""})["error"] == "" and widget.values["column"] == "5"
    assert "column is '9'; it is one of '0'" in view.ask(level=2, column="9", picture={"key": "a", "name": ""})["error"]
    assert view.ask(file_of(np.zeros((60, 2, 3), np.uint8)), picture={"key": "b", "name": "", "buffer": 0})["error"] == "too high"
    assert "not a picture" in view.ask(b"no", picture={"key": "b", "name": "", "buffer": 0})["error"]
    assert widget._settings[1]["options"] == list("012345") and widget.values["column"] == "5" and says(widget) == [8, 12, 0]
    assert view.ask(level=3, column="5", picture=None)["error"] == ""
    assert widget._values == {"level": 3, "column": "2", "picture": None} and widget._settings[1]["options"] == list("012")
    widget.set(picture=torch.zeros(3, 2, 2))
    assert widget.values["column"] == "1"


def test_python_sets_values_too():
    widget = Live(counted, [LEVEL])
    widget.set(level=7)
    assert widget.values == {"level": 7} and widget.trace.digest == counted(7).digest
    with pytest.raises(TypeError, match="there is no setting 'levels'; there are 'level'"):
        widget.set(levels=7)
    with pytest.raises(ValueError, match="level is 70"):
        widget.set(level=70)
    assert widget.values == {"level": 7}


def test_settings_have_names_of_their_own_and_unknown_keywords_raise():
    with pytest.raises(ValueError, match="each needs a name of its own"):
        Live(lambda level: counted(level), [LEVEL, LEVEL])
    with pytest.raises(ValueError, match="at least one is needed"):
        Live(lambda: counted(1), [])
    with pytest.raises(TypeError, match="Live takes a function and its settings and nothing else, got speed"):
        Live(counted, [LEVEL], speed=2)


def test_other_messages_are_left_alone(monkeypatch):
    widget = Live(counted, [LEVEL])
    view = View(widget, monkeypatch)
    widget._handle_custom_msg({"kind": "other"}, [])
    assert view.answers == []


def test_a_question_without_values_is_answered(monkeypatch):
    widget = Live(counted, [LEVEL])
    view = View(widget, monkeypatch)
    widget._handle_custom_msg({"kind": "set", "id": "view:1"}, [])
    assert "KeyError" in view.answers[0]["error"]


def test_the_saved_page_plays_without_a_kernel(tmp_path):
    widget = Live(counted, [LEVEL])
    widget.save(tmp_path / "live.html")
    assert "counted" in (tmp_path / "live.html").read_text()


# ---- functions that yield several traces ------------------------------------------------------------------------------------


def climbing(done):
    """A function that yields `level` traces, of 1, 2, … steps, and notes in `done` what it has done; it raises what stands in `done`."""

    def compute(level):
        try:
            for each in range(1, level + 1):
                done.append(each)
                yield counted(each)
                if isinstance(done[0], BaseException):
                    raise done[0]
        except GeneratorExit:
            done.append("stopped")
            raise

    return compute


def test_each_of_several_traces_is_shown_and_the_last_stays(monkeypatch):
    widget = Live(climbing([0]), [LEVEL])
    assert widget.trace.digest == counted(3).digest
    view = View(widget, monkeypatch)
    view.ask(level=2)
    part = {"kind": "answer", "id": "view:7", "error": "", "more": True}
    assert view.answers == [part, part, {"kind": "answer", "id": "view:7", "error": ""}]
    assert widget.trace.digest == counted(2).digest and widget.values == {"level": 2}


@pytest.mark.parametrize(
    ("raised", "said"), [(ValueError("too high"), "too high"), (KeyboardInterrupt(), "Interrupted; nothing has changed.")]
)
def test_what_fails_half_way_leaves_what_was_there_before(monkeypatch, raised, said):
    done = [0]
    widget = Live(climbing(done), [LEVEL])
    view, before = View(widget, monkeypatch), widget.trace
    done[0] = raised
    assert view.ask(level=5)["error"] == said
    assert [answer.get("more") for answer in view.answers] == [True, None]
    assert widget.trace is before and widget.values == {"level": 3}
    done[0] = 0
    widget.set(level=1)
    assert widget.values == {"level": 1}


def test_a_newer_question_is_heard_between_two_traces(monkeypatch):
    done = [0]
    widget = Live(climbing(done), [LEVEL])
    view = View(widget, monkeypatch)
    done[1:] = []

    async def viewer():
        widget._handle_custom_msg({"kind": "set", "values": {"level": 9}, "id": "older"}, [])
        assert done == [0, 1]  # the kernel is free to hear more
        while done != [0, 1, 2, 3]:
            await asyncio.sleep(0.005)
        assert view.answers[-1] == {"kind": "answer", "id": "older", "error": "", "more": True}
        widget._handle_custom_msg({"kind": "set", "values": {"level": 2}, "id": "newer"}, [])
        await asyncio.sleep(0.3)

    asyncio.run(viewer())
    assert done == [0, 1, 2, 3, "stopped", 1, 2]
    ends = [(answer["id"], answer["error"]) for answer in view.answers if "more" not in answer]
    assert ends == [("older", "Stopped: something newer was asked."), ("newer", "")]
    assert widget.values == {"level": 2} and widget.trace.digest == counted(2).digest


def test_a_newer_question_that_fails_leads_back_to_the_last_whole_answer(monkeypatch):
    widget = Live(lambda level: climbing([0])(level) if level < 10 else None, [LEVEL])
    view, before = View(widget, monkeypatch), widget.trace

    async def viewer():
        widget._handle_custom_msg({"kind": "set", "values": {"level": 9}, "id": "older"}, [])
        assert widget.values == {"level": 9}
        widget._handle_custom_msg({"kind": "set", "values": {"level": 10}, "id": "newer"}, [])

    asyncio.run(viewer())
    assert view.answers[-1]["error"] == "Player plays a Trace, got NoneType"
    assert widget.values == {"level": 3} and widget.trace is before


def test_a_question_that_cannot_be_does_not_stop_the_older_one(monkeypatch):
    widget = Live(climbing([0]), [LEVEL])
    view = View(widget, monkeypatch)

    async def viewer():
        widget._handle_custom_msg({"kind": "set", "values": {"level": 4}, "id": "older"}, [])
        widget._handle_custom_msg({"kind": "set", "values": {"level": 99}, "id": "newer"}, [])
        await asyncio.sleep(0.3)

    asyncio.run(viewer())
    assert [answer["id"] for answer in view.answers if answer["error"]] == ["newer"] and widget.values == {"level": 4}


def test_a_question_on_another_thread_waits_until_the_older_one_can_be_stopped(monkeypatch):
    busy, free = threading.Event(), threading.Event()
    running = []

    def slow(level):
        for each in (1, 2):
            running.append(level)
            if level == 9:
                busy.set()
                assert free.wait(10)
            assert running.pop() == level and running == []  # never two at once
            yield counted(each)

    widget = Live(slow, [LEVEL])
    view = View(widget, monkeypatch)

    def asks(level, id):
        async def viewer():
            widget._handle_custom_msg({"kind": "set", "values": {"level": level}, "id": id}, [])
            await asyncio.sleep(0.3)

        return threading.Thread(target=lambda: asyncio.run(viewer()))

    older, newer = asks(9, "older"), asks(4, "newer")
    older.start()
    assert busy.wait(10)
    newer.start()
    newer.join(0.1)
    assert view.answers == []
    free.set()
    older.join()
    newer.join()
    ends = [(answer["id"], answer["error"]) for answer in view.answers if "more" not in answer]
    assert ends == [("older", "Stopped: something newer was asked."), ("newer", "")] and widget.values == {"level": 4}


def test_an_older_question_that_is_still_telling_its_view_does_not_put_out_a_newer_one(monkeypatch):
    widget, answers, came = Live(climbing([0]), [LEVEL]), [], threading.Event()

    def asks(level, id):
        async def viewer():
            widget._handle_custom_msg({"kind": "set", "values": {"level": level}, "id": id}, [])
            await asyncio.sleep(0.3)

        return threading.Thread(target=lambda: asyncio.run(viewer()))

    older, newer = asks(9, "older"), asks(2, "newer")

    def send(answer):
        answers.append(answer)
        if answer["id"] == "newer":
            came.set()
        elif "more" in answer:
            newer.start()
            assert came.wait(10)

    monkeypatch.setattr(widget, "send", send)
    older.start()
    older.join()
    newer.join()
    assert answers[-1] == {"kind": "answer", "id": "newer", "error": ""} and widget.trace.digest == counted(2).digest


def test_interrupts_are_heard_where_the_kernel_would_ignore_them(monkeypatch):
    def interrupted(level):
        yield counted(1)
        if level == 4:
            signal.raise_signal(signal.SIGINT)
        yield counted(2)

    widget = Live(interrupted, [LEVEL])
    view, before = View(widget, monkeypatch), signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a kernel between two messages
    try:
        assert view.ask(level=4)["error"] == "Interrupted; nothing has changed."
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def deaf():
    """As a kernel between two messages."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupts_are_heard_on_another_thread_each_time_and_then_ignored_again(monkeypatch, deaf):
    started, level_9 = threading.Event(), []

    def endless(level):
        if level == 9:
            level_9.append(threading.current_thread() is threading.main_thread())
            started.set()
            end = time.monotonic() + 20
            while time.monotonic() < end:
                time.sleep(0.001)
        return counted(level)

    async def kernel():
        widget = Live(endless, [LEVEL])
        view = View(widget, monkeypatch)
        for _ in range(2):
            started.clear()
            subshell = threading.Thread(target=view.ask, kwargs={"level": 9})
            subshell.start()
            while subshell.is_alive() and not (started.is_set() and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN):
                await asyncio.sleep(0.001)
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)  # the second is ignored, and doesn't strike what comes afterwards
            await asyncio.to_thread(subshell.join)
            await asyncio.sleep(0.01)
            assert view.answers.pop()["error"] == "Interrupted; nothing has changed." and widget.values == {"level": 3}
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        await asyncio.to_thread(view.ask, level=4)
        await asyncio.sleep(0.01)
        assert widget.values == {"level": 4} and signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    asyncio.run(kernel())
    assert level_9 == [False, False]


def test_while_a_cell_is_running_an_interrupt_is_the_cell_s(monkeypatch, deaf):
    started, free = threading.Event(), threading.Event()

    def waits(level):
        if level == 9:
            started.set()
            assert free.wait(10)
        return counted(level)

    async def kernel():
        widget = Live(waits, [LEVEL])
        view = View(widget, monkeypatch)
        subshell = threading.Thread(target=view.ask, kwargs={"level": 9})
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as a kernel for each cell
        subshell.start()
        await asyncio.to_thread(started.wait, 10)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        free.set()
        await asyncio.to_thread(subshell.join)
        assert view.answers[-1]["error"] == "" and widget.values == {"level": 9}
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    asyncio.run(kernel())


def test_a_function_that_yields_nothing_is_told_so():
    with pytest.raises(TypeError, match="yields at least one Trace; it yielded none"):
        Live(climbing([0]), [Slider("level", 0, 10, step=1, value=0)])


def test_a_press_counts(monkeypatch):
    widget = Live(lambda again: counted(again), [Press("again", label="Once more")])
    assert widget._settings == [{"kind": "press", "name": "again", "label": "Once more"}] and widget.values == {"again": 0}
    view = View(widget, monkeypatch)
    assert view.ask(again=2)["error"] == "" and widget.values == {"again": 2}
    for value in (-1, 1.0, True, "3", None):
        assert "how often the button was pressed" in view.ask(again=value)["error"]
