"""Draws boxes, their labels and their dashes with Pillow, as `static/boxes.js` and the stylesheet do in the browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont

from segwidgets.boxes import BoxLook
from segwidgets.roles import ROLES

ORDER = ("ignored", "candidate", "suppressed", "truth", "read", "write", "wrong", "chosen")  # later ones lie on top, as in boxes.js
EDGE, RIGHT = 0.09, 0.68  # where a label goes inside, and leftwards, as in boxes.js
LETTERS = 11.5  # logical pixels
RIM = "#d5d8dd"  # around a box, so that a thin line shows on any photograph


def draw_boxes(picture: Image.Image, looks: Sequence[BoxLook], size: tuple[int, int], scale: float, font: Callable) -> None:
    """Draw the boxes of a picture of `size` (rows, columns) onto its drawing `picture`, which cuts off what lies outside.

    Args:
        scale: device pixels for each logical one.
        font: (size in pixels, bold) → font.
    """
    draw = ImageDraw.Draw(picture)
    rows, columns = size
    for look in sorted((look for look in looks if look.role), key=lambda look: ORDER.index(look.role)):
        x1, y1, x2, y2 = look.place
        box = (x1 / columns * picture.width, y1 / rows * picture.height, x2 / columns * picture.width, y2 / rows * picture.height)
        if x2 < x1 or y2 < y1:
            continue
        role = ROLES[look.role]
        thick = max(1, round(role.width * scale))
        if role.line == "dashed":
            draw.rectangle(box, outline=RIM, width=thick)  # shows in the gaps
        else:
            draw.rectangle([box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1], outline=RIM)
        outline(draw, box, role.light, thick, role.line, scale)
        if look.label:
            inside, leftwards = y1 < EDGE * rows, x1 > RIGHT * columns
            margin = thick if inside else 0
            x = min(box[2], picture.width) - margin if leftwards else max(box[0], 0) + margin
            corner = (x, max(box[1], 0) + margin)
            _label(draw, look.label, corner, inside, leftwards, role.ink, font(LETTERS * scale, True), picture.width)


def outline(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: str, thick: int, line: str, scale: float) -> None:
    """A rectangle whose line lies inside `box`; dashed, hatched or solid."""
    x1, y1, x2, y2 = box
    if line == "dashed":
        for start, end in _dashes(x1, x2, 5 * scale, 4 * scale):
            draw.rectangle([start, y1, end, y1 + (thick - 1)], fill=colour)
            draw.rectangle([start, y2 - (thick - 1), end, y2], fill=colour)
        for start, end in _dashes(y1, y2, 5 * scale, 4 * scale):
            draw.rectangle([x1, start, x1 + (thick - 1), end], fill=colour)
            draw.rectangle([x2 - (thick - 1), start, x2, end], fill=colour)
        return
    if line == "hatched":
        _hatch(draw, box, colour, 6 * scale)
    draw.rectangle([x1, y1, x2, y2], outline=colour, width=thick)


def _dashes(start: float, end: float, dash: float, gap: float) -> list[tuple[float, float]]:
    """Dashes of about that length, from one corner to the other: a whole number of them, the last at the end."""
    count = max(1, round((end - start + gap) / (dash + gap)))
    step = (end - start + gap) / count
    return [(start + i * step, min(end, start + i * step + step - gap)) for i in range(count) if step > gap] or [(start, end)]


def _hatch(draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: str, apart: float) -> None:
    """Lines from lower left to upper right."""
    x1, y1, x2, y2 = box
    height = y2 - y1
    offset = apart
    while offset < x2 - x1 + height:
        left, right = max(0.0, offset - height), min(x2 - x1, offset)
        draw.line([x1 + left, y1 + offset - left, x1 + right, y1 + offset - right], fill=colour)
        offset += apart


def _label(
    draw: ImageDraw.ImageDraw, text: str, corner, inside: bool, leftwards: bool, ink: str, font: ImageFont.FreeTypeFont, room: int
) -> None:
    x, y = corner
    across, tall = font.getlength(text) + 0.5 * font.size, 1.45 * font.size
    left, top = (x - across if leftwards else min(x, room - across)), (y if inside else y - tall)
    draw.rectangle([left, top, left + across, top + tall], fill="#ffffff")
    draw.text((left + across / 2, top + tall / 2), text, fill=ink, font=font, anchor="mm")
