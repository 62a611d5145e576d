"""Draws one step of a Trace with Pillow, for stills.

It follows `static/panel.js`: the same roles, titles, arrows and sentence, on a white card, so that a saved notebook, a code
host and a slide show what the live widget shows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from course.ops.step import number
from segwidgets.drawn_boxes import draw_boxes, outline
from segwidgets.panels import Arrow, Bars, Curves, Film, Formula, Grid, Panel, Picture, Segmentation, colours
from segwidgets.roles import ROLES
from segwidgets.trace import Trace

WIDTH = 860  # logical pixels, about a notebook's column
ARROW, GAP = 86, 36  # logical pixels between two panels, with an arrow and without
LARGEST_UNIT = 40
READABLE_UNIT = 8  # logical pixels: below it the panels go into one row more
TITLE, NOTE, LEGEND_ROW = 13, 12, 20  # logical pixels: sizes of letters, height of a row
STRIP = 3.0  # a curve's height, in units, as in curves.js
OUTLINE = 0.17  # at most this part of a cell's side, as in roles.py: a thicker one would cover the cell of a heat map
MOST_NUMBERED = 144  # cells of a heat map that also show their numbers, as in panel.js
LEGIBLE = 8  # smallest type of these numbers in pixels: below it the colours speak alone, as in panel.js
SMALLEST = 6  # type in pixels
INK, SOFT, LINE, CELL, PAPER = "#1c2026", "#646b76", "#d5d8dd", "#f6f7f8", "#ffffff"


def legend_of(trace: Trace) -> list[tuple[str, str]]:
    """What the colours of all its panels mean, each once: (name, hex colour)."""
    return list(dict.fromkeys(entry for panel in trace.panels if isinstance(panel, (Picture, Film)) for entry in panel.legend))


def draw_step(trace: Trace, step: int, scale: float) -> Image.Image:
    """Step `step` on a white card, `scale` device pixels for each logical one."""
    sheet = _Sheet(trace, scale)
    for row in sheet.rows:
        x = row.left
        for i in row.panels:
            if i:  # also before the first panel of a later row
                _draw_arrow(sheet, x, row.top + row.tall / 2, trace.arrows[i - 1])
                x += sheet.gaps[i - 1]
            panel = trace.panels[i]
            width, height = (side * sheet.unit for side in _size(panel))
            y = row.top + (row.tall - height) / 2
            sheet.text((x, y - 41 * scale), panel.title, TITLE * scale, bold=True, anchor="lm")
            sheet.text((x, y - 23 * scale), trace.note_at(panel.id, step), NOTE * scale, SOFT, anchor="lm")
            _draw_panel(sheet, trace, panel, step, (x, y, width, height))
            x += sheet.slots[i]
    _draw_legend(sheet)
    _draw_caption(sheet, trace, step)
    return sheet.image


@dataclass(frozen=True)
class _Row:
    """Which panels stand in a row, and its left edge, upper edge and height in device pixels."""

    panels: Sequence[int]
    left: float
    top: float
    tall: float


class _Sheet:
    """A white card and the sizes on it, in device pixels; `unit` is the side of a cell in a grid of numbers, `slots` the widths
    that the panels take with their titles, `rows` where they stand."""

    def __init__(self, trace: Trace, scale: float):
        sizes = [_size(panel) for panel in trace.panels]
        self.gaps = [(ARROW if arrow else GAP) * scale for arrow in trace.arrows]
        self.scale = scale
        names = [max(_length(panel.title, TITLE * scale, True), _length(panel.note, NOTE * scale)) for panel in trace.panels]
        room, largest = (WIDTH - 40) * scale, LARGEST_UNIT * scale
        widths = [width for width, _ in sizes]
        rows, self.unit = _fitted(widths, names, self.gaps, room, largest, READABLE_UNIT * scale, trace.rows)
        self.slots = [max(width * self.unit, name) for (width, _), name in zip(sizes, names, strict=True)]
        used = [_length_of_row(row, self.slots, self.gaps) for row in rows]
        # No wider than the panels or a line of text need: a card half empty would only cost bytes.
        self.width = round(min(WIDTH * scale, max(max(used) + 60 * scale, 620 * scale)))
        self.rows, bottom = [], 0.0
        for row, length in zip(rows, used, strict=True):
            tall = max(sizes[i][1] for i in row) * self.unit
            self.rows.append(_Row(row, (self.width - length) / 2, bottom + 66 * scale, tall))
            bottom += 66 * scale + tall
        self.bottom = bottom
        self.legend = _legend_rows(trace, self.width - 40 * scale, scale)
        self.below = bottom + (len(self.legend) * LEGEND_ROW + (10 if self.legend else 0)) * scale
        self.image = Image.new("RGB", (self.width, round(self.below + 92 * scale)), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def text(self, xy, text, size, fill=INK, bold=False, anchor="mm"):
        self.draw.text(xy, text, fill=fill, font=_sized(size, bold), anchor=anchor)


def _fitted(
    widths: Sequence[float], names: Sequence[float], gaps: Sequence[float], room: float, largest: float, readable: float, fewest: int
) -> tuple[list[range], float]:
    """Panels in as few rows as leave the unit readable, or else as large as it gets; and that unit. As fitPanels in layout.js."""
    best = None
    for count in range(min(fewest, len(widths)), len(widths) + 1):
        rows = _split([max(width, name / largest) for width, name in zip(widths, names, strict=True)], count)
        unit = min(
            _unit([widths[i] for i in row], [names[i] for i in row], room - sum(gaps[i - 1] for i in row if i), largest) for row in rows
        )
        slots = [max(width * unit, name) for width, name in zip(widths, names, strict=True)]
        fits = all(_length_of_row(row, slots, gaps) <= room + 1 for row in rows)
        if best is None or (fits, unit) > best[0]:
            best = (fits, unit), rows
        if fits and unit >= readable:
            break
    return best[1], best[0][1]


def _split(widths: Sequence[float], count: int) -> list[range]:
    """Panels one after another in `count` rows, cut so that the widest row is as narrow as can be."""
    ways = ((0, *cuts, len(widths)) for cuts in itertools.combinations(range(1, len(widths)), count - 1))
    ends = min(ways, key=lambda ends: max(sum(widths[start:end]) for start, end in itertools.pairwise(ends)))
    return [range(start, end) for start, end in itertools.pairwise(ends)]


def _length_of_row(row: Sequence[int], slots: Sequence[float], gaps: Sequence[float]) -> float:
    """From its first arrow, or panel, to its last panel."""
    return sum(slots[i] + (gaps[i - 1] if i else 0) for i in row)


def _unit(widths: list[float], names: list[float], room: float, largest: float) -> float:
    """The largest unit with which all panels fit, each at least as wide as its name."""
    unit = largest
    for _ in widths:  # each round finds one more panel that its name makes wider, or is the last
        named = [name for width, name in zip(widths, names, strict=True) if width * unit < name]
        free = sum(width for width, name in zip(widths, names, strict=True) if width * unit >= name)
        if not free or unit <= (room - sum(named)) / free:
            break
        unit = max(6.0, (room - sum(named)) / free)
    return unit


def _legend_rows(trace: Trace, room: float, scale: float) -> list[list[tuple[str, str, float]]]:
    """The legend's entries (name, colour, width), broken into rows."""
    rows, used = [], 0.0
    for name, colour in legend_of(trace):
        width = _length(name, NOTE * scale) + 34 * scale
        if not rows or used + width > room:
            rows.append([])
            used = 0.0
        rows[-1].append((name, colour, width))
        used += width
    return rows


