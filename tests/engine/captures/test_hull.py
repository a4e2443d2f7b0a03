import numpy as np
import pytest
from samples.capture_files import box_cameras, box_photos
from samples.known_shapes import HALF_SIDES

from geolrm.engine.captures.hull import nearest_to_rays, visual_hull
from geolrm.engine.views.silhouettes import explained, make_silhouette, reduced


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


def cut(photos, cameras, outside):
    """Crop every image at one side, in turn, so that this share of its silhouette is outside."""
    images, intrinsics = [], []
    for index, (image, matrix) in enumerate(zip(photos, cameras.intrinsics, strict=True)):
        part = np.rot90(image, index % 4)  # what is cropped is on the left
        profile = (part[..., 3] > 127).sum(axis=0).cumsum()
        off = int(np.searchsorted(profile, outside * profile[-1]))
        part = np.rot90(part[:, off:], -(index % 4))
        left, top = ((off, 0), (0, off), (0, 0), (0, 0))[index % 4]
        height, width = image.shape[:2]
        pixels = matrix * [[width], [height], [1]] - [[0, 0, left], [0, 0, top], [0, 0, 0]]
        images.append(part)
        intrinsics.append(pixels / [[part.shape[1]], [part.shape[0]], [1]])
    return images, np.array(intrinsics)


LARGEST = (1.35, 1.75, 1.6)  # the hull's sides at most, in those of the box


@pytest.mark.parametrize("outside", [0.0, 0.15, 0.3, 0.6])
def test_images_that_all_cut_the_box_leave_it_bounded(outside):
    """Where few look the masks bound nothing; the hull does not grow there."""
    count = 24 if outside > 0.5 else 12
    cameras = box_cameras(count)
    images, intrinsics = cut(box_photos(cameras), cameras, outside)
    posed = zip(images, cameras.c2w, intrinsics, strict=True)
    views = [make_silhouette(*each, 256) for each in posed]
    shown = [(image[..., 3] > 127).sum() for image in images]
    whole = [(image[..., 3] > 127).sum() for image in box_photos(cameras)]
    assert np.mean(shown) / np.mean(whole) == pytest.approx(1 - outside, abs=0.02)
    found = visual_hull(views, cameras.c2w[:, :3, 3])
    assert found is not None
    hull, half = found
    low, high = hull.min(axis=0) - half, hull.max(axis=0) + half
    assert (low < -HALF_SIDES + 0.03).all() and (high > HALF_SIDES - 0.03).all()
    assert ((high - low) / (2 * HALF_SIDES) <= LARGEST).all()
    assert np.median([explained(reduced(view, 48), hull) for view in views]) > 0.97


def test_a_wrong_view_of_a_cut_box_is_outvoted():
    cameras = box_cameras(24)
    images, intrinsics = cut(box_photos(cameras), cameras, 0.3)
    posed = zip(images, cameras.c2w, intrinsics, strict=True)
    views = [make_silhouette(*each, 256) for each in posed]
    half = views[5].alpha.copy()
    half[:, : half.shape[1] // 2] = 0
    views[5] = type(views[5])(views[5].w2c, views[5].intrinsics, half)
    hull, _ = visual_hull(views, cameras.c2w[:, :3, 3], tolerated=1)
    assert (np.ptp(hull, axis=0) > 1.9 * HALF_SIDES).all()
    assert (np.ptp(hull, axis=0) < 2 * 1.7 * HALF_SIDES).all()
