import math

import pytest
import torch

from course.ops.cross_entropy import pixel_cross_entropy, pixel_cross_entropy_steps

# Two pixels and three classes, made so that the exponentials are whole: e^0 = 1, e^log 2 = 2, e^log 5 = 5.
LOGITS = torch.tensor([[0, 0], [math.log(2), 0], [math.log(5), 0]]).reshape(3, 1, 2)
TARGET = torch.tensor([[1, 0]])


def test_by_hand():
    # Pixel 0: e^0 + e^log 2 + e^log 5 = 8, so class 1 has 2/8. Pixel 1: three equal scores, so any class has 1/3.
    assert pixel_cross_entropy(LOGITS, TARGET).item() == pytest.approx((math.log(4) + math.log(3)) / 2)
    assert pixel_cross_entropy(LOGITS, torch.tensor([[1, 255]])).item() == pytest.approx(math.log(4))
    assert pixel_cross_entropy(LOGITS, torch.tensor([[255, 0]])).item() == pytest.approx(math.log(3))
    assert pixel_cross_entropy(LOGITS, TARGET, ignore_index=1).item() == pytest.approx(math.log(3))


def test_without_knowing_anything_the_loss_is_the_log_of_the_number_of_classes():
    assert pixel_cross_entropy(torch.zeros(2, 21, 4, 4), torch.ones(2, 4, 4).long()).item() == pytest.approx(math.log(21))


def test_one_class_is_always_right():
    assert pixel_cross_entropy(torch.randn(1, 1, 3, 3), torch.zeros(1, 3, 3).long()).item() == 0


def test_where_every_pixel_is_void_there_is_no_mean():
    logits = torch.zeros(1, 3, 2, 2, requires_grad=True)
    loss = pixel_cross_entropy(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.isnan() and logits.grad.eq(0).all()


def test_a_constant_added_to_a_pixel_s_scores_changes_nothing():
    target = torch.randint(0, 3, (1, 4, 4))
    logits = torch.randint(-4, 5, (1, 3, 4, 4)).float()
    moved = logits + torch.randint(-9, 9, (1, 1, 4, 4))
    torch.testing.assert_close(pixel_cross_entropy(moved, target), pixel_cross_entropy(logits, target))


def test_the_steps_of_a_pixel():
    exponentials, probabilities, loss = list(pixel_cross_entropy_steps(LOGITS, TARGET))[:3]
    assert exponentials.text == (
        "At row 0, column 0 the largest score is 1.61: take it away from all 3 and raise e to the rest, which gives 0.2, 0.4, 1."
    )
    assert exponentials.arithmetic == "e^(0 − 1.61) = 0.2,  e^(0.693 − 1.61) = 0.4,  e^(1.61 − 1.61) = 1"
    assert exponentials.reads == {"logits": ((0, 0, 0), (1, 0, 0), (2, 0, 0))}
    assert probabilities.text == "Together they are 1.6: divide each by it, and the 3 probabilities 0.125, 0.25, 0.625 add up to 1."
    assert probabilities.terms == {(0, 0, 0): "0.2 / 1.6", (1, 0, 0): "0.4 / 1.6", (2, 0, 0): "1 / 1.6"}
    assert loss.text == "The true class is 1, with the probability 0.25: write −log of it, 1.39."
    assert loss.reads == {"target": ((0, 0),), "probabilities": ((1, 0, 0),)}
    assert loss.writes["loss"] == {(0, 0): pytest.approx(math.log(4))} and loss.arithmetic == "−log(0.25) = 1.39"


def test_a_void_pixel_is_named_and_writes_nothing():
    steps = list(pixel_cross_entropy_steps(LOGITS, torch.tensor([[255, 0]])))
    assert steps[0].text == "The pixel at row 0, column 0 is void, 255: it does not count." and not steps[0].writes
    assert steps[-1].text == "Only one pixel counts: its loss, 1.1, is the mean."
    (*_, last) = pixel_cross_entropy_steps(LOGITS, torch.tensor([[255, 255]]))
    assert last.text == "Every pixel is void: there is nothing to average, and the loss is NaN." and math.isnan(last.writes["mean"][()])


def test_several_images_are_named():
    steps = list(pixel_cross_entropy_steps(LOGITS[None].repeat(2, 1, 1, 1), TARGET[None].repeat(2, 1, 1)))
    assert steps[6].text.startswith("At image 1, row 0, column 0 the largest score")
    assert steps[-1].text == "The 4 losses add up to 4.97: their mean, 1.24, is the loss."
    assert steps[-1].reads == {"loss": ((0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1))}


def test_the_steps_know_what_a_probability_of_0_costs():
    (*_, loss, mean) = pixel_cross_entropy_steps(torch.tensor([[[1000.0]], [[0]]]), torch.tensor([[1]]))
    assert loss.text == "The true class is 1, with the probability e^−1000: write −log of it, 1000."
    assert mean.writes == {"mean": {(): 1000}}


@pytest.mark.parametrize(
    ("logits", "target", "void", "error", "sentence"),
    [
        ([1.0], TARGET, 255, TypeError, "logits must be a torch.Tensor; got list"),
        (LOGITS, [[1, 0]], 255, TypeError, "target must be a torch.Tensor; got list"),
        (LOGITS.long(), TARGET, 255, TypeError, "logits must be floating-point scores; got torch.int64"),
        (LOGITS, TARGET.float(), 255, TypeError, "target must hold whole numbers, the labels of the classes; got torch.float32"),
        (LOGITS, TARGET > 0, 255, TypeError, "target must hold whole numbers, the labels of the classes; got torch.bool"),
        (LOGITS[0], TARGET, 255, ValueError, r"logits must have shape \[N, K, H, W\] or \[K, H, W\], none of them 0; got \[1, 2\]"),
        (LOGITS[:0], TARGET, 255, ValueError, r"logits must have shape .*; got \[0, 1, 2\]"),
        (LOGITS, TARGET.mT, 255, ValueError, r"one label a pixel, the shape \[1, 2\] for logits of shape \[3, 1, 2\]; got \[2, 1\]"),
        (LOGITS[None], TARGET, 255, ValueError, r"target must have one label a pixel, the shape \[1, 1, 2\]"),
        (LOGITS, TARGET + 2, 255, ValueError, "target must hold the classes 0 to 2, or 255 for void; got 3 at row 0, column 0"),
        (LOGITS, TARGET - 1, 255, ValueError, "target must hold the classes 0 to 2, or 255 for void; got -1 at row 0, column 1"),
        (LOGITS, TARGET * 0 + 255, 0, ValueError, "target must hold the classes 0 to 2, or 0 for void; got 255"),
        (LOGITS, TARGET, 2.0, TypeError, "ignore_index must be an integer, the label of void; got 2.0"),
        (LOGITS, TARGET, None, TypeError, "ignore_index must be an integer, the label of void; got None"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(logits, target, void, error, sentence):
    for function in (pixel_cross_entropy, lambda *given: list(pixel_cross_entropy_steps(*given))):
        with pytest.raises(error, match=sentence) as caught:
            function(logits, target, void)
        assert "\n" not in str(caught.value)
