"""Plain arrays between processes that don't trust one another: `.npz` without pickle, stored and not compressed.

NumPy opens such a file with `numpy.load`. The other way round, `from_npz` opens less than NumPy does: what it reads was written by a
student's process, so every number in it is a claim to be checked before anything is allocated.

torch has types that NumPy has not (bfloat16, the 8-bit floats). Their bits travel as integers, in an entry called `NAME.bfloat16.npy`, and
become the same type again. As float32 they would pass for more precise than they are, and `comparing.compare` accepts that.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zipfile
from collections.abc import Mapping

import numpy as np
import torch

from course.exercises.exercise import Value

# torch's type, and the one that its bits travel as.
AS_BITS = {
    "bfloat16": (torch.bfloat16, torch.int16),
    "float8_e4m3fn": (torch.float8_e4m3fn, torch.uint8),
    "float8_e4m3fnuz": (torch.float8_e4m3fnuz, torch.uint8),
    "float8_e5m2": (torch.float8_e5m2, torch.uint8),
    "float8_e5m2fnuz": (torch.float8_e5m2fnuz, torch.uint8),
}
NUMPY_KINDS = "biuf"
MOST_DIMENSIONS = 16
MOST_ELEMENTS = 2**40  # of a shape without its zeros: [0, 10**18, 10**18] has no values, and still no strides that fit 64 bits
LONGEST_NAME = 200
LONGEST_HEADER = 1024  # one of 16 dimensions takes about 450

# The end of a zip file (APPNOTE.TXT 6.3.10, 4.3.16): signature, two disk numbers, entries on this disk, entries, size and offset of the
# directory, length of the comment.
_END = struct.Struct("<4s4H2LH")
_DIRECTORY_ENTRY = 46  # bytes, without its name


class BadArrays(ValueError):
    """The bytes are not arrays as `to_npz` writes them. The text is one sentence."""


def to_npz(arrays: Mapping[str, torch.Tensor]) -> bytes:
    """The tensors as the bytes of an `.npz` file. The same tensors give the same bytes.

    Raises:
        TypeError: When a tensor has a type that cannot travel, such as a complex one.
        ValueError: When a name cannot be a file's name, or there is more than a zip file holds: 65,535 arrays or 2 GiB.
    """
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
            for name, tensor in arrays.items():
                array, suffix = _as_numpy(name, tensor)
                _check_name(name, suffix)
                entry = io.BytesIO()
                np.lib.format.write_array(entry, array, version=(1, 0), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{name}{suffix}.npy"), entry.getbuffer())
    except zipfile.LargeZipFile:
        raise ValueError("the arrays take more than 2 GiB, or are more than 65,535; less is accepted") from None
    return buffer.getvalue()


def _check_name(name: str, suffix: str) -> None:
    if not _is_name(name + suffix) or (not suffix and name.rpartition(".")[2] in AS_BITS):
        raise ValueError(
            f"an array cannot be called {name[:60]!r}; accepted are up to {LONGEST_NAME} printable characters but slashes, "
            "not ending in the name of a type"
        )


def _is_name(name: str) -> bool:
    return 0 < len(name) <= LONGEST_NAME and name.isprintable() and "/" not in name and "\\" not in name


def _as_numpy(name: str, tensor: torch.Tensor) -> tuple[np.ndarray, str]:
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    for suffix, (dtype, bits) in AS_BITS.items():
        if tensor.dtype is dtype:
            return tensor.view(bits).numpy(), f".{suffix}"
    try:
        array = tensor.numpy()
    except TypeError:
        array = None
    if array is None or array.dtype.kind not in NUMPY_KINDS:
        raise TypeError(f"the array {name[:60]!r} is of type {tensor.dtype}; accepted are bool, whole numbers and floats")
    return array, ""


def from_npz(content: bytes, *, max_bytes: int, max_arrays: int) -> dict[str, torch.Tensor]:
    """The tensors in the bytes of an `.npz` file, in its order, whoever wrote it. NaN and Inf are values like others.

    It needs at most about three times the memory that `content` takes, whatever `content` claims.

    Args:
        max_bytes: How long `content` may be.
        max_arrays: How many arrays it may hold.

    Raises:
        BadArrays: When it is anything else than `to_npz` writes; arrays of NumPy's in either byte order, or in Fortran's order, are
            accepted too.
    """
    arrays = {}
    for stem, entry in _entries(content, max_bytes, max_arrays).items():
        name, _, suffix = stem.rpartition(".")
        array = _array(stem, entry)
        if suffix in AS_BITS:
            dtype, bits = AS_BITS[suffix]
            if not name or name in arrays or array.dtype != bits:
                raise BadArrays(f"the array {stem[:60]!r} doesn't hold the bits of {suffix}, or is there twice")
            arrays[name] = array.view(dtype)
        elif stem in arrays:
            raise BadArrays(f"the array {stem[:60]!r} is there twice")
        else:
            arrays[stem] = array
    return arrays


def _entries(content: bytes, max_bytes: int, max_arrays: int) -> dict[str, bytes]:
    """What the zip file holds, by name without `.npy`."""
    if len(content) > max_bytes:
        raise BadArrays(f"the arrays take {len(content)} bytes; at most {max_bytes} are accepted")
    _check_end(content, max_arrays)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = archive.infolist()
            _check_entries(found, len(content), max_arrays)
            return {info.filename.removesuffix(".npy"): archive.read(info) for info in found}
    except BadArrays:
        raise
    except Exception as error:  # zipfile raises a dozen kinds, depending on where a file is broken
        raise BadArrays(f"the arrays are not in a zip file that can be read ({_said(error)})") from None


def _check_end(content: bytes, max_arrays: int) -> None:
    """Before `zipfile` reads the directory: it would make an object of each entry there, however many, and skip what stands around."""
    if len(content) < _END.size:
        raise BadArrays(f"{len(content)} bytes are too few for a zip file")
    # PK\6\7 opens the locator of the larger zip64 format, whose numbers `zipfile` would believe in place of these.
    signature, *disks, here, count, size, offset, comment = _END.unpack(content[-_END.size :])
    if signature != b"PK\5\6" or any(disks) or comment or here != count or content[-_END.size - 20 :].startswith(b"PK\6\7"):
        raise BadArrays("the arrays are not in a zip file, or something stands after its end")
    if count > max_arrays:
        raise BadArrays(f"there are {count} arrays; at most {max_arrays} are accepted")
    if offset + size + _END.size != len(content) or size > count * (_DIRECTORY_ENTRY + 4 * LONGEST_NAME + len(".npy")):
        raise BadArrays("the zip file's directory is not where it should be, or holds more than names")


def _check_entries(found: list[zipfile.ZipInfo], length: int, max_arrays: int) -> None:
    if len(found) > max_arrays:
        raise BadArrays(f"there are {len(found)} arrays; at most {max_arrays} are accepted")
    names = {info.filename for info in found}
    if len(names) < len(found):
        raise BadArrays("an array is there twice")
    for info in found:
        name = info.filename
        if not name.endswith(".npy") or not _is_name(name.removesuffix(".npy")) or name != info.orig_filename:
            raise BadArrays(f"{info.orig_filename[:60]!r} is not an array's name; accepted are plain names that end in .npy")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
            raise BadArrays(f"the array {name[:60]!r} is compressed or encrypted; accepted are stored ones")
    if sum(info.file_size for info in found) > length:
        raise BadArrays("the arrays claim more bytes than there are")


def _array(name: str, entry: bytes) -> torch.Tensor:
    shape, fortran, dtype, start = _header(name, entry)
    if dtype.kind not in NUMPY_KINDS or dtype.itemsize > 8:
        kind = str(dtype)[:60]
        raise BadArrays(f"the array {name[:60]!r} is of type {kind}; accepted are bool, whole numbers and floats of up to 64 bits")
    if len(shape) > MOST_DIMENSIONS or min(shape, default=0) < 0 or math.prod(max(size, 1) for size in shape) > MOST_ELEMENTS:
        raise BadArrays(f"the array {name[:60]!r} has a shape that is not accepted: {str(shape)[:60]}")
    if math.prod(shape) * dtype.itemsize != len(entry) - start:
        raise BadArrays(f"the array {name[:60]!r} says {math.prod(shape)} values of {dtype}, and has {len(entry) - start} bytes")
    values = np.frombuffer(entry, dtype, offset=start) if len(entry) > start else np.empty(0, dtype)
    if dtype.kind == "b" and (values.view(np.uint8) > 1).any():  # torch would take such a bool for True and for unequal to True
        raise BadArrays(f"the array {name[:60]!r} has bools that are neither 0 nor 1")
    values = values.reshape(shape, order="F" if fortran else "C")
    return torch.from_numpy(np.array(values, dtype.newbyteorder("="), order="C"))


def _header(name: str, entry: bytes) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """What the array says it is: shape, whether in Fortran's order, type; and where its values begin."""
    stream = io.BytesIO(entry)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(stream, max_header_size=LONGEST_HEADER)
        return tuple(int(size) for size in shape), fortran, dtype, stream.tell()
    except Exception as error:  # the header is Python text, and broken text raises whatever Python's parser does
        raise BadArrays(f"the array {name[:60]!r} has no header that can be read ({_said(error)})") from None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:120].replace("\n", " ").encode("ascii", "backslashreplace").decode()


