"""`segwidgets.threshold` against scikit-image: the grey values, the histogram, Otsu's value; the variance by hand."""

import importlib

import numpy as np
import pytest
import torch
from skimage.color import rgb2gray
from skimage.filters import threshold_otsu

from course.data.photos import photo
from segwidgets.threshold import ABOVE, BELOW, threshold

NAMES = ("coins", "cat", "page")


def grey_of(name):
    return rgb2gray(photo(name).permute(1, 2, 0).numpy())


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


@pytest.mark.parametrize("name", NAMES)
def test_the_last_step_is_otsu_s_threshold(name):
    trace = threshold(photo(name)).trace
    best = threshold_otsu(grey_of(name))
    last = trace.steps[-1]
    assert last.text.startswith(f"Otsu's threshold, {best:.3g}, has the largest between-class variance")
    assert {column for _, column in last.marks["histogram"]["chosen"]} == {int(best * 32)}
    assert {column for _, column in last.marks["variance"]["chosen"]} == {round(best * 32) - 1}  # that of the nearest value, i / 32


@pytest.mark.parametrize("name", NAMES)
def test_otsu_s_variance_is_the_largest_shown(name):
    trace, grey = threshold(photo(name)).trace, grey_of(name)
    largest = []
    for i in range(1, 32):  # equation (14), from the pixels themselves
        below, above = grey[grey <= i / 32], grey[grey > i / 32]
        share = below.size / grey.size
        largest.append(share * (1 - share) * (above.mean() - below.mean()) ** 2 if below.size and above.size else 0)
        written = sorted(set(trace.steps[i].writes["variance"].values()))
        assert written == ([pytest.approx(largest[-1])] if largest[-1] else [])
    assert float(trace.panel("variance").limits[1]) >= max(largest)
    assert abs(1 + int(np.argmax(largest)) - threshold_otsu(grey) * 32) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_histogram_is_numpy_s(name):
    trace, grey = threshold(photo(name)).trace, grey_of(name)
    shown = trace.values_at("histogram", 0)  # [14, 32], NaN above each column
    percent = 100 * np.histogram(grey, 32, (0, 1))[0] / grey.size
    heights = (~np.isnan(shown)).sum(0)
    assert (heights == np.ceil(14 * percent / percent.max())).all() and heights.max() == 14
    # Four pixels of the cat are 0.5 but for the last bit: they may stand on either side of that edge.
    np.testing.assert_allclose(np.nanmax(shown[:, heights > 0], axis=0), percent[heights > 0], atol=0.004)


def test_columns_change_their_side_with_the_threshold():
    trace = threshold(photo("coins")).trace
    for i in (1, 13, 31):
        signs = np.sign(np.nanmean(trace.values_at("histogram", i), axis=0))
        assert (signs[:i] <= 0).all() and (signs[i:] >= 0).all()
        assert "".join(text for text, _ in trace.steps[i].spans).startswith(f"Threshold {i / 32:.3g}:")


def test_the_picture_shows_which_pixels_are_above():
    image = photo("coins")[:, :100, :120]  # small enough not to be shrunk
    trace, grey = threshold(image, [0.25, 0.5]).trace, rgb2gray(image.permute(1, 2, 0).numpy())
    film = trace.panel("photograph").frames
    assert len(film) == 4 and [trace.frame_at("photograph", i) for i in range(4)] == [0, 1, 2, 3]
    for frame, value in ((film[1], 0.25), (film[2], 0.5), (film[3], threshold_otsu(grey))):
        nearer = np.abs(frame.pixels - rgb(ABOVE)).sum(-1) < np.abs(frame.pixels - rgb(BELOW)).sum(-1)
        assert (nearer == (grey > value)).all()
    assert f"{(grey > 0.25).mean():.0%} of the pixels are brighter" in trace.steps[1].text


def test_a_threshold_that_divides_nothing_has_no_variance():
    trace = threshold(photo("coins"), [0.0, 1.0]).trace
    assert trace.steps[2].arithmetic == "all pixels are on one side: 0" and trace.steps[2].writes["variance"] == {}


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda x: threshold(x, [0.2, 1.2]), ValueError, r"values is \[0.2, 1.2\]; it takes rising thresholds in 0…1"),
        (lambda x: threshold(x, [0.4, 0.2]), ValueError, r"values is \[0.4, 0.2\]; it takes rising thresholds"),
        (lambda x: threshold(x, [0.2, 0.2]), ValueError, "it takes rising thresholds"),
        (lambda x: threshold(x, []), ValueError, r"values is \[\]; it takes rising"),
        (lambda x: threshold(x, 0.5), ValueError, r"values is 0.5; it takes rising thresholds in 0…1, such as \[0.2, 0.4, 0.6\]"),
        (lambda x: threshold(x, [float("nan")]), ValueError, r"values is \[nan\]; it takes"),
        (lambda x: threshold(x, torch.linspace(0, 1, 70)), ValueError, "values has 70 thresholds; 64 can be shown"),
        (lambda x: threshold(x * 0 + 0.5), ValueError, "image has the grey value 0.5 everywhere, and no threshold divides that"),
        (lambda x: threshold(x[0]), ValueError, r"image has the shape \[20, 30\]; a picture is \[3, H, W\]"),
        (lambda x: threshold(x * 255), ValueError, "image has values outside 0…1"),
        (lambda x: threshold(x, value=[0.5]), TypeError, r"segwidgets.threshold has no keyword 'value'; did you mean 'values'\?"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        call(photo("coins")[:, :20, :30])
    assert "\n" not in str(caught.value)


def test_a_split_on_the_wrong_side_fails_the_comparison(monkeypatch):
    module = importlib.import_module("segwidgets.threshold")
    right = module.Split
    monkeypatch.setattr(module, "Split", lambda grey, value: right(grey, value + 1 / 32))
    with pytest.raises(AssertionError):
        test_otsu_s_variance_is_the_largest_shown("coins")
