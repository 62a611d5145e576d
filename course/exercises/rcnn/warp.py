"""Exercise: a box of any shape as a square patch, with some of what is around it."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import map_coordinates
from torch import Tensor

from course.exercises.drawing import digits, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.exercises.rcnn.boxes import random_boxes
from course.models.warping import MEAN_COLOUR, warp

PROMPT = r"""
A network takes squares of one size, and proposals come in every shape. R-CNN stretches each of them, whatever its aspect ratio, and lets
**`padding` pixels of the patch on every side** show what is around the box. With `size=6` and `padding=1` the box fills the middle 4 × 4
pixels, and a ring of one pixel shows its surroundings:

```text
· · · · · ·
· ■ ■ ■ ■ ·       pixel i of a row shows the picture at
· ■ ■ ■ ■ ·       x = x1 + (i + 0.5 − padding) / (size − 2 · padding) · (x2 − x1)
· ■ ■ ■ ■ ·
· ■ ■ ■ ■ ·       and rows likewise with y
· · · · · ·
```

That point seldom is the middle of a pixel: take the **bilinear** mix of the four around it. Pixel centres are at + 0.5, so the middle of
the picture's first pixel is the point (0.5, 0.5). A point *in* the picture, but nearer to its edge than any middle, takes the edge pixels
as they are. A point *outside*, where x < 0 or x > W, or y likewise, has the colour `fill`.

`image` is `[3, H, W]`, `boxes` `[N, 4]`; the answer is `[N, 3, size, size]`. Boxes may reach beyond the picture, and N may be 0.
`torch.nn.functional.grid_sample` does the mixing, if you tell it where; mind what it calls −1 and 1.
""".strip()


def _points(boxes: np.ndarray, size: int, padding: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the columns and rows of each patch look: x and y, [N, S] each."""
    share = (np.arange(size) + 0.5 - padding) / (size - 2 * padding)
    return tuple(boxes[:, [axis]] + share * (boxes[:, [axis + 2]] - boxes[:, [axis]]) for axis in (0, 1))


def _by_scipy(image: Tensor, boxes: Tensor, *, size: int, padding: int = 16, fill: Sequence[float] = MEAN_COLOUR) -> np.ndarray:
    pixels, (_, height, width) = image.numpy(), image.shape
    patches = np.zeros((len(boxes), 3, size, size), pixels.dtype)
    for patch, x, y in zip(patches, *_points(boxes.double().numpy(), size, padding), strict=True):
        rows, columns = np.meshgrid(y, x, indexing="ij")
        outside = (columns < 0) | (columns > width) | (rows < 0) | (rows > height)
        for channel, colour in enumerate(fill):
            found = map_coordinates(pixels[channel], [rows - 0.5, columns - 0.5], order=1, mode="nearest")
            patch[channel] = np.where(outside, colour, found)
    return patches


def _colour(draw: torch.Generator) -> tuple[float, ...]:
    return tuple(whole(draw, 1, 100) / 100 for _ in range(3))


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def case(name: str, image: Tensor, count: int, size: int, padding: int, fill: bool = True, **ranges: tuple[float, float]) -> Case:
        """Boxes at random, but no point within a hundredth of a pixel of the picture's edge: rounding would say which side it is on."""
        while True:
            boxes = random_boxes(draw, count, **ranges)
            x, y = _points(boxes.numpy(), size, padding)
            if min(np.abs(at - edge).min() for at, side in ((x, image.shape[2]), (y, image.shape[1])) for edge in (0, side)) > 0.01:
                break
        return Case(name, {"image": image, "boxes": boxes, "size": size, "padding": padding, **({"fill": _colour(draw)} if fill else {})})

    x, y = whole(draw, 0, 3), whole(draw, 0, 2)
    exact = torch.tensor([[x, y, x + 4, y + 4]]).float()
    yield Case("a box cut out as it is", {"image": digits(draw, 3, 5, 6), "boxes": exact, "size": 4, "padding": 0})
    yield Case("half as large", {"image": digits(draw, 3, 5, 6), "boxes": exact, "size": 2, "padding": 0})
    one = torch.tensor([[2.0, 1, 4, 3]]) + torch.tensor([whole(draw, 0, 3), whole(draw, 0, 2)] * 2)
    yield Case("a ring of context", {"image": digits(draw, 3, 5, 7), "boxes": one, "size": 4, "padding": 1})
    wide = one + torch.tensor([-1.0, 0, 1, 0])
    yield Case("stretched: wider than high", {"image": digits(draw, 3, 6, 9), "boxes": wide, "size": 6, "padding": 1})
    photo = torch.rand(3, 20, 28, generator=draw)
    inside = {"left": (6, 8), "top": (6, 8), "width": (8, 12), "height": (4, 6)}
    yield case("four boxes anywhere", photo, 4, 7, 1, fill=False, **inside)
    yield case("the context reaches beyond the picture", photo, 2, 8, 2, left=(0.2, 1), top=(0.2, 1), width=(14, 18), height=(8, 12))
    yield case("the box itself reaches beyond", photo, 2, 9, 2, left=(20, 24), top=(-4, -2), width=(9, 15), height=(12, 16))
    yield case("wholly outside", photo, 1, 5, 0, left=(40, 50), top=(30, 35), width=(5, 9), height=(5, 9))
    yield case("fill not given", photo, 1, 7, 2, fill=False, left=(-5, -4), top=(2, 4), width=(8, 9), height=(5, 8))
    yield case("a thin box", photo, 2, 6, 1, left=(4, 20), top=(2, 4), width=(0.2, 0.5), height=(10, 14))
    default = case("padding not given", photo, 1, 34, 16, left=(12, 15), top=(8, 10), width=(0.5, 1), height=(0.4, 0.8))
    yield Case(default.name, {name: value for name, value in default.inputs.items() if name != "padding"})
    whole_picture = torch.tensor([[0.0, 0, 28, 20]])
    yield Case("the whole picture, enlarged", {"image": photo, "boxes": whole_picture, "size": whole(draw, 31, 36), "padding": 0})
    yield Case("no boxes", {"image": photo, "boxes": torch.zeros(0, 4), "size": whole(draw, 3, 9), "padding": 1})
    precise = case("float64", photo.double(), 2, 5, 1, **inside)
    yield Case(precise.name, {**precise.inputs, "boxes": precise.inputs["boxes"].double()})


