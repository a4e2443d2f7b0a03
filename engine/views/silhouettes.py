"""Masks of posed images, and what is left of space when every mask has carved it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.engine.views.alpha import alpha_from_background, alpha_from_white, find_background

INSIDE = 0.5  # alpha from which a pixel shows the object


@dataclass(frozen=True, slots=True, eq=False)
class Silhouette:
    """One view's alpha, and its camera in OpenCV axes."""

    w2c: NDArray[np.float64]  # [4, 4]
    intrinsics: NDArray[np.float64]  # [3, 3], in pixels of alpha
    alpha: NDArray[np.float32]  # [H, W]

    def project(self, points: NDArray) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the pixels [N], row by row, that points [N, 3] fall on, -1 outside; and depths."""
        height, width = self.alpha.shape
        matrix = self.intrinsics @ self.w2c[:3]
        # Not a matrix product: threads cost more than they bring in one so thin.
        x, y, depth = np.einsum("ij,nj->in", matrix[:, :3], points) + matrix[:, 3:]
        ahead = np.maximum(depth, 1e-6)
        column, row = (
            np.floor((along / ahead).clip(-1, side)).astype(np.int64)
            for along, side in ((x, width), (y, height))
        )
        inside = (column >= 0) & (row >= 0) & (column < width) & (row < height) & (depth > 0)
        return np.where(inside, row * width + column, -1), depth


def carve(
    silhouettes: Sequence[Silhouette], points: NDArray[np.float64], tolerated: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Keep the points that no view shows to be empty.

    Args:
        silhouettes: The views.
        points: [N, 3], in the frame of the poses.
        tolerated: How many views may be wrong about a point.

    Returns:
        Whether each point [N] is kept, and how many views have it in their image [N]; that count
        is complete only for points that are kept.
    """
    kept, shown = np.arange(len(points)), np.zeros(len(points), np.int64)
    empty = np.zeros(len(points), np.int64)
    for view in silhouettes:
        pixel, _ = view.project(points[kept])
        shown[kept] += pixel >= 0
        empty[kept] += (pixel >= 0) & (view.alpha.ravel()[pixel] < INSIDE)
        kept = kept[empty[kept] <= tolerated]
    inside = np.zeros(len(points), np.bool_)
    inside[kept] = True
    return inside, shown


def reduce_pixels(pixels: NDArray, factor: int) -> NDArray[np.float32]:
    """Average [H, W, C] over squares of ``factor`` pixels; beyond the border there are zeros."""
    height, width, channels = pixels.shape
    padded = np.pad(pixels, ((0, -height % factor), (0, -width % factor), (0, 0)))
    squares = padded.reshape(-(-height // factor), factor, -(-width // factor), factor, channels)
    return squares.mean(axis=(1, 3))


def make_silhouette(
    image: NDArray[np.uint8],
    c2w: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    longest_side: int,
) -> Silhouette:
    """Make the silhouette of a posed image, reduced to at most ``longest_side`` pixels.

    Args:
        image: [H, W, 3|4]; without alpha, the border's colour is background where it reaches it.
        c2w: [4, 4] OpenGL camera-to-world.
        intrinsics: [3, 3], divided by the image size.
        longest_side: Of the silhouette, in pixels.
    """
    height, width = image.shape[:2]
    factor = -(-max(height, width) // longest_side)
    small = reduce_pixels(image, factor) / np.float32(255)
    if small.shape[2] == 4:
        alpha = small[..., 3]
    elif (background := find_background(image)) is not None:
        alpha = alpha_from_background(small, background)
    else:
        alpha = alpha_from_white(small)
    scale = np.array([[width / factor], [height / factor], [1.0]])
    return Silhouette(np.linalg.inv(c2w @ FLIP_YZ).astype(np.float64), intrinsics * scale, alpha)


def reduced(view: Silhouette, longest_side: int) -> Silhouette:
    """Reduce a silhouette to at most ``longest_side`` pixels, after its mask was found."""
    factor = max(-(-max(view.alpha.shape) // longest_side), 1)
    alpha = reduce_pixels(view.alpha[..., None], factor)[..., 0]
    scale = np.array([[1 / factor], [1 / factor], [1.0]])
    return Silhouette(view.w2c, view.intrinsics * scale, alpha)


def explained(view: Silhouette, hull: NDArray[np.float64]) -> float:
    """Return the share of a mask that a hull [N, 3] covers; 1 for an empty mask.

    The mask's pixels must not be smaller than the hull's voxels, or gaps between them count.
    """
    solid = view.alpha.ravel() > 0.9
    pixel, _ = view.project(hull)
    covered = np.zeros(len(solid), np.bool_)
    covered[pixel[pixel >= 0]] = True
    return float(covered[solid].mean()) if solid.any() else 1.0


def has_mask(image: NDArray[np.uint8]) -> bool:
    """Tell whether alpha, or else a border of one colour, separates the object from the rest."""
    if image.shape[2] == 4:
        return bool((image[..., 3] < 128).any())
    return find_background(image) is not None


def grid(centre: NDArray[np.float64], radius: float, resolution: int) -> NDArray[np.float64]:
    """Return the centres [R^3, 3] of a cube's voxels, x slowest; ``radius`` is half its side."""
    axis = ((np.arange(resolution) + 0.5) / resolution * 2 - 1) * radius
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3) + centre
