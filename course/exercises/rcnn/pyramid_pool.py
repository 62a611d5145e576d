"""Exercise: spatial pyramid pooling."""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course.exercises.drawing import digits, normal, whole
from course.exercises.exercise import Case, Exercise, Mistake
from course.models.spp import pyramid_pool

PROMPT = r"""
A linear classifier wants the same number of features whatever the size of the box. SPP-net lays a grid of `n` × `n` bins over the box's
part of the map and keeps each bin's **maximum**; for several `n`, coarse and fine. Levels 1 and 2 over a 3 × 4 map:

```text
 1  2  3  4      level 1      level 2
 5  6  0  8         9          6  8        → 9, 6 8 9 8
 9  0  7  2                    9  8
```

Bin $i$ of $n$ over a side of $s$ cells takes the cells from $\lfloor i\,s/n \rfloor$ up to, and without, $\lceil (i+1)\,s/n \rceil$.
Where $n$ does not divide $s$, neighbours share a row: the two halves of 3 rows are 0–1 and 1–2. With fewer cells than bins several bins
take the same cell, and none is ever empty.

`features` is `[C, h, w]`, `levels` a tuple of whole numbers. The answer is one row `[C·Σn²]`: **level by level** in the order given; in a
level all bins of channel 0, row by row, then those of channel 1, and so on. Features may be negative.
""".strip()


def _by_torch(features: Tensor, levels: Sequence[int] = (1, 2, 3, 6)) -> Tensor:
    return torch.cat([F.adaptive_max_pool2d(features[None], n).flatten() for n in levels])


def _cases(seed: int) -> Iterator[Case]:
    draw = torch.Generator().manual_seed(seed)

    def side() -> int:
        return whole(draw, 7, 12)

    yield Case("4×4 cells, levels 1 and 2", {"features": digits(draw, 1, 4, 4), "levels": (1, 2)})
    yield Case("two channels", {"features": digits(draw, 2, 4, 2), "levels": (1, 2)})
    yield Case("bins that share rows", {"features": digits(draw, 1, 3, 5), "levels": (2,)})
    yield Case("all negative", {"features": -normal(draw, 2, 4, 6).abs() - 0.1, "levels": (1, 2)})
    yield Case("levels not in order", {"features": normal(draw, 2, 6, 6), "levels": (3, 1, 2)})
    yield Case("fewer cells than bins", {"features": digits(draw, 1, 2, 3), "levels": (3, 4)})
    yield Case("levels not given", {"features": normal(draw, 3, side(), side())})
    yield Case("a single cell", {"features": digits(draw, 2, 1, 1), "levels": (1, 3)})
    yield Case("one row of cells", {"features": normal(draw, 2, 1, side()), "levels": (1, 2, 4)})
    yield Case("five by seven in sixths", {"features": normal(draw, 4, 5, 7), "levels": (6,)})
    yield Case("float64", {"features": normal(draw, 2, side(), side()).double(), "levels": (2, 5)})


