"""`segwidgets.pool` shows what torch computes, on numbers to check by hand and on a real network's features."""

import importlib
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

import segwidgets
from course.ops.pooling import max_pool, max_pool_steps

SIZES = [(2, None, 0), (3, 1, 1), ((2, 1), (1, 2), (1, 0)), (3, 2, 0)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(("mode", "torchs"), [("max", F.max_pool2d), ("average", F.avg_pool2d)])
def test_the_last_step_is_torch_s_answer(x, shown, mode, torchs, sizes):
    player = segwidgets.pool(x, *sizes, mode=mode)
    torch.testing.assert_close(shown(player, "pooled"), torchs(x[None], *sizes)[0])
    torch.testing.assert_close(shown(player, "input", 0), x)
    assert shown(player, "pooled", 0).isnan().all()


@pytest.mark.parametrize(("mode", "torchs"), [("max", F.max_pool2d), ("average", F.avg_pool2d)])
def test_the_last_step_is_torch_s_answer_on_real_features(cat, shown, mode, torchs):
    image, features, field = cat
    player = segwidgets.pool(features, mode=mode, channel=18, image=image, field=field)
    torch.testing.assert_close(shown(player, "pooled"), torchs(features, 2)[0, 18])
    assert [panel.id for panel in player.trace.panels] == ["photograph", "input", "pooled"]


def test_the_lit_cells_are_torch_s_indices(cat, x):
    _, features, _ = cat
    for plane in (x, features[0, 18]):
        indices = F.max_pool2d(plane[None], 2, return_indices=True)[1].flatten().tolist()
        trace = segwidgets.pool(plane).trace
        kept = [row * plane.shape[1] + column for row, column in trace.kept_at("input", len(trace.steps))]
        zero = {index for index in indices if plane.flatten()[index] == 0}  # idle switches of a feature map stay dark
        assert set(kept) == (set(indices) - zero if plane is not x else set(indices))


def test_channel_and_batch_choose_the_plane(shown):
    batch = torch.arange(2 * 3 * 4 * 4.0).reshape(2, 3, 4, 4)
    torch.testing.assert_close(shown(segwidgets.pool(batch, channel=2, batch=1), "input"), batch[1, 2])
    torch.testing.assert_close(shown(segwidgets.pool(batch[0], channel=1), "input"), batch[0, 1])
    assert segwidgets.pool(batch, channel=2, batch=1).trace.panel("input").note == "[2, 3, 4, 4]"
    assert segwidgets.pool(batch, channel=2, batch=1).trace.panel("pooled").note == "[2, 3, 2, 2]"


def test_every_plane_reads_and_writes_its_own_cells(x):
    """The second of four windows reads columns 2 and 3 of the first two rows, chooses the 6, and writes it right above."""
    step = segwidgets.pool(x).trace.steps[2]
    assert sorted(step.marks["input"]["read"]) == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert list(step.marks["input"]["chosen"]) == [(0, 2)]
    assert step.writes == {"pooled": {(0, 1): 6.0}}
    assert step.text.endswith("write 6.") and ("6", "chosen") in step.spans


def test_cells_look_where_the_receptive_field_says():
    image = torch.rand(3, 64, 96)
    trace = segwidgets.pool(torch.rand(8, 12), image=image, field=(24, 8, 4)).trace
    assert trace.panel("photograph").pixels.shape == (64, 96, 3)
    field = trace.panel("input").field
    assert (field.picture, field.size, field.stride, field.offset, field.pixels) == ("photograph", 24, 8, 4, 24)
    wider = trace.panel("pooled").field  # of a 2×2 window: 8 pixels more, centred between the four
    assert (wider.size, wider.stride, wider.offset) == (32, 16, 8)


def test_without_a_field_each_cell_stands_for_its_share_of_the_photograph():
    field = segwidgets.pool(torch.rand(8, 12), image=torch.rand(3, 64, 96)).trace.panel("input").field
    assert (field.size, field.stride, field.offset) == (8, 8, 4)


def test_a_large_photograph_shrinks_and_its_fields_with_it():
    image = torch.rand(3, 480, 720)
    trace = segwidgets.pool(torch.rand(8, 12), image=image, field=(100, 60, 30)).trace
    assert trace.panel("photograph").pixels.shape == (240, 360, 3)
    field = trace.panel("input").field
    assert (field.size, field.stride, field.offset, field.pixels) == (50, 30, 15, 100)
    assert trace.panel("photograph").note == "[3, 480, 720]"


# ---- the student's own function -----------------------------------------------------------------------------------------


def right(x, kernel_size, stride=None, padding=0):
    return F.max_pool2d(x.reshape(1, 1, *x.shape[-2:]), kernel_size, stride, padding)[0, 0]


def wrong(x, kernel_size, stride=None, padding=0):
    return right(x, kernel_size, stride, padding).flip(1)


def test_a_right_function_is_the_same_in_every_cell(x, shown):
    for fn in (right, max_pool):
        player = segwidgets.pool(x, fn=fn)
        torch.testing.assert_close(shown(player, "yours"), shown(player, "pooled"))
        assert player.trace.steps[-1].text == "Yours is the same in every cell."
        assert not any("wrong" in roles and roles["wrong"] for step in player.trace.steps for roles in step.marks.values())


def test_a_wrong_function_is_marked_where_it_is_wrong(x, shown):
    player = segwidgets.pool(x, fn=wrong)
    torch.testing.assert_close(shown(player, "yours"), wrong(x, 2))
    first = player.trace.steps[1]
    assert first.marks["yours"]["wrong"] == [(0, 0)] and "Yours has 6 at row 0, column 0, where 5 belongs." in first.text
    assert player.trace.steps[-1].text == "Yours differs in 4 of 4 cells, first at row 0, column 0: 6 instead of 5."


def test_a_function_cannot_change_what_is_shown(x, shown):
    def greedy(x, kernel_size, stride=None, padding=0):
        return x.zero_()[..., :2, :2]

    before = x.clone()
    player = segwidgets.pool(x, fn=greedy)
    torch.testing.assert_close(shown(player, "input"), before)
    torch.testing.assert_close(x, before)


@pytest.mark.parametrize(
    ("fn", "error", "sentence"),
    [
        (lambda x, *rest: 1 / 0, ValueError, r"<lambda>\(x, .*\), called with planes .*, raised ZeroDivisionError: division by zero"),
        (lambda x, switches: x, ValueError, "<lambda> returned the shape"),
        (lambda x, *rest: None, ValueError, "<lambda> returned NoneType, and a tensor of shape \\[1, 1, 2, 2\\] was expected"),
        (lambda x, *rest: x, ValueError, "<lambda> returned the shape \\[1, 1, 4, 4\\], and \\[1, 1, 2, 2\\] was expected"),
        (lambda x, *rest: x[..., :2, :2] / 0, ValueError, "<lambda> returned NaN or infinite values"),
        (lambda x, *rest: x[..., :2, :2] > 0, TypeError, "what <lambda> returned holds bool values"),
        (3, ValueError, r"your function\(.*\), called .*, raised TypeError: 'int' object is not callable"),
    ],
)
def test_a_function_that_fails_is_one_sentence(x, fn, error, sentence):
    with pytest.raises(error, match=sentence):
        segwidgets.pool(x, fn=fn)


# ---- broken on purpose --------------------------------------------------------------------------------------------------


def one_column_too_far(*arguments):
    for step in max_pool_steps(*arguments):
        shifted = {(row, (column + 1) % 2): value for (row, column), value in step.writes["output"].items()}
        yield replace(step, writes={**step.writes, "output": shifted})


def one_row_too_high(*arguments):
    for step in max_pool_steps(*arguments):
        yield replace(step, chosen={"input": tuple((row - 1, column) for row, column in step.chosen["input"])})


def test_an_off_by_one_in_a_step_fails_the_comparison(x, shown, monkeypatch):
    module = importlib.import_module("segwidgets.pool")
    monkeypatch.setitem(module.OPERATIONS, "max", (max_pool, one_column_too_far))
    with pytest.raises(AssertionError, match="Mismatched elements: 4 / 4"):
        test_the_last_step_is_torch_s_answer(x, shown, "max", F.max_pool2d, (2, None, 0))


def test_a_step_outside_the_grid_is_refused(x, monkeypatch):
    module = importlib.import_module("segwidgets.pool")
    monkeypatch.setitem(module.OPERATIONS, "max", (max_pool, one_row_too_high))
    with pytest.raises(ValueError, match="touches cell \\(-1, 2\\) of 'input', which has 4 rows"):
        segwidgets.pool(x)
