"""Compare what came out with what was expected, both plain tensors, and say where they differ first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from course.ops.step import number


@dataclass(frozen=True)
class Difference:
    """How two results differ: a sentence; and where values do, the part, the first index and a bool mask of all cells that differ."""

    sentence: str
    part: str = "result"
    index: tuple[int, ...] | None = None
    wrong: torch.Tensor | None = None


def compare(expected: Mapping[str, torch.Tensor], got: Mapping[str, torch.Tensor], tolerance: float) -> Difference | None:
    """The first difference between two results, or None when they agree.

    Shapes must be the same. A float must answer a float, a whole number a whole number, a bool a bool; more precision than expected
    is accepted, less is not. Floats may differ by `tolerance · max(1, |expected|)`; NaN equals only NaN.
    """
    if list(expected) != list(got):
        return Difference(f"It returned {_parts(got)}; expected {_parts(expected)}.")
    for part, right in expected.items():
        difference = _compare_part(part, right, got[part], tolerance)
        if difference is not None:
            return difference
    return None


def _compare_part(part: str, expected: torch.Tensor, got: torch.Tensor, tolerance: float) -> Difference | None:
    if expected.shape != got.shape:
        return Difference(f"The shape is {shape_of(got)}; expected {shape_of(expected)}.", part)
    if expected.ndim == 0 and _kind(expected) != _kind(got):
        return Difference(_other_kind(expected, got, tolerance), part)
    if _kind(expected) != _kind(got) or (expected.ndim > 0 and _precision(got) > _precision(expected)):
        return Difference(_other_dtype(expected, got), part)
    wrong = ~_agree(expected, got, tolerance)
    count = int(wrong.sum())
    if count == 0:
        return None
    index = tuple(torch.nonzero(wrong)[0].tolist())
    values = _two_values(expected[index].item(), got[index].item())
    if expected.ndim == 0:
        return Difference(f"The value differs: {values}.", part, index, wrong)
    verb = "differs" if count == 1 else "differ"
    return Difference(f"{count} of {wrong.numel()} values {verb}, the first at {list(index)}: {values}.", part, index, wrong)


def _other_kind(expected: torch.Tensor, got: torch.Tensor, tolerance: float) -> str:
    """One number of another type, in Python's words: a student who returned 10.0 has never heard of float64."""
    article = {"float": "a float", "int": "an int", "bool": "a bool"}
    kinds = _kind(expected), _kind(got)
    sentence = f"It returned {article[kinds[1]]}, {_literal(got)}; expected {article[kinds[0]]}, {_literal(expected)}"
    sentence += ": use // for whole division." if kinds == ("int", "float") else "."
    right = "bool" in kinds or _agree(expected.double(), got.double(), tolerance)
    return sentence if right else f"{sentence} The value is wrong too."


def _other_dtype(expected: torch.Tensor, got: torch.Tensor) -> str:
    sentence = f"The dtype is {dtype_of(got)}; expected {dtype_of(expected)}"
    if got.numel() == 0 and got.is_floating_point():
        return f"{sentence}: an empty tensor is a float one unless you say torch.tensor(rows, dtype={expected.dtype})."
    return f"{sentence}."


def _literal(tensor: torch.Tensor) -> str:
    """A number as Python writes it, a float with its point; 9 digits tell float32 numbers apart."""
    value = tensor.item()
    return repr(float(f"{value:.9g}")) if type(value) is float else repr(value)


def _agree(expected: torch.Tensor, got: torch.Tensor, tolerance: float) -> torch.Tensor:
    if not expected.is_floating_point():
        return expected == got
    expected, got = expected.double(), got.double()
    near = (got - expected).abs() <= tolerance * expected.abs().clamp(min=1)
    finite = expected.isfinite()  # where it is not, a difference of infinities says nothing: the values themselves must be equal
    return torch.where(finite, near, (expected == got) | (expected.isnan() & got.isnan()))


def _two_values(expected: float, got: float) -> str:
    """Both numbers, with so many digits that one sees the difference."""
    words = number(expected), number(got)
    if words[0] == words[1]:
        words = f"{expected:.9g}", f"{got:.9g}"
    return f"expected {words[0]}, got {words[1]}"


def _kind(tensor: torch.Tensor) -> str:
    if tensor.dtype is torch.bool:
        return "bool"
    return "float" if tensor.is_floating_point() else "int"


def _precision(tensor: torch.Tensor) -> float:
    return torch.finfo(tensor.dtype).eps if tensor.is_floating_point() else 0.0


def _parts(arrays: Mapping[str, torch.Tensor]) -> str:
    return {0: "nothing", 1: "one value"}.get(len(arrays), f"{len(arrays)} values ({', '.join(arrays)})")


def shape_of(tensor: torch.Tensor) -> str:
    return str(list(tensor.shape)) if tensor.ndim else "[] (a single number)"


def dtype_of(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
