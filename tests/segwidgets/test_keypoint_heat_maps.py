"""`segwidgets.keypoint_heat_maps` against torchvision's decoding and the course's; cells and pixels by hand; ties, bad inputs."""

import math

import numpy as np
import pytest
import torch
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

import segwidgets
from course.ops.keypoints import decode_keypoints
from segwidgets.live import Live

DRAW = torch.Generator().manual_seed(0)
PHOTO = torch.rand(3, 60, 80, generator=DRAW)
BOX = torch.tensor([10.5, 8.2, 41.9, 52.7])
MAPS = torch.randn(4, 14, 14, generator=DRAW) * 4
NAMES = ["head", "left_hand", "right_hand", "tail"]
SKELETON = [(0, 1), (0, 2), (1, 3)]
TRUTH = torch.tensor([[20.0, 15, 2], [30, 40, 1], [60, 30, 2], [0, 0, 0]])


def made(**given):
    return segwidgets.keypoint_heat_maps(**{"image": PHOTO, "box": BOX, "maps": MAPS, "names": NAMES, "skeleton": SKELETON} | given)


def small(logits, box=(2, 2, 10, 6), **given):
    """One joint on a map of as many cells as are given, on a photograph of 8 × 12 pixels."""
    return segwidgets.keypoint_heat_maps(torch.full((3, 8, 12), 0.5), box, torch.tensor([logits]), ["nose"], **given)


def texts(widget):
    return [step.text for step in widget.trace.steps]


def told(widget, word):
    (step,) = [step for step in widget.trace.steps if word in step.text]
    return step


def frame(widget, panel, number):
    return widget.trace.panel(panel).frames[number].pixels.astype(int)


def near(pixels, x, y, colour):
    """Whether the picture as shown has a colour at a place, up to what a finer pixel may mix in."""
    return np.abs(pixels[round(y), round(x)] - colour).max() <= 12


VERMILION, ORANGE, GREEN = (0xD5, 0x5E, 0x00), (0xE6, 0x9F, 0x00), (0x00, 0x9E, 0x73)


@pytest.mark.parametrize("j", range(4))
def test_every_joint_is_where_torchvision_puts_it(j):
    widget = made(joint=NAMES[j])
    theirs, _ = heatmaps_to_keypoints(MAPS[None], BOX[None])  # [1, J, 3]
    ours, _ = decode_keypoints(MAPS[None], BOX[None])
    torch.testing.assert_close(ours, theirs)
    x, y = theirs[0, j, :2].tolist()
    assert f"x = {x:.3g}, y = {y:.3g}" in told(widget, "Between cells").text
    # On the photograph, which is shown 4.5 times as large, there is a dot of the chosen joint's colour.
    assert near(frame(widget, "photograph", 2), x * 4.5 - 0.5, y * 4.5 - 0.5, VERMILION)


def test_the_softmax_and_the_cell_are_torchs(shown):
    widget = made(joint="left_hand")
    expected = MAPS[1].flatten().softmax(0).view(14, 14)
    torch.testing.assert_close(shown(widget, "probability"), expected)
    assert torch.equal(shown(widget, "map"), MAPS[1])
    assert not widget.trace.values_at("probability", 1)[0, 0] > 0  # it begins empty
    row, column = divmod(int(MAPS[1].argmax()), 14)
    assert told(widget, "highest is at").marks["probability"]["chosen"] == [(row, column)]
    x, y = 10.5 + (column + 0.5) * 31.4 / 14, 8.2 + (row + 0.5) * 44.5 / 14
    step = told(widget, "so a cell is")
    assert step.text == (
        f"The box is 31.4 × 44.5 pixels, so a cell is 2.24 × 3.18, and the middle of row {row}, column {column} lies at x = {x:.3g}, "
        f"y = {y:.3g}."
    )
    assert step.arithmetic == (f"x = 10.5 + ({column} + ½) × 31.4 / 14 = {x:.3g};  y = 8.2 + ({row} + ½) × 44.5 / 14 = {y:.3g}")
    total = math.log(float(MAPS[1].double().exp().sum()))
    term = told(widget, "softmax").terms["probability"][3, 4]
    power = float(term.removeprefix("exp(").removesuffix(")").replace("−", "-"))
    assert math.exp(power) == pytest.approx(float(expected[3, 4]), rel=0.01)
    high = float(MAPS[1].max())
    assert told(widget, "softmax").arithmetic == (
        f"exp({high:.2f} − {total:.2f}) = {float(expected.max()):.3g}, where {total:.2f} = log Σ exp(logit)"
    )


