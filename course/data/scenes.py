"""Scenes for `course.data.shapes`: what is in a picture, drawn at random, before it has any pixels.

Lengths and places are in units of the picture's side, so `course.data.rendering` can draw the same scene at any size.

Shape letters: K keypoints, P corners of a contour.
"""

from dataclasses import dataclass

import numpy as np

from course.data.objects import KINDS, Outline, Part

# How hard the pictures are. Weights trained on them depend on these numbers.
MOST_OBJECTS = 4
EMPTY = 0.04  # of the pictures have no object at all: a detector must learn to say nothing
SCALE = (0.08, 0.60)  # an object's longer side, in sides of the picture
MARGIN = 0.14  # the middle of an object stays this far inside the picture, in sides of the picture
TRIES = 3  # places thrown for an object; it takes the one farthest from the others, so that less is covered
STRETCH = 0.15  # an object is up to this much wider or narrower than drawn
CAMOUFLAGE = 0.05  # of the textures are a piece of photograph, as the background is
VIVID = 0.75  # of the colours are stronger than photographs mostly are. Any object may have any of them.
PATTERN = 80  # how far the second colour of a pattern is from the first, at most, of 255
GAIN = (0.65, 1.0)  # brightness of the light
GRADIENT = 0.3  # how much the light changes from one side of the picture to the other, at most
TINT = 0.15  # how much a colour is missing in the light, at most
SHADOW = 0.45  # how dark a shadow is, at most
SHADOW_SHIFT = 0.16  # how far apart two shadows of one object can fall, in sides of the object
SHADE = 55 / 256  # how much lighter or darker than its middle an object is at its edge, at most
BLUR = 1  # times that the picture is smeared by (1, 2, 1) / 4 in both directions, at most
LEAST_NOISE, NOISE = 2, 8  # the sensor adds −2…2 to every value, at most −8…8
VISIBLE_SHARE = 0.15  # an object of which less can be seen (the rest covered, or outside) is not in the picture
VISIBLE_PIXELS = 12  # nor one of which fewer pixels can be seen

# Lossless photographs. Left half: training; right half: above for validation, below for testing. Colourful ones come twice as often.
BACKGROUNDS = 2 * ("astronaut", "cat", "coffee", "motorcycle") + ("brick", "grass", "gravel", "camera", "coins")
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Piece:
    """A square of a photograph: side and place as shares of what the split may use."""

    name: str
    split: str
    side: float
    place: tuple[float, float]
    mirror: bool


@dataclass(frozen=True)
class Texture:
    """What a part wears. `kind`: plain, stripes, checks, dots, or "photo"."""

    kind: str
    colours: np.ndarray  # [2, 3]
    period: float  # in sides of the picture
    slope: np.ndarray  # (x, y), whole numbers
    piece: Piece


@dataclass(frozen=True)
class Object:
    """One object in its place: outline in sides of the picture, label from 1."""

    label: int
    outline: Outline
    textures: tuple[Texture, ...]
    shade: np.ndarray  # (x, y): how much lighter its far end is than its near end, in 1/256


@dataclass(frozen=True)
class Scene:
    """A background, objects from back to front, and the light."""

    background: Piece
    objects: tuple[Object, ...]
    gain: np.ndarray  # [3], one a colour, in 1/256
    gradient: np.ndarray  # (x, y), from the middle to the edge, in 1/256
    shadow: int  # in 1/256
    shadow_shift: np.ndarray  # (x, y), in sides of the object
    blur: int
    noise: int


def random_scene(rng: np.random.Generator, split: str) -> Scene:
    """Anything that may be in a picture of this split."""
    count = 0 if rng.random() < EMPTY else int(rng.integers(1, MOST_OBJECTS + 1))
    return Scene(
        background=_random_piece(rng, split),
        objects=_random_objects(rng, split, count),
        gain=_whole(256 * _between(rng, *GAIN) * (1 - TINT * rng.random(3))).astype(np.uint16),
        gradient=_whole(256 * GRADIENT / 2 * (2 * rng.random(2) - 1)),
        shadow=int(256 * SHADOW * rng.random()),
        shadow_shift=SHADOW_SHIFT * (rng.random(2) - (0.5, 0.3)),  # downwards more often than upwards
        blur=int(rng.integers(0, BLUR + 1)),
        noise=int(rng.integers(LEAST_NOISE, NOISE + 1)),
    )


def _random_objects(rng: np.random.Generator, split: str, count: int) -> tuple[Object, ...]:
    objects, middles = [], np.zeros((0, 2))
    for _ in range(count):
        label = int(rng.integers(len(KINDS)))
        kind, most = list(KINDS.items())[label]
        scale = SCALE[0] + (SCALE[1] - SCALE[0]) * max(rng.random(2))  # large ones more often than small ones
        places = MARGIN + (1 - 2 * MARGIN) * rng.random((TRIES, 2))
        distances = ((places[:, None] - middles) ** 2).sum(-1).min(1, initial=np.inf)  # [TRIES], to the nearest of the others
        middle = places[distances.argmax()]
        middles = np.concatenate([middles, [middle]])
        outline = placed(kind(rng), rng, most, scale, middle)
        worn = 1 + max(part.texture for part in outline.parts)
        textures = tuple(_random_texture(rng, split, scale) for _ in range(worn))
        objects.append(Object(label + 1, outline, textures, shade=_whole(512 * SHADE * (rng.random(2) - 0.5))))
    return tuple(objects)


def placed(outline: Outline, rng: np.random.Generator, most: int, scale: float, middle: np.ndarray) -> Outline:
    """Turned by up to `most` degrees, stretched, the longer side of its box `scale` and the box's middle at `middle` (x, y)."""
    angle = np.deg2rad(_between(rng, -most, most))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, sin], [-sin, cos]]) * (_between(rng, 1 - STRETCH, 1 + STRETCH), 1)  # points stand in rows
    corners = np.concatenate([contour for part in outline.parts for contour in part.contours]) @ matrix
    low, high = corners.min(0), corners.max(0)
    factor = scale / (high - low).max()
    move = middle - factor * (low + high) / 2
    parts = tuple(Part([factor * contour @ matrix + move for contour in part.contours], part.texture) for part in outline.parts)
    return Outline(parts, None if outline.joints is None else factor * outline.joints @ matrix + move)


def _random_texture(rng: np.random.Generator, split: str, scale: float) -> Texture:
    patterns = ("plain", "plain", "stripes", "checks", "dots")
    first = rng.integers(0, 256, 3)
    if rng.random() < VIVID:  # one channel high, one low, one anywhere: any hue
        first = np.array([rng.integers(200, 256), rng.integers(0, 60), first[0]])[rng.random(3).argsort()]
    second = (first + rng.integers(-PATTERN, PATTERN + 1, 3)).clip(0, 255)
    return Texture(
        kind="photo" if rng.random() < CAMOUFLAGE else patterns[rng.integers(len(patterns))],
        colours=np.stack([first, second]).astype(np.uint8),
        period=scale * _between(rng, 0.05, 0.14),
        slope=rng.integers(-4, 5, 2),
        piece=_random_piece(rng, split),
    )


def _random_piece(rng: np.random.Generator, split: str) -> Piece:
    name = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    return Piece(name, split, _between(rng, 0.5, 1), tuple(rng.random(2)), bool(rng.random() < 0.5))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _whole(values: np.ndarray) -> np.ndarray:
    return np.rint(values).astype(np.int32)
