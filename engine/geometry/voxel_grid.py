"""The voxel grid of the object cube: axis values and RoPE indices, bit for bit as in training.

Indices are truncated, so the last bit of an axis value decides between two of them; the axes here
are rounded exactly once, as the fused multiply-add of the reference does.
"""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def _round_to_float32(value: Fraction) -> np.float32:
    """Round to the nearest float32, ties to even, without rounding twice through float64."""
    near = np.float32(float(value))
    candidates = (near, np.nextafter(near, np.float32(-2)), np.nextafter(near, np.float32(2)))
    mantissa_odd = lambda x: int(np.float32(x).view(np.uint32)) & 1  # noqa: E731
    return min(candidates, key=lambda x: (abs(Fraction(float(x)) - value), mantissa_odd(x)))


def unit_axis(size: int) -> NDArray[np.float32]:
    """Return ``size`` float32 values from -1 to 1, filled from both ends with one rounding each."""
    if size < 2:
        raise ValueError(f"a grid axis needs at least 2 voxels; got {size}")
    step = Fraction(float(_round_to_float32(Fraction(2, size - 1))))
    half = size // 2
    values = [step * i - 1 for i in range(half)] + [
        1 - step * (size - 1 - i) for i in range(half, size)
    ]
    return np.array([_round_to_float32(v) for v in values], dtype=np.float32)


def voxel_axis(size: int) -> NDArray[np.float32]:
    """Return the voxel centres along one axis, from -0.5 to 0.5, both ends included."""
    return unit_axis(size) * np.float32(0.5)


def voxel_centres(size: int) -> NDArray[np.float32]:
    """Return the voxel centres [size, size, size, 3], x slowest."""
    axis = voxel_axis(size)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def rope_indices(positions: NDArray, grid_size: int, xyz_scale: float) -> NDArray[np.int64]:
    """Return the integer positions for 3D RoPE: ``trunc((x / scale + 1) (G - 1) / 2)`` in float32.

    Args:
        positions: [..., 3] positions in the object frame.
        grid_size: Voxels along one axis, G.
        xyz_scale: Half side of the cube that maps onto the grid.
    """
    unit = positions.astype(np.float32) / np.float32(xyz_scale) + np.float32(1)
    return np.trunc(unit * np.float32(grid_size - 1) / np.float32(2)).astype(np.int64)
