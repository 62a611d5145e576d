"""`segwidgets.pixel_loss` shows what torch computes, and where a student's own loss goes wrong."""

import importlib
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from course.ops.cross_entropy import pixel_cross_entropy, pixel_cross_entropy_steps
from segwidgets.pixel_loss import pixel_loss

LOGITS = torch.tensor([[[2.0, 0], [1, 0]], [[1, 3], [1, 0]], [[0, 1], [1, 4]]])  # [3, 2, 2]
TARGET = torch.tensor([[0, 1], [2, 2]])


def as_table(x):
    """`[K, H, W]` as the widget lays it out: a row a pixel, a column a class."""
    return x.flatten(1).T


@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 2, 2), (5, 4, 3), (8, 4, 4)], ids=str)
def test_the_last_step_is_torch_s_answer(shown, shape):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(shape, generator=generator)
    target = torch.randint(0, shape[0], shape[1:], generator=generator)
    if target.numel() > 1:
        target.view(-1)[1] = 255
    player = pixel_loss(logits, target)
    counts = target != 255
    torch.testing.assert_close(shown(player, "scores", 0), as_table(logits))
    expected = as_table(logits.softmax(0)).masked_fill(~counts.flatten()[:, None], torch.nan)
    torch.testing.assert_close(shown(player, "probabilities"), expected, equal_nan=True)
    losses = F.cross_entropy(logits[None], target[None], ignore_index=255, reduction="none")[0]
    torch.testing.assert_close(shown(player, "loss"), losses.masked_fill(~counts, torch.nan), equal_nan=True)
    torch.testing.assert_close(shown(player, "mean")[0, 0], F.cross_entropy(logits[None], target[None], ignore_index=255))


def test_it_fills_pixel_by_pixel(shown):
    player = pixel_loss(LOGITS, TARGET)
    assert shown(player, "probabilities", 0).isnan().all() and shown(player, "loss", 0).isnan().all()
    torch.testing.assert_close(shown(player, "probabilities", 1)[0], torch.tensor([0.0, -1, -2]).exp())  # exponentials first
    torch.testing.assert_close(shown(player, "probabilities", 2)[0], LOGITS[:, 0, 0].softmax(0))
    assert shown(player, "loss", 3).isnan().sum() == 3
    assert len(player.trace.steps) == 1 + 4 * 3 + 1


def test_the_marks_of_a_pixel():
    steps = pixel_loss(LOGITS, TARGET).trace.steps
    assert sorted(steps[0].marks["scores"]["truth"]) == [(0, 0), (1, 1), (2, 2), (3, 2)]  # one true class in each row
    exponentials, probabilities, loss = steps[4:7]  # the second pixel, row 0, column 1
    assert exponentials.marks["scores"]["read"] == [(1, 0), (1, 1), (1, 2)]
    assert probabilities.marks["probabilities"]["write"] == [(1, 0), (1, 1), (1, 2)]
    assert loss.marks["probabilities"]["truth"] == [(1, 1)] and loss.marks["loss"]["write"] == [(0, 1)]
    assert loss.marks["truth"] == {"truth": [(1, 0, 2, 1)]} and loss.arithmetic == "−log(0.844) = 0.17"
    assert sorted(steps[-1].marks["loss"]["read"]) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_void_pixel_is_hatched_and_counts_nowhere(shown):
    player = pixel_loss(LOGITS, torch.tensor([[0, 255], [2, 2]]))
    step = player.trace.steps[4]
    assert step.text == "The pixel at row 0, column 1 is void, 255: it does not count."
    assert step.marks["loss"] == {"ignored": [(0, 1)]} and step.marks["scores"]["ignored"] == [(1, 0), (1, 1), (1, 2)]
    assert shown(player, "loss").isnan().tolist() == [[False, True], [False, False]]
    assert (0, 1) not in player.trace.steps[-1].marks["loss"]["read"]


def test_the_legend_names_the_classes():
    picture = pixel_loss(LOGITS, TARGET, classes=("sky", "cat", "grass")).trace.panel("truth")
    assert [name for name, _ in picture.legend] == ["0 sky", "1 cat", "2 grass"]
    colours = {tuple(picture.pixels[row, column]) for row in range(2) for column in range(2)}
    assert {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colours} == {colour for _, colour in picture.legend}


def test_lists_half_precision_and_a_batch_of_one_are_taken(shown):
    expected = shown(pixel_loss(LOGITS, TARGET), "mean")
    for logits, target in (
        (LOGITS.tolist(), TARGET.tolist()),
        (LOGITS.half()[None], TARGET[None].to(torch.uint8)),
        (LOGITS.numpy(), TARGET),
    ):
        torch.testing.assert_close(shown(pixel_loss(logits, target), "mean"), expected)


# ---- the student's own function -----------------------------------------------------------------------------------------


def right(logits, target, ignore_index):
    return F.cross_entropy(logits, target, ignore_index=ignore_index)


def without_log(logits, target):
    return 1 - logits.softmax(1).gather(1, target[:, None]).mean()


def over_the_picture(logits, target):
    """Softmax over the pixels: of one pixel alone all is 1."""
    return F.nll_loss(logits.flatten(2).log_softmax(2).unflatten(2, logits.shape[2:]), target)


