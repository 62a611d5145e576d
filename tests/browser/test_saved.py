"""What is left when the kernel is gone: in JupyterLab, in nbconvert's page, in a page of its own."""

import hashlib
import json
import shutil
import time

import nbformat
import pytest
from nbconvert import HTMLExporter

from course.notebooks import STILL, WIDGET_VIEW
from tests.browser.lab import Notebook

SECONDS_APART = 2.5  # longer than any frame but the last is shown


@pytest.fixture(scope="package")
def saved(opened, server):
    """The notebook as JupyterLab's own save command writes it."""
    for cell in (2, 3, 4):
        opened.output(cell).locator(".segw[data-state=painted]").wait_for()
    opened.clear(-1)
    opened.clear(-2)
    opened.command("docmanager:save")
    return server.folder / "widgets.ipynb"


def moves(image):
    """Whether a picture is there, and whether it looks different a moment later."""
    image.scroll_into_view_if_needed()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    shots = [hashlib.sha256(image.screenshot()).digest()]
    for _ in range(2):  # the last frame lasts 3 s: one more look
        time.sleep(SECONDS_APART)
        shots.append(hashlib.sha256(image.screenshot()).digest())
        if shots[-1] != shots[0]:
            return True
    return False


def test_a_saved_notebook_keeps_stills_and_no_dead_views(saved):
    outputs = [output for cell in json.loads(saved.read_text())["cells"] for output in cell.get("outputs", [])]
    stills = [output for output in outputs if STILL in output.get("data", {})]
    assert len(stills) == 3
    assert not any(WIDGET_VIEW in output.get("data", {}) for output in outputs)
    assert all("digest" in "".join(output["data"]["text/plain"]) for output in stills)


def test_reopened_without_a_kernel_the_stills_move(saved, server, browser):
    shutil.copy(saved, server.folder / "reopened.ipynb")
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    again = Notebook(context, server, "reopened.ipynb", kernel=False)
    images = again.page.locator(".jp-OutputArea img")
    images.nth(2).wait_for()
    assert again.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session") is None
    assert again.page.locator(".segw").count() == 0 and images.count() == 3
    assert moves(images.nth(0))
    widths = images.evaluate_all("images => images.map(image => [image.width, image.closest('.jp-OutputArea').clientWidth])")
    assert all(0 < width <= room for width, room in widths)
    context.close()
    # JupyterLab itself stumbles over the missing kernel; of ours nothing runs here.
    assert [complaint for complaint in again.complaints if "kernel" not in complaint] == []


def test_nbconvert_s_page_moves_offline(saved, tmp_path, new_page):
    html, _ = HTMLExporter().from_notebook_node(nbformat.read(saved, as_version=4))
    (tmp_path / "lesson.html").write_text(html, encoding="utf-8")
    watched = new_page(offline=True)
    watched.page.route("http*://**", lambda route: route.abort())
    watched.page.goto((tmp_path / "lesson.html").as_uri())
    images = watched.page.locator(".jp-OutputArea img")
    assert images.count() == 3 and moves(images.nth(0))
    # nbconvert's own template asks for MathJax and RequireJS; that is not ours to change, and the stills need neither.
    watched.complaints.clear()


def test_a_page_of_its_own_plays_from_a_file(opened, server, new_page):
    opened.python("segwidgets.unpool(small, switches_from=x).save('alone.html')")
    watched = new_page(offline=True)
    watched.page.goto((server.folder / "alone.html").as_uri())
    root = watched.page.locator(".segw[data-state=painted]")
    root.wait_for()
    last = int(root.get_by_role("slider").get_attribute("max"))
    for key in ("]", "]", "]", " "):
        root.press(key)
    watched.page.wait_for_function("last => document.querySelector('.segw').dataset.step === String(last)", arg=last)
    texts = root.locator("[data-panel=output] .segw-cell").all_text_contents()
    assert texts == ["0", "0", "2", "0", "0", "1", "0", "0", "0", "0", "0", "0", "3", "0", "0", "4"]


def test_a_hostile_title_stays_text(opened, server, new_page):
    opened.python(
        "from segwidgets import Player, Trace, TraceStep\n"
        "from segwidgets.panels import Grid\n"
        "evil = '</script><img src=x onerror=\"document.title = 1\"><script>document.title = 2</script>'\n"
        "grid = Grid('a', torch.ones(2, 2).numpy(), title=evil, note=evil)\n"
        "Trace(evil, panels=[grid], steps=[TraceStep(evil, arithmetic=evil)]).save('evil.html')"
    )
    watched = new_page(offline=True)
    watched.page.goto((server.folder / "evil.html").as_uri())
    root = watched.page.locator(".segw[data-state=painted]")
    root.wait_for()
    assert watched.page.title().startswith("</script><img") and watched.page.locator("img").count() == 0
    assert root.locator(".segw-sentence").text_content().startswith("</script><img")


def test_a_page_of_its_own_follows_a_dark_system_and_the_wish_for_less_motion(opened, server, new_page):
    opened.python("segwidgets.pool(x).save('alone.html')")
    watched = new_page(color_scheme="dark", reduced_motion="reduce")
    watched.page.goto((server.folder / "alone.html").as_uri())
    root = watched.page.locator(".segw[data-state=painted]")
    root.wait_for()
    assert (root.get_attribute("data-theme"), root.get_attribute("data-step")) == ("dark", "5")
