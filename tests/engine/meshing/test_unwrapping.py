"""Layouts: the same triangles, none over another, none mirrored, of even size."""

import numpy as np
import pytest
from samples.painted_ball import ball

from geolrm.engine.meshing.texels import find_texels
from geolrm.engine.meshing.unwrapping import unwrap

pytest.importorskip("xatlas")


@pytest.fixture(scope="module")
def mesh():
    return ball()


@pytest.fixture(scope="module")
def layout(mesh):
    return unwrap(mesh.vertices, mesh.faces, mesh.normals, 256)


def areas(layout):
    a, b, c = layout.uv[layout.faces].astype(float).transpose(1, 0, 2)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def test_triangles_are_those_of_the_surface(mesh, layout):
    np.testing.assert_array_equal(layout.source[layout.faces], mesh.faces)
    assert layout.uv.min() >= 0 and layout.uv.max() <= 1
    assert len(layout.source) >= len(mesh.vertices)


def test_each_is_as_large_as_on_the_surface(mesh, layout):
    a, b, c = mesh.vertices[mesh.faces].astype(float).transpose(1, 0, 2)
    on_surface = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    share = np.abs(areas(layout)) / on_surface
    assert np.quantile(share, 0.95) < 2 * np.quantile(share, 0.05)


def test_none_lies_over_another(layout):
    """The texels that are drawn once are as many as the areas add up to."""
    size = 512
    drawn = len(find_texels(layout, size)) / size**2
    assert drawn == pytest.approx(np.abs(areas(layout)).sum(), rel=0.02)
    assert drawn > 0.4  # and the atlas is not mostly empty


def test_charts_keep_a_distance(layout):
    """Grown by two texels each way, no chart reaches another: charts by joined faces."""
    from scipy.ndimage import binary_dilation, label

    size = 256
    covered = np.zeros(size * size, bool)
    covered[find_texels(layout, size).place] = True
    before = label(covered.reshape(size, size), np.ones((3, 3)))[1]
    grown = binary_dilation(covered.reshape(size, size), np.ones((3, 3)))
    assert label(grown, np.ones((3, 3)))[1] >= before - 1
