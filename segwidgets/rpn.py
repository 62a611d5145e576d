"""`segwidgets.rpn`: a region proposal network on a picture: objectness, the best anchors, the boxes they become, and which of them stay.

S. Ren, K. He, R. Girshick and J. Sun, "Faster R-CNN", 2015, arXiv:1506.01497, sections 3.1 and 3.3. Level by level: T.-Y. Lin et al.,
"Feature Pyramid Networks", 2016, arXiv:1612.03144, section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from course.ops import arguments
from course.ops.boxes import box_area, box_iou, clip_boxes, decode_boxes
from course.ops.proposals import filter_proposals
from course.ops.step import listing, number
from segwidgets.boxes import Boxes, BoxLook
from segwidgets.inputs import as_tensor, check_keywords, pixels, shrunk
from segwidgets.live import Live, Slider
from segwidgets.panels import Arrow, FieldBoxes, Grid, Picture
from segwidgets.roles import ROLES
from segwidgets.trace import Trace, TraceStep

MOST_LEVELS = 6
MOST_SIDE = 40  # cells of a map that are drawn; of a larger one the best of each few
MOST_DRAWN = 25  # boxes of each kind on the photograph: of more, one is not told from the other
MOST_LABELLED = 5  # of more proposals no scores are shown: they would cover each other
MOST_TRUE = 30
MOST_TOP = 100  # of the slider, unless more are asked for
GOOD = 0.5  # an IoU from which on an object counts as found
ROOM = 15.0  # units for all maps, side by side
LEGEND = [
    (name, ROLES[role].light)
    for name, role in (("anchor", "candidate"), ("moved", "write"), ("kept", "chosen"), ("removed", "suppressed"), ("object", "truth"))
]


def rpn(
    image,
    objectness: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors,
    *,
    truth=None,
    strides: Sequence[int] | None = None,
    pre_nms: int = 1000,
    post_nms: int = 10,
    nms_threshold: float = 0.7,
    score_threshold: float = 0.0,
    min_size: float = 0.0,
    **unknown,
) -> Live:
    """What a region proposal network says about a picture, and how proposals come of it, stage by stage.

    Sliders set the threshold of the suppression, how many proposals there are, and the objectness from which on an anchor takes part.
    While the pointer is on a cell of a map, its best anchor is marked on the photograph.

    Args:
        image: `[3, H, W]` in 0…1, of the size in whose pixels the anchors are.
        objectness: for each level `[A, h, w]`, logits.
        deltas: for each level `[4A, h, w]`: dx, dy, dw, dh of a place's first anchor, then of its second, and so on.
        anchors: `[N, 4]`, x1, y1, x2, y2, as `course.ops.anchors.anchor_grid` gives them: levels one after another, at each the places
            in reading order, A at each place.
        truth: `[T, 4]`, the true boxes, at most 30: the proposals are held against them. T may be 0.
        strides: of each level, for its title; by default from the sizes of picture and map.
        pre_nms, nms_threshold, min_size: as `course.ops.proposals.filter_proposals`; the threshold is where its slider stands first.
        post_nms: how many proposals there are at most, where its slider stands first.
        score_threshold: a probability; where its slider stands first.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, rpn)
    network = _Network.of(image, objectness, deltas, anchors, truth, strides, arguments.whole(pre_nms, "pre_nms", 1))
    top = max(MOST_TOP, arguments.whole(post_nms, "post_nms", 1))

    def proposed(nms_threshold: float, post_nms: int, score_threshold: float) -> Trace:
        return _Proposed(network, nms_threshold, post_nms, score_threshold, min_size).trace()

    settings = [
        Slider("nms_threshold", 0.0, 1.0, step=0.05, value=nms_threshold, label="NMS threshold"),
        Slider("post_nms", 1, top, step=1, value=post_nms, label="at most so many proposals"),
        Slider("score_threshold", 0.0, 1.0, step=0.05, value=score_threshold, label="objectness from"),
    ]
    return Live(proposed, settings)


