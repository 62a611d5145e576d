"""`segwidgets.keypoint_heat_maps`: from the S × S logits of a keypoint head to a pixel: softmax, the highest cell, its place in the box.

K. He, G. Gkioxari, P. Dollár and R. Girshick, "Mask R-CNN", 2017, arXiv:1703.06870, section 5: a joint is a mask of which exactly one cell
is on, so a softmax goes over all cells of a map. `course.ops.keypoints` decodes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from course.ops import arguments
from course.ops.keypoints import decode_keypoints
from course.ops.step import number
from segwidgets.boxes import Boxes, Place
from segwidgets.cells import counted, listed, place_of
from segwidgets.inputs import SHOWN_SIDE, as_tensor, check_keywords, pixels
from segwidgets.live import Choice, Live
from segwidgets.panels import Arrow, FieldBoxes, Film, Grid, colours
from segwidgets.player import Player
from segwidgets.roles import ROLES
from segwidgets.trace import Cell, Trace, TraceStep

MOST_JOINTS = 24
MOST_CELLS = 64  # along a side of a map
MOST_BOX = 4_000_000  # pixels of the box, to which each map is enlarged
MOST_TIES = 3  # cells that are named
SECOND = 0.1  # a second peak is told from this part of the highest probability on
AROUND = 0.12  # how much of the photograph around the box is shown with it, in parts of its longer side
HEAT = 0.75  # opacity of the map on the photograph
DOT, LINE, RIM = 0.018, 0.010, 0.005  # radius, thickness and white edge, in parts of the box's longer side
FINER = 4  # how much finer than the pixels as shown they are drawn
PLAIN, SO_FAR, ALL = range(3)  # frames of the photograph
PICTURE, ENLARGED, EVERY, JUDGED = range(4)  # frames of what lies under the box
FOUND, THIS, TRUE = (ROLES[role].light for role in ("write", "chosen", "truth"))
HIDDEN = 1  # visibility of a joint behind something


def keypoint_heat_maps(
    image, box, maps, names: Sequence[str], *, skeleton: Sequence[tuple[int, int]] = (), truth=None, joint: str | None = None, **unknown
) -> Player:
    """What a keypoint head says of a person, and how a pixel comes of it: the map of a joint, its softmax over all cells, the highest
    cell, its place in the box, and the finer place in the enlarged map; at last all joints.

    The joint can be chosen. Cells and pixels count from 0; the middle of cell (row, column) lies at x1 + (column + ½) · width / S.

    Args:
        image: `[3, H, W]`, 0…1.
        box: `[4]`, or `[1, 4]`, x1, y1, x2, y2 in pixels of the image. It may reach beyond it.
        maps: `[J, S, S]`, or `[1, J, S, S]`, logits; S is at most 64.
        names: of the J joints.
        skeleton: pairs of joints, counted from 0, that a line joins.
        truth: where the joints are, `[J, 3]`, x, y and visibility (2 seen, 1 hidden, 0 unknown), or `[J, 2]`; or `{"keypoints": …}`.
        joint: the name of the one that is shown first; by default the first.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, keypoint_heat_maps)
    found = _Found.of(image, box, maps, names, skeleton, truth)
    joint = found.names[0] if joint is None else joint
    if joint not in found.names:
        raise ValueError(f"joint is {joint!r}; it is one of {', '.join(map(repr, found.names))}")

    def compute(joint: str) -> Trace:
        return _Story(found, found.names.index(joint)).trace()

    return Live(compute, [Choice("joint", found.names, joint)]) if len(found.names) > 1 else Player(compute(joint))


