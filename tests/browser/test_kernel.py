"""Playing needs no kernel; a new trace reaches every view; a view that goes leaves nothing behind."""

import pytest

FAST = ("]", "]", "]")  # 8 times


def arrives(root, step):
    root.page.wait_for_function("([root, step]) => root.dataset.step === String(step)", arg=[root.element_handle(), step])


def shown(root, panel):
    return root.locator(f"[data-panel={panel}] .segw-cell").all_text_contents()


def test_playing_scrubbing_and_hovering_send_nothing_to_the_kernel(notebook):
    root = notebook.show("segwidgets.unpool(small, switches_from=x)")
    notebook.python("pass")
    assert notebook.sent  # so that silence below means something
    notebook.sent.clear()
    for key in (*FAST, " "):
        root.press(key)
    arrives(root, root.get_by_role("slider").get_attribute("max"))
    for cell in range(0, 16, 3):
        root.locator("[data-panel=output] .segw-cell").nth(cell).hover()
    root.get_by_role("slider").click()
    root.press("p")
    root.press("ArrowRight")
    root.press("f")
    root.press("f")
    assert notebook.sent == []


def test_it_plays_while_a_cell_is_running(notebook):
    root = notebook.show("segwidgets.pool(x)")
    notebook.python("import time; time.sleep(2)", wait=False)
    notebook.page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'")
    for key in (*FAST, " "):
        root.press(key)
    arrives(root, 5)
    assert notebook.status() == "busy"
    assert shown(root, "pooled") == ["5", "6", "7", "8"]
    notebook.page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")


def test_a_new_trace_is_shown_at_the_step_where_the_old_one_was(notebook):
    root = notebook.show("player = segwidgets.pool(x)\nplayer")
    root.press("ArrowRight")
    root.press("ArrowRight")
    notebook.python("player.show(segwidgets.pool(x + 10).trace)")
    view = notebook.output(-1).locator(".segw")
    view.locator(".segw-cell", has_text="11").first.wait_for()
    assert view.count() == 1
    assert view.get_attribute("data-step") == "2"
    assert shown(view, "pooled") == ["15", "16", "", ""]


def test_two_views_step_on_their_own_and_one_stays_when_the_other_goes(notebook):
    first = notebook.show("player = segwidgets.pool(x)\nplayer", cell=-2)
    second = notebook.show("player", cell=-1)
    second.press("End")
    first.press("ArrowRight")
    assert (first.get_attribute("data-step"), second.get_attribute("data-step")) == ("1", "5")
    notebook.python("player.show(segwidgets.pool(x + 10).trace)")
    for cell in (-2, -1):
        notebook.output(cell).locator(".segw[data-state=painted]", has_text="11").wait_for()
    notebook.clear(-1)
    first.press("ArrowRight")
    assert first.get_attribute("data-step") == "2" and shown(first, "pooled") == ["15", "16", "", ""]
    notebook.clear(-2)


def test_no_two_elements_share_an_id(notebook):
    notebook.show("segwidgets.pool(x)")
    assert notebook.page.evaluate("[...document.querySelectorAll('.segw [id], .segw[id]')].length") == 0


@pytest.mark.parametrize("playing", [False, True])
def test_listeners_and_observers_go_with_the_view(notebook, playing):
    before = notebook.page.evaluate("listening.map(held => held.what)")
    root = notebook.show("segwidgets.pool(x)", cell=-2)
    during = notebook.page.evaluate("listening.map(held => held.what)")
    assert {"fullscreenchange", "change", "ResizeObserver", "MutationObserver"} <= set(during) and len(during) >= len(before) + 4
    if playing:
        root.press(" ")
    notebook.clear(-2)
    assert sorted(notebook.page.evaluate("listening.map(held => held.what)")) == sorted(before)


def test_a_bad_argument_is_one_sentence_in_the_notebook(notebook):
    output = notebook.show("segwidgets.pool(x, kernel_sise=3)", painted=False)
    output.locator(".jp-RenderedText", has_text="did you mean 'kernel_size'?").wait_for()
