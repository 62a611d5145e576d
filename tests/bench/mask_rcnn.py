"""Our Mask and Keypoint R-CNN beside torchvision's with the same tensors: answers, their heads, and pasting alone.

As in faster_rcnn.py: random weights, calibrated so that the scores are spread; one thread and its own time on a processor, the clock's on a
GPU; the least of several turns. A hundred detections, as an untrained network has them, are what the heads look at in a crowded picture,
and torchvision's own limit. Pasting is measured as in `course.ops.masks`: all the masks of one picture, at three sizes of it.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints, paste_masks_in_image

from course.models.mask_rcnn import MaskRCNN, from_torchvision
from course.ops.keypoints import decode_keypoints
from course.ops.masks import paste_masks
from tests.bench.faster_rcnn import inferred, pictures, row, targets
from tests.bench.table import Row
from tests.parity.calibrated import calibrate, spread

NETWORKS = {"maskrcnn_resnet50_fpn": detection.maskrcnn_resnet50_fpn, "keypointrcnn_resnet50_fpn": detection.keypointrcnn_resnet50_fpn}
PASTED = {"300 × 400": (300, 400), "480 × 640": (480, 640), "800 × 1333": (800, 1333)}


def measure(quick: bool) -> list[Row]:
    """About ten minutes, three if quick."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        rows = [of_pasting(name, size, device, 5 if quick else 15) for name, size in PASTED.items() if not quick or name != "800 × 1333"]
        rows.append(of_decoding(device, 3 if quick else 9))
        size, detections = (320, 50) if quick else (640, 100)
        for name, make in NETWORKS.items():
            rows += of_network(name, calibrated(make, size, detections).to(device), device, 2 if quick else 7)
        return rows
    finally:
        torch.set_num_threads(threads)


def detected(count: int, size: tuple[int, int], device: str) -> Tensor:
    """Boxes of all sizes, up to the whole picture. [count, 4]"""
    draw = torch.Generator().manual_seed(0)
    ends = torch.rand(count, 2, 2, generator=draw).sort(1).values  # [count, 2, 2]
    return (ends * torch.tensor([size[1], size[0]])).flatten(1).to(device)


def of_pasting(name: str, size: tuple[int, int], device: str, runs: int) -> Row:
    masks, boxes = torch.rand(100, 28, 28, generator=torch.Generator().manual_seed(1)).to(device), detected(100, size, device)
    ways = {"ours": lambda: paste_masks(masks, boxes, size), "torchvision": lambda: paste_masks_in_image(masks[:, None], boxes, size)}
    torch.testing.assert_close(ways["ours"](), ways["torchvision"]()[:, 0], rtol=0, atol=1e-4)
    return row(f"100 masks pasted into {name}: ms", {way: inferred(call) for way, call in ways.items()}, runs)


def of_decoding(device: str, runs: int) -> Row:
    maps, boxes = torch.randn(20, 17, 56, 56, generator=torch.Generator().manual_seed(1)).to(device), detected(20, (480, 640), device)
    ways = {"ours": lambda: decode_keypoints(maps, boxes), "torchvision": lambda: heatmaps_to_keypoints(maps, boxes)}
    torch.testing.assert_close(ways["ours"](), ways["torchvision"](), rtol=1e-4, atol=1e-4)
    return row("17 heat maps of 20 people in 480 × 640: ms", {way: inferred(call) for way, call in ways.items()}, runs)


def calibrated(make: Callable[..., nn.Module], size: int, detections: int) -> nn.Module:
    """On pictures of 160 pixels, which takes less time, and left for pictures of `size`."""
    torch.manual_seed(0)
    network = make(weights=None, weights_backbone=None, num_classes=91, min_size=160, max_size=2 * size, box_detections_per_img=4)
    calibrate(network, pictures(), wanted())
    if network.roi_heads.has_mask():
        spread(network, pictures(), {network.roi_heads.mask_predictor.mask_fcn_logits: 2.0})
    network.transform.min_size, network.roi_heads.detections_per_img = (size,), detections
    for pool in (network.roi_heads.box_roi_pool, network.roi_heads.mask_roi_pool, network.roi_heads.keypoint_roi_pool):
        if pool is not None:
            pool.scales = None  # guessed from the first pictures
    return network


def wanted() -> list[dict[str, Tensor]]:
    """With the boxes as masks, and their middles as keypoints."""
    found = []
    for image, target in zip(pictures(), targets(), strict=True):
        boxes = target["boxes"]
        masks = torch.zeros(len(boxes), *image.shape[1:], dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = 1
        middle = torch.cat(((boxes[:, :2] + boxes[:, 2:]) / 2, torch.ones(len(boxes), 1)), 1)
        found.append(target | {"masks": masks, "keypoints": middle[:, None].repeat(1, 17, 1)})
    return found


def of_network(name: str, theirs: nn.Module, device: str, runs: int) -> list[Row]:
    ours = from_torchvision(theirs)
    images = [image.to(device) for image in pictures()]
    truth = [{part: tensor.to(device) for part, tensor in target.items()} for target in wanted()]
    answer = {"ours": inferred(lambda: ours(images[:1])), "torchvision": inferred(lambda: theirs(images[:1]))}
    for mine, expected in zip(answer["ours"](), answer["torchvision"](), strict=True):  # loose enough for two that change places
        torch.testing.assert_close(mine["scores"], expected["scores"], rtol=3e-2, atol=3e-2)
        assert mine.keys() == expected.keys()
    size = f"{theirs.transform.min_size[0]} pixels, {len(expected['scores'])} detections"

    def train(model: nn.Module, losses: Callable) -> None:
        model.train().zero_grad()
        sum(losses(images, truth).values()).backward()
        model.eval()

    rows = [row(f"{name}, {size}: ms a picture", answer, runs)]
    rows += [row(f"{name}, {stage}: ms", ways, runs) for stage, ways in heads(ours, theirs, images[:1]).items()]
    steps = {"ours": lambda: train(ours, ours.losses), "torchvision": lambda: train(theirs, theirs)}
    return [*rows, row(f"{name}, two pictures, forward and backward: ms", steps, max(1, runs // 2))]


def heads(ours: MaskRCNN, theirs: nn.Module, images: list[Tensor]) -> dict[str, Mapping[str, Callable[[], object]]]:
    """What comes after the boxes, on the same levels and the same boxes, without pasting."""
    with torch.inference_mode():
        batch, mine = theirs.transform(images)[0], ours.prepare(images)
        levels = theirs.backbone(batch.tensors)
        named = dict(zip(ours.backbone(mine.images), levels.values(), strict=True))  # with our names
        found = theirs.roi_heads(levels, theirs.rpn(batch, levels)[0], batch.image_sizes)[0]
    boxes, kind = [each["boxes"] for each in found], "mask" if ours.mask is not None else "keypoint"
    pool, layers, last = (getattr(theirs.roi_heads, f"{kind}_{part}") for part in ("roi_pool", "head", "predictor"))
    ways = {
        "ours": inferred(lambda: getattr(ours, kind)(named, boxes)),
        "torchvision": inferred(lambda: last(layers(pool(levels, boxes, batch.image_sizes)))),
    }
    torch.testing.assert_close(ways["ours"](), ways["torchvision"](), rtol=1e-2, atol=1e-2)
    return {f"its {kind} head": ways}
