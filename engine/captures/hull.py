"""The visual hull: what posed masks leave of space, wherever their object is.

A view that shows the object whole says that there is none of it outside of its image; of one that
cuts it nothing is known there. So masks alone leave space without bounds where few views look, and
a place counts only where it is needed: among the places that could be what a pixel shows, those
that about as many views show as any of them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.captures.carving import Carver, VoxelCube
from geolrm.engine.views.silhouettes import (
    INSIDE,
    Silhouette,
    border_share,
    carve,
    explained,
    reduced,
)

RESOLUTION = 64  # voxels along an axis
SHOWN = 0.8  # share of whole views that show a voxel; of what shows the best of a pixel's ray
CUT = 0.005  # share of a border's pixels from which the image cuts the object
NEEDED = 0.5  # share of the views that show a voxel which must need it
FEWEST_VIEWS = 3  # that must show a voxel of the hull, where there are so many
RAY_SIDE = 48  # px, so that a pixel is not smaller than a voxel
GROWTH, MOST_GROWTHS = 1.5, 4  # of a grid whose hull leaves masks unexplained, and how often
ENOUGH = 0.02  # share of the masks that a larger grid must explain beyond a smaller one


def visual_hull(
    views: Sequence[Silhouette], origins: NDArray[np.float64], tolerated: int = 0
) -> tuple[NDArray[np.float64], float] | None:
    """Find what every mask leaves of space, wherever the object is and however large.

    Any image may cut the object, and all of them may.

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
    coarse = [reduced(view, RAY_SIDE) for view in views]
    whole = [view for view in views if border_share(view) < CUT]
    carver, best, hull, half = Carver(views), -1.0, np.empty((0, 3)), 0.0
    for _ in range(MOST_GROWTHS):
        found = _hull_in(carver, whole, coarse, VoxelCube(centre, radius, RESOLUTION), tolerated)
        share = float(np.mean([explained(view, found) for view in coarse]))
        if share > best + ENOUGH:
            best, hull, half = share, found, radius / RESOLUTION
        # Masks that images cut are smaller than the object, and then it does not fit the grid.
        if len(whole) == len(views) or best > 1 - ENOUGH or radius >= distances.max():
            break
        radius *= GROWTH
    if not len(hull):
        return None
    low, high = hull.min(axis=0) - half, hull.max(axis=0) + half
    centre, radius = (low + high) / 2, 0.55 * float((high - low).max())
    # Once more, at the resolution of the object itself.
    cube = VoxelCube(centre, radius, RESOLUTION)
    hull = _hull_in(carver, whole, coarse, cube, tolerated)
    return (hull, cube.half_step) if len(hull) else None


def _hull_in(
    carver: Carver,
    whole: Sequence[Silhouette],
    coarse: Sequence[Silhouette],
    cube: VoxelCube,
    tolerated: int,
) -> NDArray[np.float64]:
    """Return those voxels of a cube, by their centres [N, 3], that masks leave and need.

    Args:
        carver: All the views.
        whole: Those that show the object whole.
        coarse: All of them, small.
        cube: The voxels.
        tolerated: How many views may be wrong about a point.
    """
    views = carver.views
    kept, shown = carver.carve(cube, tolerated)
    if len(whole) == len(views):
        return kept[shown >= SHOWN * len(views)]
    enough = shown >= min(FEWEST_VIEWS, len(views))
    kept, shown = kept[enough], shown[enough]
    bounded = carve(whole, kept, len(whole))[1] >= SHOWN * len(whole)
    kept, shown = kept[bounded], shown[bounded]
    needed = np.zeros(len(kept))  # views
    for view in coarse:
        pixel, _ = view.project(kept)
        on = (pixel >= 0) & (view.alpha.ravel()[pixel] >= INSIDE)
        best = np.zeros(view.alpha.size)
        np.maximum.at(best, pixel[on], shown[on])
        needed[on] += shown[on] >= SHOWN * best[pixel[on]]
    return kept[needed >= NEEDED * shown]


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
    solid = view.alpha >= INSIDE
    rows, columns = (np.flatnonzero(solid.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    x, y = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
    return float(x), float(y), float(max(np.ptp(columns) + 1, np.ptp(rows) + 1) / 2)


def _ray(view: Silhouette, pixel: tuple[float, float]) -> NDArray[np.float64]:
    """Return the unit direction [3], in the frame of the poses, through a pixel (x, y)."""
    direction = view.w2c[:3, :3].T @ np.linalg.inv(view.intrinsics) @ np.array([*pixel, 1.0])
    return direction / np.linalg.norm(direction)
