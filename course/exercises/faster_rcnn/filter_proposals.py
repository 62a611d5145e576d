"""Exercise: from a box at every anchor to the proposals that are worth a second look."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torchvision.ops import batched_nms, clip_boxes_to_image, nms, remove_small_boxes

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.proposals import filter_proposals

PROMPT = r"""
A region proposal network says a score and a box for every anchor, tens of thousands of them. Most are background, and most of the others
say the same as their neighbours. Keep those that are worth a second look, in five steps and **in this order**:

1. **of each level** the `pre_nms` boxes with the best scores; suppression takes time with the square of what comes in
2. clip them to the picture
3. drop what is then narrower or lower than `min_size`; a side of exactly `min_size` stays
4. non-maximum suppression **within each level**: boxes of two levels never remove each other
5. the `post_nms` best of **all** that are left

`boxes` is `[N, 4]`, `scores` is `[N]`, and `levels`, `[N]`, says from which map a box comes; without a pyramid it is None, and all are of
one level. `image_size` is (height, width). The answer is the **indices** of the proposals into `boxes` as they came, `[P]`, whole numbers,
the best first. N may be 0. No two scores are equal here.

You may use `clip_boxes` and `nms` from lesson 05 and before: `from course.ops.boxes import clip_boxes`, `from course.ops.nms import nms`.
""".strip()

DOCSTRING = """
Which of the boxes become proposals: their indices, the best first. [P], int64

Args:
    boxes: [N, 4], in pixels; they may reach beyond the picture, N may be 0.
    scores: [N].
    levels: [N], the number of the map that each box comes from; None if there is one map.
    image_size: (height, width) of the picture.
    pre_nms: how many of each level go into the suppression.
    post_nms: how many proposals there are at most.
    nms_threshold: 0…1; a box goes if its IoU with a better one of its level is above it.
    min_size: boxes with a side below it, once clipped, go, too; in pixels.
""".strip()


def _of_each(levels: Tensor, scores: Tensor, count: int) -> Tensor:
    """The rows of the `count` best of each level."""
    rows = [(levels == level).nonzero()[:, 0] for level in levels.unique()]
    return torch.cat([of_level[scores[of_level].topk(min(count, len(of_level))).indices] for of_level in rows] or [levels[:0].long()])


def _chosen(
    boxes: Tensor,
    scores: Tensor,
    levels: Tensor | None,
    image_size: tuple[int, int],
    *,
    pre_nms: int = 1000,
    post_nms: int = 1000,
    nms_threshold: float = 0.7,
    min_size: float = 0.0,
    best: Callable = _of_each,
    clip: Callable = clip_boxes_to_image,
    large: Callable = remove_small_boxes,
    suppress: Callable = batched_nms,
    last: Callable = lambda rows, scores, levels, count: rows[:count],
) -> Tensor:
    """The five steps by torchvision's functions; a wrong version gives another one for a step."""
    levels = torch.zeros_like(scores, dtype=torch.int64) if levels is None else levels
    rows = best(levels, scores, pre_nms)
    clipped = clip(boxes[rows], image_size)
    stay = large(clipped, min_size)
    rows, clipped = rows[stay], clipped[stay]
    rows = rows[suppress(clipped, scores[rows], levels[rows], nms_threshold)]
    return last(rows, scores, levels, post_nms)


