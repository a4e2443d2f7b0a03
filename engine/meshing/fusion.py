"""Splats to a mesh: images with depth from all around, fused in a truncated distance field.

Each voxel near the splats holds the mean, over the cameras that see it, of how far in front of the
rendered surface it lies, cut off at a few voxels (Curless and Levoy 1996). The surface is where the
mean is zero. Needs the extra ``[mesh]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.errors import InputError
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.meshing.mesh import Mesh
from geolrm.engine.rendering.images import Renders
from geolrm.engine.rendering.render import render
from geolrm.engine.system.extras import require

DEFAULT_SIZE, SMALLEST_SIZE, LARGEST_SIZE = 128, 16, 512  # voxels along the longest side
DEFAULT_VIEWS, LARGEST_VIEWS = 48, 1000
PIXELS_A_VOXEL = 2.0
TRUNCATION = 3.0  # voxels
LEAST_ALPHA = 0.5  # pixels of less, of solid splats, are taken to see past the object
LEAST_VIEWS = 0.15  # share of the views that must know a voxel: glimpses through gaps do not count
EDGE_STEP, EDGE_WEIGHT = 2.0, 0.1  # pixels beside deeper ones by truncation lengths mix two depths
HIDDEN = -1.0  # distance, in truncation lengths, of what no view sees: it lies behind the surface
LEAST_COLOR = 1e-3  # views' worth of colour that a place must have
FAINT = 0.05  # splats of less opacity do not say where the object is
LAYERS = 4  # whose opacity a splat has when depth is asked for: see `solid`
FOV = 40.0  # degrees
LEAST_SHARE = 0.01  # of the area: smaller pieces are dust


@dataclass(slots=True)
class Field:
    """What the voxels [X, Y, Z] hold; only those near the splats are filled."""

    corner: NDArray[np.float64]  # [3], centre of voxel (0, 0, 0) in the object frame
    voxel: float  # side, in the object frame
    shape: tuple[int, int, int]
    near: NDArray[np.int64]  # [A] flat indices of the voxels near the splats
    distance: NDArray[np.float32]  # [A] sums over views, in truncation lengths
    weight: NDArray[np.float32]  # [A]
    known: NDArray[np.int32]  # [A] views that say something about a voxel
    color: NDArray[np.float32]  # [A, 3] sums over views
    color_weight: NDArray[np.float32]  # [A]

    @property
    def centres(self) -> NDArray[np.float32]:
        """[A, 3] in the object frame."""
        places = np.stack(np.unravel_index(self.near, self.shape), axis=1)
        return (self.corner + self.voxel * places).astype(np.float32)

    def dense(self, values: NDArray, empty: float) -> NDArray[np.float32]:
        """Spread values [A, ...] over all voxels, [X, Y, Z, ...]."""
        full = np.full((int(np.prod(self.shape)), *values.shape[1:]), empty, np.float32)
        full[self.near] = values
        return full.reshape(*self.shape, *values.shape[1:])


def fuse(
    gaussians: Gaussians,
    *,
    size: int = DEFAULT_SIZE,
    views: int = DEFAULT_VIEWS,
    threads: int | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Mesh:
    """Fuse splats to a triangle mesh, in their frame.

    Args:
        gaussians: Any scene whose surface can be seen from outside.
        size: Voxels along the longest side of its box.
        views: Images from directions spread evenly over the sphere.
        threads: Of the rasterizer; None takes all cores. It never changes the mesh.
        advance: Called after each view.

    Returns:
        The surface, without pieces of less than a hundredth of its area; without any triangle when
        nothing opaque is seen.

    Raises:
        InputError: A value is out of range.
        GeoLRMError: scikit-image is not installed.
    """
    check_setting(size, views)
    require_scikit_image()
    seen = gaussians.select(gaussians.opacities >= FAINT)
    if not len(seen):
        return _nothing()
    centre, side = _box(seen)
    unit = Gaussians(  # of side 1 about the origin, where the rasterizer's near plane is harmless
        means=(gaussians.means - centre) / side,
        opacities=gaussians.opacities,
        scales=gaussians.scales / side,
        quats=gaussians.quats,
        colors=gaussians.colors,
        sh=gaussians.sh,
    )
    field = empty_field(unit, size)
    cameras, pixels = cameras_around(unit, views, field.voxel)
    unit = replace(unit, opacities=solid(unit.opacities))
    images = Renders.empty(1, (pixels, pixels))
    for index in range(views):
        camera = cameras[[index]]
        render(unit, camera, (pixels, pixels), background=(0, 0, 0), threads=threads, out=images)
        integrate(field, images, camera)
        advance()
    mesh = largest_pieces(extract(field, views))
    vertices = (mesh.vertices * side + centre).astype(np.float32)
    return Mesh(vertices, mesh.faces, mesh.colors)


def solid(opacities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return opacities [N] raised to what four such layers stop together.

    Light passes the fuzzy front of a surface, so that the mean depth lies behind it; with few views
    more passes. Splats that stop more of it put the surface at the front. What is opaque stays as
    it is, and what is a sixth opaque counts as surface.
    """
    return (1 - (1 - opacities) ** LAYERS).astype(np.float32)