@dataclass(frozen=True)
class _Found:
    """What a keypoint head said of one box: `box [4]`, `maps [J, S, S]`, `truth [J, 3]`."""

    pixels: np.ndarray  # [H, W, 3]
    box: Tensor
    maps: Tensor
    names: list[str]
    skeleton: list[tuple[int, int]]
    truth: Tensor | None

    @classmethod
    def of(cls, image, box, maps, names, skeleton, truth) -> _Found:
        picture, names, box = pixels(image), _names(names), _box(box)
        maps = _maps(maps, len(names))
        return cls(picture, box, maps, names, _skeleton(skeleton, len(names)), None if truth is None else _truth(truth, len(names)))

    @property
    def cells(self) -> int:
        return self.maps.shape[-1]

    @cached_property
    def probabilities(self) -> Tensor:
        """The softmax of each map over all its cells, `[J, S, S]`."""
        return self.maps.flatten(1).softmax(1).view_as(self.maps)

    @cached_property
    def points(self) -> list[tuple[float, float]]:
        """Where the joints are, in pixels of the picture."""
        points, _ = decode_keypoints(self.maps[None], self.box[None])  # [1, J, 3]
        return [(x, y) for x, y, _ in points[0].tolist()]

    def said(self, j: int) -> str:
        return self.names[j].replace("_", " ")

    def true(self, j: int) -> tuple[float, float] | None:
        """Where joint j is, if anyone knows."""
        if self.truth is None or self.truth[j, 2] == 0:
            return None
        return tuple(self.truth[j, :2].tolist())

    def distance(self, j: int) -> float:
        return math.dist(self.points[j], self.true(j))


