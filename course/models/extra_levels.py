"""SSD's maps: a network made for classification, cut off, and behind it blocks of which each makes a smaller map.

Paper: W. Liu et al., "SSD: Single Shot MultiBox Detector", 2015, arXiv:1512.02325, figure 2, section 2.1 (the blocks), 3 (fc6 and fc7 of
VGG16 as convolutions) and 3.1 (conv4_3's features are many times larger than those of the other maps, so they are brought to one length;
from W. Liu, A. Rabinovich and A. C. Berg, "ParseNet", 2015, arXiv:1506.04579, section 3.3).

    pictures 300² → VGG16 → conv4_3 38² → conv7 19² → conv8_2 10² → conv9_2 5² → conv10_2 3² → conv11_2 1²

A cell of the last map sees the whole picture. Unlike `course.models.feature_pyramid` there is no way back up: a fine map does not know
what the coarse ones know.

Differs from the paper: nothing. Differs from torchvision: nothing, `course.models.ssd.from_torchvision` proves it.

Shape letters: B images, C channels, H × W cells of a map.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.models.stages import Stages

Level = int | str


class UnitLength(nn.Module):
    """Each cell's features `[B, C, H, W]` to length 1, then every channel times a weight that is learnt. The shape stays.

    conv4_3's features are many times larger than those of the later maps. Paper, section 3.1; the first weight is 20.
    """

    def __init__(self, channels: int, scale: float = 20.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight[:, None, None] * F.normalize(x, dim=1)  # [B, C, H, W]


class ExtraLevels(nn.Module):
    """Maps of an image network, and behind them blocks of which each makes a smaller one. Paper, figure 2.

    Args:
        trunk: `features(images)` gives {name: map `[B, C, H, W]`}, as `course.models.stages.Stages` does.
        names: which of these maps are looked at, finest first.
        extra: {name: block}, one behind the other, the first behind the trunk's last map.
        rescale: {name: module} for maps that are rescaled before they are looked at; what comes behind takes them as they are.
    """

    def __init__(
        self,
        *,
        trunk: Stages,
        names: Sequence[Level],
        extra: Mapping[Level, nn.Module],
        rescale: Mapping[Level, nn.Module] | None = None,
    ):
        super().__init__()
        self.trunk, self.names, self.extra_names = trunk, tuple(names), tuple(extra)
        self.extra = nn.ModuleDict({str(name): block for name, block in extra.items()})
        self.rescale = nn.ModuleDict({str(name): module for name, module in (rescale or {}).items()})

    def forward(self, images: Tensor) -> dict[Level, Tensor]:
        """`[B, 3, H, W]` → {name: map}, finest first."""
        maps = self.trunk.features(images)
        x = maps[self.trunk.names[-1]]
        levels = {name: maps[name] for name in self.names}
        for name in self.extra_names:
            levels[name] = x = self.extra[str(name)](x)  # [B, C, H/2, W/2], or 2 less without padding
        return {name: self.rescale[str(name)](level) if str(name) in self.rescale else level for name, level in levels.items()}


def extra_block(channels: int, narrow: int, width: int, *, stride: int = 2, padding: int = 1) -> nn.Sequential:
    """A 1×1 convolution to `narrow` channels, then a 3×3 one to `width` that makes the map smaller: by its stride, or without padding."""
    narrowing, shrinking = nn.Conv2d(channels, narrow, 1), nn.Conv2d(narrow, width, 3, stride, padding)
    return initialise(nn.Sequential(narrowing, nn.ReLU(inplace=True), shrinking, nn.ReLU(inplace=True)))


def initialise(layers: nn.Module) -> nn.Module:
    """Xavier's weights, biases of 0, as in the authors' code; paper, section 3."""
    for layer in layers.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return layers


def vgg300() -> ExtraLevels:
    """VGG16 and four blocks for pictures of 300 × 300, untrained: six maps, 38², 19², 10², 5², 3² and 1². Paper, figure 2 and section 3."""
    conv6 = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)  # fc6, its 7×7 weights thinned out ("atrous"): wide, and cheap
    conv7 = nn.Conv2d(1024, 1024, 1)
    behind = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv6, nn.ReLU(inplace=True), conv7, nn.ReLU(inplace=True))
    first, second = [*_convolutions(3, 64, 2), nn.MaxPool2d(2)], [*_convolutions(64, 128, 2), nn.MaxPool2d(2)]
    third = [*_convolutions(128, 256, 3), nn.MaxPool2d(2, ceil_mode=True)]  # 75 cells become 38, not 37
    conv4_3 = nn.Sequential(*first, *second, *third, *_convolutions(256, 512, 3))
    return ExtraLevels(
        trunk=Stages({"conv4_3": conv4_3, "conv7": nn.Sequential(nn.MaxPool2d(2), *_convolutions(512, 512, 3), initialise(behind))}),
        names=("conv4_3", "conv7"),
        extra={
            "conv8_2": extra_block(1024, 256, 512),
            "conv9_2": extra_block(512, 128, 256),
            "conv10_2": extra_block(256, 128, 256, stride=1, padding=0),
            "conv11_2": extra_block(256, 128, 256, stride=1, padding=0),
        },
        rescale={"conv4_3": UnitLength(512)},
    )


def _convolutions(channels: int, width: int, count: int) -> list[nn.Module]:
    layers = []
    for number in range(count):
        layers += [nn.Conv2d(width if number else channels, width, 3, padding=1), nn.ReLU(inplace=True)]
    return layers
