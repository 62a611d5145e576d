"""What students of lesson 11 really write, and the hint they get for it; other peers for the references; the numbers in the texts."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision.ops import box_iou

from course.exercises import check
from course.exercises.checking import expected_arrays
from course.exercises.lessons import exercises_of, questions_of
from course.exercises.mask_rcnn.train_mask_rcnn import build_mask_rcnn
from course.exercises.starter import solution_code
from course.ops.roi import roi_bins, roi_points
from tests.hinting import hint_of

SEEDS = range(6)
EXERCISES = {exercise.name: exercise for exercise in exercises_of("11_mask_rcnn")}


def named(name, function):
    function.__name__ = name
    return function


def cases(name, seed):
    for case in EXERCISES[name].cases(seed):
        yield case.inputs, expected_arrays(EXERCISES[name], case)


@pytest.mark.parametrize("seed", SEEDS)
def test_sampling_by_gathering_is_right_and_the_usual_slips_are_named(seed):
    def sample(features, points, half=0.5, floor_and_ceil=False):
        width, last = features.shape[2], torch.tensor(features.shape[1:]) - 1
        at = (points.flip(1) - half).clamp(min=0).minimum(last.to(points))
        low = at.floor().long()
        high = at.ceil().long() if floor_and_ceil else (low + 1).minimum(last)
        near, far = (high - at, at - low) if floor_and_ceil else (1 - (at - low), at - low)
        value = 0
        for rows, v in ((low[:, 0], near[:, 0]), (high[:, 0], far[:, 0])):
            for columns, u in ((low[:, 1], near[:, 1]), (high[:, 1], far[:, 1])):
                value = value + features.flatten(1)[:, rows * width + columns] * (v * u).to(features)
        return value

    def without_half(features, points):
        return sample(features, points, half=0.0)

    def floor_and_ceil(features, points):
        return sample(features, points, floor_and_ceil=True)

    def swapped(features, points):
        return sample(features, points.flip(1))

    assert check(named("sample_bilinear", sample), seed=seed)
    assert hint_of(named("sample_bilinear", without_half), seed) == "half a cell off"
    assert hint_of(named("sample_bilinear", floor_and_ceil), seed) == "nothing in a middle"
    assert hint_of(named("sample_bilinear", swapped), seed) == "x and y swapped"


@pytest.mark.parametrize("seed", SEEDS)
def test_grid_sample_as_it_comes_is_named(seed):
    def with_zeros(features, points):
        grid = 2 * points / points.new_tensor(features.shape[:0:-1]) - 1
        return F.grid_sample(features[None], grid[None, None], align_corners=False)[0, :, 0]

    assert hint_of(named("sample_bilinear", with_zeros), seed) == "0 outside"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plane_is_sampled_exactly(seed):
    """Between the middles bilinear interpolation of a + b·x + c·y is that itself, which no reference uses."""
    for inputs, _ in cases("sample_bilinear", seed):
        features, points = inputs["features"].double(), inputs["points"].double()
        rows, columns = (torch.arange(side) + 0.5 for side in features.shape[1:])
        plane = (3 + 2 * columns - rows[:, None]).double()
        x, y = (side.clamp(0.5, length - 0.5) for side, length in zip(points.T, features.shape[:0:-1], strict=True))
        found = EXERCISES["sample_bilinear"].reference(plane[None], points)
        torch.testing.assert_close(found[0], 3 + 2 * x - y)


@pytest.mark.parametrize("seed", SEEDS)
def test_roi_align_by_grid_sample_is_right_and_the_usual_slips_are_named(seed):
    def align(features, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False, half=None, edge=0.5):
        rows, columns = (output_size, output_size) if isinstance(output_size, int) else output_size
        height, width = features.shape[2:]
        result = features.new_zeros(len(boxes), features.shape[1], rows, columns)
        off = (0.5 if aligned else 0.0) if half is None else half
        for r, row in enumerate(boxes):
            x1, y1, x2, y2 = (side * spatial_scale - off for side in row[1:].double().tolist())
            w, h = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
            across, down = (sampling_ratio,) * 2 if sampling_ratio > 0 else (math.ceil(w / columns), math.ceil(h / rows))
            x = x1 + (torch.arange(columns * across) + edge) * w / (columns * across)
            y = y1 + (torch.arange(rows * down) + edge) * h / (rows * down)
            grid = torch.stack(torch.meshgrid(2 * (x + 0.5) / width - 1, 2 * (y + 0.5) / height - 1, indexing="xy"), -1)
            plane = features[int(row[0])][None].double()
            values = F.grid_sample(plane, grid[None].double(), padding_mode="border", align_corners=False)[0]
            there = ((y >= -1) & (y <= height))[:, None] & (x >= -1) & (x <= width)
            bins = (values * there).unflatten(1, (rows, down)).unflatten(3, (columns, across))
            result[r] = bins.mean((2, 4))
        return result

    def without_half(features, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
        return align(features, boxes, output_size, spatial_scale, sampling_ratio, aligned, half=0.0)

    def at_edges(features, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
        return align(features, boxes, output_size, spatial_scale, sampling_ratio, aligned, edge=0.0)

    assert check(named("roi_align", align), seed=seed)
    assert hint_of(named("roi_align", without_half), seed) == "half a cell forgotten"
    assert hint_of(named("roi_align", at_edges), seed) == "points at the edge"


@pytest.mark.parametrize("seed", SEEDS)
def test_roi_pool_in_place_of_roi_align_does_not_pass(seed):
    def pool(features, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
        return torchvision.ops.roi_pool(features, boxes, output_size, spatial_scale)

    assert not check(named("roi_align", pool), seed=seed).passed


@pytest.mark.parametrize("seed", SEEDS)
def test_no_point_of_a_case_lies_where_the_last_bit_decides(seed):
    for inputs, _ in cases("roi_align", seed):
        more = {name: inputs[name] for name in ("spatial_scale", "sampling_ratio", "aligned") if name in inputs}
        points = roi_points(inputs["boxes"][:, 1:].double(), inputs["output_size"], **more)
        for along, side in zip(points, inputs["features"].shape[2:], strict=True):
            assert not torch.isclose(along, torch.tensor(-1.0).double(), atol=1e-3).any()
            assert not torch.isclose(along, torch.tensor(float(side)).double(), atol=1e-3).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_targets_with_ones_own_roi_align_are_right_and_the_objects_box_is_named(seed):
    def targets(masks, boxes, matches, size, own=False):
        found = boxes.new_zeros(len(boxes), size, size)
        for r, (box, match) in enumerate(zip(boxes, matches.tolist(), strict=True)):
            if own and masks[match].any():
                rows, columns = masks[match].nonzero().T
                box = torch.stack((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)).to(boxes)
            found[r] = torchvision.ops.roi_align(masks[match][None, None].to(boxes), [box[None]], size)[0, 0]
        return found

    def of_the_object(masks, boxes, matches, size):
        return targets(masks, boxes, matches, size, own=True)

    def without_matches(masks, boxes, matches, size):
        return targets(masks, boxes, torch.arange(len(boxes)), size)

    assert check(named("mask_targets", targets), seed=seed)
    assert hint_of(named("mask_targets", of_the_object), seed) == "the object's box"
    assert hint_of(named("mask_targets", without_matches), seed) == "mask by mask"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_target_has_the_area_of_the_object_in_the_region(seed):
    """The mean over all cells, times the region, is about as many pixels as the object has there."""
    for inputs, expected in cases("mask_targets", seed):
        for box, match, target in zip(inputs["boxes"].tolist(), inputs["matches"].tolist(), expected["result"], strict=True):
            x1, y1, x2, y2 = box
            if min(x2 - x1, y2 - y1) < 20:
                continue  # the edge of small ones is most of them
            inside = inputs["masks"][match, round(y1) : round(y2), round(x1) : round(x2)].float().mean()
            assert target.mean() == pytest.approx(inside.item(), abs=0.05)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_by_gather_is_right_and_the_usual_slips_are_named(seed):
    def loss(logits, labels, targets):
        if not len(labels):
            return logits.sum()
        index = labels[:, None, None, None].expand(-1, 1, *logits.shape[2:])
        of_class = logits.gather(1, index)[:, 0]
        return (F.softplus(of_class) - targets * of_class).mean()

    def as_in_the_lesson(logits, labels, targets):
        inside = logits[torch.arange(len(labels)), labels].sigmoid()
        return -(targets * inside.log() + (1 - targets) * (1 - inside).log()).sum() / max(1, targets.numel())

    def of_all(logits, labels, targets):
        if not len(labels):
            return logits.sum()
        return F.binary_cross_entropy_with_logits(logits, targets[:, None].repeat(1, logits.shape[1], 1, 1))

    def nothing_is_nan(logits, labels, targets):
        return F.binary_cross_entropy_with_logits(logits[torch.arange(len(labels)), labels], targets)

    assert check(named("mask_loss", loss), seed=seed)
    assert hint_of(named("mask_loss", as_in_the_lesson), seed) == "logarithm of 0"
    assert hint_of(named("mask_loss", of_all), seed) == "all classes"
    assert hint_of(named("mask_loss", nothing_is_nan), seed) == "mean of nothing"


@pytest.mark.parametrize("seed", SEEDS)
def test_pasting_by_grid_sample_is_right_and_the_usual_slips_are_named(seed):
    def paste(masks, boxes, image_size, ring=1, last=1):
        height, width = image_size
        pasted = masks.new_zeros(len(masks), height, width)
        scale = (masks.shape[1] + 2) / masks.shape[1]
        for d, box in enumerate(boxes.double()):
            middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * scale
            (left, top), (right, bottom) = (middle - half).trunc().tolist(), ((middle + half).trunc() + last).tolist()
            x, y = torch.arange(width).double() + 0.5, torch.arange(height).double() + 0.5
            at = torch.meshgrid(2 * (x - left) / (right - left) - 1, 2 * (y - top) / (bottom - top) - 1, indexing="xy")
            padded = F.pad(masks[d], [ring] * 4)[None, None].double()
            values = F.grid_sample(padded, torch.stack(at, -1)[None], padding_mode="border", align_corners=False)[0, 0]
            there = ((y > top) & (y < bottom))[:, None] & (x > left) & (x < right)
            pasted[d] = values * there
        return pasted

    def without_ring(masks, boxes, image_size):
        return paste(masks, boxes, image_size, ring=0)

    def without_last(masks, boxes, image_size):
        return paste(masks, boxes, image_size, last=0)

    assert check(named("paste_masks", paste), seed=seed)
    assert hint_of(named("paste_masks", without_ring), seed) == "grown without a ring"
    assert hint_of(named("paste_masks", without_last), seed) == "last pixel left out"


@pytest.mark.parametrize("seed", SEEDS)
def test_decoding_one_joint_at_a_time_is_right_and_the_usual_slips_are_named(seed):
    def decode(logits, boxes, half=0.5, enlarge=True):
        points, scores = torch.ones(*logits.shape[:2], 3), torch.zeros(logits.shape[:2])
        for d in range(len(boxes)):
            x1, y1, x2, y2 = boxes[d]
            w, h = (x2 - x1).clamp(min=1), (y2 - y1).clamp(min=1)
            for k in range(logits.shape[1]):
                size = (int(h.ceil()), int(w.ceil())) if enlarge else logits.shape[2:]
                large = F.interpolate(logits[d : d + 1, k : k + 1], size=size, mode="bicubic")[0, 0]
                row, column = (large == large.max()).nonzero()[0]
                points[d, k, 0] = x1 + (column + half) * w / large.shape[1]
                points[d, k, 1] = y1 + (row + half) * h / large.shape[0]
                scores[d, k] = large.max()
        return points, scores

    def at_corners(logits, boxes):
        return decode(logits, boxes, half=0.0)

    def as_it_is(logits, boxes):
        return decode(logits, boxes, enlarge=False)

    assert check(named("decode_keypoints", decode), seed=seed)
    assert hint_of(named("decode_keypoints", at_corners), seed) == "corner of the pixel"
    assert hint_of(named("decode_keypoints", as_it_is), seed) == "not enlarged"


@pytest.mark.parametrize("seed", SEEDS)
def test_joints_lie_in_their_boxes_and_no_other_pixel_is_nearly_as_large(seed):
    for inputs, expected in cases("decode_keypoints", seed):
        points, boxes = expected["result[0]"], inputs["boxes"][:, None]
        sizes = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
        assert ((points[..., :2] > boxes[..., :2]) & (points[..., :2] < boxes[..., :2] + sizes)).all()
        for maps, size in zip(inputs["logits"], sizes[:, 0], strict=True):
            width, height = size.ceil().int().tolist()
            large = F.interpolate(maps[None].double(), size=(height, width), mode="bicubic")[0].flatten(1)
            best = large.topk(min(2, large.shape[1]), 1).values
            assert large.shape[1] == 1 or (best[:, 0] - best[:, 1] > 1e-5).all()


def test_no_solution_takes_the_name_of_another():
    """In a notebook of all solutions an import of roi_align would replace the one that was written two cells above."""
    for exercise in EXERCISES.values():
        imports = solution_code(exercise).partition("\n\n\n")[0]
        assert not any(re.search(rf"import .*\b{name}\b", imports) for name in EXERCISES), imports


def test_the_numbers_of_the_prompts():
    text, reference = EXERCISES["sample_bilinear"].prompt, EXERCISES["sample_bilinear"].reference
    value = reference(torch.tensor([[[4.0, 8], [2, -6]]]), torch.tensor([[0.75, 1.25]]))
    assert f"=  {value.item():g}\n" in text and "point (0.75, 1.25)" in text

    text, reference = EXERCISES["roi_align"].prompt, EXERCISES["roi_align"].reference
    grid = torch.tensor([[0.0, 1, 2, 3, 4], [0, 2, 4, 6, 8], [0, 4, 8, 8, 8]])
    assert all("  ".join(f"{value:g}" for value in row) in text for row in grid.tolist())
    box = torch.tensor([[0, 1.5, 1, 3.5, 2]])
    assert f"mean {reference(grid[None, None], box, 1, sampling_ratio=2).item():g}\n" in text
    for place, (x, y) in {5: (2, 1.25), 6.5: (3, 1.25), 7: (2, 1.75), 7.5: (3, 1.75)}.items():
        [said] = [line for line in text.splitlines() if f"({x}, {y})" in line]
        assert said.partition(f"({x}, {y})")[2].partition("= ")[2].split()[0] == f"{place:g}"

    text, reference = EXERCISES["mask_targets"].prompt, EXERCISES["mask_targets"].reference
    mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    mask[0, 1:3, 1:3] = True
    target = reference(mask, torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([0]), 2)
    assert f"their mean, {target[0, 0, 0]:g}\n" in text

    text, reference = EXERCISES["mask_loss"].prompt, EXERCISES["mask_loss"].reference
    loss = reference(torch.tensor([2.0, -1]).view(1, 2, 1, 1), torch.tensor([1]), torch.ones(1, 1, 1))
    assert f"−log 0.269 = {loss:.3f} " in text and f"= {1 / (1 + math.e):.3f} " in text

    text, reference = EXERCISES["paste_masks"].prompt, EXERCISES["paste_masks"].reference
    pasted = reference(torch.ones(1, 1, 1), torch.tensor([[3.0, 3, 6, 6]]), (12, 12))[0]
    across = pasted[4] / pasted[4].max().sqrt()
    assert "  ".join(f"{value:.2g}" for value in across[:10].tolist()) in text and not across[10:].any()

    text, reference = EXERCISES["decode_keypoints"].prompt, EXERCISES["decode_keypoints"].reference
    heat = torch.zeros(1, 1, 5, 5)
    heat[0, 0, 4, 1] = 1
    points, _ = reference(heat, torch.tensor([[10.0, 20, 14.5, 23]]))
    assert f"= {points[0, 0, 0]:.2f} " in text and f"= {points[0, 0, 1]:.1f}\n" in text


def test_the_answer_to_the_question_counts_right():
    (question,) = questions_of("11_mask_rcnn")
    answer, asked = (" ".join(text.split()) for text in (question.good_answer, question.prompt))
    region = torch.tensor([[100.0, 60, 324, 284]])
    assert "({:.0f}, {:.0f}, {:.0f}, {:.0f})".format(*region[0].tolist()) in asked and "14 × 14 bins" in asked
    parts = "{}, {}, {} and {}".format(*(region[0] / 16).tolist())
    assert f"divided by 16 are {parts}" in answer
    x1, y1, x2, y2 = roi_bins(region, (30, 30), 14, 1 / 16).cells[0].tolist()
    assert f"columns {x1} to {x2} and rows {y1} to {y2}, {x2 - x1 + 1} of each" in answer and y2 - y1 == x2 - x1
    read = torch.tensor([[x1, y1, x2 + 1, y2 + 1]]) * 16.0
    assert f"from {read[0, 0]:.0f} to {read[0, 2]:.0f} and from {read[0, 1]:.0f} to {read[0, 3]:.0f}" in answer
    left, top, right, bottom = (read - region)[0].int().tolist()
    assert f"{-left} pixels too far on the left, {right} too far on the right, {top} too few at the top, {bottom} too far at the" in answer
    cell = 224 / 28
    assert f"224 / 28 = {cell:.0f} pixels" in answer and (top / cell, bottom / cell) == (0.5, 2.5)
    assert f"an IoU of {box_iou(region, read).item():.2f} with the true one" in answer
    points = roi_points(region, 14, 1 / 16, 1)
    assert torch.equal(points.x[0].flatten().diff(), torch.ones(13)) and "exactly 1 cell wide" in answer


def test_the_solution_answers_and_learns_as_the_prompt_says():
    torch.manual_seed(0)
    network, images = build_mask_rcnn(), torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        answers = network.eval()(images)
    assert len(answers) == 2
    for answer in answers:
        count = len(answer["scores"])
        assert count <= 20 and {name: list(part.shape) for name, part in answer.items()} == {
            "boxes": [count, 4],
            "labels": [count],
            "scores": [count],
            "masks": [count, 1, 128, 128],
        }
        assert answer["masks"].min() >= 0 and answer["masks"].max() <= 1
    masks = torch.zeros(1, 128, 128, dtype=torch.bool)
    masks[0, 10:60, 10:60] = True
    one = {"boxes": torch.tensor([[10.0, 10, 60, 60]]), "labels": torch.tensor([6]), "masks": masks}
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "masks": masks[:0]}
    losses = network.train().losses(list(images), [one, nothing])
    assert list(losses) == ["rpn_objectness", "rpn_box", "classification", "box", "mask"]
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in network.mask.parameters())
