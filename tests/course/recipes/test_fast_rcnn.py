"""The recipe of Fast R-CNN: it learns in seconds, keeps what it froze, and searches for proposals once.

That the shipped weights score what the manifest says is tests/course/weights' affair.
"""

import torch

from course.data.in_memory import InMemory
from course.data.shapes import Shapes
from course.recipes import fast_rcnn as recipe
from course.recipes.rcnn import propose


def test_it_learns_in_seconds_and_keeps_what_it_froze():
    torch.manual_seed(0)
    model = recipe.build()
    frozen = {name: tensor.clone() for name, tensor in model.backbone[4].state_dict().items()}
    history = recipe.train(model, epochs=6, count=16, progress=False, device="cpu")
    assert set(history.epochs) == {"classification", "box"} and not model.training
    assert history.epochs["classification"][-1] < 0.6 * history.epochs["classification"][0]
    torch.testing.assert_close(model.backbone[4].state_dict(), frozen, rtol=0, atol=0)


def test_the_same_seed_trains_the_same_model():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        model = recipe.build()
        recipe.train(model, epochs=1, count=8, seed=3, progress=False, device="cpu")
        states.append(model.state_dict())
    torch.testing.assert_close(*states)


def test_proposals_are_those_of_each_picture(monkeypatch):
    pictures = InMemory(Shapes("train", count=3, size=128, target="instances"))
    data = recipe.with_proposals(pictures, progress=False)
    monkeypatch.setattr(recipe, "propose", None)  # they are not searched again
    assert len(data) == 3
    for number in range(3):
        image, target = data[number]
        torch.testing.assert_close(image, pictures[number][0], rtol=0, atol=0)
        torch.testing.assert_close(target["proposals"], propose(image))
        torch.testing.assert_close(target["boxes"], pictures[number][1]["boxes"])