def _by_torchvision(
    boxes: Tensor,
    scores: Tensor,
    levels: Tensor | None,
    image_size: tuple[int, int],
    *,
    pre_nms: int = 1000,
    post_nms: int = 1000,
    nms_threshold: float = 0.7,
    min_size: float = 0.0,
) -> Tensor:
    numbers = {"pre_nms": pre_nms, "post_nms": post_nms, "nms_threshold": nms_threshold, "min_size": min_size}
    return _chosen(boxes, scores, levels, image_size, **numbers)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, rows: list[tuple], levels: bool = True, **numbers: float) -> Case:
        """Rows of x1, y1, x2, y2, score, level, in an order of their own; in a picture 100 high and 160 wide."""
        table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)[torch.randperm(len(rows), generator=draw)]
        inputs = {"boxes": table[:, :4], "scores": table[:, 4], "levels": table[:, 5].long() if levels else None, "image_size": (100, 160)}
        return Case(name, inputs | numbers)

    def apart(count: int, level: int, scores: list[float]) -> list[tuple]:
        """Boxes on a line that do not meet."""
        left, top, side = whole(draw, 0, 10), whole(draw, 5, 30) + 40 * (level % 2), whole(draw, 12, 18)
        return [(left + 20 * i, top, left + 20 * i + side, top + side, scores[i], level) for i in range(count)]

    def moved(rows: list[tuple]) -> list[tuple]:
        dx, dy = whole(draw, 0, 12), whole(draw, 0, 12)
        return [(x1 + dx, y1 + dy, x2 + dx, y2 + dy, *rest) for x1, y1, x2, y2, *rest in rows]

    def scores(count: int) -> list[float]:
        return ((torch.randperm(4 * count, generator=draw)[:count] - count) / (2 * count)).sort(descending=True).values.tolist()

    s = scores(5)
    # IoUs with the first: 16 / 24, 2 / 3; the others are apart
    objects = [
        (10, 10, 30, 30, s[0], 0),
        (14, 10, 34, 30, s[1], 0),
        (60, 10, 80, 30, s[2], 0),
        (60, 14, 80, 34, s[3], 0),
        (110, 40, 130, 60, s[4], 0),
    ]
    yield case("one level", moved(objects), levels=False, nms_threshold=0.5)
    s = scores(6)
    twins = [(10, 10, 40, 40, s[i], i % 3) for i in range(6)]
    yield case("the same box on three levels", moved(twins), nms_threshold=0.5)
    # Of level 0 all scores are above those of level 1.
    s = scores(9)
    yield case("the best of each level", apart(5, 0, s[:5]) + apart(4, 1, s[5:]), pre_nms=whole(draw, 2, 4))
    # The best three of the level are one object: after suppression one is left, and the fourth was cut before.
    s = scores(6)
    heap = [(20, 20, 60, 60, s[0], 0), (21, 20, 61, 60, s[1], 0), (20, 21, 60, 61, s[2], 0), (90, 20, 120, 60, s[3], 0)]
    yield case("cut before the suppression", [*moved(heap), *apart(2, 1, s[4:])], pre_nms=3, nms_threshold=0.6)
    s = scores(8)
    mixed = apart(4, 0, s[::2]) + apart(4, 1, s[1::2])
    yield case("the best of all", mixed, post_nms=whole(draw, 2, 4))
    # Beyond the border: clipped, the two of a pair are the same box, and apart from the next pair
    s = scores(6)
    beyond = [(120, 20, 170, 60, s[0], 0), (120, 20, 260, 60, s[1], 0), (30, 70, 60, 110, s[2], 0), (30, 70, 60, 180, s[3], 0)]
    more = [(-40, 10, 20, 40, s[4], 1), (-5, 10, 20, 40, s[5], 1)]
    yield case("beyond the border", beyond + more, nms_threshold=0.7)
    # Once clipped: 4 × 4, 3 × 40, 4 × 60, 60 × 3, 20 × 4, 20 × 3, outside, 3 × 2
    s, edge = scores(8), whole(draw, 10, 30)
    thin = [
        (edge, 5, edge + 4, 9, s[0], 0),
        (157, 20, 190, 60, s[1], 0),
        (edge, 20, edge + 4, 80, s[2], 0),
        (40, edge, 100, edge + 3, s[3], 0),
    ]
    wide = [(40, 96, 60, 130, s[4], 0), (80, 97, 100, 130, s[5], 0), (170, 10, 190, 50, s[6], 0), (130, 80, 133, 82, s[7], 0)]
    yield case("too small, once clipped", thin + wide, min_size=4.0)
    s = scores(6)
    low = [(20, 80, 50, 120, s[0], 0), (20, 80, 50, 99, s[1], 0), (90, 10, 150, 40, s[2], 0), (70, 10, 180, 40, s[3], 1)]
    yield case("lower than wide", moved([*low[2:], (110, 50, 158, 70, s[4], 0)]) + low[:2] + [(2, 2, 30, 20, s[5], 1)], nms_threshold=0.6)
    yield Case("forty boxes, three levels", {**_crowd(draw, 40, 3), "pre_nms": 9, "post_nms": 12, "nms_threshold": 0.4, "min_size": 16.0})
    yield Case("a hundred boxes, five levels", {**_crowd(draw, 100, 5), "pre_nms": 15, "post_nms": 30, "min_size": 18.0})
    yield Case("sixty boxes, as they are", {**_crowd(draw, 60, 2)})
    yield Case("no box", {**_crowd(draw, 0, 1)})


