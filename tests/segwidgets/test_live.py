"""Live: a trace that is computed anew from what the viewer sets. The browser's half is in tests/browser/test_settings.py."""

import numpy as np
import pytest

from segwidgets import Trace, TraceStep
from segwidgets.live import Choice, DragBox, Live, PickCell, Slider
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


class View:
    """Stands for a view in a browser: asks, and keeps what is answered."""

    def __init__(self, widget, monkeypatch):
        self.widget, self.answers = widget, []
        monkeypatch.setattr(widget, "send", self.answers.append)

    def ask(self, **values):
        self.widget._handle_custom_msg({"kind": "set", "values": values, "id": "view:7"}, [])
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
