"""Stages are the network they were cut from."""

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2, resnet50
from torchvision.transforms.functional import normalize

from course.models.backbones import efficientnet_lite0
from course.models.stages import (
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    LITE0_TRUNK,
    Frozen,
    Normalise,
    Stages,
    efficientnet_lite0_stages,
    lite0_trunk,
    mobilenet_v2_stages,
    resnet_stages,
)


def test_each_stage_works_on_the_one_before():
    stages = Stages({2: nn.AvgPool2d(2), "twice": nn.AvgPool2d(2)})
    images = torch.rand(2, 3, 8, 12)
    features = stages.features(images)
    assert list(features) == [2, "twice"]
    torch.testing.assert_close(features[2], nn.AvgPool2d(2)(images))
    torch.testing.assert_close(features["twice"], nn.AvgPool2d(4)(images))
    torch.testing.assert_close(stages(images), features)
    assert stages[2] is stages.get_submodule("2")
    with pytest.raises(KeyError, match="stages are 2, twice; there is none called 4"):
        stages[4]


def test_normalise():
    images = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(Normalise()(images), normalize(images, IMAGENET_MEAN, IMAGENET_DEVIATION))


def test_frozen_layers_neither_learn_nor_drift():
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in layers.state_dict().items()}
    model = nn.Sequential(nn.Conv2d(3, 3, 1), Frozen(layers), nn.Conv2d(4, 2, 1)).train()
    assert model.training and model[1].training and not layers[1].training
    model(torch.rand(2, 3, 4, 4)).sum().backward()
    assert model[0].weight.grad is None and layers[0].weight.grad is None and model[2].weight.grad is not None
    torch.testing.assert_close(layers.state_dict(), before, rtol=0, atol=0)


def test_stages_of_resnet():
    resnet = resnet50(weights=None, replace_stride_with_dilation=[False, True, True]).eval()
    images = torch.randn(1, 3, 64, 48)
    with torch.inference_mode():
        features = resnet_stages(resnet).features(images)
        logits = resnet.fc(resnet.avgpool(features["layer4"]).flatten(1))
        torch.testing.assert_close(logits, resnet(images))
    assert {name: tuple(f.shape[1:]) for name, f in features.items()} == {
        "stem": (64, 16, 12),
        "layer1": (256, 16, 12),
        "layer2": (512, 8, 6),
        "layer3": (1024, 8, 6),
        "layer4": (2048, 8, 6),
    }


def test_stages_of_mobilenet():
    mobilenet = mobilenet_v2(weights=None).eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        features = mobilenet_v2_stages(mobilenet).features(images)
        torch.testing.assert_close(features[32], mobilenet.features(normalize(images, IMAGENET_MEAN, IMAGENET_DEVIATION)))
    assert {stride: tuple(f.shape[1:]) for stride, f in features.items()} == {
        stride: (channels, 64 // stride, 96 // stride) for stride, channels in {2: 16, 4: 24, 8: 32, 16: 96, 32: 1280}.items()
    }


def test_stages_of_efficientnet():
    efficientnet, images = efficientnet_lite0(), torch.rand(2, 3, 65, 96)
    with torch.inference_mode():
        features, expected = efficientnet_lite0_stages(efficientnet).features(images), efficientnet.features(images)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-3)


def test_the_trunk_is_the_network_up_to_stride_16_and_its_first_stages_stay():
    trunk, whole = lite0_trunk().train(), efficientnet_lite0_stages(efficientnet_lite0()).eval()
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        expected = whole.features(images)
        torch.testing.assert_close(trunk.eval().features(images), {stride: expected[stride] for stride in (4, 8, 16)})
    assert {stride: expected[stride].shape[1] for stride in (8, 16)} == LITE0_TRUNK
    assert not any(parameter.requires_grad for parameter in trunk[4].parameters())
    assert all(parameter.requires_grad for stride in (8, 16) for parameter in trunk[stride].parameters())
