"""Textured meshes as files: GLB and USDZ alone, OBJ, USDA and USDC with an image beside them.

Colours hold the light of the photographs, so that no lamp belongs in front of them: glTF has
KHR_materials_unlit for this, MTL ``illum 0``, USD an emissive colour. All are y up. The image is a
PNG of sRGB values, which is what all of them take a base colour to be.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.formats import archive, glb
from geolrm.engine.formats.orientation import Z_UP_TO_Y_UP
from geolrm.engine.formats.usd import ALIGNMENT
from geolrm.engine.meshing import mesh_usd
from geolrm.engine.meshing.mesh_files import UNLIT, Surface
from geolrm.engine.system.atomic import atomic_file, check_writable

CLAMPED, LINEAR, MIPMAPPED = 33071, 9729, 9987  # of a glTF sampler
PACKED = 4  # of zlib: photographs shrink hardly further
LONGEST_STEM = 100  # characters


class TexturedSurface(Surface, Protocol):
    """A surface with an image, and for each vertex its place in it."""

    @property
    def uv(self) -> NDArray[np.float32]:
        """[P, 2], v up."""
        ...

    @property
    def texture(self) -> NDArray[np.uint8]:
        """[S, S, 3], sRGB."""
        ...


def suffix_of(path: str | Path) -> str:
    """Return the suffix of a file that holds a texture, or raise one sentence.

    Raises:
        InputError: It is none.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        raise InputError(
            f"{str(path)!r} cannot hold a texture; the file name must end in {SUFFIXES}"
        )
    return suffix


def files_of(path: str | Path) -> list[Path]:
    """List what :func:`save` writes: the file itself, then those beside it."""
    path = Path(path)
    suffix = suffix_of(path)
    image = path.with_name(f"{plain_stem(path)}_texture.png")
    if suffix == ".obj":
        return [path, path.with_name(f"{plain_stem(path)}.mtl"), image]
    return [path, image] if suffix in (".usda", ".usdc") else [path]


def plain_stem(path: Path) -> str:
    """Name what lies beside a file so that no format has to escape it: letters, digits, ``_-.``."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)[:LONGEST_STEM].strip(".") or "mesh"


def check_files(path: str | Path) -> list[Path]:
    """Refuse early what :func:`save` could not write; return all files that it would.

    Raises:
        InputError: One of them cannot be written, or usd-core is needed and missing.
    """
    files = files_of(path)
    for file in files:
        if file.is_dir():
            raise InputError(
                f"{str(file)!r} is a folder, and {str(path)!r} needs a file of that name; name "
                "another output"
            )
        check_writable(file)
    if files[0].suffix.lower() == ".usdc":
        mesh_usd.check_crate()
    return files


def save(mesh: TexturedSurface, path: str | Path) -> list[Path]:
    """Write a textured mesh; all its files are written before the first takes its place.

    Returns:
        The files, the one that was asked for first.

    Raises:
        InputError: The name says no format that holds a texture, or a file cannot be written.
        GeoLRMError: usd-core is needed and not installed.
    """
    files = files_of(path)
    contents = encode(mesh, suffix_of(path), [file.name for file in files[1:]])
    with contextlib.ExitStack() as stack:  # left in reverse: what names the others comes last
        for file, name in zip(files, [files[0].suffix.lower(), *(f.name for f in files[1:])],
                              strict=True):  # fmt: skip
            stack.enter_context(atomic_file(file)).write(contents[name])
    return files


def encode(mesh: TexturedSurface, suffix: str, beside: list[str]) -> Mapping[str, bytes]:
    """Write the bytes of each file: under the suffix, and under the names of those beside it."""
    return WRITERS[suffix](mesh, beside)


def png_of(texture: NDArray[np.uint8]) -> bytes:
    """Write an image as PNG."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(texture).save(content, "png", compress_level=PACKED)
    return content.getvalue()


