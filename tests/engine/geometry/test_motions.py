"""Small rigid motions, and what moves many cameras at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm import Cameras
from geolrm.engine.geometry.motions import (
    common_motion,
    misplaced,
    motion,
    robust_mean,
    rotation_matrix,
    rotation_vector,
)
from geolrm.engine.geometry.similarity import move_poses


@given(st.tuples(*[st.floats(-1.7, 1.7)] * 3))
def test_a_rotation_is_its_vector(vector):
    matrix = rotation_matrix(vector)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(matrix) > 0
    np.testing.assert_allclose(rotation_vector(matrix), vector, atol=1e-9)


def test_a_rotation_is_right_handed():
    quarter = rotation_matrix([0, 0, np.pi / 2])
    np.testing.assert_allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-15)


def test_a_motion_turns_about_its_centre_and_then_moves():
    centre, move = np.array([1.0, 2, 3]), np.array([0.1, 0, 0])
    matrix = motion([0, 0, np.pi / 2], move, centre)
    np.testing.assert_allclose(matrix @ [1, 2, 3, 1], [1.1, 2, 3, 1])
    np.testing.assert_allclose(matrix @ [2, 2, 3, 1], [1.1, 3, 3, 1])


@pytest.mark.parametrize("scale", [1.0, 1.02])
def test_what_all_cameras_moved_alike_is_found_beside_one_that_went_astray(scale):
    before = Cameras.orbit(np.arange(7) * 51.0, 10.0, 1.8, 50.0).c2w
    centre = np.array([0.05, 0.0, -0.1])
    drift = motion([0.02, -0.01, 0.03], np.array([0.01, 0.02, 0.0]), centre)
    after = drift @ before
    after[:, :3, 3] = centre + scale * (after[:, :3, 3] - centre)
    after[3] = motion([0.5, 0, 0], np.zeros(3), centre) @ after[3]
    back = common_motion(before, after, centre)
    # The turn and the move are exact at the centre only to the first order of each other.
    np.testing.assert_allclose(
        np.delete(move_poses(after, back), 3, 0), np.delete(before, 3, 0), atol=2e-3
    )


def test_a_robust_mean_is_the_mean_but_for_what_lies_far_off():
    vectors = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1], [0.5, 0]])
    np.testing.assert_allclose(robust_mean(vectors), [0.1, 0])
    np.testing.assert_allclose(robust_mean(np.append(vectors, [[0, 9.0]], 0)), [0.1, 0])
    np.testing.assert_allclose(robust_mean(np.array([[1.0], [1], [1], [5]])), [1])
    for count in (1, 2, 3):
        some = np.arange(count)[:, None] * np.ones(3)
        np.testing.assert_allclose(robust_mean(some), some.mean(0))


def test_cameras_that_stayed_are_left_alone():
    c2w = Cameras.orbit(np.arange(5) * 72.0, 10.0, 1.8, 50.0).c2w
    np.testing.assert_allclose(common_motion(c2w, c2w, np.zeros(3)), np.eye(4), atol=1e-12)


def test_noise_has_the_stated_root_mean_square_and_is_the_same_each_time():
    cameras = Cameras.around(400, 2.0, 50.0)
    wrong = misplaced(cameras, 2.0, 0.01, np.random.default_rng(0))
    turns = np.linalg.inv(cameras.c2w[:, :3, :3]) @ wrong.c2w[:, :3, :3]
    angles = [np.linalg.norm(rotation_vector(turn)) for turn in turns]
    assert np.rad2deg(np.sqrt(np.mean(np.square(angles)))) == pytest.approx(2.0, rel=0.1)
    moves = np.linalg.norm((wrong.c2w - cameras.c2w)[:, :3, 3], axis=1)
    assert np.sqrt(np.mean(moves**2)) == pytest.approx(0.01, rel=0.1)
    assert (
        misplaced(cameras, 2.0, 0.01, np.random.default_rng(0)).c2w.tobytes() == wrong.c2w.tobytes()
    )
