"""Counting by hand: three pictures of cells."""

import math
from collections import Counter

import pytest
import torch

from course.metrics import Count, count_objects

CLASSES = ("background", "red", "white")


def prediction(labels, scores):
    return {"boxes": torch.tensor([[0.0, 0, 9, 9]]).repeat(len(labels), 1), "labels": labels_of(labels), "scores": torch.tensor(scores)}


def target(labels, **more):
    return {"boxes": torch.tensor([[5.0, 5, 8, 8]]).repeat(len(labels), 1), "labels": labels_of(labels), **more}


def labels_of(labels):
    return torch.tensor(labels, dtype=torch.long)


PREDICTIONS = [prediction([1, 1, 2, 1], [0.9, 0.5, 0.8, 0.49]), prediction([2, 2], [0.6, 0.7]), prediction([], [])]
TARGETS = [target([1, 1, 1, 2]), target([1]), target([2, 1])]


def test_by_hand():
    # Red: 2 of 3, 0 of 1, 0 of 1, so errors of 1, 1, 1. White: 1 of 1, 2 of 0, 0 of 1, so errors of 0, 2, 1, though 3 of 2 in all.
    assert count_objects(PREDICTIONS, TARGETS, CLASSES) == {"red": Count(2, 5, 1.0), "white": Count(3, 2, 1.0)}
    # From 0.65 on: red 1 of 3, 0 of 1, 0 of 1; white 1 of 1, 1 of 0, 0 of 1.
    assert count_objects(PREDICTIONS, TARGETS, CLASSES, score_threshold=0.65) == {
        "red": Count(1, 5, pytest.approx(4 / 3)),
        "white": Count(2, 2, pytest.approx(2 / 3)),
    }
    assert count_objects(PREDICTIONS, TARGETS, CLASSES, score_threshold=0)["red"] == Count(3, 5, pytest.approx(2 / 3))


def test_a_score_of_just_the_threshold_counts_in_either_precision():
    for score in (0.5, 0.7, 0.1):
        for dtype in (torch.float32, torch.float64):
            found = prediction([1], [score]) | {"scores": torch.tensor([score], dtype=dtype)}
            assert count_objects([found], [target([1])], CLASSES, score_threshold=score)["red"].counted == 1
            assert count_objects([found], [target([1])], CLASSES, score_threshold=score + 1e-6)["red"].counted == 0


def test_it_is_a_loop():
    draw = torch.Generator().manual_seed(0)
    sizes = torch.randint(0, 9, (20, 2), generator=draw).tolist()
    labels = [[torch.randint(1, 4, (size,), generator=draw).tolist() for size in pair] for pair in sizes]
    scores = [torch.rand(len(found), generator=draw).tolist() for found, _ in labels]
    predictions = [prediction(found, score) for (found, _), score in zip(labels, scores, strict=True)]
    answer = count_objects(predictions, [target(true) for _, true in labels], ("nothing", "a", "b", "c"), score_threshold=0.3)
    for label, name in enumerate("abc", start=1):
        pairs = [
            (sum(found == label and score >= 0.3 for found, score in zip(founds, row, strict=True)), Counter(true)[label])
            for (founds, true), row in zip(labels, scores, strict=True)
        ]
        counted, annotated = map(sum, zip(*pairs, strict=True))
        assert answer[name] == Count(counted, annotated, pytest.approx(sum(abs(c - a) for c, a in pairs) / 20))
    assert list(answer) == ["a", "b", "c"]


def test_a_crowd_is_not_counted():
    there = target([1, 1, 2], iscrowd=torch.tensor([0, 1, 0]))
    assert count_objects([prediction([1, 2], [0.9, 0.9])], [there], CLASSES) == {"red": Count(1, 1, 0.0), "white": Count(1, 1, 0.0)}


def test_no_images():
    answer = count_objects([], [], CLASSES)
    assert list(answer) == ["red", "white"] and all((c.counted, c.annotated) == (0, 0) for c in answer.values())
    assert math.isnan(answer["red"].mean_absolute_error)


@pytest.mark.parametrize(
    ("predictions", "targets", "threshold", "error", "words"),
    [
        (
            [prediction([3], [0.9])],
            [target([])],
            0.5,
            ValueError,
            "prediction of image 0 has the label 3; accepted are 1 to 2, .* red, white",
        ),
        (PREDICTIONS[:1], [target([0])], 0.5, ValueError, "target of image 0 has the label 0"),
        (PREDICTIONS, TARGETS[:2], 0.5, ValueError, "one prediction and one target an image; these are 3 and 2"),
        (PREDICTIONS[:1], [{"boxes": torch.zeros(0, 4)}], 0.5, ValueError, "target of image 0 has no 'labels'"),
        (PREDICTIONS[0], TARGETS, 0.5, TypeError, "predictions are a list with one dict an image"),
        (iter(PREDICTIONS), TARGETS, 0.5, TypeError, "predictions are a list with one dict an image"),
        (PREDICTIONS, TARGETS, math.nan, ValueError, "score_threshold is a number, not NaN"),
    ],
)
def test_what_cannot_be_counted(predictions, targets, threshold, error, words):
    with pytest.raises(error, match=words):
        count_objects(predictions, targets, CLASSES, score_threshold=threshold)
