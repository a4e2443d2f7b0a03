import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples.capture_files import quaternion_of
from samples.gaussians import random_gaussians
from samples.known_shapes import protocol_cameras

from geolrm import Cameras, InputError
from geolrm.engine.geometry import harmonics
from geolrm.engine.geometry.similarity import (
    apply,
    make_similarity,
    move_poses,
    quaternion,
    split_similarity,
    turning,
)


def unit(values):
    return np.asarray(values) / np.linalg.norm(values)


def rotations():
    quats = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(
        lambda q: np.linalg.norm(q) > 0.1
    )
    return quats.map(lambda q: rotation_of(unit(q)))


def rotation_of(q):
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@given(rotations())
@settings(max_examples=60, deadline=None)
def test_quaternions_of_any_rotation(rotation):
    found = quaternion(rotation)
    np.testing.assert_allclose(rotation_of(found), rotation, atol=1e-12)
    np.testing.assert_allclose(abs(found @ quaternion_of(rotation)), 1, atol=1e-9)


@pytest.mark.parametrize("half_turn", [np.diag([1, -1, -1]), np.diag([-1, 1, -1]), np.eye(3)])
def test_quaternions_of_half_turns(half_turn):
    np.testing.assert_allclose(rotation_of(quaternion(half_turn.astype(float))), half_turn)


@pytest.mark.parametrize("end", [[0, 0, 1], [0, 0, -1], [1, 2, -3], [1e-7, 0, -1]])
def test_turning_one_direction_into_another(end):
    start = np.array([0.0, 0, 1])
    rotation = turning(start, unit(end))
    np.testing.assert_allclose(rotation @ start, unit(end), atol=1e-6)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-6)


@pytest.mark.parametrize("sh", [None, 4, 9, 16])
def test_moved_gaussians_in_moved_cameras_look_the_same(sh):
    """Drawing commutes with a similarity; harmonics, orientations and sizes all must move."""
    matrix = make_similarity(2.5, turning(unit([1, 0, 2]), unit([-2, 1, 1])), np.array([3, 1, -2]))
    gaussians = random_gaussians(sh)
    cameras = protocol_cameras()[[0, 5, 30]]
    there = gaussians.transformed(matrix)
    moved = Cameras(move_poses(cameras.c2w, matrix), cameras.intrinsics)
    size = (48, 48)
    np.testing.assert_allclose(
        there.render(moved, size, near=0.5).rgb, gaussians.render(cameras, size, near=0.2).rgb,
        atol=2e-3,
    )  # fmt: skip
    back = there.transformed(np.linalg.inv(matrix))
    np.testing.assert_allclose(back.means, gaussians.means, atol=1e-5)
    np.testing.assert_allclose(back.scales, gaussians.scales, rtol=1e-5)
    if sh:
        np.testing.assert_allclose(back.sh, gaussians.sh, atol=1e-5)


def test_harmonics_follow_the_rotation():
    rotation = turning(unit([1, 0, 2]), unit([-2, 1, 1]))
    sh = np.random.default_rng(0).standard_normal((5, 16, 3))
    directions = np.random.default_rng(1).standard_normal((40, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    before = np.einsum("dk,nkc->ndc", harmonics.basis(directions, 16), sh)
    after = np.einsum(
        "dk,nkc->ndc", harmonics.basis(directions @ rotation.T, 16), harmonics.turn(sh, rotation)
    )
    np.testing.assert_allclose(after, before, atol=1e-6)


def test_similarities_come_apart():
    rotation = turning(unit([1, 0, 2]), unit([-2, 1, 1]))
    scale, found, shift = split_similarity(make_similarity(0.3, rotation, np.array([1, 2, 3])))
    assert scale == pytest.approx(0.3)
    np.testing.assert_allclose(found, rotation, atol=1e-12)
    np.testing.assert_array_equal(shift, [1, 2, 3])
    np.testing.assert_allclose(
        apply(make_similarity(2, rotation, shift), np.zeros((1, 3)))[0], shift
    )


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.diag([1, 1, -1, 1]), "the transform is no similarity"),
        (np.diag([1, 2, 1, 1]), "the transform is no similarity"),
        (np.zeros((4, 4)), "the transform is no similarity"),
        (np.eye(3), r"the transform has shape \(3, 3\)"),
        (np.full((4, 4), np.nan), "a \\[4, 4\\] matrix of finite numbers"),
        ("x", r"the transform has shape \(0,\)"),
    ],
)
def test_other_matrices_are_refused(matrix, message):
    with pytest.raises(InputError, match=message):
        random_gaussians().transformed(matrix)
