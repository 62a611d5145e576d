"""The region proposal network is torchvision's, part by part; its losses are those worked by hand; empty and broken input."""

import math

import pytest
import torch
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.rpn import RPNHead as TheirHead

from course.models.rpn import RPN, RPNHead, assign_anchors, in_order, rpn_losses
from course.ops.matching import IGNORED, NEGATIVE, Sample
from tests.refusing import refuses

SIZES, RATIOS = ((16,), (32,)), (0.5, 1.0, 2.0)
IMAGE_SIZES = [(96, 128), (90, 70)]


def their_network(**options) -> RegionProposalNetwork:
    """Two levels of five channels, small numbers so that everything is cut off, weights that give the anchors different answers."""
    torch.manual_seed(1)
    head = TheirHead(5, 3, conv_depth=options.pop("depth", 1))
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.3)
    generator = AnchorGenerator(SIZES, (RATIOS,) * len(SIZES))
    cuts = {"training": 120, "testing": 60}, {"training": 50, "testing": 20}
    return RegionProposalNetwork(generator, head, 0.7, 0.3, 32, 0.5, *cuts, 0.7, **options).double().eval()


def same_network(theirs: RegionProposalNetwork) -> RPN:
    mine = RPN(
        head=RPNHead(channels=5, anchors=3, convolutions=len(theirs.head.conv)),
        sizes=SIZES,
        aspect_ratios=RATIOS,
        pre_nms=(120, 60),
        post_nms=(50, 20),
        drawn=32,
        score_threshold=theirs.score_thresh,
    ).double()
    mine.load_state_dict(dict(zip(mine.state_dict(), theirs.head.state_dict().values(), strict=True)))
    return mine.train(theirs.training)


def levels(images: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    return {"fine": torch.randn(images, 5, 12, 16).double(), "coarse": torch.randn(images, 5, 6, 8).double()}


def batch(images: int = 2) -> ImageList:
    return ImageList(torch.zeros(images, 3, 96, 128, dtype=torch.float64), IMAGE_SIZES[:images])


@pytest.mark.parametrize("depth", [1, 2])
def test_the_head_is_torchvisions(depth):
    theirs = their_network(depth=depth)
    objectness, deltas = same_network(theirs).head(list(levels().values()))
    assert [tuple(o.shape[1:]) for o in objectness] == [(3, 12, 16), (3, 6, 8)] and deltas[0].shape == (2, 12, 12, 16)
    torch.testing.assert_close((objectness, deltas), theirs.head(list(levels().values())))


def test_the_weights_begin_as_in_the_paper():
    head = RPNHead(channels=64, anchors=9)
    for layer in (head.convolutions[0][0], head.objectness, head.deltas):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1) and not layer.bias.any()


def test_anchors_stand_where_torchvision_has_them_and_say_their_level():
    mine, theirs = same_network(their_network()), their_network()
    found = mine(levels(), (96, 128))
    assert torch.equal(found.anchors, theirs.anchor_generator(batch(), list(levels().values()))[0])
    assert found.levels.bincount().tolist() == [12 * 16 * 3, 6 * 8 * 3] and (found.levels.diff() >= 0).all()
    assert torch.equal(found.anchors, mine(list(levels().values()), (96, 128)).anchors)


def test_answers_stand_in_the_order_of_the_anchors():
    """Place by place in reading order, anchor by anchor there: the number at image b, anchor a, row y, column x says so itself."""
    b, a, y, x = torch.meshgrid(*(torch.arange(n) for n in (2, 3, 4, 5)), indexing="ij")
    objectness = 1000 * b + 100 * a + 10 * y + x
    assert in_order(objectness, 1)[1, :7, 0].tolist() == [1000, 1100, 1200, 1001, 1101, 1201, 1002]
    deltas = torch.stack([objectness + 10000 * k for k in range(4)], 2).flatten(1, 2)  # [B, A * 4, H, W]
    assert in_order(deltas, 4)[0, 4].tolist() == [101, 10101, 20101, 30101]  # column 1, anchor 1
    assert in_order(deltas, 4)[1, -1].tolist() == [1234, 11234, 21234, 31234]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("least", [0.0, 0.99])
