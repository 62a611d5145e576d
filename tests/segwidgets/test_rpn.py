"""`segwidgets.rpn` against torchvision: the maps, the moved boxes, what stays of them, and which objects they find."""

import io

import pytest
import torch
from PIL import Image
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import batched_nms, box_iou, clip_boxes_to_image

import segwidgets
from course.ops.anchors import anchor_grid
from course.ops.boxes import encode_boxes
from segwidgets.rpn import MOST_DRAWN
from segwidgets.still import MAX_STILL_BYTES, animated_png

HEIGHT, WIDTH = 96, 160  # half as high as wide, so that nobody swaps them unseen
IMAGE = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
MAPS, SIZES = [(12, 20), (6, 10), (3, 5)], [(16,), (32,), (64,)]
ANCHORS = anchor_grid((HEIGHT, WIDTH), MAPS, SIZES)
TRUTH = torch.tensor([[20.0, 10, 60, 40], [90, 20, 150, 80], [5, 60, 25, 90]])


def said(seed, maps=MAPS, shapes=3):
    """Random objectness and deltas, a list each."""
    generator = torch.Generator().manual_seed(seed)
    objectness = [2 * torch.randn(shapes, *size, generator=generator) for size in maps]
    deltas = [0.3 * torch.randn(4 * shapes, *size, generator=generator) for size in maps]
    return objectness, deltas


def in_a_row(objectness, deltas):
    """Each as torchvision's RPN lines them up, beside the level: [N], [N, 4], [N]."""
    scores, moves, levels = [], [], []
    for number, (score, move) in enumerate(zip(objectness, deltas, strict=True)):
        shapes, height, width = score.shape
        scores.append(score[None].view(1, shapes, 1, height, width).permute(0, 3, 4, 1, 2).reshape(-1))
        moves.append(move[None].view(1, shapes, 4, height, width).permute(0, 3, 4, 1, 2).reshape(-1, 4))
        levels.append(torch.full_like(scores[-1], number, dtype=torch.int64))
    return torch.cat(scores), torch.cat(moves), torch.cat(levels)


def by_torchvision(objectness, deltas, pre_nms=1000, post_nms=10, nms_threshold=0.7, score_threshold=0.0):
    """Candidates, all that stay and the proposals: (anchors' numbers, best first; their boxes), for each of the three."""
    scores, moves, levels = in_a_row(objectness, deltas)
    boxes = clip_boxes_to_image(BoxCoder((1.0, 1.0, 1.0, 1.0)).decode(moves, [ANCHORS])[:, 0], (HEIGHT, WIDTH))
    best = torch.cat(
        [rows[scores[rows].topk(min(pre_nms, len(rows))).indices] for rows in ((levels == k).nonzero()[:, 0] for k in range(3))]
    )
    best = best[scores[best].sigmoid() >= score_threshold]
    best = best[scores[best].argsort(descending=True)]
    kept = best[batched_nms(boxes[best], scores[best], levels[best], nms_threshold)]
    return boxes, best, kept, kept[:post_nms]


def step_with(widget, words):
    """The number of the one step that says this."""
    (found,) = [i for i, step in enumerate(widget.trace.steps) if words in step.text]
    return found


def drawn(widget, words, role, width=WIDTH):
    """Where the boxes of a role lie after that step, in pixels of the picture, [D, 4]."""
    factor = widget.trace.panel("photograph").columns / width
    looks = [look for look in widget.trace.boxes_at("photograph", step_with(widget, words)) if look.role == role]
    return torch.tensor([look.place for look in looks]).reshape(-1, 4) / factor


