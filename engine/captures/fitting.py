"""Where the object of a capture is, when its poses are in a frame of their own."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.silhouettes import INSIDE, Silhouette, carve, grid, has_mask, make_silhouette
from geolrm.engine.similarity import make_similarity, turning

FILL = 0.95  # of the cube's side, for the object's longest one
RESOLUTION = 64  # voxels along an axis when masks carve
MASK_SIDE = 256  # px
NEAR = 0.6  # of the cameras' median distance: points beyond are background
SHOWN = 0.8  # of the views, what of the hull counts as the object
FEWEST_POINTS = 10
COVERED = 0.7  # of the hull's longest side, by points that are to stand for the object
TRIM = 1.0  # percent of the points at either end of an axis, taken for outliers
LEAST_UPRIGHT = 0.2  # length of the cameras' mean up vector; below it there is no common up

Box = tuple[NDArray[np.float64], NDArray[np.float64]]  # lowest and highest corner, [3] each


def fit_to_cube(
    images: Sequence[NDArray[np.uint8]],
    c2w: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    points: NDArray[np.float64],
    where: str,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The similarity [4, 4] that takes the object cube to the frame of the poses, and how it came.

    z is the cameras' mean up. Where every image has a mask, centre and size are those of the points
    inside all masks, or of the masks' visual hull; otherwise of the points near to where the
    cameras look.

    Args:
        images: V of [H, W, 3|4].
        c2w: [V, 4, 4] OpenGL camera-to-world.
        intrinsics: [V, 3, 3], divided by the image size.
        points: [P, 3] on the surface, in the frame of the poses.
        where: The model's path, for the error.

    Raises:
        InputError: Neither masks nor points tell where the object is.
    """
    notes = []
    up = c2w[:, :3, 1].mean(axis=0)
    length = float(np.linalg.norm(up))
    if length >= LEAST_UPRIGHT:
        upright = turning(up / length, np.array([0.0, 0.0, 1.0]))
        notes.append("z is the cameras' mean up")
    else:
        upright = np.eye(3)
        notes.append("the cameras have no common up; z was kept as it is")
    turned = np.tile(np.eye(4), (len(c2w), 1, 1))
    turned[:, :3] = upright @ c2w[:, :3]
    box, basis = None, "the points"
    if all(has_mask(image) for image in images):
        box, basis = _box_of_masks(images, turned, intrinsics, points @ upright.T)
        if box is None:
            notes.append("the masks agree on no object; the points were used instead")
    if box is None:
        box = _box_of_points(points @ upright.T, turned, where)
    low, high = box
    side = float((high - low).max()) / FILL
    matrix = make_similarity(side, upright.T, upright.T @ ((low + high) / 2))
    centre = ", ".join(f"{value:.3g}" for value in matrix[:3, 3])
    notes.append(
        f"the object was centred from ({centre}) and scaled by {1 / side:.3g}, from {basis}"
    )
    return matrix, tuple(notes)


def nearest_to_rays(
    origins: NDArray[np.float64], directions: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The point with the least squared distance to all lines, None if they are parallel."""
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    normal = across.sum(axis=0)
    if np.linalg.cond(normal) > 1e6:
        return None
    return np.linalg.solve(normal, np.einsum("vij,vj->i", across, origins))


def _box_of_points(points: NDArray[np.float64], c2w: NDArray[np.float64], where: str) -> Box:
    origins = c2w[:, :3, 3]
    focus = nearest_to_rays(origins, -c2w[:, :3, 2])
    if focus is not None:
        reach = NEAR * float(np.median(np.linalg.norm(origins - focus, axis=1)))
        points = points[np.linalg.norm(points - focus, axis=1) <= reach]
    if len(points) < FEWEST_POINTS:
        raise InputError(
            f"{where} has {len(points)} points where its cameras look, too few to find the object "
            f"(at least {FEWEST_POINTS}); give images with alpha, or masks/ beside the images"
        )
    low, high = np.percentile(points, [TRIM, 100 - TRIM], axis=0)
    if (high - low).max() <= 0:
        raise InputError(
            f"{where} has all its points in one place; give images with alpha, or masks/ beside "
            "the images"
        )
    return low, high


def _box_of_masks(
    images: Sequence[NDArray[np.uint8]],
    c2w: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    points: NDArray[np.float64],
) -> tuple[Box | None, str]:
    """Corners of the points that the masks leave, or else of the visual hull, and which.

    Close cameras leave a hull that is larger than the object, so points come first where they
    cover most of it. There is no box when the masks agree on nothing.
    """
    views = [
        make_silhouette(image, pose, matrix, MASK_SIDE)
        for image, pose, matrix in zip(images, c2w, intrinsics, strict=True)
    ]
    hull = _hull_box(views, c2w[:, :3, 3])
    if hull is None:
        return None, "the points"
    inside, shown = carve(views, points)
    left = points[inside & (shown >= SHOWN * len(views))]
    if len(left) >= FEWEST_POINTS:
        low, high = np.percentile(left, [TRIM, 100 - TRIM], axis=0)
        if (high - low).max() >= COVERED * (hull[1] - hull[0]).max():
            return (low, high), "the points inside all masks"
    return hull, "what the masks agree on"


def visual_hull(
    views: Sequence[Silhouette], origins: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float] | None:
    """Points [N, 3] of a grid that every mask leaves, and half the grid's step.

    Wherever the object is and however large; None where the masks agree on nothing.
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
        inside, shown = carve(views, points)
        hull, half = points[inside & (shown >= SHOWN * len(views))], radius / RESOLUTION
        if not len(hull):
            return None
        low, high = hull.min(axis=0) - half, hull.max(axis=0) + half
        centre, radius = (low + high) / 2, 0.55 * float((high - low).max())
    return hull, half


def _hull_box(views: Sequence[Silhouette], origins: NDArray[np.float64]) -> Box | None:
    found = visual_hull(views, origins)
    if found is None:
        return None
    hull, half = found
    return hull.min(axis=0) - half, hull.max(axis=0) + half


def _mask_box(view: Silhouette) -> tuple[float, float, float] | None:
    """Middle (x, y) and half the longer side of a mask's bounding box, in pixels."""
    rows, columns = np.nonzero(view.alpha >= INSIDE)
    if not len(rows):
        return None
    x, y = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
    return float(x), float(y), float(max(np.ptp(columns) + 1, np.ptp(rows) + 1) / 2)


def _ray(view: Silhouette, pixel: tuple[float, float]) -> NDArray[np.float64]:
    """[3] unit direction in the world through a pixel."""
    direction = view.w2c[:3, :3].T @ np.linalg.inv(view.intrinsics) @ np.array([*pixel, 1.0])
    return direction / np.linalg.norm(direction)
