"""Meshes as files: GLB, PLY, OBJ and USD, with vertex colours that need no light, and STL.

Colours already hold the light of the images. glTF and USD state them in linear light, PLY and OBJ
as the sRGB values that their readers expect; STL has none. GLB, OBJ and USD are y up, as programs
take them to be; a PLY is z up, like one of splats, and an STL, as printers have it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats import archive, glb
from geolrm.engine.formats.light import linear
from geolrm.engine.formats.orientation import Z_UP_TO_Y_UP
from geolrm.engine.formats.usd import ALIGNMENT
from geolrm.engine.meshing import mesh_usd

UNLIT = "KHR_materials_unlit"
CORNER = np.dtype([("place", "<f4", 3), ("normal", "<f4", 3), ("color", "u1", 3)])
FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
STL_HEADER = b"geolrm, z up".ljust(80)
TRIANGLE = np.dtype([("corners", "u1"), ("indices", "<i4", 3)])
PLY_NAMES = [*(f"float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
             *(f"uchar {name}" for name in ("red", "green", "blue"))]  # fmt: skip


class Surface(Protocol):
    """What is written of a mesh: P vertices and F triangles in the object frame (z up)."""

    @property
    def vertices(self) -> NDArray[np.float32]:
        """[P, 3]."""
        ...

    @property
    def faces(self) -> NDArray[np.uint32]:
        """[F, 3] indices."""
        ...

    @property
    def normals(self) -> NDArray[np.float32]:
        """[P, 3], unit length."""
        ...


class ColoredSurface(Surface, Protocol):
    """A surface with a colour at each vertex."""

    @property
    def colors(self) -> NDArray[np.float32]:
        """[P, 3], sRGB in [0, 1]."""
        ...


def suffix_of(path: str | Path) -> str:
    """Return the suffix of a mesh file, or raise one sentence with those that are written."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise InputError(f"{str(path)!r} is no mesh file; the file name must end in {SUFFIXES}")
    return suffix


def encode(mesh: ColoredSurface, suffix: str) -> bytes:
    """Write the bytes of a file with this suffix.

    Raises:
        InputError: There are no triangles.
    """
    if not len(mesh.faces):
        raise InputError("the mesh has no triangles; there is nothing to write")
    return WRITERS[suffix](mesh)


def _glb(mesh: ColoredSurface) -> bytes:
    turn = Z_UP_TO_Y_UP.T.astype(np.float32)
    buffer = glb.Buffer()
    alpha = np.ones((len(mesh.colors), 1))
    light = np.concatenate([linear(mesh.colors), alpha], axis=1)
    attributes = {
        "POSITION": buffer.add(mesh.vertices @ turn, "VEC3", bounds=True),
        "NORMAL": buffer.add(mesh.normals @ turn, "VEC3"),
        "COLOR_0": buffer.add(np.rint(light * 65535).astype("<u2"), "VEC4", normalized=True),
    }
    corners = buffer.add(mesh.faces.reshape(-1).astype("<u4"), "SCALAR", target=glb.TRIANGLES)
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


def _ply(mesh: ColoredSurface) -> bytes:
    corners = np.empty(len(mesh.vertices), CORNER)
    corners["place"], corners["normal"] = mesh.vertices, mesh.normals
    corners["color"] = np.rint(mesh.colors.clip(0, 1) * 255)
    triangles = np.empty(len(mesh.faces), TRIANGLE)
    triangles["corners"], triangles["indices"] = 3, mesh.faces
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(corners)}"]
    header += [f"property {name}" for name in PLY_NAMES]
    header += [f"element face {len(triangles)}", "property list uchar int vertex_indices"]
    return "\n".join([*header, "end_header", ""]).encode() + corners.tobytes() + triangles.tobytes()


def _obj(mesh: ColoredSurface) -> bytes:
    """Write colours behind the position, as MeshLab, Blender and Open3D read them."""
    turn = Z_UP_TO_Y_UP.T.astype(np.float32)
    corners = np.hstack([mesh.vertices @ turn, mesh.colors.clip(0, 1)])
    lines = ["# geolrm, y up"]
    corner = "v {:.6g} {:.6g} {:.6g} {:.4g} {:.4g} {:.4g}"
    lines += [corner.format(*row) for row in corners.tolist()]
    lines += ["vn {:.4g} {:.4g} {:.4g}".format(*row) for row in (mesh.normals @ turn).tolist()]
    lines += [
        f"f {a}//{a} {b}//{b} {c}//{c}" for a, b, c in (mesh.faces.astype(np.int64) + 1).tolist()
    ]
    return "\n".join([*lines, ""]).encode()


def _stl(mesh: ColoredSurface) -> bytes:
    """Write triangles alone, in binary."""
    corners = mesh.vertices[mesh.faces]
    crosses = np.cross(
        (corners[:, 1] - corners[:, 0]).astype(np.float64),
        (corners[:, 2] - corners[:, 0]).astype(np.float64),
    )
    lengths = np.linalg.norm(crosses, axis=1, keepdims=True)
    facets = np.zeros(len(corners), FACET)
    facets["corners"] = corners
    facets["normal"] = crosses / np.where(lengths > 0, lengths, 1)
    return STL_HEADER + len(facets).to_bytes(4, "little") + facets.tobytes()


def _usda(mesh: ColoredSurface) -> bytes:
    turn = Z_UP_TO_Y_UP.T.astype(np.float32)
    light = linear(mesh.colors).astype(np.float32)
    return mesh_usd.encode_text(mesh.vertices @ turn, mesh.normals @ turn, mesh.faces, light=light)


def _usdc(mesh: ColoredSurface) -> bytes:
    return mesh_usd.crate_of(_usda(mesh))


def _usdz(mesh: ColoredSurface) -> bytes:
    return archive.write({"mesh.usda": _usda(mesh)}, align=ALIGNMENT)


WRITERS: dict[str, Callable[[ColoredSurface], bytes]] = {
    ".glb": _glb,
    ".ply": _ply,
    ".obj": _obj,
    ".stl": _stl,
    ".usda": _usda,
    ".usdc": _usdc,
    ".usdz": _usdz,
}
SUFFIXES = ", ".join(WRITERS)
