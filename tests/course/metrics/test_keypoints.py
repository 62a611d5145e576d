"""PCK by hand: distances of 3-4-5 triangles, and keypoints that nobody knows."""

import math

import pytest
import torch

from course.metrics import box_lengths, pck

TARGET = torch.tensor([[[10.0, 10, 2], [20, 20, 1], [0, 0, 0]], [[50, 50, 2], [60, 60, 2], [70, 70, 2]]])
OFF = torch.tensor([[[3.0, 4], [0, 0], [90, 90]], [[6, 8], [6.1, 8], [0, 0]]])  # distances 5, 0, unknown; 10, a little more, 0
PREDICTION = TARGET[..., :2] + OFF
LENGTHS = torch.tensor([20.0, 50.0])


def test_by_hand():
    assert pck(PREDICTION, TARGET, LENGTHS) == pytest.approx(3 / 5)  # within 4 and 10 pixels: 5 no, 0 yes; 10 yes, more no, 0 yes
    assert pck(PREDICTION, TARGET, LENGTHS, threshold=0.25) == pytest.approx(5 / 5)  # 5 and 12.5
    assert pck(PREDICTION, TARGET, LENGTHS, threshold=0) == pytest.approx(2 / 5)
    assert pck(PREDICTION, TARGET, LENGTHS.flip(0)) == pytest.approx(3 / 5)  # within 10 and 4: yes, yes; no, no, yes


def test_it_is_a_loop():
    draw = torch.Generator().manual_seed(0)
    target = torch.cat([100 * torch.rand(7, 13, 2, generator=draw), torch.randint(0, 3, (7, 13, 1), generator=draw)], -1)
    prediction, lengths = target[..., :2] + 10 * torch.randn(7, 13, 2, generator=draw), 20 + 40 * torch.rand(7, generator=draw)
    right = [
        math.dist(p, (x, y)) <= 0.2 * length
        for people, joints, length in zip(prediction.tolist(), target.tolist(), lengths.tolist(), strict=True)
        for p, (x, y, visible) in zip(people, joints, strict=True)
        if visible
    ]
    assert 0.1 < sum(right) / len(right) < 0.9
    assert pck(prediction, target, lengths) == pytest.approx(sum(right) / len(right))


def test_torchvisions_third_column_nan_and_nobody():
    assert pck(torch.cat([PREDICTION, torch.ones(2, 3, 1)], -1), TARGET, LENGTHS) == pytest.approx(3 / 5)
    assert pck(PREDICTION * torch.nan, TARGET, LENGTHS) == 0
    assert math.isnan(pck(PREDICTION, TARGET * torch.tensor([1.0, 1, 0]), LENGTHS))
    assert math.isnan(pck(torch.zeros(0, 3, 2), torch.zeros(0, 3, 3), torch.zeros(0)))


def test_the_longer_side():
    assert box_lengths(torch.tensor([[1.0, 2, 4, 12], [0, 0, 7, 5]])).tolist() == [10, 7]
    assert box_lengths(torch.zeros(0, 4)).shape == (0,)


@pytest.mark.parametrize(
    ("prediction", "target", "lengths", "threshold", "words"),
    [
        (PREDICTION, TARGET[..., :2], LENGTHS, 0.2, r"target must have shape \[N, K, 3\].*\[2, 3, 2\]"),
        (PREDICTION[:1], TARGET, LENGTHS, 0.2, r"\[2, 3, 2\].*\[1, 3, 2\]"),
        (PREDICTION, TARGET, LENGTHS[:1], 0.2, r"lengths must have shape \[2\].*\[1\]"),
        (PREDICTION, TARGET, LENGTHS, -0.1, "0 or more.*-0.1"),
    ],
)
def test_what_does_not_fit(prediction, target, lengths, threshold, words):
    with pytest.raises(ValueError, match=words):
        pck(prediction, target, lengths, threshold=threshold)
