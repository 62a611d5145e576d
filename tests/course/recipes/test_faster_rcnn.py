"""The recipe of Faster R-CNN: it learns in seconds, keeps what it froze.

That the shipped weights score what the manifest says is tests/course/weights' affair.
"""

import pytest
import torch

from course.data.bccd import BCCD
from course.data.folder import MissingData
from course.data.shapes import Shapes, collate
from course.recipes import faster_rcnn as recipe


def shapes(count, split="train"):
    return Shapes(split, count=count, size=128, target="instances")


def test_it_learns_in_seconds_and_keeps_what_it_froze():
    torch.manual_seed(0)
    model = recipe.build("shapes")
    frozen = {name: tensor.clone() for name, tensor in model.backbone.backbone[4].state_dict().items()}
    history = recipe.train(model, epochs=6, count=32, progress=False, device="cpu")
    assert set(history.epochs) == {"rpn_objectness", "rpn_box", "classification", "box", "mAP@0.5"} and not model.training
    assert all(len(values) == 6 for values in history.epochs.values())
    assert history.epochs["rpn_objectness"][-1] < 0.6 * history.epochs["rpn_objectness"][0]
    assert history.epochs["classification"][-1] < 0.6 * history.epochs["classification"][0]
    torch.testing.assert_close(model.backbone.backbone[4].state_dict(), frozen, rtol=0, atol=0)


def test_the_same_seed_trains_the_same_model():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        model = recipe.build("shapes")
        recipe.train(model, epochs=1, count=16, seed=3, progress=False, device="cpu")
        states.append(model.state_dict())
    torch.testing.assert_close(*states)


def test_blood_cells_are_trained_in_their_own_size():
    model = recipe.build("bccd")
    images, targets = collate([BCCD("train", size=recipe.SIZE["bccd"])[number] for number in range(2)])
    losses = model.losses(images, targets)
    assert set(losses) == {"rpn_objectness", "rpn_box", "classification", "box"} and all(loss.isfinite() for loss in losses.values())
    assert model.head.classes.out_features == 4


def test_without_mobilenets_weights_it_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="mobilenet_v2_features_torchvision_keys.pth.*SEGCOURSE_DATA.*put there with torch.save"):
        recipe.build("bccd")
