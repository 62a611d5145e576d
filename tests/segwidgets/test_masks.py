"""`segwidgets.masks` against torchvision's pasting: pixels, IoU, the pixel by hand; the classes' masks; bad inputs."""

import math

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

import segwidgets
from segwidgets.roles import ROLES

DRAW = torch.Generator().manual_seed(0)
PHOTO = torch.rand(3, 60, 80, generator=DRAW)
BOXES = torch.tensor([[10.0, 8, 38, 36], [30.5, 20.2, 71.9, 55.4], [60, -10, 95, 20]])
PROBABILITIES = torch.rand(3, 4, 28, 28, generator=DRAW)
LABELS = torch.tensor([2, 4, 1])
CLASSES = ["star", "disc", "ring", "fish"]
TRUTH = torch.zeros(2, 60, 80, dtype=torch.bool)
TRUTH[0, 10:30, 12:30] = TRUTH[1, 25:50, 35:70] = True


def made(**given):
    return segwidgets.masks(PHOTO, BOXES, PROBABILITIES, LABELS, CLASSES, **given)


def small(threshold=0.5, **given):
    """One class, a mask of 2 × 2 cells in a box of 8 × 4 pixels."""
    mask = torch.tensor([[[0.2, 0.6], [0.4, 0.8]]])
    given = {"image": torch.full((3, 8, 12), 0.5), "boxes": (2, 2, 10, 6), **given}
    return segwidgets.masks(given.pop("image"), given.pop("boxes"), mask, 1, ["disc"], threshold, **given)


def theirs(d, k):
    return paste_masks_in_image(PROBABILITIES[d, k][None, None], BOXES[[d]], (60, 80))[0, 0]  # [H, W]


def texts(widget):
    return [step.text for step in widget.trace.steps]


def told(widget, word):
    """The one step that says it."""
    (step,) = [step for step in widget.trace.steps if word in step.text]
    return step.text


def frame(widget, panel, number):
    return widget.trace.panel(panel).frames[number].pixels


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("d", [0, 1, 2])
def test_the_pixels_are_torchvisions(d, threshold):
    widget = made(detection=d, threshold=threshold, truth=TRUTH)
    inside = theirs(d, LABELS[d] - 1) > threshold
    assert f"probabilities: {int(inside.sum())} of " in told(widget, "The threshold makes")
    # The frames differ from the grey one exactly where the mask is.
    x1, y1 = (round(float(side)) for side in _corner(widget))
    height, width = frame(widget, "pasted", 2).shape[:2]
    grey = np.ptp(frame(widget, "pasted", 2).astype(int), axis=2) == 0
    assert np.array_equal(~grey, inside[y1 : y1 + height, x1 : x1 + width].numpy())
    overlaps = ((TRUTH & inside).sum((1, 2)) / (TRUTH | inside).sum((1, 2))).tolist()
    assert told(widget, "IoU").endswith(f"IoU {round(max(overlaps), 3):g}.")


def _corner(widget):
    """Where the part shown with the box begins: the box is drawn on it where it lies."""
    d = int(widget.values["detection"].split()[0])
    return BOXES[d, :2] - torch.from_numpy(widget.trace.panel("pasted").boxes.places[0, :2])


def test_the_pasted_probabilities_are_painted_where_they_lie():
    widget, colours = made(detection=1), segwidgets.panels.colours("heat")
    x1, y1 = (round(float(side)) for side in _corner(widget))
    painted = frame(widget, "pasted", 1)
    pasted = theirs(1, 3)
    for y, x in [(30, 40), (40, 60), (50, 65)]:
        assert np.abs(painted[y - y1, x - x1].astype(int) - colours[round(float(pasted[y, x]) * 255)]).max() <= 6  # a level may tip
    first = frame(widget, "pasted", 0)
    assert np.array_equal(first, (PHOTO * 255).round().byte().permute(1, 2, 0).numpy()[y1 : y1 + len(first), x1 : x1 + first.shape[1]])


