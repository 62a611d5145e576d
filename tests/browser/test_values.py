"""What stands on the page is what the tensors hold: digits, colours and receptive fields."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib import colormaps
from PIL import Image

from tests.browser.conftest import HAND, SET_UP
from tests.browser.looking import cells_under, digits, pixels

tensors: dict = {}
exec(f"{SET_UP}\n{HAND}", tensors)  # the notebook's own cells, so that both sides start from the same numbers
x, small, weight = tensors["x"], tensors["small"], tensors["weight"]

POOLED, SWITCHES = F.max_pool2d(x, 2, return_indices=True)


def test_run_all_shows_every_widget_with_its_input_and_an_empty_output(notebook):
    for cell in (2, 3, 4):
        notebook.output(cell).locator(".segw[data-state=painted]").wait_for()
    pool = notebook.output(2).locator(".segw")
    torch.testing.assert_close(digits(pool, "input"), x.flatten())
    assert digits(pool, "pooled").isnan().all() and len(digits(pool, "pooled")) == 4


@pytest.mark.parametrize(
    ("code", "panel", "expected"),
    [
        ("segwidgets.pool(x)", "pooled", POOLED),
        ("segwidgets.pool(x, 3, 1, 1, mode='average')", "pooled", F.avg_pool2d(x, 3, 1, 1)),
        ("segwidgets.unpool(small)", "output", F.interpolate(small, scale_factor=2)),
        ("segwidgets.unpool(small, switches_from=x)", "output", F.max_unpool2d(small, SWITCHES, 2)),
        ("segwidgets.conv_transpose(small, weight, stride=2)", "output", F.conv_transpose2d(small, weight[None, None], stride=2)),
    ],
    ids=["max pool", "average pool", "nearest", "max unpool", "transposed convolution"],
)
def test_the_last_step_shows_torch_s_answer(notebook, code, panel, expected):
    root = notebook.show(code)
    root.press("End")
    torch.testing.assert_close(digits(root, panel), expected.flatten(), rtol=5e-3, atol=0)  # three digits are shown


def test_each_step_shows_what_is_written_so_far(notebook):
    root = notebook.show("segwidgets.pool(x)")
    for step in range(1, 5):
        root.press("ArrowRight")
        expected = POOLED.flatten().clone()
        expected[step:] = torch.nan
        torch.testing.assert_close(digits(root, "pooled"), expected, equal_nan=True)
        shown = root.locator("[data-panel=input] .segw-kept").evaluate_all("cells => cells.map(cell => Number(cell.dataset.cell))")
        assert sorted(shown) == sorted(SWITCHES.flatten()[:step].tolist())


@pytest.mark.parametrize("low", [0.0, -1.0], ids=["heat", "signed"])
def test_the_pixels_of_a_heat_map_are_the_colours_of_its_values(notebook, low):
    values = torch.linspace(low, 1.0, 16 * 16).reshape(16, 16)
    root = notebook.show(f"segwidgets.pool(torch.linspace({low}, 1.0, 256).reshape(16, 16))")
    root.press("End")
    for panel, plane in (("input", values), ("pooled", F.max_pool2d(values[None], 2)[0])):
        shown = pixels(root, panel)
        assert shown.shape[:2] == plane.shape and (shown[..., 3] == 255).all()
        assert abs(shown[..., :3] - colour(plane.numpy(), signed=low < 0)).max() <= 4  # one of 256 levels


def test_the_colours_lie_on_the_screen_where_their_cells_are(notebook):
    root = notebook.show("segwidgets.pool(torch.linspace(0, 1.0, 256).reshape(16, 16))")
    stage = root.locator("[data-panel=input] .segw-stage")
    expected = colour(np.linspace(0, 1, 256).reshape(16, 16), signed=False)
    seen = np.asarray(Image.open(io.BytesIO(stage.screenshot())).convert("RGB")).astype(int)
    for row, column in ((0, 0), (3, 12), (15, 15), (8, 1)):
        y, x = (round((i + 0.5) * side / 16) for i, side in zip((row, column), seen.shape[:2], strict=True))
        assert abs(seen[y, x] - expected[row, column]).max() <= 4


def test_unwritten_cells_of_a_heat_map_are_transparent(notebook):
    root = notebook.show("segwidgets.pool(torch.linspace(0, 1.0, 256).reshape(16, 16))")
    assert (pixels(root, "pooled")[..., 3] == 0).all()
    root.press("ArrowRight")
    assert (pixels(root, "pooled")[..., 3] == 255).sum() == 1


def test_hovering_a_cell_shows_its_arithmetic_and_what_it_was_computed_from(notebook):
    root = notebook.show("segwidgets.pool(x)")
    root.press("End")
    root.locator("[data-panel=pooled] .segw-cell").nth(1).hover()
    assert root.locator(".segw-arithmetic").text_content() == "pooled at row 0, column 1: max(6, 3, 2, 1) = 6"
    assert cells_under(root, "input", "read", 4) == [2.0, 0.0, 4.0, 2.0]
    assert cells_under(root, "input", "chosen", 4) == [2.0, 0.0, 3.0, 1.0]
    root.locator(".segw-caption").hover()
    assert root.locator(".segw-arithmetic").text_content() == ""


def test_hovering_where_stamps_overlap_shows_the_whole_sum(notebook):
    root = notebook.show("segwidgets.conv_transpose(small, weight, stride=2)")
    root.press("End")
    root.locator("[data-panel=output] .segw-cell").nth(2 * 5 + 2).hover()
    assert root.locator(".segw-arithmetic").text_content() == "output at row 2, column 2: 1 × 1 + 2 × 1 + 3 × 1 + 4 × 1 = 10"


def test_hovering_a_feature_shows_its_receptive_field_on_the_photograph(notebook):
    """A field of 24 pixels every 8, the first centred on 4, cut at the border of a photograph of 64 × 96."""
    code = "segwidgets.pool(torch.rand(8, 12), image=torch.rand(3, 64, 96), field=(24, 8, 4))"
    root = notebook.show(code)
    for row, column in ((3, 5), (0, 0)):
        root.locator("[data-panel=input] .segw-cell").nth(row * 12 + column).hover()
        x, y = 4 + 8 * column, 4 + 8 * row
        assert cells_under(root, "photograph", "read", 96) == [max(0, x - 12), max(0, y - 12), x + 12, y + 12]
        assert "sees 24 × 24 pixels" in root.locator(".segw-arithmetic").text_content()


def test_the_receptive_field_of_a_real_network_lies_on_the_real_photograph(notebook):
    """EfficientNet-Lite0 on the cat; the box is measured on the screen and compared with the network's own arithmetic."""
    root = notebook.show(
        "from course.data.photos import cat\n"
        "from course.models.backbones import centre_crop, efficientnet_lite0\n"
        "network, image = efficientnet_lite0(), centre_crop(cat())\n"
        "with torch.no_grad():\n"
        "    features = network.features(image)[8].relu()\n"
        "segwidgets.pool(features, channel=18, image=image, field=network.receptive_field(8))"
    )
    from course.models.backbones import efficientnet_lite0

    size, stride, offset = efficientnet_lite0().receptive_field(8)
    root.locator("[data-panel=photograph] .segw-canvas[data-drawn]").wait_for()
    stage = root.locator("[data-panel=input] .segw-stage")
    box = stage.bounding_box()
    stage.hover(position={"x": (12 + 0.5) / 28 * box["width"], "y": (14 + 0.5) / 28 * box["height"]})
    assert "row 14, column 12" in root.locator(".segw-arithmetic").text_content()
    x, y = offset + 12 * stride, offset + 14 * stride
    expected = [max(0, x - size / 2), max(0, y - size / 2), min(224, x + size / 2), min(224, y + size / 2)]
    assert cells_under(root, "photograph", "read", 224) == pytest.approx(expected, abs=0.5)


def colour(values, signed):
    """What the design asks for: viridis over 0…1, or blue, white, vermilion over −1…1."""
    if not signed:
        return (colormaps["viridis"](values)[..., :3] * 255).round()
    part = np.abs(values)[..., None]
    end = np.where(values[..., None] < 0, np.array([0, 114, 178]), np.array([213, 94, 0]))
    return (255 + (end - 255) * part).round()
