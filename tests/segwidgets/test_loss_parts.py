"""`segwidgets.loss_parts`: curves against means taken one by one, shares against the sum, and what is said against what happened."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

import segwidgets
from course.history import History
from segwidgets.still import MAX_STILL_BYTES, animated_png

NAMES = ["rpn_objectness", "rpn_box", "classification", "box"]


def falling(steps, seed=0):
    """Four losses with noise, of which the last rises first."""
    draw = np.random.default_rng(seed)
    time = np.arange(steps) / steps
    courses = [0.7 * np.exp(-5 * time), 0.2 * np.exp(-time), 1.4 * np.exp(-3 * time), 0.3 * time * np.exp(-time)]
    return {name: (course * draw.uniform(0.7, 1.3, steps) + 0.01).tolist() for name, course in zip(NAMES, courses, strict=True)}


def trained(steps, epochs):
    """What `fit` returns after so many steps in so many epochs, with a score besides the losses."""
    losses = falling(steps)
    means = {name: np.array(values).reshape(epochs, -1).mean(1).tolist() for name, values in losses.items()}
    return History(steps=losses, epochs=means | {"mAP": [0.1] * epochs})


def trailing_mean(values, end, smoothing):
    return sum(values[max(0, end - smoothing) : end]) / min(end, smoothing)


def part_of(widget, step):
    """How long the bars are, as parts of their sum."""
    looks = widget.trace.boxes_at("shares", step)
    lengths = np.array([look.place[2] - look.place[0] for look in looks])
    return lengths / lengths.sum()


@pytest.mark.parametrize("smoothing", [1, 2, 7, 30])
def test_every_point_is_the_mean_of_the_last_steps(smoothing, shown):
    history = trained(60, 6)
    widget = segwidgets.loss_parts(history, smoothing=smoothing)
    table = shown(widget, "losses")
    expected = [[trailing_mean(history.steps[name], end, smoothing) for end in range(1, 61)] for name in NAMES]
    torch.testing.assert_close(table, torch.tensor(expected), rtol=1e-5, atol=1e-6)
    note = widget.trace.panel("losses").note
    assert note == "steps 1 to 60, " + ("as recorded" if smoothing == 1 else f"each point the mean of the last {smoothing} steps")
    assert (f"averaged over {smoothing} steps" in widget.trace.steps[0].text) == (smoothing > 1)


def test_the_curves_grow_epoch_by_epoch_and_the_bars_are_the_shares_then(shown):
    history = trained(60, 6)
    widget = segwidgets.loss_parts(history, smoothing=4)
    assert len(widget.trace.steps) == 7 and shown(widget, "losses", 0).isnan().all()
    assert {look.role for look in widget.trace.boxes_at("shares", 0)} == {None}
    for epoch in range(1, 7):
        table = shown(widget, "losses", epoch)
        assert not table[:, : 10 * epoch].isnan().any() and table[:, 10 * epoch :].isnan().all()
        now = np.array([trailing_mean(history.steps[name], 10 * epoch, 4) for name in NAMES])
        np.testing.assert_allclose(part_of(widget, epoch), now / now.sum(), atol=1e-3)
        largest = int(now.argmax())
        looks = widget.trace.boxes_at("shares", epoch)
        assert [look.role == "chosen" for look in looks] == [i == largest for i in range(4)]
        assert [look.label for look in looks] == [f"{name} {share:.0%}" for name, share in zip(NAMES, now / now.sum(), strict=True)]
        text = widget.trace.steps[epoch].text
        assert text.startswith(
            f"After epoch {epoch}, step {10 * epoch}: {NAMES[largest]} is the largest, {now[largest] / now.sum():.0%} of"
        )
        first = np.array([trailing_mean(history.steps[name], 4, 4) for name in NAMES])
        for name, old, new in zip(NAMES, first, now, strict=True):
            change = f"{'fell' if new < old else 'rose'} by {abs(new / old - 1):.0%}"
            told = f"{name} rose {new / old:.3g}-fold" if new > 2 * old else f"{name} {change}"
            assert told in text


def test_two_losses_by_hand():
    widget = segwidgets.loss_parts({"class": [4.0, 2, 1], "box": [1.0, 2, 4]}, smoothing=1)
    assert [step.text for step in widget.trace.steps] == [
        "One training minimises the sum of 2 losses: class and box. Each has its own scale.",
        "After step 1: class is the largest, 80% of the sum.",
        "After step 2: class is the largest, 50% of the sum. Since the first step: class fell by 50%, box rose by 100%.",
        "After step 3: box is the largest, 80% of the sum. Since the first step: class fell by 75%, box rose 4-fold.",
    ]
    assert [step.arithmetic for step in widget.trace.steps] == ["", "4 + 1 = 5", "2 + 2 = 4", "1 + 4 = 5"]


def test_losses_that_are_zero_have_no_share():
    widget = segwidgets.loss_parts({"a": [0.0, 0, 1], "b": [0.0, 2, 0]}, smoothing=1)
    assert widget.trace.steps[1].text == "After step 1 all losses are 0."
    assert widget.trace.steps[2].text.endswith("a is as it was, b rose from 0 to 2.")
    assert [look.label for look in widget.trace.boxes_at("shares", 1)] == ["a 0%", "b 0%"]
    assert {look.role for look in widget.trace.boxes_at("shares", 1)} == {"write"}
    calm = segwidgets.loss_parts({"a": [0.0, 0], "b": [0.0, 0]})
    assert calm.trace.steps[-1].text == "After step 2 all losses are 0."


def test_a_long_training_is_drawn_in_few_points_and_always_to_its_end(shown):
    losses = falling(2000)
    widget = segwidgets.loss_parts(History(steps=losses, epochs={name: [1.0] * 100 for name in losses}))
    table, panel = shown(widget, "losses"), widget.trace.panel("losses")
    assert panel.columns <= 300 and not table.isnan().any() and len(widget.trace.steps) <= 31 and widget.trace.nbytes < 100_000
    assert panel.note == "steps 1 to 2000, each point the mean of the last 40 steps, every 7th drawn"
    expected = [[trailing_mean(losses[name], end, 40) for end in (7, 14, 2000)] for name in NAMES]
    torch.testing.assert_close(table[:, [0, 1, -1]], torch.tensor(expected), rtol=1e-5, atol=1e-6)
    assert [step.text.split(":")[0] for step in widget.trace.steps[1:3]] == ["After epoch 4, step 80", "After epoch 8, step 160"]
    assert widget.trace.steps[-1].text.startswith("After epoch 100, step 2000:")


def test_the_slider_smooths():
    history = trained(60, 6)
    widget = segwidgets.loss_parts(history)
    assert widget.values == {"smoothing": 1} and widget._settings[0]["high"] == 60
    history.steps["box"][:] = [5.0] * 60  # what was given stays what it was
    widget.set(smoothing=20)
    assert [step.text for step in widget.trace.steps] == [
        step.text for step in segwidgets.loss_parts(trained(60, 6), smoothing=20).trace.steps
    ]
    with pytest.raises(ValueError, match="smoothing is 61"):
        widget.set(smoothing=61)


def test_what_a_history_holds_is_read_as_what_it_is():
    stopped = trained(60, 6)
    stopped.interrupted = True  # within an epoch: its steps do not fill its epochs
    assert segwidgets.loss_parts(stopped).trace.steps[-1].text.startswith("After step 60:")
    epochs = History(epochs={"class": [2.0, 1], "box": [1.0, 1]})
    assert segwidgets.loss_parts(epochs).trace.steps[-1].text.startswith("After epoch 2: ")
    as_dict = segwidgets.loss_parts({"class": [2.0, 1], "box": [1.0, 1]}, unit="epoch")
    assert repr(as_dict) == repr(segwidgets.loss_parts(epochs))
    two = segwidgets.loss_parts(trained(60, 6), names=["box", "rpn_box"])
    assert list(two.trace.panel("losses").labels) == ["box", "rpn_box"]
    tensors = segwidgets.loss_parts({"class": torch.tensor([2.0, 1]), "box": np.array([1.0, 1])})
    assert len(tensors.trace.steps) == 3


def test_its_still_moves():
    data = animated_png(segwidgets.loss_parts(trained(60, 6)).trace)[0]
    assert len(data) <= MAX_STILL_BYTES and Image.open(io.BytesIO(data)).n_frames >= 5


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: segwidgets.loss_parts({}), ValueError, "history is empty: nothing has been trained yet"),
        (lambda: segwidgets.loss_parts(History()), ValueError, "history is empty"),
        (lambda: segwidgets.loss_parts({"a": [], "b": []}), ValueError, "history holds no steps; .* at least two"),
        (lambda: segwidgets.loss_parts({"a": [1], "b": [1]}), ValueError, "history holds one step; .* at least two"),
        (
            lambda: segwidgets.loss_parts({"a": [1, 2, math.nan], "b": [1] * 3}),
            ValueError,
            "a is NaN at step 3: pass what was recorded before",
        ),
        (lambda: segwidgets.loss_parts({"a": [1, 2], "b": [1, math.inf]}), ValueError, "b is ∞ at step 2"),
        (
            lambda: segwidgets.loss_parts({"a": [1, 2], "b": [-1, 2]}),
            ValueError,
            "b is −1 at step 1: a part of a sum of losses is 0 or more",
        ),
        (lambda: segwidgets.loss_parts({"a": [1, 2], "b": [1]}), ValueError, "the losses have 2 and 1 numbers; each needs one a step"),
        (lambda: segwidgets.loss_parts({"loss": [1, 2]}), ValueError, "there is one loss, 'loss'"),
        (lambda: segwidgets.loss_parts({"a": "falling", "b": [1, 2]}), TypeError, "a is str; a loss is a list of numbers"),
        (lambda: segwidgets.loss_parts({"a": 3, "b": [1, 2]}), TypeError, "a is int; a loss is a list of numbers"),
        (lambda: segwidgets.loss_parts({str(i): [1, 2] for i in range(7)}), ValueError, "names has 7 entries; it takes 2 to 6"),
        (lambda: segwidgets.loss_parts(falling(4), names=["box", "boxes"]), ValueError, "there is no loss 'boxes'; history has rpn_obj"),
        (lambda: segwidgets.loss_parts(falling(4), names=["box", "box"]), ValueError, "different losses"),
        (lambda: segwidgets.loss_parts(falling(4), unit="hour"), ValueError, "unit is 'hour'"),
        (lambda: segwidgets.loss_parts(falling(4), smoothing=0), ValueError, "smoothing is 0; it goes from 1 to 4"),
        (lambda: segwidgets.loss_parts([1, 2]), TypeError, "history is list; loss_parts reads a course.training.History"),
        (lambda: segwidgets.loss_parts(falling(4), smooth=2), TypeError, "did you mean 'smoothing'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)
