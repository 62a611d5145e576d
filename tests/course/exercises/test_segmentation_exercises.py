"""What students of lesson 00 really write, and the hint they get for it."""

import re

import numpy as np
import pytest
import torch
from skimage.metrics import contingency_table

from course.exercises import check
from course.exercises.lessons import exercises_of, questions_of
from tests.hinting import hint_of

SEEDS = range(8)


def passes(function):
    for seed in SEEDS:
        result = check(function, seed=seed)
        assert result.passed, repr(result)


def test_the_exercises_of_lesson_00_and_their_order():
    assert [exercise.name for exercise in exercises_of("00_segmentation")] == ["semantic_map", "confusion_matrix", "class_iou"]
    assert [question.name for question in questions_of("00_segmentation")] == ["which_number"]


def test_other_right_ways_pass():
    def semantic_map(masks, labels):
        numbers = torch.arange(1, len(masks) + 1).reshape(-1, 1, 1)
        background = torch.zeros(1, *masks.shape[1:], dtype=torch.int64)
        last = torch.cat([background, masks * numbers]).amax(0)
        return torch.cat([torch.zeros(1).long(), labels.long()])[last]

    def confusion_matrix(prediction, target, classes, *, void=255):
        matrix = torch.zeros(classes, classes, dtype=torch.int64)
        for truth, said in zip(target.flatten().tolist(), prediction.flatten().tolist(), strict=True):
            if truth != void:
                matrix[truth, said] += 1
        return matrix

    def class_iou(confusion):
        both = confusion.diag()
        return both / (confusion.sum(0) + confusion.sum(1) - both)  # float32 is good enough

    for function in (semantic_map, confusion_matrix, class_iou):
        passes(function)


def test_masks_are_told_in_words_that_say_all_of_them():
    exercise = next(exercise for exercise in exercises_of("00_segmentation") if exercise.name == "semantic_map")
    for seed in SEEDS:
        for case in exercise.cases(seed):
            masks = case.inputs["masks"]
            for line, mask in zip(exercise.in_words["masks"](masks), masks, strict=True):
                _, top, bottom, left, right = map(int, re.findall(r"\d+", line))
                drawn = torch.zeros_like(mask)
                drawn[top : bottom + 1, left : right + 1] = True
                assert torch.equal(drawn, mask), (case.name, line)


def test_references_agree_with_scikit_image():
    confusion = next(exercise for exercise in exercises_of("00_segmentation") if exercise.name == "confusion_matrix")
    for case in confusion.cases(0):
        inputs = dict(case.inputs)
        void = inputs.pop("void", 255)
        target, prediction = (inputs[name].numpy().ravel().astype(int) for name in ("target", "prediction"))
        table = contingency_table(target, prediction, ignore_labels=[] if void is None else [void]).toarray()
        expected = np.zeros((256, 256))
        expected[: table.shape[0], : table.shape[1]] = table
        ours = confusion.reference(**case.inputs)
        assert (ours == expected[: inputs["classes"], : inputs["classes"]]).all(), case.name


@pytest.mark.parametrize("seed", SEEDS)
def test_void_that_is_not_left_out_is_named_whether_a_loop_or_a_count_meets_it(seed):
    def by_loops(prediction, target, classes, *, void=255):
        matrix = torch.zeros(classes, classes, dtype=torch.int64)
        for truth, said in zip(target.flatten(), prediction.flatten(), strict=True):
            matrix[truth.long(), said.long()] += 1
        return matrix

    def by_counts(prediction, target, classes, *, void=255):
        pairs = target.flatten().long() * classes + prediction.flatten().long()
        return pairs.bincount(minlength=classes * classes).view(classes, classes)

    for function in (by_loops, by_counts):
        function.__name__ = "confusion_matrix"
        assert hint_of(function, seed) == "void not left out"


@pytest.mark.parametrize("seed", SEEDS)
def test_adding_one_to_many_cells_at_once_is_named(seed):
    def confusion_matrix(prediction, target, classes, *, void=255):
        matrix = torch.zeros(classes, classes, dtype=torch.int64)
        kept = target != void if void is not None else torch.ones_like(target, dtype=torch.bool)
        matrix[target[kept].long(), prediction[kept].long()] += 1
        return matrix

    assert hint_of(confusion_matrix, seed) == "each pair once"


@pytest.mark.parametrize("seed", SEEDS)
def test_void_none_that_is_compared_with_is_told_by_the_case(seed):
    def confusion_matrix(prediction, target, classes, *, void=255):
        kept = (target != (void or 255)).flatten()  # also takes 0 for None
        pairs = target.flatten()[kept].long() * classes + prediction.flatten()[kept].long()
        return pairs.bincount(minlength=classes * classes).view(classes, classes)

    result = check(confusion_matrix, seed=seed)
    assert result.failure.case.name == "background left out: void=0"
    assert result.failure.mistake.name == "always 255"


@pytest.mark.parametrize("seed", SEEDS)
def test_whole_division_is_named_whether_it_raises_or_not(seed):
    def class_iou(confusion):
        both = confusion.diag()
        return both // (confusion.sum(0) + confusion.sum(1) - both)

    assert hint_of(class_iou, seed) == "whole division"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_map_that_is_added_up_is_named(seed):
    def semantic_map(masks, labels):
        semantic = torch.zeros(masks.shape[1:], dtype=torch.int64)
        for mask, label in zip(masks, labels, strict=True):
            semantic += mask * label
        return semantic

    assert hint_of(semantic_map, seed) == "labels added"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_map_on_torch_zeros_is_told_of_its_dtype(seed):
    def semantic_map(masks, labels):
        semantic = torch.zeros(masks.shape[1:])
        for mask, label in zip(masks, labels, strict=True):
            semantic[mask] = label.float()
        return semantic

    assert hint_of(semantic_map, seed) == "fractions"
