"""`segwidgets.predictions`: what a network makes of a few pictures while it is trained, epoch by epoch, to be played again afterwards."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from course.ops.labels import VOID, VOID_COLOURS, colour_labels, label_colour
from course.ops.step import number
from segwidgets.inputs import as_tensor, check_keywords
from segwidgets.modes import evaluating
from segwidgets.mosaic import mosaic
from segwidgets.panels import Arrow, Curves, Film, Frame, Picture
from segwidgets.player import Player
from segwidgets.trace import Trace, TraceStep

MOST_PICTURES = 9
MOST_FRAMES = 100
MOST_FRAME_BYTES = 700_000  # of the 1 MB that a trace may have
MOST_CURVES = 4
SHARE = 0.02  # of the time, at most, that goes into showing
NOT_YET = 0  # the frame before the first prediction: an empty sheet

FIRST = "After each epoch the network labels these pictures again."


def predictions(images, truth=None, *, classes: Sequence[str], every: int = 1, **unknown) -> Predictions:
    """A live picture of a training: pass it as `fit(..., on_epoch=...)`, and show it before, while or after it trains.

        live = segwidgets.predictions(images, truth, classes=shapes.CLASSES)
        display(live)
        fit(model, data, loss=loss, epochs=20, on_epoch=live)

    After each epoch the model, in evaluation mode and on whatever device it is, predicts the class of every pixel. Open views
    follow; when the training is over the frames can be played. A long training keeps an even choice of its epochs and always the
    newest, so that the animation stays below 1 MB; showing takes at most 2 % of the time, by skipping a view that would come too
    soon after the last. What was skipped appears at the cell's end.

    Args:
        images: `[N, 3, H, W]` or `[3, H, W]`, values 0…1, at most 9.
        truth: `[N, H, W]` or `[H, W]`, the class of every pixel, 255 where none counts; None shows no truth.
        classes: their names, the background's first.
        every: predict after epoch 1 and after every so many.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, predictions)
    return Predictions(images, truth, classes, every)


@dataclass
class _Epoch:
    """What the network predicted after an epoch: `labels [N, H, W]` uint8."""

    epoch: int
    labels: Tensor

    @cached_property
    def frame(self) -> Frame:
        return Frame(_painted(self.labels))


