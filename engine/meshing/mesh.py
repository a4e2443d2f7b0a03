"""Triangles with colours: what a fused scene is, and how it is written and sampled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.atomic import atomic_file
from geolrm.engine.errors import InputError
from geolrm.engine.formats import glb
from geolrm.engine.formats.orientation import Z_UP_TO_Y_UP

UNLIT = "KHR_materials_unlit"  # colours already hold the light of the pictures


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
        """Write a .glb, y up, with vertex colours that need no light.

        Raises:
            InputError: The name is no .glb, or there are no triangles.
        """
        check_mesh_path(path)
        with atomic_file(path) as file:
            file.write(self.to_glb())

    def to_glb(self) -> bytes:
        """The bytes of :meth:`save`."""
        if not len(self.faces):
            raise InputError("the mesh has no triangles; there is nothing to write")
        turn = Z_UP_TO_Y_UP.T.astype(np.float32)
        buffer = glb.Buffer()
        alpha = np.ones((len(self.colors), 1))
        light = np.concatenate([linear(self.colors), alpha], axis=1)
        attributes = {
            "POSITION": buffer.add(self.vertices @ turn, "VEC3", bounds=True),
            "NORMAL": buffer.add(self.normals @ turn, "VEC3"),
            "COLOR_0": buffer.add(np.rint(light * 65535).astype("<u2"), "VEC4", normalized=True),
        }
        corners = buffer.add(self.faces.reshape(-1).astype("<u4"), "SCALAR", target=glb.TRIANGLES)
        primitive = {"attributes": attributes, "indices": corners, "material": 0}
        surface = {"metallicFactor": 0, "roughnessFactor": 1}
        material = {
            "pbrMetallicRoughness": surface,
            "doubleSided": True,
            "extensions": {UNLIT: {}},
        }
        return buffer.file({
            "extensionsUsed": [UNLIT],
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [{"primitives": [primitive]}],
            "materials": [material],
        })  # fmt: skip


def check_mesh_path(path: str | Path) -> None:
    """One sentence for what is not written."""
    if Path(path).suffix.lower() != ".glb":
        raise InputError(f"{str(path)!r} is no mesh file; the file name must end in .glb")


def linear(colors: NDArray) -> NDArray[np.float64]:
    """Linear light of sRGB values in [0, 1], as glTF states vertex colours."""
    srgb = colors.astype(np.float64).clip(0, 1)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def surface_points(
    vertices: NDArray, faces: NDArray, count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """[count, 3] points on triangles, uniform over their area.

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
