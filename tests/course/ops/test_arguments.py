"""Every wrong argument gets one clear sentence: what was wrong, with what value, what is accepted."""

import pytest
import torch

from course.ops.conv_transpose import (
    conv_matrix,
    conv_transpose,
    conv_transpose_by_matrix,
    conv_transpose_output_size,
    conv_transpose_steps,
    overlap_count,
)
from course.ops.interpolation import (
    downsample_average,
    downsample_average_steps,
    interpolate_bilinear,
    interpolate_bilinear_steps,
    interpolate_nearest,
    interpolate_nearest_steps,
)
from course.ops.pooling import avg_pool, avg_pool_steps, max_pool, max_pool_steps, pool_output_size
from course.ops.unpooling import bed_of_nails, bed_of_nails_steps, max_unpool, max_unpool_steps, nearest, nearest_steps
from tests.refusing import refuses

X = torch.arange(16.0).view(1, 1, 4, 4)
SMALL = torch.arange(4.0).view(1, 1, 2, 2)
SWITCHES = torch.tensor([[[[0, 2], [8, 10]]]])
WEIGHT = torch.ones(1, 2, 3, 3)

ON_PLANES = {
    "max_pool": lambda x: max_pool(x, 2),
    "max_pool_steps": lambda x: list(max_pool_steps(x, 2)),
    "avg_pool": lambda x: avg_pool(x, 2),
    "avg_pool_steps": lambda x: list(avg_pool_steps(x, 2)),
    "nearest": lambda x: nearest(x, 2),
    "nearest_steps": lambda x: list(nearest_steps(x, 2)),
    "bed_of_nails": lambda x: bed_of_nails(x, 2),
    "bed_of_nails_steps": lambda x: list(bed_of_nails_steps(x, 2)),
    "max_unpool": lambda x: max_unpool(x, SWITCHES, 2),
    "max_unpool_steps": lambda x: list(max_unpool_steps(x, SWITCHES, 2)),
    "conv_transpose": lambda x: conv_transpose(x, WEIGHT),
    "conv_transpose_by_matrix": lambda x: conv_transpose_by_matrix(x, WEIGHT),
    "conv_transpose_steps": lambda x: list(conv_transpose_steps(x, WEIGHT)),
    "downsample_average": lambda x: downsample_average(x, 2),
    "downsample_average_steps": lambda x: list(downsample_average_steps(x, 2)),
    "interpolate_nearest": lambda x: interpolate_nearest(x, 3),
    "interpolate_nearest_steps": lambda x: list(interpolate_nearest_steps(x, 3)),
    "interpolate_bilinear": lambda x: interpolate_bilinear(x, 3),
    "interpolate_bilinear_steps": lambda x: list(interpolate_bilinear_steps(x, 3)),
}
TAKES_FRACTIONS_ONLY = ("avg_pool", "conv_transpose", "downsample_average", "interpolate_bilinear")


@pytest.mark.parametrize("name", ON_PLANES)
@pytest.mark.parametrize(
    "x, error, words",
    [
        ([[1.0, 2.0]], TypeError, ("torch.Tensor", "list")),
        ("cat", TypeError, ("str",)),
        (None, TypeError, ("NoneType",)),
        (torch.ones(4, 4, dtype=torch.bool), TypeError, ("real numbers", "torch.bool")),
        (torch.ones(4, 4, dtype=torch.complex64), TypeError, ("real numbers", "torch.complex64")),
        (torch.tensor(1.0), ValueError, ("0 dimensions", "[H, W]")),
        (torch.ones(4), ValueError, ("1 dimension", "[4]")),
        (torch.ones(1, 1, 1, 4, 4), ValueError, ("5 dimensions", "[1, 1, 1, 4, 4]")),
        (torch.ones(1, 1, 0, 4), ValueError, ("empty", "[1, 1, 0, 4]")),
        (torch.ones(0, 1, 4, 4), ValueError, ("empty",)),
    ],
)
def test_what_is_not_a_stack_of_planes(name, x, error, words):
    refuses(lambda: ON_PLANES[name](x), error, "x ", *words)


@pytest.mark.parametrize("name", [name for name in ON_PLANES if name.startswith(TAKES_FRACTIONS_ONLY)])
def test_integers_where_the_results_are_fractions(name):
    refuses(lambda: ON_PLANES[name](X.long()), TypeError, "floating-point", "torch.int64", "x.float()")


@pytest.mark.parametrize("name", [name for name in ON_PLANES if not name.startswith((*TAKES_FRACTIONS_ONLY, "max_unpool"))])
def test_integers_are_welcome_elsewhere(name):
    ON_PLANES[name](X.long())


