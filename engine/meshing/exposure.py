"""How bright each photograph is beside the others, from what several of them see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.formats.light import linear

DARK, BRIGHT = 0.02, 0.95  # linear light that says little of an exposure, or is cut off
PRIOR = 0.02  # pairs' worth, of all, that say that photographs are exposed alike
FARTHEST = 1.0  # natural logarithm of the largest gain
LEAST_PAIRS = 50  # seen by a view and another, to say anything
SPREAD = 0.25  # of log ratios around their median; what is further off is no matter of exposure


def find_gains(colors: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Find the gains [V, 3], in linear light, after which views agree best on what they share.

    The logarithms of the gains are the least squares of all pairs of views: each says by what
    median ratio the one is brighter than the other where both see the surface, and counts as much
    as the points that it has. Their mean is 0.

    Args:
        colors: [V, N, 3] sRGB in [0, 1] of N points of the surface.
        weights: [V, N], 0 where a view does not see a point.
    """
    views = len(colors)
    gains = np.zeros((views, 3))
    if views < 2:
        return np.exp(gains)
    light = linear(colors)
    usable = (weights > 0)[..., None] & (light > DARK) & (light < BRIGHT)
    logs = np.log(np.where(usable, light, 1))
    for channel in range(3):
        matrix, right, pairs = np.zeros((views, views)), np.zeros(views), 0.0
        for a in range(views):
            for b in range(a + 1, views):
                both = usable[a, :, channel] & usable[b, :, channel]
                if both.sum() < LEAST_PAIRS:
                    continue
                ratios = logs[a, both, channel] - logs[b, both, channel]
                ratio = float(np.median(ratios))
                count = float((np.abs(ratios - ratio) < SPREAD).sum())
                matrix[[a, b], [a, b]] += count
                matrix[[a, b], [b, a]] -= count
                right[a] -= count * ratio
                right[b] += count * ratio
                pairs += count
        if pairs:
            matrix += (PRIOR * pairs / views) * np.eye(views)
            gains[:, channel] = np.linalg.solve(matrix, right)
    gains -= gains.mean(axis=0)
    return np.exp(gains.clip(-FARTHEST, FARTHEST))


def expose(rgb: NDArray[np.uint8], gains: NDArray[np.float64]) -> NDArray[np.float32]:
    """Multiply the light of an image [H, W, 3] by its gains [3]; return sRGB in [0, 1]."""
    light = linear(np.arange(256) / 255)[:, None] * gains
    table = encoded(light).astype(np.float32)
    return np.stack([table[rgb[..., k], k] for k in range(3)], axis=-1)


def encoded(light: NDArray) -> NDArray[np.float64]:
    """Turn linear light into sRGB values in [0, 1], of the same shape."""
    light = np.asarray(light, np.float64).clip(0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