def same_boxes(shown, expected):
    """The same boxes, whatever their order."""
    assert len(shown) == len(expected)
    if len(shown):
        distance = (shown[:, None] - expected).abs().amax(-1)
        assert distance.amin(0).max() < 1e-2 and distance.amin(1).max() < 1e-2


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"nms_threshold": 0.3, "post_nms": 4},
        {"nms_threshold": 1.0, "post_nms": 25},
        {"nms_threshold": 0.0},
        {"pre_nms": 30, "score_threshold": 0.8},
        {"pre_nms": 1, "post_nms": 1},
    ],
)
def test_every_stage_holds_what_torchvision_has(seed, settings):
    objectness, deltas = said(seed)
    widget = segwidgets.rpn(IMAGE, objectness, deltas, ANCHORS, truth=TRUTH, **settings)
    boxes, best, kept, proposals = by_torchvision(objectness, deltas, **settings)
    first = best[:MOST_DRAWN]
    same_boxes(drawn(widget, "The best anchors go on", "candidate"), ANCHORS[first])
    same_boxes(drawn(widget, "Each moves", "write"), boxes[first])
    same_boxes(drawn(widget, "A box goes if", "chosen"), boxes[first[torch.isin(first, kept)]])
    same_boxes(drawn(widget, "A box goes if", "suppressed"), boxes[first[~torch.isin(first, kept)]])
    same_boxes(drawn(widget, "the proposal", "chosen"), boxes[proposals[:MOST_DRAWN]])
    assert widget.trace.steps[step_with(widget, "The best anchors")].text.split(": ")[1].split(".")[0] == str(len(best))
    assert f"{len(best) - len(kept)} go, {len(kept)} stay" in widget.trace.steps[step_with(widget, "A box goes if")].text

    overlap = box_iou(TRUTH, boxes[proposals]).amax(1)
    found = int((overlap >= 0.5).sum())
    last = widget.trace.steps[-1]
    assert last.text.startswith(f"{found} of 3 objects ") and f"{found} / 3 = " in last.arithmetic
    shown = [float(each) for each in last.arithmetic.split(";")[0].split(": ")[1].split(", ")]
    assert shown == pytest.approx(overlap.tolist(), abs=0.0051)
    same_boxes(drawn(widget, "with an IoU", "truth"), TRUTH)


@pytest.mark.parametrize(("words", "moved"), [("The best anchors", False), ("Each moves", True), ("A box goes", True)])
def test_at_each_stage_the_best_are_held_against_the_objects(words, moved):
    objectness, deltas = said(4)
    widget = segwidgets.rpn(IMAGE, objectness, deltas, ANCHORS, truth=TRUTH, post_nms=40)
    boxes, best, kept, _ = by_torchvision(objectness, deltas)
    rows = (kept if words == "A box goes" else best)[:40]
    found = int((box_iou(TRUTH, (boxes if moved else ANCHORS)[rows]).amax(1) >= 0.5).sum())
    assert f"the best 40 find {found} of 3 objects, IoU ≥ 0.5" in widget.trace.steps[step_with(widget, words)].arithmetic


def test_a_map_shows_the_probability_of_the_best_anchor_and_where_it_is(shown):
    objectness, deltas = said(5)
    widget = segwidgets.rpn(IMAGE, objectness, deltas, ANCHORS)
    assert shown(widget, "level 1", 1).isnan().all() and not shown(widget, "level 0", 1).isnan().any()
    at, factor = 0, widget.trace.panel("photograph").columns / WIDTH
    for level, each in enumerate(objectness):
        torch.testing.assert_close(shown(widget, f"level {level}"), each.sigmoid().amax(0))
        assert widget.trace.panel(f"level {level}").field.word == "best anchor"  # which is no field: it is not all that the cell sees
        field = torch.as_tensor(widget.trace.panel(f"level {level}").field.boxes) / factor
        height, width = MAPS[level]
        for row, column in ((0, 0), (height - 1, 2), (1, width - 1)):
            anchor = at + (row * width + column) * 3 + int(each[:, row, column].argmax())
            torch.testing.assert_close(field[row, column], ANCHORS[anchor])
        step = widget.trace.steps[1 + level]
        assert f"[{int((each.sigmoid() >= 0.5).sum())}|write] of {each.numel()}" in step.caption
        (best,) = step.marks[f"level {level}"]["chosen"]
        assert each.amax(0)[best] == each.max()
        at += each.numel()
    assert [panel.title for panel in widget.trace.panels] == ["photograph", "stride 8", "stride 16", "stride 32"]


