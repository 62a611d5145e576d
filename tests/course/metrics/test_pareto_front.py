import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course.metrics import pareto_front

rivals = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


def front_of(rows):
    costs, scores = torch.tensor(rows, dtype=torch.float64).reshape(-1, 2).unbind(1)
    return pareto_front(costs, scores).tolist()


def test_by_hand():
    assert front_of([(9, 0.93), (10, 0.95), (17, 0.96), (80, 0.90), (290, 0.95)]) == [True, True, True, False, False]
    assert front_of([(1, 2), (1, 3), (2, 3)]) == [False, True, False]
    assert front_of([(1, 2), (1, 2)]) == [True, True]
    assert front_of([(4, 0)]) == [True]
    assert front_of([]) == []


@given(rivals)
def test_it_is_a_staircase_and_everyone_below_it_is_left_out(rows):
    """From the cheapest on, and of one cost from the best on: on the front is who scores more than all before it, and its twins."""
    best, climbed = -1, set()
    for cost, score in sorted(rows, key=lambda row: (row[0], -row[1])):
        if score > best:
            best = score
            climbed.add((cost, score))
    assert front_of(rows) == [row in climbed for row in rows]


def test_a_rival_without_a_number_is_left_alone():
    assert front_of([(1, 0.5), (float("nan"), 0.1), (2, float("nan")), (2, 0.4)]) == [True, True, True, False]


@pytest.mark.parametrize(("costs", "scores"), [((3,), (2,)), ((2, 2), (2, 2)), ((), ())])
def test_two_rows_of_one_length_are_needed(costs, scores):
    with pytest.raises(ValueError, match="A cost and a score for each rival are needed"):
        pareto_front(torch.zeros(costs), torch.zeros(scores))
