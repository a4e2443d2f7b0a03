"""Cameras around objects, and what they see of them."""

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras

FOV = 50.0  # degrees, of the cameras that `rig` places
DISTANCES = (1.7, 1.9)  # cube sides
MARGIN = 0.96  # share of the image that an object may span
VISIBLE_TOLERANCE = 0.01  # cube sides between a point and the surface seen in its place
OUTSIDE = 0.02  # share of back-projected points that may lie outside the unit cube


def rig(vertices: NDArray[np.float32], rng: np.random.Generator) -> Cameras:
    """Place 38 cameras that look at the origin, all from one distance.

    The distance is drawn from DISTANCES; where a vertex [P, 3] would leave the central MARGIN of
    a view, it grows until none does.
    """
    up, level = rng.uniform(5, 30), rng.uniform(-5, 5)
    azimuths = [np.arange(24) * 15.0, np.arange(12) * 30.0, [-90.0, 90.0]]
    elevations = [np.full(24, up), np.full(12, level), [90.0, -90.0]]
    around = Cameras.orbit(np.concatenate(azimuths), np.concatenate(elevations), 1.0, FOV)
    c2w = around.c2w.copy()
    c2w[:, :3, 3] *= max(rng.uniform(*DISTANCES), least_distance(c2w, vertices, FOV))
    return Cameras(c2w, around.intrinsics)


def least_distance(c2w: NDArray[np.float64], vertices: NDArray[np.float32], fov: float) -> float:
    """Return how far cameras [V, 4, 4] that look at the origin must stand to see all vertices.

    No vertex [P, 3] leaves the central MARGIN of a view of ``fov`` degrees.
    """
    right, above, backward = np.moveaxis(c2w[:, :3, :3], 2, 0) @ vertices.T  # [V, P]
    widest = MARGIN * np.tan(np.deg2rad(fov / 2))
    return float((np.maximum(np.abs(right), np.abs(above)) / widest + backward).max())


def seen_points(
    points: NDArray[np.float32], depth: NDArray[np.float32], cameras: Cameras
) -> NDArray[np.bool_]:
    """Tell [P] whether some view sees a point [P, 3], at most VISIBLE_TOLERANCE behind its depth.

    ``depth`` is [V, S, S], 0 where there is nothing; a point between surfaces is compared with
    the pixel it falls into.
    """
    size = depth.shape[1]
    seen = np.zeros(len(points), bool)
    for view, k, plane in zip(cameras.world_to_camera, cameras.intrinsics, depth, strict=True):
        x, y, z = view[:3, :3] @ points.T + view[:3, 3:]
        ahead = np.where(z > 0, z, np.inf)
        places = (k[:2, :2] @ [x / ahead, y / ahead] + k[:2, 2:]) * size
        column, row = np.floor(places).astype(int)
        inside = (z > 0) & (np.minimum(column, row) >= 0) & (np.maximum(column, row) < size)
        seen[inside] |= z[inside] < plane[row[inside], column[inside]] + VISIBLE_TOLERANCE
    return seen


def back_project(depth: NDArray[np.float32], cameras: Cameras) -> NDArray[np.float32]:
    """Return the points [N, 3] of all pixels of depth [V, H, W] above 0, view by view."""
    height, width = depth.shape[1:]
    points = []
    for plane, c2w, k in zip(depth, cameras.c2w, cameras.intrinsics, strict=True):
        row, column = np.nonzero(plane)
        z = plane[row, column].astype(np.float64)
        x = ((column + 0.5) / width - k[0, 2]) / k[0, 0]
        y = ((row + 0.5) / height - k[1, 2]) / k[1, 1]
        points.append(np.stack([x * z, -y * z, -z], -1) @ c2w[:3, :3].T + c2w[:3, 3])
    return np.concatenate(points).astype(np.float32)


def points_of_depth(
    depth: NDArray[np.float32], cameras: Cameras, count: int, where: str
) -> NDArray[np.float32]:
    """Return at most ``count`` back-projected points, spread evenly over the pixels of all views.

    Raises:
        InputError: There are none, or more than OUTSIDE of them lie outside the unit cube.
    """
    points = back_project(depth, cameras)
    if not len(points):
        raise InputError(f"{where}: no depth map shows anything; give depth above 0 on the object")
    outside = (np.abs(points) > 0.5 + VISIBLE_TOLERANCE).any(1).mean()
    if outside > OUTSIDE:
        raise InputError(
            f"{where}: {outside:.0%} of the depth lies outside the cube [-0.5, 0.5]^3, more than "
            f"{OUTSIDE:.0%}; depth must be along the optical axis, in the units of the poses"
        )
    chosen = np.linspace(0, len(points) - 1, min(count, len(points))).astype(np.int64)
    return points[chosen]
