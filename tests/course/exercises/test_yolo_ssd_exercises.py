"""What students of lesson 10 really write, and the hint they get for it; other peers for the references; the numbers in the texts."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_convert, box_iou, generalized_box_iou

from course.exercises import check
from course.exercises.checking import expected_arrays
from course.exercises.lessons import exercises_of, questions_of
from course.exercises.starter import starter
from course.exercises.yolo_ssd.train_yolo import build_yolo
from course.models.yolo import encode_targets
from course.ops.anchors import default_boxes
from tests.hinting import hint_of

SEEDS = range(6)
EXERCISES = {exercise.name: exercise for exercise in exercises_of("10_yolo_ssd")}


def named(name, function):
    function.__name__ = name
    return function


def cases(name, seed):
    for case in EXERCISES[name].cases(seed):
        yield case.inputs, expected_arrays(EXERCISES[name], case)


@pytest.mark.parametrize("seed", SEEDS)
def test_targets_by_assignment_are_right_in_reverse_and_lose_the_wrong_object_forwards(seed):
    def encode(boxes, labels, image_size, grid=7, reverse=True):
        height, width = image_size
        told, kinds = boxes.new_zeros(grid, grid, 4), torch.zeros(grid, grid, dtype=torch.int64)
        objects = torch.full((grid, grid), -1)
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2 * grid / torch.tensor([width, height])
        cell = centre.long()
        sides = (boxes[:, 2:] - boxes[:, :2]) / torch.tensor([width, height])
        for g in reversed(range(len(boxes))) if reverse else range(len(boxes)):
            column, row = cell[g]
            told[row, column] = torch.cat((centre[g] - cell[g], sides[g]))
            kinds[row, column], objects[row, column] = labels[g], g
        return told, kinds, objects

    def forwards(boxes, labels, image_size, grid=7):
        return encode(boxes, labels, image_size, grid, reverse=False)

    assert check(named("encode_targets", encode), seed=seed)
    assert hint_of(named("encode_targets", forwards), seed) == "the last object stays"


@pytest.mark.parametrize("seed", SEEDS)
def test_targets_with_x_for_the_row_are_named(seed):
    def encode(boxes, labels, image_size, grid=7):
        told, kinds = boxes.new_zeros(grid, grid, 4), labels.new_zeros(grid, grid)
        objects = labels.new_full((grid, grid), -1)
        for g in reversed(range(len(boxes))):
            x1, y1, x2, y2 = boxes[g].tolist()
            x, y = (x1 + x2) / 2 * grid / image_size[1], (y1 + y2) / 2 * grid / image_size[0]
            told[int(x), int(y)] = boxes.new_tensor([x % 1, y % 1, (x2 - x1) / image_size[1], (y2 - y1) / image_size[0]])
            kinds[int(x), int(y)], objects[int(x), int(y)] = labels[g], g
        return told, kinds, objects

    assert hint_of(named("encode_targets", encode), seed) == "column first"


def test_the_starter_names_a_plain_tuple():
    """The course's own answer has names; a student needs none, and the first line must run with torch alone."""
    assert ") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:" in starter(EXERCISES["encode_targets"])


