"""Receptive fields against the formula for chains, against poisoned pixels, and against perturbed ones."""

import itertools

import pytest
import torch
import torch.nn.functional as F
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course.models import backbones
from segwidgets.fields import Look, effective_fields, groups_apart, theoretical_boxes
from segwidgets.modes import evaluating

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def boxes(model, size, cells=None, layer=None, device="cpu"):
    """The theoretical boxes of some cells, or of all."""
    look = Look(model.to(device), layer)
    image = torch.rand(3, *size, device=device)
    with evaluating(model):
        with torch.no_grad():
            rows, columns = look.map(image[None]).shape[-2:]
        return theoretical_boxes(look, image, cells or list(itertools.product(range(rows), range(columns))))


def by_poison(model, size, layer=None):
    """For each cell the box of pixels that reach it as NaN, which nothing but independence stops: a pixel at a time, in float64 (float32
    convolutions may work on tiles, all of which one NaN would spoil)."""
    model, reached = model.double(), {}
    with evaluating(model), torch.no_grad():
        for y, x in itertools.product(*map(range, size)):
            image = torch.rand(1, 3, *size, dtype=torch.float64)
            image[..., y, x] = torch.nan
            for cell in Look(model, layer).map(image)[0].isnan().any(0).nonzero().tolist():
                reached.setdefault(tuple(cell), []).append((y, x))
        cells = itertools.product(*map(range, Look(model, layer).map(image).shape[-2:]))
    model.float()
    return {cell: hull(reached[cell]) if cell in reached else (0, 0, 0, 0) for cell in cells}


def by_perturbation(model, size, cell, trials=30):
    """The box of pixels whose change changes a cell: with enough draws every dependence shows that is no accident of the weights."""
    torch.manual_seed(0)
    found = set()
    with evaluating(model), torch.no_grad():
        for _ in range(trials):
            pictures = torch.randn(1, 3, *size, dtype=torch.float64).repeat(size[0] * size[1] + 1, 1, 1, 1)
            for i, (y, x) in enumerate(itertools.product(*map(range, size)), start=1):
                pictures[i, :, y, x] += 10 * torch.randn(3, dtype=torch.float64)
            values = model(pictures)[..., cell[0], cell[1]]
            changed = (values[1:] != values[:1]).any(1).nonzero()[:, 0].tolist()
            found |= {divmod(i, size[1]) for i in changed}
    return hull(found)


def hull(pixels):
    ys, xs = zip(*pixels, strict=True)
    return (min(xs), min(ys), max(xs) + 1, max(ys) + 1)


