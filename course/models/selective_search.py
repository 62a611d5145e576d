"""Selective search: regions that grow together, two at a time, and the box around each of them is a proposal.

Paper: J. R. R. Uijlings, K. E. A. van de Sande, T. Gevers and A. W. M. Smeulders, "Selective Search for Object Recognition", IJCV 104(2),
2013: section 3.1 (hierarchical grouping, algorithm 1), 3.2 (diversification), 3.3 (combining the hierarchies: the order of the boxes),
section 5 ("single", "fast" and "quality", table 5). The start: P. Felzenszwalb and D. Huttenlocher, "Efficient Graph-Based Image
Segmentation", IJCV 59(2), 2004, from scikit-image.

    regions = those of Felzenszwalb and Huttenlocher
    while there are two:  merge the two neighbours that are most alike; compare the new region with its neighbours
    proposals = the boxes around all regions that there ever were

Differs from the paper: to segment is what costs time here, and to group is cheap, so the modes segment less often, start finer and group
each segmentation three times: with all four similarities, without colour, without texture. "single" is Lab with k = 50 (there HSV, 100),
"fast" Lab with k = 25 and 150 (there HSV and Lab, 50 and 100), "quality" eight segmentations (there twenty). On COCO's photographs the
first 2000 boxes find more objects so; it is the k of 25 that finds the small ones. The random order is seeded: the same picture gives the
same boxes. Regions are neighbours when pixels of theirs share a side.
Differs from torchvision: it has no such function.

Shape letters: H × W picture, R regions at the start, F numbers of a histogram, P pairs of neighbours, N proposals.
"""

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import find_objects
from skimage.segmentation import felzenszwalb
from torch import Tensor

from course.data.photos import load_image
from course.models.region_similarity import (
    COLOUR_BINS,
    TEXTURE_BINS,
    colour_bins,
    colour_similarity,
    fill_similarity,
    in_colour_space,
    merged_histogram,
    region_histograms,
    size_similarity,
    texture_bins,
    texture_similarity,
)
from course.ops import arguments
from course.ops.step import Step, number

SIMILARITIES = ("colour", "texture", "size", "fill")


@dataclass(frozen=True)
class Diversification:
    """Every colour space with every scale gives a segmentation, and every set of similarities groups it once more.

    Attributes:
        colour_spaces: keys of `region_similarity.COLOUR_SPACES`.
        scales: k of the segmentation: the larger, the larger its regions; also the least size of a region, in pixels.
        similarities: for each hierarchy the measures to be added, out of `SIMILARITIES`.
    """

    colour_spaces: tuple[str, ...]
    scales: tuple[int, ...]
    similarities: tuple[tuple[str, ...], ...]


VARIED = (SIMILARITIES, ("texture", "size", "fill"), ("colour", "size", "fill"))

MODES = {
    "single": Diversification(("Lab",), (50,), (SIMILARITIES,)),
    "fast": Diversification(("Lab",), (25, 150), VARIED),
    "quality": Diversification(("Lab", "HSV", "rgI", "I"), (25, 150), VARIED),
}


def selective_search(image: Tensor, mode: str | Diversification = "fast", *, seed: int = 0) -> Tensor:
    """Boxes in which an object may be, the most object-like first.

    Args:
        image: `[3, H, W]`, RGB, floats in 0…1 or uint8; grey, and colours with alpha, as `course.data.photos.load_image` takes them.
        mode: "single" (one hierarchy, about a thousand boxes), "fast" (six), "quality" (twenty-four), or what to vary.
        seed: of the order. Take as many from the front as can be afforded; 2000 is R-CNN's number.

    Returns: float32 `[N, 4]`, x1, y1, x2, y2, on the image's device; no box twice. The whole picture is one of them.

    Raises: TypeError or ValueError for no such picture or mode.
    """
    picture, choice = _picture(image), _diversification(mode)
    hierarchies = []
    for space in choice.colour_spaces:
        look = _Look.of(picture, space)
        for scale in choice.scales:
            regions = look.describe(look.segment(scale, sigma=0.8, min_size=scale))
            hierarchies += [group(regions, similarities).boxes for similarities in choice.similarities]
    return ranked(hierarchies, seed=seed).to(image.device)


