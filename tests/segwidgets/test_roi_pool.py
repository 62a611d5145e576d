"""`segwidgets.roi_pool` against torchvision: output and gradient, at dragged boxes and boxes beyond the border; a student's function."""

import math

import numpy as np
import pytest
import torch
import torchvision

import segwidgets

DRAW = torch.Generator().manual_seed(0)
PHOTO = torch.rand(3, 120, 160, generator=DRAW)
FEATURES = torch.randn(1, 3, 15, 20, generator=DRAW, dtype=torch.float64)  # stride 8
WHOLE = (0, 0, 160, 120)
BOX = (34, 21, 77, 50)  # 4.25, 2.625, 9.625, 6.25 in cells: columns 4 to 10, rows 3 to 6

BOXES = {
    "inside": BOX,
    "whole": WHOLE,
    "fractions": (33.3, 12.7, 101.9, 88.4),
    "halves": (36, 20, 76, 60),
    "at the corner": (140, 100, 160, 120),
    "over the left edge": (-50, 30, 20, 90),
    "over the right edge": (100, -40, 300, 60),
    "around the map": (-200, -100, 400, 300),
    "beside the map": (300, 20, 400, 60),
    "above the map": (20, -90, 90, -40),
    "off in both": (-400, -400, -300, -300),
    "without width": (40, 20, 40, 90),
    "a point": (77, 41, 77, 41),
}


def theirs(box, size, gradient=None, channel=1, features=FEATURES):
    """torchvision's output [PH, PW] and gradient [H, W]."""
    leaf = features[:, [channel]].clone().requires_grad_()
    out = torchvision.ops.roi_pool(leaf, [torch.tensor([box], dtype=leaf.dtype)], size, 1 / 8)
    out.backward(torch.ones_like(out) if gradient is None else torch.as_tensor(gradient, dtype=leaf.dtype).expand_as(out))
    return out.detach()[0, 0].float(), leaf.grad[0, 0].float()


def made(box=BOX, size=3, **given):
    return segwidgets.roi_pool(FEATURES, PHOTO, box, size, 1 / 8, **{"channel": 1, **given})


def on_map(widget, panel, values):
    """The numbers of a panel where they stand on the map, 0 elsewhere; found again by what the panel's cells cover of the photograph."""
    whole = torch.zeros(15, 20)
    for place, value in zip(widget.trace.panel(panel).field.boxes, values.flatten(), strict=True):
        column, row = (round(float(side) / 8) for side in place[:2])
        whole[row, column] = value
    return whole


def texts(widget):
    return [step.text for step in widget.trace.steps]


@pytest.mark.parametrize("size", [1, 2, (2, 3), 7])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_the_output_and_the_gradient_are_torchvisions(box, size, shown):
    widget = made(box, size)
    pooled, gradient = theirs(box, size)
    torch.testing.assert_close(shown(widget, "pooled"), pooled)
    torch.testing.assert_close(on_map(widget, "gradient", shown(widget, "gradient")), gradient)
    cells = on_map(widget, "cells", shown(widget, "cells"))
    assert torch.equal(cells[cells != 0], FEATURES[0, 1].float()[cells != 0])


@pytest.mark.parametrize("size", [2, 4])  # one gradient after another, and all at once
def test_a_given_gradient_flows_back(size, shown):
    gradient = torch.randn(size, size, generator=torch.Generator().manual_seed(1))
    widget = made(gradient=gradient, size=size)
    torch.testing.assert_close(on_map(widget, "gradient", shown(widget, "gradient")), theirs(BOX, size, gradient)[1])
    before = shown(widget, "gradient", -2)  # the steps have summed up what autograd then says
    assert size == 4 or torch.allclose(before, shown(widget, "gradient"))
    torch.testing.assert_close(shown(widget, "above"), gradient)


