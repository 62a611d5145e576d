"""Drawing in whole numbers, against matplotlib, scikit-image and torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.path import Path
from skimage.measure import points_in_poly

from course.data.drawing import GRID, around, halved, resample, winding
from course.data.objects import KINDS


def centres(height: int, width: int) -> np.ndarray:
    """(x, y) of every pixel's centre: [H * W, 2]."""
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1).reshape(-1, 2)


def on_an_edge(contour: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels whose centre lies exactly on the contour, where "inside" is a convention: bool [H * W]. Whole numbers, in 1/64 pixel."""
    starts = np.rint(contour * GRID).astype(int)
    along = np.roll(starts, -1, axis=0) - starts  # [E, 2]
    points = np.rint(centres(height, width) * GRID).astype(int)[:, None] - starts  # [H * W, E, 2]
    beside = along[:, 0] * points[..., 1] - along[:, 1] * points[..., 0]  # 0 on the line
    reached = (along * points).sum(-1)
    return ((beside == 0) & (reached >= 0) & (reached <= (along**2).sum(-1))).any(1)


def somewhere(contours: list[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """In pixels, in steps of 1/64, partly outside a picture of 30 × 40."""
    scale, move = rng.uniform(6, 25), rng.uniform(5, 30, 2)
    return [np.rint((scale * contour + move) * GRID) / GRID for contour in contours]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_parts_agree_with_matplotlib_and_scikit_image(kind):
    for seed in range(8):
        rng = np.random.default_rng(seed)
        for part in kind(rng).parts:
            contours = somewhere(part.contours, rng)
            direction = [np.sign(np.sum(c[:, 0] * np.roll(c[:, 1], -1) - c[:, 1] * np.roll(c[:, 0], -1))) for c in contours]
            clear = ~np.any([on_an_edge(contour, 30, 40) for contour in contours], axis=0)
            found = winding(contours, 30, 40).ravel()[clear]
            for inside in (points_in_poly, lambda points, contour: Path(contour).contains_points(points)):
                # No contour of ours crosses itself, so each goes once around what is inside it.
                expected = sum(way * inside(centres(30, 40), c).astype(int) for way, c in zip(direction, contours, strict=True))
                np.testing.assert_array_equal(found, expected[clear])


def test_winding_by_hand():
    square = np.array([(1, 1), (3, 1), (3, 3), (1, 3)], float)
    expected = np.zeros((4, 5), int)
    expected[1:3, 1:3] = 1
    np.testing.assert_array_equal(winding([square], 4, 5), expected)
    np.testing.assert_array_equal(winding([square[::-1]], 4, 5), -expected)
    np.testing.assert_array_equal(winding([square, square], 4, 5), 2 * expected)
    assert not winding([square, square[::-1]], 4, 5).any()
    far = np.array([(-9, -9), (99, -9), (99, 99), (-9, 99)], float)
    assert (winding([far], 4, 5) == 1).all() and not winding([square + 50], 4, 5).any() and not winding([square - 50], 4, 5).any()


def test_every_pixel_between_neighbours_belongs_to_one_of_them():
    """Polygons that share an edge leave no gap and do not overlap, wherever the edge runs: also through pixel centres."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        middle = rng.integers(0, 2 * 16, 2) / 2 if rng.random() < 0.5 else 16 * rng.random(2)
        corners = np.array([(0, 0), (16, 0), (16, 16), (0, 16)], float)
        triangles = [[np.stack([corners[i], corners[(i + 1) % 4], middle])] for i in range(4)]
        np.testing.assert_array_equal(sum(winding(triangle, 16, 16) for triangle in triangles), 1)


def test_around():
    corners = around(np.array([1.0, 2.0, 1.0, 2.0]))
    np.testing.assert_allclose(corners, [(1, 0), (0, 2), (-1, 0), (0, -2)], atol=1e-12)


@pytest.mark.parametrize("size", [(5, 9), (17, 23), (40, 12), (1, 1), (60, 64)])
def test_resample_agrees_with_torch(size):
    piece = np.random.default_rng(0).integers(0, 256, (3, 17, 23), dtype=np.uint8)
    expected = F.interpolate(torch.from_numpy(piece)[None].double(), size=size, mode="bilinear", align_corners=False)[0]
    # Positions are rounded down to 1/16 pixel: up to 1/16 of the step to a neighbour each way, and the value rounded down to whole.
    assert np.abs(resample(piece, *size) - expected.numpy()).max() <= 2 * 255 / 16 + 1
    assert resample(piece, *size).dtype == np.uint8
    np.testing.assert_array_equal(resample(piece, 17, 23), piece)
    flat = np.full((3, 17, 23), 200, np.uint8)
    assert (resample(flat, *size) == 200).all()


def test_resample_of_a_smooth_picture_is_close():
    x = np.linspace(0, 255, 64).astype(np.uint8)
    piece = np.broadcast_to(x, (3, 64, 64)).copy()
    expected = F.interpolate(torch.from_numpy(piece)[None].double(), size=(90, 100), mode="bilinear")[0].numpy()
    assert np.abs(resample(piece, 90, 100) - expected).max() < 2


@pytest.mark.parametrize("size", [(8, 6), (9, 7)])
def test_halved_agrees_with_average_pooling(size):
    picture = np.random.default_rng(1).integers(0, 256, (3, *size), dtype=np.uint8)
    expected = F.avg_pool2d(torch.from_numpy(picture).float(), 2).floor().numpy()
    np.testing.assert_array_equal(halved(picture), expected)
