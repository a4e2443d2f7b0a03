"""Textured triangle meshes: read, put together, rendered, sampled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.meshing.mesh import surface_points
from geolrm.engine.system.atomic import existing_path
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.data.views import rig, seen_points

RENDERER_VERSION = 1  # to be raised when images, depth or points change for the same mesh


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles with unlit, sRGB-encoded textures, in the object frame (z up).

    Raises:
        InputError: Shapes, types or indices do not fit each other, or a number is not finite.
    """

    vertices: NDArray[np.float32]  # [P, 3]
    faces: NDArray[np.int32]  # [F, 3], indices of vertices
    uv: NDArray[np.float32]  # [P, 2], v UP: texel row = (1 - v) * H; repeats outside [0, 1]
    textures: tuple[NDArray[np.uint8], ...]  # T of [H, W, 3]
    face_texture: NDArray[np.int32] | None = None  # [F], the texture of each face; None: the first

    def __post_init__(self) -> None:
        face_texture = self.face_texture
        if face_texture is None:
            face_texture = np.zeros(len(self.faces), np.int32)
            object.__setattr__(self, "face_texture", face_texture)
        wanted = {
            "vertices": (self.vertices, (len(self.vertices), 3), np.float32),
            "faces": (self.faces, (len(self.faces), 3), np.int32),
            "uv": (self.uv, (len(self.vertices), 2), np.float32),
            "face_texture": (face_texture, (len(self.faces),), np.int32),
        }
        for index, texture in enumerate(self.textures):
            wanted[f"texture {index}"] = (texture, (*texture.shape[:2], 3), np.uint8)
        for name, (array, shape, dtype) in wanted.items():
            if array.shape != shape or array.dtype != dtype:
                raise InputError(
                    f"{name} of the mesh is {array.dtype} {list(array.shape)}; it must be "
                    f"{np.dtype(dtype)} {list(shape)}"
                )
        if not len(self.faces):
            raise InputError("the mesh has no faces; give at least one")
        for name, indices, count in (
            ("faces", self.faces, len(self.vertices)),
            ("face_texture", face_texture, len(self.textures)),
        ):
            if indices.min() < 0 or indices.max() >= count:
                raise InputError(
                    f"{name} of the mesh holds indices {indices.min()} to {indices.max()}; they "
                    f"must be 0 to {count - 1}"
                )
        for name in ("vertices", "uv"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"{name} of the mesh holds NaN or infinity; it must be finite")

    def __repr__(self) -> str:
        return f"Mesh({len(self.vertices)} vertices, {len(self.faces)} faces)"


def load_glb(path: str | Path) -> Mesh:
    """Read a binary glTF file of one textured triangle mesh; coordinates are taken as stored.

    Raises:
        InputError: The file is missing, damaged, or has no texture coordinates or base colour.
    """
    import trimesh

    path = existing_path(path)
    if not path.is_file():
        raise InputError(f"{str(path)!r} is no file; give a .glb file with one textured mesh")
    try:
        scan: Any = trimesh.load(path, file_type="glb", force="mesh", process=False)
        uv = getattr(scan.visual, "uv", None)
        image = getattr(getattr(scan.visual, "material", None), "baseColorTexture", None)
        texture = None if image is None else np.array(image.convert("RGB"))
    except Exception as error:  # trimesh raises whatever its parsers trip over
        raise InputError(
            f"{str(path)!r} cannot be read as glTF: {error}; it may be damaged, restore it"
        ) from error
    if uv is None or texture is None:
        missing = "texture coordinates" if uv is None else "baseColorTexture"
        raise InputError(f"{str(path)!r} has no {missing}; give a mesh with an image texture")
    try:
        return Mesh(
            np.ascontiguousarray(scan.vertices, np.float32),
            np.ascontiguousarray(scan.faces, np.int32),
            np.ascontiguousarray(uv, np.float32),
            (texture,),
        )
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from error


