"""SSD as a whole, small: what it gives back, what it refuses, and that its training says what went wrong.

That its numbers are torchvision's is in tests/parity/test_ssd.py.
"""

import copy
import math

import pytest
import torch
from torch import nn

from course.models.detector_input import DetectorInput
from course.models.extra_levels import ExtraLevels, UnitLength, extra_block
from course.models.ssd import SSD, Heads, default_targets, from_torchvision, match_default_boxes, ssd_losses
from course.models.stages import Stages
from course.ops.anchors import default_boxes
from course.ops.boxes import decode_boxes
from course.training import fit
from tests.refusing import refuses

RATIOS = ((2,), (2, 3), ())
SIZE = (48, 64)


def small(**options) -> SSD:
    """Three levels of stride 8, 16 and 32, three classes; pictures of 48 × 64."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 4, 5, 4, 2), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU())
    return SSD(
        prepare=DetectorInput(size=SIZE),
        backbone=ExtraLevels(
            trunk=Stages({8: first, 16: nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())}),
            names=(8, 16),
            extra={32: extra_block(8, 4, 5)},
            rescale={8: UnitLength(6, 4.0)},
        ),
        heads=Heads(channels=(6, 8, 5), aspect_ratios=RATIOS, classes=3),
        scales=(0.2, 0.4, 0.6, 0.8),
        **({"limit": 12} | options),
    )


def pictures(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(3, *size) for size in sizes]


def target(*boxes: list[float]) -> dict[str, torch.Tensor]:
    return {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.arange(1, 1 + len(boxes))}


OBJECTS = [[4.0, 6, 30, 28], [20, 10, 60, 44]]


def test_detections_are_in_the_pixels_of_each_picture():
    sizes = [(48, 64), (30, 20), (100, 90)]
    for found, (height, width) in zip(small().eval()(pictures(*sizes)), sizes, strict=True):
        boxes, scores, labels = found["boxes"], found["scores"], found["labels"]
        assert len(boxes) == len(scores) == len(labels) == 12 and labels.dtype == torch.int64 and labels.min() >= 1 and labels.max() <= 2
        assert boxes.min() >= 0 and (scores.diff() <= 0).all() and not scores.requires_grad
        assert 0.6 * width < boxes[:, 2].max() < width + 1e-3 and 0.6 * height < boxes[:, 3].max() < height + 1e-3


def test_alone_and_in_a_batch():
    network, images = small().eval(), pictures((48, 64), (48, 64), (48, 64))
    torch.testing.assert_close(network(images), [network([image])[0] for image in images])
    torch.testing.assert_close(network(torch.stack(images)), network(images))
    of_several_sizes = pictures((48, 64), (1, 1), (30, 200))
    torch.testing.assert_close(network(of_several_sizes), [network([image])[0] for image in of_several_sizes])


def test_the_order_of_the_numbers_is_that_of_the_default_boxes():
    """Convolutions that say their own channel and look at maps that say their own cell."""
    heads = Heads(channels=(1, 1), aspect_ratios=((2,), ()), classes=3)
    for layer in heads.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            layer.weight.data[:, 0, 1, 1] = 1
            layer.bias.data = 100.0 * torch.arange(layer.out_channels)
    logits, deltas = heads([torch.arange(6.0).reshape(1, 1, 2, 3), 10 + torch.arange(2.0).reshape(1, 1, 1, 2)])
    for numbers, count in ((logits, 3), (deltas, 4)):
        cells = [(cell, 4) for cell in range(6)] + [(10 + cell, 2) for cell in range(2)]
        expected = [[cell + 100 * (box * count + k) for k in range(count)] for cell, boxes in cells for box in range(boxes)]
        assert numbers.tolist() == [expected]


def test_the_trace_is_what_happened():
    network, image = small(limit=5).eval(), pictures((30, 40))[0]
    trace = network.trace(image)
    assert trace["size"] == SIZE
    shapes = [tuple(level.shape[1:]) for level in trace["levels"].values()]
    assert list(trace["levels"]) == [8, 16, 32] and shapes == [(6, 8), (3, 4), (2, 2)]
    assert torch.equal(trace["default_boxes"], default_boxes(SIZE, shapes, RATIOS, (0.2, 0.4, 0.6, 0.8)))
    assert trace["default_levels"].bincount().tolist() == [6 * 8 * 4, 3 * 4 * 6, 2 * 2 * 2] and trace["default_levels"].dtype == torch.int64
    assert trace["logits"].shape == (272, 3) and trace["deltas"].shape == (272, 4)
    torch.testing.assert_close([trace["detections"]], network([image]))
    scores, best = trace["logits"].softmax(1)[:, 1:].flatten().max(0)
    moved = decode_boxes(trace["deltas"], trace["default_boxes"], (10, 10, 5, 5))[best // 2].clamp(min=0)
    moved = torch.minimum(moved, torch.tensor([64.0, 48, 64, 48])) / torch.tensor([1.6, 1.6, 1.6, 1.6])
    assert trace["detections"]["labels"][0] == 1 + best % 2
    torch.testing.assert_close(trace["detections"]["scores"][0], scores)
    torch.testing.assert_close(trace["detections"]["boxes"][0], moved)


def test_what_scores_too_little_is_not_reported():
    images = pictures((48, 64))
    everything = small(score_threshold=0.0, nms_threshold=1.0, limit=10**6).eval()(images)[0]["scores"]
    assert len(everything) == 2 * 272
    middle = everything.median().item()
    found = small(score_threshold=middle, nms_threshold=1.0, limit=10**6).eval()(images)[0]["scores"]
    assert torch.equal(found, everything[everything > middle])  # what is at the threshold goes, too
    none = small(score_threshold=1.0).eval()(images)[0]
    assert none["boxes"].shape == (0, 4) and none["labels"].shape == none["scores"].shape == (0,) and none["labels"].dtype == torch.int64


def test_only_the_best_candidates_of_a_class_are_suppressed():
    images = pictures((48, 64))
    found = small(candidates=7, score_threshold=0.0, nms_threshold=1.0, limit=100).eval()(images)[0]
    everything = small(score_threshold=0.0, nms_threshold=1.0, limit=10**6).eval()(images)[0]
    for label in (1, 2):
        torch.testing.assert_close(found["scores"][found["labels"] == label], everything["scores"][everything["labels"] == label][:7])


# -- Matching


DEFAULT = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [0, 10, 10, 20], [0, 0, 20, 20]])


def test_matches_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 9], [10, 0, 12, 10]])  # IoU 0.9 with box 0; 0.2 with box 1, the most that it has
    assert match_default_boxes(DEFAULT, boxes).tolist() == [0, 1, -1, -1]
    assert match_default_boxes(DEFAULT, boxes, 0.2).tolist() == [0, 1, -1, 0]  # 90 / 400 is 0.225
    assert match_default_boxes(DEFAULT, boxes[:0]).tolist() == [-1] * 4


def test_an_objects_best_box_answers_for_it_though_it_overlaps_another_more():
    """Unlike Faster R-CNN's anchors: see course.ops.matching."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 4, 10]])
    assert match_default_boxes(DEFAULT[[0]], boxes).tolist() == match_default_boxes(DEFAULT, boxes).tolist()[:1] == [1]
    assert match_default_boxes(DEFAULT[[0]], boxes.flip(0)).tolist() == [1]  # the later one