def ranked(hierarchies: Sequence[Tensor], *, seed: int = 0) -> Tensor:
    """Put the boxes of several hierarchies in one order: `[2R_i − 1, 4]` each → `[N, 4]`, without duplicates.

    In each hierarchy the last region, the whole picture, has position 1, the one before it 2, and so on. The positions are multiplied by
    random numbers from 0 to 1, and the boxes sorted by them. Large regions, which were hard to find, come early, but not always: sorted by
    position alone, all small objects would come last. Of equal boxes the first stays. Source: paper, section 3.3.
    """
    boxes = torch.cat([tree.flip(0) for tree in hierarchies])
    positions = np.concatenate([np.arange(1, len(tree) + 1) for tree in hierarchies])
    order = (positions * np.random.default_rng(seed).random(len(positions))).argsort(kind="stable")
    return torch.tensor(list(dict.fromkeys(map(tuple, boxes[order].tolist()))))  # [N, 4]: a dict keeps the first of each


@dataclass(frozen=True)
class Regions:
    """A segmentation and what is known of its regions.

    Attributes:
        labels: int64 `[H, W]`, 0 … R−1.
        sizes: float64 `[R]`, in pixels.
        boxes: float32 `[R, 4]`, x1, y1, x2, y2.
        colours, textures: float32 `[R, F]`, the histograms.
        neighbours: int64 `[P, 2]`, pairs of regions that touch, the smaller number first, each pair once.
    """

    labels: Tensor
    sizes: Tensor
    boxes: Tensor
    colours: Tensor
    textures: Tensor
    neighbours: Tensor


def initial_regions(
    image: Tensor, *, colour_space: str = "Lab", scale: float = 100, sigma: float = 0.8, min_size: int | None = None
) -> Regions:
    """The regions that the grouping starts from, by Felzenszwalb and Huttenlocher, and their histograms, in one colour space.

    Args:
        image: as `selective_search` takes it.
        colour_space: a key of `region_similarity.COLOUR_SPACES`.
        scale: k, above 0: the larger, the larger the regions.
        sigma: of the Gaussian that smooths the picture before, in pixels.
        min_size: smaller regions are joined to a neighbour, in pixels; by default `scale`.

    Raises: TypeError or ValueError for no such picture, colour space or number.
    """
    if not scale > 0 or not sigma >= 0:
        raise ValueError(f"scale must be above 0 and sigma at least 0; got scale {scale!r} and sigma {sigma!r}.")
    least = arguments.whole(round(scale) if min_size is None else min_size, "min_size", 0)
    look = _Look.of(_picture(image), colour_space)
    return look.describe(look.segment(scale, sigma, least))


def described(labels: Tensor, image: Tensor, *, colour_space: str = "Lab") -> Regions:
    """What is known of the regions of any segmentation of the picture.

    Args:
        labels: int64 `[H, W]`, 0 … R−1, each of them somewhere.
        image, colour_space: as `initial_regions` takes them.

    Raises: TypeError or ValueError for others.
    """
    picture = _picture(image)
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        raise TypeError(f"labels must be an int64 tensor; got {getattr(labels, 'dtype', type(labels).__name__)}.")
    if labels.shape != picture.shape[1:]:
        raise ValueError(f"labels must have the picture's height and width, {list(picture.shape[1:])}; got {list(labels.shape)}.")
    present = labels.unique().cpu()
    if not torch.equal(present, torch.arange(len(present))):
        raise ValueError("labels must be 0 … R−1, none of them left out.")
    return _Look.of(picture, colour_space).describe(labels.cpu())


@dataclass(frozen=True)
class Hierarchy:
    """All regions that there ever were: the R of the start, then the merged ones in their order. The last one is the whole picture.

    Attributes:
        boxes: float32 `[2R − 1, 4]`.
        sizes: float64 `[2R − 1]`, in pixels.
        children: int64 `[R − 1, 2]`: the two that became region R, R + 1, …
    """

    boxes: Tensor
    sizes: Tensor
    children: Tensor


def group(regions: Regions, similarities: Collection[str] = SIMILARITIES) -> Hierarchy:
    """Merge the two neighbours that are most alike, until one region is left. Paper, section 3.1, algorithm 1.

    Args:
        regions: from `initial_regions`.
        similarities: which of `SIMILARITIES` to add.

    Raises: ValueError for none, or others.
    """
    grouping = _Grouping(regions, similarities)
    children = [(first, second) for first, second, _, _ in grouping.merges()]
    return Hierarchy(
        boxes=torch.from_numpy(grouping.boxes).float(),
        sizes=torch.from_numpy(grouping.sizes),
        children=torch.tensor(children, dtype=torch.int64).reshape(-1, 2),
    )


