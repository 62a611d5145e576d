"""`segwidgets.unpool`: four ways up, each against torch; and the pair of pooling and unpooling, linked by its switches."""

import importlib
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import segwidgets
from course.ops.unpooling import max_unpool_steps


def nails(x):
    """Bed of nails as torch has it: max unpooling with every switch in its block's upper-left corner."""
    rows, columns = x.shape
    switches = torch.arange(rows)[:, None] * 2 * (2 * columns) + torch.arange(columns) * 2
    return F.max_unpool2d(x[None, None], switches[None, None], 2)[0, 0]


WAYS = {
    "nearest": lambda x: F.interpolate(x[None, None], scale_factor=2)[0, 0],
    "bed_of_nails": nails,
    "bilinear": lambda x: F.interpolate(x[None, None], scale_factor=2, mode="bilinear")[0, 0],
}


@pytest.mark.parametrize("mode", WAYS)
def test_the_last_step_is_torch_s_answer(x, cat, shown, mode):
    small = F.max_pool2d(cat[1], 2)[0, 18]  # [14, 14]
    for plane in (x, x[:3, :2], small):
        player = segwidgets.unpool(plane, 2, mode=mode)
        torch.testing.assert_close(shown(player, "output"), WAYS[mode](plane))
        assert shown(player, "output", 0).isnan().all()


@pytest.mark.parametrize("mode", ["nearest", "bed_of_nails", "bilinear"])
def test_the_scale_may_differ_between_rows_and_columns(small, shown, mode):
    assert shown(segwidgets.unpool(small, (3, 1), mode=mode), "output").shape == (6, 2)


@pytest.mark.parametrize("window", [(2, None, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)], ids=str)
def test_max_unpooling_returns_values_to_torch_s_switches(shown, window):
    before = torch.randperm(36, generator=torch.Generator().manual_seed(1)).reshape(6, 6).float()
    pooled, switches = F.max_pool2d(before[None, None], *window, return_indices=True)
    player = segwidgets.unpool(None, *window, switches_from=before)
    # Where windows share a switch they carry the same value, so torch's answer is one, too.
    expected = F.max_unpool2d(pooled, switches, *window, output_size=(6, 6))[0, 0]
    torch.testing.assert_close(shown(player, "output"), expected)
    torch.testing.assert_close(shown(player, "pooled"), pooled[0, 0])


def test_other_values_go_back_to_the_same_places(x, small, shown):
    player = segwidgets.unpool(small, switches_from=x)
    _, switches = F.max_pool2d(x[None, None], 2, return_indices=True)
    torch.testing.assert_close(shown(player, "output"), F.max_unpool2d(small[None, None], switches, 2)[0, 0])
    assert [panel.id for panel in player.trace.panels] == ["input", "pooled", "features", "output"]


def test_it_works_on_real_features(cat, shown):
    image, features, field = cat
    pooled, switches = F.max_pool2d(features, 2, return_indices=True)
    player = segwidgets.unpool(switches_from=features, channel=18, image=image, field=field)
    torch.testing.assert_close(shown(player, "output"), F.max_unpool2d(pooled, switches, 2)[0, 18])
    torch.testing.assert_close(shown(player, "pooled", 0), pooled[0, 18])  # there from the start: hundreds of steps less
    assert player.trace.nbytes < 1_000_000


def test_both_ends_of_every_switch_stay_lit(x, small):
    trace = segwidgets.unpool(small, switches_from=x).trace
    switches = F.max_pool2d(x[None], 2, return_indices=True)[1].flatten().tolist()
    places = {divmod(switch, 4) for switch in switches}
    for panel in ("input", "output"):
        assert set(trace.kept_at(panel, len(trace.steps))) == places
    half_way = len(trace.steps) // 2
    assert set(trace.kept_at("input", half_way)) == places and not trace.kept_at("output", half_way)


def test_while_a_value_goes_up_the_window_of_its_switch_is_marked(x, small):
    trace = segwidgets.unpool(small, switches_from=x).trace
    up = next(step for step in trace.steps if step.writes.get("output"))
    assert sorted(up.marks["input"]["read"]) == [(0, 0), (0, 1), (1, 0), (1, 1)] and list(up.marks["input"]["chosen"]) == [(1, 1)]
    assert list(up.marks["pooled"]["read"]) == [(0, 0)] and list(up.marks["features"]["read"]) == [(0, 0)]
    assert list(up.marks["output"]["write"]) == [(1, 1)]


def test_channel_and_batch_choose_the_plane(shown):
    batch = torch.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)
    torch.testing.assert_close(shown(segwidgets.unpool(batch, channel=2, batch=1), "input"), batch[1, 2])
    large = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(shown(segwidgets.unpool(batch, switches_from=large, channel=2, batch=1), "features"), batch[1, 2])


def test_a_small_map_without_a_channel_goes_with_a_larger_one_s_switches(shown):
    features = torch.rand(1, 3, 4, 4)
    with pytest.raises(ValueError, match="channel is 2, and x has the channels 0 to 0"):
        segwidgets.unpool(torch.ones(2, 2), switches_from=features, channel=2)


@pytest.mark.parametrize("mode", ["nearest", "bed_of_nails", "bilinear"])
def test_the_student_s_function_stands_beside(x, shown, mode):
    def mine(x, scale):
        images, channels, height, width = x.shape  # as the exercises' checks call it
        return WAYS[mode](x[0, 0])[None, None]

    def zeros(x):  # a lesson's function knows only x
        return torch.zeros(1, 1, 8, 8)

    same = segwidgets.unpool(x, mode=mode, fn=mine)
    assert same.trace.steps[-1].text == "Yours is the same in every cell."
    different = segwidgets.unpool(x, mode=mode, fn=zeros)
    assert different.trace.steps[-1].text.startswith("Yours differs in")
    torch.testing.assert_close(shown(different, "yours"), torch.zeros(8, 8))


def test_the_student_s_max_unpool_stands_beside(x, small):
    def transposed(x, indices, kernel_size, stride, padding, output_size):
        return F.max_unpool2d(x, indices, kernel_size, stride, padding, output_size).mT

    last = segwidgets.unpool(small, switches_from=x, fn=transposed).trace.steps[-1].text
    assert last.startswith("Yours differs in 4 of 16 cells, first at row 0, column 2")


def one_column_too_far(x, indices, *rest):
    for step in max_unpool_steps(x, indices, *rest):
        shifted = {(row, (column + 1) % 4): value for (row, column), value in step.writes["output"].items()}
        yield replace(step, writes={"output": shifted})


def test_an_off_by_one_in_a_step_fails_the_comparison(x, small, shown, monkeypatch):
    monkeypatch.setattr(importlib.import_module("segwidgets.unpool"), "max_unpool_steps", one_column_too_far)
    with pytest.raises(AssertionError, match="Mismatched elements"):
        test_other_values_go_back_to_the_same_places(x, small, shown)
