"""Regions that grow, on the page: their colours, their outlines, what is said over them; and a question does not give the answer away."""

import pytest

from tests.browser.looking import pixels, stage_of

MAKE = """
import numpy as np
from segwidgets import Player, Trace, TraceStep
from segwidgets.panels import Boxes, Picture, Segmentation

def growing():
    labels = np.repeat(np.arange(3), 20) * np.ones((30, 1), int)  # three strips, 20 wide
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [90, 90, 90], [10, 10, 10]], np.uint8)
    parts = {(0, 1): 0.5, (1, 2): 0.25, (2, 3): 0.125}
    panel = Segmentation("regions", labels, colours, pairs={pair: {"colour": part, "size": 0.5} for pair, part in parts.items()})
    tree = Picture("tree", None, size=(30, 60), boxes=Boxes([[10, 5, 50, 25]], role=None))
    marks = {"regions": {"read": [(0, 0), (1, 0)], "write": [(0, 0)]}}
    steps = [
        TraceStep("Three."),
        TraceStep(
            "0 and 1 become 3.",
            marks,
            {"regions": {(0, 0): 3, (1, 0): 3}},
            arithmetic="0.5 + 0.5 = 1",
            boxes={"tree": {0: "candidate"}},
        ),
        TraceStep("One is left.", writes={"regions": {(0, 0): 4, (1, 0): 4, (2, 0): 4}}),
    ]
    return Player(Trace("growing", panels=[panel, tree], steps=steps))
"""
MIDDLES = (10, 30, 50)  # of the strips


@pytest.fixture
def growing(notebook):
    notebook.python(MAKE)
    return notebook.show("growing()")


def colours(root):
    return [tuple(pixels(root, "regions")[15, x, :3].tolist()) for x in MIDDLES]


def outlined(root):
    """The columns, half way down, that an outline covers, each with its colour."""
    read = """canvas => [...canvas.getContext("2d").getImageData(0, 15, canvas.width, 1).data]"""
    row = root.locator("[data-panel=regions] .segw-lit").evaluate(read)
    return {x: tuple(row[4 * x : 4 * x + 3]) for x in range(60) if row[4 * x + 3]}


def role(root, name):
    value = root.evaluate("(root, name) => getComputedStyle(root).getPropertyValue('--segw-' + name).trim()", name)
    return tuple(int(value[i : i + 2], 16) for i in (1, 3, 5))


def point(root, panel, x, y):
    box = stage_of(root, panel)
    root.page.mouse.move(box["x"] + box["width"] * x / 60, box["y"] + box["height"] * y / 30)


def said(root):
    return root.locator(".segw-arithmetic").inner_text()


def test_regions_have_their_colours_and_what_merges_its_outline(growing):
    assert colours(growing) == [(200, 0, 0), (0, 200, 0), (0, 0, 200)] and outlined(growing) == {}
    growing.press("ArrowRight")
    assert colours(growing) == [(90, 90, 90)] * 2 + [(0, 0, 200)]
    found = outlined(growing)
    assert {x for x, colour in found.items() if colour == role(growing, "read")} == {18, 19, 20, 21}  # between the two, as it was
    assert {x for x, colour in found.items() if colour == role(growing, "write")} == {38, 39}  # around both
    growing.press("End")
    assert colours(growing) == [(10, 10, 10)] * 3
    growing.press("Home")
    assert colours(growing) == [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def test_over_a_region_its_similarities_are_said_and_its_neighbours_marked(growing):
    point(growing, "regions", 30, 15)
    assert said(growing) == "most alike of its neighbours: colour 0.5 + size 0.5 = 1 · the other neighbours: 0.75"
    found = outlined(growing)
    assert found[18] == role(growing, "chosen") and found[20] == role(growing, "write") and found[40] == role(growing, "read")
    growing.press("ArrowRight")
    point(growing, "regions", 50, 15)
    assert said(growing) == "most alike of its neighbours: colour 0.125 + size 0.5 = 0.625"
    growing.press("End")
    point(growing, "regions", 30, 15)
    assert said(growing) == "regions: this region has no neighbour"


def test_over_a_box_the_merge_that_made_it_is_shown_as_it_was(growing):
    growing.press("End")
    point(growing, "tree", 30, 15)
    assert said(growing) == "box 0: 0.5 + 0.5 = 1"
    assert {x for x, colour in outlined(growing).items() if colour == role(growing, "read")} == {18, 19, 20, 21}


def test_while_the_class_guesses_the_regions_stay_as_they_were(growing):
    growing.press("p")
    growing.press("ArrowRight")
    assert growing.get_attribute("data-asked") == "true"
    assert growing.locator(".segw-caption").inner_text() == "Which regions become one? Guess, then press → to see."
    assert colours(growing) == [(200, 0, 0), (0, 200, 0), (0, 0, 200)] and outlined(growing) == {}
    point(growing, "regions", 10, 15)
    assert said(growing) == "most alike of its neighbours: colour 0.5 + size 0.5 = 1"  # comparing is how one guesses
    growing.press("ArrowRight")
    assert colours(growing) == [(90, 90, 90)] * 2 + [(0, 0, 200)]
    growing.press("p")
