"""A picture that changes while a cell is running: views follow, and nobody who is looking at a step is taken from it."""

import pytest

from tests.browser.looking import pixels

# `grow(n)` is a trace of n steps after the first; step i shows frame i, whose colour says which it is, and writes i.
MAKE = """
import numpy as np, time
from segwidgets import Player, Trace, TraceStep
from segwidgets.panels import Film, Frame, Grid
all_frames = [Frame(np.full((6, 8, 3), 10 * i, np.uint8)) for i in range(25)]

def grow(n):
    steps = [TraceStep(f"Step {i}.", shows={"film": i}, writes={"cells": {(0, i): i}}) for i in range(1, n + 1)]
    cells = Grid("cells", np.zeros((1, 25)), empty=True, film="film", film_frames={(0, 0): 1})
    panels = [Film("film", all_frames[: n + 1], lossless=True), cells]
    return Trace("growing", panels=panels, steps=[TraceStep("Step 0."), *steps])

player = Player(grow(1))
"""
GROW = "for n in range(2, 21):\n    player.show(grow(n))\n    time.sleep(0.1)"
# Looks at the page before every frame that the browser paints: is a widget there, and has its film a picture?
WATCH = """root => {
    window.seen = { frames: 0, blank: 0, gone: 0, heights: new Set() };
    const host = root.parentElement;
    const look = () => {
        const canvas = host.querySelector(".segw [data-panel=film] .segw-canvas");
        seen.frames++;
        if (!canvas) seen.gone++;
        else if (canvas.getContext("2d").getImageData(2, 2, 1, 1).data[3] !== 255) seen.blank++;
        seen.heights.add(Math.round(host.querySelector(".segw")?.getBoundingClientRect().height));
        window.watching = requestAnimationFrame(look);
    };
    look();
}"""


@pytest.fixture
def live(notebook):
    notebook.python(MAKE)
    return notebook.show("player")


def busy(notebook, code):
    notebook.python(code, wait=False)
    notebook.page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'")


def arrives(root, name, value):
    root.page.wait_for_function(
        "([root, name, value]) => root.getAttribute(name) === String(value)", arg=[root.element_handle(), name, value]
    )


def colour(root):
    return int(pixels(root, "film")[2, 2, 0])


def last(root):
    return int(root.get_by_role("slider").get_attribute("max"))


def test_who_stands_at_the_end_follows_while_the_cell_is_running(notebook, live):
    live.press("End")
    busy(notebook, GROW)
    for step in (5, 12):
        live.page.wait_for_function("([root, step]) => Number(root.dataset.step) >= step", arg=[live.element_handle(), step])
        assert notebook.status() == "busy"
    arrives(live, "data-step", 20)
    assert (last(live), colour(live), live.locator(".segw-counter").text_content()) == (20, 200, "20 / 20")
    assert live.locator("[data-panel=cells] .segw-cell").nth(20).text_content() == "20"


def test_who_looks_at_a_step_stays_there(notebook, live):
    notebook.python("player.show(grow(4))")
    live.page.wait_for_function("root => root.querySelector('input').max === '4'", arg=live.element_handle())
    live.press("Home")
    live.press("ArrowRight")
    live.press("ArrowRight")
    busy(notebook, GROW.replace("range(2", "range(5"))
    live.page.wait_for_function("root => Number(root.querySelector('input').max) >= 10", arg=live.element_handle())
    assert (live.get_attribute("data-step"), colour(live)) == ("2", 20)
    live.press("ArrowRight")  # the keys still work, and go on from there
    live.page.wait_for_function("root => root.querySelector('input').max === '20'", arg=live.element_handle())
    assert (live.get_attribute("data-step"), colour(live), last(live)) == ("3", 30, 20)


