import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geolrm import Cameras, InputError
from geolrm.engine.views.preprocessing import join_views, prepare_views


def intrinsics(fx, fy, cx, cy):
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], float)


def camera():
    return Cameras.orbit([30.0], [10.0], 1.7, 50.0)


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


def test_no_images():
    with pytest.raises(InputError, match="no images were given"):
        prepare_views([], camera(), 28)


def test_number_of_poses_must_agree():
    with pytest.raises(InputError, match="2 images but 1 poses were given"):
        prepare_views(np.zeros((2, 8, 8, 3), np.uint8), camera(), 28)


def test_alpha_of_a_view_is_resampled_with_its_colours():
    image = np.zeros((8, 8, 4), np.uint8)
    image[2:6, 2:6] = [255, 0, 0, 255]
    cameras = Cameras.orbit([0.0], 0.0, 1.8, 50.0)
    views = prepare_views([image], cameras, 8)
    np.testing.assert_array_equal(views.alpha[0], image[..., 3] / 255)
    np.testing.assert_array_equal(views.foreground[0, 0], image[..., 3] / 255)
    np.testing.assert_array_equal(views.foreground[0, 1:3], 0)


def test_a_whole_square_view_is_known_everywhere():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 4), dtype=np.uint8)
    views = prepare_views([image], camera(), 28, 32)
    assert views.valid is None and views.reference_valid is None
    marked = prepare_views([image], camera(), 28, 32, valid=[np.ones((40, 40), bool)])
    assert marked.valid is None and marked.reference_valid is None
    np.testing.assert_array_equal(marked.images, views.images)
    np.testing.assert_array_equal(marked.reference, views.reference)


def test_padding_is_unknown():
    image = np.full((20, 40, 4), 128, np.uint8)
    image[..., 3] = 255
    k = intrinsics(1, 2, 0.5, 0.5)
    views = prepare_views([image], Cameras(camera().c2w, k), 40, 80)
    assert views.valid.dtype == np.float32 and views.valid.shape == (1, 40, 40)
    np.testing.assert_array_equal(views.valid[0, 10:30], 1)
    assert views.valid.sum() == 20 * 40
    assert views.reference_valid.shape == (1, 80, 80)
    np.testing.assert_array_equal(views.alpha, views.valid)
    np.testing.assert_allclose(views.foreground[0, :3, 10:30], 128 / 255, atol=1e-6)
    np.testing.assert_array_equal(views.images[0][:, views.valid[0] == 0], 1)
    same = prepare_views([image], Cameras(camera().c2w, k), 40)
    np.testing.assert_array_equal(same.reference_valid, same.valid)


@pytest.mark.parametrize("kind", ["uint8 without alpha", "uint8", "float without alpha", "float"])
def test_what_is_not_valid_is_no_object(kind):
    """A lens left the corner black: on images without alpha it would count as the object."""
    image = np.full((40, 40, 4), 255, np.uint8)
    image[10:30, 10:30, :3] = 60
    image[..., 3] = 0
    image[10:30, 10:30, 3] = 255
    valid = np.ones((40, 40), bool)
    valid[:8, :15] = False
    image[~valid] = [0, 0, 0, 255]
    image = image[..., :3] if "without" in kind else image
    if kind.startswith("float"):
        image = (image / 255).astype(np.float32).transpose(2, 0, 1)
    views = prepare_views([image], camera(), 40, valid=[valid])
    np.testing.assert_array_equal(views.valid[0], valid)
    alpha = np.zeros((40, 40))
    alpha[10:30, 10:30] = 1
    np.testing.assert_array_equal(views.alpha[0], alpha)


def test_views_that_are_known_whole_join_those_that_are_not():
    image = np.full((40, 40, 3), 255, np.uint8)
    valid = np.ones((40, 40), bool)
    valid[:5] = False
    whole = prepare_views([image], camera(), 20, 40)
    partly = prepare_views([image], camera(), 20, 40, valid=[valid])
    joined = join_views([whole, partly, whole])
    assert joined.valid[:, 0, 0].tolist() == [1, 0, 1]
    np.testing.assert_array_equal(joined.valid[1], partly.valid[0])
    np.testing.assert_array_equal(joined.reference_valid[1], valid)
    assert joined.reference_valid[[0, 2]].all()
    assert join_views([whole, whole]).valid is None


def test_valid_masks_are_checked():
    image = np.full((8, 9, 3), 255, np.uint8)
    message = "2 valid masks were given for 1 images; there must be one per image, or None for an"
    with pytest.raises(InputError, match=message):
        prepare_views([image], camera(), 28, valid=[None, None])
    message = (
        r"the valid mask of image 0 is uint8 \[8, 9\]; it must be bool \[8, 9\], the size of the "
        "image, and False where nothing is known"
    )
    with pytest.raises(InputError, match=message):
        prepare_views([image], camera(), 28, valid=[np.ones((8, 9), np.uint8)])
    with pytest.raises(InputError, match=r"bool \[9, 8\]; it must be bool \[8, 9\]"):
        prepare_views([image], camera(), 28, valid=[np.ones((9, 8), bool)])