@dataclass(frozen=True)
class Merge:
    """One step of the grouping.

    Attributes:
        first, second: the two that were most alike; `region`: the number of the new one.
        parts: measure → how alike they were in it. `similarity`: the sum.
        size: of the new region, in pixels; `box`: around it, (x1, y1, x2, y2).
        left: how many regions there are now.
        compared: what had to be computed for this step, (region, region) → measure → how alike they are in it: for the first step all
            neighbours of the start, afterwards the region of the step before with its neighbours.
    """

    first: int
    second: int
    region: int
    parts: Mapping[str, float]
    similarity: float
    size: int
    box: tuple[int, int, int, int]
    left: int
    compared: Mapping[tuple[int, int], Mapping[str, float]]

    @property
    def sentence(self) -> str:
        """One sentence, for reading aloud; coloured values are marked as in `course.ops.step.Step`."""
        left = "one region is" if self.left == 1 else f"{self.left} regions are"
        return (
            f"Of all neighbours, regions [{self.first}|read] and [{self.second}|read] are most alike, "
            f"[{number(self.similarity)}|chosen]: they become region [{self.region}|write], and {left} left."
        )

    @property
    def arithmetic(self) -> str:
        """The sum with its numbers: "colour 0.5 + size 0.9 = 1.4"."""
        return " + ".join(f"{name} {number(part)}" for name, part in self.parts.items()) + f" = {number(self.similarity)}"

    @property
    def text(self) -> str:
        """The sentence without its colour marks."""
        return Step(self.sentence, {}, {}).text


def group_steps(regions: Regions, similarities: Collection[str] = SIMILARITIES) -> Iterator[Merge]:
    """The merges of `group`, one at a time, each with its reasons. Arguments and errors: as there."""
    grouping = _Grouping(regions, similarities)
    left = len(regions.sizes)
    compared = grouping.compared(regions.neighbours.tolist())
    for first, second, region, similarity in grouping.merges():
        left -= 1
        yield Merge(
            first=first,
            second=second,
            region=region,
            parts=grouping.compared([(first, second)])[first, second],
            similarity=similarity,
            size=int(grouping.sizes[region]),
            box=tuple(grouping.boxes[region].astype(int).tolist()),
            left=left,
            compared=compared,
        )
        compared = grouping.compared([(other, region) for other in sorted(grouping.neighbours[region])])


class _Grouping:
    """What is known of all regions, merged ones included, and who touches whom. In NumPy, which costs less for a handful of numbers."""

    def __init__(self, regions: Regions, similarities: Collection[str]):
        unknown = [name for name in similarities if name not in SIMILARITIES]
        if isinstance(similarities, str) or unknown or not similarities:
            raise ValueError(f"similarities must be some of {', '.join(SIMILARITIES)}, in a tuple; got {similarities!r}.")
        self.names = [name for name in SIMILARITIES if name in similarities]
        self.start, self.image_size = len(regions.sizes), regions.labels.numel()
        self.sizes, self.boxes = self._with_room(regions.sizes.double()), self._with_room(regions.boxes.double())
        histograms = {"colour": regions.colours, "texture": regions.textures}
        self.histograms = {name: self._with_room(values) for name, values in histograms.items() if name in self.names}
        self.neighbours: list[set[int]] = [set() for _ in self.sizes]
        first, second = regions.neighbours.T.tolist()
        for a, b in zip(first, second, strict=True):
            self.neighbours[a].add(b)
            self.neighbours[b].add(a)
        self.waiting = self._entries(first, second)
        heapq.heapify(self.waiting)

    def merges(self) -> Iterator[tuple[int, int, int, float]]:
        """Merge until one is left, and tell each time: the two, the new region, the similarity."""
        gone: set[int] = set()
        for region in range(self.start, len(self.sizes)):
            dissimilarity, first, second = heapq.heappop(self.waiting)
            while first in gone or second in gone:  # pairs of a region that is merged are not searched for, but skipped when they come up
                dissimilarity, first, second = heapq.heappop(self.waiting)
            gone |= {first, second}
            self._merge(first, second, region)
            touched = list(self.neighbours[region])
            for entry in self._entries(touched, [region] * len(touched)):
                heapq.heappush(self.waiting, entry)
            yield first, second, region, -dissimilarity

    def parts(self, first, second) -> dict[str, np.ndarray]:
        """How alike regions are, measure by measure; first and second are numbers of regions, or arrays of them."""
        box_a, box_b, size_a, size_b = self.boxes[first], self.boxes[second], self.sizes[first], self.sizes[second]
        measures = {
            "colour": lambda: colour_similarity(self.histograms["colour"][first], self.histograms["colour"][second]),
            "texture": lambda: texture_similarity(self.histograms["texture"][first], self.histograms["texture"][second]),
            "size": lambda: size_similarity(size_a, size_b, self.image_size),
            "fill": lambda: fill_similarity(box_a, box_b, size_a, size_b, self.image_size),
        }
        return {name: measures[name]() for name in self.names}

    def compared(self, pairs: Sequence[Sequence[int]]) -> dict[tuple[int, int], dict[str, float]]:
        """The parts of each pair."""
        return {(a, b): {name: float(part) for name, part in self.parts(a, b).items()} for a, b in pairs}

    def _merge(self, first: int, second: int, region: int) -> None:
        sizes, boxes = self.sizes, self.boxes
        for histogram in self.histograms.values():
            histogram[region] = merged_histogram(histogram[first], histogram[second], sizes[first], sizes[second])
        sizes[region] = sizes[first] + sizes[second]
        boxes[region, :2] = np.minimum(boxes[first, :2], boxes[second, :2])
        boxes[region, 2:] = np.maximum(boxes[first, 2:], boxes[second, 2:])
        self.neighbours[region] = (self.neighbours[first] | self.neighbours[second]) - {first, second}
        for other in self.neighbours[region]:
            self.neighbours[other] -= {first, second}
            self.neighbours[other].add(region)

    def _entries(self, first: list[int], second: list[int]) -> list[tuple[float, int, int]]:
        """Pairs as they wait in the heap, which gives the least first: the similarity is negated, and of equals the lower numbers win."""
        if not first:
            return []
        similarity = sum(self.parts(np.array(first), np.array(second)).values())
        return list(zip((-similarity).tolist(), first, second, strict=True))

    def _with_room(self, values: Tensor) -> np.ndarray:
        """[R, ...] → [2R − 1, ...], the rest for regions to come."""
        room = np.zeros((2 * self.start - 1, *values.shape[1:]), values.numpy().dtype)
        room[: self.start] = values.numpy()
        return room


