"""Light on rendered views: normals from depth, a lamp and a flash."""

import numpy as np
import pytest
from samples.training import BALL_RADIUS, ball_mesh

from geolrm.engine.geometry.cameras import Cameras
from geolrm.training.data.lighting import Flash, StillLamp, normals_of_depth
from geolrm.training.data.meshes import render_mesh

SIZE = 96


@pytest.fixture(scope="module")
def cameras():
    return Cameras.orbit([20.0, 130.0], [15.0, -40.0], 1.8, 50.0)


@pytest.fixture(scope="module")
def ball(cameras):
    """Normals, directions to the camera, and the truth from the ball's own points."""
    _, _, depth = render_mesh(ball_mesh(), cameras, SIZE, 1)
    normals, toward = normals_of_depth(depth, cameras)
    place = (np.arange(SIZE) + 0.5) / SIZE
    x, y = np.meshgrid(place, place)
    truth = np.zeros_like(normals)
    for view, (c2w, k) in enumerate(zip(cameras.c2w, cameras.intrinsics, strict=True)):
        rays = np.stack([(x - 0.5) / k[0, 0], -(y - 0.5) / k[1, 1], -np.ones_like(x)], -1)
        points = (rays * depth[view][..., None]) @ c2w[:3, :3].T + c2w[:3, 3]
        truth[view] = points / BALL_RADIUS
    return depth, normals, toward, truth


def test_normals_of_a_ball_point_outward(ball):
    depth, normals, _, truth = ball
    cosines = (normals * truth).sum(-1)[depth > 0]
    assert np.median(cosines) > 0.995 and np.quantile(cosines, 0.02) > 0.9
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-5)


def test_directions_lead_to_the_camera(ball, cameras):
    depth, _, toward, truth = ball
    for view, c2w in enumerate(cameras.c2w):
        ways = c2w[:3, 3] - truth[view] * BALL_RADIUS
        cosines = (ways / np.linalg.norm(ways, axis=-1, keepdims=True) * toward[view]).sum(-1)
        assert cosines[depth[view] > 0].min() > 0.9999


def test_nothing_lies_in_the_dark_where_there_is_no_surface(ball):
    depth, normals, toward, _ = ball
    np.testing.assert_array_equal(normals[depth == 0], toward[depth == 0])


def test_a_lamp_lights_what_faces_it():
    lamp = StillLamp(np.random.default_rng(3))
    assert np.linalg.norm(lamp.direction) == pytest.approx(1) and lamp.direction[2] >= 0.2
    light = lamp.shade(np.float32([lamp.direction, -lamp.direction]))
    np.testing.assert_allclose(light, [[1], [lamp.ambient]], rtol=1e-6)


def test_a_flash_lights_and_gleams_where_it_is_met_head_on():
    flash = Flash(np.random.default_rng(0))
    z = np.float32([[0, 0, 1]])
    light, reflection = flash.shade(np.float32([[0, 0, 1], [1, 0, 0], [0, 0.6, 0.8]]), z)
    np.testing.assert_allclose(
        light[:, 0], flash.ambient + (1 - flash.ambient) * np.array([1, 0, 0.8]), rtol=1e-6
    )
    gleam = flash.highlight * np.array([1, 0, 0.8**flash.gloss])
    np.testing.assert_allclose(reflection[:, 0], gleam, rtol=1e-5)
    assert flash.highlight > 0
