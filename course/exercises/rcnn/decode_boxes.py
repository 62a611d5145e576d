"""Exercise: move a proposal as four numbers say."""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder

from course.exercises.drawing import normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.exercises.rcnn.boxes import random_boxes
from course.ops.boxes import decode_boxes

PROMPT = r"""
The way back: a regressor said four numbers for a proposal, and you move it. First each number is **divided** by its weight. Then the centre
goes by so many widths and heights of the proposal, and the sides grow:

```text
proposal  (10, 10, 30, 50)    20 wide, 40 high, centre (20, 30)
deltas    (0.75, 0, 0.693, 0)

centre    x = 20 + 20 × 0.75 = 35       y = 30 + 40 × 0 = 30
sides     w = 20 × e^0.693   = 40       h = 40 × e^0    = 40
box       (35 − 20, 30 − 20, 35 + 20, 30 + 20) = (15, 10, 55, 50)
```

$$G_x = P_x + P_w\, d_x \qquad G_y = P_y + P_h\, d_y \qquad G_w = P_w\, e^{d_w} \qquad G_h = P_h\, e^{d_h}$$

Early in training a regressor says anything, and $e^{100}$ is no number. So $d_w$ and $d_h$ are cut at $\log(1000 / 16)$ **from above**,
after the weights: a box grows at most 62.5-fold.

R-CNN's regressor says four numbers for each of K classes. `deltas` is `[N, 4K]`: dx, dy, dw, dh of the first class, then those of the next.
The answer has the same shape: N rows of K boxes. `proposals` is `[N, 4]`; N may be 0. Boxes are not cut at the picture's edge here.
""".strip()


def _by_torchvision(deltas: Tensor, proposals: Tensor, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return BoxCoder(weights=weights).decode_single(deltas, proposals)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def deltas(rows: int, classes: int = 1) -> Tensor:
        return 0.4 * normal(draw, rows, 4 * classes)

    shift = torch.tensor([[whole(draw, 1, 8) / 4, -whole(draw, 1, 8) / 4, math.log(2), 0]])
    side = whole(draw, 3, 9)
    proposal = torch.tensor([[8.0, 4, 8 + 4 * side, 4 + 8 * side]])
    yield Case("one box: twice as wide, as high as before", {"deltas": shift, "proposals": proposal})
    yield Case("three boxes", {"deltas": deltas(3), "proposals": random_boxes(draw, 3)})
    yield Case("a thin box", {"deltas": deltas(2), "proposals": random_boxes(draw, 2, width=(0.5, 2))})
    far = torch.cat((-1 - torch.rand(3, 2, generator=draw), deltas(3)[:, 2:]), 1)
    yield Case("beyond the picture", {"deltas": far, "proposals": random_boxes(draw, 3)})
    yield Case("weights of Fast R-CNN", {"deltas": 4 * deltas(4), "proposals": random_boxes(draw, 4), "weights": (10.0, 10.0, 5.0, 5.0)})
    weights = tuple(float(whole(draw, 2, 9)) for _ in range(4))
    yield Case("four different weights", {"deltas": 4 * deltas(2), "proposals": random_boxes(draw, 2), "weights": weights})
    yield Case("three classes", {"deltas": deltas(2, 3), "proposals": random_boxes(draw, 2)})
    large = torch.tensor([0.0, 0, 1, 0]) * (5 + torch.rand(3, 1, generator=draw)) + deltas(3)
    yield Case("too large a growth", {"deltas": torch.cat((large, large[:, [0, 1, 3, 2]])), "proposals": random_boxes(draw, 6)})
    shrinking = deltas(2) - torch.tensor([0.0, 0, 6, 0])
    yield Case("shrinks to almost nothing", {"deltas": shrinking, "proposals": random_boxes(draw, 2)})
    weighted = {"deltas": 4 * deltas(2, 2) + torch.tensor([0.0, 0, 30, 15] * 2), "proposals": random_boxes(draw, 2)}
    yield Case("too large before the weights", weighted | {"weights": (10.0, 10.0, 10.0, 5.0)})
    yield Case("float64", {"deltas": deltas(5).double(), "proposals": random_boxes(draw, 5).double()})
    yield Case("no boxes", {"deltas": torch.zeros(0, 8), "proposals": torch.zeros(0, 4)})


LARGEST = math.log(1000 / 16)


def _moved(px, py, pw, ph, dx, dy, dw, dh) -> tuple[Tensor, ...]:
    """Right: centre and sides of the box that comes out."""
    return px + pw * dx, py + ph * dy, pw * dw.clamp(max=LARGEST).exp(), ph * dh.clamp(max=LARGEST).exp()


def _corners(x, y, w, h) -> tuple[Tensor, ...]:
    """Right: the corners of centre and sides."""
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def _classes_right(deltas: Tensor) -> Tensor:
    return deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)


