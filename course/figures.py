"""Plots in the course's one visual language: ground truth green, prediction orange, heat maps viridis, white paper.

Each function returns the figure and leaves matplotlib as it was: no backend is chosen, no style stays switched on, and no
figure stays open, so a cell that ends in one of them shows it once.
"""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from textwrap import fill

import numpy as np
from torch import Tensor

from course.ops.labels import VOID, VOID_COLOURS, colour_labels, label_colour

TRUTH, PREDICTION = "#009E73", "#E69F00"
SIGNED = ("#0072B2", "#FFFFFF", "#D55E00")
CURVES = 7  # looks that the style file tells apart
WIDTH, LARGEST = 7.5, 2.5  # inches: a notebook's column, and a panel in it when there is room


def show_pictures(
    rows: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    *,
    truth: Sequence[Tensor | Mapping[str, Tensor]] | None = None,
    classes: Sequence[str] | None = None,
):
    """Pictures, masks and maps in a grid, one row an example; the names stand above the columns.

    Args:
        rows: for each example {name: tensor}, all with the same names; for a single row, just the one. `[3, H, W]` float in 0…1 is a
            picture; `[H, W]` bool or whole numbers is a predicted mask (0 is background), drawn in orange; `[H, W]` float is a heat map,
            from 0 to its maximum, or around 0 if it has both signs.
        truth: for each example the true mask `[H, W]`, whose outline is drawn in green over the whole row; or {name: mask} where
            the pictures of a row have masks of their own.
        classes: the names of the classes, background first. Then whole numbers are a label map, painted a colour a class, and a
            legend names those that occur.

    Returns: matplotlib.figure.Figure. Raises: ValueError for rows that do not match, or tensors of another shape.
    """
    rows = [rows] if isinstance(rows, Mapping) else rows
    names = list(rows[0]) if len(rows) else []
    if not names or any(list(row) != names for row in rows):
        raise ValueError("show_pictures needs at least one row, and the same names in every row.")
    if truth is not None and len(truth) != len(rows):
        raise ValueError(f"show_pictures needs one true mask a row: there are {len(rows)} rows and {len(truth)} masks.")
    side = min(WIDTH / len(names), LARGEST)
    with _axes(len(rows), len(names), figsize=(side * len(names), side * len(rows) + 0.3)) as (figure, axes):
        for r, row in enumerate(rows):
            for axis, (name, tensor) in zip(axes[r], row.items(), strict=True):
                _show(axis, name, tensor, classes)
                mask = None if truth is None else truth[r].get(name) if isinstance(truth[r], Mapping) else truth[r]
                if mask is not None:
                    _outline(axis, mask, TRUTH, width=1.2)
                if r == 0:
                    axis.set_title(fill(name, int(13 * side)))  # about as many letters as fit above a panel
        if classes is not None:
            _legend(figure, [tensor for row in rows for tensor in row.values() if _is_label_map(tensor)], classes)
    return figure


