"""course.ops.cross_entropy against torch.nn.functional.cross_entropy, gradients included."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from course.ops.cross_entropy import pixel_cross_entropy, pixel_cross_entropy_steps
from course.ops.step import replay

properties = settings(max_examples=60, deadline=None)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 5), st.integers(1, 7))  # N, K, H, W


def labels(shape, seed, void=0.2):
    """Random true classes [N, H, W]; a share of the pixels is 255."""
    generator = torch.Generator().manual_seed(seed)
    images, classes, *plane = shape
    target = torch.randint(0, classes, (images, *plane), generator=generator)
    return target.masked_fill(torch.rand(target.shape, generator=generator) < void, 255)


@properties
@given(shape=SHAPES, seed=st.integers(0, 99), dtype=st.sampled_from(DTYPES), scale=st.sampled_from([0.1, 1, 30]))
def test_it_is_torchs(shape, seed, dtype, scale, tensor, device):
    logits, target = (tensor(shape, seed) * scale).to(dtype), labels(shape, seed)
    expected = F.cross_entropy(logits.double(), target, ignore_index=255).to(dtype)
    loss = pixel_cross_entropy(logits.to(device), target.to(device))
    torch.testing.assert_close(loss.cpu(), expected, equal_nan=True)
    assert loss.shape == () and loss.dtype == dtype and loss.device.type == device.type


@properties
@given(shape=SHAPES, seed=st.integers(0, 99), void=st.sampled_from([0, 0.5, 1]))
def test_gradients_are_torchs(shape, seed, void, tensor, device):
    logits, target = tensor(shape, seed).requires_grad_(), labels(shape, seed, void)
    (expected,) = torch.autograd.grad(F.cross_entropy(logits, target, ignore_index=255), logits)
    moved = logits.detach().to(device).requires_grad_()
    (gradient,) = torch.autograd.grad(pixel_cross_entropy(moved, target.to(device)), moved)
    torch.testing.assert_close(gradient.cpu(), expected)
    assert not gradient.movedim(1, -1)[target.to(device) == 255].any()


@properties
@given(shape=SHAPES, seed=st.integers(0, 99))
def test_the_last_state_of_the_steps_is_torchs(shape, seed, tensor):
    logits, target = tensor(shape, seed), labels(shape, seed)
    empty = {"exponentials": 0 * logits, "probabilities": 0 * logits, "loss": 0 * logits[:, 0], "mean": logits.new_zeros(())}
    state = replay(pixel_cross_entropy_steps(logits, target), empty)
    counts = target != 255
    torch.testing.assert_close(state["loss"], F.cross_entropy(logits, target, ignore_index=255, reduction="none"))
    torch.testing.assert_close(state["mean"], F.cross_entropy(logits, target, ignore_index=255), equal_nan=True)
    torch.testing.assert_close(state["probabilities"], logits.softmax(1) * counts[:, None])
    torch.testing.assert_close(state["exponentials"], (logits - logits.amax(1, keepdim=True)).exp() * counts[:, None])


def test_gradcheck(tensor, device):
    logits, target = tensor((2, 3, 2, 3)).to(device).requires_grad_(), labels((2, 3, 2, 3), 1).to(device)
    assert (target == 255).any()
    assert torch.autograd.gradcheck(lambda logits: pixel_cross_entropy(logits, target), logits)
    assert torch.autograd.gradgradcheck(lambda logits: pixel_cross_entropy(logits, target), logits)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_logits_neither_overflow_nor_lose_their_digits(dtype, device):
    # exp(1000) is no float32 and exp(12) no float16; and 10000 + log(2) - 10000 would be 0.6933 in float32.
    logits = torch.tensor([[1000.0, -1000, 10000], [1000, 1000, 10000]], dtype=dtype, device=device)[None, :, None]  # [1, 2, 1, 3]
    one_by_one = [pixel_cross_entropy(logits[..., i : i + 1], torch.zeros(1, 1, 1, dtype=torch.long, device=device)) for i in range(3)]
    expected = torch.tensor([2.0, 1, 2]).log().to(dtype)
    expected[1] = torch.tensor(2000.0).to(dtype)
    torch.testing.assert_close(torch.stack(one_by_one).cpu(), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once_at_the_end(dtype, tensor, device):
    for seed in range(40):  # a pixel each: in a mean, the errors of many would cancel
        logits, target = (4 * tensor((1, 9, 1, 1), seed)).to(dtype), labels((1, 9, 1, 1), seed, void=0)
        expected = F.cross_entropy(logits.double(), target).to(dtype)
        torch.testing.assert_close(pixel_cross_entropy(logits.to(device), target.to(device)).cpu(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("special", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_pass_as_in_torch(special, tensor, device):
    logits, target = tensor((1, 3, 2, 2)), torch.tensor([[[0, 1], [2, 0]]])
    for true in (0, 1):
        logits[0, true, 0, 0] = special
        expected = F.cross_entropy(logits, target)
        torch.testing.assert_close(pixel_cross_entropy(logits.to(device), target.to(device)).cpu(), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_labels_may_be_any_integers(dtype, tensor, device):
    logits, target = tensor((2, 3, 4, 5)), labels((2, 3, 4, 5), 0, void=0)
    loss = pixel_cross_entropy(logits.to(device), target.to(device, dtype), ignore_index=1)
    torch.testing.assert_close(loss.cpu(), F.cross_entropy(logits, target, ignore_index=1))


@pytest.mark.parametrize("void", [-100, -1, 0, 2, 254, 300])
def test_any_label_may_be_the_ignored_one(void, tensor, device):
    logits, target = tensor((2, 3, 4, 5)), labels((2, 3, 4, 5), 3)
    target = target.masked_fill(target == 255, void)
    loss = pixel_cross_entropy(logits.to(device), target.to(device), void)
    torch.testing.assert_close(loss.cpu(), F.cross_entropy(logits, target, ignore_index=void))


def test_one_image_needs_no_batch(tensor, device):
    logits, target = tensor((2, 3, 4, 5)).to(device), labels((2, 3, 4, 5), 0).to(device)
    torch.testing.assert_close(pixel_cross_entropy(logits[0], target[0]), F.cross_entropy(logits[:1], target[:1], ignore_index=255))
