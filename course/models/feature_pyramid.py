"""Feature Pyramid Network: maps at several resolutions that all know what the coarsest knows, and a box is read from the one that fits it.

Paper: T.-Y. Lin, P. Dollár, R. Girshick, K. He, B. Hariharan and S. Belongie, "Feature Pyramid Networks for Object Detection", 2016,
arXiv:1612.03144, section 3 and figure 3 (the pyramid), section 4.2 and equation 1 (which level a box is pooled from), section 4.1,
footnote 2 (one level more, a subsampled one, for the largest anchors).

    coarsest:  P_top = output(lateral(C_top))
    below:     M_k = lateral(C_k) + M_(k+1), enlarged to the size of C_k by its nearest cell;   P_k = output(M_k)
    level of a box of w × h pixels:   ⌊k₀ + log₂(√(w·h) / s₀)⌋,  cut off at both ends;   k₀ = 4 (stride 16) and s₀ = 224

Differs from the paper: nothing. Differs from torchvision: nothing, `course.models.faster_rcnn.from_torchvision` proves it; the strides of
the levels are given, not guessed from the sizes of pictures and maps.

Shape letters: N images, C channels, H × W cells of a level, R boxes, PH × PW bins.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.boxes import box_area
from course.ops.roi import roi_align, roi_pool

Level = int | str


class FeaturePyramid(nn.Module):
    """A backbone and the way back up. Levels are named as the backbone names its maps, finest first.

    Args:
        backbone: `features(images)` gives {name: map `[N, C_k, H_k, W_k]`}, as `course.models.stages.Stages` does.
        lateral: {name: module from C_k to C channels}, the levels of the pyramid, finest first; 1×1 convolutions.
        output: {name: module from C to C channels}, for the same levels; 3×3 convolutions.
        pooled: the name of one level more, every second cell of the coarsest; None for none.
    """

    def __init__(
        self, *, backbone: nn.Module, lateral: Mapping[Level, nn.Module], output: Mapping[Level, nn.Module], pooled: Level | None = None
    ):
        super().__init__()
        if not lateral or list(lateral) != list(output):
            raise ValueError(f"lateral and output must name the same levels, finest first; got {list(lateral)} and {list(output)}.")
        self.backbone, self.names, self.pooled = backbone, tuple(lateral), pooled
        self.lateral = nn.ModuleDict({str(name): module for name, module in lateral.items()})
        self.output = nn.ModuleDict({str(name): module for name, module in output.items()})

    def forward(self, images: Tensor) -> dict[Level, Tensor]:
        """`[N, 3, H, W]` → {name: map `[N, C, H_k, W_k]`}, finest first."""
        maps = self.backbone.features(images)
        merged, levels = None, {}
        for name in reversed(self.names):
            side = self.lateral[str(name)](maps[name])  # [N, C, H_k, W_k]
            merged = side if merged is None else side + F.interpolate(merged, size=side.shape[-2:], mode="nearest")
            levels[name] = self.output[str(name)](merged)  # [N, C, H_k, W_k]
        levels = dict(reversed(levels.items()))
        if self.pooled is not None:
            levels[self.pooled] = levels[self.names[-1]][..., ::2, ::2]  # [N, C, ⌈H/2⌉, ⌈W/2⌉]
        return levels


def lateral_and_output(
    channels: Mapping[Level, int], width: int, norm: Callable[[int], nn.Module] | None = None
) -> tuple[dict[Level, nn.Module], dict[Level, nn.Module]]:
    """The two kinds of convolution of a pyramid, for `FeaturePyramid(lateral=…, output=…)`.

    Args:
        channels: {level: C_k of the backbone's map}, finest first.
        width: C, of every level of the pyramid.
        norm: makes a normalisation of so many channels; by default there is none, and the convolutions have a bias instead.
    """
    lateral = {name: _convolution(c_in, width, 1, norm) for name, c_in in channels.items()}
    output = {name: _convolution(width, width, 3, norm) for name in channels}
    return lateral, output


def _convolution(c_in: int, c_out: int, size: int, norm: Callable[[int], nn.Module] | None) -> nn.Sequential:
    convolution = nn.Conv2d(c_in, c_out, size, padding=size // 2, bias=norm is None)
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    if norm is not None:
        return nn.Sequential(convolution, norm(c_out))
    nn.init.zeros_(convolution.bias)
    return nn.Sequential(convolution)


class PyramidPooling(nn.Module):
    """Each box pooled from the level that fits it: large boxes from coarse maps, small ones from fine maps. Subclasses say how, in `read`.

    Args:
        strides: {level: its stride in pixels}, finest first; a level of the pyramid that is not named is not read.
        output_size: (PH, PW) or one integer.
        canonical_size, canonical_level: a box of s₀ × s₀ pixels is read from level k₀, which has the stride 2^k₀. Paper, equation 1.
    """

    def __init__(self, *, strides: Mapping[Level, int], output_size: IntOrPair = 7, canonical_size: float = 224, canonical_level: int = 4):
        super().__init__()
        self.strides, self.output_size = dict(strides), arguments.pair(output_size, "output_size", 1)
        self.canonical_size, self.canonical_level = canonical_size, canonical_level

    def forward(self, levels: Mapping[Level, Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Levels as `FeaturePyramid` gives them and for each image its boxes `[L, 4]`, in its pixels → `[R, C, PH, PW]`, image by image."""
        numbered = torch.cat([F.pad(of_image, (1, 0), value=n) for n, of_image in enumerate(boxes)])  # [R, 5]: n, x1, y1, x2, y2
        place = self.level_of(numbered[:, 1:])  # [R]
        finest = levels[next(iter(self.strides))]
        pooled = finest.new_zeros(len(numbered), finest.shape[1], *self.output_size)  # [R, C, PH, PW]
        for k, (name, stride) in enumerate(self.strides.items()):
            rows = (place == k).nonzero()[:, 0]
            pooled[rows] = self.read(levels[name], numbered[rows], 1 / stride)
        return pooled

    def read(self, features: Tensor, boxes: Tensor, scale: float) -> Tensor:
        """One level `[N, C, H, W]` and boxes `[R, 5]`, scale cells a pixel → `[R, C, PH, PW]`."""
        raise NotImplementedError

    def level_of(self, boxes: Tensor) -> Tensor:
        """Which of the levels, 0 the finest, each box `[R, 4]` is read from: int64 `[R]`."""
        finest, coarsest = (round(math.log2(stride)) for stride in (min(self.strides.values()), max(self.strides.values())))
        # 1e-6, as torchvision adds it: a box of exactly s₀ pixels would fall below its level by a rounding error
        level = (self.canonical_level + (box_area(boxes).sqrt() / self.canonical_size).log2() + 1e-6).floor()  # [R]
        return level.clamp(finest, coarsest).long() - finest

    def extra_repr(self) -> str:
        return f"strides={self.strides}, output_size={self.output_size}"


class PyramidRoIAlign(PyramidPooling):
    """RoIAlign from the level that fits each box; sampling_ratio and aligned as `course.ops.roi.roi_align`."""

    def __init__(self, *, sampling_ratio: int = 2, aligned: bool = False, **where):
        super().__init__(**where)
        self.sampling_ratio, self.aligned = sampling_ratio, aligned

    def read(self, features: Tensor, boxes: Tensor, scale: float) -> Tensor:
        return roi_align(features, boxes, self.output_size, scale, self.sampling_ratio, self.aligned)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, sampling_ratio={self.sampling_ratio}, aligned={self.aligned}"


class PyramidRoIPool(PyramidPooling):
    """RoI pooling from the level that fits each box, as `course.ops.roi.roi_pool`: what RoIAlign is compared with."""

    def read(self, features: Tensor, boxes: Tensor, scale: float) -> Tensor:
        return roi_pool(features, boxes, self.output_size, scale)
