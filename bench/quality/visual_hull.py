"""The baseline that a learned reconstruction must beat: a carved, coloured visual hull.

1. A grid of 64^3 voxels is carved: a voxel stays when its centre projects into the object's mask in
   every view that has it in the image. Masks are alpha, or what is not white where there is none.
2. The surface is what has one of its six neighbours outside the hull.
3. Each surface voxel is a Gaussian with a standard deviation of half a voxel.
4. The hull's own depth, rendered in every input view, decides which voxels that view sees: those no
   more than 1.5 voxels behind it. A voxel's colour is the mean over the views that see it, weighted
   by alpha; one that no view sees takes the mean of the 16 nearest that are seen.

Nothing of it is learned, and its footprint is not tuned: 0.4 voxels would give sharper images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.bench.quality.shape_metrics import occupied_voxels
from geolrm.engine.gaussians.gaussians import Gaussians
from geolrm.engine.geometry.cameras import Cameras
from geolrm.engine.rendering.cpu import render_frame
from geolrm.engine.rendering.frame import Frame, to_opencv
from geolrm.engine.rendering.model import splat_model
from geolrm.engine.views.silhouettes import Silhouette, carve, reduce_pixels

RESOLUTION = 64
FOOTPRINT = 0.5  # standard deviation of a Gaussian, in voxels
OPACITY = 0.99
OCCLUSION_SLACK = 1.5  # voxels behind the hull's depth
NEIGHBOURS = 16  # that colour a voxel which no view sees
VOXEL_PIXELS = 2  # larger images are reduced until a voxel is this wide
WHITE = 0.97
AXES = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


@dataclass(frozen=True, slots=True, eq=False)
class VisualHull:
    """The surface of a visual hull."""

    gaussians: Gaussians  # one for each surface voxel, at its centre
    resolution: int

    def occupied(self, grid: int) -> NDArray[np.bool_]:
        """Mark the voxels of another grid that the surface voxels reach into, [G, G, G]."""
        count = 2 * -(-grid // self.resolution)  # sub-voxels along an axis, finer than both grids
        offsets = ((np.arange(count) + 0.5) / count - 0.5) / self.resolution
        offsets = np.stack(np.meshgrid(offsets, offsets, offsets), axis=-1).reshape(-1, 1, 3)
        return occupied_voxels((self.gaussians.means + offsets).reshape(-1, 3), grid)


@dataclass(frozen=True, slots=True, eq=False)
class _View(Silhouette):
    colors: NDArray[np.float32]  # [H, W, 3], times alpha


def visual_hull(
    images: Sequence[NDArray[np.uint8]],
    cameras: Cameras,
    *,
    resolution: int = RESOLUTION,
    threads: int | None = None,
) -> VisualHull:
    """Carve and colour the visual hull of posed images.

    Args:
        images: V of [H, W, 3|4] uint8, straight alpha or on white.
        cameras: V cameras.
        resolution: Voxels along an axis of the object cube.
        threads: Of the rasterizer; None takes all cores.
    """
    views = [_make_view(image, cameras[[index]], resolution) for index, image in enumerate(images)]
    centres = _centres(_surface(_carve(views, resolution)))
    count = len(centres)
    shape = Gaussians(
        means=centres.astype(np.float32),
        opacities=np.full(count, OPACITY, np.float32),
        scales=np.full((count, 3), FOOTPRINT / resolution, np.float32),
        quats=np.tile(np.array([1, 0, 0, 0], np.float32), (count, 1)),
        colors=np.zeros((count, 3), np.float32),
    )
    if count:
        colors = _mean_colors(shape, views, OCCLUSION_SLACK / resolution, threads)
        shape = Gaussians(shape.means, shape.opacities, shape.scales, shape.quats, colors)
    return VisualHull(shape, resolution)


def _make_view(image: NDArray[np.uint8], camera: Cameras, resolution: int) -> _View:
    height, width = image.shape[:2]
    w2c, intrinsics = to_opencv(camera.c2w, camera.intrinsics, (width, height))
    distance = float(np.linalg.norm(camera.c2w[0, :3, 3]))
    voxel = intrinsics[0, 0, 0] / distance / resolution  # pixels
    factor = max(1, int(voxel / VOXEL_PIXELS))
    pixels = image.astype(np.float32) / 255
    if image.shape[2] == 4:
        alpha = pixels[..., 3:]
    else:
        alpha = (pixels.min(axis=-1, keepdims=True) < WHITE).astype(np.float32)
    pixels = reduce_pixels(np.concatenate([pixels[..., :3] * alpha, alpha], axis=-1), factor)
    scale = np.array([[1 / factor], [1 / factor], [1.0]])
    return _View(w2c[0], intrinsics[0] * scale, pixels[..., 3], pixels[..., :3])


def _carve(views: list[_View], resolution: int) -> NDArray[np.bool_]:
    """Mark voxels [R, R, R] that no view shows to be empty, and that some view shows at all."""
    points = _centres(np.ones((resolution,) * 3, np.bool_))
    inside, shown = carve(views, points)
    hull = inside & (shown > 0)
    return hull.reshape((resolution,) * 3)


def _surface(hull: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the voxels of a hull [R, R, R] with a neighbour outside of it."""
    padded = np.pad(hull, 1)
    inner = hull.copy()
    for axis in range(3):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
    return hull & ~inner


def _centres(voxels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the centres [N, 3] of the voxels that are set; R of them span the object cube."""
    return (np.argwhere(voxels) + 0.5) / len(voxels) - 0.5


def _mean_colors(
    shape: Gaussians, views: list[_View], slack: float, threads: int | None
) -> NDArray[np.float32]:
    """Average colours [N, 3] over the views that see a Gaussian.

    Args:
        shape: The hull.
        views: The input views.
        slack: How far behind the hull's depth a Gaussian is still seen.
        threads: Of the rasterizer.
    """
    totals, weights = np.zeros((len(shape), 3)), np.zeros(len(shape))
    for view in views:
        height, width = view.alpha.shape
        frame = Frame(view.w2c[None], view.intrinsics[None], (width, height))
        rendered = render_frame(splat_model(shape), frame, threads=threads)
        front = (rendered.depth / np.maximum(rendered.alpha, 1e-6)).ravel()
        pixel, depth = view.project(shape.means)
        seen = (pixel >= 0) & (depth <= front[pixel] + slack)
        totals[seen] += view.colors.reshape(-1, 3)[pixel[seen]]
        weights[seen] += view.alpha.ravel()[pixel[seen]]
    return _fill_unseen(shape.means, totals, weights).astype(np.float32)


def _fill_unseen(
    centres: NDArray, totals: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return weighted means [N, 3]; without weight, those of the nearest that have some."""
    from scipy.spatial import KDTree

    seen = weights > 0.1
    colors = np.full(totals.shape, 0.5)
    colors[seen] = totals[seen] / weights[seen, None]
    if seen.any() and not seen.all():
        count = min(NEIGHBOURS, int(seen.sum()))
        index = np.asarray(KDTree(centres[seen]).query(centres[~seen], k=count)[1])
        colors[~seen] = colors[seen][index.reshape(-1, count)].mean(axis=1)
    return colors
