"""`segwidgets.box_codec` against torchvision's coder: the four numbers, the way back, dragged boxes, a student's function."""

import math

import numpy as np
import pytest
import torch
from torchvision.models.detection._utils import BoxCoder

import segwidgets

PROPOSAL, TRUTH = (10, 20, 30, 60), (15, 20, 55, 40)  # centre (20, 40), 20 × 40; centre (35, 30), 40 × 20
FAST = (10, 10, 5, 5)
PHOTO = torch.rand(3, 300, 400, generator=torch.Generator().manual_seed(0))
truth, proposal, moved = range(3)


def coded(proposal, truth, weights=(1, 1, 1, 1)):
    pair = (torch.tensor([box], dtype=torch.float64) for box in (truth, proposal))
    return BoxCoder(weights).encode_single(*pair)[0]


def texts(widget):
    return [step.text for step in widget.trace.steps]


def at(widget, box, step=-1):
    """Where a box lies as shown, and None when it is hidden."""
    look = widget.trace.boxes_at("boxes", step)[box]
    return look.place if look.role else None


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), FAST, (1, 2, 3, 4)])
@pytest.mark.parametrize("image", [None, PHOTO])
def test_the_numbers_are_torchvisions_and_the_way_back_ends_at_the_truth(weights, image, shown):
    draw = torch.Generator().manual_seed(1)
    for _ in range(5):
        corner, size = 100 * torch.rand(2, 2, generator=draw), 20 + 80 * torch.rand(2, 2, generator=draw)
        boxes = torch.cat((corner, corner + size), 1)
        widget = segwidgets.box_codec(*boxes, image=image, weights=weights)
        expected = coded(*boxes.tolist(), weights).float()
        torch.testing.assert_close(shown(widget, "deltas")[:, 0], expected)
        np.testing.assert_allclose(at(widget, moved), at(widget, truth), rtol=1e-4, atol=1e-2)
        assert at(widget, proposal) == at(widget, proposal, 0)
        torch.testing.assert_close(shown(widget, "moved"), shown(widget, "sides")[:, 1:])
        assert texts(widget)[-1].endswith("It lies on G.")


def test_the_steps_of_a_small_example(shown):
    widget = segwidgets.box_codec(PROPOSAL, TRUTH)
    assert texts(widget) == [
        "P has to move onto G. Four numbers are to say how, whatever the size of the boxes.",
        "The centre has to go 15 pixels right, and the proposal is 20 wide: write 0.75.",
        "The centre has to go 10 pixels up, and the proposal is 40 high: write −0.25.",
        "The width has to become 2 times what it is: write the logarithm, 0.693.",
        "The height has to become 0.5 times what it is: write the logarithm, −0.693.",
        "Whoever has P and these four numbers can move it, without having seen G.",
        "Move the centre by 0.75 widths and −0.25 heights: to x 35, y 30.",
        "Let the sides grow: to 40 wide, 20 high.",
        "Half a side to each side of the centre: the box is 15, 20, 55, 40. It lies on G.",
    ]
    assert [step.arithmetic for step in widget.trace.steps[1:5]] == [
        "tx = (35 − 20) / 20 = 0.75",
        "ty = (30 − 40) / 40 = −0.25",
        "tw = log(40 / 20) = 0.693",
        "th = log(20 / 40) = −0.693",
    ]
    assert shown(widget, "sides").tolist() == [[20, 35], [40, 30], [20, 40], [40, 20]]
    for panel in ("deltas", "moved"):
        assert shown(widget, panel, 0).isnan().all()
    known = [int((~shown(widget, "deltas", step).isnan()).sum()) for step in range(9)]
    assert known == [0, 1, 2, 3, 4, 4, 4, 4, 4]


def test_what_is_compared_is_marked_on_the_picture_and_in_the_table():
    steps = segwidgets.box_codec(PROPOSAL, TRUTH, image=torch.rand(3, 80, 80)).trace.steps
    shift, up, wider, lower = (step.marks for step in steps[1:5])
    assert shift["boxes"] == {"read": [(10, 60, 30, 60)], "write": [(20, 40, 35, 40)]}
    assert up["boxes"] == {"read": [(30, 20, 30, 60)], "write": [(20, 30, 20, 40)]}
    assert wider["boxes"] == {"read": [(10, 60, 30, 60)], "truth": [(15, 40, 55, 40)]}
    assert lower["boxes"] == {"read": [(30, 20, 30, 60)], "truth": [(55, 20, 55, 40)]}
    assert [marks["sides"]["read"] for marks in (shift, up, wider, lower)] == [
        [(0, 0), (0, 1), (2, 0)],
        [(1, 0), (1, 1), (3, 0)],
        [(2, 0), (2, 1)],
        [(3, 0), (3, 1)],
    ]
    assert [marks["deltas"]["write"] for marks in (shift, up, wider, lower)] == [[(k, 0)] for k in range(4)]