def test_targets_by_hand():
    labels, deltas = default_targets(DEFAULT, torch.tensor([[1.0, 0, 11, 10]]), torch.tensor([2]))
    assert labels.tolist() == [2, 0, 0, 0]
    assert deltas.tolist() == [[pytest.approx(1.0), 0, 0, 0], *[[0.0] * 4] * 3]  # a tenth of its width, times 10
    labels, deltas = default_targets(DEFAULT, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert not labels.any() and not deltas.any() and labels.dtype == torch.int64


# -- Losses


def test_losses_by_hand():
    """Two images: one positive of six boxes, and none. Three of the five negatives count, of the other image nothing does."""
    logits = torch.zeros(2, 6, 2)
    logits[0, :, 1] = torch.tensor([0.0, 5, -5, 1, 2, -1])  # the first is positive; all others show background
    logits[1] = 100 * torch.rand(6, 2)
    labels, deltas, targets = torch.zeros(2, 6, dtype=torch.int64), torch.rand(2, 6, 4), torch.zeros(2, 6, 4)
    labels[0, 0], deltas[0, 0] = 1, torch.tensor([0.5, -3.0, 0.0, 1.0])
    losses = ssd_losses(logits, deltas, labels, targets)
    expected = math.log(2) + sum(math.log(1 + math.exp(x)) for x in (5, 1, 2))
    assert losses["classification"].item() == pytest.approx(expected)
    assert losses["box"].item() == pytest.approx(0.125 + 2.5 + 0 + 0.5)
    again = ssd_losses(torch.cat((logits, logits)), torch.cat((deltas, deltas)), torch.cat((labels, labels)), torch.cat((targets, targets)))
    torch.testing.assert_close(again, losses)  # twice the sum, twice the positives
    only = ssd_losses(logits, deltas, labels, targets, ratio=0)
    assert only["classification"].item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("objects", [[OBJECTS, []], [[], []], [OBJECTS, [[-8.0, 5, 12, 70]]]])
def test_the_losses_reach_every_layer(objects):
    """With an object in some picture; without one in any, nothing can be learnt, and nothing breaks."""
    network = small(threshold=0.3).train()
    losses = network.losses(pictures((48, 64), (40, 30)), [target(*boxes) for boxes in objects])
    assert list(losses) == ["classification", "box"] and all(loss.isfinite() and loss.dim() == 0 for loss in losses.values())
    sum(losses.values()).backward()
    idle = {name for name, parameter in network.named_parameters() if not parameter.grad.any()}
    if objects == [[], []]:
        assert [loss.item() for loss in losses.values()] == [0, 0] and len(idle) == len(list(network.parameters()))
    else:
        assert min(losses.values()) > 0 and not {name for name in idle if not name.startswith("heads")}


def test_objects_go_in_at_the_size_of_the_batch():
    """A picture of 24 × 16 is shown as 48 × 64: the same loss as for one of that size, with boxes twice as high, four times as wide."""
    network = small()
    image = torch.full((3, 24, 16), 0.3)
    alike = network.losses([torch.full((3, 48, 64), 0.3)], [target([8.0, 6, 40, 40])])
    torch.testing.assert_close(network.losses([image], [target([2.0, 3, 10, 20])]), alike)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 200), (16, 15)])
