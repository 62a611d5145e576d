"""Plots in the course's one visual language: ground truth green, prediction orange, heat maps viridis, white paper.

Each function returns the figure and leaves matplotlib as it was: no backend is chosen, no style stays switched on, and no
figure stays open, so a cell that ends in one of them shows it once.
"""

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from textwrap import fill

import numpy as np
from torch import Tensor

TRUTH, PREDICTION = "#009E73", "#E69F00"
SIGNED = ("#0072B2", "#FFFFFF", "#D55E00")
CURVES = 7  # looks that the style file tells apart
WIDTH, LARGEST = 7.5, 2.5  # inches: a notebook's column, and a panel in it when there is room


def show_pictures(
    rows: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]], *, truth: Sequence[Tensor | Mapping[str, Tensor]] | None = None
):
    """Pictures, masks and maps in a grid, one row an example; the names stand above the columns.

    Args:
        rows: for each example {name: tensor}, all with the same names; for a single row, just the one. `[3, H, W]` float in 0…1 is a
            picture; `[H, W]` bool or whole numbers is a predicted mask (0 is background), drawn in orange; `[H, W]` float is a heat map,
            from 0 to its maximum, or around 0 if it has both signs.
        truth: for each example the true mask `[H, W]`, whose outline is drawn in green over the whole row; or {name: mask} where
            the pictures of a row have masks of their own.

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
                _show(axis, name, tensor)
                mask = None if truth is None else truth[r].get(name) if isinstance(truth[r], Mapping) else truth[r]
                if mask is not None:
                    _outline(axis, mask, TRUTH, width=1.2)
                if r == 0:
                    axis.set_title(fill(name, int(13 * side)))  # about as many letters as fit above a panel
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


def _show(axis, name: str, tensor: Tensor) -> None:
    tensor = tensor.detach().cpu()
    if tensor.dim() == 3 and tensor.shape[0] == 3:
        axis.imshow(tensor.permute(1, 2, 0).float().clamp(0, 1).numpy())  # [H, W, 3]
    elif tensor.dim() == 2 and tensor.is_floating_point():
        _heat(axis, tensor.float().numpy())
    elif tensor.dim() == 2:
        mask = tensor.numpy() != 0
        axis.imshow(np.where(mask[..., None], (252, 236, 204), (255, 255, 255)).astype(np.uint8))  # [H, W, 3], orange at 20 %
        _outline(axis, tensor, PREDICTION, width=1.6)
    else:
        raise ValueError(f"show_pictures shows [3, H, W] and [H, W]; {name!r} has shape {list(tensor.shape)}.")
    axis.set(xticks=[], yticks=[], anchor="N")
    axis.grid(False)
    axis.spines[:].set_visible(True)


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