def show_objects(
    pictures: Sequence[tuple[Tensor, Mapping[str, Tensor]]],
    classes: Sequence[str],
    *,
    found: Sequence[Mapping[str, Tensor]] | None = None,
    titles: Sequence[str] = (),
):
    """Pictures with what is known of their objects: mask, box, class and keypoints, one colour a class.

    Args:
        pictures: (image `[3, H, W]`, target with `boxes [N, 4]` xyxy and `labels [N]`; `masks [N, H, W]` and `keypoints [N, K, 3]` too
            when they are there, hidden keypoints hollow), in rows of up to four.
        classes: the names of the classes, background first.
        found: for each picture what a detector says: `boxes [M, 4]` and, if there are any, `labels [M]` and `scores [M]`, drawn in orange.
        titles: for each picture what stands above it.

    Returns: matplotlib.figure.Figure. Raises: ValueError if there is nothing to draw, or not as much found, or titles, as pictures.
    """
    if not len(pictures):
        raise ValueError("show_objects needs at least one picture with its target.")
    for name, given in (("detections", found), ("titles", titles or None)):
        if given is not None and len(given) != len(pictures):
            raise ValueError(f"show_objects needs as many {name} as pictures: there are {len(given)} and {len(pictures)}.")
    columns = min(len(pictures), 4)
    side, rows = min(WIDTH / columns, LARGEST), -(-len(pictures) // columns)
    height = side * min(1, max(image.shape[-2] / image.shape[-1] for image, _ in pictures)) + (0.3 if titles else 0)
    with _axes(rows, columns, figsize=(side * columns, height * rows)) as (figure, axes):
        for axis in axes.flat[len(pictures) :]:
            axis.set_axis_off()
        for number, (axis, (image, target)) in enumerate(zip(axes.flat, pictures, strict=False)):
            _show(axis, "image", image)
            for i, label in enumerate(target["labels"].tolist()):
                _object(axis, {name: target[name][i] for name in ("boxes", "masks", "keypoints") if name in target}, label, classes[label])
            if found is not None:
                _found(axis, found[number], classes)
            if titles:
                axis.set_title(fill(titles[number], int(13 * side)))
    return figure


def show_poses(images: Sequence[Tensor], poses: Sequence[Tensor], skeleton: Sequence[tuple[int, int]], *, truth: Sequence[Tensor] = ()):
    """People as stick figures, in orange, on their pictures, in rows of up to four.

    Args:
        images: `[3, H, W]` each.
        poses: keypoints `[K, 3]` each, (x, y, visibility); those of visibility 0 are not drawn.
        skeleton: pairs of keypoints between which a line is drawn.
        truth: the true keypoints of each picture, drawn in green beneath.

    Returns: matplotlib.figure.Figure. Raises: ValueError if there is nothing to draw, or not as many poses as pictures.
    """
    if not len(images) or len(poses) != len(images) or len(truth) not in (0, len(images)):
        raise ValueError(f"show_poses needs a pose for each picture: {len(images)} pictures, {len(poses)} poses, {len(truth)} true ones.")
    columns = min(len(images), 4)
    side, rows = min(WIDTH / columns, LARGEST), -(-len(images) // columns)
    with _axes(rows, columns, figsize=(side * columns, side * rows)) as (figure, axes):
        for axis in axes.flat[len(images) :]:
            axis.set_axis_off()
        for number, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
            _show(axis, "image", image)
            for keypoints, colour in (*([(truth[number], TRUTH)] if len(truth) else []), (poses[number], PREDICTION)):
                _pose(axis, keypoints.detach().cpu(), skeleton, colour)
    return figure


def show_curves(
    curves: Mapping[str, Sequence[float]],
    *,
    x: Sequence[float] | None = None,
    xlabel: str = "",
    ylabel: str = "",
    smooth: int = 1,
):
    """Named curves in one plot, each with its own colour and line style.

    Args:
        curves: {name: values}, at most 7, in the legend's order. A name gets the same look in every plot that lists the same names.
        x: where the values stand, for all curves; by default 1, 2, 3, …
        smooth: values a moving mean is taken over, for losses that jump from step to step.

    Returns: matplotlib.figure.Figure. Raises: ValueError if there is nothing to draw, or if the lengths do not match.
    """
    if not 1 <= len(curves) <= CURVES:
        raise ValueError(f"show_curves draws 1 to {CURVES} curves, as many as there are colours to tell apart, not {len(curves)}.")
    with _axes(1, 1) as (figure, [[axis]]):
        for name, values in curves.items():
            places = np.arange(1, len(values) + 1) if x is None else np.asarray(x, float)
            if len(places) != len(values) or not 1 <= smooth <= len(values):
                raise ValueError(f"The curve {name!r} has {len(values)} values for {len(places)} places, smoothed over {smooth}.")
            means = np.convolve(np.asarray(values, float), np.full(smooth, 1 / smooth), mode="valid")
            axis.plot(places[smooth - 1 :], means, label=name)
        axis.set(xlabel=xlabel, ylabel=ylabel)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def show_bars(groups: Mapping[str, Mapping[str, float]], *, xlabel: str = "", logarithmic: bool = False):
    """Groups of bars that lie, each with its number behind it; a name has the same colour in every group.

    Args:
        groups: {group: {name: value}}, all with the same names, in the legend's order; values above 0.
        logarithmic: equal steps for equal ratios, where values differ by more than one sees side by side.

    Returns: matplotlib.figure.Figure. Raises: ValueError if there is nothing to draw, or the names or values are others.
    """
    names = list(next(iter(groups.values()), {}))
    if not 1 <= len(names) <= CURVES or any(list(bars) != names for bars in groups.values()):
        raise ValueError(f"show_bars needs 1 to {CURVES} bars a group, and the same names in every group.")
    if not all(0 < value < float("inf") for bars in groups.values() for value in bars.values()):
        raise ValueError("show_bars draws finite values above 0.")
    thick = 0.8 / len(names)
    with _axes(1, 1, figsize=(WIDTH, 0.28 * len(groups) * (len(names) + 1) + 0.6)) as (figure, [[axis]]):
        for i, name in enumerate(names):
            values = [bars[name] for bars in groups.values()]
            places = np.arange(len(groups)) + (i - (len(names) - 1) / 2) * thick
            drawn = axis.barh(places, values, height=0.9 * thick, label=name)
            axis.bar_label(drawn, labels=[f"{value:.2g}" if value < 10 else f"{value:.0f}" for value in values], padding=3)
        axis.set(xlabel=xlabel, yticks=np.arange(len(groups)), yticklabels=list(groups))
        axis.margins(x=0.15)
        if logarithmic:
            axis.set_xscale("log")
            axis.set_xlim(left=10 ** np.floor(np.log10(min(value for bars in groups.values() for value in bars.values()))))
            axis.xaxis.set_major_formatter("{x:g}")
        axis.invert_yaxis()
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def show_points(points: Mapping[str, tuple[float, float]], *, xlabel: str = "", ylabel: str = "", logarithmic: bool = False):
    """Points in a plane, each with its name beside it: what an idea costs, and what it gives.

    Args:
        points: {name: (x, y)}, finite, at most 14.
        logarithmic: equal steps of x for equal ratios; x above 0 then.

    Returns: matplotlib.figure.Figure. Raises: ValueError if there is nothing to draw, or too much, or a value cannot be drawn.
    """
    if not 1 <= len(points) <= 2 * CURVES:
        raise ValueError(f"show_points draws 1 to {2 * CURVES} points with their names, not {len(points)}.")
    values = np.asarray(list(points.values()), float).reshape(-1, 2)  # [N, 2]
    if not np.isfinite(values).all() or (logarithmic and not (values[:, 0] > 0).all()):
        raise ValueError(f"show_points draws finite values{', x above 0' if logarithmic else ''}.")
    from matplotlib.ticker import LogLocator

    with _axes(1, 1) as (figure, [[axis]]):
        for name, (x, y) in points.items():
            axis.plot(x, y, "o", markersize=9)
            axis.annotate(name, (x, y), xytext=(8, 5), textcoords="offset points")
        axis.set(xlabel=xlabel, ylabel=ylabel)
        if logarithmic:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
        axis.margins(x=0.25, y=0.15)
    return figure


@contextmanager
def _axes(rows: int, columns: int, **options):
    """A figure and its axes in the course's style, closed at the end, also by an error."""
    import matplotlib.pyplot as plt

    with plt.style.context("course.style"):
        figure, axes = plt.subplots(rows, columns, squeeze=False, **options)
        try:
            yield figure, axes
        finally:
            plt.close(figure)


def _show(axis, name: str, tensor: Tensor, classes: Sequence[str] | None = None) -> None:
    tensor = tensor.detach().cpu()
    if tensor.dim() == 3 and tensor.shape[0] == 3:
        axis.imshow(tensor.permute(1, 2, 0).float().clamp(0, 1).numpy())  # [H, W, 3]
    elif tensor.dim() == 2 and tensor.is_floating_point():
        _heat(axis, tensor.float().numpy())
    elif _is_label_map(tensor) and classes is not None:
        axis.imshow(colour_labels(tensor).permute(1, 2, 0).numpy(), interpolation="nearest")  # [H, W, 3]
    elif tensor.dim() == 2:
        mask = tensor.numpy() != 0
        axis.imshow(np.where(mask[..., None], (252, 236, 204), (255, 255, 255)).astype(np.uint8))  # [H, W, 3], orange at 20 %
        _outline(axis, tensor, PREDICTION, width=1.6)
    else:
        raise ValueError(f"show_pictures shows [3, H, W] and [H, W]; {name!r} has shape {list(tensor.shape)}.")
    axis.set(xticks=[], yticks=[], anchor="N")
    axis.grid(False)
    axis.spines[:].set_visible(True)


def _is_label_map(tensor: Tensor) -> bool:
    return tensor.dim() == 2 and not tensor.is_floating_point()


def _legend(figure, maps: Sequence[Tensor], classes: Sequence[str]) -> None:
    """A swatch and a name for each class that occurs, under the pictures; void is named too."""
    from matplotlib.patches import Patch

    found = sorted({int(label) for labels in maps for label in labels.unique()})
    names = {label: "void" if label == VOID else classes[label] for label in found}
    colours = {label: [part / 255 for part in (VOID_COLOURS[0] if label == VOID else label_colour(label))] for label in found}
    handles = [Patch(facecolor=colours[label], edgecolor="#8A8F98", linewidth=0.5, label=name) for label, name in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, max(1, len(handles))))


def _object(axis, parts: Mapping[str, Tensor], label: int, name: str) -> None:
    """One object on a picture. Its name stands inside the box: above it, another picture may begin."""
    from matplotlib.patches import Rectangle

    colour = tuple(part / 255 for part in label_colour(label))
    if "masks" in parts:
        mask = parts["masks"].cpu()
        axis.imshow(np.where(mask[..., None], (*colour, 0.45), (0, 0, 0, 0)), interpolation="nearest")  # [H, W, 4]
        _outline(axis, mask, colour, width=1.2)
    x1, y1, x2, y2 = (side - 0.5 for side in parts["boxes"].tolist())  # imshow puts the centre of pixel 0 at 0, we at 0.5
    axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=TRUTH, linewidth=1.4))
    axis.text(x1, y1, name, fontsize=6, color="white", va="top", clip_on=True, bbox={"facecolor": TRUTH, "edgecolor": "none", "pad": 1})
    for x, y, visibility in parts["keypoints"].tolist() if "keypoints" in parts else ():
        if visibility:
            face = "white" if visibility == 2 else "none"
            axis.plot(x - 0.5, y - 0.5, "o", markersize=2.5, markerfacecolor=face, markeredgecolor="black", markeredgewidth=0.6)