def test_a_pixel_by_hand():
    """With its ring the mask is 4 × 4 cells on 16 × 8 pixels, from column −2 and row 0 on, and its last pixel belongs to it: 17 × 9."""
    widget = small(0.5)
    step = next(step for step in widget.trace.steps if step.text.startswith("Pasted"))
    assert step.text.startswith(
        "Pasted: the box is 8 × 4 pixels, so a cell becomes 4 × 2 pixels, with bilinear interpolation between the middles of cells. "
    )
    # Which pixel is nearest to 0.5, by the formula for each: row (y + ½) · 4 / 9 − 1.5, column (x + 2.5) · 4 / 17 − 1.5.
    rows, columns = (torch.arange(8) + 0.5) * 4 / 9 - 1.5, (torch.arange(12) + 2.5) * 4 / 17 - 1.5
    down, across = ((1 - (at[:, None] - torch.arange(2)).abs()).clamp(min=0) for at in (rows, columns))
    pasted = down @ torch.tensor([[0.2, 0.6], [0.4, 0.8]]) @ across.T  # [8, 12]
    y, x = divmod(int((pasted - 0.5).abs().argmin()), 12)
    assert (
        f"Pixel row {y}, column {x} lies at row {rows[y]:.3g}, column {columns[x]:.3g}: {round(float(pasted[y, x]), 3):.3g}." in step.text
    )
    assert step.marks["pasted"]["chosen"] == [tuple(float(side) for side in (x, y, x + 1, y + 1))]  # all of the picture is shown
    (products, result) = step.arithmetic.split(" = ")
    assert sum(math.prod(map(float, term.split(" × "))) for term in products.split(" + ")) == pytest.approx(float(result), abs=2e-3)
    assert f"{int((pasted > 0.5).sum())} of " in told(widget, "The threshold makes")


def test_the_captions_of_a_small_example():
    truth = torch.zeros(8, 12, dtype=torch.bool)
    truth[2:6, 6:10] = True
    widget = small(0.5, truth=truth)
    assert texts(widget)[:3] == [
        "1 detection. Whatever the size of a box, the mask head says 2 × 2 probabilities.",
        "There is one class, the disc, and so one mask. Each cell passed a sigmoid.",
        "The mask of the disc: 2 of 4 cells lie above 0.5. It is surest at row 1, column 1: 0.8. Point at a cell to see where it lies.",
    ]
    inside = paste_masks_in_image(torch.tensor([[[[0.2, 0.6], [0.4, 0.8]]]]), torch.tensor([[2.0, 2, 10, 6]]), (8, 12))[0, 0] > 0.5
    both, extra, missed = (int(each.sum()) for each in (inside & truth, inside & ~truth, truth & ~inside))
    step = next(step for step in widget.trace.steps if "IoU" in step.text)
    assert step.text.startswith(f"Against the true mask: {both} pixels are in both, {extra} only in the mask, {missed} only in the truth.")
    assert step.arithmetic.startswith(f"{both} / ({both} + {extra} + {missed}) = ")
    assert texts(widget)[-1] == f"On the photograph: the disc has {int(inside.sum())} pixels."
    assert "It is too high for this mask." in told(small(0.9), "The threshold")


def test_only_the_mask_of_its_class_counts():
    probabilities = torch.full((4, 2, 2), 0.1)
    probabilities[:, 1, 0] = torch.tensor([0.9, 0.8, 0.7, 0.2])
    widget = segwidgets.masks(PHOTO, BOXES[0], probabilities, 2, CLASSES)
    step = widget.trace.steps[1]
    assert step.text == (
        "The box is of class disc, so of 4 masks only that one counts. Each has a sigmoid of its own: the classes don't compete, and at "
        "row 1, column 0 they sum to 2.6."
    )
    assert step.arithmetic == "star 0.9 + disc 0.8 + ring 0.7 + fish 0.2 = 2.6"
    assert step.marks["channels"]["chosen"] == [1]
    assert [look.role for look in widget.trace.boxes_at("channels", 0)] == ["candidate", "read", "candidate", "candidate"]
    assert widget.trace.panel("mask").values.tolist() == pytest.approx(np.array([[0.1, 0.1], [0.8, 0.1]]))


def test_the_frame_has_no_colour_that_a_pixel_has():
    widget = made(truth=TRUTH)
    assert {look.role for step in range(len(widget.trace.steps)) for look in widget.trace.boxes_at("pasted", step)} == {"read"}
    judged = {colour.lower() for _, colour in widget.trace.panel("pasted").legend}
    assert ROLES["chosen"].light.lower() in judged and ROLES["read"].light.lower() not in judged  # orange is only in the mask


