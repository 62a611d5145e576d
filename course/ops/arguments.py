"""What the operations accept, and the one sentence that anything else gets.

TypeError: the wrong kind of thing (a list, a bool tensor, a fraction). ValueError: the right kind with a value that
cannot be. NaN and infinity are numbers here: they pass through an operation as they pass through torch's.
"""

import math
import operator
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

PLANES = "[H, W], [C, H, W] or [N, C, H, W]"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

Pair = tuple[int, int]
IntOrPair = int | Sequence[int]


def check_planes(x: Tensor, name: str = "x", fractions: bool = False) -> None:
    """x must be a tensor of real numbers with 2 to 4 dimensions; with `fractions`, of floating-point numbers."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape {PLANES}; got {type(x).__name__}.")
    if x.dtype not in FLOATS + INTEGERS:
        raise TypeError(f"{name} must hold real numbers (float16, bfloat16, float32, float64, uint8 or int8 to int64); got {x.dtype}.")
    if fractions and x.dtype not in FLOATS:
        raise TypeError(f"{name} must be floating-point, because the results are fractions; got {x.dtype}: call {name}.float() first.")
    if x.dim() not in (2, 3, 4):
        raise ValueError(f"{name} must have shape {PLANES}; got {x.dim()} dimensions, {list(x.shape)}.")
    if x.numel() == 0:
        raise ValueError(f"{name} must hold at least one number; got the empty shape {list(x.shape)}.")


def whole(value: int, name: str, least: int) -> int:
    """An integer that is at least `least`."""
    try:
        if isinstance(value, (bool, Tensor)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer or a pair of integers (height, width); got {value!r}.") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}; got {number}.")
    return number


def pair(value: IntOrPair, name: str, least: int) -> Pair:
    """(height, width) of an argument that may be one integer for both, each at least `least`."""
    if not isinstance(value, (tuple, list)):
        return (whole(value, name, least),) * 2
    if len(value) != 2:
        raise ValueError(f"{name} must be an integer or a pair (height, width); got {len(value)} values, {tuple(value)}.")
    return whole(value[0], name, least), whole(value[1], name, least)


def one_or_pair(size: Pair, *given: IntOrPair | None) -> int | Pair:
    """A square size as one number, if all that was given were single numbers."""
    return size if any(isinstance(value, (tuple, list)) for value in given) else size[0]


def window(kernel_size: IntOrPair, stride: IntOrPair | None, padding: IntOrPair) -> tuple[Pair, Pair, Pair]:
    """(kernel, stride, padding) of a pooling window, each (height, width). No stride means windows side by side."""
    kernel = pair(kernel_size, "kernel_size", 1)
    step = kernel if stride is None else pair(stride, "stride", 1)
    pad = pair(padding, "padding", 0)
    if any(p > k // 2 for p, k in zip(pad, kernel, strict=True)):
        raise ValueError(
            "padding must be at most half of kernel_size, so that every window holds a real cell; "
            f"got padding {pad} for kernel_size {kernel}."
        )
    return kernel, step, pad


def stamp(
    kernel_size: IntOrPair,
    stride: IntOrPair,
    padding: IntOrPair,
    output_padding: IntOrPair,
) -> tuple[Pair, Pair, Pair, Pair]:
    """(kernel, stride, padding, output_padding) of a transposed convolution, each (height, width)."""
    kernel, step = pair(kernel_size, "kernel_size", 1), pair(stride, "stride", 1)
    pad, extra = pair(padding, "padding", 0), pair(output_padding, "output_padding", 0)
    if any(a >= d for a, d in zip(extra, step, strict=True)):
        raise ValueError(
            "output_padding must be less than stride, since a whole stride more comes from a larger input; "
            f"got output_padding {extra} for stride {step}."
        )
    return kernel, step, pad, extra


def check_output(size: Sequence[int], reason: str) -> None:
    """Every side of an output is at least 1."""
    if min(size) < 1:
        raise ValueError(f"The output would be {' × '.join(map(str, size))}; it needs at least one cell: {reason}.")


def check_divides(factor: Pair, name: str, size: Pair) -> None:
    """A plane of that (height, width) falls into whole blocks."""
    if size[0] % factor[0] or size[1] % factor[1]:
        raise ValueError(f"{name} must divide the plane into whole blocks; got {name} {factor} for height and width {size}.")


def unpooled_size(output_size: Sequence[int], shape: Sequence[int], usual: Pair, stride: Pair) -> Pair:
    """The (height, width) asked of max_unpool, by torch's rule: less than one stride away from the usual one."""
    if not isinstance(output_size, (tuple, list)) or len(output_size) not in (2, len(shape)):
        raise ValueError(f"output_size must be (height, width) or the pooled tensor's whole shape; got {output_size!r}.")
    if len(output_size) > 2 and tuple(output_size[:-2]) != tuple(shape[:-2]):
        raise ValueError(
            f"output_size must agree with x in all but height and width; got {tuple(output_size)} for x of shape {list(shape)}."
        )
    size = pair(output_size[-2:], "output_size", 1)
    if any(abs(side - usually) >= step for side, usually, step in zip(size, usual, stride, strict=True)):
        raise ValueError(f"output_size must be less than one stride, {stride}, away from the usual {usual} in each direction; got {size}.")
    return size


