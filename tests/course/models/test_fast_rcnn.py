"""The region head is torchvision's RoIHeads, part by part; the losses are those worked by hand; empty and broken input."""

import math

import pytest
import torch
from torch import nn
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.ops import MultiScaleRoIAlign, roi_pool

from course.models.detector_input import DetectorInput
from course.models.fast_rcnn import FastRCNN, RegionHead, RoIPooling, check_targets, fast_rcnn_losses, fully_connected
from course.models.stages import Stages
from course.ops.matching import NEGATIVE, Sample
from course.training import fit
from tests.refusing import refuses

NONE = torch.zeros(0, 4)


def region_head(**options) -> RegionHead:
    """Two channels of stride 4, pooled to 2 × 2, three classes."""
    torch.manual_seed(0)
    pool = RoIPooling(level=4, stride=4, output_size=2)
    return RegionHead(pool=pool, layers=fully_connected(2, 2, 6), features=6, classes=3, **options)


def target(boxes, labels=(1, 2)) -> dict[str, torch.Tensor]:
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return {"boxes": boxes, "labels": torch.tensor(labels[: len(boxes)], dtype=torch.int64)}


# -- The two losses


def test_losses_are_torchvisions():
    torch.manual_seed(0)
    logits, deltas = torch.randn(40, 5, requires_grad=True), torch.randn(40, 20, requires_grad=True)
    labels, targets = torch.randint(5, (40,)), torch.randn(40, 4) / 2
    losses = fast_rcnn_losses(logits, deltas, labels, targets)
    expected = fastrcnn_loss(logits, deltas, [labels[:10], labels[10:]], [targets[:10], targets[10:]])
    torch.testing.assert_close(tuple(losses.values()), expected)
    mine, theirs = (torch.autograd.grad(sum(values), (logits, deltas)) for values in (losses.values(), expected))
    torch.testing.assert_close(mine, theirs)


def test_losses_by_hand():
    """Three regions, two classes and the background. Only the four numbers of the true class count, and none of the background's."""
    logits = torch.tensor([[0.0, 0, 0], [math.log(2), 0, 0], [0, 0, math.log(6)]])
    deltas, targets = torch.full((3, 12), 100.0), torch.full((3, 4), float("nan"))
    deltas[2, 8:], targets[2] = torch.tensor([0.1, -1, 0, 2]), torch.zeros(4)
    losses = fast_rcnn_losses(logits, deltas, torch.tensor([1, 0, 2]), torch.cat((deltas[:1, 4:8], targets[1:])))
    assert losses["classification"].item() == pytest.approx((math.log(3) + math.log(2) + math.log(8 / 6)) / 3)
    assert losses["box"].item() == pytest.approx((0.045 + 1 - 1 / 18 + 2 - 1 / 18) / 3)


@pytest.mark.parametrize("regions", [0, 3])
def test_without_objects_the_losses_are_attached(regions):
    logits, deltas = torch.zeros(regions, 4, requires_grad=True), torch.ones(regions, 16, requires_grad=True)
    losses = fast_rcnn_losses(logits, deltas, torch.zeros(regions, dtype=torch.int64), torch.zeros(regions, 4))
    assert losses["box"].item() == 0 and losses["classification"].item() == pytest.approx(math.log(4) if regions else 0)
    sum(losses.values()).backward()
    assert not deltas.grad.any() and bool(logits.grad.any()) == (regions > 0)


# -- Drawing regions


