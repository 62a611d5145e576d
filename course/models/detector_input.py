"""What a detector does with pictures of any size: normalise, bring to a usual size, put into one batch; and boxes there and back.

S. Ren et al., "Faster R-CNN", 2015, arXiv:1506.01497, section 3.3: pictures are scaled until their shorter side has 600 pixels; torchvision
and others take 800, but not more than 1333 on the longer side. YOLO and SSD make every picture the same square, whatever its shape. The
batch is as large as its largest picture, up to a multiple of the largest stride; what a smaller picture leaves over is 0, and no proposal
lies there.

Differs from torchvision: nothing in the numbers. Its GeneralizedRCNNTransform scales masks and keypoints, too.

Shape letters: N images, H × W of the batch.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.models.stages import IMAGENET_DEVIATION, IMAGENET_MEAN, Normalise
from course.ops.arguments import IntOrPair, Pair, pair


class Batch(NamedTuple):
    """Pictures as the network sees them."""

    images: Tensor
    """[N, 3, H, W], zeros beyond each picture."""
    sizes: list[Pair]
    """(height, width) of each picture in it."""
    original: list[Pair]
    """(height, width) of each as it was given."""

    @property
    def size(self) -> Pair:
        """(H, W)."""
        return tuple(self.images.shape[-2:])

    def inwards(self, boxes: Sequence[Tensor]) -> list[Tensor]:
        """For each picture its boxes [L, 4], from its own pixels to the batch's."""
        return [_scaled(of_image, *sizes) for of_image, *sizes in zip(boxes, self.original, self.sizes, strict=True)]

    def outwards(self, boxes: Sequence[Tensor]) -> list[Tensor]:
        """The reverse of `inwards`."""
        return [_scaled(of_image, *sizes) for of_image, *sizes in zip(boxes, self.sizes, self.original, strict=True)]


class DetectorInput(nn.Module):
    """A list of pictures [3, h, w], RGB, 0…1, which may differ in size → `Batch`.

    Args:
        normalise: whether to bring the pictures to ImageNet's mean and deviation; without, the backbone does it, or needs none. Or a module
            that does it another way, `[3, h, w]` → `[3, h, w]`.
        shorter_side: the shorter side of each picture becomes so many pixels; None leaves the pictures as they are.
        longer_side: unless the longer one would have more than this.
        multiple: the batch's height and width are multiples of it.
        size: every picture becomes just this large, (height, width) or one number for both, whatever its shape was; the other three do
            not matter then.
    """

    def __init__(
        self,
        *,
        normalise: bool | nn.Module = True,
        shorter_side: int | None = 800,
        longer_side: int = 1333,
        multiple: int = 32,
        size: IntOrPair | None = None,
    ):
        super().__init__()
        if not isinstance(normalise, nn.Module):
            normalise = Normalise(IMAGENET_MEAN, IMAGENET_DEVIATION) if normalise else nn.Identity()
        self.normalise, self.size = normalise, size if size is None else pair(size, "size", 1)
        self.shorter_side, self.longer_side, self.multiple = shorter_side, longer_side, multiple if size is None else 1

    def forward(self, images: Sequence[Tensor] | Tensor) -> Batch:
        check_images(images)
        original = [tuple(image.shape[-2:]) for image in images]
        as_it_is = self.shorter_side is None if self.size is None else self.size == original[0]
        if isinstance(images, Tensor) and as_it_is and not any(side % self.multiple for side in original[0]):
            return Batch(self.normalise(images), original, original)  # a batch already
        resized = [self._resized(self.normalise(image)) for image in images]
        sizes = [tuple(image.shape[-2:]) for image in resized]
        height, width = (math.ceil(max(sides) / self.multiple) * self.multiple for sides in zip(*sizes, strict=True))
        padded = [F.pad(image, (0, width - image.shape[2], 0, height - image.shape[1])) for image in resized]
        # channels last: the processor's convolutions take a tenth less time so, and RoIAlign reads all channels of a cell at once
        return Batch(torch.stack(padded).contiguous(memory_format=torch.channels_last), sizes, original)

    def _resized(self, image: Tensor) -> Tensor:
        size = self._size(tuple(image.shape[-2:]))
        return image if size is None else F.interpolate(image[None], size=size, mode="bilinear")[0]

    def _size(self, sides: Pair) -> Pair | None:
        """(height, width) that a picture of these sides gets; None if it stays as it is."""
        if self.size is not None or self.shorter_side is None:
            return self.size
        factor = min(self.shorter_side / min(sides), self.longer_side / max(sides))
        return tuple(max(1, math.floor(side * factor)) for side in sides)


def check_images(images: Sequence[Tensor] | Tensor) -> None:
    """Raises TypeError or ValueError, with one sentence, unless there are pictures [3, h, w] on one device, floating-point, or a batch."""
    if isinstance(images, Tensor) and images.dim() != 4:
        raise ValueError(f"A detector takes a list of pictures [3, h, w], or a batch [N, 3, h, w]; got one tensor {list(images.shape)}.")
    if not isinstance(images, (Tensor, list, tuple)):
        raise TypeError(f"A detector takes a list of pictures [3, h, w]; got {type(images).__name__}.")
    if not len(images):
        raise ValueError("A detector takes a list of pictures [3, h, w], at least one; got none.")
    for number, image in enumerate(images):
        if not isinstance(image, Tensor) or not image.is_floating_point():
            kind = image.dtype if isinstance(image, Tensor) else type(image).__name__
            raise TypeError(f"Pictures are floats from 0 to 1, [3, h, w]; number {number} is {kind}.")
        if image.dim() != 3 or len(image) != 3 or min(image.shape) < 1:
            raise ValueError(f"Pictures have shape [3, h, w]; number {number} has {list(image.shape)}.")
        if image.device != images[0].device:
            raise ValueError(f"Pictures are on one device; number {number} is on {image.device} and number 0 on {images[0].device}.")


def _scaled(boxes: Tensor, size: Pair, to: Pair) -> Tensor:
    """Boxes [L, 4] of a picture of that size, in one of the other."""
    if size == to:
        return boxes
    # in float32, as torchvision divides
    down, across = (
        torch.tensor(new, dtype=torch.float32) / torch.tensor(old, dtype=torch.float32) for new, old in zip(to, size, strict=True)
    )
    return boxes * torch.stack((across, down, across, down)).to(boxes)
