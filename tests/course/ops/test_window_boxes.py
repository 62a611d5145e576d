"""Windows over scales, ratios and places: counted by a loop and by hand, and each box where its patch was cut out."""

import itertools
import math

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator

from course.ops.window_boxes import count_windows, possible_boxes, window_boxes, window_sizes
from course.ops.windows import extract_patches


def by_a_loop(size, windows, stride):
    """Every box by trying every corner of the picture."""
    boxes = []
    for height, width in windows:
        for top in range(0, size[0], stride[0]):
            boxes += [
                (left, top, left + width, top + height)
                for left in range(0, size[1], stride[1])
                if top + height <= size[0] and left + width <= size[1]
            ]
    return boxes


def test_sizes_by_hand():
    assert window_sizes([100], [1, 4, 0.25]) == [(100, 100), (200, 50), (50, 200)]  # (height, width): √4 = 2
    assert window_sizes([10, 20], [0.5, 2]) == [(7, 14), (14, 7), (14, 28), (28, 14)]
    assert window_sizes((0.1,), (1,)) == [(1, 1)]  # no window without pixels


@pytest.mark.parametrize("ratio", [0.2, 0.5, 1.0, 1.7, 3.0])
@pytest.mark.parametrize("scale", [96, 200.5, 1000])
def test_the_area_is_that_of_the_scale_and_the_shape_that_of_the_ratio(scale, ratio):
    ((height, width),) = window_sizes([scale], [ratio])
    assert height / width == pytest.approx(ratio, rel=0.03) and math.sqrt(height * width) == pytest.approx(scale, rel=0.01)


def test_the_shapes_are_those_of_torchvisions_anchors():
    base = AnchorGenerator().generate_anchors([128, 256], [0.5, 1.0, 2.0])  # [6, 4] around 0, ratio by ratio, sides rounded to even numbers
    theirs = {(int(y2 - y1), int(x2 - x1)) for x1, y1, x2, y2 in base.tolist()}
    ours = window_sizes([128, 256], [0.5, 1.0, 2.0])
    assert len(theirs) == 6 and all(min(abs(h - a) + abs(w - b) for a, b in theirs) <= 2 for h, w in ours)


@pytest.mark.parametrize("stride", [(1, 1), (3, 5), (7, 2), (40, 40)])
@pytest.mark.parametrize("size", [(1, 1), (20, 31), (33, 16)])
def test_every_box_is_found_by_a_loop(size, stride):
    windows = [(4, 4), (9, 3), (1, 1), (20, 31), (21, 31), (33, 2)]
    expected = by_a_loop(size, windows, stride)
    boxes = window_boxes(size, windows, stride)
    assert boxes.dtype == torch.float32 and boxes.tolist() == [list(map(float, box)) for box in expected]
    counts = count_windows(size, windows, stride)
    assert counts == [len(by_a_loop(size, [window], stride)) for window in windows] and sum(counts) == len(boxes)


def test_counts_worked_by_hand():
    # 300 × 451, windows of 100 × 200, stride 50: (200 // 50 + 1) · (251 // 50 + 1) = 5 · 6. 301 rows do not fit.
    assert count_windows((300, 451), [(100, 200), (300, 451), (301, 10), 300], 50) == [30, 1, 0, 4]
    assert count_windows(10, [], 3) == []


def test_a_box_says_where_its_patch_is():
    picture = torch.arange(2 * 17 * 23).reshape(2, 17, 23)
    for box, patch in zip(window_boxes((17, 23), [(5, 8)], (4, 3)).int().tolist(), extract_patches(picture, (5, 8), (4, 3)), strict=True):
        assert torch.equal(picture[:, box[1] : box[3], box[0] : box[2]], patch)


def test_no_window_fits():
    boxes = window_boxes((3, 50), [(4, 4), 10], 1)
    assert boxes.shape == (0, 4) and window_boxes(8, [], 1).shape == (0, 4)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5), (6, 4)])
def test_possible_boxes_are_those_that_can_be_listed(size):
    rows, columns = (list(itertools.combinations(range(side + 1), 2)) for side in size)
    assert possible_boxes(size) == len(rows) * len(columns)
    every = [(h, w) for h in range(1, size[0] + 1) for w in range(1, size[1] + 1)]
    assert possible_boxes(size) == sum(count_windows(size, every, 1))  # all windows of all sizes at stride 1


def test_possible_boxes_of_the_cat():
    assert possible_boxes((300, 451)) == (451 * 452 // 2) * (300 * 301 // 2) == 4_601_958_900


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: window_sizes([], [1]), ValueError, "scales must be numbers above 0, at least one; got \\[\\]"),
        (lambda: window_sizes([10, 0], [1]), ValueError, "scales must be numbers above 0"),
        (lambda: window_sizes([10], [-1.0]), ValueError, "ratios must be numbers above 0"),
        (lambda: window_sizes([10], [math.nan]), ValueError, "ratios must be"),
        (lambda: window_sizes([10], [True]), ValueError, "ratios must be"),
        (lambda: window_sizes(10, [1]), TypeError, "scales must be a list of numbers above 0; got int"),
        (lambda: count_windows((0, 5), [2], 1), ValueError, "size must be at least 1"),
        (lambda: count_windows(9, [0], 1), ValueError, "window must be at least 1"),
        (lambda: count_windows(9, [2.5], 1), TypeError, "window must be an integer"),
        (lambda: window_boxes(9, [2], 0), ValueError, "stride must be at least 1"),
        (lambda: possible_boxes((3, 2.5)), TypeError, "size must be an integer"),
    ],
)
def test_what_cannot_be_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)
