"""Fewer triangles: how many, how near to the surface, in which colours."""

import numpy as np
import pytest
from samples.painted_ball import RADIUS, ball, paint

from geolrm import InputError
from geolrm.engine.meshing.decimation import decimate

pytest.importorskip("fast_simplification")


def test_a_ball_keeps_its_shape_side_and_colours():
    old = ball(paint)
    made = decimate(old, 800)
    assert 600 <= len(made.faces) <= 800 and made.faces.max() == len(made.vertices) - 1
    radii = np.linalg.norm(made.vertices, axis=1)
    np.testing.assert_allclose(radii, RADIUS, atol=0.02)
    corners = made.vertices[made.faces].astype(float)
    crosses = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("ij,ij->i", crosses, corners.mean(axis=1)) > 0).all()  # still outwards
    off = np.abs(made.colors - paint(made.vertices))
    assert off.mean() < 0.03


def test_colours_are_the_mean_of_what_is_nearest():
    old = ball(paint)
    made = decimate(old, 300)
    far = np.linalg.norm(old.vertices[:, None] - made.vertices, axis=2)
    owner = far.argmin(axis=1)
    for vertex in range(0, len(made.vertices), 17):
        mine = owner == vertex
        if not mine.any():
            mine = far[:, vertex].argmin(keepdims=True)
        expected = old.colors[mine].mean(axis=0)
        np.testing.assert_allclose(made.colors[vertex], expected, atol=1e-5)


def test_what_has_few_triangles_stays_as_it_is():
    old = ball()
    assert decimate(old, len(old.faces)) is old


def test_how_many_are_taken():
    with pytest.raises(InputError, match="faces is 99; it must be 100 to 2,000,000 triangles"):
        decimate(ball(), 99)