def _bins(side: int, n: int) -> list[tuple[int, int]]:
    return [(i * side // n, -(-(i + 1) * side // n)) for i in range(n)]


def _pooled(features: Tensor, n: int, bins=_bins, pick=lambda cells: cells.amax((1, 2))) -> Tensor:
    """[C, n, n]: right, but for the bins and what is picked from each."""
    c, h, w = features.shape
    picked = [pick(features[:, top:bottom, left:right]) for top, bottom in bins(h, n) for left, right in bins(w, n)]
    return torch.stack(picked, 1).reshape(c, n, n)


def _level_by_level(pooled: Callable[[Tensor, int], Tensor]) -> Callable:
    """A whole answer from the right or wrong [C, n, n] of each level."""

    def pyramid_pool(features, levels=(1, 2, 3, 6)):
        return torch.cat([pooled(features, n).flatten() for n in levels])

    return pyramid_pool


def _without_last_shared(side: int, n: int) -> list[tuple[int, int]]:
    return [(i * side // n, max((i + 1) * side // n, i * side // n + 1)) for i in range(n)]


def _side_by_side(round_up: bool) -> Callable[[int, int], list[tuple[int, int]]]:
    """Bins of one length, from the first cell on; where none is left, the last cell."""

    def bins(side: int, n: int) -> list[tuple[int, int]]:
        step = -(-side // n) if round_up else max(side // n, 1)
        return [(min(i * step, side - 1), max(min((i + 1) * step, side), min(i * step, side - 1) + 1)) for i in range(n)]

    return bins


def _channel_by_channel(features, levels=(1, 2, 3, 6)):
    return torch.cat([_pooled(features, n).flatten(1) for n in levels], 1).flatten()


def _bin_by_bin(features, levels=(1, 2, 3, 6)):
    return torch.cat([_pooled(features, n).permute(1, 2, 0).flatten() for n in levels])


def _column_by_column(features, levels=(1, 2, 3, 6)):
    return torch.cat([_pooled(features, n).transpose(1, 2).flatten() for n in levels])


def _sorted_levels(features, levels=(1, 2, 3, 6)):
    return pyramid_pool(features, sorted(levels))


def _a_row_a_channel(features, levels=(1, 2, 3, 6)):
    return torch.cat([_pooled(features, n).flatten(1) for n in levels], 1)


def _whole_map_as_level(features, levels=(1, 2, 3, 6)):
    return torch.cat([features.amax((1, 2)), *(_pooled(features, n).flatten() for n in levels)])


PYRAMID_POOL = Exercise(
    prompt=PROMPT,
    solution=pyramid_pool,
    reference=_by_torch,
    reference_name="torch.nn.functional.adaptive_max_pool2d, level by level",
    cases=_cases,
    tolerance=0.0,
    common_mistakes=(
        Mistake(
            "mean",
            _level_by_level(lambda features, n: _pooled(features, n, pick=lambda cells: cells.mean((1, 2)))),
            "This is what happens when a bin gives its mean. It gives its maximum.",
        ),
        Mistake(
            "channel by channel",
            _channel_by_channel,
            "This is what happens when all levels of channel 0 come first, then those of channel 1. Flatten each level whole, then join "
            "the levels.",
        ),
        Mistake(
            "bin by bin",
            _bin_by_bin,
            "This is what happens when all channels of the first bin come first. In a level all bins of channel 0 come first.",
        ),
        Mistake(
            "column by column",
            _column_by_column,
            "This is what happens when bins are read down the columns. They are read row by row.",
        ),
        Mistake(
            "a row a channel",
            _a_row_a_channel,
            "This is what happens when the channels stay rows. The answer is one row of C·Σn² numbers: a classifier reads no matrix.",
        ),
        Mistake(
            "shared rows left out",
            _level_by_level(lambda features, n: _pooled(features, n, _without_last_shared)),
            "This is what happens when a bin's end is rounded down. It is rounded up, so that where n does not divide the side, neighbours "
            "share a row or column.",
        ),
        Mistake(
            "the rest dropped",
            _level_by_level(lambda features, n: _pooled(features, n, _side_by_side(round_up=False))),
            "This is what happens when every bin is s // n cells long: the last rows and columns are in no bin. Bins reach from ⌊i·s/n⌋ to "
            "⌈(i + 1)·s/n⌉.",
        ),
        Mistake(
            "rounded up and side by side",
            _level_by_level(lambda features, n: _pooled(features, n, _side_by_side(round_up=True))),
            "This is what happens when every bin is ⌈s/n⌉ cells long, one after the other: the last ones get too little. Each begins at "
            "⌊i·s/n⌋.",
        ),
        Mistake(
            "starts from 0",
            _level_by_level(lambda features, n: _pooled(features, n).clamp(min=0)),
            "This is what happens when the maximum starts from 0, or zeros fill up a bin. Where all features are negative, the largest of "
            "them is the maximum.",
        ),
        Mistake(
            "levels sorted",
            _sorted_levels,
            "This is what happens when the levels are sorted. They come in the order given.",
        ),
        Mistake(
            "level 1 added",
            _whole_map_as_level,
            "This is what happens when the maximum of the whole map is put in front, whatever the levels are. It is there when 1 is among "
            "them.",
        ),
    ),
)
