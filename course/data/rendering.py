"""From a scene to its picture and masks, in whole numbers: see `course.data.drawing`.

Objects are cut-outs: each covers what lies behind it, casts a shadow on it, and is blurred and lit together with it. Masks are the
visible pixels before the blur.

Shape letters: S side of the picture in pixels, h, w sides of an object's own window.
"""

from functools import cache

import numpy as np

from course.data.drawing import GRID, Contours, halved, pixels, resample, winding
from course.data.scenes import VISIBLE_PIXELS, VISIBLE_SHARE, Object, Piece, Scene, Texture


def render(scene: Scene, size: int, rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[Object, np.ndarray]]]:
    """The picture, and who can be seen in it where.

    Args:
        size: S.
        rng: draws the sensor's noise.

    Returns: uint8 `[3, S, S]`; and for each object that can be seen, from back to front, the object and its visible pixels, bool `[S, S]`.
    """
    picture = photograph(scene.background, size)
    seen = _visible(scene.objects, size)
    for drawn, visible in seen:
        _cast_shadow(picture, drawn, scene)
        window = drawn.window
        lit = _times(drawn.cloth[:, *window.clip], _ramp(window.height, window.width, drawn.thing.shade)[window.clip])
        np.copyto(picture[:, *window.inside], lit, where=visible[window.inside])
    picture = _times(picture, _ramp(size, size, scene.gradient)).astype(np.uint16) * scene.gain[:, None, None] >> 8
    for _ in range(scene.blur):
        picture = _smeared(picture)
    # The sum of two bytes is spread like a tent: small errors are more likely than large ones.
    noise = rng.integers(0, 256, (2, 3, size, size), dtype=np.uint8)
    grain = (noise[0].astype(np.int16) + noise[1] - 255) * np.int16(scene.noise) >> 8
    return (picture.astype(np.int16) + grain).clip(0, 255).astype(np.uint8), [(drawn.thing, visible) for drawn, visible in seen]


class Window:
    """The rectangle of pixels around some contours. It may reach beyond the picture."""

    def __init__(self, contours: Contours, size: int):
        """`contours` in pixels; `size`: the picture's side."""
        corners = np.concatenate(contours)
        self.left, self.top = np.floor(corners.min(0)).astype(int).tolist()
        right, bottom = np.ceil(corners.max(0)).astype(int).tolist()
        self.height, self.width = bottom - self.top, right - self.left
        y0, y1, x0, x1 = (min(max(edge, 0), size) for edge in (self.top, bottom, self.left, right))
        self.inside = slice(y0, y1), slice(x0, x1)  # the picture's pixels that are in the window
        self.clip = slice(y0 - self.top, y1 - self.top), slice(x0 - self.left, x1 - self.left)  # the same, counted in the window

    def within(self, other: "Window") -> tuple[slice, slice]:
        """Where this window is in a larger one."""
        top, left = self.top - other.top, self.left - other.left
        return slice(top, top + self.height), slice(left, left + self.width)


class Drawn:
    """An object in pixels: its window, which pixels of it are the object, bool `[h, w]`, and their colours, uint8 `[3, h, w]`."""

    def __init__(self, thing: Object, size: int):
        self.thing = thing
        parts = [([size * contour for contour in part.contours], part.texture) for part in thing.outline.parts]
        self.window = Window([contour for contours, _ in parts for contour in contours], size)
        self.whole = np.zeros((self.window.height, self.window.width), bool)
        self.cloth = np.zeros((3, self.window.height, self.window.width), np.uint8)
        for contours, texture in parts:
            window = Window(contours, size)
            inside = winding([contour - (window.left, window.top) for contour in contours], window.height, window.width) != 0
            self._wear(thing.textures[texture], window.within(self.window), inside, size)
        if thing.outline.joints is not None:  # a thin limb can pass between pixel centres, but a joint has a pixel
            for x, y in np.floor(joints(thing, size)).astype(int) - (self.window.left, self.window.top):
                if not self.whole[y, x]:
                    self._wear(thing.textures[0], (slice(y, y + 1), slice(x, x + 1)), np.ones((1, 1), bool), size)

    def _wear(self, texture: Texture, place: tuple[slice, slice], inside: np.ndarray, size: int) -> None:
        self.whole[place] |= inside
        np.copyto(self.cloth[:, *place], _woven(texture, *inside.shape, size), where=inside)


def joints(thing: Object, size: int) -> np.ndarray:
    """Where an object's joints are in a picture of that size, in pixels: (x, y) `[K, 2]`, in steps of 1/64 as corners are."""
    return np.rint(size * thing.outline.joints * GRID) / GRID


def _visible(objects: tuple[Object, ...], size: int) -> list[tuple[Drawn, np.ndarray]]:
    """Those objects that can be seen, from back to front, each with its visible pixels, bool `[S, S]`.

    Judged from front to back, so that an object that is left out covers nothing.
    """
    free, seen = np.ones((size, size), bool), []
    for thing in reversed(objects):
        drawn = Drawn(thing, size)
        visible = np.zeros((size, size), bool)
        visible[drawn.window.inside] = drawn.whole[drawn.window.clip]
        visible &= free
        if np.count_nonzero(visible) >= max(VISIBLE_PIXELS, VISIBLE_SHARE * np.count_nonzero(drawn.whole)):
            free &= ~visible
            seen.append((drawn, visible))
    return seen[::-1]


