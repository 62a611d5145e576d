"""The recipe of SSD: it learns in seconds, keeps what it froze, and its default boxes suit the objects.

That the shipped weights score what the manifest says is tests/course/weights' affair.
"""

import torch

from course.data.shapes import Shapes
from course.ops.boxes import box_iou
from course.recipes import ssd as recipe


def shapes(count, split="train"):
    return Shapes(split, count=count, size=recipe.SIZE, target="instances")


def test_it_learns_in_seconds_and_keeps_what_it_froze():
    torch.manual_seed(0)
    model = recipe.build()
    frozen = {name: tensor.clone() for name, tensor in model.backbone.trunk[4].state_dict().items()}
    history = recipe.train(model, epochs=4, count=24, progress=False, device="cpu")
    assert set(history.epochs) == {"classification", "box", "mAP@0.5"} and not model.training
    for name in ("classification", "box"):
        assert len(history.epochs[name]) == 4 and history.epochs[name][-1] < 0.6 * history.epochs[name][0]
    torch.testing.assert_close(model.backbone.trunk[4].state_dict(), frozen, rtol=0, atol=0)


def test_the_same_seed_trains_the_same_model():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        model = recipe.build()
        recipe.train(model, epochs=1, count=8, seed=3, progress=False, device="cpu")
        states.append(model.state_dict())
    torch.testing.assert_close(*states)


def test_the_default_boxes_suit_the_objects():
    """Almost every object has a default box with IoU 0.5, and every map has objects."""
    data, model = shapes(60), recipe.build().eval()
    trace = model.trace(data[0][0])
    assert [tuple(level.shape[1:]) for level in trace["levels"].values()] == [(n, n) for n in (16, 8, 4, 2)]
    best, rows = box_iou(torch.cat([data[number][1]["boxes"] for number in range(60)]), trace["default_boxes"]).max(1)
    assert (best >= 0.5).float().mean() > 0.9
    assert len(trace["default_levels"][rows].unique()) == 4


def test_it_fits_into_the_package():
    assert sum(tensor.numel() * tensor.element_size() for tensor in recipe.build().state_dict().values()) < 5e6
