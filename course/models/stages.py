"""A network cut into stages, so that the features of each can be read, kept or frozen: what FCN and hypercolumns stand on.

Papers of the networks: K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385,
table 1; M. Sandler et al., "MobileNetV2", 2018, arXiv:1801.04381, table 2; EfficientNet-Lite0: see `course.models.backbones`.

Differs from torchvision: its IntermediateLayerGetter picks layers by name from a whole network; here a network is put together from its
stages. The layers of ResNet and MobileNetV2 are torchvision's own.

Shape letters: N images, C channels, H height, W width.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from course.models.backbones import LAST_BLOCK, EfficientNetLite0, efficientnet_lite0

if TYPE_CHECKING:  # importing torchvision.models changes the environment, and importing the course changes nothing
    from torchvision.models import MobileNetV2, ResNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0…1, as all of torchvision's weights were trained
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
LITE0_TRUNK = {8: 40, 16: 112}  # channels of `lite0_trunk`, by stride


class Stages(nn.Module):
    """Modules one after the other; the output of each is kept under its name.

    Args:
        stages: {name: module}, in the order of the forward pass. A name is a stride in pixels, such as 8, or a word, such as "layer1".
    """

    def __init__(self, stages: Mapping[int | str, nn.Module]):
        super().__init__()
        self.names = tuple(stages)
        for name, stage in stages.items():
            self.add_module(str(name), stage)

    def features(self, images: Tensor) -> dict[int | str, Tensor]:
        """`[N, 3, H, W]` → {name: features `[N, C, H / stride, W / stride]`}, one for each stage."""
        features, x = {}, images
        for name in self.names:
            features[name] = x = getattr(self, str(name))(x)  # [N, C, H/stride, W/stride]
        return features

    forward = features

    def __getitem__(self, name: int | str) -> nn.Module:
        """The stage of that name, to put a new network together from."""
        if name not in self.names:
            raise KeyError(f"The stages are {', '.join(map(str, self.names))}; there is none called {name!r}.")
        return getattr(self, str(name))


class Frozen(nn.Module):
    """Layers that stay as they are: no gradient is computed for them, and batch normalisation keeps its averages, in training, too."""

    def __init__(self, layers: nn.Module):
        super().__init__()
        self.layers = layers.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        self.layers.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.layers(x)


class Normalise(nn.Module):
    """RGB in 0…1 → zero mean and unit deviation over the training pictures, channel by channel. The shape stays."""

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, deviation: Sequence[float] = IMAGENET_DEVIATION):
        super().__init__()
        self.mean, self.deviation = tuple(mean), tuple(deviation)

    def forward(self, images: Tensor) -> Tensor:
        # no buffers: those of a network that was float32 once would stay rounded to it
        mean, deviation = (images.new_tensor(numbers)[:, None, None] for numbers in (self.mean, self.deviation))  # [3, 1, 1]
        return (images - mean) / deviation


def resnet_stages(resnet: "ResNet") -> Stages:
    """The stages of a torchvision ResNet, without its classifier: "stem" and "layer1" at stride 4, "layer2" 8, "layer3" 16, "layer4" 32.

    With `replace_stride_with_dilation=[False, True, True]` the last two stay at stride 8. Takes pictures that are normalised already.
    """
    stem = OrderedDict((name, getattr(resnet, name)) for name in ("conv1", "bn1", "relu", "maxpool"))
    layers = {f"layer{number}": getattr(resnet, f"layer{number}") for number in (1, 2, 3, 4)}
    return Stages({"stem": nn.Sequential(stem), **layers})


def mobilenet_v2_stages(mobilenet: "MobileNetV2") -> Stages:
    """The stages of a torchvision MobileNetV2, without its classifier, by stride: 2, 4, 8, 16, 32 with 16, 24, 32, 96, 1280 channels.

    Takes pictures in 0…1 and normalises them itself.
    """
    layers = mobilenet.features
    return Stages({2: nn.Sequential(Normalise(), *layers[:2]), 4: layers[2:4], 8: layers[4:7], 16: layers[7:14], 32: layers[14:]})


def efficientnet_lite0_stages(efficientnet: EfficientNetLite0) -> Stages:
    """The stages of EfficientNet-Lite0, without its classifier, by stride: 2, 4, 8, 16, 32 with 16, 24, 40, 112, 320 channels.

    Takes pictures in 0…1 and normalises them itself. The features are those of `EfficientNetLite0.features`.
    """
    network = efficientnet.network
    stem = nn.Sequential(Normalise([127 / 255] * 3, [128 / 255] * 3), network._conv_stem, network._bn0, nn.ReLU6())
    stages, start = {}, 0
    for stride, last in LAST_BLOCK.items():
        blocks = network._blocks[start : last + 1]
        stages[stride] = nn.Sequential(*stem, *blocks) if start == 0 else nn.Sequential(*blocks)
        start = last + 1
    return Stages(stages)


def trunk(given: Stages) -> Stages:
    """The stages that the course's detectors of small pictures share: 4, whose layers stay as they are, 8 and 16.

    The networks' own last stages would be two thirds of the weights. These pictures can do without.

    Args:
        given: stages 2, 4, 8 and 16, which the trunk takes over.
    """
    return Stages({4: Frozen(nn.Sequential(given[2], given[4])), 8: given[8], 16: given[16]})


def lite0_trunk() -> Stages:
    """EfficientNet-Lite0 with its ImageNet weights as a trunk, which takes pictures in 0…1; channels as in `LITE0_TRUNK`."""
    return trunk(efficientnet_lite0_stages(efficientnet_lite0()))
