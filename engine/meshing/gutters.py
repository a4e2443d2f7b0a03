"""Colours for what no chart covers, so that no filter and no mipmap mixes in anything else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RINGS = 2  # texels around a chart that are as their nearest ones, for bilinear filters


def fill_gutters(texture: NDArray[np.float32], filled: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill the texels [H, W, 3] that are not ``filled`` [H, W] from those that are.

    The first rings around a chart are the mean of their filled neighbours; the rest is the mean of
    what a coarser level of the pyramid holds there, so that mipmaps of charts hold charts alone.
    """
    texture = np.where(filled[..., None], texture, 0).astype(np.float32)
    filled = filled.copy()
    for _ in range(RINGS):
        _grow(texture, filled)
    return _pull(texture, filled)


def _grow(texture: NDArray[np.float32], filled: NDArray[np.bool_]) -> None:
    """Fill one ring of texels by the mean of their filled neighbours, in place."""
    height, width = filled.shape
    mask = np.zeros((height + 2, width + 2), np.bool_)
    mask[1:-1, 1:-1] = filled
    near = np.zeros_like(filled)
    steps = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    for i, j in steps:
        near |= mask[i : i + height, j : j + width]
    row, column = np.nonzero(near & ~filled)
    sums, count = np.zeros((len(row), 3), np.float32), np.zeros(len(row), np.float32)
    for i, j in steps:
        there = mask[row + i, column + j]
        r, c = row[there] + i - 1, column[there] + j - 1
        sums[there] += texture[r, c]
        count[there] += 1
    texture[row, column] = sums / count[:, None]
    filled[row, column] = True


def _pull(texture: NDArray[np.float32], filled: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill from the level of half the size, which is filled first."""
    height, width = filled.shape
    if filled.all() or not filled.any():
        return texture
    even = np.zeros((height + height % 2, width + width % 2, 4), np.float32)
    even[:height, :width, :3] = np.where(filled[..., None], texture, 0)
    even[:height, :width, 3] = filled
    sums = even[::2] + even[1::2]
    sums = sums[:, ::2] + sums[:, 1::2]
    count = sums[..., 3]
    half = sums[..., :3] / np.maximum(count, 1)[..., None]
    half = _pull(half.astype(np.float32, copy=False), count > 0)
    row, column = np.nonzero(~filled)
    texture[row, column] = half[row // 2, column // 2]
    return texture