def check_switches(indices: Tensor, x: Tensor, size: Pair, overlap: bool) -> None:
    """indices must be max_pool's: int64, x's shape, inside the output; each cell once unless the windows overlap."""
    if not isinstance(indices, Tensor):
        raise TypeError(f"indices must be a torch.Tensor of the shape of x; got {type(indices).__name__}.")
    if indices.dtype != torch.int64:
        raise TypeError(f"indices must be int64, as max_pool returns them; got {indices.dtype}.")
    if indices.shape != x.shape:
        raise ValueError(f"indices must have the shape of x, {list(x.shape)}; got {list(indices.shape)}.")
    check_same_device(indices, "indices", x)
    height, width = size
    outside = (indices < 0) | (indices >= height * width)
    if outside.any():
        raise ValueError(
            f"indices must lie in 0 … {height * width - 1}, the cells of a {height} × {width} output; "
            f"got {indices[outside][0].item()}: give output_size, the size of what was pooled, if it differs."
        )
    if overlap:
        return
    switches = indices.flatten(-2)  # [N, C, H*W]
    visits = switches.new_zeros(*switches.shape[:-1], height * width)  # [N, C, OH*OW]
    repeated = visits.scatter_add(-1, switches, torch.ones_like(switches)).gather(-1, switches) > 1  # [N, C, H*W]
    if repeated.any():
        raise ValueError(
            "indices must not repeat within a plane where windows do not overlap, since no two windows share a cell; "
            f"got {switches[repeated][0].item()} more than once."
        )


def check_weight(weight: Tensor, bias: Tensor | None, x: Tensor | None = None) -> None:
    """weight [C, O, KH, KW], or [KH, KW] for one channel in and out, that fits x's C channels; bias [O]."""
    if not isinstance(weight, Tensor):
        raise TypeError(f"weight must be a torch.Tensor of shape [C_in, C_out, KH, KW] or [KH, KW]; got {type(weight).__name__}.")
    if weight.dtype not in FLOATS:
        raise TypeError(f"weight must be floating-point; got {weight.dtype}.")
    if weight.dim() not in (2, 4) or weight.numel() == 0:
        raise ValueError(f"weight must have shape [C_in, C_out, KH, KW] or [KH, KW], none of them 0; got {list(weight.shape)}.")
    into, out = weight.shape[:2] if weight.dim() == 4 else (1, 1)
    if bias is not None and (not isinstance(bias, Tensor) or bias.shape != (out,)):
        raise ValueError(
            f"bias must be a tensor of shape [{out}], one number for each output channel; "
            f"got {list(bias.shape) if isinstance(bias, Tensor) else bias!r}."
        )
    if x is None:
        return
    channels = x.shape[-3] if x.dim() > 2 else 1
    if into != channels:
        raise ValueError(
            f"weight must have the channels of x, {channels}, as its first dimension; got weight of shape {list(weight.shape)}."
        )
    if x.dim() == 2 and out != 1:
        raise ValueError(f"An x of shape [H, W] gives one output channel; got weight for {out}.")
    for tensor, name in ((weight, "weight"), (bias, "bias")):
        if tensor is not None:
            if tensor.dtype != x.dtype:
                raise TypeError(f"{name} must have the dtype of x, {x.dtype}; got {tensor.dtype}.")
            check_same_device(tensor, name, x)


def check_same_device(tensor: Tensor, name: str, x: Tensor, x_name: str = "x") -> None:
    """Both tensors are on one device."""
    if tensor.device != x.device:
        raise ValueError(f"{name} must be on the device of {x_name}, {x.device}; got {tensor.device}.")


def check_boxes(boxes: Tensor, name: str = "boxes", rows: bool = True, finite: bool = False) -> None:
    """Floating-point boxes, [N, 4] or without `rows` [..., 4]; N may be 0. With `finite`, without NaN and infinity."""
    shape = "[N, 4]" if rows else "[..., 4]"
    _check_fractions(boxes, name, shape)
    if boxes.shape[-1:] != (4,) or rows and boxes.dim() != 2:
        one = f": a single box is {name}[None]" if rows and boxes.shape == (4,) else ""
        raise ValueError(f"{name} must have shape {shape}, four numbers a box; got {list(boxes.shape)}{one}.")
    if finite and not boxes.isfinite().all():
        raise ValueError(f"{name} must be finite; got {_first(boxes, ~boxes.isfinite().all(-1))}.")


