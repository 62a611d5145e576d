"""Many weighted sums over small grids of cells: Σ_i Σ_j a_i · b_j · cell(row_i, column_j), each with rows, columns and weights of its own.

Interpolation at a point is such a sum, of two rows and two columns, and so is the mean of several points. The weights of a whole grid
are products, so they are listed side by side: first which rows each bin reads and with which weight, then which columns. `grid_sums`
multiplies the lists out and leaves the sum to torch.nn.functional.embedding_bag, which adds up weighted rows of a matrix, a row a cell with
all its channels, without storing what it adds.

Shape letters: N images, H × W cells, C channels, R boxes, PH × PW bins in each, P either of them, E entries of a list.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_BATCH = 2**22  # how many cells are weighed at once; the lists of more boxes are multiplied out batch by batch


class Reads(NamedTuple):
    """Along one side: which cells each bin of each box reads, with which weight. The entries of a bin stand together, in order."""

    cell: Tensor
    """Row or column, int64. [E]"""
    weight: Tensor
    """[E]"""
    count: Tensor
    """How many entries each bin has, int64. [R, P]"""

    @property
    def first(self) -> Tensor:
        """Where the entries of each bin begin. [R, P]"""
        return _before(self.count.flatten()).view_as(self.count)


def collected(cell: Tensor, weight: Tensor, size: int) -> Reads:
    """The list of what bins read: entries with weight 0 left out, and those of one bin for one cell added up.

    Args:
        cell: [R, P, K], int64, of 0 … size − 1.
        weight: [R, P, K].
        size: how many cells there are on this side.
    """
    boxes, bins, _ = cell.shape
    reader = torch.arange(boxes * bins, device=cell.device).view(boxes, bins, 1).expand_as(cell)  # [R, P, K]
    used = weight != 0
    places = torch.stack((reader[used], cell[used]))  # [2, E']
    table = torch.sparse_coo_tensor(places, weight[used], (boxes * bins, size), check_invariants=False).coalesce()
    reader, cell = table.indices()  # [E] each
    return Reads(cell, table.values(), reader.bincount(minlength=boxes * bins).view(boxes, bins))


def grid_sums(cells: Tensor, image: Tensor, down: Reads, across: Reads) -> Tensor:
    """The sums, differentiable in `cells`. [R, PH, PW, C]

    Args:
        cells: [N, H, W, C], channels last.
        image: [R], int64, the image that each box reads.
        down: the rows that each bin reads; across: its columns.
    """
    _, height, width, channels = cells.shape
    bins = down.count.shape[1], across.count.shape[1]  # PH, PW
    matrix = cells.reshape(-1, channels).contiguous()  # [N*H*W, C]
    sums = [matrix[:0]]
    for batch in _batches(down.count.sum(1) * across.count.sum(1)):
        rows, first_row, columns, first_column = (
            part.expand(-1, *bins).flatten()  # [B], a number for each of the batch's bins
            for part in (
                down.count[batch, :, None],
                down.first[batch, :, None],
                across.count[batch, None],
                across.first[batch, None],
            )
        )
        row = _ranges(first_row, rows)  # [ΣRows], an entry of `down` for each row that a bin reads
        columns_of_row = columns.repeat_interleave(rows)  # [ΣRows]
        column = _ranges(first_column.repeat_interleave(rows), columns_of_row)  # [E]
        top = (image[batch] * height).repeat_interleave(bins[0] * bins[1]).repeat_interleave(rows)  # [ΣRows]
        index = ((top + down.cell[row]) * width).repeat_interleave(columns_of_row) + across.cell[column]  # [E]
        weight = down.weight[row].repeat_interleave(columns_of_row) * across.weight[column]  # [E]
        sums.append(F.embedding_bag(index, matrix, _before(rows * columns), per_sample_weights=weight, mode="sum"))  # [B, C]
    return torch.cat(sums).view(len(image), *bins, channels)  # [R, PH, PW, C]


def _before(count: Tensor) -> Tensor:
    """The sum of all numbers before each: where ranges of these lengths begin. [B]"""
    return count.cumsum(0) - count


def _ranges(first: Tensor, count: Tensor) -> Tensor:
    """first[0], first[0] + 1, … count[0] of them, then first[1] and so on. [Σcount]"""
    return torch.arange(int(count.sum()), device=count.device) + (first - _before(count)).repeat_interleave(count)


def _batches(cells: Tensor) -> list[Tensor]:
    """The indices of boxes, in order, in batches that weigh about LARGEST_BATCH cells together."""
    batch = cells.cumsum(0) // LARGEST_BATCH  # [R]
    return list(torch.arange(len(cells), device=cells.device).split(batch.unique_consecutive(return_counts=True)[1].tolist()))
