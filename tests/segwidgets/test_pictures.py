"""Pictures and films: what they refuse, how they travel, and what a trace's digest takes of them."""

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import segwidgets
from segwidgets import Trace, TraceStep, pictures
from segwidgets.panels import Curves, Film, Frame, Grid, Picture
from segwidgets.pictures import png

DRAW = np.random.default_rng(0)
FRAMES = [DRAW.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(5)]
GRID = Grid("cells", np.arange(4.0).reshape(2, 2), film="film")
STEPS = (TraceStep("Nothing."), TraceStep("One.", shows={"film": 1}), TraceStep("Still one."), TraceStep("Three.", shows={"film": 3}))


def made(film=None, grid=GRID, steps=STEPS):
    return Trace("a film", panels=[film or Film("film", FRAMES), grid], steps=steps)


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def encoded(trace, panel="film"):
    meta, buffers = trace.wire()
    spec = next(each for each in meta["panels"] if each["id"] == panel)
    return spec, buffers


def test_the_frame_of_a_step_is_the_last_that_was_shown():
    assert [made().frame_at("film", step) for step in range(4)] == [0, 1, 1, 3] and made().frame_at("film", -1) == 3


def test_each_frame_travels_once_lossless_when_asked():
    spec, buffers = encoded(made(Film("film", FRAMES, lossless=True)))
    assert spec["kind"] == "film" and (spec["rows"], spec["columns"]) == (6, 8) and len(spec["frames"]) == 5
    for frame, place in zip(FRAMES, spec["frames"], strict=True):
        np.testing.assert_array_equal(decoded(buffers[place]), frame)
    meta, _ = made().wire()
    assert [step.get("shows") for step in meta["steps"]] == [None, {"film": 1}, None, {"film": 3}]


def test_otherwise_frames_are_jpegs_and_look_alike():
    smooth = [np.full((16, 16, 3), level, np.uint8) for level in (10, 130, 250)]
    spec, buffers = encoded(Trace("t", panels=[Film("film", smooth)], steps=[TraceStep(".")]))
    for frame, place in zip(smooth, spec["frames"], strict=True):
        assert buffers[place].startswith(b"\xff\xd8\xff") and np.abs(decoded(buffers[place]).astype(int) - frame).max() <= 2


def test_equal_frames_share_their_bytes():
    spec, buffers = encoded(made(Film("film", [FRAMES[0], FRAMES[1], FRAMES[0].copy(), FRAMES[1], FRAMES[0]], lossless=True)))
    assert len(set(spec["frames"])) == 2 and spec["frames"][0] == spec["frames"][2] == spec["frames"][4]


def test_a_frame_is_encoded_once_however_often_it_is_shown(monkeypatch):
    calls = []
    monkeypatch.setattr(pictures, "png", lambda pixels: calls.append(1) or png(pixels))
    frames = [Frame(frame) for frame in FRAMES]
    for count in (3, 4, 5):
        Trace("t", panels=[Film("film", frames[:count], lossless=True)], steps=[TraceStep(".")])
    assert len(calls) == 5


@pytest.mark.parametrize("colours", [1, 2, 200, 256, 257, 5000])
def test_png_keeps_every_colour(colours):
    pixels = DRAW.integers(0, 256, (colours, 3), np.uint8)[DRAW.integers(0, colours, (90, 70))]
    np.testing.assert_array_equal(decoded(png(pixels)), pixels)


def test_a_map_of_labels_takes_few_bytes():
    labels = np.kron(DRAW.integers(0, 20, (8, 8)), np.ones((16, 16), int))
    pixels = DRAW.integers(0, 256, (20, 3), np.uint8)[labels]
    assert len(png(pixels)) < 600 and Image.open(io.BytesIO(png(pixels))).mode == "P"


def test_what_was_shown_stays_when_the_array_changes():
    frame = FRAMES[0].copy()
    film = Film("film", [frame])
    frame[:] = 0
    np.testing.assert_array_equal(film.frames[0].pixels, FRAMES[0])


def test_boxes_are_marked_on_it_as_on_a_picture():
    trace = made(steps=(TraceStep(".", marks={"film": {"truth": [(1, 2, 3, 4.126)]}}),))
    assert trace.wire()[0]["steps"][0]["marks"] == {"film": {"truth": [[1, 2, 3, 4.13]]}}


