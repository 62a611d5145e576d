"""Real photographs: those that scikit-image carries in its wheel, and the reader's own.

`photo` and `cat` never touch the network. `load_image` takes a picture from anywhere, looks at its size before it decodes
anything, and always gives the same thing: RGB, 0…1, upright.

Shape letters: H height, W width, in pixels.
"""

import io
import os
import warnings
from importlib import resources

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

PHOTOS = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "horse": "horse.png",
    "hubble": "hubble_deep_field.jpg",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "text": "text.png",
}

# Pillow also knows formats that start other programs (EPS starts Ghostscript). A stranger's upload gets these only.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP")
_ACCEPTED = "PNG, JPEG, GIF, WebP, BMP, TIFF or PPM"

MAX_BYTES = 50_000_000
MAX_PIXELS = 40_000_000


def cat() -> Tensor:
    """Chelsea, the photograph that carries the course's story.

    Returns: float32 `[3, 300, 451]`, RGB, 0…1. Source: `skimage.data.chelsea` (CC0, Stéfan van der Walt).
    """
    return photo("cat")


def photo(name: str) -> Tensor:
    """One of the pictures inside scikit-image's wheel; nothing is downloaded.

    Args:
        name: a key of `PHOTOS`, such as "cat", "astronaut", "coffee", "rocket".

    Returns: float32 `[3, H, W]`, RGB, 0…1. A grey picture comes as three equal channels.

    Raises: ValueError for a name that is not there.
    """
    if name not in PHOTOS:
        raise ValueError(f"There is no photograph {name!r}; accepted are {', '.join(PHOTOS)}.")
    return load_image((resources.files("skimage") / "data" / PHOTOS[name]).read_bytes())


