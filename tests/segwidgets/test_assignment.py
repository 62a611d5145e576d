"""`segwidgets.assignment` against torchvision: IoUs, verdicts and colours in the end; a student's function beside."""

import io

import pytest
import torch
from PIL import Image
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

import segwidgets
from segwidgets.still import MAX_STILL_BYTES, animated_png

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 10], [30, 0, 40, 10], [60, 0, 70, 10]])
TRUTH = torch.tensor([[0.0, 0, 10, 10], [30, 0, 60, 10]])  # IoUs 1, 0.5, 0, 0 and 0, 0, 1/3, 0


def texts(widget):
    return [step.text for step in widget.trace.steps]


def looks(widget, step=-1):
    return [(look.role, look.label) for look in widget.trace.boxes_at("boxes", step)]


def crowd(objects, anchors, seed):
    generator = torch.Generator().manual_seed(seed)
    corner, side = (torch.randint(1, 12, (objects + anchors, 2), generator=generator).float() for _ in range(2))
    boxes = torch.cat([corner, corner + side], dim=1)
    return boxes[objects:], boxes[:objects]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("high", "low"), [(0.7, 0.3), (0.5, 0.5), (0.2, 0.0)])
@pytest.mark.parametrize("low_quality", [True, False])
def test_in_the_end_stands_what_torchvision_matches(seed, high, low, low_quality, shown):
    anchors, truth = crowd(1 + seed, 16 - seed, seed)
    widget = segwidgets.assignment(anchors, truth, high, low, allow_low_quality=low_quality)
    overlaps = box_iou(truth, anchors)
    matches = Matcher(high, low, low_quality)(overlaps).tolist()
    table = shown(widget, "iou")
    torch.testing.assert_close(table[:-1], overlaps, rtol=0, atol=5.1e-4)
    assert table[-1].tolist() == matches
    first = shown(widget, "iou", 0)
    assert first[-1].isnan().all() and not first[:-1].isnan().any()
    of_match = {-1: "suppressed", -2: "ignored"}
    roles = [role for role, _ in looks(widget)]
    assert roles == [of_match.get(match, "truth") for match in matches] + ["truth"] * len(truth)
    assert [role for role, _ in looks(widget, 0)] == ["candidate"] * len(anchors) + ["truth"] * len(truth)


def test_the_steps_of_a_small_example(shown):
    widget = segwidgets.assignment(ANCHORS, TRUTH, 0.7, 0.4, names=["cup", "pen"], image=torch.rand(3, 20, 80))
    assert texts(widget) == [
        "4 anchors, boxes 0 to 3, and 2 objects: which box is to find which object? Positive from IoU 0.7 on, negative below 0.4, in "
        "between ignored.",
        "Box 0 overlaps object 0 most, with IoU 1, at least 0.7: positive.",
        "Box 1 overlaps object 0 most, with IoU 0.5, between 0.4 and 0.7: ignored.",
        "Box 2 overlaps object 1 most, with IoU 0.333, below 0.4: negative.",
        "Box 3 overlaps object 0 most, with IoU 0, below 0.4: negative.",
        "Box 0 is the best that object 0 has, with IoU 1: positive.",
        "Box 2 is the best that object 1 has, with IoU 0.333: positive.",
        "Of 4 anchors 2 are positive, 1 ignored and 1 negative.",
    ]
    assert looks(widget, 1)[0] == ("truth", "0 → cup") and looks(widget, 1)[1] == ("candidate", "1")
    assert [looks(widget, step)[2] for step in (2, 3, 6)] == [("candidate", "2"), ("suppressed", "2"), ("truth", "2 → pen")]
    judged, rescued = widget.trace.steps[2].marks, widget.trace.steps[6].marks
    assert judged["boxes"] == {"read": [4], "write": [1]} and rescued["boxes"] == {"read": [5], "write": []}
    assert judged["iou"] == {"read": [(0, 1), (1, 1)], "chosen": [(0, 1)], "write": [(2, 1)]}
    assert rescued["iou"] == {"read": [(1, n) for n in range(4)], "chosen": [(1, 2)], "write": [(2, 2)]}
    assert shown(widget, "iou", 3)[2].tolist()[:3] == [0, -2, -1] and shown(widget, "iou")[2].tolist() == [0, -2, 1, -1]


def test_the_sliders_judge_anew_and_the_rescue_can_be_left_out():
    widget = segwidgets.assignment(ANCHORS, TRUTH, 0.7, 0.4, allow_low_quality=False)
    assert texts(widget)[-1] == "Of 4 anchors 1 is positive, 1 ignored and 2 negative." and len(texts(widget)) == 6
    widget.set(high=0.5)
    assert texts(widget)[-1] == "Of 4 anchors 2 are positive, 0 ignored and 2 negative."
    with pytest.raises(ValueError, match="low must be at most high"):
        widget.set(low=0.6)


def test_without_objects_all_are_negative(shown):
    widget = segwidgets.assignment(ANCHORS, torch.zeros(0, 4))
    assert texts(widget)[1] == "There is no object: box 0 is negative." and texts(widget)[-1].startswith("Of 4 anchors 0 are positive")
    assert shown(widget, "iou").tolist() == [[-1, -1, -1, -1]]
    assert segwidgets.assignment(ANCHORS, []).trace.digest == widget.trace.digest


