"""`segwidgets.anchors` against torchvision: where the anchors stand, what they overlap, and how the whole map is labelled."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

import segwidgets
from segwidgets.still import MAX_STILL_BYTES, animated_png

PHOTO = torch.rand(3, 180, 360, generator=torch.Generator().manual_seed(0))  # shown as it is
TRUTH = torch.tensor([[100.0, 40, 190, 130], [300, 20, 340, 150], [10, 10, 30, 30]])
SIZES, RATIOS = (32, 90), (0.5, 1.0, 2.0)
GIVEN = {"stride": 20, "sizes": SIZES, "aspect_ratios": RATIOS}


def generated(rows, columns, stride=20, sizes=SIZES, ratios=RATIOS):
    """torchvision's anchors at every place, [rows, columns, A, 4]."""
    size = (rows * stride, columns * stride)
    (boxes,) = AnchorGenerator((sizes,), (ratios,))(ImageList(torch.zeros(1, 3, *size), [size]), [torch.zeros(1, 1, rows, columns)])
    return boxes.reshape(rows, columns, -1, 4)


def texts(widget):
    return [step.text for step in widget.trace.steps]


def roles(widget, step=-1):
    return [look.role for look in widget.trace.boxes_at("photo", step)]


def places(widget, step=-1):
    return torch.tensor([look.place for look in widget.trace.boxes_at("photo", step)])


@pytest.mark.parametrize("cell", [(0, 0), (4, 7), (3, 16), (8, 17)])
@pytest.mark.parametrize(("high", "low"), [(0.7, 0.3), (0.5, 0.5), (0.3, 0.0)])
def test_in_the_end_the_place_is_labelled_as_torchvision_labels_it(cell, high, low, shown):
    widget = segwidgets.anchors(PHOTO, TRUTH, **GIVEN, high=high, low=low, cell=cell)
    every = generated(9, 18)
    torch.testing.assert_close(places(widget)[:6], every[cell], rtol=0, atol=1e-4)
    overlaps = box_iou(TRUTH, every.reshape(-1, 4))
    matches = Matcher(high, low, allow_low_quality_matches=True)(overlaps).reshape(9, 18, 6)
    table = shown(widget, "iou")
    torch.testing.assert_close(table[:3], overlaps.reshape(3, 9, 18, 6)[:, *cell], rtol=0, atol=5.1e-4)
    assert table[3].tolist() == matches[cell].tolist()
    of_match = {-1: "suppressed", -2: "ignored"}
    assert roles(widget) == [of_match.get(match, "truth") for match in matches[cell].tolist()] + ["truth"] * 3
    counts = [int((matches >= 0).sum()), int((matches == -2).sum()), int((matches == -1).sum())]
    assert list(map(int, re.findall(r"\d+", texts(widget)[-1]))) == [9 * 18 * 6, *counts]
    positive = (matches >= 0).any(-1).nonzero() * 20
    dots = torch.tensor(widget.trace.steps[-1].marks["photo"]["truth"])
    torch.testing.assert_close((dots[:, :2] + dots[:, 2:]).flip(1) / 2, positive.float())


def test_the_steps_of_a_place_by_hand():
    """One square anchor of side 40 at each place of a map of stride 40, and an object of half its area: IoU 0.5 at (1, 2)."""
    widget = segwidgets.anchors(PHOTO, [[60, 20, 100, 40]], stride=40, sizes=(40,), aspect_ratios=(1,), names=["shoe"], cell=(1, 2))
    assert texts(widget) == [
        "The map has 5 × 9 places, 40 pixels apart: the corners of the grid, the upper-left one of each cell. At each stands 1 anchor, "
        "45 in all. Click a cell.",
        "Base anchors: 1 size (40) × 1 shape (height / width 1), all around x 0, y 0: three quarters of each lie outside the picture.",
        "Row 1, column 2: the same shapes around x 80, y 40. Their centre is the upper-left corner of the cell, not its middle.",
        "Object 0 (shoe) and each anchor: anchor 0 overlaps it most, with IoU 0.5.",
        "The best IoU of each anchor decides: from 0.7 on it is positive (none), below 0.3 negative (none), in between ignored (0).",
        "No anchor of the map overlaps object 0 (shoe) more than anchor 0: with IoU 0.5, below 0.7, it is positive all the same.",
        "Of all 45 anchors of the map 1 is positive, 0 ignored and 44 negative. The green dots are the places of the positive ones.",
    ]
    steps = widget.trace.steps
    assert steps[2].arithmetic == "2 × 40 = 80,  1 × 40 = 40"
    assert steps[3].arithmetic == "800 / (800 + 1600 − 800) = 0.5"
    assert places(widget, 1)[0].tolist() == [-20, -20, 20, 20] and places(widget, 2)[0].tolist() == [60, 20, 100, 60]
    assert [roles(widget, step)[0] for step in range(7)] == [None, "candidate", "candidate", "candidate", "ignored", "truth", "truth"]
    assert all(step.marks["photo"]["write"] == [(78.5, 38.5, 81.5, 41.5)] for step in steps[2:])
    assert widget.trace.boxes_at("photo", -1)[0].label == "0 · 0.5" and widget.trace.boxes_at("photo", -1)[1].label == "shoe"