def check_setting(size: int, views: int) -> None:
    """Refuse numbers that :func:`fuse` does not take."""
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise InputError(f"size is {size}; it must be {SMALLEST_SIZE} to {LARGEST_SIZE} voxels")
    if not 4 <= views <= LARGEST_VIEWS:
        raise InputError(f"views is {views}; it must be 4 to {LARGEST_VIEWS}")


def require_scikit_image() -> None:
    """Refuse in one sentence when the extra is not installed."""
    require("scikit-image", "a mesh")


def _box(gaussians: Gaussians) -> tuple[NDArray[np.float32], np.float32]:
    """Centre [3] and longest side of the box around the centres, two deviations wider."""
    reach = 2 * gaussians.scales.max(axis=1, keepdims=True)
    low = (gaussians.means - reach).min(axis=0)
    high = (gaussians.means + reach).max(axis=0)
    side = (high - low).max()
    if not np.isfinite(side) or side <= 0:
        raise InputError(f"the splats span {side}; a mesh needs a finite extent")
    return (low + high) / 2, side


def empty_field(gaussians: Gaussians, size: int) -> Field:
    """Voxels around splats that lie in a cube of side 1 about the origin."""
    from scipy.ndimage import maximum_filter1d

    voxel = 1 / size
    seen = gaussians.opacities >= FAINT
    wide = float(np.quantile(gaussians.scales[seen].max(axis=1), 0.99))
    margin = int(np.ceil(TRUNCATION + 2 * wide / voxel)) + 1
    low = np.floor(gaussians.means[seen].min(axis=0) / voxel).astype(int) - margin
    high = np.ceil(gaussians.means[seen].max(axis=0) / voxel).astype(int) + margin
    shape = tuple(int(side) for side in high - low + 1)
    occupied = np.zeros(shape, np.bool_)
    occupied[tuple((np.rint(gaussians.means[seen] / voxel).astype(int) - low).T)] = True
    for axis in range(3):
        occupied = maximum_filter1d(occupied, 2 * margin + 1, axis=axis, mode="constant")
    x, y, z = np.ogrid[tuple(slice(a, a + n) for a, n in zip(low, shape, strict=True))]
    within: NDArray[np.bool_] = x * x + y * y + z * z <= (reach(gaussians) / voxel) ** 2
    near = np.flatnonzero(np.logical_and(occupied, within))
    count = len(near)
    zeros = np.zeros
    return Field(
        corner=low * voxel,
        voxel=voxel,
        shape=shape,  # pyright: ignore[reportArgumentType]
        near=near,
        distance=zeros(count, np.float32),
        weight=zeros(count, np.float32),
        known=zeros(count, np.int32),
        color=zeros((count, 3), np.float32),
        color_weight=zeros(count, np.float32),
    )


def reach(gaussians: Gaussians) -> float:
    """Radius about the origin that holds the unit object; every image shows all of it."""
    radius = float(np.linalg.norm(gaussians.means, axis=1).max() + 2 * gaussians.scales.max())
    return min(radius, 1.0)  # a cube of side 1 and the widest splats that matter


def cameras_around(gaussians: Gaussians, views: int, voxel: float) -> tuple[Cameras, int]:
    """Cameras all around the unit object, and the side of their images in pixels."""
    distance = reach(gaussians) / np.sin(np.deg2rad(FOV / 2))
    pixels = PIXELS_A_VOXEL * 2 * np.tan(np.deg2rad(FOV / 2)) * distance / voxel
    return Cameras.around(views, distance, FOV), int(np.ceil(pixels / 2) * 2)