def test_a_dragged_box_is_answered_with_the_operation(shown):
    widget = made()
    for box in [(5, 6, 90, 110), (0, 0, 160, 120), (159, 0, 160, 1), (10.2, 10.6, 60.1, 70)]:
        widget.set(box=box)
        pooled, gradient = theirs([round(side) for side in box], 3)  # in whole pixels
        torch.testing.assert_close(shown(widget, "pooled"), pooled)
        torch.testing.assert_close(on_map(widget, "gradient", shown(widget, "gradient")), gradient)


def test_a_box_is_where_it_is_dragged_on_a_photograph_shown_smaller(shown):
    widget = segwidgets.roi_pool(FEATURES, torch.rand(3, 960, 1280), (160, 160, 640, 480), 2, 1 / 64, channel=1)
    assert widget.values == {"box": (45, 45, 180, 135)}
    widget.set(box=(90, 45, 180.1, 135))
    torch.testing.assert_close(shown(widget, "pooled"), theirs((40, 20, 80, 60), 2)[0])


def test_the_first_frame_and_the_steps_of_a_small_example(shown):
    features = torch.tensor([[[1.0, 5, 2, 0], [3, 9, 1, 4], [0, 2, 8, 7]]])
    widget = segwidgets.roi_pool(features, torch.rand(3, 24, 32), (1, 2, 19, 23), 2, 1 / 8)
    assert torch.equal(shown(widget, "cells", 0), features[0, :3, :3].cpu()) and shown(widget, "pooled", 0).isnan().all()
    assert shown(widget, "gradient", 0).isnan().all()
    # 0.125, 0.25, 2.375, 2.875 cells: columns 0 to 2, rows 0 to 3, of which the map has 0 to 2.
    assert texts(widget) == [
        "The box is 18 × 21 pixels; whatever its size, 2 × 2 numbers are to come out. A cell of the map is 8 pixels wide.",
        "First rounding: of 2.25 × 2.62 cells it makes 3 × 4, columns 0 to 2, rows 0 to 3. The lower edge is off by 1.12 cells, 9 pixels. "
        "Not all of these cells are on the map.",
        "Second rounding: 3 / 2 and 4 / 2 cells make a bin, 1.5 across, 2 down. Rounded outwards it reads 2 across, 1 or 2 down. "
        "Neighbours share cells.",
        "Bin 0, 0's largest value is 9, at row 1, column 1: write 9.",
        "Bin 0, 1's largest value is 9, at row 1, column 1: write 9.",
        "Bin 1, 0's largest value is 2, at row 2, column 1: write 2.",
        "Bin 1, 1's largest value is 8, at row 2, column 2: write 8.",
        "Backward. Let the gradient of the loss be 1 for each number of the output. All cells of the map start from 0.",
        "Bin 0, 0: its gradient, 1, flows to where the maximum stood, row 1, column 1.",
        "Bin 0, 1: its maximum, too, stood at row 1, column 1; there the gradients sum up to 2.",
        "Bin 1, 0: its gradient, 1, flows to where the maximum stood, row 2, column 1.",
        "Bin 1, 1: its gradient, 1, flows to where the maximum stood, row 2, column 2.",
        "Only where a maximum stood a gradient arrives, in 3 of 9 cells; all of the map beyond the box keeps 0. "
        "From 2 bins at row 1, column 1: 1 + 1 = 2.",
    ]
    steps = widget.trace.steps
    assert steps[1].arithmetic.startswith("1 × 0.125 = 0.125 → 0,  2 × 0.125 = 0.25 → 0,  19 × 0.125 = 2.38 → 2")
    assert steps[2].arithmetic == "columns 0–1, 1–2;  rows 0–1, 2"
    assert steps[4].marks["cells"] == {"read": [(0, 1), (0, 2), (1, 1), (1, 2)], "chosen": [(1, 1)]}
    assert steps[9].arithmetic == "1 + 1 = 2"
    assert widget.trace.kept_at("cells", 6) == [(1, 1), (1, 1), (2, 1), (2, 2)]
    assert shown(widget, "gradient").tolist() == [[0, 0, 0], [0, 2, 0], [0, 1, 1]]


