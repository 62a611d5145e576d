"""Non-maximum suppression: of boxes that overlap, only the one with the highest score stays.

P. Felzenszwalb, R. Girshick, D. McAllester and D. Ramanan, "Object Detection with Discriminatively Trained Part-Based Models", TPAMI
2010, section 7.2: sort by score, take the best, skip what it covers. With IoU as the measure: R. Girshick, J. Donahue, T. Darrell and
J. Malik 2014, arXiv:1311.2524, section 2.2.

    while boxes wait:  keep the best; remove every waiting box with IoU(box, best) > iou_threshold

A box whose IoU is exactly the threshold stays. Of equal scores the box that comes first is the better one. A box without area overlaps
nothing, so it stays and removes nothing.

Differs from the papers: nothing. The 2010 paper divides by the area of the box to be removed; this is the 2014 form.
Differs from torchvision: boxes of half precision are accepted on the CPU, too. NaN scores and boxes that are not finite are refused.
`batched_nms` looks at one label after another; torchvision shifts the boxes of each label apart, which costs digits.

Shape letters: N boxes, K kept.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.boxes import box_area, box_iou
from course.ops.precision import floor_to, widen
from course.ops.step import Step, listing, number


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Which boxes stay: their indices, the best first. [K], int64

    Args:
        boxes: [N, 4], x1, y1, x2, y2, floating-point and finite; N may be 0.
        scores: [N], floating-point, no NaN.
        iou_threshold: 0…1; a box goes if its IoU with a better one that stays is above it.

    Raises:
        TypeError, ValueError: no such tensors or number.
    """
    limit = _checked(boxes, scores, iou_threshold)
    waiting = scores.argsort(descending=True, stable=True)  # [N], the best first
    kept = []
    while len(waiting):
        best, waiting = waiting[:1], waiting[1:]
        kept.append(best)
        overlap = box_iou(boxes[best], boxes[waiting])[0]
        waiting = waiting[~(overlap > limit)]
    return torch.cat(kept) if kept else waiting  # [K]


def nms_in_blocks(boxes: Tensor, scores: Tensor, iou_threshold: float, block: int = 128) -> Tensor:
    """The same as nms, about ten times faster: `block` boxes are settled at a time, and then remove from the rest together. [K], int64

    Within a block the rule is applied to all boxes at once, again and again until nothing changes. After one round the best box is right,
    after two all that only it could remove, and so on; few rounds are needed, because boxes that remove each other come in short chains.

    Args, Raises: as nms; block is a number of boxes from 1.
    """
    limit = _checked(boxes, scores, iou_threshold)
    block = arguments.whole(block, "block", 1)
    best_first = scores.argsort(descending=True, stable=True)  # [N]
    return _settled(boxes, torch.zeros_like(best_first), best_first, limit, block)  # [K]


def batched_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float) -> Tensor:
    """nms within each label: a dog does not remove the cat that it covers. Indices of all that stay, the best first. [K], int64

    Args:
        boxes, scores, iou_threshold: as nms.
        labels: [N], any real dtype: boxes with equal labels compete.

    Raises:
        TypeError, ValueError: no such tensors or number.
    """
    limit = _checked(boxes, scores, iou_threshold)
    arguments.check_row(labels, boxes, "labels")
    best_first = scores.argsort(descending=True, stable=True)  # [N]
    waiting = best_first[labels[best_first].argsort(stable=True)]  # [N], label by label, the best first in each
    kept = _settled(boxes, labels, waiting, limit, block=128).sort().values  # [K]
    return kept[scores[kept].argsort(descending=True, stable=True)]  # [K]