def load_image(source, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Any picture as the course wants it: RGB, 0…1, upright.

    The size is checked before anything is decoded, so a small file that unfolds into a huge picture is refused unread.
    The camera's rotation (EXIF) is applied; where that record itself is broken, the picture is left as it is stored.
    Transparent pixels are laid on white. 16-bit grey is divided by 65535. Of an animation, the first frame is taken.

    Args:
        source: a path; the bytes of a file; an object with `read()` that gives bytes; a PIL image; a numpy array `[H, W]`,
            `[H, W, 1]` (grey), `[H, W, 2]` (grey, alpha), `[H, W, 3]` or `[H, W, 4]` (RGB, alpha); a tensor `[H, W]` or
            `[C, H, W]` with the same channels. Arrays hold uint8 (0…255), uint16 (0…65535), bool, or floats in 0…1.
        max_bytes: the largest file, in bytes.
        max_pixels: the largest picture, H·W.

    Returns: float32 `[3, H, W]` on the CPU, RGB, 0…1. It shares no memory with `source`.

    Raises: TypeError for a source of another kind; ValueError for a picture that cannot be read or is too large.
    """
    if isinstance(source, Tensor):
        return _from_tensor(source, max_pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        return _from_pil(source, max_pixels)
    data = _read(source, max_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is refused here with a sentence, or does not matter
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ValueError(f"The picture is far larger than the {max_pixels:,} pixels that are accepted.") from error
        except Exception as error:  # a decoder raises anything on bytes that lie to it
            raise ValueError(f"This is not a picture that can be read; accepted are {_ACCEPTED}.") from error
        with image:
            return _from_pil(image, max_pixels)


def _read(source, max_bytes: int) -> bytes:
    """The bytes of a path, a buffer or a file object, never more than `max_bytes` + 1 of them."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source) if memoryview(source).nbytes <= max_bytes else None
    elif isinstance(source, (str, os.PathLike)):
        try:
            # The size of a file is asked before it is opened; a pipe has none, so the read is bounded too.
            if os.path.getsize(source) > max_bytes:
                data = None
            else:
                with open(source, "rb") as file:
                    data = file.read(max_bytes + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(f"The picture {os.fspath(source)!r} cannot be opened: {reason}.") from error
    elif callable(getattr(source, "read", None)):
        data = source.read(max_bytes + 1)
        if not isinstance(data, bytes):
            raise TypeError(f"The file gave {type(data).__name__} when read; open it in binary mode, open(path, 'rb').")
    else:
        raise TypeError(
            f"load_image takes a path, bytes, an open file, a PIL image, a numpy array or a tensor, not {type(source).__name__}."
        )
    if data is None or len(data) > max_bytes:
        raise ValueError(f"The picture's file is larger than the {max_bytes:,} bytes that are accepted.")
    if not data:
        raise ValueError("The picture's file is empty.")
    return data


def _from_pil(image: Image.Image, max_pixels: int) -> Tensor:
    _check_size(image.height, image.width, max_pixels)
    try:
        image.load()
    except Exception as error:  # as above: corrupt data may raise anything
        raise ValueError(f"The picture is damaged or cut off and cannot be decoded ({error}).") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF record is no reason to refuse a good picture
        pass
    if image.mode.startswith(("I", "F")):  # 16-bit, 32-bit and float grey, which Pillow's convert("RGB") clips at 255
        return _from_deep_grey(image)
    try:
        if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB")
    except ValueError as error:
        raise ValueError(f"A picture in colour mode {image.mode!r} cannot be converted to RGB.") from error
    return _from_array(np.asarray(image), max_pixels)


def _from_deep_grey(image: Image.Image) -> Tensor:
    values = np.asarray(image)
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ValueError(f"The grey values run from {low} to {high}; accepted are 8-bit (to 255) and 16-bit (to 65535).")
        values = values.astype(np.uint16)
    return _from_array(values, values.size)


def _from_array(array: np.ndarray, max_pixels: int) -> Tensor:
    """`[H, W]` or `[H, W, C]` → `[3, H, W]`."""
    if array.ndim not in (2, 3):
        raise ValueError(f"A picture has shape [H, W] or [H, W, C]; this array has shape {list(array.shape)}.")
    if array.ndim == 2:
        array = array[:, :, None]  # [H, W, 1]
    if array.shape[2] not in (1, 2, 3, 4):
        hint = "; channels come last in an array, so transpose it" if array.shape[0] in (1, 3, 4) else ""
        raise ValueError(f"A picture array has 1 to 4 channels last; this one has shape {list(array.shape)}{hint}.")
    _check_size(array.shape[0], array.shape[1], max_pixels)
    values = _zero_to_one(array)  # [H, W, C]
    channels = values.shape[2]
    colour = values[:, :, : channels - 1] if channels in (2, 4) else values
    if channels in (2, 4):
        alpha = values[:, :, -1:]
        colour = colour * alpha + (1 - alpha)
    colour = np.broadcast_to(colour, (*colour.shape[:2], 3))  # [H, W, 3]
    return torch.from_numpy(colour.transpose(2, 0, 1).copy())  # [3, H, W]


def _from_tensor(tensor: Tensor, max_pixels: int) -> Tensor:
    """`[H, W]` or `[C, H, W]` → `[3, H, W]`."""
    if tensor.dim() == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.dim() not in (2, 3) or (tensor.dim() == 3 and tensor.shape[0] not in (1, 2, 3, 4)):
        hint = "; channels come first in a tensor, so permute it" if tensor.dim() == 3 and tensor.shape[-1] in (1, 3, 4) else ""
        raise ValueError(f"A picture tensor has shape [H, W] or [C, H, W] with 1 to 4 channels, not {list(tensor.shape)}{hint}.")
    if tensor.is_complex() or tensor.layout != torch.strided:
        raise TypeError(f"A picture tensor is dense and real, not {tensor.dtype} with layout {tensor.layout}.")
    _check_size(tensor.shape[-2], tensor.shape[-1], max_pixels)
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # numpy has no bfloat16
    array = tensor.numpy()
    return _from_array(array if array.ndim == 2 else array.transpose(1, 2, 0), max_pixels)


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if height == 0 or width == 0:
        raise ValueError(f"The picture is empty: {height} by {width} pixels.")
    if height * width > max_pixels:
        raise ValueError(f"The picture has {height * width:,} pixels ({height} by {width}); at most {max_pixels:,} are accepted.")


def _zero_to_one(array: np.ndarray) -> np.ndarray:
    """Any accepted kind of number → a new float32 array in 0…1."""
    kind, size = array.dtype.kind, array.dtype.itemsize  # not `== np.uint16`, which is false for the other byte order
    if (kind, size) == ("u", 1):
        return array.astype(np.float32) / 255
    if (kind, size) == ("u", 2):
        return array.astype(np.float32) / 65535
    if kind == "b":
        return array.astype(np.float32)
    if kind != "f":
        raise TypeError(f"A picture holds uint8, uint16, bool or float values, not {array.dtype}.")
    if not np.isfinite(array).all():
        raise ValueError("The picture holds NaN or infinite values; accepted are floats from 0 to 1.")
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 1:
        raise ValueError(f"The picture's floats run from {low:.3g} to {high:.3g}; accepted are 0 to 1 (divide 8-bit values by 255).")
    return array.astype(np.float32)
