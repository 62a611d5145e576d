"""`segwidgets.selective_search` against the grouping itself: regions, tree, boxes and what covers the truth best."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

import segwidgets
from course.data.photos import cat
from course.models.selective_search import described, group, group_steps, initial_regions, selective_search
from segwidgets.still import MAX_STILL_BYTES, animated_png

TRUTH = torch.tensor([[30.0, 20, 90, 80], [0, 0, 130, 90]])


@pytest.fixture(scope="module")
def face():
    return cat()[:, 60:150, 100:230].clone()  # [3, 90, 130]


@pytest.fixture(scope="module")
def regions(face):
    return initial_regions(face, scale=40)


@pytest.fixture(scope="module")
def player(face, regions):
    return segwidgets.selective_search(face, regions, group_steps(regions), shown=12)


def masks(regions, tree):
    """Of each region that there ever was its pixels, by the course's tree, [2R − 1, H, W]."""
    found = [regions.labels == region for region in range(len(regions.sizes))]
    for a, b in tree.children.tolist():
        found.append(found[a] | found[b])
    return torch.stack(found)


def test_at_every_step_each_pixel_lies_in_the_region_of_the_tree(player, regions):
    everything, tree = masks(regions, group(regions)), group(regions)
    labels, count = player.trace.panel("regions").labels, len(regions.sizes)
    np.testing.assert_array_equal(labels, regions.labels)  # small enough to be shown as it is
    for step in range(len(player.trace.steps)):
        left = re.search(r"(\d+) regions? (?:are|is) left", player.trace.steps[step].text)
        done = count - int(left[1]) if step else 0
        now = torch.from_numpy(player.trace.values_at("regions", step)[:, 0])[labels].long()
        alive = set(range(count + done)) - set(tree.children[:done].flatten().tolist())
        assert set(now.unique().tolist()) == alive
        for region in alive:
            assert torch.equal(now == region, everything[region])


def test_a_step_says_who_merges_why_and_what_is_left(player, regions):
    for step, merge in zip(player.trace.steps[-12:], list(group_steps(regions))[-12:], strict=True):
        assert step.arithmetic == merge.arithmetic
        assert f"become one region of {merge.size} pixels, and {merge.left} region" in step.text
        everything, marks = masks(regions, group(regions)), step.marks["regions"]
        read = {
            tuple(everything[r][regions.labels == piece].unique().tolist())
            for (piece, _), r in zip(marks["read"], (merge.first, merge.second), strict=True)
        }
        assert read == {(True,)}
    assert player.trace.steps[-1].text.endswith("and 1 region is left.")
    assert player.trace.steps[0].text.startswith(f"{len(regions.sizes)} regions:")


def test_the_boxes_are_those_of_the_regions(player, regions, face):
    tree, shown = group(regions), player.trace.boxes_at("photograph", -1)
    assert len(shown) == 13 + 12 and {look.role for look in shown} == {"candidate"}
    places = torch.tensor([look.place for look in shown])
    torch.testing.assert_close(places[13:], tree.boxes[-12:])
    alive = set(range(len(tree.boxes) - 12)) - set(tree.children[:-12].flatten().tolist())
    assert sorted(places[:13].tolist()) == sorted(tree.boxes[sorted(alive)].tolist())
    assert [look.role for look in player.trace.boxes_at("photograph", 0)] == [None] * 25
    assert [look.role for look in player.trace.boxes_at("photograph", 4)] == ["candidate"] * 13 + [None] * 12


