"""What students of lesson 06 really write, and the hint they get for it."""

import numpy as np
import pytest
import torch

from course.exercises import check
from course.exercises.lessons import exercises_of, questions_of
from tests.hinting import hint_of

SEEDS = range(8)


def test_the_exercises_of_lesson_06_and_their_order():
    names = [exercise.name for exercise in exercises_of("06_proposals")]
    assert names == ["colour_similarity", "size_similarity", "fill_similarity", "merged_histogram"]
    assert [question.name for question in questions_of("06_proposals")] == ["which_rival"]


def test_other_right_ways_pass():
    def colour_similarity(a, b):
        return torch.where(a < b, a, b).sum(dim=-1)

    def size_similarity(size_a, size_b, image_size):
        return (image_size - size_a - size_b) / image_size

    def fill_similarity(box_a, box_b, size_a, size_b, image_size):
        a, b = torch.broadcast_tensors(box_a, box_b)
        both = torch.stack([a, b])
        width = both[..., 2].amax(0) - both[..., 0].amin(0)
        height = both[..., 3].amax(0) - both[..., 1].amin(0)
        return 1 - width * height / image_size + (size_a + size_b) / image_size

    def merged_histogram(a, b, size_a, size_b):
        part = size_a / (size_a + size_b)
        return torch.lerp(b, a, part)

    for function in (colour_similarity, size_similarity, fill_similarity, merged_histogram):
        for seed in SEEDS:
            result = check(function, seed=seed)
            assert result.passed, repr(result)


def test_every_histogram_sums_to_1_and_every_box_lies_in_the_picture():
    for exercise in exercises_of("06_proposals"):
        for seed in SEEDS:
            for case in exercise.cases(seed):
                for name in {"a", "b"} & set(case.inputs):
                    sums = case.inputs[name].sum(-1)
                    torch.testing.assert_close(sums, torch.ones_like(sums))
                for name in {"box_a", "box_b"} & set(case.inputs):
                    box = case.inputs[name]
                    assert (box[..., 2:] > box[..., :2]).all() and box.min() >= 0 and box[..., 2:].max() <= 12, case.name
                    area = (box[..., 2:] - box[..., :2]).prod(-1)
                    assert (case.inputs[name.replace("box", "size")] <= area).all()
                if "image_size" in case.inputs:
                    total = torch.as_tensor(case.inputs["size_a"]) + torch.as_tensor(case.inputs["size_b"])
                    assert (total <= case.inputs["image_size"]).all() or "box_a" in case.inputs, case.name


def test_the_references_give_what_is_done_by_hand():
    colour, size, fill, merged = (exercise.reference for exercise in exercises_of("06_proposals"))
    a, b = torch.tensor([0.5, 0.25, 0.25, 0]), torch.tensor([0.25, 0.25, 0, 0.5])
    assert colour(a, b) == 0.5
    assert size(torch.tensor([10.0]), torch.tensor([30.0]), 200) == pytest.approx(0.8)
    boxes = torch.tensor([0.0, 0, 2, 2]), torch.tensor([2.0, 1, 4, 3])
    assert fill(*boxes, torch.tensor(4.0), torch.tensor(3.0), 100) == pytest.approx(0.95)
    np.testing.assert_allclose(merged(torch.tensor([0.5, 0.5, 0]), torch.tensor([0, 0.2, 0.8]), 100, 300), [0.125, 0.275, 0.6])


@pytest.mark.parametrize("seed", SEEDS)
def test_sizes_of_boxes_are_named(seed):
    def fill_similarity(box_a, box_b, size_a, size_b, image_size):
        upper_left, lower_right = torch.minimum(box_a, box_b), torch.maximum(box_a, box_b)
        around = (lower_right[..., 2] - upper_left[..., 0]) * (lower_right[..., 3] - upper_left[..., 1])
        area_a, area_b = ((box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]) for box in (box_a, box_b))
        return 1 - (around - area_a - area_b) / image_size

    assert hint_of(fill_similarity, seed) == "boxes for regions"
