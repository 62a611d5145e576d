"""`segwidgets.felzenszwalb` and `segwidgets.slic`: a photograph falls into regions of like colour.

P. Felzenszwalb and D. Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, section 3: regions merge while the step in
colour between them is no larger than inside them, plus scale / size. R. Achanta et al., "SLIC Superpixels Compared to
State-of-the-Art Superpixel Methods", TPAMI 2012, section 3: k-means in colour and place, each centre looking only near itself. Both by
scikit-image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from course.ops.step import number
from segwidgets.inputs import channels_last, check_keywords, pixels, shrunk
from segwidgets.panels import Arrow, Bars, Film
from segwidgets.player import Player
from segwidgets.roles import ROLES
from segwidgets.trace import Trace, TraceStep

MOST_FRAMES = 16
OUTLINE = ROLES["candidate"].light  # a region may become an object: it is a candidate


def felzenszwalb(image, scales: Sequence[float] = (30, 100, 300, 1000, 3000), *, sigma=0.8, min_size=20, **unknown) -> Player:
    """Graph-based segmentation at one scale after the other: the larger the scale, the larger the regions that it prefers.

    Args:
        image: `[3, H, W]` in 0…1.
        scales: rising, each above 0; as `skimage.segmentation.felzenszwalb` takes them.
        sigma: how much the picture is smoothed first, in pixels.
        min_size: pixels; smaller regions are merged into a neighbour at the end.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, felzenszwalb)
    scales = _rising(scales)
    _check_number("sigma", sigma, least=0)
    _check_number("min_size", min_size, least=1)
    picture, floats = pixels(image), channels_last(image)
    from skimage import segmentation

    labels = [segmentation.felzenszwalb(floats, scale=scale, sigma=sigma, min_size=min_size) for scale in scales]
    counts = [_count(each) for each in labels]
    bars = Bars(
        "regions", np.array(counts), [f"scale {number(scale)}" for scale in scales], title="how many", note="regions", empty=True, width=9.0
    )
    steps = [
        TraceStep(
            f"Neighbouring pixels merge as long as the step in colour between two regions is small; {len(scales)} scales say how small."
        )
    ]
    for i, (scale, count) in enumerate(zip(scales, counts, strict=True)):
        steps.append(
            TraceStep(
                f"Scale [{number(scale)}|read]: a region of n pixels still merges over a step {number(scale)} ÷ n larger than any inside "
                f"it, which leaves [{count}|write] regions.",
                marks={"regions": {"write": [(i, 0)]}},
                writes={"regions": {(i, 0): count}},
                shows={"photograph": i + 1, "means": i + 1},
            )
        )
    return _player("Felzenszwalb and Huttenlocher", picture, labels, bars, steps, "merge")


def slic(image, n_segments=100, *, compactness=10.0, iterations=10, **unknown) -> Player:
    """Superpixels, an iteration at a time: each pixel goes to the centre that is nearest in colour and place, then centres move.

    Args:
        image: `[3, H, W]` in 0…1.
        n_segments: how many superpixels, roughly; as `skimage.segmentation.slic` takes it.
        compactness: how much place counts against colour; 100 gives squares, 1 follows every edge.
        iterations: how many are shown, 1 to 16.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, slic)
    _check_number("n_segments", n_segments, least=1)
    _check_number("compactness", compactness, least=0)
    if isinstance(iterations, bool) or not isinstance(iterations, int) or not 1 <= iterations <= MOST_FRAMES:
        raise ValueError(f"iterations is {iterations!r}; it takes a whole number from 1 to {MOST_FRAMES}")
    picture, floats = pixels(image), channels_last(image)
    from skimage import segmentation

    given = {"n_segments": n_segments, "compactness": compactness, "start_label": 0, "channel_axis": -1}
    rounds = range(1, iterations + 1)
    labels = [segmentation.slic(floats, max_num_iter=i, **given) for i in rounds]
    # Stray pixels are joined to a neighbour after each run, which renumbers: who moved is read before that.
    raw = [segmentation.slic(floats, max_num_iter=i, enforce_connectivity=False, **given) for i in rounds]
    moved = [100.0, *(100 * float((after != before).mean()) for before, after in zip(raw, raw[1:], strict=False))]
    names = [f"round {i}" for i in rounds]
    bars = Bars("moved", np.array(moved), names, "pixels that moved", "per cent", empty=True, width=9.0)
    steps = [
        TraceStep(
            f"Centres stand on a grid, about {n_segments} of them; each pixel joins the one that is nearest in colour and in place "
            f"(compactness [{number(compactness)}|read]), then each centre moves to its pixels' mean."
        )
    ]
    for i, (each, part) in enumerate(zip(labels, moved, strict=True)):
        change = "every pixel has joined a centre" if i == 0 else f"[{number(round(part, 2))}%|write] of the pixels changed their centre"
        steps.append(
            TraceStep(
                f"Round {i + 1}: {change}; joined up, there are [{_count(each)}|chosen] superpixels.",
                marks={"moved": {"write": [(i, 0)]}},
                writes={"moved": {(i, 0): part}},
                shows={"photograph": i + 1, "means": i + 1},
            )
        )
    return _player("SLIC superpixels", picture, labels, bars, steps, "k-means")


def _player(title: str, picture: np.ndarray, labels: list[np.ndarray], bars: Bars, steps: list[TraceStep], arrow: str) -> Player:
    """The photograph with the regions' outlines, the regions in their mean colours, and the bars."""
    small, _ = shrunk(picture)
    note = f"[3, {picture.shape[0]}, {picture.shape[1]}]"
    fitted = [_fitted(each, small.shape[:2]) for each in labels]
    blank = np.full_like(small, 236)
    panels = [
        Film("photograph", [small, *(_outlined(small, each) for each in fitted)], note=note),
        Film("means", [blank, *(_means(small, each) for each in fitted)], "regions", "in their mean colours"),
        bars,
    ]
    return Player(Trace(title, panels=panels, arrows=[Arrow(arrow), None], steps=steps))


def _fitted(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The label map at the size at which it is shown: of each pixel the label at its centre."""
    rows = ((np.arange(size[0]) + 0.5) * labels.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * labels.shape[1] / size[1]).astype(int)
    return labels[rows[:, None], columns]


def _outlined(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Two pixels wide, on a darkened picture: from the back row a line of one pixel is none."""
    from skimage.segmentation import find_boundaries

    outlined = (0.75 * picture).astype(np.uint8)
    outlined[find_boundaries(labels, mode="thick")] = [int(OUTLINE[i : i + 2], 16) for i in (1, 3, 5)]
    return outlined


def _means(picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Each region in the mean of its colours."""
    flat = labels.ravel()
    sizes = np.bincount(flat).clip(min=1)
    means = np.stack([np.bincount(flat, picture[..., c].ravel()) / sizes for c in range(3)], axis=-1)  # [regions, 3]
    return means[labels].round().astype(np.uint8)


def _count(labels: np.ndarray) -> int:
    return len(np.unique(labels))


def _rising(scales) -> list[float]:
    try:
        numbers = [float(scale) for scale in scales]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or numbers[0] <= 0 or not np.isfinite(numbers).all() or numbers != sorted(set(numbers)):
        raise ValueError(f"scales is {scales!r}; it takes rising numbers above 0, such as (30, 100, 300)")
    if len(numbers) > MOST_FRAMES:
        raise ValueError(f"scales has {len(numbers)} values; {MOST_FRAMES} can be shown")
    return numbers


def _check_number(name: str, value, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < float("inf"):
        raise ValueError(f"{name} is {value!r}; it takes a number from {number(least)} up")
