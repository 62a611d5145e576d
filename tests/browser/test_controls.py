"""Keys, buttons, slider, predict mode and full screen, as a person at the keyboard meets them."""

import pytest
import torch

import segwidgets
from tests.browser.looking import GLIDED

POOL = "segwidgets.pool(x)"  # steps 0 to 5: the input, four windows, the result
LAST = 5
CURRENT = "jupyterapp.shell.currentWidget.content"


def state(root):
    return {name: root.get_attribute(f"data-{name}") for name in ("step", "playing", "asked")}


def step(root):
    return int(root.get_attribute("data-step"))


def arrives(root, number):
    root.page.wait_for_function("([root, step]) => root.dataset.step === String(step)", arg=[root.element_handle(), number])


def button(root, name):
    return root.get_by_role("button", name=name)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["ArrowRight"], 1),
        (["ArrowRight", "ArrowRight", "ArrowLeft"], 1),
        (["ArrowLeft"], 0),
        (["End"], LAST),
        (["End", "ArrowRight"], LAST),
        (["End", "Home"], 0),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_the_keys_that_step(notebook, keys, expected):
    root = notebook.show(POOL)
    for key in keys:
        root.press(key)
    assert step(root) == expected
    assert root.locator(".segw-counter").text_content() == f"{expected} / {LAST}"


def test_space_plays_to_the_end_and_pauses(notebook):
    root = notebook.show(POOL)
    for _ in range(3):
        root.press("]")
    root.press(" ")
    assert state(root)["playing"] == "true" and button(root, "Pause").is_visible()
    root.press(" ")
    assert state(root)["playing"] == "false" and step(root) < LAST
    root.press(" ")
    arrives(root, LAST)
    root.page.wait_for_function("root => root.dataset.playing === 'false'", arg=root.element_handle())
    root.press(" ")  # at the end it starts again
    assert step(root) < LAST


def test_a_loop_starts_again_by_itself(notebook):
    root = notebook.show(POOL)
    root.press("l")
    assert button(root, "Loop").get_attribute("aria-pressed") == "true"
    for key in ("]", "]", "]", "End"):
        root.press(key)
    root.press("Home")
    root.press(" ")
    arrives(root, LAST)
    arrives(root, 1)
    assert state(root)["playing"] == "true"
    root.press("l")
    arrives(root, LAST)
    root.page.wait_for_function("root => root.dataset.playing === 'false'", arg=root.element_handle())


def test_brackets_change_the_speed(notebook):
    root = notebook.show(POOL)
    speed = button(root, "Speed")
    shown = [speed.text_content()]
    for key in ("]", "]", "]", "]", "[", "[", "[", "[", "[", "["):
        root.press(key)
        shown.append(speed.text_content())
    assert shown == ["1×", "2×", "4×", "8×", "8×", "4×", "2×", "1×", "0.5×", "0.25×", "0.25×"]


@pytest.mark.parametrize(("keys", "seconds"), [("", 1.2), ("]]]", 0.15), ("[[", 4.8)], ids=["1×", "8×", "0.25×"])
def test_a_step_stays_as_long_as_the_speed_says(new_page, tmp_path, keys, seconds):
    """On a clock that only the test moves: just before the time is up nothing has changed, just after it one step has."""
    segwidgets.pool(torch.arange(16.0).reshape(4, 4)).save(tmp_path / "pool.html")
    page = new_page().page
    page.clock.install(time=0)
    page.goto((tmp_path / "pool.html").as_uri())
    page.clock.pause_at(10_000)
    page.clock.run_for(100)
    root = page.locator(".segw[data-state=painted]")
    for key in (*keys, " "):
        root.press(key)
    page.clock.run_for(1000 * seconds - 40)
    assert step(root) == 0
    page.clock.run_for(100)
    assert step(root) == 1


