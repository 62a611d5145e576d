"""Boxes on a picture: what each is at each step, in Python, on the wire, and drawn where it should be."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor

from segwidgets import Trace, TraceStep
from segwidgets.boxes import MOST_BOXES, Boxes, BoxLook
from segwidgets.drawing import draw_step
from segwidgets.drawn_boxes import draw_boxes
from segwidgets.from_steps import merged
from segwidgets.panels import Film, Grid, Picture
from segwidgets.roles import ROLES

PLACES = np.array([[1, 2, 5, 6], [3, 2, 9, 8], [0, 0, 2, 2]])
STEPS = (
    TraceStep("Nothing yet."),
    TraceStep("Box 0 stays.", boxes={"sheet": {0: BoxLook("chosen", "0.9")}}, marks={"sheet": {"read": [1, (1, 1, 2, 2)]}}),
    TraceStep("Box 1 goes and box 2 moves.", boxes={"sheet": {1: "suppressed", 2: BoxLook("write", place=(4, 4, 6, 6))}}),
    TraceStep("Box 1 vanishes.", boxes={"sheet": {1: None}}),
)


def sheet(**options):
    return Picture("sheet", None, size=(10, 12), boxes=Boxes(PLACES, labels=["a", "b", "c"], **options))


def made(panel=None, steps=STEPS):
    return Trace("boxes", panels=[panel or sheet()], steps=steps)


def test_a_box_is_what_the_last_step_made_it():
    trace = made()
    looks = [[(look.role, look.label, look.place) for look in trace.boxes_at("sheet", step)] for step in range(4)]
    a, b, c = (("candidate", label, tuple(map(float, place))) for label, place in zip("abc", PLACES, strict=True))
    chosen, moved = ("chosen", "0.9", a[2]), ("write", "", (4, 4, 6, 6))
    assert looks == [[a, b, c], [chosen, b, c], [chosen, ("suppressed", "", b[2]), moved], [chosen, (None, "", b[2]), moved]]
    assert trace.boxes_at("sheet", -1) == trace.boxes_at("sheet", 3)


def test_each_box_may_start_as_something_else_or_hidden():
    assert [look.role for look in made(sheet(role=["truth", None, "ignored"])).boxes_at("sheet", 0)] == ["truth", None, "ignored"]
    assert [look.role for look in made(sheet(role=None)).boxes_at("sheet", 0)] == [None] * 3


def test_no_boxes_are_no_boxes():
    for none in ([], np.zeros((0, 4))):
        trace = made(Picture("sheet", None, size=(4, 4), boxes=Boxes(none)), [TraceStep(".")])
        assert trace.boxes_at("sheet", 0) == [] and draw_step(trace, 0, 1.0)


def test_what_was_shown_stays_when_the_array_changes():
    places = PLACES.astype(np.float32)
    boxes = Boxes(places)
    places[:] = 0
    assert boxes.start[0].place == (1, 2, 5, 6)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Boxes([[0, 0, 1, np.nan]]), "boxes have NaN or infinite places"),
        (lambda: Boxes(np.zeros((MOST_BOXES + 1, 4))), "2001 boxes are too many to tell apart; 2000 can be shown"),
        (lambda: Boxes(PLACES, role="red"), "a box has the role 'red'; there are"),
        (lambda: Boxes(PLACES, role=["read"]), "there are 3 boxes and 1 roles"),
        (lambda: Boxes(PLACES, labels=["a"]), "there are 3 boxes and 1 labels"),
        (lambda: Boxes(PLACES, labels=["a", "b", 3]), "the label of a box is 3; it takes a text"),
        (lambda: BoxLook("read", "a" * 41), "at most 40 letters"),
        (lambda: BoxLook("read", place=(1, 2, 3)), "the place of a box is \\(1.0, 2.0, 3.0\\)"),
        (lambda: TraceStep(".", boxes={"sheet": {0: "red"}}), "a box has the role 'red'"),
        (lambda: made(steps=[TraceStep(".", boxes={"sheet": {3: "read"}})]), "step 0 has box 3 of 'sheet', which has 3 boxes"),
        (
            lambda: made(steps=[TraceStep(".", boxes={"nowhere": {0: "read"}})]),
            "changes boxes of 'nowhere'; there are boxes on \\['sheet'\\]",
        ),
        (lambda: made(steps=[TraceStep(".", marks={"sheet": {"read": [-1]}})]), "step 0 has box -1 of 'sheet'"),
        (
            lambda: made(Picture("sheet", None, size=(4, 4)), [TraceStep(".", marks={"sheet": {"read": [0]}})]),
            "step 0 has box 0 of 'sheet', which has 0 boxes",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        make()
    assert "\n" not in str(error.value)


# ---- digest and wire ----------------------------------------------------------------------------------------------------


def test_the_digest_is_that_of_the_boxes():
    changed = [
        made(sheet(role="truth")),
        made(Picture("sheet", None, size=(10, 12), boxes=Boxes(PLACES + 1, labels=["a", "b", "c"]))),
        made(Picture("sheet", None, size=(10, 12), boxes=Boxes(PLACES, labels=["a", "b", "d"]))),
        made(steps=STEPS[:3]),
        made(steps=(*STEPS[:3], replace(STEPS[3], boxes={"sheet": {1: "read"}}))),
        made(steps=(*STEPS[:3], replace(STEPS[3], boxes={"sheet": {1: BoxLook(None, "x")}}))),
        made(steps=(*STEPS[:3], replace(STEPS[3], boxes={"sheet": {1: BoxLook(None, place=(0, 0, 1, 1))}}))),
        made(Picture("sheet", None, size=(10, 12)), [replace(step, boxes={}, marks={}) for step in STEPS]),
    ]
    assert made().digest == made().digest
    assert len({trace.digest for trace in (made(), *changed)}) == 9


def test_of_measured_boxes_the_digest_takes_what_they_are_and_not_where():
    def measured(nudge, number="0.91", role="chosen"):
        boxes = Boxes(PLACES / 7 + nudge, labels=["cat 0.9", "cat 0.8", "dog 0.7"])
        step = TraceStep(f"Score [{number}|read].", boxes={"sheet": {0: BoxLook(role, number, place=(0, 0, 1 + nudge, 1))}})
        return Trace("t", panels=[Picture("sheet", None, size=(4, 4), boxes=boxes)], steps=[step]).digest

    assert measured(0) == measured(1e-6, "0.92") != measured(0, role="read")


def test_they_travel_as_numbers_and_only_what_changes_travels_again():
    meta, buffers = made().wire()
    boxes = meta["panels"][0]["boxes"]
    np.testing.assert_array_equal(np.frombuffer(buffers[boxes["places"]], "<f4").reshape(-1, 4), PLACES)
    assert boxes["role"] == "candidate" and boxes["labels"] == ["a", "b", "c"]
    assert [step.get("boxes") for step in meta["steps"]] == [
        None,
        {"sheet": [[0, "chosen", "0.9"]]},
        {"sheet": [[1, "suppressed"], [2, "write", "", [4, 4, 6, 6]]]},
        {"sheet": [[1, None]]},
    ]
    assert meta["steps"][1]["marks"] == {"sheet": {"read": [1, [1, 1, 2, 2]]}}
    assert made(steps=[TraceStep(".")] * 200).nbytes < 10_000


def test_a_picture_without_boxes_travels_as_before():
    meta, _ = Trace("t", panels=[Picture("a", None, size=(4, 4))], steps=[TraceStep(".")]).wire()
    assert "boxes" not in meta["panels"][0] and "boxes" not in meta["steps"][0]


def test_steps_shown_at_once_change_all_their_boxes():
    step = merged(*STEPS[1:], caption="All.")
    assert step.boxes == {"sheet": {0: BoxLook("chosen", "0.9"), 1: BoxLook(None), 2: BoxLook("write", place=(4, 4, 6, 6))}}


# ---- drawn --------------------------------------------------------------------------------------------------------------


def near(image, colour):
    return np.abs(np.asarray(image).astype(int) - ImageColor.getrgb(colour)).max(-1) <= 12


def extent(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1] if len(rows) else None


def drawn(*looks, size=(100, 200), font=None):
    picture = Image.new("RGB", (400, 200), "#102030")
    draw_boxes(picture, looks, size, 1.0, font)
    return picture


@pytest.mark.parametrize("role", ROLES)
def test_a_box_stands_where_it_should_in_its_colour(role):
    found = extent(near(drawn(BoxLook(role, place=(20, 30, 120, 80))), ROLES[role].light))
    assert found == pytest.approx([40, 60, 240, 160], abs=2)


def test_solid_lines_are_whole_and_dashed_ones_are_not():
    for role, low, high in (("candidate", 0.99, 1), ("chosen", 0.99, 1), ("suppressed", 0.4, 0.75), ("wrong", 0.4, 0.75)):
        line = near(drawn(BoxLook(role, place=(20, 30, 120, 80))), ROLES[role].light)[60:62, 41:239].any(0)
        assert low <= line.mean() <= high, role


def test_the_chosen_one_is_thick():
    thick = {
        role: near(drawn(BoxLook(role, place=(20, 30, 120, 80))), ROLES[role].light)[110, 30:60].sum() for role in ("candidate", "chosen")
    }
    assert thick["chosen"] >= 3 * thick["candidate"] > 0


def test_hidden_and_inverted_boxes_are_not_drawn():
    blank = np.asarray(drawn())
    for look in (BoxLook(None, "a", (20, 30, 120, 80)), BoxLook("read", place=(120, 30, 20, 80))):
        np.testing.assert_array_equal(np.asarray(drawn(look)), blank)
    drawn(BoxLook("suppressed", place=(20, 30, 20, 30)), BoxLook("ignored", place=(20, 30, 20, 30)))  # a point


def test_a_dashed_line_is_drawn_wherever_it_lies_between_two_pixels():
    for k in range(100):
        drawn(BoxLook("suppressed", place=(20 + k / 7, 30 + k / 7, 120 - k / 3, 80 - k / 9)))


def test_later_roles_lie_on_top_whatever_the_order():
    looks = [BoxLook(role, place=(20, 30, 120, 80)) for role in ("chosen", "truth")]
    for picture in (drawn(*looks), drawn(*reversed(looks))):
        assert near(picture, ROLES["chosen"].light).sum() > 1000 and near(picture, ROLES["truth"].light).sum() == 0


def test_what_lies_outside_the_picture_is_cut_off():
    red = np.tile(np.array([200, 30, 60], np.uint8), (50, 100, 1))
    panels = [Picture("a", red, lossless=True, boxes=Boxes([[-80, 10, 60, 90]], role="truth")), Grid("b", np.ones((2, 2)))]
    card = draw_step(Trace("t", panels=panels, steps=[TraceStep(".")]), 0, 1.0)
    left, top, right, bottom = extent(near(card, "#c81e3c"))
    scale = (right - left) / 100
    assert extent(near(card, ROLES["truth"].light)) == pytest.approx([left, top + 10 * scale, left + 60 * scale, bottom], abs=2)


def test_labels_stand_at_their_boxes():
    from segwidgets.drawing import _sized

    for place, where in (
        ((20, 30, 120, 80), (40, 40, 90, 60)),  # above the corner
        ((20, 1, 120, 80), (40, 4, 90, 22)),  # at the top inside
        ((150, 30, 190, 80), (330, 40, 380, 60)),  # at the right leftwards
        ((-50, 30, 60, 80), (0, 40, 50, 60)),  # from the left edge on
    ):
        x1, y1, x2, y2 = where
        with_label = near(drawn(BoxLook("candidate", "cat", place), font=_sized), "#ffffff")
        without = near(drawn(BoxLook("candidate", "", place), font=_sized), "#ffffff")
        changed = extent(with_label & ~without)
        assert x1 - 3 <= changed[0] and changed[2] <= x2 + 4 and y1 - 4 <= changed[1] and changed[3] <= y2 + 4, place


def test_a_step_draws_its_boxes_and_marks_them():
    trace = made(Picture("sheet", np.full((10, 12, 3), 230, np.uint8), boxes=Boxes(PLACES)))
    cards = [draw_step(trace, step, 1.0) for step in range(4)]
    shown = {role: [bool(near(card, ROLES[role].light).sum() > 100) for card in cards] for role in ("chosen", "write", "read")}
    assert shown == {"chosen": [False, True, True, True], "write": [False, False, True, True], "read": [False, True, False, False]}


def test_a_film_carries_boxes_too():
    frames = [np.full((10, 12, 3), level, np.uint8) for level in (0, 200)]
    trace = Trace(
        "t",
        panels=[Film("f", frames, boxes=Boxes(PLACES, role=None))],
        steps=[TraceStep("."), TraceStep(".", shows={"f": 1}, boxes={"f": {0: "truth"}})],
    )
    assert [look.role for look in trace.boxes_at("f", 1)] == ["truth", None, None]
    green = [near(draw_step(trace, step, 1.0), ROLES["truth"].light).sum() for step in (0, 1)]
    assert green[0] == 0 < green[1]
