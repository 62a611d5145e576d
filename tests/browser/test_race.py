"""A race in the kernel, seen in a notebook: bars grow while the entrants run, results appear, and what is asked in between is heard."""

import pytest

from tests.browser.looking import comes_to_lie

MAKE = """
import time, torch
from segwidgets import race

calls, seconds = [], {"slow": 0.05, "quick": 0.05}

def entrant(title):
    def model(images):
        calls.append(title)
        time.sleep(seconds[title])
        boxes = torch.tensor([[8.0, 4, 24, 20], [0, 0, 32, 32]])
        return [{"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": torch.tensor([0.9, 0.6])}]
    return model

raced = race({"slow": entrant("slow"), "quick": entrant("quick")}, torch.rand(3, 32, 32), classes=["cat", "dog"])
"""
RESULT = "[data-panel='result of {}']"


@pytest.fixture
def live(notebook):
    notebook.python(MAKE)
    root = notebook.show("raced")
    notebook.python("seconds['slow'] = 1.5; calls.clear()")
    return root


def waits(root, condition, *arguments):
    root.page.wait_for_function(f"([root, ...given]) => {{ {condition} }}", arg=[root.element_handle(), *arguments])


def status(root, text):
    waits(root, "return root.querySelector('.segw-status').textContent.includes(given[0]);", text)


def said(root, text):
    waits(root, "return root.querySelector('.segw-sentence').textContent.includes(given[0]);", text)


def note(root, title):
    return root.locator(f"{RESULT.format(title)} .segw-note").text_content().strip()


def lengths(root):
    """How long the bars are, as parts of the room that they have."""
    read = "bars => bars.map(bar => bar.getBoundingClientRect().width / bar.parentElement.getBoundingClientRect().width)"
    return root.locator("[data-panel=seconds] .segw-length").evaluate_all(read)


def test_the_bar_grows_while_its_entrant_runs_and_results_appear_one_by_one(notebook, live):
    live.press("End")
    assert live.locator(f"{RESULT.format('slow')} .segw-box").count() == 2
    live.get_by_role("button", name="Race again").click()
    said(live, "slow has its warm-up call")
    assert live.locator(".segw-box").count() == 0 and (note(live, "slow"), note(live, "quick")) == ("", "")
    said(live, "slow is running")
    early = lengths(live)[0]
    live.page.wait_for_timeout(500)
    later = lengths(live)[0]
    assert 0 <= early < later and lengths(live)[1] == 0
    assert live.locator("[data-panel=seconds] .segw-value").all_text_contents() == ["…", ""]
    status(live, "at work: ")
    said(live, "All are through. The fastest: quick")
    status(live, "answered in ")
    assert [note(live, title).partition(",")[0] for title in ("slow", "quick")] == ["2 objects"] * 2
    comes_to_lie(live, "'result of quick'", ".segw-box[data-box='0']", 32, (8, 4, 24, 20))
    assert float(live.locator("[data-panel=seconds] .segw-value").first.text_content()) >= 1.5
    assert lengths(live)[0] > 5 * lengths(live)[1] > 0
    step = live.get_attribute("data-step")
    assert live.locator(".segw-counter").text_content() == f"{step} / {step}"


def test_the_threshold_is_heard_while_the_race_goes_on_and_nobody_who_is_through_runs_again(notebook, live):
    live.press("End")
    live.get_by_role("button", name="Race again").click()
    said(live, "slow is running")
    live.locator("input[data-setting=score_threshold]").fill("0.7")
    said(live, "All are through.")
    status(live, "answered in ")
    assert [note(live, title).partition(",")[0] for title in ("slow", "quick")] == ["1 object"] * 2
    # Once to warm up and once to be timed; once more where the question came just before the timed call, so that it started anew.
    notebook.python("first = calls.index('quick'); assert first in (2, 3) and 'slow' not in calls[first:], calls")


def test_an_interrupt_in_the_kernel_leaves_the_race_before(notebook, live):
    """Each time: JupyterLab brings the first question on the kernel's main thread and later ones on another."""
    notebook.python("seconds['slow'] = 0.05")
    live.press("End")
    live.get_by_role("button", name="Race again").click()
    status(live, "answered in ")
    notebook.python("seconds['slow'] = 1.5")
    before = note(live, "slow")
    for _ in range(2):
        live.get_by_role("button", name="Race again").click()
        said(live, "slow is running")
        notebook.command("notebook:interrupt-kernel")
        status(live, "Interrupted; nothing has changed.")
        said(live, "All are through.")
        assert note(live, "slow") == before and live.locator(f"{RESULT.format('slow')} .segw-box").count() == 2
        notebook.python("assert raced.values['again'] == 1")
    notebook.python("import signal, time; time.sleep(0.1)")
    notebook.python("seconds['slow'] = 0.05")
    live.get_by_role("button", name="Race again").click()
    status(live, "answered in ")
    notebook.python("assert raced.values['again'] == 2")


def test_an_interrupt_while_a_cell_is_running_is_the_cells(notebook, live):
    live.press("End")
    live.get_by_role("button", name="Race again").click()
    status(live, "answered in ")
    notebook.python("seconds['slow'] = 0.3\ncaught = False")
    notebook.python("try:\n    while True: time.sleep(0.02)\nexcept KeyboardInterrupt:\n    caught = True", wait=False)
    notebook.page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'")
    live.get_by_role("button", name="Race again").click()
    said(live, "slow is running")
    notebook.command("notebook:interrupt-kernel")
    status(live, "answered in ")
    notebook.python("assert caught and raced.values['again'] == 2")


def test_a_clock_runs_while_nothing_comes_from_the_kernel(notebook, live):
    notebook.python("seconds['slow'] = 3")
    live.press("End")
    live.get_by_role("button", name="Race again").click()
    said(live, "slow has its warm-up call")
    read = "const said = root.querySelector('.segw-status').textContent.match(/at work: ([\\d.]+)/); return said && said[1] > given[0];"
    for least in (0, 0.3, 0.7):  # of 3 s in which the warm-up call says nothing
        waits(live, read, least)
        assert "warm-up call" in live.locator(".segw-sentence").text_content()
    status(live, "answered in ")
