"""A picture and its labels, made larger or smaller together.

Pixel centres are at +0.5, so a place (x, y) goes to (x · W′ / W, y · H′ / H), for pictures, label maps and boxes alike.

Shape letters: N instances, H × W the size before, H′ × W′ after.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST = 10_000  # pixels a side

Size = int | tuple[int, int]


def sides(size: Size | None) -> tuple[int, int] | None:
    """`size` as a user writes it, one number for a square or (height, width) → (H′, W′), or None for "as it is".

    Raises: TypeError or ValueError for anything else.
    """
    if size is None:
        return None
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or any(isinstance(side, bool) or not isinstance(side, int) for side in pair):
        raise TypeError(f"size is a whole number, or (height, width), not {size!r}.")
    if not all(1 <= side <= LARGEST for side in pair):
        raise ValueError(f"size is from 1 to {LARGEST:,} pixels a side, not {size!r}.")
    return pair


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """`[3, H, W]` → `[3, H′, W′]`, bilinear; where it shrinks, every pixel that disappears is averaged in (antialiased)."""
    if tuple(image.shape[-2:]) == size:
        return image
    return F.interpolate(image[None], size, mode="bilinear", align_corners=False, antialias=True)[0].clamp(0, 1)  # [3, H′, W′]


def resize_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """`[..., H, W]` → `[..., H′, W′]`: each new pixel takes the label under its centre, so no new label can arise."""
    height, width = labels.shape[-2:]
    rows = (2 * torch.arange(size[0]) + 1) * height // (2 * size[0])
    columns = (2 * torch.arange(size[1]) + 1) * width // (2 * size[1])
    return labels[..., rows[:, None], columns]  # [..., H′, W′]


def resize_target(target: dict, before: tuple[int, int], size: tuple[int, int]) -> dict:
    """A detection target for the resized picture: boxes and areas scaled, masks and semantic map resampled, the rest as it is."""
    down, right = size[0] / before[0], size[1] / before[1]
    resized = dict(target)
    for name, value in target.items():
        if name == "boxes":
            resized[name] = value * torch.tensor([right, down, right, down])
        elif name == "area":
            resized[name] = value * (right * down)
        elif name in ("masks", "semantic"):
            resized[name] = resize_labels(value, size)
    return resized
