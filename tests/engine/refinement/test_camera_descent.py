"""Adam on camera poses."""

import numpy as np

from geolrm.engine.geometry.motions import motion, rotation_vector
from geolrm.engine.refinement.camera_descent import CameraDescent

START = motion([0.3, 0.2, 0.1], np.array([0.1, 0, 1.8]), np.zeros(3))


def test_the_first_step_is_as_long_as_the_rate_and_against_the_gradient():
    cameras = CameraDescent(START[None], np.zeros(3), 0.01, 0.4)
    cameras.step([0], np.array([[0, 0, 0, 5.0, -2e-3, 0, 0, 0]]), 0.5)
    moved = cameras.w2c[0] @ np.linalg.inv(START)
    np.testing.assert_allclose((cameras.w2c[0] - START)[:3, 3][:2], [-0.005, 0.005], atol=2e-4)
    # A pull at the camera is also one that turns it about the object.
    assert 0 < np.linalg.norm(rotation_vector(moved[:3, :3])) < 0.005


def test_a_turn_leaves_the_centre_of_the_object_where_it_is():
    centre = np.array([0.1, -0.2, 0.05])
    cameras = CameraDescent(START[None], centre, 0.01, 0.4)
    seen = START @ np.append(centre, 1)
    cameras.step([0], np.array([[1.0, -3, 2, 0, 0, 0, 7, 7]]), 1.0)
    np.testing.assert_allclose(cameras.w2c[0] @ np.append(centre, 1), seen, atol=1e-12)
    turn = rotation_vector((cameras.w2c[0] @ np.linalg.inv(START))[:3, :3])
    np.testing.assert_allclose(turn, [-0.004, 0.004, -0.004], atol=1e-9)


def test_only_the_chosen_cameras_move_and_the_given_array_stays():
    given = np.stack([START] * 3)
    cameras = CameraDescent(given, np.zeros(3), 0.01, 0.4)
    cameras.step([1], np.ones((1, 8)), 1.0)
    np.testing.assert_array_equal(given, np.stack([START] * 3))
    assert [bool((w2c == START).all()) for w2c in cameras.w2c] == [True, False, True]