def check_sizes(boxes: Tensor, name: str) -> None:
    """Boxes x1, y1, x2, y2 [N, 4], each with width and height above 0."""
    proper = (boxes[:, 2:] > boxes[:, :2]).all(-1)  # [N]
    if not proper.all():
        raise ValueError(f"{name} must have widths and heights above 0, x1 < x2 and y1 < y2; got {_first(boxes, ~proper)}.")


def check_inside(boxes: Tensor, size: Pair, name: str) -> None:
    """Boxes x1, y1, x2, y2 [N, 4], each at least in part in a picture of that (height, width)."""
    height, width = size
    inside = (boxes[:, 2:] > 0).all(-1) & (boxes[:, 0] < width) & (boxes[:, 1] < height)  # [N]
    if not inside.all():
        raise ValueError(f"{name} must reach into it, {width} pixels wide and {height} high; got {_first(boxes, ~inside)}.")


def check_paired(x: Tensor, name: str, boxes: Tensor, boxes_name: str, classes: bool = False) -> None:
    """Boxes [N, 4] and as many rows x [N, 4], or with `classes` [N, 4K], on one device."""
    check_boxes(boxes, boxes_name)
    if classes:
        _check_fractions(x, name, "[N, 4K]")
        if x.dim() != 2 or x.shape[1] == 0 or x.shape[1] % 4:
            raise ValueError(f"{name} must have shape [N, 4K], four numbers for each of K classes; got {list(x.shape)}.")
    else:
        check_boxes(x, name)
    if len(x) != len(boxes):
        raise ValueError(f"{name} and {boxes_name} must have as many rows; got {len(x)} and {len(boxes)}.")
    check_same_device(x, name, boxes, boxes_name)


def check_scales(weights: Sequence[float]) -> tuple[float, ...]:
    """Four finite numbers above 0."""
    numbers = weights.tolist() if isinstance(weights, Tensor) else weights
    if not isinstance(numbers, (tuple, list)) or len(numbers) != 4 or not all(_is_number(n) and 0 < n < math.inf for n in numbers):
        raise ValueError(f"weights must be four numbers above 0, for x, y, width and height; got {weights!r}.")
    return tuple(map(float, numbers))


def check_scores(scores: Tensor, boxes: Tensor, name: str = "scores") -> None:
    """A score for each box, floating-point [N], on its device; without NaN, which has no rank."""
    _check_fractions(scores, name, "[N]")
    check_row(scores, boxes, name)
    if scores.isnan().any():
        raise ValueError(f"{name} must be numbers that can be ranked; got NaN at {int(scores.isnan().nonzero()[0])}.")


