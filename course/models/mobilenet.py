"""MobileNetV2 with ImageNet's weights, from a file: torchvision's layers, whose weights it would have to download.

Paper: M. Sandler, A. Howard, M. Zhu, A. Zhmoginov and L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018,
arXiv:1801.04381, table 2. Differs from torchvision: only the features are loaded; the classifier stays random.
"""

from typing import TYPE_CHECKING

import torch

from course.data.folder import Source, locate

if TYPE_CHECKING:
    from torchvision.models import MobileNetV2

FILE = "mobilenet_v2_features_torchvision_keys.pth"
IMAGENET = Source(
    "ImageNet's MobileNetV2",
    folders=("weights/mobilenet_v2",),
    origin="it is the state dict of torchvision's mobilenet_v2(weights='IMAGENET1K_V1').features, put there with torch.save",
)


def imagenet_mobilenet_v2() -> "MobileNetV2":
    """torchvision's network with trained features, on the CPU. Raises: MissingData, with where it looked, if the file is not there."""
    from torchvision.models import mobilenet_v2  # here, because importing it changes the environment

    mobilenet = mobilenet_v2(weights=None)
    mobilenet.features.load_state_dict(torch.load(locate(IMAGENET, (FILE,)) / FILE, map_location="cpu", weights_only=True))
    return mobilenet
