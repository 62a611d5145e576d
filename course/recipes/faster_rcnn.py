"""Faster R-CNN with a pyramid, on generated shapes or on blood cells under the microscope.

An ImageNet network whose lowest layers stay as they are, a pyramid of three levels, a region proposal network and a head of two layers
(course.models.faster_rcnn), all trained jointly with four losses. On shapes the network is EfficientNet-Lite0 up to stride 16, from a
package; on blood cells MobileNetV2, from the folder that SEGCOURSE_DATA names.

Differs from the paper (S. Ren, K. He, R. Girshick and J. Sun, 2015, arXiv:1506.01497): small numbers for small pictures, namely anchors
from 18 pixels on, 64 channels, 150 boxes of a level into the suppression; AdamW, for minutes in place of hours.
"""

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from course.data import bccd, shapes
from course.data.bccd import BCCD
from course.data.shapes import Shapes, collate
from course.metrics import mean_average_precision
from course.models.backbones import efficientnet_lite0
from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import RegionHead, fully_connected
from course.models.faster_rcnn import FasterRCNN
from course.models.feature_pyramid import FeaturePyramid, PyramidRoIAlign, lateral_and_output
from course.models.mobilenet import imagenet_mobilenet_v2
from course.models.rpn import RPN, RPNHead
from course.models.stages import Frozen, Stages, efficientnet_lite0_stages, mobilenet_v2_stages
from course.recipes import Plan
from course.training import History, fit, pick_device, to_device

DATA = {
    "shapes": Plan(
        epochs=4,
        metric="mAP@0.5 on 500 unseen Shapes pictures of 128 px",
        trained_on="3000 generated pictures of course.data.shapes, from ImageNet features",
        licence="Apache-2.0",
    ),
    "bccd": Plan(
        epochs=4,
        metric="mAP@0.5 on the BCCD val pictures at 240 × 320 pixels",
        trained_on="the BCCD train pictures at 240 × 320 pixels, from ImageNet features",
        licence="MIT",
        tolerance=0.04,
    ),
}
SIZE = {"shapes": 128, "bccd": (240, 320)}
CLASSES = {"shapes": shapes.CLASSES, "bccd": bccd.CLASSES}
ANCHORS = {"shapes": ((24,), (40,), (64,)), "bccd": ((18,), (48,), (90,))}  # one size a level
WIDTH = 64  # channels of every level


class Pictures(Dataset):
    """A detection data set drawn once and kept, in 8 bits, with boxes and labels only; each picture also in mirrors.

    Args:
        data: items (image `[3, H, W]`, target with boxes and labels).
        mirrors: for each further copy the dimensions that are flipped: (-1,) left and right.
    """

    def __init__(self, data: Dataset, mirrors: tuple[tuple[int, ...], ...] = ()):
        items = [data[number] for number in range(len(data))]
        self.images = [(255 * image).round().to(torch.uint8) for image, _ in items]
        self.targets = [{name: target[name] for name in ("boxes", "labels")} for _, target in items]
        self.flips = ((), *mirrors)

    def __len__(self) -> int:
        return len(self.images) * len(self.flips)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        flip, number = divmod(index, len(self.images))
        image, target = self.images[number].float() / 255, self.targets[number]
        return image.flip(self.flips[flip]), target | {"boxes": mirrored(target["boxes"], image.shape[-2:], self.flips[flip])}


def mirrored(boxes: Tensor, size: tuple[int, int], dimensions: tuple[int, ...]) -> Tensor:
    """Boxes `[N, 4]` of a picture of that (height, width) in the picture flipped along -1 (left and right), -2 (up and down), or both."""
    x1, y1, x2, y2 = boxes.unbind(1)
    if -1 in dimensions:
        x1, x2 = size[1] - x2, size[1] - x1
    if -2 in dimensions:
        y1, y2 = size[0] - y2, size[0] - y1
    return torch.stack((x1, y1, x2, y2), 1)


