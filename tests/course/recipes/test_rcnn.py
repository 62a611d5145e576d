"""The recipes of R-CNN and SPP-net: what is learnt from a few pictures finds the objects of others, and only that is kept.

That the shipped weights score what the manifest says is tests/course/weights' affair.
"""

import pytest
import torch

from course.data.shapes import Shapes
from course.recipes import rcnn, spp

RECIPES = pytest.mark.parametrize("recipe", [rcnn, spp], ids=["rcnn", "spp"])


@RECIPES
def test_a_dozen_pictures_teach_it_something(recipe):
    model = recipe.build()
    assert recipe.score(model, count=6, device="cpu") < 0.1
    history = recipe.train(model, epochs=1, count=12, progress=False, device="cpu")
    assert not history.interrupted and recipe.score(model, count=6, device="cpu") > 0.3
    again = recipe.build()
    again.load_state_dict(model.state_dict())
    picture = [Shapes("test", count=1, size=128, target="instances")[0][0]]
    torch.testing.assert_close(recipe.detector(again)(picture), recipe.detector(model)(picture))


@RECIPES
def test_only_what_was_learnt_is_kept(recipe):
    tensors = recipe.build().state_dict()
    assert sorted(tensors) == ["classifier.bias", "classifier.weight", "regressor.bias", "regressor.weight"]
    picture, target = Shapes("test", count=1, size=128, target="instances")[0]
    features = recipe.detector(recipe.build()).features(picture, target["boxes"])
    assert tensors["classifier.weight"].shape == (features.shape[1], 6) and tensors["regressor.weight"].shape == (features.shape[1], 24)


@RECIPES
def test_the_network_stays_as_imagenet_left_it(recipe):
    """Batch normalisation would take averages of the pictures if it were left in training mode."""
    features = recipe.detector(recipe.build()).features
    assert not any(module.training for name, module in features.named_modules() if "backbone" in name and name.count("."))


@pytest.mark.parametrize("options", [{"epochs": 2}, {"epochs": 1, "checkpoint": "run.pt"}])
def test_more_than_one_pass_is_refused(options):
    with pytest.raises(ValueError, match="pass once.*1 epoch and without a checkpoint"):
        rcnn.train(rcnn.build(), count=1, **options)


def test_an_interrupt_leaves_zeros_and_says_so(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(rcnn, "propose", interrupted)
    model = rcnn.build()
    assert rcnn.train(model, epochs=1, count=3, progress=False, device="cpu").interrupted
    assert not any(tensor.any() for tensor in model.state_dict().values())


def test_as_many_proposals_as_it_says():
    picture = Shapes("test", count=1, size=128, target="instances")[0][0]
    assert rcnn.propose(picture).shape == (rcnn.PROPOSALS, 4)