@st.composite
def chains(draw):
    """Chains of convolution, pooling and dilation as the formula knows them, small enough for a picture of 40 × 52."""
    layers, channels = [], 3
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 2))
        if draw(st.booleans()):
            dilation = draw(st.integers(1, 2))
            padding = draw(st.integers(0, kernel))
            layers.append(nn.Conv2d(channels, 4, kernel, stride, padding, dilation=dilation))
            channels = 4
        else:
            pool = draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))
            layers.append(pool(kernel, stride, draw(st.integers(0, kernel // 2))))
        layers += draw(st.sampled_from([[], [nn.ReLU()], [nn.BatchNorm2d(channels), nn.ReLU6()]]))
    return layers


@settings(max_examples=40, deadline=None)
@given(chains())
def test_a_chain_has_the_field_of_the_formula(layers):
    size, model = (40, 52), nn.Sequential(*layers)
    rows, columns = model(torch.rand(1, 3, *size)).shape[-2:]
    cells = [(0, 0), (rows // 2, columns // 2), (rows - 1, columns - 1), (0, columns - 1), (rows // 3, columns // 4)]
    for cell, box in boxes(model, size, cells).items():
        assert box == by_taps(layers, size, cell)
        x1, y1, x2, y2 = window = backbones.receptive_field(layers).box(*cell)
        if x1 >= 0 and y1 >= 0 and x2 <= size[1] and y2 <= size[0]:
            assert box == window
        # At a border the formula's window, cut there, may end in a hole between two taps.


def by_taps(layers, size, cell):
    """The exact answer for a chain, an axis at a time: from the cell back to the picture, the places that each kernel's taps read."""
    windows = [
        [one(getattr(layer, name, 1)) for name in ("kernel_size", "stride", "padding", "dilation")]
        for layer in layers
        if hasattr(layer, "kernel_size")
    ]
    box = []
    for axis in (1, 0):
        lengths = [size[axis]]
        for kernel, stride, padding, dilation in windows:
            lengths.append((lengths[-1] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)
        places = {cell[axis]}
        for (kernel, stride, padding, dilation), length in zip(reversed(windows), reversed(lengths[:-1]), strict=True):
            places = {place * stride - padding + tap * dilation for place in places for tap in range(kernel)} & set(range(length))
        box.append((min(places), max(places) + 1) if places else (0, 0))
    (x1, x2), (y1, y2) = box
    return (x1, y1, x2, y2) if x2 and y2 else (0, 0, 0, 0)


def one(value):
    return value[0] if isinstance(value, tuple) else value


@pytest.mark.parametrize("device", DEVICES)
def test_a_chain_without_holes_matches_the_formula_exactly(device):
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.Conv2d(8, 4, 5)]
    found = boxes(nn.Sequential(*layers), (64, 80), device=device)
    assert len(found) == 12 * 16
    for cell, box in found.items():
        x1, y1, x2, y2 = backbones.receptive_field(layers).box(*cell)
        assert box == (max(0, x1), max(0, y1), min(80, x2), min(64, y2))


class Gate(nn.Module):
    """Squeeze-and-excitation."""

    def forward(self, x):
        return x * F.adaptive_avg_pool2d(x, 1).sigmoid()


class Residual(nn.Module):
    def __init__(self, inner, scale=0.0):
        super().__init__()
        self.inner, self.scale = inner, nn.Parameter(torch.full((1, 4, 1, 1), scale))  # zero-initialised, as in many networks

    def forward(self, x):
        return x - self.scale * self.inner(x)


class Attention(nn.Module):
    """Self-attention by hand within stripes of a picture: a softmax over the columns of each row."""

    def forward(self, x):
        rows = x.permute(0, 2, 3, 1)  # [N, H, W, C]
        return ((rows @ rows.transpose(-1, -2)).softmax(-1) @ rows).permute(0, 3, 1, 2)


class Functional(nn.Module):
    """Everything called as a function or a method, in place where that is possible."""

    def forward(self, x):
        x = F.conv2d(x, torch.tensor([1.0, 0.0, -1.0]).repeat(3, 1, 3, 1).to(x) + torch.eye(3).to(x), padding=1, groups=3)
        x = torch.clamp(x, -1, 1).relu_()
        y = F.max_pool2d(x, 3, 1, 1)
        x = torch.maximum(x, y).sub(0.1)
        x -= y
        return torch.cat([x.amax(1, keepdim=True), x.max(1, keepdim=True)[0], F.normalize(x)], 1)


NETWORKS = {
    "max pooling, rounded up": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2, ceil_mode=True), nn.ReLU()),
    "max pooling, dilated": lambda: nn.MaxPool2d(2, 1, dilation=3),
    "adaptive max pooling": lambda: nn.AdaptiveMaxPool2d((3, 2)),
    "adaptive average pooling": lambda: nn.Sequential(nn.AdaptiveAvgPool2d((3, 4)), nn.Conv2d(3, 2, 1)),
    "transposed convolution": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.GELU(), nn.ConvTranspose2d(4, 2, 4, 2, 1)),
    "bilinear": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Upsample(scale_factor=2, mode="bilinear"), nn.SiLU()),
    "nearest": lambda: nn.Sequential(nn.AvgPool2d(2), nn.Upsample(scale_factor=3)),
    "pixel shuffle": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.PixelShuffle(2)),
    "a gate": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), Gate()),
    "a shortcut of scale 0": lambda: nn.Sequential(nn.Conv2d(3, 4, 1), Residual(nn.Conv2d(4, 4, 5, padding=2), 0.5)),
    "group normalisation": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)),
    "instance normalisation": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)),
    "layer normalisation of each pixel": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), Permuted(nn.LayerNorm(4))),
    "attention in rows": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Attention()),
    "attention over all": lambda: nn.Sequential(nn.Conv2d(3, 8, 3, 2), Tokens(nn.MultiheadAttention(8, 2, batch_first=True))),
    "functions": Functional,
    "asymmetric": lambda: nn.Sequential(nn.ZeroPad2d((0, 3, 1, 0)), nn.Conv2d(3, 4, (1, 5), (2, 1), groups=1), nn.LeakyReLU()),
    "strips": lambda: nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.Flatten(2), nn.AvgPool1d(6), nn.Unflatten(2, (10, -1))),
}  # fmt: skip


class Permuted(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Tokens(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)  # [N, HW, C]
        return self.attention(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"bilinear"}))  # at a border its weight is 0, and 0 · NaN is NaN