def test_the_keys_stay_with_the_widget(notebook):
    """JupyterLab would add, delete, move or retype cells with these: none of them reaches it."""
    root = notebook.show(POOL)
    root.locator(".segw-caption").click()
    sources = f"() => {CURRENT}.model.sharedModel.cells.map(cell => cell.cell_type + cell.source)"
    before = notebook.page.evaluate(sources), notebook.page.evaluate(f"{CURRENT}.activeCellIndex")
    ours = ["ArrowRight", "ArrowLeft", "End", "Home", " ", " ", "[", "]", "l", "p", "f", "Escape"]
    for key in (*ours, "ArrowDown", *"abddxmyz", "Enter"):
        notebook.page.keyboard.press(key)
    assert (notebook.page.evaluate(sources), notebook.page.evaluate(f"{CURRENT}.activeCellIndex")) == before


def test_keys_with_a_modifier_stay_with_the_host(notebook):
    root = notebook.show(POOL)
    root.press("Control+ArrowRight")
    root.press("Alt+End")
    assert step(root) == 0


def test_a_click_gives_the_keys_to_the_widget(notebook):
    root = notebook.show(POOL)
    notebook.page.evaluate("document.activeElement.blur()")
    root.locator("[data-panel=input] .segw-stage").click()
    notebook.page.keyboard.press("ArrowRight")
    assert step(root) == 1
    button(root, "Step forward").click()
    assert step(root) == 2
    notebook.page.keyboard.press("End")  # not to the button that was clicked
    assert step(root) == LAST


def test_a_focused_button_answers_space_itself(notebook):
    root = notebook.show(POOL)
    button(root, "Loop").focus()
    notebook.page.keyboard.press(" ")
    assert button(root, "Loop").get_attribute("aria-pressed") == "true" and state(root)["playing"] == "false"


def test_focus_by_keyboard_is_visible(notebook):
    root = notebook.show(POOL)
    root.focus()
    notebook.page.keyboard.press("Tab")
    outline = "() => getComputedStyle(document.activeElement).outlineStyle + ' ' + getComputedStyle(document.activeElement).outlineWidth"
    assert notebook.page.evaluate("document.activeElement.className") == "segw-button"
    assert notebook.page.evaluate(outline) == "solid 2px"


def test_the_slider_scrubs(notebook):
    root = notebook.show(POOL)
    box = root.get_by_role("slider").bounding_box()
    mouse, y = notebook.page.mouse, box["y"] + box["height"] / 2
    mouse.move(box["x"] + 8, y)
    mouse.down()
    seen = []
    for part in (0.4, 0.6, 0.99):
        mouse.move(box["x"] + part * box["width"], y, steps=3)
        seen.append(step(root))
    mouse.move(box["x"] + 0.2 * box["width"], y)
    mouse.up()
    assert seen == [2, 3, LAST] and step(root) == 1
    assert root.get_by_role("slider").get_attribute("aria-valuetext") == root.locator(".segw-sentence").text_content()


def test_the_sentence_is_in_a_polite_live_region_that_is_quiet_while_playing(notebook):
    root = notebook.show(POOL)
    caption = root.locator(".segw-caption")
    assert caption.get_attribute("aria-live") == "polite"
    root.press(" ")
    assert caption.get_attribute("aria-live") == "off"
    root.press(" ")
    assert caption.get_attribute("aria-live") == "polite"


def test_predict_mode_asks_before_it_answers(notebook):
    root = notebook.show(POOL)
    pooled, chosen = root.locator("[data-panel=pooled] .segw-cell"), root.locator("[data-panel=input] .segw-mark[data-role=chosen]")
    root.press("p")
    root.press("ArrowRight")
    assert state(root) == {"step": "1", "playing": "false", "asked": "true"}
    assert pooled.all_text_contents() == ["?", "", "", ""] and chosen.count() == 0
    assert root.locator(".segw-kept").count() == 0
    assert "Guess" in root.locator(".segw-sentence").text_content()
    root.press("ArrowRight")
    assert state(root) == {"step": "1", "playing": "false", "asked": "false"}
    assert pooled.all_text_contents() == ["5", "", "", ""] and chosen.count() == 1
    root.press(" ")  # the class sets the pace: Space asks, too
    assert state(root) == {"step": "2", "playing": "false", "asked": "true"}