@pytest.mark.parametrize("seed", SEEDS)
def test_responsibility_without_loops_is_right_and_mixed_units_are_named(seed):
    def responsible(predicted, truth, grid=7, side=None):
        scale = torch.tensor([1 / grid, 1 / grid, 1, 1]) if side is None else side
        p, t = predicted * scale, truth[..., None, :] * scale
        a, b = box_convert(p, "cxcywh", "xyxy"), box_convert(t, "cxcywh", "xyxy")
        sides = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
        shared = sides[..., 0] * sides[..., 1]
        iou = shared / (p[..., 2] * p[..., 3] + t[..., 2] * t[..., 3] - shared)
        rmse = ((p - t) ** 2).mean(-1).sqrt()
        return torch.where(iou.amax(-1) > 0, iou.argmax(-1), rmse.argmin(-1))

    def mixed(predicted, truth, grid=7):
        return responsible(predicted, truth, grid, side=torch.ones(4))

    def argmax_alone(predicted, truth, grid=7):
        scale = torch.tensor([1 / grid, 1 / grid, 1, 1])
        cells = zip((predicted * scale).reshape(-1, *predicted.shape[-2:]), (truth * scale).reshape(-1, 1, 4), strict=True)
        corners = [[box_convert(part, "cxcywh", "xyxy") for part in pair] for pair in cells]
        return torch.stack([box_iou(*pair)[:, 0].argmax() for pair in corners]).reshape(truth.shape[:-1])

    assert check(named("responsible_boxes", responsible), seed=seed)
    assert hint_of(named("responsible_boxes", mixed), seed) == "cells and pictures mixed"
    assert hint_of(named("responsible_boxes", argmax_alone), seed) == "no second rule"


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_responsible_touches_the_object_if_anything_does(seed):
    """Another measure, which no reference uses: the generalized IoU of boxes that lie apart is below 0."""
    for inputs, expected in cases("responsible_boxes", seed):
        scale = torch.tensor([1 / inputs.get("grid", 7)] * 2 + [1, 1]).double()
        predicted, truth = (box_convert((inputs[name] * scale).reshape(-1, 4), "cxcywh", "xyxy") for name in ("predicted", "truth"))
        count = inputs["predicted"].shape[-2]
        for boxes, one, chosen in zip(predicted.split(count), truth, expected["result"].flatten(), strict=True):
            overlap = box_iou(boxes, one[None])[:, 0]
            assert overlap[chosen] == overlap.max()
            assert overlap.max() > 0 or generalized_box_iou(boxes, one[None]).max() < 0


@pytest.mark.parametrize("seed", SEEDS)
def test_coordinate_losses_by_torchs_functions_are_right_and_nan_is_named(seed):
    def losses(predicted, truth, there, *, coordinates=5.0, square_roots=True, least=0.0):
        centre = F.mse_loss(predicted[..., :2], truth[..., :2], reduction="none").sum(-1)
        if square_roots:
            predicted, truth = predicted.clamp(min=least).sqrt(), truth.sqrt()
        size = F.mse_loss(predicted[..., 2:], truth[..., 2:], reduction="none").sum(-1)
        zero = torch.zeros_like(size)
        return {"size": torch.where(there, coordinates * size, zero), "centre": torch.where(there, coordinates * centre, zero)}

    def without_clamp(predicted, truth, there, *, coordinates=5.0, square_roots=True):
        return losses(predicted, truth, there, coordinates=coordinates, square_roots=square_roots, least=-math.inf)

    def without_mask(predicted, truth, there, *, coordinates=5.0, square_roots=True):
        return losses(predicted, truth, torch.ones_like(there), coordinates=coordinates, square_roots=square_roots)

    assert check(named("coordinate_losses", losses), seed=seed)
    assert hint_of(named("coordinate_losses", without_clamp), seed) == "no root below 0"
    assert hint_of(named("coordinate_losses", without_mask), seed) == "every cell"


@pytest.mark.parametrize("seed", SEEDS)
def test_decoding_with_a_grid_of_places_is_right_and_swapped_axes_are_named(seed):
    def decode(predictions, image_size, *, boxes=2, indexing="xy"):
        n, s = predictions.shape[:2]
        height, width = image_size
        each = predictions[..., : 5 * boxes].reshape(n, s, s, boxes, 5)
        classes = predictions[..., None, 5 * boxes :]
        place = torch.stack(torch.meshgrid(torch.arange(s), torch.arange(s), indexing=indexing), -1)[:, :, None]
        size = torch.tensor([width, height])
        centre, sides = (each[..., :2] + place) / s * size, each[..., 2:4] * size
        found = torch.cat((centre - sides / 2, centre + sides / 2), -1)
        return found.reshape(n, -1, 4), (each[..., 4:] * classes).reshape(n, s * s * boxes, -1)

    def matrix_order(predictions, image_size, *, boxes=2):
        return decode(predictions, image_size, boxes=boxes, indexing="ij")

    assert check(named("decode_predictions", decode), seed=seed)
    assert hint_of(named("decode_predictions", matrix_order), seed) == "row along x"


