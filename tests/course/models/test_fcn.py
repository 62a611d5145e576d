"""The fully convolutional network: the same answer as its classifier, rungs that add up by hand, losses that reach every layer."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course.models import fcn
from course.models.fcn import (
    FCN,
    BilinearTransposedConv,
    FullResolution,
    convolutional_weight,
    convolutionalise,
    enlarge,
    fuse,
    multi_scale,
)
from course.models.stages import Stages
from course.ops.conv_transpose import conv_transpose
from course.ops.interpolation import interpolate_bilinear


def halving(c_in: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride=2, padding=1), nn.ReLU())


def small_fcn(*strides: int, classes: int = 4, **options) -> FCN:
    """An FCN for a picture in a test: strides 2, 4 and 8, of which those given have a score layer."""
    channels = {2: 6, 4: 8, 8: 10}
    backbone = Stages({2: halving(3, 6), 4: halving(6, 8), 8: halving(8, 10)})
    return FCN(backbone=backbone, scores={stride: nn.Conv2d(channels[stride], classes, 1) for stride in strides}, **options)


# -- A classifier made convolutional


def test_a_linear_layer_is_a_convolution_as_large_as_its_window():
    weight = torch.arange(2 * 3 * 2 * 2.0).reshape(2, 12)
    expected = torch.tensor(
        [[[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]], [[[12, 13], [14, 15]], [[16, 17], [18, 19]], [[20, 21], [22, 23]]]]
    )
    torch.testing.assert_close(convolutional_weight(weight, 3, 2), expected.float(), rtol=0, atol=0)
    assert convolutional_weight(torch.zeros(5, 3 * 2 * 4), 3, (2, 4)).shape == (5, 3, 2, 4)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [1, 3, (2, 5), (5, 2)])
def test_every_window_of_a_larger_map_gets_the_linear_layers_answer(size, bias):
    height, width = (size, size) if isinstance(size, int) else size
    linear = nn.Linear(4 * height * width, 7, bias=bias).double()
    layer = convolutionalise(linear, 4, size)
    x = torch.randn(2, 4, height + 3, width + 2, dtype=torch.float64)
    windows = F.unfold(x, (height, width)).transpose(1, 2)  # [N, L, C*h*w]
    expected = linear(windows).transpose(1, 2).reshape(2, 7, 4, 3)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x[..., :height, :width]).flatten(1), linear(x[..., :height, :width].flatten(1)))


def test_the_layer_is_a_copy():
    linear = nn.Linear(12, 2)
    layer, before = convolutionalise(linear, 3, 2), linear.weight.clone()
    with torch.no_grad():
        layer.weight.zero_()
    torch.testing.assert_close(linear.weight.detach(), before.detach(), rtol=0, atol=0)
    assert layer.weight.requires_grad and layer.bias.requires_grad


@pytest.mark.parametrize(
    ("weight", "channels", "size", "error", "sentence"),
    [
        (torch.zeros(2, 13), 3, 2, ValueError, "3 × 2 × 2 = 12 columns.*got 13"),
        (torch.zeros(12), 3, 2, ValueError, r"shape \[K, C\*h\*w\].*got \[12\]"),
        ([[1.0]], 1, 1, TypeError, "got list"),
        (torch.zeros(2, 12), 0, 2, ValueError, "channels must be at least 1; got 0"),
        (torch.zeros(2, 12), 3, (2, 2, 1), ValueError, "got 3 values"),
    ],
)
def test_bad_windows(weight, channels, size, error, sentence):
    with pytest.raises(error, match=sentence):
        convolutional_weight(weight, channels, size)


def test_only_a_linear_layer_is_made_convolutional():
    with pytest.raises(TypeError, match="torch.nn.Linear; got Conv2d"):
        convolutionalise(nn.Conv2d(3, 2, 1), 3, 1)


# -- One rung


def test_fuse_by_hand():
    coarse = torch.tensor([[0.0, 4.0], [8.0, 12.0]])
    fine = torch.tensor([[100.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, -1]])
    # Along a side: the centres lie at −1/4, 1/4, 3/4 and 5/4 between the two cells, held at the ends: shares 0, 1/4, 3/4, 1 of the second.
    expected = torch.tensor([[100.0, 1, 3, 4], [2, 3, 5, 6], [6, 7, 9, 10], [8, 9, 11, 11]])
    torch.testing.assert_close(fuse(coarse, fine), expected)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (3, 1, 2), (3, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_fuse_is_the_courses_own_interpolation_and_a_sum(shape, dtype):
    coarse = torch.randn(shape).to(dtype)
    size = (2 * shape[-2], 2 * shape[-1])
    fine = torch.randn(*shape[:-2], *size).to(dtype)
    assert fuse(coarse, fine).dtype == dtype
    torch.testing.assert_close(fuse(coarse, fine), interpolate_bilinear(coarse, size) + fine)


@pytest.mark.parametrize("shorter", [(1, 0), (0, 1), (1, 1)])
def test_an_odd_side_is_cut_off_not_squeezed(shorter):
    coarse = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    size = (8 - shorter[0], 10 - shorter[1])
    whole = interpolate_bilinear(coarse, (8, 10))
    torch.testing.assert_close(fuse(coarse, torch.zeros(2, 3, *size, dtype=torch.float64)), whole[..., : size[0], : size[1]])


def test_a_side_that_was_rounded_down_is_continued_by_its_border():
    coarse = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    larger = F.pad(coarse, (0, 1, 0, 1), mode="replicate")
    expected = interpolate_bilinear(larger, (10, 12))[..., :9, :11]
    torch.testing.assert_close(fuse(coarse, torch.zeros(2, 3, 9, 11, dtype=torch.float64)), expected)
    torch.testing.assert_close(fuse(coarse, torch.zeros(2, 3, 7, 11, dtype=torch.float64)), expected[..., :7, :])


@pytest.mark.parametrize("size", [(7, 11), (8, 10), (9, 11)])
def test_gradients_of_fuse(size):
    coarse = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    fine = torch.randn(1, 2, *size, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fuse, (coarse, fine))


@pytest.mark.parametrize(
    ("coarse", "fine", "error", "sentence"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 16, 16), ValueError, r"\[2, 3, 8, 8\] for coarse.*got \[2, 3, 16, 16\]"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 8, 8), ValueError, "images and classes"),
        (torch.zeros(2, 3, 4, 4), torch.zeros(3, 8, 8), ValueError, "images and classes"),
        (torch.zeros(2, 3, 4, 4, dtype=torch.int64), torch.zeros(2, 3, 8, 8), TypeError, "coarse must be floating-point"),
        (torch.zeros(2, 3, 4, 4), None, TypeError, "fine must be a torch.Tensor"),
    ],
)
def test_maps_that_do_not_fit(coarse, fine, error, sentence):
    with pytest.raises(error, match=sentence):
        fuse(coarse, fine)


# -- Up to the pixels


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_enlarge_never_stretches(factor):
    x = torch.randn(2, 3, 3, 4, dtype=torch.float64)
    whole = interpolate_bilinear(x, (3 * factor, 4 * factor))
    torch.testing.assert_close(enlarge(x, factor, whole.shape[-2:]), whole)
    torch.testing.assert_close(enlarge(x, factor, (3 * factor - 1, 4 * factor - factor + 1)), whole[..., :-1, : 1 - factor])


@pytest.mark.parametrize("stride", [2, 4, 8, 32])
def test_a_bilinear_transposed_convolution_starts_as_interpolation(stride):
    scores = torch.randn(2, 3, 4, 5)
    layer = BilinearTransposedConv(3, stride=stride)
    size = (4 * stride, 5 * stride)
    torch.testing.assert_close(layer(scores, size), F.interpolate(scores, size=size, mode="bilinear"))
    torch.testing.assert_close(layer(scores, (size[0] - 1, size[1] - stride + 1)), layer(scores, size)[..., :-1, : 1 - stride])
    # The layer is the course's own transposed convolution, a class at a time; inside, nothing of the border matters.
    inside = conv_transpose(scores[:, :1], layer.stamp.weight[:1], stride=stride, padding=stride // 2)
    torch.testing.assert_close(layer(scores, size)[:, :1, stride:-stride, stride:-stride], inside[..., stride:-stride, stride:-stride])
    assert layer.stamp.weight.requires_grad


@pytest.mark.parametrize("stride", [0, 1, 3, 2.0, True])
def test_bad_strides(stride):
    with pytest.raises(ValueError, match="even stride, 2 or more, not"):
        BilinearTransposedConv(3, stride=stride)


# -- The network


def test_the_ladder_by_hand():
    """A sum over the rungs, written with torch's own functions."""
    model = small_fcn(8, 4, 2).eval()
    images = torch.rand(2, 3, 16, 24)
    at2 = model.backbone.get_submodule("2")(images)
    at4 = model.backbone.get_submodule("4")(at2)
    at8 = model.backbone.get_submodule("8")(at4)
    twice = {"scale_factor": 2, "mode": "bilinear"}
    scores = F.interpolate(model.scores["8"](at8), **twice) + model.scores["4"](at4)
    scores = F.interpolate(scores, **twice) + model.scores["2"](at2)
    torch.testing.assert_close(model(images)["out"], F.interpolate(scores, **twice))