def test_nothing_gives_the_answer_away(notebook):
    root = notebook.show(POOL)
    root.press("p")
    root.press("ArrowRight")
    root.locator("[data-panel=input] .segw-cell").nth(10).hover()
    assert root.locator(".segw-arithmetic").text_content() == "input at row 2, column 2 = 2"
    root.locator("[data-panel=pooled] .segw-cell").first.hover()
    assert root.locator(".segw-arithmetic").text_content() == ""
    assert root.locator("[data-panel=input] .segw-mark[data-role=chosen]").count() == 0
    spoken = root.evaluate("root => [...root.querySelectorAll('*')].flatMap(each => [...each.attributes].map(a => a.value)).join(' ')")
    assert "largest" not in spoken and "write 5" not in spoken


def test_a_guess_about_a_place_does_not_show_the_place(notebook):
    """On the way up the question is into which cell of the window the value goes."""
    root = notebook.show("segwidgets.unpool(small, switches_from=x)")
    for _ in range(6):
        root.press("ArrowRight")
    root.press("p")
    root.press("ArrowRight")
    assert root.locator("[data-panel=output] .segw-cell").all_text_contents().count("?") == 4
    mark = root.locator("[data-panel=output] .segw-mark")
    mark.evaluate("mark => Promise.allSettled(mark.getAnimations().map(each => each.finished))")
    cell = root.locator("[data-panel=output] .segw-cell").first.bounding_box()
    assert mark.bounding_box()["width"] == pytest.approx(2 * cell["width"], abs=1)


def test_predict_mode_in_a_heat_map_leaves_the_cell_blank(notebook):
    root = notebook.show("segwidgets.pool(torch.linspace(0, 1.0, 400).reshape(20, 20), kernel_size=1)")
    painted = "canvas => canvas.getContext('2d').getImageData(0, 0, 20, 20).data.filter((value, i) => i % 4 === 3 && value).length"
    root.press("p")
    root.press("ArrowRight")
    assert root.locator("[data-panel=pooled] .segw-canvas").evaluate(painted) == 0
    root.press("ArrowRight")
    assert root.locator("[data-panel=pooled] .segw-canvas").evaluate(painted) == 1


def test_full_screen_and_back(notebook):
    root = notebook.show(POOL)
    size = "root => parseFloat(getComputedStyle(root.querySelector('.segw-cell')).fontSize)"
    small, screen = root.evaluate(size), notebook.page.evaluate("[innerWidth, innerHeight]")
    root.press("f")
    notebook.page.wait_for_function("document.fullscreenElement?.classList.contains('segw-full')")
    box = root.bounding_box()
    assert [box["x"], box["y"], box["width"], box["height"]] == [0, 0, *screen]
    assert root.evaluate(size) > 1.5 * small
    for part in (".segw-panels", ".segw-caption", ".segw-arithmetic", ".segw-controls"):
        inside = root.locator(part).bounding_box()
        assert inside["y"] >= 0 and inside["y"] + inside["height"] <= screen[1], part
    root.press("ArrowRight")
    assert step(root) == 1
    notebook.page.keyboard.press("Escape")
    notebook.page.wait_for_function("!document.fullscreenElement && !document.querySelector('.segw-full')")
    assert root.evaluate(size) == pytest.approx(small, abs=0.1) and step(root) == 1
    button(root, "Full screen").click()
    notebook.page.wait_for_function("document.fullscreenElement")
    root.press("f")
    notebook.page.wait_for_function("!document.fullscreenElement && !document.querySelector('.segw-full')")


def test_where_full_screen_is_refused_the_widget_fills_the_window(notebook):
    root = notebook.show(POOL)
    root.evaluate("root => { root.requestFullscreen = () => Promise.reject(new TypeError('not allowed here')); }")
    root.press("f")
    box = root.bounding_box()
    assert [box["width"], box["height"]] == notebook.page.evaluate("[innerWidth, innerHeight]")
    root.press("Escape")
    assert root.bounding_box()["width"] < box["width"]


