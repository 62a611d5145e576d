"""A place that is clicked: on a picture that is divided into cells, and on a grid. Its outline follows at once, the kernel after it."""

import pytest

from tests.browser.looking import stage_of
from tests.browser.test_settings import says

MAKE = """
import numpy as np, time
from segwidgets import Trace, TraceStep
from segwidgets.live import Live, PickCell
from segwidgets.panels import Grid, Picture

picked = []

def found(place, other):
    picked.append((place, other))
    if place == (3, 0):
        raise ValueError("there is nothing to see at row 3, column 0")
    sums = np.add.outer(10.0 * np.arange(4), np.arange(5)) + 100 * place[0] + other[1]
    panels = [Picture("photo", np.full((50, 100, 3), 128, np.uint8)), Grid("sums", sums)]
    return Trace("found", panels=panels, steps=[TraceStep("First."), TraceStep("Last.")])

def picking():
    photo = PickCell("place", panel="photo", rows=4, columns=7, value=(1, 2), size=(16, 15), label="place")  # the last ones are cut off
    return Live(found, [photo, PickCell("other", panel="sums", rows=4, columns=5, value=(0, 0), label="other")])
"""


@pytest.fixture
def picking(notebook):
    notebook.python(MAKE)
    return notebook.show("picking()")


def click(root, panel, x, y, across):
    """At a point of a panel that is `across` pixels or cells wide."""
    box = stage_of(root, panel)
    scale = box["width"] / across
    root.page.mouse.click(box["x"] + x * scale, box["y"] + y * scale)


def outline(root, panel, across):
    """Where the outline of the picked cell lies, in pixels or cells of a panel that is `across` wide. Each answer makes the panel anew."""
    read = """([root, panel]) => {
        const boxOf = (part) => root.querySelector(`[data-panel=${panel}] .segw-${part}`)?.getBoundingClientRect();
        const [outer, inner] = [boxOf("stage"), boxOf("pick")];
        return inner?.width ? [inner.left - outer.left, inner.top - outer.top, inner.width, inner.height, outer.width] : null;
    }"""
    *places, width = root.page.wait_for_function(read, arg=[root.element_handle(), panel]).json_value()
    left, top, right, bottom = (place * across / width for place in places)
    return [left, top, left + right, top + bottom]


def first(root, text):
    """Waits until the first cell of the grid shows a number. Each answer makes the cell anew."""
    read = "([root, text]) => root.querySelector('[data-panel=sums] .segw-cell').textContent === text"
    root.page.wait_for_function(read, arg=[root.element_handle(), text])


def button(root, name):
    return root.locator(f"button[data-setting={name}]")


def test_a_click_on_the_picture_picks_the_cell_and_the_kernel_is_asked(notebook, picking):
    assert outline(picking, "photo", 100) == pytest.approx([30, 16, 45, 32], abs=0.3)
    click(picking, "photo", 32, 34, 100)
    first(picking, "200")
    says(picking, "answered in ")
    assert picking.get_attribute("data-step") == "1"  # the end, where the result is
    assert outline(picking, "photo", 100) == pytest.approx([30, 32, 45, 48], abs=0.3)
    assert button(picking, "place").text_content() == "place: row 2, column 2"
    click(picking, "photo", 98, 49, 100)
    says(picking, "answered in ")
    assert outline(picking, "photo", 100) == pytest.approx([90, 48, 100, 50], abs=0.3)  # what of it lies in the picture
    notebook.python("assert picked[-1] == ((3, 6), (0, 0)), picked")


def test_a_click_on_the_cell_that_is_picked_asks_nothing(notebook, picking):
    click(picking, "photo", 40, 20, 100)
    picking.page.wait_for_timeout(300)
    assert picking.locator(".segw-status").text_content() == ""
    notebook.python("assert len(picked) == 1, picked")


def test_a_cell_of_a_grid_is_picked_too(picking):
    click(picking, "sums", 3.5, 2.2, 5)
    first(picking, "103")
    assert outline(picking, "sums", 5) == pytest.approx([3, 2, 4, 3], abs=0.05)
    assert outline(picking, "photo", 100) == pytest.approx([30, 16, 45, 32], abs=0.3)
    picking.get_by_role("button", name="Reset").click()
    first(picking, "100")
    assert outline(picking, "sums", 5) == pytest.approx([0, 0, 1, 1], abs=0.05)


