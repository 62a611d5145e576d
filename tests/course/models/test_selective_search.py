"""Similarities and a grouping worked by hand; every merge against a slow search that looks at all pixels again; and what may be asked."""

import numpy as np
import pytest
import torch

from course.data.photos import cat, photo
from course.models import region_similarity as alike
from course.models.selective_search import (
    MODES,
    SIMILARITIES,
    Diversification,
    described,
    group,
    group_steps,
    initial_regions,
    ranked,
    selective_search,
)


@pytest.fixture(scope="module")
def face():
    return cat()[:, 60:150, 100:230]  # [3, 90, 130]


def ids(values):
    return "+".join(values) if isinstance(values, tuple) else str(values)


# Similarities


@pytest.mark.parametrize("kind", [torch.tensor, np.array], ids=["tensor", "array"])
@pytest.mark.parametrize("similarity", [alike.colour_similarity, alike.texture_similarity])
def test_histograms_intersect(similarity, kind):
    a, b = kind([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]), kind([[0.25, 0.25, 0.5], [0.0, 0.5, 0.5]])
    found = similarity(a, b)
    assert type(found) is type(a)
    assert found.tolist() == [0.75, 0.0]  # 0.25 + 0.25 + 0.25, and nothing in common
    assert similarity(a, a).tolist() == [1.0, 1.0]
    assert similarity(a[0], b).tolist() == [0.75, 0.5]  # one against many


def test_size_similarity():
    assert alike.size_similarity(10, 30, 200) == pytest.approx(0.8)
    assert alike.size_similarity(torch.tensor([10.0, 50.0]), 50, 100).tolist() == pytest.approx([0.4, 0.0])


@pytest.mark.parametrize("kind", [torch.tensor, np.array], ids=["tensor", "array"])
@pytest.mark.parametrize(
    ("box_a", "box_b", "size_a", "size_b", "right"),
    [
        ([0.0, 0, 4, 4], [4.0, 0, 8, 4], 16, 16, 1.0),  # side by side: no gap
        ([0.0, 0, 2, 2], [4.0, 4, 6, 6], 4, 4, 0.72),  # the box around both holds 36, 28 beside them
        ([0.0, 0, 10, 10], [2.0, 3, 4, 5], 96, 4, 1.0),  # in the hole of the other
        ([0.0, 0, 4, 1], [0.0, 1, 1, 5], 4, 4, 0.88),  # an L in a box of 4 × 5: 12 beside them
    ],
)
def test_fill_similarity(box_a, box_b, size_a, size_b, right, kind):
    assert float(alike.fill_similarity(kind(box_a), kind(box_b), size_a, size_b, 100)) == pytest.approx(right)
    assert float(alike.fill_similarity(kind(box_b), kind(box_a), size_b, size_a, 100)) == pytest.approx(right)


def test_a_merged_histogram_weighs_by_size():
    assert alike.merged_histogram(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 1, 3).tolist() == [0.25, 0.75]


# Histograms


def test_colour_bins_are_25_equal_ones():
    values = torch.tensor([0.0, 0.039, 0.041, 0.5, 0.959, 0.961, 1.0])
    assert alike.colour_bins(values).tolist() == [0, 0, 1, 12, 23, 24, 24]


def test_a_regions_histogram_counts_its_pixels():
    levels = torch.tensor([[[0, 1, 2], [2, 2, 0]], [[1, 1, 1], [0, 0, 2]]], dtype=torch.uint8)  # [2, 2, 3]
    labels = torch.tensor([[0, 0, 1], [1, 1, 1]])
    found = alike.region_histograms(levels, labels, 3)
    right = torch.tensor([[1 / 4, 1 / 4, 0, 0, 2 / 4, 0], [1 / 8, 0, 3 / 8, 2 / 8, 1 / 8, 1 / 8]])
    torch.testing.assert_close(found, right)


