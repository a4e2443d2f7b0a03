"""A cube of voxels that masks carve: whole blocks at a time, wherever one answer holds for a block.

It is :func:`~geolrm.engine.views.silhouettes.carve` on a grid, to the bit. A block's voxels project
into the box around its eight projected corners, if all of those are before the camera; and a sum
over the masks' pixels, made once, says how many of a box are solid. Only where a mask has both
solid and empty pixels there are voxels looked at one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.views.silhouettes import AHEAD, INSIDE, Silhouette, grid, grid_axis

BLOCK = 4  # voxels along an axis
MARGIN = 1e-6  # px, beyond what rounding may move a projected corner by
CLOSE = 1e-3  # of a block's farthest corner: nearer ones are too close to divide by
MIXED, EMPTY, FULL, OUTSIDE = range(4)  # of a block in a view


@dataclass(frozen=True, slots=True, eq=False)
class VoxelCube:
    """A cube of R^3 voxels; R is a multiple of ``BLOCK``."""

    centre: NDArray[np.float64]  # [3]
    radius: float  # half its side
    resolution: int

    @property
    def half_step(self) -> float:
        """Half of a voxel's side."""
        return self.radius / self.resolution

    def points(self) -> NDArray[np.float64]:
        """Return the centres [R^3, 3] of all voxels, x slowest."""
        return grid(self.centre, self.radius, self.resolution)

    def block_corners(self) -> NDArray[np.float64]:
        """Return where blocks meet along each axis, [3, R / BLOCK + 1]."""
        count = self.resolution // BLOCK
        return (np.arange(count + 1) / count * 2 - 1) * self.radius + self.centre[:, None]

    def voxels_of(self, blocks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the voxels of blocks [N] as :meth:`points` numbers them, and where they are.

        Both are [N * BLOCK^3], a block's together; the places [3, ...] are along each axis.
        """
        size, count = self.resolution, self.resolution // BLOCK
        axis = grid_axis(self.radius, size).reshape(count, BLOCK)
        shape = (len(blocks), BLOCK, BLOCK, BLOCK)
        number, places = np.zeros(shape, np.int64), np.empty((3, *shape))
        for part, along in enumerate(np.unravel_index(blocks, (count,) * 3)):
            across = [slice(None), *(slice(None) if part == each else None for each in range(3))]
            step = along[:, None] * BLOCK + np.arange(BLOCK)
            number += step[tuple(across)] * size ** (2 - part)
            places[part] = (axis[along] + self.centre[part])[tuple(across)]
        return number.ravel(), places.reshape(3, -1)


class Carver:
    """Views that carve cubes.

    Args:
        views: The silhouettes.
    """

    def __init__(self, views: Sequence[Silhouette]):
        self.views = views
        self._solid = [_sums(view.alpha >= INSIDE) for view in views]
        self._unknown = [None if view.valid is None else _sums(~view.valid) for view in views]

    def carve(
        self, cube: VoxelCube, tolerated: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Keep the voxels that no view shows to be empty.

        Args:
            cube: The voxels, in the frame of the poses.
            tolerated: How many views may be wrong about a voxel.

        Returns:
            The centres [N, 3] of those that are kept, x slowest, and how many views show each [N].
        """
        blocks, kinds = self._kinds(cube, tolerated)
        voxels, places = cube.voxels_of(blocks)
        each = BLOCK**3
        shown = np.repeat(((kinds == EMPTY) | (kinds == FULL)).sum(axis=0), each)
        empty = np.repeat((kinds == EMPTY).sum(axis=0), each)
        kept = np.ones(len(voxels), np.bool_)
        for view, kind in zip(self.views, kinds, strict=True):
            looked = np.flatnonzero(np.repeat(kind == MIXED, each) & kept)
            pixel, _ = view.project(places[:, looked].T)
            inside = pixel >= 0
            shown[looked] += inside
            looked = looked[inside & (view.alpha.ravel()[pixel] < INSIDE)]
            empty[looked] += 1
            kept[looked] = empty[looked] <= tolerated
        left = np.flatnonzero(kept)
        left = left[np.argsort(voxels[left])]
        return np.ascontiguousarray(places[:, left].T), shown[left]

    def _kinds(self, cube: VoxelCube, tolerated: int) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
        """Find the blocks that are not empty as a whole.

        Returns:
            Their numbers [N], and what each view says of all of a block's voxels [V, N], or
            ``MIXED``.
        """
        sizes = np.array([view.alpha.shape[::-1] for view in self.views], np.float64)
        matrices = np.array([view.intrinsics @ view.w2c[:3] for view in self.views])
        x, y, z = np.meshgrid(*cube.block_corners(), indexing="ij", sparse=True)
        row = matrices.transpose(1, 2, 0)[..., None, None, None]  # [3, 4, V, 1, 1, 1]
        across, down, depth = row[:, 0] * x + row[:, 1] * y + row[:, 2] * z + row[:, 3]
        nearest, farthest = _extreme(np.minimum, depth), _extreme(np.maximum, depth)
        ahead = np.maximum(depth, AHEAD, out=depth)
        across /= ahead
        down /= ahead
        left, top = (_extreme(np.minimum, along) - MARGIN for along in (across, down))
        right, bottom = (_extreme(np.maximum, along) + MARGIN for along in (across, down))
        width, height = sizes.T[:, :, None]
        before = nearest > np.maximum(CLOSE * farthest, AHEAD)
        beside = (right < 0) | (bottom < 0) | (left >= width) | (top >= height)
        within = before & (left >= 0) & (top >= 0) & (right < width) & (bottom < height)
        kinds = np.full(nearest.shape, MIXED, np.int8)
        kinds[(before & beside) | (farthest < 0)] = OUTSIDE
        empty = np.zeros(nearest.shape[1], np.int64)  # views that say so of a block
        for index, (solid, unknown) in enumerate(zip(self._solid, self._unknown, strict=True)):
            place = np.flatnonzero(within[index] & (empty <= tolerated))
            x0, x1, y0, y1 = (  # not negative, so that this is the pixel
                bound[index, place].astype(np.int64) for bound in (left, right, top, bottom)
            )
            box = (x0, x1 + 1, y0, y1 + 1)
            count, area = _count(solid, *box), (x1 + 1 - x0) * (y1 + 1 - y0)
            found = np.where(count == 0, EMPTY, np.where(count == area, FULL, MIXED))
            if unknown is not None:
                found[_count(unknown, *box) > 0] = MIXED
            kinds[index, place] = found
            empty[place] += found == EMPTY
        blocks = np.flatnonzero(empty <= tolerated)
        return blocks, kinds[:, blocks]


def _extreme(of: np.ufunc, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reduce values at the corners [V, B + 1, B + 1, B + 1] of blocks to one a block [V, B^3]."""
    corners = of(corners[:, 1:], corners[:, :-1])
    corners = of(corners[:, :, 1:], corners[:, :, :-1])
    return of(corners[..., 1:], corners[..., :-1]).reshape(len(corners), -1)


def _sums(pixels: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Sum pixels [H, W] above and left of each of the places between them [H + 1, W + 1]."""
    height, width = pixels.shape
    sums = np.zeros((height + 1, width + 1), np.int32)
    np.cumsum(np.cumsum(pixels, axis=0, dtype=np.int32), axis=1, out=sums[1:, 1:])
    return sums


def _count(
    sums: NDArray[np.int32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    top: NDArray[np.int64],
    bottom: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Count the pixels that are set in boxes; right and bottom are beyond them."""
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
