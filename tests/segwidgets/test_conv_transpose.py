"""`segwidgets.conv_transpose`: stamps that add up to torch's answer, and the count that shows a checkerboard."""

import importlib
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import segwidgets
from course.ops.conv_transpose import conv_transpose_steps


def torchs(x, weight, bias=None, *rest):
    planes = (tensor.reshape(1, 1, *tensor.shape[-2:]) for tensor in (x, weight))
    return F.conv_transpose2d(*planes, bias, *rest)[0, 0]


@pytest.mark.parametrize(
    "sizes",
    [(1, 0, 0), (2, 0, 0), (2, 1, 1), (3, 1, 2), ((1, 2), (0, 1), (0, 1))],
    ids=lambda sizes: "stride {} padding {} extra {}".format(*sizes),
)
@pytest.mark.parametrize("bias", [None, torch.tensor([0.5])], ids=["", "bias"])
def test_the_last_step_is_torch_s_answer(x, kernel, shown, sizes, bias):
    player = segwidgets.conv_transpose(x, kernel, bias, *sizes)
    torch.testing.assert_close(shown(player, "output"), torchs(x, kernel, bias, *sizes))


def test_it_works_on_real_features_and_a_layer_s_weight(cat, shown):
    image, features, field = cat
    weight = torch.rand(40, 2, 4, 4, generator=torch.Generator().manual_seed(0)) - 0.5
    player = segwidgets.conv_transpose(features[..., 8:18, 8:18], weight, stride=2, padding=1, channel=18)
    torch.testing.assert_close(shown(player, "output"), torchs(features[0, 18, 8:18, 8:18], weight[18, 0], None, 2, 1))
    torch.testing.assert_close(shown(player, "kernel"), weight[18, 0])


def test_channel_and_batch_choose_the_plane(kernel, shown):
    batch = torch.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)
    torch.testing.assert_close(shown(segwidgets.conv_transpose(batch, kernel, channel=2, batch=1), "input"), batch[1, 2])


def test_each_step_adds_one_stamp_and_says_so(small, kernel):
    trace = segwidgets.conv_transpose(small, kernel, stride=2).trace
    step = trace.steps[2]  # the second stamp: 2 × kernel, two columns to the right
    assert step.marks["input"]["read"] == [(0, 1)]
    assert sorted(step.writes["output"]) == [(row, column) for row in range(3) for column in range(2, 5)]
    assert step.writes["output"][(0, 2)] == 1 * 1 + 2 * 1 and step.terms["output"][(0, 2)] == "2 × 1"
    assert "3 of 9 cells" in step.text


@pytest.mark.parametrize(
    ("size", "stride", "uneven"),
    [
        ((2, 2), 1, False),
        ((2, 2), 2, False),
        ((4, 4), 2, False),
        ((3, 3), 2, True),
        ((5, 5), 2, True),
        ((4, 3), (2, 3), False),
        ((4, 3), (2, 2), True),
    ],
    ids=str,
)
def test_stamps_are_counted_only_where_the_kernel_is_no_multiple_of_the_stride(x, shown, size, stride, uneven):
    player = segwidgets.conv_transpose(x, torch.ones(size), stride=stride)
    assert ("stamps" in [panel.id for panel in player.trace.panels]) == uneven
    assert ("checkerboard" in player.trace.steps[-1].text) == uneven
    if uneven:  # how many stamps cover a cell is what a kernel of ones makes of a plane of ones
        torch.testing.assert_close(shown(player, "stamps"), torchs(torch.ones(4, 4), torch.ones(size), None, stride))


def test_a_bias_is_no_stamp_and_a_gap_holds_none(x, shown):
    player = segwidgets.conv_transpose(x, torch.ones(2, 2), torch.ones(1), stride=3)
    counts = shown(player, "stamps")
    assert counts[:2, :2].eq(1).all() and counts[2].eq(0).all() and counts.max() == 1
    assert shown(player, "output")[2].eq(1).all()


def test_the_student_s_function_stands_beside(small, kernel, shown):
    def last_stamp_wins(x, weight, bias=None, stride=1, padding=0, output_padding=0):
        output = torch.zeros(1, 1, 5, 5)
        for row in range(2):
            for column in range(2):
                output[..., row * 2 : row * 2 + 3, column * 2 : column * 2 + 3] = x[..., row, column] * weight
        return output

    right = segwidgets.conv_transpose(small, kernel, stride=2, fn=torchs)
    assert right.trace.steps[-1].text.startswith("Yours is the same in every cell.")
    wrong = segwidgets.conv_transpose(small, kernel, stride=2, fn=last_stamp_wins)
    assert wrong.trace.steps[-1].text.startswith("Yours differs in 9 of 25 cells, first at row 0, column 2: 2 instead of 3.")
    marked = {cell for step in wrong.trace.steps for cell in step.marks.get("yours", {}).get("wrong", ())}
    assert marked == {(row, column) for row in range(5) for column in range(5) if row == 2 or column == 2}
    torch.testing.assert_close(shown(wrong, "yours"), last_stamp_wins(small[None, None], kernel)[0, 0])


def one_row_too_far(*arguments):
    for step in conv_transpose_steps(*arguments):
        writes = {((row + 1) % 5, column): value for (row, column), value in step.writes["output"].items()}
        yield replace(step, writes={"output": writes})


def test_an_off_by_one_in_a_step_fails_the_comparison(small, kernel, shown, monkeypatch):
    monkeypatch.setattr(importlib.import_module("segwidgets.conv_transpose"), "conv_transpose_steps", one_row_too_far)
    with pytest.raises(AssertionError, match="Mismatched elements"):
        test_the_last_step_is_torch_s_answer(small, kernel, shown, (2, 0, 0), None)
