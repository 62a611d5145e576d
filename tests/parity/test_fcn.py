"""course.models.fcn against torchvision's fcn_resnet50 and fcn_resnet101, with the same tensors."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18
from torchvision.models.segmentation import deeplabv3_resnet50, fcn_resnet50, fcn_resnet101

from course.models import fcn
from course.models.fcn import from_torchvision

NETWORKS = {"resnet50": fcn_resnet50, "resnet101": fcn_resnet101}


def randomised(name: str, *, classes: int, aux: bool) -> nn.Module:
    """Random weights, and running statistics as after a training: at 0 and 1 they would hide a tensor that was not copied."""
    torch.manual_seed(len(name) + classes)
    network = NETWORKS[name](weights=None, weights_backbone=None, num_classes=classes, aux_loss=aux).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            module.num_batches_tracked.fill_(7)
    return network


@pytest.fixture(scope="module")
def theirs():
    return randomised("resnet50", classes=6, aux=True)


@pytest.fixture(scope="module")
def ours(theirs):
    return from_torchvision(theirs)


@pytest.mark.parametrize("shape", [(2, 3, 64, 64), (1, 3, 65, 97), (1, 3, 40, 33), (1, 3, 1, 9)])
def test_same_outputs(ours, theirs, shape):
    images = torch.randn(shape)
    with torch.inference_mode():
        mine, expected = ours(images), theirs(images)
    assert mine.keys() == expected.keys() == {"out", "aux"}
    for name, logits in expected.items():
        assert logits.std() > 1e-2, "logits that are all alike prove nothing"
        torch.testing.assert_close(mine[name], logits, rtol=1e-4, atol=1e-4)


def test_one_picture_is_a_batch_of_one(ours, theirs):
    image = torch.randn(3, 48, 40)
    with torch.inference_mode():
        torch.testing.assert_close(ours(image)["out"], theirs(image[None])["out"], rtol=1e-4, atol=1e-4)


def test_every_tensor_is_there_once(ours, theirs):
    mine, expected = ours.state_dict(), theirs.state_dict()
    assert len(mine) == len(expected)
    assert sorted(tuple(t.shape) for t in mine.values()) == sorted(tuple(t.shape) for t in expected.values())
    # Sums in float64 tell tensors of one shape apart, whatever they are called.
    assert sorted(t.double().sum().item() for t in mine.values()) == sorted(t.double().sum().item() for t in expected.values())


def test_tensors_are_copies(theirs):
    mine = from_torchvision(theirs)
    pointers = {t.data_ptr() for t in theirs.state_dict().values()}
    assert not pointers & {t.data_ptr() for t in mine.state_dict().values()}


def test_same_losses_and_gradients_in_training(theirs):
    images, target = torch.randn(2, 3, 48, 48), torch.randint(6, (2, 48, 48))
    target[0, :5] = 255
    mine = from_torchvision(theirs.train())
    assert mine.training
    torch.manual_seed(5)  # of the dropout, which both draw in the same order
    losses = fcn.losses(mine(images), target)
    sum(losses.values()).backward()
    torch.manual_seed(5)
    outputs = theirs(images)
    expected = {"out": F.cross_entropy(outputs["out"], target, ignore_index=255)}
    expected["aux"] = 0.5 * F.cross_entropy(outputs["aux"], target, ignore_index=255)
    sum(expected.values()).backward()
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-4)
    gradients = [sorted(p.grad.norm().item() for p in model.parameters()) for model in (mine, theirs)]
    torch.testing.assert_close(*map(torch.tensor, gradients), rtol=1e-3, atol=1e-5)
    theirs.eval().zero_grad()


@pytest.mark.parametrize(("name", "aux"), [("resnet50", False), ("resnet101", True)])
def test_the_other_networks(name, aux):
    network = randomised(name, classes=3, aux=aux)
    mine, image = from_torchvision(network), torch.randn(1, 3, 33, 40)
    with torch.inference_mode():
        expected = network(image)
        outputs = mine(image)
    assert outputs.keys() == expected.keys()
    for key in expected:
        torch.testing.assert_close(outputs[key], expected[key], rtol=1e-4, atol=1e-4)


def test_the_dtype_is_kept(theirs):
    mine = from_torchvision(randomised("resnet50", classes=2, aux=False).double())
    assert {p.dtype for p in mine.parameters()} == {torch.float64}


@pytest.mark.parametrize("network", [resnet18, lambda: deeplabv3_resnet50(weights=None, weights_backbone=None), nn.Identity])
def test_another_model(network):
    with pytest.raises(TypeError, match="takes torchvision's fcn_resnet50 or fcn_resnet101, not"):
        from_torchvision(network())


def test_a_model_with_other_strides(theirs):
    network = fcn_resnet50(weights=None, weights_backbone=None, num_classes=2)
    network.backbone["layer4"][1].conv2.dilation = (1, 1)  # as many tensors, of the same shapes
    with pytest.raises(ValueError, match="some of this model's differ"):
        from_torchvision(network)


@pytest.mark.gpu
def test_on_the_gpu(theirs):
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected = theirs(images)
        mine = from_torchvision(theirs.cuda())
        theirs.cpu()
        for name, logits in mine(images.cuda()).items():
            torch.testing.assert_close(logits.cpu(), expected[name], rtol=1e-2, atol=1e-2)
