"""From answers to grades: every status, partial credit, and nothing of a hidden input in what a student reads."""

import signal

import numpy as np
import pytest
import torch

from course.exercises.exercise import TrainingExercise
from course.exercises.lessons import all_exercises, all_trainings
from course.exercises.predicting import NOT_ALONE
from course.exercises.running import Outcome, run
from course.grading.arrays import from_npz, to_npz
from course.grading.conversation import Answers
from course.grading.hidden import HiddenPictures, hidden_cases
from course.grading.judging import judge_function, judge_training
from course.grading.limits import Limits
from tests.course.grading.a_class import LESSON, SECRET

EXERCISE = all_exercises()["max_unpool"]
HIDDEN = hidden_cases(EXERCISE, SECRET)
COUNT = len(HIDDEN.cases)
RIGHT = {place: Outcome("returned", expected) for place, expected in enumerate(HIDDEN.expected)}
TRAINING = all_trainings()["build_fcn"]


def judged(outcomes=RIGHT, **facts):
    answers = Answers(**({"end": "done", "found": True, "outcomes": dict(outcomes)} | facts))
    return judge_function(LESSON, EXERCISE, answers, HIDDEN)


def changed(*places, outcome):
    return RIGHT | dict.fromkeys(places, outcome)


def test_all_right_is_all_points():
    grade = judged()
    assert (grade.status, grade.points, grade.full) == ("ok", 10.0, 10.0)
    assert all(case.right for case in grade.cases) and len(grade.cases) == COUNT


def test_each_wrong_case_costs_its_share():
    wrong = Outcome("returned", {"result": torch.zeros(1)})
    grade = judged(changed(2, 5, outcome=wrong))
    assert (grade.status, grade.points) == ("wrong", round(10 * (COUNT - 2) / COUNT, 2))
    assert [place for place, case in enumerate(grade.cases) if not case.right] == [2, 5]
    assert grade.message.startswith(f"{COUNT - 2} of {COUNT} hidden cases are right. The first that is not is “{HIDDEN.cases[2].name}”")


def test_no_more_than_guessing_gets_earns_nothing():
    exercise = all_exercises()["conv_transpose_output_size"]
    hidden = hidden_cases(exercise, SECRET)
    assert hidden.guessable > 0
    for right, earned in ((hidden.guessable, False), (hidden.guessable + 1, True)):
        outcomes = {place: Outcome("returned", hidden.expected[place]) for place in range(right)}
        outcomes |= {place: Outcome("none") for place in range(right, len(hidden.cases))}
        grade = judge_function(LESSON, exercise, Answers(end="done", found=True, outcomes=outcomes), hidden)
        assert (grade.points > 0) is earned and ("no more than guessing" in grade.message) is not earned


@pytest.mark.parametrize(
    "outcome, status",
    [
        (Outcome("not written", sentence="x"), "no answer"),
        (Outcome("none", sentence="x"), "no answer"),
        (Outcome("not callable", sentence="x"), "error"),
        (Outcome("unusable", sentence="x"), "wrong"),
        (Outcome("modified", RIGHT[0].arrays, "x"), "wrong"),
        (Outcome("raised", sentence="It raised ValueError: x."), "error"),
        (Outcome("raised", sentence="It raised MemoryError."), "memory"),
        (Outcome("raised", sentence="It raised RuntimeError: DefaultCPUAllocator: can't allocate memory."), "memory"),
        (Outcome("returned", {}), "wrong"),
        (Outcome("returned", {"result": RIGHT[0].arrays["result"].double() + torch.nan}), "wrong"),
        (Outcome("returned", {"result": RIGHT[0].arrays["result"].long()}), "wrong"),
        (Outcome("returned", {"other": RIGHT[0].arrays["result"]}), "wrong"),
    ],
)
def test_every_outcome_has_a_status_and_is_not_right(outcome, status):
    grade = judged(changed(0, outcome=outcome))
    assert grade.status == status and not grade.cases[0].right and grade.points < 10


