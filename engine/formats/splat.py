""".splat: 32 bytes a splat, no header, colours without spherical harmonics.

Float32 position and scale (standard deviations), then bytes: red, green, blue, opacity, and the
quaternion wxyz as ``128 q + 128``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats.untrusted import Decoded, assemble, check_count
from geolrm.engine.gaussian_arrays import GaussianArrays

ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quats", "u1", 4)])


def encode(gaussians: GaussianArrays) -> bytes:
    """Write a whole file, in the order of the Gaussians."""
    assert gaussians.colors is not None
    table = np.empty(len(gaussians), ROW)
    table["means"] = gaussians.means
    table["scales"] = gaussians.scales
    table["rgba"][:, :3] = np.rint(gaussians.colors * 255).clip(0, 255)
    table["rgba"][:, 3] = np.rint(gaussians.opacities * 255).clip(0, 255)
    table["quats"] = np.rint(gaussians.quats * 128 + 128).clip(0, 255)
    return table.tobytes()


def check(head: bytes, size: int, name: str) -> None:
    """Refuse what cannot be such a file of ``size`` bytes."""
    if size % ROW.itemsize:
        raise InputError(
            f"{name} has {size} bytes; a .splat file has {ROW.itemsize} for each splat: it is "
            "truncated or of another format"
        )
    if head.startswith((b"ply\n", b"ply\r\n")):
        raise InputError(f"{name} is a PLY file; give it the suffix .ply")
    check_count(size // ROW.itemsize, name)


def decode(content: bytes, name: str) -> Decoded:
    """Read a whole file, in the file's frame."""
    check(content[:5], len(content), name)
    table = np.frombuffer(content, ROW)

    def part(rows: slice) -> dict[str, NDArray]:
        found = table[rows]
        rgba = found["rgba"].astype(np.float32) / np.float32(255)
        return {
            "means": found["means"],
            "opacities": rgba[:, 3],
            "scales": found["scales"],
            "quats": (found["quats"].astype(np.float32) - 128) / np.float32(128),
            "colors": rgba[:, :3],
        }

    return assemble(name, len(table), part)
