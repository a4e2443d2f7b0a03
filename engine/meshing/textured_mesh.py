"""Triangles with one image for their colours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class TexturedMesh:
    """A surface in the object frame (z up); triangles turn counter-clockwise seen from outside."""

    vertices: NDArray[np.float32]  # [Q, 3]; those on the border of a chart are doubled
    faces: NDArray[np.uint32]  # [F, 3]
    normals: NDArray[np.float32]  # [Q, 3], unit length, outwards
    uv: NDArray[np.float32]  # [Q, 2] in [0, 1], v up: row of a texel = (1 - v) * S
    texture: NDArray[np.uint8]  # [S, S, 3], sRGB

    def __repr__(self) -> str:
        side = len(self.texture)
        return (
            f"TexturedMesh({len(self.vertices):,} vertices, {len(self.faces):,} triangles, "
            f"{side} x {side} px)"
        )

    def transformed(self, matrix: NDArray[np.float64]) -> TexturedMesh:
        """Move the mesh by a similarity [4, 4]."""
        turn = matrix[:3, :3] / np.cbrt(np.linalg.det(matrix[:3, :3]))
        vertices = self.vertices @ matrix[:3, :3].T + matrix[:3, 3]
        normals = self.normals @ turn.T
        return replace(
            self, vertices=vertices.astype(np.float32), normals=normals.astype(np.float32)
        )

    def save(self, path: str | Path) -> list[Path]:
        """Write a file; :mod:`geolrm.engine.meshing.textured_files` says what of it lies beside it.

        Returns:
            All files that were written.

        Raises:
            InputError: The name says no format that holds a texture.
        """
        from geolrm.engine.meshing import textured_files

        return textured_files.save(self, path)
