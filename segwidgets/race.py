"""`segwidgets.race`: one photograph given to several detectors, one after another, each timed; and what each of them found.

Fair times: never two at once; a warm-up call that does not count, since the first call of a network is slower; of quick ones the median of
several calls. Beside the measured times stand those that the papers report, on the machines of their day.
"""

from __future__ import annotations

import math
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from course.ops.boxes import clip_boxes
from course.ops.labels import label_colour
from course.ops.step import number
from segwidgets.boxes import Boxes, BoxLook
from segwidgets.cells import class_names, counted, listed
from segwidgets.inputs import as_tensor, check_keywords, pixels, shrunk
from segwidgets.live import Live, Press, Slider, Upload
from segwidgets.modes import evaluating
from segwidgets.panels import Bars, Film, Formula, Panel, Picture
from segwidgets.trace import Trace, TraceStep

MOST_ENTRANTS = 12
MOST_LETTERS = 20  # of an entrant's name
MOST_DRAWN = 100  # detections of an entrant
MOST_LABELLED = 4
QUICK, CALLS = 0.2, 5  # who takes less than so many seconds is called so often
MOST_STEPS = 30  # of the replay: with more of them a step passes before its sentence is read
MOMENTS = [base * 10.0**power for power in range(-3, 4) for base in (1, 2, 5)]  # seconds between two steps, the smallest that will do
PICTURE, TIMES, PUBLISHED, RESULT = 7.0, 17.0, 12.0, 9.0  # units: how wide the panels are
IN_A_ROW = 4  # results
RESULT_SIDE = 240  # pixels of the longer side of a result
TINT, PALE = 0.5, 0.25  # opacity of a mask; contrast of a photograph that nobody has answered yet
LINE_LETTERS, MOST_LINES = 31, 8  # of the sentence that stands in place of a result
LONGEST_REASON = 200


def race(
    entrants: Mapping[str, Callable],
    image,
    *,
    classes: Sequence[str] | None = None,
    score_threshold: float = 0.5,
    historic: Mapping[str, float] | None = None,
    **unknown,
) -> Race:
    """The photograph goes to every entrant, one after another: how long each took, and what it found.

    The race is run at once, with a progress bar if it takes longer than two seconds; the animation replays it. Under it one can choose the
    score from which objects are drawn and counted (nothing runs again for that), race again, and race over a picture of one's own, which
    is made no larger than `image`. What is raced in the kernel is seen as it happens. An entrant that fails is told of in its place, and
    the race goes on.

    Args:
        entrants: name → `model([image])`, which gives `[{"boxes": [D, 4], "labels": [D], "scores": [D]}]`, boxes in pixels of the image,
            and maybe "masks" `[D, H, W]` or `[D, 1, H, W]`, bool or probabilities; at most 12, in the order in which they start. A module
            gets the image on its device and in its precision, runs in evaluation mode, and is then in the mode in which it was.
        image: `[3, H, W]`, 0…1.
        classes: the names of the classes from label 1 on, with or without the background's.
        score_threshold: objects from this score on are drawn and counted, where the slider stands first.
        historic: name → seconds a picture as published, for those entrants that have one.

    Returns: a Live widget; `.seconds` and `.found` are what was measured and answered.

    Raises:
        TypeError, ValueError: one sentence saying what can't be raced and what can.
        KeyboardInterrupt: the race was interrupted; the models are as they were.
    """
    check_keywords(unknown, race)
    entrants = _entrants(entrants)
    names = _names(classes)
    published = _published(historic, entrants)
    threshold = Slider("score_threshold", 0.0, 1.0, step=0.05, value=score_threshold, label="found from score")
    heats = _Heats(entrants, image)
    _watched(heats.first)
    settings = [threshold, Upload("picture", label="Your picture"), Press("again", label="Race again")]
    return Race(heats, lambda heat, threshold: _Story(heat, threshold, names, published).trace(), settings)


class Race(Live):
    """A race, as `segwidgets.race` makes it."""

    def __init__(self, heats: _Heats, told: Callable[[_Heat, float], Trace], settings: Sequence):
        self._heats = heats

        def compute(score_threshold: float, picture: Tensor | None, again: int) -> Iterator[Trace]:
            heat = heats.of(picture, again)
            try:
                for _ in heat.run():
                    yield told(heat, score_threshold)
            except KeyboardInterrupt:
                heats.forget(heat)
                raise
            yield told(heat, score_threshold)

        super().__init__(compute, settings)

    @property
    def _heat(self) -> _Heat:
        return self._heats.of(self.values["picture"], self.values["again"])

    @property
    def seconds(self) -> dict[str, float]:
        """Name → seconds a picture, of those that are through, in the race that is shown."""
        return {title: result.seconds for title, result in self._heat.results.items() if isinstance(result, _Result)}

    @property
    def found(self) -> dict[str, dict[str, Tensor]]:
        """Name → boxes `[D, 4]`, labels `[D]`, scores `[D]`, and "masks" `[D, H, W]` bool if there are any, of all scores, on the CPU."""
        return {title: dict(result.found) for title, result in self._heat.results.items() if isinstance(result, _Result)}


