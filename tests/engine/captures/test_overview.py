"""What the picture of a capture shows, by its pixels."""

from dataclasses import replace

import numpy as np
import pytest

from geolrm import Cameras, load_capture
from geolrm.engine.captures.diagnostics.diagnosis import diagnose
from geolrm.engine.captures.overview import MAIN, RED, WIDTH, Projection, draw_overview
from geolrm.engine.geometry.cameras import FLIP_YZ
from geolrm.examples import capture_path


@pytest.fixture(scope="module")
def shoes():
    return load_capture(capture_path("shoe")).subset(range(0, 36, 3))


def share(picture, color, tolerance=25):
    return (np.abs(picture.astype(int) - color).max(axis=-1) <= tolerance).mean()


def test_a_clean_capture_has_cameras_and_its_object_and_nothing_red(shoes):
    picture = draw_overview(shoes, diagnose(shoes))
    assert picture.dtype == np.uint8 and picture.shape[1] == WIDTH
    middle = picture[64 + MAIN[1] // 2 - 60 : 64 + MAIN[1] // 2 + 60, 440:640]
    assert share(middle, (40, 44, 60)) > 0.02  # the shoe's dark blue
    assert share(picture[:64], RED) == 0
    thumbnails = picture[64 + MAIN[1] + 16 :]
    assert share(thumbnails, (40, 44, 60)) > 0.001


def test_doubtful_views_are_red(shoes):
    poses = shoes.cameras.c2w.copy()
    poses[5] = poses[5] @ FLIP_YZ
    doubtful = replace(shoes, cameras=Cameras(poses, shoes.cameras.intrinsics))
    clean, other = (draw_overview(c, diagnose(c)) for c in (shoes, doubtful))
    assert share(other, RED) > 4 * share(clean, RED)
    assert len(other) > len(clean)  # the diagnostic is written out


@pytest.mark.parametrize("scale", [1e-3, 60.0, 1e5])
def test_any_scale_is_drawn(shoes, scale):
    poses = shoes.cameras.c2w.copy()
    poses[:, :3, 3] *= scale
    capture = replace(shoes, cameras=Cameras(poses, shoes.cameras.intrinsics))
    assert draw_overview(capture, diagnose(capture)).shape[1] == WIDTH


def test_a_projection_keeps_right_and_up():
    project = Projection(np.eye(3), (100.0, 50.0), 10.0, 20.0)
    pixels, near = project([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 10]])
    np.testing.assert_allclose(pixels, [[100, 50], [110, 50], [100, 40], [120, 50]])
    np.testing.assert_allclose(near, [0, 0, 0, 10])