def test_of_a_large_map_each_cell_is_the_best_of_a_few_places(shown):
    maps = [(50, 90)]
    anchors = anchor_grid((100, 180), maps, [(8, 16)], (1.0,))
    objectness, deltas = said(6, maps, shapes=2)
    widget = segwidgets.rpn(torch.rand(3, 100, 180), objectness, deltas, anchors)
    table = shown(widget, "level 0")
    assert table.shape == (17, 30) and "Each cell is the best of 3 × 3 places." in widget.trace.steps[1].text
    for row, column in ((0, 0), (16, 29), (7, 11)):  # the last row of cells has two places only
        torch.testing.assert_close(table[row, column], objectness[0][:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3].sigmoid().max())
    place = torch.as_tensor(widget.trace.panel("level 0").field.boxes)[7, 11] / (widget.trace.panel("photograph").columns / 180)
    window = objectness[0][:, 21:24, 33:36]
    shape, down, across = (int(i) for i in torch.unravel_index(window.argmax(), window.shape))
    torch.testing.assert_close(place, anchors[((21 + down) * 90 + 33 + across) * 2 + shape])


def by_hand():
    """A picture, and one map of two places with one anchor each, 10 × 10 around (0, 0) and (20, 0); only the second is likely."""
    return torch.rand(3, 20, 40), torch.tensor([[[0.0, 2.0]]]), torch.tensor([[-5.0, -5, 5, 5], [15, -5, 25, 5]])


def test_two_anchors_by_hand():
    image, objectness, anchors = by_hand()
    deltas = torch.tensor([[[0.5, 0.0]], [[0.5, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]]])  # the first by (5, 5), the second by (0, 10)
    widget = segwidgets.rpn(image, [objectness], [deltas], anchors, truth=[[0, 0, 10, 10], [30, 0, 40, 8]])
    same_boxes(drawn(widget, "Each moves", "write", 40), torch.tensor([[0.0, 0, 10, 10], [15, 5, 25, 15]]))
    assert [step.text for step in widget.trace.steps] == [
        "At every place of 1 map the network scores anchors by whether they hold an object, and says how to move them: 2 anchors in all. "
        "Point at a cell to see its best one.",
        "Stride 20: 1 anchor at each of 1 × 2 places. 2 of 2 hold an object with a probability of at least 0.5, the best with 0.881.",
        "The best anchors go on, at most 1000 of each level: 2.",
        "Each moves by its own four numbers and is cut at the picture's edge. On average its IoU with what it was is 0.0714.",
        "A box goes if it overlaps a better one by more than 0.7: 0 go, 2 stay.",
        "All 2 are the proposals.",
        "1 of 2 objects is found, by a proposal with an IoU of at least 0.5: a recall of 0.5 with 2 proposals.",
    ]  # IoU 25 / 175 and 0: their mean is 1 / 14
    assert widget.trace.steps[2].arithmetic == "the best 2 find 0 of 2 objects, IoU ≥ 0.5"
    assert widget.trace.steps[-1].arithmetic == "best IoU of each object: 1, 0;  1 / 2 = 0.5"
    looks = widget.trace.boxes_at("photograph", -1)
    assert [(look.role, look.label) for look in looks] == [(None, ""), ("chosen", "1"), ("truth", ""), ("truth", "missed, 0")]


def test_boxes_of_two_levels_do_not_compete():
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    maps, moves = [torch.zeros(1, 1, 1), torch.ones(1, 1, 1)], [torch.zeros(4, 1, 1)] * 2
    apart = segwidgets.rpn(torch.rand(3, 16, 16), maps, moves, anchors, nms_threshold=0.5)
    assert "of the same level by more than 0.5: 0 go, 2 stay" in apart.trace.steps[5].text
    one = segwidgets.rpn(torch.rand(3, 16, 16), [torch.cat(maps)], [torch.cat(moves)], anchors, nms_threshold=0.5)
    assert "better one by more than 0.5: 1 go, 1 stay" in one.trace.steps[4].text and one.trace.steps[5].text == "It is the proposal."


