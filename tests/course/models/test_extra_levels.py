"""SSD's maps: what each is made of, and how large it is."""

import pytest
import torch
from torch import nn

from course.models.extra_levels import ExtraLevels, UnitLength, extra_block, vgg300
from course.models.stages import Stages


def small(**rescale: nn.Module) -> ExtraLevels:
    """Layers that add 1, 10, 100 and so on, so that each map says what it went through."""

    class Plus(nn.Module):
        def __init__(self, number):
            super().__init__()
            self.number = number

        def forward(self, x):
            return x[..., ::2, ::2] + self.number

    return ExtraLevels(
        trunk=Stages({4: Plus(1), 8: Plus(10), 16: Plus(100)}),
        names=(8, 16),
        extra={32: Plus(1000), "last": Plus(10000)},
        rescale={int(name[1:]): module for name, module in rescale.items()},
    )


def test_each_map_is_made_from_the_one_before():
    levels = small()(torch.zeros(2, 3, 32, 64))
    assert {name: (level[0, 0, 0, 0].item(), tuple(level.shape)) for name, level in levels.items()} == {
        8: (11, (2, 3, 8, 16)),
        16: (111, (2, 3, 4, 8)),
        32: (1111, (2, 3, 2, 4)),
        "last": (11111, (2, 3, 1, 2)),
    }


def test_a_map_is_rescaled_to_be_looked_at_only():
    class Negated(nn.Module):
        def forward(self, x):
            return -x

    levels = small(_8=Negated(), _32=Negated())(torch.zeros(1, 3, 32, 32))
    assert [level[0, 0, 0, 0].item() for level in levels.values()] == [-11, 111, -1111, 11111]


def test_unit_length_by_hand():
    x = torch.tensor([[3.0, 0], [4, 0]]).reshape(1, 2, 1, 2)  # two channels, two cells, of which one is all 0
    layer = UnitLength(2, scale=10.0)
    assert layer(x).flatten().tolist() == pytest.approx([6, 0, 8, 0])
    layer.weight.data = torch.tensor([1.0, 100.0])
    assert layer(x).flatten().tolist() == pytest.approx([0.6, 0, 80, 0])
    torch.testing.assert_close(layer(1000 * x), layer(x))
    layer(x).sum().backward()
    assert layer.weight.grad.tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(("options", "size"), [({}, 5), ({"stride": 1, "padding": 0}, 8)])
def test_extra_block(options, size):
    assert extra_block(6, 3, 4, **options)(torch.rand(1, 6, 10, 10)).shape == (1, 4, size, size)


def test_the_six_maps_of_the_paper():
    """Figure 2: 38, 19, 10, 5, 3 and 1 cells a side, with 512, 1024, 512, 256, 256 and 256 channels. No numbers, sizes only."""
    with torch.device("meta"):
        levels = vgg300()(torch.empty(1, 3, 300, 300))
    assert {name: tuple(level.shape[1:]) for name, level in levels.items()} == {
        "conv4_3": (512, 38, 38),
        "conv7": (1024, 19, 19),
        "conv8_2": (512, 10, 10),
        "conv9_2": (256, 5, 5),
        "conv10_2": (256, 3, 3),
        "conv11_2": (256, 1, 1),
    }
