"""Transposed convolution: upsampling with learned weights.

Every input value multiplies the whole kernel, and the products are stamped onto the output, `stride` cells apart;
where stamps overlap they add up. The same operation is the multiplication by the transpose of a convolution's matrix,
hence the name, and so it is also that convolution's backward pass.

Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning" (arXiv 1603.07285), chapter 4. For
segmentation: Long, Shelhamer & Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation" (arXiv
1411.4038), section 3.3. The checkerboard that uneven overlap leaves: Odena, Dumoulin & Olah 2016, "Deconvolution and
Checkerboard Artifacts" (Distill, doi 10.23915/distill.00003).

    y[o, i*s - p + k] += x[c, i] * weight[c, o, k]      for every c, i, k, in both directions          (scatter-add)
    vec(y) = Mᵀ vec(x)     where     vec(x) = M vec(y)     is the convolution with the same weight      (matrix)

Differs from the paper: the guide writes padding p for the direct convolution, and so do we; it calls output_padding a
(section 4.6).
Differs from torch: no groups and no dilation. A plane [H, W] with a kernel [KH, KW] is accepted.

Shape letters: N images, C input channels, O output channels, H × W input, OH × OW output, KH × KW kernel, SH × SW
stride, P padding.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from course.ops import arguments
from course.ops.arguments import IntOrPair
from course.ops.precision import widen
from course.ops.step import Index, Step, in_plane, listing, number, planes

MATRIX_LIMIT = 2**24
"""conv_matrix makes no more entries than these: 64 MiB in float32. A 3 × 3 kernel on one plane of 64 × 64 just fits."""


def conv_transpose_output_size(
    size: IntOrPair,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    output_padding: IntOrPair = 0,
) -> int | tuple[int, int]:
    """(size - 1) * stride - 2 * padding + kernel_size + output_padding (Dumoulin & Visin 2016, relationship 14).

    Returns one number if every argument is one, otherwise (height, width).
    Raises ValueError if the output would be smaller than 1, or if output_padding is not less than stride.
    """
    kernel, step, pad, extra = arguments.stamp(kernel_size, stride, padding, output_padding)
    out = tuple(
        (s - 1) * d - 2 * p + k + a for s, k, d, p, a in zip(arguments.pair(size, "size", 1), kernel, step, pad, extra, strict=True)
    )
    arguments.check_output(out, f"padding {pad} cuts everything off")
    return arguments.one_or_pair(out, size, kernel_size, stride, padding, output_padding)


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    output_padding: IntOrPair = 0,
) -> Tensor:
    """Stamp x times the kernel onto the output, `stride` cells apart, and add up. [N, O, OH, OW]

    The loop runs over the cells of the kernel, not of the input: one kernel cell reaches, from every input value at once, output cells
    that are `stride` apart, and that is a strided slice.

    Args:
        x: [N, C, H, W], [C, H, W] or [H, W], floating-point.
        weight: [C, O, KH, KW], or [KH, KW] for one channel in and out, of the dtype and device of x.
        bias: [O], added to every cell of its channel.
        stride: output cells from stamp to stamp. padding: cells cut off on each side. output_padding: cells kept beyond the last
            stamp, below and to the right, less than stride: several sizes are convolved to the same one, and it says to which to return.

    Raises:
        TypeError, ValueError: x, weight or bias are no such tensors; the output would be empty; output_padding is not less than stride.
    """
    (oh, ow), (sh, sw), (ph, pw) = _checked(x, weight, bias, stride, padding, output_padding)
    height, width = x.shape[-2:]
    images, kernel = widen(_four(x)), widen(_four(weight))  # [N, C, H, W], [C, O, KH, KW]
    kh, kw = kernel.shape[-2:]
    # What padding cuts off is still here.
    output = images.new_zeros(images.shape[0], kernel.shape[1], oh + 2 * ph, ow + 2 * pw)  # [N, O, OH + 2*P, OW + 2*P]
    for ky, kx in itertools.product(range(kh), range(kw)):
        products = torch.einsum("nchw,co->nohw", images, kernel[:, :, ky, kx])  # [N, O, H, W]
        output[:, :, ky : ky + sh * height : sh, kx : kx + sw * width : sw] += products
    output = output[:, :, ph : ph + oh, pw : pw + ow]  # [N, O, OH, OW]
    if bias is not None:
        output = output + widen(bias)[:, None, None]
    return _like(output.to(x.dtype), x)


def conv_matrix(weight: Tensor, size: IntOrPair, stride: IntOrPair = 1, padding: IntOrPair = 0) -> Tensor:
    """The matrix M of a convolution: `M @ y.flatten()` is `F.conv2d(y, weight, stride=stride, padding=padding).flatten()`. [C*H*W, O*OH*OW]

    Each row holds the kernel once, at one place of the image (Dumoulin & Visin 2016, section 4.1). The letters are those of the
    transposed convolution: the convolution goes from O channels of OH × OW down to C channels of H × W.

    Args:
        weight: [C, O, KH, KW], or [KH, KW].
        size: (OH, OW) of the image to be convolved, the large side.

    Raises:
        TypeError, ValueError: weight is no such tensor; the kernel does not fit; M would have more than MATRIX_LIMIT entries.
    """
    arguments.check_weight(weight, None)
    kernel = _four(weight)  # [C, O, KH, KW]
    (channels, out, kh, kw), (oh, ow) = kernel.shape, arguments.pair(size, "size", 1)
    _, (sh, sw), (ph, pw), _ = arguments.stamp((kh, kw), stride, padding, 0)
    height, width = (oh + 2 * ph - kh) // sh + 1, (ow + 2 * pw - kw) // sw + 1
    arguments.check_output((height, width), f"the kernel, {kh} × {kw}, is larger than the padded image")
    entries = channels * height * width * out * (oh + 2 * ph) * (ow + 2 * pw)
    if entries > MATRIX_LIMIT:
        raise ValueError(
            f"The matrix of the convolution must have at most {MATRIX_LIMIT} entries; "
            f"got {entries} for a {oh} × {ow} image: take a smaller image or fewer channels."
        )
    matrix = kernel.new_zeros(channels, height, width, out, oh + 2 * ph, ow + 2 * pw)  # [C, H, W, O, OH + 2*P, OW + 2*P]
    row, column = torch.arange(height)[:, None], torch.arange(width)  # [H, 1], [W]
    for ky, kx in itertools.product(range(kh), range(kw)):
        # The result at (row, column) reads the image at (row * stride + ky, column * stride + kx), with this weight.
        matrix[:, row, column, :, row * sh + ky, column * sw + kx] = kernel[:, :, ky, kx]
    matrix = matrix[..., ph : ph + oh, pw : pw + ow]  # [C, H, W, O, OH, OW]
    return matrix.reshape(channels * height * width, out * oh * ow)  # [C*H*W, O*OH*OW]


def conv_transpose_by_matrix(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    output_padding: IntOrPair = 0,
) -> Tensor:
    """conv_transpose as one multiplication by the transpose of the convolution's matrix. For small planes: see MATRIX_LIMIT.

    Takes, returns and raises what conv_transpose does, and what conv_matrix raises for a matrix that is too large.
    """
    size, step, pad = _checked(x, weight, bias, stride, padding, output_padding)
    matrix = conv_matrix(widen(weight), size, step, pad)  # [C*H*W, O*OH*OW]
    vectors = widen(_four(x)).flatten(1)  # [N, C*H*W]
    output = (vectors @ matrix).unflatten(1, (-1, *size))  # [N, O, OH, OW], each row is Mᵀ x written as xᵀ M
    if bias is not None:
        output = output + widen(bias)[:, None, None]
    return _like(output.to(x.dtype), x)


def overlap_count(
    size: IntOrPair, kernel_size: IntOrPair, stride: IntOrPair, padding: IntOrPair = 0, output_padding: IntOrPair = 0
) -> Tensor:
    """How many stamps cover each output cell of a transposed convolution of a plane of that `size`. [OH, OW], int64

    The count is the same everywhere, but for the border, only if stride divides kernel_size; otherwise it alternates, and so does the
    output: the checkerboard (Odena et al. 2016).
    """
    kernel, _, _, _ = arguments.stamp(kernel_size, stride, padding, output_padding)
    ones = torch.ones(arguments.pair(size, "size", 1))  # [H, W]
    return conv_transpose(ones, torch.ones(kernel), None, stride, padding, output_padding).long()  # [OH, OW]


def conv_transpose_steps(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair = 0,
    output_padding: IntOrPair = 0,
) -> Iterator[Step]:
    """conv_transpose, one stamp a step: an input value times the kernel, onto all output channels.

    Reads "input" and "weight"; writes "output"; `terms` says what the stamp adds to each cell. With a bias, a first step for each image
    writes it everywhere and reads "bias".
    """
    (oh, ow), (sh, sw), (ph, pw) = _checked(x, weight, bias, stride, padding, output_padding)
    kernel = _four(weight).tolist()
    kh, kw = weight.shape[-2:]
    outs = range(_four(weight).shape[1])
    output: dict[Index, float] = {}
    stamped: set[Index] = set()
    for plane, rows in planes(x):
        image, channel = plane[:-1], plane[-1] if plane else 0
        if bias is not None and channel == 0:
            yield _bias_step(x, bias.tolist(), image, (oh, ow), output)
        for row, column in itertools.product(range(x.shape[-2]), range(x.shape[-1])):
            value, top, left = rows[row][column], row * sh - ph, column * sw - pw
            inside = [(ky, kx) for ky in range(kh) for kx in range(kw) if 0 <= top + ky < oh and 0 <= left + kx < ow]
            reads, writes, terms, overlaps = [], {}, {}, 0
            for out, (ky, kx) in itertools.product(outs, inside):
                factor = kernel[channel][out][ky][kx]
                cell = _output_cell(x, image, out) + (top + ky, left + kx)
                writes[cell] = output[cell] = output.get(cell, 0) + value * factor
                terms[cell] = listing((value, factor), " × ")
                overlaps += cell in stamped
                reads.append((channel, out, ky, kx)[-weight.dim() :])
            stamped.update(writes)
            yield Step(
                sentence=in_plane(plane, x.shape, _stamp_sentence(value, list(writes), overlaps, cut=len(inside) < kh * kw)),
                reads={"input": (plane + (row, column),), "weight": tuple(reads)},
                writes={"output": writes},
                arithmetic=_stamp_arithmetic(value, kernel[channel]),
                terms=terms,
            )


def _stamp_sentence(value: float, cells: list[Index], overlaps: int, cut: bool) -> str:
    """What one stamp does, given the output cells that it writes and how many of them hold an earlier stamp."""
    if not cells:
        return f"Multiply the kernel by [{number(value)}|read]: the whole stamp falls into the padding and is cut off."
    what = "stamp what is not cut off" if cut else "stamp it"
    before = f"it meets earlier stamps in {overlaps} of {len(cells)} cells, where they add up" if overlaps else "no stamp was here before"
    rows, columns = _span("row", [cell[-2] for cell in cells]), _span("column", [cell[-1] for cell in cells])
    return f"Multiply the kernel by [{number(value)}|read] and {what} onto {rows}, {columns}: {before}."


def _span(name: str, numbers: list[int]) -> str:
    """ "row 2", or "rows 2 to 4"."""
    first, last = min(numbers), max(numbers)
    return f"{name} {first}" if first == last else f"{name}s {first} to {last}"


def _stamp_arithmetic(value: float, kernels: list[list[list[float]]]) -> str:
    """value × kernel = stamp, rows divided by semicolons; of a kernel [O][KH][KW] with several channels or many cells only the count."""
    count = sum(len(row) for kernel in kernels for row in kernel)
    if len(kernels) > 1 or count > 16:
        return f"{number(value)} × weight, {count} products"
    stamp = [[value * factor for factor in row] for row in kernels[0]]
    before, after = ("; ".join(" ".join(map(number, row)) for row in grid) for grid in (kernels[0], stamp))
    return f"{number(value)} × [{before}] = [{after}]"


def _bias_step(x: Tensor, bias: list[float], image: Index, size: Sequence[int], output: dict[Index, float]) -> Step:
    """The step that starts every output cell of an image at its channel's bias."""
    writes = {_output_cell(x, image, out) + cell: value for out, value in enumerate(bias) for cell in itertools.product(*map(range, size))}
    output.update(writes)
    shown = ", ".join(f"[{number(value)}|write]" for value in bias[:4]) + (", …" if len(bias) > 4 else "")
    sentence = f"Before the first stamp, every cell holds the bias{' of its channel' if len(bias) > 1 else ''}: write {shown}."
    return Step(
        sentence=in_plane((*image, 0), (*x.shape[:-3], 1, 1, 1), sentence),
        reads={"bias": tuple((out,) for out in range(len(bias)))},
        writes={"output": writes},
        arithmetic=f"output = {listing(bias)}",
        terms={cell: number(value) for cell, value in writes.items()},
    )


def _checked(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: IntOrPair, padding: IntOrPair, output_padding: IntOrPair
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """conv_transpose's arguments, checked: output size, stride and padding, each (height, width)."""
    arguments.check_planes(x, fractions=True)
    arguments.check_weight(weight, bias, x)
    kernel, step, pad, extra = arguments.stamp(tuple(weight.shape[-2:]), stride, padding, output_padding)
    return conv_transpose_output_size(tuple(x.shape[-2:]), kernel, step, pad, extra), step, pad


def _four(x: Tensor) -> Tensor:
    """x with the leading dimensions that it lacks: [H, W] and [C, H, W] become [N, C, H, W]."""
    return x.reshape((1,) * (4 - x.dim()) + x.shape)


def _like(output: Tensor, x: Tensor) -> Tensor:
    """output [N, O, OH, OW] with as many dimensions as x."""
    return output.reshape(output.shape[4 - x.dim() :])


def _output_cell(x: Tensor, image: Index, out: int) -> Index:
    """The index before row and column of an output channel: a plane [H, W] has none."""
    return image + (out,) if x.dim() > 2 else image