@pytest.mark.parametrize("function", [max_pool, avg_pool])
@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ((0,), ValueError, ("kernel_size", "at least 1", "0")),
        ((-2,), ValueError, ("kernel_size", "-2")),
        (((2, 0),), ValueError, ("kernel_size", "0")),
        ((2.0,), TypeError, ("kernel_size", "integer", "2.0")),
        ((True,), TypeError, ("kernel_size", "True")),
        ((None,), TypeError, ("kernel_size", "None")),
        (("2",), TypeError, ("kernel_size", "'2'")),
        (((2, 2, 2),), ValueError, ("kernel_size", "3 values")),
        ((2, 0), ValueError, ("stride", "at least 1")),
        ((2, (1, 1.5)), TypeError, ("stride", "1.5")),
        ((2, 2, -1), ValueError, ("padding", "at least 0", "-1")),
        ((3, 2, 2), ValueError, ("padding", "half", "(2, 2)", "(3, 3)")),
        (((3, 1), 1, 1), ValueError, ("padding", "half")),
        ((5,), ValueError, ("output would be 0 × 0", "kernel_size (5, 5)")),
        (((2, 7),), ValueError, ("output would be 2 × 0",)),
    ],
)
def test_pooling_windows(function, arguments, error, words):
    refuses(lambda: function(X, *arguments), error, *words)
    refuses(lambda: pool_output_size(4, *arguments), error, *words[:1])


def test_size_of_what_is_pooled():
    refuses(lambda: pool_output_size(0, 1), ValueError, "size", "at least 1")
    refuses(lambda: pool_output_size(4.0, 1), TypeError, "size", "4.0")


@pytest.mark.parametrize("function", [nearest, bed_of_nails])
@pytest.mark.parametrize("scale, error", [(1.5, TypeError), ("2", TypeError), (None, TypeError), (0, ValueError), ((2, -1), ValueError)])
def test_scale(function, scale, error):
    refuses(lambda: function(X, scale), error, "scale", str(scale[1] if isinstance(scale, tuple) else scale))


@pytest.mark.parametrize("function", [interpolate_nearest, interpolate_bilinear])
@pytest.mark.parametrize("size, error", [(2.5, TypeError), (0, ValueError), ((3, 0), ValueError), ((1, 2, 3), ValueError)])
def test_size(function, size, error):
    refuses(lambda: function(X, size), error, "size")


@pytest.mark.parametrize(
    "factor, error, word", [(3, ValueError, "(3, 3)"), ((2, 8), ValueError, "(2, 8)"), (0.5, TypeError, "0.5"), (0, ValueError, "0")]
)
def test_factor(factor, error, word):
    refuses(lambda: downsample_average(X, factor), error, "factor", word)


@pytest.mark.parametrize("function", [max_unpool, lambda *a, **k: list(max_unpool_steps(*a, **k))])
@pytest.mark.parametrize(
    "indices, error, words",
    [
        ([[0, 2], [8, 10]], TypeError, ("indices", "list")),
        (SWITCHES.float(), TypeError, ("int64", "torch.float32")),
        (SWITCHES.int(), TypeError, ("int64", "torch.int32")),
        (SWITCHES[0], ValueError, ("shape of x", "[1, 1, 2, 2]", "[1, 2, 2]")),
        (SWITCHES[..., :1], ValueError, ("shape of x", "[1, 1, 2, 1]")),
        (torch.tensor([[[[0, 2], [8, 16]]]]), ValueError, ("0 … 15", "4 × 4", "got 16", "output_size")),
        (torch.tensor([[[[0, -1], [8, 10]]]]), ValueError, ("0 … 15", "got -1")),
        (torch.tensor([[[[0, 2], [2, 10]]]]), ValueError, ("repeat", "got 2 more than once")),
        (torch.zeros(1, 1, 2, 2, dtype=torch.int64), ValueError, ("repeat", "got 0 more than once")),
    ],
)
def test_switches(function, indices, error, words):
    refuses(lambda: function(SMALL, indices, 2), error, *words)


@pytest.mark.parametrize(
    "size, error, words",
    [
        ((6, 4), ValueError, ("stride, (2, 2)", "usual (4, 4)", "got (6, 4)")),
        ((4, 2), ValueError, ("got (4, 2)",)),
        ((0, 4), ValueError, ("output_size", "at least 1", "0")),
        ((4.0, 4), TypeError, ("output_size", "4.0")),
        (5, ValueError, ("output_size", "got 5")),
        ((4, 4, 4), ValueError, ("output_size", "(4, 4, 4)")),
        ((1, 3, 4, 4), ValueError, ("output_size", "(1, 3, 4, 4)", "[1, 1, 2, 2]")),
    ],
)
def test_output_size(size, error, words):
    refuses(lambda: max_unpool(SMALL, SWITCHES, 2, output_size=size), error, *words)