def test_another_class_s_mask_can_be_looked_at(shown):
    widget = made(detection=1, truth=TRUTH)
    assert torch.equal(shown(widget, "mask"), PROBABILITIES[1, 3])
    widget.set(channel="star")
    assert torch.equal(shown(widget, "mask"), PROBABILITIES[1, 0])
    assert texts(widget)[1].endswith("You look at the mask of the star, which would not be used.")
    assert "They would be the mask of the star." in told(widget, "The threshold makes")
    assert f"{int((theirs(1, 0) > 0.5).sum())} of " in told(widget, "The threshold makes")
    widget.set(detection="0 disc", channel="its class")
    assert torch.equal(shown(widget, "mask"), PROBABILITIES[0, 1])
    assert "They are its mask." in told(widget, "The threshold makes")


def test_all_detections_have_a_colour_each():
    widget = made(scores=[0.9, 0.875, 0.5])
    each = [theirs(d, LABELS[d] - 1) > 0.5 for d in range(3)]
    shared = int((torch.stack(each).sum(0) > 1).sum())
    sizes = [int(inside.sum()) for inside in each]
    assert texts(widget)[-1] == (
        f"All masks, a colour an object, in pixels: 0 disc {sizes[0]}, 1 fish {sizes[1]} and 2 star {sizes[2]}. "
        f"{shared} pixels belong to more than one: nothing forbids it."
    )
    coloured = np.ptp(frame(widget, "photograph", 1).astype(int), axis=2) > 0
    assert np.array_equal(coloured, torch.stack(each).any(0).numpy())
    assert [look.label for look in widget.trace.boxes_at("photograph", -1)] == ["0 disc 0.9", "1 fish 0.875", "2 star 0.5"]
    assert [look.role for look in widget.trace.boxes_at("photograph", -1)] == ["chosen", "candidate", "candidate"]
    assert [name for name, _ in widget.trace.panel("photograph").legend] == ["0 disc", "1 fish", "2 star"]


def test_the_background_may_come_first():
    with_background = torch.cat((torch.ones(3, 1, 28, 28), PROBABILITIES), 1)
    other = segwidgets.masks(PHOTO, BOXES, with_background, LABELS, CLASSES)
    assert texts(other) == texts(made()) and other.trace.digest == made().trace.digest


def test_of_many_classes_the_likeliest_are_shown():
    probabilities = torch.full((1, 20, 4, 4), 0.1)
    probabilities[0, 10:18] = 0.9
    widget = segwidgets.masks(PHOTO, BOXES[:1], probabilities, [1], [f"class {k}" for k in range(20)])
    names = widget.trace.panel("channels").boxes.labels
    assert list(names) == ["class 0", *(f"class {k}" for k in range(10, 18))]
    assert widget.trace.panel("channels").note == "[20, 4, 4], 9 shown"
    assert "15 more" in widget.trace.steps[1].arithmetic


def test_a_box_beside_the_picture_has_no_pixels():
    widget = segwidgets.masks(PHOTO, [[100, 100, 130, 120]], PROBABILITIES[0], [1], CLASSES, truth=TRUTH)
    assert "But the box lies outside the picture: none of its pixels is there." in texts(widget)[3]
    assert texts(widget)[4] == "The threshold makes pixels of probabilities, and here there are none."
    assert texts(widget)[5] == "No true mask overlaps it: IoU 0."


def test_a_large_photograph_is_shown_smaller():
    widget = segwidgets.masks(
        torch.rand(3, 900, 1200),
        BOXES * 15,
        PROBABILITIES,
        LABELS,
        CLASSES,
        detection=1,
        truth={"masks": TRUTH[:0].new_zeros(1, 900, 1200)},
    )
    assert widget.trace.panel("photograph").columns == 360
    assert widget.trace.boxes_at("photograph", 0)[1].place == pytest.approx(tuple(4.5 * side for side in BOXES[1].tolist()), rel=1e-4)
    assert widget.trace.panel("mask").field.boxes[0, 0, :2] == pytest.approx(4.5 * BOXES[1, :2].numpy(), rel=1e-5)
    assert widget.trace.nbytes < 1_000_000


def test_what_was_passed_stays_as_it_was_and_half_precision_is_taken():
    probabilities, boxes = PROBABILITIES.clone().requires_grad_(), BOXES.clone()
    segwidgets.masks(PHOTO, boxes, probabilities, LABELS, CLASSES)
    assert torch.equal(probabilities, PROBABILITIES) and torch.equal(boxes, BOXES)
    assert segwidgets.masks(PHOTO, BOXES.half(), PROBABILITIES.half(), LABELS, CLASSES).trace.steps


