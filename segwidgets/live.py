"""A Player whose trace is computed anew from what the viewer sets: sliders, choices, boxes that can be dragged, cells that can be clicked,
pictures of their own.

    def threshold(level):
        return Trace(...)

    Live(threshold, [Slider("level", 0.0, 1.0, step=0.05, value=0.5)])

Playing, stepping and hovering stay in the browser, as for every Player. A change is asked of the kernel; of changes that come faster
than answers only the newest is. What the function refuses is said in the widget, and what was there stays.

A function that takes long may be a generator: each Trace that it yields is shown as it comes. Between two of them the kernel hears what
else is asked, and a newer question puts an end to the older one.
"""

from __future__ import annotations

import asyncio
import operator
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import traitlets
from torch import Tensor

from segwidgets.boxes import Place
from segwidgets.inputs import MOST_PIXELS
from segwidgets.interrupts import interruptible, main_loop
from segwidgets.panels import Film, Grid, Panel, Picture
from segwidgets.player import Player
from segwidgets.trace import Cell, Trace

HEARING = 0.02  # seconds between two traces of one answer, in which the kernel takes the messages that have come
MOST_BYTES = 8_000_000  # of a picture's file: Jupyter's server drops the connection at messages of 10 MiB


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


class Uploaded(NamedTuple):
    """A picture `[3, H, W]`, the key by which a view asks for it again, and the name of its file."""

    picture: Tensor
    key: str
    name: str


@dataclass(frozen=True)
class Upload:
    """A picture that the viewer chooses from disk.

    Its value is None at first, then the picture, float32 `[3, H, W]`, RGB, 0…1, upright. `Live.set` takes all that
    `course.data.photos.load_image` takes. In the browser no file is sent that has more than 8 MB.
    """

    name: str
    label: str = ""
    kind: ClassVar[str] = "upload"
    value: ClassVar[None] = None

    def checked(self, value) -> Uploaded | None:
        if value is None or isinstance(value, Uploaded):
            return value
        return Uploaded(_read(value), f"kernel:{uuid.uuid4().hex}", "")

    def received(self, sent: Mapping | None, held: Uploaded | None, buffers: Sequence) -> Uploaded | None:
        """What a view sends: the key of the picture, with its bytes unless it is the one that is `held`."""
        if sent is None or held is not None and sent["key"] == held.key:
            return held if sent else None
        if "buffer" not in sent:
            raise ValueError(f"the picture {sent['name']!r} is no longer here; choose it again")
        try:
            return Uploaded(_read(buffers[sent["buffer"]], max_bytes=MOST_BYTES), sent["key"], sent["name"])
        except ValueError as wrong:
            raise ValueError(f"{sent['name']}: {wrong}") from None

    def wire(self) -> dict:
        return {"bytes": MOST_BYTES}


def _read(source, **limits) -> Tensor:
    from course.data.photos import load_image  # here: widgets stand on course.ops alone until somebody brings a picture

    return load_image(source, max_pixels=MOST_PIXELS, **limits)


@dataclass(frozen=True)
class Press:
    """A button that has something done again. Its value is how often it was pressed."""

    name: str
    label: str = ""
    kind: ClassVar[str] = "press"
    value: ClassVar[int] = 0

    def checked(self, value) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{self.name} is {value!r}; it takes a count: how often the button was pressed")
        return value

    def wire(self) -> dict:
        return {}


Setting = Slider | Choice | DragBox | PickCell | Upload | Press


