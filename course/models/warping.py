"""Warping: a box of any shape, with some of what is around it, becomes a square patch of one size, as a network takes it.

Paper: R. Girshick, J. Donahue, T. Darrell and J. Malik, "Rich feature hierarchies for accurate object detection and semantic
segmentation", 2014, arXiv:1311.2524: section 2.1 and appendix A, whose figure shows the ways to do it; this is the one of its column D,
with p = 16 pixels of context.

    pixel k of the patch's S looks at the place (k + ½ − p) / (S − 2p) of the box's side: 0 and 1 are its edges, beyond is context

Differs from the paper: the mean colour is one colour and not a picture, and the patch is not rounded to whole pixels of the picture.
Differs from torchvision: inside the picture it is `roi_align` of the larger box with one sample a bin; outside it fills with a colour.

Shape letters: N boxes, H × W picture, S side of a patch, p pixels of context.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course.ops import arguments

MEAN_COLOUR = (127 / 255,) * 3  # what EfficientNet-Lite0 subtracts: to the network it is nothing


def warp(image: Tensor, boxes: Tensor, *, size: int, padding: int = 16, fill: Sequence[float] = MEAN_COLOUR) -> Tensor:
    """Each box, whatever its shape, stretched to `size` × `size`, with some of what is around it. [N, 3, S, S]

    The box itself fills the middle, size − 2·padding pixels a side; the border shows its context. Each pixel of the patch looks up the
    picture at one point by bilinear interpolation; a point outside the picture has the colour `fill`. Source: paper, appendix A.

    Args:
        image: [3, H, W], floating-point.
        boxes: [N, 4], xyxy, with width and height above 0; N may be 0. They may reach beyond the picture.
        size: S, in pixels.
        padding: pixels of context on each side of the patch; less than half of size.
        fill: RGB.

    Raises:
        TypeError, ValueError: no such picture, boxes or numbers.
    """
    check_image(image)
    _check_boxes(boxes, image)
    size, padding = arguments.whole(size, "size", 1), arguments.whole(padding, "padding", 0)
    if 2 * padding >= size:
        raise ValueError(f"padding must be less than half of size, or no room is left for the box; got {padding} for size {size}.")
    height, width = image.shape[1:]
    share = (torch.arange(size, dtype=image.dtype, device=image.device) + 0.5 - padding) / (size - 2 * padding)  # [S]: 0…1 in the box
    x1, y1, x2, y2 = boxes.to(image.dtype).T[..., None]  # [N, 1] each
    x, y = 2 * (x1 + share * (x2 - x1)) / width - 1, 2 * (y1 + share * (y2 - y1)) / height - 1  # [N, S]: −1 and 1 are the picture's edges
    points = torch.stack((x[:, None].expand(-1, size, -1), y[..., None].expand(-1, -1, size)), -1)  # [N, S, S, 2]
    colour = image.new_tensor(fill)[:, None, None]  # [3, 1, 1]
    rows = points.reshape(1, -1, size, 2)  # [1, N*S, S, 2]: one picture, not N copies of it
    found = F.grid_sample(image[None], rows, padding_mode="border", align_corners=False)[0]  # [3, N*S, S]
    patches = found.unflatten(1, (len(boxes), size)).transpose(0, 1)  # [N, 3, S, S]
    inside = (points.abs() <= 1).all(-1)[:, None]  # [N, 1, S, S]
    return torch.where(inside, patches, colour)


def check_image(image: Tensor) -> None:
    """TypeError or ValueError unless image is a floating-point picture [3, H, W]."""
    arguments.check_planes(image, "image", fractions=True)
    if image.dim() != 3 or len(image) != 3:
        raise ValueError(f"image must have shape [3, H, W]; got {list(image.shape)}.")


def _check_boxes(boxes: Tensor, image: Tensor) -> None:
    arguments.check_boxes(boxes, finite=True)
    arguments.check_sizes(boxes, "boxes")
    arguments.check_same_device(boxes, "boxes", image, "image")
