"""3D Gaussians: what a reconstruction yields."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geolrm.engine.errors import InputError

if TYPE_CHECKING:
    from geolrm.engine.rendering.frame import Posed
    from geolrm.engine.rendering.images import Renders

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
        return f"Gaussians({len(self):,}, {color})"

    def numpy(self) -> Gaussians:
        """Itself: a GPU engine may leave its Gaussians in device memory, where this copies them."""
        return self

    def select(self, index: NDArray) -> Gaussians:
        """The Gaussians of an index array [M] or a mask [N], in its order."""
        return Gaussians(
            self.means[index],
            self.opacities[index],
            self.scales[index],
            self.quats[index],
            None if self.colors is None else self.colors[index],
            None if self.sh is None else self.sh[index],
        )

    @staticmethod
    def load(path: str | Path, *, up: str | None = None, raw: bool | None = None) -> Gaussians:
        """Read a .ply, .spz, .splat or .glb file; it is not trusted for anything.

        Args:
            path: The file; its suffix says the format.
            up: "y" or "z", the axis that is up in the file; None takes what the file says, or else
                the format's own (docs/formats.md).
            raw: Whether a .ply holds activated values as GeoLRM's own script writes them; None
                finds out.

        Raises:
            InputError: The file is damaged or of another format.
        """
        from geolrm.engine.formats.splat_files import load

        return load(path, up=up, raw=raw)

    def render(self, cameras: Posed, size: tuple[int, int], **options: Any) -> Renders:
        """Draw [V, H, W] images; arguments as :func:`geolrm.render`."""
        from geolrm.engine.rendering.render import render

        return render(self, cameras, size, **options)

    def transformed(self, matrix: ArrayLike) -> Gaussians:
        """Moved by a [4, 4] similarity, such as the ``object_to_world`` of a capture.

        Raises:
            InputError: The matrix mirrors, shears, or scales axes differently.
        """
        from geolrm.engine.geometry import harmonics, similarity

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

    def save(self, path: str | Path, *, up: str | None = None, raw: bool = False) -> None:
        """Write a .ply, .spz, .splat or .glb file that common viewers open.

        Args:
            path: The file; its suffix says the format.
            up: "y" or "z", the axis that is up in the file; None takes the format's own.
            raw: For .ply, the layout of GeoLRM's own script, which viewers misread.

        Raises:
            InputError: A value is not finite, or the format cannot hold it.
        """
        from geolrm.engine.formats.splat_files import save

        save(self, path, up=up, raw=raw)


def _float32(name: str, value: ArrayLike) -> Array:
    """Contiguous float32 of real numbers; colours of 8 bits would be 255 times too bright."""
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
        with np.errstate(over="ignore"):  # becomes infinity, which drawing names
            array = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        raise InputError(f"{name} is not an array of numbers of one shape") from None
    return np.ascontiguousarray(array) if array.ndim else array
