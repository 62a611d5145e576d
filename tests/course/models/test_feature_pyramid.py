"""The pyramid is torchvision's FeaturePyramidNetwork, and each box is read from the level that its MultiScaleRoIAlign reads it from."""

import copy
import math
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, roi_align, roi_pool
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import LevelMapper

from course.models.feature_pyramid import FeaturePyramid, PyramidRoIAlign, PyramidRoIPool, lateral_and_output
from course.models.stages import Stages
from tests.refusing import refuses

CHANNELS = {4: 3, 8: 5, 16: 7}
STRIDES = {"fine": 4, "middle": 8, "coarse": 16, "coarsest": 32}


def small_stages() -> Stages:
    """Strides 4, 8 and 16, sides rounded up."""
    layers = {4: nn.Conv2d(3, 3, 3, 4, 1), 8: nn.Conv2d(3, 5, 3, 2, 1), 16: nn.Conv2d(5, 7, 3, 2, 1)}
    return Stages({"stem": nn.Identity(), **layers})


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (50, 37), (16, 16), (1, 5)])
@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_the_maps_are_torchvisions(size, norm):
    torch.manual_seed(0)
    theirs = FeaturePyramidNetwork(list(CHANNELS.values()), 6, LastLevelMaxPool(), norm).eval()
    backbone = small_stages()
    lateral, output = lateral_and_output(CHANNELS, 6, norm)
    for number, name in enumerate(CHANNELS):
        for mine, their in ((lateral[name], theirs.inner_blocks[number]), (output[name], theirs.layer_blocks[number])):
            for tensor in their.state_dict().values():
                tensor.add_(torch.rand(tensor.shape)) if tensor.is_floating_point() else None  # biases are 0 at first
            mine.load_state_dict(dict(zip(mine.state_dict(), their.state_dict().values(), strict=True)))
    mine = FeaturePyramid(backbone=backbone, lateral=lateral, output=output, pooled="pool").eval()
    images = torch.randn(2, 3, *size)
    levels = mine(images)
    maps = backbone.features(images)
    expected = theirs(OrderedDict((str(name), maps[name]) for name in CHANNELS))
    assert list(levels) == [4, 8, 16, "pool"]
    for mine_level, level in zip(levels.values(), expected.values(), strict=True):
        torch.testing.assert_close(mine_level, level)


def test_the_coarsest_reaches_the_finest_enlarged_by_its_nearest_cell():
    """With 1×1 convolutions that copy, the finest level is the sum of all maps, each cell of a coarse one repeated."""
    lateral, output = ({name: nn.Identity() for name in (1, 2, 4)} for _ in range(2))
    halve = nn.AvgPool2d(2, ceil_mode=True)
    pyramid = FeaturePyramid(backbone=Stages({1: nn.Identity(), 2: halve, 4: halve}), lateral=lateral, output=output)
    levels = pyramid(torch.arange(16.0).reshape(1, 1, 4, 4))
    assert list(levels) == [1, 2, 4]
    assert levels[4].tolist() == [[[[7.5]]]]
    assert levels[2].tolist() == [[[[10, 12], [18, 20]]]]  # 2.5, 4.5, 10.5, 12.5, each plus 7.5
    assert levels[1][0, 0].tolist() == [[10, 11, 14, 15], [14, 15, 18, 19], [26, 27, 30, 31], [30, 31, 34, 35]]


def test_the_level_more_is_every_second_cell():
    pyramid = FeaturePyramid(backbone=Stages({1: nn.Identity()}), lateral={1: nn.Identity()}, output={1: nn.Identity()}, pooled=2)
    assert pyramid(torch.arange(15.0).reshape(1, 1, 3, 5))[2].tolist() == [[[[0, 2, 4], [10, 12, 14]]]]


def test_a_level_that_is_missing():
    lateral, output = lateral_and_output(CHANNELS, 6)
    del output[8]
    refuses(lambda: FeaturePyramid(backbone=small_stages(), lateral=lateral, output=output), ValueError, "[4, 8, 16] and [4, 16]")
    refuses(lambda: FeaturePyramid(backbone=small_stages(), lateral={}, output={}), ValueError, "finest first")


def pool(**options) -> PyramidRoIAlign:
    return PyramidRoIAlign(strides=STRIDES, **options)


def squares(*sides: float) -> torch.Tensor:
    return torch.tensor([[10.0, 20, 10 + side, 20 + side] for side in sides])


def test_a_box_of_112_224_and_448_pixels_is_just_on_its_level():
    """Equation 1 by hand: k = 4 + log2(side / 224), strides 4 to 32 being levels 2 to 5."""
    sides = [0.0, 1, 111.99, 112, 223.9, 224, 447.9, 448, 900, 1e5]
    assert pool().level_of(squares(*sides)).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 3]


def test_the_area_decides_not_the_longer_side():
    assert pool().level_of(torch.tensor([[0.0, 0, 448, 112], [0, 0, 28, 448], [0, 0, 896, 224]])).tolist() == [2, 1, 3]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_levels_are_torchvisions_just_at_the_thresholds_too(dtype):
    torch.manual_seed(0)
    places = 300 * torch.rand(3000, 2, dtype=dtype)
    exact = torch.tensor([112.0, 224, 448, 896], dtype=dtype)[torch.randint(4, (1500,))]
    width = torch.cat((exact, 600 * torch.rand(1500, dtype=dtype)))
    boxes = torch.cat((places, places + torch.stack((width, width), 1)), 1)
    peer = LevelMapper(2, 5)([boxes])
    assert peer.unique().tolist() == [0, 1, 2, 3]
    assert torch.equal(pool().level_of(boxes), peer)


