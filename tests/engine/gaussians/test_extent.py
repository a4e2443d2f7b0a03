import numpy as np
import pytest
from samples.known_shapes import make_splats

from geolrm.engine.gaussians.extent import LEAST_RADIUS, MARGIN, find_extent


def corners(middle=(0, 0, 0), side=1.0):
    """2,000 splats at each of the eight corners of a cube."""
    points = np.array(np.meshgrid(*[[-0.5, 0.5]] * 3)).reshape(3, -1).T * side + middle
    return make_splats(np.tile(points, (2000, 1)), np.zeros((16000, 3)))


def test_a_box_and_a_sphere():
    extent = find_extent(corners((5, 2, 3), 2.0))
    np.testing.assert_allclose(extent.low, [4, 1, 2])
    np.testing.assert_allclose(extent.high, [6, 3, 4])
    np.testing.assert_allclose(extent.middle, [5, 2, 3])
    assert extent.radius == pytest.approx(np.sqrt(3))
    assert extent.distance(60.0) == pytest.approx(MARGIN * np.sqrt(3) / 0.5)


@pytest.mark.parametrize(
    ("middle", "side", "within"),
    [((0, 0, 0), 1.0, True), ((0, 0, 0), 1.01, False), ((0.2, 0, 0), 0.5, True),
     ((0, 0, 0.3), 0.5, False), ((5, 2, 3), 0.1, False)],
)  # fmt: skip
def test_the_cube_around_the_origin(middle, side, within):
    assert find_extent(corners(middle, side)).within_cube(1.0) is within


def test_outliers_and_faint_splats_do_not_count():
    scene = corners()
    scene.means[:10] = 100
    scene.opacities[100:5000], scene.means[100:5000] = 0.05, -7
    extent = find_extent(scene)
    np.testing.assert_allclose([extent.low, extent.high], [[-0.5] * 3, [0.5] * 3])
    assert extent.radius == pytest.approx(np.sqrt(0.75))


def test_faint_splats_count_where_there_are_no_others():
    scene = corners((5, 2, 3))
    scene.opacities[:] = 0.01
    np.testing.assert_allclose(find_extent(scene).middle, [5, 2, 3])


def test_nothing_and_a_point_have_an_extent():
    nothing = find_extent(corners().select([]))
    assert nothing.within_cube(1.0) and nothing.radius == 0.5
    assert find_extent(corners((1, 1, 1), 0.0)).radius == LEAST_RADIUS