@pytest.mark.parametrize(
    "end, code, status",
    [
        ("timeout", None, "timeout"),
        ("memory", None, "memory"),
        ("processes", None, "error"),
        ("flood", None, "error"),
        ("died", 0, "no answer"),
        ("died", 3, "no answer"),
        ("died", None, "no answer"),
        ("died", 128 + signal.SIGSEGV, "error"),
        ("died", 128 + signal.SIGKILL, "memory"),
        ("died", 128 + signal.SIGXCPU, "timeout"),
    ],
)
def test_every_end_has_a_status_and_keeps_what_was_right_before(end, code, status):
    outcomes = {place: RIGHT[place] for place in range(4)}
    grade = judged(outcomes, end=end, code=code, calling=4)
    assert (grade.status, grade.points) == (status, round(10 * 4 / COUNT, 2))
    early = judged({}, end=end, code=code, found=None, statement=3)
    assert (early.status, early.points) == (status, 0) and "cells could not be run to the end" in early.message


def test_a_function_that_is_not_there_or_is_the_courses_own():
    absent, imported = judged({}, found=False), judged({}, found=False, imported=True)
    assert absent.status == imported.status == "not found" and absent.points == imported.points == 0
    assert absent.message == "The notebook doesn't define max_unpool."
    assert imported.message == "max_unpool is imported from the course there, and not written."


@pytest.mark.parametrize("exercise", all_exercises().values(), ids=lambda exercise: exercise.name)
def test_every_common_mistake_is_named(exercise):
    hidden = hidden_cases(exercise, SECRET)
    for mistake in exercise.common_mistakes:
        outcomes = {place: run(mistake.function, case) for place, case in enumerate(hidden.cases)}
        grade = judge_function(LESSON, exercise, Answers(end="done", found=True, outcomes=outcomes), hidden)
        assert grade.status != "ok" and grade.points < 10, mistake.name
        first = next(outcome for outcome, case in zip(outcomes.values(), grade.cases, strict=True) if not case.right)
        named = any(other.message in grade.message for other in exercise.common_mistakes)
        assert named or first.kind not in ("returned", "raised"), (mistake.name, grade.message)


ECHO = "1234.5678"


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome("raised", sentence=f"It raised ValueError: {ECHO}, at line 3: x = {ECHO}"),
        Outcome("raised", sentence=f"It raised Leak{ECHO.replace('.', '_')}: x."),
        Outcome("unusable", sentence=ECHO),
        Outcome("modified", RIGHT[0].arrays, ECHO),
        Outcome("not callable", sentence=ECHO),
        Outcome("returned", {"result": torch.full_like(RIGHT[0].arrays["result"], float(ECHO))}),
        Outcome("returned", {"result": torch.zeros(1, 1234, 5678)[:, :, :0]}),
        Outcome("returned", {ECHO: torch.zeros(1)}),
    ],
)
def test_nothing_that_the_process_said_reaches_the_student(outcome):
    grade = judged(changed(0, outcome=outcome))
    for said in (grade.message, *(case.message for case in grade.cases)):
        assert "1234" not in said and "5678" not in said


def trained(outcome, exercise: TrainingExercise = TRAINING, targets=None):
    targets = torch.zeros(2, 4, 4, dtype=torch.long) if targets is None else targets
    answers = Answers(end="done", found=True, outcomes={0: outcome} if outcome else {}, calling=None if outcome else 0)
    return judge_training("02_fully_convolutional", exercise, answers, HiddenPictures(b"", targets))


def test_a_network_earns_what_its_labels_are_worth():
    targets = torch.arange(7).repeat(2, 4, 4)[..., :28]
    right = trained(Outcome("returned", {"labels": targets.to(torch.uint8)}, NOT_ALONE), targets=targets)
    assert (right.status, right.points, right.full) == ("ok", 10, 10) and NOT_ALONE in right.message
    none = trained(Outcome("returned", {"labels": torch.zeros_like(targets, dtype=torch.uint8)}), targets=targets)
    assert (none.status, none.points) == ("wrong", 0) and "0.020" in none.message  # 1/7 of the pixels, one class of seven