def check_row(x: Tensor, boxes: Tensor, name: str) -> None:
    """One number for each box: [N], on its device."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape [N]; got {type(x).__name__}.")
    if x.shape != boxes.shape[:1]:
        raise ValueError(f"{name} must have shape [{len(boxes)}], one for each box; got {list(x.shape)}.")
    check_same_device(x, name, boxes, "boxes")


def check_overlaps(iou: Tensor) -> None:
    """Overlaps [G, N], floating-point, without NaN; G and N may be 0."""
    _check_fractions(iou, "iou", "[G, N]")
    if iou.dim() != 2:
        raise ValueError(f"iou must have shape [G, N], a row an object and a column a box; got {list(iou.shape)}.")
    if iou.isnan().any():
        raise ValueError(f"iou must be numbers that can be compared; got NaN at {tuple(iou.isnan().nonzero()[0].tolist())}.")


def check_matches(matches: Tensor) -> None:
    """What match_boxes returns: int64 [N]."""
    if not isinstance(matches, Tensor):
        raise TypeError(f"matches must be a torch.Tensor of shape [N]; got {type(matches).__name__}.")
    if matches.dtype != torch.int64:
        raise TypeError(f"matches must be int64, as match_boxes returns them; got {matches.dtype}.")
    if matches.dim() != 1:
        raise ValueError(f"matches must have shape [N], one for each box; got {list(matches.shape)}.")


def check_alike(x: Tensor, name: str, like: Tensor, like_name: str) -> None:
    """Two floating-point tensors of one shape on one device."""
    for tensor, of in ((x, name), (like, like_name)):
        _check_fractions(tensor, of, "[...]")
    if x.shape != like.shape:
        raise ValueError(f"{name} and {like_name} must have one shape; got {list(x.shape)} and {list(like.shape)}.")
    check_same_device(x, name, like, like_name)


def share(value: float, name: str) -> float:
    """A number from 0 to 1."""
    if not _is_number(value):
        raise TypeError(f"{name} must be a number from 0 to 1; got {value!r}.")
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be from 0 to 1; got {value!r}.")
    return float(value)


def positive(value: float, name: str) -> float:
    """A finite number above 0."""
    if not _is_number(value):
        raise TypeError(f"{name} must be a number above 0; got {value!r}.")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0; got {value!r}.")
    return float(value)


def several(values: Sequence, name: str, count: int | None = None) -> Sequence:
    """A tuple or list, one entry for each level: `count` of them, or at least one."""
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name} must be a tuple or list with an entry for each level; got {type(values).__name__}.")
    if not values or count is not None and len(values) != count:
        raise ValueError(f"{name} must have an entry for each level, {count or 'at least 1'}; got {len(values)}.")
    return values


def positives(values: Sequence[float], name: str, count: int | None = None, least: int = 1) -> list[float]:
    """Finite numbers above 0 in a tuple or list: `count` of them, or at least `least`."""
    if not isinstance(values, (tuple, list)):
        raise TypeError(f"{name} must be a tuple or list of numbers above 0; got {values!r}.")
    if len(values) < least or count is not None and len(values) != count:
        raise ValueError(f"{name} must be numbers above 0, {f'at least {least}' if count is None else count} of them; got {len(values)}.")
    return [positive(value, f"each of {name}".replace("each of each", "each")) for value in values]


def check_fits(size: Pair, image: Pair) -> None:
    """A map of that (height, width) has a stride of at least a pixel."""
    if size[0] > image[0] or size[1] > image[1]:
        raise ValueError(f"map_sizes must be at most the image's, height and width {image}; got {size}.")


def regions(features: Tensor, boxes: Tensor | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Features [N, C, H, W] and boxes, [R, 5] or N tensors [L, 4], as (image [R] int64, boxes [R, 4] in the dtype to compute in)."""
    check_planes(features, "features", fractions=True)
    if features.dim() != 4:
        raise ValueError(f"features must have shape [N, C, H, W]; got {list(features.shape)}.")
    if isinstance(boxes, (tuple, list)):
        image, boxes = _listed(boxes, features)
    else:
        image, boxes = _numbered(boxes, features)
    dtype = features.dtype if features.dtype == torch.float64 else torch.float32
    return image.to(boxes.device), boxes.detach().to(dtype)


def _listed(boxes: Sequence[Tensor], features: Tensor) -> tuple[Tensor, Tensor]:
    if len(boxes) != len(features):
        raise ValueError(f"boxes must be a tensor [L, 4] for each image of features; got {len(boxes)} for {len(features)}.")
    for n, of_image in enumerate(boxes):
        check_boxes(of_image, f"boxes[{n}]")
        check_same_device(of_image, f"boxes[{n}]", features, "features")
        check_boxes(of_image, f"boxes[{n}]", finite=True)
    counts = torch.tensor([len(of_image) for of_image in boxes])
    return torch.arange(len(boxes)).repeat_interleave(counts), torch.cat(list(boxes))


def _numbered(boxes: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    shape = "[R, 5], the index of the image before each box"
    if not isinstance(boxes, Tensor):
        raise TypeError(f"boxes must be a torch.Tensor of shape {shape}, or a list of tensors [L, 4]; got {type(boxes).__name__}.")
    _check_fractions(boxes, "boxes", shape)
    if boxes.dim() != 2 or boxes.shape[1] != 5:
        one = ": boxes of one image are a list, [boxes]" if boxes.dim() == 2 and boxes.shape[1] == 4 else ""
        raise ValueError(f"boxes must have shape {shape}; got {list(boxes.shape)}{one}.")
    check_same_device(boxes, "boxes", features, "features")
    image, boxes, images = boxes[:, 0], boxes[:, 1:], len(features)
    check_boxes(boxes, finite=True)
    there = (image == image.floor()) & (image >= 0) & (image < images)
    if not there.all():
        wrong = int((~there).nonzero()[0, 0])
        raise ValueError(f"boxes must name images from 0 to {images - 1} in their first column; got {image[wrong].item():g} at {wrong}.")
    return image.long(), boxes


def _check_fractions(x: Tensor, name: str, shape: str) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape {shape}; got {type(x).__name__}.")
    if x.dtype not in FLOATS:
        hint = f": call {name}.float() first" if x.dtype in INTEGERS else ""
        raise TypeError(f"{name} must be floating-point; got {x.dtype}{hint}.")


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _first(boxes: Tensor, wrong: Tensor) -> str:
    """The first box of which `wrong` [N] is true, in words."""
    row = wrong.flatten().nonzero()[0, 0]
    return f"{[round(side, 4) for side in boxes.flatten(0, -2)[row].tolist()]} at {int(row)}"
