"""Silhouettes: the same everywhere, and a mask that says exactly which pixels were painted."""

import hashlib

import numpy as np
import pytest
import torch
from skimage.measure import points_in_poly

from course.data import silhouettes
from course.data.silhouettes import KINDS, Silhouettes, rasterise


def digest(data: Silhouettes) -> str:
    sha = hashlib.sha256()
    for image, mask in (data[i] for i in range(len(data))):
        sha.update((image * 255).round().byte().numpy().tobytes() + mask.byte().numpy().tobytes())
    return sha.hexdigest()


def test_items():
    data = Silhouettes(20, size=48, seed=1)
    assert len(data) == len(list(data)) == 20
    for image, mask in (data[i] for i in range(20)):
        assert image.shape == (3, 48, 48) and image.dtype == torch.float32 and image.min() >= 0 and image.max() <= 1
        assert mask.shape == (48, 48) and mask.dtype == torch.int64 and set(mask.unique().tolist()) <= {0, 1}


def test_each_picture_follows_from_seed_and_index_alone():
    many, few = Silhouettes(10, seed=5), Silhouettes(4, seed=5)
    for i in (3, 0, 2):
        for a, b in zip(many[i], few[i], strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)
    torch.testing.assert_close(many[-1], many[9])
    assert digest(Silhouettes(4, seed=5)) == digest(few) != digest(Silhouettes(4, seed=6))


def test_identical_on_every_machine():
    # No statement about what is right: it is what every machine, Python and library version so far has drawn, so that
    # measurements on these pictures can be compared. If the drawing is changed on purpose, change it here too.
    assert digest(Silhouettes(25, size=64, seed=0)) == "98eb5dfcca32931d5966f769fa885b1fbd010a8a85a94f2b7e65ed3a857b7691"
    assert digest(Silhouettes(5, size=128, seed=7)) == "cb9fa4ed3f57658fbab518b75ba34ae245a26dbec3ccec3a9387b24110cc7e4d"


def test_the_callers_random_state_is_not_touched():
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    Silhouettes(2)[0]
    assert (np.random.get_state()[1] == before[0]).all() and torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("kind", KINDS)
def test_rasterise_agrees_with_point_in_polygon(kind):
    size = 40
    centres = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), -1).reshape(-1, 2)  # (x, y)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        contours = silhouettes.place(kind(rng), rng, size)
        # Off the grid of pixel centres: on an edge, "inside" is a convention.
        contours = [(np.rint(contour * 64) + 0.5) / 64 for contour in contours]
        expected = np.logical_xor.reduce([points_in_poly(centres, contour) for contour in contours]).reshape(size, size)
        shifted = [contour * 2 for contour in contours]  # the half step becomes a whole one
        np.testing.assert_array_equal(rasterise_fine(shifted, size), expected)


def rasterise_fine(doubled: list[np.ndarray], size: int) -> np.ndarray:
    """The same polygons on a grid twice as fine, read at the centres of the coarse pixels."""
    # Coarse centre c + 0.5 is 2c + 1 on the fine grid: move by half a fine pixel to bring it to a fine centre.
    return rasterise([contour + 0.5 for contour in doubled], 2 * size + 2)[1 : 2 * size : 2, 1 : 2 * size : 2]


def test_rasterise_by_hand():
    square = np.array([(1, 1), (3, 1), (3, 3), (1, 3)], float)
    expected = np.zeros((4, 4), bool)
    expected[1:3, 1:3] = True
    np.testing.assert_array_equal(rasterise([square], 4), expected)
    np.testing.assert_array_equal(rasterise([square[::-1]], 4), expected)
    hole = np.array([(1, 1), (2, 1), (2, 2), (1, 2)], float)
    expected[1, 1] = False
    np.testing.assert_array_equal(rasterise([square, hole], 4), expected)
    far = np.array([(-9, -9), (99, -9), (99, 99), (-9, 99)], float)
    assert rasterise([far], 4).all() and not rasterise([square + 50], 4).any()


def test_only_shape_pixels_are_painted(monkeypatch):
    monkeypatch.setattr(silhouettes, "background", lambda rng, size: np.full((size, size, 3), 1000))
    monkeypatch.setattr(silhouettes, "texture", lambda rng, size: np.full((size, size, 3), -1000))
    for image, mask in (Silhouettes(20, seed=2)[i] for i in range(20)):
        torch.testing.assert_close(image[0] == 0, mask == 1)


def test_all_kinds_have_thin_parts_or_bends():
    """Every kind has many boundary pixels for its area: more than a disc of the same area."""
    for kind in KINDS:
        rng = np.random.default_rng(0)
        mask = rasterise(silhouettes.place(kind(rng), rng, 128), 128)
        edges = (mask[:, 1:] != mask[:, :-1]).sum() + (mask[1:] != mask[:-1]).sum()
        assert edges > 1.05 * 4 * 2 * np.sqrt(mask.sum() / np.pi)  # a disc of radius r has 8 r edges


@pytest.mark.parametrize("size", [16, 17, 300, 512])
def test_sizes(size):
    image, mask = Silhouettes(3, size=size)[2]
    assert image.shape == (3, size, size) and mask.shape == (size, size)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"count": -1}, ValueError),
        ({"count": 2.0}, TypeError),
        ({"count": True}, TypeError),
        ({"count": 1, "size": 8}, ValueError),
        ({"count": 1, "size": 10_000}, ValueError),
        ({"count": 1, "size": "64"}, TypeError),
        ({"count": 1, "seed": -1}, ValueError),
    ],
)
def test_bad_arguments(arguments, error):
    with pytest.raises(error, match="Silhouettes .*, not "):
        Silhouettes(**arguments)


def test_beyond_the_end():
    data = Silhouettes(2)
    for index in (2, -3):
        with pytest.raises(IndexError, match="2 pictures"):
            data[index]
    assert list(Silhouettes(0)) == []


def test_workers_draw_the_same():
    loader = torch.utils.data.DataLoader(Silhouettes(6, seed=3), batch_size=6, num_workers=2)
    images, _ = next(iter(loader))
    torch.testing.assert_close(images, torch.stack([Silhouettes(6, seed=3)[i][0] for i in range(6)]))