@dataclass(frozen=True)
class _Level:
    """One map of the pyramid: `logits [A, h, w]` and `anchors [h·w·A, 4]`."""

    number: int
    stride: int
    logits: Tensor
    anchors: Tensor

    @property
    def id(self) -> str:
        return f"level {self.number}"

    @cached_property
    def cells(self) -> tuple[Tensor, Tensor]:
        """What is drawn: in each cell the best logit of its anchors, `[rows, columns]`, and the number of that anchor."""
        best, shape = self.logits.max(0)  # [h, w]
        fit = self.places_of_a_cell
        value, place = max_pool2d(best[None], fit, ceil_mode=True, return_indices=True)  # [1, rows, columns]
        return value[0], (place * len(self.logits) + shape.flatten()[place])[0]

    @property
    def places_of_a_cell(self) -> int:
        return math.ceil(max(self.logits.shape[1:]) / MOST_SIDE)

    def panel(self, width: float, factor: float) -> Grid:
        value, best = self.cells
        field = FieldBoxes("photograph", (self.anchors[best] * factor).numpy(), factor, word="best anchor")
        look = {"paint": "heat", "empty": True, "width": width, "limits": (0.0, 1.0), "field": field}
        return Grid(self.id, np.zeros(value.shape), f"stride {self.stride}", str(list(self.logits.shape)), **look)

    def step(self, sheet: _Sheet) -> TraceStep:
        value, best = self.cells
        sure, highest = int((self.logits >= 0).sum()), value.max().sigmoid().item()
        shapes, rows, columns = self.logits.shape
        first = divmod(int(value.argmax()), value.shape[1])
        cells, fit = list(np.ndindex(*value.shape)), self.places_of_a_cell
        drawn = "" if fit == 1 else f" Each cell is the best of {fit} × {fit} places."
        return TraceStep(
            f"Stride {self.stride}: {_counted(shapes, 'anchor')} at each of {rows} × {columns} places. [{sure}|write] of "
            f"{self.logits.numel()} hold an object with a probability of at least 0.5, the best with [{_short(highest)}|chosen].{drawn}",
            {self.id: {"chosen": [first]}, "photograph": {"chosen": [sheet.shown(self.anchors[best[first]])]}},
            {self.id: dict(zip(cells, value.sigmoid().flatten().tolist(), strict=True))},
            terms={self.id: {cell: f"σ({number(value[cell])})" for cell in cells}},
        )


@dataclass(frozen=True)
class _Sheet:
    """The photograph as shown: `factor` shown pixels are one of the picture of `size` (height, width)."""

    pixels: np.ndarray
    size: tuple[int, int]
    factor: float

    def shown(self, box: Tensor) -> tuple[float, ...]:
        """A box where it lies on the photograph, without what reaches beyond it."""
        return tuple((clip_boxes(box, self.size) * self.factor).tolist())


@dataclass(frozen=True)
class _Network:
    """What the network said, checked, and what doesn't depend on the sliders. `rows` are the anchors that are the best of their level, up
    to `pre_nms` each, the best of all first; `moved [N, 4]` is where the deltas take them, within the picture."""

    sheet: _Sheet
    levels: list[_Level]
    anchors: Tensor
    logits: Tensor
    deltas: Tensor
    moved: Tensor
    level: Tensor
    rows: Tensor
    pre_nms: int
    truth: Tensor | None

    @classmethod
    def of(cls, image, objectness, deltas, anchors, truth, strides, pre_nms: int) -> _Network:
        picture = pixels(image)
        small, factor = shrunk(picture)
        sheet = _Sheet(small, picture.shape[:2], factor)
        maps = _maps(objectness, "objectness", "[A, h, w]")
        moves = _maps(deltas, "deltas", "[4A, h, w]")
        _check_levels(maps, moves)
        anchors = _boxes(anchors, "anchors")
        counts = [each.numel() for each in maps]
        if len(anchors) != sum(counts):
            raise ValueError(f"anchors holds {len(anchors)} boxes, and objectness scores {sum(counts)}; it takes one for each")
        strides = _strides(strides, maps, sheet.size)
        logits = torch.cat([each.permute(1, 2, 0).flatten() for each in maps])  # [N]
        moves = torch.cat([each.unflatten(0, (-1, 4)).permute(2, 3, 0, 1).reshape(-1, 4) for each in moves])  # [N, 4]
        level = torch.arange(len(maps)).repeat_interleave(torch.tensor(counts))  # [N]
        levels = [_Level(*each) for each in zip(range(len(maps)), strides, maps, anchors.split(counts), strict=True)]
        moved = clip_boxes(decode_boxes(moves, anchors), sheet.size)
        rows = torch.cat([(level == each).nonzero()[:, 0][_best(logits[level == each], pre_nms)] for each in range(len(maps))])
        rows = rows[_best(logits[rows], len(rows))]
        return cls(sheet, levels, anchors, logits, moves, moved, level, rows, pre_nms, None if truth is None else _truth(truth))

    def covered(self, boxes: Tensor) -> Tensor:
        """The best IoU of each true box with one of `boxes`, 0 if there are none. [T]"""
        return torch.cat([torch.zeros(len(self.truth), 1), box_iou(self.truth, boxes)], 1).amax(1)