ONE = {"aspect_ratios": (1,), "sizes": (40,)}  # an anchor at each place


def test_an_anchor_that_is_no_object_s_best_is_not_rescued():
    """The one below has IoU 1200 / 2000, this one 400 / 2800."""
    widget = segwidgets.anchors(PHOTO, [[60, 10, 100, 50]], stride=40, **ONE, cell=(0, 2), low=0.1)
    assert texts(widget)[-2] == "An object's best anchor of the whole map is positive whatever its IoU. None of these became so."
    assert roles(widget) == ["ignored", "truth"] and widget.trace.values_at("iou", -1)[:, 0].tolist() == pytest.approx([0.143, -2])


def test_a_rescued_anchor_answers_for_the_object_that_it_overlaps_most():
    """The only anchor that touches either: it is the best of both, though it overlaps the larger one more."""
    widget = segwidgets.anchors(PHOTO, [[75, 75, 85, 85], [64, 64, 96, 96]], stride=80, **ONE, high=0.9, cell=(1, 1))
    assert texts(widget)[-2] == (
        "No anchor of the map overlaps object 0 more than anchor 0: with IoU 0.0625, below 0.9, it is positive all the same. It answers "
        "for object 1, which it overlaps more."
    )
    assert widget.trace.values_at("iou", -1)[:, 0].tolist() == pytest.approx([0.062, 0.64, 1], abs=1e-3)


def test_an_object_that_no_anchor_touches_makes_all_positive():
    widget = segwidgets.anchors(PHOTO, [[105, 25, 115, 35]], stride=80, **ONE)
    assert texts(widget)[-2] == "No anchor of the map touches object 0, so with IoU 0 anchor 0 is as good as any: positive."
    assert texts(widget)[-1].startswith("Of all 15 anchors of the map 15 are positive, 0 ignored and 0 negative.")


def test_a_click_shows_another_place_and_the_thresholds_label_anew():
    widget = segwidgets.anchors(PHOTO, TRUTH, **GIVEN)
    assert widget.values == {"cell": (4, 7), "high": 0.7, "low": 0.3}  # near the middle of the first object, x 145, y 85
    widget.set(cell=(2, 3))
    torch.testing.assert_close(places(widget)[:6], generated(9, 18)[2, 3], rtol=0, atol=1e-4)
    widget.set(cell=(4, 7), high=0.5, low=0.5)
    assert "ignored" not in roles(widget)
    with pytest.raises(ValueError, match="low must be at most high"):
        widget.set(low=0.9)
    with pytest.raises(ValueError, match="a row from 0 to 8 and a column from 0 to 17"):
        widget.set(cell=(9, 0))
    assert widget.values == {"cell": (4, 7), "high": 0.5, "low": 0.5}


