"""A student's function beside the course's: called as they wrote it, and every difference marked to the end."""

import pytest
import torch

import segwidgets
from course.ops.unpooling import max_unpool


def as_in_the_lesson(x, switches):
    output = x.new_zeros(*x.shape[:-2], 4 * x.shape[-2] * x.shape[-1])
    output.scatter_(-1, switches.flatten(-2), x.flatten(-2))
    return output.unflatten(-1, (2 * x.shape[-2], 2 * x.shape[-1]))


def by_name_in_another_order(x, output_size=None, *, indices, kernel_size, stride=None, padding=0):
    return max_unpool(x, indices, kernel_size, stride, padding, output_size)


def one_plane_of_a_batch(x, indices, kernel_size, stride=None, padding=0, output_size=None):
    images, channels, height, width = x.shape
    assert (images, channels) == (1, 1) and indices.shape == x.shape
    return max_unpool(x, indices, kernel_size, stride, padding, output_size)


@pytest.mark.parametrize("fn", [as_in_the_lesson, by_name_in_another_order, one_plane_of_a_batch, max_unpool])
def test_a_right_function_may_be_written_in_any_of_these_ways(x, small, fn):
    assert segwidgets.unpool(small, 2, switches_from=x, fn=fn).trace.steps[-1].text == "Yours is the same in every cell."


def test_the_last_step_keeps_every_wrong_cell_marked(x, small):
    def swapped(x, indices):
        return as_in_the_lesson(x, indices).mT

    player = segwidgets.unpool(small, 2, switches_from=x, fn=swapped)
    right = max_unpool(small, torch.tensor([[5, 2], [12, 15]]), 2)
    wrong = (right != right.mT).nonzero().tolist()
    assert len(wrong) == 4 and [list(cell) for cell in player.trace.steps[-1].marks["yours"]["wrong"]] == wrong


def test_an_error_says_how_the_function_was_called(x, small):
    def rows_only(x, indices, kernel_size):
        return x.nothing

    with pytest.raises(ValueError, match=r"rows_only\(x, indices, kernel_size\), called with planes \[1, 1, H, W\], raised AttributeError"):
        segwidgets.unpool(small, 2, switches_from=x, fn=rows_only)
