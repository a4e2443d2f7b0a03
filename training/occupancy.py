"""True occupancy from surface points or depth maps (paper section 3.4)."""

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.cameras import Cameras


def occupancy_from_points(
    points: NDArray, grid_size: int, convention: str = "centres"
) -> NDArray[np.float32]:
    """Voxels that hold a surface point.

    Args:
        points: [P, 3] in the world frame.
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


def back_project(depth: NDArray, cameras: Cameras) -> NDArray[np.float32]:
    """Surface points of z-depth maps.

    Args:
        depth: [V, H, W] distance along the optical axis, 0 where there is no surface.
        cameras: V cameras.

    Returns:
        [P, 3] in the world frame.
    """
    height, width = depth.shape[1:]
    points = []
    for index, plane in enumerate(depth):
        row, column = np.nonzero(plane > 0)
        fx, fy, cx, cy = cameras.intrinsics[index][[0, 1, 0, 1], [0, 1, 2, 2]]
        x = ((column + 0.5) / width - cx) / fx
        y = -((row + 0.5) / height - cy) / fy
        z = plane[row, column]
        camera = np.stack([x * z, y * z, -z], axis=1)
        c2w = cameras.c2w[index]
        points.append(camera @ c2w[:3, :3].T + c2w[:3, 3])
    return np.concatenate(points).astype(np.float32)
