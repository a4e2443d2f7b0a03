import numpy as np
import pytest

from geolrm import InputError
from geolrm.engine.views.resampling import resample_to_square


def intrinsics(fx, fy, cx, cy):
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], float)


CENTRED = intrinsics(1.1, 1.1, 0.5, 0.5)


def test_same_size_centred_image_passes_unchanged():
    image = np.random.default_rng(0).random((3, 32, 32)).astype(np.float32)
    square, focal, known = resample_to_square(image.transpose(1, 2, 0), CENTRED, 32)
    np.testing.assert_array_equal(square, image)
    assert focal == pytest.approx(1.1) and known is None
    valid = np.ones((32, 32), bool)
    again, _, known = resample_to_square(image.transpose(1, 2, 0), CENTRED, 32, valid)
    np.testing.assert_array_equal(again, image)
    assert known is None


def test_what_is_not_valid_is_white_and_unknown_at_the_same_size():
    image = np.random.default_rng(0).random((3, 32, 32)).astype(np.float32)
    valid = np.ones((32, 32), bool)
    valid[3:7, 20:] = False
    square, _, known = resample_to_square(image.transpose(1, 2, 0), CENTRED, 32, valid)
    np.testing.assert_array_equal(known, valid)
    np.testing.assert_array_equal(square, np.where(valid, image, 1))


def test_outside_of_the_image_is_white_and_unknown_and_takes_no_part_in_averages():
    image = np.zeros((3, 30, 60), np.float32)
    k = intrinsics(1, 2, 0.5, 0.5)
    square, _, known = resample_to_square(image.transpose(1, 2, 0), k, 60)
    inside = np.zeros((60, 60), bool)
    inside[15:45] = True
    np.testing.assert_array_equal(known, inside)
    np.testing.assert_array_equal(square, np.broadcast_to(~inside, (3, 60, 60)))


@pytest.mark.parametrize("size", [24, 40, 90])
def test_resized_pixels_average_what_is_known(size):
    """A colour that is the same wherever it is known stays exactly that, at any border."""
    valid = np.ones((40, 60), bool)
    valid[10:20, 30:37] = False
    image = np.where(valid[..., None], np.float32(0.25), np.float32(0.9)).repeat(3, axis=2)
    k = intrinsics(1, 1.5, 0.45, 0.6)
    square, _, known = resample_to_square(image, k, size, valid)
    assert 0.3 < known.mean() < 0.7
    np.testing.assert_allclose(square[:, known], 0.25, atol=1e-6)
    np.testing.assert_array_equal(square[:, ~known], 1)
    side = 2 * (1 - 0.45) * 60  # of the square, in pixels of the image: its right half is widest
    assert known.sum() == pytest.approx(valid.sum() * (size / side) ** 2, rel=0.05)


def test_reduction_is_antialiased():
    stripes = np.tile([0.0, 1.0], 64).astype(np.float32)
    image = np.broadcast_to(stripes, (3, 128, 128))
    square, _, _ = resample_to_square(image.transpose(1, 2, 0), CENTRED, 32)
    np.testing.assert_allclose(square[:, :, 4:-4], 0.5, atol=0.02)


@pytest.mark.parametrize("k", [intrinsics(1, 1, -1.6, 0.5), intrinsics(30, 1, 0.5, 0.5)])
def test_absurd_padding_is_refused_before_it_is_allocated(k):
    with pytest.raises(InputError, match="mostly padding; check its intrinsics"):
        resample_to_square(np.zeros((10_000, 10_000, 3), np.float32), k, 28)
