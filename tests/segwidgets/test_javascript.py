"""The browser's side without a browser: the modules as they stand on disk, under `node --test`, fed by Python."""

import base64
import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import segwidgets
from course import programs
from course.ops.step import number
from segwidgets import Trace, TraceStep
from segwidgets.drawn_boxes import ORDER
from segwidgets.panels import Boxes, BoxLook, Curves, FieldBoxes, Film, Grid, Picture, Segmentation
from segwidgets.roles import ROLES

TESTS = sorted((Path(__file__).parent / "js").glob("*.test.js"))


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    path = tmp_path_factory.mktemp("given") / "given.json"
    path.write_text(json.dumps({"pairs": pairs(), "traces": traces(), "boxed": boxed(), "segmented": segmented()}, allow_nan=False))
    return path


def pairs():
    """Numbers of every size, ties and the edges of each rule among them, and how Python prints them; float32, as on the wire."""
    random = np.random.default_rng(0)
    values = [0.0, 1e-3, 0.00099999, 9.995e-4, 999.4, 999.5, 999.6, 9999999.0, 1e7, 12345678.9, 1e38, 1e-45, 0.1 + 0.2, 1 / 3]
    values += [n / 8 for n in range(-80, 81)] + [n / 16 for n in range(0, 400)] + [1000.5 + n for n in range(10)]  # ties
    values += [n * 10.0**p for n in (1, 1.5, 2, 5, 9.995, 12.25) for p in range(-9, 9)]
    values += (random.standard_normal(1000) * 10.0 ** random.integers(-9, 9, 1000)).tolist()
    values += random.standard_normal(500).astype(np.float32).tolist()
    values += random.integers(-1000, 1000, 100).astype(float).tolist()
    return [[value, number(value)] for value in np.array(values, dtype=np.float32).tolist()]


def traces():
    x = torch.tensor([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8.0]])
    small = torch.tensor([[1, 2], [3, 4.0]])
    kernel = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1.0]])
    players = {
        "pool": segwidgets.pool(x),
        "unpool": segwidgets.unpool(small, switches_from=x),
        "conv transpose": segwidgets.conv_transpose(small, kernel, stride=2),
        "yours": segwidgets.pool(x, fn=lambda x, *rest: x[..., ::2, ::2]),
        "photograph": segwidgets.pool(torch.rand(8, 12), image=torch.rand(3, 64, 96), field=(24, 8, 4)),
    }
    return [dump(name, player.trace) for name, player in players.items()] + [dump("film", film()), dump("fields", fields())]


def fields():
    """Grids whose cells say something else under the pointer than what they see."""
    covers = FieldBoxes("picture", BOXES, 3.0, word="covers")
    told = FieldBoxes("picture", BOXES, texts=["a", "b", "c", "the fourth"])
    panels = [
        Picture("picture", np.zeros((4, 6, 3), np.uint8)),
        Grid("covers", np.zeros((2, 2)), field=covers),
        Grid("told", np.zeros((2, 2)), field=told),
    ]
    return Trace("fields", panels=panels, steps=[TraceStep("First.")])


def film():
    """A film beside curves and a grid that shows frames: three frames of one colour each, the first equal to the last."""
    frames = [np.full((4, 6, 3), level, np.uint8) for level in (0, 90, 180, 0)]
    panels = [
        Film("film", frames, note="at first", lossless=True, legend=[("cat", "#E69F00"), ("dog", (0, 114, 178))]),
        Picture("picture", frames[0], lossless=True, legend=[("dog", "#0072B2"), ("void", "#000")]),
        Curves("curves", np.array([[4.0, 2, 1], [0, 0.5, 1]]), ["loss", "mIoU"], empty=True),
        Grid("cells", np.arange(4.0).reshape(2, 2), film="film", film_frames={(0, 1): 3, (1, 0): 0}, field=FieldBoxes("film", BOXES, 0.5)),
    ]
    steps = [
        TraceStep("First."),
        TraceStep("One.", shows={"film": 1}, notes={"film": "one"}, writes={"curves": {(0, 0): 4.0, (1, 0): 0.0}}),
        TraceStep("A word between."),
        TraceStep("Two.", shows={"film": 2}, notes={"film": ""}, writes={"curves": {(0, 1): 2.0, (1, 1): 0.5}}),
        TraceStep("Back.", shows={"film": 0}),
    ]
    return Trace("a film", panels=panels, steps=steps)


