"""The box codec on the page: both boxes can be dragged, the numbers follow, and the moved box glides to the truth."""

import pytest

from tests.browser.looking import digits

SHOW = "segwidgets.box_codec((20, 30, 80, 110), (50, 40, 170, 120), image=torch.full((3, 150, 200), 0.5))"


@pytest.fixture
def codec(notebook):
    return notebook.show(SHOW)


def drag(root, start, end):
    """From one pixel of the picture to another."""
    root.scroll_into_view_if_needed()
    outer = root.locator("[data-panel=boxes] .segw-stage").bounding_box()
    scale = outer["width"] / 200
    root.page.mouse.move(outer["x"] + start[0] * scale, outer["y"] + start[1] * scale)
    root.page.mouse.down()
    root.page.mouse.move(outer["x"] + end[0] * scale, outer["y"] + end[1] * scale, steps=3)
    root.page.mouse.up()
    status = root.locator(".segw-status")
    root.page.wait_for_function("status => status.textContent.includes('answered in ')", arg=status.element_handle())


def lies(root, box):
    """Once it has glided to its place."""
    shown = root.locator(f"[data-panel=boxes] .segw-box[data-box='{box}']")
    shown.evaluate("box => Promise.allSettled(box.getAnimations().map(each => each.finished))")
    outer, inner = root.locator("[data-panel=boxes] .segw-stage").bounding_box(), shown.bounding_box()
    scale = 200 / outer["width"]
    left, top = (inner["x"] - outer["x"]) * scale, (inner["y"] - outer["y"]) * scale
    return [left, top, left + inner["width"] * scale, top + inner["height"] * scale]


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
    assert lies(codec, 1) == pytest.approx([30, 20, 90, 100], abs=1)
    assert lies(codec, 2) == pytest.approx([50, 40, 170, 120], abs=1)


def test_the_truth_is_dragged_by_its_corner(codec):
    codec.press("End")
    drag(codec, (170, 120), (140, 145))
    waits(codec, "sides", 5, 89, 91)  # its width
    assert lies(codec, 0) == pytest.approx([50, 40, 140, 145], abs=1)
    assert lies(codec, 2) == pytest.approx([50, 40, 140, 145], abs=1)


def test_the_moved_box_glides_from_the_proposal_to_the_truth(codec):
    assert codec.locator("[data-panel=boxes] .segw-box").count() == 2
    for _ in range(5):
        codec.press("ArrowRight")
    assert lies(codec, 2) == pytest.approx([20, 30, 80, 110], abs=1)
    codec.press("ArrowRight")
    assert lies(codec, 2) == pytest.approx([80, 40, 140, 120], abs=1)  # as large as before, in its new place
    codec.press("ArrowRight")
    assert lies(codec, 2) == pytest.approx([50, 40, 170, 120], abs=1)
    assert codec.locator("[data-panel=boxes] .segw-box[data-box='2']").evaluate("box => getComputedStyle(box).transitionDuration") != "0s"
