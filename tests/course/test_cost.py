"""Operations are counted exactly, by hand and by hooks on every layer; seconds are a median that waits for the device."""

import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course.cost import operations, seconds
from course.models.backbones import efficientnet_lite0


def test_counts_by_hand():
    image = torch.rand(2, 3, 10, 12)
    assert operations(nn.Conv2d(3, 5, 3), image) == 2 * (8 * 10) * 5 * (3 * 3 * 3)
    assert operations(nn.Conv2d(3, 6, 3, stride=2, padding=1, groups=3), image) == 2 * (5 * 6) * 6 * (1 * 3 * 3)
    assert operations(nn.ConvTranspose2d(3, 5, 4, stride=2), image) == 2 * (10 * 12) * 3 * 5 * (4 * 4)
    assert operations(nn.Linear(12, 7), image) == 2 * 3 * 10 * 12 * 7
    assert operations(torch.matmul, torch.rand(4, 5), torch.rand(5, 6)) == 4 * 5 * 6
    assert operations(F.relu, image) == operations(F.max_pool2d, image, 2) == 0


def counted_by_hooks(network, images):
    """One multiply–add for each weight and each place where it is used, layer by layer."""
    total = 0

    def count(layer, _, output):
        nonlocal total
        places = output.numel() // output.shape[1]
        total += layer.weight.numel() * places

    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network(images)
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize("size", [(2, 64, 64), (1, 224, 224), (1, 75, 97)])
def test_a_whole_network_is_the_sum_of_its_layers(size):
    network = efficientnet_lite0(pretrained=False)
    images = torch.rand(size[0], 3, *size[1:])
    with torch.no_grad():
        assert operations(network, images) == counted_by_hooks(network, images)


def test_the_count_needs_no_values():
    network = efficientnet_lite0(pretrained=False)
    with torch.no_grad():
        expected = operations(network, torch.rand(1, 3, 64, 96))
        assert operations(network.to("meta"), torch.rand(1, 3, 64, 96, device="meta")) == expected


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_the_count_is_the_same_with_and_without_gradients(mode):
    layer, image = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Flatten(), nn.Linear(180, 2)), torch.rand(1, 3, 8, 8)
    with mode():
        assert operations(layer, image) == 36 * 5 * 27 + 180 * 2
        assert torch.is_grad_enabled() is (mode is torch.enable_grad) and torch.is_inference_mode_enabled() is (
            mode is torch.inference_mode
        )


def test_training_costs_about_three_times_as_much():
    layer, image = nn.Conv2d(3, 5, 3), torch.rand(1, 3, 8, 8, requires_grad=True)
    assert operations(lambda: layer(image).sum().backward()) == 3 * operations(layer, image)


def test_an_error_inside_is_handed_on_and_leaves_nothing_behind():
    with pytest.raises(ZeroDivisionError):
        operations(lambda: 1 / 0)
    assert operations(torch.matmul, torch.rand(2, 2), torch.rand(2, 2)) == 8


def test_seconds_is_the_median_of_the_runs_after_the_first(monkeypatch):
    clock, durations = [0.0], iter([9, 1, 4, 1, 2, 4])

    def run():
        clock[0] += next(durations)

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    assert seconds(run, repeats=5) == 2
    assert next(durations, None) is None


def test_seconds_are_seconds():
    assert 0.02 <= seconds(time.sleep, 0.02, repeats=3) < 2


def test_seconds_hands_the_arguments_on():
    seen = []
    seconds(lambda *arguments: seen.append(arguments), 1, "two", repeats=1)
    assert seen == [(1, "two")] * 2


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: operations(3), TypeError, "operations takes a function or a module.*got int"),
        (lambda: seconds("net"), TypeError, "seconds takes a function.*got str"),
        (lambda: seconds(print, repeats=0), ValueError, "at least one run.*repeats=0"),
        (lambda: seconds(print, repeats=1.5), ValueError, "repeats=1.5"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.gpu
def test_seconds_waits_for_the_gpu():
    x = torch.rand(4096, 4096, device="cuda")

    def work():
        for _ in range(20):
            x @ x

    work()
    torch.cuda.synchronize()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    work()
    end.record()
    end.synchronize()
    assert seconds(work, repeats=3) > 0.5 * start.elapsed_time(end) / 1000
    assert operations(lambda: x @ x) == 4096**3
