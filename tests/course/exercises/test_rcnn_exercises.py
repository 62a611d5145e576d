"""What students of lesson 07 really write, and the hint they get for it; other peers for the references; the numbers in the prompts."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import Ridge
from torchvision.ops import box_convert, roi_align

from course.exercises import check
from course.exercises.checking import expected_arrays
from course.exercises.lessons import exercises_of, questions_of
from course.models.rcnn import ridge
from course.models.spp import pyramid_pool
from course.ops.boxes import decode_boxes, encode_boxes
from tests.hinting import hint_of

SEEDS = range(8)
EXERCISES = {exercise.name: exercise for exercise in exercises_of("07_rcnn")}


def cases(name, seed):
    for case in EXERCISES[name].cases(seed):
        yield case.inputs, expected_arrays(EXERCISES[name], case)


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_encoded_and_decoded_by_torchvisions_conversion_are_right(seed):
    def encode(gt, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
        g, p = (box_convert(boxes, "xyxy", "cxcywh") for boxes in (gt, proposals))
        targets = torch.cat(((g[:, :2] - p[:, :2]) / p[:, 2:], torch.log(g[:, 2:] / p[:, 2:])), dim=1)
        return targets * torch.tensor(weights, dtype=targets.dtype)

    def decode(deltas, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
        boxes = []
        for k in range(0, deltas.shape[1], 4):
            d = deltas[:, k : k + 4] / torch.tensor(weights, dtype=deltas.dtype)
            p = box_convert(proposals, "xyxy", "cxcywh")
            grown = torch.exp(torch.minimum(d[:, 2:], torch.tensor(math.log(1000 / 16))))
            boxes.append(box_convert(torch.cat((p[:, :2] + p[:, 2:] * d[:, :2], p[:, 2:] * grown), 1), "cxcywh", "xyxy"))
        return torch.cat(boxes, dim=1)

    encode.__name__, decode.__name__ = "encode_boxes", "decode_boxes"
    assert check(encode, seed=seed) and check(decode, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_from_one_side_of_the_answer_only_are_named(seed):
    def encode_boxes(gt, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
        px, py = (proposals[:, 0] + proposals[:, 2]) / 2, (proposals[:, 1] + proposals[:, 3]) / 2
        gx, gy = (gt[:, 0] + gt[:, 2]) / 2, (gt[:, 1] + gt[:, 3]) / 2
        pw, ph = proposals[:, 2] - proposals[:, 0], proposals[:, 3] - proposals[:, 1]
        gw, gh = gt[:, 2] - gt[:, 0], gt[:, 3] - gt[:, 1]
        return torch.stack(((gx - px) / pw, (gy - py) / ph, torch.log(gw / pw), torch.log(gh / ph)), dim=1)

    def decode_boxes(deltas, proposals, weights=(1.0, 1.0, 1.0, 1.0)):
        deltas = deltas.reshape(-1, 4) / torch.tensor(weights).to(deltas)
        proposals = proposals.repeat_interleave(len(deltas) // max(len(proposals), 1), 0)
        w, h = proposals[:, 2] - proposals[:, 0], proposals[:, 3] - proposals[:, 1]
        x, y = proposals[:, 0] + w / 2 + deltas[:, 0] * w, proposals[:, 1] + h / 2 + deltas[:, 1] * h
        w, h = w * deltas[:, 2].clamp(max=4.1351665).exp(), h * deltas[:, 3].clamp(max=4.1351665).exp()
        return torch.stack((x - w / 2, y - h / 2, x + w / 2, y + h / 2), dim=1)

    assert hint_of(encode_boxes, seed) == "weights ignored"
    assert hint_of(decode_boxes, seed) == "a row a class"


@pytest.mark.parametrize("seed", SEEDS)
def test_ridge_by_an_inverse_in_float32_is_right(seed):
    def ridge(features, targets, *, penalty=1000.0):
        x, t = features - features.mean(dim=0), targets - targets.mean(dim=0)
        weight = torch.inverse(x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype)) @ x.T @ t
        return weight, targets.mean(dim=0) - features.mean(dim=0) @ weight

    assert check(ridge, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_ridge_with_a_column_of_ones_is_right_where_its_penalty_is_0_and_named_where_not(seed):
    def with_ones(features, targets, penalty, last):
        rows = torch.cat((features, torch.ones(len(features), 1, dtype=features.dtype)), dim=1).double()
        diagonal = torch.full((rows.shape[1],), penalty, dtype=torch.float64)
        diagonal[-1] = last
        solved = torch.linalg.solve(rows.T @ rows + torch.diag(diagonal), rows.T @ targets.double())
        return solved[:-1], solved[-1]

    def right(features, targets, *, penalty=1000.0):
        return tuple(part.to(features.dtype) for part in with_ones(features, targets, penalty, 0.0))

    def wrong(features, targets, *, penalty=1000.0):
        return tuple(part.to(features.dtype) for part in with_ones(features, targets, penalty, penalty))

    right.__name__ = wrong.__name__ = "ridge"
    assert check(right, seed=seed)
    assert hint_of(wrong, seed) == "bias penalised"


@pytest.mark.parametrize("seed", SEEDS)
def test_ridge_is_scikit_learns_too(seed):
    for inputs, expected in cases("ridge", seed):
        fitted = Ridge(alpha=inputs.get("penalty", 1000.0)).fit(inputs["features"].double(), inputs["targets"].double())
        weight = torch.from_numpy(fitted.coef_).reshape(inputs["targets"].shape[1], -1).T
        torch.testing.assert_close(expected["result[0]"].double(), weight, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(expected["result[1]"].double(), torch.from_numpy(fitted.intercept_).reshape(-1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_pooling_by_loops_is_right_and_by_max_pool2d_is_wrong(seed):
    def by_loops(features, levels=(1, 2, 3, 6)):
        c, h, w = features.shape
        numbers = []
        for n in levels:
            for channel in range(c):
                for i in range(n):
                    for j in range(n):
                        top, bottom = math.floor(i * h / n), math.ceil((i + 1) * h / n)
                        left, right = math.floor(j * w / n), math.ceil((j + 1) * w / n)
                        numbers.append(features[channel, top:bottom, left:right].max())
        return torch.stack(numbers)

    def by_max_pool2d(features, levels=(1, 2, 3, 6)):
        _, h, w = features.shape
        return torch.cat([F.max_pool2d(features, (math.ceil(h / n), math.ceil(w / n))).flatten() for n in levels])

    by_loops.__name__ = by_max_pool2d.__name__ = "pyramid_pool"
    assert check(by_loops, seed=seed)
    assert not check(by_max_pool2d, seed=seed).passed


@pytest.mark.parametrize("seed", SEEDS)
def test_pooling_flattened_too_late_is_named(seed):
    def pyramid_pool(features, levels=(1, 2, 3, 6)):
        return torch.cat([F.adaptive_max_pool2d(features, n).flatten(1) for n in levels], dim=1).flatten()

    assert hint_of(pyramid_pool, seed) == "channel by channel"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_patch_pixel_by_pixel_is_right(seed):
    def warp(image, boxes, *, size, padding=16, fill=(127 / 255,) * 3):
        _, height, width = image.shape
        patches = torch.empty(len(boxes), 3, size, size, dtype=image.dtype)
        for n, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            for i in range(size):
                for j in range(size):
                    y = y1 + (i + 0.5 - padding) / (size - 2 * padding) * (y2 - y1)
                    x = x1 + (j + 0.5 - padding) / (size - 2 * padding) * (x2 - x1)
                    if not (0 <= x <= width and 0 <= y <= height):
                        patches[n, :, i, j] = torch.tensor(fill)
                        continue
                    x, y = min(max(x - 0.5, 0), width - 1), min(max(y - 0.5, 0), height - 1)
                    left, top = int(x), int(y)
                    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
                    above = image[:, top, left] * (1 - x + left) + image[:, top, right] * (x - left)
                    below = image[:, bottom, left] * (1 - x + left) + image[:, bottom, right] * (x - left)
                    patches[n, :, i, j] = above * (1 - y + top) + below * (y - top)
        return patches

    assert check(warp, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_patch_inside_the_picture_is_roi_aligns_too(seed):
    """RoIAlign with one sample a bin looks at the same points; the box is enlarged by the context first."""
    compared = 0
    for inputs, expected in cases("warp", seed):
        image, boxes, size, padding = inputs["image"], inputs["boxes"], inputs["size"], inputs.get("padding", 16)
        share = padding / (size - 2 * padding)
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        larger = boxes + share * sides * torch.tensor([-1, -1, 1, 1])
        edge = torch.tensor([image.shape[2], image.shape[1]])
        if len(boxes) and larger.min() >= 0 and (larger[:, 2:] <= edge).all():
            got = roi_align(image[None], [larger.to(image)], size, sampling_ratio=1, aligned=True)
            torch.testing.assert_close(expected["result"], got, atol=1e-4, rtol=1e-4)
            compared += 1
    assert compared >= 6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_patch_that_crops_and_resizes_is_told_the_first_thing_wrong(seed):
    def warp(image, boxes, *, size, padding=16, fill=(127 / 255,) * 3):
        patches = image.new_zeros(len(boxes), 3, size, size)
        for n, (x1, y1, x2, y2) in enumerate(boxes.round().int().tolist()):
            patches[n] = F.interpolate(image[None, :, y1:y2, x1:x2], (size, size), mode="bilinear")[0]
        return patches

    assert not check(warp, seed=seed).passed


@pytest.mark.parametrize("seed", SEEDS)
def test_grid_sample_with_its_corners_aligned_is_named(seed):
    """Who aligns corners counts from the middle of the first pixel to that of the last."""

    def warp(image, boxes, *, size, padding=16, fill=(127 / 255,) * 3):
        _, height, width = image.shape
        share = (torch.arange(size) + 0.5 - padding) / (size - 2 * padding)
        x = boxes[:, :1] + share * (boxes[:, 2:3] - boxes[:, :1])
        y = boxes[:, 1:2] + share * (boxes[:, 3:] - boxes[:, 1:2])
        grid = torch.stack((x[:, None].expand(-1, size, -1) / (width - 1), y[:, :, None].expand(-1, -1, size) / (height - 1)), -1) * 2 - 1
        patches = F.grid_sample(image.expand(len(boxes), -1, -1, -1), grid.to(image), padding_mode="border", align_corners=True)
        inside = (x[:, None] >= 0) & (x[:, None] <= width) & (y[:, :, None] >= 0) & (y[:, :, None] <= height)
        return torch.where(inside[:, None], patches, torch.tensor(fill, dtype=image.dtype)[:, None, None])

    assert hint_of(warp, seed) == "half a pixel of the picture"


def test_what_the_prompts_say_is_so():
    proposal, truth = torch.tensor([[10.0, 10, 30, 50]]), torch.tensor([[15.0, 10, 55, 50]])
    deltas = encode_boxes(truth, proposal)
    torch.testing.assert_close(deltas, torch.tensor([[0.75, 0, math.log(2), 0]]))
    torch.testing.assert_close(decode_boxes(deltas, proposal), truth)
    weight, bias = ridge(torch.tensor([[-1.0], [0], [1]]), torch.tensor([[1.0], [3], [5]]), penalty=2.0)
    assert (weight.item(), bias.item()) == pytest.approx((1, 3))
    text = EXERCISES["pyramid_pool"].prompt
    rows = re.findall(r"^ (\d)  (\d)  (\d)  (\d)", text, re.MULTILINE)
    assert len(rows) == 3
    numbers = pyramid_pool(torch.tensor([[[float(n) for n in row] for row in rows]]), (1, 2)).int().tolist()
    assert "→ {}, {} {} {} {}".format(*numbers) in text


def test_the_answer_to_the_question_counts_right():
    (question,) = questions_of("07_rcnn")
    answer = " ".join(question.good_answer.split())
    slow, fast = 2 + 2000 * 0.005 + 0.1, 2 + 0.2 + 0.5
    assert f"= {slow:.1f} seconds a photograph, {20_000 * slow / 3600:.0f} hours" in answer
    assert f"= {fast:.1f} seconds, {20_000 * fast / 3600:.0f} hours. That is {slow / fast:.1f} times as fast" in answer
    assert f"not the {(slow - 2) / (fast - 2):.0f} times" in answer and f"({slow - 2:.1f} seconds against {fast - 2:.1f})" in answer
    assert 10 / slow == pytest.approx(5 / 6, abs=0.01) and 2 / fast == pytest.approx(3 / 4, abs=0.01)
    size = 20_000 * 2000 * 4096 * 4
    assert f"= {size / 1e9:.0f} GB" in answer and f"takes {size / 500e6 / 60:.0f} minutes" in answer
