"""What is no box, no score, no overlap gets one clear sentence."""

import pytest
import torch

from course.ops import boxes as ops
from course.ops.matching import match_boxes, match_boxes_steps, sample_matches
from course.ops.nms import batched_nms, nms, nms_in_blocks, nms_steps
from tests.refusing import refuses

BOXES = torch.tensor([[0.0, 0, 4, 3], [2, 1, 6, 5]])
SCORES = torch.tensor([0.5, 0.6])
IOU = torch.rand(2, 3)

ON_ANY_SHAPE = {
    "box_area": ops.box_area,
    "clip_boxes": lambda boxes: ops.clip_boxes(boxes, 5),
    "xyxy_to_cxcywh": ops.xyxy_to_cxcywh,
    "cxcywh_to_xyxy": ops.cxcywh_to_xyxy,
    "xyxy_to_xywh": ops.xyxy_to_xywh,
    "xywh_to_xyxy": ops.xywh_to_xyxy,
}
ON_ROWS = {
    "box_iou, a": lambda boxes: ops.box_iou(boxes, BOXES),
    "box_iou, b": lambda boxes: ops.box_iou(BOXES, boxes),
    "box_iou_steps, a": lambda boxes: list(ops.box_iou_steps(boxes, BOXES)),
    "box_iou_steps, b": lambda boxes: list(ops.box_iou_steps(BOXES, boxes)),
    "encode_boxes, gt": lambda boxes: ops.encode_boxes(boxes, BOXES),
    "encode_boxes, proposals": lambda boxes: ops.encode_boxes(BOXES, boxes),
    "encode_boxes_steps, gt": lambda boxes: list(ops.encode_boxes_steps(boxes, BOXES)),
    "decode_boxes, proposals": lambda boxes: ops.decode_boxes(BOXES, boxes),
    "decode_boxes_steps, proposals": lambda boxes: list(ops.decode_boxes_steps(BOXES, boxes)),
    "nms, boxes": lambda boxes: nms(boxes, SCORES, 0.5),
    "nms_in_blocks, boxes": lambda boxes: nms_in_blocks(boxes, SCORES, 0.5),
    "batched_nms, boxes": lambda boxes: batched_nms(boxes, SCORES, SCORES, 0.5),
    "nms_steps, boxes": lambda boxes: list(nms_steps(boxes, SCORES, 0.5)),
}


@pytest.mark.parametrize("name", [*ON_ANY_SHAPE, *ON_ROWS])
@pytest.mark.parametrize(
    "boxes, error, words",
    [
        ([[0.0, 0, 1, 1]], TypeError, ("torch.Tensor", "4]", "list")),
        (None, TypeError, ("NoneType",)),
        (BOXES.long(), TypeError, ("floating-point", "torch.int64", ".float() first")),
        (BOXES.bool(), TypeError, ("floating-point", "torch.bool")),
        (BOXES.to(torch.complex64), TypeError, ("torch.complex64",)),
        (torch.ones(2, 5), ValueError, ("four numbers", "[2, 5]")),
        (torch.tensor(1.0), ValueError, ("4]", "[]")),
        (torch.ones(0), ValueError, ("4]", "[0]")),
    ],
)
def test_what_is_no_box(name, boxes, error, words):
    refuses(lambda: {**ON_ANY_SHAPE, **ON_ROWS}[name](boxes), error, name.partition(", ")[2] or "boxes", *words)


@pytest.mark.parametrize("name", ON_ROWS)
def test_one_box_and_a_stack_of_boxes_where_rows_are_needed(name):
    argument = name.partition(", ")[2]
    refuses(lambda: ON_ROWS[name](BOXES[0]), ValueError, f"{argument} must have shape [N, 4]", f"got [4]: a single box is {argument}[None]")
    refuses(lambda: ON_ROWS[name](BOXES[None]), ValueError, "got [1, 2, 4]")


