"""What lies between charts: as the charts beside it, in the image and in all its mipmaps."""

import numpy as np
import pytest

from geolrm.engine.meshing.gutters import RINGS, fill_gutters


def slowly(texture, filled):
    """Ring by ring, texel by texel, as its docstring has it; the rest level by level."""
    texture, filled = texture.copy(), filled.copy()
    height, width = filled.shape
    for _ in range(RINGS):
        before = filled.copy()
        for row in range(height):
            for column in range(width):
                near = [
                    texture[i, j]
                    for i in range(max(row - 1, 0), min(row + 2, height))
                    for j in range(max(column - 1, 0), min(column + 2, width))
                    if before[i, j]
                ]
                if not before[row, column] and near:
                    texture[row, column], filled[row, column] = np.mean(near, axis=0), True
    levels = [(texture, filled)]
    while not levels[-1][1].all():
        image, mask = levels[-1]
        half = np.zeros((-(-len(image) // 2), -(-image.shape[1] // 2), 3))
        known = np.zeros(half.shape[:2], bool)
        for row, column in np.ndindex(*known.shape):
            there = mask[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            if there.any():
                block = image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                half[row, column], known[row, column] = block[there].mean(axis=0), True
        levels.append((half, known))
    for fine, coarse in zip(levels[-2::-1], levels[:0:-1], strict=True):
        for row, column in zip(*np.nonzero(~fine[1]), strict=True):
            fine[0][row, column] = coarse[0][row // 2, column // 2]
    return texture


@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 22), (1, 5)])
def test_as_the_slow_reference(height, width):
    rng = np.random.default_rng(height)
    texture, filled = rng.random((height, width, 3)), rng.random((height, width)) < 0.03
    filled[height // 2, width // 3] = True
    expected = slowly(texture, filled)
    made = fill_gutters(texture, filled)
    np.testing.assert_allclose(made, expected, atol=1e-6)
    np.testing.assert_allclose(made[filled], texture[filled], atol=1e-7)


def test_mipmaps_of_a_chart_do_not_darken():
    texture, filled = np.zeros((64, 64, 3)), np.zeros((64, 64), bool)
    filled[5:20, 5:20] = filled[30:60, 33:62] = True
    texture[5:20, 5:20], texture[30:60, 33:62] = (0.9, 0.1, 0.1), (0.1, 0.9, 0.1)
    image = fill_gutters(texture, filled)
    for level in range(1, 4):  # a gutter of eight texels keeps three levels apart
        image = (image[::2] + image[1::2])[:, ::2] / 4 + (image[::2] + image[1::2])[:, 1::2] / 4
        block = 2**level
        inner = image[-(-5 // block) : 20 // block, -(-5 // block) : 20 // block]
        np.testing.assert_allclose(inner, np.broadcast_to((0.9, 0.1, 0.1), inner.shape), atol=1e-6)


def test_nothing_at_all_stays_as_it_is():
    assert not fill_gutters(np.ones((4, 4, 3)), np.zeros((4, 4), bool)).any()
