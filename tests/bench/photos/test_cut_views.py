from pathlib import Path

import numpy as np
import pytest
from samples.capture_files import box_cameras, box_photos

from geolrm import InputError
from geolrm.bench.photos import cut_views
from geolrm.engine.captures.capture import Capture
from geolrm.engine.geometry.cameras import FLIP_YZ


@pytest.fixture(scope="module")
def whole():
    cameras = box_cameras(4)
    return Capture(Path("box"), list("abcd"), list(box_photos(cameras)), cameras)


def project(points, c2w, intrinsics):
    camera = (np.linalg.inv(c2w @ FLIP_YZ) @ np.append(points, 1))[:3]
    return (intrinsics @ camera)[:2] / camera[2]


def test_a_cut_view_shows_what_is_inside_and_in_front(whole):
    """A plane before camera 0, whose left part is cropped."""
    parts = cut_views.cut_views(whole, 0.3)
    c2w, intrinsics = whole.cameras.c2w[0], whole.cameras.intrinsics[0]
    size = whole.images[0].shape[0]
    depth = np.full((size, size), 1.5)
    depth[:2] = 0
    points, (rows, columns) = cut_views.surface(depth, c2w, intrinsics)
    assert len(points) == size * (size - 2)
    for index in (0, 777):
        found = size * project(points[index], c2w, intrinsics)
        np.testing.assert_allclose(found, [columns[index] + 0.5, rows[index] + 0.5], atol=1e-9)
    left = size - parts.images[0].shape[1]
    seen = cut_views.shows(points, depth, parts, 0)
    np.testing.assert_array_equal(seen, columns >= left)
    assert not cut_views.shows(points, depth - 0.05, parts, 0).any()  # hidden


def test_errors_count_within_the_region_alone():
    truth = np.zeros((4, 4, 3), np.float32)
    image = truth.copy()
    image[0], image[1:] = 0.1, 0.9
    region = np.zeros((4, 4), bool)
    region[0] = True
    assert cut_views.region_psnr([image], [truth], [region]) == pytest.approx(20, abs=1e-5)


def test_captures_without_depth_are_refused(tmp_path):
    (tmp_path / "transforms.json").write_text('{"frames": [{"file_path": "a.png"}]}')
    with pytest.raises(InputError, match="frame 0 has no depth image; give captures with"):
        cut_views.read_depths(tmp_path, 1)
