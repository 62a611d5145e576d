"""A warped patch is a loop over its pixels, and inside the picture torchvision's roi_align."""

import pytest
import torch
from torchvision.ops import roi_align

from course.models.warping import warp


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def warp_by_a_loop(image, box, size, padding, fill):
    """Every pixel of the patch by itself, in plain Python. [3, S, S]"""
    _, height, width = image.shape
    patch = torch.empty(3, size, size, dtype=image.dtype)
    for row in range(size):
        for column in range(size):
            x = box[0] + (column + 0.5 - padding) / (size - 2 * padding) * (box[2] - box[0])
            y = box[1] + (row + 0.5 - padding) / (size - 2 * padding) * (box[3] - box[1])
            if not (0 <= x <= width and 0 <= y <= height):
                patch[:, row, column] = torch.tensor(fill, dtype=image.dtype)
                continue
            x, y = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)  # between the middles of the pixels
            left, top = int(x), int(y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            upper = image[:, top, left] * (left + 1 - x) + image[:, top, right] * (x - left)
            lower = image[:, bottom, left] * (left + 1 - x) + image[:, bottom, right] * (x - left)
            patch[:, row, column] = upper * (top + 1 - y) + lower * (y - top)
    return patch


@pytest.mark.parametrize(("size", "padding"), [(9, 2), (12, 0), (16, 5), (3, 1)])
def test_the_warp_is_a_loop_over_pixels(size, padding):
    image, fill = drawn(3, 17, 23, dtype=torch.float64), (0.1, 0.2, 0.3)
    boxes = [[3.2, 4.1, 15.7, 9.9], [-5.3, -2.2, 8.1, 30.4], [0.0, 0.0, 23.0, 17.0], [10.2, 10.3, 10.9, 10.8], [40.0, 3.0, 50.0, 9.0]]
    patches = warp(image, torch.tensor(boxes, dtype=torch.float64), size=size, padding=padding, fill=fill)
    by_hand = torch.stack([warp_by_a_loop(image, box, size, padding, fill) for box in boxes])
    torch.testing.assert_close(patches, by_hand)
    assert (patches[-1] == torch.tensor(fill, dtype=torch.float64)[:, None, None]).all()  # wholly outside


def test_inside_the_picture_it_is_roi_align_with_one_sample_a_bin():
    image = drawn(3, 40, 60, dtype=torch.float64)
    boxes = torch.tensor([[12.0, 10.5, 41.3, 28.0], [20.0, 15.0, 24.0, 31.0]], dtype=torch.float64)
    size, padding = 14, 3
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * size / (size - 2 * padding)
    with_context = torch.cat((centre - half, centre + half), 1)
    expected = roi_align(image[None], [with_context], size, sampling_ratio=1, aligned=True)
    torch.testing.assert_close(warp(image, boxes, size=size, padding=padding), expected)


def test_at_the_edge_the_context_is_the_mean_colour():
    """A picture of 2 × 2 pixels, in a patch of 4 × 4 with one pixel of context."""
    image = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]).expand(3, -1, -1)
    patch = warp(image, torch.tensor([[0.0, 0.0, 2.0, 2.0]]), size=4, padding=1, fill=(9, 8, 7))[0]
    assert patch[0].tolist() == [[9, 9, 9, 9], [9, 1, 2, 9], [9, 3, 4, 9], [9, 9, 9, 9]]
    assert patch[:, 0, 0].tolist() == [9, 8, 7]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"image": torch.rand(1, 8, 8)}, ValueError, r"\[3, H, W\]"),
        ({"image": torch.zeros(3, 8, 8, dtype=torch.uint8)}, TypeError, "floating-point"),
        ({"boxes": torch.tensor([[3.0, 3, 3, 5]])}, ValueError, "above 0"),
        ({"boxes": torch.tensor([[0.0, 0, torch.inf, 5]])}, ValueError, "finite"),
        ({"padding": 4}, ValueError, "less than half"),
        ({"size": 0}, ValueError, "size"),
    ],
)
def test_what_cannot_be_warped_gets_a_sentence(change, error, words):
    with pytest.raises(error, match=words):
        warp(**{"image": drawn(3, 8, 8), "boxes": torch.tensor([[1.0, 1, 5, 6]]), "size": 8, "padding": 2, **change})