def test_output_smaller_than_a_cell():
    one = torch.ones(1, 1)
    refuses(lambda: max_unpool(one, one.long(), 2, padding=1), ValueError, "output would be 0 × 0")
    refuses(lambda: conv_transpose(one, torch.ones(2, 2), padding=1), ValueError, "output would be 0 × 0")
    refuses(lambda: conv_transpose_output_size(2, 2, 1, 3), ValueError, "output would be", "padding (3, 3)")
    refuses(lambda: conv_matrix(torch.ones(3, 3), (2, 5)), ValueError, "output would be 0 × 3", "3 × 3")


CONV_TRANSPOSES = [conv_transpose, conv_transpose_by_matrix, lambda *a, **k: list(conv_transpose_steps(*a, **k))]


@pytest.mark.parametrize("function", CONV_TRANSPOSES)
@pytest.mark.parametrize(
    "x, weight, bias, error, words",
    [
        (X, [[1.0]], None, TypeError, ("weight", "list")),
        (X, WEIGHT.long(), None, TypeError, ("weight", "torch.int64")),
        (X, WEIGHT.double(), None, TypeError, ("weight", "torch.float32", "torch.float64")),
        (X, WEIGHT[0], None, ValueError, ("weight", "[2, 3, 3]")),
        (X, WEIGHT[:, :, :0], None, ValueError, ("weight", "[1, 2, 0, 3]")),
        (X, torch.ones(2, 1, 3, 3), None, ValueError, ("channels of x, 1,", "[2, 1, 3, 3]")),
        (X.expand(1, 2, 4, 4), torch.ones(3, 3), None, ValueError, ("channels of x, 2,", "[3, 3]")),
        (X[0, 0], WEIGHT, None, ValueError, ("[H, W]", "one output channel", "2")),
        (X, WEIGHT, torch.ones(1), ValueError, ("bias", "[2]", "[1]")),
        (X, WEIGHT, torch.ones(2, 1), ValueError, ("bias", "[2, 1]")),
        (X, WEIGHT, 0.5, ValueError, ("bias", "0.5")),
        (X, WEIGHT, torch.ones(2).double(), TypeError, ("bias", "torch.float64")),
    ],
)
def test_weight_and_bias(function, x, weight, bias, error, words):
    refuses(lambda: function(x, weight, bias), error, *words)


@pytest.mark.parametrize("function", CONV_TRANSPOSES)
@pytest.mark.parametrize(
    "stride, padding, output_padding, error, words",
    [
        (0, 0, 0, ValueError, ("stride", "at least 1")),
        (1.5, 0, 0, TypeError, ("stride", "1.5")),
        (1, -1, 0, ValueError, ("padding", "-1")),
        (2, 0, 2, ValueError, ("output_padding", "less than stride", "(2, 2)")),
        (1, 0, 1, ValueError, ("output_padding",)),
        ((3, 2), 0, (2, 2), ValueError, ("output_padding", "(2, 2)", "(3, 2)")),
        (2, 0, -1, ValueError, ("output_padding", "-1")),
    ],
)
def test_stamps(function, stride, padding, output_padding, error, words):
    refuses(lambda: function(X, WEIGHT, None, stride, padding, output_padding), error, *words)
    refuses(lambda: conv_transpose_output_size(4, 3, stride, padding, output_padding), error, *words[:1])
    refuses(lambda: overlap_count(4, 3, stride, padding, output_padding), error, *words[:1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: conv_matrix(torch.ones(3, 3), 10_000),
        lambda: conv_matrix(torch.ones(3, 3), 4, 1, 10_000),
        lambda: conv_matrix(torch.ones(512, 512, 3, 3), 8),
        lambda: conv_transpose_by_matrix(torch.ones(1, 1, 200, 200), torch.ones(1, 1, 3, 3)),
    ],
)
def test_matrices_of_absurd_size_are_not_made(call):
    refuses(call, ValueError, "at most 16777216 entries", "got ")


@pytest.mark.gpu
def test_tensors_on_two_devices():
    refuses(lambda: max_unpool(SMALL.cuda(), SWITCHES, 2), ValueError, "device", "cuda", "cpu")
    refuses(lambda: conv_transpose(X.cuda(), WEIGHT), ValueError, "device", "cuda", "cpu")
    refuses(lambda: conv_transpose(X.cuda(), WEIGHT.cuda(), torch.ones(2)), ValueError, "bias", "device")


def test_tensors_on_two_devices_without_a_gpu():
    refuses(lambda: max_unpool(SMALL, SWITCHES.to("meta"), 2), ValueError, "indices", "device of x, cpu", "meta")
    refuses(lambda: conv_transpose(X, WEIGHT.to("meta")), ValueError, "weight", "device of x, cpu", "meta")