class _Story:
    """The animation of joint `j`."""

    def __init__(self, found: _Found, j: int):
        self.found, self.j = found, j
        self.name = found.said(j)
        self.logits, self.probability = found.maps[j], found.probabilities[j]  # [S, S] each
        self.best = divmod(int((self.logits == self.logits.max()).flatten().int().argmax()), found.cells)  # of equal ones the first
        x1, y1, x2, y2 = self.box = found.box.tolist()
        row, column = self.best
        self.middle = (x1 + (column + 0.5) * (x2 - x1) / found.cells, y1 + (row + 0.5) * (y2 - y1) / found.cells)
        height, width = found.pixels.shape[:2]
        self.whole = _View(found.pixels, (0, 0, width, height))
        side = math.ceil((1 + 2 * AROUND) * max(x2 - x1, y2 - y1))
        left, top = math.floor((x1 + x2 - side) / 2), math.floor((y1 + y2 - side) / 2)
        region = (max(left, 0), max(top, 0), min(left + side, width), min(top + side, height))
        self.near = _View(found.pixels, region if region[0] < region[2] and region[1] < region[3] else (0, 0, width, height))

    def trace(self) -> Trace:
        steps = [self._first(), self._map(), self._softmax(), self._argmax(), self._pixel(), self._finer(), *self._judged(), self._all()]
        panels = [self._photograph(), self._grid("map"), self._grid("probability"), self._under_the_box()]
        arrows = [Arrow("keypoint head"), Arrow("softmax"), Arrow("into the box")]
        return Trace(f"heat maps of {counted(len(self.found.names), 'joint')}", panels=panels, arrows=arrows, steps=steps)

    # ---- panels ---------------------------------------------------------------------------------------------------------

    def _photograph(self) -> Film:
        """As it is; with the joints up to this one; and with all of them."""
        view = self.whole
        frames = [view.pixels, self._joined(view, range(self.j + 1), truth=False), self._joined(view, self._all_of_them, truth=False)]
        legend = [("found", FOUND), (self.name, THIS), *([("true", TRUE)] if self.found.truth is not None else [])]
        boxes = Boxes([view.shown(self.box)], "read", measured=True)
        height, width = self.found.pixels.shape[:2]
        return Film("photograph", frames, note=f"[3, {height}, {width}]", width=8.0, legend=legend, boxes=boxes)

    def _grid(self, which: str) -> Grid:
        """The logits, or what the softmax makes of them; each cell knows its place under the box."""
        x1, y1, x2, y2 = self.near.shown(self.box)
        xs, ys = (np.linspace(start, end, self.found.cells + 1) for start, end in ((x1, x2), (y1, y2)))
        left, top = np.meshgrid(xs[:-1], ys[:-1])
        right, bottom = np.meshgrid(xs[1:], ys[1:])
        field = FieldBoxes("joint", np.stack((left, top, right, bottom), -1), self.near.factor, word="covers")  # [S, S, 4]
        note = f"[{self.found.cells}, {self.found.cells}]"
        if which == "map":
            return Grid("map", self.logits.numpy(), f"logits, {self.name}", note, "heat", width=8.0, field=field)
        limits = (0.0, float(self.probability.max()))
        return Grid("probability", self.probability.numpy(), note=note, paint="heat", empty=True, width=8.0, limits=limits, field=field)

    def _under_the_box(self) -> Film:
        """The part of the photograph with the box: as it is, under the enlarged map, with all joints, and with the true one."""
        view, at, true = self.near, self.found.points[self.j], self.found.true(self.j)
        enlarged = view.drawn(self.box, [], {at: THIS}, view.under(self.box, self._enlarged))
        frames = [view.pixels, enlarged, self._joined(view, self._all_of_them, truth=True)]
        if self.found.truth is not None:
            frames.append(view.drawn(self.box, [(at, true, TRUE)] if true else [], {**({true: TRUE} if true else {}), at: THIS}))
        boxes = Boxes([view.shown(self.box)], "read", measured=True)
        wide = 11.0 * min(1.0, view.pixels.shape[1] / view.pixels.shape[0])  # nor higher than that
        return Film("joint", frames, "in the picture", view.note, width=wide, boxes=boxes)

    def _joined(self, view: _View, joints: range, truth: bool) -> np.ndarray:
        """These joints and the lines between them; this one last, so that nothing covers it."""
        found = self.found
        lines = [(found.points[a], found.points[b], FOUND) for a, b in found.skeleton if a in joints and b in joints]
        true = {found.true(j): TRUE for j in joints if truth and found.true(j)}
        others = {found.points[j]: FOUND for j in joints if found.points[j] != found.points[self.j]}
        return view.drawn(self.box, lines, {**true, **others, found.points[self.j]: THIS})

    @property
    def _enlarged(self) -> np.ndarray:
        """The map with as many pixels as the box, as probabilities, from 0 to the highest as 0 to 1. `[h, w]`"""
        width, height = self._pixels_of_box
        large = F.interpolate(self.logits[None, None], size=(height, width), mode="bicubic")[0, 0]
        return (large - large.max()).exp().numpy()

    @property
    def _pixels_of_box(self) -> tuple[int, int]:
        x1, y1, x2, y2 = self.box
        return math.ceil(max(x2 - x1, 1)), math.ceil(max(y2 - y1, 1))

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _first(self) -> TraceStep:
        count, cells = len(self.found.names), self.found.cells
        each = f"for each of {count} joints. Here is the" if count > 1 else "for one joint, the"
        return TraceStep(
            f"Whatever the size of the [box|read], the keypoint head makes a map of [{cells} × {cells}|read] cells {each} "
            f"[{self.name}|chosen].",
            arithmetic=f"{count} × {cells} × {cells} = {count * cells**2}",
        )

    def _map(self) -> TraceStep:
        low, high = float(self.logits.min()), float(self.logits.max())
        caption = (
            f"The map of the {self.name} holds logits, here from {_short(low)} to [{_short(high)}|chosen]: the higher, the surer. "
            "Point at a cell to see where it lies."
        )
        return TraceStep(caption, {"map": {"chosen": [self.best]}})

    def _softmax(self) -> TraceStep:
        """All cells share one 1."""
        share, high = self.probability[self.best], self.logits[self.best]
        total = self.logits.flatten().logsumexp(0)
        caption = (
            f"The joint is in one cell and no other, so the {self.logits.numel()} cells are like classes: a softmax over all of them makes "
            f"probabilities that sum to 1. The highest gets [{_short(share)}|chosen]."
        )
        probability, powers = self.probability.numpy(), (self.logits - total).numpy()
        writes = dict(np.ndenumerate(probability))
        terms = {cell: f"exp({_fixed(power)})" for cell, power in np.ndenumerate(powers)}  # under the pointer
        return TraceStep(
            caption,
            {"map": {"read": [self.best]}, "probability": {"chosen": [self.best]}},
            {"probability": writes},
            terms={"probability": terms},
            arithmetic=f"exp({_fixed(high)} − {_fixed(total)}) = {_short(share)}, where {_fixed(total)} = log Σ exp(logit)",
        )

    def _argmax(self) -> TraceStep:
        """Which cell it is, and whether there was a choice."""
        cell, equal = self.best, (self.logits == self.logits.max()).nonzero().tolist()
        caption = f"The highest is at [{place_of(cell)}|chosen]."
        marks = {"chosen": [cell]}
        if len(equal) > 1:
            others = listed([place_of(tuple(other)) for other in equal[1:]], most=MOST_TIES)
            caption = f"{len(equal)} cells are equally high; the first counts, [{place_of(cell)}|chosen]. The others: {others}."
        elif second := self._second:
            marks["candidate"] = [second]
            caption += f" There is a second peak, {place_of(second)}, with {_short(self.probability[second])}: the head is undecided."
        else:
            around = self.probability[max(0, cell[0] - 1) : cell[0] + 2, max(0, cell[1] - 1) : cell[1] + 2]
            caption += f" With its neighbours it has {_short(around.sum())} of the 1, and no other peak comes near."
        return TraceStep(caption, {"map": marks, "probability": marks})

    def _pixel(self) -> TraceStep:
        """From the cell to the picture."""
        (row, column), (x, y), cells = self.best, self.middle, self.found.cells
        x1, y1, x2, y2 = self.box
        caption = (
            f"The box is {number(x2 - x1)} × {number(y2 - y1)} pixels, so a cell is {number((x2 - x1) / cells)} × "
            f"{number((y2 - y1) / cells)}, and the middle of [{place_of(self.best)}|chosen] lies at "
            f"[x = {number(x)}, y = {number(y)}|write].{self._outside(self.middle)}"
        )
        sums = [
            f"{number(start)} + ({at} + ½) × {number(side)} / {cells}" for start, at, side in ((x1, column, x2 - x1), (y1, row, y2 - y1))
        ]
        marks = {"probability": {"chosen": [self.best]}, "joint": {"chosen": [self.near.shown(self._cell)]}}
        return TraceStep(caption, marks, arithmetic=f"x = {sums[0]} = {number(x)};  y = {sums[1]} = {number(y)}")

    def _finer(self) -> TraceStep:
        """The place that the course's function gives."""
        x, y = self.found.points[self.j]
        width, height = self._pixels_of_box
        caption = (
            f"Between cells: the map is resized to the box, {width} × {height} pixels, bicubically, and the middle of the highest pixel is "
            f"the [{self.name}|chosen], [x = {number(x)}, y = {number(y)}|write]. That is {_pixels(math.dist(self.middle, (x, y)))} from "
            f"the middle of the cell.{self._outside((x, y))}"
        )
        return TraceStep(caption, shows={"joint": ENLARGED, "photograph": SO_FAR})

    def _judged(self) -> list[TraceStep]:
        if self.found.truth is None:
            return []
        true, found = self.found.true(self.j), self.found.points[self.j]
        if true is None:
            caption = (
                f"Where the {self.name} is in truth, nobody knows: its visibility is 0. Such a joint counts neither in the loss nor here."
            )
            return [TraceStep(caption, shows={"joint": JUDGED})]
        x1, y1, x2, y2 = self.box
        hidden = ", hidden behind something" if self.found.truth[self.j, 2] == HIDDEN else ""
        outside = "" if x1 <= true[0] <= x2 and y1 <= true[1] <= y2 else " It lies outside the box, where no cell could say it."
        caption = (
            f"In [truth|truth] it is at [x = {number(true[0])}, y = {number(true[1])}|truth]{hidden}: "
            f"[{_pixels(self.found.distance(self.j))}|chosen] away.{outside}"
        )
        sum_ = " + ".join(f"({number(a)} − {number(b)})²" for a, b in zip(found, true, strict=True))
        return [TraceStep(caption, arithmetic=f"√({sum_}) = {number(self.found.distance(self.j))}", shows={"joint": JUDGED})]

    def _all(self) -> TraceStep:
        found = self.found
        surest = found.probabilities.flatten(1).amax(1)  # [J]
        high, low = int(surest.argmax()), int(surest.argmin())
        joined = ", joined as the skeleton says" if found.skeleton else ""
        caption = f"All {len(found.names)} joints{joined}." if len(found.names) > 1 else f"The {self.name}, on the photograph."
        if high != low:
            caption += f" The network is surest of the {found.said(high)}, {_short(surest[high])}, "
            caption += f"and least sure of the {found.said(low)}, {_short(surest[low])}."
        known = [j for j in range(len(found.names)) if found.true(j)]
        if known:
            mean = math.fsum(found.distance(j) for j in known) / len(known)
            caption += f" From [{counted(len(known), 'true place')}|truth], the mean distance is {_pixels(mean)}."
        return TraceStep(caption, shows={"photograph": ALL, "joint": EVERY})

    # ---- what they share ------------------------------------------------------------------------------------------------

    @property
    def _all_of_them(self) -> range:
        return range(len(self.found.names))

    @property
    def _cell(self) -> Place:
        """The highest cell in pixels of the picture."""
        (x, y), (x1, y1, x2, y2) = self.middle, self.box
        half_width, half_height = (x2 - x1) / self.found.cells / 2, (y2 - y1) / self.found.cells / 2
        return (x - half_width, y - half_height, x + half_width, y + half_height)

    @property
    def _second(self) -> Cell | None:
        """The highest of the other peaks, cells above all their neighbours, if it is worth telling."""
        share = self.probability[None, None]
        peaks = (share == F.max_pool2d(share, 3, stride=1, padding=1))[0, 0]
        peaks[max(0, self.best[0] - 1) : self.best[0] + 2, max(0, self.best[1] - 1) : self.best[1] + 2] = False
        others = self.probability.where(peaks, 0)
        cell = divmod(int(others.argmax()), self.found.cells)
        return cell if others[cell] >= SECOND * self.probability[self.best] else None

    def _outside(self, at: tuple[float, float]) -> str:
        height, width = self.found.pixels.shape[:2]
        return "" if 0 <= at[0] <= width and 0 <= at[1] <= height else " That is outside the picture."


