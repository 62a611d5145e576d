"""`segwidgets.nms` against torchvision: what stays, what goes, and what the table says; a student's function beside it."""

import io

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import segwidgets
from segwidgets.still import MAX_STILL_BYTES, animated_png

BOXES = torch.tensor([[0.0, 0, 10, 6], [2, 0, 12, 6], [4, 0, 14, 6], [20, 1, 28, 7]])
SCORES = torch.tensor([0.9, 0.95, 0.7, 0.8])


def roles(player, panel="boxes", step=-1):
    return [look.role for look in player.trace.boxes_at(panel, step)]


def kept(player, panel="boxes"):
    return [i for i, role in enumerate(roles(player, panel)) if role == "chosen"]


def crowd(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corner, side, scores = (torch.rand(count, k, generator=generator) for k in (2, 2, 1))
    return torch.cat([corner * 90, corner * 90 + 10 + 60 * side], dim=1), scores[:, 0]


@pytest.mark.parametrize("count", [1, 2, 5, 12, 17, 40, 200])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_in_the_end_stands_what_torchvision_keeps(count, threshold, shown):
    boxes, scores = crowd(count, count)
    player = segwidgets.nms(boxes, scores, threshold)
    expected = torchvision.ops.nms(boxes, scores, threshold)
    assert kept(player) == sorted(expected.tolist())
    assert set(roles(player)) <= {"chosen", "suppressed"} and roles(player, step=0) == ["candidate"] * count
    assert len(player.trace.steps) <= 2 + 120 + count
    if count <= 16:
        table = shown(player, "iou")
        known = ~table.isnan()
        torch.testing.assert_close(table[known], torchvision.ops.box_iou(boxes, boxes)[known])
        assert set(known.nonzero()[:, 0].tolist()) <= set(expected.tolist())  # only boxes that stay compare
    else:
        assert [panel.id for panel in player.trace.panels] == ["boxes"]


def test_the_steps_of_a_small_example(shown):
    player = segwidgets.nms(BOXES, SCORES, 0.4)
    assert [step.text for step in player.trace.steps] == [
        "4 boxes with their scores may show the same object: the best stays, and a box whose IoU with it is above 0.4 goes.",
        "Box 1 has the highest score left, 0.95: keep it. It shares nothing with box 3.",
        "Box 0 overlaps box 1 with IoU 0.667, above 0.4: remove it.",
        "Box 2 overlaps box 1 with IoU 0.667, above 0.4: remove it.",
        "Only box 3, score 0.8, is left: keep it.",
        "Of 4 boxes 2 stay, the best first: boxes 1 and 3.",
    ]
    assert player.trace.steps[2].arithmetic == "48 / (60 + 60 − 48) = 0.667"
    assert [roles(player, step=step)[0] for step in range(4)] == ["candidate", "candidate", "suppressed", "suppressed"]
    assert player.trace.boxes_at("boxes", 0)[1].label == "1 · 0.95"
    np.testing.assert_allclose(shown(player, "iou")[1].numpy(), [2 / 3, np.nan, 2 / 3, 0], rtol=1e-6)


def test_what_two_boxes_share_is_marked_where_it_is():
    photo = torch.rand(3, 20, 40)
    marks = segwidgets.nms(BOXES, SCORES, 0.4, image=photo).trace.steps[2].marks["boxes"]
    assert marks == {"read": [0], "chosen": [1], "write": [(2, 0, 10, 6)]}
    inside = torch.tensor([[0.0, 0, 10, 10], [2, 2, 4, 4]])
    assert segwidgets.nms(inside, SCORES[:2].flip(0), 0.4, image=photo).trace.steps[2].marks["boxes"] == {"read": [1], "chosen": [0]}


def test_on_a_photograph_the_boxes_shrink_with_it():
    player = segwidgets.nms(10 * BOXES, SCORES, 0.4, image=torch.rand(3, 300, 720))
    assert player.trace.panel("boxes").title == "photograph" and player.trace.panel("boxes").columns == 360
    assert player.trace.boxes_at("boxes", 0)[3].place == pytest.approx((100, 5, 140, 35))
    assert player.trace.steps[2].arithmetic == "4800 / (6000 + 6000 − 4800) = 0.667"


def test_without_a_photograph_they_lie_whole_on_a_sheet_of_their_shape():
    player = segwidgets.nms(BOXES - 100, SCORES, 0.4)
    panel, places = player.trace.panel("boxes"), np.array([look.place for look in player.trace.boxes_at("boxes", 0)])
    assert places.min() > 0 and places[:, 2].max() < panel.columns == 360 and places[:, 3].max() < panel.rows
    width, height = places[:, 2] - places[:, 0], places[:, 3] - places[:, 1]
    np.testing.assert_allclose(width / height, [10 / 6] * 3 + [8 / 6], rtol=1e-5)
    segwidgets.nms([[5, 5, 5, 5]], [0.5])  # a point


def test_names_stand_before_the_scores():
    player = segwidgets.nms(BOXES, SCORES, names=["cat", "cat", "dog", ""])
    assert [look.label for look in player.trace.boxes_at("boxes", 0)] == ["0 · cat 0.9", "1 · cat 0.95", "2 · dog 0.7", "3 · 0.8"]


def test_many_boxes_go_at_once():
    boxes, scores = crowd(200, 3)
    player = segwidgets.nms(boxes, scores, 0.3)
    steps = player.trace.steps
    assert len(steps) == 2 + len(kept(player))
    changed = [look.role for step in steps for look in step.boxes.get("boxes", {}).values()]
    assert sorted(changed) == sorted(roles(player))  # each box once
    labelled = [[i for i, look in enumerate(player.trace.boxes_at("boxes", step)) if look.label] for step in (0, -1)]
    assert labelled == [[], kept(player)]
    assert "It removes" in steps[1].text and player.trace.nbytes < 200_000


def test_a_correct_function_beside():
    for fn in (torchvision.ops.nms, lambda boxes, scores, iou_threshold: torchvision.ops.nms(boxes, scores, iou_threshold).tolist()):
        player = segwidgets.nms(BOXES, SCORES, 0.4, fn=fn)
        assert player.trace.steps[-1].text == "Yours keeps the same boxes in the same order."
        assert roles(player, "yours") == roles(player) and [panel.id for panel in player.trace.panels] == ["boxes", "yours"]


def test_a_wrong_function_is_shown_where_it_goes_wrong():
    player = segwidgets.nms(BOXES, SCORES, 0.4, fn=lambda boxes, scores, iou_threshold: [0, 3])
    assert roles(player, "yours") == ["wrong", "wrong", "suppressed", "chosen"]
    assert [look.label for look in player.trace.boxes_at("yours", -1)] == ["0 kept", "1 missing", "2", "3 · 0.8"]
    assert player.trace.steps[1].text.endswith("Yours removes box 1.") and player.trace.steps[2].text.endswith("Yours keeps box 0.")
    assert player.trace.steps[-1].text == "Yours keeps box 0, which should go, and removes box 1, which should stay."
    assert player.trace.steps[-1].marks == {"yours": {"wrong": [0, 1]}}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ([3, 1], "Yours keeps the same boxes but puts them in another order: boxes 3 and 1 instead of boxes 1 and 3."),
        ([1, 3, 3], "Yours keeps the same boxes but names some of them twice: boxes 1, 3 and 3 instead of boxes 1 and 3."),
        ([], "Yours removes boxes 1 and 3, which should stay."),
        ([1, 3, 0, 2], "Yours keeps boxes 0 and 2, which should go."),
    ],
)
def test_what_is_said_of_a_wrong_answer(answer, sentence):
    player = segwidgets.nms(BOXES, SCORES, 0.4, fn=lambda boxes, scores, iou_threshold: torch.tensor(answer))
    assert player.trace.steps[-1].text == sentence


