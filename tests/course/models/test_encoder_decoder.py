"""The five ways up agree with torch's own layers, and differ in nothing else."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course.models.encoder_decoder import (
    BedOfNails,
    EncoderDecoder,
    MaxUnpool,
    Nearest,
    ResizeConv,
    TransposedConv,
    parameter_count,
)

WAYS = [Nearest, BedOfNails, MaxUnpool, *(partial(TransposedConv, kernel_size=k) for k in (2, 3, 4)), ResizeConv]


def peer(way: nn.Module, x, switches):
    """The same way up by torch alone."""
    match way:
        case Nearest():
            return F.interpolate(x, scale_factor=2)
        case BedOfNails():
            one_nail = torch.zeros(x.shape[1], 1, 2, 2)
            one_nail[:, :, 0, 0] = 1
            return F.conv_transpose2d(x, one_nail, stride=2, groups=x.shape[1])
        case MaxUnpool():
            return F.max_unpool2d(x, switches, 2)
        case TransposedConv():
            size = (2 * x.shape[-2], 2 * x.shape[-1])
            layer = way.stamp
            twin = nn.ConvTranspose2d(x.shape[1], x.shape[1], layer.kernel_size, stride=2, padding=(layer.kernel_size[0] - 1) // 2)
            twin.load_state_dict(layer.state_dict())
            return twin(x, output_size=size)
        case ResizeConv():
            return way.convolution(F.interpolate(x, scale_factor=2))


@pytest.mark.parametrize("upsample", WAYS)
def test_each_way_up_agrees_with_torch(upsample):
    big = torch.randn(2, 5, 12, 8)
    _, switches = F.max_pool2d(big, 2, return_indices=True)
    x = torch.randn(2, 5, 6, 4, requires_grad=True)
    way = upsample(5)
    mine, theirs = way(x, switches), peer(way, x, switches)
    assert mine.shape == (2, 5, 12, 8)
    torch.testing.assert_close(mine, theirs)
    direction = torch.randn_like(mine)
    torch.testing.assert_close(torch.autograd.grad(mine, x, direction)[0], torch.autograd.grad(theirs, x, direction)[0])


def test_max_unpool_gets_the_switches_of_its_own_level():
    """Pooled and at once unpooled, every level puts its maxima back: the decoder's input at each level is the encoder's output, thinned."""
    torch.manual_seed(0)
    model = EncoderDecoder(upsample=MaxUnpool, channels=(4, 4, 4)).eval()
    model.bottleneck = nn.Identity()
    model.decoder = nn.ModuleList(nn.Identity() for _ in range(3))
    model.classifier = nn.Identity()
    x = torch.rand(1, 3, 16, 16)
    levels, way_up = [], x
    for level in model.encoder:
        levels.append(level(way_up))
        way_up = F.max_pool2d(levels[-1], 2)
    for level in reversed(levels):
        _, switches = F.max_pool2d(level, 2, return_indices=True)
        way_up = F.max_unpool2d(way_up, switches, 2)
    torch.testing.assert_close(model(x), way_up)
    assert (way_up > 0).any()


def test_the_way_up_is_the_only_difference():
    models = []
    for upsample in WAYS:
        torch.manual_seed(3)
        models.append(EncoderDecoder(upsample=upsample))
    for model in models[1:]:
        shared = {name: p for name, p in model.state_dict().items() if not name.startswith("ups.")}
        assert shared.keys() == {name for name in models[0].state_dict() if not name.startswith("ups.")}
        for name, parameter in shared.items():
            torch.testing.assert_close(parameter, models[0].state_dict()[name], rtol=0, atol=0)


def test_parameter_counts():
    nearest, bed, unpool, _, stamp, _, resize = (parameter_count(EncoderDecoder(upsample=way)) for way in WAYS)
    assert nearest == bed == unpool
    assert stamp == resize  # as much to learn, with and without overlapping stamps
    assert stamp - nearest == sum(9 * c * c + c for c in (16, 32, 64))


@pytest.mark.parametrize("upsample", WAYS)
def test_shapes_and_gradients(upsample):
    model = EncoderDecoder(upsample=upsample, channels=(4, 6), classes=3)
    logits = model(torch.rand(2, 3, 12, 20))
    assert logits.shape == (2, 3, 12, 20)
    F.cross_entropy(logits, torch.randint(3, (2, 12, 20))).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(torch.ones(3, 12, 20)), model(torch.ones(1, 3, 12, 20)))


@pytest.mark.parametrize("shape", [(1, 3, 12, 16), (1, 4, 16, 16), (16, 16), (1, 3, 0, 16)])
def test_bad_pictures(shape):
    with pytest.raises(ValueError, match=r"multiples of 8.*these have \["):
        EncoderDecoder(upsample=Nearest)(torch.zeros(shape))


@pytest.mark.parametrize("kernel_size", [0, 1, 5, 2.5, "3"])
def test_bad_kernel_size(kernel_size):
    with pytest.raises(ValueError, match="2, 3 or 4, not"):
        TransposedConv(4, kernel_size=kernel_size)


@pytest.mark.gpu
@pytest.mark.parametrize("upsample", WAYS)
def test_on_the_gpu(upsample):
    model = EncoderDecoder(upsample=upsample).eval()
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        here, there = model(images), model.cuda()(images.cuda()).cpu()
    # A tie between two maxima may fall the other way there, and moves one switch: most values agree, not all.
    assert torch.isclose(here, there, rtol=1e-2, atol=1e-2).float().mean() > 0.99