def test_both_roundings_are_drawn_before_and_after():
    widget = made((34, 21, 77, 50), 2)
    hidden, rounded = widget.trace.boxes_at("map", 0), widget.trace.boxes_at("map", 1)
    assert [look.role for look in hidden] == [None, None]
    assert [look.role for look in rounded] == ["suppressed", "read"]
    assert rounded[0].place == (4.25, 2.625, 9.625, 6.25) and rounded[1].place == (4, 3, 11, 7)
    on_photograph = widget.trace.boxes_at("photograph", 1)
    assert on_photograph[0].place == (34, 21, 77, 50) and on_photograph[1].place == (32, 24, 88, 56)
    last = widget.trace.steps[6].marks["map"]  # of 7 columns in 2 bins the second has 3.5, and reads 4
    assert last["suppressed"] == [(7.5, 5, 11, 7)] and last["read"] == [(7, 5, 11, 7)]
    assert len(widget.trace.steps[2].marks["map"]["suppressed"]) == 4


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_marks_on_the_map_stay_on_the_map(box):
    for step in made(box).trace.steps:
        places = np.array([place for places in step.marks.get("map", {}).values() for place in places]).reshape(-1, 4)
        assert (places >= 0).all() and (places[:, 2] <= 20).all() and (places[:, 3] <= 15).all()


def test_what_lies_beside_the_map_is_said():
    assert "None of these cells is on the map." in texts(made((300, 20, 400, 60)))[1]
    assert texts(made((300, 20, 400, 60)))[2] == "Second rounding: 3 × 3 bins, and none of them has a cell on the map."
    assert texts(made((300, 20, 400, 60)))[-1] == "The box has no cell on the map, so no gradient flows."
    assert "columns −50 to −38" in texts(made((-400, -400, -300, -300)))[1]
    assert "column 5, rows" in texts(made((40, 20, 40, 90)))[1]
    assert "on the map" not in texts(made())[1]


def test_cells_that_are_too_many_for_numbers_are_colours():
    paints = [made(box).trace.panel("cells").paint for box in (BOX, WHOLE)]
    assert paints == ["numbers", "signed"]
    assert made(WHOLE).trace.panel("gradient").paint == "heat"
    relu = segwidgets.roi_pool(FEATURES.relu(), PHOTO, WHOLE, 2, 1 / 8)
    assert relu.trace.panel("cells").paint == "heat"


def test_the_scale_and_the_channel_are_found():
    found = segwidgets.roi_pool(FEATURES, PHOTO, BOX, 3, channel=1)
    assert found.trace.digest == made().trace.digest  # 20 cells for 160 pixels
    loud = FEATURES.clone()
    loud[0, 2, 3:6, 5:9] += 100
    assert segwidgets.roi_pool(loud, PHOTO, BOX, 3, 1 / 8).trace.panel("map").title == "features, channel 2"


def test_single_precision_is_pooled_as_torchvision_does(shown):
    features = FEATURES.float()
    widget = segwidgets.roi_pool(features, PHOTO, (33.3, 12.7, 101.9, 88.4), 5, 1 / 8, channel=0)
    torch.testing.assert_close(shown(widget, "pooled"), theirs((33.3, 12.7, 101.9, 88.4), 5, channel=0, features=features)[0])


def test_what_was_passed_stays_as_it_was():
    features, image = FEATURES.clone().requires_grad_(), PHOTO.clone()
    with torch.no_grad():
        segwidgets.roi_pool(features, image, BOX, 2, 1 / 8, fn=lambda features, boxes: features.zero_()[..., :2, :2])
    assert torch.equal(features, FEATURES) and torch.equal(image, PHOTO) and features.grad is None


