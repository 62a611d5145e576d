"""course.models.ssd against torchvision's ssd300_vgg16, with the same tensors.

In float64, where the order of two scores does not depend on who adds up in which order. VGG16 takes seconds for a picture so, so that only
one test of detections and one of gradients goes through it, and all others begin at its maps.
"""

import copy
import functools

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

from course.models.ssd import from_torchvision, match_default_boxes
from tests.parity import test_faster_rcnn
from tests.parity.calibrated import spread
from tests.parity.test_faster_rcnn import same_detections
from tests.refusing import refuses

SMALL = {"num_classes": 5, "score_thresh": 0.1, "detections_per_img": 25, "topk_candidates": 60}
"""Something is cut off everywhere: default boxes with low scores, candidates of a class, detections."""
NAMES = {"classification": "classification", "box": "bbox_regression"}


def pictures(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """One wider than high, one more than three times as wide."""
    return test_faster_rcnn.pictures(dtype)[::2]


def targets(dtype: torch.dtype = torch.float64) -> list[dict[str, Tensor]]:
    """Two objects, none."""
    return test_faster_rcnn.targets(dtype)[::2]


def theirs(dtype: torch.dtype = torch.float64) -> nn.Module:
    """Made once, and copied, so that no test sees what another did to it."""
    return copy.deepcopy(made()).to(dtype)


@functools.cache
def made() -> nn.Module:
    torch.manual_seed(1)
    return randomised(detection.ssd300_vgg16(weights=None, weights_backbone=None, **SMALL))


def randomised(network: nn.Module) -> nn.Module:
    """With biases, and with weights of conv4_3's channels, that differ, and scores and boxes that are spread."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    nn.init.uniform_(network.backbone.scale_weight, 10, 30)
    layers = {layer: 2.0 for layer in network.head.classification_head.module_list}
    layers |= {layer: 1.0 for layer in network.head.regression_head.module_list}
    spread(network.eval(), pictures(torch.float32), layers)
    return network


@functools.cache
def levels() -> dict[str, Tensor]:
    """What torchvision's VGG16 gives for the pictures, float64."""
    network = theirs()
    with torch.no_grad():
        return network.backbone(network.transform(pictures())[0].tensors)


class Given(nn.Module):
    """In place of a backbone: its maps, which were computed before."""

    def __init__(self, levels: dict[str, Tensor]):
        super().__init__()
        self.levels = levels

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return dict(self.levels)


def test_same_detections_in_a_batch_of_several_sizes():
    mine, network = from_torchvision(theirs()), theirs()
    network.backbone = Given(levels())
    with torch.inference_mode():
        expected = network(pictures())
        same_detections(mine(pictures()), expected, gap=1e-9)
        assert [len(found["scores"]) for found in expected] == [SMALL["detections_per_img"]] * 2, "nothing was cut off"
    assert {p.dtype for p in mine.parameters()} == {torch.float64}


def test_the_trace_has_the_numbers_that_torchvisions_network_gives():
    mine, network = from_torchvision(theirs()), theirs()
    mine.backbone = Given(levels())
    with torch.inference_mode():
        expected = network.head(list(levels().values()))
        mine.backbone = Given({name: level[:1] for name, level in levels().items()})
        trace = mine.trace(pictures()[0])
    assert [tuple(level.shape[1:]) for level in trace["levels"].values()] == [(n, n) for n in (38, 19, 10, 5, 3, 1)]
    assert trace["default_levels"].bincount().tolist() == [5776, 2166, 600, 150, 36, 4] and len(trace["default_boxes"]) == 8732
    torch.testing.assert_close(trace["logits"], expected["cls_logits"][0], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(trace["deltas"], expected["bbox_regression"][0], rtol=1e-9, atol=1e-9)


def test_same_default_boxes():
    mine, network = from_torchvision(theirs(torch.float32)), made()
    maps = {name: level.float() for name, level in levels().items()}
    (expected, *_) = network.anchor_generator(ImageList(torch.zeros(2, 3, 300, 300), [(300, 300)] * 2), list(maps.values()))
    with torch.inference_mode():
        torch.testing.assert_close(mine.predict(maps, (300, 300)).boxes, expected, rtol=0, atol=0)


def same_losses(mine: nn.Module, network: nn.Module, images: list[Tensor], wanted: list[dict[str, Tensor]]) -> None:
    """The two losses, and the gradient of every tensor that has one."""
    losses, expected = mine.train().losses(images, wanted), network.train()(images, wanted)
    assert losses.keys() == NAMES.keys() and min(losses.values()) > 0.1
    for name, theirs_name in NAMES.items():
        torch.testing.assert_close(losses[name], expected[theirs_name], rtol=1e-6, atol=0, msg=name)
    sum(losses.values()).backward()
    sum(expected.values()).backward()
    gradients = [[p.grad for p in model.parameters() if p.grad is not None] for model in (mine, network)]
    ours, peers = (sorted(of_model, key=signature) for of_model in gradients)
    assert sum(peer.abs().max() > 0 for peer in peers) > 0.5 * len(peers)  # no default box of the last maps is positive
    for gradient, peer in zip(ours, peers, strict=True):
        torch.testing.assert_close(gradient, peer, rtol=1e-5, atol=1e-5 * peer.abs().max().item())


def signature(gradient: Tensor) -> tuple:
    """Tensors of one shape are told apart by their gradients' sizes, whatever they are called."""
    return tuple(gradient.shape), gradient.double().norm().item()


def with_given_levels(network: nn.Module) -> nn.Module:
    given, network.backbone = network.backbone, made().backbone
    mine = from_torchvision(network).to(next(network.head.parameters()))
    mine.backbone = network.backbone = given
    return mine


def test_same_gradients_down_to_the_first_layer():
    """An object that reaches beyond its picture."""
    network, images, wanted = theirs(), test_faster_rcnn.pictures()[1:2], test_faster_rcnn.targets()[1:2]
    same_losses(from_torchvision(network), network, images, wanted)


def test_same_losses_with_and_without_objects():
    """A picture without objects has no positives, and so no negatives."""
    network = theirs()
    network.backbone = Given(levels())
    same_losses(with_given_levels(network), network, pictures(), targets())


def test_other_numbers_are_taken_over():
    network = theirs()
    network.anchor_generator = DefaultBoxGenerator([[3], [2, 3], [1.5, 3], [2, 3], [2], [3]], 0.1, 0.8)
    network.score_thresh, network.nms_thresh, network.topk_candidates, network.detections_per_img = 0.3, 0.2, 15, 40
    network.proposal_matcher.high_threshold = network.proposal_matcher.low_threshold = 0.35
    network.neg_to_pos_ratio, network.backbone = 1.6, Given(levels())
    with torch.inference_mode():
        expected = network(pictures())
        same_detections(with_given_levels(network)(pictures()), expected, gap=1e-9)
    same_losses(with_given_levels(network), network, pictures(), targets())


def test_matches_are_torchvisions():
    """Few default boxes and many objects, so that several objects want the same one, and some have no other."""
    torch.manual_seed(0)
    matcher, shared = made().proposal_matcher, 0
    for _ in range(200):
        default, boxes = (30 * torch.rand(count, 4) for count in (12, 5))
        default, boxes = (torch.cat((b[:, :2], b[:, :2] + b[:, 2:]), 1) for b in (default, boxes))
        iou = box_iou(boxes, default)
        assert torch.equal(match_default_boxes(default, boxes), matcher(iou))
        shared += len(iou.argmax(1).unique()) < 5
    assert shared > 50


def test_every_tensor_is_there_once_and_is_a_copy():
    network = made()
    mine, expected = from_torchvision(network).state_dict(), network.state_dict()
    assert len(mine) == len(expected) == 71
    # Sums in float64 tell tensors of one shape apart, whatever they are called.
    assert sorted(t.double().sum().item() for t in mine.values()) == sorted(t.double().sum().item() for t in expected.values())
    assert not {t.data_ptr() for t in expected.values()} & {t.data_ptr() for t in mine.values()}


def test_what_does_not_learn_there_does_not_learn_here():
    network = theirs(torch.float32)
    network.backbone.features[:5].requires_grad_(False)
    fixed = {name for name, parameter in from_torchvision(network).named_parameters() if not parameter.requires_grad}
    assert fixed == {f"backbone.trunk.conv4_3.{number}.{kind}" for number in (0, 2) for kind in ("weight", "bias")}


def test_other_models_are_refused():
    nothing = {"weights": None, "weights_backbone": None, "num_classes": 2}
    for make, words in (
        (detection.ssdlite320_mobilenet_v3_large, "SSD with a SSDLiteFeatureExtractorMobileNet"),
        (detection.fasterrcnn_mobilenet_v3_large_fpn, "FasterRCNN with a BackboneWithFPN"),
    ):
        network = make(**nothing)
        refuses(lambda network=network: from_torchvision(network), TypeError, "takes torchvision's ssd300_vgg16, not a", words)
    refuses(lambda: from_torchvision(nn.Identity()), TypeError, "not a Identity")


@pytest.mark.parametrize(
    ("part", "attribute", "value", "words"),
    [
        ("box_coder", "weights", (1.0, 1.0, 1.0, 1.0), "deltas multiplied by (10.0, 10.0, 5.0, 5.0)"),
        ("anchor_generator", "clip", False, "default boxes no larger than the picture"),
        ("proposal_matcher", "low_threshold", 0.3, "one threshold between object and background"),
        ("transform", "fixed_size", None, "pictures of one size"),
        ("transform", "size_divisible", 32, "without a border"),
        ("backbone.extra.0.7.1", "dilation", (3, 3), "strides, paddings and dilations"),
        ("backbone.features.16", "ceil_mode", False, "strides, paddings and dilations"),
    ],
)
def test_numbers_that_are_fixed_here(part, attribute, value, words, monkeypatch):
    monkeypatch.setattr(made().get_submodule(part) if "." in part else getattr(made(), part), attribute, value)
    refuses(lambda: from_torchvision(made()), ValueError, "knows SSDs with", words)


def test_other_layers_are_refused():
    network = theirs(torch.float32)
    network.head.regression_head.module_list[5] = nn.Conv2d(256, 16, 1)
    refuses(lambda: from_torchvision(network), ValueError, "some of this model's differ")
    network = theirs(torch.float32)
    network.extra = nn.Linear(1, 1)
    refuses(lambda: from_torchvision(network), ValueError, "some of this model's differ")


@pytest.mark.gpu
def test_on_the_gpu():
    network, images = theirs().cuda(), [image.cuda() for image in pictures()]
    mine, wanted = from_torchvision(network), [{name: part.cuda() for name, part in target.items()} for target in targets()]
    with torch.inference_mode():
        same_detections(mine(images), network(images), gap=1e-9)
    same_losses(mine, network, images, wanted)
