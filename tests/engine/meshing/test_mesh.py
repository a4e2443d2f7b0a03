import numpy as np
import pytest

from geolrm import InputError
from geolrm.engine.meshing.mesh import Mesh, surface_points

CORNERS = np.array([[0, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)


def mesh(faces):
    return Mesh(CORNERS, np.array(faces, np.uint32), np.zeros((4, 3), np.float32))


def test_normals_point_out_of_the_side_that_turns_counter_clockwise():
    made = mesh([[0, 1, 2]])
    np.testing.assert_array_equal(made.normals[:3], np.tile([0, 0, 1], (3, 1)))
    np.testing.assert_array_equal(made.normals[3], [0, 0, 1])  # of no triangle
    np.testing.assert_array_equal(mesh([[0, 2, 1]]).normals[0], [0, 0, -1])
    assert repr(made) == "Mesh(4 vertices, 1 triangles)"


def test_normals_are_the_mean_by_area():
    normal = mesh([[0, 1, 2], [0, 2, 3]]).normals[0]  # areas 1 along z, 1/2 along x
    np.testing.assert_allclose(normal, np.array([0.5, 0, 1]) / np.sqrt(1.25), rtol=1e-6)


def test_points_are_uniform_over_the_area():
    rng = np.random.default_rng(0)
    points = surface_points(CORNERS, np.array([[0, 1, 2], [0, 2, 3]]), 6000, rng)
    first = points[points[:, 2] == 0]
    assert abs(len(first) / 6000 - 2 / 3) < 0.03
    assert (first[:, 0] / 2 + first[:, 1] <= 1 + 1e-6).all()
    np.testing.assert_allclose(first.mean(axis=0), [2 / 3, 1 / 3, 0], atol=0.03)  # its centroid


def test_triangles_without_an_area_have_no_points():
    with pytest.raises(InputError, match="the mesh has no area; there are no points on it"):
        surface_points(CORNERS, np.array([[0, 0, 1]]), 5, np.random.default_rng(0))
