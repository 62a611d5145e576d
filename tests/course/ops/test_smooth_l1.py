import torch

from course.ops.smooth_l1 import smooth_l1
from tests.refusing import refuses


def test_by_hand():
    prediction, target = torch.tensor([0.0, 0.5, 1.0, 3.0, -3.0]), torch.zeros(5)
    assert smooth_l1(prediction, target).tolist() == [0, 0.125, 0.5, 2.5, 2.5]
    assert smooth_l1(prediction, target, 2.0).tolist() == [0, 0.0625, 0.25, 2, 2]
    assert smooth_l1(torch.tensor([5.0]), torch.tensor([7.0])).tolist() == [1.5]


def test_both_halves_meet_with_the_same_value_and_slope():
    for beta in (0.25, 1.0, 4.0):
        x = torch.tensor([beta - 1e-9, beta, beta + 1e-9], dtype=torch.float64, requires_grad=True)
        loss = smooth_l1(x, torch.zeros(3, dtype=torch.float64), beta)
        torch.testing.assert_close(loss, torch.full((3,), beta / 2, dtype=torch.float64), rtol=0, atol=1e-8)
        (slope,) = torch.autograd.grad(loss.sum(), x)
        torch.testing.assert_close(slope, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-8)


def test_far_out_the_slope_is_1_and_at_0_it_is_0():
    x = torch.tensor([-1e6, -2.0, 0.0, 2.0, 1e6], requires_grad=True)
    (slope,) = torch.autograd.grad(smooth_l1(x, torch.zeros(5)).sum(), x)
    assert slope.tolist() == [-1, -1, 0, 1, 1]


def test_shapes():
    assert smooth_l1(torch.zeros(3, 4), torch.ones(3, 4)).shape == (3, 4)
    assert smooth_l1(torch.zeros(0, 4), torch.ones(0, 4)).shape == (0, 4)
    assert smooth_l1(torch.tensor(2.0), torch.tensor(0.0)).item() == 1.5


def test_what_is_refused():
    zeros = torch.zeros(3)
    refuses(lambda: smooth_l1(torch.zeros(3, 4), zeros), ValueError, "prediction and target must have one shape", "[3, 4] and [3]")
    refuses(lambda: smooth_l1(zeros, zeros.long()), TypeError, "target", "int64")
    refuses(lambda: smooth_l1([0.0], zeros), TypeError, "prediction", "list")
    refuses(lambda: smooth_l1(zeros, zeros, 0.0), ValueError, "beta", "0")
    refuses(lambda: smooth_l1(zeros, zeros, "1"), TypeError, "beta", "'1'")
