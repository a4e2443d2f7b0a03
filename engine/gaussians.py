"""3D Gaussians: what a reconstruction yields."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError

if TYPE_CHECKING:
    from geolrm.engine.rendering import Posed, Renders

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Gaussians:
    """Activated 3D Gaussians in the object frame (z up), float32.

    Either ``colors`` or ``sh`` is given.
    """

    means: Array  # [N, 3]
    opacities: Array  # [N], in (0, 1)
    scales: Array  # [N, 3], standard deviations
    quats: Array  # [N, 4], wxyz, unit length
    colors: Array | None = None  # [N, 3], sRGB in [0, 1]
    sh: Array | None = None  # [N, K, 3], K = (degree + 1)^2 spherical harmonics coefficients

    def __post_init__(self) -> None:
        if (self.colors is None) == (self.sh is None):
            raise InputError("Gaussians need either colors [N, 3] or sh [N, K, 3], and not both")
        means = np.ascontiguousarray(self.means, np.float32)
        count = len(means)
        shapes = {"means": (3,), "opacities": (), "scales": (3,), "quats": (4,)}
        if self.colors is not None:
            shapes["colors"] = (3,)
        for name, tail in shapes.items():
            array = np.ascontiguousarray(getattr(self, name), np.float32)
            if array.shape != (count, *tail):
                raise InputError(
                    f"{name} has shape {array.shape}; with {count} means it must be "
                    f"{(count, *tail)}"
                )
            object.__setattr__(self, name, array)
        if self.sh is not None:
            sh = np.ascontiguousarray(self.sh, np.float32)
            if sh.ndim != 3 or sh.shape[0] != count or sh.shape[1:] not in (
                (1, 3), (4, 3), (9, 3), (16, 3),
            ):  # fmt: skip
                raise InputError(
                    f"sh has shape {sh.shape}; with {count} means it must be ({count}, K, 3) "
                    "with K = 1, 4, 9 or 16"
                )
            object.__setattr__(self, "sh", sh)

    def __len__(self) -> int:
        return len(self.means)

    def __repr__(self) -> str:
        color = "colors" if self.sh is None else f"sh of {self.sh.shape[1]} coefficients"
        return f"Gaussians({len(self):,}, {color})"

    def take(self, which: NDArray[np.bool_] | NDArray[np.integer]) -> Gaussians:
        """Those that a mask [N] keeps, or that indices name."""
        arrays = (self.means, self.opacities, self.scales, self.quats, self.colors, self.sh)
        return Gaussians(*(None if array is None else array[which] for array in arrays))

    @staticmethod
    def load(path: str | Path) -> Gaussians:
        """Read a 3D Gaussian splatting PLY; the file is not trusted for its sizes."""
        from geolrm.engine.ply import read_ply

        return read_ply(path)

    def render(self, cameras: Posed, size: tuple[int, int], **options: Any) -> Renders:
        """Draw [V, H, W] images; arguments as :func:`geolrm.render`."""
        from geolrm.engine.rendering import render

        return render(self, cameras, size, **options)

    def save(self, path: str | Path) -> None:
        """Write a 3D Gaussian splatting PLY that common viewers open."""
        from geolrm.engine.ply import write_ply

        write_ply(self, path)
