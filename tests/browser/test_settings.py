"""Live widgets on the page: sliders, choices and dragged boxes ask the kernel, and what it answers is shown."""

import pytest
from PIL import Image

from tests.browser.looking import comes_to_lie, stage_of

MAKE = """
import numpy as np, time
from segwidgets import Trace, TraceStep
from segwidgets.live import Choice, DragBox, Live, Slider
from segwidgets.panels import Boxes, Grid, Picture

asked = []

def measured(box, times, how):
    asked.append((box, times, how))
    if times == 9:
        raise ValueError("nine times are too many")
    if box[2] > 95:
        raise ValueError("the box is too near the edge")
    width = (box[2] - box[0]) * times * (-1 if how == "negative" else 1)
    boxes = Boxes([box, (0, 0, 100, 50)], role=["read", "candidate"])
    panels = [Picture("photo", np.full((50, 100, 3), 128, np.uint8), boxes=boxes), Grid("width", np.zeros((1, 1)), empty=True)]
    return Trace("measured", panels=panels, steps=[TraceStep("A box."), TraceStep("Its width.", writes={"width": {(0, 0): width}})])

def live():
    settings = [Slider("times", 1, 9, step=1, value=1, label="how many times"), Choice("how", ("positive", "negative"), value="positive"),
                DragBox("box", panel="photo", box=0, value=(10.0, 20.0, 50.0, 40.0), label="the box")]
    return Live(measured, settings)
"""


@pytest.fixture
def live(notebook):
    notebook.python(MAKE)
    return notebook.show("live()")


def shown(root, text):
    """Waits until the width's cell shows a number. Each answer makes the cell anew."""
    read = "([root, text]) => root.querySelector('[data-panel=width] .segw-cell').textContent === text"
    root.page.wait_for_function(read, arg=[root.element_handle(), text])


def says(root, text):
    status = root.locator(".segw-status")
    root.page.wait_for_function("([status, text]) => status.textContent.includes(text)", arg=[status.element_handle(), text])


def drag(root, start, end):
    """From one pixel of the picture to another, by way of the middle."""
    outer = stage_of(root, "photo")  # once: each answer makes the stage anew
    mouse, scale = root.page.mouse, outer["width"] / 100
    (x1, y1), (x2, y2) = start, end
    for i, (x, y) in enumerate([(x1, y1), ((x1 + x2) / 2, (y1 + y2) / 2), (x2, y2)]):
        mouse.move(outer["x"] + x * scale, outer["y"] + y * scale)
        if i == 0:
            mouse.down()
    mouse.up()


def box_comes_to_lie(root, place):
    comes_to_lie(root, "photo", ".segw-box[data-box='0']", 100, place)


def test_a_slider_asks_and_the_result_is_shown(live):
    assert live.get_attribute("data-step") == "0"
    live.locator("input[data-setting=times]").fill("3")
    shown(live, "120")  # the end, where the result is
    says(live, "answered in ")
    assert live.get_attribute("data-step") == "1" and live.locator(".segw-setting-value").text_content() == "3"
    live.locator("input[data-setting=times]").fill("2")
    shown(live, "80")


def test_its_own_keys_move_a_slider_and_the_animation_s_keys_the_animation(live):
    slider = live.locator("input[data-setting=times]")
    slider.focus()
    slider.press("ArrowRight")
    shown(live, "80")
    slider.press("Home")
    shown(live, "40")
    slider.press("p")
    assert live.locator(".segw-button[aria-pressed=true]", has_text="Predict").count() == 1


def test_a_choice_is_a_button(live):
    live.get_by_role("button", name="negative").click()
    shown(live, "−40")
    pressed = live.locator("[data-setting=how][aria-pressed=true]")
    assert pressed.all_text_contents() == ["negative"]
    live.get_by_role("button", name="Reset").click()
    shown(live, "40")
    assert pressed.all_text_contents() == ["positive"] and live.get_by_role("button", name="Reset").is_disabled()


def test_a_word_of_two_parts_is_said_as_in_sentences_and_asked_as_it_is(notebook):
    notebook.python(MAKE)
    notebook.python("asked_for = []")
    notebook.python("def told(joint):\n    asked_for.append(joint)\n    return measured((10.0, 20.0, 50.0, 40.0), 1, 'positive')")
    root = notebook.show("Live(told, [Choice('joint', ('left_hand', 'right_hand'), 'left_hand')])")
    root.get_by_role("button", name="right hand", exact=True).click()
    says(root, "answered in ")
    notebook.python("assert asked_for == ['left_hand', 'right_hand'], asked_for")


def test_a_box_is_dragged_by_its_inside_and_its_corners(live):
    drag(live, (30, 30), (40, 25))
    says(live, "answered in ")
    box_comes_to_lie(live, [20, 15, 60, 35])
    drag(live, (60, 35), (90, 45))
    near = "root => Math.abs(Number(root.querySelector('[data-panel=width] .segw-cell').textContent) - 70) < 1.5"
    live.page.wait_for_function(near, arg=live.element_handle())
    box_comes_to_lie(live, [20, 15, 90, 45])
    drag(live, (50, 30), (50, 500))
    box_comes_to_lie(live, [20, 20, 90, 50])  # it stays within the picture


def test_a_box_that_is_not_to_be_dragged_stays(live):
    drag(live, (3, 3), (30, 20))
    assert live.locator(".segw-status").text_content() == ""
    assert live.locator(".segw-box.segw-draggable").count() == 1


def test_a_box_is_moved_by_the_keys_of_its_button(live):
    button = live.get_by_role("button", name="the box")
    button.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Shift+ArrowRight"):
        button.press(key)
    shown(live, "41")
    box_comes_to_lie(live, [12, 21, 53, 41])