class _Proposed:
    """The animation for one setting of the sliders. On the photograph boxes 0 … D − 1 are the drawn ones, the true ones follow."""

    def __init__(self, network: _Network, nms_threshold: float, post_nms: int, score_threshold: float, min_size: float):
        self.network, self.nms_threshold, self.post_nms, self.score_threshold = network, nms_threshold, post_nms, score_threshold
        self.min_size = min_size
        rows = network.rows[network.logits[network.rows].sigmoid() >= score_threshold]
        kept = filter_proposals(
            network.moved[rows],
            network.logits[rows],
            network.level[rows],
            network.sheet.size,
            pre_nms=network.pre_nms,
            post_nms=max(1, len(rows)),
            nms_threshold=nms_threshold,
            min_size=min_size,
        )
        x1, y1, x2, y2 = network.moved[rows].unbind(1)
        self.small = set(rows[torch.minimum(x2 - x1, y2 - y1) < min_size].tolist())  # they go before the suppression
        self.rows, self.kept = rows, rows[kept]  # [C], [S]: what goes into the suppression, and what stays, the best first
        self.proposals = self.kept[:post_nms]  # [P]
        first = rows[:MOST_DRAWN].tolist()
        self.drawn = list(dict.fromkeys([*first, *self.proposals[:MOST_DRAWN].tolist()]))  # anchors, by their places among all
        self.first = range(len(first))

    def trace(self) -> Trace:
        network, sheet = self.network, self.network.sheet
        truth = torch.zeros(0, 4) if network.truth is None else network.truth
        boxes = torch.cat([network.anchors[self.drawn], truth]) * sheet.factor
        note = f"[3, {sheet.size[0]}, {sheet.size[1]}]"
        legend = LEGEND if len(truth) else LEGEND[:-1]
        width = min(7.0, ROOM / len(network.levels))
        panels = [
            Picture("photograph", sheet.pixels, note=note, width=12.0, legend=legend, boxes=Boxes(boxes.numpy(), None, measured=True)),
            *(level.panel(width, sheet.factor) for level in network.levels),
        ]
        arrows = [Arrow("objectness"), *[None] * (len(network.levels) - 1)]
        steps = [self._start(), *(level.step(sheet) for level in network.levels), *self._stages()]
        return Trace("region proposal network", panels=panels, arrows=arrows, steps=steps)

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _start(self) -> TraceStep:
        maps = _counted(len(self.network.levels), "map")
        return TraceStep(
            f"At every place of {maps} the network scores anchors by whether they hold an object, and says how to move them: "
            f"[{len(self.network.anchors)}|read] anchors in all. Point at a cell to see its best one."
        )

    def _stages(self) -> list[TraceStep]:
        if not len(self.rows):
            none = f"No anchor holds an object with a probability of at least {number(self.score_threshold)}: nothing is proposed."
            return [TraceStep(none), *self._judged()]
        return [self._best(), self._moved(), self._suppressed(), self._ranked(), *self._judged()]

    def _best(self) -> TraceStep:
        least = f", of those that reach {number(self.score_threshold)}" if self.score_threshold else ""
        return TraceStep(
            f"The best anchors go on, at most {self.network.pre_nms} of each level{least}: [{len(self.rows)}|read]."
            f"{self._drawing(len(self.first), len(self.rows))}",
            boxes={"photograph": dict.fromkeys(self.first, "candidate")},
            arithmetic=self._found(self.rows, self.network.anchors),
        )

    def _moved(self) -> TraceStep:
        network, best = self.network, self.rows[0]
        before, after = network.anchors[self.rows], network.moved[self.rows]
        same = float(_paired_iou(before, after).mean())
        small = f" [{len(self.small)}|suppressed] with a side below {number(self.min_size)} go." if self.small else ""
        moved = f"of the best d = ({listing([round(d, 3) for d in network.deltas[best].tolist()])})"
        found = self._found(self.rows, network.moved)
        return TraceStep(
            f"Each moves by its own four numbers and is cut at the picture's edge. On average its IoU with what it was is "
            f"[{number(same)}|write].{small}",
            boxes={"photograph": {i: self._look(i, "write") for i in self.first}},
            arithmetic=f"{moved};  {found}" if found else moved,
        )

    def _suppressed(self) -> TraceStep:
        within = " of the same level" if len(self.network.levels) > 1 else ""
        stay, gone = len(self.kept), len(self.rows) - len(self.small) - len(self.kept)
        kept = set(self.kept.tolist())
        looks = {i: self._look(i, "chosen" if self.drawn[i] in kept else "suppressed") for i in self.first}
        return TraceStep(
            f"A box goes if it overlaps a better one{within} by more than {number(self.nms_threshold)}: [{gone}|suppressed] go, "
            f"[{stay}|chosen] stay.{self._drawing(len(self.first), len(self.rows))}",
            boxes={"photograph": looks},
            arithmetic=self._found(self.kept, self.network.moved),
        )

    def _ranked(self) -> TraceStep:
        count, stay = len(self.proposals), len(self.kept)
        shown = self.proposals[:MOST_DRAWN].tolist()
        looks: dict[int, BoxLook | None] = dict.fromkeys(range(len(self.drawn)))
        for i, row in enumerate(self.drawn):
            if row in shown:
                label = _short(self.network.logits[row].sigmoid().item()) if len(shown) <= MOST_LABELLED else ""
                looks[i] = self._look(i, "chosen", label)
        which = f"The [{count}|chosen] best of these {stay} are" if count < stay else f"All [{count}|chosen] are"
        what = "the proposals" if count > 1 else "the proposal"
        which = f"The best of these {stay} is" if count == 1 < stay else "It is" if count == 1 else which
        return TraceStep(
            f"{which} {what}.{self._drawing(len(shown), count)}",
            boxes={"photograph": looks},
            arithmetic=self._found(self.proposals, self.network.moved),
        )

    def _judged(self) -> list[TraceStep]:
        """Against the true boxes: the best proposal of each object stands out."""
        network, count = self.network, len(self.proposals)
        if network.truth is None:
            return []
        total = len(network.truth)
        if not total:
            return [TraceStep(f"There is no object in this picture: all that is proposed, {_counted(count, 'box')}, is background.")]
        overlap = box_iou(network.truth, network.moved[self.proposals])  # [T, P]
        best = overlap.amax(1) if count else torch.zeros(total)
        found = int((best >= GOOD).sum())
        looks: dict[int, BoxLook | None] = dict.fromkeys(range(len(self.drawn)))
        for t, iou in enumerate(round(float(each), 2) for each in best):
            looks[len(self.drawn) + t] = BoxLook("truth", "" if best[t] >= GOOD else f"missed, {number(iou)}")
            row = int(self.proposals[int(overlap[t].argmax())]) if best[t] >= GOOD else None
            if row in self.drawn:
                i = self.drawn.index(row)
                looks[i] = self._look(i, "chosen", number(iou))
        ious = f"best IoU of each object: {listing([round(float(each), 2) for each in best])}"
        return [
            TraceStep(
                f"[{found}|chosen] of [{_counted(total, 'object')}|truth] {'is' if found == 1 else 'are'} found, by a proposal with an IoU "
                f"of at least {number(GOOD)}: a recall of [{number(found / total)}|chosen] with {_counted(count, 'proposal')}.",
                boxes={"photograph": looks},
                arithmetic=f"{ious};  {found} / {total} = {number(found / total)}",
            )
        ]

    # ---- what they share ------------------------------------------------------------------------------------------------

    def _look(self, i: int, role: str, label: str = "") -> BoxLook:
        """A drawn box where it lies once its anchor has moved; hidden, if it is too small."""
        row = self.drawn[i]
        return BoxLook(None if row in self.small else role, label, self.network.sheet.shown(self.network.moved[row]))

    def _found(self, rows: Tensor, boxes: Tensor) -> str:
        """How many objects the best of these boxes find, at each stage as many as there may be proposals."""
        truth, rows = self.network.truth, rows[: self.post_nms]
        if truth is None or not len(truth):
            return ""
        found = int((self.network.covered(boxes[rows]) >= GOOD).sum())
        best = "the best alone finds" if len(rows) == 1 else f"the best {len(rows)} find"
        return f"{best} {found} of {_counted(len(truth), 'object')}, IoU ≥ {number(GOOD)}"

    def _drawing(self, drawn: int, count: int) -> str:
        return f" Drawn: the best {drawn}." if drawn < count else ""


