"""The X-ray of a segmentation network: the backbone's maps, the heads' maps, the label of every pixel, and what a clicked pixel scored.

A part of `segwidgets.xray`. How the network is watched, and the papers: `segwidgets.segmenter_stages`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from course.ops import arguments
from course.ops.labels import colour_labels, label_colour
from course.ops.step import number
from segwidgets.cells import MOST_LETTERS, counted
from segwidgets.channel_map import ChannelMap, loudest
from segwidgets.inputs import as_tensor, pixels, shrunk
from segwidgets.live import Choice, Live, PickCell, Setting, Slider, Upload
from segwidgets.opened_detector import milliseconds
from segwidgets.panels import Arrow, Bars, Film, Frame, Picture
from segwidgets.picture_of_choice import PictureOfChoice
from segwidgets.segmenter_stages import watch_segmenter
from segwidgets.trace import Cell, Trace, TraceStep

MOST_CLASSES = 8  # bars
MOST_NAMED = 12  # classes in the legend
PICTURE, MAP, BARS = 8.0, 6.0, 8.0  # units: how wide a photograph, a map and bars with their names are


def segmenter_xray(
    model, image, classes: Sequence[str] | None, level: str | None, channel: int | None, pixel: Cell | None, prepare: Callable | None
) -> Live:
    """The arguments are those of `segwidgets.xray`."""
    choice = PictureOfChoice(lambda image: _Opened(model, image, classes, prepare), image)
    first = choice.first
    names = list(first.stages.maps)
    if level is not None and level not in names:
        raise ValueError(f"level is {level!r}, and there are the maps {', '.join(names)}")
    most = max(len(each) for each in first.stages.maps.values())
    start = first.surest if pixel is None else first.cell_of(pixel)
    level = names[0] if level is None else level
    channel = loudest(first.stages.maps[level]) if channel is None else arguments.whole(channel, "channel", 0)

    def settings(picture: Tensor | None = None) -> list[Setting]:
        rows, columns = choice(picture).pixels.shape[:2]
        cell = start if picture is None else choice(picture).surest
        of_maps = [Choice("level", names, level, label="map")] + (
            [Slider("channel", 0, most - 1, step=1, value=channel)] if most > 1 else []
        )
        return [*of_maps, PickCell("pixel", "photograph", rows, columns, cell), Upload("picture", label="Your picture")]

    def compute(level: str, pixel: Cell, picture: Tensor | None, channel: int = 0) -> Trace:
        return _Story(choice(picture), level, channel, pixel).trace()

    return Live(compute, settings)


class _Opened:
    """The picture and what the model said of it."""

    def __init__(self, model, image, classes: Sequence[str] | None, prepare: Callable | None):
        picture = pixels(image)
        self.title = f"X-ray: {type(model).__name__}"
        self.size = picture.shape[:2]
        self.pixels, self.factor = shrunk(picture)
        self.stages = watch_segmenter(model, as_tensor(image, name="image").reshape(3, *self.size), prepare)
        self.device = str(next((each.device for each in model.parameters()), "cpu"))
        self.classes = _names(classes, len(self.stages.logits))

    @cached_property
    def probabilities(self) -> Tensor:
        return self.stages.logits.softmax(0)  # [K, H, W]

    @cached_property
    def labels(self) -> Tensor:
        return self.stages.logits.argmax(0)  # [H, W]

    @cached_property
    def shown_labels(self) -> Tensor:
        """At each pixel of the photograph as shown, the label of the place that it shows. [h, w]"""
        rows, columns = (torch.from_numpy(self.places(axis)) for axis in (0, 1))
        return self.labels[rows][:, columns]

    @cached_property
    def frames(self) -> list[Frame]:
        """An empty sheet, and the labels in their colours."""
        labels = self.shown_labels
        sheet = np.full((*labels.shape, 3), label_colour(0), np.uint8)
        return [Frame(sheet), Frame(colour_labels(labels, void=None).permute(1, 2, 0).numpy())]

    @property
    def surest(self) -> Cell:
        """The pixel as shown that is surest to be something else than background."""
        rows, columns = (torch.from_numpy(self.places(axis)) for axis in (0, 1))
        best = self.probabilities[1:].amax(0)[rows][:, columns]  # [h, w]
        return divmod(int(best.argmax()), best.shape[1])

    def cell_of(self, pixel) -> Cell:
        """The pixel as shown that shows this one of the picture as given."""
        try:
            row, column = (arguments.whole(each, "pixel", 0) for each in pixel)
            inside = row < self.size[0] and column < self.size[1]
        except (TypeError, ValueError):
            inside = False
        if not inside:
            raise ValueError(f"pixel is {pixel!r}; it is a row from 0 to {self.size[0] - 1} and a column from 0 to {self.size[1] - 1}")
        sides = self.pixels.shape[:2]
        return tuple(
            min(int((each + 0.5) * side / whole), side - 1) for each, side, whole in zip((row, column), sides, self.size, strict=True)
        )

    def places(self, axis: int) -> np.ndarray:
        """For each row (or column) of the photograph as shown the row of the scores that lies there."""
        side, whole = self.pixels.shape[axis], self.stages.size[axis]
        return ((np.arange(side) + 0.5) * whole / side).astype(int)

    def time(self, *stages: str) -> str:
        """ "31 ms", and on CUDA "31 ms, up to 120 MB"."""
        seconds = sum(self.stages.seconds.get(stage, 0.0) for stage in stages)
        memory = max((self.stages.memory.get(stage, 0) for stage in stages), default=0)
        return milliseconds(seconds) + (f", up to {memory / 1e6:.0f} MB" if memory else "")


class _Story:
    """The animation of one pixel and one channel."""

    def __init__(self, opened: _Opened, level: str, channel: int, pixel: Cell):
        self.opened, self.stages, self.level = opened, opened.stages, level
        self.maps = opened.stages.maps[level]
        self.channel = min(channel, len(self.maps) - 1)
        shown = opened.pixels.shape[:2]
        self.map = ChannelMap(self.maps[self.channel].float(), shown, opened.factor)
        self.pixel = tuple(min(place, side - 1) for place, side in zip(pixel, shown, strict=True))
        self.scores = opened.stages.logits[:, opened.places(0)[self.pixel[0]], opened.places(1)[self.pixel[1]]]  # [K]
        self.label = int(self.scores.argmax())
        self.of_class = ChannelMap(opened.probabilities[self.label], shown, opened.factor)

    def trace(self) -> Trace:
        opened, stages = self.opened, self.stages
        size = list(stages.size)
        panels = [
            Picture("photograph", opened.pixels, note=f"[3, {opened.size[0]}, {opened.size[1]}]", width=PICTURE),
            self.map.grid("map", self._title, str(list(self.maps.shape)), MAP),
            self.of_class.grid("probability", f"P({self._name})", str(size), MAP, (0.0, 1.0)),
            Film("labels", opened.frames, "labels", str(size), PICTURE, lossless=True, legend=self._legend()),
            Bars(
                "classes", np.zeros(len(self._likeliest)), [opened.classes[k] for k in self._likeliest], "the pixel", self._note, True, BARS
            ),
            Bars("time", [1000 * each for each in stages.seconds.values()], list(stages.seconds), "time", "ms", width=BARS),
        ]
        head = "head" if "head" in stages.seconds else "heads"
        arrows = [
            Arrow("backbone" if self._of_backbone else head),
            Arrow("softmax" if head in self.level else head),
            Arrow("argmax"),
            None,
            None,
        ]
        return Trace(
            opened.title,
            panels=panels,
            arrows=arrows,
            steps=[self._first(), self._mapped(), self._likely(), self._labelled(), self._picked()],
            rows=2,
        )

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _first(self) -> TraceStep:
        opened, seconds = self.opened, self.stages.seconds
        seen = "" if self.stages.size == opened.size else f", seen at {self.stages.size[0]} × {self.stages.size[1]}"
        return TraceStep(
            f"One forward pass over [3, {opened.size[0]}, {opened.size[1]}]{seen}{self.stages.prepared} on {opened.device} took "
            f"[{milliseconds(sum(seconds.values()))}|chosen]. Whatever you choose below, the model does not run again; another picture is "
            "another pass.",
            arithmetic=", ".join(f"{stage} {milliseconds(each)}" for stage, each in seconds.items()),
        )

    def _mapped(self) -> TraceStep:
        maps, backbones = self.stages.maps, self.stages.backbones
        head = [stage for stage in self.stages.seconds if stage in ("head", "heads")]
        return TraceStep(
            f"The backbone, [{self.opened.time('backbone')}|read], gives {counted(backbones, 'map')}; the {head[0]}, "
            f"[{self.opened.time(*head)}|read], {len(maps) - backbones} more. Shown: {self._what} on {self.level}, {self.map.told}",
            writes={"map": self.map.writes},
            arithmetic=",  ".join(f"{name} {list(each.shape)}, {_size(each)}" for name, each in maps.items()),
        )

    def _likely(self) -> TraceStep:
        height, width = self.stages.size
        share = float((self.opened.probabilities[self.label] >= 0.5).float().mean())
        return TraceStep(
            f"The scores, stretched to {height} × {width} pixels in [{self.opened.time('upsampling')}|read], as probabilities by softmax: "
            f"how likely each place is [{self._name}|chosen]. [{_percent(share)}|write] of the pixels are at least 0.5.",
            writes={"probability": self.of_class.writes},
        )

    def _labelled(self) -> TraceStep:
        shares = self.opened.labels.flatten().bincount(minlength=len(self.opened.classes)) / self.opened.labels.numel()  # [K]
        order = [k for k in shares.argsort(descending=True, stable=True).tolist() if shares[k] > 0]
        words = ", ".join(f"{self.opened.classes[k]} {_percent(float(shares[k]))}" for k in order[:MOST_CLASSES])
        occur = "occurs" if len(order) == 1 else "occur"
        return TraceStep(
            f"Each pixel takes its likeliest class: [{counted(len(order), 'class')}|write] of {len(shares)} {occur}.",
            shows={"labels": 1},
            arithmetic=words,
        )

    def _picked(self) -> TraceStep:
        row, column = (int((each + 0.5) / self.opened.factor) for each in self.pixel)
        probabilities, shown = self.scores.softmax(0), self._likeliest
        scores = ", ".join(f"{self.opened.classes[k]} {number(self.scores[k])}" for k in self.scores.argsort(descending=True)[:4].tolist())
        dot = [(self.pixel[1] - 3.0, self.pixel[0] - 3.0, self.pixel[1] + 4.0, self.pixel[0] + 4.0)]
        return TraceStep(
            f"The pixel at row {row}, column {column} is [{self._name}|chosen] with "
            f"[{number(round(float(probabilities[self.label]), 3))}|chosen]. Click another one on the photograph.",
            {"classes": {"chosen": [(shown.index(self.label), 0)]}, "labels": {"chosen": dot}},
            {"classes": {(i, 0): round(float(probabilities[k]), 3) for i, k in enumerate(shown)}},
            arithmetic=f"scores before softmax: {scores}",
        )

    # ---- what they share ------------------------------------------------------------------------------------------------

    @property
    def _of_backbone(self) -> bool:
        return list(self.stages.maps).index(self.level) < self.stages.backbones

    @property
    def _name(self) -> str:
        return self.opened.classes[self.label]

    @property
    def _what(self) -> str:
        """A channel of scores is a class."""
        scores = "scores" in self.level and len(self.maps) == len(self.opened.classes)
        return f"the scores of {self.opened.classes[self.channel]}" if scores else f"channel {self.channel} of {len(self.maps)}"

    @property
    def _title(self) -> str:
        return f"{self.level}, channel {self.channel}"

    @property
    def _note(self) -> str:
        count, shown = len(self.opened.classes), len(self._likeliest)
        return f"[{count}]" if shown == count else f"[{count}], {shown} shown"

    @cached_property
    def _likeliest(self) -> list[int]:
        """Classes whose bars are shown, in their order."""
        return sorted(self.scores.argsort(descending=True, stable=True)[:MOST_CLASSES].tolist())

    def _legend(self) -> list[tuple[str, tuple[int, int, int]]]:
        """Of the classes that occur, the most frequent ones."""
        counts = self.opened.shown_labels.flatten().bincount()
        order = [k for k in counts.argsort(descending=True, stable=True).tolist() if counts[k]][:MOST_NAMED]
        return [(self.opened.classes[k], label_colour(k)) for k in sorted(order)]


def _size(tensor: Tensor) -> str:
    return f"{number(round(tensor.numel() * tensor.element_size() / 1e6, 3))} MB"


def _percent(share: float) -> str:
    return f"{number(round(100 * share, 1))} %"


def _names(classes: Sequence[str] | None, known: int) -> list[str]:
    """Of all classes, the background first."""
    if classes is None:
        return ["background", *(f"class {k}" for k in range(1, known))]
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes) or len(classes) not in (known - 1, known):
        raise ValueError(f"classes is {classes!r}; it takes the names of the model's {known} classes, the background's first or left out")
    return (["background"] if len(classes) < known else []) + [name[:MOST_LETTERS] for name in classes]
