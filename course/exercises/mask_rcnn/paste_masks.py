"""Exercise: from 28 × 28 cells back into the picture."""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.masks import paste_masks

PROMPT = r"""
Every mask is M × M, however large its object. Put each of D masks into its place in a picture of `image_size`, (height, width), 0 outside:
`[D, height, width]`. The rules are those of the code that came with the paper. For each mask:

1. **A ring.** Put a ring of zeros around it: (M + 2) × (M + 2). So the mask fades out at its edge, and does not end at once.
2. **The box grows** with it, to (M + 2) / M of its width and height; its middle stays where it is.
3. **Whole pixels.** Of the four sides of that box cut off the fraction, towards 0, as `int` does it. The pixel where it ends belongs to it:
   it is x2 − x1 + 1 pixels wide, y2 − y1 + 1 high.
4. **Stretch** the mask with its ring to so many pixels, bilinearly, with `align_corners=False`.
5. **Put it there.** What lies beyond the picture is cut off *after* it has been stretched.

```text
mask 1 × 1, [[1]], box (3, 3, 6, 6)       ring     3 × 3
                                          box      middle 4.5, 3 · 3 wide: from 0 to 9, 10 pixels
                                          stretched   0  0  0.25  0.55  0.85  0.85  0.55  0.25  0  0   across, and the same
                                          down; a pixel is the product of both: 0.85 · 0.85 in the middle
```

`masks` is `[D, M, M]`, probabilities; the threshold that makes a mask of them is left to whoever reads them. `boxes` is `[D, 4]`, x1, y1,
x2, y2 in pixels; each reaches into the picture, and may reach beyond it. D may be 0. `torch.nn.functional.pad` and `interpolate` help.
""".strip()

DOCSTRING = """
Each mask in its place in a picture: probabilities, 0 outside the box. [D, H, W]

Args:
    masks: [D, M, M]; D may be 0.
    boxes: where they belong, [D, 4], in pixels; a box may reach beyond the picture.
    image_size: (H, W).
""".strip()