def integrate(field: Field, images: Renders, camera: Cameras) -> None:
    """Add one image, rendered on black, to the sums of a field."""
    from scipy.ndimage import maximum_filter, minimum_filter

    side = images.alpha.shape[1]
    alpha = images.alpha[0].reshape(-1)
    covered = np.maximum(alpha, np.float32(1e-6))
    depth = images.depth[0].reshape(-1) / covered
    pose = camera.world_to_camera[0].astype(np.float32)  # OpenCV axes
    x, y, z = pose[:3, :3] @ field.centres.T + pose[:3, 3:]
    focal = np.float32(camera.intrinsics[0, 0, 0] * side)
    column = (x * (focal / z) + np.float32(side / 2)).astype(np.int32)
    row = (y * (focal / z) + np.float32(side / 2)).astype(np.int32)
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    pixel = np.where(inside, row * side + column, 0)
    length = np.float32(TRUNCATION * field.voxel)
    square = depth.reshape(side, side)
    step = (maximum_filter(square, 3) - minimum_filter(square, 3)).reshape(-1)
    trust = np.where(step > EDGE_STEP * length, np.float32(EDGE_WEIGHT), np.float32(1))
    opaque = alpha[pixel] >= LEAST_ALPHA
    ahead = np.where(opaque, (depth[pixel] - z) / length, 1)  # 1: nothing is there
    known = inside & (ahead > -1)  # further behind the surface nothing is known
    weight = known * np.where(opaque, trust[pixel], 1)
    field.distance += weight * np.minimum(ahead, 1)
    field.weight += weight
    field.known += known
    share = np.where(opaque, weight * (1 - np.abs(ahead)).clip(0), 0)
    rgb = images.rgb[0].reshape(-1, 3) / covered[:, None]
    field.color += share[:, None] * rgb[pixel]
    field.color_weight += share


def extract(field: Field, views: int) -> Mesh:
    """March the surface where the mean distance is zero; it closes around what no view sees."""
    from skimage.measure import marching_cubes  # pyright: ignore[reportMissingImports]

    seen = (field.weight > 0) & (field.known >= LEAST_VIEWS * views)
    if not (seen & (field.distance < 0)).any():
        return _nothing()
    mean = np.where(seen, field.distance / np.where(seen, field.weight, 1), HIDDEN)
    volume = _with_hollows(field, mean)
    volume = np.pad(volume, 1, constant_values=1)  # a surface at the border closes, too
    try:
        places, faces, _, _ = marching_cubes(
            volume, 0.0, gradient_direction="descent", allow_degenerate=False
        )
    except (RuntimeError, ValueError):  # no voxel is in front, or none behind
        return _nothing()
    places = places - 1
    weight = field.dense(field.color_weight, 0)
    colors = _interpolated(field.dense(field.color, 0), weight, places)
    vertices = (field.corner + field.voxel * places).astype(np.float32)
    return Mesh(vertices, faces.astype(np.uint32), colors)


def _with_hollows(field: Field, mean: NDArray) -> NDArray[np.float32]:
    """[X, Y, Z] of the mean distances [A]; where no splats are near it is outside, or a hollow."""
    from scipy.ndimage import label

    volume = field.dense(mean, np.nan)
    found: Any = label(np.isnan(volume))
    pieces, count = found
    walls = [np.take(pieces, side, axis) for axis in range(3) for side in (0, -1)]
    outside = np.zeros(count + 1, np.bool_)
    for wall in walls:
        outside[np.unique(wall)] = True
    return np.where(np.isnan(volume), np.where(outside[pieces], 1, HIDDEN), volume).astype(
        np.float32
    )


def _interpolated(sums: NDArray, weights: NDArray, places: NDArray) -> NDArray[np.float32]:
    """[P, 3] colours at places [P, 3] in voxels, from the eight voxels around.

    Where none of them has a colour, that of the nearest place which has one.
    """
    from scipy.spatial import KDTree

    low = np.floor(places).astype(int)
    part = places - low
    color, weight = np.zeros((len(places), 3)), np.zeros(len(places))
    for corner in np.ndindex(2, 2, 2):
        share = np.where(corner, part, 1 - part).prod(axis=1)
        index = tuple(np.clip(low + corner, 0, np.array(weights.shape) - 1).T)
        color += share[:, None] * sums[index]
        weight += share * weights[index]
    known = weight > LEAST_COLOR
    color[known] /= weight[known, None]
    if known.any() and not known.all():
        nearest = KDTree(places[known]).query(places[~known])[1]
        color[~known] = color[known][nearest]
    return color.clip(0, 1).astype(np.float32)


def largest_pieces(mesh: Mesh) -> Mesh:
    """Drop connected pieces of less than a hundredth of the mesh's area."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(mesh.faces):
        return mesh
    count = len(mesh.vertices)
    ends = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]]).astype(np.int64)
    graph = coo_matrix((np.ones(len(ends), np.bool_), ends.T), (count, count))
    piece = connected_components(graph, directed=False)[1][mesh.faces[:, 0]]
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.bincount(piece, np.linalg.norm(crosses, axis=1))
    faces = mesh.faces[areas[piece] >= LEAST_SHARE * areas.sum()]
    used, renamed = np.unique(faces, return_inverse=True)
    return Mesh(
        mesh.vertices[used],
        renamed.reshape(-1, 3).astype(np.uint32),
        mesh.colors[used],
    )


def _nothing() -> Mesh:
    empty = np.empty((0, 3), np.float32)
    return Mesh(empty, np.empty((0, 3), np.uint32), empty)
