"""Data sets in files: each item is read when it is asked for, whole or with one sentence that names the file.

Shape letters: H height, W width, K labels.
"""

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from course.data.photos import FORMATS, MAX_PIXELS, load_image
from course.errors import CourseError


class BrokenItem(CourseError, ValueError):
    """A file of a data set cannot be used. The sentence names it."""


class Items(Dataset):
    """A data set of named items. A subclass calls `keep` with the names, and says in `read` how one becomes tensors.

    `names`: of the items, in order. `broken`: {name: what is wrong}, of the items that `skip_broken=True` left out.
    """

    names: tuple[str, ...]
    broken: dict[str, str]

    def keep(self, names: Sequence[str], *, skip_broken: bool, broken: Mapping[str, str] | None = None) -> None:
        """Take these items; with `skip_broken` read each one now and leave out those that cannot be read.

        They are read at once, and not replaced when their turn comes, so that the length and the order of the set never change, in
        however many processes a DataLoader works.

        Args:
            broken: what is known already to be wrong; these names are left out too.
        """
        self.broken = dict(broken or {})
        self.names = tuple(name for name in names if name not in self.broken)
        if skip_broken:
            self.broken |= self.examine()
            self.names = tuple(name for name in self.names if name not in self.broken)
        if not self.names:
            first = f"; the first: {next(iter(self.broken.values()))}" if self.broken else "."
            raise BrokenItem(f"{type(self).__name__} has no item that can be read{first}")

    def read(self, index: int):
        """Item `index`, 0 … len − 1, from its files. Raises: BrokenItem."""
        raise NotImplementedError

    def examine(self) -> dict[str, str]:
        """Read every item. Returns {name: what is wrong} of those that cannot be read: empty if all is well."""
        from tqdm.auto import tqdm

        # The threads switch warnings off and on while they decode, and may undo that in another order: here it is put back.
        with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as threads:
            sentences = threads.map(self._complaint, range(len(self)))
            watched = tqdm(sentences, total=len(self), desc="reading all", unit=" items", delay=2)  # no bar for what is quick
            return {name: sentence for name, sentence in zip(self.names, watched, strict=True) if sentence}

    def _complaint(self, index: int) -> str:
        try:
            self.read(index)
        except BrokenItem as error:
            return str(error)
        return ""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int):
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} items; there is no number {index}.")
        return self.read(int(index) % len(self))


def choose(what: str, value: str, accepted: Iterable[str]) -> str:
    """`value`, if it is among those accepted. Raises: ValueError with all of them."""
    accepted = tuple(accepted)
    if value not in accepted:
        raise ValueError(f"{what} is one of {', '.join(map(repr, accepted))}, not {value!r}.")
    return value


def read_image(path: Path) -> Tensor:
    """A picture: float32 `[3, H, W]`, RGB, 0…1, upright. Raises: BrokenItem, which names the file."""
    if not path.is_file():
        raise BrokenItem(f"The picture {path} is missing.")
    try:
        return load_image(path)
    except ValueError as error:
        sentence = str(error)
        raise BrokenItem(f"{path} cannot be used: {sentence[0].lower()}{sentence[1:]}") from error


def read_labels(path: Path, image: Tensor, palette: Mapping[int, int]) -> Tensor:
    """A label map from an index PNG, whose pixels are numbers and not colours.

    Args:
        image: its picture `[3, H, W]`, whose size it must have.
        palette: {number in the file: label}; any other number is an error.

    Returns: int64 `[H, W]`. Raises: BrokenItem, which names the file.
    """
    if not path.is_file():
        raise BrokenItem(f"The label map {path} is missing.")
    height, width = image.shape[-2:]
    try:
        with Image.open(path, formats=FORMATS) as file:
            if file.width * file.height > MAX_PIXELS:
                raise BrokenItem(f"{path} has {file.width * file.height:,} pixels; at most {MAX_PIXELS:,} are accepted.")
            if file.size != (width, height):
                raise BrokenItem(f"{path} has {file.width} × {file.height} pixels, and its picture {width} × {height}.")
            if file.mode not in ("1", "L", "P"):
                raise BrokenItem(f"{path} holds colours (mode {file.mode}), where one number a pixel is expected.")
            numbers = np.asarray(file).astype(np.uint8)  # [H, W]
    except BrokenItem:
        raise
    except Exception as error:  # a decoder raises anything on bytes that lie to it
        raise BrokenItem(f"The label map {path} is damaged or cut off ({str(error) or type(error).__name__}).") from error
    table = np.full(256, -1, np.int64)
    table[list(palette)] = list(palette.values())
    labels = table[numbers]  # [H, W]
    if (labels < 0).any():
        row, column = np.argwhere(labels < 0)[0]
        accepted = ", ".join(map(str, sorted(palette))) if len(palette) < 30 else f"0 to {max(palette)}"
        raise BrokenItem(
            f"{path} holds the label {numbers[row, column]} at row {row}, column {column}, outside its palette; accepted are {accepted}."
        )
    return torch.from_numpy(labels)


def read_list(path: Path) -> list[str]:
    """The lines of a text file, without empty ones. Raises: BrokenItem if it cannot be read or names one item twice."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenItem(f"The list {path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    first = [line.split()[0] for line in lines]
    twice = next((name for name in first if first.count(name) > 1), None) if len(set(first)) < len(first) else None
    if twice:
        raise BrokenItem(f"The list {path} names {twice} twice.")
    return lines
