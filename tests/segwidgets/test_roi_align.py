"""`segwidgets.roi_align` against torchvision: both outputs, the weights of a bin, half a cell, dragged boxes; a student's function."""

import math

import numpy as np
import pytest
import torch
import torchvision

import segwidgets
from segwidgets.box_on_map import squared

DRAW = torch.Generator().manual_seed(0)
PHOTO = torch.rand(3, 120, 160, generator=DRAW)
FEATURES = torch.randn(1, 3, 15, 20, generator=DRAW, dtype=torch.float64)  # stride 8
WHOLE = (0, 0, 160, 120)
BOX = (34, 21, 77, 50)  # 4.25, 2.625, 9.625, 6.25 in cells: RoI pooling reads columns 4 to 10, rows 3 to 6
NUMBERS = torch.tensor([[[1.0, 5, 2, 0], [3, 9, 1, 4], [0, 2, 8, 7]]])
SMALL = torch.full((3, 24, 32), 0.5)

BOXES = {
    "inside": BOX,
    "whole": WHOLE,
    "fractions": (33.3, 12.7, 101.9, 88.4),
    "on cells": (32, 16, 80, 64),
    "thin": (41, 20, 43, 90),
    "over the left edge": (-50, 30, 20, 90),
    "over the right edge": (100, -40, 300, 60),
    "around the map": (-200, -100, 400, 300),
    "beside the map": (300, 20, 400, 60),
    "off in both": (-400, -400, -300, -300),
}


def theirs(box, size, ratio=2, aligned=True, channel=1, features=FEATURES):
    boxes = [torch.tensor([box], dtype=features.dtype)]
    return torchvision.ops.roi_align(features[:, [channel]], boxes, size, 1 / 8, ratio, aligned)[0, 0].float()


def made(box=BOX, size=3, **given):
    return segwidgets.roi_align(FEATURES, PHOTO, box, size, 1 / 8, **{"channel": 1, **given})


def small(**given):
    return segwidgets.roi_align(NUMBERS, SMALL, (4, 4, 20, 20), 2, 1 / 8, **{"bin": (0, 0), **given})


def texts(widget):
    return [step.text for step in widget.trace.steps]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_both_outputs_are_torchvisions(box, ratio, aligned, shown):
    for size in (1, (2, 3), 7):
        widget = made(box, size, sampling_ratio=ratio, aligned=aligned)
        output = theirs(box, size, ratio, aligned)
        torch.testing.assert_close(shown(widget, "output"), output)
        pooled = torchvision.ops.roi_pool(FEATURES[:, [1]], [torch.tensor([box], dtype=torch.float64)], size, 1 / 8)[0, 0].float()
        torch.testing.assert_close(shown(widget, "pooled"), pooled)
        # The same mean over whole cells: of the rounded box, whose last cell belongs to it.
        x1, y1, x2, y2 = (math.copysign(math.floor(abs(side / 8) + 0.5), side) for side in box)
        points = widget.trace.panel("points").rows, widget.trace.panel("points").columns
        if points[0] == points[1]:
            whole = theirs([8 * side for side in (x1, y1, x2 + 1, y2 + 1)], size, points[0])
            torch.testing.assert_close(shown(widget, "rounding"), whole - output)


@pytest.mark.parametrize("bin", [(0, 0), (1, 2), (2, 1)])
def test_the_cells_weighed_are_the_bin(bin, shown):
    widget = made(bin=bin)
    weights, cells = shown(widget, "weights"), shown(widget, "cells")
    assert weights.sum().item() == pytest.approx(1, abs=0.01)
    assert (weights * cells).sum().item() == pytest.approx(theirs(BOX, 3)[bin].item(), abs=0.05)  # weights are shown to a thousandth
    torch.testing.assert_close(shown(widget, "points").mean(), theirs(BOX, 3)[bin])
    # The cells stand where they lie on the map.
    grid = widget.trace.panel("cells")
    rows, columns = (torch.tensor([int(name) for name in names]) for names in (grid.row_names, grid.column_names))
    assert torch.equal(cells, FEATURES[0, 1].float()[rows[:, None], columns])
    assert grid.field.boxes[0, :2].tolist() == [8 * columns[0], 8 * rows[0]]


