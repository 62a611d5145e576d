import math

import pytest
import torch

from course.ops.boxes import (
    box_area,
    box_iou,
    box_iou_steps,
    clip_boxes,
    cxcywh_to_xyxy,
    decode_boxes,
    decode_boxes_steps,
    encode_boxes,
    encode_boxes_steps,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)

A = torch.tensor([[0.0, 0, 4, 3]])  # 12 pixels
B = torch.tensor([[2.0, 1, 6, 5]])  # 16 pixels; they share x 2…4, y 1…3


def test_area_by_hand():
    assert box_area(torch.cat([A, B])).tolist() == [12, 16]
    assert box_area(torch.tensor([0.5, 0, 1, 4])).item() == 2
    assert box_area(A.expand(2, 3, 4)).shape == (2, 3)


def test_iou_by_hand():
    assert box_iou(A, B).item() == pytest.approx(4 / (12 + 16 - 4))
    inside, outside = torch.tensor([[1.0, 1, 3, 2]]), torch.tensor([[10.0, 10, 11, 11]])
    assert box_iou(A, torch.cat([A, inside, outside])).tolist() == [[1, pytest.approx(2 / 12), 0]]


def test_boxes_that_touch_share_nothing():
    beside, below, corner = [4.0, 0, 8, 3], [0.0, 3, 4, 6], [4.0, 3, 8, 6]
    assert box_iou(A, torch.tensor([beside, below, corner])).tolist() == [[0, 0, 0]]


def test_boxes_without_area_and_inverted_boxes_share_nothing():
    line, point, inverted, twisted = [1.0, 1, 3, 1], [2.0, 2, 2, 2], [4.0, 3, 0, 0], [4.0, 0, 0, 3]
    wrong = torch.tensor([line, point, inverted, twisted])
    assert (box_iou(wrong, torch.cat([A, wrong])) == 0).all()
    assert (box_iou(A, wrong) == 0).all()
    gradient = torch.autograd.functional.jacobian(lambda x: box_iou(x, x), wrong.double())
    assert not gradient.isnan().any()


def test_nan_stays_with_its_box():
    boxes = torch.cat([A, torch.tensor([[torch.nan, 0, 4, 3]])])
    assert box_iou(boxes, A).isnan().flatten().tolist() == [False, True]
    assert box_area(boxes).isnan().tolist() == [False, True]


def test_no_boxes():
    none = torch.zeros(0, 4)
    assert box_area(none).shape == (0,)
    assert box_iou(none, A).shape == (0, 1) and box_iou(A, none).shape == (1, 0) and box_iou(none, none).shape == (0, 0)
    assert encode_boxes(none, none).shape == decode_boxes(none, none).shape == clip_boxes(none, 5).shape == (0, 4)
    assert decode_boxes(torch.zeros(0, 8), none).shape == (0, 8)
    assert not [*box_iou_steps(none, A), *encode_boxes_steps(none, none), *decode_boxes_steps(none, none)]


def test_areas_of_half_precision_do_not_overflow():
    large = torch.tensor([[0.0, 0, 300, 300]], dtype=torch.float16)  # 90000 pixels; the largest float16 is 65504
    assert box_area(large).tolist() == [90000] and box_iou(large, large).item() == 1
    assert box_area(large).dtype == box_iou(large, large).dtype == torch.float32


def test_clip_by_hand():
    boxes = torch.tensor([[-2.0, -1, 5, 4], [8, 1, 12, 3], [20, 30, 40, 50]])
    assert clip_boxes(boxes, (3, 10)).tolist() == [[0, 0, 5, 3], [8, 1, 10, 3], [10, 3, 10, 3]]
    assert clip_boxes(boxes, 4).tolist() == [[0, 0, 4, 4], [4, 1, 4, 3], [4, 4, 4, 4]]


def test_conversions_by_hand():
    box = torch.tensor([2.0, 1, 6, 4])
    for there, back, form in ((xyxy_to_cxcywh, cxcywh_to_xyxy, [4, 2.5, 4, 3]), (xyxy_to_xywh, xywh_to_xyxy, [2, 1, 4, 3])):
        assert there(box).tolist() == form
        assert back(there(box)).tolist() == box.tolist()


PROPOSAL = torch.tensor([[10.0, 20, 30, 60]])  # centre (20, 40), 20 wide, 40 high
TRUE = torch.tensor([[15.0, 20, 55, 40]])  # centre (35, 30), 40 wide, 20 high


def test_encode_by_hand():
    expected = [0.75, -0.25, math.log(2), -math.log(2)]
    assert encode_boxes(TRUE, PROPOSAL).tolist() == [pytest.approx(expected)]
    weighted = [10 * 0.75, -10 * 0.25, 5 * math.log(2), -5 * math.log(2)]
    assert encode_boxes(TRUE, PROPOSAL, (10, 10, 5, 5)).tolist() == [pytest.approx(weighted)]
    assert encode_boxes(PROPOSAL, PROPOSAL).tolist() == [[0, 0, 0, 0]]


