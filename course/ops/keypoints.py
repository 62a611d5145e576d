"""Keypoints as places on a heat map: where each should peak, how far it is from that, and where in the picture a peak is.

Paper: K. He, G. Gkioxari, P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 5: a keypoint is a mask of S × S cells
of which exactly one is on, so the loss is the cross-entropy of a softmax over all S² cells.

    cell     column ⌊(x − x1) · S / (x2 − x1)⌋, row likewise; a keypoint on the right or lower edge is in the last one
    loss     the mean of −log softmax(map)[row · S + column] over the keypoints that are visible and inside their region
    decoded  the map is enlarged to the box in whole pixels (bicubic), and the middle of the largest pixel is the keypoint

Differs from the paper: nothing. Differs from torchvision: the numbers of its keypoints_to_heatmap, keypointrcnn_loss and
heatmaps_to_keypoints, which computes in float32 whatever the maps are. Which keypoints count stands in one tensor with the cells. Half
precision is computed in float32 and rounded once.

Shape letters: R regions, D detections, K keypoints, S × S cells of a heat map.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import FLOATS
from course.ops.precision import widen

UNSEEN = -1  # no cell: the keypoint is not in the loss


def keypoint_targets(keypoints: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The cell that each keypoint lies in, on the map of its region. int64 [R, K]

    Args:
        keypoints: those of the object that each region shows, [R, K, 3]: x, y in pixels, and visibility, 0 for unknown.
        boxes: regions, [R, 4], in pixels.
        size: S.

    Returns: row · S + column; −1 for a keypoint of visibility 0 or outside its region.

    Raises:
        TypeError, ValueError: no such tensors or number.
    """
    check_keypoints(keypoints, "keypoints")
    arguments.check_boxes(boxes, finite=True)
    if len(keypoints) != len(boxes):
        raise ValueError(f"keypoints and boxes must be as many; got {len(keypoints)} and {len(boxes)}.")
    arguments.check_same_device(keypoints, "keypoints", boxes, "boxes")
    size = arguments.whole(size, "size", 1)
    points, start, end = widen(keypoints)[..., :2], widen(boxes)[:, None, :2], widen(boxes)[:, None, 2:]  # [R, K, 2], [R, 1, 2] twice
    cell = ((points - start) * (size / (end - start))).floor()  # [R, K, 2], column and row
    cell = cell.where(points != end, size - 1)
    seen = (cell >= 0).all(-1) & (cell < size).all(-1) & (keypoints[..., 2] > 0)  # [R, K]
    column, row = cell.where(seen[..., None], 0).long().unbind(-1)
    return (row * size + column).where(seen, UNSEEN)


def keypoint_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of the cells of each map, the mean over the keypoints that count; 0 where there are none. []

    Args:
        logits: [R, K, S, S], of any size and sign.
        targets: int64 [R, K], as `keypoint_targets` gives them.

    Raises:
        TypeError, ValueError: no such tensors.
    """
    _check_maps(logits, "R")
    if not isinstance(targets, Tensor) or targets.dtype != torch.int64:
        got = targets.dtype if isinstance(targets, Tensor) else type(targets).__name__
        raise TypeError(f"targets must be an int64 tensor [R, K]; got {got}.")
    cells = logits.shape[2] * logits.shape[3]
    if targets.shape != logits.shape[:2]:
        raise ValueError(f"targets must have shape {list(logits.shape[:2])}, a cell for each map; got {list(targets.shape)}.")
    wrong = targets[(targets < UNSEEN) | (targets >= cells)]
    if len(wrong):
        raise ValueError(f"targets must be cells from 0 to {cells - 1}, or {UNSEEN} for none; got {int(wrong[0])}.")
    seen = targets != UNSEEN  # [R, K]
    losses = F.cross_entropy(widen(logits).flatten(2)[seen], targets[seen], reduction="sum")
    return losses / max(1, int(seen.sum()))


def decode_keypoints(logits: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Where each map is largest, in pixels of the picture, and how large. [D, K, 3], x, y and 1; [D, K]

    A map is enlarged to as many pixels as its box has, so the box should be clipped to the picture; it counts as a pixel wide, at least.

    Args:
        logits: [D, K, S, S]; D may be 0.
        boxes: [D, 4], in pixels.

    Raises:
        TypeError, ValueError: no such tensors.
    """
    _check_maps(logits, "D")
    arguments.check_boxes(boxes, finite=True)
    if len(logits) != len(boxes):
        raise ValueError(f"logits and boxes must be as many; got {len(logits)} and {len(boxes)}.")
    arguments.check_same_device(logits, "logits", boxes, "boxes")
    wide, corners = widen(logits), widen(boxes)
    sizes = (corners[:, 2:] - corners[:, :2]).clamp(min=1)  # [D, 2], width and height
    pixels = sizes.ceil()  # [D, 2]
    scores, places = wide.new_zeros(logits.shape[:2]), corners.new_zeros(*logits.shape[:2], 2)  # [D, K], [D, K, 2]
    for d, (width, height) in enumerate(pixels.long().tolist()):
        enlarged = F.interpolate(wide[d][:, None], size=(height, width), mode="bicubic")[:, 0]  # [K, height, width]
        scores[d], best = enlarged.flatten(1).max(1)  # [K] each
        places[d] = torch.stack((best % width, best // width), 1)  # [K, 2]
    points = (places + 0.5) * (sizes / pixels)[:, None] + corners[:, None, :2]  # [D, K, 2]
    return F.pad(points, (0, 1), value=1).to(logits.dtype), scores.to(logits.dtype)


def check_keypoints(keypoints: Tensor, name: str) -> None:
    """Floating-point [N, K, 3]; N may be 0."""
    if not isinstance(keypoints, Tensor) or keypoints.dtype not in FLOATS:
        got = keypoints.dtype if isinstance(keypoints, Tensor) else type(keypoints).__name__
        raise TypeError(f"{name} must be a floating-point tensor [N, K, 3]; got {got}.")
    if keypoints.dim() != 3 or keypoints.shape[2] != 3:
        raise ValueError(f"{name} must have shape [N, K, 3], x, y and visibility; got {list(keypoints.shape)}.")


def _check_maps(logits: Tensor, letter: str) -> None:
    shape = f"[{letter}, K, S, S]"
    if not isinstance(logits, Tensor) or logits.dtype not in FLOATS:
        raise TypeError(
            f"logits must be a floating-point tensor {shape}; got {logits.dtype if isinstance(logits, Tensor) else type(logits).__name__}."
        )
    if logits.dim() != 4 or logits.shape[2] != logits.shape[3] or not logits.shape[2]:
        raise ValueError(f"logits must have shape {shape}, a square for each keypoint; got {list(logits.shape)}.")
