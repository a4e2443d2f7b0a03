import numpy as np
import pytest
from samples.gaussians import random_gaussians

from geolrm import Cameras
from geolrm.engine.rendering.render import render
from geolrm.engine.scene import Scene
from geolrm.engine.views.preprocessing import make_views


@pytest.fixture(scope="module")
def scene():
    cameras = Cameras.orbit([0, 90], 10, radius=1.5, fov=50)
    views = make_views(np.ones((2, 3, 24, 24)), cameras.c2w, cameras.intrinsics)
    return Scene(random_gaussians(), np.zeros((50, 3), np.float32), None, 0, views)


def test_without_cameras_the_input_views_are_drawn(scene):
    drawn = scene.render()
    assert drawn.rgb.shape == (2, 24, 24, 3)
    np.testing.assert_array_equal(drawn.rgb, render(scene.gaussians, scene.views, (24, 24)).rgb)


def test_no_cameras_are_no_views(scene):
    cameras = Cameras.orbit([0, 90], 10, radius=1.5, fov=50)[[]]
    assert scene.render(cameras, (8, 6)).rgb.shape == (0, 6, 8, 3)
