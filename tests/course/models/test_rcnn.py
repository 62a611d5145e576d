"""The SVM is scikit-learn's minimum on all negatives, the regression scikit-learn's Ridge, and it detects."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC
from torch import nn

from course.data.shapes import Shapes
from course.metrics.detection import mean_average_precision
from course.models.backbones import efficientnet_lite0
from course.models.rcnn import (
    RCNN,
    CellFeatures,
    Linear,
    Regions,
    Softmax,
    WarpedFeatures,
    feature_scale,
    mine_svm,
    regions_of,
    regression_examples,
    ridge,
    ridge_objective,
    softmax_batches,
    softmax_labels,
    softmax_loss,
    svm_examples,
    svm_objective,
    train_box_regression,
    train_softmax,
    train_svms,
)
from course.models.selective_search import selective_search
from course.models.warping import warp
from course.ops.boxes import box_iou, decode_boxes


def drawn(*shape, seed=0, dtype=torch.float32):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_batches_change_nothing_and_no_boxes_give_no_rows():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    image, boxes = drawn(3, 30, 30), drawn(7, 4, seed=1) * 10 + torch.tensor([0, 0, 12, 12])
    together, apart = (WarpedFeatures(network=network, size=12, padding=2, batch_size=size)(image, boxes) for size in (64, 3))
    assert together.shape == (7, 400)
    torch.testing.assert_close(together, apart)
    torch.testing.assert_close(together, network(warp(image, boxes, size=12, padding=2)).flatten(1))
    assert WarpedFeatures(network=network, size=12, padding=2)(image, boxes[:0]).shape == (0, 400)


# One object of class 1, two of class 2, one of which overlaps the first by 0.5; then proposals with known overlaps.
BOXES = torch.tensor(
    [
        [0.0, 0, 10, 10],  # class 1
        [0, 0, 10, 20],  # class 2, IoU 0.5 with the first
        [50, 50, 60, 60],  # class 2
        [0, 0, 10, 3],  # IoU 0.3 with the first, 0.15 with the second
        [0, 0, 10, 2.9],  # 0.29, 0.145
        [0, 0, 10, 7],  # 0.7, 0.35
        [50, 50, 60, 56],  # 0.6 with the third
        [50, 50, 60, 56.1],  # 0.61
        [80, 80, 90, 90],  # none
    ]
)
PICTURE = Regions(drawn(9, 5), BOXES, torch.tensor([1, 2, 2]))


def test_positive_are_the_true_boxes_and_negative_what_overlaps_them_below_three_tenths():
    positive, negative = svm_examples(PICTURE, 1)
    assert positive.nonzero()[:, 0].tolist() == [0]
    assert negative.nonzero()[:, 0].tolist() == [2, 4, 6, 7, 8]
    positive, negative = svm_examples(PICTURE, 2)
    assert positive.nonzero()[:, 0].tolist() == [1, 2]
    assert negative.nonzero()[:, 0].tolist() == [3, 4, 8]  # the object of class 1 overlaps one of class 2 by 0.5
    positive, negative = svm_examples(PICTURE, 3)
    assert not positive.any() and negative.all()


def test_the_softmax_takes_half_an_overlap_and_calls_the_rest_background():
    assert softmax_labels(PICTURE).tolist() == [1, 2, 2, 0, 0, 1, 2, 2, 0]
    assert softmax_labels(Regions(drawn(3, 5), BOXES[:3], torch.zeros(0, dtype=torch.int64))).tolist() == [0, 0, 0]


def test_exactly_half_is_positive_and_a_little_less_is_not():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4.9], [0, 0, 10, 5.5]])
    assert softmax_labels(Regions(drawn(4, 5), boxes, torch.tensor([3]))).tolist() == [3, 3, 0, 3]


def test_a_batch_is_32_positives_and_96_of_background():
    labels = torch.ones(50, dtype=torch.int64)
    boxes = torch.cat((torch.tensor([[0.0, 0, 10, 10]]).expand(50, -1), torch.tensor([[50.0, 50, 60, 60]]).expand(150, -1)))
    picture = Regions(torch.arange(200.0)[:, None], boxes, labels)
    batches = softmax_batches([picture], batches=4)
    for features, answers in batches:
        assert len(features) == 128 and int(answers.sum()) == 32
        assert ((features[:, 0] < 50) == (answers == 1)).all() and len(features.unique()) == 128
    assert not torch.equal(batches[0][0], batches[1][0])


def test_softmax_loss_is_torchs_cross_entropy():
    logits, labels = 20 * drawn(9, 5), torch.arange(9) % 5
    torch.testing.assert_close(softmax_loss(logits, labels), F.cross_entropy(logits, labels))


def test_the_regression_learns_from_proposals_above_six_tenths():
    rows, targets = regression_examples(PICTURE, 2)
    assert rows.tolist() == [7]
    expected = torch.tensor([[0.0, (55 - 53.05) / 6.1, 0.0, math.log(10 / 6.1)]])
    torch.testing.assert_close(targets, expected, rtol=1e-4, atol=1e-5)
    assert regression_examples(PICTURE, 1)[0].tolist() == [5]
    assert regression_examples(PICTURE, 3)[1].shape == (0, 4)
    nothing = Regions(drawn(3, 5), BOXES[:3], torch.zeros(0, dtype=torch.int64))
    assert regression_examples(nothing, 1)[1].shape == (0, 4)


@pytest.mark.parametrize(("examples", "features"), [(60, 7), (7, 60), (10, 10), (1, 3)])
@pytest.mark.parametrize("penalty", [0.01, 1000])
def test_ridge_is_scikit_learns_and_least_squares_with_rows_for_the_penalty(examples, features, penalty):
    x, t = drawn(examples, features, dtype=torch.float64) * 10, drawn(examples, 4, seed=1, dtype=torch.float64)
    weight, bias = ridge(x, t, penalty=penalty)
    peer = Ridge(alpha=penalty).fit(x.numpy(), t.numpy())
    torch.testing.assert_close(weight, torch.tensor(peer.coef_).T)
    torch.testing.assert_close(bias, torch.tensor(peer.intercept_))
    rows = torch.cat((x - x.mean(0), math.sqrt(penalty) * torch.eye(features, dtype=torch.float64)))
    answers = torch.cat((t - t.mean(0), torch.zeros(features, 4, dtype=torch.float64)))
    torch.testing.assert_close(weight, torch.linalg.lstsq(rows, answers).solution)


def test_where_ridge_ends_its_objective_is_flat():
    x, t = drawn(20, 6, dtype=torch.float64) * 30, drawn(20, 4, seed=1, dtype=torch.float64)
    weight, bias = (value.requires_grad_() for value in ridge(x, t))
    ridge_objective(weight, bias, x, t).backward()
    torch.testing.assert_close(weight.grad, torch.zeros_like(weight), rtol=0, atol=1e-9)
    torch.testing.assert_close(bias.grad, torch.zeros_like(bias), rtol=0, atol=1e-9)


def test_ridge_needs_examples_and_a_penalty():
    with pytest.raises(ValueError, match="examples; got 1000.0, 0 features"):
        ridge(torch.zeros(0, 3), torch.zeros(0, 4))
    with pytest.raises(ValueError, match="penalty above 0"):
        ridge(torch.zeros(2, 3), torch.zeros(2, 4), penalty=0)


def test_svm_objective_by_hand():
    """w = (1, 0), b = 0.5. Positives score 2.5 (free) and 0.75 (0.25, twice); negatives −2 (free) and 0 (1)."""
    positives, negatives = torch.tensor([[2.0, 7], [0.25, 3]]), torch.tensor([[-2.5, 1], [-0.5, 4]])
    value = svm_objective(torch.tensor([1.0, 0]), torch.tensor(0.5), positives, negatives, c=0.1)
    assert value.item() == pytest.approx(0.5 + 0.05**2 / 2 + 0.1 * (2 * 0.25 + 1))


def toy(c=1.0):
    """Positives right of x = 4; negatives far left, and in the second and third picture two hard ones just left of x = 3."""
    far = [torch.stack((-10 - 5 * drawn(40, seed=s), 8 * drawn(40, seed=s + 9) - 4), 1) for s in range(3)]
    positives = torch.tensor([[5.0, 0], [4, 1], [4, -1], [7, 2]])
    negatives = [far[0], torch.cat((far[1], torch.tensor([[2.0, 1.5]]))), torch.cat((torch.tensor([[2.0, -1.5]]), far[2]))]
    return positives, negatives


def test_mining_finds_the_hard_negatives_and_ends_where_all_of_them_end():
    positives, negatives = toy()
    rounds = list(mine_svm(positives, negatives, c=1.0, rounds=10))
    assert rounds[0].added == 40 and [int(mask.sum()) for mask in rounds[0].used] == [40, 0, 0]
    last = rounds[-1]
    assert len(rounds) >= 2 and last.used[1][-1] and last.used[2][0]  # the two hard ones are in
    assert sum(int(mask.sum()) for mask in last.used) < 122 / 4  # and most of the easy ones never were, or went
    assert sum(r.dropped for r in rounds) > 0
    everything = torch.cat(negatives)
    peer = LinearSVC(loss="hinge", C=1.0, class_weight={1: 2}, intercept_scaling=10, max_iter=100_000, tol=1e-6)
    peer.fit(torch.cat((positives, everything)).numpy(), [1] * len(positives) + [-1] * len(everything))
    torch.testing.assert_close(last.weight, torch.tensor(peer.coef_[0]).float(), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(last.bias, torch.tensor(peer.intercept_[0]).float(), rtol=2e-2, atol=2e-2)
    assert (positives @ last.weight + last.bias > 0.95).all() and (everything @ last.weight + last.bias < -0.95).all()
    early = everything @ rounds[0].weight + rounds[0].bias
    assert (early > -0.95).any()  # the first SVM did not know them


def test_the_svm_has_the_least_objective():
    positives, negatives = drawn(20, 30) + 0.1, drawn(50, 30, seed=1)
    *_, last = mine_svm(positives, [negatives], c=0.05, positive_weight=3.0)

    def objective(weight, bias):
        return svm_objective(weight, bias, positives, negatives, c=0.05, positive_weight=3.0)

    least = objective(last.weight, last.bias)
    for seed in range(50):
        shift = 0.1 * (drawn(31, seed=seed) - 0.5)
        assert objective(last.weight + shift[:30], last.bias + shift[30]) > least - 1e-3
    assert objective(last.weight * 1.3, last.bias * 1.3) > least + 0.01 and objective(last.weight * 0.7, last.bias * 0.7) > least + 0.01


def test_an_svm_needs_both_sides():
    positives, negatives = toy()
    with pytest.raises(ValueError, match="positives and negatives; got 0 and 122"):
        next(mine_svm(positives[:0], negatives))
    with pytest.raises(ValueError, match="got 4 and 0"):
        next(mine_svm(positives, [negatives[0][:0]]))


def test_pictures_without_negatives_are_passed_over():
    positives, negatives = toy()
    first = next(mine_svm(positives, [negatives[0][:0], *negatives]))
    assert [int(mask.sum()) for mask in first.used] == [0, 40, 0, 0]


def one_class(seed):
    """A picture whose features say whether a box is on the object (column 0), and how far right of it it lies (column 1)."""
    shift = torch.cat((torch.zeros(1), 12 * drawn(40, seed=seed) - 6))
    boxes = torch.tensor([20.0, 20, 40, 40]) + shift[:, None] * torch.tensor([1.0, 0, 1, 0])
    away = torch.tensor([60.0, 60, 90, 90]).expand(40, -1) + drawn(40, 1, seed=seed + 1)
    on = torch.stack((torch.full_like(shift, 20), shift), 1)
    off = torch.stack((torch.full((40,), -20.0), drawn(40, seed=seed + 2)), 1)
    return Regions(torch.cat((on, off)), torch.cat((boxes, away)), torch.tensor([1]))


@pytest.mark.parametrize("train", [train_svms, train_softmax])
def test_one_class_learnt_and_moved_onto_its_object(train):
    pictures = [one_class(seed) for seed in range(4)]
    classifier, regressor = train(pictures, classes=1), train_box_regression(pictures, classes=1, penalty=1e-3)
    test = one_class(9)

    class Given(nn.Module):
        def forward(self, image, boxes):
            return test.features[1:]

    network = RCNN(
        proposals=lambda image: test.boxes[1:],
        features=Given(),
        classifier=classifier,
        regressor=regressor,
        score_threshold=0.5 if train is train_softmax else 0.0,
    )
    (found,) = network([drawn(3, 100, 100)])
    assert found["labels"].tolist() == [1] and found["labels"].dtype == torch.int64
    assert (found["boxes"][0] - torch.tensor([20.0, 20, 40, 40])).abs().max() < 0.5


def test_a_class_in_no_picture_is_never_found_and_moves_nothing():
    pictures = [one_class(seed) for seed in range(2)]
    assert (train_svms(pictures, classes=3)(pictures[0].features)[:, 1:] == -1).all()
    assert (train_box_regression(pictures, classes=3)(pictures[0].features)[:, 4:] == 0).all()


def test_the_scale_of_the_features_does_not_matter():
    pictures = [one_class(seed) for seed in range(2)]
    larger = [Regions(p.features * 1000, p.boxes, p.labels) for p in pictures]
    assert feature_scale(pictures) == pytest.approx(1000 * feature_scale(larger))
    for train in (train_svms, train_box_regression):
        expected = train(pictures, classes=1)(pictures[0].features)
        torch.testing.assert_close(train(larger, classes=1)(larger[0].features), expected, rtol=1e-2, atol=1e-2)


def detector(**options):
    """Scores are the means of red and green in the box."""

    class Colours(nn.Module):
        def forward(self, image, boxes):
            return WarpedFeatures(network=lambda x: x.mean((2, 3)), size=8, padding=0)(image, boxes)

    return RCNN(features=Colours(), classifier=Linear(torch.eye(3)[:, :2], torch.zeros(2)), **options)


def test_each_class_suppresses_its_own_and_boxes_are_clipped():
    image = torch.zeros(3, 40, 60)
    image[0, :20, :20], image[1, :20, :20] = 0.9, 0.6
    boxes = torch.tensor([[0.0, 0, 20, 20], [0, 0, 20, 22], [-30, -30, 20, 20], [30, 30, 70, 50]])
    (found,) = detector(proposals=lambda image: boxes, score_threshold=0.5)([image])
    assert found["labels"].tolist() == [1, 2]
    assert found["boxes"].tolist() == [[0, 0, 20, 20]] * 2
    torch.testing.assert_close(found["scores"], torch.tensor([0.9, 0.6]))
    (one,) = detector(proposals=lambda image: boxes, score_threshold=0.5, limit=1)([image])
    assert one["labels"].tolist() == [1]


def test_no_proposals_give_no_detections():
    first, second = detector(proposals=lambda image: torch.zeros(0, 4))([drawn(3, 40, 60), drawn(3, 50, 50)])
    for found in (first, second):
        assert found["boxes"].shape == (0, 4) and found["labels"].shape == found["scores"].shape == (0,)
        assert found["labels"].dtype == torch.int64


def test_the_softmax_scores_are_probabilities_without_the_background():
    head = Softmax(features=4, classes=3, scale=2.0)
    features = drawn(5, 4)
    assert head(features).shape == (5, 4)
    scores = head.eval()(features)
    torch.testing.assert_close(scores, head.linear(2 * features).softmax(1)[:, 1:])


def test_from_pictures_to_detections():
    """A handful of pictures learnt by heart: what was trained finds again what it was shown, and box regression moves boxes closer."""
    data = Shapes("train", count=6, size=128, target="instances")
    pictures = [data[number] for number in range(6)]
    features = WarpedFeatures(network=CellFeatures(backbone=efficientnet_lite0(), grid=2), size=64, padding=6)
    proposals = {id(image): selective_search(image, "single")[:100] for image, _ in pictures}
    regions = [regions_of(image, target, proposals=proposals[id(image)], features=features) for image, target in pictures]
    classifier, regressor = train_svms(regions, classes=6), train_box_regression(regions, classes=6)
    network = RCNN(
        proposals=lambda image: proposals[id(image)], features=features, classifier=classifier, regressor=regressor, score_threshold=-1
    )
    found = network([image for image, _ in pictures])
    assert all((f["scores"].diff() <= 0).all() and ((f["boxes"] >= 0) & (f["boxes"] <= 128)).all() for f in found)
    assert mean_average_precision(found, [target for _, target in pictures], [0.5]).AP50 > 0.7
    before, after = [], []
    for picture, label in itertools.product(regions, range(1, 7)):
        rows, targets = regression_examples(picture, label)
        true = decode_boxes(targets, picture.boxes[rows])
        moved = decode_boxes(regressor(picture.features[rows])[:, 4 * label - 4 : 4 * label], picture.boxes[rows])
        before.append(box_iou(true, picture.boxes[rows]).diagonal())
        after.append(box_iou(true, moved).diagonal())
    assert torch.cat(after).mean() > torch.cat(before).mean() + 0.02, (torch.cat(before).mean(), torch.cat(after).mean())