def test_proposals_are_torchvisions(training, least):
    theirs = their_network(score_thresh=least).train(training)
    none = [{"boxes": torch.zeros(0, 4, dtype=torch.float64)}] * 2
    mine = same_network(theirs)
    found = mine.propose(mine(levels(), (96, 128)), IMAGE_SIZES)
    objectness, deltas = theirs.head(list(levels().values()))
    with torch.no_grad():
        expected, _ = theirs(batch(), levels(), none)
    assert any(len(boxes) < theirs.post_nms_top_n() for boxes in expected) == (least > 0) and all(map(len, expected))
    torch.testing.assert_close([boxes for boxes, _ in found], expected)
    for (boxes, scores), (height, width) in zip(found, IMAGE_SIZES, strict=True):
        assert (scores.diff() <= 0).all() and scores.min() >= least and scores.max() <= 1
        assert boxes.min() >= 0 and boxes[:, 0::2].max() <= width and boxes[:, 1::2].max() <= height
        assert not boxes.requires_grad and not scores.requires_grad


def test_the_scores_are_the_probabilities_of_the_boxes_beside_them():
    """Two anchors that share nothing, on an own head: each comes out with the sigmoid of its own number."""

    class Head(nn.Module):
        def forward(self, maps):
            objectness = torch.tensor([-1.0, 2.0]).reshape(1, 1, 1, 2)
            return [objectness], [torch.zeros(1, 4, 1, 2)]

    network = RPN(head=Head(), sizes=((8,),), aspect_ratios=(1.0,))
    ((boxes, scores),) = network.propose(network([torch.zeros(1, 1, 1, 2)], (32, 64)), [(32, 64)])
    assert boxes.tolist() == [[28, 0, 36, 4], [0, 0, 4, 4]]  # around (32, 0) and (0, 0), the upper half cut off
    torch.testing.assert_close(scores, torch.tensor([1 / (1 + math.exp(-2)), 1 / (1 + math.e)]))


def objects() -> list[torch.Tensor]:
    boxes = [[10.0, 10, 30, 26], [40, 0, 120, 90], [-6, 60, 20, 84], [50, 50, 53, 52]]
    return [torch.tensor(boxes, dtype=torch.float64), torch.tensor([[30.0, 30, 62, 70]], dtype=torch.float64)]


def test_targets_and_losses_are_torchvisions_for_the_same_draw():
    theirs, drawn = their_network().train(), []
    mine, sampler = same_network(theirs), theirs.fg_bg_sampler

    def recorded(labels):
        drawn.extend(zip(labels, *sampler(labels), strict=True))
        return [p for _, p, _ in drawn], [n for _, _, n in drawn]

    def repeated(matches, count, share):
        labels, positive, negative = drawn.pop(0)
        assert torch.equal(matches >= 0, labels == 1) and torch.equal(matches == NEGATIVE, labels == 0) and (count, share) == (32, 0.5)
        return Sample(positive.bool().nonzero()[:, 0], negative.bool().nonzero()[:, 0])

    theirs.fg_bg_sampler, mine.sample = recorded, repeated
    _, expected = theirs(batch(), levels(), [{"boxes": boxes} for boxes in objects()])
    losses = mine.losses(mine(levels(), (96, 128)), objects())
    assert list(losses) == ["rpn_objectness", "rpn_box"] and not drawn
    torch.testing.assert_close(losses["rpn_objectness"], expected["loss_objectness"].double(), rtol=1e-5, atol=0)
    torch.testing.assert_close(losses["rpn_box"], expected["loss_rpn_box_reg"].double(), rtol=1e-5, atol=0)


def test_assignment_by_hand():
    """IoU with the object 0…10: 1, 0.7, 0.5, 0.29, 0; and the small object's best anchor is positive though it has only 0.2."""
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 7], [0, 0, 10, 5], [0, 0, 10, 2.9], [20, 20, 30, 30], [50, 50, 60, 60]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 22, 30]])
    assert assign_anchors(anchors, boxes).tolist() == [0, 0, IGNORED, NEGATIVE, 1, NEGATIVE]
    assert assign_anchors(anchors, boxes, high=0.5, low=0.2).tolist() == [0, 0, 0, IGNORED, 1, NEGATIVE]
    assert assign_anchors(anchors, boxes[:0]).tolist() == [NEGATIVE] * 6


