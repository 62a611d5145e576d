"""Exercise: from a true box and a proposal to the four numbers that a regressor has to say."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder

from course.exercises.drawing import whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.exercises.rcnn.boxes import pairs, random_boxes
from course.ops.boxes import encode_boxes

PROMPT = r"""
A proposal is nearly right. Say how it has to move to lie on the true box, in four numbers that mean the same for a small box and for a
large one: the shift of the **centre**, counted in the proposal's own sides, and the **logarithm** of how much each side has to grow.

```text
proposal  (10, 10, 30, 50)    20 wide, 40 high, centre (20, 30)
true box  (15, 10, 55, 50)    40 wide, 40 high, centre (35, 30)

tx = (35 − 20) / 20 = 0.75       ty = (30 − 30) / 40 = 0
tw = log(40 / 20)   = 0.693      th = log(40 / 40)   = 0
```

$$t_x = \frac{G_x - P_x}{P_w} \qquad t_y = \frac{G_y - P_y}{P_h} \qquad t_w = \log\frac{G_w}{P_w} \qquad t_h = \log\frac{G_h}{P_h}$$

$P$ is the proposal and $G$ the true box; $x$ and $y$ are their centres, $w$ and $h$ their sides. A box is `(x1, y1, x2, y2)`, and its width
is `x2 − x1`, without a 1 added. Last, each of the four is **multiplied** by its weight.

`gt` and `proposals` are `[N, 4]`, row by row a pair; N may be 0. The answer is `[N, 4]`, in the order tx, ty, tw, th. Boxes may reach
beyond the picture: nothing is cut here.
""".strip()


def _by_torchvision(gt: Tensor, proposals: Tensor, weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    return BoxCoder(weights=weights).encode_single(gt, proposals)


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)
    truth, proposal = pairs(draw, 1)
    yield Case("one pair, whole numbers", {"gt": truth, "proposals": proposal})
    truth, proposals = pairs(draw, 3)
    yield Case("three pairs", {"gt": truth, "proposals": proposals})
    flat = random_boxes(draw, 2, width=(80, 160), height=(1, 3))
    yield Case("wide and flat", {"gt": flat + torch.tensor([2.0, 0.5, 9, 1]), "proposals": flat})
    outside = random_boxes(draw, 3, left=(-40, -10))
    yield Case("beyond the picture", {"gt": random_boxes(draw, 3, left=(-40, -10)), "proposals": outside})
    truth, proposals = random_boxes(draw, 4), random_boxes(draw, 4)
    yield Case("weights of Fast R-CNN", {"gt": truth, "proposals": proposals, "weights": (10.0, 10.0, 5.0, 5.0)})
    weights = tuple(float(whole(draw, 2, 20)) for _ in range(4))
    yield Case("four different weights", {"gt": random_boxes(draw, 2), "proposals": random_boxes(draw, 2), "weights": weights})
    boxes = random_boxes(draw, 3)
    yield Case("the second proposal is right already", {"gt": boxes, "proposals": torch.cat((boxes[:1] + 7.5, boxes[1:2], boxes[2:] - 3))})
    small = random_boxes(draw, 2, width=(0.2, 0.6), height=(0.2, 0.6))
    yield Case("smaller than a pixel", {"gt": small + 0.1, "proposals": small})
    yield Case("float64", {"gt": random_boxes(draw, 5).double(), "proposals": random_boxes(draw, 5).double()})
    yield Case("no pairs", {"gt": torch.zeros(0, 4), "proposals": torch.zeros(0, 4)})


def _sides(boxes: Tensor, more: float = 0.0) -> tuple[Tensor, ...]:
    """Centre and sides, each [N]."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1 + more, y2 - y1 + more