def test_what_has_become_too_small_goes_before_the_suppression():
    image, objectness, anchors = by_hand()
    away = torch.tensor([[[-3.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]]])  # the first to the left of the picture
    widget = segwidgets.rpn(image, [objectness], [away], anchors, min_size=0.5)
    assert widget.trace.steps[3].text.endswith("1 with a side below 0.5 go.") and "0 go, 1 stay" in widget.trace.steps[4].text
    assert [look.role for look in widget.trace.boxes_at("photograph", 4)] == ["chosen", None]
    assert "0 go, 2 stay" in segwidgets.rpn(image, [objectness], [away], anchors).trace.steps[4].text


def test_the_sliders_ask_for_another_animation():
    objectness, deltas = said(7)
    widget = segwidgets.rpn(IMAGE, objectness, deltas, ANCHORS, truth=TRUTH)
    assert widget.values == {"nms_threshold": 0.7, "post_nms": 10, "score_threshold": 0.0}
    before = [each.clone() for each in objectness]
    for each in (*objectness, *deltas):
        each.zero_()  # what was given stays what it was
    for settings in ({"nms_threshold": 0.2}, {"post_nms": 3}, {"score_threshold": 0.6}):
        widget.set(**settings)
        fresh = segwidgets.rpn(IMAGE, before, said(7)[1], ANCHORS, truth=TRUTH, **widget.values)
        assert [step.text for step in widget.trace.steps] == [step.text for step in fresh.trace.steps]
    assert len(drawn(widget, "the proposal", "chosen")) == 3
    with pytest.raises(ValueError, match="nms_threshold is 1.2"):
        widget.set(nms_threshold=1.2)


def test_a_score_that_no_anchor_reaches_proposes_nothing():
    objectness, deltas = said(8)
    widget = segwidgets.rpn(IMAGE, objectness, deltas, ANCHORS, truth=TRUTH, score_threshold=1.0)
    assert widget.trace.steps[-2].text == "No anchor holds an object with a probability of at least 1: nothing is proposed."
    assert widget.trace.steps[-1].text.startswith("0 of 3 objects are found")
    assert {look.role for look in widget.trace.boxes_at("photograph", -1)} == {"truth"}


def test_without_objects_all_is_background_and_without_truth_nothing_is_said_of_it():
    objectness, deltas = said(9)
    empty = segwidgets.rpn(IMAGE, objectness, deltas, ANCHORS, truth=torch.zeros(0, 4))
    assert empty.trace.steps[-1].text == "There is no object in this picture: all that is proposed, 10 boxes, is background."
    unknown = segwidgets.rpn(IMAGE, objectness, deltas, ANCHORS)
    assert unknown.trace.steps[-1].text.endswith("are the proposals.") and not any(
        "object" in step.arithmetic for step in unknown.trace.steps
    )


def test_deltas_that_are_right_find_every_object():
    overlap, which = box_iou(ANCHORS, TRUTH).max(1)
    moves = encode_boxes(TRUTH[which], ANCHORS)
    counts = [3 * height * width for height, width in MAPS]
    levels = zip(MAPS, (6 * overlap - 3).split(counts), moves.split(counts), strict=True)
    made = [(score.view(*size, 3).movedim(-1, 0), move.view(*size, 12).movedim(-1, 0)) for size, score, move in levels]
    widget = segwidgets.rpn(IMAGE, *zip(*made, strict=True), ANCHORS, truth=TRUTH, nms_threshold=0.5)
    assert widget.trace.steps[-1].text.startswith("3 of 3 objects are found")
    assert widget.trace.steps[-1].arithmetic.startswith("best IoU of each object: 1, 1, 1;")