def _crowd(draw: torch.Generator, count: int, levels: int) -> dict:
    """Boxes of which many overlap and some reach beyond the picture; no two scores are equal."""
    corner, side = (torch.rand(count, 2, generator=draw) for _ in range(2))
    boxes = torch.cat([130 * corner - 15, 130 * corner + 15 * side + 20 * side.flip(1)], 1)
    return {
        "boxes": boxes,
        "scores": (torch.randperm(count, generator=draw) - count / 2) / max(1, count),
        "levels": torch.randint(levels, (count,), generator=draw),
        "image_size": (whole(draw, 80, 100), whole(draw, 110, 130)),
    }


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _with(**steps: Callable) -> Callable:
    """filter_proposals with one of its steps written otherwise."""
    return partial(_wrong, steps)


def _wrong(
    steps: dict[str, Callable], boxes, scores, levels, image_size, *, pre_nms=1000, post_nms=1000, nms_threshold=0.7, min_size=0.0
) -> Tensor:
    numbers = {"pre_nms": pre_nms, "post_nms": post_nms, "nms_threshold": nms_threshold, "min_size": min_size}
    return _chosen(boxes, scores, levels, image_size, **numbers, **steps)


def _before_the_cut(boxes, scores, levels, image_size, *, pre_nms=1000, post_nms=1000, nms_threshold=0.7, min_size=0.0):
    levels = torch.zeros_like(scores, dtype=torch.int64) if levels is None else levels
    kept = filter_proposals(
        boxes, scores, levels, image_size, pre_nms=10**6, post_nms=10**6, nms_threshold=nms_threshold, min_size=min_size
    )
    rows = kept[_of_each(levels[kept], scores[kept], pre_nms)]
    return rows[scores[rows].argsort(descending=True)][:post_nms]


def _clipped_last(boxes, scores, levels, image_size, *, pre_nms=1000, post_nms=1000, nms_threshold=0.7, min_size=0.0):
    """Suppressed as they came, then clipped, and then what is too small goes."""
    levels = torch.zeros_like(scores, dtype=torch.int64) if levels is None else levels
    rows = _of_each(levels, scores, pre_nms)
    rows = rows[batched_nms(boxes[rows], scores[rows], levels[rows], nms_threshold)]
    return rows[remove_small_boxes(clip_boxes_to_image(boxes[rows], image_size), min_size)][:post_nms]


def _small_before_clipping(boxes, scores, levels, image_size, *, pre_nms=1000, post_nms=1000, nms_threshold=0.7, min_size=0.0):
    levels = torch.zeros_like(scores, dtype=torch.int64) if levels is None else levels
    rows = _of_each(levels, scores, pre_nms)
    rows = rows[remove_small_boxes(boxes[rows], min_size)]
    clipped = clip_boxes_to_image(boxes[rows], image_size)
    return rows[batched_nms(clipped, scores[rows], levels[rows], nms_threshold)][:post_nms]


def _places_after_the_cut(boxes, scores, levels, image_size, *, pre_nms=1000, post_nms=1000, nms_threshold=0.7, min_size=0.0):
    levels = torch.zeros_like(scores, dtype=torch.int64) if levels is None else levels
    rows = _of_each(levels, scores, pre_nms)
    numbers = {"pre_nms": pre_nms, "post_nms": post_nms, "nms_threshold": nms_threshold, "min_size": min_size}
    return filter_proposals(boxes[rows], scores[rows], levels[rows], image_size, **numbers)


def _boxes_themselves(boxes, scores, levels, image_size, *, pre_nms=1000, post_nms=1000, nms_threshold=0.7, min_size=0.0):
    numbers = {"pre_nms": pre_nms, "post_nms": post_nms, "nms_threshold": nms_threshold, "min_size": min_size}
    return clip_boxes_to_image(boxes[filter_proposals(boxes, scores, levels, image_size, **numbers)], image_size)


def _level_by_level(rows: Tensor, scores: Tensor, levels: Tensor, count: int) -> Tensor:
    rows = rows[:count]
    return rows[levels[rows].argsort(stable=True)]