MANY = """
import numpy as np
from segwidgets import Player, Trace, TraceStep
from segwidgets.panels import Arrow, Bars, Boxes, Picture

names = ["a sliding window", "R-CNN", "SPP-net", "Fast R-CNN", "Faster R-CNN", "YOLO", "SSD", "Mask R-CNN"]
grey = np.full((64, 64, 3), 128, np.uint8)
bars = [Bars(f"bars {i}", np.zeros(8), names, empty=True, width=9) for i in range(2)]
pictures = [Picture(f"level {2 ** i}, channel {i}", grey, width=8, boxes=Boxes([[8, 20, 40, 60]], labels=["a label"])) for i in range(9)]
steps = [TraceStep("All have run.", writes={"bars 0": {(i, 0): 1 / (i + 1) for i in range(8)}}, marks={"bars 0": {"chosen": [(4, 0)]}})]
steps.append(TraceStep("A sentence of very many words, one of which says what is seen. " * 16, arithmetic="1 + 2 = 3, " * 40))
many = Trace("many", panels=[*bars, *pictures], steps=steps, arrows=[Arrow("classify")] * 10)
"""
IN_FULL = """root => {
    const box = (each) => each.getBoundingClientRect(), all = (selector) => [...root.querySelectorAll(selector)];
    const within = ({ left, top, right, bottom }) => left >= 0 && top >= 0 && right <= innerWidth + 1 && bottom <= innerHeight + 1;
    const parts = all(".segw-panel, .segw-caption, .segw-arithmetic, .segw-settings, .segw-controls, .segw-bar > span");
    const boxes = ["panels", "caption", "arithmetic", "controls"].map((name) => box(root.querySelector(`.segw-${name}`)));
    const stacked = [...all(".segw-row").map(box), ...boxes.slice(1)];
    const over = (rows) => rows.slice(1).filter((each, i) => each.top < rows[i].bottom - 1).length;
    const bars = all(".segw-bars").map((stage) => [...stage.querySelectorAll(".segw-label")].map(box));
    return {
        outside: parts.filter((each) => !within(box(each))).map((each) => each.className + " " + each.textContent),
        covered: over(stacked) + all(".segw-row").filter((row) => box(row).right > innerWidth).length,
        bars: bars.map(over).reduce((sum, each) => sum + each), shown: bars.flat().length,
        cut: all(".segw-label").filter((label) => label.scrollWidth > label.clientWidth + 1).map((label) => label.textContent),
        picture: Math.min(...all(".segw-picture").map((stage) => box(stage).width)) / innerWidth,
    };
}"""


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1366, 768)])
def test_many_panels_bars_and_long_sentences_fit_into_a_whole_screen(notebook, width, height):
    notebook.python(MANY)
    before = notebook.page.viewport_size
    notebook.page.set_viewport_size({"width": width, "height": height})
    try:
        root = notebook.show("Player(many)")
        root.press("f")
        notebook.page.wait_for_function("document.fullscreenElement?.classList.contains('segw-full')")
        notebook.page.wait_for_function("size => innerWidth === size[0] && innerHeight === size[1]", arg=[width, height])
        for key in ("Home", "End"):  # a short sentence, and the longest
            root.press(key)
            seen = root.evaluate(IN_FULL)
            assert (seen["outside"], seen["covered"], seen["bars"], seen["cut"], seen["shown"]) == ([], 0, 0, [], 16)
            assert seen["picture"] > 0.08
        root.press("Home")
        root.locator("[data-panel='bars 0'] .segw-mark").evaluate(GLIDED)
        mark = root.locator("[data-panel='bars 0'] .segw-mark").bounding_box()
        label = root.locator("[data-panel='bars 0'] .segw-label").nth(4).bounding_box()
        assert mark["y"] + mark["height"] / 2 == pytest.approx(label["y"] + label["height"] / 2, abs=2)
        root.press("f")
        notebook.page.wait_for_function("!document.fullscreenElement && !document.querySelector('.segw-full')")
    finally:
        notebook.page.set_viewport_size(before)
