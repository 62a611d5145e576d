"""`segwidgets.cell_losses` with numbers worked by hand: where each term arises, and what they are together."""

import io

import pytest
import torch
from PIL import Image

import segwidgets
from course.models.yolo import encode_targets, stack_targets, yolo_loss_cells, yolo_losses
from segwidgets.still import MAX_STILL_BYTES, animated_png

IMAGE = torch.full((3, 60, 120), 0.5)
NAMES = ("circle", "star")
TRUTH = {"boxes": torch.tensor([[60.0, 0, 120, 20], [0, 30, 30, 60]]), "labels": torch.tensor([2, 1])}  # in cells (0, 1) and (1, 0)


def terms():
    return {"centre": torch.tensor([[0, 0.5], [0.25, 0]]), "no_object": torch.tensor([[0.125, 0], [0.125, 1]]), "mine": torch.zeros(2, 2)}


def test_the_terms_by_hand(shown):
    widget = segwidgets.cell_losses(IMAGE, terms(), truth=TRUTH, classes=NAMES)
    assert [step.text for step in widget.trace.steps] == [
        "The loss has 3 terms, centre, no_object and mine. Which of the 2 × 2 cells does each come from? 2 cells answer for an object.",
        "The term centre, how far the centre of the box that answers is off, is 0.75, from 2 cells: most at row 0, column 1, 0.5, which "
        "answers for the star.",
        "The term no_object, the confidence of all boxes that answer for nothing, is 1.25, from 3 cells: most at row 1, column 1, 1.",
        "The term mine is 0 in every cell.",
        "All together 2: no_object is the largest, 62% of the sum. 56% of it comes from cells without an object.",
    ]  # 1.25 / 2; (0.125 + 1) / 2
    assert [step.arithmetic for step in widget.trace.steps[1:]] == [
        "0.5 + 0.25 = 0.75",
        "1 + 0.125 + 0.125 = 1.25",
        "",
        "0.75 + 1.25 + 0 = 2",
    ]
    for step, (name, values) in enumerate(terms().items(), start=1):
        assert shown(widget, f"loss {name}", step - 1).isnan().all()
        torch.testing.assert_close(shown(widget, f"loss {name}", step), values)
    assert shown(widget, "sums")[:, 0].tolist() == [0.75, 1.25, 0]
    steps = widget.trace.steps
    assert steps[1].marks == {"loss centre": {"chosen": [(0, 1)]}, "photograph": {"chosen": [(180, 0, 360, 90)]}}
    assert steps[0].marks["photograph"]["truth"] == [(180, 0, 360, 90), (0, 90, 180, 180)]
    assert steps[-1].marks["sums"]["chosen"] == [(1, 0)]
    looks = widget.trace.boxes_at("photograph", 0)
    assert [(look.role, look.label) for look in looks] == [("truth", "star"), ("truth", "circle")]
    assert looks[0].place == pytest.approx((180, 0, 360, 60))
    field = torch.as_tensor(widget.trace.panel("loss mine").field.boxes)
    assert field[1, 0].tolist() == [0, 90, 180, 180] and field[0, 1].tolist() == [180, 0, 360, 90]


def test_of_many_cells_the_sum_names_the_largest():
    values = torch.arange(16.0).reshape(4, 4)
    widget = segwidgets.cell_losses(IMAGE, {"a": values})
    assert widget.trace.steps[1].arithmetic == "15 + 14 + 13 + 78 of 12 other cells = 120"
    assert widget.trace.steps[0].text == "The loss has 1 term, a. Which of the 4 × 4 cells does each come from?"
    assert widget.trace.steps[-1].text == "All together 120: a is the largest, 100% of the sum."


def test_nothing_to_learn_is_said():
    widget = segwidgets.cell_losses(IMAGE, {"a": torch.zeros(3, 3)}, truth=torch.zeros(0, 4))
    assert widget.trace.steps[0].text.endswith(" 0 cells answer for an object.")
    assert widget.trace.steps[-1].text == "All terms are 0: there is nothing to learn from this picture."


