"""How alike two regions of a picture are: in colour, in texture, in size, and in how well they fit together.

Paper: J. R. R. Uijlings, K. E. A. van de Sande, T. Gevers and A. W. M. Smeulders, "Selective Search for Object Recognition", IJCV 104(2),
2013, section 3.2: colour spaces (table 1) and the four similarity measures. Each is 1 for a pair that should merge at once, near 0 for
one that should wait, so that they can be added.

Differs from the paper: the response to a Gaussian derivative is binned over a fixed range, from nothing to a step from black to white, so
that two pictures' histograms mean the same; hue is a line from 0 to 1, as in the authors' code, though red stands at both ends; a dark
pixel's normalised colour is drawn towards grey, where it would be noise; the colour space "C" is left out.

Shape letters: C channels of a colour space, H × W picture, R regions, B bins of one histogram, F numbers that describe a region.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from skimage.color import rgb2hsv, rgb2lab
from torch import Tensor

COLOUR_BINS = 25
TEXTURE_BINS = 10
ORIENTATIONS = 8
STEEPEST = 1 / math.sqrt(2 * math.pi)  # what a Gaussian derivative of σ = 1 answers to a step from 0 to 1

Array = Tensor
"""The similarities are written for tensors. They take NumPy's arrays as well and return these: in the loop they are four times as fast."""


def colour_similarity(a: Array, b: Array) -> Array:
    """The intersection of two colour histograms: Σ min(aₖ, bₖ), from 0 to 1.

    Args:
        a, b: `[..., F]`, each summing to 1: 25 bins for each channel.

    Returns: `[...]`. Source: paper, section 3.2, colour similarity.
    """
    return _of(a).minimum(a, b).sum(-1)


def texture_similarity(a: Array, b: Array) -> Array:
    """The intersection of two texture histograms: Σ min(aₖ, bₖ), from 0 to 1.

    Args:
        a, b: `[..., F]`, each summing to 1: 10 bins for each channel and each of 8 orientations.

    Returns: `[...]`. Source: paper, section 3.2, texture similarity.
    """
    return _of(a).minimum(a, b).sum(-1)


def size_similarity(size_a: Array | float, size_b: Array | float, image_size: float) -> Array | float:
    """1 less the share of the picture that the two take together: small regions merge early, so objects of all sizes arise everywhere.

    Args:
        size_a, size_b: numbers of pixels, any shape.
        image_size: number of pixels of the picture.

    Source: paper, section 3.2, size similarity.
    """
    return 1 - (size_a + size_b) / image_size


def fill_similarity(box_a: Array, box_b: Array, size_a: Array | float, size_b: Array | float, image_size: float) -> Array:
    """1 less the share of the picture that the box around both holds beside them: what lies inside the other, or beside it, fits.

    Args:
        box_a, box_b: `[..., 4]`, x1, y1, x2, y2: the boxes around the regions.
        size_a, size_b: `[...]`, their numbers of pixels.
        image_size: number of pixels of the picture.

    Returns: `[...]`. Source: paper, section 3.2, fill.
    """
    upper_left, lower_right = _of(box_a).minimum(box_a, box_b), _of(box_a).maximum(box_a, box_b)
    around = (lower_right[..., 2] - upper_left[..., 0]) * (lower_right[..., 3] - upper_left[..., 1])
    return 1 - (around - size_a - size_b) / image_size


def merged_histogram(a: Array, b: Array, size_a: float, size_b: float) -> Array:
    """The histogram of two regions together, `[F]`: the mean of theirs, weighted by size. No pixel has to be looked at again.

    Source: paper, section 3.2, colour similarity.
    """
    return (size_a * a + size_b * b) / (size_a + size_b)


