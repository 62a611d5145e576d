"""The panel of regions that grow: what it takes, how it is drawn, and that its digest is the same on every machine."""

import numpy as np
import pytest

from segwidgets import Trace, TraceStep
from segwidgets.panels import Segmentation
from segwidgets.roles import ROLES
from segwidgets.segmentation import _runs
from segwidgets.still import animated_png

LABELS = np.array([[0, 0, 0, 1, 1, 1]] * 6)
COLOURS = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)
READ, WRITE = ([int(ROLES[role].light[i : i + 2], 16) for i in (1, 3, 5)] for role in ("read", "write"))


def trace(labels=LABELS, **options):
    panel = Segmentation("regions", labels, COLOURS, **options)
    marks = {"regions": {"read": [(0, 0)], "write": [(0, 0)]}}
    steps = [TraceStep("Two."), TraceStep("They become [one|write].", writes={"regions": {(0, 0): 2, (1, 0): 2}}, marks=marks)]
    return Trace("growing", panels=[panel], steps=steps)


def test_pieces_are_drawn_in_the_colours_of_their_regions():
    panel, made = trace().panel("regions"), trace()
    start = made.values_at("regions", 0)
    assert start.tolist() == [[0], [1]] and made.values_at("regions", -1).tolist() == [[2], [2]]
    drawn = panel.painted(start, start, {})
    assert (drawn[:, :3] == COLOURS[0]).all() and (drawn[:, 3:] == COLOURS[1]).all()
    assert (panel.painted(made.values_at("regions", -1), start, {}) == COLOURS[2]).all()


def test_what_is_read_is_outlined_as_it_was_and_what_is_written_as_it_is():
    labels = np.repeat(np.arange(3), 8) * np.ones((20, 1), int)  # three strips, 8 wide
    panel = Segmentation("regions", labels, np.full((4, 3), 90, np.uint8))
    before, after = np.arange(3.0)[:, None], np.array([[3.0], [3.0], [2.0]])
    read = panel.painted(after, before, {"read": [(0, 0)]})
    assert (read[:, 6:8] == READ).all() and (read[:, 5] == 255).all() and (read[:, 8:] == 90).all()  # outline, rim; the border has none
    write = panel.painted(after, before, {"write": [(0, 0)]})
    assert (write[:, 14:16] == WRITE).all() and (write[:, :13] == 90).all() and (write[:, 16:] == 90).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 50), (300, 451)])
def test_runs_are_the_map(shape):
    random = np.random.default_rng(0)
    for labels in (random.integers(0, 4, shape), np.zeros(shape, int), random.integers(0, 4, (1, 1)) + np.zeros(shape, int)):
        lengths, values = _runs(labels).T
        assert lengths.max() <= 65535
        np.testing.assert_array_equal(np.repeat(values, lengths).reshape(shape), labels)


def test_the_digest_knows_how_many_steps_there_are_and_not_what_merged():
    other = LABELS.copy()
    other[0, 3] = 0
    assert trace(other).digest == trace().digest
    assert trace(note="another").digest != trace().digest
    panel = trace().panel("regions")
    assert Trace("growing", panels=[panel], steps=trace().steps[:1]).digest != trace().digest


def test_a_piece_without_a_pixel_is_one_all_the_same():
    panel = Segmentation("regions", np.zeros((2, 2), int), COLOURS, pieces=3)
    assert panel.rows == 3 and panel.values.tolist() == [[0], [1], [2]]


def test_it_has_a_still():
    png, _ = animated_png(trace())
    assert 0 < len(png) < 300_000


@pytest.mark.parametrize(
    ("labels", "options", "sentence"),
    [
        (np.zeros((0, 3), int), {}, r"needs labels \[H, W\] from 0 on, got the shape \[0, 3\]"),
        (np.zeros(3, int), {}, r"needs labels \[H, W\] from 0 on, got the shape \[3\]"),
        (-LABELS, {}, r"needs labels \[H, W\] from 0 on"),
        (3 * LABELS, {}, r"needs colours \[R, 3\] uint8, one for each region, got \[3, 3\]"),
        (5000 * LABELS, {}, "has 5001 pieces; 4096 can be shown: pass a coarser map"),
        (LABELS, {"pairs": {(0, 3): {"size": 1.0}}}, "name regions 0 to 2"),
        (LABELS, {"pairs": {(0, 1): {"size": 1.0}, (0, 2): {"fill": 1.0}}}, "all with the same measures"),
    ],
)
def test_what_cannot_be_shown(labels, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Segmentation("regions", labels, COLOURS, **options)


def test_a_step_that_names_no_piece_is_refused():
    panel = Segmentation("regions", LABELS, COLOURS)
    with pytest.raises(ValueError, match=r"touches cell \(2, 0\) of 'regions', which has 2 rows and 1 columns"):
        Trace("growing", panels=[panel], steps=[TraceStep("No.", writes={"regions": {(2, 0): 1}})])
