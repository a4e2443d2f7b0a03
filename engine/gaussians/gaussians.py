"""3D Gaussians: what a reconstruction yields."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.formats import splat_files
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.rendering.frame import Posed
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.render import render


class Gaussians(GaussianArrays):
    """Activated 3D Gaussians in the object frame (z up), float32.

    Either ``colors`` or ``sh`` is given.

    Args:
        means: [N, 3].
        opacities: [N], in (0, 1).
        scales: [N, 3], standard deviations.
        quats: [N, 4], wxyz, of unit length.
        colors: [N, 3], sRGB in [0, 1].
        sh: [N, K, 3], K = (degree + 1)^2 spherical harmonics coefficients.
    """

    __slots__ = ()

    @staticmethod
    def empty() -> Gaussians:
        """Make no Gaussians, with colours."""
        shapes = ((0, 3), (0,), (0, 3), (0, 4), (0, 3))
        return Gaussians(*(np.empty(shape, np.float32) for shape in shapes))

    def numpy(self) -> Gaussians:
        """Return itself: a GPU engine may leave its Gaussians on the device, where this copies."""
        return self

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
        arrays = splat_files.load(path, up=up, raw=raw)
        return Gaussians(**{field.name: getattr(arrays, field.name) for field in fields(arrays)})

    def render(self, cameras: Posed, size: tuple[int, int], **options: Any) -> Renders:
        """Render [V, H, W] images; arguments as :func:`geolrm.render`."""
        return render(self, cameras, size, **options)

    def save(self, path: str | Path, *, up: str | None = None, raw: bool = False) -> None:
        """Write a .ply, .spz, .splat or .glb file that common viewers open.

        Args:
            path: The file; its suffix says the format.
            up: "y" or "z", the axis that is up in the file; None takes the format's own.
            raw: For .ply, the layout of GeoLRM's own script, which viewers misread.

        Raises:
            InputError: A value is not finite, or the format cannot hold it.
        """
        splat_files.save(self, path, up=up, raw=raw)
