"""`segwidgets.rcnn` against torchvision: what is reported in the end, where boxes go, and what each stage shows of its tensors."""

import math

import numpy as np
import pytest
import torch
import torchvision

import segwidgets
from segwidgets.rcnn import MOST_FEATURES
from segwidgets.still import MAX_STILL_BYTES, animated_png

CLASSES = ["cat", "cup"]
PROPOSALS = torch.tensor([[10.0, 10, 50, 40], [12, 10, 52, 40], [60, 5, 90, 45], [0, 0, 100, 50]])
SCORES = torch.tensor([[0.9, -0.5], [1.2, -1.0], [-0.4, 0.7], [-0.2, -0.1]])
IMAGE = torch.rand(3, 50, 100, generator=torch.Generator().manual_seed(0))
PATCHES = torch.stack([torch.full((3, 20, 20), level) for level in (0.1, 0.3, 0.5, 0.7)])
FEATURES = torch.arange(28.0).reshape(4, 7) - 10


def shown_run(**options):
    given = {"patches": PATCHES, "features": FEATURES, "scores": SCORES, "classes": CLASSES, "padding": 4} | options
    return segwidgets.rcnn(given.pop("image", IMAGE), given.pop("proposals", PROPOSALS), **given)


def looks(player, role, step=-1, panel="photograph"):
    return {i: look for i, look in enumerate(player.trace.boxes_at(panel, step)) if look.role == role}


def step_saying(player, words):
    """The number of the only step whose sentence has these words."""
    (found,) = [i for i, step in enumerate(player.trace.steps) if words in step.text]
    return found


def many(count, classes, seed):
    draw = torch.Generator().manual_seed(seed)
    corner, side = 60 * torch.rand(count, 2, generator=draw), 5 + 30 * torch.rand(count, 2, generator=draw)
    proposals = torch.cat((corner, corner + side), 1)
    scores = torch.randn(count, classes, generator=draw)
    moved = proposals[:, None] + 3 * torch.randn(count, classes, 4, generator=draw)
    given = {"patches": torch.zeros(count, 3, 8, 8), "features": torch.rand(count, 5, generator=draw), "padding": 1}
    return proposals, scores, moved, given | {"classes": [f"class {k}" for k in range(classes)]}


@pytest.mark.parametrize("count", [1, 7, 60, 150])
@pytest.mark.parametrize("is_moved", [False, True])
def test_in_the_end_stands_what_torchvision_keeps(count, is_moved):
    proposals, scores, moved, given = many(count, 3, count)
    player = segwidgets.rcnn(
        torch.rand(3, 100, 100),
        proposals,
        scores=scores,
        moved=moved if is_moved else None,
        score_threshold=0.5,
        nms_threshold=0.4,
        **given,
    )
    proposal, label = (scores > 0.5).nonzero().unbind(1)
    boxes = moved[proposal, label] if is_moved else proposals[proposal]
    kept = torchvision.ops.batched_nms(boxes, scores[proposal, label], label, 0.4)
    expected = sorted(
        (*box, f"class {label[d]} {scores[proposal[d], label[d]]:.3g}") for d, box in zip(kept, boxes[kept].tolist(), strict=True)
    )
    found = sorted((*look.place, look.label) for look in looks(player, "chosen").values())
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one[:4] == pytest.approx(other[:4], abs=1e-3) and one[4].split()[:2] == other[4].split()[:2]
        assert float(one[4].split()[2]) == pytest.approx(float(other[4].split()[2]), abs=0.011)
    assert set(look.role for look in player.trace.boxes_at("photograph", -1)) <= {None, "chosen"}
    assert player.trace.nbytes < 300_000