@pytest.mark.parametrize("strides", [(8,), (8, 4), (8, 4, 2), (4, 2)])
@pytest.mark.parametrize("size", [(16, 24), (17, 31), (1, 1), (9, 2)])
def test_sizes_and_batches(strides, size):
    model = small_fcn(*strides, auxiliary=(4, nn.Conv2d(8, 4, 1)), upsample=BilinearTransposedConv(4, stride=strides[-1])).double().eval()
    images = torch.rand(2, 3, *size, dtype=torch.float64)
    outputs = model(images)
    assert {name: tuple(logits.shape) for name, logits in outputs.items()} == {"out": (2, 4, *size), "aux": (2, 4, *size)}
    for name, logits in model(images[1]).items():
        torch.testing.assert_close(logits, outputs[name][1:])
    for name, logits in small_fcn(*strides).double()(images).items():
        assert (name, tuple(logits.shape)) == ("out", (2, 4, *size))


def test_skips_can_be_left_out_of_a_trained_network():
    whole = small_fcn(8, 4, 2).eval()
    coarse = FCN(backbone=whole.backbone, scores={8: whole.scores["8"]})
    images = torch.rand(1, 3, 16, 16)
    for stride in (4, 2):
        nn.init.zeros_(whole.scores[str(stride)].weight)
        nn.init.zeros_(whole.scores[str(stride)].bias)
    # Without what the skips add, the ladder is three interpolations in a row in place of one.
    steps = coarse.scores["8"](coarse.backbone.features(images)[8])
    for _ in range(3):
        steps = F.interpolate(steps, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(whole(images)["out"], steps)
    assert coarse(images)["out"].shape == steps.shape


def test_the_loss_reaches_every_layer():
    model = small_fcn(8, 4, 2, auxiliary=(4, fcn.head(8, 5, 4)), upsample=BilinearTransposedConv(4, stride=2))
    target = torch.randint(4, (2, 16, 16))
    losses = fcn.losses(model(torch.rand(2, 3, 16, 16)), target)
    assert set(losses) == {"out", "aux"}
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_losses_by_hand():
    outputs = {"out": torch.zeros(1, 4, 1, 2), "aux": torch.zeros(1, 4, 1, 2)}
    outputs["out"][0, 2, 0, 0] = torch.tensor(3.0).log()
    losses = fcn.losses(outputs, torch.tensor([[[2, 255]]]))
    torch.testing.assert_close(losses, {"out": torch.tensor(2.0).log(), "aux": 0.5 * torch.tensor(4.0).log()})  # 3 of 3 + 3; void left out
    with_less = fcn.losses(outputs, torch.tensor([[[2, 0]]]), auxiliary_weight=0.25, void=0)
    torch.testing.assert_close(with_less, {"out": torch.tensor(2.0).log(), "aux": 0.25 * torch.tensor(4.0).log()})


@pytest.mark.parametrize(
    ("images", "error", "sentence"),
    [
        ([1, 2], TypeError, "not list"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "not torch.uint8"),
        (torch.zeros(1, 4, 8, 8), ValueError, r"these have \[1, 4, 8, 8\]"),
        (torch.zeros(8, 8), ValueError, r"these have \[8, 8\]"),
        (torch.zeros(1, 3, 0, 8), ValueError, r"these have \[1, 3, 0, 8\]"),
    ],
)
def test_bad_pictures(images, error, sentence):
    for model in (small_fcn(8), FullResolution(channels=(2,), classes=3)):
        with pytest.raises(error, match=sentence):
            model(images)


def test_features_that_are_not_there():
    model = FCN(backbone=Stages({2: halving(3, 6)}), scores={4: nn.Conv2d(6, 2, 1)})
    with pytest.raises(ValueError, match="gives the features 2; there is a score layer for 4"):
        model(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="at least one score layer"):
        FCN(backbone=Stages({}), scores={})


def test_a_rung_left_out_is_said_in_a_sentence():
    with pytest.raises(ValueError, match="twice its height and width"):
        small_fcn(8, 2)(torch.rand(1, 3, 32, 32))


# -- At full resolution, at several scales


def test_full_resolution_sees_two_pixels_more_with_each_layer():
    model = FullResolution(channels=(4, 4, 4), classes=2).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()  # so that no ReLU shuts off a path
    image = torch.rand(1, 3, 15, 13, dtype=torch.float64, requires_grad=True)
    logits = model(image)["out"]
    assert logits.shape == (1, 2, 15, 13)
    logits[0, 0, 7, 6].backward()
    seen = image.grad.abs().sum((0, 1)).nonzero()
    assert seen.amin(0).tolist() == [7 - 3, 6 - 3] and seen.amax(0).tolist() == [7 + 3, 6 + 3]


def test_full_resolution_costs_what_it_says():
    flop_counter = pytest.importorskip("torch.utils.flop_counter")
    model = FullResolution(channels=(8, 16), classes=5).eval()
    with flop_counter.FlopCounterMode(display=False) as counter:
        model(torch.rand(1, 3, 10, 12))
    assert counter.get_total_flops() == 2 * 10 * 12 * (9 * 3 * 8 + 9 * 8 * 16 + 16 * 5)


def red_and_blue(images):
    return torch.stack([images[:, 0], images[:, 2]], 1)  # [N, 2, H, W]


def test_one_scale_of_one_is_the_model_itself():
    model, images = small_fcn(8, 4), torch.rand(2, 3, 16, 24)
    torch.testing.assert_close(multi_scale(model, images, (1,)), model(images)["out"])
    torch.testing.assert_close(multi_scale(red_and_blue, images, [1.0]), red_and_blue(images))
    torch.testing.assert_close(multi_scale(model, images[0], (1,)), model(images[:1])["out"])


@pytest.mark.parametrize("merge", ["mean", "max"])
def test_maps_of_several_scales_are_merged_at_the_pictures_size(merge):
    model, images = small_fcn(8, 4), torch.rand(2, 3, 15, 22)
    maps = []
    for size in ((8, 11), (15, 22), (30, 44)):
        resized = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        maps.append(F.interpolate(model(resized)["out"], size=(15, 22), mode="bilinear"))
    expected = sum(maps) / 3 if merge == "mean" else torch.maximum(torch.maximum(maps[0], maps[1]), maps[2])
    torch.testing.assert_close(multi_scale(model, images, (0.5, 1, 2), merge=merge), expected)


@pytest.mark.parametrize(
    ("scales", "options", "sentence"),
    [
        ((), {}, "at least one scale"),
        ((0.01,), {}, "0.01 leaves nothing of a picture of 16 × 16"),
        ((-1,), {}, "factors above 0"),
        ((1,), {"merge": "sum"}, "by 'mean' or 'max', not 'sum'"),
    ],
)
def test_bad_scales(scales, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        multi_scale(red_and_blue, torch.rand(1, 3, 16, 16), scales, **options)


@pytest.mark.gpu
def test_on_the_gpu():
    torch.manual_seed(0)
    model = small_fcn(8, 4, 2, auxiliary=(4, fcn.head(8, 5, 4)), upsample=BilinearTransposedConv(4, stride=2)).eval()
    images = torch.rand(2, 3, 33, 47)
    with torch.no_grad():
        here, merged = model(images), multi_scale(model, images)
        model.cuda()
        there, merged_there = model(images.cuda()), multi_scale(model, images.cuda())
    for name, logits in here.items():
        torch.testing.assert_close(there[name].cpu(), logits, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(merged_there.cpu(), merged, rtol=1e-2, atol=1e-2)
    linear = nn.Linear(12, 4).cuda()
    window = torch.rand(2, 3, 2, 2, device="cuda")
    torch.testing.assert_close(convolutionalise(linear, 3, 2)(window).flatten(1), linear(window.flatten(1)), rtol=1e-2, atol=1e-2)