def test_what_the_function_refuses_is_said_and_the_box_goes_back(notebook, live):
    live.locator("input[data-setting=times]").fill("9")
    says(live, "nine times are too many")
    assert live.locator(".segw-setting-value").text_content() == "1"
    drag(live, (30, 30), (80, 30))
    says(live, "the box is too near the edge")
    box_comes_to_lie(live, [35, 20, 75, 40])  # where it was accepted last, on its way
    live.locator("input[data-setting=times]").fill("2")
    says(live, "answered in ")


def test_of_many_changes_the_first_and_the_last_are_asked(notebook, live):
    slider = live.locator("input[data-setting=times]")
    slider.evaluate("""slider => { for (const value of [2, 3, 4, 5, 6]) {
        slider.value = value; slider.dispatchEvent(new Event("input", {bubbles: true})); } }""")
    shown(live, "240")
    notebook.python("assert [times for _, times, _ in asked] == [1, 2, 6], asked")


def test_while_the_kernel_is_busy_it_says_so_and_then_answers(notebook, live):
    notebook.python("time.sleep(4)", wait=False)
    live.locator("input[data-setting=times]").fill("3")
    says(live, "Waiting for the kernel")
    shown(live, "120")
    says(live, "answered in ")


def test_two_views_of_a_widget_show_the_same(notebook, live):
    notebook.python("shared = live()")
    one, other = notebook.show("shared", cell=-2), notebook.show("shared")
    other.locator("input[data-setting=times]").fill("3")
    for view in (one, other):
        shown(view, "120") if view is other else view.press("End")
    shown(one, "120")
    assert one.locator(".segw-setting-value").text_content() == "3"
    assert one.locator(".segw-status").text_content() == ""  # it asked nothing


UPLOADED = """
from segwidgets.live import Upload

def shaped(times, picture, row="0"):
    shape = (1, 1) if picture is None else picture.shape[1:]
    step = TraceStep("Its shape.", writes={"shape": {(0, i): times * side for i, side in enumerate(shape)}})
    return Trace("shaped", panels=[Grid("shape", np.zeros((1, 2)), empty=True)], steps=[TraceStep("A picture."), step])

def uploading():
    return Live(shaped, [Slider("times", 1, 9, step=1, value=1), Upload("picture", label="Your picture")])

def rows(picture=None):
    count = 2 if picture is None else picture.shape[1]
    return [Choice("row", [str(i) for i in range(count)], str(count - 1)), Slider("times", 1, 9, step=1, value=1), Upload("picture")]
"""


def test_a_picture_from_disk_goes_to_the_kernel(notebook, tmp_path):
    notebook.python(MAKE + UPLOADED)
    root = notebook.show("uploading()")

    def shows(first, second):
        wait = (
            "([root, texts]) => [...root.querySelectorAll('[data-panel=shape] .segw-cell')].map(each => each.textContent).join() === texts"
        )
        root.page.wait_for_function(wait, arg=[root.element_handle(), f"{first},{second}"])

    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (30, 20), "red").save(tmp_path / "red.jpg", exif=turned)
    (tmp_path / "words.png").write_text("no picture")
    (tmp_path / "large.png").write_bytes(bytes(8_000_001))
    files, button = root.locator("input[data-setting=picture]"), root.get_by_role("button", name="Your picture…")
    button.focus()
    with root.page.expect_file_chooser() as chooser:
        button.press("Enter")
    chooser.value.set_files(tmp_path / "red.jpg")
    shows(30, 20)
    assert root.locator(".segw-file").text_content() == "red.jpg"
    root.locator("input[data-setting=times]").fill("3")
    shows(90, 60)
    files.set_input_files(tmp_path / "words.png")
    says(root, "words.png: This is not a picture that can be read; accepted are PNG")
    assert root.locator(".segw-file").text_content() == "red.jpg"
    files.set_input_files(tmp_path / "large.png")
    says(root, "large.png has 8.0 MB; at most 8 MB can be sent")
    root.locator("input[data-setting=times]").fill("2")
    shows(60, 40)
    root.get_by_role("button", name="Reset").click()
    shows(1, 1)
    assert root.locator(".segw-file").text_content() == ""
    Image.new("RGB", (400, 6600)).save(tmp_path / "long.bmp")  # almost 8 MB
    files.set_input_files(tmp_path / "long.bmp")
    shows(6600, 400)


def test_what_can_be_chosen_follows_the_picture(notebook, tmp_path):
    notebook.python(MAKE + UPLOADED)
    root = notebook.show("Live(shaped, rows)")
    pressed = root.locator("[data-setting=row][aria-pressed=true]")
    assert root.locator("[data-setting=row]").all_text_contents() == ["0", "1"] and pressed.all_text_contents() == ["1"]
    root.locator("input[data-setting=times]").fill("3")
    says(root, "answered in ")
    Image.new("RGB", (2, 4)).save(tmp_path / "small.png")
    root.locator("button[data-setting=picture]").focus()
    root.locator("input[data-setting=picture]").set_input_files(tmp_path / "small.png")
    root.locator("[data-setting=row]", has_text="3").wait_for()
    assert root.locator("[data-setting=row]").all_text_contents() == ["0", "1", "2", "3"] and pressed.all_text_contents() == ["1"]
    assert root.locator(".segw-setting-value").text_content() == "3"
    assert root.locator("button[data-setting=picture]").evaluate("button => button.matches(':focus')")
    root.locator("[data-setting=row]", has_text="3").click()
    says(root, "answered in ")
    root.get_by_role("button", name="Reset").click()
    root.locator("[data-setting=row]", has_text="3").wait_for(state="detached")
    assert pressed.all_text_contents() == ["1"] and root.locator(".segw-file").text_content() == ""
    assert root.get_by_role("button", name="Reset").is_disabled()
