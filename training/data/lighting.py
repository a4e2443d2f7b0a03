"""Light on rendered views: a lamp that stands still, and a flash that moves with the camera."""

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.geometry.cameras import Cameras

AMBIENT = (0.35, 0.8)  # share of the light that comes from everywhere
HIGHLIGHT = (0.0, 0.5)  # strength of a flash's reflection, white
GLOSS = (8.0, 60.0)  # exponent of the reflection


def normals_of_depth(
    depth: NDArray[np.float32], cameras: Cameras
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit normals and unit directions to the camera [V, S, S, 3], both in the object frame.

    Normals are those of the surface through neighbouring pixels, turned to the camera; where depth
    [V, S, S] is 0, they point to the camera.
    """
    views, size = depth.shape[:2]
    place = (np.arange(size) + 0.5) / size
    normals = np.empty((views, size, size, 3), np.float32)
    toward = np.empty_like(normals)
    for view, (plane, c2w, k) in enumerate(
        zip(depth, cameras.c2w, cameras.intrinsics, strict=True)
    ):
        x = np.broadcast_to((place - k[0, 2]) / k[0, 0], (size, size))
        y = np.broadcast_to(((place - k[1, 2]) / k[1, 1])[:, None], (size, size))
        rays = np.stack([x, -y, -np.ones_like(x)], axis=-1)
        points = rays * plane[..., None]
        toward[view] = -rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        normals[view] = _facing(points, plane > 0, toward[view])
        normals[view] = normals[view] @ c2w[:3, :3].T
        toward[view] = toward[view] @ c2w[:3, :3].T
    return normals, toward


def _facing(
    points: NDArray[np.float64], known: NDArray[np.bool_], toward: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return normals [S, S, 3] of points [S, S, 3], from the nearer neighbour on each axis."""
    steps = []
    for axis in (1, 0):
        ahead = np.roll(points, -1, axis) - points
        behind = points - np.roll(points, 1, axis)
        lengths = []
        for step, other in ((ahead, np.roll(known, -1, axis)), (behind, np.roll(known, 1, axis))):
            lengths.append(np.where(other, np.linalg.norm(step, axis=-1), np.inf))
        steps.append(np.where((lengths[0] <= lengths[1])[..., None], ahead, behind))
        known = known & np.isfinite(np.minimum(*lengths))
    normals = np.cross(steps[0], steps[1])
    lengths = np.linalg.norm(normals, axis=-1, keepdims=True)
    normals = normals / np.maximum(lengths, 1e-12)
    normals *= np.sign((normals * toward).sum(-1, keepdims=True))
    sound = known & (lengths[..., 0] > 1e-12)
    return np.where(sound[..., None], normals, toward).astype(np.float32)


class StillLamp:
    """A distant lamp at a random place above the object, and light from everywhere."""

    def __init__(self, rng: np.random.Generator):
        height, heading = rng.uniform(0.2, 1.0), rng.uniform(0, 2 * np.pi)
        level = np.sqrt(1 - height**2)
        self.direction = np.array([level * np.cos(heading), level * np.sin(heading), height])
        self.ambient = float(rng.uniform(*AMBIENT))

    def shade(self, normals: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the light [..., 1] that falls on normals [..., 3]."""
        lit = np.maximum(normals @ self.direction.astype(np.float32), 0)
        light = self.ambient + (1 - self.ambient) * lit
        return light[..., None].astype(np.float32)


class Flash:
    """A lamp at the camera, with highlights, and light from everywhere."""

    def __init__(self, rng: np.random.Generator):
        self.ambient = float(rng.uniform(*AMBIENT))
        self.highlight, self.gloss = float(rng.uniform(*HIGHLIGHT)), float(rng.uniform(*GLOSS))

    def shade(
        self, normals: NDArray[np.float32], toward: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the light [..., 1] and the white reflection [..., 1], of unit directions."""
        facing = np.maximum((normals * toward).sum(-1, keepdims=True), 0)
        return self.ambient + (1 - self.ambient) * facing, self.highlight * facing**self.gloss