def test_losses_by_hand():
    """M = 4. Cross-entropy: log(1 + e^−2) + log(1 + e^0) of the positives, log(1 + e^1) + log(1 + e^−3) of the negatives. Smooth L1 with
    β = 1/9 for the differences 0.1, −1, 0, 2: 0.01 · 9 / 2 = 0.045, 1 − 1/18, 0, 2 − 1/18; and for a second positive 0."""
    objectness = torch.tensor([2.0, 100, 0, 1, -3, float("nan")])
    deltas, targets = torch.zeros(6, 4), torch.zeros(6, 4)
    deltas[0] = torch.tensor([0.1, -1, 0, 2])
    deltas[2], targets[2] = 5, 5
    deltas[1], deltas[3] = 1000, 1000  # one not drawn, one negative
    positive, negative = torch.tensor([0, 2]), torch.tensor([3, 4])
    losses = rpn_losses(objectness, deltas, targets, positive, negative)
    entropy = sum(math.log(1 + math.exp(power)) for power in (-2, 0, 1, -3))
    assert losses["rpn_objectness"].item() == pytest.approx(entropy / 4)
    assert losses["rpn_box"].item() == pytest.approx((0.045 + 1 - 1 / 18 + 2 - 1 / 18) / 4)


def test_without_positives_or_without_any_the_losses_are_attached():
    objectness, deltas = torch.zeros(3, requires_grad=True), torch.ones(3, 4, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    losses = rpn_losses(objectness, deltas, torch.zeros(3, 4), none, torch.tensor([1]))
    assert losses["rpn_objectness"].item() == pytest.approx(math.log(2)) and losses["rpn_box"].item() == 0
    sum(losses.values()).backward()
    assert objectness.grad.tolist() == [0, 0.5, 0] and not deltas.grad.any()
    losses = rpn_losses(objectness, deltas, torch.zeros(3, 4), none, none)
    assert [loss.item() for loss in losses.values()] == [0, 0]
    sum(losses.values()).backward()


def test_no_object_in_any_picture():
    mine = same_network(their_network()).train()
    losses = mine.losses(mine(levels(), (96, 128)), [torch.zeros(0, 4)] * 2)
    assert losses["rpn_box"].item() == 0 < losses["rpn_objectness"].item() < math.inf
    sum(losses.values()).backward()
    assert mine.head.objectness.weight.grad.any() and not mine.head.deltas.weight.grad.any()


def test_a_map_smaller_than_an_anchor_and_a_picture_of_one_cell():
    mine = same_network(their_network())
    maps = [torch.randn(1, 5, 1, 1).double(), torch.randn(1, 5, 1, 1).double()]
    ((boxes, scores),) = mine.propose(mine(maps, (32, 32)), [(1, 3)])
    assert 0 < len(boxes) <= 6 and boxes[:, 3].max() <= 1 and boxes[:, 2].max() <= 3 and len(boxes) == len(scores)


def test_rows_that_are_not_there():
    x, four, rows = torch.zeros(3), torch.zeros(3, 4), torch.tensor([0])
    refuses(lambda: rpn_losses(x, four, four, torch.tensor([3]), rows), ValueError, "rows from 0 to 2", "got 0 to 3")
    refuses(lambda: rpn_losses(x, four, four, rows, torch.tensor([-1])), ValueError, "got -1 to 0")
    refuses(lambda: rpn_losses(x, four[:2], four, rows, rows), ValueError, "deltas [N, 4]", "[3], [2, 4] and [3, 4]")
    refuses(lambda: rpn_losses(x, four, four[:2], rows, rows), ValueError, "[3], [3, 4] and [2, 4]")


def test_half_precision_keeps_the_anchors_apart():
    """Beyond 2048 pixels float16 knows only every second number, and a gap of 4 would not be seen."""
    network = RPN(head=RPNHead(channels=1, anchors=1), sizes=((4,),), aspect_ratios=(1.0,)).to(torch.bfloat16)
    found = network([torch.zeros(1, 1, 2, 600, dtype=torch.bfloat16)], (8, 2400))
    assert found.anchors.dtype == torch.float32 and found.anchors[:, 0].unique().numel() == 600
    ((boxes, _),) = network.eval().propose(found, [(8, 2400)])
    assert len(boxes) == len(boxes.unique(dim=0)) > 500
