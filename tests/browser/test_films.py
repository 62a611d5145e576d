"""Films: the right frame at each step and over each cell, at once and without a blank in between."""

import numpy as np
import pytest

from tests.browser.looking import cells_under, pixels

PALETTE = np.array([[0, 0, 0], [230, 159, 0], [0, 114, 178], [213, 94, 0], [0, 158, 115]], np.uint8)
# Frame i is a sheet of 6 × 8 pixels in the colour i, with its first row black; so a frame drawn shifted or smoothed is seen.
MAKE = """
import numpy as np
from segwidgets import Player, Trace, TraceStep
from segwidgets.panels import Film, Grid
palette = np.array([[0, 0, 0], [230, 159, 0], [0, 114, 178], [213, 94, 0], [0, 158, 115]], np.uint8)
frames = [np.concatenate([np.zeros((1, 8, 3), np.uint8), np.broadcast_to(colour, (5, 8, 3))]) for colour in palette]

def film(count=4, lossless=True, film_frames=None):
    panels = [
        Film("map", frames, note="[6, 8]", lossless=lossless, legend=list(zip("abcde", palette.tolist()))),
        Grid("cells", np.arange(4.0).reshape(2, 2), film="map", film_frames=film_frames),
    ]
    steps = [TraceStep("Nothing yet.")]
    steps += [TraceStep(f"Frame {i}.", shows={"map": i}, marks={"map": {"read": [(i, 1, i + 2, 3)]}}) for i in range(1, count + 1)]
    return Player(Trace("a film", panels=panels, steps=steps))
"""


def frame(index):
    sheet = np.zeros((6, 8, 3), np.uint8)
    sheet[1:] = PALETTE[index]
    return sheet


def shows(root, index):
    """Wait until the film shows a frame, then compare every pixel."""
    canvas = root.locator("[data-panel=map] .segw-canvas")
    root.page.wait_for_function("([canvas, index]) => canvas.dataset.frame === String(index)", arg=[canvas.element_handle(), index])
    np.testing.assert_array_equal(pixels(root, "map")[..., :3], frame(index))


@pytest.fixture
def film(notebook):
    notebook.python(MAKE)
    return lambda code="film()": notebook.show(code)


def test_each_step_shows_its_frame_pixel_by_pixel(film):
    root = film()
    shows(root, 0)
    for index in (1, 2, 3, 4):
        root.press("ArrowRight")
        shows(root, index)
    root.press("Home")
    shows(root, 0)


def test_a_step_that_shows_nothing_keeps_the_frame(film):
    root = film("Player(Trace('t', panels=[Film('map', frames, lossless=True)], steps=[TraceStep('.', shows={'map': 2}), TraceStep('.')]))")
    root.press("End")
    shows(root, 2)


def test_boxes_lie_on_it(film):
    root = film()
    root.press("ArrowRight")
    assert cells_under(root, "map", "read", 8) == [1, 1, 3, 3]


def test_over_a_cell_the_film_shows_the_cell_s_frame_and_then_again_the_step_s(film):
    root = film()
    root.press("ArrowRight")
    cells = root.locator("[data-panel=cells] .segw-cell")
    for cell in (3, 0, 2):
        cells.nth(cell).hover()
        shows(root, 1 + cell)
    root.locator(".segw-caption").hover()
    shows(root, 1)


def test_over_a_cell_without_a_frame_the_film_stays(film):
    root = film("film(film_frames={(0, 1): 4})")
    root.press("ArrowRight")
    root.locator("[data-panel=cells] .segw-cell").nth(1).hover()
    shows(root, 4)
    root.locator("[data-panel=cells] .segw-cell").nth(2).hover()
    shows(root, 1)


def test_scrubbing_back_and_forth_is_never_blank_and_decodes_each_frame_once(notebook, film):
    notebook.page.evaluate("""() => {
        window.decoded = 0;
        window.plain = window.plain ?? window.createImageBitmap;
        window.createImageBitmap = (...given) => { decoded++; return plain(...given); };
    }""")
    root = film("film(count=4)")
    shows(root, 0)
    notebook.page.wait_for_function("decoded >= 5")
    blank = """async root => {
        const slider = root.querySelector("input"), canvas = root.querySelector("[data-panel=map] .segw-canvas"), seen = [];
        for (let turn = 0; turn < 200; turn++) {
            slider.value = String((turn * 3) % 5);
            slider.dispatchEvent(new Event("input"));
            const [r, g, b, a] = canvas.getContext("2d").getImageData(4, 4, 1, 1).data;
            seen.push(a === 255 && canvas.dataset.frame === slider.value);
        }
        return seen.filter((right) => !right).length;
    }"""
    assert root.evaluate(blank) == 0  # each of 200 moves was drawn before the next
    assert notebook.page.evaluate("decoded") == 5
    notebook.page.evaluate("() => { window.createImageBitmap = window.plain; }")


def test_the_legend_names_each_colour_once(film):
    root = film()
    legend = root.locator(".segw-legend .segw-meaning")
    assert legend.all_text_contents() == list("abcde")
    colours = legend.locator(".segw-swatch").evaluate_all("all => all.map(each => getComputedStyle(each).backgroundColor)")
    assert colours == [f"rgb({r}, {g}, {b})" for r, g, b in PALETTE.tolist()]


def test_maps_have_hard_edges_and_photographs_do_not(film):
    look = "canvas => getComputedStyle(canvas).imageRendering"
    assert film().locator("[data-panel=map] .segw-canvas").evaluate(look) == "pixelated"
    assert film("film(lossless=False)").locator("[data-panel=map] .segw-canvas").evaluate(look) == "auto"


def test_a_film_plays_in_a_page_of_its_own(notebook, server, new_page):
    notebook.python(MAKE + "film().save('film.html')")
    watched = new_page(offline=True)
    watched.page.goto((server.folder / "film.html").as_uri())
    root = watched.page.locator(".segw[data-state=painted]")
    root.wait_for()
    root.press("End")
    shows(root, 4)
    root.locator("[data-panel=cells] .segw-cell").nth(1).hover()
    shows(root, 2)


def test_a_title_wider_than_its_panel_pushes_the_next_one_on(film):
    root = film(
        "Player(Trace('t', panels=[Film('map', frames, title='a title much wider than what stands below it', width=2), "
        "Grid('cells', np.ones((2, 2)))], steps=[TraceStep('.')]))"
    )
    title, grid, frame = (root.locator(each).bounding_box() for each in ("[data-panel=map] .segw-title", "[data-panel=cells]", ":scope"))
    assert title["x"] + title["width"] <= grid["x"] + 1 and grid["x"] + grid["width"] <= frame["x"] + frame["width"]
