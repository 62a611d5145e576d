"""Faster R-CNN as a whole, small: what it gives back, what it refuses, and that its training says what went wrong.

That its numbers are torchvision's is in tests/parity/test_faster_rcnn.py.
"""

import math

import pytest
import torch
from torch import nn

from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import RegionHead, fully_connected
from course.models.faster_rcnn import FasterRCNN
from course.models.feature_pyramid import FeaturePyramid, PyramidRoIAlign, lateral_and_output
from course.models.rpn import RPN, RPNHead
from course.models.stages import Stages
from course.ops.anchors import anchor_grid
from course.ops.boxes import clip_boxes, decode_boxes
from course.training import fit
from tests.refusing import refuses

LOSSES = ["rpn_objectness", "rpn_box", "classification", "box"]


def small(shorter_side: int | None = None) -> FasterRCNN:
    """Two levels of stride 8 and 16, four channels, three classes."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(3, 4, 5, 4, 2), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU())
    lateral, output = lateral_and_output({8: 6, 16: 8}, 4)
    backbone = Stages({8: first, 16: nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())})
    return FasterRCNN(
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
    )


def pictures(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(3, *size) for size in sizes]


def target(*boxes: list[float]) -> dict[str, torch.Tensor]:
    return {"boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.arange(1, 1 + len(boxes))}


OBJECTS = [[4.0, 6, 30, 28], [20, 10, 60, 44]]


@pytest.mark.parametrize("shorter_side", [None, 56])
def test_detections_are_in_the_pixels_of_each_picture(shorter_side):
    sizes = [(48, 64), (30, 20), (100, 90)]
    for found, (height, width) in zip(small(shorter_side).eval()(pictures(*sizes)), sizes, strict=True):
        boxes, scores, labels = found["boxes"], found["scores"], found["labels"]
        assert len(boxes) == len(scores) == len(labels) == 12 and labels.dtype == torch.int64 and labels.min() >= 1 and labels.max() <= 2
        assert boxes.min() >= 0 and (scores.diff() <= 0).all() and not scores.requires_grad
        assert 0.7 * width < boxes[:, 2].max() < width + 1e-3 and 0.7 * height < boxes[:, 3].max() < height + 1e-3


def test_alone_and_in_a_batch():
    network, images = small().eval(), pictures((48, 64), (48, 64), (48, 64))
    torch.testing.assert_close(network(images), [network([image])[0] for image in images])
    torch.testing.assert_close(network(torch.stack(images)), network(images))


def test_nothing_is_learnt_by_looking():
    network, images = small().eval(), pictures((48, 64))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(images)
    network.trace(images[0])
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 200), (16, 15)])
def test_pictures_smaller_than_a_stride(size):
    network, images = small(), pictures(size)
    losses = network.losses(images, [target([0.0, 0, size[1], size[0]])])
    assert all(loss.isfinite() for loss in losses.values())
    (found,) = network.eval()(images)
    assert len(found["boxes"]) and found["boxes"][:, 2].max() <= size[1] and found["boxes"][:, 3].max() <= size[0]


@pytest.mark.parametrize("objects", [[OBJECTS, []], [[], []], [OBJECTS, [[-8.0, 5, 12, 70]]]])
def test_the_four_losses_reach_every_layer(objects):
    network = small().train()
    losses = network.losses(pictures((48, 64), (40, 30)), [target(*boxes) for boxes in objects])
    assert list(losses) == LOSSES and all(loss.isfinite() and loss.dim() == 0 for loss in losses.values())
    assert all((losses[name] > 0) == (objects != [[], []]) for name in ("rpn_box", "box"))
    sum(losses.values()).backward()
    idle = {name for name, parameter in network.named_parameters() if not parameter.grad.any()}
    deltas = {f"{part}.deltas.{kind}" for part in ("rpn.head", "head") for kind in ("weight", "bias")}
    assert not idle - deltas and (deltas <= idle) == (objects == [[], []])


def test_objects_go_in_at_the_size_of_the_batch():
    """A picture of 28 × 42 is shown as 56 × 84: both stages are told boxes of twice the size."""
    network, told = small(56), []
    of_rpn, draw = network.rpn.losses, network.head.draw
    network.rpn.losses = lambda predictions, boxes: told.append(boxes) or of_rpn(predictions, boxes)
    network.head.draw = lambda proposals, boxes, labels: told.append(boxes) or draw(proposals, boxes, labels)
    network.losses(pictures((28, 42)), [target([4.0, 6, 20, 25])])
    for (boxes,) in told:
        torch.testing.assert_close(boxes, torch.tensor([[8.0, 12, 40, 50]]))
    assert len(told) == 2


def test_no_gradient_flows_through_the_proposals():
    """Paper, section 3.2: the second stage takes the proposals' coordinates as given."""
    network = small()
    losses = network.losses(pictures((48, 64)), [target(*OBJECTS)])
    (losses["classification"] + losses["box"]).backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in network.rpn.parameters())


def test_a_head_that_proposes_nothing():
    """Boxes so small that none is left: no detections, and in training the true boxes are the only regions."""
    network, images = small(), pictures((48, 64), (40, 30))
    network.rpn.min_size = 1000.0
    losses = network.losses(images, [target(*OBJECTS), target()])
    assert all(loss.isfinite() for loss in losses.values()) and losses["box"] == 0 < losses["classification"] or losses["box"] > 0
    for found in network.eval()(images):
        assert found["boxes"].shape == (0, 4) and found["labels"].shape == (0,)
    losses = network.losses(images, [target(), target()])
    assert [losses[name].item() for name in ("classification", "box")] == [0, 0]
    sum(losses.values()).backward()