def _best_of_each_level(rows: Tensor, scores: Tensor, levels: Tensor, count: int) -> Tensor:
    rows = rows[_of_each(levels[rows], scores[rows], count)]
    return rows[scores[rows].argsort(descending=True)]


FILTER_PROPOSALS = Exercise(
    prompt=PROMPT,
    solution=filter_proposals,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="torchvision.ops: topk of each level, clip_boxes_to_image, remove_small_boxes, batched_nms",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "levels remove each other",
            _with(suppress=lambda boxes, scores, levels, threshold: nms(boxes, scores, threshold)),
            "This is what happens when boxes of different levels remove each other. Suppress within each level.",
        ),
        Mistake(
            "the best of all levels first",
            _with(best=lambda levels, scores, count: scores.argsort(descending=True)[:count]),
            "This is what happens when the first cut takes the best of all levels together. Each level has its own pre_nms: else one level "
            "fills it alone.",
        ),
        Mistake(
            "no first cut",
            _with(best=lambda levels, scores, count: torch.arange(len(scores), device=scores.device)),
            "This is what happens when pre_nms is not used. Of each level only the pre_nms best go into the suppression.",
        ),
        Mistake(
            "suppressed before the cut",
            _before_the_cut,
            "This is what happens when the suppression comes before the first cut. The cut is there to spare it work: take the best of "
            "each level first.",
        ),
        Mistake(
            "not clipped",
            _with(clip=lambda boxes, size: boxes),
            "This is what happens when boxes are not clipped to the picture. What lies outside counts in no IoU and in no side.",
        ),
        Mistake(
            "clipped after the suppression",
            _clipped_last,
            "This is what happens when the boxes are clipped after the suppression. Clipped boxes overlap otherwise: clip first.",
        ),
        Mistake(
            "height and width swapped",
            _with(clip=lambda boxes, size: clip_boxes_to_image(boxes, size[::-1])),
            "This is what happens when x is clipped to the height and y to the width. image_size is (height, width).",
        ),
        Mistake(
            "small ones stay",
            _with(large=lambda boxes, least: torch.arange(len(boxes), device=boxes.device)),
            "This is what happens when small boxes stay. Drop those with a side below min_size.",
        ),
        Mistake(
            "small ones dropped before clipping",
            _small_before_clipping,
            "This is what happens when small boxes are dropped before they are clipped. A large box at the border may be small inside: "
            "clip first.",
        ),
        Mistake(
            "exactly min_size",
            _with(large=lambda boxes, least: ((boxes[:, 2:] - boxes[:, :2]) > least).all(1)),
            "This is what happens when a side of exactly min_size is too small. It stays: >=.",
        ),
        Mistake(
            "one large side is enough",
            _with(large=lambda boxes, least: ((boxes[:, 2:] - boxes[:, :2]) >= least).any(1)),
            "This is what happens when one side has to reach min_size. Both have to.",
        ),
        Mistake(
            "min_size of the area",
            _with(large=lambda boxes, least: (boxes[:, 2:] - boxes[:, :2]).prod(1) >= least),
            "This is what happens when min_size is compared with the area. It is the least that each side has.",
        ),
        Mistake(
            "not suppressed",
            _with(suppress=lambda boxes, scores, levels, threshold: scores.argsort(descending=True)),
            "This is what happens when nothing is suppressed. Of boxes that overlap only the best of its level stays.",
        ),
        Mistake(
            "no last cut",
            _with(last=lambda rows, scores, levels, count: rows),
            "This is what happens when post_nms is not used. Of all that are left, the post_nms best stay.",
        ),
        Mistake(
            "the last cut for each level",
            _with(last=_best_of_each_level),
            "This is what happens when each level keeps its own post_nms best. The last cut is one for all levels.",
        ),
        Mistake(
            "level by level",
            _with(last=_level_by_level),
            "This is what happens when the proposals come level by level. The best of all come first.",
        ),
        Mistake(
            "the worst first",
            _with(last=lambda rows, scores, levels, count: rows[:count].flip(0)),
            "This is what happens when the worst comes first. The best does.",
        ),
        Mistake(
            "places after the cut",
            _places_after_the_cut,
            "This is what happens when the indices count the boxes that were left by the first cut. They are to count boxes as they came: "
            "rows[kept].",
        ),
        Mistake("the boxes", _boxes_themselves, "This is what happens when the boxes themselves are returned. Give their indices."),
    ),
)