def _best(logits: Tensor, count: int) -> Tensor:
    """The places of the `count` highest, the highest first; of equal ones the first."""
    return logits.argsort(descending=True, stable=True)[:count]


def _paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """The IoU of each row of a with the same row of b. [N]"""
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)  # [N, 2]
    shared = sides.prod(1)
    return shared / (box_area(a) + box_area(b) - shared).clamp(min=1e-9)


def _short(probability: float) -> str:
    """0.00007 is 0 to whoever compares probabilities."""
    return number(round(probability, 3))


def _counted(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("x") else f"{what}s"
    return f"{count} {what if count == 1 else plural}"


def _maps(given, name: str, shape: str) -> list[Tensor]:
    """The levels as they are, `[C, h, w]` each; one tensor is one level, and a leading 1 of a batch is left out."""
    given = [given] if isinstance(given, (Tensor, np.ndarray)) else given
    if isinstance(given, str) or not isinstance(given, Sequence) or not 1 <= len(given) <= MOST_LEVELS:
        count = f" of {len(given)}" if isinstance(given, Sequence) else ""
        raise ValueError(f"{name} is a {type(given).__name__}{count}; it takes a list of 1 to {MOST_LEVELS} tensors {shape}, one a level")
    made = []
    for level, each in enumerate(given):
        each = as_tensor(each, name=f"{name}[{level}]")
        each = each[0] if each.ndim == 4 and len(each) == 1 else each
        if each.ndim != 3 or not each.numel():
            raise ValueError(f"{name}[{level}] has the shape {list(each.shape)}; it takes {shape}, of one picture")
        if not torch.isfinite(each).all():
            raise ValueError(f"{name}[{level}] has NaN or infinite values; a widget shows finite numbers only")
        made.append(each.clone())  # as it is now, whatever becomes of it
    return made


def _check_levels(objectness: list[Tensor], deltas: list[Tensor]) -> None:
    if len(objectness) != len(deltas):
        raise ValueError(f"objectness has {len(objectness)} levels and deltas {len(deltas)}; both are of the same maps")
    for level, (scores, moves) in enumerate(zip(objectness, deltas, strict=True)):
        wanted = [4 * scores.shape[0], *scores.shape[1:]]
        if list(moves.shape) != wanted:
            raise ValueError(
                f"deltas[{level}] has the shape {list(moves.shape)}; with objectness {list(scores.shape)} it takes {wanted}, four for each"
            )


def _boxes(boxes, name: str) -> Tensor:
    boxes = as_tensor(boxes, name=name).clone()
    arguments.check_boxes(boxes, name, finite=True)
    arguments.check_sizes(boxes, name)
    return boxes


def _truth(truth) -> Tensor:
    truth = as_tensor(truth, name="truth")
    truth = _boxes(truth, "truth") if truth.numel() else truth.new_zeros(0, 4)
    if len(truth) > MOST_TRUE:
        raise ValueError(f"truth holds {len(truth)} boxes; at most {MOST_TRUE} can be told apart: pass truth[:{MOST_TRUE}]")
    return truth


def _strides(strides, maps: list[Tensor], size: tuple[int, int]) -> list[int]:
    if strides is None:
        return [max(1, round(max(side / of_map for side, of_map in zip(size, each.shape[1:], strict=True)))) for each in maps]
    return [arguments.whole(stride, "each of strides", 1) for stride in arguments.several(strides, "strides", len(maps))]
