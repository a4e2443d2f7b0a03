"""Masks of every kind that tools write, as white for the object."""

import numpy as np
import pytest
from PIL import Image

from geolrm.engine.captures.masks import mask_values, seems_inverted, stretched

OBJECT = np.zeros((8, 8), bool)
OBJECT[2:6, 3:7] = True
WHITE = np.where(OBJECT, 255, 0).astype(np.uint8)


def palette(colors):
    image = Image.fromarray(OBJECT.astype(np.uint8)).convert("P")
    image.putdata(OBJECT.astype(np.uint8).ravel())
    image.putpalette([channel for color in colors for channel in color])
    return image


def cutout(mode):
    rgba = np.dstack([np.full((8, 8, 3), 70, np.uint8), WHITE])
    return Image.fromarray(rgba).convert(mode)


@pytest.mark.parametrize(
    ("image", "done"),
    [
        (Image.fromarray(WHITE), ""),
        (Image.fromarray(OBJECT), ""),
        (Image.fromarray(OBJECT.astype(np.uint8)), "stretched"),
        (Image.fromarray(OBJECT.astype(np.uint8) * 3), "stretched"),
        (Image.fromarray(np.where(OBJECT, 128, 10).astype(np.uint8)), "stretched"),
        (Image.fromarray(OBJECT.astype(np.uint16) * 65535), ""),
        (Image.fromarray(OBJECT.astype(np.uint16)), "stretched"),
        (palette([(0, 0, 0), (128, 0, 0)]), "stretched"),  # DAVIS
        (palette([(0, 0, 0), (0, 0, 90)]), "stretched"),
        (palette([(9, 0, 9), (0, 50, 0)]), "stretched"),  # without black the first is background
        (palette([(0, 0, 0), (255, 255, 255)]), ""),
        (Image.fromarray(np.dstack([WHITE] * 3)), ""),
        (Image.fromarray(np.dstack([0 * WHITE, WHITE, 0 * WHITE])), ""),  # painted green
        (cutout("RGBA"), "alpha"),
        (cutout("LA"), "alpha"),
        (Image.fromarray(np.dstack([WHITE, WHITE, WHITE, 0 * WHITE + 255])), ""),
    ],
)
def test_what_is_the_object_becomes_white(image, done):
    values, how = mask_values(image)
    np.testing.assert_array_equal(values, WHITE)
    assert values.dtype == np.uint8 and how == done


def test_labels_above_0_are_the_object_and_levels_of_grey_stay():
    labels = np.array([[0, 1, 2, 3]], np.uint8)
    np.testing.assert_array_equal(stretched(labels)[0], [[0, 255, 255, 255]])
    soft = np.array([[0, 90, 128, 255]], np.uint8)
    assert stretched(soft)[0] is soft and stretched(soft)[1] == ""
    dim = np.array([[0, 40, 90, 128]], np.uint8)
    assert stretched(dim) == (dim, "")
    for value, expected in ((0, 0), (1, 255), (255, 255)):
        flat = np.full((2, 2), value, np.uint8)
        np.testing.assert_array_equal(stretched(flat)[0], np.full((2, 2), expected))


def test_inverted_is_object_at_the_border_and_none_in_the_middle():
    assert seems_inverted(255 - WHITE) and not seems_inverted(WHITE)
    assert seems_inverted(1 - OBJECT.astype(np.float32))
    assert not seems_inverted(np.full((8, 8), 255, np.uint8))  # opaque everywhere
    assert not seems_inverted(np.zeros((8, 8), np.uint8))
    small = np.full((8, 8), 255, np.uint8)
    small[3, 3] = 0
    assert not seems_inverted(small) and seems_inverted(small, 0.02)
