"""Sort 32-bit keys and their ids on the device, eight bits a pass: `csrc/rasterizer/sort.cu`."""

from collections.abc import Mapping
from typing import Any

from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers

THREADS = 256
SORT_TILE = 4096  # keys that a block orders at a time
MOST_PARTS = 256  # of a row's keys, each sorted by one block
SORT = Source("rasterizer/sort")


def sort_parts(count: int) -> int:
    """Blocks that sort a row of keys."""
    return min(max(ceil_div(count, SORT_TILE), 1), MOST_PARTS)


def counts_bytes(count: int, rows: int = 1) -> int:
    """Return the bytes of ``counts``, the scratch of :func:`sort_calls`."""
    return 4 * 256 * sort_parts(count) * rows


def sort_calls(
    at: Mapping[str, Any], count: int, rows: int = 1, shifts: tuple[int, ...] = (0, 8, 16, 24)
) -> list[Call]:
    """List the launches in order; the sort is stable, and keys of all ones are left out.

    Args:
        at: Addresses of ``keys``, ``ids``, ``other_keys`` and ``other_ids``, uint32 [rows, count],
            of ``counts``, and of ``visible``, int32 [rows], which gets how many were not left out.
            After an even number of passes the result is in the first two, else in the others.
        count: Keys of a row.
        rows: Sorted each for itself.
        shifts: The digits by which to sort, the lowest first; the first must be 0.
    """
    # Never a grid of zero blocks: the first pass also counts what is kept, 0 if nothing is.
    launch = Launch((sort_parts(count), rows, 1), (THREADS, 1, 1))
    part = ceil_div(ceil_div(max(count, 1), sort_parts(count)), SORT_TILE) * SORT_TILE
    calls, keys, others = [], ("keys", "ids"), ("other_keys", "other_ids")
    for shift in shifts:
        numbers = integers(count, part, shift)
        arguments = (at[keys[0]], *numbers, at["visible"], at["counts"])
        calls.append(Call(SORT, "count_keys", launch, arguments))
        arguments = (at[keys[0]], at[keys[1]], *numbers, at["counts"], at["visible"],
                     at[others[0]], at[others[1]])  # fmt: skip
        calls.append(Call(SORT, "scatter_keys", launch, arguments))
        keys, others = others, keys
    return calls