def _written(
    move: Callable = _moved,
    corners: Callable = _corners,
    weigh: Callable[[Tensor, Tensor], Tensor] = torch.div,
    split: Callable[[Tensor], Tensor] = _classes_right,
    join: Callable[[Tensor], Tensor] = lambda boxes: boxes.flatten(1),
) -> Callable:
    """Right, but for the part that is given."""

    def decode(deltas, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
        dx, dy, dw, dh = weigh(split(deltas), deltas.new_tensor(weights)).unbind(-1)  # each [N, K]
        x1, y1, x2, y2 = proposals[:, None].unbind(-1)  # each [N, 1]
        return join(torch.stack(corners(*move((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, dx, dy, dw, dh)), -1))

    return decode


def _in_pixels(px, py, pw, ph, dx, dy, dw, dh):
    return px + dx, py + dy, *_moved(px, py, pw, ph, dx, dy, dw, dh)[2:]


def _sides_swapped(px, py, pw, ph, dx, dy, dw, dh):
    return px + ph * dx, py + pw * dy, *_moved(px, py, pw, ph, dx, dy, dw, dh)[2:]


def _rows_first(px, py, pw, ph, dx, dy, dw, dh):
    return _moved(px, py, pw, ph, dy, dx, dh, dw)


def _not_cut(px, py, pw, ph, dx, dy, dw, dh):
    return px + pw * dx, py + ph * dy, pw * dw.exp(), ph * dh.exp()


def _cut_on_both_sides(px, py, pw, ph, dx, dy, dw, dh):
    return _moved(px, py, pw, ph, dx, dy, dw.clamp(min=-LARGEST), dh.clamp(min=-LARGEST))


def _without_exp(px, py, pw, ph, dx, dy, dw, dh):
    return px + pw * dx, py + ph * dy, pw * (1 + dw), ph * (1 + dh)


def _sides_times_delta(px, py, pw, ph, dx, dy, dw, dh):
    return px + pw * dx, py + ph * dy, pw * dw, ph * dh


def _by_the_new_sides(px, py, pw, ph, dx, dy, dw, dh):
    _, _, w, h = _moved(px, py, pw, ph, dx, dy, dw, dh)
    return px + w * dx, py + h * dy, w, h


def _from_the_corner(px, py, pw, ph, dx, dy, dw, dh):
    """The upper left corner shifts, and the sides grow from there."""
    x, y, w, h = _moved(px, py, pw, ph, dx, dy, dw, dh)
    return x - pw / 2 + w / 2, y - ph / 2 + h / 2, w, h


def _cut_before_the_weights(deltas, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
    four = _classes_right(deltas)
    cut = torch.cat((four[..., :2], four[..., 2:].clamp(max=LARGEST)), -1)
    return decode_boxes(cut.flatten(1), proposals, weights)


def _inside_the_picture(deltas, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
    return decode_boxes(deltas, proposals, weights).clamp(min=0)


DECODE_BOXES = Exercise(
    prompt=PROMPT,
    solution=decode_boxes,
    reference=_by_torchvision,
    reference_name="torchvision's BoxCoder",
    cases=_cases,
    tolerance=1e-4,  # corners of a box 62.5-fold as large: the centre is a small difference of large numbers
    common_mistakes=(
        Mistake(
            "in pixels",
            _written(move=_in_pixels),
            "This is what happens when the shift is taken as pixels. It counts in the proposal's widths and heights: Px + Pw · dx.",
        ),
        Mistake(
            "from the corner",
            _written(move=_from_the_corner),
            "This is what happens when the upper left corner is shifted and the sides grow from there. The centre is shifted, and the box "
            "grows to both sides of it.",
        ),
        Mistake(
            "by the new sides",
            _written(move=_by_the_new_sides),
            "This is what happens when the shift counts in the sides that have grown already. It counts in the proposal's.",
        ),
        Mistake(
            "sides swapped",
            _written(move=_sides_swapped),
            "This is what happens when the shift to the right counts in heights. x goes with the width, y with the height.",
        ),
        Mistake(
            "y before x",
            _written(move=_rows_first),
            "This is what happens when the deltas are read as dy, dx, dh, dw. x comes first, as in a box.",
        ),
        Mistake(
            "without exp",
            _written(move=_without_exp),
            "This is what happens when a side grows by dw times itself. dw is a logarithm: the side is multiplied by e to the power of dw.",
        ),
        Mistake(
            "sides times delta",
            _written(move=_sides_times_delta),
            "This is what happens when a side is multiplied by dw itself. dw is a logarithm: multiply by e to the power of it.",
        ),
        Mistake(
            "whole sides to each side",
            _written(corners=lambda x, y, w, h: (x - w, y - h, x + w, y + h)),
            "This is what happens when a whole side is put on each side of the centre. Half of it goes to each.",
        ),
        Mistake(
            "centre as corner",
            _written(corners=lambda x, y, w, h: (x, y, x + w, y + h)),
            "This is what happens when the centre is taken for the upper left corner. Half a side lies on each side of it.",
        ),
        Mistake(
            "centre and sides",
            _written(corners=lambda x, y, w, h: (x, y, w, h)),
            "This is what happens when centre and sides are returned. A box is x1, y1, x2, y2.",
        ),
        Mistake(
            "cut at the picture",
            _inside_the_picture,
            "This is what happens when what lies left of the picture or above it is cut off. Cutting is the next step's business, not this "
            "one's.",
        ),
        Mistake(
            "weights ignored",
            _written(weigh=lambda deltas, weights: deltas),
            "This is what happens when the weights are not used. Each of the four is divided by its own.",
        ),
        Mistake(
            "multiplied by the weights",
            _written(weigh=torch.mul),
            "This is what happens when the deltas are multiplied by the weights. Encoding multiplied, so decoding divides.",
        ),
        Mistake(
            "one weight for all",
            _written(weigh=lambda deltas, weights: deltas / weights[0]),
            "This is what happens when all four are divided by the first weight. There is one for each of dx, dy, dw and dh.",
        ),
        Mistake(
            "one class only",
            _written(split=lambda deltas: deltas.reshape(len(deltas), deltas.shape[1] // 4, 4)[:, :1]),
            "This is what happens when only the first four columns are read. There are four for each class, [N, 4K], and as many in the "
            "answer.",
        ),
        Mistake(
            "classes mixed up",
            _written(
                split=lambda deltas: deltas.reshape(len(deltas), 4, deltas.shape[1] // 4).transpose(1, 2),
                join=lambda boxes: boxes.transpose(1, 2).flatten(1),
            ),
            "This is what happens when the columns are read as the dx of all classes, then the dy of all. The four of a class stand "
            "together.",
        ),
        Mistake(
            "a row a class",
            _written(join=lambda boxes: boxes.flatten(0, 1)),
            "This is what happens when every class's box gets a row of its own. A row belongs to a proposal: K boxes side by side, "
            "[N, 4K].",
        ),
        Mistake(
            "growth not cut",
            _written(move=_not_cut),
            "This is what happens when dw and dh are used however large they are. They are cut at log(1000 / 16), or exp overflows one "
            "day.",
        ),
        Mistake(
            "cut on both sides",
            _written(move=_cut_on_both_sides),
            "This is what happens when dw and dh are cut from below, too. Shrinking overflows nothing: only the upper end is cut.",
        ),
        Mistake(
            "cut before the weights",
            _cut_before_the_weights,
            "This is what happens when dw and dh are cut before they are divided by their weights. Divide first.",
        ),
    ),
)