def test_dragged_clicked_and_put_off(shown):
    widget = made()
    for box in [(5, 6, 90, 110), (0, 0, 160, 120), (159, 0, 160, 1), (10.2, 10.6, 60.1, 70)]:
        widget.set(box=box)
        torch.testing.assert_close(shown(widget, "output"), theirs([round(side) for side in box], 3))  # in whole pixels
    widget.set(box=(20, 20, 90, 70), sampling_ratio=3, aligned="not aligned", bin=(2, 0))
    torch.testing.assert_close(shown(widget, "output"), theirs((20, 20, 90, 70), 3, 3, False))
    assert widget.trace.panel("points").rows == 3 and "around bin 2, 0" in repr(widget)


@pytest.mark.parametrize("size", [2, 3, (2, 5)])
def test_no_panel_changes_its_size_while_the_box_is_dragged(size):
    """A panel that did would move the photograph away from under the pointer."""
    widget = made(size=size, bin=(0, 0))
    sizes = set()
    for box in [BOX, (0, 0, 20, 90), (3, 3, 5, 5), (150, 2, 160, 12), (0, 100, 160, 120), (40, 30, 90, 85), (2, 1, 41, 30)]:
        widget.set(box=box)
        sizes.add(tuple((panel.id, panel.width, panel.width * panel.rows / panel.columns) for panel in widget.trace.panels))
        part = widget.trace.panel("cells")
        assert part.rows == part.columns >= 3
    assert len(sizes) == 1


def test_a_part_is_as_high_as_wide_where_the_map_is():
    assert squared([(4, 6), (7, 11)], (15, 20)) == [(3, 7), (7, 11)]
    assert squared([(0, 1), (19, 20)], (15, 20), least=3) == [(0, 3), (17, 20)]
    assert squared([(13, 15), (0, 5)], (15, 20)) == [(10, 15), (0, 5)]
    assert squared([(2, 4), (3, 20)], (15, 20)) == [(0, 15), (3, 20)]


def test_a_box_is_where_it_is_dragged_on_a_photograph_shown_smaller(shown):
    widget = segwidgets.roi_align(FEATURES, torch.rand(3, 960, 1280), (160, 160, 640, 480), 2, 1 / 64, channel=1)
    assert widget.values["box"] == (45, 45, 180, 135)
    widget.set(box=(90, 45, 180.1, 135))
    torch.testing.assert_close(shown(widget, "output"), theirs((40, 20, 80, 60), 2))


