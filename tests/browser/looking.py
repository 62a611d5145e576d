"""What a test reads off a widget on the page: digits, colours, and where marks lie."""

import numpy as np
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
    mark = root.locator(f"[data-panel={panel}] .segw-mark[data-role={role}]")
    mark.evaluate("mark => Promise.allSettled(mark.getAnimations().map(each => each.finished))")  # once it has glided to its place
    outer, inner = root.locator(f"[data-panel={panel}] .segw-stage").bounding_box(), mark.bounding_box()
    scale = columns / outer["width"]
    left, top = (inner["x"] - outer["x"]) * scale, (inner["y"] - outer["y"]) * scale
    return [round(side, 2) for side in (left, top, left + inner["width"] * scale, top + inner["height"] * scale)]
