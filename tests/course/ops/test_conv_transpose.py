import pytest
import torch

from course.ops.conv_transpose import (
    conv_matrix,
    conv_transpose,
    conv_transpose_by_matrix,
    conv_transpose_output_size,
    conv_transpose_steps,
    overlap_count,
)
from course.ops.step import replay

X = torch.tensor([[1.0, 2], [3, 4]])
KERNEL = torch.tensor([[1.0, 0.5], [2, 1]])


@pytest.mark.parametrize("function", [conv_transpose, conv_transpose_by_matrix])
def test_by_hand(function):
    assert function(X, KERNEL, stride=2).tolist() == [[1, 0.5, 2, 1], [2, 1, 4, 2], [3, 1.5, 4, 2], [6, 3, 8, 4]]
    # Stride 1: in the middle all four stamps meet, 1 × 1 + 2 × 2 + 3 × 0.5 + 4 × 1 = 10.5.
    assert function(X, KERNEL).tolist() == [[1, 2.5, 1], [5, 10.5, 4], [6, 11, 4]]
    assert function(X, KERNEL, torch.tensor([100.0]), padding=1).tolist() == [[110.5]]
    # Stride 3 leaves a row and a column that no stamp reaches.
    assert function(X, KERNEL, stride=3).tolist() == [[1, 0.5, 0, 2, 1], [2, 1, 0, 4, 2], [0] * 5, [3, 1.5, 0, 4, 2], [6, 3, 0, 8, 4]]


def test_output_padding_adds_cells_below_and_to_the_right():
    output = conv_transpose(X, KERNEL, stride=2, output_padding=1)
    assert output[:4, :4].tolist() == conv_transpose(X, KERNEL, stride=2).tolist()
    assert not output[4].any() and not output[:, 4].any() and output.shape == (5, 5)


def test_cells_that_padding_kept_back_return_before_output_padding_adds_zeros():
    # Cropped by 1 on each side, then one more cell below and to the right: that is the cell that was cropped there.
    full = conv_transpose(X, KERNEL, stride=2)
    torch.testing.assert_close(conv_transpose(X, KERNEL, stride=2, padding=1, output_padding=1), full[1:, 1:])


def test_channels_by_hand():
    # Output channel 0 adds both inputs, channel 1 subtracts the second from the first.
    x = torch.stack((X, 10 * X))
    weight = torch.tensor([[[[1.0]], [[1.0]]], [[[1.0]], [[-1.0]]]])
    torch.testing.assert_close(conv_transpose(x, weight), torch.stack((11 * X, -9 * X)))
    torch.testing.assert_close(conv_transpose(x, weight, torch.tensor([0.0, 5])), torch.stack((11 * X, -9 * X + 5)))


@pytest.mark.parametrize(
    "arguments, size",
    [
        ((2, 2), 3),
        ((2, 2, 2), 4),
        ((3, 3, 2, 1), 5),
        ((3, 3, 2, 1, 1), 6),
        ((16, 64, 32, 16), 512),
        (((2, 3), 4, 2, 1), (4, 6)),
        ((2, (2, 3)), (3, 4)),
    ],
)
def test_output_size_by_hand(arguments, size):
    assert conv_transpose_output_size(*arguments) == size


def test_the_matrix_of_the_guide():
    # Dumoulin & Visin 2016, section 4.1: a 3 × 3 kernel on 4 × 4 gives 4 rows of 16; the first holds w00 w01 w02 0 w10 w11 w12 0 w20 …
    kernel = torch.arange(1.0, 10).view(3, 3)
    matrix = conv_matrix(kernel, 4)
    assert matrix.shape == (4, 16)
    assert matrix[0].tolist() == [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0, 0]
    assert matrix[1].tolist() == [0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0]
    assert matrix[3].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9]


def test_overlap_is_even_only_if_stride_divides_the_kernel():
    assert overlap_count(3, 2, 2).tolist() == [[1] * 6] * 6
    assert overlap_count((1, 3), (1, 3), (1, 2)).tolist() == [[1, 1, 2, 1, 2, 1, 1]]
    assert overlap_count((1, 3), (1, 4), (1, 2), (0, 1)).tolist() == [[1, 2, 2, 2, 2, 1]]
    assert overlap_count((1, 2), (1, 1), (1, 3), 0, (0, 2)).tolist() == [[1, 0, 0, 1, 0, 0]]


