"""Polygons and run lengths by hand; `tests/parity/test_coco_masks.py` holds them against pycocotools."""

import pytest
import torch

from course.data.coco_masks import polygon_mask, run_length_mask, segmentation_mask, unpack_counts


def cells(mask: torch.Tensor) -> list[str]:
    return ["".join(".#"[value] for value in row) for row in mask.tolist()]


def test_a_rectangle_covers_the_pixels_between_its_edges():
    mask = polygon_mask([1, 1, 4, 1, 4, 3, 1, 3], 4, 6)
    assert mask.dtype == torch.bool and cells(mask) == ["......", ".###..", ".###..", "......"]


def test_a_triangle_both_ways_round():
    corners = [0, 0, 6, 0, 0, 6]
    mask = polygon_mask(corners, 6, 6)
    assert torch.equal(mask, polygon_mask([0, 0, 0, 6, 6, 0], 6, 6)) and torch.equal(mask, mask.T)
    assert mask[0, 0] and not mask[5, 5] and abs(int(mask.sum()) - 18) <= 3


def test_a_polygon_that_overlaps_itself_has_a_hole_there():
    twice = [0, 0, 6, 0, 6, 6, 0, 6]
    assert not polygon_mask(twice + twice, 6, 6).any()


def test_a_polygon_is_cut_off_at_the_border():
    assert cells(polygon_mask([-2, -2, 2, -2, 2, 2, -2, 2], 3, 4)) == ["##..", "##..", "...."]
    assert polygon_mask([-1, -1, 5, -1, 5, 4, -1, 4], 3, 4).all()
    assert not polygon_mask([4, 0, 5, 0, 5, 3], 3, 4).any()


def test_several_polygons_are_united():
    left, right = [0, 0, 2, 0, 2, 2, 0, 2], [1, 0, 4, 0, 4, 1, 1, 1]
    assert cells(segmentation_mask([left, right], 2, 4)) == ["####", "##.."]


def test_runs_go_down_the_columns():
    run_lengths = {"size": [3, 4], "counts": [1, 2, 3, 4, 2]}
    mask = run_length_mask(run_lengths, 3, 4)
    assert cells(mask) == ["..##", "#.#.", "#.#."]
    assert torch.equal(segmentation_mask(run_lengths, 3, 4), mask)


def test_an_empty_and_a_full_mask():
    assert not run_length_mask({"size": [2, 3], "counts": [6]}, 2, 3).any()
    assert run_length_mask({"size": [2, 3], "counts": [0, 6]}, 2, 3).all()


def test_packed_counts_by_hand():
    # 5 → "5"; 40 = 8 + 1·32 → 8 with the sixth bit, then 1; the fourth is a difference: 3 − 40 = −37 → two groups, 27 and −2.
    assert unpack_counts(chr(48 + 5)) == [5]
    assert unpack_counts(b"5" + bytes([48 + 32 + 8, 48 + 1])) == [5, 40]
    assert unpack_counts("5X17" + chr(48 + 32 + 27) + chr(48 + 30)) == [5, 40, 7, 3]


@pytest.mark.parametrize("packed", ["", "5 7", "5X", "é", "\x00", "1O", "X" * 30])
def test_packed_counts_that_are_damaged(packed):
    with pytest.raises(ValueError, match="run lengths"):
        unpack_counts(packed)


@pytest.mark.parametrize(
    "segmentation, match",
    [
        (None, "a list of polygons or run lengths, not None"),
        ([], r"not \[\]"),
        ("abc", "not 'abc'"),
        (7, "not 7"),
        ([[1, 2, 3, 4]], r"at least three corners, x1, y1, x2, y2, …, not \[1, 2, 3, 4\]"),
        ([[1, 2, 3, 4, 5]], "at least three corners"),
        ([[1, 2, 3, 4, 5, 6, 7]], "at least three corners"),
        ([[1, 2, 3, 4, 5, float("nan")]], "at least three corners"),
        ([[1, 2, 3, 4, 5, "six"]], "at least three corners"),
        ([1, 2, 3, 4, 5, 6], "at least three corners"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], r"from 0 to 1e\+09 lies far outside a picture of size \[3, 4\]"),
        ({"size": [4, 3], "counts": [12]}, r"for size \[4, 3\] do not fit a picture of size \[3, 4\]"),
        ({"counts": [12]}, "for size None do not fit"),
        ({"size": [3, 4], "counts": [1, 2]}, "cover 3 pixels and the picture has 12"),
        ({"size": [3, 4], "counts": [10**18]}, "cover 1,000,000,000,000,000,000 pixels"),
        ({"size": [3, 4], "counts": [14, -2]}, "whole numbers from 0"),
        ({"size": [3, 4], "counts": [12.0]}, "whole numbers from 0"),
        ({"size": [3, 4]}, "not None"),
    ],
)
def test_what_is_no_segmentation(segmentation, match):
    with pytest.raises(ValueError, match=match) as caught:
        segmentation_mask(segmentation, 3, 4)
    assert str(caught.value).endswith(".") and len(str(caught.value)) < 200
