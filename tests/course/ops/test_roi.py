import pytest
import torch

from course.ops import grid_sums, roi
from course.ops.rectangles import largest_in_rectangles
from course.ops.roi import (
    roi_align,
    roi_align_loop,
    roi_align_steps,
    roi_bins,
    roi_points,
    roi_pool,
    roi_pool_backward,
    roi_pool_loop,
    roi_pool_steps,
)
from course.ops.step import replay
from tests.refusing import refuses

# 0 1 2 3 4 / 5 6 7 8 9 / …
COUNTING = torch.arange(20.0).view(1, 1, 4, 5)
POOLS = pytest.mark.parametrize("pool", [roi_pool, roi_pool_loop])
ALIGNS = pytest.mark.parametrize("align", [roi_align, roi_align_loop])


def box(*sides):
    return torch.tensor([[0.0, *sides]])


def test_a_box_is_rounded_to_cells_and_cells_to_bins():
    bins = roi_bins(torch.tensor([[8.0, 23, 71, 40]]), (4, 5), (2, 3), 1 / 16)  # 0.5, 1.44, 4.44, 2.5 cells
    assert bins.cells.tolist() == [[1, 1, 4, 3]]  # halves away from 0
    assert bins.rows.tolist() == [[[1, 3], [2, 4]]]  # three rows in two bins share the middle one
    assert bins.columns.tolist() == [[[1, 3], [2, 4], [3, 5]]]  # four in three: 0 … 1.33, 1.33 … 2.67, 2.67 … 4
    assert roi_bins(torch.tensor([[-0.5, -1.5, -0.49, 0.5]]), 9, 1).cells.tolist() == [[-1, -2, 0, 1]]


@POOLS
def test_pooling_by_hand(pool):
    assert pool(COUNTING, box(1, 1, 4, 2), 2).tolist() == [[[[7, 9], [12, 14]]]]
    assert pool(COUNTING, box(16, 16, 64, 32), 2, 1 / 16).tolist() == [[[[7, 9], [12, 14]]]]
    assert pool(COUNTING, box(1, 1, 4, 2), (1, 4)).tolist() == [[[[11, 12, 13, 14]]]]
    assert pool(COUNTING, box(2, 2, 2, 2), 2).tolist() == [[[[12] * 2] * 2]]  # one cell fills every bin
    assert pool(COUNTING, box(3, 1, 1, 2), 1).tolist() == [[[[13]]]]  # inverted: one column, from x1
    assert pool(COUNTING, box(-3, 0, 2, 1), (1, 2)).tolist() == [[[[0, 7]]]]  # the left bin is outside
    assert pool(-COUNTING - 1, box(-3, 0, 2, 1), (1, 2)).tolist() == [[[[0, -1]]]]  # 0, not the smallest


@POOLS
def test_the_gradient_flows_to_the_maximum_and_sums_up_there(pool):
    features = torch.tensor([[1.0, 5, 5], [0, 0, 0], [0, 0, 2]]).view(1, 1, 3, 3).requires_grad_()
    boxes = torch.tensor([[0.0, 0, 0, 2, 2], [0, 0, 0, 1, 0], [0, 0, 1, 1, 2], [0, 7, 7, 8, 8]])
    output = pool(features, boxes, 1)
    assert output.flatten().tolist() == [5, 5, 0, 0]
    output.backward(torch.tensor([1.0, 10, 100, 1000]).view(4, 1, 1, 1))
    assert features.grad[0, 0].tolist() == [[0, 11, 0], [100, 0, 0], [0, 0, 0]]  # of equals the first; of an empty bin nothing


