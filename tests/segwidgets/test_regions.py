"""`segwidgets.felzenszwalb` and `segwidgets.slic` show what scikit-image computes, step by step."""

import importlib

import numpy as np
import pytest
import torch
from skimage import segmentation

from course.data.photos import photo
from segwidgets.regions import OUTLINE, felzenszwalb, slic

SMALL = photo("cat")[:, 60:200, 100:290]  # [3, 140, 190]: shown as it is, pixel for pixel
LAST = SMALL.permute(1, 2, 0).numpy()


def edges(labels):
    """Pixels beside one of another label, above, below, left or right."""
    found = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        differs = np.diff(labels, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        found[tuple(before)] |= differs
        found[tuple(after)] |= differs
    return found


def drawn(frame):
    return (frame.pixels == [int(OUTLINE[i : i + 2], 16) for i in (1, 3, 5)]).all(-1)


def assert_shows(trace, i, labels):
    """Frame i outlines exactly these regions, and paints each in its mean colour."""
    assert trace.frame_at("photograph", i) == trace.frame_at("means", i) == i
    assert (drawn(trace.panel("photograph").frames[i]) == edges(labels)).all()
    means = trace.panel("means").frames[i].pixels
    picture = trace.panel("photograph").frames[0].pixels
    for label in np.unique(labels)[:40]:
        painted = means[labels == label]
        assert (painted == painted[0]).all()
        assert np.abs(painted[0] - picture[labels == label].mean(0)).max() <= 1


def test_felzenszwalb_is_scikit_image_s():
    trace = felzenszwalb(SMALL, (50, 200, 1000), sigma=0.5, min_size=30).trace
    for i, scale in enumerate((50, 200, 1000)):
        labels = segmentation.felzenszwalb(LAST, scale=scale, sigma=0.5, min_size=30)
        assert_shows(trace, i + 1, labels)
        assert trace.values_at("regions", -1)[i, 0] == labels.max() + 1
        assert f"Scale {scale}:" in trace.steps[i + 1].text and f"leaves {labels.max() + 1} regions" in trace.steps[i + 1].text
    assert np.isnan(trace.values_at("regions", 0)).all()


def test_larger_scales_leave_fewer_regions():
    counts = felzenszwalb(photo("coins")).trace.values_at("regions", -1)[:, 0]
    assert (np.diff(counts) < 0).all()


def test_slic_is_scikit_image_s():
    trace = slic(SMALL, 40, compactness=20, iterations=5).trace
    raw = []
    for i in range(1, 6):
        given = {"n_segments": 40, "compactness": 20, "max_num_iter": i, "start_label": 0}
        labels = segmentation.slic(LAST, **given)
        assert_shows(trace, i, labels)
        assert f"there are {len(np.unique(labels))} superpixels" in trace.steps[i].text
        raw.append(segmentation.slic(LAST, enforce_connectivity=False, **given))
    moved = [100] + [100 * np.mean(raw[i] != raw[i - 1]) for i in range(1, 5)]
    np.testing.assert_allclose(trace.values_at("moved", -1)[:, 0], moved, rtol=1e-5)


def test_superpixels_settle():
    moved = slic(photo("coins")).trace.values_at("moved", -1)[:, 0]
    assert len(moved) == 10 and moved[-1] < moved[1] / 5


def test_a_large_photograph_is_segmented_as_it_is_and_shown_small():
    trace = felzenszwalb(photo("motorcycle"), [500]).trace
    labels = segmentation.felzenszwalb(photo("motorcycle").permute(1, 2, 0).numpy(), scale=500, sigma=0.8, min_size=20)
    assert trace.values_at("regions", -1)[0, 0] == labels.max() + 1
    assert trace.panel("photograph").columns == 360 and trace.panel("photograph").note == "[3, 500, 741]"


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: felzenszwalb(SMALL, []), ValueError, r"scales is \[\]; it takes rising numbers above 0, such as \(30, 100, 300\)"),
        (lambda: felzenszwalb(SMALL, (100, 30)), ValueError, r"scales is \(100, 30\); it takes rising numbers"),
        (lambda: felzenszwalb(SMALL, (0, 30)), ValueError, r"scales is \(0, 30\); it takes rising numbers above 0"),
        (lambda: felzenszwalb(SMALL, 100), ValueError, "scales is 100; it takes rising numbers"),
        (lambda: felzenszwalb(SMALL, (1, float("inf"))), ValueError, "scales is .*inf.*; it takes rising numbers"),
        (lambda: felzenszwalb(SMALL, range(1, 20)), ValueError, "scales has 19 values; 16 can be shown"),
        (lambda: felzenszwalb(SMALL, sigma=-1), ValueError, "sigma is -1; it takes a number from 0 up"),
        (lambda: felzenszwalb(SMALL, min_size=0), ValueError, "min_size is 0; it takes a number from 1 up"),
        (lambda: felzenszwalb(SMALL, scale=3), TypeError, r"segwidgets.felzenszwalb has no keyword 'scale'; did you mean 'scales'\?"),
        (lambda: slic(SMALL, 0), ValueError, "n_segments is 0; it takes a number from 1 up"),
        (lambda: slic(SMALL, compactness="high"), ValueError, "compactness is 'high'; it takes a number from 0 up"),
        (lambda: slic(SMALL, iterations=0), ValueError, "iterations is 0; it takes a whole number from 1 to 16"),
        (lambda: slic(SMALL, iterations=2.5), ValueError, "iterations is 2.5; it takes a whole number"),
        (lambda: slic(SMALL, segments=9), TypeError, r"segwidgets.slic has no keyword 'segments'; did you mean 'n_segments'\?"),
        (lambda: slic(torch.ones(4, 8, 8)), ValueError, r"image has the shape \[4, 8, 8\]; a picture is \[3, H, W\]"),
        (lambda: felzenszwalb(SMALL * 255), ValueError, "image has values outside 0…1"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_outlines_one_pixel_off_fail_the_comparison(monkeypatch):
    module = importlib.import_module("segwidgets.regions")
    right = module._fitted
    monkeypatch.setattr(module, "_fitted", lambda labels, size: np.roll(right(labels, size), 1, axis=1))
    with pytest.raises(AssertionError):
        test_felzenszwalb_is_scikit_image_s()
