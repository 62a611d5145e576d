"""The two losses of a localizer: the maps against the model's own loss and torchvision's IoU, the descent against autograd."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import box_convert, box_iou

from course.models.localizer import encode_in_image, multi_task_losses
from segwidgets import localizer_loss
from segwidgets.localizer_loss import DESCENT

HEIGHT, WIDTH = 100, 200  # half as high as wide, so that nobody swaps them unseen
IMAGE = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
TRUTH, START = [100, 40, 160, 80], [10, 10, 40, 90]


def trace(balance=1.0, probability=0.4, start=START, truth=TRUTH):
    return localizer_loss(IMAGE, truth, start, balance=balance, probability=probability).trace


def box_loss(box, balance=1.0):
    codes = [encode_in_image(torch.tensor([each]).double(), (HEIGHT, WIDTH)) for each in (box, TRUTH)]
    return multi_task_losses(torch.zeros(1, 2).double(), codes[0], torch.tensor([1]), codes[1], balance=balance)["box"].item()


def test_the_maps_are_the_losses_of_the_box_with_its_centre_in_each_cell():
    shown = trace(balance=2.5)
    bowl, overlap = (torch.from_numpy(shown.values_at(panel, -1)) for panel in ("box", "overlap"))
    rows, columns = bowl.shape
    assert (rows, columns) == (12, 25)
    for row, column in ((0, 0), (5, 9), (11, 24), (7, 16)):
        x, y = (column + 0.5) * WIDTH / columns, (row + 0.5) * HEIGHT / rows
        moved = [x - 15, y - 40, x + 15, y + 40]
        assert bowl[row, column].item() == pytest.approx(box_loss(moved, 2.5), rel=1e-5)
        iou = box_iou(torch.tensor([moved]), torch.tensor([TRUTH]).float()).item()
        assert overlap[row, column].item() == pytest.approx(1 - iou, abs=1e-6)
    field = shown.panel("box").field
    factor = shown.panel("photograph").columns / WIDTH
    torch.testing.assert_close(torch.as_tensor(field.boxes[7, 16]).float(), torch.tensor(moved) * factor, rtol=1e-5, atol=1e-4)


def test_nothing_is_shown_before_it_is_computed():
    shown = trace()
    assert all(math.isnan(value) for panel in ("box", "overlap", "losses") for value in shown.values_at(panel, 0).ravel())
    assert math.isnan(shown.values_at("overlap", 1)[0, 0]) and not math.isnan(shown.values_at("box", 1)[0, 0])


@pytest.mark.parametrize("balance", [0.0, 0.3, 1.0, 2.0, 3.0, 4.5])
def test_the_descent_is_that_of_autograd(balance):
    shown = trace(balance, 0.3)
    size = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT]).double()
    code, target = (box_convert(torch.tensor([box]).double(), "xyxy", "cxcywh")[0] / size for box in (START, TRUTH))
    code.requires_grad_()
    score = torch.tensor(math.log(0.3 / 0.7), dtype=torch.float64, requires_grad=True)
    for step in range(DESCENT + 1):
        name, box = -F.logsigmoid(score), balance * F.mse_loss(code, target)
        expected = [name.item(), box.item(), (name + box).item()]
        assert shown.values_at("losses", 3 + step).ravel().tolist() == pytest.approx(expected, abs=1.01e-4), step
        slopes = torch.autograd.grad(name + box, (code, score))
        with torch.no_grad():
            code -= slopes[0]
            score -= slopes[1]
    assert len(shown.steps) == 4 + DESCENT


def test_the_box_goes_where_the_descent_goes():
    shown = trace(2.0)  # with λ = 2 a step leads all the way
    factor = shown.panel("photograph").columns / WIDTH
    place = shown.boxes_at("photograph", 4)[1].place
    assert place == pytest.approx([side * factor for side in TRUTH], abs=0.01)
    assert shown.values_at("losses", 4)[1, 0] == pytest.approx(0, abs=1e-9)


def test_what_the_balance_does_is_said():
    assert trace(1.0).steps[-1].text.endswith("Class and box are learned together.")
    assert "hardly come along: the balance is too small" in trace(0.1).steps[-1].text
    assert "jumps over the truth: 0.5 times the distance is left" in trace(3.0).steps[4].text
    assert "The box is lost" in trace(4.5).steps[-1].text
    assert "The box is lost" not in trace(3.0).steps[-1].text


def test_numbers_of_the_first_steps_by_hand():
    box, overlap, total = (step.text for step in trace(2.0, 0.5).steps[1:4])
    # centres 25, 50 and 130, 60; sides 30, 80 and 60, 40: off by 0.525, 0.1, 0.15 and 0.4, mean square 0.117
    assert "off by 0.525, 0.1, 0.15 and 0.4 of" in box and "is 0.234." in box
    assert overlap.startswith("The IoU is 0.")
    assert "a loss of 0.693" in total and "it is 0.927, of which the box is 25%" in total


def test_it_follows_what_the_viewer_sets():
    live = localizer_loss(IMAGE, TRUTH, START)
    before = live.trace.digest
    live.set(balance=3.0)
    assert "jumps over" in live.trace.steps[4].text
    factor = live.trace.panel("photograph").columns / WIDTH
    live.set(predicted=tuple(side * factor for side in TRUTH))
    assert live.trace.values_at("losses", 3)[1, 0] == pytest.approx(0, abs=1e-6)
    live.set(balance=1.0, predicted=tuple(float(side * factor) for side in START))
    assert live.trace.digest == before
    with pytest.raises(ValueError, match="predicted"):
        live.set(predicted=(5.0, 5.0, 5.0, 9.0))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"truth": [1, 2, 3]}, r"truth has the shape \[3\]; one box is four numbers"),
        ({"start": [5, 5, 5, 9]}, "predicted"),
        ({"start": [float("nan"), 5, 9, 9]}, "predicted"),
        ({"balance": 5.0}, "balance is 5.0; it goes from 0.0 to 4.5"),
        ({"balance": -1.0}, "balance is"),
        ({"probability": 1.0}, "probability is 1.0; it goes from 0.05 to 0.95"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(change, error):
    with pytest.raises(ValueError, match=error):
        trace(**change)


def test_unknown_keywords_are_refused():
    with pytest.raises(TypeError, match="balanse"):
        localizer_loss(IMAGE, TRUTH, START, balanse=1.0)


def test_it_is_small_and_the_same_each_time():
    assert trace().nbytes < 300_000 and trace().digest == trace().digest != trace(2.0).digest
