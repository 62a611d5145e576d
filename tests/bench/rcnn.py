"""R-CNN and SPP-net: mean average precision, and the seconds of each stage.

On shapes: EfficientNet-Lite0 as it comes from ImageNet, its features of stride 16; SVMs, a softmax and the box regression trained on
them, with the paper's λ and the C of its authors' code. R-CNN warps each proposal to 64 × 64, SPP-net pools from one pass over the
picture. Same network, same proposals, same training; judged on pictures that nothing was trained on.

On the photographs nothing is trained: the ImageNet classifier says what is in each warped proposal, and the classes that name the object
are added up. The box drawn by hand that a reported box overlaps most, and how many boxes are reported.

Seconds are those of the processor, one thread, both ways in one run. "paper" is a figure of R. Girshick 2015, arXiv:1504.08083,
section 1.1: R-CNN with VGG16 on a GPU of its time.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from course.data.photos import photo
from course.data.shapes import CLASSES, Shapes
from course.metrics.detection import mean_average_precision
from course.models.backbones import EfficientNetLite0, efficientnet_lite0, imagenet_classes
from course.models.cached_features import CachedFeatures
from course.models.rcnn import RCNN, CellFeatures, Regions, WarpedFeatures, train_box_regression, train_softmax, train_svms
from course.models.selective_search import selective_search
from course.models.spp import PyramidFeatures
from course.models.warping import warp
from course.ops.boxes import box_iou
from tests.bench.table import Row

PAPER_SECONDS = 47.0
THRESHOLDS = {"SVM": -1.0, "softmax": 0.02}  # low: average precision judges the order, and needs the unsure ones, too
NAMES = {
    "cat": ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"),
    "coffee": ("cup", "coffee mug", "espresso"),
    "motorcycle": ("moped", "motor scooter"),
}
DRAWN = {"cat": (0, 0, 385, 300), "coffee": (172, 17, 410, 305), "motorcycle": (85, 80, 685, 455)}

Picture = tuple[Tensor, dict[str, Tensor]]


def measure(quick: bool) -> list[Row]:
    """A quarter of an hour, two minutes if quick."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        backbone = efficientnet_lite0()
        return [*on_shapes(backbone, quick), *on_photographs(backbone, 40 if quick else 300), *at_2000(backbone, 200 if quick else 2000)]
    finally:
        torch.set_num_threads(threads)


class Clock:
    """Processor seconds, added up under a name for each stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, fn: Callable, *args, **options):
        start = time.process_time()
        answer = fn(*args, **options)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.process_time() - start
        return answer


# ---- trained on shapes -----------------------------------------------------------------------------------------------------


def on_shapes(backbone: EfficientNetLite0, quick: bool) -> list[Row]:
    train, test = (pictures(split, count) for split, count in (("train", 40 if quick else 300), ("test", 20 if quick else 150)))
    limit = 60 if quick else 150
    searched = [[selective_search(image, "fast")[:limit] for image, _ in part] for part in (train, test)]
    ways = {
        "R-CNN": WarpedFeatures(network=CellFeatures(backbone=backbone, stride=16, grid=4), size=64, padding=6),
        "SPP-net": PyramidFeatures(
            backbone=backbone, stride=16, centre=backbone.receptive_field(16).centre, levels=(4, 2, 1), shorter_side=384
        ),
    }
    results = {name: trained(way, train, test, *searched) for name, way in ways.items()}
    what = f"shapes, {len(train)} pictures learnt from, {len(test)} judged, {limit} proposals"
    rows = []
    for score, points in (("AP50", "0.5"), ("AP75", "0.75")):
        for way, (scores, _, _) in results.items():
            values = {name: getattr(found, score) for name, found in scores.items()}
            peers = {name: value for name, value in values.items() if name != "SVM, moved"}
            rows.append(Row(f"{what}: mAP@{points} of {way}, SVM with box regression", values["SVM, moved"], peers))
    clocks = {way: clock.seconds for way, (_, clock, _) in results.items()}
    count = len(train) + len(test)
    rows.append(Row("shapes: ms a picture for the features", *against(clocks, "features", 1000 / count)))
    for stage in ("SVMs", "softmax", "box regression"):
        rows.append(Row(f"shapes: seconds to train, {stage}", *against(clocks, stage, 1.0)))
    sizes = {way: size / count / 1e6 for way, (_, _, size) in results.items()}
    return [*rows, Row("shapes: MB of features a picture on disk", sizes["R-CNN"], {"SPP-net": sizes["SPP-net"]})]


def against(clocks: dict[str, dict[str, float]], stage: str, factor: float) -> tuple[float, dict[str, float]]:
    return clocks["R-CNN"][stage] * factor, {"SPP-net": clocks["SPP-net"][stage] * factor}


def pictures(split: str, count: int) -> list[Picture]:
    data = Shapes(split, count=count, size=128, target="instances")
    return [data[i] for i in range(count)]


def trained(features: nn.Module, train: Sequence[Picture], test: Sequence[Picture], searched: Sequence[Tensor], others: Sequence[Tensor]):
    """({classifier and whether boxes are moved: scores}, seconds of each stage, bytes on disk)."""
    clock, classes = Clock(), len(CLASSES) - 1
    with tempfile.TemporaryDirectory() as folder:
        kept = CachedFeatures(features, folder=folder)
        known = []
        for (image, target), proposals in zip(train, searched, strict=True):
            boxes = torch.cat((target["boxes"], proposals))  # [G + N, 4]
            known.append(Regions(clock("features", kept, image, boxes), boxes, target["labels"]))
        for (image, _), proposals in zip(test, others, strict=True):
            clock("features", kept, image, proposals)
        classifiers = {
            "SVM": clock("SVMs", train_svms, known, classes=classes),
            "softmax": clock("softmax", train_softmax, known, classes=classes),
        }
        regressor = clock("box regression", train_box_regression, known, classes=classes)
        scores = {}
        for name, classifier in classifiers.items():
            for moved, mover in (("", None), (", moved", regressor)):
                model = RCNN(
                    proposals=selective_search, features=kept, classifier=classifier, regressor=mover, score_threshold=THRESHOLDS[name]
                )
                found = [model.detect(image, boxes) for (image, _), boxes in zip(test, others, strict=True)]
                scores[name + moved] = mean_average_precision(found, [target for _, target in test], [0.5, 0.75])
        return scores, clock, kept.size()


# ---- nothing trained: the photographs --------------------------------------------------------------------------------------


class Named(nn.Module):
    """ImageNet's 1000 scores → the probability of all classes together that name the object: [N, 1000] → [N, 1]."""

    def __init__(self, name: str):
        super().__init__()
        self.columns = [i for i, known in enumerate(imagenet_classes()) if known in NAMES[name]]

    def forward(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)[:, self.columns].sum(1, keepdim=True)


