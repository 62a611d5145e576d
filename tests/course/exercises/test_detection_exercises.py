"""What students of lesson 05 really write, and the hint they get for it; and the numbers in the question's answer."""

import pytest
import torch

from course.exercises import check
from course.exercises.lessons import questions_of
from course.ops.boxes import box_iou
from course.ops.window_boxes import count_windows
from tests.hinting import hint_of

SEEDS = range(8)


@pytest.mark.parametrize("seed", SEEDS)
def test_suppression_by_two_loops_in_plain_python_is_right(seed):
    def nms(boxes, scores, iou_threshold):
        waiting = sorted(range(len(scores)), key=lambda i: -scores[i].item())
        kept = []
        while waiting:
            best = waiting.pop(0)
            kept.append(best)
            waiting = [i for i in waiting if box_iou(boxes[[best]], boxes[[i]]) <= iou_threshold]
        return torch.tensor(kept, dtype=torch.int64)

    assert check(nms, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mask_over_all_pairs_is_right(seed):
    def nms(boxes, scores, iou_threshold):
        order = scores.argsort(descending=True, stable=True)
        covers = box_iou(boxes[order], boxes[order]) > iou_threshold
        alive = torch.ones(len(order), dtype=torch.bool)
        for i in range(len(order)):
            if alive[i]:
                alive[i + 1 :] &= ~covers[i, i + 1 :]
        return order[alive]

    assert check(nms, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_the_question_whether_the_remover_is_alive_it_is_named(seed):
    def nms(boxes, scores, iou_threshold):
        order = scores.argsort(descending=True, stable=True)
        gone = set()
        for a in range(len(order)):
            for b in range(a + 1, len(order)):
                if box_iou(boxes[order[[a]]], boxes[order[[b]]]) > iou_threshold:
                    gone.add(b)
        return torch.tensor([int(order[i]) for i in range(len(order)) if i not in gone], dtype=torch.int64)

    assert hint_of(nms, seed) == "removed ones remove"


def test_an_empty_list_of_floats_is_no_index():
    def nms(boxes, scores, iou_threshold):
        from torchvision.ops import nms

        return nms(boxes, scores, iou_threshold) if len(boxes) else torch.tensor([])

    assert not check(nms).passed


@pytest.mark.parametrize("seed", SEEDS)
def test_slots_by_argsort_are_right(seed):
    def fill_slots(boxes, labels, slots):
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        order = centres[:, 1].argsort(stable=True)
        order = order[centres[order, 0].argsort(stable=True)][:slots]
        missing = slots - len(order)
        filled = torch.cat([boxes[order], torch.zeros(missing, 4, dtype=boxes.dtype)])
        return filled, torch.cat([labels[order], torch.zeros(missing, dtype=labels.dtype)])

    assert check(fill_slots, seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_slots_by_x1_are_named(seed):
    def fill_slots(boxes, labels, slots):
        order = sorted(range(len(boxes)), key=lambda i: (boxes[i, 0].item(), boxes[i, 1].item()))[:slots]
        filled, names = torch.zeros(slots, 4, dtype=boxes.dtype), torch.zeros(slots, dtype=labels.dtype)
        for slot, i in enumerate(order):
            filled[slot], names[slot] = boxes[i], labels[i]
        return filled, names

    assert hint_of(fill_slots, seed) == "by the left edge"


def test_the_numbers_in_the_answer():
    answer = questions_of("05_detection")[0].good_answer
    quarter = [count_windows((1080, 1920), [side], side // 4)[0] for side in (16, 32, 64, 128, 256)]
    half = sum(count_windows((1080, 1920), [side], side // 2)[0] for side in (16, 32, 64, 128, 256))
    assert " + ".join(f"{count:,}" for count in quarter) + f" = {sum(quarter):,}" in answer.replace("\n  ", " ")
    assert f"{half:,} crops take {half * 1e-4:.1f} seconds" in answer and f"{half * 1e-3:.0f} times too long" in answer
    assert f"take {sum(quarter) * 1e-4:.1f} seconds" in answer and f"{sum(quarter) * 1e-3:.0f} times too slow" in answer
    assert quarter[0] / sum(quarter) == pytest.approx(0.75, abs=0.01) and f"{sum(quarter) / 2000:.0f} times fewer" in answer
    for stride, iou in ((0.5, "0.39"), (0.25, "0.62")):  # of a side; a buoy is at most half a stride away, in both directions
        shifted = torch.tensor([[stride / 2, stride / 2, 1 + stride / 2, 1 + stride / 2]])
        assert f"{box_iou(torch.tensor([[0.0, 0, 1, 1]]), shifted).item():.2f}" == iou and iou in answer