def test_what_shows_an_object_by_hand():
    """IoU with the object 0…10: 1, 0.5, 0.49, 0. The true box itself is added, as the last one."""
    proposals = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4.9], [40, 40, 50, 50]])
    true = torch.tensor([[0.0, 0, 10, 10]])
    regions = region_head(positive_share=1.0).draw([proposals], [true], [torch.tensor([2])])
    assert regions.boxes[0].tolist() == [*proposals.tolist(), *true.tolist()]
    assert regions.labels.tolist() == [2, 2, 0, 0, 2] and regions.objects[0].tolist() == [0, 0, -1, -1, 0]
    # half as high: its centre 2.5 too high, half of its height, times 10; log 2, times 5
    expected = torch.tensor([[0, 0, 0, 0], [0, 5, 0, 5 * math.log(2)], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(regions.targets, expected)


def test_a_quarter_of_the_regions_shows_objects():
    here = torch.tensor([[0.0, 0, 10, 10]]).repeat(50, 1)
    there = torch.tensor([[30.0, 30, 40, 40]]).repeat(80, 1)
    regions = region_head(drawn=40).draw([torch.cat((here, there)), there], [here[:1], NONE], [torch.tensor([1]), torch.zeros(0).long()])
    assert [len(boxes) for boxes in regions.boxes] == [40, 40] and regions.labels.bincount().tolist() == [70, 10]
    assert not regions.labels[40:].any() and (regions.objects[1] == NEGATIVE).all()


def test_the_draw_is_torchvisions_selection():
    torch.manual_seed(0)
    corner = 60 * torch.rand(2, 30, 2)
    proposals = list(torch.cat((corner, corner + 4 + 40 * torch.rand(2, 30, 2)), 2))
    targets = [target([[5, 5, 40, 40], [20, 30, 70, 80]]), target([])]
    theirs = RoIHeads(MultiScaleRoIAlign(["0"], 2, 2), None, None, 0.5, 0.5, 16, 0.25, None, 0.05, 0.5, 100).train()
    drawn, sampler = [], theirs.fg_bg_sampler

    def recorded(labels):
        drawn.extend(zip(*sampler(labels), strict=True))
        return [p for p, _ in drawn], [n for _, n in drawn]

    theirs.fg_bg_sampler = recorded
    boxes, _, labels, expected = theirs.select_training_samples(proposals, targets)
    mine = region_head(drawn=16, sample=lambda *_: Sample(*(mask.bool().nonzero()[:, 0] for mask in drawn.pop(0))))
    regions = mine.draw(proposals, *([t[name] for t in targets] for name in ("boxes", "labels")))
    assert torch.cat(labels).any(), "no region shows an object"
    torch.testing.assert_close(regions.boxes, boxes)
    assert torch.equal(regions.labels, torch.cat(labels))
    there = regions.labels > 0  # the rest is not read, and torchvision encodes the first object there
    torch.testing.assert_close(regions.targets[there], torch.cat(expected)[there])


# -- Detections


@pytest.mark.parametrize(("limit", "least", "overlap"), [(100, 0.05, 0.5), (7, 0.05, 0.5), (100, 0.6, 0.1)])
def test_detections_are_torchvisions(limit, least, overlap):
    torch.manual_seed(0)
    corner = 60 * torch.rand(50, 2)
    proposals = torch.cat((corner, corner + 4 + 40 * torch.rand(50, 2)), 1)
    logits, deltas, sizes = 2 * torch.randn(50, 3), torch.randn(50, 12), [(80, 100), (64, 64)]
    theirs = RoIHeads(None, None, None, 0.5, 0.5, 16, 0.25, None, least, overlap, limit).eval()

    class Told(RegionHead):
        def forward(self, levels, boxes):
            return logits, deltas

    pool = RoIPooling(level=4, stride=4)
    mine = Told(pool=pool, layers=nn.Flatten(), features=1, classes=3, score_threshold=least, nms_threshold=overlap, limit=limit)
    found = mine.detect({}, proposals.split([30, 20]), sizes)
    expected = zip(*theirs.postprocess_detections(logits, deltas, list(proposals.split([30, 20])), sizes), strict=True)
    for detections, (boxes, scores, labels) in zip(found, expected, strict=True):
        assert 2 < len(scores) <= limit and (-scores.diff()).min() > 1e-5
        torch.testing.assert_close(detections, {"boxes": boxes, "labels": labels, "scores": scores})


def test_what_has_shrunk_to_nothing_is_not_reported():
    """Two regions of 10 × 10; the second becomes e^−7 times as wide, less than a hundredth of a pixel."""

    class Told(RegionHead):
        def forward(self, levels, boxes):
            deltas = torch.zeros(2, 8)
            deltas[1, 6] = -35.0  # over 5
            return torch.tensor([[0.0, 1], [0, 2]]), deltas

    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]])
    (found,) = Told(pool=nn.Identity(), layers=nn.Flatten(), features=1, classes=2).detect({}, [boxes], [(40, 40)])
    assert found["boxes"].tolist() == [[0, 0, 10, 10]] and found["labels"].tolist() == [1]
    torch.testing.assert_close(found["scores"], torch.tensor([1 / (1 + math.exp(-1))]))