def _sampled(image: Tensor, boxes: Tensor, points: tuple[Tensor, Tensor], fill: Sequence[float] | None, **how: str) -> Tensor:
    """The picture at the points x and y, [N, S] each; outside it `fill`, or with None what grid_sample puts there."""
    (_, height, width), (x, y) = image.shape, points
    size = x.shape[1]
    x, y = 2 * x / width - 1, 2 * y / height - 1
    grid = torch.stack((x[:, None].expand(-1, size, -1), y[..., None].expand(-1, -1, size)), -1)  # [N, S, S, 2]
    pictures = image[None].expand(len(boxes), -1, -1, -1)
    found = F.grid_sample(pictures, grid.to(image), align_corners=False, **{"padding_mode": "border"} | how)
    if fill is None:
        return found
    return torch.where((grid.abs() <= 1).all(-1)[:, None], found, image.new_tensor(fill)[:, None, None])


def _looks(boxes: Tensor, size: int, padding: int) -> tuple[Tensor, Tensor]:
    share = (torch.arange(size, dtype=boxes.dtype, device=boxes.device) + 0.5 - padding) / (size - 2 * padding)
    x1, y1, x2, y2 = boxes.T[..., None]
    return x1 + share * (x2 - x1), y1 + share * (y2 - y1)


def _written(
    points: Callable = _looks,
    boxes_first: Callable = lambda boxes, image, size, padding: boxes,
    filled: bool = True,
    **how: str,
) -> Callable:
    """Right, but for the part that is given: where a patch looks, what becomes of the boxes first, what lies outside, how it is mixed."""

    def warp(image, boxes, *, size, padding=16, fill=MEAN_COLOUR):
        boxes = boxes_first(boxes, image, size, padding)
        return _sampled(image, boxes, points(boxes, size, padding), fill if filled else None, **how)

    return warp


def _without_context(boxes, size, padding):
    return _looks(boxes, size, 0)


def _pixels_of_the_picture(boxes, size, padding):
    return _looks(boxes + boxes.new_tensor([-padding, -padding, padding, padding]), size, 0)


def _from_edge_to_edge(boxes, size, padding):
    share = (torch.arange(size, dtype=boxes.dtype) - padding) / max(size - 2 * padding - 1, 1)
    x1, y1, x2, y2 = boxes.T[..., None]
    return x1 + share * (x2 - x1), y1 + share * (y2 - y1)


def _upper_left_of_each_pixel(boxes, size, padding):
    x, y = _looks(boxes, size, padding)
    _, _, step_x, step_y = ((boxes[:, [2, 3, 2, 3]] - boxes[:, [0, 1, 0, 1]]) / (size - 2 * padding)).T[..., None]
    return x - step_x / 2, y - step_y / 2


def _centres_at_whole_numbers(boxes, size, padding):
    x, y = _looks(boxes, size, padding)
    return x + 0.5, y + 0.5


def _rows_and_columns_swapped(image, boxes, *, size, padding=16, fill=MEAN_COLOUR):
    return warp(image, boxes, size=size, padding=padding, fill=fill).transpose(2, 3)


def _colours_last(image, boxes, *, size, padding=16, fill=MEAN_COLOUR):
    return warp(image, boxes, size=size, padding=padding, fill=fill).permute(0, 2, 3, 1)


