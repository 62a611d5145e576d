"""What students of lesson 08 really write, and the hint they get for it; other peers for the references; the numbers in the prompts."""

import math
import re

import pytest
import torch
import torch.nn.functional as F

from course.exercises import check
from course.exercises.checking import expected_arrays
from course.exercises.lessons import exercises_of, questions_of
from course.ops.roi import roi_bins, roi_pool, roi_pool_backward
from course.ops.smooth_l1 import smooth_l1
from tests.hinting import hint_of

SEEDS = range(4)
EXERCISES = {exercise.name: exercise for exercise in exercises_of("08_fast_rcnn")}


def cases(name, seed):
    for case in EXERCISES[name].cases(seed):
        yield case.inputs, expected_arrays(EXERCISES[name], case)["result"]


@pytest.mark.parametrize("seed", SEEDS)
def test_pooling_cell_by_cell_is_right(seed):
    """Turned round: each cell asks in which bins it is."""

    def by_cells(features, boxes, output_size, spatial_scale=1.0):
        ph, pw = (output_size, output_size) if isinstance(output_size, int) else output_size
        _, channels, height, width = features.shape
        output = features.new_full((len(boxes), channels, ph, pw), -math.inf)
        for r, (n, *box) in enumerate(boxes.double().tolist()):
            x1, y1, x2, y2 = (math.floor(abs(side * spatial_scale) + 0.5) * (1 if side > 0 else -1) for side in box)
            for y in range(height):
                for x in range(width):
                    for i in range(ph):
                        for j in range(pw):
                            h, w = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
                            if i * h // ph <= y - y1 < math.ceil((i + 1) * h / ph) and j * w // pw <= x - x1 < math.ceil((j + 1) * w / pw):
                                output[r, :, i, j] = torch.maximum(output[r, :, i, j], features[int(n), :, y, x])
        return torch.where(output == -math.inf, torch.zeros_like(output), output)

    for inputs, expected in list(cases("roi_pool", seed))[:-1]:  # the last is large, and this slow
        torch.testing.assert_close(by_cells(**inputs), expected, rtol=0, atol=0)


def pooled_by_adaptive_pooling(to_cell, end):
    def pool(features, boxes, output_size, spatial_scale=1.0):
        size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        rows = [features.new_zeros(0, features.shape[1], *size)]
        for n, *box in boxes.tolist():
            x1, y1, x2, y2 = (to_cell(side * spatial_scale) for side in box)
            region = features[int(n), :, max(y1, 0) : max(y2 + end, y1 + 1), max(x1, 0) : max(x2 + end, x1 + 1)]
            rows.append(F.adaptive_max_pool2d(region, size)[None] if region.numel() else rows[0].new_zeros(1, features.shape[1], *size))
        return torch.cat(rows)

    pool.__name__ = "roi_pool"
    return pool


@pytest.mark.parametrize("seed", SEEDS)
def test_pooling_by_adaptive_pooling_is_told_what_it_misses(seed):
    half_up = lambda side: math.floor(side + 0.5)  # noqa: E731
    assert hint_of(pooled_by_adaptive_pooling(half_up, 0), seed) == "last cell left out"
    assert hint_of(pooled_by_adaptive_pooling(half_up, 1), seed) == "cut at the map"


