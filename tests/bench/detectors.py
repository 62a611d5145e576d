"""Every detector of the course on one trunk and the same unseen pictures: how long a picture takes, and how good the answers are.

The weights are those that come with the course. A sliding window is R-CNN's classifier on a grid of windows in place of proposals. Times
are the processor's own, one thread, pictures of 128 pixels one by one, proposals included; so nothing that runs beside it counts.
"""

import time
from collections.abc import Callable

import torch
from torch import nn

from course.data.shapes import Shapes
from course.metrics import mean_average_precision
from course.models.rcnn import RCNN
from course.ops.window_boxes import window_boxes, window_sizes
from course.recipes import trained
from tests.bench.table import Row

WINDOWS = window_boxes(128, window_sizes((24, 40, 64), (0.5, 1, 2)), 8)


def measure(quick: bool) -> list[Row]:
    """About a quarter of an hour, two minutes if quick."""
    unseen = list(Shapes("test", count=10 if quick else 100, size=128, target="instances"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for name, model in detectors().items() for row in judged(name, model, unseen if name != SLOW else unseen[:30])]
    finally:
        torch.set_num_threads(threads)


SLOW = "sliding window"


def detectors() -> dict[str, nn.Module]:
    """Each with the weights that come with the course, in evaluation mode."""
    r_cnn = trained("rcnn")
    windows = RCNN(proposals=lambda _: WINDOWS, features=r_cnn.features, classifier=r_cnn.classifier, score_threshold=-1.0)
    rest = {
        "SPP-net": "spp",
        "Fast R-CNN": "fast_rcnn",
        "Faster R-CNN": "faster_rcnn",
        "YOLO": "yolo",
        "SSD": "ssd",
        "Mask R-CNN": "mask_rcnn",
    }
    return {SLOW: windows.eval(), "R-CNN": r_cnn, **{title: trained(name) for title, name in rest.items()}}


def judged(name: str, model: Callable, unseen: list) -> list[Row]:
    found, times = [], []
    with torch.inference_mode():
        model([unseen[0][0]])  # the first run is slower
        for image, _ in unseen:
            start = time.process_time()
            found += model([image])
            times.append(1000 * (time.process_time() - start))
    scores = mean_average_precision(found, [target for _, target in unseen])
    values = {"processor ms a picture": sorted(times)[len(times) // 2], "mAP@0.5": scores.AP50, "mAP": scores.mAP}
    return [Row(f"{name}, {len(unseen)} pictures: {what}", value, {}) for what, value in values.items()]
