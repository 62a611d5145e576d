"""Masks of single objects: cut out of the picture for a network to learn from, judged, and pasted back.

Paper: K. He, G. Gkioxari, P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 3 (the loss L_mask) and section 3.1 (the
target is the intersection of a region with its object's mask; at inference a mask is resized to its box).

    target   the true mask, seen through the region: M × M cells, each the mean of the points that RoIAlign reads in it
    loss     of region r with class k: the mean over its cells of  −t · log p − (1 − t) · log(1 − p),  p = sigmoid(logit[r, k])
    pasted   the mask has a ring of cells around it, which are 0: the box grows by (M + 2) / M. Cut off to whole pixels, it is filled
             by bilinear interpolation, which is separable: a weight for each row and cell, and one for each column and cell

             picture[y, x] = Σ_i Σ_j  down[y, i] · mask[i, j] · across[x, j]

Softmax would make the classes compete for a pixel; with a sigmoid each has a mask of its own, and only that of the true class is judged.
What the object is, is left to the head that classifies.

Differs from the paper: probabilities are pasted; its threshold, 0.5, which makes a mask of them, is left to whoever reads them. Targets are
not rounded to 0 and 1.
Differs from torchvision: the numbers of its project_masks_on_boxes, maskrcnn_loss and paste_masks_in_image. Only pixels that a box and the
picture share are computed, so a box may lie outside. Half precision is computed in float32 and rounded once.

Shape letters: G objects, R regions, D detections, K classes with background, M × M cells of a mask, H × W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from course.ops import arguments, roi
from course.ops.arguments import FLOATS, INTEGERS, IntOrPair
from course.ops.precision import widen


def mask_targets(masks: Tensor, boxes: Tensor, matches: Tensor, size: int) -> Tensor:
    """What the mask head should say of each region: its object's mask, cut out and resized by RoIAlign. [R, M, M]

    Args:
        masks: of the objects, [G, H, W], bool or numbers from 0 to 1; G may be 0.
        boxes: regions, [R, 4], in pixels.
        matches: the object that each region shows, int64 [R], 0 to G − 1.
        size: M.

    Returns: numbers from 0 to 1 in the dtype of boxes: at the edge of an object a cell is covered in part.

    Raises:
        TypeError, ValueError: no such tensors or number, or an object that is not there.
    """
    _check_objects(masks, boxes, matches)
    size = arguments.whole(size, "size", 1)
    if not len(boxes):
        return boxes.new_zeros(0, size, size)
    wide = widen(boxes)  # the number of an object has to survive beside the coordinates
    regions = torch.cat((matches[:, None].to(wide), wide), 1)  # [R, 5]
    return roi.roi_align(masks[:, None].to(wide), regions, size)[:, 0].to(boxes.dtype)  # [R, M, M]


def mask_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The binary cross-entropy of the mask of each region's true class; the other classes' masks are not looked at. []

    Args:
        logits: [R, K, M, M], of any size and sign.
        labels: the true classes, int64 [R], 0 to K − 1.
        targets: [R, M, M], from 0 to 1.

    Returns: the mean over regions and cells, 0 where there is no region.

    Raises:
        TypeError, ValueError: no such tensors, or a label that is no class.
    """
    _check_logits(logits, labels, targets)
    of_class = widen(logits)[torch.arange(len(labels), device=labels.device), labels]  # [R, M, M]
    losses = F.binary_cross_entropy_with_logits(of_class, targets.to(of_class), reduction="sum")
    return losses / max(1, targets.numel())


def paste_masks(masks: Tensor, boxes: Tensor, image_size: IntOrPair) -> Tensor:
    """Each mask in its place in a picture: probabilities, 0 outside the box. [D, H, W]

    Args:
        masks: [D, M, M], floating-point; D may be 0.
        boxes: where they belong, [D, 4], in pixels; a box may reach beyond the picture or lie outside.
        image_size: (H, W), or one number for both.

    Raises:
        TypeError, ValueError: no such tensors or size.
    """
    _check_pasted(masks, boxes)
    height, width = arguments.pair(image_size, "image_size", 1)
    wide, places = widen(masks), pasted_boxes(boxes, masks.shape[-1])  # [D, M, M], [D, 4]
    down = _weights(places[:, 1], places[:, 3], height, wide)  # [D, H, M]
    across = _weights(places[:, 0], places[:, 2], width, wide).mT  # [D, M, W]
    pasted = masks.new_zeros(len(masks), height, width)  # [D, H, W]
    for d, box in enumerate(places.clamp(min=0).tolist()):
        rows, columns = slice(box[1], box[3]), slice(box[0], box[2])  # Python's slices end at the picture's edge by themselves
        pasted[d, rows, columns] = down[d, rows] @ wide[d] @ across[d, :, columns]
    return pasted


