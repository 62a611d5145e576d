"""Exercise: the way back through RoI pooling."""

from collections.abc import Callable, Iterator

import torch
import torchvision
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.exercises.fast_rcnn.regions import cells_of, in_pixels, region
from course.ops.roi import roi_pool, roi_pool_backward

PROMPT = r"""
The loss says of each output of RoI pooling how much it would change with it: its **gradient**. Hand it on to the map. A bin has looked at
many cells, but only the largest got through, so its gradient goes **to the cell where the maximum stood**, and the others get nothing from
it. One box over the whole 3 × 3 map, in 2 × 2 bins, which share the middle row and column:

```text
 features      output      grad         gradient of the map
 8  2  3       8  3        10  20       10   0  20
 4  1  0       9  9        30  40        0   0   0
 5  9  7                                 0  70   0       70 = 30 + 40
```

The 9 is the maximum of two bins. What comes to it **adds up**, over the bins and over the boxes of an image. Of equal cells the first one
counts, row by row. From a bin without any cell inside the map nothing flows.

`grad` is `[R, C, PH, PW]`, as the output was; so it says how many bins there are. `features` is `[N, C, H, W]`; a row of `boxes`, `[R, 5]`,
is the index of the image, then x1, y1, x2, y2. The answer has the shape of the features.

The bins are those of `roi_pool`. You need not write them again: `from course.ops.roi import roi_bins`, then
`cells, rows, columns = roi_bins(boxes[:, 1:], features.shape[2:], grad.shape[2:], spatial_scale)` gives for box `r` and bin row `i` the
first row of cells and the one after the last as `rows[r, i]`, and `columns[r, j]` likewise. In an empty bin the two are equal.
""".strip()

DOCSTRING = """
The way back through roi_pool: each gradient goes to the cell where the maximum of its bin stood. [N, C, H, W]

Args:
    grad: [R, C, PH, PW], the gradient of the loss for what roi_pool gave.
    features: [N, C, H, W].
    boxes: [R, 5], in each row the index of the image, then x1, y1, x2, y2.
    spatial_scale: cells a pixel, 1 / stride, if the boxes are in pixels.
""".strip()


def _by_autograd(grad: Tensor, features: Tensor, boxes: Tensor, spatial_scale: float = 1.0) -> Tensor:
    with torch.enable_grad():
        features = features.detach().requires_grad_()
        output = torchvision.ops.roi_pool(features, boxes, tuple(grad.shape[2:]), spatial_scale)
        return torch.autograd.grad(output, features, grad)[0]


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, features: Tensor, boxes, bins: tuple[int, int] = (2, 2), scale: float | None = None) -> Case:
        boxes = torch.as_tensor(boxes, dtype=features.dtype).reshape(-1, 5)
        shape = len(boxes), features.shape[1], *bins
        grad = digits(draw, *shape).to(features) if len(boxes) else features.new_zeros(shape)
        inputs = {"grad": grad, "features": features, "boxes": boxes}
        return Case(name, inputs if scale is None else inputs | {"spatial_scale": scale})

    def waves(*shape: int) -> Tensor:
        """Many equal numbers, and many zeros, as behind a ReLU."""
        return torch.randint(-2, 3, shape, generator=draw).clamp(min=0).float()

    yield case("the whole map, in quarters", digits(draw, 1, 1, 4, 4), [0, 0, 0, 3, 3])
    shared = digits(draw, 1, 1, 3, 3)
    shared[0, 0, 1, whole(draw, 0, 3)] = 10.0
    yield case("a maximum that two bins share", shared, [0, 0, 0, 2, 2])
    yield case("a box in the middle", digits(draw, 1, 1, 5, 6), [0, 1, 2, 4, 3])
    largest = digits(draw, 1, 1, 4, 4)
    largest[0, 0, whole(draw, 1, 3), whole(draw, 1, 3)] = 10.0
    yield case("two boxes that overlap", largest, [[0, 0, 0, 2, 2], [0, 1, 1, 3, 3]], (1, 1))
    yield case("equal cells", waves(1, 2, 6, 6), [0, 0, 0, 5, 5])
    yield case("all negative", -normal(draw, 1, 2, 5, 6).abs() - 0.1, region(draw, (5, 6)), (3, 2))
    outside = [[0, 4, 3, 9, 8], [0, -3, 0, 0, 2], [0, 8, 8, 9, 9]]
    yield case("beyond the edge, and wholly outside", normal(draw, 1, 2, 6, 7), outside, (3, 3))
    yield case("one cell in every bin", normal(draw, 1, 1, 4, 5), region(draw, (4, 5), (1, 2), (1, 2)), (3, 3))
    rows = [region(draw, (9, 12), (3, 8), (3, 7)) for _ in range(4)]
    yield case("boxes in pixels, stride 16", normal(draw, 1, 3, 9, 12), in_pixels(draw, rows, 16), (3, 2), 1 / 16)
    rows = [region(draw, (7, 8), image=image) for image in (2, 0, 2)]
    yield case("three images", normal(draw, 3, 2, 7, 8), rows)
    yield case("no boxes", normal(draw, 2, 1, whole(draw, 2, 6), whole(draw, 2, 6)), torch.zeros(0, 5))
    rows = [region(draw, (10, 12), (2, 10), (2, 9), image=image) for image in (0, 1) * 3]
    yield case("six boxes, float64", waves(2, 3, 10, 12).double(), in_pixels(draw, rows, 8), (4, 4), 1 / 8)


