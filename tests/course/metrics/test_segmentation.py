"""The metrics of label maps against scikit-learn, scikit-image and SciPy, and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import find_boundaries
from sklearn.metrics import accuracy_score, jaccard_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

from course.metrics import boundary_band, boundary_error, boundary_f_score, class_iou, confusion_matrix, mean_iou, pixel_accuracy

properties = settings(max_examples=60, deadline=None)
seeds = st.integers(0, 10_000)


def pair(seed: int, classes: int = 4, void: bool = True):
    """Blocky random labels with some void."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, (2, 4, 5)).repeat(4, 1).repeat(4, 2)  # [2, 16, 20]
    prediction = np.where(rng.random(target.shape) < 0.3, rng.integers(0, classes, target.shape), target)
    if void:
        target = np.where(rng.random(target.shape) < 0.1, 255, target)
    return prediction, target


@properties
@given(seeds)
def test_confusion_matrix_equals_scikit_learn(seed):
    prediction, target = pair(seed)
    kept = target != 255
    expected = sklearn_confusion(target[kept], prediction[kept], labels=range(4))
    assert confusion_matrix(torch.tensor(prediction), torch.tensor(target), 4).tolist() == expected.tolist()


@properties
@given(seeds, st.integers(2, 6))
def test_mean_iou_equals_scikit_learn(seed, classes):
    prediction, target = pair(seed, classes)
    kept = target != 255
    present = np.union1d(target[kept], prediction[kept])
    expected = jaccard_score(target[kept], prediction[kept], labels=present, average="macro")
    assert mean_iou(torch.tensor(prediction), torch.tensor(target), classes + 3) == pytest.approx(expected, abs=1e-12)


@properties
@given(seeds)
def test_class_iou_equals_scikit_learn(seed):
    prediction, target = pair(seed)
    kept = target != 255
    iou = class_iou(confusion_matrix(torch.tensor(prediction), torch.tensor(target), 6))
    assert iou[:4].tolist() == pytest.approx(jaccard_score(target[kept], prediction[kept], labels=range(4), average=None), abs=1e-12)
    assert iou[4:].isnan().all()


@properties
@given(seeds, st.booleans())
def test_pixel_accuracy_equals_scikit_learn(seed, void):
    prediction, target = pair(seed, void=void)
    kept = target != 255
    assert pixel_accuracy(torch.tensor(prediction), torch.tensor(target)) == pytest.approx(accuracy_score(target[kept], prediction[kept]))
    if void:
        everywhere = accuracy_score(target.ravel(), prediction.ravel())
        assert pixel_accuracy(torch.tensor(prediction), torch.tensor(target), void=None) == pytest.approx(everywhere)


def test_by_hand():
    target, prediction = torch.tensor([[0, 0, 1, 255]]), torch.tensor([[0, 1, 1, 0]])
    matrix = confusion_matrix(prediction, target, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]  # row truth, column prediction
    iou = class_iou(matrix)
    assert iou[:2].tolist() == [0.5, 0.5] and iou[2].isnan()
    assert mean_iou(prediction, target, 3) == 0.5
    assert pixel_accuracy(prediction, target) == 2 / 3
    assert confusion_matrix(prediction, target, 256, void=None).sum() == 4
    assert (confusion_matrix(prediction, target, 3) + matrix).sum() == 6  # batches add up


def test_nothing_to_judge():
    assert math.isnan(mean_iou(torch.zeros(2, 2).long(), torch.full((2, 2), 255), 2))
    assert math.isnan(mean_iou(torch.zeros(0).long(), torch.zeros(0).long(), 2))
    assert math.isnan(boundary_error(torch.zeros(4, 4).long(), torch.zeros(4, 4).long(), 1))
    assert math.isnan(boundary_error(torch.zeros(0, 4, 4).long(), torch.zeros(0, 4, 4).long(), 1))
    for shape in ((4, 4), (0, 4, 4), (2, 0, 4), (1, 1)):
        assert math.isnan(boundary_f_score(torch.zeros(shape).long(), torch.zeros(shape).long(), 1))
    assert math.isnan(boundary_f_score(torch.zeros(4, 4).long(), torch.full((4, 4), 255), 1))
    assert math.isnan(pixel_accuracy(torch.zeros(2, 2).long(), torch.full((2, 2), 255)))