def pasted_boxes(boxes: Tensor, cells: int) -> Tensor:
    """The pixels that a mask of `cells` × `cells` fills with its ring: first column, first row, and those after the last. int64 [D, 4]

    Fractions are cut off, towards 0, and the pixel where the box ends belongs to it, as in the code that the paper came with.

    Args:
        boxes: [D, 4].
    """
    boxes = widen(boxes)
    middle = (boxes[:, 2:] + boxes[:, :2]) * 0.5  # [D, 2]
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * ((cells + 2) / cells)  # [D, 2]
    return torch.cat(((middle - half).long(), (middle + half).long() + 1), 1)


def _weights(first: Tensor, end: Tensor, length: int, masks: Tensor) -> Tensor:
    """Along one side: how much of each cell of masks [D, M, M], which lie from first to end [D], each of L pixels takes. [D, L, M]"""
    cells = masks.shape[-1]
    pixels = torch.arange(length, dtype=masks.dtype, device=masks.device) + 0.5  # [L]
    # The ring is cell 0 and M + 1, so the mask's own cells are 1 … M.
    at = (pixels - first[:, None]) * ((cells + 2) / (end - first).to(masks))[:, None] - 0.5  # [D, L]
    own = torch.arange(1, cells + 1, dtype=masks.dtype, device=masks.device)  # [M]
    return (1 - (at[..., None] - own).abs()).clamp(min=0)  # [D, L, M]: 1 in the middle of a cell, 0 in that of its neighbours


def _check_objects(masks: Tensor, boxes: Tensor, matches: Tensor) -> None:
    check_masks(masks, "masks", "[G, H, W]")
    arguments.check_boxes(boxes, finite=True)
    arguments.check_matches(matches)
    arguments.check_row(matches, boxes, "matches")
    arguments.check_same_device(masks, "masks", boxes, "boxes")
    wrong = matches[(matches < 0) | (matches >= len(masks))]
    if len(wrong):
        raise ValueError(f"matches must be objects from 0 to {len(masks) - 1}, one of {len(masks)} masks; got {int(wrong[0])}.")


def check_masks(masks: Tensor, name: str, shape: str) -> None:
    """Masks of objects: [G, H, W], bool or real numbers."""
    if not isinstance(masks, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape {shape}; got {type(masks).__name__}.")
    if masks.dtype not in (torch.bool, *FLOATS, *INTEGERS):
        raise TypeError(f"{name} must be bool, or numbers from 0 to 1; got {masks.dtype}.")
    if masks.dim() != 3:
        raise ValueError(f"{name} must have shape {shape}, one plane for each object; got {list(masks.shape)}.")


def _check_logits(logits: Tensor, labels: Tensor, targets: Tensor) -> None:
    for tensor, name, shape in ((logits, "logits", "[R, K, M, M]"), (targets, "targets", "[R, M, M]")):
        if not isinstance(tensor, Tensor) or tensor.dtype not in FLOATS:
            got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(f"{name} must be a floating-point tensor {shape}; got {got}.")
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        raise TypeError(f"labels must be an int64 tensor [R]; got {labels.dtype if isinstance(labels, Tensor) else type(labels).__name__}.")
    if logits.dim() != 4 or targets.shape != (len(logits), *logits.shape[2:]) or labels.shape != logits.shape[:1]:
        raise ValueError(
            "logits, labels and targets must have shapes [R, K, M, M], [R] and [R, M, M]; "
            f"got {list(logits.shape)}, {list(labels.shape)} and {list(targets.shape)}."
        )
    wrong = labels[(labels < 0) | (labels >= logits.shape[1])]
    if len(wrong):
        raise ValueError(f"labels must be classes from 0 to {logits.shape[1] - 1}; got {int(wrong[0])}.")


def _check_pasted(masks: Tensor, boxes: Tensor) -> None:
    if not isinstance(masks, Tensor) or masks.dtype not in FLOATS:
        got = masks.dtype if isinstance(masks, Tensor) else type(masks).__name__
        raise TypeError(f"masks must be a floating-point tensor [D, M, M]; got {got}.")
    arguments.check_boxes(boxes, finite=True)
    if masks.dim() != 3 or masks.shape[1] != masks.shape[2] or not masks.shape[1] or len(masks) != len(boxes):
        raise ValueError(f"masks must have shape [{len(boxes)}, M, M], a square for each box; got {list(masks.shape)}.")
    arguments.check_same_device(masks, "masks", boxes, "boxes")
