"""`segwidgets.receptive_field`: point at a cell of a network's map and see on the picture what it sees.

Two fields are shown (`segwidgets/fields.py` says how they are computed): the theoretical one, a box outside which nothing can matter, and
the effective one (Luo et al. 2016, arXiv:1701.04128), how much each pixel does matter. The second is far smaller.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segwidgets.fields import Box, Cell, Look, effective_fields, groups_apart, theoretical_boxes
from segwidgets.inputs import MOST_PIXELS, as_tensor, check_keywords
from segwidgets.modes import counting, evaluating
from segwidgets.panels import Arrow, FieldBoxes, Film, Frame, Grid
from segwidgets.player import Player
from segwidgets.trace import Trace, TraceStep

MOST_CELLS = 200
FEWEST_CELLS = 16
MOST_SHOWN = 32  # rows or columns of the map; of a larger one each so-many-th cell is shown
MOST_COPIES = 4
# What one core does in a second, about, so that the choice of cells is the same on every machine.
SECONDS, MULTIPLICATIONS, NUMBERS = 9.0, 36e9, 0.7e9
SIDES, QUALITY = (224, 192, 160, 128, 112, 96, 80, 64), 75
FRAME_BYTES = 780_000  # of the 1 MB that a trace may have
IN_FIELD = 1 - 0.9545  # Luo et al., section 3.2: a pixel is in the effective field if it counts more than this part of the strongest


def receptive_field(model: nn.Module, image, *, layer=None, channel: int | None = None, size: int | None = None, **unknown) -> Player:
    """What each cell of a network's map sees of the picture.

    Over a cell of the map the picture shows its effective field in full colour and its theoretical field as a box; played, it moves from
    cell to cell. The effective field is the magnitude of the cell's gradient with respect to the picture, summed over the colours, averaged
    over two to four slightly noisy copies of the picture if a few seconds allow. A map of more than 200 cells, or a costly model, is
    sampled, down to 4 × 4 cells: the others light up what the nearest of those computed does.

    Args:
        model: any `nn.Module` that takes `[N, C, H, W]`. It stays as it is: its mode, weights and gradients.
        image: `[C, H, W]` or `[1, C, H, W]` with 3 channels, or 1, as the model takes it; values outside 0…1 are stretched to be shown.
        layer: the name (as in `model.named_modules()`) of the layer whose output is the map, or the layer; by default the model's output.
        channel: of the map; by default all, mixed with random signs, and the map shows their mean.
        size: pixels of the picture's longer side in the animation; by default as many as fit into 1 MB, at most 224.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, receptive_field)
    model = _model(model)
    picture = _picture(image)
    if size is not None and not (isinstance(size, int) and 16 <= size <= 512):
        raise ValueError(f"size is {size!r}; the picture's longer side takes 16 to 512 pixels")
    look, name = _look(model, layer)
    one = next(model.parameters(), None)
    x = picture if one is None or not one.is_floating_point() else picture.to(one.device, one.dtype)
    with evaluating(model):
        shown, cost = _shown_map(look, x, channel)
        boxes = theoretical_boxes(look, x, _boxed(shown, cost))
        cells, copies = _affordable(shown, boxes, cost)
        fields = effective_fields(look, x, {cell: boxes[cell] for cell in cells}, channel=channel, copies=copies)
        lights = dict(_light(cell, field) for cell, field in fields)
    seen = {cell: _Seen(boxes[cell], *lights[cell]) for cell in cells}
    return Player(_trace(picture, shown, boxes, seen, name, size))