def _draw_legend(sheet: _Sheet) -> None:
    side, y = 11 * sheet.scale, sheet.bottom + 20 * sheet.scale
    for row in sheet.legend:
        x = (sheet.width - sum(width for *_, width in row)) / 2
        for name, colour, width in row:
            sheet.draw.rectangle([x, y - side / 2, x + side, y + side / 2], fill=colour, outline=LINE)
            sheet.text((x + side + 6 * sheet.scale, y), name, NOTE * sheet.scale, anchor="lm")
            x += width
        y += LEGEND_ROW * sheet.scale


def _size(panel: Panel) -> tuple[float, float]:
    """Width and height in units."""
    if isinstance(panel, Formula):
        return panel.width, len(panel.lines) * 0.9
    if isinstance(panel, Bars):
        return panel.width, panel.rows * 0.8
    if isinstance(panel, Curves):
        return panel.width, panel.rows * STRIP
    if isinstance(panel, Segmentation):
        return panel.width, panel.width / panel.labels.shape[1] * panel.labels.shape[0]
    return panel.width, panel.width / panel.columns * panel.rows


def _draw_panel(sheet: _Sheet, trace: Trace, panel: Panel, step: int, frame) -> None:
    x, y, width, height = frame
    if isinstance(panel, Formula):
        for i, line in enumerate(panel.lines):
            sheet.text((x, y + (i + 0.5) * 0.9 * sheet.unit), line, 0.4 * sheet.unit, anchor="lm")
        return
    if isinstance(panel, Segmentation):
        before, marks = trace.values_at(panel.id, max(0, step - 1)), trace.steps[step].marks.get(panel.id, {})
        _draw_picture(sheet, panel.painted(trace.values_at(panel.id, step), before, marks), False, frame)
        return
    if isinstance(panel, Bars):
        _draw_bars(sheet, trace, step, panel, frame)
    elif isinstance(panel, Curves):
        _draw_curves(sheet, trace.values_at(panel.id, step), panel, frame)
    elif isinstance(panel, Picture):
        if panel.pixels is not None:
            _draw_picture(sheet, panel.pixels, panel.lossless, frame)
    elif isinstance(panel, Film):
        _draw_picture(sheet, panel.frames[trace.frame_at(panel.id, step)].pixels, panel.lossless, frame)
    elif panel.paint == "numbers":
        _draw_numbers(sheet, trace, panel, step, frame)
    else:
        _draw_heat(sheet, trace, panel, step, frame)
    if isinstance(panel, (Picture, Film)) and panel.boxes is not None:
        _draw_boxes(sheet, trace, panel, step, frame)
    _draw_marks(sheet, trace, panel, step, frame)