class _View:
    """A part of the photograph, `region` in whole pixels of it, as shown: `pixels [h, w, 3]`, the longer side 360."""

    def __init__(self, picture: np.ndarray, region: tuple[int, int, int, int]):
        from PIL import Image

        x1, y1, x2, y2 = self.region = region
        self.factor = SHOWN_SIDE / max(x2 - x1, y2 - y1)
        size = (max(1, round((x2 - x1) * self.factor)), max(1, round((y2 - y1) * self.factor)))
        part = Image.fromarray(np.ascontiguousarray(picture[y1:y2, x1:x2]))
        self.pixels = np.array(part.resize(size, Image.Resampling.BICUBIC))

    @property
    def note(self) -> str:
        x1, y1, x2, y2 = self.region
        return f"[{y2 - y1}, {x2 - x1}]"

    def shown(self, place: Sequence[float]) -> tuple[float, ...]:
        """A box or a point in pixels of the picture, where it lies as shown."""
        return tuple((side - start) * self.factor for side, start in zip(place, self.region[:2] * 2, strict=False))

    def under(self, box: Sequence[float], heat: np.ndarray) -> np.ndarray:
        """The photograph under values 0…1, `[h, w]`, which lie in a box."""
        x1, y1, x2, y2 = self.shown(box)
        rows = np.floor((np.arange(self.pixels.shape[0]) + 0.5 - y1) / max(y2 - y1, 1e-9) * heat.shape[0]).astype(int)
        columns = np.floor((np.arange(self.pixels.shape[1]) + 0.5 - x1) / max(x2 - x1, 1e-9) * heat.shape[1]).astype(int)
        inside = ((rows >= 0) & (rows < heat.shape[0]))[:, None] & ((columns >= 0) & (columns < heat.shape[1]))  # [H, W]
        values = heat[rows.clip(0, heat.shape[0] - 1)][:, columns.clip(0, heat.shape[1] - 1)]  # [H, W]
        mixed = (1 - HEAT) * self.pixels + HEAT * colours("heat")[(values * 255).round().astype(int)]
        return np.where(inside[..., None], mixed, self.pixels).round().astype(np.uint8)

    def drawn(
        self, box: Sequence[float], lines: Sequence[tuple], dots: Mapping[tuple[float, float], str], under: np.ndarray | None = None
    ) -> np.ndarray:
        """The photograph, or what is given `under`, with lines, (from, to, colour), and dots on it, {place: colour}, as large as suits
        the box; all in pixels of the picture."""
        from PIL import Image, ImageDraw

        height, width = self.pixels.shape[:2]
        under = Image.fromarray(self.pixels if under is None else under)
        sheet = under.resize((width * FINER, height * FINER), Image.Resampling.NEAREST)
        pen, (x1, y1, x2, y2) = ImageDraw.Draw(sheet), self.shown(box)
        side = FINER * min(max(x2 - x1, y2 - y1, 100.0), SHOWN_SIDE)
        rim, dot, line = RIM * side, DOT * side, LINE * side
        for start, end, colour in lines:
            ends = [tuple(at * FINER for at in self.shown(place)) for place in (start, end)]
            pen.line(ends, "#ffffff", round(line + 2 * rim))
            pen.line(ends, colour, round(line))
        for place, colour in dots.items():
            centre = [at * FINER for at in self.shown(place)]
            for radius, fill in ((dot + rim, "#ffffff"), (dot, colour)):
                pen.ellipse([at + sign * radius for sign in (-1, 1) for at in centre], fill)
        return np.array(sheet.resize((width, height), Image.Resampling.BOX))


