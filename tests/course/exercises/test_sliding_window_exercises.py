"""What students of lesson 01 really write, and the hint they get for it; and the numbers in the prompts."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from course.exercises import check
from course.exercises.lessons import questions_of
from course.ops.windows import extract_patches, window_coverage, window_positions
from tests.hinting import hint_of

SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_counting_by_a_loop_is_right(seed):
    def window_positions(size, window, stride):
        return tuple(sum(start + window <= side for start in range(0, side, stride)) for side in size)

    assert check(window_positions, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loop_that_counts_one_too_few_is_named(seed):
    def window_positions(size, window, stride):
        return tuple(len(range(0, side - window, stride)) for side in size)

    assert hint_of(window_positions, seed) == "start at the end forgotten"


@pytest.mark.parametrize("seed", SEEDS)
def test_patches_by_loops_are_right_and_keep_the_dtype(seed):
    def extract_patches(image, size, stride):
        patches = []
        for top in range(0, image.shape[1] - size + 1, stride):
            for left in range(0, image.shape[2] - size + 1, stride):
                patches.append(image[:, top : top + size, left : left + size])
        return torch.stack(patches)

    assert check(extract_patches, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_unfold_and_view_without_a_permute_is_named(seed):
    def extract_patches(image, size, stride):
        patches = image.unfold(1, size, stride).unfold(2, size, stride).contiguous()
        return patches.view(-1, image.shape[0], size, size)

    assert hint_of(extract_patches, seed) == "dimensions not moved"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_columns_of_unfold_reshaped_without_a_transpose_are_wrong(seed):
    def extract_patches(image, size, stride):
        columns = F.unfold(image[None].float(), size, stride=stride)[0]  # [C·size·size, L]
        return columns.reshape(-1, image.shape[0], size, size).to(image.dtype)

    assert not check(extract_patches, seed=seed).passed


@pytest.mark.parametrize("seed", SEEDS)
def test_loops_that_go_down_first_are_named(seed):
    def extract_patches(image, size, stride):
        rows, columns = (range(0, side - size + 1, stride) for side in image.shape[1:])
        return torch.stack([image[:, y : y + size, x : x + size] for x, y in itertools.product(columns, rows)])

    assert hint_of(extract_patches, seed) == "down the columns"


@pytest.mark.parametrize("seed", SEEDS)
def test_view_unflatten_and_einops_ways_are_right(seed):
    def by_view(weight, channels, size):
        return weight.view(weight.shape[0], channels, size[0], size[1])

    def by_unflatten(weight, channels, size):
        return weight.unflatten(1, (channels, *size))

    for function in (by_view, by_unflatten):
        function.__name__ = "convolutional_weight"
        assert check(function, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_view_of_the_transposed_weight_is_named(seed):
    def convolutional_weight(weight, channels, size):
        return weight.T.contiguous().view(-1, channels, *size)

    assert hint_of(convolutional_weight, seed) == "transposed first"


def test_what_the_prompts_say_is_so():
    assert window_positions((9, 9), 4, 2) == (3, 3)
    image = torch.arange(1, 10).reshape(1, 3, 3)
    assert extract_patches(image, 2, 1)[:, 0].tolist() == [[[1, 2], [4, 5]], [[2, 3], [5, 6]], [[4, 5], [7, 8]], [[5, 6], [8, 9]]]


def test_the_answer_to_the_question_counts_right():
    (question,) = questions_of("01_sliding_window")
    rows, columns = window_positions(20_000, 224, 32)
    assert f"{rows} × {columns} = {rows * columns:,} windows" in question.good_answer
    assert window_coverage(600, 224, 32).max() == 49 and "7 × 7 = 49" in question.good_answer
    assert 32 * 10_000**2 == 3.2e9 and "3.2 billion numbers, 13 GB" in question.good_answer.replace("\n  ", " ")
