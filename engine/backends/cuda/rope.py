"""RoPE indices on the device: ``rope_indices`` of the voxel grid, in one launch."""

from typing import Any

import numpy as np

from geolrm.engine.cuda.launch import Call, Launch, Source, ceil_div, integers, pointer

THREADS = 256


def rope_calls(
    positions: Any, indices: Any, *, tokens: int, grid_size: int, xyz_scale: float
) -> list[Call]:
    """Return the one launch that makes RoPE indices of positions.

    Args:
        positions: float32 [N, 3] on the device.
        indices: int64 [N, 3], written.
        tokens: N.
        grid_size: Voxels along one axis.
        xyz_scale: Half side of the cube that maps onto the grid.
    """
    values = 3 * tokens
    constants = np.array([xyz_scale, grid_size - 1], np.float32).view(np.int32)
    launch = Launch((ceil_div(values, THREADS), 1, 1), (THREADS, 1, 1))
    arguments = (pointer(positions), *integers(values, *constants), pointer(indices))
    return [Call(Source("rope_indices"), "rope_indices", launch, arguments)]