def test_a_cell_by_hand():
    """A map of 2 × 2 in a box of 8 × 4 pixels at (2, 2): the lower-left cell's middle is a quarter and three quarters into it."""
    widget = small([[0.0, 0.0], [math.log(2), 0.0]])
    assert isinstance(widget, segwidgets.Player) and not isinstance(widget, Live)  # nothing to choose
    assert texts(widget)[:5] == [
        "Whatever the size of the box, the keypoint head makes a map of 2 × 2 cells for one joint, the nose.",
        "The map of the nose holds logits, here from 0 to 0.693: the higher, the surer. Point at a cell to see where it lies.",
        "The joint is in one cell and no other, so the 4 cells are like classes: a softmax over all of them makes probabilities that sum "
        "to 1. The highest gets 0.4.",
        "The highest is at row 1, column 0. With its neighbours it has 1 of the 1, and no other peak comes near.",
        "The box is 8 × 4 pixels, so a cell is 4 × 2, and the middle of row 1, column 0 lies at x = 4, y = 5.",
    ]
    assert told(widget, "so a cell is").arithmetic == "x = 2 + (0 + ½) × 8 / 2 = 4;  y = 2 + (1 + ½) × 4 / 2 = 5"
    # With its surroundings the box takes 9.92 pixels, so 10 are shown, columns 1 to 10, 36 times as large. The cell: x 2 to 6, y 4 to 6.
    assert told(widget, "so a cell is").marks["joint"]["chosen"] == [(36.0, 144.0, 180.0, 216.0)]
    assert widget.trace.panel("map").field.boxes[1, 0].tolist() == [36.0, 144.0, 180.0, 216.0]
    assert texts(widget)[-1] == "The nose, on the photograph."


def test_of_equal_cells_the_first_counts():
    widget = small([[1.0, 3.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 3.0]])
    assert texts(widget)[3] == (
        "3 cells are equally high; the first counts, row 0, column 1. The others: row 2, column 0 and row 2, column 2."
    )
    flat = small([[0.0] * 4] * 4)
    assert texts(flat)[3].startswith("16 cells are equally high; the first counts, row 0, column 0. The others: row 0, column 1,")
    assert texts(flat)[3].endswith("row 0, column 3 and 12 more.")


def test_a_second_peak_is_told():
    logits = [[0.0] * 5 for _ in range(5)]
    logits[0][0], logits[4][3], logits[0][1] = 5.0, 4.0, 4.9  # beside the highest is no peak
    widget = small(logits)
    total = math.exp(5) + math.exp(4) + math.exp(4.9) + 22
    second = round(math.exp(4) / total, 3)
    assert texts(widget)[3] == (
        f"The highest is at row 0, column 0. There is a second peak, row 4, column 3, with {second:.3g}: the head is undecided."
    )
    assert widget.trace.steps[3].marks["map"] == {"chosen": [(0, 0)], "candidate": [(4, 3)]}
    logits[4][3] = 5 - math.log(11)  # less than a tenth
    assert "no other peak" in texts(small(logits))[3]


def test_joints_come_one_after_another_and_a_skeleton_joins_them():
    plain, some, whole = (frame(made(joint="left_hand"), "photograph", k) for k in range(3))
    points = decode_keypoints(MAPS[None], BOX[None])[0][0, :, :2].numpy() * 4.5 - 0.5
    assert near(some, *points[0], ORANGE) and near(some, *points[1], VERMILION)
    for later in points[2:]:
        assert near(whole, *later, ORANGE) and not near(some, *later, ORANGE)
    assert near(some, *((points[0] + points[1]) / 2), ORANGE)
    assert near(whole, *((points[1] + points[3]) / 2), ORANGE) and not near(some, *((points[1] + points[3]) / 2), ORANGE)
    loose = frame(made(joint="left_hand", skeleton=()), "photograph", 2)
    assert not near(loose, *((points[0] + points[1]) / 2), ORANGE)
    untouched = (some == plain).all(-1)
    assert untouched.mean() > 0.9  # and nothing else has changed


def test_the_truth_is_green_and_its_distance_told():
    widget = made(truth=TRUTH, joint="left_hand")
    points = decode_keypoints(MAPS[None], BOX[None])[0][0, :, :2]
    distances = (points - TRUTH[:, :2]).norm(dim=1)
    step = told(widget, "In truth")
    assert step.text == f"In truth it is at x = 30, y = 40, hidden behind something: {round(float(distances[1]), 2):.3g} pixels away."
    assert step.arithmetic.endswith(f" = {float(distances[1]):.3g}")
    panel = widget.trace.panel("joint")
    scale = panel.columns / (int(panel.note.strip("[]").split(", ")[1]))
    left = float(BOX[0]) - widget.trace.boxes_at("joint", 0)[0].place[0] / scale
    top = float(BOX[1]) - widget.trace.boxes_at("joint", 0)[0].place[1] / scale
    assert near(frame(widget, "joint", 3), (30 - left) * scale - 0.5, (40 - top) * scale - 0.5, GREEN)
    assert texts(widget)[-1].endswith(f"From 3 true places, the mean distance is {round(float(distances[:3].mean()), 2):.3g} pixels.")
    assert "chosen" not in dict(widget.trace.steps[-1].spans).values()  # a mean is of no joint, and has no joint's colour
    assert "It lies outside the box, where no cell could say it." in told(made(truth=TRUTH, joint="right_hand"), "In truth").text
    assert "nobody knows: its visibility is 0" in texts(made(truth=TRUTH, joint="tail"))[6]
    assert len(texts(made())) == 7  # no truth, no such step
    plain = made(truth=TRUTH[:3, :2], maps=MAPS[:3], names=NAMES[:3], skeleton=(), joint="right_hand")
    assert "3 true places" in texts(plain)[-1]
    assert texts(made(truth={"keypoints": TRUTH[None]})) == texts(made(truth=TRUTH))


