"""Pictures kept in memory are those of the data set; a mirrored box is the box of the mirrored object."""

import pytest
import torch

from course.data.in_memory import InMemory, mirrored
from course.data.shapes import Shapes


def shapes(count):
    return Shapes("train", count=count, size=128, target="instances")


def test_kept_pictures_are_the_data_with_boxes_and_labels():
    data = shapes(3)
    kept = InMemory(data)
    assert len(kept) == 3
    for number in range(3):
        (image, target), (expected, whole) = kept[number], data[number]
        torch.testing.assert_close(image, expected, rtol=0, atol=0)
        torch.testing.assert_close(target, {name: whole[name] for name in ("boxes", "labels")}, rtol=0, atol=0)


@pytest.mark.parametrize("dimensions", [(-1,), (-2,), (-1, -2)])
def test_a_mirrored_box_is_the_box_of_the_mirrored_mask(dimensions):
    data = shapes(8)
    kept = InMemory(data, mirrors=(dimensions,))
    assert len(kept) == 16
    for number in range(8):
        image, target = kept[8 + number]
        torch.testing.assert_close(image, kept[number][0].flip(dimensions), rtol=0, atol=0)
        masks = data[number][1]["masks"].flip(dimensions)
        for box, mask in zip(target["boxes"], masks, strict=True):
            rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
            assert box.tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_masks_are_mirrored_with_their_picture():
    data = shapes(3)
    kept = InMemory(data, mirrors=((-1,),), keep=("boxes", "labels", "masks"))
    for number in range(3):
        image, target = kept[3 + number]
        assert sorted(target) == ["boxes", "labels", "masks"]
        assert target["masks"].equal(data[number][1]["masks"].flip(-1))


def test_keypoints_are_kept_but_never_mirrored():
    data = shapes(2)
    kept = InMemory(data, keep=("boxes", "labels", "keypoints"))
    torch.testing.assert_close(kept[1][1]["keypoints"], data[1][1]["keypoints"], rtol=0, atol=0)
    with pytest.raises(ValueError, match="left hand would become a right one"):
        InMemory(data, mirrors=((-1,),), keep=("boxes", "labels", "keypoints"))


def test_a_picture_that_is_not_square_is_mirrored_by_its_own_sides():
    found = mirrored(torch.tensor([[1.0, 2.0, 4.0, 7.0]]), (10, 20), (-1, -2))
    torch.testing.assert_close(found, torch.tensor([[16.0, 3.0, 19.0, 8.0]]))


def test_there_is_no_picture_beyond_the_last():
    kept = InMemory(shapes(2), mirrors=((-1,),))
    torch.testing.assert_close(kept[-1][0], kept[3][0], rtol=0, atol=0)
    with pytest.raises(IndexError, match="There are 4 pictures; there is no number 4"):
        kept[4]
