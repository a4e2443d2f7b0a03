"""The arrays of 3D Gaussians, checked: what files hold and what everything else is handed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.geometry import harmonics, similarity

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class GaussianArrays:
    """Activated 3D Gaussians in one frame, float32; either ``colors`` or ``sh`` is given.

    Raises:
        InputError: An array has another shape or type, or both or none of the two are given.
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
        means = _float32("means", self.means)
        if means.ndim != 2 or means.shape[1] != 3:
            raise InputError(f"means has shape {means.shape}; it must be (N, 3)")
        count = len(means)
        shapes = {"means": (3,), "opacities": (), "scales": (3,), "quats": (4,)}
        if self.colors is not None:
            shapes["colors"] = (3,)
        for name, tail in shapes.items():
            array = _float32(name, getattr(self, name))
            if array.shape != (count, *tail):
                raise InputError(
                    f"{name} has shape {array.shape}; with {count} means it must be "
                    f"{(count, *tail)}"
                )
            object.__setattr__(self, name, array)
        if self.sh is not None:
            sh = _float32("sh", self.sh)
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
        return f"{type(self).__name__}({len(self):,}, {color})"

    def select(self, index: NDArray | slice) -> Self:
        """Pick the Gaussians of an index array [M] or a mask [N], in its order."""
        return replace(
            self,
            means=self.means[index],
            opacities=self.opacities[index],
            scales=self.scales[index],
            quats=self.quats[index],
            colors=None if self.colors is None else self.colors[index],
            sh=None if self.sh is None else self.sh[index],
        )

    def transformed(self, matrix: ArrayLike) -> Self:
        """Move them by a [4, 4] similarity, such as the ``object_to_world`` of a capture.

        Raises:
            InputError: The matrix mirrors, shears, or scales axes differently.
        """
        scale, rotation, translation = similarity.split_similarity(matrix)
        turned = similarity.quaternion(rotation)
        means = self.means @ (scale * rotation).T.astype(np.float32)
        if translation.any():  # NumPy is slow at adding to short rows
            means += translation.astype(np.float32)
        return replace(
            self,
            means=means,
            scales=self.scales * scale,
            quats=similarity.turn_quaternions(turned, self.quats),
            sh=None if self.sh is None else harmonics.turn(self.sh, rotation),
        )


def _float32(name: str, value: ArrayLike) -> Array:
    """Convert real numbers to contiguous float32; bytes would be colours 255 times too bright."""
    dtype = getattr(value, "dtype", np.dtype(np.float32))
    if isinstance(dtype, np.dtype) and (
        dtype.kind not in "fiu" or (name == "colors" and dtype == np.uint8)
    ):
        remedy = " / 255" if dtype == np.uint8 else ""
        raise InputError(
            f"{name} has dtype {dtype}; it must be float32. Convert it with "
            f"astype(numpy.float32){remedy}"
        )
    try:
        with np.errstate(over="ignore"):  # becomes infinity, which rendering names
            array = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{name} is not an array of numbers of one shape") from None
    return np.ascontiguousarray(array) if array.ndim else array
