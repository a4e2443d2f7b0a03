"""What a photograph shows of a surface: colours, and how far each of them is to be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm import _C
from geolrm.engine.geometry.cameras import Cameras

NEAR = 0.01  # in front of a camera; nothing nearer is looked at
ERODED = 0  # px beside what is not sound that are not believed either
RAMP = 2  # px over which belief then grows to all
STEP, STEP_PIXELS = 0.015, 3.0  # a bend of depth by more, in the object's units and in pixels' own
SLACK = 0.01  # a texel so far behind what the camera sees is still that
OPAQUE = 0.99  # of alpha: less is mixed with the background
GRAZING = 0.1  # cosine at which a texel is not believed any more


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """A photograph as a surface is looked up in it: everything of a pixel lies side by side."""

    pixels: NDArray[np.float32]  # [H * W, 5] red, green, blue in [0, 1]; belief; 1 / z of the mesh
    size: tuple[int, int]  # width, height
    world_to_camera: NDArray[np.float32]  # [4, 4], OpenCV axes
    centre: NDArray[np.float32]  # [3] of the camera
    intrinsics: NDArray[np.float32]  # [3, 3] in pixels

    def faces(self, points: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Tell which points [N] turn towards the camera."""
        return np.einsum("ij,ij->i", self.centre - points, normals) > 0

    def look(
        self,
        points: NDArray[np.float32],
        normals: NDArray[np.float32],
        slack: float = 0.0,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Look points up, by bilinear interpolation.

        Args:
            points: [N, 3] on the surface.
            normals: [N, 3], unit length, outwards.
            slack: How much further behind the surface a point may lie.

        Returns:
            Colours [N, 3], and weights [N]: 0 for what the camera does not see, else belief times
            the squared cosine of the angle of view.
        """
        width, height = self.size
        pose = self.world_to_camera
        x, y, z = pose[:3, :3] @ points.T + pose[:3, 3:]
        ahead = z > NEAR
        iz = np.where(ahead, 1 / np.where(ahead, z, 1), 0).astype(np.float32)
        x = x * iz * self.intrinsics[0, 0] + (self.intrinsics[0, 2] - np.float32(0.5))
        y = y * iz * self.intrinsics[1, 1] + (self.intrinsics[1, 2] - np.float32(0.5))
        inside = ahead & (x >= 0) & (y >= 0) & (x < width - 1) & (y < height - 1)
        left, top = np.where(inside, x, 0).astype(np.int32), np.where(inside, y, 0).astype(np.int32)
        right, below = (x - left)[:, None], (y - top)[:, None]
        first = top * width + left
        found = self.pixels[first] * ((1 - right) * (1 - below))
        found += self.pixels[first + 1] * (right * (1 - below))
        found += self.pixels[first + width] * ((1 - right) * below)
        found += self.pixels[first + width + 1] * (right * below)
        ray = self.centre - points
        facing = np.einsum("ij,ij->i", ray, normals) / np.linalg.norm(ray, axis=1)
        seen = (
            inside & (iz * (1 + np.float32(SLACK + slack) * iz) >= found[:, 4]) & (facing > GRAZING)
        )
        angle = ((facing - GRAZING) / (1 - GRAZING)).clip(0)
        return found[:, :3], np.where(seen, found[:, 3] * angle * angle, 0).astype(np.float32)


def make_sighting(
    rgb: NDArray[np.float32],
    alpha: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    camera: Cameras,
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
) -> Sighting:
    """Prepare one photograph: draw the surface's depth, and say which pixels are believed.

    Args:
        rgb: [H, W, 3] in [0, 1].
        alpha: [H, W] in [0, 1].
        valid: [H, W], False where nothing is known; None: all is.
        camera: Its camera.
        vertices: [P, 3] of the surface, in the frame of the camera.
        faces: [F, 3].
    """
    height, width = alpha.shape
    intrinsics = camera.intrinsics[0] * np.array([[width], [height], [1.0]])
    pose = camera.world_to_camera[0]
    iz = depth_of(vertices, faces, pose, intrinsics, (width, height))
    known = alpha >= OPAQUE
    if valid is not None:
        known = known & valid
    pixels = np.empty((height, width, 5), np.float32)
    pixels[..., :3] = rgb
    pixels[..., 3] = belief(known, iz, float(intrinsics[0, 0]))
    pixels[..., 4] = iz
    return Sighting(
        pixels.reshape(-1, 5),
        (width, height),
        pose.astype(np.float32),
        camera.c2w[0, :3, 3].astype(np.float32),
        intrinsics.astype(np.float32),
    )


def project(
    vertices: NDArray[np.float32], pose: NDArray[np.float64], intrinsics: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return x and y in pixels and 1 / z [P, 3] of vertices [P, 3]; 0 for what is too near.

    Args:
        vertices: In the frame of the camera.
        pose: [4, 4] world to camera, OpenCV axes.
        intrinsics: [3, 3] in pixels.
    """
    x, y, z = pose[:3, :3] @ vertices.T.astype(np.float64) + pose[:3, 3:]
    ahead = z > NEAR
    spots = np.zeros((len(vertices), 3))
    spots[ahead, 2] = 1 / z[ahead]
    spots[:, 0] = x * spots[:, 2] * intrinsics[0, 0] + intrinsics[0, 2]
    spots[:, 1] = y * spots[:, 2] * intrinsics[1, 1] + intrinsics[1, 2]
    return spots


def depth_of(
    vertices: NDArray[np.float32],
    faces: NDArray[np.int32],
    pose: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    size: tuple[int, int],
) -> NDArray[np.float32]:
    """Draw 1 / z [H, W] of what a camera sees of a surface at its pixels' centres; 0: nothing."""
    spots = project(vertices, pose, intrinsics)
    ids, iz = np.empty(size[::-1], np.int32), np.empty(size[::-1], np.float32)
    _C.visible_faces(spots, faces, *size, ids, iz)
    return iz


def belief(known: NDArray[np.bool_], iz: NDArray[np.float32], focal: float) -> NDArray[np.float32]:
    """Tell how far each pixel [H, W] shows the surface itself, in [0, 1].

    0 where the photograph or the surface has a border or a step of depth, where a slight error of
    either would mix in what lies behind; from there it grows over a few pixels, so that no view
    begins or ends abruptly on the surface.

    Args:
        known: [H, W] pixels that the photograph knows to be the object.
        iz: [H, W] 1 / z of the surface, 0 where there is none.
        focal: Focal length in pixels.
    """
    from scipy.ndimage import minimum_filter, uniform_filter

    sound = minimum_filter(known & (iz > 0) & ~_stepped(iz, focal), 2 * ERODED + 1, mode="nearest")
    share = uniform_filter(sound.astype(np.float32), 2 * RAMP + 1, mode="nearest")
    return np.where(sound, (2 * uniform_filter(share, 3) - 1).clip(0, 1), 0).astype(np.float32)


def _stepped(iz: NDArray[np.float32], focal: float) -> NDArray[np.bool_]:
    """Tell where depth bends [H, W] as it does where one thing hides another.

    1 / z is linear over the image of a plane, however it is turned, so that it does not count.
    """
    padded = np.pad(iz, 1, mode="edge")
    across = np.abs(padded[1:-1, :-2] + padded[1:-1, 2:] - 2 * iz)
    down = np.abs(padded[:-2, 1:-1] + padded[2:, 1:-1] - 2 * iz)
    z = 1 / np.maximum(iz, np.float32(1e-6))
    bend = np.maximum(across, down) * z * z
    return bend > np.maximum(STEP, STEP_PIXELS * z / focal)
