"""Exercise: from a heat map to a joint in the picture."""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.keypoints import decode_keypoints

PROMPT = r"""
For each of D boxes the keypoint head gives K heat maps, one for each joint: `logits`, `[D, K, S, S]`. Where a map is largest, there is the
joint. The largest of 56 × 56 cells would be exact to a fifty-sixth of the box; so the map is enlarged first.

1. The box is w = x2 − x1 wide and h = y2 − y1 high, in fractions of pixels, but each at least 1.
2. Enlarge each map to ⌈h⌉ × ⌈w⌉ pixels: `F.interpolate(…, mode="bicubic")`, `align_corners=False`.
3. The largest pixel, in row $i$ and column $j$, is the joint. Its **score** is the value there, as it is.
4. Its place is the **middle** of that pixel. A pixel is w / ⌈w⌉ wide, a little less than 1, so that they fill the box just so:

$$x = x_1 + \left(j + \tfrac12\right) \frac{w}{\lceil w \rceil} \qquad y = y_1 + \left(i + \tfrac12\right) \frac{h}{\lceil h \rceil}$$

```text
box (10, 20, 14.5, 23): 4.5 wide, 3 high       enlarged to 3 × 5; the largest in row 2, column 1
x = 10 + 1.5 · 4.5 / 5 = 11.35                 y = 20 + 2.5 · 3 / 3 = 22.5
```

Return two tensors: the points, `[D, K, 3]`, each x, y and 1, which says that it is there, and the scores, `[D, K]`. D may be 0.
""".strip()

DOCSTRING = """
Where each map is largest, in pixels of the picture, and how large. [D, K, 3], x, y and 1; [D, K]

Args:
    logits: [D, K, S, S]; D may be 0.
    boxes: [D, 4], x1, y1, x2, y2 in pixels.
""".strip()

Answer = tuple[Tensor, Tensor]


