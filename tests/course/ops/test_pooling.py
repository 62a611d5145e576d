import pytest
import torch

from course.ops.pooling import MaxPool, avg_pool, avg_pool_steps, max_pool, max_pool_steps, pool_output_size

X = torch.tensor([[1.0, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]])


def test_max_pool_by_hand():
    values, indices = max_pool(X, 2)
    assert values.tolist() == [[5, 6], [7, 8]]
    assert indices.tolist() == [[5, 2], [12, 15]]  # rows and columns (1, 1), (0, 2), (3, 0), (3, 3) of a plane 4 wide


def test_max_pool_has_names():
    pooled = max_pool(X, 2)
    assert isinstance(pooled, MaxPool)
    assert pooled.values.tolist() == [[5, 6], [7, 8]] and pooled.indices.dtype == torch.int64


def test_overlapping_windows_by_hand():
    assert max_pool(X, 3, 1).values.tolist() == [[6, 6], [7, 8]]
    assert max_pool(X, 3, 1).indices.tolist() == [[2, 2], [12, 15]]


def test_windows_that_are_not_square_and_leave_gaps_by_hand():
    values, indices = max_pool(X, (1, 2), (3, 3))
    assert values.tolist() == [[2], [7]]
    assert indices.tolist() == [[1], [12]]


def test_the_first_of_equal_values_is_the_switch():
    assert max_pool(torch.ones(4, 4), 2).indices.tolist() == [[0, 2], [8, 10]]
    assert max_pool(torch.ones(3, 3), 3, 1, 1).indices.tolist() == [[0, 0, 1], [0, 0, 1], [3, 3, 4]]


def test_padding_never_wins():
    x = torch.full((2, 2), -5.0)
    assert max_pool(x, 2, 1, 1).values.tolist() == [[-5.0] * 3] * 3
    assert max_pool(x.char(), 2, 1, 1).values.tolist() == [[-5] * 3] * 3
    assert max_pool(x - torch.inf, 2, 1, 1).indices.tolist() == [[0, 0, 1], [0, 0, 1], [2, 2, 3]]


def test_of_several_nan_the_first_is_the_switch():
    x = torch.tensor([[1.0, torch.nan], [torch.nan, 9.0]])
    values, indices = max_pool(x, 2)
    assert values.isnan().all() and indices.item() == 1
    (step,) = max_pool_steps(x, 2)
    assert step.writes["indices"] == {(0, 0): 1}


def test_the_gradient_of_a_tie_goes_to_the_first():
    x = torch.ones(2, 2, requires_grad=True)
    max_pool(x, 2).values.sum().backward()
    assert x.grad.tolist() == [[1, 0], [0, 0]]


def test_avg_pool_by_hand():
    assert avg_pool(X, 2).tolist() == [[2.75, 3], [3.25, 3.75]]
    # A corner window holds 4 cells of the plane and 5 of padding.
    assert avg_pool(X, 3, 3, 1)[0, 0].item() == pytest.approx(11 / 9)
    assert avg_pool(X, 3, 3, 1, count_include_pad=False)[0, 0].item() == 11 / 4


@pytest.mark.parametrize(
    "arguments, size",
    [((4, 2), 2), ((5, 2), 2), ((5, 2, 1), 4), ((5, 3, 2, 1), 3), ((224, 7, 2, 3), 112), (((5, 6), 3, 2), (2, 2)), ((5, (3, 2)), (1, 2))],
)
def test_pool_output_size_by_hand(arguments, size):
    assert pool_output_size(*arguments) == size


def test_pool_output_size_takes_a_shape():
    assert pool_output_size(X.shape, 2) == (2, 2)


def test_a_step_of_max_pool():
    steps = list(max_pool_steps(X, 2))
    assert len(steps) == 4
    step = steps[2]
    assert step.sentence == "The window's largest value is [7|chosen], at row 3, column 0: write [7|write]."
    assert step.text == "The window's largest value is 7, at row 3, column 0: write 7."
    assert step.arithmetic == "max(1, 2, 7, 3) = 7"
    assert step.reads == {"input": ((2, 0), (2, 1), (3, 0), (3, 1))}
    assert step.writes == {"output": {(1, 0): 7}, "indices": {(1, 0): 12}}
    assert step.chosen == {"input": ((3, 0),)}


def test_a_tie_is_said():
    (step,) = max_pool_steps(torch.ones(2, 2), 2)
    assert step.text == "The window's largest value is 1, first at row 0, column 0: write 1."


def test_a_step_of_avg_pool():
    step = list(avg_pool_steps(X, 2))[2]
    assert step.text == "The window's 4 values sum to 13: divide by 4 and write 3.25."
    assert step.arithmetic == "(1 + 2 + 7 + 3) / 4 = 3.25"
    assert step.writes == {"output": {(1, 0): 3.25}}


def test_padding_is_counted_but_not_read():
    step = next(avg_pool_steps(X, 3, 3, 1))
    assert step.text == "The window's 4 values and 5 zeros of padding sum to 11: divide by 9 and write 1.22."
    assert step.reads == {"input": ((0, 0), (0, 1), (1, 0), (1, 1))}
    step = next(avg_pool_steps(X, 3, 3, 1, count_include_pad=False))
    assert step.text == "The window's 4 values sum to 11: divide by 4 and write 2.75."
    assert next(max_pool_steps(X, 3, 3, 1)).reads == {"input": ((0, 0), (0, 1), (1, 0), (1, 1))}


def test_steps_go_over_every_plane_in_order():
    x = torch.arange(48.0).view(2, 3, 2, 4)
    steps = list(max_pool_steps(x, 2))
    assert [cell for step in steps for cell in step.writes["output"]] == [
        (n, c, 0, i) for n in range(2) for c in range(3) for i in range(2)
    ]
    assert steps[-1].text == "In image 1, channel 2, the window's largest value is 47, at row 1, column 3: write 47."


def test_steps_do_not_need_a_tensor_without_gradient():
    assert len(list(max_pool_steps(X.clone().requires_grad_(), 2))) == 4
    assert len(list(avg_pool_steps(X.clone().requires_grad_(), 2))) == 4