def test_a_small_example_by_hand(shown):
    """4 to 20 pixels are 0.5 to 2.5 cells, so a bin is 1 × 1 cell, and points lie at 0.25, 0.75, 1.25 and 1.75."""
    widget = small()
    told = texts(widget)
    assert told[:4] == [
        "The box is 16 × 16 pixels, on the map 2 × 2 cells, each 8 pixels wide. 2 × 2 numbers are to come out. "
        "Drag the box, or click a number.",
        "RoIAlign takes the edges as they are: columns 0.5 to 2.5, rows 0.5 to 2.5. Nothing is rounded.",
        # Left in, bin 0, 0 would be 401 / 64 and not 4.5, as the next test has it by hand: the other three change less.
        "The middle of cell i lies at i + ½. Aligned, this half is taken off, so all is read where it lies. Left in, it would be read "
        "half a cell, 4 pixels, too far to the right and down: the numbers would differ by up to 1.77.",
        "A bin is 1 × 1 cells, a fraction. In each lie 2 × 2 points, evenly spread: 16 in all.",
    ]
    steps = widget.trace.steps
    assert told[4] == "The point at row 0.25, column 0.25 takes from 4 cells around it, the nearer the more: write 2.62."
    # 9/16 · 1 + 3/16 · 5 + 3/16 · 3 + 1/16 · 9 = 42/16
    assert steps[4].arithmetic == "0.562 × 1 + 0.188 × 5 + 0.188 × 3 + 0.0625 × 9 = 2.62"
    assert steps[4].marks["cells"]["read"] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    # Each of the four cells is as far from the bin's points in all: a quarter each. (1 + 5 + 3 + 9) / 4 = 4.5
    assert shown(widget, "weights")[:2, :2].tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert told[8] == "The mean of the bin's 4 points is its value: write 4.5. 4 cells count in it, with the weights shown."
    # (5 + 2 + 9 + 1) / 4, (3 + 9 + 0 + 2) / 4, (9 + 1 + 2 + 8) / 4
    assert told[9:12] == [f"Bin {i}, {j}: the mean of its 4 points is {value}." for i, j, value in ((0, 1, 4.25), (1, 0, 3.5), (1, 1, 5))]
    # 0.5 → 1 and 2.5 → 3, halves away from 0: 3 cells from 1 on, the fourth not on the map.
    assert (
        told[12]
        == "RoI pooling of the same box: of 2 × 2 cells it makes 3 × 3. The right edge is off by 1.5 cells, 12 pixels of the picture."
    )
    assert steps[12].arithmetic == "0.5 → 1,  0.5 → 1,  2.5 → 3,  2.5 → 3;  the last cell belongs to the box"
    # Bins of 1.5 cells read 2: rows and columns 1 and 2.
    assert told[13] == "Bin 0, 0 by RoI pooling: 2 × 2 cells for 1 × 1, and of them the largest, 9, at row 1, column 1."
    assert steps[13].arithmetic == "max(9, 1, 2, 8) = 9"
    # Pooled 9, 8, 8, 8 against 4.5, 4.25, 3.5, 5
    assert shown(widget, "pooled").tolist() == [[9, 8], [8, 8]]
    assert told[14].startswith(
        "All bins: RoI pooling gives the maximum, RoIAlign the mean. RoI pooling's is larger in 4 of 4, on average by 3.94."
    )


def test_half_a_cell_goes_where_it_is_said(shown):
    aligned, off = small(), small(aligned=False)
    # Not aligned the points lie at 0.75, 1.25 | 1.75, 2.25: along a side the first bin weighs cells 0, 1, 2 by 1/8, 6/8, 1/8, the second
    # cells 1, 2, 3. So bin 0, 0 is (33 + 6 · 58 + 20) / 64 = 401 / 64.
    side = torch.tensor([[1.0, 6, 1, 0], [0, 1, 6, 1]]) / 8
    down = torch.tensor([[1.0, 6, 1], [0, 1, 7]]) / 8  # below the last row the last row counts
    torch.testing.assert_close(shown(off, "output"), down @ NUMBERS[0] @ side.T)
    torch.testing.assert_close(shown(off, "weights")[:3, :3], (down[0][:, None] * side[0, :3]).mul(1000).round() / 1000)
    assert shown(off, "output")[0, 0] == 401 / 64
    assert "half a cell, 4 pixels, too far to the right and down, and the numbers differ by up to 1.77." in texts(off)[2]
    assert aligned.trace.boxes_at("map", 2)[0].place == (0.5, 0.5, 2.5, 2.5)
    assert off.trace.boxes_at("map", 2)[0].place == (1, 1, 3, 3)
    assert off.trace.boxes_at("photograph", 2)[1].place == (8, 8, 24, 24) and off.trace.boxes_at("photograph", 2)[1].role == "read"
    assert aligned.trace.boxes_at("photograph", 2)[1].role is None
    thin = small(aligned=False)
    thin.set(box=(4, 4, 8, 20))
    assert "It is also made at least one cell wide." in texts(thin)[2] and thin.trace.boxes_at("map", 2)[0].place == (1, 1, 2, 3)


