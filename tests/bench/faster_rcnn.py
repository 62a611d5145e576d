"""Our Faster R-CNN beside torchvision's with the same tensors: answers, their stages, and whole training steps.

The weights are random, calibrated so that the scores are spread as a trained network's: 91 classes, the best 1000 proposals of a picture,
and many boxes to suppress. On a processor one thread and its own time, on a GPU the clock's; the least of several turns, since what else
runs there only ever adds to it. Before anything is timed, the detections are held against each other.
"""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models import detection

from course.data.photos import photo
from course.models.faster_rcnn import FasterRCNN, from_torchvision
from tests.bench.table import Row
from tests.parity.calibrated import calibrate

NETWORKS = {
    "mobilenet_v3_large_320_fpn": (detection.fasterrcnn_mobilenet_v3_large_320_fpn, 320, 320),
    "resnet50_fpn": (detection.fasterrcnn_resnet50_fpn, 640, 320),
}
"""How it is made, the shorter side of the pictures, and the one if quick."""


def measure(quick: bool) -> list[Row]:
    """About six minutes, one if quick."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        rows = []
        for name, (make, size, small) in NETWORKS.items():
            theirs = calibrated(make, small if quick else size).to(device)
            rows += of_network(f"{name}, {small if quick else size} pixels", theirs, device, 3 if quick else 9)
        return rows
    finally:
        torch.set_num_threads(threads)


def calibrated(make: Callable[..., nn.Module], size: int) -> nn.Module:
    """On pictures of 160 pixels, which takes less time, and left for pictures of `size`."""
    torch.manual_seed(0)
    network = make(weights=None, weights_backbone=None, num_classes=91, min_size=160, max_size=2 * size)
    calibrate(network, pictures(), targets())
    network.transform.min_size = (size,)
    network.roi_heads.box_roi_pool.scales = None  # guessed from the first pictures
    return network


def pictures() -> list[Tensor]:
    return [photo("cat")[:, :300, :400], photo("coffee")[:, :300, 100:500]]


def targets() -> list[dict[str, Tensor]]:
    boxes = [[[0.0, 0, 385, 300]], [[72.0, 17, 310, 299], [225, 62, 323, 299]]]
    return [{"boxes": torch.tensor(of_image), "labels": torch.arange(1, 1 + len(of_image))} for of_image in boxes]


def of_network(name: str, theirs: nn.Module, device: str, runs: int) -> list[Row]:
    ours = from_torchvision(theirs)
    images = [image.to(device) for image in pictures()]
    wanted = [{part: tensor.to(device) for part, tensor in target.items()} for target in targets()]
    with torch.inference_mode():
        for mine, expected in zip(ours(images), theirs(images), strict=True):  # loose enough for TensorFloat-32, and two that change places
            torch.testing.assert_close(mine["scores"], expected["scores"], rtol=3e-2, atol=3e-2)

    def answer(model: nn.Module) -> None:
        with torch.inference_mode():
            model(images[:1])

    def train(model: nn.Module, losses: Callable) -> None:
        model.train().zero_grad()
        sum(losses(images, wanted).values()).backward()
        model.eval()

    rows = [row(f"{name}: ms a picture", {"ours": lambda: answer(ours), "torchvision": lambda: answer(theirs)}, runs)]
    rows += [row(f"{name}, {stage}: ms", ways, runs) for stage, ways in stages(ours, theirs, images[:1]).items()]
    steps = {"ours": lambda: train(ours, ours.losses), "torchvision": lambda: train(theirs, theirs)}
    return [*rows, row(f"{name}, two pictures, forward and backward: ms", steps, max(2, runs // 2))]


def stages(ours: FasterRCNN, theirs: nn.Module, images: list[Tensor]) -> dict[str, Mapping[str, Callable[[], object]]]:
    """Each on what torchvision's stage before gave, so that both do the same."""
    with torch.inference_mode():
        batch, mine = theirs.transform(images)[0], ours.prepare(images)
        levels = theirs.backbone(batch.tensors)
        named = dict(zip(ours.backbone(mine.images), levels.values(), strict=True))  # with our names
        proposals, _ = theirs.rpn(batch, levels)
        heads = theirs.roi_heads
        regions = heads.box_roi_pool(levels, proposals, batch.image_sizes)
    ways = {
        "backbone and pyramid": (lambda: ours.backbone(mine.images), lambda: theirs.backbone(batch.tensors)),
        "proposals": (lambda: ours.rpn.propose(ours.rpn(named, mine.size), mine.sizes), lambda: theirs.rpn(batch, levels)),
        "regions pooled": (
            lambda: ours.head.pool(named, proposals),
            lambda: heads.box_roi_pool(levels, proposals, batch.image_sizes),
        ),
        "layers of the head": (lambda: ours.head.layers(regions), lambda: heads.box_head(regions)),
        "the head in all, with its suppression": (
            lambda: ours.head.detect(named, proposals, mine.sizes),
            lambda: heads(levels, proposals, batch.image_sizes),
        ),
    }
    return {stage: {"ours": inferred(mine), "torchvision": inferred(peer)} for stage, (mine, peer) in ways.items()}


def inferred(way: Callable[[], object]) -> Callable[[], object]:
    return torch.inference_mode()(way)


def row(measure: str, ways: Mapping[str, Callable[[], object]], runs: int) -> Row:
    """The least time of each in ms, after a run unmeasured, in turns."""
    on_gpu = torch.cuda.is_available()
    clock = time.perf_counter if on_gpu else time.process_time
    least = dict.fromkeys(ways, float("inf"))
    for run in range(runs + 1):
        for name, way in ways.items():
            start = clock()
            way()
            if on_gpu:
                torch.cuda.synchronize()
            if run:
                least[name] = min(least[name], 1000 * (clock() - start))
    ours, *peers = least.items()
    return Row(measure, ours[1], dict(peers))