def in_colour_space(image: Tensor, name: str) -> Tensor:
    """A picture in one of the paper's colour spaces.

    Args:
        image: `[3, H, W]`, RGB, 0…1.
        name: a key of `COLOUR_SPACES`: "RGB"; "I", the mean of the three; "Lab"; "HSV"; "H", hue; "rgb", each divided by the sum of the
            three; "rgI", two of these and I.

    Returns: float32 `[C, H, W]`, each channel brought to 0…1.

    Raises: ValueError for a name that is not there. Source: paper, section 3.2, table 1.
    """
    if name not in COLOUR_SPACES:
        raise ValueError(f"There is no colour space {name!r}; accepted are {', '.join(COLOUR_SPACES)}.")
    pixels = image.permute(1, 2, 0).numpy()  # [H, W, 3]
    channels = COLOUR_SPACES[name](pixels).transpose(2, 0, 1)  # [C, H, W]
    return torch.from_numpy(np.ascontiguousarray(channels, dtype=np.float32)).clamp(0, 1)


def colour_bins(image: Tensor, bins: int = COLOUR_BINS) -> Tensor:
    """Into which of equal bins each channel of each pixel falls: `[C, H, W]`, 0…1 → uint8 `[C, H, W]`."""
    return (image * bins).clamp(max=bins - 1).byte()


def texture_bins(image: Tensor, bins: int = TEXTURE_BINS) -> Tensor:
    """How steeply each channel rises at each pixel towards 8 directions, in bins: `[C, H, W]`, 0…1 → uint8 `[C·8, H, W]`.

    The Gaussian derivative of σ = 1 in a direction is the sum of those along x and y, weighted by the direction's cosine and sine. Where it
    falls, it rises towards the opposite direction, and only there it counts.
    """
    pixels = image.numpy() * (bins / STEEPEST)
    across = gaussian_filter1d(gaussian_filter1d(pixels, 1, axis=1), 1, axis=2, order=1)  # [C, H, W], along x
    down = gaussian_filter1d(gaussian_filter1d(pixels, 1, axis=2), 1, axis=1, order=1)  # [C, H, W], along y
    across, down = torch.from_numpy(across), torch.from_numpy(down)
    angles = [2 * math.pi * k / ORIENTATIONS for k in range(ORIENTATIONS)]
    rises = [(math.cos(angle) * across + math.sin(angle) * down).clamp(0, bins - 1).byte() for angle in angles]  # 8 times [C, H, W]
    return torch.stack(rises, 1).flatten(0, 1)  # [C*8, H, W]


def region_histograms(levels: Tensor, labels: Tensor, bins: int) -> Tensor:
    """The histogram of each region: that of each channel, one after the other, together summing to 1.

    Args:
        levels: uint8 `[K, H, W]`, below `bins`: what `colour_bins` or `texture_bins` gave.
        labels: int64 `[H, W]`, 0 … R−1, each of them somewhere.

    Returns: float32 `[R, K·bins]`.
    """
    first = labels.flatten().numpy() * bins  # [H*W]: where the histogram of a pixel's region begins
    regions = int(labels.max()) + 1
    counts = np.stack([np.bincount(first + channel, minlength=regions * bins) for channel in levels.flatten(1).numpy()])  # [K, R*B]
    counts = counts.reshape(-1, regions, bins).swapaxes(0, 1).reshape(regions, -1)  # [R, K*B]
    return torch.from_numpy((counts / counts.sum(1, keepdims=True)).astype(np.float32))


def _of(values: Array):
    """The library whose numbers these are: torch and NumPy call the least of two by one name."""
    return torch if isinstance(values, Tensor) else np


def _grey(rgb: np.ndarray) -> np.ndarray:
    return rgb.mean(-1, keepdims=True)


def _lab(rgb: np.ndarray) -> np.ndarray:
    return (rgb2lab(rgb) + np.array([0, 128, 128])) / np.array([100, 255, 255])


def _normalised(rgb: np.ndarray) -> np.ndarray:
    little = 1 / 255
    return (rgb + little) / (rgb + little).sum(-1, keepdims=True)


COLOUR_SPACES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # [H, W, 3] → [H, W, C]
    "RGB": lambda rgb: rgb,
    "I": _grey,
    "Lab": _lab,
    "rgI": lambda rgb: np.concatenate([_normalised(rgb)[..., :2], _grey(rgb)], -1),
    "HSV": rgb2hsv,
    "rgb": _normalised,
    "H": lambda rgb: rgb2hsv(rgb)[..., :1],
}
