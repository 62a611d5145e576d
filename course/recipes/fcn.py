"""FCN with skips, on generated shapes or on CamVid street scenes.

The network is an ImageNet classifier that was made fully convolutional: its lower layers stay as they are, the upper ones and all that is
new are trained with the loss of every pixel (course.models.fcn). On shapes it is EfficientNet-Lite0 up to stride 16, from a package; on
CamVid MobileNetV2, from the folder that SEGCOURSE_DATA names.

Differs from the paper (J. Long, E. Shelhamer and T. Darrell, 2014, arXiv:1411.4038): one skip more, at stride 4, because objects of ten
pixels have limbs of two; score layers with a hidden layer; all skips trained at once, by AdamW, for a minute in place of days.
"""

import torch
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, Dataset

from course.data import camvid, shapes
from course.data.camvid import CamVid
from course.data.shapes import Shapes
from course.metrics import class_iou, confusion_matrix
from course.models.backbones import efficientnet_lite0
from course.models.fcn import FCN, head, logits_of, losses
from course.models.mobilenet import imagenet_mobilenet_v2
from course.models.stages import Frozen, Stages, efficientnet_lite0_stages, mobilenet_v2_stages
from course.recipes import Plan
from course.training import History, fit, pick_device, to_device

DATA = {
    "shapes": Plan(
        epochs=2,
        metric="mean IoU on 500 unseen Shapes pictures of 128 px",
        trained_on="3000 generated pictures of course.data.shapes, from ImageNet features",
        licence="Apache-2.0",
    ),
    "camvid": Plan(
        epochs=12,
        metric="mean IoU on the CamVid val frames at 240 × 320 pixels",
        trained_on="the CamVid train frames at 240 × 320 pixels, from ImageNet features",
        licence="CC-BY-NC-4.0",
    ),
}
SIZE = {"shapes": 128, "camvid": (240, 320)}
CLASSES = {"shapes": shapes.CLASSES, "camvid": camvid.CLASSES}
STRIDES = (32, 16, 8, 4)


class Kept(Dataset):
    """A data set drawn once and kept, in 8 bits as it was drawn: an epoch then takes no time for drawing, and a quarter of the memory."""

    def __init__(self, data: Dataset):
        items = [data[number] for number in range(len(data))]
        self.images = torch.stack([(255 * image).round().to(torch.uint8) for image, _ in items])  # [N, 3, H, W]
        self.targets = torch.stack([target.to(torch.uint8) for _, target in items])  # [N, H, W]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index].float() / 255, self.targets[index].long()


class Mirrored(Dataset):
    """Every picture seen in a mirror, with its labels."""

    def __init__(self, data: Dataset):
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, target = self.data[index]
        return image.flip(-1), target.flip(-1)


def build(data: str = "shapes", *, finest: int = 4) -> FCN:
    """The untrained FCN on its ImageNet features.

    Args:
        data: "shapes" or "camvid".
        finest: the stride of the last skip: 32 (none: FCN-32s), 16 (FCN-16s), 8 (FCN-8s) or 4.
    """
    if finest not in STRIDES:
        raise ValueError(f"finest is the stride of the last skip, 32, 16, 8 or 4, not {finest!r}.")
    if data == "shapes":
        given, channels = efficientnet_lite0_stages(efficientnet_lite0()), {4: 24, 8: 40, 16: 112, 32: 128}
        # The network's own last stage would be two thirds of the weights. These pictures can do with less.
        last = nn.Sequential(convolution(112, 128, stride=2), convolution(128, 128))
    else:
        given, channels = mobilenet_v2_stages(imagenet_mobilenet_v2()), {4: 24, 8: 32, 16: 96, 32: 1280}
        last = given[32]
    stages = {4: Frozen(nn.Sequential(given[2], given[4])), 8: given[8], 16: given[16], 32: last}
    scores = {stride: head(channels[stride], 64, len(CLASSES[data])) for stride in STRIDES if stride >= finest}
    # Channels last in memory: the CPU's convolutions take about a third less time. The numbers are the same.
    return FCN(backbone=Stages(stages), scores=scores).to(memory_format=torch.channels_last)


def convolution(c_in: int, c_out: int, *, stride: int = 1) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU. `[N, c_in, H, W]` → `[N, c_out, H / stride, W / stride]`."""
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU())


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
        pictures, unseen = Kept(Shapes("train", count=count, size=SIZE[data])), Kept(Shapes("val", count=100, size=SIZE[data]))
    else:
        frames, unseen = Kept(CamVid("train", size=SIZE[data])), Kept(CamVid("val", size=SIZE[data]))
        pictures = ConcatDataset([frames, Mirrored(frames)])
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return fit(
        model,
        pictures,
        loss=losses,
        epochs=epochs,
        batch_size=16,
        optimiser=torch.optim.AdamW(learning, lr=6e-3, weight_decay=0.01),
        validate=lambda model: {"mean IoU": mean_iou_on(model, unseen, len(CLASSES[data]), device=device)},
        device=device,
        seed=seed,
        progress=progress,
        checkpoint=checkpoint,
        **options,
    )


def score(model: nn.Module, data: str = "shapes", *, device="auto", count: int = 500) -> float:
    """Mean IoU on pictures that were never trained on: `count` of Shapes's test split, or CamVid's val frames."""
    unseen = Shapes("test", count=count, size=SIZE[data]) if data == "shapes" else CamVid("val", size=SIZE[data])
    return mean_iou_on(model, unseen, len(CLASSES[data]), device=device)


def mean_iou_on(model: nn.Module, data: Dataset, classes: int, *, device="auto", batch_size: int = 25) -> float:
    """Mean IoU over all pixels of a data set of (image, labels), in evaluation mode."""
    device, was_training = pick_device(device), model.training
    model.to(device).eval()
    confusion = torch.zeros(classes, classes, dtype=torch.int64)
    with torch.inference_mode():
        for start in range(0, len(data), batch_size):
            items = [data[number] for number in range(start, min(start + batch_size, len(data)))]
            images, targets = (torch.stack(parts) for parts in zip(*items, strict=True))  # [N, 3, H, W], [N, H, W]
            predictions = logits_of(model(to_device(images, device))).argmax(1).cpu()  # [N, H, W]
            confusion += confusion_matrix(predictions, targets, classes)
    model.train(was_training)
    return class_iou(confusion).nanmean().item()
