"""What the widgets' tests share: tensors small enough to check by hand, features of a real network, and a look into a trace."""

import pytest
import torch


@pytest.fixture
def x():
    return torch.tensor([[1, 2, 6, 3], [3, 5, 2, 1], [1, 2, 2, 1], [7, 3, 4, 8.0]])


@pytest.fixture
def small():
    return torch.tensor([[1, 2], [3, 4.0]])


@pytest.fixture
def kernel():
    return torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1.0]])


@pytest.fixture(scope="session")
def cat():
    """The course's photograph [3, 224, 224], its features [1, 40, 28, 28] after a ReLU, and the features' receptive field."""
    from course.data.photos import cat
    from course.models.backbones import centre_crop, efficientnet_lite0

    network, image = efficientnet_lite0(), centre_crop(cat())
    with torch.no_grad():
        features = network.features(image)[8].relu()
    return image, features, network.receptive_field(8)


@pytest.fixture
def shown():
    """The numbers that a panel shows at a step, the last one unless another is named; [H, W], NaN where nothing is written."""
    return lambda player, panel, step=-1: torch.from_numpy(player.trace.values_at(panel, step))
