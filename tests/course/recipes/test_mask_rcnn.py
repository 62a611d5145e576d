"""The recipe of Mask R-CNN: six losses that fall in seconds, masks and joints of what is found.

That the shipped weights score what the manifest says is tests/course/weights' affair.
"""

import pytest
import torch

from course.data.shapes import KEYPOINTS, Shapes
from course.recipes import mask_rcnn as recipe

LOSSES = {"rpn_objectness", "rpn_box", "classification", "box", "mask", "keypoint"}


def test_it_learns_in_seconds_and_answers_with_masks_and_joints():
    torch.manual_seed(0)
    model = recipe.build()
    model.head.score_threshold = 0.0  # so few steps make nobody sure
    history = recipe.train(model, epochs=6, count=16, progress=False, device="cpu")
    assert set(history.epochs) == LOSSES and not model.training
    assert history.epochs["mask"][-1] < 0.9 * history.epochs["mask"][0]
    assert history.epochs["keypoint"][-1] < history.epochs["keypoint"][0]
    with torch.inference_mode():
        (found,) = model([Shapes("test", count=1, size=128, target="instances")[0][0]])
    several = len(found["boxes"])
    assert several and found["masks"].shape == (several, 1, 128, 128) and found["keypoints"].shape == (several, len(KEYPOINTS), 3)


def test_the_same_seed_trains_the_same_model():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        model = recipe.build()
        recipe.train(model, epochs=1, count=8, seed=3, progress=False, device="cpu")
        states.append(model.state_dict())
    torch.testing.assert_close(*states)


class Truth(torch.nn.Module):
    """Every object as it is, its mask a probability around 0.5."""

    def __init__(self, data, inside):
        super().__init__()
        self.data, self.inside = data, inside

    def forward(self, images):
        targets = [target for _, target in self.data]
        return [
            {
                "boxes": target["boxes"],
                "labels": target["labels"],
                "scores": torch.ones(len(target["labels"])),
                "masks": torch.where(target["masks"], self.inside, 0.5)[:, None],
            }
            for target in targets
        ]


@pytest.mark.parametrize(("inside", "expected"), [(0.51, 1.0), (0.5, 0.0)])
def test_a_pixel_belongs_to_the_object_from_half_on(inside, expected):
    data = Shapes("test", count=4, size=128, target="instances")
    assert recipe.score(Truth(list(data), inside), count=4, device="cpu") == expected