def test_the_arrow_keys_move_the_cell_while_its_button_has_the_focus(picking):
    place = button(picking, "place")
    assert place.get_attribute("aria-label") == "place: row 1, column 2; the arrow keys move it"
    place.focus()
    assert picking.locator(".segw-pick.segw-focused").count() == 1
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp", "ArrowUp", "ArrowUp"):
        place.press(key)
    first(picking, "0")
    says(picking, "answered in ")
    assert outline(picking, "photo", 100) == pytest.approx([45, 0, 60, 16], abs=0.3)
    assert place.get_attribute("aria-label") == "place: row 0, column 3; the arrow keys move it"
    focused = "button => document.activeElement === button && button.matches(':focus-visible')"
    assert place.evaluate(focused) and picking.locator("[data-panel=photo] .segw-pick.segw-focused").count() == 1
    place.press("Tab")
    assert picking.locator("[data-panel=photo] .segw-focused").count() == 0


def test_with_the_pointer_down_the_cell_follows_it(notebook, picking):
    box = stage_of(picking, "photo")
    mouse, scale = picking.page.mouse, box["width"] / 100
    mouse.move(box["x"] + 5 * scale, box["y"] + 5 * scale)
    mouse.down()
    mouse.move(box["x"] + 20 * scale, box["y"] + 5 * scale)
    mouse.move(box["x"] + 500 * scale, box["y"] + 20 * scale)  # far beside the picture
    mouse.up()
    first(picking, "100")
    says(picking, "answered in ")
    assert button(picking, "place").text_content() == "place: row 1, column 6"
    mouse.move(box["x"] + 20 * scale, box["y"] + 40 * scale)
    assert button(picking, "place").text_content() == "place: row 1, column 6"
    notebook.python("assert picked[1][0] == (0, 0) and picked[-1][0] == (1, 6) and len(picked) <= 4, picked")


def test_of_many_cells_the_first_and_the_last_are_asked(notebook, picking):
    button(picking, "place").evaluate("""button => { for (let i = 0; i < 4; i++)
        button.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true})); }""")
    says(picking, "answered in ")
    first(picking, "100")
    picking.page.wait_for_timeout(300)
    notebook.python("assert [place for place, _ in picked] == [(1, 2), (1, 3), (1, 6)], picked")


def test_what_the_function_refuses_is_said_and_the_cell_goes_back(picking):
    click(picking, "photo", 5, 49, 100)
    says(picking, "there is nothing to see at row 3, column 0")
    assert button(picking, "place").text_content() == "place: row 1, column 2"
    assert outline(picking, "photo", 100) == pytest.approx([30, 16, 45, 32], abs=0.3)


def test_two_views_follow_each_other(notebook, picking):
    notebook.python("shared = picking()")
    one, other = notebook.show("shared", cell=-2), notebook.show("shared")
    click(other, "photo", 5, 34, 100)
    for view in (one, other):
        first(view, "200")
        view.page.wait_for_function("button => button.textContent === 'place: row 2, column 0'", arg=button(view, "place").element_handle())
        assert outline(view, "photo", 100) == pytest.approx([0, 32, 15, 48], abs=0.3)
    assert one.locator(".segw-status").text_content() == ""  # it asked nothing


def test_the_anchors_of_the_place_that_is_clicked(notebook):
    notebook.python("truth = [[60, 20, 100, 60]]")
    code = "segwidgets.anchors(torch.full((3, 180, 360), 0.5), truth, stride=40, sizes=(40,), aspect_ratios=(1,), cell=(0, 0))"
    root = notebook.show(code)
    click(root, "photo", 85, 45, 360)  # in the cell whose upper-left corner is x 80, y 40
    says(root, "answered in ")
    digits = "root => [...root.querySelectorAll('[data-panel=iou] .segw-cell')].map(cell => cell.textContent).join() === '1,0'"
    root.page.wait_for_function(digits, arg=root.element_handle())
    root.locator(".segw-box[data-box='0'][data-role=truth]").wait_for()
    assert outline(root, "photo", 360) == pytest.approx([80, 40, 120, 80], abs=0.7)
