"""`segwidgets.grid_predictions`: what YOLO says about a picture, cell by cell, and how detections come of it. Click a cell to read it.

J. Redmon, S. Divvala, R. Girshick and A. Farhadi, "You Only Look Once", 2015, arXiv:1506.02640, section 2 and figure 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from course.ops.boxes import box_area, box_iou, clip_boxes, cxcywh_to_xyxy, xyxy_to_cxcywh
from course.ops.labels import label_colour
from course.ops.nms import batched_nms
from course.ops.step import listing, number
from segwidgets.boxes import Boxes, BoxLook
from segwidgets.cells import CellSheet, Objects, check_grid, class_names, counted, first_of_each, listed, place_of
from segwidgets.inputs import as_tensor, check_keywords
from segwidgets.live import Live, PickCell, Slider
from segwidgets.panels import Arrow, Bars, FieldBoxes, Film, Grid
from segwidgets.roles import ROLES
from segwidgets.trace import Cell, Trace, TraceStep

MOST_BOXES, MOST_CLASSES = 5, 20  # of a cell
MOST_BARS = 8  # classes whose probabilities are shown: of more the likeliest
MOST_LABELLED = 10  # of more boxes the labels would cover each other
GOOD = 0.5  # an IoU from which on an object counts as found
TINT = 0.55  # opacity of a class over its cell
DIM = 0.45  # how much of the photograph is left under boxes that are told by their colour
THICKEST = 7.0  # line of a box with confidence 1, in pixels of the photograph as shown
ROUNDING = 1e-4  # a share may be so far beyond 0 or 1 where it was computed in a coarse precision
GRIDDED, CLASSES, EVERY_BOX = range(3)  # frames of the photograph
LEGEND = [
    (name, ROLES[role].light)
    for name, role in (("predicted box", "write"), ("stays", "chosen"), ("goes", "suppressed"), ("object", "truth"))
]


def grid_predictions(
    image,
    predict: Tensor | Callable,
    *,
    classes: Sequence[str],
    truth=None,
    targets=None,
    score_threshold: float = 0.2,
    nms_threshold: float = 0.5,
    cell: Cell | None = None,
    **unknown,
) -> Live:
    """YOLO's grid on a picture, played: each cell's class, all boxes by their confidence, those that score enough, and what NMS leaves.

    A click on the picture picks the cell whose numbers are read out; the thresholds have sliders. While the pointer is on a cell of the
    map of scores, the best box of that cell is marked and its numbers are told. A box counts for the most likely class of its cell only.

    Args:
        image: `[3, H, W]`, 0…1.
        predict: `[S, S, 5B + C]`, row first: B times (x, y, w, h, confidence), then C probabilities. x, y are parts of the cell, w, h of
            the image; all from 0 to 1. Or a function of the image that returns it, which is called once.
        classes: the C names, without the background.
        truth: `{"boxes": [T, 4], "labels": [T]}`, labels from 1 on, or boxes alone; x1, y1, x2, y2 in pixels of the image, at most 12.
        targets: which cell answers for which object of `truth`: its `objects` int64 `[S, S]` are their indices, −1 where there is none, as
            `course.models.yolo.encode_targets` gives them. By default the first object whose centre lies in a cell.
        score_threshold, nms_threshold: where the sliders stand first. A box stays if confidence × probability is above the first.
        cell: (row, column) that is read out first; by default that of the highest score.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
    """
    check_keywords(unknown, grid_predictions)
    classes = class_names(classes)
    said = _Said.of(image, predict, classes)
    objects = None if truth is None else Objects.of(truth, said.sheet, classes)
    answering = _answering(targets, objects, said.sheet)

    def detected(cell: Cell, score_threshold: float, nms_threshold: float) -> Trace:
        return _Story(said, objects, answering, cell, score_threshold, nms_threshold).trace()

    settings = [
        PickCell("cell", "photograph", said.grid, said.grid, value=said.best_cell if cell is None else cell, label="cell"),
        Slider("score_threshold", 0.0, 1.0, step=0.05, value=score_threshold, label="score above"),
        Slider("nms_threshold", 0.0, 1.0, step=0.05, value=nms_threshold, label="NMS threshold"),
    ]
    return Live(detected, settings)


@dataclass(frozen=True)
class _Said:
    """What the network said of all cells: `numbers [S, S, 5B + C]`, and, box by box in reading order, its place, confidence and score."""

    sheet: CellSheet
    classes: list[str]
    numbers: Tensor
    whole: Tensor  # [N, 4] in pixels of the image, N = S·S·B
    boxes: Tensor  # [N, 4], the part of them within the image
    confidence: Tensor  # [N]
    label: Tensor  # [N], from 0 on: the likeliest class of its cell
    probability: Tensor  # [N]

    @classmethod
    def of(cls, image, predict, classes: list[str]) -> _Said:
        numbers = _numbers(predict, image, len(classes))
        grid, count = len(numbers), (numbers.shape[-1] - len(classes)) // 5
        sheet = CellSheet(image, grid)
        each = numbers[..., : 5 * count].unflatten(-1, (count, 5))  # [S, S, B, 5]
        index = torch.arange(grid, dtype=torch.float32)
        corner = torch.stack((index.expand(grid, grid), index[:, None].expand(grid, grid)), -1)[:, :, None]  # [S, S, 1, 2]
        shares = torch.cat(((corner + each[..., :2]) / grid, each[..., 2:4]), -1)  # [S, S, B, 4]: x, y, w, h of the image
        height, width = sheet.size
        whole = cxcywh_to_xyxy(shares * torch.tensor([width, height] * 2)).flatten(0, 2)  # [N, 4]
        probability, label = numbers[..., 5 * count :].max(-1)  # [S, S] each
        of_box = [x[..., None].expand(-1, -1, count).flatten() for x in (label, probability)]  # [N] each
        return cls(sheet, classes, numbers, whole, clip_boxes(whole, sheet.size), each[..., 4].flatten(), *of_box)

    @property
    def grid(self) -> int:
        return len(self.numbers)

    @property
    def per_cell(self) -> int:
        return (self.numbers.shape[-1] - len(self.classes)) // 5

    @property
    def score(self) -> Tensor:
        return self.confidence * self.probability  # [N]

    @property
    def best_cell(self) -> Cell:
        return self.cell_of(int(self.score.argmax()))

    def here(self, cell: Cell) -> range:
        """The numbers of a cell's boxes."""
        first = (cell[0] * self.grid + cell[1]) * self.per_cell
        return range(first, first + self.per_cell)

    def cell_of(self, box: int) -> Cell:
        return divmod(box // self.per_cell, self.grid)

    def read(self, cell: Cell) -> str:
        """All numbers of a cell; of more than a few classes the likeliest."""
        numbers = self.numbers[cell]
        boxes = [listing([round(part, 2) for part in numbers[5 * b : 5 * b + 5].tolist()]) for b in range(self.per_cell)]
        likely = numbers[5 * self.per_cell :].sort(descending=True, stable=True)
        pairs = list(zip(likely.indices.tolist(), likely.values.tolist(), strict=True))[:MOST_BARS]
        classes = ", ".join(f"{self.classes[label]} {number(round(share, 2))}" for label, share in sorted(pairs))
        return f"x, y, w, h, confidence: {'; '.join(f'box {b} {each}' for b, each in enumerate(boxes))}; {classes}"

    def named(self, box: int) -> str:
        return self.classes[int(self.label[box])]

    def frames(self) -> list[np.ndarray]:
        """The photograph with its grid, with its cells in the colours of their classes, and dimmed under all boxes."""
        return [self.sheet.pixels, self._coloured(), self._with_boxes()]

    def _coloured(self) -> np.ndarray:
        sheet, labels = self.sheet, self.label[:: self.per_cell].reshape(self.grid, self.grid).numpy()  # [S, S]
        rows, columns = (np.arange(side) * self.grid // side for side in (sheet.rows, sheet.columns))
        palette = np.array([label_colour(1 + label) for label in range(len(self.classes))], float)
        named = self.probability[:: self.per_cell].reshape(self.grid, self.grid).numpy() > 0  # [S, S]
        tint = TINT * named[rows[:, None], columns][..., None]  # [h, w, 1]
        return ((1 - tint) * sheet.pixels + tint * palette[labels[rows[:, None], columns]]).round().astype(np.uint8)

    def _with_boxes(self) -> np.ndarray:
        """The surer, the thicker, and above the others."""
        from PIL import Image, ImageDraw

        sheet = Image.fromarray((255 - DIM * (255 - self.sheet.plain.astype(float))).round().astype(np.uint8))
        draw = ImageDraw.Draw(sheet)
        places = self.sheet.shown(self.boxes)
        for box in self.confidence.argsort(stable=True).tolist():
            line = max(1, round(THICKEST * float(self.confidence[box])))
            draw.rectangle(places[box], outline=label_colour(1 + int(self.label[box])), width=line)
        return np.asarray(sheet)


class _Story:
    """The animation for one cell and one setting of the sliders. On the photograph the predicted boxes come first, then the true ones."""

    def __init__(self, said: _Said, objects: Objects | None, answering: dict[Cell, int], cell: Cell, least: float, nms_threshold: float):
        self.said, self.sheet, self.objects, self.answering = said, said.sheet, objects, answering
        self.cell, self.least, self.nms_threshold = cell, least, nms_threshold
        self.found = ((said.score > least) & (box_area(said.boxes) > 0)).nonzero()[:, 0]  # [D]
        kept = batched_nms(said.boxes[self.found], said.score[self.found], said.label[self.found], nms_threshold)
        self.kept = self.found[kept].tolist()  # the best first
        self.count = len(said.boxes)
        self.lost = [] if objects is None else sorted(set(range(len(objects))) - set(answering.values()))

    def trace(self) -> Trace:
        said, sheet, grid = self.said, self.sheet, self.said.grid
        places = sheet.shown(said.boxes) + ([] if self.objects is None else sheet.shown(self.objects.boxes))
        legend = [(name, label_colour(1 + label)) for label, name in enumerate(said.classes)]
        legend += LEGEND if self.objects is not None else LEGEND[:-1]
        boxes = Boxes(places, None, measured=True)
        best = said.score.reshape(-1, said.per_cell).argmax(1) + torch.arange(grid * grid) * said.per_cell  # [S·S]
        field = np.array(places)[best].reshape(grid, grid, 4)
        told = [said.read(cell) for cell in np.ndindex(grid, grid)]
        field = FieldBoxes("photograph", field, sheet.factor, texts=told)
        look = {"paint": "heat", "empty": True, "limits": (0.0, 1.0), "width": 8.0, "field": field}
        values, labels, note = self._bars()
        panels = [
            Film("photograph", said.frames(), note=sheet.note, width=12.0, legend=legend, boxes=boxes),
            Grid("scores", np.zeros((grid, grid)), "best score", str([grid] * 2), **look),
            Bars("numbers", values, labels, title="the cell's numbers", note=note, empty=True, width=7.0),
        ]
        steps = [self._first(), self._read_out(values), self._classes(), self._every_box(best), self._above(), self._suppressed()]
        steps += [*self._judged(), self._fate()]
        return Trace("predictions on a grid", panels=panels, arrows=[Arrow("network"), None], steps=steps)

    def _bars(self) -> tuple[np.ndarray, list[str], str]:
        """The confidences of the chosen cell and the probabilities of its likeliest classes."""
        said, numbers = self.said, self.said.numbers[self.cell]
        shown = sorted(numbers[5 * said.per_cell :].argsort(descending=True, stable=True)[:MOST_BARS].tolist())
        labels = [f"box {b}" for b in range(said.per_cell)] + [said.classes[label] for label in shown]
        values = [*said.confidence[list(self.said.here(self.cell))].tolist(), *numbers[5 * said.per_cell :][shown].tolist()]
        which = "classes" if len(shown) == len(said.classes) else f"the likeliest {len(shown)} classes"
        return np.array(values), labels, f"confidences, {which}"

    # ---- steps ----------------------------------------------------------------------------------------------------------

    def _first(self) -> TraceStep:
        said = self.said
        count, classes, size = said.per_cell, len(said.classes), said.numbers.shape[-1]
        several = "1 class probability" if classes == 1 else f"{classes} class probabilities"
        return TraceStep(
            f"The picture falls into {said.grid} × {said.grid} cells, and the network looks once. Each cell says {counted(count, 'box')}, "
            f"5 numbers each, and {several}: [{size}|read] numbers, [{said.numbers.numel()}|read] in all. Click a cell.",
            arithmetic=f"{said.grid} × {said.grid} × (5 × {count} + {classes}) = {said.numbers.numel()}",
        )

    def _read_out(self, values: np.ndarray) -> TraceStep:
        """The vector of the chosen cell, as one would read it aloud."""
        said, here = self.said, self.said.here(self.cell)
        box = max(here, key=lambda each: float(said.confidence[each]))
        x, y, w, h = (float(part) for part in said.numbers[self.cell][5 * (box - here[0]) :][:4])
        confidence, probability = float(said.confidence[box]), float(said.probability[box])
        likely = f"Most likely a [{said.named(box)}|write], {_short(probability)}" if probability else "No class is likely"
        labels = {each: f"{each - here[0]} · {_short(said.confidence[each])}" for each in here}
        looks = {each: BoxLook("chosen" if each == box else "write", label) for each, label in labels.items()}
        height, width = self.sheet.size
        centre = [(index + part) / said.grid * side for index, part, side in zip(self.cell[::-1], (x, y), (width, height), strict=True)]
        return TraceStep(
            f"R{place_of(self.cell)[1:]}: box [{box - here[0]}|chosen] has its centre at x {number(x)}, y {number(y)} of the cell and is "
            f"{number(w)} × {number(h)} of the picture, confidence [{_short(confidence)}|chosen]. {likely}: score "
            f"[{_short(confidence * probability)}|chosen].",
            {"photograph": {"read": [self.sheet.cell(self.cell)]}},
            {"numbers": {(i, 0): round(float(value), 3) for i, value in enumerate(values)}},
            boxes={"photograph": looks},
            arithmetic=f"({self.cell[1]} + {number(x)}) / {said.grid} × {width} = {number(centre[0])},  "
            f"({self.cell[0]} + {number(y)}) / {said.grid} × {height} = {number(centre[1])};  "
            f"{_short(confidence)} × {_short(probability)} = {_short(confidence * probability)}",
        )

    def _classes(self) -> TraceStep:
        said = self.said
        every = zip(said.label[:: said.per_cell].tolist(), said.probability[:: said.per_cell].tolist(), strict=True)
        counts = Counter(said.classes[label] if probability else "none" for label, probability in every)
        words = [f"{name} in {count}" for name, count in counts.most_common()]
        return TraceStep(
            f"Each cell in the colour of its likeliest class, if there is an object: {listed(words)}. Whether there is one, the "
            "confidences say.",
            shows={"photograph": CLASSES},
            boxes={"photograph": dict.fromkeys(self.said.here(self.cell))},
        )

    def _every_box(self, best: Tensor) -> TraceStep:
        said, count = self.said, self.count
        sure = float(said.confidence.max())
        half = int((said.confidence >= 0.5).sum())
        cells = list(np.ndindex(said.grid, said.grid))
        return TraceStep(
            f"All [{count}|write] boxes, the surer the thicker: [{half}|write] with a confidence of at least 0.5, the highest "
            f"[{_short(sure)}|chosen]. Confidence × class is the score.",
            {"scores": {"chosen": [said.best_cell]}},
            {"scores": {cell: round(float(said.score[box]), 3) for cell, box in zip(cells, best.tolist(), strict=True)}},
            shows={"photograph": EVERY_BOX},
            terms={"scores": {cell: self._product(box) for cell, box in zip(cells, best.tolist(), strict=True)}},
        )

    def _product(self, box: int) -> str:
        return f"{_short(self.said.confidence[box])} × {_short(self.said.probability[box])}"

    def _above(self) -> TraceStep:
        found = self.found.tolist()
        best = max(found, key=lambda box: float(self.said.score[box]), default=None)
        told = f", the best a [{self.said.named(best)}|chosen] with {_short(self.said.score[best])}" if found else ": nothing is detected"
        return TraceStep(
            f"[{len(found)}|write] of {self.count} boxes {'scores' if len(found) == 1 else 'score'} above {number(self.least)}{told}.",
            shows={"photograph": GRIDDED},
            boxes={"photograph": {box: self._look(box, "write", len(found)) for box in found}},
        )

    def _suppressed(self) -> TraceStep:
        found, kept = self.found.tolist(), self.kept
        looks = {box: self._look(box, "chosen", len(kept)) if box in kept else BoxLook("suppressed") for box in found}
        gone = len(found) - len(kept)
        return TraceStep(
            f"A box goes if it overlaps a better one of its class by more than {number(self.nms_threshold)}: [{gone}|suppressed] "
            f"{'goes' if gone == 1 else 'go'}, [{len(kept)}|chosen] {'stays' if len(kept) == 1 else 'stay'}.",
            boxes={"photograph": looks},
        )

    def _judged(self) -> list[TraceStep]:
        """Who was to answer for each object, and which objects are found."""
        if self.objects is None:
            return []
        if not len(self.objects):
            hidden = {"photograph": {box: None for box in self.found.tolist() if box not in self.kept}}
            what = counted(len(self.kept), "box")
            return [TraceStep(f"There is no object in this picture: all that stays, {what}, is wrong.", boxes=hidden)]
        return [self._targets(), self._verdict()]

    def _targets(self) -> TraceStep:
        """The cells that answer for an object, with the box of each that is nearest to it; and the objects for which none does."""
        objects, first = self.objects, self.count
        looks: dict[int, BoxLook | None] = dict.fromkeys(self.found.tolist())
        for cell, t in self.answering.items():
            box, iou = self._responsible(cell, t)
            looks[box] = BoxLook("write")
            looks[first + t] = BoxLook("truth", f"{objects.names[t]}, IoU {_short(iou)}")
        looks |= {first + t: BoxLook("wrong", f"{objects.names[t]}, lost"[:40]) for t in self.lost}
        answers = [f"({cell[0]}, {cell[1]}) for {objects.name(t)}" for cell, t in sorted(self.answering.items(), key=lambda each: each[1])]
        lost = f" {_lost([objects.name(t) for t in self.lost])}" if self.lost else ""
        return TraceStep(
            f"The cell (row, column) with an object's centre answers for it: [{listed(answers)}|truth].{lost}",
            {"photograph": {"truth": [self.sheet.cell(cell) for cell in self.answering]}},
            boxes={"photograph": looks},
            arithmetic="drawn of each cell: the box that overlaps the object most",
        )

    def _verdict(self) -> TraceStep:
        objects, first = self.objects, self.count
        iou = self._overlaps()  # [T, K]
        best = iou.amax(1) if self.kept else torch.zeros(len(objects))
        found = best >= GOOD
        looks: dict[int, BoxLook | None] = dict.fromkeys(set(range(first)) & (set(self.found.tolist()) | self._responsible_boxes))
        looks |= {box: self._look(box, "chosen", len(self.kept)) for box in self.kept}
        for t in range(len(objects)):
            looks[first + t] = BoxLook("truth", "" if found[t] else f"{objects.names[t]}, missed")
        useless = int((iou.amax(0) < GOOD).sum()) if self.kept else 0
        wrong = f" [{counted(useless, 'box')}|wrong] on no object." if useless else ""
        are = "is" if 1 in (int(found.sum()), len(found)) else "are"
        of_class = "a box of their class" if objects.labels is not None else "a box"
        return TraceStep(
            f"[{int(found.sum())}|chosen] of [{counted(len(objects), 'object')}|truth] {are} found, by "
            f"{of_class} with an IoU of at least {number(GOOD)}.{wrong}",
            boxes={"photograph": looks},
            arithmetic=f"best IoU of each object: {', '.join(_short(each) for each in best)}",
        )

    def _fate(self) -> TraceStep:
        """What became of the chosen cell's boxes, and whether it was to answer for an object."""
        said, here = self.said, self.said.here(self.cell)
        looks = {box: self._look(box, "chosen" if box in self.kept else "suppressed", 0, always=True) for box in here}
        parts = [f"box {box - here[0]}, score {_short(said.score[box])}, {self._outcome(box)}" for box in here]
        probability = _short(said.probability[here[0]])
        kind = f"{_article(said.named(here[0]))} with {probability}" if probability != "0" else "no class"
        answers = ""
        if self.objects is not None and self.cell in self.answering:
            box, iou = self._responsible(self.cell, self.answering[self.cell])
            named = self.objects.name(self.answering[self.cell])
            answers = f" It answers for [{named}|truth]: by box {box - here[0]}, IoU [{_short(iou)}|truth]."
        elif self.objects is not None:
            answers = " It holds no object's centre: confidence 0 would be right."
        return TraceStep(
            f"R{place_of(self.cell)[1:]}, {kind}: {'; '.join(parts)}.{answers}",
            {"photograph": {"read": [self.sheet.cell(self.cell)]}},
            boxes={"photograph": looks},
            arithmetic=f"score above {number(self.least)}: {len(self.found)} of {self.count} boxes;  after NMS: {len(self.kept)}",
        )

    def _outcome(self, box: int) -> str:
        if box in self.kept:
            return "[stays|chosen]"
        better = f"[goes|suppressed] for a better {self.said.named(box)}"
        return better if box in self.found.tolist() else f"is not above {number(self.least)}"

    # ---- what they share ------------------------------------------------------------------------------------------------

    def _look(self, box: int, role: str, among: int, always: bool = False) -> BoxLook:
        words = f"{self.said.named(box)} {_short(self.said.score[box])}"
        return BoxLook(role, words if always or among <= MOST_LABELLED else "")

    def _responsible(self, cell: Cell, t: int) -> tuple[int, float]:
        """The box of a cell that overlaps the object most, the first of several, and its IoU; where none touches it, the most similar."""
        here, truth = self.said.here(cell), clip_boxes(self.objects.boxes[t : t + 1], self.sheet.size)
        boxes = self.said.whole[list(here)]  # [B, 4]
        iou = box_iou(boxes, truth)[:, 0]  # [B]
        height, width = self.sheet.size
        differences = (xyxy_to_cxcywh(boxes) - xyxy_to_cxcywh(truth)) / torch.tensor([width, height] * 2)  # [B, 4]
        best = iou.argmax() if iou.any() else differences.square().sum(1).argmin()
        return here[int(best)], float(iou[best])

    @property
    def _responsible_boxes(self) -> set[int]:
        return {self._responsible(cell, t)[0] for cell, t in self.answering.items()}

    def _overlaps(self) -> Tensor:
        """The IoU of each object with each box that stays; 0 where their classes differ. [T, K]"""
        iou = box_iou(self.objects.boxes, self.said.boxes[self.kept])
        if self.objects.labels is None:
            return iou
        same = torch.tensor(self.objects.labels)[:, None] == 1 + self.said.label[self.kept]
        return iou * same


def _short(value: float | Tensor) -> str:
    """0.00007 is 0 to whoever compares probabilities."""
    return number(round(float(value), 3))


def _article(name: str) -> str:
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _lost(names: list[str]) -> str:
    who = listed(names)
    if len(names) == 1:
        return f"[{who[0].upper()}{who[1:]}|wrong] is lost: its cell answers for another."
    return f"[{who[0].upper()}{who[1:]}|wrong] are lost: their cells answer for others."


def _numbers(predict, image, classes: int) -> Tensor:
    """What the network says, `[S, S, 5B + C]`, as it is now."""
    name = "predict"
    if callable(predict) and not isinstance(predict, Tensor):
        name = "what predict returned"
        with torch.no_grad():
            predict = predict(as_tensor(image, name="image") if not isinstance(image, Tensor) else image)
    numbers = as_tensor(predict, name=name).clone()
    numbers = numbers[0] if numbers.ndim == 4 and len(numbers) == 1 else numbers
    shape = list(numbers.shape)
    if numbers.ndim != 3 or shape[0] != shape[1] or not numbers.numel():
        raise ValueError(f"{name} has the shape {shape}; it is [S, S, 5B + C], the numbers of every cell of one picture, row first")
    check_grid(shape[0], name)
    rest = shape[2] - classes
    if rest < 5 or rest % 5 or rest // 5 > MOST_BOXES or classes > MOST_CLASSES:
        raise ValueError(
            f"{name} has {shape[2]} numbers a cell, and classes names {classes}; with 1 to {MOST_BOXES} boxes of 5 numbers and a "
            f"probability for each of at most {MOST_CLASSES} classes, without the background, it is 5B + C"
        )
    if not torch.isfinite(numbers).all():
        raise ValueError(f"{name} has NaN or infinite values; a widget shows finite numbers only")
    wrong = ((numbers < -ROUNDING) | (numbers > 1 + ROUNDING)).nonzero()
    if len(wrong):
        row, column, place = wrong[0].tolist()
        raise ValueError(
            f"{name} is {number(numbers[row, column, place])} at row {row}, column {column}, place {place}; all are shares, from 0 to 1: "
            "pass them as they are after sigmoid and softmax"
        )
    return numbers.clamp(0, 1)


def _answering(targets, objects: Objects | None, sheet: CellSheet) -> dict[Cell, int]:
    """Cell → the object that it answers for."""
    if targets is None:
        return {} if objects is None else first_of_each(sheet.cells_of(objects.boxes))
    if objects is None:
        raise ValueError("targets say which cell answers for which object of truth: pass truth= too")
    table = getattr(targets, "objects", targets)
    table = table.detach().cpu() if isinstance(table, Tensor) else torch.as_tensor(table)
    if table.shape != (sheet.grid,) * 2 or table.is_floating_point() or table.dtype == torch.bool:
        what = f"{str(table.dtype).removeprefix('torch.')} {list(table.shape)}"
        raise ValueError(f"targets' objects are {what}; they are whole numbers [{sheet.grid}, {sheet.grid}], −1 where there is no object")
    wrong = table[(table < -1) | (table >= len(objects))]
    if wrong.numel():
        raise ValueError(f"targets' objects hold {int(wrong[0])}; they are indices of the {len(objects)} objects of truth, or −1")
    return {(row, column): int(table[row, column]) for row, column in (table >= 0).nonzero().tolist()}
