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

    def points_at(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return those of :meth:`points` at ``index`` [N], without making the others."""
        axis, size = grid_axis(self.radius, self.resolution), self.resolution
        cells = np.empty((len(index), 3))
        cells[:, 0] = axis[index // (size * size)]
        cells[:, 1] = axis[index // size % size]
        cells[:, 2] = axis[index % size]
        return cells + self.centre

    def block_corners(self) -> NDArray[np.float64]:
        """Return where blocks meet along each axis, [3, R / BLOCK + 1]."""
        count = self.resolution // BLOCK
        return (np.arange(count + 1) / count * 2 - 1) * self.radius + self.centre[:, None]

    def voxels_of(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the voxels [N * BLOCK^3] of blocks [N], numbered as :meth:`points` has them."""
        size, count = self.resolution, self.resolution // BLOCK
        place = np.stack(np.unravel_index(blocks, (count,) * 3), axis=1) * BLOCK
        first = (place[:, 0] * size + place[:, 1]) * size + place[:, 2]
        step = np.arange(BLOCK)
        inner = ((step[:, None, None] * size + step[:, None]) * size + step).ravel()
        return (first[:, None] + inner).ravel()


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
        kinds = np.array([self._kinds(index, cube) for index in range(len(self.views))])
        blocks = np.flatnonzero((kinds == EMPTY).sum(axis=0) <= tolerated)
        kinds = kinds[:, blocks]  # [V, blocks]
        voxels = cube.voxels_of(blocks)
        points = cube.points_at(voxels)
        each = BLOCK**3
        shown = np.repeat(((kinds == EMPTY) | (kinds == FULL)).sum(axis=0), each)
        empty = np.repeat((kinds == EMPTY).sum(axis=0), each)
        kept = np.ones(len(voxels), np.bool_)
        for view, kind in zip(self.views, kinds, strict=True):
            looked = np.flatnonzero(np.repeat(kind == MIXED, each) & kept)
            pixel, _ = view.project(points[looked])
            inside = pixel >= 0
            shown[looked] += inside
            looked = looked[inside & (view.alpha.ravel()[pixel] < INSIDE)]
            empty[looked] += 1
            kept[looked] = empty[looked] <= tolerated
        left = np.flatnonzero(kept)
        left = left[np.argsort(voxels[left])]
        return points[left], shown[left]

    def _kinds(self, index: int, cube: VoxelCube) -> NDArray[np.int8]:
        """Tell of each block, x slowest, what a view says of all its voxels, or ``MIXED``."""
        view, unknown = self.views[index], self._unknown[index]
        height, width = view.alpha.shape
        matrix = view.intrinsics @ view.w2c[:3]
        x, y, z = np.meshgrid(*cube.block_corners(), indexing="ij", sparse=True)
        across, down, depth = (row[0] * x + row[1] * y + row[2] * z + row[3] for row in matrix)
        nearest, farthest = _extreme(np.minimum, depth), _extreme(np.maximum, depth)
        ahead = np.maximum(depth, AHEAD)
        bounds = []
        for along, side in ((across / ahead, width), (down / ahead, height)):
            low = np.floor(_extreme(np.minimum, along) - MARGIN).clip(-1, side)
            high = np.floor(_extreme(np.maximum, along) + MARGIN).clip(-1, side)
            bounds.append((low.astype(np.int64), high.astype(np.int64)))
        (left, right), (top, bottom) = bounds
        before = nearest > np.maximum(CLOSE * farthest, AHEAD)
        beside = (right < 0) | (bottom < 0) | (left >= width) | (top >= height)
        within = before & (left >= 0) & (top >= 0) & (right < width) & (bottom < height)
        kinds = np.full(nearest.shape, MIXED, np.int8)
        kinds[(before & beside) | (farthest < 0)] = OUTSIDE
        place = np.flatnonzero(within)
        box = [bound.ravel()[place] for bound in (left, right + 1, top, bottom + 1)]
        solid = _count(self._solid[index], *box)
        known = np.True_ if unknown is None else _count(unknown, *box) == 0
        area = (box[1] - box[0]) * (box[3] - box[2])
        found = np.where(solid == 0, EMPTY, np.where(solid == area, FULL, MIXED))
        kinds.ravel()[place] = np.where(known, found, MIXED)
        return kinds.ravel()


def _extreme(of: np.ufunc, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reduce values at the corners [B + 1]^3 of blocks to one a block [B]^3."""
    corners = of(corners[1:], corners[:-1])
    corners = of(corners[:, 1:], corners[:, :-1])
    return of(corners[:, :, 1:], corners[:, :, :-1])


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
