"""The trained weights that come with the course: safetensors files, and a manifest that says where each comes from.

    model = fcn.build("shapes")
    model.load_state_dict(load_weights("fcn"))

`segcourse train NAME --ship` writes a file and its entry. The format, https://github.com/huggingface/safetensors, holds tensors and nothing
that could run.
"""

import difflib
import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from course.atomic import write_atomically
from course.weights.manifest import MANIFEST, Entry, read_manifest, write_manifest

FOLDER = Path(__file__).resolve().parent

__all__ = ["FOLDER", "MANIFEST", "Entry", "load_weights", "read_manifest", "save_weights", "tensors_as_bytes", "tensors_from_bytes"]


def load_weights(name: str, folder: Path = FOLDER) -> dict[str, Tensor]:
    """The weights of that name, on the CPU, for `model.load_state_dict`; the file is first compared with the manifest's sha256.

    Raises:
        ValueError: When the manifest has no such name, or the file is another one than it says.
        FileNotFoundError: When the file is missing.
    """
    entries = read_manifest(folder)
    if name not in entries:
        close = difflib.get_close_matches(name, entries, n=1)
        suggestion = f" (did you mean {close[0]}?)" if close else ""
        raise ValueError(f"There are no weights called {name!r}{suggestion}; there are {', '.join(entries) or 'none yet'}.")
    entry = entries[name]
    path = folder / entry.file
    if not path.is_file():
        raise FileNotFoundError(f"The weights {name!r} are missing: there is no file {path}; install the course again to get it.")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise ValueError(
            f"{path} is not the file that {MANIFEST} describes ({len(content)} bytes with sha256 {found[:12]}…, expected {entry.bytes} "
            f"with {entry.sha256[:12]}…): install the course again to get it."
        )
    return tensors_from_bytes(content)


def save_weights(name: str, tensors: Mapping[str, Tensor], folder: Path, facts: Mapping[str, str | int | float]) -> Path:
    """Write `NAME.safetensors` and its entry in the manifest, in place of older ones of that name; each file whole or not at all.

    Args:
        tensors: `model.state_dict()`.
        folder: of the manifest.
        facts: what `Entry` holds besides the file, its size and its checksum.

    Returns: the weights' path.

    Raises:
        ValueError: When the score is not a number. Nothing is written then.
    """
    content = tensors_as_bytes(tensors)
    entry = Entry(file=f"{name}.safetensors", sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), **facts)
    entries = read_manifest(folder) | {name: entry}
    path = folder / entry.file
    write_atomically(path, content)
    write_manifest(entries, folder)
    return path


def tensors_as_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors by name as a safetensors file. Each is copied: the format has no two names for one memory, as tied layers have."""
    return safetensors.torch.save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})


def tensors_from_bytes(content: bytes) -> dict[str, Tensor]:
    """The reverse of `tensors_as_bytes`.

    Raises:
        ValueError: When it is no safetensors file, or not a whole one.
    """
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise ValueError(f"This is not a whole safetensors file ({error}).") from None
