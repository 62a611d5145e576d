"""Hypercolumns are look-ups in every layer; classifiers on them may work in any order; masks find their way back into the picture."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import roi_align

from course.models.hypercolumns import MaskClassifier, hypercolumns, hypercolumns_in_boxes, masks_in_boxes, paste_masks
from course.models.stages import Stages

BOXES = [torch.tensor([[3.0, 2.5, 11.0, 9.0], [0.0, 0.0, 24.0, 16.0]]), torch.zeros(0, 4), torch.tensor([[7.2, 1.0, 23.9, 15.5]])]


def layers(count: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(count, c, h, w, generator=generator, dtype=torch.float64) for c, h, w in ((2, 16, 24), (3, 8, 12), (5, 2, 3))]


def blend(plane: torch.Tensor, x: float, y: float, image_size: tuple[int, int]) -> torch.Tensor:
    """Bilinear interpolation of `[C, h, w]` at a point of the picture, in plain Python."""
    height, width = plane.shape[-2:]
    column, row = x * width / image_size[1] - 0.5, y * height / image_size[0] - 0.5
    column, row = min(max(column, 0), width - 1), min(max(row, 0), height - 1)
    total = 0
    for r, c in itertools.product((int(row), int(row) + 1), (int(column), int(column) + 1)):
        share = (1 - abs(row - r)) * (1 - abs(column - c))
        total = total + share * plane[:, min(r, height - 1), min(c, width - 1)]
    return total


def test_a_pixels_hypercolumn_is_a_look_up_in_every_layer():
    features, size = layers(), (16, 24)
    stacked = hypercolumns(features, size)
    assert stacked.shape == (3, 10, *size)
    for y, x in itertools.product((0, 1, 7, 15), (0, 5, 23)):
        by_hand = torch.cat([blend(f[1], x + 0.5, y + 0.5, size) for f in features])
        torch.testing.assert_close(stacked[1, :, y, x], by_hand)
        point = torch.tensor([[[[2 * (x + 0.5) / 24 - 1, 2 * (y + 0.5) / 16 - 1]]]], dtype=torch.float64)
        sampled = [F.grid_sample(f[1:2], point, padding_mode="border", align_corners=False).flatten() for f in features]
        torch.testing.assert_close(stacked[1, :, y, x], torch.cat(sampled))
    torch.testing.assert_close(stacked[:, :2], features[0])  # a layer of that size already


@pytest.mark.parametrize("size", [1, 7])
def test_boxes_are_looked_up_at_their_cells_centres(size):
    features = layers()
    found = hypercolumns_in_boxes(features, BOXES, (16, 24), size)
    assert found.shape == (3, 10, size, size)
    flat = [(0, BOXES[0][0]), (0, BOXES[0][1]), (2, BOXES[2][0])]
    for number, (picture, (x1, y1, x2, y2)) in enumerate(flat):
        for row, column in {(0, 0), (size - 1, size // 2), (size - 1, size - 1)}:
            x, y = x1 + (column + 0.5) / size * (x2 - x1), y1 + (row + 0.5) / size * (y2 - y1)
            by_hand = torch.cat([blend(f[picture], x.item(), y.item(), (16, 24)) for f in features])
            torch.testing.assert_close(found[number, :, row, column], by_hand, rtol=1e-5, atol=1e-5)


def test_boxes_agree_with_roi_align():
    """With one sample a bin and aligned coordinates, RoIAlign is the same look-up."""
    features = [f.float() for f in layers()]
    found = hypercolumns_in_boxes(features, BOXES, (16, 24), 6)
    expected = [roi_align(f, BOXES, 6, spatial_scale=f.shape[-1] / 24, sampling_ratio=1, aligned=True) for f in features]
    torch.testing.assert_close(found, torch.cat(expected, 1), rtol=1e-4, atol=1e-4)


def test_the_whole_picture_is_a_box():
    features = [f[:, :, :, : f.shape[2]] for f in layers()]
    whole = [torch.tensor([[0.0, 0, 16, 16]])] * 3
    torch.testing.assert_close(hypercolumns_in_boxes(features, whole, (16, 16), 16), hypercolumns(features, (16, 16)), rtol=1e-5, atol=1e-5)


def classifier(grid: int, size: int = 6, channels=(2, 3, 5)) -> MaskClassifier:
    class Given(nn.Module):
        """Features of pictures that stand in the pictures' own place."""

        def features(self, images):
            return dict(enumerate(layers(len(images))))

    torch.manual_seed(grid)
    model = MaskClassifier(backbone=Given(), channels=dict(enumerate(channels)), grid=grid, size=size).double()
    for norm, _ in model.layers:
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    return model.eval()


