"""The picture that a widget was made for, or one that the viewer brought: what is made of either is kept while it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

from segwidgets.inputs import pixels, shrunk

MOST_SIDE_BROUGHT = 1024  # pixels of the longer side of a picture that the viewer brings; a camera's would take a network a minute

Made = TypeVar("Made")


class PictureOfChoice(Generic[Made]):
    """`make(image)` of the first picture, and of the one brought last, each once."""

    def __init__(self, make: Callable[[Tensor], Made], image):
        self.make, self.first = make, make(image)
        self.brought: tuple[Tensor, Made] | None = None

    def __call__(self, picture: Tensor | None) -> Made:
        """Of the picture [3, H, W] that the viewer brought; None stands for the first one."""
        if picture is None:
            return self.first
        if self.brought is None or self.brought[0] is not picture:
            self.brought = None  # its memory can be had for the next one
            self.brought = picture, self.make(_bounded(picture))
        return self.brought[1]


def _bounded(picture: Tensor) -> Tensor:
    if max(picture.shape[1:]) <= MOST_SIDE_BROUGHT:
        return picture
    small, _ = shrunk(pixels(picture), MOST_SIDE_BROUGHT)
    return torch.from_numpy(small.copy()).permute(2, 0, 1).float() / 255  # [3, h, w]
