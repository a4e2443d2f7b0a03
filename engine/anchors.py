"""From occupancy logits to anchors: threshold, subset, raster order, padding."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.voxel_grid import voxel_axis

Selection = Literal["random", "confident"]


@dataclass(frozen=True, slots=True)
class Anchors:
    """The occupied voxels that were chosen, in raster order."""

    voxels: NDArray[np.int64]  # [N] flat index (ix G + iy) G + iz
    positions: NDArray[np.float32]  # [N, 3] object frame
    num_occupied: int  # before the subset was taken

    def __repr__(self) -> str:
        return f"Anchors({len(self.voxels)} of {self.num_occupied} occupied voxels)"


def check_selection(selection: str) -> None:
    """Refuse an unknown rule of selection."""
    if selection not in ("random", "confident"):
        raise InputError(f"selection is {selection!r}; it must be 'random' or 'confident'")


def _mix(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Permute the 32-bit words with good avalanche (multiply and xor-shift, twice)."""
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def voxel_hash(seed: int, voxels: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Hash voxels [N] to uint32 [N], which orders the random subset.

    It is ``mix(voxel xor mix(seed mod 2^32))``. For one seed that is a bijection of the voxels, so
    there are no ties, and a voxel's rank against another does not depend on the rest: one voxel
    that flips changes the subset by at most one.
    """
    return _mix(voxels.astype(np.uint32) ^ seed_key(seed))


def seed_key(seed: int) -> np.uint32:
    """Return ``mix(seed mod 2^32)``, all that a kernel needs of the seed."""
    return _mix(np.array([seed % 2**32], dtype=np.uint32))[0]


def select_anchors(
    logits: NDArray[np.float32],
    max_tokens: int,
    *,
    seed: int = 0,
    selection: Selection = "random",
) -> Anchors:
    """Return the anchors of occupied voxels (logit > 0), at most ``max_tokens``, in raster order.

    Args:
        logits: [G, G, G], x slowest.
        max_tokens: The most anchors.
        seed: Seed of the random subset; see :func:`voxel_hash`.
        selection: ``random`` keeps the smallest hashes, ``confident`` the largest logits.
    """
    check_selection(selection)
    flat = logits.reshape(-1)
    voxels = np.flatnonzero(flat > 0)
    num_occupied = len(voxels)
    if num_occupied > max_tokens:
        rank = voxel_hash(seed, voxels) if selection == "random" else -flat[voxels]
        keep = np.argsort(rank, kind="stable")[:max_tokens]
        voxels = voxels[np.sort(keep)]
    size = logits.shape[0]
    axis = voxel_axis(size)
    positions = axis[np.stack(np.unravel_index(voxels, (size,) * 3), axis=-1)]
    return Anchors(voxels, np.ascontiguousarray(positions), num_occupied)


def pad_anchors(positions: NDArray[np.float32], length: int | None) -> NDArray[np.float32]:
    """Pad positions [N, 3] with zero rows to ``length``, as the released ``head`` model needs."""
    missing = 0 if length is None else max(length - len(positions), 0)
    if missing == 0:
        return positions
    return np.concatenate([positions, np.zeros((missing, 3), np.float32)])