def test_a_localizer_earns_what_its_boxes_are_worth_where_the_class_is_right():
    exercise = all_trainings()["build_localizer"]
    targets = [{"boxes": torch.tensor([[10.0, 10, 50, 50]]), "labels": torch.tensor([label])} for label in (1, 6)]
    boxes = torch.tensor([[10.0, 10, 50, 50], [10, 10, 50, 30]])
    half = trained(Outcome("returned", {"labels": torch.tensor([1, 6], dtype=torch.uint8), "boxes": boxes}, ECHO), exercise, targets)
    assert (half.status, half.points) == ("ok", exercise.points_for(0.75)) and ECHO not in half.message
    assert half.message == "A mean IoU of 0.750 on 2 pictures that it never saw."
    one = trained(Outcome("returned", {"labels": torch.tensor([1, 5], dtype=torch.uint8), "boxes": boxes}), exercise, targets)
    assert one.message.startswith("A mean IoU of 0.500 on 2")
    for arrays in ({"labels": torch.ones(2, dtype=torch.uint8)}, {"labels": torch.ones(2, dtype=torch.uint8), "boxes": boxes * torch.nan}):
        lie = trained(Outcome("returned", arrays, ECHO), exercise, targets)
        assert (lie.status, lie.points) == (
            "wrong",
            0,
        ) and lie.message == "The boxes that came back are none: each picture has one, x1 ≤ x2 and y1 ≤ y2."


def test_proposals_earn_what_the_best_of_them_is_worth_for_each_object():
    exercise = all_trainings()["build_rpn"]
    targets = [{"boxes": torch.tensor([[10.0, 10, 50, 50], [60, 60, 100, 100]])}, {"boxes": torch.zeros(0, 4)}]
    proposals = torch.zeros(2, 10, 4)
    proposals[0, 7], proposals[0, 9] = torch.tensor([10.0, 10, 50, 50]), torch.tensor([60.0, 60, 100, 90])  # IoU 1 and 3/4
    found = trained(Outcome("returned", {"proposals": proposals}, ECHO), exercise, targets)
    assert (found.status, found.points) == ("ok", exercise.points_for(0.75)) and ECHO not in found.message
    assert found.message == "A mean recall of 0.750 on 2 pictures that it never saw."
    for lie in (proposals * torch.nan, proposals.flip(2), proposals.repeat(1, 50, 1), proposals.double(), proposals[:1], proposals * 3e36):
        grade = trained(Outcome("returned", {"proposals": lie}, ECHO), exercise, targets)
        assert (grade.status, grade.points) == ("wrong", 0)
        assert grade.message == "The proposals that came back are none: each picture has 10, x1 ≤ x2 and y1 ≤ y2."


def test_detections_earn_their_average_precision():
    exercise = all_trainings()["build_yolo"]
    targets = [
        {"boxes": torch.tensor([[10.0, 10, 50, 50], [60, 60, 100, 100]]), "labels": torch.tensor([1, 6])},
        {"boxes": torch.tensor([[30.0, 30, 70, 70]]), "labels": torch.tensor([3])},
    ]
    boxes, labels, scores = torch.zeros(2, 20, 4), torch.zeros(2, 20, dtype=torch.uint8), torch.zeros(2, 20)
    boxes[0, :2], labels[0, :2], scores[0, :2] = targets[0]["boxes"], torch.tensor([1, 6]), torch.tensor([0.5, 0.4])
    boxes[1, 7], labels[1, 7], scores[1, 7] = torch.tensor([30.0, 30, 70, 70]), 5, 0.9  # fits, under another name
    said = {"boxes": boxes, "labels": labels, "scores": scores}
    found = trained(Outcome("returned", said, ECHO), exercise, targets)
    assert (found.status, found.points) == ("ok", exercise.points_for(2 / 3)) and ECHO not in found.message
    assert found.message == "A mAP at IoU 0.5 of 0.667 on 2 pictures that it never saw."
    lies = [{"boxes": lie} for lie in (boxes * torch.nan, boxes.flip(2), boxes.repeat(1, 50, 1), boxes.double(), boxes[:1], boxes * 3e36)]
    lies += [{"labels": lie} for lie in (labels + 5, labels.long(), labels[:1])] + [
        {"scores": lie} for lie in (scores / 0, scores.double())
    ]
    for lie in lies:
        grade = trained(Outcome("returned", said | lie, ECHO), exercise, targets)
        assert (grade.status, grade.points) == ("wrong", 0) and ECHO not in grade.message
        assert grade.message.startswith(f"The {next(iter(lie))} that came back are none: each picture has 20, ")