def test_the_sentences_of_a_small_example():
    moved = torch.stack((PROPOSALS + torch.tensor([0.0, -4, 20, 6]), PROPOSALS), 1)
    player = shown_run(moved=moved, follow=[1, 3])
    assert [step.text for step in player.trace.steps] == [
        "R-CNN proposes boxes, looks at each by itself, says what is in it, and keeps the best.",
        "Propose: 4 boxes that may hold an object.",
        "Crop proposal 1, 40 × 30 pixels, with some of what is around it, and warp it to 20 × 20.",
        "The network turns the patch into 7 features.",
        "Each class scores the features. The highest is cat 1.2, above 0.",
        "The box regression of cat moves it by four numbers to a new place.",
        "Crop proposal 3, 100 × 50 pixels, with some of what is around it, and warp it to 20 × 20.",
        "The network turns the patch into 7 features.",
        "Each class scores the features. None is above 0: background.",
        "So it goes for all 4 proposals: 3 score above 0.",
        "The regression of its class moves each of them.",
        "Keep the best cat left, 1.2: it removes 1 that overlaps it by more than 0.3.",
        "Keep the best cup left, 0.7: nothing overlaps it by more than 0.3.",
        "What R-CNN reports, of 4 proposals: cat 1, cup 1.",
    ]
    # Proposal 1, 40 × 30 with the centre (32, 25), becomes 60 × 40 with the centre (42, 26).
    d = (10 / 40, 1 / 30, math.log(60 / 40), math.log(40 / 30))
    assert player.trace.steps[5].arithmetic == "d = (" + ", ".join(f"{value:.3g}" for value in d) + ")"
    assert player.trace.steps[2].arithmetic == "across 12 / 40 = 0.3,  down 12 / 30 = 0.4"
    assert looks(player, "suppressed", 11).keys() == {4} and looks(player, "chosen", 11).keys() == {5}


def test_the_context_is_marked_where_the_warp_takes_it_from():
    """12 of 20 pixels are the box: 4 pixels of context are a third of its side, on each side."""
    player = shown_run(follow=[1])
    crop = step_saying(player, "Crop")
    (context,) = player.trace.steps[crop].marks["photograph"]["write"]
    assert context == pytest.approx((12 - 40 / 3, 10 - 10, 52 + 40 / 3, 40 + 10), abs=1e-4)
    assert looks(player, "read", crop).keys() == {1} and not looks(player, "candidate", crop)
    (without,) = shown_run(follow=[1], padding=0).trace.steps[crop].marks["photograph"]["write"]
    assert without == (12, 10, 52, 40)


def test_patch_features_and_scores_are_those_of_the_proposal(shown):
    player = shown_run(follow=[2, 0])
    film = player.trace.panel("patch")
    crops = [i for i, step in enumerate(player.trace.steps) if step.text.startswith("Crop")]
    for crop, proposal in zip(crops, (2, 0), strict=True):
        np.testing.assert_allclose(film.frames[player.trace.frame_at("patch", crop)].pixels / 255, PATCHES[proposal, 0, 0, 0], atol=0.01)
        values = shown(player, "features", crop + 1).flatten()
        torch.testing.assert_close(values[:7], FEATURES[proposal])
        assert values[7:].isnan().all()
        bars = player.trace.boxes_at("scores", crop + 2)
        zero = bars[-1].place[0]
        lengths = [
            look.place[2] - zero if score > 0 else look.place[0] - zero for look, score in zip(bars[:2], SCORES[proposal], strict=True)
        ]
        assert lengths[0] / lengths[1] == pytest.approx(float(SCORES[proposal, 0] / SCORES[proposal, 1]), rel=1e-4)  # signed, from 0
        assert [look.role for look in bars[:2]] == ["chosen" if score > 0 else "write" for score in SCORES[proposal]]
        assert [look.label for look in bars[:2]] == [
            f"{name} {score:.1g}".replace("-", "−") for name, score in zip(CLASSES, SCORES[proposal], strict=True)
        ]
    assert [look.role for look in player.trace.boxes_at("scores", 0)] == [None, None, "suppressed"]
    background = shown_run(follow=[3])
    assert [look.role for look in background.trace.boxes_at("scores", -1)[:2]] == ["write", "write"]
    assert player.trace.frame_at("patch", 0) == 0 and shown(player, "features", 0).isnan().all()