def test_the_same_boxes_give_the_same_animation_and_others_another():
    assert repr(segwidgets.nms(BOXES, SCORES)) == repr(segwidgets.nms(BOXES.tolist(), SCORES.tolist()))
    assert len({segwidgets.nms(BOXES, SCORES, threshold).trace.digest for threshold in (0.3, 0.5, 0.7)}) == 3


def test_a_still_is_small_and_moves(cat):
    boxes, scores = crowd(12, 0)
    data = animated_png(segwidgets.nms(2 * boxes, scores, image=cat[0]).trace)[0]
    assert len(data) <= MAX_STILL_BYTES and Image.open(io.BytesIO(data)).n_frames >= 5


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: segwidgets.nms(torch.zeros(0, 4), torch.zeros(0)), ValueError, "boxes holds 0 boxes; from 1 to 200 can be shown"),
        (lambda: segwidgets.nms(*crowd(201, 0)), ValueError, "boxes holds 201 boxes"),
        (lambda: segwidgets.nms("boxes", SCORES), TypeError, "boxes is str; a widget takes"),
        (lambda: segwidgets.nms(BOXES[0], SCORES), ValueError, "boxes must have shape \\[N, 4\\]"),
        (lambda: segwidgets.nms(BOXES, SCORES[:3]), ValueError, "scores must have shape \\[4\\]"),
        (lambda: segwidgets.nms(BOXES, SCORES * torch.nan), ValueError, "scores must be numbers that can be ranked"),
        (lambda: segwidgets.nms(BOXES * torch.inf, SCORES), ValueError, "boxes must be finite"),
        (lambda: segwidgets.nms(BOXES, SCORES, 1.5), ValueError, "iou_threshold must be from 0 to 1"),
        (lambda: segwidgets.nms(BOXES, SCORES, names=["cat"]), ValueError, "a word for each of the 4 boxes"),
        (lambda: segwidgets.nms(BOXES, SCORES, image=torch.rand(2, 5, 5)), ValueError, "a picture is \\[3, H, W\\]"),
        (lambda: segwidgets.nms(BOXES, SCORES, treshold=0.5), TypeError, "did you mean 'iou_threshold'"),
        (lambda: segwidgets.nms(BOXES, SCORES, fn=lambda *given: 1 / 0), ValueError, "raised ZeroDivisionError"),
        (lambda: segwidgets.nms(BOXES, SCORES, fn=lambda *given: "all"), ValueError, "returned str; the indices"),
        (lambda: segwidgets.nms(BOXES, SCORES, fn=lambda *given: BOXES), ValueError, "returned float32 \\[4, 4\\]; the indices"),
        (lambda: segwidgets.nms(BOXES, SCORES, fn=lambda *given: SCORES > 0), ValueError, "returned bool \\[4\\]; the indices"),
        (lambda: segwidgets.nms(BOXES, SCORES, fn=lambda *given: [4]), ValueError, "returned the index 4, and the boxes are 0 to 3"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)


