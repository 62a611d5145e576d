"""On Shapes's instances, inside their boxes: more layers and more classifiers give better masks, and any give better ones than the box."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course.data.shapes import Shapes
from course.models.hypercolumns import MaskClassifier, masks_in_boxes, paste_masks
from course.recipes import fcn
from course.training import fit
from course.weights import load_weights

PICTURES = 64
CHANNELS = {4: 24, 8: 40, 16: 112, 32: 128}


class Remembered(nn.Module):
    """The features of the shipped FCN, computed once for each batch."""

    def __init__(self):
        super().__init__()
        self.network = fcn.build("shapes")
        self.network.load_state_dict(load_weights("fcn"))
        self.known = {}

    def features(self, images):
        if images.data_ptr() not in self.known:
            self.known[images.data_ptr()] = self.network.backbone.features(images)
        return self.known[images.data_ptr()]


@pytest.fixture(scope="module")
def batches():
    return {split: [batch(split, start) for start in range(0, PICTURES, 8)] for split in ("train", "test")}


def batch(split: str, start: int):
    data = Shapes(split, count=PICTURES, size=128, target="instances")
    items = [data[number] for number in range(start, start + 8)]
    images = torch.stack([image for image, _ in items])
    return images, [target["boxes"] for _, target in items], [target["masks"] for _, target in items]


@pytest.fixture(scope="module")
def mask_iou(batches):
    backbone = Remembered()

    def trained(*strides: int, grid: int) -> float:
        torch.manual_seed(0)
        model = MaskClassifier(backbone=backbone, channels={stride: CHANNELS[stride] for stride in strides}, grid=grid, size=14)
        data = [((images, boxes), masks_in_boxes(masks, boxes, 14)) for images, boxes, masks in batches["train"]]
        optimiser = torch.optim.AdamW(model.layers.parameters(), lr=0.02)
        fit(model, data, loss=F.binary_cross_entropy_with_logits, epochs=8, optimiser=optimiser, progress=False, device="cpu")
        found = []
        for images, boxes, masks in batches["test"]:
            with torch.inference_mode():
                pasted = paste_masks(model((images, boxes)), torch.cat(boxes), images.shape[-2:])
            found.append(iou(pasted, torch.cat(masks)))
        return torch.cat(found).mean().item()

    return trained


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a & b).sum((1, 2)) / (a | b).sum((1, 2))


def test_layers_and_classifiers_pay(mask_iou, batches):
    boxes_alone = []
    for images, boxes, masks in batches["test"]:
        everything = torch.ones(sum(map(len, boxes)), 2, 2)
        boxes_alone.append(iou(paste_masks(everything, torch.cat(boxes), images.shape[-2:]), torch.cat(masks)))
    box = torch.cat(boxes_alone).mean().item()
    coarse, stacked, one = mask_iou(32, grid=5), mask_iou(4, 8, 16, 32, grid=5), mask_iou(4, 8, 16, 32, grid=1)
    assert box + 0.02 < coarse and coarse + 0.02 < stacked and one + 0.02 < stacked, (box, coarse, one, stacked)
    assert stacked > 0.65
