"""`segwidgets.selective_search`: regions grow together on the photograph, the tree of their merges grows, and each one's box is a proposal.

J. R. R. Uijlings, K. E. A. van de Sande, T. Gevers and A. W. M. Smeulders, "Selective Search for Object Recognition", IJCV 104(2), 2013:
section 3.1 (hierarchical grouping), section 3.3 (the order of the boxes).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course.ops.boxes import box_iou
from course.ops.step import number
from segwidgets.inputs import as_tensor, check_keywords, pixels, shrunk
from segwidgets.panels import Arrow, Boxes, BoxLook, Picture, Segmentation
from segwidgets.player import Player
from segwidgets.trace import Trace, TraceStep

MOST_SHOWN = 200  # merges that are shown one by one
STRIDES = 4  # steps in which all the merges before these are made
BUDGETS = (10, 100, 1000)  # ranked boxes that are looked at; then all
MOST_DRAWN = 100  # of them that are drawn
MOST_TRUE = 8
GOOD = 0.5  # an IoU from which on an object counts as found


def selective_search(image, regions, merges: Iterable, *, boxes=None, truth=None, names=None, shown: int = 40, **unknown) -> Player:
    """The grouping, played: always the two neighbours that are most alike become one region, and the box around it a proposal.

    While the pointer is on a region, its similarities to its neighbours stand below; on a region in the tree, or on a box, the merge that
    made it.

    Args:
        image: `[3, H, W]` in 0…1.
        regions: what the grouping starts from, `course.models.selective_search.initial_regions(image)`.
        merges: its steps, `course.models.selective_search.group_steps(regions)`.
        boxes: `[N, 4]`, x1, y1, x2, y2, the most object-like first, as `course.models.selective_search.selective_search(image)` gives them:
            shown at the end, the first 10, 100, 1000, all.
        truth: `[T, 4]`, the true boxes, at most 8: for each it is said which of `boxes` covers it best.
        names: a word for each true box.
        shown: how many of the merges are shown one by one, the last ones; those before are made in four strides.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, selective_search)
    if isinstance(shown, bool) or not isinstance(shown, int) or not 1 <= shown <= MOST_SHOWN:
        raise ValueError(f"shown is {shown!r}; it takes a whole number from 1 to {MOST_SHOWN}")
    picture = pixels(image)
    grouping = _Grouping.of(regions, merges, picture.shape[:2], shown)
    small, factor = shrunk(picture)
    proposals = None if boxes is None else _places(boxes, "boxes")
    true = _Truth.of(truth, names, proposals)
    photograph = _Photograph(grouping, factor, proposals, true)
    height, width = small.shape[:2]
    panels = [
        Segmentation(
            "regions",
            _fitted(grouping.labels, (height, width)),
            grouping.colours(picture),
            note="in their mean colours",
            pairs={pair: parts for merge in grouping.merges for pair, parts in merge.compared.items()},
            pieces=grouping.start,
        ),
        Picture("tree", None, "merge tree", "each on its two parts", (height, width), boxes=grouping.tree(height, width)),
        Picture("photograph", small, note=f"[3, {picture.shape[0]}, {picture.shape[1]}]", boxes=photograph.boxes),
    ]
    steps = [*_grown(grouping, photograph), *photograph.ranked()]
    return Player(Trace("selective search", panels=panels, arrows=[Arrow("merge"), Arrow("a box each")], steps=steps))


