"""From a scene to pixels: who covers whom, what is left out, and light, shadow and blur against torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course.data import rendering, scenes
from course.data.objects import KINDS, Outline, Part, person
from course.data.scenes import Object, Piece, Scene, Texture, random_scene

SIZE = 64
PIECE = Piece("coffee", "train", 1.0, (0.0, 0.0), False)


def plain(*colour: int) -> Texture:
    return Texture("plain", np.array([colour, colour], np.uint8), period=0.1, slope=np.zeros(2, int), piece=PIECE)


def square(label: int, left: float, top: float, side: float, colour: tuple[int, int, int]) -> Object:
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * side + (left, top)
    return Object(label, Outline((Part([corners], 0),)), (plain(*colour),), shade=np.zeros(2, np.int32))


def quiet(*objects: Object) -> Scene:
    """No shadow, no gradient, no blur, no noise."""
    full, none = np.full(3, 256, np.uint16), np.zeros(2, np.int32)
    return Scene(PIECE, objects, gain=full, gradient=none, shadow=0, shadow_shift=none, blur=0, noise=0)


@pytest.fixture
def black(monkeypatch):
    monkeypatch.setattr(rendering, "photograph", lambda piece, side: np.zeros((3, side, side), np.uint8))


def drawn(scene: Scene):
    picture, seen = rendering.render(scene, SIZE, np.random.default_rng(0))
    return picture, [thing for thing, _ in seen], np.array([mask for _, mask in seen]).reshape(-1, SIZE, SIZE)


def test_by_hand(black):
    picture, things, masks = drawn(quiet(square(3, 0.25, 0.5, 0.25, (10, 20, 30))))
    expected = np.zeros((SIZE, SIZE), bool)
    expected[32:48, 16:32] = True
    assert [thing.label for thing in things] == [3]
    np.testing.assert_array_equal(masks[0], expected)
    np.testing.assert_array_equal(picture, expected * np.array([10, 20, 30])[:, None, None])


def test_later_objects_cover_earlier_ones(black):
    back, front = square(1, 0.0, 0.0, 0.5, (255, 0, 0)), square(2, 0.25, 0.25, 0.5, (0, 255, 0))
    picture, things, masks = drawn(quiet(back, front))
    assert things == [back, front]
    assert masks[1][16:48, 16:48].all() and masks[1].sum() == 32 * 32 and masks[0].sum() == 32 * 32 - 16 * 16
    np.testing.assert_array_equal(picture[0] == 255, masks[0])
    np.testing.assert_array_equal(picture[1] == 255, masks[1])


def test_every_pixel_of_an_object_is_painted_and_no_other(black, monkeypatch):
    white = plain(255, 255, 255)
    for i in range(40):
        scene = random_scene(np.random.default_rng(i), "train")
        flat = [replace(thing, textures=(white,) * 3, shade=np.zeros(2, np.int32)) for thing in scene.objects]
        picture, _, masks = drawn(quiet(*flat))
        np.testing.assert_array_equal(picture, np.broadcast_to(255 * masks.any(0), picture.shape))


def test_an_object_that_can_hardly_be_seen_is_left_out_and_covers_nothing(black):
    back, front = square(1, 0.0, 0.0, 0.5, (255, 0, 0)), square(2, 0.0, 0.0, 0.48, (0, 255, 0))
    assert drawn(quiet(back, front))[1] == [front]  # 1024 − 961 pixels are 6 %
    assert drawn(quiet(front, back))[1] == [back]
    # Of the one in the middle, a strip of 12 % is left over by the one in front: so it is left out, and uncovers the one behind.
    behind, hider = square(3, 0.125, 0.25, 0.125, (0, 0, 255)), square(2, 0.25, 0.1875, 0.5, (0, 255, 0))
    middle = square(1, 0.1875, 0.1875, 0.5, (255, 0, 0))
    picture, things, masks = drawn(quiet(behind, middle, hider))
    assert things == [behind, hider] and masks[0].sum() == 64 and not picture[0].any()
    wider = replace(middle, outline=square(1, 0.125, 0.1875, 0.5, (0, 0, 0)).outline)  # now 25 % are left over
    assert drawn(quiet(behind, wider, hider))[1] == [wider, hider]


@pytest.mark.parametrize(("left", "kept"), [(0.9, True), (0.97, False), (-0.4, True), (-0.47, False), (-3.0, False), (5.0, False)])
def test_what_is_mostly_outside_is_left_out(black, left, kept):
    _, things, masks = drawn(quiet(square(1, left, 0.25, 0.5, (255, 0, 0))))
    assert len(things) == kept
    if kept:
        assert masks[0].sum() == 32 * np.rint(SIZE * min(0.5 + left, 1 - left))


def test_fewer_than_the_least_pixels_are_left_out(black):
    for pixels, kept in ((3, False), (4, True)):
        assert len(drawn(quiet(square(1, 0.5, 0.5, pixels / SIZE, (9, 9, 9))))[1]) == kept
    assert 9 < scenes.VISIBLE_PIXELS <= 16


def test_an_empty_scene_is_the_photograph():
    picture, things, _ = drawn(quiet())
    assert things == []
    np.testing.assert_array_equal(picture, rendering.photograph(PIECE, SIZE))


def test_a_shadow_darkens_what_is_behind_and_not_the_object(monkeypatch):
    monkeypatch.setattr(rendering, "photograph", lambda piece, side: np.full((3, side, side), 200, np.uint8))
    thing = square(1, 0.3, 0.3, 0.3, (255, 255, 255))
    scene = replace(quiet(thing), shadow=128, shadow_shift=np.array([0.2, 0.1]))
    picture, _, masks = drawn(scene)
    assert (picture[:, masks[0]] == 255).all()
    behind = picture[0].copy()
    behind[masks[0]] = 200
    assert behind.min() == 100 and behind.max() == 200  # half the light where the shadow is full
    rows, columns = np.nonzero(behind < 150)
    assert columns.max() > 0.6 * SIZE and rows.max() > 0.6 * SIZE  # to the right, downwards
    outside = replace(quiet(square(1, 0.9, 0.9, 0.3, (255, 255, 255))), shadow=128, shadow_shift=np.array([3.0, 3.0]))
    assert (drawn(outside)[0] >= 200).all()


def test_light_and_blur_against_torch():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (3, 20, 30), dtype=np.uint8)
    ramp = rendering._ramp(20, 30, np.array([40, -20]))
    assert ramp.shape == (20, 30) and abs(ramp.mean() - 256) < 2
    assert abs(ramp[10, 0] - 216) <= 2 and abs(ramp[10, -1] - 296) <= 4 and abs(ramp[0, 15] - 276) <= 2
    np.testing.assert_allclose(rendering._times(picture, ramp), (picture * (ramp / 256)).clip(0, 255), atol=5)
    kernel = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]).div(16).expand(3, 1, 3, 3)
    padded = F.pad(torch.from_numpy(picture).float()[None], (1, 1, 1, 1), mode="replicate")
    expected = F.conv2d(padded, kernel, groups=3)[0].numpy()
    np.testing.assert_allclose(rendering._smeared(picture.astype(np.uint16)), expected, atol=1.01)


def test_noise_is_centred_and_bounded(black):
    picture, _, _ = drawn(replace(quiet(square(1, 0.0, 0.0, 1.0, (128, 128, 128))), noise=8))
    noise = picture.astype(int) - 128
    assert noise.min() >= -8 and noise.max() <= 8 and abs(noise.mean() + 0.5) < 0.2 and noise.std() > 2


def test_a_joint_always_has_a_pixel():
    """Also of a person so small that a limb passes between the pixels' centres."""
    rng, added = np.random.default_rng(0), 0
    for _ in range(300):
        outline = scenes.placed(person(rng), rng, 15, 0.1, rng.random(2))
        thing = Object(1, outline, (plain(0, 0, 0),) * 3, np.zeros(2, np.int32))
        small = rendering.Drawn(thing, 40)
        x, y = (np.floor(rendering.joints(thing, 40)).astype(int) - (small.window.left, small.window.top)).T
        assert small.whole[y, x].all()
        added += small.whole.sum() - rendering.Drawn(replace(thing, outline=replace(outline, joints=None)), 40).whole.sum()
    assert added > 10


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_object_is_as_large_as_asked(kind):
    rng = np.random.default_rng(3)
    for scale in scenes.SCALE:
        middle = rng.random(2)
        outline = scenes.placed(kind(rng), rng, KINDS[kind], scale, middle)
        corners = np.concatenate([contour for part in outline.parts for contour in part.contours])
        assert (corners.max(0) - corners.min(0)).max() == pytest.approx(scale)
        np.testing.assert_allclose((corners.max(0) + corners.min(0)) / 2, middle)


def test_outlines_tell_the_kinds_apart():
    """Nearest neighbours among black silhouettes of one size: of the same kind, mostly. And no two are alike."""
    rng = np.random.default_rng(0)
    masks, labels = [], []
    for label, (kind, most) in enumerate(KINDS.items()):
        for _ in range(40):
            outline = scenes.placed(kind(rng), rng, most, 0.6, np.full(2, 0.5))
            thing = Object(label, outline, (plain(0, 0, 0),) * 3, np.zeros(2, np.int32))
            window = rendering.Drawn(thing, SIZE)
            mask = np.zeros((48, 48))
            top, left = (48 - window.window.height) // 2, (48 - window.window.width) // 2
            mask[top : top + window.window.height, left : left + window.window.width] = window.whole
            masks.append(mask.ravel())
            labels.append(label)
    masks, labels = np.stack(masks), np.array(labels)
    both = masks @ masks.T
    overlap = both / (masks.sum(1)[:, None] + masks.sum(1) - both)
    np.fill_diagonal(overlap, 0)
    assert (labels[overlap.argmax(1)] == labels).mean() > 0.9
    assert len({mask.tobytes() for mask in masks}) == len(masks)
