import torch

from course.ops.pooling import max_pool
from course.ops.step import replay
from course.ops.unpooling import bed_of_nails, bed_of_nails_steps, max_unpool, max_unpool_steps, nearest, nearest_steps

POOLED = torch.tensor([[1.0, 2], [3, 4]])
SWITCHES = torch.tensor([[5, 2], [12, 15]])


def test_nearest_by_hand():
    assert nearest(POOLED, 2).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert nearest(POOLED, (1, 3)).tolist() == [[1, 1, 1, 2, 2, 2], [3, 3, 3, 4, 4, 4]]


def test_bed_of_nails_by_hand():
    assert bed_of_nails(POOLED, 2).tolist() == [[1, 0, 2, 0], [0, 0, 0, 0], [3, 0, 4, 0], [0, 0, 0, 0]]
    assert bed_of_nails(POOLED, (2, 1)).tolist() == [[1, 2], [0, 0], [3, 4], [0, 0]]


def test_max_unpool_by_hand():
    assert max_unpool(POOLED, SWITCHES, 2).tolist() == [[0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]]


def test_max_unpool_of_a_plane_of_odd_size():
    x = torch.arange(25.0).view(5, 5)
    values, indices = max_pool(x, 2)
    expected = torch.zeros(5, 5)
    for row, column in ((1, 1), (1, 3), (3, 1), (3, 3)):
        expected[row, column] = x[row, column]
    torch.testing.assert_close(max_unpool(values, indices, 2, output_size=(5, 5)), expected)
    torch.testing.assert_close(max_unpool(values, indices, 2, output_size=x.shape), expected)
    torch.testing.assert_close(max_unpool(values[None, None], indices[None, None], 2, output_size=(1, 1, 5, 5))[0, 0], expected)


def test_of_values_that_share_a_switch_the_last_is_kept():
    # Windows of 3 every 1: both columns found their maximum in the middle of the same row.
    indices = torch.tensor([[1, 1], [6, 4]])
    x = torch.tensor([[1.0, 2], [3, 4]], requires_grad=True)
    output = max_unpool(x, indices, 3, 1)
    assert output.tolist() == [[0, 2, 0, 0], [4, 0, 3, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    output.sum().backward()
    assert x.grad.tolist() == [[0, 1], [1, 1]]


def test_a_kept_zero_replaces_an_earlier_value_and_nan_does_not_leak():
    indices = torch.tensor([[1, 1]])
    assert max_unpool(torch.tensor([[5.0, 0.0]]), indices, (1, 2), 1).tolist() == [[0, 0, 0]]
    assert max_unpool(torch.tensor([[torch.nan, 2.0]]), indices, (1, 2), 1).tolist() == [[0, 2, 0]]


def test_planes_may_repeat_each_others_indices():
    assert max_unpool(POOLED.expand(2, 2, 2), SWITCHES.expand(2, 2, 2), 2)[1].tolist() == max_unpool(POOLED, SWITCHES, 2).tolist()


def test_a_mask_keeps_its_dtype():
    for dtype in (torch.uint8, torch.int64):
        assert nearest(POOLED.to(dtype), 2).dtype == dtype
        assert bed_of_nails(POOLED.to(dtype), 2).dtype == dtype
        assert max_unpool(POOLED.to(dtype), SWITCHES, 2).dtype == dtype


def test_a_step_of_max_unpool():
    steps = list(max_unpool_steps(POOLED, SWITCHES, 2))
    assert len(steps) == 4
    step = steps[2]
    assert step.sentence == "The switch for [3|read] says row 3, column 0: write [3|write] there; the rest of its window stays 0."
    assert step.arithmetic == "12 = 3 × 4 + 0: output[3, 0] = 3"
    assert step.reads == {"input": ((1, 0),), "indices": ((1, 0),)}
    assert step.writes == {"output": {(2, 0): 0, (2, 1): 0, (3, 0): 3, (3, 1): 0}}
    assert step.chosen == {"indices": ((1, 0),)}


def test_side_by_side_windows_fill_the_whole_output():
    state = replay(max_unpool_steps(POOLED, SWITCHES, 2), {"output": torch.full((4, 4), 7777.0)})
    torch.testing.assert_close(state["output"], max_unpool(POOLED, SWITCHES, 2))


def test_overlapping_steps_write_no_zero_over_an_earlier_value():
    indices = torch.tensor([[5, 5], [6, 9]])
    steps = list(max_unpool_steps(POOLED, indices, 3, 1))
    assert steps[0].text == "The switch for 1 says row 1, column 1: write 1 there; the rest of its window stays 0."
    assert steps[1].text == "The switch for 2 says row 1, column 1: write 2 there, over the 1 of an earlier window."
    assert steps[2].text == "The switch for 3 says row 1, column 2: write 3 there; its window overlaps earlier ones, whose values stay."
    written = {}
    for step in steps:
        for cell, value in step.writes["output"].items():
            assert value != 0 or not written.get(cell)
            written[cell] = value
    torch.testing.assert_close(replay(steps, {"output": torch.zeros(4, 4)})["output"], max_unpool(POOLED, indices, 3, 1))


def test_a_step_of_nearest():
    step = list(nearest_steps(POOLED, 2))[1]
    assert step.text == "Copy 2 into its whole block, from row 0, column 2 to row 1, column 3: write 2 in each of its 4 cells."
    assert step.reads == {"input": ((0, 1),)}
    assert step.writes == {"output": {(0, 2): 2, (0, 3): 2, (1, 2): 2, (1, 3): 2}}
    assert step.arithmetic == "output[0…1, 2…3] = 2"


def test_a_step_of_bed_of_nails():
    step = list(bed_of_nails_steps(POOLED, 2))[1]
    assert step.text == "Put 2 in the upper-left corner of its block: write 2 at row 0, column 2, and 0 in the other 3 cells."
    assert step.writes == {"output": {(0, 2): 2, (0, 3): 0, (1, 2): 0, (1, 3): 0}}
    assert step.arithmetic == "output[0, 2] = 2"


def test_steps_go_over_every_plane():
    x, indices = POOLED.expand(2, 1, 2, 2), SWITCHES.expand(2, 1, 2, 2)
    step = list(max_unpool_steps(x, indices, 2))[-1]
    assert step.text.startswith("In image 1, the switch for 4 says row 3, column 3")
    assert list(step.writes["output"])[-1] == (1, 0, 3, 3)
