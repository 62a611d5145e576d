"""`segwidgets.default_boxes` against torchvision: where the default boxes lie, what they overlap, and which of them match."""

import io
import re

import pytest
import torch
from PIL import Image
from torchvision.models.detection._utils import SSDMatcher
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou

import segwidgets
from segwidgets.default_boxes import MOST_DRAWN
from segwidgets.still import MAX_STILL_BYTES, animated_png

HEIGHT, WIDTH = 90, 180  # half as high as wide, so that nobody swaps them unseen
IMAGE = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
MAPS, RATIOS, SCALES = [(6, 12), (3, 6), (1, 2)], [[2], [2, 3], [2]], [0.2, 0.5, 0.8, 1.0]
TRUTH = [40.0, 10, 110, 60]
FIRST = [0, 6 * 12 * 4, 6 * 12 * 4 + 3 * 6 * 6]  # of each level's boxes


def generated():
    """torchvision's default boxes, all levels in a row. [N, 4]"""
    maps = [torch.zeros(1, 1, *size) for size in MAPS]
    (boxes,) = DefaultBoxGenerator(RATIOS, scales=SCALES)(ImageList(torch.zeros(1, 3, HEIGHT, WIDTH), [(HEIGHT, WIDTH)]), maps)
    return boxes


def shown_widget(**changed):
    given = {"truth": TRUTH} | changed
    return segwidgets.default_boxes(IMAGE, (HEIGHT, WIDTH), MAPS, RATIOS, SCALES, **given)


def places(widget, role, step=-1):
    """Of the default boxes with a role, in pixels of the picture."""
    looks = widget.trace.boxes_at("photograph", step)[1:]
    return torch.tensor([look.place for look in looks if look.role == role]).reshape(-1, 4) / 2


def same_boxes(shown, expected):
    """The same boxes, whatever their order."""
    assert len(shown) == len(expected)
    if len(shown):
        distance = (shown[:, None] - expected).abs().amax(-1)
        assert distance.amin(0).max() < 1e-2 and distance.amin(1).max() < 1e-2


