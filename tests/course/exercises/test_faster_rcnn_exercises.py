"""What students of lesson 09 really write, and the hint they get for it; other peers for the references; the numbers in the texts."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork

from course.exercises import check
from course.exercises.checking import expected_arrays
from course.exercises.faster_rcnn.train_rpn import PROMPT, build_rpn, pictures
from course.exercises.lessons import exercises_of, questions_of
from course.ops.anchors import base_anchors, place_anchors
from course.ops.boxes import box_iou, clip_boxes
from course.ops.matching import match_boxes, sample_matches
from course.ops.nms import nms
from tests.hinting import hint_of

SEEDS = range(6)
EXERCISES = {exercise.name: exercise for exercise in exercises_of("09_faster_rcnn")}


def named(name, function):
    function.__name__ = name
    return function


def cases(name, seed):
    for case in EXERCISES[name].cases(seed):
        yield case.inputs, expected_arrays(EXERCISES[name], case)


@pytest.mark.parametrize("seed", SEEDS)
def test_anchors_in_plain_python_are_right(seed):
    def base(sizes, aspect_ratios):
        rows = []
        for ratio in aspect_ratios:
            for size in sizes:
                w, h = size / math.sqrt(ratio), size * math.sqrt(ratio)
                rows.append([float(round(corner)) for corner in (-w / 2, -h / 2, w / 2, h / 2)])
        return torch.tensor(rows)

    def place(base, map_size, stride):
        rows = []
        for i in range(map_size[0]):
            for j in range(map_size[1]):
                for x1, y1, x2, y2 in base.tolist():
                    x, y = j * stride[1], i * stride[0]
                    rows.append([x1 + x, y1 + y, x2 + x, y2 + y])
        return torch.tensor(rows, dtype=base.dtype)

    assert check(named("base_anchors", base), seed=seed) and check(named("place_anchors", place), seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_anchors_together_are_torchvisions_whole_generator(seed):
    """The references look at a half each; here the two exercises' answers, one after the other, are what the whole gives."""
    for inputs, expected in cases("base_anchors", seed):
        whole = AnchorGenerator((inputs["sizes"],), (inputs["aspect_ratios"],))
        (grid,) = whole(ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)]), [torch.zeros(1, 1, 4, 3)])
        torch.testing.assert_close(EXERCISES["place_anchors"].reference(expected["result"], (4, 3), (16, 32)), grid)


@pytest.mark.parametrize("seed", SEEDS)
def test_anchors_upside_down_and_across_are_named(seed):
    def upside_down(sizes, aspect_ratios):
        s, a = torch.tensor(sizes), torch.tensor(aspect_ratios)[:, None]
        w, h = (s * a.sqrt()).flatten(), (s / a.sqrt()).flatten()
        return (torch.stack((-w, -h, w, h), 1) / 2).round()

    def across(base, map_size, stride):
        x, y = torch.meshgrid(torch.arange(map_size[0]) * stride[0], torch.arange(map_size[1]) * stride[1], indexing="ij")
        shifts = torch.stack((x, y, x, y), -1).reshape(-1, 1, 4)
        return (shifts + base).reshape(-1, 4)

    def shapes_outside(base, map_size, stride):
        y, x = torch.meshgrid(torch.arange(map_size[0]) * stride[0], torch.arange(map_size[1]) * stride[1], indexing="ij")
        shifts = torch.stack((x, y, x, y), -1).reshape(-1, 4)
        return (base[:, None] + shifts).reshape(-1, 4)

    assert hint_of(named("base_anchors", upside_down), seed) == "ratio upside down"
    assert hint_of(named("place_anchors", across), seed) == "rows along x"
    assert hint_of(named("place_anchors", shapes_outside), seed) == "shape by shape"


