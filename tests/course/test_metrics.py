"""The metrics against scikit-learn and SciPy, and by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import confusion_matrix as sklearn_confusion
from sklearn.metrics import jaccard_score

from course.metrics import boundary_band, boundary_error, class_iou, confusion_matrix, mean_iou

seeds = st.integers(0, 10_000)


def pair(seed: int, classes: int = 4, void: bool = True):
    """Blocky random labels with some void."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, (2, 4, 5)).repeat(4, 1).repeat(4, 2)  # [2, 16, 20]
    prediction = np.where(rng.random(target.shape) < 0.3, rng.integers(0, classes, target.shape), target)
    if void:
        target = np.where(rng.random(target.shape) < 0.1, 255, target)
    return prediction, target


@given(seeds)
def test_confusion_matrix_equals_scikit_learn(seed):
    prediction, target = pair(seed)
    kept = target != 255
    expected = sklearn_confusion(target[kept], prediction[kept], labels=range(4))
    assert confusion_matrix(torch.tensor(prediction), torch.tensor(target), 4).tolist() == expected.tolist()


@given(seeds, st.integers(2, 6))
def test_mean_iou_equals_scikit_learn(seed, classes):
    prediction, target = pair(seed, classes)
    kept = target != 255
    present = np.union1d(target[kept], prediction[kept])
    expected = jaccard_score(target[kept], prediction[kept], labels=present, average="macro")
    assert mean_iou(torch.tensor(prediction), torch.tensor(target), classes + 3) == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    target, prediction = torch.tensor([[0, 0, 1, 255]]), torch.tensor([[0, 1, 1, 0]])
    matrix = confusion_matrix(prediction, target, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]  # row truth, column prediction
    iou = class_iou(matrix)
    assert iou[:2].tolist() == [0.5, 0.5] and iou[2].isnan()
    assert mean_iou(prediction, target, 3) == 0.5
    assert confusion_matrix(prediction, target, 256, void=None).sum() == 4
    assert (confusion_matrix(prediction, target, 3) + matrix).sum() == 6  # batches add up


def test_nothing_to_judge():
    assert math.isnan(mean_iou(torch.zeros(2, 2).long(), torch.full((2, 2), 255), 2))
    assert math.isnan(mean_iou(torch.zeros(0).long(), torch.zeros(0).long(), 2))
    assert math.isnan(boundary_error(torch.zeros(4, 4).long(), torch.zeros(4, 4).long(), 1))
    assert math.isnan(boundary_error(torch.zeros(0, 4, 4).long(), torch.zeros(0, 4, 4).long(), 1))


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


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.bool])
def test_any_whole_numbers(kind):
    target, prediction = torch.tensor([[0, 0, 1, 1]]).to(kind), torch.tensor([[0, 1, 1, 1]]).to(kind)
    assert mean_iou(prediction, target, 2) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert boundary_error(prediction, target, 1) == 0.5


@pytest.mark.parametrize("function", [lambda p, t: mean_iou(p, t, 2), lambda p, t: boundary_error(p, t, 1)])
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


def test_bad_shape():
    with pytest.raises(ValueError, match=r"\[N, H, W\]; these have \[4\]"):
        boundary_band(torch.zeros(4).long(), 1)
