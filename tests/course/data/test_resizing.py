"""Picture, labels and boxes go to the same places."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from course.data.masks import boxes_of
from course.data.resizing import resize_image, resize_labels, resize_target, sides

SIZES = [(7, 5), (13, 21), (40, 60), (24, 17), (1, 1)]


@pytest.mark.parametrize("size, answer", [(None, None), (8, (8, 8)), ((8, 9), (8, 9)), ([8, 9], (8, 9))])
def test_sides(size, answer):
    assert sides(size) == answer


@pytest.mark.parametrize(
    "size, error", [(0, ValueError), (20_000, ValueError), (2.5, TypeError), ((1, 2, 3), TypeError), (True, TypeError)]
)
def test_sides_that_cannot_be(size, error):
    with pytest.raises(error, match="^size is "):
        sides(size)


@pytest.mark.parametrize("size", SIZES)
def test_labels_are_those_under_the_new_centres(size):
    labels = torch.randint(0, 256, (2, 24, 17), generator=torch.Generator().manual_seed(0))
    theirs = F.interpolate(labels[None].float(), size, mode="nearest-exact")[0].long()
    assert torch.equal(resize_labels(labels, size), theirs)
    image = Image.fromarray(labels[0].to(torch.uint8).numpy()).resize(size[::-1], Image.Resampling.NEAREST)
    assert torch.equal(resize_labels(labels[0], size), torch.from_numpy(np.asarray(image).astype(np.int64)))


def test_no_masks_stay_no_masks():
    assert resize_labels(torch.zeros(0, 24, 17, dtype=torch.bool), (5, 6)).shape == (0, 5, 6)


@pytest.mark.parametrize("size", SIZES)
def test_pictures_are_averaged_as_pillow_does(size):
    image = torch.rand(3, 24, 17, generator=torch.Generator().manual_seed(0))
    resized = resize_image(image, size)
    for ours, plane in zip(resized, image, strict=True):
        theirs = Image.fromarray(plane.numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
        torch.testing.assert_close(ours, torch.from_numpy(np.array(theirs)), atol=1e-5, rtol=0)
    assert resized.min() >= 0 and resized.max() <= 1


def test_a_target_moves_with_its_picture():
    masks = torch.zeros(1, 20, 30, dtype=torch.bool)
    masks[0, 4:10, 6:24] = True
    target = {"boxes": boxes_of(masks), "labels": torch.tensor([3]), "masks": masks, "semantic": masks[0] * 3, "image_id": 7}
    target |= {"area": masks.sum((1, 2)).float(), "iscrowd": torch.tensor([0])}
    resized = resize_target(target, (20, 30), (40, 15))
    assert resized["boxes"].tolist() == [[3.0, 8, 12, 20]] and resized["area"].tolist() == [108.0]
    torch.testing.assert_close(resized["boxes"], boxes_of(resized["masks"]))
    assert resized["masks"].sum() == 108 and resized["semantic"].shape == (40, 15) and resized["semantic"].sum() == 324
    assert (resized["labels"].tolist(), resized["image_id"], resized["iscrowd"].tolist()) == ([3], 7, [0])
    assert target["masks"].shape == (1, 20, 30)