def _draw_picture(sheet: _Sheet, pixels: np.ndarray, lossless: bool, frame) -> None:
    x, y, width, height = frame
    way = Image.Resampling.NEAREST if lossless else Image.Resampling.LANCZOS
    picture = Image.fromarray(pixels).resize((max(1, round(width)), max(1, round(height))), way)
    sheet.image.paste(picture, (round(x), round(y)))


def _draw_boxes(sheet: _Sheet, trace: Trace, panel: Picture | Film, step: int, frame) -> None:
    """On a copy of the picture, so that what lies outside it is cut off."""
    x, y, width, height = (round(side) for side in frame)
    picture = sheet.image.crop((x, y, x + width, y + height))
    draw_boxes(picture, trace.boxes_at(panel.id, step), (panel.rows, panel.columns), sheet.scale, _sized)
    sheet.image.paste(picture, (x, y))


def _draw_numbers(sheet: _Sheet, trace: Trace, panel: Grid, step: int, frame) -> None:
    x, y, width, _ = frame
    cell = width / panel.columns
    values, kept = trace.values_at(panel.id, step), set(trace.kept_at(panel.id, step))
    fresh = trace.steps[step].writes.get(panel.id, {})
    size = _size_of_numbers(sheet, trace, panel, cell)
    for i, name in enumerate(panel.column_names or range(panel.columns)):  # counted from 0, as in the sentences
        sheet.text((x + (i + 0.5) * cell, y - 6 * sheet.scale), str(name), 9 * sheet.scale, SOFT)
    for i, name in enumerate(panel.row_names or range(panel.rows)):
        sheet.text((x - 4 * sheet.scale, y + (i + 0.5) * cell), str(name), 9 * sheet.scale, SOFT, anchor="rm")
    for (row, column), value in np.ndenumerate(values):
        box = [x + column * cell, y + row * cell, x + (column + 1) * cell, y + (row + 1) * cell]
        written = panel.empty and not np.isnan(value)
        fill = tint("chosen", 0.14) if (row, column) in kept else tint("write", 0.12) if written else CELL
        sheet.draw.rectangle(box, fill=fill, outline=LINE)
        if (row, column) in kept:
            sheet.draw.rectangle([box[0], box[3] - 3 * sheet.scale, box[2], box[3]], fill=tint("chosen", 0.75))
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
    size = _size_of_numbers(sheet, trace, panel, cell)
    if panel.rows * panel.columns <= MOST_NUMBERED and size >= LEGIBLE * sheet.scale:
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value):
                ink = _ink_on(rgb[row, column])
                middle = (x + (column + 0.5) * cell, y + (row + 0.5) * cell)
                sheet.text(middle, number(value), size, ink)