def test_the_way_back_by_hand():
    features = torch.tensor([[8.0, 2, 3], [4, 1, 0], [5, 9, 7]]).view(1, 1, 3, 3)
    grad = torch.tensor([[10.0, 20], [30, 40]]).view(1, 1, 2, 2)
    assert roi_pool_backward(grad, features, box(0, 0, 2, 2))[0, 0].tolist() == [[10, 0, 20], [0, 0, 0], [0, 70, 0]]
    both = torch.cat((box(0, 0, 2, 2), box(1, 1, 9, 2), box(7, 7, 9, 9)))  # the second reaches beyond the map, the third is outside
    grads = torch.cat((grad, grad / 10, grad * 100))
    assert roi_pool_backward(grads, features, both)[0, 0].tolist() == [[10, 0, 20], [0, 1, 0], [0, 73, 0]]
    ties = torch.tensor([[0.0, 5, 5], [5, 0, 0], [0, 0, 0]]).view(1, 1, 3, 3)
    assert roi_pool_backward(grad[:, :, :1, :1], ties, box(0, 0, 2, 2))[0, 0].tolist() == [[0, 10, 0], [0, 0, 0], [0, 0, 0]]
    assert roi_pool_backward(torch.zeros(0, 1, 2, 2), features, torch.zeros(0, 5)).tolist() == torch.zeros(1, 1, 3, 3).tolist()


def test_a_gradient_of_another_shape_is_refused():
    features = torch.ones(1, 2, 3, 3)
    refuses(lambda: roi_pool_backward(torch.ones(2, 2, 1, 1), features, BOXES), ValueError, "grad", "[1, 2, PH, PW]", "[2, 2, 1, 1]")
    refuses(lambda: roi_pool_backward(torch.ones(1, 2, 4), features, BOXES), ValueError, "grad", "[1, 2, PH, PW]", "[1, 2, 4]")
    refuses(lambda: roi_pool_backward([1.0], features, BOXES), TypeError, "grad", "list")
    refuses(lambda: roi_pool_backward(torch.ones(1, 2, 1, 1), features, BOXES + 1), ValueError, "images from 0 to 0")


@POOLS
def test_what_has_no_usual_order(pool):
    features = torch.tensor([[[[-torch.inf, -torch.inf, -0.0, 0.0, torch.nan, -torch.nan]]]]).requires_grad_()
    output = pool(features, torch.tensor([[0.0, 0, 0, 1, 0], [0, 2, 0, 3, 0], [0, 3, 0, 4, 0], [0, 2, 0, 5, 0]]), 1)
    assert output.flatten()[:2].tolist() == [-torch.inf, 0] and output.flatten()[2:].isnan().all()
    output[:3].sum().backward()
    assert features.grad.flatten().tolist() == [1, 0, 1, 0, 1, 0]  # the two zeros are equal
    assert pool(features.detach(), torch.tensor([[0.0, 2, 0, 5, 0]]), 1).isnan().all()


@POOLS
def test_nan_of_either_sign_is_the_largest(pool):
    for sign in (1.0, -1.0):
        nan = torch.copysign(torch.tensor(torch.nan), torch.tensor(sign))
        features = torch.stack((torch.tensor(3.0), nan, torch.tensor(torch.inf))).view(1, 1, 1, 3).requires_grad_()
        output = pool(features, box(0, 0, 2, 0), 1)
        output.sum().backward()
        assert output.isnan().all() and features.grad.flatten().tolist() == [0, 1, 0]


def test_without_gradients_the_numbers_are_the_same():
    features, boxes = torch.randn(2, 3, 17, 19), torch.rand(50, 4) * 20
    boxes = torch.cat((torch.arange(50.0)[:, None] % 2, boxes), 1)
    torch.testing.assert_close(roi_pool(features, boxes, 3), roi_pool(features.clone().requires_grad_(), boxes, 3).detach(), rtol=0, atol=0)