def test_half_precision_does_not_round_the_sum_on_its_way():
    # Added in float16 one by one, 2048 + 1 is 2048 again. The nine stamps meet in column 8; the 4096 channels in one cell.
    x = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 1, 2048]], dtype=torch.float16)
    many = torch.ones(1, 4096, 1, 1, dtype=torch.float16)
    for function in (conv_transpose, conv_transpose_by_matrix):
        assert function(x, torch.ones(1, 9, dtype=torch.float16))[0, 8].item() == 2056
        assert function(many, many.transpose(0, 1)).item() == 4096
        assert function(many, many.transpose(0, 1)).dtype == torch.float16


def test_steps_by_hand():
    steps = list(conv_transpose_steps(X, KERNEL))
    assert len(steps) == 4
    first, last = steps[0], steps[-1]
    assert first.text == "Multiply the kernel by 1 and stamp it onto rows 0 to 1, columns 0 to 1: no stamp was here before."
    assert last.text == (
        "Multiply the kernel by 4 and stamp it onto rows 1 to 2, columns 1 to 2: "
        "it meets earlier stamps in 3 of 4 cells, where they add up."
    )
    assert last.arithmetic == "4 × [1 0.5; 2 1] = [4 2; 8 4]"
    assert last.reads == {"input": ((1, 1),), "weight": ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert last.writes == {"output": {(1, 1): 10.5, (1, 2): 4, (2, 1): 11, (2, 2): 4}}
    assert last.terms == {(1, 1): "4 × 1", (1, 2): "4 × 0.5", (2, 1): "4 × 2", (2, 2): "4 × 1"}


def test_terms_add_up_to_the_output():
    x, weight, bias = torch.arange(1.0, 9).view(2, 2, 2), torch.arange(12.0).view(2, 1, 2, 3), torch.tensor([3.0])
    total = torch.zeros(1, 3, 5)
    for step in conv_transpose_steps(x, weight, bias, (1, 2)):
        assert step.terms.keys() == step.writes["output"].keys()
        for cell, term in step.terms.items():
            factors = [float(factor) for factor in term.split(" × ")]
            total[cell] += factors[0] * (factors[1] if len(factors) > 1 else 1)
    torch.testing.assert_close(total, conv_transpose(x, weight, bias, (1, 2)))


def test_what_padding_cuts_off_is_not_written():
    steps = list(conv_transpose_steps(X, KERNEL, padding=1))
    assert [step.writes["output"] for step in steps] == [{(0, 0): 1}, {(0, 0): 5}, {(0, 0): 6.5}, {(0, 0): 10.5}]
    assert steps[1].text == (
        "Multiply the kernel by 2 and stamp what is not cut off onto row 0, column 0: "
        "it meets earlier stamps in 1 of 1 cells, where they add up."
    )
    assert steps[1].reads["weight"] == ((1, 0),)
    whole = next(conv_transpose_steps(torch.ones(5, 1), torch.ones(1, 1), padding=(2, 0)))
    assert whole.text == "Multiply the kernel by 1: the whole stamp falls into the padding and is cut off."
    assert whole.writes == {"output": {}} and whole.reads["weight"] == ()


def test_the_bias_is_written_first_in_every_image():
    x = torch.ones(2, 1, 1, 1)
    steps = list(conv_transpose_steps(x, torch.ones(1, 2, 1, 1), torch.tensor([0.5, -2])))
    assert [step.text.split(":")[0] for step in steps] == [
        "In image 0, before the first stamp, every cell holds the bias of its channel",
        "In image 0, multiply the kernel by 1 and stamp it onto row 0, column 0",
        "In image 1, before the first stamp, every cell holds the bias of its channel",
        "In image 1, multiply the kernel by 1 and stamp it onto row 0, column 0",
    ]
    assert steps[0].sentence.endswith("write [0.5|write], [−2|write].")
    assert steps[0].reads == {"bias": ((0,), (1,))} and steps[0].writes == {"output": {(0, 0, 0, 0): 0.5, (0, 1, 0, 0): -2}}
    state = replay(steps, {"output": torch.zeros(2, 2, 1, 1)})
    assert state["output"].flatten().tolist() == [1.5, -1, 1.5, -1]


def test_steps_read_the_weight_that_was_passed():
    step = list(conv_transpose_steps(torch.ones(2, 1, 1), torch.ones(2, 3, 1, 2)))[1]
    assert step.reads["weight"] == tuple((1, out, 0, kx) for out in range(3) for kx in range(2))
    assert step.arithmetic == "1 × weight, 6 products"
