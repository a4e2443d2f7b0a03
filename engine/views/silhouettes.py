"""Masks of posed images, and what is left of space when every mask has carved it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.engine.views.alpha import alpha_from_background, alpha_from_white, find_background

INSIDE = 0.5  # alpha from which a pixel shows the object
AHEAD = 1e-6  # least depth that is divided by


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """What of an image is the object, at a smaller size."""

    alpha: NDArray[np.float32]  # [H, W]
    size: tuple[float, float]  # width and height of the image in pixels of alpha, maybe broken
    valid: NDArray[np.bool_] | None = None  # [H, W], where alpha is known; None: everywhere


@dataclass(frozen=True, slots=True, eq=False)
class Silhouette:
    """One view's alpha, and its camera in OpenCV axes. Outside of it nothing is known."""

    w2c: NDArray[np.float64]  # [4, 4]
    intrinsics: NDArray[np.float64]  # [3, 3], in pixels of alpha
    alpha: NDArray[np.float32]  # [H, W]
    # [H, W], where alpha is known; None: everywhere
    valid: NDArray[np.bool_] | None = field(default=None, kw_only=True)
    # by their longest side: what :func:`reduced` has made of it
    smaller: dict[int, "Silhouette"] = field(default_factory=dict, init=False, repr=False)

    def project(self, points: NDArray) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the pixels [N], row by row, that points [N, 3] fall on, and their depths.

        The pixel is -1 outside of the image, and where nothing is known.
        """
        height, width = self.alpha.shape
        # Not a matrix product: threads cost more than they bring in one so thin.
        column, row, depth = (_dot(factors, points.T) for factors in self.intrinsics @ self.w2c[:3])
        with np.errstate(over="ignore", invalid="ignore"):  # far outside
            ahead = np.maximum(depth, AHEAD)
            for along in (column, row):
                along /= ahead
                np.floor(along, out=along)
            inside = (column >= 0) & (row >= 0) & (column < width) & (row < height) & (depth > 0)
            row *= width
            row += column
        pixel = np.where(inside, row, -1.0).astype(np.int64)
        if self.valid is not None:
            pixel[~self.valid.ravel()[pixel]] = -1
        return pixel, depth


def _dot(factors: NDArray[np.float64], axes: NDArray) -> NDArray[np.float64]:
    """Return one coordinate [N] of points, given along their axes [3, N]."""
    total = factors[0] * axes[0]
    total += factors[1] * axes[1]
    total += factors[2] * axes[2]
    total += factors[3]
    return total


def carve(
    silhouettes: Sequence[Silhouette], points: NDArray[np.float64], tolerated: int = 0
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Keep the points that no view shows to be empty.

    Args:
        silhouettes: The views.
        points: [N, 3], in the frame of the poses.
        tolerated: How many views may be wrong about a point.

    Returns:
        Whether each point [N] is kept, and how many views show what is there [N]; that count is
        complete only for points that are kept.
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


def reduce_pixels(
    pixels: NDArray, factor: int, valid: NDArray[np.bool_] | None = None
) -> NDArray[np.floating]:
    """Average [H, W, C] over squares of ``factor`` pixels: those that there are, and are valid.

    Args:
        pixels: The image.
        factor: Side of a square; at the right and at the bottom less may be left.
        valid: [H, W], False where nothing is known; None: all of it is. A square without any such
            pixel is 0.
    """
    height, width = pixels.shape[:2]
    whole = height % factor == 0 and width % factor == 0
    if factor == 1 and valid is None:
        return pixels.astype(np.float64 if pixels.dtype == np.uint8 else pixels.dtype)
    if whole and valid is None:
        return _squares(pixels, factor).mean(axis=(1, 3))
    if valid is None:
        starts = [np.arange(0, side, factor) for side in (height, width)]
        rows = np.add.reduceat(pixels, starts[0], axis=0, dtype=np.float64)
        total = np.add.reduceat(rows, starts[1], axis=1)
        down, across = (
            np.minimum(factor, side - start)
            for side, start in zip((height, width), starts, strict=True)
        )
        return (total / (down[:, None] * across)[..., None]).astype(np.float32)
    known = valid[..., None].astype(np.float64)
    total, count = (_squares(array, factor).sum(axis=(1, 3)) for array in (pixels * known, known))
    return (total / np.maximum(count, 1)).astype(np.float32)


def reduce_valid(valid: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """Reduce [H, W] as :func:`reduce_pixels` does: a square is valid where half of it is."""
    return _squares(valid[..., None], factor).mean(axis=(1, 3))[..., 0] >= INSIDE


def _squares(pixels: NDArray, factor: int) -> NDArray:
    """Cut [H, W, C] into squares [H / f, f, W / f, f, C], filled up with zeros."""
    height, width, channels = pixels.shape
    padded = pixels
    if height % factor or width % factor:
        padded = np.pad(pixels, ((0, -height % factor), (0, -width % factor), (0, 0)))
    return padded.reshape(-(-height // factor), factor, -(-width // factor), factor, channels)


def make_silhouette(
    image: NDArray[np.uint8],
    c2w: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    longest_side: int,
    valid: NDArray[np.bool_] | None = None,
) -> Silhouette:
    """Make the silhouette of a posed image, reduced to at most ``longest_side`` pixels.

    Args:
        image: [H, W, 3|4]; without alpha, the border's colour is background where it reaches it.
        c2w: [4, 4] OpenGL camera-to-world.
        intrinsics: [3, 3], divided by the image size.
        longest_side: Of the silhouette, in pixels.
        valid: [H, W], False where nothing is known of the image; None: all of it is.
    """
    return posed(make_outline(image, longest_side, valid), c2w, intrinsics)


def make_outline(
    image: NDArray[np.uint8], longest_side: int, valid: NDArray[np.bool_] | None = None
) -> Outline:
    """Make the outline of an image; arguments as :func:`make_silhouette`."""
    height, width = image.shape[:2]
    factor = -(-max(height, width) // longest_side)
    masked = image.shape[2] == 4
    background = None if masked else find_background(image)
    small = reduce_pixels(image[..., 3:] if masked else image, factor, valid) / np.float32(255)
    if valid is not None:
        valid = reduce_valid(valid, factor)
        small[~valid] = 0 if masked else 1  # what is unknown is no object
    if masked:
        alpha = small[..., 0].astype(np.float32)
    elif background is not None:
        alpha = alpha_from_background(small, background)
    else:
        alpha = alpha_from_white(small)
    if valid is not None:
        alpha = alpha * valid
    return Outline(alpha, (width / factor, height / factor), valid)


def posed(
    outline: Outline, c2w: NDArray[np.float64], intrinsics: NDArray[np.float64]
) -> Silhouette:
    """Give an outline its camera; arguments as :func:`make_silhouette`."""
    width, height = outline.size
    w2c = np.linalg.inv(c2w @ FLIP_YZ).astype(np.float64)
    scale = np.array([[width], [height], [1.0]])
    return Silhouette(w2c, intrinsics * scale, outline.alpha, valid=outline.valid)


def reduced(view: Silhouette, longest_side: int) -> Silhouette:
    """Reduce a silhouette to at most ``longest_side`` pixels, after its mask was found."""
    if longest_side not in view.smaller:
        factor = max(-(-max(view.alpha.shape) // longest_side), 1)
        alpha = reduce_pixels(view.alpha[..., None], factor, view.valid)[..., 0]
        scale = np.array([[1 / factor], [1 / factor], [1.0]])
        valid = None if view.valid is None else reduce_valid(view.valid, factor)
        small = Silhouette(view.w2c, view.intrinsics * scale, alpha, valid=valid)
        view.smaller[longest_side] = small
    return view.smaller[longest_side]


def border_share(view: Silhouette) -> float:
    """Return the share of the border of what a view knows that shows the object: it cuts it."""
    if view.valid is None:
        alpha = view.alpha
        border = alpha.ravel()
        if min(alpha.shape) > 1:
            border = np.concatenate([alpha[0], alpha[-1], alpha[1:-1, 0], alpha[1:-1, -1]])
        return float((border >= INSIDE).mean())
    known, wide = view.valid, np.pad(view.valid, 1)
    inner = wide[:-2, 1:-1] & wide[2:, 1:-1] & wide[1:-1, :-2] & wide[1:-1, 2:]
    border = view.alpha[known & ~inner]
    return float((border >= INSIDE).mean()) if border.size else 0.0


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
    axis = grid_axis(radius, resolution)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3) + centre


def grid_axis(radius: float, resolution: int) -> NDArray[np.float64]:
    """Return the centres [R] of a cube's voxels along an axis, from the cube's own centre."""
    return ((np.arange(resolution) + 0.5) / resolution * 2 - 1) * radius