@properties
@given(seeds, st.integers(1, 7))
def test_band_equals_scipys_distance_transform(seed, width):
    _, target = pair(seed)
    expected = np.zeros(target.shape, bool)
    for n, labels in enumerate(target):
        for label in np.unique(labels[labels != 255]):
            other = (labels != label) & (labels != 255)
            if other.any():
                distance = ndimage.distance_transform_cdt(~other, metric="chessboard")
                expected[n] |= (labels == label) & (distance <= width)
    assert (boundary_band(torch.tensor(target), width).numpy() == expected).all()


def test_band_by_hand():
    target = torch.zeros(5, 6).long()
    target[:, 3:] = 1
    assert boundary_band(target, 1)[0].tolist() == [False, False, True, True, False, False]
    assert boundary_band(target, 2)[0].tolist() == [False, True, True, True, True, False]
    target[:, 2:4] = 255  # void lies between: the classes still are boundary to each other, three pixels apart
    assert boundary_band(target, 2)[0].tolist() == [False] * 6
    assert boundary_band(target, 3)[0].tolist() == [False, True, False, False, True, False]
    target[:, 3:] = 255  # void alone is no boundary
    assert not boundary_band(target, 5).any()


def test_error_falls_with_the_width_when_only_edges_are_wrong():
    target = torch.zeros(1, 40, 40).long()
    target[:, 10:30, 10:30] = 1
    grown = boundary_band(target, 1).long() | target
    errors = [boundary_error(grown, target, width) for width in (1, 2, 4, 8)]
    assert errors == sorted(errors, reverse=True) and errors[0] > 0.5
    assert boundary_error(target, target, 1) == 0.0
    assert boundary_error(1 - target, target, 3) == 1.0


def test_error_by_hand():
    target, prediction = torch.tensor([[0, 0, 0, 1, 1, 1]]), torch.tensor([[1, 0, 1, 1, 1, 1]])
    assert boundary_error(prediction, target, 1) == 1 / 2  # columns 2 and 3
    assert boundary_error(prediction, target, 2) == 1 / 4  # columns 1 to 4
    assert boundary_error(prediction, target, 3) == 2 / 6  # all of them


def f_score_by_distances(prediction, target, tolerance):
    """scikit-image says where boundaries are, SciPy how far it is to them."""
    scores = []
    for found, true in zip(prediction, target, strict=True):
        void, of_image = true == 255, []
        for label in np.union1d(found[~void], true[~void]):
            edges = [find_boundaries((labels == label) | void, connectivity=1, mode="inner") & ~void for labels in (found, true)]
            if not (edges[0].any() or edges[1].any()):
                continue
            precision, recall = (share_within(tolerance, *pair) for pair in (edges, edges[::-1]))
            of_image.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
        if of_image:
            scores.append(np.mean(of_image))
    return np.mean(scores) if scores else math.nan


def share_within(tolerance, edge, other):
    if not edge.any() or not other.any():
        return 0.0
    return (ndimage.distance_transform_edt(~other)[edge] <= tolerance).mean()


@properties
@given(seeds, st.sampled_from([0, 1, 1.5, 2, math.sqrt(5), math.sqrt(13), 3.9, 50]), st.booleans())
def test_boundary_f_score_equals_distances_by_scipy(seed, tolerance, void):
    prediction, target = pair(seed, classes=3, void=void)
    if seed % 2:  # smooth regions, and boundaries that are a little off
        prediction = np.roll(target, seed % 5 - 2, axis=2) % 255
    got = boundary_f_score(torch.tensor(prediction), torch.tensor(target), tolerance)
    assert got == pytest.approx(f_score_by_distances(prediction, target, tolerance), abs=1e-12, nan_ok=True)