@pytest.mark.parametrize("name", ON_ANY_SHAPE)
def test_elsewhere_any_shape_is_welcome(name):
    for shape in ((4,), (3, 4), (2, 3, 4), (0, 4)):
        ON_ANY_SHAPE[name](torch.ones(shape))


@pytest.mark.parametrize(
    "box, words",
    [
        ([1.0, 1, 1, 4], "got [1.0, 1.0, 1.0, 4.0] at 1"),
        ([4.0, 1, 2, 3], "got [4.0, 1.0, 2.0, 3.0] at 1"),
        ([0.0, 3, 2, 1], "at 1"),
        ([0.0, 0, torch.nan, 1], "got [0.0, 0.0, nan, 1.0] at 1"),
    ],
)
def test_encoding_needs_sides(box, words):
    wrong = torch.tensor([[0, 0, 1, 1], box])
    refuses(lambda: ops.encode_boxes(wrong, BOXES), ValueError, "gt must have widths and heights above 0", words)
    refuses(lambda: ops.encode_boxes(BOXES, wrong), ValueError, "proposals must have widths and heights above 0", words)
    refuses(lambda: list(ops.encode_boxes_steps(wrong, BOXES)), ValueError, "gt", words)


def test_rows_belong_together():
    refuses(lambda: ops.encode_boxes(BOXES, BOXES[:1]), ValueError, "gt and proposals", "2 and 1")
    refuses(lambda: ops.decode_boxes(BOXES, BOXES[:1]), ValueError, "deltas and proposals", "2 and 1")


@pytest.mark.parametrize(
    "deltas, error, words",
    [
        ([[0.0] * 4], TypeError, ("list",)),
        (torch.ones(2, 4).long(), TypeError, ("torch.int64",)),
        (torch.ones(2, 6), ValueError, ("[N, 4K]", "[2, 6]")),
        (torch.ones(2, 0), ValueError, ("[2, 0]",)),
        (torch.ones(2, 1, 4), ValueError, ("[2, 1, 4]",)),
    ],
)
def test_deltas(deltas, error, words):
    refuses(lambda: ops.decode_boxes(deltas, BOXES), error, "deltas", *words)


@pytest.mark.parametrize("weights", [1, (1, 1, 1), (1, 1, 1, 0), (1, 1, 1, -1), (1, 1, 1, float("nan")), "1111", (1, 1, 1, "1"), None])
def test_weights(weights):
    for function in (ops.encode_boxes, ops.decode_boxes):
        refuses(lambda f=function: f(BOXES, BOXES, weights), ValueError, "weights must be four numbers above 0", repr(weights))


def test_weights_may_be_a_tensor_or_a_list():
    for weights in (torch.tensor([10.0, 10, 5, 5]), [10, 10, 5, 5]):
        torch.testing.assert_close(ops.encode_boxes(BOXES, BOXES + 1, weights), ops.encode_boxes(BOXES, BOXES + 1, (10, 10, 5, 5)))


@pytest.mark.parametrize(
    "size, error", [(0, ValueError), ((5, 0), ValueError), (2.5, TypeError), ((1, 2, 3), ValueError), (None, TypeError)]
)
def test_size_of_the_picture(size, error):
    refuses(lambda: ops.clip_boxes(BOXES, size), error, "size")


SUPPRESSIONS = {
    "nms": nms,
    "nms_in_blocks": nms_in_blocks,
    "nms_steps": lambda *given: list(nms_steps(*given)),
    "batched_nms": lambda boxes, scores, threshold: batched_nms(boxes, scores, torch.zeros(2), threshold),
}


@pytest.mark.parametrize("name", SUPPRESSIONS)
@pytest.mark.parametrize(
    "scores, error, words",
    [
        ([0.5, 0.6], TypeError, ("list",)),
        (torch.tensor([1, 2]), TypeError, ("torch.int64",)),
        (torch.ones(3), ValueError, ("[2]", "one for each box", "[3]")),
        (torch.ones(2, 1), ValueError, ("[2, 1]",)),
        (torch.tensor([0.5, torch.nan]), ValueError, ("ranked", "NaN at 1")),
        (SCORES.to("meta"), ValueError, ("device of boxes, cpu", "meta")),
    ],
)
def test_scores(name, scores, error, words):
    refuses(lambda: SUPPRESSIONS[name](BOXES, scores, 0.5), error, "scores", *words)


