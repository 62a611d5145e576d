"""A Trace without a browser: an animated PNG or GIF drawn with Pillow, and a page of its own that plays offline.

The drawing follows `static/panel.js`: the same roles, titles, arrows and sentence, on a white card, so that a saved
notebook, a code host and a slide show what the live widget shows.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from course.ops.step import number
from segwidgets.bundle import javascript, stylesheet
from segwidgets.panels import Arrow, Bars, Formula, Grid, Panel, Picture, colours
from segwidgets.roles import ROLES
from segwidgets.trace import Trace

MAX_STILL_BYTES = 300_000
MOST_FRAMES = 14
WIDTH = 860  # logical pixels, about a notebook's column
ARROW = 86  # logical pixels between two panels
CLEAR = 255  # the palette's transparent entry
LARGEST_UNIT = 40
OUTLINE = 0.17  # at most this part of a cell's side, as in roles.py: a thicker one would cover the cell of a heat map
MOST_NUMBERED = 144  # cells of a heat map that also show their numbers, as in panel.js
INK, SOFT, LINE, CELL, PAPER = "#1c2026", "#646b76", "#d5d8dd", "#f6f7f8", "#ffffff"


def animated_png(trace: Trace) -> tuple[bytes, tuple[int, int]]:
    """An animated PNG of at most 300 kB, and its size on the page in pixels (it is drawn finer than that).

    Long traces show an even choice of steps, the first and the last among them. Drawn again coarser, with fewer steps, until
    it fits.
    """
    coarse = any(isinstance(panel, Picture) or panel.columns > 16 for panel in trace.panels)  # no small print to keep sharp
    for scale, most in ((1.3 if coarse else 1.6, 10 if coarse else MOST_FRAMES), (1.0, 8), (0.8, 5)):
        images = [_draw(trace, step, scale) for step in _chosen_steps(trace, most)]
        encoded = _animate(images, "PNG", trace.digest)
        if len(encoded) <= MAX_STILL_BYTES:
            break
    width, height = images[0].size
    return encoded, (round(width / scale), round(height / scale))


def save(trace: Trace, path) -> None:
    """Write `trace` to `path` by its suffix. The file appears whole or not at all.

    Raises:
        ValueError: the suffix is none of .html, .png, .gif, or the folder isn't there.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r} to save {path.name!r} in")
    if path.suffix == ".html":
        content = page(trace).encode()
    elif path.suffix == ".png":
        content, _ = animated_png(trace)
    elif path.suffix == ".gif":
        content = _animate([_draw(trace, step, 1.0) for step in _chosen_steps(trace, 40)], "GIF", trace.digest)
    else:
        raise ValueError(f"an animation is saved as .html, .png or .gif, not as {path.name!r}")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=path.name) as folder:  # beside it: a move within one disk is atomic
        whole = Path(folder) / path.name
        whole.write_bytes(content)
        os.replace(whole, path)


