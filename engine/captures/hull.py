"""The visual hull: what posed masks leave of space, wherever their object is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.views.silhouettes import INSIDE, Silhouette, carve, grid

RESOLUTION = 64  # voxels along an axis
SHOWN = 0.8  # share of the views that must show a point of the hull


def visual_hull(
    views: Sequence[Silhouette], origins: NDArray[np.float64], tolerated: int = 0
) -> tuple[NDArray[np.float64], float] | None:
    """Find what every mask leaves of space, wherever the object is and however large.

    Args:
        views: The masks and their cameras.
        origins: [V, 3] where the cameras stand.
        tolerated: How many views may be wrong about a point.

    Returns:
        Points [N, 3] of a grid, and half the grid's step; None where the masks agree on nothing.
    """
    boxes = [box for view in views if (box := _mask_box(view)) is not None]
    if len(boxes) < len(views):
        return None
    rays = np.stack([_ray(view, box[:2]) for view, box in zip(views, boxes, strict=True)])
    centre = nearest_to_rays(origins, rays)
    if centre is None:
        return None
    distances = np.linalg.norm(origins - centre, axis=1)
    halves = [box[2] / view.intrinsics[0, 0] for view, box in zip(views, boxes, strict=True)]
    radius = 1.5 * float(np.max(distances * halves))
    hull, half = np.empty((0, 3)), 0.0
    for _ in range(2):  # the second time at the resolution of the object itself
        points = grid(centre, radius, RESOLUTION)
        inside, shown = carve(views, points, tolerated)
        hull, half = points[inside & (shown >= SHOWN * len(views))], radius / RESOLUTION
        if not len(hull):
            return None
        low, high = hull.min(axis=0) - half, hull.max(axis=0) + half
        centre, radius = (low + high) / 2, 0.55 * float((high - low).max())
    return hull, half


def nearest_to_rays(
    origins: NDArray[np.float64], directions: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Find the point [3] with the least squared distance to V lines; None if they are parallel."""
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    normal = across.sum(axis=0)
    if np.linalg.cond(normal) > 1e6:
        return None
    return np.linalg.solve(normal, np.einsum("vij,vj->i", across, origins))


def _mask_box(view: Silhouette) -> tuple[float, float, float] | None:
    """Bound a mask: middle (x, y) and half the longer side, in pixels; None if it is empty."""
    rows, columns = np.nonzero(view.alpha >= INSIDE)
    if not len(rows):
        return None
    x, y = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
    return float(x), float(y), float(max(np.ptp(columns) + 1, np.ptp(rows) + 1) / 2)


def _ray(view: Silhouette, pixel: tuple[float, float]) -> NDArray[np.float64]:
    """Return the unit direction [3], in the frame of the poses, through a pixel (x, y)."""
    direction = view.w2c[:3, :3].T @ np.linalg.inv(view.intrinsics) @ np.array([*pixel, 1.0])
    return direction / np.linalg.norm(direction)
