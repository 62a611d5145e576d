"""Exercise: what the mask head should say of a region."""

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.ops.masks import mask_targets

PROMPT = r"""
The mask head looks at a **proposed** region, which does not lie just as the object does, and gives `size` × `size` cells. So the truth is
seen through the region, too: of the mask of *its object* the part that lies in the region, brought to `size` × `size`. That is RoIAlign of
the mask, as if it were a map with one channel and a stride of 1: `spatial_scale=1`, `sampling_ratio=-1`, `aligned=False`, as
torchvision has it (it is half a pixel, for a cell is one pixel here). Call yours, or
`torchvision.ops.roi_align` by that whole name: imported as `roi_align` it would take the place of yours.

- `masks` is `[G, H, W]`, one for each object of the picture, bool: True where the object is.
- `boxes` is `[R, 4]`, the regions, x1, y1, x2, y2 in pixels.
- `matches` is `[R]`, int64: the object that each region shows. Several regions may show one object, and an object may have none.

```text
0 0 0 0 0 0
0 1 1 0 0 0         region (0, 0, 4, 4), size 2: four points in each cell, of the one above on the left (0.5, 0.5), (1.5, 0.5),
0 1 1 0 0 0         (0.5, 1.5), (1.5, 1.5), which read 0.25, 0.5, 0.5 and 1: the cell is their mean, 0.5625
0 0 0 0 0 0
```

The answer is `[R, size, size]`, **not** rounded to 0 and 1: at its edge an object covers a cell in part. It has the dtype of `boxes`. R may
be 0, and then so may G.
""".strip()

DOCSTRING = """
What the mask head should say of each region: its object's mask, cut out and resized by RoIAlign. [R, M, M]

Args:
    masks: of the objects, bool [G, H, W]; G may be 0.
    boxes: regions, [R, 4], in pixels.
    matches: the object that each region shows, int64 [R], 0 to G − 1.
    size: M.

Returns numbers from 0 to 1 in the dtype of boxes.
""".strip()