# ---- racing -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Result:
    """What an entrant answered, and the median of `calls` times."""

    found: dict[str, Tensor]
    seconds: float
    calls: int


@dataclass(frozen=True)
class _Now:
    """Who is running: in its warm-up call, or, with the seconds that that took, in one that is timed."""

    title: str
    warm: float | None = None


class _Heat:
    """One picture, `[3, H, W]`, and what each entrant has said of it so far: a `_Result`, or a sentence saying why there is none."""

    def __init__(self, entrants: Mapping[str, Callable], image):
        self.pixels = pixels(image)  # [H, W, 3]
        self.size = self.pixels.shape[:2]
        self.image = as_tensor(image, name="image").reshape(3, *self.size).clone()
        self.entrants = entrants
        self.results: dict[str, _Result | str] = {}
        self.now: _Now | None = None

    def run(self) -> Iterator[None]:
        """Gives every entrant its turn that has not had it; yields whenever there is something new to be seen.

        Whoever stops in between can go on later: an entrant that was not through starts anew.
        """
        try:
            for title in self.entrants:
                if title not in self.results:
                    self.now = _Now(title)
                    yield
                    yield from self._turn(title)
        finally:
            self.now = None

    def _turn(self, title: str) -> Iterator[None]:
        try:
            _, warm = self._call(title)
            self.now = _Now(title, warm)
            if warm >= QUICK:
                yield
            answer, seconds = self._call(title)
            several = [seconds]
            while max(several) < QUICK and len(several) < CALLS:
                answer, seconds = self._call(title)
                several.append(seconds)
            self.results[title] = _Result(_checked(answer, self.size), statistics.median(several), len(several))
        except Exception as failed:  # whatever it is, the race goes on
            self.results[title] = _reason(failed)

    def _call(self, title: str) -> tuple[object, float]:
        """The entrant's answer and the seconds that it took. It gets a copy: one that paints on its picture does so for itself."""
        entrant, image = self.entrants[title], self.image.clone()
        module = isinstance(entrant, nn.Module)
        if module:
            weight = next((each for each in entrant.parameters() if each.is_floating_point()), image)
            image = image.to(weight.device, weight.dtype)
        with evaluating(entrant) if module else nullcontext(), torch.no_grad():
            start = _clock()
            answer = entrant([image])
            return answer, _clock() - start


class _Heats:
    """The races that have been run: the first, and the latest over another picture or over again."""

    def __init__(self, entrants: Mapping[str, Callable], image):
        self.first = _Heat(entrants, image)
        self.latest: tuple[Tensor | None, int, _Heat] | None = None

    def of(self, picture: Tensor | None, again: int) -> _Heat:
        if picture is None and again == 0:
            return self.first
        if self.latest is None or self.latest[0] is not picture or self.latest[1] != again:
            self.latest = (picture, again, _Heat(self.first.entrants, self.first.image if picture is None else self._fitted(picture)))
        return self.latest[2]

    def forget(self, heat: _Heat) -> None:
        if self.latest is not None and self.latest[2] is heat:
            self.latest = None

    def _fitted(self, picture: Tensor) -> Tensor:
        """No larger than the first picture, for which the entrants were chosen: a window every 8 pixels takes hours on a photograph."""
        small, _ = shrunk(pixels(picture, name="picture"), max(self.first.size))
        return torch.from_numpy(small.copy()).permute(2, 0, 1).float() / 255  # [3, h, w]


def _watched(heat: _Heat) -> None:
    from tqdm.auto import tqdm

    from course.progress import watched

    with tqdm(total=len(heat.entrants), unit="entrant", delay=2, disable=not watched()) as bar:
        for _ in heat.run():
            bar.set_description(heat.now.title, refresh=False)
            bar.update(len(heat.results) - bar.n)
        bar.update(len(heat.results) - bar.n)