def test_one_level_and_the_batch_of_a_network_are_taken_as_they_are():
    objectness, deltas = said(10)
    batch = segwidgets.rpn(IMAGE[None], [x[None] for x in objectness], [x[None] for x in deltas], ANCHORS)
    assert repr(batch) == repr(segwidgets.rpn(IMAGE, objectness, deltas, ANCHORS))
    alone = segwidgets.rpn(IMAGE, objectness[0], deltas[0], ANCHORS[: objectness[0].numel()], strides=(9,))
    assert [panel.title for panel in alone.trace.panels] == ["photograph", "stride 9"]


def test_it_stays_small_and_its_still_moves():
    maps = [(200, 272), (100, 136), (50, 68), (25, 34), (13, 17)]
    anchors = anchor_grid((800, 1088), maps, [(32,), (64,), (128,), (256,), (512,)])
    objectness, deltas = said(11, maps)
    widget = segwidgets.rpn(torch.rand(3, 800, 1066), objectness, deltas, anchors, truth=TRUTH, post_nms=100)
    assert widget.trace.nbytes < 300_000
    data = animated_png(segwidgets.rpn(IMAGE, *said(0), ANCHORS, truth=TRUTH).trace)[0]
    assert len(data) <= MAX_STILL_BYTES and Image.open(io.BytesIO(data)).n_frames >= 5


def refused(**changed):
    objectness, deltas = said(12)
    given = {"image": IMAGE, "objectness": objectness, "deltas": deltas, "anchors": ANCHORS} | changed
    return segwidgets.rpn(given.pop("image"), given.pop("objectness"), given.pop("deltas"), given.pop("anchors"), **given)


@pytest.mark.parametrize(
    ("changed", "kind", "sentence"),
    [
        ({"objectness": []}, ValueError, "objectness is a list of 0; it takes a list of 1 to 6 tensors"),
        ({"objectness": "maps"}, ValueError, "objectness is a str"),
        ({"objectness": [torch.zeros(3)]}, ValueError, r"objectness\[0\] has the shape \[3\]"),
        ({"objectness": [torch.zeros(2, 3, 4, 5)]}, ValueError, "of one picture"),
        ({"objectness": [torch.full((3, 12, 20), torch.nan)]}, ValueError, r"objectness\[0\] has NaN or infinite"),
        ({"deltas": said(0)[1][:2]}, ValueError, "objectness has 3 levels and deltas 2"),
        ({"deltas": said(0)[0]}, ValueError, r"deltas\[0\] has the shape \[3, 12, 20\]; .* it takes \[12, 12, 20\]"),
        ({"deltas": [x * torch.inf for x in said(0)[1]]}, ValueError, r"deltas\[0\] has NaN or infinite"),
        ({"anchors": ANCHORS[:-1]}, ValueError, f"anchors holds {len(ANCHORS) - 1} boxes, and objectness scores {len(ANCHORS)}"),
        ({"anchors": ANCHORS * torch.nan}, ValueError, "anchors must be finite"),
        ({"truth": torch.ones(31, 4).cumsum(1)}, ValueError, "truth holds 31 boxes"),
        ({"truth": [[1, 2, 3]]}, ValueError, "truth must have shape"),
        ({"strides": (8, 16)}, ValueError, "strides"),
        ({"pre_nms": 0}, ValueError, "pre_nms"),
        ({"post_nms": 0}, ValueError, "post_nms"),
        ({"min_size": -1.0}, ValueError, "min_size"),
        ({"nms_threshold": 1.5}, ValueError, "nms_threshold is 1.5; it goes from 0.0 to 1.0"),
        ({"image": torch.rand(2, 5, 5)}, ValueError, r"a picture is \[3, H, W\]"),
        ({"nms_treshold": 0.5}, TypeError, "did you mean 'nms_threshold'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(changed, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        refused(**changed)
    assert "\n" not in str(error.value)