def test_the_rounded_box_is_drawn_beside_the_exact_one():
    steps = [step.text.startswith("RoI pooling of") for step in made().trace.steps]
    at = steps.index(True)
    assert [look.role for look in made().trace.boxes_at("map", at - 1)] == ["read", None]
    on_map, on_photograph = made().trace.boxes_at("map", at), made().trace.boxes_at("photograph", at)
    assert [look.role for look in on_map] == ["read", "suppressed"]
    assert on_map[0].place == (4.25, 2.625, 9.625, 6.25) and on_map[1].place == (4, 3, 11, 7)
    assert on_photograph[2].place == (32, 24, 88, 56) and on_photograph[2].role == "suppressed"
    assert "of 5.38 × 3.62 cells it makes 7 × 4. The right edge is off by 1.38 cells, 11 pixels" in texts(made())[at]


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_marks_on_the_map_stay_on_the_map(box):
    for widget in (made(box), made(box, aligned=False), made(box, 7, sampling_ratio=0)):
        part = widget.trace.panel("bin").size
        for step in widget.trace.steps:
            for panel, (rows, columns) in (("map", (15, 20)), ("bin", part)):
                places = np.array([place for places in step.marks.get(panel, {}).values() for place in places]).reshape(-1, 4)
                assert (places >= 0).all() and (places[:, 2] <= columns).all() and (places[:, 3] <= rows).all()


def test_what_lies_beside_the_map_is_said(shown):
    widget = made((300, 20, 400, 60))
    assert "Those of this bin lie beside the map." in texts(widget)[3]
    assert texts(widget)[4].endswith("lies more than a cell outside the map: it counts as 0.")
    assert "Bin 0, 0 by RoI pooling has no cell on the map: 0." in texts(widget)
    assert not shown(widget, "output").any() and not shown(widget, "weights").any()
    assert "beside the map" not in " ".join(texts(made()))


def test_the_bin_the_channel_and_the_scale_are_found():
    assert made().values["bin"] == divmod(int(theirs(BOX, 3).argmax()), 3)
    found = segwidgets.roi_align(FEATURES, PHOTO, BOX, 3, channel=1)
    assert found.trace.digest == made().trace.digest  # 20 cells for 160 pixels
    loud = FEATURES.clone()
    loud[0, 2, 3:6, 5:9] += 100
    assert segwidgets.roi_align(loud, PHOTO, BOX, 3, 1 / 8).trace.panel("map").title == "features, channel 2"


def test_many_bins_and_many_points_take_few_steps(shown):
    widget = made(WHOLE, 1, sampling_ratio=0)  # 15 × 20 points
    assert len(widget.trace.steps) < 12 and not shown(widget, "points").isnan().any()
    torch.testing.assert_close(shown(widget, "points").mean(), theirs(WHOLE, 1, 0)[0, 0])
    assert "So does each of the other 48 bins." in texts(made(size=7))
    assert made(WHOLE, 1).trace.panel("weights").paint == "heat"


def test_single_precision_is_aligned_as_torchvision_does(shown):
    features, box = FEATURES.float(), (33.3, 12.7, 101.9, 88.4)
    widget = segwidgets.roi_align(features, PHOTO, box, 5, 1 / 8, channel=0)
    torch.testing.assert_close(shown(widget, "output"), theirs(box, 5, channel=0, features=features))


def test_what_was_passed_stays_as_it_was():
    features, image = FEATURES.clone().requires_grad_(), PHOTO.clone()
    with torch.no_grad():
        segwidgets.roi_align(features, image, BOX, 2, 1 / 8, fn=lambda features, boxes: features.zero_()[..., :2, :2])
    assert torch.equal(features, FEATURES) and torch.equal(image, PHOTO) and features.grad is None