def compose(meshes: Sequence[Mesh]) -> Mesh:
    """Join meshes to one; textures stay apart, so that none bleeds into another."""
    if not meshes:
        raise InputError("no meshes were given to compose; give at least one")
    vertex_starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]], dtype=np.int32)
    texture_starts = np.cumsum([0] + [len(mesh.textures) for mesh in meshes[:-1]], dtype=np.int32)
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([m.faces + start for m, start in zip(meshes, vertex_starts, strict=True)]),
        np.concatenate([mesh.uv for mesh in meshes]),
        tuple(texture for mesh in meshes for texture in mesh.textures),
        np.concatenate(
            [_face_texture(m) + start for m, start in zip(meshes, texture_starts, strict=True)]
        ),
    )


def normalised(mesh: Mesh) -> Mesh:
    """Move and scale a mesh so that its box is centred at 0 and has longest side 1."""
    low, high = mesh.vertices.min(0).astype(np.float64), mesh.vertices.max(0).astype(np.float64)
    side = (high - low).max()
    if not side > 0:
        raise InputError("all vertices of the mesh are at one point; it cannot fill the cube")
    return replace(mesh, vertices=((mesh.vertices - (low + high) / 2) / side).astype(np.float32))


def rotation(axis: int, degrees: float) -> NDArray[np.float64]:
    """Return the right-handed turn [3, 3] about x, y or z (0, 1, 2)."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turn = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return turn


def render_mesh(
    mesh: Mesh, cameras: Cameras, size: int, supersample: int = 3, threads: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Render square images, unlit and double-sided, without background.

    Args:
        mesh: In the object frame.
        cameras: V; faces that reach closer than 0.01 to a camera's plane are left out.
        size: Side of an image in pixels.
        supersample: Samples along each side of a pixel.
        threads: Views are shared out among them; 0 for all cores.

    Returns:
        rgb [V, S, S, 3] in [0, 1], sRGB, straight (0 where alpha is 0); alpha [V, S, S], the
        covered share of the samples; depth [V, S, S], z-depth at the pixel centre, 0 where there
        is nothing.
    """
    shape = (len(cameras), size, size)
    try:
        renderer = _C.TexturedMesh(
            np.ascontiguousarray(mesh.vertices),
            np.ascontiguousarray(mesh.faces),
            np.ascontiguousarray(mesh.uv),
            [np.ascontiguousarray(texture) for texture in mesh.textures],
            np.ascontiguousarray(_face_texture(mesh)),
        )
        rgb, alpha, depth = (np.empty(s, np.float32) for s in ((*shape, 3), shape, shape))
        pixels = cameras.intrinsics * np.array([[size], [size], [1.0]])
        renderer.render(
            cameras.world_to_camera, pixels, size, size, supersample, rgb, alpha, depth, threads
        )
    except (TypeError, ValueError) as error:
        raise InputError(f"the mesh cannot be rendered: {error}") from error
    return rgb, alpha, depth


def render_object(
    mesh: Mesh,
    rng: np.random.Generator,
    size: int,
    *,
    supersample: int = 3,
    points: int = 20_000,
    threads: int = 1,
) -> PosedObject:
    """Render 38 views: 24 around from above, 12 on a level, one from the top, one from below.

    Args:
        mesh: In the unit cube, as `normalised` leaves it.
        rng: Draws the elevations, the distance and the points.
        size: Side of a view in pixels.
        supersample: Samples along each side of a pixel.
        points: How many samples of the surface are drawn; those that no view sees are dropped.
        threads: Views are shared out among them.
    """
    cameras = rig(mesh.vertices, rng)
    rgb, alpha, depth = render_mesh(mesh, cameras, size, supersample, threads)
    rgba = np.concatenate([rgb, alpha[..., None]], axis=-1)
    samples = surface_points(mesh.vertices, mesh.faces, points, rng)
    return PosedObject(
        (rgba * 255 + 0.5).astype(np.uint8),
        depth,
        cameras,
        samples[seen_points(samples, depth, cameras)],
    )


def _face_texture(mesh: Mesh) -> NDArray[np.int32]:
    assert mesh.face_texture is not None  # set by Mesh itself
    return mesh.face_texture