def test_in_the_tree_a_region_stands_on_its_two_and_is_as_wide_as_both(player, regions):
    tree, shown = group(regions), [look.place for look in player.trace.boxes_at("tree", -1)]
    leaves = {tuple(look.place): i for i, look in enumerate(player.trace.boxes_at("photograph", -1)[:13])}
    number = {}
    alive = set(range(len(tree.boxes) - 12)) - set(tree.children[:-12].flatten().tolist())
    for region in alive:
        number[region] = leaves[tuple(tree.boxes[region].tolist())]
    for i, (a, b) in enumerate(tree.children[-12:].tolist()):
        number[len(tree.boxes) - 12 + i] = 13 + i
        left, right = sorted((shown[number[a]], shown[number[b]]))
        x1, y1, x2, y2 = shown[13 + i]
        assert (x1, x2) == pytest.approx((left[0], right[2])) and left[2] == pytest.approx(right[0] - 1)  # side by side, a pixel apart
        assert y2 == pytest.approx(left[1] - 1) and y2 == pytest.approx(right[1] - 1) and y1 < y2
    root = shown[-1]
    assert root == pytest.approx((1, 1, 130, root[3]))


def test_what_is_said_over_a_region_is_what_was_compared(player, regions):
    panel, merges = player.trace.panel("regions"), list(group_steps(regions))
    expected = {pair: parts for merge in merges for pair, parts in merge.compared.items()}
    assert panel.pairs == expected and len(expected) > len(regions.neighbours)
    assert {tuple(pair) for pair in regions.neighbours.tolist()} <= set(expected)


def test_ranked_boxes_and_what_covers_the_truth_best(face, regions):
    boxes = selective_search(face)
    assert 100 < len(boxes) < 1000
    player = segwidgets.selective_search(face, regions, group_steps(regions), boxes=boxes, truth=TRUTH, names=("eye", "all"), shown=5)
    steps, count = player.trace.steps, len(boxes)
    heads = ("The first 10 of", "The first 100 of", "All")
    for step, budget, head in zip(range(len(steps) - 3, len(steps)), (10, 100, count), heads, strict=True):
        looks = player.trace.boxes_at("photograph", step)
        assert [look.role for look in looks[:11]] == [None] * 11  # the regions' own have gone
        drawn = [look.place for look in looks[11:-4] if look.role == "candidate"]
        assert drawn == [tuple(box) for box in boxes[: budget if budget <= 100 else 0].tolist()]
        assert [look.role for look in looks[-4:]] == ["truth"] * 2 + ["chosen"] * 2
        overlaps = [max(iou(box, truth) for box in boxes[:budget].tolist()) for truth in TRUTH.tolist()]
        for name, look, truth, overlap in zip(("eye", "all"), looks[-2:], TRUTH.tolist(), overlaps, strict=True):
            assert iou(look.place, truth) == pytest.approx(overlap, abs=1e-5)
            assert look.label == f"{name} {overlap:.3g}"
        found = sum(overlap >= 0.5 for overlap in overlaps)
        assert steps[step].text.startswith(head) and f": {found} of 2 objects" in steps[step].text
    assert "too many to draw" in steps[-1].text


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_without_truth_the_ranked_boxes_are_only_drawn(face, regions):
    player = segwidgets.selective_search(face, regions, group_steps(regions), boxes=TRUTH)
    assert player.trace.steps[-1].text == "All 2 ranked boxes."
    assert [look.role for look in player.trace.boxes_at("photograph", -1)[-2:]] == ["candidate"] * 2


def test_a_large_photograph_shrinks_and_its_boxes_with_it():
    image = cat()
    regions = initial_regions(image, scale=300)
    player = segwidgets.selective_search(image, regions, group_steps(regions))
    assert player.trace.panel("regions").labels.shape == (239, 360)
    assert player.trace.boxes_at("photograph", -1)[-1].place == pytest.approx((0, 0, 360, 300 * 360 / 451), abs=0.01)


def test_it_fits_into_a_notebook():
    image = cat()
    regions = initial_regions(image, scale=100)
    player = segwidgets.selective_search(image, regions, group_steps(regions), boxes=selective_search(image), truth=[(0, 0, 385, 300)])
    assert len(regions.sizes) > 60 and player.trace.nbytes < 300_000
    png, (width, _) = animated_png(player.trace)
    assert len(png) <= MAX_STILL_BYTES and width <= 860 and Image.open(io.BytesIO(png)).n_frames > 3
    for step in player.trace.steps:
        assert step.text[-1] == "." and len(step.text) < 240 and any(letter.isdigit() for letter in step.text)