def test_boundary_f_score_by_hand():
    target = torch.zeros(6, 8).long()
    target[:, 4:] = 1
    assert boundary_f_score(target, target, 0) == 1.0
    moved = target.roll(2, 1)
    moved[:, :2] = 0  # the edge is two pixels further right
    assert [boundary_f_score(moved, target, tolerance) for tolerance in (0, 1, 1.99, 2)] == [0.0, 0.0, 0.0, 1.0]
    assert boundary_f_score(torch.zeros_like(target), target, 3) == 0.0  # neither class has a boundary in the prediction
    half = target.clone()
    half[3:] = 0  # the upper half of the edge is right; the new, level edge is class 0's row 3 and class 1's row 2
    got = boundary_f_score(half, target, 0)
    zeros = (2 * (3 / 7) * (3 / 6)) / (3 / 7 + 3 / 6)  # column 3 and row 3: 7 predicted pixels, 3 of 6 true ones found
    ones = (2 * (3 / 6) * (3 / 6)) / (3 / 6 + 3 / 6)  # column 4 and row 2: 6 predicted pixels
    assert got == pytest.approx((zeros + ones) / 2)
    assert boundary_f_score(torch.stack([target, half]), torch.stack([target, target]), 0) == pytest.approx((1 + got) / 2)


def test_void_has_no_boundary():
    target = torch.zeros(5, 9).long()
    target[:, 5:] = 1
    prediction = target.clone()
    prediction[:, 0] = 1
    assert boundary_f_score(prediction, target, 0) < 1
    target[:, :2] = 255
    assert boundary_f_score(prediction, target, 0) == 1.0  # what was wrong lies in void, and void's edge is none
    assert boundary_f_score(prediction, target, 0, void=None) < 1
    target[:, 4:6] = 255
    assert math.isnan(boundary_f_score(prediction, target, 0))  # void rings everything


@pytest.mark.gpu
def test_on_a_gpu():
    prediction, target = map(torch.tensor, pair(1))
    for metric in (
        lambda p, t: boundary_f_score(p, t, 2),
        lambda p, t: boundary_error(p, t, 2),
        lambda p, t: mean_iou(p, t, 4),
        pixel_accuracy,
    ):
        assert metric(prediction.cuda(), target.cuda()) == pytest.approx(metric(prediction, target), abs=1e-12)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.bool])
def test_any_whole_numbers(kind):
    target, prediction = torch.tensor([[0, 0, 1, 1]]).to(kind), torch.tensor([[0, 1, 1, 1]]).to(kind)
    assert mean_iou(prediction, target, 2) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert boundary_error(prediction, target, 1) == 0.5
    assert pixel_accuracy(prediction, target) == 0.75
    assert boundary_f_score(prediction, target, 1) == 1.0


@pytest.mark.parametrize(
    "function",
    [lambda p, t: mean_iou(p, t, 2), lambda p, t: boundary_error(p, t, 1), lambda p, t: boundary_f_score(p, t, 1), pixel_accuracy],
)
def test_bad_labels(function):
    good = torch.zeros(4, 4).long()
    with pytest.raises(ValueError, match=r"\[4, 4\] and \[4, 5\]"):
        function(good, torch.zeros(4, 5).long())
    with pytest.raises(TypeError, match="argmax"):
        function(torch.rand(4, 4), good)
    with pytest.raises(TypeError, match="target is a tensor of labels, not list"):
        function(good, [[0]])


def test_labels_out_of_range():
    good = torch.zeros(2, 2).long()
    for name, arguments in (("prediction", (good + 2, good)), ("target", (good, good + 2)), ("prediction", (good - 1, good))):
        with pytest.raises(ValueError, match=f"The {name} holds the label .*2 classes"):
            confusion_matrix(*arguments, 2)


@pytest.mark.parametrize("width", [0, -1, 1.5, True, "2"])
def test_bad_width(width):
    with pytest.raises(ValueError, match="1 or more, not"):
        boundary_error(torch.zeros(4, 4).long(), torch.zeros(4, 4).long(), width)


@pytest.mark.parametrize("tolerance", [-1, math.nan, math.inf, True, "2"])
def test_bad_tolerance(tolerance):
    with pytest.raises(ValueError, match="a distance in pixels, 0 or more, not"):
        boundary_f_score(torch.zeros(4, 4).long(), torch.zeros(4, 4).long(), tolerance)


def test_bad_shape():
    with pytest.raises(ValueError, match=r"\[N, H, W\]; these have \[4\]"):
        boundary_band(torch.zeros(4).long(), 1)
    with pytest.raises(ValueError, match=r"\[N, H, W\]; these have \[4\]"):
        boundary_f_score(torch.zeros(4).long(), torch.zeros(4).long(), 1)
