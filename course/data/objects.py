"""The six kinds of object in `course.data.shapes`: outlines made of parts, and the joints of the person.

An object is told by its outline and its parts, never by its colour: whoever draws it chooses any textures. It is drawn in units of
its own, y downwards, of any size and at any place.

Shape letters: K keypoints, P corners.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from course.data.drawing import Contours, around


@dataclass(frozen=True)
class Part:
    """A piece of an object: where it is (contours joined by the non-zero rule) and which of the object's textures it wears."""

    contours: Contours
    texture: int


@dataclass(frozen=True)
class Outline:
    """An object: its parts, each painted over those before it, and its joints (x, y) `[K, 2]` if it has any."""

    parts: tuple[Part, ...]
    joints: np.ndarray | None = None


# As COCO has them, without eyes and ears. Left is the person's own left; all of them look at us, so it is right in the picture.
KEYPOINTS = ("head", *(f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")))
SKELETON = tuple(
    (KEYPOINTS.index(a), KEYPOINTS.index(b))
    for a, b in (
        *((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (("shoulder", "elbow"), ("elbow", "wrist"))),
        *(
            (f"{side}_{a}", f"{side}_{b}")
            for side in ("left", "right")
            for a, b in (("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"))
        ),
        ("left_shoulder", "right_shoulder"),
        ("left_hip", "right_hip"),
        ("head", "left_shoulder"),
        ("head", "right_shoulder"),
    )
)


def person(rng: np.random.Generator) -> Outline:
    """A jointed figure that faces us: every arm and leg bends as it likes."""
    lean = _degrees(rng, -12, 12)
    up = np.array([math.sin(lean), -math.cos(lean)])
    across = np.array([math.cos(lean), math.sin(lean)])  # towards the person's left
    hips, neck = np.zeros(2), 0.62 * up
    joints = {"head": neck + 0.30 * up}
    limbs: dict[str, Contours] = {"arms": [], "legs": []}
    for side, sign in (("left", 1), ("right", -1)):
        shoulder, hip = neck + sign * 0.24 * across, hips + sign * 0.13 * across
        upper, swing = _degrees(rng, 5, 150), _degrees(rng, -10, 38)
        elbow = shoulder + _along(sign * upper, 0.36)
        wrist = elbow + _along(sign * (upper + _degrees(rng, -20, 100)), 0.34)
        knee = hip + _along(sign * swing, 0.46)
        ankle = knee + _along(sign * (swing - _degrees(rng, 0, 45)), 0.46)
        joints |= {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist}
        joints |= {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle}
        limbs["arms"] += [_limb(shoulder, elbow, 0.14, 0.13), _limb(elbow, wrist, 0.13, 0.12)]
        limbs["legs"] += [_limb(hip, knee, 0.17, 0.155), _limb(knee, ankle, 0.155, 0.14)]
    chest = _limb(neck + 0.18 * across - 0.04 * up, neck - 0.18 * across - 0.04 * up, 0.13, 0.13)
    torso = _polygon(*(neck + s * 0.27 * across - 0.08 * up for s in (1, -1)), *(hips + s * 0.22 * across for s in (-1, 1)))
    head = 0.25 * around(np.ones(20)) * (0.92, 1.1) + joints["head"]
    parts = Part(limbs["legs"], 1), Part([chest, torso, *limbs["arms"]], 0), Part([head], 2)
    return Outline(parts, np.stack([joints[name] for name in KEYPOINTS]))


def car(rng: np.random.Generator) -> Outline:
    """A body, a cabin with two windows, two wheels."""
    roof, front, back = 0.38 + 0.1 * rng.random(), 0.2 + 0.2 * rng.random(), 0.05 + 0.3 * rng.random()
    body = _polygon((-1, 0), (-0.95, -0.16), (0.72, -0.2), (1, -0.06), (1, 0.26), (-1, 0.26))
    left, right = -0.62, 0.5
    cabin = _polygon((left - back / 2, -0.12), (left + 0.1, -0.12 - roof), (right - front, -0.12 - roof), (right, -0.12))
    middle, top, sill = (left + right - front) / 2 + 0.05, -0.04 - roof, -0.16
    windows = [
        _polygon((left + 0.02, sill), (left + 0.15, top), (middle - 0.05, top), (middle - 0.05, sill)),
        _polygon((middle + 0.05, sill), (middle + 0.05, top), (right - front - 0.03, top), (right - 0.12, sill)),
    ]
    wheel = 0.19 + 0.05 * rng.random()
    wheels = [wheel * around(np.ones(20)) + (x, 0.26) for x in (-0.56, 0.56)]
    return _mirrored(rng, Part([body, cabin], 0), Part(windows, 1), Part(wheels, 2))


def house(rng: np.random.Generator) -> Outline:
    """A wall with a door and a window, a roof that stands out, a chimney."""
    wide, high, roof = 0.6 + 0.2 * rng.random(), 0.75 + 0.3 * rng.random(), 0.5 + 0.35 * rng.random()
    wall = _polygon((-wide, 0), (-wide, high), (wide, high), (wide, 0))
    eaves = wide + 0.2
    gable = _polygon((-eaves, 0.04), (0, -roof), (eaves, 0.04))
    chimney = _polygon((0.3 * eaves, -roof - 0.02), (0.3 * eaves, 0), (0.3 * eaves + 0.18, 0), (0.3 * eaves + 0.18, -roof - 0.02))
    door = _polygon((-0.7 * wide, high), (-0.7 * wide, 0.35 * high), (-0.2 * wide, 0.35 * high), (-0.2 * wide, high))
    window = _polygon((0.15 * wide, 0.3 * high), (0.15 * wide, 0.65 * high), (0.7 * wide, 0.65 * high), (0.7 * wide, 0.3 * high))
    return _mirrored(rng, Part([chimney, wall], 0), Part([gable], 1), Part([door, window], 2))


def fish(rng: np.random.Generator) -> Outline:
    """A body pointed at both ends, a forked tail, a fin on the back, an eye."""
    high, fork = 0.4 + 0.14 * rng.random(), 0.2 + 0.15 * rng.random()
    x, t = np.linspace(-0.62, 1, 15), np.linspace(-1, 1, 15)
    arch = high * (1 - t**2) ** 0.75
    body = _polygon(*zip(x, -arch, strict=True), *zip(x[-2:0:-1], arch[-2:0:-1], strict=True))
    tail = _polygon((-0.42, 0), (-1.05, -0.42), (-1.05 + fork, 0), (-1.05, 0.42))
    fin = _polygon((-0.25, -0.75 * high), (-0.1, -1.55 * high), (0.5, -0.8 * high))
    eye = 0.075 * around(np.ones(12)) + (0.62, -0.25 * high)
    band = _polygon(*((0.36, y * high) for y in (-0.8, 0.8)), *((0.24, y * high) for y in (0.88, -0.88)))
    return _mirrored(rng, Part([tail, fin], 1), Part([body], 0), Part([eye, band], 2))


def star(rng: np.random.Generator) -> Outline:
    """Five or six arms, and a smaller star on top."""
    arms, inner = int(rng.integers(5, 7)), 0.42 + 0.12 * rng.random()
    points = around(np.tile([1.0, inner], arms))
    return Outline((Part([points], 0), Part([0.45 * points], 1)))


def ring(rng: np.random.Generator) -> Outline:
    """A lifebuoy: a disc with a hole, four bands around it."""
    hole = 0.42 + 0.2 * rng.random()
    disc = [around(np.ones(40)), _hole(hole * around(np.ones(40)))]
    bands, half = [], 0.17 + 0.12 * rng.random()
    for quarter in range(4):
        angle = quarter * math.pi / 2 + np.linspace(-half, half, 7)
        arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        bands.append(_polygon(*arc, *(hole * arc[::-1])))
    return Outline((Part(disc, 0), Part(bands, 1)))


# The name of a class is its function's. How far each may be turned from upright, in degrees.
KINDS: dict[Callable[[np.random.Generator], Outline], int] = {person: 15, car: 15, house: 10, fish: 25, star: 180, ring: 180}


def _mirrored(rng: np.random.Generator, *parts: Part) -> Outline:
    """As drawn, or looking the other way."""
    flip = np.array([1.0 if rng.random() < 0.5 else -1.0, 1.0])
    return Outline(tuple(Part([contour * flip for contour in part.contours], part.texture) for part in parts))


def _polygon(*corners) -> np.ndarray:
    """A contour that runs as those of `around` do (clockwise to the eye), whichever way the corners are given: [P, 2]."""
    corners = np.array(corners, float)
    x, y = corners.T
    twice_area = x[:-1] @ y[1:] - y[:-1] @ x[1:] + x[-1] * y[0] - y[-1] * x[0]
    return corners if twice_area > 0 else corners[::-1]


def _hole(contour: np.ndarray) -> np.ndarray:
    """Backwards, so that it takes away what another contour gave."""
    return contour[::-1]


def _limb(a: np.ndarray, b: np.ndarray, radius_a: float, radius_b: float) -> np.ndarray:
    """A bone with flesh: half circles around both ends, joined. [P, 2]."""
    x, y = b - a
    angle = math.atan2(y, x) + np.linspace(-math.pi / 2, math.pi / 2, 7)
    half = np.stack([np.cos(angle), np.sin(angle)], axis=1)  # around b; its opposite goes around a
    return np.concatenate([b + radius_b * half, a - radius_a * half])


def _along(angle: float, length: float) -> np.ndarray:
    """A step in a direction counted from straight down towards the right of the picture: (x, y)."""
    return length * np.array([math.sin(angle), math.cos(angle)])


def _degrees(rng: np.random.Generator, low: float, high: float) -> float:
    """A random angle, in radians."""
    return math.radians(low + (high - low) * rng.random())