BOXES = np.array([[[0, 0, 2, 3], [1, 0, 4, 3]], [[0, 1, 2, 4], [1.5, 1, 6, 4]]])


def boxed():
    """Boxes that change, and what Python says each is at each step."""
    sheet = Picture("sheet", None, size=(10, 12), boxes=Boxes([[1, 2, 5, 6], [3, 2, 9, 8], [0, 0, 2, 2]], labels=["a", "b", "c"]))
    steps = [
        TraceStep("Nothing yet."),
        TraceStep("Box [0|chosen] stays.", boxes={"sheet": {0: BoxLook("chosen", "0.9")}}),
        TraceStep(
            "Box 1 goes.",
            boxes={"sheet": {1: "suppressed", 2: BoxLook("write", "moved", (4, 4, 6.25, 6))}},
            marks={"sheet": {"chosen": [0], "write": [(3, 2, 5, 6)]}},
            arithmetic="3 / 6 = 0.5",
        ),
        TraceStep("Box 2 vanishes.", boxes={"sheet": {2: None}}),
    ]
    trace = Trace("boxes", panels=[sheet, Picture("plain", None, size=(4, 4))], steps=steps)
    looks = [[{**vars(look), "place": list(look.place)} for look in trace.boxes_at("sheet", step)] for step in range(len(steps))]
    return {**dump("boxed", trace), "boxes": looks, "roles": {"order": ORDER, "all": list(ROLES)}}


def segmented():
    """Three pieces, of which two become a region, and what Python says each belongs to at each step."""
    labels = np.array([[0, 0, 1], [0, 2, 2], [2, 2, 2]])
    parts = {(0, 1): (0.5, 0.75), (0, 2): (0.5, 0.25), (0, 3): (0.25, 0.125)}
    pairs = {pair: {"colour": colour, "size": size} for pair, (colour, size) in parts.items()}
    panel = Segmentation("regions", labels, np.zeros((5, 3), np.uint8), pairs=pairs)
    steps = [TraceStep("Three pieces."), TraceStep("1 and 2 become 3.", writes={"regions": {(1, 0): 3, (2, 0): 3}})]
    trace = Trace("segmented", panels=[panel], steps=steps)
    values = [trace.values_at("regions", step).flatten().tolist() for step in range(2)]
    return {**dump("segmented", trace), "labels": labels.tolist(), "values": values}


def dump(name, trace):
    meta, buffers = trace.wire()
    grids = [panel["id"] for panel in meta["panels"] if panel["kind"] in ("grid", "curves")]
    films = {
        panel.id: [trace.frame_at(panel.id, step) for step in range(len(trace.steps))] for panel in trace.panels if isinstance(panel, Film)
    }
    steps = range(len(trace.steps))
    states = [{"panel": panel, "step": step, **state(trace, panel, step)} for panel in grids for step in steps]
    return {
        "name": name,
        "meta": meta,
        "buffers": [base64.b64encode(buffer).decode() for buffer in buffers],
        "states": states,
        "films": films,
    }


def state(trace, panel, step):
    values = [None if math.isnan(value) else value for value in trace.values_at(panel, step).flatten().tolist()]
    return {"values": values, "kept": [row * trace.panel(panel).columns + column for row, column in trace.kept_at(panel, step)]}


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_under_node(path, given):
    node = programs.node()
    assert node is not None, 'Node.js is missing: pip install -e ".[test]" brings it'
    ran = subprocess.run(
        [node, "--test", "--test-reporter=tap", path],
        capture_output=True,
        text=True,
        env=os.environ | {"GIVEN": str(given), "NODE_NO_WARNINGS": "1"},
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "\n# fail 0" in ran.stdout and "\n# pass 0" not in ran.stdout and "\n# skipped 0" in ran.stdout


def test_every_file_of_javascript_tests_is_found():
    assert [path.name for path in TESTS] == [
        f"{name}.test.js"
        for name in (
            *("asking", "boxes", "controls", "curves", "dragging", "format", "frames", "layout", "picking", "playback", "segmentation"),
            *("trace", "uploading"),
        )
    ]