def test_what_poisons_a_cell_is_its_field(name):
    size = (12, 15)
    model = NETWORKS[name]()
    assert boxes(model, size) == by_poison(model, size)


@pytest.mark.parametrize(
    "name", ["transposed convolution", "bilinear", "a gate", "a shortcut of scale 0", "attention in rows", "functions"]
)
def test_what_changes_a_cell_lies_in_its_field_and_reaches_its_sides(name):
    """Weights as drawn, values compared bit for bit: nothing is taken for granted about how a dependence travels."""
    torch.manual_seed(1)
    size = (9, 11)
    model = NETWORKS[name]().double()
    with torch.no_grad():
        rows, columns = model(torch.rand(1, 3, *size, dtype=torch.float64)).shape[-2:]
    for cell in [(0, 0), (rows // 2, columns // 2), (rows - 1, 0)]:
        expected = by_perturbation(model, size, cell)
        assert boxes(model.float(), size, [cell])[cell] == expected
        model.double()


@pytest.mark.parametrize(("layer", "side", "size"), [("layer1", 43, 96), ("layer2", 99, 160), ("layer3", 211, 256)])
def test_the_fields_of_resnet_18(layer, side, size):
    """Its stages see 43, 99, 211 and 435 pixels: 7 + 2 of the stem and the pooling, then 3 × 3 convolutions at strides 4, 8, 16."""
    model = torchvision.models.resnet18()
    with torch.no_grad():
        middle = Look(model.eval(), model.get_submodule(layer)).map(torch.rand(1, 3, size, size)).shape[-1] // 2
    ((x1, y1, x2, y2),) = boxes(model, (size, size), [(middle, middle)], model.get_submodule(layer)).values()
    assert (x2 - x1, y2 - y1) == (side, side)


def test_the_field_of_mobilenet_v2():
    model = torchvision.models.mobilenet_v2()
    window = backbones.receptive_field(each for each in model.features[:7].modules() if isinstance(each, nn.Conv2d))
    found = boxes(model, (96, 128), [(1, 2), (3, 4)], model.features[6])
    for cell, box in found.items():
        x1, y1, x2, y2 = window.box(*cell)
        assert box == (max(0, x1), max(0, y1), min(128, x2), min(96, y2))


def test_the_course_s_own_network():
    network = backbones.efficientnet_lite0(pretrained=False)
    for stride, block in ((8, 4), (16, 10)):
        window = network.receptive_field(stride)
        found = boxes(network, (160, 192), [(0, 0), (5, 9), (9, 3)], network.network._blocks[block])
        for cell, box in found.items():
            x1, y1, x2, y2 = window.box(*cell)
            assert box == (max(0, x1), max(0, y1), min(192, x2), min(160, y2))


def test_a_network_that_swaps_places_is_asked_cell_by_cell():
    class Transposed(nn.Module):
        def forward(self, x):  # [N, C, H, W] → W and H change places: a cell's rows depend on its column
            return F.avg_pool2d(x.transpose(2, 3), 3)

    found = boxes(Transposed(), (9, 12))
    assert found == {(r, c): (3 * r, 3 * c, 3 * r + 3, 3 * c + 3) for r in range(4) for c in range(3)}


class Normalised(nn.Module):
    def forward(self, x):
        return F.normalize(x, dim=3)


@pytest.mark.parametrize(
    "norm", [nn.GroupNorm(3, 3), nn.InstanceNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False), nn.Softmax(3), Normalised()], ids=str
)
def test_what_a_norm_gives_and_takes_back_does_not_cancel(norm):
    """The mean of all that a norm is over: its gradient is exactly 0 at 16 equal numbers, and the cell is made from them all the same."""
    model = nn.Sequential(nn.AvgPool2d(2), norm, nn.AdaptiveAvgPool2d(1))
    assert boxes(model, (2, 32)) == by_poison(model, (2, 32)) == {(0, 0): (0, 0, 32, 2)}


def test_a_deep_network_s_farthest_pixel_counts():
    """Through 110 layers the share of a mean that a side's pixels have is 3 to the −110th, which float32 doesn't hold."""
    layers = [nn.Conv2d(3 if i == 0 else 1, 1, 3) for i in range(110)]
    found = boxes(nn.Sequential(*layers), (225, 227), [(0, 0), (2, 3)])
    assert found == {(0, 0): (0, 0, 221, 221), (2, 3): (3, 2, 224, 223)}


def test_a_cell_that_sees_only_padding_sees_nothing():
    found = boxes(nn.Conv2d(3, 1, 1, padding=2), (4, 4))
    assert found[(0, 0)] == (0, 0, 0, 0) and found[(2, 3)] == (1, 0, 2, 1)


# ---- the effective field ------------------------------------------------------------------------------------------------


def fields(model, image, found, **options):
    with evaluating(model):
        return dict(effective_fields(Look(model, None), image, found, **{"channel": None, "copies": 1} | options))


@pytest.mark.parametrize("device", DEVICES)
def test_of_one_channel_it_is_the_gradient_s_magnitude(device):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 3, 2)).to(device)
    image = torch.rand(3, 10, 12, device=device)
    found = boxes(model, (10, 12), device=device)
    measured = fields(model, image, found, channel=1)
    assert set(measured) == set(found)
    for cell, field in measured.items():
        jacobian = torch.autograd.functional.jacobian(lambda x, cell=cell: model(x[None])[0, 1, cell[0], cell[1]], image)
        torch.testing.assert_close(field, jacobian.abs().sum(0).cpu())


