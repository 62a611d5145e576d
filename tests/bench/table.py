"""What every benchmark prints: a row a measure, ours beside its peers, measured in turns in one run."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """One measure: what and in which unit ("forward pass of 512 × 512, ms"), our value, and {peer: its value}; none without a peer."""

    measure: str
    ours: float
    peers: Mapping[str, float]


def milliseconds_in_turns(ways: Mapping[str, Callable[[], object]], *, runs: int) -> dict[str, float]:
    """The median time of each way in ms, after a run unmeasured. They take turns, so that a busy moment of the machine meets them all."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(runs + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if run:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def row_of_times(measure: str, ways: Mapping[str, Callable[[], object]], *, runs: int) -> Row:
    """A row from the times of several ways, in ms; the first one is ours."""
    ours, *peers = milliseconds_in_turns(ways, runs=runs).items()
    return Row(measure, ours[1], dict(peers))


def table(rows: list[Row]) -> str:
    """The rows as text: the peers' values with their ratio to ours (2× is twice our value)."""
    names = list(dict.fromkeys(name for row in rows for name in row.peers))
    lines = [["", "ours", *names]]
    for row in rows:
        lines.append([row.measure, shown(row.ours), *(beside(row, name) for name in names)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines)


def beside(row: Row, name: str) -> str:
    if name not in row.peers:
        return ""
    value = row.peers[name]
    return f"{shown(value)} ({value / row.ours:.2g}×)" if row.ours else shown(value)


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == 0 else f"{value:.2g}"
