import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from samples.mazes import spiral

from geolrm.engine.views import alpha
from geolrm.engine.views.alpha import (
    alpha_from_background,
    alpha_from_white,
    composite_on_white,
    find_background,
    split_alpha,
)


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


def plainly_connected(white):
    """Flood from the border, one pixel after the other."""
    found = np.zeros_like(white)
    edge = np.zeros_like(white)
    edge[[0, -1]], edge[:, [0, -1]] = True, True
    waiting = [tuple(place) for place in np.argwhere(white & edge)]
    while waiting:
        row, column = waiting.pop()
        if not (0 <= row < len(white) and 0 <= column < white.shape[1]):
            continue
        if white[row, column] and not found[row, column]:
            found[row, column] = True
            waiting += [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
    return found


@pytest.mark.parametrize("passes", [1, 8])
@given(arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_background_is_what_a_plain_flood_reaches(passes, white):
    image = np.repeat(white[..., None], 3, axis=2).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alpha, "ENOUGH_PASSES", passes)
        np.testing.assert_array_equal(alpha_from_white(image) == 0, plainly_connected(white))


def test_a_spiral_takes_no_pass_for_every_corner():
    white = spiral(61)
    image = np.repeat(white[..., None], 3, axis=2).astype(np.float32)
    np.testing.assert_array_equal(alpha_from_white(image) == 0, plainly_connected(white))
    assert (alpha_from_white(image) == 0).sum() == white.sum() > 61 * 61 // 2
    with pytest.MonkeyPatch.context() as patch:
        calls = []
        fill = alpha._fill_runs
        patch.setattr(alpha, "_fill_runs", lambda *both: calls.append(0) or fill(*both))
        alpha_from_white(image)
    assert len(calls) == 2 * alpha.ENOUGH_PASSES


def page(color, spread=0, size=32):
    """A dark square on a page of this colour, whose levels differ by up to ``spread``."""
    rng = np.random.default_rng(0)
    image = np.array(color) + rng.integers(-spread, spread + 1, (size, size, 1))
    image[10:20, 8:24] = (40, 30, 60)
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("color", "spread"),
    [((255, 255, 255), 0), ((246, 246, 246), 0), ((246, 244, 238), 4), ((120, 140, 89), 3),
     ((0, 0, 0), 0), ((0, 200, 40), 6)],
)  # fmt: skip
def test_a_border_of_one_colour_is_background_and_becomes_white(color, spread):
    expected = np.zeros((32, 32), np.float32)
    expected[10:20, 8:24] = 1
    image = page(color, spread)
    rgb, alpha = split_alpha(image)
    np.testing.assert_array_equal(alpha, expected)
    np.testing.assert_array_equal(rgb[alpha == 0], 1)
    np.testing.assert_allclose(rgb[alpha == 1], np.broadcast_to([40, 30, 60], (160, 3)) / 255)
    floats = np.moveaxis(image, -1, 0).astype(np.float32) / 255
    np.testing.assert_array_equal(split_alpha(floats)[1], expected)
    background = find_background(image)
    assert background is not None
    np.testing.assert_allclose(background.color * 255, color, atol=1)
    as_floats = image.astype(np.float32) / 255
    np.testing.assert_array_equal(alpha_from_background(as_floats, background), expected)


def test_paper_that_is_brighter_in_places_is_background():
    image = page((240, 240, 240))
    image[2:6, 2:6] = 255
    assert split_alpha(image)[1][:8].max() == 0
    image[2:6, 2:6] = 215
    np.testing.assert_array_equal(split_alpha(image)[1][2:6, 2:6], 1)


def test_colour_inside_the_object_is_no_background():
    image = page((120, 140, 89))
    image[14:16, 12:14] = (120, 140, 89)
    assert split_alpha(image)[1][10:20, 8:24].min() == 1


def test_a_border_of_many_colours_is_no_background_and_warned_of():
    image = page((128, 128, 128), 60)
    assert find_background(image) is None
    with pytest.warns(UserWarning, match=r"image 4 has no alpha and its border is neither white "
                      r"nor of one colour \(median 0\.\d+\); remove the background"):  # fmt: skip
        assert split_alpha(image, 4)[1].min() == 1


def test_an_object_at_a_third_of_the_border_leaves_it_uniform():
    image = page((200, 210, 250))
    image[:, :3] = (40, 30, 60)
    assert find_background(image).name == "(200, 210, 250)"
    image[:, :16] = (40, 30, 60)
    assert find_background(image) is None


def test_white_is_held_by_the_same_rule_as_before():
    image = np.ones((8, 8, 3), np.float32)
    image[3:5, 3:5] = 0.2
    image[0, :3] = 0.98  # below what counts as white
    background = find_background(image)
    assert background.white
    np.testing.assert_array_equal(alpha_from_background(image, background), alpha_from_white(image))
    assert alpha_from_white(image)[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
