"""What a widget can't show is one sentence that says what was wrong, with its value, and what is accepted."""

import numpy as np
import pytest
import torch

import segwidgets

X = torch.arange(16.0).reshape(4, 4)
KERNEL = torch.ones(2, 2)
THREE = torch.ones(3, 4, 4)
PHOTO = torch.ones(3, 8, 8)
NAN = torch.tensor(float("nan"))


def refused(call, error, sentence):
    with pytest.raises(error, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("x", "error", "sentence"),
    [
        ("abc", TypeError, "x is str; a widget takes a tensor, an array or a nested list of numbers"),
        (None, TypeError, "x is NoneType; a widget takes"),
        ([["a", "b"], ["c", "d"]], TypeError, "x holds text; a widget takes .* nested list of numbers"),
        ([[1, 2], [3]], TypeError, "x has rows of 2 and 1 entries; a widget takes"),
        (X > 3, TypeError, "x holds bool values; a widget takes real numbers"),
        (X * 1j, TypeError, "x holds complex64 values"),
        (torch.where(X > 3, NAN, X), ValueError, "x has NaN or infinite values; a widget shows finite numbers only"),
        (X / 0, ValueError, "x has NaN or infinite values"),
        (X.double() * 1e300, ValueError, "x has NaN or infinite values"),  # too large for the float32 that is shown
        (torch.empty(0, 4), ValueError, r"x is empty \(shape \[0, 4\]\); it needs at least one value"),
        ([], ValueError, r"x has the shape \[0\]; a widget shows \[H, W\]"),
        (3.0, ValueError, r"x has the shape \[\]; a widget shows \[H, W\], \[C, H, W\] or \[N, C, H, W\]"),
        ([1, 2, 3], ValueError, r"x has the shape \[3\]; a widget shows"),
        (torch.ones(1, 1, 1, 4, 4), ValueError, r"x has the shape \[1, 1, 1, 4, 4\]; a widget shows"),
        (torch.ones(65, 64), ValueError, "x has 65×64 cells; a widget shows 64×64 = 4096 at most: pass a crop"),
    ],
    ids=str,
)
def test_no_widget_shows_such_a_tensor(x, error, sentence):
    for widget in (segwidgets.pool, lambda x: segwidgets.unpool(x), lambda x: segwidgets.conv_transpose(x, torch.ones(2, 2))):
        if x is None and widget is not segwidgets.pool:
            continue  # to `unpool` no x means something else
        refused(lambda widget=widget: widget(x), error, sentence)
    if x is not None:
        refused(lambda: segwidgets.unpool(switches_from=x), error, sentence.replace("x ", "switches_from ", 1))


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"channel": 3}, "channel is 3, and x has the channels 0 to 2"),
        ({"channel": -1}, "channel is -1, and x has the channels 0 to 2"),
        ({"channel": 0.5}, "channel is 0.5, and x has the channels 0 to 2"),
        ({"batch": 2}, "batch is 2, and x holds the images 0 to 1"),
    ],
)
def test_a_plane_that_is_not_there(choice, sentence):
    refused(lambda: segwidgets.pool(torch.ones(2, 3, 4, 4), **choice), ValueError, sentence)


@pytest.mark.parametrize(
    "x",
    [
        X.half(),
        X.bfloat16(),
        X.double(),
        X.int(),
        X.to(torch.uint8),
        X.numpy(),
        X.numpy()[::-1][::-1],
        X.tolist(),
        X.clone().requires_grad_(),
    ],
    ids=lambda x: str(getattr(x, "dtype", "list")),
)
def test_every_real_number_is_shown_also_half_precision_on_the_cpu(x, shown):
    torch.testing.assert_close(shown(segwidgets.pool(x), "pooled"), torch.tensor([[5.0, 7], [13, 15]]))
    torch.testing.assert_close(shown(segwidgets.conv_transpose(x, torch.ones(1, 1).half()), "output"), X)


