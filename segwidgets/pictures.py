"""The panels that show pixels: a picture, and a film, a picture that changes from step to step.

Both may carry a legend: a map of labels says nothing to one who doesn't know which colour is which class. And both may carry boxes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segwidgets.boxes import Boxes

HEAT_UNITS = 9.0  # width of a heat map or picture, counted in cells of a grid of numbers
JPEG_QUALITY = 88

Legend = Sequence[tuple[str, "str | Sequence[int]"]]
"""What colours mean: a name and its colour, "#E69F00" or (230, 159, 0)."""


@dataclass(frozen=True)
class Picture:
    """A picture `pixels [H, W, 3]` uint8, or with None an empty sheet of `size` (height, width), on which steps mark boxes.

    Args:
        lossless: PNG instead of JPEG, drawn with hard edges; for maps of labels.
        legend: what its colours mean.
        boxes: that lie on it, and that steps change by their numbers.
    """

    id: str
    pixels: np.ndarray | None
    title: str = ""
    note: str = ""
    size: tuple[int, int] | None = None
    width: float = HEAT_UNITS
    lossless: bool = False
    legend: Legend = ()
    boxes: Boxes | None = None

    def __post_init__(self):
        object.__setattr__(self, "title", self.title or self.id)
        object.__setattr__(self, "legend", _legend(self.id, self.legend))
        if self.pixels is not None:
            object.__setattr__(self, "size", self.pixels.shape[:2])
        if self.size is None:
            raise ValueError(f"the panel {self.id!r} needs pixels or a size")

    @property
    def rows(self) -> int:
        return self.size[0]

    @property
    def columns(self) -> int:
        return self.size[1]

    def content(self) -> list:
        # Decoders differ by a level or two between versions; the shape is what the animation depends on.
        return ["picture", self.id, self.title, self.note, list(self.size), *_extra(self)]

    def encode(self, buffers: list[bytes]) -> dict:
        encoded = {"kind": "picture", "id": self.id, "title": self.title, "note": self.note, "width": self.width}
        encoded |= {"rows": self.rows, "columns": self.columns, "lossless": self.lossless, "legend": self.legend}
        if self.pixels is not None:
            buffers.append(png(self.pixels) if self.lossless else jpeg(self.pixels))
            encoded["image"] = len(buffers) - 1
        return encoded | ({} if self.boxes is None else {"boxes": self.boxes.encode(buffers)})


class Frame:
    """A picture `pixels [H, W, 3]` uint8 that is encoded once, however many traces show it (a film that grows while training).
    `quality` is that of its JPEG; a film of hundreds of frames needs a lower one."""

    def __init__(self, pixels: np.ndarray, quality: int = JPEG_QUALITY):
        pixels = np.array(pixels)  # a copy: what was shown stays, whatever happens to the array
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
            raise ValueError(f"a frame of a film is [H, W, 3] uint8, got {list(pixels.shape)} {pixels.dtype}")
        self.pixels, self.quality = pixels, quality

    @cached_property
    def jpeg(self) -> bytes:
        return jpeg(self.pixels, self.quality)

    @cached_property
    def png(self) -> bytes:
        return png(self.pixels)


@dataclass(frozen=True)
class Film:
    """A picture that changes: `TraceStep(shows={"film id": 3})` shows frame 3 from that step on, and before any frame 0.

    A `Grid` with `film="film id"` shows another frame for each of its cells while the pointer is on it. Boxes are marked on it as
    on a `Picture`. Frames are measured: of them the digest takes only how many there are, how large, and when each is shown.

    Args:
        frames: `[H, W, 3]` uint8, all of one size, or `Frame`s. Each travels once; equal ones share their bytes.
        lossless: PNG instead of JPEG, drawn with hard edges; for maps of labels.
        legend: what its colours mean.
        boxes: that lie on it, and that steps change by their numbers.
    """

    id: str
    frames: Sequence[np.ndarray | Frame]
    title: str = ""
    note: str = ""
    width: float = HEAT_UNITS
    lossless: bool = False
    legend: Legend = ()
    boxes: Boxes | None = None

    def __post_init__(self):
        frames = tuple(frame if isinstance(frame, Frame) else Frame(frame) for frame in self.frames)
        if not frames:
            raise ValueError(f"the film {self.id!r} needs at least one frame, which stands there before the first step")
        sizes = sorted({frame.pixels.shape[:2] for frame in frames})
        if len(sizes) > 1:
            raise ValueError(f"the frames of the film {self.id!r} have the sizes {sizes}; they must all have one")
        object.__setattr__(self, "frames", frames)
        object.__setattr__(self, "title", self.title or self.id)
        object.__setattr__(self, "legend", _legend(self.id, self.legend))

    @property
    def rows(self) -> int:
        return self.frames[0].pixels.shape[0]

    @property
    def columns(self) -> int:
        return self.frames[0].pixels.shape[1]

    def content(self) -> list:
        return ["film", self.id, self.title, self.note, [len(self.frames), self.rows, self.columns], *_extra(self)]

    def encode(self, buffers: list[bytes]) -> dict:
        encoded = {"kind": "film", "id": self.id, "title": self.title, "note": self.note, "width": self.width}
        encoded |= {"rows": self.rows, "columns": self.columns, "lossless": self.lossless, "legend": self.legend, "frames": []}
        places: dict[bytes, int] = {}
        for frame in self.frames:
            content = frame.png if self.lossless else frame.jpeg
            if content not in places:
                buffers.append(content)
                places[content] = len(buffers) - 1
            encoded["frames"].append(places[content])
        return encoded | ({} if self.boxes is None else {"boxes": self.boxes.encode(buffers)})


def jpeg(pixels: np.ndarray, quality: int = JPEG_QUALITY) -> bytes:
    """`[H, W, 3]` uint8 as a JPEG."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def png(pixels: np.ndarray) -> bytes:
    """`[H, W, 3]` uint8 as a PNG, with a palette when it has at most 256 colours: a map of labels takes a fifth of the bytes."""
    from PIL import Image

    codes = pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)  # [H, W]
    found, indices = np.unique(codes, return_inverse=True)
    picture = Image.fromarray(pixels)
    if len(found) <= 256:
        picture = Image.fromarray(indices.reshape(codes.shape).astype(np.uint8))
        picture.putpalette(np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _legend(panel: str, legend: Legend) -> tuple[tuple[str, str], ...]:
    """Names and hex colours."""
    from PIL import ImageColor

    made = []
    for entry in legend:
        try:
            name, colour = entry
            levels = ImageColor.getrgb(colour)[:3] if isinstance(colour, str) else tuple(int(level) for level in colour)
            if len(levels) != 3 or not all(0 <= level <= 255 for level in levels):
                raise ValueError
        except (TypeError, ValueError):
            raise ValueError(f"the legend of {panel!r} takes (name, colour) with '#E69F00' or (230, 159, 0), got {entry!r}") from None
        made.append((str(name), "#{:02x}{:02x}{:02x}".format(*levels)))
    return tuple(made)


def _extra(panel: Picture | Film) -> list:
    """What the digest takes besides; nothing for a plain picture, so that digests from before there were legends and boxes still hold."""
    extra = [panel.lossless, list(panel.legend)] if panel.lossless or panel.legend else []
    return extra if panel.boxes is None else [*extra, panel.boxes.content()]
