import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm.engine.geometry.voxel_grid import voxel_centres
from geolrm.training.occupancy import occupancy_from_points


def test_a_point_fills_the_voxel_whose_centre_is_nearest():
    centres = voxel_centres(8)
    grid = occupancy_from_points(centres[[1, 7], [2, 0], [3, 7]] + 0.06, 8)
    assert grid.sum() == 2 and grid[1, 2, 3] == grid[7, 0, 7] == 1


@given(st.integers(2, 20), st.integers(0, 100))
def test_centres_come_back(side, seed):
    chosen = np.random.default_rng(seed).random((side, side, side)) > 0.5
    grid = occupancy_from_points(voxel_centres(side)[chosen], side)
    np.testing.assert_array_equal(grid, chosen)


@pytest.mark.parametrize(("convention", "index"), [("centres", 4), ("released", 5)])
def test_the_released_data_scaled_by_the_number_of_voxels(convention, index):
    point = np.array([[0.1, -0.5, 0.5]])  # 0.6 of the side
    grid = occupancy_from_points(point, 8, convention)
    assert np.argwhere(grid).tolist() == [[index, 0, 7]]
