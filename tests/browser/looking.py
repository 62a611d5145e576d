"""What a test reads off a widget on the page: digits, colours, and where marks lie."""

import time

import numpy as np
import pytest
import torch


def digits(root, panel):
    """The numbers that a grid shows, NaN where a cell is blank, flat."""
    texts = root.locator(f"[data-panel={panel}] .segw-cell").all_text_contents()
    return torch.tensor([float(text.replace("−", "-") or "nan") for text in texts])


def pixels(root, panel):
    """The colours [H, W, 4] of a heat map's canvas."""
    read = """canvas => ({shape: [canvas.height, canvas.width, 4],
        data: [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]})"""
    got = root.locator(f"[data-panel={panel}] .segw-canvas").evaluate(read)
    return np.array(got["data"]).reshape(got["shape"])


def cells_under(root, panel, role, columns):
    """The box [x1, y1, x2, y2] of a mark as it lies on the screen, in cells or pixels of a panel that has so many columns."""
    mark = f".segw-mark[data-role={role}]"
    root.locator(f"[data-panel={panel}] {mark}").evaluate(GLIDED)
    return [round(side, 1) for side in lies(root, panel, mark, columns)]  # a browser lays out in 64ths of a pixel


GLIDED = "mark => Promise.allSettled(mark.getAnimations().map(each => each.finished))"  # once it has come to its place


def lies(root, panel, mark, columns):
    """Where `mark`, a selector, lies in a panel that is `columns` wide: [x1, y1, x2, y2]; None while either is not drawn.

    Both are read in one go: an answer of the kernel makes the panel anew, and what is asked for one by one may be gone in between.
    """
    read = """(root, [panel, mark, columns]) => {
        const stage = root.querySelector(`[data-panel=${panel}] .segw-stage`), there = stage && stage.querySelector(mark);
        if (!there) return null;
        const outer = stage.getBoundingClientRect(), inner = there.getBoundingClientRect(), scale = columns / outer.width;
        const sides = [inner.left - outer.left, inner.top - outer.top, inner.right - outer.left, inner.bottom - outer.top];
        return sides.map((side) => side * scale);
    }"""
    return root.evaluate(read, [panel, mark, columns])


def comes_to_lie(root, panel, mark, columns, place, near=0.7):
    """Waits until the mark lies there: that follows the words of an answer, when its picture has been drawn."""
    end = time.monotonic() + 15
    while (where := lies(root, panel, mark, columns)) is None or where != pytest.approx(place, abs=near):
        assert time.monotonic() < end, f"{mark} lies at {where}, not at {place}"
        root.page.wait_for_timeout(50)


def stage_of(root, panel):
    """Where a panel's picture or map lies on the screen, scrolled into sight: {"x", "y", "width", "height"}."""
    read = """(root, panel) => {
        const stage = root.querySelector(`[data-panel=${panel}] .segw-stage`);
        stage.scrollIntoView({block: "nearest"});
        const {x, y, width, height} = stage.getBoundingClientRect();
        return {x, y, width, height};
    }"""
    return root.evaluate(read, panel)
