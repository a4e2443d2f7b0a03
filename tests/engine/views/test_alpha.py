import numpy as np

from geolrm.engine.views.alpha import alpha_from_white, composite_on_white, split_alpha


def test_transparent_pixels_become_white_before_any_resize():
    image = np.zeros((4, 4, 4), np.uint8)  # black and transparent
    image[:, 2:] = [255, 0, 0, 255]
    rgb, alpha = split_alpha(image)
    np.testing.assert_array_equal(alpha, [[0, 0, 1, 1]] * 4)
    np.testing.assert_array_equal(rgb[:, :2], 1)
    np.testing.assert_array_equal(rgb[:, 2:], np.broadcast_to([1, 0, 0], (4, 2, 3)))
    half = np.full((1, 1, 4), 0.5, np.float32).transpose(2, 0, 1)
    np.testing.assert_allclose(composite_on_white(half)[0, 0], 0.75)


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