@pytest.mark.parametrize("truth", [TRUTH, [3.0, 3, 20, 30], [0.0, 0, 180, 90], [100.0, 50, 101, 52], [60.0, 20, 90, 80]])
@pytest.mark.parametrize("threshold", [0.5, 0.3, 0.85])
def test_what_matches_is_what_torchvision_matches(truth, threshold, shown):
    widget = shown_widget(truth=truth, iou_threshold=threshold)
    boxes = generated()
    overlap = box_iou(torch.tensor([truth]), boxes)  # [1, N]
    matches = (SSDMatcher(threshold)(overlap) >= 0).nonzero()[:, 0]
    of_level = [int(((matches >= first) & (matches < after)).sum()) for first, after in zip(FIRST, [*FIRST[1:], len(boxes)], strict=True)]
    assert shown(widget, "matches")[:, 0].tolist() == of_level
    assert widget.trace.steps[-1].arithmetic == f"{' + '.join(map(str, of_level))} = {sum(of_level)}"
    best_first = matches[overlap[0, matches].argsort(descending=True)][:MOST_DRAWN]
    same_boxes(places(widget, "chosen"), boxes[best_first[:1]])
    if len(matches) <= MOST_DRAWN:
        same_boxes(places(widget, "truth"), boxes[best_first[1:]])
    assert ("matches all the same" in widget.trace.steps[-1].text) == bool(overlap.max() < threshold)
    for level, (first, after, size) in enumerate(zip(FIRST, [*FIRST[1:], len(boxes)], MAPS, strict=True)):
        table = overlap[0, first:after].reshape(*size, -1)
        torch.testing.assert_close(shown(widget, f"level {level}"), table.amax(-1), rtol=0, atol=5.1e-4)
        assert shown(widget, f"level {level}", level).isnan().all()
        field = torch.as_tensor(widget.trace.panel(f"level {level}").field.boxes).float() / 2
        expected = boxes[first:after].reshape(*size, -1, 4).take_along_dim(table.argmax(-1)[..., None, None], 2)[:, :, 0]
        torch.testing.assert_close(field, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_level_s_step_shows_its_shapes_where_they_fit_best(level):
    widget, boxes = shown_widget(), generated()
    overlap = box_iou(torch.tensor([TRUTH]), boxes)[0]
    rows, columns = MAPS[level]
    count = 2 + 2 * len(RATIOS[level])
    here = slice(FIRST[level], FIRST[level] + rows * columns * count)
    best = int(overlap[here].argmax())
    there = boxes[here].reshape(-1, count, 4)[best // count]
    both = torch.cat((places(widget, "candidate", 1 + level), places(widget, "chosen", 1 + level)))
    same_boxes(both, there)
    same_boxes(places(widget, "chosen", 1 + level), boxes[here][best][None])
    step = widget.trace.steps[1 + level]
    assert step.marks[f"level {level}"]["chosen"] == [divmod(best // count, columns)]
    dots = torch.tensor(step.marks["photograph"]["candidate"])
    centres = boxes[here].reshape(rows * columns, count, 4)[:, 0]
    torch.testing.assert_close((dots[:, :2] + dots[:, 2:]) / 4, (centres[:, :2] + centres[:, 2:]) / 2, rtol=0, atol=1e-3)


def test_one_place_by_hand():
    """One place, one level: a square of 40 pixels, one of √(0.4 · 0.9) = 0.6, and 0.4 √4 = 0.8 wide and 0.2 high, and upright."""
    widget = segwidgets.default_boxes(torch.zeros(3, 100, 100), 100, [1], [[4]], [0.4, 0.9], truth=[0, 40, 100, 60])
    assert [step.text for step in widget.trace.steps] == [
        "4 default boxes on 1 map, the small ones on the finest. Which are to find the object, 100 × 20 pixels? Those with an IoU of at "
        "least 0.5, and the best in any case. Drag it.",
        "Level 0, 1 × 1 places, scale 0.4: 4 boxes at each, drawn where they fit best, with IoU 0.8. 1 of 4 matches.",
        "1 default box matches, of level 0, with IoU 0.8.",
    ]  # 80 × 20 of 100 × 20
    assert widget.trace.steps[1].arithmetic == "at each place: 40 × 40, 60 × 60, 80 × 20, 20 × 80 pixels"
    widget.set(iou_threshold=0.85)
    assert widget.trace.steps[-1].text == "No default box reaches an IoU of 0.85: the best, of level 0 with 0.8, matches all the same."
    assert [look.label for look in widget.trace.boxes_at("photograph", -1)][:1] == ["object"]


def test_the_object_is_dragged_and_the_level_chosen():
    widget = shown_widget()
    assert widget.values == {"truth": (80.0, 20.0, 220.0, 120.0), "iou_threshold": 0.5, "level": "all"}
    widget.set(truth=(20, 20, 60.04, 59.96))
    fresh = shown_widget(truth=[10, 10, 30, 30])  # rounded to the pixel fraction that one sees
    assert [step.text for step in widget.trace.steps] == [step.text for step in fresh.trace.steps]
    widget.set(truth=(80.0, 20.0, 220.0, 120.0), level="1", iou_threshold=0.3)
    boxes = generated()
    overlap = box_iou(torch.tensor([TRUTH]), boxes)[0, FIRST[1] : FIRST[2]]
    expected = boxes[FIRST[1] : FIRST[2]][overlap >= 0.3]
    same_boxes(torch.cat((places(widget, "truth"), places(widget, "chosen"))), expected)
    assert widget.trace.steps[-1].text.endswith(f" Drawn: {len(expected)} of level 1.")
    with pytest.raises(ValueError, match="level is '3'; it is one of 'all', '0', '1', '2'"):
        widget.set(level="3")
    with pytest.raises(ValueError, match="widths and heights above 0"):
        widget.set(truth=(5, 5, 5.01, 9))


def test_the_picture_may_have_another_size_than_the_network_s():
    """Twice as high and as wide: the same overlaps, and boxes where they were."""
    small = shown_widget()
    large = segwidgets.default_boxes(torch.rand(3, 180, 360), (90, 180), MAPS, RATIOS, SCALES, truth=[2 * side for side in TRUTH])
    assert [step.text for step in small.trace.steps] == [step.text for step in large.trace.steps]
    torch.testing.assert_close(places(small, "truth"), places(large, "truth"))
    free = segwidgets.default_boxes(IMAGE, None, MAPS, RATIOS, SCALES, truth=TRUTH)
    assert repr(free) == repr(small)


def test_without_a_box_one_stands_in_the_middle_and_default_scales_are_the_paper_s():
    widget = segwidgets.default_boxes(IMAGE, None, MAPS, RATIOS)
    assert widget.values["truth"] == pytest.approx([108, 44, 252, 136])
    scales = [float(re.search(r"scale ([\d.]+)", widget.trace.steps[k].text)[1]) for k in (1, 2, 3)]
    assert scales == [0.15, 0.525, 0.9]


def test_the_same_call_gives_the_same_animation_and_a_still_is_small():
    given = (torch.rand(3, 100, 160), 300, [38, 19, 10, 5, 3, 1], [[2], [2, 3], [2, 3], [2, 3], [2], [2]])
    scales, steps = [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05], [8, 16, 32, 64, 100, 300]
    one, other = (segwidgets.default_boxes(*given, scales, steps=steps, truth=[20, 20, 90, 80], iou_threshold=0.05) for _ in range(2))
    assert repr(one) == repr(other) and one.trace.nbytes < 300_000
    assert (
        one.trace.steps[0].text.startswith("8732 default boxes on 6 maps") and f"Drawn: the best {MOST_DRAWN}." in one.trace.steps[-1].text
    )
    data = animated_png(one.trace)[0]
    assert len(data) <= MAX_STILL_BYTES and Image.open(io.BytesIO(data)).n_frames >= 4


@pytest.mark.parametrize(
    ("changed", "kind", "sentence"),
    [
        ({"truth": [[1, 2, 3, 4], [1, 2, 3, 4]]}, ValueError, r"truth has the shape \[2, 4\]; it is the one box"),
        ({"truth": [5, 5, 5, 9]}, ValueError, "truth must have widths and heights above 0"),
        ({"truth": [200, 5, 210, 9]}, ValueError, "truth must reach into it, 180 pixels wide"),
        ({"truth": [torch.nan, 5, 210, 9]}, ValueError, "truth must be finite"),
        ({"truth": "box"}, TypeError, "truth is str"),
        ({"map_sizes": [(41, 3), (3, 3), (1, 1)]}, ValueError, "a level of 41 × 3 places; at most 40 × 40"),
        ({"map_sizes": [(3, 3)] * 8}, ValueError, "map_sizes has 8 levels; at most 7"),
        ({"map_sizes": []}, ValueError, "map_sizes must have an entry for each level"),
        ({"aspect_ratios": [[2]]}, ValueError, "aspect_ratios must have an entry for each level, 3; got 1"),
        ({"scales": [0.2]}, ValueError, "scales must be numbers above 0, 4 of them"),
        ({"steps": (8, 16)}, ValueError, "steps"),
        ({"image_size": (0, 10)}, ValueError, "image_size must be at least 1"),
        ({"iou_threshold": 1.5}, ValueError, "iou_threshold must be from 0 to 1"),
        ({"level": 3}, ValueError, "level is '3'"),
        ({"image": torch.rand(2, 5, 5)}, ValueError, r"a picture is \[3, H, W\]"),
        ({"trut": 3}, TypeError, "did you mean 'truth'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(changed, kind, sentence):
    given = {"image": IMAGE, "image_size": (HEIGHT, WIDTH), "map_sizes": MAPS, "aspect_ratios": RATIOS, "scales": SCALES, **changed}
    with pytest.raises(kind, match=sentence) as error:
        segwidgets.default_boxes(**given)
    assert "\n" not in str(error.value)
