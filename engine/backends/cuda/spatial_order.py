"""The order in which the attention kernel takes its queries: along a Z-order curve.

Neighbours in space read the same rows of the feature maps, so they should run at the same time. An
array of indices says the order; results stay where they are, to the bit.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers
from geolrm.engine.cuda.radix_sort import THREADS, counts_bytes, sort_calls

DIGITS = (0, 8, 16)  # 24 bits: 256 places along each axis
HALF = 0.5  # half side of the object's cube
ALIGNMENT = 256


def workspace_bytes(queries: int) -> int:
    """Return the bytes that :func:`order_calls` sorts in."""
    return sum(_sizes(queries).values())


def order_calls(positions: int, order: int, workspace: int, *, queries: int) -> list[Call]:
    """Return the launches, in order; none of them waits for the host.

    Args:
        positions: float32 [N, 3] on the device.
        order: int32 [N], written; equal codes stay in the order of their indices.
        workspace: ``workspace_bytes``, aligned to 256 bytes.
        queries: N.
    """
    # An odd number of passes: the result is in the others.
    at = {"other_ids": order, **_place(workspace, queries)}
    launch = Launch((ceil_div(queries, THREADS), 1, 1), (THREADS, 1, 1))
    numbers = integers(queries, int(np.float32(HALF).view(np.int32)))
    arguments = (positions, *numbers, at["keys"], at["ids"])
    codes = Call(Source("query_order"), "query_order", launch, arguments)
    return [codes, *sort_calls(at, queries, shifts=DIGITS)]


def grid_order(queries: int) -> NDArray[np.int32] | None:
    """Return the order of all voxels of a grid in raster order; None if ``queries`` is no cube."""
    side = round(queries ** (1 / 3))
    if side**3 != queries:
        return None
    voxels = np.stack(np.unravel_index(np.arange(queries), (side,) * 3))
    codes = np.zeros(queries, np.int64)
    for bit in range(side.bit_length()):
        for axis, index in enumerate(voxels):
            codes |= (index >> bit & 1) << (3 * bit + 2 - axis)
    return np.argsort(codes, kind="stable").astype(np.int32)


def _sizes(queries: int) -> Mapping[str, int]:
    names = ("other_keys", "keys", "ids")
    sizes = {**dict.fromkeys(names, 4 * queries), "counts": counts_bytes(queries), "visible": 4}
    return {name: ceil_div(size, ALIGNMENT) * ALIGNMENT for name, size in sizes.items()}


def _place(address: int, queries: int) -> Mapping[str, int]:
    at = {}
    for name, size in _sizes(queries).items():
        at[name] = address
        address += size
    return at