@dataclass(frozen=True)
class _Look:
    """A picture in a colour space, float32 [C, H, W], and the bins that its pixels fall into: enough for any scale."""

    image: Tensor
    colour: Tensor
    texture: Tensor

    @classmethod
    def of(cls, picture: Tensor, colour_space: str) -> "_Look":
        image = in_colour_space(picture, colour_space)
        return cls(image, colour_bins(image), texture_bins(image))

    def segment(self, scale: float, sigma: float, min_size: int) -> Tensor:
        pixels = self.image.permute(1, 2, 0).numpy()  # [H, W, C]
        return torch.from_numpy(felzenszwalb(pixels, scale, sigma, min_size, channel_axis=-1)).long()  # [H, W]

    def describe(self, labels: Tensor) -> Regions:
        boxes = [(columns.start, rows.start, columns.stop, rows.stop) for rows, columns in find_objects(labels.numpy() + 1)]
        return Regions(
            labels=labels,
            sizes=labels.flatten().bincount().double(),
            boxes=torch.tensor(boxes, dtype=torch.float32),
            colours=region_histograms(self.colour, labels, COLOUR_BINS),
            textures=region_histograms(self.texture, labels, TEXTURE_BINS),
            neighbours=_touching(labels),
        )


def _touching(labels: Tensor) -> Tensor:
    """The pairs of labels that meet at a side of a pixel. [P, 2]"""
    aside = torch.stack([labels[:, :-1].flatten(), labels[:, 1:].flatten()])  # [2, H*(W-1)]
    below = torch.stack([labels[:-1].flatten(), labels[1:].flatten()])  # [2, (H-1)*W]
    pairs = torch.cat([aside, below], 1)
    pairs = pairs[:, pairs[0] != pairs[1]].sort(0).values
    regions = int(labels.max()) + 1
    codes = (pairs[0] * regions + pairs[1]).unique()  # far faster than to look for unique columns
    return torch.stack([codes // regions, codes % regions], 1)


def _picture(image: Tensor) -> Tensor:
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a torch.Tensor of shape [3, H, W]; got {type(image).__name__}.")
    return load_image(image)


def _diversification(mode: str | Diversification) -> Diversification:
    if isinstance(mode, Diversification):
        return mode
    if mode not in MODES:
        raise ValueError(f"There is no mode {mode!r}; accepted are {', '.join(MODES)}, or a Diversification.")
    return MODES[mode]
