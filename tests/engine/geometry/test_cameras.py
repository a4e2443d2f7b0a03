import numpy as np
import pytest
from harness.data import DATA
from hypothesis import given
from hypothesis import strategies as st

from geolrm import Cameras, InputError

VECTORS = np.load(DATA / "conformance" / "unit_vectors.npz")
K = np.array([[1.1, 0, 0.5], [0, 1.1, 0.5], [0, 0, 1]])


def poses(count=3, radius=1.7):
    return Cameras.orbit(np.arange(count) * 360 / count, 15.0, radius, 50.0).c2w


def test_sv3d_orbit_equals_the_reference():
    cameras = Cameras.from_orbit("sv3d")
    np.testing.assert_allclose(cameras.c2w, VECTORS["sv3d_c2ws"], atol=2e-6)
    np.testing.assert_allclose(cameras.intrinsics, VECTORS["sv3d_Ks"], atol=2e-6)


def test_sv3d_orbit_with_radius_and_fov():
    cameras = Cameras.from_orbit("sv3d", radius=1.8, fov=50)
    np.testing.assert_allclose(cameras.c2w, VECTORS["sv3d_r1.8_fov50_c2ws"], atol=2e-6)
    np.testing.assert_allclose(cameras.intrinsics, VECTORS["sv3d_r1.8_fov50_Ks"], atol=2e-6)


def test_zero123plus_orbit_equals_the_reference():
    cameras = Cameras.from_orbit("zero123plus")
    np.testing.assert_allclose(cameras.c2w, VECTORS["zero123plus_r1.5_c2ws"], atol=2e-6)
    np.testing.assert_allclose(cameras.intrinsics, VECTORS["zero123plus_r1.5_Ks"], atol=2e-6)


def test_render_circle_equals_the_reference():
    cameras = Cameras.orbit(np.arange(12) * 30.0, 20.0, 1.5, 39.6)
    np.testing.assert_allclose(cameras.c2w, VECTORS["render_circle_M12_r1.5_e20"], atol=2e-6)


@given(st.floats(0, 360), st.floats(-80, 80), st.floats(1.2, 4))
def test_opencv_conversion_projects_alike(azimuth, elevation, radius):
    cameras = Cameras.orbit([azimuth], [elevation], radius, 45.0)
    pixels = cameras.intrinsics * np.array([[640], [480], [1.0]])
    again = Cameras.from_opencv(
        world_to_camera=cameras.world_to_camera, intrinsics=pixels, size=(640, 480)
    )
    np.testing.assert_allclose(again.c2w, cameras.c2w, atol=1e-9)
    np.testing.assert_allclose(again.intrinsics, cameras.intrinsics, atol=1e-12)
    point = np.array([0.1, -0.2, 0.3, 1.0])
    x, y, z, _ = cameras.world_to_camera[0] @ point
    assert z > 0  # OpenCV looks along +z
    gx, gy, gz, _ = np.linalg.inv(cameras.c2w[0]) @ point
    np.testing.assert_allclose([gx, gy, gz], [x, -y, -z], atol=1e-12)


def test_orbit_arguments():
    assert len(Cameras.orbit(0, 0, 1.5, 50)) == 1
    with pytest.raises(InputError, match="one per view or one for all"):
        Cameras.orbit([0, 1], [0, 1, 2], 1.5, 50)
    with pytest.raises(InputError, match="fov is 0; it must be in degrees"):
        Cameras.from_orbit("sv3d", fov=0)
    for bad in ({"size": None}, {"intrinsics": np.eye(4)}):
        with pytest.raises(InputError, match=r"size is None|shape \(4, 4\)"):
            Cameras.from_opencv(
                **{"world_to_camera": poses(), "intrinsics": K * 300, "size": (9, 9)} | bad
            )


def test_spread_takes_opposite_views_first():
    cameras = Cameras.orbit(np.arange(8) * 45.0, 0.0, 1.7, 50.0)
    assert cameras.spread(2) == [0, 4]
    assert cameras.spread(4) == [0, 2, 4, 6]
    assert cameras.spread(8) == list(range(8))
    with pytest.raises(InputError, match="9 views were asked for, but there are only 8"):
        cameras.spread(9)


def test_from_opencv_refuses_normalised_intrinsics():
    with pytest.raises(InputError, match="fx = 1.1, but from_opencv expects pixels"):
        Cameras.from_opencv(world_to_camera=poses(), intrinsics=K, size=(256, 256))


def test_from_opencv_takes_small_images():
    pixels = np.array([[4.0, 0, 2], [0, 3.5, 1], [0, 0, 1]])
    cameras = Cameras.from_opencv(world_to_camera=poses(), intrinsics=pixels, size=(4, 2))
    np.testing.assert_allclose(cameras.intrinsics[0], [[1, 0, 0.5], [0, 1.75, 0.5], [0, 0, 1]])


def test_from_opencv_takes_narrow_strips():
    pixels = np.array([[9000.0, 0, 4096], [0, 9000, 20], [0, 0, 1]])
    cameras = Cameras.from_opencv(world_to_camera=poses(), intrinsics=pixels, size=(8192, 40))
    assert cameras.intrinsics[0, 1, 1] == 225


@pytest.mark.parametrize("fov", [0, -5, 179, 400])
def test_fov_out_of_range(fov):
    with pytest.raises(InputError, match="it must be in degrees, from 1 to 179"):
        Cameras.from_fov(poses(), fov)
