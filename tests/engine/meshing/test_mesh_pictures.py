"""Pictures of meshes: both ways of showing a ball show the same ball."""

import numpy as np
from samples.painted_ball import RADIUS, ball, paint, painted, ring

from geolrm import Cameras
from geolrm.engine.meshing.mesh_pictures import picture_colored, picture_textured

CAMERAS = ring(2)


def test_colours_of_vertices_and_a_texture_of_them_look_alike():
    colored = picture_colored(ball(paint), CAMERAS, (64, 48))
    textured = picture_textured(painted(), CAMERAS, (64, 48), threads=2)
    assert colored.rgb.shape == (2, 48, 64, 3) and colored.alpha.shape == (2, 48, 64)
    np.testing.assert_allclose(colored.alpha, textured.alpha, atol=0.12)  # of samples on an edge
    inner = (colored.alpha == 1) & (textured.alpha == 1)
    assert inner.mean() > 0.1
    off = np.abs(colored.rgb - textured.rgb)[inner]
    assert off.mean() < 0.01 and off.max() < 0.1  # most where the ball is seen at an angle
    outside = colored.alpha == 0
    assert not colored.rgb[outside].any() and not textured.rgb[outside].any()


def test_the_middle_pixel_is_the_nearest_point():
    camera = Cameras.orbit(0, 0, 2.0, 40.0)  # on +x
    shown = picture_colored(ball(paint), camera, (65, 65))
    np.testing.assert_allclose(
        shown.rgb[0, 32, 32], paint(np.array([[RADIUS, 0, 0]]))[0], atol=0.02
    )