def test_decode_by_hand():
    deltas = torch.tensor([[0.75, -0.25, math.log(2), -math.log(2)]])
    assert decode_boxes(deltas, PROPOSAL).tolist() == [pytest.approx(TRUE[0].tolist())]
    assert decode_boxes(0 * deltas, PROPOSAL).tolist() == PROPOSAL.tolist()
    both = decode_boxes(torch.cat([deltas, 0 * deltas], dim=1), PROPOSAL)
    assert both.tolist() == [pytest.approx([*TRUE[0].tolist(), *PROPOSAL[0].tolist()])]


def test_a_box_grows_at_most_to_62_5_times_its_side():
    deltas = torch.tensor([[0.0, 0, 1000, 5]])
    x1, y1, x2, y2 = decode_boxes(deltas, PROPOSAL)[0].tolist()
    assert x2 - x1 == pytest.approx(20 * 62.5) and y2 - y1 == pytest.approx(40 * 62.5)
    assert decode_boxes(torch.tensor([[0.0, 0, -1000, 0]]), PROPOSAL).tolist() == [[20, 20, 20, 60]]  # none below


def test_where_two_precisions_meet_the_finer_counts():
    for first, second, result in (
        (torch.float16, torch.float32, torch.float32),
        (torch.float64, torch.float32, torch.float64),
        (torch.float16, torch.float16, torch.float16),
    ):
        assert encode_boxes(TRUE.to(first), PROPOSAL.to(second)).dtype == result
        assert decode_boxes(TRUE.to(first) / 100, PROPOSAL.to(second)).dtype == result


def test_the_steps_of_an_iou():
    begin, end, areas, quotient = box_iou_steps(A, B)
    assert begin.text == "The shared part begins where the later box begins, at x 2, y 1."
    assert begin.arithmetic == "max(0, 2) = 2,  max(0, 1) = 1"
    assert begin.writes == {"shared_box": {(0, 0, 0): 2, (0, 0, 1): 1}}
    assert end.arithmetic == "min(4, 6) = 4,  min(3, 5) = 3"
    assert areas.text == "It is 2 wide and 2 high: the boxes share 4 pixels and cover 24 together."
    assert areas.arithmetic == "12 + 16 − 4 = 24"
    assert quotient.sentence == "Shared over covered is the IoU: write [0.167|write]."
    assert quotient.arithmetic == "4 / 24 = 0.167"


def test_the_steps_say_where_nothing_is_shared():
    beside, below = torch.tensor([[5.0, 0, 8, 3]]), torch.tensor([[0.0, 7, 4, 9]])
    assert list(box_iou_steps(A, beside))[2].text == "It ends no further right than it begins: the boxes share 0 pixels."
    assert list(box_iou_steps(A, below))[2].text == "It ends no higher than it begins: the boxes share 0 pixels."
    assert list(box_iou_steps(A, below))[3].writes == {"output": {(0, 0): 0}}


def test_of_several_pairs_the_steps_say_which():
    steps = list(box_iou_steps(A, torch.cat([A, B])))
    assert len(steps) == 8
    assert steps[4].text == "Box 0 of a and box 1 of b: the shared part begins where the later box begins, at x 2, y 1."


def test_the_steps_of_encoding():
    right, up, wider, lower = encode_boxes_steps(TRUE, PROPOSAL)
    assert right.text == "The centre has to go 15 pixels right, and the proposal is 20 wide: write 0.75."
    assert right.arithmetic == "(35 − 20) / 20 = 0.75" and right.reads == {"gt": ((0, 0), (0, 2)), "proposals": ((0, 0), (0, 2))}
    assert up.text == "The centre has to go 10 pixels up, and the proposal is 40 high: write −0.25."
    assert up.arithmetic == "(30 − 40) / 40 = −0.25" and up.writes == {"output": {(0, 1): -0.25}}
    assert wider.text == "The width has to become 2 times what it is: write the logarithm, 0.693."
    assert lower.text == "The height has to become 0.5 times what it is: write the logarithm, −0.693."
    assert lower.arithmetic == "log(20 / 40) = −0.693" and lower.reads == {"gt": ((0, 1), (0, 3)), "proposals": ((0, 1), (0, 3))}
    weighted = [step.arithmetic for step in encode_boxes_steps(TRUE, PROPOSAL, (10, 10, 5, 1))]
    assert weighted == ["10 × (35 − 20) / 20 = 7.5", "10 × (30 − 40) / 40 = −2.5", "5 × log(40 / 20) = 3.47", "log(20 / 40) = −0.693"]
    left, down, *_ = encode_boxes_steps(torch.tensor([[-1.0, 1, 1, 3]]), torch.tensor([[0.0, 0, 2, 2]]))
    assert left.text.startswith("The centre has to go 1 pixel left,") and down.text.startswith("The centre has to go 1 pixel down,")


def test_the_steps_of_decoding():
    deltas = torch.tensor([[0.75, -0.25, math.log(2), 9]])
    shift, growth, corners = decode_boxes_steps(deltas, PROPOSAL)
    assert shift.text == "Move the centre by 0.75 widths and −0.25 heights: to x 35, y 30."
    assert shift.arithmetic == "20 + 20 × 0.75 = 35,  40 + 40 × (−0.25) = 30"
    assert growth.text == "Let the sides grow, cut at 62.5-fold: to 40 wide, 2500 high."
    assert corners.writes["output"] == {(0, k): pytest.approx(side, abs=1e-5) for k, side in enumerate([15, -1220, 55, 1280])}