def test_the_slider_starts_at_the_threshold_and_takes_every_other(monkeypatch):
    boxes, scores = crowd(30, 4)
    widget = segwidgets.nms(boxes, scores, 0.35, image=torch.rand(3, 160, 160))
    ((only,),) = (widget._settings,)
    assert (only["name"], only["low"], only["high"], only["step"]) == ("iou_threshold", 0.0, 1.0, 0.05)
    assert widget.values == {"iou_threshold": 0.35} and kept(widget) == sorted(torchvision.ops.nms(boxes, scores, 0.35).tolist())
    answers = []
    monkeypatch.setattr(widget, "send", answers.append)
    for threshold in (0.0, 0.05, 0.7, 1.0):
        widget._handle_custom_msg({"kind": "set", "values": {"iou_threshold": threshold}, "id": "a view"}, [])
        assert kept(widget) == sorted(torchvision.ops.nms(boxes, scores, threshold).tolist())
        assert widget.trace.digest == segwidgets.nms(boxes, scores, threshold, image=torch.rand(3, 160, 160)).trace.digest
    assert [answer["error"] for answer in answers] == [""] * 4


def test_a_threshold_that_cannot_be_is_said_and_nothing_changes(monkeypatch):
    widget = segwidgets.nms(BOXES, SCORES, 0.4)
    before, answers = widget.trace.digest, []
    monkeypatch.setattr(widget, "send", answers.append)
    widget._handle_custom_msg({"kind": "set", "values": {"iou_threshold": 1.2}, "id": "a view"}, [])
    assert "from 0.0 to 1.0" in answers[0]["error"] and widget.trace.digest == before


def test_a_students_function_is_asked_anew_for_each_threshold():
    asked = []

    def mine(boxes, scores, iou_threshold):
        asked.append(iou_threshold)
        return torchvision.ops.nms(boxes, scores, 0.4)

    widget = segwidgets.nms(BOXES, SCORES, 0.4, fn=mine)
    assert widget.trace.steps[-1].text == "Yours keeps the same boxes in the same order."
    widget.set(iou_threshold=0.7)
    assert asked == [0.4, 0.7] and widget.trace.steps[-1].text == "Yours removes boxes 0 and 2, which should stay."


def test_boxes_that_change_afterwards_change_nothing():
    boxes, scores = BOXES.clone(), SCORES.clone()
    widget = segwidgets.nms(boxes, scores, 0.4)
    boxes.zero_(), scores.zero_()
    widget.set(iou_threshold=0.7)
    assert widget.trace.digest == segwidgets.nms(BOXES, SCORES, 0.7).trace.digest
