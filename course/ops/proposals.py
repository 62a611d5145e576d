"""From a score and a box at every anchor to the few hundred boxes that are worth a second look.

S. Ren, K. He, R. Girshick and J. Sun, "Faster R-CNN", 2015, arXiv:1506.01497, section 3.3: proposals overlap heavily, so non-maximum
suppression with IoU 0.7 leaves about 2000 of an image, and the best of these are used. Level by level: T.-Y. Lin et al., "Feature Pyramid
Networks", 2016, arXiv:1612.03144, section 4.1.

    the best `pre_nms` of each level → clipped to the picture → without those that are too small → NMS in each level → the best `post_nms`

NMS takes time with the square of what comes in, so the first cut is made before it, and since large boxes and small ones are scored by
different levels, each level has its own.

Differs from the papers: nothing. Differs from torchvision: nothing; there it is a method of the network.

Shape letters: N boxes, P proposals.
"""

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.boxes import clip_boxes
from course.ops.nms import batched_nms


def filter_proposals(
    boxes: Tensor,
    scores: Tensor,
    levels: Tensor | None,
    image_size: IntOrPair,
    *,
    pre_nms: int = 1000,
    post_nms: int = 1000,
    nms_threshold: float = 0.7,
    min_size: float = 0.0,
) -> Tensor:
    """Which of the boxes become proposals: their indices, the best first. [P], int64

    Args:
        boxes: [N, 4], floating-point and finite, in pixels; they may reach beyond the picture, N may be 0.
        scores: [N], floating-point, no NaN; only their order counts.
        levels: [N], the number of the map that each box comes from; None if there is one map.
        image_size: (height, width) of the picture, or one integer.
        pre_nms: how many of each level go into the suppression, at least 1.
        post_nms: how many proposals there are at most, at least 1.
        nms_threshold: 0…1; a box goes if its IoU with a better one of its level is above it.
        min_size: boxes with a side below it, once clipped, go, too; in pixels, from 0.

    Raises:
        TypeError, ValueError: no such tensors or numbers.
    """
    arguments.check_boxes(boxes, finite=True)
    arguments.check_scores(scores, boxes)
    levels = torch.zeros_like(scores, dtype=torch.int64) if levels is None else levels
    arguments.check_row(levels, boxes, "levels")
    pre_nms, post_nms = arguments.whole(pre_nms, "pre_nms", 1), arguments.whole(post_nms, "post_nms", 1)
    least = min_size if min_size == 0 else arguments.positive(min_size, "min_size")
    of_levels = [(levels == level).nonzero()[:, 0] for level in levels.unique()]  # each [N of that level]
    best = [rows[scores[rows].topk(min(pre_nms, len(rows))).indices] for rows in of_levels]
    rows = torch.cat(best) if best else levels.new_zeros(0, dtype=torch.int64)  # [≤ pre_nms · levels]
    clipped = clip_boxes(boxes[rows], image_size)
    large = (clipped[:, 2:] - clipped[:, :2] >= least).all(-1)
    rows, clipped = rows[large], clipped[large]
    return rows[batched_nms(clipped, scores[rows], levels[rows], nms_threshold)[:post_nms]]  # [P]