@dataclass(frozen=True)
class _Grouping:
    """The merges, and the regions that are shown in the tree and as boxes: `leaves`, those that are there when the merges begin to be shown
    one by one, then the merged ones in their order. What a region is called in the tree, and its box, is its place among them."""

    labels: np.ndarray
    sizes: list[float]
    places: list[tuple]
    merges: list
    early: int

    @classmethod
    def of(cls, regions, merges, size: tuple[int, int], shown: int) -> _Grouping:
        try:
            labels, sizes, places = (np.asarray(getattr(regions, name)) for name in ("labels", "sizes", "boxes"))
            merges = list(merges)
            ends = [(merge.first, merge.second, merge.region) for merge in merges]
        except (AttributeError, TypeError):
            raise TypeError(
                f"selective_search takes regions and merges from course.models.selective_search, initial_regions(image) and "
                f"group_steps(regions); got {type(regions).__name__} and {type(merges).__name__}"
            ) from None
        if labels.shape != size:
            raise ValueError(f"regions are those of a picture {list(labels.shape)}, and image is {list(size)}; both must be of one picture")
        count = len(sizes)
        right = [end[2] for end in ends] == list(range(count, 2 * count - 1)) and all(max(a, b) < region for a, b, region in ends)
        if not right:
            raise ValueError(
                f"merges has {len(merges)} steps; of {count} regions group_steps(regions) makes {count - 1}, until one is left"
            )
        sizes, places = sizes.tolist() + [merge.size for merge in merges], [tuple(place) for place in places.tolist()]
        return cls(labels, sizes, places + [merge.box for merge in merges], merges, max(0, len(merges) - shown))

    @property
    def start(self) -> int:
        """How many regions there are at first."""
        return len(self.merges) + 1

    @property
    def leaves(self) -> list[int]:
        """In the order in which they stand side by side in the tree, so that no two lines of it cross."""
        made, found, waiting = {merge.region: merge for merge in self.merges[self.early :]}, [], [len(self.sizes) - 1]
        while waiting:
            region = waiting.pop()
            if region in made:
                waiting += [made[region].second, made[region].first]
            else:
                found.append(region)
        return found

    @property
    def number(self) -> dict[int, int]:
        """Region → its number among those that are shown."""
        return {region: i for i, region in enumerate([*self.leaves, *(merge.region for merge in self.merges[self.early :])])}

    def colours(self, picture: np.ndarray) -> np.ndarray:
        """The mean colour of each region, `[2R − 1, 3]` uint8."""
        flat = self.labels.ravel()
        sums = np.zeros((len(self.sizes), 3))
        sums[: self.start] = np.stack([np.bincount(flat, picture[..., c].ravel(), self.start) for c in range(3)], axis=1)
        for merge in self.merges:
            sums[merge.region] = sums[merge.first] + sums[merge.second]
        return (sums / np.array(self.sizes)[:, None]).round().astype(np.uint8)

    def tree(self, height: int, width: int) -> Boxes:
        """A wall of boxes: each stands on the two it was made of, as wide as both, and reaches up to the one that it becomes part of."""
        level, span, top = {}, {}, {}
        for i, region in enumerate(self.leaves):
            level[region], span[region] = 0, (i, i + 1)
        for merge in self.merges[self.early :]:
            below = (merge.first, merge.second)
            level[merge.region] = 1 + max(level[region] for region in below)
            span[merge.region] = (min(span[region][0] for region in below), max(span[region][1] for region in below))
            top |= dict.fromkeys(below, level[merge.region])
        root = len(self.sizes) - 1
        top[root] = level[root] + 1
        column, row = width / len(self.leaves), height / top[root]
        places = [
            (span[region][0] * column + 1, height - top[region] * row + 1, span[region][1] * column, height - level[region] * row)
            for region in self.number
        ]
        return Boxes(places, role=None, measured=True)

    def pieces(self) -> dict[int, list[int]]:
        """Region → the pieces of the start that it holds."""
        held = {region: [region] for region in range(self.start)}
        for merge in self.merges:
            held[merge.region] = held[merge.first] + held[merge.second]
        return held


def _grown(grouping: _Grouping, photograph: _Photograph) -> list[TraceStep]:
    """The start, the strides, and then a step a merge."""
    leaves = dict.fromkeys(range(len(grouping.leaves)), "candidate")
    there = {"tree": leaves, "photograph": leaves}  # from the step on from which the merges are shown one by one
    if not grouping.merges:
        return [TraceStep("The picture is 1 region: nothing can be merged, and its only proposal is the whole picture.", boxes=there)]
    start = (
        f"[{grouping.start} regions|read]: the two neighbours that are most alike become one, again and again, until 1 region is left."
        " Point at a region to compare it with its neighbours."
    )
    steps, pieces = [TraceStep(start, boxes={} if grouping.early else there)], grouping.pieces()
    for group in np.array_split(np.arange(grouping.early), min(STRIDES, grouping.early) or 1):
        if len(group):
            steps.append(_stride([grouping.merges[i] for i in group], pieces))
    if grouping.early:
        last = steps.pop()
        steps.append(TraceStep(last.caption + " Their boxes are proposals.", writes=last.writes, boxes=there))
    return steps + [_merged(merge, grouping, pieces, photograph) for merge in grouping.merges[grouping.early :]]


def _stride(merges: list, pieces: dict[int, list[int]]) -> TraceStep:
    regions = {piece: merge.region for merge in merges for piece in pieces[merge.region]}
    alike = f"the last of two regions that were alike by {number(merges[-1].similarity)}"
    times = "1 merge" if len(merges) == 1 else f"{len(merges)} merges"
    return TraceStep(
        f"[{times}|write], {alike}: [{merges[-1].left}|chosen] regions are left.",
        writes={"regions": {(piece, 0): region for piece, region in regions.items()}},
    )