def _size_of_numbers(sheet: _Sheet, trace: Trace, panel: Grid, cell: float) -> float:
    """The size of type at which the longest number of a grid, at its last step, fits into a cell."""
    letters = max(2.2, *(len(number(v)) for v in trace.values_at(panel.id, len(trace.steps) - 1).flat if not np.isnan(v)), 0)
    return min(0.42 * sheet.unit, 0.92 * cell / (letters * 0.66))


def _draw_bars(sheet: _Sheet, trace: Trace, step: int, panel: Bars, frame) -> None:
    x, y, width, _ = frame
    values = trace.values_at(panel.id, step)[:, 0]
    ever = [*panel.values.flat, *(value for each in trace.steps for value in each.writes.get(panel.id, {}).values())]
    longest = max(float(np.nanmax(np.abs(ever), initial=0)), 1e-9)  # in float32 a bar of length 0 could end before it begins
    letters = max(len(label) for label in panel.labels)
    size = min(0.5, max(0.34, 0.36 * panel.width / (0.66 * letters))) * sheet.unit  # as large as the longest label has room
    for i, (label, value) in enumerate(zip(panel.labels, values, strict=True)):
        middle = y + (i + 0.5) * 0.8 * sheet.unit
        sheet.text((x + 0.38 * width, middle), label, size, anchor="rm")
        if not np.isnan(value):
            length, half = 0.44 * width * abs(float(value)) / longest, 0.22 * sheet.unit
            left = x + 0.4 * width
            sheet.draw.rectangle([left, middle - half, left + length, middle + half], fill=ROLES[panel.role].light)
            sheet.text((x + 0.86 * width, middle), number(float(value)), size, anchor="lm")


def _draw_curves(sheet: _Sheet, values: np.ndarray, panel: Curves, frame) -> None:
    x, y, width, _ = frame
    strip, head = STRIP * sheet.unit, 19 * sheet.scale
    for row, (label, (low, high)) in enumerate(zip(panel.labels, panel.limits, strict=True)):
        top, bottom = y + row * strip + head, y + (row + 1) * strip - 7 * sheet.scale
        sheet.text((x, top - 11 * sheet.scale), label, NOTE * sheet.scale, anchor="lm")
        sheet.draw.line([x, top, x, bottom, x + width, bottom], fill=LINE)
        known = np.flatnonzero(~np.isnan(values[row]))
        if not len(known):
            continue
        part = np.clip((values[row, known] - low) / ((high - low) or 1), 0, 1)
        points = list(zip(x + known / max(1, panel.columns - 1) * width, bottom - part * (bottom - top), strict=True))
        sheet.draw.line(points, fill=ROLES["write"].light, width=max(1, round(2 * sheet.scale)), joint="curve")
        sheet.draw.circle(points[-1], 4 * sheet.scale, fill=ROLES["write"].light)
        latest = number(float(values[row, known[-1]]))
        sheet.text((x + width, top - 11 * sheet.scale), latest, NOTE * sheet.scale, _ink("write"), bold=True, anchor="rm")