def test_pictures_of_any_size(size):
    network, images = small(), pictures(size)
    losses = network.losses(images, [target([0.0, 0, size[1], size[0]])])
    assert all(loss.isfinite() for loss in losses.values())
    (found,) = network.eval()(images)
    assert len(found["boxes"]) and found["boxes"][:, 2].max() <= size[1] + 1e-4 and found["boxes"][:, 3].max() <= size[0] + 1e-4


def test_an_object_that_no_default_box_touches_and_one_larger_than_all():
    network = small()
    for boxes in ([[63.9, 47.9, 64, 48]], [[-500.0, -500, 500, 500]], [[0.0, 0, 64, 0.01]]):
        losses = network.losses(pictures(SIZE), [target(*boxes)])
        assert all(loss.isfinite() for loss in losses.values()) and losses["box"] > 0


def test_broken_targets_name_the_picture():
    network, images = small(), pictures((48, 64), (40, 30))
    for boxes, words in (
        ([5.0, 5, 5, 9], "widths and heights above 0"),
        ([31.0, 5, 60, 9], "30 pixels wide and 40 high"),
        ([1.0, math.nan, 9, 9], "finite"),
    ):
        refuses(lambda boxes=boxes: network.losses(images, [target(*OBJECTS), target(boxes)]), ValueError, "picture 1", words)
    three = target(*OBJECTS) | {"labels": torch.tensor([1, 3])}
    refuses(lambda: network.losses(images, [three, target()]), ValueError, "picture 0", "from 1 to 2", "got 3")
    refuses(lambda: network.losses(images, [target()]), ValueError, "each of the 2 pictures; got 1")
    refuses(lambda: network.eval()([image.byte() for image in images]), TypeError, "floats from 0 to 1", "torch.uint8")


def test_other_models_are_refused():
    refuses(lambda: from_torchvision(small()), TypeError, "takes torchvision's ssd300_vgg16, not a SSD with a ExtraLevels")
    refuses(lambda: small(limit=0), ValueError, "limit must be at least 1")
    refuses(lambda: small(candidates=0), ValueError, "candidates must be at least 1")


def test_weights_that_are_no_numbers_are_said_when_looking():
    network = small().eval()
    nn.init.constant_(network.heads.deltas[0].bias, float("nan"))
    refuses(lambda: network(pictures((48, 64))), ValueError, "boxes must be finite; got [nan")


# -- Training


def batches(count: int = 3, objects=OBJECTS) -> list:
    return [(pictures((48, 64), (40, 30)), [target(*objects), target()])] * count


def test_it_learns():
    network = small()
    history = fit(network, batches(), batch_loss=network.losses, epochs=15, device="cpu", progress=False)
    assert list(history.epochs) == ["classification", "box"]
    for values in history.epochs.values():
        assert values[-1] < 0.8 * values[0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(("layer", "name"), [("heads.logits.1.bias", "classification"), ("heads.deltas.1.bias", "box")])
def test_a_loss_that_is_no_number_is_named_with_its_step(layer, name, value):
    """On the map whose default boxes answer for the objects."""
    network, done = small(), []

    def losses(images, targets):
        done.append(1)
        if len(done) == 3:
            nn.init.constant_(network.get_parameter(layer), value)
        return network.losses(images, targets)

    with pytest.raises(ValueError, match=f"^The {name} became (nan|inf) at step 3: try a smaller learning rate"):
        fit(network, batches(objects=OBJECTS), batch_loss=losses, epochs=2, device="cpu", progress=False)


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_processor():
    network, images, wanted = small().double(), pictures((48, 64), (40, 30)), [target(*OBJECTS), target()]
    there, images = copy.deepcopy(network).cuda(), [image.double() for image in images]
    images_there = [image.cuda() for image in images]
    wanted_there = [{name: part.cuda() for name, part in each.items()} for each in wanted]
    losses, losses_there = network.losses(images, wanted), there.losses(images_there, wanted_there)
    torch.testing.assert_close({name: loss.cpu() for name, loss in losses_there.items()}, losses)
    for found, expected in zip(there.eval()(images_there), network.eval()(images), strict=True):
        torch.testing.assert_close({name: part.cpu() for name, part in found.items()}, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.gpu
def test_it_learns_in_mixed_precision_on_the_gpu():
    network = small()
    history = fit(network, batches(), batch_loss=network.losses, epochs=15, device="cuda", progress=False)
    assert sum(values[-1] for values in history.epochs.values()) < 0.8 * sum(values[0] for values in history.epochs.values())
    (found,) = network([pictures((48, 64))[0].cuda()])
    assert found["boxes"].is_cuda and found["boxes"].dtype == torch.float32
