"""Images travel as bytes only where the bytes say every bit of them."""

import numpy as np
import pytest

from geolrm import Cameras
from geolrm.engine.views.pixels import exact_bytes
from geolrm.engine.views.preprocessing import join_views, prepare_views

CAMERA = Cameras.orbit([30.0], [10.0], 1.7, 50.0)


def test_every_byte_is_found_again():
    pixels = np.random.default_rng(0).permutation(np.arange(768) % 256).astype(np.uint8)
    pixels = pixels.reshape(2, 3, 8, 16)
    found = exact_bytes(pixels.astype(np.float32) / np.float32(255))
    assert found is not None and found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("value", [0.5, 1.5, -0.1, np.nan, np.inf, np.nextafter(np.float32(1), 0)])
def test_one_other_value_is_no_byte(value):
    images = np.ones((2, 3, 4, 4), np.float32)
    images[1, 2, 3, 3] = value
    assert exact_bytes(images) is None


def image(channels, size=28):
    return np.random.default_rng(0).integers(0, 256, (size, size, channels), dtype=np.uint8)


def test_views_hold_the_bytes_of_images_that_are_not_resampled():
    picture = image(3)
    views = prepare_views([picture], CAMERA, 28)
    assert views.pixels is not None
    np.testing.assert_array_equal(views.pixels[0], picture.transpose(2, 0, 1))
    cut = image(4)
    cut[..., 3] = np.where(cut[..., 3] > 99, 255, 0)  # on white, what is cut off is 255
    on_white = np.where(cut[..., 3:] > 0, cut[..., :3], 255).transpose(2, 0, 1)
    views = prepare_views([cut], CAMERA, 28)
    assert views.pixels is not None
    np.testing.assert_array_equal(views.pixels[0], on_white)
    soft = image(4)
    assert prepare_views([soft], CAMERA, 28).pixels is None
    assert prepare_views([image(3, 31)], CAMERA, 28).pixels is None


def test_groups_of_views_have_bytes_where_all_do():
    whole, resampled = (prepare_views([image(3, size)], CAMERA, 28) for size in (28, 31))
    both = join_views([whole, whole])
    assert both.pixels is not None and whole.pixels is not None
    np.testing.assert_array_equal(both.pixels, np.concatenate([whole.pixels] * 2))
    assert join_views([whole, resampled]).pixels is None
