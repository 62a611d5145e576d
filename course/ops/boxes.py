"""Boxes: areas, overlaps, and the four numbers that move one box onto another.

Overlap: intersection over union, P. Jaccard 1901; in detection since M. Everingham et al., "The Pascal Visual Object Classes
Challenge", IJCV 2010, section 4.2. Regression targets: R. Girshick, J. Donahue, T. Darrell and J. Malik, "Rich feature hierarchies for
accurate object detection and semantic segmentation", 2014, arXiv:1311.2524, appendix C, equations 1–4 (decoding) and 6–9 (encoding).

    IoU = shared / (area a + area b − shared)
    tx = (Gx − Px) / Pw     ty = (Gy − Py) / Ph     tw = log(Gw / Pw)     th = log(Gh / Ph)
    Gx = Px + Pw · dx       Gy = Py + Ph · dy       Gw = Pw · exp(dw)     Gh = Ph · exp(dh)

with P the proposal, G the true box, x and y their centres. A box is x1, y1, x2, y2 in pixels, x to the right, and its width is x2 − x1.

Degenerate boxes (no width or no height) and inverted ones (x2 < x1) share nothing with any box: their IoU is 0. `encode_boxes` refuses
them, since nothing can be measured in a width of 0. NaN passes through the arithmetic as through torch's.

Differs from the paper: a width is x2 − x1, where its code has x2 − x1 + 1. Weights multiply the targets, as Fast R-CNN's normalisation
to unit variance does (Girshick 2015, arXiv:1504.08083, section 2.3). dw and dh are cut at log(1000 / 16), as in torchvision's BoxCoder: a
box grows at most 62.5-fold, and exp cannot overflow early in training.
Differs from torchvision: the IoU of two boxes without area is 0, there NaN. Boxes are floating-point only. Half precision is encoded and
decoded in float32 and rounded once; where two precisions meet, the result has the finer.

Shape letters: N proposals, or boxes a; M boxes b; K classes.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.precision import widen
from course.ops.step import Step, listing, number

LARGEST_GROWTH = math.log(1000 / 16)  # of a logarithmic side: a stride of 16 pixels grows to a picture of 1000

Weights = Sequence[float]
UNIT: Weights = (1.0, 1.0, 1.0, 1.0)


def box_area(boxes: Tensor) -> Tensor:
    """Width × height in square pixels. Of half precision in float32, where 300 × 300 still has a number. [...]

    Args:
        boxes: [..., 4], floating-point.

    Raises:
        TypeError, ValueError: boxes is no such tensor.
    """
    arguments.check_boxes(boxes, rows=False)
    x1, y1, x2, y2 = widen(boxes).unbind(-1)  # each [...]
    return (x2 - x1) * (y2 - y1)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of every box of a with every box of b, 0…1. [N, M], of half precision in float32

    Args:
        a, b: [N, 4] and [M, 4], floating-point; either may be empty.

    Raises:
        TypeError, ValueError: a or b is no such tensor, or they are on two devices.
    """
    arguments.check_boxes(a, "a")
    arguments.check_boxes(b, "b")
    arguments.check_same_device(b, "b", a, "a")
    a, b = widen(a), widen(b)
    ax1, ay1, ax2, ay2 = a[:, None].unbind(-1)  # each [N, 1]
    bx1, by1, bx2, by2 = b.T.contiguous()  # each [M], its numbers side by side, which halves the time
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)  # [N, M]
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)  # [N, M]
    shared = width * height  # [N, M]
    union = box_area(a)[:, None] + box_area(b) - shared  # [N, M]
    return shared / torch.where(shared == 0, 1, union)  # of two boxes without area the union is 0, too