@pytest.mark.parametrize("options", [{}, {"output_size": (3, 5), "sampling_ratio": 0}])
def test_regions_are_torchvisions(options):
    torch.manual_seed(0)
    sizes = [(256, 384), (250, 300)]
    levels = {name: torch.randn(2, 4, 256 // stride, 384 // stride) for name, stride in STRIDES.items()}
    corner = torch.rand(60, 2) * torch.tensor([300.0, 200])
    boxes = torch.cat((corner, corner + 400 * torch.rand(60, 2).square() + 1), 1)  # some reach beyond the picture
    theirs = MultiScaleRoIAlign(list(STRIDES), options.get("output_size", 7), options.get("sampling_ratio", 2))
    expected = theirs(levels, [boxes[:25], boxes[25:]], sizes)
    found = pool(**options)({"not read": torch.zeros(2, 4, 1, 1)} | levels, [boxes[:25], boxes[25:]])
    assert len(pool().level_of(boxes).unique()) > 2
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_rounded_and_aligned_regions_are_those_of_torchvision_on_the_level_of_each():
    torch.manual_seed(0)
    levels = {name: torch.randn(2, 4, 256 // stride, 384 // stride) for name, stride in STRIDES.items()}
    corner = torch.rand(60, 2) * torch.tensor([300.0, 200])
    boxes = torch.cat((corner, corner + 400 * torch.rand(60, 2).square() + 1), 1)
    numbered = torch.cat((torch.arange(60)[:, None] // 25 % 2, boxes), 1)
    of_level = LevelMapper(2, 5)([boxes])
    pooled, aligned = torch.zeros(60, 4, 7, 5), torch.zeros(60, 4, 7, 5)
    for k, (name, stride) in enumerate(STRIDES.items()):
        rows = of_level == k
        pooled[rows] = roi_pool(levels[name], numbered[rows], (7, 5), 1 / stride)
        aligned[rows] = roi_align(levels[name], numbered[rows], (7, 5), 1 / stride, 2, aligned=True)
    images = [boxes[numbered[:, 0] == n] for n in (0, 1)]
    order = numbered[:, 0].argsort(stable=True)
    where = {"strides": STRIDES, "output_size": (7, 5)}
    assert len(of_level.unique()) > 2
    torch.testing.assert_close(PyramidRoIPool(**where)(levels, images), pooled[order])
    torch.testing.assert_close(PyramidRoIAlign(**where, aligned=True)(levels, images), aligned[order], rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_level_of_each_box_and_no_other():
    levels = {name: torch.ones(1, 2, 512 // stride, 512 // stride, requires_grad=True) for name, stride in STRIDES.items()}
    pool()(levels, [squares(20, 230)]).sum().backward()
    assert {name: bool(level.grad.any()) for name, level in levels.items()} == {
        "fine": True,
        "middle": False,
        "coarse": True,
        "coarsest": False,
    }
    torch.testing.assert_close(levels["fine"].grad.sum(), torch.tensor(2 * 49.0))  # a mean a bin, and the weights of a mean add up to 1


def test_without_boxes_there_are_no_regions():
    levels = {name: torch.ones(3, 2, 8, 8) for name in STRIDES}
    none = torch.zeros(0, 4)
    assert pool()(levels, [none, none, none]).shape == (0, 2, 7, 7)
    some = pool()(levels, [none, squares(5), none])
    assert some.shape == (1, 2, 7, 7)
    torch.testing.assert_close(some, roi_align(levels["fine"], [none, squares(5), none], 7, 0.25, 2))


def test_a_level_of_its_own_scale():
    """Pictures of 128 pixels have no boxes of 224: s₀ and k₀ say where the levels part."""
    small = PyramidRoIAlign(strides={"a": 8, "b": 16}, canonical_size=32, canonical_level=4)
    assert small.level_of(squares(16, 31.9, 32, 100)).tolist() == [0, 0, 1, 1]
    assert math.isclose(small.canonical_size, 32) and "'a': 8" in repr(small)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [PyramidRoIAlign, PyramidRoIPool])
def test_the_gpu_agrees_with_the_processor(kind):
    torch.manual_seed(0)
    lateral, output = lateral_and_output(CHANNELS, 6)
    pyramid = FeaturePyramid(backbone=small_stages(), lateral=lateral, output=output, pooled="pool").double()
    images = torch.randn(2, 3, 96, 128, dtype=torch.float64)
    corner = torch.rand(40, 2, dtype=torch.float64) * 80
    boxes = torch.cat((corner, corner + 60 * torch.rand(40, 2, dtype=torch.float64) + 1), 1)  # some reach beyond the picture
    regions = kind(strides={4: 4, 8: 8, 16: 16}, output_size=5, canonical_size=32, canonical_level=3)
    assert len(regions.level_of(boxes).unique()) > 1
    there = copy.deepcopy(pyramid).cuda()
    pooled = regions(pyramid(images), [boxes[:15], boxes[15:]])
    pooled_there = regions(there(images.cuda()), [boxes[:15].cuda(), boxes[15:].cuda()])
    torch.testing.assert_close(pooled_there.cpu(), pooled)
    pooled.square().sum().backward()
    pooled_there.square().sum().backward()
    gradients = [[part.grad.cpu() for part in each.parameters() if part.grad is not None] for each in (there, pyramid)]
    assert len(gradients[1]) > 6
    torch.testing.assert_close(*gradients)
