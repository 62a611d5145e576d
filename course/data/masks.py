"""From a map of objects to one mask an object, and to a detection target.

Shape letters: N objects, H height, W width.
"""

import torch
from torch import Tensor


def split_objects(objects: Tensor, *, void: int | None = None) -> Tensor:
    """A map that numbers its objects → one mask an object, in the order of the numbers.

    Args:
        objects: whole numbers `[H, W]`; 0 is no object, and `void` counts as none.

    Returns: bool `[N, H, W]`; N may be 0. No two masks overlap.
    """
    numbers = objects.unique()  # [N + 1 or so], ascending
    numbers = numbers[(numbers != 0) & (numbers != (0 if void is None else void))]
    return objects == numbers[:, None, None]  # [N, H, W]


def boxes_of(masks: Tensor) -> Tensor:
    """The tight boxes around masks that are not empty.

    Differs from torchvision: `masks_to_boxes` gives the last pixel's number; here it is that pixel's right and lower edge, so that
    width = x2 − x1 counts the pixels.

    Args:
        masks: bool `[N, H, W]`.

    Returns: float32 `[N, 4]`, xyxy.
    """
    rows, columns = masks.any(2), masks.any(1)  # [N, H], [N, W]
    first = torch.stack([_first(columns), _first(rows)], dim=1)  # [N, 2]
    last = torch.stack([masks.shape[2] - _first(columns.flip(1)), masks.shape[1] - _first(rows.flip(1))], dim=1)
    return torch.cat([first, last], dim=1).float()  # [N, 4]


def mask_target(masks: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Masks bool `[N, H, W]` and labels `[N]` → a detection target: boxes, labels, masks, area, iscrowd."""
    return {
        "boxes": boxes_of(masks),
        "labels": labels,
        "masks": masks,
        "area": masks.sum((1, 2)).float(),  # [N]
        "iscrowd": torch.zeros_like(labels),
    }


def _first(present: Tensor) -> Tensor:
    """The first place in each row that is true: `[N, L]` → `[N]`."""
    return present.to(torch.uint8).argmax(dim=1)
