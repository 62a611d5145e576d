"""The recipe of YOLO: it learns in seconds, keeps what it froze, and what it ships is small.

That the shipped weights score what the manifest says is tests/course/weights' affair.
"""

import torch

from course.data.shapes import CLASSES, Shapes, collate
from course.recipes import yolo as recipe
from course.weights import tensors_as_bytes

LOSSES = {"centre", "size", "object", "no_object", "class"}


def test_it_learns_in_seconds_and_keeps_what_it_froze():
    torch.manual_seed(0)
    model = recipe.build("shapes")
    frozen = {name: tensor.clone() for name, tensor in model.backbone[4].state_dict().items()}
    history = recipe.train(model, epochs=3, count=24, progress=False, device="cpu")
    assert set(history.epochs) == {*LOSSES, "mAP@0.5"} and not model.training
    assert all(len(values) == 3 for values in history.epochs.values())
    assert history.epochs["no_object"][-1] < 0.85 * history.epochs["no_object"][0]
    assert all(history.epochs[name][-1] < 0.7 * history.epochs[name][0] for name in ("centre", "size", "class"))
    torch.testing.assert_close(model.backbone[4].state_dict(), frozen, rtol=0, atol=0)


def test_the_same_seed_trains_the_same_model():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        model = recipe.build("shapes")
        recipe.train(model, epochs=1, count=8, seed=3, progress=False, device="cpu")
        states.append(model.state_dict())
    torch.testing.assert_close(*states)


def test_it_is_the_papers_grid_and_as_small_as_a_download_should_be():
    model = recipe.build("shapes").eval()
    images, _ = collate([Shapes("val", count=2, size=128, target="instances")[number] for number in range(2)])
    assert model.predict(images).shape == (2, 7, 7, 2 * 5 + len(CLASSES) - 1)
    assert len(tensors_as_bytes(model.state_dict())) < 5e6


def test_every_class_can_be_learnt_and_found():
    """The last class of the data is the last that the model knows."""
    model = recipe.build("shapes")
    target = {"boxes": torch.tensor([[10.0, 10, 60, 70]]), "labels": torch.tensor([len(CLASSES) - 1])}
    losses = model.losses([torch.rand(3, 128, 128)] * 2, [target] * 2)
    assert set(losses) == LOSSES and all(loss.isfinite() for loss in losses.values()) and model.classes == len(CLASSES) - 1


def test_its_score_is_that_of_the_test_pictures():
    torch.manual_seed(0)
    assert 0 <= recipe.score(recipe.build("shapes"), device="cpu", count=4) < 0.5
