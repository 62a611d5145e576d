"""A live picture of a training in the notebook, and receptive fields, as a person meets them."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from course.ops.labels import colour_labels
from tests.browser.lab import PAINTED
from tests.browser.looking import cells_under, pixels

# `Known` is a network whose answer after each epoch is known: in epoch e, columns left of 2 e are class 1.
MAKE = """
import time
from IPython.display import display
from torch import nn
class Known(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.epoch = 0
    def forward(self, x):
        left = (torch.arange(16) < 2 * self.epoch).expand(len(x), 1, 16, 16)
        return torch.cat([~left, left, torch.zeros_like(left)], 1).float() + 0 * self.weight
torch.manual_seed(0)
images, truth = torch.rand(1, 3, 16, 16), torch.ones(1, 16, 16).long()
truth[0, :4] = 255
live = segwidgets.predictions(images, truth, classes=("background", "left", "right"))
live._next = float("-inf")
def train(epochs, seconds=0.5, start=1):
    network, history = Known(), {"loss": [1 / e for e in range(1, start)], "mIoU": [0.1 * e for e in range(1, start)]}
    for network.epoch in range(start, start + epochs):
        history["loss"].append(1 / network.epoch)
        history["mIoU"].append(0.1 * network.epoch)
        live(network, history)
        time.sleep(seconds)
"""


def painted(epoch):
    return colour_labels((torch.arange(16) < 2 * epoch).long().expand(16, 16)).permute(1, 2, 0).numpy()


def at(root, step):
    root.page.wait_for_function("([root, step]) => Number(root.dataset.step) === step", arg=[root.element_handle(), step])


@pytest.fixture
def training(notebook):
    notebook.python(MAKE)
    yield notebook
    notebook.clear(-1)


def test_the_prediction_grows_while_the_cell_is_running(training):
    root = training.show("display(live)\ntrain(6)", wait=False)  # the view is there while the cell that trains is still running
    assert training.status() == "busy"
    legend = root.locator(".segw-legend .segw-meaning").all_text_contents()
    assert legend == ["background", "left", "right", "void"]
    for epoch in (2, 4):
        root.page.wait_for_function("([root, epoch]) => Number(root.dataset.step) >= epoch", arg=[root.element_handle(), epoch])
        assert training.status() == "busy"
    training.page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")
    view = training.output(-1).locator(PAINTED)
    at(view, 6)
    assert view.count() == 1
    np.testing.assert_array_equal(pixels(view, "prediction")[..., :3], painted(6))
    assert view.locator(".segw-sentence").text_content() == "After epoch 6: loss 0.167, mIoU 0.6."
    assert view.locator(".segw-strip-value").all_text_contents() == ["0.167", "0.6"]
    for epoch in (5, 4, 3):  # and afterwards it plays like any other
        view.press("ArrowLeft")
        np.testing.assert_array_equal(pixels(view, "prediction")[..., :3], painted(epoch))
    assert view.locator(".segw-strip-value").all_text_contents() == ["0.333", "0.3"]
    view.press("Home")
    np.testing.assert_array_equal(pixels(view, "prediction")[..., :3], colour_labels(torch.full((16, 16), 255)).permute(1, 2, 0).numpy())


def test_who_looks_back_while_it_trains_is_left_there_also_when_the_cell_ends(training):
    root = training.show("display(live)\ntrain(6)", wait=False)
    root.page.wait_for_function("root => Number(root.dataset.step) >= 3", arg=root.element_handle())
    root.press("Home")
    root.press("ArrowRight")
    training.page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")
    view = training.output(-1).locator(PAINTED)
    view.page.wait_for_function("() => [...document.querySelectorAll('.segw input')].some(each => each.max === '6')")
    assert (view.count(), view.get_attribute("data-step")) == (1, "1")
    np.testing.assert_array_equal(pixels(view, "prediction")[..., :3], painted(1))


def test_a_picture_in_one_cell_follows_the_training_in_another(training):
    root = training.show("live", cell=-2)
    training.show("train(4, 0.1)", cell=-1, painted=False)
    view = training.output(-2).locator(PAINTED)
    view.page.wait_for_function("() => [...document.querySelectorAll('.segw input')].some(each => each.max === '4')")
    at(view, 4)
    np.testing.assert_array_equal(pixels(view, "prediction")[..., :3], painted(4))
    del root
    training.clear(-2)


def test_the_saved_notebook_holds_the_newest_still(training, server):
    training.show("display(live)\ntrain(3, 0.1)")
    training.page.wait_for_function("jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'")
    at(training.output(-1).locator(PAINTED), 3)
    training.command("docmanager:save")
    training.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    cell = json.loads((server.folder / "widgets.ipynb").read_text())["cells"][-1]
    (output,) = (each for each in cell["outputs"] if "image/png" in each.get("data", {}))
    assert "".join(output["data"]["text/plain"]) == "predictions on 1 picture · background, left, right"
    still = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"])))
    assert still.n_frames == 1 + 4
    blue = (np.asarray(still.convert("RGB")).astype(int) == painted(1)[0, 0]).all(-1)  # on paper stands the last epoch: 6 of 16 columns
    columns = np.where(blue.sum(0) > 50)[0]
    assert len(columns) > 20


FIELD = """
from torch import nn
torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 4, 7, 4, 3), nn.GELU(), nn.Conv2d(4, 2, 3, 1, 1))
photograph = torch.rand(3, 48, 64)
seen = segwidgets.receptive_field(network, photograph)
"""


def test_over_a_cell_the_picture_shows_what_the_cell_sees(notebook):
    """A field of 15 pixels, every 4, the first centred on pixel 0; drawn box and picture against the formula."""
    notebook.python(FIELD)
    root = notebook.show("seen")
    root.locator("[data-panel=picture] .segw-canvas[data-drawn]").wait_for()
    whole = pixels(root, "picture")[..., :3]
    stage = root.locator("[data-panel=map] .segw-stage")
    box = stage.bounding_box()
    for row, column in ((6, 8), (0, 0), (11, 15)):
        stage.hover(position={"x": (column + 0.5) / 16 * box["width"], "y": (row + 0.5) / 12 * box["height"]})
        expected = [max(0, 4 * column - 7), max(0, 4 * row - 7), min(64, 4 * column + 8), min(48, 4 * row + 8)]
        assert cells_under(root, "picture", "read", 64) == pytest.approx(expected, abs=0.3)
        sides = f"sees {expected[2] - expected[0]} × {expected[3] - expected[1]} pixels"
        assert sides in root.locator(".segw-arithmetic").text_content()
        canvas = root.locator("[data-panel=picture] .segw-canvas")
        frame = str(1 + 16 * row + column)
        root.page.wait_for_function("([canvas, frame]) => canvas.dataset.frame === frame", arg=[canvas.element_handle(), frame])
        lit = pixels(root, "picture")[..., :3].astype(int)
        outside = np.ones((48, 64), bool)
        x1, y1, x2, y2 = expected
        outside[max(0, y1 - 10) : y2 + 10, max(0, x1 - 10) : x2 + 10] = False  # a JPEG's blocks are 16 pixels
        assert lit[outside].mean() < 0.35 * whole[outside].mean()
        inside = lit[y1 + 4 : y2 - 4, x1 + 4 : x2 - 4] if y1 and x1 and y2 < 48 and x2 < 64 else lit[y1:y2, x1:x2]
        assert inside.mean() > 1.5 * lit[outside].mean()


def test_played_it_moves_over_the_cells(notebook):
    notebook.python(FIELD)
    root = notebook.show("seen")
    for step, width in ((1, 8), (2, 12), (3, 15)):
        root.press("ArrowRight")
        assert root.locator(".segw-sentence").text_content().startswith(f"Row 0, column {step - 1} can see {width} × 8 pixels")
        root.locator(f"[data-panel=picture] .segw-canvas[data-frame='{step}']").wait_for()
        assert cells_under(root, "map", "write", 16) == [step - 1, 0, step, 1]
        assert cells_under(root, "picture", "read", 64)[2] == pytest.approx(4 * step + 4, abs=0.3)