def clip_boxes(boxes: Tensor, size: IntOrPair) -> Tensor:
    """Cut off what lies outside the picture. A box wholly outside is left without area, on the edge. [..., 4]

    Args:
        boxes: [..., 4], floating-point.
        size: the picture's, in pixels, (height, width) or one integer for both.

    Raises:
        TypeError, ValueError: boxes is no such tensor, or size no positive integers.
    """
    arguments.check_boxes(boxes, rows=False)
    height, width = arguments.pair(size, "size", 1)
    x1, y1, x2, y2 = boxes.unbind(-1)  # each [...]
    return torch.stack((x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)), -1)  # [..., 4]


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """Corners to centre and size, in pixels. [..., 4] Raises TypeError, ValueError if boxes is no floating-point tensor [..., 4]."""
    arguments.check_boxes(boxes, rows=False)
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), -1)


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Centre and size to corners; otherwise as xyxy_to_cxcywh. [..., 4]"""
    arguments.check_boxes(boxes, rows=False)
    x, y, width, height = boxes.unbind(-1)
    return torch.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), -1)


def xyxy_to_xywh(boxes: Tensor) -> Tensor:
    """Corners to upper left corner and size, as COCO has it; otherwise as xyxy_to_cxcywh. [..., 4]"""
    arguments.check_boxes(boxes, rows=False)
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack((x1, y1, x2 - x1, y2 - y1), -1)


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Upper left corner and size to corners; otherwise as xyxy_to_cxcywh. [..., 4]"""
    arguments.check_boxes(boxes, rows=False)
    x, y, width, height = boxes.unbind(-1)
    return torch.stack((x, y, x + width, y + height), -1)


def encode_boxes(gt: Tensor, proposals: Tensor, weights: Weights = UNIT) -> Tensor:
    """What a regressor has to say to move each proposal onto its true box: (tx, ty, tw, th), each times its weight. [N, 4]

    Args:
        gt, proposals: [N, 4] each, floating-point, every width and height above 0; row i of one belongs to row i of the other.
        weights: of tx, ty, tw, th, above 0; Fast R-CNN's are (10, 10, 5, 5).

    Raises:
        TypeError, ValueError: no such boxes or weights, or a box without width or height.
    """
    arguments.check_paired(gt, "gt", proposals, "proposals")
    arguments.check_sizes(gt, "gt")
    arguments.check_sizes(proposals, "proposals")
    weights = arguments.check_scales(weights)
    dtype = torch.promote_types(gt.dtype, proposals.dtype)
    gx, gy, gw, gh = xyxy_to_cxcywh(widen(gt)).unbind(-1)  # each [N]
    px, py, pw, ph = xyxy_to_cxcywh(widen(proposals)).unbind(-1)  # each [N]
    targets = torch.stack(((gx - px) / pw, (gy - py) / ph, (gw / pw).log(), (gh / ph).log()), -1)  # [N, 4]
    return (targets * targets.new_tensor(weights)).to(dtype)


def decode_boxes(deltas: Tensor, proposals: Tensor, weights: Weights = UNIT) -> Tensor:
    """Move each proposal as its deltas say: the inverse of encode_boxes. [N, 4K]

    Args:
        deltas: [N, 4K], floating-point: dx, dy, dw, dh of class 0, then of class 1, and so on; [N, 4] where one box serves all classes.
        proposals: [N, 4], floating-point.
        weights: those of encode_boxes, by which the deltas are divided.

    Raises:
        TypeError, ValueError: no such tensors or weights.
    """
    arguments.check_paired(deltas, "deltas", proposals, "proposals", classes=True)
    weights = arguments.check_scales(weights)
    dtype = torch.promote_types(deltas.dtype, proposals.dtype)
    wide = widen(deltas).unflatten(-1, (-1, 4))  # [N, K, 4]
    dx, dy, dw, dh = (wide / wide.new_tensor(weights)).unbind(-1)  # each [N, K]
    px, py, pw, ph = xyxy_to_cxcywh(widen(proposals))[:, None].unbind(-1)  # each [N, 1]
    width, height = pw * dw.clamp(max=LARGEST_GROWTH).exp(), ph * dh.clamp(max=LARGEST_GROWTH).exp()  # [N, K]
    boxes = torch.stack((px + pw * dx, py + ph * dy, width, height), -1)  # [N, K, 4]
    return cxcywh_to_xyxy(boxes).flatten(1).to(dtype)  # [N, 4K]


