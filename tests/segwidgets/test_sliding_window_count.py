"""`segwidgets.sliding_window_count`: its counts are those of a loop over all corners, its time a product; and what it refuses."""

import io

import pytest
import torch
from PIL import Image

import segwidgets
from segwidgets.still import MAX_STILL_BYTES, animated_png

SMALL = torch.full((3, 30, 50), 0.5)


def by_a_loop(size, height, width, stride):
    """Corners at which the window lies in the picture."""
    return sum(
        top + height <= size[0] and left + width <= size[1] for top in range(0, size[0], stride) for left in range(0, size[1], stride)
    )


def bars(widget, step=-1):
    return widget.trace.values_at("crops", step)[:, 0].tolist()


@pytest.mark.parametrize("stride", [1, 3, 8, 50])
def test_the_bars_end_at_the_counts_of_a_loop(stride):
    widget = segwidgets.sliding_window_count(SMALL, scales=(4, 10, 20), ratios=(1, 0.25, 4), stride=stride)
    sides = {4: [(4, 4), (2, 8), (8, 2)], 10: [(10, 10), (5, 20), (20, 5)], 20: [(20, 20), (10, 40), (40, 10)]}
    expected = [sum(by_a_loop((30, 50), *window, stride) for window in windows) for windows in sides.values()]
    assert bars(widget) == [*expected, sum(expected)]
    assert f"{sum(expected):,} crop" in widget.trace.steps[-1].text


def test_the_steps_of_a_small_example():
    widget = segwidgets.sliding_window_count(SMALL, scales=(10, 20), ratios=(1, 4), stride=10, seconds=0.5)
    assert [step.text for step in widget.trace.steps] == [
        "Windows of 4 sizes will stop at every 10 pixels down and to the right, and each stop is a crop for the classifier.",
        "Scale 10, height / width 1: 10 × 10 pixels at 3 × 5 places make 15 crops, so far 15.",
        "Scale 10, height / width 4: 20 × 5 pixels at 2 × 5 places make 10 crops, so far 25.",
        "Scale 20, height / width 1: 20 × 20 pixels at 2 × 4 places make 8 crops, so far 33.",
        "Scale 20, height / width 4: 40 × 10 pixels don't fit into the photograph and make no crop.",
        "33 crops of one photograph take 16 s at 500 ms each, and are one in 17,966 of the 592,875 boxes in it.",  # 465 · 1275 = 592,875
    ]
    assert widget.trace.steps[2].arithmetic == "(⌊(30 − 20) / 10⌋ + 1) × (⌊(50 − 5) / 10⌋ + 1) = 2 × 5 = 10"
    assert [bars(widget, step)[2] for step in range(1, 6)] == [15, 25, 33, 33, 33]
    assert widget.trace.panel("time").note == "seconds"
    assert [float(widget.trace.values_at("time", step)[0, 0]) for step in (1, 2, -1)] == [7.5, 12.5, 16.5]


def test_the_windows_stand_where_they_are():
    marks = segwidgets.sliding_window_count(SMALL, scales=(20,), ratios=(1,), stride=10).trace.steps[1].marks["photograph"]
    assert marks["read"] == [(0, 0, 20, 20)]
    assert set(marks["candidate"]) == {(x, y, x + 20, y + 20) for x in (0, 10, 20, 30) for y in (0, 10)} - {(0, 0, 20, 20)}
    large = segwidgets.sliding_window_count(torch.zeros(3, 300, 720), scales=(100,), ratios=(1,), stride=100)  # shown half as large
    assert (310, 100, 360, 150) not in large.trace.steps[1].marks["photograph"]["candidate"]
    assert (300, 100, 350, 150) in large.trace.steps[1].marks["photograph"]["candidate"]


def test_of_many_windows_some_are_drawn_and_it_says_so():
    widget = segwidgets.sliding_window_count(torch.rand(3, 300, 451), stride=1)
    for step in widget.trace.steps[1:-1]:
        drawn = sum(map(len, step.marks.get("photograph", {}).values()))
        assert drawn <= 100 and ("is drawn" in step.text or "don't fit" in step.text)
    assert widget.trace.nbytes < 200_000
    assert len(animated_png(widget.trace)[0]) <= MAX_STILL_BYTES