def _settled(boxes: Tensor, labels: Tensor, waiting: Tensor, limit: float, block: int) -> Tensor:
    """Of those that wait, label by label and the best first in each, the ones that stay. [K]"""
    kept = [waiting[:0]]
    while len(waiting):
        head, rest = waiting[:block], waiting[block:]
        rivals = labels[head][:, None] == labels[head]  # [B, B]
        removes = (rivals & (box_iou(boxes[head], boxes[head]) > limit)).triu(1)  # [B, B]: row removes column, which is worse
        stays, before = torch.ones_like(head, dtype=torch.bool), None  # [B]
        while before is None or not torch.equal(stays, before):
            stays, before = ~removes[stays].any(0), stays
        kept.append(head[stays])
        label = labels[head[-1]]  # the only one of which some may still wait
        last, count = kept[-1][labels[kept[-1]] == label], int((labels[rest] == label).sum())
        stays = ~(box_iou(boxes[last], boxes[rest[:count]]) > limit).any(0)  # [count]
        waiting = torch.cat((rest[:count][stays], rest[count:]))
    return torch.cat(kept)  # [K]


def nms_steps(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Iterator[Step]:
    """nms, in plain Python: a step for each box that is kept, and one for each box that it is then compared with.

    Reads "boxes" and "scores"; the box kept is `chosen` in both. Writes "output", position → index kept; "iou" [N, N], where (i, j) is the
    overlap of j with the kept i, as far as it is computed; and "removed_by" [N], j → i for each j that goes.
    """
    limit = _checked(boxes, scores, iou_threshold)
    ranks, areas = scores.tolist(), box_area(boxes).tolist()
    waiting = scores.argsort(descending=True, stable=True).tolist()
    position = 0
    while waiting:
        best, *waiting = waiting
        yield _kept(best, waiting, ranks, position)
        position += 1
        stay = []
        for other, overlap in zip(waiting, box_iou(boxes[[best]], boxes[waiting])[0].tolist(), strict=True):
            yield _compared(best, other, overlap, limit, iou_threshold, areas)
            if not overlap > limit:
                stay.append(other)
        waiting = stay


def _kept(best: int, waiting: list[int], ranks: list[float], position: int) -> Step:
    tied = "is the first with" if any(ranks[other] == ranks[best] for other in waiting) else "has"
    sentence = f"Box [{best}|chosen] {tied} the highest score left, [{number(ranks[best])}|chosen]: keep it."
    return Step(
        sentence if waiting else f"Only box [{best}|chosen], score [{number(ranks[best])}|chosen], is left: keep it.",
        reads={"scores": tuple((i,) for i in (best, *waiting))},
        writes={"output": {(position,): best}},
        chosen={"scores": ((best,),), "boxes": tuple((best, side) for side in range(4))},
        arithmetic=f"max({listing([ranks[i] for i in (best, *waiting)])}) = {number(ranks[best])}" if waiting else "",
    )


def _compared(best: int, other: int, overlap: float, limit: float, threshold: float, areas: list[float]) -> Step:
    goes = overlap > limit
    if overlap:
        verdict = f"above {number(threshold)}: remove it" if goes else f"not above {number(threshold)}: it stays"
        sentence = f"Box [{other}|read] overlaps box [{best}|chosen] with IoU [{number(overlap)}|write], {verdict}."
    else:
        sentence = f"Box [{other}|read] shares nothing with box [{best}|chosen]: it stays."
    together = areas[best] + areas[other]
    shared = overlap * together / (1 + overlap)  # from IoU = shared / (together − shared)
    quotient = f"{number(shared)} / ({number(areas[best])} + {number(areas[other])} − {number(shared)}) = {number(overlap)}"
    return Step(
        sentence,
        reads={"boxes": tuple((other, side) for side in range(4)), "scores": ((other,),)},
        writes={"iou": {(best, other): overlap}, **({"removed_by": {(other,): best}} if goes else {})},
        chosen={"boxes": tuple((best, side) for side in range(4))},
        arithmetic=quotient if overlap else "",
    )


def _checked(boxes: Tensor, scores: Tensor, iou_threshold: float) -> float:
    """The number that an IoU has to exceed, in the precision in which IoUs are computed."""
    arguments.check_boxes(boxes, finite=True)
    arguments.check_scores(scores, boxes)
    return floor_to(arguments.share(iou_threshold, "iou_threshold"), widen(boxes).dtype)
