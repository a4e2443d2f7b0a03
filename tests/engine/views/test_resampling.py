import numpy as np
import pytest

from geolrm import InputError
from geolrm.engine.views.resampling import resample_to_square


def intrinsics(fx, fy, cx, cy):
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], float)


CENTRED = intrinsics(1.1, 1.1, 0.5, 0.5)


def test_same_size_centred_image_passes_unchanged():
    image = np.random.default_rng(0).random((3, 32, 32)).astype(np.float32)
    square, focal = resample_to_square(image.transpose(1, 2, 0), CENTRED, 32)
    np.testing.assert_array_equal(square, image)
    assert focal == pytest.approx(1.1)


def test_outside_of_the_image_is_white():
    image = np.zeros((3, 30, 60), np.float32)
    square, _ = resample_to_square(image.transpose(1, 2, 0), intrinsics(1, 2, 0.5, 0.5), 60)
    np.testing.assert_array_equal(square[:, :13], 1)
    np.testing.assert_array_equal(square[:, -13:], 1)
    np.testing.assert_allclose(square[:, 20:40], 0, atol=1e-6)


def test_reduction_is_antialiased():
    stripes = np.tile([0.0, 1.0], 64).astype(np.float32)
    image = np.broadcast_to(stripes, (3, 128, 128))
    square, _ = resample_to_square(image.transpose(1, 2, 0), CENTRED, 32)
    np.testing.assert_allclose(square[:, :, 4:-4], 0.5, atol=0.02)


@pytest.mark.parametrize("k", [intrinsics(1, 1, -1.6, 0.5), intrinsics(30, 1, 0.5, 0.5)])
def test_absurd_padding_is_refused_before_it_is_allocated(k):
    with pytest.raises(InputError, match="mostly padding; check its intrinsics"):
        resample_to_square(np.zeros((10_000, 10_000, 3), np.float32), k, 28)