class Predictions:
    """What `predictions` returns: call it with (model, history) after an epoch; show it, or play its `player`."""

    def __init__(self, images, truth, classes: Sequence[str], every: int):
        self.images = _images(images)
        self.classes = _classes(classes)
        self.truth = None if truth is None else _truth(truth, self.images, len(self.classes))
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            raise ValueError(f"every is {every!r}; it takes a whole number of epochs from 1")
        self.every = every
        self._taken, self._shown, self._next = 0, 0, 0.0
        self._forget()
        self._player = Player(self._trace())
        self._displays: list = []

    def __call__(self, model: nn.Module, history) -> None:
        """Predict with `model` as it is now, and show it; `history` is `course.training.History`, or {name: one number an epoch}."""
        epochs = _numbers(history)
        epoch = max(map(len, epochs.values()), default=0)
        if self.kept and epoch <= self.kept[-1].epoch:
            self._forget()  # another training
        self.losses, self.epochs = set(getattr(history, "steps", ())), epochs
        if epoch != 1 and epoch % self.every:
            return
        self._keep(_Epoch(epoch, _predicted(model, self.images, len(self.classes))))
        if time.perf_counter() >= self._next:
            self._show()

    @property
    def player(self) -> Player:
        """Plays the newest trace."""
        self._show()
        return self._player

    @property
    def trace(self) -> Trace:
        """All that was predicted, as an animation."""
        return self.player.trace

    def save(self, path, **options) -> None:
        """As `Player.save`."""
        self.player.save(path, **options)

    def __repr__(self) -> str:
        # Without a digest: which epochs are kept depends on how well their maps compress.
        return f"predictions on {_pictures(self.images)} · {', '.join(self.classes)}"

    def _repr_mimebundle_(self, **kwargs):
        data, metadata = self.player._repr_mimebundle_(**kwargs)
        return data | {"text/plain": repr(self)}, metadata

    def _ipython_display_(self) -> None:
        """Shown under a name, so that at the end of the cell that trains the notebook gets the newest still: else it would keep
        the one from before the training."""
        from IPython import get_ipython
        from IPython.display import display

        data, metadata = self._repr_mimebundle_()
        self._displays.append(display(data, metadata=metadata, raw=True, display_id=True))
        shell = get_ipython()
        if shell is not None and len(self._displays) == 1:
            shell.events.register("post_run_cell", _updating(weakref.ref(self), shell))

    def _update_displays(self) -> None:
        data, metadata = self._repr_mimebundle_()
        for each in self._displays:
            each.update(data, metadata=metadata, raw=True)

    # ---- frames ---------------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self.kept: list[_Epoch] = []
        self.epochs: dict[str, list[float]] = {}
        self.losses: set[str] = set()
        self._stride = 1  # of the frames that `every` asks for, each so-many-th is kept

    def _keep(self, newest: _Epoch) -> None:
        self._taken += 1
        if self.kept and not self._stays(self.kept[-1]):
            self.kept.pop()
        self.kept.append(newest)
        if len(self.kept) > MOST_FRAMES:
            self._thin()

    def _thin(self) -> None:
        self._stride *= 2
        self.kept = [each for each in self.kept[:-1] if self._stays(each)] + self.kept[-1:]

    def _stays(self, each: _Epoch) -> bool:
        return each.epoch == 1 or each.epoch % (self.every * self._stride) == 0

    def _show(self) -> None:
        if self._shown == self._taken:
            return
        start = time.perf_counter()
        while len(self.kept) > 2 and sum(len(each.frame.png) for each in self.kept) > MOST_FRAME_BYTES:
            self._thin()
        self._player.show(self._trace())
        self._shown = self._taken
        now = time.perf_counter()
        self._next = now + (now - start) / SHARE

    def _trace(self) -> Trace:
        legend = [(name, label_colour(label)) for label, name in enumerate(self.classes)]
        if self.truth is not None and (self.truth == VOID).any():
            legend.append(("void", VOID_COLOURS[0]))
        shape = str(list(self.images.shape[:1] + self.images.shape[2:]))
        blank = Frame(_painted(torch.full_like(self.images[:, 0], VOID, dtype=torch.uint8)))
        film = Film("prediction", [blank, *(each.frame for each in self.kept)], note=shape, lossless=True, legend=legend)
        panels = [Picture("pictures", mosaic(_bytes(self.images)), note=str(list(self.images.shape))), film]
        arrows = [Arrow("network")]
        if self.truth is not None:
            panels.append(Picture("truth", _painted(self.truth), note=shape, lossless=True, legend=legend))
            arrows.append(None)
        names = [name for name, values in self.epochs.items() if np.isfinite(values).any()][:MOST_CURVES]
        if names:
            panels.append(self._curves(names))
            arrows.append(None)
        title = f"predictions on {_pictures(self.images)} while training"
        return Trace(title, panels=panels, arrows=arrows, steps=[TraceStep(FIRST), *self._steps(names)])

    def _curves(self, names: list[str]) -> Curves:
        count = max(len(values) for values in self.epochs.values())
        known = [[value for value in self.epochs[name] if np.isfinite(value)] for name in names]
        share = [name not in self.losses and min(values) >= 0 and max(values) <= 1 for name, values in zip(names, known, strict=True)]
        limits = [(0, 1) if one else (min(0.0, *values), max(values)) for one, values in zip(share, known, strict=True)]
        values = np.zeros((len(names), count))
        return Curves("training", values, names, note=f"epochs 1 to {count}", empty=True, width=7.0, limits=limits)

    def _steps(self, names: list[str]) -> list[TraceStep]:
        steps, before = [], 0
        for frame, each in enumerate(self.kept, start=NOT_YET + 1):
            points = {
                (row, epoch): self.epochs[name][epoch]
                for row, name in enumerate(names)
                for epoch in range(before, min(each.epoch, len(self.epochs[name])))
                if np.isfinite(self.epochs[name][epoch])
            }
            now = [f"{name} [{number(self.epochs[name][each.epoch - 1])}|write]" for name in names if len(self.epochs[name]) >= each.epoch]
            caption = f"After epoch {each.epoch}{': ' if now else ''}{', '.join(now)}."
            steps.append(TraceStep(caption, writes={"training": points} if points else {}, shows={"prediction": frame}))
            before = each.epoch
        return steps