def test_the_proposal_glides_first_its_centre_and_then_its_sides():
    widget = segwidgets.box_codec(PROPOSAL, TRUTH, image=torch.rand(3, 80, 80))
    places = [at(widget, moved, step) for step in range(9)]
    assert places[:5] == [None] * 5 and places[5] == PROPOSAL
    assert places[6] == (25, 10, 45, 50)  # as large as the proposal, around the centre of the truth
    assert places[7] == places[8] == pytest.approx(TRUTH, abs=1e-4)


def test_weights_multiply_and_are_divided_off_again(shown):
    widget = segwidgets.box_codec(PROPOSAL, TRUTH, weights=FAST)
    assert widget.trace.steps[0].text.endswith("Each is multiplied by its weight: 10, 10, 5, 5.")
    assert widget.trace.steps[1].arithmetic == "tx = 10 × (35 − 20) / 20 = 7.5"
    assert "each divided by its weight" in texts(widget)[5] and "by 0.75 widths" in texts(widget)[6]
    assert "weight" not in " ".join(texts(segwidgets.box_codec(PROPOSAL, TRUTH)))


def test_a_dragged_box_is_where_it_was_dragged_and_the_numbers_follow(shown):
    widget = segwidgets.box_codec(PROPOSAL, TRUTH, image=PHOTO)  # 400 wide, shown 360 wide
    assert widget.values == {"proposal": (9, 18, 27, 54), "truth": (13.5, 18, 49.5, 36)}
    widget.set(proposal=(45, 90, 90, 180.3))
    torch.testing.assert_close(shown(widget, "deltas")[:, 0], coded((50, 100, 100, 200), TRUTH).float())
    assert at(widget, proposal) == pytest.approx((45, 90, 90, 180.3), abs=0.5)
    widget.set(truth=(0, 0, 360, 270))
    torch.testing.assert_close(shown(widget, "deltas")[:, 0], coded((50, 100, 100, 200), (0, 0, 400, 300)).float())
    assert np.allclose(at(widget, moved), (0, 0, 360, 270), atol=0.01)


@pytest.mark.parametrize(("image", "fine"), [(PHOTO, 1), (None, 10)])  # the sheet shows a unit 4 pixels wide
def test_a_dragged_box_has_numbers_with_which_one_can_calculate(image, fine, shown):
    widget = segwidgets.box_codec(PROPOSAL, TRUTH, image=image)
    widget.set(proposal=(71.3377, 80.1234, 150.777, 190.4321))
    doubled = 2 * fine * shown(widget, "sides")  # of a centre halves are left
    torch.testing.assert_close(doubled, doubled.round(), rtol=0, atol=1e-3)
    place = torch.tensor(at(widget, proposal)) - torch.tensor([71.3377, 80.1234, 150.777, 190.4321])
    assert place.abs().max() <= 0.51


def test_a_box_one_pixel_wide_keeps_its_width_wherever_it_is_dragged():
    widget = segwidgets.box_codec(PROPOSAL, TRUTH, image=PHOTO[:, :200, :200])
    for x in np.linspace(10, 12, 41):
        widget.set(proposal=(x, 20, x + 1, 60))
        assert widget.trace.values_at("sides", 0)[2, 0] >= 1


def test_without_a_photograph_there_is_room_around_the_boxes():
    widget = segwidgets.box_codec(PROPOSAL, TRUTH)
    panel, places = widget.trace.panel("boxes"), np.array([at(widget, truth), at(widget, proposal)])
    assert places.min() > 50 and places[:, 2].max() < panel.columns - 50 and places[:, 3].max() < panel.rows - 50
    widget.set(proposal=(0, 0, panel.columns, panel.rows))


