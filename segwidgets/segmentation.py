"""A panel that shows a segmentation: a picture cut into pieces, which belong to regions that grow.

    Segmentation("regions", labels, colours, pairs={(0, 1): {"colour": 0.6, "size": 0.9}})
    TraceStep("0 and 1 become region 7.", writes={"regions": {(0, 0): 7, (1, 0): 7}}, marks={"regions": {"read": [(0, 0), (1, 0)]}})

A piece is a label of the map, and a cell of the panel: (piece, 0). Its value is the region that it belongs to, at the start its own number.
A mark outlines the whole region of the piece: what is read as it was before the step, anything else as it is after it. While the pointer is
on a region, its neighbours are marked, and what is known of them is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from segwidgets.pictures import HEAT_UNITS
from segwidgets.roles import ROLES

MOST_PIECES = 4096
OUTLINE = 2  # pixels of the map; a rim of one more, in white, sets it off from any colour

Pairs = Mapping[tuple[int, int], Mapping[str, float]]


@dataclass(frozen=True)
class Segmentation:
    """A picture cut into pieces `labels [H, W]`, 0 … P−1; each is drawn in the colour of the region that it belongs to.

    Args:
        pieces: P, where the last labels may have no pixel left in a map that was made smaller.
        colours: `[R, 3]` uint8, of all regions that there will be; R ≥ P, the first P are the pieces themselves.
        pairs: (region, region) → measure → value, for two that ever touch. While both are there, it is said over either, with the sum;
            all pairs have the same measures.
    """

    id: str
    labels: np.ndarray
    colours: np.ndarray
    title: str = ""
    note: str = ""
    pairs: Pairs = field(default_factory=dict)
    width: float = HEAT_UNITS
    pieces: int = 0

    columns = 1
    exact = False  # measured: of its cells the digest takes nothing

    def __post_init__(self):
        labels, colours = np.array(self.labels, dtype=np.int64), np.array(self.colours)
        if labels.ndim != 2 or labels.size == 0 or labels.min() < 0:
            raise ValueError(f"the panel {self.id!r} needs labels [H, W] from 0 on, got the shape {list(labels.shape)}")
        pieces = max(self.pieces, int(labels.max()) + 1)
        if pieces > MOST_PIECES:
            raise ValueError(f"the panel {self.id!r} has {pieces} pieces; {MOST_PIECES} can be shown: pass a coarser map")
        if colours.ndim != 2 or colours.shape[1] != 3 or colours.dtype != np.uint8 or len(colours) < pieces:
            raise ValueError(f"the panel {self.id!r} needs colours [R, 3] uint8, one for each region, got {list(colours.shape)}")
        names = {tuple(parts) for parts in self.pairs.values()}
        if len(names) > 1 or any(not 0 <= region < len(colours) for pair in self.pairs for region in pair):
            raise ValueError(f"the pairs of {self.id!r} name regions 0 to {len(colours) - 1}, all with the same measures; got {names}")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "pieces", pieces)
        object.__setattr__(self, "colours", colours)
        object.__setattr__(self, "title", self.title or self.id)

    @property
    def rows(self) -> int:
        return self.pieces

    @property
    def values(self) -> np.ndarray:
        """The region of each piece before the first step, `[P, 1]`."""
        return np.arange(self.rows, dtype="<f4")[:, None]

    empty = False

    def content(self) -> list:
        """What the digest of a trace takes from this panel: how a picture falls apart is measured."""
        return ["segmentation", self.id, self.title, self.note, list(self.labels.shape), list(next(iter(self.pairs.values()), ()))]

    def encode(self, buffers: list[bytes]) -> dict:
        encoded = {"kind": "segmentation", "id": self.id, "title": self.title, "note": self.note, "width": self.width}
        encoded |= {"rows": self.rows, "columns": 1, "down": self.labels.shape[0], "across": self.labels.shape[1]}
        encoded["measures"] = list(next(iter(self.pairs.values()), ()))
        pairs = [[*pair, *parts.values()] for pair, parts in self.pairs.items()]
        for name, values, kind in (
            ("values", self.values, "<f4"),
            ("runs", _runs(self.labels), "<u2"),
            ("colours", self.colours, "u1"),
            ("pairs", pairs, "<f4"),
        ):
            buffers.append(np.asarray(values, dtype=kind).tobytes())
            encoded[name] = len(buffers) - 1
        return encoded

    def painted(self, values: np.ndarray, before: np.ndarray, marks: Mapping[str, list]) -> np.ndarray:
        """The panel as pixels `[H, W, 3]`, as `static/segmentation.js` draws it.

        Args:
            values, before: the region of each piece `[P, 1]`, after and before the step.
            marks: role → cells.
        """
        regions = values[:, 0].astype(int)[self.labels]  # [H, W]
        sheet = self.colours[regions].copy()
        for role in sorted(marks, key=list(ROLES).index):
            now = before if role == "read" else values
            for piece, _ in marks[role]:
                inside = (now[:, 0] == now[piece, 0])[self.labels]
                sheet[_edge(inside, OUTLINE + 1)] = 255
                sheet[_edge(inside, OUTLINE)] = [int(ROLES[role].light[i : i + 2], 16) for i in (1, 3, 5)]
        return sheet


def _runs(labels: np.ndarray) -> np.ndarray:
    """[H, W] → [runs, 2]: how many pixels in reading order have one label, and which; a third of the bytes of the map, or fewer."""
    flat = labels.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    starts = np.unique(np.concatenate([starts, np.arange(0, flat.size, 65535)]))  # a run's length is sent as two bytes
    return np.stack([np.diff(starts, append=flat.size), flat[starts]], 1)


def _edge(inside: np.ndarray, width: int) -> np.ndarray:
    """The pixels inside from which a step of at most `width` along a row or column leads out; the picture's border leads nowhere."""
    edge = np.zeros_like(inside)
    for step in range(1, width + 1):
        edge[:, step:] |= ~inside[:, :-step]
        edge[:, :-step] |= ~inside[:, step:]
        edge[step:] |= ~inside[:-step]
        edge[:-step] |= ~inside[step:]
    return edge & inside
