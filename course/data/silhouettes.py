"""Silhouettes: the smallest generated data set, shape or background, with outlines that are hard to follow.

Every picture follows from (seed, index) alone, through numpy's PCG64 generator, and is drawn in whole numbers (`course.data.drawing`).
So image and mask never disagree by a fraction of a pixel, and boundary errors can be measured exactly.

Shape letters: H = W = size of the picture.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from course.data.drawing import Contours, around, pixels, winding

# Lossless files in scikit-image's wheel.
BACKGROUNDS = ("astronaut", "cat", "coffee", "motorcycle", "brick", "grass", "gravel")

MIN_SIZE, MAX_SIZE = 16, 512
# Shapes are drawn within −1…1; where two of their contours overlap there is a hole.


def star(rng: np.random.Generator) -> Contours:
    """Four to seven sharp arms."""
    arms = int(rng.integers(4, 8))
    inner = 0.3 + 0.15 * rng.random()
    return [around(np.tile([1.0, inner], arms))]


def cross(rng: np.random.Generator) -> Contours:
    """Two thin bars."""
    t = 0.12 + 0.1 * rng.random()  # half the thickness
    quarter = np.array([(t, 1), (t, t), (1, t)])
    turn = np.array([(0, -1), (1, 0)])
    return [np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])]


def ring(rng: np.random.Generator) -> Contours:
    """A disc with a hole."""
    return [around(np.ones(40)), around(np.full(40, 0.5 + 0.25 * rng.random()))]


def blob(rng: np.random.Generator) -> Contours:
    """A smooth closed curve: a circle with three waves on it."""
    angle = np.arange(48) * (2 * math.pi / 48)
    waves = [0.2 * rng.random() * np.sin(k * angle + 2 * math.pi * rng.random()) for k in (2, 3, 5)]
    return [around(0.7 + sum(waves))]


def comb(rng: np.random.Generator) -> Contours:
    """Thin teeth on a back, with gaps as wide as the teeth."""
    sides = np.linspace(-1, 1, 2 * int(rng.integers(3, 5)))
    teeth = [corner for x, y in sides.reshape(-1, 2) for corner in ((x, -0.3), (x, 0.8), (y, 0.8), (y, -0.3))]
    return [np.array([(-1, -0.8), *teeth, (1, -0.8)])]


KINDS = (star, cross, ring, blob, comb)


class Silhouettes(Dataset):
    """Pictures with one to three textured shapes each, and which pixels are shape.

    Args:
        count: how many pictures.
        size: H = W, 16 to 512 pixels.
        seed: another seed gives other pictures (the backgrounds are cut from the same photographs).

    Item i: image float32 `[3, H, W]`, RGB, 0…1; mask int64 `[H, W]`, 1 shape, 0 background. It depends on seed, size and i
    only, neither on `count` nor on which items were asked for before.

    Raises: TypeError or ValueError for numbers that cannot be; IndexError beyond the end.
    """

    def __init__(self, count: int, *, size: int = 64, seed: int = 0):
        for name, value, low, high in (("count", count, 0, 2**31), ("size", size, MIN_SIZE, MAX_SIZE), ("seed", seed, 0, 2**63)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"Silhouettes needs a whole number for {name}, not {value!r}.")
            if not low <= value <= high:
                raise ValueError(f"Silhouettes takes a {name} from {low} to {high}, not {value}.")
        self.count, self.size, self.seed = int(count), int(size), int(seed)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -self.count <= index < self.count:
            raise IndexError(f"There are {self.count} pictures; there is no number {index}.")
        rng = np.random.default_rng((self.seed, int(index) % self.count))
        picture = background(rng, self.size)  # [H, W, 3]
        mask = np.zeros((self.size, self.size), bool)
        for _ in range(rng.integers(1, 4)):
            kind = KINDS[rng.integers(len(KINDS))]
            inside = rasterise(place(kind(rng), rng, self.size), self.size)  # [H, W]
            picture[inside] = texture(rng, self.size)[inside]
            mask |= inside
        picture = picture + rng.integers(-10, 11, picture.shape)  # sensor noise
        image = torch.from_numpy(picture.clip(0, 255).astype(np.uint8)).permute(2, 0, 1)  # [3, H, W]
        return image.float() / 255, torch.from_numpy(mask).long()


def place(contours: Contours, rng: np.random.Generator, size: int) -> Contours:
    """A shape within −1…1 → somewhere in the picture: turned, stretched, 18 to 40 % of `size` in radius. In pixels, xy."""
    angle = 2 * math.pi * rng.random()
    radius = size * (0.18 + 0.22 * rng.random())
    stretch = np.array([1.0, 0.7 + 0.3 * rng.random()])
    turn = np.array([(math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))])
    centre = size * (0.2 + 0.6 * rng.random(2))
    return [radius * (contour * stretch) @ turn + centre for contour in contours]


def rasterise(contours: Contours, size: int) -> np.ndarray:
    """Which pixels have their centre inside, by the even–odd rule: bool `[H, W]`, exact in whole numbers."""
    return winding(contours, size, size) % 2 == 1


def texture(rng: np.random.Generator, size: int) -> np.ndarray:
    """One colour, or two in stripes, checks or dots: int64 `[H, W, 3]`, 0…255."""
    first, second = rng.integers(0, 256, (2, 3))
    period = int(rng.integers(2, 6)) * max(1, size // 64)
    x, y = np.meshgrid(np.arange(size), np.arange(size))  # [H, W]
    slope_x, slope_y = rng.integers(-4, 5, 2)
    pattern = (
        np.zeros_like(x),
        (slope_x * x + slope_y * y) // (4 * period) % 2,
        (x // period + y // period) % 2,
        ((x % (2 * period) - period) ** 2 + (y % (2 * period) - period) ** 2 < period**2 // 2),
    )[rng.integers(4)]
    return np.where(pattern[..., None].astype(bool), second, first)  # [H, W, 3]


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random piece of a random photograph, shrunk by a whole factor: int64 `[H, W, 3]`, 0…255."""
    picture = pixels(BACKGROUNDS[rng.integers(len(BACKGROUNDS))])
    height, width = picture.shape[:2]
    factor = int(rng.integers(1, max(1, min(height, width) // size) + 1))
    side = min(size * factor, height, width)
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    piece = picture[top : top + side, left : left + side].astype(np.int64)  # [side, side, 3]
    if side < size:  # a picture larger than the photograph: repeat pixels
        rows = np.arange(size) * side // size
        return piece[rows][:, rows]
    return piece.reshape(size, factor, size, factor, 3).sum(axis=(1, 3)) // factor**2  # [H, W, 3]
