"""Windows that slide over a picture: how many there are, where they lie, and the patches that they cut out.

Classifying every patch by itself is the first way in which neural networks segmented and detected. D. Cireşan, A. Giusti, L.
Gambardella and J. Schmidhuber, "Deep Neural Networks Segment Neuronal Membranes in Electron Microscopy Images", NeurIPS 2012,
section 2: the class of a pixel is that of the square window centred on it. C. Farabet, C. Couprie, L. Najman and Y. LeCun,
"Learning Hierarchical Features for Scene Labeling", TPAMI 2013, section 3. P. Sermanet et al., "OverFeat", 2013,
arXiv:1312.6229, section 3.5: why sliding a convolutional network need not cost what it costs here.

    rows = floor((H - h) / SH) + 1          columns = floor((W - w) / SW) + 1          L = rows * columns
    patches[l] = image[:, SH*r : SH*r + h, SW*c : SW*c + w]          with l = r * columns + c

Differs from the papers: no pixels are made up at the border, so a window lies wholly in the picture, and what the last window does not
reach is left over. `course.models.sliding_window` mirrors the picture where every pixel needs a window.
Differs from torch: torch.nn.functional.unfold gives the same numbers as columns [N, C*h*w, L]; here each patch keeps its shape.

Shape letters: N images, C channels, H × W the picture, h × w the window, SH × SW the stride, L windows in reading order.
"""

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair, Pair
from course.ops.step import Index, Step, number, place


def window_positions(size: IntOrPair, window: IntOrPair, stride: IntOrPair) -> tuple[int, int]:
    """How many windows fit into a picture: (rows, columns) of windows.

    Args:
        size: the picture's height and width in pixels, one integer or (height, width).
        window: the window's, likewise.
        stride: pixels from one window to the next, one integer or (down, to the right).

    Raises:
        TypeError, ValueError: no positive integers, or the window is larger than the picture.
    """
    (height, width), (h, w), (sh, sw) = _checked(size, window, stride)
    return (height - h) // sh + 1, (width - w) // sw + 1


def extract_patches(image: Tensor, size: IntOrPair, stride: IntOrPair) -> Tensor:
    """Cut out every window of a picture, in reading order. [L, C, h, w]

    The patches are copies: together they hold each pixel as often as it is seen. `window_view` copies nothing.

    Args:
        image: [C, H, W], or [N, C, H, W] for patches [N, L, C, h, w], or [H, W] for [L, h, w]; any real dtype.
        size: the window, in pixels, one integer or (height, width).
        stride: pixels from one window to the next, one integer or (down, to the right).

    Raises:
        TypeError, ValueError: image is no such tensor, or the window is larger than it.
    """
    windows = window_view(image, size, stride)  # [N, rows, columns, C, h, w]
    rows = max(image.dim() - 3, 0)  # which dimension they are: behind N, where there is one
    return windows.flatten(rows, rows + 1)  # [N, L, C, h, w]


def window_view(image: Tensor, size: IntOrPair, stride: IntOrPair) -> Tensor:
    """Every window of a picture, as a view into its memory. [rows, columns, C, h, w]

    A pixel that several windows see is stored once, so a thousand windows take no more memory than the picture. Do not write into it.

    Args:
        image: [C, H, W], or [N, C, H, W] for [N, rows, columns, C, h, w], or [H, W] for [rows, columns, h, w]; any real dtype.
        size: the window, in pixels, one integer or (height, width).
        stride: pixels from one window to the next, one integer or (down, to the right).

    Raises:
        TypeError, ValueError: image is no such tensor, or the window is larger than it.
    """
    arguments.check_planes(image, "image")
    _, (h, w), (sh, sw) = _checked(tuple(image.shape[-2:]), size, stride, "size")
    windows = image.unfold(-2, h, sh).unfold(-2, w, sw)  # [N, C, rows, columns, h, w]
    return windows.movedim(-5, -3) if image.dim() > 2 else windows  # [N, rows, columns, C, h, w]


def window_coverage(size: IntOrPair, window: IntOrPair, stride: IntOrPair) -> Tensor:
    """How many windows see each pixel: how often its part of the work is done. [H, W], int64

    Windows over a picture lie as the stamps of a transposed convolution do: this is `overlap_count` with the window as the kernel, and 0
    where no window reaches. Rows and columns are counted by themselves, which stays fast when the window is large.

    Args:
        size: the picture's height and width in pixels, one integer or (height, width).
        window: the window's, likewise.
        stride: pixels from one window to the next, one integer or (down, to the right).

    Raises:
        TypeError, ValueError: no positive integers, or the window is larger than the picture.
    """
    size, window, stride = _checked(size, window, stride)
    counts = []
    for side, length, step, count in zip(size, window, stride, window_positions(size, window, stride), strict=True):
        seen = torch.arange(count)[:, None] * step + torch.arange(length)  # [windows, length]
        counts.append(torch.bincount(seen.flatten(), minlength=side))  # [side]
    return counts[0][:, None] * counts[1]  # [H, W]


def extract_patches_steps(image: Tensor, size: IntOrPair, stride: IntOrPair) -> Iterator[Step]:
    """extract_patches, one window a step, all its channels at once. Reads "input", the image; writes "output", the patches."""
    arguments.check_planes(image, "image")
    picture, (h, w), (sh, sw) = _checked(tuple(image.shape[-2:]), size, stride, "size")
    rows, columns = window_positions(picture, (h, w), (sh, sw))
    # A plane has no channel, and a picture no place in a batch: then the indices leave that number out.
    images = [(n,) for n in range(image.shape[0])] if image.dim() == 4 else [()]
    channels = [(c,) for c in range(image.shape[-3])] if image.dim() > 2 else [()]
    for n, row, column in itertools.product(images, range(rows), range(columns)):
        patch, top, left = row * columns + column, row * sh, column * sw
        writes: dict[Index, float] = {}
        reads: list[Index] = []
        for c, y, x in itertools.product(channels, range(h), range(w)):
            reads.append((*n, *c, top + y, left + x))
            writes[(*n, patch, *c, y, x)] = image[reads[-1]].item()
        copied = f"[{len(reads)} numbers|read]" if len(reads) > 1 else f"[{number(image[reads[0]])}|read]"
        where = f"In image {n[0]}, window" if len(images) > 1 else "Window"
        yield Step(
            sentence=f"{where} {patch} starts at {place((top, left))}: copy its {copied} into [patch {patch}|write].",
            reads={"input": tuple(reads)},
            writes={"output": writes},
            arithmetic=f"{patch} = {row} × {columns} + {column}: rows {_span(top, h)}, columns {_span(left, w)}",
        )


def _checked(size: IntOrPair, window: IntOrPair, stride: IntOrPair, name: str = "window") -> tuple[Pair, Pair, Pair]:
    """(picture, window, stride), each (height, width), of which at least one window fits; `name` is what the caller calls the window."""
    size, window, stride = arguments.pair(size, "size", 1), arguments.pair(window, name, 1), arguments.pair(stride, "stride", 1)
    if any(w > s for w, s in zip(window, size, strict=True)):
        raise ValueError(f"{name} must fit into the picture of {size[0]} × {size[1]} pixels; got a window of {window[0]} × {window[1]}.")
    return size, window, stride


def _span(start: int, length: int) -> str:
    """The first and last of so many rows or columns: "2…3", or "2" where they are one."""
    return f"{start}…{start + length - 1}" if length > 1 else f"{start}"