def test_without_a_photograph_the_boxes_lie_whole_on_a_sheet_of_their_shape():
    widget = segwidgets.assignment(ANCHORS - 100, TRUTH - 100)
    panel = widget.trace.panel("boxes")
    places = torch.tensor([look.place for look in widget.trace.boxes_at("boxes", 0)])
    assert places.min() > 0 and places[:, 2].max() < panel.columns == 360 and places[:, 3].max() < panel.rows
    torch.testing.assert_close(box_iou(places[4:], places[:4]), box_iou(TRUTH, ANCHORS))


def test_on_a_photograph_the_boxes_shrink_with_it():
    widget = segwidgets.assignment(10 * ANCHORS, 10 * TRUTH, image=torch.rand(3, 200, 720))
    assert widget.trace.panel("boxes").title == "photograph" and widget.trace.panel("boxes").columns == 360
    assert widget.trace.boxes_at("boxes", 0)[5].place == pytest.approx((150, 0, 300, 50))


def test_a_correct_function_beside(shown):
    for fn in (
        lambda iou, high, low, allow_low_quality: Matcher(high, low, allow_low_quality)(iou),
        lambda iou, high, low, allow_low_quality: Matcher(high, low, allow_low_quality)(iou).tolist(),
    ):
        widget = segwidgets.assignment(ANCHORS, TRUTH, fn=fn)
        assert texts(widget)[-1] == "Yours says the same of every box." and "Yours" not in " ".join(texts(widget)[:-1])
        assert shown(widget, "iou")[3].tolist() == shown(widget, "iou")[2].tolist()


def test_a_wrong_function_is_shown_where_it_goes_wrong(shown):
    widget = segwidgets.assignment(ANCHORS, TRUTH, 0.7, 0.4, fn=lambda iou, high, low: Matcher(high, low)(iou))  # no rescue
    assert shown(widget, "iou")[3].tolist() == [0, -2, -1, -1]
    assert shown(widget, "iou", 4)[3].isnan().tolist() == [True, False, True, False]  # those that an object may still claim
    assert [bool(step.marks.get("iou", {}).get("wrong")) for step in widget.trace.steps] == [False] * 6 + [True] * 2
    assert texts(widget)[6].endswith("Yours says negative of box 2.") and widget.trace.steps[6].marks["iou"]["wrong"] == [(3, 2)]
    assert texts(widget)[7] == "Yours differs at 1 of 4 boxes, first at box 2: negative instead of object 1."
    assert widget.trace.steps[7].marks["boxes"] == {"wrong": [2]}


def test_the_function_gets_copies_and_the_thresholds():
    got = []

    def match_boxes(iou, high, low, allow_low_quality=False):
        got.append((high, low, allow_low_quality))
        iou.fill_(0)
        return torch.full((iou.shape[1],), -1)

    widget = segwidgets.assignment(ANCHORS, TRUTH, 0.6, 0.2, fn=match_boxes)
    widget.set(low=0.1)
    assert got == [(0.6, 0.2, True), (0.6, 0.1, True)]
    assert widget.trace.values_at("iou", -1)[0].tolist() == [1, 0.5, 0, 0]


def test_the_same_boxes_give_the_same_animation_and_a_still_is_small(cat):
    assert repr(segwidgets.assignment(ANCHORS, TRUTH)) == repr(segwidgets.assignment(ANCHORS.tolist(), TRUTH.tolist()))
    assert len({segwidgets.assignment(ANCHORS, TRUTH, high, low).trace.digest for high, low in ((0.7, 0.3), (0.5, 0.3), (0.7, 0.4))}) == 3
    anchors, truth = crowd(3, 16, 0)
    trace = segwidgets.assignment(8 * anchors, 8 * truth, image=cat[0]).trace
    data = animated_png(trace)[0]
    assert trace.nbytes < 300_000 and len(data) <= MAX_STILL_BYTES and Image.open(io.BytesIO(data)).n_frames >= 5


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: segwidgets.assignment(torch.zeros(0, 4), TRUTH), ValueError, "anchors holds 0 boxes; from 1 to 16 can be shown"),
        (lambda: segwidgets.assignment(ANCHORS.repeat(5, 1), TRUTH), ValueError, "anchors holds 20 boxes"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH.repeat(5, 1)), ValueError, "truth holds 10 boxes; from 0 to 8"),
        (lambda: segwidgets.assignment(ANCHORS[0], TRUTH), ValueError, r"anchors must have shape \[N, 4\]"),
        (lambda: segwidgets.assignment(ANCHORS, "truth"), TypeError, "truth is str; a widget takes"),
        (lambda: segwidgets.assignment(ANCHORS, [[5, 5, 5, 9]]), ValueError, "truth must have widths and heights above 0"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, 0.3, 0.7), ValueError, "low must be at most high"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, 7), ValueError, "high must be"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, names="ab"), ValueError, "it takes a word for each of the 2 objects"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, image=torch.rand(1, 5, 5)), ValueError, r"a picture is \[3, H, W\]"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, hihg=0.5), TypeError, "did you mean 'high'"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, fn=lambda *given: 1 / 0), ValueError, "raised ZeroDivisionError"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, fn=lambda *given: "all"), ValueError, "returned str; a match for each anchor"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, fn=lambda *given: [0, 1]), ValueError, r"returned int64 \[2\]; a match for each"),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, fn=lambda *given: torch.zeros(4)), ValueError, r"returned float32 \[4\]"),
        (
            lambda: segwidgets.assignment(ANCHORS, TRUTH, fn=lambda *given: [0, 1, 2, 0]),
            ValueError,
            "the match 2; it is an object, from 0 to 1",
        ),
        (lambda: segwidgets.assignment(ANCHORS, TRUTH, fn=lambda *given: [0, 1, -3, 0]), ValueError, "the match -3"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)
