"""Label maps: a class for every pixel, made from instances and painted as pictures.

Class 0 is the background, `void` (255, as in Pascal VOC) marks pixels that count nowhere.

Shape letters: N instances, H height, W width.
"""

import torch
from torch import Tensor

VOID = 255

# Nine hues that colour-blind readers tell apart (P. Tol, "Colour Schemes", SRON technical note, 2021, scheme "muted"). They are not
# those of the roles (read, written, chosen), so that a class is never taken for one. Then the same hues paler, then darker.
_BACKGROUND = (236, 237, 240)
_HUES = (
    *((204, 102, 119), (51, 34, 136), (221, 204, 119), (17, 119, 51), (136, 204, 238)),
    *((136, 34, 85), (68, 170, 153), (153, 153, 51), (170, 68, 153)),
)
_PALER = tuple(tuple(round(0.5 * part + 0.5 * 255) for part in hue) for hue in _HUES)
_DARKER = tuple(tuple(round(0.55 * part) for part in hue) for hue in _HUES)

LABEL_COLOURS: tuple[tuple[int, int, int], ...] = (_BACKGROUND, *_HUES, *_PALER, *_DARKER)  # RGB of class 0, 1, …; then they repeat
VOID_COLOURS = ((196, 199, 205), (150, 154, 163))  # of the two stripes


def label_colour(label: int) -> tuple[int, int, int]:
    """RGB, 0…255, of a class: the same in every picture of the course. From class 28 on the colours of 1, 2, … come again.

    Raises: ValueError for a label below 0.
    """
    if label < 0:
        raise ValueError(f"Labels are counted from 0, the background; {label} has no colour.")
    return LABEL_COLOURS[label if label == 0 else 1 + (label - 1) % (len(LABEL_COLOURS) - 1)]


def colour_labels(labels: Tensor, void: int | None = VOID) -> Tensor:
    """A label map as a picture.

    Args:
        labels: `[H, W]` or `[N, H, W]`, whole numbers (or bool) from 0.
        void: the label drawn in grey stripes, or None.

    Returns: uint8 `[3, H, W]` or `[N, 3, H, W]`, RGB, on the device of `labels`.

    Raises: TypeError for labels that are not whole numbers, ValueError for another number of dimensions or a label below 0.
    """
    labels = _checked(labels)
    colours = torch.tensor(LABEL_COLOURS, dtype=torch.uint8, device=labels.device)  # [28, 3]
    picture = colours[torch.where(labels == 0, 0, 1 + (labels - 1) % (len(LABEL_COLOURS) - 1))]  # [N, H, W, 3]
    if void is not None and labels.numel():
        height, width = labels.shape[-2:]
        diagonal = torch.arange(height, device=labels.device)[:, None] + torch.arange(width, device=labels.device)  # [H, W]
        stripe = max(1, min(height, width) // 64)  # as wide in a small picture as in a large one, when both are shown at one size
        stripes = torch.tensor(VOID_COLOURS, dtype=torch.uint8, device=labels.device)[diagonal // stripe % 2]  # [H, W, 3]
        picture = torch.where((labels == void)[..., None], stripes, picture)
    return picture.movedim(-1, -3)  # [N, 3, H, W]


def semantic_map(masks: Tensor, labels: Tensor) -> Tensor:
    """From instances to classes: every pixel gets the class of the instance that covers it, 0 where none does.

    Where several cover it, the last one counts: it is painted over the others. Which instance it was is lost, and no way leads
    back: two cats that touch become one patch of cat.

    Args:
        masks: bool `[N, H, W]`, one an instance; N may be 0.
        labels: whole numbers `[N]`, the instances' classes.

    Returns: int64 `[H, W]`.

    Raises: TypeError or ValueError for masks that are not bool `[N, H, W]`, or another number of labels.
    """
    if masks.dtype != torch.bool:
        raise TypeError(f"Masks are bool, not {masks.dtype}; probabilities become masks by `> 0.5`.")
    if masks.dim() != 3 or labels.shape != masks.shape[:1]:
        raise ValueError(f"Masks are [N, H, W] with one label each, [N]; these have {list(masks.shape)} and {list(labels.shape)}.")
    semantic = torch.zeros(masks.shape[1:], dtype=torch.long, device=masks.device)  # [H, W]
    for mask, label in zip(masks, labels, strict=True):
        semantic[mask] = label.long()
    return semantic


def _checked(labels: Tensor) -> Tensor:
    if not isinstance(labels, Tensor):
        raise TypeError(f"Labels are a tensor [H, W], not {type(labels).__name__}.")
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(f"Labels are whole numbers, not {labels.dtype}; scores become labels by argmax over the classes.")
    if labels.dim() not in (2, 3):
        raise ValueError(f"Labels have shape [H, W] or [N, H, W]; these have {list(labels.shape)}.")
    if labels.numel() and labels.min() < 0:
        raise ValueError(f"Labels are counted from 0, the background; these hold {labels.min().item()}.")
    return labels.long()
