import pytest
import torch
import torch.nn.functional as F

from course.ops.interpolation import (
    downsample_average,
    downsample_average_steps,
    interpolate_bilinear,
    interpolate_bilinear_steps,
    interpolate_nearest,
    interpolate_nearest_steps,
    sample_bilinear,
)
from tests.refusing import refuses

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


def test_sample_bilinear_by_hand():
    # The middle of the first cell is (0.5, 0.5), (1, 1) the corner that all four share, (0.75, 1.5) a quarter of the way to the right.
    points = torch.tensor([[0.5, 0.5], [1.5, 0.5], [1.0, 1.0], [0.75, 1.5], [-4.0, 1.0], [9.0, 9.0]])
    assert sample_bilinear(SMALL[None], points).tolist() == [[1, 2, 2.5, 3.25, 2, 4]]
    assert sample_bilinear(torch.stack((SMALL, -SMALL)), points[:2]).tolist() == [[1, 2], [-1, -2]]
    assert sample_bilinear(SMALL[None], points[:0]).shape == (1, 0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_sample_bilinear_is_torchs_grid_sample(dtype):
    draw = torch.Generator().manual_seed(0)
    for height, width in ((1, 1), (1, 6), (5, 1), (7, 4), (20, 30)):
        features = torch.randn(3, height, width, generator=draw, dtype=torch.float64).to(dtype)
        points = torch.rand(40, 2, generator=draw) * torch.tensor([width + 4, height + 4]) - 2
        grid = 2 * points.double() / torch.tensor([width, height]) - 1
        expected = F.grid_sample(features[None].double(), grid[None, None], padding_mode="border", align_corners=False)[0, :, 0]
        found = sample_bilinear(features, points)
        assert found.dtype == dtype
        near = 1e-2 if dtype.itemsize == 2 else 1e-5
        torch.testing.assert_close(found, expected.to(dtype), rtol=near, atol=near)


def test_sample_bilinear_reads_what_interpolate_bilinear_reads():
    middles = torch.arange(5) + 0.5
    points = torch.cartesian_prod(middles * 4 / 5, middles * 4 / 5).flip(1)
    torch.testing.assert_close(sample_bilinear(X[None], points).view(5, 5), interpolate_bilinear(X, 5))


def test_sample_bilinear_passes_gradients_to_cells_and_points():
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(2, 4, 5, generator=draw, dtype=torch.float64).requires_grad_()
    points = (torch.rand(6, 2, generator=draw, dtype=torch.float64) * 3 + 0.6).requires_grad_()
    assert torch.autograd.gradcheck(sample_bilinear, (features, points))


def test_sample_bilinear_refuses_what_is_no_map_and_what_are_no_points():
    points = torch.ones(3, 2)
    map_ = SMALL[None]
    refuses(lambda: sample_bilinear(SMALL, points), ValueError, "features must have shape [C, H, W]; got [2, 2]")
    refuses(lambda: sample_bilinear(map_.long(), points), TypeError, "features must be floating-point", "call features.float() first")
    refuses(lambda: sample_bilinear(map_, [[1.0, 2.0]]), TypeError, "points must be a floating-point tensor [P, 2]; got list")
    refuses(lambda: sample_bilinear(map_, points.long()), TypeError, "points must be a floating-point tensor [P, 2]; got torch.int64")
    refuses(lambda: sample_bilinear(map_, points[0]), ValueError, "points must have shape [P, 2], x and y of each; got [2]")
    refuses(lambda: sample_bilinear(map_, points * torch.inf), ValueError, "points must be finite; got NaN or infinity")


@pytest.mark.gpu
def test_sample_bilinear_on_the_gpu():
    draw = torch.Generator().manual_seed(0)
    features, points = (
        torch.randn(3, 7, 9, generator=draw, dtype=torch.float64),
        torch.rand(40, 2, generator=draw, dtype=torch.float64) * 11 - 1,
    )
    found = sample_bilinear(features.cuda(), points.cuda())
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), sample_bilinear(features, points))