def _woven(texture: Texture, height: int, width: int, size: int) -> np.ndarray:
    """A piece of a texture: uint8 `[3, height, width]`."""
    if texture.kind == "photo":
        return photograph(texture.piece, max(height, width))[:, :height, :width]
    first, second = texture.colours[..., None, None]  # [3, 1, 1]
    if texture.kind == "plain":
        return np.broadcast_to(first, (3, height, width))
    y, x = np.arange(height)[:, None], np.arange(width)
    period = max(2, int(texture.period * size))
    if texture.kind == "stripes":
        pattern = (texture.slope[0] * x + texture.slope[1] * y) // (3 * period) % 2 == 1  # [h, w]
    elif texture.kind == "checks":
        pattern = (x // period + y // period) % 2 == 1  # [h, w]
    else:
        pattern = (x % (2 * period) - period) ** 2 + (y % (2 * period) - period) ** 2 < period**2 // 2  # [h, w]
    return np.where(pattern, second, first)  # [3, h, w]


def _cast_shadow(picture: np.ndarray, drawn: Drawn, scene: Scene) -> None:
    """Darken what lies behind an object, a little to the side."""
    size, window = picture.shape[1], drawn.window
    reach = max(window.height, window.width)
    dx, dy = np.rint(scene.shadow_shift * reach).astype(int).tolist()
    soft = 1 + reach // 24
    top, left = window.top + dy - soft, window.left + dx - soft
    y0, y1 = max(0, top), min(size, top + window.height + 2 * soft)
    x0, x1 = max(0, left), min(size, left + window.width + 2 * soft)
    if y0 >= y1 or x0 >= x1:
        return
    wide = 2 * soft + 1  # the edge is soft because each pixel's darkness is a mean over wide × wide pixels
    sums = np.zeros((window.height + 2 * wide - 1, window.width + 2 * wide - 1), np.int32)
    sums[wide : wide + window.height, wide : wide + window.width] = drawn.whole
    sums = sums.cumsum(0, dtype=np.int32).cumsum(1, dtype=np.int32)
    dark = sums[wide:, wide:] - sums[:-wide, wide:] - sums[wide:, :-wide] + sums[:-wide, :-wide]  # [h + 2·soft, w + 2·soft]
    dark = dark[y0 - top : y1 - top, x0 - left : x1 - left]
    behind = picture[:, y0:y1, x0:x1]
    behind[:] = _times(behind, 256 - dark * scene.shadow // wide**2)


def _ramp(height: int, width: int, slope: np.ndarray) -> np.ndarray:
    """256 in the middle, 256 ± slope (x, y) at the edges: int32 `[height, width]`."""
    x, y = (2 * np.arange(length, dtype=np.int32) - length for length in (width, height))
    return 256 + slope[0] * x // width + (slope[1] * y // height)[:, None]


def _times(picture: np.ndarray, light: np.ndarray) -> np.ndarray:
    """uint8 `[3, H, W]` in the light `[H, W]`, given in 1/256: uint8, 255 where it would be brighter."""
    # 16 bits hold 255 · 256, so the light, never more than 4 times too bright, comes in steps of 1/64 here.
    return np.minimum(picture * (light >> 2).astype(np.uint16) >> 6, 255).astype(np.uint8)


def _smeared(picture: np.ndarray) -> np.ndarray:
    """Each value becomes (before + 2 · itself + after) / 4, down the columns and along the rows; uint16 `[3, S, S]`."""
    for axis in (1, 2):
        lines = picture.swapaxes(0, axis)
        new = 2 * lines + 2
        new[1:] += lines[:-1]
        new[0] += lines[0]
        new[:-1] += lines[1:]
        new[-1] += lines[-1]
        picture = (new >> 2).swapaxes(0, axis)
    return picture


def photograph(piece: Piece, side: int) -> np.ndarray:
    """A piece of a photograph, `side` pixels wide: uint8 `[3, side, side]`."""
    levels = _levels(piece.name, piece.split)
    least = min(region(piece.name, "test").shape[1:])  # the same for all splits, so that they look alike
    pixels_wide = max(2, int(piece.side * least))
    level = 0
    while level + 1 < len(levels) and pixels_wide >> (level + 1) >= side:
        level += 1
    picture, pixels_wide = levels[level], pixels_wide >> level
    top, left = (int(share * (length - pixels_wide + 1)) for share, length in zip(piece.place, picture.shape[1:], strict=True))
    cut = picture[:, top : top + pixels_wide, left : left + pixels_wide]
    return resample(cut[..., ::-1] if piece.mirror else cut, side, side)


@cache
def _levels(name: str, split: str) -> tuple[np.ndarray, ...]:
    """What a split may use of a photograph, whole, halved, halved again, and so on."""
    levels = [region(name, split)]
    while min(levels[-1].shape[1:]) >= 32:
        levels.append(halved(levels[-1]))
    return tuple(levels)


@cache
def region(name: str, split: str) -> np.ndarray:
    """What a split may use of a photograph: uint8 `[3, H, W]`."""
    picture = pixels(name).transpose(2, 0, 1)
    height, width = picture.shape[1] // 2, picture.shape[2] // 2
    part = {"train": picture[..., :width], "val": picture[:, :height, width:], "test": picture[:, height:, width:]}[split]
    return np.ascontiguousarray(part)