@pytest.mark.parametrize("seed", SEEDS)
def test_pooling_that_knows_no_empty_bin_is_named_by_its_error(seed):
    def pool(features, boxes, output_size, spatial_scale=1.0):
        ph, pw = (output_size, output_size) if isinstance(output_size, int) else output_size
        _, rows, columns = roi_bins(boxes[:, 1:], features.shape[2:], (ph, pw), spatial_scale)
        output = features.new_zeros(len(boxes), features.shape[1], ph, pw)
        for r in range(len(boxes)):
            for i in range(ph):
                for j in range(pw):
                    (top, bottom), (left, right) = rows[r, i], columns[r, j]
                    output[r, :, i, j] = features[int(boxes[r, 0]), :, top:bottom, left:right].flatten(1).max(1).values
        return output

    pool.__name__ = "roi_pool"
    assert hint_of(pool, seed) == "nothing to take the maximum of"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_way_back_by_scatter_is_right_and_by_equality_is_named(seed):
    def by_scatter(grad, features, boxes, spatial_scale=1.0):
        n, channels, height, width = features.shape
        output = torch.zeros(n, channels, height * width, dtype=features.dtype)
        _, rows, columns = roi_bins(boxes[:, 1:], (height, width), grad.shape[2:], spatial_scale)
        places = torch.arange(height * width).view(height, width)
        for r in range(len(boxes)):
            for i in range(grad.shape[2]):
                for j in range(grad.shape[3]):
                    down, across = slice(*rows[r, i].tolist()), slice(*columns[r, j].tolist())
                    seen = features[int(boxes[r, 0]), :, down, across].reshape(channels, -1)
                    if seen.shape[1]:
                        place = places[down, across].reshape(-1)[seen.argmax(1)]
                        output[int(boxes[r, 0])].scatter_add_(1, place[:, None], grad[r, :, i, j, None])
        return output.view_as(features)

    def by_equality(grad, features, boxes, spatial_scale=1.0):
        output = torch.zeros_like(features)
        pooled = roi_pool(features, boxes, tuple(grad.shape[2:]), spatial_scale)
        _, rows, columns = roi_bins(boxes[:, 1:], features.shape[2:], grad.shape[2:], spatial_scale)
        for r in range(len(boxes)):
            for i, down in enumerate(rows[r].tolist()):
                for j, across in enumerate(columns[r].tolist()):
                    seen = features[int(boxes[r, 0]), :, slice(*down), slice(*across)]
                    here = output[int(boxes[r, 0]), :, slice(*down), slice(*across)]
                    here += (seen == pooled[r, :, i, j, None, None]) * grad[r, :, i, j, None, None]
        return output

    by_scatter.__name__ = by_equality.__name__ = "roi_pool_backward"
    assert check(by_scatter, seed=seed)
    assert hint_of(by_equality, seed) == "to all equals"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_way_back_is_the_transpose_of_the_way_forth(seed):
    """Where no two cells are equal, pooling is linear nearby: ⟨grad, pool(x + εv) − pool(x)⟩ = ⟨back, εv⟩."""
    for inputs, back in cases("roi_pool_backward", seed):
        features, grad = inputs["features"].double(), inputs["grad"].double()
        if not len(grad) or len(features.unique()) < features.numel():
            continue
        given = inputs["boxes"].double(), tuple(grad.shape[2:]), inputs.get("spatial_scale", 1.0)
        small = 1e-6 * torch.randn(features.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        change = roi_pool(features + small, *given) - roi_pool(features, *given)
        torch.testing.assert_close((grad * change).sum(), (back.double() * small).sum(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_smooth_l1_by_huber_and_by_a_loop(seed):
    def by_huber(prediction, target, beta=1.0):
        return F.huber_loss(prediction, target, reduction="none", delta=beta) / beta

    def by_a_loop(prediction, target, beta=1.0):
        losses = [x * x / 2 / beta if abs(x) < beta else abs(x) - beta / 2 for x in (prediction - target).flatten().tolist()]
        return torch.tensor(losses, dtype=prediction.dtype).view(prediction.shape)

    def with_a_mask(prediction, target, beta=1.0):
        x = torch.abs(prediction - target)
        return (x < beta) * 0.5 * x**2 + (x >= beta) * (x - 0.5)  # as the paper has it, where β is 1

    by_huber.__name__ = by_a_loop.__name__ = with_a_mask.__name__ = "smooth_l1"
    assert check(by_huber, seed=seed) and check(by_a_loop, seed=seed)
    assert not check(with_a_mask, seed=seed).passed


def test_what_the_prompts_say_is_so():
    text = EXERCISES["roi_pool"].prompt
    rows = [[float(n) for n in line.split()[:5]] for line in text.splitlines() if re.match(r"^ \d  \d  \d  \d  \d", line)]
    assert len(rows) == 4
    pooled = roi_pool(torch.tensor(rows)[None, None], torch.tensor([[0.0, 16, 16, 51, 53]]), 2, 1 / 16)[0, 0].int().tolist()
    for line in pooled:
        assert "  ".join(map(str, line)) in text

    text = EXERCISES["roi_pool_backward"].prompt
    lines = [line.split("70 =")[0].split() for line in text.splitlines() if re.match(r"^ \d  \d  \d  ", line)]
    features = torch.tensor([[float(n) for n in line[:3]] for line in lines])[None, None]
    grad = torch.tensor([[float(n) for n in line[5:7]] for line in lines[:2]])[None, None]
    box = torch.tensor([[0.0, 0, 0, 2, 2]])
    assert roi_pool(features, box, 2)[0, 0].tolist() == [[float(n) for n in line[3:5]] for line in lines[:2]]
    back = [[float(n) for n in line[-3:]] for line in lines]
    assert roi_pool_backward(grad, features, box)[0, 0].tolist() == back == [[10, 0, 20], [0, 0, 0], [0, 70, 0]]

    text = EXERCISES["smooth_l1"].prompt
    x, *losses = (
        [float(n.replace("−", "-")) for n in re.findall(r"−?\d[\d.]*", line)]
        for line in (line.partition("x")[2] if line.startswith(" x ") else line.partition(" = ")[2][1:] for line in text.splitlines())
        if len(re.findall(r"−?\d[\d.]*", line)) == 7
    )
    assert len(losses) == 2
    for beta, row in zip((1.0, 2.0), losses, strict=True):
        torch.testing.assert_close(smooth_l1(torch.tensor(x), torch.zeros(7), beta), torch.tensor(row))


def test_the_answer_to_the_question_counts_right():
    (question,) = questions_of("08_fast_rcnn")
    answer = " ".join(question.good_answer.split())
    ann, ben = 128 * 0.3 + 128 * 0.001, 2 * 0.3 + 128 * 0.001
    assert f"= {ann:.1f} seconds a step" in answer and f"= {ben:.2f} seconds, {ann / ben:.0f} times as fast" in answer
    assert f"one step Ben makes {ann / ben:.0f}." in answer
    before, after = 1.8 + 0.1 + 0.2, 1.8 + 0.01 + 0.02
    assert f"{before:.1f} seconds become 1.8 + 0.01 + 0.02 = {after:.2f}" in answer
    assert f"the whole {before / after:.2f} times" in answer and f"{1.8 / before:.0%}".replace("%", " %") in answer
