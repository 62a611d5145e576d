"""`segwidgets.feature_ladder` climbs as torch does: F.interpolate, and add."""

import importlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course.ops.labels import colour_labels
from segwidgets.feature_ladder import feature_ladder

IMAGE = torch.rand(3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def scores():
    """Layers of three classes whose finest scores, times their stride, make 64 × 96 pixels."""
    generator = torch.Generator().manual_seed(0)
    return {stride: torch.randn(3, 64 // stride, 96 // stride, generator=generator) for stride in (32, 16, 8)}


def up(x, size):
    return F.interpolate(x[None], size=tuple(size), mode="bilinear", align_corners=False)[0]


def climbed(scores):
    sixteen = scores[16] + up(scores[32], (4, 6))
    return {32: scores[32], 16: sixteen, 8: scores[8] + up(sixteen, (8, 12))}


@pytest.mark.parametrize("index", [0, 2])
def test_every_rung_is_torch_s(scores, shown, index):
    player = feature_ladder(scores, index=index)
    for stride, expected in climbed(scores).items():
        torch.testing.assert_close(shown(player, f"stride {stride}"), expected[index])
    assert shown(player, "stride 16", 1).isnan().all() and shown(player, "stride 8", 3).isnan().all()
    torch.testing.assert_close(shown(player, "stride 16", 2), up(scores[32], (4, 6))[index])  # enlarged, nothing new


def test_the_labels_at_each_rung_are_the_largest_scores(scores):
    trace = feature_ladder(scores).trace
    assert [trace.frame_at("labels", i) for i in range(6)] == [0, 1, 1, 2, 2, 3]
    for frame, rung in zip(trace.panel("labels").frames[1:], climbed(scores).values(), strict=True):
        labels = up(rung, (64, 96)).argmax(0)
        assert (frame.pixels == colour_labels(labels).movedim(0, -1).numpy()).all()


def test_the_caption_counts_what_changes(scores):
    trace, rungs = feature_ladder(scores).trace, climbed(scores)
    before, after = (up(rungs[stride], (64, 96)).argmax(0) for stride in (32, 16))
    moved = (before != after).double().mean().item()
    assert f"{moved:.1%} of the pixels change their label." in trace.steps[3].text and trace.steps[3].text.startswith("FCN-16s")


def test_the_truth_is_outlined_and_counted(scores):
    truth = torch.zeros(64, 96, dtype=torch.long)
    truth[20:40, 30:60] = 2
    truth[:4] = 255
    trace = feature_ladder(scores, IMAGE, truth=truth).trace
    labels = up(climbed(scores)[8], (64, 96)).argmax(0)
    right = (labels == truth)[truth != 255].double().mean().item()
    assert trace.steps[-1].text.endswith(f"; {right:.1%} are right.")
    for frame in trace.panel("labels").frames:
        assert tuple(frame.pixels[20, 40]) == (0, 158, 115)  # on the outline, in green
        assert tuple(frame.pixels[30, 45]) != (0, 158, 115)


def test_labels_lie_on_the_photograph(scores):
    trace = feature_ladder(scores, IMAGE).trace
    frames = trace.panel("labels").frames
    assert (frames[0].pixels == (IMAGE.permute(1, 2, 0) * 255).round().numpy()).all()
    labels = up(climbed(scores)[8], (64, 96)).argmax(0)
    grey = 255 * IMAGE.mean(0)[..., None].numpy()
    expected = 0.62 * colour_labels(labels).movedim(0, -1).numpy() + 0.38 * grey
    assert np.abs(frames[3].pixels - expected).max() <= 1.5


def test_all_rungs_share_one_range_of_colours_and_have_the_same_width(scores):
    trace = feature_ladder(scores, index=1).trace
    grids = [trace.panel(f"stride {stride}") for stride in (32, 16, 8)]
    top = max(float(rung[1].abs().max()) for rung in climbed(scores).values())
    assert all(grid.limits == pytest.approx((-top, top)) and grid.width == 8 and grid.paint == "signed" for grid in grids)
    assert [grid.note for grid in grids] == ["[3, 2, 3]", "[3, 4, 6]", "[3, 8, 12]"]


def test_hovering_says_what_was_added(scores):
    terms = feature_ladder(scores, index=1).trace.steps[3].terms["stride 16"]
    value = scores[16][1, 2, 5].item()
    assert terms[(2, 5)].strip("()").lstrip("−") == f"{abs(value):.3g}"


def test_two_layers_and_other_strides_will_do(shown):
    scores = {4: torch.randn(2, 16, 16), 16: torch.randn(1, 2, 4, 4)}  # in any order, with or without the batch
    player = feature_ladder(scores, index=1)
    torch.testing.assert_close(shown(player, "stride 4"), scores[4][1] + up(scores[16][0], (16, 16))[1])
    assert [panel.id for panel in player.trace.panels] == ["stride 16", "stride 4", "labels"]


def test_the_class_that_is_drawn_is_the_one_with_most_pixels(scores, shown):
    scores[32][2] += 50
    torch.testing.assert_close(shown(feature_ladder(scores), "stride 32"), scores[32][2])
    scores[32][0] += 100  # all background: the first of the others
    torch.testing.assert_close(shown(feature_ladder(scores), "stride 32"), scores[32][1])


def test_the_legend_names_the_labels_that_are_seen(scores):
    scores[32][1] -= 100
    legend = feature_ladder(scores, classes=("sky", "cat", "grass")).trace.panel("labels").legend
    assert [name for name, _ in legend] == ["sky", "grass"]


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        (lambda s: feature_ladder({32: s[32]}), ValueError, r"scores takes at least two layers, \{stride: \[K, h, w\]\}, such as"),
        (lambda s: feature_ladder([s[32], s[16]]), ValueError, "scores takes at least two layers"),
        (lambda s: feature_ladder({**s, 4: s[8]}), ValueError, r"scores\[4\] has the shape .*, and after scores\[8\] \[3, 16, 24\]"),
        (lambda s: feature_ladder({**s, 8: s[8][:2]}), ValueError, r"\[2, 8, 12\], and after scores\[16\] \[3, 8, 12\]"),
        (lambda s: feature_ladder({**s, 8: s[8][0]}), ValueError, r"shape \[8, 12\]; it takes \[K, h, w\] with two classes"),
        (lambda s: feature_ladder({**s, 8: s[8] / 0}), ValueError, r"scores\[8\] has NaN or infinite values"),
        (lambda s: feature_ladder({2: torch.zeros(2, 66, 66), 4: torch.zeros(2, 33, 33)}), ValueError, "finest scores have 66×66 cells"),
        (lambda s: feature_ladder(s, IMAGE[:, :63]), ValueError, "image has 63×96 pixels, and the finest scores stand for 64×96"),
        (lambda s: feature_ladder(s, index=3), ValueError, "index is 3, and scores has the classes 0 to 2"),
        (lambda s: feature_ladder(s, index="cat"), ValueError, "index is 'cat', and scores has the classes 0 to 2"),
        (lambda s: feature_ladder(s, classes=("a", "b")), ValueError, r"classes is \('a', 'b'\); it takes 3 names"),
        (lambda s: feature_ladder(s, truth=torch.zeros(8, 8)), ValueError, r"truth has the shape \[8, 8\]; it takes a label for each"),
        (lambda s: feature_ladder(s, images=IMAGE), TypeError, r"feature_ladder has no keyword 'images'; did you mean 'image'\?"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_one_sentence(scores, change, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        change(scores)
    assert "\n" not in str(caught.value)


def test_a_rung_that_is_not_enlarged_as_torch_does_fails_the_comparison(scores, shown, monkeypatch):
    from course.ops.interpolation import interpolate_nearest

    monkeypatch.setattr(importlib.import_module("segwidgets.feature_ladder"), "interpolate_bilinear", interpolate_nearest)
    with pytest.raises(AssertionError, match="Mismatched elements"):
        test_every_rung_is_torch_s(scores, shown, 0)