def _clock() -> float:
    """Seconds, when all that was asked of a GPU is done: it computes on while Python is already elsewhere."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()
    return time.perf_counter()


def _checked(answer, size: tuple[int, int]) -> dict[str, Tensor]:
    """The detections as tensors on the CPU, best first."""
    if not isinstance(answer, (list, tuple)) or len(answer) != 1 or not isinstance(answer[0], Mapping):
        got = f"a list of {len(answer)}" if isinstance(answer, (list, tuple)) and len(answer) != 1 else _kind(answer)
        raise ValueError(f"it answered with {got}; a detector gives a list with one dict")
    missing = [name for name in ("boxes", "labels", "scores") if not isinstance(answer[0].get(name), Tensor)]
    if missing:
        raise ValueError(f"its answer has no tensor {listed([repr(name) for name in missing])}; boxes, labels and scores are needed")
    boxes, labels, scores = (answer[0][name].detach().cpu() for name in ("boxes", "labels", "scores"))
    if boxes.ndim != 2 or boxes.shape[1] != 4 or labels.shape != scores.shape or labels.shape != boxes.shape[:1]:
        shapes = [list(each.shape) for each in (boxes, labels, scores)]
        raise ValueError(f"its boxes, labels and scores have the shapes {listed(list(map(str, shapes)))}; [D, 4], [D] and [D] are needed")
    boxes, scores = boxes.float(), scores.float()
    for name, each in (("boxes", boxes), ("scores", scores)):
        if not torch.isfinite(each).all():
            raise ValueError(f"its {name} have NaN or infinite values; only finite ones can be shown")
    order = scores.argsort(descending=True, stable=True)
    found = {"boxes": boxes[order], "labels": labels.long()[order], "scores": scores[order]}
    masks = answer[0].get("masks")
    return found if masks is None else found | {"masks": _masks(masks, len(boxes), size)[order]}


def _masks(masks, count: int, size: tuple[int, int]) -> Tensor:
    masks = masks.detach().cpu() if isinstance(masks, Tensor) else torch.as_tensor(masks)
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    if masks.shape != (count, *size):
        raise ValueError(f"its masks have the shape {list(masks.shape)}; [{count}, {size[0]}, {size[1]}] is needed: a mask of each box")
    return masks if masks.dtype == torch.bool else masks > 0.5  # [D, H, W]


def _reason(failed: Exception) -> str:
    said = str(failed).strip().partition("\n")[0].replace("|", "/")  # which is no mark of a role
    said = said if isinstance(failed, (TypeError, ValueError)) and said else f"{type(failed).__name__}: {said}".rstrip(": ")
    return said if len(said) <= LONGEST_REASON else f"{said[: LONGEST_REASON - 1]}…"


# ---- telling ----------------------------------------------------------------------------------------------------------------


class _Story:
    """The animation of a race, as far as it has come."""

    def __init__(self, heat: _Heat, threshold: float, classes: list[str], published: Mapping[str, float]):
        self.heat, self.threshold, self.classes, self.published = heat, threshold, classes, published
        self.titles = list(heat.entrants)
        self.small, self.factor = shrunk(heat.pixels, RESULT_SIDE)
        self.through = {title: result for title, result in heat.results.items() if isinstance(result, _Result)}
        self.seconds = {title: _rounded(result.seconds) for title, result in self.through.items()}
        self.reached = {title: int((result.found["scores"] >= threshold).sum()) for title, result in self.through.items()}

    def trace(self) -> Trace:
        heat = self.heat
        panels: list[Panel] = [
            Picture("photograph", shrunk(heat.pixels)[0], note=f"[3, {heat.size[0]}, {heat.size[1]}]", width=PICTURE),
            self._bars("seconds", "measured", "seconds a picture", TIMES, self.seconds),
        ]
        if self.published:
            note = "seconds, machines of then"
            panels.append(self._bars("published", "in the papers", note, PUBLISHED, self.published, role="suppressed"))
        panels += [self._result(title) for title in self.titles]
        steps = [self._first()]
        for title in self.titles:
            steps += self._turn(title)
        if heat.now is None and self.through:
            steps.append(self._last())
        return Trace(
            f"race of {counted(len(self.titles), 'detector')}", panels=panels, steps=steps, rows=1 + math.ceil(len(self.titles) / IN_A_ROW)
        )

    # ---- panels ---------------------------------------------------------------------------------------------------------

    def _bars(self, id: str, title: str, note: str, width: float, values: Mapping[str, float], role: str = "write") -> Bars:
        return Bars(id, [values.get(each, 0.0) for each in self.titles], self.titles, title, note, True, width, role)

    def _result(self, title: str) -> Panel:
        """Two frames: nobody has answered yet, and the answer. Or why there is none."""
        result = self.heat.results.get(title)
        if isinstance(result, str):
            lines = textwrap.wrap(result, LINE_LETTERS, max_lines=MOST_LINES, placeholder=" …")
            return Formula(_id(title), lines, title, "did not finish", RESULT)
        grey = self.small.mean(2, keepdims=True)
        pale = np.repeat(PALE * grey + (1 - PALE) * 128, 3, 2).round().astype(np.uint8)
        found = result.found if result else {"boxes": torch.zeros(0, 4)}
        boxes = (clip_boxes(found["boxes"][:MOST_DRAWN], self.heat.size) * self.factor).numpy()
        return Film(_id(title), [pale, self._painted(found)], title, width=RESULT, boxes=Boxes(boxes, None, measured=True))

    def _painted(self, found: Mapping[str, Tensor]) -> np.ndarray:
        """The photograph, under the masks of what was found, the best on top."""
        sheet = self.small
        if "masks" not in found:
            return sheet
        from PIL import Image

        height, width = sheet.shape[:2]
        for d in reversed([d for d in range(min(len(found["masks"]), MOST_DRAWN)) if found["scores"][d] >= self.threshold]):
            mask = Image.fromarray(found["masks"][d].numpy().astype(np.uint8) * 255).resize((width, height), Image.Resampling.BILINEAR)
            part = TINT * (np.asarray(mask)[..., None] > 127)  # [h, w, 1]
            sheet = ((1 - part) * sheet + part * np.array(label_colour(1 + d))).round().astype(np.uint8)
        return sheet

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _first(self) -> TraceStep:
        height, width = self.heat.size
        return TraceStep(
            f"[One photograph|read], [3, {height}, {width}], for {counted(len(self.titles), 'detector')}: one after another, never two at "
            f"once. Each has a warm-up call, which does not count; who takes less than {number(QUICK)} s is then timed {CALLS} times, and "
            "the median counts.",
            writes={"published": {(self.titles.index(title), 0): seconds for title, seconds in self.published.items()}}
            if self.published
            else {},
        )

    def _turn(self, title: str) -> list[TraceStep]:
        """What is known of an entrant's turn: all, that it runs, or nothing yet."""
        i, result, now = self.titles.index(title), self.heat.results.get(title), self.heat.now
        running = {"seconds": {"read": [(i, 0)]}}
        if isinstance(result, str):
            said = result if result.endswith((".", "!", "?", "…")) else f"{result}."
            return [TraceStep(f"[{title}|wrong] did not finish: {said}", {"seconds": {"wrong": [(i, 0)]}})]
        if result is not None:
            start = TraceStep(f"[{title}|read] starts. After its warm-up call it is timed {result.calls}×.", running)
            return [start, *self._moments(title, i), self._finish(title, i, result)]
        if now is None or now.title != title:
            return []
        if now.warm is None:
            return [TraceStep(f"[{title}|read] has its warm-up call, which does not count. Its bar stands still meanwhile.", running)]
        grows = {"writes": {"seconds": {(i, 0): now.warm}}, "grows": {"seconds": max(now.warm, 0.001)}}
        return [
            TraceStep(f"[{title}|read] is running, and is timed. Its warm-up call took {number(_rounded(now.warm))} s.", running, **grows)
        ]

    def _moments(self, title: str, i: int) -> list[TraceStep]:
        """Its bar grows by the same number of seconds from step to step, whoever runs."""
        count = math.ceil(round(self.seconds[title] / self._apart, 6)) - 1
        return [
            TraceStep(
                f"[{title}|read] has been running for [{number(round(k * self._apart, 6))} s|write].",
                {"seconds": {"read": [(i, 0)]}},
                {"seconds": {(i, 0): k * self._apart}},
                measured=True,
            )
            for k in range(1, count + 1)
        ]

    @property
    def _apart(self) -> float:
        """Seconds between two of these steps."""
        seconds = self.seconds.values()
        room = max(8, MOST_STEPS - 2 - 2 * len(self.titles))
        return next((apart for apart in MOMENTS if sum(each / apart for each in seconds) <= room), max(seconds))

    def _finish(self, title: str, i: int, result: _Result) -> TraceStep:
        reached, found, seconds = self.reached[title], result.found, self.seconds[title]
        drawn = min(reached, MOST_DRAWN)
        said = [f"{self._class_of(label)} {number(round(score, 3))}" for label, score in zip(*self._best(found, reached), strict=True)]
        looks = {d: BoxLook("write", self._class_of(int(found["labels"][d])) if d < MOST_LABELLED else "") for d in range(drawn)}
        few = f" Drawn: the best {drawn}." if drawn < reached else ""
        return TraceStep(
            f"[{title}|chosen] is through after [{number(seconds)} s|write], and found [{counted(reached, 'object')}|write] with a "
            f"score of at least {number(self.threshold)}.{few}",
            {"seconds": {"chosen": [(i, 0)]}},
            {"seconds": {(i, 0): seconds}},
            shows={_id(title): 1},
            notes={_id(title): self._note(title)},
            boxes={_id(title): looks} if looks else {},
            arithmetic=", ".join(said) + (f" and {reached - len(said)} more" if reached > len(said) else ""),
        )

    def _best(self, found: Mapping[str, Tensor], reached: int) -> tuple[list[int], list[float]]:
        first = min(reached, 2 * MOST_LABELLED)
        return found["labels"][:first].tolist(), found["scores"][:first].tolist()

    def _last(self) -> TraceStep:
        """Short bars look alike: under each name stands how many times as long as the fastest it took."""
        seconds = self.seconds
        fastest, *others = sorted(seconds, key=seconds.get)
        others = others if seconds[fastest] else []  # less than the clock's resolution
        times = {title: number(_rounded(seconds[title] / seconds[fastest])) for title in others}
        compared = f', {times[others[-1]]} times as fast as "{others[-1]}"' if others and seconds[others[-1]] > seconds[fastest] else ""
        return TraceStep(
            f"All are through. The fastest: [{fastest}|chosen] with [{number(seconds[fastest])} s|write]{compared}. {self._counts()}",
            {"seconds": {"chosen": [(self.titles.index(fastest), 0)]}},
            notes={_id(title): f"{self._note(title)}, {times[title]} ×" for title in others},
            measured=True,
        )

    def _counts(self) -> str:
        fewest, most = min(self.reached.values()), max(self.reached.values())
        if fewest == most:
            return f"{'It' if len(self.reached) == 1 else 'Each'} found {counted(most, 'object')}."
        few, many = (listed([title for title, each in self.reached.items() if each == count], 3) for count in (fewest, most))
        return f"Found: from {counted(fewest, 'object')} ({few}) to {most} ({many})."

    def _note(self, title: str) -> str:
        return f"{counted(self.reached[title], 'object')}, {number(self.seconds[title])} s"

    def _class_of(self, label: int) -> str:
        return self.classes[label - 1] if 1 <= label <= len(self.classes) else f"class {label}"


