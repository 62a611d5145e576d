"""How a check's result looks: the same tables of numbers as text and as HTML, deterministic, so that a notebook test can compare them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import torch

from course.exercises.comparing import dtype_of
from course.exercises.exercise import Value
from course.ops.step import number

if TYPE_CHECKING:
    from course.exercises.checking import CheckResult, Failure

_ROWS, _COLUMNS = 8, 10  # of one table; a larger plane is shown around its first difference

_EXPECTED, _GOT = "#009E73", "#D55E00"
_LINE = "1px solid var(--jp-border-color2, rgba(128, 128, 128, 0.45))"
_FONT = "font-family: var(--jp-content-font-family, system-ui, sans-serif); font-size: var(--jp-content-font-size1, 14px)"
_INK = "color: var(--jp-content-font-color1, inherit)"  # Colab has no such variable: its own colour is the right one, light or dark
_QUIET_LINE = "rgba(128, 128, 128, 0.6)"
_QUIET = "color: var(--jp-content-font-color2, inherit); opacity: 0.85"


@dataclass(frozen=True)
class Table:
    """A tensor's plane as words: a title, where in the tensor it is, its rows, and which cells differ."""

    title: str
    note: str
    rows: list[list[str]]
    marked: list[list[bool]]


@dataclass(frozen=True)
class Words:
    """A tensor whose numbers are codes, as lines of words."""

    title: str
    lines: list[str]


def table_of(title: str, tensor: torch.Tensor, index: tuple[int, ...] = (), wrong: torch.Tensor | None = None) -> Table:
    """The plane of the tensor that holds `index`; of a large plane, the part around it."""
    index = index if len(index) == tensor.ndim else (0,) * tensor.ndim
    index = tuple(min(place, size - 1) for place, size in zip(index, tensor.shape, strict=True))  # an input is smaller, or has fewer planes
    wrong = torch.zeros(tensor.shape, dtype=torch.bool) if wrong is None else wrong
    title = _titled(title, tensor)
    if tensor.numel() == 0:
        return Table(title, "empty", [], [])
    lead, plane, marks = index[:-2], tensor[index[:-2]], wrong[index[:-2]]
    plane, marks = (part.reshape(1, -1) if tensor.ndim < 2 else part for part in (plane, marks))
    row, column = (0, *index[-1:], 0)[:2] if tensor.ndim < 2 else index[-2:]
    rows, columns = _window(plane.shape[0], row, _ROWS), _window(plane.shape[1], column, _COLUMNS)
    notes = [f"plane {list(lead)}"] if any(size > 1 for size in tensor.shape[:-2]) else []
    if (len(rows), len(columns)) != tuple(plane.shape):
        notes.append(f"rows {rows[0]} to {rows[-1]}, columns {columns[0]} to {columns[-1]}")
    words = [[number(plane[y, x].item()) for x in columns] for y in rows]
    return Table(title, ", ".join(notes), words, [[bool(marks[y, x]) for x in columns] for y in rows])


def _titled(name: str, tensor: torch.Tensor) -> str:
    return f"{name} {list(tensor.shape)} {dtype_of(tensor)}" if tensor.ndim else name