@pytest.mark.parametrize("grid", [1, 2, 5])
def test_classifying_layers_and_then_interpolating_is_classifying_hypercolumns(grid):
    """The paper's section 3.2, undone: stack first, then at every point blend the nearest classifiers."""
    model, images = classifier(grid), torch.zeros(3, 3, 16, 24, dtype=torch.float64)
    columns = hypercolumns_in_boxes([norm(f) for (norm, _), f in zip(model.layers, layers(), strict=True)], BOXES, (16, 24), 6)
    weight = torch.cat([conv.weight.flatten(1) for _, conv in model.layers], 1)  # [G*G, ΣC]
    answers = torch.einsum("gc,rcyx->rgyx", weight, columns) + model.layers[0][1].bias[:, None, None]
    expected = torch.zeros(3, 6, 6, dtype=torch.float64)
    for row, column in itertools.product(range(6), repeat=2):
        at = answers[:, :, row, column].reshape(3, grid, grid)  # [R, G, G]
        for r in range(3):
            expected[r, row, column] = blend(at[r][None], column + 0.5, row + 0.5, (6, 6))[0]
    torch.testing.assert_close(model((images, BOXES)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("grid", [1, 3, 10])
def test_the_classifiers_shares_sum_to_one(grid):
    shares = classifier(grid).nearness(torch.zeros(1, dtype=torch.float64))
    assert shares.shape == (grid * grid, 6, 6) and shares.min() >= 0
    torch.testing.assert_close(shares.sum(0), torch.ones(6, 6, dtype=torch.float64))


def test_targets_and_pasting_are_inverse_where_the_grid_is_fine():
    y, x = torch.meshgrid(torch.arange(40) + 0.5, torch.arange(30) + 0.5, indexing="ij")
    disc = (x - 14) ** 2 + (y - 20) ** 2 < 81
    boxes = torch.tensor([[5.0, 11.0, 23.0, 29.0]])
    target = masks_in_boxes([disc[None]], [boxes], 18)  # a point a pixel
    torch.testing.assert_close(target[0], disc[11:29, 5:23].float())
    torch.testing.assert_close(paste_masks(target - 0.5, boxes, (40, 30))[0], disc)
    assert not paste_masks(torch.ones(1, 4, 4), torch.tensor([[0.0, 0, 7, 9]]), (40, 30))[0, 9:].any()
    assert paste_masks(torch.ones(1, 4, 4), torch.tensor([[0.0, 0, 7, 9]]), (40, 30)).sum() == 63


def test_no_boxes_no_masks():
    nothing = [torch.zeros(0, 4)] * 3
    assert hypercolumns_in_boxes(layers(), nothing, (16, 24), 6).shape == (0, 10, 6, 6)
    assert classifier(2)((torch.zeros(3, 3, 16, 24, dtype=torch.float64), nothing)).shape == (0, 6, 6)
    assert paste_masks(torch.zeros(0, 6, 6), torch.zeros(0, 4), (5, 4)).shape == (0, 5, 4)


def test_only_the_classifiers_learn():
    backbone = Stages({2: nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4))})
    model = MaskClassifier(backbone=backbone, channels={2: 4}, grid=2, size=5).train()
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    model((torch.rand(3, 3, 16, 24), BOXES)).sum().backward()
    assert all(p.grad is None for p in backbone.parameters()) and all(p.grad is not None for p in model.layers.parameters())
    torch.testing.assert_close(backbone.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ([], "at least one layer"),
        ([torch.zeros(1, 2, 4, 4), torch.zeros(2, 2, 4, 4)], r"layer 1 has \[2, 2, 4, 4\]"),
        ([torch.zeros(2, 4, 4)], r"layer 0 has \[2, 4, 4\]"),
    ],
)
def test_bad_layers(features, sentence):
    with pytest.raises(ValueError, match=sentence):
        hypercolumns(features, (8, 8))
    with pytest.raises(ValueError, match=sentence):
        hypercolumns_in_boxes(features, [torch.zeros(0, 4)], (8, 8), 4)


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        (torch.zeros(3, 4), r"for each of the 3 pictures; got \[3, 4\]"),
        ([torch.zeros(1, 4)], r"for each of the 3 pictures; got \[\[1, 4\]\]"),
        ([torch.zeros(2, 5)] * 3, r"got \[\[2, 5\]"),
        ([torch.tensor([[4.0, 1, 4, 9]])] * 3, "some have no area"),
    ],
)
def test_bad_boxes(boxes, sentence):
    with pytest.raises(ValueError, match=sentence):
        hypercolumns_in_boxes(layers(), boxes, (16, 24), 4)


@pytest.mark.gpu
def test_on_the_gpu():
    features = [f.float() for f in layers()]
    here = hypercolumns_in_boxes(features, BOXES, (16, 24), 6)
    there = hypercolumns_in_boxes([f.cuda() for f in features], [b.cuda() for b in BOXES], (16, 24), 6)
    torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-4)
    backbone = Stages({2: nn.Conv2d(3, 4, 3, stride=2, padding=1)})
    model, images = MaskClassifier(backbone=backbone, channels={2: 4}, grid=3, size=5).eval(), torch.rand(3, 3, 16, 24)
    logits = model((images, BOXES))
    on_gpu = model.cuda()((images.cuda(), [b.cuda() for b in BOXES]))
    torch.testing.assert_close(on_gpu.cpu(), logits, rtol=1e-2, atol=1e-2)
    pasted = paste_masks(on_gpu, torch.cat(BOXES).cuda(), (16, 24)).cpu()
    assert (pasted == paste_masks(logits, torch.cat(BOXES), (16, 24))).float().mean() > 0.99