def _short(value: float | Tensor) -> str:
    """0.00007 is 0 to whoever compares probabilities."""
    return number(round(float(value), 3))


def _fixed(logit: float | Tensor) -> str:
    """Two digits after the point: what is subtracted and raised to a power."""
    return f"{float(logit):.2f}".replace("-", "−")


def _pixels(distance: float) -> str:
    return f"{number(round(distance, 2))} pixels"


def _names(names) -> list[str]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"names is {names!r}; it takes the names of the joints")
    if len(set(names)) < len(names):
        raise ValueError(
            f"names holds {next(name for name in names if list(names).count(name) > 1)!r} twice; each joint has a name of its own"
        )
    if len(names) > MOST_JOINTS:
        raise ValueError(f"names holds {len(names)} joints; at most {MOST_JOINTS} can be told apart")
    return list(names)


def _box(box) -> Tensor:
    """`[4]`"""
    box = as_tensor(box, name="box")
    if box.shape not in ((4,), (1, 4)):
        raise ValueError(f"box has the shape {list(box.shape)}; it is one box, x1, y1, x2, y2")
    box = box.reshape(1, 4)
    arguments.check_boxes(box, "box", finite=True)
    arguments.check_sizes(box, "box")
    width, height = (box[0, 2:] - box[0, :2]).tolist()
    if math.ceil(width) * math.ceil(height) > MOST_BOX:
        raise ValueError(f"box is {number(width)} × {number(height)} pixels; each map is enlarged to it, and 4 megapixels can be shown")
    return box[0]


