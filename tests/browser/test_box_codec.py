"""The box codec on the page: both boxes can be dragged, the numbers follow, and the moved box glides to the truth."""

import pytest

from tests.browser.looking import GLIDED, comes_to_lie, digits, lies, stage_of

SHOW = "segwidgets.box_codec((20, 30, 80, 110), (50, 40, 170, 120), image=torch.full((3, 150, 200), 0.5))"


@pytest.fixture
def codec(notebook):
    return notebook.show(SHOW)


def drag(root, start, end):
    """From one pixel of the picture to another."""
    outer = stage_of(root, "boxes")
    scale = outer["width"] / 200
    root.page.mouse.move(outer["x"] + start[0] * scale, outer["y"] + start[1] * scale)
    root.page.mouse.down()
    root.page.mouse.move(outer["x"] + end[0] * scale, outer["y"] + end[1] * scale, steps=3)
    root.page.mouse.up()
    status = root.locator(".segw-status")
    root.page.wait_for_function("status => status.textContent.includes('answered in ')", arg=status.element_handle())


def box_lies(root, box):
    """Once it has glided to its place."""
    mark = f".segw-box[data-box='{box}']"
    root.locator(f"[data-panel=boxes] {mark}").evaluate(GLIDED)
    return lies(root, "boxes", mark, 200)


def box_comes_to_lie(root, box, place):
    comes_to_lie(root, "boxes", f".segw-box[data-box='{box}']", 200, place, near=1)


def waits(root, panel, cell, low, high):
    read = """([root, panel, cell, low, high]) => {
        const shown = root.querySelectorAll(`[data-panel=${panel}] .segw-cell`)[cell].textContent.replace("−", "-");
        return shown !== "" && Number(shown) >= low && Number(shown) <= high;
    }"""
    root.page.wait_for_function(read, arg=[root.element_handle(), panel, cell, low, high])


def test_rows_and_columns_have_their_names(codec):
    names = {panel: codec.locator(f"[data-panel={panel}] .segw-index").all_text_contents() for panel in ("sides", "deltas", "moved")}
    assert names["sides"] == ["P", "G", "x", "y", "w", "h"]
    assert [name.strip() for name in names["deltas"]] == ["", "tx", "ty", "tw", "th"]


def test_the_dragged_proposal_changes_the_numbers(codec):
    assert digits(codec, "deltas").isnan().all()
    drag(codec, (50, 70), (60, 60))
    waits(codec, "sides", 0, 59, 61)  # its centre, at the end, where the result is
    waits(codec, "deltas", 0, 0.8, 0.86)  # (110 − 60) / 60
    box_comes_to_lie(codec, 1, [30, 20, 90, 100])
    box_comes_to_lie(codec, 2, [50, 40, 170, 120])


def test_the_truth_is_dragged_by_its_corner(codec):
    codec.press("End")
    drag(codec, (170, 120), (140, 145))
    waits(codec, "sides", 5, 89, 91)  # its width
    box_comes_to_lie(codec, 0, [50, 40, 140, 145])
    box_comes_to_lie(codec, 2, [50, 40, 140, 145])


def test_the_moved_box_glides_from_the_proposal_to_the_truth(codec):
    assert codec.locator("[data-panel=boxes] .segw-box").count() == 2
    for _ in range(5):
        codec.press("ArrowRight")
    box_comes_to_lie(codec, 2, [20, 30, 80, 110])
    codec.press("ArrowRight")
    box_comes_to_lie(codec, 2, [80, 40, 140, 120])  # as large as before, in its new place
    codec.press("ArrowRight")
    box_comes_to_lie(codec, 2, [50, 40, 170, 120])
    assert codec.locator("[data-panel=boxes] .segw-box[data-box='2']").evaluate("box => getComputedStyle(box).transitionDuration") != "0s"
