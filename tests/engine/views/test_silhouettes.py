from dataclasses import replace

import numpy as np
import pytest

from geolrm.engine.views.silhouettes import (
    Silhouette,
    carve,
    explained,
    grid,
    has_mask,
    make_silhouette,
    reduce_pixels,
    reduce_valid,
    reduced,
)


def straight_ahead(alpha):
    """A camera at the origin that looks along z; a point at (x, y, 1) falls on pixel (x, y)."""
    return Silhouette(np.eye(4), np.eye(3), np.asarray(alpha, np.float32))


def test_points_fall_on_pixels_row_by_row_or_outside():
    view = straight_ahead(np.zeros((3, 4)))
    points = np.array([[0.5, 0.5, 1], [3.9, 2.9, 1], [4.1, 0, 1], [-0.1, 0, 1], [1, 1, -1.0]])
    pixel, depth = view.project(points)
    assert pixel.tolist() == [0, 11, -1, -1, -1]
    assert depth.tolist() == [1, 1, 1, 1, -1]


def test_views_carve_what_they_show_to_be_empty():
    full, hole = straight_ahead(np.ones((1, 2))), straight_ahead([[1, 0]])
    points = np.array([[0.5, 0.5, 1], [1.5, 0.5, 1], [9, 9, 1.0]])
    inside, shown = carve([full, hole], points)
    assert inside.tolist() == [True, False, True]
    assert shown[[0, 2]].tolist() == [2, 0]
    assert carve([full, hole], points, tolerated=1)[0].all()


def test_a_view_shows_nothing_where_nothing_is_known_of_it():
    unknown = Silhouette(
        np.eye(4), np.eye(3), np.zeros((1, 2), np.float32), valid=np.array([[True, False]])
    )
    points = np.array([[0.5, 0.5, 1], [1.5, 0.5, 1], [9, 9, 1.0]])
    assert unknown.project(points)[0].tolist() == [0, -1, -1]
    inside, shown = carve([unknown], points)
    assert inside.tolist() == [False, True, True] and shown.tolist() == [1, 0, 0]


def test_pixels_are_reduced_by_the_mean_of_those_that_there_are():
    pixels = np.arange(6.0).reshape(2, 3, 1)
    np.testing.assert_allclose(reduce_pixels(pixels, 2)[..., 0], [[2.0, 3.5]])
    valid = np.array([[True, False, False], [True, False, False]])
    np.testing.assert_allclose(reduce_pixels(pixels, 2, valid)[..., 0], [[1.5, 0]])
    np.testing.assert_array_equal(reduce_valid(valid, 2), [[True, False]])


@pytest.mark.parametrize("size", [(201, 301), (200, 300), (7, 9), (480, 640)])
@pytest.mark.parametrize("channels", [3, 4])
def test_no_size_makes_an_object_at_the_border(size, channels):
    """What pads an image to whole squares is no object, with alpha or on white."""
    image = np.full((*size, channels), 255, np.uint8)
    image[..., 3:] = 0
    rows, columns = (slice(side // 3, side // 2) for side in size)
    image[rows, columns] = [10, 20, 30, 255][:channels]
    view = make_silhouette(image, np.eye(4), np.eye(3), 64)
    for edge in (view.alpha[0], view.alpha[-1], view.alpha[:, 0], view.alpha[:, -1]):
        assert edge.max() == 0
    small = reduced(view, 10)
    assert small.alpha[-1].max() == 0 and small.alpha[:, -1].max() == 0


@pytest.mark.parametrize("channels", [3, 4])
def test_what_is_not_valid_is_no_object(channels):
    image = np.full((20, 20, 4), 255, np.uint8)
    image[..., 3] = 0
    image[8:12, 8:12] = [0, 0, 0, 255]
    valid = np.ones((20, 20), bool)
    valid[:4, :6] = False
    image[~valid] = [0, 0, 0, 255]  # as a lens leaves it
    view = make_silhouette(image[..., :channels], np.eye(4), np.eye(3), 10, valid)
    expected = np.zeros((10, 10))
    expected[4:6, 4:6] = 1
    np.testing.assert_array_equal(view.alpha, expected)
    np.testing.assert_array_equal(view.valid, valid[::2, ::2])
    np.testing.assert_array_equal(reduced(view, 5).valid, reduce_valid(valid, 4))


def test_a_silhouette_of_an_image_has_alpha_or_white_background():
    image = np.full((8, 8, 4), 255, np.uint8)
    image[..., 3] = 0
    image[2:6, 2:6, 3] = 255
    view = make_silhouette(image, np.eye(4), np.eye(3), 4)
    np.testing.assert_array_equal(view.alpha, np.pad(np.ones((2, 2)), 1))
    assert view.intrinsics[0, 0] == view.intrinsics[1, 1] == 4
    white = np.full((8, 8, 3), 255, np.uint8)
    white[2:6, 2:6] = 30
    plain = make_silhouette(white, np.eye(4), np.eye(3), 8)
    assert (plain.alpha[2:6, 2:6] > 0.5).all() and plain.alpha[0].max() < 0.5
    smaller = reduced(view, 2)
    assert smaller.alpha.shape == (2, 2) and smaller.intrinsics[0, 0] == 2
    assert reduced(view, 100).alpha.shape == view.alpha.shape


@pytest.mark.parametrize(
    ("image", "has"),
    [
        (np.full((4, 4, 4), 255, np.uint8), False),  # opaque everywhere
        (np.zeros((4, 4, 4), np.uint8), True),
        (np.full((4, 4, 3), 255, np.uint8), True),
        (np.full((4, 4, 3), 128, np.uint8), True),  # of one colour
    ],
)
def test_what_tells_an_object_from_its_background(image, has):
    assert has_mask(image) is has


def test_the_share_of_a_mask_that_a_hull_covers():
    view = straight_ahead([[1, 1, 1, 0]])
    hull = np.array([[0.5, 0.5, 1], [3.5, 0.5, 1]])
    assert explained(view, hull) == pytest.approx(1 / 3)
    assert explained(straight_ahead(np.zeros((2, 2))), hull) == 1


def test_a_grid_has_its_voxels_centres():
    points = grid(np.array([1.0, 0, 0]), 2.0, 2)
    assert points[0].tolist() == [0, -1, -1] and points[-1].tolist() == [2, 1, 1]
    assert points[1].tolist() == [0, -1, 1]  # x slowest


def test_another_camera_has_reductions_of_its_own():
    view = straight_ahead(np.ones((4, 4)))
    small = reduced(view, 2)
    assert reduced(view, 2) is small and reduced(view, 1).alpha.shape == (1, 1)
    moved = replace(view, w2c=2 * view.w2c)
    assert reduced(moved, 2).w2c is moved.w2c


@pytest.mark.parametrize(("shape", "factor"), [((7, 5), 3), ((8, 6), 2), ((5, 9), 1), ((4, 3), 8)])
def test_squares_at_the_border_are_averages_of_what_there_is(shape, factor):
    pixels = np.random.default_rng(0).random((*shape, 2)).astype(np.float32)
    found = reduce_pixels(pixels, factor)
    for row, column in np.ndindex(found.shape[:2]):
        part = pixels[row * factor :, column * factor :][:factor, :factor]
        np.testing.assert_allclose(found[row, column], part.mean(axis=(0, 1)), rtol=1e-6)
    everywhere = np.ones(shape, np.bool_)
    np.testing.assert_allclose(reduce_pixels(pixels, factor, everywhere), found, rtol=1e-6)
