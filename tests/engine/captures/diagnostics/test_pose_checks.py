import numpy as np
import pytest

from geolrm import Cameras
from geolrm.engine.captures.diagnostics.pose_checks import (
    azimuth_gap,
    diagnose_poses,
    diagnose_unmasked_scale,
    seen_width,
)


def orbit(count=8, distance=1.8, fov=50.0):
    elevations = np.where(np.arange(count) % 2, 25.0, 5.0)
    return Cameras.orbit(np.arange(count) * (360 / count), elevations, distance, fov)


def texts(cameras, model_fov=50.0):
    return [str(one) for one in diagnose_poses(cameras, model_fov)]


def test_a_sound_orbit_raises_nothing():
    assert texts(orbit()) == [] and diagnose_unmasked_scale(orbit()) == []


def test_the_widest_gap_of_azimuths():
    assert azimuth_gap(orbit(8))[0] == pytest.approx(45)
    some = Cameras.orbit([0, 30, 60, 90], 10, 1.8, 50)
    width, start, end = azimuth_gap(some)
    assert width == pytest.approx(270) and end - start == pytest.approx(270)
    assert azimuth_gap(Cameras.orbit([0, 10], 90, 1.8, 50)) == (360.0, 0.0, 360.0)  # from above
    (text,) = texts(some)
    assert text.startswith("coverage: no camera looks from azimuths between 90 and 0 degrees")


@pytest.mark.parametrize(("count", "text"), [(1, "there is 1 view;"), (3, "there are 3 views;")])
def test_few_views(count, text):
    assert any(f"coverage: {text} at least 4" in found for found in texts(orbit(count)))


def test_width_at_the_origin_and_what_it_says_of_the_scale():
    width = 2 * 1.8 * np.tan(np.deg2rad(25))
    assert seen_width(orbit()) == pytest.approx(width)
    for factor, size in ((3, "larger"), (0.3, "much smaller")):
        (found,) = diagnose_unmasked_scale(orbit(distance=1.8 * factor))
        assert f"is {size} than the cube" in found.text
        assert f"by about {1.5 / (width * factor):.2g}" in found.text


def test_repeated_poses_are_paired():
    cameras = orbit()
    cameras.c2w[5] = cameras.c2w[2]
    (text,) = texts(cameras)
    assert text.startswith("poses: views 2 and 5 have the same pose; each image needs its own")


def test_a_field_of_view_far_from_the_models():
    (text,) = texts(orbit(distance=5.5, fov=15.0))
    assert text.startswith(
        "field of view: all 8 views have a field of view of 15 degrees, far from"
    )
    assert "(25 to 75 is near enough)" in text