def box_iou_steps(a: Tensor, b: Tensor) -> Iterator[Step]:
    """box_iou, pair by pair in four steps: where the shared part begins, where it ends, the areas, their quotient.

    Reads "a", "b"; writes "shared_box" [N, M, 4], "shared" [N, M], "union" [N, M] and "output" [N, M].
    """
    arguments.check_boxes(a, "a")
    arguments.check_boxes(b, "b")
    several = len(a) > 1 or len(b) > 1
    for (i, one), (j, other) in itertools.product(enumerate(a.tolist()), enumerate(b.tolist())):
        steps = _iou_steps(i, j, one, other)
        yield next(steps) if not several else _of_pair(next(steps), i, j)
        yield from steps


def _of_pair(step: Step, i: int, j: int) -> Step:
    """The same step, which says of which boxes it speaks."""
    return replace(step, sentence=f"Box {i} of a and box {j} of b: {step.sentence[0].lower()}{step.sentence[1:]}")


def _iou_steps(i: int, j: int, a: list[float], b: list[float]) -> Iterator[Step]:
    left, top, right, bottom = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    yield Step(
        f"The shared part begins where the later box begins, at x [{number(left)}|write], y [{number(top)}|write].",
        reads={"a": ((i, 0), (i, 1)), "b": ((j, 0), (j, 1))},
        writes={"shared_box": {(i, j, 0): left, (i, j, 1): top}},
        arithmetic=f"max({number(a[0])}, {number(b[0])}) = {number(left)},  max({number(a[1])}, {number(b[1])}) = {number(top)}",
    )
    yield Step(
        f"It ends where the earlier box ends, at x [{number(right)}|write], y [{number(bottom)}|write].",
        reads={"a": ((i, 2), (i, 3)), "b": ((j, 2), (j, 3))},
        writes={"shared_box": {(i, j, 2): right, (i, j, 3): bottom}},
        arithmetic=f"min({number(a[2])}, {number(b[2])}) = {number(right)},  min({number(a[3])}, {number(b[3])}) = {number(bottom)}",
    )
    shared = max(right - left, 0) * max(bottom - top, 0)
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b)]
    union = areas[0] + areas[1] - shared
    what = "no higher than it begins" if right > left else "no further right than it begins"
    yield Step(
        f"It is {number(right - left)} wide and {number(bottom - top)} high: the boxes share [{number(shared)}|write] pixels and cover "
        f"[{number(union)}|write] together."
        if shared
        else f"It ends {what}: the boxes share [0|write] pixels.",
        reads={"shared_box": tuple((i, j, k) for k in range(4))},
        writes={"shared": {(i, j): shared}, "union": {(i, j): union}},
        arithmetic=f"{number(areas[0])} + {number(areas[1])} − {number(shared)} = {number(union)}",
    )
    iou = shared / union if shared else 0.0
    yield Step(
        f"Shared over covered is the IoU: write [{number(iou)}|write].",
        reads={"shared": ((i, j),), "union": ((i, j),)},
        writes={"output": {(i, j): iou}},
        arithmetic=f"{number(shared)} / {number(union)} = {number(iou)}" if shared else "",
    )


def encode_boxes_steps(gt: Tensor, proposals: Tensor, weights: Weights = UNIT) -> Iterator[Step]:
    """encode_boxes, each pair in four steps: how far the centre has to go, right and down, and how much the sides have to grow.

    Reads "gt", "proposals"; writes "output" [N, 4].
    """
    encode_boxes(gt, proposals, weights)  # its checks
    weights = arguments.check_scales(weights)
    for i, (true, proposal) in enumerate(zip(gt.double(), proposals.double(), strict=True)):
        true, proposal = xyxy_to_cxcywh(true).tolist(), xyxy_to_cxcywh(proposal).tolist()
        for k in range(4):
            yield (_shift if k < 2 else _growth)(i, k, true, proposal, weights[k])


