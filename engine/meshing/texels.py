"""The texels of an atlas that lie on the surface, and where on it they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.meshing.unwrapping import Layout


@dataclass(frozen=True, slots=True, eq=False)
class Texels:
    """N texels whose centres a triangle covers, in the order of the triangles."""

    size: int  # side of the atlas in texels
    place: NDArray[np.int64]  # [N] row * size + column, the first row on top
    face: NDArray[np.int32]  # [N]
    shares: NDArray[np.float32]  # [N, 3] barycentric coordinates of the centre
    corners: NDArray[np.int64]  # [N, 3] vertices of the face, indices of the layout's copies

    def __len__(self) -> int:
        return len(self.place)

    def interpolate(self, values: NDArray, chosen: slice | NDArray = slice(None)) -> NDArray:
        """Interpolate values [Q, C] of the layout's vertices to the chosen texels, [n, C]."""
        corners, shares = self.corners[chosen], self.shares[chosen]
        found = values[corners[:, 0]] * shares[:, :1]
        for corner in (1, 2):
            found += values[corners[:, corner]] * shares[:, corner : corner + 1]
        return found


def find_texels(layout: Layout, size: int) -> Texels:
    """Draw the layout's triangles into an atlas of ``size`` x ``size`` texels."""
    spots = np.empty((len(layout.uv), 3))
    spots[:, 0] = layout.uv[:, 0].astype(np.float64) * size
    spots[:, 1] = (1 - layout.uv[:, 1].astype(np.float64)) * size
    spots[:, 2] = 1
    ids, depth = np.empty((size, size), np.int32), np.empty((size, size), np.float32)
    _C.visible_faces(spots, layout.faces.astype(np.int32), size, size, ids, depth)
    place = np.flatnonzero(ids >= 0)
    face = ids.reshape(-1)[place]
    order = np.argsort(face, kind="stable")
    place, face = place[order], face[order]
    corners = layout.faces[face].astype(np.int64)
    centre = np.stack([place % size, place // size], axis=1).astype(np.float64) + 0.5
    return Texels(size, place, face, _barycentric(spots[:, :2], corners, centre), corners)


def _barycentric(
    spots: NDArray[np.float64], corners: NDArray[np.int64], centre: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the shares [N, 3] of the corners in points [N, 2] within their triangles."""
    a, b, c = (spots[corners[:, k]] for k in range(3))
    ab, ac, at = b - a, c - a, centre - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    second = (at[:, 0] * ac[:, 1] - at[:, 1] * ac[:, 0]) / area
    third = (ab[:, 0] * at[:, 1] - ab[:, 1] * at[:, 0]) / area
    shares = np.stack([1 - second - third, second, third], axis=1).clip(0, 1)
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