def _by_torchvision(masks: Tensor, boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    return paste_masks_in_image(masks[:, None], boxes, image_size)[:, 0]


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def clear(first: float, end: float, cells: int) -> bool:
        """Whether the sides of the grown box are clearly between two whole numbers, whatever the precision."""
        sides = _grown(first, end, cells)
        return all(0.1 < side % 1 < 0.9 and abs(side) > 1 for side in sides)

    def along(low: int, high: int, cells: int, least: float = 2.0) -> tuple[float, float]:
        """From where to where a box reaches, at eighths of a pixel, somewhere between low and high."""
        while True:
            first, end = sorted(whole(draw, 8 * low, 8 * high) / 8 for _ in range(2))
            if end - first >= least and clear(first, end, cells):
                return first, end

    def box(height: int, width: int, cells: int, least: float = 2.0) -> list[float]:
        (x1, x2), (y1, y2) = along(2, width - 1, cells, least), along(2, height - 1, cells, least)
        return [x1, y1, x2, y2]

    def probabilities(count: int, cells: int) -> Tensor:
        return torch.randint(1, 11, (count, cells, cells), generator=draw) / 10

    def case(name: str, masks: Tensor, boxes: list, size: tuple[int, int], dtype: torch.dtype = torch.float32) -> Case:
        return Case(name, {"masks": masks.to(dtype), "boxes": torch.tensor(boxes, dtype=dtype).reshape(-1, 4), "image_size": size})

    yield case("one cell", probabilities(1, 1), [[3.0, 3.0, 6.0, 6.0]], (12, 12))
    yield case("two by two cells", probabilities(1, 2), [box(14, 14, 2, 3.0)], (14, 14))
    yield case("a picture that is wider than high", probabilities(1, 4), [box(12, 24, 4, 4.0)], (12, 24))
    yield case("a box that is higher than wide", probabilities(1, 4), [[6.125, 3.25, 9.25, 16.375]], (20, 18))
    yield case("three masks, which overlap", probabilities(3, 4), [box(16, 18, 4) for _ in range(3)], (16, 18))
    yield case("smaller than its cells", probabilities(1, 14), [box(16, 16, 14)], (16, 16))
    (x1, x2), (y1, y2) = along(2, 9, 4, 4.0), along(2, 8, 4, 3.0)
    outwards = [[x1 - 9, y1, x2 - 3, y2], [x1, y1 - 7, x2, y2 - 2], [x1 + 4, y1 + 3, x2 + 8, y2 + 6]]
    beyond = [*outwards, [-6.375, 2.25, 5.5, 8.375], [3.25, -5.625, 9.375, 4.25], [-7.375, -4.75, 20.25, 15.5]]
    yield case("beyond the picture", probabilities(len(beyond), 4), beyond, (12, 15))
    yield case("28 cells", probabilities(2, 28), [box(48, 40, 28, 6.0) for _ in range(2)], (48, 40))
    yield case("float64", probabilities(2, 7), [box(20, 30, 7, 5.0) for _ in range(2)], (20, 30), dtype=torch.float64)
    yield case("no mask", torch.zeros(0, 28, 28), [], (whole(draw, 5, 9), whole(draw, 10, 19)))


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _grown(first: float, end: float, cells: int) -> tuple[float, float]:
    """A side of the box with its ring."""
    middle, half = (first + end) / 2, (end - first) / 2 * (cells + 2) / cells
    return middle - half, middle + half


def _to_pixels(first: float, end: float) -> tuple[int, int]:
    """The first pixel, and how many there are."""
    return int(first), int(end) - int(first) + 1


def _stretched(mask: Tensor, size: tuple[int, int], mode: str = "bilinear", **more: object) -> Tensor:
    return F.interpolate(mask[None, None], size=size, mode=mode, **more)[0, 0]


def _written(
    ring: bool = True,
    grown: Callable[[float, float, int], tuple[float, float]] = _grown,
    pixels: Callable[[float, float], tuple[int, int]] = _to_pixels,
    stretch: Callable[[Tensor, tuple[int, int]], Tensor] = _stretched,
    read: Callable[[list], list] = lambda box: box,
    cut: Callable[[float, int], float] = lambda side, length: side,
    change: Callable[[Tensor], Tensor] = lambda pasted: pasted,
    size: Callable[[tuple[int, int]], tuple[int, int]] = lambda size: size,
) -> Callable:
    """paste_masks mask by mask; a wrong version has one part written otherwise."""

    def paste(masks, boxes, image_size):
        height, width = size(image_size)
        pasted = masks.new_zeros(len(masks), height, width)
        for d, (mask, box) in enumerate(zip(masks, boxes.tolist(), strict=True)):
            x1, y1, x2, y2 = read(box)
            (left, across), (top, down) = (
                pixels(*(cut(side, length) for side in grown(first, end, len(mask))))
                for first, end, length in ((x1, x2, width), (y1, y2, height))
            )
            large = stretch(F.pad(mask, (1, 1, 1, 1)) if ring else mask, (max(1, down), max(1, across)))
            rows, columns = range(max(0, top), min(height, top + down)), range(max(0, left), min(width, left + across))
            if len(rows) and len(columns):
                there = large[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
                pasted[d, rows.start : rows.stop, columns.start : columns.stop] = there
        return change(pasted)

    return paste


def _as_it_is(first: float, end: float, cells: int) -> tuple[float, float]:
    return first, end


def _by_cells(first: float, end: float, cells: int) -> tuple[float, float]:
    """A pixel a side in place of a cell."""
    return first - 1, end + 1


def _from_the_corner(first: float, end: float, cells: int) -> tuple[float, float]:
    return first, first + (end - first) * (cells + 2) / cells


def _whole_picture(masks, boxes, image_size):
    if not len(masks):
        return masks.new_zeros(0, *image_size)
    return F.interpolate(F.pad(masks, (1, 1, 1, 1))[:, None], size=image_size, mode="bilinear")[:, 0]


def _one_plane(masks, boxes, image_size):
    return paste_masks(masks, boxes, image_size).amax(0) if len(masks) else masks.new_zeros(image_size)


def _slices_as_they_are(masks, boxes, image_size):
    """Slices that may begin below 0, where Python counts from the end, or end beyond the picture."""
    pasted = masks.new_zeros(len(masks), *image_size)
    for d, (mask, box) in enumerate(zip(masks, boxes.tolist(), strict=True)):
        x1, x2 = _grown(box[0], box[2], len(mask))
        y1, y2 = _grown(box[1], box[3], len(mask))
        (left, across), (top, down) = _to_pixels(x1, x2), _to_pixels(y1, y2)
        pasted[d, top : top + down, left : left + across] = _stretched(F.pad(mask, (1, 1, 1, 1)), (down, across))
    return pasted


def _without_last(first: float, end: float) -> tuple[int, int]:
    return int(first), int(end) - int(first)


def _to_nearest(first: float, end: float) -> tuple[int, int]:
    first, end = math.floor(first + 0.5), math.floor(end + 0.5)
    return first, end - first + 1


def _outwards(first: float, end: float) -> tuple[int, int]:
    return math.floor(first), math.ceil(end) - math.floor(first)


def _down(first: float, end: float) -> tuple[int, int]:
    return math.floor(first), math.floor(end) - math.floor(first) + 1


PASTE_MASKS = Exercise(
    prompt=PROMPT,
    solution=paste_masks,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="paste_masks_in_image in torchvision.models.detection.roi_heads",
    cases=_cases,
    tolerance=1e-4,
    common_mistakes=(
        Mistake(
            "x and y swapped",
            _written(read=lambda box: [box[1], box[0], box[3], box[2]]),
            "This is what happens when x and y of the boxes are swapped. x counts columns, y counts rows.",
        ),
        Mistake(
            "no ring",
            _written(ring=False, grown=_as_it_is),
            "This is what happens when there is no ring: the mask is stretched to its box as it is. Pad it with zeros, and let the box "
            "grow.",
        ),
        Mistake(
            "box does not grow",
            _written(grown=_as_it_is),
            "This is what happens when the mask has its ring and the box stays as it was: the mask shrinks. Let the box grow to (M + 2) / "
            "M.",
        ),
        Mistake(
            "grown without a ring",
            _written(ring=False),
            "This is what happens when the box grows and the mask has no ring: the mask grows. Pad it with zeros on all four sides.",
        ),
        Mistake(
            "grown by a pixel",
            _written(grown=_by_cells),
            "This is what happens when the box grows by a pixel to each side. The ring is a cell wide, and a cell has width / M pixels.",
        ),
        Mistake(
            "grown from its corner",
            _written(grown=_from_the_corner),
            "This is what happens when the box grows to the right and downwards. Its middle stays where it is.",
        ),
        Mistake(
            "last pixel left out",
            _written(pixels=_without_last),
            "This is what happens when the pixel where the box ends is left out. It belongs to it: x2 − x1 + 1 pixels.",
        ),
        Mistake(
            "to the nearest pixel",
            _written(pixels=_to_nearest),
            "This is what happens when the sides go to the nearest pixel. Their fraction is cut off.",
        ),
        Mistake(
            "outwards",
            _written(pixels=_outwards),
            "This is what happens when the box is widened to whole pixels. Of all four sides the fraction is cut off, and then one pixel "
            "is added at the end.",
        ),
        Mistake(
            "down below 0",
            _written(pixels=_down),
            "This is what happens when sides below 0 are rounded down, as floor and // do it. Cut off towards 0: −2.5 becomes −2, with "
            "int or with .long().",
        ),
        Mistake(
            "cut off first",
            _written(cut=lambda side, length: min(max(side, 0.0), length - 1.0)),
            "This is what happens when the box is cut off at the picture before the mask is stretched: the whole mask is squeezed into "
            "what is left. Stretch it first.",
        ),
        Mistake(
            "slices below 0",
            _slices_as_they_are,
            "This is what happens when a slice begins below 0: Python counts from the end there. Cut both at the picture, the slice and "
            "the mask.",
            error="expand|shape|size|match",
        ),
        Mistake(
            "nearest",
            _written(stretch=lambda mask, size: _stretched(mask, size, "nearest")),
            'This is what happens when the mask is stretched by the nearest cell. Interpolate: mode="bilinear".',
        ),
        Mistake(
            "corners aligned",
            _written(stretch=lambda mask, size: _stretched(mask, size, align_corners=True)),
            "This is what happens when align_corners is True: the middles of the outermost cells are drawn to the edges of the box.",
        ),
        Mistake(
            "threshold",
            _written(change=lambda pasted: (pasted > 0.5).to(pasted)),
            "This is what happens when the probabilities are cut at 0.5. Leave that to whoever reads them.",
        ),
        Mistake(
            "bool",
            _written(change=lambda pasted: pasted > 0.5),
            "This is what happens when a mask of True and False is returned. Return the probabilities.",
        ),
        Mistake(
            "the whole picture",
            _whole_picture,
            "This is what happens when the mask is stretched over the whole picture. It belongs into its box.",
        ),
        Mistake(
            "one plane",
            _one_plane,
            "This is what happens when all masks are put into one picture. Each has a plane of its own: [D, H, W].",
        ),
        Mistake(
            "width before height",
            _written(size=lambda size: size[::-1]),
            "This is what happens when image_size is read as width and height. It is (height, width).",
        ),
    ),
)