def test_textures_are_derivatives_of_a_gaussian_in_eight_directions(face):
    """Every pixel with its kernel, without SciPy: the sum over a window of 9 × 9."""
    pixels = face[1].double()
    x = torch.arange(-4, 5, dtype=torch.float64)
    bell = torch.exp(-(x**2) / 2) / torch.exp(-(x**2) / 2).sum()
    windows = pixels.unfold(0, 9, 1).unfold(1, 9, 1)  # [82, 122, 9, 9]
    across = torch.einsum("ijyx,y,x->ij", windows, bell, bell * x)  # rising to the right is positive
    down = torch.einsum("ijyx,y,x->ij", windows, bell * x, bell)
    found = alike.texture_bins(face)[8:16, 4:-4, 4:-4]
    for number, (right, below) in enumerate([(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)]):
        rise = (right * across + below * down) / (right**2 + below**2) ** 0.5
        exact = 10 * rise * (2 * np.pi) ** 0.5  # ten bins up to 1/√2π, the answer to the steepest step
        sure = (exact - exact.round()).abs() > 1e-4
        assert sure.double().mean() > 0.99
        assert torch.equal(found[number][sure].double(), exact.clamp(0, 9).floor()[sure])
    assert found.max() >= 3  # and not only flat places were compared


def test_a_step_is_steep_towards_the_light_and_nowhere_else():
    image = torch.zeros(1, 20, 20)
    image[..., 10:] = 1
    # Of the pixels x to the right, each counts x·e^(−x²/2): 10 · (0.607 + 0.271 + 0.033 + 0.001) = 9.12, and 6.45 at 45°.
    assert alike.texture_bins(image)[:, 10, 10].tolist() == [9, 6, 0, 0, 0, 0, 0, 6]
    assert alike.texture_bins(image.flip(2))[:, 10, 9].tolist() == [0, 0, 0, 6, 9, 6, 0, 0]
    assert alike.texture_bins(image.transpose(1, 2))[:, 10, 10].tolist() == [0, 6, 9, 6, 0, 0, 0, 0]
    assert not alike.texture_bins(image)[..., :5].any()


@pytest.mark.parametrize(
    ("name", "red"),
    [
        ("RGB", [1, 0, 0]),
        ("I", [1 / 3]),
        ("HSV", [0, 1, 1]),
        ("H", [0]),
        ("rgb", [256 / 258, 1 / 258, 1 / 258]),
        ("rgI", [256 / 258, 1 / 258, 1 / 3]),
        ("Lab", [0.5324, (80.09 + 128) / 255, (67.20 + 128) / 255]),  # sRGB's red: L* 53.24, a* 80.09, b* 67.20
    ],
)
def test_colour_spaces(name, red):
    image = torch.zeros(3, 2, 5)
    image[0] = 1
    found = alike.in_colour_space(image, name)
    assert found.dtype == torch.float32 and found.shape == (len(red), 2, 5)
    torch.testing.assert_close(found[:, 1, 3], torch.tensor(red, dtype=torch.float32), atol=2e-4, rtol=0)
    noise = alike.in_colour_space(torch.rand(3, 30, 30, generator=torch.Generator().manual_seed(0)), name)
    assert noise.min() >= 0 and noise.max() <= 1


def test_every_colour_space_is_tested():
    assert set(alike.COLOUR_SPACES) == {"RGB", "I", "HSV", "H", "rgb", "rgI", "Lab"}
    with pytest.raises(ValueError, match="no colour space 'CMYK'; accepted are RGB, I, Lab"):
        alike.in_colour_space(torch.zeros(3, 4, 4), "CMYK")


# Regions


def test_regions_of_a_small_picture():
    labels = torch.tensor([[0, 0, 1], [2, 0, 1], [2, 2, 3]])
    regions = described(labels, torch.full((3, 3, 3), 0.5), colour_space="RGB")
    assert regions.sizes.tolist() == [3, 2, 3, 1]
    assert regions.boxes.tolist() == [[0, 0, 2, 2], [2, 0, 3, 2], [0, 1, 2, 3], [2, 2, 3, 3]]
    assert regions.neighbours.tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]  # 0 and 3 meet at a corner only
    assert regions.colours.shape == (4, 75) and regions.textures.shape == (4, 240)
    for histograms in (regions.colours, regions.textures):
        torch.testing.assert_close(histograms.sum(1), torch.ones(4))


def test_the_start_is_a_segmentation(face):
    regions = initial_regions(face, scale=50)
    count = len(regions.sizes)
    assert count > 10 and regions.labels.shape == face.shape[1:]
    assert torch.equal(regions.labels.unique(), torch.arange(count))
    assert regions.sizes.min() >= 50 and regions.sizes.sum() == face[0].numel()
    assert initial_regions(face, scale=50, min_size=5).sizes.min() < 50
    assert len(initial_regions(face, scale=200).sizes) < count
    for region in (0, count // 2, count - 1):
        y, x = torch.nonzero(regions.labels == region, as_tuple=True)
        assert regions.boxes[region].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]