def _pose(axis, keypoints: Tensor, skeleton: Sequence[tuple[int, int]], colour: str) -> None:
    """Lines between those keypoints that are known, with a dark rim, so that they are seen on any picture."""
    from matplotlib.collections import LineCollection

    points, known = keypoints[:, :2] - 0.5, keypoints[:, 2] > 0  # [K, 2], [K]
    lines = [points[[a, b]].numpy() for a, b in skeleton if known[a] and known[b]]
    axis.autoscale(False)  # a joint that was placed outside does not make the picture smaller
    for rim, width in (("black", 3.0), (colour, 1.8)):
        axis.add_collection(LineCollection(lines, colors=rim, linewidths=width, capstyle="round"))
    axis.plot(*points[known].T.numpy(), "o", markersize=2.5, markerfacecolor=colour, markeredgecolor="black", markeredgewidth=0.5)


def _found(axis, detections: Mapping[str, Tensor], classes: Sequence[str]) -> None:
    """A detector's boxes. Their names stand at the lower edge: at the upper one stand those of the truth."""
    from matplotlib.patches import Rectangle

    names = [classes[label] for label in detections["labels"].tolist()] if "labels" in detections else [""] * len(detections["boxes"])
    scores = [f"{score:.2f}" for score in detections["scores"].tolist()] if "scores" in detections else [""] * len(names)
    for box, words in zip(detections["boxes"].tolist(), zip(names, scores, strict=True), strict=True):
        x1, y1, x2, y2 = (side - 0.5 for side in box)
        axis.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=PREDICTION, linewidth=1.6))
        if any(words):
            style = {"facecolor": PREDICTION, "edgecolor": "none", "pad": 1}
            axis.text(x1, y2, " ".join(filter(None, words)), fontsize=6, color="black", va="bottom", clip_on=True, bbox=style)