def test_the_trace_is_what_happened():
    network, image = small(56).eval(), pictures((30, 40))[0]
    trace = network.trace(image)
    assert trace["size"] == (56, 74)
    shapes = [tuple(level.shape[1:]) for level in trace["levels"].values()]
    assert shapes == [(8, 10), (4, 5)] and [tuple(o.shape) for o in trace["objectness"]] == [(3, *shape) for shape in shapes]
    assert [tuple(d.shape) for d in trace["deltas"]] == [(12, *shape) for shape in shapes]
    assert torch.equal(trace["anchors"], anchor_grid((64, 80), shapes, ((16,), (32,))))
    assert trace["anchor_levels"].bincount().tolist() == [240, 60]
    torch.testing.assert_close([trace["detections"]], network([image]))
    # the best proposal is the anchor with the highest objectness, moved and cut off
    objectness = torch.cat([o.permute(1, 2, 0).flatten() for o in trace["objectness"]])
    deltas = torch.cat([d.unflatten(0, (3, 4)).permute(2, 3, 0, 1).flatten(0, 2) for d in trace["deltas"]])
    best = objectness.topk(1).indices
    moved = clip_boxes(decode_boxes(deltas[best], trace["anchors"][best]), (56, 74))
    torch.testing.assert_close(trace["proposals"][:1], moved)
    torch.testing.assert_close(trace["proposal_scores"][0], objectness[best[0]].sigmoid())


def test_broken_targets_name_the_picture():
    network, images = small(), pictures((48, 64), (40, 30))
    for boxes, words in (([5.0, 5, 5, 9], "widths and heights above 0"), ([31.0, 5, 60, 9], "30 pixels wide and 40 high")):
        refuses(lambda boxes=boxes: network.losses(images, [target(*OBJECTS), target(boxes)]), ValueError, "picture 1", words)
    three = target(*OBJECTS) | {"labels": torch.tensor([1, 3])}
    refuses(lambda: network.losses(images, [three, target()]), ValueError, "picture 0", "from 1 to 2", "got 3")
    refuses(lambda: network.losses(images, [target()]), ValueError, "each of the 2 pictures; got 1")
    refuses(lambda: network.eval()([image.byte() for image in images]), TypeError, "floats from 0 to 1", "torch.uint8")


def test_weights_that_are_no_numbers_are_said_when_looking():
    network = small().eval()
    nn.init.constant_(network.rpn.head.deltas.bias, float("nan"))
    refuses(lambda: network(pictures((48, 64))), ValueError, "boxes must be finite; got [nan")


# -- Training


def batches(count: int = 3, objects=OBJECTS) -> list:
    return [(pictures((48, 64), (40, 30)), [target(*objects), target()])] * count


def test_it_learns():
    network = small()
    history = fit(network, batches(), batch_loss=network.losses, epochs=12, device="cpu", progress=False)
    assert list(history.epochs) == LOSSES
    assert sum(values[-1] for values in history.epochs.values()) < 0.75 * sum(values[0] for values in history.epochs.values())


@pytest.mark.parametrize("objects", [OBJECTS, []])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ("rpn.head.objectness.bias", "rpn_objectness"),
        ("rpn.head.deltas.bias", "rpn_box"),
        ("head.classes.bias", "classification"),
        ("backbone.backbone.8.0.bias", "rpn_objectness"),
    ],
)
def test_a_loss_that_is_no_number_is_named_with_its_step(layer, name, value, objects):
    """With and without an object in the batch: without, no loss looks at the deltas, but they have become useless all the same."""
    network, done = small(), []

    def losses(images, targets):
        done.append(1)
        if len(done) == 3:
            nn.init.constant_(network.get_parameter(layer), value)
        return network.losses(images, targets)

    with pytest.raises(ValueError, match=f"^The {name} became (nan|inf) at step 3: try a smaller learning rate"):
        fit(network, batches(objects=objects), batch_loss=losses, epochs=2, device="cpu", progress=False)


def test_one_delta_of_an_anchor_that_is_not_drawn():
    """A single row of weights of 12: the loss may look at none of its anchors."""
    network = small()
    network.rpn.drawn = 0
    with torch.no_grad():
        network.rpn.head.deltas.bias[7] = math.nan
    losses = network.losses(pictures((48, 64)), [target(*OBJECTS)])
    assert losses["rpn_box"].isnan() and losses["rpn_objectness"].isfinite()


def test_a_full_gpu_is_told_with_what_to_lower(tmp_path):
    network, done, kept = small(), [], tmp_path / "run.pt"

    def losses(images, targets):
        done.append(1)
        if len(done) == 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return network.losses(images, targets)

    options = {"epochs": 3, "device": "cpu", "progress": False, "checkpoint": kept}
    with pytest.raises(MemoryError, match=r"memory is full at step 5: lower batch_size.*run\.pt stays as it was last written\.$"):
        fit(network, batches(), batch_loss=losses, **options)
    whole = small()
    expected = fit(whole, batches(), batch_loss=whole.losses, **(options | {"checkpoint": None}))
    history = fit(network, batches(), batch_loss=network.losses, **options)
    assert history.steps == expected.steps
    torch.testing.assert_close(network.state_dict(), whole.state_dict(), rtol=0, atol=0)


@pytest.mark.gpu
def test_it_learns_in_mixed_precision_on_the_gpu():
    network = small()
    history = fit(network, batches(), batch_loss=network.losses, epochs=12, device="cuda", progress=False)
    assert sum(values[-1] for values in history.epochs.values()) < 0.75 * sum(values[0] for values in history.epochs.values())
    (found,) = network([pictures((48, 64))[0].cuda()])
    assert found["boxes"].is_cuda and found["boxes"].dtype == torch.float32