def test_a_grid_shows_a_frame_for_each_cell():
    grid, _ = encoded(made(), "cells")
    assert grid["film"] == {"panel": "film", "frames": [1, 2, 3, 4]}
    grid, _ = encoded(made(grid=replace(GRID, film_frames={(0, 1): 4, (1, 0): 0})), "cells")
    assert grid["film"] == {"panel": "film", "frames": [-1, 4, 0, -1]}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Film("film", []), "'film' needs at least one frame"),
        (lambda: Film("film", [FRAMES[0], FRAMES[0][:3]]), "have the sizes \\[\\(3, 8\\), \\(6, 8\\)\\]; they must all have one"),
        (lambda: Film("film", [FRAMES[0] / 255]), "\\[H, W, 3\\] uint8, got \\[6, 8, 3\\] float64"),
        (lambda: Film("film", [FRAMES[0][..., 0]]), "got \\[6, 8\\] uint8"),
        (
            lambda: Film("film", FRAMES, legend=[("cat", "no colour")]),
            "legend of 'film' takes \\(name, colour\\) .* got \\('cat', 'no colour'\\)",
        ),
        (lambda: Film("film", FRAMES, legend=[("cat", (300, 0, 0))]), "legend of 'film'"),
        (lambda: Picture("p", FRAMES[0], legend=["cat"]), "legend of 'p'"),
        (lambda: Grid("g", np.ones((1, 1)), film_frames={(0, 0): 1}), "'g' has film_frames but no film"),
        (lambda: made(steps=(TraceStep(".", shows={"film": 5}),)), "step 0 shows frame 5 of the film 'film', which has the frames 0 to 4"),
        (lambda: made(steps=(TraceStep(".", shows={"film": -1}),)), "step 0 shows frame -1"),
        (lambda: made(steps=(TraceStep(".", shows={"cells": 1}),)), "step 0 shows a frame of the film 'cells'; there are \\['film'\\]"),
        (lambda: made(grid=replace(GRID, film="other")), "cell \\(0, 0\\) of 'cells' shows a frame of the film 'other'"),
        (
            lambda: made(film=Film("film", FRAMES[:4])),
            "cell \\(1, 1\\) of 'cells' shows frame 4 of the film 'film', which has the frames 0 to 3",
        ),
        (lambda: made(grid=replace(GRID, film_frames={(2, 0): 1})), "film_frames of 'cells' has the cell \\(2, 0\\)"),
        (lambda: Curves("c", np.ones((2, 3)), ["one"]), "'c' needs finite values \\[S, P\\], a row for each of its 1 labels"),
        (lambda: Curves("c", np.full((1, 3), np.nan), ["one"]), "'c' needs finite values"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        make()
    assert "\n" not in str(error.value)


# ---- digest -------------------------------------------------------------------------------------------------------------


def test_pixels_are_measured_and_do_not_enter_the_digest():
    other = [frame + 1 for frame in FRAMES]
    assert made(Film("film", other)).digest == made().digest


@pytest.mark.parametrize(
    "change",
    [
        {"film": Film("film", [frame[:5] for frame in FRAMES])},
        {"film": Film("film", [*FRAMES, FRAMES[0]])},
        {"film": Film("film", FRAMES, lossless=True)},
        {"film": Film("film", FRAMES, legend=[("cat", "#E69F00")])},
        {"film": Film("film", FRAMES, title="renamed")},
        {"grid": replace(GRID, film_frames={(0, 0): 1})},
        {"grid": replace(GRID, film=None)},
        {"steps": (*STEPS[:3], TraceStep("Three.", shows={"film": 2}))},
        {"steps": (*STEPS[:1], replace(STEPS[1], shows={}), *STEPS[2:])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_changes_with_what_is_shown_when(change):
    assert made(**change).digest != made().digest


def test_numbers_said_beside_a_film_are_measured_too():
    one, other = (made(steps=(TraceStep(f"Loss {loss}.", shows={"film": 1}),)) for loss in (0.123, 0.124))
    assert one.digest == other.digest


def test_the_digests_from_before_there_were_films_still_hold(x, small):
    """They stand in the committed notebook of lesson 03, which an earlier version made."""
    notebook = (Path(__file__).parents[2] / "lessons" / "03_unpooling.ipynb").read_text(encoding="utf-8")
    committed = set(re.findall(r"digest ([0-9a-f]{12})", notebook))
    small, numbers = small.reshape(1, 1, 2, 2), x.reshape(1, 1, 4, 4)
    players = [segwidgets.pool(numbers, kernel_size=2), segwidgets.pool(numbers, kernel_size=2, mode="average")]
    players += [segwidgets.unpool(small, 2, mode=mode) for mode in ("nearest", "bed_of_nails", "bilinear")]
    players.append(segwidgets.unpool(small, 2, mode="max", switches_from=numbers))
    assert {player.trace.digest for player in players} <= committed
