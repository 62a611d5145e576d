"""Bins are torch's adaptive ones, cells those whose middle lies in the box, and one pass over the picture is enough to detect with."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course.data.shapes import Shapes
from course.metrics.detection import mean_average_precision
from course.models.backbones import efficientnet_lite0
from course.models.cached_features import CachedFeatures
from course.models.rcnn import RCNN, regions_of, train_box_regression, train_svms
from course.models.selective_search import selective_search
from course.models.spp import LEVELS, PyramidFeatures, project_boxes, pyramid_pool


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pooled_by_a_loop(features, levels):
    """Cell by cell in plain Python: a cell belongs to bin i of n if its span [j, j + 1] and the bin's [i·w/n, (i + 1)·w/n] share more
    than an edge."""
    channels, height, width = features.shape
    answers = []
    for n in levels:
        for c in range(channels):
            for row in range(n):
                for column in range(n):
                    cells = [
                        features[c, y, x].item()
                        for y in range(height)
                        for x in range(width)
                        if (y + 1) * n > row * height
                        and y * n < (row + 1) * height
                        and (x + 1) * n > column * width
                        and x * n < (column + 1) * width
                    ]
                    answers.append(max(cells))
    return torch.tensor(answers)


@pytest.mark.parametrize("size", [(6, 6), (7, 13), (1, 1), (2, 9), (5, 1), (24, 18)], ids=str)
@pytest.mark.parametrize("levels", [LEVELS, (1,), (4, 2), (5,)], ids=str)
def test_the_pyramid_is_torchs_adaptive_pooling_and_a_loop(size, levels):
    features = drawn(3, *size)
    pooled = pyramid_pool(features, levels)
    assert pooled.shape == (3 * sum(n * n for n in levels),)
    torch.testing.assert_close(pooled, torch.cat([F.adaptive_max_pool2d(features, n).flatten() for n in levels]), rtol=0, atol=0)
    torch.testing.assert_close(pooled, pooled_by_a_loop(features, levels), rtol=0, atol=0)


def test_a_map_smaller_than_the_pyramid_fills_several_bins_with_one_cell():
    assert pyramid_pool(torch.tensor([[[1.0, 2.0]]]), (1, 3)).tolist() == [2, 1, 2, 2, 1, 2, 2, 1, 2, 2]


def projected_by_a_loop(box, size, stride, centre):
    """Of all cells, those whose middle lies inside the box. None if there are none."""
    height, width = size
    columns = [i for i in range(width) if box[0] < stride * i + centre < box[2]]
    rows = [i for i in range(height) if box[1] < stride * i + centre < box[3]]
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] if columns and rows else None


@pytest.mark.parametrize(("stride", "centre"), [(16, 0.0), (16, 15.5), (8, -3.5), (32, 0.5)])
def test_cells_are_those_whose_middle_lies_inside(stride, centre):
    corners = 200 * torch.rand(200, 2, generator=torch.Generator().manual_seed(0)) - 30
    sides = 90 * torch.rand(200, 2, generator=torch.Generator().manual_seed(1)) + 1
    boxes = torch.cat((corners, corners + sides), 1).round()  # whole pixels: some edges lie on middles
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    size = (160 // stride, 192 // stride)
    found = project_boxes(boxes, size, stride=stride, centre=centre)
    compared = 0
    for box, cells in zip(boxes.tolist(), found.tolist(), strict=True):
        expected = projected_by_a_loop(box, size, stride, centre)
        if expected is not None:
            assert cells == expected, box
            compared += 1
        assert 0 <= cells[0] < cells[2] <= size[1] and 0 <= cells[1] < cells[3] <= size[0]
    assert compared > 50


@pytest.mark.parametrize(
    ("box", "cells"),
    [
        ([0, 0, 64, 64], [1, 1, 4, 4]),  # ⌊0/16⌋ + 1 … ⌈64/16⌉ − 1: a middle on the edge is not inside
        ([1, 17, 63, 50], [1, 2, 4, 4]),  # 1 … 3 and 2 … 3
        ([-1, -1, 1, 1], [0, 0, 1, 1]),
        ([18, 20, 30, 22], [2, 1, 3, 2]),  # holds no middle: 24/16 = 1.5 goes to 2, 21/16 to 1
        ([19, 3, 30, 5], [2, 0, 3, 1]),
        ([-90, -90, -50, -20], [0, 0, 1, 1]),  # outside, upper left
        ([500, 20, 600, 44], [5, 2, 6, 3]),  # outside, right
        ([-500, -500, 500, 500], [0, 0, 6, 5]),
    ],
)
def test_projected_by_hand(box, cells):
    assert project_boxes(torch.tensor([box], dtype=torch.float32), (5, 6), stride=16).tolist() == [cells]


class Pixels(nn.Module):
    """A backbone whose map at stride 4 is every fourth pixel, beginning with the first: the middle of cell i is pixel 4·i + 0.5."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def features(self, images):
        self.seen.append(images.shape)
        return {4: images[..., ::4, ::4]}