def summed(logits, target):
    return F.cross_entropy(logits, target, reduction="sum")


def test_a_right_function(shown):
    for fn in (right, pixel_cross_entropy):
        player = pixel_loss(LOGITS, TARGET, fn=fn)
        torch.testing.assert_close(shown(player, "yours"), shown(player, "mean"))
        assert player.trace.steps[-1].text == "Yours is 0.428, too."


@pytest.mark.parametrize("fn", [without_log, over_the_picture])
def test_a_wrong_function_is_named_on_a_single_pixel(fn, shown):
    player = pixel_loss(LOGITS, TARGET, fn=fn)
    torch.testing.assert_close(shown(player, "yours")[0, 0], fn(LOGITS[None], TARGET[None]))
    last = player.trace.steps[-1]
    assert last.marks["yours"] == {"wrong": [(0, 0)]} and last.marks["loss"] == {"wrong": [(0, 0)]}
    assert "where 0.428 belongs: the pixel at row 0, column 0 alone gives" in last.text and last.text.endswith("instead of 0.408.")


def test_a_function_that_only_puts_pixels_together_wrongly():
    last = pixel_loss(LOGITS, TARGET, fn=summed).trace.steps[-1]
    assert last.text == "Yours is 1.71, where 0.428 belongs, though each pixel alone comes out right: look at how they are put together."


def test_a_function_cannot_change_what_is_shown(shown):
    def greedy(logits, target):
        target.zero_()
        return logits.zero_().sum()

    player = pixel_loss(LOGITS, TARGET, fn=greedy)
    torch.testing.assert_close(shown(player, "scores"), as_table(torch.tensor([[[2.0, 0], [1, 0]], [[1, 3], [1, 0]], [[0, 1], [1, 4]]])))


@pytest.mark.parametrize(
    ("fn", "sentence"),
    [
        (
            lambda logits, target: 1 / 0,
            r"<lambda>\(logits, target\), called with logits \[1, K, H, W\] and target \[1, H, W\], raised ZeroD",
        ),
        (lambda logits, target: None, "<lambda> returned NoneType, and one number, the mean over the pixels, was expected"),
        (lambda logits, target: logits, r"<lambda> returned the shape \[1, 3, 2, 2\], and one number"),
        (lambda logits, target: float("nan"), "<lambda> returned NaN; only finite numbers can be shown"),
    ],
)
def test_a_function_that_fails_is_one_sentence(fn, sentence):
    with pytest.raises(ValueError, match=sentence):
        pixel_loss(LOGITS, TARGET, fn=fn)


# ---- what cannot be shown -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: pixel_loss(torch.zeros(9, 2, 2), TARGET), ValueError, "logits has 9 classes and 2×2 pixels; this widget shows 8 classes"),
        (lambda: pixel_loss(torch.zeros(3, 5, 2), TARGET), ValueError, r"4×4 pixels at most: pass a crop, logits\[:, :4, :4\]"),
        (lambda: pixel_loss(LOGITS[0], TARGET), ValueError, r"shape \[2, 2\]; this widget shows one picture's scores, \[K, H, W\]"),
        (lambda: pixel_loss(torch.zeros(2, 3, 2, 2), TARGET), ValueError, r"shape \[2, 3, 2, 2\]; this widget shows one picture"),
        (lambda: pixel_loss(LOGITS / 0, TARGET), ValueError, "logits has NaN or infinite values; a widget shows finite numbers only"),
        (lambda: pixel_loss("abc", TARGET), TypeError, "logits is str; a widget takes a tensor"),
        (lambda: pixel_loss(LOGITS, TARGET + 1), ValueError, "classes 0 to 2, or 255 for void; got 3 at row 1, column 0"),
        (lambda: pixel_loss(LOGITS, TARGET.float() + 0.5), TypeError, "target must hold whole numbers"),
        (lambda: pixel_loss(LOGITS, TARGET[:1]), ValueError, "target must have one label a pixel"),
        (lambda: pixel_loss(LOGITS, TARGET * 0 + 255), ValueError, "target is 255, void, in every pixel, and no losses have no mean"),
        (lambda: pixel_loss(LOGITS, TARGET, classes=("sky", "cat")), ValueError, r"classes is \('sky', 'cat'\); it takes 3 names"),
        (lambda: pixel_loss(LOGITS, TARGET, classes="abc"), ValueError, "classes is 'abc'; it takes 3 names"),
        (lambda: pixel_loss(LOGITS, TARGET, ignore_indx=0), TypeError, r"no keyword 'ignore_indx'; did you mean 'ignore_index'\?"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_one_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_an_off_by_one_in_a_step_fails_the_comparison(shown, monkeypatch):
    def one_class_too_far(*arguments):
        for step in pixel_cross_entropy_steps(*arguments):
            writes = {((k + 1) % 3, y, x): value for (k, y, x), value in step.writes.get("probabilities", {}).items()}
            yield replace(step, writes={**step.writes, "probabilities": writes}) if writes else step

    monkeypatch.setattr(importlib.import_module("segwidgets.pixel_loss"), "pixel_cross_entropy_steps", one_class_too_far)
    with pytest.raises(AssertionError, match="Mismatched elements"):
        test_the_last_step_is_torch_s_answer(shown, (3, 2, 2))
