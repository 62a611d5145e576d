"""Our SSD beside torchvision's ssd300_vgg16 with the same tensors: answers, their stages, and whole training steps.

The weights are random, calibrated so that the scores are spread as a trained network's: 91 classes, 8732 default boxes, and many boxes to
suppress. Measured as tests/bench/faster_rcnn.py does, with its pictures; before anything is timed, the detections are held against each
other.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models.detection import ssd300_vgg16

from course.models.ssd import SSD, from_torchvision
from tests.bench.faster_rcnn import inferred, pictures, row, targets
from tests.bench.table import Row
from tests.parity.calibrated import spread


def measure(quick: bool) -> list[Row]:
    """About two minutes, half of one if quick."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return of_network(calibrated().to(device), device, 2 if quick else 9)
    finally:
        torch.set_num_threads(threads)


def calibrated() -> nn.Module:
    """Most default boxes show background: a few thousand scores are above 0.01, of all boxes and classes."""
    torch.manual_seed(0)
    network = ssd300_vgg16(weights=None, weights_backbone=None).eval()
    logits, deltas = network.head.classification_head.module_list, network.head.regression_head.module_list
    spread(network, pictures(), {layer: 2.0 for layer in logits} | {layer: 1.0 for layer in deltas})
    for layer in logits:
        layer.bias.data.view(-1, 91)[:, 0] += 10.0
    return network


def of_network(theirs: nn.Module, device: str, runs: int) -> list[Row]:
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

    rows = [row("ssd300_vgg16: ms a picture", {"ours": lambda: answer(ours), "torchvision": lambda: answer(theirs)}, runs)]
    rows += [row(f"ssd300_vgg16, {stage}: ms", ways, runs) for stage, ways in stages(ours, theirs, images[:1]).items()]
    steps = {"ours": lambda: train(ours, ours.losses), "torchvision": lambda: train(theirs, theirs)}
    return [*rows, row("ssd300_vgg16, two pictures, forward and backward: ms", steps, max(1, runs // 2))]


def stages(ours: SSD, theirs: nn.Module, images: list[Tensor]) -> dict[str, Mapping[str, Callable[[], object]]]:
    """Each on what the stage before gave, so that both do the same."""
    with torch.inference_mode():
        batch, mine = theirs.transform(images)[0], ours.prepare(images)
        levels = theirs.backbone(batch.tensors)
        named = ours.backbone(mine.images)
        predictions, outputs = ours.predict(named, mine.size), theirs.head(list(levels.values()))
        boxes = theirs.anchor_generator(batch, list(levels.values()))

    def their_predictions() -> None:
        theirs.head(list(levels.values()))
        theirs.anchor_generator(batch, list(levels.values()))

    ways = {
        "the six maps": (lambda: ours.backbone(mine.images), lambda: theirs.backbone(batch.tensors)),
        "scores, deltas and default boxes": (lambda: ours.predict(named, mine.size), their_predictions),
        "boxes chosen and suppressed": (
            lambda: ours.detect(predictions, mine),
            lambda: theirs.postprocess_detections(outputs, boxes, batch.image_sizes),
        ),
    }
    return {stage: {"ours": inferred(mine), "torchvision": inferred(peer)} for stage, (mine, peer) in ways.items()}