@pytest.mark.parametrize("name", SUPPRESSIONS)
def test_boxes_that_cannot_be_compared_and_thresholds_that_cannot_be(name):
    for special, word in ((torch.nan, "nan"), (torch.inf, "inf")):
        wrong = BOXES.clone()
        wrong[1, 2] = special
        refuses(lambda w=wrong: SUPPRESSIONS[name](w, SCORES, 0.5), ValueError, f"boxes must be finite; got [2.0, 1.0, {word}, 5.0] at 1")
    for threshold, error in ((-0.1, ValueError), (1.5, ValueError), (float("nan"), ValueError), ("0.5", TypeError), (None, TypeError)):
        refuses(lambda t=threshold: SUPPRESSIONS[name](BOXES, SCORES, t), error, "iou_threshold", "from 0 to 1", repr(threshold))


def test_labels_and_blocks():
    refuses(lambda: batched_nms(BOXES, SCORES, [1, 2], 0.5), TypeError, "labels", "list")
    refuses(lambda: batched_nms(BOXES, SCORES, torch.ones(3), 0.5), ValueError, "labels", "[2]", "[3]")
    refuses(lambda: nms_in_blocks(BOXES, SCORES, 0.5, block=0), ValueError, "block must be at least 1")


MATCHINGS = [match_boxes, lambda *given: list(match_boxes_steps(*given))]


@pytest.mark.parametrize("function", MATCHINGS)
def test_overlaps(function):
    refuses(lambda: function([[0.5]], 0.7, 0.3), TypeError, "iou", "list")
    refuses(lambda: function(IOU.long(), 0.7, 0.3), TypeError, "iou", "torch.int64")
    refuses(lambda: function(IOU[0], 0.7, 0.3), ValueError, "[G, N]", "[3]")
    refuses(lambda: function(IOU * torch.nan, 0.7, 0.3), ValueError, "compared", "NaN at (0, 0)")
    refuses(lambda: function(IOU, 0.3, 0.7), ValueError, "low must be at most high; got low 0.7 and high 0.3")
    refuses(lambda: function(IOU, 1.3, 0.7), ValueError, "high must be from 0 to 1")
    refuses(lambda: function(IOU, 0.7, "0.3"), TypeError, "low must be a number from 0 to 1")


def test_samples():
    matches = torch.tensor([0, -1])
    refuses(lambda: sample_matches([0, -1], 2, 0.5), TypeError, "matches", "list")
    refuses(lambda: sample_matches(matches.float(), 2, 0.5), TypeError, "matches must be int64", "torch.float32")
    refuses(lambda: sample_matches(matches[None], 2, 0.5), ValueError, "matches", "[1, 2]")
    refuses(lambda: sample_matches(matches, -1, 0.5), ValueError, "size must be at least 0")
    refuses(lambda: sample_matches(matches, 2, 1.5), ValueError, "positive_fraction")


def test_boxes_on_two_devices_without_a_gpu():
    away = BOXES.to("meta")
    refuses(lambda: ops.box_iou(BOXES, away), ValueError, "b must be on the device of a, cpu", "meta")
    refuses(lambda: ops.encode_boxes(away, BOXES), ValueError, "gt must be on the device of proposals, cpu")
    refuses(lambda: ops.decode_boxes(away, BOXES), ValueError, "deltas must be on the device of proposals, cpu")


@pytest.mark.gpu
def test_boxes_on_two_devices():
    refuses(lambda: ops.box_iou(BOXES, BOXES.cuda()), ValueError, "device", "cuda", "cpu")
    refuses(lambda: nms(BOXES.cuda(), SCORES, 0.5), ValueError, "scores", "device")