def test_masks_earn_their_average_precision_and_fit_into_what_may_come_back():
    exercise = all_trainings()["build_mask_rcnn"]
    masks = torch.zeros(2, 20, 128, 128, dtype=torch.bool)
    masks[0, 0, 10:50, 10:50] = masks[0, 1, 60:100, 60:100] = masks[1, 7, 30:70, 30:70] = True
    boxes, labels, scores = torch.zeros(2, 20, 4), torch.zeros(2, 20, dtype=torch.uint8), torch.zeros(2, 20)
    targets = [
        {"boxes": torch.tensor([[10.0, 10, 50, 50], [60, 60, 100, 100]]), "labels": torch.tensor([1, 6]), "masks": masks[0, :2]},
        {"boxes": torch.tensor([[30.0, 30, 70, 70]]), "labels": torch.tensor([3]), "masks": masks[1, 7:8]},
    ]
    labels[0, :2], scores[0, :2] = torch.tensor([1, 6]), torch.tensor([0.5, 0.4])
    labels[1, 7], scores[1, 7] = 5, 0.9  # fits, under another name; no box does
    said = {"boxes": boxes, "labels": labels, "scores": scores, "masks": torch.from_numpy(np.packbits(masks.numpy(), axis=-1))}
    found = trained(Outcome("returned", said, ECHO), exercise, targets)
    assert (found.status, found.points) == ("ok", exercise.points_for(2 / 3)) and ECHO not in found.message
    assert found.message == "A mask mAP at IoU 0.5 of 0.667 on 2 pictures that it never saw."
    bits = said["masks"]
    lies = [{"masks": lie} for lie in (bits.bool(), bits.float(), bits[:1], bits[..., :8], bits.repeat(1, 1, 1, 8), masks.to(torch.uint8))]
    lies += [{"boxes": boxes - torch.inf}, {"labels": labels + 5}, {"scores": scores / 0}]
    for lie in lies:
        grade = trained(Outcome("returned", said | lie, ECHO), exercise, targets)
        assert (grade.status, grade.points) == ("wrong", 0) and ECHO not in grade.message
        assert grade.message.startswith(f"The {next(iter(lie))} that came back are none: each picture has 20, ")
    many = {name: array.repeat(100, *[1] * (array.dim() - 1)) for name, array in said.items()}  # of 200 pictures
    arrived = from_npz(to_npz(many), max_bytes=Limits().answer, max_arrays=len(many))
    assert {name: array.sum().item() for name, array in arrived.items()} == {name: array.sum().item() for name, array in many.items()}


@pytest.mark.parametrize(
    "outcome, status",
    [
        (Outcome("returned", {"labels": torch.zeros(2, 4, 4)}), "wrong"),
        (Outcome("returned", {"labels": torch.full((2, 4, 4), 9, dtype=torch.uint8)}), "wrong"),
        (Outcome("returned", {"labels": torch.zeros(3, 4, 4, dtype=torch.uint8)}), "wrong"),
        (Outcome("returned", {}), "wrong"),
        (Outcome("no file", sentence=ECHO), "no answer"),
        (Outcome("other network", sentence=ECHO), "wrong"),
        (Outcome("too slow", sentence=ECHO), "timeout"),
        (Outcome("raised", sentence=f"It raised RuntimeError: {ECHO}"), "error"),
        (Outcome("not written"), "no answer"),
        (None, "no answer"),
    ],
)
def test_what_is_no_labels_earns_nothing_and_says_nothing_of_its_own(outcome, status):
    grade = trained(outcome)
    assert (grade.status, grade.points) == (status, 0) and ECHO not in grade.message
