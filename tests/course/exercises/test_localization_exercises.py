"""What students of lesson 04 really write, and the hint they get for it; other peers for the references; the numbers in the prompts."""

import pytest
import torch
import torch.nn.functional as F

from course.exercises import check
from course.exercises.checking import expected_arrays
from course.exercises.lessons import exercises_of
from course.exercises.running import plain_arrays
from tests.hinting import hint_of

EXERCISES = {exercise.name: exercise for exercise in exercises_of("04_localization")}


def test_the_numbers_of_the_prompt():
    a, b = torch.tensor([[0.0, 0, 4, 4]]), torch.tensor([[2.0, 1, 6, 4]])
    expected = EXERCISES["box_iou"].reference(a, b)
    assert expected.item() == pytest.approx(6 / (16 + 12 - 6)) and "= 0.27" in EXERCISES["box_iou"].prompt
    assert f"{expected.item():.2f}" == "0.27"


@pytest.mark.parametrize("seed", range(8))
def test_boxes_counted_pixel_by_pixel_agree_with_the_reference(seed):
    """Boxes of whole pixels, painted: an IoU that needs no corner."""
    for case in EXERCISES["box_iou"].cases(seed):
        a, b = case.inputs["a"], case.inputs["b"]
        if not len(a) or not torch.equal(a, a.round()) or not torch.equal(b, b.round()):
            continue
        painted = []
        for boxes in (a, b):
            sheets = torch.zeros(len(boxes), 40, 40, dtype=torch.bool)
            for sheet, (x1, y1, x2, y2) in zip(sheets, boxes.int().tolist(), strict=True):
                sheet[y1:y2, x1:x2] = True
            painted.append(sheets.flatten(1))
        shared, covered = (op(painted[0][:, None], painted[1]).sum(-1) for op in (torch.logical_and, torch.logical_or))
        expected = (shared / covered.clamp(min=1)).float()
        torch.testing.assert_close(expected_arrays(EXERCISES["box_iou"], case)["result"].float(), expected)


def test_a_loop_over_pairs_is_right():
    def box_iou(a, b):
        output = a.new_zeros(len(a), len(b))
        for i, (ax1, ay1, ax2, ay2) in enumerate(a.tolist()):
            for j, (bx1, by1, bx2, by2) in enumerate(b.tolist()):
                width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
                if width > 0 and height > 0:
                    shared = width * height
                    output[i, j] = shared / ((ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared)
        return output

    assert all(check(box_iou, seed=seed).passed for seed in range(4))


def test_what_students_write_for_box_iou_gets_its_hint():
    from torchvision.ops import box_iou as torchvisions

    def box_iou(a, b):
        return torchvisions(a, b)

    assert hint_of(box_iou) == "0 by 0"

    def box_iou(a, b):
        return torchvisions(a, b).nan_to_num(0).T

    assert hint_of(box_iou) == "transposed"


def named(function):
    function.__name__ = "multi_task_losses"
    return function


def test_losses_by_hand():
    logits, labels = torch.zeros(3, 4), torch.tensor([0, 2, 1])
    codes, targets = torch.tensor([[9.0] * 4, [0.5, 0.5, 0.2, 0.2], [0.0] * 4]), torch.tensor([[0.0] * 4, [0.5, 0.4, 0.2, 0.4], [0.0] * 4])
    losses = EXERCISES["multi_task_losses"].reference(logits, codes, labels, targets, balance=10.0)
    assert losses["classification"].item() == pytest.approx(1.386294, abs=1e-5)  # log 4
    assert losses["box"].item() == pytest.approx(10 * (0.01 + 0.04) / 8)  # the first row is background


def test_the_order_of_the_two_losses_means_nothing():
    @named
    def swapped(logits, codes, labels, target_codes, *, balance=1.0):
        there = labels > 0
        box = F.mse_loss(codes[there], target_codes[there], reduction="sum") / max(4 * int(there.sum()), 1)
        return {"box": balance * box, "classification": F.cross_entropy(logits, labels)}

    assert check(swapped).passed
    assert list(plain_arrays({"b": 1, "a": 2})) == list(plain_arrays({"a": 2, "b": 1}))


def test_two_losses_as_a_tuple_are_told_what_is_expected():
    @named
    def as_tuple(logits, codes, labels, target_codes, *, balance=1.0):
        return F.cross_entropy(logits, labels), balance * F.mse_loss(codes, target_codes)

    assert "expected 2 values (result['box'], result['classification'])" in repr(check(as_tuple))


def test_background_that_counts_is_named_whatever_the_balance():
    @named
    def naive(logits, codes, labels, target_codes, *, balance=1.0):
        return {"classification": F.cross_entropy(logits, labels), "box": balance * F.mse_loss(codes, target_codes)}

    assert all(hint_of(naive, seed) == "boxes of background" for seed in range(4))
