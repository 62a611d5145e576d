"""The X-ray on the page: a detection is chosen, a box is dragged in place of a proposal, a picture is brought, a pixel is clicked."""

import pytest
from PIL import Image

from tests.browser.looking import comes_to_lie, stage_of

SET_UP = """
from course.data.shapes import CLASSES, Shapes
from course.recipes import trained
shape = Shapes("test", count=4)[0][0]
"""


@pytest.fixture
def detector(notebook):
    notebook.python(SET_UP)
    root = notebook.show('segwidgets.xray(trained("faster_rcnn"), shape, classes=CLASSES)')
    root.press("End")
    return root


def tells(root, words, arithmetic=False):
    element = root.locator(".segw-arithmetic" if arithmetic else ".segw-caption")
    root.page.wait_for_function("([element, words]) => element.textContent.includes(words)", arg=[element.element_handle(), words])


def test_a_box_is_dragged_in_place_of_a_proposal(detector):
    tells(detector, "Back from")
    move = detector.get_by_role("button", name="Move your box")
    assert not move.is_visible()  # there is nothing to be seen of it
    detector.get_by_role("button", name="your box", exact=True).click()
    tells(detector, "In all, your box is")
    tells(detector, "your box (32, 32, 96, 96)", arithmetic=True)
    assert move.is_visible()
    outer, mouse = stage_of(detector, "photograph"), detector.page.mouse
    scale = outer["width"] / 128
    mouse.move(outer["x"] + 40 * scale, outer["y"] + 90 * scale)  # within it, away from what became of it
    mouse.down()
    mouse.move(outer["x"] + 52 * scale, outer["y"] + 90 * scale)
    mouse.move(outer["x"] + 64 * scale, outer["y"] + 74 * scale)
    mouse.up()
    comes_to_lie(detector, "photograph", ".segw-box[data-box='0']", 128, [56, 16, 120, 80], near=1)
    tells(detector, "your box (5", arithmetic=True)
    detector.locator("button[data-setting=detection]").first.click()
    tells(detector, "Back from")
    assert not move.is_visible()


def test_a_picture_of_the_viewer_s_goes_through_the_detector(detector, tmp_path):
    Image.new("RGB", (96, 64), "white").save(tmp_path / "white.png")
    detector.locator("input[data-setting=picture]").set_input_files(tmp_path / "white.png")
    note = "root => root.querySelector('[data-panel=photograph] .segw-note').textContent === '[3, 64, 96]'"
    detector.page.wait_for_function(note, arg=detector.element_handle())
    assert detector.get_by_role("button", name="your box", exact=True).count() == 1
    detector.get_by_role("button", name="Reset").click()
    detector.page.wait_for_function(note.replace("64, 96", "128, 128"), arg=detector.element_handle())
    tells(detector, "Back from")


def test_a_pixel_of_a_segmentation_is_clicked(notebook):
    notebook.python(SET_UP)
    root = notebook.show('segwidgets.xray(trained("fcn"), shape, classes=CLASSES)')
    root.press("End")
    outer = stage_of(root, "photograph")
    scale = outer["width"] / 128
    root.page.mouse.click(outer["x"] + 10.5 * scale, outer["y"] + 100.5 * scale)
    tells(root, "The pixel at row 100, column 10 is background with")
    button = root.locator("button[data-setting=pixel]")
    button.press("ArrowDown")
    tells(root, "The pixel at row 101, column 10 is")
