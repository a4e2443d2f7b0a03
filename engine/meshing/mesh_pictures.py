"""Pictures of meshes, unlit: what a program shows of a file, to compare with photographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.meshing.sightings import project
from geolrm.engine.meshing.textured_mesh import TexturedMesh

SAMPLES = 3  # along each side of a pixel


@dataclass(frozen=True, slots=True, eq=False)
class MeshPictures:
    """V pictures of W x H pixels."""

    rgb: NDArray[np.float32]  # [V, H, W, 3] sRGB in [0, 1], straight; 0 where alpha is 0
    alpha: NDArray[np.float32]  # [V, H, W] share of the samples that the mesh covers


def picture_textured(
    mesh: TexturedMesh, cameras: Cameras, size: tuple[int, int], *, threads: int = 1
) -> MeshPictures:
    """Show a textured mesh in cameras, with trilinear lookups, ``size`` (width, height) pixels."""
    width, height = size
    surface = _C.TexturedMesh(
        mesh.vertices,
        mesh.faces.astype(np.int32),
        mesh.uv,
        [mesh.texture],
        np.zeros(len(mesh.faces), np.int32),
    )
    shape = (len(cameras), height, width)
    rgb, alpha, depth = (np.empty(s, np.float32) for s in ((*shape, 3), shape, shape))
    intrinsics = cameras.intrinsics * np.array([[width], [height], [1.0]])
    surface.render(
        cameras.world_to_camera, intrinsics, width, height, SAMPLES, rgb, alpha, depth, threads
    )
    return MeshPictures(rgb, alpha)


def picture_colored(mesh: Mesh, cameras: Cameras, size: tuple[int, int]) -> MeshPictures:
    """Show a mesh in the colours of its vertices, at the same samples of each pixel."""
    width, height = size[0] * SAMPLES, size[1] * SAMPLES
    faces = mesh.faces.astype(np.int32)
    rgb, alpha = [], []
    ids, iz = np.empty((height, width), np.int32), np.empty((height, width), np.float32)
    for pose, matrix in zip(cameras.world_to_camera, cameras.intrinsics, strict=True):
        spots = project(mesh.vertices, pose, matrix * np.array([[width], [height], [1.0]]))
        _C.visible_faces(spots, faces, width, height, ids, iz)
        row, column = np.nonzero(ids >= 0)
        centres = np.stack([column, row], axis=1).astype(np.float64) + 0.5
        shares = _shares(spots, faces[ids[row, column]], centres)
        colors = np.zeros((height, width, 4), np.float32)
        found = mesh.colors[faces[ids[row, column]]]
        colors[row, column, :3] = np.einsum("nk,nkc->nc", shares, found)
        colors[row, column, 3] = 1
        blocks = colors.reshape(size[1], SAMPLES, size[0], SAMPLES, 4).mean(axis=(1, 3))
        alpha.append(blocks[..., 3])
        rgb.append(blocks[..., :3] / np.maximum(blocks[..., 3:], 1e-6))
    return MeshPictures(np.stack(rgb), np.stack(alpha))


def _shares(
    spots: NDArray[np.float64], corners: NDArray[np.int32], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the perspective barycentric shares [N, 3] of corners at pixels [N, 2]."""
    a, b, c = (spots[corners[:, k]] for k in range(3))
    ab, ac, to = b[:, :2] - a[:, :2], c[:, :2] - a[:, :2], at - a[:, :2]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    second = (to[:, 0] * ac[:, 1] - to[:, 1] * ac[:, 0]) / area
    third = (ab[:, 0] * to[:, 1] - ab[:, 1] * to[:, 0]) / area
    shares = np.stack([1 - second - third, second, third], axis=1).clip(0, 1)
    shares *= np.stack([a[:, 2], b[:, 2], c[:, 2]], axis=1)
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-12)
