import pytest
import torch

from course.ops.interpolation import (
    downsample_average,
    downsample_average_steps,
    interpolate_bilinear,
    interpolate_bilinear_steps,
    interpolate_nearest,
    interpolate_nearest_steps,
)

X = torch.tensor([[1.0, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8]])
SMALL = torch.tensor([[1.0, 2], [3, 4]])


def test_downsample_average_by_hand():
    assert downsample_average(X, 2).tolist() == [[2.75, 3], [3.25, 3.75]]
    assert downsample_average(X, (4, 1)).tolist() == [[3, 3, 3.5, 3.25]]
    assert downsample_average(X, 1).tolist() == X.tolist()


def test_interpolate_nearest_by_hand():
    assert interpolate_nearest(SMALL, (4, 2)).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert interpolate_nearest(SMALL, 3).tolist() == [[1, 1, 2], [1, 1, 2], [3, 3, 4]]
    assert interpolate_nearest(X, 2).tolist() == [[1, 6], [1, 2]]
    assert interpolate_nearest(SMALL.long(), 3).dtype == torch.int64


def test_interpolate_bilinear_by_hand():
    # Twice as wide: the centres fall at −0.25, 0.25, 0.75 and 1.25 of the input, the outer two beyond its outermost centres.
    assert interpolate_bilinear(SMALL[:1], (1, 4)).tolist() == [[1, 1.25, 1.75, 2]]
    assert interpolate_bilinear(SMALL, (1, 1)).tolist() == [[2.5]]
    assert interpolate_bilinear(SMALL, 3, align_corners=True).tolist() == [[1, 1.5, 2], [2, 2.5, 3], [3, 3.5, 4]]
    assert interpolate_bilinear(SMALL, 1, align_corners=True).tolist() == [[1]]


@pytest.mark.parametrize("align_corners", [False, True])
def test_a_constant_stays_constant(align_corners):
    torch.testing.assert_close(interpolate_bilinear(torch.full((1, 2, 5, 7), 3.0), (11, 4), align_corners), torch.full((1, 2, 11, 4), 3.0))


def test_a_step_of_downsample_average():
    step = list(downsample_average_steps(X, 2))[2]
    assert step.text == "The values of this 2 × 2 block sum to 13: divide by 4 and write 3.25."
    assert step.arithmetic == "(1 + 2 + 7 + 3) / (2 × 2) = 3.25"
    assert step.reads == {"input": ((2, 0), (2, 1), (3, 0), (3, 1))}
    assert step.writes == {"output": {(1, 0): 3.25}}


def test_a_step_of_interpolate_nearest():
    step = list(interpolate_nearest_steps(SMALL, 3))[-1]
    assert step.text == "The cell at row 2, column 2 falls on the input's row 1, column 1: copy 4 and write 4."
    assert step.arithmetic == "⌊2 × 2 / 3⌋ = 1, ⌊2 × 2 / 3⌋ = 1"
    assert step.reads == {"input": ((1, 1),)} and step.writes == {"output": {(2, 2): 4}}


def test_a_step_of_interpolate_bilinear():
    steps = list(interpolate_bilinear_steps(SMALL, 4))
    step = steps[5]
    assert step.text.startswith("The output's row 1, column 1 lies at row 0.25, column 0.25 of the input: blend its nearest cells")
    assert step.sentence.endswith(", and write [1.75|write].")
    assert step.arithmetic == "0.562 × 1 + 0.188 × 2 + 0.188 × 3 + 0.0625 × 4 = 1.75"
    assert step.reads == {"input": ((0, 0), (0, 1), (1, 0), (1, 1))}
    assert step.writes == {"output": {(1, 1): 1.75}}


def test_at_the_border_neighbours_that_coincide_are_read_once():
    step = list(interpolate_bilinear_steps(SMALL, 4))[-1]
    assert step.reads == {"input": ((1, 1),)} and step.arithmetic == "1 × 4 = 4"


def test_steps_go_over_every_plane():
    x = X.expand(2, 3, 4, 4)
    assert len(list(downsample_average_steps(x, 2))) == 24
    step = list(interpolate_bilinear_steps(x, 1))[-1]
    assert step.text.startswith("In image 1, channel 2, the output's row 0, column 0 lies")
    assert list(step.writes["output"]) == [(1, 2, 0, 0)]