def test_the_model_s_terms_are_taken_as_they_are(shown):
    predictions = torch.rand(1, 7, 7, 12, generator=torch.Generator().manual_seed(0))
    targets = stack_targets([encode_targets(TRUTH["boxes"], TRUTH["labels"], (60, 120))])
    widget = segwidgets.cell_losses(IMAGE, yolo_loss_cells(predictions, targets), truth=TRUTH, classes=NAMES, grid=7)
    assert shown(widget, "sums")[:, 0].tolist() == pytest.approx(
        [float(loss) for loss in yolo_losses(predictions, targets).values()], abs=1e-4
    )
    assert all("answers for" in step.text for step in widget.trace.steps[1:4]) and "from 2 cells" in widget.trace.steps[1].text
    assert widget.trace.steps[0].text.startswith("The loss has 5 terms, centre, size, object, no_object and class.")


def test_the_same_call_gives_the_same_animation_and_a_still_is_small():
    given = {f"term {k}": torch.rand(20, 20, generator=torch.Generator().manual_seed(k)) for k in range(6)}
    one, other = (segwidgets.cell_losses(torch.rand(3, 90, 90), given, truth=TRUTH["boxes"] / 2) for _ in range(2))
    assert repr(one) == repr(other) and one.trace.nbytes < 300_000
    data = animated_png(one.trace)[0]
    assert len(data) <= MAX_STILL_BYTES and Image.open(io.BytesIO(data)).n_frames >= 4
    values = terms()
    widget = segwidgets.cell_losses(IMAGE, values)
    values["centre"].zero_()  # what was shown stays
    assert widget.trace.values_at("loss centre", 1)[0, 1] == 0.5


@pytest.mark.parametrize(
    ("changed", "kind", "sentence"),
    [
        ({"terms": torch.zeros(2, 2)}, TypeError, r"terms is Tensor; it takes \{name: \[S, S\]\}"),
        ({"terms": {}}, ValueError, "terms holds 0; from 1 to 6"),
        ({"terms": {str(k): torch.zeros(2, 2) for k in range(7)}}, ValueError, "terms holds 7"),
        ({"terms": {3: torch.zeros(2, 2)}}, ValueError, "a term is named 3"),
        ({"terms": {"a": torch.zeros(2, 3)}}, ValueError, r"a has the shape \[2, 3\]; it is \[S, S\]"),
        ({"terms": {"a": torch.zeros(())}}, ValueError, "not yet summed"),
        ({"terms": {"a": torch.zeros(2, 2, 2)}}, ValueError, "of one picture"),
        ({"terms": {"a": torch.zeros(2, 2), "b": torch.zeros(3, 3)}}, ValueError, "b has 3 × 3 cells, and a has 2 × 2"),
        ({"grid": 7}, ValueError, "centre has 2 × 2 cells, and grid is 7"),
        ({"terms": {"a": torch.zeros(21, 21)}}, ValueError, "at most 20 × 20"),
        ({"terms": {"a": torch.tensor([[0, 0], [torch.nan, 0]])}}, ValueError, "a is NaN at row 1, column 0"),
        ({"terms": {"a": torch.tensor([[0, -1.0], [0, 0]])}}, ValueError, "a is −1 at row 0, column 1; .* 0 or more"),
        ({"terms": {"a": "text"}}, TypeError, "a is str"),
        ({"truth": [[1, 2, 3]]}, ValueError, "truth must have shape"),
        ({"truth": TRUTH, "classes": ("circle",)}, ValueError, "truth has the label 2"),
        ({"image": torch.rand(2, 5, 5)}, ValueError, r"a picture is \[3, H, W\]"),
        ({"clases": 3}, TypeError, "did you mean 'classes'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(changed, kind, sentence):
    given = {"image": IMAGE, "terms": terms()} | changed
    with pytest.raises(kind, match=sentence) as error:
        segwidgets.cell_losses(given.pop("image"), given.pop("terms"), **given)
    assert "\n" not in str(error.value)