def _shift(i: int, k: int, true: list[float], proposal: list[float], weight: float) -> Step:
    """The step that writes tx (k = 0) or ty (k = 1) of pair i; boxes as centre and size."""
    shift, side = true[k] - proposal[k], proposal[k + 2]
    target = weight * shift / side
    way = (("right", "down") if shift >= 0 else ("left", "up"))[k]
    return Step(
        f"The centre has to go {number(abs(shift))} {'pixel' if abs(shift) == 1 else 'pixels'} {way}, and the proposal is "
        f"[{number(side)}|read] {('wide', 'high')[k]}: write [{number(target)}|write].",
        reads={name: ((i, k), (i, k + 2)) for name in ("gt", "proposals")},
        writes={"output": {(i, k): target}},
        arithmetic=f"{_times(weight)}({number(true[k])} − {_in_brackets(proposal[k])}) / {number(side)} = {number(target)}",
    )


def _growth(i: int, k: int, true: list[float], proposal: list[float], weight: float) -> Step:
    """The step that writes tw (k = 2) or th (k = 3)."""
    ratio = true[k] / proposal[k]
    target = weight * math.log(ratio)
    return Step(
        f"The {('width', 'height')[k - 2]} has to become {number(ratio)} times what it is: write the logarithm, [{number(target)}|write].",
        reads={name: ((i, k - 2), (i, k)) for name in ("gt", "proposals")},
        writes={"output": {(i, k): target}},
        arithmetic=f"{_times(weight)}log({number(true[k])} / {number(proposal[k])}) = {number(target)}",
    )


def decode_boxes_steps(deltas: Tensor, proposals: Tensor, weights: Weights = UNIT) -> Iterator[Step]:
    """decode_boxes, each box in three steps: the centre moves, the sides grow, and corners come of both.

    Reads "deltas", "proposals"; writes "moved", x, y, width, height, and "output", both of the shape of deltas.
    """
    decode_boxes(deltas, proposals, weights)  # its checks
    weights = arguments.check_scales(weights)
    for i, k in itertools.product(range(len(deltas)), range(0, deltas.shape[1], 4)):
        dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas[i, k : k + 4].tolist(), weights, strict=True))
        px, py, pw, ph = xyxy_to_cxcywh(proposals[i].double()).tolist()
        x, y = px + pw * dx, py + ph * dy
        columns = [(i, column) for column in range(k, k + 4)]
        reads = {"proposals": tuple((i, side) for side in range(4))}
        yield Step(
            f"Move the centre by {number(dx)} widths and {number(dy)} heights: to x [{number(x)}|write], y [{number(y)}|write].",
            reads={"deltas": tuple(columns[:2]), **reads},
            writes={"moved": {columns[0]: x, columns[1]: y}},
            arithmetic=f"{number(px)} + {number(pw)} × {_in_brackets(dx)} = {number(x)},  "
            f"{number(py)} + {number(ph)} × {_in_brackets(dy)} = {number(y)}",
        )
        grown = [min(d, LARGEST_GROWTH) for d in (dw, dh)]
        width, height = pw * math.exp(grown[0]), ph * math.exp(grown[1])
        cut = f", cut at {number(math.exp(LARGEST_GROWTH))}-fold" if max(dw, dh) > LARGEST_GROWTH else ""
        yield Step(
            f"Let the sides grow{cut}: to [{number(width)}|write] wide, [{number(height)}|write] high.",
            reads={"deltas": tuple(columns[2:]), **reads},
            writes={"moved": {columns[2]: width, columns[3]: height}},
            arithmetic=f"{number(pw)} × e^{_in_brackets(grown[0])} = {number(width)},  "
            f"{number(ph)} × e^{_in_brackets(grown[1])} = {number(height)}",
        )
        corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        yield Step(
            f"Half a side to each side of the centre: the box is [{listing(corners)}|write].",
            reads={"moved": tuple(columns)},
            writes={"output": dict(zip(columns, corners, strict=True))},
            arithmetic=f"{number(x)} ± {number(width)} / 2,  {number(y)} ± {number(height)} / 2",
        )


def _times(weight: float) -> str:
    return "" if weight == 1 else f"{number(weight)} × "


def _in_brackets(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)