def _maps(maps, joints: int) -> Tensor:
    """`[J, S, S]`"""
    maps = as_tensor(maps, name="maps")
    shape = list(maps.shape)
    maps = maps[0] if maps.ndim == 4 and len(maps) == 1 else maps
    if maps.ndim != 3 or len(maps) != joints or maps.shape[1] != maps.shape[2]:
        raise ValueError(f"maps has the shape {shape}; for {counted(joints, 'name')} it is [{joints}, S, S], a square map for each joint")
    if not 1 <= maps.shape[-1] <= MOST_CELLS:
        raise ValueError(f"maps has {maps.shape[-1]}×{maps.shape[-1]} cells; the widget shows 1×1 to {MOST_CELLS}×{MOST_CELLS}")
    if not torch.isfinite(maps).all():
        raise ValueError("maps has NaN or infinite values; a widget shows finite numbers only")
    return maps


def _skeleton(skeleton, joints: int) -> list[tuple[int, int]]:
    try:
        pairs = [(int(a), int(b)) for a, b in skeleton]
    except (TypeError, ValueError):
        raise ValueError(f"skeleton is {skeleton!r}; it takes pairs of joints, counted from 0") from None
    wrong = [pair for pair in pairs if not all(0 <= joint < joints for joint in pair)]
    if wrong:
        raise ValueError(f"skeleton joins {wrong[0]}, and there are the joints 0 to {joints - 1}")
    return pairs


def _truth(truth, joints: int) -> Tensor:
    """`[J, 3]`"""
    if isinstance(truth, Mapping):
        if "keypoints" not in truth:
            raise ValueError(f"truth has {', '.join(map(repr, truth)) or 'nothing'}; it takes 'keypoints', or keypoints [J, 3]")
        truth = truth["keypoints"]
    truth = as_tensor(truth, name="truth")
    shape = list(truth.shape)
    truth = truth[0] if truth.ndim == 3 and len(truth) == 1 else truth
    if truth.ndim != 2 or len(truth) != joints or truth.shape[1] not in (2, 3):
        raise ValueError(f"truth has the shape {shape}; the joints of one person are [{joints}, 3], x, y and visibility, or [{joints}, 2]")
    if not torch.isfinite(truth).all():
        raise ValueError("truth has NaN or infinite values; a widget shows finite numbers only")
    return F.pad(truth, (0, 1), value=2.0) if truth.shape[1] == 2 else truth