def on_photographs(backbone: EfficientNetLite0, limit: int) -> list[Row]:
    rows = []
    for name, drawn in DRAWN.items():
        image, true = photo(name), torch.tensor([drawn], dtype=torch.float32)
        proposals = selective_search(image, "single")[:limit]
        network = RCNN(
            proposals=selective_search, features=WarpedFeatures(network=backbone, batch_size=8), classifier=Named(name), score_threshold=0.5
        )
        found = network.detect(image, proposals)
        overlap = box_iou(true, found["boxes"])[0]  # [D]
        what = f"{name}, {len(proposals)} proposals"
        best = {"of all proposals": float(box_iou(true, proposals).max()), "best scored": float(overlap[0]) if len(overlap) else 0.0}
        rows.append(
            Row(f"{what}: IoU with the box drawn by hand, best of those reported", float(overlap.amax()) if len(overlap) else 0.0, best)
        )
        rows.append(Row(f"{what}: boxes reported", len(overlap), {}))
    return rows


def at_2000(backbone: EfficientNetLite0, limit: int) -> list[Row]:
    """The stages on the photographs at the paper's number of proposals, and SPP-net with the same network on a picture 688 pixels high."""
    clock = Clock()
    pyramid = PyramidFeatures(backbone=backbone, centre=backbone.receptive_field(16).centre, shorter_side=688)
    head = torch.randn(320, 20, generator=torch.Generator().manual_seed(0))  # twenty classes: their numbers don't change the time
    counts = []
    for name in DRAWN:
        image = photo(name)
        proposals = clock("proposals", selective_search, image, "fast")[:limit]
        counts.append(len(proposals))
        for boxes in proposals.split(8):  # on a processor more at a time takes longer, twice as long with 40
            patches = clock("warp", warp, image, boxes, size=224)
            with torch.no_grad():
                features = clock("network", lambda patches=patches: backbone.features(patches)[32].mean((2, 3)))  # [8, 320]
            clock("score", lambda features=features: features @ head)
        clock("SPP-net", pyramid, image, proposals)
    each = {stage: seconds / len(DRAWN) for stage, seconds in clock.seconds.items()}
    what = f"photographs, {fmean(counts):.0f} proposals: seconds a picture"
    whole = sum(each[stage] for stage in ("proposals", "warp", "network", "score"))
    rows = [Row(f"{what}, {stage}", each[stage], {}) for stage in ("proposals", "warp", "network", "score")]
    rows.append(Row(f"{what}, R-CNN in all", whole, {"paper": PAPER_SECONDS}))
    return [*rows, Row(f"{what}, SPP-net's features", each["SPP-net"], {"R-CNN's features": each["warp"] + each["network"]})]
