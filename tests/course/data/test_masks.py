import pytest
import torch
from torchvision.ops import masks_to_boxes

from course.data.masks import boxes_of, mask_target, split_objects


def test_a_map_of_objects_by_hand():
    objects = torch.tensor([[0, 7, 7], [2, 0, 255]])
    assert split_objects(objects).tolist() == [
        [[False, False, False], [True, False, False]],
        [[False, True, True], [False, False, False]],
        [[False, False, False], [False, False, True]],
    ]
    assert len(split_objects(objects, void=255)) == 2


@pytest.mark.parametrize("void", [None, 255])
def test_a_map_without_objects(void):
    assert split_objects(torch.zeros(4, 6, dtype=torch.long), void=void).shape == (0, 4, 6)
    assert boxes_of(torch.zeros(0, 4, 6, dtype=torch.bool)).shape == (0, 4)
    assert mask_target(torch.zeros(0, 4, 6, dtype=torch.bool), torch.zeros(0, dtype=torch.long))["area"].shape == (0,)


def test_boxes_are_torchvisions_with_the_last_pixel_inside():
    objects = torch.randint(0, 9, (30, 41), generator=torch.Generator().manual_seed(0)) * (torch.rand(30, 41) > 0.9)
    masks = split_objects(objects)
    torch.testing.assert_close(boxes_of(masks), masks_to_boxes(masks) + torch.tensor([0.0, 0, 1, 1]))


def test_the_box_of_one_pixel_and_of_all():
    masks = torch.zeros(2, 5, 8, dtype=torch.bool)
    masks[0, 4, 7] = masks[1] = True
    assert boxes_of(masks).tolist() == [[7, 4, 8, 5], [0, 0, 8, 5]]


def test_a_target():
    masks = split_objects(torch.tensor([[0, 1, 1], [2, 1, 0]]))
    target = mask_target(masks, torch.tensor([5, 6]))
    assert target["boxes"].tolist() == [[1, 0, 3, 2], [0, 1, 1, 2]] and target["boxes"].dtype == torch.float32
    assert (target["area"].tolist(), target["iscrowd"].tolist(), target["labels"].tolist()) == ([3.0, 1.0], [0, 0], [5, 6])
