"""A Trace is an animation as data: panels, arrows between them, and steps. It knows no algorithm.

Python writes it, `static/` plays it, `still.py` draws it. Because it is data it can be validated, measured, hashed and
compared; a test or nbval sees at once that an animation has changed.

Letters: H, W rows and columns of a grid.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from segwidgets.boxes import BoxLook, encode_looks, looks
from segwidgets.panels import Arrow, Curves, Film, Grid, Panel, Picture, Segmentation
from segwidgets.roles import ROLES

MAX_BYTES = 1_000_000
Cell = tuple[int, int]
Box = tuple[float, float, float, float]

_COLOURED = re.compile(r"\[([^\[\]|]+)\|([a-z]+)\]")
_NUMBER = re.compile(r"[-−]?\d+(\.\d+)?(e[-+−]?\d+)?")


@dataclass(frozen=True)
class TraceStep:
    """What one step shows.

    Args:
        caption: one sentence; `[7|chosen]` colours the 7 in the colour of the role "chosen".
        marks: panel id → role → cells `(row, column)` of a grid, or boxes `(x1, y1, x2, y2)` of a picture or film in its pixels, or
            the numbers of its boxes.
        writes: panel id → cell → the value that the cell has from this step on.
        keep: panel id → cells that stay lit from this step to the end (switches).
        arithmetic: the sum behind the written value, "max(1, 2, 7, 3) = 7".
        terms: panel id → cell → what this step adds to the cell, where values accumulate ("3 × 0.5").
        shows: film id → the frame that it shows from this step on.
        boxes: picture or film id → number of a box → what it is from this step on: a role, None (hidden), or a `BoxLook`.
        grows: id of bars → in how many seconds what this step writes there grows in the browser, at an even pace.
        notes: panel id → what stands under its title from this step on.
        measured: a step that is there because of what was measured, such as a second that something took: the digest leaves it out.
    """

    caption: str
    marks: Mapping[str, Mapping[str, Sequence[Cell | Box | int]]] = field(default_factory=dict)
    writes: Mapping[str, Mapping[Cell, float]] = field(default_factory=dict)
    keep: Mapping[str, Sequence[Cell]] = field(default_factory=dict)
    arithmetic: str = ""
    terms: Mapping[str, Mapping[Cell, str]] = field(default_factory=dict)
    shows: Mapping[str, int] = field(default_factory=dict)
    boxes: Mapping[str, Mapping[int, BoxLook | str | None]] = field(default_factory=dict)
    grows: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    measured: bool = False

    def __post_init__(self):
        # Copies as plain numbers: a caller's tensor that goes on changing must not change what was written.
        writes = {panel: {tuple(cell): float(value) for cell, value in cells.items()} for panel, cells in self.writes.items()}
        object.__setattr__(self, "writes", writes)
        object.__setattr__(self, "shows", {film: int(frame) for film, frame in self.shows.items()})
        object.__setattr__(self, "boxes", {panel: looks(changes) for panel, changes in self.boxes.items()})

    @property
    def spans(self) -> list[tuple[str, str]]:
        """The caption as (text, role) pairs; the role is "" for plain text."""
        spans, end = [], 0
        for match in _COLOURED.finditer(self.caption):
            if match.start() > end:
                spans.append((self.caption[end : match.start()], ""))
            spans.append((match[1], match[2]))
            end = match.end()
        return [*spans, (self.caption[end:], "")] if end < len(self.caption) else spans

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.spans)


class Trace:
    """Panels, the arrows between them, and the steps that fill them.

    Args:
        title: what is animated, "max pool 2×2, stride 2".
        panels: in the order in which the data flows, left to right.
        arrows: one for each gap between two panels (None for a gap without one).
        steps: the first shows the input and the still empty output, and says what will happen.
        rows: the fewest rows in which the panels stand.

    Raises:
        ValueError: a step names a panel, role or cell that isn't there; a value isn't finite; or the trace is over 1 MB.
    """

    def __init__(
        self, title: str, *, panels: Sequence[Panel], steps: Sequence[TraceStep], arrows: Sequence[Arrow | None] = (), rows: int = 1
    ):
        self.title, self.rows = title, rows
        self.panels = tuple(panels)
        self.steps = tuple(steps)
        self.arrows = tuple(arrows) or (None,) * (len(self.panels) - 1)
        self._validate()
        self._wire = self._encode()
        if self.nbytes > MAX_BYTES:
            raise ValueError(
                f"the animation {title!r} would take {self.nbytes / 1e6:.1f} MB with {len(self.steps)} steps, and 1 MB is the "
                "limit: pass a smaller tensor, a crop, or a larger stride"
            )

    def __repr__(self) -> str:
        names = " → ".join(panel.title for panel in self.panels)
        count = sum(not step.measured for step in self.steps) - 1  # the others differ from run to run, and nbval compares this line
        return f"{self.title} · {names} · {count} steps · digest {self.digest}"

    @property
    def nbytes(self) -> int:
        """Bytes that travel to the browser: the JSON and the binary buffers."""
        meta, buffers = self._wire
        return len(json.dumps(meta, ensure_ascii=False).encode()) + sum(map(len, buffers))

    @property
    def digest(self) -> str:
        """Twelve hex digits that change when the animation does, and are the same on every machine.

        Numbers made by hand enter to a thousandth. Measured numbers (a real network's features) differ between machines in
        their last bits, and no rounding is safe from a bit that tips it; of them only the shape and the marks enter.
        """
        meta, _ = self._wire
        exact = all(panel.exact for panel in self.panels if isinstance(panel, Grid) and not panel.empty)
        # What is said beside a film is measured, too.
        exact = exact and not any(isinstance(panel, (Film, Curves, Segmentation)) for panel in self.panels)
        loose = {panel.id for panel in self.panels if isinstance(panel, Segmentation)}  # which pieces merge is measured: only roles enter
        exact = exact and all(boxes.exact for boxes in map(_boxes_of, self.panels) if boxes is not None)
        steps = [
            ({"shows": step.shows} if step.shows else {})
            | ({"boxes": _boxes_content(step, exact)} if step.boxes else {})
            | ({"notes": {panel: note if exact else _NUMBER.sub("·", note) for panel, note in step.notes.items()}} if step.notes else {})
            | {
                "caption": step.text if exact else _NUMBER.sub("·", step.text),
                "arithmetic": step.arithmetic if exact else _NUMBER.sub("·", step.arithmetic),
                "marks": _without_cells(encoded["marks"], loose) if "marks" in encoded else None,
                "keep": encoded.get("keep"),
                "writes": {
                    panel: [[*cell, round(float(value), 3) if exact else None] for cell, value in cells.items()]
                    for panel, cells in step.writes.items()
                    if panel not in loose
                },
            }
            for step, encoded in zip(self.steps, meta["steps"], strict=True)
            if not step.measured
        ]
        content = [self.title, [panel.content() for panel in self.panels], [a and a.text for a in self.arrows], steps]
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:12]

    def wire(self) -> tuple[dict, list[bytes]]:
        """What the player gets: JSON-able metadata and typed binary buffers (little-endian float32, PNG, uint8)."""
        return self._wire

    def values_at(self, panel_id: str, index: int) -> np.ndarray:
        """The numbers that a grid shows at step `index` (−1 is the last), `[H, W]` float32; NaN where nothing is written yet."""
        panel = self.panel(panel_id)
        values = np.full_like(panel.values, np.nan) if panel.empty else panel.values.copy()
        for step in self.steps[: range(len(self.steps))[index] + 1]:
            for cell, value in step.writes.get(panel_id, {}).items():
                values[cell] = value
        return values

    def kept_at(self, panel_id: str, index: int) -> list[Cell]:
        """The cells that stay lit in a panel at step `index`."""
        return [cell for step in self.steps[: index + 1] for cell in step.keep.get(panel_id, ())]

    def frame_at(self, film_id: str, index: int) -> int:
        """The frame that a film shows at step `index` (−1 is the last)."""
        shown = [step.shows[film_id] for step in self.steps[: range(len(self.steps))[index] + 1] if film_id in step.shows]
        return shown[-1] if shown else 0

    def note_at(self, panel_id: str, index: int) -> str:
        """What stands under a panel's title at step `index` (−1 is the last)."""
        said = [step.notes[panel_id] for step in self.steps[: range(len(self.steps))[index] + 1] if panel_id in step.notes]
        return said[-1] if said else self.panel(panel_id).note

    def boxes_at(self, panel_id: str, index: int) -> list[BoxLook]:
        """What each box of a picture or film is at step `index` (−1 is the last), with its place."""
        return _boxes_of(self.panel(panel_id)).after(
            [step.boxes.get(panel_id, {}) for step in self.steps[: range(len(self.steps))[index] + 1]]
        )

    def panel(self, panel_id: str) -> Panel:
        """The panel of that name; a KeyError says which there are."""
        for panel in self.panels:
            if panel.id == panel_id:
                return panel
        raise KeyError(f"there is no panel {panel_id!r}; there are {[panel.id for panel in self.panels]}")

    def save(self, path, *, seconds: float | None = None) -> None:
        """Write the animation to `path`: `.html` (self-contained, plays offline), `.png` (animated) or `.gif`, in which a step stays
        for `seconds`."""
        from segwidgets.still import save

        save(self, path, seconds=seconds)

    def _validate(self) -> None:
        ids = [panel.id for panel in self.panels]
        if not self.panels or len(set(ids)) != len(ids):
            raise ValueError(f"a trace needs panels with different names, got {ids}")
        if not self.steps:
            raise ValueError("a trace needs at least one step: the first shows the input before anything happens")
        if len(self.arrows) != len(self.panels) - 1:
            raise ValueError(f"{len(self.panels)} panels have {len(self.panels) - 1} gaps, got {len(self.arrows)} arrows")
        for number, step in enumerate(self.steps):
            unknown = {r for _, r in step.spans if r} | {r for roles in step.marks.values() for r in roles}
            if unknown - set(ROLES):
                raise ValueError(f"step {number} has the role {sorted(unknown - set(ROLES))}; there are {sorted(ROLES)}")
            kinds = ("marks", "writes", "keep", "terms", "grows", "notes")
            for kind, by_panel in ((kind, getattr(step, kind)) for kind in kinds):
                for panel_id in by_panel:
                    if panel_id not in ids:
                        raise ValueError(f"step {number} {kind} the panel {panel_id!r}; there are {ids}")
            self._validate_cells(number, step)
            for film_id, frame in step.shows.items():
                self._validate_frame(f"step {number}", film_id, frame)
            self._validate_boxes(number, step)
        for grid in self.panels:
            if isinstance(grid, Grid) and grid.film:
                self._validate_film(grid)

    def _validate_frame(self, who: str, film_id: str, frame: int) -> None:
        films = {panel.id: len(panel.frames) for panel in self.panels if isinstance(panel, Film)}
        if film_id not in films:
            raise ValueError(f"{who} shows a frame of the film {film_id!r}; there are {sorted(films)}")
        if not 0 <= frame < films[film_id]:
            raise ValueError(f"{who} shows frame {frame} of the film {film_id!r}, which has the frames 0 to {films[film_id] - 1}")

    def _validate_boxes(self, number: int, step: TraceStep) -> None:
        counts = {panel.id: len(_boxes_of(panel)) for panel in self.panels if _boxes_of(panel) is not None}
        for panel_id in step.boxes:
            if panel_id not in counts:
                raise ValueError(f"step {number} changes boxes of {panel_id!r}; there are boxes on {sorted(counts)}")
        numbered = [(panel, box) for panel, changes in step.boxes.items() for box in changes]
        for panel, roles in step.marks.items():
            if isinstance(self.panel(panel), (Picture, Film)):
                numbered += [(panel, box) for places in roles.values() for box in places if isinstance(box, Integral)]
        for panel_id, box in numbered:
            if not 0 <= box < counts.get(panel_id, 0):
                raise ValueError(f"step {number} has box {box} of {panel_id!r}, which has {counts.get(panel_id, 0)} boxes")

    def _validate_film(self, grid: Grid) -> None:
        for (row, column), frame in grid.frame_of_cell.items():
            self._validate_frame(f"cell {(row, column)} of {grid.id!r}", grid.film, frame)
            if not (0 <= row < grid.rows and 0 <= column < grid.columns):
                raise ValueError(
                    f"film_frames of {grid.id!r} has the cell {(row, column)}, and the panel has {grid.rows} × {grid.columns} cells"
                )

    def _validate_cells(self, number: int, step: TraceStep) -> None:
        for panel in self.panels:
            if isinstance(panel, (Picture, Film)):
                continue
            marked = [cell for cells in step.marks.get(panel.id, {}).values() for cell in cells]
            for cell in [*marked, *step.writes.get(panel.id, {}), *step.keep.get(panel.id, ())]:
                if len(cell) != 2 or not (0 <= cell[0] < panel.rows and 0 <= cell[1] < panel.columns):
                    raise ValueError(
                        f"step {number} touches cell {tuple(cell)} of {panel.id!r}, which has {panel.rows} rows and {panel.columns} columns"
                    )
            values = list(step.writes.get(panel.id, {}).values())
            if values and not np.isfinite(values).all():
                raise ValueError(f"step {number} writes NaN or infinity into {panel.id!r}; only finite numbers can be shown")

    def _encode(self) -> tuple[dict, list[bytes]]:
        buffers: list[bytes] = []
        panels = [panel.encode(buffers) for panel in self.panels]
        written: list[float] = []  # all values that steps write, in order: one buffer instead of thousands of JSON numbers
        steps = [self._encode_step(step, written) for step in self.steps]
        buffers.append(np.asarray(written, dtype="<f4").tobytes())
        arrows = [arrow and {"text": arrow.text, "line": arrow.line} for arrow in self.arrows]
        meta = {"title": self.title, "panels": panels, "arrows": arrows, "steps": steps, "written": len(buffers) - 1, "rows": self.rows}
        return meta, buffers

    def _encode_step(self, step: TraceStep, written: list[float]) -> dict:
        encoded: dict = {"caption": step.spans}
        if step.arithmetic:
            encoded["arithmetic"] = step.arithmetic
        if step.marks:
            encoded["marks"] = {
                panel: {role: self._places(panel, places) for role, places in roles.items() if len(places)}
                for panel, roles in step.marks.items()
            }
        if step.shows:
            encoded["shows"] = step.shows
        if step.boxes:
            encoded["boxes"] = {panel: encode_looks(changes) for panel, changes in step.boxes.items()}
        if step.grows:
            encoded["grows"] = {panel: float(seconds) for panel, seconds in step.grows.items()}
        if step.notes:
            encoded["notes"] = dict(step.notes)
        if step.keep:
            encoded["keep"] = {panel: self._places(panel, cells) for panel, cells in step.keep.items()}
        if step.writes:
            encoded["writes"] = {}
            for panel, cells in step.writes.items():
                encoded["writes"][panel] = {"cells": self._places(panel, cells), "at": len(written)}
                terms = step.terms.get(panel)
                if terms:
                    encoded["writes"][panel]["terms"] = [terms.get(cell, "") for cell in cells]
                written.extend(float(value) for value in cells.values())
        return encoded

    def _places(self, panel_id: str, places) -> list:
        """Cells as flat indices (a third of the bytes of pairs); boxes as they are, or as their numbers."""
        panel = self.panel(panel_id)
        if isinstance(panel, (Picture, Film)):
            return [int(box) if isinstance(box, Integral) else [round(float(side), 2) for side in box] for box in places]
        return [int(row) * panel.columns + int(column) for row, column in places]


def _boxes_of(panel: Panel):
    return panel.boxes if isinstance(panel, (Picture, Film)) else None


def _without_cells(marks: dict, panels: set[str]) -> dict:
    """The marks as they are encoded, and of these panels only the roles."""
    return {panel: sorted(roles) if panel in panels else roles for panel, roles in marks.items()}


def _boxes_content(step: TraceStep, exact: bool) -> dict:
    """What the digest takes from a step's boxes: their roles, and of boxes made by hand their labels and places, too."""

    def content(look: BoxLook) -> list:
        return [look.role, look.label, look.place] if exact else [look.role, _NUMBER.sub("·", look.label)]

    return {panel: [[number, *content(look)] for number, look in changes.items()] for panel, changes in step.boxes.items()}
