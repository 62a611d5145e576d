"""One step of an algorithm: what was read, what was written, and the sentence that says so.

A generator `x_steps(...)` yields `Step`s. A player shows them one at a time; `replay` performs their writes, so that
a test can hold the animation to the answer: a step that writes one cell too far is a failing test, not a picture that
nobody checked.
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

Index = tuple[int, ...]
"""A full index into the tensor that the caller passed: (y, x), (c, y, x) or (n, c, y, x)."""

_MARK = re.compile(r"\[([^\[\]|]*)\|(?:read|write|chosen)\]")
_LISTED = 16  # A 4 × 4 window is written out; a longer list no longer fits one line on a projector.


@dataclass(frozen=True)
class Step:
    """One step. Tensors are named as the operation's arguments and results are: "input", "indices", "weight", "bias", "output".

    Attributes:
        sentence: one sentence, for reading aloud; coloured values are marked `[7|read]`, `[7|write]` or `[7|chosen]`.
        reads: tensor name → cells read. Cells in padding do not exist and are left out.
        writes: tensor name → cell → its value after this step.
        chosen: tensor name → the cells that won: an argmax, a switch.
        arithmetic: the step's calculation with its numbers, "max(1, 2, 7, 3) = 7".
        terms: for an operation that accumulates, written cell → what this step adds to it, "3 × 0.5".
    """

    sentence: str
    reads: Mapping[str, tuple[Index, ...]]
    writes: Mapping[str, Mapping[Index, float]]
    chosen: Mapping[str, tuple[Index, ...]] = field(default_factory=dict)
    arithmetic: str = ""
    terms: Mapping[Index, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The sentence without its colour marks."""
        return _MARK.sub(r"\1", self.sentence)


def replay(steps: Iterable[Step], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Perform every step's writes, in order, on copies of `tensors`, and return the copies.

    `replay(max_pool_steps(x, 2), {"output": zeros})["output"]` is what the last frame of the animation shows. Writes to tensors that
    were not passed are skipped.

    Raises:
        IndexError: a step writes outside its tensor (a negative index counts as outside: it would wrap to the far edge unseen).
    """
    state = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    for count, step in enumerate(steps):
        for name in step.writes.keys() & state.keys():
            shape = state[name].shape
            for cell, value in step.writes[name].items():
                if len(cell) != len(shape) or not all(0 <= i < size for i, size in zip(cell, shape, strict=True)):
                    raise IndexError(f"Step {count} writes {name}{list(cell)}, which lies outside the shape {list(shape)}.")
                state[name][cell] = value
    return state


def number(value: float | Tensor) -> str:
    """The course's one way to print a number: integers plain, others to 3 significant digits, with a true minus sign."""
    value = value.item() if isinstance(value, Tensor) else value
    size = abs(value)
    if math.isnan(size):
        return "NaN"
    if math.isinf(size):
        text = "∞"
    elif size == int(size) and size < 1e7:
        text = str(int(size))
    elif 999.5 <= size < 1e7:
        text = f"{size:.0f}"
    elif 1e-3 <= size < 1e7:
        text = f"{size:.3g}"
    else:
        digits, exponent = f"{size:.2e}".split("e")
        text = f"{float(digits):g}e{int(exponent)}".replace("-", "−")
    return f"−{text}" if value < 0 else text


def listing(values: Sequence[float], separator: str = ", ") -> str:
    """The numbers in one line; of a long list the first seven and the last. In a sum or product a later negative number gets brackets."""
    words = [number(value) for value in values]
    if separator != ", ":
        words[1:] = [f"({word})" if word.startswith("−") else word for word in words[1:]]
    if len(words) > _LISTED:
        words = [*words[:7], "…", words[-1]]
    return separator.join(words)


def place(cell: Index) -> str:
    """Where a cell is in its plane: "row 3, column 0"."""
    return f"row {cell[-2]}, column {cell[-1]}"


def planes(x: Tensor) -> Iterator[tuple[Index, list[list[float]]]]:
    """The planes of x [..., H, W] in order: the index before the row and column, and the plane's rows as Python numbers."""
    for plane in itertools.product(*map(range, x.shape[:-2])):
        yield plane, x[plane].tolist()


def in_plane(plane: Index, shape: torch.Size, sentence: str) -> str:
    """Put "In image 1, channel 2, " before the sentence, as far as the tensor of that shape has several of them."""
    names = ("image", "channel")[2 - len(plane) :]
    where = [f"{name} {i}" for name, i, size in zip(names, plane, shape[:-2], strict=True) if size > 1]
    return f"In {', '.join(where)}, {sentence[0].lower()}{sentence[1:]}" if where else sentence