def test_an_array_that_may_not_be_written_to_is_shown_without_a_warning(recwarn):
    array = X.numpy().copy()
    array.flags.writeable = False
    segwidgets.pool(array)
    segwidgets.pool(np.flipud(array))
    assert not [str(warning.message) for warning in recwarn if "NumPy" in str(warning.message)]


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: segwidgets.pool(X, 0), ValueError, "kernel_size must be at least 1; got 0"),
        (lambda: segwidgets.pool(X, 5), ValueError, r"The output would be 0 × 0; .* kernel_size \(5, 5\)"),
        (lambda: segwidgets.pool(X, 2.5), TypeError, "kernel_size must be an integer or a pair of integers .* got 2.5"),
        (lambda: segwidgets.pool(X, (1, 2, 3)), ValueError, "kernel_size must be .* got 3 values"),
        (lambda: segwidgets.pool(X, 2, 0), ValueError, "stride must be at least 1; got 0"),
        (lambda: segwidgets.pool(X, 2, 2, 2), ValueError, r"padding must be at most half of kernel_size.* got padding \(2, 2\)"),
        (lambda: segwidgets.pool(X, mode="mean"), ValueError, "mode is 'mean', and pooling is 'max' or 'average'"),
        (lambda: segwidgets.unpool(), ValueError, "unpool needs x, the small map"),
        (lambda: segwidgets.unpool(X, mode="up"), ValueError, "mode is 'up', and the ways up are 'nearest', .*'max'"),
        (lambda: segwidgets.unpool(X, mode="max"), ValueError, "max unpooling needs switches: pass switches_from="),
        (lambda: segwidgets.unpool(X, switches_from=X), ValueError, "x is 4×4, and switches_from pools to 2×2: they must be equal"),
        (lambda: segwidgets.unpool(X, mode="nearest", switches_from=X), ValueError, "mode='nearest' has no switches"),
        (lambda: segwidgets.unpool(X, 2, 3), ValueError, "stride and padding belong to max unpooling; mode='nearest' has only a scale"),
        (lambda: segwidgets.unpool(X, 0), ValueError, "scale must be at least 1; got 0"),
        (lambda: segwidgets.unpool(X, 1.5, mode="bilinear"), TypeError, "scale must be an integer or a pair of integers .* got 1.5"),
        (lambda: segwidgets.unpool(X, (1, 2, 3), mode="bilinear"), ValueError, "scale must be .* got 3 values"),
        (lambda: segwidgets.unpool(X, 100), ValueError, "would take .* MB .* 1 MB is the limit: pass a smaller tensor"),
        (lambda: segwidgets.conv_transpose(X, "k"), TypeError, "weight is str; a widget takes"),
        (lambda: segwidgets.conv_transpose(X, torch.ones(3)), ValueError, r"weight has the shape \[3\]; a kernel is \[KH, KW\]"),
        (lambda: segwidgets.conv_transpose(X, torch.ones(0, 2)), ValueError, r"weight has the shape \[0, 2\]"),
        (lambda: segwidgets.conv_transpose(X, NAN.expand(2, 2)), ValueError, "weight has NaN or infinite values"),
        (lambda: segwidgets.conv_transpose(THREE, KERNEL.expand(2, 1, 2, 2), channel=2), ValueError, "weight is for the 2 channels 0 to 1"),
        (lambda: segwidgets.conv_transpose(X, KERNEL, "b"), TypeError, "bias is str"),
        (lambda: segwidgets.conv_transpose(X, KERNEL, []), ValueError, r"bias must be a tensor of shape \[1\]"),
        (lambda: segwidgets.conv_transpose(X, KERNEL, NAN), ValueError, "NaN or infinite values"),
        (lambda: segwidgets.conv_transpose(X, KERNEL, stride=0), ValueError, "stride must be at least 1; got 0"),
        (lambda: segwidgets.conv_transpose(X[:1, :1], KERNEL, padding=1), ValueError, r"The output would be 0 × 0.* padding \(1, 1\)"),
        (lambda: segwidgets.conv_transpose(X, KERNEL, output_padding=1), ValueError, "output_padding must be less than stride"),
        (lambda: segwidgets.conv_transpose(X * 1e30, torch.full((2, 2), 1e30)), ValueError, "NaN or infinite values"),
    ],
)  # fmt: skip
def test_sizes_and_modes_that_cannot_be(call, error, sentence):
    refused(call, error, sentence)


