"""As many objects as asked for, of the kinds and sizes asked for, and a target that stacks."""

import pytest
import torch
from torch.utils.data import DataLoader

from course.data.counted_objects import CountedObjects, SingleObjects
from course.data.shapes import CLASSES, KEYPOINTS, Shapes


@pytest.mark.parametrize("objects", [0, 1, 2, 4])
def test_the_count_is_exact_and_nothing_else_is_painted(objects):
    for _, target in CountedObjects("val", objects=objects, count=25, size=32, seed=1):  # so small that some things cannot be seen
        assert target["boxes"].shape == (objects, 4) and target["keypoints"].shape == (objects, len(KEYPOINTS), 3)
        assert target["masks"].flatten(1).any(1).sum() == objects
        painted = (target["masks"] * target["labels"][:, None, None]).sum(0)
        torch.testing.assert_close(target["semantic"], painted, rtol=0, atol=0)


def test_kinds_and_sizes():
    data = SingleObjects("train", count=30, kinds=("fish", "ring"), smallest=0.4, size=50)
    boxes, labels = (torch.stack([target[name] for _, target in data]) for name in ("boxes", "labels"))
    assert set(labels.tolist()) == {CLASSES.index("fish"), CLASSES.index("ring")}
    assert (boxes[:, 2:] - boxes[:, :2]).amax(1).min() >= 20
    small = torch.stack([target["boxes"] for _, target in SingleObjects("train", count=60, smallest=0.0, size=50)])
    assert (small[:, 2:] - small[:, :2]).amax(1).min() < 12.5  # a quarter is the default, not a law


def test_a_batch_stacks():
    images, targets = next(iter(DataLoader(SingleObjects("test", count=5, kinds=("person",)), batch_size=5)))
    assert images.shape == (5, 3, 64, 64)
    assert {name: tuple(value.shape) for name, value in targets.items()} == {"boxes": (5, 4), "labels": (5,), "keypoints": (5, 13, 3)}
    assert (targets["keypoints"][..., 2] > 0).any(1).all()
    _, targets = next(iter(DataLoader(CountedObjects("test", objects=3, count=2), batch_size=2)))
    assert targets["boxes"].shape == (2, 3, 4) and targets["labels"].shape == (2, 3)


def test_one_object_is_the_counted_one():
    single, counted = SingleObjects("val", count=4, seed=3), CountedObjects("val", objects=1, count=4, seed=3, smallest=0.25)
    for (image, target), (same, whole) in zip(single, counted, strict=True):
        torch.testing.assert_close(image, same, rtol=0, atol=0)
        for name, value in target.items():
            torch.testing.assert_close(value[None], whole[name], rtol=0, atol=0)


def test_items_depend_on_their_number_alone():
    many, few = SingleObjects(count=9, seed=2), SingleObjects(count=3, seed=2)
    torch.testing.assert_close(many[2], few[2], rtol=0, atol=0)
    torch.testing.assert_close(many[-1], many[8], rtol=0, atol=0)
    assert len({SingleObjects(split, count=1, seed=seed)[0][0].sum().item() for split in ("train", "val") for seed in (0, 1)}) == 4
    with pytest.raises(IndexError):
        few[3]


def test_some_objects_are_cut_by_the_edge_and_some_joints_lie_outside():
    boxes = torch.stack([target["boxes"] for _, target in SingleObjects("train", count=60)])
    cut = ((boxes == 0) | (boxes == 64)).any(1)
    assert 5 < cut.sum() < 40
    visibility = torch.stack([target["keypoints"][:, 2] for _, target in SingleObjects("train", count=40, kinds=("person",))])
    assert (visibility == 0).any() and not (visibility == 1).any()  # there is nothing to hide behind


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"objects": 5}, "0 to 4 objects a picture, not 5"),
        ({"objects": True}, "not True"),
        ({"objects": 1, "kinds": ("cat",)}, "kinds from 'person'.*cat"),
        ({"objects": 1, "kinds": "person"}, "not 'person'"),
        ({"objects": 1, "kinds": ()}, "kinds from"),
        ({"objects": 1, "smallest": 0.6}, "0 to 0.5"),
        ({"objects": 1, "split": "all"}, "'train', 'val', 'test'"),
    ],
)
def test_arguments_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        CountedObjects(**options)


def test_shapes_itself_is_as_it_was():
    assert isinstance(SingleObjects(count=1), Shapes)
    assert {len(target["labels"]) for _, target in Shapes(count=40, size=64, target="instances")} == {0, 1, 2, 3, 4}
