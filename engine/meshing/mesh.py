"""Triangles with colours: what a fused scene is, and how its surface is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.meshing import mesh_files
from geolrm.engine.system.atomic import atomic_file


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A surface in the object frame (z up); triangles turn counter-clockwise seen from outside."""

    vertices: NDArray[np.float32]  # [P, 3]
    faces: NDArray[np.uint32]  # [F, 3]
    colors: NDArray[np.float32]  # [P, 3], sRGB in [0, 1]

    def __repr__(self) -> str:
        return f"Mesh({len(self.vertices):,} vertices, {len(self.faces):,} triangles)"

    @property
    def normals(self) -> NDArray[np.float32]:
        """[P, 3], unit length, outwards: the mean of the triangles around, by their area."""
        corners = self.vertices[self.faces].astype(np.float64)
        crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        sums = np.zeros((len(self.vertices), 3))
        for corner in range(3):
            for axis in range(3):
                sums[:, axis] += np.bincount(
                    self.faces[:, corner], crosses[:, axis], minlength=len(sums)
                )
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        normals = np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1), (0, 0, 1))
        return normals.astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Write a file; :mod:`geolrm.engine.meshing.mesh_files` says in which formats, and how.

        Raises:
            InputError: The name says no format, or there are no triangles.
        """
        content = mesh_files.encode(self, mesh_files.suffix_of(path))
        with atomic_file(path) as file:
            file.write(content)


def surface_points(
    vertices: NDArray, faces: NDArray, count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Sample points [count, 3] on triangles, uniformly over their area.

    Args:
        vertices: [P, 3].
        faces: [F, 3] indices.
        count: How many.
        rng: The source of chance.

    Raises:
        InputError: The triangles have no area.
    """
    corners = vertices[faces].astype(np.float64)  # [F, 3, 3]
    sides = corners[:, 1:] - corners[:, :1]
    area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=-1)
    if not area.sum() > 0:
        raise InputError("the mesh has no area; there are no points on it")
    chosen = rng.choice(len(area), count, p=area / area.sum())
    along = rng.random((count, 2))
    along = np.where(along.sum(1, keepdims=True) > 1, 1 - along, along)  # fold onto the triangle
    points = corners[chosen, 0] + np.einsum("nk,nkd->nd", along, sides[chosen])
    return points.astype(np.float32)