# Grouping


def test_a_grouping_by_hand():
    """Grey pixels 0 | 0 0 1 | 1 1 | ½ ½. Of region 1 two thirds are as region 0 and one third as region 2; region 3 is like none."""
    image = torch.tensor([[[0, 0, 0, 1, 1, 1, 0.5, 0.5]]]).expand(3, -1, -1)
    labels = torch.tensor([[0, 1, 1, 1, 2, 2, 3, 3]])
    regions = described(labels, image, colour_space="I")
    tree = group(regions, ("colour",))
    assert tree.children.tolist() == [[0, 1], [2, 4], [3, 5]]
    assert tree.sizes.tolist() == [1, 3, 2, 2, 4, 6, 8]
    assert tree.boxes[4:].tolist() == [[0, 0, 4, 1], [0, 0, 6, 1], [0, 0, 8, 1]]
    # Region 4 is three quarters 0 and one quarter 1, by its pixels; the plain mean of its parts would be 5/6 and 1/6.
    assert [step.similarity for step in group_steps(regions, ("colour",))] == pytest.approx([2 / 3, 1 / 4, 0])
    first, *_ = group_steps(regions, ("fill", "colour", "size"))
    assert (first.first, first.second, first.region, first.left) == (0, 1, 4, 3)
    assert first.parts == pytest.approx({"colour": 2 / 3, "size": 1 / 2, "fill": 1})
    assert first.similarity == pytest.approx(2 / 3 + 1 / 2 + 1)
    assert (first.size, first.box) == (4, (0, 0, 4, 1))
    assert first.arithmetic == "colour 0.667 + size 0.5 + fill 1 = 2.17"
    assert first.text == "Of all neighbours, regions 0 and 1 are most alike, 2.17: they become region 4, and 3 regions are left."


def test_of_pairs_that_are_equally_alike_the_lower_numbers_merge_first():
    image = torch.zeros(3, 2, 2)
    image[0, 0], image[2, 1, 0], image[1, 1, 1] = 1, 1, 1  # two red pixels above, a blue and a green one below
    tree = group(described(torch.arange(4).reshape(2, 2), image, colour_space="RGB"), ("colour",))
    assert tree.children.tolist() == [[0, 1], [2, 3], [4, 5]]  # after 0 and 1, all have one channel in common


@pytest.mark.parametrize("similarities", [SIMILARITIES, ("texture", "size", "fill"), ("colour",), ("size",), ("fill", "colour")], ids=ids)
@pytest.mark.parametrize("colour_space", ["Lab", "HSV"])
def test_every_merge_is_the_best_by_all_pixels(similarities, colour_space, face):
    """The oracle never updates anything: before each merge it counts every region's pixels again and compares all that touch."""
    image = alike.in_colour_space(face, colour_space)
    levels = {"colour": (alike.colour_bins(image), 25), "texture": (alike.texture_bins(image), 10)}
    regions = initial_regions(face, colour_space=colour_space, scale=60)
    labels, count = regions.labels.clone(), len(regions.sizes)
    assert count > 15
    steps, compared = 0, {}
    for step in group_steps(regions, similarities):
        parts = {pair: parts_by_pixels(labels, pair, levels, similarities) for pair in touching(labels)}
        total = {pair: sum(each.values()) for pair, each in parts.items()}
        assert not compared.keys() & step.compared.keys()
        compared |= step.compared
        for touching_pair, each in parts.items():  # nothing that touches has been left out, and nothing that was said is out of date
            assert compared[touching_pair] == pytest.approx(each, abs=1e-5)
        pair = (step.first, step.second)
        assert total[pair] == pytest.approx(max(total.values()), abs=1e-5)
        assert step.parts == pytest.approx(parts[pair], abs=1e-5)
        assert step.similarity == pytest.approx(total[pair], abs=1e-5)
        labels[(labels == step.first) | (labels == step.second)] = step.region
        y, x = torch.nonzero(labels == step.region, as_tuple=True)
        assert (step.size, step.box) == (len(y), (x.min(), y.min(), x.max() + 1, y.max() + 1))
        steps += 1
        assert step.left == len(labels.unique()) == count - steps
    assert steps == count - 1