@pytest.mark.parametrize("seed", SEEDS)
def test_default_boxes_with_a_meshgrid_are_right_and_corners_of_cells_are_named(seed):
    def boxes(image_size, map_size, scale, next_scale, aspect_ratios, step=None, clip=True, middle=0.5):
        (height, width), (rows, columns) = image_size, map_size
        shapes = [[scale, scale], [(scale * next_scale) ** 0.5] * 2]
        for ratio in aspect_ratios:
            shapes += [[scale * ratio**0.5, scale / ratio**0.5], [scale / ratio**0.5, scale * ratio**0.5]]
        sides = torch.tensor(shapes)
        sides = (sides.clamp(max=1) if clip else sides) * torch.tensor([width, height])
        across, down = (step, step) if step else (width / columns, height / rows)
        y, x = torch.meshgrid((torch.arange(rows) + middle) * down, (torch.arange(columns) + middle) * across, indexing="ij")
        centre = torch.stack((x, y), -1).reshape(-1, 1, 2)
        return torch.cat((centre - sides / 2, centre + sides / 2), -1).reshape(-1, 4)

    def at_corners(image_size, map_size, scale, next_scale, aspect_ratios, step=None, clip=True):
        return boxes(image_size, map_size, scale, next_scale, aspect_ratios, step, clip, middle=0.0)

    assert check(named("default_boxes_of_level", boxes), seed=seed)
    assert hint_of(named("default_boxes_of_level", at_corners), seed) == "at the corner of the cell"


def test_levels_one_after_another_are_torchvisions_ssd300():
    generator = DefaultBoxGenerator([[2], [2, 3], [2, 3], [2, 3], [2], [2]], scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05])
    whole = box_convert(generator._grid_default_boxes([[m, m] for m in (38, 19, 10, 5, 3, 1)], [300, 300]) * 300, "cxcywh", "xyxy")
    exercise = EXERCISES["default_boxes_of_level"]
    scales = generator.scales
    levels = [
        exercise.solution((300, 300), (side, side), scales[k], scales[k + 1], tuple(ratios))
        for k, (side, ratios) in enumerate(zip((38, 19, 10, 5, 3, 1), generator.aspect_ratios, strict=True))
    ]
    torch.testing.assert_close(torch.cat(levels), whole)


@pytest.mark.parametrize("seed", SEEDS)
def test_mining_one_by_one_is_right_and_the_usual_slips_are_named(seed):
    def mine(losses, positive, ratio=3.0):
        wanted = round(ratio * sum(positive.tolist()))
        negatives = [n for n in range(len(losses)) if not positive[n]]
        negatives.sort(key=lambda n: -losses[n].item())
        return torch.tensor([n in negatives[:wanted] for n in range(len(losses))], dtype=torch.bool)

    def topk(losses, positive, ratio=3.0):
        count = int(ratio * positive.sum())
        hard = torch.zeros_like(positive)
        hard[losses.masked_fill(positive, float("-inf")).topk(count).indices] = True
        return hard

    def of_all(losses, positive, ratio=3.0):
        hard = torch.zeros_like(positive)
        hard[losses.argsort(descending=True)[: int(ratio * positive.sum())]] = True
        return hard & ~positive

    assert check(named("hard_negatives", mine), seed=seed)
    assert not check(named("hard_negatives", topk), seed=seed).passed
    assert hint_of(named("hard_negatives", of_all), seed) == "positives take places"


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_mined_is_in_torchvisions_loss(seed):
    """Its SSD mines inside the loss: the class losses of positives and of hard negatives, over the positives."""
    for inputs, expected in cases("hard_negatives", seed):
        losses, positive, ratio = inputs["losses"], inputs["positive"], inputs.get("ratio", 3.0)
        if (~positive).sum() < ratio * positive.sum() or not len(losses):
            continue  # there it counts positives twice
        network = SSD.__new__(SSD)
        torch.nn.Module.__init__(network)
        network.neg_to_pos_ratio = ratio
        network.box_coder = type("Coder", (), {"encode_single": staticmethod(lambda boxes, anchors: anchors)})
        # of two classes with logits 0 and z, calling it the first costs log(1 + exp(z)), calling it the other log(1 + exp(-z))
        z = losses.double().expm1().log() * torch.where(positive, -1, 1)
        outputs = {"bbox_regression": torch.zeros(1, len(z), 4), "cls_logits": torch.stack((torch.zeros_like(z), z), 1)[None]}
        targets = [{"boxes": torch.zeros(1, 4), "labels": torch.ones(1, dtype=torch.int64)}]
        matched = [torch.where(positive, 0, -1)]
        found = network.compute_loss(targets, outputs, [torch.zeros(len(z), 4)], matched)["classification"]
        ours = losses[positive | expected["result"]].double().sum() / max(1, int(positive.sum()))
        torch.testing.assert_close(found, ours, check_dtype=False)