@ALIGNS
def test_aligning_by_hand(align):
    # On a map that counts, interpolation gives column + 5 · row, and its mean is that of the middle.
    assert align(COUNTING, box(1, 1, 3, 2), 1, 1.0, 2).item() == pytest.approx(2 + 5 * 1.5)
    assert align(COUNTING, box(1, 1, 3, 2), 1, 1.0, 2, True).item() == pytest.approx(1.5 + 5 * 1)  # half a cell to the left and up
    assert align(COUNTING, box(1, 1, 3, 2), (1, 2), 1.0, 1).flatten().tolist() == pytest.approx([1.5 + 7.5, 2.5 + 7.5])
    assert align(COUNTING, box(1, 1, 1, 1), 1, 1.0, 1).item() == pytest.approx(1.5 + 7.5)  # made one cell wide
    assert align(COUNTING, box(1.5, 1.5, 1.5, 1.5), 1, 1.0, 1, True).item() == pytest.approx(6)  # stays a point: cell (1, 1)


@ALIGNS
def test_points_beyond_the_edge(align):
    ones = torch.ones(1, 1, 3, 3)
    assert align(ones, box(-1, 0, 0, 1), 1, 1.0, 1).item() == 1  # half a cell outside: the edge
    assert align(ones, box(-2, 0, -1, 1), 1, 1.0, 1).item() == 0  # one and a half
    assert align(ones, box(-2, 0, 0, 1), 1, 1.0, 2).item() == 0.5  # one point of two
    assert align(ones, box(2.5, 0, 3.5, 1), 1, 1.0, 1).item() == 1  # at 3, where the map ends, still
    assert align(ones, box(2.6, 0, 3.6, 1), 1, 1.0, 1).item() == 0


def test_points_one_a_cell():
    points = roi_points(torch.tensor([[0.0, 0, 6, 2], [0, 0, 2.5, 7]]), 2, 1.0, 0)
    assert points.y.shape == (2, 2, 4) and points.x.shape == (2, 2, 3)
    assert points.x[0].tolist() == [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]]
    assert points.x[1, 0, :2].tolist() == [0.3125, 0.9375] and points.x[1, :, 2].isnan().all()
    assert (~points.y.isnan()).sum(-1).tolist() == [[1, 1], [4, 4]]


@ALIGNS
def test_a_box_that_ends_before_it_begins_has_no_points(align):
    both = torch.cat((box(3, 1, 1, 3), box(1, 1, 3, 3)))  # torchvision fails here
    assert align(COUNTING, both, 1, 1.0, 0, True).flatten().tolist() == [0, pytest.approx(1.5 + 7.5)]


def test_no_boxes_give_nothing_and_no_gradient():
    features = torch.randn(2, 3, 4, 5, requires_grad=True)
    for function in (roi_pool, roi_align):
        for none in (torch.zeros(0, 5), [torch.zeros(0, 4), torch.zeros(0, 4)]):
            output = function(features, none, (2, 3))
            assert output.shape == (0, 3, 2, 3)
            (output.sum() + 0).backward()
            assert features.grad.abs().max() == 0
    assert roi_pool_loop(features, torch.zeros(0, 5), 2).shape == roi_align_loop(features, torch.zeros(0, 5), 2).shape == (0, 3, 2, 2)


def test_many_batches_are_as_one(monkeypatch):
    features, boxes = torch.randn(2, 3, 12, 13), torch.rand(30, 4) * 12
    boxes = torch.cat((torch.arange(30.0)[:, None] % 2, boxes), 1)
    whole = roi_align(features, boxes, 3)
    monkeypatch.setattr(grid_sums, "LARGEST_BATCH", 40)
    torch.testing.assert_close(roi_align(features, boxes, 3), whole)


def test_channels_may_be_pooled_a_few_at_a_time(monkeypatch):
    features, boxes = torch.randn(2, 7, 12, 13, requires_grad=True), torch.rand(30, 4) * 12
    boxes = torch.cat((torch.arange(30.0)[:, None] % 2, boxes), 1)
    whole = roi_pool(features, boxes, 3)
    (gradients,) = torch.autograd.grad(whole.sum(), features)
    for size in (1, 3 * 2 * 12 * 13):  # one channel, then three
        monkeypatch.setattr(roi, "LARGEST_PART", size)
        again = roi_pool(features, boxes, 3)
        torch.testing.assert_close((again, *torch.autograd.grad(again.sum(), features)), (whole, gradients))


