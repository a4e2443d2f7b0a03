"""Occupancy, Chamfer distance and F-score: how well the shape fits, whatever its colours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geolrm.engine.gaussians.gaussians import Gaussians

SAMPLES = 20_000  # points sampled from a reconstruction
LOOSE, TIGHT = 0.2, 0.02  # thresholds of the F-score, in the cube [-1, 1]^3
TO_UNIT_CUBE = 2.0  # from the object cube [-0.5, 0.5]^3 to [-1, 1]^3


@dataclass(frozen=True, slots=True)
class Fit:
    """How near two sets of points lie, in the cube [-1, 1]^3; without points, no distance."""

    cd: float | None = None  # sum of the two directions' mean distances
    cd2: float | None = None  # sum of the two directions' mean squared distances
    f02: float = 0.0
    f002: float = 0.0


def occupied_voxels(points: NDArray, grid: int) -> NDArray[np.bool_]:
    """Mark the voxels whose centres are nearest to the points: [G, G, G], x slowest.

    Args:
        points: [N, 3] in the object frame.
        grid: Voxels along one axis; their centres are ``linspace(-0.5, 0.5, grid)``.
    """
    index = np.rint((points.astype(np.float64) + 0.5) * (grid - 1)).astype(np.int64)
    occupied = np.zeros((grid,) * 3, np.bool_)
    occupied[tuple(index.clip(0, grid - 1).T)] = True
    return occupied


def intersection_over_union(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Return the share of the voxels of either that are in both; 1 when both are empty."""
    union = int((predicted | true).sum())
    return int((predicted & true).sum()) / union if union else 1.0


def sample_points(
    gaussians: Gaussians, count: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Sample centres [count, 3] of Gaussians by their opacity; [0, 3] if there is none."""
    finite = np.isfinite(gaussians.means).all(axis=1) & np.isfinite(gaussians.opacities)
    weights = np.where(finite, gaussians.opacities, 0).astype(np.float64).clip(0)
    if not weights.sum():
        return np.empty((0, 3))
    chosen = generator.choice(len(weights), count, p=weights / weights.sum())
    return gaussians.means[chosen].astype(np.float64)


def fit(predicted: NDArray, true: NDArray) -> Fit:
    """Measure two sets of points, [N, 3] and [M, 3] in the object frame, against each other."""
    from scipy.spatial import KDTree

    if not len(predicted) or not len(true):
        return Fit()
    predicted, true = TO_UNIT_CUBE * predicted, TO_UNIT_CUBE * true.astype(np.float64)
    to_true = KDTree(true).query(predicted)[0]
    to_predicted = KDTree(predicted).query(true)[0]
    return Fit(
        cd=float(to_true.mean() + to_predicted.mean()),
        cd2=float((to_true**2).mean() + (to_predicted**2).mean()),
        f02=_f_score(to_true, to_predicted, LOOSE),
        f002=_f_score(to_true, to_predicted, TIGHT),
    )


def _f_score(to_true: NDArray, to_predicted: NDArray, threshold: float) -> float:
    """Return the harmonic mean of precision and recall at a distance."""
    precision = float((to_true < threshold).mean())
    recall = float((to_predicted < threshold).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