def page(trace: Trace) -> str:
    """A complete HTML page that plays the trace, with everything inside it."""
    meta, buffers = trace.wire()
    data = {"meta": meta, "buffers": [base64.b64encode(buffer).decode() for buffer in buffers]}
    payload = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # no text can close the script element
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{escape(trace.title)}</title>
<style>body {{ margin: 2rem auto; max-width: 72rem; padding: 0 1rem; background: Canvas; color: CanvasText }}
{stylesheet()}</style>
<main></main>
<script type="application/json">{payload}</script>
<script type="module">
{javascript()}
const data = JSON.parse(document.querySelector("script[type='application/json']").textContent);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
new Player(document.querySelector("main"), data.meta, data.buffers.map(bytes));
</script>
</html>
"""


def _chosen_steps(trace: Trace, most: int) -> list[int]:
    last = len(trace.steps) - 1
    return sorted({round(i) for i in np.linspace(0, last, min(most, last + 1))})


def _animate(images: list[Image.Image], kind: str, digest: str) -> bytes:
    """One palette for all frames; a frame holds only what differs from the one before, the rest is transparent. The trace's
    digest travels along, so that a test can tell whether a picture is out of date."""
    palette = _palette(images)
    whole = [np.asarray(image.quantize(palette=palette, dither=Image.Dither.NONE)) for image in images]
    # Pillow looks colours up coarsely, and a card that is nearly white shows on a white page.
    white = np.reshape(palette.getpalette(), (-1, 3)).min(axis=1).argmax()
    whole = [np.where((np.asarray(image) == 255).all(axis=-1), white, indices) for image, indices in zip(images, whole, strict=True)]
    changed = [np.where(now == before, CLEAR, now) for before, now in zip(whole, whole[1:], strict=False)]
    frames = [Image.fromarray(indices.astype(np.uint8), "P") for indices in (whole[0], *changed)]
    for frame in frames:
        # Pillow crops a frame to what differs in colour from the one before. Were the clear entry white like the card, it would
        # not see that a letter is to be wiped out.
        frame.putpalette([*palette.getpalette()[: 3 * CLEAR], 1, 2, 3])
    file = io.BytesIO()
    durations = [1800] + [900] * (len(frames) - 2) + [3000] if len(frames) > 1 else [1000]
    if kind == "PNG":
        about = PngInfo()
        about.add_text("trace", digest)
        options = {"blend": [0] + [1] * len(changed), "default_image": False, "pnginfo": about}
    else:
        options = {"disposal": 1, "optimize": False, "comment": f"trace {digest}"}
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=durations, loop=0, transparency=CLEAR, **options)
    return file.getvalue()


def _palette(images: list[Image.Image]) -> Image.Image:
    """The roles' own colours, unchanged, and what the frames need besides (text edges, heat maps, photographs)."""
    fixed = [_tint(name, part) for name in ROLES for part in (1, 0.75, 0.14, 0.12)]
    fixed += [ImageColor.getrgb(colour) for colour in (*(role.ink for role in ROLES.values()), INK, SOFT, LINE, CELL, PAPER)]
    height = images[0].height // 2
    sheet = Image.new("RGB", (images[0].width // 2, height * 3))
    for i, image in enumerate((images[0], images[len(images) // 2], images[-1])):
        sheet.paste(image.resize((sheet.width, height), Image.Resampling.NEAREST), (0, i * height))
    room = CLEAR - len(fixed)
    found = sheet.quantize(room, Image.Quantize.MEDIANCUT).getpalette()[: 3 * room]
    palette = Image.new("P", (1, 1))
    used = [level for colour in fixed for level in colour] + found
    palette.putpalette(used + [255] * (768 - len(used)))  # whole, or the transparent entry would not be written
    return palette


# ---- drawing one step ---------------------------------------------------------------------------------------------------


class _Sheet:
    """A white card and the sizes on it, in device pixels; `unit` is the side of a cell in a grid of numbers."""

    def __init__(self, trace: Trace, scale: float):
        sizes = [_size(panel) for panel in trace.panels]
        units, gaps = sum(width for width, _ in sizes), ARROW * (len(sizes) - 1)
        self.scale = scale
        self.unit = min(LARGEST_UNIT, (WIDTH - 40 - gaps) / units) * scale
        # No wider than the panels or a line of text need: a card half empty would only cost bytes.
        self.width = round(min(WIDTH * scale, max(units * self.unit + (gaps + 60) * scale, 620 * scale)))
        self.top = 66 * scale
        self.tall = max(height for _, height in sizes) * self.unit
        self.image = Image.new("RGB", (self.width, round(self.top + self.tall + 92 * scale)), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.left = (self.width - units * self.unit - gaps * scale) / 2

    def text(self, xy, text, size, fill=INK, bold=False, anchor="mm"):
        self.draw.text(xy, text, fill=fill, font=_font(max(6, round(size)), bold), anchor=anchor)


def _draw(trace: Trace, step: int, scale: float) -> Image.Image:
    sheet = _Sheet(trace, scale)
    x = sheet.left
    for i, panel in enumerate(trace.panels):
        if i:
            _draw_arrow(sheet, x, trace.arrows[i - 1])
            x += ARROW * scale
        width, height = (side * sheet.unit for side in _size(panel))
        y = sheet.top + (sheet.tall - height) / 2
        sheet.text((x, y - 41 * scale), panel.title, 13 * scale, bold=True, anchor="lm")
        sheet.text((x, y - 23 * scale), panel.note, 12 * scale, SOFT, anchor="lm")
        _draw_panel(sheet, trace, panel, step, (x, y, width, height))
        x += width
    _draw_caption(sheet, trace, step)
    return sheet.image


def _size(panel: Panel) -> tuple[float, float]:
    """Width and height in units."""
    if isinstance(panel, Formula):
        return panel.width, len(panel.lines) * 0.9
    if isinstance(panel, Bars):
        return panel.width, panel.rows * 0.8
    return panel.width, panel.width / panel.columns * panel.rows


def _draw_panel(sheet: _Sheet, trace: Trace, panel: Panel, step: int, frame) -> None:
    x, y, width, height = frame
    if isinstance(panel, Formula):
        for i, line in enumerate(panel.lines):
            sheet.text((x, y + (i + 0.5) * 0.9 * sheet.unit), line, 0.4 * sheet.unit, anchor="lm")
        return
    if isinstance(panel, Bars):
        _draw_bars(sheet, trace.values_at(panel.id, step)[:, 0], panel, frame)
    elif isinstance(panel, Picture):
        if panel.pixels is not None:
            picture = Image.fromarray(panel.pixels).resize((round(width), round(height)), Image.Resampling.LANCZOS)
            sheet.image.paste(picture, (round(x), round(y)))
    elif panel.paint == "numbers":
        _draw_numbers(sheet, trace, panel, step, frame)
    else:
        _draw_heat(sheet, trace, panel, step, frame)
    _draw_marks(sheet, trace, panel, step, frame)


def _draw_numbers(sheet: _Sheet, trace: Trace, panel: Grid, step: int, frame) -> None:
    x, y, width, _ = frame
    cell = width / panel.columns
    values, kept = trace.values_at(panel.id, step), set(trace.kept_at(panel.id, step))
    fresh = trace.steps[step].writes.get(panel.id, {})
    letters = max(2.2, *(len(number(v)) for v in trace.values_at(panel.id, len(trace.steps) - 1).flat if not np.isnan(v)), 0)
    size = min(0.42 * sheet.unit, 0.92 * cell / (letters * 0.66))
    for i in range(panel.columns):  # rows and columns are counted from 0, as in the sentences
        sheet.text((x + (i + 0.5) * cell, y - 6 * sheet.scale), str(i), 9 * sheet.scale, SOFT)
    for i in range(panel.rows):
        sheet.text((x - 7 * sheet.scale, y + (i + 0.5) * cell), str(i), 9 * sheet.scale, SOFT)
    for (row, column), value in np.ndenumerate(values):
        box = [x + column * cell, y + row * cell, x + (column + 1) * cell, y + (row + 1) * cell]
        written = panel.empty and not np.isnan(value)
        fill = _tint("chosen", 0.14) if (row, column) in kept else _tint("write", 0.12) if written else CELL
        sheet.draw.rectangle(box, fill=fill, outline=LINE)
        if (row, column) in kept:
            sheet.draw.rectangle([box[0], box[3] - 3 * sheet.scale, box[2], box[3]], fill=_tint("chosen", 0.75))
        if not np.isnan(value):
            middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            sheet.text(middle, number(value), size, bold=(row, column) in fresh)


def _draw_heat(sheet: _Sheet, trace: Trace, panel: Grid, step: int, frame) -> None:
    x, y, width, height = frame
    values = trace.values_at(panel.id, step)
    low, high = panel.limits
    level = np.clip(np.nan_to_num((values - low) / ((high - low) or 1)) * 255, 0, 255).round().astype(int)
    rgb = colours(panel.paint)[level]
    rgb[np.isnan(values)] = (246, 247, 248)
    picture = Image.fromarray(rgb).resize((round(width), round(height)), Image.Resampling.NEAREST)
    sheet.image.paste(picture, (round(x), round(y)))
    cell = width / panel.columns
    for row, column in trace.kept_at(panel.id, step):
        middle = (x + (column + 0.5) * cell, y + (row + 0.5) * cell)
        sheet.draw.circle(middle, 0.2 * cell, fill=ROLES["chosen"].light)
    if panel.rows * panel.columns <= MOST_NUMBERED:
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                ink = _ink_on(rgb[row, column])
                middle = (x + (column + 0.5) * cell, y + (row + 0.5) * cell)
                sheet.text(middle, number(value), min(0.42 * sheet.unit, 0.4 * cell), ink)


def _draw_bars(sheet: _Sheet, values: np.ndarray, panel: Bars, frame) -> None:
    x, y, width, _ = frame
    longest = max(np.abs(panel.values).max(), 1e-9)
    for i, (label, value) in enumerate(zip(panel.labels, values, strict=True)):
        middle = y + (i + 0.5) * 0.8 * sheet.unit
        sheet.text((x + 0.36 * width, middle), label, 0.34 * sheet.unit, anchor="rm")
        if not np.isnan(value):
            length, half = 0.44 * width * abs(value) / longest, 0.22 * sheet.unit
            left = x + 0.4 * width
            sheet.draw.rectangle([left, middle - half, left + length, middle + half], fill=ROLES["write"].light)
            sheet.text((x + 0.86 * width, middle), number(float(value)), 0.34 * sheet.unit, anchor="lm")


def _draw_marks(sheet: _Sheet, trace: Trace, panel: Panel, step: int, frame) -> None:
    x, y, width, height = frame
    thickest = math.inf if isinstance(panel, Picture) else OUTLINE * width / panel.columns
    for role in sorted(trace.steps[step].marks.get(panel.id, {}), key=list(ROLES).index):
        places = trace.steps[step].marks[panel.id][role]
        boxes = places if isinstance(panel, Picture) else _boxes_of_cells(places)
        for x1, y1, x2, y2 in boxes:
            left, right = x + x1 / panel.columns * width, x + x2 / panel.columns * width
            top, bottom = y + y1 / panel.rows * height, y + y2 / panel.rows * height
            thick = max(1, round(min(ROLES[role].width * sheet.scale, thickest)))
            sheet.draw.rectangle([left, top, right, bottom], outline=ROLES[role].light, width=thick)


def _boxes_of_cells(cells) -> list[tuple]:
    """As in layout.js: a full rectangle of cells is one box, other cells a box each."""
    if not len(cells):
        return []
    rows, columns = zip(*cells, strict=True)
    x1, x2, y1, y2 = min(columns), max(columns) + 1, min(rows), max(rows) + 1
    if (x2 - x1) * (y2 - y1) == len(set(map(tuple, cells))):
        return [(x1, y1, x2, y2)]
    return [(column, row, column + 1, row + 1) for row, column in cells]


def _draw_arrow(sheet: _Sheet, x: float, arrow: Arrow | None) -> None:
    if arrow is None:
        return
    text, middle = arrow.text, sheet.top + sheet.tall / 2
    if not arrow.line:
        sheet.text((x + ARROW / 2 * sheet.scale, middle), text, 20 * sheet.scale, SOFT)
        return
    left, right = x + 6 * sheet.scale, x + (ARROW - 20) * sheet.scale  # the next panel's row numbers need the rest
    lines = _wrapped([(text, "")], right - left + 4 * sheet.scale, 11 * sheet.scale)
    for i, line in enumerate(lines):
        y = middle - (len(lines) - i) * 14 * sheet.scale
        sheet.text(((left + right) / 2, y), "".join(word for word, _ in line).strip(), 11 * sheet.scale, SOFT)
    sheet.draw.line([left, middle, right, middle], fill=SOFT, width=round(1.5 * sheet.scale))
    tip = 5 * sheet.scale
    sheet.draw.polygon([(right, middle), (right - tip, middle - tip * 0.7), (right - tip, middle + tip * 0.7)], fill=SOFT)


def _draw_caption(sheet: _Sheet, trace: Trace, step: int) -> None:
    size = 14.5 * sheet.scale
    y = sheet.top + sheet.tall + 26 * sheet.scale
    for line in _wrapped(trace.steps[step].spans, sheet.width - 60 * sheet.scale, size)[:2]:
        length = sum(_font(round(size), bool(role)).getlength(word) for word, role in line)
        x = (sheet.width - length) / 2
        for word, role in line:
            sheet.text((x, y), word, size, _ink(role), bold=bool(role), anchor="lm")
            x += _font(round(size), bool(role)).getlength(word)
        y += 21 * sheet.scale
    bottom = sheet.image.height - 16 * sheet.scale
    sheet.text((sheet.width / 2, bottom), trace.steps[step].arithmetic, 12.5 * sheet.scale, SOFT)
    sheet.text((sheet.width - 20 * sheet.scale, bottom), f"{step} / {len(trace.steps) - 1}", 11 * sheet.scale, SOFT, anchor="rm")


def _wrapped(spans: Sequence[tuple[str, str]], width: float, size: float) -> list[list[tuple[str, str]]]:
    """Words with their roles, broken into lines of at most `width` pixels."""
    lines, length = [[]], 0.0
    for text, role in spans:
        for word in text.replace(" ", " \0").split("\0"):
            advance = _font(round(size), bool(role)).getlength(word)
            if lines[-1] and length + _font(round(size), bool(role)).getlength(word.rstrip()) > width:
                lines.append([])
                length = 0.0
            lines[-1].append((word, role))
            length += advance
    return lines


def _ink(role: str) -> str:
    return ROLES[role].ink if role else INK


def _ink_on(colour: np.ndarray) -> str:
    """White or black, whichever stands out more, as in panel.js."""
    luminance = np.dot(((colour / 255 + 0.055) / 1.055) ** 2.4, (0.2126, 0.7152, 0.0722))
    return "#000000" if luminance > 0.179 else "#ffffff"


def _tint(role: str, part: float) -> tuple[int, int, int]:
    """The role's colour laid thinly over white."""
    red_green_blue = (int(ROLES[role].light[i : i + 2], 16) for i in (1, 3, 5))
    return tuple(round(255 + (level - 255) * part) for level in red_green_blue)


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib ships it: it has ×, →, − and the same shapes on every machine."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)
