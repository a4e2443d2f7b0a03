import numpy as np
from samples.painted_ball import painted

from geolrm.engine.geometry.similarity import make_similarity


def test_a_similarity_moves_places_and_turns_normals():
    mesh = painted(16)
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = mesh.transformed(make_similarity(2.0, turn, np.array([1.0, 2, 3])))
    np.testing.assert_allclose(moved.vertices, 2 * mesh.vertices @ turn.T + (1, 2, 3), atol=1e-6)
    np.testing.assert_allclose(moved.normals, mesh.normals @ turn.T, atol=1e-6)
    assert moved.texture is mesh.texture and moved.uv is mesh.uv
    assert repr(mesh) == "TexturedMesh(2,145 vertices, 4,096 triangles, 16 x 16 px)"