def test_the_numbers_of_the_prompts():
    text = EXERCISES["encode_targets"].prompt
    told, _, objects = EXERCISES["encode_targets"].reference(torch.tensor([[90.0, 10, 130, 70]]), torch.tensor([1]), (80, 160), 4)
    assert objects[2, 2] == 0 and f"boxes[2, 2] = {', '.join(f'{share:g}' for share in told[2, 2].tolist())}" in text

    text = EXERCISES["responsible_boxes"].prompt
    predicted, truth = torch.tensor([[0.4, 0.8, 0.1, 0.2], [0.8, 0.8, 0.5, 0.2]]), torch.tensor([0.4, 0.8, 0.5, 0.2])
    scale = torch.tensor([1 / 4, 1 / 4, 1, 1])
    rows = box_convert(torch.cat((truth[None], predicted)) * scale, "cxcywh", "xyxy")
    for name, row in zip(("truth", "box 0", "box 1"), rows.tolist(), strict=True):
        [line] = [line for line in text.splitlines() if line.startswith(name)]
        assert line.replace("−", "-").partition("IoU")[0].split()[-4:] == [f"{side:.2f}".rstrip("0") for side in row], (line, row)
    overlap = box_iou(rows[:1], rows[1:])[0].tolist()
    assert f"IoU {overlap[0]:.1f}\n" in text and f"IoU {overlap[1]:.2f}: responsible" in text
    assert EXERCISES["responsible_boxes"].reference(predicted, truth, 4) == 1

    text, reference = EXERCISES["coordinate_losses"].prompt, EXERCISES["coordinate_losses"].reference
    said, true, there = torch.tensor([0.5, 0.2, 0.04, 0.25]), torch.tensor([0.3, 0.3, 0.36, 0.25]), torch.tensor(True)
    rooted, plain = (reference(said, true, there, square_roots=root) for root in (True, False))
    assert f"(0.2² + 0.1²) = {rooted['centre']:.2f}\n" in text and f"(0.2 − 0.6)² + 0²) = {rooted['size']:.1f} " in text
    assert f"(0.04 − 0.36)² + 0²) = {plain['size']:.3f}\n" in text
    for small, large in ((0.1, 0.2), (0.8, 0.9)):
        assert rf"\sqrt{{{large}}} - \sqrt{{{small}}} = {math.sqrt(large) - math.sqrt(small):.2f}$" in text

    text = EXERCISES["decode_predictions"].prompt
    cells = torch.zeros(1, 3, 3, 7)
    cells[0, 2, 1] = torch.tensor([0.5, 0.25, 0.5, 0.1, 0.8, 0.9, 0.1])
    boxes, scores = EXERCISES["decode_predictions"].reference(cells, (60, 120), boxes=1)
    assert f"box {', '.join(f'{side:g}' for side in boxes[0, 7].tolist())} " in text
    assert f"scores {', '.join(f'{score:.2g}' for score in scores[0, 7].tolist())}\n" in text

    text = EXERCISES["default_boxes_of_level"].prompt
    rows = EXERCISES["default_boxes_of_level"].reference((60, 120), (2, 3), 0.2, 0.45, ())
    for column in (0, 1):
        row = "      ".join(", ".join(f"{side:.0f}" for side in box) for box in rows[2 * column : 2 * column + 2].tolist())
        assert f"row 0, column {column}     {row}".split() == [
            part for line in text.splitlines() if line.startswith(f"row 0, column {column}") for part in line.split()
        ]

    text = EXERCISES["hard_negatives"].prompt
    [losses, positive, hard] = [line.split() for line in text.splitlines() if line.startswith(("losses  ", "positive  ", "hard neg"))]
    mined = EXERCISES["hard_negatives"].reference(
        torch.tensor([float(x) for x in losses[1:]]), torch.tensor([p == "yes" for p in positive[1:]])
    )
    assert mined.tolist() == [word == "yes" for word in hard[2:8]]