@pytest.mark.parametrize(("height", "width"), [(100, 131), (37, 90)])
def test_a_picture_is_padded_to_whole_cells_and_small_ones_are_enlarged(height, width):
    """Of 131 pixels the fifth cell of stride 32 is the last, and only 3 pixels of it are there."""
    photo, truth, factor = torch.rand(3, height, width), torch.tensor([[5.0, 5, 40, 30]]), 360 / width
    rows, columns = -(-height // 32), -(-width // 32)
    widget = segwidgets.anchors(photo, truth, stride=32, sizes=(24,), cell=(rows - 1, columns - 1))
    setting = widget._settings[0]
    assert [setting["rows"], setting["columns"]] == [rows, columns] and setting["size"] == pytest.approx([32 * factor] * 2)
    every = generated(rows, columns, 32, (24,))
    torch.testing.assert_close(places(widget)[:3], every[-1, -1] * factor, rtol=1e-5, atol=1e-4)
    assert widget.trace.panel("photo").pixels.shape[:2] == (round(height * factor), 360)
    matches = Matcher(0.7, 0.3, True)(box_iou(truth, every.reshape(-1, 4)))
    assert list(map(int, re.findall(r"\d+", texts(widget)[-1])))[:2] == [len(matches), int((matches >= 0).sum())]


def test_the_grid_is_drawn_through_the_places():
    pixels = segwidgets.anchors(torch.zeros(3, 90, 180), [[5, 5, 40, 30]], stride=30, sizes=(24,)).trace.panel("photo").pixels
    lit = pixels[..., 0] > 0
    assert np.flatnonzero(lit.all(0)).tolist() == [0, 60, 120, 180, 240, 300] and np.flatnonzero(lit.all(1)).tolist() == [0, 60, 120]
    assert pixels.max() < 100 and lit.mean() < 0.05


def test_marks_stay_within_the_picture():
    widget = segwidgets.anchors(PHOTO, [[310, 90, 359, 179]], stride=20, sizes=(200,), cell=(8, 17))
    for step in widget.trace.steps:
        for x1, y1, x2, y2 in (box for boxes in step.marks.get("photo", {}).values() for box in boxes if not isinstance(box, int)):
            assert -2 <= x1 <= x2 <= 362 and -2 <= y1 <= y2 <= 182
    assert places(widget)[0, 2] > 400


def test_the_same_call_gives_the_same_animation_and_a_still_is_small(cat):
    truth = [[10, 0, 200, 224]]
    one, other = (segwidgets.anchors(cat[0], truth, stride=32, sizes=(64, 128)) for _ in range(2))
    assert repr(one) == repr(other) and one.trace.nbytes < 300_000
    data = animated_png(one.trace)[0]
    assert len(data) <= MAX_STILL_BYTES and Image.open(io.BytesIO(data)).n_frames >= 5


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: segwidgets.anchors(PHOTO, torch.zeros(0, 4), **GIVEN), ValueError, "truth holds 0 boxes; from 1 to 12"),
        (lambda: segwidgets.anchors(PHOTO, TRUTH[0], **GIVEN), ValueError, r"truth must have shape \[N, 4\]"),
        (lambda: segwidgets.anchors(PHOTO, "truth", **GIVEN), TypeError, "truth is str; a widget takes"),
        (lambda: segwidgets.anchors(PHOTO, [[5, 5, 5, 9]], **GIVEN), ValueError, "truth must have widths and heights above 0"),
        (
            lambda: segwidgets.anchors(PHOTO, [[360, 5, 380, 9]], **GIVEN),
            ValueError,
            "truth has the box 360, 5, 380, 9, which lies outside",
        ),
        (lambda: segwidgets.anchors(PHOTO, TRUTH, **GIVEN, names=["cat"]), ValueError, "it takes a word for each of the 3 objects"),
        (lambda: segwidgets.anchors(PHOTO, TRUTH, stride=2, sizes=(9,)), ValueError, "pass a larger stride"),
        (lambda: segwidgets.anchors(PHOTO, TRUTH, stride=0, sizes=(9,)), ValueError, "stride must be at least 1"),
        (lambda: segwidgets.anchors(PHOTO, TRUTH, stride=20, sizes=()), ValueError, "sizes"),
        (lambda: segwidgets.anchors(PHOTO, TRUTH, stride=20, sizes=[*range(8, 16)]), ValueError, "24 anchors at each place; 16 can be"),
        (lambda: segwidgets.anchors(PHOTO, TRUTH, **GIVEN, high=0.2), ValueError, "low must be at most high"),
        (lambda: segwidgets.anchors(PHOTO, TRUTH, **GIVEN, high=2), ValueError, "high must be"),
        (lambda: segwidgets.anchors(PHOTO, TRUTH, **GIVEN, cell=(9, 0)), ValueError, "a cell is a row from 0 to 8"),
        (lambda: segwidgets.anchors(PHOTO[:1], TRUTH, **GIVEN), ValueError, r"a picture is \[3, H, W\]"),
        (lambda: segwidgets.anchors(PHOTO, TRUTH, **GIVEN, strides=3), TypeError, "did you mean 'stride'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)
