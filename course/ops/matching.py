"""Which box answers for which object: positives, negatives, and those that a loss leaves out.

R-CNN: R. Girshick, J. Donahue, T. Darrell and J. Malik 2014, arXiv:1311.2524, section 2.3 and appendix B: positive from IoU 0.5. Faster
R-CNN: S. Ren, K. He, R. Girshick and J. Sun 2015, arXiv:1506.01497, section 3.1.2: an anchor is positive from IoU 0.7, or if it is an
object's best; negative below 0.3; and between the two it takes no part. Of an image's anchors 256 are drawn, at most half of them positive.

    best[n] = max over objects g of iou[g, n]          matches[n] = that g     if best[n] ≥ high
                                                                    IGNORED    if low ≤ best[n] < high
                                                                    NEGATIVE   if best[n] < low

With `allow_low_quality` a box that is the best, or shares the best place, for any object is positive whatever its IoU. It answers for
the object that *it* overlaps most, which need not be that object. An object that no box touches has the best IoU 0, which every box that
misses it reaches: they all become positive. So give it boxes that cover the picture.

Differs from the papers: nothing.
Differs from torchvision: a picture without objects has negatives only, there it is an error.

Shape letters: G objects, N boxes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.step import Step, listing, number

NEGATIVE, IGNORED = -1, -2


class Sample(NamedTuple):
    """What sample_matches returns: `positive, negative = sample_matches(matches, 256, 0.5)`."""

    positive: Tensor
    """Indices of the positives drawn, rising, int64. [P]"""
    negative: Tensor
    """Indices of the negatives drawn, rising, int64. [Q]"""


def match_boxes(iou: Tensor, high: float, low: float, allow_low_quality: bool = False) -> Tensor:
    """The object that each box answers for, or NEGATIVE (−1), or IGNORED (−2). [N], int64

    Of objects that a box overlaps equally the first is taken.

    Args:
        iou: [G, N], floating-point, `box_iou(objects, boxes)`; G or N may be 0.
        high: from this IoU on a box is positive.
        low: below it a box is negative; at most high.
        allow_low_quality: whether every object's best boxes are positive, too.

    Raises:
        TypeError, ValueError: no such tensor or numbers, or low above high.
    """
    high, low = _checked(iou, high, low)
    if not len(iou):
        return torch.full(iou.shape[1:], NEGATIVE, device=iou.device)
    if not iou.shape[1]:
        return torch.zeros(0, dtype=torch.int64, device=iou.device)
    best, matches = iou.max(0)  # each [N]
    best_of_object = iou.amax(1, keepdim=True)  # [G, 1]
    positive = best >= high  # [N]
    if allow_low_quality:
        positive |= (iou == best_of_object).any(0)
    return torch.where(positive, matches, torch.where(best < low, NEGATIVE, IGNORED))  # [N]


def sample_matches(matches: Tensor, size: int, positive_fraction: float, generator: torch.Generator | None = None) -> Sample:
    """A random choice of boxes for a loss, so that the many negatives do not drown the few positives.

    Of positives at most `size · positive_fraction`, rounded down; the rest, up to size, are negatives. Where there are too few of
    either, fewer are drawn.

    Args:
        matches: [N], int64, as match_boxes returns them.
        size: how many boxes, from 0.
        positive_fraction: 0…1.
        generator: where the randomness comes from; on any device.

    Raises:
        TypeError, ValueError: no such tensor or numbers.
    """
    arguments.check_matches(matches)
    size, fraction = arguments.whole(size, "size", 0), arguments.share(positive_fraction, "positive_fraction")
    positive, negative = ((matches >= 0).nonzero()[:, 0], (matches == NEGATIVE).nonzero()[:, 0])
    positive = _drawn(positive, int(size * fraction), generator)  # [P]
    return Sample(positive, _drawn(negative, size - len(positive), generator))


def _drawn(indices: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    device = indices.device if generator is None else generator.device
    chosen = torch.randperm(len(indices), generator=generator, device=device)[:count].to(indices.device)
    return indices[chosen].sort().values


def match_boxes_steps(iou: Tensor, high: float, low: float, allow_low_quality: bool = False) -> Iterator[Step]:
    """match_boxes, in plain Python: a step for each box, then, if asked for, one for each object, whose best boxes become positive.

    Reads "iou"; the largest of what is read is `chosen`. Writes "output" [N].
    """
    high, low = _checked(iou, high, low)
    overlaps = iou.tolist()
    objects, boxes = range(iou.shape[0]), range(iou.shape[1])
    favourites = []
    for n in boxes:
        column = [overlaps[g][n] for g in objects]
        if not column:
            yield Step(f"There is no object: box {n} is [negative|write].", {}, {"output": {(n,): NEGATIVE}})
            continue
        favourites.append(column.index(max(column)))
        yield _judged(n, favourites[-1], column, high, low)
    for g in objects if allow_low_quality and boxes else ():
        best = max(overlaps[g])
        winners = [n for n in boxes if overlaps[g][n] == best]
        yield _rescued(g, best, winners, favourites, overlaps[g])


def _judged(n: int, favourite: int, column: list[float], high: float, low: float) -> Step:
    best = column[favourite]
    if best >= high:
        match, verdict = favourite, f"at least {number(high)}: [positive|write]"
    elif best < low:
        match, verdict = NEGATIVE, f"below {number(low)}: [negative|write]"
    else:
        match, verdict = IGNORED, f"between {number(low)} and {number(high)}: [ignored|write]"
    return Step(
        f"Box {n} overlaps object [{favourite}|chosen] most, with IoU [{number(best)}|chosen], {verdict}.",
        reads={"iou": tuple((g, n) for g in range(len(column)))},
        writes={"output": {(n,): match}},
        chosen={"iou": ((favourite, n),)},
        arithmetic=f"max({listing(column)}) = {number(best)}",
    )


def _rescued(g: int, best: float, winners: list[int], favourites: list[int], row: list[float]) -> Step:
    several = len(winners) > 1
    who = f"Boxes {', '.join(map(str, winners))} are" if several else f"Box {winners[0]} is"
    others = sorted({favourites[n] for n in winners} - {g})
    which = "some overlap" if several else "it overlaps"
    although = f", though for object {', '.join(map(str, others))}, which {which} more" if others else ""
    return Step(
        f"{who} the best that object [{g}|chosen] has, with IoU [{number(best)}|chosen]: [positive|write]{although}.",
        reads={"iou": tuple((g, n) for n in range(len(row)))},
        writes={"output": {(n,): favourites[n] for n in winners}},
        chosen={"iou": tuple((g, n) for n in winners)},
        arithmetic=f"max({listing(row)}) = {number(best)}",
    )


def _checked(iou: Tensor, high: float, low: float) -> tuple[float, float]:
    """(high, low) in the precision of iou, in which torch compares."""
    arguments.check_overlaps(iou)
    high, low = arguments.share(high, "high"), arguments.share(low, "low")
    if low > high:
        raise ValueError(f"low must be at most high; got low {low} and high {high}.")
    return iou.new_tensor(high).item(), iou.new_tensor(low).item()
