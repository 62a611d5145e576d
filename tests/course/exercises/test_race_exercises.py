"""What students of lesson 12 really write, and the hint they get for it; other peers for the references; the numbers in the texts."""

import math

import numpy as np
import pytest
import torch

from course.exercises import check
from course.exercises.checking import expected_arrays
from course.exercises.lessons import exercises_of, questions_of
from course.metrics import pareto_front
from tests.hinting import hint_of

SEEDS = range(6)
EXERCISES = {exercise.name: exercise for exercise in exercises_of("12_race")}


def named(name, function):
    function.__name__ = name
    return function


def cases(name, seed):
    for case in EXERCISES[name].cases(seed):
        yield case.inputs, expected_arrays(EXERCISES[name], case)["result"]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_area_by_numpy_is_right_and_the_usual_slips_are_named(seed):
    def area(scores, right, objects, dips=False, kind="stable"):
        order = np.argsort(-scores.numpy(), kind=kind)
        hits = np.cumsum(right.numpy()[order])
        precision = hits / np.arange(1, len(hits) + 1)
        if not dips:
            precision = np.maximum.accumulate(precision[::-1])[::-1]
        recall = np.concatenate([[0.0], hits / objects])
        return float(np.sum(np.diff(recall) * precision))

    def with_dips(scores, right, objects):
        return area(scores, right, objects, dips=True)

    def rising(scores, right, objects):
        return area(-scores, right, objects)

    def of_those_found(scores, right, objects):
        return area(scores, right, max(1, int(right.sum())))

    def by_running_maximum(scores, right, objects):
        right = right[scores.argsort(descending=True, stable=True)]
        precision = right.cumsum(0) / torch.arange(1, len(right) + 1)
        return (precision.cummax(0).values[right].sum() / objects).item()

    name = "precision_recall_area"
    assert check(named(name, area), seed=seed)
    assert hint_of(named(name, with_dips), seed) == "the dip counts"
    assert hint_of(named(name, rising), seed) == "worst first"
    assert hint_of(named(name, of_those_found), seed) == "recall of those found"
    assert hint_of(named(name, by_running_maximum), seed) == "best so far"


@pytest.mark.parametrize("seed", SEEDS)
def test_the_front_by_sorting_is_right_and_the_usual_slips_are_named(seed):
    def sort(costs, scores):
        """Cheapest first, of one cost the best first: who scores more than all before it, or is the twin of one that does."""
        kept, best = torch.zeros(len(costs), dtype=torch.bool), (math.nan, -math.inf)
        for i in np.lexsort((-scores.numpy(), costs.numpy())):
            rival = costs[i].item(), scores[i].item()
            kept[i] = rival == best or rival[1] > best[1]
            best = rival if rival[1] > best[1] else best
        return kept

    def strictly(costs, scores):
        return ~((costs[:, None] < costs) & (scores[:, None] > scores)).any(0)

    def weakly(costs, scores):
        return ~((costs[:, None] <= costs) & (scores[:, None] >= scores)).any(0)

    def other_axis(costs, scores):
        no_worse = (costs[:, None] <= costs) & (scores[:, None] >= scores)
        return ~(no_worse & ((costs[:, None] < costs) | (scores[:, None] > scores))).any(1)

    name = "pareto_front"
    assert check(named(name, sort), seed=seed)
    assert hint_of(named(name, strictly), seed) == "better in both"
    assert hint_of(named(name, weakly), seed) == "beaten by itself"
    assert hint_of(named(name, other_axis), seed) == "who beats nobody"


@pytest.mark.parametrize("seed", SEEDS)
def test_what_all_cover_shrinks_exactly_where_one_on_the_front_goes(seed):
    """Another measure, which no reference uses: the area below and to the right of all rivals, without one of them and its twins."""

    def covered(rivals):
        steps, best = 0.0, 0.0
        for cost, score in sorted(rivals):
            if score > best:
                steps += (score - best) * (1000 - cost)
                best = score
        return steps

    for inputs, front in cases("pareto_front", seed):
        rivals = list(zip(inputs["costs"].tolist(), inputs["scores"].tolist(), strict=True))
        for rival, kept in zip(rivals, front.tolist(), strict=True):
            assert kept == (covered(rivals) > covered([other for other in rivals if other != rival]) + 1e-9)


def test_the_numbers_of_the_prompts():
    text, reference = EXERCISES["precision_recall_area"].prompt, EXERCISES["precision_recall_area"].reference
    lines = {words[0]: words[1:] for words in map(str.split, text.splitlines()) if words}
    scores = torch.tensor([float(score) for score in lines["score"][:5]])
    right = torch.tensor([word == "yes" for word in lines["right"]])
    hits = right.cumsum(0).tolist()
    assert lines["precision"] == [f"{h}/{n}" for n, h in enumerate(hits, 1)]
    assert lines["recall"][:5] == [f"{h}/4" for h in hits]
    assert f"= {reference(scores, right, 4):.2f}\n" in text

    text = EXERCISES["pareto_front"].prompt
    lines = {words[0]: words[1:] for words in map(str.split, text.splitlines()) if words}
    costs, scores = (torch.tensor([float(value) for value in lines[name][:5]]) for name in ("costs", "scores"))
    front = [word == "yes" for word in lines["on"][1:6]]
    assert EXERCISES["pareto_front"].reference(costs, scores).tolist() == front
    named = list("ABCDE")
    for loser, winner in (("D", "A"), ("E", "B")):
        pair = [named.index(winner), named.index(loser)]
        assert pareto_front(costs[pair], scores[pair]).tolist() == [True, False] and f"{loser}" in text


def test_the_answer_to_the_question_counts_right():
    (question,) = questions_of("12_race")
    rows = [line.strip("|").split("|")[1:] for line in question.prompt.splitlines() if line.startswith("| m")]
    milliseconds, at_half, over_all = (torch.tensor([float(value) for value in row]) for row in rows)
    answer = " ".join(question.good_answer.split())
    for scores in (at_half, over_all):
        assert pareto_front(milliseconds, scores).tolist() == [True, True, True, False, False]
    d_and_e = slice(3, 5)
    assert pareto_front(milliseconds[d_and_e], at_half[d_and_e]).tolist() == [True, False] and "D beats it at 0.5" in answer
    assert pareto_front(milliseconds[d_and_e], over_all[d_and_e]).all() and "neither beats the other" in answer
    assert f"1000 / 60 = {1000 / 60:.1f} milliseconds" in answer
    assert milliseconds[1] < 1000 / 60 < milliseconds[2]
    assert f"are {10 * milliseconds[2]:.0f} seconds" in answer and f"{10 * milliseconds[4] / 60:.0f} minutes" in answer