@dataclass(frozen=True)
class _Map:
    """The map as its panel shows it: `values [h, w]`, a cell for each of `rows` × `columns` of the whole map, whose `shape` is in words."""

    values: Tensor
    title: str
    shape: str
    rows: range
    columns: range

    @property
    def places(self) -> dict[Cell, Cell]:
        """Cell of the whole map → its place in the panel."""
        return {(row, column): (i, j) for i, row in enumerate(self.rows) for j, column in enumerate(self.columns)}

    def lattice(self, apart: int) -> list[Cell]:
        return [(row, column) for row in self.rows[apart // 2 :: apart] for column in self.columns[apart // 2 :: apart]]


@dataclass(frozen=True)
class _Seen:
    """What one cell sees: `box` (x1, y1, x2, y2) in pixels of the picture, `light [h, w]` 0…1 how much each counts, and `side`, that of a
    square as large as the pixels that count."""

    box: Box
    light: Tensor
    side: float


def _light(cell: Cell, field: Tensor) -> tuple[Cell, tuple[Tensor, float]]:
    smooth = F.avg_pool2d(field[None], 5, 1, 2, count_include_pad=False)[0]  # single pixels of a gradient are noise
    strongest = float(smooth.max())
    side = math.sqrt(float((smooth > IN_FIELD * strongest).sum())) if strongest else 0.0
    factor = min(1.0, SIDES[0] / max(field.shape))
    small = F.adaptive_avg_pool2d(smooth[None], [max(1, round(length * factor)) for length in field.shape])[0]
    return cell, ((small / small.max().clamp(min=1e-30)).sqrt(), side)


def _shown_map(look: Look, x: Tensor, channel: int | None) -> tuple[_Map, float]:
    """The map of the picture, and about how many seconds one core takes for it."""
    with torch.no_grad(), counting(look.model) as work:
        maps = look.map(x[None])[0]  # [C, h, w]
    if not torch.isfinite(maps).all():
        raise ValueError("the model's map has NaN or infinite values; its field can't be measured there")
    if channel is not None and not (isinstance(channel, int) and 0 <= channel < len(maps)):
        raise ValueError(f"channel is {channel!r}, and the map has the channels 0 to {len(maps) - 1}")
    step = math.ceil(max(maps.shape[1:]) / MOST_SHOWN)
    rows, columns = (range(step // 2, length, step) for length in maps.shape[1:])
    values = (maps.mean(0) if channel is None else maps[channel])[rows.start :: step, columns.start :: step]  # [h, w]
    title = "map, mean over channels" if channel is None else f"map, channel {channel}"
    shape = str([1, *maps.shape]) + (f", one cell of each {step} × {step}" if step > 1 else "")
    cost = work.multiplications / MULTIPLICATIONS + work.numbers / NUMBERS
    return _Map(values.float().cpu(), title, shape, rows, columns), max(cost, 1e-6)


def _boxed(shown: _Map, cost: float) -> list[Cell]:
    """The cells whose theoretical fields are computed: all that are shown, or of a costly model those whose effective fields will be."""
    if (len(shown.rows) + len(shown.columns)) * cost <= SECONDS:
        return list(shown.places)
    lattices = (shown.lattice(apart) for apart in range(1, MOST_SHOWN + 1))
    return next(cells for cells in lattices if len(cells) <= max(FEWEST_CELLS, min(MOST_CELLS, SECONDS / cost)))


def _affordable(shown: _Map, boxes: dict[Cell, Box], cost: float) -> tuple[list[Cell], int]:
    """The cells to compute, as close together as the seconds allow, and over how many copies of the picture to average."""
    for apart in range(1, MOST_SHOWN + 1):
        cells = shown.lattice(apart)
        if len(cells) > MOST_CELLS or not boxes.keys() >= set(cells):
            continue
        passes = len(groups_apart({cell: boxes[cell] for cell in cells}))
        if passes * cost <= SECONDS or len(cells) <= FEWEST_CELLS:
            return cells, max(1, min(MOST_COPIES, int(SECONDS / (passes * cost))))
    raise AssertionError("the coarsest lattice has one cell")


def _trace(picture: Tensor, shown: _Map, boxes: dict[Cell, Box], seen: dict[Cell, _Seen], name: str, size: int | None) -> Trace:
    frames = _frames(_displayable(picture), list(seen.values()), size)
    scale = frames[0].pixels.shape[1] / picture.shape[2]
    frame_of = {cell: i for i, cell in enumerate(seen, start=1)}
    nearest = {cell: _nearest(cell, seen) for cell in shown.places}
    field = FieldBoxes("picture", np.array([boxes.get(cell, boxes[nearest[cell]]) for cell in shown.places]) * scale, scale)
    film_frames = {shown.places[cell]: frame_of[nearest[cell]] for cell in nearest}
    film = Film("picture", frames, note=str(list(picture.shape)))
    values = shown.values.numpy()
    paint = "signed" if values.min() < 0 else "heat"
    note = f"{name} {shown.shape}"
    grid = Grid("map", values, shown.title, note, paint, field=field, film="picture", film_frames=film_frames)
    steps = [
        TraceStep(
            _sentence(cell, each, picture.shape),
            marks={"picture": {"read": [tuple(side * scale for side in each.box)]}, "map": {"write": [shown.places[cell]]}},
            shows={"picture": frame_of[cell]},
        )
        for cell, each in seen.items()
    ]
    first, last = TraceStep(_first(shown, len(seen))), TraceStep(_last(list(seen.values()), picture.shape), shows={"picture": 0})
    return Trace(f"receptive field of {name}", panels=[film, grid], arrows=[Arrow("network")], steps=[first, *steps, last])


def _nearest(cell: Cell, cells) -> Cell:
    return min(cells, key=lambda each: (each[0] - cell[0]) ** 2 + (each[1] - cell[1]) ** 2)


def _frames(picture: np.ndarray, seen: list[_Seen], size: int | None) -> list[Frame]:
    """The picture, and for each cell the picture in full colour where it counts, dark and grey elsewhere."""
    for side in (size,) if size else SIDES:
        factor = min(1.0, side / max(picture.shape[:2])) if size is None else side / max(picture.shape[:2])
        shape = [max(1, round(length * factor)) for length in picture.shape[:2]]
        small = F.interpolate(torch.from_numpy(picture).permute(2, 0, 1)[None].float(), shape, mode="bilinear", antialias=True)[0]
        dark = small.mean(0, keepdim=True) * 0.22

        def lit(each: _Seen, small=small, dark=dark, shape=shape) -> Frame:
            light = F.interpolate(each.light[None, None], shape, mode="bilinear")[0]
            return Frame((dark + (small - dark) * light).round().clamp(0, 255).byte().permute(1, 2, 0).numpy(), QUALITY)

        sample = [len(lit(each).jpeg) for each in seen[:: max(1, len(seen) // 8)]]
        if sum(sample) / len(sample) * len(seen) <= FRAME_BYTES:
            break
    return [Frame(small.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()), *(lit(each) for each in seen)]


def _first(shown: _Map, computed: int) -> str:
    cells = shown.values.numel()
    if cells == 1:
        return "The network's output has only one cell, which stands for the whole picture: point at it."
    if computed == cells:
        return "Each cell of the map looks at a part of the picture: point at one, or play."
    return f"Each cell looks at a part of the picture: point at one, or play. {computed} of {cells} were computed; others show the nearest."


def _sentence(cell: Cell, each: _Seen, shape) -> str:
    if not each.side:
        return f"No gradient leads from row {cell[0]}, column {cell[1]} to the picture: the cell is flat there, as behind a ReLU at 0."
    counts = f"what counts is about [{each.side:.0f} × {each.side:.0f}|chosen] pixels"
    return f"Row {cell[0]}, column {cell[1]} can see [{_box_text(each.box, shape)}|read]; {counts}."


def _last(seen: list[_Seen], shape) -> str:
    x1, y1, x2, y2 = widest = max((each.box for each in seen), key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
    side = sorted(each.side for each in seen)[len(seen) // 2]
    share = f", {min(1.0, side * side / ((x2 - x1) * (y2 - y1))):.0%} of it" if x2 > x1 else ""
    return f"A cell can see [{_box_text(widest, shape)}|read], and what counts is about [{side:.0f} × {side:.0f}|chosen] pixels{share}."


def _box_text(box: Box, shape) -> str:
    x1, y1, x2, y2 = box
    return "the whole picture" if (y2 - y1, x2 - x1) == tuple(shape[-2:]) else f"{x2 - x1} × {y2 - y1} pixels"


def _displayable(picture: Tensor) -> np.ndarray:
    """`[H, W, 3]` uint8; values outside 0…1 (a normalised picture) are stretched to 0…1."""
    low, high = float(picture.min()), float(picture.max())
    if low < 0 or high > 1:
        picture = (picture - low) / ((high - low) or 1)
    return (picture.expand(3, -1, -1).permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous().numpy()


def _picture(image) -> Tensor:
    tensor = as_tensor(image, name="image")
    shape = list(tensor.shape)
    tensor = tensor[0] if tensor.ndim == 4 and shape[0] == 1 else tensor
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3) or 0 in shape:
        raise ValueError(f"image has the shape {shape}; a picture is [3, H, W] or [1, H, W]")
    if shape[-1] * shape[-2] > MOST_PIXELS:
        raise ValueError(f"image has {shape[-1] * shape[-2] / 1e6:.0f} megapixels; a widget takes 20 at most: make it smaller")
    if not torch.isfinite(tensor).all():
        raise ValueError("image has NaN or infinite values; a widget shows finite numbers only")
    return tensor


def _model(model) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {type(model).__name__}; receptive_field looks into an nn.Module")
    model = getattr(model, "_orig_mod", model)  # what torch.compile was given
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TypeError("model is compiled to TorchScript, which can't be looked into; pass the nn.Module that it was made from")
    return model


def _look(model: nn.Module, layer) -> tuple[Look, str]:
    modules = dict(model.named_modules())
    if layer is None:
        return Look(model, None), type(model).__name__
    if isinstance(layer, nn.Module):
        names = [name for name, module in modules.items() if module is layer]
        if not names:
            raise ValueError(f"the layer {type(layer).__name__} is no part of the model; pass one of its modules, or a name of one")
        return Look(model, layer), names[0] or type(model).__name__
    if not isinstance(layer, str) or layer not in modules or not layer:
        near = difflib.get_close_matches(str(layer), modules, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(list(modules)[1:7])}, …"
        raise ValueError(f"the model has no layer {layer!r}; {hint}")
    return Look(model, modules[layer]), layer