class Live(Player):
    """Plays `compute(**values)`, and plays it anew when the viewer changes a value.

    Who stands at the first step is taken to the last when a value changes, where the result is; who stands elsewhere stays there.
    `values` are those of what is shown.

    Args:
        compute: called with each setting's value by its name; returns a Trace, or yields several, of which the last stays. What it raises
            becomes a sentence in the widget.
        settings: what can be set, in the order in which it stands under the animation; or a function that gives it for pictures, of which
            each stands for the value of an `Upload` by its name, and at first for none: `settings(picture=None)`. Of the values those stay
            that another picture's settings take, too.

    Raises:
        TypeError, ValueError: `compute` returns no Trace, two settings have the same name, or what is dragged or clicked isn't there.
    """

    _settings = traitlets.List().tag(sync=True)
    _values = traitlets.Dict().tag(sync=True)

    def __init__(
        self, compute: Callable[..., Trace | Iterator[Trace]], settings: Sequence[Setting] | Callable[..., Sequence[Setting]], **unknown
    ):
        if unknown:
            raise TypeError(f"Live takes a function and its settings and nothing else, got {', '.join(sorted(unknown))}")
        self._compute, self._settings_for = compute, settings if callable(settings) else None
        self._by_name = _named(settings() if callable(settings) else settings)
        settings = self._by_name.values()
        values = {setting.name: setting.value for setting in settings}
        self._held = values  # as `_values`, with the pictures of uploads
        self._lock = threading.RLock()  # JupyterLab may bring a message on another thread while one is computing
        self._loop = main_loop()
        self._whole: tuple[Trace, dict, dict] | None = None  # what was there before an answer that isn't complete yet
        self._open: tuple[Iterator[None], object] | None = None  # that answer, and the question's id
        *_, trace = _traces(compute(**values))
        super().__init__(trace)
        for setting in settings:
            _check_place(setting, trace)
        self._take(self._by_name, values)
        self.on_msg(self._asked)

    @property
    def values(self) -> dict:
        """What is set now, by name."""
        return _plain(self._held)

    def set(self, **values) -> None:
        """Change some values from Python, as the viewer does with the mouse.

        Raises:
            TypeError, ValueError: a name that isn't set here, a value that can't be, or what the function raises; nothing has changed then.
        """
        with self._lock:
            for _ in self._answers(values):
                pass

    def _answers(self, values: Mapping) -> Iterator[None]:
        """Shows what the function makes of changed values; a turn for each trace that it yields. If it fails after some of them, what was
        there before the question is there again."""
        unknown = sorted(set(values) - set(self._by_name))
        if unknown:
            raise TypeError(f"there is no setting {', '.join(map(repr, unknown))}; there are {', '.join(map(repr, self._by_name))}")
        settings, changed = self._changed(values)
        self._stop()
        answer = self._compute(**_plain(changed))
        try:
            for trace in _traces(answer):
                before = self._whole or (self.trace, self._by_name, self._held)
                self.show(trace)
                self._take(settings, changed)
                if answer is not trace:
                    self._whole = before
                    yield
            self._whole = None
        except GeneratorExit:  # a newer question has come; what is shown stays until its answer
            answer.close()
            raise
        except BaseException:
            if self._whole:
                (before, *held), self._whole = self._whole, None
                self.show(before)
                self._take(*held)
            raise

    def _take(self, settings: dict[str, Setting], held: dict) -> None:
        self._by_name, self._held = settings, held
        with self.hold_sync():  # a view must not see the one without the other
            self._settings = [
                {"kind": each.kind, "name": name, "label": each.label or name, **each.wire()} for name, each in settings.items()
            ]
            self._values = _wired(held)

    def _changed(self, values: Mapping) -> tuple[dict[str, Setting], dict]:
        """The settings and what they are set to. A view sends all its values: those that another picture's settings don't take are left."""
        if self._settings_for is None:
            return self._by_name, self._held | {name: self._by_name[name].checked(value) for name, value in values.items()}
        brought = {
            name: each.checked(values.get(name, self._held[name])) for name, each in self._by_name.items() if each.kind == Upload.kind
        }
        settings, values = _named(self._settings_for(**_plain(brought))), self._held | values | brought
        kept = {}
        for name, setting in settings.items():
            try:
                kept[name] = setting.checked(values[name]) if name in values else setting.value
            except (TypeError, ValueError):
                if settings == self._by_name:
                    raise
                kept[name] = setting.value
        return settings, kept

    def _stop(self) -> None:
        """Puts an end to an answer that isn't complete."""
        if self._open:
            (answers, id), self._open = self._open, None
            answers.close()
            self.send({"kind": "answer", "id": id, "error": "Stopped: something newer was asked."})

    def _asked(self, _, content: Mapping, buffers) -> None:
        if content.get("kind") == "set":
            self._go_on(self._replies(content, buffers), content.get("id"))

    def _replies(self, content: Mapping, buffers: Sequence) -> Iterator[None]:
        yield from self._answers(self._received(content["values"], buffers))

    def _go_on(self, answers: Iterator[None], id) -> None:
        """The next trace of an answer; for one more the kernel comes back when it has heard what else is asked. Where no event loop runs
        nothing else can be heard."""
        while self._next(answers, id):
            try:
                asyncio.get_running_loop().call_later(HEARING, self._come_back, answers, id)
                return
            except RuntimeError:
                pass

    def _come_back(self, answers: Iterator[None], id) -> None:
        if self._open and self._open[0] is answers:
            self._go_on(answers, id)

    def _next(self, answers: Iterator[None], id) -> bool:
        """Whether there may be more. Whatever goes wrong, the view is answered: one that waits would never ask again."""
        error, more = "", False
        try:
            with interruptible(self._loop), self._lock:
                try:
                    more = next(answers, self) is None
                finally:  # still under the lock: a moment later it may be another thread's
                    if more or self._open and self._open[0] is answers:
                        self._open = (answers, id) if more else None
        except KeyboardInterrupt:
            error = "Interrupted; nothing has changed."
        except (TypeError, ValueError) as refused:
            error = str(refused)
        except Exception as failed:
            error = f"{type(failed).__name__}: {failed}"
        self.send({"kind": "answer", "id": id, "error": error} | ({"more": True} if more else {}))
        return more

    def _received(self, values: Mapping, buffers: Sequence) -> dict:
        """The values that a view sends, with the pictures of uploads."""
        uploads = [name for name in values if isinstance(self._by_name.get(name), Upload)]
        return {**values, **{name: self._by_name[name].received(values[name], self._held[name], buffers) for name in uploads}}


def _named(settings: Sequence[Setting]) -> dict[str, Setting]:
    names = [setting.name for setting in settings]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"the settings are named {names}; at least one is needed, and each needs a name of its own")
    return dict(zip(names, settings, strict=True))


def _traces(answer: Trace | Generator[Trace]) -> Iterator[Trace]:
    trace = None
    for trace in answer if isinstance(answer, Generator) else (answer,):
        yield trace
    if trace is None and isinstance(answer, Generator):
        raise TypeError("the function of a Live yields at least one Trace; it yielded none")


def _plain(held: Mapping) -> dict:
    """The values as the function takes them."""
    return {name: value.picture if isinstance(value, Uploaded) else value for name, value in held.items()}


def _wired(held: Mapping) -> dict:
    """The values as views know them: a picture by its key."""
    return {name: {"key": value.key, "name": value.name} if isinstance(value, Uploaded) else value for name, value in held.items()}


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