def _merged(merge, grouping: _Grouping, pieces: dict[int, list[int]], photograph: _Photograph) -> TraceStep:
    mine = grouping.number[merge.region]
    left = "1 region is left" if merge.left == 1 else f"{merge.left} regions are left"
    return TraceStep(
        f"[These two|read] are the most alike of all neighbours, by [{number(merge.similarity)}|chosen]: they become "
        f"[one region of {merge.size} pixels|write], and {left}.",
        marks={
            "regions": {"read": [(pieces[merge.first][0], 0), (pieces[merge.second][0], 0)], "write": [(pieces[merge.region][0], 0)]},
            "tree": {"write": [mine]},
            "photograph": {"write": [mine]},
        },
        writes={"regions": {(piece, 0): merge.region for piece in pieces[merge.region]}},
        arithmetic=merge.arithmetic,
        boxes={"tree": {mine: "candidate"}, "photograph": {mine: "candidate"}},
    )


@dataclass(frozen=True)
class _Truth:
    """True boxes [T, 4], their names, and the IoU of each with each proposal, [T, N]."""

    places: np.ndarray
    names: Sequence[str]
    overlaps: Tensor

    @classmethod
    def of(cls, truth, names, proposals: np.ndarray | None) -> _Truth:
        if truth is not None and proposals is None:
            raise ValueError("truth says what the boxes should cover: pass boxes= too")
        places = np.zeros((0, 4)) if truth is None else _places(truth, "truth")
        if len(places) > MOST_TRUE:
            raise ValueError(f"truth holds {len(places)} boxes; at most {MOST_TRUE} can be followed: pass truth[:{MOST_TRUE}]")
        names = [f"object {i}" for i in range(len(places))] if names is None else names
        if isinstance(names, str) or len(names) != len(places) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"names is {names!r}; it takes a word for each of the {len(places)} true boxes")
        overlaps = torch.zeros(len(places), 0) if proposals is None else box_iou(torch.tensor(places), torch.tensor(proposals))
        return cls(places, [name[:20] for name in names], overlaps)

    def best(self, budget: int) -> list[tuple[int, float]]:
        """For each true box the number of the proposal that covers it best, among the first ones, and their IoU."""
        overlaps, boxes = self.overlaps[:, :budget].max(1)
        return list(zip(boxes.tolist(), overlaps.tolist(), strict=True))


class _Photograph:
    """The boxes on the photograph: those of the regions, then as many ranked ones as are drawn, the true ones, and the best for each."""

    def __init__(self, grouping: _Grouping, factor: float, proposals: np.ndarray | None, true: _Truth):
        self.factor, self.proposals, self.true = factor, np.zeros((0, 4)) if proposals is None else proposals, true
        own = np.array([grouping.places[region] for region in grouping.number])
        drawn = self.proposals[:MOST_DRAWN]
        self.boxes = Boxes(factor * np.concatenate([own, drawn, true.places, true.places]), role=None, measured=True)
        self.own, self.drawn = len(own), len(drawn)

    def ranked(self) -> list[TraceStep]:
        """A step a budget."""
        count = len(self.proposals)
        return [self._first(budget) for budget in [*(budget for budget in BUDGETS if budget < count), count]] if count else []

    def _first(self, budget: int) -> TraceStep:
        count, drawn = len(self.proposals), budget if budget <= MOST_DRAWN else 0
        changes: dict[int, BoxLook | str | None] = dict.fromkeys(range(self.own))
        changes |= {self.own + i: "candidate" if i < drawn else None for i in range(self.drawn)}
        at, told = self.own + self.drawn, []
        for i, (name, (best, overlap)) in enumerate(zip(self.true.names, self.true.best(budget), strict=True)):
            changes[at + i] = "truth"
            place = tuple((self.factor * self.proposals[best]).tolist())
            changes[at + len(self.true.names) + i] = BoxLook("chosen", f"{name} {number(overlap)}", place) if overlap else None
            told.append(f"{name} {number(overlap)}")
        many = f"All {count} ranked boxes" if budget == count else f"The first {budget} of {count} ranked boxes"
        caption = f"[{many}|read]{'' if drawn else ', too many to draw'}"
        if told:
            found = sum(overlap >= GOOD for _, overlap in self.true.best(budget))
            caption += f": [{found}|chosen] of [{len(told)}|truth] objects are covered with an IoU of at least {number(GOOD)}"
        return TraceStep(f"{caption}.", arithmetic=f"best IoU: {', '.join(told)}" if told else "", boxes={"photograph": changes})


def _places(boxes, name: str) -> np.ndarray:
    places = as_tensor(boxes, name=name)
    if places.ndim != 2 or places.shape[1] != 4 or not torch.isfinite(places).all() or (places[:, 2:] < places[:, :2]).any():
        raise ValueError(f"{name} has the shape {list(places.shape)}; it takes boxes [N, 4], x1, y1, x2, y2, finite, x1 ≤ x2 and y1 ≤ y2")
    return places.double().numpy()


def _fitted(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The label map at the size at which it is shown: of each pixel the label at its centre."""
    rows = ((np.arange(size[0]) + 0.5) * labels.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * labels.shape[1] / size[1]).astype(int)
    return labels[rows[:, None], columns]
