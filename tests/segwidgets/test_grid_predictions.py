"""`segwidgets.grid_predictions` by hand and against torchvision: what a cell says, which boxes stay, who answers for which object."""

import io
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torchvision.ops import batched_nms, box_convert, box_iou

import segwidgets
from course.ops.labels import label_colour
from segwidgets.grid_predictions import CLASSES, EVERY_BOX, GRIDDED, MOST_LABELLED
from segwidgets.still import MAX_STILL_BYTES, animated_png

HEIGHT, WIDTH = 96, 160  # half as high as wide, so that nobody swaps them unseen
IMAGE = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
NAMES = ("circle", "star", "ring")
FACTOR = 360 / WIDTH


def said(seed, grid=5, boxes=2, classes=3):
    """What some network says, [S, S, 5B + C]; sizes such that boxes overlap."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(grid, grid, 5 * boxes + classes, generator=generator)
    numbers[..., 5 * boxes :] = numbers[..., 5 * boxes :].mul(4).softmax(-1)
    return numbers


def decoded(numbers, boxes=2):
    """Slowly: all boxes within the picture [N, 4], their scores and their classes [N]."""
    found, scores, labels = [], [], []
    for row in range(len(numbers)):
        for column in range(len(numbers)):
            cell = numbers[row, column].tolist()
            probability = max(cell[5 * boxes :])
            for b in range(boxes):
                x, y, w, h, confidence = cell[5 * b : 5 * b + 5]
                x, y, w, h = (column + x) / len(numbers) * WIDTH, (row + y) / len(numbers) * HEIGHT, w * WIDTH, h * HEIGHT
                found.append([max(x - w / 2, 0), max(y - h / 2, 0), min(x + w / 2, WIDTH), min(y + h / 2, HEIGHT)])
                scores.append(confidence * probability)
                labels.append(cell[5 * boxes :].index(probability))
    return torch.tensor(found), torch.tensor(scores), torch.tensor(labels)


def step_with(widget, words):
    """The number of the one step that says this."""
    (found,) = [i for i, step in enumerate(widget.trace.steps) if words in step.text]
    return found


def drawn(widget, words, role):
    """The numbers of the boxes with a role after that step, and where they lie, in pixels of the picture."""
    looks = enumerate(widget.trace.boxes_at("photograph", step_with(widget, words)))
    found = [(i, look.place) for i, look in looks if look.role == role]
    return [i for i, _ in found], torch.tensor([place for _, place in found]).reshape(-1, 4) / FACTOR


def test_a_cell_says_all_its_numbers_under_the_pointer():
    numbers = said(0)
    numbers[1, 2] = torch.tensor([0.25, 0.5, 0.125, 1, 0.75, 0.1, 0.2, 0.3, 0.4, 0.504, 0.7, 0, 0.3])
    field = segwidgets.grid_predictions(IMAGE, numbers, classes=NAMES).trace.panel("scores").field
    assert field.texts[5 + 2] == (
        "x, y, w, h, confidence: box 0 0.25, 0.5, 0.12, 1, 0.75; box 1 0.1, 0.2, 0.3, 0.4, 0.5; circle 0.7, star 0, ring 0.3"
    )
    assert len(field.texts) == 25
    many = segwidgets.grid_predictions(IMAGE, said(0, classes=20), classes=[f"class {c}" for c in range(20)]).trace.panel("scores").field
    assert many.texts[0].count("class ") == 8  # the likeliest


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("least", "nms_threshold"), [(0.2, 0.5), (0.0, 0.3), (0.35, 0.0), (0.3, 1.0)])
def test_what_scores_enough_and_what_stays_is_what_torchvision_says(seed, least, nms_threshold):
    numbers = said(seed)
    widget = segwidgets.grid_predictions(IMAGE, numbers, classes=NAMES, score_threshold=least, nms_threshold=nms_threshold)
    boxes, scores, labels = decoded(numbers)
    found = (scores > least).nonzero()[:, 0]
    kept = found[batched_nms(boxes[found], scores[found], labels[found], nms_threshold)]
    above, _ = drawn(widget, "of 50 boxes", "write")
    assert above == found.tolist()
    stay, places = drawn(widget, "A box goes if", "chosen")
    assert stay == sorted(kept.tolist())
    places = torch.stack((places[:, 0].clamp(0), places[:, 1].clamp(0), places[:, 2].clamp(max=WIDTH), places[:, 3].clamp(max=HEIGHT)), 1)
    torch.testing.assert_close(places, boxes[stay], rtol=0, atol=1e-2)
    assert drawn(widget, "A box goes if", "suppressed")[0] == sorted(set(found.tolist()) - set(kept.tolist()))
    gone = len(found) - len(kept)
    goes, stays = "goes" if gone == 1 else "go", "stays" if len(kept) == 1 else "stay"
    assert widget.trace.steps[step_with(widget, "A box goes if")].text.endswith(f"{gone} {goes}, {len(kept)} {stays}.")
    labelled = [look.label for look in widget.trace.boxes_at("photograph", step_with(widget, "A box goes if")) if look.label]
    assert len(labelled) == (len(kept) if len(kept) <= MOST_LABELLED else 0)


def by_hand():
    """Two by two cells on 100 × 100 pixels. Row 0, column 1: box 1 around x 75, y 10, 40 wide and 20 high. All else is unlikely."""
    numbers = torch.zeros(2, 2, 13)
    numbers[..., 2:4], numbers[..., 7:9] = 0.1, 0.1
    numbers[..., 10:] = torch.tensor([0.5, 0.25, 0.25])
    numbers[0, 1, 5:] = torch.tensor([0.5, 0.2, 0.4, 0.2, 0.8, 0.0, 1.0, 0.0])
    return torch.full((3, 100, 100), 0.5), numbers


def test_the_steps_of_a_cell_by_hand(shown):
    image, numbers = by_hand()
    truth = {"boxes": torch.tensor([[55.0, 0, 95, 40], [60, 10, 70, 20]]), "labels": torch.tensor([2, 1])}
    widget = segwidgets.grid_predictions(image, numbers, classes=NAMES, truth=truth)
    assert [step.text for step in widget.trace.steps] == [
        "The picture falls into 2 × 2 cells, and the network looks once. Each cell says 2 boxes, 5 numbers each, and 3 class "
        "probabilities: 13 numbers, 52 in all. Click a cell.",
        "Row 0, column 1: box 1 has its centre at x 0.5, y 0.2 of the cell and is 0.4 × 0.2 of the picture, confidence 0.8. Most likely a "
        "star, 1: score 0.8.",
        "Each cell in the colour of its likeliest class, if there is an object: circle in 3 and star in 1. Whether there is one, the "
        "confidences say.",
        "All 8 boxes, the surer the thicker: 1 with a confidence of at least 0.5, the highest 0.8. Confidence × class is the score.",
        "1 of 8 boxes scores above 0.2, the best a star with 0.8.",
        "A box goes if it overlaps a better one of its class by more than 0.5: 0 go, 1 stays.",
        "The cell (row, column) with an object's centre answers for it: (0, 1) for the star. The circle is lost: its cell answers for "
        "another.",
        "1 of 2 objects is found, by a box of their class with an IoU of at least 0.5.",
        "Row 0, column 1, a star with 1: box 0, score 0, is not above 0.2; box 1, score 0.8, stays. It answers for the star: by box 1, IoU "
        "0.5.",
    ]  # 40 × 20 of 40 × 40
    assert widget.trace.steps[0].arithmetic == "2 × 2 × (5 × 2 + 3) = 52"
    assert widget.trace.steps[1].arithmetic == "(1 + 0.5) / 2 × 100 = 75,  (0 + 0.2) / 2 × 100 = 10;  0.8 × 1 = 0.8"
    assert widget.trace.steps[7].arithmetic == "best IoU of each object: 0.5, 0"
    assert shown(widget, "numbers")[:, 0].tolist() == pytest.approx([0, 0.8, 0, 1, 0])
    assert shown(widget, "scores").tolist() == [[0, pytest.approx(0.8)], [0, 0]] and shown(widget, "scores", 2).isnan().all()
    (place,) = (look.place for look in widget.trace.boxes_at("photograph", 5) if look.role == "chosen")
    assert place == pytest.approx([side * 3.6 for side in (55, 0, 95, 20)])
    assert widget.trace.steps[6].marks["photograph"]["truth"] == [(180, 0, 360, 180)]
    looks = widget.trace.boxes_at("photograph", 6)[8:]
    assert [(look.role, look.label) for look in looks] == [("truth", "star, IoU 0.5"), ("wrong", "circle, lost")]
    assert [look.label for look in widget.trace.boxes_at("photograph", 7)[8:]] == ["", "circle, missed"]


def test_a_click_reads_out_another_cell():
    image, numbers = by_hand()
    widget = segwidgets.grid_predictions(image, numbers, classes=NAMES, truth=[[55.0, 0, 95, 40]])
    assert widget.values == {"cell": (0, 1), "score_threshold": 0.2, "nms_threshold": 0.5}
    widget.set(cell=(1, 0))
    assert widget.trace.steps[1].text.startswith("Row 1, column 0: box 0 has its centre at x 0, y 0 of the cell and is 0.1 × 0.1")
    assert widget.trace.steps[-1].text.endswith(" It holds no object's centre: confidence 0 would be right.")
    assert [look.role for look in widget.trace.boxes_at("photograph", 1)] == [*[None] * 4, "chosen", "write", None, None, None]
    widget.set(score_threshold=0.8)
    assert "0 of 8 boxes score above 0.8: nothing is detected." in [step.text for step in widget.trace.steps]
    with pytest.raises(ValueError, match="a row from 0 to 1"):
        widget.set(cell=(2, 0))


@pytest.mark.parametrize("seed", [3, 4])
def test_the_cell_with_the_centre_answers_by_its_best_box(seed):
    numbers, generator = said(seed), torch.Generator().manual_seed(seed)
    centres, sides = torch.rand(6, 2, generator=generator), 0.1 + 0.4 * torch.rand(6, 2, generator=generator)
    inside = torch.maximum(torch.minimum(centres, 1 - sides / 2), sides / 2)
    truth = box_convert(torch.cat((inside, sides), 1) * torch.tensor([WIDTH, HEIGHT] * 2), "cxcywh", "xyxy")
    widget = segwidgets.grid_predictions(IMAGE, numbers, classes=NAMES, truth=truth)
    first = {}
    for t, (x, y) in enumerate(inside.tolist()):
        first.setdefault((int(y * 5), int(x * 5)), t)
    whole = box_convert(
        torch.tensor(
            [
                [(column + x) / 5 * WIDTH, (row + y) / 5 * HEIGHT, w * WIDTH, h * HEIGHT]
                for row in range(5)
                for column in range(5)
                for x, y, w, h, _ in numbers[row, column, :10].reshape(2, 5).tolist()
            ]
        ),
        "cxcywh",
        "xyxy",
    )
    expected = [2 * (5 * row + column) for row, column in first]
    expected = [at + int(box_iou(whole[at : at + 2], truth[t][None]).argmax()) for at, t in zip(expected, first.values(), strict=True)]
    assert drawn(widget, "object's centre answers", "write")[0] == sorted(expected)
    assert drawn(widget, "object's centre answers", "wrong")[0] == [50 + t for t in range(6) if t not in first.values()]


def test_a_centre_on_a_border_belongs_to_the_cell_right_and_below_and_on_the_edge_to_the_last():
    image, numbers = by_hand()
    for box, cell in (([40, 40, 60, 60], (1, 1)), ([90, 0, 110, 20], (0, 1)), ([49, 49, 50.9, 50.9], (0, 0))):
        widget = segwidgets.grid_predictions(image, numbers, classes=NAMES, truth=[box])
        assert f"({cell[0]}, {cell[1]}) for object 0" in widget.trace.steps[6].text
    widget = segwidgets.grid_predictions(image, numbers, classes=NAMES, truth=[[-50, -50, 150, 150]])  # larger than the picture
    assert "(1, 1) for object 0" in widget.trace.steps[6].text


def test_targets_say_who_answers():
    image, numbers = by_hand()
    truth = [[55.0, 0, 95, 40], [60, 10, 70, 20]]
    table = torch.tensor([[-1, 1], [0, -1]])
    widget = segwidgets.grid_predictions(image, numbers, classes=NAMES, truth=truth, targets=SimpleNamespace(objects=table))
    assert "(1, 0) for object 0 and (0, 1) for object 1" in widget.trace.steps[6].text
    assert "lost" not in widget.trace.steps[6].text


def test_a_box_of_another_class_does_not_find_the_object():
    image, numbers = by_hand()
    for label, found in ((2, "1 of 1 object is found"), (1, "0 of 1 object is found")):
        truth = {"boxes": torch.tensor([[55.0, 0, 95, 20]]), "labels": torch.tensor([label])}
        widget = segwidgets.grid_predictions(image, numbers, classes=NAMES, truth=truth)
        assert widget.trace.steps[7].text.startswith(found)
        assert ("1 box on no object" in widget.trace.steps[7].text) == (label == 1)


def test_without_objects_all_is_wrong_and_without_truth_nothing_is_said_of_them():
    image, numbers = by_hand()
    empty = segwidgets.grid_predictions(image, numbers, classes=NAMES, truth=torch.zeros(0, 4))
    assert empty.trace.steps[6].text == "There is no object in this picture: all that stays, 1 box, is wrong."
    unknown = segwidgets.grid_predictions(image, numbers, classes=NAMES)
    assert len(unknown.trace.steps) == 7 and "object" not in unknown.trace.steps[-1].text


def test_the_photograph_wears_the_classes_and_then_the_boxes():
    image, numbers = by_hand()
    widget = segwidgets.grid_predictions(image, numbers, classes=NAMES)
    assert [widget.trace.frame_at("photograph", step) for step in range(6)] == [GRIDDED, GRIDDED, CLASSES, EVERY_BOX, GRIDDED, GRIDDED]
    frames = [frame.pixels.astype(int) for frame in widget.trace.panel("photograph").frames]
    assert frames[GRIDDED].shape == (360, 360, 3) and (frames[GRIDDED][180] > 128).all() and (frames[GRIDDED][90, 90] == 128).all()
    for cell, label in (((90, 90), 1), ((90, 270), 2), ((270, 270), 1)):
        assert abs(frames[CLASSES][cell] - (0.45 * 128 + 0.55 * torch.tensor(label_colour(label)).numpy())).max() <= 1
    assert (frames[EVERY_BOX][30, 198:203] == label_colour(2)).all() and (frames[EVERY_BOX][30, 204] != label_colour(2)).any()  # 5.6 wide


def test_a_cell_that_names_no_class_wears_no_colour():
    """As perfect predictions have it, where there is no object."""
    image, numbers = by_hand()
    numbers[1, 0, 10:] = 0
    widget = segwidgets.grid_predictions(image, numbers, classes=NAMES, cell=(1, 0))
    assert (
        "No class is likely: score 0." in widget.trace.steps[1].text
        and "circle in 2, star in 1 and none in 1." in widget.trace.steps[2].text
    )
    assert widget.trace.steps[-1].text.startswith("Row 1, column 0, no class: box 0, score 0, is not above 0.2;")
    gridded, coloured = (frame.pixels for frame in widget.trace.panel("photograph").frames[:2])
    assert (coloured[190:, :170] == gridded[190:, :170]).all() and (coloured[190:, 190:] != gridded[190:, 190:]).any()


def test_predict_may_be_a_function_which_is_called_once():
    image, numbers = by_hand()
    calls = []

    def predict(given):
        calls.append((tuple(given.shape), torch.is_grad_enabled()))
        return numbers[None]

    widget = segwidgets.grid_predictions(image, predict, classes=NAMES)
    widget.set(score_threshold=0.5)
    assert calls == [((3, 100, 100), False)]
    assert repr(segwidgets.grid_predictions(image, numbers, classes=NAMES, score_threshold=0.5)) == repr(widget)
    before = repr(widget)
    numbers.zero_()
    widget.set(score_threshold=0.5)
    assert repr(widget) == before  # what was given stays what it was


def test_the_same_call_gives_the_same_animation_and_a_still_is_small():
    truth = {"boxes": torch.tensor([[10.0, 10, 60, 50]]), "labels": torch.tensor([1])}
    numbers = said(5, 7, 2, 20)
    names = [f"class {k}" for k in range(20)]
    one, other = (segwidgets.grid_predictions(IMAGE, numbers, classes=names, truth=truth) for _ in range(2))
    assert repr(one) == repr(other) and one.trace.nbytes < 300_000
    assert len(one.trace.panel("numbers").labels) == 2 + 8
    data = animated_png(one.trace)[0]
    assert len(data) <= MAX_STILL_BYTES and Image.open(io.BytesIO(data)).n_frames >= 4


def refused(**changed):
    given = {"image": IMAGE, "predict": said(6), "classes": NAMES} | changed
    return segwidgets.grid_predictions(given.pop("image"), given.pop("predict"), **given)


@pytest.mark.parametrize(
    ("changed", "kind", "sentence"),
    [
        ({"predict": torch.rand(5, 4, 13)}, ValueError, r"predict has the shape \[5, 4, 13\]; it is \[S, S, 5B \+ C\]"),
        ({"predict": torch.rand(2, 5, 5, 13)}, ValueError, "of one picture"),
        ({"predict": lambda image: torch.rand(5, 5)}, ValueError, r"what predict returned has the shape \[5, 5\]"),
        ({"predict": lambda image: None}, TypeError, "what predict returned"),
        ({"predict": torch.rand(5, 5, 14)}, ValueError, "14 numbers a cell, and classes names 3; .* without the background"),
        ({"classes": ("a", "b", "c", "d")}, ValueError, "13 numbers a cell, and classes names 4"),
        ({"classes": "abc"}, ValueError, "classes is 'abc'"),
        ({"classes": (1, 2, 3)}, ValueError, "classes is"),
        ({"predict": torch.rand(21, 21, 13)}, ValueError, "21 × 21 cells; a grid of at most 20 × 20"),
        ({"predict": torch.full((5, 5, 13), torch.nan)}, ValueError, "NaN or infinite"),
        ({"predict": said(6) - 0.5}, ValueError, "predict is −0.265 at row 0, column 0, place 4; all are shares, from 0 to 1"),
        ({"truth": [[1, 2, 3]]}, ValueError, "truth must have shape"),
        ({"truth": [[200, 2, 230, 8]]}, ValueError, "truth must reach into it, 160 pixels wide"),
        ({"truth": [[5, 5, 5, 9]]}, ValueError, "truth must have widths and heights above 0"),
        ({"truth": {"labels": [1]}}, ValueError, "truth has 'labels'; it takes 'boxes'"),
        (
            {"truth": {"boxes": [[1, 1, 9, 9]], "labels": [1, 2]}},
            ValueError,
            r"truth's labels are int64 \[2\]; they are whole numbers \[1\]",
        ),
        ({"truth": {"boxes": [[1, 1, 9, 9]], "labels": [4]}}, ValueError, "truth has the label 4; labels go from 1, .* to 3"),
        ({"truth": [[1, 1, 9, 9]] * 13}, ValueError, "truth holds 13 boxes"),
        ({"targets": torch.zeros(5, 5)}, ValueError, r"pass truth= too"),
        ({"targets": torch.zeros(5, 5), "truth": [[1, 1, 9, 9]]}, ValueError, r"targets' objects are float32 \[5, 5\]"),
        ({"targets": torch.ones(5, 5, dtype=torch.int64), "truth": [[1, 1, 9, 9]]}, ValueError, "targets' objects hold 1"),
        ({"score_threshold": 1.5}, ValueError, "score_threshold is 1.5; it goes from 0.0 to 1.0"),
        ({"cell": (5, 0)}, ValueError, "a row from 0 to 4"),
        ({"image": torch.rand(2, 5, 5)}, ValueError, r"a picture is \[3, H, W\]"),
        ({"truths": 3}, TypeError, "did you mean 'truth'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(changed, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        refused(**changed)
    assert "\n" not in str(error.value)