def test_a_shorter_trace_takes_one_to_its_end(notebook, live):
    notebook.python("player.show(grow(9))")
    live.page.wait_for_function("root => root.querySelector('input').max === '9'", arg=live.element_handle())
    live.press("End")
    live.press("ArrowLeft")
    notebook.python("player.show(grow(3))")
    arrives(live, "data-step", 3)
    assert (last(live), colour(live)) == (3, 30)


def test_playing_goes_on_into_what_has_come(notebook, live):
    notebook.python("player.show(grow(5))")
    live.page.wait_for_function("root => root.querySelector('input').max === '5'", arg=live.element_handle())
    live.press("Home")
    for key in ("]", "]", "]", " "):
        live.press(key)
    notebook.python("player.show(grow(20))")
    arrives(live, "data-step", 20)
    arrives(live, "data-playing", "false")


def test_nothing_flickers_and_nothing_jumps(notebook, live):
    live.press("End")
    live.evaluate(WATCH)
    busy(notebook, GROW)
    arrives(live, "data-step", 20)
    seen = notebook.page.evaluate("() => { cancelAnimationFrame(watching); return { ...seen, heights: [...seen.heights] }; }")
    assert seen["frames"] > 20 and (seen["blank"], seen["gone"]) == (0, 0)
    assert max(seen["heights"]) - min(seen["heights"]) <= 1


def test_only_new_frames_are_decoded(notebook, live):
    notebook.page.evaluate("""() => {
        window.plain = window.plain ?? window.createImageBitmap;
        window.decoded = 0;
        window.createImageBitmap = (...given) => { decoded++; return plain(...given); };
    }""")
    live.press("End")
    busy(notebook, GROW)
    arrives(live, "data-step", 20)
    assert notebook.page.evaluate("decoded") <= 19 + 3  # frames 2 to 20; one that is on its way when the next comes may be decoded twice
    notebook.page.evaluate("() => { window.createImageBitmap = window.plain; }")


def test_focus_full_screen_and_speed_outlast_a_new_trace(notebook, live):
    live.press("]")
    live.press("f")
    notebook.page.wait_for_function("document.fullscreenElement")
    notebook.python("player.show(grow(3))")
    live.page.wait_for_function("root => root.querySelector('input').max === '3'", arg=live.element_handle())
    assert notebook.page.evaluate("document.activeElement === document.fullscreenElement && document.activeElement.matches('.segw')")
    assert live.get_by_role("button", name="Speed").text_content() == "2×"
    live.press("f")
    notebook.page.wait_for_function("!document.fullscreenElement")


def test_the_cell_under_the_pointer_stays_the_one_that_is_explained(notebook, live):
    live.press("End")
    live.locator("[data-panel=cells] .segw-cell").first.hover()
    arrives(live, "data-hover", "cells:0")
    notebook.python("player.show(grow(7))")
    live.page.wait_for_function("root => root.querySelector('input').max === '7'", arg=live.element_handle())
    assert colour(live) == 10  # the cell's frame, not the last
    live.locator(".segw-caption").hover()
    assert colour(live) == 70


def test_two_views_follow_each_by_its_own_rule(notebook):
    notebook.python(MAKE + "player.show(grow(4))")
    first, second = notebook.show("player", cell=-2), notebook.show("player", cell=-1)
    second.press("End")
    first.press("Home")
    notebook.python("player.show(grow(6))")
    arrives(second, "data-step", 6)
    first.page.wait_for_function("root => root.querySelector('input').max === '6'", arg=first.element_handle())
    assert (first.get_attribute("data-step"), colour(first), colour(second)) == ("0", 0, 60)
    notebook.clear(-1)
    notebook.clear(-2)


def test_listeners_do_not_pile_up(notebook, live):
    before = notebook.page.evaluate("listening.length")
    notebook.python("for n in range(2, 12):\n    player.show(grow(n))\n    time.sleep(0.05)")
    live.page.wait_for_function("root => root.querySelector('input').max === '11'", arg=live.element_handle())
    assert notebook.page.evaluate("listening.length") == before
