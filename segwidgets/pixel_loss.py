"""`segwidgets.pixel_loss`: the cross-entropy of a picture of a few pixels, from scores to one number.

The picture is laid out as a table, a row a pixel and a column a class, as one would do it on paper and as the code does it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from course.ops.cross_entropy import pixel_cross_entropy, pixel_cross_entropy_steps
from course.ops.labels import colour_labels, label_colour
from course.ops.step import Step, number, place
from segwidgets.inputs import as_tensor, check_keywords
from segwidgets.panels import Arrow, Grid, Picture
from segwidgets.player import Player
from segwidgets.students import called
from segwidgets.trace import Cell, Trace, TraceStep

MOST_SIDE, MOST_CLASSES = 4, 8


def pixel_loss(logits, target, *, classes=None, ignore_index=255, fn=None, **unknown) -> Player:
    """Cross-entropy of every pixel and its mean, played pixel by pixel.

    Args:
        logits: a score for each class and pixel, `[K, H, W]` or `[1, K, H, W]`, finite; at most 8 classes and 4 × 4 pixels.
        target: the true classes, `[H, W]` or `[1, H, W]`, whole numbers 0 to K − 1, or `ignore_index`.
        classes: K names, for the legend.
        ignore_index: the label of void, which counts nowhere.
        fn: your own function with the arguments of `course.ops.cross_entropy.pixel_cross_entropy`; its number is shown beside, and
            pixels that it gets wrong are named.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, pixel_loss)
    logits, target = _inputs(logits, target)
    mean = pixel_cross_entropy(logits, target, ignore_index)
    if mean.isnan():
        raise ValueError(f"target is {ignore_index}, void, in every pixel, and no losses have no mean; pass a pixel that counts")
    names = _names(classes, len(logits))
    table = _Table(logits, target, ignore_index)
    operation = [table.step(step) for step in pixel_cross_entropy_steps(logits, target, ignore_index)]
    steps = [TraceStep(_first_sentence(len(logits)), marks=table.truth()), *operation]

    shape = f"[{', '.join(map(str, logits.shape))}]"
    panels = [
        Grid("scores", table.rows, note=shape),
        Grid("probabilities", table.rows, note=shape, empty=True),
        _truth_panel(target, names, ignore_index),
        Grid("loss", torch.zeros(target.shape).numpy(), note=str(list(target.shape)), empty=True),
        Grid("mean", mean.reshape(1, 1).numpy(), note="[ ]", empty=True),
    ]
    arrows = [Arrow("softmax"), None, Arrow("−log of the true one"), Arrow("mean")]
    if fn is not None:
        theirs = _number_of(fn, logits, target, ignore_index)
        panels.append(Grid("yours", torch.tensor([[theirs]]).numpy(), note="[ ]", empty=True))
        arrows.append(None)
        steps.append(_verdict(fn, theirs, mean.item(), logits, target, ignore_index))
    title = f"pixel cross-entropy of {target.shape[0]}×{target.shape[1]} pixels and {len(logits)} classes"
    return Player(Trace(title, panels=panels, arrows=arrows, steps=steps))


class _Table:
    """Where the numbers of a picture `[K, H, W]` stand in a table: pixel (y, x) in row y · W + x, class k in column k."""

    def __init__(self, logits: Tensor, target: Tensor, ignore_index: int):
        self.width, self.target, self.void = target.shape[1], target, ignore_index
        self.rows = logits.flatten(1).T.numpy()  # [H * W, K]

    def cell(self, index: tuple[int, int, int]) -> Cell:
        k, y, x = index
        return (y * self.width + x, k)

    def truth(self) -> dict:
        """The true class of each pixel, outlined in its row."""
        labels = enumerate(self.target.flatten().tolist())
        return {"scores": {"truth": [(row, label) for row, label in labels if label != self.void]}}

    def step(self, step: Step) -> TraceStep:
        """A step of the operation as one of the trace. Its arithmetic is that of the whole pixel, and hovering any of its cells shows it.

        The exponentials stand where the probabilities will: a panel of their own would leave no number large enough to read.
        """
        panels = {"logits": "scores", "exponentials": "probabilities", "probabilities": "probabilities"}
        marks: dict = {panels[name]: {"read": [self.cell(i) for i in cells]} for name, cells in step.reads.items() if name in panels}
        writes = {panels[name]: {self.cell(i): v for i, v in cells.items()} for name, cells in step.writes.items() if name in panels}
        if "loss" in step.reads:
            marks["loss"] = {"read": list(step.reads["loss"])}
        if "loss" in step.writes:
            writes["loss"] = dict(step.writes["loss"])
        if "mean" in step.writes:
            writes["mean"] = {(0, 0): step.writes["mean"][()]}
        for panel, cells in writes.items():
            marks[panel] = {"write": list(cells)}
        sentence = step.sentence
        if "target" in step.reads:
            marks = self.judged(step, marks)
            sentence = sentence.replace("|read]", "|truth]" if writes else "|ignored]")
        return TraceStep(sentence, marks, writes, arithmetic=step.arithmetic)

    def judged(self, step: Step, marks: dict) -> dict:
        """The marks of a step that looks at a pixel's true class, or finds it void."""
        ((y, x),) = step.reads["target"]
        box = [(x, y, x + 1, y + 1)]
        if step.writes:
            return {**marks, "truth": {"truth": box}, "probabilities": {"truth": marks["probabilities"]["read"]}}
        row = [(y * self.width + x, k) for k in range(self.rows.shape[1])]
        return {"truth": {"ignored": box}, "scores": {"ignored": row}, "probabilities": {"ignored": row}, "loss": {"ignored": [(y, x)]}}


