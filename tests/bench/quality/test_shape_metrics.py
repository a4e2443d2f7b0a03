"""Occupancy, drawn points, Chamfer distance and F-score of small known shapes."""

import numpy as np
import pytest

from geolrm import Gaussians
from geolrm.bench.quality.shape_metrics import (
    fit,
    intersection_over_union,
    occupied_voxels,
    sample_points,
)
from geolrm.engine.geometry.voxel_grid import voxel_centres


def test_voxels_are_the_nearest_centres():
    grid = 5  # centres at -0.5, -0.25, 0, 0.25, 0.5
    points = np.array([[-0.5, 0.13, 0.5], [-0.51, 0.12, 0.37], [0.0, 0.0, 0.0]], np.float32)
    occupied = occupied_voxels(points, grid)
    assert np.argwhere(occupied).tolist() == [[0, 2, 3], [0, 3, 4], [2, 2, 2]]


@pytest.mark.parametrize("grid", [8, 32])
def test_voxels_agree_with_the_grid_of_the_engine(grid):
    rng = np.random.default_rng(0)
    chosen = rng.random((grid,) * 3) < 0.3
    points = voxel_centres(grid)[chosen]
    jitter = rng.uniform(-0.49, 0.49, points.shape) / (grid - 1)
    assert np.array_equal(occupied_voxels(points + jitter, grid), chosen)


def test_iou_of_known_sets():
    a, b = np.zeros((3, 3, 3), bool), np.zeros((3, 3, 3), bool)
    assert intersection_over_union(a, b) == 1
    a[0, 0, :2] = b[0, 0, 1:] = True
    assert intersection_over_union(a, b) == pytest.approx(1 / 3)
    assert intersection_over_union(a, np.zeros_like(b)) == 0


def test_fit_of_known_points():
    true = np.array([[0, 0, 0], [0.2, 0, 0]])  # 0 and 0.4 in [-1, 1]
    predicted = np.array([[0.05, 0, 0]])  # 0.1
    result = fit(predicted, true)
    assert result.cd == pytest.approx(0.1 + (0.1 + 0.3) / 2)
    assert result.cd2 == pytest.approx(0.01 + (0.01 + 0.09) / 2)
    assert result.f02 == pytest.approx(2 * 1 * 0.5 / 1.5)  # precision 1, recall 1/2
    assert result.f002 == 0
    same = fit(true, true)
    assert (same.cd, same.cd2, same.f02, same.f002) == (0, 0, 1, 1)


def test_nothing_drawn_has_no_distance_and_no_score():
    nothing = fit(np.empty((0, 3)), np.zeros((4, 3)))
    assert (nothing.cd, nothing.cd2, nothing.f02, nothing.f002) == (None, None, 0, 0)


def splats(means, opacities, scales, quats):
    count = len(means)
    return Gaussians(
        *(np.asarray(array, np.float32) for array in (means, opacities, scales, quats)),
        colors=np.zeros((count, 3)),
    )


def test_points_are_centres_drawn_by_opacity():
    gaussians = splats(
        [[0, 0, 0], [0.4, 0, 0]],
        [0.9, 0.3],
        [[0.05, 0.001, 0.001], [1e-6, 1e-6, 1e-6]],
        [[1, 0, 0, 0], [2, 0, 0, 0]],
    )
    points = sample_points(gaussians, 20_000, np.random.default_rng(0))
    first = points[:, 0] < 0.2
    assert first.mean() == pytest.approx(0.75, abs=0.02)
    np.testing.assert_array_equal(points[first], 0)
    np.testing.assert_allclose(points[~first], [[0.4, 0, 0]] * (~first).sum(), atol=1e-7)
    again = sample_points(gaussians, 20_000, np.random.default_rng(0))
    assert np.array_equal(points, again)


def test_points_of_nothing():
    empty = splats(np.empty((0, 3)), np.empty(0), np.empty((0, 3)), np.empty((0, 4)))
    assert sample_points(empty, 10, np.random.default_rng(0)).shape == (0, 3)
    broken = splats([[np.nan, 0, 0]], [0.5], [[0.1] * 3], [[1, 0, 0, 0]])
    assert sample_points(broken, 10, np.random.default_rng(0)).shape == (0, 3)
    clear = splats([[0, 0, 0]], [0], [[0.1] * 3], [[1, 0, 0, 0]])
    assert sample_points(clear, 10, np.random.default_rng(0)).shape == (0, 3)
