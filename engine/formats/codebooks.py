"""Codebooks: few values, or few rows, that stand for many.

Both are the same for the same numbers: nothing is drawn at random.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VALUES = 256  # of a codebook: an index is a byte
ROUNDS = 25  # of Lloyd's algorithm; 25 more change the error by 0.2 %


def of_values(values: NDArray) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Find 256 values that stand for all with a small squared error, and the index of each.

    Lloyd's algorithm in one dimension, where a cell is a stretch of the sorted values; it starts
    with cells whose numbers go with the cube root of the density, which is the best for many cells.

    Args:
        values: Of any shape; finite.

    Returns:
        The codebook [256], ascending, and indices of the shape of ``values``.
    """
    ordered = np.sort(values.astype(np.float64), axis=None)
    distinct = (
        ordered[np.flatnonzero(np.diff(ordered, prepend=-np.inf))] if len(ordered) else ordered
    )
    if len(distinct) <= VALUES:
        last = distinct[-1] if len(distinct) else 0.0
        book = np.concatenate([distinct, np.full(VALUES - len(distinct), last)])
    else:
        book = _lloyd(ordered, _start(ordered))
    book = book.astype(np.float32)
    edges = (book[1:].astype(np.float64) + book[:-1]) / 2
    return book, np.searchsorted(edges, values.astype(np.float64)).astype(np.uint8)


def _start(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """Spread 256 values so that each stands for the same integral of the density's cube root.

    The density is that of so many sorted values over the gap between the outer ones, and so a
    value counts by the gap to the power of 2/3.
    """
    place = np.arange(len(ordered))
    near = len(ordered) // (8 * VALUES) + 1
    low, high = np.maximum(place - near, 0), np.minimum(place + near, len(ordered) - 1)
    weights = np.cbrt((ordered[high] - ordered[low]) / (high - low)) ** 2
    for _ in range(10):  # no value may stand for the void beside a stray one
        weights = np.minimum(weights, weights.sum() / VALUES)
    reached = np.cumsum(weights)
    return np.interp((np.arange(VALUES) + 0.5) / VALUES * reached[-1], reached, ordered)


def _lloyd(ordered: NDArray[np.float64], book: NDArray[np.float64]) -> NDArray[np.float64]:
    """Move each value to the mean of those that are nearest to it, some times."""
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(ROUNDS):
        ends = np.searchsorted(ordered, (book[1:] + book[:-1]) / 2)
        ends = np.concatenate([[0], ends, [len(ordered)]])
        counts = np.diff(ends)
        means = np.diff(sums[ends]) / np.maximum(counts, 1)
        book = np.maximum.accumulate(np.where(counts > 0, means, book))
    return book


def of_rows(rows: NDArray[np.float32], most: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find at most ``most`` rows that stand for all, and which of them stands for each.

    Cells are halved at the mean of the column in which they vary most, all of them once a round,
    while there is room for twice their number; rows that are alike are never parted.

    Args:
        rows: [N, C].
        most: A power of 2, or at least N, where every row then stands for itself.

    Returns:
        The means of the cells [M, C], and the cell of each row [N].
    """
    if len(rows) <= most:
        return rows, np.arange(len(rows))
    columns = np.ascontiguousarray(rows.T)  # sorted by cells, so that each cell is a stretch
    order = np.arange(len(rows))
    starts = np.zeros(1, np.int64)  # of the cells
    means, widest = _measure(columns, starts)
    while 2 * len(starts) <= most:
        cell = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
        bounds = means[widest, np.arange(len(starts))]
        above = columns[widest[cell], np.arange(len(rows))] > bounds[cell]
        # A stable partition within each cell: where a row goes is counted, not sorted.
        lower = np.cumsum(~above) - ~above  # rows below, before each one
        upper = np.arange(len(rows)) - lower
        middle = starts + np.add.reduceat(~above, starts, dtype=np.int64)
        first_lower, first_upper = (counts[starts][cell] for counts in (lower, upper))
        place = np.where(
            above, middle[cell] + upper - first_upper, starts[cell] + lower - first_lower
        )
        moved = np.empty_like(order)
        moved[place] = np.arange(len(rows))
        order = order[moved]
        for column in columns:
            column[:] = column[moved]
        ends = np.append(starts[1:], len(rows))
        halved = np.unique(np.concatenate([starts, middle[(middle > starts) & (middle < ends)]]))
        if len(halved) == len(starts):
            break  # every cell holds rows that are alike
        starts = halved
        means, widest = _measure(columns, starts)
    labels = np.empty(len(rows), np.int64)
    labels[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
    return np.ascontiguousarray(means.T, np.float32), labels


def _measure(columns: NDArray[np.float32], starts: NDArray) -> tuple[NDArray, NDArray[np.int64]]:
    """Return the mean of each cell in each column [C, M], and the column that varies most [M]."""
    sizes = np.diff(starts, append=columns.shape[1])
    means = np.empty((len(columns), len(starts)))
    spread = np.empty_like(means)
    for index, column in enumerate(columns):  # one at a time: the memory is that of one
        wide = column.astype(np.float64)
        means[index] = np.add.reduceat(wide, starts) / sizes
        spread[index] = np.add.reduceat(wide * wide, starts) / sizes - means[index] ** 2
    return means, spread.argmax(axis=0)
