"""The 3D Gaussian splatting PLY: logit opacity, log scales, spherical harmonics."""

from pathlib import Path

import numpy as np

from geolrm.engine.atomic import atomic_file
from geolrm.engine.gaussians import Gaussians

SH_C0 = 0.28209479177387814  # spherical harmonic of degree 0
SMALLEST_SCALE = 1e-10  # a zero scale has no logarithm


def write_ply(gaussians: Gaussians, path: str | Path) -> None:
    """Write the layout of the original 3DGS code, binary little-endian.

    Properties: ``x y z nx ny nz f_dc_* f_rest_* opacity scale_* rot_*``; ``opacity`` is a logit,
    ``scale_*`` are logarithms, ``rot_*`` is wxyz, ``f_rest_*`` channel-major. The file is in the
    object frame (z up).
    """
    count = len(gaussians)
    if gaussians.sh is None:
        assert gaussians.colors is not None
        dc = (gaussians.colors - 0.5) / SH_C0
        rest = np.empty((count, 0), np.float32)
    else:
        dc = gaussians.sh[:, 0]
        rest = gaussians.sh[:, 1:].transpose(0, 2, 1).reshape(count, -1)
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    names += [f"f_rest_{i}" for i in range(rest.shape[1])]
    names += ["opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    opacity = np.clip(gaussians.opacities.astype(np.float64), 1e-7, 1 - 1e-7)
    table = np.empty((count, len(names)), dtype="<f4")
    table[:, 0:3] = gaussians.means
    table[:, 3:6] = 0
    table[:, 6:9] = dc
    table[:, 9 : 9 + rest.shape[1]] = rest
    table[:, -8] = np.log(opacity / (1 - opacity))
    table[:, -7:-4] = np.log(np.maximum(gaussians.scales, SMALLEST_SCALE))
    table[:, -4:] = gaussians.quats
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    header += [f"property float {name}" for name in names] + ["end_header", ""]
    with atomic_file(path) as file:
        file.write("\n".join(header).encode())
        file.write(table.data)
