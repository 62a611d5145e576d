"""The manifest of the shipped weights: what each file is, and what made it. It is read with tomllib and written here."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from course.atomic import write_atomically

MANIFEST = "manifest.toml"
HEADER = "# The weights that come with the course. Written by `segcourse train NAME --ship`, read by course.weights.\n"


@dataclass(frozen=True)
class Entry:
    """One file of weights.

    Attributes:
        file: its name, in the manifest's folder.
        sha256: of its bytes, in hexadecimal.
        bytes: how many there are.
        command: what made it, as it was typed.
        seed: of that command.
        metric: what the score measures, in words.
        score: what the model came to.
        tolerance: how far the same command's score may be off on another machine.
        trained_on: the data, in words.
        licence: of the weights.
    """

    file: str
    sha256: str
    bytes: int
    command: str
    seed: int
    metric: str
    score: float
    tolerance: float
    trained_on: str
    licence: str

    def __post_init__(self) -> None:
        if not math.isfinite(self.score):
            raise ValueError(f"The score of {self.file} is {self.score}; weights are kept with a score that is a number.")


def read_manifest(folder: Path) -> dict[str, Entry]:
    """Every entry by its name; none when the folder has no manifest.

    Raises:
        ValueError: When the manifest cannot be read, or an entry has too much or too little.
    """
    path = folder / MANIFEST
    if not path.exists():
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from None
    return {name: _entry(path, name, table) for name, table in tables.items()}


def write_manifest(entries: Mapping[str, Entry], folder: Path) -> None:
    """Write the manifest, sorted by name, so that a new entry changes no other line."""
    tables = [
        f"[{name}]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in asdict(entries[name]).items()) for name in sorted(entries)
    ]
    write_atomically(folder / MANIFEST, "\n".join([HEADER, *tables]).encode())


def _entry(path: Path, name: str, table: object) -> Entry:
    expected = {field.name: field.type for field in fields(Entry)}
    if not isinstance(table, dict) or set(table) != set(expected):
        raise ValueError(f"{path}: the entry {name!r} needs exactly {', '.join(expected)}.")
    for key, kind in expected.items():
        if type(table[key]) is not kind and not (kind is float and type(table[key]) is int):
            raise ValueError(f"{path}: {key} of the entry {name!r} is {table[key]!r}; expected is a value of type {kind.__name__}.")
    if Path(table["file"]).name != table["file"]:
        raise ValueError(f"{path}: file of the entry {name!r} is {table['file']!r}; expected is a file name without a folder.")
    return Entry(**table)


def _value(value: str | int | float) -> str:
    """As TOML writes it: its basic strings escape what JSON's do, and what is printable stands as it is."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
