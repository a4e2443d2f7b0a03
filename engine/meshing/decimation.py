"""Fewer triangles for the same surface: quadric edge collapses, by fast-simplification."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.system.extras import require

FEWEST_FACES, MOST_FACES = 100, 2_000_000


def check_faces(faces: int, name: str = "faces") -> None:
    """Refuse a number of triangles that :func:`decimate` does not take."""
    if not FEWEST_FACES <= faces <= MOST_FACES:
        raise InputError(
            f"{name} is {faces}; it must be {FEWEST_FACES} to {MOST_FACES:,} triangles"
        )


def require_simplifier() -> None:
    """Refuse in one sentence when the extra is not installed."""
    require("fast-simplification", "decimation")


def decimate(mesh: Mesh, faces: int) -> Mesh:
    """Collapse edges until about ``faces`` triangles are left; fewer than that stay as they are.

    A vertex has the mean colour of the old ones that it is nearest to.

    Raises:
        InputError: ``faces`` is out of range.
        GeoLRMError: fast-simplification is not installed.
    """
    check_faces(faces)
    if len(mesh.faces) <= faces:
        return mesh
    require_simplifier()
    import fast_simplification

    made: Any = fast_simplification.simplify(
        mesh.vertices.astype(np.float64), mesh.faces.astype(np.int32), target_count=faces
    )
    vertices, triangles = made[0].astype(np.float32), made[1].astype(np.int64)
    triangles = triangles[_with_area(vertices, triangles)]
    used, renamed = np.unique(triangles, return_inverse=True)
    vertices = vertices[used]
    return Mesh(vertices, renamed.reshape(-1, 3).astype(np.uint32), _colors(mesh, vertices))


def _with_area(vertices: NDArray, faces: NDArray) -> NDArray[np.bool_]:
    """Tell which triangles [F] have an area."""
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) > 0


def _colors(old: Mesh, vertices: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average the old colours over what is nearest to each vertex, [P, 3]."""
    from scipy.spatial import KDTree

    owner = np.asarray(KDTree(vertices).query(old.vertices)[1])
    count = np.bincount(owner, minlength=len(vertices))
    sums = np.stack(
        [np.bincount(owner, old.colors[:, k], minlength=len(vertices)) for k in range(3)], axis=1
    )
    colors = sums / np.maximum(count, 1)[:, None]
    alone = count == 0
    if alone.any():
        colors[alone] = old.colors[np.asarray(KDTree(old.vertices).query(vertices[alone])[1])]
    return colors.astype(np.float32)