def test_a_student_s_function_stands_beside(shown):
    def roi_align(features, boxes, output_size, spatial_scale, sampling_ratio, aligned):
        assert features.shape == (1, 1, 15, 20) and boxes.tolist() == [[0, *BOX]] and aligned
        return torchvision.ops.roi_align(features, boxes, output_size, spatial_scale, sampling_ratio, False)  # half a cell off

    widget = made(fn=roi_align)
    assert [panel.id for panel in widget.trace.panels][-4:] == ["output", "yours", "pooled", "rounding"]
    torch.testing.assert_close(shown(widget, "yours"), theirs(BOX, 3, aligned=False))
    assert texts(widget)[-1].startswith("Yours differs in 9 of 9 cells")  # at the end, where one sees it
    assert texts(made(fn=torchvision.ops.roi_align))[-1] == "Yours is the same in every cell."


def test_it_is_small_and_always_the_same():
    features = torch.rand(1, 1, 112, 112, dtype=torch.float64)
    assert segwidgets.roi_align(features, torch.rand(3, 448, 448), (0, 0, 448, 448), 7, 1 / 4).trace.nbytes < 1_000_000
    assert made(size=7).trace.nbytes < 300_000
    assert made().trace.digest == made().trace.digest != made(aligned=False).trace.digest
    assert small().trace.digest != segwidgets.roi_align(NUMBERS + 1, SMALL, (4, 4, 20, 20), 2, 1 / 8, bin=(0, 0)).trace.digest


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: made((1, 2, 3)), ValueError, r"box has the shape \[3\]; one box is four numbers"),
        (lambda: made("box"), TypeError, "box is str; a widget takes"),
        (lambda: made((1, 2, math.nan, 4)), ValueError, "box must be finite"),
        (lambda: made((50, 2, 20, 40)), ValueError, "box is 50, 2, 20, 40; it takes x1 ≤ x2 and y1 ≤ y2"),
        (lambda: made((50, 2, 50, 40)), ValueError, "box is 50, 2, 50, 40, without width or height"),
        (lambda: made((0, 0, 1e9, 40)), ValueError, "within 100000 pixels of the corner"),
        (lambda: made().set(box=(20, 30, 20, 40)), ValueError, "without width or height"),
        (lambda: made(size=0), ValueError, "output_size must be"),
        (lambda: made(size=15), ValueError, "output_size is 15×15; the widget shows 14×14 bins at most"),
        (lambda: made((0, 0, 90000, 120), sampling_ratio=0), ValueError, r"points a bin, \d+ in all, and 16384 can be shown"),
        (lambda: made(sampling_ratio=50), ValueError, "the box takes 50 × 50 points a bin, 22500 in all"),
        (lambda: made(sampling_ratio=1.5), TypeError, "sampling_ratio must be an integer"),
        (lambda: made(aligned="yes"), TypeError, "aligned is 'yes'; it takes True or False"),
        (lambda: made(bin=(3, 0)), ValueError, r"bin is \(3, 0\); a cell is a row from 0 to 2 and a column from 0 to 2"),
        (lambda: made().set(bin=(0, 3)), ValueError, r"bin is \(0, 3\)"),
        (lambda: made().set(aligned="no"), ValueError, "aligned is 'no'; it is one of 'aligned', 'not aligned'"),
        (lambda: made(channel=3), ValueError, "channel is 3, and features has the channels 0 to 2"),
        (lambda: segwidgets.roi_align(FEATURES[0, 0], PHOTO, BOX), ValueError, r"features has the shape \[15, 20\]; a map of one"),
        (lambda: segwidgets.roi_align(FEATURES * torch.nan, PHOTO, BOX), ValueError, "features has NaN or infinite values"),
        (lambda: segwidgets.roi_align(FEATURES, PHOTO[:1], BOX), ValueError, r"a picture is \[3, H, W\]"),
        (lambda: segwidgets.roi_align(FEATURES, PHOTO, BOX, 3, 0), ValueError, "spatial_scale must be a finite number above 0"),
        (lambda: made(sampling_rato=1), TypeError, "did you mean 'sampling_ratio'"),
        (lambda: made(fn=lambda *given: 1 / 0), ValueError, "raised ZeroDivisionError"),
        (lambda: made(fn=lambda features: features), ValueError, r"returned the shape \[1, 1, 15, 20\], and \[1, 1, 3, 3\]"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)