def touching(labels):
    pairs = [*zip(labels[:, :-1].flatten().tolist(), labels[:, 1:].flatten().tolist(), strict=True)]
    pairs += zip(labels[:-1].flatten().tolist(), labels[1:].flatten().tolist(), strict=True)
    return {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}


def parts_by_pixels(labels, pair, levels, similarities):
    masks = [labels == region for region in pair]
    sizes = [int(mask.sum()) for mask in masks]
    parts = {}
    for name in {"colour", "texture"} & set(similarities):
        channels, bins = levels[name]
        a, b = (
            torch.cat([channel[mask].bincount(minlength=bins) for channel in channels]).double() / (size * len(channels))
            for mask, size in zip(masks, sizes, strict=True)
        )
        parts[name] = float(torch.minimum(a, b).sum())
    if "size" in similarities:
        parts["size"] = 1 - sum(sizes) / labels.numel()
    if "fill" in similarities:
        y, x = torch.nonzero(masks[0] | masks[1], as_tuple=True)
        around = int(x.max() - x.min() + 1) * int(y.max() - y.min() + 1)
        parts["fill"] = 1 - (around - sum(sizes)) / labels.numel()
    return parts


def test_the_hierarchy_is_a_tree_with_the_whole_picture_on_top(face):
    regions = initial_regions(face, scale=40)
    count = len(regions.sizes)
    tree = group(regions)
    assert len(tree.boxes) == len(tree.sizes) == 2 * count - 1 and tree.children.shape == (count - 1, 2)
    assert sorted(tree.children.flatten().tolist()) == list(range(2 * count - 2))  # every region but the last has one parent
    assert tree.boxes[-1].tolist() == [0, 0, 130, 90] and tree.sizes[-1] == 90 * 130
    torch.testing.assert_close(tree.sizes[count:], tree.sizes[tree.children].sum(1))
    steps = list(group_steps(regions))
    assert [[step.first, step.second] for step in steps] == tree.children.tolist()
    assert [list(step.box) for step in steps] == tree.boxes[count:].tolist()


@pytest.mark.parametrize("similarities", [(), ("colour", "shape"), "colour"], ids=str)
def test_only_the_four_similarities(similarities, face):
    with pytest.raises(ValueError, match="some of colour, texture, size, fill, in a tuple; got"):
        group(initial_regions(face, scale=300), similarities)


# Proposals


@pytest.mark.parametrize("mode", MODES)
def test_proposals_lie_in_the_picture_and_none_comes_twice(mode, face):
    boxes = selective_search(face, mode)
    assert boxes.dtype == torch.float32 and boxes.shape[1:] == (4,)
    x1, y1, x2, y2 = boxes.T
    assert (x1 >= 0).all() and (x1 < x2).all() and (x2 <= 130).all()
    assert (y1 >= 0).all() and (y1 < y2).all() and (y2 <= 90).all()
    assert len(boxes.unique(dim=0)) == len(boxes)
    assert [0, 0, 130, 90] in boxes.tolist()


def test_more_variety_gives_more_boxes(face):
    single, fast, quality = (len(selective_search(face, mode)) for mode in ("single", "fast", "quality"))
    assert single < fast < quality
    twice = Diversification(("Lab",), (50,), (SIMILARITIES, ("size",)))
    assert single < len(selective_search(face, twice)) < 2 * single


def test_the_boxes_of_every_hierarchy_are_there(face):
    boxes = {tuple(box) for box in selective_search(face, "fast").tolist()}
    measures = (SIMILARITIES, ("texture", "size", "fill"), ("colour", "size", "fill"))
    parts = [group(initial_regions(face, scale=k), names).boxes.tolist() for k in (25, 150) for names in measures]
    assert boxes == {tuple(box) for part in parts for box in part}


def test_objects_are_found_to_the_pixel():
    image = torch.full((3, 120, 160), 0.2)
    objects = {(20, 30, 60, 90): (0.9, 0.1, 0.1), (90, 40, 150, 80): (0.1, 0.7, 0.2), (100, 90, 130, 110): (0.1, 0.2, 0.9)}
    for (x1, y1, x2, y2), colour in objects.items():
        image[:, y1:y2, x1:x2] = torch.tensor(colour)[:, None, None]
    for mode in MODES:
        assert set(objects) <= {tuple(box) for box in selective_search(image, mode).tolist()}