def test_of_a_linear_network_it_is_the_weights_whatever_the_noise():
    model = nn.Conv2d(3, 1, 5, padding=2)
    measured = fields(model, torch.rand(3, 9, 9), {(4, 4): (2, 2, 7, 7)}, channel=0, copies=4)[(4, 4)]
    torch.testing.assert_close(measured[2:7, 2:7], model.weight[0].abs().sum(0).detach())
    assert float(measured.sum()) == pytest.approx(float(model.weight.detach().abs().sum()), rel=1e-5)


def test_mixed_channels_agree_with_the_sum_of_squares_over_channels():
    """The mean of (s · g)² over random signs s is Σ g² over the channels: each copy is one draw, so that many come close."""
    torch.manual_seed(0)
    model = nn.Conv2d(1, 6, 3)  # a grey picture, linear: no noise enters
    image, found = torch.rand(1, 5, 5), {(1, 1): (1, 1, 4, 4)}
    squared = torch.stack([fields_of_one_draw(model, image, found, seed)[(1, 1)] ** 2 for seed in range(300)]).mean(0)
    torch.testing.assert_close(squared[1:4, 1:4], (model.weight[:, 0] ** 2).sum(0).detach(), rtol=0.2, atol=0.0)


def fields_of_one_draw(model, image, found, seed):
    signs = torch.randint(0, 2, (6,), generator=torch.Generator().manual_seed(seed)) * 2.0 - 1
    mixed = nn.Conv2d(1, 1, 3)
    mixed.weight.data = (model.weight * signs[:, None, None, None]).sum(0, keepdim=True).detach()
    return fields(mixed, image, found, channel=0)


def test_cells_apart_share_a_pass_and_the_answer_is_the_same():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU(), nn.Conv2d(4, 1, 3, 2))
    image = torch.rand(3, 21, 24)
    found = boxes(model, (21, 24))
    groups = groups_apart(found)
    assert sorted(cell for group in groups for cell in group) == sorted(found) and len(groups) < len(found) / 3
    alone = {cell: fields(model, image, {cell: found[cell]}, channel=0)[cell] for cell in found}
    for cell, field in fields(model, image, found, channel=0).items():
        torch.testing.assert_close(field, alone[cell])


def test_it_never_leaves_the_theoretical_field():
    torch.manual_seed(0)
    for name in ("transposed convolution", "bilinear", "max pooling, rounded up", "functions"):
        model = NETWORKS[name]()
        image = torch.rand(3, 12, 15)
        found = boxes(model, (12, 15))
        for cell, field in fields(model, image, dict.fromkeys(found, (0, 0, 15, 12))).items():
            x1, y1, x2, y2 = found[cell]
            assert float(field.sum()) == pytest.approx(float(field[y1:y2, x1:x2].sum()))


@pytest.mark.parametrize("modes", [True, False])
def test_the_model_stays_as_it_was(modes):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 2, 3))
    model.train(modes)
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kept = [parameter for parameter in model.parameters()], torch.random.get_rng_state(), [m.training for m in model.modules()]
    found = boxes(model, (12, 12))
    fields(model, torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0)), found)
    assert all(one is other for one, other in zip(kept[0], model.parameters(), strict=True))
    assert [m.training for m in model.modules()] == kept[2] and not model[0].weight.requires_grad and model[3].weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert not any(module._forward_hooks for module in model.modules())
