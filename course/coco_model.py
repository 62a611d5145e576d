"""torchvision's models with the weights that were trained on COCO, where these are on the disk or can be fetched.

    model = coco_model(ssd300_vgg16, SSD300_VGG16_Weights.COCO_V1, fetch=True)

The file lies where torchvision looks for it, in the folder of `torch.hub`, so neither fetches what the other has. Its name holds the first
digits of its sha256, `ssd300_vgg16_coco-b556d3b4.pth`, and they are compared before anything is read from it.

Differs from torchvision: nothing is fetched unasked; a broken connection is taken up again; without the file there is a sentence.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torchvision.models import WeightsEnum

from course.data.download import DownloadError, download


def coco_model(
    build: Callable[..., nn.Module], weights: WeightsEnum, *, fetch: bool = False, timeout: float = 10.0, **options
) -> nn.Module | None:
    """`build(weights=weights, **options)`, ready to answer; or None, and one printed sentence that says what is missing.

    Args:
        build: torchvision's function, as `maskrcnn_resnet50_fpn`.
        weights: as `MaskRCNN_ResNet50_FPN_Weights.COCO_V1`.
        fetch: get the file if it isn't there, with a bar.
        timeout: seconds without a byte after which a connection counts as broken.
        options: what else `build` takes, as `box_score_thresh=0.5`.

    Returns: the model, on the CPU, in evaluation mode.

    Raises:
        TypeError, ValueError: weights of another model, or whose file's name holds no checksum.
    """
    if not isinstance(weights, WeightsEnum):
        raise TypeError(f"weights are a member of one of torchvision's enums, as SSD300_VGG16_Weights.COCO_V1; got {weights!r}.")
    path = weights_file(weights)
    if not path.exists() and not fetch:
        size = weights.meta.get("_file_size")  # in MB
        print(f"The COCO weights are not here ({path.name}{f', {size:.0f} MB' if size else ''}): fetch=True gets them from the internet.")
        return None
    try:
        download(weights.url, path, checksum="sha256:" + _checksum(path), timeout=timeout)
    except DownloadError as error:
        print(error)
        return None
    torch.load(path, map_location="meta", weights_only=True)  # tensors and nothing that could run; torchvision would not ask
    return build(weights=weights, **options).eval()


def weights_file(weights: WeightsEnum) -> Path:
    """Where torchvision keeps the file of these weights."""
    return Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])


def _checksum(path: Path) -> str:
    """The digits of the sha256 that PyTorch puts at the end of a file's name."""
    digits = path.stem.rpartition("-")[2]
    if "-" not in path.stem or len(digits) < 8 or set(digits) - set("0123456789abcdef"):
        raise ValueError(f"The name of a file of weights ends in its checksum, as ssd300_vgg16_coco-b556d3b4.pth; got {path.name}.")
    return digits