def test_what_grows_too_much_is_cut_and_said():
    widget = segwidgets.box_codec((100, 100, 101, 200), (0, 0, 350, 200), image=PHOTO)
    assert texts(widget)[-1].endswith("That is as far as it goes: no side grows more than 62.5-fold.")
    assert "cut at 62.5-fold" in texts(widget)[-2]


def test_a_student_s_function_stands_beside_and_moves_the_box(shown):
    def encode_boxes(gt, proposals, weights):
        centre = (gt[:, :2] + gt[:, 2:] - proposals[:, :2] - proposals[:, 2:]) / 2 / (proposals[:, 2:] - proposals[:, :2])
        return torch.cat((centre, (gt[:, 2:] - gt[:, :2]) / (proposals[:, 2:] - proposals[:, :2])), 1)  # no logarithm

    widget = segwidgets.box_codec(PROPOSAL, TRUTH, image=torch.rand(3, 80, 80), fn=encode_boxes)
    assert [panel.id for panel in widget.trace.panels] == ["boxes", "sides", "deltas", "yours", "moved"]
    assert shown(widget, "yours")[:, 0].tolist() == [0.75, -0.25, 2, 0.5]
    assert [list(step.marks["yours"]) for step in widget.trace.steps[1:5]] == [["write"], ["write"], ["wrong"], ["wrong"]]
    assert texts(widget)[3].endswith("Yours is 2.") and texts(widget)[-1].endswith("With your numbers it misses G.")
    width, height = 20 * math.exp(2), 40 * math.exp(0.5)
    assert at(widget, moved) == pytest.approx((35 - width / 2, 30 - height / 2, 35 + width / 2, 30 + height / 2), abs=0.01)
    right = segwidgets.box_codec(PROPOSAL, TRUTH, fn=lambda gt, proposals, weights: BoxCoder(weights).encode_single(gt, proposals))
    assert texts(right)[-1].endswith("It lies on G.") and "Yours" not in " ".join(texts(right))


def test_the_same_boxes_give_the_same_animation_and_others_another():
    assert repr(segwidgets.box_codec(PROPOSAL, TRUTH)) == repr(segwidgets.box_codec(torch.tensor(PROPOSAL), list(TRUTH)))
    assert segwidgets.box_codec(PROPOSAL, TRUTH).trace.digest != segwidgets.box_codec(PROPOSAL, (15, 20, 55, 41)).trace.digest


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: segwidgets.box_codec((1, 2, 3), TRUTH), ValueError, r"proposal has the shape \[3\]; one box is four numbers"),
        (lambda: segwidgets.box_codec(PROPOSAL, [TRUTH]), ValueError, r"truth has the shape \[1, 4\]"),
        (lambda: segwidgets.box_codec(PROPOSAL, "box"), TypeError, "truth is str; a widget takes"),
        (lambda: segwidgets.box_codec((30, 20, 10, 60), TRUTH), ValueError, "proposal must have widths and heights above 0"),
        (lambda: segwidgets.box_codec(PROPOSAL, (15, 20, 15, 40)), ValueError, "truth must have widths and heights above 0"),
        (lambda: segwidgets.box_codec(PROPOSAL, (15, 20, math.nan, 40)), ValueError, "truth must be finite"),
        (lambda: segwidgets.box_codec(PROPOSAL, TRUTH, weights=(1, 1, 1)), ValueError, "weights must be four numbers above 0"),
        (lambda: segwidgets.box_codec(PROPOSAL, TRUTH, image=torch.rand(1, 5, 5)), ValueError, r"a picture is \[3, H, W\]"),
        (lambda: segwidgets.box_codec(PROPOSAL, TRUTH, weight=FAST), TypeError, "did you mean 'weights'"),
        (lambda: segwidgets.box_codec(PROPOSAL, TRUTH, fn=lambda *given: 1 / 0), ValueError, "raised ZeroDivisionError"),
        (lambda: segwidgets.box_codec(PROPOSAL, TRUTH, fn=lambda *given: [1, 2, 3, 4]), ValueError, r"returned list; a tensor of shape"),
        (lambda: segwidgets.box_codec(PROPOSAL, TRUTH, fn=lambda *given: torch.rand(4, 1)), ValueError, r"returned \[4, 1\]; a tensor"),
        (lambda: segwidgets.box_codec(PROPOSAL, TRUTH, fn=lambda *given: torch.full((1, 4), torch.nan)), ValueError, "NaN or infinite"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)