def _draw_marks(sheet: _Sheet, trace: Trace, panel: Panel, step: int, frame) -> None:
    x, y, width, height = frame
    pictured = isinstance(panel, (Picture, Film))
    cell = 0.6 * sheet.unit if isinstance(panel, Bars) else width / max(1, panel.columns)
    thickest = math.inf if pictured else OUTLINE * cell
    for role in sorted(trace.steps[step].marks.get(panel.id, {}), key=list(ROLES).index):
        places = trace.steps[step].marks[panel.id][role]
        boxes = _places_of_boxes(trace, panel, step, places) if pictured else _boxes_of_cells(places)
        for x1, y1, x2, y2 in boxes:
            left, right = x + x1 / panel.columns * width, x + x2 / panel.columns * width
            top, bottom = y + y1 / panel.rows * height, y + y2 / panel.rows * height
            thick = max(1, round(min(ROLES[role].width * sheet.scale, thickest)))
            line = ROLES[role].line if pictured else "solid"
            outline(sheet.draw, (left, top, right, bottom), ROLES[role].light, thick, line, sheet.scale)


def _places_of_boxes(trace: Trace, panel: Picture | Film, step: int, places) -> list[tuple]:
    """Rectangles as they are; of the panel's own boxes, which are named by their numbers, where they are now."""
    if panel.boxes is None:
        return places
    looks = trace.boxes_at(panel.id, step)
    return [looks[box].place if isinstance(box, Integral) else box for box in places]


def _boxes_of_cells(cells) -> list[tuple]:
    """As in layout.js: a full rectangle of cells is one box, other cells a box each."""
    if not len(cells):
        return []
    rows, columns = zip(*cells, strict=True)
    x1, x2, y1, y2 = min(columns), max(columns) + 1, min(rows), max(rows) + 1
    if (x2 - x1) * (y2 - y1) == len(set(map(tuple, cells))):
        return [(x1, y1, x2, y2)]
    return [(column, row, column + 1, row + 1) for row, column in cells]


def _draw_arrow(sheet: _Sheet, x: float, middle: float, arrow: Arrow | None) -> None:
    if arrow is None:
        return
    text = arrow.text
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
    y = sheet.below + 26 * sheet.scale
    for line in _wrapped(trace.steps[step].spans, sheet.width - 60 * sheet.scale, size)[:2]:
        length = sum(_length(word, size, bool(role)) for word, role in line)
        x = (sheet.width - length) / 2
        for word, role in line:
            sheet.text((x, y), word, size, _ink(role), bold=bool(role), anchor="lm")
            x += _length(word, size, bool(role))
        y += 21 * sheet.scale
    bottom = sheet.image.height - 16 * sheet.scale
    line, size = _in_a_line(
        trace.steps[step].arithmetic, 12.5 * sheet.scale, sheet.width - 2 * 60 * sheet.scale
    )  # beside the count of steps
    sheet.text((sheet.width / 2, bottom), line, size, SOFT)
    sheet.text((sheet.width - 20 * sheet.scale, bottom), f"{step} / {len(trace.steps) - 1}", 11 * sheet.scale, SOFT, anchor="rm")


def _wrapped(spans: Sequence[tuple[str, str]], width: float, size: float) -> list[list[tuple[str, str]]]:
    """Words with their roles, broken into lines of at most `width` pixels."""
    lines, length = [[]], 0.0
    for text, role in spans:
        for word in text.replace(" ", " \0").split("\0"):
            advance = _length(word, size, bool(role))
            if lines[-1] and length + _length(word.rstrip(), size, bool(role)) > width:
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


def tint(role: str, part: float) -> tuple[int, int, int]:
    """The role's colour laid thinly over white."""
    red_green_blue = (int(ROLES[role].light[i : i + 2], 16) for i in (1, 3, 5))
    return tuple(round(255 + (level - 255) * part) for level in red_green_blue)


def _in_a_line(text: str, size: float, room: float) -> tuple[str, float]:
    """The text and its size, no longer than `room`: smaller, and when that is not enough without its last words."""
    size = math.floor(size * min(1.0, room / max(1.0, _length(text, size))))
    words = text.split()
    while words and _length(text, size) > room:
        words.pop()
        text = " ".join([*words, "…"])
    return text, size


def _length(text: str, size: float, bold: bool = False) -> float:
    return _sized(size, bold).getlength(text)


def _sized(size: float, bold: bool = False) -> ImageFont.FreeTypeFont:
    return _font(max(SMALLEST, round(size)), bold)


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib ships it: it has ×, →, − and the same shapes on every machine."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)
