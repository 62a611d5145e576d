"""`segwidgets.xray`: one forward pass of a running detector, opened: maps, objectness, proposals, classes, detections, each with its shape
and its time; and of a chosen detection where it comes from: its proposal, its anchor, its level.

S. Ren, K. He, R. Girshick and J. Sun, "Faster R-CNN", 2015, arXiv:1506.01497, figure 2; K. He, G. Gkioxari, P. Dollár and R. Girshick,
"Mask R-CNN", 2017, arXiv:1703.06870; W. Liu et al., "SSD", 2015, arXiv:1512.02325. How a model is watched: `segwidgets.forward_pass`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from course.ops import arguments
from segwidgets.boxes import Place
from segwidgets.detector_story import ITS_LEVEL, OWN_BOX, DetectorStory
from segwidgets.inputs import check_keywords
from segwidgets.live import Choice, DragBox, Live, Setting, Slider, Upload
from segwidgets.opened_detector import OpenedDetector
from segwidgets.picture_of_choice import PictureOfChoice
from segwidgets.segmenter_stages import is_segmenter
from segwidgets.segmenter_xray import segmenter_xray
from segwidgets.trace import Cell, Trace

NONE, OWN = "none", "your box"


def xray(
    model,
    image,
    *,
    classes: Sequence[str] | None = None,
    detection: int = 0,
    level: str | int | None = None,
    channel: int | None = None,
    score_threshold: float = 0.5,
    box: Place | None = None,
    pixel: Cell | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
    joints: Sequence[str] | None = None,
    **unknown,
) -> Live:
    """A detector at work on a picture, stage by stage, and a detection followed back to where it comes from; or a segmentation network, and
    the scores of a pixel.

    The model runs once, on the device on which it is. What is chosen afterwards, a detection, a level, a channel, a threshold, is looked up
    in what it said. A box that is dragged in place of a proposal goes through the heads alone; another picture is another forward pass.

    Args:
        model: the course's FasterRCNN, MaskRCNN or SSD, torchvision's FasterRCNN, MaskRCNN, KeypointRCNN, SSD or RetinaNet, or any module
            whose `trace(image)` gives the stages that `segwidgets.forward_pass` names; or the course's FCN, torchvision's FCN, DeepLabV3
            or LRASPP.
        image: `[3, H, W]`, 0…1.
        classes: the names of its classes, with or without the background's.
        detection: the one that is followed first, 0 the best; the best 12 can be chosen.
        level: the name of the map that is shown first; by default that of the detection.
        channel: of the map; by default the one that varies most.
        score_threshold: detections from this score on are drawn, where the slider stands first.
        box: of a detector with proposals: x1, y1, x2, y2 of a box in pixels of the picture that is followed first, in place of a proposal.
        pixel: of a segmentation network: (row, column) of the pixel whose scores are shown first; by default the one that is surest to be
            no background.
        prepare: of a segmentation network: what the picture goes through before it, `[3, H, W]` → `[3, H', W']`. By default torchvision's
            get it normalised by ImageNet's mean and deviation, as their weights want it.
        joints: of a detector with a keypoint head: the names of its joints, in its order.

    Raises:
        TypeError, ValueError: one sentence saying what can't be shown and what can.
        RuntimeError: the forward pass failed. The model is as it was before.
    """
    check_keywords(unknown, xray)
    if is_segmenter(model):
        return segmenter_xray(model, image, classes, level, channel, pixel, prepare)
    choice = PictureOfChoice(lambda image: OpenedDetector(model, image, classes, joints), image)
    opened = choice.first
    levels = list(opened.stages.levels)
    if isinstance(detection, bool) or not isinstance(detection, int) or not 0 <= detection < max(1, len(opened.names)):
        raise ValueError(f"detection is {detection!r}, and the detections 0 to {max(0, len(opened.names) - 1)} can be chosen")
    level = ITS_LEVEL if level is None else str(level)
    if level not in (ITS_LEVEL, *levels):
        raise ValueError(f"level is {level!r}, and there are the levels {', '.join(levels)}")
    if box is not None and opened.stages.heads is None:
        raise ValueError(f"box is {box!r}, and {type(model).__name__} has no head that takes boxes; it takes None")
    start = opened.place_of(box)
    channel = opened.loudest if channel is None else arguments.whole(channel, "channel", 0)
    most = max(len(each) for each in opened.stages.levels.values())

    def settings(picture: Tensor | None = None) -> list[Setting]:
        opened = choice(picture)
        options, first = _options(opened), picture is None
        made: list[Setting] = []
        if options:
            chosen = OWN if first and box is not None else options[detection if first else 0]
            made.append(Choice("detection", options, chosen))
        if opened.stages.heads is not None:
            made.append(DragBox("box", "photograph", OWN_BOX, start if first else opened.place_of(None), label=OWN))
        if len(levels) > 1:
            made.append(Choice("level", [ITS_LEVEL, *levels], level))
        if most > 1:
            made.append(Slider("channel", 0, most - 1, step=1, value=channel))
        if opened.joints > 1:
            made.append(Slider("joint", 0, opened.joints - 1, step=1, value=0))
        drawn = Slider("score_threshold", 0.0, 1.0, step=0.05, value=score_threshold, label="drawn from score")
        return [*made, drawn, Upload("picture", label="Your picture")]

    def compute(
        score_threshold: float,
        picture: Tensor | None,
        detection: str = NONE,
        box: Place | None = None,
        level: str = level,
        channel: int = 0,
        joint: int = 0,
    ) -> Trace:
        opened = choice(picture)
        box = None if box is None else opened.within(box)
        if detection == OWN:
            followed = opened.own(box)
        else:
            followed = opened.followed(opened.names.index(detection) if detection in opened.names else None)
        return DetectorStory(opened, followed, box, level, channel, score_threshold, joint).trace()

    return Live(compute, settings)


def _options(opened: OpenedDetector) -> list[str]:
    """What can be followed: detections, and the viewer's own box where there are heads to take it."""
    own = [OWN] if opened.stages.heads is not None else []
    return [*(opened.names or own and [NONE]), *own]
