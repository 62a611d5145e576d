"""Exercise: non-maximum suppression."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.boxes import box_iou
from course.ops.nms import nms

PROMPT = r"""
A detector answers many times for one object. Keep the best answer and remove what overlaps it too much; then the best of the rest.

```text
while boxes wait:
    keep the one with the highest score
    remove every waiting box whose IoU with it is above iou_threshold
```

`boxes` is `[N, 4]`, with a score each in `scores`, `[N]`. The answer is the **indices** of the boxes that stay, into `boxes` as it came,
the best first: `[K]`, whole numbers. N may be 0. You may use `box_iou` from lesson 04; `from course.ops.boxes import box_iou` has it, too.

- A box whose IoU is exactly the threshold stays.
- Of equal scores, the box that comes first is the better one.
- A box that has been removed removes nothing any more.
- Scores may be any numbers, also below 0.
""".strip()

DOCSTRING = """
Which boxes stay: their indices, the best first. [K], int64

Args:
    boxes: [N, 4], x1, y1, x2, y2 in pixels; N may be 0.
    scores: [N].
    iou_threshold: 0…1; a box goes if its IoU with a better one that stays is above it.
""".strip()


def _by_torchvision(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    from torchvision.ops import nms

    return nms(boxes, scores, iou_threshold)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, boxes, scores, threshold: float) -> Case:
        """In an order of its own: so each seed has other indices."""
        order = torch.randperm(len(boxes), generator=draw)
        return Case(name, {"boxes": torch.tensor(boxes).float()[order], "scores": torch.tensor(scores)[order], "iou_threshold": threshold})

    def moved(*boxes) -> list:
        x, y = whole(draw, 0, 20), whole(draw, 0, 20)
        return [[x1 + x, y1 + y, x2 + x, y2 + y] for x1, y1, x2, y2 in boxes]

    # IoUs: 8/12 of the first two, the third apart, the fourth 6/14 of the first
    yield case("four boxes, two objects", moved((0, 0, 10, 1), (2, 0, 12, 1), (30, 0, 40, 1), (4, 0, 14, 1)), [0.9, 0.8, 0.7, 0.6], 0.4)
    # Each shares 3/5 with the next, 1/3 with the next but one, and 1/7 with the one after.
    chain = moved(*((4 * i, 0, 16 + 4 * i, 2) for i in range(4)))
    yield case("a chain: a removed box removes nothing", chain, [0.9, 0.8, 0.7, 0.6], 0.5)
    yield case("exactly the threshold", moved((0, 0, 10, 10), (0, 0, 10, 5), (0, 0, 5, 10)), [0.9, 0.8, 0.7], 0.5)
    inside = moved((0, 0, 20, 20), (4, 4, 10, 10), (13, 13, 19, 19), (1, 0, 20, 20))
    yield case("small ones inside a large one", inside, [0.9, 0.8, 0.7, 0.6], 0.3)
    twins = moved(*((i, 0, 20 + i, 10) for i in range(4)), *((i, 40, 20 + i, 50) for i in range(3)))
    yield case("equal scores", twins, [0.5] * 7, 0.6)
    yield Case("twelve boxes", {**_crowd(draw, 12), "iou_threshold": 0.5})
    yield Case("forty boxes", {**_crowd(draw, 40), "iou_threshold": 0.3})
    yield Case("thirty boxes, a high threshold", {**_crowd(draw, 30), "iou_threshold": 0.7})
    yield Case("twenty boxes, a low threshold", {**_crowd(draw, 20), "iou_threshold": 0.15})
    below = _crowd(draw, 15)
    yield Case("scores below 0", {"boxes": below["boxes"], "scores": 4 * below["scores"] - 5, "iou_threshold": 0.4})
    yield Case("threshold 0: whoever touches goes", {**_crowd(draw, 15), "iou_threshold": 0.0})
    yield Case("threshold 1: all stay", {**_crowd(draw, 9), "iou_threshold": 1.0})
    tiny = _crowd(draw, 15)
    yield Case("boxes smaller than a pixel", {"boxes": tiny["boxes"] / 100, "scores": tiny["scores"], "iou_threshold": 0.5})
    yield Case("one box", {**_crowd(draw, 1), "iou_threshold": 0.5})
    yield Case("no box", {**_crowd(draw, 0), "iou_threshold": 0.5})
    yield Case("float64", {**{name: x.double() for name, x in _crowd(draw, 15).items()}, "iou_threshold": 0.5})


def _crowd(draw: torch.Generator, count: int) -> dict[str, Tensor]:
    """Boxes of which many overlap, and scores that all differ."""
    corner, side = (torch.rand(count, 2, generator=draw) for _ in range(2))
    boxes = torch.cat([30 * corner, 30 * corner + 15 + 10 * side], 1)
    return {"boxes": boxes, "scores": (torch.randperm(count, generator=draw) + 1) / (count + 1)}


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _suppressed(
    boxes: Tensor,
    scores: Tensor,
    removes: Callable[[Tensor, Tensor], Tensor],
    order: Tensor | None = None,
) -> Tensor:
    """The right loop; `removes(best [1, 4], waiting [M, 4])` → bool [M] says who goes."""
    waiting = scores.argsort(descending=True, stable=True) if order is None else order
    kept = [waiting[:0]]
    while len(waiting):
        best, waiting = waiting[:1], waiting[1:]
        kept.append(best)
        waiting = waiting[~removes(boxes[best], boxes[waiting])]
    return torch.cat(kept)


def _above(threshold: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda best, waiting: box_iou(best, waiting)[0] > threshold


def _removed_ones_remove(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    removes = (box_iou(boxes[order], boxes[order]) > iou_threshold).triu(1)
    return order[~removes.any(0)]


def _at_the_threshold(boxes, scores, iou_threshold):
    return _suppressed(boxes, scores, lambda best, waiting: box_iou(best, waiting)[0] >= iou_threshold)


def _worst_first(boxes, scores, iou_threshold):
    return _suppressed(boxes, scores, _above(iou_threshold), scores.argsort(stable=True))


def _as_they_come(boxes, scores, iou_threshold):
    return _suppressed(boxes, scores, _above(iou_threshold), torch.arange(len(scores), device=scores.device))


def _ties_turned_round(boxes, scores, iou_threshold):
    return _suppressed(boxes, scores, _above(iou_threshold), scores.argsort(stable=True).flip(0))


def _places_when_sorted(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    return _suppressed(boxes[order], scores[order], _above(iou_threshold))


def _by_index(boxes, scores, iou_threshold):
    return nms(boxes, scores, iou_threshold).sort().values


def _as_a_mask(boxes, scores, iou_threshold):
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask[nms(boxes, scores, iou_threshold)] = True
    return mask


def _boxes_themselves(boxes, scores, iou_threshold):
    return boxes[nms(boxes, scores, iou_threshold)]


def _neighbours_only(boxes, scores, iou_threshold):
    kept = []
    for i in scores.argsort(descending=True, stable=True).tolist():
        if not kept or box_iou(boxes[[kept[-1]]], boxes[[i]]) <= iou_threshold:
            kept.append(i)
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)


def _one_round(boxes, scores, iou_threshold):
    order = scores.argsort(descending=True, stable=True)
    return torch.cat([order[:1], order[1:][~_above(iou_threshold)(boxes[order[:1]], boxes[order[1:]])]]) if len(order) else order


def _shared_and_areas(best: Tensor, waiting: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    sides = (torch.minimum(best[:, 2:], waiting[:, 2:]) - torch.maximum(best[:, :2], waiting[:, :2])).clamp(min=0)
    return sides.prod(1), (best[:, 2:] - best[:, :2]).prod(1), (waiting[:, 2:] - waiting[:, :2]).prod(1)


def _over_the_other(boxes, scores, iou_threshold):
    def removes(best, waiting):
        shared, _, area = _shared_and_areas(best, waiting)
        return shared / area > iou_threshold

    return _suppressed(boxes, scores, removes)


def _one_pixel_more(boxes, scores, iou_threshold):
    grown = torch.cat([boxes[:, :2], boxes[:, 2:] + 1], 1)
    return _suppressed(grown, scores, _above(iou_threshold))


def _turned_round(boxes, scores, iou_threshold):
    return _suppressed(boxes, scores, lambda best, waiting: ~_above(iou_threshold)(best, waiting))


def _nothing_to_join(boxes, scores, iou_threshold):
    kept = list(nms(boxes, scores, iou_threshold))
    return torch.stack(kept)


NMS = Exercise(
    prompt=PROMPT,
    solution=nms,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="torchvision.ops.nms",
    cases=_cases,
    watch="segwidgets.nms([[0, 0, 10, 6], [2, 0, 12, 6], [7, 0, 17, 6]], [0.9, 0.8, 0.7], 0.4, fn=nms)",
    common_mistakes=(
        Mistake(
            "removed ones remove",
            _removed_ones_remove,
            "This is what happens when a box goes because of one that has been removed itself. Only a box that stays removes others.",
        ),
        Mistake(
            "at the threshold",
            _at_the_threshold,
            "This is what happens when a box goes whose IoU is exactly the threshold. It goes above it: >, not >=.",
        ),
        Mistake("worst first", _worst_first, "This is what happens when the lowest score comes first. Sort with descending=True."),
        Mistake(
            "as they come",
            _as_they_come,
            "This is what happens when the boxes are taken in the order in which they come. The highest score left is always next.",
        ),
        Mistake(
            "ties turned round",
            _ties_turned_round,
            "This is what happens when the scores are sorted upwards and then turned round: of equal ones the last comes first. "
            "argsort(descending=True, stable=True) leaves them in order.",
        ),
        Mistake(
            "places when sorted",
            _places_when_sorted,
            "This is what happens when the boxes are sorted first, and the indices are those of the sorted ones. Return order[kept].",
        ),
        Mistake(
            "in the order of the boxes",
            _by_index,
            "This is what happens when the indices that stay are sorted. The best comes first.",
        ),
        Mistake(
            "a mask",
            _as_a_mask,
            "This is what happens when the answer says for each box whether it stays. Give the indices of those that do.",
        ),
        Mistake("the boxes", _boxes_themselves, "This is what happens when the boxes themselves are returned. Give their indices."),
        Mistake(
            "the last one only",
            _neighbours_only,
            "This is what happens when a box is compared with the last one kept alone. Every box that stays may remove it.",
        ),
        Mistake(
            "one round",
            _one_round,
            "This is what happens when only the very best box removes others. Then comes the best of the rest, until none waits.",
        ),
        Mistake(
            "over the other's area",
            _over_the_other,
            "This is what happens when the shared area is divided by the other box's alone. A small box inside a large one would always "
            "go: divide by what the two cover together.",
        ),
        Mistake(
            "one pixel more",
            _one_pixel_more,
            "This is what happens when 1 is added to the sides, as old code does that counts pixels. Here a side is x2 − x1.",
        ),
        Mistake(
            "turned round",
            _turned_round,
            "This is what happens when the boxes go that do not overlap, and those stay that do.",
        ),
        Mistake(
            "nothing to join",
            _nothing_to_join,
            "This is what happens when the kept indices are joined and there are none. Without boxes the answer is empty, of int64.",
            error="non-empty|empty list|empty TensorList",
        ),
    ),
)