def _as_squares(boxes, image, size, padding):
    """The smallest square around each box."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat((middle - half, middle + half), 1)


def _cut_at_the_picture(boxes, image, size, padding):
    height, width = image.shape[1:]
    low, high = boxes.new_zeros(4), boxes.new_tensor([width, height, width, height])
    return torch.minimum(torch.maximum(boxes, low), high)


def _to_whole_pixels(boxes, image, size, padding):
    return torch.cat((boxes[:, :2].floor(), boxes[:, 2:].ceil()), 1)


def _cut_out_first(image, boxes, *, size, padding=16, fill=MEAN_COLOUR):
    """Cut whole pixels out, then stretch them: at its border the patch knows no neighbours."""
    if padding or len(boxes) != 1 or not torch.equal(boxes, boxes.round()) or boxes[0, 0] >= image.shape[2]:
        return warp(image, boxes, size=size, padding=padding, fill=fill)
    x1, y1, x2, y2 = boxes[0].int().tolist()
    return F.interpolate(image[None, :, y1:y2, x1:x2], size=(size, size), mode="bilinear", antialias=True)


WARP = Exercise(
    prompt=PROMPT,
    solution=warp,
    reference=_by_scipy,
    reference_name="scipy.ndimage.map_coordinates, at the points of the formula",
    cases=_cases,
    tolerance=1e-4,  # float32 knows a point of a picture 28 wide to 2e-6 pixels, and from a pixel to the next a digit changes by up to 18
    common_mistakes=(
        Mistake(
            "context forgotten",
            _written(_without_context),
            "This is what happens when the box fills the whole patch. It fills the middle, size − 2 · padding pixels a side.",
        ),
        Mistake(
            "padding in the picture's pixels",
            _written(_pixels_of_the_picture),
            "This is what happens when the box is enlarged by padding pixels of the picture. The padding counts in pixels of the patch: of "
            "a small box it shows less of the picture, of a large one more.",
        ),
        Mistake(
            "square around the box",
            _written(boxes_first=_as_squares),
            "This is what happens when the box becomes the smallest square around it, so that nothing is distorted. Here each side is "
            "stretched on its own.",
        ),
        Mistake(
            "from edge to edge",
            _written(_from_edge_to_edge),
            "This is what happens when the first pixel looks at the box's edge and the last at the other, as torch.linspace(x1, x2, …) "
            "gives it. A pixel looks at the middle of its part: i + 0.5.",
        ),
        Mistake(
            "half a pixel of the patch",
            _written(_upper_left_of_each_pixel),
            "This is what happens when a pixel looks at the upper left corner of its part of the box: the 0.5 in i + 0.5 is missing.",
        ),
        Mistake(
            "half a pixel of the picture",
            _written(_centres_at_whole_numbers),
            "This is what happens when the middle of the first pixel is taken to be the point 0. It is 0.5: the picture reaches from 0 to "
            "W, and grid_sample with align_corners=False calls these −1 and 1.",
        ),
        Mistake(
            "rows and columns swapped",
            _rows_and_columns_swapped,
            "This is what happens when rows and columns are swapped. y moves along the rows, the first of the two; in grid_sample's points "
            "x comes first.",
        ),
        Mistake(
            "colours last",
            _colours_last,
            "This is what happens when the three colours are the last dimension. A patch is [3, size, size], as a network takes it.",
        ),
        Mistake(
            "nearest pixel",
            _written(mode="nearest"),
            "This is what happens when a point takes the nearest pixel. It takes the bilinear mix of the four around it.",
        ),
        Mistake(
            "whole pixels",
            _written(boxes_first=_to_whole_pixels),
            "This is what happens when the box is rounded to whole pixels first. Its sides are what they are; the points lie between "
            "pixels.",
        ),
        Mistake(
            "cut at the picture",
            _written(boxes_first=_cut_at_the_picture),
            "This is what happens when the box is cut at the picture's edge before it is stretched. Then what is left is stretched more. "
            "Let it reach out, and fill what lies outside.",
        ),
        Mistake(
            "edge repeated",
            _written(filled=False),
            "This is what happens when a point outside the picture takes the nearest pixel of its edge. It has the colour fill.",
        ),
        Mistake(
            "black outside",
            _written(filled=False, padding_mode="zeros"),
            "This is what happens when what lies outside is black, or mixed with black, as grid_sample does it by itself. Outside is the "
            "colour fill; just inside the edge are the edge pixels as they are.",
        ),
        Mistake(
            "reflected",
            _written(filled=False, padding_mode="reflection"),
            "This is what happens when the picture is mirrored at its edge. What lies outside has the colour fill.",
        ),
        Mistake(
            "cut out, then stretched",
            _cut_out_first,
            "This is what happens when the box is cut out first and then stretched: at its edge a patch no longer knows the pixels beyond, "
            "and smoothing mixes more than four. Look the points up in the whole picture.",
        ),
    ),
)
