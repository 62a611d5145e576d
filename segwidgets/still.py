"""A Trace without a browser: an animated PNG or GIF drawn with Pillow, and a page of its own that plays offline."""

from __future__ import annotations

import base64
import io
import json
import os
import tempfile
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor
from PIL.PngImagePlugin import PngInfo

from segwidgets.bundle import javascript, stylesheet
from segwidgets.drawing import CELL, INK, LINE, PAPER, SOFT, draw_step, legend_of, tint
from segwidgets.panels import Film, Picture
from segwidgets.roles import ROLES
from segwidgets.trace import Trace

MAX_STILL_BYTES = 300_000
MOST_FRAMES = 14
SECONDS = 0.9  # that a step stays
CLEAR = 255  # the palette's transparent entry


def animated_png(trace: Trace, seconds: float = SECONDS) -> tuple[bytes, tuple[int, int]]:
    """An animated PNG of at most 300 kB, and its size on the page in pixels (it is drawn finer than that).

    What shows no animation (paper, LaTeX) shows its default image, which is the last step and no part of the animation.

    Long traces show an even choice of steps, the first and the last among them. Drawn again coarser, with fewer steps, until
    it fits.
    """
    coarse = any(isinstance(panel, (Picture, Film)) or panel.columns > 16 for panel in trace.panels)  # no small print to keep sharp
    for scale, most in ((1.3 if coarse else 1.6, 10 if coarse else MOST_FRAMES), (1.0, 8), (0.8, 5), (0.6, 4), (0.4, 3)):
        images = [draw_step(trace, step, scale) for step in _chosen_steps(trace, most)]
        encoded = _animate(trace, images, "PNG", seconds)
        if len(encoded) <= MAX_STILL_BYTES:
            break
    width, height = images[0].size
    return encoded, (round(width / scale), round(height / scale))


def save(trace: Trace, path, *, seconds: float | None = None) -> None:
    """Write `trace` to `path` by its suffix. The file appears whole or not at all.

    Args:
        seconds: how long a step of a .png or .gif stays, 0.02 to 60; the first stays longer, and the last longest.

    Raises:
        ValueError: the suffix is none of .html, .png, .gif, the folder isn't there, or `seconds` can't be.
    """
    path = Path(path)
    if seconds is not None and path.suffix == ".html":
        raise ValueError("seconds is for .png and .gif; the page that plays has controls of its own for the speed")
    if seconds is not None and not 0.02 <= seconds <= 60:
        raise ValueError(f"seconds is {seconds!r}; a step stays 0.02 to 60 seconds")
    seconds = SECONDS if seconds is None else seconds
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r} to save {path.name!r} in")
    if path.suffix == ".html":
        content = page(trace).encode()
    elif path.suffix == ".png":
        content, _ = animated_png(trace, seconds)
    elif path.suffix == ".gif":
        content = _animate(trace, [draw_step(trace, step, 1.0) for step in _chosen_steps(trace, 40)], "GIF", seconds)
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


def _animate(trace: Trace, images: list[Image.Image], kind: str, seconds: float) -> bytes:
    """One palette for all frames; a frame holds only what differs from the one before, the rest is transparent. The trace's
    digest travels along, so that a test can tell whether a picture is out of date."""
    palette = _palette(images, [colour for _, colour in legend_of(trace)])
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
    durations = [round(1000 * seconds * times) for times in (2, *[1] * (len(frames) - 2), 10 / 3)[: len(frames)]]
    options = {"save_all": True, "duration": durations, "loop": 0, "transparency": CLEAR}
    if kind == "GIF":
        options |= {"append_images": frames[1:], "disposal": 1, "optimize": False, "comment": f"trace {trace.digest}"}
        frames[0].save(file, kind, **options)
        return file.getvalue()
    about = PngInfo()
    about.add_text("trace", trace.digest)
    default = frames[0]
    if len(frames) > 1:
        default = Image.fromarray(whole[-1].astype(np.uint8), "P")
        default.putpalette(frames[0].getpalette())
        options |= {"append_images": frames, "default_image": True, "blend": [0] + [1] * len(changed)}
    default.save(file, kind, pnginfo=about, **options)
    return file.getvalue()


def _palette(images: list[Image.Image], legend: list[str]) -> Image.Image:
    """The roles' own colours and those of a legend, unchanged, and what the frames need besides (text edges, heat maps, photographs)."""
    fixed = [tint(name, part) for name in ROLES for part in (1, 0.75, 0.14, 0.12)]
    fixed += [ImageColor.getrgb(colour) for colour in (*(role.ink for role in ROLES.values()), INK, SOFT, LINE, CELL, PAPER, *legend[:100])]
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
