import numpy as np
import pytest

from geolrm.training.data.shapes import SHAPES, grid_mesh, procedural_mesh, revolve, tube

TEXTURE = np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize("shape", dict.fromkeys(SHAPES), ids=lambda shape: shape.__name__)
def test_shapes_are_sound_meshes_that_a_seed_repeats(shape):
    mesh, again = (shape(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(mesh.vertices, again.vertices)
    assert np.isfinite(mesh.vertices).all() and mesh.faces.max() < len(mesh.vertices)
    assert np.ptp(mesh.vertices, axis=0).min() > 0.01


def test_a_grid_becomes_two_triangles_a_cell():
    points = np.stack(np.meshgrid(np.arange(4), np.arange(3), [0.0], indexing="xy"), -1)
    mesh = grid_mesh(points.reshape(3, 4, 3), TEXTURE)
    assert len(mesh.faces) == 2 * 2 * 3
    corners = mesh.vertices[mesh.faces]
    areas = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] / 2
    np.testing.assert_allclose(areas, 0.5)  # all turn the same way


def test_a_profile_sweeps_around_z():
    mesh = revolve([[1, 0], [1, 2]], TEXTURE)
    np.testing.assert_allclose(np.hypot(*mesh.vertices[:, :2].T), 1, atol=1e-6)
    assert set(mesh.vertices[:, 2]) == {0, 2}


def test_a_tube_keeps_its_radius():
    path = np.stack([np.linspace(0, 1, 8), *np.zeros((2, 8))], -1)
    mesh = tube(path, 0.1, TEXTURE)
    radii = np.hypot(*mesh.vertices[:, 1:].T)
    assert radii.max() == pytest.approx(0.1, abs=1e-6) and radii.min() == 0  # closed ends


@pytest.mark.parametrize("seed", range(4))
def test_an_object_fits_the_unit_cube(seed):
    vertices = procedural_mesh(np.random.default_rng(seed)).vertices
    assert np.abs(vertices).max() <= 0.5 + 1e-5 and np.ptp(vertices, axis=0).max() > 0.5