def test_the_answer_to_the_question_counts_right():
    (question,) = questions_of("10_yolo_ssd")
    answer, asked = (" ".join(text.split()) for text in (question.good_answer, question.prompt))
    objects = torch.tensor([[200.0, 200, 36, 36], [240, 216, 36, 36], [210, 230, 320, 200]])
    for x, y, w, h in objects.int().tolist():
        assert f"({x}, {y})" in asked and f"{w} × {h} pixels" in asked
    boxes, labels = box_convert(objects, "cxcywh", "xyxy"), torch.tensor([1, 1, 2])
    seven, fourteen = (encode_targets(boxes, labels, 448, grid) for grid in (7, 14))
    assert (seven.objects >= 0).nonzero().tolist() == [[3, 3]] and seven.objects[3, 3] == 0 and "all three are in row 3, column 3" in answer
    for column, words in ((0, "3.1, 3.8 and 3.3"), (1, "3.1, 3.4 and 3.6")):
        values = [f"{value:.1f}" for value in (objects[:, column] / 64).tolist()]
        assert "{}, {} and {}".format(*values) == words and words in answer
    assert fourteen.objects[6, 6] == 0 and fourteen.objects[6, 7] == 1 and fourteen.objects[7, 6] == 2
    assert "in (6, 6), (6, 7) and (7, 6), row first" in answer
    assert f"14 · 14 · 30 = {14 * 14 * 30:,} numbers in place of {7 * 7 * 30:,}" in answer

    maps, ratios = (38, 19, 10, 5, 3, 1), ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
    sizes = [side / 300 for side in (30, 60, 111, 162, 213, 264, 315)]  # of the authors' SSD300
    defaults = default_boxes(300, maps, ratios, sizes)
    assert f"{len(defaults):,} default boxes" in asked
    iou = box_iou(boxes * 300 / 448, defaults)
    best, reached = iou.amax(1).tolist(), (iou >= 0.5).sum(1).tolist()
    assert f"an IoU of {best[0]:.2f} and {best[1]:.2f}, and {reached[0]} and {reached[1]} boxes reach 0.5" in answer
    assert f"{reached[2]} boxes reach 0.5 with it, the best {best[2]:.2f}" in answer
    finest = torch.arange(len(defaults)) < 38 * 38 * 4
    assert not (iou[:2, ~finest] >= 0.5).any() and not (iou[2, finest] >= 0.5).any() and ((iou >= 0.5).sum(0) <= 1).all()
    cat = [f"{side:.0f}" for side in (objects[2, 2:] * 300 / 448).tolist()]
    assert "The cat, {} × {},".format(*cat) in answer and f"now {36 * 300 / 448:.0f} pixels wide" in answer
    small = torch.tensor([[200.0, 200, 8, 8]]) * 300 / 448
    assert f"is {small[0, 2]:.0f} pixels wide" in answer and 5 < 30 / small[0, 2] < 6
    assert f"best IoU is {box_iou(box_convert(small, 'cxcywh', 'xyxy'), defaults).max():.2f}" in answer


def test_the_solution_answers_and_learns_as_the_prompt_says():
    torch.manual_seed(0)
    network, images = build_yolo(), torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        answer = network.eval()(images)
    assert answer.shape == (2, 8, 8, 5 * 2 + 6) and answer.min() >= 0 and answer.max() <= 1
    objects = {"boxes": torch.tensor([[10.0, 10, 60, 60]]), "labels": torch.tensor([6])}
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    losses = network.train().losses(list(images), [objects, nothing])
    assert list(losses) == ["centre", "size", "object", "no_object", "class"]
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in network.head.parameters())