# ---- wrong versions --------------------------------------------------------------------------------------------------


def _to_the_first(cells: Tensor, share: Tensor) -> Tensor:
    """Right: what a bin's cells [C, h, w] get of its gradient [C]."""
    largest = cells.flatten(1).argmax(1, keepdim=True)  # [C, 1]
    return torch.zeros_like(cells).flatten(1).scatter(1, largest, share[:, None]).view_as(cells)


def _written(
    shares: Callable[[Tensor, Tensor], Tensor] = _to_the_first,
    join: Callable[[Tensor, Tensor], Tensor] = torch.add,
    of_image: Callable[[int], int] = int,
    scaled: Callable[[float], float] = float,
    empty: bool = False,
) -> Callable:
    """Right, but for the part that is given."""

    def back(grad, features, boxes, spatial_scale=1.0):
        output = torch.zeros_like(features)
        for r, (image, *box) in enumerate(boxes.tolist()):
            n = of_image(image)
            rows, columns = cells_of(box, features.shape[2:], grad.shape[2:], scaled(spatial_scale))
            for i, (top, bottom) in enumerate(rows):
                for j, (left, right) in enumerate(columns):
                    cells = features[n, :, top:bottom, left:right]
                    if cells.numel() or empty:
                        there = output[n, :, top:bottom, left:right]
                        there.copy_(join(there, shares(cells, grad[r, :, i, j])))
        return output

    return back


def _evenly(cells: Tensor, share: Tensor) -> Tensor:
    return (share / cells[0].numel())[:, None, None].expand_as(cells)


def _to_all(cells: Tensor, share: Tensor) -> Tensor:
    return share[:, None, None].expand_as(cells)


def _to_all_equal(cells: Tensor, share: Tensor) -> Tensor:
    return (cells == cells.amax((1, 2), keepdim=True)) * share[:, None, None]


def _among_equal(cells: Tensor, share: Tensor) -> Tensor:
    equal = cells == cells.amax((1, 2), keepdim=True)
    return equal * (share / equal.sum((1, 2)))[:, None, None]


def _to_the_last(cells: Tensor, share: Tensor) -> Tensor:
    return _to_the_first(cells.flip(1, 2), share).flip(1, 2)


def _down_the_columns(cells: Tensor, share: Tensor) -> Tensor:
    return _to_the_first(cells.transpose(1, 2).contiguous(), share).transpose(1, 2)


def _times_the_feature(cells: Tensor, share: Tensor) -> Tensor:
    return _to_the_first(cells, share * cells.amax((1, 2)))


def _ones(cells: Tensor, share: Tensor) -> Tensor:
    return _to_the_first(cells, torch.ones_like(share))


def _where_channel_0_has_it(cells: Tensor, share: Tensor) -> Tensor:
    return _to_the_first(cells[:1].expand_as(cells), share)


def _written_over(there: Tensor, new: Tensor) -> Tensor:
    return torch.where(new != 0, new, there)


