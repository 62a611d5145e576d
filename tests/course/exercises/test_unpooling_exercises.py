"""What students of lesson 03 really write, and the hint they get for it."""

import pytest
import torch

from course.exercises import check
from tests.hinting import hint_of

SEEDS = range(8)


def unpooled_by_loops(x, indices, height, width, row_width):
    output = x.new_zeros(*x.shape[:2], height, width)
    for n, c, row, column in torch.cartesian_prod(*(torch.arange(side) for side in x.shape)).tolist():
        switch = indices[n, c, row, column].item()
        output[n, c, switch // row_width, switch % row_width] = x[n, c, row, column]
    return output


def side(size, kernel_size, stride, padding):
    return (size - 1) * (stride or kernel_size) - 2 * padding + kernel_size


@pytest.mark.parametrize("seed", SEEDS)
def test_an_output_of_twice_the_input_is_named_whether_it_raises_or_not(seed):
    def by_loops(x, indices, kernel_size, stride=None, padding=0, output_size=None):
        return unpooled_by_loops(x, indices, 2 * x.shape[2], 2 * x.shape[3], 2 * x.shape[3])

    def in_one_row(x, indices, kernel_size, stride=None, padding=0, output_size=None):
        height, width = (side * (stride or kernel_size) for side in x.shape[2:])
        output = x.new_zeros(x.shape[0] * x.shape[1], height * width)
        for plane, values, switches in zip(output, x.flatten(0, 1), indices.flatten(0, 1), strict=True):
            plane[switches.flatten()] = values.flatten()
        return output.reshape(*x.shape[:2], height, width)

    for function in (by_loops, in_one_row):
        function.__name__ = "max_unpool"
        assert hint_of(function, seed) == "twice the input"


def test_an_index_out_of_bounds_is_told_with_the_error_and_the_hint():
    def max_unpool(x, indices, kernel_size, stride=None, padding=0, output_size=None):
        return unpooled_by_loops(x, indices, 2 * x.shape[2], 2 * x.shape[3], 2 * x.shape[3])

    raised = [result for result in (check(max_unpool, seed=seed) for seed in SEEDS) if result.failure.outcome.kind == "raised"]
    assert raised
    for result in raised:
        for shown in (repr(result), result._repr_html_()):
            assert "is out of bounds for dimension" in shown
            assert "(H − 1) · stride − 2 · padding + kernel, or from output_size" in shown


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_as_wide_as_the_formula_says_are_named_though_output_size_is_used(seed):
    def max_unpool(x, indices, kernel_size, stride=None, padding=0, output_size=None):
        height, width = (side(size, kernel_size, stride, padding) for size in x.shape[2:])
        return unpooled_by_loops(x, indices, *(output_size or (height, width)), row_width=width)

    assert hint_of(max_unpool, seed) == "row width of the formula"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_transposed_convolution_on_torch_zeros_is_told_of_new_zeros(seed):
    def conv_transpose(x, weight, bias=None, stride=1, padding=0, output_padding=0):
        (count, _, rows, columns), (_, out, high, wide) = x.shape, weight.shape
        height, width = (rows - 1) * stride + high + output_padding, (columns - 1) * stride + wide + output_padding
        output = torch.zeros(count, out, height, width)
        for y in range(rows):
            for column in range(columns):
                stamp = torch.einsum("nc,coij->noij", x[:, :, y, column], weight)
                output[:, :, y * stride : y * stride + high, column * stride : column * stride + wide] += stamp
        output = output[:, :, padding : height - padding, padding : width - padding]
        return output if bias is None else output + bias[:, None, None]

    assert hint_of(conv_transpose, seed) == "always float32"


@pytest.mark.parametrize(
    ("transposed_too", "name"), [(False, "dead strip of a resize accepted"), (True, "dead strip accepted")], ids=["resize alone", "both"]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_resize_with_a_padding_as_large_as_its_kernel_is_told(transposed_too, name, seed):
    def choose_upsampling(size, output_size, candidates):
        fit = []
        for row, (kind, kernel, stride, padding, extra) in enumerate(candidates.tolist()):
            if kind == 0:
                sides = [(n - 1) * stride - 2 * padding + kernel + extra for n in size]
                sound = kernel % stride == 0 and extra < stride and (extra <= padding or transposed_too)
            else:
                sides, sound = [n * stride + 2 * padding - kernel + 1 for n in size], True
            if sound and sides == list(output_size):
                cells = size if kind == 0 else output_size
                fit.append((cells[0] * cells[1] * kernel**2, row))
        return torch.tensor([row for _, row in sorted(fit)], dtype=torch.int64)

    assert hint_of(choose_upsampling, seed) == name