def build(data: str = "shapes") -> FasterRCNN:
    """The untrained Faster R-CNN on its ImageNet features. data: "shapes" or "bccd"."""
    if data == "shapes":
        given, channels = efficientnet_lite0_stages(efficientnet_lite0()), {8: 40, 16: 112}
    else:
        given, channels = mobilenet_v2_stages(imagenet_mobilenet_v2()), {8: 32, 16: 96}
    # The networks' own last stages would be two thirds of the weights. These pictures can do without.
    stages = Stages({4: Frozen(nn.Sequential(given[2], given[4])), 8: given[8], 16: given[16]})
    lateral, output = lateral_and_output(channels, WIDTH)
    model = FasterRCNN(
        prepare=DetectorInput(normalise=False, shorter_side=None, multiple=32),
        backbone=FeaturePyramid(backbone=stages, lateral=lateral, output=output, pooled=32),
        rpn=RPN(
            head=RPNHead(channels=WIDTH, anchors=3),
            sizes=ANCHORS[data],
            pre_nms=(150, 150),
            post_nms=(100, 100),
            drawn=128,
        ),
        head=RegionHead(
            pool=PyramidRoIAlign(strides={8: 8, 16: 16}, output_size=7, canonical_size=48, canonical_level=4),
            layers=fully_connected(WIDTH, 7, 96),
            features=96,
            classes=len(CLASSES[data]),
            drawn=64,
        ),
    )
    # Channels last in memory: the CPU's convolutions take about a third less time. The numbers are the same.
    return model.to(memory_format=torch.channels_last)


def train(
    model: nn.Module,
    data: str = "shapes",
    *,
    epochs: int,
    seed: int = 0,
    device="auto",
    checkpoint=None,
    progress=None,
    count: int = 3000,
    **options,
) -> History:
    """Train in place. `count`: how many Shapes pictures there are to learn from; `options` go to `course.training.fit`."""
    if data == "shapes":
        pictures = Pictures(Shapes("train", count=count, size=SIZE[data], target="instances"))
        unseen, batch_size = Pictures(Shapes("val", count=100, size=SIZE[data], target="instances")), 16
    else:
        pictures = Pictures(BCCD("train", size=SIZE[data]), mirrors=((-1,), (-2,), (-1, -2)))
        unseen, batch_size = Pictures(BCCD("val", size=SIZE[data])), 8
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return fit(
        model,
        pictures,
        batch_loss=model.losses,
        collate=collate,
        epochs=epochs,
        batch_size=batch_size,
        optimiser=torch.optim.AdamW(learning, lr=2e-3, weight_decay=0.01),
        validate=lambda model: {"mAP@0.5": mean_average_precision_on(model, unseen, device=device)},
        device=device,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
        **options,
    )


def score(model: nn.Module, data: str = "shapes", *, device="auto", count: int = 500) -> float:
    """mAP@0.5 on pictures that were never trained on: `count` of Shapes's test split, or BCCD's val pictures."""
    unseen = Shapes("test", count=count, size=SIZE[data], target="instances") if data == "shapes" else BCCD("val", size=SIZE[data])
    return mean_average_precision_on(model, unseen, device=device)


def mean_average_precision_on(
    model: nn.Module, data: Dataset, *, device="auto", batch_size: int = 25, iou_thresholds: tuple[float, ...] = (0.5,)
) -> float:
    """mAP over a data set of (image, target), in evaluation mode."""
    found, there = detections_on(model, data, device=device, batch_size=batch_size)
    return mean_average_precision(found, there, iou_thresholds).mAP


def detections_on(model: nn.Module, data: Dataset, *, device="auto", batch_size: int = 25) -> tuple[list[dict], list[dict]]:
    """(detections, targets) of every picture, on the CPU, in evaluation mode."""
    device, was_training = pick_device(device), model.training
    model.to(device).eval()
    found, there = [], []
    with torch.inference_mode():
        for start in range(0, len(data), batch_size):
            images, targets = collate([data[number] for number in range(start, min(start + batch_size, len(data)))])
            found += to_device(model(to_device(images, device)), torch.device("cpu"))
            there += targets
    model.train(was_training)
    return found, there