def test_a_box_as_large_as_its_coordinates_allow():
    huge = box(-1e30, -1e30, 1e30, 1e30)
    assert roi_pool(COUNTING, huge, 1).item() == 19
    assert roi_align(COUNTING, huge, 1, 1.0, 2).item() == 0  # both points are far outside
    refuses(lambda: roi_align(COUNTING, huge, 1), ValueError, "boxes", "16384 points", "2e30 cells", "clip")


def test_rectangles():
    cells = torch.randn(2, 9, 17, 3, generator=torch.Generator().manual_seed(0))
    ends = torch.tensor([(n, a, b, c, d) for n in (0, 1) for a in range(9) for b in range(a + 1, 10) for c in (0, 3, 16) for d in (17,)])
    found = largest_in_rectangles(cells, ends[:, 0], ends[:, 1:3], ends[:, 3:])
    expected = torch.stack([cells[n, a:b, c:d].amax((0, 1)) for n, a, b, c, d in ends.tolist()])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_pooling_steps():
    features = torch.tensor([[1.0, 5, 5], [0, 0, 0], [0, 0, 2]]).view(1, 1, 3, 3)
    steps = list(roi_pool_steps(features, [torch.tensor([[0.0, 8, 24, 39]])], (2, 1), 1 / 16))
    assert [step.text for step in steps] == [
        "Box 0, times 0.0625, is rounded to whole cells: columns 0 to 2, rows 1 to 2.",
        "The bin's largest value is 0, first at row 1, column 0: write 0.",
        "The bin's largest value is 2, at row 2, column 2: write 2.",
    ]
    assert steps[0].arithmetic == "0 × 0.0625 → 0,  8 × 0.0625 → 1,  24 × 0.0625 → 2,  39 × 0.0625 → 2"
    assert steps[2].arithmetic == "max(0, 0, 2) = 2" and steps[2].chosen == {"features": ((0, 0, 2, 2),)}
    assert steps[2].reads == {"features": ((0, 0, 2, 0), (0, 0, 2, 1), (0, 0, 2, 2))}
    assert steps[2].writes == {"output": {(0, 0, 1, 0): 2.0}, "indices": {(0, 0, 1, 0): 8}}
    outside = list(roi_pool_steps(features, torch.tensor([[0.0, 0, 0, 1, 0], [0, 7, 7, 8, 8]]), 1))
    assert outside[1].text == "Box 0: the bin's largest value is 5, at row 0, column 1: write 5."
    assert outside[3].text == "Box 1: the bin has no cell inside the map: write 0, and no gradient will flow through it."


def test_the_aligning_steps():
    steps = list(roi_align_steps(COUNTING, box(1, 0.5, 2, 1.5), 1, 1.0, 1))
    assert [step.text for step in steps] == [
        "The point at row 1, column 1.5 takes from 2 cells around it, the nearer the more: write 6.5.",
        "The bin's one point is its value: write 6.5.",
    ]
    assert steps[0].arithmetic == "0.5 × 6 + 0.5 × 7 = 6.5" and steps[0].reads == {"features": ((0, 0, 1, 1), (0, 0, 1, 2))}
    steps = list(roi_align_steps(COUNTING, box(-2, 0, 0, 2), (1, 1), 1.0, 2))
    assert steps[0].text == "The point at row 0.5, column −1.5 lies more than a cell outside the map: it counts as 0."
    assert steps[1].text == "The point at row 0.5, column −0.5 takes from 2 cells around it, the nearer the more: write 2.5."
    assert steps[-1].text == "The mean of the bin's 4 points is its value: write 2.5."
    assert steps[-1].arithmetic == "(0 + 2.5 + 0 + 7.5) / 4 = 2.5"
    state = replay(steps, {"points": torch.full((1, 1, 1, 1, 2, 2), 9.0)})
    assert state["points"].flatten().tolist() == [0, 2.5, 0, 7.5]
    (step,) = roi_align_steps(COUNTING, box(3, 1, 1, 3), 1, 1.0, 0, True)
    assert step.text == "A box that ends before it begins has no points: write 0."