def _heat(axis, values: np.ndarray) -> None:
    """Viridis from 0 up; with both signs blue, white and vermilion around 0. So the same colour means 0 in every panel."""
    from matplotlib.colors import LinearSegmentedColormap

    top = np.abs(values[np.isfinite(values)]).max(initial=0) or 1.0
    if (values < 0).any():
        axis.imshow(values, cmap=LinearSegmentedColormap.from_list("signed", SIGNED), vmin=-top, vmax=top)
    else:
        axis.imshow(values, cmap="viridis", vmin=0, vmax=top)


def _outline(axis, mask: Tensor, colour: str, *, width: float) -> None:
    """The edges between pixels of different labels, exactly on the pixel grid (a contour would cut the corners)."""
    from matplotlib.collections import LineCollection

    labels = mask.detach().cpu().numpy()  # [H, W]
    y, x = np.nonzero(labels[:, 1:] != labels[:, :-1])
    upright = np.stack([np.stack([x + 0.5, y - 0.5], -1), np.stack([x + 0.5, y + 0.5], -1)], 1)  # [edges, 2, 2]
    y, x = np.nonzero(labels[1:] != labels[:-1])
    level = np.stack([np.stack([x - 0.5, y + 0.5], -1), np.stack([x + 0.5, y + 0.5], -1)], 1)  # [edges, 2, 2]
    axis.add_collection(LineCollection(np.concatenate([upright, level]), colors=colour, linewidths=width, capstyle="projecting"))