def test_the_digest_does_not_hang_on_how_many_regions_there_were(face):
    players = []
    for scale in (30, 40):
        regions = initial_regions(face, scale=scale)
        players.append(segwidgets.selective_search(face, regions, group_steps(regions), shown=10))
    assert players[0].trace.panel("regions").rows != players[1].trace.panel("regions").rows
    assert players[0].trace.digest == players[1].trace.digest


@pytest.mark.parametrize("size", [(1, 1), (5, 9)])
def test_one_region_is_a_small_animation(size):
    image = torch.full((3, *size), 0.4)
    regions = initial_regions(image)
    player = segwidgets.selective_search(
        image, regions, group_steps(regions), boxes=selective_search(image), truth=[(0, 0, size[1], size[0])]
    )
    assert [step.text for step in player.trace.steps] == [
        "The picture is 1 region: nothing can be merged, and its only proposal is the whole picture.",
        "All 1 ranked boxes: 1 of 1 objects are covered with an IoU of at least 0.5.",
    ]
    assert len(player.trace.boxes_at("tree", 0)) == 1
    assert player.trace.boxes_at("photograph", 0)[0].place == (0, 0, size[1], size[0])
    assert len(animated_png(player.trace)[0]) < MAX_STILL_BYTES


def test_two_pixels():
    image = torch.tensor([[[0.0, 1.0]]]).expand(3, -1, -1)
    regions = described(torch.tensor([[0, 1]]), image)
    player = segwidgets.selective_search(image, regions, group_steps(regions))
    assert len(player.trace.steps) == 2
    assert player.trace.panel("regions").colours.tolist() == [[0] * 3, [255] * 3, [128] * 3]


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"image": torch.rand(1, 90, 130)}, ValueError, r"image has the shape \[1, 90, 130\]; a picture is \[3, H, W\], RGB"),
        ({"image": torch.rand(4, 90, 130)}, ValueError, r"image has the shape \[4, 90, 130\]; a picture is \[3, H, W\], RGB"),
        ({"image": torch.rand(3, 90, 131)}, ValueError, r"regions are those of a picture \[90, 130\], and image is \[90, 131\]"),
        ({"regions": torch.zeros(90, 130)}, TypeError, "takes regions and merges from course.models.selective_search"),
        ({"merges": 3}, TypeError, "takes regions and merges from course.models.selective_search"),
        ({"merges": []}, ValueError, "merges has 0 steps; of .* until one is left"),
        ({"shown": 0}, ValueError, "shown is 0; it takes a whole number from 1 to 200"),
        ({"shown": True}, ValueError, "shown is True"),
        ({"boxes": [[0, 0, 1]]}, ValueError, r"boxes has the shape \[1, 3\]; it takes boxes \[N, 4\]"),
        ({"boxes": [[5, 0, 1, 1]]}, ValueError, "x1 ≤ x2"),
        ({"truth": TRUTH}, ValueError, "truth says what the boxes should cover: pass boxes= too"),
        ({"boxes": TRUTH, "truth": TRUTH[[0] * 9]}, ValueError, r"truth holds 9 boxes; at most 8 can be followed: pass truth\[:8\]"),
        ({"boxes": TRUTH, "truth": TRUTH, "names": "ab"}, ValueError, "it takes a word for each of the 2 true boxes"),
        ({"scale": 3}, TypeError, "has no keyword 'scale'"),
    ],
)
def test_bad_input_is_one_sentence(change, error, sentence, face, regions):
    arguments = {"image": face, "regions": regions, "merges": group_steps(regions)} | change
    with pytest.raises(error, match=sentence) as raised:
        segwidgets.selective_search(arguments.pop("image"), arguments.pop("regions"), arguments.pop("merges"), **arguments)
    assert "\n" not in str(raised.value)
