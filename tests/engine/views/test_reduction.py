import numpy as np
import pytest
from PIL import Image

from geolrm.engine.captures.images import LONGEST_SIDE as LONGEST_OF_CAPTURES
from geolrm.engine.captures.images import ImageReader
from geolrm.engine.views.reduction import LONGEST_SIDE, reduced

rng = np.random.default_rng(0)


def test_what_is_no_larger_stays_as_it_is():
    image, mask = np.zeros((LONGEST_SIDE, 3, 3), np.uint8), np.ones((LONGEST_SIDE, 3), bool)
    assert reduced(image, mask)[0] is image and reduced(image, mask)[1] is mask


@pytest.mark.parametrize("channels", [3, 4])
def test_bytes_become_what_a_capture_of_their_file_gives(tmp_path, channels):
    assert LONGEST_SIDE == LONGEST_OF_CAPTURES
    image = rng.integers(0, 256, (300, 2500, channels), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    found, mask = reduced(image)
    assert found.shape == (246, 2048, channels) and mask is None
    np.testing.assert_array_equal(found, ImageReader().read(tmp_path / "a.png", "here"))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_reduced_plane_by_plane(dtype):
    image = rng.random((3, 40, 30)).astype(dtype)
    found, _ = reduced(image, longest=20)
    assert found.shape == (3, 20, 15) and found.dtype == np.float32
    exact = np.asarray(
        Image.fromarray(image[1].astype(np.float32)).resize((15, 20), reducing_gap=2.0)
    )
    np.testing.assert_array_equal(found[1], exact.clip(0, 1))


def test_a_mask_is_reduced_with_its_image():
    mask = np.zeros((40, 30), bool)
    mask[:, 10:] = True
    image, small = reduced(np.zeros((40, 30, 3), np.uint8), mask, longest=20)
    assert image.shape == (20, 15, 3)
    expected = np.zeros((20, 15), bool)
    expected[:, 5:] = True
    np.testing.assert_array_equal(small, expected)
