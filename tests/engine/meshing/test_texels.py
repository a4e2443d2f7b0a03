"""Texels of a layout: against each triangle at each texel, one by one."""

import numpy as np
import pytest

from geolrm.engine.meshing.texels import find_texels
from geolrm.engine.meshing.unwrapping import Layout

SIZE = 24


@pytest.fixture
def layout():
    uv = np.array([[0.1, 0.1], [0.62, 0.13], [0.2, 0.55], [0.7, 0.6], [0.93, 0.52], [0.8, 0.97]],
                  np.float32)  # fmt: skip
    return Layout(np.arange(6), np.array([[0, 1, 2], [3, 4, 5]], np.uint32), uv)


def slowly(layout, size):
    """(row, column, face, shares) of each texel whose centre is in a triangle."""
    for row in range(size):
        for column in range(size):
            at = np.array([(column + 0.5) / size, 1 - (row + 0.5) / size])
            for index, face in enumerate(layout.faces):
                a, b, c = layout.uv[face].astype(float)
                s, t = np.linalg.solve(np.stack([b - a, c - a], axis=1), at - a)
                if min(s, t, 1 - s - t) >= 0:
                    yield row * size + column, index, (1 - s - t, s, t)


def test_as_the_slow_reference(layout):
    expected = sorted(slowly(layout, SIZE), key=lambda texel: (texel[1], texel[0]))
    texels = find_texels(layout, SIZE)
    assert len(texels) == len(expected) > 80
    np.testing.assert_array_equal(texels.place, [place for place, _, _ in expected])
    np.testing.assert_array_equal(texels.face, [face for _, face, _ in expected])
    np.testing.assert_allclose(texels.shares, [shares for _, _, shares in expected], atol=1e-5)
    np.testing.assert_array_equal(texels.corners, layout.faces[texels.face])


def test_values_are_interpolated(layout):
    texels = find_texels(layout, SIZE)
    at = texels.interpolate(layout.uv)  # the place of a texel, from those of the corners
    np.testing.assert_allclose(at[:, 0] * SIZE - 0.5, texels.place % SIZE, atol=1e-4)
    np.testing.assert_allclose((1 - at[:, 1]) * SIZE - 0.5, texels.place // SIZE, atol=1e-4)
    chosen = np.array([3, 50])
    np.testing.assert_array_equal(texels.interpolate(layout.uv, chosen), at[chosen])
