"""Mask R-CNN as a whole, small: what it gives back, what it refuses, and that its heads learn.

That its numbers are torchvision's is in tests/parity/test_mask_rcnn.py.
"""

import copy

import pytest
import torch
from torch import nn
from torchvision.models import detection

from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import RegionHead, Regions, fully_connected
from course.models.feature_pyramid import FeaturePyramid, PyramidRoIAlign, lateral_and_output
from course.models.mask_rcnn import KeypointHead, MaskHead, MaskRCNN, convolutions, from_torchvision, with_objects
from course.models.rpn import RPN, RPNHead
from course.models.stages import Stages
from course.ops.masks import paste_masks
from course.training import fit
from tests.refusing import refuses

FASTER = ["rpn_objectness", "rpn_box", "classification", "box"]
BOTH = ("mask", "keypoint")


def small(*heads: str, shorter_side: int | None = None) -> MaskRCNN:
    """Two levels of stride 8 and 16, four channels, three classes; masks of 8 × 8, two keypoints on maps of 16 × 16."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 4, 5, 4, 2), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU())
    lateral, output = lateral_and_output({8: 6, 16: 8}, 4)
    backbone = Stages({8: first, 16: nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())})
    pool = PyramidRoIAlign(strides={8: 8, 16: 16}, output_size=4, canonical_size=32)
    known = {
        "mask": MaskHead(pool=pool, layers=convolutions(4, 8, 8), features=8, classes=3, width=6),
        "keypoint": KeypointHead(pool=pool, layers=convolutions(4, 8), features=8, keypoints=2),
    }
    return MaskRCNN(
        prepare=DetectorInput(shorter_side=shorter_side, longer_side=96, multiple=16),
        backbone=FeaturePyramid(backbone=backbone, lateral=lateral, output=output),
        rpn=RPN(head=RPNHead(channels=4, anchors=3), sizes=((16,), (32,)), pre_nms=(60, 40), post_nms=(30, 20), drawn=32),
        head=RegionHead(
            pool=PyramidRoIAlign(strides={8: 8, 16: 16}, output_size=3, canonical_size=32),
            layers=fully_connected(4, 3, 16),
            features=16,
            classes=3,
            drawn=16,
            score_threshold=0.0,
            limit=12,
        ),
        **{name: known[name] for name in heads},
    )


def pictures(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(3, *size) for size in sizes]


def target(size: tuple[int, int], *boxes: list[float]) -> dict[str, torch.Tensor]:
    """The whole box is the object; its keypoints are its middle and its upper left corner."""
    boxes = torch.tensor(boxes).reshape(-1, 4)
    y, x = torch.arange(size[0])[:, None] + 0.5, torch.arange(size[1]) + 0.5
    masks = [(x > x1) & (x < x2) & (y > y1) & (y < y2) for x1, y1, x2, y2 in boxes]
    points = torch.stack(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, :2]), 1)  # [G, 2, 2]
    return {
        "boxes": boxes,
        "labels": torch.arange(1, 1 + len(boxes)),
        "masks": torch.stack(masks) if masks else torch.zeros(0, *size, dtype=torch.bool),
        "keypoints": torch.cat((points, torch.full((len(boxes), 2, 1), 2.0)), -1),
    }


SIZES = [(48, 64), (40, 30)]
OBJECTS = [[4.0, 6, 30, 28], [20, 10, 60, 44]]


@pytest.mark.parametrize("shorter_side", [None, 56])
def test_answers_are_in_the_pixels_of_each_picture(shorter_side):
    sizes = [(48, 64), (30, 20), (100, 90)]
    for found, (height, width) in zip(small(*BOTH, shorter_side=shorter_side).eval()(pictures(*sizes)), sizes, strict=True):
        assert list(found) == ["boxes", "labels", "scores", "masks", "keypoints", "keypoints_scores"]
        assert found["masks"].shape == (12, 1, height, width) and found["keypoints"].shape == (12, 2, 3)
        assert found["keypoints_scores"].shape == (12, 2) and not any(part.requires_grad for part in found.values())
        assert found["masks"].min() >= 0 and 0.2 < found["masks"].max() <= 1 and (found["keypoints"][..., 2] == 1).all()
        points, boxes = found["keypoints"][..., :2], found["boxes"][:, None]
        assert ((points > boxes[..., :2] - 1e-3) & (points < boxes[..., 2:] + 1e-3)).all()


@pytest.mark.parametrize("head", BOTH)
def test_one_head_alone(head):
    names = {"mask": ["masks"], "keypoint": ["keypoints", "keypoints_scores"]}[head]
    network, images = small(head), pictures(*SIZES)
    losses = network.losses(images, [target(size, *OBJECTS[:1]) for size in SIZES])
    assert list(losses) == [*FASTER, head]
    assert list(network.eval()(images)[0]) == ["boxes", "labels", "scores", *names]


def test_the_pasted_mask_is_the_one_of_the_class_that_was_found():
    network, (image,) = small("mask").eval(), pictures((48, 64))
    with torch.no_grad():
        network.mask.logits.bias.copy_(torch.tensor([0.0, -9, 9]))
        network.mask.logits.weight.zero_()
        network.head.classes.bias.zero_()
    (found,) = network([image])
    assert len(found["labels"].unique()) == 2
    for label, box, mask in zip(found["labels"], found["boxes"], found["masks"][:, 0], strict=True):
        of_ones = paste_masks(torch.ones(1, 8, 8), box[None], (48, 64))[0]
        torch.testing.assert_close(mask, of_ones * torch.tensor([0.0, -9, 9])[label].sigmoid())


def test_heads_look_at_detections_not_at_proposals():
    network, images, seen = small(*BOTH).eval(), pictures((48, 64)), []
    for head in (network.mask, network.keypoint):
        head.register_forward_pre_hook(lambda head, inputs: seen.append(inputs[1]))
    (found,) = network(images)
    for boxes in seen:
        torch.testing.assert_close(boxes, [found["boxes"]])
    assert len(seen) == 2


def test_alone_and_in_a_batch():
    network, images = small(*BOTH).eval(), pictures((48, 64), (48, 64), (48, 64))
    torch.testing.assert_close(network(images), [network([image])[0] for image in images])
    torch.testing.assert_close(network(torch.stack(images)), network(images))


def test_the_trace_ends_with_what_is_found():
    network, (image,) = small(*BOTH).eval(), pictures((48, 64))
    torch.testing.assert_close([network.trace(image)["detections"]], network([image]))


@pytest.mark.parametrize("limit", [1, 5])
def test_no_detection_and_one_and_several(limit):
    network, images = small(*BOTH).eval(), pictures(*SIZES)
    network.head.limit = limit
    assert [len(found["masks"]) for found in network(images)] == [limit, limit]
    network.head.score_threshold = 1.0
    for found, size in zip(network(images), SIZES, strict=True):
        assert found["masks"].shape == (0, 1, *size) and found["keypoints"].shape == (0, 2, 3)
        assert found["boxes"].shape == (0, 4) and found["keypoints_scores"].shape == (0, 2)


def test_detections_in_one_picture_only():
    network, images = small(*BOTH).eval(), pictures((48, 64))
    images.append(torch.zeros(3, 40, 30))
    both = network.head.detect

    def only_the_first(levels, proposals, sizes):
        first, second = both(levels, proposals, sizes)
        return [first, {name: part[:0] for name, part in second.items()}]

    expected = network(images)[0]
    network.head.detect = only_the_first
    found, none = network(images)
    torch.testing.assert_close(found, expected)
    assert none["masks"].shape == (0, 1, 40, 30)


def test_a_model_in_training_mode_answers_too():
    """With as many proposals as in training, so other numbers; nothing here depends on the mode but the layers."""
    found = small(*BOTH).train()(pictures(*SIZES))
    assert [each["masks"].shape[2:] for each in found] == SIZES


# -- Training


@pytest.mark.parametrize("objects", [[OBJECTS, []], [[], []], [OBJECTS[:1], [[-8.0, 5, 12, 70]]]])
def test_all_losses_reach_their_layers(objects):
    network = small(*BOTH).train()
    losses = network.losses(pictures(*SIZES), [target(size, *boxes) for size, boxes in zip(SIZES, objects, strict=True)])
    assert list(losses) == [*FASTER, *BOTH] and all(loss.isfinite() and loss.dim() == 0 for loss in losses.values())
    empty = objects == [[], []]
    assert all((losses[name] > 0) != empty for name in BOTH)
    sum(losses.values()).backward()
    of_heads = {name: p for name, p in network.named_parameters() if name.startswith(BOTH)}
    assert len(of_heads) == 12 and all(p.grad.any() != empty for p in of_heads.values())


def test_no_object_in_any_picture_and_no_proposal():
    network = small(*BOTH)
    network.rpn.min_size = 1000.0
    losses = network.losses(pictures(*SIZES), [target(size) for size in SIZES])
    assert [losses[name].item() for name in (*BOTH, "box", "classification")] == [0, 0, 0, 0]
    sum(losses.values()).backward()


def test_only_regions_with_an_object_have_a_mask_to_learn():
    boxes = [torch.rand(3, 4), torch.rand(2, 4)]
    objects = [torch.tensor([1, -1, 0]), torch.tensor([-1, 0])]
    regions = Regions(boxes, torch.tensor([2, 0, 1, 0, 2]), torch.rand(5, 4), objects)
    shown = with_objects(regions)
    assert [of_image.tolist() for of_image in shown.objects] == [[1, 0], [0]] and shown.labels.tolist() == [2, 1, 2]
    torch.testing.assert_close(shown.boxes, [boxes[0][[0, 2]], boxes[1][[1]]])
    torch.testing.assert_close(shown.targets, regions.targets[[0, 2, 4]])


def test_masks_and_keypoints_go_in_at_the_size_of_the_batch():
    """A picture of 28 × 42 is shown as 56 × 84: each pixel of a mask becomes four, and coordinates double."""
    network, told = small(*BOTH, shorter_side=56), {}
    for name in BOTH:
        head = getattr(network, name)
        head.loss = lambda levels, regions, truth, loss=head.loss, name=name: told.update({name: truth}) or loss(levels, regions, truth)
    wanted = target((28, 42), [4.0, 6, 20, 25])
    before = copy.deepcopy(wanted)
    network.losses(pictures((28, 42)), [wanted])
    torch.testing.assert_close(told["mask"][0], wanted["masks"].float().repeat_interleave(2, 1).repeat_interleave(2, 2))
    torch.testing.assert_close(told["keypoint"][0], torch.tensor([[[24.0, 31, 2], [8, 12, 2]]]))
    torch.testing.assert_close(wanted, before)


def test_it_learns():
    network = small(*BOTH)
    batches = [(pictures(*SIZES), [target(SIZES[0], *OBJECTS), target(SIZES[1])])] * 3
    history = fit(network, batches, batch_loss=network.losses, epochs=12, device="cpu", progress=False)
    assert list(history.epochs) == [*FASTER, *BOTH]
    for name in BOTH:
        assert history.epochs[name][-1] < 0.9 * history.epochs[name][0]


# -- What is refused


def test_broken_targets_name_the_picture():
    network, images, first = small(*BOTH), pictures(*SIZES), target(SIZES[0], *OBJECTS)
    second = target(SIZES[1], [2.0, 2, 20, 20])

    def broken(**parts):
        return lambda: network.losses(images, [first, {name: part for name, part in (second | parts).items() if part is not None}])

    refuses(broken(masks=None), ValueError, "The target of picture 1 has no masks; it has boxes, labels, keypoints")
    refuses(broken(keypoints=None), ValueError, "picture 1 has no keypoints")
    refuses(broken(masks=second["masks"][0]), ValueError, "the masks of picture 1 must have shape [G, h, w]", "got [40, 30]")
    refuses(broken(masks=second["masks"].mT), ValueError, "masks of picture 1 must have shape [1, 40, 30]", "got [1, 30, 40]")
    refuses(broken(masks=second["masks"][:0]), ValueError, "got [0, 40, 30]")
    refuses(broken(masks=second["masks"].to(torch.complex64)), TypeError, "masks of picture 1 must be bool, or numbers", "complex64")
    refuses(broken(keypoints=second["keypoints"][:, :1]), ValueError, "keypoints of picture 1 must have shape [1, 2, 3]", "got [1, 1, 3]")
    refuses(broken(keypoints=second["keypoints"].long()), TypeError, "the keypoints of picture 1 must be a floating-point tensor")
    refuses(broken(boxes=None), ValueError, "The target of picture 1 has no boxes")
    refuses(lambda: network.losses(images, [first]), ValueError, "each of the 2 pictures; got 1")


def test_a_network_without_either_head():
    refuses(small, ValueError, "needs a mask head, a keypoint head or both; without, it is a FasterRCNN")


def test_other_models_are_refused():
    network = detection.ssdlite320_mobilenet_v3_large(num_classes=2, weights=None, weights_backbone=None)
    refuses(lambda: from_torchvision(network), TypeError, "one of torchvision's Mask or Keypoint R-CNNs, not a SSD")
    refuses(lambda: from_torchvision(small("mask")), TypeError, "one of torchvision's Mask or Keypoint R-CNNs, not a MaskRCNN")


# -- GPU


@pytest.mark.gpu
def test_the_same_on_cpu_and_gpu():
    network, images = small(*BOTH).eval().double(), [image.double() for image in pictures(*SIZES)]
    expected = network(images)
    found = network.cuda()([image.cuda() for image in images])
    assert all(part.is_cuda for each in found for part in each.values())
    torch.testing.assert_close([{name: part.cpu() for name, part in each.items()} for each in found], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
def test_losses_and_gradients_are_the_same_on_cpu_and_gpu():
    network, images = small(*BOTH).double(), [image.double() for image in pictures(*SIZES)]
    network.rpn.drawn = network.head.drawn = 10_000  # all there are: each device draws with a generator of its own
    wanted = [target(SIZES[0], *OBJECTS), target(SIZES[1], [2.0, 2, 20, 20])]
    wanted = [{name: part.double() if part.is_floating_point() else part for name, part in each.items()} for each in wanted]
    there = copy.deepcopy(network).cuda()
    losses = network.losses(images, wanted)
    wanted_there = [{name: part.cuda() for name, part in each.items()} for each in wanted]
    losses_there = there.losses([image.cuda() for image in images], wanted_there)
    assert list(losses) == [*FASTER, *BOTH] and min(losses.values()) > 1e-3
    torch.testing.assert_close({name: loss.cpu() for name, loss in losses_there.items()}, losses)
    sum(losses.values()).backward()
    sum(losses_there.values()).backward()
    gradients = [{name: part.grad.cpu() for name, part in each.named_parameters()} for each in (there, network)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-8)


@pytest.mark.gpu
def test_it_learns_in_mixed_precision_on_the_gpu():
    network = small(*BOTH)
    batches = [(pictures(*SIZES), [target(SIZES[0], *OBJECTS), target(SIZES[1])])] * 3
    history = fit(network, batches, batch_loss=network.losses, epochs=12, device="cuda", progress=False)
    for name in BOTH:
        assert history.epochs[name][-1] < 0.9 * history.epochs[name][0]