def test_one_pass_for_all_boxes():
    backbone = Pixels()
    image = drawn(3, 40, 60)
    boxes = torch.tensor([[0.0, 0, 60, 40], [9, 5, 33, 30], [21, 13, 22, 14], [-80, -80, -60, -60]])
    features = PyramidFeatures(backbone=backbone, stride=4, centre=0.5, levels=(1, 2))(image, boxes)
    assert backbone.seen == [(1, 3, 40, 60)] and features.shape == (4, 15)
    torch.testing.assert_close(features[0, :3], image[:, ::4, ::4].amax((1, 2)))
    torch.testing.assert_close(features[1], pyramid_pool(image[:, 8:30:4, 12:33:4], (1, 2)))  # middles 8.5 … 28.5 and 12.5 … 32.5
    torch.testing.assert_close(features[3, 3:], image[:, :1, :1].expand(-1, 2, 2).flatten())
    assert features[2, :3].tolist() == image[:, 12, 20].tolist()


def test_no_boxes_give_no_rows():
    assert PyramidFeatures(backbone=Pixels(), stride=4, levels=(1, 2, 3))(drawn(3, 16, 16), torch.zeros(0, 4)).shape == (0, 42)


def test_a_resized_picture_takes_its_boxes_along():
    backbone = Pixels()
    features = PyramidFeatures(backbone=backbone, stride=4, centre=0.5, levels=(1,), shorter_side=80)
    image, boxes = features.resized(drawn(3, 40, 60), torch.tensor([[3.0, 5, 30, 40]]))
    assert image.shape == (3, 80, 120) and boxes.tolist() == [[6, 10, 60, 80]]
    features(drawn(3, 40, 60), torch.tensor([[3.0, 5, 30, 40]]))
    assert backbone.seen == [(1, 3, 80, 120)]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: pyramid_pool(drawn(1, 3, 8, 8)), ValueError, r"\[C, h, w\]"),
        (lambda: pyramid_pool(drawn(3, 8, 8), ()), ValueError, "got none"),
        (lambda: pyramid_pool(drawn(3, 8, 8), (0,)), ValueError, "at least 1"),
        (lambda: project_boxes(torch.tensor([[1.0, 2, 1, 5]]), (3, 3), stride=8), ValueError, "above 0"),
        (lambda: project_boxes(torch.tensor([[1.0, 2, 3, torch.nan]]), (3, 3), stride=8), ValueError, "finite"),
        (lambda: project_boxes(torch.tensor([[1.0, 2, 3, 5]]), (3, 3), stride=0), ValueError, "stride"),
    ],
)
def test_what_cannot_be_gets_a_sentence(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_the_same_classifiers_detect_behind_it(tmp_path):
    """A handful of pictures learnt by heart, with features from one pass for each, kept on disk."""
    data = Shapes("train", count=6, size=128, target="instances")
    pictures = [data[number] for number in range(6)]
    backbone = efficientnet_lite0()
    features = PyramidFeatures(backbone=backbone, centre=backbone.receptive_field(16).centre, levels=(1, 2, 3), shorter_side=256)
    features = CachedFeatures(features, folder=tmp_path)
    proposals = {id(image): selective_search(image, "single")[:100] for image, _ in pictures}
    regions = [regions_of(image, target, proposals=proposals[id(image)], features=features) for image, target in pictures]
    network = RCNN(
        proposals=lambda image: proposals[id(image)],
        features=features,
        classifier=train_svms(regions, classes=6),
        regressor=train_box_regression(regions, classes=6),
        score_threshold=-1,
    )
    found = network([image for image, _ in pictures])
    assert mean_average_precision(found, [target for _, target in pictures], [0.5]).AP50 > 0.7
    assert len(list(tmp_path.iterdir())) == 12 and features.size() > 1e6