def _first_sentence(classes: int) -> str:
    return (
        f"A row is a pixel, a column a class: {classes} scores for each pixel, that of the [true class|truth] outlined. "
        "How wrong are they, in one number?"
    )


def _truth_panel(target: Tensor, names: Sequence[str], void: int) -> Picture:
    colours = colour_labels(target.long(), void).movedim(0, -1).contiguous().numpy()  # [H, W, 3]
    legend = [(f"{k} {name}".strip(), label_colour(k)) for k, name in enumerate(names)]
    return Picture("truth", colours, note=str(list(target.shape)), width=float(target.shape[1]), lossless=True, legend=legend)


def _inputs(logits, target) -> tuple[Tensor, Tensor]:
    """`[K, H, W]` float32 and `[H, W]` int64, small enough to read."""
    scores = as_tensor(logits, name="logits")
    labels = target.detach().cpu() if isinstance(target, Tensor) else as_tensor(target, name="target")
    scores = scores[0] if scores.ndim == 4 and len(scores) == 1 else scores
    labels = labels[0] if labels.ndim == 3 and len(labels) == 1 else labels
    if labels.is_floating_point() and torch.isfinite(labels).all() and labels.eq(labels.round()).all():
        labels = labels.long()  # a nested list of whole numbers
    if scores.ndim != 3 or not scores.numel():
        raise ValueError(f"logits has the shape {list(scores.shape)}; this widget shows one picture's scores, [K, H, W]")
    classes, height, width = scores.shape
    if max(height, width) > MOST_SIDE or classes > MOST_CLASSES:
        raise ValueError(
            f"logits has {classes} classes and {height}×{width} pixels; this widget shows {MOST_CLASSES} classes and "
            f"{MOST_SIDE}×{MOST_SIDE} pixels at most: pass a crop, logits[:, :4, :4]"
        )
    if not torch.isfinite(scores).all():
        raise ValueError("logits has NaN or infinite values; a widget shows finite numbers only")
    return scores, labels


def _names(classes, count: int) -> Sequence[str]:
    if classes is None:
        return [""] * count
    if isinstance(classes, str) or len(classes) != count:
        raise ValueError(f"classes is {classes!r}; it takes {count} names, one for each class of logits")
    return [str(name) for name in classes]


# ---- the student's own function -----------------------------------------------------------------------------------------


def _number_of(fn: Callable, logits: Tensor, target: Tensor, ignore_index: int) -> float:
    """What `fn` returns for one picture `[1, K, H, W]`, as a number."""
    name = getattr(fn, "__name__", "your function")
    passed = {"logits": logits[None].clone(), "target": target[None].clone(), "ignore_index": ignore_index}
    got = called(fn, passed, "logits [1, K, H, W] and target [1, H, W]")
    if isinstance(got, Tensor) and got.numel() == 1 and got.is_floating_point() or isinstance(got, float):
        if not math.isfinite(got):
            raise ValueError(f"{name} returned {number(float(got))}; only finite numbers can be shown")
        return float(got)
    what = f"the shape {list(got.shape)}" if isinstance(got, Tensor) else type(got).__name__
    raise ValueError(f"{name} returned {what}, and one number, the mean over the pixels, was expected")


def _verdict(fn: Callable, theirs: float, mean: float, logits: Tensor, target: Tensor, ignore_index: int) -> TraceStep:
    """The last step: the student's number, and, where it is wrong, a pixel on which it is wrong, too, when it is alone."""
    if math.isclose(theirs, mean, rel_tol=1e-4, abs_tol=1e-5):
        return TraceStep(f"Yours is [{number(theirs)}|write], too.", {"yours": {"write": [(0, 0)]}}, {"yours": {(0, 0): theirs}})
    caption = f"Yours is [{number(theirs)}|wrong], where [{number(mean)}|write] belongs"
    marks = {"yours": {"wrong": [(0, 0)]}, "mean": {"write": [(0, 0)]}}
    for y, x in (target != ignore_index).nonzero().tolist():
        one, label = logits[:, y : y + 1, x : x + 1], target[y : y + 1, x : x + 1]
        right, alone = pixel_cross_entropy(one, label).item(), _number_of(fn, one, label, ignore_index)
        if not math.isclose(alone, right, rel_tol=1e-4, abs_tol=1e-5):
            caption += f": the pixel at {place((y, x))} alone gives [{number(alone)}|wrong] instead of [{number(right)}|write]."
            marks["loss"] = {"wrong": [(y, x)]}
            break
    else:
        caption += ", though each pixel alone comes out right: look at how they are put together."
    return TraceStep(caption, marks, {"yours": {(0, 0): theirs}})
