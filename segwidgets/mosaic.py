"""Several pictures in one panel."""

from __future__ import annotations

import math

import numpy as np

LONGEST_SIDE = 320  # pixels of the panel
GAP = 2  # pixels between two pictures
GREY = 128


def mosaic(pictures: np.ndarray, *, hard: bool = False) -> np.ndarray:
    """Pictures `[N, H, W, 3]` uint8 side by side and one under the other, `[h, w, 3]`, the longer side at most 320 pixels.

    Args:
        hard: keep the colours when a picture is made smaller, for maps of labels.
    """
    from PIL import Image

    rows = math.ceil(math.sqrt(len(pictures)))
    columns = math.ceil(len(pictures) / rows)
    height, width = pictures.shape[1:3]
    factor = min(1.0, (LONGEST_SIDE - GAP * (rows - 1)) / (rows * max(height, width)))
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), GREY, np.uint8)
    for i, picture in enumerate(pictures):
        shrunk = Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST if hard else Image.Resampling.LANCZOS)
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = np.asarray(shrunk)
    return sheet