def test_a_student_s_function_stands_beside(shown):
    def roi_pool(features, boxes, output_size, spatial_scale):
        assert features.shape == (1, 1, 15, 20) and boxes.tolist() == [[0, *BOX]]
        return torchvision.ops.roi_pool(features, boxes - boxes % 8, output_size, spatial_scale)  # rounded down

    widget = made((34, 21, 77, 50), 3, fn=roi_pool)
    assert [panel.id for panel in widget.trace.panels] == ["photograph", "map", "cells", "pooled", "yours", "gradient"]
    floored = theirs((32, 16, 72, 48), 3)[0]
    torch.testing.assert_close(shown(widget, "yours"), floored)
    wrong = int((floored != theirs(BOX, 3)[0]).sum())
    assert wrong > 0 and texts(widget)[-1].startswith(f"Yours differs in {wrong} of 9 cells")  # at the end, where one sees it
    right = made(fn=torchvision.ops.roi_pool)
    assert texts(right)[-1] == "Yours is the same in every cell."


def test_it_is_small():
    features = torch.rand(1, 1, 112, 112, dtype=torch.float64)
    assert segwidgets.roi_pool(features, torch.rand(3, 448, 448), (0, 0, 448, 448), 7, 1 / 4).trace.nbytes < 1_000_000
    assert made(size=7).trace.nbytes < 300_000


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: made((1, 2, 3)), ValueError, r"box has the shape \[3\]; one box is four numbers"),
        (lambda: made("box"), TypeError, "box is str; a widget takes"),
        (lambda: made((1, 2, math.nan, 4)), ValueError, "box must be finite"),
        (lambda: made((50, 2, 20, 40)), ValueError, "box is 50, 2, 20, 40; it takes x1 ≤ x2 and y1 ≤ y2"),
        (lambda: made((0, 0, 1e9, 40)), ValueError, "within 100000 pixels of the corner"),
        (lambda: made().set(box=(0, 0, 360, 1e8)), ValueError, "within 100000 pixels of the corner"),
        (lambda: made(size=0), ValueError, "output_size must be"),
        (lambda: made(size=15), ValueError, "output_size is 15×15; the widget shows 14×14 bins at most"),
        (lambda: made(channel=3), ValueError, "channel is 3, and features has the channels 0 to 2"),
        (lambda: made(channel=True), ValueError, "channel is True"),
        (lambda: made(gradient=torch.ones(2, 3)), ValueError, r"gradient has the shape \[2, 3\]; it takes a number for each bin, \[3, 3\]"),
        (lambda: made(gradient=torch.full((3, 3), torch.inf)), ValueError, "gradient has NaN or infinite values"),
        (lambda: segwidgets.roi_pool(FEATURES[0, 0], PHOTO, BOX), ValueError, r"features has the shape \[15, 20\]; a map of one"),
        (lambda: segwidgets.roi_pool(FEATURES.repeat(2, 1, 1, 1), PHOTO, BOX), ValueError, r"a map of one photograph is \[C, H, W\]"),
        (lambda: segwidgets.roi_pool(FEATURES * torch.nan, PHOTO, BOX), ValueError, "features has NaN or infinite values"),
        (lambda: segwidgets.roi_pool(torch.rand(1, 200, 200), PHOTO, BOX), ValueError, "features has 200×200 cells"),
        (lambda: segwidgets.roi_pool(FEATURES, PHOTO[:1], BOX), ValueError, r"a picture is \[3, H, W\]"),
        (lambda: segwidgets.roi_pool(FEATURES, PHOTO, BOX, 3, 0), ValueError, "spatial_scale must be a finite number above 0"),
        (lambda: made(chanel=1), TypeError, "did you mean 'channel'"),
        (lambda: made(fn=lambda *given: 1 / 0), ValueError, "raised ZeroDivisionError"),
        (lambda: made(fn=lambda features: features), ValueError, r"returned the shape \[1, 1, 15, 20\], and \[1, 1, 3, 3\]"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)
