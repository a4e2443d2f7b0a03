"""Adam on camera poses."""

import numpy as np

from geolrm.engine.geometry.motions import motion, rotation_vector
from geolrm.engine.refinement.camera_descent import CameraDescent

START = motion([0.3, 0.2, 0.1], np.array([0.1, 0, 1.8]), np.zeros(3))


def test_the_first_step_is_as_long_as_the_rate_and_against_the_gradient():
    cameras = CameraDescent(START[None], np.zeros(3), 0.01, 0.4)
    cameras.step([0], np.array([[0, 0, 0, 5.0, -2e-3, 0, 0, 0]]), 0.5)
    moved = cameras.w2c[0] @ np.linalg.inv(START)
    turn, move = rotation_vector(moved[:3, :3]) / 0.4, (cameras.w2c[0] - START)[:3, 3]
    assert move[0] < -0.004 and 0 < np.linalg.norm(turn) < 0.01
    length = np.sqrt(np.mean(np.concatenate([turn, move]) ** 2))
    np.testing.assert_allclose(length, 0.005, rtol=0.03)


def test_where_images_tell_little_a_camera_hardly_goes():
    cameras = CameraDescent(START[None], np.zeros(3), 0.01, 0.4)
    for _ in range(5):
        cameras.step([0], np.array([[0, 0, 0, 5.0, 0, -0.02, 0, 0]]), 1.0)
    across, _, along = (cameras.w2c[0] @ np.append(np.zeros(3), 1) - START[:, 3])[:3]
    assert across < -0.03
    assert 0 < along < 0.02 * abs(across)


def test_a_turn_leaves_the_centre_of_the_object_where_it_is():
    centre = np.array([0.1, -0.2, 0.05])
    cameras = CameraDescent(START[None], centre, 0.01, 0.4)
    seen = START @ np.append(centre, 1)
    cameras.step([0], np.array([[1.0, -3, 2, 0, 0, 0, 7, 7]]), 1.0)
    np.testing.assert_allclose(cameras.w2c[0] @ np.append(centre, 1), seen, atol=1e-12)
    turn = rotation_vector((cameras.w2c[0] @ np.linalg.inv(START))[:3, :3])
    expected = 0.01 * 0.4 * np.array([-1.0, 3, -2]) / np.sqrt(14 / 6)
    np.testing.assert_allclose(turn, expected, atol=1e-9)


def test_only_the_chosen_cameras_move_and_the_given_array_stays():
    given = np.stack([START] * 3)
    cameras = CameraDescent(given, np.zeros(3), 0.01, 0.4)
    cameras.step([1], np.ones((1, 8)), 1.0)
    np.testing.assert_array_equal(given, np.stack([START] * 3))
    assert [bool((w2c == START).all()) for w2c in cameras.w2c] == [True, False, True]
