"""Boxes that lie on a picture or a film: proposals, anchors, detections. A box keeps its number, and steps say what it is now.

    Picture("photograph", pixels, boxes=Boxes(places, role="candidate", labels=["0.9", "0.8"]))
    TraceStep("Box 1 goes.", boxes={"photograph": {1: "suppressed"}}, marks={"photograph": {"chosen": [0], "write": [(3, 1, 6, 5)]}})

`boxes` is what a box is from that step on, as writes are for cells. `marks` is what one step points at: a box by its number, or any
rectangle. The player draws each box in the look of its role (`segwidgets/roles.py`), glides one that moves, and over a box shows the
arithmetic of the step that made it what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from segwidgets.roles import ROLES

MOST_BOXES = 2000
LONGEST_LABEL = 40

Place = tuple[float, float, float, float]


@dataclass(frozen=True)
class BoxLook:
    """How a box is drawn from a step on: its role (None hides it), the words at its corner, and its place (None: where it was)."""

    role: str | None
    label: str = ""
    place: Place | None = None

    def __post_init__(self):
        if self.role is not None and self.role not in ROLES:
            raise ValueError(f"a box has the role {self.role!r}; there are {sorted(ROLES)}, and None hides it")
        if not isinstance(self.label, str) or len(self.label) > LONGEST_LABEL:
            raise ValueError(f"the label of a box is {self.label!r}; it takes a text of at most {LONGEST_LABEL} letters")
        if self.place is not None:
            place = tuple(float(side) for side in self.place)
            if len(place) != 4 or not np.isfinite(place).all():
                raise ValueError(f"the place of a box is {place}; it takes four finite numbers, x1, y1, x2, y2")
            object.__setattr__(self, "place", place)


def looks(changes: Mapping[int, BoxLook | str | None]) -> dict[int, BoxLook]:
    """Box number → look, where a role alone stands for a look without a label, and None for a hidden box."""
    return {int(number): look if isinstance(look, BoxLook) else BoxLook(look) for number, look in changes.items()}


@dataclass(frozen=True)
class Boxes:
    """Boxes `places [N, 4]`, x1, y1, x2, y2 in pixels of the picture as shown; N may be 0. What lies outside it is cut off.

    Args:
        role: what they are before the first step, one for all or one each; None hides a box.
        labels: a short text at each box's corner, or none.
        measured: places that a program found: the digest of a trace leaves them out, even where they are whole numbers.
    """

    places: np.ndarray
    role: str | None | Sequence[str | None] = "candidate"
    labels: Sequence[str] = ()
    measured: bool = False

    def __post_init__(self):
        places = np.array(self.places, dtype="<f4", order="C").reshape(-1, 4) if np.size(self.places) else np.zeros((0, 4), "<f4")
        if not np.isfinite(places).all():
            raise ValueError("boxes have NaN or infinite places; only finite ones can be shown")
        if len(places) > MOST_BOXES:
            raise ValueError(f"{len(places)} boxes are too many to tell apart; {MOST_BOXES} can be shown: pass the best of them")
        roles = [self.role] * len(places) if self.role is None or isinstance(self.role, str) else list(self.role)
        for what, given in (("roles", roles), ("labels", self.labels or [""] * len(places))):
            if len(given) != len(places):
                raise ValueError(f"there are {len(places)} boxes and {len(given)} {what}; each box takes one")
        object.__setattr__(self, "places", places)
        object.__setattr__(self, "role", tuple(roles))
        object.__setattr__(self, "labels", tuple(self.labels))
        self.start  # noqa: B018 -- its checks

    def __len__(self) -> int:
        return len(self.places)

    @property
    def start(self) -> list[BoxLook]:
        """Each box before the first step."""
        labels = self.labels or [""] * len(self)
        return [BoxLook(*each) for each in zip(self.role, labels, map(tuple, self.places.tolist()), strict=True)]

    @property
    def exact(self) -> bool:
        """True for places made by hand, with at most three decimals: the same on every machine."""
        thousands = self.places.astype(np.float64) * 1000
        return not self.measured and bool((np.abs(thousands - np.round(thousands)) < 1e-3 * np.maximum(1, np.abs(self.places))).all())

    def after(self, changes: Sequence[Mapping[int, BoxLook]]) -> list[BoxLook]:
        """Each box after steps that changed some, in order; every look has a place."""
        now = self.start
        for change in changes:
            for number, look in change.items():
                now[number] = look if look.place else replace(look, place=now[number].place)
        return now

    def content(self) -> list:
        """What the digest of a trace takes from them: all, or of measured ones how many there are and what they are."""
        places = np.round(self.places.astype(np.float64), 3).tolist() if self.exact else "measured"
        return ["boxes", len(self), places, list(self.role), list(self.labels) if self.exact else "measured"]

    def encode(self, buffers: list[bytes]) -> dict:
        buffers.append(self.places.tobytes())
        one = self.role[0] if len(set(self.role)) == 1 else list(self.role)
        return {"places": len(buffers) - 1, "role": one, "labels": list(self.labels)}


def encode_looks(changes: Mapping[int, BoxLook]) -> list[list]:
    """[number, role, label, place] each, without what is empty at the end."""
    encoded = []
    for number, look in changes.items():
        entry = [number, look.role]
        if look.label or look.place:
            entry.append(look.label)
        if look.place:
            entry.append([round(side, 2) for side in look.place])
        encoded.append(entry)
    return encoded
