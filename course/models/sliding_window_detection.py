"""Detection by sliding window: classify windows of every size and shape, keep those that are sure, and suppress what overlaps.

Papers: P. Viola and M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", CVPR 2001. P. Felzenszwalb, R.
Girshick, D. McAllester and D. Ramanan, "Object Detection with Discriminatively Trained Part-Based Models", TPAMI 2010, sections 3 and 7.
P. Sermanet et al., "OverFeat", 2013, arXiv:1312.6229, section 4.

    picture → windows over scales × aspect ratios × places → crop → classifier → score above a threshold → NMS of each class

Differs from the papers: the classifier is a network for whole pictures, which was never shown a window that sits badly, so a part of a
cat is a cat to it. It runs once for each window: OverFeat shares the convolutions, Viola and Jones give up early on most windows. A
window keeps its place: nothing moves the box.
Differs from torchvision: it has no such model. What is found comes in its dicts.

Shape letters: H × W picture, N windows, K outputs of the classifier, G classes that are looked for, M detections.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course.models.sliding_window import SlidingWindow, window_bar
from course.models.warping import check_image
from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.nms import batched_nms
from course.ops.window_boxes import count_windows, window_boxes


class SlidingWindowDetector(nn.Module):
    """A classifier of pictures, shown every window by itself, stretched to the size that it knows.

    Args:
        classifier: `[B, 3, S, S]` → logits `[B, K]`; used in the mode it is in.
        classes: what is looked for: for each label from 1 an output of the classifier, or several whose probabilities add up (all the
            cats of ImageNet).
        windows: (height, width) of each, in pixels, such as `window_sizes` gives them. One that is larger than the picture is left out.
        stride: pixels from one window to the next, one integer or (down, to the right).
        patch_size: S, to which every window is stretched, whatever its shape.
        score_threshold: a window is a detection if its probability is above this, 0…1.
        iou_threshold: of the suppression, as `nms` takes it.
        batch_size, progress: as of `SlidingWindow`.
    """

    def __init__(
        self,
        *,
        classifier: Callable[[Tensor], Tensor],
        classes: Sequence[int | Sequence[int]],
        windows: Sequence[IntOrPair],
        stride: IntOrPair,
        patch_size: int = 224,
        score_threshold: float = 0.5,
        iou_threshold: float = 0.3,
        batch_size: int = 2,
        progress: bool | None = None,
    ):
        super().__init__()
        self.classifier = classifier
        self.classes = _groups(classes)
        self.windows = [arguments.pair(window, "windows", 1) for window in windows]
        self.stride = arguments.pair(stride, "stride", 1)
        self.patch_size = arguments.whole(patch_size, "patch_size", 1)
        self.score_threshold = arguments.share(score_threshold, "score_threshold")
        self.iou_threshold = arguments.share(iou_threshold, "iou_threshold")
        self.batch_size, self.progress = arguments.whole(batch_size, "batch_size", 1), progress

    def count(self, size: IntOrPair) -> int:
        """How often the classifier runs for a picture of that (height, width)."""
        return sum(count_windows(size, self.windows, self.stride))

    def classify(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Every window, before anything is thrown away.

        Args:
            image: `[3, H, W]`, RGB, 0…1, floating-point, of any size.

        Returns: boxes `[N, 4]`, xyxy in pixels, and the probability of each class in each, `[N, G]`. N is `count((H, W))`, which may be 0.

        Raises: TypeError or ValueError for another image, or a classifier that does not give `[B, K]` with all the classes.
        """
        check_image(image)
        size = tuple(image.shape[1:])
        fitting = [window for window, places in zip(self.windows, count_windows(size, self.windows, self.stride), strict=True) if places]
        with window_bar(self.count(size), self.progress) as bar:  # one for all sizes

            def counted(patches: Tensor) -> Tensor:
                bar.update(len(patches))
                return self._scores(patches)

            options = {"stride": self.stride, "batch_size": self.batch_size, "progress": False}
            scores = [SlidingWindow(counted, size=window, **options)(image) for window in fitting]  # [G, R, S] each
        none = image.new_zeros(0, len(self.classes))
        boxes = window_boxes(size, fitting, self.stride).to(image)  # [N, 4]
        return boxes, torch.cat([none, *(grid.flatten(1).T for grid in scores)])  # [N, G]

    def select(self, boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """Threshold and suppression: `[N, 4]` and `[N, G]` → a dict of boxes `[M, 4]`, labels int64 `[M]` from 1, scores `[M]`, best first.

        A window may be a detection of several classes; only boxes of one class suppress each other.
        """
        window, group = (scores > self.score_threshold).nonzero().unbind(1)  # [candidates] each
        boxes, labels, scores = boxes[window], group + 1, scores[window, group]
        kept = batched_nms(boxes, scores, labels, self.iou_threshold)  # [M]
        return {"boxes": boxes[kept], "labels": labels[kept], "scores": scores[kept]}

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """What is in the picture `[3, H, W]`, as torchvision's detectors say it: `select` of `classify`."""
        return self.select(*self.classify(image))

    def extra_repr(self) -> str:
        return f"windows={self.windows}, stride={self.stride}, score_threshold={self.score_threshold}, iou_threshold={self.iou_threshold}"

    def _scores(self, patches: Tensor) -> Tensor:
        """Patches `[B, 3, h, w]` of any shape → probabilities `[B, G]`."""
        # antialias: a large window shrinks, and without it every second pixel would be skipped.
        stretched = F.interpolate(patches, size=(self.patch_size,) * 2, mode="bilinear", antialias=True)  # [B, 3, S, S]
        logits, last = self.classifier(stretched), max(map(max, self.classes))
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(patches) or logits.shape[1] <= last:
            got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"The classifier must give logits [{len(patches)}, K] with K above {last}; it gave {got}.")
        probabilities = logits.softmax(1)  # [B, K]
        return torch.stack([probabilities[:, group].sum(1) for group in self.classes], 1)  # [B, G]


def _groups(classes: Sequence[int | Sequence[int]]) -> list[list[int]]:
    """The outputs of the classifier that make up each class."""
    groups = [list(each) if isinstance(each, (tuple, list)) else [each] for each in classes]
    if not groups or not all(groups):
        raise ValueError(f"classes must name at least one output of the classifier for each class; got {classes!r}.")
    return [[arguments.whole(index, "classes", 0) for index in group] for group in groups]