def test_the_order_is_position_times_chance():
    trees = [torch.tensor([[0.0, 0, 1, 1], [1, 0, 2, 1], [0, 0, 2, 1]]), torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1], [0, 0, 9, 9]])]
    chance = np.random.default_rng(7).random(6)
    from_the_top = [*trees[0].tolist()[::-1], *trees[1].tolist()[::-1]]
    right = []
    for _, box in sorted(zip(np.array([1, 2, 3, 1, 2, 3]) * chance, from_the_top, strict=True)):
        if box not in right:
            right.append(box)
    assert ranked(trees, seed=7).tolist() == right and len(right) == 5
    orders = [ranked(trees, seed=seed).tolist() for seed in range(200)]
    first = [order[0] for order in orders]
    assert first.count([0, 0, 9, 9]) > first.count([0, 0, 2, 2]) > 0  # the top is the first more often than the third below, not always


def test_the_same_picture_gives_the_same_boxes_and_touches_no_random_state(face):
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    image = face.clone()
    first, second, other = selective_search(image), selective_search(image), selective_search(image, seed=1)
    assert torch.equal(first, second)
    assert not torch.equal(first, other) and torch.equal(first.unique(dim=0), other.unique(dim=0))
    assert torch.equal(image, face)
    assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()


def test_bytes_are_as_good_as_floats(face):
    whole = (face * 255).round().to(torch.uint8)
    assert torch.equal(selective_search(whole), selective_search(whole.float() / 255))


def test_a_grey_picture_is_one_of_three_equal_channels():
    grey = photo("coins")[:1, 100:180, 100:200]  # [1, 80, 100]
    boxes = selective_search(grey)
    assert len(boxes) > 20
    assert torch.equal(boxes, selective_search(grey[0])) and torch.equal(boxes, selective_search(grey.expand(3, -1, -1)))


@pytest.mark.parametrize("mode", MODES)
def test_one_colour_is_one_region(mode):
    assert selective_search(torch.full((3, 40, 50), 0.3), mode).tolist() == [[0, 0, 50, 40]]
    assert selective_search(torch.zeros(3, 40, 50), mode).tolist() == [[0, 0, 50, 40]]
    regions = initial_regions(torch.zeros(3, 4, 5))
    assert list(group_steps(regions)) == [] and group(regions).children.shape == (0, 2)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (2, 2), (1, 200)])
def test_the_smallest_pictures(height, width):
    image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    assert [0, 0, width, height] in selective_search(image).tolist()
    pixels = described(torch.arange(height * width).reshape(height, width), image)
    assert len(group(pixels).boxes) == 2 * height * width - 1


@pytest.mark.parametrize(
    ("image", "error", "sentence"),
    [
        (torch.full((3, 8, 8), float("nan")), ValueError, "NaN"),
        (torch.full((3, 8, 8), 7.0), ValueError, "accepted are 0 to 1"),
        (torch.zeros(2, 5, 8, 8), ValueError, r"shape \[H, W\] or \[C, H, W\]"),
        (torch.zeros(3, 0, 8), ValueError, "empty"),
        (np.zeros((8, 8, 3)), TypeError, "torch.Tensor of shape .3, H, W.; got ndarray"),
    ],
    ids=["NaN", "7", "shape", "empty", "array"],
)
def test_no_such_picture(image, error, sentence):
    for ask in (selective_search, initial_regions):
        with pytest.raises(error, match=sentence):
            ask(image)


def test_no_such_mode_scale_or_labels(face):
    with pytest.raises(ValueError, match="no mode 'best'; accepted are single, fast, quality"):
        selective_search(face, "best")
    for numbers in ({"scale": 0}, {"scale": float("nan")}, {"sigma": -1}):
        with pytest.raises(ValueError, match="scale must be above 0 and sigma at least 0"):
            initial_regions(face, **numbers)
    with pytest.raises(ValueError, match="min_size must be at least 0"):
        initial_regions(face, min_size=-1)
    for labels, error in [
        (torch.zeros(90, 130), TypeError),
        (torch.zeros(9, 13, dtype=torch.long), ValueError),
        (torch.ones(90, 130, dtype=torch.long), ValueError),
        (-torch.ones(90, 130, dtype=torch.long), ValueError),
    ]:
        with pytest.raises(error, match="labels must"):
            described(labels, face)


@pytest.mark.gpu
def test_boxes_come_back_where_the_picture_is(face):
    boxes = selective_search(face.cuda())
    assert boxes.is_cuda and torch.equal(boxes.cpu(), selective_search(face))
