"""The recipe of the FCN: it learns in seconds, keeps what it froze, and the ladder's rungs are as the lesson says.

That the shipped weights score what the manifest says is tests/course/weights' affair.
"""

import pytest
import torch
from torch.utils.data import TensorDataset

from course.data.folder import MissingData
from course.data.shapes import Shapes
from course.metrics import mean_iou
from course.models.fcn import FCN, losses
from course.recipes import fcn as recipe
from course.training import fit
from course.weights import load_weights


@pytest.fixture(scope="module")
def shipped():
    model = recipe.build("shapes")
    model.load_state_dict(load_weights("fcn"))
    return model.eval()


def test_it_learns_in_seconds():
    torch.manual_seed(0)
    model = recipe.build("shapes")
    frozen = {name: tensor.clone() for name, tensor in model.backbone[4].state_dict().items()}
    before = recipe.score(model, count=25)
    history = recipe.train(model, epochs=4, count=64, progress=False, device="cpu")
    assert len(history.epochs["mean IoU"]) == 4 and not model.training
    assert history.epochs["out"][-1] < 0.6 * history.epochs["out"][0]
    after = recipe.score(model, count=25)
    assert after > before + 0.05 and after > 0.13  # all background would be 0.88 / 7
    torch.testing.assert_close(model.backbone[4].state_dict(), frozen, rtol=0, atol=0)


def test_the_same_seed_trains_the_same_model():
    scores = []
    for _ in range(2):
        torch.manual_seed(3)
        model = recipe.build("shapes")
        recipe.train(model, epochs=1, count=32, seed=3, progress=False, device="cpu")
        scores.append(model.state_dict())
    torch.testing.assert_close(*scores)


def test_the_shipped_weights_segment_pictures_that_nobody_has_seen(shipped):
    assert recipe.score(shipped, count=50) > 0.75


def test_every_rung_of_the_ladder_is_built_and_refines(shipped):
    """Score layers trained on the shipped network's features, for each rung: finer skips, better maps."""
    torch.manual_seed(0)
    pictures, unseen = (recipe.Kept(Shapes(split, count=96, size=128)) for split in ("train", "test"))
    with torch.inference_mode():
        kept, tested = (shipped.backbone.features(data.images.float() / 255) for data in (pictures, unseen))
    found = {}
    for finest in (32, 16, 8):
        rung = recipe.build("shapes", finest=finest)
        assert rung.names == tuple(stride for stride in (32, 16, 8) if stride >= finest)
        order = torch.arange(96).split(16)
        batches = [({stride: f[part].clone() for stride, f in kept.items()}, pictures.targets[part].long()) for part in order]
        fit(OnFeatures(rung), batches, loss=losses, epochs=5, progress=False, device="cpu")
        with torch.inference_mode():
            predicted = rung.eval().decode(tested, (128, 128))["out"].argmax(1)
        found[finest] = mean_iou(predicted, unseen.targets.long(), 7)
    assert found[32] + 0.05 < found[16] < found[8] - 0.02, found


class OnFeatures(torch.nn.Module):
    def __init__(self, model: FCN):
        super().__init__()
        self.model = model

    def forward(self, features):
        return self.model.decode(features, (128, 128))


def test_kept_data_are_the_data():
    data = Shapes("val", count=3, size=64)
    kept = recipe.Kept(data)
    assert len(kept) == 3
    for number in range(3):
        torch.testing.assert_close(kept[number], data[number], rtol=0, atol=0)


def test_mirrored_pictures_and_labels():
    image, target = torch.rand(3, 2, 4), torch.arange(8).reshape(2, 4)
    mirrored = recipe.Mirrored(TensorDataset(image[None], target[None]))
    assert len(mirrored) == 1
    torch.testing.assert_close(mirrored[0], (image[:, :, [3, 2, 1, 0]], target[:, [3, 2, 1, 0]]), rtol=0, atol=0)


def test_a_rung_that_is_not_there():
    with pytest.raises(ValueError, match="32, 16, 8 or 4, not 2"):
        recipe.build("shapes", finest=2)


def test_without_mobilenets_weights_it_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGCOURSE_DATA", str(tmp_path))
    with pytest.raises(MissingData, match="mobilenet_v2_features_torchvision_keys.pth.*SEGCOURSE_DATA.*put there with torch.save"):
        recipe.build("camvid")
