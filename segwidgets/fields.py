"""What a cell of a network's map sees: its theoretical field as a box, its effective field as a weight for every pixel.

Letters: H, W rows and columns of the picture; h, w of the map; C its channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segwidgets.support import OpenPaths, positive_weights

NOISE = 0.1  # standard deviation of a noisy copy, in parts of the picture's range
Cell = tuple[int, int]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Look:
    """Where a network is looked into: at the output of `layer`, or with None at its own."""

    model: nn.Module
    layer: nn.Module | None

    def map(self, x: Tensor, weights: dict[str, Tensor] | None = None) -> Tensor:
        """The map `[N, C, h, w]` for pictures x `[N, 3, H, W]`, with other weights than the model's own if they are lent.

        Raises:
            ValueError: one sentence: the model doesn't take the picture, or gives no map.
        """

        def reached(module, given, output):
            raise _Reached(output)  # what comes after the layer is not needed, and can't change what it gave

        hook = self.layer.register_forward_hook(reached) if self.layer is not None else None
        try:
            output = torch.func.functional_call(self.model, weights or {}, (x,))
        except _Reached as found:
            return _as_map(found.output, len(x))
        except Exception as error:
            size = "×".join(map(str, x.shape[-2:]))
            raise ValueError(f"the model can't be run on a picture of {size} pixels ({_first_line(error)}); try a larger one") from error
        finally:
            if hook is not None:
                hook.remove()
        if self.layer is not None:
            raise ValueError(f"the layer {type(self.layer).__name__} takes no part when the model runs; name one that does")
        return _as_map(output, len(x))


class _Reached(Exception):
    """The layer has given its output."""

    def __init__(self, output):
        self.output = output


def theoretical_boxes(look: Look, image: Tensor, cells: Sequence[Cell]) -> dict[Cell, Box]:
    """The smallest boxes (x1, y1, x2, y2), in pixels of a picture like `image [C, H, W]`, outside which nothing can matter to a cell.

    A row of cells is asked for at once, then a column; that a cell's rows do not depend on its column (true for all but networks that
    permute places) is checked on single cells, and where it isn't so each cell is asked for by itself.
    """
    picture = torch.full_like(image, 0.5)[None].requires_grad_()
    with torch.enable_grad(), OpenPaths():
        maps = look.map(picture * 1, positive_weights(look.model))
    scores = _differentiable(maps).sum(1)[0]  # [h, w]

    def seen(part: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(part.sum(), picture, retain_graph=True)
        return gradient[0].ne(0).any(0)  # [H, W]

    def box(cell: Cell) -> Box:
        pixels = seen(scores[cell])
        return _box(_extent(pixels.any(0)), _extent(pixels.any(1)))

    rows = {row: _extent(seen(scores[row]).any(1)) for row in sorted({row for row, _ in cells})}
    columns = {column: _extent(seen(scores[:, column]).any(0)) for column in sorted({column for _, column in cells})}
    together = {(row, column): _box(columns[column], rows[row]) for row, column in cells}
    checked = {cells[0], cells[len(cells) // 2], cells[-1]}
    if any(box(cell) != together[cell] for cell in checked):
        together = {cell: box(cell) for cell in cells}
    return together


def groups_apart(boxes: Mapping[Cell, Box]) -> list[list[Cell]]:
    """The cells in few groups, in each of which no two boxes overlap: one gradient tells the fields of a whole group."""
    groups: list[list[Cell]] = []
    for cell, (x1, y1, x2, y2) in boxes.items():
        for group in groups:
            others = (boxes[other] for other in group)
            if all(x2 <= left or right <= x1 or y2 <= top or bottom <= y1 for left, top, right, bottom in others):
                group.append(cell)
                break
        else:
            groups.append([cell])
    return groups


def effective_fields(
    look: Look, image: Tensor, boxes: Mapping[Cell, Box], *, channel: int | None, copies: int
) -> Iterator[tuple[Cell, Tensor]]:
    """For each cell, in an order of its own, how much each pixel moves it: `[H, W]`, on the CPU.

    After W. Luo, Y. Li, R. Urtasun and R. Zemel, "Understanding the effective receptive field in deep convolutional neural networks",
    2016, arXiv:1701.04128, section 3: a gradient of 1 at the cell is propagated back to the picture. The magnitudes are summed over
    the colours and averaged over `copies` copies of `image [3, H, W]` with a little noise (with one copy, without), so that the pixels
    that happen to sit at a ReLU's bend don't stand out. Without a `channel`, each copy has a random mix, ±1, of all channels.

    Args:
        boxes: cell → its theoretical field; cells whose fields don't overlap share a pass.
    """
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn((copies, *image.shape), generator=draw) * (copies > 1)
    pictures = image + NOISE * float(image.max() - image.min()) * noise.to(image.device, image.dtype)
    pictures.requires_grad_()
    with torch.enable_grad():
        maps = _differentiable(look.map(pictures * 1))  # [copies, C, h, w]
        signs = torch.randint(0, 2, maps.shape[:2], generator=draw).to(maps.device, maps.dtype) * 2 - 1
        scores = (maps * signs[..., None, None]).sum(1) if channel is None else maps[:, channel]  # [copies, h, w]
    for group in groups_apart(boxes):
        score = sum(scores[:, row, column].sum() for row, column in group)
        (gradient,) = torch.autograd.grad(score, pictures, retain_graph=True)
        field = gradient.abs().sum(1).mean(0).cpu().float()  # [H, W]
        if not torch.isfinite(field).all():
            raise ValueError(
                f"the gradient of the cell at row {group[0][0]}, column {group[0][1]} is NaN or infinite; its field can't be measured"
            )
        for cell in group:
            x1, y1, x2, y2 = boxes[cell]
            own = torch.zeros_like(field)
            own[y1:y2, x1:x2] = field[y1:y2, x1:x2]
            yield cell, own


def _extent(line: Tensor) -> tuple[int, int]:
    """First and one past the last true place; (0, 0) if there is none."""
    places = line.nonzero()
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)


def _box(columns: tuple[int, int], rows: tuple[int, int]) -> Box:
    return (columns[0], rows[0], columns[1], rows[1]) if columns[1] and rows[1] else (0, 0, 0, 0)


def _as_map(output, count: int) -> Tensor:
    if isinstance(output, dict):
        output = output.get("out", next(iter(output.values()), None))
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise ValueError(f"the model gives {type(output).__name__} and no map; name a layer that gives one [N, C, H, W]: layer='...'")
    if output.ndim == 2 and len(output) == count:
        return output[:, :, None, None]  # one cell
    if output.ndim != 4 or len(output) != count or 0 in output.shape:
        raise ValueError(
            f"the model gives {list(output.shape)} for {count} picture{'s' * (count > 1)}, and a map is [N, C, H, W]; "
            "name a layer that gives one: layer='...'"
        )
    return output


def _differentiable(maps: Tensor) -> Tensor:
    if not maps.requires_grad:
        raise ValueError(
            "no gradient leads from the map back to the picture: it is computed under torch.no_grad, or by an operation such as argmax; "
            "name a layer before that: layer='...'"
        )
    return maps


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:160] or type(error).__name__
