"""A picture and what a detector said of it, as the X-ray shows it: places on the photograph, cells of anchors, names, times."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from course.ops.boxes import clip_boxes
from course.ops.step import number
from segwidgets.boxes import Place
from segwidgets.cells import MOST_LETTERS, class_names, counted
from segwidgets.channel_map import fit, loudest
from segwidgets.detector_stages import DetectorStages
from segwidgets.followed import Followed, detection, likeliest, own_box
from segwidgets.forward_pass import watch
from segwidgets.inputs import as_tensor, pixels, shrunk
from segwidgets.trace import Cell

MOST_LEVELS = 7
MOST_CHOICES = 12  # detections that can be chosen


class OpenedDetector:
    """The picture and what the model said of it."""

    def __init__(self, model, image, classes, joints: Sequence[str] | None = None):
        picture = pixels(image)
        self.title = f"X-ray: {type(model).__name__}"
        self.size = picture.shape[:2]
        self.pixels, self.factor = shrunk(picture)
        stages = watch(model, as_tensor(image, name="image").reshape(3, *self.size))
        self.stages = DetectorStages.of(stages, self.size)
        if len(self.stages.levels) > MOST_LEVELS:
            raise ValueError(f"the model has {len(self.stages.levels)} levels; {MOST_LEVELS} can be shown")
        self.device = str(next((each.device for each in model.parameters()), "cpu"))
        self.classes = self._names(classes)
        self.joint_names = self._names_of_joints(joints)

    def _names(self, classes) -> list[str]:
        """Of all classes, the background first."""
        stages = self.stages
        known = stages.scores.shape[1] if stages.scores is not None else 1 + max(stages.labels, default=1)
        if classes is None:
            return ["background", *(f"class {k}" for k in range(1, known))]
        names = class_names(classes)
        if len(names) == known and classes[0].strip("_") == "background":
            names = names[1:]
        elif len(names) == known and stages.alone:
            return names
        if len(names) != known - 1:
            raise ValueError(f"classes holds {len(names)} names; the model has {known - 1} classes, and background")
        return ["background", *names]

    def _names_of_joints(self, joints) -> list[str]:
        if joints is None:
            return []
        if isinstance(joints, str) or not isinstance(joints, Sequence) or not joints or not all(isinstance(name, str) for name in joints):
            raise ValueError(f"joints is {joints!r}; it takes the names of the model's joints")
        seen = self.joints or self.stages.found  # where nothing is detected, the keypoint head may not have run
        if seen and len(joints) != self.joints:
            raise ValueError(f"joints holds {len(joints)} names; the model has {counted(self.joints, 'joint')}")
        return [name.replace("_", " ")[:MOST_LETTERS] for name in joints]

    @cached_property
    def names(self) -> list[str]:
        """Of the detections that can be chosen, the best ones."""
        return [f"{d} {self.label(d)}" for d in range(min(len(self.stages.found), MOST_CHOICES))]

    @property
    def joints(self) -> int:
        """How many joints have heat maps."""
        return 0 if self.stages.joint_maps is None else self.stages.joint_maps.shape[1]

    def joint_name(self, joint: int) -> str:
        """ "joint 5 (left shoulder)", or "joint 5" where no names are known."""
        return f"joint {joint}" + (f" ({self.joint_names[joint]})" if joint < len(self.joint_names) else "")

    def place_of(self, box) -> Place:
        """Where a box in pixels of the picture as given lies on the photograph as shown; without one that of the middle.

        Raises: ValueError: it is no box, or lies beside the picture.
        """
        height, width = self.size
        try:
            x1, y1, x2, y2 = (float(side) for side in ((width / 4, height / 4, 0.75 * width, 0.75 * height) if box is None else box))
        except (TypeError, ValueError):
            x1, y1, x2, y2 = 1.0, 1.0, 0.0, 0.0
        if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
            raise ValueError(f"box is {box!r}; it is x1, y1, x2, y2 within a picture of {height} × {width} pixels, x1 < x2 and y1 < y2")
        return tuple(side * self.factor for side in (x1, y1, x2, y2))

    def label(self, d: int) -> str:
        return f"{self.classes[self.stages.labels[d]]} {short(self.stages.found[d])}"

    @cached_property
    def loudest(self) -> int:
        """The channel of the finest map that varies most, for its size."""
        return loudest(next(iter(self.stages.levels.values())))

    def shown(self, boxes: Tensor) -> np.ndarray:
        """Boxes [N, 4] in the network's pixels, where they lie on the photograph as shown."""
        return self.on_photograph(self.stages.outwards(boxes))

    def on_photograph(self, boxes: Tensor) -> np.ndarray:
        """Boxes [N, 4] in pixels of the picture as given."""
        return (clip_boxes(boxes, self.size) * self.factor).reshape(-1, 4).numpy()

    @cached_property
    def cells(self) -> list[tuple[Tensor, Tensor]]:
        """For each level that is scored what is drawn: the best probability in each cell, and the anchor that has it; `[rows, columns]`."""
        return [self._best(level) for level in range(len(self.stages.counts))]

    def _best(self, level: int) -> tuple[Tensor, Tensor]:
        held = self.stages.held_at(level)  # [A, H, W]
        best, shape = held.max(0)
        value, place = max_pool2d(best[None], fit(best), ceil_mode=True, return_indices=True)
        return value[0], (self.stages.first_anchor(level) + place * len(held) + shape.flatten()[place])[0]

    def cell_of(self, anchor: int, level: int) -> Cell:
        """The cell of the level's map as drawn that holds this anchor."""
        shapes, _, width = self.stages.held_at(level).shape
        row, column = divmod((anchor - self.stages.first_anchor(level)) // shapes, width)
        step = fit(self.stages.held_at(level)[0])
        return row // step, column // step

    def time(self, *stages: str) -> str:
        """ "31 ms", and on CUDA "31 ms, 120 MB"."""
        seconds = sum(self.stages.seconds.get(stage, 0.0) for stage in stages)
        memory = max((self.stages.memory.get(stage, 0) for stage in stages), default=0)
        return milliseconds(seconds) + (f", up to {memory / 1e6:.0f} MB" if memory else "")

    @cached_property
    def _detections(self) -> dict[int, Followed]:
        return {}

    def followed(self, d: int | None) -> Followed:
        """Detection number `d`, or where there is none the region that is likeliest an object."""
        if d not in self._detections:
            self._detections[d] = likeliest(self.stages) if d is None else detection(self.stages, d)
        return self._detections[d]

    def within(self, place: Place) -> Place:
        """A box on the photograph as shown, cut at its edges; one beside it, where another picture had more room, becomes the middle."""
        height, width = self.pixels.shape[:2]
        x1, y1, x2, y2 = (min(side, most) for side, most in zip(place, (width, height, width, height), strict=True))
        return (x1, y1, x2, y2) if x2 - x1 >= 1 and y2 - y1 >= 1 else self.place_of(None)

    def own(self, place: Place) -> Followed:
        """A box of the viewer's, (x1, y1, x2, y2) on the photograph as shown."""
        return own_box(self.stages, torch.tensor(place) / self.factor)


def short(probability: float) -> str:
    return number(round(probability, 3))


def milliseconds(seconds: float) -> str:
    return f"{number(round(1000 * seconds, 1))} ms"
