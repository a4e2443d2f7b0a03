import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm import Cameras, InputError
from geolrm.engine.views.preprocessing import (
    alpha_from_white,
    composite_on_white,
    prepare_views,
    resample_to_square,
    split_alpha,
)


def intrinsics(fx, fy, cx, cy):
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], float)


CENTRED = intrinsics(1.1, 1.1, 0.5, 0.5)


def camera():
    return Cameras.orbit([30.0], [10.0], 1.7, 50.0)


def test_transparent_pixels_become_white_before_any_resize():
    image = np.zeros((4, 4, 4), np.uint8)  # black and transparent
    image[:, 2:] = [255, 0, 0, 255]
    rgb, alpha = split_alpha(image)
    np.testing.assert_array_equal(alpha, [[0, 0, 1, 1]] * 4)
    np.testing.assert_array_equal(rgb[:, :2], 1)
    np.testing.assert_array_equal(rgb[:, 2:], np.broadcast_to([1, 0, 0], (4, 2, 3)))
    half = np.full((1, 1, 4), 0.5, np.float32).transpose(2, 0, 1)
    np.testing.assert_allclose(composite_on_white(half)[0, 0], 0.75)


def test_same_size_centred_image_passes_unchanged():
    image = np.random.default_rng(0).random((3, 32, 32)).astype(np.float32)
    square, focal = resample_to_square(image.transpose(1, 2, 0), CENTRED, 32)
    np.testing.assert_array_equal(square, image)
    assert focal == pytest.approx(1.1)


def test_uint8_and_float_agree():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    as_float = (image / 255).transpose(2, 0, 1)
    views = [prepare_views([x], camera(), 28) for x in (image, as_float)]
    np.testing.assert_allclose(views[0].images, views[1].images, atol=1e-6)


def project(points, c2w, k):
    """(u, v) in [0, 1] of world points, from first principles."""
    x, y, z = (np.linalg.inv(c2w) @ np.append(points, 1))[:3]
    return k[0, 0] * x / -z + k[0, 2], k[1, 1] * -y / -z + k[1, 2]


@given(
    st.integers(40, 90),
    st.integers(40, 90),
    st.floats(0.9, 1.6),
    st.floats(0.9, 1.6),
    st.floats(0.35, 0.65),
    st.floats(0.35, 0.65),
)
def test_a_point_lands_where_the_new_intrinsics_say(height, width, fx, fy, cx, cy):
    """A dark dot drawn at a projected world point is found at its projection afterwards."""
    point = np.array([0.05, -0.1, 0.08])
    source = Cameras(camera().c2w, intrinsics(fx, fy, cx, cy))
    u, v = project(point, source.c2w[0], source.intrinsics[0])
    rows, columns = np.mgrid[:height, :width] + 0.5
    blob = np.exp(-((columns - u * width) ** 2 + (rows - v * height) ** 2) / 8)
    image = np.repeat((1 - blob)[None], 3, axis=0).astype(np.float32)
    views = prepare_views([image], source, 112)
    dark = 1 - views.images[0, 0].astype(float)
    rows, columns = (np.mgrid[:112, :112] + 0.5) / 112
    found = (columns * dark).sum() / dark.sum(), (rows * dark).sum() / dark.sum()
    expected = project(point, views.c2w[0].astype(float), views.intrinsics[0].astype(float))
    np.testing.assert_allclose(found, expected, atol=0.004)
    assert views.intrinsics[0, 0, 0] == views.intrinsics[0, 1, 1]
    assert views.intrinsics[0, 0, 2] == views.intrinsics[0, 1, 2] == 0.5


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


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"image 0 has shape \(4, 4\); it must be \[H, W, 3\|4\]"),
        (np.zeros((3, 5, 5), np.uint8), r"uint8 images must be \[H, W, 3\|4\]"),
        (np.zeros((5, 5, 3), np.float32), r"float32 images must be \[3\|4, H, W\]"),
        (np.zeros((4, 4, 3), np.int32), "has dtype int32; it must be uint8 or a float"),
        (np.full((3, 4, 4), np.nan), "image 0 holds NaN or infinity"),
        (np.full((3, 4, 4), 200.0), r"ranges from 200 to 200; .* must be in \[0, 1\]"),
        (np.zeros((0, 4, 3), np.uint8), "image 0 is 4 x 0 pixels"),
    ],
)
def test_broken_images_are_named(image, message):
    with pytest.raises(InputError, match=message):
        prepare_views([image], camera(), 28)


@pytest.mark.parametrize("k", [intrinsics(1, 1, -1.6, 0.5), intrinsics(30, 1, 0.5, 0.5)])
def test_absurd_padding_is_refused_before_it_is_allocated(k):
    with pytest.raises(InputError, match="mostly padding; check its intrinsics"):
        resample_to_square(np.zeros((10_000, 10_000, 3), np.float32), k, 28)


def test_no_images():
    with pytest.raises(InputError, match="no images were given"):
        prepare_views([], camera(), 28)


def test_number_of_poses_must_agree():
    with pytest.raises(InputError, match="2 images but 1 poses were given"):
        prepare_views(np.zeros((2, 8, 8, 3), np.uint8), camera(), 28)


def test_alpha_without_a_channel_is_what_white_from_the_border_does_not_reach():
    image = np.ones((7, 9, 3), np.float32)
    image[1:6, 2:7] = 0.2  # a frame
    image[2:5, 3:6] = 1  # whose inside is white
    image[0, 0] = 0.99  # nearly white
    expected = np.zeros((7, 9), np.float32)
    expected[1:6, 2:7] = 1
    np.testing.assert_array_equal(alpha_from_white(image), expected)
    image[3, 2] = 1  # a gap lets the background in
    expected[2:5, 3:6], expected[3, 2] = 0, 0
    np.testing.assert_array_equal(alpha_from_white(image), expected)


def test_alpha_follows_white_through_a_maze():
    """Runs are filled again and again until nothing changes."""
    image = np.zeros((9, 9, 3), np.float32)
    for row in range(1, 9, 2):  # corridors that alternate their openings
        image[row] = 1
        image[row - 1, 0 if row % 4 == 1 else 8] = 1
    np.testing.assert_array_equal(alpha_from_white(image), 1 - image[..., 0])


def test_alpha_of_a_view_is_resampled_with_its_colours():
    image = np.zeros((8, 8, 4), np.uint8)
    image[2:6, 2:6] = [255, 0, 0, 255]
    cameras = Cameras.orbit([0.0], 0.0, 1.8, 50.0)
    views = prepare_views([image], cameras, 8)
    np.testing.assert_array_equal(views.alpha[0], image[..., 3] / 255)
    np.testing.assert_array_equal(views.foreground[0, 0], image[..., 3] / 255)
    np.testing.assert_array_equal(views.foreground[0, 1:3], 0)
