import numpy as np
import pytest

from geolrm import Cameras, InputError
from geolrm.engine.captures import read_capture
from geolrm.examples import capture_path

K = np.array([[1.1, 0, 0.5], [0, 1.1, 0.5], [0, 0, 1]])


def poses(count=3, radius=1.7):
    return Cameras.orbit(np.arange(count) * 360 / count, 15.0, radius, 50.0).c2w


def test_far_camera_is_refused():
    with pytest.raises(InputError, match=r"pose 0 stands 1e\+30 away from the object"):
        Cameras(poses(radius=1e30), K).check_facing()


def broken(change):
    matrices = poses()
    change(matrices)
    return matrices


def set_nan(m):
    m[1, 0, 0] = np.nan


def scale_rotation(m):
    m[2, :3, :3] *= 1.1


def mirror(m):
    m[0, :3, 0] *= -1


def transpose(m):
    m[0] = m[0].T.copy()


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (broken(set_nan), "pose 1 holds NaN or infinity; every entry must be finite"),
        (broken(scale_rotation), r"pose 2 is no rigid motion: .* off orthonormal by 0.21"),
        (broken(mirror), r"pose 0 is mirrored \(determinant -1\)"),
        (broken(transpose), r"pose 0 has last row .* it must be \(0, 0, 0, 1\)\. Transpose"),
        (np.eye(3), r"shape \(1, 3, 3\); they must be \[V, 4, 4\]"),
        (np.full((2, 4, 4), "a"), "poses are not an array of numbers"),
    ],
)
def test_broken_poses_are_named(matrices, message):
    with pytest.raises(InputError, match=message):
        Cameras(matrices, K)


@pytest.mark.parametrize(
    ("intrinsics", "message"),
    [
        (K * [[256], [256], [1]], "fx = 281.6, cx = 128, which look like pixels; divide"),
        (-K, "focal lengths divided by the image size must be 0.005 or more"),
        (np.full((3, 3), np.inf), "intrinsics 0 holds NaN or infinity"),
        (K[:2], r"shape \(2, 3\); they must be \[3, 3\] or \[3, 3, 3\] for 3 poses"),
        (K + [[0, 0.2, 0], [0, 0, 0], [0, 0, 0]], "skew 0.2"),
    ],
)
def test_broken_intrinsics_are_named(intrinsics, message):
    with pytest.raises(InputError, match=message):
        Cameras(poses(), intrinsics)


def test_opencv_poses_are_recognised_as_looking_away():
    flipped = poses() @ np.diag([1.0, -1, -1, 1])
    with pytest.raises(InputError, match=r"pose 0 looks away .* use Cameras.from_opencv"):
        Cameras(flipped, K).check_facing()


def test_camera_turned_aside_is_refused():
    matrices = poses(radius=3.0)
    turn = np.eye(4)
    turn[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    matrices[1] = matrices[1] @ turn
    with pytest.raises(InputError, match="pose 1 looks away"):
        Cameras(matrices, K).check_facing()


def test_camera_inside_the_cube_is_refused():
    with pytest.raises(InputError, match="pose 0 stands at .* inside the object cube"):
        Cameras(poses(radius=0.3), K).check_facing()


@pytest.mark.parametrize("name", ["shoe", "banana", "lion"])
def test_all_bundled_captures_face_the_object(name):
    assert read_capture(capture_path(name)).cameras.facing_faults() == {}