def test_it_is_small_and_always_the_same():
    assert made(truth=TRUTH).trace.digest == made(truth=TRUTH).trace.digest != made().trace.digest
    assert made(truth=TRUTH).trace.nbytes < 300_000


def with_(**given):
    whole = {"image": PHOTO, "boxes": BOXES, "probabilities": PROBABILITIES, "labels": LABELS, "classes": CLASSES}
    return segwidgets.masks(**(whole | given))


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: with_(boxes=torch.zeros(0, 4), probabilities=PROBABILITIES[:0], labels=LABELS[:0]), ValueError, "nothing was detected"),
        (lambda: with_(boxes=torch.rand(300, 4).cumsum(1)), ValueError, "boxes holds 300 detections; at most 12"),
        (lambda: with_(boxes=BOXES * torch.nan), ValueError, "boxes must be finite"),
        (lambda: with_(boxes=BOXES[:, [0, 1, 0, 3]]), ValueError, "boxes must have widths and heights above 0"),
        (lambda: with_(boxes=BOXES[:, :3]), ValueError, r"boxes must have shape \[N, 4\]"),
        (
            lambda: with_(probabilities=PROBABILITIES[:2]),
            ValueError,
            r"has the shape \[2, 4, 28, 28\]; for 3 boxes and 4 classes it is \[3, 4",
        ),
        (lambda: with_(probabilities=PROBABILITIES[:, :2]), ValueError, r"has the shape \[3, 2, 28, 28\]"),
        (lambda: with_(probabilities=PROBABILITIES[..., :27]), ValueError, "a square mask for each class"),
        (lambda: with_(probabilities=torch.rand(3, 4, 65, 65)), ValueError, "masks of 65×65 cells; the widget shows 1×1 to 64×64"),
        (lambda: with_(probabilities=PROBABILITIES * torch.nan), ValueError, "probabilities has NaN or infinite values"),
        (lambda: with_(probabilities=PROBABILITIES * 20 - 10), ValueError, "all are from 0 to 1: pass them after the sigmoid"),
        (lambda: with_(labels=[1, 2]), ValueError, r"labels are int64 \[2\]; they are whole numbers \[3\]"),
        (lambda: with_(labels=["a", "b", "c"]), TypeError, "labels are .*; they are whole numbers"),
        (lambda: with_(labels=[1, 2, 5]), ValueError, "labels holds 5; labels go from 1, the first of classes, to 4"),
        (lambda: with_(labels=[1, 2, 0]), ValueError, "labels holds 0"),
        (lambda: with_(classes="star"), ValueError, "classes is 'star'"),
        (lambda: with_(scores=[1.0]), ValueError, "scores are 1 numbers; they are 3 finite ones"),
        (lambda: with_(threshold=1.5), ValueError, "threshold is 1.5; it goes from 0.0 to 1.0"),
        (lambda: with_(truth=TRUTH[:, :30]), ValueError, r"truth has the shape \[2, 30, 80\]; true masks are \[T, 60, 80\]"),
        (lambda: with_(truth=TRUTH * 3), ValueError, "truth holds other numbers than 0 and 1"),
        (lambda: with_(truth={"boxes": BOXES}), ValueError, "truth has 'boxes'; it takes 'masks'"),
        (lambda: with_(detection=3), ValueError, "detection is 3, and there are the detections 0 to 2"),
        (lambda: made().set(channel="cat"), ValueError, "channel is 'cat'; it is one of 'its class'"),
        (lambda: made().set(detection="9 cat"), ValueError, "detection is '9 cat'"),
        (lambda: with_(image=PHOTO[:1]), ValueError, r"a picture is \[3, H, W\]"),
        (lambda: with_(treshold=0.5), TypeError, "did you mean 'threshold'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(call, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.gpu
def test_tensors_may_lie_on_a_gpu():
    given = {"boxes": BOXES, "probabilities": PROBABILITIES, "labels": LABELS, "truth": TRUTH, "scores": torch.tensor([0.9, 0.8, 0.7])}
    there = {name: tensor.cuda() for name, tensor in given.items()}
    here, there = (segwidgets.masks(image, classes=CLASSES, **tensors) for image, tensors in ((PHOTO, given), (PHOTO.cuda(), there)))
    assert texts(there) == texts(here) and there.trace.digest == here.trace.digest