def _by_torchvision(logits: Tensor, boxes: Tensor) -> Answer:
    return heatmaps_to_keypoints(logits, boxes)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def maps(boxes: int, joints: int, side: int) -> Tensor:
        """Noise, and in each map a hill whose top lies between cells, away from the edge where there is room."""
        at = torch.arange(side) + 0.5
        middle = side * (0.2 + 0.6 * torch.rand(boxes, joints, 2, 1, generator=draw))
        down, across = (-((at - middle) / (0.2 * side)).square() / 2).unbind(2)
        return 4 * (down[..., :, None] + across[..., None, :]).exp() + 0.5 * torch.rand(boxes, joints, side, side, generator=draw) - 2

    def box(width: float, height: float) -> list[float]:
        x, y = whole(draw, 4, 160) / 8, whole(draw, 180, 360) / 8
        return [x, y, x + width, y + height]

    def case(name: str, logits: Tensor, boxes: list) -> Case:
        return Case(name, {"logits": logits, "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)})

    yield case("a pixel for each cell", maps(1, 1, 4), [box(4, 4)])
    yield case("three pixels for each cell", maps(1, 1, 4), [box(12, 12)])
    yield case("wider than high", maps(1, 2, 5), [box(18, 7)])
    yield case("higher than wide", maps(1, 2, 5), [box(6, 17)])
    yield case("fractions of a pixel", maps(1, 3, 6), [box(9.25, 7.125)])
    yield case("fewer pixels than cells", maps(1, 2, 14), [box(5.5, 6.25)])
    yield case("three boxes, two joints", maps(3, 2, 7), [box(11.5, 9), box(8, 13.375), box(20.25, 16.5)])
    yield case("thinner than a pixel", maps(2, 1, 4), [box(0.375, 9), box(10, 0.25)])
    yield case("56 cells", maps(2, 3, 56), [box(31.5, 62.25), box(70.125, 24)])
    yield case("no box", torch.zeros(0, whole(draw, 2, 15), 14, 14), [])


# ---- wrong versions --------------------------------------------------------------------------------------------------

Place = tuple[float, float]


def _enlarged(maps: Tensor, size: tuple[int, int], mode: str = "bicubic", **more: object) -> Tensor:
    """[K, S, S] → [K, *size]"""
    return F.interpolate(maps[:, None], size=size, mode=mode, **more)[:, 0]


def _largest(large: Tensor) -> list[Place]:
    """Row and column of the largest pixel of each map."""
    width = large.shape[2]
    return [divmod(int(best), width) for best in large.flatten(1).argmax(1)]


def _middle(start: float, at: float, side: float, count: int) -> float:
    """Where the pixel lies, counted from 0, of so many that a side is divided into."""
    return start + (at + 0.5) * side / count


def _written(
    enlarge: Callable[[Tensor, tuple[int, int]], Tensor] = _enlarged,
    pixels: Callable[[float], int] = math.ceil,
    least: float = 1.0,
    find: Callable[[Tensor], list[Place]] = _largest,
    place: Callable[[float, float, float, int], float] = _middle,
    points: Callable[[Tensor, Tensor], Tensor] = lambda xy, scores: F.pad(xy, (0, 1), value=1),
    score: Callable[[Tensor, Tensor], Tensor] = lambda large, maps: large.flatten(1).amax(1),
) -> Callable:
    """decode_keypoints box by box; a wrong version has one part written otherwise."""

    def decode(logits, boxes):
        found, scores = logits.new_zeros(*logits.shape[:2], 2), logits.new_zeros(logits.shape[:2])
        for d, (maps, (x1, y1, x2, y2)) in enumerate(zip(logits, boxes.tolist(), strict=True)):
            w, h = max(x2 - x1, least), max(y2 - y1, least)
            large = enlarge(maps, (max(1, pixels(h)), max(1, pixels(w))))
            scores[d] = score(large, maps)
            _, down, across = large.shape
            for k, (row, column) in enumerate(find(large)):
                found[d, k] = torch.tensor([place(x1, column, w, across), place(y1, row, h, down)])
        return points(found, scores), scores

    return decode


def _swapped(large: Tensor) -> list[Place]:
    return [(column, row) for row, column in _largest(large)]


def _by_height(large: Tensor) -> list[Place]:
    """The number of the largest pixel, divided by the number of rows."""
    height = large.shape[1]
    return [divmod(int(best), height) for best in large.flatten(1).argmax(1)]


def _mean_place(large: Tensor) -> list[Place]:
    heat = large.flatten(1).softmax(1).view_as(large)
    rows, columns = (torch.arange(side).to(large) for side in large.shape[1:])
    return list(zip((heat.sum(2) @ rows).tolist(), (heat.sum(1) @ columns).tolist(), strict=True))


def _likeliest(large: Tensor, maps: Tensor) -> Tensor:
    return large.flatten(1).softmax(1).amax(1)


def _one_tensor(logits, boxes):
    points, scores = decode_keypoints(logits, boxes)
    return torch.cat((points[..., :2], scores[..., None]), -1)


def _turned(logits, boxes):
    points, scores = decode_keypoints(logits, boxes)
    return scores, points


DECODE_KEYPOINTS = Exercise(
    prompt=PROMPT,
    solution=decode_keypoints,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="heatmaps_to_keypoints in torchvision.models.detection.roi_heads",
    cases=_cases,
    tolerance=1e-4,
    common_mistakes=(
        Mistake(
            "x and y swapped",
            _written(find=_swapped),
            "This is what happens when the row of the largest pixel is taken for x. x comes from the column, y from the row.",
        ),
        Mistake(
            "divided by the height",
            _written(find=_by_height),
            "This is what happens when the number of the largest pixel is divided by the number of rows. A row has as many pixels as the "
            "map is wide: row = best // width, column = best % width.",
        ),
        Mistake(
            "not enlarged",
            _written(enlarge=lambda maps, size: maps),
            "This is what happens when the largest cell of the map itself is taken. Enlarge the map to the pixels of the box first.",
        ),
        Mistake(
            "bilinear",
            _written(enlarge=lambda maps, size: _enlarged(maps, size, "bilinear")),
            'This is what happens when the map is enlarged bilinearly: its largest pixel stays at a cell\'s middle. Use mode="bicubic".',
        ),
        Mistake(
            "nearest",
            _written(enlarge=lambda maps, size: _enlarged(maps, size, "nearest")),
            'This is what happens when the map is enlarged by the nearest cell: it stays as coarse as it was. Use mode="bicubic".',
        ),
        Mistake(
            "corners aligned",
            _written(enlarge=lambda maps, size: _enlarged(maps, size, align_corners=True)),
            "This is what happens when align_corners is True: the middles of the outermost cells are drawn to the edges of the box.",
        ),
        Mistake(
            "corner of the pixel",
            _written(place=lambda start, at, side, count: start + at * side / count),
            "This is what happens when a pixel's upper left corner is taken. Its middle is half a pixel further: column + 0.5.",
        ),
        Mistake(
            "from edge to edge",
            _written(place=lambda start, at, side, count: start + at * side / max(1, count - 1)),
            "This is what happens when the first pixel lies on the left edge and the last on the right one. A pixel's middle is at column "
            "+ 0.5, of as many as there are.",
        ),
        Mistake(
            "box forgotten",
            _written(place=lambda start, at, side, count: (at + 0.5) * side / count),
            "This is what happens when a place in the box is taken for one in the picture. Add x1 and y1.",
        ),
        Mistake(
            "pixels of size 1",
            _written(place=lambda start, at, side, count: start + at + 0.5),
            "This is what happens when the pixels of the enlarged map are taken to be 1 wide. They fill the box: each is w / ⌈w⌉ wide.",
        ),
        Mistake(
            "rounded down",
            _written(pixels=math.floor),
            "This is what happens when the map is enlarged to ⌊h⌋ × ⌊w⌋ pixels. Round up.",
        ),
        Mistake(
            "to the nearest",
            _written(pixels=round),
            "This is what happens when the map is enlarged to h × w pixels, rounded to the nearest. Round up.",
        ),
        Mistake(
            "thin boxes stay thin",
            _written(least=0.0),
            "This is what happens when a box of less than a pixel stays so thin. It counts as 1 pixel wide and high, at least.",
        ),
        Mistake(
            "the mean place",
            _written(find=_mean_place),
            "This is what happens when the mean of all places is taken, each by its probability. Take the largest pixel.",
        ),
        Mistake(
            "probabilities",
            _written(score=_likeliest),
            "This is what happens when the score is a probability. It is the value of the enlarged map, as it is.",
        ),
        Mistake(
            "score of the cell",
            _written(score=lambda large, maps: maps.flatten(1).amax(1)),
            "This is what happens when the score is the largest cell of the map as it came. It is the largest pixel of the enlarged one.",
        ),
        Mistake(
            "without the 1",
            _written(points=lambda xy, scores: xy),
            "This is what happens when a point is x and y only. Behind them stands 1, as visibility does in targets.",
        ),
        Mistake(
            "score for the 1",
            _written(points=lambda xy, scores: torch.cat((xy, scores[..., None]), -1)),
            "This is what happens when the score stands behind x and y. There stands 1; the scores are a tensor of their own.",
        ),
        Mistake(
            "one tensor",
            _one_tensor,
            "This is what happens when points and scores are put into one tensor. Return two: points, scores.",
        ),
        Mistake(
            "scores first",
            _turned,
            "This is what happens when the scores come first. Return points, scores.",
        ),
    ),
)