def test_no_proposals_give_no_detections():
    head = region_head().eval()
    for found in head.detect({4: torch.rand(2, 2, 8, 8)}, [NONE, NONE], [(32, 32), (32, 32)]):
        assert found["boxes"].shape == (0, 4) and found["labels"].shape == found["scores"].shape == (0,)
        assert found["labels"].dtype == torch.int64
    first, second = head.detect({4: torch.rand(2, 2, 8, 8)}, [NONE, torch.tensor([[1.0, 2, 20, 30]])], [(32, 32), (32, 32)])
    assert len(first["boxes"]) == 0 < len(second["boxes"])


# -- The network


def small(**options) -> FastRCNN:
    torch.manual_seed(0)
    backbone = Stages({4: nn.Sequential(nn.Conv2d(3, 2, 3, 4, 1), nn.ReLU())})
    prepare = DetectorInput(normalise=False, shorter_side=None, multiple=4)
    return FastRCNN(backbone=backbone, head=region_head(score_threshold=0.0), prepare=prepare, **options)


def pictures(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(3, *size) for size in sizes]


PROPOSALS = torch.tensor([[2.0, 3, 30, 20], [10, 10, 25, 31], [0, 0, 8, 8]])


def test_one_pass_and_every_region_pooled_from_it():
    """Logits and deltas are those of torchvision's roi_pool on the map, and boxes come out in the picture's own pixels."""
    network, (image,) = small().eval(), pictures((32, 40))
    levels = network.backbone.features(image[None])
    head = network.head
    features = head.layers(roi_pool(levels[4], [PROPOSALS], 2, 0.25))
    logits, deltas = head(levels, [PROPOSALS])
    torch.testing.assert_close((logits, deltas), (head.classes(features), head.deltas(features)))
    (found,) = network([image], [PROPOSALS])
    (expected,) = head.detect(levels, [PROPOSALS], [(32, 40)])
    assert len(found["boxes"]) > 2
    torch.testing.assert_close(found, expected)
    larger = small()
    larger.prepare = DetectorInput(normalise=False, shorter_side=64, longer_side=100, multiple=4)
    (scaled,) = larger.eval()([image], [PROPOSALS])
    assert scaled["boxes"][:, 2].max() <= 40 and scaled["boxes"][:, 3].max() <= 32


def test_alone_and_in_a_batch():
    network, images = small().eval(), pictures((32, 40), (32, 40))
    proposals = [PROPOSALS, PROPOSALS[:2] / 2]
    alone = [network([image], [boxes])[0] for image, boxes in zip(images, proposals, strict=True)]
    torch.testing.assert_close(network(images, proposals), alone)


def test_proposals_of_its_own_and_given_ones():
    images = pictures((32, 40), (20, 24))
    network = small(proposals=lambda image: PROPOSALS if image.shape[1] == 32 else NONE).eval()
    torch.testing.assert_close(network(images), network(images, [PROPOSALS, NONE]))
    targets = [target([[2, 2, 20, 20]]), target([])]
    torch.manual_seed(0)
    own = network.losses(images, targets)
    torch.manual_seed(0)
    given = network.losses(images, [t | {"proposals": p} for t, p in zip(targets, (PROPOSALS, NONE), strict=True)])
    torch.testing.assert_close(own, given)


def test_proposals_that_nobody_makes():
    images = pictures((32, 40))
    refuses(lambda: small()(images), ValueError, "makes no proposals itself", "FastRCNN(proposals=selective_search)")
    refuses(lambda: small()(images, [PROPOSALS] * 2), ValueError, "each of the 1 pictures; got 2")
    refuses(lambda: small().losses(images, [target([])]), ValueError, "makes no proposals itself")
    refuses(lambda: small()(images, [PROPOSALS * float("nan")]), ValueError, "must be finite")


def test_proposals_outside_the_picture_are_background():
    outside = torch.tensor([[-50.0, -50, -10, -10], [100, 100, 140, 120], [-10, -10, 60, 60]])
    network, images = small(), pictures((32, 40))
    losses = network.losses(images, [target([[2, 2, 20, 20]]) | {"proposals": outside}])
    assert all(loss.isfinite() for loss in losses.values())
    (found,) = network.eval()(images, [outside])
    assert found["boxes"].min() >= 0 and found["boxes"][:, 2].max() <= 40 and found["boxes"][:, 3].max() <= 32


@pytest.mark.parametrize("objects", [[[], []], [[[2, 2, 20, 20]], []]])
def test_pictures_without_objects(objects):
    network, images = small(proposals=lambda image: PROPOSALS), pictures((32, 40), (3, 2))
    losses = network.losses(images, [target(boxes) for boxes in objects])
    assert all(loss.isfinite() for loss in losses.values()) and (losses["box"] > 0) == bool(objects[0])
    sum(losses.values()).backward()
    assert network.backbone[4][0].weight.grad.any()