def _one_cell_a_bin(grad, features, boxes, spatial_scale=1.0):
    """In the bin's own rows and columns: where it begins is forgotten."""
    output = torch.zeros_like(features)
    for r, (image, *box) in enumerate(boxes.tolist()):
        rows, columns = cells_of(box, features.shape[2:], grad.shape[2:], spatial_scale)
        for i, (top, bottom) in enumerate(rows):
            for j, (left, right) in enumerate(columns):
                cells = features[int(image), :, top:bottom, left:right]
                if cells.numel():
                    output[int(image), :, : bottom - top, : right - left] += _to_the_first(cells, grad[r, :, i, j])
    return output


def _over_the_boxes(grad, features, boxes, spatial_scale=1.0):
    return roi_pool_backward(grad, features, boxes, spatial_scale) / max(len(boxes), 1)


def _pooled_once_more(grad, features, boxes, spatial_scale=1.0):
    """The pooled values, not their gradient, put where they came from."""
    return roi_pool_backward(roi_pool(features, boxes, tuple(grad.shape[2:]), spatial_scale), features, boxes, spatial_scale)


ROI_POOL_BACKWARD = Exercise(
    prompt=PROMPT,
    solution=roi_pool_backward,
    docstring=DOCSTRING,
    reference=_by_autograd,
    reference_name="autograd through torchvision.ops.roi_pool",
    cases=_cases,
    common_mistakes=(
        Mistake(
            "written over",
            _written(join=_written_over),
            "This is what happens when a cell keeps only the last gradient that comes to it. They add up, over bins and boxes: +=, not =.",
        ),
        Mistake(
            "spread evenly",
            _written(_evenly),
            "This is what happens when all cells of a bin get an equal share, as behind an average. Behind a maximum one cell gets all.",
        ),
        Mistake(
            "to every cell",
            _written(_to_all),
            "This is what happens when every cell of a bin gets its gradient. Only the largest got through, so only it gets the gradient.",
        ),
        Mistake(
            "to all equals",
            _written(_to_all_equal),
            "This is what happens when every cell that equals the maximum gets the gradient. Of equal cells the first alone does.",
        ),
        Mistake(
            "shared among equals",
            _written(_among_equal),
            "This is what happens when cells that equal the maximum share the gradient. Of equal cells the first gets all.",
        ),
        Mistake(
            "to the last of equals",
            _written(_to_the_last),
            "This is what happens when of equal cells the last one gets the gradient. The first does, row by row.",
        ),
        Mistake(
            "down the columns",
            _written(_down_the_columns),
            "This is what happens when the first of equal cells is looked for down the columns. It is the first row by row.",
        ),
        Mistake(
            "values put back",
            _pooled_once_more,
            "This is what happens when the maxima themselves go back to their cells, as in max unpooling. It is grad that goes there.",
        ),
        Mistake(
            "times the maximum",
            _written(_times_the_feature),
            "This is what happens when the gradient is multiplied by the maximum. The output changes as much as the cell does: times 1.",
        ),
        Mistake(
            "ones",
            _written(_ones),
            "This is what happens when each bin sends back a 1. It sends back its gradient, which is in grad.",
        ),
        Mistake(
            "one place for all channels",
            _written(_where_channel_0_has_it),
            "This is what happens when all channels send the gradient to where channel 0 has its maximum. Each channel has one of its own.",
        ),
        Mistake(
            "counted inside the bin",
            _one_cell_a_bin,
            "This is what happens when the place inside the bin is taken for the place on the map. Add where the bin begins.",
        ),
        Mistake(
            "first image only",
            _written(of_image=lambda image: 0),
            "This is what happens when every gradient goes to the first image. The first number of a box says which it is.",
        ),
        Mistake(
            "scale forgotten",
            _written(scaled=lambda scale: 1.0),
            "This is what happens when the boxes are taken to be in cells. They are in pixels: hand spatial_scale on to roi_bins.",
        ),
        Mistake(
            "divided by the boxes",
            _over_the_boxes,
            "This is what happens when the gradient is divided by the number of boxes. Whoever wants a mean has divided the loss already.",
        ),
        Mistake(
            "nothing to take the maximum of",
            _written(empty=True),
            "This is what happens when the maximum of a bin without cells is looked for. It gave 0, and nothing flows back from it.",
            error="Expected reduction dim|non-zero size|empty",
        ),
    ),
)
