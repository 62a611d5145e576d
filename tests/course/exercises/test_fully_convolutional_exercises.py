"""What students of lesson 02 really write, and the hint they get for it; and the numbers in the prompts."""

import math

import pytest
import torch
import torch.nn.functional as F

from course.exercises import check
from course.models.fcn import fuse
from course.ops.cross_entropy import pixel_cross_entropy
from tests.hinting import hint_of

SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lessons_four_lines_are_right_once_they_know_ignore_index(seed):
    def pixel_cross_entropy(logits, target, ignore_index=255):
        counts = target != ignore_index
        true_class = target.where(counts, 0)[:, None]
        losses = logits.logsumexp(1) - logits.gather(1, true_class)[:, 0]
        return losses[counts].mean()

    assert check(pixel_cross_entropy, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loop_over_the_pixels_is_right(seed):
    def pixel_cross_entropy(logits, target, ignore_index):
        losses = []
        for n, y, x in torch.cartesian_prod(*map(torch.arange, target.shape)).tolist():
            if target[n, y, x] != ignore_index:
                scores = logits[n, :, y, x] - logits[n, :, y, x].max()
                losses.append(scores.exp().sum().log() - scores[target[n, y, x]])
        return sum(losses) / len(losses)

    assert check(pixel_cross_entropy, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plain_softmax_is_told_that_it_overflows(seed):
    def pixel_cross_entropy(logits, target, ignore_index):
        exponentials = logits.exp()
        probabilities = (exponentials / exponentials.sum(1, keepdim=True)).movedim(1, -1)
        counts = target != ignore_index
        return -probabilities[counts].gather(1, target[counts][:, None]).log().mean()

    assert hint_of(pixel_cross_entropy, seed) == "overflow"


@pytest.mark.parametrize("seed", SEEDS)
def test_all_pixels_divided_by_is_named(seed):
    def pixel_cross_entropy(logits, target, ignore_index):
        return F.cross_entropy(logits, target, ignore_index=ignore_index, reduction="none").mean()

    assert hint_of(pixel_cross_entropy, seed) == "void in the count"


@pytest.mark.parametrize("seed", SEEDS)
def test_upsample_and_crop_is_right(seed):
    def fuse(coarse, fine):
        doubled = torch.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)(coarse)
        return doubled[:, :, : fine.shape[2], : fine.shape[3]] + fine

    assert check(fuse, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_interpolating_to_the_fine_size_is_named(seed):
    def fuse(coarse, fine):
        return F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False) + fine

    assert hint_of(fuse, seed) == "stretched"


def test_what_the_prompts_say_is_so():
    assert math.isclose(
        pixel_cross_entropy(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.long)).item(), math.log(2), abs_tol=1e-6
    )
    ramp = torch.tensor([0.0, 4.0]).reshape(1, 1, 2, 1)  # the centres of both cells lie at 0.5 and 2.5
    torch.testing.assert_close(fuse(ramp, torch.zeros(1, 1, 4, 2))[0, 0, :, 0], torch.tensor([0.0, 1.0, 3.0, 4.0]))