def test_without_objects_and_proposals_there_is_nothing_to_learn():
    network = small(proposals=lambda image: NONE)
    losses = network.losses(pictures((32, 40)), [target([])])
    assert [loss.item() for loss in losses.values()] == [0, 0]
    sum(losses.values()).backward()


SQUARE = [[2.0, 2, 20, 20]]


@pytest.mark.parametrize(
    ("targets", "error", "words"),
    [
        ([target(SQUARE)], ValueError, ["each of the 2 pictures; got 1"]),
        ([target(SQUARE), {"labels": torch.tensor([1])}], ValueError, ["picture 1 has no boxes; it has labels"]),
        ([{}, target(SQUARE)], ValueError, ["picture 0 has no boxes and no labels; it has nothing"]),
        ([target(SQUARE), target([[5, 5, 5, 9]])], ValueError, ["picture 1", "widths and heights above 0", "[5.0, 5.0, 5.0, 9.0] at 0"]),
        ([target(SQUARE), target([[1, 1, 9, 9], [9, 9, 5, 5]])], ValueError, ["picture 1", "[9.0, 9.0, 5.0, 5.0] at 1"]),
        ([target([[1, 1, float("nan"), 9]]), target(SQUARE)], ValueError, ["picture 0", "must be finite"]),
        (
            [target(SQUARE), target([[40, 5, 60, 9]])],
            ValueError,
            ["picture 1", "40 pixels wide and 32 high", "[40.0, 5.0, 60.0, 9.0] at 0"],
        ),
        ([target([[-9, 5, 0, 9]]), target(SQUARE)], ValueError, ["picture 0", "must reach into it"]),
        ([target(SQUARE), {"boxes": torch.zeros(0), "labels": torch.zeros(0).long()}], ValueError, ["picture 1", "[N, 4]"]),
        ([target(SQUARE), target(SQUARE) | {"labels": torch.tensor([1, 2])}], ValueError, ["Picture 1 has 1 boxes and 2 labels"]),
        ([target(SQUARE, (0,)), target(SQUARE)], ValueError, ["picture 0", "from 1 to 2", "0 is the background; got 0"]),
        ([target(SQUARE), target(SQUARE, (3,))], ValueError, ["picture 1", "from 1 to 2", "got 3"]),
        ([target(SQUARE), target(SQUARE) | {"labels": torch.tensor([1.0])}], TypeError, ["picture 1", "int64", "torch.float32"]),
    ],
)
def test_targets_that_say_nothing(targets, error, words):
    network = small(proposals=lambda image: PROPOSALS)
    refuses(lambda: network.losses(pictures((32, 40), (32, 40)), targets), error, *words)


def test_objects_that_are_cut_off_by_the_border_are_taken():
    check_targets(pictures((32, 40)), [target([[-5, -5, 10, 10], [39, 31, 90, 90]])], 3)


def test_images_that_are_none():
    refuses(lambda: small().losses(torch.rand(3, 8, 8), [target([])] * 3), ValueError, "list of pictures", "one tensor [3, 8, 8]")


# -- Training


def batches(count: int = 3) -> list:
    proposals = {"proposals": torch.cat((PROPOSALS, torch.tensor([[2.0, 3, 29, 21]])))}
    return [(pictures((32, 40), (28, 24)), [target([[2, 3, 30, 20]]) | proposals, target([]) | proposals])] * count


def test_it_learns():
    network = small()
    history = fit(network, batches(), batch_loss=network.losses, epochs=20, device="cpu", progress=False)
    assert list(history.epochs) == ["classification", "box"]
    assert sum(values[-1] for values in history.epochs.values()) < 0.75 * sum(values[0] for values in history.epochs.values())


@pytest.mark.parametrize(("layer", "name"), [("classes", "classification"), ("deltas", "box")])
def test_a_loss_that_is_no_number_is_named_with_its_step(layer, name):
    network, done = small(), []

    def losses(images, targets):
        done.append(1)
        if len(done) == 3:
            nn.init.constant_(getattr(network.head, layer).bias, float("nan"))
        return network.losses(images, targets)

    with pytest.raises(ValueError, match=f"^The {name} became nan at step 3: try a smaller learning rate"):
        fit(network, batches(), batch_loss=losses, epochs=2, device="cpu", progress=False)
