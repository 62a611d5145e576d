"""Boxes on the page: where they lie, how they look, and what is said over them."""

import pytest

from tests.browser.looking import GLIDED, lies

MAKE = """
import numpy as np
from segwidgets import Player, Trace, TraceStep
from segwidgets.panels import Boxes, BoxLook, Picture

def boxed():
    grey = np.full((50, 100, 3), 128, np.uint8)
    boxes = Boxes([[10, 20, 50, 40], [20, 25, 60, 45], [-20, 30, 8, 60]], labels=["a", "b", ""])
    steps = [
        TraceStep("Nothing yet."),
        TraceStep("Box 0 stays.", boxes={"photo": {0: BoxLook("chosen", "0.9")}}),
        TraceStep("Box 1 goes.", boxes={"photo": {1: "suppressed"}}, marks={"photo": {"read": [0]}}, arithmetic="3 / 6 = 0.5"),
        TraceStep("Box 2 moves, box 1 is hidden.", boxes={"photo": {1: None, 2: BoxLook("write", place=(70, 10, 90, 30))}}),
    ]
    return Player(Trace("boxes", panels=[Picture("photo", grey, boxes=boxes)], steps=steps))
"""


@pytest.fixture
def boxed(notebook):
    notebook.python(MAKE)
    return notebook.show("boxed()")


def box_lies(root, number):
    """The box as it lies on the screen, in the picture's pixels, once it has glided there."""
    box = f".segw-box[data-box='{number}']"
    root.locator(box).evaluate(GLIDED)
    return [round(side, 1) for side in lies(root, "photo", box, 100)]


def look(root, number):
    read = """box => { const {borderTopStyle, borderTopWidth} = getComputedStyle(box);
        return {role: box.dataset.role, style: borderTopStyle, width: parseFloat(borderTopWidth)}; }"""
    return root.locator(f".segw-box[data-box='{number}']").evaluate(read)


def test_they_lie_where_the_tensor_says_and_look_as_their_role_does(boxed):
    assert [box_lies(boxed, i) for i in (0, 1)] == [[10, 20, 50, 40], [20, 25, 60, 45]]
    assert look(boxed, 0)["role"] == "candidate" and look(boxed, 0)["style"] == "solid"
    thin = look(boxed, 0)["width"]
    boxed.press("ArrowRight")
    assert look(boxed, 0) == {"role": "chosen", "style": "solid", "width": pytest.approx(4 * thin)}
    boxed.press("ArrowRight")
    assert look(boxed, 1) == {"role": "suppressed", "style": "dashed", "width": thin}
    assert boxed.locator(".segw-box-label:visible").all_text_contents() == ["0.9"]
    boxed.press("ArrowRight")
    assert boxed.locator(".segw-box[data-box='1']").count() == 0 and box_lies(boxed, 2) == [70, 10, 90, 30]
    boxed.press("Home")
    assert box_lies(boxed, 1) == [20, 25, 60, 45] and boxed.locator(".segw-box-label:visible").all_text_contents() == ["a", "b"]


def test_a_label_is_not_cut_off_at_the_right(boxed, notebook):
    picture = "Picture('photo', np.zeros((50, 100, 3), np.uint8), boxes=Boxes([(60, 20, 66, 30)], labels=['a label ' * 5]))"
    root = notebook.show(f"Player(Trace('right', panels=[{picture}], steps=[TraceStep('One.')]))")
    outer, inner, box = (root.locator(name).bounding_box() for name in (".segw-stage", ".segw-box-label", ".segw-box"))
    assert inner["x"] + inner["width"] == pytest.approx(outer["x"] + outer["width"], abs=1) and inner["x"] < box["x"]


def test_what_lies_outside_the_picture_is_cut_off(boxed):
    assert boxed.locator(".segw-boxes").evaluate("layer => getComputedStyle(layer).overflow") == "hidden"


def test_over_a_box_stands_why_it_is_what_it_is(boxed):
    boxed.press("ArrowRight")
    boxed.press("ArrowRight")
    stage = boxed.locator("[data-panel=photo] .segw-stage")
    size = stage.bounding_box()
    stage.hover(position={"x": 0.57 * size["width"], "y": 0.43 * size["width"]})  # only in box 1
    assert boxed.locator(".segw-arithmetic").text_content() == "box 1: 3 / 6 = 0.5"
    assert boxed.locator(".segw-mark[data-role=write]").count() == 1 and boxed.locator(".segw-mark[data-role=read]").count() == 1
    stage.hover(position={"x": 0.95 * size["width"], "y": 0.05 * size["width"]})  # in none
    assert boxed.locator(".segw-arithmetic").text_content() == "3 / 6 = 0.5" and boxed.get_attribute("data-hover") is None


def test_while_the_class_guesses_the_boxes_wait(boxed):
    boxed.press("p")
    boxed.press("ArrowRight")
    assert boxed.get_attribute("data-asked") == "true" and look(boxed, 0)["role"] == "candidate"
    boxed.press("ArrowRight")
    assert boxed.get_attribute("data-asked") == "false" and look(boxed, 0)["role"] == "chosen"


def test_labels_of_boxes_that_begin_at_one_place_do_not_lie_on_each_other(notebook):
    boxes = "Boxes([(30, 20, 60, 45), (32, 20, 58, 40), (31, 21, 50, 44)], labels=['person', 'star', 'house'])"
    picture = f"Picture('photo', np.zeros((50, 100, 3), np.uint8), boxes={boxes}, width=9)"
    root = notebook.show(f"Player(Trace('three', panels=[{picture}], steps=[TraceStep('One.')]))")
    first, *others = (root.locator(".segw-box-label").nth(i).bounding_box() for i in range(3))
    for one, other in ((first, others[0]), (first, others[1]), others):
        middles = [abs(one[side] + one[size] / 2 - other[side] - other[size] / 2) for side, size in (("x", "width"), ("y", "height"))]
        apart = [middle >= (one[size] + other[size]) / 2 - 0.5 for middle, size in zip(middles, ("width", "height"), strict=True)]
        assert any(apart), (one, other)
    assert first["y"] + first["height"] == pytest.approx(root.locator(".segw-box").first.bounding_box()["y"], abs=4)  # the first stays
