"""course.ops.windows against torch.nn.functional.unfold, Tensor.unfold, NumPy and plain slicing."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course.ops.conv_transpose import overlap_count
from course.ops.step import replay
from course.ops.windows import extract_patches, extract_patches_steps, window_coverage, window_positions, window_view

properties = settings(max_examples=60, deadline=None)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int64)


@st.composite
def slides(draw, largest=9, dimensions=(2, 4)):
    """(shape, window, stride) with at least one window; not square, overlapping, side by side or with gaps."""
    window = draw(st.tuples(*[st.integers(1, 4)] * 2))
    plane = [draw(st.integers(w, largest)) for w in window]
    lead = draw(st.lists(st.integers(1, 3), min_size=dimensions[0] - 2, max_size=dimensions[1] - 2))
    return (*lead, *plane), window, draw(st.tuples(*[st.integers(1, 5)] * 2))


def by_torch(image, window, stride):
    """F.unfold's columns, each given its shape again. [N, L, C, h, w]"""
    batch = image.reshape((1,) * (4 - image.dim()) + image.shape)
    columns = F.unfold(batch, window, stride=stride)  # [N, C*h*w, L]
    return columns.movedim(-1, 1).unflatten(-1, (batch.shape[1], *window))


@properties
@given(case=slides(), seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES))
def test_extract_patches_is_torchs_unfold(case, seed, dtype, tensor, device):
    shape, window, stride = case
    image = tensor(shape, seed, dtype, ties=not dtype.is_floating_point)
    patches = extract_patches(image.to(device), window, stride)
    expected = by_torch(image.double(), window, stride)
    lead = {2: expected[0, :, 0], 3: expected[0], 4: expected}[image.dim()]
    assert patches.dtype == dtype and patches.device.type == device.type
    torch.testing.assert_close(patches.cpu(), lead.to(dtype), rtol=0, atol=0)


@properties
@given(case=slides(dimensions=(3, 3)), seed=st.integers(0, 99))
def test_extract_patches_is_tensor_unfold(case, seed, tensor, device):
    shape, (h, w), (sh, sw) = case
    image = tensor(shape, seed)
    unfolded = image.unfold(1, h, sh).unfold(2, w, sw)  # [C, rows, columns, h, w]
    expected = torch.stack([unfolded[:, r, c] for r, c in itertools.product(range(unfolded.shape[1]), range(unfolded.shape[2]))])
    torch.testing.assert_close(extract_patches(image.to(device), (h, w), (sh, sw)).cpu(), expected, rtol=0, atol=0)


@properties
@given(case=slides(), seed=st.integers(0, 99))
def test_window_view_is_numpys_sliding_window_view(case, seed, tensor):
    shape, window, stride = case
    image = tensor(shape, seed)
    windows = np.lib.stride_tricks.sliding_window_view(image.numpy(), window, axis=(-2, -1))[..., :: stride[0], :: stride[1], :, :]
    if image.dim() > 2:
        windows = np.moveaxis(windows, -5, -3)
    np.testing.assert_array_equal(window_view(image, window, stride).numpy(), windows)


@properties
@given(case=slides())
def test_there_are_as_many_windows_as_a_convolution_has_outputs(case):
    shape, window, stride = case
    output = F.conv2d(torch.ones(1, 1, *shape[-2:]), torch.ones(1, 1, *window), stride=stride)
    assert window_positions(shape[-2:], window, stride) == tuple(output.shape[-2:])


@properties
@given(case=slides())
def test_coverage_is_the_overlap_of_stamps(case):
    shape, window, stride = case
    counts = window_coverage(shape[-2:], window, stride)
    stamps = overlap_count(window_positions(shape[-2:], window, stride), window, stride)
    torch.testing.assert_close(counts[: stamps.shape[0], : stamps.shape[1]], stamps)
    assert counts.shape == shape[-2:] and counts.sum() == stamps.sum()


@properties
@given(case=slides(largest=6), seed=st.integers(0, 99))
def test_last_state_of_the_steps_is_torchs(case, seed, tensor):
    shape, window, stride = case
    image = tensor(shape, seed)
    expected = by_torch(image, window, stride)
    expected = {2: expected[0, :, 0], 3: expected[0], 4: expected}[image.dim()]
    steps = list(extract_patches_steps(image, window, stride))
    state = replay(steps, {"output": torch.full_like(expected, torch.nan)})
    torch.testing.assert_close(state["output"], expected, rtol=0, atol=0)
    for step in steps:  # what was read is what was written
        written = step.writes["output"].values()
        assert [image[cell].item() for cell in step.reads["input"]] == list(written)


@properties
@given(case=slides(dimensions=(3, 4)), seed=st.integers(0, 99))
def test_the_gradient_of_a_pixel_is_how_often_it_is_seen(case, seed, tensor, device):
    shape, window, stride = case
    image = tensor(shape, seed).to(device).requires_grad_()
    extract_patches(image, window, stride).sum().backward()
    torch.testing.assert_close(image.grad.cpu(), window_coverage(shape[-2:], window, stride).double().expand(shape))


@pytest.mark.parametrize("layout", ["transposed", "strided", "channels last"])
def test_the_pictures_layout_in_memory_does_not_matter(layout, tensor, device):
    image = {
        "transposed": tensor((2, 3, 5, 7)).transpose(2, 3),
        "strided": tensor((2, 3, 14, 10))[..., ::2, ::2],
        "channels last": tensor((2, 3, 7, 5)).to(memory_format=torch.channels_last),
    }[layout].to(device)
    torch.testing.assert_close(extract_patches(image, 3, 2).cpu(), by_torch(image.cpu().contiguous(), (3, 3), 2), rtol=0, atol=0)


def test_a_batch_is_its_pictures(tensor, device):
    image = tensor((3, 2, 6, 7)).to(device)
    patches = extract_patches(image, (2, 3), (1, 2))
    for n in range(3):
        torch.testing.assert_close(patches[n], extract_patches(image[n], (2, 3), (1, 2)), rtol=0, atol=0)
        torch.testing.assert_close(patches[n, :, 1], extract_patches(image[n, 1], (2, 3), (1, 2)), rtol=0, atol=0)