@pytest.mark.parametrize("seed", SEEDS)
def test_assignment_by_loops_is_right(seed):
    def match(iou, high, low, allow_low_quality=False):
        objects, anchors = iou.shape
        matches = []
        for n in range(anchors):
            if objects == 0:
                matches.append(-1)
                continue
            column = iou[:, n]
            best = int(column.argmax())
            kept = allow_low_quality and any(iou[g, n] == iou[g].max() for g in range(objects))
            matches.append(best if kept or column[best] >= high else -1 if column[best] < low else -2)
        return torch.tensor(matches, dtype=torch.int64)

    assert check(named("match_boxes", match), seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_assignments_that_forget_something_are_named(seed):
    def keeps_for_the_object(iou, high, low, allow_low_quality=False):
        matches = torch.full((iou.shape[1],), -1)
        if len(iou) and iou.shape[1]:
            best, which = iou.max(0)
            matches[best >= low] = -2
            matches[best >= high] = which[best >= high]
            if allow_low_quality:
                for g in range(len(iou)):
                    matches[iou[g] == iou[g].max()] = g
        return matches

    def one_each(iou, high, low, allow_low_quality=False):
        if not iou.numel():
            return torch.full((iou.shape[1],), -1)
        best, which = iou.max(0)
        matches = torch.where(best >= high, which, torch.where(best < low, -1, -2))
        if allow_low_quality:
            rows = iou.argmax(1)
            matches[rows] = which[rows]
        return matches

    def crashes(iou, high, low, allow_low_quality=False):
        best, which = iou.max(dim=0)
        positive = best >= high
        if allow_low_quality:
            positive |= (iou == iou.max(dim=1, keepdim=True).values).any(0)
        return torch.where(positive, which, torch.where(best < low, -1, -2))

    assert hint_of(named("match_boxes", keeps_for_the_object), seed) == "for whom it was kept"
    assert hint_of(named("match_boxes", one_each), seed) == "one of equal anchors"
    assert hint_of(named("match_boxes", crashes), seed) == "no object to look at"


@pytest.mark.parametrize("seed", SEEDS)
def test_losses_are_those_of_torchvisions_network(seed):
    """Its method draws with its own sampler and asks for deltas of one batch; a sampler that gives the case's rows makes it the peer."""
    for inputs, expected in cases("rpn_losses", seed):
        positive, negative, count = inputs["positive"], inputs["negative"], len(inputs["objectness"])
        if not len(positive) + len(negative):
            continue  # there it is NaN
        network = RegionProposalNetwork(None, None, 0.7, 0.3, 256, 0.5, {"training": 1}, {"training": 1}, 0.7)
        masks = [torch.zeros(count, dtype=torch.bool).index_fill(0, rows, True) for rows in (positive, negative)]
        network.fg_bg_sampler = lambda labels, masks=masks: ([masks[0]], [masks[1]])
        labels = masks[0].to(inputs["objectness"])
        classified, boxes = network.compute_loss(inputs["objectness"], inputs["deltas"], [labels], [inputs["targets"]])
        torch.testing.assert_close(expected["result['rpn_objectness']"], classified)
        torch.testing.assert_close(expected["result['rpn_box']"], boxes)


@pytest.mark.parametrize("seed", SEEDS)
def test_losses_in_one_line_each_are_right_and_torchs_defaults_are_named(seed):
    def right(objectness, deltas, targets, positive, negative):
        drawn = torch.cat((positive, negative))
        y = torch.isin(drawn, positive).to(objectness)
        m = max(len(drawn), 1)
        objectness_loss = F.binary_cross_entropy_with_logits(objectness[drawn], y, reduction="none").sum() / m
        x = (deltas - targets)[positive].abs()
        box = torch.where(x < 1 / 9, 4.5 * x**2, x - 1 / 18).sum() / m
        return {"rpn_box": box, "rpn_objectness": objectness_loss}

    def defaults(objectness, deltas, targets, positive, negative):
        drawn = torch.cat((positive, negative))
        y = torch.cat((torch.ones(len(positive)), torch.zeros(len(negative)))).to(objectness)
        m = max(len(drawn), 1)
        loss = F.binary_cross_entropy_with_logits(objectness[drawn], y, reduction="sum") / m
        return {"rpn_objectness": loss, "rpn_box": F.smooth_l1_loss(deltas[positive], targets[positive], reduction="sum") / m}

    assert check(named("rpn_losses", right), seed=seed)
    assert hint_of(named("rpn_losses", defaults), seed) == "beta 1"


@pytest.mark.parametrize("seed", SEEDS)
def test_proposals_by_loops_are_right_and_the_usual_slips_are_named(seed):
    def by_loops(boxes, scores, levels, image_size, *, pre_nms=1000, post_nms=1000, nms_threshold=0.7, min_size=0.0, cut=True, apart=True):
        levels = [0] * len(boxes) if levels is None else levels.tolist()
        clipped, kept = clip_boxes(boxes, image_size), []
        order = sorted(range(len(boxes)), key=lambda i: -scores[i].item())
        chosen = [i for level in set(levels) for i in [j for j in order if levels[j] == level][: pre_nms if cut else None]]
        for i in sorted(chosen, key=lambda i: -scores[i].item()):
            x1, y1, x2, y2 = clipped[i].tolist()
            if x2 - x1 < min_size or y2 - y1 < min_size:
                continue
            rivals = [k for k in kept if not apart or levels[k] == levels[i]]
            if all(box_iou(clipped[[i]], clipped[[k]]).item() <= nms_threshold for k in rivals):
                kept.append(i)
        return torch.tensor(kept[:post_nms], dtype=torch.int64)

    def without_levels(*given, **numbers):
        return by_loops(*given, apart=False, **numbers)

    def with_nms_alone(boxes, scores, levels, image_size, *, pre_nms=1000, post_nms=1000, nms_threshold=0.7, min_size=0.0):
        boxes = clip_boxes(boxes, image_size)
        large = ((boxes[:, 2:] - boxes[:, :2]) >= min_size).all(1).nonzero()[:, 0]
        return large[nms(boxes[large], scores[large], nms_threshold)][:post_nms]

    assert check(named("filter_proposals", by_loops), seed=seed)
    assert hint_of(named("filter_proposals", without_levels), seed) == "levels remove each other"
    assert not check(named("filter_proposals", with_nms_alone), seed=seed).passed


def test_the_numbers_of_the_prompts():
    text = EXERCISES["base_anchors"].prompt
    assert f"32 / √0.5 = {32 / math.sqrt(0.5):.2f}" in text and f"32 · √0.5 = {32 * math.sqrt(0.5):.2f}" in text
    (row,) = base_anchors((32,), (0.5,)).int().tolist()
    assert "rounded                 {}, {}, {}, {}".format(*row).replace("-", "−") in text
    text = EXERCISES["place_anchors"].prompt
    for row in place_anchors(torch.tensor([[-8.0, -4, 8, 4]]), (2, 3), 16).int().tolist():
        assert "{}, {}, {}, {}".format(*row).replace("-", "−") in text
    iou = torch.tensor([[0.8, 0.4, 0.1, 0.2], [0.3, 0.6, 0.2, 0.5]])
    text = EXERCISES["match_boxes"].prompt
    for name, low_quality in (("", False), ("with allow_low_quality", True)):
        matches = [str(match).replace("-", "−") for match in match_boxes(iou, 0.7, 0.3, low_quality).tolist()]
        (line,) = [line for line in text.splitlines() if line.startswith(f"{name:22} ") and line[22:].split()[:4] == matches]
        assert line


def test_the_answer_to_the_question_counts_right():
    (question,) = questions_of("09_faster_rcnn")
    answer = " ".join(question.good_answer.split())
    base = base_anchors((128, 256, 512), (0.5, 1.0, 2.0))
    anchors = place_anchors(base, (600 // 16, 1000 // 16), 16)
    assert f"{1000 // 16} × {600 // 16} × {len(base)} = {len(anchors):,}" in answer and "62 × 37 places" in question.prompt
    negative = len(anchors) - 24 - 700
    assert f"{len(anchors):,} − 24 − 700 = {negative:,} are" in answer and f"{negative:,} of {negative + 24:,}" in answer
    assert f"{negative / (negative + 24):.2%}".replace("%", " %") in answer and f"{24 / (negative + 24):.2%}".replace("%", " %") in answer
    matches = torch.cat((torch.zeros(24), torch.full((700,), -2), torch.full((negative,), -1))).long()
    assert [len(part) for part in sample_matches(matches, 256, 0.5)] == [24, 232]
    assert "all 24 positives and 232 negatives" in answer and f"{(negative + 24) / 256:.0f} times as much" in answer
    assert f"{24 / 256:.0%}".replace("%", " %") in answer
    pairs = [count * (count - 1) / 2 for count in (len(anchors), 6000)]
    assert f"= {pairs[0] / 1e6:.0f} million" in answer and f"{pairs[1] / 1e6:.0f} million, {pairs[0] / pairs[1]:.0f} times fewer" in answer
    assert f"{300 / len(anchors):.1%}".replace("%", " %") in answer and f"{2000 / 300:.0f} times fewer than the 2,000" in answer
    small = torch.tensor([[480.0, 280, 520, 320]])
    best = box_iou(small, anchors).max().item()
    assert f"= {best:.3f}, below 0.3" in answer and f"log(40 / 128) = −{-math.log(40 / 128):.2f}" in answer


def test_ten_boxes_that_never_look_have_what_the_prompt_says():
    """Boxes chosen one after another for as much as they add on training pictures, and then taken for others."""
    from course.data.shapes import Shapes

    items = Shapes("train", count=250, size=128, target="instances")
    truth = torch.cat([items[index][1]["boxes"] for index in range(len(items))])
    grid = clip_boxes(place_anchors(base_anchors((24, 36, 48, 60, 72, 90), (0.5, 1.0, 2.0)), 16, 8), 128)
    worth = (2 * (box_iou(truth, grid) - 0.5)).clamp(min=0)
    chosen, best = [], torch.zeros(len(truth))
    for _ in range(10):
        chosen.append(torch.maximum(worth, best[:, None]).mean(0).argmax().item())
        best = torch.maximum(best, worth[:, chosen[-1]])
    exercise_truth = torch.cat([target["boxes"] for target in pictures(0)[1]])
    value = (2 * (box_iou(exercise_truth, grid[chosen]) - 0.5)).clamp(min=0).amax(1).mean().item()
    assert 0.12 < value < 0.175 and "have about 0.16 at best" in PROMPT


def test_the_solution_answers_and_learns_as_the_prompt_says():
    torch.manual_seed(0)
    network, images = build_rpn(), torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        answer = network.eval()(images)
    assert answer["boxes"].shape == (2, 768, 4) and answer["scores"].shape == (2, 768)
    losses = network.train().losses(list(images), [{"boxes": torch.tensor([[10.0, 10, 60, 60]])}, {"boxes": torch.zeros(0, 4)}])
    assert list(losses) == ["rpn_objectness", "rpn_box"]
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in network.rpn.parameters())
