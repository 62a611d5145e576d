import pytest
import torch

from course.ops.matching import IGNORED, NEGATIVE, Sample, match_boxes, match_boxes_steps, sample_matches
from course.ops.step import replay

IOU = torch.tensor([[0.8, 0.5, 0.1, 0.0, 0.4], [0.3, 0.6, 0.2, 0.0, 0.4]])  # two objects, five boxes


def test_by_hand():
    assert match_boxes(IOU, 0.7, 0.3).tolist() == [0, IGNORED, NEGATIVE, NEGATIVE, IGNORED]
    assert match_boxes(IOU, 0.5, 0.5).tolist() == [0, 1, NEGATIVE, NEGATIVE, NEGATIVE]
    assert match_boxes(IOU, 0.0, 0.0).tolist() == [0, 1, 1, 0, 0]  # of equal overlaps the first object


def test_thresholds_belong_to_the_better_side():
    iou = torch.tensor([[0.75, 0.25, 0.5]])
    assert match_boxes(iou, 0.75, 0.25).tolist() == [0, IGNORED, IGNORED]
    assert match_boxes(iou, 0.8, 0.3).tolist() == [IGNORED, NEGATIVE, IGNORED]


def test_every_object_keeps_its_best_box():
    assert match_boxes(IOU, 0.7, 0.3, allow_low_quality=True).tolist() == [0, 1, NEGATIVE, NEGATIVE, IGNORED]
    low = torch.tensor([[0.2, 0.1, 0.2]])  # of several best boxes all
    assert match_boxes(low, 0.7, 0.3, True).tolist() == [0, NEGATIVE, 0]


def test_a_best_box_answers_for_the_object_that_it_overlaps_most():
    iou = torch.tensor([[0.6, 0.1], [0.2, 0.0]])  # box 0 is object 1's best, too, but belongs to object 0
    assert match_boxes(iou, 0.7, 0.3, True).tolist() == [0, NEGATIVE]


def test_an_object_that_no_box_touches_makes_all_that_miss_it_positive():
    assert match_boxes(torch.tensor([[0.1, 0.9], [0.0, 0.0]]), 0.7, 0.3, True).tolist() == [0, 0]  # as in torchvision


def test_no_objects_and_no_boxes():
    for low_quality in (False, True):
        none = match_boxes(torch.zeros(0, 3), 0.7, 0.3, low_quality)
        assert none.tolist() == [NEGATIVE] * 3 and none.dtype == torch.int64
        assert match_boxes(torch.zeros(3, 0), 0.7, 0.3, low_quality).shape == (0,)
        assert match_boxes(torch.zeros(0, 0), 0.7, 0.3, low_quality).shape == (0,)
        assert [step.text for step in match_boxes_steps(torch.zeros(0, 1), 0.7, 0.3, low_quality)] == [
            "There is no object: box 0 is negative."
        ]
        assert not list(match_boxes_steps(torch.zeros(3, 0), 0.7, 0.3, low_quality))


def test_the_steps():
    steps = list(match_boxes_steps(IOU, 0.7, 0.3, True))
    assert [step.text for step in steps] == [
        "Box 0 overlaps object 0 most, with IoU 0.8, at least 0.7: positive.",
        "Box 1 overlaps object 1 most, with IoU 0.6, between 0.3 and 0.7: ignored.",
        "Box 2 overlaps object 1 most, with IoU 0.2, below 0.3: negative.",
        "Box 3 overlaps object 0 most, with IoU 0, below 0.3: negative.",
        "Box 4 overlaps object 0 most, with IoU 0.4, between 0.3 and 0.7: ignored.",
        "Box 0 is the best that object 0 has, with IoU 0.8: positive.",
        "Box 1 is the best that object 1 has, with IoU 0.6: positive.",
    ]
    assert steps[1].arithmetic == "max(0.5, 0.6) = 0.6"
    assert steps[1].reads == {"iou": ((0, 1), (1, 1))} and steps[1].chosen == {"iou": ((1, 1),)}
    assert replay(steps, {"output": torch.zeros(5)})["output"].tolist() == [0, 1, NEGATIVE, NEGATIVE, IGNORED]
    iou = torch.tensor([[0.6, 0.6], [0.2, 0.2]])
    assert list(match_boxes_steps(iou, 0.7, 0.3, True))[3].text == (
        "Boxes 0, 1 are the best that object 1 has, with IoU 0.2: positive, though for object 0, which some overlap more."
    )


MATCHES = torch.tensor([3, NEGATIVE, IGNORED, 0, NEGATIVE, NEGATIVE, 1, IGNORED, NEGATIVE])


def test_a_sample_is_balanced():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        sample = sample_matches(MATCHES, 4, 0.5, generator)
        assert isinstance(sample, Sample) and [len(part) for part in sample] == [2, 2]
        assert (MATCHES[sample.positive] >= 0).all() and (MATCHES[sample.negative] == NEGATIVE).all()
        assert sample.positive.tolist() == sorted(set(sample.positive.tolist()))


@pytest.mark.parametrize(
    ("size", "fraction", "counts"),
    [(9, 0.5, (3, 4)), (4, 0.9, (3, 1)), (5, 0.5, (2, 3)), (4, 0, (0, 4)), (3, 1, (3, 0)), (0, 0.5, (0, 0)), (100, 0.01, (1, 4))],
)
def test_how_many_of_each(size, fraction, counts):
    assert tuple(map(len, sample_matches(MATCHES, size, fraction))) == counts


def test_every_box_is_drawn_at_some_time_and_none_that_is_ignored():
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.cat(sample_matches(MATCHES, 2, 0.5, generator)) for _ in range(200)]
    assert sorted(set(torch.cat(drawn).tolist())) == [0, 1, 3, 4, 5, 6, 8]


def test_the_generator_decides_and_the_global_one_is_left_alone():
    samples = [sample_matches(MATCHES, 3, 0.5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2, 3, 4)]
    assert torch.equal(torch.cat(samples[0]), torch.cat(samples[1]))
    assert len({tuple(torch.cat(sample).tolist()) for sample in samples}) > 1
    state = torch.get_rng_state()
    sample_matches(MATCHES, 3, 0.5, torch.Generator())
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_to_draw_from():
    for matches in (torch.zeros(0, dtype=torch.int64), torch.full((5,), IGNORED)):
        assert [part.tolist() for part in sample_matches(matches, 8, 0.5)] == [[], []]
