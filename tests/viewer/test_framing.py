import numpy as np
import pytest
from samples.gaussians import random_gaussians
from samples.known_shapes import make_splats

from geolrm import Cameras
from geolrm.engine.gaussians.extent import MARGIN
from geolrm.viewer import Exhibit
from geolrm.viewer.exhibit import InputViews
from geolrm.viewer.framing import ASIDE, FOV, UP_AXES, find_home


@pytest.mark.parametrize("up", UP_AXES)
def test_ups_are_rotations_that_turn_their_axis_to_z(up):
    rotation = UP_AXES[up]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    axis = np.eye(3)["xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
    np.testing.assert_allclose(rotation @ axis, [0, 0, 1], atol=1e-12)


def ball(middle=(0, 0, 0), radius=0.5):
    points = np.random.default_rng(0).standard_normal((5000, 3))
    points *= radius / np.linalg.norm(points, axis=1, keepdims=True)
    return make_splats(points + middle, np.zeros((5000, 3)))


@pytest.mark.parametrize("up", UP_AXES)
def test_the_object_fills_the_window(up):
    home = find_home(Exhibit("a", ball((1, 2, 3))), up)
    np.testing.assert_allclose(home.target, UP_AXES[up] @ [1, 2, 3], atol=0.02)
    distance = np.linalg.norm(home.position - home.target)
    assert distance == pytest.approx(MARGIN * 0.5 / np.sin(np.deg2rad(FOV / 2)), rel=0.02)
    backward = home.camera.c2w[0, :3, 2]  # the same camera, in the object's frame
    np.testing.assert_allclose(
        backward, UP_AXES[up].T @ (home.position - home.target) / distance, atol=0.02
    )


def test_the_first_input_view_says_which_side_is_the_front():
    views = InputViews(["a"], Cameras.orbit([40.0], 10, 1.8, 50), [np.zeros((1, 1, 3), np.uint8)])
    home = find_home(Exhibit("a", ball(), views), "z")
    azimuth = np.rad2deg(np.arctan2(home.position[1], home.position[0]))
    reference = find_home(Exhibit("a", ball()), "z")
    assert not np.allclose(home.position, reference.position)
    first = np.rad2deg(np.arctan2(*views.cameras.c2w[0, [1, 0], 3]))
    assert azimuth == pytest.approx(first + ASIDE, abs=2)


def test_nothing_has_a_home_too():
    home = find_home(Exhibit("a", random_gaussians().select([])), "z")
    assert np.isfinite(home.position).all() and not home.target.any()
