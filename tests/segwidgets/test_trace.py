"""A Trace refuses what can't be drawn, says what it is by its digest, and travels without loss."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import segwidgets
from course.ops.conv_transpose import conv_transpose_steps
from course.ops.pooling import max_pool_steps
from course.ops.step import replay
from segwidgets import Trace, TraceStep
from segwidgets.panels import Arrow, Bars, Formula, Grid, Picture
from segwidgets.trace import MAX_BYTES

GRID = Grid("input", np.arange(6.0).reshape(2, 3))
OUT = Grid("output", np.arange(2.0).reshape(1, 2), empty=True)
STEPS = (
    TraceStep("The start."),
    TraceStep(
        "Write [1|write] after [2|chosen].",
        marks={"input": {"read": [(0, 0), (0, 1)], "chosen": [(0, 1)]}, "output": {"write": [(0, 1)]}},
        writes={"output": {(0, 1): 1.0}},
        keep={"input": [(0, 1)]},
        arithmetic="max(0, 1) = 1",
    ),
)


ARROWS = (Arrow("pool"),)


def made(title="a title", panels=(GRID, OUT), steps=STEPS, arrows=ARROWS):
    return Trace(title, panels=panels, steps=steps, arrows=arrows)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"panels": (), "arrows": ()}, "needs panels with different names, got \\[\\]"),
        ({"panels": (GRID, GRID)}, "different names, got \\['input', 'input'\\]"),
        ({"steps": ()}, "at least one step: the first shows the input"),
        ({"arrows": (Arrow("a"), Arrow("b"))}, "2 panels have 1 gaps, got 2 arrows"),
        (
            {"steps": (TraceStep("", marks={"inputs": {"read": [(0, 0)]}}),)},
            "step 0 marks the panel 'inputs'; there are \\['input', 'output'\\]",
        ),
        ({"steps": (TraceStep("", writes={"nowhere": {(0, 0): 1}}),)}, "step 0 writes the panel 'nowhere'"),
        ({"steps": (TraceStep("", keep={"nowhere": [(0, 0)]}),)}, "step 0 keep the panel 'nowhere'"),
        ({"steps": (TraceStep("", marks={"input": {"red": [(0, 0)]}}),)}, "step 0 has the role \\['red'\\]; there are"),
        ({"steps": (TraceStep("[7|red]"),)}, "step 0 has the role \\['red'\\]"),
        ({"steps": (TraceStep("", marks={"input": {"read": [(2, 0)]}}),)}, "cell \\(2, 0\\) of 'input', which has 2 rows and 3 columns"),
        ({"steps": (TraceStep("", marks={"input": {"read": [(0, -1)]}}),)}, "cell \\(0, -1\\) of 'input'"),
        ({"steps": (TraceStep("", writes={"output": {(0, 2): 1.0}}),)}, "cell \\(0, 2\\) of 'output', which has 1 rows and 2 columns"),
        ({"steps": (TraceStep("", keep={"input": [(0, 0, 1)]}),)}, "cell \\(0, 0, 1\\) of 'input'"),
        ({"steps": (TraceStep("", writes={"output": {(0, 0): float("nan")}}),)}, "writes NaN or infinity into 'output'"),
        ({"steps": (TraceStep("", writes={"output": {(0, 0): float("inf")}}),)}, "writes NaN or infinity into 'output'"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(change, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        made(**change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("panel", "sentence"),
    [
        (lambda: Grid("a", np.ones(3)), "'a' needs a matrix with at least one cell, got the shape \\[3\\]"),
        (lambda: Grid("a", np.ones((0, 3))), "needs a matrix with at least one cell"),
        (lambda: Grid("a", np.full((1, 1), np.nan)), "'a' has NaN or infinite values"),
        (lambda: Grid("a", np.ones((1, 1)), paint="hot"), "paint is 'numbers', 'heat' or 'signed', got 'hot'"),
        (
            lambda: Grid("a", np.ones((2, 1)), row_names=["x"]),
            "row_names of 'a' are \\['x'\\]; a grid of numbers takes one for each of its 2",
        ),
        (lambda: Grid("a", np.ones((1, 2)), column_names="xy"), "column_names of 'a' are 'xy'"),
        (lambda: Grid("a", np.ones((1, 2)), paint="heat", column_names=["x", "y"]), "a grid of numbers takes one for each"),
        (lambda: Picture("a", None), "'a' needs pixels or a size"),
        (lambda: Bars("a", np.ones(2), ["one"]), "'a' needs a finite value for each of its 1 labels"),
    ],
)
def test_a_panel_that_cannot_be_drawn_is_one_sentence(panel, sentence):
    with pytest.raises(ValueError, match=sentence):
        panel()


def test_over_a_megabyte_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"'large' would take 1.4 MB with 1 steps, and 1 MB is the limit: pass a smaller tensor"):
        Trace("large", panels=[Grid("a", np.zeros((600, 600)))], steps=[TraceStep("")])
    assert made().nbytes < MAX_BYTES / 100


def test_what_was_shown_stays_when_the_tensor_changes(x):
    trace = segwidgets.pool(x).trace
    before = trace.values_at("input", 0).copy()
    x.zero_()
    np.testing.assert_array_equal(trace.values_at("input", 0), before)


# ---- digest -------------------------------------------------------------------------------------------------------------


def test_the_digest_is_the_same_for_the_same_animation():
    assert made().digest == made().digest
    assert len(made().digest) == 12 and made().digest in repr(made())


@pytest.mark.parametrize(
    "change",
    [
        {"title": "another"},
        {"panels": (replace(GRID, title="renamed"), OUT)},
        {"panels": (replace(GRID, note="[2, 3]"), OUT)},
        {"panels": (Grid("input", GRID.values + 1), OUT)},
        {"panels": (replace(GRID, column_names=["x"] * GRID.columns), OUT)},
        {"panels": (GRID, replace(OUT, empty=False))},
        {"arrows": (Arrow("unpool"),)},
        {"steps": STEPS[:1]},
        {"steps": (STEPS[1], STEPS[0])},
        {"steps": (STEPS[0], replace(STEPS[1], caption="Write [1|write].")) },
        {"steps": (STEPS[0], replace(STEPS[1], arithmetic="max(0, 1) = 2"))},
        {"steps": (STEPS[0], replace(STEPS[1], writes={"output": {(0, 0): 1.0}}))},
        {"steps": (STEPS[0], replace(STEPS[1], writes={"output": {(0, 1): 1.01}}))},
        {"steps": (STEPS[0], replace(STEPS[1], keep={}))},
        {"steps": (STEPS[0], replace(STEPS[1], marks={"input": {"read": [(0, 0)]}}))},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_the_digest_changes_with_the_animation(change):
    assert made(**change).digest != made().digest


@pytest.mark.parametrize("nudge", [np.inf, -np.inf], ids=["up", "down"])
def test_measured_numbers_may_differ_in_their_last_bits(nudge):
    """Each of these prints differently when its last bit tips it: 1.99 or 2, 100 or 101, 1e−5 or 9.99e−6."""
    tipping = [1.995, 100.5, 0.00099950, 9.995e-6, 0.12345, 999.5, 3.14159, 1 / 3, 2.0000001, 0.0, 7.125, 12.25, 0.5, 64.5, 1.005, 99.95]
    values = torch.tensor(tipping).reshape(4, 4)
    other = torch.nextafter(values, torch.tensor(nudge))
    other[values == 0] = 0  # a ReLU's zeros are zeros everywhere
    linked, average = partial(segwidgets.unpool, None), partial(segwidgets.pool, mode="average")
    assert linked(switches_from=values).trace.digest == linked(switches_from=other).trace.digest
    for player in (segwidgets.pool, segwidgets.unpool, average):
        assert player(values).trace.digest == player(other).trace.digest


def test_measured_numbers_still_tell_animations_apart(cat):
    _, features, _ = cat
    digests = {segwidgets.pool(features, channel=channel).trace.digest for channel in (3, 18)}
    digests |= {segwidgets.pool(features, size, channel=18).trace.digest for size in (3, 4)}
    digests.add(segwidgets.pool(features[..., :27], channel=18).trace.digest)
    assert len(digests) == 5


# ---- the wire -----------------------------------------------------------------------------------------------------------


def test_the_buffers_hold_the_numbers(x, shown):
    player = segwidgets.pool(x)
    meta, buffers = player.trace.wire()
    panels = {panel["id"]: panel for panel in meta["panels"]}
    decoded = np.frombuffer(buffers[panels["input"]["values"]], "<f4").reshape(panels["input"]["rows"], panels["input"]["columns"])
    np.testing.assert_array_equal(decoded, x.numpy())
    written = np.frombuffer(buffers[meta["written"]], "<f4")
    replayed = np.full(4, np.nan, dtype=np.float32)
    for step in meta["steps"]:
        for cells in [step.get("writes", {}).get("pooled", {"cells": [], "at": 0})]:
            replayed[cells["cells"]] = written[cells["at"] : cells["at"] + len(cells["cells"])]
    np.testing.assert_array_equal(replayed, shown(player, "pooled").flatten().numpy())


def test_no_number_of_a_tensor_travels_as_text(cat):
    image, features, field = cat
    meta, buffers = segwidgets.pool(features, channel=18, image=image, field=field).trace.wire()
    assert all(isinstance(buffer, bytes) for buffer in buffers)
    picture = next(panel for panel in meta["panels"] if panel["kind"] == "picture")
    assert buffers[picture["image"]].startswith(b"\xff\xd8\xff")  # the photograph once, as a JPEG
    assert sum(buffer.startswith(b"\xff\xd8\xff") for buffer in buffers) == 1
    for step in meta["steps"]:
        assert all(isinstance(cell, int) for write in step.get("writes", {}).values() for cell in write["cells"])


def test_every_step_shows_what_replaying_the_operation_gives(x, kernel, shown):
    blank = torch.full((2, 2), torch.nan)
    operation = list(max_pool_steps(x, 2))
    player = segwidgets.pool(x)
    for count in range(len(operation) + 1):
        expected = replay(operation[:count], {"output": blank})["output"]
        torch.testing.assert_close(shown(player, "pooled", count), expected, equal_nan=True)
    operation = list(conv_transpose_steps(x, kernel, stride=2))
    player = segwidgets.conv_transpose(x, kernel, stride=2)
    for count in (0, 1, 7, len(operation)):
        expected = replay(operation[:count], {"output": torch.full((9, 9), torch.nan)})["output"]
        torch.testing.assert_close(shown(player, "output", count), expected, equal_nan=True)


def test_a_panel_of_every_kind_travels():
    panels = (
        GRID,
        Grid("heat", np.ones((3, 3)), paint="heat"),
        Picture("photo", np.zeros((8, 8, 3), np.uint8)),
        Picture("sheet", None, size=(4, 4)),
        Bars("bars", np.array([1.0, 2.0]), ["cat", "dog"]),
        Formula("formula", ["y = x"]),
    )
    step = TraceStep("A box.", marks={"photo": {"truth": [(1, 2, 3, 4.126)]}}, writes={"bars": {(1, 0): 5.0}})
    trace = Trace("all", panels=panels, steps=[TraceStep("."), step])
    meta, _ = trace.wire()
    assert [panel["kind"] for panel in meta["panels"]] == ["grid", "grid", "picture", "picture", "bars", "formula"]
    assert meta["steps"][1]["marks"] == {"photo": {"truth": [[1, 2, 3, 4.13]]}}
    assert trace.values_at("bars", -1)[1, 0] == 5


def test_a_note_changes_from_a_step_on():
    trace = Trace(
        "notes", panels=[replace(GRID, note="[2, 3]")], steps=[TraceStep("a"), TraceStep("b", notes={"input": "7 s"}), TraceStep("c")]
    )
    assert [trace.note_at("input", step) for step in (0, 1, 2, -1)] == ["[2, 3]", "7 s", "7 s", "7 s"]
    assert [step.get("notes") for step in trace.wire()[0]["steps"]] == [None, {"input": "7 s"}, None]
    other = Trace("notes", panels=trace.panels, steps=[TraceStep("a"), TraceStep("b", notes={"input": "8 s"}), TraceStep("c")])
    assert other.digest != trace.digest
    for kind in ("notes", "grows"):
        with pytest.raises(ValueError, match=f"step 0 {kind} the panel 'inputs'"):
            Trace("notes", panels=[GRID], steps=[TraceStep("a", **{kind: {"inputs": 1}})])


def test_measured_steps_are_played_and_leave_no_mark_in_what_nbval_compares():
    bars = Bars("bars", [1.0], ["cat"], empty=True)

    def timed(seconds):
        moments = [TraceStep(f"{k} s", writes={"bars": {(0, 0): k}}, measured=True) for k in range(1, seconds)]
        return Trace("timed", panels=[bars], steps=[TraceStep("a"), *moments, TraceStep("b", writes={"bars": {(0, 0): 9.0}})])

    assert [len(timed(seconds).wire()[0]["steps"]) for seconds in (2, 5)] == [3, 6]
    assert repr(timed(2)) == repr(timed(5)) and "· 1 steps ·" in repr(timed(5))


def test_bars_have_a_colour_that_there_is():
    with pytest.raises(ValueError, match="the bars of 'bars' have the role 'grey'"):
        Bars("bars", [1.0], ["cat"], role="grey")
    assert Bars("bars", [1.0], ["cat"], role="suppressed").encode([])["role"] == "suppressed"
