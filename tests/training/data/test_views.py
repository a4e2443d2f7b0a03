"""Where the cameras of an object stand, what they see, and the record that comes of it."""

import numpy as np
import pytest
from samples.training import BALL_RADIUS

from geolrm.engine.errors import InputError
from geolrm.engine.geometry.cameras import Cameras
from geolrm.training.data.meshes import normalised, render_mesh, render_object
from geolrm.training.data.posed_object import PosedObject
from geolrm.training.data.shapes import bowl, procedural_mesh
from geolrm.training.data.views import back_project, points_of_depth, rig, seen_points

CUBE = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5]), -1).reshape(-1, 3)


def project(cameras, points):
    """[V, P, 2] pixel coordinates divided by the size, and depths [V, P]."""
    x, y, z = (
        np.moveaxis(cameras.world_to_camera[:, None, :3, :3] @ points[..., None], -2, 0)[..., 0]
        + np.moveaxis(cameras.world_to_camera[:, :3, 3], -1, 0)[..., None]
    )
    k = cameras.intrinsics
    return np.stack([x / z * k[:, :1, 0] + 0.5, y / z * k[:, 1:2, 1] + 0.5], -1), z


@pytest.mark.parametrize("seed", range(6))
def test_rig(seed):
    points = CUBE * [0.4, 0.5, 1]
    cameras = rig(points.astype(np.float32), np.random.default_rng(seed))
    cameras.check_facing()
    centres = cameras.c2w[:, :3, 3]
    distance = np.linalg.norm(centres, axis=1)
    assert np.ptp(distance) < 1e-9 and 1.7 <= distance[0] <= 1.9
    elevation = np.rad2deg(np.arcsin(centres[:, 2] / distance))
    azimuth = np.rad2deg(np.arctan2(centres[:, 1], centres[:, 0])) % 360
    np.testing.assert_allclose(azimuth[:24], np.arange(24) * 15, atol=1e-6)
    np.testing.assert_allclose(azimuth[24:36], np.arange(12) * 30, atol=1e-6)
    assert np.ptp(elevation[:24]) < 1e-6 and 5 <= elevation[0] <= 30
    assert np.ptp(elevation[24:36]) < 1e-6 and -5 <= elevation[24] <= 5
    np.testing.assert_allclose(elevation[36:], [90, -90], atol=1e-5)
    np.testing.assert_allclose(cameras.c2w[36, :3, :3], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(cameras.c2w[37, :3, :3], np.diag([-1, 1, -1]), atol=1e-9)
    np.testing.assert_allclose(cameras.intrinsics[:, 0, 0], 0.5 / np.tan(np.deg2rad(25)))


def test_the_rig_steps_back_until_all_fits():
    cameras = rig(CUBE.astype(np.float32), np.random.default_rng(0))
    assert np.linalg.norm(cameras.c2w[0, :3, 3]) > 1.9
    places, _ = project(cameras, CUBE)
    assert np.abs(places - 0.5).max() == pytest.approx(0.48, abs=1e-6)


def test_seen_points():
    mesh = normalised(bowl(np.random.default_rng(4)))
    cameras = Cameras.orbit([0.0], 90.0, 1.8, 50.0)
    _, _, depth = render_mesh(mesh, cameras, 64)
    points = np.array([[0, 0, 0.0], [0, 0, -0.5], [3, 0, 0], [0, 0, 3]])
    points[0, 2] = 1.8 - depth[0, 32, 32]  # what is seen in the middle
    points[1, 2] = points[0, 2] - 0.05  # below it; one out of view; one behind the camera
    assert seen_points(points.astype("f4"), depth, cameras).tolist() == [True, False, False, False]


def test_render_object():
    mesh = procedural_mesh(np.random.default_rng(5))
    made, again = (render_object(mesh, np.random.default_rng(3), 40, points=900) for _ in range(2))
    assert made.rgba.shape == (38, 40, 40, 4) and len(made) == 38 and made.size == 40
    for name in ("rgba", "depth", "points"):
        np.testing.assert_array_equal(getattr(made, name), getattr(again, name))
    rgb, alpha, depth = render_mesh(mesh, made.cameras, 40)
    assert np.abs(made.rgba[..., :3] - 255 * rgb).max() <= 0.5 + 1e-3
    assert np.abs(made.rgba[..., 3] - 255 * alpha).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(made.depth, depth)
    assert 300 < len(made.points) <= 900
    assert np.abs(made.points).max() <= 0.5 + 1e-6
    assert not made.rgba[:, [0, -1]].any() and not made.rgba[:, :, [0, -1]].any()
    assert repr(made) == f"PosedObject(38 views, 40 px, {len(made.points)} points)"


def test_a_record_that_does_not_fit_is_refused():
    cameras = Cameras.orbit([0.0, 90.0], 0.0, 1.8, 50.0)
    fields = {
        "rgba": np.zeros((2, 8, 8, 4), np.uint8),
        "depth": np.zeros((2, 8, 8), np.float32),
        "cameras": cameras,
        "points": np.zeros((5, 3), np.float32),
    }
    PosedObject(**fields)
    for name, value, text in [
        (
            "rgba",
            np.zeros((3, 8, 8, 4), np.uint8),
            r"rgba is uint8 \[3, 8, 8, 4\]; it must be uint8 \[2, 8, 8, 4\]",
        ),
        ("depth", np.zeros((2, 8, 8)), r"depth is float64 \[2, 8, 8\]; it must be float32"),
        (
            "points",
            np.zeros(5, np.float32),
            r"points is float32 \[5\]; it must be float32 \[5, 3\]",
        ),
    ]:
        with pytest.raises(InputError, match=text):
            PosedObject(**(fields | {name: value}))


def test_back_projection_and_its_sampling(posed):
    points = back_project(posed.depth, posed.cameras)
    assert len(points) == np.count_nonzero(posed.depth)
    distance = np.linalg.norm(points, axis=1)
    assert distance.min() > BALL_RADIUS * 0.993 and distance.max() < BALL_RADIUS * 1.001
    few = points_of_depth(posed.depth, posed.cameras, 100, "here")
    assert len(few) == 100 and len(np.unique(few, axis=0)) == 100
    with pytest.raises(InputError, match="here: no depth map shows anything"):
        points_of_depth(0 * posed.depth, posed.cameras, 100, "here")