def test_choosing_another_joint():
    widget = made(truth=TRUTH)
    widget.set(joint="tail")
    assert texts(widget) == texts(made(truth=TRUTH, joint="tail"))
    assert "the tail" in texts(widget)[0]


@pytest.mark.parametrize("box", [(-20.0, -10, 20, 30), (60.0, 40, 120, 90), (100.0, 100, 140, 160)])
def test_a_box_may_reach_beyond_the_picture(box):
    widget = made(box=box, truth=TRUTH)
    points, _ = decode_keypoints(MAPS[None], torch.tensor([box]))
    x, y = points[0, 0, :2].tolist()
    outside = not (0 <= x <= 80 and 0 <= y <= 60)
    assert told(widget, "Between cells").text.endswith(" That is outside the picture." if outside else "the cell.")
    assert f"x = {x:.3g}".replace("-", "−") in told(widget, "Between cells").text


def test_a_box_narrower_than_a_pixel():
    assert "resized to the box, 1 × 4 pixels" in told(small([[0.0, 1.0]] * 2, box=(2, 2, 2.25, 6)), "Between cells").text


def test_what_was_passed_stays_as_it_was_and_half_precision_is_taken():
    maps, box = MAPS.clone().requires_grad_(), BOX.clone()
    made(maps=maps, box=box[None])
    assert torch.equal(maps, MAPS) and torch.equal(box, BOX)
    assert made(maps=MAPS[None].half(), box=BOX.half()).trace.steps


def test_it_is_small_and_always_the_same():
    maps = torch.randn(17, 56, 56, generator=torch.Generator().manual_seed(1))
    given = {"maps": maps, "names": [f"joint {j}" for j in range(17)], "truth": torch.rand(17, 2) * 50}
    assert made(**given).trace.digest == made(**given).trace.digest
    assert made(**given).trace.nbytes < 600_000  # with a photograph that is nothing but noise


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        ({"maps": MAPS * torch.nan}, ValueError, "maps has NaN or infinite values"),
        ({"maps": MAPS[:3]}, ValueError, r"maps has the shape \[3, 14, 14\]; for 4 names it is \[4, S, S\]"),
        ({"maps": MAPS[..., :13]}, ValueError, "a square map for each joint"),
        ({"maps": MAPS[:, :0, :0]}, ValueError, "maps has 0×0 cells; the widget shows 1×1 to 64×64"),
        ({"maps": torch.zeros(4, 65, 65)}, ValueError, "maps has 65×65 cells"),
        ({"maps": "MAPS"}, TypeError, "maps is str"),
        ({"box": BOX[:3]}, ValueError, r"box has the shape \[3\]; it is one box"),
        ({"box": torch.rand(2, 4)}, ValueError, r"box has the shape \[2, 4\]; it is one box"),
        ({"box": BOX * torch.nan}, ValueError, "box must be finite"),
        ({"box": BOX[[2, 1, 0, 3]]}, ValueError, "box must have widths and heights above 0"),
        ({"box": (0, 0, 1e6, 1e6)}, ValueError, "4 megapixels can be shown"),
        ({"names": "head"}, ValueError, "names is 'head'; it takes the names of the joints"),
        ({"names": []}, ValueError, "names is "),
        ({"names": ["a", "b", "a", "c"]}, ValueError, "names holds 'a' twice"),
        ({"names": [str(j) for j in range(25)]}, ValueError, "names holds 25 joints; at most 24"),
        ({"skeleton": [(0, 4)]}, ValueError, r"skeleton joins \(0, 4\), and there are the joints 0 to 3"),
        ({"skeleton": [0, 1]}, ValueError, "skeleton is .*; it takes pairs of joints"),
        ({"truth": TRUTH[:3]}, ValueError, r"truth has the shape \[3, 3\]; the joints of one person are \[4, 3\]"),
        ({"truth": TRUTH * torch.inf}, ValueError, "truth has NaN or infinite values"),
        ({"truth": {"boxes": BOX}}, ValueError, "truth has 'boxes'; it takes 'keypoints'"),
        ({"joint": "hand"}, ValueError, "joint is 'hand'; it is one of 'head', 'left_hand'"),
        ({"image": PHOTO[:1]}, ValueError, r"a picture is \[3, H, W\]"),
        ({"skelton": []}, TypeError, "did you mean 'skeleton'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(given, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        made(**given)
    assert "\n" not in str(error.value)


@pytest.mark.gpu
def test_tensors_may_lie_on_a_gpu():
    given = {"image": PHOTO, "box": BOX, "maps": MAPS, "truth": TRUTH}
    here, there = made(**given), made(**{name: tensor.cuda() for name, tensor in given.items()})
    assert texts(there) == texts(here) and there.trace.digest == here.trace.digest