def _by_torchvision(masks: Tensor, boxes: Tensor, matches: Tensor, size: int) -> Tensor:
    if not len(boxes):
        return boxes.new_zeros(0, size, size)
    return project_masks_on_boxes(masks, boxes, matches, size)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def blob(height: int, width: int) -> Tensor:
        """An object with a ragged edge, and the pixels where it is: about half of those in the middle."""
        mask = torch.zeros(height, width, dtype=torch.bool)
        inside = (max(1, height // 6), max(1, width // 6))
        there = torch.rand(height - 2 * inside[0], width - 2 * inside[1], generator=draw) < 0.6
        mask[inside[0] : height - inside[0], inside[1] : width - inside[1]] = there
        return mask

    def blobs(count: int, height: int, width: int) -> Tensor:
        return torch.stack([blob(height, width) for _ in range(count)])

    def region(height: int, width: int, across: float, down: float) -> list[float]:
        """Somewhere in the picture, at eighths of a pixel."""
        x, y = (whole(draw, 1, int(8 * (side - length))) / 8 for side, length in ((width, across), (height, down)))
        return [x, y, x + across, y + down]

    def case(name: str, masks: Tensor, boxes: list, matches: list, size: int, dtype: torch.dtype = torch.float32) -> Case:
        boxes = torch.tensor(boxes, dtype=dtype).reshape(-1, 4)
        return Case(name, {"masks": masks, "boxes": boxes, "matches": torch.tensor(matches, dtype=torch.int64), "size": size})

    yield case("one object, two by two cells", blobs(1, 6, 6), [[0, 0, 4, 4]], [0], 2)
    yield case("one object, seen in part", blobs(1, 6, 8), [region(6, 8, 3.5, 2.5)], [0], 3)
    two = [region(8, 10, 5.5, 4.25), region(8, 10, 4.5, 6.25)]
    yield case("two objects, the second first", blobs(2, 8, 10), two, [1, 0], 4)
    three = [region(9, 9, 4.25, 5.75) for _ in range(3)]
    yield case("three regions, two objects", blobs(2, 9, 9), three, [1, 1, 0], 4)
    yield case("the last of four objects", blobs(4, 7, 9), [region(7, 9, 4.75, 3.25)], [3], 4)
    yield case("fewer pixels than cells", blobs(2, 8, 8), [region(8, 8, 2.75, 3.25)], [1], 7)
    yield case("many pixels a cell", blobs(2, 40, 50), [region(40, 50, 30.5, 22.25), region(40, 50, 21.5, 33.5)], [0, 1], 4)
    yield case("28 cells", blobs(3, 32, 40), [region(32, 40, 17.25, 20.5), region(32, 40, 33.5, 9.75)], [2, 0], 28)
    yield case("float64", blobs(2, 12, 10), [region(12, 10, 6.5, 7.25)], [1], 7, dtype=torch.float64)
    yield case("no region", blobs(whole(draw, 1, 4), 6, 6), [], [], whole(draw, 2, 6))
    yield case("no object", torch.zeros(0, 6, 6, dtype=torch.bool), [], [], whole(draw, 2, 6))


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _aligned(masks: Tensor, boxes: Tensor, size: int, ratio: int = -1, aligned: bool = False) -> Tensor:
    """One mask for each box: [R, H, W] → [R, size, size]."""
    rows = torch.cat((torch.arange(len(boxes)).to(boxes)[:, None], boxes), 1)
    return torchvision.ops.roi_align(masks[:, None].to(boxes), rows, size, 1.0, ratio, aligned)[:, 0]


def _written(
    own: Callable[[Tensor, Tensor], Tensor] = lambda masks, matches: masks[matches],
    read: Callable[[Tensor, Tensor], Tensor] = lambda boxes, masks: boxes,
    cut: Callable[[Tensor, Tensor, int], Tensor] = _aligned,
    change: Callable[[Tensor], Tensor] = lambda targets: targets,
) -> Callable:
    """mask_targets by torchvision; a wrong version has one part written otherwise."""

    def targets(masks, boxes, matches, size):
        if not len(boxes):
            return change(boxes.new_zeros(0, size, size))
        masks = own(masks, matches)
        return change(cut(masks, read(boxes, masks), size))

    return targets


def _one_by_one(masks: Tensor, matches: Tensor) -> Tensor:
    return torch.stack([masks[r] for r in range(len(matches))])


def _around_object(boxes: Tensor, masks: Tensor) -> Tensor:
    """The edges of each mask in place of the region."""
    found = []
    for mask, box in zip(masks, boxes, strict=True):
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        edges = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else box
        found.append(torch.stack([torch.as_tensor(edge).to(boxes) for edge in edges]))
    return torch.stack(found)


def _resized(mode: str, masks: Tensor, boxes: Tensor, size: int) -> Tensor:
    """The box rounded to whole pixels, cut out as a slice and resized."""
    found = []
    for mask, box in zip(masks.to(boxes), boxes.tolist(), strict=True):
        x1, y1, x2, y2 = (math.floor(side + 0.5) for side in box)
        found.append(F.interpolate(mask[None, None, y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)], size=(size, size), mode=mode)[0, 0])
    return torch.stack(found)


def _slices(masks: Tensor, boxes: Tensor, size: int) -> Tensor:
    return _resized("bilinear", masks, boxes, size)


def _nearest_of_slices(masks: Tensor, boxes: Tensor, size: int) -> Tensor:
    return _resized("nearest", masks, boxes, size)


def _whole_mask(masks: Tensor, boxes: Tensor, size: int) -> Tensor:
    return F.interpolate(masks[:, None].to(boxes), size=(size, size), mode="bilinear")[:, 0]


def _pooled(masks: Tensor, boxes: Tensor, size: int) -> Tensor:
    rows = torch.cat((torch.arange(len(boxes)).to(boxes)[:, None], boxes), 1)
    return torchvision.ops.roi_pool(masks[:, None].to(boxes), rows, size, 1.0)[:, 0]


MASK_TARGETS = Exercise(
    prompt=PROMPT,
    solution=mask_targets,
    docstring=DOCSTRING,
    reference=_by_torchvision,
    reference_name="project_masks_on_boxes in torchvision.models.detection.roi_heads",
    cases=_cases,
    tolerance=1e-4,
    common_mistakes=(
        Mistake(
            "x and y swapped",
            _written(read=lambda boxes, masks: boxes[:, [1, 0, 3, 2]]),
            "This is what happens when x and y of the regions are swapped. They are x1, y1, x2, y2.",
        ),
        Mistake(
            "whole mask",
            _written(cut=_whole_mask),
            "This is what happens when the whole mask is resized. Only the part that lies in the region is.",
        ),
        Mistake(
            "the object's box",
            _written(read=_around_object),
            "This is what happens when the mask is cut out where the object is. The head looks at the region, so cut it out there.",
        ),
        Mistake(
            "first object",
            _written(own=lambda masks, matches: masks[torch.zeros_like(matches)]),
            "This is what happens when every region gets the first object's mask. matches says which object it shows.",
        ),
        Mistake(
            "last object",
            _written(own=lambda masks, matches: masks[torch.full_like(matches, len(masks) - 1)]),
            "This is what happens when every region gets the last object's mask. matches says which object it shows.",
        ),
        Mistake(
            "mask by mask",
            _written(own=_one_by_one),
            "This is what happens when region r gets mask r. There are as many regions as there are, and matches says which object each "
            "shows.",
            error="out of bounds",
        ),
        Mistake(
            "counted from 1",
            _written(own=lambda masks, matches: masks[matches - 1]),
            "This is what happens when 1 is taken off matches, as if it counted from 1. It counts from 0.",
        ),
        Mistake(
            "all objects together",
            _written(own=lambda masks, matches: masks.any(0).expand(len(matches), -1, -1)),
            "This is what happens when the masks of all objects are put together. What else is in the region is none of its object's.",
        ),
        Mistake(
            "half a pixel off",
            _written(cut=lambda masks, boxes, size: _aligned(masks, boxes, size, aligned=True)),
            "This is what happens when aligned is True. It is sensible, but neither the first implementations nor torchvision's "
            "mask head do it: aligned=False.",
        ),
        Mistake(
            "one point",
            _written(cut=lambda masks, boxes, size: _aligned(masks, boxes, size, ratio=1)),
            "This is what happens when each cell is read at its middle alone. With sampling_ratio=-1 it is about one point a pixel.",
        ),
        Mistake(
            "two points",
            _written(cut=lambda masks, boxes, size: _aligned(masks, boxes, size, ratio=2)),
            "This is what happens when sampling_ratio is 2. With −1 it is about one point a pixel, however large the region is.",
        ),
        Mistake(
            "RoI pooling",
            _written(cut=_pooled),
            "This is what happens when the mask is pooled by RoI pooling: the region is rounded to whole pixels. RoIAlign rounds nothing.",
        ),
        Mistake(
            "slice, resized",
            _written(cut=_slices),
            "This is what happens when the region is rounded to whole pixels, cut out as a slice and resized. Use RoIAlign.",
        ),
        Mistake(
            "slice, nearest",
            _written(cut=_nearest_of_slices),
            "This is what happens when the region is cut out as a slice and resized by the nearest pixel. Use RoIAlign.",
        ),
        Mistake(
            "0 and 1",
            _written(change=lambda targets: (targets >= 0.5).to(targets)),
            "This is what happens when the target is rounded to 0 and 1. A cell that is covered in part says how much of it is.",
        ),
        Mistake(
            "bool",
            _written(change=lambda targets: targets >= 0.5),
            "This is what happens when the target is bool. It is numbers from 0 to 1, in the dtype of boxes.",
        ),
        Mistake(
            "turned over",
            _written(change=lambda targets: targets.mT),
            "This is what happens when rows and columns are exchanged. Rows come first.",
        ),
        Mistake(
            "the background",
            _written(change=lambda targets: 1 - targets),
            "This is what happens when the target is 1 where the object is not. It is 1 where it is.",
        ),
        Mistake(
            "an axis too many",
            _written(change=lambda targets: targets[:, None]),
            "This is what happens when RoIAlign's channel stays: [R, 1, M, M]. Take it off: [:, 0].",
        ),
    ),
)