CALLS = {
    "roi_pool": roi_pool,
    "roi_pool_loop": roi_pool_loop,
    "roi_pool_steps": lambda *given: list(roi_pool_steps(*given)),
    "roi_align": roi_align,
    "roi_align_loop": roi_align_loop,
    "roi_align_steps": lambda *given: list(roi_align_steps(*given)),
}
BOXES = box(0, 0, 2, 2)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    "boxes, error, words",
    [
        (None, TypeError, ("[R, 5]", "list of tensors [L, 4]", "NoneType")),
        (BOXES.long(), TypeError, ("boxes must be floating-point", "torch.int64", ".float() first")),
        (BOXES[:, 1:], ValueError, ("[R, 5]", "got [1, 4]", "a list, [boxes]")),
        (BOXES[0], ValueError, ("[R, 5]", "got [5]")),
        (BOXES + 1, ValueError, ("images from 0 to 0", "got 1 at 0")),
        (BOXES - 1, ValueError, ("got -1 at 0",)),
        (BOXES + torch.tensor([0.5, 0, 0, 0, 0]), ValueError, ("got 0.5 at 0",)),
        (torch.tensor([[torch.nan, 0, 0, 1, 1]]), ValueError, ("got nan at 0",)),
        (torch.tensor([[0.0, 0, torch.inf, 1, 1]]), ValueError, ("boxes must be finite", "inf", "at 0")),
        ([], ValueError, ("for each image", "0 for 1")),
        ([BOXES[:, 1:]] * 2, ValueError, ("for each image", "2 for 1")),
        ([BOXES], ValueError, ("boxes[0] must have shape [N, 4]", "[1, 5]")),
        ([BOXES[:, 1:].int()], TypeError, ("boxes[0]", "torch.int32")),
        ([BOXES[:, 1:].tolist()], TypeError, ("boxes[0]", "list")),
        (BOXES.to("meta"), ValueError, ("boxes must be on the device of features, cpu", "meta")),
        ([BOXES[:, 1:].to("meta")], ValueError, ("boxes[0] must be on the device of features, cpu", "meta")),
    ],
)
def test_what_are_no_boxes(name, boxes, error, words):
    refuses(lambda: CALLS[name](COUNTING, boxes, 1), error, *words)


@pytest.mark.parametrize("name", CALLS)
def test_what_else_is_refused(name):
    call = CALLS[name]
    refuses(lambda: call(COUNTING.long(), BOXES, 1), TypeError, "features must be floating-point", "torch.int64")
    refuses(lambda: call([1.0], BOXES, 1), TypeError, "features", "list")
    refuses(lambda: call(COUNTING[0], BOXES, 1), ValueError, "features must have shape [N, C, H, W]", "[1, 4, 5]")
    refuses(lambda: call(COUNTING[:, :, :0], BOXES, 1), ValueError, "features", "[1, 1, 0, 5]")
    refuses(lambda: call(COUNTING, BOXES, 0), ValueError, "output_size must be at least 1")
    refuses(lambda: call(COUNTING, BOXES, (1, 2, 3)), ValueError, "output_size")
    refuses(lambda: call(COUNTING, BOXES, 1, 0), ValueError, "spatial_scale must be a finite number above 0; got 0")
    refuses(lambda: call(COUNTING, BOXES, 1, "1"), TypeError, "spatial_scale must be a number above 0; got '1'")
    if "align" in name:
        refuses(lambda: call(COUNTING, BOXES, 1, 1.0, 1.5), TypeError, "sampling_ratio", "1.5")


@pytest.mark.gpu
def test_boxes_on_another_device():
    refuses(lambda: roi_pool(COUNTING.cuda(), BOXES, 1), ValueError, "boxes must be on the device of features", "cuda")