def pack_inputs(inputs: Mapping[str, Value]) -> bytes:
    """A case's inputs as the bytes of an `.npz` file. Tensors come back contiguous, on the CPU and without a gradient.

    Raises:
        TypeError: When an input is not a tensor, number, string, tuple of numbers or None.
    """
    described, tensors = [], {}
    for place, (name, value) in enumerate(inputs.items()):
        if type(value) is torch.Tensor:
            tensors[str(place)] = value
            described.append([name, "tensor", None])
        else:
            described.append([name, *_described(name, value)])
    text = json.dumps(described).encode()
    return to_npz({"inputs": torch.frombuffer(bytearray(text), dtype=torch.uint8), **tensors})


def _described(name: str, value: Value) -> tuple[str, object]:
    """The value's type and what JSON keeps of it: floats by their 64 bits, whole numbers in base 16, so that none is too long."""
    if type(value) is float:
        return "float", struct.pack(">d", value).hex()
    if type(value) is int:
        return "int", hex(value)
    if type(value) is tuple:
        return "tuple", [_described(name, entry) for entry in value]
    if value is None or type(value) in (bool, str):
        return type(value).__name__, value
    raise TypeError(f"the input {name!r} is a {type(value).__name__}; accepted are tensors, numbers, strings, tuples of numbers and None")


def unpack_inputs(content: bytes, *, max_bytes: int = 2**31, max_arrays: int = 1000) -> dict[str, Value]:
    """The reverse of `pack_inputs`: every value equal, of its type, and in its place.

    Raises:
        BadArrays: When it is anything else than `pack_inputs` gives.
    """
    arrays = from_npz(content, max_bytes=max_bytes, max_arrays=max_arrays)
    try:
        described = json.loads(arrays.pop("inputs").numpy().tobytes())
        return {name: arrays[str(place)] if kind == "tensor" else _value(kind, kept) for place, (name, kind, kept) in enumerate(described)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, struct.error) as error:
        raise BadArrays(f"the arrays are not a case's inputs ({_said(error)})") from None


def _value(kind: str, kept: object) -> Value:
    if kind == "float":
        return struct.unpack(">d", bytes.fromhex(kept))[0]
    if kind == "int":
        return int(kept, 16)
    if kind == "tuple":
        return tuple(_value(*entry) for entry in kept)
    if type(kept).__name__ != kind or kind not in ("bool", "str", "NoneType"):
        raise ValueError(f"there is no value of kind {kind!r}")
    return kept