def _rounded(measured: float) -> float:
    """To two digits: a third one differs from race to race."""
    return float(f"{measured:.2g}")


def _id(title: str) -> str:
    return f"result of {title}"


# ---- what is accepted -------------------------------------------------------------------------------------------------------


def _entrants(entrants) -> dict[str, Callable]:
    if not isinstance(entrants, Mapping):
        raise TypeError(f"entrants is {_kind(entrants)}; a race takes a dict, name → model([image])")
    if not 1 <= len(entrants) <= MOST_ENTRANTS:
        raise ValueError(f"there are {len(entrants)} entrants; a race takes 1 to {MOST_ENTRANTS}")
    for title, entrant in entrants.items():
        if not isinstance(title, str) or not 1 <= len(title.strip()) <= MOST_LETTERS or set(title) & set("[]|"):
            raise ValueError(f"an entrant is named {title!r}; it takes 1 to {MOST_LETTERS} letters, none of them [, ] or |")
        if not callable(entrant):
            raise TypeError(f"the entrant {title!r} is {_kind(entrant)}, which cannot be called; it takes a model: model([image]) → [dict]")
    return dict(entrants)


def _names(classes) -> list[str]:
    if classes is None:
        return []
    names = class_names(classes)
    return names[1:] if classes[0].strip("_") == "background" else names


def _published(historic, entrants: Mapping[str, Callable]) -> dict[str, float]:
    if historic is None:
        return {}
    if not isinstance(historic, Mapping):
        raise TypeError(f"historic is {_kind(historic)}; it takes a dict, name → seconds a picture")
    for title, seconds in historic.items():
        if title not in entrants:
            raise ValueError(f"historic has {title!r}, which does not race; the entrants are {', '.join(map(repr, entrants))}")
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
            raise ValueError(f"historic has {seconds!r} for {title!r}; it takes the seconds that a picture took, above 0")
    return {title: float(seconds) for title, seconds in historic.items()}


def _kind(thing) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"
