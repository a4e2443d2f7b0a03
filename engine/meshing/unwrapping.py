"""A surface cut into charts that lie flat beside each other in one image, by xatlas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import GeoLRMError
from geolrm.engine.system.extras import require

PACKED = 512  # cells along the atlas in which charts are packed: finer ones take much longer
GUTTER = 2  # cells between charts, 8 texels of an atlas of 2048: three levels of mipmaps keep apart
FLAT = 6.0  # cost of what is added to a chart; xatlas' own 2 cuts rough surfaces to crumbs


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Where each triangle lies in the atlas; vertices on the border of a chart are doubled."""

    source: NDArray[np.int64]  # [Q] the vertex of the surface that each is a copy of
    faces: NDArray[np.uint32]  # [F, 3] indices of copies; triangle by triangle those of the surface
    uv: NDArray[np.float32]  # [Q, 2] in [0, 1], v up


def require_xatlas() -> None:
    """Refuse in one sentence when the extra is not installed."""
    require("xatlas", "a texture")


def unwrap(
    vertices: NDArray[np.float32], faces: NDArray[np.uint32], normals: NDArray[np.float32],
    size: int,
) -> Layout:  # fmt: skip
    """Cut a surface into charts and pack them into a square of ``size`` texels.

    Args:
        vertices: [P, 3].
        faces: [F, 3] indices.
        normals: [P, 3], unit length.
        size: Side of the atlas.

    Raises:
        GeoLRMError: xatlas is not installed, or finds no layout in one image.
    """
    require_xatlas()
    import xatlas

    library: Any = xatlas
    atlas = library.Atlas()
    atlas.add_mesh(vertices, faces.astype(np.uint32), normals)
    packing = library.PackOptions()
    packing.resolution = min(size, PACKED)
    packing.padding = GUTTER
    packing.bilinear = True
    charts = library.ChartOptions()
    charts.max_cost = FLAT
    atlas.generate(charts, packing)
    if atlas.atlas_count != 1:
        raise GeoLRMError(
            f"the charts of {len(faces):,} triangles do not fit into one texture of {size} px; "
            "take fewer --faces or a larger --texture-size"
        )
    source, corners, uv = atlas[0]
    sides = np.array([atlas.width, atlas.height], np.float64)
    uv = uv.astype(np.float64) * (sides / sides.max())  # texels stay square
    uv[:, 1] = 1 - uv[:, 1]
    return Layout(source.astype(np.int64), corners, uv.clip(0, 1).astype(np.float32))
