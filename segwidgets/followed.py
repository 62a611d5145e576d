"""What an X-ray follows through the heads of a detector: a detection, the likeliest region where nothing was detected, or a box of the
viewer's own in place of a proposal.

Letters: K classes with background, M × M cells of a mask, J joints, S × S of a heat map.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from course.ops.boxes import clip_boxes, decode_boxes
from course.ops.keypoints import decode_keypoints
from segwidgets.box_heads import Pooling
from segwidgets.detector_stages import DetectorStages, Origin
from segwidgets.forward_pass import finite, widened


@dataclass(frozen=True)
class Followed:
    """A region and what the heads say of it. `region [4]` is in pixels of the picture as the network saw it, `box [4]` and `keypoints
    [J, 2 or 3]` in pixels of the picture as given; of a region that became no detection they are None."""

    name: str
    region: Tensor | None = None
    scores: Tensor | None = None
    """[K], if they are known."""
    label: int = 0
    score: float = 0.0
    box: Tensor | None = None
    pooling: Pooling | None = None
    """Of this region alone."""
    mask_logits: Tensor | None = None
    """[K, M, M]"""
    joint_maps: Tensor | None = None
    """[J, S, S]"""
    keypoints: Tensor | None = None
    d: int | None = None
    """The number of the detection, if it is one."""
    origin: Origin | None = None
    own: bool = False

    @property
    def mask(self) -> Tensor | None:
        """Probabilities of the class, [M, M]."""
        return None if self.mask_logits is None else self.mask_logits[self.label].float().sigmoid()


def detection(stages: DetectorStages, d: int) -> Followed:
    """Detection number `d`, and the region that it comes from."""
    origin = stages.origin(d)
    row = origin.anchor if origin.proposal is None else origin.proposal

    def of(each: Tensor | None) -> Tensor | None:
        return None if each is None else each[d]

    return Followed(
        name=f"{stages.kind_of_region.capitalize()} {row}",
        region=stages.regions[row],
        scores=None if stages.scores is None else stages.scores[row],
        label=stages.labels[d],
        score=stages.found[d],
        box=stages.boxes[d],
        pooling=_only(stages.pooling, row),
        mask_logits=of(stages.mask_logits),
        joint_maps=of(stages.joint_maps),
        keypoints=of(stages.keypoints),
        d=d,
        origin=origin,
    )


def likeliest(stages: DetectorStages) -> Followed:
    """The region that is likeliest an object."""
    if stages.scores is None or not len(stages.scores):
        return Followed("Nothing")
    objects = stages.scores if stages.alone else stages.scores[:, 1:]
    row = int(objects.amax(1).argmax())
    label = int(objects[row].argmax()) + (not stages.alone)
    return Followed(
        name=f"{stages.kind_of_region.capitalize()} {row}",
        region=stages.regions[row],
        scores=stages.scores[row],
        label=label,
        score=float(stages.scores[row, label]),
        pooling=_only(stages.pooling, row),
    )


def own_box(stages: DetectorStages, box: Tensor) -> Followed:
    """A box [4] in pixels of the picture as given, which is handed to the heads in place of a proposal. The box head runs, then the others
    on the box that comes of it; the backbone does not.

    Raises: ValueError: the heads say NaN or infinite values.
    """
    heads, region = stages.heads, stages.inwards(box)
    logits, deltas = (finite(widened(each), "the box head")[0].float() for each in heads.classify(region[None]))  # [K], [4K]
    scores = logits.softmax(0)
    label = 1 + int(scores[1:].argmax())
    several = deltas.view(-1, 4)  # [K or 1, 4]
    moved = decode_boxes(several[label if len(several) > 1 else 0][None], region[None].float(), stages.weights)
    refined = clip_boxes(moved, stages.size)  # [1, 4]
    masks, maps = (
        None if each is None else finite(widened(each), f"the {name} head").float()
        for name, each in (("mask", heads.masks(refined)), ("keypoint", heads.joints(refined)))
    )
    return Followed(
        name="Your box",
        region=region,
        scores=scores,
        label=label,
        score=float(scores[label]),
        box=stages.outwards(refined)[0],
        pooling=heads.pooling(region[None]),
        mask_logits=None if masks is None else masks[0],
        joint_maps=None if maps is None else maps[0],
        keypoints=None if maps is None else _joints(stages, maps, refined),
        own=True,
    )


def _joints(stages: DetectorStages, maps: Tensor, box: Tensor) -> Tensor:
    """Where the maps [1, J, S, S] of a box [1, 4] peak, in pixels of the picture as given. [J, 2]"""
    points = decode_keypoints(maps, box)[0][0]  # [J, 3]
    return stages.outwards(points[:, [0, 1, 0, 1]])[:, :2]


def _only(pooling: Pooling | None, row: int) -> Pooling | None:
    return None if pooling is None else pooling._replace(level=[pooling.level[row]], scale=[pooling.scale[row]])
