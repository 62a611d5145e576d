"""A Player whose trace is computed anew from what the viewer sets: sliders, choices, boxes that can be dragged, cells that can be clicked.

    def threshold(level):
        return Trace(...)

    Live(threshold, [Slider("level", 0.0, 1.0, step=0.05, value=0.5)])

Playing, stepping and hovering stay in the browser, as for every Player. A change is asked of the kernel; of changes that come faster
than answers only the newest is. What the function refuses is said in the widget, and what was there stays.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import traitlets

from segwidgets.boxes import Place
from segwidgets.panels import Film, Grid, Panel, Picture
from segwidgets.player import Player
from segwidgets.trace import Cell, Trace


@dataclass(frozen=True)
class Slider:
    """A number from `low` to `high` in steps of `step`; whole if all of them are.

    Args:
        name: the argument of the function that it sets.
        label: what stands beside it; the name, if none is given.
    """

    name: str
    low: float
    high: float
    step: float
    value: float
    label: str = ""
    kind: ClassVar[str] = "slider"

    def __post_init__(self):
        if not (np.isfinite([self.low, self.high, self.step]).all() and self.low < self.high and self.step > 0):
            raise ValueError(
                f"the slider {self.name!r} goes from {self.low} to {self.high} by {self.step}; low < high and step > 0 are needed"
            )
        object.__setattr__(self, "value", self.checked(self.value))

    def checked(self, value) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise ValueError(f"{self.name} is {value!r}; it goes from {self.low} to {self.high}")
        whole = all(isinstance(each, int) for each in (self.low, self.high, self.step))
        return round(value) if whole else float(value)

    def wire(self) -> dict:
        return {"low": self.low, "high": self.high, "step": self.step}


@dataclass(frozen=True)
class Choice:
    """One of a few words, each on a button."""

    name: str
    options: Sequence[str]
    value: str
    label: str = ""
    kind: ClassVar[str] = "choice"

    def __post_init__(self):
        object.__setattr__(self, "options", tuple(self.options))
        self.checked(self.value)

    def checked(self, value) -> str:
        if value not in self.options:
            raise ValueError(f"{self.name} is {value!r}; it is one of {', '.join(map(repr, self.options))}")
        return value

    def wire(self) -> dict:
        return {"options": list(self.options)}


@dataclass(frozen=True)
class DragBox:
    """A box that can be dragged: number `box` of those that lie on the picture or film `panel`.

    Its value is (x1, y1, x2, y2) in the pixels of the picture as shown, where the function has to put the box. In the browser it stays
    within the picture, and at least one pixel wide and high.
    """

    name: str
    panel: str
    box: int
    value: Place
    label: str = ""
    kind: ClassVar[str] = "box"

    def __post_init__(self):
        object.__setattr__(self, "value", self.checked(self.value))

    def checked(self, value) -> Place:
        try:
            sides = tuple(float(side) for side in value)
        except (TypeError, ValueError):
            sides = ()
        if len(sides) != 4 or not np.isfinite(sides).all() or sides[2] < sides[0] or sides[3] < sides[1]:
            raise ValueError(f"{self.name} is {value!r}; a box is x1, y1, x2, y2 with x1 ≤ x2 and y1 ≤ y2")
        return sides

    def wire(self) -> dict:
        return {"panel": self.panel, "box": self.box}


@dataclass(frozen=True)
class PickCell:
    """A place that can be clicked: one of `rows` × `columns` cells of the picture or film `panel`, or a cell of the grid `panel`.

    Its value is (row, column). In the browser the cell is outlined, and the arrow keys move it, too.

    Args:
        size: height and width of a cell in pixels of the picture as shown; by default the cells divide it evenly. Cells at the right
            and the lower edge may reach beyond it.
    """

    name: str
    panel: str
    rows: int
    columns: int
    value: Cell
    size: tuple[float, float] | None = None
    label: str = ""
    kind: ClassVar[str] = "cell"

    def __post_init__(self):
        if self.size is not None:
            object.__setattr__(self, "size", tuple(map(float, self.size)))
        object.__setattr__(self, "value", self.checked(self.value))

    def checked(self, value) -> Cell:
        try:
            row, column = (operator.index(each) for each in value)
        except (TypeError, ValueError):
            row = column = -1
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            raise ValueError(
                f"{self.name} is {value!r}; a cell is a row from 0 to {self.rows - 1} and a column from 0 to {self.columns - 1}"
            )
        return row, column

    def wire(self) -> dict:
        return {"panel": self.panel, "rows": self.rows, "columns": self.columns, "size": self.size and list(self.size)}


Setting = Slider | Choice | DragBox | PickCell


class Live(Player):
    """Plays `compute(**values)`, and plays it anew when the viewer changes a value.

    Who stands at the first step is taken to the last when a value changes, where the result is; who stands elsewhere stays there.
    `values` are those of what is shown.

    Args:
        compute: called with each setting's value by its name; returns a Trace. What it raises becomes a sentence in the widget.
        settings: what can be set, in the order in which it stands under the animation.

    Raises:
        TypeError, ValueError: `compute` returns no Trace, two settings have the same name, or what is dragged or clicked isn't there.
    """

    _settings = traitlets.List().tag(sync=True)
    _values = traitlets.Dict().tag(sync=True)

    def __init__(self, compute: Callable[..., Trace], settings: Sequence[Setting], **unknown):
        if unknown:
            raise TypeError(f"Live takes a function and its settings and nothing else, got {', '.join(sorted(unknown))}")
        names = [setting.name for setting in settings]
        if len(set(names)) < len(names) or not names:
            raise ValueError(f"the settings are named {names}; at least one is needed, and each needs a name of its own")
        self._compute, self._by_name = compute, dict(zip(names, settings, strict=True))
        values = {setting.name: setting.value for setting in settings}
        trace = compute(**values)
        super().__init__(trace)
        for setting in settings:
            _check_place(setting, trace)
        self._settings = [{"kind": each.kind, "name": each.name, "label": each.label or each.name, **each.wire()} for each in settings]
        self._values = values
        self.on_msg(self._asked)

    @property
    def values(self) -> dict:
        """What is set now, by name."""
        return dict(self._values)

    def set(self, **values) -> None:
        """Change some values from Python, as the viewer does with the mouse.

        Raises:
            TypeError, ValueError: a name that isn't set here, a value that can't be, or what the function raises; nothing has changed then.
        """
        unknown = sorted(set(values) - set(self._by_name))
        if unknown:
            raise TypeError(f"there is no setting {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, self._by_name))}")
        changed = self.values | {name: self._by_name[name].checked(value) for name, value in values.items()}
        trace = self._compute(**changed)
        self.show(trace)
        self._values = changed

    def _asked(self, _, content: Mapping, buffers) -> None:
        """Answers a view. Whatever goes wrong, there is an answer: a view that waits for one would never ask again."""
        if content.get("kind") != "set":
            return
        error = ""
        try:
            self.set(**content["values"])
        except KeyboardInterrupt:
            error = "Interrupted; nothing has changed."
        except (TypeError, ValueError) as refused:
            error = str(refused)
        except Exception as failed:
            error = f"{type(failed).__name__}: {failed}"
        self.send({"kind": "answer", "id": content.get("id"), "error": error})


def _check_place(setting: Setting, trace: Trace) -> None:
    """What is dragged or clicked must be there."""
    panel = next((panel for panel in trace.panels if panel.id == getattr(setting, "panel", None)), None)
    if isinstance(setting, DragBox):
        _check_box(setting, panel)
    elif isinstance(setting, PickCell):
        _check_cells(setting, panel)


def _check_box(setting: DragBox, panel: Panel | None) -> None:
    """The box must also be where its setting says that it is."""
    boxes = getattr(panel, "boxes", None)
    if boxes is None or not 0 <= setting.box < len(boxes):
        raise ValueError(f"{setting.name} drags box {setting.box} of the panel {setting.panel!r}, and there is no such box")
    place = boxes.places[setting.box]
    if not np.allclose(place, setting.value, atol=0.01):
        raise ValueError(f"{setting.name} is {setting.value}, but the function puts box {setting.box} at {tuple(place.tolist())}")


def _check_cells(setting: PickCell, panel: Panel | None) -> None:
    if not isinstance(panel, (Grid, Picture, Film)):
        raise ValueError(f"{setting.name} picks a cell of {setting.panel!r}, and there is no such grid, picture or film")
    if isinstance(panel, Grid) and (setting.rows, setting.columns) != (panel.rows, panel.columns):
        raise ValueError(
            f"{setting.name} picks one of {setting.rows} × {setting.columns} cells of {setting.panel!r}, which has "
            f"{panel.rows} × {panel.columns}"
        )