@pytest.mark.parametrize(
    ("image", "error", "sentence"),
    [
        ("cat.png", TypeError, "image is str; a widget takes a tensor, an array"),
        ([[1, 2], [3]], TypeError, "image has rows of 2 and 1 entries; a widget takes"),
        (torch.ones(4, 4), ValueError, r"image has the shape \[4, 4\]; a picture is \[3, H, W\], RGB"),
        (torch.ones(4, 8, 8), ValueError, r"image has the shape \[4, 8, 8\]; a picture is \[3, H, W\]"),
        (torch.ones(1, 8, 8), ValueError, r"image has the shape \[1, 8, 8\]; a picture is"),
        (np.ones((8, 8, 3)), ValueError, r"image has the shape \[8, 8, 3\]; a picture is"),
        (torch.ones(3, 0, 8), ValueError, r"image has the shape \[3, 0, 8\]"),
        (PHOTO * 255, ValueError, "image has values outside 0…1; divide 8-bit pixels by 255"),
        (PHOTO * NAN, ValueError, "image has values outside 0…1"),
        (PHOTO - 2, ValueError, "image has values outside 0…1"),
        (PHOTO > 0, TypeError, "image holds bool values"),
    ],
    ids=lambda value: str(tuple(value.shape)) if hasattr(value, "shape") else str(value),
)
def test_a_photograph_that_cannot_be_shown(image, error, sentence):
    refused(lambda: segwidgets.pool(X, image=image), error, sentence)


def test_a_picture_of_100_megapixels_is_refused_before_it_is_copied():
    huge = torch.zeros(1).expand(3, 10_000, 10_000)  # no memory behind it
    refused(lambda: segwidgets.pool(X, image=huge), ValueError, "image has 100 megapixels; a widget takes 20 at most: make it smaller")
    huge = np.broadcast_to(np.float32(0), (10_000, 10_000, 3))
    refused(lambda: segwidgets.pool(X, image=huge), ValueError, r"image has the shape \[10000, 10000, 3\]; a picture is \[3, H, W\]")


@pytest.mark.parametrize("field", [(1, 2), "abc", 3, (0, 1, 1), (1, 0, 1), (float("nan"), 1, 1), (1, 1, float("inf"))], ids=str)
def test_a_receptive_field_that_cannot_be(field):
    refused(lambda: segwidgets.pool(X, image=PHOTO, field=field), ValueError, r"field is .*; it takes \(size, stride, offset\) in pixels")


def test_a_receptive_field_needs_its_photograph():
    refused(lambda: segwidgets.pool(X, field=(3, 1, 1)), ValueError, "field says where cells look in a photograph: pass image= too")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: segwidgets.pool(X, kernel_sise=3), r"segwidgets.pool has no keyword 'kernel_sise'; did you mean 'kernel_size'\?"),
        (lambda: segwidgets.unpool(X, switch_from=X), r"segwidgets.unpool has no keyword 'switch_from'; did you mean 'switches_from'\?"),
        (
            lambda: segwidgets.conv_transpose(X, X, strides=2),
            r"segwidgets.conv_transpose has no keyword 'strides'; did you mean 'stride'\?",
        ),
        (lambda: segwidgets.pool(X, zzz=1), "segwidgets.pool has no keyword 'zzz'; it takes x, kernel_size, stride, padding, mode"),
    ],
)
def test_an_unknown_keyword_names_the_nearest(call, sentence):
    refused(call, TypeError, sentence)
