import numpy as np
import pytest
from samples.capture_files import box_cameras, box_photos
from samples.known_shapes import HALF_SIDES

from geolrm.engine.captures.hull import nearest_to_rays, visual_hull
from geolrm.engine.views.silhouettes import make_silhouette


def test_the_point_nearest_to_rays():
    origins = np.array([[1.0, 0, 0], [0, 2, 0], [0, 0, -3]])
    target = np.array([0.2, -0.1, 0.3])
    rays = target - origins
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    np.testing.assert_allclose(nearest_to_rays(origins, rays), target, atol=1e-12)
    along = np.tile([0.0, 0, 1], (3, 1))
    assert nearest_to_rays(origins, along) is None  # parallel


@pytest.fixture(scope="module")
def views():
    cameras = box_cameras()
    cameras = zip(cameras.c2w, cameras.intrinsics, strict=True)
    return [make_silhouette(i, *c, 64) for i, c in zip(box_photos(), cameras, strict=True)]


def test_the_hull_holds_the_box_and_little_more(views):
    points, half = visual_hull(views, box_cameras().c2w[:, :3, 3])
    for corner in (points.max(axis=0), -points.min(axis=0)):  # twelve views leave some corners
        assert (corner > HALF_SIDES - 0.02).all() and (corner < HALF_SIDES + 0.16).all()
    assert 0 < half < 0.02


def test_masks_that_agree_on_nothing_have_none(views):
    origins = box_cameras().c2w[:, :3, 3]
    for view in views[:1]:
        empty = type(view)(view.w2c, view.intrinsics, np.zeros_like(view.alpha))
        assert visual_hull([empty, *views[1:]], origins) is None