def _glb(mesh: TexturedSurface, beside: list[str]) -> Mapping[str, bytes]:
    turn = Z_UP_TO_Y_UP.T.astype(np.float32)
    buffer = glb.Buffer()
    coordinates = np.stack([mesh.uv[:, 0], 1 - mesh.uv[:, 1]], axis=1)  # v of glTF is down
    attributes = {
        "POSITION": buffer.add(mesh.vertices @ turn, "VEC3", bounds=True),
        "NORMAL": buffer.add(mesh.normals @ turn, "VEC3"),
        "TEXCOORD_0": buffer.add(coordinates, "VEC2"),
    }
    corners = buffer.add(mesh.faces.reshape(-1).astype("<u4"), "SCALAR", target=glb.TRIANGLES)
    view = buffer.add_file(png_of(mesh.texture))
    surface = {"baseColorTexture": {"index": 0}, "metallicFactor": 0, "roughnessFactor": 1}
    primitive = {"attributes": attributes, "indices": corners, "material": 0}
    wrap = {"wrapS": CLAMPED, "wrapT": CLAMPED}
    material = {"pbrMetallicRoughness": surface, "doubleSided": True, "extensions": {UNLIT: {}}}
    content = buffer.file({
        "extensionsUsed": [UNLIT],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [material],
        "textures": [{"sampler": 0, "source": 0}],
        "images": [{"bufferView": view, "mimeType": "image/png"}],
        "samplers": [{"magFilter": LINEAR, "minFilter": MIPMAPPED, **wrap}],
    })  # fmt: skip
    return {".glb": content}


def _obj(mesh: TexturedSurface, beside: list[str]) -> Mapping[str, bytes]:
    turn = Z_UP_TO_Y_UP.T.astype(np.float32)
    material, image = beside
    lines = ["# geolrm, y up", f"mtllib {material}"]
    lines += ["v {:.6g} {:.6g} {:.6g}".format(*row) for row in (mesh.vertices @ turn).tolist()]
    lines += ["vt {:.6f} {:.6f}".format(*row) for row in mesh.uv.tolist()]
    lines += ["vn {:.4g} {:.4g} {:.4g}".format(*row) for row in (mesh.normals @ turn).tolist()]
    lines += ["usemtl surface"]
    lines += [
        f"f {a}/{a}/{a} {b}/{b}/{b} {c}/{c}/{c}"
        for a, b, c in (mesh.faces.astype(np.int64) + 1).tolist()
    ]
    look = ["# unlit: colours hold their light", "newmtl surface", "Ka 0 0 0", "Kd 1 1 1",
            "Ks 0 0 0", "illum 0", f"map_Kd {image}"]  # fmt: skip
    return {
        ".obj": "\n".join([*lines, ""]).encode(),
        material: "\n".join([*look, ""]).encode(),
        image: png_of(mesh.texture),
    }


def _stage(mesh: TexturedSurface, image: str) -> bytes:
    turn = Z_UP_TO_Y_UP.T.astype(np.float32)
    return mesh_usd.encode_text(
        mesh.vertices @ turn, mesh.normals @ turn, mesh.faces, uv=mesh.uv, image=f"./{image}"
    )


def _usda(mesh: TexturedSurface, beside: list[str]) -> Mapping[str, bytes]:
    (image,) = beside
    return {".usda": _stage(mesh, image), image: png_of(mesh.texture)}


def _usdc(mesh: TexturedSurface, beside: list[str]) -> Mapping[str, bytes]:
    (image,) = beside
    return {".usdc": mesh_usd.crate_of(_stage(mesh, image)), image: png_of(mesh.texture)}


def _usdz(mesh: TexturedSurface, beside: list[str]) -> Mapping[str, bytes]:
    image = "texture.png"
    members = {"mesh.usda": _stage(mesh, image), image: png_of(mesh.texture)}
    return {".usdz": archive.write(members, align=ALIGNMENT)}


WRITERS: dict[str, Callable[[TexturedSurface, list[str]], Mapping[str, bytes]]] = {
    ".glb": _glb,
    ".obj": _obj,
    ".usda": _usda,
    ".usdc": _usdc,
    ".usdz": _usdz,
}
SUFFIXES = ", ".join(WRITERS)
