"""Anchor selection on the device: `select_anchors` of `engine/anchors.py`, launch by launch."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from geolrm.engine.anchors import Selection, check_selection, seed_key
from geolrm.engine.backends.cuda.kernels import STORAGE, storage_name
from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers, pointer
from geolrm.engine.errors import InputError

THREADS = 256
PER_BLOCK = 4 * THREADS
DIGITS = 256
STATE_BYTES = (5 + DIGITS) * 4  # struct Selection of the source


@dataclass(frozen=True)
class SelectAnchors:
    """The selection from a grid of ``side``^3 logits."""

    side: int
    selection: Selection = "random"
    logits: str = "float32"

    def __post_init__(self) -> None:
        if not 2 <= self.side <= 1024:
            raise InputError(f"side is {self.side}; the grid must have 2 to 1024 voxels a side")
        check_selection(self.selection)
        storage_name("logits", self.logits)

    @property
    def source(self) -> Source:
        """The source with the storage type's macro."""
        return Source("select_anchors", {"GEOLRM_LOGITS": STORAGE[self.logits][0]})

    @property
    def state_bytes(self) -> int:
        """Return the bytes of ``state``: first two int32, how many voxels are kept and occupied."""
        return STATE_BYTES

    @property
    def counts_bytes(self) -> int:
        """Return the bytes of ``counts``."""
        return 8 * ceil_div(self.side**3, PER_BLOCK)

    def calls(
        self,
        logits: Any,
        axis: Any,
        state: Any,
        counts: Any,
        voxels: Any,
        positions: Any,
        *,
        limit: int,
        seed: int = 0,
    ) -> list[Call]:
        """Return the launches, in order; none of them waits for the host.

        Args:
            logits: [side, side, side], x slowest.
            axis: float32 [side], ``voxel_axis(side)``.
            state: ``state_bytes``, zeroed before.
            counts: ``counts_bytes`` of scratch.
            voxels: int32 [limit], written: flat indices in raster order, then -1.
            positions: float32 [limit, 3], written: centres, then zeros.
            limit: largest number of anchors; at most ``side``^3.
            seed: of the random subset.
        """
        total = self.side**3
        if not 1 <= limit <= total:
            raise InputError(f"limit is {limit}; it must lie in [1, {total}], the grid's voxels")
        blocks = ceil_div(total, PER_BLOCK)
        key = int(np.uint32(seed_key(seed)).view(np.int32))
        ranks = integers(total, self.selection == "confident", key)
        many, one = Launch((blocks, 1, 1), (THREADS, 1, 1)), Launch((1, 1, 1), (THREADS, 1, 1))
        calls = []
        for shift in (24, 16, 8, 0):
            shifted = integers(shift)
            arguments = (pointer(logits), *ranks, *shifted, pointer(state))
            calls.append(Call(self.source, "count_digits", many, arguments))
            arguments = (*integers(limit, shift), pointer(state))
            calls.append(Call(self.source, "choose_digit", one, arguments))
        arguments = (pointer(logits), *ranks, pointer(state), pointer(counts))
        calls.append(Call(self.source, "count_kept", many, arguments))
        arguments = (*integers(blocks), pointer(counts), pointer(state))
        calls.append(Call(self.source, "sum_counts", one, arguments))
        sizes = integers(total, self.side, self.selection == "confident", key, limit)
        arguments = (pointer(logits), pointer(axis), *sizes, pointer(state), pointer(counts),
                     pointer(voxels), pointer(positions))  # fmt: skip
        calls.append(Call(self.source, "write_anchors", many, arguments))
        return calls