def test_by_default_the_best_one_that_goes_and_one_of_background_are_followed():
    crops = [step.text.split(",")[0] for step in shown_run().trace.steps if step.text.startswith("Crop")]
    assert crops == ["Crop proposal 1", "Crop proposal 0", "Crop proposal 3"]


def test_nothing_above_the_threshold_is_said_and_shown():
    player = shown_run(score_threshold=2)
    assert player.trace.steps[-1].text == "So it goes for all 4 proposals: none scores above 2. Nothing is found."
    assert {look.role for look in player.trace.boxes_at("photograph", -1)} == {None}


def test_on_a_large_photograph_boxes_shrink_with_it_and_long_vectors_are_cut(shown):
    player = shown_run(image=torch.rand(3, 360, 720), proposals=4 * PROPOSALS, features=torch.rand(4, 3000), follow=[0])
    assert looks(player, "chosen")[5].place == pytest.approx((24, 20, 104, 80))
    assert player.trace.panel("features").note == f"the first {MOST_FEATURES} of [3000]"
    assert int((~shown(player, "features").isnan()).sum()) == MOST_FEATURES


def test_a_moved_box_without_area_is_shown_and_not_encoded():
    moved = PROPOSALS.clone()
    moved[1, 2] = moved[1, 0]
    player = shown_run(moved=moved[:, None].expand(-1, 2, -1), follow=[1])
    assert player.trace.steps[step_saying(player, "moves it by four")].arithmetic == ""


def test_a_still_is_small():
    data, _ = animated_png(shown_run().trace)
    assert len(data) <= MAX_STILL_BYTES


@pytest.mark.parametrize(
    ("change", "kind", "sentence"),
    [
        ({"proposals": PROPOSALS[:0]}, ValueError, "proposals holds 0 boxes; from 1 to 1000"),
        ({"proposals": PROPOSALS[:, [2, 1, 0, 3]]}, ValueError, "widths and heights above 0"),
        ({"patches": PATCHES[:3]}, ValueError, r"patches has the shape \[3, 3, 20, 20\]; it takes \[N, 3, S, S\], with N = 4"),
        ({"patches": PATCHES[..., :10]}, ValueError, r"patches has the shape \[4, 3, 20, 10\]"),
        ({"features": FEATURES[0]}, ValueError, r"features has the shape \[7\]"),
        ({"scores": SCORES * torch.nan}, ValueError, "scores has NaN"),
        ({"classes": ["cat"]}, ValueError, "a name for each of the 2 columns"),
        ({"classes": "ab"}, ValueError, "classes is 'ab'"),
        ({"moved": PROPOSALS}, ValueError, r"moved has the shape \[4, 4\]; it takes \[N, 4K\] or \[N, K, 4\], here \[4, 2, 4\]"),
        ({"padding": 10}, ValueError, "padding is 10, and the patches are 20 pixels wide"),
        ({"follow": [4]}, ValueError, r"follow is \[4\]; it takes 1 to 6 numbers of proposals, 0 to 3"),
        ({"follow": []}, ValueError, "follow is"),
        ({"image": 255 * IMAGE}, ValueError, "outside 0…1"),
        ({"score_treshold": 0.5}, TypeError, "did you mean 'score_threshold'"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(change, kind, sentence):
    with pytest.raises(kind, match=sentence) as error:
        shown_run(**change)
    assert "\n" not in str(error.value)


def test_too_many_detections_are_refused():
    proposals, scores, _, given = many(200, 3, 0)
    with pytest.raises(ValueError, match="boxes score above -9; 300 can be shown: raise score_threshold"):
        segwidgets.rcnn(torch.rand(3, 100, 100), proposals, scores=scores, score_threshold=-9, **given)