def _written(formula: Callable[..., tuple[Tensor, ...]]) -> Callable:
    """encode_boxes by another formula, from centre and sides of both boxes to the four targets."""

    def encode(gt, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
        targets = torch.stack(formula(*_sides(gt), *_sides(proposals)), -1)
        return targets * targets.new_tensor(weights)

    return encode


def _weighted_otherwise(weigh: Callable[[Tensor, Tensor], Tensor]) -> Callable:
    def encode(gt, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
        return weigh(encode_boxes(gt, proposals), gt.new_tensor(weights))

    return encode


def _one_added(gt, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
    (gx, gy, gw, gh), (px, py, pw, ph) = _sides(gt, 1.0), _sides(proposals, 1.0)
    targets = torch.stack(((gx - px) / pw, (gy - py) / ph, (gw / pw).log(), (gh / ph).log()), -1)
    return targets * targets.new_tensor(weights)


def _of_corners(gt, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
    _, _, pw, ph = _sides(proposals)
    targets = encode_boxes(gt, proposals)
    corner = (gt[:, :2] - proposals[:, :2]) / torch.stack((pw, ph), -1)
    return torch.cat((corner, targets[:, 2:]), 1) * targets.new_tensor(weights)


def _the_other_way_round(gt, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
    return encode_boxes(proposals, gt, weights)


def _a_column_a_pair(gt, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
    return encode_boxes(gt, proposals, weights).T


ENCODE_BOXES = Exercise(
    prompt=PROMPT,
    solution=encode_boxes,
    reference=_by_torchvision,
    reference_name="torchvision's BoxCoder",
    cases=_cases,
    watch="segwidgets.box_codec((10, 10, 30, 50), (15, 10, 55, 50), fn=encode_boxes)",
    tolerance=1e-4,  # the shift of boxes smaller than a pixel, far from the corner: float32 keeps four digits of it
    common_mistakes=(
        Mistake(
            "the other way round",
            _the_other_way_round,
            "This is what happens when the true box is moved onto the proposal. P, whose sides measure the shift, is the proposal.",
        ),
        Mistake(
            "corners instead of centres",
            _of_corners,
            "This is what happens when the shift is that of the upper left corners. It is that of the centres, (x1 + x2) / 2 and "
            "(y1 + y2) / 2.",
        ),
        Mistake(
            "in pixels",
            _written(lambda gx, gy, gw, gh, px, py, pw, ph: (gx - px, gy - py, (gw / pw).log(), (gh / ph).log())),
            "This is what happens when the shift stays in pixels. Divide it by the proposal's side: then a box twice as large gets the "
            "same numbers.",
        ),
        Mistake(
            "in sides of the true box",
            _written(lambda gx, gy, gw, gh, px, py, pw, ph: ((gx - px) / gw, (gy - py) / gh, (gw / pw).log(), (gh / ph).log())),
            "This is what happens when the shift is divided by the true box's sides. Whoever decodes has only the proposal's.",
        ),
        Mistake(
            "sides swapped",
            _written(lambda gx, gy, gw, gh, px, py, pw, ph: ((gx - px) / ph, (gy - py) / pw, (gw / pw).log(), (gh / ph).log())),
            "This is what happens when the shift to the right is divided by the height. x goes with the width, y with the height.",
        ),
        Mistake(
            "without the logarithm",
            _written(lambda gx, gy, gw, gh, px, py, pw, ph: ((gx - px) / pw, (gy - py) / ph, gw / pw, gh / ph)),
            "This is what happens when the ratio of the sides is taken as it is. Its logarithm is 0 where nothing has to change, and as "
            "far below 0 for half as it is above for double.",
        ),
        Mistake(
            "ratio upside down",
            _written(lambda gx, gy, gw, gh, px, py, pw, ph: ((gx - px) / pw, (gy - py) / ph, (pw / gw).log(), (ph / gh).log())),
            "This is what happens when the proposal's side is divided by the true one. The true side comes first: a proposal that has to "
            "grow gets a number above 0.",
        ),
        Mistake(
            "difference of the sides",
            _written(lambda gx, gy, gw, gh, px, py, pw, ph: ((gx - px) / pw, (gy - py) / ph, (gw - pw) / pw, (gh - ph) / ph)),
            "This is what happens when growth is the difference of the sides over the proposal's. It is the logarithm of their ratio.",
        ),
        Mistake(
            "one pixel added",
            _one_added,
            "This is what happens when a width is x2 − x1 + 1, as in code that counts pixels. Here it is x2 − x1.",
        ),
        Mistake(
            "a column a pair",
            _a_column_a_pair,
            "This is what happens when the four are stacked along the first dimension. A pair is a row: torch.stack(…, -1).",
        ),
        Mistake(
            "weights ignored",
            _weighted_otherwise(lambda targets, weights: targets),
            "This is what happens when the weights are not used. Each of the four is multiplied by its own.",
        ),
        Mistake(
            "divided by the weights",
            _weighted_otherwise(lambda targets, weights: targets / weights),
            "This is what happens when the targets are divided by the weights. Encoding multiplies; decoding divides.",
        ),
        Mistake(
            "one weight for all",
            _weighted_otherwise(lambda targets, weights: targets * weights[0]),
            "This is what happens when all four get the first weight. There is one for each of tx, ty, tw and th.",
        ),
    ),
)
