import dataclasses

import pytest
import torch

from course.ops.pooling import max_pool, max_pool_steps
from course.ops.step import Step, in_plane, listing, number, place, planes, replay


def step(writes, sentence="Write [7|write]."):
    return Step(sentence=sentence, reads={}, writes={"output": writes})


@pytest.mark.parametrize(
    "value, text",
    [
        (7, "7"),
        (7.0, "7"),
        (-3, "−3"),
        (0, "0"),
        (-0.0, "0"),
        (1 / 3, "0.333"),
        (-0.5, "−0.5"),
        (3.25, "3.25"),
        (12.345, "12.3"),
        (999.4, "999"),
        (999.7, "1000"),
        (1234.5678, "1235"),
        (123456, "123456"),
        (0.00123, "0.00123"),
        (0.000123, "1.23e−4"),
        (0.0005, "5e−4"),
        (-1.5e-9, "−1.5e−9"),
        (1.5e9, "1.5e9"),
        (float("nan"), "NaN"),
        (float("inf"), "∞"),
        (-float("inf"), "−∞"),
        (torch.tensor(2.5), "2.5"),
        (torch.tensor(0.1, dtype=torch.float16), "0.1"),
        (torch.tensor(3), "3"),
    ],
)
def test_number(value, text):
    assert number(value) == text


def test_listing_puts_later_negative_numbers_of_a_sum_in_brackets():
    assert listing([1, -2, 3.5]) == "1, −2, 3.5"
    assert listing([-1, -2, 3], " + ") == "−1 + (−2) + 3"


def test_listing_of_many_numbers_keeps_the_first_and_the_last():
    assert listing(range(16)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15"
    assert listing(range(49)) == "0, 1, 2, 3, 4, 5, 6, …, 48"


def test_text_is_the_sentence_without_marks():
    marked = "The largest of [1|read] and [−2.5|read] is [1|chosen]: write [1|write] in output[0]."
    assert step({}, marked).text == "The largest of 1 and −2.5 is 1: write 1 in output[0]."


def test_a_step_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        step({}).sentence = "Another."


def test_place_and_plane_are_said_from_0():
    assert place((4, 1, 3, 0)) == "row 3, column 0"
    assert in_plane((1, 2), torch.Size((2, 3, 4, 4)), "The end.") == "In image 1, channel 2, the end."
    assert in_plane((0, 2), torch.Size((1, 3, 4, 4)), "The end.") == "In channel 2, the end."
    assert in_plane((2,), torch.Size((3, 4, 4)), "[7|read] is read.") == "In channel 2, [7|read] is read."
    assert in_plane((0, 0), torch.Size((1, 1, 4, 4)), "The end.") == "The end."
    assert in_plane((), torch.Size((4, 4)), "The end.") == "The end."


def test_planes_go_in_order():
    x = torch.arange(16).view(2, 2, 2, 2)
    assert list(planes(x)) == [
        ((0, 0), [[0, 1], [2, 3]]),
        ((0, 1), [[4, 5], [6, 7]]),
        ((1, 0), [[8, 9], [10, 11]]),
        ((1, 1), [[12, 13], [14, 15]]),
    ]
    assert list(planes(x[0, 0])) == [((), [[0, 1], [2, 3]])]


def test_replay_writes_in_order_on_copies():
    zeros = torch.zeros(2, 2)
    state = replay([step({(0, 0): 1.0, (1, 1): 2.0}), step({(0, 0): 3.0})], {"output": zeros})
    torch.testing.assert_close(state["output"], torch.tensor([[3.0, 0], [0, 2]]))
    assert not zeros.any()


def test_replay_skips_tensors_that_were_not_passed():
    assert replay([step({(0, 0): 1.0})], {}) == {}


@pytest.mark.parametrize("cell", [(2, 0), (-1, 0), (0,), (0, 0, 0)])
def test_replay_refuses_to_write_outside(cell):
    with pytest.raises(IndexError, match=r"Step 1 writes output\[.*\], which lies outside the shape \[2, 2\]"):
        replay([step({(0, 0): 1.0}), step({cell: 1.0})], {"output": torch.zeros(2, 2)})


@pytest.mark.parametrize("off_by_one", [lambda y, x: (y, x + 1), lambda y, x: (y - 1, x), lambda y, x: (y, (x + 1) % 3)])
def test_a_step_that_is_off_by_one_does_not_pass(off_by_one):
    x = torch.arange(24.0).view(4, 6)
    steps = list(max_pool_steps(x, 2))
    steps[4] = dataclasses.replace(steps[4], writes={"output": {off_by_one(*c): v for c, v in steps[4].writes["output"].items()}})
    with pytest.raises((AssertionError, IndexError)):
        torch.testing.assert_close(replay(steps, {"output": torch.zeros(2, 3)})["output"], max_pool(x, 2).values)