def test_the_sliders_count_anew(monkeypatch):
    widget = segwidgets.sliding_window_count(SMALL, scales=(10, 20), ratios=(1, 4), stride=10)
    assert widget.values == {"stride": 10, "how_many_scales": 2, "how_many_ratios": 2}
    answers = []
    monkeypatch.setattr(widget, "send", answers.append)
    for values, total in (({"stride": 5}, 45 + 30 + 21), ({"how_many_ratios": 1}, 45 + 21), ({"how_many_scales": 1}, 45)):
        widget._handle_custom_msg({"kind": "set", "values": values, "id": "a view"}, [])
        assert bars(widget)[-1] == total
    assert [answer["error"] for answer in answers] == [""] * 3


def test_what_has_one_value_has_no_slider():
    only = segwidgets.sliding_window_count(SMALL, scales=(10,), ratios=(2,), stride=100)
    assert only.values == {"stride": 100}


@pytest.mark.parametrize("shape", [(1, 1), (9, 200)])
def test_nothing_fits(shape):
    widget = segwidgets.sliding_window_count(torch.zeros(3, *shape), scales=(10, 20), ratios=(1,), seconds=1)
    assert bars(widget) == [0, 0, 0]
    assert widget.trace.steps[-1].text == "No window fits into the photograph, so there is nothing to classify."


@pytest.mark.parametrize(
    ("seconds", "words", "unit"),
    [(0.001, "33 ms", "seconds"), (2, "66 s", "seconds"), (60, "33 minutes", "minutes"), (1e4, "3.8 days", "days")],
)
def test_times_in_words(seconds, words, unit):
    widget = segwidgets.sliding_window_count(SMALL, scales=(10, 20), ratios=(1, 4), stride=10, seconds=seconds)
    assert f"take {words} at " in widget.trace.steps[-1].text and widget.trace.panel("time").note == unit
    assert float(widget.trace.values_at("time", -1)[0, 0]) == pytest.approx(
        33 * seconds / {"seconds": 1, "minutes": 60, "days": 86400}[unit]
    )


def test_with_a_measured_time_the_digest_is_the_same_on_every_machine():
    one, other = (segwidgets.sliding_window_count(SMALL, scales=(10,), seconds=seconds).trace for seconds in (0.5, 0.6))
    assert one.digest == other.digest and one.steps[-1].text != other.steps[-1].text
    strides = {segwidgets.sliding_window_count(SMALL, scales=(10,), stride=stride).trace.digest for stride in (4, 5, 6)}
    assert len(strides) == 3


def test_a_still_is_small_and_moves(cat):
    data = animated_png(segwidgets.sliding_window_count(cat[0], seconds=0.037).trace)[0]
    assert len(data) <= MAX_STILL_BYTES and Image.open(io.BytesIO(data)).n_frames >= 5


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: segwidgets.sliding_window_count(torch.rand(30, 50)), ValueError, "a picture is \\[3, H, W\\]"),
        (lambda: segwidgets.sliding_window_count(torch.rand(4, 30, 50)), ValueError, "a picture is \\[3, H, W\\]"),
        (lambda: segwidgets.sliding_window_count(torch.rand(1, 30, 50)), ValueError, "a picture is \\[3, H, W\\]"),
        (lambda: segwidgets.sliding_window_count(255 * SMALL), ValueError, "values outside 0…1"),
        (lambda: segwidgets.sliding_window_count(SMALL, scales=()), ValueError, "scales must be numbers above 0"),
        (lambda: segwidgets.sliding_window_count(SMALL, scales=10), TypeError, "scales must be a list"),
        (lambda: segwidgets.sliding_window_count(SMALL, ratios=(1, -2)), ValueError, "ratios must be numbers above 0"),
        (lambda: segwidgets.sliding_window_count(SMALL, scales=range(1, 99)), TypeError, "scales must be a list"),
        (lambda: segwidgets.sliding_window_count(SMALL, scales=[*range(1, 99)]), ValueError, "98 scales in 3 ratios are too many"),
        (lambda: segwidgets.sliding_window_count(SMALL, stride=0), ValueError, "stride is 0; it takes a whole number"),
        (lambda: segwidgets.sliding_window_count(SMALL, stride=2.5), ValueError, "stride is 2.5"),
        (lambda: segwidgets.sliding_window_count(SMALL, seconds=0), ValueError, "seconds is 0; it takes the time"),
        (lambda: segwidgets.sliding_window_count(SMALL, seconds=float("nan")), ValueError, "seconds is nan"),
        (lambda: segwidgets.sliding_window_count(SMALL, scale=(10,)), TypeError, "did you mean 'scales'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)