def _window(size: int, place: int, limit: int) -> range:
    start = max(0, min(place - limit // 2, size - limit))
    return range(start, min(start + limit, size))


def _inputs(result: CheckResult) -> Iterator[Table | Words | str]:
    """A table for each tensor, or its words where the exercise has some; all other inputs in one line."""
    failure, in_words = result.failure, result.exercise.in_words
    index = failure.difference.index if failure.difference else None
    for name, value in failure.case.inputs.items():
        if name in in_words:
            yield Words(_titled(name, value), list(in_words[name](value)))
        elif isinstance(value, torch.Tensor):
            yield table_of(name, value, index or ())
    words = [f"{name} = {_word(value)}" for name, value in failure.case.inputs.items() if not isinstance(value, torch.Tensor)]
    if words:
        yield ", ".join(words)


def _word(value: Value) -> str:
    return number(value) if type(value) in (int, float) else repr(value)


def _answers(failure: Failure) -> tuple[Table | None, Table | None]:
    """The part that differs, as expected and as it was got; None where there is no such part."""
    difference = failure.difference
    part = difference.part if difference else next(iter(failure.expected))
    index, wrong = (difference.index or (), difference.wrong) if difference else ((), None)
    name = "" if part == "result" else f" {part}"
    arrays = (("expected", failure.expected), ("got", failure.outcome.arrays))
    return tuple(table_of(title + name, found[part], index, wrong) if part in found else None for title, found in arrays)


def _headline(result: CheckResult) -> str:
    devices = f" on {' and '.join(result.devices)}" if len(result.devices) > 1 else ""
    failure = result.failure
    if failure is None:
        return f"✓ {result.exercise.name}: all {result.cases} cases are right{devices}."
    if failure.outcome.kind == "not written":
        return f"○ {result.exercise.name}: not written yet."
    device = f" on {failure.device}" if failure.device != "cpu" else ""
    return f"✗ {result.exercise.name}: case {failure.place + 1} of {result.cases} is not right{device} ({failure.case.name})."


def as_text(result: CheckResult) -> str:
    """The result in lines of text. In what was got, values that differ have a ≠ before them."""
    failure = result.failure
    if failure is None:
        return _headline(result)
    lines = [_headline(result), failure.sentence]
    if failure.outcome.kind == "not written":
        return "\n".join(lines)
    if failure.mistake:
        lines.append(failure.mistake.message)
    for shown in _inputs(result):
        lines += ["", *_lines(shown)]
    for table, sign in zip(_answers(failure), ("", "≠"), strict=True):
        lines += ["", *_table_lines(table, sign)] if table else []
    return "\n".join(lines)


def _lines(shown: Table | Words | str) -> list[str]:
    if isinstance(shown, Words):
        return [shown.title, *(f"  {line}" for line in shown.lines)]
    return [shown] if isinstance(shown, str) else _table_lines(shown, "")


def _table_lines(table: Table, sign: str) -> list[str]:
    words = [
        [(sign if mark else "") + word for word, mark in zip(*pair, strict=True)] for pair in zip(table.rows, table.marked, strict=True)
    ]
    width = max((len(word) for row in words for word in row), default=0)
    note = f" ({table.note})" if table.note else ""
    return [f"{table.title}{note}", *("  " + "  ".join(word.rjust(width) for word in row) for row in words)]


def as_html(result: CheckResult) -> str:
    """The result as HTML without a script or a style sheet. In what was got, cells that differ are framed and have a ≠ before them."""
    failure = result.failure
    colour = _EXPECTED if failure is None else _GOT
    if failure is not None and failure.outcome.kind == "not written":
        colour = _QUIET_LINE
    parts = [f"<div><strong>{escape(_headline(result))}</strong></div>"]
    if failure is not None:
        parts.append(f"<div>{escape(failure.sentence)}</div>")
    if failure is not None and failure.outcome.kind != "not written":
        if failure.mistake:
            parts.append(f'<div style="margin-top: 4px">{escape(failure.mistake.message)}</div>')
        parts.append(_row_html(_block_html(shown, "transparent", "") for shown in _inputs(result)))
        answers = zip(_answers(failure), (_EXPECTED, _GOT), ("", "≠"), strict=True)
        parts.append(_row_html(_block_html(table, colour, sign) for table, colour, sign in answers if table))
    return _framed(parts, colour)


def lines_as_html(lines: Sequence[str], *, right: bool, written: bool = True) -> str:
    """A result that is sentences alone, the verdict first, in the frame that `as_html` has."""
    verdict, *rest = (escape(line) for line in lines)
    parts = [f"<div><strong>{verdict}</strong></div>", *(f"<div>{line}</div>" for line in rest)]
    return _framed(parts, _QUIET_LINE if not written else _EXPECTED if right else _GOT)


def _framed(parts: Iterable[str], colour: str) -> str:
    style = f"{_FONT}; {_INK}; border-left: 4px solid {colour}; padding: 4px 12px; line-height: 1.5"
    return f'<div style="{style}">{"".join(parts)}</div>'


def _row_html(blocks: Iterable[str]) -> str:
    return f'<div style="display: flex; flex-wrap: wrap; gap: 8px 28px; align-items: flex-start; margin-top: 10px">{"".join(blocks)}</div>'


def _block_html(shown: Table | Words | str, colour: str, sign: str) -> str:
    if isinstance(shown, str):
        return f'<div><code style="background: none; {_INK}">{escape(shown)}</code></div>'
    name, _, shape = shown.title.partition(" ")
    title = f'<strong style="border-bottom: 3px solid {colour}">{escape(name)}</strong> <span style="{_QUIET}">{escape(shape)}</span>'
    if isinstance(shown, Words):
        return f"<div><div>{title}</div>{''.join(f'<div>{escape(line)}</div>' for line in shown.lines)}</div>"
    title += f' <span style="{_QUIET}">{escape(shown.note)}</span>' if shown.note else ""
    rows = (
        "".join(_cell_html(word, colour if mark else "", sign) for word, mark in zip(*pair, strict=True))
        for pair in zip(shown.rows, shown.marked, strict=True)
    )
    body = "".join(f'<tr style="background: none">{row}</tr>' for row in rows)
    style = "border-collapse: collapse; font-size: inherit; font-variant-numeric: tabular-nums; margin: 4px 0 0"
    table = f'<table style="{style}" aria-label="{escape(shown.title)}"><tbody>{body}</tbody></table>'
    return f'<div><div style="white-space: nowrap">{title}</div>{table}</div>'


def _cell_html(word: str, frame: str, sign: str) -> str:
    style = f"border: {_LINE}; padding: 2px 8px; min-width: 1.6em; text-align: right; background: none; {_INK}"
    if not frame:
        return f'<td style="{style}">{escape(word)}</td>'
    return f'<td style="{style}; outline: 2px solid {frame}; outline-offset: -2px; font-weight: 700">{sign}{escape(word)}</td>'