def _updating(reference: weakref.ref, shell):
    """A function to call after each cell: it gives the notebook the newest still if there is a newer one, as long as there may be."""
    stills = {"of": reference()._taken}

    def update(*_) -> None:
        live = reference()
        if live is None:
            shell.events.unregister("post_run_cell", update)
        elif live._taken != stills["of"]:
            stills["of"] = live._taken
            live._update_displays()

    return update


def _predicted(model: nn.Module, images: Tensor, classes: int) -> Tensor:
    """The classes `[N, H, W]` uint8 that the model gives, on the CPU; a map of another size is enlarged or reduced as it is, in blocks."""
    one = next(model.parameters(), None)
    device, dtype = (images.device, images.dtype) if one is None else (one.device, one.dtype)
    with evaluating(model), torch.no_grad():
        output = model(images.to(device, dtype if dtype.is_floating_point else images.dtype))
    scores = output["out"] if isinstance(output, Mapping) and "out" in output else output
    if not isinstance(scores, Tensor) or scores.ndim != 4 or len(scores) != len(images):
        got = list(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"the model gives {got} for {_pictures(images)}; predictions shows class scores [N, classes, H, W]")
    if torch.isnan(scores).any():
        raise ValueError("the model's scores are NaN; lower the learning rate, and look at the loss of the first steps")
    if scores.shape[1] > classes:
        raise ValueError(f"the model gives scores for {scores.shape[1]} classes, and classes names {classes}")
    labels = (scores > 0).long() if scores.shape[1] == 1 else scores.argmax(1, keepdim=True)  # [N, 1, h, w]
    labels = nn.functional.interpolate(labels.float(), images.shape[-2:], mode="nearest-exact")  # [N, 1, H, W]
    return labels[:, 0].to("cpu", torch.uint8)  # [N, H, W]


def _painted(labels: Tensor) -> np.ndarray:
    """Label maps `[N, H, W]` as one picture `[h, w, 3]` uint8."""
    return mosaic(colour_labels(labels.long()).permute(0, 2, 3, 1).numpy(), hard=True)


def _pictures(images: Tensor) -> str:
    return f"{len(images)} picture{'s' if len(images) > 1 else ''}"


def _bytes(images: Tensor) -> np.ndarray:
    return (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()  # [N, H, W, 3]


def _numbers(history) -> dict[str, list[float]]:
    epochs = getattr(history, "epochs", history)
    if not isinstance(epochs, Mapping):
        raise TypeError(
            f"history is {type(history).__name__}; predictions reads a course.training.History or {{name: one number an epoch}}"
        )
    return {name: [float(value) for value in values] for name, values in epochs.items()}


def _images(images) -> Tensor:
    images = as_tensor(images, name="images")
    images = images[None] if images.ndim == 3 else images
    shape = list(images.shape)
    if images.ndim != 4 or shape[1] != 3 or 0 in shape:
        raise ValueError(f"images has the shape {shape}; predictions shows pictures [N, 3, H, W], RGB")
    if shape[0] > MOST_PICTURES:
        raise ValueError(f"images holds {shape[0]} pictures; predictions shows at most {MOST_PICTURES}: pass images[:{MOST_PICTURES}]")
    if not torch.isfinite(images).all() or images.min() < 0 or images.max() > 1:
        raise ValueError("images has values outside 0…1; divide 8-bit pixels by 255")
    return images.clone()


def _truth(truth, images: Tensor, classes: int) -> Tensor:
    truth = torch.as_tensor(truth).detach().cpu()
    truth = truth[None] if truth.ndim == 2 else truth
    if truth.is_floating_point() or truth.dtype == torch.bool or truth.shape != images[:, 0].shape:
        raise ValueError(
            f"truth is {str(truth.dtype).removeprefix('torch.')} {list(truth.shape)}; it takes whole numbers {list(images[:, 0].shape)}"
        )
    wrong = truth[(truth != VOID) & ((truth < 0) | (truth >= classes))]
    if wrong.numel():
        raise ValueError(f"truth has the class {int(wrong[0])}, and classes names 0 to {classes - 1} (255 is void)")
    return truth.clone()


def _classes(classes) -> tuple[str, ...]:
    if isinstance(classes, str) or not all(isinstance(name, str) for name in classes) or not 2 <= len(classes) <= VOID:
        raise ValueError(f"classes is {classes!r}; it takes the names of at least two classes, the background's first")
    return tuple(classes)
