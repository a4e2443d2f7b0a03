"""True occupancy from surface points (paper section 3.4)."""

import numpy as np
from numpy.typing import NDArray


def occupancy_from_points(
    points: NDArray, grid_size: int, convention: str = "centres"
) -> NDArray[np.float32]:
    """Mark the voxels that hold a surface point.

    Args:
        points: [P, 3] in the object frame.
        grid_size: Voxels along one axis, G.
        convention: ``centres`` puts each point into the voxel whose centre ``i / (G - 1) - 0.5``
            is nearest; ``released`` scales by G as the released data preparation did.

    Returns:
        [G, G, G] of 0 and 1, x slowest.
    """
    scale = grid_size - 1 if convention == "centres" else grid_size
    index = np.rint((np.asarray(points, np.float32) + np.float32(0.5)) * np.float32(scale))
    index = index.astype(np.int64).clip(0, grid_size - 1)
    grid = np.zeros([grid_size] * 3, np.float32)
    grid[index[:, 0], index[:, 1], index[:, 2]] = 1
    return grid
