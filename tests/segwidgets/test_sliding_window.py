"""`segwidgets.sliding_window` against unfold and the classifier itself, one patch at a time; its cost against counting by hand."""

import copy
import importlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from segwidgets.sliding_window import sliding_window

SIZE, STRIDE = 8, 4


@pytest.fixture(scope="module")
def photo():
    return torch.rand(3, 20, 29, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network():
    """A classifier of patches of 8 × 8 pixels that is convolutional without padding: run over a picture, it strides by 2."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 5, 3))


@pytest.fixture(scope="module")
def classifier(network):
    return nn.Sequential(network, nn.Flatten())


def by_unfold(photo, classifier, classes):
    """The map of probabilities, from torch's unfold, one patch after the other."""
    columns = F.unfold(photo[None], SIZE, stride=STRIDE)[0].T  # [L, 3 * 8 * 8]
    with torch.no_grad():
        scores = torch.cat([classifier(patch.reshape(1, 3, SIZE, SIZE)) for patch in columns])  # [L, K]
    return scores.softmax(1)[:, classes].sum(1).reshape(4, 6)


@pytest.mark.parametrize("index", [0, 3, [1, 4], range(5)], ids=str)
def test_the_map_is_the_classifier_s_answer_for_each_patch(photo, classifier, shown, index):
    player = sliding_window(photo, classifier, size=SIZE, stride=STRIDE, index=index)
    torch.testing.assert_close(shown(player, "windows"), by_unfold(photo, classifier, [index] if isinstance(index, int) else list(index)))
    assert shown(player, "windows", 0).isnan().all()


def test_each_step_is_a_window(photo, classifier, shown):
    trace = sliding_window(photo, classifier, size=SIZE, stride=STRIDE, index=1, name="stripe").trace
    assert len(trace.steps) == 1 + 24 + 1
    step = trace.steps[8]  # the eighth window is the second of the second row
    assert step.marks["photograph"]["read"] == [(4, 4, 12, 12)] and list(step.writes["windows"]) == [(1, 1)]
    assert step.text.startswith("Window 8 of 24: ") and "% stripe; so far" in step.text
    assert trace.values_at("windows", 8).size - np.isnan(trace.values_at("windows", 8)).sum() == 8


def test_hovering_a_cell_shows_its_window(photo, classifier):
    field = sliding_window(photo, classifier, size=SIZE, stride=STRIDE, index=1).trace.panel("windows").field
    assert (field.picture, field.size, field.stride, field.offset, field.pixels) == ("photograph", 8, 4, 4, 8)


def test_a_large_photograph_shrinks_and_its_windows_with_it(classifier):
    photo = torch.rand(3, 80, 720)
    trace = sliding_window(photo, lambda patches: patches.mean((2, 3)), size=40, stride=40, index=0).trace
    assert trace.panel("photograph").columns == 360
    assert trace.steps[2].marks["photograph"]["read"] == [(20, 0, 40, 20)]


def multiply_adds(size):
    """Of the network above on size × size pixels, by hand: positions × kernel × channels in × channels out."""
    first = (size[0] - 3) // 2 + 1, (size[1] - 3) // 2 + 1
    return first[0] * first[1] * 9 * 3 * 4 + (first[0] - 2) * (first[1] - 2) * 9 * 4 * 5


def test_the_cost_is_counted(photo, network, classifier):
    trace = sliding_window(photo, classifier, size=7, stride=2, index=1, convolutional=network).trace
    windows, window, whole = 7 * 12, multiply_adds((7, 7)), multiply_adds(photo.shape[1:])
    assert trace.panel("cost").note == "thousands"
    slid, at_once = trace.values_at("cost", -1)[:, 0]
    assert slid == pytest.approx(windows * window / 1000) and at_once == pytest.approx(whole / 1000)
    assert trace.values_at("cost", 10)[0, 0] == pytest.approx(10 * window / 1000)  # it rises with the windows
    assert f"multiply–adds, {windows * window / whole:.3g} times fewer" in trace.steps[-2].text
    assert trace.steps[10].arithmetic == f"10 × {window / 1000:.3g} thousand = {window / 100:.3g} thousand"


@pytest.mark.parametrize(
    ("operations", "total", "unit"),
    [(1_000_000, 24, "millions"), (lambda fn, x: 5 * x.shape[-1] ** 2, 24 * 320 / 1000, "thousands"), (2e12, 48, "trillions"), (3, 72, "")],
)
def test_the_cost_can_be_given_or_counted_by_a_function(photo, classifier, operations, total, unit):
    trace = sliding_window(photo, classifier, size=SIZE, stride=STRIDE, index=1, operations=operations).trace
    assert trace.values_at("cost", -1)[0, 0] == pytest.approx(total) and trace.panel("cost").note == unit


def test_the_convolutional_pass_gives_the_same_map_at_once(photo, network, classifier, shown):
    player = sliding_window(photo, classifier, size=SIZE, stride=STRIDE, index=2, convolutional=lambda x: network(x)[..., ::2, ::2])
    assert [panel.id for panel in player.trace.panels] == ["photograph", "windows", "pass", "difference", "cost"]
    assert shown(player, "pass", -3).isnan().all()
    torch.testing.assert_close(shown(player, "pass", -2), by_unfold(photo, classifier, [2]))
    torch.testing.assert_close(shown(player, "difference"), torch.zeros(4, 6), atol=1e-6, rtol=0)
    assert player.trace.steps[-1].text.startswith("The two maps agree: no cell differs by more than")


def test_where_the_passes_differ_is_marked(photo, network, classifier, shown):
    def wrong(x):
        scores = network(x)[0, :, ::2, ::2].clone()
        scores[0, 2, 3] += 5
        return scores  # [K, rows, columns]

    player = sliding_window(photo, classifier, size=SIZE, stride=STRIDE, index=0, convolutional=wrong)
    last = player.trace.steps[-1]
    assert last.text.startswith("The two maps do not agree: at row 2, column 3 they differ by 0.")
    assert last.marks == {"difference": {"wrong": [(2, 3)]}, "photograph": {"wrong": [(12, 8, 20, 16)]}}
    with torch.no_grad():
        expected = wrong(photo[None]).softmax(0)[0] - by_unfold(photo, classifier, [0])
    torch.testing.assert_close(shown(player, "difference"), expected)


def test_the_real_classifier_finds_the_cat(cat, shown):
    from course.models.backbones import efficientnet_lite0

    image, _, _ = cat
    player = sliding_window(image, efficientnet_lite0(), size=160, stride=32, index=[281, 282, 283, 284, 285], name="cat")
    assert shown(player, "windows").shape == (3, 3) and shown(player, "windows").max() > 0.5
    assert player.trace.nbytes < 1_000_000


@pytest.mark.gpu
@pytest.mark.parametrize("plain", [False, True], ids=["module", "function"])
def test_it_runs_where_the_classifier_is_or_else_the_photograph(photo, network, shown, plain):
    moved = copy.deepcopy(nn.Sequential(network, nn.Flatten())).cuda()
    given = (photo.cuda(), lambda patches: moved(patches)) if plain else (photo, moved)
    player = sliding_window(*given, size=SIZE, stride=STRIDE, index=1, convolutional=lambda x: moved[0](x)[..., ::2, ::2])
    torch.testing.assert_close(shown(player, "windows"), by_unfold(photo, nn.Sequential(network, nn.Flatten()), [1]), atol=1e-3, rtol=0)


def test_no_gradient_is_kept_and_the_mode_stays(photo, classifier):
    classifier.train()
    seen = []
    sliding_window(photo, lambda patches: seen.append(torch.is_grad_enabled()) or classifier(patches), size=8, stride=4, index=1)
    assert classifier.training and not any(seen)


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"size": 30}, ValueError, "window must fit into the picture of 20 × 29 pixels; got a window of 30 × 30"),
        ({"size": 0}, ValueError, "size is 0; it takes a whole number of pixels, 1 or more"),
        ({"stride": 2.5}, ValueError, "stride is 2.5; it takes a whole number of pixels"),
        ({"image": torch.rand(3, 90, 90), "stride": 1}, ValueError, "83×83 windows are too many to watch; 1024 can be shown: take"),
        ({"index": 5}, ValueError, "index is 5, and classifier has the classes 0 to 4"),
        ({"index": []}, ValueError, r"index is \[\], and classifier has the classes 0 to 4"),
        ({"index": ["cat"]}, ValueError, r"index is \['cat'\], and classifier has"),
        ({"image": torch.rand(1, 20, 20)}, ValueError, r"image has the shape \[1, 20, 20\]; a picture is \[3, H, W\]"),
        ({"classifier": lambda x: x}, ValueError, r"the shape \[6, 3, 8, 8\] for 6 patches; it should give scores \[6, K\]"),
        ({"classifier": lambda x: None}, ValueError, "classifier gave NoneType for 6 patches"),
        ({"classifier": lambda x: x.mean((1, 2, 3))[:, None], "index": 0}, ValueError, "gives scores for 1 class, and probabilities need"),
        ({"classifier": lambda x: x.mean((2, 3)) / 0}, ValueError, "classifier gave NaN or infinite scores"),
        ({"convolutional": lambda x: x}, ValueError, r"convolutional gave the shape \[3, 20, 29\]; it should give scores \[K, 4, 6\]"),
        ({"convolutional": lambda x: 3}, ValueError, "convolutional gave int; it should give scores"),
        ({"operations": 0}, ValueError, "operations is 0; it takes the multiply–adds of a window, above 0, or a function"),
        ({"operations": "many"}, ValueError, "operations is 'many'; it takes"),
        ({"strides": 3}, TypeError, r"segwidgets.sliding_window has no keyword 'strides'; did you mean 'stride'\?"),
    ],
    ids=lambda given: ", ".join(given) if isinstance(given, dict) else str(given),  # str of a function has its address
)  # fmt: skip
def test_what_cannot_be_shown_is_one_sentence(photo, classifier, change, error, sentence):
    given = {"image": photo, "classifier": classifier, "size": SIZE, "stride": STRIDE, "index": 1, **change}
    with pytest.raises(error, match=sentence) as caught:
        sliding_window(given.pop("image"), given.pop("classifier"), **given)
    assert "\n" not in str(caught.value)


def test_windows_one_pixel_off_fail_the_comparison(photo, classifier, shown, monkeypatch):
    module = importlib.import_module("segwidgets.sliding_window")
    right = module.window_view
    monkeypatch.setattr(module, "window_view", lambda image, *sizes: right(image.roll(1, -1), *sizes))
    with pytest.raises(AssertionError, match="Mismatched elements"):
        test_the_map_is_the_classifier_s_answer_for_each_patch(photo, classifier, shown, 0)
