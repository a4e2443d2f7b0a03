"""3D Gaussians: what a reconstruction yields."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from geolrm.engine.formats import splat_files
from geolrm.engine.gaussian_arrays import GaussianArrays
from geolrm.engine.gaussians import tensors
from geolrm.engine.gaussians.notebooks import ShownInNotebooks
from geolrm.engine.rendering.frame import Posed
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.render import render


class Gaussians(GaussianArrays, ShownInNotebooks):
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
        """Read a .ply, .spz, .splat, .glb, .sog or .npz file; it is not trusted for anything.

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

    @staticmethod
    def from_torch(means: Any, quats: Any, scales: Any, opacities: Any, colors: Any) -> Gaussians:
        """Copy tensors in gsplat's order of arguments, from any device.

        Args:
            means: [N, 3].
            quats: [N, 4], wxyz, of any length.
            scales: [N, 3], standard deviations: ``exp`` of what training holds.
            opacities: [N], in [0, 1]: ``sigmoid`` of what training holds.
            colors: [N, 3], sRGB in [0, 1], or harmonics [N, K, 3].
        """
        return Gaussians(**tensors.to_arrays(means, quats, scales, opacities, colors))

    def to_torch(self, device: Any = "cpu") -> tensors.Tensors:
        """Copy to tensors of torch, in gsplat's order of arguments.

        ``gsplat.rasterization(*gaussians.to_torch("cuda"), viewmats, Ks, width, height)`` renders
        plain colours; with harmonics of degree d, add ``sh_degree=d``.

        Returns:
            means [N, 3], quats [N, 4] (wxyz), scales [N, 3], opacities [N] and colors [N, 3], or
            [N, K, 3] of harmonics; they do not share memory with the Gaussians.

        Raises:
            GeoLRMError: torch is not installed.
        """
        return tensors.to_tensors(self, device)

    def render(self, cameras: Posed, size: tuple[int, int], **options: Any) -> Renders:
        """Render [V, H, W] images; arguments as :func:`geolrm.render`."""
        return render(self, cameras, size, **options)

    def save(
        self,
        path: str | Path,
        *,
        up: str | None = None,
        raw: bool = False,
        sh_degree: int | None = None,
        spz_version: int | None = None,
    ) -> None:
        """Write a file that common viewers and tools open (docs/formats.md).

        Args:
            path: The file; its suffix says the format: .ply, .spz, .splat, .glb, .sog, .npz, or
                .usda, .usdc and .usdz.
            up: "y" or "z", the axis that is up in the file; None takes the format's own.
            raw: For .ply, the layout of GeoLRM's own script, which viewers misread.
            sh_degree: 0 to 3, the degree of the harmonics in the file: higher ones are left out and
                missing ones are zeros, as importers that expect 62 properties of a .ply need them.
            spz_version: For .spz, 3 (the default) or 4.

        Raises:
            InputError: A value is not finite, or the format cannot hold it.
            GeoLRMError: usd-core, which .usdc takes, is not installed.
        """
        options = {"up": up, "raw": raw, "sh_degree": sh_degree, "spz_version": spz_version}
        splat_files.save(self, path, **options)
