"""What widgets accept: tensors of numbers that can be shown, and pictures. Each refusal is one sentence.

Letters: N batch, C channels, H, W rows and columns.
"""

from __future__ import annotations

import difflib
import inspect

import numpy as np
import torch
from torch import Tensor

MOST_CELLS = 64 * 64
MOST_PIXELS = 20_000_000
SHOWN_SIDE = 360  # pixels of the longer side of a picture in a trace


def plane(x, *, name: str = "x", channel: int = 0, batch: int = 0) -> tuple[Tensor, str]:
    """The matrix `[H, W]` that is shown of `x` (`[H, W]`, `[C, H, W]` or `[N, C, H, W]`), as float32, and its shape in words.

    Raises:
        TypeError: `x` isn't a tensor, array or nested list of real numbers.
        ValueError: wrong number of dimensions, empty, NaN or infinite, too large to draw, or no such channel.
    """
    tensor = as_tensor(x, name=name)
    shape = list(tensor.shape)
    if tensor.ndim not in (2, 3, 4):
        raise ValueError(f"{name} has the shape {shape}; a widget shows [H, W], [C, H, W] or [N, C, H, W]")
    if tensor.numel() == 0:
        raise ValueError(f"{name} is empty (shape {shape}); it needs at least one value")
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{name} has NaN or infinite values; a widget shows finite numbers only")
    images = shape[0] if tensor.ndim == 4 else 1
    channels = shape[-3] if tensor.ndim > 2 else 1
    if not (isinstance(channel, int) and 0 <= channel < channels):
        raise ValueError(f"channel is {channel!r}, and {name} has the channels 0 to {channels - 1}")
    if not (isinstance(batch, int) and 0 <= batch < images):
        raise ValueError(f"batch is {batch!r}, and {name} holds the images 0 to {images - 1}")
    if shape[-1] * shape[-2] > MOST_CELLS:
        raise ValueError(
            f"{name} has {shape[-2]}×{shape[-1]} cells; a widget shows 64×64 = {MOST_CELLS} at most: pass a crop, {name}[..., :64, :64]"
        )
    tensor = tensor[batch] if tensor.ndim == 4 else tensor
    return (tensor[channel] if tensor.ndim == 3 else tensor), str(shape)


def as_tensor(x, *, name: str) -> Tensor:
    """`x` as a float32 tensor on the CPU; values of half and double precision are rounded for display only."""
    try:
        tensor = x.detach() if isinstance(x, Tensor) else torch.as_tensor(np.array(x))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} {_what(x)}; a widget takes a tensor, an array or a nested list of numbers") from None
    if tensor.dtype == torch.bool or tensor.is_complex():
        raise TypeError(f"{name} holds {str(tensor.dtype).removeprefix('torch.')} values; a widget takes real numbers")
    return tensor.to("cpu", torch.float32)


def _what(x) -> str:
    """What is wrong with something that became no tensor."""
    if isinstance(x, (list, tuple)) and x and all(isinstance(row, (list, tuple)) for row in x):
        lengths = [len(row) for row in x]
        if len(set(lengths)) > 1:
            return f"has rows of {', '.join(map(str, lengths[:-1]))} and {lengths[-1]} entries"
        if any(isinstance(entry, str) for row in x for entry in row):
            return "holds text"
    if isinstance(x, (list, tuple)) and any(isinstance(entry, str) for entry in x):
        return "holds text"
    return f"is {type(x).__name__}"


def pixels(image, *, name: str = "image") -> np.ndarray:
    """A picture `[3, H, W]` with values in 0…1 as `[H, W, 3]` uint8, made small enough for a trace.

    Raises:
        TypeError, ValueError: as `plane`; also when it hasn't three channels, has over 20 megapixels, or values outside 0…1.
    """
    image = image if hasattr(image, "shape") else as_tensor(image, name=name)
    shape = list(image.shape)
    if len(shape) == 4 and shape[0] == 1:
        image = image[0]
    if len(image.shape) != 3 or image.shape[0] != 3 or 0 in shape:
        hint = ": call .permute(2, 0, 1)" if len(shape) == 3 and shape[2] == 3 else ""
        raise ValueError(f"{name} has the shape {shape}; a picture is [3, H, W], RGB{hint}")
    if shape[-1] * shape[-2] > MOST_PIXELS:
        raise ValueError(f"{name} has {shape[-1] * shape[-2] / 1e6:.0f} megapixels; a widget takes 20 at most: make it smaller")
    tensor = as_tensor(image, name=name)
    if not torch.isfinite(tensor).all() or tensor.min() < 0 or tensor.max() > 1:
        raise ValueError(f"{name} has values outside 0…1; divide 8-bit pixels by 255")
    return (tensor.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()  # [H, W, 3]


def channels_last(image, *, name: str = "image") -> np.ndarray:
    """A picture that `pixels` accepts, as scikit-image takes it: `[H, W, 3]` float32, 0…1."""
    tensor = as_tensor(image, name=name)
    return tensor.reshape(tensor.shape[-3:]).permute(1, 2, 0).contiguous().numpy()  # [H, W, 3]


def shrunk(picture: np.ndarray, side: int = SHOWN_SIDE) -> tuple[np.ndarray, float]:
    """The picture with its longer side at most `side` pixels, and the factor by which its coordinates shrank."""
    from PIL import Image

    height, width = picture.shape[:2]
    factor = min(1.0, side / max(height, width))
    if factor == 1.0:
        return picture, factor
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS)), factor


def check_keywords(unknown: dict, function) -> None:
    """Refuse keywords that `function` doesn't have, naming the nearest that it has.

    Raises:
        TypeError: `unknown` isn't empty.
    """
    if not unknown:
        return
    known = [p.name for p in inspect.signature(function).parameters.values() if p.kind != p.VAR_KEYWORD]
    wrong = sorted(unknown)[0]
    near = difflib.get_close_matches(wrong, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}."
    raise TypeError(f"segwidgets.{function.__name__} has no keyword {wrong!r}; {hint}")
